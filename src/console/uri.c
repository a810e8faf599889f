/* SPDX-License-Identifier: Apache-2.0 */
/* Console URIs: a table of schemes, each with what may follow it. */
#include "console/uri.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

#define SPEED_DEFAULT 115200
#define SPEED_MAX 4000000
#define NETCONSOLE_PORT 6666

struct scheme {
	const char *prefix;
	enum br_console_kind kind;
	uint16_t port; /* default; 0: it must be said */
	const char *form;
};

static const struct scheme schemes[] = {
	{ "tty:", BR_CONSOLE_TTY, 0, "tty:/dev/serial/by-id/...?speed=115200" },
	{ "rfc2217://", BR_CONSOLE_RFC2217, 2217, "rfc2217://HOST:PORT?speed=115200" },
	{ "telnet://", BR_CONSOLE_TELNET, 23, "telnet://HOST:PORT" },
	{ "tcp://", BR_CONSOLE_TCP, 0, "tcp://HOST:PORT" },
	{ "unix:", BR_CONSOLE_UNIX, 0, "unix:/path" },
	{ "netconsole:", BR_CONSOLE_NETCONSOLE, NETCONSOLE_PORT, "netconsole: or netconsole:PORT" },
};

static int wrong(const struct scheme *s, const char *text, const char *why, struct br_error *err)
{
	char vis[120];

	return br_error_set(err, EINVAL, "console '%s': %s; %s is needed", br_vis(vis, sizeof(vis), text, strlen(text)), why,
		s->form);
}

/* "speed=115200" is all there is. */
static int take_query(const struct scheme *s, const char *text, const char *query, struct br_console_uri *u, struct br_error *err)
{
	uint64_t speed;

	if (s->kind != BR_CONSOLE_TTY && s->kind != BR_CONSOLE_RFC2217)
		return wrong(s, text, "there is nothing to set behind '?'", err);
	if (!br_str_starts(query, "speed=") || br_parse_u64(query + 6, 50, SPEED_MAX, &speed) < 0)
		return wrong(s, text, "behind '?' only 'speed=' and bits a second (50 to 4000000) can stand", err);
	u->speed = (uint32_t)speed;
	return 0;
}

static int take_port(const struct scheme *s, const char *text, const char *digits, struct br_console_uri *u, struct br_error *err)
{
	uint64_t port = s->port;

	if (digits[0] && br_parse_u64(digits, 1, 65535, &port) < 0)
		return wrong(s, text, "the port is no number from 1 to 65535", err);
	if (!port)
		return wrong(s, text, "the port is missing", err);
	u->port = (uint16_t)port;
	return 0;
}

/* HOST, HOST:PORT, [V6]:PORT */
static int take_host(const struct scheme *s, const char *text, char *rest, struct br_console_uri *u, struct br_error *err)
{
	static const char name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
	static const char v6[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:.%-_";
	bool brackets = rest[0] == '[';
	size_t n = strlen(rest);
	const char *behind;

	if (n && rest[n - 1] == '/') /* as URIs may end */
		rest[n - 1] = 0;
	n = strspn(rest + brackets, brackets ? v6 : name);
	behind = rest + brackets + n;
	if (!n || n >= sizeof(u->host) || rest[0] == '-')
		return wrong(s, text, "the host is no name or address", err);
	if (brackets && *behind++ != ']')
		return wrong(s, text, "the address has no ']'", err);
	if (*behind && *behind != ':')
		return wrong(s, text, "the host is no name or address", err);
	memcpy(u->host, rest + brackets, n);
	u->host[n] = 0;
	return take_port(s, text, *behind ? behind + 1 : "", u, err);
}

static int take_path(const struct scheme *s, const char *text, const char *rest, struct br_console_uri *u, struct br_error *err)
{
	if (s->kind == BR_CONSOLE_TTY && !br_str_starts(rest, "/dev/"))
		return wrong(s, text, "a serial line is a device below /dev", err);
	if (rest[0] != '/')
		return wrong(s, text, "the path does not begin with '/'", err);
	if (strstr(rest, "/../"))
		return wrong(s, text, "'..' cannot stand in it", err);
	if (br_strcpy(u->path, sizeof(u->path), rest) < 0)
		return wrong(s, text, "the path is longer than 107 bytes", err);
	return 0;
}

static int parse(const struct scheme *s, const char *text, struct br_console_uri *u, struct br_error *err)
{
	char rest[256];
	char *query;
	int r = 0;

	if (br_strcpy(rest, sizeof(rest), text + strlen(s->prefix)) < 0)
		return wrong(s, text, "it is too long", err);
	query = strchr(rest, '?');
	if (query) {
		*query++ = 0;
		r = take_query(s, text, query, u, err);
	}
	if (r < 0)
		return r;
	switch (s->kind) {
	case BR_CONSOLE_TTY:
	case BR_CONSOLE_UNIX:
		return take_path(s, text, rest, u, err);
	case BR_CONSOLE_NETCONSOLE:
		return take_port(s, text, rest, u, err);
	case BR_CONSOLE_RFC2217:
	case BR_CONSOLE_TELNET:
	case BR_CONSOLE_TCP:
		break;
	}
	return take_host(s, text, rest, u, err);
}

int br_console_uri_parse(const char *text, struct br_console_uri *ret, struct br_error *err)
{
	char vis[120];

	for (size_t i = 0; i < BR_ARRAY_SIZE(schemes); i++) {
		struct br_console_uri u = { .kind = schemes[i].kind, .speed = SPEED_DEFAULT };
		int r;

		if (!br_str_starts(text, schemes[i].prefix))
			continue;
		r = parse(&schemes[i], text, &u, err);
		if (r >= 0)
			*ret = u;
		return r;
	}
	return br_error_set(err, EINVAL, "console '%s': it must begin with tty:, rfc2217://, telnet://, tcp://, unix: or netconsole:",
		br_vis(vis, sizeof(vis), text, strlen(text)));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Power URIs: one table of schemes, one function for each part of them. */
#include "power/uri.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

enum { /* what a scheme may or must have */
	USER = 1,	/* USER@ */
	PASSWORD = 2,	/* USER:PASSWORD@ */
	PORT = 4,	/* HOST:PORT */
	PDU = 8,	/* /PDU/ before the outlet */
	GROUPED = 16,	/* the outlet is N or N.N */
	NUMBER = 32,	/* the outlet is a number */
	LINE = 64,	/* active-low, pulse */
};

static const struct scheme {
	const char *name;
	unsigned has;
	const char *like; /* for the words */
} schemes[BR_POWER_N_SCHEMES] = {
	[BR_POWER_SNMP] = { "snmp", USER | PORT | GROUPED, "snmp://switch1/7" },
	[BR_POWER_SNMPV3] = { "snmpv3", USER | PORT | GROUPED, "snmpv3://switch1/7" },
	[BR_POWER_GPIO] = { "gpio", NUMBER | LINE, "gpio://gpiochip0/17?active-low" },
	[BR_POWER_USBHUB] = { "usbhub", NUMBER, "usbhub:1-1.4:2" },
	[BR_POWER_TASMOTA] = { "tasmota", USER | PASSWORD | PORT | NUMBER, "tasmota://10.0.0.9/1" },
	[BR_POWER_SHELLY] = { "shelly", USER | PASSWORD | PORT | NUMBER, "shelly://10.0.0.9/0" },
	[BR_POWER_HTTP] = { "http", USER | PASSWORD | PORT, "http://10.0.0.9/outlet/3/{action}, or http:NAME/3 with a section [power NAME]" },
	[BR_POWER_HTTPS] = { "https", USER | PASSWORD | PORT, "https://pdu.lab/outlet/3/{action}" },
	[BR_POWER_PDUDAEMON] = { "pdudaemon", PORT | PDU, "pdudaemon://localhost:16421/pdu1/3" },
	[BR_POWER_COMMAND] = { "command", 0, "command:NAME/3 with a section [power NAME], or command:" },
};

const char *br_power_scheme_name(enum br_power_scheme scheme)
{
	return (unsigned)scheme < BR_POWER_N_SCHEMES ? schemes[scheme].name : "";
}

/* A part of the URI, its bounds. */
struct part {
	const char *s;
	size_t n;
};

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* With %XX as the byte it stands for (RFC 3986 2.1); false: too long, or bytes that a device's name has no use for. */
static bool decode(char *out, size_t size, struct part p)
{
	size_t n = 0;

	for (size_t i = 0; i < p.n; i++) {
		int c = (unsigned char)p.s[i];

		if (c == '%') {
			int hi, lo;

			if (i + 2 >= p.n)
				return false;
			hi = hex_digit(p.s[i + 1]);
			lo = hex_digit(p.s[i + 2]);
			if (hi < 0 || lo < 0)
				return false;
			c = hi * 16 + lo;
			i += 2;
		}
		if (c < 0x20 || c >= 0x7f || n + 1 >= size)
			return false;
		out[n++] = (char)c;
	}
	out[n] = 0;
	return true;
}

static bool only(struct part p, const char *letters)
{
	for (size_t i = 0; i < p.n; i++)
		if (!isalnum((unsigned char)p.s[i]) && !strchr(letters, p.s[i]))
			return false;
	return p.n > 0;
}

static bool copy(char *out, size_t size, struct part p)
{
	if (p.n >= size)
		return false;
	memcpy(out, p.s, p.n);
	out[p.n] = 0;
	return true;
}

static bool number(struct part p, uint64_t max)
{
	char text[16];
	uint64_t v;

	return copy(text, sizeof(text), p) && !br_parse_u64(text, 0, max, &v);
}

/* The text before c, which it is cut off from with c; false: there is no c. */
static bool cut(struct part *rest, char c, struct part *ret)
{
	const char *at = memchr(rest->s, c, rest->n);

	if (!at)
		return false;
	*ret = (struct part){ rest->s, (size_t)(at - rest->s) };
	rest->n -= ret->n + 1;
	rest->s = at + 1;
	return true;
}

/* HOST, HOST:PORT, [IPV6]:PORT */
static const char *take_host(struct part p, unsigned has, struct br_power_uri *u)
{
	struct part host = p, port = { NULL, 0 };
	uint64_t v;
	char text[8];

	if (p.n && p.s[0] == '[') {
		if (!cut(&p, ']', &host) || (p.n && p.s[0] != ':'))
			return "has an address that begins with '[' and does not end with ']'";
		host.s++;
		host.n--;
		if (!only(host, ":.%"))
			return "has no right address between '[' and ']'";
		port = p.n ? (struct part){ p.s + 1, p.n - 1 } : port;
	} else if (cut(&p, ':', &host)) {
		port = p;
	}
	if (port.s) {
		if (!(has & PORT) || !copy(text, sizeof(text), port) || br_parse_u64(text, 1, 65535, &v) < 0)
			return has & PORT ? "has no right port: 1 to 65535" : "has a port, which this kind has not";
		u->port = (uint16_t)v;
	}
	if (!only(host, "-._:%") || !copy(u->host, sizeof(u->host), host))
		return "has no right host name or address";
	return NULL;
}

/* [USER[:PASSWORD]@]HOST[:PORT] */
static const char *take_authority(struct part p, unsigned has, struct br_power_uri *u)
{
	const char *at = memrchr(p.s, '@', p.n);
	struct part who, user;

	if (!at)
		return take_host(p, has, u);
	who = (struct part){ p.s, (size_t)(at - p.s) };
	p = (struct part){ at + 1, p.n - who.n - 1 };
	if (!(has & USER))
		return "has a user, which this kind has not";
	if (has & PASSWORD && cut(&who, ':', &user)) {
		if (!decode(u->password, sizeof(u->password), who))
			return "has no right password: up to 63 letters, others than ASCII are not taken";
		who = user;
	}
	if (!who.n || !decode(u->user, sizeof(u->user), who))
		return "has no right user or community before the '@'";
	return take_host(p, has, u);
}

static const char *take_params(struct part p, unsigned has, struct br_power_uri *u)
{
	struct part one;
	char text[32];

	while (p.n) {
		if (!cut(&p, '&', &one)) {
			one = p;
			p.n = 0;
		}
		if (!copy(text, sizeof(text), one))
			return "has a parameter that is not known";
		if (has & LINE && !strcmp(text, "active-low"))
			u->active_low = true;
		else if (has & LINE && br_str_starts(text, "pulse=")) {
			if (br_parse_duration(text + 6, &u->pulse_ns) < 0 || !u->pulse_ns || u->pulse_ns > 60000000000ull)
				return "has no right pulse: up to 60s, as pulse=500ms";
		} else if (has & GROUPED && (!strcmp(text, "version=2c") || !strcmp(text, "version=3"))) {
			if ((text[8] == '3') != (u->scheme == BR_POWER_SNMPV3))
				return "names another version than its scheme does: snmp:// is version 2c, snmpv3:// is version 3";
		} else {
			return "has a parameter that is not known";
		}
	}
	return NULL;
}

static const char *take_outlet(struct part p, unsigned has, struct br_power_uri *u)
{
	struct part group;

	if (!p.n || !decode(u->outlet, sizeof(u->outlet), p))
		return "names no outlet";
	if (has & GROUPED && cut(&p, '.', &group) && !number(group, UINT32_MAX))
		return "has no right group before its port: a number";
	if (has & (GROUPED | NUMBER) && !number(p, UINT32_MAX))
		return "has no right outlet: a number";
	return NULL;
}

/* What stands behind "SCHEME://". */
static const char *take_hierarchy(struct part p, unsigned has, struct br_power_uri *u)
{
	struct part rest = p, authority, params = { NULL, 0 };
	const char *wrong;

	if (cut(&rest, '?', &p))
		params = rest;
	if (!cut(&p, '/', &authority))
		return "names no outlet behind a '/'";
	wrong = take_authority(authority, has, u);
	if (wrong)
		return wrong;
	if (has & PDU) {
		struct part pdu;

		if (!cut(&p, '/', &pdu) || !pdu.n || !decode(u->pdu, sizeof(u->pdu), pdu))
			return "names no PDU and outlet: /PDU/OUTLET";
	}
	wrong = take_outlet(p, has, u);
	return wrong ?: take_params(params, has, u);
}

/* "//[USER:PASSWORD@]HOST/PATH with {action}" */
static const char *take_url(struct part p, struct br_power_uri *u)
{
	struct part all = p, authority;
	const char *at, *wrong;

	if (!cut(&p, '/', &authority) || !strstr(p.s, "{action}"))
		return "has no {action} in its path, which becomes on, off and status";
	wrong = take_authority(authority, USER | PASSWORD | PORT, u);
	if (wrong)
		return wrong;
	at = memrchr(authority.s, '@', authority.n);
	if (at)
		all = (struct part){ at + 1, all.n - (size_t)(at + 1 - all.s) };
	snprintf(u->url, sizeof(u->url), "%s://%.*s", schemes[u->scheme].name, (int)all.n, all.s);
	return NULL;
}

/* "1-1.4:2" */
static const char *take_hub(struct part p, struct br_power_uri *u)
{
	struct part hub;

	if (!cut(&p, ':', &hub) || !only(hub, "-.") || !isdigit((unsigned char)hub.s[0]) || !copy(u->host, sizeof(u->host), hub) ||
		!memchr(hub.s, '-', hub.n))
		return "names no hub: BUS-PORTS:PORT as 1-1.4:2, BUS-0 for a root hub";
	if (!number(p, 255) || (p.n == 1 && p.s[0] == '0'))
		return "has no right port: 1 to 255";
	return copy(u->outlet, sizeof(u->outlet), p) ? NULL : "has no right port";
}

/* "NAME/OUTLET", "NAME", "" */
static const char *take_section(struct part p, bool may_be_empty, struct br_power_uri *u)
{
	struct part name = p;

	if (!p.n)
		return may_be_empty ? NULL : "names no section [power NAME]";
	if (p.s[0] == '/')
		return "may not name a program: write a section [power NAME] with it into bramble.conf, and command:NAME here";
	if (cut(&p, '/', &name) && !decode(u->outlet, sizeof(u->outlet), p))
		return "has no right outlet behind the '/'";
	return only(name, "-._") && copy(u->host, sizeof(u->host), name) ? NULL : "has no right name of a section [power NAME]";
}

static const char *parse(const char *text, struct br_power_uri *u, const struct scheme **ret_scheme)
{
	size_t len = strlen(text), n = strcspn(text, ":");
	struct part rest = { text + n + 1, 0 };
	unsigned has;
	bool slashes;

	*ret_scheme = NULL;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] <= 0x20 || (unsigned char)text[i] >= 0x7f)
			return "has blanks or letters that are not ASCII";
	for (size_t i = 0; i < BR_POWER_N_SCHEMES; i++)
		if (strlen(schemes[i].name) == n && !memcmp(schemes[i].name, text, n)) {
			u->scheme = (enum br_power_scheme)i;
			*ret_scheme = &schemes[i];
		}
	if (!*ret_scheme || !text[n])
		return "has no known scheme";
	if (len > BR_POWER_URI_MAX)
		return "is too long";
	has = (*ret_scheme)->has;
	rest.n = len - n - 1;
	slashes = br_str_starts(rest.s, "//");
	if (slashes)
		rest = (struct part){ rest.s + 2, rest.n - 2 };
	if (u->scheme == BR_POWER_HTTP || u->scheme == BR_POWER_HTTPS)
		return slashes ? take_url(rest, u) : take_section(rest, false, u);
	if (u->scheme == BR_POWER_COMMAND)
		return take_section(rest, true, u);
	if (u->scheme == BR_POWER_USBHUB)
		return take_hub(rest, u);
	return slashes ? take_hierarchy(rest, has, u) : "has no '//' behind its scheme";
}

int br_power_uri_parse(const char *text, struct br_power_uri *ret, struct br_error *err)
{
	struct br_power_uri u = { 0 };
	const struct scheme *scheme;
	const char *wrong = parse(text, &u, &scheme);
	char shown[300];

	if (!wrong) {
		*ret = u;
		return 0;
	}
	br_power_uri_public(shown, sizeof(shown), text);
	if (scheme)
		return br_error_set(err, EINVAL, "power URI '%s' %s; such are written as %s", shown, wrong, scheme->like);
	return br_error_set(err, EINVAL, "power URI '%s' %s; there are snmp, snmpv3, gpio, usbhub, tasmota, shelly, http, https, "
		"pdudaemon and command (docs/power.md)", shown, wrong);
}

int br_power_uri_ok(const char *text, struct br_error *err)
{
	struct br_power_uri u;

	return *text ? br_power_uri_parse(text, &u, err) : 0;
}

const char *br_power_uri_public(char *out, size_t size, const char *text)
{
	const char *who = strstr(text, "://"), *at = strrchr(text, '@');
	char rest[BR_POWER_URI_MAX * 4 + 1], head[80];

	who = who ? who + 3 : text;
	/* up to the last '@': a password's '/' or '@' that was not encoded must not show the rest of it */
	if (!at || at < who)
		return br_vis(out, size, text, strlen(text));
	snprintf(out, size, "%s***%s", br_vis(head, sizeof(head), text, (size_t)(who - text)),
		br_vis(rest, sizeof(rest), at, strlen(at)));
	return out;
}

const char *br_power_uri_device(char out[static BR_POWER_DEVICE_MAX], const struct br_power_uri *u)
{
	const char *name = schemes[u->scheme].name;
	char port[8] = "";

	if (u->port)
		snprintf(port, sizeof(port), ":%u", u->port);
	if (u->scheme == BR_POWER_USBHUB || u->scheme == BR_POWER_COMMAND || (u->scheme == BR_POWER_HTTP && !u->url[0]))
		snprintf(out, BR_POWER_DEVICE_MAX, "%s:%s", name, u->host);
	else if (u->scheme == BR_POWER_PDUDAEMON)
		snprintf(out, BR_POWER_DEVICE_MAX, "%s://%s%s/%s", name, u->host, port, u->pdu);
	else
		snprintf(out, BR_POWER_DEVICE_MAX, "%s://%s%s", name, u->host, port);
	return out;
}

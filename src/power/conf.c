/* SPDX-License-Identifier: Apache-2.0 */
/* The sections [power], [power NAME] and [switch NAME] of bramble.conf. */
#include "power/conf.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <regex.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/cleanup.h"
#include "base/hostlist.h"
#include "base/text.h"

#define DELAY_NS (500 * BR_MS)
#define OFF_TIME_NS (2 * BR_S)
#define TIMEOUT_NS (5 * BR_S)
#define COMMAND_TIMEOUT_NS (30 * BR_S)
#define BOOT_NS (180 * BR_S)
#define QUARANTINE_AFTER 3

void br_power_conf_done(struct br_power_conf *conf)
{
	for (size_t i = 0; i < conf->n; i++) {
		struct br_power_section *s = &conf->sections[i];
		char *owned[] = { s->uri, s->on, s->off, s->reset, s->status, s->status_on, s->command, s->address, s->community,
			s->user, s->password, s->auth_protocol, s->auth_password, s->priv_protocol, s->priv_password };

		for (size_t k = 0; k < BR_ARRAY_SIZE(owned); k++)
			free(owned[k]);
		br_hostlist_free(s->boards, s->n_boards);
		br_hostlist_free(s->ports, s->n_ports);
	}
	free(conf->sections);
	free(conf->ssh_key);
	free(conf->ssh_user);
	*conf = (struct br_power_conf){ 0 };
}

/* ---- values ---- */

static const char *set_text(char **slot, const char *v)
{
	char *copy = *v ? strdup(v) : NULL;

	if (!copy)
		return *v ? "cannot be kept: out of memory" : "must not be empty";
	free(*slot);
	*slot = copy;
	return NULL;
}

static const char *set_duration(uint64_t *slot, const char *v, uint64_t max_ns)
{
	uint64_t ns;

	if (br_parse_duration(v, &ns) < 0 || ns > max_ns)
		return "must be a duration, as 500ms, 2s or 3m";
	*slot = ns ?: 1; /* 0 is 'not said' */
	return NULL;
}

/* The settings that [power] and all its sections have. False: it is none of them. */
static bool set_limit(struct br_power_limits *l, const char *key, const char *v, const char **ret_wrong)
{
	uint64_t n = 0;

	if (!strcmp(key, "delay")) {
		*ret_wrong = set_duration(&l->delay_ns, v, 600 * BR_S);
	} else if (!strcmp(key, "off-time")) {
		*ret_wrong = set_duration(&l->off_time_ns, v, 600 * BR_S);
	} else if (!strcmp(key, "timeout")) {
		*ret_wrong = set_duration(&l->timeout_ns, v, 120 * BR_S);
		if (!*ret_wrong && l->timeout_ns < 100 * BR_MS)
			*ret_wrong = "must be 100ms or more";
	} else if (!strcmp(key, "at-once")) {
		*ret_wrong = br_parse_u64(v, 1, 64, &n) < 0 ? "must be a number from 1 to 64" : NULL;
		if (!*ret_wrong)
			l->at_once = (unsigned)n;
	} else {
		return false;
	}
	return true;
}

static const char *set_all(struct br_power_conf *conf, const char *key, const char *v)
{
	const char *wrong = NULL;
	uint64_t n = 0;

	if (set_limit(&conf->limits, key, v, &wrong))
		return wrong;
	if (!strcmp(key, "boot-timeout"))
		return set_duration(&conf->boot_ns, v, 86400 * BR_S);
	if (!strcmp(key, "idle-off") && !strcmp(v, "never")) {
		conf->idle_off_ns = 0;
		return NULL;
	}
	if (!strcmp(key, "idle-off")) {
		wrong = set_duration(&conf->idle_off_ns, v, 365 * 86400 * BR_S);
		return wrong ? wrong : conf->idle_off_ns < 60 * BR_S ? "must be 1m or more, or never" : NULL;
	}
	if (!strcmp(key, "quarantine-after")) {
		if (strcmp(v, "never") != 0 && br_parse_u64(v, 1, 1000, &n) < 0)
			return "must be how many failures in a row, from 1 to 1000, or never";
		conf->quarantine_after = strcmp(v, "never") ? (unsigned)n : 0;
		conf->has_quarantine_after = true;
		return NULL;
	}
	if (!strcmp(key, "ssh-key"))
		return v[0] == '/' ? set_text(&conf->ssh_key, v) : "must be an absolute path";
	if (!strcmp(key, "ssh-user"))
		return v[strspn(v, "abcdefghijklmnopqrstuvwxyz0123456789_-")] || v[0] == '-' ? "must be a user's name" :
											       set_text(&conf->ssh_user, v);
	return "is not known in [power]; there are at-once, boot-timeout, delay, idle-off, off-time, quarantine-after, ssh-key, ssh-user, "
	       "timeout";
}

static const char *set_list(char ***slot, size_t *n, const char *v, const char *wrong)
{
	char **names;
	size_t k;

	if (br_hostlist_expand(v, &names, &k, NULL) < 0)
		return wrong;
	br_hostlist_free(*slot, *n);
	*slot = names;
	*n = k;
	return NULL;
}

/* "1-24", "1,3,5-8", or a hostlist as "lan[1-8]". */
static const char *set_ports(struct br_power_section *s, const char *v)
{
	br_cleanup(br_freep) char *list = v[strspn(v, "0123456789,-")] ? strdup(v) : br_asprintf("[%s]", v);
	static const char wrong[] = "must be a list of ports, as 1-24 or 1,3,5-8";

	if (!list)
		return "cannot be kept: out of memory";
	return set_list(&s->ports, &s->n_ports, list, wrong);
}

static const char *check_url(const char *v)
{
	return br_str_starts(v, "http://") || br_str_starts(v, "https://") ? NULL : "must be a URL, as http://10.0.0.9/on?outlet={port}";
}

static const char *check_regex(const char *v)
{
	regex_t re;

	if (regcomp(&re, v, REG_EXTENDED | REG_NOSUB))
		return "must be an extended regular expression";
	regfree(&re);
	return NULL;
}

static const char *check_auth(const char *v)
{
	static const char *const names[] = { "MD5", "SHA", "SHA224", "SHA256", "SHA384", "SHA512" };

	for (size_t i = 0; i < BR_ARRAY_SIZE(names); i++)
		if (!strcmp(names[i], v))
			return NULL;
	return "must be SHA, SHA224, SHA256, SHA384, SHA512 or MD5";
}

static const char *check_priv(const char *v)
{
	return strcmp(v, "AES") && strcmp(v, "DES") ? "must be AES or DES" : NULL;
}

/* ---- a section's settings ---- */

#define BOTH 3
#define SWITCH 1
#define DEVICE 2

static const struct setting {
	const char *name;
	unsigned where;
	size_t offset;
	const char *(*check)(const char *v);
	bool secret; /* may also stand in the file that 'secrets' names */
} settings[] = {
	{ "uri", DEVICE, offsetof(struct br_power_section, uri), NULL, false },
	{ "on", DEVICE, offsetof(struct br_power_section, on), check_url, false },
	{ "off", DEVICE, offsetof(struct br_power_section, off), check_url, false },
	{ "reset", DEVICE, offsetof(struct br_power_section, reset), check_url, false },
	{ "status", DEVICE, offsetof(struct br_power_section, status), check_url, false },
	{ "status-on", DEVICE, offsetof(struct br_power_section, status_on), check_regex, false },
	{ "command", DEVICE, offsetof(struct br_power_section, command), br_power_command_check, false },
	{ "address", SWITCH, offsetof(struct br_power_section, address), NULL, false },
	{ "community", SWITCH, offsetof(struct br_power_section, community), NULL, true },
	{ "user", BOTH, offsetof(struct br_power_section, user), NULL, true },
	{ "password", DEVICE, offsetof(struct br_power_section, password), NULL, true },
	{ "auth-protocol", SWITCH, offsetof(struct br_power_section, auth_protocol), check_auth, false },
	{ "auth-password", SWITCH, offsetof(struct br_power_section, auth_password), NULL, true },
	{ "priv-protocol", SWITCH, offsetof(struct br_power_section, priv_protocol), check_priv, false },
	{ "priv-password", SWITCH, offsetof(struct br_power_section, priv_password), NULL, true },
};

static char **slot_of(struct br_power_section *s, const struct setting *st)
{
	return (char **)(void *)((char *)s + st->offset);
}

struct secrets {
	struct br_power_section *section;
	const char *wrong;
};

static int take_secret(void *user, const char *section, const char *name, const char *value)
{
	struct secrets *x = user;

	for (size_t i = 0; i < BR_ARRAY_SIZE(settings); i++) {
		if (strcmp(settings[i].name, name) != 0 || !settings[i].secret || *section ||
			!(settings[i].where & (x->section->is_switch ? SWITCH : DEVICE)))
			continue;
		x->wrong = set_text(slot_of(x->section, &settings[i]), value);
		return !x->wrong;
	}
	return 0;
}

static int read_secrets(struct br_power_section *s, const char *path, struct br_error *err)
{
	struct secrets x = { .section = s };
	int line;

	if (path[0] != '/')
		return br_error_set(err, EINVAL, "secrets '%s': must be an absolute path", path);
	line = ini_parse(path, take_secret, &x);
	if (line < 0)
		return br_error_set(err, errno ?: EIO, "secrets %s: cannot read: %m", path);
	if (line > 0)
		return br_error_set(err, EINVAL, "secrets %s, line %d: must be 'key = value' with %s", path, line,
			s->is_switch ? "community, user, auth-password or priv-password" : "user or password");
	return 0;
}

static int set_in_section(struct br_power_section *s, const char *key, const char *value, struct br_error *err)
{
	unsigned where = s->is_switch ? SWITCH : DEVICE;
	const char *wrong = NULL;
	char vis[80];

	if (!strcmp(key, "secrets"))
		return read_secrets(s, value, err);
	if (!strcmp(key, "boards")) {
		wrong = set_list(&s->boards, &s->n_boards, value, "must be a list of boards, as pi[01-24],lab-x");
	} else if (!strcmp(key, "ports")) {
		wrong = set_ports(s, value);
	} else if (!set_limit(&s->limits, key, value, &wrong)) {
		const struct setting *st = NULL;

		for (size_t i = 0; i < BR_ARRAY_SIZE(settings); i++)
			if (!strcmp(settings[i].name, key) && settings[i].where & where)
				st = &settings[i];
		if (!st)
			return br_error_set(err, EINVAL, "setting '%s' is not known in a [%s NAME] section; see bramble.conf(5)", key,
				s->is_switch ? "switch" : "power");
		wrong = st->check ? st->check(value) : NULL;
		wrong = wrong ?: set_text(slot_of(s, st), value);
		if (wrong && st->secret)
			return br_error_set(err, EINVAL, "%s: %s", key, wrong);
	}
	return wrong ? br_error_set(err, EINVAL, "%s '%s': %s", key, br_vis(vis, sizeof(vis), value, strlen(value)), wrong) : 0;
}

static bool name_ok(const char *name)
{
	size_t n = strlen(name);

	return n && n < sizeof(((struct br_power_section *)0)->name) &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == n;
}

static int section_of(struct br_power_conf *conf, const char *section, struct br_power_section **ret, struct br_error *err)
{
	bool is_switch = br_str_starts(section, "switch ");
	const char *name = strchr(section, ' ') + 1;
	char vis[80];

	for (size_t i = 0; i < conf->n; i++) {
		if (strcmp(conf->sections[i].name, name) != 0)
			continue;
		if (conf->sections[i].is_switch != is_switch)
			return br_error_set(err, EINVAL, "section [%s]: another one has this name; give them different ones", section);
		*ret = &conf->sections[i];
		return 0;
	}
	if (!name_ok(name))
		return br_error_set(err, EINVAL, "section [%s]: its name must be letters, digits, '-', '.' and '_'",
			br_vis(vis, sizeof(vis), section, strlen(section)));
	if (br_array_reserve(&conf->sections, &conf->cap, conf->n + 1, sizeof(conf->sections[0])) < 0)
		return br_error_set(err, ENOMEM, "out of memory");
	*ret = &conf->sections[conf->n++];
	**ret = (struct br_power_section){ .is_switch = is_switch };
	(void)br_strcpy((*ret)->name, sizeof((*ret)->name), name); /* it fits: name_ok() */
	return 0;
}

int br_power_conf_set(struct br_power_conf *conf, const char *section, const char *key, const char *value, struct br_error *err)
{
	struct br_power_section *s;
	char vis[80];
	int r;

	if (!strcmp(section, "power")) {
		const char *wrong = set_all(conf, key, value);

		return wrong ? br_error_set(err, EINVAL, "%s '%s': %s", key, br_vis(vis, sizeof(vis), value, strlen(value)), wrong) : 0;
	}
	r = section_of(conf, section, &s, err);
	return r < 0 ? r : set_in_section(s, key, value, err);
}

/* ---- what sections lack ---- */

static int check_switch(const struct br_power_section *s, struct br_error *err)
{
	if (!s->address)
		return br_error_set(err, EINVAL, "section [switch %s] has no 'address'", s->name);
	if (s->user && s->community)
		return br_error_set(err, EINVAL, "section [switch %s] has 'community' (SNMP v2c) and 'user' (SNMP v3): one of them", s->name);
	if (s->user && (!s->auth_password || strlen(s->auth_password) < 8))
		return br_error_set(err, EINVAL, "section [switch %s]: SNMP v3 needs 'auth-password' (and 'priv-password') of 8 letters or more",
			s->name);
	if (s->priv_password && strlen(s->priv_password) < 8)
		return br_error_set(err, EINVAL, "section [switch %s]: 'priv-password' must have 8 letters or more", s->name);
	return 0;
}

static int check_device(const struct br_power_conf *conf, const struct br_power_section *s, struct br_error *err)
{
	char uri[BR_POWER_URI_MAX + 1];
	unsigned n = (s->uri != NULL) + (s->command != NULL) + (s->on || s->off);
	struct br_power_uri parsed;
	int r;

	if (n != 1)
		return br_error_set(err, EINVAL, "section [power %s] must have one of: 'uri', 'command', or 'on' and 'off'", s->name);
	if ((s->on || s->off) && !(s->on && s->off))
		return br_error_set(err, EINVAL, "section [power %s] needs both 'on' and 'off'", s->name);
	if (!s->uri || !s->n_boards)
		return 0;
	if (br_power_conf_uri(conf, s->boards[0], uri, sizeof(uri)) < 0)
		return br_error_set(err, EINVAL, "section [power %s]: its 'uri' is too long, or has another field than {port} and {board}",
			s->name);
	r = br_power_uri_parse(uri, &parsed, err);
	return r < 0 ? br_error_prefix(err, "section [power %s]", s->name) : 0;
}

int br_power_conf_check(const struct br_power_conf *conf, struct br_error *err)
{
	for (size_t i = 0; i < conf->n; i++) {
		const struct br_power_section *s = &conf->sections[i];
		int r = s->is_switch ? check_switch(s, err) : check_device(conf, s, err);

		if (r < 0)
			return r;
		if (s->n_ports && s->n_boards != s->n_ports)
			return br_error_set(err, EINVAL, "section [%s %s] has %zu boards and %zu ports: as many of both are needed",
				s->is_switch ? "switch" : "power", s->name, s->n_boards, s->n_ports);
	}
	return 0;
}

/* ---- what it says ---- */

const struct br_power_section *br_power_conf_find(const struct br_power_conf *conf, const char *name)
{
	for (size_t i = 0; i < conf->n; i++)
		if (!strcmp(conf->sections[i].name, name))
			return &conf->sections[i];
	return NULL;
}

const char *br_power_fill(char *out, size_t size, const char *template, const struct br_power_field *fields, bool url)
{
	size_t n = 0;

	while (*template) {
		size_t len = *template == '{' ? strcspn(template, "}") : 0;
		const struct br_power_field *f = NULL;
		const char *v;

		for (f = fields; len && template[len] && f->name; f++)
			if (strlen(f->name) == len - 1 && !memcmp(f->name, template + 1, len - 1))
				break;
		if (!len || !template[len] || !f->name) {
			if (n + 1 >= size)
				return NULL;
			out[n++] = *template++;
			continue;
		}
		for (v = f->value; *v; v++) {
			bool plain = !url || isalnum((unsigned char)*v) || strchr("-._~", *v);

			if (n + 4 >= size)
				return NULL;
			if (plain)
				out[n++] = *v;
			else
				n += (size_t)snprintf(out + n, size - n, "%%%02X", (unsigned char)*v);
		}
		template += len + 1;
	}
	if (n >= size)
		return NULL;
	out[n] = 0;
	return out;
}

/* {action} is the driver's; what else is in braces is a mistake. */
static bool all_filled(const char *uri)
{
	while ((uri = strchr(uri, '{'))) {
		if (!br_str_starts(uri, "{action}"))
			return false;
		uri++;
	}
	return true;
}

int br_power_conf_uri(const struct br_power_conf *conf, const char *board, char *ret, size_t size)
{
	for (size_t i = 0; i < conf->n; i++) {
		const struct br_power_section *s = &conf->sections[i];
		const char *scheme = s->user ? "snmpv3" : "snmp";

		for (size_t k = 0; k < s->n_boards; k++) {
			char number[24];
			const char *port = k < s->n_ports ? s->ports[k] : number;
			const struct br_power_field fields[] = { { "port", port }, { "outlet", port }, { "board", board }, { 0 } };
			int n = 0;

			if (strcmp(s->boards[k], board) != 0)
				continue;
			snprintf(number, sizeof(number), "%zu", k + 1);
			if (s->uri)
				return br_power_fill(ret, size, s->uri, fields, true) && all_filled(ret) ? 0 : -EINVAL;
			n = snprintf(ret, size, "%s%s%s/%s", s->is_switch ? scheme : s->command ? "command" : "http",
				s->is_switch ? "://" : ":", s->name, port);
			return n > 0 && (size_t)n < size ? 0 : -EINVAL;
		}
	}
	return -ENOENT;
}

struct br_power_limits br_power_conf_limits(const struct br_power_conf *conf, const struct br_power_section *section,
	enum br_power_scheme scheme)
{
	static const struct br_power_section none;
	const struct br_power_limits *a = section ? &section->limits : &none.limits, *b = &conf->limits;
	bool command = scheme == BR_POWER_COMMAND;

	return (struct br_power_limits){
		.delay_ns = a->delay_ns ?: b->delay_ns ?: DELAY_NS,
		.off_time_ns = a->off_time_ns ?: b->off_time_ns ?: OFF_TIME_NS,
		.timeout_ns = a->timeout_ns ?: b->timeout_ns ?: (command ? COMMAND_TIMEOUT_NS : TIMEOUT_NS),
		.at_once = a->at_once ?: b->at_once ?: (command ? 4 : 1),
	};
}

uint64_t br_power_conf_boot_ns(const struct br_power_conf *conf)
{
	return conf->boot_ns ?: BOOT_NS;
}

unsigned br_power_conf_quarantine_after(const struct br_power_conf *conf)
{
	return conf->has_quarantine_after ? conf->quarantine_after : QUARANTINE_AFTER;
}

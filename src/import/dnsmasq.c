/* SPDX-License-Identifier: Apache-2.0 */
/* dnsmasq.conf and the files it names: hosts with a fixed address, ranges, options. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "import/internal.h"

#define PARTS_MAX 64

/* A comment begins with '#' at the line's start or behind a blank, outside of quotes; quotes themselves go. */
static void strip(char *line)
{
	char *to = line;
	bool quoted = false;

	for (char *p = line; *p; p++) {
		if (*p == '#' && !quoted && (p == line || strchr(" \t", p[-1])))
			break;
		if (*p == '"')
			quoted = !quoted;
		else if (*p == '\\' && quoted && p[1])
			*to++ = *++p;
		else
			*to++ = *p;
	}
	while (to > line && strchr(" \t", to[-1]))
		to--;
	*to = 0;
}

static char *trim(char *s)
{
	size_t n;

	s += strspn(s, " \t");
	for (n = strlen(s); n && strchr(" \t", s[n - 1]); n--)
		s[n - 1] = 0;
	return s;
}

static size_t split(char *value, char *parts[static PARTS_MAX])
{
	size_t n = 0;
	char *save = NULL;

	for (char *p = strtok_r(value, ",", &save); p && n < PARTS_MAX; p = strtok_r(NULL, ",", &save))
		parts[n++] = trim(p);
	return n;
}

/* "12h", "45m", "3600", "infinite" */
static bool is_lease(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return !strcmp(s, "infinite") || !strcmp(s, "deprecated") || (n && (!s[n] || (strchr("smhdw", s[n]) && !s[n + 1])));
}

/* What bramble takes from 2m to 365d. */
static void set_lease(struct br_import_file *f, const char *s)
{
	br_cleanup(br_freep) char *week = NULL;
	uint64_t n;

	if (br_str_ends(s, "w") && (week = strdup(s))) {
		week[strlen(s) - 1] = 0;
		if (br_parse_u64(week, 1, 52, &n) >= 0) {
			free(week);
			week = br_asprintf("%ud", (unsigned)n * 7);
			s = week ? week : s;
		}
	}
	br_import_set(f->im, br_import_here(f), "lease", !strcmp(s, "infinite") ? "365d" : s);
}

/* ---- dhcp-host ---- */

/* One part of it; false: it is none of those known. */
static bool host_part(struct br_import_file *f, struct br_import_record *rec, char *part)
{
	struct br_import_place at = br_import_here(f);

	if (br_str_starts(part, "set:")) {
		br_import_put_tags(f->im, rec, part + strlen("set:"), at);
		return true;
	}
	if (strpbrk(part, ":-") && br_str_starts(part, "1-") && br_import_put_mac(f->im, rec, part + 2, at))
		return true; /* type of hardware before it */
	if (br_import_put_mac(f->im, rec, part, at) || br_import_put_address(f->im, rec, part, at))
		return true;
	if (part[0] == '[' || is_lease(part))
		return true; /* IPv6; a board's address stays its own in any case */
	return !strpbrk(part, ":=*") && br_import_put_name(f->im, rec, part, at);
}

static int host(struct br_import_file *f, char *value)
{
	struct br_import *im = f->im;
	struct br_import_place at = br_import_here(f);
	br_cleanup(br_freep) char *whole = strdup(value);
	struct br_import_record *rec;
	char *parts[PARTS_MAX];
	size_t n = split(value, parts);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(parts[i], "ignore")) {
			br_import_say(im, BR_IMPORT_LEFT, at, whole ?: "", "this client gets no answer there; bramble answers boards only");
			return 0;
		}
	rec = br_import_record(im);
	for (size_t i = 0; rec && i < n; i++) {
		if (!parts[i][0])
			continue;
		if (br_str_starts(parts[i], "tag:"))
			br_import_say(im, BR_IMPORT_NOTE, at, parts[i], "the condition is not kept: the board always has this address and name");
		else if (br_str_starts(parts[i], "id:"))
			br_import_say(im, BR_IMPORT_LEFT, at, parts[i], "boards are known by MAC and serial, not by a client identifier");
		else if (!host_part(f, rec, parts[i]))
			br_import_say(im, BR_IMPORT_LEFT, at, parts[i], "is neither MAC, address, name, tag nor lease");
	}
	return 0;
}

int br_import_dnsmasq_hosts(struct br_import_file *f, void *ctx, struct br_error *err)
{
	char *line;

	while ((line = br_import_line(f))) {
		strip(line);
		line = trim(line);
		if (line[0])
			host(f, line);
	}
	return 0;
}

/* ---- ranges and options ---- */

static int range(struct br_import_file *f, char *value)
{
	struct br_import_place at = br_import_here(f);
	br_cleanup(br_freep) char *whole = strdup(value), *text = NULL;
	char *parts[PARTS_MAX];
	size_t n = split(value, parts), i = 0;
	uint32_t first, last;

	while (i < n && (br_str_starts(parts[i], "set:") || br_str_starts(parts[i], "tag:") || br_str_starts(parts[i], "interface:")))
		i++;
	if (i == n || br_ip_parse(parts[i], &first) < 0) {
		br_import_say(f->im, BR_IMPORT_LEFT, at, whole ?: "", "is no range of IPv4 addresses");
		return 0;
	}
	for (size_t k = i + 1; k < n; k++)
		if (is_lease(parts[k]))
			set_lease(f, parts[k]);
	if (i + 1 < n && !strcmp(parts[i + 1], "proxy")) {
		br_import_set(f->im, at, "dhcp", "proxy");
	} else if (i + 1 < n && br_ip_parse(parts[i + 1], &last) == 0 && last >= first) {
		text = br_asprintf("%s-%s", parts[i], parts[i + 1]);
		br_import_set(f->im, at, "dhcp", "full");
		if (text)
			br_import_set(f->im, at, "range", text);
	} else if (i + 1 < n && !strcmp(parts[i + 1], "static")) {
		br_import_say(f->im, BR_IMPORT_NOTE, at, whole ?: "", "only hosts that are listed get an address there: 'adopt = no' does the same");
		br_import_set(f->im, at, "adopt", "no");
	} else {
		br_import_say(f->im, BR_IMPORT_LEFT, at, whole ?: "", "its end is no address");
	}
	return 0;
}

/* Those of DHCP that have a setting; the others with the reason why not. */
static const struct {
	const char *number, *name, *key, *why;
} options[] = {
	{ "3", "router", "router", NULL }, { "6", "dns-server", "dns", NULL }, { "42", "ntp-server", "ntp", NULL },
	{ "15", "domain-name", "domain", NULL },
	{ "43", "vendor-encap", NULL, "bramble makes it for each model itself" },
	{ "60", "vendor-class", NULL, "bramble makes it for each model itself" },
	{ "66", "tftp-server", NULL, "bramble is the TFTP server" },
	{ "67", "bootfile-name", NULL, "each boot loader gets its own file from bramble" },
	{ "17", "root-path", NULL, "bramble serves the root" },
	{ "1", "netmask", NULL, "it comes with bramble's own address" },
	{ "28", "broadcast", NULL, "it comes with bramble's own address" },
	{ "12", "hostname", NULL, "it is the board's name" },
};

static int option(struct br_import_file *f, char *value)
{
	struct br_import_place at = br_import_here(f);
	br_cleanup(br_freep) char *whole = strdup(value);
	char *name = value, *rest = NULL;
	bool tagged = false;

	for (;;) {
		rest = strchr(name, ',');
		if (rest)
			*rest++ = 0;
		name = trim(name);
		if (!br_str_starts(name, "tag:") && !br_str_starts(name, "set:") && !br_str_starts(name, "net:") &&
			!br_str_starts(name, "vendor:") && !br_str_starts(name, "encap:"))
			break;
		tagged = true;
		if (!rest)
			break;
		name = rest;
	}
	name += br_str_starts(name, "option:") ? strlen("option:") : 0;
	rest = rest ? trim(rest) : NULL;
	for (size_t i = 0; i < BR_ARRAY_SIZE(options); i++) {
		if (strcmp(options[i].number, name) != 0 && strcmp(options[i].name, name) != 0)
			continue;
		if (options[i].key && tagged)
			br_import_say(f->im, BR_IMPORT_LEFT, at, whole ?: "", "it is for some clients only; bramble tells all boards the same");
		else if (options[i].key && rest && rest[0] && !strstr(rest, "0.0.0.0"))
			br_import_set(f->im, at, options[i].key, rest);
		else
			br_import_say(f->im, BR_IMPORT_NOTE, at, whole ?: "", "%s",
				options[i].why ? options[i].why : "without a value it needs nothing here");
		return 0;
	}
	br_import_say(f->im, BR_IMPORT_LEFT, at, whole ?: "", "bramble sends boards no such option");
	return 0;
}

/* ---- files it names ---- */

static int include(struct br_import_file *f, const char *path, const char *format, br_import_reader read, struct br_error *err)
{
	br_cleanup(br_freep) char *where = br_import_locate(f->im, path);

	if (!where)
		return br_error_set(err, ENOMEM, "out of memory");
	return br_import_include(f->im, br_import_here(f), where, format, read, NULL, false, err);
}

/* "DIR", "DIR,.bak" (all but these endings) or "DIR,*.conf" (only these) */
static bool is_wanted(const char *name, char *const *parts, size_t n)
{
	bool only = false, wanted = false;

	if (name[0] == '.' || br_str_ends(name, "~") || (name[0] == '#' && br_str_ends(name, "#")))
		return false;
	for (size_t i = 1; i < n; i++) {
		if (parts[i][0] == '*') {
			only = true;
			wanted |= br_str_ends(name, parts[i] + 1);
		} else if (parts[i][0] && br_str_ends(name, parts[i])) {
			return false;
		}
	}
	return !only || wanted;
}

static int include_dir(struct br_import_file *f, char *value, const char *format, br_import_reader read, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = NULL;
	char *parts[PARTS_MAX], **names = NULL;
	size_t n_parts = split(value, parts), n = 0;
	int r;

	if (!n_parts)
		return 0;
	dir = br_import_locate(f->im, parts[0]);
	if (!dir)
		return br_error_set(err, ENOMEM, "out of memory");
	r = f->im->io->list(f->im->io->ctx, dir, &names, &n, NULL);
	if (r < 0) {
		br_import_say(f->im, BR_IMPORT_LEFT, br_import_here(f), dir, "there is no such directory here");
		return 0;
	}
	for (size_t i = 0; i < n && r >= 0; i++) {
		br_cleanup(br_freep) char *path = br_path_join(dir, names[i]);

		if (path && is_wanted(names[i], parts, n_parts))
			r = br_import_include(f->im, br_import_here(f), path, format, read, NULL, false, err);
	}
	br_import_names_free(names, n);
	return r;
}

static int conf_file(struct br_import_file *f, char *value, struct br_error *err)
{
	return include(f, value, "dnsmasq", br_import_dnsmasq, err);
}

static int conf_dir(struct br_import_file *f, char *value, struct br_error *err)
{
	return include_dir(f, value, "dnsmasq", br_import_dnsmasq, err);
}

static int hosts_file(struct br_import_file *f, char *value, struct br_error *err)
{
	return include(f, value, "dnsmasq", br_import_dnsmasq_hosts, err);
}

static int hosts_dir(struct br_import_file *f, char *value, struct br_error *err)
{
	return include_dir(f, value, "dnsmasq", br_import_dnsmasq_hosts, err);
}

static int addn_hosts(struct br_import_file *f, char *value, struct br_error *err)
{
	return include(f, value, "hosts", br_import_hosts, err);
}

static int read_ethers(struct br_import_file *f, char *value, struct br_error *err)
{
	return include(f, "/etc/ethers", "ethers", br_import_ethers, err);
}

static int host_key(struct br_import_file *f, char *value, struct br_error *err)
{
	return host(f, value);
}

static int range_key(struct br_import_file *f, char *value, struct br_error *err)
{
	return range(f, value);
}

static int option_key(struct br_import_file *f, char *value, struct br_error *err)
{
	return option(f, value);
}

static int interface(struct br_import_file *f, char *value, struct br_error *err)
{
	if (strcmp(value, "lo") != 0)
		br_import_set(f->im, br_import_here(f), "interface", value);
	return 0;
}

static int domain(struct br_import_file *f, char *value, struct br_error *err)
{
	value[strcspn(value, ",")] = 0;
	br_import_set(f->im, br_import_here(f), "domain", value);
	return 0;
}

/* The folder that it serves: what is in it is a matter of its own. */
static int tftp_root(struct br_import_file *f, char *value, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = NULL;
	int r;

	value[strcspn(value, ",")] = 0;
	dir = br_import_locate(f->im, value);
	if (!dir)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_import_tree(f->im, dir, err);
	if (!r)
		br_import_say(f->im, BR_IMPORT_LEFT, br_import_here(f), dir, "there are no folders of boards here; 'bramble import DIR' reads a copy of it");
	return r;
}

/* why without run: not needed, or not to be had. */
static const struct {
	const char *key;
	int (*run)(struct br_import_file *f, char *value, struct br_error *err);
	enum br_import_level level;
	const char *why;
} keys[] = {
	{ "dhcp-host", host_key }, { "dhcp-range", range_key }, { "dhcp-option", option_key }, { "dhcp-option-force", option_key },
	{ "conf-file", conf_file }, { "conf-dir", conf_dir }, { "dhcp-hostsfile", hosts_file }, { "dhcp-hostsdir", hosts_dir },
	{ "addn-hosts", addn_hosts }, { "hostsdir", addn_hosts }, { "read-ethers", read_ethers }, { "interface", interface }, { "domain", domain },
	{ "tftp-root", tftp_root },
	{ "dhcp-boot", NULL, BR_IMPORT_NOTE, "each boot loader gets its own file from bramble" },
	{ "pxe-service", NULL, BR_IMPORT_NOTE, "bramble answers Raspberry Pi boards by itself" },
	{ "pxe-prompt", NULL, BR_IMPORT_NOTE, "bramble answers Raspberry Pi boards by itself" },
	{ "enable-tftp", NULL, BR_IMPORT_NOTE, "bramble is the TFTP server" },
	{ "tftp-unique-root", NULL, BR_IMPORT_NOTE, "each board has its own boot files anyway" },
	{ "tftp-no-blocksize", NULL, BR_IMPORT_NOTE, "bramble knows what each boot loader can do" },
	{ "tftp-secure", NULL, BR_IMPORT_NOTE, "bramble serves the image, no folder" },
	{ "tftp-lowercase", NULL, BR_IMPORT_NOTE, "names compare as on FAT" },
	{ "dhcp-reply-delay", NULL, BR_IMPORT_NOTE, "bramble knows which boot ROM needs a pause" },
	{ "dhcp-authoritative", NULL, BR_IMPORT_NOTE, "bramble is, with 'dhcp = full'" },
	{ "log-dhcp", NULL, BR_IMPORT_NOTE, "'bramble event tail' shows it" },
	{ "log-queries", NULL, BR_IMPORT_NOTE, "bramble has no DNS server" },
	{ "bind-interfaces", NULL, BR_IMPORT_NOTE, "bramble serves one interface" },
	{ "bind-dynamic", NULL, BR_IMPORT_NOTE, "bramble serves one interface" },
	{ "port", NULL, BR_IMPORT_NOTE, "bramble has no DNS server" },
	{ "dhcp-no-override", NULL, BR_IMPORT_NOTE, "bramble uses options and fields as each boot loader needs them" },
	{ "dhcp-leasefile", NULL, BR_IMPORT_LEFT, "leases are not taken over; boards of a fixed address keep it" },
	{ "dhcp-script", NULL, BR_IMPORT_LEFT, "hooks are bramble's own: [hook NAME] in bramble.conf" },
	{ "dhcp-match", NULL, BR_IMPORT_LEFT, "bramble tells boards and boot loaders apart by itself" },
	{ "dhcp-vendorclass", NULL, BR_IMPORT_LEFT, "bramble tells boards and boot loaders apart by itself" },
	{ "dhcp-mac", NULL, BR_IMPORT_LEFT, "bramble tells boards and boot loaders apart by itself" },
	{ "dhcp-ignore", NULL, BR_IMPORT_LEFT, "bramble answers boards only; 'adopt = no' leaves unknown ones alone" },
	{ "server", NULL, BR_IMPORT_LEFT, "bramble has no DNS server; keep dnsmasq for names" },
	{ "address", NULL, BR_IMPORT_LEFT, "bramble has no DNS server; keep dnsmasq for names" },
	{ "local-service", NULL, BR_IMPORT_NOTE, "bramble has no DNS server" },
	{ "local", NULL, BR_IMPORT_LEFT, "bramble has no DNS server; keep dnsmasq for names" },
	{ "host-record", NULL, BR_IMPORT_LEFT, "bramble has no DNS server; keep dnsmasq for names" },
	{ "cname", NULL, BR_IMPORT_LEFT, "bramble has no DNS server; keep dnsmasq for names" },
};

static int take(struct br_import_file *f, char *key, char *value, struct br_error *err)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(keys); i++) {
		if (strcmp(keys[i].key, key) != 0)
			continue;
		if (keys[i].run)
			return keys[i].run(f, value, err);
		br_import_say(f->im, keys[i].level, br_import_here(f), key, "%s", keys[i].why);
		return 0;
	}
	br_import_say(f->im, BR_IMPORT_LEFT, br_import_here(f), key, "bramble has nothing of the kind");
	return 0;
}

int br_import_dnsmasq(struct br_import_file *f, void *ctx, struct br_error *err)
{
	char *line;
	int r = 0;

	while (r >= 0 && (line = br_import_line(f))) {
		char *equals;

		strip(line);
		line = trim(line);
		if (!line[0])
			continue;
		line += br_str_starts(line, "--") ? 2 : 0;
		equals = strchr(line, '=');
		if (equals)
			*equals++ = 0;
		r = take(f, trim(line), equals ? trim(equals) : line + strlen(line), err);
	}
	return r;
}

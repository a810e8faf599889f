/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the daemon as a table. */
#include "daemon/config.h"

#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/web.h"
#include "base/addr.h"
#include "base/cleanup.h"
#include "base/hostlist.h"
#include "base/text.h"
#include "plan/admission.h"
#include "plan/persist.h"

static const char *check_address(const char *v)
{
	uint32_t ip;
	unsigned prefix;

	if (br_ip_parse_prefix(v, &ip, &prefix) < 0 || !strchr(v, '/') || prefix < 8 || prefix > 30)
		return "must be an address with a prefix of 8 to 30, as 10.77.0.1/24";
	return NULL;
}

/* One part of a list, without blanks around; false at the end. */
static bool next_part(const char **at, const char *separators, char *out, size_t size, bool *ok)
{
	const char *p = *at + strspn(*at, " ");
	size_t n = strcspn(p, separators);
	size_t len = n;

	if (!*p)
		return false;
	while (len && p[len - 1] == ' ')
		len--;
	*ok = len > 0 && len < size;
	if (*ok) {
		memcpy(out, p, len);
		out[len] = 0;
	}
	*at = p + n + (p[n] != 0);
	return *ok;
}

int br_config_addresses(const char *value, uint32_t *ret, size_t max)
{
	char text[32];
	bool ok = true;
	size_t n = 0;

	while (next_part(&value, ",", text, sizeof(text), &ok)) {
		if (n == max || br_ip_parse(text, &ret[n]) < 0 || !ret[n])
			return -EINVAL;
		n++;
	}
	return ok && n ? (int)n : -EINVAL;
}

static int parse_range(const char *v, uint32_t *first, uint32_t *last)
{
	char text[32];
	const char *dash = strchr(v, '-');

	if (!dash || (size_t)(dash - v) >= sizeof(text))
		return -EINVAL;
	memcpy(text, v, (size_t)(dash - v));
	text[dash - v] = 0;
	return br_ip_parse(text, first) < 0 || br_ip_parse(dash + 1, last) < 0 || *last < *first ? -EINVAL : 0;
}

/* NET/PREFIX=FIRST-LAST, and @ROUTER where the relay is not the router. */
static int parse_subnet(char *text, struct br_dhcp_subnet *ret)
{
	char *range = strchr(text, '='), *router = strchr(text, '@');
	struct br_dhcp_subnet s = { 0 };
	uint32_t mask;

	if (!range)
		return -EINVAL;
	*range++ = 0;
	if (router)
		*router++ = 0;
	if (!strchr(text, '/') || br_ip_parse_prefix(text, &s.net, &s.prefix) < 0 || s.prefix < 8 || s.prefix > 30 ||
		parse_range(range, &s.first, &s.last) < 0 || (router && br_ip_parse(router, &s.router_ip) < 0))
		return -EINVAL;
	mask = br_ip_mask(s.prefix);
	if (s.net & ~mask || (s.first & mask) != s.net || (s.last & mask) != s.net || s.first == s.net ||
		s.last == (s.net | ~mask) || (router && (s.router_ip & mask) != s.net))
		return -EINVAL;
	*ret = s;
	return 0;
}

int br_config_subnets(const char *value, struct br_dhcp_subnet *ret, size_t max)
{
	char text[96];
	bool ok = true;
	size_t n = 0;

	while (next_part(&value, ",", text, sizeof(text), &ok)) {
		if (n == max || parse_subnet(text, &ret[n]) < 0)
			return -EINVAL;
		n++;
	}
	return ok && n ? (int)n : -EINVAL;
}

static const char *check_addresses(const char *v)
{
	uint32_t ip[BR_DHCP_MAX_ADDRESSES];

	return br_config_addresses(v, ip, BR_DHCP_MAX_ADDRESSES) < 0 ?
		       "must be one to four IPv4 addresses with commas between" :
		       NULL;
}

static const char *check_subnets(const char *v)
{
	struct br_dhcp_subnet subnets[BR_DHCP_MAX_SUBNETS];

	return br_config_subnets(v, subnets, BR_DHCP_MAX_SUBNETS) < 0 ?
		       "must be up to 16 networks with a range inside each, as 10.78.0.0/24=10.78.0.10-10.78.0.199, or with "
		       "its router, as 10.78.0.0/24=10.78.0.10-10.78.0.199@10.78.0.1" :
		       NULL;
}

/* RFC 1035 2.3.1, and no more than fits the option. */
static const char *check_domain(const char *v)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";

	return !v[0] || strlen(v) > 127 || v[strspn(v, letters)] || v[0] == '.' || v[0] == '-' ?
		       "must be a domain name, as lab.example" :
		       NULL;
}

static const char *check_dhcp(const char *v)
{
	static const char *const modes[] = { "auto", "full", "proxy", "off" };

	for (size_t i = 0; i < BR_ARRAY_SIZE(modes); i++)
		if (!strcmp(v, modes[i]))
			return NULL;
	return "must be auto, full, proxy or off";
}

static const char *check_range(const char *v)
{
	uint32_t a, b;

	return parse_range(v, &a, &b) < 0 ?
		       "must be two addresses, the lower one first, as 10.77.0.100-10.77.0.199" :
		       NULL;
}

static const char *check_lease(const char *v)
{
	uint64_t ns;

	if (br_parse_duration(v, &ns) < 0 || ns < 120000000000ull || ns > 31536000000000000ull)
		return "must be a duration from 2m to 365d, as 12h";
	return NULL;
}

static const char *check_disk(const char *v)
{
	return br_board_disk_ok(v) ? NULL : "must be volatile, persistent or ram";
}

static const char *check_persist(const char *v)
{
	uint64_t size;

	return br_persist_parse(v, &size) < 0 ? "must be off, on (1G) or a size from 16M to 16T" : NULL;
}

static const char *check_durability(const char *v)
{
	return strcmp(v, "strict") && strcmp(v, "relaxed") ? "must be strict or relaxed" : NULL;
}

static const char *check_yes_no(const char *v)
{
	return strcmp(v, "yes") && strcmp(v, "no") ? "must be yes or no" : NULL;
}

static const char *check_auto_on_off(const char *v)
{
	return strcmp(v, "auto") && strcmp(v, "on") && strcmp(v, "off") ? "must be auto, on or off" : NULL;
}

static const char *check_log(const char *v)
{
	static const char *const levels[] = { "error", "warning", "info", "debug" };

	for (size_t i = 0; i < BR_ARRAY_SIZE(levels); i++)
		if (!strcmp(v, levels[i]))
			return NULL;
	return "must be error, warning, info or debug";
}

static const char *check_web_read(const char *v)
{
	return strcmp(v, "local") && strcmp(v, "token") ? "must be local or token" : NULL;
}

static const char *check_port(const char *v)
{
	uint64_t port;

	return br_parse_u64(v, 0, 65535, &port) < 0 ? "must be a port number, or 0" : NULL;
}

int br_config_at_once(const char *value, uint32_t *ret)
{
	uint64_t n;

	if (!strcmp(value, "auto"))
		n = 0;
	else if (!strcmp(value, "unlimited"))
		n = BR_ADMISSION_UNLIMITED;
	else if (br_parse_u64(value, 1, BR_ADMISSION_BOARDS, &n) < 0)
		return -EINVAL;
	*ret = (uint32_t)n;
	return 0;
}

static const char *check_at_once(const char *v)
{
	uint32_t n;

	return br_config_at_once(v, &n) < 0 ? "must be auto, unlimited or a number from 1 to 8192" : NULL;
}

/* Links are reckoned in bits and powers of ten. */
int br_config_rate(const char *value, uint64_t *ret)
{
	static const struct {
		char unit;
		uint64_t bits;
	} units[] = { { 'k', 1000 }, { 'M', 1000000 }, { 'G', 1000000000 } };
	size_t n = strlen(value);
	uint64_t factor = 1, number;
	char text[24];

	if (!strcmp(value, "auto")) {
		*ret = 0;
		return 0;
	}
	for (size_t i = 0; n && i < BR_ARRAY_SIZE(units); i++)
		if (value[n - 1] == units[i].unit)
			factor = units[i].bits;
	n -= factor != 1;
	if (n >= sizeof(text))
		return -EINVAL;
	memcpy(text, value, n);
	text[n] = 0;
	if (br_parse_u64(text, 1, 1000000000000 / factor, &number) < 0 || number * factor < 1000000)
		return -EINVAL;
	*ret = number * factor / 8;
	return 0;
}

static const char *check_rate(const char *v)
{
	uint64_t rate;

	return br_config_rate(v, &rate) < 0 ? "must be auto, or bits a second from 1M to 1000G, as 500M" : NULL;
}

static const char *check_keep(const char *v)
{
	uint64_t ns;

	return strcmp(v, "forever") && (br_parse_duration(v, &ns) < 0 || ns < 3600000000000ull) ?
		       "must be a duration of at least 1h, as 90d, or forever" :
		       NULL;
}

static const char *check_max_events(const char *v)
{
	uint64_t n;

	return br_parse_u64(v, 0, UINT64_MAX, &n) < 0 || (n && n < 1000) ? "must be a number from 1000, or 0 for no limit" :
									   NULL;
}

static const char *check_on_off(const char *v)
{
	return strcmp(v, "on") && strcmp(v, "off") ? "must be on or off" : NULL;
}

static const char *check_board_logs(const char *v)
{
	static const char *const values[] = { "off", "netconsole", "syslog", "netconsole,syslog", "syslog,netconsole" };

	for (size_t i = 0; i < BR_ARRAY_SIZE(values); i++)
		if (!strcmp(v, values[i]))
			return NULL;
	return "must be off, netconsole, syslog or netconsole,syslog";
}

static const char *check_logs_size(const char *v)
{
	uint64_t size;

	return br_parse_size(v, &size) < 0 || size < 8u << 20 || size > 1ull << 44 ? "must be a size from 8M to 16T, as 1G" : NULL;
}

static const char *check_logs_rate(const char *v)
{
	uint64_t n;

	return br_parse_u64(v, 1, 1000000, &n) < 0 ? "must be a number of lines from 1 to 1000000" : NULL;
}

#define AT(field) offsetof(struct br_config, field)

const struct br_config_setting br_config_settings[] = {
	{ "image", "IMAGE", "image of boards that have none of their own: a file or a name", NULL, AT(image), NULL },
	{ "interface", "IF", "network interface the boards are on (default: that of the default route)", NULL,
		AT(interface), NULL },
	{ "address", "ADDR/PREFIX", "our address there; added to the interface when it lacks it", NULL, AT(address),
		check_address },
	{ "dhcp", "auto|full|proxy|off", "give addresses here, or only tell boards where to boot (default: auto)", "auto",
		AT(dhcp), check_dhcp },
	{ "range", "A-B", "addresses to give (default: those of the network)", NULL, AT(range), check_range },
	{ "router", "ADDR,...", "routers to tell the boards of", NULL, AT(router), check_addresses },
	{ "dns", "ADDR,...", "name servers to tell the boards of", NULL, AT(dns), check_addresses },
	{ "ntp", "ADDR,...", "time servers to tell the boards of", NULL, AT(ntp), check_addresses },
	{ "domain", "NAME", "domain name to tell the boards", NULL, AT(domain), check_domain },
	{ "subnets", "NET/PREFIX=A-B,...", "networks behind relays, each with its range", NULL, AT(subnets),
		check_subnets },
	{ "lease", "DURATION", "how long an address is given for (default: 12h)", "12h", AT(lease), check_lease },
	{ "disk", "volatile|persistent|ram",
		"drop a board's changes at its next boot, keep them, or leave them in its memory (default: volatile)", "volatile",
		AT(disk), check_disk },
	{ "persist", "off|on|SIZE", "an area of each board that outlives volatile disks, mounted as /persist (default: off)", "off",
		AT(persist), check_persist },
	{ "durability", "strict|relaxed", "relaxed: volatile disks do not outlive a power loss of this host (default: strict)",
		"strict", AT(durability), check_durability },
	{ "adopt", "yes|no", "take in boards that are not known (default: yes)", "yes", AT(adopt), check_yes_no },
	{ "boots-at-once", "auto|unlimited|N", "boards that may fetch their boot files at once (default: auto)", "auto",
		AT(boots_at_once), check_at_once },
	{ "boot-rate", "auto|RATE", "bits a second of the link that boot files may take, as 500M (default: auto)", "auto",
		AT(boot_rate), check_rate },
	{ "http-port", "PORT", "port of the boards' HTTP server, 0 for none (default: 80 where it is free)", NULL,
		AT(http_port), check_port },
	{ "web", "[ADDR:]PORT|off", "where the page and the API are (default: port 8480 on the boards' interface and here)", NULL, AT(web),
		br_web_where_check },
	{ "web-cert", "FILE", "certificate of the page and the API, PEM; with web-key: HTTPS", NULL, AT(web_cert), NULL },
	{ "web-key", "FILE", "its key", NULL, AT(web_key), NULL },
	{ "web-names", "NAME,...", "more names by which browsers may call this machine", NULL, AT(web_names), NULL },
	{ "web-read", "local|token", "who may look without a token: those on the boards' network (default), or nobody", "local", AT(web_read),
		check_web_read },
	{ "tftp-fast-path", "auto|on|off", "send boot files past the kernel's routing and firewall (default: auto, where permitted)",
		"auto", AT(tftp_fast_path), check_auto_on_off },
	{ "overrides", "DIR", "boot files put over the image's: DIR/BOARD/, DIR/all/ (default: " BR_OVERRIDES_DIR ")",
		BR_OVERRIDES_DIR, AT(overrides), NULL },
	{ "root-files", "DIR", "files put over the image's root: DIR/BOARD/, DIR/all/ (default: " BR_ROOT_FILES_DIR ")",
		BR_ROOT_FILES_DIR, AT(root_files), NULL },
	{ "authorized-keys", "FILE", "ssh keys that may log in on every board (default: " BR_KEYS_FILE ")", BR_KEYS_FILE,
		AT(authorized_keys), NULL },
	{ "power-command", "COMMAND", "switches a board: program and arguments, with {board}, {mac}, {serial}, {notes}, {action}",
		NULL, AT(power_command), br_power_command_check },
	{ "keep-events", "DURATION|forever", "how long what happened is remembered (default: 90d)", "90d", AT(keep_events),
		check_keep },
	{ "max-events", "N", "how many events are remembered, 0 for all (default: 1000000)", "1000000", AT(max_events),
		check_max_events },
	{ "logs", "on|off", "take and keep what boards log: syslog, netconsole, bramble-log (default: on)", "on", AT(logs),
		check_on_off },
	{ "board-logs", "off|netconsole,syslog", "files in boards' roots that make them send their logs here (default: off)", "off",
		AT(board_logs), check_board_logs },
	{ "logs-size", "SIZE", "how much disk the logs may take (default: 1G)", "1G", AT(logs_size), check_logs_size },
	{ "logs-age", "DURATION|forever", "how long logs are kept (default: 30d)", "30d", AT(logs_age), check_keep },
	{ "logs-rate", "N", "lines a second that a board may log, ten times that at once (default: 2000)", "2000", AT(logs_rate),
		check_logs_rate },
	{ "user", "NAME", "user to become once the ports are open", NULL, AT(user), NULL },
	{ "state", "DIR", "where images, disks and the database live", NULL, AT(state), NULL },
	{ "log", "LEVEL", "error, warning, info or debug (default: info)", "info", AT(log), check_log },
	{ NULL },
};

static char **slot(struct br_config *config, const struct br_config_setting *s)
{
	return (char **)(void *)((char *)config + s->offset);
}

int br_config_set(struct br_config *config, const struct br_config_setting *s, const char *value,
	struct br_error *err)
{
	const char *wrong = s->check ? s->check(value) : !value[0] ? "must not be empty" : NULL;
	char shown[80];
	char *copy;

	if (wrong)
		return br_error_set(err, EINVAL, "%s '%s': %s", s->name,
			br_vis(shown, sizeof(shown), value, strlen(value)), wrong);
	copy = strdup(value);
	if (!copy)
		return br_error_set(err, ENOMEM, "out of memory");
	free(*slot(config, s));
	*slot(config, s) = copy;
	return 0;
}

int br_config_init(struct br_config *config, struct br_error *err)
{
	*config = (struct br_config){ 0 };
	for (const struct br_config_setting *s = br_config_settings; s->name; s++) {
		int r = s->fallback ? br_config_set(config, s, s->fallback, err) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

void br_config_done(struct br_config *config)
{
	for (const struct br_config_setting *s = br_config_settings; s->name; s++)
		free(*slot(config, s));
	free(config->shares);
	free(config->hooks);
	br_usb_policy_done(&config->usb);
	br_power_conf_done(&config->power);
	*config = (struct br_config){ 0 };
}

/* ---- [share NAME] ---- */

static const char *set_share_dir(struct br_share *s, const char *v)
{
	return v[0] != '/' || br_strcpy(s->dir, sizeof(s->dir), v) < 0 ? "must be an absolute path" : NULL;
}

static const char *set_share_mode(struct br_share *s, const char *v)
{
	s->read_only = !strcmp(v, "ro");
	return s->read_only || !strcmp(v, "rw") ? NULL : "must be ro or rw";
}

static const char *set_share_boards(struct br_share *s, const char *v)
{
	char **names;
	size_t n;

	if (br_hostlist_expand(v, &names, &n, NULL) < 0 || br_strcpy(s->boards, sizeof(s->boards), v) < 0)
		return "must be a list of boards, as pi[01-24],lab-x";
	br_hostlist_free(names, n);
	return NULL;
}

static const char *set_share_owner(struct br_share *s, const char *v)
{
	return br_parse_owner(v, &s->uid, &s->gid) < 0 ? "must be UID:GID, as 1000:1000" : NULL;
}

static const struct {
	const char *name;
	const char *(*set)(struct br_share *s, const char *value);
} share_settings[] = {
	{ "dir", set_share_dir },
	{ "mode", set_share_mode },
	{ "boards", set_share_boards },
	{ "owner", set_share_owner },
};

/* The section's share, made with its defaults at its first setting. */
static struct br_share *share_of(struct br_config *config, const char *name, struct br_error *err)
{
	struct br_share *more;
	char vis[80];

	for (size_t i = 0; i < config->n_shares; i++)
		if (!strcmp(config->shares[i].name, name))
			return &config->shares[i];
	if (!br_share_name_ok(name)) {
		br_error_set(err, EINVAL, "section [share %s]: the name must be 1 to %d of a-z, 0-9, '.', '_', '-' and begin with a "
			"letter or digit", br_vis(vis, sizeof(vis), name, strlen(name)), BR_SHARE_NAME_MAX);
		return NULL;
	}
	more = reallocarray(config->shares, config->n_shares + 1, sizeof(*more));
	if (!more) {
		br_error_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	config->shares = more;
	more = &config->shares[config->n_shares++];
	*more = (struct br_share){ .read_only = true, .uid = BR_SHARE_OWNER, .gid = BR_SHARE_OWNER };
	br_strcpy(more->name, sizeof(more->name), name);
	return more;
}

static int take_share(struct br_config *config, const char *share, const char *name, const char *value, struct br_error *err)
{
	struct br_share *s = share_of(config, share, err);
	const char *wrong;
	char shown[80];

	if (!s)
		return -err->code;
	for (size_t i = 0; i < BR_ARRAY_SIZE(share_settings); i++) {
		if (strcmp(share_settings[i].name, name) != 0)
			continue;
		wrong = share_settings[i].set(s, value);
		return wrong ? br_error_set(err, EINVAL, "%s '%s': %s", name, br_vis(shown, sizeof(shown), value, strlen(value)), wrong) :
			       0;
	}
	return br_error_set(err, EINVAL, "setting '%s' is not known in a [share] section; there are dir, mode, boards, owner", name);
}

static int check_shares(const struct br_config *config, const char *path, struct br_error *err)
{
	for (size_t i = 0; i < config->n_shares; i++)
		if (!config->shares[i].dir[0])
			return br_error_set(err, EINVAL, "%s: section [share %s] has no 'dir'", path, config->shares[i].name);
	return 0;
}

/* ---- [hook NAME] ---- */

static struct br_hook *hook_of(struct br_config *config, const char *name, struct br_error *err)
{
	struct br_hook *more;
	char vis[80];

	for (size_t i = 0; i < config->n_hooks; i++)
		if (!strcmp(config->hooks[i].name, name))
			return &config->hooks[i];
	if (!br_share_name_ok(name) || strlen(name) > BR_HOOK_NAME_MAX || config->n_hooks == BR_HOOKS_MAX) {
		br_error_set(err, EINVAL, "section [hook %s]: there may be %d, and a name is 1 to %d of a-z, 0-9, '.', '_', '-' and begins with a "
			"letter or digit", br_vis(vis, sizeof(vis), name, strlen(name)), BR_HOOKS_MAX, BR_HOOK_NAME_MAX);
		return NULL;
	}
	more = reallocarray(config->hooks, config->n_hooks + 1, sizeof(*more));
	if (!more) {
		br_error_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	config->hooks = more;
	more = &config->hooks[config->n_hooks++];
	*more = (struct br_hook){ 0 };
	br_strcpy(more->name, sizeof(more->name), name);
	return more;
}

static int take_hook(struct br_config *config, const char *hook, const char *name, const char *value, struct br_error *err)
{
	struct br_hook *h = hook_of(config, hook, err);
	const char *wrong;
	int r;

	if (!h)
		return -err->code;
	wrong = br_hook_set(h, name, value, &r);
	if (wrong)
		return br_error_set(err, EINVAL, "section [hook %s], '%s': %s", hook, name, wrong);
	if (r < 0)
		return br_error_set(err, EINVAL, "setting '%s' is not known in a [hook] section; there are on, url, exec, secret, timeout", name);
	return 0;
}

static int check_hooks(const struct br_config *config, const char *path, struct br_error *err)
{
	for (size_t i = 0; i < config->n_hooks; i++) {
		const char *wrong = br_hook_check(&config->hooks[i]);

		if (wrong)
			return br_error_set(err, EINVAL, "%s: section [hook %s] %s", path, config->hooks[i].name, wrong);
	}
	return 0;
}

struct reading {
	struct br_config *config;
	struct br_error err;
};

/* inih's callback: 1 to go on, 0 to stop. */
static int take_setting(void *user, const char *section, const char *name, const char *value)
{
	struct reading *rd = user;

	if (br_str_starts(section, "share "))
		return take_share(rd->config, section + 6, name, value, &rd->err) >= 0;
	if (br_str_starts(section, "hook "))
		return take_hook(rd->config, section + 5, name, value, &rd->err) >= 0;
	if (!strcmp(section, "usb") || br_str_starts(section, "usb "))
		return br_usb_policy_set(&rd->config->usb, section[3] ? section + 4 : "", name, value, &rd->err) >= 0;
	if (!strcmp(section, "power") || br_str_starts(section, "power ") || br_str_starts(section, "switch "))
		return br_power_conf_set(&rd->config->power, section, name, value, &rd->err) >= 0;
	if (strcmp(section, "serve")) {
		br_error_set(&rd->err, EINVAL, "section [%s] is not known; there are [serve], [share NAME], [hook NAME], [power], [power NAME], [switch NAME], [usb] "
			"and [usb path P]", section);
		return 0;
	}
	for (const struct br_config_setting *s = br_config_settings; s->name; s++)
		if (!strcmp(s->name, name))
			return br_config_set(rd->config, s, value, &rd->err) >= 0;
	br_error_set(&rd->err, EINVAL, "setting '%s' is not known; see bramble.conf(5)", name);
	return 0;
}

int br_config_read(struct br_config *config, const char *path, bool must_exist, struct br_error *err)
{
	struct reading rd = { .config = config };
	int line;

	if (access(path, F_OK) < 0 && !must_exist)
		return 0;
	line = ini_parse(path, take_setting, &rd);
	if (line < 0)
		return br_error_set(err, errno ?: EIO, "%s: cannot read: %m", path);
	if (line > 0)
		return br_error_set(err, EINVAL, "%s, line %d: %s", path, line,
			rd.err.code ? rd.err.text : "is neither a [section], a 'key = value' nor a comment");
	if (br_power_conf_check(&config->power, err) < 0)
		return br_error_prefix(err, "%s", path);
	line = check_shares(config, path, err);
	return line < 0 ? line : check_hooks(config, path, err);
}

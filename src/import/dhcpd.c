/* SPDX-License-Identifier: Apache-2.0 */
/* ISC dhcpd.conf: statements ended by ';' and blocks in braces, nested; host declarations are what we are after. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "import/internal.h"

#define WORDS_MAX 256
#define NEST_MAX  32

/* Where a statement stands. What a block sets holds inside it. */
struct scope {
	struct scope *up;
	struct br_import_record *host; /* of a host declaration */
	bool conditional;	       /* if, class, subclass: for some clients only */
	bool subnet;
	uint32_t net;
	unsigned prefix;
	char router[BR_IP_TEXT];
	char range[2 * BR_IP_TEXT];
	struct br_import_place range_at;
};

struct parser {
	struct br_import_file *f;
	char *p;
	unsigned nest;
	unsigned n_ranges;
	/* the statement in hand */
	char *words[WORDS_MAX];
	size_t n;
	unsigned line; /* where it begins */
};

static int statements(struct parser *ps, struct scope *scope, struct br_error *err);

static struct br_import_place here(const struct parser *ps)
{
	return (struct br_import_place){ ps->f->file, ps->line };
}

static void skip_blank(struct parser *ps)
{
	for (;; ps->p++) {
		if (*ps->p == '#')
			ps->p += strcspn(ps->p, "\n");
		if (*ps->p == '\n')
			ps->f->line++;
		if (!*ps->p || !strchr(" \t\r\n", *ps->p))
			return;
	}
}

/* "..." with \" and \\ in it, made a word in place; the next character is behind it. */
static int quoted(struct parser *ps, char **ret, struct br_error *err)
{
	char *to = ++ps->p, *start = to;

	while (*ps->p != '"') {
		if (!*ps->p || *ps->p == '\n')
			return br_error_set(err, EINVAL, "%s:%u: a quote is not closed", ps->f->path, ps->f->line);
		if (*ps->p == '\\' && ps->p[1] && ps->p[1] != '\n')
			ps->p++;
		*to++ = *ps->p++;
	}
	ps->p++;
	*to = 0;
	*ret = start;
	return 0;
}

/* Words up to ';', '{' or '}', which is the answer; 0: the end of the file. */
static int statement(struct parser *ps, struct br_error *err)
{
	ps->n = 0;
	for (;;) {
		char c, *word;

		skip_blank(ps);
		if (!ps->n)
			ps->line = ps->f->line;
		c = *ps->p;
		if (!c && ps->n)
			return br_error_set(err, EINVAL, "%s:%u: the statement has no ';' at its end", ps->f->path, ps->line);
		if (!c)
			return 0;
		if (strchr(";{}", c)) {
			*ps->p++ = 0; /* ends the word before it, too */
			return c;
		}
		if (c == ',') {
			*ps->p++ = 0;
			continue;
		}
		if (c == '"') {
			int r = quoted(ps, &word, err);

			if (r < 0)
				return r;
		} else {
			word = ps->p;
			ps->p += strcspn(ps->p, " \t\r\n;{},#\"");
		}
		if (ps->n < WORDS_MAX)
			ps->words[ps->n++] = word;
		if (*ps->p == '"' || *ps->p == '#')
			return br_error_set(err, EINVAL, "%s:%u: a quote or comment in the middle of a word", ps->f->path, ps->f->line);
		if (strchr(" \t\r", *ps->p) && *ps->p)
			*ps->p++ = 0;
		else if (*ps->p == '\n') {
			ps->f->line++;
			*ps->p++ = 0;
		}
	}
}

/* The words behind the first 'from' with a blank or comma between, free(). */
static char *rest(const struct parser *ps, size_t from, const char *between)
{
	struct br_text t = BR_TEXT_NULL;

	for (size_t i = from; i < ps->n; i++)
		br_text_addf(&t, "%s%s", i > from ? between : "", ps->words[i]);
	return br_text_take(&t);
}

static bool is(const struct parser *ps, size_t i, const char *word)
{
	return i < ps->n && !strcmp(ps->words[i], word);
}

static void leave(const struct parser *ps, const char *why)
{
	br_cleanup(br_freep) char *text = rest(ps, 0, " ");

	br_import_say(ps->f->im, BR_IMPORT_LEFT, here(ps), text ?: "", "%s", why);
}

static void note(const struct parser *ps, const char *why)
{
	br_cleanup(br_freep) char *text = rest(ps, 0, " ");

	br_import_say(ps->f->im, BR_IMPORT_NOTE, here(ps), text ?: "", "%s", why);
}

/* ---- statements of a host ---- */

static void host_option(struct parser *ps, struct br_import_record *host)
{
	struct br_import *im = ps->f->im;

	if (is(ps, 1, "host-name") && ps->n == 3)
		br_import_put_name(im, host, ps->words[2], here(ps)); /* the declaration's own name counts after it */
	else if (is(ps, 1, "root-path") && ps->n == 3)
		br_import_put(im, host, BR_IK_ROOT, strrchr(ps->words[2], ':') ? strrchr(ps->words[2], ':') + 1 : ps->words[2], here(ps));
	else if (is(ps, 1, "tftp-server-name") || is(ps, 1, "bootfile-name") || is(ps, 1, "vendor-encapsulated-options"))
		note(ps, "bramble sends it by itself, as each boot loader needs it");
	else
		leave(ps, "bramble sends single boards no such option");
}

static bool host_statement(struct parser *ps, struct br_import_record *host)
{
	struct br_import *im = ps->f->im;

	if (is(ps, 0, "hardware") && ps->n == 3) {
		if (!is(ps, 1, "ethernet") || !br_import_put_mac(im, host, ps->words[2], here(ps)))
			leave(ps, "is no MAC of an Ethernet");
	} else if (is(ps, 0, "fixed-address") && ps->n >= 2) {
		if (!br_import_put_address(im, host, ps->words[1], here(ps)))
			leave(ps, "a name instead of an address: put the address there");
		if (ps->n > 2)
			note(ps, "only the first address is taken: a board has one");
	} else if (is(ps, 0, "option")) {
		host_option(ps, host);
	} else {
		return false;
	}
	return true;
}

/* ---- statements elsewhere ---- */

static const struct {
	const char *name, *key;
} dhcp_options[] = {
	{ "routers", "router" }, { "domain-name-servers", "dns" }, { "ntp-servers", "ntp" }, { "domain-name", "domain" },
};

static void option(struct parser *ps, struct scope *scope)
{
	br_cleanup(br_freep) char *value = rest(ps, 2, ",");
	uint32_t ip;

	if (is(ps, 1, "routers") && ps->n > 2 && scope->subnet && br_ip_parse(ps->words[2], &ip) == 0)
		br_ip_format(scope->router, ip);
	for (size_t i = 0; i < BR_ARRAY_SIZE(dhcp_options); i++) {
		if (!is(ps, 1, dhcp_options[i].name) || !value)
			continue;
		if (scope->subnet && strcmp(dhcp_options[i].key, "router") == 0)
			return; /* goes with the subnet's range */
		br_import_set(ps->f->im, here(ps), dhcp_options[i].key, value);
		return;
	}
	if (is(ps, 1, "root-path") || is(ps, 1, "tftp-server-name") || is(ps, 1, "bootfile-name") || is(ps, 1, "subnet-mask") ||
		is(ps, 1, "broadcast-address") || is(ps, 1, "vendor-class-identifier") || is(ps, 1, "vendor-encapsulated-options"))
		note(ps, "bramble sends it by itself, as each boot loader needs it");
	else
		leave(ps, "bramble sends boards no such option");
}

static void range(struct parser *ps, struct scope *scope)
{
	size_t i = is(ps, 1, "dynamic-bootp") ? 2 : 1;
	struct scope *s = scope;
	uint32_t first, last;

	while (s && !s->subnet)
		s = s->up;
	if (i >= ps->n || br_ip_parse(ps->words[i], &first) < 0 ||
		br_ip_parse(ps->words[i + 1 < ps->n ? i + 1 : i], &last) < 0 || last < first) {
		leave(ps, "is no range of IPv4 addresses");
		return;
	}
	if (!s) {
		leave(ps, "a range outside of any subnet");
		return;
	}
	if (s->range[0]) {
		leave(ps, "a second range of the same subnet: bramble has one; a larger one may cover both");
		return;
	}
	snprintf(s->range, sizeof(s->range), "%s-%s", ps->words[i], ps->words[i + 1 < ps->n ? i + 1 : i]);
	s->range_at = here(ps);
}

static void lease(struct parser *ps)
{
	br_cleanup(br_freep) char *text = NULL;
	uint64_t seconds;

	if (ps->n != 2 || br_parse_u64(ps->words[1], 1, UINT32_MAX, &seconds) < 0) {
		leave(ps, "is no number of seconds");
		return;
	}
	seconds = seconds < 120 ? 120 : seconds > 365 * 86400 ? 365 * 86400 : seconds;
	text = br_asprintf("%lus", (unsigned long)seconds);
	if (text)
		br_import_set(ps->f->im, here(ps), "lease", text);
}

/* Statements with a reason why they need not, or cannot, be taken. */
static const struct {
	const char *word;
	bool left;
	const char *why;
} others[] = {
	{ "next-server", false, "bramble is the boot server" },
	{ "filename", false, "each boot loader gets its own file from bramble" },
	{ "server-name", false, "bramble is the boot server" },
	{ "authoritative", false, "bramble is, with 'dhcp = full'" },
	{ "max-lease-time", false, "the default lease counts" },
	{ "min-lease-time", false, "the default lease counts" },
	{ "ddns-update-style", false, "bramble updates no DNS" },
	{ "ddns-updates", false, "bramble updates no DNS" },
	{ "use-host-decl-names", false, "a board's name is its host name" },
	{ "log-facility", false, "bramble logs to the journal" },
	{ "ping-check", false, "an address once given to a board stays its own" },
	{ "allow", false, "bramble serves all boards; 'adopt = no' only known ones" },
	{ "deny", true, "bramble serves all boards; 'adopt = no' only known ones" },
	{ "ignore", true, "bramble serves all boards; 'adopt = no' only known ones" },
	{ "on", true, "hooks are bramble's own" },
	{ "failover", true, "there is no second server" },
};

static int include(struct parser *ps, struct scope *scope, struct br_error *err);

static int simple(struct parser *ps, struct scope *scope, struct br_error *err)
{
	if (!ps->n)
		return 0;
	if (is(ps, 0, "include") && ps->n == 2)
		return include(ps, scope, err);
	if (scope->host && host_statement(ps, scope->host))
		return 0;
	if (scope->conditional) {
		leave(ps, "it holds for some clients only; bramble tells boards and boot loaders apart by itself");
		return 0;
	}
	if (is(ps, 0, "option") && ps->n >= 3 && !is(ps, 2, "code")) {
		option(ps, scope);
		return 0;
	}
	if (is(ps, 0, "range")) {
		range(ps, scope);
		return 0;
	}
	if (is(ps, 0, "default-lease-time")) {
		lease(ps);
		return 0;
	}
	for (size_t i = 0; i < BR_ARRAY_SIZE(others); i++) {
		if (!is(ps, 0, others[i].word))
			continue;
		if (others[i].left)
			leave(ps, others[i].why);
		else
			note(ps, others[i].why);
		return 0;
	}
	leave(ps, "bramble has nothing of the kind");
	return 0;
}

/* ---- blocks ---- */

/* The first subnet with a range is taken for the one of our interface, further ones lie behind relays. */
static void end_subnet(struct parser *ps, const struct scope *s)
{
	br_cleanup(br_freep) char *text = NULL;
	char ip[BR_IP_TEXT];
	struct br_import *im = ps->f->im;

	if (!s->range[0])
		return;
	if (!ps->n_ranges++) {
		br_import_set(im, s->range_at, "dhcp", "full");
		br_import_set(im, s->range_at, "range", s->range);
		if (s->router[0])
			br_import_set(im, s->range_at, "router", s->router);
		return;
	}
	text = br_asprintf("%s/%u=%s%s%s", br_ip_format(ip, s->net), s->prefix, s->range, s->router[0] ? "@" : "", s->router);
	if (text)
		br_import_say(im, BR_IMPORT_NOTE, s->range_at, s->range,
			"another network: when it lies behind a DHCP relay, add it to 'subnets =': %s", text);
}

static bool open_subnet(struct parser *ps, struct scope *s)
{
	uint32_t mask;

	s->subnet = true;
	if (ps->n != 4 || !is(ps, 2, "netmask") || br_ip_parse(ps->words[1], &s->net) < 0 || br_ip_parse(ps->words[3], &mask) < 0)
		return false;
	s->prefix = (unsigned)__builtin_popcount(mask);
	return mask == br_ip_mask(s->prefix);
}

static int block(struct parser *ps, struct scope *up, struct br_error *err)
{
	struct scope s = { .up = up, .host = up->host, .conditional = up->conditional };
	struct br_import *im = ps->f->im;
	struct br_import_place at = here(ps);
	br_cleanup(br_freep) char *name = NULL;
	size_t n_record = SIZE_MAX;
	int r;

	if (is(ps, 0, "host") && ps->n == 2) {
		if (up->host)
			return br_error_set(err, EINVAL, "%s:%u: a host inside of a host", ps->f->path, at.line);
		name = strdup(ps->words[1]);
		s.host = br_import_record(im);
		if (!name || !s.host)
			return br_error_set(err, ENOMEM, "%s:%u: too many hosts, or memory is out", ps->f->path, at.line);
		n_record = im->n_records - 1;
	} else if (is(ps, 0, "subnet")) {
		if (!open_subnet(ps, &s))
			return br_error_set(err, EINVAL, "%s:%u: a subnet looks like 'subnet 10.77.0.0 netmask 255.255.255.0 {'",
				ps->f->path, at.line);
	} else if (is(ps, 0, "if") || is(ps, 0, "elsif") || is(ps, 0, "else") || is(ps, 0, "class") || is(ps, 0, "subclass") ||
		   is(ps, 0, "on") || is(ps, 0, "switch")) {
		s.conditional = true;
		s.host = NULL;
	} else if (!is(ps, 0, "group") && !is(ps, 0, "pool") && !is(ps, 0, "shared-network")) {
		leave(ps, "bramble has nothing of the kind; what is in it is passed over");
		s.conditional = true;
		s.host = NULL;
	}
	if (++ps->nest > NEST_MAX)
		return br_error_set(err, EINVAL, "%s:%u: blocks are nested deeper than %d", ps->f->path, at.line, NEST_MAX);
	r = statements(ps, &s, err);
	ps->nest--;
	if (r != '}')
		return r < 0 ? r : br_error_set(err, EINVAL, "%s:%u: the block that begins here is not closed", ps->f->path, at.line);
	if (n_record != SIZE_MAX && !im->records[n_record].v[BR_IK_NAME].text)
		br_import_put_name(im, &im->records[n_record], name, at);
	if (s.subnet)
		end_subnet(ps, &s);
	return 0;
}

/* Up to the end of the file (0) or of the block ('}'). */
static int statements(struct parser *ps, struct scope *scope, struct br_error *err)
{
	for (;;) {
		int end = statement(ps, err), r = 0;

		if (end <= 0)
			return end;
		if (end == '}' && ps->n)
			return br_error_set(err, EINVAL, "%s:%u: the statement has no ';' at its end", ps->f->path, ps->line);
		if (end == '}')
			return ps->nest ? '}' : br_error_set(err, EINVAL, "%s:%u: a '}' without its '{'", ps->f->path, ps->line);
		r = end == '{' ? block(ps, scope, err) : simple(ps, scope, err);
		if (r < 0)
			return r;
	}
}

/* ---- files ---- */

struct from { /* who includes */
	struct scope *scope;
	unsigned n_ranges;
};

int br_import_dhcpd(struct br_import_file *f, void *ctx, struct br_error *err)
{
	struct scope top = { 0 };
	struct from *from = ctx;
	struct parser ps = { .f = f, .p = f->text, .n_ranges = from ? from->n_ranges : 0 };
	int r;

	f->line = 1;
	r = statements(&ps, from ? from->scope : &top, err);
	if (from)
		from->n_ranges = ps.n_ranges;
	return r;
}

static int include(struct parser *ps, struct scope *scope, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_import_locate(ps->f->im, ps->words[1]);
	struct from from = { .scope = scope, .n_ranges = ps->n_ranges };
	int r;

	if (!path)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_import_include(ps->f->im, here(ps), path, "dhcpd", br_import_dhcpd, &from, false, err);
	ps->n_ranges = from.n_ranges;
	return r;
}

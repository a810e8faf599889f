/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Would the firewall let boards in? 'nft -j list ruleset' is read, and a new packet to each port walked through the chains of hook
 * input. What a rule asks that is not known here (addresses, marks, rates) makes the answer "maybe".
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "check/check.h"

#define JUMPS_MAX 16
#define NFT_MAX (64u << 20)
#define NFT_MS 5000

/* ---- walking the rules ---- */

enum answer { NO, MAYBE, YES };

struct packet {
	const json_t *objects;
	const char *family, *table, *interface;
	bool tcp;
	unsigned port;
	bool maybe_open, maybe_closed; /* on the way, by rules that may or may not fit */
};

/* Does a value, a set of them or a range hold ours? */
static enum answer holds(const json_t *right, const char *text, unsigned number)
{
	const json_t *list = json_object_get(right, "set"), *range = json_object_get(right, "range"), *prefix = json_object_get(right, "prefix"), *o;
	enum answer best = NO;
	size_t i;

	if (json_is_string(right)) {
		const char *s = json_string_value(right);

		if (s[0] == '@')
			return MAYBE; /* a named set */
		if (text && br_str_ends(s, "*"))
			return strncmp(s, text, strlen(s) - 1) ? NO : YES;
		return text && !strcmp(s, text) ? YES : NO;
	}
	if (json_is_integer(right))
		return !text && (unsigned)json_integer_value(right) == number ? YES : NO;
	if (json_is_array(range) && json_array_size(range) == 2)
		return !text && number >= (unsigned)json_integer_value(json_array_get(range, 0)) &&
				       number <= (unsigned)json_integer_value(json_array_get(range, 1)) ?
			       YES :
			       NO;
	if (prefix)
		return MAYBE;
	json_array_foreach((json_t *)(uintptr_t)(list ? list : right), i, o) {
		enum answer a = json_is_array(o) || json_object_get(o, "concat") ? MAYBE : holds(o, text, number);

		best = a > best ? a : best;
	}
	return best;
}

static enum answer of_payload(const struct packet *p, const json_t *payload, const json_t *right)
{
	const char *protocol = json_string_value(json_object_get(payload, "protocol")) ?: "", *field = json_string_value(json_object_get(payload, "field")) ?: "";

	if (!strcmp(protocol, "tcp") || !strcmp(protocol, "udp")) {
		if (strcmp(protocol, p->tcp ? "tcp" : "udp") != 0)
			return NO;
		return strcmp(field, "dport") ? MAYBE : holds(right, NULL, p->port);
	}
	if (!strcmp(protocol, "th"))
		return strcmp(field, "dport") ? MAYBE : holds(right, NULL, p->port);
	if (!strcmp(protocol, "icmp") || !strcmp(protocol, "icmpv6") || !strcmp(protocol, "ip6"))
		return NO;
	if (!strcmp(protocol, "ip") && !strcmp(field, "protocol"))
		return holds(right, p->tcp ? "tcp" : "udp", 0);
	return MAYBE;
}

static enum answer of_match(const struct packet *p, const json_t *match)
{
	const json_t *left = json_object_get(match, "left"), *right = json_object_get(match, "right");
	const json_t *payload = json_object_get(left, "payload");
	const char *meta = json_string_value(json_object_get(json_object_get(left, "meta"), "key")), *op = json_string_value(json_object_get(match, "op"));
	const char *ct = json_string_value(json_object_get(json_object_get(left, "ct"), "key"));
	enum answer a = MAYBE;

	if (payload)
		a = of_payload(p, payload, right);
	else if (meta && !strcmp(meta, "l4proto"))
		a = holds(right, p->tcp ? "tcp" : "udp", 0);
	else if (meta && !strcmp(meta, "iifname"))
		a = p->interface[0] ? holds(right, p->interface, 0) : MAYBE;
	else if (meta && !strcmp(meta, "iif"))
		a = p->interface[0] ? holds(right, p->interface, 0) : MAYBE;
	else if (meta && (!strcmp(meta, "nfproto") || !strcmp(meta, "protocol")))
		a = holds(right, !strcmp(meta, "nfproto") ? "ipv4" : "ip", 0);
	else if (ct && !strcmp(ct, "state"))
		a = holds(right, "new", 0);
	if (op && !strcmp(op, "!="))
		a = a == YES ? NO : a == NO ? YES : MAYBE;
	return a;
}

static int walk(struct packet *p, const char *chain, unsigned depth);

/* A rule's verdict: 1 open, -1 closed, 0 go on, 2 return. */
static int of_rule(struct packet *p, const json_t *rule, unsigned depth)
{
	const json_t *expr = json_object_get(rule, "expr"), *e;
	enum answer fits = YES;
	int verdict = 0;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)expr, i, e) {
		const json_t *match = json_object_get(e, "match"), *jump = json_object_get(e, "jump") ?: json_object_get(e, "goto");
		enum answer a = match ? of_match(p, match) : json_object_get(e, "limit") || json_object_get(e, "xt") || json_object_get(e, "vmap") ? MAYBE : YES;

		fits = a < fits ? a : fits;
		if (fits == NO)
			return 0;
		if (json_object_get(e, "accept"))
			verdict = 1;
		else if (json_object_get(e, "drop") || json_object_get(e, "reject"))
			verdict = -1;
		else if (json_object_get(e, "return"))
			verdict = 2;
		else if (jump)
			verdict = walk(p, json_string_value(json_object_get(jump, "target")) ?: "", depth + 1);
	}
	if (fits == YES || !verdict)
		return verdict;
	p->maybe_open |= verdict == 1;
	p->maybe_closed |= verdict == -1;
	return 0;
}

static bool same(const json_t *o, const char *key, const char *value)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && !strcmp(s, value);
}

static int walk(struct packet *p, const char *chain, unsigned depth)
{
	const json_t *o;
	size_t i;

	if (depth > JUMPS_MAX)
		return 0;
	json_array_foreach((json_t *)(uintptr_t)p->objects, i, o) {
		const json_t *rule = json_object_get(o, "rule");
		int verdict;

		if (!rule || !same(rule, "family", p->family) || !same(rule, "table", p->table) || !same(rule, "chain", chain))
			continue;
		verdict = of_rule(p, rule, depth);
		if (verdict == 2)
			return 0;
		if (verdict)
			return verdict;
	}
	return 0;
}

enum br_verdict br_firewall_judge(const json_t *ruleset, bool tcp, unsigned port, const char *interface, char *ret_chain, size_t size)
{
	struct packet p = { .objects = json_object_get(ruleset, "nftables"), .interface = interface, .tcp = tcp, .port = port };
	enum br_verdict worst = BR_FIREWALL_OPEN;
	const json_t *o;
	size_t i;

	/* every base chain has its say; one that drops is enough */
	json_array_foreach((json_t *)(uintptr_t)p.objects, i, o) {
		const json_t *chain = json_object_get(o, "chain");
		enum br_verdict v = BR_FIREWALL_OPEN;
		int verdict;

		if (!chain || !same(chain, "hook", "input") || !same(chain, "type", "filter") || (!same(chain, "family", "ip") && !same(chain, "family", "inet")))
			continue;
		p.family = json_string_value(json_object_get(chain, "family"));
		p.table = json_string_value(json_object_get(chain, "table")) ?: "";
		p.maybe_open = p.maybe_closed = false;
		verdict = walk(&p, json_string_value(json_object_get(chain, "name")) ?: "", 0);
		if (!verdict)
			verdict = same(chain, "policy", "drop") ? -1 : 1;
		if (verdict < 0)
			v = p.maybe_open ? BR_FIREWALL_MAYBE : BR_FIREWALL_CLOSED;
		else if (p.maybe_closed)
			v = BR_FIREWALL_MAYBE;
		if (v > worst) {
			worst = v;
			snprintf(ret_chain, size, "%s %s %s", p.family, p.table, json_string_value(json_object_get(chain, "name")) ?: "");
		}
	}
	return worst;
}

/* ---- asking nft ---- */

static char *read_all(int fd, pid_t pid)
{
	uint64_t end = br_now_ns() + NFT_MS * 1000000ull;
	struct br_text t = BR_TEXT_NULL;
	char buf[65536];

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		uint64_t now = br_now_ns();
		ssize_t n = now < end && t.len < NFT_MAX && poll(&p, 1, (int)((end - now) / 1000000) + 1) > 0 ? read(fd, buf, sizeof(buf)) : -1;

		if (n > 0) {
			br_text_add_bytes(&t, buf, (size_t)n);
			continue;
		}
		if (n < 0)
			(void)kill(pid, SIGKILL);
		return br_text_take(&t);
	}
}

/* The answer of 'nft -j list ruleset'; NULL: there is no nft, or we may not. */
static json_t *ruleset(void)
{
	static const char *const programs[] = { "/usr/sbin/nft", "/sbin/nft" };
	const char *const argv[] = { "nft", "-j", "list", "ruleset", NULL };
	char *const env[] = { (char *)(uintptr_t)"LC_ALL=C", NULL };
	posix_spawn_file_actions_t files;
	br_cleanup(br_freep) char *text = NULL;
	int pipe_fd[2], r = ENOENT, status = 0;
	pid_t pid = -1;

	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		return NULL;
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, pipe_fd[1], STDOUT_FILENO);
	posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	for (size_t i = 0; r == ENOENT && i < BR_ARRAY_SIZE(programs); i++)
		r = posix_spawn(&pid, programs[i], &files, NULL, (char *const *)(uintptr_t)argv, env);
	posix_spawn_file_actions_destroy(&files);
	close(pipe_fd[1]);
	if (!r) {
		text = read_all(pipe_fd[0], pid);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	close(pipe_fd[0]);
	return !r && WIFEXITED(status) && !WEXITSTATUS(status) && text ? json_loads(text, 0, NULL) : NULL;
}

static const struct {
	bool tcp;
	unsigned port;
	const char *what;
} needed[] = { { false, 67, "DHCP" }, { false, 69, "TFTP" }, { true, 80, "HTTP" }, { true, 111, "portmap" }, { false, 111, "portmap" },
	{ true, 2049, "NFS" }, { true, 20048, "MOUNT" } };

void br_check_firewall(struct br_checks *c)
{
	br_cleanup(br_freep) char *old = br_check_read(c, "/proc/net/ip_tables_names");
	struct br_text closed = BR_TEXT_NULL, maybe = BR_TEXT_NULL;
	char chain[200] = "", vis[300];
	json_t *rules;

	if (c->root[0])
		return;
	if (old && old[0])
		br_check_add(c, BR_CHECK_NOTE, "firewall", "these rules of the older kind were not looked at", "iptables-legacy -S INPUT    # ports 67, 69, 80, 111, 2049, 20048", "there are tables of "
			"iptables-legacy");
	rules = ruleset();
	if (!rules) {
		br_check_add(c, BR_CHECK_NOTE, "firewall", "rules of nftables were not looked at: there is no nft here, or only root may", "sudo bramble check", "the firewall was not looked at");
		return;
	}
	for (size_t i = 0; i < BR_ARRAY_SIZE(needed); i++) {
		enum br_verdict v = br_firewall_judge(rules, needed[i].tcp, needed[i].port, c->interface, chain, sizeof(chain));
		struct br_text *t = v == BR_FIREWALL_CLOSED ? &closed : &maybe;

		if (v != BR_FIREWALL_OPEN)
			br_text_addf(t, "%s%s %u (%s)", t->len ? ", " : "", needed[i].tcp ? "TCP" : "UDP", needed[i].port, needed[i].what);
	}
	br_vis(vis, sizeof(vis), chain, strlen(chain));
	if (closed.len)
		br_check_add(c, BR_CHECK_ERROR, "firewall", "boards' packets are thrown away before bramble sees them (DHCP is seen, by its packet socket; TFTP and NFS are not)",
			"nft insert rule FAMILY TABLE CHAIN iifname INTERFACE accept    # or firewall-cmd, ufw", "the firewall (chain %s) drops %s", vis, closed.buf);
	if (maybe.len)
		br_check_add(c, BR_CHECK_NOTE, "firewall", "whether boards get through depends on addresses or rates", "nft list ruleset", "the firewall (chain %s) may drop %s", vis, maybe.buf);
	if (!closed.len && !maybe.len)
		br_check_add(c, BR_CHECK_OK, "firewall", "boards' packets get through", NULL, "nftables lets boards in");
	br_text_done(&closed);
	br_text_done(&maybe);
	json_decref(rules);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* From facts to a verdict: where the board is, the first rule that holds, its sentence filled in; else how far it is. */
#include "why/why.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "fleet/event.h"
#include "why/rules.h"

const char *br_why_level_name(enum br_why_level level)
{
	static const char *const names[] = { "fine", "booting", "note", "wrong" };

	return names[level];
}

bool br_why_rule(size_t i, struct br_why_rule_info *ret)
{
	const struct br_rule *r = &br_rules[i];

	if (!r->verdict)
		return false;
	*ret = (struct br_why_rule_info){ r->row, r->level, r->verdict, r->cure };
	return true;
}

/* ---- events ------------------------------------------------------------------------------------------------- */

/* The wall clock's times on our own axis; what was before it is its beginning. */
static uint64_t mono(const struct br_why_input *in, uint64_t wall_ns)
{
	uint64_t ago = in->now_wall_ns > wall_ns ? in->now_wall_ns - wall_ns : 0;

	return in->now_ns > ago ? in->now_ns - ago : 1;
}

static const char *text_of(const struct br_event *ev, const char *key)
{
	const char *s = ev->fields ? json_string_value(json_object_get(ev->fields, key)) : NULL;

	return s ? s : "";
}

static uint64_t number_of(const struct br_event *ev, const char *key)
{
	json_int_t v = ev->fields ? json_integer_value(json_object_get(ev->fields, key)) : 0;

	return v > 0 ? (uint64_t)v : 0;
}

/* Events tell the path without the board's own directory; the wire tells it as it was asked. */
static struct br_why_file *file_of(struct br_why_facts *f, const char *path)
{
	struct br_why_file *best = br_why_file(f, path);
	size_t n = strlen(path);

	for (size_t i = 0; i < BR_WHY_FILES; i++) {
		struct br_why_file *file = &f->files[i];
		size_t len = strlen(file->name);

		if (len > n && file->name[len - n - 1] == '/' && !strcmp(file->name + len - n, path) &&
			(!best || file->asked.last_ns > best->asked.last_ns))
			best = file;
	}
	return best ? best : br_why_file_make(f, path);
}

static void add_file(struct br_why_input *in, const struct br_event *ev, uint64_t t)
{
	struct br_why_file *f = file_of(&in->facts, text_of(ev, "path"));

	if (!f)
		return;
	if (!f->asked.n) { /* not seen on the wire: the daemon's word counts */
		br_why_count(&f->asked, t);
		br_why_count(&in->facts.rrq, t);
		f->server_ip = in->server_ip;
		f->answered_ns = t;
	}
	if (!strcmp(ev->type, BR_EV_FILE_MISSING)) {
		f->n_missing += !f->n_missing;
		return;
	}
	if (!strcmp(ev->type, BR_EV_FILE_REFUSED)) {
		f->n_errors += !f->n_errors;
		return;
	}
	f->done_ns = t;
	if (!strcmp(ev->type, BR_EV_FILE_PROBED)) {
		f->n_probed++;
		return;
	}
	f->bytes = number_of(ev, "bytes");
	f->ms = number_of(ev, "ms");
	f->retransmits = number_of(ev, "retransmits");
	if (!strcmp(ev->type, BR_EV_FILE_FAILED)) {
		f->n_failed++;
		f->failed_ns = t;
		return;
	}
	f->n_sent++;
	f->n_missing = 0;
}

static void keep_text(struct br_why_input *in, uint64_t t, const char *text)
{
	if (in->n_events == BR_WHY_EVENTS) {
		memmove(in->events, in->events + 1, sizeof(in->events) - sizeof(in->events[0]));
		in->n_events--;
	}
	in->events[in->n_events].t_ns = t;
	snprintf(in->events[in->n_events].text, BR_WHY_LINE, "%s", text);
	in->n_events++;
}

static void add_trouble(struct br_why_input *in, const char *what, uint64_t t)
{
	static const char *const words[BR_NFS_N_TROUBLES] = { [BR_NFS_TROUBLE_STALE] = "stale",
		[BR_NFS_TROUBLE_READ_ONLY] = "read-only", [BR_NFS_TROUBLE_NO_INIT] = "no-init",
		[BR_NFS_TROUBLE_DENIED] = "denied", [BR_NFS_TROUBLE_SMALL_READS] = "small-reads",
		[BR_NFS_TROUBLE_IO] = "io" };

	for (size_t i = 0; i < BR_ARRAY_SIZE(words); i++)
		if (words[i] && !strcmp(what, words[i]))
			br_why_count(&in->trouble[i], t);
}

/* The last session counts. */
static void add_usb(struct br_why_input *in, const struct br_event *ev, uint64_t t)
{
	if (!strcmp(ev->type, BR_EV_USB_FOUND) || !strcmp(ev->type, BR_EV_USB_DONE))
		in->usb_failed_ns = 0;
	if (strcmp(ev->type, BR_EV_USB_FAILED) != 0)
		return;
	in->usb_failed_ns = t;
	snprintf(in->usb_words, sizeof(in->usb_words), "%s", text_of(ev, "reason"));
	snprintf(in->usb_path, sizeof(in->usb_path), "%s", text_of(ev, "path"));
}

void br_why_add_event(struct br_why_input *in, const struct br_event *ev, const char *text)
{
	uint64_t t = mono(in, ev->wall_ns);

	/* an event is recorded a moment after its frame was seen */
	if (in->heard ? t + BR_S < in->facts.born_ns : in->has_boot && ev->boot && ev->boot < in->boot.boot)
		return;
	if (br_str_starts(ev->type, "file.")) {
		if (strcmp(text_of(ev, "via"), "usb") != 0) /* else it says nothing of the network */
			add_file(in, ev, t);
	} else if (br_str_starts(ev->type, "usb.")) {
		add_usb(in, ev, t);
	} else if (!strcmp(ev->type, BR_EV_MOUNTED)) {
		in->mounted_ns = t;
		in->mount_refused.n = 0;
	} else if (!strcmp(ev->type, BR_EV_NFS_TROUBLE)) {
		add_trouble(in, text_of(ev, "what"), t);
	} else if (!strcmp(ev->type, BR_EV_BOARD_UP)) {
		in->up_ns = t;
	} else if (!strcmp(ev->type, BR_EV_DISK_FULL)) {
		in->disk_full_ns = t;
		snprintf(in->disk_full_words, sizeof(in->disk_full_words), "%s", text_of(ev, "reason"));
	} else if (!strcmp(ev->type, BR_EV_DHCP_FULL)) {
		in->dhcp_full_ns = t;
	} else if (!strcmp(ev->type, BR_EV_MOUNT_REFUSED)) {
		br_why_count(&in->mount_refused, t);
		snprintf(in->refused_words, sizeof(in->refused_words), "%s", text_of(ev, "reason"));
		snprintf(in->refused_path, sizeof(in->refused_path), "%s", text_of(ev, "path"));
	}
	keep_text(in, t, text);
}

/* ---- where it is -------------------------------------------------------------------------------------------- */

static enum br_where where_by_wire(const struct br_why_facts *f)
{
	switch (br_why_reached(f)) {
	case BR_WHY_HEARD:
		return BR_AT_SILENT;
	case BR_WHY_ASKED:
		return BR_AT_DHCP;
	case BR_WHY_FETCHED:
		return BR_AT_FILES;
	case BR_WHY_KERNEL:
		return BR_AT_KERNEL;
	case BR_WHY_MOUNTED:
	default:
		return BR_AT_ROOT;
	}
}

static enum br_where where_by_boot(const struct br_why_input *in)
{
	static const enum br_where at[] = {
		[BR_STAGE_NONE] = BR_AT_SILENT, [BR_STAGE_FIRMWARE_DHCP] = BR_AT_DHCP,
		[BR_STAGE_BOOTCODE_DHCP] = BR_AT_DHCP, [BR_STAGE_FIRMWARE_FILES] = BR_AT_FILES,
		[BR_STAGE_KERNEL_SENT] = BR_AT_KERNEL, [BR_STAGE_KERNEL_DHCP] = BR_AT_KERNEL,
		[BR_STAGE_MOUNTED] = BR_AT_ROOT, [BR_STAGE_UP] = BR_AT_UP,
	};

	if (!in->has_boot || (size_t)in->boot.stage >= BR_ARRAY_SIZE(at))
		return BR_AT_SILENT;
	/* an old boot says nothing of a board that was powered on since */
	if (in->heard && mono(in, in->boot.stage_wall_ns) + BR_S < in->facts.born_ns)
		return BR_AT_SILENT;
	return at[in->boot.stage];
}

static enum br_where where(const struct br_why_input *in)
{
	enum br_where by_boot = where_by_boot(in), at = in->heard ? where_by_wire(&in->facts) : BR_AT_SILENT;

	if (in->up_ns)
		return BR_AT_UP;
	if (in->mounted_ns && at < BR_AT_ROOT)
		at = BR_AT_ROOT;
	return by_boot > at ? by_boot : at;
}

/* ---- words -------------------------------------------------------------------------------------------------- */

static void add_slot(struct br_text *t, const struct br_case *c, const char *name, size_t n)
{
	char buf[32];
	struct br_mac mac = br_mac_is_zero(c->mac) ? c->in->mac : c->mac;
	uint32_t serial = c->f->guid.serial;

	if (!strncmp(name, "ip", n))
		br_text_add(t, br_ip_format(buf, c->ip));
	else if (!strncmp(name, "ip2", n))
		br_text_add(t, br_ip_format(buf, c->ip2));
	else if (!strncmp(name, "us", n))
		br_text_add(t, br_ip_format(buf, c->in->server_ip));
	else if (!strncmp(name, "mac", n))
		br_text_add(t, br_mac_format(buf, mac));
	else if (!strncmp(name, "n", n))
		br_text_addf(t, "%u", c->n);
	else if (!strncmp(name, "time", n))
		br_text_add(t, br_format_duration(buf, sizeof(buf), c->ns));
	else if (!strncmp(name, "board", n))
		br_text_add(t, c->in->name[0] ? c->in->name : "BOARD");
	else if (!strncmp(name, "dir", n) || !strncmp(name, "serial", n))
		br_text_addf(t, "%08x", serial);
	else
		br_text_add(t, !strncmp(name, "file", n) ? (c->file && c->file[0] ? c->file : "its root") :
			c->words ? c->words : "?");
}

static void fill(const struct br_case *c, const char *pattern, char *out, size_t size)
{
	struct br_text t = BR_TEXT_NULL;

	while (*pattern) {
		size_t n = strcspn(pattern, "{");

		br_text_add_bytes(&t, pattern, n);
		pattern += n;
		if (!*pattern)
			break;
		n = strcspn(++pattern, "}");
		add_slot(&t, c, pattern, n);
		pattern += n + 1;
	}
	snprintf(out, size, "%s", t.buf ? t.buf : "");
	br_text_done(&t);
}

/* Nothing is wrong: how far it is, and what comes next. */
static void say_progress(struct br_case *c, struct br_verdict *v)
{
	const struct br_why_facts *f = c->f;

	v->level = BR_WHY_BOOTING;
	c->ns = br_case_age(c, f->last_ns);
	c->file = f->files[f->last_file].name;
	if (c->at == BR_AT_UP || (c->in->local && c->at <= BR_AT_DHCP)) {
		v->level = BR_WHY_FINE;
		fill(c, c->at == BR_AT_UP ? "It is up." : "It is left to boot by itself (road local).", v->text, sizeof(v->text));
	} else if (c->at == BR_AT_ROOT) {
		fill(c, "Its root is mounted; its system is starting.", v->text, sizeof(v->text));
	} else if (c->at == BR_AT_KERNEL && f->mnt.n) {
		fill(c, "Its kernel runs and is mounting its root.", v->text, sizeof(v->text));
	} else if (c->at == BR_AT_KERNEL && (f->dhcp[BR_DHCP_KERNEL].acked.n || f->dhcp[BR_DHCP_INITRAMFS].acked.n)) {
		fill(c, "Its kernel runs and has an address; next it mounts its root. Last heard {time} ago.", v->text, sizeof(v->text));
	} else if (c->at == BR_AT_KERNEL) {
		fill(c, "The kernel is being sent or starts; next it asks for an address. Last heard {time} ago.", v->text, sizeof(v->text));
	} else if (c->at == BR_AT_FILES) {
		fill(c, "It is fetching its boot files; the last it asked for was {file}, {time} ago.", v->text, sizeof(v->text));
	} else if (c->at == BR_AT_DHCP) {
		fill(c, "Its firmware asked for an address {time} ago; next it asks for boot files.", v->text, sizeof(v->text));
	} else {
		fill(c, "It was heard {time} ago, but did not ask for an address yet.", v->text, sizeof(v->text));
	}
}

static const struct br_rule *match(struct br_case *c)
{
	for (const struct br_rule *r = br_rules; r->verdict; r++) {
		c->file = c->words = NULL;
		if ((r->at & c->at) && r->when(c))
			return r;
	}
	return NULL;
}

int br_why(const struct br_why_input *in, struct br_verdict *ret)
{
	struct br_case c = { .in = in, .f = &in->facts, .now = in->now_ns, .at = where(in) };
	const struct br_rule *rule;
	unsigned show = BR_SHOW_DHCP | BR_SHOW_FILES;

	if (!in->now_ns)
		return -EINVAL;
	*ret = (struct br_verdict){ 0 };
	rule = match(&c);
	/* left alone as it was told: only what it does beyond that can be wrong */
	if (rule && in->local && c.at <= BR_AT_FILES)
		rule = NULL;
	if (rule) {
		ret->row = rule->row;
		ret->level = rule->level;
		fill(&c, rule->verdict, ret->text, sizeof(ret->text));
		fill(&c, rule->cure, ret->cure, sizeof(ret->cure));
		show = rule->show;
	} else {
		say_progress(&c, ret);
	}
	br_why_show(&c, show, ret);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a step asks for, and what the firmware concludes from each answer. One function
 * per operation (expand_*), one per role of a file (take_*).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/text.h"
#include "sim/board_private.h"
#include "sim/check.h"
#include "sim/fdt.h"

/* ---- the queue ---- */

static void insert(struct br_sim_board *b, size_t at, const char *name, enum br_sim_role role, uint8_t flags)
{
	struct br_sim_request *q = &b->queue[at];

	if (b->n_queue == BR_SIM_QUEUE) {
		br_sim_board_event(b, (struct br_sim_event){ .what = BR_SIM_WARNING, .name = name,
			.text = "config.txt names more files than this virtual board takes" });
		return;
	}
	memmove(q + 1, q, (b->n_queue - at) * sizeof(*q));
	if (br_strcpy(q->name, sizeof(q->name), name) < 0) {
		memmove(q, q + 1, (b->n_queue - at) * sizeof(*q));
		return; /* longer than any name that firmware sends */
	}
	q->role = role;
	q->flags = flags;
	b->n_queue++;
}

/* The flags of a step that concern each request. */
static uint8_t kept(uint8_t flags)
{
	return flags & (BR_SIM_PROBE | BR_SIM_MUST | BR_SIM_ROOT | BR_SIM_SLASH);
}

static void push(struct br_sim_board *b, const char *name, enum br_sim_role role, uint8_t flags)
{
	if (flags & BR_SIM_TWICE)
		insert(b, b->n_queue, name, role, (uint8_t)(kept(flags) | BR_SIM_PROBE));
	insert(b, b->n_queue, name, role, kept(flags));
}

__attribute__((format(printf, 4, 5))) static void pushf(struct br_sim_board *b, enum br_sim_role role, uint8_t flags,
	const char *fmt, ...)
{
	char name[4 * BR_PI_CONFIG_NAME];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(name, sizeof(name), fmt, ap);
	va_end(ap);
	push(b, name, role, flags);
}

void br_sim_board_drop_request(struct br_sim_board *b)
{
	b->n_queue--;
	memmove(b->queue, b->queue + 1, b->n_queue * sizeof(b->queue[0]));
}

/* Takes off what has this role, and this name when it is not NULL. */
static void drop(struct br_sim_board *b, enum br_sim_role role, const char *name)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_queue; i++) {
		bool gone = b->queue[i].role == role && (!name || !strcmp(b->queue[i].name, name));

		if (!gone && n != i)
			b->queue[n] = b->queue[i];
		n += !gone;
	}
	b->n_queue = n;
}

static bool queued(const struct br_sim_board *b, enum br_sim_role role)
{
	for (size_t i = 0; i < b->n_queue; i++)
		if (b->queue[i].role == role)
			return true;
	return false;
}

/* ---- operations ---- */

static void expand_get(struct br_sim_board *b, const struct br_sim_step *s)
{
	push(b, s->name, BR_SIM_ROLE_PLAIN, s->flags);
}

static void expand_prefix(struct br_sim_board *b, const struct br_sim_step *s)
{
	snprintf(b->prefix, sizeof(b->prefix), "%08x/", b->config.serial);
	for (const char *const *t = b->config.model->prefix_tests; *t; t++)
		push(b, *t, BR_SIM_ROLE_PREFIX, b->config.model->prefix_full ? 0 : BR_SIM_PROBE);
}

static void expand_config(struct br_sim_board *b, const struct br_sim_step *s)
{
	push(b, "config.txt", BR_SIM_ROLE_CONFIG, s->flags);
}

static void expand_start(struct br_sim_board *b, const struct br_sim_step *s)
{
	char name[BR_PI_CONFIG_NAME];

	br_sim_start_name(b->config.model, &b->settings, s->op == BR_SIM_OP_FIXUP, name);
	push(b, name, s->op == BR_SIM_OP_START ? BR_SIM_ROLE_START : BR_SIM_ROLE_PLAIN, s->flags);
}

static void decide_width(struct br_sim_board *b)
{
	const struct br_pi_config *c = &b->settings;

	b->is_64bit = b->config.model->is_64bit;
	/* an explicit kernel with a known name says it too */
	if (br_str_starts(c->kernel, "kernel8") || br_str_starts(c->kernel, "kernel_2712"))
		b->is_64bit = true;
	else if (br_str_starts(c->kernel, "kernel7") || !strcmp(c->kernel, "kernel.img"))
		b->is_64bit = false;
	if (c->arm_64bit >= 0)
		b->is_64bit = c->arm_64bit;
}

static void expand_recovery(struct br_sim_board *b, const struct br_sim_step *s)
{
	decide_width(b);
	for (const char *const *n = b->config.model->recovery[b->is_64bit]; *n; n++)
		push(b, *n, BR_SIM_ROLE_PLAIN, s->flags);
}

static void expand_find_kernel(struct br_sim_board *b, const struct br_sim_step *s)
{
	const struct br_pi_config *c = &b->settings;

	decide_width(b);
	if (*b->kernel)
		push(b, b->kernel, BR_SIM_ROLE_PLAIN, BR_SIM_PROBE);
	else if (*c->kernel)
		pushf(b, BR_SIM_ROLE_KERNEL_PROBE, BR_SIM_PROBE, "%s%s", c->os_prefix, c->kernel);
	else
		for (const char *const *n = b->config.model->kernels[b->is_64bit]; *n; n++)
			pushf(b, BR_SIM_ROLE_KERNEL_PROBE, BR_SIM_PROBE, "%s%s", c->os_prefix, *n);
}

/* One more probe than of the kernel, then the file (D-3BP: p p p, full). */
static void push_initramfs(struct br_sim_board *b, const char *name)
{
	for (unsigned i = 0; i <= b->config.model->n_kernel_probes; i++)
		pushf(b, BR_SIM_ROLE_INITRAMFS, BR_SIM_PROBE, "%s%s", b->settings.os_prefix, name);
	pushf(b, BR_SIM_ROLE_INITRAMFS, 0, "%s%s", b->settings.os_prefix, name);
}

static void expand_initramfs(struct br_sim_board *b, const struct br_sim_step *s)
{
	const struct br_pi_config *c = &b->settings;
	char name[BR_PI_CONFIG_NAME];

	for (size_t i = 0; i < c->n_initramfs; i++)
		push_initramfs(b, c->initramfs[i]);
	if (c->n_initramfs || !c->auto_initramfs)
		return;
	br_pi_initramfs_name(b->kernel + strlen(c->os_prefix), name);
	if (*name)
		push_initramfs(b, name);
}

static void expand_dtb(struct br_sim_board *b, const struct br_sim_step *s)
{
	const struct br_pi_config *c = &b->settings;
	const struct br_sim_model *m = b->config.model;

	b->dtb_found = false;
	if (c->has_device_tree && *c->device_tree)
		pushf(b, BR_SIM_ROLE_DTB, s->flags, "%s%s", c->os_prefix, c->device_tree);
	if (c->has_device_tree)
		return;
	for (const char *const *n = c->upstream_kernel ? m->upstream_dtbs : m->dtbs; *n; n++)
		pushf(b, BR_SIM_ROLE_DTB, s->flags, "%s%s", c->os_prefix, *n);
}

static void expand_overlay_map(struct br_sim_board *b, const struct br_sim_step *s)
{
	pushf(b, BR_SIM_ROLE_OVERLAY_MAP, s->flags, "%s%soverlay_map.dtb", b->settings.os_prefix,
		b->settings.overlay_prefix);
}

/* The file of an overlay on this platform, by overlay_map.dtb; NULL: not meant for it. */
static const char *map_overlay(const struct br_sim_board *b, const char *name, char out[static BR_PI_CONFIG_NAME])
{
	static const char *const platforms[] = { "bcm2835", "bcm2711", "bcm2712" };
	const struct br_sim_blob *map = &b->overlay_map;
	size_t n = 0;
	const uint8_t *v;
	bool listed = false;

	br_strcpy(out, BR_PI_CONFIG_NAME, name);
	v = br_sim_fdt_prop(map->data, map->len, name, "renamed", &n);
	if (!v)
		v = br_sim_fdt_prop(map->data, map->len, name, b->config.model->platform, &n);
	if (v && n > 1 && n <= BR_PI_CONFIG_NAME && !v[n - 1] && strlen((const char *)v) == n - 1)
		memcpy(out, v, n); /* an empty property means: the same name */
	for (size_t i = 0; i < BR_ARRAY_SIZE(platforms); i++)
		listed |= br_sim_fdt_prop(map->data, map->len, name, platforms[i], &(size_t){ 0 }) != NULL;
	return v || !listed ? out : NULL;
}

static void expand_overlays(struct br_sim_board *b, const struct br_sim_step *s)
{
	const struct br_pi_config *c = &b->settings;
	char name[BR_PI_CONFIG_NAME];

	for (size_t i = 0; b->dtb_found && i < c->n_overlays; i++)
		if (map_overlay(b, c->overlays[i], name))
			pushf(b, BR_SIM_ROLE_PLAIN, s->flags, "%s%s%s.dtbo", c->os_prefix, c->overlay_prefix, name);
}

static void expand_cmdline(struct br_sim_board *b, const struct br_sim_step *s)
{
	pushf(b, BR_SIM_ROLE_CMDLINE, s->flags, "%s%s", b->settings.os_prefix, b->settings.cmdline);
}

static void expand_armstub(struct br_sim_board *b, const struct br_sim_step *s)
{
	push(b, *b->settings.armstub ? b->settings.armstub : b->config.model->armstub[b->is_64bit], BR_SIM_ROLE_PLAIN,
		s->flags);
}

static void expand_kernel(struct br_sim_board *b, const struct br_sim_step *s)
{
	push(b, b->kernel, BR_SIM_ROLE_KERNEL, s->flags);
}

/* A URL is for a client that has HTTP: this one looks no further. */
static void expand_named(struct br_sim_board *b, const struct br_sim_step *s)
{
	if (*b->dhcp.file && !strstr(b->dhcp.file, "://"))
		push(b, b->dhcp.file, BR_SIM_ROLE_PLAIN, BR_SIM_ROOT | BR_SIM_MUST);
}

/*
 * boot.sig, then boot.img. That its size is looked at first (HEAD) is a guess: the strings of the EEPROM have the method,
 * no capture shows where it is used (wire facts 8, 5).
 */
static void expand_http(struct br_sim_board *b, const struct br_sim_step *s)
{
	if (!b->config.http.on) {
		/* SIGNED_BOOT over TFTP: boot.img decides about the directory (systems facts d.8) */
		snprintf(b->prefix, sizeof(b->prefix), "%08x/", b->config.serial);
		push(b, "boot.img", BR_SIM_ROLE_PREFIX, BR_SIM_PROBE);
		push(b, "boot.img", BR_SIM_ROLE_IMG, BR_SIM_MUST);
		push(b, "boot.sig", BR_SIM_ROLE_SIG, BR_SIM_MUST);
		return;
	}
	push(b, "boot.sig", BR_SIM_ROLE_HTTP_SIG, BR_SIM_ROOT | BR_SIM_MUST);
	push(b, "boot.img", BR_SIM_ROLE_HTTP_LOOK, BR_SIM_ROOT | BR_SIM_MUST | BR_SIM_PROBE);
	push(b, "boot.img", BR_SIM_ROLE_HTTP_IMG, BR_SIM_ROOT | BR_SIM_MUST);
}

void br_sim_board_expand(struct br_sim_board *b, const struct br_sim_step *s)
{
	static void (*const by_op[])(struct br_sim_board *, const struct br_sim_step *) = {
		[BR_SIM_OP_GET] = expand_get, [BR_SIM_OP_PREFIX] = expand_prefix, [BR_SIM_OP_CONFIG] = expand_config,
		[BR_SIM_OP_START] = expand_start, [BR_SIM_OP_FIXUP] = expand_start,
		[BR_SIM_OP_RECOVERY] = expand_recovery, [BR_SIM_OP_FIND_KERNEL] = expand_find_kernel,
		[BR_SIM_OP_INITRAMFS] = expand_initramfs, [BR_SIM_OP_DTB] = expand_dtb,
		[BR_SIM_OP_OVERLAY_MAP] = expand_overlay_map, [BR_SIM_OP_OVERLAYS] = expand_overlays,
		[BR_SIM_OP_CMDLINE] = expand_cmdline, [BR_SIM_OP_ARMSTUB] = expand_armstub,
		[BR_SIM_OP_KERNEL] = expand_kernel, [BR_SIM_OP_NAMED] = expand_named,
		[BR_SIM_OP_HTTP] = expand_http,
	};
	bool wants_initramfs = b->settings.auto_initramfs && !b->settings.n_initramfs;

	if ((s->flags & BR_SIM_IF_PREFIX && !*b->prefix) || (s->flags & BR_SIM_IF_INITRAMFS && !wants_initramfs) ||
		(s->flags & BR_SIM_IF_UPDATE && b->settings.no_bootloader_update))
		return;
	by_op[s->op](b, s);
}

/* ---- answers ---- */

bool br_sim_board_keeps(const struct br_sim_board *b, enum br_sim_role role)
{
	switch (role) {
	case BR_SIM_ROLE_PREFIX:
	case BR_SIM_ROLE_CONFIG:
	case BR_SIM_ROLE_INCLUDE:
	case BR_SIM_ROLE_OVERLAY_MAP:
	case BR_SIM_ROLE_CMDLINE:
	case BR_SIM_ROLE_SIG:
	case BR_SIM_ROLE_IMG:
		return true;
	case BR_SIM_ROLE_KERNEL:
	case BR_SIM_ROLE_INITRAMFS:
	case BR_SIM_ROLE_DTB:
		return b->config.keep;
	default:
		return false;
	}
}

static void wrong(struct br_sim_board *b, const char *name, const char *text)
{
	b->n_wrong++;
	br_sim_board_event(b, (struct br_sim_event){ .what = BR_SIM_WRONG, .name = name, .text = text });
}

static void warn(struct br_sim_board *b, const char *name, const char *text)
{
	br_sim_board_event(b, (struct br_sim_event){ .what = BR_SIM_WARNING, .name = name, .text = text });
}

static void take_blob(struct br_sim_board *b, struct br_sim_blob *blob)
{
	free(blob->data);
	blob->data = br_take(b->tftp.data);
	blob->len = blob->data ? (size_t)b->tftp.size : 0;
}

/* Parses what was fetched; asks for includes that are still lacking. */
static void parse_config(struct br_sim_board *b)
{
	struct br_pi_config_file files[1 + BR_PI_CONFIG_INCLUDES];
	struct br_pi_config_reader who = {
		.filters = b->config.model->filters,
		.serial = b->config.serial,
		.revision = b->config.model->revision,
		.includes = b->stage->includes,
	};

	for (size_t i = 0; i < b->n_texts; i++)
		files[i] = (struct br_pi_config_file){ b->text_names[i], (const char *)b->texts[i].data, b->texts[i].len };
	br_pi_config_parse(&who, files, b->n_texts, &b->settings);
	for (size_t i = b->n_texts < BR_ARRAY_SIZE(b->texts) ? b->settings.n_missing : 0; i--;) {
		insert(b, 0, b->settings.missing[i], BR_SIM_ROLE_INCLUDE, 0);
		insert(b, 0, b->settings.missing[i], BR_SIM_ROLE_INCLUDE, BR_SIM_PROBE);
	}
}

static void forget_texts(struct br_sim_board *b)
{
	for (size_t i = 0; i < b->n_texts; i++) {
		free(b->texts[i].data);
		b->texts[i] = (struct br_sim_blob){ 0 };
	}
	b->n_texts = 0;
}

static void add_text(struct br_sim_board *b, const char *name)
{
	if (b->n_texts == BR_ARRAY_SIZE(b->texts))
		return;
	br_strcpy(b->text_names[b->n_texts], BR_PI_CONFIG_NAME, name);
	take_blob(b, &b->texts[b->n_texts++]);
}

static void take_config(struct br_sim_board *b, const struct br_sim_request *q, bool found)
{
	if (q->flags & BR_SIM_PROBE)
		return;
	forget_texts(b);
	add_text(b, q->name); /* without data when it is missing: defaults */
	parse_config(b);
}

static void take_include(struct br_sim_board *b, const struct br_sim_request *q, bool found)
{
	if (found && q->flags & BR_SIM_PROBE)
		return;
	add_text(b, q->name);
	/* the next one is already queued when the text named several */
	if (!queued(b, BR_SIM_ROLE_INCLUDE))
		parse_config(b);
}

static void take_prefix(struct br_sim_board *b, const struct br_sim_request *q, bool found)
{
	if (found) {
		drop(b, BR_SIM_ROLE_PREFIX, NULL);
		br_sim_board_event(b, (struct br_sim_event){ .what = BR_SIM_PREFIX, .name = b->prefix });
		if (!(q->flags & BR_SIM_PROBE))
			take_config(b, q, true);
	} else if (!queued(b, BR_SIM_ROLE_PREFIX)) {
		b->prefix[0] = 0;
		br_sim_board_event(b, (struct br_sim_event){ .what = BR_SIM_PREFIX });
	}
}

static void leave_for_local(struct br_sim_board *b, const char *name)
{
	br_cleanup(br_freep) char *why = br_asprintf("%s is empty: the server sends this board to its next boot mode "
						     "(boot locally)", name);

	br_sim_board_leave(b, why ? why : "boots locally");
}

static void take_start(struct br_sim_board *b, const struct br_sim_request *q, bool found)
{
	if (found && !b->tftp.size)
		leave_for_local(b, q->name);
}

static void take_kernel_probe(struct br_sim_board *b, const struct br_sim_request *q, bool found)
{
	const struct br_sim_model *m = b->config.model;

	if (found) {
		br_strcpy(b->kernel, sizeof(b->kernel), q->name);
		drop(b, BR_SIM_ROLE_KERNEL_PROBE, NULL);
		for (unsigned i = 1; i < m->n_kernel_probes; i++)
			insert(b, 0, b->kernel, BR_SIM_ROLE_PLAIN, BR_SIM_PROBE);
	} else if (!queued(b, BR_SIM_ROLE_KERNEL_PROBE)) {
		br_sim_board_give_up(b,
			"no kernel: %s and its like are missing (%s-bit wanted; config.txt: kernel=, arm_64bit=)", q->name,
			b->is_64bit ? "64" : "32");
	}
}

static void take_kernel(struct br_sim_board *b, const struct br_sim_request *q, bool found)
{
	if (found && !(q->flags & BR_SIM_PROBE))
		take_blob(b, &b->hand.kernel);
}

/* Several initramfs files follow each other in memory, as the firmware loads them. */
static void take_initramfs(struct br_sim_board *b, const struct br_sim_request *q, bool found)
{
	struct br_sim_blob *all = &b->hand.initramfs;
	uint8_t *p;

	if (!found || q->flags & BR_SIM_PROBE || !b->config.keep)
		return;
	p = realloc(all->data, all->len + (size_t)b->tftp.size + 1);
	if (!p) {
		br_sim_board_give_up(b, "out of memory for the initramfs");
		return;
	}
	if (b->tftp.size)
		memcpy(p + all->len, b->tftp.data, (size_t)b->tftp.size);
	all->data = p;
	all->len += (size_t)b->tftp.size;
}

static void take_dtb(struct br_sim_board *b, const struct br_sim_request *q, bool found)
{
	if (found && !(q->flags & BR_SIM_PROBE)) {
		b->dtb_found = true;
		take_blob(b, &b->hand.dtb);
		drop(b, BR_SIM_ROLE_DTB, NULL);
	} else if (!found && !queued(b, BR_SIM_ROLE_DTB)) {
		warn(b, q->name, "no device tree for this model: Linux will not start on a real board");
	}
}

static void take_overlay_map(struct br_sim_board *b, const struct br_sim_request *q, bool found)
{
	if (found && !(q->flags & BR_SIM_PROBE))
		take_blob(b, &b->overlay_map);
}

static bool is_blank(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!s[i] || !strchr(" \t\r\n", s[i]))
			return false;
	return true;
}

/* What firmware puts before cmdline.txt, as far as it matters to a kernel elsewhere. */
static void take_cmdline(struct br_sim_board *b, const struct br_sim_request *q, bool found)
{
	/* the firmware's own line when there is no file (wire facts 5.2, 51) */
	static const char builtin[] = "root=/dev/mmcblk0p2 rootwait";
	struct br_text t = BR_TEXT_NULL;
	const char *line = found ? (const char *)b->tftp.data : builtin;
	size_t n = found ? (size_t)b->tftp.size : sizeof(builtin) - 1;
	const uint8_t *m = b->config.mac.b;
	const char *nl;

	if (found && q->flags & BR_SIM_PROBE)
		return;
	if (!found)
		warn(b, q->name, "no command line: the firmware's own looks for a root on the SD card");
	nl = n ? memchr(line, '\n', n) : NULL;
	if (nl && !is_blank(nl, (size_t)(line + n - nl)))
		warn(b, q->name, "has more than one line: the kernel sees only the first");
	br_text_addf(&t, "coherent_pool=1M snd_bcm2835.enable_headphones=0 smsc95xx.macaddr=%02X:%02X:%02X:%02X:%02X:%02X "
			 "vc_mem.mem_base=0x3ec00000 vc_mem.mem_size=0x40000000  ", m[0], m[1], m[2], m[3], m[4], m[5]);
	if (n)
		br_text_add_bytes(&t, line, nl ? (size_t)(nl - line) : n);
	free(b->hand.cmdline);
	b->hand.cmdline = br_text_take(&t);
}

static void take_plain(struct br_sim_board *b, const struct br_sim_request *q, bool found)
{
}

/* ---- checks ---- */

static struct br_sim_known *find_known(struct br_sim_board *b, const char *name)
{
	uint32_t h = br_crc32c(0, name, strlen(name));

	for (size_t i = 0; i < b->n_known; i++)
		if (b->known[i].name_crc == h)
			return &b->known[i];
	if (b->n_known == BR_SIM_KNOWN)
		return NULL;
	b->known[b->n_known] = (struct br_sim_known){ .name_crc = h, .size = UINT64_MAX };
	return &b->known[b->n_known++];
}

/* A file must stay what it was for the whole boot, whichever stage reads it. */
static void check_steady(struct br_sim_board *b, const struct br_sim_request *q, bool found)
{
	char name[2 * BR_SIM_TFTP_NAME_MAX];
	bool fresh = b->n_known < BR_SIM_KNOWN;
	size_t before = b->n_known;
	struct br_sim_known *k;
	bool full = found && b->tftp.state == BR_SIM_TFTP_DONE;

	/* without the extra slash of the Pi 5: it is the same file */
	snprintf(name, sizeof(name), "%s%s", q->flags & BR_SIM_ROOT ? "" : b->prefix, q->name);
	k = find_known(b, name);
	fresh = fresh && b->n_known != before;
	if (!k)
		return;
	if (fresh)
		k->there = found;
	else if (k->there != found)
		wrong(b, name, found ? "appeared during the boot" : "disappeared during the boot");
	k->there = found;
	if (!full)
		return;
	if (k->size != UINT64_MAX && (k->size != b->tftp.size || k->crc != b->tftp.crc))
		wrong(b, name, "changed during the boot");
	k->size = b->tftp.size;
	k->crc = b->tftp.crc;
}

static void check_expected(struct br_sim_board *b, const struct br_sim_request *q, bool found)
{
	/* the server may write these two anew for every board */
	static const char *const projected[] = { "config.txt", "cmdline.txt" };
	const char *slash = strrchr(q->name, '/');
	uint64_t size;
	uint32_t crc;

	for (size_t i = 0; i < BR_ARRAY_SIZE(projected); i++)
		if (!strcasecmp(slash ? slash + 1 : q->name, projected[i]))
			return;
	if (!b->config.expected || b->config.expected(b->config.ctx, q->name, &size, &crc) <= 0)
		return;
	if (!found && q->role != BR_SIM_ROLE_PREFIX) /* a server need not know directories */
		wrong(b, q->name, "missing, but the expected files have it");
	if (b->tftp.state == BR_SIM_TFTP_DONE && (size != b->tftp.size || crc != b->tftp.crc))
		wrong(b, q->name, size != b->tftp.size ? "has another size than the expected file"
						       : "has other bytes than the expected file");
	else if (b->tftp.state == BR_SIM_TFTP_PROBED && b->tftp.tsize != UINT64_MAX && b->tftp.tsize != size)
		wrong(b, q->name, "tsize is not the size of the expected file");
}

static void check(struct br_sim_board *b, const struct br_sim_request *q, bool found)
{
	const struct br_sim_tftp *t = &b->tftp;
	size_t n = t->size < BR_SIM_HEAD ? (size_t)t->size : BR_SIM_HEAD;
	const char *bad = NULL;

	check_steady(b, q, found);
	check_expected(b, q, found);
	if (t->state == BR_SIM_TFTP_DONE && !(q->role == BR_SIM_ROLE_START && !t->size))
		bad = br_sim_check_file(q->name, t->head, n, t->size);
	if (bad)
		wrong(b, t->name, bad);
}

static void report(struct br_sim_board *b)
{
	static const enum br_sim_what by_state[] = {
		[BR_SIM_TFTP_DONE] = BR_SIM_FILE, [BR_SIM_TFTP_PROBED] = BR_SIM_PROBED,
		[BR_SIM_TFTP_MISSING] = BR_SIM_MISSING, [BR_SIM_TFTP_FAILED] = BR_SIM_WRONG,
	};
	const struct br_sim_tftp *t = &b->tftp;

	if (t->state == BR_SIM_TFTP_FAILED)
		b->n_wrong++;
	br_sim_board_event(b, (struct br_sim_event){
		.what = by_state[t->state],
		.name = t->name,
		.text = t->why,
		.bytes = t->state == BR_SIM_TFTP_DONE ? t->size : t->tsize != UINT64_MAX ? t->tsize : 0,
		.took_ns = b->now_ns - t->start_ns,
		.n = t->blksize,
		.crc = t->crc,
	});
}

void br_sim_board_fetched(struct br_sim_board *b)
{
	static void (*const by_role[])(struct br_sim_board *, const struct br_sim_request *, bool) = {
		[BR_SIM_ROLE_PLAIN] = take_plain, [BR_SIM_ROLE_PREFIX] = take_prefix,
		[BR_SIM_ROLE_CONFIG] = take_config, [BR_SIM_ROLE_INCLUDE] = take_include,
		[BR_SIM_ROLE_START] = take_start, [BR_SIM_ROLE_KERNEL_PROBE] = take_kernel_probe,
		[BR_SIM_ROLE_KERNEL] = take_kernel, [BR_SIM_ROLE_INITRAMFS] = take_initramfs,
		[BR_SIM_ROLE_DTB] = take_dtb, [BR_SIM_ROLE_OVERLAY_MAP] = take_overlay_map,
		[BR_SIM_ROLE_CMDLINE] = take_cmdline, [BR_SIM_ROLE_HTTP_SIG] = br_sim_board_take_sig,
		[BR_SIM_ROLE_HTTP_LOOK] = take_plain, [BR_SIM_ROLE_HTTP_IMG] = br_sim_board_take_img,
		[BR_SIM_ROLE_SIG] = br_sim_board_take_sig, [BR_SIM_ROLE_IMG] = br_sim_board_take_img,
	};
	struct br_sim_request q = b->queue[0];
	bool found = b->tftp.state == BR_SIM_TFTP_DONE || b->tftp.state == BR_SIM_TFTP_PROBED;

	br_sim_board_drop_request(b);
	report(b);
	check(b, &q, found);
	if (!found && q.flags & BR_SIM_MUST) {
		br_sim_board_give_up(b, "%s: %s; without it the boot ends here", b->tftp.name,
			b->tftp.state == BR_SIM_TFTP_MISSING ? "missing" : b->tftp.why);
		return;
	}
	/* a file that did not come counts as absent; what would have asked again for it does not */
	if (!found)
		drop(b, q.role, q.name);
	by_role[q.role](b, &q, found);
}

void br_sim_board_kernel_ready(struct br_sim_board *b)
{
	br_strcpy(b->hand.kernel_name, sizeof(b->hand.kernel_name), b->kernel);
	br_sim_board_event(b, (struct br_sim_event){ .what = BR_SIM_KERNEL, .name = b->kernel, .text = b->hand.cmdline });
}

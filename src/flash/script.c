/* SPDX-License-Identifier: Apache-2.0 */
/* The scripts of a flash. Only what Debian's U-Boot for the Raspberry Pi has (facts: no hash, no tftpput, no askenv). */
#include "flash/script.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTORS(bytes) ((uint64_t)(bytes) / BR_FLASH_SECTOR)

/*
 * Buffers, from ${kernel_addr_r} on (0x80000 on a Pi): below 256 MiB with all of them, and above where kernel, initramfs
 * and device tree of the system that runs this come to lie.
 *   bf_c one page for sums and answers, bf_s scripts, bf_d details, bf_f the FIT, bf_b unpacked, bf_a as on the card
 */
static const struct {
	const char *name, *at;
} buffers[] = {
	{ "bf_c", "7fff000" }, { "bf_s", "8000000" }, { "bf_d", "8100000" }, { "bf_f", "8200000" },
	{ "bf_b", "9400000" }, { "bf_a", "a400000" },
};

static const struct {
	const char *bif, *prepare;
} targets[] = {
	{ "mmc", NULL }, { "virtio", "virtio scan" }, { "nvme", "nvme scan" }, { "usb", "usb start" }, { "scsi", "scsi scan" },
};

int br_flash_target_parse(const char *text, char bif[static 8], unsigned *ret_dev)
{
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		size_t n = strlen(targets[i].bif);
		uint64_t dev;

		if (strncmp(text, targets[i].bif, n) != 0)
			continue;
		if (br_parse_u64(text + n + (text[n] == ' '), 0, 99, &dev) < 0)
			return -EINVAL;
		memcpy(bif, targets[i].bif, n + 1);
		*ret_dev = (unsigned)dev;
		return 0;
	}
	return -EINVAL;
}

uint32_t br_flash_groups(const struct br_flash_plan *plan)
{
	return (br_flash_plan_windows(plan) + BR_FLASH_GROUP - 1) / BR_FLASH_GROUP;
}

/* ---- start ---- */

/*
 * Without an end of its own a transfer would begin anew for ever, where the network is gone. U-Boot's virtio-net is so for good
 * when 32 frames wait for it, and two windows of 16 are that many (the second is the first one again, when the board is slow).
 */
static const char net[] =
	"setenv netretry no; setenv bf_x\n"
	"if test -n \"${ethact}\"; then setexpr bf_x sub '.*(virtio-net).*' 'yes' \"${ethact}\"; fi\n"
	"if test \"${bf_x}\" = yes; then setenv tftpwindowsize 4; fi\n";

/* Several tries, a second apart: a server that is restarted is back by then. */
static const char get[] =
	"setenv bf_get 'setenv bf_ok 0; for bf_i in 1 2 3 4 5 6 7 8; do if test \"${bf_ok}\" = 0; then "
	"if tftpboot ${bf_p} ${bf_o}/${bf_w}; then setenv bf_ok 1; else sleep 1; fi; fi; done; test \"${bf_ok}\" = 1'\n";

/* A window that differs: fetched, proved, written; three times at most. bf_e is what went wrong last. */
static const char fix[] =
	"setenv bf_fix 'setenv bf_m all; if test \"${bf_r}\" = 0; then run bf_fine; fi; setenv bf_v 1; "
	"for bf_j in 1 2 3; do if test \"${bf_v}\" = 1; then run bf_one; fi; done; "
	"if test \"${bf_v}\" = 1; then setenv bf_fail ${bf_e}; fi'\n"
	"setenv bf_one 'setenv bf_e fetch; setenv bf_p ${bf_f}; setenv bf_w ${bf_kind}/${bf_k}/${bf_m}; if run bf_get; then "
	"setenv bf_e download; if iminfo ${bf_f}; then source ${bf_f}:s; fi; fi'\n";

static const char fine[] =
	"setenv bf_fine 'setenv bf_p ${bf_d}; setenv bf_w d/${bf_k}; if run bf_get; then setenv bf_m; source ${bf_d}; fi'\n";

/*
 * Before the first write: from now on there is no system behind partition 1, until the table is written again. True only when
 * zeros were read back: else an old table would lead into what is half old and half new.
 */
static const char open_card[] =
	"setenv bf_open 'if test -z \"${bf_opened}\"; then if %1$s read ${bf_c} 0 1; then setexpr bf_x ${bf_c} + 1ce; "
	"mw.b ${bf_x} 0 30; mw.b ${bf_a} 0 30; if %1$s write ${bf_c} 0 1; then mw.b ${bf_c} ff 200; if %1$s read ${bf_c} 0 1; then "
	"if cmp.b ${bf_x} ${bf_a} 30; then setenv bf_opened 1; fi; fi; fi; fi; fi; test -n \"${bf_opened}\"'\n";
static const char open_whole[] =
	"setenv bf_open 'if test -z \"${bf_opened}\"; then mw.b ${bf_c} 0 1000; mw.b ${bf_a} 0 1000; "
	"if %1$s write ${bf_c} 0 8; then mw.b ${bf_c} ff 1000; if %1$s read ${bf_c} 0 8; then "
	"if cmp.b ${bf_c} ${bf_a} 1000; then setenv bf_opened 1; fi; fi; fi; fi; test -n \"${bf_opened}\"'\n";

/* A disk of sectors of 4096 bytes would fill eight times the memory that is meant, and lay all in other places: what is behind
 * the first 512 bytes must stay as it is. A disk that cannot be read now is not to be taken for an empty one. */
static const char sectors[] =
	"setexpr bf_x ${bf_c} + 200; mw.l ${bf_x} b7a3b1e5 8\n"
	"if test -z \"${bf_fail}\"; then setenv bf_fail read; if %1$s read ${bf_c} 0 1; then setenv bf_fail; fi; fi\n"
	"if test -z \"${bf_fail}\"; then setenv bf_fail sectors; if itest.l *${bf_x} == b7a3b1e5; then setenv bf_fail; fi; fi\n";

/*
 * Partition 1 with our mark is kept for ever. Without it the disk is written from its first sector on, which is the end of a
 * recovery card: only when that is certain. It is not when U-Boot was started from here (stage 1 says), nor when there is a FAT
 * whose directory cannot be read, or has the mark.
 */
static const char find[] =
	"setenv bf_at whole\n"
	"if test -z \"${bf_fail}\"; then\n"
	"if load %1$s %2$x:1 ${bf_c} bramble.txt 100; then\n"
	"if part start %1$s %2$x 1 bf_x; then if part size %1$s %2$x 1 bf_y; then if part uuid %1$s %2$x:1 bf_z; then\n"
	"setenv bf_at card/${bf_x}/${bf_y}/${bf_z}\n"
	"fi; fi; fi\n"
	"if test \"${bf_at}\" = whole; then setenv bf_fail layout; fi\n"
	"else\n"
	"if test \"${bramble_card}\" = \"%1$s %2$x\"; then setenv bf_fail layout; fi\n"
	"if part start %1$s %2$x 1 bf_x; then\n"
	"setenv bf_y 0; if %1$s read ${bf_c} ${bf_x} 1; then\n"
	"setexpr bf_z ${bf_c} + 52; cp.b ${bf_z} ${bf_d} 4; if itest.l *${bf_d} == 33544146; then setenv bf_y 1; fi\n" /* "FAT3" */
	"setexpr bf_z ${bf_c} + 36; cp.b ${bf_z} ${bf_d} 4; if itest.l *${bf_d} == 31544146; then setenv bf_y 1; fi\n" /* "FAT1" */
	"else setenv bf_fail read; fi\n"
	"if test \"${bf_y}\" = 1; then if ls %1$s %2$x:1; then true; else setenv bf_fail layout; fi\n"
	"if test -e %1$s %2$x:1 bramble.txt; then setenv bf_fail layout; fi; fi\n"
	"fi\n"
	"fi\nfi\n";

static const char probe[] =
	"setenv bf_kind l; setenv bf_p ${bf_f}; setenv bf_w fit\n"
	"if run bf_get; then if iminfo ${bf_f}; then setenv bf_kind w; fi; fi\n"
	"setenv bf_sum; mw.l ${bf_c} 0; mw.l ${bf_d} 0\n" /* the sum of four zeros, as stored by either kind */
	"if crc32 ${bf_c} 4 ${bf_d}; then\n"
	"if itest.l *${bf_d} == 2144df1c; then setenv bf_sum n; fi\n"
	"if itest.l *${bf_d} == 1cdf4421; then setenv bf_sum s; fi\n"
	"fi\n"
	/* without them nothing could be told apart, and all would seem right */
	"if test -z \"${bf_sum}\"; then echo bramble: this U-Boot lacks crc32 or itest; setenv bf_fail script; fi\n";

static const char work[] =
	"setenv bf_next plan/${bf_sum}/${bf_at}\n"
	"setenv bf_go 1\n"
	"if test -n \"${bf_fail}\"; then setenv bf_go 0; fi\n"
	"while test \"${bf_go}\" = 1; do\n"
	"setenv bf_p ${bf_s}; setenv bf_w ${bf_next}\n"
	"if run bf_get; then if source ${bf_s}; then true; else setenv bf_fail script; fi; else setenv bf_fail fetch; fi\n"
	"if test -n \"${bf_fail}\"; then setenv bf_go 0; fi\n"
	"done\n"
	"if test \"${bf_at}\" != whole; then if test -z \"${bf_fail}\"; then\n"
	"setenv bf_e fetch; setenv bf_v 1; setenv bf_p ${bf_f}; setenv bf_w t/${bf_kind}\n"
	"if run bf_get; then setenv bf_e download; if iminfo ${bf_f}; then source ${bf_f}:s; fi; fi\n"
	"if test \"${bf_v}\" = 1; then setenv bf_fail ${bf_e}; fi\n"
	"fi; fi\n"
	"setenv bf_p ${bf_c}; setenv bf_w done\n"
	"if test -n \"${bf_fail}\"; then echo bramble: the flash failed: ${bf_fail} at window ${bf_k}; setenv bf_w fail/${bf_fail}/${bf_k}; fi\n"
	"if run bf_get; then echo bramble: told the server; fi\n"
	"sleep 1\n"
	"reset\n";

void br_flash_script_start(const struct br_flash_job *job, struct br_text *t)
{
	br_text_addf(t, "echo bramble: order %" PRIu64 ": writing %s %x\n", job->id, job->bif, job->dev);
	br_text_addf(t, "setenv bf_o bramble/flash/%" PRIu64 "\n", job->id);
	br_text_add(t, "setenv tftpblocksize 1468; setenv tftpwindowsize 16\n"
		       "setenv tftptimeout 1000; setenv tftptimeoutcountmax 15\n"
		       "setenv bf_fail; setenv bf_opened; setenv bf_k 0; setenv bf_r 0; setenv verify y\n"
		       /* nobody would serve it here for minutes; and what is read back must not come from a cache */
		       "if test -n \"${bramble_wdt}\"; then wdt stop; setenv bramble_wdt; fi\n"
		       "if blkcache configure 0 0; then true; fi\n");
	for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++)
		br_text_addf(t, "setexpr %s ${kernel_addr_r} + %s\n", buffers[i].name, buffers[i].at);
	br_text_add(t, net);
	br_text_add(t, get);
	br_text_add(t, fix);
	br_text_add(t, job->fine ? fine : "setenv bf_fine true\n");
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		if (!strcmp(targets[i].bif, job->bif) && targets[i].prepare)
			br_text_addf(t, "%s\n", targets[i].prepare);
	br_text_addf(t, "if %s dev %x; then true; else setenv bf_fail device; fi\n", job->bif, job->dev);
	br_text_addf(t, sectors, job->bif);
	br_text_addf(t, find, job->bif, job->dev);
	br_text_addf(t, "if test \"${bf_at}\" = whole; then\n");
	br_text_addf(t, open_whole, job->bif);
	br_text_add(t, "else\n");
	br_text_addf(t, open_card, job->bif);
	br_text_add(t, "fi\n");
	br_text_add(t, probe);
	br_text_add(t, work);
}

void br_flash_script_wait(struct br_text *t)
{
	br_text_add(t, "echo bramble: the server reads the image; sleep 2\ntrue\n");
}

void br_flash_script_stop(const char *why, struct br_text *t)
{
	br_text_addf(t, "setenv bf_fail %s\ntrue\n", why);
}

/* ---- groups ---- */

static void add_io(const struct br_flash_job *job, const char *op, const char *buffer, uint32_t packed, uint64_t to,
	uint32_t len, const char *otherwise, struct br_text *t)
{
	br_text_addf(t, "setexpr bf_x ${%s} + %x; if %s %s ${bf_x} %" PRIx64 " %" PRIx64 "; then true; else %s; fi\n", buffer,
		packed, job->bif, op, SECTORS(to), SECTORS(len), otherwise);
}

/* It differs until its sums, over all of it and over its second half, say that it does not: 32 bits alone are too few for what
 * nobody looks at again. Where a read failed, memory still holds what was there before. */
static void add_equal(const struct br_flash_job *job, const struct br_flash_plan *plan, uint32_t w, struct br_text *t)
{
	const struct br_flash_window *win = br_flash_map_window(br_flash_plan_map(plan), w);
	uint32_t n = br_flash_map_leaves(br_flash_plan_map(plan), w), half = n / 2, at = half * BR_FLASH_LEAF;
	uint32_t sum = br_flash_crc_join(win, br_flash_plan_leaf_crcs(plan, w), half, n - half);

	br_text_addf(t, "if test \"${bf_r}\" = 2; then if crc32 ${bf_a} %x ${bf_c}; then if itest.l *${bf_c} == %08x; then ", win->len,
		br_flash_as_loaded(job, br_flash_plan_crc(plan, w)));
	if (half)
		br_text_addf(t, "setexpr bf_x ${bf_a} + %x; if crc32 ${bf_x} %x ${bf_c}; then if itest.l *${bf_c} == %08x; then "
				"setenv bf_r 0; fi; fi; ", at, win->len - at, br_flash_as_loaded(job, sum));
	else
		br_text_add(t, "setenv bf_r 0; ");
	br_text_add(t, "fi; fi; fi\n");
}

static void add_window(const struct br_flash_job *job, const struct br_flash_plan *plan, uint32_t w, const char *differs,
	struct br_text *t)
{
	const struct br_flash_window *win = br_flash_map_window(br_flash_plan_map(plan), w);
	const struct br_flash_extent *e = br_flash_map_extents(br_flash_plan_map(plan), w);
	uint32_t packed = 0;

	br_text_addf(t, "if test -z \"${bf_fail}\"; then\nsetenv bf_k %x; setenv bf_r 2\n", w);
	for (uint32_t i = 0; i < win->n; packed += e[i++].len)
		add_io(job, "read", "bf_a", packed, br_flash_plan_to(plan, &e[i]), e[i].len, "setenv bf_r 1", t);
	add_equal(job, plan, w, t);
	/* what cannot be read is fetched whole, what reads and differs is looked at more closely */
	br_text_addf(t, "if test \"${bf_r}\" = 1; then %s; fi\nif test \"${bf_r}\" = 2; then setenv bf_r 0; %s; fi\nfi\n", differs,
		differs);
}

void br_flash_script_group(const struct br_flash_job *job, const struct br_flash_plan *plan, uint32_t group, bool again,
	struct br_text *t)
{
	uint32_t n = br_flash_plan_windows(plan), first = group * BR_FLASH_GROUP, end = first + BR_FLASH_GROUP;

	if (!group && !again) /* its last sector is there */
		br_text_addf(t, "if %s read ${bf_c} %" PRIx64 " 1; then true; else setenv bf_fail small; fi\n", job->bif,
			SECTORS(br_flash_plan_end(plan)) - 1);
	end = end < n ? end : n;
	for (uint32_t w = first; w < end; w++)
		add_window(job, plan, w, again ? "setenv bf_fail reread" : "run bf_fix", t);
	if (end < n)
		br_text_addf(t, "setenv bf_next %c/%x\n", again ? 'v' : 'g', group + 1);
	else if (job->verify == BR_FLASH_VERIFY_FULL && !again)
		br_text_add(t, "setenv bf_next v/0\n");
	else
		br_text_add(t, "setenv bf_go 0\n");
	br_text_add(t, "true\n");
}

/* ---- leaves ---- */

static void add_compare(const struct br_flash_job *job, const char *what, uint32_t at, uint32_t len, uint32_t crc, struct br_text *t)
{
	br_text_addf(t, "setexpr bf_x ${bf_a} + %x; crc32 ${bf_x} %x ${bf_c}; if itest.l *${bf_c} == %08x; then true; else %s", at, len,
		br_flash_as_loaded(job, crc), what);
}

void br_flash_script_detail(const struct br_flash_job *job, const struct br_flash_plan *plan, uint32_t w, struct br_text *t)
{
	const struct br_flash_window *win = br_flash_map_window(br_flash_plan_map(plan), w);
	const uint32_t *crcs = br_flash_plan_leaf_crcs(plan, w);
	uint32_t n = br_flash_map_leaves(br_flash_plan_map(plan), w);

	for (uint32_t i = 0; i < n; i += 16) {
		uint32_t m = n - i < 16 ? n - i : 16, len = 0;

		for (uint32_t k = 0; k < m; k++)
			len += br_flash_leaf_len(win, i + k);
		br_text_add(t, "setenv bf_y 0\n");
		add_compare(job, "\n", i * BR_FLASH_LEAF, len, br_flash_crc_join(win, crcs, i, m), t);
		for (uint32_t k = 0; k < m; k++) {
			char bit[40];

			snprintf(bit, sizeof(bit), "setexpr bf_y ${bf_y} + %x; fi\n", 1u << k);
			add_compare(job, bit, (i + k) * BR_FLASH_LEAF, br_flash_leaf_len(win, i + k), crcs[i + k], t);
		}
		br_text_add(t, "fi\nsetenv bf_m ${bf_m}${bf_y}.\n");
	}
	br_text_add(t, "true\n");
}

static bool mask_empty(const struct br_flash_mask *m)
{
	for (size_t i = 0; i < sizeof(m->bits) / sizeof(m->bits[0]); i++)
		if (m->bits[i])
			return false;
	return true;
}

int br_flash_mask_parse(const char *text, uint32_t n_leaves, struct br_flash_mask *ret)
{
	struct br_flash_mask m = { 0 };
	size_t words = (n_leaves + 15) / 16;

	if (!strcmp(text, "all")) {
		for (uint32_t i = 0; i < n_leaves; i++)
			m.bits[i / 16] = (uint16_t)(m.bits[i / 16] | 1u << i % 16);
		*ret = m;
		return 0;
	}
	for (size_t i = 0; i < words; i++) {
		unsigned v = 0, digits = 0, last = n_leaves - (unsigned)i * 16;

		for (; isxdigit((unsigned char)*text) && digits < 5; text++, digits++)
			v = v << 4 | (unsigned)(*text <= '9' ? *text - '0' : (*text | 0x20) - 'a' + 10);
		if (!digits || *text++ != '.' || v > 0xffff || (last < 16 && v >> last))
			return -EINVAL;
		m.bits[i] = (uint16_t)v;
	}
	if (*text || mask_empty(&m))
		return -EINVAL;
	*ret = m;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Images of a flash: bytes and the script that puts them on the card, as a FIT or as a legacy image. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "flash/script.h"
#include "uboot/fit.h"
#include "uboot/legacy.h"

#define SECTORS(bytes) ((uint64_t)(bytes) / BR_FLASH_SECTOR)
#define TABLE_BYTES    48 /* entries 2 to 4 of an MBR */

BR_DEFINE_CLEANUP(struct br_fit *, br_fit_free);

/* Stands in a script for where the data begin, until its length is known. */
#define OFFSET "@@@@@@@@"

/* What makes ${fileaddr} the data. U-Boot's imxtract takes no script apart that is a legacy image. */
static const char *find_data(bool fit)
{
	return fit ? "if imxtract ${bf_f} d; then" : "if setexpr fileaddr ${bf_f} + " OFFSET "; then";
}

/* One image for 'source' with the data behind the script; its CRC covers both, and 'iminfo' checks it. */
static int pack_legacy(const struct br_span *data, struct br_text *script, uint8_t **ret, size_t *ret_len, struct br_error *err)
{
	struct br_uimage_head head = { .os = BR_UIMAGE_OS_LINUX, .arch = BR_UIMAGE_ARCH_ARM64, .type = BR_UIMAGE_SCRIPT, .name = "bramble flash" };
	struct br_uimage_file files[] = { { script->buf, script->len }, { data->data, data->len } };
	char *at = script->buf ? strstr(script->buf, OFFSET) : NULL, offset[9];
	int r;

	if (script->failed || !script->buf)
		return br_error_set(err, ENOMEM, "out of memory");
	if (at) { /* header, sizes of the two and their end, the script padded */
		snprintf(offset, sizeof(offset), "%08zx", (BR_UIMAGE_HEADER + 12 + ((script->len + 3) & ~(size_t)3)) & 0xffffffff);
		memcpy(at, offset, 8);
	}
	r = br_uimage_pack_files(&head, files, 2, ret, ret_len);
	return r < 0 ? br_error_set(err, -r, "%s", strerrordesc_np(-r)) : 0;
}

/* Data and script as one FIT of its own memory; an image of a hash each, which U-Boot checks before it uses it. */
static int pack_fit(const struct br_span *data, const struct br_text *script, uint8_t **ret, size_t *ret_len, struct br_error *err)
{
	struct br_span text = { .data = (const uint8_t *)script->buf, .len = script->len };
	struct br_fit_image images[] = {
		{ .name = "s", .type = "script", .spans = &text, .n_spans = 1, .hashes = BR_FIT_SHA256 },
		{ .name = "d", .type = "firmware", .arch = "arm64", .spans = data, .n_spans = 1, .hashes = BR_FIT_SHA256 },
	};
	struct br_fit_options opt = { .description = "bramble flash", .images = images, .n_images = 2 };
	br_cleanup(br_fit_freep) struct br_fit *fit = NULL;
	const struct br_span *spans;
	uint8_t *buf;
	size_t n, at = 0;
	int r;

	if (script->failed || !script->buf)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_fit_new(&opt, &fit, err);
	if (r < 0)
		return r;
	buf = malloc(br_fit_size(fit));
	if (!buf)
		return br_error_set(err, ENOMEM, "out of memory");
	spans = br_fit_spans(fit, &n);
	for (size_t i = 0; i < n; at += spans[i++].len)
		memcpy(buf + at, spans[i].data, spans[i].len);
	*ret = buf;
	*ret_len = at;
	return 0;
}

static int pack(bool fit, const struct br_span *data, struct br_text *script, uint8_t **ret, size_t *ret_len, struct br_error *err)
{
	return fit ? pack_fit(data, script, ret, ret_len, err) : pack_legacy(data, script, ret, ret_len, err);
}

int br_flash_probe(uint8_t **ret, size_t *ret_len, struct br_error *err)
{
	struct br_span data = { (const uint8_t *)"fit", 3 };
	struct br_text t = BR_TEXT_NULL;
	int r;

	br_text_add(&t, "true\n");
	r = pack_fit(&data, &t, ret, ret_len, err);
	br_text_done(&t);
	return r;
}

static int gzip(const uint8_t *data, uint32_t len, struct br_span *ret, struct br_error *err)
{
	z_stream z = { .next_in = (Bytef *)(uintptr_t)data, .avail_in = len };
	uint8_t *buf;
	int code;

	/* the fastest level: a board's network and card are slower than its processor, and ours is shared by many boards */
	if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return br_error_set(err, ENOMEM, "out of memory");
	z.avail_out = (uInt)deflateBound(&z, len);
	buf = malloc(z.avail_out);
	z.next_out = buf;
	code = buf ? deflate(&z, Z_FINISH) : Z_MEM_ERROR;
	*ret = (struct br_span){ .data = buf, .len = z.total_out };
	deflateEnd(&z);
	if (code == Z_STREAM_END)
		return 0;
	free(buf);
	return br_error_set(err, ENOMEM, "out of memory");
}

/* Runs on the card of the leaves in a mask, with their place in the packed bytes of the chunk. */
struct run {
	uint64_t to;
	uint32_t packed, len;
};

struct runs {
	struct run *v;
	size_t n, cap;
	bool failed;
};

static void add_run(struct runs *runs, uint64_t to, uint32_t packed, uint32_t len)
{
	struct run *last = runs->n ? &runs->v[runs->n - 1] : NULL;

	if (last && last->to + last->len == to && last->packed + last->len == packed) {
		last->len += len;
		return;
	}
	if (br_array_reserve(&runs->v, &runs->cap, runs->n + 1, sizeof(*runs->v)) < 0) {
		runs->failed = true;
		return;
	}
	runs->v[runs->n++] = (struct run){ to, packed, len };
}

/* [from, from + len) of the window's bytes, which are at 'packed' in the chunk. */
static void add_range(const struct br_flash_plan *plan, uint32_t w, uint32_t from, uint32_t len, uint32_t packed, struct runs *runs)
{
	const struct br_flash_window *win = br_flash_map_window(br_flash_plan_map(plan), w);
	const struct br_flash_extent *e = br_flash_map_extents(br_flash_plan_map(plan), w);
	uint32_t at = 0;

	for (uint32_t i = 0; i < win->n && len; at += e[i++].len) {
		uint32_t skip, n;

		if (from >= at + e[i].len)
			continue;
		skip = from - at;
		n = e[i].len - skip < len ? e[i].len - skip : len;
		add_run(runs, br_flash_plan_to(plan, &e[i]) + skip, packed, n);
		from += n;
		packed += n;
		len -= n;
	}
}

static int gather(const struct br_flash_plan *plan, uint32_t w, const struct br_flash_mask *mask, uint8_t *buf,
	uint32_t *ret_len, struct runs *runs)
{
	const struct br_flash_window *win = br_flash_map_window(br_flash_plan_map(plan), w);
	uint32_t n = br_flash_map_leaves(br_flash_plan_map(plan), w), len = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t k = br_flash_leaf_len(win, i);
		int r;

		if (!(mask->bits[i / 16] & 1u << i % 16))
			continue;
		r = br_flash_plan_read(plan, w, i * BR_FLASH_LEAF, buf + len, k);
		if (r < 0)
			return r;
		add_range(plan, w, i * BR_FLASH_LEAF, k, len, runs);
		len += k;
	}
	*ret_len = len;
	return runs->failed ? -ENOMEM : 0;
}

static void add_ios(const struct br_flash_job *job, const char *op, const char *buffer, const struct runs *runs, struct br_text *t)
{
	for (size_t i = 0; i < runs->n; i++)
		br_text_addf(t, "setexpr bf_x ${%s} + %x; if %s %s ${bf_x} %" PRIx64 " %" PRIx64
				"; then true; else setenv bf_z 1; fi\n",
			buffer, runs->v[i].packed, job->bif, op, SECTORS(runs->v[i].to), SECTORS(runs->v[i].len));
}

static void write_script(const struct br_flash_job *job, bool fit, uint32_t len, uint32_t crc, const struct runs *runs, struct br_text *t)
{
	br_text_addf(t, "setenv bf_e unpack; setenv bf_z 0\n%s if unzip ${fileaddr} ${bf_b} %x; then\n"
			"crc32 ${bf_b} %x ${bf_c}\nif itest.l *${bf_c} == %08x; then\nsetenv bf_e table\nif run bf_open; then\nsetenv bf_e write\n",
		find_data(fit), BR_FLASH_WINDOW, len, br_flash_as_loaded(job, crc));
	add_ios(job, "write", "bf_b", runs, t);
	br_text_add(t, "if test \"${bf_z}\" = 0; then\n");
	if (job->verify == BR_FLASH_VERIFY_NONE) {
		br_text_add(t, "setenv bf_v 0\n");
	} else {
		br_text_addf(t, "setenv bf_e readback; mw.b ${bf_a} 0 %x\n", len);
		add_ios(job, "read", "bf_a", runs, t);
		br_text_addf(t, "if test \"${bf_z}\" = 0; then setenv bf_e verify; "
				"if cmp.b ${bf_b} ${bf_a} %x; then setenv bf_v 0; fi; fi\n", len);
	}
	br_text_add(t, "fi\nfi\nfi\nfi; fi\ntrue\n");
}

int br_flash_chunk(const struct br_flash_job *job, const struct br_flash_plan *plan, bool fit, uint32_t w,
	const struct br_flash_mask *mask, uint8_t **ret, size_t *ret_len, uint64_t *ret_bytes, struct br_error *err)
{
	uint32_t size = br_flash_map_window(br_flash_plan_map(plan), w)->len, len = 0;
	br_cleanup(br_freep) uint8_t *buf = malloc(size);
	struct br_text script = BR_TEXT_NULL;
	struct br_span data = { 0 };
	struct runs runs = { 0 };
	int r = buf ? gather(plan, w, mask, buf, &len, &runs) : -ENOMEM;

	if (r < 0) {
		br_error_set(err, -r, "window %u: %s", w, strerrordesc_np(-r));
	} else {
		r = gzip(buf, len, &data, err);
		write_script(job, fit, len, (uint32_t)crc32(0, buf, len), &runs, &script);
	}
	if (!r)
		r = pack(fit, &data, &script, ret, ret_len, err);
	if (!r)
		*ret_bytes = len;
	free((void *)(uintptr_t)data.data);
	free(runs.v);
	br_text_done(&script);
	return r;
}

/* A sector of the table's data, at packed of ${fileaddr}, into its place. What is right already is not written. */
static void add_sector(const struct br_flash_job *job, uint32_t packed, uint64_t at, struct br_text *t)
{
	br_text_addf(t, "setexpr bf_x ${fileaddr} + %2$x; cp.b ${bf_x} ${bf_d} 200; mw.b ${bf_a} 0 200\n"
			"if %1$s read ${bf_a} %3$" PRIx64 " 1; then true; fi\n"
			"if cmp.b ${bf_d} ${bf_a} 200; then true; else\n"
			"if %1$s write ${bf_d} %3$" PRIx64 " 1; then mw.b ${bf_a} 0 200; if %1$s read ${bf_a} %3$" PRIx64 " 1; then true; fi; fi\n"
			"if cmp.b ${bf_d} ${bf_a} 200; then true; else setenv bf_i 1; fi\nfi\n", job->bif, packed, SECTORS(at));
}

/* The sectors of logical partitions first, then the MBR that leads to them. */
static void table_script(const struct br_flash_job *job, bool fit, const uint8_t *table, const uint64_t *at, unsigned n, struct br_text *t)
{
	uint32_t crc = br_flash_as_loaded(job, (uint32_t)crc32(0, table, TABLE_BYTES));

	br_text_addf(t, "setenv bf_e table; setenv bf_i 1; setexpr bf_y ${bf_c} + 800; setexpr bf_z ${bf_c} + 1ce\n%s setenv bf_i 0; fi\n"
			"if test \"${bf_i}\" = 0; then\n",
		find_data(fit));
	for (unsigned i = 0; i < n; i++)
		add_sector(job, BR_FLASH_SECTOR * (i + 1), at[i], t);
	br_text_addf(t, "true; fi\nif test \"${bf_i}\" = 0; then if %1$s read ${bf_c} 0 1; then\n"
			"crc32 ${bf_z} 30 ${bf_y}\n"
			"if itest.l *${bf_y} == %2$08x; then true; else cp.b ${fileaddr} ${bf_z} 30; %1$s write ${bf_c} 0 1; mw.b ${bf_c} 0 200; fi\n"
			"if %1$s read ${bf_c} 0 1; then crc32 ${bf_z} 30 ${bf_y}; if itest.l *${bf_y} == %2$08x; then setenv bf_v 0; fi; fi\n"
			"fi; fi\ntrue\n",
		job->bif, crc);
}

int br_flash_table(const struct br_flash_job *job, const struct br_flash_plan *plan, bool fit, uint8_t **ret, size_t *ret_len,
	struct br_error *err)
{
	br_cleanup(br_freep) uint8_t *table = calloc(BR_PARTITIONS_MAX + 1, BR_FLASH_SECTOR);
	uint64_t at[BR_PARTITIONS_MAX];
	struct br_text t = BR_TEXT_NULL;
	struct br_span data;
	unsigned n = 0;
	int r;

	if (!table)
		return br_error_set(err, ENOMEM, "out of memory");
	br_flash_plan_table(plan, table);
	while (n < BR_PARTITIONS_MAX && br_flash_plan_logical(plan, n, table + (size_t)BR_FLASH_SECTOR * (n + 1), &at[n]))
		n++;
	data = (struct br_span){ table, n ? (size_t)BR_FLASH_SECTOR * (n + 1) : TABLE_BYTES };
	table_script(job, fit, table, at, n, &t);
	r = pack(fit, &data, &t, ret, ret_len, err);
	br_text_done(&t);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "uboot/fit.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/hash.h"

#define PATH_MAX_ 128 /* "/images/<name>" */
#define NAME_MAX_ 63

struct br_fit {
	uint8_t *head; /* all but the data */
	struct br_span *spans;
	size_t n_spans;
	uint64_t size;
};

BR_DEFINE_CLEANUP(struct br_fit *, br_fit_free);

void br_fit_free(struct br_fit *fit)
{
	if (!fit)
		return;
	free(fit->head);
	free(fit->spans);
	free(fit);
}

const struct br_span *br_fit_spans(const struct br_fit *fit, size_t *ret_n)
{
	*ret_n = fit->n_spans;
	return fit->spans;
}

uint64_t br_fit_size(const struct br_fit *fit)
{
	return fit->size;
}

static bool name_is_fine(const char *s, const char *also)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && !strchr("-_.", s[i]) && !strchr(also, s[i]))
			return false;
	return n && n <= NAME_MAX_;
}

/* Written: '@' makes a unit address, which U-Boot refuses since CVE-2021-27138. Old ones have it. */
#define OURS   ""
#define THEIRS "@"

static uint64_t bytes_of(const struct br_fit_image *img)
{
	uint64_t n = 0;

	for (size_t i = 0; i < img->n_spans; i++)
		n += img->spans[i].len;
	return n;
}

static const struct br_fit_image *image_named(const struct br_fit_options *opt, const char *name)
{
	for (size_t i = 0; i < opt->n_images; i++)
		if (!strcmp(opt->images[i].name, name))
			return &opt->images[i];
	return NULL;
}

static int check_images(const struct br_fit_options *opt, struct br_error *err)
{
	if (!opt->n_images || opt->n_images > BR_FIT_IMAGES_MAX)
		return br_error_set(err, EINVAL, "FIT: wants 1 to %d images, not %zu", BR_FIT_IMAGES_MAX, opt->n_images);
	for (size_t i = 0; i < opt->n_images; i++) {
		const struct br_fit_image *img = &opt->images[i];

		if (!name_is_fine(img->name, OURS))
			return br_error_set(err, EINVAL, "FIT: '%s' cannot be the name of an image (letters, digits, "
				"'-', '_' and '.', at most %d)", img->name, NAME_MAX_);
		if (image_named(opt, img->name) != img)
			return br_error_set(err, EINVAL, "FIT: two images are named %s", img->name);
		if (bytes_of(img) > UINT32_MAX)
			return br_error_set(err, EFBIG, "FIT: image %s has more than 4 GiB", img->name);
	}
	return 0;
}

static void config_members(const struct br_fit_config *c, const char *ret[static 5])
{
	ret[0] = c->kernel;
	ret[1] = c->ramdisk;
	ret[2] = c->fdt;
	ret[3] = c->firmware;
	ret[4] = c->script;
}

static const char *const member_names[] = { "kernel", "ramdisk", "fdt", "firmware", "script" };

static int check_configs(const struct br_fit_options *opt, struct br_error *err)
{
	for (size_t i = 0; i < opt->n_configs; i++) {
		const struct br_fit_config *c = &opt->configs[i];
		const char *members[5];

		config_members(c, members);
		if (!name_is_fine(c->name, OURS))
			return br_error_set(err, EINVAL, "FIT: '%s' cannot be the name of a configuration", c->name);
		for (size_t k = 0; k < BR_ARRAY_SIZE(members); k++)
			if (members[k] && !image_named(opt, members[k]))
				return br_error_set(err, EINVAL, "FIT: configuration %s names %s, which is no image of it",
					c->name, members[k]);
	}
	return 0;
}

static void add_optional(struct br_fdt_writer *w, const char *name, const char *text)
{
	if (text)
		br_fdt_add_text(w, name, text);
}

static int add_hashes(struct br_fdt_writer *w, const struct br_fit_image *img)
{
	uint8_t digest[32];
	uint32_t crc = (uint32_t)crc32_z(0, NULL, 0);
	struct br_sha256 *sha;
	unsigned n = 0;

	if (img->hashes & BR_FIT_CRC32) {
		for (size_t i = 0; i < img->n_spans; i++)
			crc = (uint32_t)crc32_z(crc, img->spans[i].data, img->spans[i].len);
		br_fdt_begin_node(w, "hash-1");
		br_fdt_add_u32(w, "value", crc);
		br_fdt_add_text(w, "algo", "crc32");
		br_fdt_end_node(w);
		n++;
	}
	if (!(img->hashes & BR_FIT_SHA256))
		return 0;
	sha = br_sha256_new();
	if (!sha)
		return -ENOMEM;
	for (size_t i = 0; i < img->n_spans; i++)
		br_sha256_add(sha, img->spans[i].data, img->spans[i].len);
	br_sha256_end(sha, digest);
	br_fdt_begin_node(w, n ? "hash-2" : "hash-1");
	br_fdt_add(w, "value", digest, sizeof(digest));
	br_fdt_add_text(w, "algo", "sha256");
	br_fdt_end_node(w);
	return 0;
}

/* ret_hole: where its data belong. */
static int add_image(struct br_fdt_writer *w, const struct br_fit_image *img, size_t *ret_hole)
{
	int r;

	br_fdt_begin_node(w, img->name);
	add_optional(w, "description", img->description);
	*ret_hole = br_fdt_add_hole(w, "data", (uint32_t)bytes_of(img));
	br_fdt_add_text(w, "type", img->type);
	add_optional(w, "arch", img->arch);
	add_optional(w, "os", img->os);
	br_fdt_add_text(w, "compression", img->compression ?: "none");
	if (img->has_load)
		br_fdt_add_u32(w, "load", img->load);
	if (img->has_entry)
		br_fdt_add_u32(w, "entry", img->entry);
	r = add_hashes(w, img);
	br_fdt_end_node(w);
	return r;
}

static void add_configs(struct br_fdt_writer *w, const struct br_fit_options *opt)
{
	br_fdt_begin_node(w, "configurations");
	if (opt->n_configs)
		br_fdt_add_text(w, "default", opt->configs[0].name);
	for (size_t i = 0; i < opt->n_configs; i++) {
		const char *members[5];

		config_members(&opt->configs[i], members);
		br_fdt_begin_node(w, opt->configs[i].name);
		add_optional(w, "description", opt->configs[i].description);
		for (size_t k = 0; k < BR_ARRAY_SIZE(members); k++)
			add_optional(w, member_names[k], members[k]);
		br_fdt_end_node(w);
	}
	br_fdt_end_node(w);
}

static int write_tree(const struct br_fit_options *opt, struct br_fdt_writer *w, size_t *holes)
{
	int r = 0;

	br_fdt_begin_node(w, "");
	br_fdt_add_u32(w, "timestamp", opt->time);
	br_fdt_add_text(w, "description", opt->description ?: "");
	br_fdt_add_u32(w, "#address-cells", 1);
	br_fdt_begin_node(w, "images");
	for (size_t i = 0; !r && i < opt->n_images; i++)
		r = add_image(w, &opt->images[i], &holes[i]);
	br_fdt_end_node(w);
	add_configs(w, opt);
	br_fdt_end_node(w);
	return r;
}

static void put_span(struct br_fit *fit, const void *data, size_t len)
{
	if (!len)
		return;
	fit->spans[fit->n_spans++] = (struct br_span){ data, len };
	fit->size += len;
}

/* Head, data, head, data ...: the head is cut at the holes. */
static int make_spans(const struct br_fit_options *opt, struct br_fit *fit, size_t len, size_t start,
	const size_t *holes)
{
	static const uint8_t zeros[4] = { 0 };
	size_t n = 1 + 2 * opt->n_images, at = 0;

	for (size_t i = 0; i < opt->n_images; i++)
		n += opt->images[i].n_spans;
	fit->spans = calloc(n, sizeof(*fit->spans));
	if (!fit->spans)
		return -ENOMEM;
	for (size_t i = 0; i < opt->n_images; i++) {
		const struct br_fit_image *img = &opt->images[i];

		put_span(fit, fit->head + at, start + holes[i] - at);
		at = start + holes[i];
		for (size_t k = 0; k < img->n_spans; k++)
			put_span(fit, img->spans[k].data, img->spans[k].len);
		put_span(fit, zeros, (4 - (bytes_of(img) & 3)) & 3);
	}
	put_span(fit, fit->head + at, len - at);
	return 0;
}

int br_fit_new(const struct br_fit_options *opt, struct br_fit **ret, struct br_error *err)
{
	br_cleanup(br_fit_freep) struct br_fit *fit = NULL;
	br_cleanup(br_freep) size_t *holes = NULL;
	struct br_fdt_writer w = { 0 };
	size_t len, start;
	int r = check_images(opt, err);

	if (!r)
		r = check_configs(opt, err);
	if (r < 0)
		return r;
	fit = calloc(1, sizeof(*fit));
	holes = calloc(opt->n_images, sizeof(*holes));
	r = fit && holes ? write_tree(opt, &w, holes) : -ENOMEM;
	if (r < 0)
		br_fdt_writer_done(&w);
	else
		r = br_fdt_end(&w, &fit->head, &len, &start);
	if (!r)
		r = make_spans(opt, fit, len, start, holes);
	if (r < 0)
		return br_error_set(err, -r, "FIT: %s", strerror(-r));
	*ret = br_take(fit);
	return 0;
}

int br_fit_pack_script(const char *description, uint32_t time, const char *text, size_t len, uint8_t **ret,
	size_t *ret_len)
{
	const struct br_span span = { (const uint8_t *)text, len };
	const struct br_fit_image image = {
		.name = "script",
		.type = "script",
		.description = description,
		.spans = &span,
		.n_spans = 1,
		.hashes = BR_FIT_CRC32 | BR_FIT_SHA256,
	};
	const struct br_fit_config config = { .name = "conf-1", .script = "script" };
	const struct br_fit_options opt = { description, time, &image, 1, &config, 1 };
	br_cleanup(br_fit_freep) struct br_fit *fit = NULL;
	int r = br_fit_new(&opt, &fit, NULL);
	uint8_t *p, *at;

	if (r < 0)
		return r;
	p = at = malloc(fit->size);
	if (!p)
		return -ENOMEM;
	for (size_t i = 0; i < fit->n_spans; i++) {
		const struct br_span *s = &fit->spans[i];

		if (s->data) /* an empty one is left out by put_span() */
			memcpy(at, s->data, s->len);
		at += s->len;
	}
	*ret = p;
	*ret_len = fit->size;
	return 0;
}

bool br_fit_is(const void *data, size_t len)
{
	return len >= 4 && br_load_be32(data) == BR_FDT_MAGIC;
}

int br_fit_open(const void *data, size_t len, struct br_fdt *ret, struct br_error *err)
{
	struct br_fdt fdt;
	int r = br_fdt_open(data, len, &fdt, err);

	if (!r)
		r = br_fdt_check(&fdt, err);
	if (r < 0)
		return r;
	if (!br_fdt_child(&fdt, "/images", 0))
		return br_error_set(err, EBADMSG, "is a device tree, but no FIT: it has no images");
	*ret = fdt;
	return 0;
}

/* 1: right, 0: of a kind we do not know, -EBADMSG. */
static int check_hash(const struct br_fdt *fdt, const char *path, const struct br_fit_part *part, unsigned *ret_kind)
{
	const char *algo = br_fdt_prop_text(fdt, path, "algo");
	size_t len = 0;
	const uint8_t *value = br_fdt_prop(fdt, path, "value", &len);
	uint8_t digest[32];

	if (!algo || !value)
		return -EBADMSG;
	if (!strcmp(algo, "crc32")) {
		br_store_be32(digest, (uint32_t)crc32_z(crc32_z(0, NULL, 0), part->data, part->len));
		*ret_kind = BR_FIT_CRC32;
		return len == 4 && !memcmp(digest, value, 4) ? 1 : -EBADMSG;
	}
	if (strcmp(algo, "sha256") != 0)
		return 0;
	br_sha256_once(part->data, part->len, digest);
	*ret_kind = BR_FIT_SHA256;
	return len == 32 && !memcmp(digest, value, 32) ? 1 : -EBADMSG;
}

static int check_hashes(const struct br_fdt *fdt, const char *path, struct br_fit_part *part, struct br_error *err)
{
	bool unknown = false;
	const char *node;

	for (size_t i = 0; (node = br_fdt_child(fdt, path, i)); i++) {
		char hash[2 * PATH_MAX_];
		unsigned kind = 0;
		int r;

		if (strncmp(node, "hash", 4) != 0)
			continue;
		if (snprintf(hash, sizeof(hash), "%s/%s", path, node) >= (int)sizeof(hash))
			return br_error_set(err, EBADMSG, "FIT: image %s: the name of a hash is too long", part->name);
		r = check_hash(fdt, hash, part, &kind);
		if (r < 0)
			return br_error_set(err, EBADMSG, "FIT: image %s: its %s is wrong: damaged", part->name, node);
		unknown |= !r;
		part->hashes |= kind;
	}
	if (unknown && !part->hashes)
		return br_error_set(err, EBADMSG, "FIT: image %s: has no hash that can be checked (crc32, sha256)", part->name);
	return 0;
}

static int read_part(const struct br_fdt *fdt, const char *name, struct br_fit_part *ret, struct br_error *err)
{
	struct br_fit_part part = { .name = name };
	const struct {
		const char *prop;
		const char **to;
	} texts[] = {
		{ "type", &part.type }, { "arch", &part.arch }, { "os", &part.os }, { "compression", &part.compression },
		{ "description", &part.description },
	};
	char path[PATH_MAX_];
	const uint8_t *load;
	size_t len = 0;
	int r;

	if (!name_is_fine(name, THEIRS))
		return br_error_set(err, EBADMSG, "FIT: an image has a name that may not be");
	snprintf(path, sizeof(path), "/images/%s", name);
	for (size_t i = 0; i < BR_ARRAY_SIZE(texts); i++)
		*texts[i].to = br_fdt_prop_text(fdt, path, texts[i].prop) ?: "";
	load = br_fdt_prop(fdt, path, "load", &len);
	if (load && len == 4) {
		part.has_load = true;
		part.load = br_load_be32(load);
	}
	part.data = br_fdt_prop(fdt, path, "data", &part.len);
	if (!part.data)
		return br_error_set(err, EBADMSG, "FIT: image %s: its data are not in the FIT itself", name);
	r = check_hashes(fdt, path, &part, err);
	if (r < 0)
		return r;
	*ret = part;
	return 0;
}

int br_fit_part(const struct br_fdt *fdt, size_t i, struct br_fit_part *ret, struct br_error *err)
{
	const char *name = br_fdt_child(fdt, "/images", i);

	return name ? read_part(fdt, name, ret, err) : br_error_set(err, ENOENT, "FIT: has no image %zu", i);
}

int br_fit_find(const struct br_fdt *fdt, const char *name, struct br_fit_part *ret, struct br_error *err)
{
	const char *node;

	for (size_t i = 0; (node = br_fdt_child(fdt, "/images", i)); i++)
		if (!strcmp(node, name))
			return read_part(fdt, node, ret, err);
	return br_error_set(err, ENOENT, "FIT: has no image %s", name);
}

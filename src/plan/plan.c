/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan of one boot. Everything is worked out in br_plan_new(); afterwards a plan is only read.
 * Boot files are the image's FAT partition with a few projected files over it; the root file system
 * gets a list of projections that store/projfs.h applies.
 */
#include "plan/plan.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "plan/base.h"
#include "plan/bootimg.h"
#include "plan/bootpath.h"
#include "plan/cmdline.h"
#include "plan/planroot.h"
#include "plan/raminit.h"
#include "plan/rootfiles.h"
#include "plan/ubootfiles.h"

#define MAX_OVER (4 + BR_RAM_INIT_FILES) /* projected boot files */

struct over {
	const char *path;
	struct br_span span;
	struct br_span *spans; /* instead of span; free() */
	size_t n_spans;
	uint64_t size;
};

/* boot.img and boot.sig, made when first asked for. */
struct bootimg {
	pthread_mutex_t lock;
	struct br_fatimage *img; /* once made it stays */
	struct br_error err;
	char *sig; /* as above */
	struct br_span sig_span;
	struct br_error sig_err;
	bool given_checked; /* an override's boot.sig, which sig_err may be of, too */
};

struct br_plan {
	atomic_uint refs;
	struct br_plan_input in;
	char root_path[BR_BOARD_NAME_MAX + 2];
	char *cmdline;	    /* with a newline, as the file */
	char *cmdline_bare; /* without */
	struct br_override_set *overrides; /* stronger than 'over' */
	struct br_override_set *root_overrides;
	char *problem; /* NULL: none */
	char *cmdline_override;		   /* cmdline.txt among them, without its newline */
	struct bootimg *bootimg;
	char *signing; /* the key's file; NULL: none */
	struct br_uboot_files *uboot;
	struct over over[MAX_OVER];
	size_t n_over;
	struct br_root_files root;
};

BR_DEFINE_CLEANUP(struct br_plan *, br_plan_unref);

static void add_over(struct br_plan *plan, const char *path, const char *text)
{
	plan->over[plan->n_over++] = (struct over){
		.path = path,
		.span = { .data = (const uint8_t *)text, .len = strlen(text) },
	};
}

static int make_cmdline(struct br_plan *plan)
{
	plan->cmdline_bare = br_plan_make_cmdline(plan->in.base->cmdline, &plan->in.server, plan->root_path,
		!strcmp(plan->in.disk, "ram"));
	if (!plan->cmdline_bare)
		return -ENOMEM;
	plan->cmdline = br_asprintf("%s\n", plan->cmdline_bare);
	if (!plan->cmdline)
		return -ENOMEM;
	add_over(plan, "cmdline.txt", plan->cmdline);
	return 0;
}

/* Each initramfs of the image, with what makes it keep changes in memory behind it. */
static int add_ram_init(struct br_plan *plan)
{
	const struct br_fat *fat = br_image_boot(br_plan_base_image(plan->in.base));
	const struct br_fat_entry *e;
	size_t left = BR_RAM_INIT_FILES;

	for (size_t i = 0; (e = br_fat_walk(fat, i)) && left; i++) {
		struct over *o = &plan->over[plan->n_over];

		if (e->is_dir || !br_ram_init_fits(e->path))
			continue;
		o->spans = br_ram_init_append(e->spans, e->n_spans, e->size, &o->n_spans, &o->size);
		if (!o->spans)
			return -ENOMEM;
		o->path = e->path;
		plan->n_over++;
		left--;
	}
	return 0;
}

/* What people put over it all. A group of boards would stand between the two. */
static int read_overrides(struct br_plan *plan, struct br_error *err)
{
	const char *const layers[] = { plan->in.board.name, "all" };
	size_t skip = plan->in.board.id ? 0 : 1;
	const struct br_override *cmdline;
	int r = 0;

	if (plan->in.overrides)
		r = br_overrides_read(plan->in.overrides, layers + skip, BR_ARRAY_SIZE(layers) - skip, &plan->overrides, err);
	if (!r && plan->in.root_overrides && !skip)
		r = br_overrides_read(plan->in.root_overrides, layers, BR_ARRAY_SIZE(layers), &plan->root_overrides, err);
	plan->in.overrides = plan->in.root_overrides = NULL;
	if (r < 0)
		return r;
	cmdline = br_override_find(plan->overrides, "cmdline.txt");
	if (cmdline) {
		plan->cmdline_override = strndup((const char *)cmdline->span.data, cmdline->span.len);
		if (!plan->cmdline_override)
			return br_error_set(err, ENOMEM, "out of memory");
		plan->cmdline_override[strcspn(plan->cmdline_override, "\r\n")] = 0;
	}
	return 0;
}

/* One text of all that was left out. */
static int gather_problems(struct br_plan *plan)
{
	br_cleanup(br_freep) char *scripts = br_uboot_problems(plan->overrides);
	const char *const words[] = {
		br_override_set_problem(plan->overrides), br_override_set_problem(plan->root_overrides), plan->root.left_out.buf, scripts,
	};
	struct br_text t = BR_TEXT_NULL;

	for (size_t i = 0; i < BR_ARRAY_SIZE(words); i++)
		if (words[i])
			br_text_addf(&t, "%s%s", t.len ? "; " : "", words[i]);
	if (!t.len)
		return 0;
	plan->problem = br_text_take(&t);
	return plan->problem ? 0 : -ENOMEM;
}

/* All of it, in the order in which one part needs the other. */
static int make(struct br_plan *plan, struct br_error *err)
{
	bool board = plan->in.board.id != 0; /* a client that is no board gets the image's files as they are */
	int r;

	if (board && !strcmp(plan->in.disk, "ram") && br_plan_base_no_ram(plan->in.base)) {
		br_root_files_left_out(&plan->root, "disk ram: %s; what the board writes goes to a volatile disk instead",
			br_plan_base_no_ram(plan->in.base));
		plan->in.disk = "volatile";
	}
	r = board ? make_cmdline(plan) : 0;
	if (!r && board && !strcmp(plan->in.disk, "ram"))
		r = add_ram_init(plan);
	if (r < 0)
		return br_error_set(err, -r, "%s", strerrordesc_np(-r));
	if (plan->in.base->config)
		add_over(plan, "config.txt", plan->in.base->config);
	r = read_overrides(plan, err);
	if (!r && board)
		r = br_plan_make_root(plan, plan->root_overrides, &plan->root, err);
	plan->in.keys = NULL;
	if (!r && gather_problems(plan) < 0)
		r = br_error_set(err, ENOMEM, "out of memory");
	return r;
}

int br_plan_new(const struct br_plan_input *in, struct br_plan **ret, struct br_error *err)
{
	br_cleanup(br_plan_unrefp) struct br_plan *plan = calloc(1, sizeof(*plan));
	int r;

	if (!plan)
		return br_error_set(err, ENOMEM, "out of memory");
	plan->refs = 1;
	plan->in = *in;
	br_plan_base_ref(plan->in.base);
	plan->bootimg = calloc(1, sizeof(*plan->bootimg));
	if (!plan->bootimg)
		return br_error_set(err, ENOMEM, "out of memory");
	pthread_mutex_init(&plan->bootimg->lock, NULL);
	plan->in.signing = NULL; /* ours may outlive the caller's */
	plan->signing = in->signing ? strdup(in->signing) : NULL;
	if (in->signing && !plan->signing)
		return br_error_set(err, ENOMEM, "out of memory");
	plan->uboot = br_uboot_files_new();
	if (!plan->uboot)
		return br_error_set(err, ENOMEM, "out of memory");
	snprintf(plan->root_path, sizeof(plan->root_path), "/%s", in->board.name);
	r = make(plan, err);
	if (r < 0)
		return br_error_prefix(err, "board %s: cannot make its plan", in->board.name);
	*ret = br_take(plan);
	return 0;
}

struct br_plan *br_plan_ref(struct br_plan *plan)
{
	plan->refs++;
	return plan;
}

void br_plan_unref(struct br_plan *plan)
{
	if (!plan || --plan->refs)
		return;
	if (plan->bootimg) {
		br_fatimage_free(plan->bootimg->img);
		free(plan->bootimg->sig);
		pthread_mutex_destroy(&plan->bootimg->lock);
		free(plan->bootimg);
	}
	br_uboot_files_free(plan->uboot);
	br_plan_base_unref(plan->in.base);
	br_override_set_free(plan->overrides);
	free(plan->cmdline_override);
	free(plan->cmdline);
	free(plan->cmdline_bare);
	for (size_t i = 0; i < plan->n_over; i++)
		free(plan->over[i].spans);
	free(plan->problem);
	free(plan->signing);
	br_root_files_done(&plan->root);
	br_override_set_free(plan->root_overrides); /* rows of the root point into it */
	explicit_bzero(&plan->in.ssh_seed, sizeof(plan->in.ssh_seed));
	free(plan);
}

const struct br_plan_input *br_plan_input(const struct br_plan *plan)
{
	return &plan->in;
}

/* Drops a first part that is this board's own directory. -EACCES: another board's. */
static int drop_own_directory(const struct br_plan *plan, const struct br_fat *fat, const char **path)
{
	const char *slash = strchr(*path, '/');
	size_t n = slash ? (size_t)(slash - *path) : 0;
	char first[16];
	struct br_mac mac;

	if (!n)
		return 0;
	if (plan->in.board.id && br_boot_path_own_dir(&plan->in.board, *path, n)) {
		*path = slash + 1;
		return 0;
	}
	if (n == 17) {
		char text[BR_MAC_TEXT];

		memcpy(text, *path, 17);
		text[17] = 0;
		return br_mac_parse(text, &mac) < 0 ? 0 : plan->in.board.id ? -EACCES : -ENOENT;
	}
	if (!br_boot_path_serial_dir(*path, n))
		return 0;
	memcpy(first, *path, n);
	first[n] = 0;
	if (br_fat_lookup(fat, first)) /* the image itself has such a directory */
		return 0;
	return plan->in.board.id ? -EACCES : -ENOENT;
}

static const struct over *find_over(const struct br_plan *plan, const char *path)
{
	for (size_t i = 0; i < plan->n_over; i++)
		if (!strcasecmp(plan->over[i].path, path))
			return &plan->over[i];
	return NULL;
}

static struct br_bootfile of_over(const struct over *o)
{
	if (o->spans)
		return (struct br_bootfile){ o->spans, o->n_spans, o->size, "projected", NULL };
	return (struct br_bootfile){ &o->span, 1, o->span.len, "projected", NULL };
}

static struct br_bootfile of_override(const struct br_override *o)
{
	return (struct br_bootfile){ &o->span, 1, o->span.len, "override", o->layer };
}

static int make_bootimg(const struct br_plan *plan, struct br_bootfile *ret)
{
	struct bootimg *b = plan->bootimg;
	int r = 0;

	pthread_mutex_lock(&b->lock);
	if (!b->img && !b->err.code)
		r = br_bootimg_new(plan, &b->img, &b->err);
	if (b->err.code)
		r = -ENOENT;
	pthread_mutex_unlock(&b->lock);
	if (r < 0)
		return r;
	*ret = (struct br_bootfile){ .size = br_fatimage_size(b->img), .origin = "made" };
	ret->spans = br_fatimage_spans(b->img, &ret->n_spans);
	return 0;
}

const char *br_plan_bootimg_problem(const struct br_plan *plan)
{
	const char *words;

	pthread_mutex_lock(&plan->bootimg->lock);
	words = plan->bootimg->err.code ? plan->bootimg->err.text : NULL;
	pthread_mutex_unlock(&plan->bootimg->lock);
	return words;
}

/* Of the boot.img that this plan gives, be it made or somebody's. */
static int make_bootsig(const struct br_plan *plan, struct br_bootfile *ret)
{
	struct bootimg *b = plan->bootimg;
	char path[BR_BOOT_PATH_MAX];
	struct br_bootfile img;
	int r = br_plan_bootfile(plan, "boot.img", &img, path);

	if (r < 0)
		return r;
	pthread_mutex_lock(&b->lock);
	if (!b->sig && !b->sig_err.code && br_bootimg_sign(&img, plan->signing, &b->sig, &b->sig_err) == 0)
		b->sig_span = (struct br_span){ (const uint8_t *)b->sig, strlen(b->sig) };
	if (!b->sig)
		r = -ENOENT;
	pthread_mutex_unlock(&b->lock);
	if (r < 0)
		return r;
	*ret = (struct br_bootfile){ &b->sig_span, 1, b->sig_span.len, "made", NULL };
	return 0;
}

/* An override's boot.sig: with another boot.img than its own beside it a board with signed boot stays dark, and nobody sees why. */
static int given_bootsig(const struct br_plan *plan, const struct br_override *sig, struct br_bootfile *ret)
{
	struct bootimg *b = plan->bootimg;
	struct br_error err = BR_ERROR_NULL;
	char path[BR_BOOT_PATH_MAX];
	struct br_bootfile img;
	bool checked;
	int r;

	pthread_mutex_lock(&b->lock);
	checked = b->given_checked;
	pthread_mutex_unlock(&b->lock);
	if (!checked && !br_override_find(plan->overrides, "boot.img") && !br_plan_bootfile(plan, "boot.img", &img, path) &&
		br_bootimg_check_sig(&img, &sig->span, &err) < 0)
		br_error_prefix(&err, "the overrides have a boot.sig without its boot.img ('bramble sign bootimg' makes both)");
	pthread_mutex_lock(&b->lock);
	if (!b->given_checked)
		b->sig_err = err;
	b->given_checked = true;
	r = b->sig_err.code ? -ENOENT : 0;
	pthread_mutex_unlock(&b->lock);
	if (!r)
		*ret = of_override(sig);
	return r;
}

const char *br_plan_bootsig_problem(const struct br_plan *plan)
{
	const char *words;

	pthread_mutex_lock(&plan->bootimg->lock);
	words = plan->bootimg->sig_err.code ? plan->bootimg->sig_err.text : NULL;
	pthread_mutex_unlock(&plan->bootimg->lock);
	return words;
}

static struct br_uboot_context uboot_context(const struct br_plan *plan)
{
	return (struct br_uboot_context){
		.in = &plan->in,
		.overrides = plan->overrides,
		.cmdline = plan->in.board.id ? br_plan_cmdline(plan) : NULL,
		.root_path = plan->root_path,
	};
}

int br_plan_bootfile(const struct br_plan *plan, const char *name, struct br_bootfile *ret, char *ret_path)
{
	const struct br_fat *fat = br_image_boot(br_plan_base_image(plan->in.base));
	const struct br_fat_entry *e;
	const struct br_override *override;
	const struct over *over;
	const char *path = ret_path;
	const struct br_uboot_context uboot = uboot_context(plan);
	int r = br_boot_path_clean(name, ret_path, BR_BOOT_PATH_MAX);

	if (r < 0)
		return r;
	r = drop_own_directory(plan, fat, &path);
	if (r < 0)
		return r;
	memmove(ret_path, path, strlen(path) + 1);
	override = br_override_find(plan->overrides, ret_path);
	if (!br_uboot_files_override(plan->uboot, &uboot, ret_path, ret))
		return 0;
	if (override && !strcasecmp(ret_path, "boot.sig"))
		return given_bootsig(plan, override, ret);
	if (override) {
		*ret = of_override(override);
		return 0;
	}
	over = find_over(plan, ret_path);
	if (over) {
		*ret = of_over(over);
		return 0;
	}
	e = br_fat_lookup(fat, ret_path);
	if (!e && !strcasecmp(ret_path, "boot.img"))
		return make_bootimg(plan, ret);
	if (plan->signing && !strcasecmp(ret_path, "boot.sig"))
		return make_bootsig(plan, ret);
	if (!e || e->is_dir)
		return br_uboot_files_other(plan->uboot, &uboot, ret_path, ret);
	*ret = (struct br_bootfile){ e->spans, e->n_spans, e->size, "image", NULL };
	return 0;
}

int br_plan_bootfiles(const struct br_plan *plan,
	int (*fn)(void *ctx, const char *path, const struct br_bootfile *file), void *ctx)
{
	const struct br_fat *fat = br_image_boot(br_plan_base_image(plan->in.base));
	const struct br_override *override;
	const struct br_fat_entry *e;
	int r = 0;

	for (size_t i = 0; !r && (override = br_override_at(plan->overrides, i)); i++) {
		struct br_bootfile file = of_override(override);

		r = fn(ctx, override->path, &file);
	}
	for (size_t i = 0; !r && i < plan->n_over; i++) {
		const struct over *o = &plan->over[i];

		if (!br_override_find(plan->overrides, o->path))
{
			struct br_bootfile file = of_over(o);

			r = fn(ctx, o->path, &file);
		}
	}
	for (size_t i = 0; !r && (e = br_fat_walk(fat, i)); i++)
		if (!e->is_dir && !find_over(plan, e->path) && !br_override_find(plan->overrides, e->path))
			r = fn(ctx, e->path, &(struct br_bootfile){ e->spans, e->n_spans, e->size, "image", NULL });
	return r;
}

const struct br_projection *br_plan_root(const struct br_plan *plan, size_t *ret_n)
{
	*ret_n = plan->root.n;
	return plan->root.v;
}

const char *br_plan_root_path(const struct br_plan *plan)
{
	return plan->root_path;
}

const char *br_plan_cmdline(const struct br_plan *plan)
{
	return plan->cmdline_override ?: plan->cmdline_bare ?: plan->in.base->cmdline;
}

const char *br_plan_problem(const struct br_plan *plan)
{
	return plan->problem;
}

const char *br_plan_layout(const struct br_plan *plan, const char **ret_unknown)
{
	*ret_unknown = plan->in.base->root.unknown.buf;
	return plan->in.base->root.layout;
}

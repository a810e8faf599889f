/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/ubootfiles.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "plan/base.h"
#include "plan/ubootkernel.h"
#include "uboot/hush.h"
#include "uboot/script.h"
#include "uboot/stages.h"

#define OWN_DIR "bramble/"
#define MENU_DIR "pxelinux.cfg/" /* U-Boot asks for a dozen names there, all mean the one menu */
#define EFI_PROGRAM "efi/boot/bootaa64.efi"
#define PROBLEMS_MAX 5 /* told of all scripts */

/* One file as it was made. */
struct made {
	struct made *next;
	char path[BR_BOOT_PATH_MAX];
	const char *origin, *layer;
	uint8_t *data;
	struct br_span span;
};

struct br_uboot_files {
	pthread_mutex_t lock;
	struct made *made; /* each stays once it is there; bounded by the texts, which are */
};

struct source { /* a text, and what it is */
	const char *text;
	size_t len;
	char *own; /* the text, when it is to be freed */
	const char *origin, *layer;
	bool plain; /* no script: served as text */
};

struct br_uboot_files *br_uboot_files_new(void)
{
	struct br_uboot_files *files = calloc(1, sizeof(*files));

	if (files)
		pthread_mutex_init(&files->lock, NULL);
	return files;
}

void br_uboot_files_free(struct br_uboot_files *files)
{
	struct made *m, *next;

	if (!files)
		return;
	for (m = files->made; m; m = next) {
		next = m->next;
		free(m->data);
		free(m);
	}
	pthread_mutex_destroy(&files->lock);
	free(files);
}

static struct br_bootfile of_made(const struct made *m)
{
	return (struct br_bootfile){ .spans = &m->span, .n_spans = 1, .size = m->span.len, .origin = m->origin,
		.layer = m->layer };
}

static const char *without_own_dir(const char *path)
{
	return strncasecmp(path, OWN_DIR, strlen(OWN_DIR)) ? path : path + strlen(OWN_DIR);
}

/* Packs (or copies) and remembers. Locked. */
static int make(struct br_uboot_files *files, const char *path, const struct source *src, bool fit,
	struct br_bootfile *ret)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	struct br_uboot_script script = { .name = name, .fit = fit };
	struct made *m = calloc(1, sizeof(*m));
	size_t len = src->len;
	int r = 0;

	if (!m)
		return -ENOMEM;
	if (src->plain) {
		m->data = malloc(len + 1); /* not strndup(): a text of an image may hold NULs */
		if (m->data)
			memcpy(m->data, src->text, len);
	} else {
		r = br_uboot_script_pack(&script, src->text, src->len, &m->data, &len, NULL);
	}
	if (r < 0 || !m->data) {
		free(m);
		return r < 0 ? r : -ENOMEM;
	}
	m->span = (struct br_span){ m->data, len };
	m->origin = src->origin;
	m->layer = src->layer;
	br_strcpy(m->path, sizeof(m->path), path); /* it fits: it is clean */
	m->next = files->made;
	files->made = m;
	*ret = of_made(m);
	return 0;
}

static const struct made *find_made(const struct br_uboot_files *files, const char *path)
{
	for (const struct made *m = files->made; m; m = m->next)
		if (!strcasecmp(m->path, path))
			return m;
	return NULL;
}

bool br_uboot_is_menu(const char *path)
{
	return !strncasecmp(path, MENU_DIR, strlen(MENU_DIR));
}

/* Finds what was made, or makes it of what 'find' gives. */
static int get(struct br_uboot_files *files, const struct br_uboot_context *ctx, const char *path,
	int (*find)(const struct br_uboot_context *ctx, const char *path, const char *text_name, struct source *ret),
	struct br_bootfile *ret)
{
	char text_name[BR_BOOT_PATH_MAX] = "";
	struct source src = { 0 };
	const struct made *m;
	bool fit = false;
	int r = 0;

	if (br_uboot_is_menu(path))
		path = MENU_DIR;
	if (!br_uboot_script_source(path, text_name, sizeof(text_name), &fit))
		text_name[0] = 0;
	pthread_mutex_lock(&files->lock);
	m = find_made(files, path);
	if (m)
		*ret = of_made(m);
	else
		r = find(ctx, path, text_name, &src);
	if (!m && !r)
		r = make(files, path, &src, fit, ret);
	pthread_mutex_unlock(&files->lock);
	free(src.own);
	return r == -EINVAL ? -ENOENT : r; /* an empty text is none */
}

static void take_override(const struct br_override *o, struct source *ret)
{
	ret->text = (const char *)o->span.data;
	ret->len = o->span.len;
	ret->origin = "override";
	ret->layer = o->layer;
}

static int find_override(const struct br_uboot_context *ctx, const char *path, const char *text_name, struct source *ret)
{
	const struct br_override *o = br_override_find(ctx->overrides, path);
	char own[BR_BOOT_PATH_MAX + sizeof(OWN_DIR)];

	if (!text_name[0])
		return -ENOENT;
	if (!o || br_uboot_script_is_image(o->span.data, o->span.len) || !br_hush_is_text(o->span.data, o->span.len))
		o = br_override_find(ctx->overrides, text_name);
	snprintf(own, sizeof(own), OWN_DIR "%s", without_own_dir(text_name));
	if (!o)
		o = br_override_find(ctx->overrides, own);
	if (!o)
		o = br_override_find(ctx->overrides, without_own_dir(text_name));
	if (!o)
		return -ENOENT;
	take_override(o, ret);
	return 0;
}

int br_uboot_files_override(struct br_uboot_files *files, const struct br_uboot_context *ctx, const char *path,
	struct br_bootfile *ret)
{
	char text_name[BR_BOOT_PATH_MAX];
	const struct br_override *o;
	bool fit;

	if (!ctx->overrides || !br_uboot_script_source(path, text_name, sizeof(text_name), &fit))
		return -ENOENT;
	o = br_override_find(ctx->overrides, path);
	if (o && (br_uboot_script_is_image(o->span.data, o->span.len) || !br_hush_is_text(o->span.data, o->span.len)))
		return -ENOENT; /* packed already */
	return get(files, ctx, path, find_override, ret);
}

static const struct br_fat *boot_of(const struct br_uboot_context *ctx)
{
	return br_image_boot(br_plan_base_image(ctx->in->base));
}

static int find_in_image(const struct br_uboot_context *ctx, const char *text_name, struct source *ret)
{
	char own[BR_BOOT_PATH_MAX + sizeof(OWN_DIR)];
	const struct br_image_script *s = br_image_script_find(&ctx->in->base->scripts, without_own_dir(text_name));
	const struct br_fat_entry *e;
	struct br_text t = BR_TEXT_NULL;

	snprintf(own, sizeof(own), OWN_DIR "%s", without_own_dir(text_name));
	e = br_fat_lookup(boot_of(ctx), own);
	ret->origin = "made";
	if (e && !e->is_dir && e->size && e->size <= BR_IMAGE_SCRIPT_MAX) {
		for (size_t i = 0; i < e->n_spans; i++)
			br_text_add_bytes(&t, e->spans[i].data, e->spans[i].len);
		ret->len = t.len;
		ret->text = ret->own = br_text_take(&t);
		return ret->own ? 0 : -ENOMEM;
	}
	if (!s)
		return -ENOENT;
	ret->text = s->text;
	ret->len = s->len;
	return 0;
}

static bool has_file(const struct br_uboot_context *ctx, const char *path)
{
	const struct br_fat_entry *e = br_fat_lookup(boot_of(ctx), path);

	return br_override_find(ctx->overrides, path) || (e && !e->is_dir);
}

/* An EFI program is started when somebody asked for it (put it there), or the image has nothing else. */
static bool wants_efi(const struct br_uboot_context *ctx, const struct br_uboot_names *names)
{
	return br_override_find(ctx->overrides, EFI_PROGRAM) ||
	       (!names->arm64.kernel && !names->arm.kernel && has_file(ctx, EFI_PROGRAM));
}

/* What stage 2 is made of. root (64 bytes more than a path): for its 'root'. */
static int describe(const struct br_uboot_context *ctx, struct br_uboot_names *names, char *root, size_t size,
	struct br_uboot_stage2 *ret)
{
	const struct br_plan_input *in = ctx->in;
	char ip[BR_IP_TEXT];
	int r = br_uboot_find_kernels(ctx, names);

	if (r < 0)
		return r;
	snprintf(root, size, "nfsroot=%s:%s,", br_ip_format(ip, in->server.ip), ctx->root_path);
	*ret = (struct br_uboot_stage2){
		.board = in->board.name,
		.image = br_image_info(br_plan_base_image(in->base))->name,
		.boot = in->boot,
		.road = BR_UBOOT_NET,
		.cmdline = ctx->cmdline,
		.root = root,
		.arm64 = names->arm64,
		.arm = names->arm,
		.efi = EFI_PROGRAM,
	};
	if (!strcmp(in->board.road, "flash")) {
		ret->road = BR_UBOOT_FLASH_ROAD;
		ret->target = in->flashed.target;
		ret->only_target = in->flashed.awaited;
		/* the names of another image are not those on the card: there its own config.txt decides */
		if (strcmp(in->flashed.sha256, br_image_info(br_plan_base_image(in->base))->sha256) != 0)
			ret->arm64 = ret->arm = (struct br_uboot_kernel){ 0 };
	} else if (wants_efi(ctx, names))
		ret->road = BR_UBOOT_EFI;
	return 0;
}

static int take_text(char *text, struct source *ret)
{
	ret->text = ret->own = text;
	ret->len = text ? strlen(text) : 0;
	ret->origin = "made";
	return text ? 0 : -ENOMEM;
}

static int make_stage1(const struct br_uboot_context *ctx, struct source *ret)
{
	return take_text(br_uboot_stage1(&(struct br_uboot_stage1){ 0 }), ret);
}

static int make_stage2(const struct br_uboot_context *ctx, struct source *ret)
{
	br_cleanup(br_freep) struct br_uboot_names *names = calloc(1, sizeof(*names));
	char root[BR_BOARD_NAME_MAX + 64];
	struct br_uboot_stage2 in;
	int r;

	if (!ctx->cmdline)
		return -ENOENT; /* nobody's: there is nothing to boot */
	r = names ? describe(ctx, names, root, sizeof(root), &in) : -ENOMEM;
	return r < 0 ? r : take_text(br_uboot_stage2(&in), ret);
}

/* Somebody's own script or menu comes first in a U-Boot that would take this menu before it. */
static bool others_have_a_say(const struct br_uboot_context *ctx)
{
	static const char *const scripts[] = {
		"boot.scr.uimg", "boot.scr", "boot.cmd", OWN_DIR "boot.cmd", OWN_DIR "stage2.cmd", OWN_DIR "stage2.scr",
	};
	const struct br_override *o;

	for (size_t i = 0; i < BR_ARRAY_SIZE(scripts); i++)
		if (br_override_find(ctx->overrides, scripts[i]) || (i != 2 && has_file(ctx, scripts[i])))
			return true;
	for (size_t i = 0; (o = br_override_at(ctx->overrides, i)); i++)
		if (br_uboot_is_menu(o->path))
			return true;
	return br_fat_lookup(boot_of(ctx), "pxelinux.cfg") || br_image_script_find(&ctx->in->base->scripts, "boot.cmd") ||
	       br_image_script_find(&ctx->in->base->scripts, "stage2.cmd");
}

static const char *tty_of(const struct br_board *board)
{
	const struct br_pi_model *m = br_pi_model_by_id(board->model);

	switch (m ? m->soc : BR_SOC_UNKNOWN) {
	case BR_SOC_BCM2837:
	case BR_SOC_BCM2711:
		return "ttyS0";
	case BR_SOC_BCM2712:
		return "ttyAMA10";
	default:
		return "ttyAMA0";
	}
}

static int make_menu(const struct br_uboot_context *ctx, struct source *ret)
{
	br_cleanup(br_freep) struct br_uboot_names *names = calloc(1, sizeof(*names));
	char root[BR_BOARD_NAME_MAX + 64];
	struct br_uboot_stage2 in;
	int r;

	if (!ctx->cmdline || others_have_a_say(ctx))
		return -ENOENT;
	r = names ? describe(ctx, names, root, sizeof(root), &in) : -ENOMEM;
	if (r < 0)
		return r;
	/* a menu has one initramfs, and no script */
	if (in.road != BR_UBOOT_NET || !in.arm64.kernel || in.arm64.initramfs[1])
		return -ENOENT;
	ret->plain = true;
	return take_text(br_uboot_pxelinux(&in, tty_of(&ctx->in->board)), ret);
}

static const struct {
	const char *name; /* of the text, or of the file itself */
	int (*make)(const struct br_uboot_context *ctx, struct source *ret);
} built_in[] = {
	{ OWN_DIR "stage1.cmd", make_stage1 },
	{ OWN_DIR "stage2.cmd", make_stage2 },
	{ "boot.cmd", make_stage2 },
	{ "start.uboot", make_stage2 }, /* what WalT's stage 1 asks for */
	{ MENU_DIR, make_menu },
};

static int find_other(const struct br_uboot_context *ctx, const char *path, const char *text_name, struct source *ret)
{
	int r = text_name[0] ? find_in_image(ctx, text_name, ret) : -ENOENT;

	if (r != -ENOENT)
		return r;
	for (size_t i = 0; i < BR_ARRAY_SIZE(built_in); i++) {
		const char *name = built_in[i].name;

		if (!strcasecmp(name, text_name) || !strcasecmp(name, path))
			return built_in[i].make(ctx, ret);
	}
	return -ENOENT;
}

static bool may_be_ours(const char *path)
{
	char text_name[BR_BOOT_PATH_MAX];
	bool fit;

	return br_uboot_script_source(path, text_name, sizeof(text_name), &fit) || !strcasecmp(path, "start.uboot") ||
	       br_uboot_is_menu(path);
}

int br_uboot_files_other(struct br_uboot_files *files, const struct br_uboot_context *ctx, const char *path,
	struct br_bootfile *ret)
{
	return may_be_ours(path) ? get(files, ctx, path, find_other, ret) : -ENOENT;
}

int br_uboot_local_file(const char *path, const char *board, const struct br_plan_flashed *flashed, uint8_t **ret, size_t *ret_len)
{
	const struct br_uboot_stage2 in = {
		.board = board,
		.image = "what it has",
		.road = BR_UBOOT_FLASH_ROAD,
		.target = flashed->target,
		.only_target = flashed->awaited,
	};
	const struct br_uboot_script script = { .name = "stage2" };
	br_cleanup(br_freep) char *text = NULL;

	if (strcasecmp(path, BR_UBOOT_STAGE2) != 0 && strcasecmp(path, "boot.scr.uimg") != 0)
		return -ENOENT;
	text = br_uboot_stage2(&in);
	return text ? br_uboot_script_pack(&script, text, strlen(text), ret, ret_len, NULL) : -ENOMEM;
}

struct telling {
	struct br_text t;
	const struct br_override *o;
	unsigned n;
};

static void tell(void *ctx, const struct br_hush_problem *p)
{
	struct telling *to = ctx;

	if (to->n++ < PROBLEMS_MAX)
		br_text_addf(&to->t, "%s%s/%s line %u: %s%s", to->n > 1 ? "; " : "", to->o->layer, to->o->path, p->line,
			p->error ? "" : "warning: ", p->text);
}

static bool is_stage2(const char *path)
{
	return !strcasecmp(path, OWN_DIR "stage2.cmd") || !strcasecmp(path, OWN_DIR "stage2.scr");
}

/* Also in an image of a script: its text is in it as it is. */
static bool asks_for_flash(const struct br_span *s)
{
	return memmem(s->data, s->len, BR_UBOOT_FLASH, strlen(BR_UBOOT_FLASH)) != NULL;
}

char *br_uboot_problems(const struct br_override_set *overrides)
{
	struct telling to = { 0 };

	for (size_t i = 0; (to.o = br_override_at(overrides, i)); i++) {
		const struct br_span *s = &to.o->span;
		char text_name[BR_BOOT_PATH_MAX];
		bool fit;

		if (br_str_ends(to.o->path, ".cmd") ||
			(br_uboot_script_source(to.o->path, text_name, sizeof(text_name), &fit) &&
				!br_uboot_script_is_image(s->data, s->len) && br_hush_is_text(s->data, s->len)))
			br_hush_check((const char *)s->data, s->len, tell, &to, NULL);
		if (is_stage2(to.o->path) && !asks_for_flash(s))
			tell(&to, &(struct br_hush_problem){ .line = 1, .text = "it does not fetch " BR_UBOOT_FLASH
				": boards that run it cannot be flashed" });
	}
	if (to.n > PROBLEMS_MAX)
		br_text_addf(&to.t, "; and %u more", to.n - PROBLEMS_MAX);
	return to.t.len ? br_text_take(&to.t) : NULL;
}

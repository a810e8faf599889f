/* SPDX-License-Identifier: Apache-2.0 */
/* Names to boot files, whatever protocol asks. Thread-safe. */
#include "daemon/glue_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"
#include "daemon/turns.h"
#include "plan/bootpath.h"
#include "plan/ubootfiles.h"

/* The plan of a client, a new reference; board NULL for one that is no board. */
static int client_plan(struct br_glue *glue, const struct br_board *board, struct br_plan **ret)
{
	struct br_error err = BR_ERROR_NULL;
	int r = board ? br_boots_reach(glue->boots, board, BR_STAGE_FIRMWARE_FILES, ret, NULL, &err)
		      : br_boots_anonymous(glue->boots, ret, &err);

	return r < 0 ? -ENOENT : 0;
}

struct local { /* a script of its own for one request */
	struct br_span span;
	uint8_t *data;
};

static void free_local(void *ref)
{
	struct local *l = ref;

	free(l->data);
	free(l);
}

/* Stage 2 without any image: an order to flash, or what the board has. */
static int open_stage2(struct br_glue *glue, const struct br_board *board, struct br_glue_file *ret)
{
	struct br_plan_flashed flashed;
	struct local *l = calloc(1, sizeof(*l));
	int r = l ? br_boots_flashed(glue->fleet, board, &flashed) : -ENOMEM;

	if (r >= 0)
		r = br_uboot_local_file(ret->path, board->name, &flashed, &l->data, &l->span.len);
	if (r < 0) {
		free(l);
		return r;
	}
	l->span.data = l->data;
	ret->bf = (struct br_bootfile){ .spans = &l->span, .n_spans = 1, .size = l->span.len, .origin = "local" };
	ret->ref = l;
	ret->unref = free_local;
	return 0;
}

static int open_local(struct br_glue *glue, const struct br_board *board, const char *name, struct br_glue_file *ret)
{
	const char *path = ret->path, *slash;
	int r;

	if (br_boot_path_clean(name, ret->path, sizeof(ret->path)) < 0)
		return -ENOENT;
	slash = strchr(path, '/');
	if (slash && br_boot_path_own_dir(board, path, (size_t)(slash - path)))
		memmove(ret->path, slash + 1, strlen(slash));
	r = open_stage2(glue, board, ret);
	if (r != -ENOENT)
		return r;
	if (strcasecmp(ret->path, "start4.elf") != 0 || strcmp(board->road, "local") != 0)
		return -ENOENT;
	ret->bf = (struct br_bootfile){ .origin = "local" };
	return 0;
}

static void unref_plan(void *ref)
{
	br_plan_unref(ref);
}

/* A board's U-Boot at work on its card, whatever the board boots otherwise. 1: no name of these. */
static int open_flash(struct br_glue *glue, const struct br_board *board, const char *name, struct br_glue_file *ret)
{
	struct br_flash_blob *blob = NULL;
	int r;

	if (!glue->flash || br_boot_path_clean(name, ret->path, sizeof(ret->path)) < 0 || !br_flash_is_name(ret->path))
		return 1;
	r = br_flash_file(glue->flash, board, ret->path, &blob, ret->reason, sizeof(ret->reason));
	if (r < 0)
		return r;
	/* its road may be another now: what it asks for next must not come from the boot that brought it here */
	if (board && (br_str_ends(ret->path, "/done") || strstr(ret->path, "/fail/")))
		br_boots_forget(glue->boots, board->id);
	ret->bf = (struct br_bootfile){ .spans = br_flash_blob_span(blob), .n_spans = 1, .origin = "flash" };
	ret->bf.size = ret->bf.spans->len;
	ret->ref = blob;
	ret->unref = br_flash_blob_unref;
	return 0;
}

static void explain(struct br_glue_file *f, const struct br_plan *plan)
{
	const char *name = strrchr(f->path, '/') ? strrchr(f->path, '/') + 1 : f->path, *words = NULL;

	if (!strcasecmp(name, "boot.img"))
		words = br_plan_bootimg_problem(plan);
	else if (!strcasecmp(name, "boot.sig"))
		words = br_plan_bootsig_problem(plan) ?:
			"boot.img is not signed: give the board a key ('bramble board edit BOARD --signed KEY'), or put the "
			"signature beside it in the overrides directory";
	snprintf(f->reason, sizeof(f->reason), "%s", words ?: "");
}

bool br_glue_boots_itself(struct br_glue *glue, const struct br_board *board)
{
	return board && glue->flash && (!strcmp(board->road, "flash") || br_flash_pending(glue->flash, board->id));
}

int br_glue_file_open_for(struct br_glue *glue, const struct br_board *board, const char *name,
	struct br_glue_file *ret)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_plan *plan = NULL;
	int r;

	*ret = (struct br_glue_file){ .board_id = board ? board->id : 0 };
	if (board && strcmp(board->road, "local") != 0)
		br_turns_sign(glue->turns, board->id);
	r = open_flash(glue, board, name, ret);
	if (r <= 0)
		return r;
	if (br_uboot_is_menu(ret->path) && board && glue->flash && br_flash_pending(glue->flash, board->id))
		return -ENOENT; /* a U-Boot that takes the menu never asks for its order: without it, it takes the script */
	br_vis(ret->path, sizeof(ret->path), name, strlen(name));
	if (board && !strcmp(board->road, "local"))
		return open_local(glue, board, name, ret);
	r = client_plan(glue, board, &plan);
	if (r < 0)
		return br_glue_boots_itself(glue, board) ? open_local(glue, board, name, ret) : r;
	ret->boot = board ? br_plan_input(plan)->boot : 0;
	r = br_plan_bootfile(plan, name, &ret->bf, ret->path);
	if (r >= 0 && !strcmp(ret->bf.origin, "image")) {
		r = br_glue_image_ok(glue, plan, &err);
		if (r < 0)
			br_strcpy(ret->reason, sizeof(ret->reason), err.text);
	} else if (r < 0) {
		explain(ret, plan);
	}
	if (r < 0) {
		br_plan_unref(plan);
		return r;
	}
	ret->ref = plan;
	ret->unref = unref_plan;
	return r;
}

int br_glue_file_open(struct br_glue *glue, uint32_t ip, const char *name, struct br_glue_file *ret)
{
	struct br_board board;
	bool known = br_glue_board_by_ip(glue, ip, &board) >= 0;

	return br_glue_file_open_for(glue, known ? &board : NULL, name, ret);
}

/* The names that the firmwares look for (wire notes 2.3); an image may choose others, which then count as files. */
static bool is_kernel(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	return (!strncasecmp(name, "kernel", 6) && br_str_ends(name, ".img")) || !strncasecmp(name, "vmlinuz", 7) ||
	       !strcasecmp(name, "Image") || !strcasecmp(name, "boot.img");
}

void br_glue_file_sent(struct br_glue *glue, int64_t board_id, const char *path)
{
	struct br_board board;

	if (board_id && is_kernel(path))
		br_turns_done(glue->turns, board_id);
	if (board_id && is_kernel(path) && !br_board_by_id(glue->fleet, board_id, &board))
		br_boots_reach(glue->boots, &board, BR_STAGE_KERNEL_SENT, NULL, NULL, NULL);
}

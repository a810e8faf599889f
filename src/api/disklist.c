/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/disks: every stored disk of every board, told from the files and what is open. Nothing is opened for it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "plan/boots.h"
#include "plan/disks.h"
#include "plan/persist.h"
#include "store/disk.h"
#include "store/layer.h"
#include "store/store.h"

static const char *const kinds[] = { "volatile", "persistent", "ram" };

struct listing {
	struct br_api *api;
	struct br_image_info *info;
	json_t *out;
	struct br_error *err;
};

/* Bytes in the frozen layers between the disk and its image; -ENOENT when the image is another one now, or gone. */
static int frozen_bytes(struct listing *l, const struct br_disk_facts *f, uint64_t *ret)
{
	unsigned depth;

	*ret = 0;
	if (!f->parent[0])
		return 0;
	if (br_store_info(l->api->store, f->image, l->info, NULL) < 0)
		return -ENOENT;
	if (!strcmp(f->parent, l->info->layer))
		return 0;
	return br_layer_measure(l->api->store, f->parent, l->info->layer, ret, &depth, NULL) < 0 ? -ENOENT : 0;
}

/*
 * "mounted": by the board, in its present boot. "open": by us only. "closed". "unused": the board's disk is of the other
 * kind now. A volatile disk that is closed or of a boot before goes at the next mount.
 */
static const char *state_of(struct listing *l, const struct br_board *b, const char *kind, const struct br_disks_status *open,
	bool is_open)
{
	struct br_boot_status st;

	if (is_open && open->busy)
		return "busy";
	if (is_open && !strcmp(open->disk, kind)) {
		bool mounted = !br_boots_status(l->api->boots, b->id, &st) && st.stage >= BR_STAGE_MOUNTED && st.boot == open->boot;

		return mounted ? "mounted" : "open";
	}
	return strcmp(b->disk[0] ? b->disk : br_boots_default_disk(l->api->boots), kind) != 0 ? "unused" : "closed";
}

static int add_disk(struct listing *l, const struct br_board *b, const char *kind)
{
	br_cleanup(br_freep) char *dir = br_disks_path(l->api->disks, b->id, kind);
	struct br_disks_status open = { 0 };
	struct br_error why = BR_ERROR_NULL;
	struct br_disk_facts f;
	bool is_open, measured;
	uint64_t frozen = 0;
	json_t *row;
	int r = dir ? br_disk_facts(dir, &f, &why) : -ENOMEM;

	if (r == -ENOENT)
		return 0;
	if (r == -ENOMEM)
		return br_error_set(l->err, ENOMEM, "out of memory");
	if (r < 0) /* one damaged disk is no reason to hide the others */
		row = json_pack("{s:s, s:s, s:s, s:s}", "board", b->name, "disk", kind, "state", "damaged", "problem",
			br_error_text(&why, r));
	else {
		is_open = !br_disks_status(l->api->disks, b->id, &open);
		measured = !frozen_bytes(l, &f, &frozen);
		row = json_pack("{s:s, s:s, s:s, s:s, s:o, s:I, s:I, s:o, s:o, s:o}", "board", b->name, "image", f.image, "disk", kind,
			"state", state_of(l, b, kind, &open, is_open), "changed_bytes",
			measured ? json_integer((json_int_t)f.stored_bytes + (json_int_t)frozen) : json_null(), "stored_bytes",
			(json_int_t)f.stored_bytes, "snapshots", (json_int_t)f.n_snapshots, "boot",
			is_open && !strcmp(open.disk, kind) ? json_integer((json_int_t)open.boot) : json_null(), "opened_at",
			is_open && !strcmp(open.disk, kind) ? br_api_time((uint64_t)open.opened_at * BR_S) : json_null(), "written_at",
			br_api_time((uint64_t)f.written_at * BR_S));
	}
	return json_array_append_new(l->out, row) < 0 ? br_error_set(l->err, ENOMEM, "out of memory") : 0;
}

/* Its area /persist. */
static int add_area(struct listing *l, const struct br_board *b)
{
	br_cleanup(br_freep) char *dir = l->api->persist ? br_persist_path(l->api->persist, b->id) : NULL;
	struct br_disk_facts f;
	int64_t opened_at = 0;
	json_t *row;
	bool open;

	if (!dir || br_disk_facts(dir, &f, NULL) < 0)
		return 0;
	open = br_persist_is_open(l->api->persist, b->id, &opened_at);
	row = json_pack("{s:s, s:n, s:s, s:s, s:I, s:I, s:i, s:n, s:o, s:o}", "board", b->name, "image", "disk", "persist", "state",
		open ? "open" : "closed", "changed_bytes", (json_int_t)f.stored_bytes, "stored_bytes", (json_int_t)f.stored_bytes,
		"snapshots", 0, "boot", "opened_at", open ? br_api_time((uint64_t)opened_at * BR_S) : json_null(), "written_at",
		br_api_time((uint64_t)f.written_at * BR_S));
	return json_array_append_new(l->out, row) < 0 ? br_error_set(l->err, ENOMEM, "out of memory") : 0;
}

static int add_board(void *ctx, const struct br_board *b)
{
	int r = 0;

	for (size_t i = 0; !r && i < BR_ARRAY_SIZE(kinds); i++)
		r = add_disk(ctx, b, kinds[i]);
	return r ? r : add_area(ctx, b);
}

static int list(struct br_call *call, struct br_error *err)
{
	br_cleanup(br_freep) struct br_image_info *info = malloc(sizeof(*info));
	struct listing l = { call->api, info, json_array(), err };

	call->json = l.out;
	if (!info)
		return br_error_set(err, ENOMEM, "out of memory");
	return br_board_list(call->api->fleet, add_board, &l);
}

const struct br_route br_api_disk_list[] = {
	{ "GET", "/v1/disks", .run = list,
		.summary = "Lists the disks there are" },
	{ 0 },
};

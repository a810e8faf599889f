/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be done with a board's disk as a whole: /v1/boards/NAME/disk/save, /snapshots, /rollback, /reset; and
 * /v1/images/NAME/tag, /v1/gc.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/filejson.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "fleet/event.h"
#include "plan/boots.h"
#include "plan/disks.h"
#include "plan/persist.h"

BR_DEFINE_CLEANUP(struct br_plan *, br_plan_unref);
BR_DEFINE_CLEANUP(struct br_image *, br_image_unref);

#define FORCED "what the board has open there is stale: restart it"

/* Text and booleans of the body, and nothing else in it. */
static int read_body(const struct br_call *call, const char *text_key, bool text_needed, const char *flag, const char **ret_text,
	bool *ret_flag, struct br_error *err)
{
	const char *key;
	json_t *value;

	*ret_text = NULL;
	*ret_flag = false;
	json_object_foreach(call->body, key, value)
	{
		char vis[80];

		if (!strcmp(key, text_key) && json_is_string(value))
			*ret_text = json_string_value(value);
		else if (!strcmp(key, flag) && json_is_boolean(value))
			*ret_flag = json_is_true(value);
		else
			return br_error_set(err, EINVAL, "field '%s': unknown here, or of another type",
				br_vis(vis, sizeof(vis), key, strlen(key)));
	}
	if (text_needed && !*ret_text)
		return br_error_set(err, EINVAL, "field '%s' is needed", text_key);
	return 0;
}

/* ---- save ---- */

static int add_path(void *ctx, const char *path)
{
	return json_array_append_new(ctx, json_string(path)) < 0 ? -ENOMEM : 0;
}

/* Freezes the disk; its lock is held for that only. ret_used: bytes that its file system uses. */
static int freeze(struct br_call *call, struct br_board *board, struct br_image **ret_image, char ret_layer[static 33],
	uint64_t *ret_used, json_t *own, struct br_error *err)
{
	struct br_fs_statfs fs = { 0 };
	struct br_board_disk *disk;
	int r = br_call_disk(call, board, &disk, err);

	if (r < 0)
		return r;
	pthread_mutex_lock(&disk->lock);
	r = br_disk_freeze(disk->disk, ret_layer, err);
	if (!r) {
		r = br_disks_own_files(disk, add_path, own);
		if (r >= 0)
			r = disk->fs->ops->statfs(disk->fs, &fs);
		if (r < 0)
			br_error_set(err, -r, "its files cannot be looked at: %s", strerrordesc_np(-r));
	}
	if (r >= 0) {
		*ret_image = br_image_ref(br_disk_image(disk->disk));
		*ret_used = fs.total_bytes - fs.free_bytes;
	}
	pthread_mutex_unlock(&disk->lock);
	br_board_disk_unref(call->api->disks, disk);
	if (r < 0)
		br_error_prefix(err, "disk of board %s", board->name);
	return r;
}

static json_t *saved_json(const struct br_image_info *i, uint64_t used, json_t *own)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:O}", "image", i->name, "sha256", i->sha256, "parent", i->parent,
		"parent_sha256", i->parent_sha256, "depth", (int)i->depth, "layer_bytes", (json_int_t)i->layer_bytes, "shared_bytes",
		(json_int_t)(used > i->layer_bytes ? used - i->layer_bytes : 0), "own_files",
		own);
}

static int save(struct br_call *call, struct br_error *err)
{
	br_cleanup(br_freep) struct br_image_info *info = malloc(sizeof(*info));
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	char name[BR_IMAGE_NAME_MAX + 1], layer[33], from[BR_BOARD_NAME_MAX + 32];
	json_t *own = json_array();
	struct br_board board;
	uint64_t used = 0;
	const char *given;
	bool replace;
	int r = info ? read_body(call, "image", true, "replace", &given, &replace, err)
		     : br_error_set(err, ENOMEM, "out of memory");

	if (!r && replace && call->who.boards[0])
		r = br_error_set(err, EACCES, "image %s: %s may change the boards '%s' only, and others may boot from this image; save under a new name",
			given, call->who.name, call->who.boards);
	if (!r)
		r = br_image_name_canon(given, name, err);
	if (!r)
		r = freeze(call, &board, &image, layer, &used, own, err);
	if (r >= 0) {
		snprintf(from, sizeof(from), "disk of board %s", board.name);
		r = br_store_derive(call->api->store, image, layer, name, from, replace, info, err);
	}
	if (r >= 0) {
		br_event_emit(call->api->fleet, board.id, 0, BR_EV_DISK_SAVED,
			json_pack("{s:s, s:s}", "image", info->name, "sha256", info->sha256));
		call->json = saved_json(info, used, own);
	}
	json_decref(own);
	return r;
}

/* ---- snapshots ---- */

static json_t *snapshot_json(const struct br_disk_snapshot *s)
{
	return json_pack("{s:s, s:o, s:s*}", "name", s->name, "taken_at", br_api_time((uint64_t)s->taken_at * BR_S), "layer",
		s->layer[0] ? s->layer : NULL);
}

static int only_persistent(const struct br_board *board, const char *disk, struct br_error *err)
{
	if (!strcmp(disk, "persistent"))
		return 0;
	return br_error_set(err, EINVAL,
		"board %s has no persistent disk; one that is %s is new at its next boot, without its snapshots; use 'bramble disk save', "
		"or 'bramble board edit %s --disk persistent' and boot it again", board->name, disk, board->name);
}

static int snapshot(struct br_call *call, struct br_error *err)
{
	struct br_disk_snapshot s;
	struct br_board_disk *disk;
	struct br_board board;
	const char *name;
	bool unused;
	int r = read_body(call, "name", false, "", &name, &unused, err);

	if (r < 0)
		return r;
	r = br_call_disk(call, &board, &disk, err);
	if (r < 0)
		return r;
	r = only_persistent(&board, br_plan_input(disk->plan)->disk, err);
	if (!r) {
		pthread_mutex_lock(&disk->lock);
		r = br_disk_snapshot(disk->disk, name, &s, err);
		pthread_mutex_unlock(&disk->lock);
		if (r < 0)
			br_error_prefix(err, "disk of board %s", board.name);
	}
	br_board_disk_unref(call->api->disks, disk);
	if (r < 0)
		return r;
	br_event_emit(call->api->fleet, board.id, 0, BR_EV_DISK_SNAPSHOT, json_pack("{s:s}", "name", s.name));
	call->json = snapshot_json(&s);
	call->status = MHD_HTTP_CREATED;
	return 0;
}

static int snapshots(struct br_call *call, struct br_error *err)
{
	const struct br_disk_snapshot *list;
	struct br_board_disk *disk;
	struct br_board board;
	size_t n;
	int r = br_call_disk(call, &board, &disk, err);

	if (r < 0)
		return r;
	call->json = json_array();
	pthread_mutex_lock(&disk->lock);
	list = br_disk_snapshots(disk->disk, &n);
	for (size_t i = 0; i < n; i++)
		json_array_append_new(call->json, snapshot_json(&list[i]));
	pthread_mutex_unlock(&disk->lock);
	br_board_disk_unref(call->api->disks, disk);
	return 0;
}

static int remove_snapshot(struct br_call *call, struct br_error *err)
{
	const char *name = br_call_param(call, "name");
	struct br_board_disk *disk;
	struct br_board board;
	int r;

	if (!name)
		return br_error_set(err, EINVAL, "parameter 'name': a snapshot is needed");
	r = br_call_disk(call, &board, &disk, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&disk->lock);
	r = br_disk_snapshot_remove(disk->disk, name, err);
	pthread_mutex_unlock(&disk->lock);
	br_board_disk_unref(call->api->disks, disk);
	if (r < 0)
		return br_error_prefix(err, "disk of board %s", board.name);
	call->json = json_pack("{s:s}", "removed", name);
	return 0;
}

/* ---- the way back ---- */

/* A disk that the board has mounted is its running root. */
static int may_take_away(struct br_api *api, const struct br_board *board, bool force, bool *ret_mounted, struct br_error *err)
{
	struct br_boot_status st = { 0 };

	*ret_mounted = !br_boots_status(api->boots, board->id, &st) && st.stage >= BR_STAGE_MOUNTED;
	if (*ret_mounted && !force)
		return br_error_set(err, EBUSY,
			"board %s has mounted this disk in its boot %" PRIu64 "; switch it off, then add --force",
			board->name, st.boot);
	return 0;
}

static int rollback(struct br_call *call, struct br_error *err)
{
	br_cleanup(br_plan_unrefp) struct br_plan *plan = NULL;
	struct br_api *api = call->api;
	bool force, mounted = false;
	struct br_board board;
	const char *name;
	int r = read_body(call, "name", true, "force", &name, &force, err);

	if (!r)
		r = br_call_board(call, &board, err);
	if (r)
		return r;
	r = br_boots_plan(api->boots, &board, &plan, err);
	if (r >= 0)
		r = only_persistent(&board, br_plan_input(plan)->disk, err);
	if (r >= 0)
		r = may_take_away(api, &board, force, &mounted, err);
	if (r < 0)
		return r;
	r = br_disks_rollback(api->disks, plan, name, err);
	if (r < 0)
		return br_error_prefix(err, "disk of board %s", board.name);
	br_event_emit(api->fleet, board.id, 0, BR_EV_DISK_ROLLBACK,
		json_pack("{s:s, s:s*}", "name", name, "forced", mounted ? FORCED : NULL));
	call->json = json_pack("{s:s, s:s, s:b}", "board", board.name, "name", name, "stale_handles", mounted);
	return 0;
}

static int reset(struct br_call *call, struct br_error *err)
{
	br_cleanup(br_plan_unrefp) struct br_plan *plan = NULL;
	struct br_api *api = call->api;
	struct br_board board;
	uint64_t force = 0, persist = 0;
	bool mounted = false;
	size_t n;
	int r = br_call_number(call, "force", 1, &force, err);

	if (r >= 0)
		r = br_call_number(call, "persist", 1, &persist, err);
	if (r >= 0)
		r = br_call_board(call, &board, err);
	if (r >= 0)
		r = may_take_away(api, &board, force, &mounted, err);
	if (r < 0)
		return r;
	/* a board without an image has no plan, but may have a disk from before */
	n = br_boots_plan(api->boots, &board, &plan, NULL) < 0 ? 0 : br_disks_count_snapshots(api->disks, plan);
	if (n && !force)
		return br_error_set(err, EBUSY,
			"board %s: %zu snapshot%s of its disk would go too; add --force, or see 'bramble disk rollback'", board.name, n,
			n == 1 ? "" : "s");
	r = br_disks_remove(api->disks, board.id, err);
	if (r >= 0 && persist && api->persist)
		r = br_persist_remove(api->persist, board.id, err);
	if (r < 0)
		return br_error_prefix(err, "board %s", board.name);
	br_event_emit(api->fleet, board.id, 0, BR_EV_DISK_RESET, json_pack("{s:s*}", "forced", mounted ? FORCED : NULL));
	call->json = json_pack("{s:s, s:I, s:b}", "reset", board.name, "snapshots_removed", (json_int_t)n, "stale_handles", mounted);
	return 0;
}

/* ---- images ---- */

static int tag(struct br_call *call, struct br_error *err)
{
	char name[BR_IMAGE_NAME_MAX + 1];
	const char *as;
	bool replace;
	int r = read_body(call, "as", true, "replace", &as, &replace, err);

	if (!r)
		r = br_image_name_canon(as, name, err);
	if (!r)
		r = br_store_tag(call->api->store, call->name, name, replace, err);
	if (r < 0)
		return r;
	call->json = json_pack("{s:s, s:b}", "image", name, "was_there", r > 0);
	return 0;
}

static int gc(struct br_call *call, struct br_error *err)
{
	uint64_t dry = 0;
	int r = br_call_number(call, "dry_run", 1, &dry, err);

	if (r < 0)
		return r;
	call->json = json_array();
	r = br_store_gc(call->api->store, dry, br_json_add_garbage, call->json, err);
	return r < 0 ? r : 0;
}

const struct br_route br_api_layers[] = {
	{ "POST", "/v1/boards/NAME/disk/save", true, .run = save,
		.summary = "Saves its disk as an image" },
	{ "POST", "/v1/boards/NAME/disk/snapshots", true, .run = snapshot,
		.summary = "Takes a snapshot of its disk" },
	{ "GET", "/v1/boards/NAME/disk/snapshots", .run = snapshots,
		.summary = "Lists the snapshots of its disk" },
	{ "DELETE", "/v1/boards/NAME/disk/snapshots", .run = remove_snapshot, .params = { "name" },
		.summary = "Removes a snapshot" },
	{ "POST", "/v1/boards/NAME/disk/rollback", true, .run = rollback,
		.summary = "Goes back to a snapshot" },
	{ "POST", "/v1/boards/NAME/disk/reset", .run = reset, .params = { "force", "persist" },
		.summary = "Drops what the board wrote" },
	{ "POST", "/v1/images/NAME/tag", true, .run = tag,
		.summary = "Gives an image another name" },
	{ "POST", "/v1/gc", .run = gc, .params = { "dry_run" },
		.summary = "Removes frozen layers that nothing needs" },
	{ 0 },
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /v1/backup/disks?board=NAME: a board's stored disks as they are at one moment, in a directory beside them, for a backup to read. The board
 * goes on. Those of a backup that died are swept when the daemon starts (plan/disksweep.h: "copy-").
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "plan/boots.h"
#include "plan/disks.h"
#include "plan/persist.h"
#include "store/disk.h"

#define PREFIX "copy-backup-"

static bool is_persistent(struct br_api *api, const struct br_board *b)
{
	return !strcmp(b->disk[0] ? b->disk : br_boots_default_disk(api->boots), "persistent");
}

/* Opened as for its board, when that is what it gets; a disk that nobody gets now is copied as it lies there. */
static int stage_disk(struct br_call *call, const struct br_board *b, const char *stored, const char *to, struct br_error *err)
{
	struct br_board_disk *disk;
	struct br_board board;
	int r;

	if (!is_persistent(call->api, b))
		return br_disk_copy_closed(stored, to, err);
	r = br_call_disk(call, &board, &disk, err);
	if (r < 0)
		return r;
	r = br_disk_copy(disk->disk, &disk->lock, to, err);
	br_board_disk_unref(call->api->disks, disk);
	return r;
}

static int stage_area(struct br_call *call, const struct br_board *b, const char *to, struct br_error *err)
{
	struct br_persist_area *area;
	int r = br_persist_open(call->api->persist, b->id, 0, &area, err);

	if (r < 0)
		return r;
	r = br_disk_copy(area->disk, &area->lock, to, err);
	br_persist_area_unref(call->api->persist, area);
	return r;
}

static void add_part(json_t *parts, const char *dir, char *place)
{
	if (place)
		json_array_append_new(parts, json_pack("{s:s, s:s}", "dir", dir, "place", place));
	free(place);
}

static int stage_all(struct br_call *call, const struct br_board *b, const char *dir, json_t *parts, struct br_error *err)
{
	br_cleanup(br_freep) char *stored = br_disks_path(call->api->disks, b->id, "persistent"), *area = NULL;
	br_cleanup(br_freep) char *disk_to = br_path_join(dir, "persistent"), *area_to = br_path_join(dir, "area");
	struct br_disk_facts facts;
	int r = 0;

	if (!disk_to || !area_to)
		return br_error_set(err, ENOMEM, "out of memory");
	area = call->api->persist ? br_persist_path(call->api->persist, b->id) : NULL;
	if (stored && br_disk_facts(stored, &facts, NULL) != -ENOENT) {
		r = stage_disk(call, b, stored, disk_to, err);
		if (r >= 0)
			add_part(parts, disk_to, br_asprintf("disks/%" PRId64 "/persistent", b->id));
	}
	if (r >= 0 && area && br_disk_facts(area, &facts, NULL) >= 0) {
		r = stage_area(call, b, area_to, err);
		if (r >= 0)
			add_part(parts, area_to, br_asprintf("disks/%" PRId64 ".persist/area", b->id));
	}
	return r;
}

/* Not of the path: a board's backup is no change of it, whoever has it reserved. */
static int named_board(struct br_call *call, struct br_board *ret, struct br_error *err)
{
	const char *name = br_call_param(call, "board");
	int r = br_strcpy(call->name, sizeof(call->name), name ? name : "");

	return r < 0 ? br_error_set(err, ENOENT, "no board has a name that long") : br_call_board(call, ret, err);
}

static int stage(struct br_call *call, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = NULL;
	json_t *parts;
	uint32_t number;
	char name[40];
	struct br_board b;
	int r = named_board(call, &b, err);

	if (r < 0)
		return r;
	br_random(&number, sizeof(number));
	snprintf(name, sizeof(name), PREFIX "%08x", number);
	dir = br_disks_path(call->api->disks, b.id, name);
	if (!dir)
		return br_error_set(err, ENOMEM, "out of memory");
	parts = json_array();
	r = stage_all(call, &b, dir, parts, err);
	if (r < 0) {
		(void)br_remove_tree(dir, NULL); /* what stays is swept at the next start */
		json_decref(parts);
		return br_error_prefix(err, "board %s", b.name);
	}
	call->json = json_pack("{s:s, s:s, s:o}", "board", b.name, "name", name, "parts", parts);
	return 0;
}

static int unstage(struct br_call *call, struct br_error *err)
{
	const char *name = br_call_param(call, "name");
	br_cleanup(br_freep) char *dir = NULL;
	struct br_board b;
	int r = named_board(call, &b, err);

	if (r < 0)
		return r;
	if (!name || !br_str_starts(name, PREFIX) || strspn(name + strlen(PREFIX), "0123456789abcdef") != 8 || name[strlen(PREFIX) + 8])
		return br_error_set(err, EINVAL, "parameter 'name': what POST gave as 'name' is needed");
	dir = br_disks_path(call->api->disks, b.id, name);
	r = dir ? br_remove_tree(dir, err) : br_error_set(err, ENOMEM, "out of memory");
	if (r >= 0)
		call->json = json_pack("{s:s}", "removed", name);
	return r < 0 ? r : 0;
}

const struct br_route br_api_disk_stage[] = {
	{ .method = "POST", .path = "/v1/backup/disks", .run = stage, .params = { "board" }, .scope = BR_SCOPE_ADMIN,
		.summary = "a copy of the board's stored disks as they are now, in a directory of this host, for a backup" },
	{ .method = "DELETE", .path = "/v1/backup/disks", .run = unstage, .params = { "board", "name" }, .scope = BR_SCOPE_ADMIN,
		.summary = "removes such a copy" },
	{ 0 },
};

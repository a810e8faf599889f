/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/boards: what boards there are, what they get, changing them. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/boardjson.h"
#include "api/call.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "console/console.h"
#include "fleet/event.h"
#include "fleet/fact.h"
#include "fleet/reservation.h"
#include "plan/boots.h"
#include "plan/disks.h"
#include "plan/persist.h"
#include "store/image.h"

/* The boot in force: number, stage, image, times. */
static json_t *boot_json(struct br_api *api, const struct br_board *b)
{
	struct br_boot_status st;

	if (br_boots_status(api->boots, b->id, &st) < 0)
		return json_null();
	return json_pack("{s:I, s:s, s:s, s:o, s:o}", "number", (json_int_t)st.boot, "stage",
		br_stage_name(st.stage), "image", st.image, "started_at", br_api_time(st.started_wall_ns),
		"stage_at", br_api_time(st.stage_wall_ns));
}

/* Bytes of its area; null: it gets none. */
static json_t *persist_json(struct br_api *api, const struct br_board *b)
{
	uint64_t size = br_boots_default_persist(api->boots);

	if (b->persist[0] && br_persist_parse(b->persist, &size) < 0)
		size = 0;
	return size ? json_integer((json_int_t)size) : json_null();
}

/* What the board has set, or else what the daemon gives to all. */
static json_t *effective_json(struct br_api *api, const struct br_board *b)
{
	char image[BR_IMAGE_NAME_MAX + 1];

	br_boots_default_image(api->boots, image);
	if (b->image[0])
		snprintf(image, sizeof(image), "%s", b->image);
	return json_pack("{s:s*, s:s, s:s, s:o}", "image", image[0] ? image : NULL, "disk",
		b->disk[0] ? b->disk : br_boots_default_disk(api->boots), "road", b->road[0] ? b->road : "net", "persist",
		persist_json(api, b));
}

static int add_fact(void *ctx, const struct br_fact *fact)
{
	return json_object_set_new(ctx, fact->name, json_string(fact->value)) < 0 ? -ENOMEM : 0;
}

/* Of one board: what it told of itself, too, which lists of all boards do without. */
static json_t *with_facts(struct br_api *api, const struct br_board *b, json_t *json)
{
	json_t *facts = json_object();

	br_facts_list(api->fleet, b->id, add_fact, facts);
	json_object_set_new(json, "facts", facts);
	return json;
}

/* Who has it; null: nobody. */
static json_t *reserved_json(struct br_api *api, const struct br_board *b)
{
	char user[64], name[24];
	int64_t number = api->reservations ? br_reservation_of(api->reservations, b->id, user, sizeof(user)) : 0;

	snprintf(name, sizeof(name), "r%lld", (long long)number);
	return number ? json_pack("{s:s, s:s}", "reservation", name, "user", user) : json_null();
}

json_t *br_api_board_json(struct br_api *api, const struct br_board *b)
{
	json_t *json = br_board_to_json(b);
	struct br_lease lease;
	char ip[BR_IP_TEXT];
	bool leased = !br_mac_is_zero(b->mac) && !br_lease_by_mac(api->fleet, b->mac, &lease);

	json_object_set_new(json, "address", leased ? json_string(br_ip_format(ip, lease.ip)) : json_null());
	json_object_set_new(json, "effective", effective_json(api, b));
	json_object_set_new(json, "boot", boot_json(api, b));
	json_object_set_new(json, "reserved", reserved_json(api, b));
	return json;
}

struct listing {
	struct br_api *api;
	json_t *out;
};

static int add_board(void *ctx, const struct br_board *b)
{
	struct listing *l = ctx;

	return json_array_append_new(l->out, br_api_board_json(l->api, b)) < 0 ? -ENOMEM : 0;
}

static int add_named(void *ctx, const struct br_board *b)
{
	struct listing *l = ctx;

	return json_array_append_new(l->out, with_facts(l->api, b, br_api_board_json(l->api, b))) < 0 ? -ENOMEM : 0;
}

static int list(struct br_call *call, struct br_error *err)
{
	struct listing l = { call->api, json_array() };
	const char *names = br_call_param(call, "names");

	call->json = l.out;
	if (names)
		return br_call_select(call, names, add_named, &l, err);
	return br_board_list(call->api->fleet, add_board, &l);
}

static int show(struct br_call *call, struct br_error *err)
{
	struct br_board b;
	int r = br_call_board(call, &b, err);

	if (r >= 0)
		call->json = with_facts(call->api, &b, br_api_board_json(call->api, &b));
	return r;
}

/* An image that a board is to get must be there. Its name is kept without ":latest". */
static int check_image(struct br_api *api, const struct br_board *old, struct br_board *b, struct br_error *err)
{
	br_cleanup(br_freep) struct br_image_info *info = NULL;
	int r;

	static_assert(sizeof(b->image) > BR_IMAGE_NAME_MAX, "a board's image is a name of the store");
	if (!b->image[0] || !strcmp(old->image, b->image))
		return 0;
	r = br_image_name_canon(b->image, b->image, err);
	if (r < 0)
		return r;
	info = malloc(sizeof(*info));
	if (!info)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_store_info(api->store, b->image, info, err);
	if (r == -ENOENT)
		return br_error_set(err, ENOENT, "no image is named '%s'; 'bramble image list' shows them", b->image);
	return r;
}

/* A key that the daemon cannot sign with shows as a board that stays dark, once it is fused. */
static int check_key(struct br_api *api, const struct br_board *old, const struct br_board *b, struct br_error *err)
{
	int r = 0;

	if (b->signed_key[0] && strcmp(old->signed_key, b->signed_key) != 0)
		r = br_boots_check_signing(api->boots, b->signed_key, err);
	return r < 0 ? br_error_prefix(err, "field 'signed'") : 0;
}

/* A disk never becomes smaller: who wishes that is told, not passed over in silence. */
static int check_size(struct br_api *api, const struct br_board *old, const struct br_board *b, struct br_error *err)
{
	const char *kind = b->disk[0] ? b->disk : br_boots_default_disk(api->boots);
	char image[BR_IMAGE_NAME_MAX + 1], wish[16], is[16];
	br_cleanup(br_freep) struct br_image_info *info = NULL;
	br_cleanup(br_freep) char *dir = NULL;
	uint64_t least = 0;

	if (!b->disk_size || b->disk_size == old->disk_size)
		return 0;
	br_format_size(wish, sizeof(wish), b->disk_size);
	if (b->id && old->disk_size > b->disk_size && !strcmp(kind, "persistent"))
		dir = br_disks_path(api->disks, b->id, kind);
	if (dir)
		return br_error_set(err, EINVAL, "board %s: its disk may have %s already, and no disk becomes smaller (%s); 'bramble disk reset' "
			"drops it first", b->name, br_format_size(is, sizeof(is), old->disk_size), wish);
	br_boots_default_image(api->boots, image);
	info = malloc(sizeof(*info));
	if (!info)
		return br_error_set(err, ENOMEM, "out of memory");
	/* an image that cannot be looked at has its own words when the board boots */
	if (!br_store_info(api->store, b->image[0] ? b->image : image, info, NULL))
		for (unsigned i = 0; i < info->n_partitions; i++)
			if (info->partitions[i].number == info->root)
				least = info->partitions[i].size;
	if (b->disk_size >= least)
		return 0;
	return br_error_set(err, EINVAL, "board %s: %s is less than the %s of its image's root, and no disk becomes smaller", b->name, wish,
		br_format_size(is, sizeof(is), least));
}

static int check_console(const struct br_board *old, const struct br_board *b, struct br_error *err)
{
	if (!strcmp(old->console, b->console) || br_console_uri_ok(b->console, err))
		return 0;
	return br_error_prefix(err, "board %s", b->name);
}

/* What makes the daemon open devices and connections, or run commands, is the admin's to say. */
static int check_scope(const struct br_call *call, struct br_error *err)
{
	static const char *const fields[] = { "power", "console" };

	/* by its name a board gets shares, and fits selectors */
	if (call->who.boards[0] && json_object_get(call->body, "name"))
		return br_error_set(err, EACCES, "field 'name': %s is for the boards '%s', and renames none", call->who.name, call->who.boards);
	for (size_t i = 0; i < BR_ARRAY_SIZE(fields) && call->who.scope < BR_SCOPE_ADMIN; i++)
		if (json_object_get(call->body, fields[i]))
			return br_error_set(err, EACCES, "field '%s': only who may admin sets it; %s may not", fields[i], call->who.name);
	return 0;
}

static int edit_locked(struct br_call *call, struct br_error *err)
{
	struct br_board old, b;
	json_t *before, *after;
	int r = br_call_board(call, &old, err);

	if (r >= 0)
		r = check_scope(call, err);
	if (r < 0)
		return r;
	b = old;
	r = br_board_apply_json(&b, call->body, err);
	if (r >= 0)
		r = check_image(call->api, &old, &b, err);
	if (r >= 0)
		r = check_size(call->api, &old, &b, err);
	if (r >= 0)
		r = check_console(&old, &b, err);
	if (r >= 0)
		r = check_key(call->api, &old, &b, err);
	if (r >= 0)
		r = br_board_save(call->api->fleet, &b, err);
	if (r < 0)
		return r;
	before = br_board_json_changes(&b, &old);
	after = br_board_json_changes(&old, &b);
	if (json_object_size(after))
		br_event_emit(call->api->fleet, b.id, 0, BR_EV_BOARD_EDITED,
			json_pack("{s:O, s:O}", "before", before, "after", after));
	br_call_change(call, before, after);
	call->json = br_api_board_json(call->api, &b);
	return 0;
}

static int edit(struct br_call *call, struct br_error *err)
{
	int r;

	br_reservation_edit_lock(call->api->fleet);
	r = edit_locked(call, err);
	br_reservation_edit_unlock(call->api->fleet);
	return r;
}

static int add(struct br_call *call, struct br_error *err)
{
	struct br_board none = { 0 }, b = { 0 };
	int r = check_scope(call, err);

	if (r >= 0)
		r = br_board_apply_json(&b, call->body, err);

	if (r >= 0)
		r = check_image(call->api, &none, &b, err);
	if (r >= 0)
		r = check_size(call->api, &none, &b, err);
	if (r >= 0)
		r = check_console(&none, &b, err);
	if (r >= 0)
		r = check_key(call->api, &none, &b, err);
	if (r >= 0)
		r = br_board_save(call->api->fleet, &b, err);
	if (r < 0)
		return r;
	br_event_emit(call->api->fleet, b.id, 0, BR_EV_BOARD_ADOPTED, br_board_json_changes(&none, &b));
	call->json = br_api_board_json(call->api, &b);
	call->status = MHD_HTTP_CREATED;
	return 0;
}

static int remove_board(struct br_call *call, struct br_error *err)
{
	struct br_api *api = call->api;
	struct br_board b;
	int r = br_call_board(call, &b, err), persist;

	if (r < 0)
		return r;
	r = br_disks_close(api->disks, b.id);
	if (r < 0)
		return br_error_set(err, -r, "board %s: its disk is in use just now; switch the board off first", b.name);
	r = br_board_remove(api->fleet, b.id, err);
	if (r < 0)
		return r;
	br_event_emit(api->fleet, b.id, 0, BR_EV_BOARD_REMOVED, json_pack("{s:s}", "name", b.name));
	br_boots_forget(api->boots, b.id);
	r = br_disks_remove(api->disks, b.id, err);
	/* both are tried: nobody comes back for what is left of a board that is no more */
	persist = api->persist ? br_persist_remove(api->persist, b.id, r < 0 ? NULL : err) : 0;
	r = r < 0 ? r : persist;
	if (r < 0) {
		br_error_prefix(err, "board %s was removed, but its stored disk was not", b.name);
		return r;
	}
	call->json = json_pack("{s:s}", "removed", b.name);
	return 0;
}

static int add_bootfile(void *ctx, const char *path, const struct br_bootfile *file)
{
	/* a name of the image that is no UTF-8 is left out of a listing for people */
	json_array_append_new(ctx, json_pack("{s:s, s:I, s:s, s:s*}", "path", path, "size", (json_int_t)file->size,
					   "origin", file->origin, "layer", file->layer));
	return 0;
}

static json_t *root_json(const struct br_plan *plan)
{
	json_t *out = json_array();
	const struct br_projection *p;
	size_t n = 0;

	p = br_plan_root(plan, &n);
	for (size_t i = 0; i < n; i++) {
		if (!p[i].data)
			json_array_append_new(out, json_pack("{s:s, s:b, s:s*}", "path", p[i].path, "hidden", 1, "why", p[i].why));
		else
			json_array_append_new(out,
				json_pack("{s:s, s:i, s:I, s:b, s:s*}", "path", p[i].path, "mode", (int)p[i].mode,
					"size", (json_int_t)p[i].len, "link", p[i].symlink, "why", p[i].why));
	}
	return out;
}

/* What the board gets. No contents: among them are its secrets. */
static int plan(struct br_call *call, struct br_error *err)
{
	const char *layout, *unknown;
	struct br_plan *p = NULL;
	struct br_board b;
	json_t *files;
	int r = br_call_board(call, &b, err);

	if (r >= 0)
		r = br_boots_plan(call->api->boots, &b, &p, err);
	if (r < 0)
		return r;
	files = json_array();
	br_plan_bootfiles(p, add_bootfile, files);
	layout = br_plan_layout(p, &unknown);
	call->json = json_pack("{s:I, s:s, s:s, s:s, s:o, s:o, s:s*, s:s, s:s*}", "boot", (json_int_t)br_plan_input(p)->boot, "disk",
		br_plan_input(p)->disk, "cmdline", br_plan_cmdline(p), "root", br_plan_root_path(p), "boot_files",
		files, "root_files", root_json(p), "problem", br_plan_problem(p), "layout", layout, "unknown", unknown);
	br_plan_unref(p);
	return call->json ? 0 : br_error_set(err, EIO, "board %s: its plan is no valid text", b.name);
}

const struct br_route br_api_boards[] = {
	{ "GET", "/v1/boards", .run = list, .params = { "names" }, .gives = "boards",
		.summary = "Lists boards: all, or those of a selector" },
	{ "POST", "/v1/boards", true, .run = add, .takes = "board-edit", .gives = "board",
		.summary = "Makes a board" },
	{ "GET", "/v1/boards/NAME", .run = show, .gives = "board",
		.summary = "One board, with what it told of itself" },
	{ "PATCH", "/v1/boards/NAME", true, .run = edit, .takes = "board-edit", .gives = "board",
		.summary = "Changes a board, all of it or nothing" },
	{ "DELETE", "/v1/boards/NAME", .run = remove_board,
		.summary = "Removes a board and its disk" },
	{ "GET", "/v1/boards/NAME/plan", .run = plan,
		.summary = "What the board gets: command line, boot files, root files" },
	{ 0 },
};

/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/images, /v1/default-image and /v1/status. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "fleet/event.h"
#include "fleet/reservation.h"
#include "plan/boots.h"
#include "store/image.h"

static int add_image(void *ctx, const struct br_image_info *i, const char *err_text)
{
	json_t *json;

	if (err_text)
		json = json_pack("{s:s, s:s}", "name", i ? i->name : "?", "error", err_text);
	else
		json = json_pack("{s:s, s:s, s:I, s:I, s:o, s:s, s:s, s:s, s:s, s:s, s:s}", "name", i->name, "sha256",
			i->sha256, "size", (json_int_t)i->size, "allocated", (json_int_t)i->allocated,
			"imported_at", br_api_time((uint64_t)i->imported_at * BR_S), "source", i->source, "os",
			i->os_name, "os_id", i->os_id, "arch", i->arch, "kernels", i->kernels, "models", i->models);
	/* text of an image that is no UTF-8: its name alone */
	if (!json && i)
		json = json_pack("{s:s, s:s}", "name", i->name, "error", "its description is no UTF-8 text");
	return json_array_append_new(ctx, json) < 0 ? -ENOMEM : 0;
}

static int list(struct br_call *call, struct br_error *err)
{
	call->json = json_array();
	return br_store_list(call->api->store, add_image, call->json, err);
}

struct user {
	const char *image;
	char board[BR_BOARD_NAME_MAX + 1];
};

static int uses(void *ctx, const struct br_board *b)
{
	struct user *u = ctx;

	if (strcmp(b->image, u->image))
		return 0;
	memcpy(u->board, b->name, sizeof(u->board));
	return 1;
}

/* A board that boots a job's image gets its own back when the job ends. */
static int check_kept(struct br_api *api, const char *image, struct br_error *err)
{
	struct br_board board = { 0 };
	int64_t board_id = 0, number = api->reservations ? br_reservation_keeps_image(api->reservations, image, &board_id) : 0;

	if (!number)
		return 0;
	if (br_board_by_id(api->fleet, board_id, &board) < 0)
		snprintf(board.name, sizeof(board.name), "%lld", (long long)board_id);
	return br_error_set(err, EBUSY, "image %s is board %s's own, which it gets back when reservation r%lld ends; wait for that", image, board.name,
		(long long)number);
}

static int remove_image(struct br_call *call, struct br_error *err)
{
	struct br_api *api = call->api;
	struct user user = { .image = call->name };
	char def[BR_IMAGE_NAME_MAX + 1];
	int r;

	static_assert(sizeof(call->name) > BR_IMAGE_NAME_MAX, "an image's name fits");
	r = br_image_name_canon(call->name, call->name, err);
	if (r < 0)
		return r;
	r = br_board_list(api->fleet, uses, &user);
	if (r < 0)
		return br_error_set(err, -r, "cannot read the boards: %s", strerrordesc_np(-r));
	if (r > 0)
		return br_error_set(err, EBUSY,
			"image %s is in use by board %s; give it another one first (bramble board edit %s --image OTHER)",
			call->name, user.board, user.board);
	r = check_kept(api, call->name, err);
	if (r < 0)
		return r;
	br_boots_default_image(api->boots, def);
	if (!strcmp(def, call->name))
		return br_error_set(err, EBUSY, "image %s is the one boards get by default; serve another one first",
			call->name);
	if (br_boots_image_in_use(api->boots, call->name))
		return br_error_set(err, EBUSY, "image %s is what a running board has booted; stop that board first",
			call->name);
	r = br_store_remove(api->store, call->name, err);
	if (r < 0)
		return r;
	br_event_emit(api->fleet, 0, 0, BR_EV_IMAGE_REMOVED, json_pack("{s:s}", "image", call->name));
	call->json = json_pack("{s:s}", "removed", call->name);
	return 0;
}

/* {"name": IMAGE}: what 'bramble serve IMAGE' says to a daemon that runs already. */
static int set_default(struct br_call *call, struct br_error *err)
{
	const char *given = json_string_value(json_object_get(call->body, "name"));
	char name[BR_IMAGE_NAME_MAX + 1];
	int r;

	if (!given || json_object_size(call->body) != 1)
		return br_error_set(err, EINVAL, "the body must be {\"name\": IMAGE}");
	r = br_image_name_canon(given, name, err);
	if (!r)
		r = br_boots_set_default_image(call->api->boots, name, err);
	if (r >= 0) /* for the next start, where none is named then */
		r = br_setting_put(call->api->fleet, BR_SETTING_IMAGE, name, err);
	if (r < 0)
		return r;
	call->json = json_pack("{s:s}", "default_image", name);
	return 0;
}

static int count_image(void *ctx, const struct br_image_info *info, const char *err_text)
{
	++*(json_int_t *)ctx;
	return 0;
}

struct booted {
	struct br_api *api;
	json_int_t booting, up;
};

static int count_booted(void *ctx, const struct br_board *b)
{
	struct booted *c = ctx;
	struct br_boot_status st;

	if (br_boots_status(c->api->boots, b->id, &st) < 0)
		return 0;
	if (st.stage >= BR_STAGE_UP)
		c->up++;
	else if (st.stage > BR_STAGE_NONE)
		c->booting++;
	return 0;
}

static json_t *counts_json(struct br_api *api)
{
	struct booted booted = { .api = api };
	json_int_t n_images = 0;
	uint64_t n_boards = 0;

	br_board_count(api->fleet, &n_boards);
	br_board_list(api->fleet, count_booted, &booted);
	br_store_list(api->store, count_image, &n_images, NULL);
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "boards", (json_int_t)n_boards, "booting", booted.booting, "up",
		booted.up, "images", n_images, "events", (json_int_t)br_event_last(api->fleet));
}

static json_t *address_json(uint32_t ip)
{
	char text[BR_IP_TEXT];

	return ip ? json_string(br_ip_format(text, ip)) : json_null();
}

json_t *br_api_status_json(struct br_api *api)
{
	const struct br_api_status *st = &api->status;
	struct br_error health = BR_ERROR_NULL;
	char image[BR_IMAGE_NAME_MAX + 1];

	br_boots_default_image(api->boots, image);
	br_event_health(api->fleet, &health);
	return json_pack("{s:s, s:i, s:I, s:s, s:o, s:i, s:s, s:s, s:o, s:o, s:s?, s:s, s:s?, s:o, s:o, s:o}", "version",
		BRAMBLE_VERSION, "pid", (int)getpid(), "uptime_s", (json_int_t)((br_now_ns() - api->started_ns) / BR_S),
		"interface", st->interface, "address", address_json(st->ip), "prefix", (int)st->prefix, "dhcp", st->dhcp,
		"dhcp_mode", st->dhcp_mode ? st->dhcp_mode(st->dhcp_mode_ctx) : st->dhcp,
		"first", address_json(st->first), "last", address_json(st->last), "default_image",
		image[0] ? image : NULL, "default_disk", br_boots_default_disk(api->boots), "storage_error",
		health.code ? health.text : NULL, "counts", counts_json(api), "boots", st->turns ? st->turns(st->turns_ctx) : json_null(),
		"capture_dropped", st->capture_dropped ? json_integer((json_int_t)st->capture_dropped(st->capture_ctx)) : json_null());
}

static int status(struct br_call *call, struct br_error *err)
{
	call->json = br_api_status_json(call->api);
	return call->json ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

const struct br_route br_api_images[] = {
	{ "GET", "/v1/images", .run = list,
		.summary = "Lists the images" },
	{ "DELETE", "/v1/images/NAME", .run = remove_image,
		.summary = "Removes an image that nothing uses" },
	{ "PUT", "/v1/default-image", true, .run = set_default,
		.summary = "What boards boot that have no image of their own" },
	{ 0 },
};

const struct br_route br_api_misc[] = {
	{ "GET", "/v1/status", .run = status, .gives = "status",
		.summary = "What the daemon serves, and how it is" },
	{ 0 },
};

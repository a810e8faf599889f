/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/flash and what of it is under a board: orders to write boards' own storage. */
#include "flash/flash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/clock.h"
#include "base/text.h"

#define LIST_MAX 2000 /* orders: an answer is made whole */

static json_t *time_json(int64_t s)
{
	return br_api_time((uint64_t)s * BR_S);
}

static json_t *status_json(const struct br_flash_status *st)
{
	const struct br_flash_order *o = &st->order;

	return json_pack("{s:I, s:s*, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:b, s:b, s:s*, s:s*, s:s*, s:{s:I, s:I, s:I, s:I, s:I, "
			 "s:I, s:I, s:I}, s:s*, s:o, s:o, s:o, s:o}",
		"order", (json_int_t)o->id, "board", st->board[0] ? st->board : NULL, "image", o->image, "sha256", o->sha256, "target",
		o->target, "verify", o->verify, "up", o->up, "keep", o->keep, "state", br_flash_state_name(o->state), "preparing",
		st->preparing, "contact", st->contact, "what", o->what[0] ? o->what : NULL, "reason", o->reason[0] ? o->reason : NULL,
		"place", o->place[0] ? o->place : NULL, "progress", "pieces", (json_int_t)st->windows, "done", (json_int_t)st->done,
		"written", (json_int_t)st->written, "size", (json_int_t)st->size, "written_bytes", (json_int_t)st->written_bytes,
		"fetched", (json_int_t)st->fetched, "retries", (json_int_t)st->retries, "begun", (json_int_t)st->begun, "notes",
		st->notes[0] ? st->notes : NULL, "ordered_at", time_json(o->ordered_at),
		"started_at", time_json(o->started_at), "verified_at", time_json(o->verified_at), "ended_at", time_json(o->ended_at));
}

static int answer(struct br_call *call, int64_t id, struct br_error *err)
{
	struct br_flash_status st;
	int r = br_flash_status(call->api->flash, id, &st);

	if (r < 0)
		return br_error_set(err, -r, "flash order %lld: %s", (long long)id, r == -ENOENT ? "there is none of this number" : strerrordesc_np(-r));
	call->json = status_json(&st);
	return call->json ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

static int have_flash(struct br_call *call, struct br_error *err)
{
	return call->api->flash ? 0 : br_error_set(err, EOPNOTSUPP, "this daemon does not flash");
}

/* A text of the body into a field; fallback when it is not there. */
static int take(const struct br_call *call, const char *key, const char *fallback, char *out, size_t size, struct br_error *err)
{
	const json_t *v = json_object_get(call->body, key);
	const char *s = json_is_string(v) ? json_string_value(v) : v ? NULL : fallback;

	if (!s)
		return br_error_set(err, EINVAL, "'%s' must be a text", key);
	return br_strcpy(out, size, s) < 0 ? br_error_set(err, EINVAL, "'%s' is too long", key) : 0;
}

/* Its reservation may have ended while it was ordered: then nobody withdrew it. */
static int still_reserved(struct br_call *call, const struct br_board *board, const struct br_flash_order *o, struct br_error *err)
{
	int64_t now;
	int r = br_call_reservation(call, board, &now, err);

	if (r >= 0 && now != o->reservation)
		r = br_error_set(err, ENOLCK, "board %s: its reservation has changed just now; try again", board->name);
	if (r < 0)
		(void)br_flash_withdraw(call->api->flash, o->id, "", "its reservation had ended", true, NULL); /* by itself already, else */
	return r;
}

static int order(struct br_call *call, struct br_error *err)
{
	struct br_flash_order o = { 0 };
	struct br_board board;
	char name[BR_IMAGE_NAME_MAX + 1];
	int r = have_flash(call, err);

	if (!r)
		r = br_call_board(call, &board, err);
	if (!r)
		r = take(call, "image", NULL, o.image, sizeof(o.image), err);
	if (!r)
		r = br_image_name_canon(o.image, name, err);
	if (!r)
		r = take(call, "target", "mmc0", o.target, sizeof(o.target), err);
	if (!r)
		r = take(call, "verify", "hash", o.verify, sizeof(o.verify), err);
	if (!r)
		r = take(call, "up", "dhcp", o.up, sizeof(o.up), err);
	if (r < 0)
		return r;
	snprintf(o.image, sizeof(o.image), "%s", name);
	o.board_id = board.id;
	o.keep = json_is_true(json_object_get(call->body, "keep"));
	r = br_call_reservation(call, &board, &o.reservation, err);
	if (r < 0)
		return r;
	r = br_flash_order(call->api->flash, &o, err);
	if (r == -EEXIST)
		return br_error_prefix(err, "board %s", board.name);
	if (r >= 0)
		r = still_reserved(call, &board, &o, err);
	return r < 0 ? r : answer(call, o.id, err);
}

struct listing {
	struct br_call *call;
	json_t *out;
};

static int add_order(void *ctx, const struct br_flash_order *o)
{
	struct listing *l = ctx;
	struct br_flash_status st;

	if (!br_flash_status(l->call->api->flash, o->id, &st))
		json_array_append_new(l->out, status_json(&st));
	return 0;
}

static int list(struct br_call *call, struct br_error *err)
{
	struct listing l = { call, NULL };
	uint64_t limit = 0;
	int r = have_flash(call, err);

	if (!r)
		r = br_call_number(call, "limit", LIST_MAX, &limit, err);
	if (r < 0)
		return r;
	l.out = call->json = json_array();
	r = br_flash_order_list(call->api->fleet, limit ? limit : 100, add_order, &l);
	return r < 0 ? br_error_set(err, -r, "cannot read the flash orders: %s", strerrordesc_np(-r)) : 0;
}

static int order_of_path(struct br_call *call, int64_t *ret, struct br_error *err)
{
	uint64_t id;
	int r = have_flash(call, err);

	if (r < 0)
		return r;
	if (br_parse_u64(call->name, 1, INT64_MAX, &id) < 0)
		return br_error_set(err, ENOENT, "a flash order is a number; 'bramble flash list' shows them");
	*ret = (int64_t)id;
	return 0;
}

static int show(struct br_call *call, struct br_error *err)
{
	int64_t id;
	int r = order_of_path(call, &id, err);

	return r < 0 ? r : answer(call, id, err);
}

/* The board of an order may be reserved. */
static int may_withdraw(struct br_call *call, int64_t id, struct br_error *err)
{
	struct br_flash_order o;
	struct br_board board;

	if (br_flash_order_by_id(call->api->fleet, id, &o) < 0 || br_board_by_id(call->api->fleet, o.board_id, &board) < 0)
		return 0;
	return br_call_unreserved(call, &board, err);
}

static int withdraw(struct br_call *call, struct br_error *err)
{
	const char *what = br_call_param(call, "what"), *reason = br_call_param(call, "reason");
	uint64_t force = 0;
	int64_t id;
	int r = order_of_path(call, &id, err);

	if (!r)
		r = br_call_number(call, "force", 1, &force, err);
	if (!r)
		r = may_withdraw(call, id, err);
	if (!r)
		r = br_flash_withdraw(call->api->flash, id, what ?: "", reason ?: "somebody withdrew it", force, err);
	return r < 0 ? r : answer(call, id, err);
}

const struct br_route br_api_flash[] = {
	{ "POST", "/v1/boards/NAME/flash", true, .run = order,
		.summary = "Orders an image to be written to its storage" },
	{ "GET", "/v1/flash", .run = list, .params = { "limit" },
		.summary = "Lists flash orders" },
	{ "GET", "/v1/flash/NAME", .run = show,
		.summary = "One flash order" },
	{ "DELETE", "/v1/flash/NAME", .run = withdraw, .params = { "force", "what", "reason" },
		.summary = "Withdraws a flash order" },
	{ 0 },
};

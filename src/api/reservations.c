/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/reservations: boards held for one client; and the door of all routes that change a board. */
#include "fleet/reservation.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/call.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "fleet/event.h"
#include "fleet/selector.h"
#include "store/image.h"

#define HEADER	    "Bramble-Reservation"
#define HEARTBEAT_S 10 /* an empty line so often, to notice a client that left */
#define ENDED_MAX   2000

static int have(const struct br_call *call, struct br_error *err)
{
	return call->api->reservations ? 0 : br_error_set(err, EOPNOTSUPP, "this daemon keeps no reservations");
}

/*
 * The path names one, "r12"; its secret, if any, stands in the header, since paths are in logs and audit events. call->name becomes the
 * whole ID.
 */
static int take_id(struct br_call *call, struct br_error *err)
{
	const char *ids = MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, HEADER);
	size_t n = strlen(call->name);
	int r = have(call, err);

	if (r < 0)
		return r;
	if (strchr(call->name, '-'))
		return br_error_set(err, EINVAL, "a reservation's secret is shown by the header '" HEADER ": ID', not in the path");
	for (const char *s = ids; s && *s; s += s[strcspn(s, ", ")] != 0) {
		size_t k = strcspn(s, ", ");

		if (k > n && k < BR_RESERVATION_ID_MAX && !strncmp(s, call->name, n) && s[n] == '-') {
			snprintf(call->name, sizeof(call->name), "%.*s", (int)k, s);
			return 0;
		}
		s += k;
	}
	return 0;
}

static json_t *time_json(int64_t s)
{
	return br_api_time((uint64_t)s * BR_S);
}

static json_t *names_json(struct br_fleet *fleet, const struct br_reservation *r)
{
	json_t *names = json_array();

	for (size_t i = 0; i < r->n_boards; i++) {
		struct br_board b;

		if (br_board_by_id(fleet, r->boards[i], &b) >= 0)
			json_array_append_new(names, json_string(b.name));
	}
	return names;
}

static json_t *reservation_json(struct br_api *api, const struct br_reservation *r)
{
	json_t *json = json_object();
	char name[24];

	snprintf(name, sizeof(name), "r%" PRId64, r->number);
	json_object_set_new(json, "reservation", json_string(name));
	json_object_set_new(json, "id", r->id[0] ? json_string(r->id) : json_null());
	json_object_set_new(json, "state", json_string(br_reservation_state_name(r->state)));
	json_object_set_new(json, "kind", json_string(r->for_s ? "manual" : "job"));
	json_object_set_new(json, "user", json_string(r->user));
	json_object_set_new(json, "who", json_string(r->who));
	json_object_set_new(json, "note", r->note[0] ? json_string(r->note) : json_null());
	json_object_set_new(json, "selector", json_string(r->selector));
	json_object_set_new(json, "count", json_integer(r->count));
	json_object_set_new(json, "before", r->state == BR_RESERVATION_WAITING ? json_integer(r->before) : json_null());
	json_object_set_new(json, "ttl", json_integer(r->ttl_s));
	json_object_set_new(json, "for", r->for_s ? json_integer((json_int_t)r->for_s) : json_null());
	json_object_set_new(json, "boards", names_json(api->fleet, r));
	json_object_set_new(json, "asked_at", time_json(r->asked_at));
	json_object_set_new(json, "held_at", time_json(r->held_at));
	json_object_set_new(json, "until", time_json(r->until));
	json_object_set_new(json, "ended_at", time_json(r->ended_at));
	json_object_set_new(json, "why", r->why[0] ? json_string(r->why) : json_null());
	json_object_set_new(json, "reason", r->reason[0] ? json_string(r->reason) : json_null());
	return json;
}

/* The fields of a body: each at most once, known, of its type. */
struct field {
	const char *key;
	bool number;
	size_t max; /* bytes, or the number */
};

static int check_body(const json_t *body, const struct field *fields, struct br_error *err)
{
	const char *key;
	const json_t *v;
	char vis[60];

	json_object_foreach((json_t *)(uintptr_t)body, key, v) {
		const struct field *f = fields;

		while (f->key && strcmp(f->key, key) != 0)
			f++;
		if (!f->key)
			return br_error_set(err, EINVAL, "field '%s': unknown here", br_vis(vis, sizeof(vis), key, strlen(key)));
		if (json_is_null(v))
			continue;
		if (f->number && (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > f->max))
			return br_error_set(err, EINVAL, "field '%s': a number up to %zu is needed", key, f->max);
		if (!f->number && (!json_is_string(v) || json_string_length(v) > f->max || strlen(json_string_value(v)) != json_string_length(v)))
			return br_error_set(err, EINVAL, "field '%s': a text of at most %zu bytes is needed", key, f->max);
	}
	return 0;
}

static const char *text_of(const json_t *body, const char *key)
{
	return json_string_value(json_object_get(body, key));
}

/* A token that is for some boards reserves these by name. */
static int check_token(const struct br_call *call, const char *selector, struct br_error *err)
{
	struct br_selector *sel = NULL;
	const char *const *names;
	struct br_board b;
	size_t n = 0;
	int r;

	if (!call->who.boards[0])
		return 0;
	r = br_selector_parse(selector, &sel, err);
	if (r < 0)
		return r;
	names = br_selector_names(sel, &n);
	if (!n)
		r = br_error_set(err, EACCES, "%s may change the boards '%s' only: reserve them by their names", call->who.name, call->who.boards);
	for (size_t i = 0; i < n && !r; i++) {
		if (br_board_by_name(call->api->fleet, names[i], &b) >= 0)
			r = br_call_may_change(call, &b, err);
	}
	br_selector_free(sel);
	return r;
}

static int reserve(struct br_call *call, struct br_error *err)
{
	static const struct field fields[] = {
		{ "boards", false, BR_SELECTOR_TEXT_MAX }, { "count", true, BR_RESERVATION_BOARDS_MAX }, { "user", false, 63 },
		{ "note", false, 255 }, { "ttl", true, BR_RESERVATION_TTL_MAX_S }, { "for", true, BR_RESERVATION_FOR_MAX_S }, { 0 },
	};
	struct br_reservation req = { 0 }, res = { 0 };
	const char *selector = text_of(call->body, "boards"), *user = text_of(call->body, "user");
	int r = have(call, err);

	if (!r)
		r = check_body(call->body, fields, err);
	if (!r && !selector)
		r = br_error_set(err, EINVAL, "'boards' must be a selector, as 'model=4B,tag=camera:2'");
	if (!r)
		r = check_token(call, selector, err);
	if (r < 0)
		return r;
	req.selector = (char *)(uintptr_t)selector;
	req.count = (uint32_t)json_integer_value(json_object_get(call->body, "count"));
	req.ttl_s = (uint32_t)json_integer_value(json_object_get(call->body, "ttl"));
	req.for_s = (uint64_t)json_integer_value(json_object_get(call->body, "for"));
	snprintf(req.user, sizeof(req.user), "%.63s", user && user[0] ? user : call->who.name);
	snprintf(req.who, sizeof(req.who), "%s", call->who.name);
	snprintf(req.note, sizeof(req.note), "%s", text_of(call->body, "note") ?: "");
	r = br_reservation_ask(call->api->reservations, &req, br_now_ns(), &res, err);
	if (r < 0)
		return r;
	call->json = reservation_json(call->api, &res);
	call->status = MHD_HTTP_CREATED;
	br_reservation_done(&res);
	return 0;
}

struct listing {
	struct br_api *api;
	json_t *out;
};

static int add_one(void *ctx, const struct br_reservation *r)
{
	struct listing *l = ctx;

	return json_array_append_new(l->out, reservation_json(l->api, r)) < 0 ? -ENOMEM : 0;
}

json_t *br_api_reservations_json(struct br_api *api)
{
	struct listing l = { api, json_array() };

	if (api->reservations)
		br_reservation_list(api->reservations, 0, add_one, &l);
	return l.out;
}

static int list(struct br_call *call, struct br_error *err)
{
	struct listing l = { call->api, NULL };
	uint64_t ended = 0;
	int r = have(call, err);

	if (!r)
		r = br_call_number(call, "ended", ENDED_MAX, &ended, err);
	if (r < 0)
		return r;
	l.out = call->json = json_array();
	r = br_reservation_list(call->api->reservations, ended, add_one, &l);
	return r < 0 ? br_error_set(err, -r, "cannot read the reservations: %s", strerrordesc_np(-r)) : 0;
}

static int answer(struct br_call *call, struct br_error *err)
{
	struct br_reservation res;
	int r = br_reservation_get(call->api->reservations, call->name, call->who.name, &res, NULL, err);

	if (r < 0)
		return r;
	call->json = reservation_json(call->api, &res);
	br_reservation_done(&res);
	return 0;
}

/* A follower of one: a line whenever its state or its place changes, until it has ended. */
struct follower {
	struct br_api *api;
	char id[BR_RESERVATION_ID_MAX], who[80];
	struct br_text out;
	size_t sent;
	uint64_t seen; /* events up to here were looked at */
	int state;     /* told last; -1: nothing yet */
	uint32_t before;
	bool over;
};

/* Adds a line when there is something new. */
static int look(struct follower *f)
{
	struct br_reservation res;
	br_cleanup(br_freep) char *line = NULL;
	json_t *json;
	int r = br_reservation_get(f->api->reservations, f->id, f->who, &res, NULL, NULL);

	if (r < 0)
		return r;
	if ((int)res.state != f->state || res.before != f->before) {
		json = reservation_json(f->api, &res);
		line = json_dumps(json, JSON_COMPACT);
		json_decref(json);
		br_text_add(&f->out, line ? line : "");
		br_text_add(&f->out, "\n");
		f->state = (int)res.state;
		f->before = res.before;
		f->over = res.state == BR_RESERVATION_ENDED;
	}
	br_reservation_done(&res);
	return f->out.failed ? -ENOMEM : 0;
}

/* Every change of a reservation is an event, too: that wakes us. False: the end. */
static bool fill(struct follower *f)
{
	struct br_api *api = f->api;
	struct timespec until;
	bool timed_out = false, stopping;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += HEARTBEAT_S;
	f->sent = f->out.len = 0;
	while (!f->out.len) {
		if (f->over)
			return false;
		pthread_mutex_lock(&api->news_lock);
		while (f->state >= 0 && !api->stopping && api->last_seq <= f->seen && !timed_out)
			timed_out = pthread_cond_timedwait(&api->news, &api->news_lock, &until) != 0;
		stopping = api->stopping;
		f->seen = api->last_seq;
		pthread_mutex_unlock(&api->news_lock);
		if (stopping || look(f) < 0)
			return false;
		if (timed_out && !f->out.len)
			br_text_add(&f->out, "\n");
	}
	return !f->out.failed;
}

static ssize_t follow_read(void *ctx, uint64_t pos, char *buf, size_t max)
{
	struct follower *f = ctx;
	size_t n;

	if (f->sent == f->out.len && !fill(f))
		return MHD_CONTENT_READER_END_OF_STREAM;
	n = f->out.len - f->sent < max ? f->out.len - f->sent : max;
	memcpy(buf, f->out.buf + f->sent, n);
	f->sent += n;
	return (ssize_t)n;
}

static void follow_done(void *ctx)
{
	struct follower *f = ctx;

	pthread_mutex_lock(&f->api->news_lock);
	f->api->n_followers--;
	pthread_cond_broadcast(&f->api->news); /* a stop waits for this */
	pthread_mutex_unlock(&f->api->news_lock);
	br_text_done(&f->out);
	free(f);
}

static int follow(struct br_call *call, struct br_error *err)
{
	struct follower *f = calloc(1, sizeof(*f));

	if (!f)
		return br_error_set(err, ENOMEM, "out of memory");
	f->api = call->api;
	f->state = -1;
	snprintf(f->id, sizeof(f->id), "%.*s", (int)sizeof(f->id) - 1, call->name);
	snprintf(f->who, sizeof(f->who), "%s", call->who.name);
	pthread_mutex_lock(&call->api->news_lock);
	call->api->n_followers++;
	f->seen = call->api->last_seq;
	pthread_mutex_unlock(&call->api->news_lock);
	return br_call_stream(call, MHD_SIZE_UNKNOWN, "application/jsonl", follow_read, follow_done, f, err);
}

static int show(struct br_call *call, struct br_error *err)
{
	uint64_t yes = 0;
	int r = take_id(call, err);

	if (!r)
		r = br_call_number(call, "follow", 1, &yes, err);
	if (!r)
		r = answer(call, err); /* what is wrong with the ID is said at once */
	if (r < 0 || !yes)
		return r;
	json_decref(call->json);
	call->json = NULL;
	return follow(call, err);
}

static int beat(struct br_call *call, struct br_error *err)
{
	int r = take_id(call, err);

	if (!r)
		r = br_reservation_beat(call->api->reservations, call->name, br_now_ns(), err);
	return r < 0 ? r : answer(call, err);
}

static int extend(struct br_call *call, struct br_error *err)
{
	static const struct field fields[] = { { "for", true, BR_RESERVATION_FOR_MAX_S }, { 0 } };
	int r = take_id(call, err);

	if (!r)
		r = check_body(call->body, fields, err);
	if (!r)
		r = br_reservation_extend(call->api->reservations, call->name, call->who.name,
			(uint64_t)json_integer_value(json_object_get(call->body, "for")), err);
	return r < 0 ? r : answer(call, err);
}

/* An image that boards are to boot must be there; *ret gets its name as the store has it. */
static int check_image(struct br_api *api, const char *image, char ret[static BR_IMAGE_NAME_MAX + 1], struct br_error *err)
{
	br_cleanup(br_freep) struct br_image_info *info = malloc(sizeof(*info));
	int r = info ? br_image_name_canon(image, ret, err) : br_error_set(err, ENOMEM, "out of memory");

	if (r >= 0)
		r = br_store_info(api->store, ret, info, err);
	if (r == -ENOENT)
		return br_error_set(err, ENOENT, "no image is named '%s'; 'bramble image list' shows them", ret);
	return r;
}

static int settings(struct br_call *call, struct br_error *err)
{
	static const struct field fields[] = { { "image", false, BR_IMAGE_NAME_MAX }, { "disk", false, 15 }, { "road", false, 15 }, { 0 } };
	const char *image = text_of(call->body, "image"), *disk = text_of(call->body, "disk"), *road = text_of(call->body, "road");
	char name[BR_IMAGE_NAME_MAX + 1] = "";
	int r = take_id(call, err);

	if (!r)
		r = check_body(call->body, fields, err);
	if (!r && image)
		r = check_image(call->api, image, name, err);
	if (!r && disk && !br_board_disk_ok(disk))
		r = br_error_set(err, EINVAL, "'disk' must be volatile, persistent or ram");
	if (!r && road && strcmp(road, "net") != 0 && strcmp(road, "local") != 0 && strcmp(road, "flash") != 0)
		r = br_error_set(err, EINVAL, "'road' must be net, local or flash");
	if (!r)
		r = br_reservation_settings(call->api->reservations, call->name, image ? name : NULL, disk, road, err);
	return r < 0 ? r : answer(call, err);
}

static int end(struct br_call *call, struct br_error *err)
{
	const char *reason = br_call_param(call, "reason");
	uint64_t by_force = 0;
	char words[200], vis[120];
	int r = take_id(call, err);

	if (!r)
		r = br_call_number(call, "break", 1, &by_force, err);
	if (!r && by_force && call->who.scope < BR_SCOPE_ADMIN)
		r = br_error_set(err, EACCES, "%s may not break reservations of others: a token with scope admin may", call->who.name);
	if (r < 0)
		return r;
	br_vis(vis, sizeof(vis), reason ?: "", strlen(reason ?: ""));
	if (by_force)
		snprintf(words, sizeof(words), "broken by %.60s%s%.110s", call->who.name, vis[0] ? ": " : "", vis);
	else
		snprintf(words, sizeof(words), "%s", vis[0] ? vis : "its client released it");
	r = br_reservation_end(call->api->reservations, call->name, call->who.name, by_force, words, br_now_ns(), err);
	return r < 0 ? r : answer(call, err);
}

static int note_force(const struct br_call *call, const struct br_board *board, const char *words)
{
	br_event_emit(call->api->fleet, board->id, 0, BR_EV_AUDIT,
		json_pack("{s:s, s:s, s:s, s:s}", "action", "force", "user", call->who.name, "board", board->name, "text", words));
	return 0;
}

int br_call_unreserved(const struct br_call *call, const struct br_board *board, struct br_error *err)
{
	const char *ids = MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, HEADER);
	struct br_error words = BR_ERROR_NULL;
	int r;

	if (!call->api->reservations)
		return 0;
	r = br_reservation_holds(call->api->reservations, board->id, ids, call->who.name, &words);
	if (r > 0 && err && call->who.scope < BR_SCOPE_ADMIN)
		return br_error_set(err, ENOLCK, "%s; %s may not pass it over: a token with scope admin may", words.text, call->who.name);
	if (r > 0 && err)
		return note_force(call, board, words.text);
	if (r < 0 && err)
		*err = words;
	return r;
}

int br_call_reservation(const struct br_call *call, const struct br_board *board, int64_t *ret_number, struct br_error *err)
{
	const char *ids = MHD_lookup_connection_value(call->connection, MHD_HEADER_KIND, HEADER);
	int r;

	*ret_number = 0;
	if (!call->api->reservations)
		return 0;
	r = br_reservation_acts(call->api->reservations, board->id, ids, call->who.name, ret_number, err);
	return r < 0 ? r : 0;
}

int br_call_to_change(const struct br_call *call, const struct br_route *route, struct br_error *err)
{
	struct br_board board;

	if (!strcmp(route->method, "GET") || !br_str_starts(route->path, "/v1/boards/NAME"))
		return 0;
	/* what is wrong with the name is said by the route itself */
	return br_board_by_name(call->api->fleet, call->name, &board) < 0 ? 0 : br_call_unreserved(call, &board, err);
}

const struct br_route br_api_reservations[] = {
	{ "GET", "/v1/reservations", false, list, { "ended" }, .summary = "Who has which boards, and who waits" },
	{ "POST", "/v1/reservations", true, reserve, { NULL }, .names_boards = true, .summary = "Reserves boards, or a place in the queue" },
	{ "GET", "/v1/reservations/NAME", false, show, { "follow" }, .summary = "One reservation, or its changes as they come" },
	{ "PATCH", "/v1/reservations/NAME", true, extend, { NULL }, .names_boards = true, .summary = "Extends one made by hand" },
	{ "DELETE", "/v1/reservations/NAME", false, end, { "break", "reason" }, .names_boards = true, .summary = "Releases or breaks one" },
	{ "POST", "/v1/reservations/NAME/beat", false, beat, { NULL }, .names_boards = true, .unaudited = true, .summary = "Its client lives" },
	{ "POST", "/v1/reservations/NAME/settings", true, settings, { NULL }, .names_boards = true, .summary = "What its boards boot while it is held" },
	{ 0 },
};

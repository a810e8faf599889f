/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/power and what of it is under a board: switching boards, setting them aside. */
#include "power/power.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#define PATIENCE_NS (3600 * BR_S) /* of one request: every step of an order has its own, shorter end */
#define SLICE_NS (500 * BR_MS)	  /* so that the daemon's end is noticed */
#define READ_NS (40 * BR_S)

static int have_power(struct br_call *call, struct br_error *err)
{
	return call->api->power ? 0 : br_error_set(err, EOPNOTSUPP, "this daemon does not switch boards");
}

/* A truth value of the body; false when it is not there. */
static int flag(const struct br_call *call, const char *key, bool fallback, bool *ret, struct br_error *err)
{
	const json_t *v = json_object_get(call->body, key);

	if (v && !json_is_boolean(v))
		return br_error_set(err, EINVAL, "'%s' must be true or false", key);
	*ret = v ? json_is_true(v) : fallback;
	return 0;
}

static int read_order(struct br_call *call, struct br_power_order *o, bool *wait, struct br_error *err)
{
	const char *action = json_string_value(json_object_get(call->body, "action"));
	const json_t *timeout = json_object_get(call->body, "timeout");
	int r;

	if (!action || br_power_action_parse(action, &o->action) < 0)
		return br_error_set(err, EINVAL, "'action' must be on, off, cycle, reset, soft or status");
	r = flag(call, "wait", true, wait, err);
	if (!r)
		r = flag(call, "soft", false, &o->soft_first, err);
	if (!r)
		r = flag(call, "up", false, &o->until_up, err);
	if (!r)
		r = flag(call, "force", false, &o->force, err);
	if (r < 0)
		return r;
	if (o->soft_first && o->action != BR_POWER_CYCLE)
		return br_error_set(err, EINVAL, "'soft' goes with action \"cycle\": it is the first rung of its ladder");
	if (o->until_up && (o->action == BR_POWER_OFF || o->action == BR_POWER_STATUS))
		return br_error_set(err, EINVAL, "'up' does not go with action \"%s\"", action);
	if (timeout && (!json_is_number(timeout) || !(json_number_value(timeout) > 0) || json_number_value(timeout) > 3500))
		return br_error_set(err, EINVAL, "'timeout' must be seconds, at most 3500");
	if (timeout)
		o->up_ns = (uint64_t)(json_number_value(timeout) * 1e9);
	return 0;
}

/* Until it ended, or this daemon does; the job as it is then. */
static int await(struct br_call *call, uint64_t id, uint64_t patience_ns, struct br_power_job *ret, struct br_error *err)
{
	uint64_t end = br_now_ns() + patience_ns;
	int r;

	do {
		uint64_t now = br_now_ns(), left = now < end ? end - now : 0;

		r = br_power_wait(call->api->power, id, left < SLICE_NS ? left : SLICE_NS, ret);
	} while (!r && !ret->ended && br_now_ns() < end && !br_api_ending(call->api));
	return r < 0 ? br_error_set(err, ENOENT, "there is no order %llu about power (any more)", (unsigned long long)id) : 0;
}

static int answer_job(struct br_call *call, const struct br_power_job *job, struct br_error *err)
{
	call->json = br_power_job_json(call->api->power, job);
	return call->json ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

/* Its reservation may have ended while it was ordered: then nobody withdrew it. */
static int still_reserved(struct br_call *call, const struct br_board *board, const struct br_power_order *o, struct br_error *err)
{
	int64_t now;
	int r = br_call_reservation(call, board, &now, err);

	if (r >= 0 && now == o->reservation)
		return 0;
	br_power_reserved(call->api->power, board->id, now);
	return r < 0 ? r : br_error_set(err, ENOLCK, "board %s: its reservation has changed just now; try again", board->name);
}

static int change(struct br_call *call, struct br_error *err)
{
	struct br_power_order o = { 0 };
	struct br_power_job job = { 0 };
	struct br_board board = { 0 };
	bool wait = true;
	uint64_t id = 0;
	int r = have_power(call, err);

	if (!r)
		r = br_call_board(call, &board, err);
	if (!r)
		r = read_order(call, &o, &wait, err);
	o.board_id = board.id;
	if (!r)
		r = br_call_reservation(call, &board, &o.reservation, err);
	if (!r)
		r = br_power_order(call->api->power, &o, &id, err);
	if (!r)
		r = still_reserved(call, &board, &o, err);
	if (!r)
		r = await(call, id, wait ? PATIENCE_NS : 0, &job, err);
	if (r < 0)
		return r;
	if (!wait)
		call->status = 202;
	else if (job.ended && job.r < 0)
		return br_error_set(err, job.r == -ETIMEDOUT || job.r == -ENOLCK ? -job.r : EIO, "board %s: %s", board.name,
			job.text[0] ? job.text : strerrordesc_np(-job.r));
	return answer_job(call, &job, err);
}

static int show_board(struct br_call *call, struct br_error *err)
{
	struct br_power_order o = { .action = BR_POWER_STATUS };
	struct br_power_job job = { 0 };
	struct br_board board;
	uint64_t read = 0, id;
	int r = have_power(call, err);

	if (!r)
		r = br_call_board(call, &board, err);
	if (!r)
		r = br_call_number(call, "read", 1, &read, err);
	if (!r && read) /* the device is asked, and somebody waits for it */
		r = br_call_may_operate(call, err);
	if (r < 0)
		return r;
	o.board_id = board.id;
	/* what goes wrong with it stands in the answer */
	if (read && !br_power_order(call->api->power, &o, &id, NULL))
		(void)await(call, id, READ_NS, &job, NULL);
	call->json = br_power_board_json(call->api->power, &board);
	return call->json ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

static int show_all(struct br_call *call, struct br_error *err)
{
	int r = have_power(call, err);

	if (r < 0)
		return r;
	call->json = br_power_json(call->api->power);
	return call->json ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

static int show_job(struct br_call *call, struct br_error *err)
{
	struct br_power_job job = { 0 };
	uint64_t id, wait = 0;
	int r = have_power(call, err);

	if (!r && br_parse_u64(call->name, 1, UINT64_MAX, &id) < 0)
		r = br_error_set(err, ENOENT, "an order is a number");
	if (!r)
		r = br_call_number(call, "wait", 60, &wait, err);
	if (!r && wait)
		r = br_call_may_operate(call, err);
	if (!r)
		r = await(call, id, wait * BR_S, &job, err);
	return r < 0 ? r : answer_job(call, &job, err);
}

static int show_key(struct br_call *call, struct br_error *err)
{
	br_cleanup(br_freep) char *key = NULL;
	int r = have_power(call, err);

	if (!r)
		r = br_power_soft_key(call->api->power, &key, err);
	if (r < 0)
		return r;
	call->json = json_pack("{s:s}", "public_key", key);
	return call->json ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

static int find(struct br_call *call, struct br_error *err)
{
	const json_t *names = json_object_get(call->body, "boards");
	int r = have_power(call, err);

	if (!r && names && !json_is_array(names))
		r = br_error_set(err, EINVAL, "'boards' must be an array of names");
	return r < 0 ? r : br_power_find(call->api->power, names, &call->json, err);
}

static int set_aside(struct br_call *call, const char *reason, struct br_error *err)
{
	struct br_board board;
	int r = have_power(call, err);

	if (!r)
		r = br_call_board(call, &board, err);
	if (!r)
		r = br_power_quarantine(call->api->power, &board, reason, err);
	if (r < 0)
		return r;
	call->json = br_power_board_json(call->api->power, &board);
	return call->json ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

static int quarantine(struct br_call *call, struct br_error *err)
{
	const char *reason = json_string_value(json_object_get(call->body, "reason"));

	if (!reason || !*reason)
		return br_error_set(err, EINVAL, "'reason' must say in words why the board is set aside");
	return set_aside(call, reason, err);
}

static int release(struct br_call *call, struct br_error *err)
{
	return set_aside(call, NULL, err);
}

const struct br_route br_api_power[] = {
	{ "POST", "/v1/boards/NAME/power", true, change, .waits = "", .summary = "Switches the board on, off, off and on, or reboots it" },
	{ "GET", "/v1/boards/NAME/power", .run = show_board, .params = { "read" }, .waits = "read", .summary = "How the board is switched, and whether it is on" },
	{ "POST", "/v1/boards/NAME/quarantine", true, quarantine, .summary = "Sets the board aside" },
	{ "DELETE", "/v1/boards/NAME/quarantine", .run = release, .summary = "Takes the board back from quarantine" },
	{ "GET", "/v1/power", .run = show_all, .summary = "Power of all boards, the devices that switch them, and their queues" },
	{ "GET", "/v1/power/jobs/NAME", .run = show_job, .params = { "wait" }, .waits = "wait", .summary = "What became of an order about power" },
	{ "POST", "/v1/power-find", true, find, .unaudited = true, .waits = "", .summary = "Finds the PoE ports of boards by what switches learned" },
	{ "GET", "/v1/power-key", .run = show_key, .scope = BR_SCOPE_OPERATE,
		.summary = "The public ssh key that boards must know for a soft reboot" },
	{ 0 },
};

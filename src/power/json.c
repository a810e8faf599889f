/* SPDX-License-Identifier: Apache-2.0 */
/* Names, and what the API shows of power. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "fleet/event.h"
#include "fleet/quarantine.h"
#include "power/manager.h"

static const char *const actions[BR_POWER_N_ACTIONS] = {
	[BR_POWER_ON] = "on",	    [BR_POWER_OFF] = "off",   [BR_POWER_CYCLE] = "cycle",
	[BR_POWER_RESET] = "reset", [BR_POWER_SOFT] = "soft", [BR_POWER_STATUS] = "status",
};

const char *br_power_action_name(enum br_power_action action)
{
	return actions[action];
}

int br_power_action_parse(const char *name, enum br_power_action *ret)
{
	for (size_t i = 0; i < BR_POWER_N_ACTIONS; i++)
		if (!strcmp(actions[i], name)) {
			*ret = (enum br_power_action)i;
			return 0;
		}
	return -EINVAL;
}

const char *br_power_state_name(enum br_power_state state)
{
	return state == BR_POWER_IS_ON ? "on" : state == BR_POWER_IS_OFF ? "off" : "unknown";
}

static json_t *time_json(uint64_t wall_ns)
{
	time_t s = (time_t)(wall_ns / BR_S);
	char text[40];
	struct tm tm;

	if (!wall_ns || !gmtime_r(&s, &tm) || !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
		return json_null();
	return json_string(text);
}

json_t *br_power_job_json(struct br_power *p, const struct br_power_job *job)
{
	struct br_board board;
	bool there = !br_board_by_id(p->opt.fleet, job->board_id, &board);
	const char *state = !job->ended ? "running" : job->r < 0 ? "failed" : "done";
	char vis[sizeof(job->text)];

	if (!job->ended && !strcmp(job->step, "queued"))
		state = "queued";
	br_vis(vis, sizeof(vis), job->text, strlen(job->text));
	return json_pack("{s:I, s:s*, s:s, s:s, s:s, s:s, s:b, s:b, s:s*, s:s*, s:s*, s:o, s:o}", "job", (json_int_t)job->id, "board",
		there ? board.name : NULL, "action", actions[job->action], "state", state, "step", job->step, "power",
		br_power_state_name(job->state), "verified", job->verified, "was_on", job->was_on, "rung", job->rung[0] ? job->rung : NULL, "text",
		vis[0] ? vis : NULL, "error", job->ended && job->r < 0 ? strerrorname_np(-job->r) : NULL, "queued_at",
		time_json(job->queued_wall_ns), "ended_at", time_json(job->ended_wall_ns));
}

static json_t *quarantine_json(const struct br_quarantine *q)
{
	if (!q->since)
		return json_null();
	return json_pack("{s:o, s:s}", "since", time_json((uint64_t)q->since * BR_S), "reason", q->reason);
}

json_t *br_power_board_json(struct br_power *p, const struct br_board *board)
{
	char uri[BR_POWER_URI_MAX + 1] = "", shown[BR_POWER_URI_MAX * 4], device[BR_POWER_DEVICE_MAX] = "";
	struct br_power_known known = { 0 }, *k;
	struct br_quarantine q = { 0 };
	struct br_power_uri parsed = { 0 };
	struct br_error err = BR_ERROR_NULL;
	const struct br_power_job *job;
	json_t *job_json = NULL;
	struct br_power_job copy;
	bool has_job = false;
	int r = br_power_uri_of(p, board, uri, &err);

	if (!r)
		r = br_power_uri_parse(uri, &parsed, &err);
	if (!r)
		br_power_uri_device(device, &parsed);
	(void)br_quarantine_get(p->opt.fleet, board->id, &q); /* a database that fails says so elsewhere */
	pthread_mutex_lock(&p->lock);
	k = br_power_known_find(&p->table, board->id);
	if (k)
		known = *k;
	job = br_power_queue_job_of(p->queue, board->id);
	if (job) {
		copy = *job;
		has_job = true;
	}
	pthread_mutex_unlock(&p->lock);
	if (has_job)
		job_json = br_power_job_json(p, &copy);
	return json_pack("{s:s, s:s*, s:s*, s:s*, s:s, s:s*, s:o, s:s*, s:i, s:o, s:o}", "board", board->name, "uri",
		uri[0] ? br_power_uri_public(shown, sizeof(shown), uri) : NULL, "driver", r < 0 ? NULL : br_power_scheme_name(parsed.scheme),
		"device", device[0] ? device : NULL, "power", br_power_state_name(known.state), "detail", known.detail[0] ? known.detail : NULL,
		"read_at", time_json(known.read_wall_ns), "error", r < 0 ? err.text : NULL, "failures", (int)q.failures, "quarantine",
		quarantine_json(&q), "job", job_json ? job_json : json_null());
}

static json_t *device_json(const struct br_power_device *d, uint64_t now_ns)
{
	char vis[sizeof(d->trouble) * 2];

	br_vis(vis, sizeof(vis), d->trouble, strlen(d->trouble));
	return json_pack("{s:s, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:s*}", "device", d->name, "running", (int)d->running, "waiting",
		(int)d->waiting, "at_once", (int)d->at_once, "delay_ms", (json_int_t)(d->delay_ns / BR_MS), "next_on_ms",
		(json_int_t)(d->next_on_ns > now_ns ? (d->next_on_ns - now_ns) / BR_MS : 0), "asked", (json_int_t)d->asked, "failed",
		(json_int_t)d->failed, "trouble", vis[0] ? vis : NULL);
}

struct listing {
	struct br_power *power;
	json_t *boards;
};

static int add_board(void *ctx, const struct br_board *board)
{
	struct listing *l = ctx;

	return json_array_append_new(l->boards, br_power_board_json(l->power, board)) < 0 ? -ENOMEM : 0;
}

json_t *br_power_json(struct br_power *p)
{
	struct listing l = { p, json_array() };
	json_t *devices = json_array();

	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < br_power_queue_devices(p->queue); i++)
		json_array_append_new(devices, device_json(br_power_queue_device(p->queue, i), br_now_ns()));
	pthread_mutex_unlock(&p->lock);
	if (br_board_list(p->opt.fleet, add_board, &l) < 0) {
		json_decref(devices);
		json_decref(l.boards);
		return NULL;
	}
	return json_pack("{s:o, s:o}", "boards", l.boards, "devices", devices);
}

static int quarantine_locked(struct br_power *p, const struct br_board *board, const char *reason, struct br_error *err)
{
	struct br_power_known *k;
	struct br_quarantine q;
	char was[sizeof(q.reason)];
	int r = br_quarantine_get(p->opt.fleet, board->id, &q);

	if (r < 0)
		return br_error_set(err, -r, "board %s: %s", board->name, strerrordesc_np(-r));
	if (reason && br_strcpy(q.reason, sizeof(q.reason), reason) < 0)
		return br_error_set(err, EINVAL, "the reason is too long: at most %zu letters", sizeof(q.reason) - 1);
	if (!reason && !q.since)
		return br_error_set(err, EALREADY, "board %s is not in quarantine", board->name);
	snprintf(was, sizeof(was), "%s", q.reason);
	if (!reason)
		q = (struct br_quarantine){ .board_id = board->id };
	else if (!q.since)
		q.since = (int64_t)(br_wall_ns() / BR_S);
	r = br_quarantine_put(p->opt.fleet, &q, err);
	if (r < 0)
		return r;
	pthread_mutex_lock(&p->lock);
	k = br_power_known_find(&p->table, board->id);
	if (k)
		k->failures = q.failures;
	pthread_mutex_unlock(&p->lock);
	if (reason)
		br_event_emit(p->opt.fleet, board->id, 0, BR_EV_BOARD_QUARANTINED, json_pack("{s:s, s:b}", "reason", reason, "by_itself", false));
	else
		br_event_emit(p->opt.fleet, board->id, 0, BR_EV_BOARD_RELEASED, json_pack("{s:s}", "reason", was));
	return 0;
}

int br_power_quarantine(struct br_power *p, const struct br_board *board, const char *reason, struct br_error *err)
{
	int r;

	pthread_mutex_lock(&p->quarantine_lock);
	r = quarantine_locked(p, board, reason, err);
	pthread_mutex_unlock(&p->quarantine_lock);
	return r;
}

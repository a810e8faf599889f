/* SPDX-License-Identifier: Apache-2.0 */
/* The threads that serve the queue, and what the fleet's events mean for it. */
#include "power/manager.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "base/thread.h"
#include "fleet/event.h"
#include "fleet/quarantine.h"

#define TICK_NS BR_S
#define VERIFY_NS (5 * BR_S)

/* ---- how a board is switched ---- */

int br_power_uri_of(const struct br_power *power, const struct br_board *board, char out[static BR_POWER_URI_MAX + 1],
	struct br_error *err)
{
	int r;

	if (board->power[0])
		return br_strcpy(out, BR_POWER_URI_MAX + 1, board->power);
	r = br_power_conf_uri(power->opt.conf, board->name, out, BR_POWER_URI_MAX + 1);
	if (!r)
		return 0;
	if (r != -ENOENT)
		return br_error_set(err, EINVAL, "board %s: the URI that bramble.conf makes for it is wrong", board->name);
	if (power->command)
		return br_strcpy(out, BR_POWER_URI_MAX + 1, "command:");
	return br_error_set(err, EOPNOTSUPP, "board %s: nobody told how its power is switched: 'bramble board edit %s --power URI', or a "
		"section [switch NAME] or [power NAME] with 'boards' in bramble.conf(5), or power-command there", board->name, board->name);
}

/* The section that a URI names, or that made it. */
static const struct br_power_section *section_of(const struct br_power *power, const struct br_board *board,
	const struct br_power_uri *uri)
{
	const struct br_power_conf *conf = power->opt.conf;
	const struct br_power_section *s = br_power_conf_find(conf, uri->host);
	bool snmp = uri->scheme == BR_POWER_SNMP || uri->scheme == BR_POWER_SNMPV3;
	bool named = snmp || uri->scheme == BR_POWER_COMMAND || (uri->scheme == BR_POWER_HTTP && !uri->url[0]);

	if (named)
		return s && s->is_switch == snmp ? s : NULL;
	for (size_t i = 0; !board->power[0] && i < conf->n; i++)
		for (size_t k = 0; k < conf->sections[i].n_boards; k++)
			if (!strcmp(conf->sections[i].boards[k], board->name))
				return &conf->sections[i];
	return NULL;
}

int br_power_way(const struct br_power *power, const struct br_board *board, struct br_power_way *w, struct br_error *err)
{
	int r;

	w->board = *board;
	w->target = (struct br_power_target){ 0 };
	r = br_power_uri_of(power, board, w->uri, err);
	if (!r)
		r = br_power_uri_parse(w->uri, &w->target.uri, err);
	if (r < 0)
		return r;
	br_mac_format(w->mac, board->mac);
	snprintf(w->serial, sizeof(w->serial), "%llx", (unsigned long long)board->serial);
	w->target.section = section_of(power, board, &w->target.uri);
	w->limits = br_power_conf_limits(power->opt.conf, w->target.section, w->target.uri.scheme);
	w->target.command = power->command;
	w->target.board = w->board.name;
	w->target.mac = w->mac;
	w->target.serial = w->serial;
	w->target.notes = w->board.notes;
	w->target.timeout_ns = w->limits.timeout_ns;
	w->target.stop = &power->stopping;
	return 0;
}

struct last_of {
	bool found, up;
};

static int take_last(void *ctx, const struct br_event *ev)
{
	struct last_of *l = ctx;

	if (!strcmp(ev->type, BR_EV_BOARD_UP) || !strcmp(ev->type, BR_EV_BOOT_START) || !strcmp(ev->type, BR_EV_POWER_OFF)) {
		l->found = true;
		l->up = !strcmp(ev->type, BR_EV_BOARD_UP);
	}
	return 0;
}

/* Of a board that did nothing in our time: whether its last boot came to its end. */
static bool was_up(struct br_power *p, int64_t board_id)
{
	const struct br_event_filter filter = { .board_id = board_id, .limit = 200 };
	struct last_of last = { 0 };

	return br_event_query(p->opt.fleet, &filter, take_last, &last, NULL) >= 0 && last.found && last.up;
}

/* Whether a board of this road asks us when it boots. */
static bool boots_here(const struct br_board *board)
{
	return strcmp(board->road, "local") != 0;
}

static void traits_of(const struct br_power *power, const struct br_power_way *w, bool is_up, struct br_power_traits *ret)
{
	*ret = (struct br_power_traits){
		.can_status = br_power_driver_can_status(&w->target),
		.can_reset = br_power_driver_can_reset(&w->target),
		.is_up = is_up,
		.at_once = w->limits.at_once,
		.delay_ns = w->limits.delay_ns,
		.off_time_ns = w->limits.off_time_ns,
		.verify_ns = VERIFY_NS,
		.boot_ns = br_power_conf_boot_ns(power->opt.conf),
	};
	br_power_uri_device(ret->device, &w->target.uri);
}

/* ---- what is told of orders that ended ---- */

static void on_ended(void *ctx, const struct br_power_job *job)
{
	struct br_power *p = ctx;

	p->done[job->action] += job->r >= 0;
	p->failed[job->action] += job->r < 0;
	if (br_array_reserve(&p->ended, &p->cap_ended, p->n_ended + 1, sizeof(p->ended[0])) < 0)
		return; /* who waits for it sees it all the same */
	p->ended[p->n_ended++] = *job;
}

static void emit(struct br_power *p, const struct br_power_job *job)
{
	static const char *const types[BR_POWER_N_ACTIONS] = { [BR_POWER_ON] = BR_EV_POWER_ON, [BR_POWER_OFF] = BR_EV_POWER_OFF,
		[BR_POWER_CYCLE] = BR_EV_POWER_CYCLED, [BR_POWER_RESET] = BR_EV_POWER_CYCLED, [BR_POWER_SOFT] = BR_EV_POWER_CYCLED };
	const char *action = br_power_action_name(job->action);

	if (job->action == BR_POWER_STATUS)
		return;
	if (job->r < 0)
		br_event_emit(p->opt.fleet, job->board_id, 0, BR_EV_POWER_FAILED,
			json_pack("{s:s, s:s}", "action", action, "reason", job->text[0] ? job->text : strerrordesc_np(-job->r)));
	else
		br_event_emit(p->opt.fleet, job->board_id, 0, types[job->action], json_pack("{s:s, s:b, s:s*, s:s*}", "action", action,
			"verified", job->verified, "rung", job->rung[0] && job->action != BR_POWER_ON ? job->rung : NULL, "detail",
			job->text[0] ? job->text : NULL));
}

static void count_failure_locked(struct br_power *p, int64_t board_id, const char *reason)
{
	unsigned limit = br_power_conf_quarantine_after(p->opt.conf);
	struct br_quarantine q;
	struct br_error err = BR_ERROR_NULL;
	struct br_power_known *k;

	if (br_quarantine_get(p->opt.fleet, board_id, &q) < 0)
		return;
	q.failures++;
	if (!q.since && limit && q.failures >= limit) {
		q.since = (int64_t)(br_wall_ns() / BR_S);
		snprintf(q.reason, sizeof(q.reason), "failed %u times in a row; last: %.300s", q.failures, reason);
		br_event_emit(p->opt.fleet, board_id, 0, BR_EV_BOARD_QUARANTINED, json_pack("{s:s, s:b}", "reason", q.reason, "by_itself", true));
	}
	if (br_quarantine_put(p->opt.fleet, &q, &err) < 0)
		br_log_error("%s", err.text);
	pthread_mutex_lock(&p->lock);
	k = br_power_known(&p->table, board_id);
	if (k)
		k->failures = q.failures;
	pthread_mutex_unlock(&p->lock);
}

/* One more failure of a board. Without the lock. */
static void count_failure(struct br_power *p, int64_t board_id, const char *reason)
{
	pthread_mutex_lock(&p->quarantine_lock);
	count_failure_locked(p, board_id, reason);
	pthread_mutex_unlock(&p->quarantine_lock);
}

/* What ended since the last time is told, without the lock. */
static void tell_ended(struct br_power *p)
{
	struct br_power_job *list;
	size_t n;

	pthread_mutex_lock(&p->lock);
	list = p->ended;
	n = p->n_ended;
	p->ended = NULL;
	p->n_ended = p->cap_ended = 0;
	pthread_mutex_unlock(&p->lock);
	for (size_t i = 0; i < n; i++) {
		const struct br_power_job *job = &list[i];
		struct br_power_known *k;
		struct br_board board;
		int failed = 0;
		bool boots = !br_board_by_id(p->opt.fleet, job->board_id, &board) && boots_here(&board);

		pthread_mutex_lock(&p->lock);
		k = br_power_known(&p->table, job->board_id);
		if (k)
			failed = br_power_known_ended(k, job, boots, br_power_conf_boot_ns(p->opt.conf), br_now_ns());
		pthread_mutex_unlock(&p->lock);
		emit(p, job);
		if (failed)
			count_failure(p, job->board_id, job->text);
	}
	free(list);
}

/* ---- what boards do ---- */

/* Under a lock of the fleet's: it only notes. */
static void on_event(void *ctx, const struct br_event *ev)
{
	static const struct {
		const char *type;
		bool up;
	} types[] = { { BR_EV_BOARD_UP, true }, { BR_EV_BOOT_START, false }, { BR_EV_USB_FOUND, false } };
	struct br_power *p = ctx;

	for (size_t i = 0; ev->board_id && i < BR_ARRAY_SIZE(types); i++) {
		if (strcmp(types[i].type, ev->type) != 0)
			continue;
		pthread_mutex_lock(&p->news_lock);
		if (p->n_news < BR_POWER_NEWS_MAX)
			p->news[p->n_news++] = (struct br_power_news){ ev->board_id, types[i].up };
		pthread_mutex_unlock(&p->news_lock);
		pthread_cond_signal(&p->work);
	}
}

/* A board that came up has no failures any more. Without the lock. */
static void forgive(struct br_power *p, int64_t board_id)
{
	struct br_quarantine q;
	struct br_error err = BR_ERROR_NULL;

	pthread_mutex_lock(&p->quarantine_lock);
	if (br_quarantine_get(p->opt.fleet, board_id, &q) >= 0 && q.failures) {
		q.failures = 0;
		if (br_quarantine_put(p->opt.fleet, &q, &err) < 0)
			br_log_error("%s", err.text);
	}
	pthread_mutex_unlock(&p->quarantine_lock);
}

void br_power_saw(struct br_power *p, int64_t board_id, bool up)
{
	struct br_power_known *k;

	pthread_mutex_lock(&p->lock);
	k = br_power_known(&p->table, board_id);
	if (k)
		br_power_known_saw(k, up, br_wall_ns(), br_now_ns());
	br_power_queue_saw(p->queue, board_id, up, br_wall_ns());
	pthread_cond_broadcast(&p->ended_cond);
	pthread_mutex_unlock(&p->lock);
	if (up)
		forgive(p, board_id);
}

static void take_news(struct br_power *p)
{
	struct br_power_news *news = NULL;
	size_t n;

	pthread_mutex_lock(&p->news_lock);
	n = p->n_news;
	if (n)
		news = malloc(n * sizeof(*news));
	if (news) {
		memcpy(news, p->news, n * sizeof(*news));
		p->n_news = 0;
	}
	pthread_mutex_unlock(&p->news_lock);
	for (size_t i = 0; news && i < n; i++)
		br_power_saw(p, news[i].board_id, news[i].up);
	free(news);
}

/* ---- boards looked at once a second: those that owe a boot, those that nobody wants ---- */

static void save_power(struct br_power *p, int64_t board_id)
{
	const struct br_power_order order = { .board_id = board_id, .action = BR_POWER_OFF, .by_itself = true };
	struct br_error err = BR_ERROR_NULL;
	uint64_t job;

	if (br_power_order(p, &order, &job, &err) < 0)
		br_log_warning("power saving: %s", err.text);
	else if (p->opt.reserved && p->opt.reserved(p->opt.ctx, board_id)) /* since we asked */
		br_power_reserved(p, board_id, INT64_MAX);
}

/* Ids of the boards for which it is time; 0 and NULL when memory is out: then in a second. */
static size_t overdue(struct br_power *p, bool idle, int64_t **ret)
{
	uint64_t now = br_now_ns();
	size_t n = 0;

	*ret = p->table.n ? calloc(p->table.n, sizeof(**ret)) : NULL;
	for (size_t i = 0; *ret && i < p->table.n; i++) {
		struct br_power_known *k = &p->table.v[i];
		bool busy = br_power_queue_busy(p->queue, k->board_id);

		if (!busy && (idle ? br_power_known_idle(k, p->opt.conf->idle_off_ns, now) : br_power_known_late(k, now)))
			(*ret)[n++] = k->board_id;
	}
	return n;
}

static void keep_wanted(struct br_power *p, int64_t board_id)
{
	struct br_power_known *k;

	pthread_mutex_lock(&p->lock);
	k = br_power_known_find(&p->table, board_id);
	if (k)
		k->wanted_ns = br_now_ns();
	pthread_mutex_unlock(&p->lock);
}

static void look_at_boards(struct br_power *p)
{
	int64_t *late, *idle;
	size_t n_late, n_idle;
	char words[160], took[24];

	pthread_mutex_lock(&p->lock);
	n_late = overdue(p, false, &late);
	n_idle = overdue(p, true, &idle);
	pthread_mutex_unlock(&p->lock);
	snprintf(words, sizeof(words), "switched on, and there was no sign of a boot within %s; see 'bramble why'",
		br_format_duration(took, sizeof(took), br_power_conf_boot_ns(p->opt.conf)));
	for (size_t i = 0; i < n_late; i++) {
		br_event_emit(p->opt.fleet, late[i], 0, BR_EV_POWER_FAILED, json_pack("{s:s, s:s}", "action", "boot", "reason", words));
		count_failure(p, late[i], words);
	}
	for (size_t i = 0; i < n_idle; i++) {
		if (p->opt.reserved && p->opt.reserved(p->opt.ctx, idle[i]))
			keep_wanted(p, idle[i]);
		else
			save_power(p, idle[i]);
	}
	free(late);
	free(idle);
}

/* ---- the threads ---- */

static void perform(struct br_power *p, const struct br_power_task *task)
{
	struct br_power_reading reading = { 0 };
	struct br_error err = BR_ERROR_NULL;
	struct br_power_answer answer = { 0 };
	struct br_power_way *way = calloc(1, sizeof(*way));
	struct br_board board;
	int r = way ? br_board_by_id(p->opt.fleet, task->board_id, &board) : -ENOMEM;

	if (r < 0)
		br_error_set(&err, -r, "the board: %s", r == -ENOENT ? "it was removed meanwhile" : strerrordesc_np(-r));
	if (!r)
		r = br_power_way(p, &board, way, &err);
	if (!r && task->op == BR_POWER_OP_SOFT)
		r = br_power_soft(p, &board, 20 * BR_S, &err);
	else if (!r && task->op == BR_POWER_OP_GET)
		r = br_power_driver_can_status(&way->target) ?
			    br_power_driver_of(way->target.uri.scheme)->get(&way->target, &reading, &err) :
			    0;
	else if (!r)
		r = br_power_driver_of(way->target.uri.scheme)->set(&way->target, task->op, &err);
	if (!r && task->op == BR_POWER_OP_GET && !br_power_driver_can_status(&way->target))
		snprintf(reading.detail, sizeof(reading.detail), "this kind of device does not tell its state");
	if (r < 0 && atomic_load(&p->stopping))
		r = br_error_set(&err, ECANCELED, "bramble stops");
	free(way);
	answer = (struct br_power_answer){ .r = r < 0 ? r : 0, .words = br_error_text(&err, r), .state = reading.state,
		.detail = reading.detail };
	if (r >= 0)
		answer.words = "";
	pthread_mutex_lock(&p->lock);
	br_power_queue_done(p->queue, task->job, &answer, br_wall_ns(), br_now_ns());
	pthread_cond_broadcast(&p->ended_cond);
	pthread_cond_broadcast(&p->work); /* its device has room again */
	pthread_mutex_unlock(&p->lock);
}

static void *worker(void *arg);

/* With the lock: somebody must be there for the next task while this thread is at its own. */
static void more_hands(struct br_power *p)
{
	if (p->n_idle || p->n_threads == BR_POWER_THREADS_MAX || atomic_load(&p->stopping))
		return;
	if (!br_thread_start(&p->threads[p->n_threads], worker, p))
		p->n_threads++;
}

static void wait_until(struct br_power *p, uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / BR_S), .tv_nsec = (long)(ns % BR_S) };

	p->n_idle++;
	pthread_cond_timedwait(&p->work, &p->lock, &t);
	p->n_idle--;
}

static void *worker(void *arg)
{
	struct br_power *p = arg;

	while (!atomic_load(&p->stopping)) {
		struct br_power_task task;
		uint64_t now, next = UINT64_MAX;
		bool tick = false;
		int r;

		take_news(p);
		tell_ended(p);
		pthread_mutex_lock(&p->lock);
		now = br_now_ns();
		r = br_power_queue_next(p->queue, now, br_wall_ns(), &task, &next);
		if (r)
			more_hands(p);
		if (!r && now >= p->tick_ns) {
			p->tick_ns = now + TICK_NS;
			tick = true;
		}
		if (p->n_ended)
			pthread_cond_broadcast(&p->ended_cond);
		else if (!r && !tick && !atomic_load(&p->stopping))
			wait_until(p, next < p->tick_ns ? next : p->tick_ns);
		pthread_mutex_unlock(&p->lock);
		if (r)
			perform(p, &task);
		if (tick)
			look_at_boards(p);
	}
	return NULL;
}

/* ---- the doors ---- */

static void make_cond(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

int br_power_new(const struct br_power_options *opt, struct br_power **ret, struct br_error *err)
{
	struct br_power *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return br_error_set(err, ENOMEM, "out of memory");
	p->opt = *opt;
	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&p->news_lock, NULL);
	pthread_mutex_init(&p->quarantine_lock, NULL);
	make_cond(&p->work);
	make_cond(&p->ended_cond);
	p->queue = br_power_queue_new(on_ended, p);
	p->command = opt->command ? strdup(opt->command) : NULL;
	p->state = strdup(opt->state ?: "");
	if (!p->queue || !p->state || (opt->command && !p->command)) {
		br_power_free(p);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	p->listener = br_event_listen(opt->fleet, on_event, p);
	p->metrics = br_metrics_add(br_power_metrics, p);
	pthread_mutex_lock(&p->lock);
	r = br_thread_start(&p->threads[0], worker, p);
	p->n_threads = !r;
	pthread_mutex_unlock(&p->lock);
	if (r) {
		br_power_free(p);
		return br_error_set(err, r, "power: cannot start a thread: %s", strerrordesc_np(r));
	}
	*ret = p;
	return 0;
}

void br_power_free(struct br_power *p)
{
	if (!p)
		return;
	br_metrics_remove(p->metrics);
	if (p->listener)
		br_event_unlisten(p->opt.fleet, p->listener);
	atomic_store(&p->stopping, true);
	pthread_mutex_lock(&p->lock);
	pthread_cond_broadcast(&p->work);
	pthread_cond_broadcast(&p->ended_cond);
	pthread_mutex_unlock(&p->lock);
	/* none is started any more: more_hands() looks at 'stopping' under the lock */
	for (size_t i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	br_power_queue_free(p->queue);
	br_power_table_done(&p->table);
	free(p->ended);
	free(p->command);
	free(p->state);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->ended_cond);
	pthread_mutex_destroy(&p->lock);
	pthread_mutex_destroy(&p->news_lock);
	pthread_mutex_destroy(&p->quarantine_lock);
	free(p);
}

static int may_switch(struct br_power *p, const struct br_board *board, const struct br_power_order *o, struct br_error *err)
{
	struct br_quarantine q;

	if (o->action == BR_POWER_STATUS || o->action == BR_POWER_OFF || o->force)
		return 0;
	if (br_quarantine_get(p->opt.fleet, board->id, &q) < 0 || !q.since)
		return 0;
	return br_error_set(err, EPERM, "board %s is in quarantine: %.300s; 'bramble power release %s' ends that, --force passes it over",
		board->name, q.reason, board->name);
}

int br_power_order(struct br_power *p, const struct br_power_order *order, uint64_t *ret_job, struct br_error *err)
{
	struct br_power_way *way;
	struct br_power_traits traits;
	struct br_power_known *k;
	struct br_board board;
	int r = br_board_by_id(p->opt.fleet, order->board_id, &board);

	if (r < 0)
		return br_error_set(err, -r, "there is no such board");
	r = may_switch(p, &board, order, err);
	way = r < 0 ? NULL : malloc(sizeof(*way));
	if (!way)
		return r < 0 ? r : br_error_set(err, ENOMEM, "out of memory");
	r = br_power_way(p, &board, way, err);
	if (!r) {
		bool up = order->until_up && was_up(p, board.id);

		pthread_mutex_lock(&p->lock);
		k = br_power_known(&p->table, board.id);
		if (k && !order->by_itself)
			k->wanted_ns = br_now_ns();
		traits_of(p, way, up, &traits);
		r = br_power_queue_add(p->queue, order, &traits, br_wall_ns(), br_now_ns(), ret_job);
		pthread_cond_broadcast(&p->work);
		pthread_mutex_unlock(&p->lock);
		if (r == -EBUSY)
			br_error_set(err, EBUSY, "board %s: too many orders about power wait already", board.name);
		else if (r < 0)
			br_error_set(err, -r, "out of memory");
	}
	free(way);
	return r < 0 ? r : 0;
}

void br_power_reserved(struct br_power *p, int64_t board_id, int64_t number)
{
	pthread_mutex_lock(&p->lock);
	br_power_queue_reserved(p->queue, board_id, number, br_wall_ns());
	pthread_cond_broadcast(&p->ended_cond);
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
}

int br_power_wait(struct br_power *p, uint64_t job, uint64_t timeout_ns, struct br_power_job *ret)
{
	uint64_t end = br_now_ns() + timeout_ns;
	struct timespec t = { .tv_sec = (time_t)(end / BR_S), .tv_nsec = (long)(end % BR_S) };
	const struct br_power_job *j;
	int code = 0;

	pthread_mutex_lock(&p->lock);
	while ((j = br_power_queue_job(p->queue, job)) && !j->ended && !code && !atomic_load(&p->stopping))
		code = pthread_cond_timedwait(&p->ended_cond, &p->lock, &t);
	if (j)
		*ret = *j;
	pthread_mutex_unlock(&p->lock);
	return j ? 0 : -ENOENT;
}

int br_power_do(struct br_power *p, const struct br_power_order *order, uint64_t timeout_ns, struct br_power_job *ret,
	struct br_error *err)
{
	struct br_power_job job = { 0 };
	uint64_t id;
	int r = br_power_order(p, order, &id, err);

	if (!r)
		r = br_power_wait(p, id, timeout_ns, &job);
	if (r < 0)
		return r;
	*ret = job;
	if (!job.ended)
		return br_error_set(err, ETIMEDOUT, "it goes on: its order is number %llu", (unsigned long long)id);
	return job.r < 0 ? br_error_set(err, -job.r, "%s", job.text) : 0;
}

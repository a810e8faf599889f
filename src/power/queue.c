/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders as chains of steps: a table says what each step asks of the device, and after_*() what comes then.
 *
 *   on:     look, on, check, [boot]          off:    off, check
 *   cycle:  off, check, pause, on, check, [boot]
 *   ladder: soft, wait for a boot, and if none comes, the cycle
 */
#include "power/queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "fleet/reservation.h"

#define KEPT 2000	  /* ended orders that can still be asked for */
#define OPEN_MAX 20000
#define CHECK_AGAIN_NS (500 * BR_MS)
#define ON_TRIES 3	  /* after an off: a board that was on is not to stay dark for one lost packet */
#define ON_AGAIN_NS (2 * BR_S)

enum step {
	LOOK, /* is it on already? */
	SOFT,
	SOFT_WATCH,
	OFF,
	OFF_CHECK,
	PAUSE,
	ON,
	ON_CHECK,
	RESET,
	WATCH,
	GET,
	END,
};

static const struct {
	const char *name;
	bool asks;   /* op of the device */
	bool switches_on;
	enum br_power_op op;
} steps[] = {
	[LOOK] = { "status", true, false, BR_POWER_OP_GET },
	[SOFT] = { "soft", true, false, BR_POWER_OP_SOFT },
	[SOFT_WATCH] = { "boot", false, false, 0 },
	[OFF] = { "off", true, false, BR_POWER_OP_OFF },
	[OFF_CHECK] = { "check", true, false, BR_POWER_OP_GET },
	[PAUSE] = { "pause", false, false, 0 },
	[ON] = { "on", true, true, BR_POWER_OP_ON },
	[ON_CHECK] = { "check", true, false, BR_POWER_OP_GET },
	[RESET] = { "reset", true, true, BR_POWER_OP_RESET },
	[WATCH] = { "boot", false, false, 0 },
	[GET] = { "status", true, false, BR_POWER_OP_GET },
	[END] = { "done", false, false, 0 },
};

struct job {
	struct br_power_job pub;
	struct br_power_traits traits;
	bool soft_first, until_up;
	uint64_t up_ns;
	int64_t reservation;
	int over; /* why it ends as soon as the board is not dark: a negative errno, 0: it does not */
	enum step step;
	bool running;	   /* a task of it is out */
	bool booted, up;   /* seen since it was switched */
	unsigned tries;
	uint64_t after;	   /* the number of the board's order before this; it waits for its end. 0: none */
	uint64_t at_ns;	   /* not before */
	uint64_t end_ns;   /* of a check or a watch */
	size_t device;
	char soft_failed[160]; /* of a ladder: why its first rung did not hold */
};

struct br_power_queue {
	struct job **jobs; /* by number, the oldest first */
	size_t n, cap, n_open;
	struct br_power_device *devices;
	size_t n_devices, cap_devices;
	uint64_t last_id;
	void (*ended)(void *ctx, const struct br_power_job *job);
	void *ctx;
};

struct br_power_queue *br_power_queue_new(void (*ended)(void *ctx, const struct br_power_job *job), void *ctx)
{
	struct br_power_queue *q = calloc(1, sizeof(*q));

	if (q) {
		q->ended = ended;
		q->ctx = ctx;
	}
	return q;
}

void br_power_queue_free(struct br_power_queue *q)
{
	if (!q)
		return;
	for (size_t i = 0; i < q->n; i++)
		free(q->jobs[i]);
	free(q->jobs);
	free(q->devices);
	free(q);
}

static struct job *find(const struct br_power_queue *q, uint64_t id)
{
	size_t lo = 0, hi = q->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (q->jobs[mid]->pub.id == id)
			return q->jobs[mid];
		if (q->jobs[mid]->pub.id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

const struct br_power_job *br_power_queue_job(const struct br_power_queue *q, uint64_t id)
{
	const struct job *j = find(q, id);

	return j ? &j->pub : NULL;
}

static struct job *newest_of(const struct br_power_queue *q, int64_t board_id)
{
	for (size_t i = q->n; i-- > 0;)
		if (q->jobs[i]->pub.board_id == board_id)
			return q->jobs[i];
	return NULL;
}

const struct br_power_job *br_power_queue_job_of(const struct br_power_queue *q, int64_t board_id)
{
	const struct job *j = newest_of(q, board_id);

	return j ? &j->pub : NULL;
}

bool br_power_queue_busy(const struct br_power_queue *q, int64_t board_id)
{
	const struct job *j = newest_of(q, board_id);

	return j && !j->pub.ended;
}

size_t br_power_queue_devices(const struct br_power_queue *q)
{
	return q->n_devices;
}

const struct br_power_device *br_power_queue_device(struct br_power_queue *q, size_t i)
{
	struct br_power_device *d = &q->devices[i];

	d->waiting = 0;
	for (size_t k = 0; k < q->n; k++)
		d->waiting += q->jobs[k]->device == i && !q->jobs[k]->pub.ended && !q->jobs[k]->running && steps[q->jobs[k]->step].asks;
	return d;
}

static int device_of(struct br_power_queue *q, const struct br_power_traits *t, size_t *ret)
{
	size_t i = 0;

	while (i < q->n_devices && strcmp(q->devices[i].name, t->device) != 0)
		i++;
	if (i == q->n_devices) {
		if (br_array_reserve(&q->devices, &q->cap_devices, q->n_devices + 1, sizeof(q->devices[0])) < 0)
			return -ENOMEM;
		q->devices[q->n_devices++] = (struct br_power_device){ 0 };
		(void)br_strcpy(q->devices[i].name, sizeof(q->devices[i].name), t->device); /* of the same size */
	}
	q->devices[i].at_once = t->at_once ?: 1;
	q->devices[i].delay_ns = t->delay_ns;
	*ret = i;
	return 0;
}

/* ---- from step to step ---- */

static void enter(struct job *j, enum step step, uint64_t now_ns)
{
	j->step = step;
	j->at_ns = now_ns;
	if (step == OFF_CHECK || step == ON_CHECK)
		j->end_ns = now_ns + j->traits.verify_ns;
	if (step == PAUSE)
		j->at_ns = now_ns + j->traits.off_time_ns;
	if (step == SOFT || step == OFF || step == LOOK || step == RESET)
		j->booted = j->up = false;
	snprintf(j->pub.step, sizeof(j->pub.step), "%s", steps[step].name);
}

static void end(struct br_power_queue *q, struct job *j, int r, uint64_t wall_ns)
{
	if (j->soft_failed[0]) {
		char hard[200];

		snprintf(hard, sizeof(hard), "%.190s", j->pub.text);
		snprintf(j->pub.text, sizeof(j->pub.text), "%s; then its power was switched%s%s", j->soft_failed, *hard ? ": " : "", hard);
	}
	j->step = END;
	j->pub.ended = true;
	j->pub.r = r;
	j->pub.ended_wall_ns = wall_ns;
	snprintf(j->pub.step, sizeof(j->pub.step), "%s", steps[END].name);
	q->n_open--;
	q->ended(q->ctx, &j->pub);
}

/* The order's words; what they are made of is not these themselves. */
#define say(j, ...) snprintf((j)->pub.text, sizeof((j)->pub.text), __VA_ARGS__)

/* It is not to go on: nothing more is switched but what makes a board that is dark go on. */
static void end_over(struct br_power_queue *q, struct job *j, uint64_t wall_ns)
{
	say(j, "%s", j->over == -ENOLCK ? "the reservation under which it was ordered does not have the board (any more)" :
					  "the board was to be switched again meanwhile");
	end(q, j, j->over, wall_ns);
}

static bool watch_ends(const struct job *j)
{
	return j->until_up ? j->up : j->booted;
}

static void rung(struct job *j, const char *name)
{
	snprintf(j->pub.rung, sizeof(j->pub.rung), "%s", name);
}

/* Switched, as far as the device can tell. */
static void after_on(struct br_power_queue *q, struct job *j, uint64_t wall_ns, uint64_t now_ns)
{
	bool watches = j->until_up || j->soft_first;

	rung(j, "hard");
	if (j->over && watches && !watch_ends(j)) {
		end_over(q, j, wall_ns);
		return;
	}
	if (!watches || watch_ends(j)) {
		end(q, j, 0, wall_ns);
		return;
	}
	enter(j, WATCH, now_ns);
	j->end_ns = now_ns + (j->until_up && j->up_ns ? j->up_ns : j->traits.boot_ns);
}

static void after_off(struct br_power_queue *q, struct job *j, uint64_t wall_ns, uint64_t now_ns)
{
	if (j->pub.action == BR_POWER_OFF)
		end(q, j, 0, wall_ns);
	else
		enter(j, PAUSE, now_ns);
}

/* The status says what it should say, or nothing at all; else it is asked again for a while. */
static void after_check(struct br_power_queue *q, struct job *j, const struct br_power_answer *a, uint64_t wall_ns, uint64_t now_ns)
{
	enum br_power_state want = j->step == ON_CHECK ? BR_POWER_IS_ON : BR_POWER_IS_OFF;

	if (a->r >= 0 && (a->state == want || a->state == BR_POWER_IS_UNKNOWN)) {
		j->pub.verified = a->state == want;
		j->pub.state = a->state;
		if (a->detail && *a->detail)
			say(j, "%s", a->detail);
		else
			say(j, "%s", j->pub.verified ? "" : "switched; the device did not tell its state");
		if (want == BR_POWER_IS_ON)
			after_on(q, j, wall_ns, now_ns);
		else
			after_off(q, j, wall_ns, now_ns);
		return;
	}
	if (now_ns < j->end_ns && a->r != -EIO) { /* EIO: the device told of a fault */
		j->at_ns = now_ns + CHECK_AGAIN_NS;
		return;
	}
	if (a->r < 0) {
		say(j, "switched %s, but its status cannot be read: %s", want == BR_POWER_IS_ON ? "on" : "off", a->words ?: "");
	} else {
		j->pub.state = a->state;
		say(j, "was switched %s, and %s says it is still %s", want == BR_POWER_IS_ON ? "on" : "off", j->traits.device,
			want == BR_POWER_IS_ON ? "off" : "on");
	}
	end(q, j, a->r < 0 ? a->r : -EIO, wall_ns);
}

static void after_switch(struct br_power_queue *q, struct job *j, const struct br_power_answer *a, uint64_t wall_ns, uint64_t now_ns)
{
	bool on = j->step == ON || j->step == RESET;

	if (a->r < 0 && on && j->pub.action != BR_POWER_ON && j->step == ON && ++j->tries < ON_TRIES) {
		j->at_ns = now_ns + ON_AGAIN_NS;
		return;
	}
	if (a->r < 0) {
		say(j, "%s%s", a->words ?: "", on && j->step == ON && j->pub.action != BR_POWER_ON ? ". THE BOARD IS OFF NOW" : "");
		end(q, j, a->r, wall_ns);
		return;
	}
	j->pub.state = BR_POWER_IS_UNKNOWN;
	if (j->step == RESET) {
		after_on(q, j, wall_ns, now_ns);
	} else if (j->traits.can_status) {
		enter(j, on ? ON_CHECK : OFF_CHECK, now_ns);
	} else {
		say(j, "switched; this kind of device does not tell its state");
		if (on)
			after_on(q, j, wall_ns, now_ns);
		else
			after_off(q, j, wall_ns, now_ns);
	}
}

static void after_look(struct br_power_queue *q, struct job *j, const struct br_power_answer *a, uint64_t wall_ns, uint64_t now_ns)
{
	if (j->over) {
		end_over(q, j, wall_ns);
		return;
	}
	if (a->r < 0 || a->state != BR_POWER_IS_ON) {
		enter(j, ON, now_ns); /* if it could not be asked, the switching will tell why */
		return;
	}
	j->pub.state = BR_POWER_IS_ON;
	j->pub.verified = true;
	j->pub.was_on = true;
	say(j, "was on already");
	j->up |= j->traits.is_up;
	after_on(q, j, wall_ns, now_ns);
}

static void after_soft(struct br_power_queue *q, struct job *j, const struct br_power_answer *a, uint64_t wall_ns, uint64_t now_ns)
{
	if (j->over) {
		end_over(q, j, wall_ns);
	} else if (a->r < 0 && j->soft_first) {
		snprintf(j->soft_failed, sizeof(j->soft_failed), "soft reboot: %.140s", a->words ?: "");
		enter(j, OFF, now_ns);
	} else if (a->r < 0) {
		say(j, "%s", a->words ?: "");
		end(q, j, a->r, wall_ns);
	} else {
		rung(j, "soft");
		enter(j, SOFT_WATCH, now_ns);
		j->end_ns = now_ns + j->traits.boot_ns;
		if (watch_ends(j))
			end(q, j, 0, wall_ns);
	}
}

static void after_get(struct br_power_queue *q, struct job *j, const struct br_power_answer *a, uint64_t wall_ns)
{
	j->pub.state = a->r < 0 ? BR_POWER_IS_UNKNOWN : a->state;
	j->pub.verified = a->r >= 0 && a->state != BR_POWER_IS_UNKNOWN;
	say(j, "%s", a->r < 0 ? a->words ?: "" : a->detail ?: "");
	end(q, j, a->r, wall_ns);
}

void br_power_queue_done(struct br_power_queue *q, uint64_t id, const struct br_power_answer *a, uint64_t wall_ns, uint64_t now_ns)
{
	struct job *j = find(q, id);
	struct br_power_device *d;

	if (!j || !j->running)
		return;
	d = &q->devices[j->device];
	d->running--;
	j->running = false;
	if (j->step != SOFT) { /* that is the board's, not the device's */
		d->asked++;
		d->failed += a->r < 0;
		snprintf(d->trouble, sizeof(d->trouble), "%s", a->r < 0 ? a->words ?: "" : "");
	}
	switch (j->step) {
	case LOOK:
		after_look(q, j, a, wall_ns, now_ns);
		break;
	case SOFT:
		after_soft(q, j, a, wall_ns, now_ns);
		break;
	case OFF_CHECK:
	case ON_CHECK:
		after_check(q, j, a, wall_ns, now_ns);
		break;
	case GET:
		after_get(q, j, a, wall_ns);
		break;
	default:
		after_switch(q, j, a, wall_ns, now_ns);
	}
}

static bool evidence_counts(const struct job *j)
{
	if (j->step == SOFT_WATCH || j->step == WATCH || j->step == ON_CHECK)
		return true;
	return j->running && (j->step == SOFT || j->step == ON || j->step == RESET);
}

void br_power_queue_saw(struct br_power_queue *q, int64_t board_id, bool up, uint64_t wall_ns)
{
	for (size_t i = q->n; i-- > 0;) {
		struct job *j = q->jobs[i];

		/* what the board did before it was switched counts for nothing */
		if (j->pub.board_id != board_id || j->pub.ended || !evidence_counts(j))
			continue;
		j->booted = true;
		j->up |= up;
		if ((j->step == WATCH || j->step == SOFT_WATCH) && watch_ends(j))
			end(q, j, 0, wall_ns);
	}
}

/* ---- orders ---- */

/* What makes a board boot anew has done so, or is about to: a later order wants another boot. */
static bool has_switched(const struct job *j)
{
	if (j->pub.action != BR_POWER_CYCLE && j->pub.action != BR_POWER_RESET && j->pub.action != BR_POWER_SOFT)
		return false;
	if (j->step == SOFT || j->step == ON || j->step == RESET)
		return j->running || j->tries;
	return j->step == SOFT_WATCH || j->step == ON_CHECK || j->step == WATCH;
}

static bool same(const struct job *j, const struct br_power_order *o)
{
	return !j->pub.ended && !j->over && !has_switched(j) && j->pub.action == o->action && j->soft_first == o->soft_first &&
		j->until_up == o->until_up && j->reservation == o->reservation;
}

/* The board is off, or is just switched off, and is to be on after that. */
static bool is_dark(const struct job *j)
{
	if (j->pub.action == BR_POWER_OFF || j->pub.action == BR_POWER_ON)
		return false;
	return j->step == OFF_CHECK || j->step == PAUSE || j->step == ON || (j->step == OFF && j->running);
}

/* Now, or as soon as it may. */
static void call_off(struct br_power_queue *q, struct job *j, int why, uint64_t wall_ns)
{
	if (j->over)
		return;
	j->over = why;
	if (!j->running && !is_dark(j) && j->step != ON_CHECK) /* a check ends soon by itself */
		end_over(q, j, wall_ns);
}

void br_power_queue_reserved(struct br_power_queue *q, int64_t board_id, int64_t number, uint64_t wall_ns)
{
	for (size_t i = q->n; i-- > 0;) {
		struct job *j = q->jobs[i];

		if (j->pub.board_id != board_id || j->pub.ended || j->pub.action == BR_POWER_STATUS)
			continue;
		if (j->reservation != number && j->reservation != BR_RESERVATION_FORCED)
			call_off(q, j, -ENOLCK, wall_ns);
	}
}

/* Nobody waits any longer for the boot of a board that is to be switched again. */
static void end_watches(struct br_power_queue *q, const struct br_power_order *o, uint64_t wall_ns)
{
	if (o->action == BR_POWER_STATUS || o->action == BR_POWER_ON)
		return;
	for (size_t i = q->n; i-- > 0;) {
		struct job *j = q->jobs[i];

		if (j->pub.board_id == o->board_id && !j->pub.ended && has_switched(j))
			call_off(q, j, -ECANCELED, wall_ns);
	}
}

/* Room for one more: the oldest that ended goes. */
static void forget_some(struct br_power_queue *q)
{
	size_t kept = 0, too_many = q->n - q->n_open > KEPT ? q->n - q->n_open - KEPT : 0;

	if (too_many < KEPT / 10) /* not at each order */
		return;
	for (size_t i = 0; i < q->n; i++) {
		if (too_many && q->jobs[i]->pub.ended) {
			free(q->jobs[i]);
			too_many--;
		} else {
			q->jobs[kept++] = q->jobs[i];
		}
	}
	q->n = kept;
}

static enum step first_step(const struct br_power_order *o, const struct br_power_traits *t)
{
	switch (o->action) {
	case BR_POWER_ON:
		return t->can_status ? LOOK : ON;
	case BR_POWER_SOFT:
		return SOFT;
	case BR_POWER_STATUS:
		return GET;
	case BR_POWER_RESET:
		return t->can_reset ? RESET : OFF;
	default:
		return o->action == BR_POWER_CYCLE && o->soft_first ? SOFT : OFF;
	}
}

int br_power_queue_add(struct br_power_queue *q, const struct br_power_order *o, const struct br_power_traits *t, uint64_t wall_ns,
	uint64_t now_ns, uint64_t *ret_job)
{
	struct job *before = newest_of(q, o->board_id), *j;
	size_t device;

	if (before && same(before, o)) {
		*ret_job = before->pub.id;
		return 1;
	}
	if (q->n_open >= OPEN_MAX)
		return -EBUSY;
	end_watches(q, o, wall_ns);
	forget_some(q);
	before = newest_of(q, o->board_id);
	if (device_of(q, t, &device) < 0 || br_array_reserve(&q->jobs, &q->cap, q->n + 1, sizeof(void *)) < 0)
		return -ENOMEM;
	j = calloc(1, sizeof(*j));
	if (!j)
		return -ENOMEM;
	j->pub.id = ++q->last_id;
	j->pub.board_id = o->board_id;
	j->pub.action = o->action;
	j->pub.queued_wall_ns = wall_ns;
	j->soft_first = o->soft_first;
	j->until_up = o->until_up;
	j->up_ns = o->up_ns;
	j->reservation = o->reservation;
	j->traits = *t;
	j->device = device;
	j->after = before && !before->pub.ended ? before->pub.id : 0;
	enter(j, first_step(o, t), now_ns);
	snprintf(j->pub.step, sizeof(j->pub.step), "queued");
	q->jobs[q->n++] = j;
	q->n_open++;
	*ret_job = j->pub.id;
	return 0;
}

/* Waited long enough for the board. */
static void lapse(struct br_power_queue *q, struct job *j, uint64_t now_ns, uint64_t wall_ns)
{
	char took[24], before[201];

	br_format_duration(took, sizeof(took), j->step == WATCH && j->until_up && j->up_ns ? j->up_ns : j->traits.boot_ns);
	if (j->step == SOFT_WATCH && j->soft_first) {
		snprintf(j->soft_failed, sizeof(j->soft_failed), "soft reboot: no sign of a boot within %s", took);
		enter(j, OFF, now_ns);
		return;
	}
	snprintf(before, sizeof(before), "%.200s", j->pub.text);
	say(j, "switched on, and %s within %s%s%s; see 'bramble why'",
		j->until_up && j->booted ? "it began to boot but was not up" : "there was no sign of a boot", took, *before ? "; " : "",
		before);
	if (j->step == SOFT_WATCH)
		say(j, "told to reboot, and %s within %s", j->booted ? "it is not up" : "there was no sign of a boot", took);
	end(q, j, -ETIMEDOUT, wall_ns);
}

/* When job j has something to do; UINT64_MAX: not by itself. */
static uint64_t due(const struct br_power_queue *q, const struct job *j)
{
	const struct br_power_device *d = &q->devices[j->device];

	if (j->pub.ended || j->running)
		return UINT64_MAX;
	if (j->step == WATCH || j->step == SOFT_WATCH)
		return j->end_ns;
	if (j->step == PAUSE)
		return j->at_ns;
	if (j->step != SOFT && d->running >= d->at_once)
		return UINT64_MAX;
	if (steps[j->step].switches_on && d->next_on_ns > j->at_ns)
		return d->next_on_ns;
	return j->at_ns;
}

static bool waits_for_another(const struct br_power_queue *q, struct job *j)
{
	const struct job *before = j->after ? find(q, j->after) : NULL;

	if (before && !before->pub.ended)
		return true;
	j->after = 0;
	return false;
}

static void start(struct br_power_queue *q, struct job *j, uint64_t now_ns, struct br_power_task *ret)
{
	struct br_power_device *d = &q->devices[j->device];

	if (steps[j->step].switches_on)
		d->next_on_ns = now_ns + d->delay_ns;
	d->running++;
	j->running = true;
	snprintf(j->pub.step, sizeof(j->pub.step), "%s", steps[j->step].name);
	*ret = (struct br_power_task){ .job = j->pub.id, .board_id = j->pub.board_id, .op = steps[j->step].op };
}

int br_power_queue_next(struct br_power_queue *q, uint64_t now_ns, uint64_t wall_ns, struct br_power_task *ret, uint64_t *ret_ns)
{
	uint64_t next = UINT64_MAX;

	for (size_t i = 0; i < q->n; i++) {
		struct job *j = q->jobs[i];
		uint64_t at;

		if (j->pub.ended || waits_for_another(q, j))
			continue;
		if (j->step == PAUSE && j->at_ns <= now_ns)
			enter(j, ON, now_ns);
		at = due(q, j);
		if (at <= now_ns && (j->step == WATCH || j->step == SOFT_WATCH)) {
			lapse(q, j, now_ns, wall_ns);
			at = due(q, j);
		}
		if (at <= now_ns && steps[j->step].asks && !j->pub.ended) {
			start(q, j, now_ns, ret);
			return 1;
		}
		next = at < next ? at : next;
	}
	*ret_ns = next;
	return 0;
}

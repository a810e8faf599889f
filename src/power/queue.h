/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "power/power.h"

/*
 * The orders, cut into single things to ask of devices, and when each may be asked: no more at once than a device takes, boards
 * switched on one after the other, the next thing about a board only when the one before is done. No thread, no clock, no
 * device: time comes in, tasks go out, answers come in. The caller holds one lock around all of it.
 */
enum br_power_op {
	BR_POWER_OP_ON,
	BR_POWER_OP_OFF,
	BR_POWER_OP_RESET,
	BR_POWER_OP_GET,
	BR_POWER_OP_SOFT,
};

/* How a board is switched, as its driver and bramble.conf say. */
struct br_power_traits {
	char device[BR_POWER_DEVICE_MAX];
	bool can_status, can_reset;
	bool is_up;	       /* the board is up now, as far as known */
	unsigned at_once;
	uint64_t delay_ns, off_time_ns;
	uint64_t verify_ns;    /* how long the device may take until its status is what was asked for */
	uint64_t boot_ns;      /* and the board, until it asks for its boot */
};

struct br_power_task {
	uint64_t job;
	int64_t board_id;
	enum br_power_op op;
};

struct br_power_answer {
	int r; /* 0, or a negative errno with words */
	const char *words;	   /* may be NULL */
	enum br_power_state state; /* of GET */
	const char *detail;	   /* of GET: what else there is to say; may be NULL */
};

struct br_power_device { /* for who shows them */
	char name[BR_POWER_DEVICE_MAX];
	unsigned running, waiting, at_once;
	uint64_t delay_ns, next_on_ns;
	uint64_t asked, failed; /* things */
	char trouble[200];	/* what went wrong last, "" once something went right again */
};

struct br_power_queue;

/* ended: called from within add(), done(), next() and saw(), once per order. */
struct br_power_queue *br_power_queue_new(void (*ended)(void *ctx, const struct br_power_job *job), void *ctx);
void br_power_queue_free(struct br_power_queue *q);

/*
 * 0 with a number; 1: the board is getting just this already, and was not switched yet, the number is of that; -ENOMEM; -EBUSY: too many
 * orders wait. Who waits for the board to come up from an earlier switching waits no more when it is switched again: -ECANCELED.
 */
int br_power_queue_add(struct br_power_queue *q, const struct br_power_order *order, const struct br_power_traits *traits,
	uint64_t wall_ns, uint64_t now_ns, uint64_t *ret_job);
/* 1: do this, and tell done() what came of it. 0: nothing to do before *ret_ns (UINT64_MAX: until something else is called). */
int br_power_queue_next(struct br_power_queue *q, uint64_t now_ns, uint64_t wall_ns, struct br_power_task *ret, uint64_t *ret_ns);
void br_power_queue_done(struct br_power_queue *q, uint64_t job, const struct br_power_answer *answer, uint64_t wall_ns,
	uint64_t now_ns);
/* The board began a boot, or (up) is up. */
void br_power_queue_saw(struct br_power_queue *q, int64_t board_id, bool up, uint64_t wall_ns);

/* The board is reservation number's now (0: nobody's): what was ordered under another one ends, see br_power_reserved(). */
void br_power_queue_reserved(struct br_power_queue *q, int64_t board_id, int64_t number, uint64_t wall_ns);

/* NULL: there is none of this number any more. Until the next call. */
const struct br_power_job *br_power_queue_job(const struct br_power_queue *q, uint64_t job);
/* The newest order of a board; NULL: none. */
const struct br_power_job *br_power_queue_job_of(const struct br_power_queue *q, int64_t board_id);
bool br_power_queue_busy(const struct br_power_queue *q, int64_t board_id);
size_t br_power_queue_devices(const struct br_power_queue *q);
const struct br_power_device *br_power_queue_device(struct br_power_queue *q, size_t i);

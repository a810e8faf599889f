/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "fleet/fleet.h"
#include "power/uri.h"

/*
 * The manager: orders about boards' power, each device (a switch, a plug, a hub) with a queue of its own, served by
 * threads. A device that does not answer holds up nobody else's boards. What a driver can read back is read back: an order
 * that is told done was seen done. Thread-safe, all of it.
 */
struct br_power;
struct br_power_conf;

enum br_power_action {
	BR_POWER_ON,
	BR_POWER_OFF,
	BR_POWER_CYCLE, /* off, a pause, on */
	BR_POWER_RESET, /* the device's own way (RUN pin, 'reset' of a command), else as CYCLE */
	BR_POWER_SOFT,	/* asks the running system to reboot, over ssh */
	BR_POWER_STATUS,
	BR_POWER_N_ACTIONS,
};

enum br_power_state {
	BR_POWER_IS_UNKNOWN,
	BR_POWER_IS_OFF,
	BR_POWER_IS_ON,
};

struct br_power_order {
	int64_t board_id;
	enum br_power_action action;
	bool soft_first;  /* CYCLE: the ladder: soft, and if it does not boot from that, hard */
	bool until_up;	  /* done when the board is up */
	uint64_t up_ns;	  /* how long that may take; 0: boot-timeout of bramble.conf */
	bool force;	  /* also a board in quarantine */
	bool by_itself;	  /* not a person's wish: power saving */
	int64_t reservation; /* under which it is ordered, BR_RESERVATION_FORCED, 0: nobody had the board */
};

/* Of an order, while it runs and some time after. */
struct br_power_job {
	uint64_t id;
	int64_t board_id;
	enum br_power_action action;
	bool ended;
	int r;			   /* once ended: 0, or a negative errno */
	enum br_power_state state; /* as it was read last; UNKNOWN: the device cannot tell */
	bool was_on;		   /* ON: it was on already, nothing was switched */
	bool verified;		   /* the device told the state that was wanted */
	char rung[8];		   /* of the ladder, where it ended: "soft", "hard" */
	char step[16];		   /* what it does: "queued", "off", "pause", "on", "check", "boot", "soft", "reset", "status", "done" */
	char text[400];		   /* words: why it failed, or what there is to say */
	uint64_t queued_wall_ns, ended_wall_ns;
};

struct br_power_options {
	struct br_fleet *fleet;
	const struct br_power_conf *conf;  /* outlives it */
	const char *command;		   /* power-command of [serve], NULL: none */
	const char *state;		   /* directory: for the ssh key */
	/* a reservation holds the board: never switched off to save power. NULL: none ever does */
	bool (*reserved)(void *ctx, int64_t board_id);
	void *ctx;
};

int br_power_new(const struct br_power_options *opt, struct br_power **ret, struct br_error *err);
/* Ends within the time-out of one operation of a device. NULL is accepted. */
void br_power_free(struct br_power *power);

/*
 * Queues an order. A board that is just being given the same one gets no second: its number is returned again. -EOPNOTSUPP:
 * nobody told how the board is switched; -EPERM: it is in quarantine; -EINVAL: its URI is wrong; with words.
 */
int br_power_order(struct br_power *power, const struct br_power_order *order, uint64_t *ret_job, struct br_error *err);
/*
 * The board is reservation number's now (0: nobody's): what was ordered under another one ends with -ENOLCK as soon as the board is
 * not dark; what is switched off in the middle of a cycle is switched on again.
 */
void br_power_reserved(struct br_power *power, int64_t board_id, int64_t number);
/* What became of it, waiting at most so long for its end. -ENOENT: none of this number (any more). */
int br_power_wait(struct br_power *power, uint64_t job, uint64_t timeout_ns, struct br_power_job *ret);
/* Both in one, for callers that need a board switched: 0 when it was done. -ETIMEDOUT: it goes on. */
int br_power_do(struct br_power *power, const struct br_power_order *order, uint64_t timeout_ns, struct br_power_job *ret,
	struct br_error *err);

/* How a board is switched: its own URI, a section's, the default command's. -EOPNOTSUPP with words: not at all. */
int br_power_uri_of(const struct br_power *power, const struct br_board *board, char out[static BR_POWER_URI_MAX + 1],
	struct br_error *err);

/* What the board does, from any thread: events of the fleet are followed by the manager itself, this is for tests. */
void br_power_saw(struct br_power *power, int64_t board_id, bool up);

/* Names in the API: "on", "cycle"; -EINVAL when there is none. */
const char *br_power_action_name(enum br_power_action action);
int br_power_action_parse(const char *name, enum br_power_action *ret);
const char *br_power_state_name(enum br_power_state state); /* "on", "off", "unknown" */

/* Sets a board aside, with words, or ends that (reason NULL). -EALREADY with words: it is (not) already. */
int br_power_quarantine(struct br_power *power, const struct br_board *board, const char *reason, struct br_error *err);
/* The public ssh key that boards must know for SOFT: a line for authorized-keys, fresh memory (free()). */
int br_power_soft_key(const struct br_power *power, char **ret, struct br_error *err);

/*
 * Asks all switches of bramble.conf which boards are behind which PoE ports. names: an array of boards' names, NULL: all. ret as in
 * POST /v1/power-find. Takes as long as the slowest switch.
 */
int br_power_find(struct br_power *power, const json_t *names, json_t **ret, struct br_error *err);

/* As in GET /v1/boards/NAME/power, of GET /v1/power (all boards, devices, queues), of a job. New references, NULL when memory is out. */
json_t *br_power_board_json(struct br_power *power, const struct br_board *board);
json_t *br_power_json(struct br_power *power);
json_t *br_power_job_json(struct br_power *power, const struct br_power_job *job);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "sim/board.h"
#include "sim/faults.h"
#include "sim/link.h"

/*
 * Many virtual boards on one link, in one loop of one thread: frames go to the board
 * that has their destination address, broadcasts to all.
 */
#define BR_SIM_BOARDS_MAX 4096

struct br_sim_runner;

/* Something else that wants to be in the loop (a console, an emulated device). */
struct br_sim_watch {
	int fd;
	short events;
	void (*ready)(void *ctx, short revents, uint64_t now_ns);
	void *ctx;
};

/* What takes the place of a board's firmware on the wire. */
struct br_sim_station {
	void (*frame)(void *ctx, uint64_t now_ns, const uint8_t *frame, size_t len, bool unsummed);
	void (*step)(void *ctx, uint64_t now_ns); /* with deadline, or both NULL: it does nothing by itself */
	uint64_t (*deadline)(const void *ctx);
	void *ctx;
};

/* The link stays the caller's. NULL when memory is out. */
struct br_sim_runner *br_sim_runner_new(struct br_sim_link *link);
void br_sim_runner_free(struct br_sim_runner *r);
/* config.send should end in br_sim_runner_send(). -EEXIST: the MAC is taken; -E2BIG; -ENOMEM. */
int br_sim_runner_add(struct br_sim_runner *r, const struct br_sim_board_config *config, struct br_error *err);

size_t br_sim_runner_count(const struct br_sim_runner *r);
struct br_sim_board *br_sim_runner_board(const struct br_sim_runner *r, size_t i);
/* A frame of board i, through its faults, to the wire. A full wire loses it, as a real one does. */
void br_sim_runner_send(struct br_sim_runner *r, size_t i, const uint8_t *frame, size_t len);
/* Frames for board i go to the station instead from now on; NULL: to its firmware again. */
void br_sim_runner_divert(struct br_sim_runner *r, size_t i, const struct br_sim_station *station);
/* Something was done to board i or its station from outside: looks at its deadline anew. */
void br_sim_runner_wake(struct br_sim_runner *r, size_t i);

/* Faults on the links of all boards added so far; none may be added later. -ENOMEM. */
int br_sim_runner_set_faults(struct br_sim_runner *r, const struct br_sim_fault_config *config);
/* NULL when there are none. */
const struct br_sim_faults *br_sim_runner_faults(const struct br_sim_runner *r);
/* To be called from board i's event BR_SIM_POWER_ON: its switch port may open late. */
void br_sim_runner_powered(struct br_sim_runner *r, size_t i);

/* Watches are looked at in every turn; the array stays the caller's. */
void br_sim_runner_set_watches(struct br_sim_runner *r, const struct br_sim_watch *w, size_t n);
/* One turn: waits for frames, watches or deadlines, at most until until_ns. 0 or a negative errno. */
int br_sim_runner_turn(struct br_sim_runner *r, uint64_t until_ns, struct br_error *err);
/* Boards that are still in their firmware. */
size_t br_sim_runner_busy(const struct br_sim_runner *r);

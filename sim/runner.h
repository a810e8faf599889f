/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "sim/board.h"
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

/* The link stays the caller's. NULL when memory is out. */
struct br_sim_runner *br_sim_runner_new(struct br_sim_link *link);
void br_sim_runner_free(struct br_sim_runner *r);
/* config.send and config.ctx: send is filled in here. -EEXIST: the MAC is taken; -E2BIG; -ENOMEM. */
int br_sim_runner_add(struct br_sim_runner *r, const struct br_sim_board_config *config, struct br_error *err);

size_t br_sim_runner_count(const struct br_sim_runner *r);
struct br_sim_board *br_sim_runner_board(const struct br_sim_runner *r, size_t i);
/* Frames for board i go to 'input' instead from now on (a real kernel took over its address). */
void br_sim_runner_divert(struct br_sim_runner *r, size_t i,
	void (*input)(void *ctx, const uint8_t *frame, size_t len), void *ctx);

/* Watches are looked at in every turn; the array stays the caller's. */
void br_sim_runner_set_watches(struct br_sim_runner *r, const struct br_sim_watch *w, size_t n);
/* One turn: waits for frames, watches or deadlines, at most until until_ns. 0 or a negative errno. */
int br_sim_runner_turn(struct br_sim_runner *r, uint64_t until_ns, struct br_error *err);
/* Boards that are still in their firmware. */
size_t br_sim_runner_busy(const struct br_sim_runner *r);

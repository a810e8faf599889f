/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * What bad networks do to the frames of virtual boards. Each board has a link of its
 * own with two directions; what happens to the nth frame of a direction follows from
 * the seed, the board's number and n alone. No clock, no socket: frames and times come
 * in, frames go out through a callback, some of them later.
 */
enum br_sim_direction {
	BR_SIM_TO_BOARD,
	BR_SIM_FROM_BOARD,
	BR_SIM_DIRECTIONS,
};

struct br_sim_fault_config {
	uint64_t seed;
	/* of a million frames each way: lost, there twice, held back behind later ones */
	uint32_t loss, dup, reorder;
	uint64_t delay_ns, jitter_ns; /* every frame: delay, and up to jitter more (order is kept) */
	uint64_t late_ns;	      /* since the first power-on: a switch port that opens late loses all frames until then */
	uint32_t late;		      /* of a million boards: those behind such a port */
	unsigned mtu;		      /* IP packets larger than that vanish; 0: none do */
	uint64_t rate;		      /* bits per second each way; 0: no limit */
	bool rogue;		      /* another DHCP server (rogue.h), which answers after rogue_ns */
	uint64_t rogue_ns;
};

/* A socket or switch port that is full loses what would wait longer than this for its turn (--rate). */
#define BR_SIM_RATE_WAIT_NS 50000000ull
/* Frames held in all, for delays; more are lost. */
#define BR_SIM_HELD_MAX 65536

struct br_sim_fault_counts {
	uint64_t frames, lost, duplicated, reordered, too_large, port_closed, queue_full, rogue_answers;
};

/*
 * One fault option of the command line: name is "loss", "dup", "reorder", "delay", "late-port",
 * "mtu", "rate", "rogue-dhcp" or "seed". -EINVAL with words.
 */
int br_sim_fault_option(struct br_sim_fault_config *c, const char *name, const char *value, struct br_error *err);
/* Anything but the seed is set. */
bool br_sim_fault_any(const struct br_sim_fault_config *c);

struct br_sim_faults;
typedef void br_sim_faults_pass_fn(void *ctx, size_t board, enum br_sim_direction to, uint64_t now_ns,
	const uint8_t *frame, size_t len, bool unsummed);

/* pass: a frame that got through, at once from put() or later from step(). NULL when memory is out. */
struct br_sim_faults *br_sim_faults_new(const struct br_sim_fault_config *c, size_t n_boards,
	br_sim_faults_pass_fn *pass, void *ctx);
void br_sim_faults_free(struct br_sim_faults *f);

/*
 * Board has power since now_ns, for the first time (later calls change nothing: the switch keeps its power, and a
 * port that is open stays so). Before this, no port is late.
 */
void br_sim_faults_power(struct br_sim_faults *f, size_t board, uint64_t now_ns);
void br_sim_faults_put(struct br_sim_faults *f, size_t board, enum br_sim_direction to, uint64_t now_ns,
	const uint8_t *frame, size_t len, bool unsummed);
void br_sim_faults_step(struct br_sim_faults *f, uint64_t now_ns);
/* When step() has a frame to pass on; UINT64_MAX: none is held. */
uint64_t br_sim_faults_deadline(const struct br_sim_faults *f);
const struct br_sim_fault_counts *br_sim_faults_counts(const struct br_sim_faults *f);
/* Is this board behind a port that opens late? */
bool br_sim_faults_is_late(const struct br_sim_faults *f, size_t board);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <signal.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "sim/faults.h"
#include "sim/firmware.h"
#include "sim/link.h"

/*
 * A fleet that is switched on at once: each board goes through its firmware, then through a
 * kernel's DHCP, its mount of the NFS root and its reading of /sbin/init (nfsroot.h). It is up
 * when that was read, or when the kernel would start and its command line has no NFS
 * root. Nothing that was fetched is kept; each file is compared, by size and checksum, with
 * what the first board of the same model got.
 */
#define BR_SIM_STORM_MODELS 8
#define BR_SIM_STORM_RETRY_NS 10000000000ull /* until the operator sees that a board is dark */

struct br_sim_storm_config {
	const struct br_sim_model *models[BR_SIM_STORM_MODELS]; /* board i has the model i modulo n_models */
	size_t n_models, n_boards;
	uint32_t serial; /* of board 0; board i has serial + i */
	unsigned speed;	 /* as struct br_sim_board_config */
	unsigned retry;	 /* power cycles per board that stays dark */
	uint64_t timeout_ns;
	struct br_sim_fault_config faults;
	bool json;	/* a line per board, and one for all, on out; else the summary in words */
	bool progress;	/* a line every two seconds, or one that changes when stderr is a terminal */
	FILE *out;
	const volatile sig_atomic_t *stop; /* ends the storm early when not 0 */
};

struct br_sim_storm_result {
	size_t n_boards, n_up, n_failed; /* the rest was still on its way */
};

/*
 * On a link that is no tap the boards are up when their kernels would start: the kernel of this machine hands TCP
 * segments there that no wire would carry.
 */
/* Runs until no board is on its way any more, the time is up or stop is set; prints. The link stays the caller's. */
int br_sim_storm_run(const struct br_sim_storm_config *c, struct br_sim_link *link, struct br_sim_storm_result *ret,
	struct br_error *err);

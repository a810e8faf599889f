/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/board.h"
#include "sim/link.h"
#include "sim/runner.h"
#include "sim/terminal.h"

/*
 * A virtual board after its firmware: QEMU with the kernel that was fetched, on the
 * same wire with the same MAC address, and its console.
 */
struct br_sim_machine;

struct br_sim_machine_config {
	struct br_sim_board *board; /* BR_SIM_READY, with keep */
	struct br_sim_link *link;
	const regex_t *until;		  /* the line that means success; NULL: none */
	struct br_sim_terminal *terminal; /* NULL: nobody watches */
	const char *append;
	const char *card; /* file that is its SD card; NULL: none */
	unsigned memory_mib;
	bool quiet; /* no BR_SIM_WAITING events: somebody watches the console */
};

#define BR_SIM_MACHINE_WATCHES 5

/* Events go to the board's callback. */
int br_sim_machine_start(const struct br_sim_machine_config *c, struct br_sim_machine **ret, struct br_error *err);
/* Ends QEMU. */
void br_sim_machine_free(struct br_sim_machine *m);
/* Fills out; how many. */
size_t br_sim_machine_watches(struct br_sim_machine *m, struct br_sim_watch out[static BR_SIM_MACHINE_WATCHES]);
uint64_t br_sim_machine_deadline(const struct br_sim_machine *m);
void br_sim_machine_tick(struct br_sim_machine *m, uint64_t now_ns);
/* For br_sim_runner_divert(), ctx is the machine. */
void br_sim_machine_frame(void *ctx, uint64_t now_ns, const uint8_t *frame, size_t len, bool unsummed);

bool br_sim_machine_seen(const struct br_sim_machine *m);
bool br_sim_machine_ended(const struct br_sim_machine *m);
/* The last console lines, one per line, escaped; fresh memory. */
char *br_sim_machine_tail(const struct br_sim_machine *m);

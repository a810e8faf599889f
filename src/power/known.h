/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "power/power.h"

/*
 * What is known of each board's power, from what was done with it and what it did since: its state as last read, whether it
 * is up, whether it owes us a boot, since when nobody wanted it, how often it failed. No clock, no lock: the caller's.
 */
struct br_power_known {
	int64_t board_id; /* first: the table is sorted by it */
	enum br_power_state state;
	uint64_t read_wall_ns; /* when the state was read or assumed; 0: never */
	char detail[160];
	bool up;
	bool on_by_us;	    /* switched on (or seen on) in our time */
	uint64_t boot_by_ns; /* it was switched on, and should have asked for its boot by then; 0: nothing is owed */
	uint64_t saw_wall_ns; /* when it last began a boot or came up, 0: never in our time */
	uint64_t wanted_ns; /* when it was last wanted: switched on by somebody, booted, reserved */
	unsigned failures;  /* in a row */
	int64_t quarantined_at; /* s since 1970; 0: not */
	char reason[400];
};

struct br_power_table {
	struct br_power_known *v;
	size_t n, cap;
};

/* Made when it is not there; NULL: out of memory. Until the next call. */
struct br_power_known *br_power_known(struct br_power_table *t, int64_t board_id);
/* NULL: nothing is known. */
struct br_power_known *br_power_known_find(const struct br_power_table *t, int64_t board_id);
void br_power_table_done(struct br_power_table *t);

/* An order ended; boots: a board of its kind asks us for its boot, within boot_ns. 1: that was one more failure. */
int br_power_known_ended(struct br_power_known *k, const struct br_power_job *job, bool boots, uint64_t boot_ns, uint64_t now_ns);
/* The board began a boot, or is up. */
void br_power_known_saw(struct br_power_known *k, bool up, uint64_t wall_ns, uint64_t now_ns);
/* True, once: it owes a boot since too long, which is a failure. */
bool br_power_known_late(struct br_power_known *k, uint64_t now_ns);
/* True: on, and wanted by nobody for so long. */
bool br_power_known_idle(const struct br_power_known *k, uint64_t idle_ns, uint64_t now_ns);

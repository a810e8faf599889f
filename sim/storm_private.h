/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside of the storm: for storm.c (what happens) and storm_report.c (what is told). */
#include "sim/board.h"
#include "sim/nfsroot.h"
#include "sim/runner.h"
#include "sim/storm.h"

enum storm_state {
	STORM_BUSY,
	STORM_UP,
	STORM_FAILED,
};

struct storm_board {
	struct storm *storm;
	size_t i;
	const struct br_sim_model *model;
	char name[12]; /* its serial */
	enum storm_state state;
	bool cycle;	   /* its power is to be cycled */
	struct br_sim_nfsroot *root; /* from its kernel's start on */
	uint64_t root_bytes;
	unsigned root_resent;
	unsigned n_wrong;  /* in this boot */
	uint64_t end_ns;   /* up or failed since */
	char reason[240];  /* of its last trouble; may hold bytes from the network */
};

#define STORM_FILES 4096 /* files of all models; more are not compared */

struct storm_file {
	uint32_t key, crc; /* key: of model and name; 0: free */
	uint64_t size;
};

struct storm {
	const struct br_sim_storm_config *config;
	struct br_sim_runner *runner;
	struct storm_board *boards;
	size_t n_busy, n_up;
	bool has_kernels;
	uint64_t start_ns, shown_ns, shown_bytes;
	struct storm_file files[STORM_FILES];
};

__attribute__((format(printf, 2, 3))) void storm_note(struct storm_board *b, const char *fmt, ...);
/* A JSON line. */
void storm_report_board(const struct storm_board *b);
/* Every two seconds; at other times nothing. */
void storm_show_progress(struct storm *s, uint64_t now_ns);
/* The summary. */
void storm_report(const struct storm *s);

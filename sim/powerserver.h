/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "sim/runner.h"

/*
 * A switched power strip with the virtual boards at its outlets: a small HTTP server in the runner's loop. It speaks
 *   GET /cm?cmnd=Power3%20On    as Tasmota does; Off, Toggle, or nothing to ask. Outlet i is board i - 1
 *   GET /board/NAME/on          off, cycle, status; NAME is the board's serial, also as pi-SERIAL
 * All boards are off at first.
 */
#define BR_SIM_POWER_CLIENTS 64
#define BR_SIM_POWER_WATCHES (BR_SIM_POWER_CLIENTS + 1)

struct br_sim_power;

struct br_sim_power_config {
	const char *listen; /* "[ADDRESS:]PORT"; without an address 127.0.0.1 */
	size_t n_boards;
	const char *(*name)(void *ctx, size_t board); /* its serial, as 8 hexadecimal digits */
	/* somebody switched an outlet (from within a watch): what it is now */
	void (*switched)(void *ctx, size_t board, bool on);
	void *ctx;
};

int br_sim_power_open(const struct br_sim_power_config *config, struct br_sim_power **ret, struct br_error *err);
void br_sim_power_close(struct br_sim_power *p);
/* How many watches were written, at most BR_SIM_POWER_WATCHES. */
size_t br_sim_power_watches(struct br_sim_power *p, struct br_sim_watch *out);
bool br_sim_power_is_on(const struct br_sim_power *p, size_t board);

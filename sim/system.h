/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "sim/board.h"

/*
 * A Linux in small, from where the firmware ends: its root over NFS where the command line has one (nfsroot.h), then
 * its user space asks for an address. Then it is up, and keeps its connection. No socket, no clock.
 */
struct br_sim_system;

/* told: up, or why not; called once, from within step() or frame(). NULL when memory is out. */
struct br_sim_system *br_sim_system_new(struct br_sim_board *board, uint64_t now_ns, void (*told)(void *ctx, bool up, const char *why), void *ctx);
void br_sim_system_free(struct br_sim_system *s);

/* As a struct br_sim_station wants them. */
void br_sim_system_frame(void *ctx, uint64_t now_ns, const uint8_t *frame, size_t len, bool unsummed);
void br_sim_system_step(void *ctx, uint64_t now_ns);
uint64_t br_sim_system_deadline(const void *ctx);

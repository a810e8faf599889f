/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * The wire that virtual boards hang on: a tap attached to a bridge of this network
 * namespace, or a packet socket on any other interface (then promiscuous). Raw
 * Ethernet frames without FCS in both directions, never blocking.
 */
#define BR_SIM_FRAME_MAX 2048 /* longest frame taken; boards have an MTU of 1500 */

struct br_sim_link;

/*
 * ifname NULL: the one bridge of this namespace that is up, else -ENODEV. Needs CAP_NET_ADMIN
 * for a bridge, CAP_NET_RAW else. The tap lives as long as the link does (even a killed
 * process leaves none behind).
 */
int br_sim_link_open(const char *ifname, struct br_sim_link **ret, struct br_error *err);
void br_sim_link_close(struct br_sim_link *l);

int br_sim_link_fd(const struct br_sim_link *l);
/* A tap on a bridge (true) segments and sums what the kernel sends; a kernel can boot behind it. */
bool br_sim_link_is_tap(const struct br_sim_link *l);
const char *br_sim_link_name(const struct br_sim_link *l);

/*
 * One frame: its length, 0 when none waits, or a negative errno (-ENETDOWN when the
 * interface went away). *ret_unsummed: checksums are not filled in yet (local sender).
 */
int br_sim_link_recv(struct br_sim_link *l, uint8_t *buf, size_t cap, bool *ret_unsummed);
/* 0, or a negative errno; -EAGAIN when the wire is full (the frame is lost, as on a real one). */
int br_sim_link_send(struct br_sim_link *l, const uint8_t *frame, size_t len);

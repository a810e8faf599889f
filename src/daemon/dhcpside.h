/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <uv.h>

#include "base/error.h"
#include "daemon/glue.h"
#include "daemon/network.h"

/* The DHCP server in the control loop. All that it is given outlives it. */
struct br_dhcp_side;
struct br_dhcp_io;
struct br_watch_io;

/*
 * Opens the sockets (port 67) and the group commits of the fleet. *ret stays as it is (0) where DHCP is automatic and somebody
 * else on this machine has the port: net->dhcp is false then. watch_io (may be NULL) follows an interface that was made anew.
 */
int br_dhcp_side_start(uv_loop_t *loop, struct br_network *net, struct br_glue *glue, struct br_watch_io *watch_io,
	struct br_dhcp_side **ret, struct br_error *err);
/* From now on packets are answered. NULL is fine, here and below. */
void br_dhcp_side_run(struct br_dhcp_side *side);
void br_dhcp_side_stop(struct br_dhcp_side *side);
/* For what is counted; NULL: off. */
const struct br_dhcp_io *br_dhcp_side_io(const struct br_dhcp_side *side);

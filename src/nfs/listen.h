/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* A bound, non-blocking socket (TCP: listening). *port 0 picks one and says which. The error says
 * who may hold a port that is taken, and what to do. what: for the error, as "NFS". */
int br_nfs_listen(
	uint32_t ip, uint16_t *port, bool udp, const char *what, int *ret_fd, struct br_error *err);

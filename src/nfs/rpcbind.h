/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/error.h"

/*
 * Our services told to the rpcbind that has port 111 on this machine, so that both can live: version 2's SET and UNSET
 * (RFC 1833, section 3) over UDP on loopback, from a port below 1024, which rpcbind takes for root.
 */
struct br_rpcbind;

/*
 * Registers NFS v3 (TCP) and MOUNT v3 and v1 (TCP, UDP). What a crash of ours left there is taken over. -ENOTCONN: nothing
 * that speaks this answers on port 111; -EEXIST: it names another server. Blocks for a second and a half at most.
 */
int br_rpcbind_register(uint16_t nfs_port, uint16_t mount_port, struct br_rpcbind **ret, struct br_error *err);
/* Takes the registrations back; needs no privilege any more. NULL is fine. */
void br_rpcbind_unregister(struct br_rpcbind *rb);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/stack.h"

/*
 * What a kernel does with root=/dev/nfs, in small: the port mapper, MOUNT, FSINFO, the
 * way to /sbin/init through its symbolic links, and that file read to its end. TCP and
 * RPC are those of a kernel without an initramfs (wire facts 4.2). No socket, no clock.
 */
struct br_sim_nfsroot;

struct br_sim_nfsroot_result {
	bool up;
	const char *why;  /* when it is not up; without what differs between boards */
	const char *file; /* that was read: "sbin/init", or another that every system has; "": none */
	uint64_t bytes;
	uint32_t crc; /* CRC-32C of the file */
	unsigned n_resent, n_tries;
};

/* Does this command line have an NFS root of version 3? */
bool br_sim_nfsroot_wanted(const char *cmdline);
/*
 * stack is copied: its address and mask count, the next hop is looked for anew. done is called once, from within
 * step() or frame(); afterwards the connection stays up, as that of a running system does. NULL when memory is out.
 */
struct br_sim_nfsroot *br_sim_nfsroot_new(const struct br_sim_stack *stack, const char *cmdline,
	void (*done)(void *ctx, const struct br_sim_nfsroot_result *result), void *ctx);
void br_sim_nfsroot_free(struct br_sim_nfsroot *n);

/* As a struct br_sim_station wants them; ctx is the br_sim_nfsroot. */
void br_sim_nfsroot_frame(void *ctx, uint64_t now_ns, const uint8_t *frame, size_t len, bool unsummed);
void br_sim_nfsroot_step(void *ctx, uint64_t now_ns);
uint64_t br_sim_nfsroot_deadline(const void *ctx);

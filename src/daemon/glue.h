/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/netif.h"
#include "dhcp/server.h"
#include "nfs/server.h"
#include "plan/boots.h"
#include "plan/disks.h"
#include "tftp/server.h"

/*
 * The glue: what the protocol servers ask (their operations) answered from fleet, boots and disks. One struct
 * per protocol, with no state beyond a cache; each may be called from its protocol's thread.
 */

/* What all three need. Outlives them. */
struct br_glue {
	struct br_fleet *fleet;
	struct br_boots *boots;
	struct br_disks *disks;
	uint32_t server_ip;
	unsigned prefix;
	char interface[BR_NETIF_NAME];
	bool adopt;
	/* DHCP only */
	uint32_t first_ip, last_ip, router_ip;
	uint32_t lease_s;
};

/*
 * Which board has an address: by lease, else (another server gave the address) by the kernel's neighbour
 * table on our interface, adopting a Raspberry Pi's MAC when that is on. -ENOENT: no board of ours.
 */
int br_glue_board_by_ip(struct br_glue *glue, uint32_t ip, struct br_board *ret);

/* Sees, and where wanted adopts, a board; emits board.adopted. -ENOENT: not known and not adopted. */
int br_glue_see(struct br_glue *glue, const struct br_sighting *s, bool adopt, struct br_board *ret);

extern const struct br_dhcp_ops br_glue_dhcp_ops; /* ctx: struct br_glue */

/* ctx of the TFTP operations. progress may be NULL. */
struct br_glue_tftp {
	struct br_glue *glue;
	void (*progress)(void *ctx, int64_t board_id, const char *path, uint64_t bytes, uint64_t size);
	void *progress_ctx;
};
extern const struct br_tftp_ops br_glue_tftp_ops; /* 'send' is left to the I/O part */

/* ctx of the NFS operations. */
struct br_glue_nfs;
int br_glue_nfs_new(struct br_glue *glue, struct br_glue_nfs **ret, struct br_error *err);
void br_glue_nfs_free(struct br_glue_nfs *nfs);
extern const struct br_nfs_ops br_glue_nfs_ops;

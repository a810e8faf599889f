/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/netif.h"
#include "dhcp/server.h"
#include "flash/flash.h"
#include "http/server.h"
#include "nfs/server.h"
#include "plan/boots.h"
#include "plan/disks.h"
#include "plan/persist.h"
#include "plan/shares.h"
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
	struct br_shares *shares;
	struct br_persist *persist;
	struct br_flash *flash; /* may be NULL */
	uint32_t server_ip;
	unsigned prefix;
	char interface[BR_NETIF_NAME];
	struct br_span page; /* br_glue_page(): text; len 0: there is none */
	char page_text[100];
	bool adopt;
	uint16_t http_port; /* of the boot-file server, 0: none */
	struct br_span log_script; /* /bramble-log of the boot-file server; data NULL: none */
	/* DHCP only */
	const struct br_dhcp_options *dhcp; /* as the server was told */
	uint32_t first_ip, last_ip;
	uint32_t lease_s;
	struct br_turns *turns; /* turns.h */
	const char *no_give;  /* struct br_network */
	atomic_int dhcp_mode; /* enum br_dhcp_mode, BR_GLUE_DHCP_OFF */
	atomic_uint_least64_t image_told_ns; /* br_glue_image_ok() */
	struct br_glue_notes *notes; /* glue_foreign.c: what other servers did */
	struct br_pool *pool;	     /* glue_pool.c: addresses, limits */
	struct br_dhcp_io *dhcp_io;  /* NULL while it is not open */
	struct {		     /* glue_dhcp.c's: whose packet is being answered */
		bool known;
		struct br_mac mac;
		int64_t board_id;
	} last;
	atomic_uint_least64_t usb_adopted[16]; /* glue_usb.c's: by root port, until when its new boards are paid for */
	struct {		     /* glue_pool.c's, between its calls */
		uint64_t ghosts_ns, counted_ns, strangers;
		uint32_t scan_next, scan_asked, offer_next;
	} addresses;
};

#define BR_GLUE_DHCP_OFF (-1)
/* "full", "proxy", "listening", "off". */
const char *br_glue_dhcp_mode(const struct br_glue *glue);

/* Is the image of a boot still what it was when it was opened? Else -EIO with words, and an event, not too often. */
int br_glue_image_ok(struct br_glue *glue, const struct br_plan *plan, struct br_error *err);

/*
 * Which board has an address: by lease, else (another server gave the address) by the kernel's neighbour
 * table on our interface, adopting a Raspberry Pi's MAC when that is on. -ENOENT: no board of ours; -EAGAIN: nobody
 * knows just now whose it is.
 */
int br_glue_board_by_ip(struct br_glue *glue, uint32_t ip, struct br_board *ret);

/* Memory of what other DHCP servers gave: who has which address, what was told of already. Thread-safe. */
struct br_glue_notes *br_glue_notes_new(void);
void br_glue_notes_free(struct br_glue_notes *notes);
void br_glue_note_address(struct br_glue *glue, uint32_t ip, struct br_mac mac);
bool br_glue_noted_mac(struct br_glue *glue, uint32_t ip, struct br_mac *ret);
/* The operations of struct br_dhcp_ops about other servers. */
void br_glue_foreign(void *ctx, const struct br_dhcp_foreign *f, bool fresh);
void br_glue_mode(void *ctx, enum br_dhcp_mode mode, const struct br_dhcp_foreign *because);
/* The address for a client in full mode (board NULL: a stranger); offer as in struct br_dhcp_ops. */
int br_glue_address(struct br_glue *glue, const struct br_dhcp_client *c, bool offer, const struct br_board *board,
	uint32_t *ret_ip);
/* An address is not to be given for a while: mac (zero: not known) uses it. */
void br_glue_conflict(struct br_glue *glue, uint32_t ip, struct br_mac mac);
void br_glue_arp(void *ctx, uint32_t ip, struct br_mac mac); /* of struct br_dhcp_ops */
/* Looks for users of the addresses that would be given next, a few at each call. How long until the next, in ms. */
uint64_t br_glue_scan(struct br_glue *glue);
/* A relay's network without a range. */
void br_glue_unserved(struct br_glue *glue, const struct br_dhcp_report *rep);

/* Sees, and where wanted adopts, a board; emits board.adopted. -ENOENT: not known and not adopted. */
int br_glue_see(struct br_glue *glue, const struct br_sighting *s, bool adopt, struct br_board *ret);

/* Whether a board ever fetched a file, before our time too: 1, 0, or why the database cannot say. */
int br_glue_has_fetched(struct br_glue *glue, int64_t board_id);

extern const struct br_dhcp_ops br_glue_dhcp_ops; /* ctx: struct br_glue */
void br_glue_stable(void *ctx, uint64_t ticket, int r); /* of br_group_open() */

/* ctx of the TFTP operations. progress may be NULL. */
struct br_glue_tftp {
	struct br_glue *glue;
	void (*progress)(void *ctx, int64_t board_id, const char *path, uint64_t bytes, uint64_t size);
	void *progress_ctx;
};
extern const struct br_tftp_ops br_glue_tftp_ops; /* 'send' is left to the I/O part */

/* Where the web page is, for who looks for it on port 80. */
void br_glue_page(struct br_glue *glue, bool tls, uint16_t port);

/* ctx of the HTTP operations: struct br_glue_tftp, too. */
extern const struct br_http_ops br_glue_http_ops;

/* ctx of the NFS operations. */
struct br_glue_nfs;
int br_glue_nfs_new(struct br_glue *glue, struct br_glue_nfs **ret, struct br_error *err);
void br_glue_nfs_free(struct br_glue_nfs *nfs);
extern const struct br_nfs_ops br_glue_nfs_ops;

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

/*
 * The DHCP client of firmware, byte for byte (wire facts 1.2 to 1.5). BCM2837 code
 * never sends a REQUEST: the first OFFER with an address and a server is all.
 */
struct br_sim_dhcp_style {
	const char *name;
	const uint8_t *order, *request_order; /* options in sending order, ended by 0 */
	const uint8_t *wanted;	  /* body of option 55 */
	uint8_t n_wanted;
	const char *vendor_class, *user_class, *host_name; /* options 60, 77, 12, where the order has them */
	uint16_t arch, max_size;  /* options 93, 57 */
	uint8_t ndi[3];		  /* option 94 */
	uint16_t min_len;	  /* zeros up to this */
	bool broadcast;		  /* wants the reply to everybody */
	bool requests;		  /* OFFER, REQUEST, ACK; else OFFER alone */
	bool pxe_menu;		  /* option 43 must be PXE sub-options; else any text in it counts */
	bool three_spaces;	  /* 3B ROM: the menu text must end in three spaces */
	bool direct_only;	  /* 3B ROM: drops what came through a relay */
	bool needs_nudge;	  /* 3B ROM: acts on a reply only when another frame follows its timer */
	bool last_wins;		  /* of options 43 and 66, the later one in the packet gives the server */
	bool server_is_next;	  /* siaddr is the server, options 43 and 66 mean nothing: all that is not firmware */
	bool drops_short;	  /* replies of fewer than 300 bytes are no replies */
	bool backs_off;		  /* the interval doubles up to max_interval_ns */
	uint32_t xid;		  /* 0: a new one for each exchange */
	uint8_t tries;		  /* 0: no limit but total_ns */
	uint64_t interval_ns, max_interval_ns, total_ns;
};

/* Firmware (dhcp_styles.c); eeprom_2020: its REQUEST has no option 60. */
extern const struct br_sim_dhcp_style br_sim_dhcp_rom_3b, br_sim_dhcp_rom_3bp, br_sim_dhcp_bootcode,
	br_sim_dhcp_eeprom, br_sim_dhcp_eeprom_2020;
/* What it may start (wire facts 1.8, 4.1, 4.3). */
extern const struct br_sim_dhcp_style br_sim_dhcp_uboot, br_sim_dhcp_uboot_efi, br_sim_dhcp_uboot_lwip, br_sim_dhcp_ipxe,
	br_sim_dhcp_edk2, br_sim_dhcp_edk2_http, br_sim_dhcp_kernel, br_sim_dhcp_klibc, br_sim_dhcp_os;

enum br_sim_dhcp_state {
	BR_SIM_DHCP_DISCOVER, /* asking for offers */
	BR_SIM_DHCP_REQUEST,  /* waiting for the ACK */
	BR_SIM_DHCP_BOUND,
	BR_SIM_DHCP_FAILED,
};

enum br_sim_dhcp_saw { /* what arrived, for the words when it fails */
	BR_SIM_SAW_REPLY = 1,
	BR_SIM_SAW_ADDRESS = 2,
	BR_SIM_SAW_SERVER = 4,
	BR_SIM_SAW_FOREIGN_MENU = 8, /* option 43 without our item */
	BR_SIM_SAW_NAK = 16,
	BR_SIM_SAW_RELAYED = 32,
	BR_SIM_SAW_SHORT = 64,	    /* fewer than 300 bytes of BOOTP: the kernel will drop such */
	BR_SIM_SAW_BAD_66 = 128,    /* option 66 is a name: firmware has no DNS */
	BR_SIM_SAW_UNHEARD = 256,   /* 3B ROM: an OFFER, but no frame after its timer */
};

#define BR_SIM_DHCP_MAX 600 /* longest message built here */
#define BR_SIM_DHCP_FILE 256

struct br_sim_dhcp {
	const struct br_sim_dhcp_style *style;
	struct br_mac mac;
	uint8_t guid[17]; /* option 97 as on the wire */
	enum br_sim_dhcp_state state;
	uint32_t xid, ip, mask, router, tftp, server_id, siaddr;
	char file[BR_SIM_DHCP_FILE]; /* for loaders: what they are to fetch, "" : nothing was named */
	unsigned n_sent, saw;
	uint64_t wait_ns;
	uint64_t next_ns, end_ns; /* when poll() has something to do; when all is lost */
	uint64_t ripe_ns;	  /* 3B ROM: a frame after this makes it look at the OFFER */
};

void br_sim_dhcp_start(struct br_sim_dhcp *d, const struct br_sim_dhcp_style *style, struct br_mac mac,
	const uint8_t guid[static 17], uint32_t xid, uint64_t now_ns);
/* Builds what is due now (0 bytes when nothing is), to be broadcast from port 68 to 67. May fail the state. */
size_t br_sim_dhcp_poll(struct br_sim_dhcp *d, uint64_t now_ns, uint8_t out[static BR_SIM_DHCP_MAX]);
/* A datagram to port 68. True when it was an answer to us. */
bool br_sim_dhcp_input(struct br_sim_dhcp *d, uint64_t now_ns, const uint8_t *data, size_t len, uint32_t src_ip);
/* Any frame that reached the board: the 3B ROM's bug needs to know. */
void br_sim_dhcp_frame(struct br_sim_dhcp *d, uint64_t now_ns);
/* Earliest time at which poll() does something. */
uint64_t br_sim_dhcp_deadline(const struct br_sim_dhcp *d);
/* Why it failed, and what to do: one sentence. */
const char *br_sim_dhcp_why(const struct br_sim_dhcp *d);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fleet/fleet.h"
#include "nfs/server.h"
#include "plan/boots.h"
#include "why/facts.h"
#include "why/watch.h"

/*
 * Why does a board stay dark? What the wire told (facts), what the daemon did (events) and what it is set to, held
 * against a table of known symptoms (rules.c; the rows of docs/why.md). A pure function: time comes in.
 */
enum br_why_level {
	BR_WHY_FINE,	/* it is up, or left to boot by itself as it was told */
	BR_WHY_BOOTING, /* on its way: the text says how far, and what comes next */
	BR_WHY_NOTE,	/* it boots, but not as it could */
	BR_WHY_WRONG,
};
const char *br_why_level_name(enum br_why_level level); /* "fine", "booting", "note", "wrong" */

#define BR_WHY_EVENTS 6	    /* the last ones shown */
#define BR_WHY_EVIDENCE 32
#define BR_WHY_LINE 200

/* The board's last order to write its storage. */
struct br_why_flash {
	enum {
		BR_WHY_FLASH_NONE,
		BR_WHY_FLASH_WAITING,
		BR_WHY_FLASH_WRITING,
		BR_WHY_FLASH_VERIFIED,
		BR_WHY_FLASH_ENDED, /* well, or withdrawn */
		BR_WHY_FLASH_FAILED,
	} state;
	uint32_t order;
	char target[12], up[8];
	char what[16], word[12]; /* FAILED: the order's; the board's own word, where it was the board that failed */
	char reason[200];
	char progress[80];	 /* WRITING: how far, in words */
	uint32_t begun;		 /* how often the board began */
	/* monotonic, 0: never */
	uint64_t contact_ns;	 /* its firmware or U-Boot asked for an address since the order */
	uint64_t asked_ns;	 /* it asked for a piece last */
	uint64_t verified_ns, ended_ns;
};

/* Everything a verdict is a function of. Zero, then filled. */
struct br_why_input {
	uint64_t now_ns, now_wall_ns; /* the same moment */
	bool heard;
	struct br_why_facts facts; /* when heard */
	struct br_mac mac;	   /* zero: not known */
	char name[BR_BOARD_NAME_MAX + 1]; /* "" : no board of ours */
	bool local;		   /* its road: left to boot by itself */
	bool image;		   /* there is one for it */
	bool waits;		   /* for its turn to boot: we keep silent until then */
	uint32_t waits_before;	   /* boards whose turn comes first */
	struct br_boot_status boot;
	bool has_boot;
	/* us */
	uint32_t server_ip;
	bool dhcp;	/* we answer DHCP, as server or as proxy */
	bool link_down; /* our interface has no carrier */
	size_t n_booting; /* boards whose firmware asked within the last minute */
	struct br_mac twin; /* another board with its serial; zero: none */
	struct br_why_flash flash;
	uint64_t watching_since_ns;
	struct br_watch *watch; /* for the last packets as evidence; may be NULL */
	/* digest of events, by br_why_add_event() */
	uint64_t mounted_ns, up_ns, disk_full_ns, dhcp_full_ns;
	char disk_full_words[BR_WHY_WORDS];
	uint64_t usb_failed_ns; /* its last session on USB; 0: it went well, or runs, or there was none */
	char usb_words[2 * BR_WHY_WORDS], usb_path[24];
	char image_words[2 * BR_WHY_WORDS]; /* what is wrong with the file of the image it booted; "" : nothing */
	struct br_why_span mount_refused;
	struct br_why_span trouble[BR_NFS_N_TROUBLES]; /* of its root, by enum br_nfs_trouble */
	char refused_words[BR_WHY_WORDS], refused_path[BR_WHY_WORDS];
	struct {
		uint64_t t_ns;
		char text[BR_WHY_LINE];
	} events[BR_WHY_EVENTS];
	unsigned n_events;
};

/* Those of this life count, others are passed over; facts, now_ns and now_wall_ns must be there. In order of time.
 * text: the event in words. */
void br_why_add_event(struct br_why_input *in, const struct br_event *ev, const char *text);

struct br_verdict {
	unsigned row; /* of docs/why.md; 0: none of them */
	enum br_why_level level;
	char text[600];
	char cure[600]; /* "" : nothing to do */
	char evidence[BR_WHY_EVIDENCE][BR_WHY_LINE]; /* "+12.3 s  ..." since power-on */
	unsigned n_evidence;
};

/* 0 or -EINVAL (no time given). */
int br_why(const struct br_why_input *in, struct br_verdict *ret);

/* The table, for documents and tests: rule i, false behind the last. */
struct br_why_rule_info {
	unsigned row;
	enum br_why_level level;
	const char *verdict, *cure;
};
bool br_why_rule(size_t i, struct br_why_rule_info *ret);

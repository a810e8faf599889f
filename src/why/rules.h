/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the files of the diagnosis; not for others. */
#include "why/why.h"

enum br_where { /* how far the board is, as bits for the rules */
	BR_AT_SILENT = 1,
	BR_AT_DHCP = 2,
	BR_AT_FILES = 4,
	BR_AT_KERNEL = 8, /* it was fetched, or speaks */
	BR_AT_ROOT = 16,  /* mounted */
	BR_AT_UP = 32,
};

enum br_show { /* what is evidence */
	BR_SHOW_DHCP = 1,
	BR_SHOW_ARP = 2,
	BR_SHOW_FILES = 4,
	BR_SHOW_ROOT = 8,
	BR_SHOW_LIVES = 16,
	BR_SHOW_WEB = 32,
	BR_SHOW_PACKETS = 64,
	BR_SHOW_FLASH = 128,
};

/* A question being answered; a rule's predicate leaves here what its sentence names. */
struct br_case {
	const struct br_why_input *in;
	const struct br_why_facts *f;
	uint64_t now;
	enum br_where at;
	uint32_t ip, ip2;
	unsigned n;
	uint64_t ns;
	const char *file, *words;
	struct br_mac mac;
};

struct br_rule {
	unsigned row; /* of section 5 of the wire notes, docs/why.md; 0: a state of bramble's own */
	enum br_why_level level;
	unsigned at; /* enum br_where */
	bool (*when)(struct br_case *c);
	const char *verdict, *cure; /* {ip} and the like: see why.c */
	unsigned show;
};

extern const struct br_rule br_rules[]; /* ended by verdict == NULL */

/* evidence.c */
void br_why_show(const struct br_case *c, unsigned show, struct br_verdict *v);

static inline uint64_t br_case_age(const struct br_case *c, uint64_t then)
{
	return then && c->now > then ? c->now - then : 0;
}

/* The firmware's part: which client asked last, and whether a transfer of ours is under way. */
enum br_dhcp_client_kind br_case_firmware(const struct br_case *c);
bool br_case_transfers(const struct br_case *c);

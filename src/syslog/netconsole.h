/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "logs/logs.h"

/*
 * What boards send to UDP 6666: the kernel's netconsole (a text as the console has it, or the extended format: "6,416,1758426,-;text"
 * and lines of a dictionary, in pieces with "ncfrag=OFFSET/TOTAL"), U-Boot's (bytes as they are printed), and the EEPROM
 * bootloader's NETCONSOLE. One struct for each sender puts pieces together to lines and tells who speaks: the extended format and
 * a time in brackets are the kernel's, port 6666 is U-Boot's own, well-known words are U-Boot's and the bootloader's; what says
 * nothing of that is of who spoke last.
 */
#define BR_NETCONSOLE_KERNEL_PORT 6664 /* ours give it as theirs (cmdline), so that it is no guess */

struct br_netconsole {
	enum br_logs_source source; /* BR_LOGS_BRAMBLE: nobody yet */
	char line[BR_LOGS_TEXT_MAX + 4]; /* begun, without its end; more than a line has (but "<6>"), so that the store counts it as cut */
	size_t n;
	uint64_t begun_ns;
	struct {
		uint64_t number; /* of the message */
		unsigned severity;
		size_t total, n; /* 0: none under way */
		char text[BR_LOGS_TEXT_MAX];
	} parts;
};

typedef void (*br_netconsole_fn)(void *ctx, enum br_logs_source source, unsigned severity, const char *text, size_t n);
/* A datagram: fn gets the lines that are complete by it. */
void br_netconsole_take(struct br_netconsole *nc, uint16_t port, const void *data, size_t n, uint64_t now_ns, br_netconsole_fn fn,
	void *ctx);
/* A second after a line was begun it is a line: a prompt has no end. True: nothing is under way any more. */
bool br_netconsole_tick(struct br_netconsole *nc, uint64_t now_ns, br_netconsole_fn fn, void *ctx);

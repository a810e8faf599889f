/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "why/facts.h"

/*
 * The watch: frames of the segment folded into facts per board, and each board's last packets kept. No sockets, no
 * clock; its own lock: frames come from one thread, questions from others.
 *
 * Watched is what behaves like a board: Raspberry Pi's firmware or a network boot's kernel by the shape of its DHCP,
 * a client of TFTP, or a MAC of Raspberry Pi's. Memory is bounded: at most max_boards of about 17 KiB, and BR_WATCH_RINGS. When they are
 * all taken, one that did no more than ask goes before one that was served, the longest silent first: a flood of
 * made-up MACs pushes out itself.
 */
struct br_watch;

#define BR_WATCH_BOARDS 1024
#define BR_WATCH_RING 16384 /* bytes of packets per board at most: some hundred, a stock boot up to its kernel */
#define BR_WATCH_RINGS (3u << 20) /* of all boards: when more than some 200 boot, each keeps fewer packets */
#define BR_WATCH_SNAP 640   /* bytes kept of one: a DHCP packet whole, with our longest reply */

struct br_watch_options {
	uint32_t server_ip; /* ours */
	size_t max_boards;  /* 0: BR_WATCH_BOARDS */
};

int br_watch_new(const struct br_watch_options *opt, struct br_watch **ret);
void br_watch_free(struct br_watch *watch);

/* A frame that was seen: len bytes of it here, wire_len on the wire. out: this machine sent it. */
void br_watch_frame(struct br_watch *watch, const void *frame, size_t len, size_t wire_len, bool out,
	uint64_t now_ns);

/* What is known of a MAC. -ENOENT: it was never heard. */
int br_watch_facts(struct br_watch *watch, struct br_mac mac, struct br_why_facts *ret);
/* A MAC by its address, or by the serial it tells: -ENOENT. */
int br_watch_by_ip(struct br_watch *watch, uint32_t ip, struct br_mac *ret);
int br_watch_by_serial(struct br_watch *watch, uint32_t serial, struct br_mac *ret);
/* Another board with that serial that was heard since; -ENOENT: none. */
int br_watch_twin(struct br_watch *watch, struct br_mac mac, uint32_t serial, uint64_t since_ns, struct br_mac *ret);
/* Boards whose firmware asked since. */
size_t br_watch_booting(struct br_watch *watch, uint64_t since_ns);
size_t br_watch_count(struct br_watch *watch);

/* The board's last packets, oldest first; fn returns 0 to go on. It may not call back into the watch. */
struct br_watch_packet {
	uint64_t t_ns;
	size_t len, wire_len;
	bool from_board;
	const uint8_t *data;
};
int br_watch_packets(struct br_watch *watch, struct br_mac mac,
	int (*fn)(void *ctx, const struct br_watch_packet *packet), void *ctx);

/* The same as a capture file (pcap, microseconds, Ethernet), in fresh memory. wall_ns: the wall clock at now_ns.
 * -ENOENT: never heard; -ENOMEM. */
int br_watch_pcap(struct br_watch *watch, struct br_mac mac, uint64_t now_ns, uint64_t wall_ns, uint8_t **ret,
	size_t *ret_len);

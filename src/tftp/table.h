/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "tftp/transfer.h"

/*
 * The running transfers: found by peer (hash), by time (a heap), and by who goes first when all
 * places are taken (two lists). Every operation a packet needs is O(1); timers are O(log n) and
 * lazy: progress only writes deadline_ns, the heap learns of it when the old time comes.
 */
struct br_tftp_list { /* in order of arrival; 'proven' is also a clock: who was passed over goes last */
	struct br_tftp_transfer *first, *last;
};

struct br_tftp_table {
	struct br_tftp_transfer **slots; /* n_slots is a power of two */
	struct br_tftp_transfer **heap;
	size_t n_slots;
	unsigned n, max;
	uint64_t seed; /* so that nobody can choose ports that collide */
	struct br_tftp_list unproven, proven;
};

int br_tftp_table_init(struct br_tftp_table *table, unsigned max);
/* The table must be empty. */
void br_tftp_table_done(struct br_tftp_table *table);

struct br_tftp_transfer *br_tftp_table_find(const struct br_tftp_table *table, uint32_t ip, uint16_t port);
/* Room is the caller's to make; t->peer and deadline_ns are set. */
void br_tftp_table_add(struct br_tftp_table *table, struct br_tftp_transfer *t);
void br_tftp_table_remove(struct br_tftp_table *table, struct br_tftp_transfer *t);
void br_tftp_table_set_deadline(struct br_tftp_table *table, struct br_tftp_transfer *t, uint64_t deadline_ns);
void br_tftp_table_set_proven(struct br_tftp_table *table, struct br_tftp_transfer *t);
/* One that is due, or NULL and when the next may be (UINT64_MAX: none). */
struct br_tftp_transfer *br_tftp_table_due(struct br_tftp_table *table, uint64_t now_ns, uint64_t *ret_next_ns);
/* Who gives way to a new request: the oldest that never answered, else one not heard of since before_ns; else NULL. */
struct br_tftp_transfer *br_tftp_table_victim(struct br_tftp_table *table, uint64_t before_ns);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "syslog/netconsole.h"

/* Who sends: an address, the board that has it, what of its netconsole is under way. Bounded: the stranger known longest goes. */
#define BR_SENDERS_MAX 2048

struct br_sender {
	uint32_t ip;
	int64_t board_id; /* 0: a stranger */
	struct br_netconsole *nc; /* NULL: it sent none yet */
};

struct br_senders;

/* whose: as in struct br_receiver_ops; asked again after 10 s (1 s after -EAGAIN), and for strangers at most 200 times a
 * second. */
struct br_senders *br_senders_new(int (*whose)(void *ctx, uint32_t ip, int64_t *ret_board_id), void *ctx);
void br_senders_free(struct br_senders *s);
/* Valid until the next call. NULL: memory is out. */
struct br_sender *br_senders_find(struct br_senders *s, uint32_t ip, uint64_t now_ns);
/* All that have a netconsole. */
void br_senders_each(struct br_senders *s, void (*fn)(void *ctx, struct br_sender *sender), void *ctx);

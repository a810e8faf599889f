/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "dhcp/server.h"

/*
 * Replies that wait until what they promise is stable, in the order they were made: a ring of a fixed size.
 * For the DHCP thread, but for br_dhcp_parked_tell().
 */
struct br_dhcp_parked;

struct br_dhcp_parked *br_dhcp_parked_new(void);
void br_dhcp_parked_free(struct br_dhcp_parked *p);
size_t br_dhcp_parked_room(const struct br_dhcp_parked *p);
/* There must be room. */
void br_dhcp_parked_add(struct br_dhcp_parked *p, const struct br_dhcp_reply *reply);
/* Those added since the last call wait for this ticket; 0: for the one before, whatever that was. */
void br_dhcp_parked_close(struct br_dhcp_parked *p, uint64_t ticket);
/* Whether any wait for the disk, of those that were closed. */
bool br_dhcp_parked_waits(const struct br_dhcp_parked *p);
/* Those added since the last close are dropped. How many. */
size_t br_dhcp_parked_drop(struct br_dhcp_parked *p);
/* As br_dhcp_io_stable(). From any thread. */
void br_dhcp_parked_tell(struct br_dhcp_parked *p, uint64_t ticket, int r);
/* The next that may leave, valid until the next call that adds; NULL: none. *ret_lost: how many before it were lost. */
struct br_dhcp_reply *br_dhcp_parked_next(struct br_dhcp_parked *p, uint64_t *ret_lost);

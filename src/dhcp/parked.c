/* SPDX-License-Identifier: Apache-2.0 */
/* Replies that wait for the disk. */
#include "dhcp/parked.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/cleanup.h"

#define MAX_PARKED 4096 /* 8000 replies a second while the disk takes half a second; memory that is touched only then */

struct br_dhcp_parked {
	_Atomic uint64_t stable, lost; /* tickets up to these; where both say so, it is lost */
	uint64_t last;		       /* ticket of what was stored last */
	size_t head, n, n_open;	       /* n_open: the last of the n, which have no ticket yet */
	struct {
		uint64_t ticket;
		struct br_dhcp_reply reply;
	} ring[MAX_PARKED];
};

struct br_dhcp_parked *br_dhcp_parked_new(void)
{
	return calloc(1, sizeof(struct br_dhcp_parked));
}

void br_dhcp_parked_free(struct br_dhcp_parked *p)
{
	free(p);
}

size_t br_dhcp_parked_room(const struct br_dhcp_parked *p)
{
	return MAX_PARKED - p->n;
}

void br_dhcp_parked_add(struct br_dhcp_parked *p, const struct br_dhcp_reply *reply)
{
	p->ring[(p->head + p->n) % MAX_PARKED].reply = *reply;
	p->n++;
	p->n_open++;
}

void br_dhcp_parked_close(struct br_dhcp_parked *p, uint64_t ticket)
{
	if (ticket)
		p->last = ticket;
	for (; p->n_open; p->n_open--)
		p->ring[(p->head + p->n - p->n_open) % MAX_PARKED].ticket = p->last;
}

bool br_dhcp_parked_waits(const struct br_dhcp_parked *p)
{
	return p->n > p->n_open;
}

size_t br_dhcp_parked_drop(struct br_dhcp_parked *p)
{
	size_t n = p->n_open;

	p->n -= n;
	p->n_open = 0;
	return n;
}

void br_dhcp_parked_tell(struct br_dhcp_parked *p, uint64_t ticket, int r)
{
	atomic_store(r < 0 ? &p->lost : &p->stable, ticket);
}

struct br_dhcp_reply *br_dhcp_parked_next(struct br_dhcp_parked *p, uint64_t *ret_lost)
{
	uint64_t lost = atomic_load(&p->lost), stable = atomic_load(&p->stable);

	*ret_lost = 0;
	while (p->n > p->n_open) {
		size_t at = p->head;
		uint64_t ticket = p->ring[at].ticket;

		if (ticket > lost && ticket > stable)
			return NULL;
		p->head = (p->head + 1) % MAX_PARKED;
		p->n--;
		if (!ticket || ticket > lost)
			return &p->ring[at].reply;
		(*ret_lost)++;
	}
	return NULL;
}

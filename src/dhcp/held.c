/* SPDX-License-Identifier: Apache-2.0 */
/* Requests by MAC, hashed with a key of our own: each has a few places where it may be. */
#include "dhcp/held.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/siphash.h"

#define N_SLOTS 2048 /* a power of two */
#define N_PROBES 8

struct slot {
	struct br_mac mac;
	uint16_t len; /* 0: free */
	uint64_t at_ns;
	uint8_t packet[BR_DHCP_HELD_MAX];
};

struct br_dhcp_held {
	uint8_t key[16];
	struct slot slots[N_SLOTS]; /* memory that is never touched costs nothing */
};

struct br_dhcp_held *br_dhcp_held_new(void)
{
	struct br_dhcp_held *h = calloc(1, sizeof(*h));

	if (h)
		br_random(h->key, sizeof(h->key));
	return h;
}

void br_dhcp_held_free(struct br_dhcp_held *h)
{
	free(h);
}

/* Where it is, else where it may go: a free place, or that of the oldest. */
static struct slot *place(struct br_dhcp_held *h, struct br_mac mac)
{
	uint64_t at = br_siphash(h->key, mac.b, sizeof(mac.b));
	struct slot *best = &h->slots[at % N_SLOTS];

	for (size_t i = 0; i < N_PROBES; i++) {
		struct slot *s = &h->slots[(at + i) % N_SLOTS];

		if (s->len && br_mac_equal(s->mac, mac))
			return s;
		if (best->len && (!s->len || s->at_ns < best->at_ns))
			best = s;
	}
	return best;
}

void br_dhcp_held_put(struct br_dhcp_held *h, struct br_mac mac, const uint8_t *packet, size_t len, uint64_t now_ns)
{
	struct slot *s;

	if (!len || len > BR_DHCP_HELD_MAX)
		return;
	s = place(h, mac);
	s->mac = mac;
	s->len = (uint16_t)len;
	s->at_ns = now_ns;
	memcpy(s->packet, packet, len);
}

size_t br_dhcp_held_take(struct br_dhcp_held *h, struct br_mac mac, uint64_t now_ns,
	uint8_t out[static BR_DHCP_HELD_MAX])
{
	struct slot *s = place(h, mac);
	size_t n = s->len;

	if (!n || !br_mac_equal(s->mac, mac))
		return 0;
	s->len = 0;
	if (now_ns - s->at_ns > BR_DHCP_HELD_NS)
		return 0;
	memcpy(out, s->packet, n);
	return n;
}

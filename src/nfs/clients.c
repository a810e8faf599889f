/* SPDX-License-Identifier: Apache-2.0 */
#include "nfs/clients.h"

#include <stdlib.h>

#include "base/clock.h"

#define SETS      1024 /* by address */
#define WAYS      4
#define REPORT_NS BR_S
#define TELL_NS   (10 * BR_S)

struct client {
	uint32_t ip; /* 0: free */
	bool changed;
	uint64_t used_ns, reported_ns, told_ns;
	uint64_t reads, read_bytes, writes, written_bytes;
	struct br_nfs_seen seen;
};

struct br_nfs_clients {
	unsigned n_changed;
	struct client table[SETS][WAYS];
};

struct br_nfs_clients *br_nfs_clients_new(void)
{
	return calloc(1, sizeof(struct br_nfs_clients));
}

void br_nfs_clients_free(struct br_nfs_clients *clients)
{
	free(clients);
}

static struct client *get(struct br_nfs_clients *clients, uint32_t ip)
{
	struct client *set = clients->table[(ip ^ ip >> 10 ^ ip >> 20) % SETS], *oldest = set;

	for (unsigned i = 0; i < WAYS; i++) {
		if (set[i].ip == ip)
			return &set[i];
		if (set[i].used_ns < oldest->used_ns)
			oldest = &set[i];
	}
	if (oldest->changed)
		clients->n_changed--;
	*oldest = (struct client){ .ip = ip };
	return oldest;
}

static void report(struct br_nfs_clients *clients, struct client *c, uint64_t now_ns,
	br_nfs_clients_fn *fn, void *ctx)
{
	c->reported_ns = now_ns;
	if (c->changed)
		clients->n_changed--;
	c->changed = false;
	fn(ctx, c->ip, c->reads, c->read_bytes, c->writes, c->written_bytes);
}

void br_nfs_clients_count(struct br_nfs_clients *clients, uint32_t ip, bool write, uint64_t bytes,
	uint64_t now_ns, br_nfs_clients_fn *fn, void *ctx)
{
	struct client *c = get(clients, ip);
	uint64_t n;

	c->used_ns = now_ns;
	if (write) {
		n = c->writes++;
		c->written_bytes += bytes;
	} else {
		n = c->reads++;
		c->read_bytes += bytes;
	}
	if (!c->changed)
		clients->n_changed++;
	c->changed = true;
	if (n == 0)
		report(clients, c, now_ns, fn, ctx);
}

struct br_nfs_seen *br_nfs_clients_seen(struct br_nfs_clients *clients, uint32_t ip, uint64_t now_ns)
{
	struct client *c = get(clients, ip);

	c->used_ns = now_ns;
	return &c->seen;
}

bool br_nfs_clients_may_tell(struct br_nfs_clients *clients, uint32_t ip, uint64_t now_ns)
{
	struct client *c = get(clients, ip);

	c->used_ns = now_ns;
	if (c->told_ns && now_ns - c->told_ns < TELL_NS)
		return false;
	c->told_ns = now_ns;
	return true;
}

bool br_nfs_clients_report_due(const struct br_nfs_clients *clients)
{
	return clients->n_changed > 0;
}

void br_nfs_clients_report(
	struct br_nfs_clients *clients, uint64_t now_ns, br_nfs_clients_fn *fn, void *ctx)
{
	for (unsigned i = 0; clients->n_changed && i < SETS * WAYS; i++) {
		struct client *c = &clients->table[i / WAYS][i % WAYS];

		if (c->changed && now_ns - c->reported_ns >= REPORT_NS)
			report(clients, c, now_ns, fn, ctx);
	}
}

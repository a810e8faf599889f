/* SPDX-License-Identifier: Apache-2.0 */
#include "syslog/senders.h"

#include <errno.h>
#include <stdlib.h>
#include <uthash.h>

#include "base/clock.h"

#define KNOWN_NS (10 * BR_S)
#define UNKNOWN_NS BR_S
#define LOOKS_PER_S 200

struct entry {
	UT_hash_handle hh;
	struct br_sender sender;
	uint64_t ask_ns; /* when to ask again */
};

struct br_senders {
	int (*whose)(void *ctx, uint32_t ip, int64_t *ret_board_id);
	void *ctx;
	struct entry *all;
	uint64_t second_ns;
	unsigned looks; /* in this second */
};

struct br_senders *br_senders_new(int (*whose)(void *ctx, uint32_t ip, int64_t *ret_board_id), void *ctx)
{
	struct br_senders *s = calloc(1, sizeof(*s));

	if (s) {
		s->whose = whose;
		s->ctx = ctx;
	}
	return s;
}

static void forget(struct br_senders *s, struct entry *e)
{
	HASH_DEL(s->all, e);
	free(e->sender.nc);
	free(e);
}

void br_senders_free(struct br_senders *s)
{
	if (!s)
		return;
	while (s->all)
		forget(s, s->all);
	free(s);
}

/* Made-up addresses must not keep the database busy. */
static bool may_look(struct br_senders *s, uint64_t now_ns)
{
	if (now_ns - s->second_ns >= BR_S) {
		s->second_ns = now_ns;
		s->looks = 0;
	}
	return s->looks++ < LOOKS_PER_S;
}

/* A place for one more: of the stranger known longest. All are boards: of the first one. */
static void make_place(struct br_senders *s)
{
	struct entry *e = s->all; /* uthash keeps the order in which they came */

	if (HASH_COUNT(s->all) < BR_SENDERS_MAX)
		return;
	while (e && e->sender.board_id)
		e = e->hh.next;
	forget(s, e ? e : s->all);
}

static void look(struct br_senders *s, struct entry *e, uint64_t now_ns)
{
	int64_t id = 0;
	int r;

	/* boards are few, and must not wait for strangers */
	if (!e->sender.board_id && !may_look(s, now_ns)) {
		e->ask_ns = now_ns + UNKNOWN_NS;
		return;
	}
	r = s->whose(s->ctx, e->sender.ip, &id);
	if (r >= 0)
		e->sender.board_id = id;
	else if (r == -ENOENT)
		e->sender.board_id = 0;
	/* else nobody can say just now: it stays whose it was */
	e->ask_ns = now_ns + (r >= 0 || r == -ENOENT ? KNOWN_NS : UNKNOWN_NS);
}

struct br_sender *br_senders_find(struct br_senders *s, uint32_t ip, uint64_t now_ns)
{
	struct entry *e;

	HASH_FIND(hh, s->all, &ip, sizeof(ip), e);
	if (!e) {
		make_place(s);
		e = calloc(1, sizeof(*e));
		if (!e)
			return NULL;
		e->sender.ip = ip;
		HASH_ADD(hh, s->all, sender.ip, sizeof(ip), e);
	}
	if (now_ns >= e->ask_ns)
		look(s, e, now_ns);
	return &e->sender;
}

void br_senders_each(struct br_senders *s, void (*fn)(void *ctx, struct br_sender *sender), void *ctx)
{
	for (struct entry *e = s->all; e; e = e->hh.next)
		if (e->sender.nc)
			fn(ctx, &e->sender);
}

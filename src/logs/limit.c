/* SPDX-License-Identifier: Apache-2.0 */
#include "logs/limit.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/clock.h"

#define IDLE_NS (600 * BR_S) /* a stranger that said nothing for so long is forgotten */

struct held {
	struct br_logs_line line;
	char bytes[]; /* stream, text */
};

struct sender {
	UT_hash_handle hh;
	uint64_t key; /* of the board, or its address */
	int64_t board_id;
	uint32_t ip;
	uint64_t units, seen_ns; /* a token is BR_S units */
	uint64_t lost, told_ns;	 /* lost: not told yet */
	struct held **held;	 /* a ring of BR_LOGS_HELD */
	size_t first, n_held;
	struct sender *next_busy; /* those with lines that wait, or losses to tell */
	bool busy;
};

struct br_logs_limits {
	uint64_t rate, burst; /* units a nanosecond: the rate as it is; units */
	struct sender *senders, *busy;
	size_t n_strangers;
	uint64_t full_ns; /* until then there is no place for another stranger */
	uint64_t lost, n_held, held_bytes[2]; /* the boards', the strangers' */
};

struct br_logs_limits *br_logs_limits_new(uint32_t rate, uint32_t burst)
{
	struct br_logs_limits *l = calloc(1, sizeof(*l));

	if (l) {
		l->rate = rate;
		l->burst = (uint64_t)burst * BR_S;
	}
	return l;
}

/* The oldest line that waits, out of the ring; free(). */
static struct held *take_held(struct br_logs_limits *l, struct sender *s)
{
	struct held *h = s->held[s->first];

	s->held[s->first] = NULL;
	s->first = (s->first + 1) % BR_LOGS_HELD;
	s->n_held--;
	l->n_held--;
	l->held_bytes[!s->board_id] -= sizeof(*h) + h->line.n_stream + h->line.n_text;
	return h;
}

static void forget(struct br_logs_limits *l, struct sender *s)
{
	l->n_strangers -= !s->board_id;
	HASH_DEL(l->senders, s);
	while (s->n_held)
		free(take_held(l, s));
	free(s->held);
	free(s);
}

void br_logs_limits_free(struct br_logs_limits *l)
{
	struct sender *s, *next;

	if (!l)
		return;
	HASH_ITER(hh, l->senders, s, next)
		forget(l, s);
	free(l);
}

/* A stranger's place for another one: of who was silent longest, if that is long. */
static bool make_place(struct br_logs_limits *l, uint64_t now_ns)
{
	struct sender *s, *next, *oldest = NULL;

	if (l->n_strangers < BR_LOGS_STRANGERS)
		return true;
	if (now_ns < l->full_ns)
		return false;
	HASH_ITER(hh, l->senders, s, next) {
		if (!s->board_id && s->ip && !s->busy && (!oldest || s->seen_ns < oldest->seen_ns))
			oldest = s;
	}
	if (!oldest || now_ns - oldest->seen_ns < IDLE_NS) {
		l->full_ns = now_ns + BR_S; /* the search is not for each datagram of a flood */
		return false;
	}
	forget(l, oldest);
	return true;
}

static struct sender *find(struct br_logs_limits *l, int64_t board_id, uint32_t ip, uint64_t now_ns)
{
	uint64_t key = board_id ? (uint64_t)board_id << 1 : (uint64_t)ip << 1 | 1;
	struct sender *s;

	HASH_FIND(hh, l->senders, &key, sizeof(key), s);
	if (s)
		return s;
	if (!board_id && ip && !make_place(l, now_ns))
		return find(l, 0, 0, now_ns); /* the many share one */
	s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	s->key = key;
	s->board_id = board_id;
	s->ip = board_id ? 0 : ip;
	s->units = l->burst;
	s->seen_ns = now_ns;
	l->n_strangers += !board_id;
	HASH_ADD(hh, l->senders, key, sizeof(s->key), s);
	return s;
}

static void refill(const struct br_logs_limits *l, struct sender *s, uint64_t now_ns)
{
	uint64_t ns = now_ns > s->seen_ns ? now_ns - s->seen_ns : 0;
	uint64_t room = l->burst - s->units;

	/* before the product could grow too large */
	s->units += ns > room / l->rate ? room : ns * l->rate;
	s->seen_ns = now_ns > s->seen_ns ? now_ns : s->seen_ns;
}

static uint64_t cost(const struct br_logs_line *line)
{
	return (1 + (line->n_text ? (line->n_text - 1) / BR_LOGS_COST : 0)) * BR_S;
}

/* Strangers pay twice: from what is theirs, and from what is for all of them, so that made-up addresses gain nothing. */
static bool pay(struct br_logs_limits *l, struct sender *s, const struct br_logs_line *line, uint64_t now_ns)
{
	struct sender *crowd = s->board_id ? NULL : find(l, 0, 0, now_ns);
	uint64_t units = cost(line) < l->burst ? cost(line) : l->burst; /* a long line must not wait for ever */

	refill(l, s, now_ns);
	if (crowd && crowd != s)
		refill(l, crowd, now_ns);
	if (s->units < units || (crowd && crowd->units < units))
		return false;
	s->units -= units;
	if (crowd && crowd != s)
		crowd->units -= units;
	return true;
}

static void make_busy(struct br_logs_limits *l, struct sender *s)
{
	if (s->busy)
		return;
	s->busy = true;
	s->next_busy = l->busy;
	l->busy = s;
}

static void lose(struct br_logs_limits *l, struct sender *s)
{
	s->lost++;
	l->lost++;
	make_busy(l, s);
}

static void hold(struct br_logs_limits *l, struct sender *s, const struct br_logs_line *line)
{
	size_t n = sizeof(struct held) + line->n_stream + line->n_text;
	uint64_t *bytes = &l->held_bytes[!s->board_id], max = s->board_id ? BR_LOGS_HELD_BYTES : BR_LOGS_HELD_BYTES / 4;
	struct held *h;

	if (!s->held)
		s->held = calloc(BR_LOGS_HELD, sizeof(void *));
	while (s->held && s->n_held && (s->n_held == BR_LOGS_HELD || *bytes + n > max)) {
		free(take_held(l, s));
		lose(l, s);
	}
	h = s->held && *bytes + n <= max ? malloc(n) : NULL;
	if (!h) {
		lose(l, s);
		return;
	}
	h->line = *line;
	h->line.stream = h->bytes;
	h->line.text = h->bytes + line->n_stream;
	if (line->n_stream)
		memcpy(h->bytes, line->stream, line->n_stream);
	if (line->n_text)
		memcpy(h->bytes + line->n_stream, line->text, line->n_text);
	s->held[(s->first + s->n_held++) % BR_LOGS_HELD] = h;
	l->n_held++;
	*bytes += n;
	make_busy(l, s);
}

bool br_logs_limits_pass(struct br_logs_limits *l, const struct br_logs_line *line, uint64_t now_ns)
{
	struct sender *s = find(l, line->board_id, line->ip, now_ns);

	if (!s) {
		l->lost++;
		return false;
	}
	if (!s->n_held && pay(l, s, line, now_ns))
		return true;
	hold(l, s, line);
	return false;
}

void br_logs_limits_due(struct br_logs_limits *l, uint64_t now_ns, void (*fn)(void *ctx, const struct br_logs_line *line),
	void *ctx)
{
	struct sender **at = &l->busy;

	while (*at) {
		struct sender *s = *at;

		while (s->n_held && pay(l, s, &s->held[s->first]->line, now_ns)) {
			struct held *h = take_held(l, s);

			fn(ctx, &h->line);
			free(h);
		}
		if (s->n_held || s->lost) {
			at = &s->next_busy;
		} else {
			*at = s->next_busy;
			s->busy = false;
		}
	}
}

void br_logs_limits_flush(struct br_logs_limits *l, void (*fn)(void *ctx, const struct br_logs_line *line), void *ctx)
{
	for (struct sender *s = l->busy; s; s = s->next_busy) {
		while (s->n_held) {
			struct held *h = take_held(l, s);

			fn(ctx, &h->line);
			free(h);
		}
	}
}

bool br_logs_limits_loss(struct br_logs_limits *l, uint64_t now_ns, struct br_logs_loss *ret)
{
	for (struct sender *s = l->busy; s; s = s->next_busy) {
		if (!s->lost || (s->told_ns && now_ns - s->told_ns < BR_LOGS_TELL_NS))
			continue;
		*ret = (struct br_logs_loss){ s->board_id, s->ip, s->lost };
		s->lost = 0;
		s->told_ns = now_ns;
		return true;
	}
	return false;
}

uint64_t br_logs_limits_lost(const struct br_logs_limits *l)
{
	return l->lost;
}

uint64_t br_logs_limits_held(const struct br_logs_limits *l)
{
	return l->n_held;
}

bool br_logs_limits_busy(const struct br_logs_limits *l)
{
	return l->busy != NULL;
}

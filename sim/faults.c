/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bad network between each virtual board and the wire. Frames that come late wait in
 * a heap by time; all else is decided when a frame is put in.
 */
#include "sim/faults.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "sim/rogue.h"

#define MILLION		1000000u
#define ETH_LEN		14
#define REORDER_MIN_NS	(1 * BR_MS)  /* behind the next frame of a busy link */
#define REORDER_SPAN_NS (10 * BR_MS) /* and on a slow one perhaps not: then it is a delay only */

struct lane {
	uint64_t random;  /* the state of its generator */
	uint64_t free_ns; /* the rate limit lets the next frame go */
	uint64_t last_ns; /* when the last frame in order arrives: none overtakes it by jitter */
};

struct port {
	struct lane lanes[BR_SIM_DIRECTIONS];
	uint64_t opens_ns;
	bool late, powered;
};

struct held {
	uint64_t due_ns, number; /* number: frames due at the same time keep their order */
	uint32_t board;
	uint16_t len;
	bool unsummed;
	uint8_t to;
	uint8_t frame[];
};

struct br_sim_faults {
	struct br_sim_fault_config config;
	struct br_sim_fault_counts counts;
	br_sim_faults_pass_fn *pass;
	void *ctx;
	struct port *ports;
	size_t n_ports;
	struct held **heap;
	size_t n_heap, cap_heap;
	uint64_t n_held; /* ever */
};

/* ---- chance ---- */

/* splitmix64: enough for dice, and a state of one word for each link. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static bool happens(struct lane *l, uint32_t of_a_million)
{
	return next_random(&l->random) % MILLION < of_a_million;
}

struct br_sim_faults *br_sim_faults_new(const struct br_sim_fault_config *c, size_t n_boards,
	br_sim_faults_pass_fn *pass, void *ctx)
{
	struct br_sim_faults *f = calloc(1, sizeof(*f));

	if (f)
		f->ports = calloc(n_boards ? n_boards : 1, sizeof(*f->ports));
	if (!f || !f->ports) {
		free(f);
		return NULL;
	}
	f->config = *c;
	f->pass = pass;
	f->ctx = ctx;
	f->n_ports = n_boards;
	for (size_t i = 0; i < n_boards; i++) {
		uint64_t state = c->seed ^ (i + 1) * 0xd1342543de82ef95ull;

		for (int d = 0; d < BR_SIM_DIRECTIONS; d++)
			f->ports[i].lanes[d].random = next_random(&state);
		/* evenly spread, so that a tenth of 1000 is 100 whatever the seed; which ones, the seed says */
		f->ports[i].late = c->late_ns &&
			((uint64_t)i * c->late + c->seed % MILLION) % MILLION < c->late;
	}
	return f;
}

void br_sim_faults_free(struct br_sim_faults *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n_heap; i++)
		free(f->heap[i]);
	free(f->heap);
	free(f->ports);
	free(f);
}

/* ---- frames that wait ---- */

static bool before(const struct held *a, const struct held *b)
{
	return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->number < b->number;
}

static int hold(struct br_sim_faults *f, struct held *h)
{
	size_t i = f->n_heap;

	if (br_array_reserve(&f->heap, &f->cap_heap, f->n_heap + 1, sizeof(struct held *)) < 0)
		return -ENOMEM;
	f->n_heap++;
	for (; i && before(h, f->heap[(i - 1) / 2]); i = (i - 1) / 2)
		f->heap[i] = f->heap[(i - 1) / 2];
	f->heap[i] = h;
	return 0;
}

static struct held *release(struct br_sim_faults *f)
{
	struct held *first = f->heap[0], *last = f->heap[--f->n_heap];
	size_t i = 0, child;

	for (; (child = 2 * i + 1) < f->n_heap; i = child) {
		if (child + 1 < f->n_heap && before(f->heap[child + 1], f->heap[child]))
			child++;
		if (!before(f->heap[child], last))
			break;
		f->heap[i] = f->heap[child];
	}
	f->heap[i] = last;
	return first;
}

static void put_later(struct br_sim_faults *f, size_t board, enum br_sim_direction to, uint64_t due_ns,
	const uint8_t *frame, size_t len, bool unsummed)
{
	struct held *h = f->n_heap < BR_SIM_HELD_MAX && len <= UINT16_MAX ? malloc(sizeof(*h) + len) : NULL;

	if (!h) {
		f->counts.queue_full++;
		return;
	}
	*h = (struct held){ .due_ns = due_ns, .number = f->n_held++, .board = (uint32_t)board, .len = (uint16_t)len,
		.unsummed = unsummed, .to = (uint8_t)to };
	memcpy(h->frame, frame, len);
	if (hold(f, h) < 0) {
		free(h);
		f->counts.queue_full++;
	}
}

/* A frame got through. */
static void pass_on(struct br_sim_faults *f, size_t board, enum br_sim_direction to, uint64_t now_ns,
	const uint8_t *frame, size_t len, bool unsummed)
{
	uint8_t answer[BR_SIM_ROGUE_MAX];
	size_t n = f->config.rogue && to == BR_SIM_FROM_BOARD ? br_sim_rogue_answer(frame, len, board, answer) : 0;

	f->pass(f->ctx, board, to, now_ns, frame, len, unsummed);
	if (!n)
		return;
	f->counts.rogue_answers++;
	put_later(f, board, BR_SIM_TO_BOARD, now_ns + f->config.rogue_ns, answer, n, false);
}

void br_sim_faults_step(struct br_sim_faults *f, uint64_t now_ns)
{
	while (f->n_heap && f->heap[0]->due_ns <= now_ns) {
		br_cleanup(br_freep) struct held *h = release(f);

		pass_on(f, h->board, (enum br_sim_direction)h->to, now_ns, h->frame, h->len, h->unsummed);
	}
}

uint64_t br_sim_faults_deadline(const struct br_sim_faults *f)
{
	return f->n_heap ? f->heap[0]->due_ns : UINT64_MAX;
}

/* ---- one frame ---- */

/* Does it vanish? Every frame throws the same dice, whatever else is set: one option more changes no other. */
static bool vanishes(struct br_sim_faults *f, const struct port *p, struct lane *l, uint64_t now_ns, size_t len)
{
	bool lost = happens(l, f->config.loss);

	if (p->late && now_ns < p->opens_ns)
		f->counts.port_closed++;
	else if (f->config.mtu && len > ETH_LEN + (size_t)f->config.mtu)
		f->counts.too_large++;
	else if (lost)
		f->counts.lost++;
	else
		return false;
	return true;
}

/* When the frame has gone over a wire of this rate; UINT64_MAX: the queue before it is full. */
static uint64_t wire_time(const struct br_sim_faults *f, struct lane *l, uint64_t now_ns, size_t len)
{
	uint64_t start = l->free_ns > now_ns ? l->free_ns : now_ns;

	if (!f->config.rate)
		return now_ns;
	if (start - now_ns > BR_SIM_RATE_WAIT_NS)
		return UINT64_MAX;
	/* preamble, FCS and gap take part: 24 bytes */
	l->free_ns = start + (len + 24) * 8 * BR_S / f->config.rate;
	return l->free_ns;
}

void br_sim_faults_put(struct br_sim_faults *f, size_t board, enum br_sim_direction to, uint64_t now_ns,
	const uint8_t *frame, size_t len, bool unsummed)
{
	const struct br_sim_fault_config *c = &f->config;
	struct port *p = &f->ports[board];
	struct lane *l = &p->lanes[to];
	uint64_t due;
	bool twice, overtaken;

	f->counts.frames++;
	if (vanishes(f, p, l, now_ns, len))
		return;
	twice = happens(l, c->dup);
	overtaken = happens(l, c->reorder);
	due = wire_time(f, l, now_ns, len);
	if (due == UINT64_MAX) {
		f->counts.queue_full++;
		return;
	}
	due += c->delay_ns + (c->jitter_ns ? next_random(&l->random) % (c->jitter_ns + 1) : 0);
	if (overtaken) {
		due += REORDER_MIN_NS + next_random(&l->random) % REORDER_SPAN_NS;
		f->counts.reordered++;
	} else {
		due = due > l->last_ns ? due : l->last_ns;
		l->last_ns = due;
	}
	f->counts.duplicated += twice;
	for (int i = twice ? 2 : 1; i > 0; i--) {
		if (due <= now_ns)
			pass_on(f, board, to, now_ns, frame, len, unsummed);
		else
			put_later(f, board, to, due, frame, len, unsummed);
	}
}

void br_sim_faults_power(struct br_sim_faults *f, size_t board, uint64_t now_ns)
{
	struct port *p = &f->ports[board];

	if (!p->powered)
		p->opens_ns = now_ns + f->config.late_ns;
	p->powered = true;
}

bool br_sim_faults_is_late(const struct br_sim_faults *f, size_t board)
{
	return f->ports[board].late;
}

const struct br_sim_fault_counts *br_sim_faults_counts(const struct br_sim_faults *f)
{
	return &f->counts;
}

bool br_sim_fault_any(const struct br_sim_fault_config *c)
{
	return c->rogue || c->loss || c->dup || c->reorder || c->delay_ns || c->jitter_ns || c->late_ns || c->mtu || c->rate;
}

/* ---- options ---- */

/* "1", "0.25", "100%": of a million. */
static int parse_percent(const char *s, uint32_t *ret)
{
	char *end;
	double v = strtod(s, &end);

	if (end == s || (*end && strcmp(end, "%") != 0) || !(v >= 0 && v <= 100))
		return -EINVAL;
	*ret = (uint32_t)(v * (MILLION / 100) + 0.5);
	return 0;
}

/* A duration; a bare number counts in 'unit'. */
static int parse_time(const char *s, uint64_t unit_ns, uint64_t *ret_ns)
{
	uint64_t n;

	if (br_parse_u64(s, 0, 86400000, &n) == 0) {
		*ret_ns = n * unit_ns;
		return 0;
	}
	return br_parse_duration(s, ret_ns);
}

/* "A[:B]" cut in two; b is "" when it is not there. */
static int cut(const char *s, char a[static 32], char b[static 32])
{
	const char *colon = strchrnul(s, ':');
	size_t n = (size_t)(colon - s);

	if (n >= 32)
		return -EINVAL;
	memcpy(a, s, n);
	a[n] = 0;
	return br_strcpy(b, 32, *colon ? colon + 1 : "");
}

static int set_loss(struct br_sim_fault_config *c, const char *v)
{
	return parse_percent(v, &c->loss);
}

static int set_dup(struct br_sim_fault_config *c, const char *v)
{
	return parse_percent(v, &c->dup);
}

static int set_reorder(struct br_sim_fault_config *c, const char *v)
{
	return parse_percent(v, &c->reorder);
}

static int set_delay(struct br_sim_fault_config *c, const char *v)
{
	char delay[32], jitter[32];

	if (cut(v, delay, jitter) < 0 || parse_time(delay, BR_MS, &c->delay_ns) < 0)
		return -EINVAL;
	return *jitter ? parse_time(jitter, BR_MS, &c->jitter_ns) : 0;
}

static int set_late(struct br_sim_fault_config *c, const char *v)
{
	char time[32], share[32];

	if (cut(v, time, share) < 0 || parse_time(time, BR_S, &c->late_ns) < 0)
		return -EINVAL;
	c->late = MILLION;
	return *share ? parse_percent(share, &c->late) : 0;
}

static int set_mtu(struct br_sim_fault_config *c, const char *v)
{
	uint64_t n;

	if (br_parse_u64(v, 68, 9000, &n) < 0)
		return -EINVAL;
	c->mtu = (unsigned)n;
	return 0;
}

/* "100M": decimal, as the rates of networks are. */
static int set_rate(struct br_sim_fault_config *c, const char *v)
{
	static const char units[] = "kMG";
	char number[32];
	size_t n = strlen(v);
	const char *unit = n ? strchr(units, v[n - 1]) : NULL;
	uint64_t rate;

	if (!n || n >= sizeof(number))
		return -EINVAL;
	memcpy(number, v, n + 1);
	if (unit && *unit)
		number[n - 1] = 0;
	if (br_parse_u64(number, 1, 1000000000, &rate) < 0)
		return -EINVAL;
	for (const char *u = units; unit && *unit && u <= unit; u++)
		rate *= 1000;
	c->rate = rate;
	return rate >= 1000 && rate <= 100000000000ull ? 0 : -EINVAL;
}

static int set_rogue(struct br_sim_fault_config *c, const char *v)
{
	c->rogue = true;
	return parse_time(v, BR_MS, &c->rogue_ns);
}

static int set_seed(struct br_sim_fault_config *c, const char *v)
{
	return br_parse_u64(v, 0, UINT64_MAX, &c->seed);
}

int br_sim_fault_option(struct br_sim_fault_config *c, const char *name, const char *value, struct br_error *err)
{
	static const struct {
		const char *name;
		int (*set)(struct br_sim_fault_config *c, const char *v);
		const char *form;
	} all[] = {
		{ "loss", set_loss, "percent of frames, as 1 or 0.5" },
		{ "dup", set_dup, "percent of frames, as 1 or 0.5" },
		{ "reorder", set_reorder, "percent of frames, as 1 or 0.5" },
		{ "delay", set_delay, "milliseconds, and how much more by chance, as 20 or 20:5" },
		{ "late-port", set_late, "seconds, and percent of the boards, as 30 or 30:10" },
		{ "mtu", set_mtu, "bytes from 68 to 9000, as 1400" },
		{ "rate", set_rate, "bits per second from 1k to 100G, as 100M" },
		{ "rogue-dhcp", set_rogue, "milliseconds until it answers, as 0" },
		{ "seed", set_seed, "a number" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(all); i++) {
		if (strcmp(name, all[i].name) != 0)
			continue;
		if (all[i].set(c, value) < 0)
			return br_error_set(err, EINVAL, "--%s %s: %s", name, value, all[i].form);
		return 0;
	}
	return br_error_set(err, EINVAL, "--%s: no such fault", name);
}

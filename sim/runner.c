/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of a process full of virtual boards. */
#include "sim/runner.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define BURST 256 /* frames taken in one turn before deadlines are looked at again */

struct slot {
	uint64_t mac; /* key of the sorted index */
	struct br_sim_board *board;
	struct br_sim_station station; /* frame: NULL while the firmware runs */
	uint64_t key;		       /* nothing to do before; may be too early, never too late */
	uint32_t at;		       /* in the heap */
};

struct br_sim_runner {
	struct br_sim_link *link;
	struct slot *slots; /* in the order of add() */
	size_t n, cap;
	uint32_t *by_mac; /* indices into slots, sorted by MAC */
	uint32_t *heap;	  /* indices into slots, the smallest key first */
	bool sorted;
	uint64_t now_ns;
	struct br_sim_faults *faults;
	const struct br_sim_watch *watches;
	size_t n_watches;
	struct pollfd *polls;
};

struct br_sim_runner *br_sim_runner_new(struct br_sim_link *link)
{
	struct br_sim_runner *r = calloc(1, sizeof(*r));

	if (r)
		r->link = link;
	return r;
}

void br_sim_runner_free(struct br_sim_runner *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++)
		br_sim_board_free(r->slots[i].board);
	br_sim_faults_free(r->faults);
	free(r->slots);
	free(r->by_mac);
	free(r->heap);
	free(r->polls);
	free(r);
}

static int grow(struct br_sim_runner *r, struct br_error *err)
{
	size_t cap = r->cap ? 2 * r->cap : 8;
	struct slot *s = realloc(r->slots, cap * sizeof(*s));
	uint32_t *x = s ? realloc(r->by_mac, cap * sizeof(*x)) : NULL;
	uint32_t *h = x ? realloc(r->heap, cap * sizeof(*h)) : NULL;

	if (s)
		r->slots = s;
	if (x)
		r->by_mac = x;
	if (!h)
		return br_error_set(err, ENOMEM, "out of memory for %zu virtual boards", cap);
	r->heap = h;
	r->cap = cap;
	return 0;
}

int br_sim_runner_add(struct br_sim_runner *r, const struct br_sim_board_config *config, struct br_error *err)
{
	uint64_t mac = br_mac_u64(config->mac);
	char text[BR_MAC_TEXT];
	int k;

	for (size_t i = 0; i < r->n; i++)
		if (r->slots[i].mac == mac)
			return br_error_set(err, EEXIST, "two virtual boards with MAC address %s",
				br_mac_format(text, config->mac));
	if (r->n == BR_SIM_BOARDS_MAX)
		return br_error_set(err, E2BIG, "more than %d virtual boards in one process", BR_SIM_BOARDS_MAX);
	k = r->n == r->cap ? grow(r, err) : 0;
	if (k < 0)
		return k;
	r->slots[r->n] = (struct slot){ .mac = mac, .board = br_sim_board_new(config), .at = (uint32_t)r->n };
	if (!r->slots[r->n].board)
		return br_error_set(err, ENOMEM, "out of memory for a virtual board");
	r->heap[r->n] = (uint32_t)r->n;
	r->n++;
	r->sorted = false;
	br_sim_runner_wake(r, r->n - 1);
	return 0;
}

size_t br_sim_runner_count(const struct br_sim_runner *r)
{
	return r->n;
}

struct br_sim_board *br_sim_runner_board(const struct br_sim_runner *r, size_t i)
{
	return r->slots[i].board;
}

/* ---- who is due ---- */

static void swap(struct br_sim_runner *r, uint32_t i, uint32_t j)
{
	uint32_t a = r->heap[i], b = r->heap[j];

	r->heap[i] = b;
	r->heap[j] = a;
	r->slots[a].at = j;
	r->slots[b].at = i;
}

static uint64_t key_at(const struct br_sim_runner *r, uint32_t i)
{
	return r->slots[r->heap[i]].key;
}

static void earlier(struct br_sim_runner *r, struct slot *s, uint64_t key)
{
	s->key = key;
	for (uint32_t i = s->at; i && key_at(r, i) < key_at(r, (i - 1) / 2); i = (i - 1) / 2)
		swap(r, i, (i - 1) / 2);
}

static void later(struct br_sim_runner *r, struct slot *s, uint64_t key)
{
	uint32_t i = s->at, child;

	s->key = key;
	for (; (child = 2 * i + 1) < r->n; i = child) {
		if (child + 1 < r->n && key_at(r, child + 1) < key_at(r, child))
			child++;
		if (key_at(r, child) >= key)
			return;
		swap(r, i, child);
	}
}

static uint64_t deadline(const struct slot *s)
{
	if (s->station.frame)
		return s->station.deadline ? s->station.deadline(s->station.ctx) : UINT64_MAX;
	return br_sim_board_deadline(s->board);
}

static void step(struct slot *s, uint64_t now)
{
	if (!s->station.frame)
		br_sim_board_step(s->board, now);
	else if (s->station.step)
		s->station.step(s->station.ctx, now);
}

static void step_due(struct br_sim_runner *r, uint64_t now)
{
	while (r->n && key_at(r, 0) <= now) {
		struct slot *s = &r->slots[r->heap[0]];
		uint64_t next = deadline(s);

		if (next <= now) {
			step(s, now);
			next = deadline(s);
		}
		later(r, s, next > now ? next : now + 1);
	}
}

void br_sim_runner_wake(struct br_sim_runner *r, size_t i)
{
	earlier(r, &r->slots[i], 0);
}

void br_sim_runner_divert(struct br_sim_runner *r, size_t i, const struct br_sim_station *station)
{
	r->slots[i].station = station ? *station : (struct br_sim_station){ 0 };
	br_sim_runner_wake(r, i);
}

void br_sim_runner_set_watches(struct br_sim_runner *r, const struct br_sim_watch *w, size_t n)
{
	r->watches = w;
	r->n_watches = n;
}

static int compare_macs(const void *a, const void *b, void *ctx)
{
	const struct slot *slots = ctx;
	uint64_t x = slots[*(const uint32_t *)a].mac, y = slots[*(const uint32_t *)b].mac;

	return x < y ? -1 : x > y;
}

static void sort(struct br_sim_runner *r)
{
	for (size_t i = 0; i < r->n; i++)
		r->by_mac[i] = (uint32_t)i;
	qsort_r(r->by_mac, r->n, sizeof(r->by_mac[0]), compare_macs, r->slots);
	r->sorted = true;
}

static struct slot *find(struct br_sim_runner *r, uint64_t mac)
{
	size_t lo = 0, hi = r->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		struct slot *s = &r->slots[r->by_mac[mid]];

		if (s->mac == mac)
			return s;
		if (s->mac < mac)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* ---- frames ---- */

static void arrive(struct br_sim_runner *r, size_t i, uint64_t now, const uint8_t *frame, size_t len, bool unsummed)
{
	struct slot *s = &r->slots[i];
	uint64_t next;

	if (s->station.frame)
		s->station.frame(s->station.ctx, now, frame, len, unsummed);
	else
		br_sim_board_frame(s->board, now, frame, len, unsummed);
	next = deadline(s);
	if (next < s->key)
		earlier(r, s, next);
}

static void deliver(struct br_sim_runner *r, size_t i, uint64_t now, const uint8_t *frame, size_t len, bool unsummed)
{
	if (r->faults)
		br_sim_faults_put(r->faults, i, BR_SIM_TO_BOARD, now, frame, len, unsummed);
	else
		arrive(r, i, now, frame, len, unsummed);
}

static void dispatch(struct br_sim_runner *r, uint64_t now, const uint8_t *frame, size_t len, bool unsummed)
{
	struct br_mac to;
	struct slot *s;

	if (len < 14)
		return;
	memcpy(to.b, frame, 6);
	if (to.b[0] & 1) {
		for (size_t i = 0; i < r->n; i++)
			deliver(r, i, now, frame, len, unsummed);
		return;
	}
	s = find(r, br_mac_u64(to));
	if (s)
		deliver(r, (size_t)(s - r->slots), now, frame, len, unsummed);
}

static void pass(void *ctx, size_t board, enum br_sim_direction to, uint64_t now_ns, const uint8_t *frame, size_t len,
	bool unsummed)
{
	struct br_sim_runner *r = ctx;

	if (to == BR_SIM_TO_BOARD)
		arrive(r, board, now_ns, frame, len, unsummed);
	else
		br_sim_link_send(r->link, frame, len);
}

void br_sim_runner_send(struct br_sim_runner *r, size_t i, const uint8_t *frame, size_t len)
{
	if (r->faults)
		br_sim_faults_put(r->faults, i, BR_SIM_FROM_BOARD, r->now_ns, frame, len, false);
	else
		br_sim_link_send(r->link, frame, len);
}

int br_sim_runner_set_faults(struct br_sim_runner *r, const struct br_sim_fault_config *config)
{
	r->faults = br_sim_faults_new(config, r->n, pass, r);
	return r->faults ? 0 : -ENOMEM;
}

const struct br_sim_faults *br_sim_runner_faults(const struct br_sim_runner *r)
{
	return r->faults;
}

void br_sim_runner_powered(struct br_sim_runner *r, size_t i)
{
	if (r->faults)
		br_sim_faults_power(r->faults, i, br_sim_board_power_ns(r->slots[i].board));
}

static int drain(struct br_sim_runner *r, struct br_error *err)
{
	uint8_t buf[BR_SIM_FRAME_MAX];
	uint64_t now = r->now_ns;

	for (int i = 0; i < BURST; i++) {
		bool unsummed = false;
		int n = br_sim_link_recv(r->link, buf, sizeof(buf), &unsummed);

		if (n < 0)
			return br_error_set(err, -n, "interface %s: %s", br_sim_link_name(r->link), strerror(-n));
		if (!n)
			break;
		dispatch(r, now, buf, (size_t)n, unsummed);
	}
	return 0;
}

/* How long nothing is due, as ppoll() wants it. */
static struct timespec pause_until(const struct br_sim_runner *r, uint64_t until_ns)
{
	uint64_t held = r->faults ? br_sim_faults_deadline(r->faults) : UINT64_MAX;
	uint64_t end = r->n ? key_at(r, 0) : UINT64_MAX;

	end = held < end ? held : end;
	end = until_ns < end ? until_ns : end;
	if (end <= r->now_ns)
		return (struct timespec){ 0 };
	return (struct timespec){ .tv_sec = (time_t)((end - r->now_ns) / BR_S),
		.tv_nsec = (long)((end - r->now_ns) % BR_S) };
}

int br_sim_runner_turn(struct br_sim_runner *r, uint64_t until_ns, struct br_error *err)
{
	struct pollfd *p = realloc(r->polls, (1 + r->n_watches) * sizeof(*p));
	struct timespec t;
	int n;

	if (!p)
		return br_error_set(err, ENOMEM, "out of memory");
	r->polls = p;
	if (!r->sorted)
		sort(r);
	r->now_ns = br_now_ns();
	if (r->faults)
		br_sim_faults_step(r->faults, r->now_ns);
	step_due(r, r->now_ns);
	p[0] = (struct pollfd){ .fd = br_sim_link_fd(r->link), .events = POLLIN };
	for (size_t i = 0; i < r->n_watches; i++)
		p[1 + i] = (struct pollfd){ .fd = r->watches[i].fd, .events = r->watches[i].events };
	t = pause_until(r, until_ns);
	n = ppoll(p, 1 + r->n_watches, &t, NULL);
	if (n < 0)
		return errno == EINTR ? 0 : br_error_set(err, errno, "poll: %m");
	r->now_ns = br_now_ns();
	for (size_t i = 0; i < r->n_watches; i++)
		if (p[1 + i].revents)
			r->watches[i].ready(r->watches[i].ctx, p[1 + i].revents, r->now_ns);
	if (p[0].revents)
		return drain(r, err);
	return 0;
}

size_t br_sim_runner_busy(const struct br_sim_runner *r)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += br_sim_board_phase(r->slots[i].board) < BR_SIM_READY;
	return n;
}

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
	void (*divert)(void *ctx, const uint8_t *frame, size_t len);
	void *divert_ctx;
};

struct br_sim_runner {
	struct br_sim_link *link;
	struct slot *slots; /* in the order of add() */
	size_t n, cap;
	uint32_t *by_mac; /* indices into slots, sorted by MAC */
	bool sorted;
	uint64_t next_ns; /* no board has anything to do before */
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
	free(r->slots);
	free(r->by_mac);
	free(r->polls);
	free(r);
}

int br_sim_runner_add(struct br_sim_runner *r, const struct br_sim_board_config *config, struct br_error *err)
{
	uint64_t mac = br_mac_u64(config->mac);
	char text[BR_MAC_TEXT];

	for (size_t i = 0; i < r->n; i++)
		if (r->slots[i].mac == mac)
			return br_error_set(err, EEXIST, "two virtual boards with MAC address %s",
				br_mac_format(text, config->mac));
	if (r->n == BR_SIM_BOARDS_MAX)
		return br_error_set(err, E2BIG, "more than %d virtual boards in one process", BR_SIM_BOARDS_MAX);
	if (r->n == r->cap) {
		size_t cap = r->cap ? 2 * r->cap : 8;
		struct slot *s = realloc(r->slots, cap * sizeof(*s));
		uint32_t *x = s ? realloc(r->by_mac, cap * sizeof(*x)) : NULL;

		if (s)
			r->slots = s;
		if (!x)
			return br_error_set(err, ENOMEM, "out of memory for %zu virtual boards", cap);
		r->by_mac = x;
		r->cap = cap;
	}
	r->slots[r->n] = (struct slot){ .mac = mac, .board = br_sim_board_new(config) };
	if (!r->slots[r->n].board)
		return br_error_set(err, ENOMEM, "out of memory for a virtual board");
	r->n++;
	r->sorted = false;
	r->next_ns = 0;
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

void br_sim_runner_divert(struct br_sim_runner *r, size_t i,
	void (*input)(void *ctx, const uint8_t *frame, size_t len), void *ctx)
{
	r->slots[i].divert = input;
	r->slots[i].divert_ctx = ctx;
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

static void deliver(struct br_sim_runner *r, struct slot *s, uint64_t now, const uint8_t *frame, size_t len,
	bool unsummed)
{
	uint64_t next;

	if (s->divert) {
		s->divert(s->divert_ctx, frame, len);
		return;
	}
	br_sim_board_frame(s->board, now, frame, len, unsummed);
	next = br_sim_board_deadline(s->board);
	if (next < r->next_ns)
		r->next_ns = next;
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
			deliver(r, &r->slots[i], now, frame, len, unsummed);
		return;
	}
	s = find(r, br_mac_u64(to));
	if (s)
		deliver(r, s, now, frame, len, unsummed);
}

static void step_all(struct br_sim_runner *r, uint64_t now)
{
	if (now < r->next_ns)
		return;
	r->next_ns = UINT64_MAX;
	for (size_t i = 0; i < r->n; i++) {
		uint64_t next = br_sim_board_deadline(r->slots[i].board);

		if (next <= now) {
			br_sim_board_step(r->slots[i].board, now);
			next = br_sim_board_deadline(r->slots[i].board);
		}
		if (next < r->next_ns)
			r->next_ns = next;
	}
}

static int drain(struct br_sim_runner *r, struct br_error *err)
{
	uint8_t buf[BR_SIM_FRAME_MAX];
	uint64_t now = br_now_ns();

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

int br_sim_runner_turn(struct br_sim_runner *r, uint64_t until_ns, struct br_error *err)
{
	uint64_t now = br_now_ns(), end;
	struct pollfd *p = realloc(r->polls, (1 + r->n_watches) * sizeof(*p));
	struct timespec t = { 0 };
	int n;

	if (!p)
		return br_error_set(err, ENOMEM, "out of memory");
	r->polls = p;
	if (!r->sorted)
		sort(r);
	step_all(r, now);
	p[0] = (struct pollfd){ .fd = br_sim_link_fd(r->link), .events = POLLIN };
	for (size_t i = 0; i < r->n_watches; i++)
		p[1 + i] = (struct pollfd){ .fd = r->watches[i].fd, .events = r->watches[i].events };
	end = r->next_ns < until_ns ? r->next_ns : until_ns;
	if (end > now) {
		t.tv_sec = (time_t)((end - now) / BR_S);
		t.tv_nsec = (long)((end - now) % BR_S);
	}
	n = ppoll(p, 1 + r->n_watches, &t, NULL);
	if (n < 0)
		return errno == EINTR ? 0 : br_error_set(err, errno, "poll: %m");
	now = br_now_ns();
	for (size_t i = 0; i < r->n_watches; i++)
		if (p[1 + i].revents)
			r->watches[i].ready(r->watches[i].ctx, p[1 + i].revents, now);
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

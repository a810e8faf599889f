/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of boots: its rules one by one, then a hall of a thousand boards in fake time. */
#include "plan/admission.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "test.h"

#define MB 1000000ull

static struct br_admission *new_queue(uint32_t at_once)
{
	struct br_admission *adm = br_admission_new(&(struct br_admission_options){ .at_once = at_once });

	assert_non_null(adm);
	return adm;
}

static uint64_t largest = 33 * MB;

static enum br_turn ask(struct br_admission *adm, int64_t id, bool impatient, uint64_t now_ns)
{
	struct br_admission_ask a = {
		.board_id = id, .impatient = impatient, .proven = br_admission_proven(adm, id), .largest = largest,
	};

	return br_admission_ask(adm, &a, now_ns, NULL);
}

/* A Pi 3 whose ROM has fetched bootcode.bin, which asks now. */
static enum br_turn ask_bootcode(struct br_admission *adm, int64_t id, uint64_t now_ns)
{
	assert_int_equal(ask(adm, id, true, now_ns - BR_S), BR_TURN_GO);
	br_admission_sign(adm, id, now_ns - BR_S / 2);
	return ask(adm, id, true, now_ns);
}

static void test_lone_board_goes(void **state)
{
	struct br_admission *adm = new_queue(0);

	assert_int_equal(ask(adm, 1, false, BR_S), BR_TURN_GO);
	assert_int_equal(ask(adm, 1, false, 5 * BR_S), BR_TURN_GO);
	br_admission_free(adm);
}

static void test_waits_and_is_told_once(void **state)
{
	struct br_admission *adm = new_queue(2);
	struct br_admission_ask third = { .board_id = 3 };
	uint32_t before = 99;
	uint64_t since;

	assert_int_equal(ask(adm, 1, false, BR_S), BR_TURN_GO);
	assert_int_equal(ask(adm, 2, false, BR_S), BR_TURN_GO);
	assert_int_equal(ask(adm, 4, false, BR_S), BR_TURN_QUEUED);
	assert_int_equal(br_admission_ask(adm, &third, BR_S + 1, &before), BR_TURN_QUEUED);
	assert_int_equal(before, 1);
	assert_int_equal(ask(adm, 3, false, 2 * BR_S), BR_TURN_WAIT);
	assert_true(br_admission_waits(adm, 3, 2 * BR_S, &before, &since));
	assert_int_equal(before, 1);
	assert_int_equal(since, BR_S + 1);
	assert_false(br_admission_waits(adm, 1, 2 * BR_S, &before, &since));
	br_admission_free(adm);
}

static void test_in_a_boot_is_never_held(void **state)
{
	struct br_admission *adm = new_queue(1);

	assert_int_equal(ask(adm, 1, false, BR_S), BR_TURN_GO);
	br_admission_sign(adm, 1, 2 * BR_S);
	/* one that came by itself, as behind another DHCP server */
	br_admission_sign(adm, 2, 2 * BR_S);
	assert_int_equal(ask(adm, 1, false, 3 * BR_S), BR_TURN_GO);
	assert_int_equal(ask(adm, 2, false, 3 * BR_S), BR_TURN_GO);
	assert_int_equal(ask(adm, 3, false, 3 * BR_S), BR_TURN_QUEUED);
	/* the next boot is another matter */
	br_admission_done(adm, 2, 4 * BR_S);
	assert_int_equal(ask(adm, 2, false, 5 * BR_S), BR_TURN_QUEUED);
	br_admission_free(adm);
}

static void test_done_gives_the_slot_on(void **state)
{
	struct br_admission *adm = new_queue(1);
	struct br_admission_status st;

	ask(adm, 1, false, BR_S);
	assert_int_equal(ask(adm, 2, false, 2 * BR_S), BR_TURN_QUEUED);
	br_admission_sign(adm, 1, 2 * BR_S);
	br_admission_done(adm, 1, 3 * BR_S);
	br_admission_status(adm, 3 * BR_S, &st);
	assert_int_equal(st.running, 0);
	assert_int_equal(st.waiting, 1);
	assert_int_equal(st.at_once, 1);
	assert_int_equal(ask(adm, 2, false, 6 * BR_S), BR_TURN_GO);
	br_admission_free(adm);
}

static void test_vanished_board_gives_the_slot_back(void **state)
{
	struct br_admission *adm = new_queue(1);

	ask(adm, 1, false, BR_S);
	br_admission_sign(adm, 1, 2 * BR_S);
	assert_int_equal(ask(adm, 2, false, 8 * BR_S), BR_TURN_QUEUED);
	assert_int_equal(ask(adm, 2, false, 13 * BR_S), BR_TURN_GO);
	/* offered an address, and never heard again */
	assert_int_equal(ask(adm, 3, false, 14 * BR_S), BR_TURN_QUEUED);
	assert_int_equal(ask(adm, 3, false, 18 * BR_S), BR_TURN_GO);
	br_admission_free(adm);
}

static void test_lost_offer(void **state)
{
	struct br_admission *adm = new_queue(1);

	assert_int_equal(ask(adm, 1, false, BR_S), BR_TURN_GO);
	for (uint64_t t = 6; t <= 26; t += 5) {
		assert_int_equal(ask(adm, 1, false, t * BR_S), BR_TURN_GO);
		assert_int_not_equal(ask(adm, 2, false, t * BR_S + 1), BR_TURN_GO);
	}
	/* it takes none: the other's turn */
	assert_int_equal(ask(adm, 1, false, 31 * BR_S), BR_TURN_GO);
	assert_int_equal(ask(adm, 2, false, 36 * BR_S), BR_TURN_GO);
	br_admission_free(adm);
}

static void test_oldest_and_impatient_first(void **state)
{
	struct br_admission *adm = new_queue(1);
	uint64_t t = 100 * BR_S;

	br_admission_sign(adm, 1, t);
	for (int64_t id = 10; id < 40; id++)
		assert_int_equal(ask(adm, id, false, t + (uint64_t)id), BR_TURN_QUEUED);
	assert_int_equal(ask_bootcode(adm, 50, t + BR_S), BR_TURN_QUEUED);
	br_admission_done(adm, 1, t + 2 * BR_S);
	br_admission_sign(adm, 2, t + 2 * BR_S);
	assert_int_equal(ask(adm, 50, true, t + 3 * BR_S), BR_TURN_WAIT);
	br_admission_done(adm, 2, t + 4 * BR_S);
	br_admission_sign(adm, 3, t + 4 * BR_S);
	br_admission_done(adm, 3, t + 5 * BR_S);
	/* nobody runs: anybody may go; but with one of two slots free the last has to wait */
	br_admission_free(adm);
	adm = new_queue(2);
	br_admission_sign(adm, 1, t);
	br_admission_sign(adm, 2, t);
	for (int64_t id = 10; id < 40; id++)
		assert_int_equal(ask(adm, id, false, t + (uint64_t)id), BR_TURN_QUEUED);
	assert_int_equal(ask_bootcode(adm, 50, t + BR_S), BR_TURN_QUEUED);
	br_admission_done(adm, 1, t + 2 * BR_S);
	assert_int_equal(ask(adm, 39, false, t + 3 * BR_S), BR_TURN_WAIT);
	assert_int_equal(ask(adm, 50, true, t + 3 * BR_S), BR_TURN_GO);
	br_admission_free(adm);
}

static void test_last_chance_of_a_rom(void **state)
{
	struct br_admission *adm = new_queue(4);

	for (int64_t id = 1; id <= 4; id++)
		br_admission_sign(adm, id, BR_S);
	assert_int_equal(ask_bootcode(adm, 9, BR_S + BR_S / 2), BR_TURN_QUEUED);
	for (uint64_t t = 1; t <= 11; t += 5) {
		assert_int_not_equal(ask(adm, 9, true, t * BR_S + BR_S), BR_TURN_GO);
		assert_int_not_equal(ask(adm, 8, false, t * BR_S), BR_TURN_GO);
		for (int64_t id = 1; id <= 4; id++)
			br_admission_sign(adm, id, (t + 4) * BR_S);
	}
	assert_int_not_equal(ask(adm, 8, false, 16 * BR_S), BR_TURN_GO);
	assert_int_equal(ask(adm, 9, true, 16 * BR_S), BR_TURN_GO);
	br_admission_free(adm);
}

/* A free slot goes to the first in the queue that still listens, once for each of its questions. */
static void test_next(void **state)
{
	struct br_admission *adm = new_queue(2);
	uint64_t t = 100 * BR_S, listens = 3 * BR_S;

	br_admission_sign(adm, 1, t);
	br_admission_sign(adm, 2, t);
	ask(adm, 10, false, t);
	ask(adm, 11, false, t + BR_S);
	ask_bootcode(adm, 12, t + BR_S);
	assert_int_equal(br_admission_next(adm, listens, t + BR_S), 0);
	br_admission_done(adm, 1, t + 2 * BR_S);
	br_admission_sign(adm, 2, t + 2 * BR_S);
	assert_int_equal(br_admission_next(adm, listens, t + 2 * BR_S), 12);
	assert_int_equal(br_admission_next(adm, listens, t + 2 * BR_S), 10);
	assert_int_equal(br_admission_next(adm, listens, t + 2 * BR_S), 11);
	assert_int_equal(br_admission_next(adm, listens, t + 2 * BR_S), 0);
	assert_int_equal(ask(adm, 12, true, t + 2 * BR_S), BR_TURN_GO);
	br_admission_sign(adm, 2, t + 4 * BR_S);
	assert_int_equal(ask(adm, 10, false, t + 4 * BR_S), BR_TURN_WAIT);
	br_admission_done(adm, 12, t + 8 * BR_S);
	assert_int_equal(br_admission_next(adm, listens, t + 8 * BR_S), 0);
	br_admission_free(adm);
}

/* Whoever is named goes when it is asked for: not one before whom others, who do not listen just now, have their turn. */
static void test_named_is_let_go(void **state)
{
	struct br_admission *adm = new_queue(2);
	uint64_t t = 100 * BR_S, listens = 3 * BR_S;

	br_admission_sign(adm, 1, t);
	br_admission_sign(adm, 2, t);
	for (int64_t id = 10; id < 20; id++)
		ask(adm, id, false, t);
	assert_true(br_admission_any_waiting(adm, listens, t + BR_S));
	assert_false(br_admission_any_waiting(adm, listens, t + 4 * BR_S));
	ask(adm, 20, false, t + 4 * BR_S);
	br_admission_sign(adm, 2, t + 4 * BR_S);
	br_admission_done(adm, 1, t + 4 * BR_S);
	assert_true(br_admission_any_waiting(adm, listens, t + 4 * BR_S));
	assert_int_equal(br_admission_next(adm, listens, t + 4 * BR_S), 0);
	assert_int_equal(ask(adm, 20, false, t + 4 * BR_S), BR_TURN_WAIT);
	ask(adm, 11, false, t + 5 * BR_S);
	assert_int_equal(br_admission_next(adm, listens, t + 5 * BR_S), 0); /* it has the slot already */
	br_admission_done(adm, 11, t + 5 * BR_S);
	br_admission_done(adm, 2, t + 5 * BR_S);
	assert_int_equal(br_admission_next(adm, listens, t + 5 * BR_S), 20);
	br_admission_free(adm);
}

static void test_unlimited(void **state)
{
	struct br_admission *adm = new_queue(BR_ADMISSION_UNLIMITED);

	for (int64_t id = 1; id <= 2000; id++)
		assert_int_equal(ask(adm, id, false, BR_S), BR_TURN_GO);
	br_admission_free(adm);
}

/* Made-up boards that ask and ask, and take up no offer: real ones get their turn, memory stays what it is. */
static void test_flood(void **state)
{
	struct br_admission *adm = new_queue(0);
	uint64_t now = 1000 * BR_S;
	int64_t fake = 1000000;
	unsigned went = 0;
	bool up[101] = { 0 };

	for (int64_t id = 1; id <= 50; id++) { /* half of them are known */
		br_admission_sign(adm, id, now);
		br_admission_done(adm, id, now);
	}
	for (unsigned i = 0; i < 60000; i++) { /* 500 a second, for two minutes */
		now += 2 * BR_MS;
		ask(adm, fake + (i * 7) % 20000, i % 3 == 0, now);
		if (i % 20 == 0) {
			int64_t id = 1 + i / 20 % 100; /* each every four seconds */

			if (!up[id] && ask(adm, id, false, now) == BR_TURN_GO) {
				up[id] = true;
				went++;
				br_admission_sign(adm, id, now);
			}
		}
		for (int64_t id = 1; id <= 100 && i % 500 == 0; id++)
			if (up[id])
				br_admission_done(adm, id, now);
	}
	assert_int_equal(went, 100);
	br_admission_free(adm);
}

/* --- a hall --- */

struct board {
	int64_t id;
	bool rom, loaded, up, dead;
	enum { OFF, ASKING, PAUSE, FETCHING } phase;
	uint64_t next_ns, end_ns; /* of asking, of a pause */
	unsigned file;
	double got, own; /* own: part of the most, for this file */
	uint64_t file_ns;
	uint64_t up_ns;
	unsigned failures;
};

struct hall {
	struct board *boards;
	size_t n;
	const double *files;
	double uneven; /* boards get that much less by themselves, at most: losses */
	double link;  /* bytes a second */
	double slow;  /* what the link has for us in the end, where that is less than it says */
	double patient, impatient; /* bytes a second of one board alone */
	unsigned seed;
};

/* What a stock boot fetches, more or less: loader, initramfs, kernel. */
#define N_FILES 3
static const double stock_files[N_FILES] = { 2.3e6, 11e6, 33e6 };
static const double small_files[N_FILES] = { 50e3, 100e3, 300e3 };

static double rnd(struct hall *h)
{
	h->seed = h->seed * 1103515245u + 12345u;
	return (h->seed >> 8 & 0xffffff) / 16777216.0;
}

static void begin_asking(struct board *b, uint64_t now)
{
	b->phase = ASKING;
	b->next_ns = now;
	b->end_ns = now + (b->rom ? 25 : 45) * BR_S;
}

static void ask_once(struct hall *h, struct br_admission *adm, struct board *b, uint64_t now)
{
	if (now >= b->end_ns) {
		b->dead = b->rom && !b->loaded;
		b->phase = b->dead ? OFF : PAUSE;
		b->next_ns = now + 10 * BR_S; /* the card, the disk, and again */
		return;
	}
	b->next_ns = now + (b->rom ? 5 : 4) * BR_S;
	if (rnd(h) < 0.01 || ask(adm, b->id, b->rom, now) != BR_TURN_GO || rnd(h) < 0.01)
		return;
	if (b->rom && !b->loaded) { /* bootcode.bin, and it asks anew */
		b->loaded = true;
		br_admission_sign(adm, b->id, now);
		begin_asking(b, now + 100 * BR_MS);
		return;
	}
	b->phase = FETCHING;
	b->file = 0;
	b->got = 0;
	b->own = 1 - h->uneven * rnd(h);
	b->file_ns = now;
	br_admission_sign(adm, b->id, now);
}

static void fetch(struct hall *h, struct br_admission *adm, struct board *b, double share, double dt, uint64_t now)
{
	double most = (b->rom ? h->impatient : h->patient) * b->own;

	b->got += (share < most ? share : most) * dt;
	br_admission_progress(adm, b->id, (uint64_t)b->got, (uint64_t)h->files[b->file], now);
	if (b->got >= h->files[b->file]) {
		br_admission_ended(adm, b->id, (uint64_t)h->files[b->file], now - b->file_ns, true, now);
		b->got = 0;
		b->own = 1 - h->uneven * rnd(h);
		b->file_ns = now;
		if (++b->file < N_FILES)
			return;
		br_admission_done(adm, b->id, now);
		b->up = true;
		b->up_ns = now;
		b->phase = OFF;
	} else if (now - b->file_ns > 30 * BR_S) {
		br_admission_ended(adm, b->id, (uint64_t)b->got, now - b->file_ns, false, now);
		b->failures++;
		b->dead = b->rom;
		b->phase = b->rom ? OFF : PAUSE;
		b->next_ns = now + 5 * BR_S;
	}
}

/* Processor sharing with a ceiling for each: what nobody can use is shared by the others. */
static double share_of(const struct hall *h)
{
	double left = h->slow, share = 0;
	unsigned n = 0, roms = 0;

	for (size_t i = 0; i < h->n; i++) {
		n += h->boards[i].phase == FETCHING;
		roms += h->boards[i].phase == FETCHING && h->boards[i].rom;
	}
	if (!n)
		return 0;
	share = left / n;
	if (share > h->impatient && n > roms)
		share = (left - roms * h->impatient) / (n - roms);
	return share;
}

static void run(struct hall *h, struct br_admission *adm, uint64_t until_ns, bool (*over)(const struct hall *))
{
	uint64_t start = 1000 * BR_S, step = 100 * BR_MS;

	for (size_t i = 0; i < h->n; i++) {
		struct board *b = &h->boards[i];

		*b = (struct board){ .id = (int64_t)i + 1, .rom = b->rom };
		begin_asking(b, start + (uint64_t)(rnd(h) * 3e9) + (i % 10 == 7 && !b->rom ? 30 * BR_S : 0));
	}
	for (uint64_t now = start; now < start + until_ns && !over(h); now += step) {
		double share = share_of(h);

		for (size_t i = 0; i < h->n; i++) {
			struct board *b = &h->boards[i];

			if (b->phase == PAUSE && now >= b->next_ns)
				begin_asking(b, now);
			if (b->phase == ASKING && now >= b->next_ns)
				ask_once(h, adm, b, now);
			else if (b->phase == FETCHING)
				fetch(h, adm, b, share, (double)step / 1e9, now);
		}
	}
}

static bool all_over(const struct hall *h)
{
	for (size_t i = 0; i < h->n; i++)
		if (!h->boards[i].up && !h->boards[i].dead)
			return false;
	return true;
}

struct outcome {
	unsigned up, dead, failures;
	double last_s;
};

static struct outcome storm_of(const struct hall *like, size_t n, size_t n_roms, uint32_t at_once)
{
	struct br_admission *adm = br_admission_new(
		&(struct br_admission_options){ .at_once = at_once, .rate = (uint64_t)like->link });
	struct hall h = *like;
	struct outcome o = { 0 };

	h.boards = calloc(n, sizeof(struct board));
	h.n = n;
	h.seed = 7;
	largest = (uint64_t)h.files[N_FILES - 1];
	for (size_t i = 0; i < n_roms; i++)
		h.boards[i * (n / n_roms)].rom = true;
	run(&h, adm, (at_once ? 300 : 3600) * BR_S, all_over);
	for (size_t i = 0; i < n; i++) {
		o.up += h.boards[i].up;
		o.dead += h.boards[i].dead;
		o.failures += h.boards[i].failures;
		if ((double)(h.boards[i].up_ns - 1000 * BR_S) / 1e9 > o.last_s && h.boards[i].up)
			o.last_s = (double)(h.boards[i].up_ns - 1000 * BR_S) / 1e9;
	}
	print_message("# %zu boards, %.0f of %.0f MB/s: %u up, %u dead, %u transfers failed, %.0f s\n", n, h.slow / 1e6,
		h.link / 1e6, o.up, o.dead, o.failures, o.last_s);
	br_admission_free(adm);
	free(h.boards);
	return o;
}

static struct outcome storm(size_t n, size_t n_roms, double link, double slow, uint32_t at_once)
{
	const struct hall h = { .files = stock_files, .link = link, .slow = slow, .patient = 3.3e6, .impatient = 1.15e6 };

	return storm_of(&h, n, n_roms, at_once);
}

/* Losses make every board slow, few or many of them: to begin fewer would help nobody. */
static void test_slow_by_themselves(void **state)
{
	const struct hall h = {
		.files = small_files, .link = 117e6, .slow = 117e6, .patient = 60e3, .impatient = 30e3, .uneven = 0.85,
	};
	struct outcome o = storm_of(&h, 1000, 100, 0);

	assert_int_equal(o.up + o.dead, 1000);
	assert_true(o.last_s < 200);
}

static void test_storm(void **state)
{
	/* 46.3 GB at 117 MB/s take 396 s */
	struct outcome o = storm(1000, 0, 117e6, 117e6, 0);

	assert_int_equal(o.up, 1000);
	assert_int_equal(o.failures, 0);
	assert_true(o.last_s < 550);
}

/* The link says more than there is: a 10 Gb/s card on a slow machine, or a 1 Gb/s one that others use, too. */
static void test_storm_on_less_than_promised(void **state)
{
	struct outcome o = storm(1000, 0, 1170e6, 83e6, 0);

	assert_int_equal(o.up, 1000);
	assert_true(o.failures < 20);
	assert_true(o.last_s < 46.3e3 / 83 * 1.3);
	o = storm(300, 0, 117e6, 20e6, 0);
	assert_int_equal(o.up, 300);
	assert_true(o.last_s < 46.3 * 300 / 20 * 1.5);
}

/* More than 1 Gb/s is used. */
static void test_storm_on_a_fast_link(void **state)
{
	struct outcome o = storm(1000, 0, 1170e6, 1170e6, 0);

	assert_int_equal(o.up, 1000);
	assert_true(o.last_s < 150);
}

static void test_roms_come_up_too(void **state)
{
	struct outcome o = storm(100, 20, 117e6, 117e6, 0);

	assert_int_equal(o.up, 100);
}

/* What it was like without. */
static void test_storm_without(void **state)
{
	struct outcome o = storm(300, 0, 117e6, 117e6, BR_ADMISSION_UNLIMITED);

	assert_true(o.up < 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lone_board_goes),
		cmocka_unit_test(test_waits_and_is_told_once),
		cmocka_unit_test(test_in_a_boot_is_never_held),
		cmocka_unit_test(test_done_gives_the_slot_on),
		cmocka_unit_test(test_vanished_board_gives_the_slot_back),
		cmocka_unit_test(test_lost_offer),
		cmocka_unit_test(test_oldest_and_impatient_first),
		cmocka_unit_test(test_last_chance_of_a_rom),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_named_is_let_go),
		cmocka_unit_test(test_unlimited),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_slow_by_themselves),
		cmocka_unit_test(test_storm),
		cmocka_unit_test(test_storm_on_less_than_promised),
		cmocka_unit_test(test_storm_on_a_fast_link),
		cmocka_unit_test(test_roms_come_up_too),
		cmocka_unit_test(test_storm_without),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

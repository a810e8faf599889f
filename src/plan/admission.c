/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of boots, and how many of them may run. */
#include "plan/admission.h"

#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/cleanup.h"
#include "base/clock.h"

/* Firmware's patience (wire notes 1.5, 2.1). */
#define FILE_NS (30 * BR_S)	     /* TFTP_FILE_TIMEOUT, for a file from its first to its last byte */
#define GOAL_NS (FILE_NS / 2)	     /* what we plan for: losses and a slow second must fit in, too */
#define FRESH_NS (9 * BR_S)	     /* ROMs ask every 5 s, EEPROMs every 4 s; one question may get lost */
#define PAUSE_NS (60 * BR_S)	     /* an EEPROM's, between two rounds of its boot order, at most */
#define LAST_CHANCE_NS (14 * BR_S)   /* into the 25 s of a ROM: one question more, and one for a loss */
#define IMPATIENT_NS (60 * BR_S)
#define FORGET_NS (600 * BR_S)	     /* a board that was not heard of loses its place in the queue */

/* A slot is given back when nothing is heard: of a board that was offered an address, and of one that fetched files.
 * Between two files a firmware computes for some seconds at most. */
#define BEGIN_NS (4 * BR_S)
#define SILENT_NS (10 * BR_S)
#define MAX_BEGINNINGS 6 /* offers that nothing came of, before it must queue again */

#define ASSUMED_RATE 117000000ull /* bytes a second of 1 Gb/s, less the headers */
#define ASSUMED_LARGEST (32ull << 20) /* a kernel */
#define MIN_AT_ONCE 4
#define FIRST_MOST 64
#define LOADING_MOST 256
#define LOADER_FILE (512u << 10) /* bootcode.bin has 52 KB, a start.elf 3 MB */
#define LARGEST_NS (60 * BR_S)
#define SMALL_FILE (128u << 10) /* tells little of a rate, unless there are none larger */
#define TICK_NS (500 * BR_MS)
#define RAISE_NS BR_S
#define LOWER_NS (4 * BR_S)
#define LOOK_NS BR_S	       /* into a file its rate tells something */
#define RECENT_NS (3 * BR_S)
#define FAILED_NS FILE_NS /* between two halvings: the files that were begun before it still fail */
#define N_TICKS 4	       /* the rate is that of the last two seconds */

enum state { IDLE, WAITING, RUNNING };

struct entry {
	int64_t board_id; /* key */
	enum state state;
	bool impatient, proven, told;
	bool called; /* since it asked */
	bool fetched;	    /* in this boot */
	bool loading;	    /* its ROM fetches bootcode.bin, which takes no slot */
	bool loaded;	    /* and now that asks */
	bool failed;	    /* its last boot: it keeps its place */
	uint8_t beginnings; /* offers since it last fetched something */
	uint64_t since_ns;  /* waiting */
	uint64_t burst_ns;  /* it has asked without a pause since */
	uint64_t asked_ns, heard_ns;
	/* the transfer under way */
	uint64_t file_ns, bytes, moved_ns;
	UT_hash_handle hh;
};

struct br_admission {
	struct br_admission_options opt;
	struct entry *entries;
	uint32_t at_once;
	uint32_t running, waiting; /* as of the last sweep and what happened since */
	uint32_t unproven;	   /* of the running ones */
	uint32_t loading;
	uint32_t proven_waiting;
	uint64_t largest, largest_ns;
	uint64_t bytes[N_TICKS], moved; /* what was acknowledged in the last ticks; in this one */
	unsigned tick;
	uint64_t tick_ns, raised_ns, lowered_ns, failed_ns;
	bool was_slow; /* once: from then on in small steps */
	bool was_full; /* somebody was held since the limit was raised */
	struct recent {
		uint64_t rate, at_ns;
	} recent[2]; /* of files that are over */
	/* the most that the link was seen to carry, slowly forgotten, and how many boards it took */
	uint64_t peak_rate;
	uint32_t peak_running;
	uint64_t best[2]; /* what one board got, bytes a second, patient and impatient; slowly forgotten */
};

struct br_admission *br_admission_new(const struct br_admission_options *opt)
{
	struct br_admission *adm = calloc(1, sizeof(*adm));

	if (!adm)
		return NULL;
	adm->opt = *opt;
	if (!adm->opt.rate)
		adm->opt.rate = ASSUMED_RATE;
	return adm;
}

static void drop(struct br_admission *adm, struct entry *e);

void br_admission_free(struct br_admission *adm)
{
	struct entry *e, *tmp;

	if (!adm)
		return;
	HASH_ITER(hh, adm->entries, e, tmp)
		drop(adm, e);
	free(adm);
}

static struct entry *find(const struct br_admission *adm, int64_t board_id)
{
	struct entry *e;

	HASH_FIND(hh, adm->entries, &board_id, sizeof(board_id), e);
	return e;
}

static void set_state(struct br_admission *adm, struct entry *e, enum state state)
{
	if (e->state == RUNNING) {
		adm->running--;
		adm->unproven -= !e->proven;
	}
	if (e->state == WAITING) {
		adm->waiting--;
		adm->proven_waiting -= e->proven;
	}
	e->state = state;
	if (state == RUNNING) {
		adm->running++;
		adm->unproven += !e->proven;
	}
	if (state == WAITING) {
		adm->waiting++;
		adm->proven_waiting += e->proven;
	}
}

static void set_loading(struct br_admission *adm, struct entry *e, bool loading)
{
	adm->loading += loading - e->loading;
	e->loading = loading;
}

static void set_proven(struct br_admission *adm, struct entry *e)
{
	enum state state = e->state;

	if (e->proven)
		return;
	set_state(adm, e, IDLE);
	e->proven = true;
	set_state(adm, e, state);
}

static void drop(struct br_admission *adm, struct entry *e)
{
	set_state(adm, e, IDLE);
	set_loading(adm, e, false);
	HASH_DEL(adm->entries, e);
	free(e);
}

static uint64_t age(uint64_t now_ns, uint64_t then_ns)
{
	return now_ns > then_ns ? now_ns - then_ns : 0;
}

/* When there are too many: one that never fetched anything, else one at rest, the longest silent of them. A flood
 * pushes out itself. */
static void make_room(struct br_admission *adm)
{
	struct entry *worst = NULL;
	unsigned worst_rank = 0;

	if (HASH_COUNT(adm->entries) < BR_ADMISSION_BOARDS)
		return;
	for (struct entry *e = adm->entries; e; e = e->hh.next) {
		unsigned rank = 2 * !e->proven + (e->state == IDLE);

		if (worst && (rank < worst_rank || (rank == worst_rank && e->heard_ns >= worst->heard_ns)))
			continue;
		worst = e;
		worst_rank = rank;
	}
	drop(adm, worst);
}

/* NULL when memory is out: then nobody is held back. */
static struct entry *make(struct br_admission *adm, int64_t board_id, uint64_t now_ns)
{
	struct entry *e = find(adm, board_id);

	if (e)
		return e;
	make_room(adm);
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->board_id = board_id;
	e->heard_ns = now_ns;
	HASH_ADD(hh, adm->entries, board_id, sizeof(e->board_id), e);
	return e;
}

/* How many boards get the largest file in time when they share this rate. */
static uint32_t fits(const struct br_admission *adm, uint64_t rate)
{
	uint64_t largest = adm->largest ? adm->largest : ASSUMED_LARGEST;
	uint64_t n = rate * (GOAL_NS / BR_S) / largest;

	return n < MIN_AT_ONCE ? MIN_AT_ONCE : n > BR_ADMISSION_BOARDS ? BR_ADMISSION_BOARDS : (uint32_t)n;
}

static bool is_auto(const struct br_admission *adm)
{
	return !adm->opt.at_once;
}

static uint32_t limit(struct br_admission *adm)
{
	if (!is_auto(adm))
		return adm->opt.at_once;
	if (!adm->at_once && !adm->largest)
		return fits(adm, ASSUMED_RATE / 2);
	if (!adm->at_once) { /* half of what the link could bear, and not too many, until it is seen what it does bear */
		adm->at_once = fits(adm, (adm->opt.rate < ASSUMED_RATE ? adm->opt.rate : ASSUMED_RATE) / 2);
		adm->at_once = adm->at_once < FIRST_MOST ? adm->at_once : FIRST_MOST;
	}
	return adm->at_once;
}

static bool expired(const struct entry *e, uint64_t now_ns)
{
	return age(now_ns, e->heard_ns) > (e->fetched ? SILENT_NS : BEGIN_NS);
}

static bool is_fresh(const struct entry *e, uint64_t now_ns)
{
	return e->state == WAITING && age(now_ns, e->asked_ns) <= FRESH_NS;
}

/* As people see it: an EEPROM that pauses between two rounds of its boot order still waits, a ROM that is silent
 * has given up. */
static bool is_waiting(const struct entry *e, uint64_t now_ns)
{
	return e->state == WAITING && age(now_ns, e->asked_ns) <= (e->impatient ? FRESH_NS : PAUSE_NS);
}

/* Gives back the slots of those that vanished, and forgets who left the queue. */
static void sweep(struct br_admission *adm, uint64_t now_ns)
{
	struct entry *e, *tmp;

	HASH_ITER(hh, adm->entries, e, tmp)
	{
		if (e->state == RUNNING && expired(e, now_ns))
			set_state(adm, e, IDLE);
		if (e->loading && expired(e, now_ns))
			set_loading(adm, e, false);
		if (e->state == IDLE && age(now_ns, e->heard_ns) > PAUSE_NS)
			e->loaded = false;
		if (e->state != RUNNING && age(now_ns, e->heard_ns) > FORGET_NS)
			drop(adm, e);
	}
}

static uint64_t small(const struct br_admission *adm)
{
	return adm->largest / 4 < SMALL_FILE ? adm->largest / 4 : SMALL_FILE;
}

static uint64_t rate_of(uint64_t bytes, uint64_t ns)
{
	return ns ? (uint64_t)((double)bytes * 1e9 / (double)ns) : 0;
}

/* How the boards of one kind fare that fetch a file just now. The impatient ones, with their blocks of 512 bytes, are
 * slow by themselves and reckoned apart. */
struct fare {
	uint64_t n, sum; /* boards, and bytes a second of all of them */
	uint64_t share;	 /* of one, on average; 0: not to be told */
};

static struct fare look(const struct br_admission *adm, bool impatient, uint64_t now_ns)
{
	const struct recent *recent = &adm->recent[impatient];
	struct fare f = { 0 };

	for (const struct entry *e = adm->entries; e; e = e->hh.next) {
		uint64_t spent = age(now_ns, e->file_ns);

		if (e->state != RUNNING || e->impatient != impatient || !e->file_ns || spent < LOOK_NS || e->bytes < small(adm) ||
			age(now_ns, e->moved_ns) > 2 * TICK_NS)
			continue;
		f.sum += rate_of(e->bytes, spent);
		f.n++;
	}
	if (f.n)
		f.share = f.sum / f.n;
	else if (recent->rate && age(now_ns, recent->at_ns) < RECENT_NS)
		f.share = recent->rate; /* files that are over sooner than one looks */
	return f;
}

static uint64_t total_rate(const struct br_admission *adm)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < N_TICKS; i++)
		sum += adm->bytes[i];
	return sum * BR_S / (N_TICKS * TICK_NS);
}

/*
 * Whether so many boards are the reason when each gets little. They are not when the link was seen to carry clearly more,
 * for more of them: then it is losses, or the boards themselves, and to begin fewer would help nobody.
 */
static bool is_crowded(const struct br_admission *adm)
{
	return total_rate(adm) >= adm->peak_rate - adm->peak_rate / 3 || adm->running >= adm->peak_running - adm->peak_running / 4;
}

static void note_peak(struct br_admission *adm)
{
	uint64_t rate = total_rate(adm);

	adm->peak_rate -= adm->peak_rate / 256;
	if (rate < adm->peak_rate)
		return;
	adm->peak_rate = rate;
	adm->peak_running = adm->running;
}

enum verdict { UNKNOWN, TOO_SLOW, AS_IT_SHOULD, FAST };

/* How the boards of one kind fare. */
static enum verdict judge(const struct br_admission *adm, const struct fare *fare, bool impatient)
{
	uint64_t share = fare->share, best = adm->best[impatient];
	uint64_t largest = adm->largest ? adm->largest : ASSUMED_LARGEST, file_ns;
	bool alone = share > best - best / 4 && total_rate(adm) < adm->opt.rate - adm->opt.rate / 5;

	if (!share)
		return UNKNOWN;
	file_ns = (uint64_t)((double)largest * 1e9 / (double)share);
	/* as fast as it would be without the others: they are not the reason, and more of them do no harm */
	if (best && alone && (impatient || file_ns < GOAL_NS))
		return FAST;
	if (!is_crowded(adm))
		return FAST;
	if (impatient)
		return AS_IT_SHOULD;
	if (file_ns > GOAL_NS + GOAL_NS / 3 || (file_ns > GOAL_NS && share < best / 2))
		return TOO_SLOW;
	return file_ns < GOAL_NS * 2 / 3 ? FAST : AS_IT_SHOULD;
}

/* Too slow: as many as the present rate serves in time. Fast, and all slots taken: some more. */
static void adjust(struct br_admission *adm, uint64_t now_ns)
{
	struct fare fares[2] = { look(adm, false, now_ns), look(adm, true, now_ns) };
	enum verdict patient = judge(adm, &fares[0], false), other = judge(adm, &fares[1], true);
	uint64_t rate = total_rate(adm), sum = fares[0].sum + fares[1].sum;
	bool fast = (patient == FAST && other != AS_IT_SHOULD) || (patient == UNKNOWN && other == FAST);

	if (patient == TOO_SLOW) {
		uint32_t n = fits(adm, rate > sum ? rate : sum); /* they may have just begun */

		/* by half at most, then a look at what it did: a machine that stood still for a second is no slow link */
		n = n > limit(adm) / 2 ? n : limit(adm) / 2;
		if (n < limit(adm) && age(now_ns, adm->lowered_ns) >= LOWER_NS) {
			adm->at_once = n > MIN_AT_ONCE ? n : MIN_AT_ONCE;
			adm->lowered_ns = now_ns;
		}
		adm->raised_ns = now_ns;
		adm->was_slow = true;
	} else if (fast && adm->was_full && age(now_ns, adm->raised_ns) >= RAISE_NS &&
		   (!adm->opt.fixed_rate || rate < adm->opt.rate)) {
		adm->at_once += adm->was_slow ? 1 + adm->at_once / 8 : adm->at_once;
		if (adm->at_once > BR_ADMISSION_BOARDS)
			adm->at_once = BR_ADMISSION_BOARDS;
		adm->raised_ns = now_ns;
		adm->was_full = false;
	}
}

static void advance(struct br_admission *adm, uint64_t now_ns)
{
	if (age(now_ns, adm->tick_ns) < TICK_NS)
		return;
	for (unsigned n = 0; n < N_TICKS && age(now_ns, adm->tick_ns) >= TICK_NS; n++) {
		adm->bytes[adm->tick++ % N_TICKS] = adm->moved;
		adm->moved = 0;
		adm->tick_ns += TICK_NS;
	}
	if (age(now_ns, adm->tick_ns) >= TICK_NS)
		adm->tick_ns = now_ns;
	for (size_t i = 0; i < BR_ARRAY_SIZE(adm->best); i++)
		adm->best[i] -= adm->best[i] / 256; /* half of it in a minute and a half */
	note_peak(adm);
	sweep(adm, now_ns);
	if (is_auto(adm))
		adjust(adm, now_ns);
}

/* Since when it waits, as the order sees it. Those that give up for good come first; of a board that has shown
 * nothing yet this is believed for a minute, so that made-up ones do not hold up the others for ever. */
static uint64_t place(const struct entry *e)
{
	if (!e->impatient)
		return e->since_ns;
	return e->proven ? 0 : e->since_ns - (e->since_ns < IMPATIENT_NS ? e->since_ns : IMPATIENT_NS);
}

static bool before(const struct entry *a, const struct entry *b)
{
	if (place(a) != place(b))
		return place(a) < place(b);
	return a->since_ns != b->since_ns ? a->since_ns < b->since_ns : a->board_id < b->board_id;
}

/* How many of those that ask just now go before it; at most max. */
static uint32_t rank(const struct br_admission *adm, const struct entry *e, uint32_t max, uint64_t now_ns)
{
	uint32_t n = 0;

	for (const struct entry *o = adm->entries; o && n < max; o = o->hh.next)
		n += o != e && is_fresh(o, now_ns) && before(o, e);
	return n;
}

static bool is_last_chance(const struct entry *e, uint64_t now_ns)
{
	return e->impatient && age(now_ns, e->burst_ns) >= LAST_CHANCE_NS;
}

/*
 * A free slot goes to one of the first in the queue, whoever of them asks next: to wait for the very first one, which
 * asks every four seconds, would leave the link idle.
 */
static bool may_go(struct br_admission *adm, const struct entry *e, uint64_t now_ns)
{
	uint32_t max = limit(adm), some = 4 + max / 8;

	if (!adm->running || max == BR_ADMISSION_UNLIMITED)
		return true;
	if (!e->proven && adm->proven_waiting && adm->unproven >= max - max / 4)
		return false; /* a quarter is for boards that have shown to be some */
	if (is_last_chance(e, now_ns) && adm->running < max + max / 2)
		return true; /* one too many is slower; held once more, this one may be dead */
	if (adm->running >= max) {
		adm->was_full = true;
		return false;
	}
	return rank(adm, e, max - adm->running + some, now_ns) < max - adm->running + some;
}

static enum br_turn go(struct br_admission *adm, struct entry *e, uint64_t now_ns)
{
	if (e->state != RUNNING) {
		set_state(adm, e, RUNNING);
		e->fetched = false;
		e->told = false;
		e->file_ns = e->bytes = 0;
	}
	e->heard_ns = now_ns;
	if (!e->fetched && e->beginnings < UINT8_MAX)
		e->beginnings++;
	return BR_TURN_GO;
}

static enum br_turn queue(struct br_admission *adm, struct entry *e)
{
	bool first = !e->told;

	set_state(adm, e, WAITING);
	e->told = true;
	return first ? BR_TURN_QUEUED : BR_TURN_WAIT;
}

/* It asks again, since it did not hear the offer. A few times: then it is another's turn, and its own again later. */
static bool goes_on(struct br_admission *adm, struct entry *e, uint64_t now_ns)
{
	bool begun = e->state == RUNNING || (e->state == IDLE && e->beginnings && age(now_ns, e->asked_ns) <= FRESH_NS);

	if (!begun || e->fetched || e->beginnings < MAX_BEGINNINGS)
		return begun;
	if (e->state == RUNNING)
		set_state(adm, e, IDLE);
	e->beginnings = 0;
	return false;
}

/*
 * A ROM is dead when it was held for 25 s, and all that it fetches is bootcode.bin. So it is answered without a turn, and
 * bootcode.bin, which starts over when it was held, waits when it asks in its place.
 */
static bool loads(struct br_admission *adm, struct entry *e, bool rom, uint64_t now_ns)
{
	if (!e->impatient || e->state == RUNNING || (!rom && (e->loaded || (e->loading && e->fetched))))
		return false;
	if (!e->loading && adm->loading >= LOADING_MOST && !is_last_chance(e, now_ns))
		return false;
	set_state(adm, e, IDLE);
	set_loading(adm, e, true);
	e->fetched = e->loaded = false;
	return true;
}

/* The first question of a boot, or a later one of one that waits. */
static enum br_turn decide(struct br_admission *adm, struct entry *e, bool rom, uint64_t now_ns)
{
	if (goes_on(adm, e, now_ns))
		return go(adm, e, now_ns);
	if (loads(adm, e, rom, now_ns)) {
		e->since_ns = now_ns;
		return BR_TURN_GO;
	}
	if (e->loading) { /* bootcode.bin asks: it has waited since its ROM asked */
		set_loading(adm, e, false);
		e->loaded = true;
	} else if (e->state == IDLE && !e->failed)
		e->since_ns = now_ns;
	return may_go(adm, e, now_ns) ? go(adm, e, now_ns) : queue(adm, e);
}

/* The largest of what was asked for lately: images differ. What is known of the rate stays. */
static void note_largest(struct br_admission *adm, uint64_t largest, uint64_t now_ns)
{
	uint64_t n;

	if (!largest || (largest < adm->largest && age(now_ns, adm->largest_ns) < LARGEST_NS))
		return;
	adm->largest_ns = now_ns;
	if (largest == adm->largest)
		return;
	n = (uint64_t)((double)adm->at_once * (double)adm->largest / (double)largest);
	if (adm->at_once && adm->largest)
		adm->at_once = n < MIN_AT_ONCE ? MIN_AT_ONCE : n > BR_ADMISSION_BOARDS ? BR_ADMISSION_BOARDS : (uint32_t)n;
	adm->largest = largest;
}

enum br_turn br_admission_ask(struct br_admission *adm, const struct br_admission_ask *ask, uint64_t now_ns,
	uint32_t *ret_before)
{
	struct entry *e;
	enum br_turn turn;

	note_largest(adm, ask->largest, now_ns);
	advance(adm, now_ns); /* may drop some: before any is looked up */
	e = make(adm, ask->board_id, now_ns);
	if (!e)
		return BR_TURN_GO;
	if (ask->proven)
		set_proven(adm, e);
	e->impatient = ask->impatient;
	if (age(now_ns, e->asked_ns) > FRESH_NS)
		e->burst_ns = now_ns;
	turn = decide(adm, e, ask->rom, now_ns);
	e->asked_ns = e->heard_ns = now_ns;
	e->called = false;
	if (turn != BR_TURN_GO && ret_before)
		*ret_before = turn == BR_TURN_QUEUED ? rank(adm, e, UINT32_MAX, now_ns) : 0;
	return turn;
}

int64_t br_admission_next(struct br_admission *adm, uint64_t listens_ns, uint64_t now_ns)
{
	struct entry *best = NULL;
	uint32_t max = limit(adm);

	advance(adm, now_ns);
	if (!adm->waiting || adm->running >= max)
		return 0;
	for (struct entry *e = adm->entries; e; e = e->hh.next) {
		if (e->state != WAITING || e->called || age(now_ns, e->asked_ns) >= listens_ns)
			continue;
		if (!e->proven && adm->proven_waiting && adm->unproven >= max - max / 4)
			continue;
		if (!best || before(e, best))
			best = e;
	}
	/* one that would be held again: those before it asked longer ago, and ask again soon */
	if (!best || !may_go(adm, best, now_ns))
		return 0;
	best->called = true;
	return best->board_id;
}

static struct entry *running(struct br_admission *adm, int64_t board_id, uint64_t now_ns)
{
	struct entry *e = make(adm, board_id, now_ns);

	if (!e)
		return NULL;
	set_proven(adm, e);
	e->heard_ns = now_ns;
	if (e->loading) {
		e->fetched = true;
		return e;
	}
	if (e->state != RUNNING) {
		set_state(adm, e, RUNNING);
		e->told = false;
		e->file_ns = e->bytes = 0;
	}
	e->fetched = true;
	e->beginnings = 0;
	e->heard_ns = now_ns;
	return e;
}

void br_admission_sign(struct br_admission *adm, int64_t board_id, uint64_t now_ns)
{
	struct entry *e = running(adm, board_id, now_ns);

	if (e) {
		e->file_ns = now_ns;
		e->bytes = 0;
	}
	advance(adm, now_ns);
}

void br_admission_progress(struct br_admission *adm, int64_t board_id, uint64_t bytes, uint64_t size, uint64_t now_ns)
{
	struct entry *e = find(adm, board_id);

	if (e && e->loading && size > LOADER_FILE) /* no ROM, then: a bootcode.bin from a card */
		set_loading(adm, e, false);
	e = running(adm, board_id, now_ns);
	if (!e)
		return;
	if (!e->file_ns || bytes < e->bytes) {
		e->file_ns = now_ns;
		e->bytes = 0;
	}
	adm->moved += bytes - e->bytes;
	e->bytes = bytes;
	e->moved_ns = now_ns;
	if (size > adm->largest)
		note_largest(adm, size, now_ns);
	advance(adm, now_ns);
}

/* A file ran out of time while it was being served: there are too many. The board will begin anew, and has to wait
 * like others, at its old place. */
static void ran_out_of_time(struct br_admission *adm, struct entry *e, uint64_t now_ns)
{
	bool crowded = is_crowded(adm);

	set_state(adm, e, IDLE);
	e->failed = true;
	if (!is_auto(adm) || !crowded || (adm->failed_ns && age(now_ns, adm->failed_ns) < FAILED_NS))
		return;
	adm->at_once = limit(adm) / 2 > MIN_AT_ONCE ? limit(adm) / 2 : MIN_AT_ONCE;
	adm->failed_ns = adm->raised_ns = now_ns;
	adm->was_slow = true;
}

static void note_rate(struct br_admission *adm, bool impatient, uint64_t rate, uint64_t now_ns)
{
	struct recent *r = &adm->recent[impatient];

	if (rate > adm->best[impatient])
		adm->best[impatient] = rate;
	r->rate = r->rate && age(now_ns, r->at_ns) < RECENT_NS ? r->rate - r->rate / 8 + rate / 8 : rate;
	r->at_ns = now_ns;
}

void br_admission_ended(struct br_admission *adm, int64_t board_id, uint64_t bytes, uint64_t duration_ns, bool sent,
	uint64_t now_ns)
{
	struct entry *e;
	uint64_t rate = rate_of(bytes, duration_ns);

	advance(adm, now_ns);
	e = find(adm, board_id);
	if (!e)
		return;
	adm->moved += bytes > e->bytes ? bytes - e->bytes : 0;
	e->file_ns = e->bytes = 0;
	e->heard_ns = now_ns;
	if (bytes < small(adm))
		return;
	if (sent)
		note_rate(adm, e->impatient, rate, now_ns);
	if (!sent && duration_ns >= GOAL_NS)
		ran_out_of_time(adm, e, now_ns);
}

void br_admission_done(struct br_admission *adm, int64_t board_id, uint64_t now_ns)
{
	struct entry *e = find(adm, board_id);

	if (e) {
		set_state(adm, e, IDLE);
		set_loading(adm, e, false);
		e->told = e->failed = e->loaded = false;
		e->heard_ns = now_ns;
		e->beginnings = 0;
	}
	advance(adm, now_ns);
}

void br_admission_forget(struct br_admission *adm, int64_t board_id)
{
	struct entry *e = find(adm, board_id);

	if (e)
		drop(adm, e);
}

void br_admission_set_rate(struct br_admission *adm, uint64_t rate)
{
	if (!adm->opt.fixed_rate)
		adm->opt.rate = rate ? rate : ASSUMED_RATE;
}

bool br_admission_knows(const struct br_admission *adm, int64_t board_id)
{
	return find(adm, board_id);
}

bool br_admission_proven(const struct br_admission *adm, int64_t board_id)
{
	const struct entry *e = find(adm, board_id);

	return e && e->proven;
}

void br_admission_status(struct br_admission *adm, uint64_t now_ns, struct br_admission_status *ret)
{
	advance(adm, now_ns);
	*ret = (struct br_admission_status){
		.running = adm->running,
		.at_once = limit(adm),
		.rate = total_rate(adm),
	};
	for (const struct entry *e = adm->entries; e; e = e->hh.next)
		ret->waiting += is_waiting(e, now_ns);
}

bool br_admission_any_waiting(const struct br_admission *adm, uint64_t listens_ns, uint64_t now_ns)
{
	if (!adm->waiting)
		return false;
	for (const struct entry *e = adm->entries; e; e = e->hh.next)
		if (e->state == WAITING && !e->called && age(now_ns, e->asked_ns) < listens_ns)
			return true;
	return false;
}

bool br_admission_waits(struct br_admission *adm, int64_t board_id, uint64_t now_ns, uint32_t *ret_before,
	uint64_t *ret_since_ns)
{
	const struct entry *e;

	advance(adm, now_ns);
	e = find(adm, board_id);
	if (!e || !is_waiting(e, now_ns))
		return false;
	*ret_before = rank(adm, e, UINT32_MAX, now_ns);
	if (ret_since_ns)
		*ret_since_ns = e->since_ns;
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Whose turn it is. Firmware gives each boot file 30 s in all, so a link that serves a hundred boards a little each
 * serves none of them. Boots are therefore begun a few dozen at a time; the other boards are not answered yet, which
 * they bear: they ask again every four or five seconds.
 *
 * Only the request that begins a boot waits. Whoever is in a boot is never held back, and nothing here touches a
 * transfer. Time and facts come in; no lock, no clock. Memory is bounded by BR_ADMISSION_BOARDS.
 *
 * How many at once: as many as could fetch the largest file together in 15 s, half of what the firmware gives it. At
 * first that is reckoned from the link's speed; then from what boards in fact get: a rate that would take too long
 * lowers it, transfers that fail halve it, and fast ones raise it step by step.
 */
struct br_admission;

#define BR_ADMISSION_BOARDS 8192
#define BR_ADMISSION_UNLIMITED UINT32_MAX

struct br_admission_options {
	uint32_t at_once; /* boots; 0: found out, BR_ADMISSION_UNLIMITED: nobody waits */
	uint64_t rate;	  /* bytes a second that boot files may take of the link; 0: not known, 1 Gb/s is assumed */
	bool fixed_rate;  /* somebody said so: a faster link is not believed */
};

struct br_admission *br_admission_new(const struct br_admission_options *opt);
void br_admission_free(struct br_admission *adm);

/* A firmware that asks where to boot from. */
struct br_admission_ask {
	int64_t board_id;     /* > 0 */
	/* a Pi 3 or older: its ROM gives up for good after 25 s and never waits; its bootcode.bin does, before others */
	bool impatient;
	bool rom; /* by its shape it is the ROM; some of them cannot be told from their bootcode.bin */
	bool proven;	      /* has fetched boot files before: a flood of made-up boards takes no turn of its */
	uint64_t largest;     /* bytes of the largest file it is going to fetch; 0: not known */
};

enum br_turn {
	BR_TURN_GO,	/* answer: its turn, or it is in a boot already */
	BR_TURN_WAIT,	/* stay silent */
	BR_TURN_QUEUED, /* the same, for the first time in this boot: worth telling */
};
/* ret_before: how many are before it, when it waits; may be NULL. */
enum br_turn br_admission_ask(struct br_admission *adm, const struct br_admission_ask *ask, uint64_t now_ns,
	uint32_t *ret_before);

/*
 * Whose turn it is now, of those that asked lately and still listen: a board that may be answered though it does not
 * ask again just now. 0: nobody's, or no slot is free. It is named once for each time that it asked; ask for it, then
 * it goes.
 */
int64_t br_admission_next(struct br_admission *adm, uint64_t listens_ns, uint64_t now_ns);

/* A sign of life of a board that fetches boot files (asked for one, or its loader asks for an address). It counts among the
 * running ones from then on, however it came here. */
void br_admission_sign(struct br_admission *adm, int64_t board_id, uint64_t now_ns);
/* It has bytes of a file of this size; grows from file to file anew. */
void br_admission_progress(struct br_admission *adm, int64_t board_id, uint64_t bytes, uint64_t size, uint64_t now_ns);
/* A transfer ended: sent whole, or it broke off after that long. */
void br_admission_ended(struct br_admission *adm, int64_t board_id, uint64_t bytes, uint64_t duration_ns, bool sent,
	uint64_t now_ns);
/* What is heavy is over (its kernel was sent, it runs): the next one's turn. */
void br_admission_done(struct br_admission *adm, int64_t board_id, uint64_t now_ns);
/* The board was removed. */
void br_admission_forget(struct br_admission *adm, int64_t board_id);

/* The link's speed came to be known, or changed; 0: not known. Nothing when it is fixed. */
void br_admission_set_rate(struct br_admission *adm, uint64_t rate);

/* Whether the board was heard of here lately, and has fetched files. */
bool br_admission_knows(const struct br_admission *adm, int64_t board_id);
bool br_admission_proven(const struct br_admission *adm, int64_t board_id);

struct br_admission_status {
	uint32_t running, waiting; /* boots */
	uint32_t at_once;	   /* BR_ADMISSION_UNLIMITED: all */
	uint64_t rate;		   /* bytes of boot files in the last second or two */
};
void br_admission_status(struct br_admission *adm, uint64_t now_ns, struct br_admission_status *ret);
/* Whether br_admission_next() may name somebody before any asks again. */
bool br_admission_any_waiting(const struct br_admission *adm, uint64_t listens_ns, uint64_t now_ns);
/* Whether a board waits; how many are before it, and since when (ns; may be NULL). */
bool br_admission_waits(struct br_admission *adm, int64_t board_id, uint64_t now_ns, uint32_t *ret_before,
	uint64_t *ret_since_ns);

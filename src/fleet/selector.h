/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "fleet/fleet.h"

/*
 * What people write where boards are meant: terms separated by commas or blanks.
 *
 *   pi07  pi[01-24]  name=pi[01-24]    names: all of them together are a set that the conditions narrow
 *   model=4B  tag=camera  image=raspios[:TAG]   conditions: all must hold; model=4B|5 is either; tag!=broken is not
 *   free  mine  !free                  not reserved by anybody; reserved by the caller
 *   all                                every board
 *   ... :3                             at the end: so many of them. :all is every one
 *
 * An image's tag is no count: 'image=debian:12' has none, 'image=debian:12:3' means three boards.
 */
struct br_selector;

#define BR_SELECTOR_TEXT_MAX 4096 /* bytes of one text */
#define BR_SELECTOR_TERMS_MAX 64  /* conditions */
#define BR_SELECTOR_COUNT_MAX 65536

/* -EINVAL, -E2BIG with words. */
int br_selector_parse(const char *text, struct br_selector **ret, struct br_error *err);
void br_selector_free(struct br_selector *sel);

/* Whether a text is more than names: has conditions or a count. False for what does not parse. */
bool br_selector_is(const char *text);

/* How many boards: its :N; ':all' and what only names boards: UINT32_MAX, as many as match; anything else: 1. */
uint32_t br_selector_count(const struct br_selector *sel);
/* Whether a :N or :all was given. */
bool br_selector_counted(const struct br_selector *sel);
/* The names it lists, in order (borrowed; NULL: none, conditions only). */
const char *const *br_selector_names(const struct br_selector *sel, size_t *ret_n);

/* What a board's record does not say. */
struct br_selector_facts {
	const char *image;   /* that it boots, the daemon's default included; NULL: none */
	bool reserved, mine; /* by anybody; by who asks */
};
bool br_selector_matches(const struct br_selector *sel, const struct br_board *board, const struct br_selector_facts *facts);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * A regular expression (PCRE2) over bytes, with limits that keep a hostile one from holding up anybody: a match that takes more
 * steps than it may is no match, and counted. A literal text that every match must contain is taken from the
 * expression where that is easy to see: a search looks for it first. Immutable: threads may share one.
 */
struct br_logs_pattern;

#define BR_LOGS_PATTERN_MAX 1024 /* bytes */

/* -EINVAL with words and the place. */
int br_logs_pattern_new(const char *re, bool ignore_case, struct br_logs_pattern **ret, struct br_error *err);
void br_logs_pattern_free(struct br_logs_pattern *p);
/* The literal, folded to lower case when case does not matter; n is 0 when there is none. */
const char *br_logs_pattern_literal(const struct br_logs_pattern *p, size_t *ret_n);
bool br_logs_pattern_ignores_case(const struct br_logs_pattern *p);
/* Whether the literal is all of it: then a text that has it matches. */
bool br_logs_pattern_is_literal(const struct br_logs_pattern *p);

/* Room for matching, one for each thread. NULL: memory is out. */
struct br_logs_matcher;
struct br_logs_matcher *br_logs_matcher_new(const struct br_logs_pattern *p);
void br_logs_matcher_free(struct br_logs_matcher *m);
bool br_logs_matches(struct br_logs_matcher *m, const char *text, size_t n);
/* Matches given up for their length. */
uint64_t br_logs_matcher_given_up(const struct br_logs_matcher *m);

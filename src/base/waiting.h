/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/*
 * A sign of life while one waits for an answer that does not tell how far it is. On stderr, from the third second on: on a terminal
 * one line that is redrawn every second and taken away at the end, elsewhere a line every ten seconds.
 */
struct br_waiting;

/* what is copied. NULL when quiet, or when there is no room for it: then one waits without. */
struct br_waiting *br_waiting_start(const char *what, bool quiet);
/* Takes NULL. */
void br_waiting_end(struct br_waiting *w);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "cli/toplive.h"

enum br_top_screen { BR_TOP_GRID, BR_TOP_LIST, BR_TOP_BOARD, BR_TOP_HELP };

/* What is on the screen, but for the fleet itself. */
struct br_top_view {
	enum br_top_screen screen, back; /* back: what Escape leads to */
	bool utf8, by_state, only_wrong, typing;
	char filter[48], selected[64]; /* selected: a board's name */
	size_t scroll, per_row, rows;  /* as the last drawing had them */
	size_t *order, n, order_cap;   /* indexes of the boards shown */
	char *detail;		       /* lines about the selected board, safe */
};

void br_top_view_done(struct br_top_view *v);
/* Which boards are shown, in which order; the selected one stays, or another is. False: memory is out. */
bool br_top_arrange(struct br_top_view *v, const struct br_top_fleet *f);
/* Where the selected board is in the order. */
size_t br_top_selected(const struct br_top_view *v, const struct br_top_fleet *f);
/* Prepares colours; after the terminal is there. */
void br_top_draw_start(void);
/* All of it, with live->lock held. now: seconds since 1970. */
void br_top_draw(struct br_top_view *v, const struct br_top_live *live, int64_t now);

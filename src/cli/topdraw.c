/* SPDX-License-Identifier: Apache-2.0 */
/* The screen of 'bramble top'. */
#include "cli/topdraw.h"

#include <inttypes.h>
#include <ncurses.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/braille.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#define GRAPH_ROWS 3
#define CELL_WIDTH 20
#define WIDE_AT 49 /* where a list's columns begin that a narrow terminal goes without */
#define GRAPH_MAX 400 /* columns */

/* Colours of the states; each has its shape, too. Pair 0 is the terminal's own. */
static const struct {
	short color;
	attr_t attr;
} colors[BR_TOP_STATES] = {
	[BR_TOP_WRONG] = { COLOR_RED, A_BOLD },
	[BR_TOP_WAITING] = { COLOR_YELLOW, 0 },
	[BR_TOP_FIRMWARE_DHCP] = { COLOR_BLUE, 0 },
	[BR_TOP_BOOTCODE_DHCP] = { COLOR_BLUE, 0 },
	[BR_TOP_FIRMWARE_FILES] = { COLOR_BLUE, A_BOLD },
	[BR_TOP_KERNEL_SENT] = { COLOR_CYAN, 0 },
	[BR_TOP_KERNEL_DHCP] = { COLOR_CYAN, A_BOLD },
	[BR_TOP_FLASH] = { COLOR_MAGENTA, 0 },
	[BR_TOP_MOUNTED] = { COLOR_GREEN, 0 },
	[BR_TOP_UP] = { COLOR_GREEN, A_BOLD },
	[BR_TOP_LOCAL] = { -1, 0 },
	[BR_TOP_NONE] = { -1, A_DIM },
};

void br_top_view_done(struct br_top_view *v)
{
	free(v->order);
	free(v->detail);
	v->order = NULL;
	v->detail = NULL;
}

void br_top_draw_start(void)
{
	if (!has_colors())
		return;
	start_color();
	use_default_colors();
	for (int i = 0; i < BR_TOP_STATES; i++)
		init_pair((short)(i + 1), colors[i].color, -1);
}

static attr_t attr_of(enum br_top_state s)
{
	return colors[s].attr | (attr_t)COLOR_PAIR((short)(s + 1));
}

static int compare_states(const void *a, const void *b, void *ctx)
{
	const struct br_top_fleet *f = ctx;
	const size_t *x = a, *y = b;
	int order = (int)f->boards[*x].state - (int)f->boards[*y].state;

	return order ? order : (*x > *y) - (*x < *y);
}

bool br_top_arrange(struct br_top_view *v, const struct br_top_fleet *f)
{
	if (br_array_reserve(&v->order, &v->order_cap, f->n + 1, sizeof(v->order[0])) < 0)
		return false;
	v->n = 0;
	for (size_t i = 0; i < f->n; i++)
		if ((!v->only_wrong || f->boards[i].wrong) && br_top_board_fits(&f->boards[i], v->filter))
			v->order[v->n++] = i;
	if (v->by_state && v->n)
		qsort_r(v->order, v->n, sizeof(v->order[0]), compare_states, (void *)(uintptr_t)f);
	if (v->n) {
		size_t at = br_top_selected(v, f);

		br_strcpy(v->selected, sizeof(v->selected), f->boards[v->order[at]].name);
	}
	return true;
}

size_t br_top_selected(const struct br_top_view *v, const struct br_top_fleet *f)
{
	for (size_t i = 0; i < v->n; i++)
		if (!strcmp(f->boards[v->order[i]].name, v->selected))
			return i;
	return 0;
}

/* Text that ends at the screen's edge, wherever it begins. */
static void put(int y, int x, const char *text)
{
	if (y >= 0 && y < LINES && x >= 0 && x < COLS)
		mvaddnstr(y, x, text, -1);
}

__attribute__((format(printf, 3, 4))) static void putf(int y, int x, const char *fmt, ...)
{
	br_cleanup(br_text_done) struct br_text line = BR_TEXT_NULL;
	va_list ap;

	va_start(ap, fmt);
	br_text_addv(&line, fmt, ap);
	va_end(ap);
	if (line.buf && y >= 0 && y < LINES && x >= 0 && x < COLS)
		mvaddnstr(y, x, line.buf, COLS - x);
}

static void put_shape(int y, int x, const struct br_top_view *v, enum br_top_state s)
{
	char plain[2] = { br_top_looks[s].plain, 0 };

	attron(attr_of(s));
	put(y, x, v->utf8 ? br_top_looks[s].shape : plain);
	attroff(attr_of(s));
}

static void draw_head(const struct br_top_live *live, int64_t now)
{
	const struct br_top_fleet *f = &live->fleet;
	size_t counts[BR_TOP_STATES], booting = br_top_fleet_booting(f, now);
	char left[40] = "", text[16];

	br_top_fleet_count(f, counts);
	if (booting && f->left_s >= 0)
		snprintf(left, sizeof(left), ", %s left", br_format_duration(text, sizeof(text), (uint64_t)f->left_s * BR_S));
	attron(A_REVERSE);
	mvhline(0, 0, ' ', COLS);
	putf(0, 1, "bramble  %zu boards, %zu booting%s, %zu up%s", f->n, booting, left, counts[BR_TOP_UP] + counts[BR_TOP_MOUNTED],
		counts[BR_TOP_WRONG] || !f->judged ? "" : ", none needs attention");
	if (!live->connected)
		putf(0, COLS > 18 ? COLS - 17 : 0, " no connection ");
	else if (COLS > 72)
		putf(0, COLS - 1 - (int)strlen(f->interface) - 6, "live %s", f->interface);
	attroff(A_REVERSE);
}

static int draw_graph(const struct br_top_view *v, const struct br_top_fleet *f)
{
	char line[BR_BRAILLE_BYTES(GRAPH_MAX)], text[16];
	unsigned width = COLS > 40 ? (unsigned)COLS - 20 : 0;
	uint64_t max = 1, now = f->n_rates ? f->rates[f->n_rates - 1] : 0;

	if (!width || LINES < 14)
		return 1;
	if (width > GRAPH_MAX)
		width = GRAPH_MAX;
	for (size_t i = f->n_rates > (size_t)2 * width ? f->n_rates - (size_t)2 * width : 0; i < f->n_rates; i++)
		max = f->rates[i] > max ? f->rates[i] : max;
	for (unsigned row = 0; row < GRAPH_ROWS; row++) {
		if (v->utf8)
			br_braille_row(f->rates, f->n_rates, max, width, row, GRAPH_ROWS, line);
		else
			br_ascii_row(f->rates, f->n_rates, max, width, row, GRAPH_ROWS, line);
		attron(attr_of(BR_TOP_KERNEL_SENT));
		put(1 + (int)row, 1, line);
		attroff(attr_of(BR_TOP_KERNEL_SENT));
	}
	attron(A_BOLD);
	putf(1, (int)width + 3, "%s/s", br_format_size(text, sizeof(text), now));
	attroff(A_BOLD);
	attron(A_DIM);
	putf(2, (int)width + 3, "to the boards");
	putf(3, (int)width + 3, "peak %s/s", br_format_size(text, sizeof(text), max > 1 ? max : 0));
	attroff(A_DIM);
	return 1 + GRAPH_ROWS;
}

/* Shape, number and words of each state that there is, on as many lines as they need; at most two. */
static int draw_counts(const struct br_top_view *v, const struct br_top_fleet *f, int y)
{
	size_t counts[BR_TOP_STATES];
	int x = 1, last = y + 1;

	br_top_fleet_count(f, counts);
	for (int s = 0; s < BR_TOP_STATES; s++) {
		char words[60];
		int n = snprintf(words, sizeof(words), "%zu %s", counts[s], br_top_looks[s].label);

		if (!counts[s])
			continue;
		if (x > 1 && x + n + 3 > COLS) {
			if (y == last)
				break;
			x = 1;
			y++;
		}
		put_shape(y, x, v, (enum br_top_state)s);
		putf(y, x + 2, "%s", words);
		x += n + 5;
	}
	return y + 1;
}

static void keep_in_sight(struct br_top_view *v, size_t row)
{
	if (row < v->scroll)
		v->scroll = row;
	else if (v->rows && row >= v->scroll + v->rows)
		v->scroll = row - v->rows + 1;
}

static void draw_grid(struct br_top_view *v, const struct br_top_fleet *f, int y, int end)
{
	size_t room = (size_t)(end > y ? end - y : 0), width = CELL_WIDTH, columns, at = br_top_selected(v, f);

	columns = COLS > (int)width ? (size_t)(COLS - 1) / width : 1;
	if (v->n > columns * room) { /* a shape per board */
		width = 2;
		columns = COLS > 2 ? (size_t)(COLS - 2) / width : 1;
	}
	v->per_row = columns;
	v->rows = room;
	keep_in_sight(v, at / columns);
	for (size_t i = v->scroll * columns; i < v->n && i / columns < v->scroll + room; i++) {
		const struct br_top_board *b = &f->boards[v->order[i]];
		int row = y + (int)(i / columns - v->scroll), x = 1 + (int)(i % columns * width);

		if (i == at)
			attron(A_REVERSE);
		put_shape(row, x, v, b->state);
		if (i == at)
			attron(A_REVERSE); /* a shape's own attributes end it */
		if (width > 2 && b->percent && b->state == BR_TOP_FIRMWARE_FILES)
			putf(row, x + 2, "%-*.*s%3u%%", CELL_WIDTH - 7, CELL_WIDTH - 7, b->name, b->percent);
		else if (width > 2)
			putf(row, x + 2, "%-*.*s", CELL_WIDTH - 3, CELL_WIDTH - 3, b->name);
		attroff(A_REVERSE);
	}
}

static void describe(const struct br_top_board *b, int64_t now, char *out, size_t size)
{
	char since[24] = "";

	if (b->stage_at && now >= b->stage_at)
		br_format_duration(since, sizeof(since), (uint64_t)(now - b->stage_at) * BR_S);
	if (b->wrong)
		snprintf(out, size, "%s", b->verdict);
	else if (b->percent)
		snprintf(out, size, "%s %u %%", b->path, b->percent);
	else
		snprintf(out, size, "%s%s", since[0] && b->state != BR_TOP_NONE ? "since " : "", b->state == BR_TOP_NONE ? "" : since);
}

static void draw_list(struct br_top_view *v, const struct br_top_fleet *f, int y, int end, int64_t now)
{
	size_t room = (size_t)(end > y + 1 ? end - y - 1 : 0), at = br_top_selected(v, f);
	bool wide = COLS >= 110;

	v->per_row = 1;
	v->rows = room;
	keep_in_sight(v, at);
	attron(A_DIM);
	putf(y, 1, "  %-20s %-5s %-18s ", "BOARD", "MODEL", "STAGE");
	if (wide)
		putf(y, WIDE_AT, "%-15s %-12s", "ADDRESS", "IMAGE");
	attroff(A_DIM);
	for (size_t i = v->scroll; i < v->n && i < v->scroll + room; i++) {
		const struct br_top_board *b = &f->boards[v->order[i]];
		int row = y + 1 + (int)(i - v->scroll);
		char more[220];

		describe(b, now, more, sizeof(more));
		put_shape(row, 1, v, b->state);
		if (i == at)
			attron(A_REVERSE);
		mvhline(row, 3, ' ', COLS - 3);
		putf(row, 3, "%-20.20s %-5.5s %-18.18s ", b->name, b->model, br_top_looks[b->state].label);
		if (wide)
			putf(row, WIDE_AT, "%-15.15s %-12.12s %s", b->address, b->image, more);
		else
			putf(row, WIDE_AT, "%s", more);
		attroff(A_REVERSE);
	}
}

/* Lines of words, broken at the edge. */
static void draw_text(struct br_top_view *v, const char *text, int y, int end)
{
	size_t width = COLS > 4 ? (size_t)COLS - 3 : 1, line = 0;

	v->rows = 1;
	v->per_row = 1;
	while (*text && y < end) {
		size_t n = strcspn(text, "\n");

		if (n > width) {
			n = width;
			while (n > width / 2 && text[n] != ' ')
				n--;
		}
		if (line++ >= v->scroll)
			putf(y++, 1, "%.*s", (int)n, text);
		text += n;
		text += *text == '\n' || *text == ' ';
	}
}

static const char help[] =
	"A fleet, live. Each board has a shape that says how far its boot is.\n"
	"\n"
	"  arrows, PgUp, PgDn, Home, End   choose a board      Enter  what is known of it\n"
	"  g or Tab   grid or list                             s      by name, or by state\n"
	"  w          only those that need attention           /      filter; Escape ends it\n"
	"  h or ?     this text                                q      quit\n"
	"\n"
	"The curve shows what the daemon sends to the boards, a dot wide per second.\n"
	"The same in a browser, with timelines and logs: port 8480 of the server.";

static void draw_status(const struct br_top_view *v, const struct br_top_live *live, int y, int64_t now)
{
	const struct br_top_fleet *f = &live->fleet;
	char more[220];

	move(y, 0);
	if (!live->connected) {
		attron(A_BOLD);
		putf(y, 1, "No connection: %s", live->words);
		attroff(A_BOLD);
	} else if (v->typing || v->filter[0]) {
		putf(y, 1, "Filter: %s%s   (%zu of %zu)", v->filter, v->typing ? "_" : "", v->n, f->n);
	} else if (v->n && v->screen == BR_TOP_GRID) {
		const struct br_top_board *b = &f->boards[v->order[br_top_selected(v, f)]];

		describe(b, now, more, sizeof(more));
		putf(y, 1, "%s: %s%s%s%s%s", b->name, br_top_looks[b->state].label, more[0] ? ", " : "", more, b->model[0] ? ", model " : "", b->model);
	} else {
		putf(y, 1, "%zu of %zu boards, by %s%s", v->n, f->n, v->by_state ? "state" : "name", v->only_wrong ? ", only those that need attention" : "");
	}
}

void br_top_draw(struct br_top_view *v, const struct br_top_live *live, int64_t now)
{
	const struct br_top_fleet *f = &live->fleet;
	int y, end = LINES - 2;

	erase();
	draw_head(live, now);
	y = draw_graph(v, f);
	y = draw_counts(v, f, y) + (LINES > 18);
	if (v->screen == BR_TOP_HELP)
		draw_text(v, help, y, end);
	else if (v->screen == BR_TOP_BOARD)
		draw_text(v, v->detail ? v->detail : "", y, end);
	else if (!live->loaded)
		putf(y + 1, 1, "%s", live->words[0] ? "The fleet appears when the daemon answers." : "Asking the daemon ...");
	else if (!f->n)
		putf(y + 1, 1, "No boards yet: power one on in the network that bramble serves.");
	else if (!v->n)
		putf(y + 1, 1, "No board fits%s.", v->only_wrong ? ": none needs attention" : " the filter");
	else if (v->screen == BR_TOP_LIST)
		draw_list(v, f, y, end, now);
	else
		draw_grid(v, f, y, end);
	draw_status(v, live, LINES - 2, now);
	attron(A_REVERSE);
	mvhline(LINES - 1, 0, ' ', COLS);
	putf(LINES - 1, 1, "q quit  g %s  Enter board  s sort  w attention  / filter  ? help", v->screen == BR_TOP_LIST ? "grid" : "list");
	attroff(A_REVERSE);
	refresh();
}

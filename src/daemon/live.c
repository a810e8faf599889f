/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The live display. Events are turned into lines where they happen and queued; the loop prints them. On a
 * terminal a block of one line per booting board is kept below the lines and redrawn.
 */
#include "daemon/live.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/eventtext.h"
#include "fleet/event.h"

#define QUEUE_MAX 10000	    /* lines waiting for a slow terminal; beyond that they are counted, not kept */
#define ROWS_MAX 12	    /* live lines, so that a screen keeps room for events */
#define REDRAW_MS 200	    /* as often as an eye follows */
#define IDLE_NS (20 * BR_S) /* a board without news leaves the live lines */

struct line {
	char *text;
	struct line *next, *prev;
};

struct row {
	int64_t board_id;
	char name[BR_BOARD_NAME_MAX + 1];
	char stage[32];
	char path[64];
	uint64_t bytes, size, file_since_ns, seen_ns;
	struct row *next, *prev;
};

struct br_live {
	struct br_fleet *fleet;
	void *listener;
	uv_async_t async;
	uv_timer_t timer;
	pthread_mutex_t lock; /* all below */
	struct line *lines;
	size_t n_lines, n_dropped;
	struct row *rows;
	bool tty;
	unsigned drawn; /* live lines on the screen */
	unsigned open_handles;
};

static void queue_line(struct br_live *live, char *text)
{
	struct line *l = text && live->n_lines < QUEUE_MAX ? calloc(1, sizeof(*l)) : NULL;

	if (!l) {
		live->n_dropped++;
		free(text);
		return;
	}
	l->text = text;
	DL_APPEND(live->lines, l);
	live->n_lines++;
}

static struct row *find_row(struct br_live *live, int64_t board_id)
{
	struct row *row;

	DL_FOREACH(live->rows, row)
		if (row->board_id == board_id)
			return row;
	return NULL;
}

static void drop_row(struct br_live *live, struct row *row)
{
	DL_DELETE(live->rows, row);
	free(row);
}

/* A row follows a boot: it appears with its start and goes when the board is up. */
static void update_row(struct br_live *live, const struct br_event *ev)
{
	struct row *row = find_row(live, ev->board_id);

	if (!row && !strcmp(ev->type, BR_EV_BOOT_START)) {
		row = calloc(1, sizeof(*row));
		if (!row)
			return; /* the display goes without it */
		row->board_id = ev->board_id;
		DL_APPEND(live->rows, row);
	}
	if (!row)
		return;
	if (!strcmp(ev->type, BR_EV_BOARD_UP)) {
		drop_row(live, row);
		return;
	}
	snprintf(row->name, sizeof(row->name), "%s", ev->board_name);
	snprintf(row->stage, sizeof(row->stage), "%s", ev->type);
	row->seen_ns = br_now_ns();
	if (br_str_starts(ev->type, "file."))
		row->path[0] = 0;
}

/* Which events are worth a line: probes and missing files are normal and many. */
static bool is_shown(const char *type)
{
	if (br_log_get_level() >= BR_LOG_DEBUG)
		return true;
	return strcmp(type, BR_EV_FILE_PROBED) && strcmp(type, BR_EV_FILE_MISSING);
}

static void on_event(void *ctx, const struct br_event *ev)
{
	struct br_live *live = ctx;
	char text[512], at[BR_LOG_CLOCK];

	pthread_mutex_lock(&live->lock);
	update_row(live, ev);
	if (is_shown(ev->type))
		queue_line(live, br_asprintf("%s %s%s%s", br_log_clock(ev->wall_ns, at), ev->board_name,
			ev->board_name[0] ? ": " : "", br_event_text(ev, text, sizeof(text))));
	pthread_mutex_unlock(&live->lock);
	uv_async_send(&live->async);
}

/* Log lines of the daemon go the same way, so that they do not tear the live lines. */
static void on_log(void *ctx, enum br_log_level level, const char *text)
{
	static const char *const word[] = { "error: ", "warning: ", "", "debug: " };
	struct br_live *live = ctx;
	char at[BR_LOG_CLOCK];

	pthread_mutex_lock(&live->lock);
	queue_line(live, br_asprintf("%s %s%s", br_log_clock(br_wall_ns(), at), word[level], text));
	pthread_mutex_unlock(&live->lock);
	uv_async_send(&live->async);
}

void br_live_progress(void *ctx, int64_t board_id, const char *path, uint64_t bytes, uint64_t size)
{
	struct br_live *live = ctx;
	uint64_t now = br_now_ns();
	struct row *row;

	pthread_mutex_lock(&live->lock);
	row = find_row(live, board_id);
	if (row) {
		if (strncmp(row->path, path, sizeof(row->path) - 1)) {
			snprintf(row->path, sizeof(row->path), "%s", path);
			row->file_since_ns = now;
		}
		row->bytes = bytes;
		row->size = size;
		row->seen_ns = now;
	}
	pthread_mutex_unlock(&live->lock);
}

static void format_row(const struct row *row, unsigned width, uint64_t now, struct br_text *t)
{
	uint64_t spent = now - row->file_since_ns;
	char line[256], rate[16], vis[80];

	if (row->path[0] && row->size)
		snprintf(line, sizeof(line), "  %-20s %s  %3u %%  %s/s", row->name,
			br_vis(vis, sizeof(vis), row->path, strlen(row->path)),
			(unsigned)(row->bytes * 100 / row->size),
			br_format_size(rate, sizeof(rate), spent ? (uint64_t)((double)row->bytes * 1e9 / (double)spent) : 0));
	else
		snprintf(line, sizeof(line), "  %-20s %s", row->name, row->stage);
	if (width < sizeof(line))
		line[width - 1] = 0;
	br_text_addf(t, "\x1b[K%s\n", line);
}

static unsigned draw_rows(struct br_live *live, struct br_text *t)
{
	uint64_t now = br_now_ns();
	struct row *row, *tmp;
	struct winsize ws;
	unsigned n = 0, more = 0, width = 80;

	if (!ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) && ws.ws_col > 20)
		width = ws.ws_col;
	DL_FOREACH_SAFE(live->rows, row, tmp)
	{
		if (now - row->seen_ns > IDLE_NS) {
			drop_row(live, row);
		} else if (n < ROWS_MAX) {
			format_row(row, width, now, t);
			n++;
		} else {
			more++;
		}
	}
	if (more) {
		br_text_addf(t, "\x1b[K  and %u more boards\n", more);
		n++;
	}
	return n;
}

static void refresh(struct br_live *live)
{
	struct br_text t = BR_TEXT_NULL;
	struct line *l, *tmp;

	pthread_mutex_lock(&live->lock);
	if (live->drawn)
		br_text_addf(&t, "\x1b[%uA\x1b[J", live->drawn);
	DL_FOREACH_SAFE(live->lines, l, tmp)
	{
		br_text_addf(&t, "%s\n", l->text);
		DL_DELETE(live->lines, l);
		free(l->text);
		free(l);
	}
	if (live->n_dropped)
		br_text_addf(&t, "(%zu lines not shown: the terminal is too slow)\n", live->n_dropped);
	live->n_lines = live->n_dropped = 0;
	live->drawn = live->tty ? draw_rows(live, &t) : 0;
	pthread_mutex_unlock(&live->lock);
	if (t.buf)
		fputs(t.buf, stderr);
	fflush(stderr);
	br_text_done(&t);
}

static void on_async(uv_async_t *async)
{
	refresh(async->data);
}

static void on_timer(uv_timer_t *timer)
{
	struct br_live *live = timer->data;

	if (live->rows || live->drawn)
		refresh(live);
}

int br_live_start(uv_loop_t *loop, struct br_fleet *fleet, struct br_live **ret, struct br_error *err)
{
	struct br_live *live = calloc(1, sizeof(*live));

	if (!live)
		return br_error_set(err, ENOMEM, "out of memory");
	pthread_mutex_init(&live->lock, NULL);
	live->fleet = fleet;
	live->tty = isatty(STDERR_FILENO);
	live->async.data = live->timer.data = live;
	uv_async_init(loop, &live->async, on_async);
	uv_timer_init(loop, &live->timer);
	live->open_handles = 2;
	if (live->tty)
		uv_timer_start(&live->timer, on_timer, REDRAW_MS, REDRAW_MS);
	live->listener = br_event_listen(fleet, on_event, live);
	if (!getenv("JOURNAL_STREAM"))
		br_log_set_sink(on_log, live);
	*ret = live;
	return 0;
}

static void on_closed(uv_handle_t *handle)
{
	struct br_live *live = handle->data;
	struct row *row, *tmp;

	if (--live->open_handles)
		return;
	DL_FOREACH_SAFE(live->rows, row, tmp)
		drop_row(live, row);
	pthread_mutex_destroy(&live->lock);
	free(live);
}

void br_live_stop(struct br_live *live)
{
	if (!live)
		return;
	br_log_set_sink(NULL, NULL);
	br_event_unlisten(live->fleet, live->listener);
	refresh(live);
	uv_close((uv_handle_t *)&live->async, on_closed);
	uv_close((uv_handle_t *)&live->timer, on_closed);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* bramble top: the fleet in a terminal. */
#include <errno.h>
#include <getopt.h>
#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "cli/topdraw.h"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

#define REDRAW_MS 200	 /* as often as an eye follows */
#define DETAIL_EVERY_S 2
#define DETAIL_PATIENCE_MS 2000

static volatile sig_atomic_t ended;

static void on_signal(int sig)
{
	ended = 1;
}

struct top {
	struct br_top_live live;
	struct br_top_view view;
	struct br_client *client; /* for what the person asks for */
	int64_t detail_at;
};

/* ---- what is known of one board ---- */

static void add_line(struct br_text *t, const char *before, const json_t *words)
{
	const char *s = json_string_value(words);

	if (!s || !s[0])
		return;
	br_text_add(t, before);
	br_text_add_vis(t, s, strlen(s));
	br_text_add(t, "\n");
}

static void add_event(struct br_text *t, const json_t *ev)
{
	const char *at = json_string_value(json_object_get(ev, "time"));
	const json_t *text = json_object_get(ev, "text");

	br_text_add(t, "  ");
	if (at && strlen(at) > 19)
		br_text_add_vis(t, at + 11, 8);
	add_line(t, " ", json_is_string(text) ? text : json_object_get(ev, "type"));
}

static void load_detail(struct top *top)
{
	br_cleanup(br_freep) char *name = br_client_escape(top->view.selected), *why_path = NULL, *events_path = NULL;
	br_cleanup(json_decrefp) json_t *why = NULL, *events = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_text t = BR_TEXT_NULL;
	const json_t *row;
	size_t i;
	int r = -ENOMEM;

	if (name) {
		why_path = br_asprintf("/v1/boards/%s/why", name);
		events_path = br_asprintf("/v1/events?board=%s&limit=12", name);
	}
	br_text_addf(&t, "%s\n\n", top->view.selected);
	if (why_path && events_path)
		r = br_client_call(top->client, "GET", why_path, NULL, &why, &err);
	if (r < 0)
		br_text_addf(&t, "%s\n", br_error_text(&err, r));
	add_line(&t, "", json_object_get(why, "verdict"));
	add_line(&t, "", json_object_get(why, "cure"));
	br_text_add(&t, "\nThe newest events (UTC):\n");
	if (events_path && br_client_call(top->client, "GET", events_path, NULL, &events, NULL) >= 0)
		for (i = json_array_size(events); i-- > 0;) /* the newest first */
			add_event(&t, json_array_get(events, i));
	br_text_add(&t, "\nConcluded from:\n");
	json_array_foreach(json_object_get(why, "evidence"), i, row)
		add_line(&t, "  ", row);
	free(top->view.detail);
	top->view.detail = br_text_take(&t);
	top->detail_at = time(NULL);
}

/* ---- keys ---- */

static void show(struct top *top, enum br_top_screen screen)
{
	if (top->view.screen < BR_TOP_BOARD)
		top->view.back = top->view.screen;
	top->view.screen = screen;
	top->view.scroll = 0;
}

/* Returns whether the key was the filter's. */
static bool filter_key(struct br_top_view *v, int key)
{
	size_t n = strlen(v->filter);

	if (!v->typing)
		return false;
	if (key == 27) {
		v->filter[0] = 0;
		v->typing = false;
	} else if (key == '\n' || key == KEY_ENTER) {
		v->typing = false;
	} else if ((key == KEY_BACKSPACE || key == 127 || key == '\b') && n) {
		v->filter[n - 1] = 0;
	} else if (key >= ' ' && key < 127 && n + 1 < sizeof(v->filter)) {
		v->filter[n] = (char)key;
		v->filter[n + 1] = 0;
	} else {
		return key < KEY_MIN; /* arrows go on choosing a board */
	}
	return true;
}

static void move_by(struct top *top, int key)
{
	struct br_top_view *v = &top->view;
	const struct br_top_fleet *f = &top->live.fleet;
	size_t at, page = v->per_row * (v->rows > 1 ? v->rows - 1 : 1), back = 0, forth = 0;

	if (v->screen >= BR_TOP_BOARD) {
		v->scroll += key == KEY_DOWN || key == KEY_NPAGE;
		v->scroll -= (key == KEY_UP || key == KEY_PPAGE) && v->scroll;
		return;
	}
	if (!v->n)
		return;
	at = br_top_selected(v, f);
	switch (key) {
	case KEY_LEFT: back = 1; break;
	case KEY_RIGHT: forth = 1; break;
	case KEY_UP: back = v->per_row; break;
	case KEY_DOWN: forth = v->per_row; break;
	case KEY_PPAGE: back = page; break;
	case KEY_NPAGE: forth = page; break;
	case KEY_HOME: back = at; break;
	case KEY_END: forth = v->n; break;
	default: return;
	}
	if (back <= at)
		at -= back;
	at = at + forth < v->n ? at + forth : v->n - 1;
	br_strcpy(v->selected, sizeof(v->selected), f->boards[v->order[at]].name);
}

/* False: the end. With the fleet's lock. */
static bool take_key(struct top *top, int key)
{
	struct br_top_view *v = &top->view;

	if (filter_key(v, key))
		return true;
	switch (key) {
	case 'q':
	case 3: /* Ctrl-C, where the terminal makes no signal of it */
		return false;
	case 'g':
	case '\t':
		show(top, v->screen == BR_TOP_LIST || (v->screen >= BR_TOP_BOARD && v->back == BR_TOP_LIST) ? BR_TOP_GRID : BR_TOP_LIST);
		break;
	case 's': v->by_state = !v->by_state; break;
	case 'w': v->only_wrong = !v->only_wrong; break;
	case '/':
		v->typing = true;
		if (v->screen >= BR_TOP_BOARD)
			show(top, v->back);
		break;
	case 'h':
	case '?': show(top, BR_TOP_HELP); break;
	case '\n':
	case KEY_ENTER:
		if (v->n && v->screen < BR_TOP_BOARD) {
			show(top, BR_TOP_BOARD);
			top->detail_at = 0;
		}
		break;
	case 27: /* Escape: one step back */
		if (v->screen >= BR_TOP_BOARD)
			show(top, v->back);
		else
			v->filter[0] = 0;
		break;
	default: move_by(top, key); break;
	}
	return true;
}

/* ---- the loop ---- */

static bool step(struct top *top, uint64_t *drawn, int64_t *drawn_at)
{
	int key = getch();
	bool go_on = true, dirty = key != ERR;
	int64_t now = time(NULL);

	if (top->view.screen == BR_TOP_BOARD && now - top->detail_at >= DETAIL_EVERY_S) {
		load_detail(top); /* not under the lock: it asks the daemon */
		dirty = true;
	}
	pthread_mutex_lock(&top->live.lock);
	if (key != ERR && key != KEY_RESIZE)
		go_on = take_key(top, key);
	if (dirty || top->live.version != *drawn || now != *drawn_at) {
		if (!br_top_arrange(&top->view, &top->live.fleet))
			go_on = false;
		*drawn = top->live.version;
		*drawn_at = now;
		br_top_draw(&top->view, &top->live, now);
	}
	pthread_mutex_unlock(&top->live.lock);
	return go_on;
}

static void watch_signals(void)
{
	struct sigaction sa = { .sa_handler = on_signal };

	sigemptyset(&sa.sa_mask);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGHUP, &sa, NULL);
}

/* The terminal is gone: nobody looks, nobody can press q. */
static bool terminal_gone(void)
{
	struct pollfd p = { .fd = STDIN_FILENO };

	return poll(&p, 1, 0) > 0 && p.revents & (POLLERR | POLLHUP | POLLNVAL);
}

static int run_screen(const char *state)
{
	struct top top = { .view.screen = BR_TOP_GRID };
	struct br_error err = BR_ERROR_NULL;
	uint64_t drawn = UINT64_MAX;
	int64_t drawn_at = 0;
	SCREEN *screen;
	int r = br_client_new(state, &top.client, &err);

	if (r < 0)
		return br_cli_error(&err, r);
	br_client_patience(top.client, DETAIL_PATIENCE_MS);
	top.view.utf8 = !strcmp(nl_langinfo(CODESET), "UTF-8");
	screen = newterm(NULL, stdout, stdin);
	if (!screen) {
		br_client_free(top.client);
		return br_cli_fail(BR_EXIT_FAILED, "this terminal (TERM=%s) is not known; 'bramble top --once' needs none", getenv("TERM") ? getenv("TERM") : "");
	}
	watch_signals();
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	set_escdelay(50);
	timeout(REDRAW_MS);
	br_top_draw_start();
	r = br_top_live_start(&top.live, state, &err);
	while (r >= 0 && !ended && !terminal_gone() && step(&top, &drawn, &drawn_at))
		continue;
	endwin();
	delscreen(screen);
	if (r >= 0)
		br_top_live_stop(&top.live);
	br_top_view_done(&top.view);
	br_client_free(top.client);
	return r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
}

/* ---- without a terminal ---- */

static void print_board(const struct br_top_board *b)
{
	printf("%c %-20s %-6s %-18s %-15s %-12s", br_top_looks[b->state].plain, b->name, b->model[0] ? b->model : "-", br_top_looks[b->state].label,
		b->address[0] ? b->address : "-", b->image[0] ? b->image : "-");
	if (b->wrong)
		printf(" %s", b->verdict);
	else if (b->percent)
		printf(" %s %u %%", b->path, b->percent);
	putchar('\n');
}

static int run_once(const char *state)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	struct br_top_fleet f = { .left_s = -1 };
	size_t counts[BR_TOP_STATES];
	struct br_error err = BR_ERROR_NULL;
	int r = br_client_new(state, &client, &err);

	if (r >= 0)
		r = br_top_load_once(client, &f, &err);
	if (r >= 0) {
		br_top_fleet_count(&f, counts);
		printf("%zu boards, %zu booting\n", f.n, br_top_fleet_booting(&f, time(NULL)));
		for (int s = 0; s < BR_TOP_STATES; s++)
			if (counts[s])
				printf("%c %zu %s\n", br_top_looks[s].plain, counts[s], br_top_looks[s].label);
		if (f.n)
			putchar('\n');
		for (size_t i = 0; i < f.n; i++)
			print_board(&f.boards[i]);
	}
	br_top_fleet_done(&f);
	return r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
}

static int top(int argc, char **argv)
{
	static const struct option options[] = {
		{ "state", required_argument, NULL, 256 },
		{ "once", no_argument, NULL, '1' },
		{ 0 },
	};
	const char *state = NULL;
	bool once = false;
	int c;

	while ((c = getopt_long(argc, argv, ":1", options, NULL)) != -1) {
		if (c == 256)
			state = optarg;
		else if (c == '1')
			once = true;
		else
			return br_cli_bad_option(argc, argv, c);
	}
	if (optind < argc)
		return br_cli_usage("too many words");
	if (!setlocale(LC_CTYPE, ""))
		unsetenv("LC_ALL"); /* a locale that is not installed: shapes are letters then */
	return once || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) ? run_once(state) : run_screen(state);
}

const struct br_command br_cli_top[] = {
	{ NULL, "top", "[--once]", "Shows the fleet, live, in a terminal", top,
		"  -1, --once         print it once, as plain text (also when there is no terminal)\n"
		"\n"
		"Keys: arrows choose a board, Enter shows what is known of it, g grid or list, s by state,\n"
		"w only those that need attention, / filter, ? help, q quit.\n" },
	{ 0 },
};

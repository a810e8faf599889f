/* SPDX-License-Identifier: Apache-2.0 */
/* Following flash orders, and what their ends mean to a pipeline. */
#include "cli/flashwait.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#define POLL_NS (500 * BR_MS)
#define ANSWER_MS 10000 /* of one request */
#define BAR	30
#define STEP	5 /* percent, where there is no terminal */

static const struct {
	const char *what;
	enum br_exit code;
} ends[] = {
	{ "reset", BR_EXIT_NOT_RESET }, { "dhcp", BR_EXIT_NO_DHCP }, { "bootloader", BR_EXIT_BOOTLOADER },
	{ "write", BR_EXIT_WRITE }, { "silent", BR_EXIT_SILENT }, { "timeout", BR_EXIT_TIMEOUT },
};

static const char *text_of(const json_t *status, const char *key)
{
	return json_string_value(json_object_get(status, key)) ?: "";
}

enum br_exit br_flash_exit(const json_t *status)
{
	const char *state = text_of(status, "state"), *what = text_of(status, "what");

	if (!strcmp(state, "done"))
		return BR_EXIT_OK;
	for (size_t i = 0; !strcmp(state, "failed") && i < BR_ARRAY_SIZE(ends); i++)
		if (!strcmp(what, ends[i].what))
			return ends[i].code;
	return BR_EXIT_FAILED;
}

static unsigned percent_of(const json_t *status)
{
	json_int_t pieces = json_integer_value(br_json_at(status, "progress.pieces"));
	json_int_t done = json_integer_value(br_json_at(status, "progress.done"));

	if (!strcmp(text_of(status, "state"), "verified") || !strcmp(text_of(status, "state"), "done"))
		return 100;
	return pieces ? (unsigned)(done * 100 / pieces) : 0;
}

static const char *stage(const json_t *status)
{
	const char *state = text_of(status, "state");

	if (!strcmp(state, "waiting"))
		return json_is_true(json_object_get(status, "contact")) ? "the board boots" : "waits for the board";
	if (!strcmp(state, "writing"))
		return json_integer_value(br_json_at(status, "progress.pieces")) ? "is written" : "the image is read";
	return !strcmp(state, "verified") ? "verified, waits for the system" : state;
}

static void show_bars(const struct br_flash_wait *w, size_t n, bool again)
{
	char fetched[24], size[24];

	if (again)
		fprintf(stderr, "\x1b[%zuA", n);
	for (size_t i = 0; i < n; i++) {
		unsigned p = percent_of(w[i].status), full = p * BAR / 100;

		br_format_size(fetched, sizeof(fetched), (uint64_t)json_integer_value(br_json_at(w[i].status, "progress.fetched")));
		br_format_size(size, sizeof(size), (uint64_t)json_integer_value(br_json_at(w[i].status, "progress.size")));
		fprintf(stderr, "\r\x1b[K%-16s [%.*s%.*s] %3u %%  %s of %s fetched  %s\n", w[i].board, (int)full,
			"##############################", (int)(BAR - full), "..............................", p, fetched, size,
			w[i].ended && w[i].code ? "failed" : stage(w[i].status));
	}
	fflush(stderr);
}

static void show_line(struct br_flash_wait *w)
{
	unsigned p = percent_of(w->status);
	const char *state = text_of(w->status, "state");

	if (p < w->percent + STEP && !strcmp(state, w->state))
		return;
	w->percent = p;
	snprintf(w->state, sizeof(w->state), "%s", state);
	fprintf(stderr, "%s: %3u %%  %s\n", w->board, p, stage(w->status));
	fflush(stderr);
}

static void end_with(struct br_flash_wait *w, enum br_exit code, const char *words)
{
	w->ended = true;
	w->code = code;
	if (code)
		snprintf(w->words, sizeof(w->words), "%s", words);
}

static int call_order(struct br_client *client, const struct br_flash_wait *w, const char *method, const char *query,
	json_t **ret, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_asprintf("/v1/flash/%lld%s",
		(long long)json_integer_value(json_object_get(w->status, "order")), query);

	return path ? br_client_call(client, method, path, NULL, ret, err) : br_error_set(err, ENOMEM, "out of memory");
}

static void take_status(struct br_flash_wait *w, json_t *fresh)
{
	const char *state = text_of(fresh, "state"), *reason = text_of(fresh, "reason");

	json_decref(w->status);
	w->status = fresh;
	if (strcmp(state, "waiting") != 0 && strcmp(state, "writing") != 0 && strcmp(state, "verified") != 0)
		end_with(w, br_flash_exit(fresh), *reason ? reason : state);
}

/* A daemon that is away may be back soon: the order is on its disk. */
static bool is_away(int r)
{
	return r == -ECONNREFUSED || r == -ECONNRESET || r == -ETIMEDOUT;
}

static int refresh(struct br_client *client, struct br_flash_wait *w)
{
	struct br_error err = BR_ERROR_NULL;
	json_t *fresh;
	int r = call_order(client, w, "GET", "", &fresh, &err);

	if (r >= 0)
		take_status(w, fresh);
	else if (!is_away(r))
		end_with(w, r == -ENOENT ? BR_EXIT_NOT_FOUND : BR_EXIT_FAILED, br_error_text(&err, r));
	return r;
}

int br_flash_withdraw_order(struct br_client *client, struct br_flash_wait *w, const char *what, const char *words)
{
	br_cleanup(br_freep) char *reason = br_client_escape(words);
	br_cleanup(br_freep) char *query = reason ? br_asprintf("?what=%s&reason=%s", what, reason) : NULL;
	json_t *fresh;
	int r = query ? call_order(client, w, "DELETE", query, &fresh, NULL) : -ENOMEM;

	if (r < 0)
		return r;
	take_status(w, fresh);
	w->withdrawn = true;
	return 0;
}

/* Where it stands says what is wrong. NULL: it is being written, and without its rest the card would hold no system. */
static const char *what_is_wrong(const json_t *status, const char **ret_words)
{
	const char *state = text_of(status, "state");

	if (!strcmp(state, "verified")) {
		*ret_words = "the card is written and verified, but the flashed system did not show itself";
		return "silent";
	}
	if (strcmp(state, "waiting") != 0)
		return NULL;
	if (json_is_true(json_object_get(status, "contact"))) {
		*ret_words = "the board asked for an address, but its U-Boot never came for the order: is bramble's recovery card "
			     "in it? 'bramble why' tells more";
		return "bootloader";
	}
	*ret_words = "the board never asked for an address: it was not reset, has no power or no network";
	return "dhcp";
}

/* Time is up. The board may come at this very moment: what is told is what the daemon did. */
static void give_up(struct br_client *client, struct br_flash_wait *w)
{
	for (int i = 0; i < 3 && !w->ended; i++) {
		const char *words, *what = what_is_wrong(w->status, &words);
		int r;

		if (!what)
			break;
		r = br_flash_withdraw_order(client, w, what, words);
		if (r < 0)
			r = refresh(client, w);
		if (r < 0 && !w->ended)
			end_with(w, BR_EXIT_NO_DAEMON, "time is up and no daemon answers; the order was not withdrawn");
	}
	if (!w->ended)
		end_with(w, BR_EXIT_TIMEOUT, what_is_wrong(w->status, &(const char *){ NULL }) ?
			"time is up, and the order could not be withdrawn" :
			"time is up while it is written; it goes on, 'bramble flash show' tells more");
}

static bool all_ended(const struct br_flash_wait *w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!w[i].ended)
			return false;
	return true;
}

void br_flash_wait(struct br_client *client, struct br_flash_wait *w, size_t n, uint64_t timeout_ns, bool quiet)
{
	static const struct timespec pause = { .tv_nsec = (long)POLL_NS };
	bool bars = isatty(STDERR_FILENO) && !quiet;
	uint64_t end = br_now_ns() + timeout_ns;

	br_client_patience(client, ANSWER_MS);
	for (bool again = false;; again = true) {
		for (size_t i = 0; i < n; i++) {
			int r = w[i].ended ? 0 : refresh(client, &w[i]);

			if (!w[i].ended && br_now_ns() >= end) {
				if (r < 0)
					end_with(&w[i], BR_EXIT_NO_DAEMON, "time is up and no daemon answers; the order was not withdrawn");
				else
					give_up(client, &w[i]);
			}
			if (!bars && !quiet && w[i].status)
				show_line(&w[i]);
		}
		if (bars)
			show_bars(w, n, again);
		if (all_ended(w, n))
			return;
		nanosleep(&pause, NULL);
	}
}

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

static int refresh(struct br_client *client, struct br_flash_wait *w, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_asprintf("/v1/flash/%lld",
		(long long)json_integer_value(json_object_get(w->status, "order")));
	const char *state;
	json_t *fresh;
	int r = path ? br_client_call(client, "GET", path, NULL, &fresh, err) : -ENOMEM;

	if (r < 0)
		return r;
	json_decref(w->status);
	w->status = fresh;
	state = text_of(fresh, "state");
	if (!strcmp(state, "waiting") || !strcmp(state, "writing") || !strcmp(state, "verified"))
		return 0;
	w->ended = true;
	w->code = br_flash_exit(fresh);
	if (w->code)
		snprintf(w->words, sizeof(w->words), "%s", *text_of(fresh, "reason") ? text_of(fresh, "reason") : state);
	return 0;
}

/* Where it stands when time is up says what is wrong. */
static void give_up(struct br_client *client, struct br_flash_wait *w)
{
	const char *state = text_of(w->status, "state"), *what = "timeout", *words;
	br_cleanup(br_freep) char *path = NULL, *reason = NULL;
	json_t *fresh = NULL;

	words = "time is up while it is written; it goes on, 'bramble flash show' tells more";
	if (!strcmp(state, "waiting")) {
		bool contact = json_is_true(json_object_get(w->status, "contact"));

		what = contact ? "bootloader" : "dhcp";
		words = contact ? "the board asked for an address, but its U-Boot never came for the order: is bramble's recovery card "
				  "in it? 'bramble why' tells more" :
				  "the board never asked for an address: it was not reset, has no power or no network";
	} else if (!strcmp(state, "verified")) {
		what = "silent";
		words = "the card is written and verified, but the flashed system did not show itself";
	}
	w->ended = true;
	snprintf(w->words, sizeof(w->words), "%s", words);
	w->code = BR_EXIT_TIMEOUT;
	for (size_t i = 0; i < BR_ARRAY_SIZE(ends); i++)
		if (!strcmp(ends[i].what, what))
			w->code = ends[i].code;
	if (!strcmp(what, "timeout"))
		return; /* without its rest the card would hold no system */
	reason = br_client_escape(words);
	path = br_asprintf("/v1/flash/%lld?what=%s&reason=%s",
		(long long)json_integer_value(json_object_get(w->status, "order")), what, reason ?: "");
	if (path && br_client_call(client, "DELETE", path, NULL, &fresh, NULL) >= 0) {
		json_decref(w->status);
		w->status = fresh;
	}
}

static bool all_ended(const struct br_flash_wait *w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!w[i].ended)
			return false;
	return true;
}

int br_flash_wait(struct br_client *client, struct br_flash_wait *w, size_t n, uint64_t timeout_ns, bool quiet,
	struct br_error *err)
{
	static const struct timespec pause = { .tv_nsec = (long)POLL_NS };
	bool bars = isatty(STDERR_FILENO) && !quiet;
	uint64_t end = br_now_ns() + timeout_ns;

	for (bool again = false;; again = true) {
		for (size_t i = 0; i < n; i++) {
			int r = w[i].ended ? 0 : refresh(client, &w[i], err);

			if (r < 0)
				return r;
			if (!w[i].ended && br_now_ns() >= end)
				give_up(client, &w[i]);
			if (!bars && !quiet && w[i].status)
				show_line(&w[i]);
		}
		if (bars)
			show_bars(w, n, again);
		if (all_ended(w, n))
			return 0;
		nanosleep(&pause, NULL);
	}
}

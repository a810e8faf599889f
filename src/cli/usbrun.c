/* SPDX-License-Identifier: Apache-2.0 */
/* A run over this machine's USB ports: which boards are meant, when it is over, and how it went. */
#include "cli/usbrun.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/text.h"
#include "usb/libusb.h"

#define DRAW_NS (200 * BR_MS)
#define SERIAL_END_MIN 8

struct seen {
	char path[BR_USB_PATH_MAX];
};

struct state {
	struct br_usb_run *run;
	struct br_usb_manager *manager;
	struct seen *seen; /* paths that had a board; each counts once */
	size_t n_seen, cap_seen;
	bool closing; /* no new boards */
	uint64_t started_ns, quiet_ns;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = 1;
}

static void catch_signals(struct sigaction old[static 2], bool back)
{
	static const int numbers[] = { SIGINT, SIGTERM };
	struct sigaction act = { .sa_handler = on_signal };

	for (int i = 0; i < 2; i++)
		sigaction(numbers[i], back ? &old[i] : &act, back ? NULL : &old[i]);
}

bool br_usb_selected(const struct br_usb_select *select, const struct br_usb_device *dev)
{
	size_t want = select->serial ? strlen(select->serial) : 0, has = strlen(dev->serial);

	if (select->path && strcmp(select->path, dev->path) != 0)
		return false;
	if (select->port >= 0 && select->port != dev->port)
		return false;
	if (!select->serial)
		return true;
	if (want > has || (want != has && want < SERIAL_END_MIN))
		return false;
	return !strcasecmp(dev->serial + (has - want), select->serial);
}

static bool was_here(const struct state *st, const char *path)
{
	for (size_t i = 0; i < st->n_seen; i++) {
		if (!strcmp(st->seen[i].path, path))
			return true;
	}
	return false;
}

/* False: there is no memory for it. */
static bool note_path(struct state *st, const char *path)
{
	if (was_here(st, path))
		return true;
	if (br_array_reserve(&st->seen, &st->cap_seen, st->n_seen + 1, sizeof(*st->seen)) < 0)
		return false;
	st->run->came++;
	return !br_strcpy(st->seen[st->n_seen++].path, BR_USB_PATH_MAX, path);
}

static int choose(void *ctx, const struct br_usb_device *dev, const struct br_usbboot_model *model,
	struct br_usb_choice *ret)
{
	struct state *st = ctx;
	struct br_usb_run *run = st->run;
	bool busy = run->first_only && br_usb_manager_running(st->manager);
	int r;

	if (!br_usb_selected(&run->select, dev))
		return 0;
	/* one verdict for each place, unless it is to go on for ever */
	if (st->closing || (!run->loop && !run->first_only && was_here(st, dev->path)))
		return 0;
	if (busy)
		return -EBUSY;
	r = run->choose(run->ctx, dev, model, ret);
	if (r == -EAGAIN || r == -EINPROGRESS || r == 0 || !note_path(st, dev->path))
		return r == 1 ? 0 : r;
	if (r < 0) {
		run->failed++;
		run->bad_payload++;
	}
	return r;
}

static void on_step(void *ctx, struct br_usb_session *s, const struct br_usb_step *what)
{
	struct state *st = ctx;

	if (st->run->step)
		st->run->step(st->run->ctx, s, what);
	if (st->run->voice->step)
		st->run->voice->step(st->run->voice->ctx, s, what);
}

static void on_ended(void *ctx, struct br_usb_session *s)
{
	struct state *st = ctx;
	struct br_usb_run *run = st->run;
	enum br_usb_verdict verdict = br_usb_session_verdict(s);

	if (br_usb_verdict_is_well(verdict))
		run->well++;
	else
		run->failed++;
	run->denied += verdict == BR_USB_NO_PERMISSION;
	run->bad_payload += verdict == BR_USB_BAD_PAYLOAD;
	if (run->ended)
		run->ended(run->ctx, s, br_usb_manager_user(s, st->manager));
	if (run->voice->ended)
		run->voice->ended(run->voice->ctx, s);
}

static void on_held(void *ctx, const struct br_usb_device *dev, const char *reason)
{
	struct state *st = ctx;

	if (st->run->voice->held)
		st->run->voice->held(st->run->voice->ctx, dev, reason);
}

static bool is_over(struct state *st, uint64_t now_ns)
{
	const struct br_usb_run *run = st->run;
	bool running = br_usb_manager_running(st->manager) > 0;
	unsigned wanted = run->wait_for ? run->wait_for : 1;

	if (interrupted)
		return true;
	if (run->loop)
		return false;
	if (run->first_only && (run->well || run->denied || run->bad_payload))
		return true;
	if (!run->first_only && run->came >= wanted)
		return !running;
	if (run->timeout_ns != UINT64_MAX && now_ns - st->started_ns >= run->timeout_ns)
		st->closing = true;
	return st->closing && !running;
}

static const char *why_idle(const struct state *st, const struct br_usb_device *dev)
{
	if (!br_usb_selected(&st->run->select, dev))
		return "not selected";
	return was_here(st, dev->path) ? "had its turn; power it off and on to begin anew" : "cannot be served";
}

/* "1-2 (not selected), 1-3 (...)", cut at the buffer's end. */
static void list_idle(const struct state *st, char *out, size_t size)
{
	const struct br_usb_device *dev;
	size_t len = 0;

	out[0] = 0;
	for (size_t i = 0; len < size && (dev = br_usb_manager_idle(st->manager, i)); i++)
		len += (size_t)snprintf(out + len, size - len, "%s%s (%s)", i ? ", " : "", dev->path, why_idle(st, dev));
}

/* A word for who waits, as long as nothing is under way. */
static void speak(struct state *st, uint64_t now_ns)
{
	const struct br_usb_voice *voice = st->run->voice;
	uint64_t still_ns = st->run->still_ns ? st->run->still_ns : BR_USB_STILL_NS;
	char there[600];

	if (voice->draw)
		voice->draw(voice->ctx, st->manager, now_ns);
	if (br_usb_manager_running(st->manager))
		st->quiet_ns = now_ns;
	if (!voice->waiting || st->run->loop || now_ns - st->quiet_ns < still_ns)
		return;
	st->quiet_ns = now_ns;
	list_idle(st, there, sizeof(there));
	voice->waiting(voice->ctx, now_ns - st->started_ns, there);
}

static int go(struct state *st, struct br_error *err)
{
	uint64_t now_ns = br_now_ns(), next_ns;

	st->started_ns = st->quiet_ns = now_ns;
	for (;;) {
		struct pollfd fd = { .fd = br_usb_manager_fd(st->manager), .events = POLLIN };
		int r = br_usb_manager_tick(st->manager, now_ns, &next_ns, err);

		if (r < 0)
			return r;
		if (is_over(st, now_ns))
			return 0;
		speak(st, now_ns);
		if (next_ns > now_ns + DRAW_NS)
			next_ns = now_ns + DRAW_NS;
		if (next_ns > now_ns)
			poll(&fd, 1, (int)((next_ns - now_ns + BR_MS - 1) / BR_MS));
		now_ns = br_now_ns();
	}
}

int br_usb_run(struct br_usb_run *run, struct br_error *err)
{
	static const struct br_usb_manager_ops ops = {
		.choose = choose, .step = on_step, .ended = on_ended, .held = on_held
	};
	struct state st = { .run = run };
	struct br_usb_host *own = NULL;
	struct sigaction old[2];
	int r = run->host ? 0 : br_usb_libusb_new(NULL, &own, err);
	struct br_usb_manager_options o = { .host = run->host ? run->host : own, .ops = &ops, .ctx = &st };

	if (r < 0)
		return r;
	interrupted = 0;
	catch_signals(old, false);
	r = br_usb_manager_new(&o, &st.manager);
	if (!r)
		r = go(&st, err);
	else
		br_error_set(err, ENOMEM, "out of memory");
	run->interrupted = interrupted;
	st.closing = true; /* what comes while transfers end is not begun */
	br_usb_manager_free(st.manager);
	if (own)
		own->ops->free(own);
	catch_signals(old, true);
	free(st.seen);
	return r;
}

enum br_exit br_usb_run_exit(const struct br_usb_run *run)
{
	if (run->interrupted)
		return BR_EXIT_INTERRUPTED;
	if (run->failed && !run->well && run->failed == run->denied)
		return BR_EXIT_NO_PERMISSION;
	if (run->failed && !run->well && run->failed == run->bad_payload)
		return BR_EXIT_BAD_PAYLOAD;
	if (run->failed)
		return BR_EXIT_FAILED;
	return run->came < (run->wait_for ? run->wait_for : 1) ? BR_EXIT_TIMEOUT : BR_EXIT_OK;
}

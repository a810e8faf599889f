/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bramble console for people: a thread shows what the board says, this one takes what is typed. When the daemon goes, both
 * wait for it; a board that reboots is the daemon's affair.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/console.h"
#include "cli/consoleterm.h"
#include "console/console.h"

#define LOOK_MS 200
#define RENEW_NS (5 * BR_S)
#define AGAIN_MS 1000
#define ESCAPE '~'

struct live {
	struct br_console_session *s;
	pthread_mutex_t lock; /* of what is shown */
	atomic_bool stop, over; /* over: the reader has ended, */
	int r;			/* so, */
	struct br_error err;	/* with these words */
	bool at_line_start, escaped;
	bool unsent; /* what a pipe gave could not all be typed */
	uint64_t past; /* bytes to come that the board said before: nobody waits for an answer to them */
	uint64_t renew_ns, claim_ns; /* when next: to keep it, to get one again */
};

/* With the lock. */
static int show(struct live *l, const void *data, size_t n)
{
	struct br_text t = BR_TEXT_NULL;
	int r;

	size_t past = n < l->past ? n : (size_t)l->past;

	l->s->filter.past = true;
	br_term_filter(&l->s->filter, data, past, &t);
	l->past -= past;
	l->s->filter.past = l->past != 0;
	br_term_filter(&l->s->filter, (const char *)data + past, n - past, &t);
	r = t.failed ? -ENOMEM : t.len ? br_write_all(1, t.buf, t.len) : 0;
	br_text_done(&t);
	return r;
}

__attribute__((format(printf, 2, 3))) static void note(struct live *l, const char *fmt, ...)
{
	struct br_text t = BR_TEXT_NULL;
	va_list ap;

	br_text_add(&t, "\r\n[bramble: ");
	va_start(ap, fmt);
	br_text_addv(&t, fmt, ap);
	va_end(ap);
	br_text_add(&t, "]\r\n");
	if (t.buf) /* not into what a pipe gets */
		(void)br_write_all(2, t.buf, t.len);
	br_text_done(&t);
}

/* ---- what the board says ---- */

static int take(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err)
{
	struct live *l = ctx;
	int r;

	pthread_mutex_lock(&l->lock);
	if (atomic_load(&l->stop)) { /* the terminal may be its owner's again */
		pthread_mutex_unlock(&l->lock);
		return 1;
	}
	r = show(l, data, n);
	if (r >= 0 && l->s->cast && br_cast_put(l->s->cast, br_now_ns(), data, n) < 0)
		r = br_error_set(err, EIO, "%s: cannot be written", l->s->record);
	else if (r < 0)
		r = br_error_set(err, -r, "standard output: %s", strerrordesc_np(-r));
	pthread_mutex_unlock(&l->lock);
	return r;
}

/* The daemon went: it may be restarted, and come back. -EPERM: it did, and knows nothing of our claim. */
static bool comes_back(int r)
{
	return r >= 0 || r == -ECONNRESET || r == -ECONNREFUSED || r == -EPERM;
}

/* The path of the stream, from so much of the past on. */
static int find_start(struct live *l, uint64_t tail, char **ret, struct br_error *err)
{
	uint64_t position = 0, from;
	int r = br_console_session_position(l->s, l->s->reads, &position, err);

	if (r < 0)
		return r;
	if (tail > BR_CONSOLE_RING) /* what the daemon keeps */
		tail = BR_CONSOLE_RING;
	from = position > tail ? position - tail : 0;
	*ret = br_console_session_path(l->s, true, isatty(1), from);
	pthread_mutex_lock(&l->lock);
	l->past = position - from;
	pthread_mutex_unlock(&l->lock);
	return *ret ? 0 : -ENOMEM;
}

static void *read_all(void *arg)
{
	struct live *l = arg;
	bool connected = false;

	for (;;) {
		br_cleanup(br_freep) char *path = NULL;
		struct br_error err = BR_ERROR_NULL;
		int r = find_start(l, connected ? INT64_MAX : l->s->tail, &path, &err);

		if (r >= 0)
			r = br_client_stream(l->s->reads, path, take, l, &err);
		l->r = r;
		l->err = err;
		if (r == -EPERM) /* the main thread takes a new one before this one comes again */
			atomic_store(&l->s->writer, 0);
		if (atomic_load(&l->stop) || !comes_back(r) || (r == -ECONNREFUSED && !connected))
			break;
		if (r >= 0 || r == -ECONNRESET)
			note(l, "the daemon went; waiting for it");
		connected = true;
		poll(NULL, 0, AGAIN_MS);
	}
	atomic_store(&l->over, true);
	return NULL;
}

/* ---- what is typed ---- */

/* Somebody else writes, or has reserved the board. */
static bool is_others(int r)
{
	return r == -EBUSY || r == -ENOLCK;
}

/* False: they were not taken, which was told. */
static bool send_bytes(struct live *l, const char *data, size_t n)
{
	struct br_error err = BR_ERROR_NULL;
	int r;

	if (!n || l->s->watch)
		return !n;
	r = br_console_session_send(l->s, data, n, &err);
	if (is_others(r)) {
		atomic_store(&l->s->writer, 0);
		l->s->watch = true;
	}
	if (r < 0)
		note(l, "%s", br_error_text(&err, r));
	return r >= 0;
}

static void send_break(struct live *l)
{
	struct br_error err = BR_ERROR_NULL;
	int r = l->s->watch ? -EPERM : br_console_session_break(l->s, &err);

	if (r < 0)
		note(l, "%s", r == -EPERM && !err.code ? "you look on only" : br_error_text(&err, r));
	else
		note(l, "BREAK");
}

static void take_over(struct live *l)
{
	struct br_error err = BR_ERROR_NULL;
	int r = br_console_session_claim(l->s, true, &err);

	l->s->watch = r < 0;
	note(l, "%s", r < 0 ? br_error_text(&err, r) : "you write now");
}

/* Serial lines tell no size. */
static void tell_size(struct live *l)
{
	unsigned columns, rows;
	char text[64];

	br_raw_size(&columns, &rows);
	(void)send_bytes(l, text, (size_t)snprintf(text, sizeof(text), "stty columns %u rows %u\r", columns, rows));
}

/* Behind '~' at the beginning of a line. False: the session ends. */
static bool take_escape(struct live *l, char c)
{
	static const char help[] = "~.  ends it\r\n~b  sends a BREAK (Linux: a SysRq key follows)\r\n~s  takes writing over\r\n"
				   "~w  types 'stty' with this window's size\r\n~^Z stops it for a while\r\n~~  types ~\r\n~?  shows this";
	char both[2] = { ESCAPE, c };

	switch (c) {
	case '.':
		return false;
	case '?':
		note(l, "\r\n%s", help);
		return true;
	case 'b':
	case 'B':
		send_break(l);
		return true;
	case 's':
		take_over(l);
		return true;
	case 'w':
		tell_size(l);
		return true;
	case 'Z' - '@':
		br_raw_suspend(&l->s->filter);
		return true;
	case ESCAPE:
		(void)send_bytes(l, both, 1);
		break;
	default:
		(void)send_bytes(l, both, 2);
	}
	l->at_line_start = c == '\r' || c == '\n';
	return true;
}

/* False: the session ends. */
static bool take_typed(struct live *l, const char *data, size_t n)
{
	size_t from = 0;

	for (size_t i = 0; i < n; i++) {
		if (l->escaped) {
			l->escaped = false;
			from = i + 1;
			if (!take_escape(l, data[i]))
				return false;
		} else if (data[i] == ESCAPE && l->at_line_start) {
			(void)send_bytes(l, data + from, i - from);
			l->escaped = true;
			from = i + 1;
		} else {
			l->at_line_start = data[i] == '\r' || data[i] == '\n';
		}
	}
	if (!l->escaped)
		(void)send_bytes(l, data + from, n - from);
	return true;
}

static void keep_claim(struct live *l)
{
	struct br_error err = BR_ERROR_NULL;
	int r;

	if (l->s->watch || (br_now_ns() < l->renew_ns && (atomic_load(&l->s->writer) || br_now_ns() < l->claim_ns)))
		return;
	l->renew_ns = br_now_ns() + RENEW_NS;
	l->claim_ns = br_now_ns() + AGAIN_MS * BR_MS / 2;
	r = atomic_load(&l->s->writer) ? br_console_session_renew(l->s, &err) : br_console_session_claim(l->s, false, &err);
	if (r == -EBUSY && strstr(err.text, "has ended")) {
		err = BR_ERROR_NULL;
		r = br_console_session_claim(l->s, false, &err);
	}
	if (is_others(r)) {
		l->s->watch = true;
		note(l, "%s", err.text);
	}
}

/* Until somebody ends it. */
static void type_all(struct live *l)
{
	uint64_t until = l->s->timeout_ns ? br_now_ns() + l->s->timeout_ns : UINT64_MAX;
	bool tty = isatty(0), open = tty || !l->s->watch;
	char buf[4096];

	while (!atomic_load(&l->over) && !br_raw_signal() && br_now_ns() < until) {
		struct pollfd p = { .fd = open ? 0 : -1, .events = POLLIN };
		ssize_t n;

		keep_claim(l);
		if (poll(&p, 1, LOOK_MS) <= 0 || !p.revents)
			continue;
		n = read(0, buf, sizeof(buf));
		if (n <= 0 && !(n < 0 && errno == EINTR)) {
			if (tty)
				return; /* its window was closed */
			open = false; /* a pipe's end: who listens goes on */
		} else if (n > 0 && !tty) {
			l->unsent = !send_bytes(l, buf, (size_t)n);
			if (l->unsent)
				return;
		} else if (n > 0 && !take_typed(l, buf, (size_t)n)) {
			return;
		}
	}
}

/* Whether there is nobody who could type: as a service, behind nohup, in cron. */
static bool stdin_is_null(void)
{
	struct stat in, null;

	return !fstat(0, &in) && !stat("/dev/null", &null) && S_ISCHR(in.st_mode) && in.st_rdev == null.st_rdev;
}

static int begin(struct live *l, struct br_error *err)
{
	struct br_console_session *s = l->s;
	int r;

	s->watch = s->watch || stdin_is_null();
	if (!s->watch) {
		r = br_console_session_claim(s, s->steal, err);
		if (is_others(r) && !s->steal && isatty(0)) {
			note(l, "%s", err->text);
			*err = BR_ERROR_NULL;
			s->watch = true;
		} else if (r < 0) {
			return r;
		}
	}
	if (isatty(0) && isatty(1) && !s->common.quiet)
		note(l, "console of %s; ~. at the beginning of a line ends it, ~? helps", s->board);
	return br_raw_begin(err);
}

int br_console_live(struct br_console_session *s)
{
	struct live l = { .s = s, .at_line_start = true, .renew_ns = br_now_ns() + RENEW_NS };
	pthread_t thread;
	struct br_error err = BR_ERROR_NULL;
	int r = begin(&l, &err), sig;

	if (r < 0)
		return br_cli_error(&err, r);
	pthread_mutex_init(&l.lock, NULL);
	r = pthread_create(&thread, NULL, read_all, &l);
	if (r) {
		br_raw_end(NULL);
		return br_cli_fail(BR_EXIT_FAILED, "no thread: %s", strerrordesc_np(r));
	}
	type_all(&l);
	atomic_store(&l.stop, true);
	br_client_cancel(s->reads);
	pthread_mutex_lock(&l.lock);
	br_raw_end(&s->filter);
	pthread_mutex_unlock(&l.lock);
	if (isatty(0) && isatty(1))
		note(&l, "the console of %s is left", s->board);
	br_console_session_release(s);
	sig = br_raw_signal();
	r = atomic_load(&l.over) ? l.r : 0;
	pthread_join(thread, NULL);
	pthread_mutex_destroy(&l.lock);
	if (r < 0 && r != -ECANCELED)
		return br_cli_error(&l.err, r);
	if (sig)
		return BR_EXIT_INTERRUPTED;
	return l.unsent ? BR_EXIT_FAILED : BR_EXIT_OK;
}

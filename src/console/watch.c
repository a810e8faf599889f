/* SPDX-License-Identifier: Apache-2.0 */
/* Who watches a console: a place in its ring. And who writes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "console/priv.h"

struct br_console_reader {
	struct br_console *con;
	uint64_t at;
	uint64_t note; /* number of the next one */
	uint64_t claim;
};

static int no_console(struct br_consoles *c, int64_t board_id, struct br_error *err)
{
	struct br_board b;

	if (br_board_by_id(c->fleet, board_id, &b) < 0)
		return br_error_set(err, ENODEV, "the board is gone");
	return br_error_set(err, ENODEV, "board %s has no console; 'bramble board edit %s --console URI' sets one, as "
		"tty:/dev/serial/by-id/... (docs/console.md)", b.name, b.name);
}

int br_console_status(struct br_consoles *c, int64_t board_id, struct br_console_status *ret)
{
	struct br_console *con;

	*ret = (struct br_console_status){ 0 };
	pthread_mutex_lock(&c->lock);
	con = br_console_find(c, board_id);
	if (con) {
		ret->state = con->state;
		memcpy(ret->uri, con->text, sizeof(ret->uri));
		memcpy(ret->reason, con->reason, sizeof(ret->reason));
		ret->since_wall_ns = con->since_wall_ns;
		ret->in = con->in;
		ret->out = con->out;
		ret->position = con->ring.end;
		ret->watchers = con->watchers;
		if (br_claim_owner(&con->claim, br_now_ns())) {
			memcpy(ret->writer, con->claim.who, sizeof(ret->writer));
			ret->writer_wall_ns = con->claim.since_wall_ns;
		}
	}
	pthread_mutex_unlock(&c->lock);
	return 0;
}

/* ---- watching ---- */

int br_console_watch(struct br_consoles *c, int64_t board_id, uint64_t tail, struct br_console_reader **ret,
	struct br_error *err)
{
	struct br_console_reader *reader = calloc(1, sizeof(*reader));
	struct br_console *con;
	uint64_t start;

	if (!reader)
		return br_error_set(err, ENOMEM, "out of memory");
	pthread_mutex_lock(&c->lock);
	con = br_console_find(c, board_id);
	if (con) {
		start = br_ring_start(&con->ring);
		reader->con = con;
		reader->at = con->ring.end - start > tail ? con->ring.end - tail : start;
		/* how it stands now is worth a note, what was before is not */
		reader->note = con->n_notes - (con->n_notes && con->state == BR_CONSOLE_AWAY);
		con->refs++;
		con->watchers++;
		c->n_watchers++;
	}
	pthread_mutex_unlock(&c->lock);
	if (!con) {
		free(reader);
		return no_console(c, board_id, err);
	}
	*ret = reader;
	return 0;
}

void br_console_seek(struct br_console_reader *reader, uint64_t position)
{
	struct br_console *con = reader->con;

	pthread_mutex_lock(&con->all->lock);
	reader->at = position < con->ring.end ? position : con->ring.end;
	pthread_mutex_unlock(&con->all->lock);
}

void br_console_unwatch(struct br_console_reader *reader)
{
	struct br_consoles *c;

	if (!reader)
		return;
	c = reader->con->all;
	pthread_mutex_lock(&c->lock);
	br_claim_unbind(&reader->con->claim, reader->claim);
	reader->con->watchers--;
	c->n_watchers--;
	br_console_unref(reader->con);
	pthread_mutex_unlock(&c->lock);
	free(reader);
}

/* The note that comes at this place, or before it; NULL: none. *ret_max: bytes up to the next one. */
static const struct br_console_note *next_note(struct br_console_reader *reader, uint64_t *ret_max)
{
	struct br_console *con = reader->con;
	const struct br_console_note *note;

	if (con->n_notes - reader->note > BR_CONSOLE_NOTES)
		reader->note = con->n_notes - BR_CONSOLE_NOTES;
	*ret_max = UINT64_MAX;
	if (reader->note == con->n_notes)
		return NULL;
	note = &con->notes[reader->note % BR_CONSOLE_NOTES];
	if (note->at > reader->at) {
		*ret_max = note->at - reader->at;
		return NULL;
	}
	reader->note++;
	return note;
}

static int read_some(struct br_console_reader *reader, void *buf, size_t max, bool notes, uint64_t *ret_lost)
{
	const struct br_console_note *note = NULL;
	uint64_t most = UINT64_MAX;
	size_t n;

	if (notes)
		note = next_note(reader, &most);
	if (note) {
		n = strlen(note->text);
		n = n < max ? n : max;
		memcpy(buf, note->text, n);
		return (int)n;
	}
	n = max < most ? max : (size_t)most;
	return (int)br_ring_get(&reader->con->ring, &reader->at, buf, n < INT32_MAX ? n : INT32_MAX, ret_lost);
}

static struct timespec time_after(unsigned ms)
{
	uint64_t until = br_now_ns() + ms * BR_MS;

	return (struct timespec){ .tv_sec = (time_t)(until / BR_S), .tv_nsec = (long)(until % BR_S) };
}

int br_console_read(struct br_console_reader *reader, void *buf, size_t max, unsigned wait_ms, bool notes,
	uint64_t *ret_lost)
{
	struct br_console *con = reader->con;
	struct timespec until = time_after(wait_ms);
	bool timed_out = false;
	int n;

	*ret_lost = 0;
	pthread_mutex_lock(&con->all->lock);
	while (!(n = read_some(reader, buf, max, notes, ret_lost)) && !con->gone && !timed_out)
		timed_out = pthread_cond_timedwait(&con->news, &con->all->lock, &until) != 0;
	if (!n && con->gone)
		n = -ENODEV;
	pthread_mutex_unlock(&con->all->lock);
	return n;
}

/* ---- writing ---- */

/* With the lock held when it is found. */
static struct br_console *enter(struct br_consoles *c, int64_t board_id, struct br_error *err)
{
	struct br_console *con;

	pthread_mutex_lock(&c->lock);
	con = br_console_find(c, board_id);
	if (!con) {
		pthread_mutex_unlock(&c->lock);
		no_console(c, board_id, err);
	}
	return con;
}

/* A number that JSON carries exactly. */
static uint64_t fresh_id(void)
{
	uint64_t id = 0;

	while (!id) {
		br_random(&id, sizeof(id));
		id &= (1ull << 53) - 1;
	}
	return id;
}

int br_console_claim(struct br_consoles *c, int64_t board_id, const char *who, bool steal, uint64_t *id,
	struct br_error *err)
{
	uint64_t fresh = fresh_id();
	struct br_console *con = enter(c, board_id, err);
	char before[sizeof(con->claim.who)] = "", text[160];
	bool taken;
	int r;

	if (!con)
		return -ENODEV;
	taken = !*id && br_claim_owner(&con->claim, br_now_ns());
	memcpy(before, con->claim.who, sizeof(before));
	r = br_claim_take(&con->claim, who, steal, id, fresh, br_now_ns(), br_wall_ns(), err);
	if (r >= 0 && taken) {
		snprintf(text, sizeof(text), "%s took writing over from %s", con->claim.who, before);
		br_console_note(con, text);
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

int br_console_release(struct br_consoles *c, int64_t board_id, uint64_t id)
{
	struct br_console *con = enter(c, board_id, NULL);
	bool released;

	if (!con)
		return 0;
	released = br_claim_release(&con->claim, id);
	pthread_mutex_unlock(&c->lock);
	return released;
}

int br_console_bind(struct br_console_reader *reader, uint64_t id, struct br_error *err)
{
	struct br_console *con = reader->con;
	int r;

	pthread_mutex_lock(&con->all->lock);
	r = br_claim_bind(&con->claim, id, br_now_ns(), err);
	if (r >= 0)
		reader->claim = id;
	pthread_mutex_unlock(&con->all->lock);
	return r;
}

/* Whether id may write, and the board is there; with the lock. */
static int may_write(struct br_console *con, uint64_t id, struct br_error *err)
{
	if (br_claim_may_write(&con->claim, id, br_now_ns(), err) < 0)
		return -EBUSY;
	if (con->state != BR_CONSOLE_UP)
		return br_error_set(err, ENOTCONN, "board %s: its console is away: %s", con->name,
			con->reason[0] ? con->reason : "it is being connected");
	return 0;
}

/* Waits for room for n bytes, all of them together. */
static int wait_for_room(struct br_console *con, uint64_t id, size_t n, unsigned wait_ms, struct br_error *err)
{
	struct timespec until = time_after(wait_ms);
	bool timed_out = false;
	int r;

	while (!(r = con->gone ? br_error_set(err, ENOTCONN, "board %s: its console is gone", con->name) : may_write(con, id, err))) {
		if (con->n_queue + n <= sizeof(con->queue))
			return 0;
		if (timed_out)
			return br_error_set(err, ETIMEDOUT, "board %s: its console does not take what is written: %zu bytes wait",
				con->name, con->n_queue);
		timed_out = pthread_cond_timedwait(&con->news, &con->all->lock, &until) != 0;
	}
	return r;
}

int br_console_write(struct br_consoles *c, int64_t board_id, uint64_t id, const void *data, size_t n, unsigned wait_ms,
	struct br_error *err)
{
	struct br_console *con;
	int r;

	if (n > BR_CONSOLE_WRITE_MAX)
		return br_error_set(err, EFBIG, "at most %u bytes can be written to a console at a time", BR_CONSOLE_WRITE_MAX);
	con = enter(c, board_id, err);
	if (!con)
		return -ENODEV;
	con->refs++; /* it may go while we wait */
	r = wait_for_room(con, id, n, wait_ms, err);
	if (r >= 0) {
		memcpy(con->queue + con->n_queue, data, n);
		con->n_queue += n;
	}
	br_console_unref(con);
	pthread_mutex_unlock(&c->lock);
	br_consoles_wake(c);
	return r;
}

int br_console_break(struct br_consoles *c, int64_t board_id, uint64_t id, struct br_error *err)
{
	struct br_console *con = enter(c, board_id, err);
	int r;

	if (!con)
		return -ENODEV;
	r = may_write(con, id, err);
	if (r >= 0 && con->uri.kind != BR_CONSOLE_TTY && !br_console_is_telnet(con))
		r = br_error_set(err, EOPNOTSUPP, "board %s: a console of this kind (%s) has no BREAK", con->name, con->text);
	if (r >= 0)
		con->break_wanted = true;
	pthread_mutex_unlock(&c->lock);
	br_consoles_wake(c);
	return r;
}

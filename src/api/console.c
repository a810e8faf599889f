/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/boards/NAME/console: a board's serial line for those who watch, and for the one who writes. */
#include "console/console.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "fleet/event.h"

#define STEP_MS 500	     /* how often a watcher that hears nothing is looked after */
#define QUIET_NS (10 * BR_S) /* then a stream with notes gives a sign of life */
#define WRITE_MS 5000

/* The board of the path. */
static int begin(struct br_call *call, struct br_board *ret, struct br_error *err)
{
	if (!call->api->consoles)
		return br_error_set(err, EOPNOTSUPP, "this daemon has no consoles");
	return br_call_board(call, ret, err);
}

/* Parameter 'writer': the number of a claim, 0 when it is not there. */
static int writer_of(const struct br_call *call, uint64_t *ret, struct br_error *err)
{
	*ret = 0;
	return br_call_number(call, "writer", 1ull << 53, ret, err);
}

/* ---- watching ---- */

struct watching {
	struct br_api *api;
	struct br_console_reader *reader;
	bool notes, follow;
	uint64_t heard_ns; /* when something went out */

	int fd;		   /* of the connection, to see that the client left; -1: not known */
};

static void watching_free(void *cls)
{
	struct watching *w = cls;

	br_console_unwatch(w->reader);
	free(w);
}

static bool has_left(const struct watching *w)
{
	struct pollfd p = { .fd = w->fd, .events = POLLRDHUP };

	return w->fd >= 0 && poll(&p, 1, 0) > 0 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL));
}

static ssize_t with_loss(char *buf, size_t max, int n, uint64_t lost)
{
	char text[100];
	int k = snprintf(text, sizeof(text), "\r\n[bramble: %" PRIu64 " bytes were lost: they came faster than they were read]\r\n", lost);

	if (k < 0 || (size_t)k + (size_t)n > max)
		return n;
	memmove(buf + k, buf, (size_t)n);
	memcpy(buf, text, (size_t)k);
	return (ssize_t)k + n;
}

#define LOSS_ROOM 100

static ssize_t watching_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct watching *w = cls;

	uint64_t lost = 0, now;
	int n = br_console_read(w->reader, buf, max > 2 * LOSS_ROOM ? max - LOSS_ROOM : max, w->follow ? STEP_MS : 0, w->notes, &lost);

	now = br_now_ns();
	if (n > 0) {
		w->heard_ns = now;
		return lost ? with_loss(buf, max, n, lost) : n;
	}
	if (n < 0 || !w->follow || br_api_ending(w->api) || has_left(w))
		return MHD_CONTENT_READER_END_OF_STREAM;
	if (w->notes && now - w->heard_ns >= QUIET_NS) {
		w->heard_ns = now;
		buf[0] = 0; /* terminals pass it over */
		return 1;
	}
	return 0; /* the server looks after its connection, and asks again */
}

static int connection_fd(const struct br_call *call)
{
	const union MHD_ConnectionInfo *info = call->connection ?
		MHD_get_connection_info(call->connection, MHD_CONNECTION_INFO_CONNECTION_FD) : NULL;

	return info ? info->connect_fd : -1;
}

static int watch(struct br_call *call, struct br_error *err)
{
	uint64_t follow = 0, tail = UINT64_MAX, from = UINT64_MAX, notes = 0, writer;
	struct br_board board;
	struct watching *w;
	int r = begin(call, &board, err);

	if (r >= 0)
		r = br_call_number(call, "follow", 1, &follow, err);
	if (r >= 0)
		r = br_call_number(call, "tail", INT64_MAX, &tail, err);
	if (r >= 0)
		r = br_call_number(call, "from", INT64_MAX, &from, err);
	if (r >= 0)
		r = br_call_number(call, "notes", 1, &notes, err);
	if (r >= 0)
		r = writer_of(call, &writer, err);
	if (r < 0)
		return r;
	w = calloc(1, sizeof(*w));
	if (!w)
		return br_error_set(err, ENOMEM, "out of memory");
	w->api = call->api;
	w->follow = follow;
	w->notes = notes;
	w->fd = connection_fd(call);
	w->heard_ns = br_now_ns();
	r = br_console_watch(call->api->consoles, board.id, tail, &w->reader, err);
	if (r >= 0 && from != UINT64_MAX)
		br_console_seek(w->reader, from);
	if (r >= 0 && writer)
		r = br_console_bind(w->reader, writer, err);
	if (r < 0) {
		watching_free(w);
		return r;
	}
	return br_call_stream(call, MHD_SIZE_UNKNOWN, "application/octet-stream", watching_read, watching_free, w, err);
}

static int status(struct br_call *call, struct br_error *err)
{
	struct br_console_status st;
	struct br_board board;
	int r = begin(call, &board, err);

	if (r >= 0)
		r = br_console_status(call->api->consoles, board.id, &st);
	if (r < 0)
		return r;
	call->json = json_pack("{s:s, s:s?, s:s, s:s?, s:o, s:I, s:I, s:I, s:i, s:s?, s:o}", "board", board.name, "console",
		st.uri[0] ? st.uri : NULL, "state", br_console_state_name(st.state), "reason", st.reason[0] ? st.reason : NULL,
		"since", br_api_time(st.since_wall_ns), "in", (json_int_t)st.in, "out", (json_int_t)st.out, "position", (json_int_t)st.position, "watchers",
		(int)st.watchers, "writer", st.writer[0] ? st.writer : NULL, "writer_since", br_api_time(st.writer_wall_ns));
	return 0;
}

/* ---- writing ---- */

static int claim(struct br_call *call, struct br_error *err)
{
	json_t *steal = json_object_get(call->body, "steal"), *who = json_object_get(call->body, "who");
	json_t *writer = json_object_get(call->body, "writer");
	br_cleanup(br_freep) char *name = br_asprintf("%.60s%s%s", json_string_value(who) ?: "", json_string_value(who) ? ", " : "",
		call->who.name);
	uint64_t id = writer && json_integer_value(writer) > 0 ? (uint64_t)json_integer_value(writer) : 0;
	bool fresh = !id;
	struct br_board board;
	int r = begin(call, &board, err);

	if (r < 0)
		return r;
	if ((steal && !json_is_boolean(steal)) || (who && !json_is_string(who)) || (writer && !id))
		return br_error_set(err, EINVAL, "a claim has 'who' (text), 'steal' (true or false), and 'writer' (its number) when it is renewed");
	if (!name)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_console_claim(call->api->consoles, board.id, name, json_is_true(steal), &id, err);
	if (r < 0)
		return r;
	if (fresh)
		br_event_emit(call->api->fleet, board.id, 0, BR_EV_CONSOLE_WRITER, json_pack("{s:s}", "who", name));
	call->json = json_pack("{s:I, s:i}", "writer", (json_int_t)id, "expires_in", (int)(BR_CONSOLE_CLAIM_NS / BR_S));
	return 0;
}

static int release(struct br_call *call, struct br_error *err)
{
	struct br_board board;
	uint64_t writer;
	int r = begin(call, &board, err);

	if (r >= 0)
		r = writer_of(call, &writer, err);
	if (r < 0)
		return r;
	if (!writer)
		return br_error_set(err, EINVAL, "parameter 'writer': the number of the claim is needed");
	r = br_console_release(call->api->consoles, board.id, writer);
	call->json = json_pack("{s:b}", "released", r > 0);
	return 0;
}

static int send_break(struct br_call *call, struct br_error *err)
{
	struct br_board board;
	uint64_t writer;
	int r = begin(call, &board, err);

	if (r >= 0)
		r = writer_of(call, &writer, err);
	if (r >= 0)
		r = br_console_break(call->api->consoles, board.id, writer, err);
	if (r >= 0)
		call->json = json_pack("{s:s}", "board", board.name);
	return r;
}

/* What is to be written, as it comes. */
struct writing {
	struct br_sink sink;
	int64_t board_id;
	uint64_t writer;
	struct br_text bytes;
};

static int writing_take(struct br_sink *sink, const char *data, size_t n, struct br_error *err)
{
	struct writing *w = br_container_of(sink, struct writing, sink);

	if (w->bytes.len + n > BR_CONSOLE_WRITE_MAX)
		return br_error_set(err, EFBIG, "at most %u bytes can be written to a console at a time", BR_CONSOLE_WRITE_MAX);
	br_text_add_bytes(&w->bytes, data, n);
	return w->bytes.failed ? br_error_set(err, ENOMEM, "out of memory") : 0;
}

static int writing_finish(struct br_sink *sink, struct br_call *call, struct br_error *err)
{
	struct writing *w = br_container_of(sink, struct writing, sink);
	int r = br_console_write(call->api->consoles, w->board_id, w->writer, w->bytes.buf ? w->bytes.buf : "", w->bytes.len, WRITE_MS, err);

	if (r >= 0)
		call->json = json_pack("{s:I}", "written", (json_int_t)w->bytes.len);
	return r;
}

static void writing_free(struct br_sink *sink)
{
	struct writing *w = br_container_of(sink, struct writing, sink);

	br_text_done(&w->bytes);
	free(w);
}

static int begin_writing(struct br_call *call, struct br_sink **ret, struct br_error *err)
{
	struct br_board board;
	struct writing *w;
	uint64_t writer;
	int r = begin(call, &board, err);

	if (r >= 0)
		r = writer_of(call, &writer, err);
	if (r < 0)
		return r;
	w = calloc(1, sizeof(*w));
	if (!w)
		return br_error_set(err, ENOMEM, "out of memory");
	w->sink = (struct br_sink){ writing_take, writing_finish, writing_free };
	w->board_id = board.id;
	w->writer = writer;
	*ret = &w->sink;
	return 0;
}

/* Watching shows what others type, and boards are on the network: more than reading. */
const struct br_route br_api_console[] = {
	{ "GET", "/v1/boards/NAME/console", .run = watch, .params = { "follow", "tail", "from", "notes", "writer" }, .scope = BR_SCOPE_OPERATE,
		.summary = "Bytes of the board's console, as they come" },
	{ "POST", "/v1/boards/NAME/console", .begin = begin_writing, .params = { "writer" }, .unaudited = true,
		.summary = "Writes the body's bytes to the board's console" },
	{ "GET", "/v1/boards/NAME/console/status", .run = status, .gives = "console-status",
		.summary = "How the board's console is connected, and who writes" },
	{ "POST", "/v1/boards/NAME/console/claim", true, claim, .unaudited = true, .takes = "console-claim", .gives = "console-claimed",
		.summary = "Claims or keeps the right to write on the board's console" },
	{ "DELETE", "/v1/boards/NAME/console/claim", .run = release, .params = { "writer" }, .unaudited = true,
		.summary = "Gives up the right to write on the board's console" },
	{ "POST", "/v1/boards/NAME/console/break", .run = send_break, .params = { "writer" }, .summary = "Sends a BREAK to the board's console" },
	{ 0 },
};

/* SPDX-License-Identifier: Apache-2.0 */
#include "http/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/thread.h"
#include "http/range.h"

/* Of one connection: the header of its request and our answer's. Longer ones get 431 from the library. */
#define CONNECTION_MEMORY 10240
#define BLOCK (64 * 1024)
#define BACKLOG 256
#define PROGRESS_NS (100 * BR_MS)
#define KEEP_FREE 4 /* connections, before the oldest idle one is closed */

struct conn {
	struct conn *prev, *next; /* oldest activity first */
	int fd;
	bool busy, closing;
};

struct request {
	struct br_http *http;
	struct br_http_file file;
	uint32_t ip;
	bool head, asked, opened; /* asked: ops->open() was called */
	enum br_http_outcome outcome; /* when it ends well */
	uint64_t first, len, sent;
	uint64_t start_ns, told_ns;
	size_t span;	  /* the reader's place */
	uint64_t span_at; /* offset of that span in the file */
};

struct br_http {
	struct MHD_Daemon *daemon;
	struct br_http_ops ops;
	void *ctx;
	uint16_t port;
	unsigned max_connections, n_connections;
	struct conn conns; /* head of the list */
};

/* ---- connections ---- */

static void list_remove(struct conn *c)
{
	c->prev->next = c->next;
	c->next->prev = c->prev;
}

static void list_append(struct br_http *http, struct conn *c)
{
	c->prev = http->conns.prev;
	c->next = &http->conns;
	c->prev->next = c;
	http->conns.prev = c;
}

/* Makes room: the connection that has been without a request for longest ends, as if its client had closed it. */
static void close_oldest_idle(struct br_http *http)
{
	for (struct conn *c = http->conns.next; c != &http->conns; c = c->next)
		if (!c->busy && !c->closing) {
			c->closing = true;
			shutdown(c->fd, SHUT_RDWR);
			return;
		}
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
	enum MHD_ConnectionNotificationCode code)
{
	struct br_http *http = cls;
	struct conn *c = *context;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		http->n_connections--;
		if (c) {
			list_remove(c);
			free(c);
		}
		return;
	}
	if (++http->n_connections + KEEP_FREE > http->max_connections)
		close_oldest_idle(http);
	c = calloc(1, sizeof(*c));
	*context = c;
	if (!c) /* not in the list, so it is never the one that must go */
		return;
	c->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	list_append(http, c);
}

static void note_activity(struct br_http *http, struct MHD_Connection *connection, bool busy)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct conn *c = info ? info->socket_context : NULL;

	if (!c)
		return;
	c->busy = busy;
	list_remove(c);
	list_append(http, c);
}

/* ---- bodies ---- */

static void tell_progress(struct request *q)
{
	uint64_t now = br_now_ns();

	if (!q->http->ops.progress || now - q->told_ns < PROGRESS_NS)
		return;
	q->told_ns = now;
	q->http->ops.progress(q->http->ctx, &q->file, q->first + q->sent);
}

static ssize_t read_body(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct request *q = cls;
	uint64_t at = q->first + pos;
	size_t done = 0;

	if (at < q->span_at) {
		q->span = 0;
		q->span_at = 0;
	}
	if (max > q->len - pos)
		max = (size_t)(q->len - pos);
	while (done < max && q->span < q->file.n_spans) {
		const struct br_span *s = &q->file.spans[q->span];
		uint64_t skip = at + done - q->span_at;
		size_t n;

		if (skip >= s->len) {
			q->span_at += s->len;
			q->span++;
			continue;
		}
		n = s->len - (size_t)skip < max - done ? s->len - (size_t)skip : max - done;
		memcpy(buf + done, s->data + skip, n);
		done += n;
	}
	q->sent = pos + done;
	tell_progress(q);
	return done ? (ssize_t)done : MHD_CONTENT_READER_END_WITH_ERROR;
}

/* ---- answers ---- */

static const char *content_type(const char *path)
{
	/* UEFI goes by the type, or by the name's end (UEFI 2.10, 24.7.3.1) */
	static const struct {
		const char *end, *type;
	} types[] = {
		{ ".efi", "application/efi" },
		{ ".txt", "text/plain" },
		{ ".ipxe", "text/plain" },
		{ ".sig", "text/plain" },
	};
	size_t n = strlen(path);

	for (size_t i = 0; i < BR_ARRAY_SIZE(types); i++) {
		size_t len = strlen(types[i].end);

		if (n > len && !strcasecmp(path + n - len, types[i].end))
			return types[i].type;
	}
	return "application/octet-stream";
}

static enum MHD_Result queue(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response)
{
	enum MHD_Result r;

	if (!response)
		return MHD_NO; /* memory is out: the connection is closed */
	r = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return r;
}

static enum MHD_Result answer_words(struct MHD_Connection *connection, unsigned status, const char *words,
	const char *field, const char *value)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(strlen(words), (void *)(uintptr_t)words,
		MHD_RESPMEM_PERSISTENT);

	if (response) {
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain");
		if (field)
			MHD_add_response_header(response, field, value);
	}
	return queue(connection, status, response);
}

static enum MHD_Result answer_file(struct request *q, struct MHD_Connection *connection)
{
	const char *range = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_RANGE);
	struct MHD_Response *response;
	char text[80];
	int r = 0;

	q->len = q->file.size;
	/* we give no validators, so an If-Range can never match: RFC 9110 13.1.5 */
	if (!q->head && !MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_IF_RANGE))
		r = br_http_range(range, q->file.size, &q->first, &q->len);
	if (r < 0) {
		snprintf(text, sizeof(text), "bytes */%llu", (unsigned long long)q->file.size);
		q->outcome = BR_HTTP_FAILED;
		snprintf(q->file.reason, sizeof(q->file.reason), "asked for bytes that the file has not");
		return answer_words(connection, MHD_HTTP_RANGE_NOT_SATISFIABLE, "no such range\n",
			MHD_HTTP_HEADER_CONTENT_RANGE, text);
	}
	q->outcome = q->head ? BR_HTTP_LOOKED : q->first + q->len == q->file.size ? BR_HTTP_SENT : BR_HTTP_PART;
	response = q->len ? MHD_create_response_from_callback(q->len, BLOCK, read_body, q, NULL)
			  : MHD_create_response_from_buffer(0, (void *)(uintptr_t)"", MHD_RESPMEM_PERSISTENT);
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type(q->file.path));
	MHD_add_response_header(response, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
	if (r) {
		snprintf(text, sizeof(text), "bytes %llu-%llu/%llu", (unsigned long long)q->first,
			(unsigned long long)(q->first + q->len - 1), (unsigned long long)q->file.size);
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_RANGE, text);
	}
	return queue(connection, r ? MHD_HTTP_PARTIAL_CONTENT : MHD_HTTP_OK, response);
}

static uint32_t client_ip(struct MHD_Connection *connection)
{
	const struct sockaddr *sa = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;

	return sa->sa_family == AF_INET ? ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr) : 0;
}

/* The first call for a request, when its header is there. An answer given here ends the connection. */
static enum MHD_Result begin(struct br_http *http, struct MHD_Connection *connection, const char *method, void **state)
{
	struct request *q;

	if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD))
		return answer_words(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n", MHD_HTTP_HEADER_ALLOW,
			"GET, HEAD");
	if (MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH) ||
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_TRANSFER_ENCODING))
		return answer_words(connection, MHD_HTTP_BAD_REQUEST, "no body is taken\n", NULL, NULL);
	q = calloc(1, sizeof(*q));
	if (!q)
		return MHD_NO;
	q->http = http;
	q->ip = client_ip(connection);
	q->head = !strcmp(method, MHD_HTTP_METHOD_HEAD);
	q->start_ns = q->told_ns = br_now_ns();
	*state = q;
	return MHD_YES;
}

static enum MHD_Result answer(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
	const char *version, const char *upload, size_t *upload_size, void **state)
{
	struct br_http *http = cls;
	struct request *q = *state;
	int r;

	note_activity(http, connection, true);
	if (!q) /* answered in the second call, the connection may be kept: UEFI wants that after HEAD */
		return begin(http, connection, method, state);
	q->asked = true;
	r = http->ops.open(http->ctx, q->ip, url, &q->file);
	q->opened = r >= 0;
	if (q->opened)
		return answer_file(q, connection);
	q->outcome = r == -ENOENT || r == -EACCES ? BR_HTTP_MISSING : BR_HTTP_FAILED;
	if (q->outcome == BR_HTTP_MISSING)
		return answer_words(connection, MHD_HTTP_NOT_FOUND, "not found\n", NULL, NULL);
	if (!q->file.reason[0])
		snprintf(q->file.reason, sizeof(q->file.reason), "%s", strerror(-r));
	if (r == -EINPROGRESS) /* RFC 9110 15.6.4; who does not know it takes it for a failure, and asks again, too */
		return answer_words(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "not ready yet\n", MHD_HTTP_HEADER_RETRY_AFTER, "1");
	return answer_words(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "internal error\n", NULL, NULL);
}

static const char *words_of(enum MHD_RequestTerminationCode toe)
{
	switch (toe) {
	case MHD_REQUEST_TERMINATED_TIMEOUT_REACHED:
		return "the client took nothing for too long";
	case MHD_REQUEST_TERMINATED_DAEMON_SHUTDOWN:
		return "the server was stopped";
	default:
		return "the client closed the connection";
	}
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **state,
	enum MHD_RequestTerminationCode toe)
{
	struct br_http *http = cls;
	struct request *q = *state;
	struct br_http_report rep;

	note_activity(http, connection, false);
	if (!q)
		return;
	*state = NULL;
	rep = (struct br_http_report){
		.outcome = q->outcome,
		.ip = q->ip,
		.file = &q->file,
		.first = q->first,
		.bytes = q->sent,
		.duration_ns = br_now_ns() - q->start_ns,
		.reason = q->file.reason[0] ? q->file.reason : NULL,
	};
	if (toe != MHD_REQUEST_TERMINATED_COMPLETED_OK && (q->outcome == BR_HTTP_SENT || q->outcome == BR_HTTP_PART)) {
		rep.outcome = BR_HTTP_FAILED;
		rep.reason = words_of(toe);
	}
	if (q->asked)
		http->ops.report(http->ctx, &rep);
	if (q->opened)
		http->ops.release(http->ctx, &q->file);
	free(q);
}

/* ---- start and stop ---- */

static int explain(int r, uint32_t ip, uint16_t port, struct br_error *err)
{
	char text[BR_IP_TEXT];

	if (r == -EADDRINUSE)
		return br_error_set(err, EADDRINUSE,
			"TCP port %u (HTTP boot) is in use, most likely by a web server ('ss -ltnp' shows it); stop that, or "
			"give another port or 0 with --http-port", port);
	if (r == -EACCES)
		return br_error_set(err, EACCES,
			"TCP port %u (HTTP boot): not allowed; start as root or with CAP_NET_BIND_SERVICE", port);
	return br_error_set(err, -r, "TCP port %u (HTTP boot) on %s: %s", port, br_ip_format(text, ip), strerror(-r));
}

static int listen_on(uint32_t ip, uint16_t *port, int *ret_fd)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(ip) };
	br_cleanup(br_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(addr);
	int yes = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
		bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, BACKLOG) < 0 ||
		getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		return -errno;
	*port = ntohs(addr.sin_port);
	*ret_fd = br_take_fd(fd);
	return 0;
}

struct start {
	struct br_http *http;
	const struct br_http_options *opt;
	int fd;
};

/* Its threads inherit the rights of the one that starts it. */
static void start_daemon(void *arg)
{
	struct start *s = arg;
	struct br_http *http = s->http;
	const struct br_http_options *opt = s->opt;

	/* Date would be one more field that no board reads */
	http->daemon = MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_USE_ITC | MHD_USE_SUPPRESS_DATE_NO_CLOCK, 0, NULL,
		NULL, answer, http, MHD_OPTION_LISTEN_SOCKET, s->fd, MHD_OPTION_CONNECTION_LIMIT,
		http->max_connections, MHD_OPTION_PER_IP_CONNECTION_LIMIT, opt->max_per_client ?: 16u,
		MHD_OPTION_CONNECTION_TIMEOUT, opt->timeout_s ?: 15u, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)CONNECTION_MEMORY, MHD_OPTION_NOTIFY_COMPLETED, on_completed, http,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, http, MHD_OPTION_END);
}

int br_http_start(const struct br_http_options *opt, struct br_http **ret, struct br_error *err)
{
	br_cleanup(br_freep) struct br_http *http = calloc(1, sizeof(*http));
	uint16_t port = opt->port;
	int fd = -1, r = listen_on(opt->ip, &port, &fd);

	if (r < 0)
		return explain(r, opt->ip, opt->port, err);
	if (http) {
		*http = (struct br_http){
			.ops = *opt->ops,
			.ctx = opt->ctx,
			.port = port,
			.max_connections = opt->max_connections ?: 1024,
		};
		http->conns.prev = http->conns.next = &http->conns;
		r = br_thread_call(start_daemon, &(struct start){ http, opt, fd });
	}
	if (!http || r || !http->daemon) {
		close(fd);
		return br_error_set(err, ENOMEM, "HTTP boot on port %u: the server does not start", port);
	}
	*ret = br_take(http);
	return 0;
}

void br_http_stop(struct br_http *http)
{
	if (!http)
		return;
	MHD_stop_daemon(http->daemon); /* closes the socket, joins the thread */
	free(http);
}

uint16_t br_http_port(const struct br_http *http)
{
	return http->port;
}

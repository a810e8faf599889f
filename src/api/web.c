/* SPDX-License-Identifier: Apache-2.0 */
/* The web server: requests. libmicrohttpd's one thread calls all of this but what runs in the pool; nothing here waits. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/codes.h"
#include "api/webserver.h"
#include "base/addr.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "web/pagefiles.h"

#define DROP_MAX (4u << 20) /* of a body that nobody wants: more of it, and the connection ends */
#define LARGE (64u << 10) /* an answer of that many bytes counts */
#define API_CSP "default-src 'none'; frame-ancestors 'none'"

static const char *field(struct br_web_request *q, const char *name)
{
	return MHD_lookup_connection_value(q->call.connection, MHD_HEADER_KIND, name);
}

static struct br_web_conn *conn_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

static void phase(struct br_web_request *q, enum br_web_phase phase)
{
	struct br_web_conn *c = conn_of(q->call.connection);

	if (!c)
		return;
	pthread_mutex_lock(&q->web->lock);
	c->phase = phase;
	c->since_ns = br_now_ns();
	pthread_mutex_unlock(&q->web->lock);
}

/* ---- who asks ---- */

/* Of the networks that we stand in ourselves. */
static bool is_near(const struct br_web_door *door, const struct sockaddr *sa)
{
	uint32_t ip;

	if (sa->sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr);
	ip = ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr);
	return ip >> 24 == IN_LOOPBACKNET || !((ip ^ door->ip) & br_ip_mask(door->prefix));
}

static void name_stranger(struct br_web_request *q)
{
	const struct sockaddr *sa = MHD_get_connection_info(q->call.connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
	const void *at = sa->sa_family == AF_INET6 ? (const void *)&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr :
						     (const void *)&((const struct sockaddr_in *)(const void *)sa)->sin_addr;
	char text[INET6_ADDRSTRLEN] = "?";

	inet_ntop(sa->sa_family, at, text, sizeof(text));
	snprintf(q->call.who.name, sizeof(q->call.who.name), "anonymous:%s", text);
	q->call.who.scope = !q->web->door->read_by_token && is_near(q->web->door, sa) ? BR_SCOPE_READ : BR_SCOPE_NONE;
}

static int identify(struct br_web_request *q)
{
	char text[BR_TOKEN_TEXT];
	int r = br_guard_bearer(field(q, MHD_HTTP_HEADER_AUTHORIZATION), text);

	if (!r) {
		name_stranger(q);
		return 0;
	}
	if (r > 0)
		q->token = br_access_find(q->web->api->access, text, (int64_t)(br_wall_ns() / BR_S));
	explicit_bzero(text, sizeof(text));
	if (!q->token)
		return br_error_set(&q->err, ENOKEY, "the token is not known here: it is wrong, has expired, or was revoked");
	snprintf(q->call.who.name, sizeof(q->call.who.name), "token:%s", q->token->token.name);
	memcpy(q->call.who.boards, q->token->token.boards, sizeof(q->call.who.boards));
	q->call.who.scope = q->token->scope;
	return 0;
}

/* Who carries a token proved with it that no page of another site is behind the request: such have none. */
static int guard(struct br_web_request *q)
{
	struct br_guard_head head = {
		.host = field(q, MHD_HTTP_HEADER_HOST),
		.origin = field(q, MHD_HTTP_HEADER_ORIGIN),
		.fetch_site = field(q, "Sec-Fetch-Site"),
		.fetch_mode = field(q, "Sec-Fetch-Mode"),
		.tls = q->web->door->cert,
		.page = !br_str_starts(q->url, "/v1/") && br_page_find(q->url),
	};
	int r = identify(q);

	if (r >= 0 && !q->token)
		r = br_guard_check(&head, (const char *const *)q->web->door->names, &q->err);
	if (r < 0)
		atomic_fetch_add(&q->web->refused_guard, 1);
	return r;
}

/* ---- answers ---- */

static void harden(const struct br_web_request *q, struct MHD_Response *response, const char *csp)
{
	static const char *const fields[][2] = {
		{ "X-Content-Type-Options", "nosniff" },
		{ "X-Frame-Options", "DENY" },
		{ "Referrer-Policy", "no-referrer" },
		{ "Cross-Origin-Resource-Policy", "same-origin" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(fields); i++)
		MHD_add_response_header(response, fields[i][0], fields[i][1]);
	MHD_add_response_header(response, "Content-Security-Policy", csp);
	if (q->web->door->cert) /* browsers take it from trustworthy origins only, and complain otherwise */
		MHD_add_response_header(response, "Cross-Origin-Opener-Policy", "same-origin");
}

static enum MHD_Result queue(struct br_web_request *q, unsigned status, struct MHD_Response *response)
{
	enum MHD_Result r;

	phase(q, q->answer ? BR_WEB_GIVE : BR_WEB_ANSWER);
	if (!response)
		return MHD_NO; /* memory is out: the connection is closed */
	atomic_fetch_add(&q->web->requests[status / 100 < 6 ? status / 100 : 0], 1);
	r = MHD_queue_response(q->call.connection, status, response);
	MHD_destroy_response(response);
	return r;
}

static enum MHD_Result queue_api(struct br_web_request *q, unsigned status, struct MHD_Response *response)
{
	if (response) {
		harden(q, response, API_CSP);
		MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
		if (status == MHD_HTTP_UNAUTHORIZED)
			MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"bramble\"");
		if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
			MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
	}
	return queue(q, status, response);
}

static enum MHD_Result refuse(struct br_web_request *q, int r)
{
	br_api_refuse(&q->call, r, &q->err);
	return queue_api(q, q->call.status, br_take(q->call.response));
}

static bool has_gzip(struct br_web_request *q)
{
	const char *accept = field(q, MHD_HTTP_HEADER_ACCEPT_ENCODING);

	return accept && strstr(accept, "gzip");
}

static enum MHD_Result answer_page(struct br_web_request *q, const struct br_page_file *file)
{
	const char *known = field(q, MHD_HTTP_HEADER_IF_NONE_MATCH);
	bool same = known && strstr(known, file->etag), gz = !same && file->gz && has_gzip(q);
	struct MHD_Response *response = MHD_create_response_from_buffer(same ? 0 : gz ? file->n_gz : file->n,
		(void *)(uintptr_t)(gz ? file->gz : file->data), MHD_RESPMEM_PERSISTENT);

	if (response) {
		harden(q, response, BR_PAGE_CSP);
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, file->type);
		MHD_add_response_header(response, MHD_HTTP_HEADER_ETAG, file->etag);
		MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache"); /* asks whether it is still so */
		MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, "Accept-Encoding");
		if (gz)
			MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
	}
	return queue(q, same ? MHD_HTTP_NOT_MODIFIED : MHD_HTTP_OK, response);
}

/* ---- in the pool ---- */

/* What the handler left becomes a response. */
static void finish_work(struct br_web_request *q)
{
	struct br_call *call = &q->call;
	int r = 0;

	if (call->stream) {
		unsigned status = call->status;

		r = br_web_pump(q->web, call, q->token, &call->response);
		if (r < 0)
			br_error_set(&q->err, -r, "too many streams are open; close some, or try again later");
		else
			call->status = status;
	}
	if (r >= 0 && call->n_response >= LARGE) {
		q->answer = br_web_share_take(&q->web->answers, &call->who, call->n_response);
		q->n_answer = call->n_response;
		if (!q->answer)
			r = br_error_set(&q->err, EAGAIN, "too many large answers wait to be taken; take them, or try again later");
	}
	if (r < 0 && call->response) {
		MHD_destroy_response(call->response);
		call->response = NULL;
	}
	if (r < 0)
		br_api_refuse(call, r, &q->err);
	q->done = true;
}

/* Bytes may take long to come. */
static void check_token(struct br_web_request *q)
{
	if (q->r >= 0 && !br_access_valid(q->token, (int64_t)(br_wall_ns() / BR_S)))
		q->r = br_error_set(&q->err, ENOKEY, "the token was revoked or has expired meanwhile");
}

static void run_route(struct br_web_request *q)
{
	if (br_api_ending(q->web->api)) {
		br_api_refuse(&q->call, br_error_set(&q->err, EAGAIN, "the daemon stops"), &q->err);
		q->done = true;
		return;
	}
	if (q->takes_bytes) {
		check_token(q);
		br_api_finish(&q->call, q->url, q->sink, q->r, &q->err);
	} else {
		br_api_route(&q->call, q->method, q->url, q->body.buf ? q->body.buf : "", q->body.len, q->too_large);
	}
	finish_work(q);
}

/* A piece of a body of bytes; the first one begins. */
static void run_piece(struct br_web_request *q)
{
	check_token(q);
	if (!q->begun && q->r >= 0) {
		q->r = br_api_begin(&q->call, q->method, q->url, &q->sink, &q->err);
		q->begun = true;
	}
	if (q->sink && q->r >= 0)
		q->r = q->sink->take(q->sink, q->piece, q->n_piece, &q->err);
	free(q->piece);
	q->piece = NULL;
}

static void run_empty(struct br_web_request *q)
{
	run_piece(q);
	run_route(q);
}

static enum MHD_Result in_pool(struct br_web_request *q, void (*work)(struct br_web_request *q))
{
	q->work = work;
	if ((q->waits ? br_web_wait_run(q->web, q) : br_web_pool_run(&q->web->pool, q)) >= 0)
		return MHD_YES;
	atomic_fetch_add(&q->web->busy, 1);
	q->refused = br_error_set(&q->err, EAGAIN, "too many requests wait; try again in a moment");
	return MHD_YES;
}

/* ---- the request ---- */

static enum MHD_Result take_piece(struct br_web_request *q, const char *data, size_t *n)
{
	q->piece = malloc(*n);
	if (!q->piece)
		return MHD_NO;
	memcpy(q->piece, data, *n);
	q->n_piece = *n;
	*n = 0;
	return in_pool(q, run_piece);
}

static enum MHD_Result take(struct br_web_request *q, const char *data, size_t *n)
{
	if (q->takes_bytes && !q->refused && q->r >= 0)
		return take_piece(q, data, n);
	/* one byte of a body that nobody wants is enough to say so */
	if (!q->takes_body && q->body.len) {
		q->dropped += *n;
		*n = 0;
		return q->dropped > DROP_MAX ? MHD_NO : MHD_YES;
	}
	/* what is too large or refused is read and dropped for a while, so that the client reads our answer */
	q->too_large = q->too_large || q->body.len + *n > BR_API_BODY_MAX;
	if (q->refused || q->r < 0 || q->too_large) {
		br_text_done(&q->body);
		q->dropped += *n;
		if (q->dropped > DROP_MAX)
			return MHD_NO;
	} else {
		br_text_add_bytes(&q->body, data, q->takes_body ? *n : 1);
	}
	*n = 0;
	return q->body.failed ? MHD_NO : MHD_YES;
}

static enum MHD_Result act(struct br_web_request *q)
{
	const struct br_page_file *file = NULL;
	struct MHD_Response *response = NULL;
	bool get = !strcmp(q->method, MHD_HTTP_METHOD_GET);
	int r;

	if (q->refused)
		return refuse(q, q->refused);
	if (get && !br_str_starts(q->url, "/v1/"))
		file = br_page_find(q->url);
	if (file)
		return answer_page(q, file);
	phase(q, BR_WEB_ANSWER);
	if (get && !q->head && !strcmp(q->url, "/v1/live")) {
		r = br_web_follow(q, &response);
		return r < 0 ? refuse(q, r) : queue_api(q, MHD_HTTP_OK, response);
	}
	in_pool(q, q->takes_bytes && !q->begun ? run_empty : run_route);
	return q->refused ? refuse(q, q->refused) : MHD_YES;
}

static void read_head(struct br_web_request *q)
{
	const struct br_route *route = NULL;
	const char *value;

	q->refused = guard(q);
	if (q->refused >= 0)
		q->refused = br_api_head(&q->call, q->method, q->url, &route, &q->err);
	if (q->refused == -ENOKEY || q->refused == -EACCES)
		atomic_fetch_add(&q->web->refused_scope, 1);
	if (q->refused < 0 || !route)
		return;
	q->takes_bytes = route->begin;
	q->takes_body = route->body;
	value = route->waits && route->waits[0] ? br_call_param(&q->call, route->waits) : NULL;
	q->waits = route->waits && (!route->waits[0] || (value && strcmp(value, "0") != 0));
}

/* The head is there. */
static enum MHD_Result begin(struct br_web *web, struct MHD_Connection *connection, const char *url, const char *method, void **state)
{
	struct br_web_request *q = calloc(1, sizeof(*q));

	*state = q;
	if (!q)
		return MHD_NO;
	q->web = web;
	q->call = (struct br_call){ .api = web->api, .connection = connection, .pumps = true };
	q->head = !strcmp(method, MHD_HTTP_METHOD_HEAD);
	q->method = strdup(q->head ? MHD_HTTP_METHOD_GET : method);
	q->url = strdup(url);
	if (!q->method || !q->url)
		return MHD_NO;
	read_head(q);
	phase(q, q->takes_bytes && q->refused >= 0 ? BR_WEB_BYTES : BR_WEB_BODY);
	return MHD_YES;
}

enum MHD_Result br_web_answer(void *cls, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
	const char *data, size_t *n, void **state)
{
	struct br_web_request *q = *state;

	if (!q)
		return begin(cls, connection, url, method, state);
	if (*n)
		return take(q, data, n);
	if (q->done)
		return queue_api(q, q->call.status, br_take(q->call.response));
	return act(q);
}

void br_web_completed(void *cls, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode toe)
{
	struct br_web_request *q = *state;

	*state = NULL;
	if (!q)
		return;
	phase(q, BR_WEB_HEAD);
	br_web_share_give_back(&q->web->answers, q->answer, q->n_answer);
	br_text_done(&q->body);
	if (q->sink)
		q->sink->free(q->sink);
	if (q->call.response)
		MHD_destroy_response(q->call.response);
	br_access_unref(q->token);
	free(q->piece);
	free(q->method);
	free(q->url);
	free(q);
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The inside of the web server: connections, requests, the threads that work for them. */
#include <microhttpd.h>
#include <pthread.h>
#include <stdatomic.h>

#include "api/access.h"
#include "api/call.h"
#include "api/webdoor.h"
#include "api/webshare.h"
#include "base/text.h"

struct br_web_request;

/* A few threads that run what may wait, in the order it came. */
struct br_web_pool {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct br_web_request *first, *last;
	unsigned n_waiting, n_threads, max_waiting;
	pthread_t threads[16];
	bool stopping;
};

struct br_web_conn {
	struct br_web_conn *prev, *next;
	int fd;
	enum br_web_phase { BR_WEB_HEAD, BR_WEB_BODY, BR_WEB_BYTES, BR_WEB_ANSWER, BR_WEB_GIVE } phase; /* waits for what of it */
	uint64_t since_ns;
};

struct br_web {
	struct br_api *api;
	struct br_web_door *door;
	struct MHD_Daemon *daemon;
	pthread_t acceptor;
	bool accepts;
	int stop_fd;
	pthread_mutex_t lock; /* the connections */
	struct br_web_conn *conns;
	unsigned n_conns;
	struct br_web_pool pool;
	struct br_web_shares pumps; /* threads that make long answers, one each */
	struct br_web_shares waits; /* threads that run what waits long, one each */
	struct br_web_shares answers; /* bytes of large answers that were not taken yet */
	void *metrics;
	atomic_uint_least64_t accepted, refused_full, refused_guard, refused_scope, timed_out, busy, requests[6];
};

/* From its head to the end of its answer. */
struct br_web_request {
	struct br_web *web;
	struct br_call call;
	struct br_access_token *token; /* a reference; NULL: anonymous */
	char *method, *url;
	int refused; /* negative errno, with err: nothing is done for it */
	struct br_error err;
	struct br_text body;
	bool too_large, takes_bytes, takes_body, waits, begun, done, head;
	struct br_web_share *answer; /* n_answer bytes */
	size_t n_answer;
	uint64_t dropped;
	struct br_sink *sink;
	int r; /* of the sink */
	char *piece; /* for the sink, n_piece bytes of it */
	size_t n_piece;
	void (*work)(struct br_web_request *q); /* in a thread of the pool, or its own */
	struct br_web_request *next;
};

/* Suspends the connection and has q->work() run; then it is resumed. -EAGAIN: too many wait, or the end is near. */
int br_web_pool_run(struct br_web_pool *pool, struct br_web_request *q);
int br_web_pool_start(struct br_web_pool *pool, unsigned n, unsigned max_waiting);
/* All that wait are run, the threads end; br_web_pool_run() says -EAGAIN from then on. */
void br_web_pool_stop(struct br_web_pool *pool);
void br_web_pool_done(struct br_web_pool *pool);
/* The same in a thread of its own. -EAGAIN: the caller has his share of them, or there are too many. */
int br_web_wait_run(struct br_web *web, struct br_web_request *q);

/* Takes call->stream: a thread reads it, *ret gives it out. valid() false ends it. -EAGAIN: there are too many. */
int br_web_pump(struct br_web *web, struct br_call *call, struct br_access_token *token, struct MHD_Response **ret);
/* The live feed's answer for q; -ENOMEM. */
int br_web_follow(struct br_web_request *q, struct MHD_Response **ret);

/* web.c: the callbacks of the library. */
enum MHD_Result br_web_answer(void *cls, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
	const char *data, size_t *n, void **state);
void br_web_completed(void *cls, struct MHD_Connection *connection, void **state, enum MHD_RequestTerminationCode toe);

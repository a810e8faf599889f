/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads beside the web server's own. A connection whose handler runs, or whose answer has to be waited for, is suspended
 * meanwhile: libmicrohttpd does not look at it until it is resumed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/stream.h"
#include "api/webserver.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/thread.h"

/* ---- handlers ---- */

static struct br_web_request *take_first(struct br_web_pool *pool)
{
	struct br_web_request *q;

	pthread_mutex_lock(&pool->lock);
	while (!pool->first && !pool->stopping)
		pthread_cond_wait(&pool->wake, &pool->lock);
	q = pool->first;
	if (q) {
		pool->first = q->next;
		if (!pool->first)
			pool->last = NULL;
		pool->n_waiting--;
	}
	pthread_mutex_unlock(&pool->lock);
	return q;
}

static void *work(void *arg)
{
	struct br_web_pool *pool = arg;
	struct br_web_request *q;

	while ((q = take_first(pool))) {
		q->work(q);
		MHD_resume_connection(q->call.connection); /* q may be gone from here on */
	}
	return NULL;
}

int br_web_pool_run(struct br_web_pool *pool, struct br_web_request *q)
{
	int r = 0;

	q->next = NULL;
	pthread_mutex_lock(&pool->lock);
	if (pool->stopping || pool->n_waiting >= pool->max_waiting) {
		r = -EAGAIN;
	} else {
		MHD_suspend_connection(q->call.connection);
		if (pool->last)
			pool->last->next = q;
		else
			pool->first = q;
		pool->last = q;
		pool->n_waiting++;
		pthread_cond_signal(&pool->wake);
	}
	pthread_mutex_unlock(&pool->lock);
	return r;
}

int br_web_pool_start(struct br_web_pool *pool, unsigned n, unsigned max_waiting)
{
	int r = 0;

	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->wake, NULL);
	pool->max_waiting = max_waiting;
	while (pool->n_threads < n && pool->n_threads < BR_ARRAY_SIZE(pool->threads) && !r) {
		r = br_thread_start(&pool->threads[pool->n_threads], work, pool);
		pool->n_threads += !r;
	}
	return -r;
}

void br_web_pool_stop(struct br_web_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->wake);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->n_threads; i++)
		pthread_join(pool->threads[i], NULL);
}

void br_web_pool_done(struct br_web_pool *pool)
{
	pthread_cond_destroy(&pool->wake);
	pthread_mutex_destroy(&pool->lock);
}

/* ---- handlers that wait long ---- */

struct waiting {
	struct br_web *web;
	struct br_web_request *q;
	struct br_web_share *share;
};

static void *run_waiting(void *arg)
{
	struct waiting *w = arg;
	struct br_web *web = w->web;
	struct br_web_share *share = w->share;

	w->q->work(w->q);
	MHD_resume_connection(w->q->call.connection); /* the request may be gone from here on */
	free(w);
	br_web_share_give_back(&web->waits, share, 1);
	return NULL;
}

int br_web_wait_run(struct br_web *web, struct br_web_request *q)
{
	struct br_web_share *share = br_web_share_take(&web->waits, &q->call.who, 1);
	struct waiting *w = share ? malloc(sizeof(*w)) : NULL;
	pthread_t thread;

	if (!w) {
		br_web_share_give_back(&web->waits, share, 1);
		return -EAGAIN;
	}
	*w = (struct waiting){ web, q, share };
	MHD_suspend_connection(q->call.connection);
	if (br_thread_start(&thread, run_waiting, w)) {
		/* nothing may be queued for a suspended connection: it is asked again */
		br_api_refuse(&q->call, br_error_set(&q->err, EAGAIN, "no thread is to be had; try again in a moment"), &q->err);
		q->done = true;
		MHD_resume_connection(q->call.connection);
		free(w);
		br_web_share_give_back(&web->waits, share, 1);
		return 0;
	}
	pthread_detach(thread);
	return 0;
}

/* ---- long answers ---- */

#define PUMP_BYTES 65536

struct pump {
	struct br_web *web;
	struct MHD_Connection *connection;
	struct br_stream *stream;
	struct br_access_token *token;
	struct br_web_share *share;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	unsigned refs;		 /* its thread, its response */
	bool asleep, ended, failed, gone; /* gone: nobody takes it any more */
	size_t at, n;
	char buf[PUMP_BYTES];
};

static void pump_unref(struct pump *p)
{
	bool last;

	pthread_mutex_lock(&p->lock);
	last = !--p->refs;
	pthread_mutex_unlock(&p->lock);
	if (!last)
		return;
	br_access_unref(p->token);
	pthread_cond_destroy(&p->moved);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static void wake_connection(struct pump *p)
{
	if (p->asleep)
		MHD_resume_connection(p->connection);
	p->asleep = false;
}

/* In the thread of the connections. */
static ssize_t pump_read(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct pump *p = cls;
	ssize_t n = 0;

	pthread_mutex_lock(&p->lock);
	if (p->at < p->n) {
		n = (ssize_t)(p->n - p->at < max ? p->n - p->at : max);
		memcpy(buf, p->buf + p->at, (size_t)n);
		p->at += (size_t)n;
		pthread_cond_signal(&p->moved);
	} else if (p->ended) {
		n = p->failed ? MHD_CONTENT_READER_END_WITH_ERROR : MHD_CONTENT_READER_END_OF_STREAM;
	} else {
		p->asleep = true;
		MHD_suspend_connection(p->connection);
	}
	pthread_mutex_unlock(&p->lock);
	return n;
}

static void pump_close(void *cls)
{
	struct pump *p = cls;

	pthread_mutex_lock(&p->lock);
	p->gone = true;
	p->asleep = false;
	pthread_cond_signal(&p->moved);
	pthread_mutex_unlock(&p->lock);
	pump_unref(p);
}

/* Waits until the last piece was taken; false: nobody will. */
static bool wait_taken(struct pump *p)
{
	bool gone;

	pthread_mutex_lock(&p->lock);
	while (p->at < p->n && !p->gone)
		pthread_cond_wait(&p->moved, &p->lock);
	gone = p->gone;
	pthread_mutex_unlock(&p->lock);
	return !gone;
}

static bool is_valid(const struct pump *p)
{
	return br_access_valid(p->token, (int64_t)(br_wall_ns() / BR_S));
}

static void *pump_run(void *arg)
{
	struct pump *p = arg;
	struct br_web_shares *pumps = &p->web->pumps;
	struct br_web_share *share = p->share;
	uint64_t pos = 0;
	ssize_t n = 0;

	while (wait_taken(p) && is_valid(p)) {
		/* what is being made is not looked at before n is set */
		n = br_stream_read(p->stream, pos, p->buf, sizeof(p->buf));
		if (!is_valid(p))
			n = MHD_CONTENT_READER_END_OF_STREAM;
		pthread_mutex_lock(&p->lock);
		p->at = 0;
		p->n = n > 0 ? (size_t)n : 0;
		wake_connection(p);
		pthread_mutex_unlock(&p->lock);
		if (n < 0)
			break;
		pos += (uint64_t)n;
	}
	br_stream_free(p->stream);
	pthread_mutex_lock(&p->lock);
	p->ended = true;
	p->failed = n == MHD_CONTENT_READER_END_WITH_ERROR;
	wake_connection(p);
	pthread_mutex_unlock(&p->lock);
	pump_unref(p);
	br_web_share_give_back(pumps, share, 1);
	return NULL;
}

int br_web_pump(struct br_web *web, struct br_call *call, struct br_access_token *token, struct MHD_Response **ret)
{
	struct br_stream *stream = br_take(call->stream);
	struct br_web_share *share = br_web_share_take(&web->pumps, &call->who, 1);
	struct MHD_Response *response = NULL;
	pthread_t thread;
	struct pump *p;

	if (!share) {
		br_stream_free(stream);
		return -EAGAIN;
	}
	p = calloc(1, sizeof(*p));
	if (p) {
		p->web = web;
		p->connection = call->connection;
		p->stream = stream;
		p->token = token;
		p->share = share;
		p->refs = 2;
		pthread_mutex_init(&p->lock, NULL);
		pthread_cond_init(&p->moved, NULL);
		response = MHD_create_response_from_callback(br_stream_size(stream), PUMP_BYTES, pump_read, p, pump_close);
	}
	if (!response) {
		free(p);
		br_stream_free(stream);
		br_web_share_give_back(&web->pumps, share, 1);
		return -ENOMEM;
	}
	br_stream_describe(stream, response);
	if (token)
		atomic_fetch_add(&token->refs, 1);
	if (br_thread_start(&thread, pump_run, p)) {
		br_stream_free(stream);
		br_web_share_give_back(&web->pumps, share, 1);
		pump_unref(p);
		MHD_destroy_response(response); /* pump_close() */
		return -ENOMEM;
	}
	pthread_detach(thread);
	*ret = response;
	return 0;
}

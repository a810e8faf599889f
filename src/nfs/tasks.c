/* SPDX-License-Identifier: Apache-2.0 */
#include "nfs/tasks.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Of one worker; beyond, datagrams are lost and connections closed. */
#define TASKS_MAX      4096
#define LATE_BYTES_MAX (64u << 20) /* in calls that wait for slow work */

static void start(struct br_nfs_worker *w, struct br_nfs_task *task)
{
	task->w = w;
	w->n_tasks++;
	br_nfs_jobs_push(w->jobs, &task->job);
}

/* ---- commits ---- */

struct commit_task {
	struct br_nfs_task task; /* first */
	struct br_nfs_batch *batch;
};

static void run_commit(struct br_nfs_job *job)
{
	struct commit_task *t = (struct commit_task *)job;

	br_nfs_batch_commit(t->batch);
	br_nfs_worker_post(t->task.w, &t->task);
}

static void on_committed(void *ctx, struct br_nfs_reply *reply)
{
	struct br_nfs_conn *c = reply->owner;

	c->n_held--;
	br_nfs_conn_queue(ctx, c, reply);
	br_nfs_worker_flush_later(ctx, c);
}

static void commit_done(struct br_nfs_task *task)
{
	struct commit_task *t = (struct commit_task *)task;

	task->w->n_tasks--;
	br_nfs_core_finish(task->w->core, t->batch, on_committed, task->w);
	free(t);
}

void br_nfs_tasks_commit(struct br_nfs_worker *w)
{
	for (struct br_nfs_batch *b = br_nfs_core_take(w->core); b; b = br_nfs_core_take(w->core)) {
		struct commit_task *t = w->jobs ? calloc(1, sizeof(*t)) : NULL;

		if (!t) { /* no memory: everybody waits, but nothing is lost */
			br_nfs_batch_commit(b);
			br_nfs_core_finish(w->core, b, on_committed, w);
			continue;
		}
		t->task.job.run = run_commit;
		t->task.done = commit_done;
		t->batch = b;
		start(w, &t->task);
	}
}

/* ---- calls that need slow work first ---- */

struct late_task {
	struct br_nfs_task task; /* first */
	struct br_nfs_conn *conn;          /* NULL: a datagram */
	const struct br_nfs_socket *socket;
	struct sockaddr_in from;
	struct br_nfs_request req;
	struct br_nfs_slow slow;
	uint8_t data[]; /* the call */
};

static void run_late(struct br_nfs_job *job)
{
	struct late_task *t = (struct late_task *)job;

	br_nfs_slow_run(t->task.w->core, &t->req, &t->slow);
	br_nfs_worker_post(t->task.w, &t->task);
}

static void late_done(struct br_nfs_task *task)
{
	struct late_task *t = (struct late_task *)task;
	struct br_nfs_worker *w = task->w;
	struct br_nfs_reply *reply = NULL;
	int r = br_nfs_slow_finish(w->core, &t->req, &t->slow, &reply);

	w->n_tasks--;
	w->late_bytes -= t->req.len;
	if (t->conn) {
		t->conn->n_late--;
		if (br_nfs_conn_answer(w, t->conn, r, reply) < 0)
			br_nfs_conn_kill(w, t->conn);
		br_nfs_worker_flush_later(w, t->conn);
	} else if (r == BR_NFS_REPLY) {
		br_nfs_send_datagram(t->socket, &t->from, t->req.local_ip, reply);
		br_nfs_reply_free(reply);
	}
	free(t);
}

static struct late_task *late_new(struct br_nfs_worker *w, const struct br_nfs_request *req)
{
	bool fits = w->jobs && w->n_tasks < TASKS_MAX && req->len <= LATE_BYTES_MAX - w->late_bytes;
	struct late_task *t = fits ? malloc(sizeof(*t) + req->len) : NULL;

	if (!t)
		return NULL;
	w->late_bytes += req->len;
	*t = (struct late_task){ .req = *req, .slow = w->core->slow };
	t->task.job.run = run_late;
	t->task.done = late_done;
	memcpy(t->data, req->data, req->len);
	t->req.data = t->data;
	return t;
}

int br_nfs_tasks_call(struct br_nfs_worker *w, struct br_nfs_conn *c, const struct br_nfs_request *req)
{
	struct late_task *t = late_new(w, req);

	if (!t)
		return -ENOMEM;
	t->conn = c;
	c->n_late++;
	start(w, &t->task);
	return 0;
}

void br_nfs_tasks_datagram(struct br_nfs_worker *w, const struct br_nfs_socket *socket,
	const struct sockaddr_in *from, const struct br_nfs_request *req)
{
	struct late_task *t = late_new(w, req);

	if (!t)
		return;
	t->socket = socket;
	t->from = *from;
	start(w, &t->task);
}

/* ---- connections for another worker ---- */

struct adopt_task {
	struct br_nfs_task task; /* first */
	int fd;
	uint32_t ip;
	uint16_t port;
	unsigned services;
};

static void adopt_done(struct br_nfs_task *task)
{
	struct adopt_task *t = (struct adopt_task *)task;

	if (task->w->stopping)
		close(t->fd);
	else
		br_nfs_worker_adopt(task->w, t->fd, t->ip, t->port, t->services);
	free(t);
}

void br_nfs_tasks_adopt(struct br_nfs_worker *to, int fd, uint32_t ip, uint16_t port, unsigned services)
{
	struct adopt_task *t = malloc(sizeof(*t));

	if (!t) {
		close(fd);
		return;
	}
	*t = (struct adopt_task){
		.task = { .w = to, .done = adopt_done }, .fd = fd, .ip = ip, .port = port, .services = services
	};
	br_nfs_worker_post(to, &t->task);
}

/* ---- the inbox ---- */

void br_nfs_tasks_done(struct br_nfs_worker *w)
{
	struct br_nfs_task *task, *next;

	pthread_mutex_lock(&w->inbox_lock);
	task = br_take(w->inbox);
	w->inbox_last = &w->inbox;
	pthread_mutex_unlock(&w->inbox_lock);
	for (; task; task = next) {
		next = task->next;
		task->done(task);
	}
}

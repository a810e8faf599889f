/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "nfs/core.h"
#include "nfs/jobs.h"

/*
 * A worker: one thread with its connections and its core. A server has several; the first one has
 * the sockets and gives each connection to the worker of the client's address. So a client's
 * calls, whatever its connections, are answered by one thread, in turn, and its duplicate request
 * cache and counters are shared with nobody. What two workers both touch is the file systems (each
 * has a lock) and the inbox (tasks.h).
 *
 * One turn: take what is ready, answer it, start one commit per file system that was changed and
 * has none under way, in a job thread. Those that come in meanwhile make up the next commit. What
 * may take long (MNT, which opens a disk) is done in a job thread too.
 */

enum br_nfs_source_kind { /* what an epoll event is about */
	BR_NFS_WAKE,
	BR_NFS_LISTENER,
	BR_NFS_DATAGRAMS,
	BR_NFS_CONN,
};

struct br_nfs_socket {
	enum br_nfs_source_kind kind;
	int fd;
	unsigned services; /* enum br_nfs_service */
};

#define BR_NFS_SOCKETS_MAX      5
#define BR_NFS_CONNS_MAX        4096
#define BR_NFS_CONNS_PER_CLIENT 256
#define BR_NFS_SCRATCH_SIZE     (64u << 10)

struct br_nfs_task;

struct br_nfs_conn {
	enum br_nfs_source_kind kind; /* first: as in br_nfs_socket */
	int fd;
	unsigned services;
	uint32_t ip, local_ip;
	uint16_t port;
	uint32_t events; /* asked of epoll */
	bool dead, resuming, flushing;
	bool waiting;                      /* somebody is slow: timeouts are running */
	struct br_nfs_conn *older, *newer; /* by last activity */
	struct br_nfs_conn *next_dead, *next_resuming, *next_flushing;

	/* input: a record while its fragments come in */
	uint8_t mark[BR_RPC_MARK_SIZE];
	unsigned n_mark;
	bool in_fragment, last_fragment;
	uint32_t fragment_left;
	uint8_t *record;
	size_t record_len, record_cap;
	uint64_t record_since_ns; /* when its first byte came; 0: none is under way */
	uint8_t *backlog;         /* read, but not looked at until there is room for replies */
	size_t backlog_len;

	/* output */
	struct br_nfs_reply *out_first, **out_last;
	size_t out_sent;  /* bytes of out_first that are gone */
	size_t out_bytes; /* queued */
	unsigned n_held;       /* replies that wait for a commit; it stays in memory for them */
	unsigned n_late;       /* calls that wait for slow work; the same */
	uint64_t out_since_ns; /* last progress */
};

struct br_nfs_worker {
	struct br_nfs_core *core;
	struct br_nfs_jobs *jobs;       /* shared by all workers */
	struct br_nfs_worker *peers;    /* all workers, itself too */
	unsigned n_peers;
	int epoll_fd;
	struct br_nfs_socket wake;
	struct br_nfs_socket sockets[BR_NFS_SOCKETS_MAX];
	unsigned n_sockets;
	struct br_nfs_conn *oldest, *newest;
	struct br_nfs_conn *dead;       /* freed at the end of the turn, or when nothing is due to it */
	struct br_nfs_conn *resuming;   /* have a backlog and room again */
	struct br_nfs_conn *flushing;   /* got replies from the inbox */
	unsigned n_conns, n_waiting;
	unsigned n_tasks;  /* handed to job threads */
	size_t late_bytes; /* of calls among them */
	size_t bytes; /* in buffers of connections */
	uint64_t now_ns, swept_ns;
	bool accept_paused;
	pthread_mutex_t inbox_lock;
	struct br_nfs_task *inbox, **inbox_last;
	bool stop;     /* under inbox_lock */
	bool stopping; /* seen: no more calls are taken */
	uint8_t scratch[BR_NFS_SCRATCH_SIZE];
};

/* worker.c */

/* jobs NULL: commits are made here, nothing may be late. Alone until peers are set. */
int br_nfs_worker_init(struct br_nfs_worker *w, struct br_nfs_core *core, struct br_nfs_jobs *jobs);
/* After all workers ended. Closes the sockets. */
void br_nfs_worker_done(struct br_nfs_worker *w);
/* fd: non-blocking; the worker's from now on, also on failure. */
int br_nfs_worker_add(
	struct br_nfs_worker *w, enum br_nfs_source_kind kind, int fd, unsigned services);
/* Runs until told to stop and nothing is due from job threads. */
void br_nfs_worker_run(struct br_nfs_worker *w);
void br_nfs_worker_stop(struct br_nfs_worker *w);
/* In any thread: the task is done; the worker takes it from its inbox. */
void br_nfs_worker_post(struct br_nfs_worker *w, struct br_nfs_task *task);
/* An accepted connection is this worker's from now on, when there is a place for it. */
void br_nfs_worker_adopt(struct br_nfs_worker *w, int fd, uint32_t ip, uint16_t port, unsigned services);
/* To be flushed at the end of the turn. */
void br_nfs_worker_flush_later(struct br_nfs_worker *w, struct br_nfs_conn *c);

/* conn.c: a connection, from bytes to records to replies to bytes */

/* Adopts an accepted socket; closes it on failure. */
int br_nfs_conn_new(struct br_nfs_worker *w, int fd, uint32_t ip, uint16_t port, unsigned services);
/* Takes it out of everything; its memory goes at the end of the turn. */
void br_nfs_conn_kill(struct br_nfs_worker *w, struct br_nfs_conn *c);
void br_nfs_conn_free(struct br_nfs_conn *c);
void br_nfs_conn_on_events(struct br_nfs_worker *w, struct br_nfs_conn *c, uint32_t events);
/* Looks at the backlog again. */
void br_nfs_conn_resume(struct br_nfs_worker *w, struct br_nfs_conn *c);
void br_nfs_conn_queue(struct br_nfs_worker *w, struct br_nfs_conn *c, struct br_nfs_reply *reply);
/* What the core said to a call of it; negative: close it. */
int br_nfs_conn_answer(struct br_nfs_worker *w, struct br_nfs_conn *c, int answer, struct br_nfs_reply *reply);
/* Sends what is queued and asks epoll for what is wanted next. */
void br_nfs_conn_flush(struct br_nfs_worker *w, struct br_nfs_conn *c);
/* Has kept us waiting for too long. */
bool br_nfs_conn_overdue(const struct br_nfs_conn *c, uint64_t now_ns);
bool br_nfs_conn_idle(const struct br_nfs_conn *c);

/* udp.c */
void br_nfs_on_datagrams(struct br_nfs_worker *w, const struct br_nfs_socket *socket);
struct sockaddr_in;
/* In any thread. */
void br_nfs_send_datagram(const struct br_nfs_socket *socket, const struct sockaddr_in *to, uint32_t from_ip,
	const struct br_nfs_reply *reply);

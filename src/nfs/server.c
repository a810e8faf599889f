/* SPDX-License-Identifier: Apache-2.0 */
#include "nfs/server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/thread.h"
#include "nfs/listen.h"
#include "nfs/rpcbind.h"
#include "nfs/worker.h"

#define RPCBIND_PORT 111
#define PICK_TRIES 16 /* for a port number that is free for TCP and UDP */

#define WORKERS_MAX 16
#define JOB_THREADS 32 /* they sleep in syncs; the host's file system makes one journal commit of many at once */

struct br_nfs_server {
	struct br_nfs_options opt;
	struct br_nfs_jobs *jobs;
	unsigned n_workers, n_cores, n_threads; /* made so far */
	uint16_t nfs_port, mount_port;
	struct br_nfs_worker *workers; /* the first one has the sockets */
	struct br_nfs_core cores[WORKERS_MAX];
	pthread_t threads[WORKERS_MAX];
	struct br_rpcbind *rpcbind; /* of this machine, when it has port 111; else NULL */
};

static int add_socket(struct br_nfs_server *s, uint16_t *port, bool udp, const char *what,
	unsigned services, struct br_error *err)
{
	int fd, r = br_nfs_listen(s->opt.ip, port, udp, what, &fd, err);

	if (r < 0)
		return r;
	r = br_nfs_worker_add(&s->workers[0], udp ? BR_NFS_DATAGRAMS : BR_NFS_LISTENER, fd, services);
	return r < 0 ? br_error_set(err, -r, "NFS server: %s", br_error_text(NULL, r)) : 0;
}

/* The same port for TCP and UDP; when it is ours to pick, one that is free for both. */
static int add_pair(struct br_nfs_server *s, uint16_t *port, const char *what, unsigned services,
	struct br_error *err)
{
	int udp_fd = -1, tcp_fd = -1, r = -EADDRINUSE;
	uint16_t picked = *port;

	for (unsigned i = 0; r == -EADDRINUSE && i < (*port ? 1 : PICK_TRIES); i++) {
		picked = *port;
		r = br_nfs_listen(s->opt.ip, &picked, true, what, &udp_fd, err);
		if (r < 0)
			return r;
		r = br_nfs_listen(s->opt.ip, &picked, false, what, &tcp_fd, err);
		if (r < 0)
			close(udp_fd);
	}
	if (r < 0)
		return r;
	*port = picked;
	r = br_nfs_worker_add(&s->workers[0], BR_NFS_DATAGRAMS, udp_fd, services);
	if (r < 0)
		close(tcp_fd);
	else
		r = br_nfs_worker_add(&s->workers[0], BR_NFS_LISTENER, tcp_fd, services);
	return r < 0 ? br_error_set(err, -r, "NFS server: %s", br_error_text(NULL, r)) : 0;
}

/* Ours, or that of this machine, which is told of us. */
static int add_portmap(struct br_nfs_server *s, uint16_t port, struct br_error *err)
{
	int r = add_pair(s, &port, "port mapper", BR_NFS_PORTMAP, err);

	return r == -EADDRINUSE && port == RPCBIND_PORT ?
		br_rpcbind_register(s->nfs_port, s->mount_port, &s->rpcbind, err) : r;
}

static int add_sockets(struct br_nfs_server *s, struct br_error *err)
{
	uint16_t nfs = s->opt.nfs_port, mount = s->opt.mount_port,
		 portmap = s->opt.portmap_port;
	int r = add_socket(s, &nfs, false, "NFS", BR_NFS_NFS | BR_NFS_MOUNT, err);

	if (r < 0)
		return r;
	r = add_pair(s, &mount, "NFS MOUNT", BR_NFS_MOUNT, err);
	if (r < 0)
		return r;
	s->nfs_port = nfs;
	s->mount_port = mount;
	return portmap ? add_portmap(s, portmap, err) : 0;
}

static void *run(void *ctx)
{
	br_nfs_worker_run(ctx);
	return NULL;
}

/* Signals are the main thread's. The worker with the sockets is last: the others are there when it gives them
 * connections. */
static int start_threads(struct br_nfs_server *s)
{
	sigset_t all, old;
	int r = 0;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (r == 0 && s->n_threads < s->n_workers) {
		struct br_nfs_worker *w = &s->workers[s->n_workers - 1 - s->n_threads];

		r = -br_thread_start(&s->threads[s->n_threads], run, w);
		s->n_threads += r == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

/* More than processors: one that waits for the disk (a file that is not in memory) or for a lock leaves its
 * processor to another. */
static unsigned count_workers(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN) * 2;

	return n < 4 ? 4 : n > WORKERS_MAX ? WORKERS_MAX : (unsigned)n;
}

static int make_workers(struct br_nfs_server *s)
{
	unsigned n = count_workers();
	int r = 0;

	s->workers = malloc(n * sizeof(*s->workers));
	s->jobs = br_nfs_jobs_new(JOB_THREADS);
	if (!s->workers || !s->jobs)
		return -ENOMEM;
	while (r == 0 && s->n_workers < n) {
		struct br_nfs_core *core = &s->cores[s->n_cores];

		r = s->n_cores ? br_nfs_core_join(core, &s->cores[0]) : br_nfs_core_init(core, &s->opt);
		if (r < 0)
			break;
		core->defer = true;
		s->n_cores++;
		r = br_nfs_worker_init(&s->workers[s->n_workers], core, s->jobs);
		s->n_workers += r == 0;
	}
	for (unsigned i = 0; i < s->n_workers; i++) {
		s->workers[i].peers = s->workers;
		s->workers[i].n_peers = s->n_workers;
	}
	return r;
}

int br_nfs_server_start(
	const struct br_nfs_options *opt, struct br_nfs_server **ret, struct br_error *err)
{
	struct br_nfs_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return br_error_set(err, ENOMEM, "NFS server: out of memory");
	s->opt = *opt;
	r = make_workers(s);
	if (r < 0)
		br_error_set(err, -r, "NFS server: %s", br_error_text(NULL, r));
	else
		r = add_sockets(s, err);
	for (unsigned i = 0; i < s->n_cores; i++) {
		s->cores[i].nfs_port = s->nfs_port;
		s->cores[i].mount_port = s->mount_port;
	}
	if (r == 0) {
		r = start_threads(s);
		if (r < 0)
			br_error_set(err, -r, "NFS server: cannot start a thread: %s",
				br_error_text(NULL, r));
	}
	if (r < 0) {
		br_nfs_server_stop(s);
		return r;
	}
	*ret = s;
	return 0;
}

void br_nfs_server_stop(struct br_nfs_server *s)
{
	if (!s)
		return;
	br_rpcbind_unregister(s->rpcbind);
	for (unsigned i = 0; i < s->n_workers; i++)
		br_nfs_worker_stop(&s->workers[i]);
	for (unsigned i = 0; i < s->n_threads; i++)
		pthread_join(s->threads[i], NULL);
	br_nfs_jobs_free(s->jobs);
	for (unsigned i = 0; i < s->n_workers; i++)
		br_nfs_worker_done(&s->workers[i]);
	for (unsigned i = 0; i < s->n_cores; i++)
		br_nfs_core_done(&s->cores[i]);
	free(s->workers);
	free(s);
}

uint16_t br_nfs_server_port(const struct br_nfs_server *s)
{
	return s->nfs_port;
}

uint16_t br_nfs_server_mount_port(const struct br_nfs_server *s)
{
	return s->mount_port;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "nfs/server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "nfs/listen.h"
#include "nfs/worker.h"

#define PICK_TRIES 16 /* for a port number that is free for TCP and UDP */

struct br_nfs_server {
	struct br_nfs_core core;
	struct br_nfs_worker worker;
	pthread_t thread;
};

static int add_socket(struct br_nfs_server *s, uint16_t *port, bool udp, const char *what,
	unsigned services, struct br_error *err)
{
	int fd, r = br_nfs_listen(s->core.opt.ip, port, udp, what, &fd, err);

	if (r < 0)
		return r;
	r = br_nfs_worker_add(&s->worker, udp ? BR_NFS_DATAGRAMS : BR_NFS_LISTENER, fd, services);
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
		r = br_nfs_listen(s->core.opt.ip, &picked, true, what, &udp_fd, err);
		if (r < 0)
			return r;
		r = br_nfs_listen(s->core.opt.ip, &picked, false, what, &tcp_fd, err);
		if (r < 0)
			close(udp_fd);
	}
	if (r < 0)
		return r;
	*port = picked;
	r = br_nfs_worker_add(&s->worker, BR_NFS_DATAGRAMS, udp_fd, services);
	if (r < 0)
		close(tcp_fd);
	else
		r = br_nfs_worker_add(&s->worker, BR_NFS_LISTENER, tcp_fd, services);
	return r < 0 ? br_error_set(err, -r, "NFS server: %s", br_error_text(NULL, r)) : 0;
}

static int add_sockets(struct br_nfs_server *s, struct br_error *err)
{
	uint16_t nfs = s->core.opt.nfs_port, mount = s->core.opt.mount_port,
		 portmap = s->core.opt.portmap_port;
	int r = add_socket(s, &nfs, false, "NFS", BR_NFS_NFS | BR_NFS_MOUNT, err);

	if (r < 0)
		return r;
	r = add_pair(s, &mount, "NFS MOUNT", BR_NFS_MOUNT, err);
	if (r < 0)
		return r;
	if (portmap) {
		r = add_pair(s, &portmap, "port mapper", BR_NFS_PORTMAP, err);
		if (r < 0)
			return r;
	}
	s->core.nfs_port = nfs;
	s->core.mount_port = mount;
	return 0;
}

static void *run(void *ctx)
{
	struct br_nfs_server *s = ctx;

	br_nfs_worker_run(&s->worker);
	return NULL;
}

/* Signals are the main thread's. */
static int start_thread(struct br_nfs_server *s)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = -pthread_create(&s->thread, NULL, run, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

int br_nfs_server_start(
	const struct br_nfs_options *opt, struct br_nfs_server **ret, struct br_error *err)
{
	struct br_nfs_server *s = malloc(sizeof(*s));
	int r;

	if (!s)
		return br_error_set(err, ENOMEM, "NFS server: out of memory");
	r = br_nfs_core_init(&s->core, opt);
	if (r < 0) {
		free(s);
		return br_error_set(err, -r, "NFS server: %s", br_error_text(NULL, r));
	}
	r = br_nfs_worker_init(&s->worker, &s->core);
	if (r < 0) {
		br_nfs_core_done(&s->core);
		free(s);
		return br_error_set(err, -r, "NFS server: %s", br_error_text(NULL, r));
	}
	r = add_sockets(s, err);
	if (r == 0) {
		r = start_thread(s);
		if (r < 0)
			br_error_set(err, -r, "NFS server: cannot start a thread: %s",
				br_error_text(NULL, r));
	}
	if (r < 0) {
		br_nfs_worker_done(&s->worker);
		br_nfs_core_done(&s->core);
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void br_nfs_server_stop(struct br_nfs_server *s)
{
	if (!s)
		return;
	br_nfs_worker_stop(&s->worker);
	pthread_join(s->thread, NULL);
	br_nfs_worker_done(&s->worker);
	br_nfs_core_done(&s->core);
	free(s);
}

uint16_t br_nfs_server_port(const struct br_nfs_server *s)
{
	return s->core.nfs_port;
}

uint16_t br_nfs_server_mount_port(const struct br_nfs_server *s)
{
	return s->core.mount_port;
}

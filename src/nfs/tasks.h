/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <netinet/in.h>

#include "nfs/worker.h"

/*
 * What a worker hands to the job threads and gets back in its inbox: commits, calls that need slow work
 * first, and connections that another worker accepted. A task belongs to who is working on it; 'done' runs on the
 * worker and frees it.
 */
struct br_nfs_task {
	struct br_nfs_job job;
	struct br_nfs_task *next; /* in the inbox */
	struct br_nfs_worker *w;
	void (*done)(struct br_nfs_task *task);
};

/* Starts the commits of all that is held and not under way. */
void br_nfs_tasks_commit(struct br_nfs_worker *w);
/* After BR_NFS_LATER: the call of a connection. -ENOMEM. */
int br_nfs_tasks_call(struct br_nfs_worker *w, struct br_nfs_conn *c, const struct br_nfs_request *req);
/* The same for a datagram; answered through the socket, from req->local_ip. Lost without memory, as datagrams are. */
void br_nfs_tasks_datagram(struct br_nfs_worker *w, const struct br_nfs_socket *socket,
	const struct sockaddr_in *from, const struct br_nfs_request *req);
/* A connection for another worker: closed when it cannot be handed over. */
void br_nfs_tasks_adopt(struct br_nfs_worker *to, int fd, uint32_t ip, uint16_t port, unsigned services);
/* Takes what came into the inbox. */
void br_nfs_tasks_done(struct br_nfs_worker *w);

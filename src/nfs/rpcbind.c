/* SPDX-License-Identifier: Apache-2.0 */
#include "nfs/rpcbind.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "wire/portmap.h"
#include "wire/rpc.h"

#define PORT	    111
#define PORT_HIGH   1023 /* reserved ports, from here down to ... */
#define PORT_LOW    600	 /* ... here: below are services of all kinds */
#define TRIES	    3
#define TRY_MS	    500
#define N_MAPPINGS  5

struct br_rpcbind {
	int fd;
	uint32_t xid;
	unsigned n; /* of them are registered */
	struct br_portmap_mapping mappings[N_MAPPINGS];
};

static int open_socket(int *ret_fd)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	br_cleanup(br_closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r = -1;

	if (fd < 0)
		return -errno;
	for (int port = PORT_HIGH; r < 0 && port >= PORT_LOW; port--) {
		struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

		r = bind(fd, (struct sockaddr *)&own, sizeof(own));
		if (r < 0 && errno != EADDRINUSE)
			return -errno;
	}
	if (r < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		return -errno;
	*ret_fd = br_take_fd(fd);
	return 0;
}

/* The number that an accepted call gave, or -EBADMSG for anything else. */
static int parse(const uint8_t *data, size_t len, uint32_t xid, uint32_t *ret)
{
	struct br_reader r = br_reader_of(data, len);
	uint32_t got = br_get_be32(&r), kind = br_get_be32(&r), denied = br_get_be32(&r), accept, value;

	br_get_be32(&r); /* verifier: its flavour */
	br_reader_take(&r, br_get_be32(&r));
	accept = br_get_be32(&r);
	value = br_get_be32(&r);
	if (r.failed || got != xid || kind != 1 || denied || accept)
		return -EBADMSG;
	*ret = value;
	return 0;
}

/* One call and its answer. -ENOTCONN: none came. */
static int ask(struct br_rpcbind *rb, enum br_portmap_proc proc, const struct br_portmap_mapping *m, uint32_t *ret)
{
	uint8_t call[128], answer[512];
	struct br_writer w = br_writer_of(call, sizeof(call));
	struct br_rpc_call head = { ++rb->xid, BR_RPC_PORTMAP, 2, proc, { .flavor = BR_RPC_AUTH_NONE } };

	br_rpc_put_call(&w, &head);
	br_portmap_put_mapping(&w, m);
	for (int i = 0; i < TRIES; i++) {
		struct pollfd p = { .fd = rb->fd, .events = POLLIN };
		ssize_t n;

		if (send(rb->fd, call, w.len, 0) < 0)
			return errno == ECONNREFUSED ? -ENOTCONN : -errno;
		while (poll(&p, 1, TRY_MS) > 0) {
			n = recv(rb->fd, answer, sizeof(answer), 0);
			if (n < 0)
				return errno == ECONNREFUSED ? -ENOTCONN : -errno;
			if (!parse(answer, (size_t)n, rb->xid, ret))
				return 0;
		}
	}
	return -ENOTCONN;
}

static const char *name_of(uint32_t program)
{
	return program == BR_RPC_NFS ? "NFS" : "MOUNT";
}

static int set(struct br_rpcbind *rb, const struct br_portmap_mapping *m, struct br_error *err)
{
	uint32_t done = 0, port = 0;
	int r = ask(rb, BR_PORTMAP_SET, m, &done);

	if (!r && !done) /* somebody is there already: ourselves, before a crash? */
		r = ask(rb, BR_PORTMAP_GETPORT, m, &port);
	if (r < 0)
		return br_error_set(err, -r,
			"port 111 (port mapper) is in use, and what has it does not answer as rpcbind; 'ss -lpn' shows it");
	if (done || port == m->port)
		return 0;
	return br_error_set(err, EEXIST,
		"the rpcbind on this machine sends clients of %s to port %u, and refuses to send them to ours (%u): stop the other "
		"NFS server ('rpcinfo -p' shows it)", name_of(m->program), port, m->port);
}

int br_rpcbind_register(uint16_t nfs_port, uint16_t mount_port, struct br_rpcbind **ret, struct br_error *err)
{
	struct br_rpcbind *rb = calloc(1, sizeof(*rb));
	int r;

	if (!rb)
		return br_error_set(err, ENOMEM, "NFS server: out of memory");
	*rb = (struct br_rpcbind){ .fd = -1, .mappings = {
		{ BR_RPC_NFS, 3, BR_PORTMAP_TCP, nfs_port },
		{ BR_RPC_MOUNT, 3, BR_PORTMAP_TCP, mount_port }, { BR_RPC_MOUNT, 3, BR_PORTMAP_UDP, mount_port },
		{ BR_RPC_MOUNT, 1, BR_PORTMAP_TCP, mount_port }, { BR_RPC_MOUNT, 1, BR_PORTMAP_UDP, mount_port },
	} };
	br_random(&rb->xid, sizeof(rb->xid));
	r = open_socket(&rb->fd);
	if (r < 0)
		br_error_set(err, -r, "port 111 (port mapper) is in use, and rpcbind cannot be told of us: %s",
			br_error_text(NULL, r));
	for (; !r && rb->n < N_MAPPINGS; rb->n += !r)
		r = set(rb, &rb->mappings[rb->n], err);
	if (r < 0) {
		br_rpcbind_unregister(rb);
		return r;
	}
	*ret = rb;
	return 0;
}

/* UNSET takes a version of a program away for all protocols. */
void br_rpcbind_unregister(struct br_rpcbind *rb)
{
	uint32_t done;

	if (!rb)
		return;
	for (unsigned i = 0; i < rb->n; i++)
		if (ask(rb, BR_PORTMAP_UNSET, &rb->mappings[i], &done) < 0)
			break; /* it is gone, and its list with it */
	if (rb->fd >= 0)
		close(rb->fd);
	free(rb);
}

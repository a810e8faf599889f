/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The load generator's inside, shared by nfsload*.c: clients on libnfs's raw calls, one thread, one poll loop. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <nfsc/libnfs.h>
#include <nfsc/libnfs-raw.h>
#include <nfsc/libnfs-raw-mount.h>
#include <nfsc/libnfs-raw-nfs.h>

struct nfsload_fh {
	uint32_t len;
	char data[64];
};

struct nfsload_options {
	const char *address;   /* of the first client and the server it talks to; the next ones have the next addresses */
	int nfs_port, mount_port;
	const char *export;    /* "%u" in it becomes the client's number, from 0 */
	unsigned n_clients;
	unsigned window;       /* calls under way per client */
	uint32_t io_size;      /* bytes per READ or WRITE */
};

struct nfsload_client {
	unsigned index;
	char address[16], export[256];
	struct rpc_context *rpc;
	struct nfsload_fh root;
	unsigned n_waiting; /* calls without an answer */
	bool ended;
	void (*next)(struct nfsload_client *c); /* sends what may be sent now; sets 'ended' */
	void *mode;                             /* of the mode */
};

/* Ends the program with words. */
__attribute__((noreturn, format(printf, 1, 2))) void nfsload_die(const char *fmt, ...);
/* libnfs took the call; it counts until nfsload_answered(). */
void nfsload_sent(struct nfsload_client *c, int r, const char *what);
/* First thing in every callback: the transport's status, then the NFS status when 'want' is not negative. */
void nfsload_answered(struct nfsload_client *c, int status, const void *data, int want, const char *what);

/* Connects and mounts all clients one after the other. */
struct nfsload_client *nfsload_mount(const struct nfsload_options *opt);
void nfsload_connect(struct nfsload_client *c, const struct nfsload_options *opt);
/* A path of components from the root; waits for the answers. False: no such file. */
bool nfsload_walk(struct nfsload_client *c, const char *path, struct nfsload_fh *ret, uint64_t *ret_size);
/* Runs all clients until all ended and nothing waits. Seconds it took. */
double nfsload_run(struct nfsload_client *clients, unsigned n);
/* Until this client has no call waiting. */
void nfsload_wait(struct nfsload_client *c);
void nfsload_close(struct nfsload_client *clients, unsigned n);

double nfsload_seconds(void);
static inline nfs_fh3 nfsload_fh3(struct nfsload_fh *fh)
{
	return (nfs_fh3){ .data = { fh->len, fh->data } };
}
void nfsload_keep_fh(struct nfsload_fh *to, const nfs_fh3 *from);

/* The modes: the words behind the options; print one JSON object. */
void nfsload_read(const struct nfsload_options *opt, int argc, char **argv);
void nfsload_small(const struct nfsload_options *opt, int argc, char **argv);
void nfsload_write(const struct nfsload_options *opt, int argc, char **argv);
void nfsload_replay(const struct nfsload_options *opt, int argc, char **argv);

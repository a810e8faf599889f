/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "store/fs.h"

/*
 * NFSv3, MOUNT v3 (v1 for UMNT and old clients' NULL) and portmap v2 over TCP, portmap and MOUNT
 * over UDP too (RFC 1813, 1833, 5531). The daemon says through the operations who may see what.
 *
 * Threads: the server runs its own; operations are called from several of them at once, mount always
 * from one that may take its time.
 */
struct br_nfs_server;

/* A file system shown to one client, held while a request uses it. */
struct br_nfs_export {
	uint8_t id[16]; /* goes into file handles */
	struct br_fs *fs;
	pthread_mutex_t *lock; /* held by the server around calls to fs */
	bool read_only;
	void *ref; /* the owner's */
	int kind;  /* too */
	bool beside; /* an area beside the client's root: its troubles are not the root's */
	/* By mount only: the directory below the root that the client mounts (a part of 'path',
	 * say). NULL: the root. */
	const char *dir;
};

/* What the answers to a client show: its root is not what its system expects. Of areas beside it: STALE, READ_ONLY, NO_SPACE, IO. */
enum br_nfs_trouble {
	BR_NFS_TROUBLE_STALE,	   /* a handle of a disk that is no more */
	BR_NFS_TROUBLE_READ_ONLY,  /* it wants to change what it may not */
	BR_NFS_TROUBLE_NO_INIT,	   /* looks for sbin or init, which are not there, before anything was read */
	BR_NFS_TROUBLE_DENIED,	   /* may not look or read, before it really started */
	BR_NFS_TROUBLE_SMALL_READS, /* nothing but READs of 4096 bytes */
	BR_NFS_TROUBLE_NO_SPACE,    /* writes fail: no room on its disk, or on the host */
	BR_NFS_TROUBLE_IO,	   /* a call failed for good: damage, or the host's disk */
	BR_NFS_N_TROUBLES,
};

struct br_nfs_ops {
	/* MNT of a path by a client address: -EACCES, -ENOENT ... with words for the log. */
	int (*mount)(void *ctx, uint32_t ip, const char *path, struct br_nfs_export *ret,
		struct br_error *err);
	/* The export with this id for this client: -ESTALE when it is not its own or gone, which the
	 * client takes as final; -EAGAIN or -ENOMEM when it should ask again. Called for each
	 * request. -EINPROGRESS when it may not wait and the answer takes more than a look (a disk
	 * to open): it is then asked again, in another thread, where it may. */
	int (*find)(void *ctx, uint32_t ip, const uint8_t id[static 16], bool may_wait,
		struct br_nfs_export *ret);
	void (*release)(void *ctx, struct br_nfs_export *export);
	/* What a client may mount: fn is called with each path, and returns 0 to go on. For MOUNT EXPORT; called where mount
	 * is. NULL: nothing is told. */
	int (*exports)(void *ctx, uint32_t ip, int (*fn)(void *ctx, const char *path), void *fn_ctx);
	/* What a client has read and written so far, for timelines: at its first READ, its first
	 * WRITE, and at most once a second while they go on. No export is locked. May be NULL. */
	void (*activity)(void *ctx, uint32_t ip, uint64_t reads, uint64_t read_bytes,
		uint64_t writes, uint64_t written_bytes);
	/* The server itself turned a client away, for a reason a person should know (its source
	 * port, a version of a protocol that is not served); not for what mount and find said. At
	 * most once in ten seconds per client. No export is locked. May be NULL. */
	void (*refused)(void *ctx, uint32_t ip, const char *why);
	/* At most once in ten seconds per client and kind, its root's and others' apart. Of the export, which was released,
	 * only id and kind say something; NULL: of a handle that leads to none. No export is locked. May be NULL. */
	void (*trouble)(void *ctx, uint32_t ip, enum br_nfs_trouble what, const struct br_nfs_export *export);
};

struct br_nfs_options {
	uint32_t ip;            /* 0: any */
	uint16_t nfs_port;      /* 2049; 0 picks */
	uint16_t mount_port;    /* 20048; 0 picks */
	uint16_t portmap_port;  /* 111; 0: no portmapper of ours */
	bool allow_high_ports;  /* accept source ports >= 1024 (else MNT and NFS are refused: any
				   user of a board could claim uid 0) */
	uint8_t handle_key[16]; /* file handles carry a keyed check (SipHash); stable over restarts
				 */
	const struct br_nfs_ops *ops;
	void *ctx;
};

int br_nfs_server_start(
	const struct br_nfs_options *opt, struct br_nfs_server **ret, struct br_error *err);
void br_nfs_server_stop(struct br_nfs_server *server);
uint16_t br_nfs_server_port(const struct br_nfs_server *server);
uint16_t br_nfs_server_mount_port(const struct br_nfs_server *server);

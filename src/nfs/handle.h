/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * What is in a file handle: which export, which inode, which life of the inode number. The client
 * keeps it for weeks and over restarts of the server. A SipHash over it keeps anyone from making up
 * handles to inodes that no directory led them to.
 */
struct br_nfs_handle {
	uint8_t export_id[16];
	uint64_t ino;
	uint32_t generation;
};

#define BR_NFS_HANDLE_SIZE 40 /* bytes on the wire; NFSv3 allows 64 */

void br_nfs_handle_put(const uint8_t key[static 16], const struct br_nfs_handle *handle,
	uint8_t out[static BR_NFS_HANDLE_SIZE]);
/* -EBADMSG when it was not made with this key. */
int br_nfs_handle_get(
	const uint8_t key[static 16], const void *data, size_t len, struct br_nfs_handle *ret);

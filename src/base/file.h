/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Whole file into a fresh buffer (free()), terminated with a NUL that is not counted. -EFBIG above max. */
int br_file_read(const char *path, size_t max, char **ret, size_t *ret_len, struct br_error *err);
/* Temporary file beside it, fsync, rename, fsync of the directory: all or nothing. */
int br_file_write(const char *path, const void *data, size_t len, mode_t mode, struct br_error *err);
/* As mkdir -p; an existing directory is success. */
int br_mkdir_all(const char *path, mode_t mode, struct br_error *err);
/* Removes a tree without following links or leaving its file system. Missing is success. */
int br_remove_tree(const char *path, struct br_error *err);
/* fsync of a directory, so that a rename in it lasts. */
int br_sync_dir(const char *path);
/* The same of the directory that a path is in. */
int br_sync_parent(const char *path);

/*
 * openat2(2): a descriptor, closed at exec, or a negative errno. resolve: RESOLVE_BENEATH and others of
 * <linux/openat2.h>. -ENOSYS: the kernel is older than 5.6, or a filter of system calls does not know it.
 */
int br_open_resolved(int dir_fd, const char *path, int flags, mode_t mode, uint64_t resolve);

/* The whole range or a negative errno (-EIO at an early end of file). */
int br_pread_all(int fd, void *buf, size_t n, uint64_t offset);
int br_pwrite_all(int fd, const void *buf, size_t n, uint64_t offset);
int br_write_all(int fd, const void *buf, size_t n);

/* dir + "/" + name in fresh memory (free()), NULL when memory is out. */
char *br_path_join(const char *dir, const char *name);

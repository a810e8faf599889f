/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside of src/backup: the tar being written, and one being read. */
#include <archive.h>
#include <archive_entry.h>
#include <stddef.h>

#include "backup/backup.h"
#include "base/hash.h"
#include "base/progress.h"

struct br_backup_out {
	struct archive *archive;
	int fd;
	const char *name;
	json_t *files; /* of the manifest */
	uint64_t bytes, n;
	struct br_progress progress;
	const bool *cancelled;
};

int br_backup_out_open(struct br_backup_out *out, int fd, const char *name, struct br_error *err);
/* A file of this machine under another path; one that is gone by now is passed over (1). */
int br_backup_out_file(struct br_backup_out *out, const char *from, const char *path, struct br_error *err);
int br_backup_out_bytes(struct br_backup_out *out, const char *path, const void *data, size_t n, struct br_error *err);
/* A plain file or all in a directory. skip (may be NULL): names not to be taken, at any depth. */
int br_backup_out_tree(struct br_backup_out *out, const char *from, const char *path, bool (*skip)(const char *path), struct br_error *err);
int br_backup_out_close(struct br_backup_out *out, struct br_error *err);

/* Called for each file of a tar: data in pieces, and at its end (data NULL) once. */
struct br_backup_in {
	void *ctx;
	int (*begin)(void *ctx, const char *path, uint64_t size, unsigned mode, struct br_error *err);
	int (*data)(void *ctx, uint64_t at, const void *data, size_t n, struct br_error *err);
	int (*end)(void *ctx, const char *path, struct br_error *err);
};
/* Reads it to its end, compares with the manifest. */
int br_backup_read(const char *file, const struct br_backup_in *in, bool quiet, json_t **ret_manifest, struct br_error *err);
/* A database's file itself, by SQLite: whole, and of a schema that we know. */
int br_backup_check_database(const char *path, struct br_error *err);
/* A path of a tar that stays where it belongs: relative, no "..", no "//", below state/ or config/ or the manifest. */
bool br_backup_path_ok(const char *path);
/* The manifest's own form: -EBADMSG with words. For the fuzz target, too. */
int br_backup_manifest_parse(const char *text, size_t n, json_t **ret, struct br_error *err);

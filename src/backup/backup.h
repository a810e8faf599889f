/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/client.h"
#include "base/error.h"

/*
 * A state directory in one file: a tar (.tar.zst, .tar.xz or .tar, read by tar(1)) of
 *
 *   state/bramble.db          as at one moment, by SQLite's backup, while the daemon goes on
 *   state/...                 keys and all other files but logs, sockets and locks
 *   state/images, layers      with 'images': disk.img and frozen layers; else what is known of them in images/NAME.json
 *   state/disks               with 'disks': each persistent disk and area, frozen, as at one moment each; and the layers under them
 *   config/...                bramble.conf, overrides, files for roots, ssh keys
 *   MANIFEST.json             the last: "format", "bramble", "schema", "made_at", "host", "with", "images", and for every file
 *                             its path, size and SHA-256. A file that was cut has none.
 */
#define BR_BACKUP_FORMAT 1
#define BR_BACKUP_MANIFEST "MANIFEST.json"
#define BR_BACKUP_MANIFEST_MAX (256u << 20)

struct br_backup_options {
	const char *state;  /* directory */
	const char *config; /* directory of the configuration, as /etc/bramble; NULL: none */
	struct br_client *client; /* the daemon on it; NULL: none runs, and the caller holds its lock */
	bool images, disks, quiet;
	const bool *cancelled; /* may be NULL */
};

struct br_backup_result {
	uint64_t files, bytes, stored; /* bytes: before packing; stored: the file's size */
	char sha256[65];	       /* of the file */
};

/* Writes FILE (mode 0600) and reads it back before it has its name. -EEXIST, -ENOSPC, -EINVAL (its ending), -ECANCELED. */
int br_backup_write(const char *file, const struct br_backup_options *opt, struct br_backup_result *ret, struct br_error *err);

/* Reads all of it: every hash, every size, nothing missing. ret_manifest (may be NULL): for json_decref(). -EBADMSG with words. */
int br_backup_check(const char *file, bool quiet, json_t **ret_manifest, struct br_error *err);

struct br_restore_options {
	const char *state;
	const char *config; /* where the configuration goes; NULL: it stays in the file */
	uint32_t uid, gid;  /* whom it is to belong to, when we are root; 0: ourselves */
	bool quiet;
};

/*
 * Into a state directory that has no database and that no daemon serves: checked as by br_backup_check(), extracted beside, its hashes
 * checked again, then moved into place by renames, bramble.db last. What is in the way is never replaced (an image of the same
 * content is kept), but for the leftovers of a restore that was interrupted. -EEXIST, -EBUSY, -EPROTO (of a newer bramble).
 */
int br_backup_restore(const char *file, const struct br_restore_options *opt, json_t **ret_manifest, struct br_error *err);

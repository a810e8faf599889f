/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/*
 * Moving in: what other programs' files say of boards (dnsmasq, ISC dhcpd, NFS exports, hosts, ethers, CSV, trees of
 * boot files and NFS roots), put together into a plan of boards, images, shares, settings and overrides. Nothing is changed
 * here and no daemon is asked; the plan is carried out by who has read it (cli/importapply.c).
 */
struct br_import;

#define BR_IMPORT_FILE_MAX  (16u << 20) /* bytes of one file */
#define BR_IMPORT_LINE_MAX  (64u << 10)
#define BR_IMPORT_FILES_MAX 2000
#define BR_IMPORT_DEPTH_MAX 16 /* files that include files */
#define BR_IMPORT_RECORDS_MAX 65536

/* Where files come from. */
struct br_import_io {
	void *ctx;
	/* As br_file_read() with BR_IMPORT_FILE_MAX. */
	int (*read)(void *ctx, const char *path, char **ret, size_t *ret_len, struct br_error *err);
	/* The names in a directory but '.' and '..', sorted, with their number: free() each and the array. -ENOTDIR. */
	int (*list)(void *ctx, const char *dir, char ***ret, size_t *ret_n, struct br_error *err);
	/* The path without links, for telling files that include themselves; free(). NULL: cannot be told. */
	char *(*real)(void *ctx, const char *path);
};

struct br_import_how {
	const char *root; /* absolute paths inside of files are looked for below it; NULL: "/" */
	bool all;	  /* MACs that are not of Raspberry Pi's blocks are boards, too */
	const struct br_import_io *io; /* NULL: the files of this machine. Outlives the import */
};

int br_import_new(const struct br_import_how *opt, struct br_import **ret, struct br_error *err);
void br_import_free(struct br_import *im);

/*
 * Reads a file or a directory, whose kind is told by its content, and all it includes. -EINVAL with words when it is none
 * of those known, or no text; -ELOOP: files include each other in a circle; -EFBIG: beyond the limits above.
 */
int br_import_path(struct br_import *im, const char *path, struct br_error *err);

/*
 * All that was read, merged: an object for json_decref(). docs/schema/import.json describes it:
 *   files      path, format
 *   boards     name, mac, serial, address, model, image, tags, power, notes, root (of NFS), from (places "FILE:LINE")
 *   images     name, source (a file or a directory), kind (file, root, name), boards (names)
 *   shares     name, dir, mode, from
 *   settings   key, value, from: for [serve] of bramble.conf
 *   overrides  board, path, and either text (the whole file) or adds (words for the command line), why, from
 *   conflicts, left (what is not taken over), notes      at, what, why
 * To be called once.
 */
int br_import_plan(struct br_import *im, json_t **ret, struct br_error *err);

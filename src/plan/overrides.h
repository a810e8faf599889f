/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "store/fat.h"

/*
 * The overrides directory: boot files that people put over what an image has and a plan makes,
 *
 *   DIR/<board>/config.txt   for one board
 *   DIR/all/config.txt       for every board, and for clients that are no board
 *
 * Contents are read into memory when a plan is made and stay as they were then: what is edited later counts from
 * the next boot. Plans share the memory of a file that did not change between them.
 *
 * Whoever may write there decides what boards boot, but not what else of this machine they get: no path and no
 * symbolic link leads out of DIR (links inside are followed, so that DIR/pi07 may point to a directory shared by a
 * group). Hidden files (".config.txt.swp") and backups ("config.txt~") are passed over.
 */
struct br_overrides;

#define BR_OVERRIDES_FILES_MAX 1024	       /* of one board */
#define BR_OVERRIDES_BYTES_MAX (256ull << 20)  /* of one board, together */
#define BR_OVERRIDES_DEPTH_MAX 8

/*
 * A directory of the same form may hold files for boards' root file systems (root: true): there names are exact, hidden
 * files count, and symbolic links below DIR/<board>/ are given to the board as links, wherever they lead there.
 */

/* dir is opened at each reading, so it may come and go. */
int br_overrides_new(const char *dir, bool root, struct br_overrides **ret, struct br_error *err);
/* Sets read from it may live on. */
void br_overrides_free(struct br_overrides *overrides);

/* What one board gets. Immutable; one owner. */
struct br_override_set;

struct br_override {
	const char *path;  /* as a boot file: '/' between parts, none in front */
	const char *layer; /* "pi07", "all": the directory it came from */
	struct br_span span;
	uint32_t mode; /* permissions of the file */
	bool symlink;  /* span is its target */
};

/*
 * Reads the directories 'layers' (names directly below DIR, which must outlive the set), the strongest first. A
 * directory that is not there is empty. What cannot be taken (not readable, a link that leads outside, no plain file,
 * over the limits above) is left out and named in br_override_set_problem(): one wrong file does not keep a fleet from
 * booting. -ENOMEM only. From any thread.
 */
int br_overrides_read(struct br_overrides *overrides, const char *const *layers, size_t n_layers,
	struct br_override_set **ret, struct br_error *err);
void br_override_set_free(struct br_override_set *set);

/* Letters compare as FAT does (ASCII), or exactly in a set for the root. NULL: none, also for a NULL set. */
const struct br_override *br_override_find(const struct br_override_set *set, const char *path);
/* Sorted by path, in order i = 0, 1, ... NULL at the end. */
const struct br_override *br_override_at(const struct br_override_set *set, size_t i);
/* Words on what was left out; NULL when nothing was. */
const char *br_override_set_problem(const struct br_override_set *set);

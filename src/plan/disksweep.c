/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/disksweep.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "store/image.h"

BR_DEFINE_CLEANUP(DIR *, closedir);
BR_DEFINE_CLEANUP(struct br_store *, br_store_close);

static int sweep_board(const char *state_dir, const char *dir, struct br_error *err)
{
	br_cleanup(closedirp) DIR *d = opendir(dir);
	struct dirent *e;
	int n = 0;

	if (!d)
		return errno == ENOENT || errno == ENOTDIR ? 0 : br_error_set(err, errno, "directory %s: %s", dir, strerror(errno));
	while ((e = readdir(d))) {
		br_cleanup(br_freep) char *path = NULL;
		int r;

		if (!br_str_starts(e->d_name, "copy-"))
			continue;
		path = br_path_join(dir, e->d_name);
		if (!path)
			return br_error_set(err, ENOMEM, "out of memory");
		r = br_remove_tree(path, err);
		if (r < 0)
			return r;
		n++;
	}
	return n;
}

static bool is_dead_shell(const char *name)
{
	uint64_t pid;

	return br_str_starts(name, "shell-") && !br_parse_u64(name + 6, 1, INT32_MAX, &pid) && kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

/* The image goes first: as long as its name is known, another sweep finds it. */
static int sweep_shell(const char *state_dir, const char *dir, struct br_error *err)
{
	br_cleanup(br_freep) char *file = br_path_join(dir, BR_SHELL_IMAGE), *name = NULL;
	br_cleanup(br_store_closep) struct br_store *store = NULL;
	int r;

	if (!file)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_file_read(file, BR_IMAGE_NAME_MAX, &name, NULL, NULL);
	if (!r && br_str_starts(name, "shell-") && !br_image_name_check(name, NULL)) {
		r = br_store_open(state_dir, &store, err);
		if (!r)
			r = br_store_remove(store, name, err);
		if (r < 0 && r != -ENOENT)
			return r;
	}
	r = br_remove_tree(dir, err);
	return r < 0 ? r : 1;
}

/* Calls sweep for each entry of STATE/disks that is chosen; the sum of what it gives. */
static int each(const char *state_dir, bool (*chosen)(const char *name),
	int (*sweep)(const char *state_dir, const char *dir, struct br_error *err), struct br_error *err)
{
	br_cleanup(br_freep) char *disks = br_path_join(state_dir, "disks");
	br_cleanup(closedirp) DIR *d = NULL;
	struct dirent *e;
	int n = 0;

	if (!disks)
		return br_error_set(err, ENOMEM, "out of memory");
	d = opendir(disks);
	if (!d)
		return errno == ENOENT ? 0 : br_error_set(err, errno, "directory %s: %s", disks, strerror(errno));
	while ((e = readdir(d))) {
		br_cleanup(br_freep) char *dir = chosen(e->d_name) ? br_path_join(disks, e->d_name) : NULL;
		int r = dir ? sweep(state_dir, dir, err) : 0;

		if (r < 0)
			return r;
		n += r;
	}
	return n;
}

int br_disks_sweep_shells(const char *state_dir, struct br_error *err)
{
	return each(state_dir, is_dead_shell, sweep_shell, err);
}

static bool is_board(const char *name)
{
	return isdigit((unsigned char)name[0]);
}

int br_disks_sweep(const char *state_dir, struct br_error *err)
{
	return each(state_dir, is_board, sweep_board, err);
}

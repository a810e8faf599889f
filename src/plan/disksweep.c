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

BR_DEFINE_CLEANUP(DIR *, closedir);

static int sweep_board(const char *dir, struct br_error *err)
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

/* "shell-PID": where 'bramble disk shell' works, when its process is no more. */
static bool is_dead_shell(const char *name)
{
	uint64_t pid;

	return br_str_starts(name, "shell-") && !br_parse_u64(name + 6, 1, INT32_MAX, &pid) && kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

int br_disks_sweep(const char *state_dir, struct br_error *err)
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
		br_cleanup(br_freep) char *dir = NULL;
		int r;

		if (is_dead_shell(e->d_name)) {
			br_cleanup(br_freep) char *left = br_path_join(disks, e->d_name);

			if (left && br_remove_tree(left, err) < 0)
				return err ? -err->code : -EIO;
			n++;
		}
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		dir = br_path_join(disks, e->d_name);
		if (!dir)
			return br_error_set(err, ENOMEM, "out of memory");
		r = sweep_board(dir, err);
		if (r < 0)
			return r;
		n += r;
	}
	return n;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The state directory: where it is and whose it is. */
#include "base/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define SYSTEM_STATE "/var/lib/bramble"

static int absolute(const char *path, char **ret, struct br_error *err)
{
	br_cleanup(br_freep) char *cwd = NULL;
	char *p;

	if (!*path)
		return br_error_set(err, EINVAL, "state directory: the name is empty; give --state DIR");
	if (*path == '/') {
		p = strdup(path);
	} else {
		cwd = getcwd(NULL, 0);
		if (!cwd)
			return br_error_set(err, errno,
				"state directory %s: cannot tell the current directory: %m; give an absolute path", path);
		p = br_path_join(cwd, path);
	}
	if (!p)
		return br_error_set(err, ENOMEM, "state directory %s: out of memory", path);
	/* "DIR/" and "DIR" are one directory, and one lock */
	for (size_t n = strlen(p); n > 1 && p[n - 1] == '/'; n--)
		p[n - 1] = 0;
	*ret = p;
	return 0;
}

static const char *env(const char *name)
{
	const char *s = getenv(name);

	return s && *s ? s : NULL;
}

int br_state_dir(const char *given, char **ret, struct br_error *err)
{
	br_cleanup(br_freep) char *path = NULL;
	const char *home;

	if (given)
		return absolute(given, ret, err);
	if (env("BRAMBLE_STATE"))
		return absolute(env("BRAMBLE_STATE"), ret, err);
	if (geteuid() == 0 || access(SYSTEM_STATE, W_OK) == 0)
		return absolute(SYSTEM_STATE, ret, err);
	home = env("XDG_STATE_HOME");
	if (home && *home == '/') { /* the XDG rules: a relative path is to be ignored */
		path = br_path_join(home, "bramble");
	} else {
		home = env("HOME");
		if (!home)
			return br_error_set(err, ENOENT,
				"state directory: neither BRAMBLE_STATE, XDG_STATE_HOME nor HOME is set; give --state DIR");
		path = br_path_join(home, ".local/state/bramble");
	}
	if (!path)
		return br_error_set(err, ENOMEM, "state directory: out of memory");
	return absolute(path, ret, err);
}

int br_state_own(const char *state_dir, const char *path, struct br_error *err)
{
	struct stat st;

	if (geteuid() != 0)
		return 0;
	if (stat(state_dir, &st) < 0)
		return br_error_set(err, errno, "%s: cannot tell its owner: %m", state_dir);
	if (st.st_uid == 0 && st.st_gid == 0)
		return 0;
	if (lchown(path, st.st_uid, st.st_gid) < 0)
		return br_error_set(err, errno, "%s: cannot give it to the owner of %s: %m", path, state_dir);
	return 0;
}

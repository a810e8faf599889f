/* SPDX-License-Identifier: Apache-2.0 */
/* Where the API's Unix socket is, and how it is bound. */
#include "api/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "api/server.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define SYSTEM_STATE "/var/lib/bramble"
#define SYSTEM_RUN "/run/bramble"

char *br_api_socket_path(const char *state_dir)
{
	struct stat st;

	if (!strcmp(state_dir, SYSTEM_STATE) && !stat(SYSTEM_RUN, &st) && S_ISDIR(st.st_mode))
		return br_path_join(SYSTEM_RUN, "api.sock");
	return br_path_join(state_dir, "api.sock");
}

int br_api_socket_short(const char *path, int *ret_fd, char *out, size_t size, struct br_error *err)
{
	const char *slash = strrchr(path, '/');
	br_cleanup(br_freep) char *dir = NULL;
	int fd, n;

	if (strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path) && strlen(path) < size) {
		strcpy(out, path);
		*ret_fd = -1;
		return 0;
	}
	dir = slash && slash > path ? strndup(path, (size_t)(slash - path)) : strdup("/");
	if (!slash || !dir)
		return br_error_set(err, slash ? ENOMEM : ENAMETOOLONG, "socket %s: cannot be used", path);
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return br_error_set(err, errno, "directory %s: %s", dir, strerrordesc_np(errno));
	n = snprintf(out, size, "/proc/self/fd/%d/%s", fd, slash + 1);
	if (n < 0 || (size_t)n >= size) {
		close(fd);
		return br_error_set(err, ENAMETOOLONG, "socket %s: the file name is too long", path);
	}
	*ret_fd = fd;
	return 0;
}

/* Only a socket is ever replaced. */
static int remove_stale(const char *path, struct br_error *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0
				       : br_error_set(err, errno, "socket %s: %s", path, strerrordesc_np(errno));
	if (!S_ISSOCK(st.st_mode))
		return br_error_set(err, EEXIST,
			"socket %s: a file that is no socket is in the way; move it away", path);
	if (unlink(path) < 0)
		return br_error_set(err, errno, "socket %s: cannot replace it: %s", path,
			strerrordesc_np(errno));
	return 0;
}

int br_api_socket_listen(const char *path, struct br_error *err)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	br_cleanup(br_closep) int dir_fd = -1;
	br_cleanup(br_closep) int fd = -1;
	int r = br_api_socket_short(path, &dir_fd, sa.sun_path, sizeof(sa.sun_path), err);

	if (r < 0)
		return r;
	r = remove_stale(path, err);
	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* the mode of the descriptor becomes the file's, so it is never open to more */
	if (fd < 0 || fchmod(fd, 0660) < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
		chmod(path, 0660) < 0 || listen(fd, 64) < 0)
		return br_error_set(err, errno, "socket %s: %s", path, strerrordesc_np(errno));
	return br_take_fd(fd);
}

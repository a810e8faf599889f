/* SPDX-License-Identifier: Apache-2.0 */
/* Files: whole reads and writes, trees, positions. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

int br_file_read(const char *path, size_t max, char **ret, size_t *ret_len, struct br_error *err)
{
	br_cleanup(br_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	br_cleanup(br_freep) char *buf = NULL;
	size_t len = 0, cap = 4096;

	if (fd < 0)
		return br_error_set(err, errno, "%s: cannot open: %m", path);
	for (;;) {
		ssize_t n;
		char *p = realloc(buf, cap + 1);

		if (!p)
			return br_error_set(err, ENOMEM, "%s: out of memory", path);
		buf = p;
		n = read(fd, buf + len, cap - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return br_error_set(err, errno, "%s: cannot read: %m", path);
		if (!n)
			break;
		len += (size_t)n;
		if (len > max)
			return br_error_set(err, EFBIG, "%s: larger than %zu bytes", path, max);
		if (len == cap)
			cap *= 2;
	}
	buf[len] = 0;
	*ret = br_take(buf);
	if (ret_len)
		*ret_len = len;
	return 0;
}

int br_sync_dir(const char *path)
{
	br_cleanup(br_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

int br_sync_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	br_cleanup(br_freep) char *dir = NULL;

	dir = !slash	       ? strdup(".")
	      : slash == path ? strdup("/")
			      : strndup(path, (size_t)(slash - path));
	return dir ? br_sync_dir(dir) : -ENOMEM;
}

int br_file_write(const char *path, const void *data, size_t len, mode_t mode, struct br_error *err)
{
	br_cleanup(br_freep) char *tmp = br_asprintf("%s.XXXXXX", path);
	br_cleanup(br_closep) int fd = -1;
	int r;

	if (!tmp)
		return br_error_set(err, ENOMEM, "%s: out of memory", path);
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return br_error_set(err, errno, "%s: cannot create: %m", path);
	r = br_write_all(fd, data, len);
	if (!r && (fchmod(fd, mode) < 0 || fsync(fd) < 0 || rename(tmp, path) < 0))
		r = -errno;
	if (!r)
		r = br_sync_parent(path);
	if (r < 0) {
		unlink(tmp);
		return br_error_set(err, -r, "%s: cannot write: %s", path, strerror(-r));
	}
	return 0;
}

int br_mkdir_all(const char *path, mode_t mode, struct br_error *err)
{
	br_cleanup(br_freep) char *p = strdup(path);
	struct stat st;

	if (!p)
		return br_error_set(err, ENOMEM, "%s: out of memory", path);
	for (char *s = p + 1; *p && *s; s++) {
		if (*s != '/')
			continue;
		*s = 0;
		if (mkdir(p, mode) < 0 && errno != EEXIST)
			return br_error_set(err, errno, "%s: cannot make directory: %m", p);
		*s = '/';
	}
	if (mkdir(p, mode) < 0 && errno != EEXIST)
		return br_error_set(err, errno, "%s: cannot make directory: %m", p);
	if (stat(p, &st) < 0 || !S_ISDIR(st.st_mode))
		return br_error_set(err, ENOTDIR, "%s: exists and is not a directory", p);
	return 0;
}

int br_remove_tree(const char *path, struct br_error *err)
{
	char *const paths[] = { (char *)path, NULL };
	FTS *fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	FTSENT *e;
	int r = 0;

	if (!fts)
		return br_error_set(err, errno, "%s: cannot walk: %m", path);
	while ((e = fts_read(fts))) {
		if (e->fts_info == FTS_D)
			continue;
		if (remove(e->fts_accpath) < 0 && errno != ENOENT && !r)
			r = br_error_set(err, errno, "%s: cannot remove: %m", e->fts_path);
	}
	fts_close(fts);
	return r;
}

int br_open_resolved(int dir_fd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = { .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC), .mode = mode, .resolve = resolve };
	long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));

	return fd < 0 ? -errno : (int)fd;
}

int br_pread_all(int fd, void *buf, size_t n, uint64_t offset)
{
	char *p = buf;

	while (n) {
		ssize_t k = pread(fd, p, n, (off_t)offset);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		if (!k)
			return -EIO;
		p += k;
		n -= (size_t)k;
		offset += (uint64_t)k;
	}
	return 0;
}

int br_pwrite_all(int fd, const void *buf, size_t n, uint64_t offset)
{
	const char *p = buf;

	while (n) {
		ssize_t k = pwrite(fd, p, n, (off_t)offset);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		p += k;
		n -= (size_t)k;
		offset += (uint64_t)k;
	}
	return 0;
}

int br_write_all(int fd, const void *buf, size_t n)
{
	const char *p = buf;

	while (n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -errno;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

char *br_path_join(const char *dir, const char *name)
{
	return br_asprintf("%s/%s", dir, name);
}

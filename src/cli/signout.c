/* SPDX-License-Identifier: Apache-2.0 */
/* What signing writes: never over a key, and several files all or none. */
#include "cli/signout.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "pi/rsakey.h"
#include "pi/sigfile.h"

static bool is_same_file(const struct stat *a, const char *path)
{
	struct stat b;

	return stat(path, &b) == 0 && a->st_dev == b.st_dev && a->st_ino == b.st_ino;
}

int br_sign_may_write(const char *path, enum br_sign_kind kind, const char *const *inputs, size_t n, struct br_error *err)
{
	struct br_sigfile sig;
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? 0 : br_error_set(err, errno, "%s: %m", path);
	if (!S_ISREG(st.st_mode))
		return br_error_set(err, EEXIST, "%s: exists, and is no file; give another name", path);
	if (access(path, R_OK) < 0)
		return br_error_set(err, EEXIST, "%s: exists and cannot be read, so it may be a key; give another name", path);
	for (size_t i = 0; i < n; i++)
		if (inputs[i] && is_same_file(&st, inputs[i]))
			return br_error_set(err, EEXIST, "%s: is what is read (%s), and would be written over; give another name", path,
				inputs[i]);
	if (br_rsakey_is_private(path))
		return br_error_set(err, EEXIST, "%s: holds a private key, which is never written over; give another name", path);
	if (kind == BR_SIGN_SIG && br_sigfile_read(path, &sig, NULL) < 0)
		return br_error_set(err, EEXIST, "%s: exists, and is no signature file; give another name, or remove it", path);
	return 0;
}

/* ---- together ---- */

int br_sign_out_open(struct br_sign_out *o, const char *path, int *ret_fd, struct br_error *err)
{
	br_cleanup(br_freep) char *tmp = br_asprintf("%s.XXXXXX", path);
	int fd;

	assert(o->n < BR_ARRAY_SIZE(o->files));
	o->files[o->n].path = strdup(path);
	if (!tmp || !o->files[o->n].path)
		return br_error_set(err, ENOMEM, "%s: out of memory", path);
	fd = mkostemp(tmp, O_CLOEXEC);
	if (fd < 0)
		return br_error_set(err, errno, "%s: cannot create: %m", path);
	o->files[o->n++].tmp = br_take(tmp);
	*ret_fd = fd;
	return 0;
}

int br_sign_out_add(struct br_sign_out *o, const char *path, const void *data, size_t len, struct br_error *err)
{
	br_cleanup(br_closep) int fd = -1;
	int r = br_sign_out_open(o, path, &fd, err);

	if (r < 0)
		return r;
	r = br_write_all(fd, data, len);
	return r < 0 ? br_error_set(err, -r, "%s: %s", path, strerror(-r)) : 0;
}

/* Its bytes are on the medium, and everybody may read it. */
static int settle(const char *tmp, const char *path, struct br_error *err)
{
	br_cleanup(br_closep) int fd = open(tmp, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fchmod(fd, 0644) < 0 || fsync(fd) < 0)
		return br_error_set(err, errno, "%s: cannot write: %m", path);
	return 0;
}

int br_sign_out_commit(struct br_sign_out *o, struct br_error *err)
{
	int r = 0;

	for (size_t i = 0; !r && i < o->n; i++)
		r = settle(o->files[i].tmp, o->files[i].path, err);
	for (size_t i = 0; !r && i < o->n; i++) {
		if (rename(o->files[i].tmp, o->files[i].path) < 0)
			return br_error_set(err, errno, "%s: cannot write: %m", o->files[i].path);
		free(o->files[i].tmp);
		o->files[i].tmp = NULL;
	}
	for (size_t i = 0; !r && i < o->n; i++) {
		r = br_sync_parent(o->files[i].path);
		if (r < 0)
			br_error_set(err, -r, "%s: %s", o->files[i].path, strerror(-r));
	}
	return r;
}

void br_sign_out_done(struct br_sign_out *o)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(o->files); i++) {
		if (o->files[i].tmp)
			unlink(o->files[i].tmp);
		free(o->files[i].tmp);
		free(o->files[i].path);
	}
}

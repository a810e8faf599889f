/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who the daemon is. It starts as root for ports 67, 69, 111 and the packet socket, works on its
 * files as the user that owns them from the first, and gives root up before it reads a packet.
 */
#include "daemon/privileges.h"

#include <cap-ng.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

static int from_passwd(const struct passwd *pw, struct br_identity *ret)
{
	ret->uid = pw->pw_uid;
	ret->gid = pw->pw_gid;
	snprintf(ret->name, sizeof(ret->name), "%s", pw->pw_name);
	return 0;
}

int br_identity_choose(const char *user, const char *state_dir, struct br_identity *ret, struct br_error *err)
{
	static const char *const candidates[] = { "bramble", "nobody" };
	const struct passwd *pw;
	struct stat st;

	if (geteuid()) {
		ret->uid = geteuid();
		ret->gid = getegid();
		snprintf(ret->name, sizeof(ret->name), "uid %u", ret->uid);
		return 0;
	}
	if (user) {
		pw = getpwnam(user);
		if (!pw)
			return br_error_set(err, ENOENT, "user '%s': there is none of that name; make it or give "
				"--user another", user);
		return from_passwd(pw, ret);
	}
	if (!stat(state_dir, &st) && st.st_uid) {
		ret->uid = st.st_uid;
		ret->gid = st.st_gid;
		snprintf(ret->name, sizeof(ret->name), "uid %u", st.st_uid);
		return 0;
	}
	for (size_t i = 0; i < BR_ARRAY_SIZE(candidates); i++) {
		pw = getpwnam(candidates[i]);
		if (pw)
			return from_passwd(pw, ret);
	}
	return br_error_set(err, ENOENT, "there is neither a user 'bramble' nor 'nobody' to run as; give --user NAME");
}

/* What a command line run by root before the first daemon left there becomes the daemon's. */
static int own_state(const struct br_identity *id, const char *dir, struct br_error *err)
{
	static const char *const inside[] = { "", "/images", "/disks", "/bramble.db", "/bramble.db-wal",
		"/bramble.db-shm", "/daemon.lock" };

	for (size_t i = 0; i < BR_ARRAY_SIZE(inside); i++) {
		char path[4200];

		snprintf(path, sizeof(path), "%s%s", dir, inside[i]);
		if (lchown(path, id->uid, id->gid) < 0 && errno != ENOENT)
			return br_error_set(err, errno, "%s: cannot give it to %s: %m", path, id->name);
	}
	return 0;
}

/* The same for keys to sign with, which nobody else may read. Only while the directory is still root's: afterwards its owner
 * decides what is in it, and root must not hand that on. */
static int own_keys(const struct br_identity *id, const char *state_dir, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = br_path_join(state_dir, "keys");
	int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1, r = 0;
	struct dirent *entry;
	struct stat st;
	DIR *d;

	if (!dir)
		return br_error_set(err, ENOMEM, "out of memory");
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != 0 || !(d = fdopendir(fd))) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	while (!r && (entry = readdir(d)))
		if (br_str_ends(entry->d_name, ".pem") &&
			fchownat(dirfd(d), entry->d_name, id->uid, id->gid, AT_SYMLINK_NOFOLLOW) < 0)
			r = br_error_set(err, errno, "%s/%s: cannot give it to %s: %m", dir, entry->d_name, id->name);
	if (!r && fchown(dirfd(d), id->uid, id->gid) < 0)
		r = br_error_set(err, errno, "%s: cannot give it to %s: %m", dir, id->name);
	closedir(d);
	return r;
}

int br_identity_enter(const struct br_identity *id, const char *state_dir, struct br_error *err)
{
	int r = br_mkdir_all(state_dir, 0750, err);

	if (r < 0)
		return r;
	if (!geteuid() && id->uid) {
		r = own_keys(id, state_dir, err);
		r = !r ? own_state(id, state_dir, err) : r;
		if (r < 0)
			return r;
		if (setegid(id->gid) < 0 || seteuid(id->uid) < 0)
			return br_error_set(err, errno, "cannot act as %s: %m", id->name);
	}
	if (access(state_dir, F_OK) < 0 || euidaccess(state_dir, R_OK | W_OK | X_OK) < 0)
		return br_error_set(err, EACCES,
			"state directory %s: %s cannot work in it (is a directory above it closed to others?); "
			"give --state DIR elsewhere or --user NAME", state_dir, id->name);
	return 0;
}

int br_identity_leave(void)
{
	if (getuid() || !geteuid())
		return 0;
	return seteuid(0) < 0 || setegid(0) < 0 ? -errno : 0;
}

/*
 * Of all rights this thread, which has the DHCP server's sockets, keeps one: to bind them to the interface again when it was
 * deleted and made anew. It opens nothing to an attacker that these sockets, which see and send raw frames, do not.
 */
static int keep_raw_only(struct br_error *err)
{
	bool had = capng_have_capability(CAPNG_PERMITTED, CAP_NET_RAW);

	capng_clear(CAPNG_SELECT_CAPS);
	if (had)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_NET_RAW);
	return capng_apply(CAPNG_SELECT_CAPS) < 0 ? br_error_set(err, EPERM, "cannot give up capabilities") : 0;
}

/* Groups of root's that a daemon of its own keeps, when its user is in them: serial lines are theirs. */
static size_t device_groups(const struct br_identity *id, gid_t *ret, size_t max)
{
	static const char *const names[] = { "dialout", "uucp" };
	size_t n = 0;

	for (size_t i = 0; i < BR_ARRAY_SIZE(names) && n < max; i++) {
		const struct group *g = getgrnam(names[i]);
		char **member = g ? g->gr_mem : NULL;

		while (member && *member && strcmp(*member, id->name) != 0)
			member++;
		if (member && *member)
			ret[n++] = g->gr_gid;
	}
	return n;
}

int br_privileges_drop(const struct br_identity *id, struct br_error *err)
{
	gid_t groups[4];
	int r;

	capng_get_caps_process();
	if (!getuid() && id->uid) {
		if (prctl(PR_SET_KEEPCAPS, 1) < 0)
			return br_error_set(err, errno, "cannot keep a capability: %m");
		/* glibc carries these to every thread, and their capabilities go with root */
		if (setgroups(device_groups(id, groups, BR_ARRAY_SIZE(groups)), groups) < 0 || setresgid(id->gid, id->gid, id->gid) < 0 ||
			setresuid(id->uid, id->uid, id->uid) < 0)
			return br_error_set(err, errno, "cannot become %s: %m", id->name);
		r = keep_raw_only(err);
		if (r < 0)
			return r;
		if (!setuid(0))
			return br_error_set(err, EPERM, "root could be taken back after giving it up");
		return 0;
	}
	/* what a service manager lent us for the ports */
	return getuid() ? keep_raw_only(err) : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of the host as a file system: what clients do there, what the host does behind their backs. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "store/hostfs.h"
#include "tests/unit/shell.h"

struct world {
	char *dir, *outside;
	struct br_fs *fs;
};

#define OP(w, op, ...) ((w)->fs->ops->op((w)->fs, ##__VA_ARGS__))
#define ROOT(w) ((w)->fs->ops->root((w)->fs))

static int fail_syncs; /* so many */

static int fsync_or_not(int fd)
{
	if (!fail_syncs)
		return fsync(fd);
	fail_syncs--;
	errno = EIO;
	return -1;
}

static void reopen(struct world *w)
{
	const struct br_hostfs_options opt = { .dir = w->dir, .uid = 1000, .gid = 100, .fsync = fsync_or_not };
	struct br_error err = BR_ERROR_NULL;

	if (w->fs)
		w->fs->ops->close(w->fs);
	if (br_hostfs_open(&opt, &w->fs, &err) < 0)
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	static unsigned n;

	w->dir = br_asprintf("%s/share%u", test_dir(), ++n);
	w->outside = br_asprintf("%s/outside%u", test_dir(), n);
	assert_int_equal(test_sh("mkdir -m 777 -p '%s' '%s/d' && echo secret >'%s/d/f' && chmod 711 '%s'", w->dir, w->outside,
				 w->outside, test_dir()), 0);
	reopen(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	w->fs->ops->close(w->fs);
	free(w->dir);
	free(w->outside);
	free(w);
	return 0;
}

static uint64_t walk(struct world *w, const char *path)
{
	uint64_t ino = 0;
	int r = br_fs_walk(w->fs, path, &ino);

	if (r < 0)
		fail_msg("%s: %s", path, strerror(-r));
	return ino;
}

static uint64_t put(struct world *w, const char *dir, const char *name, uint32_t mode, const char *text)
{
	const struct br_fs_new node = { .mode = mode, .uid = 5, .gid = 6, .target = text };
	uint64_t ino = 0;

	assert_int_equal(OP(w, create, walk(w, dir), name, &node, &ino), 0);
	if (S_ISREG(mode))
		assert_int_equal(OP(w, write, ino, 0, text, strlen(text)), 0);
	return ino;
}

static struct br_fs_attr attr_of(struct world *w, uint64_t ino)
{
	struct br_fs_attr a = { 0 };

	assert_int_equal(OP(w, getattr, ino, &a), 0);
	return a;
}

static int attr_error(struct world *w, uint64_t ino)
{
	struct br_fs_attr a;

	return OP(w, getattr, ino, &a);
}

static void says(struct world *w, uint64_t ino, const char *text)
{
	char buf[100] = "";
	size_t n = 0;
	bool eof = false;

	assert_int_equal(OP(w, read, ino, 0, buf, sizeof(buf) - 1, &n, &eof), 0);
	assert_string_equal(buf, text);
	assert_true(eof && n == strlen(text));
}

static int add_name(void *ctx, const struct br_fs_dirent *e)
{
	br_text_addf(ctx, "%s ", e->name);
	return e->cookie ? 0 : -EINVAL;
}

/* One name at a time, each from the cookie of the one before. */
struct step {
	struct br_text *names;
	uint64_t cookie;
	bool one;
};

static int take_one(void *ctx, const struct br_fs_dirent *e)
{
	struct step *s = ctx;

	if (s->one)
		return 1;
	s->one = true;
	s->cookie = e->cookie;
	br_text_addf(s->names, "%s ", e->name);
	return 0;
}

static void files_are_the_hosts(void **state)
{
	struct world *w = *state;
	uint64_t d = put(w, "/", "d", S_IFDIR | 02755, NULL), f = put(w, "/d", "f", S_IFREG | 06640, "hello");
	uint64_t l = put(w, "/", "l", S_IFLNK | 0777, "d/f"), p = put(w, "/", "p", S_IFIFO | 0644, NULL), got;
	const struct br_fs_new dev = { .mode = S_IFCHR | 0666, .rdev_major = 1, .rdev_minor = 3 };
	struct br_fs_statfs sf;
	char buf[64];

	assert_int_equal(test_sh("cd '%s' && test \"$(cat d/f)\" = hello && test \"$(stat -c %%a d d/f p | xargs)\" = '2755 640 644' "
				 "&& test \"$(readlink l)\" = d/f", w->dir), 0);
	assert_int_equal(attr_of(w, f).uid, 1000);
	assert_int_equal(attr_of(w, f).gid, 100);
	assert_int_equal(attr_of(w, f).mode, S_IFREG | 0640); /* no set-user-id */
	assert_true(attr_of(w, f).generation && attr_of(w, f).ino == f);
	assert_int_equal(OP(w, readlink, l, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "d/f");
	assert_int_equal(OP(w, readlink, l, buf, 3), -ENAMETOOLONG);
	assert_int_equal(OP(w, readlink, f, buf, 3), -EINVAL);
	assert_int_equal(OP(w, create, d, "null", &dev, &got), -EPERM);
	assert_int_equal(OP(w, create, d, "f", &(struct br_fs_new){ .mode = S_IFREG }, &got), -EEXIST);
	assert_int_equal(OP(w, lookup, d, "..", &got), 0);
	assert_int_equal(got, ROOT(w));
	assert_int_equal(OP(w, lookup, ROOT(w), "..", &got), 0);
	assert_int_equal(got, ROOT(w));
	assert_int_equal(OP(w, lookup, f, "x", &got), -ENOTDIR);
	assert_int_equal(OP(w, lookup, d, "x", &got), -ENOENT);
	assert_int_equal(OP(w, link, f, ROOT(w), "hard"), 0);
	assert_int_equal(attr_of(w, f).nlink, 2);
	assert_int_equal(walk(w, "hard"), f);
	assert_int_equal(OP(w, unlink, d, "f"), 0);
	says(w, f, "hello"); /* by its other name */
	assert_int_equal(OP(w, rename, ROOT(w), "hard", d, "moved"), 0);
	says(w, f, "hello");
	assert_int_equal(OP(w, rmdir, ROOT(w), "d"), -ENOTEMPTY);
	assert_int_equal(OP(w, unlink, ROOT(w), "d"), -EISDIR);
	assert_int_equal(OP(w, rmdir, d, "moved"), -ENOTDIR);
	assert_int_equal(OP(w, read, p, 0, buf, 1, &(size_t){ 0 }, &(bool){ 0 }), -EINVAL);
	assert_int_equal(OP(w, read, d, 0, buf, 1, &(size_t){ 0 }, &(bool){ 0 }), -EISDIR);
	assert_int_equal(OP(w, write, f, INT64_MAX, "x", 1), -EFBIG);
	assert_int_equal(OP(w, statfs, &sf), 0);
	assert_true(sf.total_bytes >= sf.free_bytes && sf.total_bytes);
	assert_int_equal(OP(w, commit), 0);
	assert_int_equal(OP(w, commit), 0);
	assert_true(br_hostfs_writable(w->fs));
}

static void attributes_are_set(void **state)
{
	struct world *w = *state;
	uint64_t f = put(w, "/", "f", S_IFREG | 0644, "hello"), l = put(w, "/", "l", S_IFLNK, "gone");
	struct br_fs_setattr a = { .set = BR_FS_SET_MODE | BR_FS_SET_SIZE | BR_FS_SET_MTIME, .mode = 04755, .size = 2,
		.mtime = { .tv_sec = 1000, .tv_nsec = 5 } };

	assert_int_equal(OP(w, setattr, f, &a), 0);
	says(w, f, "he");
	assert_int_equal(attr_of(w, f).mode & 07777, 0755);
	assert_true(attr_of(w, f).mtime.tv_sec == 1000 && attr_of(w, f).mtime.tv_nsec == 5);
	a = (struct br_fs_setattr){ .set = BR_FS_SET_MTIME, .mtime = { .tv_sec = 7 } };
	assert_int_equal(OP(w, setattr, l, &a), 0);
	assert_int_equal(attr_of(w, l).mtime.tv_sec, 7);
	a = (struct br_fs_setattr){ .set = BR_FS_SET_UID | BR_FS_SET_GID, .uid = 1000, .gid = 100 };
	assert_int_equal(OP(w, setattr, f, &a), 0); /* as it is shown */
	a.uid = 0;
	assert_int_equal(OP(w, setattr, f, &a), -EPERM);
	if (!geteuid()) { /* somebody else's */
		assert_int_equal(test_sh("echo x >'%s/theirs'; chown 4242:4243 '%s/theirs'", w->dir, w->dir), 0);
		assert_int_equal(attr_of(w, walk(w, "theirs")).uid, BR_HOSTFS_NOBODY);
		assert_int_equal(attr_of(w, walk(w, "theirs")).gid, BR_HOSTFS_NOBODY);
	}
}

static void directories_are_listed(void **state)
{
	struct world *w = *state;
	struct br_text all = BR_TEXT_NULL, single = BR_TEXT_NULL;
	struct step s = { .names = &single };
	bool eof = false;

	for (int i = 0; i < 300; i++)
		assert_int_equal(test_sh(": >'%s/file-with-a-name-%03d'", w->dir, i), 0);
	assert_int_equal(OP(w, readdir, ROOT(w), 0, add_name, &all, &eof), 0);
	assert_true(eof && strstr(all.buf, ". ") && strstr(all.buf, "name-299 "));
	for (eof = false; !eof; s.one = false)
		assert_int_equal(OP(w, readdir, ROOT(w), s.cookie, take_one, &s, &eof), 0);
	assert_string_equal(single.buf, all.buf);
	assert_int_equal(OP(w, readdir, walk(w, "file-with-a-name-000"), 0, add_name, &all, &eof), -ENOTDIR);
	br_text_done(&all);
	br_text_done(&single);
}

static void handles_outlive_a_restart(void **state)
{
	struct world *w = *state;
	uint64_t f, d;
	uint32_t generation;

	put(w, "/", "a", S_IFDIR | 0755, NULL);
	d = put(w, "/a", "b", S_IFDIR | 0755, NULL);
	f = put(w, "/a/b", "f", S_IFREG | 0644, "deep");
	generation = attr_of(w, f).generation;
	for (int learn = 0; learn < 2; learn++) {
		reopen(w);
		if (learn)
			br_hostfs_learn(w->fs);
		says(w, f, "deep");
		assert_int_equal(attr_of(w, f).generation, generation);
	}
	/* the host moves it, and what it is in */
	assert_int_equal(test_sh("cd '%s' && mv a/b/f a/b/g && says=$(cat a/b/g) && mv a c && mkdir a", w->dir), 0);
	says(w, f, "deep");
	assert_int_equal(attr_of(w, d).ino, d);
	/* gone is gone, and another file with its number has another generation */
	assert_int_equal(test_sh("rm '%s/c/b/g'", w->dir), 0);
	assert_int_equal(attr_error(w, f), -ESTALE);
	for (int i = 0; i < 20; i++) {
		uint64_t again = put(w, "/", "again", S_IFREG | 0644, "");

		if (again == f)
			assert_int_not_equal(attr_of(w, again).generation, generation);
		assert_int_equal(OP(w, unlink, ROOT(w), "again"), 0);
	}
}

static void made_up_numbers_cost_little(void **state)
{
	struct world *w = *state;
	uint64_t f = put(w, "/", "there", S_IFREG | 0644, "here");
	struct br_fs_attr a;
	unsigned searched = 0;

	assert_int_equal(test_sh("cd '%s' && mkdir many && cd many && seq 20000 | xargs touch", w->dir), 0);
	reopen(w);
	for (uint64_t n = 0; n < 50; n++) {
		int r = OP(w, getattr, f + 1000000 + n, &a);

		assert_true(r == -ESTALE || r == -EAGAIN);
		searched += r == -ESTALE;
	}
	assert_in_range(searched, 1, 10); /* each takes milliseconds, and ten times that passes before the next */
	says(w, f, "here");
}

static void nothing_leads_out(void **state)
{
	struct world *w = *state;
	uint64_t f, d = put(w, "/", "d", S_IFDIR | 0755, NULL), l, got;
	uint64_t inside = put(w, "/d", "f", S_IFREG | 0644, "mine");

	/* a link is a link */
	l = put(w, "/", "out", S_IFLNK, w->outside);
	assert_int_equal(OP(w, lookup, l, "d", &got), -ENOTDIR);
	assert_int_equal(OP(w, readdir, l, 0, add_name, NULL, &(bool){ 0 }), -ENOTDIR);
	assert_int_equal(OP(w, read, l, 0, &got, 1, &(size_t){ 0 }, &(bool){ 0 }), -EINVAL);
	assert_int_equal(OP(w, setattr, l, &(struct br_fs_setattr){ .set = BR_FS_SET_MODE, .mode = 0777 }), -EOPNOTSUPP);
	/* a directory becomes a link that leads out */
	assert_int_equal(test_sh("cd '%s' && mv d was && ln -s '%s/d' d", w->dir, w->outside), 0);
	says(w, inside, "mine");
	assert_int_equal(OP(w, lookup, d, "f", &got), 0);
	assert_int_equal(got, inside);
	/* a directory is taken away: what is in it is out of reach, also what was open */
	assert_int_equal(test_sh("mv '%s/was' '%s/was'", w->dir, w->outside), 0);
	assert_int_equal(attr_error(w, d), -ESTALE);
	assert_int_equal(OP(w, read, inside, 0, &got, 1, &(size_t){ 0 }, &(bool){ 0 }), -ESTALE);
	assert_int_equal(OP(w, write, inside, 0, "x", 1), -ESTALE);
	/* as is what never was inside */
	f = put(w, "/", "x", S_IFREG | 0644, "x");
	assert_int_equal(test_sh("mv '%s/x' '%s/x'", w->dir, w->outside), 0);
	assert_int_equal(attr_error(w, f), -ESTALE);
	assert_int_equal(OP(w, lookup, ROOT(w), "x", &got), -ENOENT);
}

/* As a user without the rights of root, which a test has. */
static void a_mode_does_not_stop_its_owner(void **state)
{
	struct world *w = *state;
	bool root = !geteuid();
	uint64_t f;

	if (root) {
		assert_int_equal(test_sh("chmod 755 '%s' && echo x >'%s/closed' && chmod 600 '%s/closed'", test_dir(), w->dir, w->dir), 0);
		assert_int_equal(seteuid(65534), 0);
		reopen(w);
	}
	f = put(w, "/", "object", S_IFREG | 0444, "git");
	reopen(w);
	assert_int_equal(OP(w, write, f, 3, "!", 1), 0);
	says(w, f, "git!");
	assert_int_equal(attr_of(w, f).mode & 07777, 0444);
	assert_int_equal(OP(w, setattr, f, &(struct br_fs_setattr){ .set = BR_FS_SET_MODE, .mode = 0 }), 0);
	reopen(w);
	says(w, f, "git!");
	if (root) {
		assert_int_equal(OP(w, write, walk(w, "closed"), 0, "x", 1), -EACCES);
		w->fs->ops->close(w->fs);
		w->fs = NULL;
		assert_int_equal(seteuid(0), 0);
		reopen(w);
	}
}

struct second {
	struct world *w;
	uint64_t ticket;
	int r;
};

static void *sync_second(void *arg)
{
	struct second *s = arg;

	s->r = OP(s->w, commit_sync, s->ticket);
	return NULL;
}

static void commits_go_in_steps(void **state)
{
	struct world *w = *state;
	struct second second = { .w = w };
	uint64_t one, three;
	pthread_t thread;

	assert_int_equal(OP(w, commit_begin, &one), 0);
	put(w, "/", "f", S_IFREG | 0644, "x");
	assert_int_equal(OP(w, commit_begin, &one), 1);
	put(w, "/", "g", S_IFREG | 0644, "y"); /* of the next one */
	/* none waits in its begin, where all others would wait for the lock; one with nothing of its own waits for the rest */
	assert_int_equal(OP(w, commit_begin, &second.ticket), 1);
	assert_int_equal(OP(w, commit_begin, &three), 1);
	second.r = 1;
	assert_int_equal(pthread_create(&thread, NULL, sync_second, &second), 0);
	assert_int_equal(OP(w, commit_sync, one), 0);
	assert_int_equal(OP(w, commit_sync, three), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(second.r, 0);
	assert_int_equal(OP(w, commit_end, three, 0), 0);
	assert_int_equal(OP(w, commit_end, second.ticket, 0), 0);
	assert_int_equal(OP(w, commit_end, one, 0), 0);
	assert_int_equal(OP(w, commit_begin, &one), 0);
	for (int i = 0; i < 100; i++) { /* more than are synced one by one */
		char name[16];

		snprintf(name, sizeof(name), "n%d", i);
		put(w, "/", name, S_IFREG | 0644, "x");
	}
	assert_int_equal(OP(w, commit), 0);
}

static void a_failed_sync_is_told_to_all(void **state)
{
	struct world *w = *state;
	uint64_t one, two;

	put(w, "/", "f", S_IFREG | 0644, "x");
	assert_int_equal(OP(w, commit_begin, &one), 1);
	assert_int_equal(OP(w, commit_begin, &two), 1);
	fail_syncs = 1;
	assert_int_equal(OP(w, commit_sync, one), -EIO);
	assert_int_equal(OP(w, commit_end, one, -EIO), -EIO);
	assert_int_equal(OP(w, commit_sync, two), -EIO); /* began before it failed */
	assert_int_equal(OP(w, commit_end, two, -EIO), -EIO);
	/* what changed before it, by one that begins only now; and of what changes now nobody knows */
	assert_int_equal(OP(w, commit_begin, &one), -EIO);
	put(w, "/", "g", S_IFREG | 0644, "y");
	assert_int_equal(OP(w, commit), -EIO);
	reopen(w);
	put(w, "/", "h", S_IFREG | 0644, "z");
	assert_int_equal(OP(w, commit), 0);
}

static void only_a_directory_is_opened(void **state)
{
	struct world *w = *state;
	br_cleanup(br_freep) char *path = br_asprintf("%s/none", w->dir);
	struct br_hostfs_options opt = { .dir = path };
	struct br_error err = BR_ERROR_NULL;
	struct br_fs *fs;

	assert_int_equal(br_hostfs_open(&opt, &fs, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/none"));
	assert_int_equal(test_sh(": >'%s'", path), 0);
	assert_int_equal(br_hostfs_open(&opt, &fs, &err), -ENOTDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(files_are_the_hosts),
		T(attributes_are_set),
		T(directories_are_listed),
		T(handles_outlive_a_restart),
		T(made_up_numbers_cost_little),
		T(nothing_leads_out),
		T(a_mode_does_not_stop_its_owner),
		T(commits_go_in_steps),
		T(a_failed_sync_is_told_to_all),
		T(only_a_directory_is_opened),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);

	br_remove_tree(test_dir(), NULL);
	return r;
}

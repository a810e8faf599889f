/* SPDX-License-Identifier: Apache-2.0 */
/* Two file systems side by side. */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "tests/unit/fsdiff.h"

static uint32_t state;

static uint32_t rnd(uint32_t n)
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % n;
}

struct names {
	char name[64][64];
	size_t n;
};

static int collect(void *ctx, const struct br_fs_dirent *d)
{
	struct names *l = ctx;

	if (strcmp(d->name, ".") && strcmp(d->name, "..") && strcmp(d->name, "lost+found"))
		memcpy(l->name[l->n++], d->name, strlen(d->name) + 1);
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void dump(struct br_fs *fs, uint64_t dir, const char *path, struct br_text *out)
{
	struct names l = { .n = 0 };
	bool eof;

	assert_int_equal(fs->ops->readdir(fs, dir, 0, collect, &l, &eof), 0);
	qsort(l.name, l.n, sizeof(l.name[0]), by_text);
	for (size_t i = 0; i < l.n; i++) {
		br_cleanup(br_freep) char *p = br_asprintf("%s/%s", path, l.name[i]);
		char text[256] = "";
		struct br_fs_attr a;
		uint64_t ino;
		size_t n = 0;

		assert_int_equal(fs->ops->lookup(fs, dir, l.name[i], &ino), 0);
		assert_int_equal(fs->ops->getattr(fs, ino, &a), 0);
		assert_int_equal(a.ino, ino);
		if (S_ISREG(a.mode))
			assert_int_equal(fs->ops->read(fs, ino, 0, text, 255, &n, &eof), 0);
		else if (S_ISLNK(a.mode))
			assert_int_equal(fs->ops->readlink(fs, ino, text, sizeof(text)), 0);
		br_text_addf(out, "%s %o %u:%u %u %llu '%s'\n", p, a.mode, a.uid, a.gid, a.nlink,
			S_ISDIR(a.mode) ? 0 : (unsigned long long)a.size, text);
		if (S_ISDIR(a.mode))
			dump(fs, ino, p, out);
	}
}

struct step {
	unsigned op;
	const char *dir, *name, *dir2, *name2;
	uint32_t value;
};

static int apply(struct br_fs *fs, const struct step *s)
{
	const struct br_fs_setattr attr = { .set = s->value & (BR_FS_SET_MODE | BR_FS_SET_UID | BR_FS_SET_SIZE),
		.mode = 0600 + s->value % 64, .uid = s->value % 5, .size = s->value % 30 };
	uint32_t type = s->value % 3 == 0 ? S_IFDIR | 0755 : s->value % 3 == 1 ? S_IFREG | 0644 : S_IFLNK | 0777;
	const struct br_fs_new node = { .mode = type, .target = "somewhere" };
	uint64_t dir, dir2, ino;
	int r = br_fs_walk_follow(fs, s->dir, &dir);

	if (!r)
		r = br_fs_walk_follow(fs, s->dir2, &dir2);
	if (r < 0)
		return r;
	switch (s->op) {
	case 0:
		return fs->ops->unlink(fs, dir, s->name);
	case 1:
		return fs->ops->rmdir(fs, dir, s->name);
	case 2:
		return fs->ops->rename(fs, dir, s->name, dir2, s->name2);
	case 3:
		return fs->ops->create(fs, dir, s->name, &node, &ino);
	}
	r = fs->ops->lookup(fs, dir, s->name, &ino);
	if (r < 0)
		return r;
	if (s->op == 4)
		return fs->ops->write(fs, ino, s->value % 20, "written", 7);
	if (s->op == 5)
		return fs->ops->setattr(fs, ino, &attr);
	return fs->ops->link(fs, ino, dir2, s->name2);
}

void fsdiff_run(struct br_fs *fs, struct br_fs *want, uint32_t seed, unsigned n_steps)
{
	static const char *const dirs[] = { "/", "/etc", "/etc", "/etc", "/etc/ssh", "/usr" };
	static const char *const names[] = { "fstab", "mtab", "machine-id", "zone", "key", "hosts", "ssh", "usr", "etc", "new" };
	static const char *const ops[] = { "unlink", "rmdir", "rename", "create", "write", "setattr", "link" };

	state = seed;
	for (unsigned i = 0; i < n_steps; i++) {
		struct step s = { rnd(7), dirs[rnd(6)], names[rnd(10)], dirs[rnd(6)], names[rnd(10)], rnd(1u << 16) };
		br_cleanup(br_text_done) struct br_text a = BR_TEXT_NULL, b = BR_TEXT_NULL;
		int x = apply(want, &s), y = apply(fs, &s);

		dump(want, want->ops->root(want), "", &a);
		dump(fs, fs->ops->root(fs), "", &b);
		/* of two reasons to refuse a link (a directory, a name that is taken) either may be told */
		if (s.op == 6 && x == -EEXIST && y == -EPERM)
			y = x;
		if (x != y || strcmp(a.buf ? a.buf : "", b.buf ? b.buf : ""))
			fail_msg("seed %u step %u: %s %s/%s %s/%s %u: %d, should be %d\n%s\nshould be\n%s", seed, i, ops[s.op], s.dir,
				s.name, s.dir2, s.name2, s.value, y, x, b.buf, a.buf);
	}
}

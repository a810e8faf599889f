/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thousands of random operations on ext4 images of several kinds, beside a plain tree in
 * memory, with commits, kills (what was not committed must be gone, all of it) and reopenings;
 * at the end e2fsck has its say.
 */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "tests/unit/extimage.h"

#define MAX_NODES 400
#define MAX_SIZE  (300u << 10)

struct mnode {
	uint32_t mode, uid, gid, rdev, nlink;
	uint64_t ino;
	uint8_t *data;
	size_t size;
	char *target;
	struct mentry *entries;
	size_t n_entries;
	struct mnode *parent, *copy;
	bool seen;
};

struct mentry {
	char name[256];
	struct mnode *node;
};

static uint64_t rng;

static uint32_t rnd(uint32_t n)
{
	rng = rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(rng >> 33) % n;
}

static struct mnode *mnode_new(uint32_t mode)
{
	struct mnode *n = calloc(1, sizeof(*n));

	assert_non_null(n);
	n->mode = mode;
	n->nlink = S_ISDIR(mode) ? 2 : 1;
	return n;
}

static void mnode_put(struct mnode *n)
{
	if (!S_ISDIR(n->mode) && --n->nlink > 0)
		return;
	for (size_t i = 0; i < n->n_entries; i++)
		mnode_put(n->entries[i].node);
	free(n->entries);
	free(n->data);
	free(n->target);
	free(n);
}

static void uncopy(struct mnode *n)
{
	n->copy = NULL;
	for (size_t i = 0; i < n->n_entries; i++)
		uncopy(n->entries[i].node);
}

static struct mnode *copy_node(struct mnode *n, struct mnode *parent)
{
	struct mnode *c = n->copy;

	if (c)
		return c;
	c = mnode_new(n->mode);
	*c = *n;
	n->copy = c;
	c->copy = NULL;
	c->parent = parent;
	c->data = n->data ? malloc(n->size + 1) : NULL;
	if (c->data)
		memcpy(c->data, n->data, n->size);
	c->target = n->target ? strdup(n->target) : NULL;
	c->entries = calloc(n->n_entries + 1, sizeof(*c->entries));
	for (size_t i = 0; i < n->n_entries; i++) {
		c->entries[i] = n->entries[i];
		c->entries[i].node = copy_node(n->entries[i].node, c);
	}
	return c;
}

static struct mnode *copy_tree(struct mnode *root)
{
	uncopy(root);
	return copy_node(root, NULL);
}

static struct mentry *entry_of(struct mnode *dir, const char *name)
{
	for (size_t i = 0; i < dir->n_entries; i++)
		if (strcmp(dir->entries[i].name, name) == 0)
			return &dir->entries[i];
	return NULL;
}

static void entry_add(struct mnode *dir, const char *name, struct mnode *n)
{
	dir->entries = realloc(dir->entries, (dir->n_entries + 1) * sizeof(*dir->entries));
	assert_non_null(dir->entries);
	snprintf(dir->entries[dir->n_entries].name, 256, "%s", name);
	dir->entries[dir->n_entries++].node = n;
	if (S_ISDIR(n->mode)) {
		n->parent = dir;
		dir->nlink++;
	}
}

static void entry_del(struct mnode *dir, struct mentry *e)
{
	if (S_ISDIR(e->node->mode))
		dir->nlink--;
	*e = dir->entries[--dir->n_entries];
}

/* All directories, and one of them by chance. */
static size_t collect(struct mnode *n, struct mnode **list, size_t k, bool dirs)
{
	if (S_ISDIR(n->mode) == dirs && k < MAX_NODES)
		list[k++] = n;
	for (size_t i = 0; i < n->n_entries; i++)
		k = collect(n->entries[i].node, list, k, dirs);
	return k;
}

static struct mnode *random_node(struct mnode *root, bool dir)
{
	struct mnode *list[MAX_NODES];
	size_t n = collect(root, list, 0, dir);

	return n ? list[rnd((uint32_t)n)] : NULL;
}

static void random_name(char *out)
{
	static const unsigned lengths[] = { 1, 3, 8, 20, 100, 255 };
	unsigned n = lengths[rnd(6)], k = rnd(60);
	char number[12];

	snprintf(number, sizeof(number), "%u", k);
	memset(out, 'a' + (int)(k % 26), n);
	out[n < 2 ? 2 : n] = 0;
	memcpy(out, number, strlen(number));
	if (n < strlen(number))
		out[strlen(number)] = 0;
}

/* ---- comparing ---- */

struct listing {
	struct br_fs *fs;
	struct mnode *dir;
	size_t n, stop_after;
	uint64_t cookie;
};

static int on_entry(void *ctx, const struct br_fs_dirent *d)
{
	struct listing *l = ctx;
	struct mentry *e;

	if (l->stop_after-- == 0)
		return 1;
	l->cookie = d->cookie;
	assert_int_not_equal(d->cookie, 0);
	if (strcmp(d->name, ".") == 0) {
		assert_int_equal(d->ino, l->dir->ino);
		return 0;
	}
	if (strcmp(d->name, "..") == 0) {
		assert_int_equal(d->ino, l->dir->parent ? l->dir->parent->ino : l->dir->ino);
		return 0;
	}
	e = entry_of(l->dir, d->name);
	assert_non_null(e);
	assert_int_equal(d->ino, e->node->ino);
	l->n++;
	return 0;
}

static void compare_data(struct br_fs *fs, struct mnode *n)
{
	uint8_t *buf = malloc(MAX_SIZE + 4096);
	size_t at = 0, got;
	bool eof = false;

	while (!eof) {
		size_t want = 1 + rnd(70000);

		assert_int_equal(fs->ops->read(fs, n->ino, at, buf + at, want < MAX_SIZE + 4096 - at ? want : 1, &got, &eof),
			0);
		at += got;
	}
	assert_int_equal(at, n->size);
	if (at)
		assert_memory_equal(buf, n->data, at);
	free(buf);
}

static void compare(struct br_fs *fs, struct mnode *n)
{
	struct br_fs_attr a;

	assert_int_equal(fs->ops->getattr(fs, n->ino, &a), 0);
	assert_int_equal(a.mode, n->mode);
	assert_int_equal(a.uid, n->uid);
	assert_int_equal(a.gid, n->gid);
	assert_int_equal(a.nlink, n->nlink);
	if (S_ISREG(n->mode)) {
		assert_int_equal(a.size, n->size);
		compare_data(fs, n);
	} else if (S_ISLNK(n->mode)) {
		char buf[4096];

		assert_int_equal(fs->ops->readlink(fs, n->ino, buf, sizeof(buf)), 0);
		assert_string_equal(buf, n->target);
	} else if (S_ISCHR(n->mode) || S_ISBLK(n->mode)) {
		assert_int_equal(a.rdev_major << 20 | a.rdev_minor, n->rdev);
	} else if (S_ISDIR(n->mode)) {
		struct listing l = { .fs = fs, .dir = n };
		bool eof = false;

		while (!eof) {
			l.stop_after = 1 + rnd(20);
			assert_int_equal(fs->ops->readdir(fs, n->ino, l.cookie, on_entry, &l, &eof), 0);
		}
		assert_int_equal(l.n, n->n_entries);
	}
	for (size_t i = 0; i < n->n_entries; i++) {
		uint64_t ino;

		assert_int_equal(fs->ops->lookup(fs, n->ino, n->entries[i].name, &ino), 0);
		assert_int_equal(ino, n->entries[i].node->ino);
		compare(fs, n->entries[i].node);
	}
}

/* ---- operations ---- */

struct world {
	struct ext_test t;
	struct mnode *now, *committed;
};

static void op_create(struct world *w)
{
	static const uint32_t types[] = { S_IFREG, S_IFREG, S_IFREG, S_IFDIR, S_IFDIR, S_IFLNK, S_IFCHR, S_IFBLK, S_IFIFO,
		S_IFSOCK };
	struct br_fs *fs = w->t.fs;
	struct mnode *dir = random_node(w->now, true), *n, *list[MAX_NODES];
	uint32_t type = types[rnd(10)];
	char name[256], target[1200];
	struct br_fs_new new = { .mode = type | rnd(07777), .uid = rnd(2) ? rnd(1000) : 0x12345678, .gid = rnd(70000) };
	int r;

	if (collect(w->now, list, 0, true) + collect(w->now, list, 0, false) > MAX_NODES - 10)
		return;
	random_name(name);
	if (type == S_IFLNK) {
		memset(target, 't', sizeof(target));
		target[1 + rnd(3) * (rnd(2) ? 29 : 500)] = 0;
		new.target = target;
		new.mode = S_IFLNK | 0777;
	} else if (type == S_IFCHR || type == S_IFBLK) {
		new.rdev_major = rnd(2) ? rnd(256) : rnd(4096);
		new.rdev_minor = rnd(2) ? rnd(256) : rnd(1 << 20);
	}
	n = mnode_new(new.mode);
	r = fs->ops->create(fs, dir->ino, name, &new, &n->ino);
	if (entry_of(dir, name)) {
		assert_int_equal(r, -EEXIST);
		free(n);
		return;
	}
	assert_int_equal(r, 0);
	n->uid = new.uid;
	n->gid = dir->mode & S_ISGID ? dir->gid : new.gid;
	if (S_ISDIR(type) && dir->mode & S_ISGID)
		n->mode |= S_ISGID;
	n->rdev = new.rdev_major << 20 | new.rdev_minor;
	n->target = new.target ? strdup(target) : NULL;
	entry_add(dir, name, n);
}

static void kill_suid(struct mnode *n)
{
	n->mode &= ~(uint32_t)S_ISUID;
	if (n->mode & S_IXGRP)
		n->mode &= ~(uint32_t)S_ISGID;
}

static void grow(struct mnode *n, size_t size)
{
	if (size <= n->size)
		return;
	n->data = realloc(n->data, size);
	assert_non_null(n->data);
	memset(n->data + n->size, 0, size - n->size);
	n->size = size;
}

static void op_write(struct world *w)
{
	static const uint32_t sizes[] = { 10, 512, 4096, 8192, 40000, 100000 };
	struct br_fs *fs = w->t.fs;
	struct mnode *n = random_node(w->now, false);
	uint32_t len = rnd(2) ? sizes[rnd(6)] : 1 + rnd(30000), offset;
	uint8_t *buf;

	if (!n || !S_ISREG(n->mode))
		return;
	offset = rnd(3) ? rnd((uint32_t)n->size + 1) : rnd(MAX_SIZE);
	if (rnd(2))
		offset &= ~4095u;
	if (offset + len > MAX_SIZE)
		len = MAX_SIZE - offset;
	buf = malloc(len + 1);
	memset(buf, (int)rnd(256), len);
	for (uint32_t i = 0; i < len; i += 97)
		buf[i] = (uint8_t)rnd(256);
	assert_int_equal(fs->ops->write(fs, n->ino, offset, buf, len), 0);
	if (len) {
		grow(n, offset + len);
		memcpy(n->data + offset, buf, len);
		kill_suid(n);
	}
	free(buf);
}

static void op_setattr(struct world *w)
{
	struct br_fs *fs = w->t.fs;
	struct mnode *n = random_node(w->now, rnd(3) == 0);
	struct br_fs_setattr a = { .set = rnd(16), .mode = rnd(07777), .uid = rnd(100000), .gid = rnd(3),
		.size = rnd(2) ? rnd(MAX_SIZE) : rnd(8) * 4096 };

	if (!n)
		return;
	if (!S_ISREG(n->mode))
		a.set &= ~(unsigned)BR_FS_SET_SIZE;
	if (S_ISLNK(n->mode))
		a.set &= ~(unsigned)BR_FS_SET_MODE;
	assert_int_equal(fs->ops->setattr(fs, n->ino, &a), 0);
	if (a.set & BR_FS_SET_SIZE) {
		grow(n, a.size);
		n->size = a.size;
		kill_suid(n);
	}
	if (a.set & BR_FS_SET_UID)
		n->uid = a.uid;
	if (a.set & BR_FS_SET_GID)
		n->gid = a.gid;
	if (a.set & (BR_FS_SET_UID | BR_FS_SET_GID) && !S_ISDIR(n->mode))
		kill_suid(n);
	if (a.set & BR_FS_SET_MODE)
		n->mode = (n->mode & S_IFMT) | a.mode;
}

static void op_remove(struct world *w)
{
	struct br_fs *fs = w->t.fs;
	struct mnode *dir = random_node(w->now, true), *n;
	struct mentry *e;
	int r;

	if (!dir->n_entries)
		return;
	e = &dir->entries[rnd((uint32_t)dir->n_entries)];
	n = e->node;
	r = S_ISDIR(n->mode) ? fs->ops->rmdir(fs, dir->ino, e->name) : fs->ops->unlink(fs, dir->ino, e->name);
	if (S_ISDIR(n->mode) && n->n_entries) {
		assert_int_equal(r, -ENOTEMPTY);
		return;
	}
	assert_int_equal(r, 0);
	entry_del(dir, e);
	mnode_put(n);
}

static void op_link(struct world *w)
{
	struct br_fs *fs = w->t.fs;
	struct mnode *dir = random_node(w->now, true), *n = random_node(w->now, rnd(10) == 0);
	char name[256];
	int r;

	if (!n)
		return;
	random_name(name);
	r = fs->ops->link(fs, n->ino, dir->ino, name);
	if (entry_of(dir, name)) {
		assert_int_equal(r, -EEXIST);
	} else if (S_ISDIR(n->mode)) {
		assert_int_equal(r, -EPERM);
	} else {
		assert_int_equal(r, 0);
		n->nlink++;
		entry_add(dir, name, n);
	}
}

static bool is_below(const struct mnode *dir, const struct mnode *n)
{
	while (dir && dir != n)
		dir = dir->parent;
	return dir != NULL;
}

static int rename_expect(struct mnode *n, struct mnode *to_dir, struct mentry *old)
{
	if (S_ISDIR(n->mode) && is_below(to_dir, n))
		return -EINVAL;
	if (!old || old->node == n)
		return 0;
	if (!S_ISDIR(n->mode))
		return S_ISDIR(old->node->mode) ? -EISDIR : 0;
	if (!S_ISDIR(old->node->mode))
		return -ENOTDIR;
	return old->node->n_entries ? -ENOTEMPTY : 0;
}

static void op_rename(struct world *w)
{
	struct br_fs *fs = w->t.fs;
	struct mnode *from_dir = random_node(w->now, true), *to_dir = random_node(w->now, true), *n, *gone = NULL;
	struct mentry *e, *old;
	char to[256], from[256];
	int r;

	if (!from_dir->n_entries)
		return;
	e = &from_dir->entries[rnd((uint32_t)from_dir->n_entries)];
	n = e->node;
	snprintf(from, sizeof(from), "%s", e->name);
	random_name(to);
	if (to_dir->n_entries && rnd(3) == 0)
		snprintf(to, sizeof(to), "%s", to_dir->entries[rnd((uint32_t)to_dir->n_entries)].name);
	old = entry_of(to_dir, to);
	r = fs->ops->rename(fs, from_dir->ino, from, to_dir->ino, to);
	assert_int_equal(r, rename_expect(n, to_dir, old));
	if (r < 0 || (old && old->node == n))
		return;
	if (old) {
		gone = old->node;
		entry_del(to_dir, old);
	}
	entry_del(from_dir, entry_of(from_dir, from));
	entry_add(to_dir, to, n);
	if (gone)
		mnode_put(gone);
}

static void op_commit(struct world *w)
{
	assert_int_equal(w->t.fs->ops->commit(w->t.fs), 0);
	mnode_put(w->committed);
	w->committed = copy_tree(w->now);
}

static void op_reopen(struct world *w)
{
	if (rnd(2)) { /* killed */
		mnode_put(w->now);
		w->now = copy_tree(w->committed);
	} else {
		op_commit(w);
	}
	ext_test_kill(&w->t);
	ext_test_open(&w->t, NULL);
}

static void step(struct world *w)
{
	static void (*const ops[])(struct world *w) = { op_create, op_create, op_create, op_write, op_write, op_write,
		op_setattr, op_remove, op_remove, op_link, op_rename, op_rename };
	uint32_t k = rnd(400);

	if (k == 0)
		op_reopen(w);
	else if (k < 8)
		op_commit(w);
	else
		ops[k % BR_ARRAY_SIZE(ops)](w);
}

/* ---- what is in the image from the start ---- */

struct adopting {
	struct br_fs *fs;
	struct mnode *dir;
};

static void adopt(struct br_fs *fs, struct mnode *n);

static int adopt_entry(void *ctx, const struct br_fs_dirent *d)
{
	struct adopting *a = ctx;
	struct mnode *n;

	if (strcmp(d->name, ".") == 0 || strcmp(d->name, "..") == 0)
		return 0;
	n = mnode_new(S_IFREG);
	n->ino = d->ino;
	adopt(a->fs, n);
	entry_add(a->dir, d->name, n);
	return 0;
}

/* No hard links among them. */
static void adopt(struct br_fs *fs, struct mnode *n)
{
	struct adopting listing = { fs, n };
	char target[4096];
	struct br_fs_attr a;
	bool eof = true;
	size_t got;

	assert_int_equal(fs->ops->getattr(fs, n->ino, &a), 0);
	n->mode = a.mode;
	n->uid = a.uid;
	n->gid = a.gid;
	if (S_ISDIR(n->mode)) {
		n->nlink = 2;
		assert_int_equal(fs->ops->readdir(fs, n->ino, 0, adopt_entry, &listing, &eof), 0);
	} else if (S_ISREG(n->mode)) {
		grow(n, a.size);
		assert_int_equal(fs->ops->read(fs, n->ino, 0, n->data, n->size, &got, &eof), 0);
		assert_int_equal(got, n->size);
	} else if (S_ISLNK(n->mode)) {
		assert_int_equal(fs->ops->readlink(fs, n->ino, target, sizeof(target)), 0);
		n->target = strdup(target);
	}
	assert_true(eof);
}

/* Small files and directories of all sizes around what fits into an inode. */
static void make_tree(const char *tree)
{
	assert_int_equal(run("rm -rf %s && mkdir -p %s && cd %s && for i in 0 1 30 59 60 61 90 120 140 155 160 400 5000; do "
			     "head -c $i /dev/zero | tr '\\0' x >f$i; mkdir d$i; ln -s $(printf '%%0'$((i + 1))'d' 0 | head -c 900) l$i; "
			     "for k in 1 2 3 4 5 6 7 8 9 a b c; do [ $k = 1 -o $(($k * 12)) -lt $i ] 2>/dev/null && "
			     "touch d$i/n$k; done; done; true", tree, tree, tree), 0);
}

/* Linux puts more into inodes than mke2fs does: the second part of a directory's entries. Where we may mount. */
static void add_by_kernel(void)
{
	if (run("cd %s && mkdir mnt && mount -o loop model.img mnt 2>/dev/null && { cd mnt; for i in 2 4 5 6 7 9 20; do mkdir k$i; "
		"for k in $(seq $i); do touch k$i/n$k; done; rm k$i/n2; done; for i in 10 70 110 130; do head -c $i /dev/urandom >kf$i; "
		"done; truncate -s 3 kf10; truncate -s 64 kf110; cd ..; umount mnt; }", test_dir()) != 0)
		print_message("not mounted: nothing made by the kernel in this one\n");
	assert_int_equal(run("rmdir %s/mnt", test_dir()), 0);
}

static void random_operations(const char *options, bool seeded, unsigned steps, uint64_t seed)
{
	struct world w = { 0 };
	char tree[400];

	rng = seed;
	snprintf(tree, sizeof(tree), "%s/tree", test_dir());
	if (seeded)
		make_tree(tree);
	make_image("model.img", 24 << 10, options, seeded ? tree : NULL);
	assert_int_equal(run("rm -rf %s", tree), 0);
	if (seeded)
		add_by_kernel();
	ext_test_new(&w.t, "model.img");
	assert_int_equal(w.t.fs->ops->rmdir(w.t.fs, w.t.fs->ops->root(w.t.fs), "lost+found"), 0);
	w.now = mnode_new(S_IFDIR | 0755);
	w.now->ino = w.t.fs->ops->root(w.t.fs);
	adopt(w.t.fs, w.now);
	assert_int_equal(w.t.fs->ops->commit(w.t.fs), 0);
	w.committed = copy_tree(w.now);
	for (unsigned i = 0; i < steps; i++) {
		step(&w);
		if (i % 500 == 499)
			compare(w.t.fs, w.now);
		if (i % 2000 == 1999)
			ext_test_fsck(&w.t), op_commit(&w);
	}
	compare(w.t.fs, w.now);
	ext_test_fsck(&w.t);
	ext_test_end(&w.t);
	mnode_put(w.now);
	mnode_put(w.committed);
}

static const struct kind {
	const char *title, *options;
	bool seeded;
} kinds[] = {
	{ "debian", "" },
	{ "raspberry pi os", "-O ^64bit,^huge_file,^metadata_csum" },
	{ "checksums, 64bit", "-O 64bit,metadata_csum,metadata_csum_seed" },
	{ "block maps", "-O ^extents,^64bit,^metadata_csum" },
	{ "blocks of 1 KiB", "-b 1024" },
	{ "blocks of 1 KiB, block maps", "-b 1024 -O ^extents,^64bit,^metadata_csum,^flex_bg -I 128" },
	{ "old: no journal, no features", "-b 2048 -O none,filetype,sparse_super" },
	{ "trixie", "-O metadata_csum_seed,orphan_file", true },
	{ "inline data", "-O inline_data", true },
	{ "inline data, inodes of 1 KiB, blocks of 1 KiB", "-O inline_data -b 1024 -I 1024", true },
	{ "inline data, block maps, no checksums", "-O inline_data,^extents,^64bit,^metadata_csum", true },
};

static void model(void **state)
{
	const char *seed = getenv("BR_TEST_SEED"), *steps = getenv("BR_TEST_STEPS");
	const struct kind *k = *state;

	if (!have_mke2fs()) {
		print_message("skipped: mke2fs, e2fsck and debugfs are needed\n");
		skip();
	}
	random_operations(k->options, k->seeded, steps ? (unsigned)atoi(steps) : 1500, seed ? (uint64_t)atoll(seed) : 1);
}

int main(void)
{
	struct CMUnitTest tests[BR_ARRAY_SIZE(kinds)] = { 0 };

	for (size_t i = 0; i < BR_ARRAY_SIZE(kinds); i++)
		tests[i] = (struct CMUnitTest){ .name = kinds[i].title, .test_func = model, .initial_state = (void *)&kinds[i] };
	return cmocka_run_group_tests_name("extfs model", tests, NULL, NULL);
}

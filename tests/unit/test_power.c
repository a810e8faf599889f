/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The power fails while a disk is written, committed, frozen, named and made larger. Every call that changes a file or a
 * name below STATE/disks and STATE/layers goes through here and is remembered, and what a sync made last. At a random
 * sample of these calls a state is built that the host may show after the failure: names as of some moment since the
 * last sync that covered them (a journal keeps their order), of each file's unsynced writes any sectors. The disk in
 * it must open, hold what was acknowledged, be clean, and go on.
 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/hash.h"
#include "tests/unit/storelab.h"

static uint64_t rng;

static uint32_t rnd(uint32_t n)
{
	rng = rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(rng >> 33) % n;
}

/* ---- what the host was told ---- */

enum op_kind { MADE_FILE, MADE_DIR, LINKED, RENAMED, REMOVED };

struct op { /* on names, in order */
	enum op_kind kind;
	int file;
	char path[200], to[200]; /* below the state directory */
};

struct change { /* of a file, not yet synced */
	uint64_t offset;
	size_t len;
	uint8_t *data; /* NULL: the file was cut to 'offset' */
};

struct file {
	ino_t ino; /* 0: no more */
	uint8_t *stable;
	size_t size;
	struct change changes[4096];
	size_t n_changes;
};

#define FILES_MAX 400
#define OPS_MAX	  4000

static struct {
	bool on;
	char root[300]; /* the state directory with a slash */
	struct file *files[FILES_MAX];
	int n_files;
	struct op ops[OPS_MAX];
	size_t n_ops, n_stable; /* ops that are sure to be there */
	unsigned calls, crashes;
	unsigned rate; /* one call in so many is a crash */
} host;

static void crash(void);

/* Before each call that changes or syncs something of disks and layers. */
static void before_call(void)
{
	host.calls++;
	if (rnd(host.rate) == 0)
		crash();
}

static const char *watched(const char *path)
{
	size_t n = strlen(host.root);

	if (!host.on || strncmp(path, host.root, n) != 0)
		return NULL;
	path += n;
	return !strncmp(path, "disks", 5) || !strncmp(path, "layers", 6) ? path : NULL;
}

static bool path_of_fd(int fd, char path[static 512])
{
	char link[40];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, 511);
	path[n < 0 ? 0 : n] = 0;
	return n > 0 && watched(path);
}

static int file_of(ino_t ino)
{
	for (int i = 0; i < host.n_files; i++)
		if (host.files[i]->ino == ino)
			return i;
	return -1;
}

static struct file *file_of_fd(int fd)
{
	struct stat st;
	char path[512];
	int i = -1;

	if (host.on && path_of_fd(fd, path) && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		i = file_of(st.st_ino);
	return i < 0 ? NULL : host.files[i];
}

static struct op *add_op(enum op_kind kind, const char *path, const char *to, int file)
{
	struct op *op = &host.ops[host.n_ops++];

	assert_true(host.n_ops < OPS_MAX);
	*op = (struct op){ .kind = kind, .file = file };
	snprintf(op->path, sizeof(op->path), "%s", path);
	snprintf(op->to, sizeof(op->to), "%s", to ?: "");
	return op;
}

static void made_file(const char *path, int fd)
{
	struct stat st;
	int old;

	assert_int_equal(fstat(fd, &st), 0);
	old = file_of(st.st_ino);
	if (old >= 0)
		host.files[old]->ino = 0; /* its number is used again */
	assert_true(host.n_files < FILES_MAX);
	host.files[host.n_files] = calloc(1, sizeof(struct file));
	assert_non_null(host.files[host.n_files]);
	host.files[host.n_files]->ino = st.st_ino;
	add_op(MADE_FILE, path, NULL, host.n_files++);
}

static void add_change(struct file *f, uint64_t offset, const void *data, size_t len)
{
	struct change *c = &f->changes[f->n_changes++];

	assert_true(f->n_changes < BR_ARRAY_SIZE(f->changes));
	*c = (struct change){ .offset = offset, .len = len };
	if (data) {
		c->data = malloc(len + 1);
		assert_non_null(c->data);
		memcpy(c->data, data, len);
	}
}

static void apply(uint8_t **data, size_t *size, const struct change *c, size_t from, size_t to)
{
	uint64_t end = c->data ? c->offset + to : c->offset;

	if (end > *size || !c->data) {
		*data = realloc(*data, end + 1);
		assert_non_null(*data);
		if (end > *size)
			memset(*data + *size, 0, end - *size);
		*size = end;
	}
	if (c->data)
		memcpy(*data + c->offset + from, c->data + from, to - from);
}

static void settle(struct file *f)
{
	for (size_t i = 0; i < f->n_changes; i++) {
		apply(&f->stable, &f->size, &f->changes[i], 0, f->changes[i].len);
		free(f->changes[i].data);
	}
	f->n_changes = 0;
}

/* A journal that makes a name last has all names before it. */
static void names_last(const char *in, int file)
{
	size_t n = in ? strlen(in) : 0;

	for (size_t i = host.n_ops; i-- > host.n_stable;) {
		const struct op *op = &host.ops[i];

		if ((file >= 0 && op->file == file) || (in && !strncmp(op->path, in, n) && op->path[n] == '/')) {
			host.n_stable = i + 1;
			return;
		}
	}
}

/* ---- the calls ---- */

int open64(const char *path, int flags, ...)
{
	const char *name = watched(path);
	bool makes = name && flags & O_CREAT && access(path, F_OK) < 0;
	va_list ap;
	mode_t mode;
	int fd;

	va_start(ap, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	if (makes)
		before_call();
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
	if (fd >= 0 && makes)
		made_file(name, fd);
	else if (fd >= 0 && name && flags & O_TRUNC && file_of_fd(fd))
		add_change(file_of_fd(fd), 0, NULL, 0);
	return fd;
}

static void random_name(char *template)
{
	uint8_t r[3];
	char hex[7];

	br_random(r, sizeof(r));
	br_hex(hex, r, sizeof(r));
	memcpy(template + strlen(template) - 6, hex, 6);
}

int mkostemp64(char *template, int flags)
{
	random_name(template);
	return open64(template, O_RDWR | O_CREAT | O_EXCL | flags, 0600);
}

int mkdir(const char *path, mode_t mode)
{
	const char *name = watched(path);
	int r;

	if (name)
		before_call();
	r = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
	if (!r && name)
		add_op(MADE_DIR, name, NULL, -1);
	return r;
}

char *mkdtemp(char *template)
{
	random_name(template);
	return mkdir(template, 0700) ? NULL : template;
}

int link(const char *a, const char *b)
{
	const char *name = watched(b);
	struct stat st;
	int r;

	if (name)
		before_call();
	r = (int)syscall(SYS_linkat, AT_FDCWD, a, AT_FDCWD, b, 0);
	if (!r && name && stat(b, &st) == 0)
		add_op(LINKED, name, NULL, file_of(st.st_ino));
	return r;
}

int rename(const char *a, const char *b)
{
	const char *from = watched(a), *to = watched(b);
	int r;

	if (from && to)
		before_call();
	r = (int)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 0);
	if (!r && from)
		add_op(to ? RENAMED : REMOVED, from, to, -1);
	return r;
}

static int remove_name(const char *path, int flags)
{
	const char *name = watched(path);
	int r;

	if (name)
		before_call();
	r = (int)syscall(SYS_unlinkat, AT_FDCWD, path, flags);
	if (!r && name)
		add_op(REMOVED, name, NULL, -1);
	return r;
}

int unlink(const char *path)
{
	return remove_name(path, 0);
}

int remove(const char *path)
{
	struct stat st;

	return remove_name(path, lstat(path, &st) == 0 && S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t offset)
{
	struct file *f = file_of_fd(fd);
	ssize_t r;

	if (f)
		before_call();
	r = syscall(SYS_pwrite64, fd, buf, n, offset);
	if (f && r > 0)
		add_change(f, (uint64_t)offset, buf, (size_t)r);
	return r;
}

ssize_t write(int fd, const void *buf, size_t n)
{
	struct file *f = file_of_fd(fd);
	uint64_t at = f ? (uint64_t)lseek(fd, 0, SEEK_CUR) : 0;
	ssize_t r;

	if (f)
		before_call();
	r = syscall(SYS_write, fd, buf, n);
	if (f && r > 0)
		add_change(f, at, buf, (size_t)r);
	return r;
}

int ftruncate64(int fd, off64_t size)
{
	struct file *f = file_of_fd(fd);
	int r;

	if (f)
		before_call();
	r = (int)syscall(SYS_ftruncate, fd, size);
	if (f && !r)
		add_change(f, (uint64_t)size, NULL, 0);
	return r;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t len)
{
	struct file *f = file_of_fd(fd);
	int r;

	if (f)
		before_call();
	r = (int)syscall(SYS_fallocate, fd, mode, offset, len);
	if (f && !r) {
		uint8_t *zeros = calloc(1, (size_t)len);

		assert_non_null(zeros);
		add_change(f, (uint64_t)offset, zeros, (size_t)len);
		free(zeros);
	}
	return r;
}

static void synced(int fd)
{
	struct file *f = file_of_fd(fd);
	char path[512];

	if (f)
		settle(f);
	for (int i = 0; f && i < host.n_files; i++)
		if (host.files[i] == f)
			names_last(NULL, i);
	if (!f && host.on && path_of_fd(fd, path))
		names_last(path + strlen(host.root), -1);
}

static int sync_call(int number, int fd)
{
	char path[512];
	bool counts = host.on && path_of_fd(fd, path);
	int r;

	if (counts)
		before_call();
	r = (int)syscall(number, fd);
	if (!r)
		synced(fd);
	if (counts)
		before_call();
	return r;
}

int fsync(int fd)
{
	return sync_call(SYS_fsync, fd);
}

int fdatasync(int fd)
{
	return sync_call(SYS_fdatasync, fd);
}

/* ---- what is there after the power failed ---- */

struct name {
	char path[200];
	int file; /* -1: directory */
};

static struct name names[600];
static size_t n_names;

static bool below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return !strncmp(path, top, n) && (path[n] == '/' || !path[n]);
}

static void drop_names(const char *path)
{
	for (size_t i = 0; i < n_names;)
		if (below(names[i].path, path))
			names[i] = names[--n_names];
		else
			i++;
}

static void put_name(const char *path, int file)
{
	assert_true(n_names < BR_ARRAY_SIZE(names));
	snprintf(names[n_names].path, sizeof(names[0].path), "%s", path);
	names[n_names++].file = file;
}

static void replay_op(const struct op *op)
{
	char moved[512];

	switch (op->kind) {
	case MADE_FILE:
	case LINKED:
	case MADE_DIR:
		put_name(op->path, op->file);
		break;
	case REMOVED:
		drop_names(op->path);
		break;
	case RENAMED:
		drop_names(op->to);
		for (size_t i = 0; i < n_names; i++)
			if (below(names[i].path, op->path)) {
				assert_in_range(snprintf(moved, sizeof(moved), "%s%s", op->to, names[i].path + strlen(op->path)), 1,
					sizeof(names[i].path) - 1);
				memcpy(names[i].path, moved, strlen(moved) + 1);
			}
		break;
	}
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->path, ((const struct name *)b)->path);
}

static void put_file(const char *path, const struct file *f, bool all)
{
	uint8_t *data = malloc(f->size + 1);
	size_t size = f->size;
	int fd;

	assert_non_null(data);
	if (size)
		memcpy(data, f->stable, size);
	for (size_t i = 0; i < f->n_changes; i++) {
		const struct change *c = &f->changes[i];
		uint32_t how = all ? 1 : rnd(3); /* not at all, wholly, some sectors of it */

		if (how && !c->data)
			apply(&data, &size, c, 0, 0);
		for (size_t o = 0; how && c->data && o < c->len; o += 512)
			if (how == 1 || rnd(2))
				apply(&data, &size, c, o, o + 512 < c->len ? o + 512 : c->len);
	}
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(br_pwrite_all(fd, data, size, 0), 0);
	close(fd);
	free(data);
}

/* Builds it below 'to'. Files with several names become as many files: nobody writes to both. */
static void put_state(const char *to)
{
	size_t n = host.n_stable + rnd((uint32_t)(host.n_ops - host.n_stable) + 1);
	bool killed = rnd(4) == 0; /* only the process died: the host forgets nothing */
	char path[600];

	n_names = 0;
	for (size_t i = 0; i < (killed ? host.n_ops : n); i++)
		replay_op(&host.ops[i]);
	qsort(names, n_names, sizeof(names[0]), by_path);
	for (size_t i = 0; i < n_names; i++) {
		assert_in_range(snprintf(path, sizeof(path), "%s/%s", to, names[i].path), 1, sizeof(path) - 1);
		if (names[i].file < 0)
			assert_int_equal(br_mkdir_all(path, 0700, NULL), 0);
		else
			put_file(path, host.files[names[i].file], killed);
	}
}

/* ---- what was acknowledged ---- */

#define N_NAMES 12
#define MAYBE	40

static struct {
	char is[40];	       /* acknowledged; "(missing)" */
	char maybe[MAYBE][40]; /* since then */
	unsigned n_maybe;
} model[N_NAMES];
static uint64_t must_size, may_size;

static void check_disk(struct br_disk *disk)
{
	struct br_fs *fs = br_disk_fs(disk);
	struct br_disk_usage usage;

	br_disk_usage(disk, &usage);
	if (usage.base_bytes != must_size && usage.base_bytes != may_size)
		fail_msg("crash %u: the disk has %llu bytes", host.crashes, (unsigned long long)usage.base_bytes);
	for (unsigned i = 0; i < N_NAMES; i++) {
		char name[8];
		const char *text;
		bool found;

		snprintf(name, sizeof(name), "/f%u", i);
		text = read_file(fs, name);
		found = !strcmp(text, model[i].is);
		for (unsigned k = 0; k < model[i].n_maybe; k++)
			found = found || !strcmp(text, model[i].maybe[k]);
		if (!found)
			fail_msg("crash %u: f%u is '%s', acknowledged was '%s'", host.crashes, i, text, model[i].is);
	}
}

static void crash(void)
{
	char state[400], where[500];
	struct br_store *live = store, *crashed;
	struct br_error err = BR_ERROR_NULL;
	struct br_image *image = NULL;
	struct br_disk *disk = NULL;

	host.on = false;
	host.crashes++;
	snprintf(state, sizeof(state), "%s/crashed", dir);
	snprintf(where, sizeof(where), "%s/disks/1/persistent", state);
	assert_int_equal(br_remove_tree(state, NULL), 0);
	/* of its own: the live store may hold its lock */
	assert_int_equal(test_sh("mkdir -p %s/images && cp -al %simages/card %s/images/", state, host.root, state), 0);
	put_state(state);
	if (br_store_open(state, &crashed, &err) < 0 || br_image_open(crashed, "card", &image, &err) < 0 ||
		br_disk_open(image, where, &disk, &err) < 0)
		fail_msg("crash %u at call %u: %s", host.crashes, host.calls, err.text);
	check_disk(disk);
	/* and it goes on */
	write_file(br_disk_fs(disk), "later", "after the failure");
	if (host.crashes % 4 == 0) {
		char id[33];

		freeze(disk, id);
		store = crashed;
		gc(false);
		store = live;
	}
	assert_clean(disk);
	br_disk_close(disk);
	if (br_disk_open(image, where, &disk, &err) < 0)
		fail_msg("crash %u, second start: %s", host.crashes, err.text);
	assert_string_equal(read_file(br_disk_fs(disk), "/later"), "after the failure");
	check_disk(disk);
	br_disk_close(disk);
	br_image_unref(image);
	br_store_close(crashed);
	host.on = true;
}

/* ---- a life ---- */

static void now_may_be(unsigned i, const char *text)
{
	assert_true(model[i].n_maybe < MAYBE);
	snprintf(model[i].maybe[model[i].n_maybe++], sizeof(model[i].maybe[0]), "%s", text);
}

static void acknowledged(void)
{
	for (unsigned i = 0; i < N_NAMES; i++)
		if (model[i].n_maybe) {
			memcpy(model[i].is, model[i].maybe[model[i].n_maybe - 1], sizeof(model[i].is));
			model[i].n_maybe = 0;
		}
}

static void step_change(struct br_fs *fs, unsigned n)
{
	unsigned i = rnd(N_NAMES);
	char name[8], text[40];
	uint64_t ino;

	if (model[i].n_maybe > MAYBE - 3)
		return;
	snprintf(name, sizeof(name), "f%u", i);
	snprintf(text, sizeof(text), "text %u of %u, of one length", 10000 + n, 10 + i);
	if (br_fs_walk(fs, name, &ino) == 0 && rnd(3) == 0) {
		now_may_be(i, "(missing)");
		assert_int_equal(fs->ops->unlink(fs, fs->ops->root(fs), name), 0);
		return;
	}
	now_may_be(i, text);
	if (br_fs_walk(fs, name, &ino) < 0) /* between the two calls it is empty */
		now_may_be(i, ""), now_may_be(i, text);
	write_file(fs, name, text);
}

static void step(struct br_image *image, struct br_disk **disk, unsigned n)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_fs *fs = br_disk_fs(*disk);
	char id[33];
	int r = 0;

	switch (rnd(24)) {
	case 0:
		r = br_disk_freeze(*disk, id, &err);
		break;
	case 1:
		r = br_disk_snapshot(*disk, NULL, NULL, &err);
		break;
	case 2:
		br_disk_close(*disk);
		if (rnd(3) == 0 && must_size < 200 << 20) {
			may_size = must_size + (40 << 20);
			r = br_disk_grow(image, disk_dir, may_size, &err);
			must_size = may_size;
		}
		*disk = disk_open(image, disk_dir);
		break;
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
		r = fs->ops->commit(fs);
		break;
	default:
		step_change(fs, n);
		return;
	}
	if (r < 0)
		fail_msg("%s", br_error_text(&err, r));
	acknowledged();
}

static void live(uint64_t seed, unsigned steps, unsigned rate)
{
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	struct br_disk *disk;

	rng = seed;
	image = image_open("card");
	snprintf(host.root, sizeof(host.root), "%s/state/", dir);
	host.rate = rate;
	host.n_ops = host.n_stable = 0;
	must_size = may_size = 16 << 20;
	for (unsigned i = 0; i < N_NAMES; i++) {
		strcpy(model[i].is, "(missing)");
		model[i].n_maybe = 0;
	}
	host.on = true;
	host.rate = UINT32_MAX; /* a disk that nobody was told of may be lost with all of it */
	disk = disk_open(image, disk_dir);
	host.rate = rate;
	for (unsigned n = 0; n < steps; n++)
		step(image, &disk, n);
	host.on = false;
	br_disk_close(disk);
	assert_int_equal(br_remove_tree(disk_dir, NULL), 0);
	gc(false);
	for (int i = 0; i < host.n_files; i++) {
		settle(host.files[i]);
		free(host.files[i]->stable);
		free(host.files[i]);
	}
	host.n_files = 0;
}

/* BR_TEST_STEPS for a longer life. */
static void the_power_fails_anywhere(void **state)
{
	const char *steps = getenv("BR_TEST_STEPS");

	test_needs(TOOLS);
	for (uint64_t seed = 1; seed <= 3; seed++)
		live(seed, steps ? (unsigned)atoi(steps) : 100, 40);
	print_message("%u calls, %u crashes\n", host.calls, host.crashes);
	assert_true(host.crashes > 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_power_fails_anywhere),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

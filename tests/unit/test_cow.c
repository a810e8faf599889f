/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copy-on-write layer beside an array in memory. The power fails at every single write
 * and sync: of what was not synced any part may have reached the disk, in any order. What
 * is then opened must be the last commit that was answered, or the one being made.
 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "store/cow_priv.h"

#define BLOCKS 80u
#define SIZE   (BLOCKS * BR_COW_BLOCK - 1024) /* the last block is cut */
#define FULL   (BLOCKS * BR_COW_BLOCK)

static const uint8_t uuid[16] = "uuid of the disk";
static uint64_t rng;

static uint32_t rnd(uint32_t n)
{
	rng = rng * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(rng >> 33) % n;
}

/* ---- a disk that forgets what was not synced ---- */

struct write {
	uint64_t offset;
	size_t len;
	uint8_t *data;
};

struct file { /* by inode: 'slots', 'map' and each 'map.new' */
	ino_t ino;
	uint8_t *stable;
	size_t size;
	struct write writes[512];
	size_t n_writes;
};

struct power {
	struct file files[64];
	size_t n_files;
	char dir[300], crash_dir[300], base[300];
	int base_fd;
	uint8_t committed[FULL], next[FULL]; /* answered; being committed */
	bool committing;
	unsigned crashes, fail_in; /* fail_in: the Nth write from now says ENOSPC; 0: none */
	bool quiet;
};

static struct file *file_of(struct power *p, ino_t ino)
{
	for (size_t i = 0; i < p->n_files; i++)
		if (p->files[i].ino == ino)
			return &p->files[i];
	assert_true(p->n_files < BR_ARRAY_SIZE(p->files));
	p->files[p->n_files].ino = ino;
	return &p->files[p->n_files++];
}

static struct file *file_of_fd(struct power *p, int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return file_of(p, st.st_ino);
}

static void apply(uint8_t **data, size_t *size, const struct write *w, size_t from, size_t to)
{
	if (w->offset + to > *size) {
		if (w->offset + to > malloc_usable_size(*data)) { /* in steps: AddressSanitizer's realloc always copies */
			*data = realloc(*data, ((w->offset + to) >> 20 << 20) + (1 << 20));
			assert_non_null(*data);
		}
		memset(*data + *size, 0, w->offset + to - *size);
		*size = w->offset + to;
	}
	memcpy(*data + w->offset + from, w->data + from, to - from);
}

static void settle(struct file *f)
{
	for (size_t i = 0; i < f->n_writes; i++) {
		apply(&f->stable, &f->size, &f->writes[i], 0, f->writes[i].len);
		free(f->writes[i].data);
	}
	f->n_writes = 0;
}

static void put_file(const char *path, const void *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(br_pwrite_all(fd, data, size, 0), 0);
	close(fd);
}

/* What the disk may hold after the power failed: stable bytes and some sectors of the rest. */
static void write_crashed(struct power *p, const char *name)
{
	char path[400], out[400];
	uint8_t *data;
	struct stat st;
	struct file *f;
	size_t size;

	snprintf(path, sizeof(path), "%s/%s", p->dir, name);
	snprintf(out, sizeof(out), "%s/%s", p->crash_dir, name);
	assert_int_equal(stat(path, &st), 0);
	f = file_of(p, st.st_ino);
	size = f->size;
	data = malloc(size + 1);
	assert_non_null(data);
	if (size)
		memcpy(data, f->stable, size);
	for (size_t i = 0; i < f->n_writes; i++) {
		const struct write *w = &f->writes[i];
		uint32_t how = rnd(3);

		for (size_t o = 0; how && o < w->len; o += 512)
			if (how == 1 || rnd(2))
				apply(&data, &size, w, o, o + 512 < w->len ? o + 512 : w->len);
	}
	put_file(out, data, size);
	free(data);
}

static void check_state(struct power *p, struct br_cow *cow, const char *when)
{
	uint8_t *now = malloc(FULL);

	assert_int_equal(br_cow_read(cow, 0, now, SIZE), 0);
	if (memcmp(now, p->committed, SIZE) != 0 && !(p->committing && memcmp(now, p->next, SIZE) == 0))
		fail_msg("%s: neither the last commit nor the one being made", when);
	free(now);
}

static void crash(struct power *p)
{
	struct br_error err = { 0 };
	struct br_cow *cow;
	int r;

	if (p->quiet)
		return;
	p->crashes++;
	write_crashed(p, "slots");
	write_crashed(p, "map");
	r = br_cow_open(p->base_fd, 0, SIZE, p->crash_dir, uuid, NULL, &cow, &err);
	if (r < 0)
		fail_msg("crash %u: %s", p->crashes, err.text);
	check_state(p, cow, "after a crash");
	/* life goes on on what is left */
	if (p->crashes % 8 == 0) {
		uint8_t block[BR_COW_BLOCK] = { 1, 2, 3 };

		br_cow_begin(cow);
		assert_int_equal(br_cow_write_data(cow, 0, block, sizeof(block)), 0);
		br_cow_end(cow, true);
		assert_int_equal(br_cow_commit(cow), 0);
	}
	br_cow_close(cow);
}

static ssize_t power_pwrite(void *ctx, int fd, const void *buf, size_t n, off_t offset)
{
	struct power *p = ctx;
	struct file *f = file_of_fd(p, fd);

	if (p->fail_in && --p->fail_in == 0) {
		errno = ENOSPC;
		return -1;
	}
	/* a header is written: a new log, perhaps with the inode number of one that is gone */
	if (offset == 0 && n == COW_HEADER_SIZE) {
		settle(f);
		free(br_take(f->stable));
		f->size = 0;
	}
	assert_true(f->n_writes < BR_ARRAY_SIZE(f->writes));
	f->writes[f->n_writes] = (struct write){ .offset = (uint64_t)offset, .len = n, .data = malloc(n) };
	memcpy(f->writes[f->n_writes++].data, buf, n);
	assert_int_equal(pwrite(fd, buf, n, offset), n);
	crash(p);
	return (ssize_t)n;
}

static int power_fdatasync(void *ctx, int fd)
{
	struct power *p = ctx;

	crash(p);
	settle(file_of_fd(p, fd));
	crash(p);
	return 0;
}

/* ---- the world ---- */

struct world {
	struct power p;
	struct br_cow_io io;
	struct br_cow *cow;
	uint8_t now[FULL], base[FULL];
	bool data[BLOCKS]; /* has file data in the pending group: written over in place */
	struct {
		struct br_cow *cow;
		uint8_t was[FULL];
	} views[3]; /* snapshots that are read while the layer changes */
};

static void check_view(struct br_cow *view, const uint8_t was[static FULL])
{
	uint8_t *now = malloc(FULL);

	assert_false(br_cow_writable(view));
	assert_int_equal(br_cow_write_data(view, 0, was, 1), -EROFS);
	assert_int_equal(br_cow_read(view, 0, now, SIZE), 0);
	assert_memory_equal(now, was, SIZE);
	free(now);
}

/* Looks at one of the snapshots, then perhaps closes it, or takes a new one (which must show what is in memory now). */
static void step_view(struct world *w, const uint8_t *now)
{
	uint32_t i = rnd(3);

	if (w->views[i].cow) {
		check_view(w->views[i].cow, w->views[i].was);
		if (!now || rnd(2)) {
			br_cow_close(w->views[i].cow);
			w->views[i].cow = NULL;
		}
	}
	if (!now || w->views[i].cow)
		return;
	assert_int_equal(br_cow_snapshot(w->cow, &w->views[i].cow), 0);
	memcpy(w->views[i].was, now, FULL);
}

static void world_new(struct world *w)
{
	struct power *p = &w->p;

	snprintf(p->dir, sizeof(p->dir), "%s/layer", test_dir());
	snprintf(p->crash_dir, sizeof(p->crash_dir), "%s/crashed", test_dir());
	snprintf(p->base, sizeof(p->base), "%s/base", test_dir());
	assert_int_equal(br_remove_tree(p->dir, NULL), 0);
	assert_int_equal(br_mkdir_all(p->dir, 0700, NULL), 0);
	assert_int_equal(br_mkdir_all(p->crash_dir, 0700, NULL), 0);
	for (size_t i = 0; i < FULL; i++)
		w->base[i] = i < SIZE ? (uint8_t)rnd(256) : 0;
	put_file(p->base, w->base, SIZE);
	p->base_fd = open(p->base, O_RDONLY);
	assert_true(p->base_fd >= 0);
	memcpy(w->now, w->base, FULL);
	memcpy(p->committed, w->base, FULL);
	w->io = (struct br_cow_io){ .ctx = p, .pwrite = power_pwrite, .fdatasync = power_fdatasync };
}

/* The files as they are become what the disk surely holds. */
static void world_open(struct world *w)
{
	struct power *p = &w->p;
	struct br_error err = { 0 };
	static const char *const names[] = { "slots", "map" };

	if (br_cow_open(p->base_fd, 0, SIZE, p->dir, uuid, &w->io, &w->cow, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < p->n_files; i++) {
		settle(&p->files[i]);
		free(p->files[i].stable);
	}
	memset(p->files, 0, sizeof(p->files));
	p->n_files = 0;
	for (size_t i = 0; i < 2; i++) {
		br_cleanup(br_freep) char *path = br_path_join(p->dir, names[i]);
		struct stat st;
		struct file *f;
		char *data;

		assert_int_equal(stat(path, &st), 0);
		f = file_of(p, st.st_ino);
		assert_int_equal(br_file_read(path, 64 << 20, &data, &f->size, NULL), 0);
		f->stable = (uint8_t *)data;
	}
}

static void world_end(struct world *w)
{
	for (uint32_t i = 0; i < BR_ARRAY_SIZE(w->views); i++) {
		if (w->views[i].cow)
			check_view(w->views[i].cow, w->views[i].was);
		br_cow_close(w->views[i].cow);
	}
	br_cow_close(w->cow);
	for (size_t i = 0; i < w->p.n_files; i++) {
		settle(&w->p.files[i]);
		free(w->p.files[i].stable);
	}
	close(w->p.base_fd);
	assert_int_equal(br_remove_tree(w->p.dir, NULL), 0);
	assert_int_equal(br_remove_tree(w->p.crash_dir, NULL), 0);
	free(w);
}

static void step_write(struct world *w, uint8_t *model, bool keep, bool *ret_failed)
{
	uint32_t block = rnd(BLOCKS), len = rnd(2) ? BR_COW_BLOCK * (1 + rnd(4)) : 1 + rnd(9000);
	uint32_t offset = block * BR_COW_BLOCK + (rnd(2) ? rnd(BR_COW_BLOCK) : 0);
	bool meta = rnd(3) == 0;
	uint8_t buf[5 * BR_COW_BLOCK];
	int r;

	if (offset >= SIZE)
		return;
	if (len > SIZE - offset)
		len = SIZE - offset;
	/* what is taken back must not be written over in place */
	for (uint32_t b = offset / BR_COW_BLOCK; !keep && b <= (offset + len - 1) / BR_COW_BLOCK; b++)
		if (w->data[b])
			return;
	memset(buf, (int)rnd(256), len);
	buf[rnd(len)] = (uint8_t)rnd(256);
	r = meta ? br_cow_write_meta(w->cow, offset, buf, len) : br_cow_write_data(w->cow, offset, buf, len);
	if (r < 0) {
		assert_int_equal(r, -ENOSPC);
		*ret_failed = true;
		return;
	}
	memcpy(model + offset, buf, len);
	for (uint32_t b = offset / BR_COW_BLOCK; !meta && keep && b <= (offset + len - 1) / BR_COW_BLOCK; b++)
		w->data[b] = true;
}

static void step_operation(struct world *w, bool may_fail)
{
	uint8_t *model = malloc(FULL);
	bool keep = rnd(4) != 0, failed = false;

	memcpy(model, w->now, FULL);
	/* a write that fails may have changed pending data in place; such groups are for the other test */
	if (may_fail && rnd(10) == 0) {
		bool any = false;

		for (uint32_t b = 0; b < BLOCKS; b++)
			any = any || w->data[b];
		if (!any) {
			keep = false;
			w->p.fail_in = 1 + rnd(3);
		}
	}
	br_cow_begin(w->cow);
	for (uint32_t i = 0, n = 1 + rnd(4); i < n && !failed; i++) {
		if (rnd(6) == 0) {
			uint32_t b = rnd(BLOCKS - 1);

			assert_int_equal(br_cow_trim(w->cow, b, 1), 0);
			memcpy(model + (size_t)b * BR_COW_BLOCK, w->base + (size_t)b * BR_COW_BLOCK, BR_COW_BLOCK);
		} else {
			step_write(w, model, keep, &failed);
		}
	}
	w->p.fail_in = 0;
	br_cow_end(w->cow, keep && !failed);
	if (keep && !failed)
		memcpy(w->now, model, FULL);
	free(model);
}

static void step_commit(struct world *w, bool may_fail)
{
	int r;

	memcpy(w->p.next, w->now, FULL);
	w->p.committing = true;
	if (may_fail && rnd(5) == 0)
		w->p.fail_in = 1 + rnd(3);
	r = br_cow_commit(w->cow);
	if (w->p.fail_in == 0 && r == -ENOSPC) /* and once more, when space is back */
		r = br_cow_commit(w->cow);
	w->p.fail_in = 0;
	assert_int_equal(r, 0);
	assert_false(br_cow_dirty(w->cow));
	w->p.committing = false;
	memcpy(w->p.committed, w->now, FULL);
	memset(w->data, 0, sizeof(w->data));
	step_view(w, rnd(3) ? w->now : NULL);
	if (rnd(6) == 0)
		assert_int_equal(cow_log_compact(w->cow, true), 0);
	if (rnd(6) == 0)
		cow_slots_punch(&w->cow->slots, true);
}

static void check_now(struct world *w);

/* A commit in its three steps, with a life going on between them; sometimes the host is full, or another commit comes
 * before the end. */
static void step_split_commit(struct world *w, bool may_fail)
{
	bool data[BLOCKS];
	uint64_t ticket;
	int r;

	memcpy(w->p.next, w->now, FULL);
	w->p.committing = true;
	r = br_cow_commit_begin(w->cow, &ticket);
	if (r > 0) {
		memcpy(data, w->data, sizeof(data));
		memset(w->data, 0, sizeof(w->data));
		if (!may_fail)
			step_view(w, w->now);
		for (uint32_t n = rnd(4); n; n--)
			step_operation(w, false);
		if (may_fail && rnd(3) == 0)
			w->p.fail_in = 1;
		r = br_cow_commit_sync(w->cow, ticket);
		w->p.fail_in = 0;
		if (r == 0)
			memcpy(w->p.committed, w->p.next, FULL);
		w->p.committing = false;
		for (uint32_t n = rnd(4); n; n--)
			step_operation(w, false);
		check_now(w);
		if (rnd(2)) {
			/* what the failed one had is pending again, its data in place */
			for (uint32_t b = 0; r < 0 && b < BLOCKS; b++)
				w->data[b] = w->data[b] || data[b];
			step_commit(w, false);
		}
		assert_int_equal(br_cow_commit_end(w->cow, ticket, r), r);
		if (rnd(4) == 0) /* with a group pending */
			assert_int_equal(cow_log_compact(w->cow, true), 0);
		for (uint32_t b = 0; r < 0 && b < BLOCKS; b++)
			w->data[b] = w->data[b] || data[b];
		check_now(w);
	}
	w->p.committing = false;
	step_commit(w, false);
}

static void check_now(struct world *w)
{
	uint8_t *now = malloc(FULL);
	uint32_t at = rnd(SIZE), len = rnd(SIZE - at);

	assert_int_equal(br_cow_read(w->cow, 0, now, SIZE), 0);
	assert_memory_equal(now, w->now, SIZE);
	assert_int_equal(br_cow_read(w->cow, at, now, len), 0);
	assert_memory_equal(now, w->now + at, len);
	assert_int_equal(br_cow_read(w->cow, SIZE - 1, now, 2), -EIO);
	free(now);
}

static void run_world(uint64_t seed, unsigned steps, bool power, bool failures)
{
	struct world *w = calloc(1, sizeof(*w));

	rng = seed;
	w->p.quiet = !power;
	world_new(w);
	world_open(w);
	for (unsigned i = 0; i < steps; i++) {
		step_operation(w, failures);
		if (rnd(5) == 0)
			step_commit(w, failures);
		else if (rnd(8) == 0)
			step_split_commit(w, failures);
		if (rnd(10) == 0)
			check_now(w);
		if (rnd(40) == 0) { /* killed and started again */
			br_cow_close(w->cow);
			memcpy(w->now, w->p.committed, FULL);
			memset(w->data, 0, sizeof(w->data));
			world_open(w);
			check_now(w);
		}
	}
	if (power)
		assert_true(w->p.crashes > steps / 2);
	world_end(w);
}

static void random_operations(void **state)
{
	for (uint64_t seed = 1; seed <= 4; seed++)
		run_world(seed, 500, false, false);
}

static void no_space_on_the_host(void **state)
{
	for (uint64_t seed = 1; seed <= 4; seed++)
		run_world(seed, 300, false, true);
}

static void power_fails_anywhere(void **state)
{
	const char *steps = getenv("BR_TEST_STEPS");

	for (uint64_t seed = 1; seed <= 3; seed++)
		run_world(seed, steps ? (unsigned)atoi(steps) : 100, true, seed == 3);
}

/* ---- single cases ---- */

static int sync_fails(void *ctx, int fd)
{
	errno = EIO;
	return -1;
}

static ssize_t plain_pwrite(void *ctx, int fd, const void *buf, size_t n, off_t offset)
{
	return pwrite(fd, buf, n, offset);
}

static void failed_sync_stops_writing(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	static const struct br_cow_io io = { .pwrite = plain_pwrite, .fdatasync = sync_fails };
	uint8_t block[BR_COW_BLOCK] = { 7 };

	w->p.quiet = true;
	world_new(w);
	assert_int_equal(br_cow_open(w->p.base_fd, 0, SIZE, w->p.dir, uuid, &io, &w->cow, NULL), 0);
	br_cow_begin(w->cow);
	assert_int_equal(br_cow_write_data(w->cow, 0, block, sizeof(block)), 0);
	br_cow_end(w->cow, true);
	assert_int_equal(br_cow_commit(w->cow), -EIO);
	assert_int_equal(br_cow_commit(w->cow), -EIO);
	br_cow_begin(w->cow);
	assert_int_equal(br_cow_write_meta(w->cow, 0, block, sizeof(block)), -EIO);
	br_cow_end(w->cow, false);
	assert_int_equal(br_cow_read(w->cow, 0, block, sizeof(block)), 0); /* reads go on */
	assert_int_equal(block[0], 7);
	world_end(w);
}

/* A layer with three commits; returns the log. */
static char *layer_with_commits(struct world *w, size_t *ret_len)
{
	br_cleanup(br_freep) char *path = NULL;
	char *data;

	w->p.quiet = true;
	world_new(w);
	world_open(w);
	for (uint8_t i = 0; i < 3; i++) {
		uint8_t block[BR_COW_BLOCK] = { i, 9 };

		br_cow_begin(w->cow);
		assert_int_equal(br_cow_write_data(w->cow, i * BR_COW_BLOCK, block, sizeof(block)), 0);
		br_cow_end(w->cow, true);
		assert_int_equal(br_cow_commit(w->cow), 0);
	}
	br_cow_close(w->cow);
	w->cow = NULL;
	path = br_path_join(w->p.dir, "map");
	assert_int_equal(br_file_read(path, 1 << 20, &data, ret_len, NULL), 0);
	return data;
}

static int open_with_log(struct world *w, const void *log, size_t len, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_path_join(w->p.dir, "map");

	*err = BR_ERROR_NULL;
	put_file(path, log, len);
	return br_cow_open(w->p.base_fd, 0, SIZE, w->p.dir, uuid, NULL, &w->cow, err);
}

static void damaged_log_says_so(void **state)
{
	const size_t record = COW_RECORD_SIZE + COW_ENTRY_SIZE, second = COW_HEADER_SIZE + record;
	static const struct {
		const char *what;
		size_t at;
		int r;
		const char *words;
	} cases[] = {
		{ "magic", 0, -EUCLEAN, "not a map log" },
		{ "uuid", 30, -EUCLEAN, "not a map log" },
		{ "first record", COW_HEADER_SIZE + 2, -EUCLEAN, "damaged in the middle" },
		{ "second record's entry", COW_HEADER_SIZE + 44 + 40, -EUCLEAN, "damaged in the middle" },
		{ "last record", COW_HEADER_SIZE + 2 * 44 + 33, 0, NULL },
	};
	struct world *w = calloc(1, sizeof(*w));
	br_cleanup(br_freep) char *log = NULL;
	struct br_error err;
	size_t len;

	log = layer_with_commits(w, &len);
	assert_true(len > second + 2 * record);
	for (size_t i = second + 2 * record; i < len; i++)
		assert_int_equal(log[i], 0); /* room for the next records */
	len = second + 2 * record;
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		int r;

		log[cases[i].at] ^= 0x10;
		r = open_with_log(w, log, len, &err);
		log[cases[i].at] ^= 0x10;
		assert_int_equal(r, cases[i].r);
		if (r == 0) {
			br_cow_close(br_take(w->cow));
			continue;
		}
		assert_non_null(strstr(err.text, cases[i].words));
	}
	/* cut anywhere: the whole records before the cut count */
	for (size_t cut = 0; cut <= len; cut++) {
		uint8_t block[BR_COW_BLOCK];
		int r = open_with_log(w, log, cut, &err);

		assert_int_equal(r, cut < COW_HEADER_SIZE ? -EUCLEAN : 0);
		for (uint8_t i = 0; r == 0 && i < 3; i++) {
			assert_int_equal(br_cow_read(w->cow, i * BR_COW_BLOCK, block, sizeof(block)), 0);
			if (cut >= COW_HEADER_SIZE + (i + 1u) * record)
				assert_true(block[0] == i && block[1] == 9);
			else
				assert_memory_equal(block, w->base + (size_t)i * BR_COW_BLOCK, sizeof(block));
		}
		if (r == 0)
			br_cow_close(br_take(w->cow));
	}
	world_end(w);
}

static void another_disk_is_refused(void **state)
{
	static const uint8_t other[16] = "another disk....";
	struct world *w = calloc(1, sizeof(*w));
	br_cleanup(br_freep) char *log = NULL;
	br_cleanup(br_freep) char *slots = NULL;
	struct br_error err;
	struct br_cow *cow;
	size_t len;

	log = layer_with_commits(w, &len);
	assert_int_equal(br_cow_open(w->p.base_fd, 0, SIZE, w->p.dir, other, NULL, &cow, &err), -ESTALE);
	assert_int_equal(br_cow_open(w->p.base_fd, 0, SIZE - 4096, w->p.dir, uuid, NULL, &cow, &err), -ESTALE);
	slots = br_path_join(w->p.dir, "slots");
	assert_int_equal(truncate(slots, BR_COW_BLOCK), 0);
	assert_int_equal(br_cow_open(w->p.base_fd, 0, SIZE, w->p.dir, uuid, NULL, &cow, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "slots"));
	world_end(w);
}

static int sync_nothing(void *ctx, int fd)
{
	return 0;
}

static void log_stays_short(void **state)
{
	static const struct br_cow_io io = { .pwrite = plain_pwrite, .fdatasync = sync_nothing };
	struct world *w = calloc(1, sizeof(*w));
	struct br_cow_usage u;

	w->p.quiet = true;
	world_new(w);
	assert_int_equal(br_cow_open(w->p.base_fd, 0, SIZE, w->p.dir, uuid, &io, &w->cow, NULL), 0);
	for (uint32_t i = 0; i < 6000; i++) {
		uint8_t block[BR_COW_BLOCK];

		memset(block, (int)i, sizeof(block));
		br_cow_begin(w->cow);
		assert_int_equal(br_cow_write_data(w->cow, (uint64_t)(i % 8) * BR_COW_BLOCK, block, sizeof(block)), 0);
		br_cow_end(w->cow, true);
		assert_int_equal(br_cow_commit(w->cow), 0);
	}
	br_cow_usage(w->cow, &u);
	assert_int_equal(u.changed, 8 * BR_COW_BLOCK);
	assert_true(w->cow->log.end < 5000 * (COW_RECORD_SIZE + COW_ENTRY_SIZE));
	assert_true(w->cow->slots.n < 2048);
	world_end(w);
}

static int sync_counted(void *ctx, int fd)
{
	(*(unsigned *)ctx)++;
	return 0;
}

static void a_relaxed_layer_syncs_when_it_is_settled(void **state)
{
	unsigned n = 0;
	const struct br_cow_io io = { .ctx = &n, .pwrite = plain_pwrite, .fdatasync = sync_counted };
	struct world *w = calloc(1, sizeof(*w));
	uint8_t block[BR_COW_BLOCK] = { 5 };

	w->p.quiet = true;
	world_new(w);
	assert_int_equal(br_cow_open(w->p.base_fd, 0, SIZE, w->p.dir, uuid, &io, &w->cow, NULL), 0);
	br_cow_relax(w->cow, true);
	for (unsigned i = 0; i < 2; i++) {
		n = 0;
		br_cow_begin(w->cow);
		assert_int_equal(br_cow_write_data(w->cow, i * BR_COW_BLOCK, block, sizeof(block)), 0);
		br_cow_end(w->cow, true);
		assert_int_equal(br_cow_commit(w->cow), 0);
		assert_int_equal(n, 0);
	}
	assert_int_equal(br_cow_settle(w->cow), 0);
	assert_int_equal(n, 2);
	/* the end of the process takes nothing */
	br_cow_close(w->cow);
	assert_int_equal(br_cow_open(w->p.base_fd, 0, SIZE, w->p.dir, uuid, &io, &w->cow, NULL), 0);
	assert_true(br_cow_changed(w->cow, 0) && br_cow_changed(w->cow, 1));
	world_end(w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_operations),
		cmocka_unit_test(no_space_on_the_host),
		cmocka_unit_test(power_fails_anywhere),
		cmocka_unit_test(failed_sync_stops_writing),
		cmocka_unit_test(a_relaxed_layer_syncs_when_it_is_settled),
		cmocka_unit_test(damaged_log_says_so),
		cmocka_unit_test(another_disk_is_refused),
		cmocka_unit_test(log_stays_short),
	};

	return cmocka_run_group_tests_name("cow", tests, NULL, NULL);
}

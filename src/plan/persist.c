/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/persist.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uthash.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "fleet/fleet.h"
#include "store/cow.h"
#include "store/store.h"

/* no journal: what a crash leaves is the layer's matter (store/cow.h) */
static const char features[] =
	"none,ext_attr,resize_inode,dir_index,filetype,extents,64bit,flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize," \
	"metadata_csum";
#define SUPERBLOCK 1024 /* where ext4 has it, and its size */

struct entry {
	struct br_persist_area a; /* first: the public part */
	unsigned refs;		  /* beside the registry's */
	int64_t board_id;	  /* key */
	int64_t opened_at;
	UT_hash_handle hh;
};

struct br_persist {
	pthread_mutex_t lock;	   /* entries */
	pthread_mutex_t open_lock; /* one is opened, made or removed at a time; taken before lock */
	char *dir;		   /* STATE/disks */
	struct br_store *store;
	struct entry *entries;
};

int br_persist_parse(const char *text, uint64_t *ret)
{
	uint64_t size = 0;

	if (!strcmp(text, "on"))
		size = BR_PERSIST_DEFAULT;
	else if (strcmp(text, "off") != 0 &&
		 (br_parse_size(text, &size) < 0 || size < BR_BOARD_PERSIST_MIN || size > BR_BOARD_DISK_SIZE_MAX))
		return -EINVAL;
	*ret = size;
	return 0;
}

char *br_persist_path(const struct br_persist *persist, int64_t board_id)
{
	return br_asprintf("%s/%" PRId64 ".persist/area", persist->dir, board_id);
}

/* ---- the empty file system below ---- */

static int run_mke2fs(const char *path, struct br_error *err)
{
	/* room in the descriptors for growing; the tables are holes of the file, which read as the zeros they should be */
	static const char *const programs[] = { "/usr/sbin/mke2fs", "/sbin/mke2fs" };
	const char *const argv[] = { "mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-i", "16384", "-m", "0", "-L",
		"persist", "-O", features, "-E", "resize=1073741824,lazy_itable_init=1,nodiscard,root_owner=0:0", path, NULL };
	char *const env[] = { (char *)(uintptr_t)"LC_ALL=C", NULL };
	int status = 0, r = ENOENT;
	pid_t pid;

	for (size_t i = 0; r == ENOENT && i < BR_ARRAY_SIZE(programs); i++)
		r = posix_spawn(&pid, programs[i], NULL, NULL, (char *const *)(uintptr_t)argv, env);
	if (r)
		return br_error_set(err, r, "mke2fs, which makes the areas /persist, cannot be run: %s; install e2fsprogs",
			strerrordesc_np(r));
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return br_error_set(err, errno, "mke2fs: %s", strerrordesc_np(errno));
	if (status)
		return br_error_set(err, EIO, "mke2fs could not make %s (status %d); what it said is in the log", path, status);
	return 0;
}

static int make_base(const char *path, uint64_t size, struct br_error *err)
{
	br_cleanup(br_freep) char *partial = br_asprintf("%s.new", path);
	br_cleanup(br_closep) int fd = -1;
	int r;

	if (!partial)
		return br_error_set(err, ENOMEM, "out of memory");
	fd = open(partial, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		return br_error_set(err, errno, "file %s: %s", partial, strerrordesc_np(errno));
	r = run_mke2fs(partial, err);
	if (!r && (fchmod(fd, 0400) < 0 || fsync(fd) < 0 || rename(partial, path) < 0))
		r = br_error_set(err, errno, "file %s: %s", path, strerrordesc_np(errno));
	if (r < 0)
		(void)unlink(partial);
	return r;
}

static int sync_dirs(const char *dir, const char *parent, struct br_error *err)
{
	int r = br_sync_dir(dir);

	if (!r)
		r = br_sync_dir(parent);
	return r < 0 ? br_error_set(err, -r, "directory %s: %s", dir, strerrordesc_np(-r)) : 0;
}

/* name: of a base there is, or the one to be made for size. The file is what its superblock says: it has a random UUID. */
static int open_base(struct br_persist *p, const char *name, uint64_t size, struct br_image **ret, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = br_path_join(p->dir, "persist-base");
	br_cleanup(br_freep) char *path = dir ? br_asprintf("%s/%s.ext4", dir, name) : NULL;
	char sha256[BR_SHA256_HEX], super[SUPERBLOCK];
	int fd, r;

	if (!path)
		return br_error_set(err, ENOMEM, "out of memory");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && size) {
		r = br_mkdir_all(dir, 0700, err);
		if (!r)
			r = make_base(path, size, err);
		/* it can never be made again */
		if (!r)
			r = sync_dirs(dir, p->dir, err);
		if (r < 0)
			return r;
		fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (fd < 0)
		return br_error_set(err, errno, "file %s: %s; areas /persist lie on it", path, strerrordesc_np(errno));
	r = br_pread_all(fd, super, sizeof(super), SUPERBLOCK);
	if (r < 0) {
		close(fd);
		return br_error_set(err, -r, "file %s: %s", path, strerrordesc_np(-r));
	}
	br_sha256_hex(super, sizeof(super), sha256);
	return br_image_of_file(p->store, fd, name, sha256, ret, err);
}

/* ---- areas ---- */

static int open_disk(struct br_image *image, const char *dir, uint64_t size, struct entry *e, struct br_error *err)
{
	struct br_error why = BR_ERROR_NULL;
	struct br_disk_usage u;
	struct br_disk *disk;
	int r = br_disk_open(image, dir, &disk, err);

	if (r < 0)
		return r;
	br_disk_usage(disk, &u);
	if (size > u.base_bytes + BR_COW_BLOCK) {
		br_disk_close(disk);
		r = br_disk_grow(image, dir, size, &why);
		/* one that cannot grow is mounted as it is */
		if (r < 0)
			snprintf(e->a.problem, sizeof(e->a.problem), "%.*s", (int)sizeof(e->a.problem) - 1, br_error_text(&why, r));
		r = br_disk_open(image, dir, &disk, err);
		if (r < 0)
			return r;
	}
	e->a.disk = disk;
	e->a.fs = br_disk_fs(disk);
	memcpy(e->a.id, br_disk_uuid(disk), sizeof(e->a.id));
	return 0;
}

/* What is acknowledged in a new area must not go with the names of its directories. */
static int sync_new(struct br_persist *p, int64_t board_id, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = br_asprintf("%s/%" PRId64 ".persist", p->dir, board_id);

	return dir ? sync_dirs(dir, p->dir, err) : br_error_set(err, ENOMEM, "out of memory");
}

static int open_area(struct br_persist *p, int64_t board_id, uint64_t size, struct entry *e, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = br_persist_path(p, board_id);
	char name[24];
	struct br_disk_facts facts;
	struct br_image *image;
	bool new;
	int r;

	if (!dir)
		return br_error_set(err, ENOMEM, "out of memory");
	size -= size % BR_COW_BLOCK;
	snprintf(name, sizeof(name), "%" PRIu64, size);
	r = br_disk_facts(dir, &facts, NULL);
	new = r == -ENOENT;
	/* one that was made smaller lies on another file */
	r = open_base(p, !r ? facts.image : name, new ? size : 0, &image, err);
	if (!r) {
		r = open_disk(image, dir, size, e, err);
		br_image_unref(image);
	}
	if (!r && new) {
		r = sync_new(p, board_id, err);
		if (r < 0)
			br_disk_close(br_take(e->a.disk));
	}
	if (r < 0)
		return r;
	e->board_id = e->a.board_id = board_id;
	e->opened_at = (int64_t)(br_wall_ns() / BR_S);
	pthread_mutex_init(&e->a.lock, NULL);
	return 0;
}

static struct entry *find(struct br_persist *p, int64_t board_id)
{
	struct entry *e;

	HASH_FIND(hh, p->entries, &board_id, sizeof(board_id), e);
	return e;
}

/* A reference, when it is open. */
static struct entry *ref_open(struct br_persist *p, int64_t board_id)
{
	struct entry *e;

	pthread_mutex_lock(&p->lock);
	e = find(p, board_id);
	if (e)
		e->refs++;
	pthread_mutex_unlock(&p->lock);
	return e;
}

int br_persist_open(struct br_persist *p, int64_t board_id, uint64_t size, struct br_persist_area **ret, struct br_error *err)
{
	struct entry *e;
	int r = 0;

	pthread_mutex_lock(&p->open_lock);
	e = ref_open(p, board_id);
	if (!e) {
		e = calloc(1, sizeof(*e));
		r = e ? open_area(p, board_id, size, e, err) : br_error_set(err, ENOMEM, "out of memory");
		if (r < 0) {
			free(e);
			br_error_prefix(err, "its area /persist");
		} else {
			e->refs = 1;
			pthread_mutex_lock(&p->lock);
			HASH_ADD(hh, p->entries, board_id, sizeof(e->board_id), e);
			pthread_mutex_unlock(&p->lock);
		}
	}
	pthread_mutex_unlock(&p->open_lock);
	if (!r)
		*ret = &e->a;
	return r;
}

struct br_persist_area *br_persist_by_id(struct br_persist *p, int64_t board_id, const uint8_t id[static 16])
{
	struct entry *e;

	pthread_mutex_lock(&p->lock);
	e = find(p, board_id);
	if (e && memcmp(e->a.id, id, sizeof(e->a.id)) != 0)
		e = NULL;
	if (e)
		e->refs++;
	pthread_mutex_unlock(&p->lock);
	return e ? &e->a : NULL;
}

void br_persist_area_unref(struct br_persist *p, struct br_persist_area *area)
{
	if (!area)
		return;
	pthread_mutex_lock(&p->lock);
	br_container_of(area, struct entry, a)->refs--;
	pthread_mutex_unlock(&p->lock);
}

bool br_persist_is_open(struct br_persist *p, int64_t board_id, int64_t *ret_opened_at)
{
	struct entry *e;

	pthread_mutex_lock(&p->lock);
	e = find(p, board_id);
	if (e)
		*ret_opened_at = e->opened_at;
	pthread_mutex_unlock(&p->lock);
	return e != NULL;
}

static void entry_free(struct entry *e)
{
	br_disk_close(e->a.disk);
	pthread_mutex_destroy(&e->a.lock);
	free(e);
}

/* Takes the entry out, when nobody uses it; requests at work get a moment to end. */
static int take_out(struct br_persist *p, int64_t board_id, struct entry **ret)
{
	static const struct timespec nap = { .tv_nsec = 10 * 1000 * 1000 };
	struct entry *e;
	bool busy = true;

	for (unsigned i = 0; busy && i < 300; i++) {
		pthread_mutex_lock(&p->lock);
		e = find(p, board_id);
		busy = e && e->refs;
		if (e && !busy)
			HASH_DEL(p->entries, e);
		pthread_mutex_unlock(&p->lock);
		if (busy)
			nanosleep(&nap, NULL);
	}
	*ret = e;
	return busy ? -EBUSY : 0;
}

int br_persist_remove(struct br_persist *p, int64_t board_id, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = br_asprintf("%s/%" PRId64 ".persist", p->dir, board_id);
	struct entry *e = NULL;
	int r;

	if (!dir)
		return br_error_set(err, ENOMEM, "out of memory");
	pthread_mutex_lock(&p->open_lock);
	r = take_out(p, board_id, &e);
	if (r < 0) {
		br_error_set(err, EBUSY, "its area /persist is being read or written just now; try again, or stop the board first");
	} else {
		if (e)
			entry_free(e);
		r = br_remove_tree(dir, err);
	}
	pthread_mutex_unlock(&p->open_lock);
	return r;
}

int br_persist_new(const char *state_dir, struct br_store *store, struct br_persist **ret, struct br_error *err)
{
	struct br_persist *p = calloc(1, sizeof(*p));

	if (p)
		p->dir = br_path_join(state_dir, "disks");
	if (!p || !p->dir) {
		free(p);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	p->store = store;
	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&p->open_lock, NULL);
	*ret = p;
	return 0;
}

void br_persist_free(struct br_persist *p)
{
	struct entry *e, *tmp;

	if (!p)
		return;
	HASH_ITER(hh, p->entries, e, tmp)
	{
		HASH_DEL(p->entries, e);
		entry_free(e);
	}
	pthread_mutex_destroy(&p->lock);
	pthread_mutex_destroy(&p->open_lock);
	free(p->dir);
	free(p);
}

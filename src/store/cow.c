/* SPDX-License-Identifier: Apache-2.0 */
/* The copy-on-write layer: map, pending group, undo, commit. See cow.h for the idea. */
#include "store/cow_priv.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"

/* Pending metadata kept in memory before it is moved to slots early (4 MiB), and the bound
 * beyond which writes are refused when that move fails (host disk full). */
#define MEM_SPILL 1024u
#define MEM_MAX	  8192u

BR_DEFINE_CLEANUP(struct br_cow *, br_cow_close);

static ssize_t sys_pwrite(void *ctx, int fd, const void *buf, size_t n, off_t offset)
{
	return pwrite(fd, buf, n, offset);
}

static int sys_fdatasync(void *ctx, int fd)
{
	return fdatasync(fd);
}

static const struct br_cow_io sys_io = { .pwrite = sys_pwrite, .fdatasync = sys_fdatasync };

ssize_t cow_pwrite(struct br_cow *cow, int fd, const void *buf, size_t n, uint64_t offset)
{
	const uint8_t *p = buf;
	size_t done = 0;

	while (done < n) {
		ssize_t k = cow->io->pwrite(
			cow->io->ctx, fd, p + done, n - done, (off_t)(offset + done));

		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return k < 0 ? -errno : -EIO;
		done += (size_t)k;
	}
	return 0;
}

int cow_sync(struct br_cow *cow, int fd)
{
	if (cow->io->fdatasync(cow->io->ctx, fd) < 0) {
		/* Linux may have dropped the dirty pages: no later sync can be believed. */
		cow->broken = true;
		return -EIO;
	}
	return 0;
}

int cow_set(struct br_cow *cow, uint32_t block, uint32_t value)
{
	uint32_t **leaf = &cow->leaves[block / COW_LEAF];
	uint32_t *v;

	if (!*leaf) {
		if (!value)
			return 0;
		*leaf = calloc(COW_LEAF, sizeof(**leaf));
		if (!*leaf)
			return -ENOMEM;
	}
	v = &(*leaf)[block % COW_LEAF];
	if (!*v && value)
		cow->n_mapped++;
	else if (*v && !value)
		cow->n_mapped--;
	*v = value;
	return 0;
}

/* ---- the pending group: an array in order of arrival, found by a hash of the block number ---- */

static size_t hash_slot(const struct br_cow *cow, uint32_t block)
{
	return (block * 2654435761u >> 7) & (cow->cap_hash - 1);
}

struct cow_pending *cow_pend_find(const struct br_cow *cow, uint32_t block)
{
	if (!cow->n_pend)
		return NULL;
	for (size_t i = hash_slot(cow, block); cow->hash[i]; i = (i + 1) & (cow->cap_hash - 1))
		if (cow->pend[cow->hash[i] - 1].block == block)
			return &cow->pend[cow->hash[i] - 1];
	return NULL;
}

static void hash_put(struct br_cow *cow, size_t index)
{
	size_t i = hash_slot(cow, cow->pend[index].block);

	while (cow->hash[i])
		i = (i + 1) & (cow->cap_hash - 1);
	cow->hash[i] = (uint32_t)index + 1;
}

/* Takes the last entry of the array out (linear probing: close the gap). */
static void pend_pop(struct br_cow *cow)
{
	size_t mask = cow->cap_hash - 1, gap, i;

	gap = hash_slot(cow, cow->pend[cow->n_pend - 1].block);
	while (cow->hash[gap] != cow->n_pend)
		gap = (gap + 1) & mask;
	for (i = (gap + 1) & mask; cow->hash[i]; i = (i + 1) & mask) {
		size_t home = hash_slot(cow, cow->pend[cow->hash[i] - 1].block);

		if (((i - home) & mask) >= ((i - gap) & mask)) {
			cow->hash[gap] = cow->hash[i];
			gap = i;
		}
	}
	cow->hash[gap] = 0;
	cow->n_pend--;
}

static int hash_grow(struct br_cow *cow, size_t need)
{
	size_t cap = cow->cap_hash ? cow->cap_hash : 128;
	uint32_t *hash;

	while (cap < need * 2)
		cap *= 2;
	if (cap == cow->cap_hash)
		return 0;
	hash = calloc(cap, sizeof(*hash));
	if (!hash)
		return -ENOMEM;
	free(cow->hash);
	cow->hash = hash;
	cow->cap_hash = cap;
	for (size_t i = 0; i < cow->n_pend; i++)
		hash_put(cow, i);
	return 0;
}

/* Room for n more blocks, so that nothing can fail once the slots are written. */
int cow_reserve(struct br_cow *cow, uint32_t block, uint32_t n)
{
	int r;

	r = br_array_reserve(&cow->pend, &cow->cap_pend, cow->n_pend + n, sizeof(*cow->pend));
	if (r == 0)
		r = br_array_reserve(&cow->undo, &cow->cap_undo, cow->n_undo + n, sizeof(*cow->undo));
	if (r == 0)
		r = hash_grow(cow, cow->n_pend + n);
	for (uint32_t b = block; r == 0 && b < block + n; b = (b / COW_LEAF + 1) * COW_LEAF) {
		if (cow->leaves[b / COW_LEAF])
			continue;
		cow->leaves[b / COW_LEAF] = calloc(COW_LEAF, sizeof(uint32_t));
		if (!cow->leaves[b / COW_LEAF])
			r = -ENOMEM;
	}
	return r;
}

struct cow_pending *cow_pend_add(struct br_cow *cow, uint32_t block, uint32_t committed)
{
	cow->pend[cow->n_pend++] = (struct cow_pending){ .block = block, .committed = committed };
	hash_put(cow, cow->n_pend - 1);
	return &cow->pend[cow->n_pend - 1];
}

/*
 * The pending entry of a block, made if needed, with its state saved for undo. After cow_reserve().
 * keep_mem: the content in memory will be changed in place, so undo needs a copy; otherwise
 * undo takes it. The caller then sets the map.
 */
static struct cow_pending *touch(struct br_cow *cow, uint32_t block, bool keep_mem)
{
	struct cow_pending *e = cow_pend_find(cow, block);
	struct cow_undo undo = { .block = block, .value = cow_get(cow, block), .fresh = !e };

	if (e && e->op == cow->op && cow->in_op)
		return e;
	if (e && undo.value == COW_MEM && cow->in_op) {
		undo.mem = e->mem;
		if (keep_mem) {
			uint8_t *copy = malloc(BR_COW_BLOCK);

			if (!copy)
				return NULL;
			memcpy(copy, e->mem, BR_COW_BLOCK);
			e->mem = copy;
		} else {
			e->mem = NULL;
		}
	}
	if (!e)
		e = cow_pend_add(cow, block, undo.value);
	undo.crc = e->crc;
	e->op = cow->op;
	if (cow->in_op)
		cow->undo[cow->n_undo++] = undo;
	return e;
}

/* Is this value a slot of the pending group, not yet of any record? */
static bool uncommitted_slot(const struct cow_pending *e, uint32_t value)
{
	return value && value != COW_MEM && value != e->committed;
}

static void drop_mem(struct br_cow *cow, struct cow_pending *e)
{
	free(e->mem);
	e->mem = NULL;
}

/* Replaces the map's value of a touched block. The slot or memory it had is let go, unless undo holds it. */
void cow_replace(struct br_cow *cow, struct cow_pending *e, uint32_t value)
{
	uint32_t old = cow_get(cow, e->block);

	if (old == COW_MEM && value != COW_MEM) {
		drop_mem(cow, e);
		cow->n_mem--;
	} else if (old != COW_MEM && value == COW_MEM) {
		cow->n_mem++;
	}
	if (uncommitted_slot(e, old) && old != value) {
		bool held = false;

		/* undo entries of this operation are few; the latest ones are the likeliest */
		for (size_t i = cow->n_undo; cow->in_op && i-- > 0 && !held;)
			held = cow->undo[i].block == e->block && cow->undo[i].value == old;
		if (!held)
			cow_slots_free(&cow->slots, old - 1);
	}
	(void)cow_set(cow, e->block, value); /* its leaf is there */
}

void br_cow_begin(struct br_cow *cow)
{
	assert(!cow->in_op);
	cow->in_op = true;
	cow->op++;
	cow->n_undo = 0;
}

static void undo_one(struct br_cow *cow, struct cow_undo *u)
{
	struct cow_pending *e = cow_pend_find(cow, u->block);
	uint32_t now = cow_get(cow, u->block);

	assert(e);
	if (now == COW_MEM) {
		drop_mem(cow, e);
		cow->n_mem--;
	} else if (uncommitted_slot(e, now) && now != u->value) {
		cow_slots_free(&cow->slots, now - 1);
	}
	if (now != u->value)
		e->crc = u->crc; /* else the same slot: written over in place, its CRC is the new one */
	if (u->value == COW_MEM) {
		e->mem = br_take(u->mem);
		cow->n_mem++;
	}
	(void)cow_set(cow, u->block, u->value);
	if (u->fresh)
		pend_pop(cow);
}

static void keep_one(struct br_cow *cow, struct cow_undo *u)
{
	struct cow_pending *e = cow_pend_find(cow, u->block);

	free(br_take(u->mem));
	if (!u->fresh && uncommitted_slot(e, u->value) && cow_get(cow, u->block) != u->value)
		cow_slots_free(&cow->slots, u->value - 1);
}

void br_cow_end(struct br_cow *cow, bool keep)
{
	assert(cow->in_op);
	while (cow->n_undo > 0) {
		struct cow_undo *u = &cow->undo[--cow->n_undo];

		if (keep)
			keep_one(cow, u);
		else
			undo_one(cow, u);
	}
	cow->in_op = false;
	/* A full host disk is not this operation's fault: it is said by the next write. */
	if (cow->n_mem > MEM_SPILL && cow->writable)
		(void)cow_spill(cow);
}

/* ---- reading ---- */

/* A layer may be larger than its base. */
static int read_base(struct br_cow *cow, uint64_t offset, void *buf, size_t len)
{
	uint64_t size = br_blocks_size(cow->base);
	size_t n = offset >= size ? 0 : size - offset < len ? (size_t)(size - offset) : len;

	memset((uint8_t *)buf + n, 0, len - n);
	return n ? br_blocks_read(cow->base, offset, buf, n) : 0;
}

int cow_read_value(struct br_cow *cow, uint32_t block, uint32_t value, uint8_t *buf)
{
	uint64_t offset = (uint64_t)block * BR_COW_BLOCK;
	size_t len = BR_COW_BLOCK;

	if (value)
		return br_pread_all(cow->slots.fd, buf, BR_COW_BLOCK, (uint64_t)(value - 1) * BR_COW_BLOCK);
	if (cow->size - offset < len) {
		len = (size_t)(cow->size - offset);
		memset(buf + len, 0, BR_COW_BLOCK - len);
	}
	return read_base(cow, offset, buf, len);
}

/* How many bytes from offset lie one behind the other in one file? */
static size_t run_length(const struct br_cow *cow, uint64_t offset, size_t len, uint32_t value)
{
	uint32_t block = (uint32_t)(offset / BR_COW_BLOCK);
	size_t n = BR_COW_BLOCK - offset % BR_COW_BLOCK;

	if (value == COW_MEM)
		return n < len ? n : len;
	while (n < len) {
		uint32_t next = block + 1;

		if (!value && !cow->leaves[next / COW_LEAF]) {
			n += (size_t)(COW_LEAF - next % COW_LEAF) * BR_COW_BLOCK;
			block = next | (COW_LEAF - 1);
			continue;
		}
		if (cow_get(cow, next) != (value ? value + 1 : 0))
			break;
		value += !!value;
		block = next;
		n += BR_COW_BLOCK;
	}
	return n < len ? n : len;
}

int br_cow_read(struct br_cow *cow, uint64_t offset, void *buf, size_t len)
{
	uint8_t *p = buf;

	if (offset > cow->size || len > cow->size - offset)
		return -EIO;
	while (len) {
		uint32_t block = (uint32_t)(offset / BR_COW_BLOCK);
		uint32_t value = cow_get(cow, block);
		size_t n = run_length(cow, offset, len, value);
		int r = 0;

		if (!value)
			r = read_base(cow, offset, p, n);
		else if (value == COW_MEM)
			memcpy(p, cow_pend_find(cow, block)->mem + offset % BR_COW_BLOCK, n);
		else
			r = br_pread_all(cow->slots.fd, p, n,
				(uint64_t)(value - 1) * BR_COW_BLOCK + offset % BR_COW_BLOCK);
		if (r < 0)
			return r;
		p += n;
		offset += n;
		len -= n;
	}
	return 0;
}

size_t br_cow_map(const struct br_cow *cow, uint64_t offset, size_t len, const uint8_t **ret)
{
	if (offset >= cow->size || !len || cow_get(cow, (uint32_t)(offset / BR_COW_BLOCK)))
		return 0;
	if (len > cow->size - offset)
		len = (size_t)(cow->size - offset);
	len = run_length(cow, offset, len, 0);
	return br_blocks_map(cow->base, offset, len, ret);
}

/* ---- writing ---- */

static int may_write(const struct br_cow *cow, uint64_t offset, size_t len)
{
	if (!cow->writable && !cow->memory)
		return -EROFS;
	if (cow->broken || offset > cow->size || len > cow->size - offset)
		return -EIO;
	/* outside of an operation it is a commit's metadata, and the commit is what makes room */
	if (cow->in_op && cow->n_mem > (cow->memory ? 4 * MEM_MAX : MEM_MAX))
		return -ENOSPC;
	return 0;
}

static int write_meta_block(struct br_cow *cow, uint32_t block, size_t at, const uint8_t *buf, size_t n)
{
	uint32_t value = cow_get(cow, block);
	struct cow_pending *e;
	uint8_t *mem;
	int r;

	r = cow_reserve(cow, block, 1);
	if (r < 0)
		return r;
	if (value == COW_MEM) {
		e = touch(cow, block, true);
		if (!e)
			return -ENOMEM;
		memcpy(e->mem + at, buf, n);
		return 0;
	}
	mem = malloc(BR_COW_BLOCK);
	if (!mem)
		return -ENOMEM;
	r = n < BR_COW_BLOCK ? cow_read_value(cow, block, value, mem) : 0;
	if (r < 0) {
		free(mem);
		return r;
	}
	memcpy(mem + at, buf, n);
	e = touch(cow, block, false);
	e->mem = mem;
	cow_replace(cow, e, COW_MEM);
	return 0;
}

int br_cow_write_meta(struct br_cow *cow, uint64_t offset, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	int r = may_write(cow, offset, len);

	while (r == 0 && len) {
		size_t at = offset % BR_COW_BLOCK;
		size_t n = BR_COW_BLOCK - at < len ? BR_COW_BLOCK - at : len;

		r = write_meta_block(cow, (uint32_t)(offset / BR_COW_BLOCK), at, p, n);
		p += n;
		offset += n;
		len -= n;
	}
	return r;
}

enum where { IN_MEMORY, IN_PLACE, IN_NEW };

static enum where data_where(const struct br_cow *cow, uint32_t block)
{
	uint32_t value = cow_get(cow, block);
	const struct cow_pending *e;

	if (value == COW_MEM)
		return IN_MEMORY;
	e = value ? cow_pend_find(cow, block) : NULL;
	return e && uncommitted_slot(e, value) ? IN_PLACE : IN_NEW;
}

static int write_in_place(struct br_cow *cow, uint32_t block, uint32_t n, const uint8_t *buf)
{
	uint32_t value = cow_get(cow, block), k = 1;
	ssize_t r;

	while (k < n && cow_get(cow, block + k) == value + k && data_where(cow, block + k) == IN_PLACE)
		k++;
	r = cow_pwrite(cow, cow->slots.fd, buf, (size_t)k * BR_COW_BLOCK, (uint64_t)(value - 1) * BR_COW_BLOCK);
	if (r < 0)
		return (int)r;
	for (uint32_t i = 0; i < k; i++)
		cow_pend_find(cow, block + i)->crc = br_crc32c(0, buf + (size_t)i * BR_COW_BLOCK, BR_COW_BLOCK);
	return (int)k;
}

static int write_new(struct br_cow *cow, uint32_t block, uint32_t n, const uint8_t *buf)
{
	uint32_t first = 0, k = 1;
	int got, r;

	while (k < n && data_where(cow, block + k) == IN_NEW)
		k++;
	r = cow_reserve(cow, block, k);
	if (r < 0)
		return r;
	got = cow_slots_take(&cow->slots, k, &first);
	if (got < 0)
		return got;
	r = (int)cow_pwrite(cow, cow->slots.fd, buf, (size_t)got * BR_COW_BLOCK, (uint64_t)first * BR_COW_BLOCK);
	for (uint32_t i = 0; i < (uint32_t)got; i++) {
		struct cow_pending *e;

		if (r < 0) {
			cow_slots_free(&cow->slots, first + i);
			continue;
		}
		e = touch(cow, block + i, false);
		cow_replace(cow, e, first + i + 1);
		e->crc = br_crc32c(0, buf + (size_t)i * BR_COW_BLOCK, BR_COW_BLOCK);
	}
	return r < 0 ? r : got;
}

/* Whole blocks; returns how many were written. */
static int write_blocks(struct br_cow *cow, uint32_t block, uint32_t n, const uint8_t *buf)
{
	int r;

	switch (data_where(cow, block)) {
	case IN_MEMORY:
		r = write_meta_block(cow, block, 0, buf, BR_COW_BLOCK);
		return r < 0 ? r : 1;
	case IN_PLACE:
		return write_in_place(cow, block, n, buf);
	default:
		return write_new(cow, block, n, buf);
	}
}

int br_cow_write_data(struct br_cow *cow, uint64_t offset, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	int r = may_write(cow, offset, len);

	if (r < 0)
		return r;
	while (len) {
		uint32_t block = (uint32_t)(offset / BR_COW_BLOCK);
		size_t at = offset % BR_COW_BLOCK, n;

		if (at || len < BR_COW_BLOCK) {
			uint8_t whole[BR_COW_BLOCK];

			n = BR_COW_BLOCK - at < len ? BR_COW_BLOCK - at : len;
			if (data_where(cow, block) == IN_MEMORY) {
				r = write_meta_block(cow, block, at, p, n);
			} else {
				r = cow_read_value(cow, block, cow_get(cow, block), whole);
				memcpy(whole + at, p, n);
				r = r < 0 ? r : write_blocks(cow, block, 1, whole);
			}
		} else {
			r = write_blocks(cow, block, (uint32_t)(len / BR_COW_BLOCK), p);
			n = r < 0 ? 0 : (size_t)r * BR_COW_BLOCK;
		}
		if (r < 0)
			return r;
		p += n;
		offset += n;
		len -= n;
	}
	return 0;
}

int br_cow_trim(struct br_cow *cow, uint64_t block, uint64_t n)
{
	int r;

	if (!cow->writable)
		return -EROFS;
	for (; n && block < cow->n_blocks; block++, n--) {
		struct cow_pending *e;

		if (!cow_get(cow, (uint32_t)block))
			continue;
		r = cow_reserve(cow, (uint32_t)block, 1);
		if (r < 0)
			return r;
		e = touch(cow, (uint32_t)block, false);
		cow_replace(cow, e, 0);
	}
	return 0;
}

bool br_cow_changed(const struct br_cow *cow, uint64_t block)
{
	return block < cow->n_blocks && cow_get(cow, (uint32_t)block);
}

/* ---- what others ask ---- */

bool br_cow_dirty(const struct br_cow *cow)
{
	return cow->n_pend > 0 || cow_flying(cow);
}

size_t br_cow_pending_memory(const struct br_cow *cow)
{
	return cow->n_mem * BR_COW_BLOCK;
}

/* ---- open and close ---- */

static int open_dir(struct br_cow *cow, const char *dir, const uint8_t uuid[16], struct br_error *err)
{
	cow->n_blocks = (uint32_t)((cow->size + BR_COW_BLOCK - 1) / BR_COW_BLOCK);
	cow->leaves = calloc(cow->n_blocks / COW_LEAF + 1, sizeof(*cow->leaves));
	cow->dir = dir ? strdup(dir) : NULL;
	if (!cow->leaves || (dir && !cow->dir))
		return br_error_set(err, ENOMEM, "out of memory");
	if (!dir)
		return 0;
	memcpy(cow->uuid, uuid, 16);
	cow->writable = !cow->frozen;
	return cow_log_open(cow, err);
}

static struct br_cow *cow_new(uint64_t size, const struct br_cow_io *io, struct br_error *err)
{
	struct br_cow *cow;

	if (size == 0 || (size + BR_COW_BLOCK - 1) / BR_COW_BLOCK > COW_SLOTS_MAX) {
		br_error_set(err, EFBIG, "a root partition of %" PRIu64 " bytes is not supported", size);
		return NULL;
	}
	cow = calloc(1, sizeof(*cow));
	if (!cow) {
		br_error_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	cow->size = size;
	cow->io = io ? io : &sys_io;
	cow->slots.fd = cow->log.fd = -1;
	cow->flight = cow_flight_new();
	if (!cow->flight) {
		free(cow);
		br_error_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	return cow;
}

int br_cow_open_on(struct br_blocks *base, uint64_t size, const char *dir, const uint8_t uuid[16],
	const struct br_cow_io *io, struct br_cow **ret, struct br_error *err)
{
	struct br_cow *cow;
	int r;

	if (size < br_blocks_size(base))
		return br_error_set(err, EINVAL, "a layer cannot be smaller than what it lies on");
	cow = cow_new(size, io, err);
	if (!cow)
		return size && size / BR_COW_BLOCK <= COW_SLOTS_MAX ? -ENOMEM : -EFBIG;
	cow->base = br_blocks_ref(base);
	r = open_dir(cow, dir, uuid, err);
	if (r < 0) {
		br_cow_close(cow);
		return r;
	}
	*ret = cow;
	return 0;
}

int br_cow_open(int base_fd, uint64_t start, uint64_t size, const char *dir, const uint8_t uuid[16],
	const struct br_cow_io *io, struct br_cow **ret, struct br_error *err)
{
	struct br_blocks *base;
	int r = br_blocks_new(base_fd, start, size, &base, err);

	if (r < 0)
		return r;
	r = br_cow_open_on(base, size, dir, uuid, io, ret, err);
	br_blocks_unref(base);
	return r;
}

int cow_open_frozen(const char *dir, const uint8_t uuid[16], uint64_t size, struct br_cow **ret, struct br_error *err)
{
	struct br_cow *cow = cow_new(size, NULL, err);
	int r;

	if (!cow)
		return -EFBIG;
	cow->frozen = true;
	r = open_dir(cow, dir, uuid, err);
	if (r < 0) {
		br_cow_close(cow);
		return r;
	}
	*ret = cow;
	return 0;
}

int br_cow_snapshot(struct br_cow *cow, struct br_cow **ret)
{
	br_cleanup(br_cow_closep) struct br_cow *s = cow_new(cow->size, NULL, NULL);
	int r;

	assert(!cow->n_pend && !cow->in_op);
	if (!s)
		return -ENOMEM;
	s->base = br_blocks_ref(cow->base);
	s->n_blocks = cow->n_blocks;
	s->n_mapped = cow->n_mapped;
	s->leaves = calloc(s->n_blocks / COW_LEAF + 1, sizeof(*s->leaves));
	if (!s->leaves)
		return -ENOMEM;
	for (uint32_t i = 0; i <= s->n_blocks / COW_LEAF; i++) {
		if (!cow->leaves[i])
			continue;
		s->leaves[i] = malloc(COW_LEAF * sizeof(**s->leaves));
		if (!s->leaves[i])
			return -ENOMEM;
		memcpy(s->leaves[i], cow->leaves[i], COW_LEAF * sizeof(**s->leaves));
	}
	if (cow->slots.fd >= 0) {
		s->slots.fd = fcntl(cow->slots.fd, F_DUPFD_CLOEXEC, 3);
		if (s->slots.fd < 0)
			return -errno;
		r = cow_slots_pin(&cow->slots, &s->pins);
		if (r < 0)
			return r;
	}
	*ret = br_take(s);
	return 0;
}

void br_cow_exchange(struct br_cow *cow, struct br_cow *fresh)
{
	struct br_cow t = *cow;

	assert(!br_cow_dirty(cow) && !cow->in_op && !br_cow_dirty(fresh) && !fresh->in_op);
	assert(cow->size == fresh->size && !fresh->n_mapped);
	*cow = *fresh;
	*fresh = t;
}

void br_cow_punch(struct br_cow *cow)
{
	cow_slots_punch(&cow->slots, true);
	if (ftruncate(cow->log.fd, (off_t)cow->log.end) == 0) /* else it only stays longer */
		cow->log.room = cow->log.end;
}

void br_cow_relax(struct br_cow *cow, bool on)
{
	cow->relaxed = on;
}

int br_cow_settle(struct br_cow *cow)
{
	int r = cow_sync(cow, cow->slots.fd);

	return r < 0 ? r : cow_sync(cow, cow->log.fd);
}

uint64_t br_cow_log_bytes(const struct br_cow *cow)
{
	return cow->log.end;
}

void br_cow_break(struct br_cow *cow)
{
	cow->broken = true;
}

void br_cow_close(struct br_cow *cow)
{
	if (!cow)
		return;
	for (size_t i = 0; i < cow->n_pend; i++)
		free(cow->pend[i].mem);
	for (size_t i = 0; i < cow->n_undo; i++)
		free(cow->undo[i].mem);
	for (size_t i = 0; cow->leaves && i <= cow->n_blocks / COW_LEAF; i++)
		free(cow->leaves[i]);
	free(cow->leaves);
	free(cow->pend);
	free(cow->hash);
	free(cow->undo);
	free(cow->dir);
	cow_flight_free(cow->flight);
	cow_slots_done(&cow->slots);
	cow_log_done(cow);
	if (cow->slots.fd >= 0)
		close(cow->slots.fd);
	br_blocks_unref(cow->base);
	cow_pins_unref(cow->pins);
	free(cow);
}

void br_cow_memory(struct br_cow *cow, bool on)
{
	cow->memory = on;
}

bool br_cow_writable(const struct br_cow *cow)
{
	return cow->writable;
}

uint64_t br_cow_size(const struct br_cow *cow)
{
	return cow->size;
}

void br_cow_usage(const struct br_cow *cow, struct br_cow_usage *ret)
{
	struct stat st;

	*ret = (struct br_cow_usage){ .changed = (uint64_t)cow->n_mapped * BR_COW_BLOCK };
	if (cow->slots.fd >= 0 && fstat(cow->slots.fd, &st) == 0)
		ret->stored += (uint64_t)st.st_blocks * 512;
	if (cow->log.fd >= 0 && fstat(cow->log.fd, &st) == 0)
		ret->stored += (uint64_t)st.st_blocks * 512;
}

/* A leaf with anything in it counts as data. */
bool br_cow_next_data(struct br_cow *cow, uint64_t offset, uint64_t *ret_start, uint64_t *ret_end)
{
	const uint64_t span = (uint64_t)COW_LEAF * BR_COW_BLOCK;

	while (offset < cow->size) {
		uint64_t end = (offset / span + 1) * span;

		end = end < cow->size ? end : cow->size;
		if (cow->leaves[offset / span]) {
			*ret_start = offset;
			*ret_end = end;
			return true;
		}
		if (br_blocks_next_data(cow->base, offset, ret_start, ret_end) && *ret_start < end) {
			*ret_end = *ret_end < end ? *ret_end : end;
			return true;
		}
		offset = end;
	}
	return false;
}

struct br_blocks *br_cow_base(const struct br_cow *cow)
{
	return cow->base;
}

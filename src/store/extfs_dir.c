/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ext4: directories. On the disk they are used as plain lists of entries: adding to a
 * hash-indexed one turns it into a list (legal; the kernel's fsck builds the index anew).
 * In memory a directory of more than SCAN_BLOCKS blocks gets an index when it is first
 * used: hash of the name -> block, and for each block the longest entry that fits.
 * So neither finding nor adding reads more than a block or two.
 */
#include "store/extfs_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/hash.h"

#define SCAN_BLOCKS   2u
#define INDEX_KEEP    (4u << 20) /* bytes of all indexes of a file system, unless one alone is larger */
#define INDEX_ENTRIES 4194304u   /* names in one directory; more is damage */
#define ROOM_GROUP    64u
#define TAIL	      12u	 /* bytes of the checksum's entry at the end of a block */

struct index_slot {
	uint32_t hash, lblk1; /* lblk + 1; 0: empty */
};

struct ext_dirindex {
	struct ext_dirindex *next;
	uint32_t ino, n_blocks, cap_blocks;
	uint16_t *room; /* per block: length of the longest entry that fits */
	uint16_t *most; /* per ROOM_GROUP of them: no less than the largest of these */
	struct index_slot *slots;
	uint32_t cap, n;
	size_t bytes;
};

struct entry {
	uint32_t off, ino, rec_len;
	uint8_t name_len, type;
	const uint8_t *name;
};

/* ---- blocks and entries ---- */

static bool has_csum(const struct br_extfs *fs)
{
	return ext2fs_has_feature_metadata_csum(fs->e2->super);
}

static bool is_inline(const struct ext_node *dir)
{
	return dir->inode.i_flags & EXT4_INLINE_DATA_FL;
}

static int n_blocks(const struct br_extfs *fs, const struct ext_node *dir, uint32_t *ret)
{
	uint64_t n = is_inline(dir) ? 1 : ext_size(dir) >> fs->bs_bits;

	if (n > fs->n_blocks)
		return -EUCLEAN;
	*ret = (uint32_t)n;
	return 0;
}

static void put_entry(uint8_t *p, uint32_t ino, uint32_t rec_len, const char *name, int type)
{
	size_t n = strlen(name);

	br_store_le32(p, ino);
	br_store_le16(p + 4, (uint16_t)rec_len);
	p[6] = (uint8_t)n;
	p[7] = (uint8_t)type;
	memcpy(p + 8, name, n);
}

/* The entry at off, or -EUCLEAN when it cannot be one. */
static int entry_at(const struct br_extfs *fs, const uint8_t *block, uint32_t off, struct entry *ret)
{
	const uint8_t *p = block + off;

	if (off + 8 > fs->bs)
		return -EUCLEAN;
	*ret = (struct entry){ .off = off, .ino = br_load_le32(p), .rec_len = br_load_le16(p + 4),
		.name_len = p[6], .type = p[7], .name = p + 8 };
	if (ret->rec_len < 8 || ret->rec_len % 4 || ret->rec_len > fs->bs - off)
		return -EUCLEAN;
	if (ret->ino && (ret->name_len == 0 || ret->name_len + 8u > ret->rec_len ||
				ret->ino > fs->e2->super->s_inodes_count))
		return -EUCLEAN;
	return 0;
}

/*
 * A directory in the inode itself, shown as one block: "." and ".." are not stored as entries there. The entries
 * are in two parts, and none reaches from the first into the second.
 */
#define INLINE_FIRST  24u
#define INLINE_SECOND (INLINE_FIRST + EXT2_N_BLOCKS * 4u - 4u)

/* *ret_end: behind the last entry that is stored. */
static int inline_block(struct br_extfs *fs, struct ext_node *dir, uint8_t *block, uint32_t *ret_end)
{
	uint8_t data[4096];
	size_t len = 0, at = INLINE_FIRST;
	int r = ext_inline_read(fs, dir, data, sizeof(data), &len);

	if (r < 0)
		return r;
	if (len < 4 || len - 4 > fs->bs - at - 8)
		return -EUCLEAN;
	memset(block, 0, fs->bs);
	put_entry(block, dir->ino, 12, ".", EXT2_FT_DIR);
	put_entry(block + 12, br_load_le32(data), 12, "..", EXT2_FT_DIR);
	memcpy(block + at, data + 4, len - 4);
	at += len - 4;
	if (at % 4)
		return -EUCLEAN;
	put_entry(block + at, 0, fs->bs - (uint32_t)at, "", 0);
	*ret_end = (uint32_t)at;
	return 0;
}

static int inline_block_store(struct br_extfs *fs, struct ext_node *dir, const uint8_t *block)
{
	uint8_t data[4096];
	size_t len = 0;
	int r = ext_inline_read(fs, dir, data, sizeof(data), &len); /* how long it is */

	if (r < 0)
		return r;
	if (len < 4 || len - 4 > fs->bs - INLINE_FIRST)
		return -EUCLEAN;
	memcpy(data, block + 12, 4);
	memcpy(data + 4, block + INLINE_FIRST, len - 4);
	return ext_inline_store(fs, dir, data, len);
}

/* A hole reads as a block without entries; *ret_pblk is then 0. */
static int block_read(struct br_extfs *fs, struct ext_node *dir, uint32_t lblk, uint8_t *block, uint64_t *ret_pblk)
{
	struct ext_run run;
	uint32_t end;
	int r;

	*ret_pblk = 0;
	if (is_inline(dir))
		return inline_block(fs, dir, block, &end);
	r = ext_map_find(fs, dir, lblk, 1, &run);
	if (r < 0)
		return r;
	if (!run.pblk || run.unwritten) {
		memset(block, 0, fs->bs);
		put_entry(block, 0, fs->bs, "", 0);
		return 0;
	}
	*ret_pblk = run.pblk;
	return ext_errno(ext2fs_read_dir_block4(fs->e2, run.pblk, block, 0, dir->ino));
}

static int block_write(struct br_extfs *fs, struct ext_node *dir, uint64_t pblk, uint8_t *block)
{
	fs->touched = true;
	if (is_inline(dir))
		return inline_block_store(fs, dir, block);
	return ext_errno(ext2fs_write_dir_block4(fs->e2, pblk, block, 0, dir->ino));
}

static void block_init_tail(struct br_extfs *fs, uint8_t *block)
{
	if (has_csum(fs))
		ext2fs_initialize_dirent_tail(fs->e2, (void *)(block + fs->bs - TAIL));
}

/* End of what entries may use. */
static uint32_t block_end(const struct br_extfs *fs)
{
	return has_csum(fs) ? fs->bs - TAIL : fs->bs;
}

static uint32_t used_len(const struct entry *e)
{
	return e->ino ? (uint32_t)EXT2_DIR_REC_LEN(e->name_len) : 0;
}

/* Length of the longest entry that fits; 0 when the block is damaged. */
static uint16_t block_room(const struct br_extfs *fs, const uint8_t *block)
{
	uint32_t best = 0, room;
	struct entry e;

	for (uint32_t off = 0; off < block_end(fs); off += e.rec_len) {
		if (entry_at(fs, block, off, &e) < 0 || off + e.rec_len > block_end(fs))
			return 0;
		room = e.rec_len - used_len(&e);
		best = room > best ? room : best;
	}
	return (uint16_t)best;
}

/* Looks for a name in a block. 1: found; *ret_prev is the offset of the entry before it (its own when first). */
static int block_find(const struct br_extfs *fs, const uint8_t *block, const char *name, size_t len,
	struct entry *ret, uint32_t *ret_prev)
{
	uint32_t prev = 0;
	struct entry e;

	for (uint32_t off = 0; off < fs->bs; off += e.rec_len) {
		int r = entry_at(fs, block, off, &e);

		if (r < 0)
			return r;
		if (e.ino && e.name_len == len && memcmp(e.name, name, len) == 0) {
			*ret = e;
			*ret_prev = prev;
			return 1;
		}
		prev = off;
	}
	return 0;
}

/* Puts the entry between two places of a block. -ENOSPC when there is no room after all. */
static int insert_between(struct br_extfs *fs, uint8_t *block, uint32_t start, uint32_t end, const char *name, uint32_t ino,
	int type)
{
	uint32_t need = (uint32_t)EXT2_DIR_REC_LEN(strlen(name));
	struct entry e;

	for (uint32_t off = start; off < end; off += e.rec_len) {
		uint32_t used;
		int r = entry_at(fs, block, off, &e);

		if (r < 0)
			return r;
		used = used_len(&e);
		if (off + e.rec_len > end || e.rec_len - used < need)
			continue;
		if (used)
			br_store_le16(block + off + 4, (uint16_t)used);
		put_entry(block + off + used, ino, e.rec_len - used, name, type);
		return 0;
	}
	return -ENOSPC;
}

static int block_insert(struct br_extfs *fs, uint8_t *block, const char *name, uint32_t ino, int type)
{
	return insert_between(fs, block, 0, block_end(fs), name, ino, type);
}

/* ---- the index in memory ---- */

/* Seeded per file system: a board must not be able to make names collide. */
static uint32_t name_hash(const struct br_extfs *fs, const char *name, size_t len)
{
	uint64_t h = fs->name_seed;

	for (size_t i = 0; i < len; i++) {
		h = (h ^ (uint8_t)name[i]) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	h *= 0xbf58476d1ce4e5b9ull;
	return (uint32_t)(h >> 32);
}

static void index_free(struct br_extfs *fs, struct ext_dirindex **p)
{
	struct ext_dirindex *x = *p;

	*p = x->next;
	fs->index_bytes -= x->bytes;
	free(x->room);
	free(x->most);
	free(x->slots);
	free(x);
}

void ext_dir_forget(struct br_extfs *fs, uint32_t ino)
{
	for (struct ext_dirindex **p = &fs->indexes; *p; p = &(*p)->next)
		if ((*p)->ino == ino) {
			index_free(fs, p);
			return;
		}
}

void ext_dirs_drop(struct br_extfs *fs)
{
	while (fs->indexes)
		index_free(fs, &fs->indexes);
}

static void index_account(struct br_extfs *fs, struct ext_dirindex *x)
{
	size_t bytes = sizeof(*x) + x->cap_blocks * sizeof(*x->room) + x->cap_blocks / ROOM_GROUP * sizeof(*x->most) + x->cap * sizeof(*x->slots);

	fs->index_bytes += bytes - x->bytes;
	x->bytes = bytes;
}

static void index_put(struct ext_dirindex *x, struct index_slot slot)
{
	uint32_t i = slot.hash & (x->cap - 1);

	while (x->slots[i].lblk1)
		i = (i + 1) & (x->cap - 1);
	x->slots[i] = slot;
	x->n++;
}

/* Room for one more name. */
static int index_grow(struct br_extfs *fs, struct ext_dirindex *x)
{
	struct index_slot *old = x->slots;
	uint32_t old_cap = x->cap, cap = old_cap ? old_cap : 512;

	if (x->n >= INDEX_ENTRIES)
		return -EUCLEAN;
	while ((uint64_t)(x->n + 1) * 4 > (uint64_t)cap * 3)
		cap *= 2;
	if (cap == old_cap)
		return 0;
	x->slots = calloc(cap, sizeof(*x->slots));
	if (!x->slots) {
		x->slots = old;
		return -ENOMEM;
	}
	x->cap = cap;
	x->n = 0;
	for (uint32_t i = 0; i < old_cap; i++)
		if (old[i].lblk1)
			index_put(x, old[i]);
	free(old);
	index_account(fs, x);
	return 0;
}

static int index_set_room(struct br_extfs *fs, struct ext_dirindex *x, uint32_t lblk, uint16_t room)
{
	if (lblk >= x->cap_blocks) {
		uint32_t cap = ROOM_GROUP, old = x->cap_blocks / ROOM_GROUP;
		uint16_t *p;

		if (lblk > INT32_MAX / 2)
			return -EFBIG;
		while (cap <= lblk)
			cap *= 2;
		p = realloc(x->room, cap * sizeof(*p));
		if (!p)
			return -ENOMEM;
		x->room = p;
		p = realloc(x->most, cap / ROOM_GROUP * sizeof(*p));
		if (!p)
			return -ENOMEM;
		x->most = p;
		memset(p + old, 0, (cap / ROOM_GROUP - old) * sizeof(*p));
		x->cap_blocks = cap;
		index_account(fs, x);
	}
	x->room[lblk] = room;
	if (room > x->most[lblk / ROOM_GROUP])
		x->most[lblk / ROOM_GROUP] = room;
	if (lblk >= x->n_blocks)
		x->n_blocks = lblk + 1;
	return 0;
}

static int index_add_block(struct br_extfs *fs, struct ext_dirindex *x, uint32_t lblk, const uint8_t *block)
{
	struct entry e;
	int r;

	for (uint32_t off = 0; off < fs->bs; off += e.rec_len) {
		r = entry_at(fs, block, off, &e);
		if (r < 0)
			return r;
		if (!e.ino)
			continue;
		r = index_grow(fs, x);
		if (r < 0)
			return r;
		index_put(x, (struct index_slot){ name_hash(fs, (const char *)e.name, e.name_len), lblk + 1 });
	}
	return 0;
}

static int index_build(struct br_extfs *fs, struct ext_node *dir, uint32_t n, struct ext_dirindex *x)
{
	bool list = !(dir->inode.i_flags & EXT2_INDEX_FL);
	uint64_t pblk;
	int r = index_grow(fs, x);

	for (uint32_t lblk = 0; r == 0 && lblk < n; lblk++) {
		r = block_read(fs, dir, lblk, fs->block, &pblk);
		if (r == 0)
			r = index_add_block(fs, x, lblk, fs->block);
		if (r == 0)
			r = index_set_room(fs, x, lblk, pblk && list ? block_room(fs, fs->block) : 0);
	}
	return r;
}

/* The index of a directory, built when there is none; *ret NULL when the directory is small. */
static int index_get(struct br_extfs *fs, struct ext_node *dir, struct ext_dirindex **ret)
{
	struct ext_dirindex **p, *x;
	uint32_t n;
	int r;

	*ret = NULL;
	r = n_blocks(fs, dir, &n);
	if (r < 0 || n <= SCAN_BLOCKS)
		return r;
	for (p = &fs->indexes; *p && (*p)->ino != dir->ino; p = &(*p)->next)
		;
	x = *p;
	if (x) {
		*p = x->next;
	} else {
		x = calloc(1, sizeof(*x));
		if (!x)
			return -ENOMEM;
		x->ino = dir->ino;
	}
	x->next = fs->indexes;
	fs->indexes = x;
	if (!x->n_blocks) {
		r = index_build(fs, dir, n, x);
		if (r < 0) {
			index_free(fs, &fs->indexes);
			return r;
		}
		/* the least used ones go; the last of the list is the oldest. Two stay: those of a rename */
		while (fs->index_bytes > INDEX_KEEP && fs->indexes->next && fs->indexes->next->next) {
			for (p = &fs->indexes; (*p)->next; p = &(*p)->next)
				;
			index_free(fs, p);
		}
	}
	*ret = x;
	return 0;
}

static void index_remove(struct br_extfs *fs, struct ext_dirindex *x, const char *name, uint32_t lblk)
{
	uint32_t mask = x->cap - 1, hash = name_hash(fs, name, strlen(name)), gap, i;

	for (gap = hash & mask; x->slots[gap].lblk1; gap = (gap + 1) & mask)
		if (x->slots[gap].hash == hash && x->slots[gap].lblk1 == lblk + 1)
			break;
	if (!x->slots[gap].lblk1)
		return;
	for (i = (gap + 1) & mask; x->slots[i].lblk1; i = (i + 1) & mask)
		if (((i - x->slots[i].hash) & mask) >= ((i - gap) & mask)) {
			x->slots[gap] = x->slots[i];
			gap = i;
		}
	x->slots[gap] = (struct index_slot){ 0 };
	x->n--;
}

/* ---- finding ---- */

struct place {
	uint32_t lblk, prev;
	uint64_t pblk;
	struct entry e;
	struct ext_dirindex *x;
};

static int find_in_block(
	struct br_extfs *fs, struct ext_node *dir, uint32_t lblk, const char *name, struct place *ret)
{
	int r = block_read(fs, dir, lblk, fs->block, &ret->pblk);

	ret->lblk = lblk;
	return r < 0 ? r : block_find(fs, fs->block, name, strlen(name), &ret->e, &ret->prev);
}

/* fs->block then holds the block with the entry. */
static int find_place(struct br_extfs *fs, struct ext_node *dir, const char *name, struct place *ret)
{
	uint32_t n = 0, hash;
	int r;

	r = index_get(fs, dir, &ret->x);
	if (r == 0)
		r = n_blocks(fs, dir, &n);
	if (r < 0)
		return r;
	if (!ret->x) {
		for (uint32_t lblk = 0; lblk < n && r == 0; lblk++)
			r = find_in_block(fs, dir, lblk, name, ret);
		return r == 1 ? 0 : r < 0 ? r : -ENOENT;
	}
	hash = name_hash(fs, name, strlen(name));
	for (uint32_t i = hash & (ret->x->cap - 1); ret->x->slots[i].lblk1; i = (i + 1) & (ret->x->cap - 1)) {
		if (ret->x->slots[i].hash != hash)
			continue;
		r = find_in_block(fs, dir, ret->x->slots[i].lblk1 - 1, name, ret);
		if (r)
			return r < 0 ? r : 0;
	}
	return -ENOENT;
}

int ext_dir_find(struct br_extfs *fs, struct ext_node *dir, const char *name, uint32_t *ret_ino)
{
	struct place at;
	int r = find_place(fs, dir, name, &at);

	if (r == 0)
		*ret_ino = at.e.ino;
	return r;
}

int ext_lookup(struct br_fs *base, uint64_t dir, const char *name, uint64_t *ret_ino)
{
	struct br_extfs *fs = ext_of(base);
	struct ext_node *d;
	uint32_t ino;
	int r;

	r = ext_node_dir(fs, dir, &d);
	if (r < 0)
		return r;
	if (strcmp(name, ".") == 0) {
		*ret_ino = dir;
		return 0;
	}
	r = ext_dir_find(fs, d, name, &ino);
	if (r == 0)
		*ret_ino = ino;
	return r;
}

int ext_dir_is_empty(struct br_extfs *fs, struct ext_node *dir)
{
	uint32_t n;
	int r = n_blocks(fs, dir, &n);

	for (uint32_t lblk = 0; r == 0 && lblk < n; lblk++) {
		struct entry e;
		uint64_t pblk;

		r = block_read(fs, dir, lblk, fs->block, &pblk);
		for (uint32_t off = 0; r == 0 && off < fs->bs; off += e.rec_len) {
			r = entry_at(fs, fs->block, off, &e);
			if (r == 0 && e.ino && !(e.name_len == 1 && e.name[0] == '.') &&
				!(e.name_len == 2 && e.name[0] == '.' && e.name[1] == '.'))
				return 0;
		}
	}
	return r < 0 ? r : 1;
}

/* ---- changing ---- */

/*
 * A hash-indexed directory becomes a list. Blocks of the index look like blocks without
 * entries, but where there are checksums they have no room for an entry's checksum tail.
 */
static int make_list(struct br_extfs *fs, struct ext_node *dir)
{
	uint32_t n;
	int r = n_blocks(fs, dir, &n);

	if (r < 0 || !(dir->inode.i_flags & EXT2_INDEX_FL))
		return r;
	ext_dir_forget(fs, dir->ino);
	fs->touched = true;
	for (uint32_t lblk = 0; has_csum(fs) && r == 0 && lblk < n; lblk++) {
		uint32_t at = lblk == 0 ? 12 : 0;
		uint64_t pblk;
		struct entry e = { 0 };

		r = block_read(fs, dir, lblk, fs->block, &pblk);
		if (r == 0)
			r = entry_at(fs, fs->block, at, &e);
		if (r < 0 || !pblk || e.rec_len != fs->bs - at)
			continue;
		br_store_le16(fs->block + at + 4, (uint16_t)(fs->bs - at - TAIL));
		memset(fs->block + at + 8 + e.name_len, 0, fs->bs - at - 8 - e.name_len);
		block_init_tail(fs, fs->block);
		r = block_write(fs, dir, pblk, fs->block);
	}
	if (r < 0)
		return r;
	dir->inode.i_flags &= ~(uint32_t)EXT2_INDEX_FL;
	return ext_node_write(fs, dir, false);
}

static int dir_grow(struct br_extfs *fs, struct ext_node *dir, uint32_t lblk, const char *name, uint32_t ino, int type)
{
	uint64_t size = ((uint64_t)lblk + 1) << fs->bs_bits;
	struct ext_run run;
	int r;

	r = ext_map_find(fs, dir, lblk, 1, &run);
	if (r == 0 && run.pblk)
		r = -EUCLEAN; /* a block behind the end */
	if (r == 0)
		r = ext_map_alloc(fs, dir, lblk, 1, &run);
	if (r == 0)
		r = ext_errno(ext2fs_inode_size_set(fs->e2, ext_small(dir), (ext2_off64_t)size));
	if (r == 0)
		r = ext_node_write(fs, dir, false);
	if (r < 0)
		return r;
	memset(fs->block, 0, fs->bs);
	put_entry(fs->block, 0, block_end(fs), "", 0);
	block_init_tail(fs, fs->block);
	r = block_insert(fs, fs->block, name, ino, type);
	return r < 0 ? r : block_write(fs, dir, run.pblk, fs->block);
}

/* The first block of the index with room, or the number of blocks. A group that has none after all is looked through once. */
static uint32_t index_room(struct ext_dirindex *x, uint32_t n, uint32_t need)
{
	for (uint32_t g = 0; g * ROOM_GROUP < n; g++) {
		uint16_t most = 0;

		if (x->most[g] < need)
			continue;
		for (uint32_t i = g * ROOM_GROUP; i < n && i < (g + 1) * ROOM_GROUP; i++) {
			if (x->room[i] >= need)
				return i;
			most = x->room[i] > most ? x->room[i] : most;
		}
		x->most[g] = most;
	}
	return n;
}

/* A block with room, or the number of blocks. */
static int find_room(
	struct br_extfs *fs, struct ext_node *dir, struct ext_dirindex *x, uint32_t n, uint32_t need, uint32_t *ret)
{
	if (x) {
		*ret = index_room(x, n, need);
		return 0;
	}
	for (uint32_t lblk = 0; lblk < n; lblk++) {
		uint64_t pblk;
		int r;

		r = block_read(fs, dir, lblk, fs->block, &pblk);
		if (r < 0)
			return r;
		if (pblk && block_room(fs, fs->block) >= need) {
			*ret = lblk;
			return 0;
		}
	}
	*ret = n;
	return 0;
}

/* Adds in the inode when it fits, else makes the directory one of a block; 1: added. Entries keep their places. */
static int inline_add(struct br_extfs *fs, struct ext_node *dir, const char *name, uint32_t ino, int type)
{
	uint32_t end = 0;
	int r = inline_block(fs, dir, fs->block, &end);

	if (r < 0)
		return r;
	r = insert_between(fs, fs->block, INLINE_FIRST, end, name, ino, type);
	if (r != -ENOSPC)
		return r < 0 ? r : (r = inline_block_store(fs, dir, fs->block)) < 0 ? r : 1;
	if (end + 12 > block_end(fs))
		return -EUCLEAN;
	put_entry(fs->block + end, 0, block_end(fs) - end, "", 0);
	block_init_tail(fs, fs->block);
	return ext_inline_leave_dir(fs, dir, fs->block);
}

int ext_dir_add(struct br_extfs *fs, struct ext_node *dir, const char *name, uint32_t ino, int type)
{
	struct ext_dirindex *x = NULL;
	uint32_t n = 0, lblk = 0;
	uint64_t pblk;
	int r;

	if (is_inline(dir)) {
		r = inline_add(fs, dir, name, ino, type);
		if (r)
			return r < 0 ? r : 0;
	}
	r = make_list(fs, dir);
	if (r == 0)
		r = index_get(fs, dir, &x);
	if (r == 0)
		r = n_blocks(fs, dir, &n);
	if (r == 0 && x)
		r = index_grow(fs, x);
	if (r == 0)
		r = find_room(fs, dir, x, n, (uint32_t)EXT2_DIR_REC_LEN(strlen(name)), &lblk);
	if (r < 0)
		return r;
	if (lblk == n) {
		r = dir_grow(fs, dir, lblk, name, ino, type);
	} else {
		r = block_read(fs, dir, lblk, fs->block, &pblk);
		if (r == 0)
			r = block_insert(fs, fs->block, name, ino, type);
		if (r == 0)
			r = block_write(fs, dir, pblk, fs->block);
	}
	if (r == 0 && x)
		r = index_set_room(fs, x, lblk, block_room(fs, fs->block));
	if (r == 0 && x)
		index_put(x, (struct index_slot){ name_hash(fs, name, strlen(name)), lblk + 1 });
	return r;
}

int ext_dir_remove(struct br_extfs *fs, struct ext_node *dir, const char *name)
{
	struct place at;
	int r;

	r = find_place(fs, dir, name, &at);
	if (r < 0)
		return r;
	if (at.e.off == at.prev || (is_inline(dir) && (at.e.off == INLINE_FIRST || at.e.off == INLINE_SECOND))) {
		br_store_le32(fs->block + at.e.off, 0);
	} else {
		struct entry prev;

		r = entry_at(fs, fs->block, at.prev, &prev);
		if (r < 0)
			return r;
		br_store_le16(fs->block + at.prev + 4, (uint16_t)(prev.rec_len + at.e.rec_len));
	}
	r = block_write(fs, dir, at.pblk, fs->block);
	if (r < 0 || !at.x)
		return r;
	index_remove(fs, at.x, name, at.lblk);
	if (!(dir->inode.i_flags & EXT2_INDEX_FL))
		return index_set_room(fs, at.x, at.lblk, block_room(fs, fs->block));
	return 0;
}

int ext_dir_replace(struct br_extfs *fs, struct ext_node *dir, const char *name, uint32_t ino, int type)
{
	struct place at;
	int r;

	r = find_place(fs, dir, name, &at);
	if (r < 0)
		return r;
	br_store_le32(fs->block + at.e.off, ino);
	fs->block[at.e.off + 7] = (uint8_t)type; /* of an inline "..": not stored */
	return block_write(fs, dir, at.pblk, fs->block);
}

int ext_dir_init(struct br_extfs *fs, struct ext_node *dir, uint32_t parent)
{
	int type = ext2fs_has_feature_filetype(fs->e2->super) ? EXT2_FT_DIR : 0;
	struct ext_run run;
	int r;

	r = ext_map_alloc(fs, dir, 0, 1, &run);
	if (r == 0)
		r = ext_errno(ext2fs_inode_size_set(fs->e2, ext_small(dir), fs->bs));
	if (r == 0)
		r = ext_node_write(fs, dir, false);
	if (r < 0)
		return r;
	memset(fs->block, 0, fs->bs);
	put_entry(fs->block, dir->ino, 12, ".", type);
	put_entry(fs->block + 12, parent, block_end(fs) - 12, "..", type);
	block_init_tail(fs, fs->block);
	return block_write(fs, dir, run.pblk, fs->block);
}

/* ---- listing ---- */

/* The cookie of an entry is its place in the directory + 1: entries never move. Returns 1 when fn stopped. */
static int list_block(const struct br_extfs *fs, const uint8_t *block, uint64_t start, uint64_t cookie,
	br_fs_readdir_fn fn, void *ctx)
{
	struct entry e;

	for (uint32_t off = 0; off < fs->bs; off += e.rec_len) {
		char name[256];
		struct br_fs_dirent d;
		int r = entry_at(fs, block, off, &e);

		if (r < 0)
			return r;
		if (!e.ino || start + off < cookie)
			continue;
		if (memchr(e.name, 0, e.name_len) || memchr(e.name, '/', e.name_len))
			return -EUCLEAN;
		memcpy(name, e.name, e.name_len);
		name[e.name_len] = 0;
		d = (struct br_fs_dirent){ .ino = e.ino, .cookie = start + off + 1, .name = name };
		r = fn(ctx, &d);
		if (r)
			return r;
	}
	return 0;
}

int ext_readdir(struct br_fs *base, uint64_t dir, uint64_t cookie, br_fs_readdir_fn fn, void *ctx, bool *ret_eof)
{
	struct br_extfs *fs = ext_of(base);
	uint64_t lblk = (cookie ? cookie - 1 : 0) >> fs->bs_bits;

	for (;; lblk++) {
		_Alignas(8) uint8_t block[4096]; /* not fs->block: fn may look things up */
		struct ext_node *d;
		uint64_t pblk;
		uint32_t n = 0;
		int r;

		r = ext_node_dir(fs, dir, &d);
		if (r == 0)
			r = n_blocks(fs, d, &n);
		if (r < 0)
			return r;
		if (lblk >= n) {
			*ret_eof = true;
			return 0;
		}
		r = block_read(fs, d, (uint32_t)lblk, block, &pblk);
		if (r == 0)
			r = list_block(fs, block, lblk << fs->bs_bits, cookie, fn, ctx);
		if (r < 0)
			return r;
		if (r == 1) {
			*ret_eof = false;
			return 0;
		}
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery of ext4's journal (jbd2). All its numbers are big-endian. Three passes as in Linux:
 * find the last complete transaction; collect the revoked blocks; write the others home.
 */
#include "store/extjournal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/hash.h"

#define JBD2_MAGIC 0xc03b3998u

enum { BLOCK_DESCRIPTOR = 1, BLOCK_COMMIT = 2, BLOCK_SUPER_V1 = 3, BLOCK_SUPER_V2 = 4, BLOCK_REVOKE = 5 };

/* Features that change the format. */
enum { HAS_REVOKE = 1, HAS_64BIT = 2, HAS_ASYNC_COMMIT = 4, HAS_CSUM_V2 = 8, HAS_CSUM_V3 = 16, HAS_FAST_COMMIT = 32 };

enum { TAG_ESCAPED = 1, TAG_SAME_UUID = 2, TAG_LAST = 8 };

enum pass { SCAN, REVOKE, REPLAY };

struct revoked {
	uint64_t block;
	uint32_t seq;
};

struct journal {
	struct br_extfs *fs;
	struct ext_node *node;
	uint32_t bs, first, end; /* the log is the blocks [first, end) of the file */
	uint32_t start, seq, features;
	uint32_t seed;
	uint32_t stop; /* sequence behind the last complete transaction */
	struct revoked *revoked;
	size_t n_revoked, cap_revoked;
	uint8_t *buf, *data;
};

static bool has_csum(const struct journal *j)
{
	return j->features & (HAS_CSUM_V2 | HAS_CSUM_V3);
}

/* jbd2 does not invert the CRC at its ends; ours does at both. */
static uint32_t crc(uint32_t seed, const void *data, size_t n)
{
	return ~br_crc32c(~seed, data, n);
}

static int block_of(struct journal *j, uint32_t block, uint64_t *ret)
{
	struct ext_run run;
	int r = ext_map_find(j->fs, j->node, block, 1, &run);

	if (r < 0)
		return r;
	if (!run.pblk || run.unwritten)
		return -EUCLEAN;
	*ret = (uint64_t)run.pblk << j->fs->bs_bits;
	return 0;
}

static int read_block(struct journal *j, uint32_t block, uint8_t *buf)
{
	uint64_t offset;
	int r = block_of(j, block, &offset);

	return r < 0 ? r : br_cow_read(j->fs->cow, offset, buf, j->bs);
}

static uint32_t next(const struct journal *j, uint32_t block)
{
	return block + 1 < j->end ? block + 1 : j->first;
}

/* ---- the journal's superblock ---- */

static int super_read(struct journal *j, struct br_error *err)
{
	uint8_t *b = j->buf;
	uint32_t type, max;
	int r;

	r = read_block(j, 0, b);
	if (r < 0)
		return br_error_set(err, -r, "the ext4 journal cannot be read: %s", strerrordesc_np(-r));
	type = br_load_be32(b + 4);
	max = br_load_be32(b + 16);
	j->first = br_load_be32(b + 20);
	j->seq = br_load_be32(b + 24);
	j->start = br_load_be32(b + 28);
	j->features = type == BLOCK_SUPER_V2 ? br_load_be32(b + 40) : 0;
	if (br_load_be32(b) != JBD2_MAGIC || (type != BLOCK_SUPER_V1 && type != BLOCK_SUPER_V2) ||
		br_load_be32(b + 12) != j->bs || j->first == 0 || max <= j->first ||
		max > ext_size(j->node) >> j->fs->bs_bits || (j->start && (j->start < j->first || j->start >= max)))
		return br_error_set(err, EUCLEAN, "the ext4 journal is damaged; run 'e2fsck -f' on the image's root partition");
	if (j->features & ~(uint32_t)(HAS_REVOKE | HAS_64BIT | HAS_ASYNC_COMMIT | HAS_CSUM_V2 | HAS_CSUM_V3))
		return br_error_set(err, ENOTSUP,
			"the ext4 was not unmounted and its journal has features 0x%x that are not known here%s; "
			"run 'e2fsck -f' on the image's root partition", j->features,
			j->features & HAS_FAST_COMMIT ? " (fast commits)" : "");
	j->end = max;
	if (has_csum(j)) {
		uint32_t have = br_load_be32(b + 252);

		memset(b + 252, 0, 4);
		if (crc(UINT32_MAX, b, 1024) != have)
			return br_error_set(err, EUCLEAN,
				"the ext4 journal's checksum is wrong; run 'e2fsck -f' on the image's root partition");
	}
	j->seed = crc(UINT32_MAX, b + 48, 16);
	return 0;
}

/* Nothing to replay any more; the next transaction's number stays ahead of all old ones. */
static int super_reset(struct journal *j)
{
	uint64_t offset = 0;
	int r = read_block(j, 0, j->buf);

	if (r == 0)
		r = block_of(j, 0, &offset);
	if (r < 0)
		return r;
	br_store_be32(j->buf + 24, j->stop + 1);
	br_store_be32(j->buf + 28, 0);
	if (has_csum(j)) {
		memset(j->buf + 252, 0, 4);
		br_store_be32(j->buf + 252, crc(UINT32_MAX, j->buf, 1024));
	}
	return br_cow_write_meta(j->fs->cow, offset, j->buf, j->bs);
}

/* ---- checksums ---- */

/* Descriptor and revoke blocks have theirs in the last four bytes. */
static bool tail_good(const struct journal *j, uint8_t *b)
{
	uint32_t have = br_load_be32(b + j->bs - 4);
	bool good;

	if (!has_csum(j))
		return true;
	memset(b + j->bs - 4, 0, 4);
	good = crc(j->seed, b, j->bs) == have;
	br_store_be32(b + j->bs - 4, have);
	return good;
}

static bool commit_good(const struct journal *j, uint8_t *b)
{
	uint32_t have = br_load_be32(b + 16);
	bool good;

	if (!has_csum(j))
		return true;
	memset(b + 16, 0, 4);
	good = crc(j->seed, b, j->bs) == have;
	br_store_be32(b + 16, have);
	return good;
}

struct tag {
	uint64_t block;
	uint32_t flags, csum;
	size_t len;
};

static bool data_good(const struct journal *j, const struct tag *tag, uint32_t seq, const uint8_t *data)
{
	uint8_t be[4];
	uint32_t c;

	if (!has_csum(j))
		return true;
	br_store_be32(be, seq);
	c = crc(crc(j->seed, be, 4), data, j->bs);
	return j->features & HAS_CSUM_V3 ? c == tag->csum : (c & 0xffff) == tag->csum;
}

/* ---- tags: which block each of the following blocks belongs to ---- */

static bool tag_read(const struct journal *j, const uint8_t *b, size_t at, size_t end, struct tag *ret)
{
	size_t len;

	if (j->features & HAS_CSUM_V3)
		len = 16;
	else
		len = (j->features & HAS_CSUM_V2 ? 14 : 12) - (j->features & HAS_64BIT ? 0 : 4);
	if (at + len > end)
		return false;
	b += at;
	*ret = (struct tag){ .block = br_load_be32(b), .len = len };
	if (j->features & HAS_CSUM_V3) {
		ret->flags = br_load_be32(b + 4);
		ret->csum = br_load_be32(b + 12);
	} else {
		ret->csum = br_load_be16(b + 4);
		ret->flags = br_load_be16(b + 6);
	}
	if (j->features & HAS_64BIT)
		ret->block |= (uint64_t)br_load_be32(b + 8) << 32;
	if (!(ret->flags & TAG_SAME_UUID))
		ret->len += 16;
	return at + ret->len <= end;
}

static int revoked_order(const void *a, const void *b)
{
	const struct revoked *x = a, *y = b;

	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	return (int32_t)(x->seq - y->seq) < 0 ? -1 : x->seq != y->seq;
}

/* Was the block revoked in this transaction or a later one? */
static bool is_revoked(const struct journal *j, uint64_t block, uint32_t seq)
{
	size_t lo = 0, hi = j->n_revoked;

	while (lo < hi) { /* the last entry of the block: its latest revocation */
		size_t mid = lo + (hi - lo) / 2;

		if (j->revoked[mid].block <= block)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && j->revoked[lo - 1].block == block && (int32_t)(j->revoked[lo - 1].seq - seq) >= 0;
}

static int home_write(struct journal *j, const struct tag *tag, uint32_t seq, uint32_t at)
{
	uint64_t n = j->fs->n_blocks;
	int r;

	if (is_revoked(j, tag->block, seq))
		return 0;
	r = read_block(j, at, j->data);
	if (r < 0)
		return r;
	if (tag->block >= n || !data_good(j, tag, seq, j->data))
		return -EUCLEAN;
	if (tag->flags & TAG_ESCAPED)
		br_store_be32(j->data, JBD2_MAGIC);
	return br_cow_write_meta(j->fs->cow, tag->block << j->fs->bs_bits, j->data, j->bs);
}

/* Walks the tags of the descriptor in buf; *at goes behind its data blocks, *left down by their number. */
static int descriptor(struct journal *j, enum pass pass, uint32_t seq, uint32_t *at, uint32_t *left)
{
	size_t end = j->bs - (has_csum(j) ? 4 : 0);
	struct tag tag = { 0 };
	int r = 0;

	if (!tail_good(j, j->buf))
		return -EUCLEAN;
	/* small operations, so that the layer can move them out of memory */
	if (pass == REPLAY)
		br_cow_begin(j->fs->cow);
	for (size_t o = 12; r == 0 && !(tag.flags & TAG_LAST) && tag_read(j, j->buf, o, end, &tag); o += tag.len) {
		if (pass == REPLAY)
			r = home_write(j, &tag, seq, *at);
		*at = next(j, *at);
		if (--*left == 0 && r == 0)
			r = -EUCLEAN; /* longer than the log */
	}
	if (pass == REPLAY)
		br_cow_end(j->fs->cow, true);
	return r;
}

static int revoke_read(struct journal *j, uint32_t seq)
{
	uint32_t used = br_load_be32(j->buf + 12), size = j->features & HAS_64BIT ? 8 : 4;

	if (!tail_good(j, j->buf) || used > j->bs - (has_csum(j) ? 4u : 0u))
		return -EUCLEAN;
	for (uint32_t o = 16; o + size <= used; o += size) {
		uint64_t block = size == 8 ? br_load_be64(j->buf + o) : br_load_be32(j->buf + o);

		if (br_array_reserve(&j->revoked, &j->cap_revoked, j->n_revoked + 1, sizeof(*j->revoked)) < 0)
			return -ENOMEM;
		j->revoked[j->n_revoked++] = (struct revoked){ block, seq };
	}
	return 0;
}

/* SCAN: 'stop' becomes the first transaction that is not complete. A log is read at most once around. */
static int walk(struct journal *j, enum pass pass)
{
	uint32_t at = j->start, seq = j->seq, left = j->end - j->first;
	int r = 0;

	for (; left && (pass == SCAN || seq != j->stop); left--) {
		uint32_t type;

		r = read_block(j, at, j->buf);
		if (r < 0 || br_load_be32(j->buf) != JBD2_MAGIC || br_load_be32(j->buf + 8) != seq)
			break;
		type = br_load_be32(j->buf + 4);
		at = next(j, at);
		if (type == BLOCK_COMMIT && commit_good(j, j->buf))
			seq++;
		else if (type == BLOCK_DESCRIPTOR)
			r = descriptor(j, pass, seq, &at, &left);
		else if (type == BLOCK_REVOKE)
			r = pass == REVOKE ? revoke_read(j, seq) : 0;
		else
			break;
		if (r < 0)
			break;
	}
	if (pass == SCAN) {
		j->stop = seq;
		return r == -ENOMEM ? r : 0; /* whatever else is wrong: the log ends there */
	}
	return r;
}

static int replay(struct journal *j, bool reset)
{
	int r = 0;

	j->stop = j->seq;
	if (j->start) {
		r = walk(j, SCAN);
		if (r == 0)
			r = walk(j, REVOKE);
		if (r == 0 && j->n_revoked)
			qsort(j->revoked, j->n_revoked, sizeof(*j->revoked), revoked_order);
		if (r == 0)
			r = walk(j, REPLAY);
	}
	if (r == 0 && reset)
		r = super_reset(j);
	return r;
}

int br_extjournal_replay(struct br_extfs *fs, bool reset, struct br_error *err)
{
	struct journal j = { .fs = fs, .bs = fs->bs };
	int r;

	if (!ext2fs_has_feature_journal(fs->e2->super) || !fs->e2->super->s_journal_inum)
		return br_error_set(err, ENOTSUP,
			"the ext4 was not unmounted and its journal is on another device; run 'e2fsck -f' on the image's root partition");
	r = ext_node_raw(fs, fs->e2->super->s_journal_inum, &j.node);
	if (r == 0 && !ext_is(j.node, LINUX_S_IFREG))
		r = -EUCLEAN;
	if (r < 0)
		return br_error_set(err, -r, "the ext4 journal cannot be read: %s", strerrordesc_np(-r));
	j.buf = malloc(j.bs);
	j.data = malloc(j.bs);
	r = j.buf && j.data ? super_read(&j, err) : br_error_set(err, ENOMEM, "out of memory");
	if (r == 0) {
		r = replay(&j, reset);
		if (r < 0)
			br_error_set(err, -r, "the ext4 journal cannot be replayed: %s%s", strerrordesc_np(-r),
				r == -EUCLEAN ? "; run 'e2fsck -f' on the image's root partition" : "");
	}
	free(j.buf);
	free(j.data);
	free(j.revoked);
	return r;
}

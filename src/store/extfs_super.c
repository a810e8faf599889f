/* SPDX-License-Identifier: Apache-2.0 */
/* ext4: the door. What of a superblock libext2fs and we rely on is checked here, once. */
#include "store/extfs_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/cleanup.h"

enum { INCOMPAT, RO_COMPAT, COMPAT };

struct feature {
	uint32_t bit;
	int set;
	const char *name, *why;
};

/* Known, but not served. The rest that is not in the masks below is unknown. */
static const struct feature refused[] = {
	{ EXT2_FEATURE_INCOMPAT_COMPRESSION, INCOMPAT, "compression", "never finished in Linux" },
	{ EXT3_FEATURE_INCOMPAT_JOURNAL_DEV, INCOMPAT, "journal_dev", "this is a journal, not a file system" },
	{ EXT4_FEATURE_INCOMPAT_MMP, INCOMPAT, "mmp", "clear it with 'tune2fs -O ^mmp'" },
	{ EXT4_FEATURE_INCOMPAT_DIRDATA, INCOMPAT, "dirdata", "Lustre's" },
	{ EXT4_FEATURE_INCOMPAT_ENCRYPT, INCOMPAT, "encrypt", "encrypted names cannot be served; make the image without it" },
	{ EXT4_FEATURE_INCOMPAT_CASEFOLD, INCOMPAT, "casefold", "clear it with 'tune2fs -O ^casefold'" },
	{ EXT4_FEATURE_RO_COMPAT_BIGALLOC, RO_COMPAT, "bigalloc", "make the image without it" },
	{ EXT4_FEATURE_RO_COMPAT_HAS_SNAPSHOT, RO_COMPAT, "snapshot", "not of Linux" },
	{ EXT4_FEATURE_RO_COMPAT_REPLICA, RO_COMPAT, "replica", "not of Linux" },
	{ EXT4_FEATURE_RO_COMPAT_READONLY, RO_COMPAT, "read-only", "clear it with 'tune2fs -O ^read-only'" },
	{ EXT4_FEATURE_RO_COMPAT_SHARED_BLOCKS, RO_COMPAT, "shared_blocks", "run 'e2fsck -E unshare_blocks'" },
};

#define INCOMPAT_OK                                                                                 \
	(EXT2_FEATURE_INCOMPAT_FILETYPE | EXT3_FEATURE_INCOMPAT_RECOVER | EXT2_FEATURE_INCOMPAT_META_BG | \
		EXT3_FEATURE_INCOMPAT_EXTENTS | EXT4_FEATURE_INCOMPAT_64BIT |                         \
		EXT4_FEATURE_INCOMPAT_FLEX_BG | EXT4_FEATURE_INCOMPAT_EA_INODE |                      \
		EXT4_FEATURE_INCOMPAT_CSUM_SEED | EXT4_FEATURE_INCOMPAT_LARGEDIR |                    \
		EXT4_FEATURE_INCOMPAT_INLINE_DATA)
#define RO_COMPAT_OK                                                                             \
	(EXT2_FEATURE_RO_COMPAT_SPARSE_SUPER | EXT2_FEATURE_RO_COMPAT_LARGE_FILE | 0x4 /* btree_dir */ | \
		EXT4_FEATURE_RO_COMPAT_HUGE_FILE | EXT4_FEATURE_RO_COMPAT_GDT_CSUM |               \
		EXT4_FEATURE_RO_COMPAT_DIR_NLINK | EXT4_FEATURE_RO_COMPAT_EXTRA_ISIZE |            \
		EXT4_FEATURE_RO_COMPAT_METADATA_CSUM | EXT4_FEATURE_RO_COMPAT_PROJECT |    \
		EXT4_FEATURE_RO_COMPAT_QUOTA | EXT4_FEATURE_RO_COMPAT_VERITY |             \
		EXT4_FEATURE_RO_COMPAT_ORPHAN_PRESENT)

static int check_features(const struct ext2_super_block *sb, bool writable, struct br_error *err)
{
	uint32_t have[] = { [INCOMPAT] = ext2fs_le32_to_cpu(sb->s_feature_incompat),
		[RO_COMPAT] = ext2fs_le32_to_cpu(sb->s_feature_ro_compat) };
	uint32_t unknown;

	for (size_t i = 0; i < BR_ARRAY_SIZE(refused); i++) {
		const struct feature *f = &refused[i];

		if (have[f->set] & f->bit && (f->set == INCOMPAT || writable))
			return br_error_set(err, ENOTSUP, "ext4 feature '%s' is not supported: %s", f->name, f->why);
	}
	unknown = have[INCOMPAT] & ~(uint32_t)INCOMPAT_OK;
	if (unknown)
		return br_error_set(err, ENOTSUP, "unknown ext4 feature incompat 0x%x: the image is newer than this program",
			unknown);
	unknown = have[RO_COMPAT] & ~(uint32_t)RO_COMPAT_OK;
	if (unknown && writable)
		return br_error_set(err, ENOTSUP,
			"unknown ext4 feature ro_compat 0x%x: the image is newer than this program", unknown);
	return 0;
}

static int bad(struct br_error *err, const char *what, uint64_t value)
{
	return br_error_set(err, EUCLEAN,
		"the ext4 superblock is damaged: %s is %" PRIu64 "; run 'e2fsck -f' on the image's root partition",
		what, value);
}

/* The numbers that sizes of memory and places on the disk are computed from. */
static int check_geometry(const struct ext2_super_block *sb, uint64_t size, struct br_error *err)
{
	uint32_t log = ext2fs_le32_to_cpu(sb->s_log_block_size), bs = 1024u << (log & 15);
	uint32_t incompat = ext2fs_le32_to_cpu(sb->s_feature_incompat);
	uint64_t blocks = ext2fs_le32_to_cpu(sb->s_blocks_count), first = ext2fs_le32_to_cpu(sb->s_first_data_block);
	uint32_t bpg = ext2fs_le32_to_cpu(sb->s_blocks_per_group), ipg = ext2fs_le32_to_cpu(sb->s_inodes_per_group);
	uint32_t rev = ext2fs_le32_to_cpu(sb->s_rev_level), isize = ext2fs_le16_to_cpu(sb->s_inode_size);
	uint32_t inodes = ext2fs_le32_to_cpu(sb->s_inodes_count), desc = ext2fs_le16_to_cpu(sb->s_desc_size);
	uint64_t groups;

	if (log > 2)
		return br_error_set(err, ENOTSUP, "ext4 with blocks of more than 4096 bytes is not supported");
	if (ext2fs_le32_to_cpu(sb->s_log_cluster_size) != log)
		return bad(err, "the cluster size's logarithm", ext2fs_le32_to_cpu(sb->s_log_cluster_size));
	if (incompat & EXT4_FEATURE_INCOMPAT_64BIT) {
		blocks |= (uint64_t)ext2fs_le32_to_cpu(sb->s_blocks_count_hi) << 32;
		if (desc < 64 || desc > 1024 || desc & (desc - 1))
			return bad(err, "the size of group descriptors", desc);
	}
	if (blocks < 8 || blocks > size / bs)
		return br_error_set(err, EUCLEAN,
			"the ext4 file system has %" PRIu64 " blocks of %u bytes, but its partition only %" PRIu64
			" bytes; the image was cut short", blocks, bs, size);
	if (first != (bs == 1024))
		return bad(err, "the first data block", first);
	if (bpg < 8 || bpg > 8 * bs || bpg % 8 || ext2fs_le32_to_cpu(sb->s_clusters_per_group) != bpg)
		return bad(err, "blocks per group", bpg);
	if (rev > 1)
		return bad(err, "the revision", rev);
	if (rev == 0)
		isize = EXT2_GOOD_OLD_INODE_SIZE;
	if (isize < 128 || isize > bs || isize & (isize - 1))
		return bad(err, "the inode size", isize);
	groups = (blocks - first + bpg - 1) / bpg;
	if (ipg == 0 || ipg > 8 * bs || ipg % 8 || inodes != groups * ipg)
		return bad(err, "inodes per group", ipg);
	if (rev == 1 && (ext2fs_le32_to_cpu(sb->s_first_ino) < EXT2_GOOD_OLD_FIRST_INO ||
				ext2fs_le32_to_cpu(sb->s_first_ino) > inodes))
		return bad(err, "the first inode", ext2fs_le32_to_cpu(sb->s_first_ino));
	if (ext2fs_le16_to_cpu(sb->s_reserved_gdt_blocks) > bs / 4)
		return bad(err, "reserved descriptor blocks", ext2fs_le16_to_cpu(sb->s_reserved_gdt_blocks));
	return 0;
}

int ext_check_super(struct br_cow *cow, bool writable, struct br_error *err)
{
	struct ext2_super_block sb;
	int r;

	r = br_cow_read(cow, SUPERBLOCK_OFFSET, &sb, sizeof(sb));
	if (r < 0)
		return br_error_set(err, -r, "the root partition cannot be read: %s", strerrordesc_np(-r));
	if (ext2fs_le16_to_cpu(sb.s_magic) != EXT2_SUPER_MAGIC)
		return br_error_set(err, EUCLEAN, "the root partition holds no ext4 file system");
	r = check_features(&sb, writable, err);
	return r < 0 ? r : check_geometry(&sb, br_cow_size(cow), err);
}

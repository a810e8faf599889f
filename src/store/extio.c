/* SPDX-License-Identifier: Apache-2.0 */
/* The io_manager of libext2fs over a copy-on-write layer. */
#include "store/extio.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What the open() below binds to: the library passes it nothing but a name. */
static _Thread_local struct br_cow *opening;

static struct struct_io_manager manager;

static errcode_t io_open(const char *name, int flags, io_channel *ret)
{
	io_channel ch = calloc(1, sizeof(*ch));

	if (!ch)
		return EXT2_ET_NO_MEMORY;
	ch->magic = EXT2_ET_MAGIC_IO_CHANNEL;
	ch->manager = &manager;
	ch->name = strdup(name);
	ch->block_size = 1024;
	ch->refcount = 1;
	ch->private_data = opening;
	if (!ch->name) {
		free(ch);
		return EXT2_ET_NO_MEMORY;
	}
	*ret = ch;
	return 0;
}

static errcode_t io_close(io_channel ch)
{
	if (--ch->refcount > 0)
		return 0;
	free(ch->name);
	free(ch);
	return 0;
}

static errcode_t io_set_blksize(io_channel ch, int blksize)
{
	ch->block_size = blksize;
	return 0;
}

/* A negative count is a number of bytes. False when the range cannot be (a hostile block number). */
static bool range_of(io_channel ch, unsigned long long block, int count, uint64_t *ret_offset, size_t *ret_len)
{
	struct br_cow *cow = ch->private_data;

	*ret_len = count < 0 ? (size_t) - (long)count : (size_t)count * (size_t)ch->block_size;
	if (block > br_cow_size(cow) / (unsigned)ch->block_size)
		return false;
	*ret_offset = block * (unsigned)ch->block_size;
	return *ret_len <= br_cow_size(cow) - *ret_offset;
}

/* Kept besides: the library drops some errors on its way (when it frees the blocks of an extent tree, for one). */
static errcode_t io_error(io_channel ch, int r)
{
	int *first = ch->app_data;

	if (r < 0 && first && !*first)
		*first = r;
	return r == 0 ? 0 : r == -ENOMEM ? EXT2_ET_NO_MEMORY : (errcode_t)-r;
}

static errcode_t io_read64(io_channel ch, unsigned long long block, int count, void *data)
{
	uint64_t offset;
	size_t len;

	if (!range_of(ch, block, count, &offset, &len))
		return EXT2_ET_SHORT_READ;
	return io_error(ch, br_cow_read(ch->private_data, offset, data, len));
}

static errcode_t io_write64(io_channel ch, unsigned long long block, int count, const void *data)
{
	uint64_t offset;
	size_t len;

	if (!range_of(ch, block, count, &offset, &len))
		return EXT2_ET_SHORT_WRITE;
	return io_error(ch, br_cow_write_meta(ch->private_data, offset, data, len));
}

static errcode_t io_read(io_channel ch, unsigned long block, int count, void *data)
{
	return io_read64(ch, block, count, data);
}

static errcode_t io_write(io_channel ch, unsigned long block, int count, const void *data)
{
	return io_write64(ch, block, count, data);
}

static errcode_t io_write_byte(io_channel ch, unsigned long offset, int count, const void *data)
{
	if (count < 0)
		return EXT2_ET_SHORT_WRITE;
	return io_error(ch, br_cow_write_meta(ch->private_data, offset, data, (size_t)count));
}

/* The caller commits; the library's wish to sync is not a commit. */
static errcode_t io_flush(io_channel ch)
{
	return 0;
}

static struct struct_io_manager manager = {
	.magic = EXT2_ET_MAGIC_IO_MANAGER,
	.name = "bramble copy-on-write",
	.open = io_open,
	.close = io_close,
	.set_blksize = io_set_blksize,
	.read_blk = io_read,
	.write_blk = io_write,
	.flush = io_flush,
	.write_byte = io_write_byte,
	.read_blk64 = io_read64,
	.write_blk64 = io_write64,
};

errcode_t br_extio_open(struct br_cow *cow, int flags, ext2_filsys *ret)
{
	errcode_t e;

	opening = cow;
	e = ext2fs_open("image", flags, 0, 0, &manager, ret);
	opening = NULL;
	if (!e)
		(*ret)->io->app_data = NULL;
	return e;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* NFSv3: LOOKUP, READDIR, READDIRPLUS. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "nfs/access.h"
#include "nfs/call.h"
#include "nfs/status.h"
#include "wire/xdr.h"

#define REPLY_MAX (256u << 10) /* bytes of a directory listing, whatever the client would take */

int br_nfs3_lookup_name(struct br_nfs_call *call, unsigned i, const char *name, uint64_t *ret_ino)
{
	struct br_fs *fs = call->export.fs;
	uint64_t dir = call->objects[i].handle.ino;

	if (!strcmp(name, ".") || (!strcmp(name, "..") && dir == fs->ops->root(fs))) {
		*ret_ino = dir;
		return 0;
	}
	return fs->ops->lookup(fs, dir, name, ret_ino);
}

int br_nfs3_open_dir(struct br_nfs_call *call, unsigned i, const struct br_nfs3_fh *fh)
{
	int r = br_nfs3_open(call, i, fh);

	if (r == 0 && !S_ISDIR(call->objects[i].before.mode))
		r = -ENOTDIR;
	return r;
}

int br_nfs3_lookup(struct br_nfs_call *call)
{
	struct br_nfs3_dirop args;
	char name[BR_NFS_NAME_SIZE];
	struct br_fs_attr attr;
	struct br_nfs3_fattr fattr;
	uint64_t ino;
	int r;

	if (br_nfs3_get_dirop(&call->in, &args) < 0)
		return BR_RPC_GARBAGE_ARGS;
	r = br_nfs3_open_dir(call, 0, &args.dir);
	if (r < 0)
		return r;
	r = br_nfs3_name(&args.name, name);
	if (r < 0)
		return r;
	r = br_nfs_may(&call->rpc.cred, &call->objects[0].before, BR_NFS_MAY_EXEC);
	if (r < 0)
		return r;
	call->seeks_init = !strcmp(name, "init") || !strcmp(name, "sbin");
	r = br_nfs3_lookup_name(call, 0, name, &ino);
	if (r < 0)
		return r;
	r = call->export.fs->ops->getattr(call->export.fs, ino, &attr);
	if (r < 0)
		return r;
	br_nfs3_put_handle(call, &attr);
	br_nfs3_fattr(call, &attr, &fattr);
	br_nfs3_put_post_op(&call->out, &fattr);
	br_nfs3_put_object_attr(call, 0);
	return 0;
}

/*
 * A listing is collected first and encoded afterwards: READDIRPLUS asks the file system for
 * attributes, which must not happen while it lists. Collected entries: inode, cookie, length of the
 * name (4 bytes), name.
 */
struct listing {
	struct br_writer entries;
	bool plus, full;
	uint64_t n;
	uint64_t size, size_max;         /* of the entries encoded */
	uint64_t dir_size, dir_size_max; /* of the names, cookies and file ids alone */
};

#define LISTING_HEAD (BR_NFS3_POST_OP_SIZE + 8) /* directory attributes, verifier */
#define LISTING_TAIL (4 + 4)                    /* no more entries, eof */
#define ENTRY_PLUS   (BR_NFS3_POST_OP_SIZE + 4 + 4 + BR_NFS_HANDLE_SIZE)

static int take_entry(void *ctx, const struct br_fs_dirent *entry)
{
	struct listing *list = ctx;
	size_t len = strlen(entry->name);
	size_t dir_size = 8 + 4 + len + br_xdr_padding(len) + 8;
	size_t size = 4 + dir_size + (list->plus ? ENTRY_PLUS : 0);

	/* RFC 1813, 3.3.17: maxcount is a limit; dircount says how much the client wants, and one
	 * entry it always gets */
	list->full = list->size + size > list->size_max ||
		     (list->n && list->dir_size + dir_size > list->dir_size_max);
	if (list->full)
		return 1;
	list->size += size;
	list->dir_size += dir_size;
	list->n++;
	br_put_be64(&list->entries, entry->ino);
	br_put_be64(&list->entries, entry->cookie);
	br_put_be32(&list->entries, (uint32_t)len);
	br_put_bytes(&list->entries, entry->name, len);
	return 0;
}

static void put_entry_plus(struct br_nfs_call *call, uint64_t ino)
{
	struct br_fs *fs = call->export.fs;
	struct br_nfs3_fattr fattr;
	struct br_fs_attr attr;

	if (fs->ops->getattr(fs, ino, &attr) < 0) {
		br_put_be32(&call->out, false);
		br_put_be32(&call->out, false);
		return;
	}
	br_nfs3_fattr(call, &attr, &fattr);
	br_nfs3_put_post_op(&call->out, &fattr);
	br_put_be32(&call->out, true);
	br_nfs3_put_handle(call, &attr);
}

static void put_listing(struct br_nfs_call *call, const struct listing *list, bool eof)
{
	struct br_reader r = br_reader_of(list->entries.buf, list->entries.len);

	br_nfs3_put_object_attr(call, 0);
	br_put_be64(&call->out, 0); /* verifier: cookies stay valid */
	while (br_reader_left(&r)) {
		uint64_t ino = br_get_be64(&r), cookie = br_get_be64(&r);
		uint32_t len = br_get_be32(&r);

		br_put_be32(&call->out, true);
		br_put_be64(&call->out, ino);
		br_xdr_put_opaque(&call->out, br_reader_take(&r, len), len);
		br_put_be64(&call->out, cookie);
		if (list->plus)
			put_entry_plus(call, ino);
	}
	br_put_be32(&call->out, false);
	br_put_be32(&call->out, eof);
}

static int check_listing(struct br_nfs_call *call, const struct br_nfs3_readdir_args *args)
{
	int r = br_nfs3_open_dir(call, 0, &args->fh);

	if (r < 0)
		return r;
	r = br_nfs_may(&call->rpc.cred, &call->objects[0].before, BR_NFS_MAY_READ);
	if (r < 0)
		return r;
	if (args->cookie && args->cookieverf)
		return BR_NFS3_ERROR(BR_NFS3ERR_BAD_COOKIE); /* we only ever give 0 */
	if (args->maxcount < LISTING_HEAD + LISTING_TAIL)
		return BR_NFS3_ERROR(BR_NFS3ERR_TOOSMALL);
	return 0;
}

static int list_dir(struct br_nfs_call *call, const struct br_nfs3_readdir_args *args, bool plus)
{
	uint32_t max = args->maxcount < REPLY_MAX ? args->maxcount : REPLY_MAX;
	struct listing list = { .plus = plus, .dir_size_max = args->dircount };
	br_cleanup(br_freep) uint8_t *buf = NULL;
	struct br_fs *fs;
	bool eof = false;
	int r = check_listing(call, args);

	if (r < 0)
		return r;
	buf = malloc(max); /* an entry collected is smaller than one encoded */
	if (!buf)
		return -ENOMEM;
	list.entries = br_writer_of(buf, max);
	list.size_max = max - LISTING_HEAD - LISTING_TAIL;
	fs = call->export.fs;
	r = fs->ops->readdir(
		fs, call->objects[0].handle.ino, args->cookie, take_entry, &list, &eof);
	if (r < 0)
		return r == -EINVAL ? BR_NFS3_ERROR(BR_NFS3ERR_BAD_COOKIE) : r;
	if (list.full && !list.n)
		return BR_NFS3_ERROR(BR_NFS3ERR_TOOSMALL);
	if (br_nfs_reserve(call, LISTING_HEAD + LISTING_TAIL + list.size) < 0)
		return -ENOMEM;
	put_listing(call, &list, eof && !list.full);
	return 0;
}

int br_nfs3_readdir(struct br_nfs_call *call)
{
	struct br_nfs3_readdir_args args;

	if (br_nfs3_get_readdir(&call->in, &args) < 0)
		return BR_RPC_GARBAGE_ARGS;
	return list_dir(call, &args, false);
}

int br_nfs3_readdirplus(struct br_nfs_call *call)
{
	struct br_nfs3_readdir_args args;

	if (br_nfs3_get_readdirplus(&call->in, &args) < 0)
		return BR_RPC_GARBAGE_ARGS;
	return list_dir(call, &args, true);
}

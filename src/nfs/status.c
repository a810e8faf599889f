/* SPDX-License-Identifier: Apache-2.0 */
#include "nfs/status.h"

#include <errno.h>

#include "base/cleanup.h"

/* Groups of statuses, so that a set fits a word. */
enum {
	PERM = 1 << 0,
	NOENT = 1 << 1,
	NXIO = 1 << 2,
	ACCES = 1 << 3,
	EXIST = 1 << 4,
	XDEV = 1 << 5,
	NOTDIR = 1 << 6,
	ISDIR = 1 << 7,
	INVAL = 1 << 8,
	FBIG = 1 << 9,
	NOSPC = 1 << 10, /* and DQUOT */
	ROFS = 1 << 11,
	MLINK = 1 << 12,
	NAME = 1 << 13, /* NAMETOOLONG */
	NOTEMPTY = 1 << 14,
	NOT_SYNC = 1 << 15,
	COOKIE = 1 << 16,
	NOTSUPP = 1 << 17,
	TOOSMALL = 1 << 18,
	BADTYPE = 1 << 19,
	ANY = 1 << 20, /* allowed to every procedure: IO, STALE, BADHANDLE, SERVERFAULT, JUKEBOX */

	/* RFC 1813 gives PERM to SETATTR only and a removed directory no NOENT; Linux, server and
	   clients, uses both wherever a name is made or removed */
	MAKE = PERM | NOENT | ACCES | EXIST | NOTDIR | NOSPC | ROFS | NAME | MLINK,
	REMOVE = PERM | NOENT | ACCES | NOTDIR | NAME | ROFS,
};

static const struct {
	int error;
	enum br_nfs3_status status;
	unsigned group;
} statuses[] = {
	{ EPERM, BR_NFS3ERR_PERM, PERM },
	{ ENOENT, BR_NFS3ERR_NOENT, NOENT },
	{ EIO, BR_NFS3ERR_IO, ANY },
	{ ENXIO, BR_NFS3ERR_NXIO, NXIO },
	{ EACCES, BR_NFS3ERR_ACCES, ACCES },
	{ EEXIST, BR_NFS3ERR_EXIST, EXIST },
	{ EXDEV, BR_NFS3ERR_XDEV, XDEV },
	{ ENOTDIR, BR_NFS3ERR_NOTDIR, NOTDIR },
	{ EISDIR, BR_NFS3ERR_ISDIR, ISDIR },
	{ EINVAL, BR_NFS3ERR_INVAL, INVAL },
	{ EFBIG, BR_NFS3ERR_FBIG, FBIG },
	{ ENOSPC, BR_NFS3ERR_NOSPC, NOSPC },
	{ EDQUOT, BR_NFS3ERR_DQUOT, NOSPC },
	{ EROFS, BR_NFS3ERR_ROFS, ROFS },
	{ EMLINK, BR_NFS3ERR_MLINK, MLINK },
	{ ENAMETOOLONG, BR_NFS3ERR_NAMETOOLONG, NAME },
	{ ENOTEMPTY, BR_NFS3ERR_NOTEMPTY, NOTEMPTY },
	{ ESTALE, BR_NFS3ERR_STALE, ANY },
	{ EAGAIN, BR_NFS3ERR_JUKEBOX, ANY },
	{ EBUSY, BR_NFS3ERR_JUKEBOX, ANY },
	{ ENOMEM, BR_NFS3ERR_JUKEBOX, ANY },
	{ EOPNOTSUPP, BR_NFS3ERR_NOTSUPP, NOTSUPP },
	{ 0, BR_NFS3ERR_BADHANDLE, ANY },
	{ 0, BR_NFS3ERR_SERVERFAULT, ANY },
	{ 0, BR_NFS3ERR_NOT_SYNC, NOT_SYNC },
	{ 0, BR_NFS3ERR_BAD_COOKIE, COOKIE },
	{ 0, BR_NFS3ERR_TOOSMALL, TOOSMALL },
	{ 0, BR_NFS3ERR_BADTYPE, BADTYPE },
};

static const unsigned allowed[BR_NFS3_PROCS] = {
	[BR_NFS3_SETATTR] = PERM | ACCES | INVAL | NOSPC | ROFS | NOT_SYNC | FBIG | ISDIR,
	[BR_NFS3_LOOKUP] = NOENT | ACCES | NOTDIR | NAME,
	[BR_NFS3_READLINK] = INVAL | ACCES | NOTSUPP,
	[BR_NFS3_READ] = NXIO | ACCES | INVAL | ISDIR,
	[BR_NFS3_WRITE] = PERM | ACCES | INVAL | FBIG | NOSPC | ROFS | ISDIR,
	[BR_NFS3_CREATE] = MAKE | ISDIR | FBIG | INVAL | NOTSUPP,
	[BR_NFS3_MKDIR] = MAKE | INVAL | NOTSUPP,
	[BR_NFS3_SYMLINK] = MAKE | INVAL | NOTSUPP,
	[BR_NFS3_MKNOD] = MAKE | INVAL | NOTSUPP | BADTYPE,
	[BR_NFS3_REMOVE] = REMOVE | ISDIR,
	[BR_NFS3_RMDIR] = REMOVE | EXIST | INVAL | NOTEMPTY | NOTSUPP,
	[BR_NFS3_RENAME] = REMOVE | MAKE | XDEV | ISDIR | INVAL | NOTEMPTY | NOTSUPP,
	[BR_NFS3_LINK] = MAKE | NOENT | XDEV | INVAL | NOTSUPP,
	[BR_NFS3_READDIR] = ACCES | NOTDIR | COOKIE | TOOSMALL,
	[BR_NFS3_READDIRPLUS] = ACCES | NOTDIR | COOKIE | TOOSMALL | NOTSUPP,
	[BR_NFS3_COMMIT] =
		NOSPC, /* a delayed write's; RFC 1813 knows only IO here, Linux clients know all */
};

enum br_nfs3_status br_nfs3_status(enum br_nfs3_proc proc, int r)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(statuses); i++) {
		if (r != BR_NFS3_ERROR(statuses[i].status) &&
			(!statuses[i].error || r != -statuses[i].error))
			continue;
		if ((allowed[proc] | ANY) & statuses[i].group)
			return statuses[i].status;
		break;
	}
	return BR_NFS3ERR_IO;
}

enum br_mount_status br_mount_status(int r)
{
	static const struct {
		int error;
		enum br_mount_status status;
	} table[] = {
		{ EPERM, BR_MNT3ERR_PERM },
		{ ENOENT, BR_MNT3ERR_NOENT },
		{ EIO, BR_MNT3ERR_IO },
		{ EACCES, BR_MNT3ERR_ACCES },
		{ ENOTDIR, BR_MNT3ERR_NOTDIR },
		{ EINVAL, BR_MNT3ERR_INVAL },
		{ ENAMETOOLONG, BR_MNT3ERR_NAMETOOLONG },
		{ EOPNOTSUPP, BR_MNT3ERR_NOTSUPP },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(table); i++)
		if (r == -table[i].error)
			return table[i].status;
	return BR_MNT3ERR_SERVERFAULT;
}

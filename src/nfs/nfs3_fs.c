/* SPDX-License-Identifier: Apache-2.0 */
/* NFSv3: FSSTAT, FSINFO, PATHCONF. */
#include "nfs/call.h"

/* What clients should take. With 100 Mbit/s (Pi 3B) a reply of 128 KiB holds up the others behind
 * it for 10 ms. */
#define IO_PREFERRED  (128u << 10)
#define IO_MULTIPLE   4096
#define DIR_PREFERRED (64u << 10)
#define FILE_MAX      ((1ull << 44) - 4096) /* ext4 with blocks of 4 KiB: 2^32 - 1 of them */
#define LINK_MAX_EXT4 65000

static int open_handle(struct br_nfs_call *call)
{
	struct br_nfs3_fh fh;

	if (br_nfs3_get_fh(&call->in, &fh) < 0)
		return BR_RPC_GARBAGE_ARGS;
	return br_nfs3_open(call, 0, &fh);
}

int br_nfs3_fsstat(struct br_nfs_call *call)
{
	struct br_fs_statfs st;
	int r = open_handle(call);

	if (r)
		return r;
	r = call->export.fs->ops->statfs(call->export.fs, &st);
	if (r < 0)
		return r;
	br_nfs3_put_object_attr(call, 0);
	br_nfs3_put_fsstat(
		&call->out, &(struct br_nfs3_fsstat){ st.total_bytes, st.free_bytes, st.avail_bytes,
				    st.total_files, st.free_files, st.free_files, 0 });
	return 0;
}

int br_nfs3_fsinfo(struct br_nfs_call *call)
{
	static const struct br_nfs3_fsinfo info = {
		.rtmax = BR_NFS_IO_MAX,
		.rtpref = IO_PREFERRED,
		.rtmult = IO_MULTIPLE,
		.wtmax = BR_NFS_IO_MAX,
		.wtpref = IO_PREFERRED,
		.wtmult = IO_MULTIPLE,
		.dtpref = DIR_PREFERRED,
		.max_file_size = FILE_MAX,
		.time_delta = { 0, 1 },
		.properties = BR_NFS3_FSF_LINK | BR_NFS3_FSF_SYMLINK | BR_NFS3_FSF_HOMOGENEOUS |
			      BR_NFS3_FSF_CANSETTIME,
	};
	int r = open_handle(call);

	if (r)
		return r;
	br_nfs3_put_object_attr(call, 0);
	br_nfs3_put_fsinfo(&call->out, &info);
	return 0;
}

int br_nfs3_pathconf(struct br_nfs_call *call)
{
	static const struct br_nfs3_pathconf conf = {
		.link_max = LINK_MAX_EXT4,
		.name_max = BR_NFS_NAME_SIZE - 1,
		.no_trunc = true,
		.chown_restricted = true,
		.case_insensitive = false,
		.case_preserving = true,
	};
	int r = open_handle(call);

	if (r)
		return r;
	br_nfs3_put_object_attr(call, 0);
	br_nfs3_put_pathconf(&call->out, &conf);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/mount.h"

#include <errno.h>
#include <string.h>

#include "wire/rpc.h"
#include "wire/xdr.h"

int br_mount_get_path(struct br_reader *r, char out[static BR_MOUNT_PATH_MAX + 1])
{
	uint32_t n = 0;
	const uint8_t *p = br_xdr_get_opaque(r, BR_MOUNT_PATH_MAX, &n);

	if (!p || memchr(p, 0, n))
		return -EBADMSG;
	memcpy(out, p, n);
	out[n] = 0;
	return 0;
}

void br_mount_put_status(struct br_writer *w, enum br_mount_status status)
{
	br_put_be32(w, status);
}

void br_mount_put_export(struct br_writer *w, const char *path)
{
	br_put_be32(w, true);
	br_xdr_put_opaque(w, path, strlen(path));
	br_put_be32(w, false);
}

void br_mount_put_handle(struct br_writer *w, const void *fh, size_t fh_len)
{
	br_mount_put_status(w, BR_MNT3_OK);
	br_xdr_put_opaque(w, fh, fh_len);
	br_put_be32(w, 1);
	br_put_be32(w, BR_RPC_AUTH_SYS);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "nfs/handle.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/siphash.h"

#define VERSION 1u
#define CHECKED (BR_NFS_HANDLE_SIZE - 8) /* bytes under the check, which is the last eight */

void br_nfs_handle_put(const uint8_t key[static 16], const struct br_nfs_handle *handle,
	uint8_t out[static BR_NFS_HANDLE_SIZE])
{
	struct br_writer w = br_writer_of(out, BR_NFS_HANDLE_SIZE);

	br_put_be32(&w, VERSION);
	br_put_bytes(&w, handle->export_id, sizeof(handle->export_id));
	br_put_be64(&w, handle->ino);
	br_put_be32(&w, handle->generation);
	br_put_be64(&w, br_siphash(key, out, CHECKED));
}

int br_nfs_handle_get(
	const uint8_t key[static 16], const void *data, size_t len, struct br_nfs_handle *ret)
{
	struct br_reader r = br_reader_of(data, len);

	if (len != BR_NFS_HANDLE_SIZE ||
		br_load_be64((const uint8_t *)data + CHECKED) != br_siphash(key, data, CHECKED))
		return -EBADMSG;
	if (br_get_be32(&r) != VERSION)
		return -EBADMSG;
	memcpy(ret->export_id, br_reader_take(&r, sizeof(ret->export_id)), sizeof(ret->export_id));
	ret->ino = br_get_be64(&r);
	ret->generation = br_get_be32(&r);
	return 0;
}

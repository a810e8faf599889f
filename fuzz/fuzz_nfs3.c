/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequences of NFSv3 calls with valid heads and handles, so that the procedures themselves are
 * reached. Per call: a byte of procedure, one of who calls, then arguments: a byte below 0x80 is a
 * handle to put there, by number, 0x80..0xfe that many less 0x80 raw bytes that follow, 0xff the
 * end.
 */
#include "fuzz/nfs_rig.h"
#include "nfs/handle.h"
#include "wire/nfs3.h"
#include "wire/rpc.h"

#define CALL_SIZE 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_handle(struct br_writer *w, const struct fuzz_rig *rig, uint8_t n)
{
	struct br_nfs_handle handle = { .ino = 2 + n / 4, .generation = n % 4 };
	uint8_t fh[BR_NFS_HANDLE_SIZE];
	struct br_fs_attr attr;

	/* most often the one that is there */
	if (n % 4 != 3 && rig->export.fs->ops->getattr(rig->export.fs, handle.ino, &attr) == 0)
		handle.generation = attr.generation;
	memcpy(handle.export_id, rig->export.id, sizeof(handle.export_id));
	br_nfs_handle_put(nfs_test_key, &handle, fh);
	br_nfs3_put_fh(w, fh, sizeof(fh));
}

static void put_arguments(struct br_writer *w, const struct fuzz_rig *rig, struct br_reader *r)
{
	for (uint8_t b = br_get_u8(r); !r->failed && b != 0xff; b = br_get_u8(r)) {
		size_t n = b & 0x7f;

		if (b < 0x80) {
			put_handle(w, rig, b);
		} else {
			n = n < br_reader_left(r) ? n : br_reader_left(r);
			br_put_bytes(w, br_reader_take(r, n), n);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct br_reader r = br_reader_of(data, size);
	struct fuzz_rig rig;
	uint32_t xid = 1;

	fuzz_rig_init(&rig);
	while (br_reader_left(&r) > 2) {
		uint8_t buf[CALL_SIZE], proc = br_get_u8(&r), who = br_get_u8(&r), *exact;
		struct br_rpc_call call = {
			.xid = xid, .program = BR_RPC_NFS, .version = 3, .procedure = proc
		};
		struct br_writer w = br_writer_of(buf, sizeof(buf));

		xid++;
		call.cred = (struct br_rpc_cred){ BR_RPC_AUTH_SYS, who & 3 ? 1000u + (who & 3) : 0,
			who >> 4, 0, { 0 } };
		br_rpc_put_call(&w, &call);
		put_arguments(&w, &rig, &r);
		exact = malloc(w.len);
		memcpy(exact, buf, w.len);
		fuzz_rig_call(&rig, exact, w.len);
		free(exact);
		if (who & 4)
			br_nfs_core_commit(&rig.core, fuzz_rig_take, &rig);
	}
	br_nfs_core_commit(&rig.core, fuzz_rig_take, &rig);
	fuzz_rig_done(&rig);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Records as a client sends them (each with a mark of four bytes) into the NFS server's core.
 * Handles in the seeds are valid: the file system and the key are always the same. */
#include "fuzz/nfs_rig.h"
#include "wire/rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct br_reader r = br_reader_of(data, size);
	struct fuzz_rig rig;

	fuzz_rig_init(&rig);
	while (br_reader_left(&r) > BR_RPC_MARK_SIZE) {
		size_t n = br_get_be32(&r) & 0x7fffffff, left = br_reader_left(&r);
		uint8_t *exact;

		n = n < left ? n : left;
		exact = malloc(n ? n : 1);
		memcpy(exact, br_reader_take(&r, n), n);
		fuzz_rig_call(&rig, exact, n);
		free(exact);
	}
	br_nfs_core_commit(&rig.core, fuzz_rig_take, &rig);
	fuzz_rig_done(&rig);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Folders of boot files and roots, whole machines, and telling formats apart. */
#include "fuzz/import_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	rig_run(data, size, NULL, "tree");
	return 0;
}

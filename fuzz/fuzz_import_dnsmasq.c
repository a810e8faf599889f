/* SPDX-License-Identifier: Apache-2.0 */
/* dnsmasq.conf with the files it includes. */
#include "fuzz/import_rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	rig_run(data, size, br_import_dnsmasq, "dnsmasq");
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* layer.json and disk.json: what a state directory from somewhere else says of layers. */
#include <stdlib.h>
#include <string.h>

#include "store/disk_priv.h"
#include "store/layer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct disk_state s = { 0 };
	struct br_layer l;

	if (br_layer_parse((const char *)data, size, &l) == 0 &&
		(!br_layer_id_ok(l.id) || (*l.parent && !br_layer_id_ok(l.parent)) || !l.size))
		abort();
	if (disk_state_parse((const char *)data, size, &s) == 0) {
		if (!br_layer_id_ok(s.layer) || (*s.parent && !br_layer_id_ok(s.parent)))
			abort();
		for (size_t i = 0; i < s.n_snapshots; i++)
			if (!*s.snapshots[i].name || strchr(s.snapshots[i].name, '/'))
				abort();
		disk_state_done(&s);
	}
	return 0;
}

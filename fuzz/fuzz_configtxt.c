/* SPDX-License-Identifier: Apache-2.0 */
/* config.txt as virtual firmware reads it: the first byte splits the input into the file and one it may include. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "pi/configtxt.h"
#include "sim/firmware.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const ids[] = { "3b", "3b+", "4", "5" };
	struct br_pi_config c;
	struct br_pi_config_file files[2];
	char name[BR_PI_CONFIG_NAME];
	size_t cut;

	if (!size)
		return 0;
	cut = (size_t)data[0] * (size - 1) / 255;
	files[0] = (struct br_pi_config_file){ "config.txt", (const char *)data + 1, cut };
	files[1] = (struct br_pi_config_file){ "a.txt", (const char *)data + 1 + cut, size - 1 - cut };
	for (size_t i = 0; i < BR_ARRAY_SIZE(ids); i++) {
		const struct br_sim_model *m = br_sim_model_by_id(ids[i]);
		struct br_pi_config_reader who = { .filters = m->filters, .serial = 0x5b000001, .revision = m->revision,
			.includes = i > 0 };

		br_pi_config_parse(&who, files, 2, &c);
		if (c.n_overlays > BR_PI_CONFIG_LIST || c.n_initramfs > BR_PI_CONFIG_LIST ||
			c.n_missing > BR_PI_CONFIG_INCLUDES)
			abort();
		br_sim_start_name(m, &c, i & 1, name);
		br_pi_initramfs_name(c.kernel, name);
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/usbpayload.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "sim/expect.h"

struct br_sim_usb_payload {
	struct br_sim_expect *dir, *tar; /* tar: NULL without a bootfiles.bin */
};

int br_sim_usb_payload_open(const char *dir, struct br_sim_usb_payload **ret, struct br_error *err)
{
	br_cleanup(br_freep) char *tar = br_asprintf("%s/bootfiles.bin", dir);
	struct br_sim_usb_payload *p = calloc(1, sizeof(*p));
	int r = p && tar ? br_sim_expect_dir(dir, &p->dir, err) : br_error_set(err, ENOMEM, "out of memory");

	if (!r && access(tar, F_OK) == 0)
		r = br_sim_expect_tar(tar, &p->tar, err);
	if (r < 0) {
		br_sim_usb_payload_close(p);
		return r;
	}
	*ret = p;
	return 0;
}

void br_sim_usb_payload_close(struct br_sim_usb_payload *p)
{
	if (!p)
		return;
	br_sim_expect_free(p->dir);
	br_sim_expect_free(p->tar);
	free(p);
}

int br_sim_usb_payload_find(const struct br_sim_usb_payload *p, const struct br_sim_rom_kind *kind, const char *name,
	uint64_t *ret_size, uint32_t *ret_crc)
{
	const char *dir = br_usbboot_model(BR_USBBOOT_VENDOR, kind->product_id)->dir;
	const char *const dirs[] = { dir, strcmp(dir, "2710") == 0 ? "2836" : dir }; /* both are in use for the old ones */
	char path[BR_USBBOOT_NAME + 16];

	for (size_t i = 0; i < BR_ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i], name);
		if (br_sim_expect_find(p->dir, path, ret_size, ret_crc) || br_sim_expect_find(p->tar, path, ret_size, ret_crc))
			return 1;
	}
	return br_sim_expect_find(p->dir, name, ret_size, ret_crc);
}

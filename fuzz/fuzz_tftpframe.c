/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of frames from the network: what is read is what a head made from it says. */
#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "tftp/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t head[BR_TFTP_FRAME_HEAD];
	struct br_tftp_frame f, again;

	if (br_tftp_frame_read(data, size, &f) < 0)
		return 0;
	br_tftp_frame_head(head, &f, 7, 100);
	assert(br_tftp_frame_read(head, sizeof(head), &again) == 0);
	assert(br_mac_equal(f.src_mac, again.src_mac) && br_mac_equal(f.dst_mac, again.dst_mac));
	assert(f.src_ip == again.src_ip && f.dst_ip == again.dst_ip);
	assert(f.src_port == again.src_port && f.dst_port == again.dst_port);
	return 0;
}

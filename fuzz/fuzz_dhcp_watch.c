/* SPDX-License-Identifier: Apache-2.0 */
/* Frames as the packet socket of the DHCP server gives them: other servers' replies, ARP. */
#include <stdlib.h>
#include <string.h>

#include "dhcp/watch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct br_dhcp_foreign f;
	struct br_mac mac;
	uint32_t ip;

	if (br_dhcp_watch_reply(data, size, &f) && (f.prefix > 32 || f.type < BR_DHCP_OFFER || f.type > BR_DHCP_NAK))
		abort();
	if (br_dhcp_watch_arp(data, size, &ip, &mac) && !ip)
		abort();
	return 0;
}

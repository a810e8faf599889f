/* SPDX-License-Identifier: Apache-2.0 */
/* The DHCP decoder: whatever it accepts can be built again and comes back the same. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "pi/identity.h"
#include "wire/dhcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

static void read_everything(const struct br_dhcp_message *m)
{
	char text[300];

	for (unsigned code = 0; code < 256; code++) {
		size_t len = 0;
		const uint8_t *p = br_dhcp_option(m, (uint8_t)code, &len);
		uint32_t u32;
		uint16_t u16;

		check(!!p == br_dhcp_has(m, (uint8_t)code));
		if (p)
			check(br_dhcp_option_is(m, (uint8_t)code, p, len));
		(void)br_dhcp_option_u16(m, (uint8_t)code, &u16);
		(void)br_dhcp_option_u32(m, (uint8_t)code, &u32);
		(void)br_dhcp_option_ip(m, (uint8_t)code);
		(void)br_dhcp_asks(m, (uint8_t)code);
		br_dhcp_option_text(m, (uint8_t)code, text, sizeof(text));
		for (const char *c = text; *c; c++)
			check(*c >= 0x20 && *c < 0x7f);
		br_pi_guid_parse(p, len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct br_dhcp_message m, again;
	struct br_dhcp_builder b;
	uint8_t buf[4096];
	int n;

	if (br_dhcp_decode(data, size, &m) < 0)
		return 0;
	read_everything(&m);
	br_dhcp_begin(&b, buf, sizeof(buf), &m.h);
	for (unsigned i = 0; i < m.n_order; i++)
		br_dhcp_add(&b, m.order[i], m.data + m.at[m.order[i]], m.len[m.order[i]]);
	n = br_dhcp_end(&b, 0);
	check(n > 0); /* joined options are never larger than the packet they came from, but for the 52 that is gone */
	if (n > BR_DHCP_PACKET_MAX)
		return 0;
	check(br_dhcp_decode(buf, (size_t)n, &again) == 0);
	check(again.n_order == m.n_order && !memcmp(again.order, m.order, m.n_order));
	for (unsigned i = 0; i < m.n_order; i++)
		check(br_dhcp_option_is(&again, m.order[i], m.data + m.at[m.order[i]], m.len[m.order[i]]));
	check(again.h.xid == m.h.xid && !strcmp(again.h.file, m.h.file) && !strcmp(again.h.sname, m.h.sname));
	return 0;
}

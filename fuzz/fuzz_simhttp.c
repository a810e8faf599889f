/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual board's HTTP client against a hostile server. Byte 0: bit 0 HEAD, bit 1 the server hangs up at the end; then
 * pieces of the answer: a length byte and that many bytes (0: a segment with odd flags, from the next byte).
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "sim/http_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PORT 40000

static uint32_t board_next, sent; /* what the board has sent, and we */

static void drain(struct br_sim_http *h, uint64_t now)
{
	uint8_t out[BR_SIM_TCP_MAX];
	size_t n;

	for (int i = 0; i < 64 && (n = br_sim_http_poll(h, now, out)); i++) {
		size_t head = (size_t)(out[12] >> 4) * 4;

		board_next = br_load_be32(out + 4) + (uint32_t)(n - head) + !!(out[13] & 3);
		if (out[13] & 2)
			sent = 0; /* it begins anew */
	}
}

static void segment(struct br_sim_http *h, uint64_t now, uint8_t flags, const uint8_t *p, size_t n)
{
	uint8_t s[20 + 255];

	memset(s, 0, 20);
	br_store_be16(s, 80);
	br_store_be16(s + 2, h->tcp.port);
	br_store_be32(s + 4, sent);
	br_store_be32(s + 8, board_next);
	s[12] = 5 << 4;
	s[13] = flags;
	br_store_be16(s + 14, 65535);
	memcpy(s + 20, p, n);
	br_sim_http_input(h, now, s, 20 + n);
	sent += (uint32_t)n + !!(flags & 3);
	drain(h, now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct br_sim_http h = { 0 };
	uint64_t now = BR_S;
	struct br_reader r = br_reader_of(data, size);
	uint8_t how = br_get_u8(&r);

	if (!size)
		return 0;
	br_sim_http_start(&h, how & 1, "10.77.0.1", "net_install/boot.img", PORT, 80, 1, now);
	drain(&h, now);
	segment(&h, now, 0x12, (const uint8_t *)"", 0);
	while (br_reader_left(&r) && h.state == BR_SIM_HTTP_RUNNING) {
		size_t n = br_get_u8(&r), left = br_reader_left(&r);
		uint8_t flags = n ? 0x10 : left ? br_get_u8(&r) : 0x14;

		if (h.tcp.state == BR_SIM_TCP_CONNECTING)
			flags = 0x12;
		if (n > br_reader_left(&r))
			n = br_reader_left(&r);
		segment(&h, now, flags, n ? br_reader_take(&r, n) : data, n);
		now += BR_MS;
	}
	if (how & 2)
		segment(&h, now, 0x11, data, 0);
	/* it ends by itself */
	for (int i = 0; h.state == BR_SIM_HTTP_RUNNING; i++) {
		if (i == 1000)
			abort();
		now = br_sim_http_deadline(&h) > now ? br_sim_http_deadline(&h) : now + BR_S;
		drain(&h, now);
	}
	if (h.state == BR_SIM_HTTP_DONE && !h.head_only && h.got != h.length)
		abort();
	br_sim_http_done(&h);
	return 0;
}

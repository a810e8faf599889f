/* SPDX-License-Identifier: Apache-2.0 */
/* A virtual board in USB boot mode and a host without manners: any transfers at any time, of which some wait. */
#include <errno.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "sim/usbrom.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_expected(void *ctx, const char *name, uint64_t *ret_size, uint32_t *ret_crc)
{
	*ret_size = 64 + (uint8_t)name[0] % 64;
	*ret_crc = 0;
	return name[0] % 3 != 0;
}

static void on_event(void *ctx, const struct br_sim_rom_event *e)
{
	if (!e->name || !e->text)
		abort();
}

static void check(const struct br_sim_rom *b)
{
	uint8_t string[255];
	const uint8_t *config = br_sim_rom_configuration(b);
	size_t at = 0;

	if (!br_sim_rom_attached(b))
		return;
	while (at < br_load_le16(config + 2)) {
		if (config[at] < 2)
			abort();
		at += config[at];
	}
	if (at != br_load_le16(config + 2))
		abort();
	for (unsigned i = 0; i < 6; i++) {
		int n = br_sim_rom_string(b, (uint8_t)i, string);

		if (n != -EPIPE && (n < 2 || n != string[0]))
			abort();
	}
}

/* What the board wants next is said rightly half of the time, or no fuzzer gets far. */
static int control(struct br_sim_rom *b, struct br_reader *r, uint64_t now_ns)
{
	uint8_t op = br_get_u8(r), buf[512];
	uint16_t value = (uint16_t)(op & 8 ? br_get_be16(r) : br_get_u8(r)), index = op & 16 ? br_get_be16(r) : 0;
	uint8_t type = op & 1 ? BR_USBBOOT_IN : BR_USBBOOT_OUT;
	size_t len = type == BR_USBBOOT_IN ? value % sizeof(buf) : 0;
	int n;

	if (op & 2) { /* a read as it should be */
		type = BR_USBBOOT_IN;
		len = op & 4 ? BR_USBBOOT_REQUEST : BR_USBBOOT_STATUS;
		value = (uint16_t)len;
	} else if (op & 32) {
		type = br_get_u8(r);
	}
	n = br_sim_rom_control(b, now_ns, type, op & 64 ? br_get_u8(r) : 0, value, index, buf, len);
	if (n > (int)len)
		abort();
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct br_reader r = br_reader_of(data, size);
	uint8_t kind = br_get_u8(&r), quirk = br_get_u8(&r);
	struct br_sim_rom_config c = { .serial = 0x12345678, .speed = kind & 0x80 ? 1 : 0, .event = on_event };
	uint64_t now_ns = BR_S;
	struct br_sim_rom *b;

	c.kind = br_sim_rom_kind_at(kind & 7);
	c.expected = kind & 0x40 ? on_expected : NULL;
	c.quirk = (enum br_sim_rom_quirk)(quirk % BR_SIM_ROM_QUIRKS);
	c.value = br_sim_rom_quirk_at(c.quirk)->value;
	b = c.kind ? br_sim_rom_new(&c) : NULL;
	while (b && br_reader_left(&r)) {
		uint8_t op = br_get_u8(&r);
		size_t n = op >> 2;
		const uint8_t *bytes;

		switch (op & 3) {
		case 0:
			now_ns += (uint64_t)n * 100 * BR_MS;
			br_sim_rom_step(b, now_ns);
			break;
		case 1:
			if (control(b, &r, now_ns) == -EAGAIN && n & 1)
				br_sim_rom_cancelled(b, now_ns);
			break;
		default:
			n = n < br_reader_left(&r) ? n : br_reader_left(&r);
			bytes = br_reader_take(&r, n);
			br_sim_rom_bulk_out(b, now_ns, op & 1 ? 3 : 1, bytes, bytes ? n : 0);
			break;
		}
		check(b);
	}
	br_sim_rom_free(b);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds of boards in USB boot mode as tables: descriptors, the files that second stages ask for, and what may be odd. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "sim/usbrom_private.h"

/*
 * Systems facts c.4 and c.5: requests commonly seen, members of bootfiles.bin. A bootloader of 2711 or 2712 that came in
 * parts asks for the parts first; then an EEPROM is written if there is one, else boot.img booted, else the loose files.
 */
static const struct br_sim_rom_step steps_2710[] = {
	{ BR_SIM_ROM_FETCH, "config.txt" },
	{ BR_SIM_ROM_FETCH, "boot.sig" },
	{ BR_SIM_ROM_FETCH, "boot.img", .skip_found = 2 },
	{ BR_SIM_ROM_FETCH, "start.elf", .needed = true },
	{ BR_SIM_ROM_FETCH, "fixup.dat" },
	{ BR_SIM_ROM_END },
};
static const struct br_sim_rom_step steps_2711[] = {
	{ BR_SIM_ROM_FETCH, "mcb.bin", .skip_absent = 2 },
	{ BR_SIM_ROM_FETCH, "memsys%02u.bin", .count = 9 },
	{ BR_SIM_ROM_FETCH, "bootmain", .needed = true },
	{ BR_SIM_ROM_FETCH, "config.txt" },
	{ BR_SIM_ROM_FETCH, "pieeprom.sig", .skip_absent = 4 },
	{ BR_SIM_ROM_FETCH, "pieeprom.bin", .needed = true },
	{ BR_SIM_ROM_ERASE },
	{ BR_SIM_ROM_TELL },
	{ BR_SIM_ROM_END },
	{ BR_SIM_ROM_FETCH, "boot.sig" },
	{ BR_SIM_ROM_FETCH, "boot.img", .skip_found = 3 },
	{ BR_SIM_ROM_PROBE, "recover4.elf" },
	{ BR_SIM_ROM_FETCH, "start4.elf", .needed = true },
	{ BR_SIM_ROM_FETCH, "fixup4.dat" },
	{ BR_SIM_ROM_END },
};
static const struct br_sim_rom_step steps_2712[] = {
	{ BR_SIM_ROM_FETCH, "mcb.bin", .skip_absent = 4 },
	{ BR_SIM_ROM_FETCH, "memsys%02u.bin", .count = 4 },
	{ BR_SIM_ROM_FETCH, "bootmain", .needed = true },
	{ BR_SIM_ROM_FETCH, "rp1c0fw1.bin" },
	{ BR_SIM_ROM_FETCH, "rp1c0fw2.bin" },
	{ BR_SIM_ROM_FETCH, "config.txt" },
	{ BR_SIM_ROM_FETCH, "pieeprom.sig", .skip_absent = 4 },
	{ BR_SIM_ROM_FETCH, "pieeprom.bin", .needed = true },
	{ BR_SIM_ROM_ERASE },
	{ BR_SIM_ROM_TELL },
	{ BR_SIM_ROM_END },
	{ BR_SIM_ROM_PROBE, "recovery.elf" },
	{ BR_SIM_ROM_FETCH, "boot.sig" },
	{ BR_SIM_ROM_FETCH, "boot.img", .needed = true }, /* no start.elf on this chip (facts d.4) */
	{ BR_SIM_ROM_END },
};

/* facts c.7 */
static const char *const metadata_2711[] = { "USER_SERIAL_NUM", "", "MAC_ADDR", "dc:a6:32:01:02:03", "MAC_WIFI_ADDR",
	"dc:a6:32:01:02:04", "MAC_BT_ADDR", "dc:a6:32:01:02:05", "USER_BOARDREV", "d03140", "BOARD_ATTR", "00000000",
	"BOOT_ROM", "0000c8b0", "EEPROM_UPDATE", "success", "ADVANCED_BOOT", "00000000", NULL };
static const char *const metadata_2712[] = { "USER_SERIAL_NUM", "", "MAC_ADDR", "2c:cf:67:01:02:03", "MAC_WIFI_ADDR",
	"2c:cf:67:01:02:04", "MAC_BT_ADDR", "2c:cf:67:01:02:05", "USER_BOARDREV", "d04180", "BOARD_ATTR", "00000000",
	"BOOT_ROM", "0000000a", "EEPROM_UPDATE", "success", "SIGNATURE_MODE", "00000000", "FACTORY_UUID",
	"203859e9_203859e9", NULL };

static const struct br_sim_rom_kind kinds[] = {
	{ "cm1", "BCM2708 Boot", 0x2763, .steps = steps_2710 },
	{ "cm3", "BCM2710 Boot", 0x2764, .steps = steps_2710 },
	{ "zero2", "BCM2710 Boot", 0x2764, .composite = true, .steps = steps_2710 },
	{ "cm4", "BCM2711 Boot", 0x2711, .rom_index = 3, .steps = steps_2711, .metadata = metadata_2711 },
	{ "cm5", "BCM2712D0 Boot", 0x2712, .rom_index = 3, .leaves_early = true, .steps = steps_2712,
		.metadata = metadata_2712 },
};

const struct br_sim_rom_kind *br_sim_rom_kind_at(size_t i)
{
	return i < BR_ARRAY_SIZE(kinds) ? &kinds[i] : NULL;
}

const struct br_sim_rom_kind *br_sim_rom_kind_by_id(const char *id)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(kinds); i++)
		if (!strcmp(id, kinds[i].id))
			return &kinds[i];
	return NULL;
}

/* ---- quirks ---- */

static const struct br_sim_rom_quirk_info quirks[BR_SIM_ROM_QUIRKS] = {
	[BR_SIM_ROM_PLAIN] = { "plain", "as it should be" },
	[BR_SIM_ROM_SIGNED] = { "signed", "takes only a first stage that comes with its bootcode.sig (2710 and before)" },
	[BR_SIM_ROM_GADGET] = { "gadget", "what it booted comes up on the same port afterwards", BR_SIM_ROM_TIME, 2 * BR_S },
	[BR_SIM_ROM_NO_DONE] = { "no-done", "leaves after the last file without a word; what it booted comes up so much later",
		BR_SIM_ROM_TIME, 3 * BR_S },
	[BR_SIM_ROM_NO_GADGET] = { "no-gadget", "leaves after the last file without a word, and nothing comes up" },
	[BR_SIM_ROM_SILENT] = { "silent", "says nothing for so long after its third file", BR_SIM_ROM_TIME, 15 * BR_S },
	[BR_SIM_ROM_SLOW] = { "slow", "takes so many bytes a second", BR_SIM_ROM_SIZE, 1 << 20 },
	[BR_SIM_ROM_MUTE] = { "mute", "its ROM answers nothing at all" },
	[BR_SIM_ROM_NO_ENDPOINT] = { "no-endpoint", "its ROM's interface has no endpoints" },
	[BR_SIM_ROM_STALL_ROM] = { "stall-rom", "stalls amid the first stage, so often (0: each time)",
		BR_SIM_ROM_NUMBER, 0 },
	[BR_SIM_ROM_STALL_REQUEST] = { "stall-request", "its second stage stalls when asked what it wants" },
	[BR_SIM_ROM_STALL_FILE] = { "stall-file", "stalls amid its second file, so often (0: each time)",
		BR_SIM_ROM_NUMBER, 0 },
	[BR_SIM_ROM_SHORT_STATUS] = { "short-status", "the status after the first stage is so many bytes", BR_SIM_ROM_NUMBER, 2 },
	[BR_SIM_ROM_SHORT_REQUEST] = { "short-request", "its requests are so many bytes", BR_SIM_ROM_NUMBER, 3 },
	[BR_SIM_ROM_VANISH_ROM] = { "vanish-rom", "is gone amid the first stage" },
	[BR_SIM_ROM_VANISH] = { "vanish", "is gone amid its second file" },
	[BR_SIM_ROM_NO_RETURN] = { "no-return", "takes the first stage and never comes back" },
	[BR_SIM_ROM_BAD_STATUS] = { "bad-status", "says this number after the first stage", BR_SIM_ROM_NUMBER, 1 },
	[BR_SIM_ROM_ROM_INDEX] = { "rom-index", "its ROM looks like a second stage: iSerialNumber is this", BR_SIM_ROM_NUMBER, 1 },
	[BR_SIM_ROM_STAGE_INDEX] = { "stage-index", "its second stage looks like the ROM: iSerialNumber is this",
		BR_SIM_ROM_NUMBER, 3 },
	[BR_SIM_ROM_RESETS] = { "resets", "leaves and comes back for ever, each time after so long", BR_SIM_ROM_TIME,
		500 * BR_MS },
	[BR_SIM_ROM_LOOP] = { "loop", "starts over in its ROM after the first stage, for ever" },
	[BR_SIM_ROM_COMMAND] = { "command", "sends this unknown command", BR_SIM_ROM_NUMBER, 7 },
	[BR_SIM_ROM_ORDER] = { "order", "reads before it asks for the size, asks twice, and reads another file than it asked for" },
	[BR_SIM_ROM_ENDLESS] = { "endless", "asks for the same file for ever" },
	[BR_SIM_ROM_FLOOD] = { "flood", "sends metadata for ever" },
	[BR_SIM_ROM_MISSING] = { "missing", "cannot do without a file that nobody has, and leaves" },
	[BR_SIM_ROM_NAME_DOTS] = { "name-dots", "asks for ../../etc/passwd" },
	[BR_SIM_ROM_NAME_ABSOLUTE] = { "name-absolute", "asks for /etc/passwd" },
	[BR_SIM_ROM_NAME_LONG] = { "name-long", "asks for a name of 256 bytes that does not end" },
	[BR_SIM_ROM_NAME_UNPRINTABLE] = { "name-unprintable", "asks for a name with control characters" },
};

const struct br_sim_rom_quirk_info *br_sim_rom_quirk_at(enum br_sim_rom_quirk q)
{
	return &quirks[q];
}

static int parse_value(const struct br_sim_rom_quirk_info *info, const char *text, uint64_t *ret)
{
	switch (info->takes) {
	case BR_SIM_ROM_NO_VALUE:
		return -EINVAL;
	case BR_SIM_ROM_NUMBER:
		return br_parse_u64(text, 0, UINT32_MAX, ret);
	case BR_SIM_ROM_TIME:
		return br_parse_duration(text, ret);
	case BR_SIM_ROM_SIZE:
		return br_parse_size(text, ret);
	}
	return -EINVAL;
}

int br_sim_rom_quirk_parse(const char *text, enum br_sim_rom_quirk *ret, uint64_t *ret_value, struct br_error *err)
{
	size_t n = strcspn(text, "=");
	struct br_text all = BR_TEXT_NULL;
	int r;

	for (size_t i = 0; i < BR_ARRAY_SIZE(quirks); i++) {
		uint64_t value = quirks[i].value;

		if (strlen(quirks[i].name) != n || memcmp(text, quirks[i].name, n) != 0)
			continue;
		r = text[n] ? parse_value(&quirks[i], text + n + 1, &value) : 0;
		if (r < 0 || (text[n] && quirks[i].takes == BR_SIM_ROM_SIZE && !value))
			return br_error_set(err, EINVAL, "%s: %s", text,
				quirks[i].takes == BR_SIM_ROM_NO_VALUE ? "this takes no value" : "not a value for this");
		*ret = (enum br_sim_rom_quirk)i;
		*ret_value = value;
		return 0;
	}
	for (size_t i = 0; i < BR_ARRAY_SIZE(quirks); i++)
		br_text_addf(&all, "%s%s", i ? ", " : "", quirks[i].name);
	r = br_error_set(err, EINVAL, "'%.*s' is nothing a virtual board does; there are %s", (int)n, text,
		all.buf ? all.buf : "");
	br_text_done(&all);
	return r;
}

/* ---- descriptors (USB 2.0, 9.6) ---- */

static const uint8_t device_template[18] = { 18, 1, 0x00, 0x02, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 };
static const uint8_t alone[] = {
	9, 2, 32, 0, 1, 1, 0, 0xc0, 1,
	9, 4, 0, 0, 2, 0xff, 0, 0, 0,
	7, 5, 0x01, 2, 0x00, 0x02, 0,
	7, 5, 0x82, 2, 0x00, 0x02, 0,
};
static const uint8_t no_endpoints[] = {
	9, 2, 18, 0, 1, 1, 0, 0xc0, 1,
	9, 4, 0, 0, 0, 0xff, 0, 0, 0,
};
static const uint8_t composite[] = {
	9, 2, 55, 0, 2, 1, 0, 0xc0, 1,
	9, 4, 0, 0, 2, 0x08, 0x06, 0x50, 0,
	7, 5, 0x81, 2, 0x00, 0x02, 0,
	7, 5, 0x02, 2, 0x00, 0x02, 0,
	9, 4, 1, 0, 2, 0xff, 0, 0, 0,
	7, 5, 0x03, 2, 0x00, 0x02, 0,
	7, 5, 0x84, 2, 0x00, 0x02, 0,
};
static const uint8_t fastboot[] = {
	9, 2, 32, 0, 1, 1, 0, 0xc0, 1,
	9, 4, 0, 0, 2, 0xff, 0x42, 0x03, 4,
	7, 5, 0x81, 2, 0x00, 0x02, 0,
	7, 5, 0x01, 2, 0x00, 0x02, 0,
};

static void describe_device(struct br_sim_rom_descriptors *d, uint16_t vendor, uint16_t product, uint8_t serial_index)
{
	memcpy(d->device, device_template, sizeof(d->device));
	br_store_le16(d->device + 8, vendor);
	br_store_le16(d->device + 10, product);
	d->device[14] = 1;
	d->device[15] = 2;
	d->device[16] = serial_index;
}

void br_sim_rom_describe(struct br_sim_rom_descriptors *d, const struct br_sim_rom_kind *kind, bool is_rom,
	enum br_sim_rom_quirk quirk, const char *serial)
{
	/* string 3 is the serial number of ROMs that have one; the second stage has it at 1 (facts c.1: only 0 and 3 are ROM) */
	describe_device(d, BR_USBBOOT_VENDOR, kind->product_id, is_rom ? kind->rom_index : 1);
	d->device[14] = is_rom ? 1 : 4;
	d->strings[0] = is_rom ? "Broadcom" : serial;
	d->strings[1] = kind->product;
	d->strings[2] = serial;
	d->strings[3] = "Broadcom";
	if (is_rom && quirk == BR_SIM_ROM_NO_ENDPOINT)
		memcpy(d->config, no_endpoints, sizeof(no_endpoints));
	else if (is_rom && kind->composite)
		memcpy(d->config, composite, sizeof(composite));
	else
		memcpy(d->config, alone, sizeof(alone));
}

void br_sim_rom_describe_gadget(struct br_sim_rom_descriptors *d, const char *serial)
{
	describe_device(d, 0x18d1, 0x4e40, 3);
	d->strings[0] = "Raspberry Pi";
	d->strings[1] = "fastboot gadget";
	d->strings[2] = serial;
	d->strings[3] = "fastbootd-provisioner";
	memcpy(d->config, fastboot, sizeof(fastboot));
}

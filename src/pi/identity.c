/* SPDX-License-Identifier: Apache-2.0 */
/* Models, revision words, MAC blocks and the GUID of option 97. */
#include "pi/identity.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "base/cleanup.h"

#define REVISION_NEW_STYLE (1u << 23)

/* By type; a type that exists with two processors (2B) has one line for each, the first being the usual one. */
static const struct br_pi_model models[] = {
	{ "A", "Raspberry Pi Model A", 0x00, BR_SOC_BCM2835, "bcm2708-rpi-b.dtb" },
	{ "B", "Raspberry Pi Model B", 0x01, BR_SOC_BCM2835, "bcm2708-rpi-b.dtb" },
	{ "A+", "Raspberry Pi Model A+", 0x02, BR_SOC_BCM2835, "bcm2708-rpi-b-plus.dtb" },
	{ "B+", "Raspberry Pi Model B+", 0x03, BR_SOC_BCM2835, "bcm2708-rpi-b-plus.dtb" },
	{ "2B", "Raspberry Pi 2 Model B", 0x04, BR_SOC_BCM2836, "bcm2709-rpi-2-b.dtb" },
	{ "2B-1.2", "Raspberry Pi 2 Model B v1.2", 0x04, BR_SOC_BCM2837, "bcm2710-rpi-2-b.dtb" },
	{ "CM1", "Raspberry Pi Compute Module 1", 0x06, BR_SOC_BCM2835, "bcm2708-rpi-cm.dtb" },
	{ "3B", "Raspberry Pi 3 Model B", 0x08, BR_SOC_BCM2837, "bcm2710-rpi-3-b.dtb" },
	{ "Zero", "Raspberry Pi Zero", 0x09, BR_SOC_BCM2835, "bcm2708-rpi-zero.dtb" },
	{ "CM3", "Raspberry Pi Compute Module 3", 0x0a, BR_SOC_BCM2837, "bcm2710-rpi-cm3.dtb" },
	{ "ZeroW", "Raspberry Pi Zero W", 0x0c, BR_SOC_BCM2835, "bcm2708-rpi-zero-w.dtb" },
	{ "3B+", "Raspberry Pi 3 Model B+", 0x0d, BR_SOC_BCM2837, "bcm2710-rpi-3-b-plus.dtb" },
	{ "3A+", "Raspberry Pi 3 Model A+", 0x0e, BR_SOC_BCM2837, "bcm2710-rpi-3-b-plus.dtb" },
	{ "CM3+", "Raspberry Pi Compute Module 3+", 0x10, BR_SOC_BCM2837, "bcm2710-rpi-cm3.dtb" },
	{ "4B", "Raspberry Pi 4 Model B", 0x11, BR_SOC_BCM2711, "bcm2711-rpi-4-b.dtb" },
	{ "Zero2W", "Raspberry Pi Zero 2 W", 0x12, BR_SOC_BCM2837, "bcm2710-rpi-zero-2-w.dtb" },
	{ "400", "Raspberry Pi 400", 0x13, BR_SOC_BCM2711, "bcm2711-rpi-400.dtb" },
	{ "CM4", "Raspberry Pi Compute Module 4", 0x14, BR_SOC_BCM2711, "bcm2711-rpi-cm4.dtb" },
	{ "CM4S", "Raspberry Pi Compute Module 4S", 0x15, BR_SOC_BCM2711, "bcm2711-rpi-cm4s.dtb" },
	{ "5", "Raspberry Pi 5", 0x17, BR_SOC_BCM2712, "bcm2712-rpi-5-b.dtb" },
	{ "CM5", "Raspberry Pi Compute Module 5", 0x18, BR_SOC_BCM2712, "bcm2712-rpi-cm5-cm5io.dtb" },
	{ "500", "Raspberry Pi 500", 0x19, BR_SOC_BCM2712, "bcm2712-rpi-500.dtb" },
	{ "CM5L", "Raspberry Pi Compute Module 5 Lite", 0x1a, BR_SOC_BCM2712, "bcm2712-rpi-cm5l-cm5io.dtb" },
	{ 0 },
};

static const struct {
	const char *alias, *id;
} aliases[] = {
	{ "2", "2B" },	    { "3", "3B" },	  { "3+", "3B+" },     { "4", "4B" }, { "5B", "5" },
	{ "CM", "CM1" },    { "Zero2", "Zero2W" }, { "CM5Lite", "CM5L" }, { "2Bv1.2", "2B-1.2" },
};

/* The first boards counted up instead of coding fields; index is the word. */
static const char *const old_style[] = {
	NULL, NULL, "B", "B", "B", "B", "B", "A", "A", "A", NULL, NULL, NULL, "B", "B", "B", "B+", "CM1", "A+", "B+",
	"CM1", "A+",
};

const struct br_pi_model *br_pi_models(void)
{
	return models;
}

static const struct br_pi_model *by_exact_id(const char *id)
{
	for (const struct br_pi_model *m = models; m->id; m++)
		if (!strcmp(m->id, id))
			return m;
	return NULL;
}

const struct br_pi_model *br_pi_model_by_revision(uint32_t revision)
{
	uint8_t type = revision >> 4 & 0xff;
	enum br_soc soc = BR_SOC_BCM2835 + (revision >> 12 & 15);
	const struct br_pi_model *found = NULL;

	if (!(revision & REVISION_NEW_STYLE)) {
		revision &= REVISION_NEW_STYLE - 1; /* bits above are 'warranty void' */
		return revision < BR_ARRAY_SIZE(old_style) && old_style[revision] ?
			by_exact_id(old_style[revision]) : NULL;
	}
	for (const struct br_pi_model *m = models; m->id; m++) {
		if (m->type != type)
			continue;
		if (m->soc == soc)
			return m;
		if (!found)
			found = m;
	}
	return found;
}

/* Lower case without what people write between the parts; "plus" becomes '+'. False when too long. */
static bool normalise(const char *s, char *out, size_t size)
{
	size_t n = 0;

	while (*s) {
		if (*s == ' ' || *s == '-' || *s == '_') {
			s++;
			continue;
		}
		if (n + 1 >= size)
			return false;
		if (!strncasecmp(s, "plus", 4)) {
			out[n++] = '+';
			s += 4;
			continue;
		}
		out[n++] = (char)tolower((unsigned char)*s++);
	}
	out[n] = 0;
	return n > 0;
}

static bool same_name(const char *normal, const char *id)
{
	char b[32];

	return normalise(id, b, sizeof(b)) && !strcmp(normal, b);
}

const struct br_pi_model *br_pi_model_by_id(const char *id)
{
	static const char *const prefixes[] = { "raspberrypi", "rpi", "pi" };
	char normal[48];
	const char *p = normal;

	if (!normalise(id, normal, sizeof(normal)))
		return NULL;
	for (size_t i = 0; i < BR_ARRAY_SIZE(prefixes); i++) {
		if (!strncmp(p, prefixes[i], strlen(prefixes[i]))) {
			p += strlen(prefixes[i]);
			break;
		}
	}
	for (const struct br_pi_model *m = models; m->id; m++)
		if (same_name(p, m->id))
			return m;
	for (size_t i = 0; i < BR_ARRAY_SIZE(aliases); i++)
		if (same_name(p, aliases[i].alias))
			return by_exact_id(aliases[i].id);
	return NULL;
}

uint32_t br_pi_model_revision(const struct br_pi_model *model)
{
	uint32_t processor = model->soc == BR_SOC_UNKNOWN ? 0 : (uint32_t)(model->soc - BR_SOC_BCM2835);

	return REVISION_NEW_STYLE | 2u << 20 /* 1 GB */ | processor << 12 | (uint32_t)model->type << 4;
}

const char *br_soc_name(enum br_soc soc)
{
	static const char *const names[] = {
		[BR_SOC_UNKNOWN] = "unknown", [BR_SOC_BCM2835] = "BCM2835", [BR_SOC_BCM2836] = "BCM2836",
		[BR_SOC_BCM2837] = "BCM2837", [BR_SOC_BCM2711] = "BCM2711", [BR_SOC_BCM2712] = "BCM2712",
	};

	return (size_t)soc < BR_ARRAY_SIZE(names) ? names[soc] : names[BR_SOC_UNKNOWN];
}

bool br_pi_oui(struct br_mac mac)
{
	static const uint32_t ouis[] = { 0xb827eb, 0xdca632, 0xe45f01, 0x28cdc1, 0xd83add, 0x2ccf67, 0x88a29e };
	uint32_t oui = (uint32_t)(br_mac_u64(mac) >> 24);

	for (size_t i = 0; i < BR_ARRAY_SIZE(ouis); i++)
		if (ouis[i] == oui)
			return true;
	return false;
}

uint32_t br_pi_serial_low24_from_mac(struct br_mac mac)
{
	uint64_t v = br_mac_u64(mac);

	/* the only block BCM2835/6/7 boards were given that was filled from the serial */
	return v >> 24 == 0xb827eb ? (uint32_t)(v & 0xffffff) : 0;
}

/* "4iPR" is the little-endian number; EEPROMs of 2020 and 2021 wrote "RPi4". 0: neither. */
static uint8_t generation_of(const uint8_t *p)
{
	if (!memcmp(p, "RPi", 3) && (p[3] == '4' || p[3] == '5'))
		return p[3] - '0';
	if (!memcmp(p + 1, "iPR", 3) && (p[0] == '4' || p[0] == '5'))
		return p[0] - '0';
	return 0;
}

/* DHCP_OPTION97 in the EEPROM configuration replaces the fourcc: then the revision word has to convince alone. */
static uint8_t generation_by_revision(uint32_t revision)
{
	const struct br_pi_model *m = br_pi_model_by_revision(revision);
	uint32_t processor = revision >> 12 & 15;

	if (revision >> 24 || !m || m->soc != BR_SOC_BCM2835 + processor)
		return 0;
	return m->soc == BR_SOC_BCM2711 ? 4 : m->soc == BR_SOC_BCM2712 ? 5 : 0;
}

struct br_pi_guid br_pi_guid_parse(const uint8_t *body, size_t len)
{
	struct br_pi_guid g = { .kind = BR_PI_GUID_FOREIGN };
	uint32_t w[4];

	if (len != 17 || body[0] != 0)
		return g;
	for (int i = 0; i < 4; i++)
		w[i] = br_load_le32(body + 1 + 4 * i);
	if (w[0] == w[1] && w[1] == w[2] && w[2] == w[3]) {
		if (w[0] == 0x44444444) {
			g.kind = BR_PI_GUID_ROM_3B;
		} else if (w[0] != 0 && w[0] != UINT32_MAX) { /* what PCs send that have no UUID */
			g.kind = BR_PI_GUID_SERIAL;
			g.serial = w[0];
		}
		return g;
	}
	g.generation = generation_of(body + 1);
	if (!g.generation && !generation_by_revision(w[1]))
		return g;
	g.kind = BR_PI_GUID_STRUCTURED;
	g.revision = w[1];
	memcpy(g.mac_tail, body + 9, 4);
	g.serial = w[3];
	return g;
}

void br_pi_guid_make(const struct br_pi_guid *guid, bool fourcc_big_endian, uint8_t out[static 17])
{
	char digit = guid->generation == 5 ? '5' : '4';

	memset(out, 0, 17);
	switch (guid->kind) {
	case BR_PI_GUID_FOREIGN:
		break;
	case BR_PI_GUID_ROM_3B:
		memset(out + 1, 0x44, 16);
		break;
	case BR_PI_GUID_SERIAL:
		for (int i = 0; i < 4; i++)
			br_store_le32(out + 1 + 4 * i, guid->serial);
		break;
	case BR_PI_GUID_STRUCTURED:
		for (int i = 0; i < 4; i++)
			out[1 + i] = (uint8_t)(fourcc_big_endian ? "RPi"[i] : " iPR"[i]);
		out[fourcc_big_endian ? 4 : 1] = (uint8_t)digit;
		br_store_le32(out + 5, guid->revision);
		memcpy(out + 9, guid->mac_tail, 4);
		br_store_le32(out + 13, guid->serial);
		break;
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of the up to six clients of one board is speaking. Told by the shape of the packet (wire notes, table at the
 * top, 1.2, 1.8), never by the MAC: they all have the same, and new blocks keep coming.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "dhcp/classify.h"

const char *br_dhcp_client_name(enum br_dhcp_client_kind kind)
{
	static const char *const names[BR_DHCP_N_KINDS] = {
		[BR_DHCP_OTHER] = "other",   [BR_DHCP_ROM] = "rom",	[BR_DHCP_BOOTCODE] = "bootcode",
		[BR_DHCP_EEPROM] = "eeprom", [BR_DHCP_UBOOT] = "uboot", [BR_DHCP_IPXE] = "ipxe",
		[BR_DHCP_UEFI] = "uefi",     [BR_DHCP_KERNEL] = "kernel", [BR_DHCP_INITRAMFS] = "initramfs",
		[BR_DHCP_OS] = "os",
	};

	return (unsigned)kind < BR_DHCP_N_KINDS ? names[kind] : names[BR_DHCP_OTHER];
}

bool br_dhcp_client_is_firmware(enum br_dhcp_client_kind kind)
{
	return kind == BR_DHCP_ROM || kind == BR_DHCP_BOOTCODE || kind == BR_DHCP_EEPROM;
}

bool br_dhcp_client_is_loader(enum br_dhcp_client_kind kind)
{
	return kind == BR_DHCP_UBOOT || kind == BR_DHCP_IPXE || kind == BR_DHCP_UEFI;
}

bool br_dhcp_client_may_be_system(const struct br_dhcp_client *c)
{
	if (c->kind == BR_DHCP_OTHER) /* a PC's BIOS, or firmware that we do not know */
		return !br_str_starts(c->vendor_class, "PXEClient") && !br_str_starts(c->vendor_class, "HTTPClient") && !c->guid.kind;
	return c->kind == BR_DHCP_OS;
}

/* Every stage of Raspberry Pi's firmware claims to be an x86 BIOS with UNDI 2.1. */
#define PI_CLASS "PXEClient:Arch:00000:UNDI:002001"

/* The parameter lists (option 55) that give a client away. */
struct shape {
	enum br_dhcp_client_kind kind;
	bool pi_class; /* only together with PI_CLASS */
	uint8_t n, list[16];
};

static const struct shape shapes[] = {
	{ BR_DHCP_ROM, true, 12, { 43, 60, 67, 128, 129, 130, 131, 132, 133, 134, 135, 66 } },
	{ BR_DHCP_BOOTCODE, true, 14, { 43, 60, 67, 128, 129, 130, 131, 132, 133, 134, 135, 66, 1, 3 } },
	{ BR_DHCP_EEPROM, true, 14, { 1, 3, 43, 60, 66, 67, 128, 129, 130, 131, 132, 133, 134, 135 } },
	{ BR_DHCP_KERNEL, false, 8, { 1, 3, 6, 12, 15, 17, 26, 40 } },
	{ BR_DHCP_KERNEL, false, 9, { 1, 3, 6, 12, 15, 17, 26, 40, 42 } }, /* newer kernels */
	{ BR_DHCP_INITRAMFS, false, 10, { 1, 3, 6, 12, 15, 17, 26, 28, 40, 119 } },
	{ BR_DHCP_UBOOT, false, 5, { 1, 3, 28, 6, 42 } }, /* the lwIP stack, which has no class */
	{ BR_DHCP_OS, false, 13, { 1, 28, 2, 3, 15, 6, 119, 12, 44, 47, 26, 121, 42 } }, /* ISC dhclient as Debian sets it */
};

static enum br_dhcp_client_kind by_shape(const struct br_dhcp_message *m, bool pi_class)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(shapes); i++) {
		const struct shape *s = &shapes[i];

		if (s->pi_class == pi_class && br_dhcp_option_is(m, BR_DHCP_OPT_PARAMETERS, s->list, s->n))
			return s->kind;
	}
	return BR_DHCP_OTHER;
}

/* Of our stage 1 and of WalT's (systems notes b.1), with the model behind it. */
#define STAGE1_CLASS "bramble."
#define WALT_CLASS   "walt.node."

static void take_model(struct br_dhcp_client *c)
{
	static const char *const prefixes[] = { STAGE1_CLASS, WALT_CLASS };

	for (size_t i = 0; i < BR_ARRAY_SIZE(prefixes); i++)
		if (br_str_starts(c->vendor_class, prefixes[i]))
			br_strcpy(c->model, sizeof(c->model), c->vendor_class + strlen(prefixes[i]));
}

/* Vendor classes that say it all, by prefix. */
static enum br_dhcp_client_kind by_class(const char *class)
{
	static const struct {
		const char *prefix;
		enum br_dhcp_client_kind kind;
	} classes[] = {
		{ "U-Boot", BR_DHCP_UBOOT },	     { "Linux ipconfig", BR_DHCP_INITRAMFS },
		{ "dhcpcd", BR_DHCP_OS },	     { "HTTPClient:", BR_DHCP_UEFI },
		{ "PXEClient:Arch:00011:UNDI:003010", BR_DHCP_IPXE }, { STAGE1_CLASS, BR_DHCP_UBOOT },
		{ WALT_CLASS, BR_DHCP_UBOOT },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(classes); i++)
		if (br_str_starts(class, classes[i].prefix))
			return classes[i].kind;
	return BR_DHCP_OTHER;
}

/* Option 93, else the digits inside "PXEClient:Arch:00011:..."; some UEFI builds have no usable option. */
static uint16_t arch_of(const struct br_dhcp_message *m, const char *class)
{
	uint16_t arch = 0;

	if (br_dhcp_option_u16(m, BR_DHCP_OPT_ARCH, &arch))
		return arch;
	class = strstr(class, "Client:Arch:");
	if (!class)
		return 0;
	class += strlen("Client:Arch:");
	for (int i = 0; i < 5 && class[i] >= '0' && class[i] <= '9'; i++)
		arch = (uint16_t)(arch * 10 + (class[i] - '0'));
	return arch;
}

/* PXE clients that are not Raspberry Pi's firmware. U-Boot's EFI boot method borrows UEFI's class, but has no UNDI. */
static enum br_dhcp_client_kind pxe_kind(const struct br_dhcp_message *m, uint16_t arch)
{
	switch (arch) {
	case 0: /* a PC's BIOS */
		return BR_DHCP_OTHER;
	case 21: /* U-Boot's own numbers */
	case 22:
	case 23:
	case 24:
		return BR_DHCP_UBOOT;
	default:
		return br_dhcp_option_is(m, BR_DHCP_OPT_NDI, "\x01\x00\x00", 3) ? BR_DHCP_UBOOT : BR_DHCP_UEFI;
	}
}

/*
 * Firmware of a Raspberry Pi. A DISCOVER has the class and one of three lists. A REQUEST comes from EEPROMs only, has
 * no list, and those of early 2020 have no class either: there the GUID decides.
 */
static enum br_dhcp_client_kind firmware_kind(
	const struct br_dhcp_message *m, bool pi_class, enum br_pi_guid_kind guid)
{
	enum br_dhcp_client_kind kind = by_shape(m, true);
	bool has_list = br_dhcp_has(m, BR_DHCP_OPT_PARAMETERS);

	if (guid == BR_PI_GUID_ROM_3B)
		return BR_DHCP_ROM;
	if (pi_class && kind != BR_DHCP_OTHER)
		return kind;
	if (guid == BR_PI_GUID_STRUCTURED && (pi_class || !has_list))
		return BR_DHCP_EEPROM;
	if (guid == BR_PI_GUID_SERIAL && !has_list)
		return BR_DHCP_EEPROM;
	/* a list of firmware yet to come */
	return pi_class && guid == BR_PI_GUID_SERIAL ? BR_DHCP_BOOTCODE : BR_DHCP_OTHER;
}

static enum br_dhcp_client_kind kind_of(const struct br_dhcp_message *m, const struct br_dhcp_client *c)
{
	bool pi_class = br_dhcp_option_is(m, BR_DHCP_OPT_CLASS, PI_CLASS, strlen(PI_CLASS));
	enum br_dhcp_client_kind kind;

	if (br_dhcp_option_is(m, BR_DHCP_OPT_USER_CLASS, "iPXE", 4) || br_dhcp_has(m, BR_DHCP_OPT_IPXE))
		return BR_DHCP_IPXE;
	kind = by_class(c->vendor_class);
	if (kind == BR_DHCP_OTHER)
		kind = firmware_kind(m, pi_class, c->guid.kind);
	if (kind == BR_DHCP_OTHER && br_str_starts(c->vendor_class, "PXEClient:Arch:"))
		return pxe_kind(m, c->arch);
	if (kind == BR_DHCP_OTHER)
		kind = by_shape(m, false); /* ip=dhcp may carry any class (dhcpclass=) */
	if (kind == BR_DHCP_OTHER && br_dhcp_has(m, BR_DHCP_OPT_CLIENT_ID) && br_dhcp_has(m, BR_DHCP_OPT_MAX_SIZE))
		kind = BR_DHCP_OS;
	return kind;
}

void br_dhcp_classify(const struct br_dhcp_message *m, struct br_dhcp_client *ret)
{
	struct br_dhcp_client c = { .mac = m->h.chaddr, .xid = m->h.xid, .relay_ip = m->h.giaddr };
	size_t len = 0;
	const uint8_t *guid = br_dhcp_option(m, BR_DHCP_OPT_GUID, &len);

	c.guid = br_pi_guid_parse(guid, len);
	c.wanted_ip = br_dhcp_option_ip(m, BR_DHCP_OPT_REQUESTED_IP);
	if (!c.wanted_ip)
		c.wanted_ip = m->h.ciaddr;
	br_dhcp_option_text(m, BR_DHCP_OPT_HOST_NAME, c.host_name, sizeof(c.host_name));
	br_dhcp_option_text(m, BR_DHCP_OPT_CLASS, c.vendor_class, sizeof(c.vendor_class));
	c.arch = arch_of(m, c.vendor_class);
	c.kind = kind_of(m, &c);
	if (c.kind == BR_DHCP_UBOOT)
		take_model(&c);
	c.http = br_str_starts(c.vendor_class, "HTTPClient");
	*ret = c;
}

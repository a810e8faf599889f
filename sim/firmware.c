/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tables of firmware behaviour. Orders are those of the logs in the wire facts:
 * 3B+ bookworm 2025-05 (D-3BP), Pi 4 EEPROM 2021 (D-PIPXE, D-UBU), Pi 5 EEPROM 2026-05
 * (D-PI5). 'think' is what the logs show between two requests.
 */
#include "sim/firmware.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/text.h"

static const struct br_sim_netstyle net_rom_3b = { .ttl = 128, .blind = true };
static const struct br_sim_netstyle net_bcm2837 = { .ttl = 128, .blind = true, .arp_when_busy = true };
static const struct br_sim_netstyle net_eeprom = {
	.ttl = 64, .udp_checksum = true, .id_counts = true, .arp_when_busy = true, .gateway = true,
};

static const struct br_sim_netstyle net_loader = {
	.ttl = 255, .udp_checksum = true, .id_counts = true, .arp_when_busy = true, .gateway = true,
};
static const struct br_sim_netstyle net_linux = {
	.ttl = 64, .udp_checksum = true, .id_counts = true, .arp_when_busy = true, .gateway = true, .dont_fragment = true,
};

#define GET(n)		   { .op = BR_SIM_OP_GET, .name = n }
#define STEP(o, ...)	   { .op = BR_SIM_OP_##o, __VA_ARGS__ }
#define PROBE		   BR_SIM_PROBE
#define TWICE		   BR_SIM_TWICE
#define MUST		   BR_SIM_MUST

/* bootsig.bin: both ROMs ask for it and go on without. */
static const struct br_sim_step rom_steps[] = {
	STEP(GET, .name = "bootcode.bin", .flags = MUST | BR_SIM_ROOT, .think_ms = 50),
	STEP(GET, .name = "bootsig.bin", .flags = BR_SIM_ROOT),
	{ 0 },
};

static const struct br_sim_step bootcode_steps[] = {
	STEP(PREFIX, .think_ms = 3),
	STEP(GET, .name = "autoboot.txt", .think_ms = 8),
	STEP(GET, .name = "start.elf", .flags = PROBE | BR_SIM_IF_PREFIX),
	STEP(CONFIG, .think_ms = 2),
	STEP(GET, .name = "recovery.elf", .think_ms = 4),
	STEP(START, .flags = MUST),
	STEP(FIXUP, .think_ms = 6),
	{ 0 },
};

static const struct br_sim_step start_steps[] = {
	STEP(GET, .name = "recovery.elf", .think_ms = 150),
	STEP(CONFIG, .flags = TWICE),
	GET("dt-blob.bin"),
	STEP(GET, .name = "recovery.elf", .think_ms = 60),
	STEP(CONFIG, .flags = TWICE),
	STEP(GET, .name = "bootcfg.txt", .think_ms = 540),
	STEP(RECOVERY, .think_ms = 40),
	STEP(FIND_KERNEL),
	STEP(INITRAMFS),
	STEP(DTB, .flags = TWICE, .think_ms = 20),
	STEP(OVERLAY_MAP, .flags = TWICE, .think_ms = 40),
	STEP(CONFIG, .flags = TWICE, .think_ms = 40),
	STEP(OVERLAYS, .flags = TWICE, .think_ms = 10),
	STEP(CMDLINE, .flags = TWICE, .think_ms = 160),
	STEP(ARMSTUB, .think_ms = 190),
	STEP(KERNEL, .flags = TWICE | MUST),
	{ 0 },
};

static const struct br_sim_step eeprom4_steps[] = {
	STEP(PREFIX, .think_ms = 20),
	STEP(CONFIG),
	STEP(GET, .name = "pieeprom.sig", .flags = BR_SIM_IF_UPDATE),
	GET("recover4.elf"),
	GET("recovery.elf"),
	STEP(START, .flags = MUST),
	STEP(FIXUP),
	{ 0 },
};

/* BOOT_ORDER 7. Nothing is known of updates or recovery on that road. */
static const struct br_sim_step eeprom4_http_steps[] = {
	STEP(HTTP, .think_ms = 20), STEP(CONFIG), STEP(START, .flags = MUST), STEP(FIXUP), { 0 },
};

static const struct br_sim_step start4_steps[] = {
	STEP(GET, .name = "recovery.elf", .think_ms = 150),
	STEP(CONFIG, .flags = TWICE),
	GET("dt-blob.bin"),
	STEP(GET, .name = "recovery.elf", .think_ms = 60),
	STEP(CONFIG, .flags = TWICE),
	STEP(GET, .name = "bootcfg.txt", .think_ms = 300),
	STEP(FIND_KERNEL, .flags = BR_SIM_IF_INITRAMFS),
	STEP(INITRAMFS),
	STEP(DTB, .flags = TWICE, .think_ms = 20),
	STEP(OVERLAY_MAP, .flags = TWICE, .think_ms = 40),
	STEP(CONFIG, .flags = TWICE, .think_ms = 40),
	STEP(OVERLAYS, .flags = TWICE, .think_ms = 10),
	STEP(CMDLINE, .flags = TWICE, .think_ms = 100),
	STEP(RECOVERY, .think_ms = 40),
	STEP(FIND_KERNEL),
	STEP(ARMSTUB),
	STEP(KERNEL, .flags = MUST),
	{ 0 },
};

static const struct br_sim_step eeprom5_steps[] = {
	STEP(PREFIX, .think_ms = 20),
	STEP(GET, .name = "pieeprom.sig", .flags = BR_SIM_IF_UPDATE),
	STEP(CONFIG, .flags = BR_SIM_SLASH | MUST),
	STEP(CONFIG, .flags = BR_SIM_SLASH | MUST),
	STEP(FIND_KERNEL, .think_ms = 100),
	STEP(INITRAMFS),
	STEP(DTB, .flags = TWICE),
	STEP(OVERLAY_MAP, .flags = TWICE),
	STEP(GET, .name = "overlays/hat_map.dtb", .flags = TWICE),
	STEP(OVERLAYS, .flags = TWICE),
	STEP(CMDLINE, .flags = BR_SIM_SLASH | TWICE),
	STEP(ARMSTUB),
	STEP(KERNEL, .flags = MUST),
	{ 0 },
};

static const struct br_sim_step eeprom5_http_steps[] = {
	STEP(HTTP, .think_ms = 20),
	STEP(CONFIG, .flags = MUST),
	STEP(FIND_KERNEL),
	STEP(INITRAMFS),
	STEP(DTB, .flags = TWICE),
	STEP(OVERLAY_MAP, .flags = TWICE),
	STEP(OVERLAYS, .flags = TWICE),
	STEP(CMDLINE, .flags = TWICE),
	STEP(ARMSTUB),
	STEP(KERNEL, .flags = MUST),
	{ 0 },
};

static const struct br_sim_step loader_steps[] = { STEP(NAMED), { 0 } };
static const struct br_sim_step no_steps[] = { { 0 } };

static const char *const no_names[] = { NULL };

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

#define OLD_COMMON                                                                               \
	.platform = "bcm2835", .prefix_tests = LIST("start.elf"), .start = "start", .fixup = "fixup", \
	.n_kernel_probes = 2, .mac_is_serial = true, .oui = { 0xb8, 0x27, 0xeb }

/* The 32-bit order is that of a 3B with Raspbian (wire facts 2.3): recovery names, then kernel8-32.img before kernel7. */
#define BCM2837_COMMON                                                                               \
	OLD_COMMON,                                                                                \
	.kernels = { LIST("kernel8-32.img", "kernel7.img", "kernel.img"), LIST("kernel8.img") },     \
	.recovery = { LIST("recovery8.img", "recovery8-32.img", "recovery7.img", "recovery.img"),    \
		LIST("recovery8.img") },                                                             \
	.armstub = { "armstub8-32.bin", "armstub8.bin" }
#define BCM2836_COMMON                                                                               \
	OLD_COMMON, .guid = 3, .kernels = { LIST("kernel7.img", "kernel.img"), LIST("kernel7.img") }, \
	.recovery = { LIST("recovery7.img", "recovery.img"), LIST("recovery7.img") },                \
	.armstub = { "armstub7.bin", "armstub7.bin" }
#define BCM2835_COMMON                                                                               \
	OLD_COMMON, .guid = 3, .kernels = { LIST("kernel.img"), LIST("kernel.img") },              \
	.recovery = { LIST("recovery.img"), LIST("recovery.img") }, .armstub = { "armstub.bin", "armstub.bin" }

/*
 * What a stage does when it cannot go on (wire facts 1.5): the ROM gives up for good; newer bootcode.bin pauses
 * (how long, no source says), looks at USB anew and starts over; start.elf halts. EEPROMs pause 5 s after a failed
 * TFTP round and go through BOOT_ORDER again when it ends in f: with an SD slot that is empty, NETWORK comes next.
 */
#define BOOTCODE_PAUSE_S 5
#define EEPROM_PAUSE_S	 5

/* bootcode.bin knows the serial, also on boards whose ROM tells none (wire facts 1.3). */
#define STAGE_BOOTCODE                                                                               \
	{ .name = "bootcode", .net = &net_bcm2837, .dhcp = &br_sim_dhcp_bootcode, .guid = 3,         \
		.tftp = &br_sim_tftp_bcm2837, .pause_s = BOOTCODE_PAUSE_S, .steps = bootcode_steps }
#define STAGE_START                                                                                  \
	{ .name = "start", .tftp = &br_sim_tftp_bcm2837, .includes = true, .steps = start_steps }
#define BCM2837_STAGES(dhcp_rom, net_rom, tftp_rom)                                                            \
	{ { .name = "rom", .net = &(net_rom), .dhcp = &(dhcp_rom), .tftp = &(tftp_rom),         \
		  .steps = rom_steps },                                                              \
		STAGE_BOOTCODE, STAGE_START }
#define CARD_STAGES { STAGE_BOOTCODE, STAGE_START }

#define BCM2711_COMMON                                                                               \
	.guid = 4, .is_64bit = true, .oui = { 0xdc, 0xa6, 0x32 }, .platform = "bcm2711",             \
	.prefix_tests = LIST("start4.elf", "start.elf"), .start = "start4", .fixup = "fixup4",       \
	.kernels = { LIST("kernel7l.img", "kernel7.img", "kernel.img"), LIST("kernel8.img") },       \
	.recovery = { LIST("recovery8.img", "recovery8-32.img", "recovery7l.img", "recovery7.img",   \
			      "recovery.img"),                                                       \
		LIST("recovery8.img") },                                                             \
	.armstub = { "armstub8-32-gic.bin", "armstub8-gic.bin" }, .n_kernel_probes = 1
#define BCM2711_STAGES(dhcp_eeprom, tftp_eeprom)                                                     \
	{ { .name = "eeprom", .net = &net_eeprom, .dhcp = &(dhcp_eeprom), .tftp = &(tftp_eeprom),    \
		  .pause_s = EEPROM_PAUSE_S, .steps = eeprom4_steps, .http_steps = eeprom4_http_steps },                                                          \
		{ .name = "start4", .tftp = &(tftp_eeprom), .includes = true, .steps = start4_steps } }
#define BCM2711_NOW BCM2711_STAGES(br_sim_dhcp_eeprom, br_sim_tftp_eeprom)

#define BCM2712_COMMON                                                                               \
	.is_64bit = true, .oui = { 0x2c, 0xcf, 0x67 }, .platform = "bcm2712",                        \
	.prefix_tests = LIST("config.txt"), .prefix_full = true,                                     \
	.kernels = { LIST("kernel8-32.img", "kernel.img"),                                           \
		LIST("kernel_2712.img", "kernel8.img", "kernel8_rt.img") },                          \
	.recovery = { no_names, no_names },                                                          \
	.armstub = { "armstub8-2712.bin", "armstub8-2712.bin" }, .n_kernel_probes = 1,               \
	.stages = { { .name = "eeprom", .net = &net_eeprom, .dhcp = &br_sim_dhcp_eeprom,             \
		.tftp = &br_sim_tftp_eeprom, .pause_s = EEPROM_PAUSE_S, .includes = true,             \
		.steps = eeprom5_steps, .http_steps = eeprom5_http_steps } }

const struct br_sim_model br_sim_models[] = {
	/* with bootcode.bin, and nothing else, on a card: these have no ROM that knows Ethernet */
	{
		.id = "1", .name = "Raspberry Pi Model B+ (bootcode.bin on a card)", .revision = 0x900032,
		.filters = LIST("pi1"), .dtbs = LIST("bcm2708-rpi-b-plus.dtb"),
		.upstream_dtbs = LIST("bcm2835-rpi-b-plus.dtb"), BCM2835_COMMON, .stages = CARD_STAGES,
	},
	{
		.id = "zero", .name = "Raspberry Pi Zero with USB Ethernet (bootcode.bin on a card)", .revision = 0x900093,
		.filters = LIST("pi0"), .dtbs = LIST("bcm2708-rpi-zero.dtb"),
		.upstream_dtbs = LIST("bcm2835-rpi-zero.dtb"), BCM2835_COMMON, .stages = CARD_STAGES,
	},
	{
		.id = "2", .name = "Raspberry Pi 2 Model B (bootcode.bin on a card)", .revision = 0xa01041,
		.filters = LIST("pi2"), .dtbs = LIST("bcm2709-rpi-2-b.dtb"),
		.upstream_dtbs = LIST("bcm2836-rpi-2-b.dtb"), BCM2836_COMMON, .stages = CARD_STAGES,
	},
	{
		.id = "2b-1.2", .name = "Raspberry Pi 2 Model B v1.2", .revision = 0xa22042, .guid = 0,
		.filters = LIST("pi2"), .dtbs = LIST("bcm2710-rpi-2-b.dtb", "bcm2709-rpi-2-b.dtb"),
		.upstream_dtbs = LIST("bcm2837-rpi-2-b.dtb"), BCM2837_COMMON,
		.stages = BCM2837_STAGES(br_sim_dhcp_rom_3b, net_rom_3b, br_sim_tftp_rom_3b),
	},
	{
		.id = "3b", .name = "Raspberry Pi 3 Model B", .revision = 0xa02082, .guid = 0,
		.filters = LIST("pi3"), .dtbs = LIST("bcm2710-rpi-3-b.dtb"),
		.upstream_dtbs = LIST("bcm2837-rpi-3-b.dtb"), BCM2837_COMMON,
		.stages = BCM2837_STAGES(br_sim_dhcp_rom_3b, net_rom_3b, br_sim_tftp_rom_3b),
	},
	{
		.id = "3b-card", .name = "Raspberry Pi 3 Model B (bootcode.bin on a card)", .revision = 0xa02082, .guid = 3,
		.filters = LIST("pi3"), .dtbs = LIST("bcm2710-rpi-3-b.dtb"),
		.upstream_dtbs = LIST("bcm2837-rpi-3-b.dtb"), BCM2837_COMMON, .stages = CARD_STAGES,
	},
	{
		.id = "3b+", .name = "Raspberry Pi 3 Model B+", .revision = 0xa020d3, .guid = 3,
		.filters = LIST("pi3", "pi3+"), .dtbs = LIST("bcm2710-rpi-3-b-plus.dtb", "bcm2710-rpi-3-b.dtb"),
		.upstream_dtbs = LIST("bcm2837-rpi-3-b-plus.dtb", "bcm2837-rpi-3-b.dtb"), BCM2837_COMMON,
		.stages = BCM2837_STAGES(br_sim_dhcp_rom_3bp, net_bcm2837, br_sim_tftp_rom),
	},
	{
		.id = "4", .name = "Raspberry Pi 4 Model B", .revision = 0xd03114, BCM2711_COMMON,
		.filters = LIST("pi4"), .dtbs = LIST("bcm2711-rpi-4-b.dtb"), .upstream_dtbs = LIST("bcm2711-rpi-4-b.dtb"),
		.stages = BCM2711_NOW,
	},
	{
		.id = "4-2021", .name = "Raspberry Pi 4 Model B with an EEPROM of 2021", .revision = 0xa03111, .old_fourcc = true,
		BCM2711_COMMON, .filters = LIST("pi4"), .dtbs = LIST("bcm2711-rpi-4-b.dtb"),
		.upstream_dtbs = LIST("bcm2711-rpi-4-b.dtb"),
		.stages = BCM2711_STAGES(br_sim_dhcp_eeprom, br_sim_tftp_eeprom_1024),
	},
	{
		.id = "4-2020", .name = "Raspberry Pi 4 Model B with an EEPROM of early 2020", .revision = 0xa03111,
		BCM2711_COMMON, .filters = LIST("pi4"), .dtbs = LIST("bcm2711-rpi-4-b.dtb"),
		.upstream_dtbs = LIST("bcm2711-rpi-4-b.dtb"),
		.stages = { { .name = "eeprom", .net = &net_eeprom, .dhcp = &br_sim_dhcp_eeprom_2020, .guid = 3,
				    .tftp = &br_sim_tftp_eeprom_1024, .pause_s = EEPROM_PAUSE_S, .steps = eeprom4_steps, .http_steps = eeprom4_http_steps },
			{ .name = "start4", .tftp = &br_sim_tftp_eeprom_1024, .includes = true, .steps = start4_steps } },
	},
	{
		.id = "400", .name = "Raspberry Pi 400", .revision = 0xc03130, BCM2711_COMMON,
		.filters = LIST("pi4", "pi400"), .dtbs = LIST("bcm2711-rpi-400.dtb", "bcm2711-rpi-4-b.dtb"),
		.upstream_dtbs = LIST("bcm2711-rpi-400.dtb"), .stages = BCM2711_NOW,
	},
	{
		.id = "cm4", .name = "Raspberry Pi Compute Module 4", .revision = 0xa03140, BCM2711_COMMON,
		.filters = LIST("pi4", "cm4"), .dtbs = LIST("bcm2711-rpi-cm4.dtb", "bcm2711-rpi-4-b.dtb"),
		.upstream_dtbs = LIST("bcm2711-rpi-cm4-io.dtb"), .stages = BCM2711_NOW,
	},
	{
		.id = "5", .name = "Raspberry Pi 5", .revision = 0xd04170, .guid = 5, BCM2712_COMMON, .filters = LIST("pi5"),
		.dtbs = LIST("bcm2712-rpi-5-b.dtb"), .upstream_dtbs = LIST("bcm2712-rpi-5-b.dtb"),
	},
	{
		.id = "5-2023", .name = "Raspberry Pi 5 with its first EEPROM", .revision = 0xc04170, .guid = 4, BCM2712_COMMON,
		.filters = LIST("pi5"), .dtbs = LIST("bcm2712-rpi-5-b.dtb"), .upstream_dtbs = LIST("bcm2712-rpi-5-b.dtb"),
	},
	{
		.id = "5-d0", .name = "Raspberry Pi 5 with BCM2712 D0", .revision = 0xb04171, .guid = 5, BCM2712_COMMON,
		.filters = LIST("pi5"), .dtbs = LIST("bcm2712d0-rpi-5-b.dtb", "bcm2712-rpi-5-b.dtb"),
		.upstream_dtbs = LIST("bcm2712-d-rpi-5-b.dtb", "bcm2712-rpi-5-b.dtb"),
	},
	{
		.id = "500", .name = "Raspberry Pi 500", .revision = 0xd04190, .guid = 5, BCM2712_COMMON,
		.filters = LIST("pi5", "pi500"), .dtbs = LIST("bcm2712-rpi-500.dtb", "bcm2712-rpi-5-b.dtb"),
		.upstream_dtbs = LIST("bcm2712-rpi-500.dtb"),
	},
	{
		.id = "cm5", .name = "Raspberry Pi Compute Module 5", .revision = 0xb04180, .guid = 5, BCM2712_COMMON,
		.filters = LIST("pi5", "cm5"), .dtbs = LIST("bcm2712-rpi-cm5-cm5io.dtb", "bcm2712-rpi-5-b.dtb"),
		.upstream_dtbs = LIST("bcm2712-rpi-cm5-cm5io.dtb"),
	},
	{ 0 },
};

#define LOADER_STAGE(n, style) \
	{ .name = n, .net = &net_loader, .dhcp = &(style), .tftp = &br_sim_tftp_loader, .steps = loader_steps }
#define LINUX_STAGE(n, style) \
	{ .name = n, .net = &net_linux, .dhcp = &(style), .tftp = &br_sim_tftp_loader, .steps = no_steps }

const struct br_sim_stage br_sim_followers[] = {
	LOADER_STAGE("uboot", br_sim_dhcp_uboot),
	LOADER_STAGE("uboot-efi", br_sim_dhcp_uboot_efi),
	LOADER_STAGE("uboot-lwip", br_sim_dhcp_uboot_lwip),
	LOADER_STAGE("ipxe", br_sim_dhcp_ipxe),
	LOADER_STAGE("edk2", br_sim_dhcp_edk2),
	LOADER_STAGE("edk2-http", br_sim_dhcp_edk2_http),
	LINUX_STAGE("kernel", br_sim_dhcp_kernel),
	LINUX_STAGE("klibc", br_sim_dhcp_klibc),
	LINUX_STAGE("os", br_sim_dhcp_os),
	{ 0 },
};

const struct br_sim_stage *br_sim_follower_by_name(const char *name)
{
	for (const struct br_sim_stage *s = br_sim_followers; s->name; s++)
		if (!strcasecmp(s->name, name))
			return s;
	return NULL;
}

const char *br_sim_model_ids(void)
{
	static char ids[400];
	size_t n = 0;

	for (const struct br_sim_model *m = br_sim_models; m->id && n < sizeof(ids); m++)
		n += (size_t)snprintf(ids + n, sizeof(ids) - n, "%s%s", n ? " " : "", m->id);
	return ids;
}

const struct br_sim_model *br_sim_model_by_id(const char *id)
{
	static const char *const also[][2] = {
		{ "3b-plus", "3b+" }, { "3bplus", "3b+" }, { "3b+", "3b+" }, { "4b", "4" }, { "5b", "5" }, { "1b+", "1" },
		{ "2b", "2" }, { "2bv1.2", "2b-1.2" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(also); i++)
		if (!strcasecmp(id, also[i][0]))
			id = also[i][1];
	for (const struct br_sim_model *m = br_sim_models; m->id; m++)
		if (!strcasecmp(id, m->id))
			return m;
	return NULL;
}

void br_sim_guid(const struct br_sim_model *m, const struct br_sim_stage *stage, struct br_mac mac, uint32_t serial,
	uint8_t out[static 17])
{
	uint8_t generation = stage && stage->guid ? stage->guid : m->guid;
	/* current EEPROMs send the fourcc this way round, those of 2021 the other (wire facts 1.3) */
	uint8_t fourcc[4] = { '4', 'i', 'P', 'R' };

	out[0] = 0;
	memset(out + 1, 0x44, 16);
	if (generation == 3)
		for (int i = 0; i < 4; i++)
			br_store_le32(out + 1 + 4 * i, serial);
	if (generation < 4)
		return;
	fourcc[0] = (uint8_t)('0' + generation);
	for (int i = 0; i < 4; i++)
		out[1 + i] = fourcc[m->old_fourcc ? 3 - i : i];
	br_store_le32(out + 5, m->revision);
	memcpy(out + 9, mac.b + 2, 4);
	br_store_le32(out + 13, serial);
}

void br_sim_start_name(const struct br_sim_model *m, const struct br_pi_config *c, bool fixup, char *out)
{
	const char *named = fixup ? c->fixup_file : c->start_file;
	const char *variant = c->gpu_mem == 16 ? "cd" : c->start_debug ? "db" : c->start_x ? "x" : "";
	bool four = m->start && br_str_ends(m->start, "4");

	out[0] = 0;
	if (!m->start)
		return; /* a Pi 5 needs none */
	if (*named) {
		br_strcpy(out, BR_PI_CONFIG_NAME, named);
		return;
	}
	/* start_cd.elf, but start4cd.elf */
	snprintf(out, BR_PI_CONFIG_NAME, "%s%s%s.%s", fixup ? m->fixup : m->start, *variant && !four ? "_" : "",
		variant, fixup ? "dat" : "elf");
}

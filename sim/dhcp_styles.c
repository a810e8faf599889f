/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DHCP clients of one board, as tables: firmware (wire facts 1.2 to 1.5), what it may start (1.8), the kernel and
 * its initramfs (4.1, 4.3), user space.
 */
#include "sim/dhcp_client.h"

#include "base/clock.h"

/* Every stage of the firmware says that it is a PC's BIOS. */
#define PI_CLASS "PXEClient:Arch:00000:UNDI:002001"

static const uint8_t order_bcm2837[] = { 53, 55, 93, 94, 97, 60, 0 };
static const uint8_t order_eeprom[] = { 53, 55, 60, 93, 94, 97, 0 };
static const uint8_t order_eeprom_request[] = { 53, 50, 54, 60, 97, 0 };
static const uint8_t order_eeprom_request_2020[] = { 53, 50, 54, 97, 0 };

static const uint8_t wanted_rom[] = { 43, 60, 67, 128, 129, 130, 131, 132, 133, 134, 135, 66 };
static const uint8_t wanted_bootcode[] = { 43, 60, 67, 128, 129, 130, 131, 132, 133, 134, 135, 66, 1, 3 };
static const uint8_t wanted_eeprom[] = { 1, 3, 43, 60, 66, 67, 128, 129, 130, 131, 132, 133, 134, 135 };

#define FIRMWARE .vendor_class = PI_CLASS, .arch = 0, .ndi = { 1, 2, 1 }
#define WANTED(list) .wanted = (list), .n_wanted = sizeof(list)

/* The BCM2837 code never sends a REQUEST; request_order is there so that every style has one. */
#define BCM2837_STYLE                                                                                   \
	FIRMWARE, .order = order_bcm2837, .request_order = order_bcm2837, .last_wins = true, .xid = 0x26f30339, \
	.tries = 5, .interval_ns = 5 * BR_S, .total_ns = 25 * BR_S

const struct br_sim_dhcp_style br_sim_dhcp_rom_3b = {
	.name = "3B boot ROM", WANTED(wanted_rom), .three_spaces = true, .direct_only = true, .needs_nudge = true,
	BCM2837_STYLE,
};
const struct br_sim_dhcp_style br_sim_dhcp_rom_3bp = { .name = "3B+ boot ROM", WANTED(wanted_rom), BCM2837_STYLE };
const struct br_sim_dhcp_style br_sim_dhcp_bootcode = { .name = "bootcode.bin", WANTED(wanted_bootcode), BCM2837_STYLE };

#define EEPROM_STYLE                                                                                          \
	FIRMWARE, WANTED(wanted_eeprom), .order = order_eeprom, .requests = true, .pxe_menu = true,           \
	.interval_ns = 4 * BR_S, .total_ns = 45 * BR_S

const struct br_sim_dhcp_style br_sim_dhcp_eeprom = {
	.name = "EEPROM bootloader", EEPROM_STYLE, .request_order = order_eeprom_request,
};
const struct br_sim_dhcp_style br_sim_dhcp_eeprom_2020 = {
	.name = "EEPROM bootloader of 2020", EEPROM_STYLE, .request_order = order_eeprom_request_2020,
};

/* ---- loaders ---- */

static const uint8_t order_uboot[] = { 53, 57, 93, 94, 60, 55, 0 };
static const uint8_t order_uboot_request[] = { 53, 57, 54, 50, 93, 94, 60, 55, 0 };
static const uint8_t wanted_uboot[] = { 1, 3, 6, 12, 17 };

static const uint8_t order_lwip[] = { 53, 57, 55, 0 };
static const uint8_t order_lwip_request[] = { 53, 57, 50, 54, 55, 0 };
static const uint8_t wanted_lwip[] = { 1, 3, 28, 6, 42 };

static const uint8_t order_ipxe[] = { 53, 57, 93, 94, 60, 77, 55, 61, 97, 0 };
static const uint8_t order_ipxe_request[] = { 53, 57, 93, 94, 60, 77, 55, 61, 97, 54, 50, 0 };
static const uint8_t wanted_ipxe[] = { 1, 3, 6, 7, 12, 15, 17, 26, 42, 43, 60, 66, 67, 119, 121, 128, 129, 130, 131, 132,
	133, 134, 135, 175, 203 };

static const uint8_t order_edk2[] = { 53, 57, 55, 97, 94, 93, 60, 0 };
static const uint8_t order_edk2_request[] = { 53, 54, 50, 57, 55, 97, 94, 93, 60, 0 };
static const uint8_t wanted_edk2[] = { 1, 2, 3, 4, 5, 6, 12, 13, 15, 17, 18, 22, 23, 28, 40, 41, 42, 43, 50, 51, 54, 58, 59,
	60, 66, 67, 97, 128, 129, 130, 131, 132, 133, 134, 135 };

#define LOADER .requests = true, .server_is_next = true, .backs_off = true

#define UBOOT_STYLE                                                                                          \
	LOADER, WANTED(wanted_uboot), .order = order_uboot, .request_order = order_uboot_request, .ndi = { 1, 0, 0 }, \
	.max_size = 576, .min_len = 300, .interval_ns = 250 * BR_MS, .max_interval_ns = 60 * BR_S, .total_ns = 28 * BR_S

const struct br_sim_dhcp_style br_sim_dhcp_uboot = {
	.name = "U-Boot", .vendor_class = "U-Boot.armv8", .arch = 0x16, UBOOT_STYLE,
};
/* its EFI boot method borrows UEFI's name */
const struct br_sim_dhcp_style br_sim_dhcp_uboot_efi = {
	.name = "U-Boot's EFI boot", .vendor_class = "PXEClient:Arch:00011:UNDI:003000", .arch = 11, UBOOT_STYLE,
};
const struct br_sim_dhcp_style br_sim_dhcp_uboot_lwip = {
	.name = "U-Boot with lwIP", LOADER, WANTED(wanted_lwip), .order = order_lwip, .request_order = order_lwip_request,
	.max_size = 1500, .min_len = 300, .interval_ns = BR_S, .max_interval_ns = 60 * BR_S, .total_ns = 10 * BR_S,
};
const struct br_sim_dhcp_style br_sim_dhcp_ipxe = {
	.name = "iPXE", LOADER, WANTED(wanted_ipxe), .order = order_ipxe, .request_order = order_ipxe_request,
	.vendor_class = "PXEClient:Arch:00011:UNDI:003010", .user_class = "iPXE", .arch = 11, .ndi = { 1, 3, 10 },
	.max_size = 1472, .interval_ns = BR_S, .max_interval_ns = 8 * BR_S, .total_ns = 32 * BR_S,
};

#define EDK2_STYLE                                                                                            \
	LOADER, WANTED(wanted_edk2), .order = order_edk2, .request_order = order_edk2_request, .ndi = { 1, 3, 0 }, \
	.broadcast = true, .max_size = 1472, .interval_ns = 4 * BR_S, .max_interval_ns = 32 * BR_S, .total_ns = 60 * BR_S

const struct br_sim_dhcp_style br_sim_dhcp_edk2 = {
	.name = "UEFI", .vendor_class = "PXEClient:Arch:00011:UNDI:003000", .arch = 11, EDK2_STYLE,
};
const struct br_sim_dhcp_style br_sim_dhcp_edk2_http = {
	.name = "UEFI's HTTP boot", .vendor_class = "HTTPClient:Arch:00019:UNDI:003000", .arch = 19, EDK2_STYLE,
};

/* ---- Linux ---- */

static const uint8_t order_kernel[] = { 53, 55, 0 };
static const uint8_t order_kernel_request[] = { 53, 54, 50, 55, 0 };
static const uint8_t wanted_kernel[] = { 1, 3, 6, 12, 15, 17, 26, 40, 42 };

static const uint8_t order_klibc[] = { 53, 55, 60, 12, 0 };
static const uint8_t order_klibc_request[] = { 53, 54, 50, 55, 60, 12, 0 };
static const uint8_t wanted_klibc[] = { 1, 3, 6, 12, 15, 17, 26, 28, 40, 119 };

static const uint8_t order_os[] = { 53, 61, 57, 60, 12, 55, 0 };
static const uint8_t order_os_request[] = { 53, 61, 50, 54, 57, 60, 12, 55, 0 };
static const uint8_t wanted_os[] = { 1, 3, 6, 12, 15, 26, 28, 33, 42, 51, 54, 58, 59, 119, 121 };

/* the 312 bytes of its vendor area are always sent whole */
const struct br_sim_dhcp_style br_sim_dhcp_kernel = {
	.name = "kernel's ip=dhcp", LOADER, WANTED(wanted_kernel), .order = order_kernel,
	.request_order = order_kernel_request, .min_len = 548, .drops_short = true, .interval_ns = 2 * BR_S,
	.max_interval_ns = 30 * BR_S, .total_ns = 120 * BR_S,
};
/* its host name is the node's, which the kernel made of the address */
const struct br_sim_dhcp_style br_sim_dhcp_klibc = {
	.name = "initramfs's ipconfig", LOADER, WANTED(wanted_klibc), .order = order_klibc,
	.request_order = order_klibc_request, .vendor_class = "Linux ipconfig", .host_name = "10.77.0.100",
	.interval_ns = BR_S, .max_interval_ns = 60 * BR_S, .total_ns = 120 * BR_S,
};
const struct br_sim_dhcp_style br_sim_dhcp_os = {
	.name = "operating system's client", LOADER, WANTED(wanted_os), .order = order_os, .request_order = order_os_request,
	.vendor_class = "dhcpcd-9.4.1:Linux-6.12.47+rpt-rpi-v8:aarch64:BCM2835", .host_name = "raspberrypi", .max_size = 1472,
	.interval_ns = 4 * BR_S, .max_interval_ns = 64 * BR_S, .total_ns = 60 * BR_S,
};

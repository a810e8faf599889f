/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/*
 * The texts of the two stages in which U-Boot boots a board (docs/uboot.md). They use what Debian's U-Boot 2023.01 and
 * 2025.01 for Raspberry Pi and for QEMU have in common, and nothing that the two do differently (QEMU notes 4).
 *
 * Variables that scripts of people may set or read: bramble_server (address of the server, if not DHCP's), bramble_model,
 * bramble_args (kernel arguments that the firmware gave, without those about a root), bramble_fdt (the device tree),
 * bramble_card (the disk with the recovery partition that stage 1 was started from: "mmc 0").
 */

/* What stage 1 asks for, by TFTP. */
#define BR_UBOOT_STAGE2 "bramble/stage2.scr"
/* What every stage 2 asks for first: the order to write local storage, as a script; "not found" when there is none. */
#define BR_UBOOT_FLASH "bramble/flash.scr"
/* A file with this name on a partition says that it is the recovery card's own, not that of a system. */
#define BR_UBOOT_CARD_MARK "bramble.txt"

struct br_uboot_stage1 {
	unsigned wait_s;    /* for a server, then the local system is started; 0: 60 */
	const char *server; /* its address where DHCP does not tell it (beside another DHCP server); NULL: DHCP's */
};

/*
 * Stage 1: the board's model as vendor class, DHCP, stage 2; without a server the local system, else reset. The same for
 * every board: on a card, in U-Boot's own environment, or served. NULL when memory is out; free().
 */
char *br_uboot_stage1(const struct br_uboot_stage1 *in);

enum br_uboot_road {
	BR_UBOOT_NET,	/* kernel and initramfs by TFTP, root over the network */
	BR_UBOOT_FLASH_ROAD, /* from the board's own storage, behind the recovery partition */
	BR_UBOOT_EFI,	/* an EFI program by TFTP */
};

#define BR_UBOOT_INITRAMFS_MAX 4
struct br_uboot_kernel {
	const char *kernel; /* NULL: there is none of this width */
	const char *initramfs[BR_UBOOT_INITRAMFS_MAX]; /* loaded one behind the other; ends at NULL */
};

struct br_uboot_stage2 {
	const char *board, *image; /* for people */
	uint64_t boot;
	enum br_uboot_road road;
	const char *cmdline;	   /* NET: the kernel's arguments, one line */
	const char *root;	   /* NET: what a line that is already ours contains: "nfsroot=10.77.0.1:/pi07," */
	struct br_uboot_kernel arm64, arm; /* NET; FLASH: names in the image's boot partition, may be NULL */
	const char *efi;	   /* EFI: path */
	const char *target;	   /* FLASH: the disk to be tried first, "mmc0"; NULL or "" : any */
	bool only_target;	   /* ... and no other: its system is waited for */
};

/* Stage 2, for one boot of one board. NULL when memory is out; free(). */
char *br_uboot_stage2(const struct br_uboot_stage2 *in);

/* The same boot as a menu of PXELINUX with one entry, for U-Boots that ask for nothing else (2025.01). Kernel arguments of
 * the firmware are lost there. tty: what "serial0" is called on this board. */
char *br_uboot_pxelinux(const struct br_uboot_stage2 *in, const char *tty);

/* Text as one word of the shell, whatever is in it. */
void br_uboot_quote(struct br_text *t, const char *text);

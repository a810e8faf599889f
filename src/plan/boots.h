/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "plan/plan.h"

/*
 * The running boots: which frozen plan a board is in, and how far it is. The protocols report what they saw
 * (br_boots_reach) and ask for the plan; here it is decided when a new boot begins. Thread-safe.
 */
struct br_boots;

enum br_stage { /* how far a boot is; only ever grows within one boot */
	BR_STAGE_NONE,
	BR_STAGE_FIRMWARE_DHCP, /* mask ROM or EEPROM asked */
	BR_STAGE_BOOTCODE_DHCP, /* bootcode.bin asked: the second client of a Pi 3, the first with it on a card */
	BR_STAGE_FIRMWARE_FILES,
	BR_STAGE_KERNEL_SENT,
	BR_STAGE_KERNEL_DHCP, /* kernel, initramfs */
	BR_STAGE_MOUNTED,     /* NFS root */
	BR_STAGE_UP,	      /* user space: the OS's own DHCP, or a getty's worth of reads */
};
const char *br_stage_name(enum br_stage stage); /* "firmware-dhcp" ... */

struct br_boots_options {
	struct br_fleet *fleet;
	struct br_store *store;
	struct br_plan_server server;
	const char *default_image; /* may be NULL: boards without an own image get nothing */
	const char *default_disk;  /* "volatile", "persistent" or "ram" */
	uint64_t default_persist;  /* bytes of boards' areas that outlive volatile disks; 0: they have none */
	const char *overrides;	   /* directory of boot files that people give; NULL: none */
	const char *root_files;	   /* the same for boards' root file systems */
	const char *keys;	   /* file of authorized_keys for every board; NULL: none */
	const char *signing_keys;  /* directory of the keys that sign boards' boot.img, by name; NULL: none */
};

int br_boots_new(const struct br_boots_options *opt, struct br_boots **ret, struct br_error *err);
void br_boots_free(struct br_boots *boots);
/* For 'serve IMAGE' of a running daemon. */
int br_boots_set_default_image(struct br_boots *boots, const char *image, struct br_error *err);
/* "" when there is none. */
void br_boots_default_image(struct br_boots *boots, char ret[static BR_IMAGE_NAME_MAX + 1]);
/* Whether the daemon can sign with a key of that name (board edit --signed): it is there, of the kind that boards take, and opens
 * without a passphrase. Else negative, with words. Takes no lock. */
int br_boots_check_signing(const struct br_boots *boots, const char *name, struct br_error *err);
const char *br_boots_default_disk(const struct br_boots *boots);
uint64_t br_boots_default_persist(const struct br_boots *boots);

/*
 * A board was seen at a stage. Begins a new boot (new number, new plan, boot.start event; a volatile disk is dropped
 * at the next mount) when the stage is one that starts a boot and the boot in force was past it:
 *   firmware DHCP after anything beyond firmware DHCP; bootcode.bin's DHCP after the firmware's files; kernel DHCP
 *   after the mount; firmware files after kernel DHCP, for boards whose firmware DHCP another server answers.
 * A mount or user space never begins one: without a boot in force the last one is taken up again.
 * ret_plan: a new reference to the plan now in force; ret_new and ret_plan may be NULL. -ENOENT: no image for this
 * board (words in err).
 */
int br_boots_reach(struct br_boots *boots, const struct br_board *board, enum br_stage stage,
	struct br_plan **ret_plan, bool *ret_new, struct br_error *err);
/* The plan in force (new reference), without a stage. When there is none (the daemon was restarted), the board's
 * last boot is taken up again: same number, image and disk as its boot.start event says. */
int br_boots_plan(struct br_boots *boots, const struct br_board *board, struct br_plan **ret_plan,
	struct br_error *err);
/* Whether the next boot of a board would have a boot file of this name; none begins. -ENOENT, with words: it would not. */
int br_boots_would_have(struct br_boots *boots, const struct br_board *board, const char *name, struct br_error *err);
/* The plan of clients that are no board: the default image's boot files. */
int br_boots_anonymous(struct br_boots *boots, struct br_plan **ret_plan, struct br_error *err);

/* What lies on the storage of a board whose road is 'flash', as its last order that went well says; else nothing. */
int br_boots_flashed(struct br_fleet *fleet, const struct br_board *board, struct br_plan_flashed *ret);

/* Bytes of the largest boot file of the image the board would boot now; 0: not known. */
uint64_t br_boots_largest(struct br_boots *boots, const struct br_board *board);

struct br_boot_status {
	uint64_t boot;
	enum br_stage stage;
	uint64_t started_wall_ns, stage_wall_ns;
	uint64_t used_ns; /* monotonic: when a protocol last asked for its plan or reported */
	char image[BR_IMAGE_NAME_MAX + 1];
};
/* -ENOENT: the board has not booted since the daemon started. */
int br_boots_status(struct br_boots *boots, int64_t board_id, struct br_boot_status *ret);
/* Whether a running boot uses this image. */
bool br_boots_image_in_use(struct br_boots *boots, const char *image);
/* A group of changes of the database (br_group_end) was stored, or undone with the numbers of the boots that began in it:
 * these are forgotten, or two boots would have one number. */
void br_boots_settle(struct br_boots *boots, bool stored);
/* A board was removed. */
void br_boots_forget(struct br_boots *boots, int64_t board_id);

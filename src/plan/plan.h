/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "fleet/fleet.h"
#include "plan/overrides.h"
#include "store/image.h"
#include "store/projfs.h"

/*
 * The plan: everything one board gets in one boot. A pure function of board, image, road and
 * server, made when the boot starts and frozen until the next one. Counted; immutable; every
 * thread may ask it.
 */
struct br_plan;

/*
 * What an image means for every plan on it, found out once and shared: its command line, the
 * config.txt and fstab it needs on a network root, which of its units must not run there.
 */
struct br_plan_base;
int br_plan_base_new(struct br_image *image /* a new reference is taken */, struct br_plan_base **ret,
	struct br_error *err);
struct br_plan_base *br_plan_base_ref(struct br_plan_base *base);
void br_plan_base_unref(struct br_plan_base *base);
struct br_image *br_plan_base_image(const struct br_plan_base *base); /* not a new reference */
/* Why boards on it cannot have a disk 'ram'; NULL: they can. */
const char *br_plan_base_no_ram(const struct br_plan_base *base);
uint64_t br_plan_base_largest(const struct br_plan_base *base); /* bytes of its largest boot file */

/* How the board reaches us, the same for all boards of a daemon. */
struct br_plan_server {
	uint32_t ip; /* of the serving interface */
	uint16_t nfs_port, mount_port;
	bool log_netconsole, log_syslog; /* boards send us these by themselves (root files) */
};

/* Everything a plan is a function of. */
struct br_plan_input {
	struct br_board board;	    /* id 0: the anonymous plan of clients that are no board */
	uint64_t boot;		    /* number of this boot */
	struct br_plan_base *base;  /* a new reference is taken */
	const char *disk;	    /* "volatile", "persistent" or "ram", resolved */
	uint64_t persist;	    /* bytes of its area /persist, 0: none */
	struct br_plan_server server;
	uint8_t ssh_seed[32];	    /* ed25519 host key */
	uint8_t machine_id[16];
	struct br_overrides *overrides; /* boot files; NULL: none. Read while the plan is made, not kept */
	struct br_overrides *root_overrides; /* files of the root; as above */
	const char *keys; /* file of authorized_keys for every board; NULL: none. As above */
	const char *signing; /* file of the key that signs its boot.img; NULL: not signed. As above */
	struct br_plan_flashed {
		char target[12];	       /* "mmc0": what was flashed last, and well; "" : nothing */
		char sha256[BR_SHA256_HEX]; /* of what image */
		bool awaited;		       /* its system is to show itself, so no other may be started */
	} flashed;
};

int br_plan_new(const struct br_plan_input *in, struct br_plan **ret, struct br_error *err);
struct br_plan *br_plan_ref(struct br_plan *plan);
void br_plan_unref(struct br_plan *plan);
const struct br_plan_input *br_plan_input(const struct br_plan *plan);

/* A boot file: spans over mapped or projected bytes, valid while the plan is referenced. */
struct br_bootfile {
	const struct br_span *spans;
	size_t n_spans;
	uint64_t size;
	/* "image", "projected" (made for the board), "override"; "made": boot.img out of all of these */
	const char *origin;
	const char *layer; /* of an override: the directory it came from; else NULL */
};

#define BR_BOOT_PATH_MAX 512

/*
 * Finds a requested boot-file name. The name is hostile text as it came: '\' is '/', "//" and "./" collapse,
 * '..' and control characters are refused (-EACCES), letters compare as FAT does. A first part that is this
 * board's own directory (serial, or MAC with dashes) is dropped; another board's gives -EACCES for a board and
 * -ENOENT for the anonymous plan. -ENOENT: no such file. ret_path (BR_BOOT_PATH_MAX) gets the cleaned path
 * for logs, also on failure.
 *
 * "boot.img" that nobody gave is made at first use: a FAT image of the files this model needs, the same bytes for as
 * long as the plan lives. br_plan_bootimg_problem() says why it could not be made (too large), else NULL.
 *
 * "boot.sig" that nobody gave is made at first use when the plan has a key: the signature of the boot.img that this plan
 * gives, whoever gave that. br_plan_bootsig_problem() says why it could not be made; NULL: it could, or there is no key.
 */
int br_plan_bootfile(const struct br_plan *plan, const char *name, struct br_bootfile *ret,
	char *ret_path);

const char *br_plan_bootimg_problem(const struct br_plan *plan);
const char *br_plan_bootsig_problem(const struct br_plan *plan);

/* Directory listing of the board's boot-file name space for people and boot.img: path and size of each. */
int br_plan_bootfiles(const struct br_plan *plan,
	int (*fn)(void *ctx, const char *path, const struct br_bootfile *file), void *ctx);

/*
 * What is projected into the root file system, each with its 'why'. People's files come first: DIR/<board>/... and DIR/all/...
 * of the root directory, but for two names right below: 'authorized_keys' (added to those for every board) and
 * 'userconf.txt' (the first user, see account.h; the boot partition's counts too, and is weaker).
 */
const struct br_projection *br_plan_root(const struct br_plan *plan, size_t *ret_n);
/* What the NFS MOUNT path of this board's root is: "/<board name>". */
const char *br_plan_root_path(const struct br_plan *plan);
/* The kernel command line the board gets. An override of cmdline.txt is taken at its word. */
const char *br_plan_cmdline(const struct br_plan *plan);
/* Words on what people wished and the plan had to leave out; NULL: nothing. */
const char *br_plan_problem(const struct br_plan *plan);
/* What system its image is, in words, and what was looked for in it in vain (NULL: nothing). */
const char *br_plan_layout(const struct br_plan *plan, const char **ret_unknown);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "pi/configtxt.h"
#include "sim/dhcp_client.h"
#include "sim/stack.h"
#include "sim/tftp_client.h"

/*
 * What the firmware of each model asks for, in its order, as data (wire facts 2.3). A
 * model is stages; a stage is a network style and steps; a step becomes requests when
 * its turn comes, because config.txt decides names.
 */
enum br_sim_op {
	BR_SIM_OP_END,
	BR_SIM_OP_GET,	       /* the file 'name' */
	BR_SIM_OP_PREFIX,      /* the model's test files: <serial>/ for all later names, or for none */
	BR_SIM_OP_CONFIG,      /* config.txt and what it includes */
	BR_SIM_OP_START,       /* start.elf or its variant */
	BR_SIM_OP_FIXUP,
	BR_SIM_OP_RECOVERY,    /* recovery8.img and relatives */
	BR_SIM_OP_FIND_KERNEL, /* probes in the order of preference */
	BR_SIM_OP_INITRAMFS,
	BR_SIM_OP_DTB,
	BR_SIM_OP_OVERLAY_MAP,
	BR_SIM_OP_OVERLAYS,
	BR_SIM_OP_CMDLINE,
	BR_SIM_OP_ARMSTUB,
	BR_SIM_OP_KERNEL,
	BR_SIM_OP_NAMED,       /* the file that DHCP named */
	BR_SIM_OP_HTTP,	       /* boot.sig and boot.img (TFTP: the other way round), whose files are asked for from then on */
};

enum {
	BR_SIM_PROBE = 1,	 /* only look whether it is there */
	BR_SIM_TWICE = 2,	 /* a probe, then the whole file */
	BR_SIM_MUST = 4,	 /* without it the boot is over */
	BR_SIM_ROOT = 8,	 /* never under the serial's directory */
	BR_SIM_SLASH = 16,	 /* Pi 5: an extra slash after the directory */
	BR_SIM_IF_PREFIX = 32,	 /* only when the directory exists */
	BR_SIM_IF_INITRAMFS = 64, /* only when config.txt wants an initramfs found by itself */
	BR_SIM_IF_UPDATE = 128,	 /* only when config.txt does not forbid EEPROM updates */
};

struct br_sim_step {
	uint8_t op, flags;
	uint16_t think_ms; /* pause before the request on a real board */
	const char *name;
};

struct br_sim_stage {
	const char *name;		       /* "rom", "bootcode", "eeprom", "start" */
	const struct br_sim_netstyle *net;     /* NULL: goes on as the stage before */
	const struct br_sim_dhcp_style *dhcp;  /* NULL: no exchange of its own */
	const struct br_sim_tftp_style *tftp;
	unsigned pause_s;		       /* starts over so long after a failure; 0: dark until a power cycle */
	bool includes;			       /* knows 'include' in config.txt */
	uint8_t guid;			       /* of its option 97; 0: the model's */
	const struct br_sim_step *steps;
	const struct br_sim_step *http_steps;  /* the same by HTTP (BOOT_ORDER 7) or signed; NULL: it cannot */
};

#define BR_SIM_STAGES 3

struct br_sim_model {
	const char *id;	  /* "3b+" */
	const char *name; /* "Raspberry Pi 3 Model B+" */
	uint32_t revision;
	uint8_t oui[3];	  /* of a made-up MAC address */
	uint8_t guid;	  /* generation in option 97: 4, 5; 3: the serial four times; 0: 16 x 0x44 */
	bool old_fourcc;  /* "RPi4" instead of "4iPR" in it */
	bool is_64bit;	  /* arm_64bit when config.txt says nothing */
	bool mac_is_serial; /* the low 24 bits of MAC and serial are equal */
	const char *platform; /* in overlay_map.dtb */
	const char *const *filters;
	const char *const *prefix_tests; /* the first that is there keeps the directory */
	bool prefix_full;		 /* the test fetches the file, not a probe */
	const char *start, *fixup;	 /* "start4", "fixup4" */
	const char *const *dtbs, *const *upstream_dtbs;
	const char *const *kernels[2]; /* 32-bit, 64-bit; the first that is there wins */
	const char *const *recovery[2];
	const char *armstub[2];
	unsigned n_kernel_probes; /* how often the kernel that won is probed */
	struct br_sim_stage stages[BR_SIM_STAGES];
};

extern const struct br_sim_model br_sim_models[]; /* ended by id == NULL */

/* What may run after the firmware and asks the network again: a loader, the kernel, its initramfs, user space. */
extern const struct br_sim_stage br_sim_followers[]; /* ended by name == NULL */

/* "3b+", "3B+", "4", "4b", "5"; NULL when there is no such virtual board. */
const struct br_sim_model *br_sim_model_by_id(const char *id);
/* All ids, separated by blanks; for messages. */
const char *br_sim_model_ids(void);
/* "uboot", "kernel"; NULL when there is none. */
const struct br_sim_stage *br_sim_follower_by_name(const char *name);
/* Option 97 of this board; stage NULL: as its first one has it. */
void br_sim_guid(const struct br_sim_model *m, const struct br_sim_stage *stage, struct br_mac mac, uint32_t serial,
	uint8_t out[static 17]);
/* "start4cd.elf" and the like, as config.txt decides. out has BR_PI_CONFIG_NAME bytes. */
void br_sim_start_name(const struct br_sim_model *m, const struct br_pi_config *c, bool fixup, char *out);

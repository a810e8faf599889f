/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "pi/configtxt.h"
#include "pi/rsakey.h"
#include "sim/dhcp_client.h"
#include "sim/firmware.h"
#include "sim/stack.h"
#include "sim/tftp_client.h"
#include "store/fat.h"

/*
 * One virtual board from power-on until its kernel would start. Owns no socket, no
 * clock: frames and time come in, frames and events go out through callbacks.
 */
struct br_sim_board;

enum br_sim_what {
	BR_SIM_POWER_ON,
	BR_SIM_DISCOVER, /* n: how many so far */
	BR_SIM_OFFER,	 /* ip, server: what the stage goes on with */
	BR_SIM_REQUESTED,
	BR_SIM_BOUND,	 /* ACK: ip, server */
	BR_SIM_ARP,	 /* server: its next hop answered */
	BR_SIM_PREFIX,	 /* name: the directory, "" when dropped */
	BR_SIM_FILE,	 /* name, bytes, took_ns, n: block size */
	BR_SIM_PROBED,	 /* name */
	BR_SIM_MISSING,	 /* name */
	BR_SIM_WARNING,	 /* text (and name) */
	BR_SIM_WRONG,	 /* a check failed: name, text */
	BR_SIM_KERNEL,	 /* handed over: name, text: the command line */
	BR_SIM_GAVE_UP,	 /* text: why; dark until its power is cycled */
	BR_SIM_AGAIN,	 /* text: why; starts over by itself after a pause (restarts) */
	/* after the firmware (--boot) */
	BR_SIM_QEMU,	 /* started: text: machine */
	BR_SIM_CONSOLE,	 /* first output */
	BR_SIM_SEEN,	 /* text: the line that matched */
	BR_SIM_ENDED,	 /* QEMU ended: text */
	BR_SIM_WAITING,	 /* nothing new for a while: text: the last console line */
};

struct br_sim_event {
	enum br_sim_what what;
	uint64_t t_ns; /* since power-on */
	uint64_t took_ns, bytes;
	unsigned n;
	uint32_t ip, server;
	uint32_t crc; /* FILE: CRC-32C of its bytes */
	const char *stage, *name, *text; /* "" when there is none; not owned */
};

struct br_sim_board_config {
	const struct br_sim_model *model;
	struct br_mac mac;
	uint32_t serial;
	unsigned speed; /* think times are divided by it; 0: none at all */
	/* BOOT_ORDER 7: boot.sig and boot.img by HTTP. For models whose first stage has http_steps. */
	struct br_sim_board_http {
		bool on;
		uint32_t host; /* HTTP_HOST; 0: the boot server that DHCP names */
		uint16_t port; /* HTTP_PORT; 0: 80 */
		const char *path; /* HTTP_PATH; NULL: "net_install", as from the factory */
	} http;
	/* The boot partition of a card in it, from which the firmware then boots; no bytes: none. Stays mapped. */
	struct br_span card;
	/*
	 * SIGNED_BOOT: boot.img and boot.sig are all that is asked for, over either road, and must be signed with this key. For
	 * models as above. NULL: not fused; by HTTP the signature is then only looked for. Outlives the board.
	 */
	const struct br_rsapub *signed_key;
	/* What goes on after the firmware, in this order, ended by NULL; NULL: nothing. */
	const struct br_sim_stage *const *then;
	/*
	 * a stage that failed starts over as its firmware does (wire facts 1.5), for ever; else the first failure
	 * is the end, for looking at one boot
	 */
	bool restarts;
	bool keep;	/* holds kernel, initramfs, device tree and command line for the hand-over */
	/* the expected file, case ignored: 1 and size, crc (CRC-32C); 0 when there is none; NULL: no comparison */
	int (*expected)(void *ctx, const char *name, uint64_t *ret_size, uint32_t *ret_crc);
	void (*send)(void *ctx, const uint8_t *frame, size_t len);
	void (*event)(void *ctx, const struct br_sim_event *e);
	void *ctx;
};

enum br_sim_phase {
	BR_SIM_OFF, /* no power, or a pause before it starts over */
	BR_SIM_IN_DHCP,
	BR_SIM_IN_ARP,
	BR_SIM_THINKING, /* between two requests */
	BR_SIM_FETCHING,
	BR_SIM_IN_HTTP,
	BR_SIM_READY,	 /* the kernel would start now */
	BR_SIM_FAILED,
};

/* Since the board was made, over all its boots. */
struct br_sim_counters {
	uint64_t bytes;	     /* of file contents that arrived in order */
	uint64_t files;	     /* whole ones */
	uint64_t resent;     /* requests and acknowledgements said again after silence, DISCOVERs after the first */
	uint64_t duplicates; /* blocks that came again, or too early */
	unsigned rounds;     /* starts over by itself */
	unsigned cycles;     /* of power */
};

struct br_sim_blob {
	uint8_t *data;
	size_t len;
};

/* What the firmware would start; owned by the board. */
struct br_sim_handover {
	struct br_sim_blob kernel, initramfs, dtb;
	char kernel_name[BR_PI_CONFIG_NAME];
	char *cmdline; /* as the firmware completes it */
};

/* NULL when memory is out. It powers on at the first step(). */
struct br_sim_board *br_sim_board_new(const struct br_sim_board_config *config);
void br_sim_board_free(struct br_sim_board *b);

/* The operator pulls the plug now and puts it back off_ns later: a new boot from the beginning. */
void br_sim_board_power_cycle(struct br_sim_board *b, uint64_t now_ns, uint64_t off_ns);

/* Does what is due. */
void br_sim_board_step(struct br_sim_board *b, uint64_t now_ns);
/* A frame to this board's MAC address or to all. */
void br_sim_board_frame(struct br_sim_board *b, uint64_t now_ns, const uint8_t *frame, size_t len, bool unsummed);
/* When step() has something to do; UINT64_MAX: never again by itself. */
uint64_t br_sim_board_deadline(const struct br_sim_board *b);

enum br_sim_phase br_sim_board_phase(const struct br_sim_board *b);
const struct br_sim_counters *br_sim_board_counters(const struct br_sim_board *b);
/* "rom", "eeprom", ...; "" before the first. */
const char *br_sim_board_stage(const struct br_sim_board *b);
/* Its addresses, as the stage that runs has them. */
const struct br_sim_stack *br_sim_board_stack(const struct br_sim_board *b);
/* Its address; 0 until there is one. */
uint32_t br_sim_board_ip(const struct br_sim_board *b);
/* Checks that failed in this boot so far. */
unsigned br_sim_board_wrong(const struct br_sim_board *b);
const struct br_sim_board_config *br_sim_board_config(const struct br_sim_board *b);
/* Time of power-on, as step() was told. */
uint64_t br_sim_board_power_ns(const struct br_sim_board *b);
/* Filled in when the phase is BR_SIM_READY and keep was asked for. */
struct br_sim_handover *br_sim_board_handover(struct br_sim_board *b);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "wire/usbboot.h"

/*
 * A Compute Module (or another board without anything to boot from) on a USB port: what the chip's ROM and the second
 * stage that it was given do there, byte by byte (systems facts c). No clock, no bus: time, control and bulk transfers
 * come in, answers go out. A carrier brings them: usbport.h to QEMU, usbinside.h to a test in this process.
 *
 * The life of a board: its ROM takes a boot message and the first stage, says how it liked it and leaves the bus; what was
 * sent comes back on the same port, asks for files by name, compares each byte with what it expects, and is done.
 */
struct br_sim_rom;

/* One kind of board, and what its second stage asks for. */
struct br_sim_rom_kind {
	const char *id;	      /* "cm4" */
	const char *product;  /* its string */
	uint16_t product_id;  /* more by it: br_usbboot_model() */
	uint8_t rom_index;    /* iSerialNumber of the ROM */
	bool composite;	      /* the ROM shows a mass storage interface before its own */
	bool leaves_early;    /* after the first stage, before anybody can read the status */
	const struct br_sim_rom_step *steps;
	const char *const *metadata; /* key, value, ... NULL; value "" is the serial number */
};

/* NULL when there is none of this name. */
const struct br_sim_rom_kind *br_sim_rom_kind_by_id(const char *id);
/* All of them in order; NULL after the last. */
const struct br_sim_rom_kind *br_sim_rom_kind_at(size_t i);

/* What is odd about a board. Names and meaning: br_sim_rom_quirk_at(). */
enum br_sim_rom_quirk {
	BR_SIM_ROM_PLAIN,
	BR_SIM_ROM_SIGNED,
	BR_SIM_ROM_GADGET,
	BR_SIM_ROM_NO_DONE,
	BR_SIM_ROM_NO_GADGET,
	BR_SIM_ROM_SILENT,
	BR_SIM_ROM_SLOW,
	BR_SIM_ROM_MUTE,
	BR_SIM_ROM_NO_ENDPOINT,
	BR_SIM_ROM_STALL_ROM,
	BR_SIM_ROM_STALL_REQUEST,
	BR_SIM_ROM_STALL_FILE,
	BR_SIM_ROM_SHORT_STATUS,
	BR_SIM_ROM_SHORT_REQUEST,
	BR_SIM_ROM_VANISH_ROM,
	BR_SIM_ROM_VANISH,
	BR_SIM_ROM_NO_RETURN,
	BR_SIM_ROM_BAD_STATUS,
	BR_SIM_ROM_ROM_INDEX,
	BR_SIM_ROM_STAGE_INDEX,
	BR_SIM_ROM_RESETS,
	BR_SIM_ROM_LOOP,
	BR_SIM_ROM_COMMAND,
	BR_SIM_ROM_ORDER,
	BR_SIM_ROM_ENDLESS,
	BR_SIM_ROM_FLOOD,
	BR_SIM_ROM_MISSING,
	BR_SIM_ROM_NAME_DOTS,
	BR_SIM_ROM_NAME_ABSOLUTE,
	BR_SIM_ROM_NAME_LONG,
	BR_SIM_ROM_NAME_UNPRINTABLE,
	BR_SIM_ROM_QUIRKS,
};

struct br_sim_rom_quirk_info {
	const char *name, *meaning;
	enum { BR_SIM_ROM_NO_VALUE, BR_SIM_ROM_NUMBER, BR_SIM_ROM_TIME, BR_SIM_ROM_SIZE } takes;
	uint64_t value; /* when none is given */
};

const struct br_sim_rom_quirk_info *br_sim_rom_quirk_at(enum br_sim_rom_quirk q);
/* "vanish", "silent=25s", "slow=200K". -EINVAL with words. */
int br_sim_rom_quirk_parse(const char *text, enum br_sim_rom_quirk *ret, uint64_t *ret_value, struct br_error *err);

enum br_sim_rom_what {
	BR_SIM_ROM_ATTACHED,	/* name: as what; n: how often so far */
	BR_SIM_ROM_LEFT,	/* the bus; name: what, text: why */
	BR_SIM_ROM_FIRST_STAGE, /* name, bytes */
	BR_SIM_ROM_FILE,	/* name, bytes */
	BR_SIM_ROM_FOUND,	/* name, bytes: asked for its size only */
	BR_SIM_ROM_ABSENT,	/* name */
	BR_SIM_ROM_REFUSED,	/* name: a request nobody should serve was not served */
	BR_SIM_ROM_METADATA,	/* name, text */
	BR_SIM_ROM_ODD,		/* the quirk strikes: text */
	BR_SIM_ROM_WRONG,	/* the host does what it should not: name, text */
	BR_SIM_ROM_DONE,
	BR_SIM_ROM_GAVE_UP, /* text */
};

struct br_sim_rom_event {
	enum br_sim_rom_what what;
	uint64_t t_ns, took_ns, bytes; /* t: since power-on */
	unsigned n;
	const char *name, *text; /* "" when there is none; not owned */
};

struct br_sim_rom_config {
	const struct br_sim_rom_kind *kind;
	uint32_t serial;
	unsigned speed; /* the board's own pauses are divided by it; 0: none at all */
	enum br_sim_rom_quirk quirk;
	uint64_t value; /* of the quirk */
	/*
	 * What the file 'name' is for this board: 1 and size, crc (CRC-32C); 0 when there is none and none should be
	 * served. NULL: everything is taken as it comes.
	 */
	int (*expected)(void *ctx, const char *name, uint64_t *ret_size, uint32_t *ret_crc);
	void (*event)(void *ctx, const struct br_sim_rom_event *e); /* may be NULL */
	void *ctx;
};

enum br_sim_rom_phase {
	BR_SIM_ROM_RUNNING,
	BR_SIM_ROM_GOOD, /* has all it wanted, and as it should be */
	BR_SIM_ROM_BAD,	 /* nothing more will come of it */
};

/* NULL when memory is out. It powers on at the first step(). */
struct br_sim_rom *br_sim_rom_new(const struct br_sim_rom_config *config);
void br_sim_rom_free(struct br_sim_rom *b);

/* Does what is due. */
void br_sim_rom_step(struct br_sim_rom *b, uint64_t now_ns);
/* When step() has something to do, or a transfer that had to wait may be tried again; UINT64_MAX: never by itself. */
uint64_t br_sim_rom_deadline(const struct br_sim_rom *b);
enum br_sim_rom_phase br_sim_rom_phase(const struct br_sim_rom *b);
/* What the host did wrong so far. */
unsigned br_sim_rom_wrong(const struct br_sim_rom *b);

/* ---- the bus ---- */

/* How often it was plugged in; 0 while it is not there. Another number: other descriptors, nothing of the old session. */
unsigned br_sim_rom_attached(const struct br_sim_rom *b);
/* 18 bytes; the configuration descriptor with all that follows (its length is in it). Valid while attached. */
const uint8_t *br_sim_rom_device(const struct br_sim_rom *b);
const uint8_t *br_sim_rom_configuration(const struct br_sim_rom *b);
/* A string descriptor; its length, or -EPIPE when there is none. */
int br_sim_rom_string(const struct br_sim_rom *b, uint8_t index, uint8_t out[static 255]);

/*
 * A class or vendor request; standard ones are the carrier's. type: bmRequestType. IN: fills data, at most len bytes,
 * and returns the length; OUT: takes len bytes, returns 0. -EPIPE: stall; -EAGAIN: no answer yet, to be tried again
 * after the deadline; -ENODEV: not on the bus (any more).
 */
int br_sim_rom_control(struct br_sim_rom *b, uint64_t now_ns, uint8_t type, uint8_t request, uint16_t value,
	uint16_t index, uint8_t *data, size_t len);
/* 0, or as control(). */
int br_sim_rom_bulk_out(struct br_sim_rom *b, uint64_t now_ns, uint8_t ep, const uint8_t *data, size_t len);
/* CLEAR_FEATURE(ENDPOINT_HALT): what an OUT endpoint that stalled in the middle of data waits for. 0 or as control(). */
int br_sim_rom_clear_halt(struct br_sim_rom *b, uint64_t now_ns, uint8_t ep);
/* The host no longer waits for a control transfer that got -EAGAIN. */
void br_sim_rom_cancelled(struct br_sim_rom *b, uint64_t now_ns);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "usb/files.h"
#include "usb/transport.h"
#include "wire/usbboot.h"

/*
 * One board on one port path, from boot ROM to the last file. The device on the path comes, goes and comes again meanwhile.
 * A pure state machine: events in, transfers out (through the host's ops), time as an argument. Every wait has a deadline.
 */
enum br_usb_verdict {
	BR_USB_RUNNING,
	/* well */
	BR_USB_DONE,	   /* the board said that it is done */
	BR_USB_NEXT_STAGE, /* it left after files, and the system they make came up on the same path */
	/* not */
	BR_USB_NO_PERMISSION, /* the device node may not be opened */
	BR_USB_NOT_OPENED,    /* for another reason: busy, driver */
	BR_USB_BAD_PAYLOAD,   /* the first stage is not there, or a file cannot be read */
	BR_USB_NOT_SENT,      /* the ROM did not take the first stage */
	BR_USB_REFUSED,	      /* the ROM took it and said that it is not good */
	BR_USB_NEVER_BACK,    /* nothing came back after the first stage */
	BR_USB_SILENT,	      /* asked for nothing more, and did not say that it is done */
	BR_USB_NO_SENSE,      /* sent what is no request */
	BR_USB_BROKEN_OFF,    /* transfers fail while the device stays */
	BR_USB_VANISHED,      /* left without being done, and nothing came after it */
	BR_USB_RESETS,	      /* began anew too often */
	BR_USB_ENDLESS,	      /* asked for more than any board */
	BR_USB_ABORTED,	      /* by br_usb_session_abort() */
	BR_USB_N_VERDICTS,
};
/* A word for JSON and scripts: "done", "never-back" ... */
const char *br_usb_verdict_name(enum br_usb_verdict verdict);
static inline bool br_usb_verdict_is_well(enum br_usb_verdict verdict)
{
	return verdict == BR_USB_DONE || verdict == BR_USB_NEXT_STAGE;
}

enum br_usb_step_kind {
	BR_USB_STEP_FOUND, /* device on the path; name: "rom" or "file-server" */
	BR_USB_STEP_SENT,  /* name: the first stage */
	BR_USB_STEP_STATUS, /* bytes: the ROM's status */
	BR_USB_STEP_LEFT,  /* the device left the bus */
	BR_USB_STEP_FILE,  /* name, bytes: a whole file was sent; size and read as one step */
	BR_USB_STEP_MISSING, /* name: asked for and not there */
	BR_USB_STEP_METADATA, /* name, detail: key and value */
	BR_USB_STEP_TROUBLE, /* detail: something went wrong and is tried again, or is waited for longer than usual */
	BR_USB_STEP_DONE,
	BR_USB_STEP_NEXT_STAGE, /* detail: what came */
	BR_USB_STEP_VERDICT,	/* detail: the reason */
	BR_USB_N_STEP_KINDS,
};
const char *br_usb_step_name(enum br_usb_step_kind kind);

struct br_usb_step {
	uint64_t at_ns;	  /* monotonic */
	uint64_t took_ns; /* of a file: from its request to the last byte; else 0 */
	enum br_usb_step_kind kind;
	uint64_t bytes;
	char *name;   /* "" when it has none; printable */
	char *detail; /* "" ...; printable */
};
#define BR_USB_STEPS_MAX 1000 /* of what comes after them, only the verdict is kept */

struct br_usb_metadata {
	char *key, *value; /* printable */
};
#define BR_USB_METADATA_MAX 100

struct br_usb_session;

struct br_usb_session_options {
	struct br_usb_host *host;
	struct br_usb_files *files;
	bool sign;	 /* send bootcode.sig with the first stage to chips that take one */
	bool leave_ok;	 /* no next stage is to be expected: a board that leaves after a whole file is done */
	/* 0: the default */
	uint64_t back_ns;  /* how long the second stage may take to come back after the first (30 s) */
	uint64_t next_ns;  /* ... the next stage after the last file (60 s) */
	uint64_t read_ns;  /* silence of a board (60 s: it is silent while it erases an EEPROM). One read, never re-issued */
	unsigned resets;   /* how often it may begin anew (3) */
	/* A step was taken; may be NULL. The session must not be freed in it. */
	void (*step)(void *ctx, struct br_usb_session *s, const struct br_usb_step *step);
	void *ctx;
};

/* path: as the device's. -ENOMEM. options' pointers stay the caller's and outlive the session. */
int br_usb_session_new(const struct br_usb_session_options *options, const char *path, struct br_usb_session **ret);
/* Closes the device if it is there still; transfers in flight must have completed (the verdict is there and busy() false). */
void br_usb_session_free(struct br_usb_session *s);

/* What happened. The device on the path came, of whatever kind it is; */
void br_usb_session_arrived(struct br_usb_session *s, struct br_usb_device *dev, uint64_t now_ns);
/* it left; */
void br_usb_session_left(struct br_usb_session *s, struct br_usb_device *dev, uint64_t now_ns);
/* a transfer of it completed (t->user is the session); */
void br_usb_session_completed(struct br_usb_session *s, struct br_usb_transfer *t, uint64_t now_ns);
/* time passed. Returns when to call it next, UINT64_MAX: only after another event. */
uint64_t br_usb_session_tick(struct br_usb_session *s, uint64_t now_ns);
/* Ends it: BR_USB_ABORTED with the reason, unless it has a verdict already. */
void br_usb_session_abort(struct br_usb_session *s, const char *reason, uint64_t now_ns);

/* BR_USB_RUNNING until the verdict. */
enum br_usb_verdict br_usb_session_verdict(const struct br_usb_session *s);
/* In words, with what to do about it; "" while it runs. */
const char *br_usb_session_reason(const struct br_usb_session *s);
/* Transfers are in flight still: free it later. */
bool br_usb_session_busy(const struct br_usb_session *s);

/* For lists and progress. */
const char *br_usb_session_path(const struct br_usb_session *s);
const struct br_usbboot_model *br_usb_session_model(const struct br_usb_session *s); /* NULL before the first device */
const char *br_usb_session_serial(const struct br_usb_session *s);		     /* "" when not known */
/* What it does now in words: "waits for the second stage", "start4.elf". */
const char *br_usb_session_doing(const struct br_usb_session *s);
/* Of the file that is being sent; 0 of 0 between files. */
void br_usb_session_progress(const struct br_usb_session *s, uint64_t *ret_done, uint64_t *ret_total);
/* All bytes of files so far, and how many files. */
uint64_t br_usb_session_bytes(const struct br_usb_session *s, unsigned *ret_files);
const struct br_usb_step *br_usb_session_steps(const struct br_usb_session *s, size_t *ret_n);
const struct br_usb_metadata *br_usb_session_metadata(const struct br_usb_session *s, size_t *ret_n);

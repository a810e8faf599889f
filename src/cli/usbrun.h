/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/cli.h"
#include "usb/manager.h"

/* Which boards are meant; what is not set says nothing. */
struct br_usb_select {
	const char *path;   /* "1-2.3" */
	const char *serial; /* as the device has it, or at least 8 characters of its end; case counts not */
	int port;	    /* the last number of a path; -1: any */
};
bool br_usb_selected(const struct br_usb_select *select, const struct br_usb_device *dev);

/* How a run speaks; every hook may be NULL. */
struct br_usb_voice {
	void (*step)(void *ctx, struct br_usb_session *s, const struct br_usb_step *step);
	void (*ended)(void *ctx, struct br_usb_session *s);
	/*
	 * Nothing was under way for another still_ns of the run, which waits for boards. there: those in boot mode that are left
	 * alone, and why: "1-2 (not selected), 1-3 (...)"; "" when there are none.
	 */
	void (*waiting)(void *ctx, uint64_t waited_ns, const char *there);
	void (*held)(void *ctx, const struct br_usb_device *dev, const char *reason);
	/* Called several times a second, for progress. */
	void (*draw)(void *ctx, const struct br_usb_manager *m, uint64_t now_ns);
	void *ctx;
};
#define BR_USB_STILL_NS (30 * BR_S)

/* Boots what comes until the run's end. */
struct br_usb_run {
	struct br_usb_select select;
	struct br_usb_host *host;	 /* NULL: this machine's USB; else the caller's */
	const struct br_usb_voice *voice;
	/* As in struct br_usb_manager_ops; another negative: bad payload, told already. It is asked only for boards that are meant,
	 * with first_only one after the other. */
	int (*choose)(void *ctx, const struct br_usb_device *dev, const struct br_usbboot_model *model,
		struct br_usb_choice *ret);
	void (*step)(void *ctx, struct br_usb_session *s, const struct br_usb_step *step); /* may be NULL */
	void (*ended)(void *ctx, struct br_usb_session *s, void *user);			  /* may be NULL; user: of the choice */
	void *ctx;
	bool loop;	     /* until interrupted; a path may have board after board */
	bool first_only;     /* one board at a time, the first that comes; it may try again until it is well */
	unsigned wait_for;   /* boards; 0: those that are there, at least one */
	uint64_t timeout_ns; /* for them to come; UINT64_MAX: no end */
	uint64_t still_ns;   /* 0: BR_USB_STILL_NS; with loop nothing is waited for */

	/* how it went */
	unsigned came, well, failed;
	unsigned denied, bad_payload; /* of failed */
	bool interrupted;
};

/* 0 when the run has come to its end; negative: the host failed, with words. */
int br_usb_run(struct br_usb_run *run, struct br_error *err);
/* The exit code of what a run tells of itself. */
enum br_exit br_usb_run_exit(const struct br_usb_run *run);

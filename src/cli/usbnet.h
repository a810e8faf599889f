/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "usb/payload.h"

/*
 * A payload out of the daemon: the boot files that the board would get over the network. The board's name is found out by its
 * serial, where nobody bound it to the port; boards whose ROM tells none start as "no board", until a later stage tells it.
 */
struct br_usb_net_options {
	const char *state;	/* as --state; NULL: br_state_dir() decides */
	const char *path, *chip, *serial; /* of the device; serial may be "" */
	const char *board;	/* its name; NULL: by its serial */
	const char *firmware;	/* directory of first stages; NULL: none */
	const char *need;	/* a first stage that 'firmware' does not have: without it no boot begins; NULL: none */
};
struct br_usb_net;

/* Asks nobody yet. */
int br_usb_net_new(const struct br_usb_net_options *opt, struct br_usb_net **ret, struct br_error *err);
void br_usb_net_unref(struct br_usb_net *net);
/* From any thread: what it waits for ends soon. */
void br_usb_net_cancel(struct br_usb_net *net);
/*
 * Asks the daemon who the board is, and its boot begins there, but only when it can start. Waits for the answers; the payload has a
 * reference of its own. -ECONNREFUSED: no daemon; -ENOENT with words: it is not known and not adopted, or has no image, or nobody has
 * 'need'; -EPERM with words: it is on road 'local'.
 */
int br_usb_net_open(struct br_usb_net *net, struct br_usb_payload **ret, struct br_error *err);

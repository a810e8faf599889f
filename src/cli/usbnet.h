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
};
/*
 * Asks the daemon who the board is, and its boot begins there. -ECONNREFUSED: no daemon; -ENOENT with words: it is not known and
 * not adopted, or has no image; -EPERM with words: it is on road 'local'.
 */
int br_usb_net_payload(const struct br_usb_net_options *opt, struct br_usb_payload **ret, struct br_error *err);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/*
 * What each board on USB is to get: rules by serial, by port path, by chip, and one for the rest. From bramble.conf's sections
 * [usb], [usb serial S], [usb path P], [usb chip C], and from the command line.
 */
enum br_usb_boot {
	BR_USB_BOOT_NET,    /* what the daemon would serve it over the network */
	BR_USB_BOOT_IGNORE, /* nothing: it is left alone */
	BR_USB_BOOT_GADGET, /* the mass-storage gadget that is installed */
	BR_USB_BOOT_IMAGE,  /* what: name of an image of the store, its boot partition */
	BR_USB_BOOT_PATH,   /* what: a directory, or a raw image file */
};

enum br_usb_match {
	BR_USB_MATCH_REST,
	BR_USB_MATCH_SERIAL,
	BR_USB_MATCH_PATH, /* fnmatch(3): "1-2.*" */
	BR_USB_MATCH_CHIP,
};

struct br_usb_rule { /* strings owned, NULL: not set */
	enum br_usb_match match;
	char *value; /* of the serial, path or chip */
	enum br_usb_boot boot;
	char *what;
	char *board;	/* its name in the fleet; boards that tell no serial need it for BR_USB_BOOT_NET */
	char *firmware; /* directory of first stages */
	bool overlay, links, sign; /* as of struct br_usb_directory; sign: send bootcode.sig */
};

/* All zeros: an empty one, which gives all boards BR_USB_BOOT_NET. */
struct br_usb_policy {
	struct br_usb_rule *rules; /* in the order they were first named */
	size_t n, cap;
	struct br_usb_rule rest;
};

void br_usb_policy_done(struct br_usb_policy *policy);

/*
 * One setting of one rule. rule: "" for the rest, "serial S", "path P", "chip C". Keys: boot (net, ignore, gadget, "image NAME", or
 * a path with a '/' in it), board, firmware, overlay, follow-links, sign (yes or no). -EINVAL with words.
 */
int br_usb_policy_set(struct br_usb_policy *policy, const char *rule, const char *key, const char *value,
	struct br_error *err);

/*
 * The rule for a board: of its serial, else of its path (as written before patterns, then the first), else of its chip, else the
 * rest. serial and chip may be "". Serials compare as numbers where both are: 8 digits mean the low half.
 */
const struct br_usb_rule *br_usb_policy_choose(const struct br_usb_policy *policy, const char *path, const char *serial,
	const char *chip);
/* Its firmware directory, or the rest's; NULL: none is set. */
const char *br_usb_policy_firmware(const struct br_usb_policy *policy, const struct br_usb_rule *rule);

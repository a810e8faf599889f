/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "usb/manager.h"
#include "usb/policy.h"

/*
 * What stands between the manager of USB boards, the policy and the daemon: opens for each board what its rule says, and tells the
 * daemon (where there is one) what happened, from a thread of its own, so that it never holds up a board.
 */
struct br_usb_keeper;

struct br_usb_keeper_options {
	const char *state;		    /* as --state; NULL: br_state_dir() decides */
	const struct br_usb_policy *policy; /* outlives the keeper */
	/* Words on a board: why it is left alone for now, what it will lack; not the same ones twice in a row. May be NULL. */
	void (*note)(void *ctx, const struct br_usb_device *dev, const char *words);
	void *ctx;
};

int br_usb_keeper_new(const struct br_usb_keeper_options *opt, struct br_usb_keeper **ret, struct br_error *err);
/* After the manager. Waits for what is to be told, at most ten seconds. */
void br_usb_keeper_free(struct br_usb_keeper *k);

/* As of struct br_usb_manager_ops; the choice's 'user' is the keeper's, until 'ended'. -EAGAIN: it cannot be served now (no daemon, an
 * image or a directory that is not there, not adopted ...), which a note said: ask again in a while.
 * -EINPROGRESS: the daemon is being asked, in a thread: ask again soon. */
int br_usb_keeper_choose(struct br_usb_keeper *k, const struct br_usb_device *dev, const struct br_usbboot_model *model,
	struct br_usb_choice *ret);
void br_usb_keeper_step(struct br_usb_keeper *k, const struct br_usb_session *s, const struct br_usb_step *step);
void br_usb_keeper_ended(struct br_usb_keeper *k, const struct br_usb_session *s);

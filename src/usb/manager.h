/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "usb/files.h"
#include "usb/session.h"
#include "usb/transport.h"

/*
 * All boards of a USB host at once: a session per port path, begun when a board in boot mode comes and its owner chooses
 * what it gets. Runs in the caller's loop: poll br_usb_manager_fd() until br_usb_manager_tick()'s time, call tick again.
 */
#define BR_USB_AGAIN_NS (5 * BR_S)
#define BR_USB_SOON_NS (20 * BR_MS)

struct br_usb_choice {
	struct br_usb_files *files; /* the owner's; must live until 'ended' */
	bool sign, leave_ok;	    /* as in struct br_usb_session_options */
	void *user;		    /* of the owner: br_usb_manager_user() */
};

struct br_usb_manager_ops {
	/*
	 * A board in boot mode came. 1: *ret says what it gets; 0: it is left alone until it leaves the bus; -EAGAIN: not now, ask
	 * again in BR_USB_AGAIN_NS when it is still there; -EBUSY: not before another session has ended;
	 * -EINPROGRESS: it is being found out, ask again in BR_USB_SOON_NS.
	 */
	int (*choose)(void *ctx, const struct br_usb_device *dev, const struct br_usbboot_model *model,
		struct br_usb_choice *ret);
	/* May be NULL. */
	void (*step)(void *ctx, struct br_usb_session *s, const struct br_usb_step *step);
	/* It has a verdict; the session is freed after this. */
	void (*ended)(void *ctx, struct br_usb_session *s);
	/* A path is left alone from now on, for the reason in words (it began too often, transfers never end); may be NULL. */
	void (*held)(void *ctx, const struct br_usb_device *dev, const char *reason);
};

struct br_usb_manager_options {
	struct br_usb_host *host; /* the caller's; freed after the manager */
	const struct br_usb_manager_ops *ops;
	void *ctx;
	/* 0: the defaults of struct br_usb_session_options */
	uint64_t back_ns, next_ns, read_ns;
	/*
	 * A path whose sessions failed so often one after the other (0: 5), or whose board is back in boot mode within 5 s of its
	 * good end as often, is held until no board has been on it for hold_ns (0: 10 s): it would keep everybody busy for ever.
	 */
	unsigned failures;
	uint64_t hold_ns;
};

struct br_usb_manager;

int br_usb_manager_new(const struct br_usb_manager_options *options, struct br_usb_manager **ret);
/* Ends all sessions ("aborted", through 'ended'), waiting up to a second for transfers in flight. */
void br_usb_manager_free(struct br_usb_manager *m);

/* To poll for reading, -1 when there is none. Stays the same. */
int br_usb_manager_fd(const struct br_usb_manager *m);
/* Does what is due; *ret_next_ns: when to call it again at the latest. Negative: the host has failed, with words. */
int br_usb_manager_tick(struct br_usb_manager *m, uint64_t now_ns, uint64_t *ret_next_ns, struct br_error *err);

/* Sessions that run; i-th of them or NULL. */
size_t br_usb_manager_running(const struct br_usb_manager *m);
struct br_usb_session *br_usb_manager_at(const struct br_usb_manager *m, size_t i);
/* The i-th board in boot mode that is there and has no session that runs, or NULL. */
const struct br_usb_device *br_usb_manager_idle(const struct br_usb_manager *m, size_t i);
/* What choose() gave for it. */
void *br_usb_manager_user(const struct br_usb_session *s, const struct br_usb_manager *m);

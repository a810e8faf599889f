/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/*
 * What the head of a request that came by TCP says of where it comes from: judged here, before anything else looks at it. Pure
 * functions of hostile text.
 */
struct br_guard_head {
	const char *host, *origin, *fetch_site, *fetch_mode; /* the fields, NULL: not there */
	bool tls;
	bool page; /* a file of the page is asked for, which a link of another site may open */
};

/*
 * Whether a page of another site may be behind it. The Host must be an address or one of our names (NULL-ended list): a site
 * whose name was made to point at us (DNS rebinding) is a stranger that its browser takes for us. An Origin must be ours, and
 * Sec-Fetch-Site (W3C Fetch Metadata) must not be another's. -EADDRNOTAVAIL: not our name; -EREMOTE: from another site.
 */
int br_guard_check(const struct br_guard_head *head, const char *const *names, struct br_error *err);

/* Whether a Host field is an IPv4 address, an IPv6 address in brackets, or one of the names, with a port or without. */
bool br_guard_host_ok(const char *host, const char *const *names);

/* Tokens: "brt_" and 64 hexadecimal digits of 256 random bits. */
#define BR_TOKEN_PREFIX "brt_"
#define BR_TOKEN_TEXT 69 /* with NUL */

/* The token of an Authorization field (RFC 6750 2.1). 1: ret has it; 0: the field is NULL; -EINVAL: no such token. */
int br_guard_bearer(const char *authorization, char ret[static BR_TOKEN_TEXT]);

/* "EPOCH-N" of a Last-Event-ID: 0, or -EINVAL. */
int br_guard_event_id(const char *text, unsigned long long *ret_epoch, unsigned long long *ret_n);

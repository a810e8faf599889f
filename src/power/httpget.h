/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/error.h"

#define BR_POWER_PAGE_MAX 65536

struct br_power_page {
	long status; /* of HTTP */
	char *text;  /* terminated, owned; br_power_page_done() */
	size_t n;
};

/*
 * One GET of a device: no redirection is followed, no proxy asked, no more than BR_POWER_PAGE_MAX bytes are taken. user: NULL or
 * "" for none; Basic or Digest, as the device wants. Any HTTP status is 0 here. -ETIMEDOUT, -ECONNREFUSED, -EMSGSIZE, -EHOSTUNREACH,
 * with words.
 */
int br_power_get(const char *url, const char *user, const char *password, uint64_t timeout_ns, struct br_power_page *ret,
	struct br_error *err);
void br_power_page_done(struct br_power_page *page);
/* As above, and its JSON object, for json_decref(); -EPROTO for any other answer, with words. */
int br_power_get_json(const char *url, const char *user, const char *password, uint64_t timeout_ns, json_t **ret, struct br_error *err);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "fleet/fleet.h"

/*
 * Tokens of the API, as they are stored: the SHA-256 of 256 random bits, never these. What may be done with one is the API's to
 * judge (api/access.h).
 */
#define BR_TOKEN_NAME_MAX 63 /* [A-Za-z0-9._-], first a letter or digit */

struct br_token {
	char name[BR_TOKEN_NAME_MAX + 1];
	uint8_t hash[32];
	char scope[8];	  /* "read", "operate", "admin" */
	char boards[256]; /* a selector: the boards it may change; "": all */
	char made_by[80];
	int64_t made_at, expires_at, used_at; /* s since 1970; 0: never */
};

bool br_token_name_ok(const char *name);
/* -EEXIST with words: there is one of that name. */
int br_token_add(struct br_fleet *fleet, const struct br_token *token, struct br_error *err);
/* -ENOENT with words. */
int br_token_remove(struct br_fleet *fleet, const char *name, struct br_error *err);
/* Notes when it was last used. A power cut may undo it. */
int br_token_used(struct br_fleet *fleet, const char *name, int64_t at);
/* By name; fn must not call us; it returns 0 to go on. */
int br_token_list(struct br_fleet *fleet, int (*fn)(void *ctx, const struct br_token *token), void *ctx);

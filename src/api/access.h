/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "api/call.h"
#include "api/guard.h"
#include "fleet/token.h"

/*
 * Tokens in force, in memory: found by the hash of what a request carries, so that a lookup tells nothing by the time it takes.
 * Thread-safe.
 */
struct br_access;

/* A token somebody uses just now. One that is revoked meanwhile stays until its last user lets it go. */
struct br_access_token {
	struct br_token token; /* used_at: not kept up to date here */
	enum br_scope scope;
	atomic_bool revoked;
	atomic_uint refs;
	_Atomic int64_t used_at, stored_at; /* when it was used; when that was last written down */
	struct br_access_token *prev, *next;
};

int br_access_new(struct br_fleet *fleet, struct br_access **ret, struct br_error *err);
void br_access_free(struct br_access *access);

/* A new reference, or NULL: unknown, revoked or expired. now: s since 1970; notes the use. */
struct br_access_token *br_access_find(struct br_access *access, const char *text, int64_t now);
void br_access_unref(struct br_access_token *t);
/* Whether it may still be used. NULL may: nobody's. */
bool br_access_valid(const struct br_access_token *t, int64_t now);

struct br_access_request {
	const char *name, *scope, *boards, *made_by; /* boards: "" for all */
	int64_t now, expires_at;		     /* s since 1970; expires_at 0: never */
};
/* Makes one; ret_text is its only copy. -EINVAL, -EEXIST with words. */
int br_access_make(struct br_access *access, const struct br_access_request *req, char ret_text[static BR_TOKEN_TEXT], struct br_error *err);
/* Uses of it end at once: who streams asks br_access_valid() and is woken by the caller. -ENOENT with words. */
int br_access_revoke(struct br_access *access, const char *name, struct br_error *err);
/* By no order; fn must not call us. */
void br_access_list(struct br_access *access, void (*fn)(void *ctx, const struct br_access_token *t), void *ctx);

/* "read", "operate", "admin" and back; 0: none of them. */
enum br_scope br_scope_parse(const char *text);
const char *br_scope_name(enum br_scope scope); /* "none" for BR_SCOPE_NONE */

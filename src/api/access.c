/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens in force. */
#include "api/access.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/text.h"
#include "fleet/selector.h"

#define TOKENS_MAX 1000
#define NOTE_S 60 /* a use is written down so often at most */

struct br_access {
	struct br_fleet *fleet;
	pthread_mutex_t lock; /* the list */
	struct br_access_token *tokens;
	unsigned n;
};

static const struct {
	enum br_scope scope;
	const char *name;
} scopes[] = {
	{ BR_SCOPE_NONE, "none" },
	{ BR_SCOPE_READ, "read" },
	{ BR_SCOPE_OPERATE, "operate" },
	{ BR_SCOPE_ADMIN, "admin" },
};

enum br_scope br_scope_parse(const char *text)
{
	for (size_t i = 1; i < BR_ARRAY_SIZE(scopes); i++)
		if (!strcmp(scopes[i].name, text))
			return scopes[i].scope;
	return BR_SCOPE_DEFAULT;
}

const char *br_scope_name(enum br_scope scope)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(scopes); i++)
		if (scopes[i].scope == scope)
			return scopes[i].name;
	return "none";
}

static int keep(void *ctx, const struct br_token *token)
{
	struct br_access *access = ctx;
	struct br_access_token *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->token = *token;
	t->scope = br_scope_parse(token->scope);
	atomic_init(&t->refs, 1);
	atomic_init(&t->used_at, token->used_at);
	atomic_init(&t->stored_at, token->used_at);
	DL_APPEND(access->tokens, t);
	access->n++;
	return 0;
}

int br_access_new(struct br_fleet *fleet, struct br_access **ret, struct br_error *err)
{
	struct br_access *access = calloc(1, sizeof(*access));
	int r;

	if (!access)
		return br_error_set(err, ENOMEM, "out of memory");
	access->fleet = fleet;
	pthread_mutex_init(&access->lock, NULL);
	r = br_token_list(fleet, keep, access);
	if (r < 0) {
		br_access_free(access);
		return br_error_set(err, -r, "tokens: cannot be read: %s", strerrordesc_np(-r));
	}
	*ret = access;
	return 0;
}

void br_access_unref(struct br_access_token *t)
{
	if (t && atomic_fetch_sub(&t->refs, 1) == 1)
		free(t);
}

void br_access_free(struct br_access *access)
{
	struct br_access_token *t, *next;

	if (!access)
		return;
	DL_FOREACH_SAFE(access->tokens, t, next) {
		DL_DELETE(access->tokens, t);
		br_access_unref(t);
	}
	pthread_mutex_destroy(&access->lock);
	free(access);
}

bool br_access_valid(const struct br_access_token *t, int64_t now)
{
	return !t || (!atomic_load(&t->revoked) && (!t->token.expires_at || now < t->token.expires_at));
}

struct br_access_token *br_access_find(struct br_access *access, const char *text, int64_t now)
{
	struct br_access_token *t, *found = NULL;
	uint8_t hash[32];
	bool note = false;

	br_sha256_once(text, strlen(text), hash);
	pthread_mutex_lock(&access->lock);
	DL_FOREACH(access->tokens, t) {
		if (memcmp(t->token.hash, hash, sizeof(hash)) != 0 || !br_access_valid(t, now))
			continue;
		found = t;
		atomic_fetch_add(&t->refs, 1);
		atomic_store(&t->used_at, now);
		note = now - atomic_load(&t->stored_at) >= NOTE_S;
		if (note)
			atomic_store(&t->stored_at, now);
		break;
	}
	pthread_mutex_unlock(&access->lock);
	/* when it was last used is for people; a failure shows in what matters */
	if (note)
		(void)br_token_used(access->fleet, found->token.name, now);
	return found;
}

static int check(const struct br_access_request *req, struct br_error *err)
{
	struct br_selector *sel = NULL;
	char vis[80];
	int r = 0;

	if (!br_token_name_ok(req->name))
		return br_error_set(err, EINVAL, "token '%s': a name is 1 to %d of A-Z, a-z, 0-9, '.', '_', '-' and begins with a letter or "
			"digit", br_vis(vis, sizeof(vis), req->name, strlen(req->name)), BR_TOKEN_NAME_MAX);
	if (!br_scope_parse(req->scope))
		return br_error_set(err, EINVAL, "scope '%s': it is one of read, operate and admin",
			br_vis(vis, sizeof(vis), req->scope, strlen(req->scope)));
	if (req->expires_at && req->expires_at <= req->now)
		return br_error_set(err, EINVAL, "token %s: it would have expired already", req->name);
	if (strlen(req->boards) >= sizeof(((struct br_token *)0)->boards))
		return br_error_set(err, EINVAL, "token %s: its boards are at most %zu bytes of text", req->name,
			sizeof(((struct br_token *)0)->boards) - 1);
	if (req->boards[0] && !strcmp(req->scope, "admin"))
		return br_error_set(err, EINVAL, "token %s: an admin's is for all boards", req->name);
	if (req->boards[0])
		r = br_selector_parse(req->boards, &sel, err);
	br_selector_free(sel);
	return r;
}

int br_access_make(struct br_access *access, const struct br_access_request *req, char ret_text[static BR_TOKEN_TEXT], struct br_error *err)
{
	struct br_token t = { .made_at = req->now, .expires_at = req->expires_at };
	size_t prefix = strlen(BR_TOKEN_PREFIX);
	char text[BR_TOKEN_TEXT] = BR_TOKEN_PREFIX;
	uint8_t bits[32];
	int r = check(req, err);

	if (r < 0)
		return r;
	br_random(bits, sizeof(bits));
	br_hex(text + prefix, bits, sizeof(bits));
	br_sha256_once(text, strlen(text), t.hash);
	br_strcpy(t.name, sizeof(t.name), req->name);
	br_strcpy(t.scope, sizeof(t.scope), req->scope);
	br_strcpy(t.boards, sizeof(t.boards), req->boards);
	br_strcpy(t.made_by, sizeof(t.made_by), req->made_by);
	pthread_mutex_lock(&access->lock);
	r = access->n < TOKENS_MAX ? br_token_add(access->fleet, &t, err) :
				     br_error_set(err, ENOSPC, "there are %d tokens; revoke some", TOKENS_MAX);
	if (!r)
		r = keep(access, &t);
	pthread_mutex_unlock(&access->lock);
	if (r >= 0)
		memcpy(ret_text, text, sizeof(text));
	return r;
}

int br_access_revoke(struct br_access *access, const char *name, struct br_error *err)
{
	struct br_access_token *t, *next;
	bool had = false;
	int r;

	pthread_mutex_lock(&access->lock);
	DL_FOREACH_SAFE(access->tokens, t, next) {
		if (strcmp(t->token.name, name) != 0)
			continue;
		had = true;
		atomic_store(&t->revoked, true);
		DL_DELETE(access->tokens, t);
		access->n--;
		br_access_unref(t);
	}
	/* a full disk must not keep a stolen token in force */
	r = br_token_remove(access->fleet, name, err);
	pthread_mutex_unlock(&access->lock);
	if (r < 0 && had)
		br_error_prefix(err, "token %s is revoked until the daemon's next start only; make room, then revoke it again", name);
	return r;
}

void br_access_list(struct br_access *access, void (*fn)(void *ctx, const struct br_access_token *t), void *ctx)
{
	struct br_access_token *t;

	pthread_mutex_lock(&access->lock);
	DL_FOREACH(access->tokens, t)
		fn(ctx, t);
	pthread_mutex_unlock(&access->lock);
}

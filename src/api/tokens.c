/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/tokens and /v1/whoami: who may do what here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/access.h"
#include "api/call.h"
#include "api/live.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

static int64_t now_s(void)
{
	return (int64_t)(br_wall_ns() / BR_S);
}

static json_t *time_json(int64_t s)
{
	return s ? br_api_time((uint64_t)s * BR_S) : json_null();
}

static void add_token(void *ctx, const struct br_access_token *t)
{
	const struct br_token *k = &t->token;

	json_array_append_new(ctx, json_pack("{s:s, s:s, s:s?, s:s, s:o, s:o, s:o, s:b}", "name", k->name, "scope", k->scope, "boards",
					   k->boards[0] ? k->boards : NULL, "made_by", k->made_by, "made_at", time_json(k->made_at),
					   "expires_at", time_json(k->expires_at), "used_at", time_json(atomic_load(&t->used_at)), "expired",
					   !br_access_valid(t, now_s())));
}

static int list(struct br_call *call, struct br_error *err)
{
	call->json = json_array();
	br_access_list(call->api->access, add_token, call->json);
	return 0;
}

static int text_field(const json_t *body, const char *key, const char *fallback, const char **ret, struct br_error *err)
{
	const json_t *v = json_object_get(body, key);

	*ret = json_is_null(v) || !v ? fallback : json_string_value(v);
	return *ret ? 0 : br_error_set(err, EINVAL, "field '%s': a string is needed", key);
}

static int check_fields(const json_t *body, struct br_error *err)
{
	static const char *const known[] = { "name", "scope", "boards", "expires_in" };
	const char *key;
	const json_t *value;
	char vis[60];

	json_object_foreach((json_t *)(uintptr_t)body, key, value) {
		bool is_known = false;

		for (size_t i = 0; i < BR_ARRAY_SIZE(known); i++)
			is_known |= !strcmp(key, known[i]);
		if (!is_known)
			return br_error_set(err, EINVAL, "field '%s' is unknown; a token has name, scope, boards and expires_in",
				br_vis(vis, sizeof(vis), key, strlen(key)));
	}
	return 0;
}

static int make(struct br_call *call, struct br_error *err)
{
	struct br_access_request req = { .now = now_s(), .made_by = call->who.name };
	char text[BR_TOKEN_TEXT];
	const char *expires = "";
	uint64_t ns = 0;
	int r = check_fields(call->body, err);

	if (r >= 0)
		r = text_field(call->body, "name", NULL, &req.name, err);
	if (r >= 0)
		r = text_field(call->body, "scope", "read", &req.scope, err);
	if (r >= 0)
		r = text_field(call->body, "boards", "", &req.boards, err);
	if (r >= 0)
		r = text_field(call->body, "expires_in", "", &expires, err);
	if (r >= 0 && expires[0] && (br_parse_duration(expires, &ns) < 0 || ns < BR_S))
		r = br_error_set(err, EINVAL, "field 'expires_in': a duration is needed, as 12h or 90d");
	if (r >= 0 && expires[0])
		req.expires_at = req.now + (int64_t)(ns / BR_S);
	if (r >= 0)
		r = br_access_make(call->api->access, &req, text, err);
	if (r < 0)
		return r;
	call->status = MHD_HTTP_CREATED;
	call->json = json_pack("{s:s, s:s, s:s, s:s?, s:o}", "token", text, "name", req.name, "scope", req.scope, "boards",
		req.boards[0] ? req.boards : NULL, "expires_at", time_json(req.expires_at));
	explicit_bzero(text, sizeof(text));
	return 0;
}

static int revoke_token(struct br_call *call, struct br_error *err)
{
	int r = br_access_revoke(call->api->access, call->name, err);

	if (call->api->feed)
		br_feed_wake(call->api->feed); /* its streams end now, also when only memory knows of it */
	if (r < 0)
		return r;
	call->json = json_pack("{s:s}", "revoked", call->name);
	return 0;
}

static int whoami(struct br_call *call, struct br_error *err)
{
	call->json = json_pack("{s:s, s:s, s:s?}", "who", call->who.name, "scope", br_scope_name(call->who.scope), "boards",
		call->who.boards[0] ? call->who.boards : NULL);
	return 0;
}

const struct br_route br_api_tokens[] = {
	{ "GET", "/v1/tokens", .run = list, .scope = BR_SCOPE_ADMIN, .summary = "Lists the tokens, without what they are", .gives = "tokens" },
	{ "POST", "/v1/tokens", true, .run = make, .scope = BR_SCOPE_ADMIN, .summary = "Makes a token; the answer is its only copy", .takes = "token-new" },
	{ "DELETE", "/v1/tokens/NAME", .run = revoke_token, .scope = BR_SCOPE_ADMIN, .summary = "Revokes a token; what it is used for ends at once" },
	{ "GET", "/v1/whoami", .run = whoami, .scope = BR_SCOPE_NONE, .summary = "Says who you are to the daemon", .gives = "whoami" },
	{ 0 },
};

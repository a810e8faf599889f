/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/shares: directories of the host that boards may mount as /share/NAME. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "fleet/event.h"
#include "plan/shares.h"

static const char *mode_of(const struct br_share *s)
{
	return s->read_only ? "ro" : "rw";
}

static json_t *share_json(const struct br_share *s, const char *problem)
{
	char owner[24], path[sizeof("/share/") + BR_SHARE_NAME_MAX], vis[BR_SHARE_DIR_MAX + 1];

	snprintf(owner, sizeof(owner), "%u:%u", s->uid, s->gid);
	snprintf(path, sizeof(path), "/share/%s", s->name);
	return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:s, s:s, s:s*}", "name", s->name, "path", path, "dir",
		br_vis(vis, sizeof(vis), s->dir, strlen(s->dir)), "mode", mode_of(s), "boards", s->boards[0] ? s->boards : NULL, "owner",
		owner, "origin", s->configured ? "config" : "set", "problem", problem);
}

static int add_row(void *ctx, const struct br_share *s, const char *problem)
{
	return json_array_append_new(ctx, share_json(s, problem)) < 0 ? -ENOMEM : 0;
}

static int list(struct br_call *call, struct br_error *err)
{
	call->json = json_array();
	return br_shares_list(call->api->shares, add_row, call->json);
}

/* A text of the body into a field. */
static int take_text(const char *key, const json_t *value, char *out, size_t size, struct br_error *err)
{
	const char *s = json_string_value(value);

	if (!s || br_strcpy(out, size, s) < 0)
		return br_error_set(err, EINVAL, "field '%s': a text of at most %zu bytes is needed", key, size - 1);
	return 0;
}

static int take_field(struct br_share *s, const char *key, const json_t *value, struct br_error *err)
{
	char mode[8] = "", owner[32] = "", vis[80];
	int r;

	if (!strcmp(key, "name"))
		return take_text(key, value, s->name, sizeof(s->name), err);
	if (!strcmp(key, "dir"))
		return take_text(key, value, s->dir, sizeof(s->dir), err);
	if (!strcmp(key, "boards"))
		return json_is_null(value) ? 0 : take_text(key, value, s->boards, sizeof(s->boards), err);
	if (!strcmp(key, "mode")) {
		r = take_text(key, value, mode, sizeof(mode), err);
		s->read_only = !strcmp(mode, "ro");
		return r < 0 || s->read_only || !strcmp(mode, "rw") ? r : br_error_set(err, EINVAL, "field 'mode': must be ro or rw");
	}
	if (!strcmp(key, "owner")) {
		r = take_text(key, value, owner, sizeof(owner), err);
		if (!r && br_parse_owner(owner, &s->uid, &s->gid) < 0)
			r = br_error_set(err, EINVAL, "field 'owner': must be UID:GID, as 1000:1000");
		return r;
	}
	return br_error_set(err, EINVAL, "field '%s' is unknown; a share has name, dir, mode, boards and owner",
		br_vis(vis, sizeof(vis), key, strlen(key)));
}

static int add(struct br_call *call, struct br_error *err)
{
	struct br_share s = { .read_only = true, .uid = BR_SHARE_OWNER, .gid = BR_SHARE_OWNER };
	const char *key;
	json_t *value;
	int r = 0;

	json_object_foreach(call->body, key, value)
		if (!r)
			r = take_field(&s, key, value, err);
	if (!r)
		r = br_shares_add(call->api->shares, &s, err);
	if (r < 0)
		return r;
	br_event_emit(call->api->fleet, 0, 0, BR_EV_SHARE_ADDED,
		json_pack("{s:s, s:s, s:s}", "share", s.name, "dir", s.dir, "mode", mode_of(&s)));
	call->json = share_json(&s, NULL);
	call->status = MHD_HTTP_CREATED;
	return 0;
}

static int remove_share(struct br_call *call, struct br_error *err)
{
	int r = br_shares_remove(call->api->shares, call->name, err);

	if (r < 0)
		return r;
	br_event_emit(call->api->fleet, 0, 0, BR_EV_SHARE_REMOVED, json_pack("{s:s}", "share", call->name));
	call->json = json_pack("{s:s}", "removed", call->name);
	return 0;
}

const struct br_route br_api_shares[] = {
	{ "GET", "/v1/shares", .run = list,
		.summary = "Lists the directories of the host that boards may mount" },
	{ "POST", "/v1/shares", true, .run = add, .scope = BR_SCOPE_ADMIN,
		.summary = "Shares a directory of the host" },
	{ "DELETE", "/v1/shares/NAME", .run = remove_share, .scope = BR_SCOPE_ADMIN,
		.summary = "Takes a share away" },
	{ 0 },
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Who may call what; and the audit event of each change: who, what, before, after. */
#include "api/rights.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/access.h"
#include "api/live.h"
#include "base/text.h"
#include "fleet/event.h"
#include "fleet/selector.h"

#define BOARD_PATH "/v1/boards/NAME"
#define NOTE_MAX 16384 /* bytes of a body in an audit event */

static bool is_get(const struct br_route *route)
{
	return !strcmp(route->method, "GET");
}

enum br_scope br_rights_scope(const struct br_route *route)
{
	if (route->scope)
		return route->scope;
	return is_get(route) ? BR_SCOPE_READ : BR_SCOPE_OPERATE;
}

static int lacks(const struct br_call *call, enum br_scope need, struct br_error *err)
{
	if (br_str_starts(call->who.name, "token:"))
		return br_error_set(err, EACCES, "%s may %s; this needs a token that may %s", call->who.name, br_scope_name(call->who.scope),
			br_scope_name(need));
	return br_error_set(err, ENOKEY, "this needs a token that may %s; 'bramble token new' on the server makes one", br_scope_name(need));
}

/* A token for some boards changes nothing else. */
static int check_boards(const struct br_call *call, const struct br_route *route, struct br_error *err)
{
	struct br_board board;

	if (!call->who.boards[0] || route->names_boards)
		return 0;
	if (!br_str_starts(route->path, BOARD_PATH))
		return br_error_set(err, EACCES, "%s may change the boards '%s', and nothing else", call->who.name, call->who.boards);
	if (br_board_by_name(call->api->fleet, call->name, &board) < 0)
		return 0; /* the route has the words */
	return br_call_may_change(call, &board, err);
}

int br_rights_check(const struct br_call *call, const struct br_route *route, const char *url, struct br_error *err)
{
	enum br_scope need = br_rights_scope(route);

	if (need > BR_SCOPE_NONE && call->who.scope < need)
		return lacks(call, need, err);
	return need >= BR_SCOPE_OPERATE ? check_boards(call, route, err) : 0;
}

int br_api_may_read(const struct br_call *call, struct br_error *err)
{
	return call->who.scope < BR_SCOPE_READ ? lacks(call, BR_SCOPE_READ, err) : 0;
}

int br_call_may_operate(const struct br_call *call, struct br_error *err)
{
	return call->who.scope < BR_SCOPE_OPERATE ? lacks(call, BR_SCOPE_OPERATE, err) : 0;
}

int br_call_may_change(const struct br_call *call, const struct br_board *board, struct br_error *err)
{
	struct br_selector_facts facts = { .image = board->image[0] ? board->image : NULL };
	struct br_selector *sel = NULL;
	bool fits;
	int r;

	if (!call->who.boards[0])
		return 0;
	r = br_selector_parse(call->who.boards, &sel, err);
	if (r < 0)
		return r;
	fits = br_selector_matches(sel, board, &facts);
	br_selector_free(sel);
	return fits ? 0 : br_error_set(err, EACCES, "board %s: %s may change the boards '%s' only", board->name, call->who.name, call->who.boards);
}

void br_call_change(struct br_call *call, json_t *before, json_t *after)
{
	json_decref(call->before);
	json_decref(call->after);
	call->before = before;
	call->after = after;
}

/* Never in a log. */
static bool is_secret(const char *key)
{
	static const char *const secrets[] = { "token", "password", "power", "console", "id" };

	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++)
		if (!strcmp(key, secrets[i]))
			return true;
	return false;
}

static enum MHD_Result add_param(void *ctx, enum MHD_ValueKind kind, const char *key, const char *value)
{
	char vis[300];

	json_object_set_new(ctx, key, json_string(is_secret(key) ? "(set)" : br_vis(vis, sizeof(vis), value ?: "", strlen(value ?: ""))));
	return MHD_YES;
}

/* The parameters of its path; their keys are those that the route knows. NULL: it has none. */
static json_t *query_of(const struct br_call *call)
{
	json_t *query = json_object();

	MHD_get_connection_values(call->connection, MHD_GET_ARGUMENT_KIND, add_param, query);
	if (json_object_size(query))
		return query;
	json_decref(query);
	return NULL;
}

/* What was asked for, without what must not stand in a log; a large one is left out. */
static json_t *asked(const struct br_call *call)
{
	json_t *copy = call->body ? json_copy(call->body) : NULL, *value;
	const char *key;
	size_t n;

	json_object_foreach(call->body, key, value)
		if (copy && is_secret(key))
			json_object_set_new(copy, key, json_string("(set)"));
	n = copy ? json_dumpb(copy, NULL, 0, JSON_COMPACT) : 0;
	if (copy && (n > NOTE_MAX || !json_object_size(copy))) {
		json_decref(copy);
		copy = NULL;
	}
	return copy;
}

void br_rights_note(struct br_call *call, const struct br_route *route, const char *url)
{
	struct br_board board = { 0 };
	char text[400], vis[300];
	json_t *fields;

	if (is_get(route) || route->unaudited)
		return;
	if (br_str_starts(route->path, BOARD_PATH) && br_board_by_name(call->api->fleet, call->name, &board) < 0)
		board.id = 0; /* it was removed just now, or is another's name */
	snprintf(text, sizeof(text), "%s %s", route->method, br_vis(vis, sizeof(vis), url, strlen(url)));
	fields = json_pack("{s:s, s:s, s:s, s:o*, s:o*, s:O*, s:O*}", "action", "change", "user", call->who.name, "text", text, "query",
		query_of(call), "asked", asked(call),
		"before", call->before, "after", call->after);
	br_event_emit(call->api->fleet, board.id, 0, BR_EV_AUDIT, fields);
	br_feed_board(call->api->feed, board.id);
}

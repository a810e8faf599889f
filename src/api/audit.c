/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/audit: what people did on this machine that cannot be undone, or against advice, into the timeline. */
#include <errno.h>
#include <string.h>

#include "api/call.h"
#include "base/text.h"
#include "fleet/event.h"

#define TEXT_MAX 1000

static const char *const known[] = { "action", "board", "serial", "user", "text" };

static int check(const json_t *body, struct br_error *err)
{
	const char *key;
	const json_t *value;
	char vis[60];

	json_object_foreach((json_t *)(uintptr_t)body, key, value) {
		bool is_known = false;

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			is_known |= !strcmp(key, known[i]);
		if (!is_known || !json_is_string(value) || json_string_length(value) > TEXT_MAX)
			return br_error_set(err, EINVAL, "field '%s': action, board, serial, user and text are texts of at most %d bytes",
				br_vis(vis, sizeof(vis), key, strlen(key)), TEXT_MAX);
	}
	return json_object_get(body, "action") && json_object_get(body, "text")
		       ? 0
		       : br_error_set(err, EINVAL, "fields 'action' and 'text' are needed");
}

/* The words are the caller's. Who he is, a token's holder does not say himself: what he says of it is "said_user". */
static json_t *fields_of(const struct br_call *call)
{
	json_t *copy = json_deep_copy(call->body), *said = json_object_get(copy, "user");

	if (said && call->who.scope >= BR_SCOPE_ADMIN)
		return copy;
	if (said)
		json_object_set(copy, "said_user", said);
	json_object_set_new(copy, "user", json_string(call->who.name));
	return copy;
}

static int add(struct br_call *call, struct br_error *err)
{
	const char *name = json_string_value(json_object_get(call->body, "board"));
	struct br_board board = { 0 };
	int r = check(call->body, err);

	if (r < 0)
		return r;
	if (name && br_board_by_name(call->api->fleet, name, &board) < 0)
		board.id = 0; /* the serial names it, too */
	br_event_emit(call->api->fleet, board.id, 0, BR_EV_AUDIT, fields_of(call));
	br_event_flush(call->api->fleet);
	call->json = json_pack("{s:b}", "logged", 1);
	return 0;
}

const struct br_route br_api_audit[] = {
	{ "POST", "/v1/audit", true, .run = add, .unaudited = true,
		.summary = "Notes what somebody did on the host" },
	{ 0 },
};

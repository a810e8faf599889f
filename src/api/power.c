/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/power and what of it is under a board: switching boards. */
#include "power/power.h"

#include <errno.h>
#include <string.h>

#include "api/call.h"

static int change(struct br_call *call, struct br_error *err)
{
	const char *action = json_string_value(json_object_get(call->body, "action"));
	struct br_board board;
	int r = br_call_board(call, &board, err);

	if (r < 0)
		return r;
	if (!action || strcmp(action, "reset") != 0)
		return br_error_set(err, EINVAL, "'action' must be \"reset\"");
	if (!call->api->power)
		return br_error_set(err, EOPNOTSUPP, "no power command is set: see power-command in bramble.conf(5)");
	r = call->api->power(call->api->power_ctx, &board, action, err);
	if (r < 0)
		return r;
	call->json = json_pack("{s:s, s:s}", "board", board.name, "action", action);
	return 0;
}

const struct br_route br_api_power[] = {
	{ "POST", "/v1/boards/NAME/power", true, .run = change,
		.summary = "Switches its power" },
	{ 0 },
};

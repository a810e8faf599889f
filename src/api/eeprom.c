/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/boards/NAME/eeprom: a bootloader update was laid out for a board; its record says so. */
#include <errno.h>
#include <string.h>

#include "api/call.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "fleet/event.h"

/* A text of the body of at most max bytes, none of them NUL. *ret NULL: not there. */
static int take(const struct br_call *call, const char *key, size_t max, const char **ret, struct br_error *err)
{
	const json_t *v = json_object_get(call->body, key);
	const char *s = json_string_value(v);

	if (v && !json_is_null(v) && (!s || strlen(s) != json_string_length(v) || strlen(s) > max))
		return br_error_set(err, EINVAL, "'%s' must be a text of at most %zu bytes", key, max);
	*ret = s;
	return 0;
}

static int check_fields(const json_t *body, struct br_error *err)
{
	static const char *const known[] = { "sha256", "chip", "build_time", "forced" };
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)body, key, v) {
		bool found = false;
		char vis[60];

		for (size_t i = 0; i < BR_ARRAY_SIZE(known); i++)
			found |= !strcmp(known[i], key);
		if (!found)
			return br_error_set(err, EINVAL, "unknown field '%s'", br_vis(vis, sizeof(vis), key, strlen(key)));
	}
	return 0;
}

static int update(struct br_call *call, struct br_error *err)
{
	const char *sha256 = NULL, *chip = NULL, *forced = NULL;
	const json_t *time = json_object_get(call->body, "build_time");
	struct br_board board;
	uint8_t sum[32];
	int r = br_call_board(call, &board, err);

	if (!r)
		r = check_fields(call->body, err);
	if (!r)
		r = take(call, "sha256", 64, &sha256, err);
	if (!r)
		r = take(call, "chip", 16, &chip, err);
	if (!r)
		r = take(call, "forced", 4000, &forced, err);
	if (r < 0)
		return r;
	if (!sha256 || br_unhex(sum, sizeof(sum), sha256) < 0 || !chip || !json_is_integer(time))
		return br_error_set(err, EINVAL, "'sha256' (64 digits), 'chip' and 'build_time' (seconds) are needed");
	br_event_emit(call->api->fleet, board.id, 0, BR_EV_EEPROM_UPDATE,
		json_pack("{s:s, s:s, s:I, s:s*}", "sha256", sha256, "chip", chip, "build_time", json_integer_value(time), "forced", forced));
	call->json = json_object();
	return call->json ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

const struct br_route br_api_eeprom[] = {
	{ .method = "POST", .path = "/v1/boards/NAME/eeprom", .body = true, .run = update,
		.summary = "Notes that a bootloader update was laid out for it" },
	{ 0 },
};

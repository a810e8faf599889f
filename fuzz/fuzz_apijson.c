/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of PATCH and POST /v1/boards: any bytes, to a board and back. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "api/boardjson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every text ends within its field. */
static void check_texts(const struct br_board *b)
{
	if (strnlen(b->name, sizeof(b->name)) == sizeof(b->name) ||
		strnlen(b->model, sizeof(b->model)) == sizeof(b->model) ||
		strnlen(b->image, sizeof(b->image)) == sizeof(b->image) ||
		strnlen(b->disk, sizeof(b->disk)) == sizeof(b->disk) ||
		strnlen(b->road, sizeof(b->road)) == sizeof(b->road) ||
		strnlen(b->notes, sizeof(b->notes)) == sizeof(b->notes))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct br_board zero = { 0 }, a = { 0 }, b = { 0 };
	json_t *body = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL), *changes;

	if (!json_is_object(body)) {
		json_decref(body);
		return 0;
	}
	/* all boards here begin as zeroes, padding included: NOLINTBEGIN(bugprone-suspicious-memory-comparison) */
	if (br_board_apply_json(&a, body, NULL) < 0) {
		if (memcmp(&a, &zero, sizeof(a)))
			abort(); /* a refused body leaves the board as it was */
	} else {
		check_texts(&a);
		/* what it says of itself makes the same board */
		changes = br_board_json_changes(&zero, &a);
		if (br_board_apply_json(&b, changes, NULL) < 0 || memcmp(&a, &b, sizeof(a)))
			abort();
		json_decref(changes);
		json_decref(br_board_to_json(&a));
	}
	/* NOLINTEND(bugprone-suspicious-memory-comparison) */
	json_decref(body);
	return 0;
}

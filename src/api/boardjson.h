/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "fleet/fleet.h"

/* A board as JSON: name, model, serial (hex), revision (hex), mac, image, disk, road, notes, adopted_at,
 * seen_at; what is not known or left to the default is null. NULL when memory is out. */
json_t *br_board_to_json(const struct br_board *board);

/*
 * Applies the fields of an object (name, mac, serial, model, image, disk, road, notes; null: back to the default,
 * or not known) to a board: -EINVAL with words for unknown fields, wrong types, lengths and forms; the board is
 * then untouched. What a value means in the fleet is checked by br_board_save().
 */
int br_board_apply_json(struct br_board *board, const json_t *fields, struct br_error *err);

/* 1 to 16 hexadecimal digits, "0x" before them or not; -EINVAL. */
int br_board_serial_parse(const char *s, uint64_t *ret);

/* Those of the editable fields that differ, with the values of b. */
json_t *br_board_json_changes(const struct br_board *a, const struct br_board *b);

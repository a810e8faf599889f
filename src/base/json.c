/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

void br_json_set_bytes(json_t *obj, const char *key, const char *s)
{
	json_t *text = json_string(s);
	struct br_text vis = BR_TEXT_NULL;
	br_cleanup(br_freep) char *hex = NULL;
	char hex_key[32];
	size_t n = strlen(s);

	if (text) {
		json_object_set_new(obj, key, text);
		return;
	}
	br_text_add_vis(&vis, s, n);
	hex = malloc(2 * n + 1);
	if (hex && vis.buf) {
		br_hex(hex, s, n);
		snprintf(hex_key, sizeof(hex_key), "%s_hex", key);
		json_object_set_new(obj, key, json_string(vis.buf));
		json_object_set_new(obj, hex_key, json_string(hex));
	}
	br_text_done(&vis);
}

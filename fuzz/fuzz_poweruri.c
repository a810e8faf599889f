/* SPDX-License-Identifier: Apache-2.0 */
/* Power URIs, and what plugs answer: the first byte says which. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "power/answer.h"
#include "power/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void uri(const char *text)
{
	char device[BR_POWER_DEVICE_MAX], shown[1100];
	struct br_power_uri u;

	br_power_uri_public(shown, sizeof(shown), text);
	if (!br_power_uri_parse(text, &u, NULL)) {
		br_power_uri_device(device, &u);
		if (u.password[0] && strlen(u.password) > 3 && strstr(device, u.password) && !strstr(u.host, u.password) && !strstr(u.pdu, u.password))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum br_power_state state;
	char detail[160], *text;
	json_t *json;

	if (!size)
		return 0;
	text = calloc(1, size);
	if (!text)
		return 0;
	memcpy(text, data + 1, size - 1);
	if (data[0] & 1) {
		uri(text);
	} else {
		br_power_answer_plain(text, size - 1, &state);
		json = json_loadb(text, size - 1, 0, NULL);
		if (json) {
			br_power_answer_tasmota(json, "1", &state, NULL);
			br_power_answer_shelly_generation(json, NULL);
			br_power_answer_shelly(json, 1, &state, detail, sizeof(detail), NULL);
			br_power_answer_shelly(json, 2, &state, detail, sizeof(detail), NULL);
			json_decref(json);
		}
	}
	free(text);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding what plugs answer. */
#include "power/answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/text.h"

/* A word for on or off. */
static bool word_state(const char *s, size_t n, enum br_power_state *ret)
{
	static const struct {
		const char *word;
		enum br_power_state state;
	} words[] = {
		{ "on", BR_POWER_IS_ON }, { "1", BR_POWER_IS_ON }, { "true", BR_POWER_IS_ON }, { "off", BR_POWER_IS_OFF },
		{ "0", BR_POWER_IS_OFF }, { "false", BR_POWER_IS_OFF },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(words); i++)
		if (strlen(words[i].word) == n && !strncasecmp(words[i].word, s, n)) {
			*ret = words[i].state;
			return true;
		}
	return false;
}

static bool json_state(const json_t *v, enum br_power_state *ret)
{
	if (json_is_boolean(v)) {
		*ret = json_is_true(v) ? BR_POWER_IS_ON : BR_POWER_IS_OFF;
		return true;
	}
	if (json_is_integer(v) && (json_integer_value(v) == 0 || json_integer_value(v) == 1)) {
		*ret = json_integer_value(v) ? BR_POWER_IS_ON : BR_POWER_IS_OFF;
		return true;
	}
	return json_is_string(v) && word_state(json_string_value(v), strlen(json_string_value(v)), ret);
}

/* The answer, short, for the words about it. */
static const char *shown(const json_t *answer, char out[static 120])
{
	br_cleanup(br_freep) char *text = json_dumps(answer, JSON_COMPACT);

	return br_vis(out, 120, text ?: "", text ? strlen(text) : 0);
}

int br_power_answer_tasmota(const json_t *answer, const char *outlet, enum br_power_state *ret, struct br_error *err)
{
	char key[80], vis[120];
	const json_t *v;

	snprintf(key, sizeof(key), "POWER%s", outlet);
	v = json_object_get(answer, key);
	if (!v && !strcmp(outlet, "1"))
		v = json_object_get(answer, "POWER"); /* it has but one */
	if (!json_is_string(v) || !json_state(v, ret))
		return br_error_set(err, EPROTO, "the device answered nothing about outlet %s: %s", outlet, shown(answer, vis));
	return 0;
}

int br_power_answer_shelly_generation(const json_t *about, struct br_error *err)
{
	const json_t *gen = json_object_get(about, "gen");
	char vis[120];

	if (json_is_integer(gen) && json_integer_value(gen) >= 2 && json_integer_value(gen) < 100)
		return (int)json_integer_value(gen);
	if (!gen && json_is_string(json_object_get(about, "type")))
		return 1;
	return br_error_set(err, EPROTO, "/shelly was not answered as a Shelly does: %s", shown(about, vis));
}

int br_power_answer_shelly(const json_t *answer, int generation, enum br_power_state *ret, char *detail, size_t size,
	struct br_error *err)
{
	const json_t *v = json_object_get(answer, generation == 1 ? "ison" : "output");
	const json_t *watts = json_object_get(answer, "apower");
	char vis[120];

	if (!json_is_boolean(v))
		return br_error_set(err, EPROTO, "the Shelly did not tell its state: %s", shown(answer, vis));
	json_state(v, ret);
	detail[0] = 0;
	if (json_is_number(watts) && json_number_value(watts) >= 0 && json_number_value(watts) < 1e5)
		snprintf(detail, size, "%.1f W", json_number_value(watts));
	return 0;
}

bool br_power_answer_plain(const char *text, size_t n, enum br_power_state *ret)
{
	static const char *const keys[] = { "power", "POWER", "state", "status", "on", "ison", "output" };
	br_cleanup(json_decrefp) json_t *json = json_loadb(text, n, 0, NULL);

	for (size_t i = 0; json_is_object(json) && i < BR_ARRAY_SIZE(keys); i++)
		if (json_state(json_object_get(json, keys[i]), ret))
			return true;
	if (json)
		return false;
	while (n && strchr(" \t\r\n", text[n - 1]))
		n--;
	while (n && strchr(" \t\r\n", *text)) {
		text++;
		n--;
	}
	return word_state(text, n, ret);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What a hook is told to do, and what it is to say. */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "daemon/hooks.h"

#define WORDS_MAX 32

static const char *set_timeout(struct br_hook *hook, const char *value)
{
	uint64_t ns;

	if (br_parse_duration(value, &ns) < 0 || ns < 100 * BR_MS || ns > 300 * BR_S)
		return "must be a duration from 100ms to 5m";
	hook->timeout_ns = ns;
	return NULL;
}

const char *br_hook_set(struct br_hook *hook, const char *name, const char *value, int *ret)
{
	const struct {
		const char *name;
		char *at;
		size_t size;
	} texts[] = {
		{ "on", hook->on, sizeof(hook->on) },
		{ "url", hook->url, sizeof(hook->url) },
		{ "exec", hook->exec, sizeof(hook->exec) },
		{ "secret", hook->secret, sizeof(hook->secret) },
	};

	*ret = 0;
	for (size_t i = 0; i < BR_ARRAY_SIZE(texts); i++)
		if (!strcmp(texts[i].name, name))
			return br_strcpy(texts[i].at, texts[i].size, value) < 0 || !value[0] ? "must be a text, and not that long" : NULL;
	if (!strcmp(name, "timeout"))
		return set_timeout(hook, value);
	*ret = -ENOENT;
	return NULL;
}

const char *br_hook_check(const struct br_hook *hook)
{
	if (!hook->on[0])
		return "has no 'on': types of events, as board.up,flash.*";
	if (!hook->url[0] == !hook->exec[0])
		return "needs either 'url' or 'exec'";
	if (hook->url[0] && !br_str_starts(hook->url, "http://") && !br_str_starts(hook->url, "https://"))
		return "has a 'url' that begins neither with http:// nor with https://";
	if (hook->exec[0] && hook->exec[0] != '/')
		return "has an 'exec' that does not begin with the full path of a program";
	return NULL;
}

bool br_hook_wants(const struct br_hook *hook, const char *type)
{
	const char *s = hook->on;

	while (*(s += strspn(s, ", \t"))) {
		size_t n = strcspn(s, ", \t");
		bool wild = s[n - 1] == '*';

		if (wild ? !strncmp(type, s, n - 1) : strlen(type) == n && !strncmp(type, s, n))
			return true;
		s += n;
	}
	return false;
}

void br_hook_sign(const char *secret, int64_t time_s, const char *body, char out[static BR_HOOK_SIGNATURE])
{
	br_cleanup(br_freep) char *text = br_asprintf("%lld.%s", (long long)time_s, body);
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	strcpy(out, "sha256=");
	if (text && HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)text, strlen(text), mac, &n) && n == 32)
		br_hex(out + strlen(out), mac, n);
}

/* The value of {NAME}; NULL: it is none. buf is for numbers. */
static const char *value_of(const json_t *event, const char *text, const char *name, size_t n, char buf[static 24])
{
	static const char *const keys[] = { "type", "board", "boot", "seq" };

	if (n == 5 && !strncmp(name, "event", n))
		return text;
	for (size_t i = 0; i < BR_ARRAY_SIZE(keys); i++) {
		const json_t *v = json_object_get(event, keys[i]);

		if (strlen(keys[i]) != n || strncmp(keys[i], name, n) != 0)
			continue;
		snprintf(buf, 24, "%lld", (long long)json_integer_value(v));
		return json_is_string(v) ? json_string_value(v) : json_is_integer(v) ? buf : "";
	}
	return NULL;
}

static char *expand(const char *s, size_t n, const json_t *event, const char *text)
{
	struct br_text t = BR_TEXT_NULL;

	br_text_add(&t, "");
	for (size_t i = 0; i < n;) {
		const char *close = s[i] == '{' ? memchr(s + i, '}', n - i) : NULL;
		char buf[24];
		const char *v = close ? value_of(event, text, s + i + 1, (size_t)(close - s) - i - 1, buf) : NULL;

		if (v) {
			br_text_add(&t, v);
			i = (size_t)(close - s) + 1;
		} else {
			br_text_add_bytes(&t, s + i++, 1);
		}
	}
	return br_text_take(&t);
}

char **br_hook_words(const struct br_hook *hook, const char *event)
{
	json_t *json = json_loads(event, 0, NULL);
	char **words = calloc(WORDS_MAX + 1, sizeof(words[0]));
	size_t n = 0;

	for (const char *s = hook->exec + strspn(hook->exec, " \t"); words && *s && n < WORDS_MAX; s += strspn(s, " \t")) {
		size_t len = strcspn(s, " \t");

		words[n] = expand(s, len, json, event);
		if (!words[n]) {
			br_hook_words_free(words);
			words = NULL;
			break;
		}
		n++;
		s += len;
	}
	json_decref(json);
	return words;
}

void br_hook_words_free(char **words)
{
	for (size_t i = 0; words && words[i]; i++)
		free(words[i]);
	free(words);
}

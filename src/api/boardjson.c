/* SPDX-License-Identifier: Apache-2.0 */
/* Boards to JSON and back. */
#include "api/boardjson.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "api/call.h"
#include "pi/identity.h"
#include "power/uri.h"
#include "plan/persist.h"

static int set_mac(struct br_board *b, const char *s, struct br_error *err)
{
	struct br_mac mac = { 0 };
	char vis[60];

	if (s[0] && br_mac_parse(s, &mac) < 0)
		return br_error_set(err, EINVAL, "'%s' is no MAC; it looks like b8:27:eb:01:02:03",
			br_vis(vis, sizeof(vis), s, strlen(s)));
	b->mac = mac;
	return 0;
}

int br_board_serial_parse(const char *s, uint64_t *ret)
{
	const char *digits = br_str_starts(s, "0x") ? s + 2 : s;
	size_t n = strlen(digits);

	if (!n || n > 16 || strspn(digits, "0123456789abcdefABCDEF") != n)
		return -EINVAL;
	*ret = strtoull(digits, NULL, 16);
	return 0;
}

static int set_serial(struct br_board *b, const char *s, struct br_error *err)
{
	uint64_t serial;
	char vis[60];

	if (!s[0]) {
		b->serial = 0;
		b->serial_known = false;
		return 0;
	}
	if (br_board_serial_parse(s, &serial) < 0)
		return br_error_set(err, EINVAL, "'%s' is no serial; it looks like 10000000a1b2c3d4 or a1b2c3d4",
			br_vis(vis, sizeof(vis), s, strlen(s)));
	b->serial = serial;
	b->serial_known = true;
	return 0;
}

static int set_model(struct br_board *b, const char *s, struct br_error *err)
{
	const struct br_pi_model *model = s[0] ? br_pi_model_by_id(s) : NULL;
	char vis[60];

	if (s[0] && !model)
		return br_error_set(err, EINVAL, "'%s' is no model; one is, for example, 3B+, 4B or 5",
			br_vis(vis, sizeof(vis), s, strlen(s)));
	return br_strcpy(b->model, sizeof(b->model), model ? model->id : "");
}

static int set_address(struct br_board *b, const char *s, struct br_error *err)
{
	char vis[60];
	uint32_t ip = 0;

	if (s[0] && (br_ip_parse(s, &ip) < 0 || !ip))
		return br_error_set(err, EINVAL, "'%s' is no IPv4 address",
			br_vis(vis, sizeof(vis), s, strlen(s)));
	b->address = ip;
	return 0;
}

static int set_disk_size(struct br_board *b, const char *s, struct br_error *err)
{
	char vis[60];
	uint64_t size = 0;

	if (s[0] && (br_parse_size(s, &size) < 0 || size < 1 << 20))
		return br_error_set(err, EINVAL, "'%s' is no size of a disk; one is, for example, 16G",
			br_vis(vis, sizeof(vis), s, strlen(s)));
	b->disk_size = size;
	return 0;
}

static int set_persist(struct br_board *b, const char *s, struct br_error *err)
{
	char vis[60], text[sizeof(b->persist)] = "";
	uint64_t size = 0;

	if (s[0] && br_persist_parse(s, &size) < 0)
		return br_error_set(err, EINVAL, "'%s' is none of off, on (1G) or a size from 16M to 16T",
			br_vis(vis, sizeof(vis), s, strlen(s)));
	if (s[0] && size)
		snprintf(text, sizeof(text), "%" PRIu64, size);
	else if (s[0])
		strcpy(text, "off");
	memcpy(b->persist, text, sizeof(text)); /* the whole of it: boards compare as bytes */
	return 0;
}

static json_t *text_or_null(const char *s)
{
	return s[0] ? json_string(s) : json_null();
}

static json_t *get_mac(const struct br_board *b)
{
	char text[BR_MAC_TEXT];

	return br_mac_is_zero(b->mac) ? json_null() : json_string(br_mac_format(text, b->mac));
}

static json_t *get_serial(const struct br_board *b)
{
	char text[17];

	if (!b->serial_known)
		return json_null();
	snprintf(text, sizeof(text), b->serial >> 32 ? "%016" PRIx64 : "%08" PRIx64, b->serial);
	return json_string(text);
}

static json_t *get_address(const struct br_board *b)
{
	char text[BR_IP_TEXT];

	return b->address ? json_string(br_ip_format(text, b->address)) : json_null();
}

static json_t *get_disk_size(const struct br_board *b)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRIu64, b->disk_size);
	return b->disk_size ? json_string(text) : json_null();
}

/* What people may set. Plain text is at an offset; the others have functions. */
static int set_power(struct br_board *b, const char *s, struct br_error *err)
{
	int r = br_power_uri_ok(s, err);

	if (r < 0)
		return r;
	return br_strcpy(b->power, sizeof(b->power), s) < 0 ? br_error_set(err, EINVAL, "field 'power' is too long") : 0;
}

static json_t *get_power(const struct br_board *b)
{
	char shown[sizeof(b->power) * 4];

	return b->power[0] ? json_string(br_power_uri_public(shown, sizeof(shown), b->power)) : json_null();
}

static const struct field {
	const char *key;
	size_t at, size;
	int (*set)(struct br_board *b, const char *s, struct br_error *err);
	json_t *(*get)(const struct br_board *b);
} fields[] = {
#define TEXT(f) { #f, offsetof(struct br_board, f), sizeof(((struct br_board *)0)->f), NULL, NULL }
	TEXT(name),
	{ "model", offsetof(struct br_board, model), sizeof(((struct br_board *)0)->model), set_model, NULL },
	{ "serial", 0, 0, set_serial, get_serial },
	{ "mac", 0, 0, set_mac, get_mac },
	TEXT(image),
	TEXT(disk),
	TEXT(road),
	TEXT(notes),
	TEXT(tags),
	{ "power", 0, 0, set_power, get_power }, /* shown without its secrets */
	TEXT(console),
	{ "signed", offsetof(struct br_board, signed_key), sizeof(((struct br_board *)0)->signed_key), NULL, NULL },
	{ "fixed_address", 0, 0, set_address, get_address }, /* "address" is the one it has now */
	{ "persist", offsetof(struct br_board, persist), 0, set_persist, NULL }, /* "off" or bytes as text; set takes units */
	{ "disk_size", 0, 0, set_disk_size, get_disk_size }, /* bytes, as text; set takes units */
#undef TEXT
};

static const struct field *find(const char *key)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(fields); i++) {
		if (!strcmp(fields[i].key, key))
			return &fields[i];
	}
	return NULL;
}

static json_t *get(const struct field *f, const struct br_board *b)
{
	return f->get ? f->get(b) : text_or_null((const char *)b + f->at);
}

json_t *br_board_to_json(const struct br_board *b)
{
	json_t *json = json_object();
	char revision[12];

	for (size_t i = 0; i < BR_ARRAY_SIZE(fields); i++)
		json_object_set_new(json, fields[i].key, get(&fields[i], b));
	snprintf(revision, sizeof(revision), "%06x", b->revision);
	json_object_set_new(json, "revision", b->revision ? json_string(revision) : json_null());
	json_object_set_new(json, "adopted_at", br_api_time((uint64_t)b->adopted_at * BR_S));
	json_object_set_new(json, "seen_at", br_api_time((uint64_t)b->seen_at * BR_S));
	return json;
}

static int apply_one(struct br_board *b, const char *key, const json_t *value, struct br_error *err)
{
	const struct field *f = find(key);
	const char *s = json_is_null(value) ? "" : json_string_value(value);
	char vis[60];

	if (!f)
		return br_error_set(err, EINVAL, "field '%s' is unknown; a board has name, model, serial, mac, image, "
						 "disk, disk_size, persist, road, notes, tags, power, console, signed and fixed_address",
			br_vis(vis, sizeof(vis), key, strlen(key)));
	if (!s)
		return br_error_set(err, EINVAL, "field '%s': a string or null is needed", f->key);
	if (f->set) {
		int r = f->set(b, s, err);

		return r < 0 ? br_error_prefix(err, "field '%s'", f->key) : 0;
	}
	if (strlen(s) >= f->size)
		return br_error_set(err, EINVAL, "field '%s': at most %zu bytes fit", f->key, f->size - 1);
	/* the whole of the field, so that boards compare as bytes */
	strncpy((char *)b + f->at, s, f->size);
	return 0;
}

int br_board_apply_json(struct br_board *board, const json_t *obj, struct br_error *err)
{
	struct br_board b = *board;
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)obj, key, value) {
		int r = apply_one(&b, key, value, err);

		if (r < 0)
			return r;
	}
	*board = b;
	return 0;
}

json_t *br_board_json_changes(const struct br_board *a, const struct br_board *b)
{
	json_t *json = json_object();

	for (size_t i = 0; i < BR_ARRAY_SIZE(fields); i++) {
		json_t *old = get(&fields[i], a), *now = get(&fields[i], b);

		if (!json_equal(old, now))
			json_object_set(json, fields[i].key, now);
		json_decref(old);
		json_decref(now);
	}
	return json;
}

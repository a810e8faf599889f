/* SPDX-License-Identifier: Apache-2.0 */
/* bootconf.txt: its lines, sections and values. */
#include "pi/bootconf.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void trim(const char **p, size_t *len)
{
	while (*len && is_blank(**p)) {
		(*p)++;
		(*len)--;
	}
	while (*len && is_blank((*p)[*len - 1]))
		(*len)--;
}

void br_bootconf_start(struct br_bootconf_reader *reader, const char *text, size_t len)
{
	*reader = (struct br_bootconf_reader){ .p = text, .end = len ? text + len : text, .section = "" };
}

static bool is_name(const char *p, size_t len, const char *name)
{
	return strlen(name) == len && !strncasecmp(p, name, len);
}

static void classify(struct br_bootconf_line *line)
{
	const char *p = line->start, *equals;
	size_t len = line->len;

	trim(&p, &len);
	if (!len) {
		line->kind = BR_BOOTCONF_BLANK;
		return;
	}
	if (p[0] == '#') {
		line->kind = BR_BOOTCONF_COMMENT;
		return;
	}
	if (p[0] == '[' && p[len - 1] == ']' && len > 1) {
		line->kind = BR_BOOTCONF_SECTION;
		line->name = p + 1;
		line->name_len = len - 2;
		trim(&line->name, &line->name_len);
		return;
	}
	equals = memchr(p, '=', len);
	if (!equals || equals == p || p[0] == '[') {
		line->kind = BR_BOOTCONF_JUNK;
		return;
	}
	line->kind = BR_BOOTCONF_PROPERTY;
	line->name = p;
	line->name_len = (size_t)(equals - p);
	trim(&line->name, &line->name_len);
	line->value = equals + 1;
	line->value_len = len - (size_t)(equals + 1 - p);
	trim(&line->value, &line->value_len);
}

bool br_bootconf_next(struct br_bootconf_reader *reader, struct br_bootconf_line *ret)
{
	const char *newline;

	if (reader->p >= reader->end)
		return false;
	newline = memchr(reader->p, '\n', (size_t)(reader->end - reader->p));
	*ret = (struct br_bootconf_line){ .number = ++reader->number, .start = reader->p };
	ret->len = (size_t)((newline ? newline : reader->end) - reader->p);
	ret->full = ret->len + (newline ? 1 : 0);
	if (ret->len && reader->p[ret->len - 1] == '\r')
		ret->len--;
	classify(ret);
	if (ret->kind == BR_BOOTCONF_SECTION) {
		reader->section = ret->name;
		reader->section_len = ret->name_len;
		reader->tail |= is_name(ret->name, ret->name_len, BR_BOOTCONF_TAIL);
	}
	ret->section = reader->section;
	ret->section_len = reader->section_len;
	ret->tail = reader->tail;
	reader->p += ret->full;
	return true;
}

bool br_bootconf_in(const struct br_bootconf_line *line, const char *section)
{
	const char *wanted = section && section[0] ? section : "all";

	if (line->tail && strcasecmp(wanted, BR_BOOTCONF_TAIL) != 0)
		return false;
	return is_name(line->section, line->section_len, wanted) || (!line->section_len && !strcasecmp(wanted, "all"));
}

static const char *last_value(const char *text, size_t len, const char *section, bool all_too, const char *key, size_t *ret_len)
{
	struct br_bootconf_reader reader;
	struct br_bootconf_line line;
	const char *value = NULL;

	br_bootconf_start(&reader, text, len);
	while (br_bootconf_next(&reader, &line)) {
		if (line.kind != BR_BOOTCONF_PROPERTY || line.name_len != strlen(key) || memcmp(line.name, key, line.name_len) != 0)
			continue;
		if (!br_bootconf_in(&line, section) && !(all_too && br_bootconf_in(&line, NULL)))
			continue;
		value = line.value;
		*ret_len = line.value_len;
	}
	return value;
}

const char *br_bootconf_get(const char *text, size_t len, const char *section, const char *key, size_t *ret_len)
{
	return last_value(text, len, section, false, key, ret_len);
}

const char *br_bootconf_effective(const char *text, size_t len, const char *section, const char *key, size_t *ret_len)
{
	return last_value(text, len, section, true, key, ret_len);
}

int br_bootconf_number(const char *value, size_t len, int64_t *ret)
{
	bool minus = len && value[0] == '-';
	bool hex;
	int64_t n = 0;
	size_t i = minus;

	hex = len - i > 2 && value[i] == '0' && (value[i + 1] | 0x20) == 'x';
	if (hex)
		i += 2;
	if (i >= len || len - i > 12)
		return -EINVAL;
	for (; i < len; i++) {
		char c = value[i], low = (char)(c | 0x20);

		if (c >= '0' && c <= '9')
			n = n * (hex ? 16 : 10) + (c - '0');
		else if (hex && low >= 'a' && low <= 'f')
			n = n * 16 + (low - 'a' + 10);
		else
			return -EINVAL;
	}
	*ret = minus ? -n : n;
	return 0;
}

bool br_bootconf_may_hold(const char *section, enum br_soc soc)
{
	static const struct {
		const char *prefix;
		enum br_soc soc;
	} models[] = { { "pi4", BR_SOC_BCM2711 }, { "cm4", BR_SOC_BCM2711 }, { "pi5", BR_SOC_BCM2712 }, { "cm5", BR_SOC_BCM2712 },
		{ "pi0", BR_SOC_BCM2835 }, { "pi1", BR_SOC_BCM2835 }, { "pi2", BR_SOC_BCM2836 }, { "pi3", BR_SOC_BCM2837 },
		{ "cm1", BR_SOC_BCM2835 }, { "cm3", BR_SOC_BCM2837 }, { "cm0", BR_SOC_BCM2837 } };

	if (!strcasecmp(section, "none"))
		return false;
	for (size_t i = 0; soc && i < BR_ARRAY_SIZE(models); i++) {
		if (!strncasecmp(section, models[i].prefix, 3))
			return models[i].soc == soc;
	}
	return true;
}

void br_bootconf_values(struct br_bootconf_values *v, const char *text, size_t len, enum br_soc soc, const char *key)
{
	*v = (struct br_bootconf_values){ .text = text, .key = key, .soc = soc };
	v->len = !text ? 0 : len < BR_BOOTCONF_READ ? len : BR_BOOTCONF_READ;
	br_bootconf_start(&v->reader, text, v->len);
}

bool br_bootconf_next_value(struct br_bootconf_values *v, const char **ret, size_t *ret_len)
{
	char section[BR_BOOTCONF_NAME_MAX + 1];
	struct br_bootconf_line line;

	while (v->text && br_bootconf_next(&v->reader, &line)) {
		if (line.kind != BR_BOOTCONF_PROPERTY || line.tail || line.section_len > BR_BOOTCONF_NAME_MAX ||
			line.name_len != strlen(v->key) || memcmp(line.name, v->key, line.name_len) != 0)
			continue;
		memcpy(section, line.section, line.section_len);
		section[line.section_len] = '\0';
		/* only where no later line says otherwise to the same boards */
		if (!br_bootconf_may_hold(section, v->soc) || br_bootconf_effective(v->text, v->len, section, v->key, ret_len) != line.value)
			continue;
		*ret = line.value;
		*ret_len = line.value_len;
		return true;
	}
	return false;
}

bool br_bootconf_says(const char *text, size_t len, enum br_soc soc, const char *key, int64_t number)
{
	struct br_bootconf_values values;
	const char *value;
	size_t n = 0;
	int64_t is;

	br_bootconf_values(&values, text, len, soc, key);
	while (br_bootconf_next_value(&values, &value, &n)) {
		if (br_bootconf_number(value, n, &is) == 0 && is == number)
			return true;
	}
	return false;
}

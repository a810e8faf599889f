/* SPDX-License-Identifier: Apache-2.0 */
/* One property of bootconf.txt changed, every other byte kept. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "pi/bootconf.h"

/* What the text has of the place to change. Offsets; all of it found in one pass. */
struct place {
	bool has_line, has_block, has_tail;
	size_t value, value_len; /* of the line that counts */
	size_t block_end;	 /* behind the last line of the section's last block that is not blank */
	size_t tail;		 /* where [config.txt] begins */
	const char *eol;
};

static bool is_key(const char *s)
{
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.");

	return n && !s[n] && n <= BR_BOOTCONF_NAME_MAX;
}

static bool is_printable(const char *s, const char *without)
{
	for (; *s; s++) {
		if ((unsigned char)*s < ' ' || (unsigned char)*s > 0x7e || strchr(without, *s))
			return false;
	}
	return true;
}

static int check_words(const char *section, const char *key, const char *value, struct br_error *err)
{
	char vis[100];

	if (!is_key(key))
		return br_error_set(err, EINVAL, "'%s' is no name of a property", br_vis(vis, sizeof(vis), key, strlen(key)));
	if (value && (!is_printable(value, "") || value[0] == ' ' || (value[0] && value[strlen(value) - 1] == ' ')))
		return br_error_set(err, EINVAL, "%s: a value is one line of printable ASCII without blanks around it", key);
	if (!section[0] || strlen(section) > BR_BOOTCONF_NAME_MAX || !is_printable(section, "[]"))
		return br_error_set(err, EINVAL, "'%s' is no name of a section", br_vis(vis, sizeof(vis), section, strlen(section)));
	return 0;
}

static struct place find_place(const char *text, size_t len, const char *section, const char *key)
{
	struct br_bootconf_reader reader;
	struct br_bootconf_line line;
	struct place p = { .eol = "\n", .tail = len };

	br_bootconf_start(&reader, text, len);
	while (br_bootconf_next(&reader, &line)) {
		size_t at = (size_t)(line.start - text);

		if (line.number == 1 && line.full == line.len + 2)
			p.eol = "\r\n";
		if (line.tail && !p.has_tail) {
			p.has_tail = true;
			p.tail = at;
		}
		if (!br_bootconf_in(&line, section))
			continue;
		p.has_block = true;
		if (line.kind != BR_BOOTCONF_BLANK)
			p.block_end = at + line.full;
		if (line.kind == BR_BOOTCONF_PROPERTY && line.name_len == strlen(key) && !memcmp(line.name, key, line.name_len)) {
			p.has_line = true;
			p.value = (size_t)(line.value - text);
			p.value_len = line.value_len;
		}
	}
	return p;
}

/* All up to an offset, as whole lines. */
static void add_head(struct br_text *out, const char *text, size_t n, const char *eol)
{
	br_text_add_bytes(out, text, n);
	if (n && text[n - 1] != '\n')
		br_text_add(out, eol);
}

static void remove_all(struct br_text *out, const char *text, size_t len, const char *section, const char *key)
{
	struct br_bootconf_reader reader;
	struct br_bootconf_line line;

	br_bootconf_start(&reader, text, len);
	while (br_bootconf_next(&reader, &line)) {
		if (line.kind == BR_BOOTCONF_PROPERTY && br_bootconf_in(&line, section) && line.name_len == strlen(key) &&
			!memcmp(line.name, key, line.name_len))
			continue;
		br_text_add_bytes(out, line.start, line.full);
	}
}

int br_bootconf_set(const char *text, size_t len, const char *section, const char *key, const char *value, char **ret,
	size_t *ret_len, struct br_error *err)
{
	const char *wanted = section && section[0] ? section : "all";
	struct br_text out = BR_TEXT_NULL;
	struct place p;
	size_t at, n;
	int r = check_words(wanted, key, value, err);

	if (r < 0)
		return r;
	p = find_place(text, len, wanted, key);
	if (!value) {
		remove_all(&out, text, len, wanted, key);
	} else if (p.has_line) {
		br_text_add_bytes(&out, text, p.value);
		br_text_add(&out, value);
		br_text_add_bytes(&out, text + p.value + p.value_len, len - p.value - p.value_len);
	} else {
		/* an empty text, and one that begins with blank lines, are of every board */
		bool new_block = !p.has_block && (len || strcasecmp(wanted, "all") != 0);

		at = new_block ? p.tail : p.block_end;
		add_head(&out, text, at, p.eol);
		if (new_block)
			br_text_addf(&out, "[%s]%s", wanted, p.eol);
		br_text_addf(&out, "%s=%s%s", key, value, p.eol);
		br_text_add_bytes(&out, text + at, len - at);
	}
	n = out.len;
	*ret = br_text_take(&out);
	if (!*ret)
		return br_error_set(err, ENOMEM, "out of memory");
	*ret_len = n;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Text: building it, making foreign bytes printable, numbers with units. */
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool grow(struct br_text *t, size_t more)
{
	size_t need = t->len + more + 1, cap = t->cap ? t->cap : 64;
	char *p;

	if (t->failed)
		return false;
	if (need <= t->cap)
		return true;
	while (cap < need)
		cap *= 2;
	p = realloc(t->buf, cap);
	if (!p) {
		t->failed = true;
		return false;
	}
	t->buf = p;
	t->cap = cap;
	return true;
}

void br_text_add_bytes(struct br_text *t, const void *data, size_t n)
{
	if (!grow(t, n))
		return;
	if (n)
		memcpy(t->buf + t->len, data, n);
	t->len += n;
	t->buf[t->len] = 0;
}

void br_text_add(struct br_text *t, const char *s)
{
	br_text_add_bytes(t, s, strlen(s));
}

void br_text_addv(struct br_text *t, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0 || !grow(t, (size_t)n)) {
		t->failed = true;
		return;
	}
	vsnprintf(t->buf + t->len, (size_t)n + 1, fmt, ap);
	t->len += (size_t)n;
}

void br_text_addf(struct br_text *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	br_text_addv(t, fmt, ap);
	va_end(ap);
}

void br_text_add_vis(struct br_text *t, const void *data, size_t n)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\\')
			br_text_add(t, "\\\\");
		else if (p[i] >= 0x20 && p[i] < 0x7f)
			br_text_add_bytes(t, p + i, 1);
		else
			br_text_addf(t, "\\x%02x", p[i]);
	}
}

/* Bytes of the character at p, 1 to 4 (RFC 3629); 0: it is none. */
static size_t utf8_character(const uint8_t *p, size_t n, uint32_t *ret)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
	uint32_t c = len == 1 ? p[0] : p[0] & 0x7fu >> len;

	if (!len || len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if (p[i] >> 6 != 2)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*ret = c;
	return len;
}

static bool is_printable(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} not[] = {
		{ 0x0, 0x8 }, { 0xa, 0x1f }, { 0x7f, 0x9f }, /* controls */
		{ 0xad, 0xad }, { 0x61c, 0x61c }, { 0x180e, 0x180e }, { 0x200b, 0x200f }, { 0x2028, 0x202e }, { 0x2060, 0x206f },
		{ 0xfe00, 0xfe0f }, { 0xfeff, 0xfeff }, { 0xfff0, 0xfffb }, /* invisible, or turning the direction */
		{ 0xe000, 0xf8ff }, { 0xfffe, 0xffff }, { 0xe0000, 0x10ffff }, /* nobody's, private */
	};

	for (size_t i = 0; i < sizeof(not) / sizeof(not[0]); i++)
		if (c >= not[i].first && c <= not[i].last)
			return false;
	return true;
}

void br_text_add_clean(struct br_text *t, const void *data, size_t n)
{
	const uint8_t *p = data, *end = p + n;

	while (p < end) {
		uint32_t c = 0;
		size_t len = utf8_character(p, (size_t)(end - p), &c);

		if (len && is_printable(c)) {
			br_text_add_bytes(t, p, len);
			p += len;
		} else {
			br_text_addf(t, "\\x%02x", *p++);
		}
	}
}

char *br_text_take(struct br_text *t)
{
	char *p;

	br_text_add_bytes(t, "", 0);
	if (t->failed) {
		br_text_done(t);
		return NULL;
	}
	p = t->buf;
	*t = BR_TEXT_NULL;
	return p;
}

void br_text_done(struct br_text *t)
{
	free(t->buf);
	*t = BR_TEXT_NULL;
}

const char *br_vis(char *out, size_t size, const void *data, size_t n)
{
	const uint8_t *p = data;
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		char piece[5];
		int k = p[i] >= 0x20 && p[i] < 0x7f && p[i] != '\\'
				? snprintf(piece, sizeof(piece), "%c", p[i])
				: snprintf(piece, sizeof(piece), "\\x%02x", p[i]);

		if (len + (size_t)k + 4 > size) {
			snprintf(out + len, size - len, "...");
			return out;
		}
		memcpy(out + len, piece, (size_t)k);
		len += (size_t)k;
	}
	out[len] = 0;
	return out;
}

char *br_asprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : s;
}

int br_strcpy(char *dst, size_t size, const char *src)
{
	size_t n = strlen(src);

	if (n >= size) {
		dst[0] = 0;
		return -ENAMETOOLONG;
	}
	memcpy(dst, src, n + 1);
	return 0;
}

bool br_str_starts(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

bool br_str_ends(const char *s, const char *suffix)
{
	size_t n = strlen(s), k = strlen(suffix);

	return n >= k && !memcmp(s + n - k, suffix, k);
}

/* Digits at *s; moves *s behind them. */
static int parse_digits(const char **s, uint64_t *ret)
{
	uint64_t v = 0;

	if (!isdigit((unsigned char)**s))
		return -EINVAL;
	for (; isdigit((unsigned char)**s); (*s)++) {
		if (__builtin_mul_overflow(v, 10, &v) ||
			__builtin_add_overflow(v, (uint64_t)(**s - '0'), &v))
			return -ERANGE;
	}
	*ret = v;
	return 0;
}

int br_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v;
	int r = parse_digits(&s, &v);

	if (r < 0)
		return r;
	if (*s)
		return -EINVAL;
	if (v < min || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static int parse_with_unit(const char *s, const struct unit *units, size_t n_units, uint64_t *ret)
{
	uint64_t v;
	int r = parse_digits(&s, &v);

	if (r < 0)
		return r;
	while (*s == ' ')
		s++;
	for (size_t i = 0; i < n_units; i++) {
		if (strcasecmp(s, units[i].name))
			continue;
		if (__builtin_mul_overflow(v, units[i].factor, ret))
			return -ERANGE;
		return 0;
	}
	return -EINVAL;
}

int br_parse_owner(const char *s, uint32_t *ret_uid, uint32_t *ret_gid)
{
	const char *colon = strchr(s, ':');
	uint64_t uid = 0, gid = 0;
	char text[12];
	int r;

	if (!colon || (size_t)(colon - s) >= sizeof(text))
		return -EINVAL;
	memcpy(text, s, (size_t)(colon - s));
	text[colon - s] = 0;
	/* the last number means 'no owner' to chown(2) */
	r = br_parse_u64(text, 0, UINT32_MAX - 1, &uid);
	if (!r)
		r = br_parse_u64(colon + 1, 0, UINT32_MAX - 1, &gid);
	if (r < 0)
		return r;
	*ret_uid = (uint32_t)uid;
	*ret_gid = (uint32_t)gid;
	return 0;
}

int br_parse_size(const char *s, uint64_t *ret)
{
	static const struct unit units[] = {
		{ "", 1 }, { "B", 1 },
		{ "K", 1ull << 10 }, { "KB", 1ull << 10 }, { "KiB", 1ull << 10 },
		{ "M", 1ull << 20 }, { "MB", 1ull << 20 }, { "MiB", 1ull << 20 },
		{ "G", 1ull << 30 }, { "GB", 1ull << 30 }, { "GiB", 1ull << 30 },
		{ "T", 1ull << 40 }, { "TB", 1ull << 40 }, { "TiB", 1ull << 40 },
	};

	return parse_with_unit(s, units, sizeof(units) / sizeof(units[0]), ret);
}

int br_parse_duration(const char *s, uint64_t *ret_ns)
{
	static const struct unit units[] = {
		{ "ms", 1000000ull }, { "", 1000000000ull }, { "s", 1000000000ull },
		{ "m", 60000000000ull }, { "min", 60000000000ull }, { "h", 3600000000000ull },
		{ "d", 86400000000000ull },
	};

	return parse_with_unit(s, units, sizeof(units) / sizeof(units[0]), ret_ns);
}

const char *br_format_size(char *out, size_t size, uint64_t bytes)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double v = (double)bytes;
	size_t i = 0;

	while (v >= 999.5 && i + 1 < sizeof(units) / sizeof(units[0])) {
		v /= 1000;
		i++;
	}
	snprintf(out, size, i && v < 99.95 ? "%.1f %s" : "%.0f %s", v, units[i]);
	return out;
}

const char *br_format_duration(char *out, size_t size, uint64_t ns)
{
	uint64_t s = ns / 1000000000;

	if (ns < 1000000000)
		snprintf(out, size, "%llu ms", (unsigned long long)(ns / 1000000));
	else if (s < 60)
		snprintf(out, size, "%.1f s", (double)ns / 1e9);
	else if (s < 3600)
		snprintf(out, size, "%llu m %02llu s", (unsigned long long)(s / 60),
			(unsigned long long)(s % 60));
	else
		snprintf(out, size, "%llu h %02llu m", (unsigned long long)(s / 3600),
			(unsigned long long)(s / 60 % 60));
	return out;
}

void br_hex(char *out, const void *data, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *p = data;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * n] = 0;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int br_unhex(void *out, size_t n, const char *hex)
{
	uint8_t *p = out;

	if (strlen(hex) != 2 * n)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		int hi = hex_digit(hex[2 * i]), lo = hex_digit(hex[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return -EINVAL;
		p[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Growing text. Failed allocations set 'failed' for good and are tested once, by
 * br_text_take(). 'buf' is always terminated when not NULL.
 */
struct br_text {
	char *buf;
	size_t len, cap;
	bool failed;
};

#define BR_TEXT_NULL ((struct br_text){ 0 })

void br_text_add(struct br_text *t, const char *s);
void br_text_add_bytes(struct br_text *t, const void *data, size_t n);
__attribute__((format(printf, 2, 3))) void br_text_addf(struct br_text *t, const char *fmt, ...);
__attribute__((format(printf, 2, 0))) void br_text_addv(struct br_text *t, const char *fmt, va_list ap);
/* Bytes from outside made safe for a log or a terminal: printable ASCII as it is, the rest \xNN. */
void br_text_add_vis(struct br_text *t, const void *data, size_t n);
/* The same for people's eyes, not exact: a backslash, a tab and printable characters of well-formed UTF-8 stay as they are. What moves
 * the cursor, turns the direction or shows nothing does not. Text that went through once stays as it is. */
void br_text_add_clean(struct br_text *t, const void *data, size_t n);
/* Ownership of the text goes to the caller (free()); NULL when an allocation failed. Never NULL for an empty text. */
char *br_text_take(struct br_text *t);
void br_text_done(struct br_text *t);

/* As br_text_add_vis() into a fixed buffer, cut with "..." when too long. Returns out. */
const char *br_vis(char *out, size_t size, const void *data, size_t n);

/* asprintf() that returns NULL when memory is out. */
__attribute__((format(printf, 1, 2))) char *br_asprintf(const char *fmt, ...);

/* Copies with truncation reported: 0, or -ENAMETOOLONG (dst is then empty). */
int br_strcpy(char *dst, size_t size, const char *src);

bool br_str_starts(const char *s, const char *prefix);
bool br_str_ends(const char *s, const char *suffix);

/* Decimal within [min, max], the whole string; -EINVAL / -ERANGE otherwise. */
int br_parse_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret);
/* "512M", "4 GiB", "1000": binary units (K M G T, optional iB or B). -EINVAL / -ERANGE otherwise. */
int br_parse_size(const char *s, uint64_t *ret);
/* "90", "90s", "5m", "2h", "1d", "250ms" to nanoseconds; a bare number is seconds. */
int br_parse_duration(const char *s, uint64_t *ret_ns);
/* "1000:100", both up to 4294967294. -EINVAL / -ERANGE otherwise. */
int br_parse_owner(const char *s, uint32_t *ret_uid, uint32_t *ret_gid);
/* "1.4 GB" (decimal units); out should have 16 bytes. Returns out. */
const char *br_format_size(char *out, size_t size, uint64_t bytes);
/* "850 ms", "12.3 s", "4 m 05 s", "3 h 12 m". Returns out. */
const char *br_format_duration(char *out, size_t size, uint64_t ns);

/* Lower-case hexadecimal; out has 2 n + 1 bytes. */
void br_hex(char *out, const void *data, size_t n);
/* Exactly n bytes from 2 n digits of either case; -EINVAL otherwise. */
int br_unhex(void *out, size_t n, const char *hex);

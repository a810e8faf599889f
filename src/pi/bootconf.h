/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "pi/findings.h"
#include "pi/identity.h"

/*
 * bootconf.txt of the bootloader EEPROM: lines KEY=VALUE, comments, sections in brackets that hold on some boards only. What
 * stands behind [config.txt] is no property: the firmware reads it as the end of config.txt.
 */
#define BR_BOOTCONF_NAME_MAX 64 /* of a key or section that we write */
#define BR_BOOTCONF_TAIL "config.txt"

enum br_bootconf_kind {
	BR_BOOTCONF_BLANK,
	BR_BOOTCONF_COMMENT,
	BR_BOOTCONF_SECTION,  /* name is what is in the brackets */
	BR_BOOTCONF_PROPERTY, /* name and value */
	BR_BOOTCONF_JUNK,
};

/* Pointers lead into the text. */
struct br_bootconf_line {
	enum br_bootconf_kind kind;
	unsigned number; /* from 1 */
	const char *start;
	size_t len;  /* without its end */
	size_t full; /* with it */
	const char *name, *value;
	size_t name_len, value_len; /* without blanks around them */
	const char *section; /* in force; length 0 before the first one, which is as [all] */
	size_t section_len;
	bool tail; /* behind [config.txt] */
};

struct br_bootconf_reader {
	const char *p, *end, *section;
	size_t section_len;
	unsigned number;
	bool tail;
};

/* text: hostile, need not be terminated. */
void br_bootconf_start(struct br_bootconf_reader *reader, const char *text, size_t len);
bool br_bootconf_next(struct br_bootconf_reader *reader, struct br_bootconf_line *ret);
/* Whether the line belongs to a section: NULL, "" and "all" mean those of every board; letters of either case. */
bool br_bootconf_in(const struct br_bootconf_line *line, const char *section);

/* The value that counts (the last one) of a key in a section, of *ret_len bytes. NULL: not there. */
const char *br_bootconf_get(const char *text, size_t len, const char *section, const char *key, size_t *ret_len);
/* What a board under the filter 'section' reads: of that section or of all boards, whichever comes later. */
const char *br_bootconf_effective(const char *text, size_t len, const char *section, const char *key, size_t *ret_len);

/*
 * Text with one property of a section changed (value NULL: without it), all other lines as they were: *ret (free()) has
 * *ret_len bytes. The line that counts is changed where it stands; a new one comes at the end of the last block of its section,
 * a new section before [config.txt]. -EINVAL with words: a key, value or section that cannot be written.
 */
int br_bootconf_set(const char *text, size_t len, const char *section, const char *key, const char *value, char **ret,
	size_t *ret_len, struct br_error *err);

/* Whether lines below a section may hold on a board with this SoC (UNKNOWN: any): of no model, or of one with it. */
bool br_bootconf_may_hold(const char *section, enum br_soc soc);
/*
 * The values of a key that are in force on some board with the SoC, one after the other: what all boards read, and what those of
 * each section do. Of the bytes that a bootloader reads (BR_BOOTCONF_READ); text and key must stay.
 */
#define BR_BOOTCONF_READ 4076u
struct br_bootconf_values {
	struct br_bootconf_reader reader;
	const char *text, *key;
	size_t len;
	enum br_soc soc;
};
void br_bootconf_values(struct br_bootconf_values *v, const char *text, size_t len, enum br_soc soc, const char *key);
bool br_bootconf_next_value(struct br_bootconf_values *v, const char **ret, size_t *ret_len);
/* One of them is this number, in whichever form it is written. text may be NULL. */
bool br_bootconf_says(const char *text, size_t len, enum br_soc soc, const char *key, int64_t number);

/* Whose configuration it is, for the check. */
struct br_bootconf_board {
	enum br_soc soc;     /* UNKNOWN: both */
	uint32_t build_time; /* of the image; 0: not known */
	bool network;	     /* it is to boot over the network */
};

/* Every line: form, known names, ranges. */
void br_bootconf_check_lines(const char *text, size_t len, const struct br_bootconf_board *board, struct br_findings *f);
/* What the values mean together, on every kind of board that the sections tell apart. */
void br_bootconf_check_meaning(const char *text, size_t len, const struct br_bootconf_board *board, struct br_findings *f);

/* Whether the value of a known property is one; -EINVAL with words. -ENOENT: the property is not known, err says which is near. */
int br_bootconf_check_value(const char *key, const char *value, const struct br_bootconf_board *board, struct br_error *err);
/* Decimal (with a sign) or 0x...: the number; -EINVAL. */
int br_bootconf_number(const char *value, size_t len, int64_t *ret);

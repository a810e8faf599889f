/* SPDX-License-Identifier: Apache-2.0 */
/* What an EEPROM image says about itself: when it was made, and who signed its first stage. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/text.h"
#include "pi/eeprom.h"

#define BLOCK_2712 532u /* length, keynum, version, signature, public key */
#define BLOCK_2711 284u /* length, keynum, RSA-SHA1, HMAC-SHA1 */

/* The text behind a word within [p, p + len): printable bytes up to anything else. False: the word is not there. */
static bool text_behind(const uint8_t *p, size_t len, const char *word, char *out, size_t size)
{
	const uint8_t *at = memmem(p, len, word, strlen(word));
	size_t n = 0;

	if (!at)
		return false;
	at += strlen(word);
	while (at + n < p + len && n + 1 < size && at[n] >= ' ' && at[n] < 0x7f) {
		out[n] = (char)at[n];
		n++;
	}
	out[n] = '\0';
	return n > 0;
}

/* The eight bytes: complement, then the time. Ones mean that none was written. */
static bool read_time(const uint8_t *p, uint32_t *ret)
{
	uint32_t t = br_load_le32(p + 4);

	if (br_load_le32(p) != ~t || t == 0 || t == UINT32_MAX)
		return false;
	*ret = t;
	return true;
}

static uint8_t *time_place(const struct br_eeprom *e)
{
	for (size_t i = 0; i < e->n_sections && e->sections[i].offset < BR_EEPROM_A; i++) {
		const struct br_eeprom_section *s = &e->sections[i];

		if (s->kind == BR_EEPROM_FILE && !strcmp(s->name, BR_EEPROM_TIME) && s->size == 8)
			return e->data + s->content;
	}
	return e->data + e->len - 8;
}

void br_eeprom_set_update_time(struct br_eeprom *e, uint32_t time)
{
	uint8_t *p = time_place(e);

	br_store_le32(p, ~time);
	br_store_le32(p + 4, time);
}

const char *br_eeprom_date(uint32_t time, char out[static BR_EEPROM_DATE])
{
	time_t t = time;
	struct tm tm;

	if (!time || !gmtime_r(&t, &tm) || !strftime(out, BR_EEPROM_DATE, "%Y-%m-%d", &tm))
		br_strcpy(out, BR_EEPROM_DATE, "unknown");
	return out;
}

void br_eeprom_build(const struct br_eeprom *e, struct br_eeprom_build *ret)
{
	const struct br_eeprom_section *file;
	char digits[16];
	uint64_t t;

	*ret = (struct br_eeprom_build){ 0 };
	for (size_t i = 0; i < e->n_sections; i++) {
		const struct br_eeprom_section *s = &e->sections[i];
		const uint8_t *p = e->data + s->content;

		if (s->kind != BR_EEPROM_CODE && strcmp(s->name, BR_EEPROM_BOOTSYS) != 0)
			continue;
		if (!ret->time && text_behind(p, s->size, "BUILD_TIMESTAMP=", digits, sizeof(digits)) &&
			!br_parse_u64(digits, 1, UINT32_MAX, &t))
			ret->time = (uint32_t)t;
		if (!ret->version[0])
			text_behind(p, s->size, "VERSION:", ret->version, sizeof(ret->version));
		if (!ret->date[0])
			text_behind(p, s->size, "DATE: ", ret->date, sizeof(ret->date));
	}
	ret->has_update_time = read_time(time_place(e), &ret->update_time);
	file = br_eeprom_find(e, BR_EEPROM_TIME);
	if (!ret->has_update_time && file && file->size == 8)
		ret->has_update_time = read_time(e->data + file->content, &ret->update_time);
}

bool br_eeprom_ends_as_2711(const uint8_t *data, size_t len)
{
	return len > BLOCK_2711 && br_load_le32(data + len - BLOCK_2711) == len - BLOCK_2711;
}

/* The blocks at the end of [p, p + len), the last one first. Returns how many are in ret then. */
static size_t blocks_of(const char *of, const uint8_t *p, size_t len, uint32_t block, struct br_eeprom_signature *ret, size_t n)
{
	while (n < BR_EEPROM_SIGNATURES && len > block && br_load_le32(p + len - block) == len - block) {
		const uint8_t *b = p + len - block;

		ret[n++] = (struct br_eeprom_signature){ .of = of, .covers = (uint32_t)(len - block),
			.keynum = br_load_le32(b + 4), .version = block == BLOCK_2712 ? br_load_le32(b + 8) : 0 };
		len -= block;
	}
	return n;
}

size_t br_eeprom_signatures(const struct br_eeprom *e, struct br_eeprom_signature ret[static BR_EEPROM_SIGNATURES])
{
	static const char *const names[] = { BR_EEPROM_BOOTCODE, BR_EEPROM_BOOTSYS };
	uint32_t block = e->soc == BR_SOC_BCM2712 ? BLOCK_2712 : BLOCK_2711;
	size_t n = 0;

	for (size_t i = 0; i < BR_ARRAY_SIZE(names); i++) {
		size_t len;
		const uint8_t *p = br_eeprom_get(e, names[i], &len);

		if (p)
			n = blocks_of(names[i], p, len, block, ret, n);
	}
	return n;
}

bool br_eeprom_countersigned(const struct br_eeprom *e)
{
	struct br_eeprom_signature s[BR_EEPROM_SIGNATURES];
	size_t n = br_eeprom_signatures(e, s);

	for (size_t i = 0; i < n; i++) {
		if (s[i].keynum == BR_EEPROM_KEYNUM_CUSTOMER)
			return true;
	}
	return false;
}

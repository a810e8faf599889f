/* SPDX-License-Identifier: Apache-2.0 */
/* Bootloader EEPROM images: the chain of sections (systems notes d.1, d.2) and the change of one of them. */
#include "pi/eeprom.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/text.h"

#define HEADER 8u      /* magic, length */
#define FILE_HEADER 24u /* and the name, and four bytes */
#define NAME_LEN 16u   /* name and four bytes: they count as payload */
#define MAGIC_MASK 0xfffff00fu
#define MAGIC 0x55aaf00fu
#define MAGIC_PAD 0x55aafeefu
#define SECTIONS_MAX 4096u /* real ones have below 40 */
#define CODE_REACH (128u << 10) /* a first stage may be replaced where so much is kept for it */

static const struct {
	uint32_t magic;
	enum br_eeprom_kind kind;
	bool named;
} magics[] = {
	{ MAGIC, BR_EEPROM_CODE, false },
	{ 0x55aaf11f, BR_EEPROM_FILE, true },
	{ 0x55aaf33f, BR_EEPROM_PACKED, true },
	{ 0x55aaf44f, BR_EEPROM_LZ4, true },
	{ MAGIC_PAD, BR_EEPROM_PAD, false },
};

const char *br_eeprom_kind_name(enum br_eeprom_kind kind)
{
	static const char *const names[] = { "bootcode", "file", "compressed", "lz4", "pad", "unknown" };

	return names[kind];
}

const char *br_eeprom_area(const struct br_eeprom *e, uint32_t offset)
{
	if (!e->ab)
		return "";
	return offset < BR_EEPROM_A ? "read-only" : offset < BR_EEPROM_B ? "A" : offset < BR_EEPROM_JOURNALS ? "B" : "journal";
}

bool br_eeprom_used(const struct br_eeprom *e, uint32_t from, uint32_t to)
{
	for (size_t i = 0; i < e->n_sections; i++) {
		if (e->sections[i].offset >= from && e->sections[i].offset < to && e->sections[i].kind != BR_EEPROM_PAD)
			return true;
	}
	for (uint32_t at = from; e->end <= from && at < to; at++) {
		if (e->data[at] != 0xff)
			return true;
	}
	return false;
}

static uint64_t align8(uint64_t n)
{
	return (n + 7) & ~7ull;
}

/* The section at an offset: 1, or 0 at the end of the chain. */
static int read_section(const uint8_t *data, size_t len, uint32_t offset, struct br_eeprom_section *ret, uint64_t *ret_next,
	struct br_error *err)
{
	uint32_t magic, payload;
	bool named = false;

	if (len - offset < HEADER)
		return 0;
	magic = br_load_be32(data + offset);
	payload = br_load_be32(data + offset + 4);
	if (magic == 0 || magic == UINT32_MAX)
		return 0;
	if ((magic & MAGIC_MASK) != MAGIC)
		return br_error_set(err, EBADMSG, "no section at 0x%x, where one should begin (its first word is 0x%08x): damaged, or no EEPROM image",
			offset, magic);
	*ret = (struct br_eeprom_section){ .kind = BR_EEPROM_OTHER, .magic = magic, .offset = offset };
	for (size_t i = 0; i < BR_ARRAY_SIZE(magics); i++) {
		if (magics[i].magic != magic)
			continue;
		ret->kind = magics[i].kind;
		named = magics[i].named;
	}
	if (payload > len - offset - HEADER)
		return br_error_set(err, EBADMSG, "the section at 0x%x says it has %u bytes, but the image ends %zu bytes behind it: damaged or cut",
			offset, payload, len - offset - HEADER);
	if (named && payload < NAME_LEN)
		return br_error_set(err, EBADMSG, "the section at 0x%x has %u bytes, too few for its name: damaged", offset, payload);
	ret->content = offset + (named ? FILE_HEADER : HEADER);
	ret->size = payload - (named ? NAME_LEN : 0);
	if (named)
		memcpy(ret->name, data + offset + HEADER, BR_EEPROM_NAME);
	else if (ret->kind == BR_EEPROM_CODE)
		br_strcpy(ret->name, sizeof(ret->name), BR_EEPROM_BOOTCODE);
	*ret_next = align8((uint64_t)offset + HEADER + payload);
	return 1;
}

static bool may_be_large(const struct br_eeprom_section *s)
{
	return s->kind == BR_EEPROM_CODE || !strcmp(s->name, BR_EEPROM_BOOTSYS);
}

/* Where what follows section i must stay untouched: the next one that is no padding, its partition's end, or the scratch page. */
static uint32_t bound_of(const struct br_eeprom *e, size_t i)
{
	uint32_t offset = e->sections[i].offset;
	uint32_t bound = (uint32_t)e->len - BR_EEPROM_SCRATCH;

	if (e->ab && offset < BR_EEPROM_B)
		bound = offset < BR_EEPROM_A ? BR_EEPROM_A : BR_EEPROM_B;
	for (size_t k = i + 1; k < e->n_sections; k++) {
		if (e->sections[k].kind == BR_EEPROM_PAD)
			continue;
		return e->sections[k].offset < bound ? e->sections[k].offset : bound;
	}
	return bound;
}

/* A change looks for files here only: partition A; images of one partition have all theirs within it, too. */
static bool in_reach(const struct br_eeprom_section *s)
{
	return s->kind == BR_EEPROM_FILE && s->offset >= BR_EEPROM_A && s->offset < BR_EEPROM_B;
}

static uint32_t room_of(const struct br_eeprom *e, size_t i)
{
	const struct br_eeprom_section *s = &e->sections[i];
	uint32_t max = may_be_large(s) ? BR_EEPROM_CODE_MAX : BR_EEPROM_MEMBER_MAX;
	uint32_t bound = bound_of(e, i);

	if (s->kind == BR_EEPROM_CODE ? i != 0 : !in_reach(s))
		return 0;
	if (bound <= s->content)
		return 0;
	return bound - s->content < max ? bound - s->content : max;
}

static int walk(struct br_eeprom *e, struct br_error *err)
{
	struct br_eeprom_section s;
	uint64_t offset = 0, next = 0;
	bool ab = false;

	e->n_sections = 0;
	while (offset < e->len) {
		int r;

		/* what the bootloader writes there is no section (its form is not in our notes) */
		if (ab && offset == BR_EEPROM_JOURNALS)
			break;
		r = read_section(e->data, e->len, (uint32_t)offset, &s, &next, err);

		if (r < 0)
			return r;
		if (r == 0)
			break;
		if (e->n_sections == SECTIONS_MAX)
			return br_error_set(err, EBADMSG, "has more than %u sections: damaged", SECTIONS_MAX);
		r = br_array_reserve(&e->sections, &e->cap_sections, e->n_sections + 1, sizeof(*e->sections));
		if (r < 0)
			return br_error_set(err, -r, "out of memory");
		e->sections[e->n_sections++] = s;
		ab |= e->soc == BR_SOC_BCM2712 && s.kind == BR_EEPROM_FILE && !strcmp(s.name, BR_EEPROM_BOOTSYS);
		offset = next;
	}
	e->end = offset < e->len ? (uint32_t)offset : (uint32_t)e->len;
	if (!e->n_sections || e->sections[0].kind != BR_EEPROM_CODE)
		return br_error_set(err, EBADMSG, "no first stage at its beginning: damaged, erased, or no EEPROM image");
	e->ab = ab;
	for (size_t i = 0; i < e->n_sections; i++)
		e->sections[i].room = room_of(e, i);
	return 0;
}

int br_eeprom_open(const void *data, size_t len, struct br_eeprom *ret, struct br_error *err)
{
	struct br_eeprom e = { .len = len };
	int r;

	if (len != BR_EEPROM_SIZE_2711 && len != BR_EEPROM_SIZE_2712)
		return br_error_set(err, EBADMSG,
			"has %zu bytes; an EEPROM image has %u (BCM2711: Pi 4, 400, CM4) or %u (BCM2712: Pi 5, 500, CM5)", len,
			BR_EEPROM_SIZE_2711, BR_EEPROM_SIZE_2712);
	e.soc = len == BR_EEPROM_SIZE_2711 ? BR_SOC_BCM2711 : BR_SOC_BCM2712;
	e.data = malloc(len);
	if (!e.data)
		return br_error_set(err, ENOMEM, "out of memory");
	memcpy(e.data, data, len);
	r = walk(&e, err);
	if (r < 0) {
		br_eeprom_done(&e);
		return r;
	}
	*ret = e;
	return 0;
}

void br_eeprom_done(struct br_eeprom *e)
{
	free(e->data);
	free(e->sections);
	*e = (struct br_eeprom){ 0 };
}

static const struct br_eeprom_section *find_in_reach(const struct br_eeprom *e, const char *name)
{
	if (!strcmp(name, BR_EEPROM_BOOTCODE))
		return &e->sections[0];
	for (size_t i = 0; i < e->n_sections; i++) {
		if (in_reach(&e->sections[i]) && !strcmp(e->sections[i].name, name))
			return &e->sections[i];
	}
	return NULL;
}

const struct br_eeprom_section *br_eeprom_find(const struct br_eeprom *e, const char *name)
{
	const struct br_eeprom_section *s = find_in_reach(e, name);

	for (size_t i = 0; !s && name[0] && i < e->n_sections; i++) {
		if (!strcmp(e->sections[i].name, name))
			s = &e->sections[i];
	}
	return s;
}

const uint8_t *br_eeprom_get(const struct br_eeprom *e, const char *name, size_t *ret_len)
{
	const struct br_eeprom_section *s = br_eeprom_find(e, name);

	if (!s)
		return NULL;
	*ret_len = s->size;
	return e->data + s->content;
}

bool br_eeprom_has(const struct br_eeprom *e, const char *name)
{
	size_t len;
	const uint8_t *p = br_eeprom_get(e, name, &len);

	for (size_t i = 0; p && i < len; i++) {
		if (p[i] != p[0] || (p[i] != 0 && p[i] != 0xff))
			return true;
	}
	return false;
}

/* The bytes of the change: content, ones up to the next multiple of eight, a pad section, ones up to the bound. */
static void put(struct br_eeprom *e, size_t i, const void *data, size_t len)
{
	const struct br_eeprom_section *s = &e->sections[i];
	uint32_t bound = bound_of(e, i);
	uint64_t end = align8((uint64_t)s->content + len);
	uint32_t at = s->content + (uint32_t)len;

	br_store_be32(e->data + s->offset + 4, (uint32_t)len + (s->content - s->offset - HEADER));
	if (len)
		memcpy(e->data + s->content, data, len);
	memset(e->data + at, 0xff, bound > at ? bound - at : 0);
	/* a gap of exactly eight is a pad section without content: without it the chain would end there */
	if (end + HEADER <= bound && i + 1 < e->n_sections) {
		br_store_be32(e->data + end, MAGIC_PAD);
		br_store_be32(e->data + end + 4, bound - (uint32_t)end - HEADER);
	}
}

static int fits(const struct br_eeprom *e, const struct br_eeprom_section *s, const char *name, size_t len, struct br_error *err)
{
	uint32_t max = may_be_large(s) ? BR_EEPROM_CODE_MAX : BR_EEPROM_MEMBER_MAX;

	if (s->kind == BR_EEPROM_CODE && (e->soc == BR_SOC_BCM2711 || (!e->ab && bound_of(e, 0) < CODE_REACH)))
		return br_error_set(err, EPERM, "the first stage of this image is not to be replaced: %s",
			e->soc == BR_SOC_BCM2711 ? "BCM2711 takes Raspberry Pi's signature only" : "less than 128 KiB are kept for it");
	if (len > max)
		return br_error_set(err, EFBIG, "%s would have %zu bytes; %u is the most", name, len, max);
	if (len > s->room)
		return br_error_set(err, ENOSPC, "%s would have %zu bytes; there is room for %u before the next section", name, len, s->room);
	return 0;
}

int br_eeprom_replace(struct br_eeprom *e, const char *name, const void *data, size_t len, struct br_error *err)
{
	const struct br_eeprom_section *s = find_in_reach(e, name);
	struct br_eeprom after = { 0 };
	char vis[80];
	int r;

	br_vis(vis, sizeof(vis), name, strlen(name));
	if (!s)
		return br_error_set(err, ENOENT, "the image has no file %s that can be replaced", vis);
	r = fits(e, s, vis, len, err);
	if (r < 0)
		return r;
	r = br_eeprom_open(e->data, e->len, &after, err);
	if (r < 0)
		return r;
	put(&after, (size_t)(s - e->sections), data, len);
	r = walk(&after, err);
	if (r < 0) {
		br_eeprom_done(&after);
		return br_error_prefix(err, "after the change of %s (nothing was written)", vis);
	}
	br_eeprom_done(e);
	*e = after;
	return 0;
}

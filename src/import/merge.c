/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records to boards. MAC and serial are what a board is; a name, an address or an NFS root ties words of other places to it. What
 * was said first stays where places disagree, and the disagreement is told.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "import/internal.h"
#include "pi/identity.h"

struct merge {
	struct br_import *im;
	struct br_import_board *boards;
	size_t n, cap;
};

#define NONE SIZE_MAX

static bool same_serial(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);

	/* the network carries the low 32 bits */
	return la == lb ? !strcmp(a, b) : !strcmp(a + la - 8, b + lb - 8);
}

static bool same(enum br_import_key key, const char *a, const char *b)
{
	return key == BR_IK_SERIAL ? same_serial(a, b) : !strcmp(a, b);
}

/* The first board with this value, from 'from' on. */
static size_t find(const struct merge *m, enum br_import_key key, const struct br_import_value *v, size_t from)
{
	for (size_t i = from; v->text && m->boards && i < m->n; i++)
		if (m->boards[i].v[key].text && same(key, m->boards[i].v[key].text, v->text))
			return i;
	return NONE;
}

/* Of the first boards the serial's end is the MAC's. */
static bool mac_has_serial(const char *mac_text, const char *serial)
{
	char tail[7];
	struct br_mac mac;
	uint32_t low;

	if (br_mac_parse(mac_text, &mac) < 0)
		return false;
	low = br_pi_serial_low24_from_mac(mac);
	br_hex(tail, (uint8_t[]){ (uint8_t)(low >> 16), (uint8_t)(low >> 8), (uint8_t)low }, 3);
	return low && br_str_ends(serial, tail);
}

static size_t find_by_tail(const struct merge *m, const struct br_import_record *r)
{
	for (size_t i = 0; i < m->n; i++) {
		const struct br_import_board *b = &m->boards[i];

		if (r->v[BR_IK_MAC].text && !r->v[BR_IK_SERIAL].text && b->v[BR_IK_SERIAL].text && !b->v[BR_IK_MAC].text &&
			mac_has_serial(r->v[BR_IK_MAC].text, b->v[BR_IK_SERIAL].text))
			return i;
		if (r->v[BR_IK_SERIAL].text && !r->v[BR_IK_MAC].text && b->v[BR_IK_MAC].text && !b->v[BR_IK_SERIAL].text &&
			mac_has_serial(b->v[BR_IK_MAC].text, r->v[BR_IK_SERIAL].text))
			return i;
	}
	return NONE;
}

/* May both be one board? */
static bool compatible(const struct br_import_value *a, const struct br_import_value *b)
{
	static const enum br_import_key strong[] = { BR_IK_MAC, BR_IK_SERIAL };

	for (size_t i = 0; i < BR_ARRAY_SIZE(strong); i++)
		if (a[strong[i]].text && b[strong[i]].text && !same(strong[i], a[strong[i]].text, b[strong[i]].text))
			return false;
	return true;
}

static void add_from(struct merge *m, struct br_import_board *b, struct br_import_place at)
{
	for (size_t i = 0; b->from && i < b->n_from; i++)
		if (b->from[i].file == at.file && b->from[i].line == at.line)
			return;
	if (br_array_reserve(&b->from, &b->cap_from, b->n_from + 1, sizeof(b->from[0])) < 0)
		m->im->no_memory = true;
	else
		b->from[b->n_from++] = at;
}

static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = strstr(words, word); p; p = strstr(p + 1, word))
		if ((p == words || p[-1] == ' ') && (!p[n] || p[n] == ' '))
			return true;
	return false;
}

static void add_words(struct merge *m, struct br_import_value *to, const char *words)
{
	br_cleanup(br_freep) char *copy = strdup(words);
	char *save = NULL;

	for (char *w = copy ? strtok_r(copy, " ", &save) : NULL; w; w = strtok_r(NULL, " ", &save)) {
		char *more;

		if (has_word(to->text, w))
			continue;
		more = br_asprintf("%s %s", to->text, w);
		if (!more) {
			m->im->no_memory = true;
			return;
		}
		free(to->text);
		to->text = more;
	}
}

static void disagree(struct merge *m, const struct br_import_board *b, enum br_import_key key, const struct br_import_value *v)
{
	static const enum br_import_key who[] = { BR_IK_NAME, BR_IK_MAC, BR_IK_SERIAL };
	const struct br_import_value *ours = &b->v[key];
	const char *board = "?";
	char place[700];

	for (size_t i = 0; i < BR_ARRAY_SIZE(who); i++)
		if (who[i] != key && b->v[who[i]].text) {
			board = b->v[who[i]].text;
			break;
		}
	br_import_say(m->im, BR_IMPORT_CONFLICT, v->at, v->text, "board %s has the %s %s by %s, which stays", board, br_import_keys[key],
		ours->text, br_import_place_text(m->im, ours->at, place, sizeof(place)));
}

/* The values go to the board; what v still has afterwards was not wanted. */
static void absorb(struct merge *m, struct br_import_board *b, struct br_import_value *v, bool board)
{
	b->board |= board;
	for (size_t k = 0; k < BR_IK_N; k++) {
		if (!v[k].text)
			continue;
		add_from(m, b, v[k].at);
		if (!b->v[k].text) {
			b->v[k] = v[k];
			v[k].text = NULL;
		} else if (k == BR_IK_TAGS) {
			add_words(m, &b->v[k], v[k].text);
		} else if (k == BR_IK_SERIAL && same_serial(b->v[k].text, v[k].text)) {
			if (strlen(v[k].text) > strlen(b->v[k].text)) {
				char *shorter = b->v[k].text;

				b->v[k].text = v[k].text;
				v[k].text = shorter;
			}
		} else if (!same(k, b->v[k].text, v[k].text) && k != BR_IK_NOTES) {
			disagree(m, b, k, &v[k]);
		}
	}
}

/* Another board turned out to be this one. */
static void join(struct merge *m, size_t to, size_t from)
{
	struct br_import_board *b = &m->boards[from];

	absorb(m, &m->boards[to], b->v, b->board);
	for (size_t i = 0; i < b->n_from; i++)
		add_from(m, &m->boards[to], b->from[i]);
	for (size_t k = 0; k < BR_IK_N; k++)
		free(b->v[k].text);
	free(b->from);
	memmove(b, b + 1, (m->n - from - 1) * sizeof(*b));
	m->n--;
}

/* A record with a MAC or a serial. */
static void take_strong(struct merge *m, struct br_import_record *r)
{
	static const enum br_import_key ties[] = { BR_IK_MAC, BR_IK_SERIAL, BR_IK_NAME, BR_IK_ADDRESS };
	size_t i = NONE, other;

	for (size_t k = 0; k < BR_ARRAY_SIZE(ties) && i == NONE; k++) {
		i = find(m, ties[k], &r->v[ties[k]], 0);
		if (i != NONE && k > 1 && m->boards && !compatible(m->boards[i].v, r->v))
			i = NONE; /* two boards of one name: told when all are known */
	}
	if (i == NONE)
		i = find_by_tail(m, r);
	if (i == NONE) {
		if (br_array_reserve(&m->boards, &m->cap, m->n + 1, sizeof(m->boards[0])) < 0) {
			m->im->no_memory = true;
			return;
		}
		i = m->n++;
		m->boards[i] = (struct br_import_board){ 0 };
	}
	r->used = true;
	absorb(m, &m->boards[i], r->v, r->board);
	for (size_t k = 0; k < 2; k++) {
		other = find(m, ties[k], &m->boards[i].v[ties[k]], i + 1);
		if (other != NONE && compatible(m->boards[i].v, m->boards[other].v))
			join(m, i, other);
	}
}

/* Is this NFS root one board's only? */
static size_t sole_user(const struct merge *m, const struct br_import_value *root)
{
	size_t i = find(m, BR_IK_ROOT, root, 0);

	return i != NONE && find(m, BR_IK_ROOT, root, i + 1) == NONE ? i : NONE;
}

/* A record without: it belongs to the board it shares a name, an address or a root with. */
static bool take_weak(struct merge *m, struct br_import_record *r)
{
	size_t i = find(m, BR_IK_NAME, &r->v[BR_IK_NAME], 0);

	if (i == NONE)
		i = find(m, BR_IK_ADDRESS, &r->v[BR_IK_ADDRESS], 0);
	if (i == NONE)
		i = sole_user(m, &r->v[BR_IK_ROOT]);
	if (i == NONE)
		return false;
	r->used = true;
	absorb(m, &m->boards[i], r->v, false);
	return true;
}

static bool is_strong(const struct br_import_record *r)
{
	return r->v[BR_IK_MAC].text || r->v[BR_IK_SERIAL].text;
}

static bool is_pi(const struct br_import_board *b)
{
	struct br_mac mac;

	return b->board || b->v[BR_IK_SERIAL].text || (b->v[BR_IK_MAC].text && br_mac_parse(b->v[BR_IK_MAC].text, &mac) == 0 && br_pi_oui(mac));
}

static void board_done(struct br_import_board *b)
{
	for (size_t k = 0; k < BR_IK_N; k++)
		free(b->v[k].text);
	free(b->from);
}

static void drop_others(struct merge *m)
{
	size_t to = 0;

	for (size_t i = 0; i < m->n; i++) {
		struct br_import_board *b = &m->boards[i];

		if (m->im->all || is_pi(b)) {
			m->boards[to++] = *b;
			continue;
		}
		br_import_say(m->im, BR_IMPORT_LEFT, b->v[BR_IK_MAC].at, b->v[BR_IK_NAME].text ? b->v[BR_IK_NAME].text : b->v[BR_IK_MAC].text,
			"%s is not of Raspberry Pi's blocks of MACs; --all takes it as a board", b->v[BR_IK_MAC].text);
		board_done(b);
	}
	m->n = to;
}

/* A name or an address is one board's: the second that claims it goes without. */
static void drop_claims(struct merge *m, enum br_import_key key)
{
	for (size_t i = 0; i < m->n; i++) {
		struct br_import_value *v = &m->boards[i].v[key];
		size_t first = v->text ? find(m, key, v, 0) : NONE;
		char place[700];

		if (first == NONE || first >= i)
			continue;
		br_import_say(m->im, BR_IMPORT_CONFLICT, v->at, v->text, "another board has this %s by %s; this one goes without",
			br_import_keys[key], br_import_place_text(m->im, m->boards[first].v[key].at, place, sizeof(place)));
		free(v->text);
		v->text = NULL;
	}
}

/* As bramble names one that nobody named. */
static void name_boards(struct merge *m)
{
	for (size_t i = 0; i < m->n; i++) {
		struct br_import_board *b = &m->boards[i];
		const char *serial = b->v[BR_IK_SERIAL].text;
		struct br_mac mac = { 0 };

		if (b->v[BR_IK_NAME].text)
			continue;
		if (b->v[BR_IK_MAC].text)
			(void)br_mac_parse(b->v[BR_IK_MAC].text, &mac); /* it was made by us */
		b->v[BR_IK_NAME].text = serial ? br_asprintf("pi-%s", serial + strlen(serial) - 8)
					       : br_asprintf("pi-%02x%02x%02x", mac.b[3], mac.b[4], mac.b[5]);
		if (b->from)
			b->v[BR_IK_NAME].at = b->from[0];
		if (!b->v[BR_IK_NAME].text)
			m->im->no_memory = true;
	}
}

/* What stays without a board is told, but for lines of hosts that are of no board in any case. */
static void tell_rest(struct br_import *im)
{
	for (size_t i = 0; i < im->n_records; i++) {
		const struct br_import_record *r = &im->records[i];
		const struct br_import_value *v = r->v[BR_IK_NAME].text ? &r->v[BR_IK_NAME] : &r->v[BR_IK_ADDRESS];
		const char *format;

		v = v->text ? v : &r->v[BR_IK_ROOT];
		if (r->used || !v->text)
			continue;
		format = v->at.file < im->n_files ? im->files[v->at.file].format : "";
		br_import_say(im, strcmp(format, "hosts") ? BR_IMPORT_LEFT : BR_IMPORT_NOTE, v->at, v->text,
			"neither a MAC nor a serial is told of it anywhere, and by these bramble knows a board");
	}
}

void br_import_boards_free(struct br_import_board *boards, size_t n)
{
	for (size_t i = 0; i < n; i++)
		board_done(&boards[i]);
	free(boards);
}

/* What one knows of who it is, the other does not. */
static bool are_halves(const struct br_import_value *a, const struct br_import_value *b)
{
	return !a[BR_IK_MAC].text != !b[BR_IK_MAC].text && !a[BR_IK_SERIAL].text != !b[BR_IK_SERIAL].text &&
	       (!a[BR_IK_NAME].text || !b[BR_IK_NAME].text);
}

/* One known by its serial, the other by its MAC, and an NFS root that only these two have: one board. */
static bool join_by_root(struct merge *m)
{
	for (size_t i = 0; i < m->n; i++) {
		struct br_import_value *v = m->boards[i].v;
		size_t other = find(m, BR_IK_ROOT, &v[BR_IK_ROOT], i + 1);

		if (other == NONE || find(m, BR_IK_ROOT, &v[BR_IK_ROOT], 0) != i || find(m, BR_IK_ROOT, &v[BR_IK_ROOT], other + 1) != NONE ||
			!are_halves(v, m->boards[other].v))
			continue;
		br_import_say(m->im, BR_IMPORT_NOTE, v[BR_IK_ROOT].at, v[BR_IK_ROOT].text,
			"only one serial and one MAC have this root: they are taken for one board's");
		join(m, i, other);
		return true;
	}
	return false;
}

static void take_all_weak(struct merge *m)
{
	struct br_import *im = m->im;
	bool more = true;

	while (more) { /* a root ties a name to a board, the name an address ... */
		more = false;
		for (size_t i = 0; i < im->n_records; i++)
			if (!im->records[i].used && !is_strong(&im->records[i]))
				more |= take_weak(m, &im->records[i]);
	}
}

int br_import_merge(struct br_import *im, struct br_import_board **ret, size_t *ret_n)
{
	struct merge m = { .im = im };

	for (size_t i = 0; i < im->n_records; i++)
		if (is_strong(&im->records[i]))
			take_strong(&m, &im->records[i]);
	take_all_weak(&m);
	while (join_by_root(&m))
		take_all_weak(&m);
	drop_others(&m);
	drop_claims(&m, BR_IK_NAME);
	drop_claims(&m, BR_IK_ADDRESS);
	name_boards(&m);
	drop_claims(&m, BR_IK_NAME);
	tell_rest(im);
	if (im->no_memory) {
		br_import_boards_free(m.boards, m.n);
		return -ENOMEM;
	}
	*ret = m.boards;
	*ret_n = m.n;
	return 0;
}

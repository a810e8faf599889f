/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of boards: RFC 4180 with ',', ';' or tabs, a header row in many words; and Argus', which has none. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "import/internal.h"
#include "pi/identity.h"

#define CELLS_MAX 64

/* Words of a header, without blanks, dashes and case. */
static const struct {
	const char *word;
	enum br_import_key key;
} headings[] = {
	{ "name", BR_IK_NAME }, { "hostname", BR_IK_NAME }, { "host", BR_IK_NAME }, { "board", BR_IK_NAME }, { "node", BR_IK_NAME },
	{ "mac", BR_IK_MAC }, { "macaddress", BR_IK_MAC }, { "ethernet", BR_IK_MAC }, { "ether", BR_IK_MAC }, { "hwaddr", BR_IK_MAC },
	{ "macaddr", BR_IK_MAC },
	{ "serial", BR_IK_SERIAL }, { "serialnumber", BR_IK_SERIAL }, { "sn", BR_IK_SERIAL }, { "cpuserial", BR_IK_SERIAL },
	{ "address", BR_IK_ADDRESS }, { "ip", BR_IK_ADDRESS }, { "ipaddress", BR_IK_ADDRESS }, { "ipv4", BR_IK_ADDRESS },
	{ "ipaddr", BR_IK_ADDRESS },
	{ "image", BR_IK_IMAGE }, { "os", BR_IK_IMAGE }, { "imagename", BR_IK_IMAGE }, { "model", BR_IK_MODEL }, { "type", BR_IK_MODEL },
	{ "tags", BR_IK_TAGS }, { "tag", BR_IK_TAGS }, { "group", BR_IK_TAGS }, { "groups", BR_IK_TAGS }, { "labels", BR_IK_TAGS },
	{ "notes", BR_IK_NOTES }, { "note", BR_IK_NOTES }, { "comment", BR_IK_NOTES }, { "location", BR_IK_NOTES },
	{ "description", BR_IK_NOTES }, { "power", BR_IK_POWER }, { "gpio", BR_IK_POWER }, { "root", BR_IK_ROOT },
	{ "nfsroot", BR_IK_ROOT },
};

/* Pins as wiringPi numbers them (-1: no GPIO of that number), which Argus uses, to lines of the SoC. */
static const signed char wiringpi[] = { 17, 18, 27, 22, 23, 24, 25, 4, 2, 3, 8, 7, 10, 9, 11, 14, 15, -1, -1, -1, -1, 5, 6, 13, 19,
	26, 12, 16, 20, 21, 0, 1 };

struct table {
	struct br_import_file *f;
	char separator;
	bool has_key[CELLS_MAX];
	enum br_import_key key[CELLS_MAX];
	size_t n;
	bool argus;
};

/* The cells of a row in place; quotes may hold separators, not line ends. More than CELLS_MAX: SIZE_MAX. */
static size_t cells(char *line, char separator, char *out[static CELLS_MAX])
{
	size_t n = 0;
	char *p = line;

	for (;;) {
		char *to, *start;
		bool more;

		if (n == CELLS_MAX)
			return SIZE_MAX;
		p += strspn(p, " ");
		start = to = p;
		if (*p == '"') {
			for (p++; *p && (*p != '"' || p[1] == '"'); p++) {
				p += *p == '"';
				*to++ = *p;
			}
			p += strcspn(p, (char[]){ separator, 0 });
		} else {
			size_t len = strcspn(p, (char[]){ separator, 0 });

			p += len;
			to += len;
			while (to > start && strchr(" \t", to[-1]))
				to--;
		}
		more = *p == separator;
		p++;
		*to = 0;
		out[n++] = start;
		if (!more)
			return n;
	}
}

static char separator_of(const char *line)
{
	size_t tabs = 0, commas = 0, semicolons = 0;

	for (const char *p = line; *p; p++) {
		tabs += *p == '\t';
		commas += *p == ',';
		semicolons += *p == ';';
	}
	return tabs > commas && tabs > semicolons ? '\t' : semicolons > commas ? ';' : ',';
}

static bool find_heading(const char *cell, enum br_import_key *ret)
{
	char word[32];
	size_t n = 0;

	for (const char *p = cell; *p && n < sizeof(word) - 1; p++)
		if (isalnum((unsigned char)*p))
			word[n++] = (char)tolower((unsigned char)*p);
	word[n] = 0;
	for (size_t i = 0; i < BR_ARRAY_SIZE(headings); i++)
		if (!strcmp(headings[i].word, word)) {
			*ret = headings[i].key;
			return true;
		}
	return false;
}

/* True: it was a header. */
static bool take_header(struct table *t, char *const *cell, size_t n)
{
	size_t known = 0;

	for (size_t i = 0; i < n; i++) {
		t->has_key[i] = find_heading(cell[i], &t->key[i]);
		known += t->has_key[i];
	}
	if (!known)
		return false;
	t->n = n;
	for (size_t i = 0; i < n; i++)
		if (!t->has_key[i] && cell[i][0])
			br_import_say(t->f->im, BR_IMPORT_LEFT, br_import_here(t->f), cell[i], "a column of that name is not known");
	return true;
}

/* "mac,ip,pin" without a header: a database of Argus' remote flashing. */
static bool take_argus(struct table *t, char *const *cell, size_t n)
{
	struct br_mac mac;
	uint32_t ip;

	if (n < 2 || n > 4 || br_mac_parse(cell[0], &mac) < 0 || br_ip_parse(cell[1], &ip) < 0)
		return false;
	t->argus = true;
	t->n = 3;
	t->key[0] = BR_IK_MAC;
	t->key[1] = BR_IK_ADDRESS;
	t->key[2] = BR_IK_POWER;
	t->has_key[0] = t->has_key[1] = t->has_key[2] = true;
	return true;
}

/* A number is a pin as Argus has it: the board's RUN pin, held low for a reset. */
static void put_power(struct table *t, struct br_import_record *rec, const char *cell)
{
	br_cleanup(br_freep) char *uri = NULL;
	uint64_t pin;

	if (br_parse_u64(cell, 0, 1000, &pin) < 0) {
		br_import_put(t->f->im, rec, BR_IK_POWER, cell, br_import_here(t->f));
		return;
	}
	if (pin >= BR_ARRAY_SIZE(wiringpi) || wiringpi[pin] < 0) {
		br_import_say(t->f->im, BR_IMPORT_LEFT, br_import_here(t->f), cell, "is no pin of wiringPi's numbering");
		return;
	}
	uri = br_asprintf("gpio://gpiochip0/%d", wiringpi[pin]);
	if (uri)
		br_import_put(t->f->im, rec, BR_IK_POWER, uri, br_import_here(t->f));
	br_import_say(t->f->im, BR_IMPORT_NOTE, br_import_here(t->f), cell, "pin %d of wiringPi is GPIO %d, the RUN pin's line", (int)pin,
		wiringpi[pin]);
}

static void put_model(struct table *t, struct br_import_record *rec, const char *cell)
{
	const struct br_pi_model *model = br_pi_model_by_id(cell);

	if (model)
		br_import_put(t->f->im, rec, BR_IK_MODEL, model->id, br_import_here(t->f));
	else
		br_import_say(t->f->im, BR_IMPORT_LEFT, br_import_here(t->f), cell, "is no model; one is, for example, 3B+, 4B or 5");
}

static void put_cell(struct table *t, struct br_import_record *rec, enum br_import_key key, const char *cell)
{
	struct br_import *im = t->f->im;
	struct br_import_place at = br_import_here(t->f);
	bool ok = true;

	switch (key) {
	case BR_IK_MAC:
		ok = br_import_put_mac(im, rec, cell, at);
		break;
	case BR_IK_SERIAL:
		ok = br_import_put_serial(im, rec, cell, at);
		break;
	case BR_IK_NAME:
		ok = br_import_put_name(im, rec, cell, at);
		break;
	case BR_IK_ADDRESS:
		ok = br_import_put_address(im, rec, cell, at);
		break;
	case BR_IK_MODEL:
		put_model(t, rec, cell);
		break;
	case BR_IK_POWER:
		put_power(t, rec, cell);
		break;
	case BR_IK_TAGS:
		br_import_put_tags(im, rec, cell, at);
		break;
	default:
		br_import_put(im, rec, key, cell, at);
	}
	if (!ok)
		br_import_say(im, BR_IMPORT_LEFT, at, cell, "is no %s", br_import_keys[key]);
}

static void row(struct table *t, char *const *cell, size_t n)
{
	struct br_import_record *rec = br_import_record(t->f->im);

	if (!rec)
		return;
	rec->board = true;
	for (size_t i = 0; i < n && i < t->n; i++)
		if (t->has_key[i] && cell[i][0] && strcmp(cell[i], "-") != 0)
			put_cell(t, rec, t->key[i], cell[i]);
	if (n > t->n)
		br_import_say(t->f->im, BR_IMPORT_LEFT, br_import_here(t->f), cell[t->n], "there are more cells than columns");
}

int br_import_csv(struct br_import_file *f, void *ctx, struct br_error *err)
{
	struct table t = { .f = f };
	bool begun = false;
	char *line;

	while ((line = br_import_line(f))) {
		char *cell[CELLS_MAX];
		size_t n;

		if (br_str_starts(line, "\xef\xbb\xbf"))
			line += 3; /* as spreadsheets begin a file of UTF-8 */
		if (!line[strspn(line, " \t,;")] || line[0] == '#')
			continue;
		if (!begun)
			t.separator = separator_of(line);
		n = cells(line, t.separator, cell);
		if (n == SIZE_MAX)
			return br_error_set(err, EINVAL, "%s:%u: more than %d columns", f->path, f->line, CELLS_MAX);
		if (!begun) {
			begun = true;
			if (take_header(&t, cell, n))
				continue;
			if (!take_argus(&t, cell, n))
				return br_error_set(err, EINVAL, "%s:%u: the columns have no names; a first line is wanted, as "
					"name,mac,serial,address,image,model,tags (each of them may be missing)", f->path, f->line);
		}
		row(&t, cell, n);
	}
	return 0;
}

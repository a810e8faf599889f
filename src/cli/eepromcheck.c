/* SPDX-License-Identifier: Apache-2.0 */
/* bramble eeprom check|diff: what is wrong with an image, and what differs between two. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/eepromfile.h"
#include "cli/eepromset.h"
#include "cli/table.h"
#include "pi/bootconf.h"
#include "pi/eepromcheck.h"

#define TEXT_MAX (64u << 10)

static json_t *finding_json(const struct br_finding *f)
{
	return json_pack("{s:s, s:o, s:s?, s:s, s:s?}", "severity", br_severity_name(f->severity), "line",
		f->line ? json_integer(f->line) : json_null(), "key", f->key, "text", f->text, "cure", f->cure);
}

static int report(const char *file, const struct br_findings *f, const struct br_common *common)
{
	size_t errors = br_findings_count(f, BR_FINDING_ERROR), warnings = br_findings_count(f, BR_FINDING_WARNING);

	if (f->failed)
		return br_cli_fail(BR_EXIT_FAILED, "out of memory");
	if (common->form != BR_FORM_TABLE) {
		br_cleanup(json_decrefp) json_t *rows = json_array();

		for (size_t i = 0; i < f->n; i++) {
			json_t *row = finding_json(&f->list[i]);

			if (common->form == BR_FORM_JSONL)
				br_print_json(row, false);
			json_array_append_new(rows, row);
		}
		if (common->form == BR_FORM_JSON)
			br_print_json(rows, true);
	} else {
		br_cli_eeprom_print_findings(file, NULL, f, common->quiet);
		if (!common->quiet)
			printf("%s: %zu error%s, %zu warning%s\n", file, errors, errors == 1 ? "" : "s", warnings, warnings == 1 ? "" : "s");
	}
	return errors ? BR_EXIT_FAILED : warnings ? BR_EXIT_WARNINGS : BR_EXIT_OK;
}

/* A bootconf.txt of its own: text, and not of an image's size. */
static bool is_text(const char *data, size_t len)
{
	return len <= TEXT_MAX && !memchr(data, 0, len) && (len < 4 || memcmp(data, "\x55\xaa\xf0\x0f", 4) != 0);
}

static int check_file(const char *file, const struct br_common *common, struct br_bootconf_board *board)
{
	br_cleanup(br_freep) char *data = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_findings f = { 0 };
	struct br_eeprom e = { 0 };
	size_t len;
	int r = br_file_read(file, 64u << 20, &data, &len, &err), code;

	if (r < 0)
		return br_cli_error(&err, r);
	if (is_text(data, len)) {
		br_bootconf_check_lines(data, len, board, &f);
		br_bootconf_check_meaning(data, len, board, &f);
	} else {
		code = br_cli_eeprom_load(file, &e);
		if (code)
			return code;
		br_eeprom_check(&e, board->network, &f);
	}
	code = report(file, &f, common);
	br_findings_done(&f);
	br_eeprom_done(&e);
	return code;
}

int br_cli_eeprom_check(int argc, char **argv)
{
	static const struct option options[] = { { "local", no_argument, NULL, 'l' }, { "chip", required_argument, NULL, 'c' }, BR_COMMON_LONG };
	struct br_bootconf_board board = { .network = true };
	struct br_common common = { 0 };
	int c;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (c == 'l')
			board.network = false;
		else if (c == 'c' && br_cli_eeprom_chip(optarg, &board.soc))
			return BR_EXIT_USAGE;
		else if (c != 'c' && br_common_take(&common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	if (argc - optind != 1)
		return br_cli_usage("wants one FILE");
	return check_file(argv[optind], &common, &board);
}

static void add_row(json_t *rows, const char *what, const char *name, json_t *a, json_t *b)
{
	if (!json_equal(a, b))
		json_array_append_new(rows, json_pack("{s:s, s:s, s:O, s:O}", "what", what, "name", name, "a", a, "b", b));
	json_decref(a);
	json_decref(b);
}

static json_t *text_or_null(const char *p, size_t len)
{
	char vis[BR_CELL_MAX];

	return p ? json_string(br_vis(vis, sizeof(vis), p, len)) : json_null();
}

/* A member as its hash; a property's text. */
static json_t *member_json(const struct br_eeprom *e, const char *name)
{
	char sum[BR_SHA256_HEX];
	size_t len;
	const uint8_t *p = br_eeprom_get(e, name, &len);

	if (!p)
		return json_null();
	br_sha256_hex(p, len, sum);
	return json_string(sum);
}

static void diff_members(const struct br_eeprom *a, const struct br_eeprom *b, json_t *rows)
{
	const struct br_eeprom *images[] = { a, b };
	char vis[60];

	for (size_t side = 0; side < 2; side++) {
		for (size_t i = 0; i < images[side]->n_sections; i++) {
			const char *name = images[side]->sections[i].name;

			/* the first of that name; what only b has, at the second round */
			if (!name[0] || br_eeprom_find(images[side], name) != &images[side]->sections[i] || (side && br_eeprom_find(a, name)))
				continue;
			add_row(rows, "member", br_vis(vis, sizeof(vis), name, strlen(name)), member_json(a, name), member_json(b, name));
		}
	}
}

/* Every property of one text, beside the other's; with 'only_missing' those that the other has not. */
static void diff_properties(const char *a, size_t a_len, const char *b, size_t b_len, bool swapped, json_t *rows)
{
	struct br_bootconf_reader reader;
	struct br_bootconf_line line;

	br_bootconf_start(&reader, a, a_len);
	while (br_bootconf_next(&reader, &line)) {
		char key[BR_BOOTCONF_NAME_MAX + 1], section[BR_BOOTCONF_NAME_MAX + 1], name[300], vis[140], vis2[140];
		const char *mine, *other;
		size_t n = 0, m = 0;

		if (line.kind != BR_BOOTCONF_PROPERTY || line.tail || line.name_len > BR_BOOTCONF_NAME_MAX || line.section_len > BR_BOOTCONF_NAME_MAX)
			continue;
		snprintf(key, sizeof(key), "%.*s", (int)line.name_len, line.name);
		snprintf(section, sizeof(section), "%.*s", (int)line.section_len, line.section);
		mine = br_bootconf_get(a, a_len, section, key, &n);
		other = br_bootconf_get(b, b_len, section, key, &m);
		if (mine != line.value || (swapped && other))
			continue; /* not the line that counts, or seen from the other side */
		br_vis(vis, sizeof(vis), key, strlen(key));
		br_vis(vis2, sizeof(vis2), section, strlen(section));
		snprintf(name, sizeof(name), "%s%s%s%s", section[0] && strcmp(section, "all") != 0 ? "[" : "",
			section[0] && strcmp(section, "all") != 0 ? vis2 : "", section[0] && strcmp(section, "all") != 0 ? "] " : "", vis);
		add_row(rows, "property", name, text_or_null(swapped ? other : mine, swapped ? m : n), text_or_null(swapped ? mine : other, swapped ? n : m));
	}
}

static void diff_facts(const struct br_eeprom *a, const struct br_eeprom *b, json_t *rows)
{
	struct br_eeprom_build x, y;

	br_eeprom_build(a, &x);
	br_eeprom_build(b, &y);
	add_row(rows, "image", "chip", json_string(br_soc_name(a->soc)), json_string(br_soc_name(b->soc)));
	add_row(rows, "image", "layout", json_string(a->ab ? "ab" : "single"), json_string(b->ab ? "ab" : "single"));
	add_row(rows, "image", "build_time", json_integer(x.time), json_integer(y.time));
	add_row(rows, "image", "version", json_string(x.version), json_string(y.version));
	add_row(rows, "image", "update_time", json_integer(x.update_time), json_integer(y.update_time));
	add_row(rows, "image", "countersigned", json_boolean(br_eeprom_countersigned(a)), json_boolean(br_eeprom_countersigned(b)));
}

/* A part of an image with two partitions, as its hash; padding and ones are nothing. */
static json_t *area_json(const struct br_eeprom *e, uint32_t from, uint32_t to)
{
	char sum[BR_SHA256_HEX];

	if (!e->ab)
		return json_null();
	if (!br_eeprom_used(e, from, to))
		return json_string("empty");
	br_sha256_hex(e->data + from, to - from, sum);
	return json_string(sum);
}

/* What boards write, and what no name above has. */
static void diff_rest(const struct br_eeprom *a, const struct br_eeprom *b, json_t *rows)
{
	char x[BR_SHA256_HEX], y[BR_SHA256_HEX];

	add_row(rows, "area", "partition B", area_json(a, BR_EEPROM_B, BR_EEPROM_JOURNALS), area_json(b, BR_EEPROM_B, BR_EEPROM_JOURNALS));
	add_row(rows, "area", "journals", area_json(a, BR_EEPROM_JOURNALS, (uint32_t)a->len), area_json(b, BR_EEPROM_JOURNALS, (uint32_t)b->len));
	if (json_array_size(rows) || (a->len == b->len && !memcmp(a->data, b->data, a->len)))
		return;
	br_sha256_hex(a->data, a->len, x);
	br_sha256_hex(b->data, b->len, y);
	add_row(rows, "image", "other bytes", json_string(x), json_string(y));
}

static void cell_what(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "what", out);
}

static void cell_name(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "name", out);
}

static void cell_side(const json_t *row, const char *side, char out[static BR_CELL_MAX])
{
	br_cell_text(row, side, out);
	if (strlen(out) == BR_SHA256_HEX - 1 && strcmp(json_string_value(json_object_get(row, "what")), "property") != 0)
		out[16] = '\0'; /* of a hash */
}

static void cell_a(const json_t *row, char out[static BR_CELL_MAX])
{
	cell_side(row, "a", out);
}

static void cell_b(const json_t *row, char out[static BR_CELL_MAX])
{
	cell_side(row, "b", out);
}

int br_cli_eeprom_diff(int argc, char **argv)
{
	static const struct option options[] = { BR_COMMON_LONG };
	static const struct br_column columns[] = { { "WHAT", cell_what }, { "NAME", cell_name }, { "A", cell_a }, { "B", cell_b }, { 0 } };
	br_cleanup(json_decrefp) json_t *rows = json_array();
	struct br_common common = { 0 };
	struct br_eeprom a = { 0 }, b = { 0 };
	int c, code;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1)
		if (br_common_take(&common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	if (argc - optind != 2)
		return br_cli_usage("wants two files");
	code = br_cli_eeprom_load(argv[optind], &a);
	if (!code)
		code = br_cli_eeprom_load(argv[optind + 1], &b);
	if (!code) {
		size_t n = 0, m = 0;
		const char *x = (const char *)br_eeprom_get(&a, BR_EEPROM_CONFIG, &n), *y = (const char *)br_eeprom_get(&b, BR_EEPROM_CONFIG, &m);

		diff_facts(&a, &b, rows);
		diff_members(&a, &b, rows);
		diff_properties(x ? x : "", n, y ? y : "", m, false, rows);
		diff_properties(y ? y : "", m, x ? x : "", n, true, rows);
		diff_rest(&a, &b, rows);
		if (json_array_size(rows) || common.form != BR_FORM_TABLE)
			br_table_print(rows, columns, "name", &common);
		code = json_array_size(rows) ? BR_EXIT_FAILED : BR_EXIT_OK;
	}
	br_eeprom_done(&a);
	br_eeprom_done(&b);
	return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* bramble eeprom show|get: what is in an EEPROM image. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
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
#include "pi/eeprom.h"
#include "pi/eepromcheck.h"

static json_t *section_json(const struct br_eeprom *e, const struct br_eeprom_section *s)
{
	char vis[BR_CELL_MAX], sum[BR_SHA256_HEX];
	json_t *row = json_object();

	br_vis(vis, sizeof(vis), s->name, strlen(s->name));
	br_sha256_hex(e->data + s->content, s->size, sum);
	json_object_set_new(row, "offset", json_integer(s->offset));
	json_object_set_new(row, "kind", json_string(br_eeprom_kind_name(s->kind)));
	json_object_set_new(row, "name", s->name[0] ? json_string(vis) : json_null());
	json_object_set_new(row, "size", json_integer(s->size));
	json_object_set_new(row, "room", s->room ? json_integer(s->room) : json_null());
	if (e->ab)
		json_object_set_new(row, "area", json_string(br_eeprom_area(e, s->offset)));
	json_object_set_new(row, "sha256", s->kind == BR_EEPROM_PAD ? json_null() : json_string(sum));
	return row;
}

static json_t *signatures_json(const struct br_eeprom *e)
{
	struct br_eeprom_signature s[BR_EEPROM_SIGNATURES];
	size_t n = br_eeprom_signatures(e, s);
	json_t *list = json_array();

	for (size_t i = n; i-- > 0;) {
		bool customer = s[i].keynum == BR_EEPROM_KEYNUM_CUSTOMER;
		json_t *one = json_pack("{s:s, s:I, s:s}", "of", s[i].of, "keynum", (json_int_t)s[i].keynum, "by",
			customer ? "customer" : "Raspberry Pi");

		if (e->soc == BR_SOC_BCM2712)
			json_object_set_new(one, "version", json_integer(s[i].version));
		json_array_append_new(list, one);
	}
	return list;
}

static json_t *image_json(const char *file, const struct br_eeprom *e)
{
	struct br_eeprom_build build;
	json_t *image = json_object(), *sections = json_array();
	char date[16];

	br_eeprom_build(e, &build);
	json_object_set_new(image, "file", json_string(file));
	json_object_set_new(image, "size", json_integer((json_int_t)e->len));
	json_object_set_new(image, "chip", json_string(br_soc_name(e->soc)));
	json_object_set_new(image, "layout", json_string(e->ab ? "ab" : "single"));
	json_object_set_new(image, "build_time", build.time ? json_integer(build.time) : json_null());
	json_object_set_new(image, "build_date", build.time ? json_string(br_eeprom_date(build.time, date)) : json_null());
	json_object_set_new(image, "version", build.version[0] ? json_string(build.version) : json_null());
	json_object_set_new(image, "version_date", build.date[0] ? json_string(build.date) : json_null());
	json_object_set_new(image, "update_time", build.has_update_time ? json_integer(build.update_time) : json_null());
	json_object_set_new(image, "signed_boot", json_boolean(br_eeprom_signed_boot(e)));
	json_object_set_new(image, "signatures", signatures_json(e));
	json_object_set_new(image, "countersigned", json_boolean(br_eeprom_countersigned(e)));
	json_object_set_new(image, "end", json_integer(e->end));
	if (e->ab) {
		json_object_set_new(image, "partition_b", json_string(br_eeprom_used(e, BR_EEPROM_B, BR_EEPROM_JOURNALS) ? "used" : "empty"));
		json_object_set_new(image, "journals", json_string(br_eeprom_used(e, BR_EEPROM_JOURNALS, (uint32_t)e->len) ? "used" : "empty"));
	}
	for (size_t i = 0; i < e->n_sections; i++)
		json_array_append_new(sections, section_json(e, &e->sections[i]));
	json_object_set_new(image, "sections", sections);
	return image;
}

static void cell_offset(const json_t *row, char out[static BR_CELL_MAX])
{
	snprintf(out, BR_CELL_MAX, "0x%06" PRIx64, (uint64_t)json_integer_value(json_object_get(row, "offset")));
}

static void cell_kind(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "kind", out);
}

static void cell_name(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "name", out);
}

static void cell_size(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "size", out);
}

static void cell_room(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "room", out);
}

static void cell_area(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "area", out);
}

static void cell_sum(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "sha256", out);
	out[16] = '\0';
}

static void print_head(const char *file, const struct br_eeprom *e)
{
	struct br_eeprom_signature s[BR_EEPROM_SIGNATURES];
	struct br_eeprom_build build;
	size_t n = br_eeprom_signatures(e, s);
	char date[16], vis[60];

	br_eeprom_build(e, &build);
	printf("%s: %s, %s, built %s", file, br_soc_name(e->soc), e->ab ? "partitions A and B" : "one copy",
		br_eeprom_date(build.time, date));
	if (build.version[0])
		printf(", version %s", br_vis(vis, sizeof(vis), build.version, strlen(build.version)));
	if (build.has_update_time)
		printf(", update time %s", br_eeprom_date(build.update_time, date));
	if (e->ab)
		printf("\npartition B: %s, journals: %s", br_eeprom_used(e, BR_EEPROM_B, BR_EEPROM_JOURNALS) ? "used" : "empty",
			br_eeprom_used(e, BR_EEPROM_JOURNALS, (uint32_t)e->len) ? "used" : "empty");
	printf("\nsigned boot: %s\ncounter-signed: %s\n", br_eeprom_signed_boot(e) ? "yes" : "no", br_eeprom_countersigned(e) ? "yes" : "no");
	for (size_t i = n; i-- > 0;) {
		printf("signature: %s, key %" PRIu32 " (%s)", s[i].of, s[i].keynum,
			s[i].keynum == BR_EEPROM_KEYNUM_CUSTOMER ? "customer" : "Raspberry Pi");
		if (e->soc == BR_SOC_BCM2712)
			printf(", version %" PRIu32, s[i].version);
		putchar('\n');
	}
	putchar('\n');
}

static int show(int argc, char **argv)
{
	static const struct option options[] = { BR_COMMON_LONG };
	static const struct br_column all[] = { { "OFFSET", cell_offset }, { "AREA", cell_area }, { "KIND", cell_kind }, { "NAME", cell_name },
		{ "SIZE", cell_size }, { "ROOM", cell_room }, { "SHA256", cell_sum }, { 0 } };
	static const struct br_column single[] = { { "OFFSET", cell_offset }, { "KIND", cell_kind }, { "NAME", cell_name },
		{ "SIZE", cell_size }, { "ROOM", cell_room }, { "SHA256", cell_sum }, { 0 } };
	br_cleanup(json_decrefp) json_t *image = NULL;
	struct br_common common = { 0 };
	struct br_eeprom e = { 0 };
	int c, code;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1)
		if (br_common_take(&common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	if (argc - optind != 1)
		return br_cli_usage("wants one FILE");
	code = br_cli_eeprom_load(argv[optind], &e);
	if (code)
		return code;
	image = image_json(argv[optind], &e);
	if (common.quiet) {
		for (size_t i = 0; i < e.n_sections; i++) {
			char vis[60];

			if (e.sections[i].name[0])
				puts(br_vis(vis, sizeof(vis), e.sections[i].name, strlen(e.sections[i].name)));
		}
	} else if (common.form != BR_FORM_TABLE) {
		br_print_json(image, common.form == BR_FORM_JSON);
	} else {
		print_head(argv[optind], &e);
		br_table_print(json_object_get(image, "sections"), e.ab ? all : single, "name", &common);
	}
	br_eeprom_done(&e);
	return BR_EXIT_OK;
}

static int write_member(const struct br_eeprom *e, const char *file, const char *name, const char *out)
{
	const struct br_eeprom_section *s = br_eeprom_find(e, name);
	struct br_error err = BR_ERROR_NULL;
	char vis[80];
	int r;

	if (!s)
		return br_cli_fail(BR_EXIT_NOT_FOUND, "%s: has no %s; 'bramble eeprom show -q' lists what it has", file,
			br_vis(vis, sizeof(vis), name, strlen(name)));
	if (s->kind == BR_EEPROM_LZ4 || s->kind == BR_EEPROM_PACKED)
		fprintf(stderr, "%s: %s is given as it is stored: compressed (%s)\n", file, s->name,
			s->kind == BR_EEPROM_LZ4 ? "an LZ4 frame, and behind it a checksum" : "the bootloader's older codec");
	if (out) {
		r = br_file_write(out, e->data + s->content, s->size, 0644, &err);
		return r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
	}
	if (fwrite(e->data + s->content, 1, s->size, stdout) != s->size)
		return br_cli_fail(BR_EXIT_FAILED, "standard output: %s", strerror(errno));
	return BR_EXIT_OK;
}

static int get(int argc, char **argv)
{
	static const struct option options[] = { { "out", required_argument, NULL, 'o' }, { 0 } };
	const char *out = NULL;
	struct br_eeprom e = { 0 };
	int c, code = 0;

	while ((c = getopt_long(argc, argv, ":o:", options, NULL)) != -1) {
		if (c != 'o')
			return br_cli_bad_option(argc, argv, c);
		out = strcmp(optarg, "-") != 0 ? optarg : NULL;
	}
	if (argc - optind < 1 || argc - optind > 2)
		return br_cli_usage("wants FILE, and perhaps a NAME");
	if (out)
		code = br_cli_eeprom_may_write(&(struct br_eeprom_target){ .out = out }, (const char *const *)&argv[optind], 1);
	if (!code)
		code = br_cli_eeprom_load(argv[optind], &e);
	if (code)
		return code;
	code = write_member(&e, argv[optind], argc - optind > 1 ? argv[optind + 1] : BR_EEPROM_CONFIG, out);
	br_eeprom_done(&e);
	return code;
}

const struct br_command br_cli_eeprom[] = {
	{ "eeprom", "show", "FILE [-o table|json|jsonl] [-q]", "Shows what is in a bootloader EEPROM image", show,
		"Chip, layout, age, signatures, and every section: offset, kind, size of its content, room (the most bytes that a\n"
		"new content may have; '-' where it cannot be replaced) and hash.\n"
		"  -o, --output FORM  table, json or jsonl\n"
		"  -q, --quiet        only the names\n" },
	{ "eeprom", "get", "FILE [NAME] [-o OUT]", "Prints a member of an EEPROM image, byte for byte", get,
		"NAME is bootconf.txt unless given. 'bootcode' is the first stage. Compressed members come as they are stored.\n"
		"  -o, --out OUT      into a file instead of standard output; never over FILE or a private key\n" },
	{ "eeprom", "set", "FILE [KEY=VALUE...] -o OUT|-i [--section S] [--unset KEY] [--config CONF] [--pubkey KEY] [--cacert CERT] "
		"[--sig SIG] [--sign KEY] [--replace NAME=FILE] [--time SECONDS] [--force] [-q]",
		"Changes properties and files of an EEPROM image", br_cli_eeprom_set, br_cli_eeprom_set_help },
	{ "eeprom", "edit", "FILE -o OUT|-i [--force]", "Opens the bootconf.txt of an EEPROM image in an editor", br_cli_eeprom_edit,
		"The editor is $VISUAL, else $EDITOR. A text with errors that were not there before is refused, and kept in a file.\n"
		"  -o, --out OUT      where the changed image goes\n"
		"  -i, --in-place     change FILE itself (all or nothing)\n"
		"      --force        take a text with errors; they are logged\n" },
	{ "eeprom", "check", "FILE [--local] [--chip 2711|2712] [-o table|json|jsonl] [-q]", "Finds what is wrong in an EEPROM image, or would leave a board dark",
		br_cli_eeprom_check,
		"FILE is an image, or a bootconf.txt alone. Exit code 0: nothing, or notes only; 6: warnings; 1: errors.\n"
		"      --local        boards with it need not boot over the network\n"
		"      --chip C       whose bootconf.txt it is: 2711 or 2712, or a model (of an image: its own)\n"
		"  -o, --output FORM  table, json or jsonl\n"
		"  -q, --quiet        errors only\n" },
	{ "eeprom", "diff", "A B [-o table|json|jsonl] [-q]", "Compares two EEPROM images: members, properties, age", br_cli_eeprom_diff,
		"Partition B and the journals, which boards write, are rows of their own; so is what differs and has no name.\n"
		"Exit code 0: not a byte differs; 1: something does.\n"
		"  -o, --output FORM  table, json or jsonl\n"
		"  -q, --quiet        only the names of what differs\n" },
	{ "eeprom", "update", "IMAGE [--dir DIR|--board BOARDS] [--as self-update|rescue|rpiboot] [--recovery FILE] [--option KEY=VALUE] "
		"[--overrides DIR] [--chip CHIP] [--current FILE] [--fused] [--min-date DATE [--remember]] [--force] [-q]",
		"Makes the files that bring an EEPROM image into boards", br_cli_eeprom_update, br_cli_eeprom_update_help },
	{ 0 },
};

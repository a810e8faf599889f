/* SPDX-License-Identifier: Apache-2.0 */
/* bramble uboot script: U-Boot's scripts between text and image, and a look at what its shell would not take. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/ubootcard.h"
#include "cli/table.h"
#include "uboot/fit.h"
#include "uboot/hush.h"
#include "uboot/script.h"
#include "uboot/stages.h"

#define FILE_MAX_ (64u << 20)

struct request {
	struct br_common common;
	const char *file, *out, *name;
	bool fit;
	char *data;
	size_t len;
};

/* What the options say, and the file's content. 0 or an exit code. */
static int read_request(int argc, char **argv, struct request *q)
{
	static const struct option options[] = {
		{ "to", required_argument, NULL, 't' },
		{ "name", required_argument, NULL, 'n' },
		{ "fit", no_argument, NULL, 'f' },
		BR_COMMON_LONG,
	};
	struct br_error err = BR_ERROR_NULL;
	int c, r;

	while ((c = getopt_long(argc, argv, ":t:n:f" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (c == 't')
			q->out = optarg;
		else if (c == 'n')
			q->name = optarg;
		else if (c == 'f')
			q->fit = true;
		else if (br_common_take(&q->common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	if (argc - optind != 2)
		return br_cli_usage("wants one FILE");
	q->file = argv[optind + 1];
	r = br_file_read(q->file, FILE_MAX_, &q->data, &q->len, &err);
	return r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
}

static int write_result(const struct request *q, const void *data, size_t len)
{
	struct br_error err = BR_ERROR_NULL;
	int r;

	if (!q->out || !strcmp(q->out, "-")) {
		if (fwrite(data, 1, len, stdout) != len)
			return br_cli_fail(BR_EXIT_FAILED, "standard output: %s", strerror(errno));
		return BR_EXIT_OK;
	}
	r = br_file_write(q->out, data, len, 0644, &err);
	return r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
}

/* SOURCE_DATE_EPOCH, else the file's own: the same text gives the same image. */
static uint32_t time_of(const char *file)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	struct stat st;
	uint64_t t;

	if (epoch && !br_parse_u64(epoch, 0, UINT32_MAX, &t))
		return (uint32_t)t;
	return stat(file, &st) < 0 || st.st_mtime < 0 || st.st_mtime > UINT32_MAX ? 0 : (uint32_t)st.st_mtime;
}

struct findings {
	const struct request *q;
	json_t *rows; /* NULL: print */
};

static void take_problem(void *ctx, const struct br_hush_problem *p)
{
	struct findings *f = ctx;

	if (f->rows)
		json_array_append_new(f->rows, json_pack("{s:i, s:s, s:s}", "line", (int)p->line, "severity",
			p->error ? "error" : "warning", "text", p->text));
	else if (!f->q->common.quiet || p->error)
		fprintf(stderr, "%s:%u: %s: %s\n", f->q->file, p->line, p->error ? "error" : "warning", p->text);
}

static int pack(struct request *q)
{
	const char *slash = strrchr(q->file, '/');
	struct findings f = { q, NULL };
	struct br_uboot_script script = {
		.name = q->name ? q->name : slash ? slash + 1 : q->file,
		.time = time_of(q->file),
		.fit = q->fit,
	};
	br_cleanup(br_freep) uint8_t *image = NULL;
	struct br_error err = BR_ERROR_NULL;
	size_t len;
	int r;

	if (br_hush_check(q->data, q->len, take_problem, &f, NULL))
		fprintf(stderr, "%s: packed as it is, but U-Boot will not run it to its end\n", q->file);
	r = br_uboot_script_pack(&script, q->data, q->len, &image, &len, &err);
	if (r < 0)
		return br_cli_fail(BR_EXIT_FAILED, "%s: %s", q->file, br_error_text(&err, r));
	return write_result(q, image, len);
}

static int unpack(struct request *q)
{
	struct br_error err = BR_ERROR_NULL;
	const char *text;
	size_t len;
	int r = br_uboot_script_unpack(q->data, q->len, &text, &len, &err);

	if (r < 0)
		return br_cli_fail(BR_EXIT_FAILED, "%s: %s", q->file, br_error_text(&err, r));
	return write_result(q, text, len);
}

/* Text, or an image of one. */
static int check(struct request *q)
{
	bool json = q->common.form != BR_FORM_TABLE;
	br_cleanup(json_decrefp) json_t *rows = json ? json_array() : NULL;
	struct findings f = { q, rows };
	struct br_error err = BR_ERROR_NULL;
	const char *text = q->data;
	size_t len = q->len;
	unsigned errors, warnings;
	int r;

	if (br_uboot_script_is_image(q->data, q->len)) {
		r = br_uboot_script_unpack(q->data, q->len, &text, &len, &err);
		if (r < 0)
			return br_cli_fail(BR_EXIT_FAILED, "%s: %s", q->file, br_error_text(&err, r));
	}
	errors = br_hush_check(text, len, take_problem, &f, &warnings);
	if (json)
		br_print_json(rows, q->common.form == BR_FORM_JSON);
	else if (!q->common.quiet)
		printf("%s: %u error%s, %u warning%s\n", q->file, errors, errors == 1 ? "" : "s", warnings,
			warnings == 1 ? "" : "s");
	return errors ? BR_EXIT_FAILED : BR_EXIT_OK;
}

static int run_script(int argc, char **argv)
{
	static const struct {
		const char *verb;
		int (*run)(struct request *q);
	} verbs[] = { { "pack", pack }, { "unpack", unpack }, { "check", check } };
	struct request q = { 0 };
	int code = read_request(argc, argv, &q);

	for (size_t i = 0; code == BR_EXIT_OK && q.file && i < BR_ARRAY_SIZE(verbs); i++) {
		if (strcmp(argv[optind], verbs[i].verb) != 0)
			continue;
		code = verbs[i].run(&q);
		free(q.data);
		return code;
	}
	free(q.data);
	return code ? code : br_cli_usage("'%s': pack, unpack or check", argv[optind]);
}

static int take_stage1(int argc, char **argv, struct br_uboot_stage1 *in, struct request *q)
{
	static const struct option options[] = {
		{ "to", required_argument, NULL, 't' }, { "wait", required_argument, NULL, 'w' },
		{ "server", required_argument, NULL, 's' }, { 0 },
	};
	uint64_t wait_ns;
	uint32_t ip;
	int c;

	while ((c = getopt_long(argc, argv, ":t:", options, NULL)) != -1) {
		if (c == 't')
			q->out = optarg;
		else if (c == 's')
			in->server = optarg;
		else if (c != 'w')
			return br_cli_bad_option(argc, argv, c);
		else if (br_parse_duration(optarg, &wait_ns) < 0 || wait_ns < BR_S || wait_ns > 86400 * BR_S)
			return br_cli_usage("--wait wants 1 s to 1 day");
		else
			in->wait_s = (unsigned)(wait_ns / BR_S);
	}
	if (argc != optind)
		return br_cli_usage("takes no words");
	if (in->server && br_ip_parse(in->server, &ip) < 0)
		return br_cli_usage("--server wants an IPv4 address");
	return BR_EXIT_OK;
}

/* The text; the image of it when the file's name is a script's. */
static int run_stage1(int argc, char **argv)
{
	struct br_uboot_stage1 in = { 0 };
	struct request q = { 0 };
	br_cleanup(br_freep) uint8_t *image = NULL;
	br_cleanup(br_freep) char *text = NULL;
	struct br_uboot_script script = { .name = "bramble stage 1" };
	struct br_error err = BR_ERROR_NULL;
	char source[4096];
	size_t len;
	int r = take_stage1(argc, argv, &in, &q);

	if (r)
		return r;
	text = br_uboot_stage1(&in);
	if (!text)
		return br_cli_fail(BR_EXIT_FAILED, "out of memory");
	if (!q.out || !br_uboot_script_source(q.out, source, sizeof(source), &script.fit))
		return write_result(&q, text, strlen(text));
	r = br_uboot_script_pack(&script, text, strlen(text), &image, &len, &err);
	return r < 0 ? br_cli_error(&err, r) : write_result(&q, image, len);
}

const struct br_command br_cli_uboot[] = {
	{ "uboot", "card", "-o FILE | --write DEVICE [--model MODELS] [--size SIZE] [--for IMAGE] [--firmware DIR] [--dtb DIR] [--u-boot DIR] "
		"[--wait DURATION] [--server ADDRESS]", "Makes a recovery card", br_cli_uboot_card, br_cli_uboot_card_help },
	{ "uboot", "stage1", "[--wait DURATION] [--server ADDRESS] [-t FILE]",
		"Writes the script that looks for the server, for a card", run_stage1,
		"  -w, --wait DUR     how long to look for a server before the board's own system starts (60 s)\n"
		"  -s, --server ADDR  the server, where DHCP does not tell (beside another DHCP server)\n"
		"  -t, --to FILE      the image of it when the name ends in .scr, .uimg or .itb, else the text;\n"
		"                     without it the text on standard output\n" },
	{ "uboot", "script", "pack|unpack|check FILE [-t FILE] [--fit] [--name NAME] [-o table|json] [-q]",
		"Turns U-Boot scripts into images and back, and checks them", run_script,
		"  pack               text to a legacy image with header and CRCs\n"
		"  unpack             the text of such an image, or of a FIT (what mkimage made, too)\n"
		"  check              what U-Boot's shell would not take, of a text or an image\n"
		"  -t, --to FILE      where the result goes; else standard output\n"
		"  -f, --fit          a FIT with crc32 and sha256 instead, for 'source ADDR:script'\n"
		"  -n, --name NAME    the name in the image; else the file's\n"
		"  -o, --output FORM  of check: table, json or jsonl\n"
		"  -q, --quiet        errors only\n"
		"The time in the image is $SOURCE_DATE_EPOCH, else the file's. Exit code 1: the check found an error.\n" },
	{ 0 },
};

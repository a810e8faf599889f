/* SPDX-License-Identifier: Apache-2.0 */
/* bramble import: moving in from dnsmasq, ISC dhcpd, piserver, Argus and folders of one's own. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/importapply.h"
#include "cli/table.h"
#include "daemon/config.h"
#include "import/import.h"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);
BR_DEFINE_CLEANUP(struct br_import *, br_import_free);

struct request {
	struct br_common common;
	struct br_import_how opt;
	struct br_apply_options apply;
	bool do_apply;
};

static int read_options(int argc, char **argv, struct request *q)
{
	static const struct option options[] = { { "apply", no_argument, NULL, 300 }, { "all", no_argument, NULL, 301 },
		{ "root", required_argument, NULL, 302 }, { "force", no_argument, NULL, 303 }, { "overrides", required_argument, NULL, 304 },
		BR_COMMON_LONG };
	int c;

	q->apply.overrides = BR_OVERRIDES_DIR;
	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (c == 300)
			q->do_apply = true;
		else if (c == 301)
			q->opt.all = true;
		else if (c == 302)
			q->opt.root = optarg;
		else if (c == 303)
			q->apply.force = true;
		else if (c == 304)
			q->apply.overrides = optarg;
		else if (br_common_take(&q->common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	return optind < argc ? 0 : br_cli_usage("files or a directory are needed");
}

/* ---- the plan for people ---- */

BR_CELL(cell_name, "name");
BR_CELL(cell_mac, "mac");
BR_CELL(cell_serial, "serial");
BR_CELL(cell_address, "address");
BR_CELL(cell_model, "model");
BR_CELL(cell_image, "image");
BR_CELL(cell_tags, "tags");

static void cell_from(const json_t *row, char out[static BR_CELL_MAX])
{
	const json_t *from = json_object_get(row, "from");
	size_t n = json_array_size(from);
	const char *first = json_string_value(json_array_get(from, 0));
	char vis[150];

	br_vis(vis, sizeof(vis), first ?: "", strlen(first ?: ""));
	if (n > 1)
		snprintf(out, BR_CELL_MAX, "%s and %zu more", vis, n - 1);
	else
		snprintf(out, BR_CELL_MAX, "%s", vis);
}

static const struct br_column columns[] = {
	{ "NAME", cell_name }, { "MAC", cell_mac }, { "SERIAL", cell_serial }, { "ADDRESS", cell_address }, { "MODEL", cell_model },
	{ "IMAGE", cell_image }, { "TAGS", cell_tags }, { "FROM", cell_from }, { NULL, NULL },
};

static void print_vis(const char *text)
{
	struct br_text t = BR_TEXT_NULL;

	br_text_add_vis(&t, text ?: "-", strlen(text ?: "-"));
	fputs(t.buf ? t.buf : "", stdout);
	br_text_done(&t);
}

static const char *text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static void print_images(const json_t *images)
{
	const json_t *o;
	size_t i;

	if (!json_array_size(images))
		return;
	puts("\nImages and roots:");
	json_array_foreach((json_t *)(uintptr_t)images, i, o) {
		const char *kind = text_of(o, "kind");
		size_t n = json_array_size(json_object_get(o, "boards"));

		fputs("  ", stdout);
		print_vis(text_of(o, "source"));
		printf(", of %zu board%s: ", n, n == 1 ? "" : "s");
		if (!strcmp(kind ?: "", "file"))
			printf("bramble image add FILE --name %s\n", text_of(o, "name") ?: "NAME");
		else if (!strcmp(kind ?: "", "name"))
			puts("an image of that name must be there");
		else
			puts("an NFS root: add the image it was made from; 'bramble disk cp' brings single files over");
	}
}

static void print_settings(const json_t *settings)
{
	const json_t *o;
	size_t i;

	if (!json_array_size(settings))
		return;
	puts("\nFor bramble.conf:\n[serve]");
	json_array_foreach((json_t *)(uintptr_t)settings, i, o) {
		printf("%s = ", text_of(o, "key"));
		print_vis(text_of(o, "value"));
		putchar('\n');
	}
}

static void print_shares(const json_t *shares)
{
	const json_t *o;
	size_t i;

	if (!json_array_size(shares))
		return;
	puts("\nShares:");
	json_array_foreach((json_t *)(uintptr_t)shares, i, o) {
		printf("  %s (%s): ", text_of(o, "name"), text_of(o, "mode"));
		print_vis(text_of(o, "dir"));
		putchar('\n');
	}
}

static void print_overrides(const json_t *overrides)
{
	const json_t *o;
	size_t i;

	if (!json_array_size(overrides))
		return;
	puts("\nOverrides:");
	json_array_foreach((json_t *)(uintptr_t)overrides, i, o) {
		printf("  %s/%s", text_of(o, "board"), text_of(o, "path"));
		if (text_of(o, "adds")) {
			fputs(" + ", stdout);
			print_vis(text_of(o, "adds"));
		}
		printf(": %s\n", text_of(o, "why"));
	}
}

static void print_notes(const json_t *notes, const char *title)
{
	const json_t *o;
	size_t i;

	if (!json_array_size(notes))
		return;
	printf("\n%s:\n", title);
	json_array_foreach((json_t *)(uintptr_t)notes, i, o) {
		/* made safe where they were told */
		printf("  %s: %s: %s\n", text_of(o, "at"), text_of(o, "what"), text_of(o, "why"));
	}
}

static void print_plan(const json_t *plan, const struct br_common *common)
{
	const json_t *boards = json_object_get(plan, "boards");

	br_table_print(boards, columns, "name", common);
	if (common->quiet)
		return;
	if (!json_array_size(boards))
		puts("No boards.");
	print_images(json_object_get(plan, "images"));
	print_shares(json_object_get(plan, "shares"));
	print_overrides(json_object_get(plan, "overrides"));
	print_settings(json_object_get(plan, "settings"));
	print_notes(json_object_get(plan, "conflicts"), "Conflicts (what was said first counts)");
	print_notes(json_object_get(plan, "left"), "Not taken over");
	print_notes(json_object_get(plan, "notes"), "Notes");
}

/* ---- doing it ---- */

static void say_step(const json_t *step)
{
	const char *kind = text_of(step, "kind"), *action = text_of(step, "action");

	printf("%s %s %s\n", !strcmp(action, "create") ? "made" : "changed", kind, text_of(step, "name"));
}

static size_t count_done(const json_t *look, size_t *ret_same)
{
	const json_t *step;
	size_t i, n = 0;

	*ret_same = 0;
	json_array_foreach(json_object_get(look, "steps"), i, step) {
		n += json_is_true(json_object_get(step, "done"));
		*ret_same += !strcmp(text_of(step, "action"), "same");
	}
	return n;
}

static int print_problems(const json_t *look)
{
	const json_t *problems = json_object_get(look, "problems");
	const json_t *p;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)problems, i, p) {
		const char *s = json_string_value(p);
		struct br_text t = BR_TEXT_NULL;

		br_text_add_vis(&t, s ?: "", strlen(s ?: ""));
		fprintf(stderr, "bramble: %s\n", t.buf ? t.buf : "");
		br_text_done(&t);
	}
	return br_cli_fail(BR_EXIT_FAILED, "nothing was changed: %zu problem%s", json_array_size(problems),
		json_array_size(problems) == 1 ? "" : "s");
}

static int apply(const struct request *q, json_t *plan)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(json_decrefp) json_t *look = NULL;
	bool words = q->common.form == BR_FORM_TABLE && !q->common.quiet;
	struct br_error err = BR_ERROR_NULL;
	size_t done, same, all;
	int r = br_client_new(q->common.state, &client, &err);

	if (r >= 0)
		r = br_apply_look(client, plan, &q->apply, &look, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	json_object_set(plan, "apply", look);
	if (!json_array_size(json_object_get(look, "problems")))
		r = br_apply_do(client, look, &q->apply, words ? say_step : NULL, &err);
	if (q->common.form != BR_FORM_TABLE)
		br_print_json(plan, q->common.form == BR_FORM_JSON);
	if (json_array_size(json_object_get(look, "problems")))
		return print_problems(look);
	done = count_done(look, &same);
	all = json_array_size(json_object_get(look, "steps"));
	if (r < 0) {
		br_cli_error(&err, r);
		return br_cli_fail(BR_EXIT_FAILED, "%zu of %zu steps are done and stay so; the same command again does the rest", done + same, all);
	}
	if (words)
		printf("%zu done, %zu were so already.%s\n", done, same,
			json_array_size(json_object_get(plan, "settings")) ? " The lines for bramble.conf are left to you." : "");
	return BR_EXIT_OK;
}

static int run_import(int argc, char **argv)
{
	br_cleanup(br_import_freep) struct br_import *im = NULL;
	br_cleanup(json_decrefp) json_t *plan = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct request q = { 0 };
	int r = read_options(argc, argv, &q);

	if (r)
		return r;
	r = br_import_new(&q.opt, &im, &err);
	for (int i = optind; i < argc && r >= 0; i++)
		r = br_import_path(im, argv[i], &err);
	if (r >= 0)
		r = br_import_plan(im, &plan, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	if (q.common.form == BR_FORM_TABLE)
		print_plan(plan, &q.common);
	if (q.do_apply)
		return apply(&q, plan);
	if (q.common.form != BR_FORM_TABLE)
		br_print_json(plan, q.common.form == BR_FORM_JSON);
	return json_array_size(json_object_get(plan, "conflicts")) ? BR_EXIT_WARNINGS : BR_EXIT_OK;
}

const struct br_command br_cli_import[] = {
	{ NULL, "import", "FILE...|DIR [--apply] [--all] [--root DIR] [--overrides DIR] [--force] [-o table|json]",
		"Reads another boot server's set-up and proposes boards, images, overrides and settings", run_import,
		"Reads dnsmasq.conf, ISC dhcpd.conf, /etc/exports, /etc/hosts, /etc/ethers, CSV tables, folders of boot files and NFS\n"
		"roots, each told by its content; DIR may also be the root of a machine ('/', or a copy of it). Nothing is changed\n"
		"without --apply. Exit code 6: the files disagree in something.\n"
		"  --apply            makes the boards, shares and overrides through the daemon; all is checked before the first\n"
		"                     change, and the same again does what is left\n"
		"  --all              MACs of other makers are boards, too\n"
		"  --root DIR         absolute paths inside of the files are below DIR\n"
		"  --overrides DIR    where overrides go (default: /etc/bramble/boot)\n"
		"  --force            where files disagree the first counts; overrides of other content are replaced\n"
		"  -o, --output FORM  table, json or jsonl\n  -q, --quiet        only the names of the boards\n" },
	{ 0 },
};

/* SPDX-License-Identifier: Apache-2.0 */
/* bramble backup, bramble restore: the state in one file, and back. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backup/backup.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/state.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "daemon/config.h"
#include "daemon/privileges.h"
#include "fleet/fleet.h"

#define CONFIG_DIR "/etc/bramble"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

static bool interrupted; /* set by the handler only, read between pieces */

static void on_signal(int sig)
{
	__atomic_store_n(&interrupted, true, __ATOMIC_RELAXED);
}

struct request {
	struct br_common common;
	const char *file, *config;
	bool images, disks, no_config, check;
};

static int read_options(int argc, char **argv, const struct option *options, struct request *q)
{
	int c;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (c == 300)
			q->images = true;
		else if (c == 301)
			q->disks = true;
		else if (c == 302)
			q->config = optarg;
		else if (c == 303)
			q->no_config = true;
		else if (c == 304)
			q->check = true;
		else if (br_common_take(&q->common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	if (argc - optind != 1)
		return br_cli_usage(argc - optind > 1 ? "too many words" : "a file is needed");
	q->file = argv[optind];
	return 0;
}

/* A running daemon freezes the disks; without one its lock is ours as long as the backup lasts. */
static int find_daemon(const char *state, struct br_client **ret, int *ret_lock, struct br_error *err)
{
	br_cleanup(br_freep) char *lock = NULL;
	json_t *status = NULL;
	int r = br_client_new(state, ret, err); /* this machine's, whatever --server says */

	if (r >= 0)
		r = br_client_call(*ret, "GET", "/v1/status", NULL, &status, err);
	json_decref(status);
	if (r != -ECONNREFUSED)
		return r < 0 ? r : 0;
	br_client_free(br_take(*ret));
	*err = BR_ERROR_NULL;
	lock = br_path_join(state, "daemon.lock");
	r = lock ? br_fleet_lock(state, ret_lock, err) : br_error_set(err, ENOMEM, "out of memory");
	return r < 0 ? r : br_state_own(state, lock, err); /* the daemon's, should it not have been there */
}

static void print_written(const struct request *q, const struct br_backup_result *res)
{
	char bytes[16], stored[16];

	if (q->common.form != BR_FORM_TABLE) {
		json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:s, s:{s:b, s:b, s:b}}", "file", q->file, "files", (json_int_t)res->files, "bytes",
			(json_int_t)res->bytes, "stored_bytes", (json_int_t)res->stored, "sha256", res->sha256, "with", "images", q->images, "disks",
			q->disks, "config", !q->no_config);

		br_print_json(o, q->common.form == BR_FORM_JSON);
		json_decref(o);
	} else if (!q->common.quiet) {
		printf("%s: %llu files, %s in %s, read back and right\nsha256 %s\n", q->file, (unsigned long long)res->files,
			br_format_size(bytes, sizeof(bytes), res->bytes), br_format_size(stored, sizeof(stored), res->stored), res->sha256);
		printf("It holds keys and other secrets%s%s.\n", q->images ? "" : "; images are not in it (--with-images)",
			q->disks ? "" : "; disks are not in it (--with-disks)");
	}
}

static int backup(int argc, char **argv)
{
	static const struct option options[] = { { "with-images", no_argument, NULL, 300 }, { "with-disks", no_argument, NULL, 301 },
		{ "config", required_argument, NULL, 302 }, { "no-config", no_argument, NULL, 303 }, BR_COMMON_LONG };
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(br_freep) char *state = NULL;
	br_cleanup(br_closep) int lock = -1;
	struct sigaction act = { .sa_handler = on_signal };
	struct br_backup_result res = { 0 };
	struct br_error err = BR_ERROR_NULL;
	struct request q = { .config = CONFIG_DIR };
	int r = read_options(argc, argv, options, &q);

	if (r)
		return r;
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	r = br_state_dir(q.common.state, &state, &err);
	if (r >= 0 && access(state, F_OK) < 0)
		r = br_error_set(&err, ENOENT, "state directory %s: is not there", state);
	if (r >= 0)
		r = find_daemon(state, &client, &lock, &err);
	if (r >= 0) {
		struct br_backup_options opt = { .state = state, .config = q.no_config ? NULL : q.config, .client = client, .images = q.images,
			.disks = q.disks, .quiet = q.common.quiet, .cancelled = &interrupted };

		r = br_backup_write(q.file, &opt, &res, &err);
	}
	if (r == -ECANCELED) {
		br_cli_error(&err, r);
		return BR_EXIT_INTERRUPTED;
	}
	if (r < 0)
		return br_cli_error(&err, r);
	print_written(&q, &res);
	return BR_EXIT_OK;
}

/* ---- restore ---- */

static void print_images(const json_t *manifest)
{
	const json_t *images = json_object_get(manifest, "images"), *i;
	bool with = json_is_true(json_object_get(json_object_get(manifest, "with"), "images"));
	char name[BR_CELL_MAX], sha[BR_CELL_MAX], source[BR_CELL_MAX];
	size_t n;

	if (with || !json_array_size(images))
		return;
	puts("Images are not in it. Boards need these again ('bramble image add FILE --name NAME'):");
	json_array_foreach((json_t *)(uintptr_t)images, n, i) {
		br_cell_text(i, "name", name);
		br_cell_text(i, "sha256", sha);
		br_cell_text(i, "source", source);
		printf("  %s from %s, sha256 %s\n", name, source, sha);
	}
}

static void print_restored(const struct request *q, const char *state, json_t *manifest)
{
	char when[BR_CELL_MAX], host[BR_CELL_MAX];
	size_t n = json_array_size(json_object_get(manifest, "files"));

	if (q->common.form != BR_FORM_TABLE) {
		json_object_set_new(manifest, "files", json_integer((json_int_t)n));
		json_object_set_new(manifest, "state", q->check ? json_null() : json_string(state));
		br_print_json(manifest, q->common.form == BR_FORM_JSON);
		return;
	}
	if (q->common.quiet)
		return;
	br_cell_text(manifest, "made_at", when);
	br_cell_text(manifest, "host", host);
	printf("%s: made on %s at %s, %zu files, all of them right\n", q->file, host, when, n);
	if (q->check)
		return;
	printf("restored to %s\n", state);
	print_images(manifest);
	if (!q->config && json_is_true(json_object_get(json_object_get(manifest, "with"), "config")))
		puts("The configuration stays in it; --config " CONFIG_DIR " puts it back.");
}

static int restore(int argc, char **argv)
{
	static const struct option options[] = { { "config", required_argument, NULL, 302 }, { "check", no_argument, NULL, 304 }, BR_COMMON_LONG };
	br_cleanup(json_decrefp) json_t *manifest = NULL;
	br_cleanup(br_freep) char *state = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_identity id = { 0 };
	struct request q = { 0 };
	int r = read_options(argc, argv, options, &q);

	if (r)
		return r;
	r = br_state_dir(q.common.state, &state, &err);
	if (r >= 0 && q.check)
		r = br_backup_check(q.file, q.common.quiet, &manifest, &err);
	else if (r >= 0)
		r = br_identity_choose(NULL, state, &id, &err);
	if (r >= 0 && !q.check) {
		struct br_restore_options opt = { .state = state, .config = q.config, .uid = id.uid, .gid = id.gid, .quiet = q.common.quiet };

		r = br_backup_restore(q.file, &opt, &manifest, &err);
	}
	if (r < 0)
		return br_cli_error(&err, r);
	print_restored(&q, state, manifest);
	return BR_EXIT_OK;
}

const struct br_command br_cli_backup[] = {
	{ NULL, "backup", "FILE [--with-images] [--with-disks] [--config DIR|--no-config] [-o table|json] [-q]",
		"Writes the state to one file (.tar.zst, .tar.xz, .tar), while boards go on", backup,
		"Database, keys, overrides and configuration, read back before it is called done. FILE holds secrets (mode 0600).\n"
		"  --with-images      the images and what lies on them, too; else what they are is noted\n"
		"  --with-disks       each persistent disk and area /persist, as at one moment\n"
		"  --config DIR       the configuration is there (default: " CONFIG_DIR ")\n"
		"  --no-config        it stays out\n"
		"  -o, --output FORM  table, json or jsonl\n  -q, --quiet        says nothing\n" },
	{ NULL, "restore", "FILE [--state DIR] [--config DIR] [--check] [-o table|json] [-q]",
		"Makes a state directory of such a file; replaces nothing", restore,
		"All hashes are checked before anything is written. A state that is there, or served, is refused.\n"
		"  --config DIR       puts the configuration there, as " CONFIG_DIR "; without this it stays in FILE\n"
		"  --check            only reads FILE, and tells whether it is whole\n"
		"  -o, --output FORM  table, json or jsonl\n  -q, --quiet        says nothing\n" },
	{ 0 },
};

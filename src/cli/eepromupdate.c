/* SPDX-License-Identifier: Apache-2.0 */
/* bramble eeprom update: the files that bring an image into boards, into a directory or the boards' overrides. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/client.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/hostlist.h"
#include "base/state.h"
#include "base/text.h"
#include "cli/audit.h"
#include "cli/cli.h"
#include "cli/eepromfile.h"
#include "cli/eepromset.h"
#include "cli/table.h"
#include "daemon/config.h"
#include "fleet/fact.h"
#include "pi/eepromupdate.h"
#include "pi/sigfile.h"

#define RECOVERY_MAX (1u << 20)
#define CURRENT_MAX (4u << 20)
#define FLOORS "eeprom-floors"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

struct request {
	struct br_common common;
	const char *file, *dir, *boards, *overrides, *recovery, *current, *chip, *min_date;
	struct br_text options; /* of config.txt */
	bool remember, force;
	struct br_eeprom image;
	struct br_eeprom_update u;
	char *recovery_data, *current_data;
	uint8_t key_hash[32];
	struct br_text forced; /* the reasons that were passed over */
};

enum {
	OPT_AS = 300,
	OPT_BOARD,
	OPT_OVERRIDES,
	OPT_RECOVERY,
	OPT_CURRENT,
	OPT_CHIP,
	OPT_FUSED,
	OPT_MIN_DATE,
	OPT_REMEMBER,
	OPT_OPTION,
	OPT_FORCE,
	OPT_STATE,
};

static int take_road(struct request *q, const char *word)
{
	static const char *const roads[] = { "self-update", "rescue", "rpiboot" };

	for (size_t i = 0; i < BR_ARRAY_SIZE(roads); i++) {
		if (strcmp(roads[i], word) != 0)
			continue;
		q->u.road = (enum br_eeprom_road)i;
		return 0;
	}
	return br_cli_usage("--as is one of self-update, rescue and rpiboot");
}

static int take_option(struct request *q, int argc, char **argv, int c)
{
	switch (c) {
	case 'd':
		q->dir = optarg;
		return 0;
	case 'q':
		q->common.quiet = true;
		return 0;
	case OPT_STATE:
		q->common.state = optarg;
		return 0;
	case OPT_AS:
		return take_road(q, optarg);
	case OPT_BOARD:
		q->boards = optarg;
		return 0;
	case OPT_OVERRIDES:
		q->overrides = optarg;
		return 0;
	case OPT_RECOVERY:
		q->recovery = optarg;
		return 0;
	case OPT_CURRENT:
		q->current = optarg;
		return 0;
	case OPT_CHIP:
		q->chip = optarg;
		return 0;
	case OPT_FUSED:
		q->u.fused = true;
		return 0;
	case OPT_MIN_DATE:
		q->min_date = optarg;
		return 0;
	case OPT_REMEMBER:
		q->remember = true;
		return 0;
	case OPT_OPTION:
		br_text_addf(&q->options, "%s\n", optarg);
		return 0;
	case OPT_FORCE:
		q->force = true;
		return 0;
	default:
		return br_cli_bad_option(argc, argv, c);
	}
}

static int read_request(int argc, char **argv, struct request *q)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' }, { "as", required_argument, NULL, OPT_AS }, { "board", required_argument, NULL, OPT_BOARD },
		{ "overrides", required_argument, NULL, OPT_OVERRIDES }, { "recovery", required_argument, NULL, OPT_RECOVERY },
		{ "current", required_argument, NULL, OPT_CURRENT }, { "chip", required_argument, NULL, OPT_CHIP },
		{ "fused", no_argument, NULL, OPT_FUSED }, { "min-date", required_argument, NULL, OPT_MIN_DATE },
		{ "remember", no_argument, NULL, OPT_REMEMBER }, { "option", required_argument, NULL, OPT_OPTION },
		{ "force", no_argument, NULL, OPT_FORCE }, { "state", required_argument, NULL, OPT_STATE },
		{ "quiet", no_argument, NULL, 'q' }, { 0 },
	};
	int c, code;

	while ((c = getopt_long(argc, argv, ":d:q", options, NULL)) != -1) {
		code = take_option(q, argc, argv, c);
		if (code)
			return code;
	}
	if (argc - optind != 1)
		return br_cli_usage("wants one IMAGE");
	q->file = argv[optind];
	if (q->dir && q->boards)
		return br_cli_usage("--dir and --board exclude each other");
	if (!q->dir && !q->boards && q->u.road == BR_EEPROM_RPIBOOT)
		return br_cli_usage("--as rpiboot wants --dir DIR: a config.txt that is here would be written over");
	if (!q->dir && !q->boards)
		q->dir = ".";
	if (q->boards && q->u.road != BR_EEPROM_SELF_UPDATE)
		return br_cli_usage("boards take a self-update over the network, and nothing else");
	if ((q->u.road != BR_EEPROM_SELF_UPDATE) != (q->recovery != NULL))
		return br_cli_usage("%s", q->recovery ? "--recovery is for --as rescue and --as rpiboot" :
			"--as rescue and --as rpiboot want --recovery FILE: the recovery.bin of the board's chip, from Raspberry Pi");
	if (q->options.len && q->u.road != BR_EEPROM_RPIBOOT)
		return br_cli_usage("--option is for --as rpiboot");
	if (q->remember && !q->min_date)
		return br_cli_usage("--remember wants --min-date");
	return q->chip ? br_cli_eeprom_chip(q->chip, &q->u.board) : 0;
}

/* ---- the floor ---- */

static int parse_date(const char *word, uint32_t *ret)
{
	struct tm tm = { 0 };
	const char *end = strptime(word, "%Y-%m-%d", &tm);
	time_t t = end && !*end ? timegm(&tm) : -1;

	if (t < 0 || t > UINT32_MAX)
		return br_cli_usage("--min-date wants a date as 2026-05-17");
	*ret = (uint32_t)t;
	return 0;
}

static char *floors_path(const struct request *q, struct br_error *err)
{
	br_cleanup(br_freep) char *state = NULL;

	return br_state_dir(q->common.state, &state, err) < 0 ? NULL : br_path_join(state, FLOORS);
}

/* Lines "BCM2711 SECONDS" of the file, but skip's; 'ret' gets skip's number. */
static int read_floors(const char *path, enum br_soc soc, uint32_t *ret, struct br_text *others, struct br_error *err)
{
	br_cleanup(br_freep) char *text = NULL;
	char *save = NULL;
	size_t len;
	int r = br_file_read(path, 4096, &text, &len, err);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *blank = strchr(line, ' ');
		uint64_t t;

		if (!blank || br_parse_u64(blank + 1, 0, UINT32_MAX, &t) < 0)
			return br_error_set(err, EBADMSG, "%s: '%.40s' is no floor; remove the file, or correct it", path, line);
		*blank = '\0';
		if (!strcmp(line, br_soc_name(soc)))
			*ret = (uint32_t)t;
		else if (others)
			br_text_addf(others, "%s %" PRIu64 "\n", line, t);
	}
	return 0;
}

/* What was remembered for the chip, and never below ours; --min-date raises it, or lowers it by --force. keep: writes it down. */
static int find_floor(struct request *q, bool keep)
{
	struct br_error err = BR_ERROR_NULL;
	br_cleanup(br_freep) char *path = floors_path(q, &err);
	struct br_text others = BR_TEXT_NULL;
	int r, code;

	if (!path)
		return br_cli_error(&err, err.code ? -err.code : -ENOMEM);
	q->u.floor = BR_EEPROM_FLOOR;
	r = read_floors(path, q->image.soc, &q->u.floor, &others, &err);
	code = r < 0 ? br_cli_error(&err, r) : 0;
	if (q->u.floor < BR_EEPROM_FLOOR)
		q->u.floor = BR_EEPROM_FLOOR;
	q->u.lowered = q->u.floor;
	if (!code && q->min_date)
		code = parse_date(q->min_date, &q->u.floor);
	if (!code && keep) {
		br_cleanup(br_freep) char *state = NULL;

		br_text_addf(&others, "%s %" PRIu32 "\n", br_soc_name(q->image.soc), q->u.floor);
		r = others.failed ? -ENOMEM : br_state_dir(q->common.state, &state, &err);
		if (r == 0)
			r = br_mkdir_all(state, 0755, &err);
		if (r == 0)
			r = br_file_write(path, others.buf, others.len, 0644, &err);
		if (r == 0)
			r = br_state_own(state, path, &err);
		code = r < 0 ? br_cli_error(&err, r) : 0;
	}
	br_text_done(&others);
	return code;
}

/* ---- input ---- */

static int read_file(const char *path, size_t max, char **ret, size_t *ret_len)
{
	struct br_error err = BR_ERROR_NULL;
	int r = br_file_read(path, max, ret, ret_len, &err);

	return r < 0 ? br_cli_error(&err, r) : 0;
}

/* The board's configuration: out of the image that it has, or a bootconf.txt. */
static int read_current(struct request *q)
{
	struct br_eeprom now = { 0 };
	size_t len;
	int code = read_file(q->current, CURRENT_MAX, &q->current_data, &len);

	if (code)
		return code;
	if (len == BR_EEPROM_SIZE_2711 || len == BR_EEPROM_SIZE_2712) {
		size_t n = 0;
		const void *text;

		code = br_cli_eeprom_load(q->current, &now);
		if (code)
			return code;
		text = br_eeprom_get(&now, BR_EEPROM_CONFIG, &n);
		len = text ? n : 0;
		if (len)
			memcpy(q->current_data, text, len);
		if (!q->u.board)
			q->u.board = now.soc;
		br_eeprom_done(&now);
	}
	q->u.current = q->current_data;
	q->u.current_len = len;
	return 0;
}

static int check_options(const struct request *q)
{
	br_cleanup(br_freep) char *lines = strdup(q->options.buf ? q->options.buf : "");
	struct br_error err = BR_ERROR_NULL;
	char *save = NULL;

	if (!lines || q->options.failed)
		return br_cli_fail(BR_EXIT_FAILED, "out of memory");
	for (char *line = strtok_r(lines, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (br_eeprom_recovery_option(q->image.soc, line, &err) < 0)
			return br_cli_fail(BR_EXIT_USAGE, "--option: %s", err.text);
	}
	return 0;
}

static int read_input(struct request *q)
{
	int code = br_cli_eeprom_load(q->file, &q->image);

	q->u.image = &q->image;
	if (!code)
		code = check_options(q);
	if (!code && q->recovery) {
		code = read_file(q->recovery, RECOVERY_MAX, &q->recovery_data, &q->u.recovery_len);
		q->u.recovery = q->recovery_data;
	}
	if (!code && q->current)
		code = read_current(q);
	q->u.options = q->options.buf ? q->options.buf : "";
	return code ? code : find_floor(q, false);
}

/* ---- interlocks ---- */

/* All reasons are told. 0 when there are none, or with --force. who: a board, or NULL. */
static int interlock(struct request *q, const char *who)
{
	struct br_findings f = { 0 };
	size_t n;

	br_eeprom_update_check(&q->u, &f);
	n = f.n;
	if (f.failed) {
		br_findings_done(&f);
		return br_cli_fail(BR_EXIT_FAILED, "out of memory");
	}
	for (size_t i = 0; i < n; i++) {
		fprintf(stderr, "%s%s%s: %s: %s%s%s\n", q->file, who ? ", " : "", who ? who : "", q->force ? "FORCED although" : "refused", f.list[i].text,
			f.list[i].cure ? ". Cure: " : "", f.list[i].cure ? f.list[i].cure : "");
		br_text_addf(&q->forced, "%s%s", q->forced.len ? "; " : "", f.list[i].text);
	}
	br_findings_done(&f);
	if (q->forced.failed)
		return br_cli_fail(BR_EXIT_FAILED, "out of memory");
	if (n && !q->force)
		return br_cli_fail(BR_EXIT_FAILED, "%s: nothing was written (--force does it nevertheless, at the price of boards that may not start again)", q->file);
	return 0;
}

/* ---- output ---- */

static int write_files(const struct request *q, const char *dir)
{
	struct br_eeprom_update_file files[BR_EEPROM_FILES];
	struct br_error err = BR_ERROR_NULL;
	uint64_t ts;
	int r = br_sigfile_time(&ts, &err), n;

	if (r == 0)
		r = br_mkdir_all(dir, 0755, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	n = br_eeprom_update_files(&q->u, ts, files, &err);
	for (int i = 0; r == 0 && i < n; i++) {
		br_cleanup(br_freep) char *path = br_path_join(dir, files[i].name);

		r = path ? br_file_write(path, files[i].data, files[i].len, 0644, &err) : br_error_set(&err, ENOMEM, "out of memory");
		if (r == 0 && !q->common.quiet)
			printf("%s\n", path);
	}
	if (n < 0)
		return br_cli_error(&err, n);
	br_eeprom_update_files_done(files, n);
	return r < 0 ? br_cli_error(&err, r) : 0;
}

/* What the daemon knows of the board: its model says the chip, and what it told over USB, whether it is fused. */
static int read_record(struct request *q, struct br_client *client, const char *path, const char *name)
{
	br_cleanup(json_decrefp) json_t *board = NULL;
	struct br_error err = BR_ERROR_NULL;
	const struct br_pi_model *model;
	const char *id;
	int r = br_client_call(client, "GET", path, NULL, &board, &err);

	if (r < 0)
		return br_cli_error(&err, r);
	id = json_string_value(json_object_get(board, "model"));
	model = id ? br_pi_model_by_id(id) : NULL;
	if (!model && !q->u.board)
		return br_cli_fail(BR_EXIT_FAILED, "board %s: its model is not known, and so not its chip; say --chip", name);
	if (model)
		q->u.board = model->soc;
	if (br_fact_is_key_hash(json_string_value(br_json_at(board, "facts.CUSTOMER_KEY_HASH")))) {
		q->u.fused = true;
		if (br_unhex(q->key_hash, sizeof(q->key_hash), json_string_value(br_json_at(board, "facts.CUSTOMER_KEY_HASH"))) >= 0)
			q->u.key_hash = q->key_hash;
	}
	return 0;
}

#define FORCED_MAX 4000 /* as the daemon takes it */

/* Into the board's record: what it is to get, and what was passed over for it. */
static int tell_daemon(const struct request *q, struct br_client *client, const char *board_path)
{
	br_cleanup(br_freep) char *path = br_asprintf("%s/eeprom", board_path);
	br_cleanup(br_freep) char *forced = q->forced.len ? br_audit_cut(q->forced.buf, FORCED_MAX) : NULL;
	br_cleanup(json_decrefp) json_t *body = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_eeprom_build build;
	char sum[BR_SHA256_HEX];
	int r;

	if (q->forced.len && !forced)
		return br_cli_fail(BR_EXIT_FAILED, "out of memory");

	br_eeprom_build(&q->image, &build);
	br_sha256_hex(q->image.data, q->image.len, sum);
	body = json_pack("{s:s, s:s, s:I, s:s*}", "sha256", sum, "chip", br_soc_name(q->image.soc), "build_time", (json_int_t)build.time,
		"forced", forced);
	r = path && body ? br_client_call(client, "POST", path, body, NULL, &err) : br_error_set(&err, ENOMEM, "out of memory");
	return r < 0 ? br_cli_error(&err, r) : 0;
}

static int update_board(struct request *q, struct br_client *client, const char *name)
{
	br_cleanup(br_freep) char *escaped = br_client_escape(name);
	br_cleanup(br_freep) char *path = escaped ? br_asprintf("/v1/boards/%s", escaped) : NULL;
	br_cleanup(br_freep) char *dir = br_path_join(q->overrides ? q->overrides : BR_OVERRIDES_DIR, name);
	struct br_eeprom_update said = q->u;
	int code;

	if (!path || !dir)
		return br_cli_fail(BR_EXIT_FAILED, "out of memory");
	br_text_done(&q->forced);
	q->forced = BR_TEXT_NULL;
	code = read_record(q, client, path, name);
	if (!code)
		code = interlock(q, name);
	if (!code)
		code = tell_daemon(q, client, path); /* before the files: what nobody knows of is not given */
	if (!code)
		code = write_files(q, dir);
	q->u = said; /* the next board is another one */
	return code;
}

static int update_boards(struct request *q)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	struct br_error err = BR_ERROR_NULL;
	char **names = NULL;
	size_t n = 0;
	int r = br_hostlist_expand(q->boards, &names, &n, &err), code = 0;

	if (r == 0)
		r = br_client_new(q->common.state, &client, &err);
	if (r < 0)
		code = br_cli_error(&err, r);
	for (size_t i = 0; r == 0 && i < n; i++) {
		int one = update_board(q, client, names[i]);

		code = one ? one : code; /* the others get theirs */
	}
	br_hostlist_free(names, n);
	return code;
}

/* What is forced into a directory has no board's record. */
static int log_force(const struct request *q)
{
	struct br_error err = BR_ERROR_NULL;
	int r = br_audit(&q->common, "force", NULL, NULL, q->forced.buf, &err);

	return r < 0 ? br_cli_error(&err, r) : 0;
}

int br_cli_eeprom_update(int argc, char **argv)
{
	struct request q = { 0 };
	int code = read_request(argc, argv, &q);

	if (!code)
		code = read_input(&q);
	if (!code && q.boards) {
		code = update_boards(&q);
	} else if (!code) {
		code = interlock(&q, NULL);
		if (!code && q.forced.len)
			code = log_force(&q);
		if (!code)
			code = write_files(&q, q.dir);
	}
	if (!code && q.remember)
		code = find_floor(&q, true);
	br_eeprom_done(&q.image);
	br_text_done(&q.options);
	br_text_done(&q.forced);
	free(q.recovery_data);
	free(q.current_data);
	return code;
}

const char br_cli_eeprom_update_help[] =
	"Refused, each with its reason: an image older than the floor, of another chip, with errors ('bramble eeprom check'),\n"
	"counter-signed for a board that is not fused, and an update that the board would not take.\n"
	"  -d, --dir DIR      the files go there (default: here; rpiboot wants it): pieeprom.sig (hash and time; $SOURCE_DATE_EPOCH, else now), and\n"
	"      --as ROAD      self-update (the default): pieeprom.upd, for boot media or TFTP\n"
	"                     rescue: recovery.bin and pieeprom.bin, for a card\n"
	"                     rpiboot: bootcode4.bin or bootcode5.bin, pieeprom.bin and config.txt, for 'bramble usb boot -d DIR'\n"
	"      --board BOARDS instead of --dir: a self-update in each board's overrides, which it takes at its next boot over the\n"
	"                     network; the daemon knows its chip, and notes the update in its record\n"
	"      --overrides DIR  the overrides directory (" BR_OVERRIDES_DIR ")\n"
	"      --recovery FILE  recovery.bin of the board's chip, for rescue and rpiboot\n"
	"      --option KEY=VALUE  a line of config.txt, for rpiboot: recovery_reboot=1, eeprom_write_protect=1 ...\n"
	"      --chip C       whom it is for: 2711 or 2712, or a model\n"
	"      --current FILE what the board has now, an image or a bootconf.txt: would it take a self-update?\n"
	"      --fused        the board's OTP has the hash of the key that counter-signed (known of boards that told it over USB)\n"
	"      --min-date D   the floor: no image built before this day (2025-02-11, or what was remembered; lower only by --force)\n"
	"      --remember     keep this floor for the chip, in the state directory, when the image is taken\n"
	"      --force        do it against all these reasons; they are told, and noted in the boards' records\n"
	"  -q, --quiet        do not print the names of files\n";

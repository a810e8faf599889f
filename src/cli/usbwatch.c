/* SPDX-License-Identifier: Apache-2.0 */
/* bramble usb watch: boards in USB boot mode get what bramble.conf says, for as long as it runs. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "cli/usbkeep.h"
#include "cli/usbrun.h"
#include "cli/usbshow.h"
#include "daemon/config.h"

BR_DEFINE_CLEANUP(struct br_usb_keeper *, br_usb_keeper_free);

struct watch {
	struct br_common common;
	struct br_config config; /* of which [usb] counts */
	struct br_usb_keeper *keeper;
	struct br_usb_show show;
	bool verbose, ready;
	void (*draw)(void *ctx, const struct br_usb_manager *m, uint64_t now_ns); /* the show's, behind ours */
};

static const struct option options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "boot", required_argument, NULL, 'b' },
	{ "firmware", required_argument, NULL, 'f' },
	{ "rule", required_argument, NULL, 'r' },
	{ "verbose", no_argument, NULL, 'v' },
	BR_COMMON_LONG,
};

/* "path 1-2.3: boot=ignore": a section's name and one setting of it. */
static int take_rule(struct br_usb_policy *policy, const char *text, struct br_error *err)
{
	br_cleanup(br_freep) char *copy = strdup(text);
	char *colon = copy ? strchr(copy, ':') : NULL, *equals = colon ? strchr(colon, '=') : NULL, *key;

	if (!copy)
		return br_error_set(err, ENOMEM, "out of memory");
	if (!equals)
		return br_error_set(err, EINVAL, "'%s': a rule looks like 'path 1-2.3: boot=ignore'", text);
	*colon = *equals = 0;
	key = colon + 1 + strspn(colon + 1, " ");
	key[strcspn(key, " ")] = 0;
	return br_usb_policy_set(policy, copy, key, equals + 1 + strspn(equals + 1, " "), err);
}

static int take_option(struct watch *w, int c, struct br_error *err)
{
	switch (c) {
	case 'b':
		return br_usb_policy_set(&w->config.usb, "", "boot", optarg, err);
	case 'f':
		return br_usb_policy_set(&w->config.usb, "", "firmware", optarg, err);
	case 'r':
		return take_rule(&w->config.usb, optarg ? optarg : "", err);
	case 'v':
		w->verbose = true;
		return 0;
	default:
		return 1;
	}
}

/* The file first, then what goes over it: 0 or an exit code. */
static int take_options(int argc, char **argv, struct watch *w)
{
	static const char letters[] = ":v" BR_COMMON_SHORT;
	const char *file = NULL;
	struct br_error err = BR_ERROR_NULL;
	int c, r;

	opterr = 0;
	while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1)
		if (c == 'c')
			file = optarg;
	r = br_config_read(&w->config, file ? file : BR_CONFIG_FILE, file != NULL, &err);
	if (r < 0)
		return br_cli_fail(BR_EXIT_USAGE, "%s", err.text);
	optind = 0;
	while ((c = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		r = c == 'c' ? 0 : take_option(w, c, &err);
		if (r < 0)
			return br_cli_usage("%s", err.text);
		if (r > 0 && br_common_take(&w->common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	if (w->common.form == BR_FORM_JSON)
		return br_cli_usage("-o json is one list at the end, which never comes: -o jsonl");
	return optind < argc ? br_cli_usage("takes no words") : BR_EXIT_OK;
}

static int choose(void *ctx, const struct br_usb_device *dev, const struct br_usbboot_model *model,
	struct br_usb_choice *ret)
{
	struct watch *w = ctx;

	return br_usb_keeper_choose(w->keeper, dev, model, ret);
}

static void step(void *ctx, struct br_usb_session *s, const struct br_usb_step *what)
{
	struct watch *w = ctx;

	br_usb_keeper_step(w->keeper, s, what);
}

static void ended(void *ctx, struct br_usb_session *s, void *user)
{
	struct watch *w = ctx;

	br_usb_keeper_ended(w->keeper, s);
}

static void note(void *ctx, const struct br_usb_device *dev, const char *words)
{
	fprintf(stderr, "%s: left alone: %s\n", dev->path, words);
}

/* The host is open, and the boards that were there already have come. */
static void draw(void *ctx, const struct br_usb_manager *m, uint64_t now_ns)
{
	struct watch *w = br_container_of((struct br_usb_show *)ctx, struct watch, show);

	if (!w->ready)
		sd_notify(0, "READY=1\nSTATUS=Watching for boards in USB boot mode");
	w->ready = true;
	if (w->draw)
		w->draw(ctx, m, now_ns);
}

static int run(struct watch *w)
{
	struct br_usb_run run = {
		.select.port = -1, .voice = &w->show.voice, .choose = choose, .step = step, .ended = ended, .ctx = w, .loop = true,
	};
	struct br_error err = BR_ERROR_NULL;
	int r;

	br_usb_show_init(&w->show, &w->common);
	w->show.verbose = w->verbose;
	w->draw = w->show.voice.draw;
	w->show.voice.draw = draw;
	r = br_usb_run(&run, &err);
	sd_notify(0, "STOPPING=1");
	br_usb_show_done(&w->show);
	return r < 0 ? br_cli_fail(BR_EXIT_FAILED, "%s", br_error_text(&err, r)) : BR_EXIT_OK;
}

static int watch_with(struct watch *w)
{
	const struct br_usb_keeper_options opt = { .state = w->common.state ? w->common.state : w->config.state, .policy = &w->config.usb, .note = note, .ctx = w };
	struct br_error err = BR_ERROR_NULL;
	int r = br_usb_keeper_new(&opt, &w->keeper, &err);

	if (r < 0)
		return br_cli_error(&err, r);
	r = run(w);
	br_usb_keeper_free(w->keeper);
	return r;
}

static int run_watch(int argc, char **argv)
{
	br_cleanup(br_freep) struct watch *w = calloc(1, sizeof(*w));
	struct br_error err = BR_ERROR_NULL;
	int code;

	if (!w || br_config_init(&w->config, &err) < 0)
		return br_cli_fail(BR_EXIT_FAILED, "out of memory");
	code = take_options(argc, argv, w);
	if (!code)
		code = watch_with(w);
	br_config_done(&w->config);
	return code;
}

const struct br_command br_cli_usb_watch[] = {
	{ "usb", "watch", "[--boot WHAT] [--rule RULE] [--firmware DIR] [--config FILE] [-v] [-o table|jsonl] [-q]",
		"Boots whatever board comes to a USB port, by rules, until stopped", run_watch,
		"Rules are in the [usb ...] sections of bramble.conf(5). What happens is told to the daemon, where one runs: it is\n"
		"on the board's timeline, and what the board says of itself is in 'bramble board show'.\n"
		"  --boot WHAT        what boards get that no rule names: net (what the daemon would serve them over the network;\n"
		"                     default), ignore, gadget, 'image NAME', or the path of a directory or a raw image\n"
		"  --rule RULE        one setting of a rule, as 'path 1-2.3: boot=ignore' or 'serial a1b2c3d4: boot=/srv/recovery'\n"
		"  --firmware DIR     where first stages are, when the payload lacks them\n"
		"  --config FILE      settings, bramble.conf(5) (default: " BR_CONFIG_FILE ")\n"
		"  -v, --verbose      each step as it happens, and each board's timeline\n"
		"  -o, --output FORM  table or jsonl\n"
		"  -q, --quiet        only path and verdict\n" },
	{ 0 },
};

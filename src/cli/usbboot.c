/* SPDX-License-Identifier: Apache-2.0 */
/* bramble usb boot: what boards get by the command line or by bramble.conf's rules, how long it goes on, and how it went. */
#include "cli/usbboot.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/client.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/table.h"
#include "cli/usbkeep.h"
#include "cli/usbrun.h"
#include "cli/usbshow.h"
#include "daemon/config.h"
#include "usb/payload.h"

#define TIMEOUT_NS (120 * BR_S)
#define ASK_MS 2000

struct boot {
	struct br_common common;
	const char *dir, *image, *firmware, *metadata_dir;
	bool net, gadget, overlay, links, sign, verbose, metadata, leave_ok;
	struct br_usb_run run;
	struct br_config config; /* whose policy it is */
	struct br_usb_keeper *keeper;
	bool bad_config; /* what is wrong is bramble.conf */
};

static const struct option options[] = {
	{ "directory", required_argument, NULL, 'd' },
	{ "net", no_argument, NULL, 'n' },
	{ "gadget", no_argument, NULL, 'g' },
	{ "firmware", required_argument, NULL, 'f' },
	{ "overlay", no_argument, NULL, 'O' },
	{ "follow-links", no_argument, NULL, 'F' },
	{ "sign", no_argument, NULL, 'S' },
	{ "path", required_argument, NULL, 'p' },
	{ "port", required_argument, NULL, 'P' },
	{ "serial", required_argument, NULL, 's' },
	{ "loop", no_argument, NULL, 'l' },
	{ "metadata", optional_argument, NULL, 'm' },
	{ "wait-for", required_argument, NULL, 'w' },
	{ "timeout", required_argument, NULL, 't' },
	{ "leave-ok", no_argument, NULL, 'L' },
	{ "verbose", no_argument, NULL, 'v' },
	BR_COMMON_LONG,
};

/* 0, or -1 after a message. */
static int take_number(struct boot *b, int c)
{
	uint64_t v;

	if (c == 't') {
		if (br_parse_duration(optarg, &b->run.timeout_ns) < 0)
			return br_cli_usage("--timeout wants a duration: 90s, 5m; 0 for no end"), -1;
		b->run.timeout_ns = b->run.timeout_ns ? b->run.timeout_ns : UINT64_MAX;
		return 0;
	}
	if (br_parse_u64(optarg, 0, c == 'P' ? 255 : 1000, &v) < 0)
		return br_cli_usage(c == 'P' ? "--port wants a number up to 255" : "--wait-for wants a number up to 1000"), -1;
	if (c == 'P')
		b->run.select.port = (int)v;
	else
		b->run.wait_for = (unsigned)v;
	return 0;
}

static void take_flag(struct boot *b, int c)
{
	b->net |= c == 'n';
	b->gadget |= c == 'g';
	b->overlay |= c == 'O';
	b->links |= c == 'F';
	b->sign |= c == 'S';
	b->run.loop |= c == 'l';
	b->leave_ok |= c == 'L';
	b->verbose |= c == 'v';
	b->metadata |= c == 'm';
	if (c == 'm')
		b->metadata_dir = optarg;
}

static int take_words(int argc, char **argv, struct boot *b)
{
	unsigned n;

	if (argc - optind > 1)
		return br_cli_usage("too many words");
	b->image = argc > optind ? argv[optind] : NULL;
	n = !!b->dir + !!b->image + b->net + b->gadget;
	if (n > 1)
		return br_cli_usage("only one of -d DIR, IMAGE, --net and --gadget");
	if ((b->overlay || b->links) && !b->dir)
		return br_cli_usage("--overlay and --follow-links go with -d DIR");
	if (!n && (b->firmware || b->sign))
		return br_cli_usage("--firmware and --sign go with -d DIR, IMAGE or --net; bramble.conf's rules have their own");
	if (b->run.loop && (b->run.wait_for || b->run.timeout_ns != TIMEOUT_NS))
		return br_cli_usage("--loop goes on until it is interrupted: neither --wait-for nor --timeout");
	if (b->run.loop && b->common.form == BR_FORM_JSON)
		return br_cli_usage("-o json is one list at the end, which --loop has not: -o jsonl");
	return BR_EXIT_OK;
}

/* 0 or an exit code. */
static int take_options(int argc, char **argv, struct boot *b)
{
	int c;

	while ((c = getopt_long(argc, argv, ":d:f:Op:P:s:lw:t:v" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (c == 'd')
			b->dir = optarg;
		else if (c == 'f')
			b->firmware = optarg;
		else if (c == 'p')
			b->run.select.path = optarg;
		else if (c == 's')
			b->run.select.serial = optarg;
		else if (c == 'P' || c == 'w' || c == 't') {
			if (take_number(b, c) < 0)
				return BR_EXIT_USAGE;
		} else if (c && strchr("ngOFSlLvm", c))
			take_flag(b, c);
		else if (br_common_take(&b->common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	return take_words(argc, argv, b);
}

static int set(struct boot *b, const char *key, const char *value, struct br_error *err)
{
	return value ? br_usb_policy_set(&b->config.usb, "", key, value, err) : 0;
}

static int set_path(struct boot *b, const char *path, struct br_error *err)
{
	/* a path is told from a word by its '/' */
	br_cleanup(br_freep) char *here = br_asprintf("%s%s", strchr(path, '/') ? "" : "./", path);

	return here ? set(b, "boot", here, err) : br_error_set(err, ENOMEM, "out of memory");
}

/* Whether the store has an image of the word's name. -ENOENT: it has none, or there is no store. */
static int try_image(const struct boot *b, struct br_error *err)
{
	struct br_store *store = NULL;
	struct br_image *image = NULL;
	int r = br_common_store(&b->common, &store, err);

	if (r < 0)
		return r;
	r = br_image_open(store, b->image, &image, err);
	br_image_unref(image);
	br_store_close(store);
	return r;
}

/* Which of two things of one name is meant, so that nobody boots the other one. */
static void tell_taken(const struct boot *b, bool stored, const char *why)
{
	char vis[200];

	br_vis(vis, sizeof(vis), b->image, strlen(b->image));
	if (!b->common.quiet)
		fprintf(stderr, "bramble: '%s' is the %s%s; %s\n", vis, stored ? "stored image" : "one that is here, ./", stored ? "" : vis, why);
}

/* A path has a '/'; a word is an image of the store, and where that has none of the name, what is here. Said before a board comes. */
static int set_image(struct boot *b, struct br_error *err)
{
	br_cleanup(br_freep) char *words = br_asprintf("image %s", b->image);
	bool here = !access(b->image, F_OK);
	int r;

	if (strchr(b->image, '/'))
		return here ? set_path(b, b->image, err) : br_error_set(err, errno, "%s: %m", b->image);
	r = try_image(b, err);
	if (r < 0 && here) {
		tell_taken(b, false, r == -ENOENT ? "no stored image has the name" : "whether a stored image has the name cannot be seen");
		return set_path(b, b->image, err);
	}
	if (r < 0)
		return r;
	if (here)
		tell_taken(b, true, "what is here under that name wants a './' before it");
	return words ? set(b, "boot", words, err) : br_error_set(err, ENOMEM, "out of memory");
}

static bool daemon_answers(const struct boot *b)
{
	struct br_client *client = NULL;
	json_t *status = NULL;
	int r = br_client_new(b->common.state, &client, NULL);

	if (!r) {
		br_client_patience(client, ASK_MS);
		r = br_client_call(client, "GET", "/v1/status", NULL, &status, NULL);
	}
	json_decref(status);
	br_client_free(client);
	return r >= 0;
}

/* bramble.conf's rules; without a daemon, boards that would get its files get the gadget. */
static int set_from_config(struct boot *b, struct br_error *err)
{
	int r = br_config_read(&b->config, BR_CONFIG_FILE, false, err);

	b->bad_config = r < 0;
	if (!r && b->config.usb.rest.boot == BR_USB_BOOT_NET && !daemon_answers(b))
		r = set(b, "boot", "gadget", err);
	return r;
}

static int set_policy(struct boot *b, struct br_error *err)
{
	struct br_usb_directory dir = { .dir = b->dir, .firmware = b->firmware, .overlay = b->overlay,
		.links = b->links };
	struct br_usb_payload *trial = NULL;
	int r = br_config_init(&b->config, err);

	if (r < 0)
		return r;
	if (b->dir) /* what is wrong with it is said before a board comes */
		r = br_usb_payload_directory(&dir, &trial, err);
	br_usb_payload_unref(trial);
	if (!r && b->dir)
		r = set_path(b, b->dir, err);
	else if (!r && b->image)
		r = set_image(b, err);
	else if (!r && (b->net || b->gadget))
		r = set(b, "boot", b->net ? "net" : "gadget", err);
	else if (!r)
		return set_from_config(b, err);
	if (!r)
		r = set(b, "firmware", b->firmware, err);
	if (!r)
		r = set(b, "overlay", b->overlay ? "yes" : NULL, err);
	if (!r)
		r = set(b, "follow-links", b->links ? "yes" : NULL, err);
	return r < 0 ? r : set(b, "sign", b->sign ? "yes" : NULL, err);
}

static void note(void *ctx, const struct br_usb_device *dev, const char *words)
{
	fprintf(stderr, "%s: %s\n", dev->path, words);
}

static int choose(void *ctx, const struct br_usb_device *dev, const struct br_usbboot_model *model,
	struct br_usb_choice *ret)
{
	struct boot *b = ctx;
	int r = br_usb_keeper_choose(b->keeper, dev, model, ret);

	if (r == 1)
		ret->leave_ok = b->leave_ok;
	/* 'not now' is for who has all day; it was said why */
	return r == -EAGAIN && !b->run.loop ? -ENOENT : r;
}

static void on_step(void *ctx, struct br_usb_session *s, const struct br_usb_step *step)
{
	br_usb_keeper_step(((struct boot *)ctx)->keeper, s, step);
}

static void on_ended(void *ctx, struct br_usb_session *s, void *user)
{
	br_usb_keeper_ended(((struct boot *)ctx)->keeper, s);
}

static int boot_with(struct boot *b)
{
	struct br_usb_show show;
	struct br_error err = BR_ERROR_NULL;
	char time[24];
	enum br_exit code;
	int r;

	br_usb_show_init(&show, &b->common);
	show.verbose = b->verbose;
	show.metadata = b->metadata;
	show.metadata_dir = b->metadata_dir;
	b->run.voice = &show.voice;
	b->run.choose = choose;
	b->run.step = on_step;
	b->run.ended = on_ended;
	b->run.ctx = b;
	r = br_usb_run(&b->run, &err);
	br_usb_show_done(&show);
	if (r < 0)
		return br_cli_fail(BR_EXIT_FAILED, "%s", br_error_text(&err, r));
	code = br_usb_run_exit(&b->run);
	if (code == BR_EXIT_TIMEOUT)
		br_cli_fail(code, "%u of %u boards came in %s; 'bramble usb list' shows what is there", b->run.came,
			b->run.wait_for ? b->run.wait_for : 1, br_format_duration(time, sizeof(time), b->run.timeout_ns));
	return code == BR_EXIT_OK && show.trouble ? BR_EXIT_FAILED : (int)code;
}

int br_cli_usb_boot(int argc, char **argv)
{
	struct boot b = { .run = { .select.port = -1, .timeout_ns = TIMEOUT_NS } };
	struct br_usb_keeper_options opt = { .policy = &b.config.usb, .note = note, .ctx = &b };
	struct br_error err = BR_ERROR_NULL;
	int code = take_options(argc, argv, &b), r;

	if (code)
		return code;
	opt.state = b.common.state;
	r = set_policy(&b, &err);
	if (r < 0) /* a payload is what cannot be had; that there is no memory says nothing of it */
		code = br_cli_fail(b.bad_config ? BR_EXIT_USAGE : r == -ENOMEM ? BR_EXIT_FAILED : BR_EXIT_BAD_PAYLOAD, "%s",
			br_error_text(&err, r));
	else
		r = br_usb_keeper_new(&opt, &b.keeper, &err);
	if (!code)
		code = r < 0 ? br_cli_error(&err, r) : boot_with(&b);
	br_usb_keeper_free(b.keeper);
	br_config_done(&b.config);
	return code;
}

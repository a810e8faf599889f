/* SPDX-License-Identifier: Apache-2.0 */
/* bramble serve: the daemon in the foreground. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/cli.h"
#include "daemon/config.h"
#include "daemon/daemon.h"

#define MAX_SETTINGS 64
#define OPT_CONFIG 1
#define OPT_SETTING 100 /* + row of the table */

/* One long option per row of the settings' table, and --config. */
static void make_options(struct option *out)
{
	size_t n = 0;

	for (const struct br_config_setting *s = br_config_settings; s->name; s++, n++)
		out[n] = (struct option){ s->name, required_argument, NULL, OPT_SETTING + (int)n };
	out[n++] = (struct option){ "config", required_argument, NULL, OPT_CONFIG };
	out[n] = (struct option){ 0 };
}

/* --config is needed before the other options are looked at, since they go over the file. */
static const char *find_config(int argc, char **argv, const struct option *options)
{
	const char *found = NULL;
	int c;

	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1)
		if (c == OPT_CONFIG)
			found = optarg;
	return found;
}

/* Returns an exit code, or -1 to go on. */
static int parse(int argc, char **argv, struct br_config *config)
{
	struct option options[MAX_SETTINGS];
	struct br_error err = BR_ERROR_NULL;
	const char *file;
	int c, r;

	make_options(options);
	file = find_config(argc, argv, options);
	r = br_config_read(config, file ?: BR_CONFIG_FILE, file != NULL, &err);
	if (r < 0)
		return br_cli_fail(BR_EXIT_USAGE, "%s", err.text);
	optind = 0;
	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (c == OPT_CONFIG)
			continue;
		if (c < OPT_SETTING)
			return br_cli_bad_option(argc, argv, c);
		if (br_config_set(config, &br_config_settings[c - OPT_SETTING], optarg, &err) < 0)
			return br_cli_usage("--%s", err.text);
	}
	if (argc - optind > 1)
		return br_cli_usage("one image at most; '%s' is too much", argv[optind + 1]);
	if (optind < argc && br_config_set(config, &br_config_settings[0], argv[optind], &err) < 0)
		return br_cli_usage("%s", err.text);
	return -1;
}

static void set_log_level(const char *name)
{
	br_log_set_level(!strcmp(name, "error")	    ? BR_LOG_ERROR
			 : !strcmp(name, "warning") ? BR_LOG_WARNING
			 : !strcmp(name, "debug")   ? BR_LOG_DEBUG
						    : BR_LOG_INFO);
}

static int serve(int argc, char **argv)
{
	br_cleanup(br_config_done) struct br_config config;
	struct br_error err = BR_ERROR_NULL;
	int r = br_config_init(&config, &err);

	if (r < 0)
		return br_cli_fail(BR_EXIT_FAILED, "%s", err.text);
	r = parse(argc, argv, &config);
	if (r >= 0)
		return r;
	set_log_level(config.log);
	r = br_daemon_run(&config, &err);
	if (r == -ECANCELED || r == -EINTR)
		return BR_EXIT_INTERRUPTED;
	return r < 0 ? br_cli_fail(BR_EXIT_FAILED, "%s", br_error_text(&err, r)) : BR_EXIT_OK;
}

const struct br_command br_cli_serve[] = {
	{ NULL, "serve", "[IMAGE] [--interface IF] [--address ADDR/PREFIX] [--dhcp auto|full|proxy|off] [--disk volatile|persistent|ram]",
		"serve boards on a network until stopped", serve,
		"  IMAGE                   a file (.img, .xz, .gz, .zst, .bz2, .zip) or a stored image's name\n"
		"  --interface IF          network interface the boards are on (default: that of the default route)\n"
		"  --address ADDR/PREFIX   our address there; added to the interface when it lacks it\n"
		"  --dhcp MODE             auto: give addresses when the network is ours alone, else like proxy (default);\n"
		"                          full: give addresses; proxy: leave that to another server, tell boards where\n"
		"                          to boot; off: answer nobody (the other server then needs option 66)\n"
		"  --range A-B             addresses to give (default: those of the network)\n"
		"  --router ADDR,...       routers to tell the boards of; --dns and --ntp: name and time servers\n"
		"  --domain NAME           domain name to tell the boards\n"
		"  --subnets NET/PREFIX=A-B[@ROUTER],...\n"
		"                          networks behind DHCP relays, each with the addresses to give there\n"
		"  --lease DURATION        how long an address is given for (default: 12h)\n"
		"  --disk POLICY           volatile: a board's changes go at its next boot; persistent: they stay;\n"
		"                          ram: they stay in the board's memory, over a read-only root\n"
		"  --persist off|on|SIZE   an area of each board that outlives volatile disks, mounted as /persist (on: 1G)\n"
		"  --durability HOW        strict: what a board was told is stored outlives a power loss here (default);\n"
		"                          relaxed: volatile disks do not, but are written several times as fast\n"
		"  --boots-at-once N       boards that fetch their boot files at once; the others wait. auto (as many as get\n"
		"                          theirs in time; default), unlimited, or a number\n"
		"  --boot-rate RATE        bits a second of the link that boot files may take, as 500M (default: auto)\n"
		"  --adopt yes|no          take in boards that are not known (default: yes)\n"
		"  --web [ADDR:]PORT|off   where the page and the API are (default: port 8480 of the interface and of this machine)\n"
		"  --web-cert, --web-key FILE\n"
		"                          certificate and key, PEM: HTTPS\n"
		"  --web-read local|token  who may look without a token: those on the boards' network (default), or nobody\n"
		"  --user NAME             user to become once the ports are open\n"
		"  --state DIR             where images, disks and the database live\n"
		"  --log LEVEL             error, warning, info or debug (default: info)\n"
		"  --config FILE           settings, bramble.conf(5) (default: " BR_CONFIG_FILE ")\n" },
	{ 0 },
};

/* SPDX-License-Identifier: Apache-2.0 */
/* bramble check: what is wrong with this host, before and while it serves. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/netif.h"
#include "base/state.h"
#include "base/text.h"
#include "base/waiting.h"
#include "check/check.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "daemon/config.h"

#define LISTEN_MS 5000 /* bridges say hello every 2 s */

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

struct request {
	struct br_common common;
	const char *interface, *config;
	uint64_t listen_ns;
};

static int read_options(int argc, char **argv, struct request *q)
{
	static const struct option options[] = { { "interface", required_argument, NULL, 300 }, { "listen", required_argument, NULL, 301 },
		{ "config", required_argument, NULL, 302 }, BR_COMMON_LONG };
	int c;

	q->listen_ns = LISTEN_MS * 1000000ull;
	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (c == 300)
			q->interface = optarg;
		else if (c == 302)
			q->config = optarg;
		else if (c == 301 && (br_parse_duration(optarg, &q->listen_ns) < 0 || q->listen_ns > 300000000000ull))
			return br_cli_usage("--listen: a time up to 5m is needed, 0 for none");
		else if (c != 301 && br_common_take(&q->common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	return optind < argc ? br_cli_usage("no words are expected") : 0;
}

static void print_findings(const json_t *findings, bool quiet)
{
	static const char *const marks[][2] = { { "ok", "ok     " }, { "note", "note   " }, { "warning", "WARNING" }, { "error", "ERROR  " } };
	const json_t *f;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)findings, i, f) {
		const char *severity = json_string_value(json_object_get(f, "severity")), *cure = json_string_value(json_object_get(f, "cure"));
		bool fine = !strcmp(severity, "ok");

		if (quiet && (fine || !strcmp(severity, "note")))
			continue;
		for (size_t k = 0; k < BR_ARRAY_SIZE(marks); k++)
			if (!strcmp(marks[k][0], severity))
				printf("%s  ", marks[k][1]);
		printf("%s\n", json_string_value(json_object_get(f, "what")));
		if (!fine)
			printf("         %s\n", json_string_value(json_object_get(f, "why")));
		if (cure)
			printf("         -> %s\n", cure);
	}
}

/* The one that was named, the daemon's, the file's, the default route's. */
static void choose_interface(const struct request *q, const json_t *status, const struct br_config *config, char out[static BR_NETIF_NAME])
{
	const char *name = q->interface ? q->interface : json_string_value(json_object_get(status, "interface"));

	name = name ? name : config->interface;
	if (name)
		snprintf(out, BR_NETIF_NAME, "%s", name);
	else if (br_netif_default(out, NULL) < 0)
		out[0] = 0;
}

static int ask_daemon(const char *state, json_t **status, json_t **boards)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	int r = br_client_new(state, &client, NULL);

	if (r < 0)
		return r;
	br_client_patience(client, 10000);
	r = br_client_call(client, "GET", "/v1/status", NULL, status, NULL);
	return r < 0 ? r : br_client_call(client, "GET", "/v1/boards", NULL, boards, NULL);
}

static int check(int argc, char **argv)
{
	br_cleanup(br_config_done) struct br_config config;
	br_cleanup(json_decrefp) json_t *status = NULL, *boards = NULL;
	br_cleanup(br_freep) char *state = NULL;
	char interface[BR_NETIF_NAME] = "";
	struct br_error err = BR_ERROR_NULL;
	struct request q = { 0 };
	struct br_checks c = { .root = "" };
	struct br_waiting *w;
	int r = br_config_init(&config, &err);

	if (r < 0)
		return br_cli_fail(BR_EXIT_FAILED, "%s", err.text);
	r = read_options(argc, argv, &q);
	if (r)
		return r;
	r = br_config_read(&config, q.config ? q.config : BR_CONFIG_FILE, q.config != NULL, &err);
	if (r >= 0)
		r = br_state_dir(q.common.state ? q.common.state : config.state, &state, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	(void)ask_daemon(state, &status, &boards); /* that it does not answer is a finding */
	choose_interface(&q, status, &config, interface);
	c.interface = interface;
	c.state = state;
	c.status = status;
	c.boards = boards;
	c.listen_ms = (unsigned)(q.listen_ns / 1000000);
	w = br_waiting_start("listening on the network", q.common.quiet);
	r = br_check_run(&c, &err);
	br_waiting_end(w);
	if (r < 0)
		return br_cli_error(&err, r);
	if (q.common.form != BR_FORM_TABLE)
		br_print_json(c.findings, q.common.form == BR_FORM_JSON);
	else
		print_findings(c.findings, q.common.quiet);
	json_decref(c.findings);
	return c.worst == BR_CHECK_ERROR ? BR_EXIT_FAILED : c.worst == BR_CHECK_WARNING ? BR_EXIT_WARNINGS : BR_EXIT_OK;
}

const struct br_command br_cli_check[] = {
	{ NULL, "check", "[--interface IF] [--listen DURATION] [--config FILE] [-o table|json] [-q]",
		"Tells what is wrong with this host: ports, firewall, spanning tree, clock, room", check,
		"Before and while it serves; nothing is changed, and nothing is sent. Root sees more: who has a port, the firewall's rules,\n"
		"frames of the network. Exit code 1: an error was found; 6: a warning; 0: neither.\n"
		"  --interface IF     the boards' network (default: the daemon's, that of bramble.conf, that of the default route)\n"
		"  --listen DURATION  how long it listens for spanning tree and other DHCP servers (default: 5s; 0: not at all)\n"
		"  --config FILE      settings, bramble.conf(5) (default: " BR_CONFIG_FILE ")\n"
		"  -o, --output FORM  table, json or jsonl\n  -q, --quiet        errors and warnings only\n" },
	{ 0 },
};

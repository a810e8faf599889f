/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bramble prepare: what of a start needs an administrator's rights, for a service manager that runs the daemon without them. It reads
 * the settings, speaks netlink and ends; nothing of the network is listened to.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/cli.h"
#include "daemon/config.h"
#include "daemon/network.h"

#define BUFFER_MAX (64u << 20) /* the largest that a socket of ours asks for: syslog's */
#define RUNTIME_DIR "/run/bramble"

struct request {
	const char *config;
	bool undo;
};

static int read_options(int argc, char **argv, struct request *q)
{
	static const struct option options[] = { { "config", required_argument, NULL, 300 }, { "undo", no_argument, NULL, 301 }, { 0 } };
	int c;

	while ((c = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (c == 300)
			q->config = optarg;
		else if (c == 301)
			q->undo = true;
		else
			return br_cli_bad_option(argc, argv, c);
	}
	return optind < argc ? br_cli_usage("no words are expected") : 0;
}

/* Buffers that a burst of all boards fits into: without rights a socket gets no more than this. */
static void raise_limit(const char *path)
{
	br_cleanup(br_freep) char *text = NULL;
	char value[16];
	uint64_t now;
	int n, fd;

	if (br_file_read(path, 64, &text, NULL, NULL) < 0)
		return;
	text[strcspn(text, "\n")] = 0;
	if (br_parse_u64(text, 0, UINT64_MAX, &now) < 0 || now >= BUFFER_MAX)
		return;
	n = snprintf(value, sizeof(value), "%u\n", BUFFER_MAX);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || br_write_all(fd, value, (size_t)n) < 0)
		br_log_warning("%s: %s; bursts of packets may be lost", path, strerrordesc_np(errno));
	else
		br_log_info("%s was %s, raised to %u", path, text, BUFFER_MAX);
	if (fd >= 0)
		close(fd);
}

/* Says that the address is ours to take away; the directory goes with the service. */
static char *marker(void)
{
	const char *dir = getenv("RUNTIME_DIRECTORY");

	return br_path_join(dir && dir[0] == '/' && !strchr(dir, ':') ? dir : RUNTIME_DIR, "address-added");
}

static int prepare(const struct br_config *config, struct br_error *err)
{
	br_cleanup(br_freep) char *path = marker();
	struct br_network net = { 0 };
	int r;

	if (!path)
		return br_error_set(err, ENOMEM, "out of memory");
	raise_limit("/proc/sys/net/core/rmem_max");
	raise_limit("/proc/sys/net/core/wmem_max");
	r = br_network_open(config, &net, err);
	if (r < 0)
		return r;
	br_network_make_room(&net);
	if (net.address_added) {
		r = br_file_write(path, "", 0, 0600, err);
		if (r < 0)
			br_network_close(&net);
	}
	return r < 0 ? r : 0;
}

/* Only what the settings name is taken away, whoever may write where the marker is. */
static int undo(const struct br_config *config, struct br_error *err)
{
	br_cleanup(br_freep) char *path = marker();
	char name[BR_NETIF_NAME];
	unsigned prefix;
	uint32_t ip;
	int r = 0;

	if (!path || unlink(path) < 0 || !config->address || br_ip_parse_prefix(config->address, &ip, &prefix) < 0)
		return 0;
	if (config->interface)
		snprintf(name, sizeof(name), "%s", config->interface);
	else
		r = br_netif_default(name, err);
	return r < 0 ? r : br_netif_remove_address(name, ip, prefix, err);
}

static int run(int argc, char **argv)
{
	br_cleanup(br_config_done) struct br_config config;
	struct br_error err = BR_ERROR_NULL;
	struct request q = { 0 };
	int r = br_config_init(&config, &err);

	if (r < 0)
		return br_cli_fail(BR_EXIT_FAILED, "%s", err.text);
	r = read_options(argc, argv, &q);
	if (r)
		return r;
	r = br_config_read(&config, q.config ? q.config : BR_CONFIG_FILE, q.config != NULL, &err);
	if (r < 0)
		return br_cli_fail(BR_EXIT_USAGE, "%s", err.text);
	r = q.undo ? undo(&config, &err) : prepare(&config, &err);
	return r < 0 ? br_cli_fail(BR_EXIT_FAILED, "%s", br_error_text(&err, r)) : BR_EXIT_OK;
}

const struct br_command br_cli_prepare[] = {
	{ NULL, "prepare", "[--undo] [--config FILE]", "For service managers: does as root what 'serve' then needs no right for", run,
		"Adds the address that bramble.conf names to the interface, and raises the kernel's limits of socket buffers and\n"
		"neighbours where they are too low. bramble.service runs it before 'serve', which then has no right to change networks.\n"
		"  --undo             takes the address away again, when it was added\n"
		"  --config FILE      settings, bramble.conf(5) (default: " BR_CONFIG_FILE ")\n" },
	{ 0 },
};

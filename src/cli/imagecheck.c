/* SPDX-License-Identifier: Apache-2.0 */
/* bramble image check: reads images whole. Works on the store itself. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "store/image.h"

BR_DEFINE_CLEANUP(struct br_store *, br_store_close);

static bool interrupted; /* set by the handler only, read between pieces */

static void on_signal(int sig)
{
	__atomic_store_n(&interrupted, true, __ATOMIC_RELAXED);
}

static int image_check(int argc, char **argv)
{
	static const struct option options[] = { BR_COMMON_LONG };
	br_cleanup(br_store_closep) struct br_store *store = NULL;
	struct sigaction act = { .sa_handler = on_signal };
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int c, r, code = BR_EXIT_OK;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1)
		if (br_common_take(&common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	if (optind == argc)
		return br_cli_usage("the name of an image is needed");
	r = br_common_store(&common, &store, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	sigaction(SIGINT, &act, NULL);
	for (int i = optind; i < argc && !__atomic_load_n(&interrupted, __ATOMIC_RELAXED); i++) {
		err = BR_ERROR_NULL;
		r = br_store_check(store, argv[i], common.quiet, &interrupted, &err);
		if (r < 0)
			code = br_cli_error(&err, r);
		else if (!common.quiet)
			printf("%s is what was taken in\n", argv[i]);
	}
	return code;
}

const struct br_command br_cli_image_check[] = {
	{ "image", "check", "NAME... [-q]", "Reads all of an image and compares it with what was taken in", image_check,
		"Of an image that was saved from a disk: the disk.img it stands on, not its layers.\n"
		"  -q, --quiet        no progress, and nothing said of good ones\n" },
	{ 0 },
};

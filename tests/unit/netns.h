/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A private network for one test program: a fresh network namespace that ends with the process. */
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Runs a command of ours (no text from outside in it); its exit status, -1 when it could not run. */
static inline int netns_run(const char *command)
{
	int status = system(command); /* NOLINT(cert-env33-c) */

	return status < 0 ? -1 : WEXITSTATUS(status);
}

/* True in a network namespace of our own; false (with the reason printed) where that is not permitted. */
static inline bool netns_enter(const char *test)
{
	if (unshare(CLONE_NEWNET) < 0) {
		printf("# %s: skipped: needs root to make a network namespace: %s\n", test, strerror(errno));
		return false;
	}
	if (netns_run("ip link set lo up 2>/dev/null")) {
		printf("# %s: skipped: needs the program ip (iproute2)\n", test);
		return false;
	}
	return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A command inside the file system of a raw file, which is not trusted: a board may have written it. */
#pragma once

#define BR_INSIDE_FAILED 125 /* it could not be run */

/*
 * For a child process whose real user is root: mounts what raw_fd holds, runs the command (NULL: an interactive shell) and exits
 * with its status. Writes one byte to done_fd when the file system was unmounted, and so is complete in the raw file. target: its
 * name, for the shell's prompt.
 */
_Noreturn void br_inside_run(int raw_fd, int done_fd, const char *target, char **command);
/* Of a child; 128 + the signal that killed it. */
int br_inside_wait(int pid);

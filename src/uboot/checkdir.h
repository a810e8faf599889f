/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Looks at every script in a directory and below (NAME.cmd, and texts named as scripts are: "boot.scr") without following
 * links: what U-Boot's shell would not take, as words with the file's path and line; NULL: nothing, or no such directory.
 * free().
 */
char *br_uboot_check_dir(const char *dir);

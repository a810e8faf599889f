/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/cli.h"

/* 'bramble usb boot' (usbboot.c), in the table of usb.c. */
int br_cli_usb_boot(int argc, char **argv);
/* 'bramble rpiboot', and the program when it is called rpiboot (rpiboot.c): its options, words and exit codes. */
int br_cli_rpiboot(int argc, char **argv);

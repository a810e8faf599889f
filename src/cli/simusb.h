/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* 'bramble sim --usb KINDS': boards in USB boot mode for QEMU's ports, with options of their own. */
bool br_cli_sim_usb_is_meant(int argc, char **argv);
/* Returns an exit code. */
int br_cli_sim_usb(int argc, char **argv);
/* The lines of 'help sim'. */
#define BR_CLI_SIM_USB_DETAILS \
	"  --usb KINDS        instead of --model: Compute Modules in USB boot mode for the ports of a QEMU, as\n" \
	"                     cm3,cm4,cm5:QUIRK[=VALUE] in turn; '--usb help' lists kinds and quirks (docs/sim.md)\n" \
	"  --usb-sockets DIR  there is a socket for each, port1.sock ..., to give to QEMU's usb-redir\n" \
	"                     (--serial, --boards, --check-dir, --speed, --timeout and --output go with --usb)\n"

/* "1a2b3c4d", up to 16 hexadecimal digits of which the low 8 count. -EINVAL otherwise. */
int br_cli_sim_parse_serial(const char *s, uint32_t *ret);

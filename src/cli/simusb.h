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

/* Of every virtual board, in sim.c. 0, or an exit code after a message. */
int br_cli_sim_take_serial(const char *arg, uint32_t *ret);
struct br_cli_sim_numbers {
	uint64_t n_boards, speed, timeout_ns;
};
/* c: 'n' --boards, 't' --timeout, 'S' --speed. */
int br_cli_sim_take_number(int c, const char *arg, uint64_t max_boards, struct br_cli_sim_numbers *n);

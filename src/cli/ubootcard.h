/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* bramble uboot card */
int br_cli_uboot_card(int argc, char **argv);
extern const char br_cli_uboot_card_help[];

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "store/fat.h"

/* The card in a virtual board: a file that its firmware boots from, and QEMU's SD card afterwards. */
struct br_sim_card;

/* -ENOENT with words: it has no FAT partition. */
int br_sim_card_open(const char *file, struct br_sim_card **ret, struct br_error *err);
void br_sim_card_close(struct br_sim_card *card); /* NULL is fine */
/* Its first FAT partition, mapped until it is closed. */
struct br_span br_sim_card_boot(const struct br_sim_card *card);

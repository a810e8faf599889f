/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "daemon/glue.h"

/* What TFTP and HTTP have in common: a client's address and a name to a boot file, and what is told of it. */

struct br_glue_file {
	struct br_bootfile bf;
	void *ref; /* holds the spans; NULL for the empty file of road 'local' */
	void (*unref)(void *ref); /* what lets it go */
	char path[BR_BOOT_PATH_MAX]; /* cleaned, or escaped when it could not be */
	int64_t board_id;	     /* 0: a client that is no board */
	uint64_t boot;
	char reason[400];	     /* words on why it is missing, where there are more than that; else "" */
};

/*
 * name: hostile text. 0, or what br_plan_bootfile() gives; -ENOENT too when there is no plan for this client. path,
 * board_id and boot are filled in either case. The client's boot is brought to the firmware's files.
 *
 * A board on road 'local' gets one file, an empty start4.elf: the way for a Pi 4 to go on to its next boot mode at
 * once instead of trying the names without its directory (wire notes 2.2). Everything else is missing.
 */
int br_glue_file_open(struct br_glue *glue, uint32_t ip, const char *name, struct br_glue_file *ret);
/* The same for a board that is known already (NULL: no board), from which HTTP took the directory off. */
int br_glue_file_open_for(struct br_glue *glue, const struct br_board *board, const char *name,
	struct br_glue_file *ret);
/* Without an image of ours there is still a stage 2 for it: it is to be flashed, or boots what was flashed. */
bool br_glue_boots_itself(struct br_glue *glue, const struct br_board *board);
/* A file went out whole: a kernel brings the boot further. */
void br_glue_file_sent(struct br_glue *glue, int64_t board_id, const char *path);

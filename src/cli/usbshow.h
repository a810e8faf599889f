/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "cli/table.h"
#include "cli/usbrun.h"

/*
 * How 'usb boot' and 'usb watch' speak: progress on stderr (a line per board that is redrawn on a terminal, else a line for
 * each thing that happened), verdicts on stdout: as words, with the timeline when verbose, or as JSON.
 */
struct br_usb_show {
	struct br_usb_voice voice; /* for the run */
	struct br_common common;
	bool verbose;
	bool metadata;		  /* print it, or write it below: */
	const char *metadata_dir; /* NULL: print */
	bool tty;
	size_t drawn; /* lines on the screen that are to be overwritten */
	uint64_t drawn_ns, line_ns;
	json_t *rows; /* of -o json */
	unsigned trouble; /* files of metadata that could not be written */
};

void br_usb_show_init(struct br_usb_show *show, const struct br_common *common);
/* Prints what is left to be printed. */
void br_usb_show_done(struct br_usb_show *show);

/* Writes a session's metadata to DIR/<serial>.json. 0, or negative with words. */
int br_usb_write_metadata(const struct br_usb_session *s, const char *dir, struct br_error *err);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

/* Lines of boards for people. On a terminal the bad ones are red, warnings yellow, events blue; nothing of a board's reaches it raw. */
struct br_log_printer {
	bool colours;
	int board_width; /* grows with the names */
	char day[16];	 /* the one that was shown last */
};

void br_log_printer_init(struct br_log_printer *p);
void br_log_print(struct br_log_printer *p, const json_t *row);
/* GET /v1/logs/status in words. */
void br_log_print_status(const json_t *status);

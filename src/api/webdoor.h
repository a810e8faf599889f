/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The inside of the door that the web server stands in. */
#include "api/web.h"

struct br_web_door {
	int fds[3];
	unsigned n_fds;
	uint16_t port;
	char *cert, *key; /* PEM; NULL: no TLS */
	char *names[BR_WEB_NAMES_MAX + 1]; /* NULL-ended */
	unsigned n_names;
	bool read_by_token;
	uint32_t ip;
	unsigned prefix;
};

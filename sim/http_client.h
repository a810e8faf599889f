/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sim/tcp.h"

/*
 * The HTTP client of the EEPROM (wire facts 3): one request per connection, HTTP/1.1, a small buffer for the header of the
 * answer, Content-Length or nothing; a transfer that breaks off goes on with Range. No socket, no clock.
 */
#define BR_SIM_HTTP_HEADER 1024		/* "keep the header block small": a guess */
#define BR_SIM_HTTP_MAX	   (128u << 20) /* a boot.img in memory */
#define BR_SIM_HTTP_RESUMES 3

enum br_sim_http_state {
	BR_SIM_HTTP_RUNNING,
	BR_SIM_HTTP_DONE,
	BR_SIM_HTTP_MISSING, /* 404 */
	BR_SIM_HTTP_FAILED,  /* why says how */
};

struct br_sim_http {
	enum br_sim_http_state state;
	struct br_sim_tcp tcp;
	bool head_only, keep, whole; /* whole: all of it is here, the connection ends */
	char host[32], path[200];
	uint16_t server_port;
	char header[BR_SIM_HTTP_HEADER + 1];
	size_t n_header;
	bool in_body;
	unsigned status, n_resumes;
	uint64_t length, got; /* of the file */
	uint8_t *data;	      /* ours */
	uint64_t end_ns;
	char why[160];
};

/* h must be zero or done() before. host, path without a leading '/': cut when too long. port: ours; iss: by chance. */
void br_sim_http_start(struct br_sim_http *h, bool head_only, const char *host, const char *path, uint16_t port,
	uint16_t server_port, uint32_t iss, uint64_t now_ns);
void br_sim_http_done(struct br_sim_http *h);
/* The TCP segment that is due; 0 bytes when none is. */
size_t br_sim_http_poll(struct br_sim_http *h, uint64_t now_ns, uint8_t out[static BR_SIM_TCP_MAX]);
void br_sim_http_input(struct br_sim_http *h, uint64_t now_ns, const uint8_t *segment, size_t len);
uint64_t br_sim_http_deadline(const struct br_sim_http *h);

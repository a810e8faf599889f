/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An answer that is made piece by piece (br_call_stream() of call.h), for the servers that give it out. */
#include <microhttpd.h>
#include <stdint.h>
#include <sys/types.h>

struct br_stream;

ssize_t br_stream_read(struct br_stream *s, uint64_t pos, char *buf, size_t max);
uint64_t br_stream_size(const struct br_stream *s); /* MHD_SIZE_UNKNOWN: nobody knows */
/* Its header fields. */
void br_stream_describe(const struct br_stream *s, struct MHD_Response *response);
void br_stream_free(struct br_stream *s);
/* For a server with a thread for each connection: takes s. NULL when memory is out. */
struct MHD_Response *br_stream_response(struct br_stream *s);

/* SPDX-License-Identifier: Apache-2.0 */
/* An answer that is made piece by piece. */
#include "api/stream.h"

#include <errno.h>
#include <stdlib.h>

#include "api/call.h"

#define BLOCK (256 << 10)

struct br_stream {
	ssize_t (*read)(void *ctx, uint64_t pos, char *buf, size_t max);
	void (*done)(void *ctx);
	void *ctx;
	uint64_t size;
	const char *type;
};

int br_call_stream(struct br_call *call, uint64_t size, const char *type, ssize_t (*read)(void *ctx, uint64_t pos, char *buf, size_t max),
	void (*done)(void *ctx), void *ctx, struct br_error *err)
{
	struct br_stream *s = malloc(sizeof(*s));

	if (!s) {
		if (done)
			done(ctx);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	*s = (struct br_stream){ read, done, ctx, size, type };
	call->stream = s;
	return 0;
}

ssize_t br_stream_read(struct br_stream *s, uint64_t pos, char *buf, size_t max)
{
	return s->read(s->ctx, pos, buf, max);
}

uint64_t br_stream_size(const struct br_stream *s)
{
	return s->size;
}

void br_stream_describe(const struct br_stream *s, struct MHD_Response *response)
{
	if (s->type)
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, s->type);
}

void br_stream_free(struct br_stream *s)
{
	if (!s)
		return;
	if (s->done)
		s->done(s->ctx);
	free(s);
}

static ssize_t read_here(void *cls, uint64_t pos, char *buf, size_t max)
{
	return br_stream_read(cls, pos, buf, max);
}

static void free_here(void *cls)
{
	br_stream_free(cls);
}

struct MHD_Response *br_stream_response(struct br_stream *s)
{
	struct MHD_Response *response = MHD_create_response_from_callback(s->size, BLOCK, read_here, s, free_here);

	if (!response)
		br_stream_free(s);
	else
		br_stream_describe(s, response);
	return response;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/usb: boards on USB get the boot files that the network would give them, and their sessions are told here. */
#include "api/usb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/text.h"
#include "plan/boots.h"
#include "plan/plan.h"

static int have_usb(const struct br_call *call, struct br_error *err)
{
	return call->api->usb ? 0 : br_error_set(err, EOPNOTSUPP, "this daemon serves no boards over USB");
}

static int begin(struct br_call *call, struct br_error *err)
{
	int r = have_usb(call, err);

	return r < 0 ? r : call->api->usb->begin(call->api->usb_ctx, call->body, &call->json, err);
}

static int report(struct br_call *call, struct br_error *err)
{
	int r = have_usb(call, err);

	return r < 0 ? r : call->api->usb->report(call->api->usb_ctx, call->body, &call->json, err);
}

/* A file on its way out: asked for in order. */
struct sending {
	struct br_api_usb_file file;
	size_t span, at;
};

static ssize_t send_some(void *cls, uint64_t pos, char *buf, size_t max)
{
	struct sending *s = cls;
	size_t n = 0;

	while (n < max && s->span < s->file.n_spans) {
		const struct br_span *span = &s->file.spans[s->span];
		size_t k = span->len - s->at < max - n ? span->len - s->at : max - n;

		memcpy(buf + n, span->data + s->at, k);
		n += k;
		s->at += k;
		if (s->at == span->len) {
			s->span++;
			s->at = 0;
		}
	}
	return n ? (ssize_t)n : MHD_CONTENT_READER_END_OF_STREAM;
}

static void sending_free(void *cls)
{
	struct sending *s = cls;

	if (s->file.unref)
		s->file.unref(s->file.ref);
	free(s);
}

/* The file is taken, also on failure. */
static int send_file(struct br_call *call, const struct br_api_usb_file *file, struct br_error *err)
{
	struct sending *s = calloc(1, sizeof(*s));

	if (!s) {
		if (file->unref)
			file->unref(file->ref);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	s->file = *file;
	return br_call_stream(call, s->file.size, "application/octet-stream", send_some, sending_free, s, err);
}

static int need_name(const struct br_call *call, const char **ret, struct br_error *err)
{
	*ret = br_call_param(call, "name");
	return *ret ? 0 : br_error_set(err, EINVAL, "parameter 'name': the name of a boot file is needed");
}

static int no_file(int r, const char *name, struct br_error *err)
{
	char vis[100];

	if (err->text[0])
		return r;
	return br_error_set(err, -r, "%s: %s", br_vis(vis, sizeof(vis), name, strlen(name)),
		r == -ENOENT ? BR_API_NO_FILE : strerrordesc_np(-r));
}

static int file(struct br_call *call, struct br_error *err)
{
	const char *board = br_call_param(call, "board"), *name;
	struct br_api_usb_file f = { 0 };
	int r = have_usb(call, err);

	if (!r)
		r = need_name(call, &name, err);
	if (r < 0)
		return r;
	r = call->api->usb->open(call->api->usb_ctx, board && board[0] ? board : NULL, name, &f, err);
	return r < 0 ? no_file(r, name, err) : send_file(call, &f, err);
}

static void unref_plan(void *ref)
{
	br_plan_unref(ref);
}

/* The same for people and programs that look: no boot begins, none gets further. */
static int look(struct br_call *call, struct br_error *err)
{
	char path[BR_BOOT_PATH_MAX];
	struct br_plan *plan = NULL;
	struct br_board board;
	struct br_bootfile bf;
	const char *name;
	int r = need_name(call, &name, err);

	if (!r)
		r = br_call_board(call, &board, err);
	if (!r)
		r = br_boots_plan(call->api->boots, &board, &plan, err);
	if (r < 0)
		return r;
	r = br_plan_bootfile(plan, name, &bf, path);
	if (r < 0) {
		br_plan_unref(plan);
		return no_file(r, name, err);
	}
	return send_file(call, &(struct br_api_usb_file){ bf.spans, bf.n_spans, bf.size, plan, unref_plan }, err);
}

const struct br_route br_api_usb[] = {
	{ "GET", "/v1/boards/NAME/bootfile", .run = look, .params = { "name" }, .scope = BR_SCOPE_OPERATE,
		.summary = "The bytes of one of its boot files" },
	{ "POST", "/v1/usb/begin", true, .run = begin, .unaudited = true,
		.summary = "A board is there on USB: its boot begins" },
	{ "GET", "/v1/usb/file", .run = file, .params = { "board", "name" }, .scope = BR_SCOPE_OPERATE,
		.summary = "The bytes of a boot file for a board on USB; its boot goes on by it" },
	{ "POST", "/v1/usb/report", true, .run = report, .unaudited = true,
		.summary = "What happened to a board on USB" },
	{ 0 },
};

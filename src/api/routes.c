/* SPDX-License-Identifier: Apache-2.0 */
/* From method and path to a handler, and from its answer to HTTP. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/call.h"
#include "api/codes.h"
#include "api/rights.h"
#include "api/stream.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

static const struct br_route *const tables[] = {
	br_api_audit,
	br_api_boards,
	br_api_console,
	br_api_describe,
	br_api_disk_files,
	br_api_disk_list,
	br_api_disk_stage,
	br_api_disks,
	br_api_eeprom,
	br_api_events,
	br_api_flash,
	br_api_health,
	br_api_images,
	br_api_layers,
	br_api_live_socket,
	br_api_logs,
	br_api_misc,
	br_api_power,
	br_api_reservations,
	br_api_shares,
	br_api_ssh,
	br_api_tokens,
	br_api_usb,
	br_api_why,
};

const struct br_route *const *br_api_tables(size_t *ret_n)
{
	*ret_n = BR_ARRAY_SIZE(tables);
	return tables;
}

const char *br_call_param(const struct br_call *call, const char *key)
{
	return MHD_lookup_connection_value(call->connection, MHD_GET_ARGUMENT_KIND, key);
}

int br_call_number(const struct br_call *call, const char *key, uint64_t max, uint64_t *ret, struct br_error *err)
{
	const char *s = br_call_param(call, key);

	if (s && br_parse_u64(s, 0, max, ret) < 0)
		return br_error_set(err, EINVAL, "parameter '%s': a number up to %" PRIu64 " is needed", key, max);
	return 0;
}

int br_call_board(const struct br_call *call, struct br_board *ret, struct br_error *err)
{
	char vis[100];
	int r = br_board_by_name(call->api->fleet, call->name, ret);

	if (r == -ENOENT)
		return br_error_set(err, ENOENT, "no board is named '%s'; 'bramble board list' shows them",
			br_vis(vis, sizeof(vis), call->name, strlen(call->name)));
	if (r < 0)
		return br_error_set(err, -r, "board %s: %s", call->name, strerrordesc_np(-r));
	return 0;
}

json_t *br_api_time(uint64_t wall_ns)
{
	time_t s = (time_t)(wall_ns / BR_S);
	struct tm tm;
	char text[64];
	size_t n;

	if (!wall_ns || !gmtime_r(&s, &tm))
		return json_null();
	n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, sizeof(text) - n, ".%06uZ", (unsigned)(wall_ns % BR_S / 1000));
	return json_string(text);
}

/* Whether the path fits; NAME's part goes to 'name' (size bytes). */
static bool path_fits(const char *pattern, const char *url, char *name, size_t size)
{
	name[0] = 0;
	while (*pattern) {
		if (br_str_starts(pattern, "NAME")) {
			size_t n = strcspn(url, "/");

			if (!n || n >= size)
				return false;
			memcpy(name, url, n);
			name[n] = 0;
			pattern += 4;
			url += n;
		} else if (*pattern++ != *url++) {
			return false;
		}
	}
	return !*url;
}

/* -ENOENT: no such path; -EOPNOTSUPP: not with this method. */
static int find_route(struct br_call *call, const char *method, const char *url, const struct br_route **ret,
	struct br_error *err)
{
	char vis[200];
	bool path_known = false;

	for (size_t i = 0; i < BR_ARRAY_SIZE(tables); i++) {
		for (const struct br_route *r = tables[i]; r->method; r++) {
			if (!path_fits(r->path, url, call->name, sizeof(call->name)))
				continue;
			path_known = true;
			if (!strcmp(r->method, method)) {
				*ret = r;
				return 0;
			}
		}
	}
	br_vis(vis, sizeof(vis), url, strlen(url));
	if (path_known)
		return br_error_set(err, EOPNOTSUPP, "path %s: not with this method", vis);
	return br_error_set(err, ENOENT, "path %s: unknown; this is the API of bramble %s", vis, BRAMBLE_VERSION);
}

struct param_check {
	const struct br_route *route;
	struct br_error *err;
};

static enum MHD_Result check_param(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
	struct param_check *c = cls;
	char vis[80];

	for (size_t i = 0; i < BR_API_PARAMS_MAX && c->route->params[i]; i++) {
		if (!strcmp(c->route->params[i], key))
			return MHD_YES;
	}
	br_error_set(c->err, EINVAL, "parameter '%s': unknown here", br_vis(vis, sizeof(vis), key, strlen(key)));
	return MHD_NO;
}

static int parse_body(struct br_call *call, const char *text, size_t n, struct br_error *err)
{
	json_error_t why;

	call->body = json_loadb(text, n, JSON_REJECT_DUPLICATES, &why);
	if (!call->body) {
		char vis[200];

		return br_error_set(err, EINVAL, "the body is no JSON (line %d): %s", why.line,
			br_vis(vis, sizeof(vis), why.text, strlen(why.text)));
	}
	if (!json_is_object(call->body))
		return br_error_set(err, EINVAL, "the body must be a JSON object");
	return 0;
}

static int check_params(const struct br_call *call, const struct br_route *route, struct br_error *err)
{
	struct param_check check = { route, err };

	MHD_get_connection_values(call->connection, MHD_GET_ARGUMENT_KIND, check_param, &check);
	return err->code ? -err->code : 0;
}

static int run(struct br_call *call, const char *method, const char *url, const char *text, size_t n,
	bool too_large, struct br_error *err)
{
	const struct br_route *route = NULL;
	int r = find_route(call, method, url, &route, err);

	if (r < 0)
		return r;
	if (too_large)
		return br_error_set(err, EFBIG, "the body is larger than %d bytes", BR_API_BODY_MAX);
	if (!route->run) /* takes bytes, by br_api_begin() */
		return br_error_set(err, EINVAL, "path %s takes bytes", route->path);
	if (n && !route->body)
		return br_error_set(err, EINVAL, "path %s takes no body", route->path);
	r = br_rights_check(call, route, url, err);
	if (r == 0)
		r = check_params(call, route, err);
	if (r == 0)
		r = br_call_to_change(call, route, err);
	if (r == 0 && route->body)
		r = parse_body(call, text, n, err);
	if (r == 0)
		r = route->run(call, err);
	if (r >= 0)
		br_rights_note(call, route, url);
	return r;
}

static struct MHD_Response *json_response(json_t *json, size_t *ret_n)
{
	char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY);
	struct MHD_Response *response;
	size_t n;

	if (!text)
		return NULL;
	n = strlen(text);
	text[n] = '\n'; /* in place of the NUL: the length is known */
	*ret_n = n + 1;
	response = MHD_create_response_from_buffer(n + 1, text, MHD_RESPMEM_MUST_FREE);
	if (!response)
		free(text);
	else
		MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
	return response;
}

/* Takes what the handler left. */
static void respond(struct br_call *call, int r, const struct br_error *err)
{
	if (r < 0) {
		const struct br_api_code *code = br_api_code_of(-r);
		const char *words = br_error_text(err, r);
		char vis[1200];

		call->status = code->status;
		json_decref(call->json);
		call->json = json_pack("{s:s, s:s}", "error", words, "code", code->word);
		if (!call->json) /* words of an image or a board that are no UTF-8 */
			call->json = json_pack("{s:s, s:s}", "error",
				br_vis(vis, sizeof(vis), words, strlen(words)), "code", code->word);
	}
	if (call->stream && !call->pumps) {
		call->response = br_stream_response(call->stream);
		call->stream = NULL;
	} else if (!call->response && call->json) {
		call->response = json_response(call->json, &call->n_response);
	}
	json_decref(call->json);
	json_decref(call->body);
	json_decref(call->before);
	json_decref(call->after);
	call->json = call->body = call->before = call->after = NULL;
}

void br_api_route(struct br_call *call, const char *method, const char *url, const char *text, size_t n,
	bool too_large)
{
	struct br_error err = BR_ERROR_NULL;

	call->status = MHD_HTTP_OK;
	respond(call, run(call, method, url, text, n, too_large, &err), &err);
}

int br_api_begin(struct br_call *call, const char *method, const char *url, struct br_sink **ret, struct br_error *err)
{
	const struct br_route *route = NULL;
	int r;

	*ret = NULL;
	if (find_route(call, method, url, &route, NULL) < 0 || !route->begin)
		return 0; /* what is wrong is said at the end */
	call->route = route;
	r = br_rights_check(call, route, url, err);
	if (r == 0)
		r = check_params(call, route, err);
	if (r == 0)
		r = br_call_to_change(call, route, err);
	return r < 0 ? r : route->begin(call, ret, err);
}

int br_api_head(struct br_call *call, const char *method, const char *url, const struct br_route **ret, struct br_error *err)
{
	*ret = NULL;
	if (find_route(call, method, url, ret, NULL) < 0)
		return 0; /* said at the end */
	return br_rights_check(call, *ret, url, err);
}

void br_api_refuse(struct br_call *call, int r, const struct br_error *err)
{
	respond(call, r, err);
}

void br_api_finish(struct br_call *call, const char *url, struct br_sink *sink, int r, struct br_error *err)
{
	call->status = MHD_HTTP_OK;
	if (r >= 0 && !sink) /* the head was wrong */
		r = br_error_set(err, EINVAL, "no bytes came");
	if (r >= 0)
		r = sink->finish(sink, call, err);
	if (r >= 0 && call->route)
		br_rights_note(call, call->route, url);
	respond(call, r, err);
}

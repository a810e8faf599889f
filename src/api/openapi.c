/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/openapi.json: the API described in OpenAPI 3.1, made from the table of routes itself and the schemas of docs/schema. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "api/access.h"
#include "api/call.h"
#include "api/rights.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "api/schema-bytes.h"

static json_t *schema_ref(const char *name)
{
	return name ? json_pack("{s:o}", "$ref", json_sprintf("#/components/schemas/%s", name)) : json_pack("{s:s}", "type", "object");
}

static json_t *parameter(const char *name, const char *in, bool required)
{
	return json_pack("{s:s, s:s, s:b, s:{s:s}}", "name", name, "in", in, "required", required, "schema", "type", "string");
}

/* "/v1/boards/NAME/disk" to "/v1/boards/{name}/disk"; false: there is no NAME. */
static bool path_of(const struct br_route *route, struct br_text *out)
{
	const char *name = strstr(route->path, "NAME");

	if (!name) {
		br_text_add(out, route->path);
		return false;
	}
	br_text_add_bytes(out, route->path, (size_t)(name - route->path));
	br_text_addf(out, "{name}%s", name + 4);
	return true;
}

/* "getBoardsNameDisk" */
static void add_id(struct br_text *out, const struct br_route *route)
{
	const char *s = br_str_starts(route->path, "/v1/") ? route->path + 3 : route->path;
	bool upper = false;

	for (const char *m = route->method; *m; m++)
		br_text_addf(out, "%c", tolower(*m));
	for (; *s; s++) {
		if (isalnum((unsigned char)*s))
			br_text_addf(out, "%c", upper ? toupper(*s) : tolower(*s));
		upper = !isalnum((unsigned char)*s);
	}
}

static json_t *request_of(const struct br_route *route)
{
	if (route->begin)
		return json_pack("{s:b, s:{s:{}}}", "required", 1, "content", "application/octet-stream");
	return json_pack("{s:b, s:{s:{s:o}}}", "required", 1, "content", "application/json", "schema", schema_ref(route->takes));
}

static json_t *answers_of(const struct br_route *route)
{
	json_t *ok = route->gives ? json_pack("{s:{s:o}}", "application/json", "schema", schema_ref(route->gives)) : json_pack("{s:{}}", "*/*");

	return json_pack("{s:{s:s, s:o}, s:{s:s, s:{s:{s:o}}}}", "2XX", "description", "It is so.", "content", ok, "default", "description",
		"It is not, with words.", "content", "application/json", "schema", schema_ref("error"));
}

static json_t *operation_of(const struct br_route *route, bool named)
{
	struct br_text id = BR_TEXT_NULL;
	json_t *params = json_array(), *op;
	const char *scope = br_scope_name(br_rights_scope(route));
	br_cleanup(br_freep) char *id_text = NULL;

	add_id(&id, route);
	id_text = br_text_take(&id);
	if (named)
		json_array_append_new(params, parameter("name", "path", true));
	for (size_t i = 0; i < BR_API_PARAMS_MAX && route->params[i]; i++)
		json_array_append_new(params, parameter(route->params[i], "query", false));
	op = json_pack("{s:s, s:s?, s:s, s:o, s:o}", "operationId", id_text ? id_text : "", "summary", route->summary, "x-scope", scope,
		"parameters", params, "responses", answers_of(route));
	if (route->body || route->begin)
		json_object_set_new(op, "requestBody", request_of(route));
	if (!strcmp(scope, "operate") || !strcmp(scope, "admin"))
		json_object_set_new(op, "security", json_pack("[{s:[]}]", "token"));
	return op;
}

static void add_route(json_t *paths, const struct br_route *route)
{
	struct br_text path = BR_TEXT_NULL;
	bool named = path_of(route, &path);
	br_cleanup(br_freep) char *text = br_text_take(&path);
	char method[16];
	json_t *item;
	size_t i = 0;

	if (!text)
		return;
	for (; i < sizeof(method) - 1 && route->method[i]; i++)
		method[i] = (char)tolower(route->method[i]);
	method[i] = 0;
	item = json_object_get(paths, text);
	if (!item) {
		item = json_object();
		json_object_set_new(paths, text, item);
	}
	json_object_set_new(item, method, operation_of(route, named));
}

json_t *br_api_openapi(void)
{
	json_t *schemas = json_loadb(schema_text, sizeof(schema_text), 0, NULL), *paths = json_object();
	json_t *components = json_deep_copy(json_object_get(schemas, "components"));
	const struct br_route *const *tables;
	size_t n;

	json_decref(schemas);
	tables = br_api_tables(&n);
	for (size_t i = 0; i < n; i++)
		for (const struct br_route *r = tables[i]; r->method; r++)
			add_route(paths, r);
	json_object_set_new(components, "securitySchemes", json_pack("{s:{s:s, s:s}}", "token", "type", "http", "scheme", "bearer"));
	return json_pack("{s:s, s:{s:s, s:s, s:s, s:{s:s, s:s}}, s:[{s:s}], s:[{}, {s:[]}], s:o, s:o}", "openapi", "3.1.0", "info", "title",
		"bramble", "version", BRAMBLE_VERSION, "description",
		"Network boot, disks, flashing, power and logs of Raspberry Pi boards. x-scope says what a token must be for.", "license",
		"name", "Apache-2.0", "identifier", "Apache-2.0", "servers", "url", "/", "security", "token", "paths", paths, "components",
		components);
}

static int openapi(struct br_call *call, struct br_error *err)
{
	call->json = br_api_openapi();
	return call->json ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

const struct br_route br_api_describe[] = {
	{ "GET", "/v1/openapi.json", .run = openapi, .summary = "This document" },
	{ 0 },
};

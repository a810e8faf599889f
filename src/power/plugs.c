/* SPDX-License-Identifier: Apache-2.0 */
/* Devices that are switched over HTTP: Tasmota, Shelly, PDUDaemon, and any other by its URLs. */
#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "power/answer.h"
#include "power/driver.h"
#include "power/httpget.h"

#define URL_MAX 1024

static const char *host(const struct br_power_target *t, unsigned port, char out[static 160])
{
	const char *v6 = strchr(t->uri.host, ':') ? "[" : "";

	if (t->uri.port)
		port = t->uri.port;
	snprintf(out, 160, "http://%s%s%s:%u", v6, t->uri.host, *v6 ? "]" : "", port);
	return out;
}

/* Where the section says who asks, when the URI does not. */
static const char *user_of(const struct br_power_target *t)
{
	return t->uri.user[0] ? t->uri.user : t->section ? t->section->user : NULL;
}

static const char *password_of(const struct br_power_target *t)
{
	return t->uri.user[0] ? t->uri.password : t->section ? t->section->password : NULL;
}

/* ---- Tasmota: GET /cm?cmnd=Power1%20On answers {"POWER1":"ON"}, or {"POWER":"ON"} when it has one relay ---- */

static int tasmota_ask(const struct br_power_target *t, const char *word, struct br_power_reading *ret, struct br_error *err)
{
	char base[160], url[URL_MAX], who[URL_MAX / 2] = "";
	const struct br_power_field fields[] = { { "user", user_of(t) ?: "" }, { "password", password_of(t) ?: "" }, { 0 } };
	br_cleanup(json_decrefp) json_t *answer = NULL;
	int r;

	/* its web server wants them in the query */
	if (user_of(t) && !br_power_fill(who, sizeof(who), "user={user}&password={password}&", fields, true))
		return br_error_set(err, EINVAL, "user and password are too long");
	snprintf(url, sizeof(url), "%s/cm?%scmnd=Power%s%s%s", host(t, 80, base), who, t->uri.outlet, *word ? "%20" : "", word);
	r = br_power_get_json(url, NULL, NULL, t->timeout_ns, &answer, err);
	return r < 0 ? r : br_power_answer_tasmota(answer, t->uri.outlet, &ret->state, err);
}

static int tasmota_set(const struct br_power_target *t, enum br_power_op op, struct br_error *err)
{
	struct br_power_reading told;

	return tasmota_ask(t, op == BR_POWER_OP_ON ? "On" : "Off", &told, err);
}

static int tasmota_get(const struct br_power_target *t, struct br_power_reading *ret, struct br_error *err)
{
	return tasmota_ask(t, "", ret, err);
}

const struct br_power_driver br_power_tasmota = { .set = tasmota_set, .get = tasmota_get };

/* ---- Shelly: GET /shelly tells the generation; first: /relay/0?turn=on, later: /rpc/Switch.Set?id=0&on=true ---- */

static int shelly_get_json(const struct br_power_target *t, const char *path, json_t **ret, struct br_error *err)
{
	char base[160], url[URL_MAX];

	snprintf(url, sizeof(url), "%s%s", host(t, 80, base), path);
	return br_power_get_json(url, user_of(t), password_of(t), t->timeout_ns, ret, err);
}

/* 1 or 2 (and later ones, which are as 2). */
static int shelly_generation(const struct br_power_target *t, struct br_error *err)
{
	br_cleanup(json_decrefp) json_t *about = NULL;
	int r = shelly_get_json(t, "/shelly", &about, err);

	return r < 0 ? r : br_power_answer_shelly_generation(about, err);
}

static int shelly_set(const struct br_power_target *t, enum br_power_op op, struct br_error *err)
{
	br_cleanup(json_decrefp) json_t *answer = NULL;
	bool on = op == BR_POWER_OP_ON;
	int generation = shelly_generation(t, err);
	char path[160];

	if (generation < 0)
		return generation;
	if (generation == 1)
		snprintf(path, sizeof(path), "/relay/%s?turn=%s", t->uri.outlet, on ? "on" : "off");
	else
		snprintf(path, sizeof(path), "/rpc/Switch.Set?id=%s&on=%s", t->uri.outlet, on ? "true" : "false");
	return shelly_get_json(t, path, &answer, err);
}

static int shelly_get(const struct br_power_target *t, struct br_power_reading *ret, struct br_error *err)
{
	br_cleanup(json_decrefp) json_t *answer = NULL;
	int generation = shelly_generation(t, err), r;
	char path[160];

	if (generation < 0)
		return generation;
	snprintf(path, sizeof(path), generation == 1 ? "/relay/%s" : "/rpc/Switch.GetStatus?id=%s", t->uri.outlet);
	r = shelly_get_json(t, path, &answer, err);
	return r < 0 ? r : br_power_answer_shelly(answer, generation, &ret->state, ret->detail, sizeof(ret->detail), err);
}

const struct br_power_driver br_power_shelly = { .set = shelly_set, .get = shelly_get };

/* ---- PDUDaemon: takes an order into its queue; it has no way to ask for a state ---- */

static int pdudaemon_set(const struct br_power_target *t, enum br_power_op op, struct br_error *err)
{
	static const char *const words[] = { [BR_POWER_OP_ON] = "on", [BR_POWER_OP_OFF] = "off", [BR_POWER_OP_RESET] = "reboot" };
	const struct br_power_field fields[] = { { "pdu", t->uri.pdu }, { "port", t->uri.outlet }, { 0 } };
	char base[160], url[URL_MAX], query[URL_MAX / 2], vis[120];
	struct br_power_page page;
	int r;

	if (!br_power_fill(query, sizeof(query), "hostname={pdu}&port={port}", fields, true))
		return br_error_set(err, EINVAL, "PDU and outlet are too long");
	snprintf(url, sizeof(url), "%s/power/control/%s?%s", host(t, 16421, base), words[op], query);
	r = br_power_get(url, NULL, NULL, t->timeout_ns, &page, err);
	if (r < 0)
		return r;
	/* it says "OK - accepted request", or what is wrong with it, in plain text */
	if (page.status / 100 != 2 || page.text[0] == '<')
		r = br_error_set(err, EPROTO, "PDUDaemon at %s answered HTTP %ld: %s", base, page.status,
			br_vis(vis, sizeof(vis), page.text, strcspn(page.text, "\r\n")));
	br_power_page_done(&page);
	return r;
}

static bool pdudaemon_can_reset(const struct br_power_target *t)
{
	return true;
}

const struct br_power_driver br_power_pdudaemon = { .can_reset = pdudaemon_can_reset, .set = pdudaemon_set };

/* ---- any other: its URLs, in the URI itself or in a section ---- */

static int generic_url(const struct br_power_target *t, const char *action, const char *template, char *url, struct br_error *err)
{
	const struct br_power_field fields[] = { { "action", action }, { "port", t->uri.outlet }, { "outlet", t->uri.outlet },
		{ "board", t->board }, { "mac", t->mac }, { "serial", t->serial }, { 0 } };

	if (!template)
		return br_error_set(err, ENOENT, "no section [power %s] of bramble.conf has a URL for '%s'", t->uri.host, action);
	return br_power_fill(url, URL_MAX, template, fields, true) ? 0 : br_error_set(err, EINVAL, "the URL for '%s' is too long", action);
}

static int generic_ask(const struct br_power_target *t, const char *action, const char *template, struct br_power_page *ret,
	struct br_error *err)
{
	char url[URL_MAX];
	int r = generic_url(t, action, t->uri.url[0] ? t->uri.url : template, url, err);

	return r < 0 ? r : br_power_get(url, user_of(t), password_of(t), t->timeout_ns, ret, err);
}

static int generic_set(const struct br_power_target *t, enum br_power_op op, struct br_error *err)
{
	const struct br_power_section *s = t->section;
	const char *template = !s ? NULL : op == BR_POWER_OP_ON ? s->on : op == BR_POWER_OP_OFF ? s->off : s->reset;
	struct br_power_page page;
	char vis[120];
	int r = generic_ask(t, br_power_op_name(op), template, &page, err);

	if (r < 0)
		return r;
	if (page.status / 100 != 2)
		r = br_error_set(err, page.status == 401 ? EACCES : EPROTO, "%s answered HTTP %ld to '%s': %s", t->uri.host, page.status,
			br_power_op_name(op), br_vis(vis, sizeof(vis), page.text, strcspn(page.text, "\r\n")));
	br_power_page_done(&page);
	return r;
}

static bool says_on(const char *pattern, const char *text)
{
	regex_t re;
	bool on;

	if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB))
		return false; /* it was checked when it was read */
	on = !regexec(&re, text, 0, NULL, 0);
	regfree(&re);
	return on;
}

static int generic_get(const struct br_power_target *t, struct br_power_reading *ret, struct br_error *err)
{
	const struct br_power_section *s = t->section;
	struct br_power_page page;
	char vis[120];
	int r = generic_ask(t, "status", s ? s->status : NULL, &page, err);

	if (r < 0)
		return r;
	if (t->uri.url[0] && (page.status == 404 || page.status == 405 || page.status == 501))
		ret->state = BR_POWER_IS_UNKNOWN; /* it has no status, and nobody said that it had one */
	else if (page.status / 100 != 2)
		r = br_error_set(err, EPROTO, "%s answered HTTP %ld to 'status'", t->uri.host, page.status);
	else if (s && s->status_on && !t->uri.url[0])
		ret->state = says_on(s->status_on, page.text) ? BR_POWER_IS_ON : BR_POWER_IS_OFF;
	else if (!br_power_answer_plain(page.text, page.n, &ret->state))
		r = br_error_set(err, EPROTO, "%s: its status says neither on nor off: %s", t->uri.host,
			br_vis(vis, sizeof(vis), page.text, strcspn(page.text, "\r\n")));
	br_power_page_done(&page);
	return r;
}

static bool generic_can_status(const struct br_power_target *t)
{
	return t->uri.url[0] || (t->section && t->section->status);
}

static bool generic_can_reset(const struct br_power_target *t)
{
	return !t->uri.url[0] && t->section && t->section->reset;
}

const struct br_power_driver br_power_http = {
	.can_status = generic_can_status, .can_reset = generic_can_reset, .set = generic_set, .get = generic_get
};

/* SPDX-License-Identifier: Apache-2.0 */
/* /metrics, /healthz and /readyz: for those who watch over many machines. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/call.h"
#include "api/live.h"
#include "api/metrics.h"
#include "api/rights.h"
#include "api/web.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/netif.h"
#include "plan/boots.h"
#include "plan/disks.h"

#define ROOM_LEAST (64ull << 20) /* bytes left for disks: less is no state to boot boards in */

/* ---- what the API knows of the fleet ---- */

struct stages {
	struct br_api *api;
	uint64_t n[BR_STAGE_UP + 1];
};

static int count_stage(void *ctx, const struct br_board *b)
{
	struct stages *s = ctx;
	struct br_boot_status st = { 0 };

	if (br_boots_status(s->api->boots, b->id, &st) < 0)
		st.stage = BR_STAGE_NONE;
	s->n[st.stage]++;
	return 0;
}

static void write_boards(struct br_api *api, struct br_metrics *m)
{
	struct stages s = { .api = api };

	if (br_board_list(api->fleet, count_stage, &s) < 0)
		return; /* bramble_storage_ok says so */
	br_metric_family(m, "bramble_boards", BR_METRIC_GAUGE, "Boards, by how far their boot is.");
	for (unsigned i = 0; i <= BR_STAGE_UP; i++)
		br_metric_value(m, (double)s.n[i], "stage", br_stage_name((enum br_stage)i), NULL);
}

static void write_turns(struct br_api *api, struct br_metrics *m)
{
	json_t *turns = api->status.turns ? api->status.turns(api->status.turns_ctx) : NULL;

	if (!turns)
		return;
	br_metric_family(m, "bramble_boots_fetching", BR_METRIC_GAUGE, "Boards that fetch their boot files now.");
	br_metric_value(m, (double)json_integer_value(json_object_get(turns, "running")), NULL);
	br_metric_family(m, "bramble_boots_waiting", BR_METRIC_GAUGE, "Boards that wait their turn to boot.");
	br_metric_value(m, (double)json_integer_value(json_object_get(turns, "waiting")), NULL);
	json_decref(turns);
}

static void write_storage(struct br_api *api, struct br_metrics *m)
{
	struct br_error health = BR_ERROR_NULL;
	uint64_t room;

	br_metric_family(m, "bramble_storage_ok", BR_METRIC_GAUGE, "Whether what happens can be stored.");
	br_metric_value(m, br_event_health(api->fleet, &health) >= 0, NULL);
	if (!api->disks || br_disks_room(api->disks, &room) < 0)
		return;
	br_metric_family(m, "bramble_disks_free_bytes", BR_METRIC_GAUGE, "Room left for the boards' disks.");
	br_metric_value(m, (double)room, NULL);
}

static void write_web(struct br_api *api, struct br_metrics *m)
{
	static const char *const hundreds[] = { "none", "1xx", "2xx", "3xx", "4xx", "5xx" };
	struct br_web_counts c;
	struct br_feed_counts f = { 0 };

	if (api->feed)
		br_feed_counts(api->feed, &f);
	br_metric_family(m, "bramble_followers", BR_METRIC_GAUGE, "Who follows the live feed.");
	br_metric_value(m, (double)f.followers, NULL);
	br_metric_family(m, "bramble_feed_messages_total", BR_METRIC_COUNTER, "Messages of the live feed.");
	br_metric_value(m, (double)f.messages, NULL);
	br_metric_family(m, "bramble_feed_resyncs_total", BR_METRIC_COUNTER, "Followers that were too slow for it.");
	br_metric_value(m, (double)f.resyncs, NULL);
	if (!api->web)
		return;
	br_web_counts(api->web, &c);
	br_metric_family(m, "bramble_http_connections", BR_METRIC_GAUGE, "Connections to the page and the API by TCP.");
	br_metric_value(m, c.connections, NULL);
	br_metric_family(m, "bramble_http_streams", BR_METRIC_GAUGE, "Long answers under way.");
	br_metric_value(m, c.streams, NULL);
	br_metric_family(m, "bramble_http_requests_total", BR_METRIC_COUNTER, "Requests by TCP, by their answer.");
	for (unsigned i = 2; i < BR_ARRAY_SIZE(hundreds); i++)
		br_metric_value(m, (double)c.requests[i], "code", hundreds[i], NULL);
	br_metric_family(m, "bramble_http_refused_total", BR_METRIC_COUNTER, "Connections and requests refused or ended, by why.");
	br_metric_value(m, (double)c.refused_full, "why", "too-many", NULL);
	br_metric_value(m, (double)c.refused_guard, "why", "stranger", NULL);
	br_metric_value(m, (double)c.refused_scope, "why", "rights", NULL);
	br_metric_value(m, (double)c.timed_out, "why", "slow", NULL);
	br_metric_value(m, (double)c.busy, "why", "busy", NULL);
}

/* Names and units as the client libraries of Prometheus have them. */
static void write_process(const struct br_api *api, struct br_metrics *m)
{
	struct rusage u;
	unsigned long size, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f && fscanf(f, "%lu %lu", &size, &resident) != 2)
		resident = 0;
	if (f)
		fclose(f);
	getrusage(RUSAGE_SELF, &u);
	br_metric_family(m, "process_cpu_seconds_total", BR_METRIC_COUNTER, "Processor time used.");
	br_metric_value(m, (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6, NULL);
	br_metric_family(m, "process_resident_memory_bytes", BR_METRIC_GAUGE, "Memory in use.");
	br_metric_value(m, (double)resident * (double)sysconf(_SC_PAGESIZE), NULL);
	br_metric_family(m, "process_start_time_seconds", BR_METRIC_GAUGE, "When the daemon started, since 1970.");
	br_metric_value(m, (double)(br_wall_ns() - (br_now_ns() - api->started_ns)) / 1e9, NULL);
	br_metric_family(m, "bramble_build_info", BR_METRIC_GAUGE, "Always 1; the version is its label.");
	br_metric_value(m, 1, "version", BRAMBLE_VERSION, NULL);
}

/* Counted as often as somebody asks, but not more often than that: each board costs a look at its boot. */
#define WHY_NS (30 * BR_S)

static void write_why(struct br_api *api, struct br_metrics *m)
{
	uint64_t now = br_now_ns();

	if (!api->watch)
		return;
	if (!api->why_ns || now - api->why_ns > WHY_NS) {
		memset(api->why_rows, 0, sizeof(api->why_rows));
		br_api_why_count(api, api->why_rows, BR_ARRAY_SIZE(api->why_rows));
		api->why_ns = now;
	}
	br_metric_family(m, "bramble_boards_troubled", BR_METRIC_GAUGE, "Boards with something wrong, by its row of docs/why.md; 0: no row.");
	for (unsigned i = 0; i < BR_ARRAY_SIZE(api->why_rows); i++) {
		char row[12];

		snprintf(row, sizeof(row), "%u", i);
		if (api->why_rows[i] || !i)
			br_metric_value(m, api->why_rows[i], "row", row, NULL);
	}
}

void br_api_metrics(void *ctx, struct br_metrics *m)
{
	struct br_api *api = ctx;

	write_boards(api, m);
	write_turns(api, m);
	write_why(api, m);
	write_storage(api, m);
	write_web(api, m);
	write_process(api, m);
	if (!api->status.capture_dropped)
		return;
	br_metric_family(m, "bramble_capture_dropped_total", BR_METRIC_COUNTER, "Frames that 'why' and 'capture' missed.");
	br_metric_value(m, (double)api->status.capture_dropped(api->status.capture_ctx), NULL);
}

/* ---- the routes ---- */

static int answer_text(struct br_call *call, char *text, const char *type, struct br_error *err)
{
	call->response = text ? MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE) : NULL;
	if (!call->response) {
		free(text);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	MHD_add_response_header(call->response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	return 0;
}

static int metrics(struct br_call *call, struct br_error *err)
{
	return answer_text(call, br_metrics_text(), "text/plain; version=0.0.4; charset=utf-8", err);
}

static int healthz(struct br_call *call, struct br_error *err)
{
	return answer_text(call, strdup("ok\n"), "text/plain; charset=utf-8", err);
}

/* Why no boards should be sent here now; none: ready. */
static json_t *obstacles(struct br_api *api)
{
	json_t *out = json_array();
	struct br_error health = BR_ERROR_NULL;
	struct br_netif netif;
	uint64_t room;

	if (br_api_ending(api))
		json_array_append_new(out, json_string("the daemon stops"));
	if (br_event_health(api->fleet, &health) < 0)
		json_array_append_new(out, json_sprintf("what happens cannot be stored: %s", health.text));
	if (api->disks && !br_disks_room(api->disks, &room) && room < ROOM_LEAST)
		json_array_append_new(out, json_string("there is no room left for the boards' disks"));
	if (br_netif_info(api->status.interface, &netif, NULL) < 0)
		json_array_append_new(out, json_sprintf("there is no interface %s", api->status.interface));
	else if (!netif.up || !netif.carrier)
		json_array_append_new(out, json_sprintf("interface %s has no link", api->status.interface));
	return out;
}

static int readyz(struct br_call *call, struct br_error *err)
{
	json_t *reasons = obstacles(call->api);
	bool ready = !json_array_size(reasons);

	/* the reasons name files and interfaces: for those who may read */
	if (br_api_may_read(call, NULL) < 0)
		json_array_clear(reasons);
	call->status = ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
	call->json = json_pack("{s:b, s:o}", "ready", ready, "reasons", reasons);
	return 0;
}

const struct br_route br_api_health[] = {
	{ "GET", "/metrics", .run = metrics, .summary = "What is counted, for Prometheus" },
	{ "GET", "/healthz", .run = healthz, .scope = BR_SCOPE_NONE, .summary = "Whether the daemon answers" },
	{ "GET", "/readyz", .run = readyz, .scope = BR_SCOPE_NONE, .summary = "Whether it can serve boards; 503 and the reasons, if not" },
	{ 0 },
};

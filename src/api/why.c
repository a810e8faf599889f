/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/boards/NAME/why and /capture: what the watch knows of a board. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/metrics.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/netif.h"
#include "base/text.h"
#include "flash/flash.h"
#include "plan/boots.h"
#include "plan/disks.h"
#include "store/image.h"
#include "why/why.h"

BR_DEFINE_CLEANUP(struct br_plan *, br_plan_unref);

/* Less than this on the host, and writes of boards fail; the event of it may have found no room either. */
#define HOST_FULL (1u << 20)

#define EVENTS_MAX 400 /* of one boot: a stock one makes about 100 */

/* NAME may also be a MAC, an address or a serial: a board that is not known has no name yet. */
static int find_unknown(struct br_call *call, struct br_mac *ret)
{
	uint32_t ip;
	char *end;
	unsigned long long serial;

	if (!br_mac_parse(call->name, ret))
		return 0;
	if (!br_ip_parse(call->name, &ip))
		return br_watch_by_ip(call->api->watch, ip, ret);
	serial = strtoull(call->name, &end, 16);
	if (*end || strlen(call->name) < 8)
		return -ENOENT;
	return br_watch_by_serial(call->api->watch, (uint32_t)serial, ret);
}

/* The board of the path, or what is heard under its name: then board->id is 0. */
static int find_board(struct br_call *call, struct br_board *board, struct br_error *err)
{
	struct br_mac mac;
	int r;

	if (!call->api->watch)
		return br_error_set(err, EOPNOTSUPP, "this daemon does not watch the network");
	r = br_call_board(call, board, err);
	if (r != -ENOENT || find_unknown(call, &mac) < 0)
		return r;
	*err = (struct br_error){ 0 };
	r = br_board_by_mac(call->api->fleet, mac, board);
	if (r == -ENOENT)
		*board = (struct br_board){ .mac = mac };
	return r == -ENOENT ? 0 : r;
}

struct adding {
	struct br_api *api;
	struct br_why_input *in;
};

static int add_event(void *ctx, const struct br_event *ev)
{
	struct adding *a = ctx;
	char text[BR_WHY_LINE] = "";

	if (a->api->event_text)
		a->api->event_text(ev, text, sizeof(text));
	br_why_add_event(a->in, ev, text[0] ? text : ev->type);
	return 0;
}

static void add_settings(struct br_api *api, const struct br_board *b, struct br_why_input *in)
{
	struct br_netif netif;
	char image[BR_IMAGE_NAME_MAX + 1];

	br_boots_default_image(api->boots, image);
	in->image = b->image[0] || image[0];
	in->local = !strcmp(b->road, "local");
	in->has_boot = b->id && br_boots_status(api->boots, b->id, &in->boot) >= 0;
	in->server_ip = api->status.ip;
	in->waits = b->id && api->status.waits && api->status.waits(api->status.turns_ctx, b->id, &in->waits_before);
	in->dhcp = strcmp(api->status.dhcp_mode ? api->status.dhcp_mode(api->status.dhcp_mode_ctx) : api->status.dhcp, "off") != 0;
	in->link_down = br_netif_info(api->status.interface, &netif, NULL) >= 0 && !netif.carrier;
	in->watch = api->watch;
	in->n_booting = br_watch_booting(api->watch, in->now_ns > 60 * BR_S ? in->now_ns - 60 * BR_S : 0);
	snprintf(in->name, sizeof(in->name), "%s", b->name);
	in->mac = b->mac;
}

/* What the image of its boot has become. */
static void add_image(struct br_api *api, const struct br_board *b, struct br_why_input *in)
{
	br_cleanup(br_plan_unrefp) struct br_plan *plan = NULL;
	struct br_error err = BR_ERROR_NULL;

	if (in->has_boot && br_boots_plan(api->boots, b, &plan, &err) >= 0 &&
		br_image_changed(br_plan_base_image(br_plan_input(plan)->base), &err) < 0)
		br_strcpy(in->image_words, sizeof(in->image_words), err.text);
}

static void add_room(struct br_api *api, struct br_why_input *in)
{
	uint64_t room;

	if (!in->has_boot || !api->disks || br_disks_room(api->disks, &room) < 0 || room >= HOST_FULL)
		return;
	in->disk_full_ns = in->now_ns;
	snprintf(in->disk_full_words, sizeof(in->disk_full_words), "the file system of the state directory has no room left");
}

/* The board's last order to be flashed; wall clock times become ours. */
static void add_flash(struct br_api *api, const struct br_board *b, struct br_why_input *in)
{
	static const int states[] = {
		[BR_FLASH_WAITING] = BR_WHY_FLASH_WAITING, [BR_FLASH_WRITING] = BR_WHY_FLASH_WRITING, [BR_FLASH_VERIFIED] = BR_WHY_FLASH_VERIFIED,
		[BR_FLASH_DONE] = BR_WHY_FLASH_ENDED, [BR_FLASH_FAILED] = BR_WHY_FLASH_FAILED, [BR_FLASH_CANCELLED] = BR_WHY_FLASH_ENDED,
	};
	struct br_flash_order o;
	struct br_flash_status st;
	int64_t offset_ns = (int64_t)in->now_ns - (int64_t)in->now_wall_ns;

	if (!api->flash || !b->id || br_flash_order_last(api->fleet, b->id, &o) < 0 || br_flash_status(api->flash, o.id, &st) < 0)
		return;
	in->flash.state = states[st.order.state];
	if (br_flash_open_state(st.order.state) || !strcmp(b->road, "flash"))
		in->image = true; /* none is needed for that */
	in->flash.order = (uint32_t)st.order.id;
	br_strcpy(in->flash.target, sizeof(in->flash.target), st.order.target);
	br_strcpy(in->flash.up, sizeof(in->flash.up), st.order.up);
	br_strcpy(in->flash.what, sizeof(in->flash.what), st.order.what);
	br_strcpy(in->flash.word, sizeof(in->flash.word), br_flash_fail_word(st.order.reason));
	br_strcpy(in->flash.reason, sizeof(in->flash.reason), st.order.reason);
	snprintf(in->flash.progress, sizeof(in->flash.progress), "%u of %u pieces", st.done, st.windows);
	in->flash.begun = st.begun;
	in->flash.contact_ns = st.contact_ns;
	in->flash.asked_ns = st.asked_ns;
	if (st.order.verified_at)
		in->flash.verified_ns = (uint64_t)(st.order.verified_at * (int64_t)BR_S + offset_ns);
	if (st.order.ended_at)
		in->flash.ended_ns = (uint64_t)(st.order.ended_at * (int64_t)BR_S + offset_ns);
}

static int gather(struct br_api *api, const struct br_board *b, struct br_why_input *in, struct br_error *err)
{
	struct br_event_filter filter = { .board_id = b->id, .limit = EVENTS_MAX };
	struct adding a = { api, in };
	uint64_t hour_ago;
	int r;

	in->now_ns = br_now_ns();
	in->now_wall_ns = br_wall_ns();
	hour_ago = in->now_ns > 3600 * BR_S ? in->now_ns - 3600 * BR_S : 0;
	add_settings(api, b, in);
	add_image(api, b, in);
	add_flash(api, b, in);
	in->heard = br_watch_facts(api->watch, b->mac, &in->facts) >= 0;
	if (in->heard)
		br_watch_twin(api->watch, b->mac, in->facts.guid.serial, hour_ago, &in->twin);
	r = b->id ? br_event_query(api->fleet, &filter, add_event, &a, err) : 0;
	add_room(api, in); /* behind what events said */
	return r;
}

static json_t *verdict_json(const struct br_board *b, const struct br_verdict *v)
{
	json_t *evidence = json_array();
	char mac[BR_MAC_TEXT];

	for (unsigned i = 0; i < v->n_evidence; i++)
		json_array_append_new(evidence, json_string(v->evidence[i]));
	return json_pack("{s:s?, s:s, s:s, s:o, s:s, s:s?, s:o}", "board", b->name[0] ? b->name : NULL, "mac",
		br_mac_format(mac, b->mac), "level", br_why_level_name(v->level), "row",
		v->row ? json_integer(v->row) : json_null(), "verdict", v->text, "cure", v->cure[0] ? v->cure : NULL,
		"evidence", evidence);
}

static int why(struct br_call *call, struct br_error *err)
{
	br_cleanup(br_freep) struct br_why_input *in = calloc(1, sizeof(*in));
	br_cleanup(br_freep) struct br_verdict *v = calloc(1, sizeof(*v));
	struct br_board b;
	int r;

	if (!in || !v)
		return br_error_set(err, ENOMEM, "out of memory");
	r = find_board(call, &b, err);
	if (r >= 0)
		r = gather(call->api, &b, in, err);
	if (r >= 0)
		r = br_why(in, v);
	if (r < 0)
		return r;
	call->json = verdict_json(&b, v);
	return call->json ? 0 : br_error_set(err, EIO, "board %s: the verdict is no valid text", b.name);
}

/* Boards that are not fine, at most so many: each costs a look at its boot. */
#define WHY_MAX 500

struct looking {
	struct br_call *call;
	struct br_why_input *in;
	struct br_verdict *v;
	enum br_why_level least;
	struct br_error *err;
};

static int add_verdict(void *ctx, const struct br_board *b)
{
	struct looking *l = ctx;
	int r;

	memset(l->in, 0, sizeof(*l->in));
	memset(l->v, 0, sizeof(*l->v));
	r = gather(l->call->api, b, l->in, l->err);
	if (r >= 0)
		r = br_why(l->in, l->v);
	if (r < 0 || l->v->level < l->least)
		return r < 0 ? r : 0;
	json_array_append_new(l->call->json, verdict_json(b, l->v)); /* one that is no valid text is left out */
	return json_array_size(l->call->json) >= WHY_MAX;
}

struct counting {
	struct br_api *api;
	struct br_why_input *in;
	struct br_verdict *v;
	unsigned *rows, n;
};

static int count_verdict(void *ctx, const struct br_board *b)
{
	struct counting *c = ctx;

	memset(c->in, 0, sizeof(*c->in));
	memset(c->v, 0, sizeof(*c->v));
	if (gather(c->api, b, c->in, NULL) >= 0 && br_why(c->in, c->v) >= 0 && c->v->level == BR_WHY_WRONG)
		c->rows[c->v->row < c->n ? c->v->row : 0]++;
	return 0;
}

void br_api_why_count(struct br_api *api, unsigned *rows, unsigned n)
{
	br_cleanup(br_freep) struct br_why_input *in = calloc(1, sizeof(*in));
	br_cleanup(br_freep) struct br_verdict *v = calloc(1, sizeof(*v));

	if (in && v) /* a database that cannot be read shows elsewhere */
		(void)br_board_list(api->fleet, count_verdict, &(struct counting){ api, in, v, rows, n });
}

static int parse_level(const char *text, enum br_why_level *ret, struct br_error *err)
{
	char vis[60];

	*ret = BR_WHY_NOTE;
	for (int i = BR_WHY_FINE; text && i <= BR_WHY_WRONG; i++) {
		if (!strcmp(text, br_why_level_name((enum br_why_level)i))) {
			*ret = (enum br_why_level)i;
			return 0;
		}
	}
	return text ? br_error_set(err, EINVAL, "level '%s': it is one of fine, booting, note and wrong", br_vis(vis, sizeof(vis), text, strlen(text))) :
		      0;
}

static int why_all(struct br_call *call, struct br_error *err)
{
	br_cleanup(br_freep) struct br_why_input *in = calloc(1, sizeof(*in));
	br_cleanup(br_freep) struct br_verdict *v = calloc(1, sizeof(*v));
	struct looking l = { .call = call, .in = in, .v = v, .err = err };
	int r;

	if (!in || !v)
		return br_error_set(err, ENOMEM, "out of memory");
	if (!call->api->watch)
		return br_error_set(err, EOPNOTSUPP, "this daemon does not watch the network");
	r = parse_level(br_call_param(call, "level"), &l.least, err);
	if (r < 0)
		return r;
	call->json = json_array();
	r = br_board_list(call->api->fleet, add_verdict, &l);
	return r < 0 ? r : 0;
}

static int capture(struct br_call *call, struct br_error *err)
{
	uint8_t *data = NULL;
	size_t n = 0;
	char mac[BR_MAC_TEXT];
	struct br_board b;
	int r = find_board(call, &b, err);

	/* the path was looked at as a name; it may have been an address */
	if (r >= 0 && call->who.boards[0])
		r = b.id ? br_call_may_change(call, &b, err) :
			   br_error_set(err, EACCES, "%s is for the boards '%s'; this is none of them", call->who.name, call->who.boards);
	if (r < 0)
		return r;
	r = br_watch_pcap(call->api->watch, b.mac, br_now_ns(), br_wall_ns(), &data, &n);
	if (r == -ENOENT)
		return br_error_set(err, ENOENT, "nothing was heard from %s (%s) since the daemon started", b.name[0] ? b.name : "it",
			br_mac_format(mac, b.mac));
	if (r < 0)
		return br_error_set(err, -r, "capture: %s", strerror(-r));
	call->response = MHD_create_response_from_buffer(n, data, MHD_RESPMEM_MUST_FREE);
	if (!call->response) {
		free(data);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	MHD_add_response_header(call->response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/vnd.tcpdump.pcap");
	return 0;
}

const struct br_route br_api_why[] = {
	{ "GET", "/v1/why", .run = why_all, .params = { "level" }, .gives = "verdicts",
		.summary = "The boards that are not fine, and why; level: from which on (fine, booting, note, wrong)" },
	{ "GET", "/v1/boards/NAME/why", .run = why, .gives = "verdict",
		.summary = "Why the board is not up, in words" },
	{ "GET", "/v1/boards/NAME/capture", .run = capture, .scope = BR_SCOPE_OPERATE,
		.summary = "Its last packets as a pcap file" },
	{ 0 },
};

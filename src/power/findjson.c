/* SPDX-License-Identifier: Apache-2.0 */
/* All switches of bramble.conf asked at once, and what that says of boards. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "base/thread.h"
#include "power/find.h"
#include "power/manager.h"

#define SWITCHES_MAX 64

struct reader {
	const struct br_power_conf *conf;
	const struct br_power_section *section;
	struct br_power_view *view;
	pthread_t thread;
	bool started;
};

static void *read_one(void *arg)
{
	struct reader *r = arg;

	br_power_view_read(r->conf, r->section, r->view);
	return NULL;
}

/* Each in a thread of its own: one that does not answer takes its time-out, not the others'. */
static size_t read_all(const struct br_power_conf *conf, struct br_power_view *views)
{
	struct reader readers[SWITCHES_MAX];
	size_t n = 0;

	for (size_t i = 0; i < conf->n && n < SWITCHES_MAX; i++) {
		if (!conf->sections[i].is_switch)
			continue;
		readers[n] = (struct reader){ .conf = conf, .section = &conf->sections[i], .view = &views[n] };
		readers[n].started = !br_thread_start(&readers[n].thread, read_one, &readers[n]);
		n++;
	}
	for (size_t i = 0; i < n; i++) {
		if (readers[i].started)
			pthread_join(readers[i].thread, NULL);
		else
			read_one(&readers[i]);
	}
	return n;
}

struct fleet_list {
	struct br_board *v;
	struct br_mac *macs;
	size_t n, cap, cap_macs;
};

static int take_board(void *ctx, const struct br_board *board)
{
	struct fleet_list *l = ctx;

	if (br_array_reserve(&l->v, &l->cap, l->n + 1, sizeof(l->v[0])) < 0 ||
		br_array_reserve(&l->macs, &l->cap_macs, l->n + 1, sizeof(l->macs[0])) < 0)
		return -ENOMEM;
	l->v[l->n] = *board;
	l->macs[l->n++] = board->mac;
	return 0;
}

static json_t *place_json(struct br_power *p, const struct br_board *board, const struct br_power_view *views, size_t n,
	const struct fleet_list *all)
{
	char uri[BR_POWER_URI_MAX + 1] = "", now[BR_POWER_URI_MAX + 1] = "", shown[BR_POWER_URI_MAX * 4], port[32] = "";
	struct br_power_place place = { 0 };

	if (br_mac_u64(board->mac))
		br_power_place_find(views, n, board->mac, all->macs, all->n, &place);
	else
		snprintf(place.why, sizeof(place.why), "its MAC address is not known: it never asked us for anything");
	if (place.view) {
		if (place.port.group != 1)
			snprintf(port, sizeof(port), "%u.%u", place.port.group, place.port.port);
		else
			snprintf(port, sizeof(port), "%u", place.port.port);
		snprintf(uri, sizeof(uri), "%s://%s/%s", place.view->section->user ? "snmpv3" : "snmp", place.view->section->name, port);
	}
	if (br_power_uri_of(p, board, now, NULL) < 0)
		now[0] = 0;
	return json_pack("{s:s, s:s*, s:s*, s:s*, s:s*, s:s*, s:b, s:s*}", "board", board->name, "switch",
		place.view ? place.view->section->name : NULL, "port", port[0] ? port : NULL, "uri", uri[0] ? uri : NULL, "by",
		place.view ? (place.lldp ? "lldp" : "bridge") : NULL, "now", now[0] ? br_power_uri_public(shown, sizeof(shown), now) : NULL, "new",
		uri[0] && strcmp(uri, now) != 0, "why", place.view ? NULL : place.why);
}

static bool meant(const struct br_board *board, const json_t *names)
{
	size_t i;
	const json_t *v;

	json_array_foreach(names, i, v)
		if (json_is_string(v) && !strcmp(json_string_value(v), board->name))
			return true;
	return !names;
}

static json_t *views_json(const struct br_power_view *views, size_t n)
{
	json_t *out = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(out, json_pack("{s:s, s:i, s:i, s:s*}", "switch", views[i].section->name, "ports", (int)views[i].n_ports,
			"addresses", (int)views[i].n_seen, "error", views[i].r < 0 ? br_error_text(&views[i].err, views[i].r) : NULL));
	return out;
}

int br_power_find(struct br_power *p, const json_t *names, json_t **ret, struct br_error *err)
{
	struct br_power_view *views = calloc(SWITCHES_MAX, sizeof(*views));
	struct fleet_list all = { 0 };
	json_t *boards = json_array();
	size_t n = 0;
	int r = views ? br_board_list(p->opt.fleet, take_board, &all) : -ENOMEM;

	if (r < 0)
		br_error_set(err, -r, "the boards cannot be listed: %s", strerrordesc_np(-r));
	else
		n = read_all(p->opt.conf, views);
	if (!r && !n)
		r = br_error_set(err, ENOENT, "bramble.conf names no switch: write a section [switch NAME] with its address and community");
	for (size_t i = 0; !r && i < all.n; i++)
		if (meant(&all.v[i], names))
			json_array_append_new(boards, place_json(p, &all.v[i], views, n, &all));
	if (!r) {
		*ret = json_pack("{s:O, s:o}", "boards", boards, "switches", views_json(views, n));
		r = *ret ? 0 : br_error_set(err, ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < n; i++)
		br_power_view_done(&views[i]);
	free(views);
	free(all.v);
	free(all.macs);
	json_decref(boards);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who gets which address. Boards come first: what is offered to them is theirs for good, because a ROM uses it without
 * another word. Strangers get half of the range at most, for a time, and nothing is stored before they take it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/glue.h"
#include "daemon/pool.h"
#include "dhcp/io.h"
#include "fleet/event.h"

#define MAX_TAKEN (2 + BR_DHCP_MAX_ADDRESSES + BR_DHCP_MAX_SUBNETS)

/* Where addresses for this client come from: our range, or that of the network behind its relay. */
static void choose_range(const struct br_glue *glue, const struct br_dhcp_client *c, struct br_lease_request *req)
{
	req->first = glue->first_ip;
	req->last = glue->last_ip;
	for (size_t i = 0; c->link_ip && i < glue->dhcp->n_subnets; i++) {
		const struct br_dhcp_subnet *n = &glue->dhcp->subnets[i];

		if ((c->link_ip ^ n->net) & br_ip_mask(n->prefix))
			continue;
		req->first = n->first;
		req->last = n->last;
		return;
	}
}

/* Everybody's and nobody's: ours, the routers'. Returns how many. */
static size_t never_given(const struct br_glue *glue, const struct br_dhcp_client *c, uint32_t *taken)
{
	size_t n = 0;

	taken[n++] = glue->server_ip;
	if (c->relay_ip)
		taken[n++] = c->relay_ip;
	for (size_t i = 0; i < BR_DHCP_MAX_ADDRESSES && glue->dhcp->router_ip[i]; i++)
		taken[n++] = glue->dhcp->router_ip[i];
	for (size_t i = 0; i < glue->dhcp->n_subnets; i++)
		if (glue->dhcp->subnets[i].router_ip)
			taken[n++] = glue->dhcp->subnets[i].router_ip;
	return n;
}

/* For whom is asked. */
struct asker {
	const struct br_pool *pool;
	struct br_mac mac;
	uint64_t now_ns;
};

static bool is_taken(const void *ctx, uint32_t ip)
{
	const struct asker *a = ctx;

	return br_pool_is_taken(a->pool, ip, a->mac, a->now_ns);
}

/* Asked once before somebody has it for the first time; the answer comes too late for this offer, not for the next. */
static void ask_who_has(struct br_glue *glue, uint32_t ip)
{
	if (!glue->dhcp_io || !br_pool_may_ask(glue->pool, br_now_ns()))
		return;
	br_pool_asked(glue->pool, ip, br_now_ns());
	br_dhcp_io_ask(glue->dhcp_io, ip);
}

/* Boards that nobody ever saw again after a first cry: a flood of made-up ones, or a board that lies in a drawer. */
#define GHOST_AFTER_S 600
#define GHOST_SEEN_S 60
#define MAX_GHOSTS 64
#define GHOSTS_EVERY_NS (10 * BR_S)

struct ghosts {
	struct br_glue *glue;
	int64_t now;
	struct {
		int64_t id;
		char name[BR_BOARD_NAME_MAX + 1];
	} found[MAX_GHOSTS];
	size_t n;
};

/* Made by us, edited by nobody, and no file was ever sent to it. */
static int look_at_board(void *ctx, const struct br_board *b)
{
	struct ghosts *g = ctx;

	if (b->image[0] || b->disk[0] || b->road[0] || b->notes[0] || b->address || strncmp(b->name, "pi-", 3) != 0 ||
		b->adopted_at > g->now - GHOST_AFTER_S || b->seen_at > b->adopted_at + GHOST_SEEN_S)
		return 0;
	if (br_glue_has_fetched(g->glue, b->id) != 0)
		return 0;
	g->found[g->n].id = b->id;
	memcpy(g->found[g->n].name, b->name, sizeof(b->name));
	return ++g->n == MAX_GHOSTS;
}

/* Frees addresses when there are none left for a board. How many. */
static size_t forget_ghosts(struct br_glue *glue)
{
	br_cleanup(br_freep) struct ghosts *g = calloc(1, sizeof(*g));
	uint64_t now = br_now_ns();
	size_t n = 0;

	if (!g || (glue->addresses.ghosts_ns && now - glue->addresses.ghosts_ns < GHOSTS_EVERY_NS))
		return 0;
	glue->addresses.ghosts_ns = now;
	g->glue = glue;
	g->now = (int64_t)(br_wall_ns() / BR_S);
	br_board_list(glue->fleet, look_at_board, g);
	for (size_t i = 0; i < g->n; i++) {
		struct br_error err = BR_ERROR_NULL;

		if (br_board_remove(glue->fleet, g->found[i].id, &err) < 0)
			continue;
		br_boots_forget(glue->boots, g->found[i].id);
		br_event_emit(glue->fleet, g->found[i].id, 0, BR_EV_BOARD_REMOVED,
			json_pack("{s:s, s:s}", "name", g->found[i].name, "reason",
				"seen once, never booted, and its address was needed"));
		n++;
	}
	return n;
}

static void tell_full(struct br_glue *glue, const struct br_dhcp_client *c, int64_t board_id, const char *why)
{
	char mac[BR_MAC_TEXT];

	if (!br_pool_may_tell(glue->pool, br_now_ns()))
		return;
	br_log_error("DHCP: %s gets no address: %s", br_mac_format(mac, c->mac), why);
	br_event_emit(glue->fleet, board_id, 0, BR_EV_DHCP_FULL, json_pack("{s:s, s:s}", "mac", mac, "reason", why));
}

/* The address that somebody chose for it, where that is on the network it asks from and free. */
static int take_fixed(struct br_glue *glue, const struct br_board *board, const struct br_lease_request *req,
	struct br_lease *ret)
{
	struct br_lease_request one = *req;
	struct br_error err = BR_ERROR_NULL;
	char ip[BR_IP_TEXT];
	uint32_t mask = br_ip_mask(glue->prefix);
	int r;

	if (!board->address)
		return -ENOENT;
	for (size_t i = 0; i < glue->dhcp->n_subnets; i++)
		if (req->first == glue->dhcp->subnets[i].first)
			mask = br_ip_mask(glue->dhcp->subnets[i].prefix);
	br_ip_format(ip, board->address);
	if ((board->address ^ req->first) & mask) {
		if (br_pool_may_tell(glue->pool, br_now_ns()))
			br_log_warning("%s is to have %s, but asks from another network: it gets another address",
				board->name, ip);
		return -ENOENT;
	}
	one.first = one.last = one.wanted = board->address;
	r = br_lease_take(glue->fleet, &one, ret, &err);
	if (r != -ENOSPC)
		return r;
	if (br_pool_may_tell(glue->pool, br_now_ns()))
		br_log_warning("%s is to have %s, which somebody else has now: it gets another address until that is free",
			board->name, ip);
	return -ENOENT;
}

static int for_board(struct br_glue *glue, const struct br_dhcp_client *c, const struct br_board *board,
	struct br_lease_request *req, uint32_t *ret_ip)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_lease lease, before;
	bool had = !br_lease_by_mac(glue->fleet, c->mac, &before);
	int r = take_fixed(glue, board, req, &lease);

	if (r == -ENOENT)
		r = br_lease_take(glue->fleet, req, &lease, &err);
	if (r == -ENOSPC && forget_ghosts(glue))
		r = br_lease_take(glue->fleet, req, &lease, &err);
	if (r < 0) {
		tell_full(glue, c, board->id, br_error_text(&err, r));
		return r;
	}
	if (!had || before.ip != lease.ip)
		ask_who_has(glue, lease.ip);
	*ret_ip = lease.ip;
	return 0;
}

/* Leases and offers of strangers against half of the range; leases are counted once a second. */
static bool share_is_used_up(struct br_glue *glue, const struct br_lease_request *req)
{
	uint64_t *counted = &glue->addresses.counted_ns;
	uint64_t now = br_now_ns(), share = ((uint64_t)req->last - req->first + 1) / 2;

	if (!*counted || now - *counted > BR_S) {
		if (br_lease_strangers(glue->fleet, &glue->addresses.strangers) < 0)
			return true;
		*counted = now;
	}
	return glue->addresses.strangers + br_pool_n_offers(glue->pool, now) >= share;
}

/* Nothing is stored: the next stranger may be told the same in half a minute. */
static int offer_stranger(struct br_glue *glue, const struct br_dhcp_client *c, struct br_lease_request *req,
	uint32_t *ret_ip)
{
	uint64_t now = br_now_ns();
	uint32_t ip = br_pool_offered(glue->pool, c->mac, now);
	int r;

	if (!ip) {
		req->only_used = share_is_used_up(glue, req);
		req->from = glue->addresses.offer_next; /* behind those that were just offered to others */
		r = br_lease_find(glue->fleet, req, &ip);
		if (r == -ENOSPC)
			tell_full(glue, c, 0, "no address left for clients that are no boards; they get half of the range");
		if (r < 0)
			return r;
		glue->addresses.offer_next = ip + 1;
		ask_who_has(glue, ip);
	}
	br_pool_offer(glue->pool, c->mac, ip, now);
	*ret_ip = ip;
	return 0;
}

static int for_stranger(struct br_glue *glue, const struct br_dhcp_client *c, bool offer,
	struct br_lease_request *req, uint32_t *ret_ip)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_lease lease;
	bool has = !br_lease_by_mac(glue->fleet, c->mac, &lease);
	int r;

	if (!has && offer)
		return offer_stranger(glue, c, req, ret_ip);
	if (!has) {
		req->wanted = br_pool_offered(glue->pool, c->mac, br_now_ns());
		if (!req->wanted)
			return -ENOENT;
	}
	r = br_lease_take(glue->fleet, req, &lease, &err);
	if (r < 0) {
		tell_full(glue, c, 0, br_error_text(&err, r));
		return r;
	}
	br_pool_forget(glue->pool, c->mac);
	*ret_ip = lease.ip;
	return 0;
}

int br_glue_address(struct br_glue *glue, const struct br_dhcp_client *c, bool offer, const struct br_board *board,
	uint32_t *ret_ip)
{
	const struct asker asker = { glue->pool, c->mac, br_now_ns() };
	uint32_t taken[MAX_TAKEN];
	struct br_lease_request req = {
		.mac = c->mac,
		.board_id = board ? board->id : 0,
		.wanted = c->wanted_ip,
		.lease_s = glue->lease_s,
		.taken = taken,
		.n_taken = never_given(glue, c, taken),
		.is_taken = is_taken,
		.taken_ctx = &asker,
	};
	struct br_lease lease;

	choose_range(glue, c, &req);
	if (!board)
		return for_stranger(glue, c, offer, &req, ret_ip);
	if (!offer && br_lease_by_mac(glue->fleet, c->mac, &lease) < 0) {
		/* it was a stranger when it was offered one */
		req.wanted = br_pool_offered(glue->pool, c->mac, br_now_ns());
		if (!req.wanted)
			return -ENOENT;
		br_pool_forget(glue->pool, c->mac);
	}
	return for_board(glue, c, board, &req, ret_ip);
}

void br_glue_conflict(struct br_glue *glue, uint32_t ip, struct br_mac mac)
{
	char text[BR_IP_TEXT], who[BR_MAC_TEXT];

	if (!br_pool_quarantine(glue->pool, ip, mac, br_now_ns()))
		return;
	br_mac_format(who, mac);
	br_ip_format(text, ip);
	br_log_warning("address %s is in use by %s, who did not have it from us: it is not given for ten minutes", text,
		br_mac_is_zero(mac) ? "somebody" : who);
	br_event_emit(glue->fleet, 0, 0, BR_EV_DHCP_CONFLICT,
		json_pack("{s:s, s:s}", "ip", text, "mac", br_mac_is_zero(mac) ? "somebody" : who));
}

void br_glue_arp(void *ctx, uint32_t ip, struct br_mac mac)
{
	struct br_glue *glue = ctx;
	struct br_lease lease;
	struct br_board board = { 0 };

	if (!br_pool_was_asked(glue->pool, ip, br_now_ns()) || ip == glue->server_ip)
		return;
	/* the client itself, perhaps under an earlier MAC of the same board, or set up by hand as the board's record says */
	br_board_by_mac(glue->fleet, mac, &board);
	if (board.address == ip)
		return;
	if (!br_lease_by_ip(glue->fleet, ip, &lease) &&
		(br_mac_equal(lease.mac, mac) || (lease.board_id && lease.board_id == board.id)))
		return;
	if (br_pool_offered(glue->pool, mac, br_now_ns()) != ip)
		br_glue_conflict(glue, ip, mac);
}

#define SCAN_STEP_MS 100
#define SCAN_LOOK 64	 /* addresses looked at in one go: boards wait meanwhile */
#define SCAN_STEP 8	 /* questions at a time: none of them is forgotten before its answer is due */
#define SCAN_MAX 256	 /* addresses that are given next */
#define SCAN_EVERY_MS 600000

uint64_t br_glue_scan(struct br_glue *glue)
{
	uint32_t *next = &glue->addresses.scan_next, *asked = &glue->addresses.scan_asked;
	struct br_lease lease;
	int n = 0, looked = 0;

	if (atomic_load(&glue->dhcp_mode) != BR_DHCP_FULL || !glue->dhcp_io) {
		*next = *asked = 0;
		return 1000;
	}
	if (!*next)
		*next = glue->first_ip;
	for (; n < SCAN_STEP && looked < SCAN_LOOK && *asked < SCAN_MAX && *next <= glue->last_ip; (*next)++, looked++) {
		if (*next == glue->server_ip || br_lease_by_ip(glue->fleet, *next, &lease) != -ENOENT)
			continue;
		ask_who_has(glue, *next);
		(*asked)++;
		n++;
	}
	if (n || looked == SCAN_LOOK)
		return SCAN_STEP_MS;
	*next = *asked = 0;
	return SCAN_EVERY_MS;
}

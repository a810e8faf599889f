/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/boards/NAME/ssh: where a board's sshd is, and by which key it is known to be that board's. */
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "base/cleanup.h"
#include "fleet/event.h"
#include "plan/boots.h"
#include "plan/sshkey.h"

static int take_address(void *ctx, const struct br_event *ev)
{
	const char *ip = json_string_value(json_object_get(ev->fields, "ip"));

	if (ip)
		(void)br_ip_parse(ip, ctx);
	return 0;
}

/* By lease; else what another DHCP server was seen to give it. 0: not known. */
static uint32_t address_of(struct br_api *api, const struct br_board *b)
{
	const struct br_event_filter filter = { .board_id = b->id, .type = BR_EV_DHCP_ELSEWHERE, .limit = 1 };
	struct br_lease lease;
	uint32_t ip = 0;

	if (!br_mac_is_zero(b->mac) && !br_lease_by_mac(api->fleet, b->mac, &lease))
		return lease.ip;
	(void)br_event_query(api->fleet, &filter, take_address, &ip, NULL);
	return ip ? ip : b->address;
}

static int ssh(struct br_call *call, struct br_error *err)
{
	br_cleanup(br_freep) char *private = NULL;
	br_cleanup(br_freep) char *public = NULL;
	uint8_t seed[32];
	char text[BR_IP_TEXT];
	struct br_board board;
	uint32_t ip;
	int r = br_call_board(call, &board, err);

	if (r >= 0)
		r = br_board_secret(call->api->fleet, board.id, BR_SECRET_SSH, seed, sizeof(seed));
	if (r >= 0)
		r = br_ssh_host_key(seed, board.name, &private, &public);
	explicit_bzero(seed, sizeof(seed));
	if (private)
		explicit_bzero(private, strlen(private));
	if (r < 0)
		return err && err->code ? r : br_error_set(err, -r, "board %s: its host key cannot be made", board.name);
	public[strcspn(public, "\n")] = 0;
	ip = address_of(call->api, &board);
	call->json = json_pack("{s:s, s:s?, s:s, s:[s]}", "board", board.name, "address", ip ? br_ip_format(text, ip) : NULL,
		"road", board.road[0] ? board.road : "net", "host_keys", public);
	return 0;
}

const struct br_route br_api_ssh[] = {
	{ "GET", "/v1/boards/NAME/ssh", .run = ssh, .gives = "ssh", .summary = "The board's address and its public ssh host key" },
	{ 0 },
};

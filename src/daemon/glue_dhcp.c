/* SPDX-License-Identifier: Apache-2.0 */
/* What the DHCP server asks. Runs in the control loop. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "daemon/glue.h"
#include "fleet/event.h"

BR_DEFINE_CLEANUP(struct br_plan *, br_plan_unref);

static enum br_stage stage_of(enum br_dhcp_client_kind kind)
{
	switch (kind) {
	case BR_DHCP_ROM:
	case BR_DHCP_EEPROM:
		return BR_STAGE_FIRMWARE_DHCP;
	case BR_DHCP_BOOTCODE:
		return BR_STAGE_BOOTCODE_DHCP;
	case BR_DHCP_KERNEL:
	case BR_DHCP_INITRAMFS:
		return BR_STAGE_KERNEL_DHCP;
	default:
		return BR_STAGE_NONE;
	}
}

static bool is_firmware(enum br_dhcp_client_kind kind)
{
	return kind == BR_DHCP_ROM || kind == BR_DHCP_BOOTCODE || kind == BR_DHCP_EEPROM;
}

/* The board behind a client, 0 or -ENOENT. */
static int find_board(struct br_glue *glue, const struct br_dhcp_client *c, struct br_board *ret)
{
	struct br_sighting s = {
		.mac = c->mac,
		.serial_known = c->guid.serial != 0,
		.serial = c->guid.serial,
		.revision = c->guid.revision,
	};
	const struct br_pi_model *m = br_pi_model_by_revision(c->guid.revision);

	if (m)
		snprintf(s.model, sizeof(s.model), "%s", m->id);
	/* a Pi is known by the shape of its request; the MAC's prefix only helps where there is no shape */
	return br_glue_see(glue, &s, is_firmware(c->kind) || br_pi_oui(c->mac), ret);
}

/* User space asked for an address: the board is up when its root was mounted before. */
static void note_user_space(struct br_glue *glue, const struct br_board *board)
{
	struct br_boot_status st;

	if (br_boots_status(glue->boots, board->id, &st) < 0 || st.stage != BR_STAGE_MOUNTED)
		return;
	if (!br_boots_reach(glue->boots, board, BR_STAGE_UP, NULL, NULL, NULL))
		br_event_emit(glue->fleet, board->id, st.boot, BR_EV_BOARD_UP, json_pack("{s:s}", "by", "dhcp"));
}

/* What a board gets besides its address. Without an image it gets just that. */
static void grant_boot(struct br_glue *glue, const struct br_dhcp_client *c, bool offer, const struct br_board *board,
	struct br_dhcp_grant *ret)
{
	br_cleanup(br_plan_unrefp) struct br_plan *plan = NULL;
	struct br_error err = BR_ERROR_NULL;
	enum br_stage stage = stage_of(c->kind);
	char ip[BR_IP_TEXT];

	snprintf(ret->host_name, sizeof(ret->host_name), "%s", board->name);
	if (!strcmp(board->road, "local"))
		return;
	if (stage == BR_STAGE_NONE) {
		note_user_space(glue, board);
		return;
	}
	if (br_boots_reach(glue->boots, board, offer ? stage : BR_STAGE_NONE, &plan, NULL, &err) < 0) {
		br_log_warning("%s", err.text);
		return;
	}
	ret->boot = true;
	if (stage == BR_STAGE_KERNEL_DHCP)
		snprintf(ret->root_path, sizeof(ret->root_path), "%s:%s", br_ip_format(ip, glue->server_ip),
			br_plan_root_path(plan));
}

static int address(void *ctx, const struct br_dhcp_client *c, bool offer, struct br_dhcp_grant *ret)
{
	struct br_glue *glue = ctx;
	struct br_error err = BR_ERROR_NULL;
	struct br_board board = { 0 };
	struct br_lease lease;
	uint32_t taken[] = { glue->server_ip, glue->router_ip };
	struct br_lease_request req = {
		.mac = c->mac,
		.first = glue->first_ip,
		.last = glue->last_ip,
		.wanted = c->wanted_ip,
		.lease_s = glue->lease_s,
		.taken = taken,
		.n_taken = BR_ARRAY_SIZE(taken),
	};
	char mac[BR_MAC_TEXT];
	int r = find_board(glue, c, &board);

	if (r < 0 && r != -ENOENT)
		return r;
	req.board_id = board.id;
	if (!offer && br_lease_by_mac(glue->fleet, c->mac, &lease) < 0)
		return -ENOENT;
	r = br_lease_take(glue->fleet, &req, &lease, &err);
	if (r < 0) {
		br_log_error("DHCP: %s gets no address: %s", br_mac_format(mac, c->mac), br_error_text(&err, r));
		if (r == -ENOSPC)
			br_event_emit(glue->fleet, board.id, 0, BR_EV_DHCP_FULL,
				json_pack("{s:s, s:s}", "mac", mac, "reason", br_error_text(&err, r)));
		return r;
	}
	*ret = (struct br_dhcp_grant){ .ip = lease.ip, .lease_s = glue->lease_s };
	if (board.id)
		grant_boot(glue, c, offer, &board, ret);
	return 0;
}

static void report(void *ctx, const struct br_dhcp_report *rep)
{
	static const char *const types[] = {
		[BR_DHCP_REPORT_OFFER] = BR_EV_DHCP_OFFER,
		[BR_DHCP_REPORT_ACK] = BR_EV_DHCP_ACK,
		[BR_DHCP_REPORT_NAK] = BR_EV_DHCP_NAK,
		[BR_DHCP_REPORT_RELEASE] = BR_EV_DHCP_RELEASE,
		[BR_DHCP_REPORT_DECLINE] = BR_EV_DHCP_DECLINE,
	};
	struct br_glue *glue = ctx;
	struct br_boot_status st = { 0 };
	struct br_board board = { 0 };
	char mac[BR_MAC_TEXT], ip[BR_IP_TEXT];

	if (!br_board_by_mac(glue->fleet, rep->client->mac, &board))
		br_boots_status(glue->boots, board.id, &st);
	br_event_emit(glue->fleet, board.id, st.boot, types[rep->kind],
		json_pack("{s:s, s:s, s:s, s:s*}", "client", br_dhcp_client_name(rep->client->kind), "ip",
			br_ip_format(ip, rep->ip), "mac", br_mac_format(mac, rep->client->mac), "reason",
			rep->reason));
}

const struct br_dhcp_ops br_glue_dhcp_ops = {
	.address = address,
	.report = report,
};

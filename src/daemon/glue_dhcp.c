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
	return br_glue_see(glue, &s, br_dhcp_client_is_firmware(c->kind) || br_pi_oui(c->mac), ret);
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

/* What a loader may start, the first that the board's boot files have. */
static const struct loader_file {
	enum br_dhcp_client_kind kind;
	bool by_http; /* wherever HTTP is served */
	const char *path;
} loader_files[] = {
	{ BR_DHCP_UBOOT, false, "boot.scr.uimg" }, /* U-Boot's own name for it in its network boot */
	{ BR_DHCP_UBOOT, false, "boot.scr" },
	{ BR_DHCP_UEFI, false, "efi/boot/bootaa64.efi" }, /* UEFI 2.10, 3.5.1.1 */
	{ BR_DHCP_IPXE, true, "boot.ipxe" },
	{ BR_DHCP_IPXE, true, "autoexec.ipxe" },
};

static void name_loader_file(struct br_glue *glue, const struct br_dhcp_client *c, const struct br_board *board,
	const struct br_plan *plan, struct br_dhcp_grant *ret)
{
	char path[BR_BOOT_PATH_MAX], ip[BR_IP_TEXT], port[8] = "";
	struct br_bootfile file;

	for (size_t i = 0; i < BR_ARRAY_SIZE(loader_files); i++) {
		const struct loader_file *f = &loader_files[i];
		bool http = c->http || (f->by_http && glue->http_port);

		if (f->kind != c->kind || br_plan_bootfile(plan, f->path, &file, path) < 0)
			continue;
		if (c->http && !glue->http_port)
			return;
		if (glue->http_port != 80)
			snprintf(port, sizeof(port), ":%u", glue->http_port);
		if (http)
			snprintf(ret->boot_file, sizeof(ret->boot_file), "http://%s%s/boot/%s/%s",
				br_ip_format(ip, glue->server_ip), port, board->name, f->path);
		else
			snprintf(ret->boot_file, sizeof(ret->boot_file), "%s", f->path);
		return;
	}
}

/* A loader goes on with the boot that the firmware began. One that begins it itself, from a card, is the firmware. */
static int loader_plan(struct br_glue *glue, const struct br_board *board, bool offer, struct br_plan **ret,
	struct br_error *err)
{
	struct br_boot_status st;

	if (!offer || (!br_boots_status(glue->boots, board->id, &st) && st.stage < BR_STAGE_KERNEL_DHCP))
		return br_boots_plan(glue->boots, board, ret, err);
	return br_boots_reach(glue->boots, board, BR_STAGE_FIRMWARE_DHCP, ret, NULL, err);
}

/* What a board gets besides its address. Without an image it gets just that. */
static void grant_boot(struct br_glue *glue, const struct br_dhcp_client *c, bool offer, const struct br_board *board,
	struct br_dhcp_grant *ret)
{
	br_cleanup(br_plan_unrefp) struct br_plan *plan = NULL;
	struct br_error err = BR_ERROR_NULL;
	enum br_stage stage = stage_of(c->kind);
	bool loader = br_dhcp_client_is_loader(c->kind);
	char ip[BR_IP_TEXT];
	int r;

	snprintf(ret->host_name, sizeof(ret->host_name), "%s", board->name);
	if (!strcmp(board->road, "local"))
		return;
	if (stage == BR_STAGE_NONE && !loader) {
		note_user_space(glue, board);
		return;
	}
	r = loader ? loader_plan(glue, board, offer, &plan, &err) :
		     br_boots_reach(glue->boots, board, offer ? stage : BR_STAGE_NONE, &plan, NULL, &err);
	if (r < 0) {
		br_log_warning("%s", br_error_text(&err, r));
		return;
	}
	ret->boot = true;
	if (loader)
		name_loader_file(glue, c, board, plan, ret);
	if (stage == BR_STAGE_KERNEL_DHCP)
		snprintf(ret->root_path, sizeof(ret->root_path), "%s:%s", br_ip_format(ip, glue->server_ip),
			br_plan_root_path(plan));
}

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

#define MAX_TAKEN (2 + BR_DHCP_MAX_ADDRESSES + BR_DHCP_MAX_SUBNETS)

/* Another server gives the address: boards only. */
static int beside_another(struct br_glue *glue, const struct br_dhcp_client *c, bool offer, struct br_dhcp_grant *ret)
{
	struct br_board board = { 0 };
	int r = find_board(glue, c, &board);

	if (r < 0)
		return r;
	*ret = (struct br_dhcp_grant){ 0 };
	grant_boot(glue, c, offer, &board, ret);
	return 0;
}

static int address(void *ctx, const struct br_dhcp_client *c, bool offer, struct br_dhcp_grant *ret)
{
	struct br_glue *glue = ctx;
	struct br_error err = BR_ERROR_NULL;
	struct br_board board = { 0 };
	struct br_lease lease;
	uint32_t taken[MAX_TAKEN];
	struct br_lease_request req = {
		.mac = c->mac,
		.wanted = c->wanted_ip,
		.lease_s = glue->lease_s,
		.taken = taken,
		.n_taken = never_given(glue, c, taken),
	};
	char mac[BR_MAC_TEXT];
	int r;

	if (c->proxy)
		return beside_another(glue, c, offer, ret);
	r = find_board(glue, c, &board);
	if (r < 0 && r != -ENOENT)
		return r;
	choose_range(glue, c, &req);
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
		[BR_DHCP_REPORT_ELSEWHERE] = BR_EV_DHCP_ELSEWHERE,
	};
	struct br_glue *glue = ctx;
	struct br_boot_status st = { 0 };
	struct br_board board = { 0 };
	const char *client = br_dhcp_client_name(rep->client->kind);
	char mac[BR_MAC_TEXT], ip[BR_IP_TEXT], server[BR_IP_TEXT];

	if (rep->kind == BR_DHCP_REPORT_NO_SUBNET) {
		br_glue_unserved(glue, rep);
		return;
	}
	if (rep->kind == BR_DHCP_REPORT_ELSEWHERE)
		br_glue_note_address(glue, rep->ip, rep->client->mac);
	if (!br_board_by_mac(glue->fleet, rep->client->mac, &board))
		br_boots_status(glue->boots, board.id, &st);
	else if (rep->kind == BR_DHCP_REPORT_ELSEWHERE)
		return; /* whoever that was, it is not about us */
	br_event_emit(glue->fleet, board.id, st.boot, types[rep->kind],
		json_pack("{s:s, s:s*, s:s*, s:s, s:s*, s:s*}", "client", client, "ip",
			rep->ip ? br_ip_format(ip, rep->ip) : NULL, "proxied", rep->ip ? NULL : client, "mac",
			br_mac_format(mac, rep->client->mac), "reason", rep->reason, "server",
			rep->server_ip ? br_ip_format(server, rep->server_ip) : NULL));
}

const struct br_dhcp_ops br_glue_dhcp_ops = {
	.address = address,
	.report = report,
	.foreign = br_glue_foreign,
	.mode = br_glue_mode,
};

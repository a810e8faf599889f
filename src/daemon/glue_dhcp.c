/* SPDX-License-Identifier: Apache-2.0 */
/* What the DHCP server asks. Runs in the control loop. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/glue.h"
#include "daemon/glue_file.h"
#include "daemon/pool.h"
#include "daemon/turns.h"
#include "dhcp/io.h"
#include "fleet/event.h"
#include "uboot/stages.h"

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

/* The ROM of the 3B says nothing of itself but its MAC, which tells the low half of its serial (BCM2835 to 2837): is
 * that of a board that somebody made by its serial alone? */
static uint64_t serial_of_rom(struct br_glue *glue, const struct br_dhcp_client *c)
{
	uint32_t tail = br_pi_serial_low24_from_mac(c->mac);
	struct br_board board;

	if (c->guid.kind != BR_PI_GUID_ROM_3B || !tail || br_board_by_tail(glue->fleet, tail, &board) < 0)
		return 0;
	return board.serial;
}

/* Who a client says it is. */
static struct br_sighting sighting_of(const struct br_dhcp_client *c)
{
	const struct br_pi_model *m = c->model[0] ? br_pi_model_by_id(br_str_starts(c->model, "rpi-") ? c->model + 4 : c->model)
						  : br_pi_model_by_revision(c->guid.revision);
	struct br_sighting s = {
		.mac = c->mac,
		.serial_known = c->guid.serial != 0,
		.serial = c->guid.serial,
		.revision = c->guid.revision,
	};

	if (m)
		snprintf(s.model, sizeof(s.model), "%s", m->id);
	return s;
}

/* Takes in a board that nobody knows yet, 0 or -ENOENT. */
static int adopt_board(struct br_glue *glue, const struct br_dhcp_client *c, bool offer, struct br_sighting *s,
	struct br_board *ret)
{
	/* a Pi is known by the shape of its request; the MAC's prefix, which costs nobody anything, only helps where there
	 * is no shape, and for those that go on from our offer */
	if (!br_dhcp_client_is_firmware(c->kind) && !c->model[0] && (offer || !br_pi_oui(c->mac)))
		return -ENOENT;
	if (!br_pool_may_adopt(glue->pool, br_now_ns()))
		return -EBUSY; /* a flood of made-up boards; a real one asks again */
	if (!s->serial_known)
		s->serial = serial_of_rom(glue, c);
	s->serial_known = s->serial != 0;
	return br_glue_see(glue, s, true, ret);
}

/*
 * The board behind a client, 0 or -ENOENT; -EBUSY when it asks too often. It is looked up once per packet: what is
 * reported of the packet afterwards is about it, too.
 */
static int find_board(struct br_glue *glue, const struct br_dhcp_client *c, bool offer, struct br_board *ret)
{
	struct br_sighting s = sighting_of(c);
	int r = br_glue_see(glue, &s, false, ret);

	glue->last.known = false;
	if (r < 0 && r != -ENOENT)
		return r;
	if (!br_pool_admit(glue->pool, r < 0 ? 0 : ret->id, c->mac, br_now_ns()))
		return -EBUSY;
	if (r == -ENOENT)
		r = adopt_board(glue, c, offer, &s, ret);
	if (r < 0 && r != -ENOENT)
		return r;
	glue->last.known = true;
	glue->last.mac = c->mac;
	glue->last.board_id = r < 0 ? 0 : ret->id;
	return r;
}

/* The same for a report: 0 for no board. */
static int64_t reported_board(struct br_glue *glue, const struct br_dhcp_client *c)
{
	struct br_board board;

	bool known = glue->last.known && br_mac_equal(glue->last.mac, c->mac);

	glue->last.known = false;
	if (known)
		return glue->last.board_id;
	return br_board_by_mac(glue->fleet, c->mac, &board) < 0 ? 0 : board.id;
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

/* What UEFI starts from a medium (UEFI 2.10, 3.5.1.1), by PXE's number for the processor. */
static const struct efi_file {
	uint16_t arch, arch_http;
	const char *path;
} efi_files[] = {
	{ 11, 19, "efi/boot/bootaa64.efi" }, /* the first: also for those that do not say */
	{ 10, 18, "efi/boot/bootarm.efi" },
	{ 7, 16, "efi/boot/bootx64.efi" },
	{ 9, 16, "efi/boot/bootx64.efi" }, /* byte code by the list (RFC 4578 2.1), x64 by what firmware sends */
	{ 6, 15, "efi/boot/bootia32.efi" },
};

static const char *efi_file(uint16_t arch)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(efi_files); i++)
		if (efi_files[i].arch == arch || efi_files[i].arch_http == arch)
			return efi_files[i].path;
	return efi_files[0].path;
}

/* What other loaders may start, the first that the board's boot files have. */
static const struct loader_file {
	enum br_dhcp_client_kind kind;
	bool by_http; /* wherever HTTP is served */
	const char *path;
} loader_files[] = {
	{ BR_DHCP_UBOOT, false, "boot.scr.uimg" }, /* U-Boot's own name for it in its network boot; at least stage 2 */
	{ BR_DHCP_UBOOT, false, "boot.scr" },
	{ BR_DHCP_IPXE, true, "boot.ipxe" },
	{ BR_DHCP_IPXE, true, "autoexec.ipxe" },
};

/* U-Boot asks twice in its network boot: for a script, then, with UEFI's class and number, for what it can start as
 * UEFI does; a script there would be taken for a broken program. */
static bool wants_efi(const struct br_dhcp_client *c)
{
	return c->kind == BR_DHCP_UEFI || (c->kind == BR_DHCP_UBOOT && br_str_starts(c->vendor_class, "PXEClient:") &&
						  (c->arch == 10 || c->arch == 11));
}

static bool name_file(struct br_glue *glue, const struct br_board *board, const struct br_plan *plan, const char *path,
	bool http, struct br_dhcp_grant *ret)
{
	char resolved[BR_BOOT_PATH_MAX], ip[BR_IP_TEXT], port[8] = "";
	struct br_bootfile file;

	if (br_plan_bootfile(plan, path, &file, resolved) < 0 || (http && !glue->http_port))
		return false;
	if (glue->http_port != 80)
		snprintf(port, sizeof(port), ":%u", glue->http_port);
	if (http)
		snprintf(ret->boot_file, sizeof(ret->boot_file), "http://%s%s/boot/%s/%s",
			br_ip_format(ip, glue->server_ip), port, board->name, path);
	else
		snprintf(ret->boot_file, sizeof(ret->boot_file), "%s", path);
	return true;
}

static void name_loader_file(struct br_glue *glue, const struct br_dhcp_client *c, const struct br_board *board,
	const struct br_plan *plan, struct br_dhcp_grant *ret)
{
	if (c->model[0] && name_file(glue, board, plan, BR_UBOOT_STAGE2, false, ret))
		return;
	if (wants_efi(c)) {
		name_file(glue, board, plan, efi_file(c->arch), c->http, ret);
		return;
	}
	for (size_t i = 0; i < BR_ARRAY_SIZE(loader_files); i++) {
		const struct loader_file *f = &loader_files[i];

		if (f->kind == c->kind && name_file(glue, board, plan, f->path, f->by_http && glue->http_port, ret))
			return;
	}
}

/* So long after the boot's last request a loader that asks was switched on anew. */
#define LOADER_PAUSE_NS (20 * BR_S)

/*
 * A loader goes on with the boot that the firmware, or itself, began: U-Boot asks twice. One that begins it itself, from a
 * card, is the firmware; it may never come as far as a kernel, and what people change in its script counts the next time.
 */
static int loader_plan(struct br_glue *glue, const struct br_board *board, bool offer, struct br_plan **ret,
	struct br_error *err)
{
	struct br_boot_status st;
	int r = br_boots_status(glue->boots, board->id, &st);

	if (!offer || (!r && st.stage < BR_STAGE_KERNEL_DHCP && br_now_ns() - st.used_ns < LOADER_PAUSE_NS))
		return br_boots_plan(glue->boots, board, ret, err);
	if (!r && st.stage == BR_STAGE_FIRMWARE_DHCP)
		br_boots_forget(glue->boots, board->id); /* it asked for no file: the stage alone would not begin another */
	return br_boots_reach(glue->boots, board, BR_STAGE_FIRMWARE_DHCP, ret, NULL, err);
}

/* What a board gets besides its address. Without an image it gets just that. */
static void grant_boot(struct br_glue *glue, const struct br_dhcp_client *c, bool offer, const struct br_board *board,
	struct br_dhcp_grant *ret)
{
	const struct br_pi_model *model = br_pi_model_by_id(board->model);
	br_cleanup(br_plan_unrefp) struct br_plan *plan = NULL;
	struct br_error err = BR_ERROR_NULL;
	enum br_stage stage = stage_of(c->kind);
	bool loader = br_dhcp_client_is_loader(c->kind);
	char ip[BR_IP_TEXT];
	int r;

	snprintf(ret->host_name, sizeof(ret->host_name), "%s", board->name);
	if (!strcmp(board->road, "local")) {
		/* told where the empty start4.elf is, a Pi 4 goes on at once, as does a stage 1 with its script for that;
		 * others do when nobody names a server */
		ret->boot = (c->kind == BR_DHCP_EEPROM && model && model->soc == BR_SOC_BCM2711) || c->model[0];
		return;
	}
	if (stage == BR_STAGE_KERNEL_DHCP)
		br_turns_done(glue->turns, board->id);
	if (loader)
		br_turns_sign(glue->turns, board->id);
	if (stage == BR_STAGE_NONE && !loader) {
		note_user_space(glue, board);
		return;
	}
	r = loader ? loader_plan(glue, board, offer, &plan, &err) :
		     br_boots_reach(glue->boots, board, offer ? stage : BR_STAGE_NONE, &plan, NULL, &err);
	if (r < 0 && br_glue_boots_itself(glue, board)) { /* no image of ours: its U-Boot's script is all there is */
		ret->boot = c->kind == BR_DHCP_UBOOT && !wants_efi(c);
		if (ret->boot)
			snprintf(ret->boot_file, sizeof(ret->boot_file), "%s", c->model[0] ? BR_UBOOT_STAGE2 : "boot.scr.uimg");
		return;
	}
	if (r < 0) {
		br_log_warning("%s", br_error_text(&err, r));
		return;
	}
	ret->boot = true;
	if (loader)
		name_loader_file(glue, c, board, plan, ret);
	/* U-Boot keeps it as ${rootpath}, for the kernel's arguments; iPXE and UEFI would look for a disk there */
	if (stage == BR_STAGE_KERNEL_DHCP || c->kind == BR_DHCP_UBOOT)
		snprintf(ret->root_path, sizeof(ret->root_path), "%s:%s", br_ip_format(ip, glue->server_ip),
			br_plan_root_path(plan));
}

/* The firmware's question that begins a boot waits for its turn. */
static bool is_its_turn(struct br_glue *glue, const struct br_dhcp_client *c, bool offer, const struct br_board *board)
{
	if (!offer || !br_dhcp_client_is_firmware(c->kind) || !strcmp(board->road, "local"))
		return true;
	return br_turns_ask(glue, board, c->kind);
}

static int address(void *ctx, const struct br_dhcp_client *c, bool offer, struct br_dhcp_grant *ret)
{
	struct br_glue *glue = ctx;
	struct br_board board = { 0 };
	int r = find_board(glue, c, offer, &board);

	if (r < 0 && (r != -ENOENT || c->proxy))
		return r; /* another server gives the address: boards only */
	if (board.id && !is_its_turn(glue, c, offer, &board))
		return -EINPROGRESS;
	*ret = (struct br_dhcp_grant){ .stored = board.id || !offer };
	if (!c->proxy) {
		r = br_glue_address(glue, c, offer, board.id ? &board : NULL, &ret->ip);
		if (r < 0)
			return r;
		ret->lease_s = glue->lease_s;
	}
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
	bool system = br_dhcp_client_may_be_system(rep->client);
	int64_t board_id;
	const char *client = br_dhcp_client_name(rep->client->kind);
	char mac[BR_MAC_TEXT], ip[BR_IP_TEXT], server[BR_IP_TEXT];

	if (rep->kind == BR_DHCP_REPORT_NO_SUBNET) {
		br_glue_unserved(glue, rep);
		return;
	}
	if (rep->kind == BR_DHCP_REPORT_ELSEWHERE)
		br_glue_note_address(glue, rep->ip, rep->client->mac);
	if (rep->kind == BR_DHCP_REPORT_DECLINE)
		br_glue_conflict(glue, rep->ip, (struct br_mac){ 0 });
	if (rep->kind == BR_DHCP_REPORT_RELEASE)
		br_lease_release(glue->fleet, rep->client->mac);
	board_id = reported_board(glue, rep->client);
	if (board_id)
		br_boots_status(glue->boots, board_id, &st);
	else if (rep->kind == BR_DHCP_REPORT_ELSEWHERE || !br_pool_may_tell(glue->pool, br_now_ns()))
		return; /* no board, and not about us; or one of a flood */
	if (board_id && glue->flash && rep->ip && rep->kind != BR_DHCP_REPORT_NAK && (system || rep->client->kind != BR_DHCP_OTHER))
		br_flash_seen(glue->flash, board_id, system ? "dhcp" : "boot", br_now_ns());
	br_event_emit(glue->fleet, board_id, st.boot, types[rep->kind],
		json_pack("{s:s, s:s*, s:s*, s:s, s:s*, s:s*}", "client", client, "ip",
			rep->ip ? br_ip_format(ip, rep->ip) : NULL, "proxied", rep->ip ? NULL : client, "mac",
			br_mac_format(mac, rep->client->mac), "reason", rep->reason, "server",
			rep->server_ip ? br_ip_format(server, rep->server_ip) : NULL));
}

static void begin(void *ctx)
{
	struct br_glue *glue = ctx;

	br_group_begin(glue->fleet);
}

static void pause_group(void *ctx)
{
	struct br_glue *glue = ctx;

	br_group_pause(glue->fleet);
}

static int commit(void *ctx, uint64_t *ret_ticket)
{
	struct br_glue *glue = ctx;
	struct br_error err = BR_ERROR_NULL;
	int r = br_group_end(glue->fleet, ret_ticket, &err);

	br_boots_settle(glue->boots, r >= 0);
	if (r < 0 && br_pool_may_tell(glue->pool, br_now_ns()))
		br_log_error("DHCP: boards are not answered: %s", br_error_text(&err, r));
	return r;
}

void br_glue_stable(void *ctx, uint64_t ticket, int r)
{
	struct br_glue *glue = ctx;

	if (r < 0)
		br_log_error("DHCP: boards are not answered: the disk of the database: %s", strerror(-r));
	br_dhcp_io_stable(glue->dhcp_io, ticket, r);
}

const struct br_dhcp_ops br_glue_dhcp_ops = {
	.address = address,
	.begin = begin,
	.pause = pause_group,
	.commit = commit,
	.report = report,
	.foreign = br_glue_foreign,
	.mode = br_glue_mode,
	.arp = br_glue_arp,
};

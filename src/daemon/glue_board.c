/* SPDX-License-Identifier: Apache-2.0 */
/* Who is it: addresses and sightings to boards. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/glue.h"
#include "fleet/event.h"

int br_glue_see(struct br_glue *glue, const struct br_sighting *s, bool adopt, struct br_board *ret)
{
	struct br_error err = BR_ERROR_NULL;
	char mac[BR_MAC_TEXT], serial[17];
	bool is_new = false;
	int r = br_board_see(glue->fleet, s, adopt && glue->adopt, ret, &is_new, &err);

	if (r < 0) {
		if (r != -ENOENT)
			br_log_warning("%s: %s", br_mac_format(mac, s->mac), br_error_text(&err, r));
		return r;
	}
	if (r > 0) /* two boards claim one serial: the words say which */
		br_log_warning("%s", br_error_text(&err, r));
	if (is_new) {
		snprintf(serial, sizeof(serial), "%llx", (unsigned long long)ret->serial);
		br_event_emit(glue->fleet, ret->id, 0, BR_EV_BOARD_ADOPTED,
			json_pack("{s:s, s:s, s:s, s:s}", "name", ret->name, "mac", br_mac_format(mac, ret->mac),
				"serial", ret->serial_known ? serial : "", "model", ret->model));
	}
	return 0;
}

static int any_event(void *ctx, const struct br_event *ev)
{
	return 1;
}

int br_glue_has_fetched(struct br_glue *glue, int64_t board_id)
{
	const struct br_event_filter files = { .board_id = board_id, .type = "file", .limit = 1 };
	struct br_error err = BR_ERROR_NULL;

	return br_event_query(glue->fleet, &files, any_event, NULL, &err);
}

/* The MAC the kernel has for an address on our interface: /proc/net/arp, as arp(7) describes it. */
static int neighbour(const struct br_glue *glue, uint32_t ip, struct br_mac *ret)
{
	br_cleanup(br_fclosep) FILE *f = fopen("/proc/net/arp", "re");
	char line[256], addr[64], mac[64], dev[64], want[BR_IP_TEXT];

	if (!f)
		return -errno;
	br_ip_format(want, ip);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s %*s %*s %63s %*s %63s", addr, mac, dev) != 3 || strcmp(addr, want) ||
			strcmp(dev, glue->interface))
			continue;
		return br_mac_parse(mac, ret) < 0 || br_mac_is_zero(*ret) ? -ENOENT : 0;
	}
	return -ENOENT;
}

/*
 * Another server gave the address, or nobody did: the kernel knows who has it, or did so lately. A busy board that did not answer its
 * last question is for a moment nobody to the kernel (-EAGAIN); that must not end a root that it has mounted.
 */
static int by_neighbour(struct br_glue *glue, uint32_t ip, struct br_board *ret)
{
	struct br_sighting s = { 0 };

	if (!neighbour(glue, ip, &s.mac))
		br_glue_note_address(glue, ip, s.mac);
	else if (!br_glue_noted_mac(glue, ip, &s.mac))
		return -EAGAIN;
	return br_glue_see(glue, &s, br_pi_oui(s.mac), ret);
}

int br_glue_board_by_ip(struct br_glue *glue, uint32_t ip, struct br_board *ret)
{
	struct br_lease lease;
	int r;

	/* leases of ours, from the time when we gave addresses, mean nothing then */
	if (atomic_load(&glue->dhcp_mode) == BR_DHCP_PROXY)
		return by_neighbour(glue, ip, ret);
	r = br_board_by_ip(glue->fleet, ip, ret);
	if (r != -ENOENT)
		return r;
	/* an address of ours that is leased to something else is no board, whatever its MAC says */
	if (!br_lease_by_ip(glue->fleet, ip, &lease))
		return -ENOENT;
	return by_neighbour(glue, ip, ret);
}

#define TELL_IMAGE_NS (30 * BR_S)

int br_glue_image_ok(struct br_glue *glue, const struct br_plan *plan, struct br_error *err)
{
	const struct br_plan_input *in = br_plan_input(plan);
	const struct br_image *image = br_plan_base_image(in->base);
	uint64_t now = br_now_ns(), last = atomic_load(&glue->image_told_ns);
	struct br_error own = BR_ERROR_NULL;
	int r = br_image_changed(image, &own);

	if (r == 0)
		return 0;
	if ((!last || now - last > TELL_IMAGE_NS) && atomic_compare_exchange_strong(&glue->image_told_ns, &last, now)) {
		br_log_error("%s", own.text);
		br_event_emit(glue->fleet, in->board.id, in->boot, BR_EV_IMAGE_CHANGED,
			json_pack("{s:s, s:s}", "image", br_image_info(image)->name, "reason", own.text));
	}
	return br_error_set(err, -r, "%s", own.text);
}

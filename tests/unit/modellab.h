/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A virtual board and the real server on a wire without sockets and with fake time: DHCP, TFTP and NFS as the daemon
 * puts them together, over a small image. All that goes over the wire is logged, one line each:
 *
 *   STAGE > what the board sent        STAGE < what it was answered        STAGE = what became of it
 */
#include <fnmatch.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "daemon/glue.h"
#include "daemon/pool.h"
#include "daemon/turns.h"
#include "dhcp/frame.h"
#include "sim/board_private.h"
#include "tests/unit/labhttp.h"
#include "tests/unit/nfs_client.h"
#include "tests/unit/shell.h"
#include "wire/tftp.h"

#define LAB_IP	  0x0a4d0001u
#define LAB_FIRST 0x0a4d0064u
#define LAB_TOOLS "sfdisk mkfs.fat mkfs.ext4 mcopy"
#define LAB_QUEUE 128

struct lab {
	char *dir, *state;
	struct br_fleet *fleet;
	struct br_store *store;
	struct br_boots *boots;
	struct br_disks *disks;
	struct br_glue glue;
	struct br_glue_tftp tftp_glue;
	struct br_glue_nfs *nfs_glue;
	struct br_dhcp_ops dhcp_ops;
	struct br_tftp_ops tftp_ops;
	struct br_dhcp_options dhcp_options;
	struct br_dhcp_server *dhcp;
	struct br_tftp *tftp;
	struct labhttp http;
	/* of the run */
	struct br_sim_board *board;
	struct br_mac mac;
	uint32_t board_ip, mask; /* mask of addresses that were given */
	bool ready, address_changed;
	const char *kind; /* what the server took the last client for */
	uint64_t now, nudges[2];
	struct br_text log;
	uint8_t out[LAB_QUEUE][BR_DHCP_FRAME_MAX];
	size_t out_len[LAB_QUEUE], n_out;
	char *cmdline;
	uint32_t run;
};

static const struct br_mac lab_mac = { { 2, 0, 0, 0, 0, 1 } };

/* The boot files of all models, as small as may be, and a root file system that the import takes for one. */
static const char lab_script[] =
	"set -e; cd '%s'; mkdir -p root/etc root/usr/lib root/usr/bin root/usr/sbin boot/overlays boot/efi/boot\n"
	"ln -s usr/sbin root/sbin; printf '#!/bin/sh\\n' >root/usr/sbin/init; chmod 755 root/usr/sbin/init\n"
	"printf 'ID=debian\\nPRETTY_NAME=\"Debian GNU/Linux 12\"\\nVERSION_ID=\"12\"\\n' >root/usr/lib/os-release\n"
	"ln -s ../usr/lib/os-release root/etc/os-release\n"
	"printf '\\177ELF\\002\\001\\001\\0\\0\\0\\0\\0\\0\\0\\0\\0\\002\\0\\267\\0' >root/usr/bin/env\n"
	"cd boot; for f in bootcode.bin fixup.dat fixup4.dat; do head -c 3000 /dev/zero >$f; done\n"
	"for f in start.elf start4.elf; do (printf '\\177ELF'; head -c 9000 /dev/zero) >$f; done\n"
	"for f in kernel8.img kernel_2712.img; do (head -c 56 /dev/zero; printf ARMd; head -c 90000 /dev/zero) >$f; done\n"
	"for f in kernel.img kernel7.img kernel7l.img; do\n"
	"(head -c 36 /dev/zero; printf '\\030\\050\\157\\001'; head -c 50000 /dev/zero) >$f; done\n"
	"for f in initramfs initramfs7 initramfs7l initramfs8 initramfs_2712; do printf 070701000 >$f; done\n"
	"for f in bcm2708-rpi-b-plus bcm2708-rpi-zero bcm2709-rpi-2-b bcm2710-rpi-2-b bcm2710-rpi-3-b bcm2710-rpi-3-b-plus\\\n"
	" bcm2711-rpi-4-b bcm2711-rpi-400 bcm2711-rpi-cm4 bcm2712-rpi-5-b bcm2712d0-rpi-5-b bcm2712-rpi-500\\\n"
	" bcm2712-rpi-cm5-cm5io; do (printf '\\320\\015\\376\\355\\0\\0\\0\\060'; head -c 40 /dev/zero) >$f.dtb; done\n"
	"cp bcm2711-rpi-4-b.dtb overlays/overlay_map.dtb; cp bcm2711-rpi-4-b.dtb overlays/vc4-kms-v3d.dtbo\n"
	"cp bcm2711-rpi-4-b.dtb overlays/hat_map.dtb\n"
	"echo 'source' >boot.scr.uimg; echo '#!ipxe' >boot.ipxe; echo MZ >efi/boot/bootaa64.efi\n"
	"echo 'console=serial0,115200 root=PARTUUID=5452574f-02 rootfstype=ext4 fsck.repair=yes rootwait' >cmdline.txt\n"
	"printf 'auto_initramfs=1\\ndtoverlay=vc4-kms-v3d\\narm_64bit=1\\n' >config.txt; cd ..\n"
	"truncate -s 16M card.img\n"
	"printf 'label: dos\\nlabel-id: 0x5452574f\\nstart=2048,size=8192,type=c\\nstart=16384,size=16384,type=83\\n' |\n"
	"sfdisk -q card.img 2>/dev/null\n"
	"mkfs.fat -n bootfs -F 16 -s 1 --offset 2048 card.img 4096 >/dev/null 2>&1\n"
	"MTOOLS_SKIP_CHECK=1 mcopy -s -i card.img@@1M boot/* ::/\n"
	"mkfs.ext4 -q -F -L rootfs -d root -E offset=8388608 card.img 8M 2>/dev/null";

/* ---- the log ---- */

__attribute__((format(printf, 2, 3))) static void lab_log(struct lab *l, const char *fmt, ...)
{
	va_list ap;

	br_text_addf(&l->log, "%s ", l->board && l->board->stage ? l->board->stage->name : "power");
	va_start(ap, fmt);
	br_text_addv(&l->log, fmt, ap);
	va_end(ap);
	br_text_add(&l->log, "\n");
}

static void lab_add_list(struct br_text *t, const char *name, const uint8_t *p, size_t n)
{
	br_text_addf(t, " %s=", name);
	for (size_t i = 0; i < n; i++)
		br_text_addf(t, "%s%u", i ? "," : "", p[i]);
}

static void lab_add_hex(struct br_text *t, const char *name, const uint8_t *p, size_t n)
{
	br_text_addf(t, " %s=", name);
	for (size_t i = 0; i < n; i++)
		br_text_addf(t, "%02x", p[i]);
}

static void lab_add_option(struct br_text *t, const struct br_dhcp_message *m, uint8_t code)
{
	size_t n = 0;
	const uint8_t *p = br_dhcp_option(m, code, &n);
	char name[12];

	if (!p)
		return;
	snprintf(name, sizeof(name), "o%u", code);
	switch (code) {
	case BR_DHCP_OPT_PARAMETERS:
		lab_add_list(t, name, p, n);
		break;
	case BR_DHCP_OPT_ROOT_PATH:
	case BR_DHCP_OPT_HOST_NAME:
	case BR_DHCP_OPT_CLASS:
	case BR_DHCP_OPT_TFTP_NAME:
	case BR_DHCP_OPT_BOOT_FILE:
		br_text_addf(t, " %s='", name);
		br_text_add_bytes(t, p, n);
		br_text_add(t, "'");
		break;
	default:
		lab_add_hex(t, name, p, n);
	}
}

static void lab_log_dhcp(struct lab *l, bool request, const uint8_t *frame, const uint8_t *p, size_t n)
{
	struct br_text t = BR_TEXT_NULL;
	char ip[BR_IP_TEXT], next[BR_IP_TEXT];
	struct br_dhcp_message m;

	assert_int_equal(br_dhcp_decode(p, n, &m), 0);
	br_text_addf(&t, "%s len=%zu xid=%08x flags=%d", br_dhcp_type_name(m.type), n, m.h.xid, m.h.broadcast);
	if (frame)
		br_text_addf(&t, " ttl=%u id=%u sum=%s", frame[22], br_load_be16(frame + 18),
			br_load_be16(frame + 40) ? "yes" : "no");
	else
		br_text_addf(&t, " kind=%s ip=%s next=%s file='%s'", l->kind, br_ip_format(ip, m.h.yiaddr),
			br_ip_format(next, m.h.siaddr), m.h.file);
	lab_add_list(&t, "order", m.order, m.n_order);
	for (unsigned i = 0; i < m.n_order; i++)
		lab_add_option(&t, &m, m.order[i]);
	lab_log(l, "%c %s", request ? '>' : '<', t.buf);
	br_text_done(&t);
}

static void lab_log_opts(struct br_text *t, const struct br_tftp_opts *o)
{
	for (unsigned i = 0; i < o->n; i++)
		br_text_addf(t, " %s=%llu", o->v[i].name, (unsigned long long)o->v[i].value);
}

static void lab_log_tftp(struct lab *l, char way, const uint8_t *p, size_t n, unsigned port)
{
	struct br_text t = BR_TEXT_NULL;
	struct br_tftp_request q;
	struct br_tftp_opts o;
	const uint8_t *data;
	uint16_t code;
	char text[120];
	size_t len;

	switch (br_tftp_peek(p, n)) {
	case BR_TFTP_RRQ:
		assert_int_equal(br_tftp_decode_request(p, n, &q), 0);
		br_text_addf(&t, "RRQ %s port=%u", q.name, port);
		lab_log_opts(&t, &q.opts);
		break;
	case BR_TFTP_OACK:
		assert_int_equal(br_tftp_decode_oack(p, n, &o), 0);
		br_text_add(&t, "OACK");
		lab_log_opts(&t, &o);
		break;
	case BR_TFTP_ERROR:
		assert_int_equal(br_tftp_decode_error(p, n, &code, text, sizeof(text)), 0);
		br_text_addf(&t, "ERROR %u %s", code, text);
		break;
	case BR_TFTP_DATA:
		if (!br_tftp_decode_data(p, n, &code, &data, &len) && code == 1)
			br_text_addf(&t, "DATA 1 of %zu", len);
		break;
	}
	if (t.len)
		lab_log(l, "%c %s", way, t.buf);
	br_text_done(&t);
}

/* ---- the wire ---- */

static void lab_queue(struct lab *l, const uint8_t *frame, size_t len)
{
	assert_true(l->n_out < LAB_QUEUE && len <= BR_DHCP_FRAME_MAX);
	memcpy(l->out[l->n_out], frame, len);
	l->out_len[l->n_out++] = len;
}

static void lab_to_board(struct lab *l, struct br_mac to, uint32_t ip, uint16_t from_port, uint16_t port, const void *p,
	size_t n)
{
	struct br_dhcp_frame f = { .src_mac = lab_mac, .dst_mac = to, .src_ip = LAB_IP, .dst_ip = ip, .src_port = from_port,
		.dst_port = port };
	uint8_t frame[BR_DHCP_FRAME_MAX];

	lab_queue(l, frame, br_dhcp_frame_udp(&f, p, n, frame));
}

static void lab_tftp_send(void *ctx, const struct br_tftp_peer *peer, const void *head, size_t head_len,
	const struct br_span *payload, size_t n)
{
	struct br_glue_tftp *t = ctx;
	struct lab *l = (void *)((char *)t - offsetof(struct lab, tftp_glue));
	uint8_t buf[1472];
	size_t len = head_len;

	memcpy(buf, head, head_len);
	for (size_t i = 0; i < n; i++) {
		assert_true(len + payload[i].len <= sizeof(buf));
		memcpy(buf + len, payload[i].data, payload[i].len);
		len += payload[i].len;
	}
	lab_log_tftp(l, '<', buf, len, 0);
	lab_to_board(l, l->mac, peer->ip, 69, peer->port, buf, len);
}

static void lab_dhcp_report(void *ctx, const struct br_dhcp_report *r)
{
	struct br_glue *glue = ctx;
	struct lab *l = (void *)((char *)glue - offsetof(struct lab, glue));

	l->kind = br_dhcp_client_name(r->client->kind);
	br_glue_dhcp_ops.report(ctx, r);
}

static void lab_dhcp(struct lab *l, const uint8_t *frame, const uint8_t *p, size_t n)
{
	struct br_dhcp_reply reply;

	lab_log_dhcp(l, true, frame, p, n);
	if (br_dhcp_handle(l->dhcp, p, n, l->now, &reply) <= 0) {
		lab_log(l, "= no answer");
		return;
	}
	lab_log_dhcp(l, false, NULL, reply.packet, reply.len);
	if (!l->board_ip)
		l->board_ip = br_load_be32(reply.packet + 16);
	l->address_changed |= l->board_ip != br_load_be32(reply.packet + 16);
	lab_to_board(l, reply.to_mac, reply.to_ip, 67, reply.to_port, reply.packet, reply.len);
	memcpy(l->nudges, reply.nudge_ns, sizeof(l->nudges));
	for (int i = 0; i < 2; i++)
		if (l->nudges[i])
			lab_log(l, "< a frame of type %04x after %u ms", BR_DHCP_NUDGE_ETHERTYPE,
				(unsigned)((l->nudges[i] - l->now) / BR_MS));
}

static void lab_arp(struct lab *l, const uint8_t *f)
{
	uint8_t r[60] = { 0 };

	if (f[21] != 1 || br_load_be32(f + 38) != LAB_IP)
		return;
	memcpy(r, f + 6, 6);
	memcpy(r + 6, lab_mac.b, 6);
	memcpy(r + 12, f + 12, 9);
	r[21] = 2;
	memcpy(r + 22, lab_mac.b, 6);
	br_store_be32(r + 28, LAB_IP);
	memcpy(r + 32, f + 22, 10);
	lab_log(l, "> ARP for the server");
	lab_queue(l, r, sizeof(r));
}

static void lab_put(void *ctx, const uint8_t *frame, size_t len)
{
	lab_queue(ctx, frame, len);
}

static void lab_log_http(void *ctx, const char *line, const char *rest)
{
	const char *range = strcasestr(rest, "Range: ");

	lab_log(ctx, "> %s%s%.*s", line, range ? " " : "", range ? (int)strcspn(range, "\r") : 0, range ? range : "");
}

static void lab_send(void *ctx, const uint8_t *f, size_t len)
{
	struct lab *l = ctx;
	struct br_tftp_peer peer;
	uint16_t to;
	size_t n;

	if (br_load_be16(f + 12) == 0x0806) {
		lab_arp(l, f);
		return;
	}
	if (f[23] == 6) {
		l->http.board_ip = l->board_ip;
		labhttp_input(&l->http, f, lab_put, lab_log_http, l);
		return;
	}
	to = br_load_be16(f + 36);
	n = (size_t)br_load_be16(f + 38) - 8;
	if (to == 67) {
		lab_dhcp(l, f, f + 42, n);
		return;
	}
	assert_int_equal(to, 69);
	peer = (struct br_tftp_peer){ .ip = br_load_be32(f + 26), .port = br_load_be16(f + 34), .local_ip = LAB_IP };
	lab_log_tftp(l, '>', f + 42, n, peer.port);
	br_tftp_input(l->tftp, &peer, f + 42, n, l->now);
}

static void lab_event(void *ctx, const struct br_sim_event *e)
{
	static const char *const words[] = { [BR_SIM_PREFIX] = "directory", [BR_SIM_FILE] = "whole", [BR_SIM_PROBED] = "probed",
		[BR_SIM_MISSING] = "missing", [BR_SIM_WARNING] = "warning", [BR_SIM_WRONG] = "wrong", [BR_SIM_KERNEL] = "kernel",
		[BR_SIM_GAVE_UP] = "gave up", [BR_SIM_BOUND] = "bound", [BR_SIM_OFFER] = "took the offer" };
	struct lab *l = ctx;

	if (e->what >= BR_ARRAY_SIZE(words) || !words[e->what])
		return;
	lab_log(l, "= %s %s %s%s", words[e->what], e->name, e->text, e->what == BR_SIM_PREFIX && !*e->name ? "(none)" : "");
	if (e->what == BR_SIM_KERNEL) {
		free(l->cmdline);
		l->cmdline = strdup(e->text);
	}
}

/* ---- the server ---- */

static int lab_import(struct lab *l)
{
	struct br_import_options opt = { .name = "one", .quiet = true };
	br_cleanup(br_freep) char *file = br_path_join(l->dir, "card.img");
	struct br_error err = BR_ERROR_NULL;

	if (test_sh(lab_script, l->dir))
		return -1;
	if (br_store_import(l->store, file, &opt, NULL, &err) < 0)
		fail_msg("%s", err.text);
	return 0;
}

static void lab_glue(struct lab *l)
{
	char all[] = "unlimited", rate[] = "auto";
	const struct br_config config = { .boots_at_once = all, .boot_rate = rate };

	l->glue = (struct br_glue){ .fleet = l->fleet, .boots = l->boots, .disks = l->disks, .server_ip = LAB_IP, .prefix = 24,
		.adopt = true, .dhcp = &l->dhcp_options, .first_ip = LAB_FIRST, .last_ip = LAB_FIRST + 99, .lease_s = 600, .http_port = 80,
		.notes = br_glue_notes_new(), .pool = br_pool_new(), .turns = br_turns_new(&config, "") };
	l->tftp_glue.glue = &l->glue;
	l->dhcp_ops = br_glue_dhcp_ops;
	l->dhcp_ops.report = lab_dhcp_report;
	l->tftp_ops = br_glue_tftp_ops;
	l->tftp_ops.send = lab_tftp_send;
	l->dhcp_options = (struct br_dhcp_options){ .server_ip = LAB_IP, .prefix = 24, .mac = lab_mac,
		.ops = &l->dhcp_ops, .ctx = &l->glue };
	atomic_store(&l->glue.dhcp_mode, BR_DHCP_FULL);
	assert_int_equal(br_dhcp_server_new(&l->dhcp_options, &l->dhcp), 0);
	assert_int_equal(br_tftp_new(&(struct br_tftp_options){ .ops = &l->tftp_ops, .ctx = &l->tftp_glue }, &l->tftp), 0);
	assert_int_equal(br_glue_nfs_new(&l->glue, &l->nfs_glue, NULL), 0);
}

/* False when a tool is missing. */
static bool lab_open(struct lab *l)
{
	br_cleanup(br_freep) char *overrides = NULL;
	struct br_boots_options bo = { .default_disk = "volatile", .default_image = "one",
		.server = { .ip = LAB_IP, .nfs_port = 2049, .mount_port = 20048 } };

	memset(l, 0, sizeof(*l));
	l->now = 5 * BR_S;
	l->dir = strdup(test_dir());
	l->state = br_path_join(l->dir, "state");
	assert_int_equal(br_fleet_open(l->state, true, &l->fleet, NULL), 0);
	assert_int_equal(br_store_open(l->state, &l->store, NULL), 0);
	if (lab_import(l) < 0)
		return false;
	overrides = br_path_join(l->dir, "over");
	bo.overrides = overrides;
	bo.fleet = l->fleet;
	bo.store = l->store;
	assert_int_equal(br_boots_new(&bo, &l->boots, NULL), 0);
	assert_int_equal(br_disks_new(l->state, &l->disks, NULL), 0);
	lab_glue(l);
	labhttp_start(&l->http, &l->glue);
	return true;
}

static void lab_close(struct lab *l)
{
	br_sim_board_free(l->board);
	labhttp_stop(&l->http);
	br_tftp_free(l->tftp);
	br_dhcp_server_free(l->dhcp);
	br_glue_nfs_free(l->nfs_glue);
	br_glue_notes_free(l->glue.notes);
	br_pool_free(l->glue.pool);
	br_turns_free(l->glue.turns);
	br_disks_free(l->disks);
	br_boots_free(l->boots);
	br_store_close(l->store);
	br_fleet_close(l->fleet);
	br_text_done(&l->log);
	br_remove_tree(l->dir, NULL);
	free(l->cmdline);
	free(l->dir);
	free(l->state);
}

/* A boot.img as the server makes it, and the boot.sig that a signing tool would give, where people put them. */
static void lab_sign(struct lab *l)
{
	br_cleanup(br_freep) char *dir = br_path_join(l->dir, "over/all"), *img = br_path_join(dir, "boot.img"),
				  *sig = br_path_join(dir, "boot.sig");
	struct br_text all = BR_TEXT_NULL, text = BR_TEXT_NULL;
	char path[BR_BOOT_PATH_MAX], hex[65];
	struct br_bootfile file;
	struct br_plan *plan;
	uint8_t hash[32];

	assert_int_equal(br_boots_anonymous(l->boots, &plan, NULL), 0);
	assert_int_equal(br_plan_bootfile(plan, "boot.img", &file, path), 0);
	for (size_t i = 0; i < file.n_spans; i++)
		br_text_add_bytes(&all, file.spans[i].data, file.spans[i].len);
	br_plan_unref(plan);
	br_sha256_once(all.buf, all.len, hash);
	br_hex(hex, hash, sizeof(hash));
	br_text_addf(&text, "%s\nts: 1700000000\nrsa2048: %0512d\n", hex, 0);
	assert_int_equal(br_mkdir_all(dir, 0755, NULL), 0);
	assert_int_equal(br_file_write(img, all.buf, all.len, 0644, NULL), 0);
	assert_int_equal(br_file_write(sig, text.buf, text.len, 0644, NULL), 0);
	br_text_done(&all);
	br_text_done(&text);
}

/* ---- a run ---- */

static void lab_deliver(struct lab *l)
{
	while (l->n_out) {
		uint8_t frame[BR_DHCP_FRAME_MAX];
		size_t len = l->out_len[0];

		memcpy(frame, l->out[0], len);
		l->n_out--;
		memmove(l->out[0], l->out[1], l->n_out * sizeof(l->out[0]));
		memmove(l->out_len, l->out_len + 1, l->n_out * sizeof(l->out_len[0]));
		l->now += 1000;
		br_sim_board_frame(l->board, l->now, frame, len, false);
	}
}

static void lab_nudge(struct lab *l)
{
	uint8_t frame[BR_DHCP_FRAME_MAX];

	for (int i = 0; i < 2; i++) {
		if (!l->nudges[i] || l->nudges[i] > l->now)
			continue;
		l->nudges[i] = 0;
		lab_queue(l, frame, br_dhcp_frame_nudge(lab_mac, l->mac, frame));
	}
}

static uint64_t lab_next(struct lab *l)
{
	uint64_t next = br_sim_board_deadline(l->board), tick = br_tftp_tick(l->tftp, l->now);

	if (next == UINT64_MAX)
		return next;
	next = tick < next ? tick : next;
	for (int i = 0; i < 2; i++)
		if (l->nudges[i] && l->nudges[i] < next)
			next = l->nudges[i];
	return next > l->now ? next : l->now + BR_MS;
}

/* A new board of this model from power-on until it has its kernel and what follows it has an address, or gave up. */
static void lab_boot(struct lab *l, const char *model, const struct br_sim_stage *const *then, const char *road)
{
	struct br_sim_board_config c = { .model = br_sim_model_by_id(model), .speed = 1, .then = then, .send = lab_send,
		.event = lab_event, .ctx = l };

	if (road && br_str_starts(road, "http")) {
		c.http.on = true;
		l->http.break_after = !strcmp(road, "http-broken") ? 100000 : 0;
		road = NULL;
	}

	assert_non_null(c.model);
	c.serial = 0x5b000100 + ++l->run;
	memcpy(c.mac.b, c.model->oui, 3);
	br_store_be16(c.mac.b + 4, (uint16_t)(0x100 + l->run));
	br_sim_board_free(l->board);
	br_text_done(&l->log);
	l->mac = c.mac;
	l->board_ip = 0;
	l->address_changed = false;
	if (road) {
		struct br_board b = { .serial_known = true, .serial = c.serial, .mac = c.mac };
		struct br_error err = BR_ERROR_NULL;

		snprintf(b.name, sizeof(b.name), "local-%u", l->run);
		br_strcpy(b.road, sizeof(b.road), road);
		if (br_board_save(l->fleet, &b, &err) < 0)
			fail_msg("%s", err.text);
	}
	l->board = br_sim_board_new(&c);
	assert_non_null(l->board);
	for (uint64_t next = l->now; next != UINT64_MAX; next = lab_next(l)) {
		l->now = next;
		lab_nudge(l);
		br_sim_board_step(l->board, l->now);
		lab_deliver(l);
	}
	l->ready = br_sim_board_phase(l->board) == BR_SIM_READY;
	l->board->stage = NULL;
}

/* Whether a line of the log, from *at on, matches; *at is then behind it. */
static bool lab_find(const struct lab *l, const char *pattern, const char **at)
{
	for (const char *s = *at, *end; s && (end = strchr(s, '\n')); s = end + 1) {
		br_cleanup(br_freep) char *line = strndup(s, (size_t)(end - s));

		if (!fnmatch(pattern, line, FNM_NOESCAPE)) {
			*at = end + 1;
			return true;
		}
	}
	return false;
}

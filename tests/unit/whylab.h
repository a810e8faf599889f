/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A wire on paper: frames built here go into a watch with a clock of our own; then the question is asked. */
#include <jansson.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "fleet/event.h"
#include "sim/firmware.h"
#include "why/why.h"
#include "wire/dhcp.h"
#include "wire/tftp.h"

#define US	0x0a4d0001u /* 10.77.0.1 */
#define BOARD_IP 0x0a4d0064u
#define OTHER	0x0a4d0002u /* another DHCP server */
#define NOBODY	0x0a4d00feu
#define SERIAL	0x5b000001u
#define S	"5b000001/"
#define WALL	(1000000 * BR_S)

static const struct br_mac our_mac = { { 2, 0, 0, 0, 0, 1 } }, other_mac = { { 2, 0, 0, 0, 0, 2 } };
static const struct br_mac all_macs = { { 255, 255, 255, 255, 255, 255 } };

struct lab {
	struct br_watch *watch;
	uint64_t now;
	struct br_mac mac;
	const char *model; /* "3b", "3b+", "4", "5": shapes the DISCOVER */
	uint32_t xid;
	uint16_t port;	   /* of the board's last transfer */
	bool local, unknown, no_image, link_down, no_dhcp;
	unsigned n_booting;
	struct br_event events[160];
	unsigned n_events;
	struct br_boot_status boot;
	bool has_boot;
	struct br_why_flash flash;
	struct br_verdict v;
	FILE *seed;
	uint64_t seed_ns;
};

/* Frames also go to the file that WHY_SEED names, as fuzz/fuzz_watch.c reads them: seeds are made so. */
static inline void lab_frame(struct lab *l, const uint8_t *f, size_t n, bool out)
{
	uint64_t quarters = l->seed_ns ? (l->now - l->seed_ns) * 4 / BR_S : 0;
	uint8_t head[3];

	if (l->seed) {
		br_store_be16(head, (uint16_t)(n | (out ? 0x8000u : 0)));
		head[2] = (uint8_t)(quarters < 255 ? quarters : 255);
		fwrite(head, 1, sizeof(head), l->seed);
		fwrite(f, 1, n, l->seed);
		l->seed_ns = l->now;
	}
	br_watch_frame(l->watch, f, n, n, out, l->now);
}

static inline void lab_init(struct lab *l, const char *model)
{
	const struct br_watch_options opt = { .server_ip = US };

	*l = (struct lab){ .now = 1000 * BR_S, .model = model, .mac = { { 0xdc, 0xa6, 0x32, 0, 0, 1 } }, .port = 49152 };
	if (br_watch_new(&opt, &l->watch) < 0)
		abort();
	if (getenv("WHY_SEED"))
		l->seed = fopen(getenv("WHY_SEED"), "wb");
}

static inline void lab_done(struct lab *l)
{
	for (unsigned i = 0; i < l->n_events; i++)
		json_decref(l->events[i].fields);
	br_watch_free(l->watch);
	if (l->seed)
		fclose(l->seed);
}

static inline void wait_s(struct lab *l, double s)
{
	l->now += (uint64_t)(s * 1e9);
}

/* Ethernet and IPv4 and UDP around a payload; checksums stay away, as nobody here looks. */
static inline void lab_udp(struct lab *l, struct br_mac src, struct br_mac dst, uint32_t from, uint32_t to, uint16_t sport,
	uint16_t dport, const void *data, size_t n)
{
	uint8_t f[1600] = { 0 };

	memcpy(f, dst.b, 6);
	memcpy(f + 6, src.b, 6);
	br_store_be16(f + 12, 0x0800);
	f[14] = 0x45;
	br_store_be16(f + 16, (uint16_t)(28 + n));
	f[22] = 64;
	f[23] = 17;
	br_store_be32(f + 26, from);
	br_store_be32(f + 30, to);
	br_store_be16(f + 34, sport);
	br_store_be16(f + 36, dport);
	br_store_be16(f + 38, (uint16_t)(8 + n));
	if (n)
		memcpy(f + 42, data, n);
	lab_frame(l, f, 42 + n, br_mac_equal(src, our_mac));
	l->now += BR_MS;
}

static inline void lab_tcp(struct lab *l, bool from_board, uint16_t service, uint8_t flags, const void *data, size_t n)
{
	uint8_t f[1600] = { 0 };
	struct br_mac src = from_board ? l->mac : our_mac, dst = from_board ? our_mac : l->mac;

	memcpy(f, dst.b, 6);
	memcpy(f + 6, src.b, 6);
	br_store_be16(f + 12, 0x0800);
	f[14] = 0x45;
	br_store_be16(f + 16, (uint16_t)(40 + n));
	f[23] = 6;
	br_store_be32(f + 26, from_board ? BOARD_IP : US);
	br_store_be32(f + 30, from_board ? US : BOARD_IP);
	br_store_be16(f + 34, from_board ? 900 : service);
	br_store_be16(f + 36, from_board ? service : 900);
	f[46] = 5 << 4;
	f[47] = flags;
	if (n)
		memcpy(f + 54, data, n);
	lab_frame(l, f, 54 + n, !from_board);
	l->now += BR_MS;
}

static inline void lab_arp(struct lab *l, struct br_mac src, struct br_mac dst, uint16_t op, uint32_t from, uint32_t to)
{
	uint8_t f[60] = { 0 };

	memcpy(f, dst.b, 6);
	memcpy(f + 6, src.b, 6);
	memcpy(f + 12, "\x08\x06\0\1\x08\0\6\4", 8);
	br_store_be16(f + 20, op);
	memcpy(f + 22, src.b, 6);
	br_store_be32(f + 28, from);
	br_store_be32(f + 38, to);
	lab_frame(l, f, sizeof(f), br_mac_equal(src, our_mac));
	l->now += BR_MS;
}

static inline void board_asks_arp(struct lab *l, uint32_t ip)
{
	lab_arp(l, l->mac, all_macs, 1, BOARD_IP, ip);
}

static inline void we_answer_arp(struct lab *l)
{
	lab_arp(l, our_mac, l->mac, 2, US, BOARD_IP);
}

static inline void we_ask_arp(struct lab *l)
{
	lab_arp(l, our_mac, all_macs, 1, US, BOARD_IP);
}

/* ---- DHCP */

#define PI_CLASS "PXEClient:Arch:00000:UNDI:002001"

static const uint8_t list_rom[] = { 43, 60, 67, 128, 129, 130, 131, 132, 133, 134, 135, 66 };
static const uint8_t list_bootcode[] = { 43, 60, 67, 128, 129, 130, 131, 132, 133, 134, 135, 66, 1, 3 };
static const uint8_t list_eeprom[] = { 1, 3, 43, 60, 66, 67, 128, 129, 130, 131, 132, 133, 134, 135 };
static const uint8_t list_kernel[] = { 1, 3, 6, 12, 15, 17, 26, 40 };

static inline void lab_ask(struct lab *l, uint8_t type, const uint8_t *list, size_t n_list, const char *class,
	const uint8_t *guid, bool os)
{
	uint8_t packet[BR_DHCP_PACKET_MAX];
	struct br_dhcp_header h = { .op = BR_DHCP_BOOTREQUEST, .xid = l->xid, .chaddr = l->mac };
	struct br_dhcp_builder b;

	br_dhcp_begin(&b, packet, sizeof(packet), &h);
	br_dhcp_add_u8(&b, BR_DHCP_OPT_TYPE, type);
	if (type == BR_DHCP_REQUEST)
		br_dhcp_add_u32(&b, BR_DHCP_OPT_REQUESTED_IP, BOARD_IP);
	if (list && (type == BR_DHCP_DISCOVER || !guid))
		br_dhcp_add(&b, BR_DHCP_OPT_PARAMETERS, list, n_list);
	if (class)
		br_dhcp_add_text(&b, BR_DHCP_OPT_CLASS, class);
	if (guid)
		br_dhcp_add(&b, BR_DHCP_OPT_GUID, guid, 17);
	if (os) {
		br_dhcp_add(&b, BR_DHCP_OPT_CLIENT_ID, "\1abcdef", 7);
		br_dhcp_add_u16(&b, BR_DHCP_OPT_MAX_SIZE, 1472);
	}
	lab_udp(l, l->mac, all_macs, 0, UINT32_MAX, 68, 67, packet, (size_t)br_dhcp_end(&b, 0));
}

static inline void lab_guid(const struct lab *l, const char *model, uint32_t serial, uint8_t out[17])
{
	struct br_pi_guid g = { .kind = BR_PI_GUID_SERIAL, .serial = serial };

	if (!strcmp(model, "3b"))
		g.kind = BR_PI_GUID_ROM_3B;
	if (!strcmp(model, "4") || !strcmp(model, "5")) {
		g.kind = BR_PI_GUID_STRUCTURED;
		g.generation = (uint8_t)(model[0] - '0');
		g.revision = model[0] == '4' ? 0xc03111 : 0xc04170;
		memcpy(g.mac_tail, l->mac.b + 2, 4);
	}
	br_pi_guid_make(&g, false, out);
}

/* The firmware of the model asks. */
static inline void discover(struct lab *l)
{
	bool rom = !strcmp(l->model, "3b") || !strcmp(l->model, "3b+");
	uint8_t guid[17];

	lab_guid(l, l->model, SERIAL, guid);
	l->xid = rom ? 0x26f30339 : l->xid + 1;
	if (rom)
		lab_ask(l, BR_DHCP_DISCOVER, list_rom, sizeof(list_rom), PI_CLASS, guid, false);
	else
		lab_ask(l, BR_DHCP_DISCOVER, list_eeprom, sizeof(list_eeprom), PI_CLASS, guid, false);
}

static inline void bootcode_discover(struct lab *l)
{
	uint8_t guid[17];

	lab_guid(l, "3b+", SERIAL, guid);
	l->xid = 0x26f30339;
	lab_ask(l, BR_DHCP_DISCOVER, list_bootcode, sizeof(list_bootcode), PI_CLASS, guid, false);
}

static inline void eeprom_request(struct lab *l)
{
	uint8_t guid[17];

	lab_guid(l, l->model, SERIAL, guid);
	lab_ask(l, BR_DHCP_REQUEST, NULL, 0, PI_CLASS, guid, false);
}

static inline void kernel_asks_dhcp(struct lab *l, uint8_t type)
{
	l->xid += type == BR_DHCP_DISCOVER;
	lab_ask(l, type, list_kernel, sizeof(list_kernel), NULL, NULL, false);
}

static inline void initramfs_asks(struct lab *l, uint8_t type)
{
	l->xid += type == BR_DHCP_DISCOVER;
	lab_ask(l, type, list_kernel, sizeof(list_kernel), "Linux ipconfig", NULL, false);
}

static inline void os_asks(struct lab *l, uint8_t type)
{
	l->xid += type == BR_DHCP_DISCOVER;
	lab_ask(l, type, list_kernel, 4, NULL, NULL, true);
}

enum { TFTP_NAME = 1, PI_ITEM = 2, UNPADDED = 4, X86_ITEM = 8, RELAYED = 16, SMALL = 32, PROXY = 64 };

static inline void reply(struct lab *l, uint8_t type, uint32_t server, uint32_t ip, unsigned how)
{
	static const char padded[] = "\x06\x01\x03\x0a\x04\0PXE\x09\x17\0\0\x14Raspberry Pi Boot   \xff";
	static const char unpadded[] = "\x06\x01\x03\x0a\x04\0PXE\x09\x14\0\0\x11Raspberry Pi Boot\xff";
	static const char x86[] = "\x06\x01\x03\x09\x0b\0\0\x08Local PC\xff";
	uint8_t packet[BR_DHCP_PACKET_MAX];
	struct br_dhcp_header h = { .op = BR_DHCP_BOOTREPLY, .xid = l->xid, .chaddr = l->mac, .siaddr = server };
	struct br_dhcp_builder b;

	h.yiaddr = how & PROXY ? 0 : ip;
	h.giaddr = how & RELAYED ? OTHER : 0;
	br_dhcp_begin(&b, packet, sizeof(packet), &h);
	br_dhcp_add_u8(&b, BR_DHCP_OPT_TYPE, type);
	br_dhcp_add_u32(&b, BR_DHCP_OPT_SERVER_ID, server);
	if (type == BR_DHCP_NAK)
		br_dhcp_add_text(&b, BR_DHCP_OPT_MESSAGE, "wrong network");
	if (how & PI_ITEM)
		br_dhcp_add(&b, BR_DHCP_OPT_VENDOR, padded, sizeof(padded) - 1);
	if (how & UNPADDED)
		br_dhcp_add(&b, BR_DHCP_OPT_VENDOR, unpadded, sizeof(unpadded) - 1);
	if (how & X86_ITEM)
		br_dhcp_add(&b, BR_DHCP_OPT_VENDOR, x86, sizeof(x86) - 1);
	if (how & TFTP_NAME)
		br_dhcp_add_text(&b, BR_DHCP_OPT_TFTP_NAME, "10.77.0.1");
	lab_udp(l, server == US ? our_mac : other_mac, all_macs, server, UINT32_MAX, 67, 68, packet,
		(size_t)br_dhcp_end(&b, how & SMALL ? 0 : BR_DHCP_REPLY_MIN));
}

static inline void offer(struct lab *l)
{
	reply(l, BR_DHCP_OFFER, US, BOARD_IP, PI_ITEM | TFTP_NAME);
}

static inline void ack(struct lab *l)
{
	reply(l, BR_DHCP_ACK, US, BOARD_IP, 0);
}

/* ---- TFTP */

static inline void rrq_again(struct lab *l, const char *name)
{
	struct br_tftp_request q = { .opcode = BR_TFTP_RRQ, .octet = true, .mode = "octet" };
	uint8_t packet[600] = { 0 };
	int n;

	snprintf(q.name, sizeof(q.name), "%s", name);
	br_tftp_add_opt(&q.opts, BR_TFTP_OPT_TSIZE, 0);
	br_tftp_add_opt(&q.opts, BR_TFTP_OPT_BLKSIZE, 1468);
	n = br_tftp_encode_request(packet, sizeof(packet), &q);
	assert_true(n > 0);
	lab_udp(l, l->mac, our_mac, BOARD_IP, US, l->port, 69, packet, (size_t)n);
}

static inline void rrq(struct lab *l, const char *name)
{
	l->port++;
	rrq_again(l, name);
}

static inline void oack(struct lab *l, unsigned blksize)
{
	struct br_tftp_opts o = { 0 };
	uint8_t packet[64] = { 0 };

	br_tftp_add_opt(&o, BR_TFTP_OPT_TSIZE, 1000);
	if (blksize)
		br_tftp_add_opt(&o, BR_TFTP_OPT_BLKSIZE, blksize);
	lab_udp(l, our_mac, l->mac, US, BOARD_IP, 30000, l->port, packet, (size_t)br_tftp_encode_oack(packet, sizeof(packet), &o));
}

static inline void data1(struct lab *l)
{
	lab_udp(l, our_mac, l->mac, US, BOARD_IP, 30000, l->port, "\0\3\0\1data", 8);
}

static inline void tftp_error(struct lab *l, bool from_board, unsigned code)
{
	uint8_t packet[32];
	size_t n = (size_t)br_tftp_encode_error(packet, sizeof(packet), (uint16_t)code, "words");

	if (from_board)
		lab_udp(l, l->mac, our_mac, BOARD_IP, US, l->port, 30000, packet, n);
	else
		lab_udp(l, our_mac, l->mac, US, BOARD_IP, 30000, l->port, packet, n);
}

/* ---- events */

static inline void event(struct lab *l, const char *type, json_t *fields)
{
	struct br_event *e = &l->events[l->n_events++];

	*e = (struct br_event){ .wall_ns = WALL + l->now, .type = type, .fields = fields, .boot = 1 };
}

static inline void missing_file(struct lab *l, const char *name)
{
	rrq(l, name);
	tftp_error(l, false, BR_TFTP_ERR_NOT_FOUND);
	event(l, BR_EV_FILE_MISSING, json_pack("{s:s}", "path", name));
}

static inline void sent_file(struct lab *l, const char *name)
{
	rrq(l, name);
	oack(l, 1468);
	wait_s(l, 0.1);
	event(l, BR_EV_FILE_SENT, json_pack("{s:s, s:i, s:i}", "path", name, "bytes", 100000, "ms", 100));
}

static inline void probed_file(struct lab *l, const char *name)
{
	rrq(l, name);
	oack(l, 1468);
	tftp_error(l, true, 0);
	event(l, BR_EV_FILE_PROBED, json_pack("{s:s, s:i}", "path", name, "size", 1000));
}

static inline void failed_file(struct lab *l, const char *name, json_int_t bytes, int ms)
{
	rrq(l, name);
	oack(l, 1468);
	wait_s(l, ms / 1000.0);
	event(l, BR_EV_FILE_FAILED, json_pack("{s:s, s:I, s:i, s:i}", "path", name, "bytes", bytes, "ms", ms, "retransmits", 9));
}

/* ---- the usual ways */

static inline void addressed(struct lab *l)
{
	discover(l);
	offer(l);
	if (l->model[0] > '3') {
		eeprom_request(l);
		ack(l);
	}
	board_asks_arp(l, US);
	we_answer_arp(l);
}

static inline void until_kernel(struct lab *l)
{
	addressed(l);
	probed_file(l, S "start4.elf");
	sent_file(l, S "config.txt");
	missing_file(l, S "recovery.elf");
	sent_file(l, S "start4.elf");
	sent_file(l, S "fixup4.dat");
	sent_file(l, S "bcm2711-rpi-4-b.dtb");
	sent_file(l, S "cmdline.txt");
	sent_file(l, S "kernel8.img");
}

static inline void kernel_addressed(struct lab *l)
{
	until_kernel(l);
	wait_s(l, 8);
	kernel_asks_dhcp(l, BR_DHCP_DISCOVER);
	offer(l);
	kernel_asks_dhcp(l, BR_DHCP_REQUEST);
	ack(l);
}

/* ---- RPC over TCP */

static inline void rpc(struct lab *l, bool from_board, uint16_t service, const uint8_t *body, size_t n)
{
	uint8_t record[512];

	br_store_be32(record, 0x80000000u | (uint32_t)n);
	memcpy(record + 4, body, n);
	lab_tcp(l, from_board, service, BR_TCP_ACK, record, n + 4);
}

static inline void rpc_call(struct lab *l, uint16_t service, uint32_t program, uint32_t version, uint32_t procedure, const void *args,
	size_t n)
{
	uint8_t b[256] = { 0 };

	br_store_be32(b, 77);
	br_store_be32(b + 8, 2);
	br_store_be32(b + 12, program);
	br_store_be32(b + 16, version);
	br_store_be32(b + 20, procedure);
	if (n)
		memcpy(b + 40, args, n);
	rpc(l, true, service, b, 40 + n);
}

static inline void rpc_result(struct lab *l, uint16_t service, uint32_t accept, uint32_t value)
{
	uint8_t b[28] = { 0 };

	br_store_be32(b, 77);
	br_store_be32(b + 4, 1);
	br_store_be32(b + 20, accept);
	br_store_be32(b + 24, value);
	rpc(l, false, service, b, sizeof(b));
}

static inline void mount_call(struct lab *l, uint32_t version)
{
	rpc_call(l, 20048, 100005, version, 1, "\0\0\0\4/srv", 8);
}

static inline void connected(struct lab *l, uint16_t service)
{
	lab_tcp(l, true, service, BR_TCP_SYN, NULL, 0);
	lab_tcp(l, false, service, BR_TCP_SYN | BR_TCP_ACK, NULL, 0);
}

/* ---- the question */

static inline void ask_why(struct lab *l)
{
	static struct br_why_input in;

	memset(&in, 0, sizeof(in));
	in.now_ns = l->now;
	in.now_wall_ns = WALL + l->now;
	in.heard = br_watch_facts(l->watch, l->mac, &in.facts) >= 0;
	in.mac = l->mac;
	in.image = !l->no_image;
	in.local = l->local;
	in.link_down = l->link_down;
	in.n_booting = l->n_booting;
	in.server_ip = US;
	in.dhcp = !l->no_dhcp;
	in.watch = l->watch;
	in.boot = l->boot;
	in.has_boot = l->has_boot;
	in.flash = l->flash;
	if (!l->unknown)
		strcpy(in.name, "pi07");
	if (in.heard)
		br_watch_twin(l->watch, l->mac, in.facts.guid.serial, 0, &in.twin);
	for (unsigned i = 0; i < l->n_events; i++)
		br_why_add_event(&in, &l->events[i], l->events[i].type);
	if (br_why(&in, &l->v) < 0)
		abort();
}

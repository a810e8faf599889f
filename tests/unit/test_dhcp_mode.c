/* SPDX-License-Identifier: Apache-2.0 */
/* Beside other DHCP servers: the proxy, what is seen of them, what 'auto' makes of it. */
#include "tests/unit/test.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "dhcp/frame.h"
#include "dhcp/watch.h"
#include "sim/dhcp_client.h"

#define SERVER 0x0a4d0001u  /* ours, 10.77.0.1/24 */
#define FOREIGN 0x0a4d0002u /* theirs */
#define GIVEN 0x0a4d0063u   /* what they give */
#define NOW (1000 * BR_S)

static const struct br_mac ours = { { 2, 0, 0, 0, 0, 0x10 } }, theirs = { { 2, 0, 0, 0, 0, 0x20 } };
static const struct br_mac board = { { 0xb8, 0x27, 0xeb, 9, 2, 0xf7 } };

/* What our server is told and tells. */
static struct world {
	bool boot;
	int r;
	const char *file;
	unsigned asked, offers, elsewhere, unserved, foreign, fresh, modes;
	struct br_dhcp_client client;
	enum br_dhcp_mode mode;
	bool because;
	uint32_t ip, server_ip;
} w;

static int address(void *ctx, const struct br_dhcp_client *client, bool offer, struct br_dhcp_grant *ret)
{
	w.asked++;
	w.client = *client;
	*ret = (struct br_dhcp_grant){ .ip = client->proxy ? 0 : GIVEN, .boot = w.boot };
	if (w.r < 0)
		return w.r;
	if (w.file)
		snprintf(ret->boot_file, sizeof(ret->boot_file), "%s", w.file);
	return 0;
}

static void report(void *ctx, const struct br_dhcp_report *r)
{
	w.offers += r->kind == BR_DHCP_REPORT_OFFER;
	w.elsewhere += r->kind == BR_DHCP_REPORT_ELSEWHERE;
	w.unserved += r->kind == BR_DHCP_REPORT_NO_SUBNET;
	w.ip = r->ip;
	w.server_ip = r->server_ip;
}

static void foreign(void *ctx, const struct br_dhcp_foreign *f, bool fresh)
{
	w.foreign++;
	w.fresh += fresh;
}

static void mode(void *ctx, enum br_dhcp_mode m, const struct br_dhcp_foreign *because)
{
	w.modes++;
	w.mode = m;
	w.because = because;
}

static const struct br_dhcp_ops ops = { .address = address, .report = report, .foreign = foreign, .mode = mode };
static const struct br_dhcp_ops plain_ops = { .address = address };

static struct br_dhcp_server *make(enum br_dhcp_mode m, bool automatic, bool give)
{
	const struct br_dhcp_options opt = {
		.server_ip = SERVER, .prefix = 24, .mode = m, .automatic = automatic, .give = give, .mac = ours,
		.probe_xid = 0x1000, .ops = &ops, .subnets = { { 0x0a4e0000, 24, 0x0a4e000a, 0x0a4e00c8, 0 } }, .n_subnets = 1,
	};
	struct br_dhcp_server *s;

	memset(&w, 0, sizeof(w));
	assert_int_equal(br_dhcp_server_new(&opt, &s), 0);
	return s;
}

/* ---- a board between two servers ---- */

struct play {
	struct br_dhcp_server *other, *us;
	struct br_sim_dhcp client;
	bool proxy_first;
	uint64_t nudges[2];
};

static void pass_on(struct play *p, struct br_dhcp_server *s, uint32_t from, const uint8_t *packet, size_t n,
	uint64_t now_ns, bool boot)
{
	struct br_dhcp_reply reply;

	w.boot = boot;
	if (br_dhcp_handle(s, packet, n, now_ns, &reply) <= 0)
		return;
	if (s == p->us)
		memcpy(p->nudges, reply.nudge_ns, sizeof(p->nudges));
	br_sim_dhcp_frame(&p->client, now_ns);
	br_sim_dhcp_input(&p->client, now_ns, reply.packet, reply.len, from);
}

static void exchange(struct play *p, uint64_t now_ns)
{
	uint8_t packet[BR_SIM_DHCP_MAX];
	size_t n = br_sim_dhcp_poll(&p->client, now_ns, packet);

	for (int i = 0; i < 2; i++) {
		if (!p->nudges[i] || p->nudges[i] > now_ns)
			continue;
		p->nudges[i] = 0;
		br_sim_dhcp_frame(&p->client, now_ns);
	}
	if (!n)
		return;
	if (p->proxy_first)
		pass_on(p, p->us, SERVER, packet, n, now_ns, true);
	pass_on(p, p->other, FOREIGN, packet, n, now_ns, false);
	if (!p->proxy_first)
		pass_on(p, p->us, SERVER, packet, n, now_ns, true);
}

static const struct {
	const char *what;
	const struct br_sim_dhcp_style *style;
	struct br_pi_guid guid;
	bool old_fourcc, requests;
} boards[] = {
	{ "3B ROM", &br_sim_dhcp_rom_3b, { .kind = BR_PI_GUID_ROM_3B }, false, false },
	{ "3B+ ROM", &br_sim_dhcp_rom_3bp, { .kind = BR_PI_GUID_SERIAL, .serial = 0x12eb0902 }, false, false },
	{ "bootcode.bin", &br_sim_dhcp_bootcode, { .kind = BR_PI_GUID_SERIAL, .serial = 0x12eb0902 }, false, false },
	{ "Pi 4", &br_sim_dhcp_eeprom, { BR_PI_GUID_STRUCTURED, 0x91cdf03d, 0xd03114, { 1, 9, 2, 0xf7 }, 4 }, false, true },
	{ "Pi 4, old", &br_sim_dhcp_eeprom, { BR_PI_GUID_STRUCTURED, 0x91cdf03d, 0xa03111, { 1, 9, 2, 0xf7 }, 4 }, true,
		true },
	{ "Pi 5", &br_sim_dhcp_eeprom, { BR_PI_GUID_STRUCTURED, 0x7bf18f79, 0xc04170, { 1, 9, 2, 0xf7 }, 5 }, false, true },
};

/* Wire notes 1.7: every firmware takes the address from one and the boot server from the other, in either order. */
static void every_firmware_boots_beside_another_server(void **state)
{
	const struct br_dhcp_options other = { .server_ip = FOREIGN, .prefix = 24, .ops = &plain_ops };

	for (size_t i = 0; i < 2 * BR_ARRAY_SIZE(boards); i++) {
		struct play p = { .us = make(BR_DHCP_PROXY, false, false), .proxy_first = i % 2 };
		uint8_t body[17];

		assert_int_equal(br_dhcp_server_new(&other, &p.other), 0);
		br_pi_guid_make(&boards[i / 2].guid, boards[i / 2].old_fourcc, body);
		br_sim_dhcp_start(&p.client, boards[i / 2].style, board, body, 0x1234, NOW);
		for (uint64_t t = NOW; t < NOW + 60 * BR_S && p.client.state < BR_SIM_DHCP_BOUND; t += 50 * BR_MS)
			exchange(&p, t);
		if (p.client.state != BR_SIM_DHCP_BOUND)
			fail_msg("%s: %s", boards[i / 2].what, br_sim_dhcp_why(&p.client));
		assert_int_equal(p.client.ip, GIVEN);
		assert_int_equal(p.client.tftp, SERVER);
		assert_int_equal(w.elsewhere, boards[i / 2].requests);
		if (w.elsewhere) {
			assert_int_equal(w.ip, GIVEN);
			assert_int_equal(w.server_ip, FOREIGN);
		}
		br_dhcp_server_free(p.other);
		br_dhcp_server_free(p.us);
	}
}

/* ---- single messages ---- */

#define PI_CLASS_HEX "505845436c69656e743a417263683a30303030303a554e44493a303032303031"
#define EEPROM "350101" "370e01032b3c42438081828384858687" "3c20" PI_CLASS_HEX "5d020000" "5e03010201" \
	"6111" "00346950521431d000010902f73df0cd91" "ff"
#define UEFI_CLASS "3c20505845436c69656e743a417263683a30303031313a554e44493a303033303030" "5d02000b" "5e03010300"
#define IPXE_CLASS "4d0469505845" "3c20505845436c69656e743a417263683a30303031313a554e44493a303033303130" "5d02000b"
#define HTTP_CLASS "3c21" "48545450436c69656e743a417263683a30303031393a554e44493a303033303030" "5d020013"
#define UBOOT_CLASS "3c0c552d426f6f742e61726d7638" "5d020016" "5e03010000" "37050103060c11"
#define ASKS_67 "370243" "42"

static size_t build(uint8_t *buf, uint32_t giaddr, const char *hex)
{
	struct br_dhcp_header h = { .op = BR_DHCP_BOOTREQUEST, .xid = 7, .chaddr = board, .giaddr = giaddr };
	struct br_dhcp_builder b;
	uint8_t bytes[600];
	size_t n = strlen(hex) / 2;

	br_dhcp_begin(&b, buf, BR_DHCP_PACKET_MAX, &h);
	assert_int_equal(br_unhex(bytes, n, hex), 0);
	br_put_bytes(&b.w, bytes, n);
	return b.w.len;
}

static int ask(struct br_dhcp_server *s, uint32_t giaddr, const char *hex, struct br_dhcp_reply *reply,
	struct br_dhcp_message *m)
{
	uint8_t buf[BR_DHCP_PACKET_MAX];
	size_t n = build(buf, giaddr, hex);
	int r = br_dhcp_handle(s, buf, n, NOW, reply);

	memset(m, 0, sizeof(*m));
	if (r > 0)
		assert_int_equal(br_dhcp_decode(reply->packet, reply->len, m), 0);
	return r;
}

/* Wire notes 1.7: 53, 54, 60, 97, 43 (three blanks), 66; no address, no mask, no lease; to everybody. */
static void the_proxys_offer_is_exact(void **state)
{
	static const uint8_t order[] = { 53, 54, 60, 97, 43, 66 };
	struct br_dhcp_server *s = make(BR_DHCP_PROXY, false, false);
	struct br_dhcp_reply reply;
	struct br_dhcp_message m;
	char text[32];

	w.boot = true;
	assert_int_equal(ask(s, 0, EEPROM, &reply, &m), 1);
	assert_int_equal(m.type, BR_DHCP_OFFER);
	assert_int_equal(m.h.yiaddr, 0);
	assert_int_equal(m.h.siaddr, SERVER);
	assert_true(m.h.broadcast);
	assert_int_equal(m.n_order, sizeof(order));
	assert_memory_equal(m.order, order, sizeof(order));
	assert_int_equal(m.len[BR_DHCP_OPT_VENDOR], 35);
	assert_string_equal(br_dhcp_option_text(&m, BR_DHCP_OPT_TFTP_NAME, text, sizeof(text)), "10.77.0.1");
	assert_int_equal(reply.to_ip, UINT32_MAX);
	assert_int_equal(reply.to_mac.b[0], 0xff);
	assert_int_equal(reply.to_port, 68);
	assert_true(w.client.proxy);
	assert_int_equal(w.offers, 1);
	br_dhcp_server_free(s);
}

static const struct {
	const char *what, *hex;
	bool boot;
	const char *file;
	bool answered;
} proxied[] = {
	{ "firmware", EEPROM, true, NULL, true },
	{ "a board that boots locally", EEPROM, false, NULL, false },
	{ "kernel", "35010137080103060c0f111a28ff", true, NULL, false },
	{ "a PC", "350101" "3c20" PI_CLASS_HEX "5d020000" "3704010306" "2b" "ff", true, NULL, false },
	{ "UEFI", "350101" UEFI_CLASS ASKS_67 "ff", true, "a.efi", true },
	{ "UEFI without a file", "350101" UEFI_CLASS "ff", true, NULL, false },
	{ "iPXE", "350101" IPXE_CLASS ASKS_67 "ff", true, "boot.ipxe", true },
	{ "U-Boot drops offers without an address", "350101" UBOOT_CLASS "ff", true, "boot.scr", false },
	{ "REQUEST to another server", "350103" "3204" "0a4d0063" "3604" "0a4d0002" "ff", true, NULL, false },
	{ "RENEW", "350103" "ff", true, NULL, false },
	{ "INFORM", "350108" "ff", true, NULL, false },
};

static void the_proxy_answers_those_that_boot_from_us(void **state)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(proxied); i++) {
		struct br_dhcp_server *s = make(BR_DHCP_PROXY, false, false);
		struct br_dhcp_reply reply;
		struct br_dhcp_message m;

		w.boot = proxied[i].boot;
		w.file = proxied[i].file;
		if (ask(s, 0, proxied[i].hex, &reply, &m) != proxied[i].answered)
			fail_msg("%s", proxied[i].what);
		assert_int_equal(m.h.yiaddr, 0);
		assert_false(br_dhcp_has(&m, BR_DHCP_OPT_LEASE));
		br_dhcp_server_free(s);
	}
}

/* What loaders get: in full mode, as a proxy, on port 4011. */
static const struct {
	const char *what, *hex, *file, *class;
	bool in_header;
} loaders[] = {
	{ "UEFI", UEFI_CLASS ASKS_67, "efi/boot/bootaa64.efi", "PXEClient", true },
	{ "iPXE", IPXE_CLASS ASKS_67, "http://10.77.0.1/boot/pi-1/boot.ipxe", "PXEClient", true },
	{ "UEFI HTTP", HTTP_CLASS ASKS_67, "http://10.77.0.1/boot/pi-1/efi/boot/bootaa64.efi", "HTTPClient", true },
	{ "a name that is too long for the header", UEFI_CLASS ASKS_67,
		"ddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"
		"dddddddddddddddddddddddddddddddddddddddddddddddddddd", "PXEClient", false },
};

static void check_file(const struct br_dhcp_message *m, size_t i)
{
	size_t len;
	const uint8_t *p = br_dhcp_option(m, BR_DHCP_OPT_BOOT_FILE, &len);

	assert_non_null(p);
	assert_int_equal(len, strlen(loaders[i].file)); /* no NUL: EDK2 would take it for a letter */
	assert_memory_equal(p, loaders[i].file, len);
	assert_string_equal(m->h.file, loaders[i].in_header ? loaders[i].file : "");
	assert_int_equal(m->h.siaddr, SERVER);
}

static void loaders_are_told_their_file(void **state)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(loaders); i++) {
		uint8_t buf[BR_DHCP_PACKET_MAX];
		char hex[512], text[32];
		struct br_dhcp_server *s = make(BR_DHCP_FULL, false, false);
		struct br_dhcp_reply reply;
		struct br_dhcp_message m;
		size_t n;

		w.boot = true;
		w.file = loaders[i].file;
		snprintf(hex, sizeof(hex), "350101%sff", loaders[i].hex);
		assert_int_equal(ask(s, 0, hex, &reply, &m), 1);
		check_file(&m, i);
		assert_int_equal(m.h.yiaddr, GIVEN);
		assert_int_equal(br_dhcp_has(&m, BR_DHCP_OPT_CLASS), !strcmp(loaders[i].class, "HTTPClient"));
		assert_false(br_dhcp_has(&m, BR_DHCP_OPT_VENDOR));
		br_dhcp_server_free(s);

		s = make(BR_DHCP_PROXY, false, false);
		w.boot = true;
		w.file = loaders[i].file;
		assert_int_equal(ask(s, 0, hex, &reply, &m), 1);
		check_file(&m, i);
		assert_string_equal(br_dhcp_option_text(&m, BR_DHCP_OPT_CLASS, text, sizeof(text)), loaders[i].class);
		snprintf(hex, sizeof(hex), "350103%sff", loaders[i].hex);
		n = build(buf, 0, hex);
		assert_int_equal(br_dhcp_handle_pxe(s, buf, n, &reply), 1);
		assert_int_equal(br_dhcp_decode(reply.packet, reply.len, &m), 0);
		check_file(&m, i);
		assert_int_equal(m.type, BR_DHCP_ACK);
		assert_int_equal(m.h.yiaddr, 0);
		assert_int_equal(reply.to_ip, 0);
		br_dhcp_server_free(s);
	}
}

static void u_boot_reads_the_header(void **state)
{
	struct br_dhcp_server *s = make(BR_DHCP_FULL, false, false);
	struct br_dhcp_reply reply;
	struct br_dhcp_message m;

	w.boot = true;
	w.file = "boot.scr.uimg";
	assert_int_equal(ask(s, 0, "350101" UBOOT_CLASS "ff", &reply, &m), 1);
	assert_string_equal(m.h.file, "boot.scr.uimg");
	assert_int_equal(m.h.siaddr, SERVER);
	assert_false(br_dhcp_has(&m, BR_DHCP_OPT_BOOT_FILE));
	br_dhcp_server_free(s);
}

/* Firmware never asks port 4011, and what is no REQUEST gets nothing there. */
static void port_4011_is_for_loaders(void **state)
{
	struct br_dhcp_server *s = make(BR_DHCP_PROXY, false, false);
	struct br_dhcp_reply reply;
	uint8_t buf[BR_DHCP_PACKET_MAX];
	size_t n;

	w.boot = true;
	w.file = "x";
	n = build(buf, 0, EEPROM);
	assert_int_equal(br_dhcp_handle_pxe(s, buf, n, &reply), 0);
	n = build(buf, 0, "350101" UEFI_CLASS "ff");
	assert_int_equal(br_dhcp_handle_pxe(s, buf, n, &reply), 0);
	n = build(buf, 0, "3501");
	assert_int_equal(br_dhcp_handle_pxe(s, buf, n, &reply), -EBADMSG);
	br_dhcp_server_free(s);
}

/* ---- what is seen on the wire ---- */

static size_t foreign_frame(uint8_t *out, uint8_t type, uint32_t yiaddr, uint32_t server, uint16_t from, uint16_t to)
{
	const struct br_dhcp_header h = {
		.op = BR_DHCP_BOOTREPLY, .xid = 7, .chaddr = board, .yiaddr = yiaddr,
	};
	const struct br_dhcp_frame f = {
		.src_mac = theirs, .dst_mac = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } }, .src_ip = FOREIGN,
		.dst_ip = UINT32_MAX, .src_port = from, .dst_port = to,
	};
	uint8_t packet[BR_DHCP_PACKET_MAX];
	struct br_dhcp_builder b;
	int n;

	br_dhcp_begin(&b, packet, sizeof(packet), &h);
	br_dhcp_add_u8(&b, BR_DHCP_OPT_TYPE, type);
	if (server)
		br_dhcp_add_u32(&b, BR_DHCP_OPT_SERVER_ID, server);
	br_dhcp_add_u32(&b, BR_DHCP_OPT_MASK, 0xffffff00);
	n = br_dhcp_end(&b, BR_DHCP_REPLY_MIN);
	return br_dhcp_frame_udp(&f, packet, (size_t)n, out);
}

static void other_servers_are_seen(void **state)
{
	uint8_t frame[BR_DHCP_FRAME_MAX];
	struct br_dhcp_foreign f;
	size_t n = foreign_frame(frame, BR_DHCP_OFFER, GIVEN, FOREIGN, 67, 68);

	assert_int_equal(br_dhcp_watch_reply(frame, n, &f), 1);
	assert_int_equal(f.server_ip, FOREIGN);
	assert_int_equal(f.offered, GIVEN);
	assert_int_equal(f.prefix, 24);
	assert_int_equal(f.type, BR_DHCP_OFFER);
	assert_memory_equal(f.server_mac.b, theirs.b, 6);
	assert_memory_equal(f.client_mac.b, board.b, 6);
	assert_false(f.boots);
	for (size_t cut = 0; cut < n; cut++) /* the IP length says more than there is */
		assert_int_equal(br_dhcp_watch_reply(frame, cut, &f), 0);
	n = foreign_frame(frame, BR_DHCP_OFFER, GIVEN, 0, 67, 68);
	assert_int_equal(br_dhcp_watch_reply(frame, n, &f), 1);
	assert_int_equal(f.server_ip, FOREIGN); /* where it came from */
	assert_int_equal(br_dhcp_watch_reply(frame, foreign_frame(frame, BR_DHCP_OFFER, GIVEN, 0, 68, 67), &f), 0);
	assert_int_equal(br_dhcp_watch_reply(frame, foreign_frame(frame, BR_DHCP_DISCOVER, GIVEN, 0, 67, 68), &f), 0);
}

static void arp_answers_are_seen(void **state)
{
	uint8_t frame[BR_DHCP_ARP_LEN];
	struct br_mac mac;
	uint32_t ip;

	assert_int_equal(br_dhcp_arp_probe(ours, GIVEN, frame), BR_DHCP_ARP_LEN);
	assert_int_equal(br_dhcp_watch_arp(frame, sizeof(frame), &ip, &mac), 0); /* a question */
	assert_int_equal(br_load_be32(frame + 28), 0);
	assert_int_equal(br_load_be32(frame + 38), GIVEN);
	frame[21] = 2;
	memcpy(frame + 22, theirs.b, 6);
	br_store_be32(frame + 28, GIVEN);
	assert_int_equal(br_dhcp_watch_arp(frame, sizeof(frame), &ip, &mac), 1);
	assert_int_equal(ip, GIVEN);
	assert_memory_equal(mac.b, theirs.b, 6);
	assert_int_equal(br_dhcp_watch_arp(frame, sizeof(frame) - 1, &ip, &mac), 0);
}

/* ---- auto ---- */

/* Runs the clock; returns the probes that left. */
static unsigned run(struct br_dhcp_server *s, uint64_t from, uint64_t until)
{
	uint8_t packet[BR_DHCP_PACKET_MAX];
	struct br_dhcp_message m;
	unsigned n = 0;
	uint64_t next;
	size_t len;

	for (uint64_t t = from; t <= until; t += 100 * BR_MS)
		while (br_dhcp_tick(s, t, packet, &len, &next) > 0) {
			assert_int_equal(br_dhcp_decode(packet, len, &m), 0);
			assert_true(m.h.broadcast);
			assert_memory_equal(m.h.chaddr.b, ours.b, 6);
			/* our own server does not answer it */
			assert_true(br_dhcp_handle(s, packet, len, t, &(struct br_dhcp_reply){ 0 }) <= 0);
			n++;
		}
	return n;
}

static void auto_decides(void **state)
{
	static const struct {
		const char *what;
		bool give, heard, yields;
		enum br_dhcp_mode mode;
	} cases[] = {
		{ "nobody, and the network is ours", true, false, false, BR_DHCP_FULL },
		{ "nobody, but not our network", false, false, false, BR_DHCP_PROXY },
		{ "another server", true, true, false, BR_DHCP_PROXY },
		{ "another bramble decides too, and has the lower MAC", true, false, true, BR_DHCP_PROXY },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_dhcp_server *s = make(BR_DHCP_PROXY, true, cases[i].give);
		const struct br_dhcp_foreign f = {
			.server_ip = FOREIGN, .server_mac = theirs, .type = BR_DHCP_OFFER, .offered = GIVEN,
		};
		struct br_dhcp_reply reply;
		struct br_dhcp_message m;

		assert_int_equal(br_dhcp_server_mode(s), BR_DHCP_SILENT);
		assert_int_equal(run(s, NOW, NOW + 2 * BR_S), 3);
		w.boot = true;
		assert_int_equal(ask(s, 0, EEPROM, &reply, &m), 0); /* no word before it is known */
		assert_int_equal(w.asked, 0);
		if (cases[i].heard)
			br_dhcp_heard(s, &f, NOW + 2 * BR_S);
		if (cases[i].yields)
			ask(s, 0, "350101" "3d1500" "6272616d626c652d70726f62652d" "020000000001" "ff", &reply, &m);
		run(s, NOW + 2 * BR_S, NOW + 10 * BR_S);
		if (br_dhcp_server_mode(s) != cases[i].mode)
			fail_msg("%s: %s", cases[i].what, br_dhcp_mode_name(br_dhcp_server_mode(s)));
		assert_int_equal(w.modes, 1);
		assert_int_equal(w.mode, cases[i].mode);
		assert_int_equal(w.because, cases[i].heard);
		br_dhcp_server_free(s);
	}
}

/* Giving addresses, 'auto' stops when somebody else does; 'full' goes on, and says so. Proxies disturb nobody. */
static void a_foreign_server_is_told_of(void **state)
{
	static const struct {
		bool automatic;
		uint8_t type;
		uint32_t offered;
		enum br_dhcp_mode mode;
	} cases[] = {
		{ true, BR_DHCP_OFFER, GIVEN, BR_DHCP_PROXY },
		{ true, BR_DHCP_OFFER, 0, BR_DHCP_FULL },
		{ true, BR_DHCP_NAK, 0, BR_DHCP_FULL },
		{ true, BR_DHCP_ACK, 0, BR_DHCP_PROXY },
		{ false, BR_DHCP_OFFER, GIVEN, BR_DHCP_FULL },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_dhcp_server *s = make(BR_DHCP_FULL, cases[i].automatic, true);
		struct br_dhcp_foreign f = {
			.server_ip = FOREIGN, .server_mac = theirs, .type = cases[i].type, .offered = cases[i].offered,
		};

		run(s, NOW, NOW + 10 * BR_S);
		assert_int_equal(br_dhcp_server_mode(s), BR_DHCP_FULL);
		for (unsigned k = 0; k < 5; k++)
			br_dhcp_heard(s, &f, NOW + (20 + k) * BR_S);
		assert_int_equal(w.foreign, 5);
		assert_int_equal(w.fresh, 1);
		assert_int_equal(br_dhcp_server_mode(s), cases[i].mode);
		br_dhcp_heard(s, &f, NOW + 700 * BR_S);
		assert_int_equal(w.fresh, 2);
		for (unsigned k = 0; k < 100; k++) { /* a flood of servers that are none */
			f.server_ip = FOREIGN + k;
			br_dhcp_heard(s, &f, NOW + 701 * BR_S);
		}
		assert_true(w.fresh <= 9);
		f.server_ip = SERVER;
		w.foreign = 0;
		br_dhcp_heard(s, &f, NOW + 800 * BR_S); /* ourselves */
		assert_int_equal(w.foreign, 0);
		br_dhcp_server_free(s);
	}
}

/* ---- relays ---- */

static void relays_are_served_where_there_is_a_range(void **state)
{
	static const struct {
		const char *what, *hex;
		uint32_t giaddr, link, router;
		int answered;
	} cases[] = {
		{ "in our network", "ff", 0x0a4d00fe, 0, 0, 1 },
		{ "in a subnet", "ff", 0x0a4e0001, 0x0a4e0001, 0x0a4e0001, 1 },
		{ "elsewhere", "ff", 0x0a4f0001, 0, 0, 0 },
		{ "link selection", "5206" "0504" "0a4e0005" "ff", 0x0a4d00fe, 0x0a4e0005, 0x0a4d00fe, 1 },
		{ "link selection into nowhere", "5206" "0504" "0a4f0005" "ff", 0x0a4d00fe, 0, 0, 0 },
		{ "subnet selection", "7604" "0a4e0000" "ff", 0x0a4d00fe, 0x0a4e0000, 0x0a4d00fe, 1 },
		{ "a relay elsewhere that selects our network", "5206" "0504" "0a4d0005" "ff", 0x08080808, 0, 0, 0 },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_dhcp_server *s = make(BR_DHCP_FULL, false, false);
		struct br_dhcp_reply reply;
		struct br_dhcp_message m;
		char hex[128];

		snprintf(hex, sizeof(hex), "350101%s", cases[i].hex);
		if (ask(s, cases[i].giaddr, hex, &reply, &m) != cases[i].answered)
			fail_msg("%s", cases[i].what);
		assert_int_equal(w.unserved, !cases[i].answered);
		if (cases[i].answered) {
			assert_int_equal(w.client.link_ip, cases[i].link);
			assert_int_equal(reply.to_ip, cases[i].giaddr);
			assert_int_equal(reply.to_port, 67);
			assert_int_equal(br_dhcp_option_ip(&m, BR_DHCP_OPT_ROUTER), cases[i].router);
			assert_int_equal(br_dhcp_has(&m, BR_DHCP_OPT_RELAY), strstr(hex, "5206") != NULL);
			assert_int_equal(br_dhcp_has(&m, BR_DHCP_OPT_SUBNET), strstr(hex, "7604") != NULL);
		}
		br_dhcp_server_free(s);
	}
}

/* RFC 2131 4.3.2 wants silence about clients one does not know, for the sake of other servers. Where there are none, the
 * client is told at once. */
static void alone_we_refuse_what_we_did_not_give(void **state)
{
	static const char *const requests[] = { "350103" "3204" "0a4d0063" "ff", "350103" "ff" };
	struct br_dhcp_server *s = make(BR_DHCP_FULL, false, false);
	const struct br_dhcp_foreign f = {
		.server_ip = FOREIGN, .server_mac = theirs, .type = BR_DHCP_OFFER, .offered = GIVEN,
	};
	struct br_dhcp_reply reply;
	struct br_dhcp_message m;

	w.r = -ENOENT;
	assert_int_equal(ask(s, 0, requests[0], &reply, &m), 0); /* not listened for long enough */
	run(s, NOW - 100 * BR_S, NOW - 50 * BR_S);
	assert_int_equal(ask(s, 0, requests[0], &reply, &m), 1);
	assert_int_equal(m.type, BR_DHCP_NAK);
	w.r = -EBUSY;
	assert_int_equal(ask(s, 0, requests[0], &reply, &m), 0);
	w.r = -ENOENT;
	assert_int_equal(ask(s, 0, requests[1], &reply, &m), 0); /* names no address at all */
	br_dhcp_heard(s, &f, NOW);
	assert_int_equal(ask(s, 0, requests[0], &reply, &m), 0);
	br_dhcp_server_free(s);
}

/* RFC 5107: to the client the relay is the server. */
static void the_relay_may_override_the_server_id(void **state)
{
#define OVERRIDE "5206" "0b04" "0a4d00fe"
	struct br_dhcp_server *s = make(BR_DHCP_FULL, false, false);
	struct br_dhcp_reply reply;
	struct br_dhcp_message m;

	assert_int_equal(ask(s, 0x0a4d00fe, "350101" OVERRIDE "ff", &reply, &m), 1);
	assert_int_equal(br_dhcp_option_ip(&m, BR_DHCP_OPT_SERVER_ID), 0x0a4d00fe);
	assert_int_equal(ask(s, 0x0a4d00fe, "350103" "3204" "0a4d0063" "3604" "0a4d00fe" OVERRIDE "ff", &reply, &m), 1);
	assert_int_equal(m.type, BR_DHCP_ACK);
	assert_int_equal(ask(s, 0, "350101" OVERRIDE "ff", &reply, &m), 1); /* no relay: a switch's option, no word for us */
	assert_int_equal(br_dhcp_option_ip(&m, BR_DHCP_OPT_SERVER_ID), SERVER);
	assert_int_equal(ask(s, 0, "350103" "3204" "0a4d0063" "3604" "0a4d0002" "ff", &reply, &m), 0);
	assert_int_equal(w.elsewhere, 1);
	br_dhcp_server_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_firmware_boots_beside_another_server),
		cmocka_unit_test(the_proxys_offer_is_exact),
		cmocka_unit_test(the_proxy_answers_those_that_boot_from_us),
		cmocka_unit_test(loaders_are_told_their_file),
		cmocka_unit_test(u_boot_reads_the_header),
		cmocka_unit_test(port_4011_is_for_loaders),
		cmocka_unit_test(other_servers_are_seen),
		cmocka_unit_test(arp_answers_are_seen),
		cmocka_unit_test(auto_decides),
		cmocka_unit_test(a_foreign_server_is_told_of),
		cmocka_unit_test(alone_we_refuse_what_we_did_not_give),
		cmocka_unit_test(relays_are_served_where_there_is_a_range),
		cmocka_unit_test(the_relay_may_override_the_server_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

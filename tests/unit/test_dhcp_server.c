/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "dhcp/server.h"

#define SERVER 0x0a4d0001u /* 10.77.0.1/24 */
#define OURS 0x0a4d0015u   /* what the board has */
#define NOW (1000 * BR_S)

#define PI_CLASS "PXEClient:Arch:00000:UNDI:002001"
#define PI_CLASS_HEX "505845436c69656e743a417263683a30303030303a554e44493a303032303031"
#define GUID_44 "0044444444444444444444444444444444"
#define GUID_SERIAL "004456efa24456efa24456efa24456efa2"
#define GUID_NEW "00346950521431d000010902f73df0cd91"
#define GUID_OLD "00525069341431d000010902f73df0cd91"

/* Option bytes of the templates of wire notes 1.2, 4.1 and 4.3, in the order on the wire. */
#define S0_LIST "370c2b3c43808182838485868742"
#define S1_LIST "370e2b3c438081828384858687420103"
#define EEPROM_LIST "370e01032b3c42438081828384858687"
#define S0(guid) "350101" S0_LIST "5d0200005e03010201" "6111" guid "3c20" PI_CLASS_HEX "ff"
#define S1(guid) "350101" S1_LIST "5d0200005e03010201" "6111" guid "3c20" PI_CLASS_HEX "ff"
#define EEPROM(guid) "350101" EEPROM_LIST "3c20" PI_CLASS_HEX "5d0200005e03010201" "6111" guid "ff"
#define KERNEL "35010137080103060c0f111a28ff"
#define KERNEL_42 "35010137090103060c0f111a282aff"
#define KLIBC "3501013c0e4c696e757820697063" "6f6e666967" "370a0103060c0f111a1c2877" "0c09" "31302e37372e302e39" "ff"

/* What the server is told, and what it told. */
static struct world {
	int r; /* of address() */
	struct br_dhcp_grant grant;
	unsigned asked, offers, reports;
	struct br_dhcp_client client;
	enum br_dhcp_report_kind report;
	uint32_t report_ip;
	char reason[128];
} w;

static int fake_address(void *ctx, const struct br_dhcp_client *client, bool offer, struct br_dhcp_grant *ret)
{
	assert_ptr_equal(ctx, &w);
	w.asked++;
	w.offers += offer;
	w.client = *client;
	if (w.r == 0)
		*ret = w.grant;
	return w.r;
}

static void fake_report(void *ctx, const struct br_dhcp_report *report)
{
	w.reports++;
	w.client = *report->client;
	w.report = report->kind;
	w.report_ip = report->ip;
	snprintf(w.reason, sizeof(w.reason), "%s", report->reason ? report->reason : "");
}

static const struct br_dhcp_ops ops = { .address = fake_address, .report = fake_report };
static struct br_dhcp_server *server;

static int set_up(void **state)
{
	const struct br_dhcp_options opt = {
		.server_ip = SERVER, .prefix = 24, .router_ip = { 0x0a4d00fe }, .dns_ip = { 0x09090909 }, .ops = &ops, .ctx = &w,
	};

	memset(&w, 0, sizeof(w));
	w.grant = (struct br_dhcp_grant){
		.ip = OURS, .lease_s = 600, .host_name = "pi07", .root_path = "10.77.0.1:/pi07,vers=3", .boot = true,
	};
	return br_dhcp_server_new(&opt, &server);
}

static int tear_down(void **state)
{
	br_dhcp_server_free(server);
	return 0;
}

static struct br_dhcp_header base_header(void)
{
	return (struct br_dhcp_header){
		.op = BR_DHCP_BOOTREQUEST, .xid = 0x26f30339, .chaddr = { { 0xb8, 0x27, 0xeb, 1, 2, 3 } },
	};
}

/* Header and option bytes in hex to a packet. */
static size_t build(uint8_t *buf, const struct br_dhcp_header *h, const char *hex)
{
	struct br_dhcp_builder b;
	size_t n = strlen(hex) / 2;
	uint8_t bytes[600];

	br_dhcp_begin(&b, buf, BR_DHCP_PACKET_MAX, h);
	assert_true(n <= sizeof(bytes));
	assert_int_equal(br_unhex(bytes, n, hex), 0);
	br_put_bytes(&b.w, bytes, n);
	assert_false(b.w.failed);
	return b.w.len;
}

static int ask(const struct br_dhcp_header *h, const char *hex, struct br_dhcp_reply *reply, struct br_dhcp_message *m)
{
	uint8_t buf[BR_DHCP_PACKET_MAX];
	size_t n = build(buf, h, hex);
	int r;

	memset(reply, 0xee, sizeof(*reply));
	memset(m, 0, sizeof(*m));
	r = br_dhcp_handle(server, buf, n, NOW, reply);
	if (r > 0)
		assert_int_equal(br_dhcp_decode(reply->packet, reply->len, m), 0);
	return r;
}

static int ask_plain(const char *hex, struct br_dhcp_reply *reply, struct br_dhcp_message *m)
{
	struct br_dhcp_header h = base_header();

	return ask(&h, hex, reply, m);
}

static const struct {
	const char *what, *hex;
	enum br_dhcp_client_kind kind;
} clients[] = {
	{ "3B ROM", S0(GUID_44), BR_DHCP_ROM },
	{ "3B ROM, long list", S1(GUID_44), BR_DHCP_ROM },
	{ "3B+ ROM", S0(GUID_SERIAL), BR_DHCP_ROM },
	{ "bootcode.bin", S1(GUID_SERIAL), BR_DHCP_BOOTCODE },
	{ "EEPROM", EEPROM(GUID_NEW), BR_DHCP_EEPROM },
	{ "EEPROM 2021", EEPROM(GUID_OLD), BR_DHCP_EEPROM },
	{ "Pi 5 EEPROM", EEPROM("00356950527041c000010902f73df0cd91"), BR_DHCP_EEPROM },
	{ "EEPROM before 2020-03, or DHCP_OPTION97=0", EEPROM(GUID_SERIAL), BR_DHCP_EEPROM },
	{ "EEPROM, own fourcc", EEPROM("00deadbeef1431d000010902f73df0cd91"), BR_DHCP_EEPROM },
	{ "EEPROM REQUEST", "3501033204" "0a4d0015" "3604" "0a4d0001" "3c20" PI_CLASS_HEX "6111" GUID_NEW "ff", BR_DHCP_EEPROM },
	{ "EEPROM REQUEST without 60", "3501033204" "0a4d0015" "3604" "0a4d0001" "6111" GUID_OLD "ff", BR_DHCP_EEPROM },
	{ "the same, old GUID", "3501033204" "0a4d0015" "3604" "0a4d0001" "6111" GUID_SERIAL "ff", BR_DHCP_EEPROM },
	{ "kernel", KERNEL, BR_DHCP_KERNEL },
	{ "newer kernel", KERNEL_42, BR_DHCP_KERNEL },
	{ "kernel with dhcpclass=x", "350101" "3c0178" "37080103060c0f111a28ff", BR_DHCP_KERNEL },
	{ "klibc", KLIBC, BR_DHCP_INITRAMFS },
	{ "klibc without class", "350101" "370a0103060c0f111a1c2877" "ff", BR_DHCP_INITRAMFS },
	{ "U-Boot", "350101" "3c0c552d426f6f742e61726d7638" "5d020016" "5e03010000" "37050103060c11" "ff", BR_DHCP_UBOOT },
	{ "U-Boot, EFI boot method", "350101" "3c20505845436c69656e743a417263683a30303031313a554e44493a303033303030"
		"5d02000b" "5e03010000" "ff", BR_DHCP_UBOOT },
	{ "U-Boot with our stage 1", "350101" "3c106272616d626c652e332d622d706c7573" "5d020016" "37050103060c11" "ff", BR_DHCP_UBOOT }, /* bramble.3-b-plus */
	{ "U-Boot with WalT's", "350101" "3c1177616c742e6e6f64652e7270692d342d62" "5d020016" "37050103060c11" "ff", BR_DHCP_UBOOT }, /* walt.node.rpi-4-b */
	{ "U-Boot, lwIP", "350101" "37050103" "1c062a" "ff", BR_DHCP_UBOOT },
	{ "UEFI", "350101" "3c20505845436c69656e743a417263683a30303031313a554e44493a303033303030" "5d02000b" "5e03010300"
		"6111001431d000000000000000e45f010902f7" "ff", BR_DHCP_UEFI },
	{ "UEFI without 93", "350101" "3c20505845436c69656e743a417263683a30303031313a554e44493a303033303030" "ff", BR_DHCP_UEFI },
	{ "UEFI HTTP", "350101" "3c0b48545450436c69656e743a" "ff", BR_DHCP_UEFI },
	{ "iPXE by user class", "350101" "4d0469505845" "3c20505845436c69656e743a417263683a30303031313a554e44493a303033303130"
		"5d02000b" "ff", BR_DHCP_IPXE },
	{ "iPXE by features", "350101" "af03b10101" "ff", BR_DHCP_IPXE },
	{ "dhcpcd", "350101" "3c0764686370636439" "ff", BR_DHCP_OS },
	{ "networkd", "350101" "3d0701b827eb010203" "390205c0" "370401030c1c" "ff", BR_DHCP_OS },
	{ "networkd and NetworkManager, DUID", "350101" "3d13" "ffebff0001000100012a2a2a2a0200000000" "01" "390205c0"
		"370a01031c060c0f1a2a2179" "ff", BR_DHCP_OS },
	{ "udhcpc", "350101" "3d0701b827eb010203" "39020240" "370701030c0f060f1c" "ff", BR_DHCP_OS },
	{ "dhclient of Debian, which has neither", "350101" "0c0470693037" "370d011c02030f06770c2c2f1a792a" "ff", BR_DHCP_OS },
	{ "dhclient set otherwise", "350101" "0c0470693037" "3704011c0203" "ff", BR_DHCP_OTHER },
	{ "PC BIOS", "350101" "3c20" PI_CLASS_HEX "5d020000" "5e03010201" "6111004c4c4544004b3510805ac2c04f4e3132" "3704010306" "2b"
		"390204ec" "ff", BR_DHCP_OTHER },
	{ "bare", "350101" "ff", BR_DHCP_OTHER },
};

static void clients_are_told_by_shape(void **state)
{
	struct br_dhcp_reply reply;
	struct br_dhcp_message m;

	for (size_t i = 0; i < BR_ARRAY_SIZE(clients); i++) {
		memset(&w.client, 0, sizeof(w.client));
		assert_int_equal(ask_plain(clients[i].hex, &reply, &m), 1);
		if (w.client.kind != clients[i].kind)
			fail_msg("%s: taken for %s", clients[i].what, br_dhcp_client_name(w.client.kind));
	}
	assert_string_equal(br_dhcp_client_name(BR_DHCP_BOOTCODE), "bootcode");
	assert_string_equal(br_dhcp_client_name(99), "other");
	assert_true(br_dhcp_client_is_firmware(BR_DHCP_EEPROM));
	assert_false(br_dhcp_client_is_firmware(BR_DHCP_KERNEL));
}

/* What shows that a flashed system is up: any client that is not on its way to one. */
static void systems_are_told_from_what_boots(void **state)
{
	static const struct {
		enum br_dhcp_client_kind kind;
		const char *class;
		bool system;
	} cases[] = {
		{ BR_DHCP_OS, "dhcpcd-9.4", true }, { BR_DHCP_OTHER, "", true }, { BR_DHCP_OTHER, "udhcp 1.36.1", true },
		{ BR_DHCP_OTHER, "PXEClient:Arch:00000:UNDI:002001", false }, { BR_DHCP_OTHER, "HTTPClient:Arch:00019", false },
		{ BR_DHCP_ROM, "", false }, { BR_DHCP_EEPROM, "", false }, { BR_DHCP_UBOOT, "bramble.4-b", false },
		{ BR_DHCP_IPXE, "", false }, { BR_DHCP_KERNEL, "", false }, { BR_DHCP_INITRAMFS, "", false },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_dhcp_client c = { .kind = cases[i].kind };

		snprintf(c.vendor_class, sizeof(c.vendor_class), "%s", cases[i].class);
		if (br_dhcp_client_may_be_system(&c) != cases[i].system)
			fail_msg("case %zu", i);
	}
}

static void what_a_client_says_is_cleaned(void **state)
{
	struct br_dhcp_reply reply;
	struct br_dhcp_message m;

	assert_int_equal(ask_plain(EEPROM(GUID_NEW), &reply, &m), 1);
	assert_int_equal(w.client.guid.serial, 0x91cdf03d);
	assert_int_equal(w.client.guid.revision, 0xd03114);
	assert_string_equal(w.client.vendor_class, PI_CLASS);
	assert_int_equal(w.client.xid, 0x26f30339);
	assert_int_equal(ask_plain("350101" "0c04611b5b62" "3204c0000201" "ff", &reply, &m), 1);
	assert_string_equal(w.client.host_name, "a?[b");
	assert_int_equal(w.client.wanted_ip, 0xc0000201);
	assert_string_equal(w.client.model, "");
	assert_int_equal(ask_plain("350101" "3c106272616d626c652e332d622d706c7573" "ff", &reply, &m), 1);
	assert_string_equal(w.client.model, "3-b-plus");
	assert_int_equal(ask_plain("350101" "3c1177616c742e6e6f64652e7270692d342d62" "ff", &reply, &m), 1);
	assert_string_equal(w.client.model, "rpi-4-b");
}

/* Every byte and the order of the OFFER that all firmware takes (wire notes 1.4). */
static void firmware_gets_the_best_single_offer(void **state)
{
	static const char *const asking[] = { S0(GUID_44), S0(GUID_SERIAL), S1(GUID_SERIAL), EEPROM(GUID_NEW), EEPROM(GUID_OLD) };
	static const uint8_t order[] = { 53, 54, 51, 1, 3, 6, 60, 97, 43, 66 };
	static const uint8_t vendor[] = "\x06\x01\x03\x0a\x04\x00PXE\x09\x17\x00\x00\x14Raspberry Pi Boot   \xff";
	struct br_dhcp_reply reply;
	struct br_dhcp_message m;
	struct br_mac mac = base_header().chaddr;
	uint32_t v = 0;

	for (size_t i = 0; i < BR_ARRAY_SIZE(asking); i++) {
		assert_int_equal(ask_plain(asking[i], &reply, &m), 1);
		assert_int_equal(m.type, BR_DHCP_OFFER);
		assert_int_equal(m.n_order, sizeof(order));
		assert_memory_equal(m.order, order, sizeof(order));
		assert_int_equal(sizeof(vendor) - 1, 35);
		assert_true(br_dhcp_option_is(&m, 43, vendor, 35));
		assert_true(br_dhcp_option_is(&m, 66, "10.77.0.1", 9));
		assert_true(br_dhcp_option_is(&m, 60, "PXEClient", 9));
		assert_true(br_dhcp_has(&m, 97));
		assert_int_equal(br_dhcp_option_ip(&m, 54), SERVER);
		assert_int_equal(br_dhcp_option_ip(&m, 1), 0xffffff00);
		assert_int_equal(br_dhcp_option_ip(&m, 3), 0x0a4d00fe);
		assert_int_equal(br_dhcp_option_ip(&m, 6), 0x09090909);
		assert_true(br_dhcp_option_u32(&m, 51, &v));
		assert_int_equal(v, 600);
		assert_int_equal(m.h.siaddr, SERVER);
		assert_int_equal(m.h.yiaddr, OURS);
		assert_int_equal(m.h.ciaddr, 0);
		assert_int_equal(m.h.xid, 0x26f30339);
		assert_string_equal(m.h.sname, "");
		assert_string_equal(m.h.file, "");
		assert_true(reply.len >= BR_DHCP_REPLY_MIN);
		assert_int_equal(reply.to_ip, OURS);
		assert_int_equal(reply.to_port, 68);
		assert_true(br_mac_equal(reply.to_mac, mac));
		assert_int_equal(w.report, BR_DHCP_REPORT_OFFER);
		assert_int_equal(w.report_ip, OURS);
	}
	/* the GUID comes back byte by byte, also the one of the 3B ROM */
	assert_int_equal(ask_plain(S0(GUID_44), &reply, &m), 1);
	assert_true(br_dhcp_option_is(&m, 97, "\0DDDDDDDDDDDDDDDD", 17));
}

static void only_the_3b_rom_is_nudged(void **state)
{
	struct br_dhcp_reply reply;
	struct br_dhcp_message m;
	struct br_dhcp_header h = base_header();

	assert_int_equal(ask_plain(S0(GUID_44), &reply, &m), 1);
	assert_int_equal(reply.nudge_ns[0], NOW + 600 * BR_MS);
	assert_int_equal(reply.nudge_ns[1], NOW + 1200 * BR_MS);
	assert_int_equal(ask_plain(S0(GUID_SERIAL), &reply, &m), 1);
	assert_int_equal(reply.nudge_ns[0], 0);
	assert_int_equal(reply.nudge_ns[1], 0);
	h.giaddr = 0x0a4d0009;
	assert_int_equal(ask(&h, S0(GUID_44), &reply, &m), 1);
	assert_int_equal(reply.nudge_ns[0], 0);
}

static void a_stranger_gets_an_address_and_no_more(void **state)
{
	static const uint8_t order[] = { 53, 54, 51, 1, 3, 6 };
	struct br_dhcp_reply reply;
	struct br_dhcp_message m;

	w.grant.boot = false;
	assert_int_equal(ask_plain(EEPROM(GUID_NEW), &reply, &m), 1);
	assert_int_equal(m.n_order, sizeof(order));
	assert_memory_equal(m.order, order, sizeof(order));
	assert_int_equal(m.h.siaddr, 0);
	assert_int_equal(m.h.yiaddr, OURS);
	assert_int_equal(ask_plain(KERNEL, &reply, &m), 1);
	assert_false(br_dhcp_has(&m, 17));
}

static void the_kernel_gets_its_root(void **state)
{
	static const uint8_t order[] = { 53, 54, 51, 1, 3, 6, 28, 12, 17 };
	static const char *const asking[] = { KERNEL, KERNEL_42, KLIBC };
	struct br_dhcp_reply reply;
	struct br_dhcp_message m;
	char text[64];

	for (size_t i = 0; i < BR_ARRAY_SIZE(asking); i++) {
		assert_int_equal(ask_plain(asking[i], &reply, &m), 1);
		assert_int_equal(m.n_order, sizeof(order));
		assert_memory_equal(m.order, order, sizeof(order));
		assert_int_equal(br_dhcp_option_ip(&m, 28), 0x0a4d00ff);
		assert_string_equal(br_dhcp_option_text(&m, 12, text, sizeof(text)), "pi07");
		assert_string_equal(br_dhcp_option_text(&m, 17, text, sizeof(text)), "10.77.0.1:/pi07,vers=3");
		assert_int_equal(m.h.siaddr, SERVER);
		assert_true(reply.len >= BR_DHCP_REPLY_MIN);
	}
	w.grant.host_name[0] = w.grant.root_path[0] = 0;
	assert_int_equal(ask_plain(KERNEL, &reply, &m), 1);
	assert_false(br_dhcp_has(&m, 12));
	assert_false(br_dhcp_has(&m, 17));
	/* the longest of both still fits, beyond the 548 bytes of RFC 2131 */
	memset(w.grant.host_name, 'h', 63);
	memset(w.grant.root_path, 'r', 255);
	assert_int_equal(ask_plain(KERNEL, &reply, &m), 1);
	assert_int_equal(m.len[17], 255);
}

static void loaders_get_siaddr_and_no_pi_item(void **state)
{
	struct br_dhcp_reply reply;
	struct br_dhcp_message m;

	for (size_t i = 0; i < BR_ARRAY_SIZE(clients); i++) {
		if (clients[i].kind != BR_DHCP_UBOOT && clients[i].kind != BR_DHCP_UEFI && clients[i].kind != BR_DHCP_IPXE)
			continue;
		assert_int_equal(ask_plain(clients[i].hex, &reply, &m), 1);
		assert_int_equal(m.h.siaddr, SERVER);
		assert_false(br_dhcp_has(&m, 43));
		assert_false(br_dhcp_has(&m, 66));
		assert_int_equal(br_dhcp_has(&m, 60), w.client.http); /* UEFI takes a URL from none else */
		assert_int_equal(br_dhcp_has(&m, 175), clients[i].kind == BR_DHCP_IPXE);
		if (clients[i].kind == BR_DHCP_IPXE)
			assert_true(br_dhcp_option_is(&m, 175, "\xb0\x01\x01", 3));
	}
}

static void loaders_say_which_processor_they_are(void **state)
{
	static const struct {
		const char *hex;
		uint16_t arch;
	} cases[] = {
		{ "350101" "3c0c552d426f6f742e61726d7638" "5d020016" "ff", 22 },
		{ "350101" "3c20505845436c69656e743a417263683a30303031313a554e44493a303033303030" "5d020007" "ff", 7 },
		{ "350101" "3c20505845436c69656e743a417263683a30303031313a554e44493a303033303030" "ff", 11 },
		{ "350101" "3c16" "48545450436c69656e743a417263683a30303031393a" "ff", 19 },
		{ "350101" "3c0b48545450436c69656e743a" "ff", 0 },
		{ "350101" "3c12" "505845436c69656e743a417263683a787878" "ff", 0 },
		{ "350101" "ff", 0 },
	};
	struct br_dhcp_reply reply;
	struct br_dhcp_message m;

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		memset(&w.client, 0, sizeof(w.client));
		assert_int_equal(ask_plain(cases[i].hex, &reply, &m), 1);
		assert_int_equal(w.client.arch, cases[i].arch);
	}
}

static void the_os_gets_what_it_asks_for(void **state)
{
	static const uint8_t id[] = { 1, 0xb8, 0x27, 0xeb, 1, 2, 3 };
	struct br_dhcp_reply reply;
	struct br_dhcp_message m;

	assert_int_equal(ask_plain("350101" "3d0701b827eb010203" "390205c0" "370401030c1c" "ff", &reply, &m), 1);
	assert_true(br_dhcp_has(&m, 12));
	assert_true(br_dhcp_has(&m, 28));
	assert_false(br_dhcp_has(&m, 17));
	assert_int_equal(m.h.siaddr, 0);
	assert_true(br_dhcp_option_is(&m, 61, id, sizeof(id))); /* RFC 6842 */
	assert_int_equal(ask_plain("350101" "3d0701b827eb010203" "390205c0" "37020103" "ff", &reply, &m), 1);
	assert_false(br_dhcp_has(&m, 12));
	assert_false(br_dhcp_has(&m, 28));
}

static void optional_settings_are_left_out(void **state)
{
	const struct br_dhcp_options opt = { .server_ip = SERVER, .prefix = 32, .ops = &ops, .ctx = &w };
	struct br_dhcp_server *other = NULL;
	struct br_dhcp_reply reply;
	struct br_dhcp_message m;

	br_dhcp_server_free(server);
	assert_int_equal(br_dhcp_server_new(&opt, &server), 0);
	w.grant.lease_s = 0;
	assert_int_equal(ask_plain(KERNEL, &reply, &m), 1);
	assert_false(br_dhcp_has(&m, 3));
	assert_false(br_dhcp_has(&m, 6));
	assert_false(br_dhcp_has(&m, 28));
	assert_true(br_dhcp_option_is(&m, 51, "\0\0\x0e\x10", 4));
	assert_int_equal(br_dhcp_server_ip(server), SERVER);
	assert_int_equal(br_dhcp_server_new(&(struct br_dhcp_options){ .prefix = 24, .ops = &ops }, &other), -EINVAL);
	assert_int_equal(br_dhcp_server_new(&(struct br_dhcp_options){ .server_ip = 1, .ops = &ops }, &other), -EINVAL);
	assert_int_equal(br_dhcp_server_new(&(struct br_dhcp_options){ .server_ip = 1, .prefix = 33, .ops = &ops }, &other),
		-EINVAL);
	assert_int_equal(br_dhcp_server_new(&(struct br_dhcp_options){ .server_ip = 1, .prefix = 8 }, &other), -EINVAL);
	assert_null(other);
}

#define NONE 0xff
#define WANT(ip) "3204" ip
#define SELECT(ip) "3604" ip

/* RFC 2131 4.3, one decision a line. */
static const struct {
	const char *what, *hex;
	uint32_t ciaddr;
	int address_r;
	uint8_t reply; /* message type, 0 for silence */
	uint8_t report;
} decisions[] = {
	{ "DISCOVER", "350101ff", 0, 0, BR_DHCP_OFFER, BR_DHCP_REPORT_OFFER },
	{ "DISCOVER, not ours", "350101ff", 0, -ENOENT, 0, NONE },
	{ "DISCOVER, range full", "350101ff", 0, -ENOSPC, 0, NONE },
	{ "SELECTING us", "350103" WANT("0a4d0015") SELECT("0a4d0001") "ff", 0, 0, BR_DHCP_ACK, BR_DHCP_REPORT_ACK },
	{ "SELECTING another", "350103" WANT("0a4d0015") SELECT("0a4d0002") "ff", 0, 0, 0, BR_DHCP_REPORT_ELSEWHERE },
	{ "SELECTING, other address", "350103" WANT("0a4d0016") SELECT("0a4d0001") "ff", 0, 0, BR_DHCP_NAK, BR_DHCP_REPORT_NAK },
	{ "SELECTING, never offered", "350103" WANT("0a4d0015") SELECT("0a4d0001") "ff", 0, -ENOENT, BR_DHCP_NAK,
		BR_DHCP_REPORT_NAK },
	{ "SELECTING, storage broken", "350103" WANT("0a4d0015") SELECT("0a4d0001") "ff", 0, -EIO, 0, NONE },
	{ "SELECTING without address", "350103" SELECT("0a4d0001") "ff", 0, 0, 0, NONE },
	{ "INIT-REBOOT", "350103" WANT("0a4d0015") "ff", 0, 0, BR_DHCP_ACK, BR_DHCP_REPORT_ACK },
	{ "INIT-REBOOT, other address", "350103" WANT("0a4d0016") "ff", 0, 0, BR_DHCP_NAK, BR_DHCP_REPORT_NAK },
	{ "INIT-REBOOT, unknown", "350103" WANT("0a4d0015") "ff", 0, -ENOENT, 0, NONE },
	{ "INIT-REBOOT, wrong net", "350103" WANT("c0a80115") "ff", 0, -ENOENT, BR_DHCP_NAK, BR_DHCP_REPORT_NAK },
	{ "RENEW", "350103ff", OURS, 0, BR_DHCP_ACK, BR_DHCP_REPORT_ACK },
	{ "RENEW, other address", "350103ff", OURS + 1, 0, BR_DHCP_NAK, BR_DHCP_REPORT_NAK },
	{ "RENEW, unknown", "350103ff", OURS, -ENOENT, 0, NONE },
	{ "REQUEST of nothing", "350103ff", 0, 0, 0, NONE },
	{ "REQUEST of 0.0.0.0", "350103" WANT("00000000") "ff", 0, 0, 0, NONE },
	{ "DECLINE", "350104" WANT("0a4d0015") SELECT("0a4d0001") "ff", 0, 0, 0, BR_DHCP_REPORT_DECLINE },
	{ "DECLINE to another", "350104" WANT("0a4d0015") SELECT("0a4d0002") "ff", 0, 0, 0, NONE },
	{ "DECLINE of a foreign address", "350104" WANT("0a4d0016") SELECT("0a4d0001") "ff", 0, 0, 0, NONE },
	{ "DECLINE, unknown", "350104" WANT("0a4d0015") SELECT("0a4d0001") "ff", 0, -ENOENT, 0, NONE },
	{ "RELEASE", "350107" SELECT("0a4d0001") "ff", OURS, 0, 0, BR_DHCP_REPORT_RELEASE },
	{ "RELEASE of a foreign address", "350107" SELECT("0a4d0001") "ff", OURS + 1, 0, 0, NONE },
	{ "RELEASE of nothing", "350107" SELECT("0a4d0001") "ff", 0, 0, 0, NONE },
	{ "INFORM", "350108ff", OURS, 0, BR_DHCP_ACK, BR_DHCP_REPORT_ACK },
	{ "INFORM, own address", "350108ff", OURS + 9, -ENOENT, BR_DHCP_ACK, NONE },
	{ "INFORM, wrong net", "350108ff", 0xc0a80115, 0, 0, NONE },
	{ "INFORM without address", "350108ff", 0, 0, 0, NONE },
	{ "OFFER of somebody", "350102ff", 0, 0, 0, NONE },
	{ "type 0", "350100ff", 0, 0, 0, NONE },
	{ "lease query", "35010aff", 0, 0, 0, NONE },
	{ "type 255", "3501ffff", 0, 0, 0, NONE },
};

static void rfc_2131_is_followed(void **state)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(decisions); i++) {
		struct br_dhcp_header h = base_header();
		struct br_dhcp_reply reply;
		struct br_dhcp_message m = { 0 };
		int r;

		h.ciaddr = decisions[i].ciaddr;
		w.r = decisions[i].address_r;
		w.reports = w.offers = 0;
		r = ask(&h, decisions[i].hex, &reply, &m);
		if (r != !!decisions[i].reply || m.type != decisions[i].reply)
			fail_msg("%s: %d, %s", decisions[i].what, r, br_dhcp_type_name(m.type));
		if (w.reports != (decisions[i].report != NONE) || (w.reports && w.report != decisions[i].report))
			fail_msg("%s: %u reports, of %d", decisions[i].what, w.reports, w.report);
		/* only a DISCOVER may make an address */
		assert_true(w.offers == 0 || i < 3);
	}
}

static void a_nak_says_why(void **state)
{
	struct br_dhcp_reply reply;
	struct br_dhcp_message m;
	char text[80];

	assert_int_equal(ask_plain("350103" WANT("c0a80115") "3d0101" "ff", &reply, &m), 1);
	assert_string_equal(br_dhcp_option_text(&m, 56, text, sizeof(text)), "address of another network");
	assert_string_equal(w.reason, "address of another network");
	assert_int_equal(w.report_ip, 0xc0a80115);
	assert_int_equal(reply.to_ip, 0xffffffff);
	assert_int_equal(reply.to_mac.b[0], 0xff);
	assert_int_equal(m.h.yiaddr, 0);
	assert_false(br_dhcp_has(&m, 51));
	assert_true(br_dhcp_has(&m, 61));
	assert_int_equal(ask_plain("350104" WANT("0a4d0015") "3803" "621b21" "ff", &reply, &m), 0);
	assert_string_equal(w.reason, "b?!");
}

static void an_inform_gets_no_lease(void **state)
{
	struct br_dhcp_header h = base_header();
	struct br_dhcp_reply reply;
	struct br_dhcp_message m;

	h.ciaddr = OURS;
	assert_int_equal(ask(&h, "350108" "370401030c1c" "ff", &reply, &m), 1);
	assert_false(br_dhcp_has(&m, 51));
	assert_int_equal(m.h.yiaddr, 0);
	assert_int_equal(m.h.ciaddr, OURS);
	assert_int_equal(reply.to_ip, OURS);
	assert_true(br_mac_is_zero(reply.to_mac));
}

/* RFC 2131 4.1. */
static void replies_go_where_they_should(void **state)
{
	static const struct {
		const char *what, *hex;
		uint32_t ciaddr, giaddr;
		bool broadcast;
		uint32_t to_ip;
		uint16_t to_port;
		uint8_t to_mac0; /* its first byte */
		bool flag;	 /* in the reply */
	} cases[] = {
		{ "no address yet", "350101ff", 0, 0, false, OURS, 68, 0xb8, false },
		{ "wants broadcast", "350101ff", 0, 0, true, 0xffffffff, 68, 0xff, true },
		{ "relayed", "350101ff", 0, 0x0a4d0009, false, 0x0a4d0009, 67, 0, false },
		{ "relayed, wants broadcast", "350101ff", 0, 0x0a4d0009, true, 0x0a4d0009, 67, 0, true },
		{ "renewing", "350103ff", OURS, 0, false, OURS, 68, 0, false },
		{ "renewing, wants broadcast", "350103ff", OURS, 0, true, OURS, 68, 0, true },
		{ "NAK", "350103" WANT("01020304") "ff", 0, 0, false, 0xffffffff, 68, 0xff, false },
		{ "NAK, renewing", "350103ff", OURS + 1, 0, false, 0xffffffff, 68, 0xff, false },
		{ "NAK, relayed", "350103" WANT("01020304") "ff", 0, 0x0a4d0009, false, 0x0a4d0009, 67, 0, true },
		{ "DISCOVER that names a victim", "350101ff", 0x08080808, 0, false, OURS, 68, 0xb8, false },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_dhcp_header h = base_header();
		struct br_dhcp_reply reply;
		struct br_dhcp_message m;

		h.ciaddr = cases[i].ciaddr;
		h.giaddr = cases[i].giaddr;
		h.broadcast = cases[i].broadcast;
		assert_int_equal(ask(&h, cases[i].hex, &reply, &m), 1);
		if (reply.to_ip != cases[i].to_ip || reply.to_port != cases[i].to_port || reply.to_mac.b[0] != cases[i].to_mac0)
			fail_msg("%s: to %08x:%u %02x", cases[i].what, reply.to_ip, reply.to_port, reply.to_mac.b[0]);
		assert_int_equal(m.h.broadcast, cases[i].flag);
		assert_int_equal(m.h.giaddr, cases[i].giaddr);
	}
}

static void relays_get_their_option_back(void **state)
{
	struct br_dhcp_header h = base_header();
	struct br_dhcp_reply reply;
	struct br_dhcp_message m;

	h.giaddr = 0x0a4d0009;
	h.hops = 1;
	assert_int_equal(ask(&h, "350101" "5208" "0102aabb0202ccdd" "ff", &reply, &m), 1);
	assert_true(br_dhcp_option_is(&m, 82, "\x01\x02\xaa\xbb\x02\x02\xcc\xdd", 8));
	assert_int_equal(m.order[m.n_order - 1], 82);
	assert_int_equal(m.h.hops, 0);
	assert_int_equal(w.client.relay_ip, 0x0a4d0009);
	h.giaddr = 0xc0a80101; /* a subnet we have no range for */
	assert_int_equal(ask(&h, "350101ff", &reply, &m), 0);
}

static void packets_are_no_larger_than_wanted(void **state)
{
	static const struct {
		const char *size; /* option 57 */
		int r;
	} cases[] = {
		{ "", 0 }, { "39020010", 0 }, { "39020240", 0 }, { "390205dc", 1 }, { "3902ffff", 1 }, { "390105", 0 },
	};
	struct br_dhcp_header h = base_header();
	struct br_dhcp_reply reply;
	struct br_dhcp_message m;

	h.giaddr = 0x0a4d0009;
	/* a client identifier and a relay option so long that 548 bytes do not hold the reply: silence, not half of it */
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		char hex[800];
		int n = snprintf(hex, sizeof(hex), "350101%s3d40%0128d52f0%0480dff", cases[i].size, 0, 0);

		assert_true(n < (int)sizeof(hex));
		w.reports = 0;
		assert_int_equal(ask(&h, hex, &reply, &m), cases[i].r);
		assert_int_equal(w.reports, cases[i].r);
	}
}

static void hostile_packets_are_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t v;
	} broken[] = {
		{ 0, 2 },    /* a reply */
		{ 0, 9 },    /* no operation */
		{ 1, 6 },    /* token ring */
		{ 2, 16 },   /* hlen */
		{ 28, 1 },   /* multicast MAC */
		{ 236, 1 },  /* cookie */
		{ 241, 9 },  /* option over the end */
		{ 12, 127 }, /* ciaddr of ourselves */
		{ 12, 240 }, /* no host */
	};
	uint8_t buf[BR_DHCP_PACKET_MAX];
	struct br_dhcp_header h = base_header();
	struct br_dhcp_reply reply;
	size_t n;

	for (size_t i = 0; i < BR_ARRAY_SIZE(broken); i++) {
		n = build(buf, &h, "350101ff");
		buf[broken[i].at] = broken[i].v;
		if (br_dhcp_handle(server, buf, n, NOW, &reply) != -EBADMSG)
			fail_msg("byte %zu = %u is taken", broken[i].at, broken[i].v);
	}
	h.chaddr = (struct br_mac){ 0 };
	n = build(buf, &h, "350101ff");
	assert_int_equal(br_dhcp_handle(server, buf, n, NOW, &reply), -EBADMSG);
	h = base_header();
	h.ciaddr = SERVER;
	n = build(buf, &h, "350103ff");
	assert_int_equal(br_dhcp_handle(server, buf, n, NOW, &reply), -EBADMSG);
	assert_int_equal(br_dhcp_handle(server, buf, 0, NOW, &reply), -EBADMSG);
	assert_int_equal(w.asked, 0);
	assert_int_equal(w.reports, 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(clients_are_told_by_shape),
		T(systems_are_told_from_what_boots),
		T(what_a_client_says_is_cleaned),
		T(firmware_gets_the_best_single_offer),
		T(only_the_3b_rom_is_nudged),
		T(a_stranger_gets_an_address_and_no_more),
		T(the_kernel_gets_its_root),
		T(loaders_get_siaddr_and_no_pi_item),
		T(loaders_say_which_processor_they_are),
		T(the_os_gets_what_it_asks_for),
		T(optional_settings_are_left_out),
		T(rfc_2131_is_followed),
		T(a_nak_says_why),
		T(an_inform_gets_no_lease),
		T(replies_go_where_they_should),
		T(relays_get_their_option_back),
		T(packets_are_no_larger_than_wanted),
		T(hostile_packets_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

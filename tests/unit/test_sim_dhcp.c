/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "sim/dhcp_client.h"
#include "sim/firmware.h"

#define SERVER 0x0a4d0001u
#define XID    0x11223344u

static const struct br_mac mac = { { 0xe4, 0x5f, 0x01, 0x09, 0x02, 0xf7 } };

static void start(struct br_sim_dhcp *d, const char *model, const struct br_sim_dhcp_style *style)
{
	uint8_t guid[17];

	br_sim_guid(br_sim_model_by_id(model), NULL, mac, 0xa2ef5644, guid);
	br_sim_dhcp_start(d, style, mac, guid, XID, 0);
}

/* The options after header and cookie, as the dumps have them (wire facts 1.2, 1.3). */
static void discovers_are_those_of_the_dumps(void **state)
{
#define UNDI "505845436c69656e743a417263683a30303030303a554e44493a303032303031"
	static const struct {
		const char *model;
		const struct br_sim_dhcp_style *style;
		uint32_t xid;
		size_t len;
		const char *options;
	} cases[] = {
		{ "3b", &br_sim_dhcp_rom_3b, 0x26f30339, 320,
			"350101" "370c2b3c438081828384858687" "42" "5d020000" "5e03010201"
			"6111" "00" "44444444444444444444444444444444" "3c20" UNDI "ff" },
		{ "3b+", &br_sim_dhcp_rom_3bp, 0x26f30339, 320,
			"350101" "370c2b3c43808182838485868742" "5d020000" "5e03010201"
			"6111" "00" "4456efa24456efa24456efa24456efa2" "3c20" UNDI "ff" },
		{ "3b+", &br_sim_dhcp_bootcode, 0x26f30339, 322,
			"350101" "370e2b3c438081828384858687420103" "5d020000" "5e03010201"
			"6111" "00" "4456efa24456efa24456efa24456efa2" "3c20" UNDI "ff" },
		{ "4", &br_sim_dhcp_eeprom, XID, 322,
			"350101" "370e01032b3c42438081828384858687" "3c20" UNDI "5d020000" "5e03010201"
			"6111" "00" "34695052" "1431d000" "010902f7" "4456efa2" "ff" },
		{ "5", &br_sim_dhcp_eeprom, XID, 322,
			"350101" "370e01032b3c42438081828384858687" "3c20" UNDI "5d020000" "5e03010201"
			"6111" "00" "35695052" "7041d000" "010902f7" "4456efa2" "ff" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_sim_dhcp d;
		uint8_t out[BR_SIM_DHCP_MAX], zeros[202] = { 0 };
		char hex[2 * BR_SIM_DHCP_MAX + 1];
		size_t n;

		start(&d, cases[i].model, cases[i].style);
		n = br_sim_dhcp_poll(&d, 0, out);
		assert_int_equal(n, cases[i].len);
		assert_int_equal(br_load_be32(out), 0x01010600);
		assert_int_equal(br_load_be32(out + 4), cases[i].xid);
		assert_memory_equal(out + 8, zeros, 20); /* secs, flags 0, no address */
		assert_memory_equal(out + 28, mac.b, 6);
		assert_memory_equal(out + 34, zeros, 202);
		assert_int_equal(br_load_be32(out + 236), 0x63825363);
		br_hex(hex, out + 240, n - 240);
		assert_string_equal(hex, cases[i].options);
	}
}

struct offer {
	uint32_t yiaddr;
	const char *options; /* hex, after option 53 */
	uint32_t xid;	     /* 0: the right one */
	uint8_t type, hops;
};

static size_t make_reply(const struct br_sim_dhcp *d, const struct offer *o, uint8_t buf[600])
{
	size_t n = strlen(o->options) / 2;

	memset(buf, 0, 600);
	br_store_be32(buf, 0x02010600u | o->hops);
	br_store_be32(buf + 4, o->xid ? o->xid : d->xid);
	br_store_be32(buf + 16, o->yiaddr);
	br_store_be32(buf + 20, SERVER);
	memcpy(buf + 28, mac.b, 6);
	br_store_be32(buf + 236, 0x63825363);
	buf[240] = 53;
	buf[241] = 1;
	buf[242] = o->type ? o->type : 2;
	assert_int_equal(br_unhex(buf + 243, n, o->options), 0);
	buf[243 + n] = 255;
	return 244 + n < 300 ? 300 : 244 + n;
}

#define OPT66	"420931302e37372e302e31"
#define OPT66_2 "420931302e37372e302e32"
#define OPT43	"2b20" "060103" "0a0400505845" "0914000011" "52617370626572727920506920426f6f74" "ff"
#define OPT43_3 "2b23" "060103" "0a0400505845" "0917000014" "52617370626572727920506920426f6f74202020" "ff"
#define OPT43_BARE "2b11" "52617370626572727920506920426f6f74"
#define OPT43_X86  "2b0b" "0908000005" "5838365043" "ff"

static void each_stage_takes_what_it_understands(void **state)
{
	static const struct br_sim_dhcp_style *const rom3 = &br_sim_dhcp_rom_3bp, *const eeprom = &br_sim_dhcp_eeprom;
	static const struct {
		const struct br_sim_dhcp_style *style;
		struct offer offer;
		bool taken;
		uint32_t tftp;
	} cases[] = {
		{ rom3, { 0x0a4d0064, OPT66 }, true, SERVER },
		{ rom3, { 0x0a4d0064, OPT43 }, true, SERVER },
		{ rom3, { 0x0a4d0064, OPT43_BARE }, true, SERVER },
		{ rom3, { 0x0a4d0064, OPT43 OPT66_2 }, true, SERVER + 1 },
		{ rom3, { 0x0a4d0064, OPT66_2 OPT43 }, true, SERVER }, /* the last wins */
		{ rom3, { 0x0a4d0064, "" }, false, 0 },			/* siaddr alone */
		{ rom3, { 0x0a4d0064, OPT66, 0x1234 }, false, 0 },	/* another xid */
		{ rom3, { 0x0a4d0064, OPT66, 0, 5 }, false, 0 },	/* an ACK: none was asked for */
		{ rom3, { 0x0a4d0064, OPT66, 0, 2, 1 }, true, SERVER }, /* relayed */
		{ rom3, { 0x0a4d0064, "4203666f6f" }, false, 0 },	/* a name */
		{ eeprom, { 0x0a4d0064, OPT66 }, true, SERVER },
		{ eeprom, { 0x0a4d0064, OPT43_3 }, true, SERVER },
		{ eeprom, { 0x0a4d0064, OPT43_BARE }, false, 0 },
		{ eeprom, { 0x0a4d0064, OPT43_X86 }, false, 0 },
		{ eeprom, { 0x0a4d0064, OPT66_2 OPT43 }, true, SERVER + 1 },
		{ eeprom, { 0, OPT43 }, false, 0 }, /* a proxy alone */
		{ eeprom, { 0x0a4d0064, "42ff" }, false, 0 }, /* a length that lies */
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_sim_dhcp d;
		uint8_t out[BR_SIM_DHCP_MAX], in[600];

		start(&d, "4", cases[i].style);
		br_sim_dhcp_poll(&d, 0, out);
		br_sim_dhcp_input(&d, BR_MS, in, make_reply(&d, &cases[i].offer, in), SERVER);
		assert_int_equal(d.state != BR_SIM_DHCP_DISCOVER, cases[i].taken);
		if (cases[i].taken)
			assert_int_equal(d.tftp, cases[i].tftp);
	}
}

static void the_eeprom_requests_what_it_was_offered(void **state)
{
	struct offer offer = { 0x0a4d0064, "36040a4d0001" OPT66 }, ack = { 0x0a4d0064, "36040a4d0001", 0, 5 },
		     nak = { 0, "36040a4d0001", 0, 6 };
	struct br_sim_dhcp d;
	uint8_t out[BR_SIM_DHCP_MAX], in[600];
	char hex[200];

	start(&d, "4", &br_sim_dhcp_eeprom);
	br_sim_dhcp_poll(&d, 0, out);
	br_sim_dhcp_input(&d, BR_MS, in, make_reply(&d, &offer, in), SERVER);
	assert_int_equal(br_sim_dhcp_poll(&d, BR_MS, out), 309);
	assert_int_equal(br_load_be32(out + 20), SERVER); /* siaddr copied */
	br_hex(hex, out + 240, 15);
	assert_string_equal(hex, "350103" "32040a4d0064" "36040a4d0001");
	assert_int_equal(out[255], 60);
	assert_int_equal(out[255 + 34], 97);
	assert_int_equal(out[308], 255);
	br_sim_dhcp_input(&d, 2 * BR_MS, in, make_reply(&d, &ack, in), SERVER);
	assert_int_equal(d.state, BR_SIM_DHCP_BOUND);
	assert_int_equal(d.tftp, SERVER); /* not lost, though the ACK has no 66 */

	start(&d, "4", &br_sim_dhcp_eeprom);
	br_sim_dhcp_poll(&d, 0, out);
	br_sim_dhcp_input(&d, BR_MS, in, make_reply(&d, &offer, in), SERVER);
	br_sim_dhcp_poll(&d, BR_MS, out);
	br_sim_dhcp_input(&d, 2 * BR_MS, in, make_reply(&d, &nak, in), SERVER);
	assert_true(br_sim_dhcp_poll(&d, 10 * BR_S, out) > 0); /* from the start */
	assert_int_equal(out[242], 1);
}

static void a_proxy_and_an_address_server_go_together(void **state)
{
	struct offer address = { 0x0a4d0064, "36040a4d0001" }, proxy = { 0, "36040a4d0002" OPT43 };

	for (int proxy_first = 0; proxy_first < 2; proxy_first++) {
		struct br_sim_dhcp d;
		uint8_t out[BR_SIM_DHCP_MAX], in[600];

		start(&d, "4", &br_sim_dhcp_eeprom);
		br_sim_dhcp_poll(&d, 0, out);
		for (int i = 0; i < 2; i++) {
			bool p = (i == 0) == (proxy_first == 1);

			br_sim_dhcp_input(&d, BR_MS, in, make_reply(&d, p ? &proxy : &address, in), p ? SERVER + 1 : SERVER);
		}
		assert_int_equal(d.state, BR_SIM_DHCP_REQUEST);
		assert_int_equal(d.server_id, SERVER);
		assert_int_equal(d.tftp, SERVER + 1);
	}
}

static void they_give_up_in_time(void **state)
{
	static const struct {
		const struct br_sim_dhcp_style *style;
		unsigned n;
		uint64_t end_ns;
	} cases[] = {
		{ &br_sim_dhcp_rom_3bp, 5, 25 * BR_S },
		{ &br_sim_dhcp_eeprom, 12, 45 * BR_S },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_sim_dhcp d;
		uint8_t out[BR_SIM_DHCP_MAX];
		unsigned n = 0;
		uint64_t now = 0;

		start(&d, "4", cases[i].style);
		while (d.state == BR_SIM_DHCP_DISCOVER) {
			now = br_sim_dhcp_deadline(&d);
			n += br_sim_dhcp_poll(&d, now, out) > 0;
		}
		assert_int_equal(d.state, BR_SIM_DHCP_FAILED);
		assert_int_equal(n, cases[i].n);
		assert_int_equal(now, cases[i].end_ns);
		assert_non_null(strstr(br_sim_dhcp_why(&d), "no DHCP server answered"));
	}
}

/* Wire facts 1.5: a reply counts only when another frame follows its timer. */
static void the_3b_rom_needs_a_nudge(void **state)
{
	struct offer offer = { 0x0a4d0064, OPT43_3 }, two_spaces = { 0x0a4d0064, OPT43 };
	struct br_sim_dhcp d;
	uint8_t out[BR_SIM_DHCP_MAX], in[600];

	start(&d, "3b", &br_sim_dhcp_rom_3b);
	br_sim_dhcp_poll(&d, 0, out);
	br_sim_dhcp_input(&d, BR_MS, in, make_reply(&d, &two_spaces, in), SERVER);
	assert_int_equal(d.tftp, 0); /* the text needs three spaces at its end */
	br_sim_dhcp_input(&d, BR_MS, in, make_reply(&d, &offer, in), SERVER);
	br_sim_dhcp_frame(&d, 600 * BR_MS);
	assert_int_equal(d.state, BR_SIM_DHCP_DISCOVER);
	br_sim_dhcp_frame(&d, 1200 * BR_MS);
	assert_int_equal(d.state, BR_SIM_DHCP_BOUND);

	start(&d, "3b", &br_sim_dhcp_rom_3b);
	while (d.state == BR_SIM_DHCP_DISCOVER) {
		uint64_t now = br_sim_dhcp_deadline(&d);

		br_sim_dhcp_poll(&d, now, out);
		br_sim_dhcp_input(&d, now + BR_MS, in, make_reply(&d, &offer, in), SERVER);
	}
	assert_int_equal(d.state, BR_SIM_DHCP_FAILED);
	assert_non_null(strstr(br_sim_dhcp_why(&d), "nudge"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(discovers_are_those_of_the_dumps),
		cmocka_unit_test(each_stage_takes_what_it_understands),
		cmocka_unit_test(the_eeprom_requests_what_it_was_offered),
		cmocka_unit_test(a_proxy_and_an_address_server_go_together),
		cmocka_unit_test(they_give_up_in_time),
		cmocka_unit_test(the_3b_rom_needs_a_nudge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

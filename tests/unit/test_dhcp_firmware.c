/* SPDX-License-Identifier: Apache-2.0 */
/* The DHCP server against the DHCP clients of the virtual boards, with fake time. */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "dhcp/server.h"
#include "sim/dhcp_client.h"

#define SERVER 0x0a4d0001u
#define OURS 0x0a4d0015u

static const struct br_mac mac = { { 0xb8, 0x27, 0xeb, 9, 2, 0xf7 } };

struct play {
	struct br_dhcp_server *server;
	struct br_sim_dhcp client;
	enum br_dhcp_client_kind kind;
	bool boot, nudge;
	unsigned offers, acks;
};

static int address(void *ctx, const struct br_dhcp_client *client, bool offer, struct br_dhcp_grant *ret)
{
	struct play *p = ctx;

	p->kind = client->kind;
	*ret = (struct br_dhcp_grant){ .ip = OURS, .lease_s = 600, .boot = p->boot };
	return 0;
}

static void report(void *ctx, const struct br_dhcp_report *r)
{
	struct play *p = ctx;

	p->offers += r->kind == BR_DHCP_REPORT_OFFER;
	p->acks += r->kind == BR_DHCP_REPORT_ACK;
}

/* What is due at the client now goes to the server and back. Nudges are kept for later. */
static void exchange(struct play *p, uint64_t now_ns, uint64_t nudges[2])
{
	uint8_t packet[BR_SIM_DHCP_MAX];
	struct br_dhcp_reply reply;
	size_t n = br_sim_dhcp_poll(&p->client, now_ns, packet);

	if (!n || br_dhcp_handle(p->server, packet, n, now_ns, &reply) <= 0)
		return;
	memcpy(nudges, reply.nudge_ns, sizeof(reply.nudge_ns));
	br_sim_dhcp_frame(&p->client, now_ns);
	br_sim_dhcp_input(&p->client, now_ns, reply.packet, reply.len, SERVER);
}

static void play(struct play *p, const struct br_sim_dhcp_style *style, const struct br_pi_guid *guid, bool old_fourcc)
{
	static const struct br_dhcp_ops ops = { .address = address, .report = report };
	const struct br_dhcp_options opt = {
		.server_ip = SERVER, .prefix = 24, .router_ip = { SERVER }, .ops = &ops, .ctx = p,
	};
	uint64_t start = 5 * BR_S, nudges[2] = { 0 };
	uint8_t body[17];

	assert_int_equal(br_dhcp_server_new(&opt, &p->server), 0);
	br_pi_guid_make(guid, old_fourcc, body);
	br_sim_dhcp_start(&p->client, style, mac, body, 0x1234, start);
	for (uint64_t t = start; t < start + 60 * BR_S && p->client.state < BR_SIM_DHCP_BOUND; t += 50 * BR_MS) {
		for (int i = 0; i < 2; i++) {
			if (!p->nudge || !nudges[i] || nudges[i] > t)
				continue;
			nudges[i] = 0;
			br_sim_dhcp_frame(&p->client, t);
		}
		exchange(p, t, nudges);
	}
	br_dhcp_server_free(p->server);
}

static const struct {
	const char *what;
	const struct br_sim_dhcp_style *style;
	struct br_pi_guid guid;
	bool old_fourcc;
	enum br_dhcp_client_kind kind;
	unsigned acks;
} boards[] = {
	{ "3B ROM", &br_sim_dhcp_rom_3b, { .kind = BR_PI_GUID_ROM_3B }, false, BR_DHCP_ROM, 0 },
	{ "3B+ ROM", &br_sim_dhcp_rom_3bp, { .kind = BR_PI_GUID_SERIAL, .serial = 0x12eb0902 }, false, BR_DHCP_ROM, 0 },
	{ "bootcode.bin", &br_sim_dhcp_bootcode, { .kind = BR_PI_GUID_SERIAL, .serial = 0x12eb0902 }, false,
		BR_DHCP_BOOTCODE, 0 },
	{ "Pi 4", &br_sim_dhcp_eeprom, { BR_PI_GUID_STRUCTURED, 0x91cdf03d, 0xd03114, { 1, 9, 2, 0xf7 }, 4 }, false,
		BR_DHCP_EEPROM, 1 },
	{ "Pi 4 of 2021", &br_sim_dhcp_eeprom, { BR_PI_GUID_STRUCTURED, 0x91cdf03d, 0xa03111, { 1, 9, 2, 0xf7 }, 4 }, true,
		BR_DHCP_EEPROM, 1 },
	{ "Pi 4 of early 2020", &br_sim_dhcp_eeprom, { .kind = BR_PI_GUID_SERIAL, .serial = 0x91cdf03d }, false,
		BR_DHCP_EEPROM, 1 },
	{ "Pi 5", &br_sim_dhcp_eeprom, { BR_PI_GUID_STRUCTURED, 0x7bf18f79, 0xc04170, { 1, 9, 2, 0xf7 }, 5 }, false,
		BR_DHCP_EEPROM, 1 },
};

static void every_stage_finds_its_server(void **state)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(boards); i++) {
		struct play p = { .boot = true, .nudge = true };

		play(&p, boards[i].style, &boards[i].guid, boards[i].old_fourcc);
		if (p.client.state != BR_SIM_DHCP_BOUND)
			fail_msg("%s: %s", boards[i].what, br_sim_dhcp_why(&p.client));
		if (p.kind != boards[i].kind)
			fail_msg("%s: taken for %s", boards[i].what, br_dhcp_client_name(p.kind));
		assert_int_equal(p.client.ip, OURS);
		assert_int_equal(p.client.tftp, SERVER);
		assert_int_equal(p.client.mask, 0xffffff00);
		assert_int_equal(p.client.siaddr, SERVER);
		assert_int_equal(p.offers, 1); /* the first one was enough */
		assert_int_equal(p.acks, boards[i].acks);
		assert_int_equal(p.client.saw & BR_SIM_SAW_SHORT, 0);
	}
}

/* The test is itself tested: on a wire this quiet, the 3B ROM needs the nudge. */
static void the_3b_rom_fails_without_a_nudge(void **state)
{
	struct play p = { .boot = true, .nudge = false };

	play(&p, boards[0].style, &boards[0].guid, false);
	assert_int_equal(p.client.state, BR_SIM_DHCP_FAILED);
	assert_true(p.client.saw & BR_SIM_SAW_UNHEARD);
}

/* A board that is to boot locally gets an address, but is not sent to our files. */
static void no_boot_means_no_server(void **state)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(boards); i++) {
		struct play p = { .boot = false, .nudge = true };

		play(&p, boards[i].style, &boards[i].guid, boards[i].old_fourcc);
		assert_int_equal(p.client.state, BR_SIM_DHCP_FAILED);
		assert_int_equal(p.client.tftp, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_stage_finds_its_server),
		cmocka_unit_test(the_3b_rom_fails_without_a_nudge),
		cmocka_unit_test(no_boot_means_no_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

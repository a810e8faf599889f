/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "sim/console.h"
#include "sim/fdt.h"
#include "sim/stack.h"

static uint8_t sent[1600];
static size_t n_sent;

static void on_send(void *ctx, const uint8_t *frame, size_t len)
{
	memcpy(sent, frame, len);
	n_sent = len;
}

static const struct br_sim_netstyle rom = { .ttl = 128, .blind = true };
static const struct br_sim_netstyle eeprom = { .ttl = 64, .udp_checksum = true, .id_counts = true, .arp_when_busy = true,
	.gateway = true };

static struct br_sim_stack stack_of(const struct br_sim_netstyle *style)
{
	struct br_sim_stack s = { .mac = { { 2, 0, 0, 0, 0, 9 } }, .send = on_send };

	br_sim_stack_reset(&s, style);
	s.ip = 0x0a4d0064;
	s.mask = 0xffffff00;
	s.router = 0x0a4d00fe;
	n_sent = 0;
	return s;
}

/* An ARP request for 10.77.0.100 from 10.77.0.1, or the answer of 'ip'. */
static void arp(uint8_t f[60], uint16_t op, uint32_t ip)
{
	memset(f, 0, 60);
	memset(f, 255, 6);
	f[11] = 1;
	br_store_be16(f + 12, 0x0806);
	br_store_be32(f + 14, 0x00010800);
	br_store_be16(f + 18, 0x0604);
	br_store_be16(f + 20, op);
	f[22 + 5] = 1;
	br_store_be32(f + 28, ip);
	br_store_be32(f + 38, 0x0a4d0064);
}

static void arp_is_answered_as_each_stage_does(void **state)
{
	static const struct {
		const struct br_sim_netstyle *style;
		bool busy, answered;
	} cases[] = { { &rom, false, true }, { &rom, true, false }, { &eeprom, true, true } };

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_sim_stack s = stack_of(cases[i].style);
		struct br_sim_datagram d;
		uint8_t f[60];

		s.busy = cases[i].busy;
		arp(f, 1, 0x0a4d0001);
		assert_int_equal(br_sim_stack_input(&s, f, sizeof(f), false, &d), BR_SIM_RX_NOTHING);
		assert_int_equal(n_sent != 0, cases[i].answered);
		if (n_sent)
			assert_int_equal(br_load_be16(sent + 20), 2);
	}
}

static void the_next_hop_is_found(void **state)
{
	static const struct {
		const struct br_sim_netstyle *style;
		uint32_t server, hop;
	} cases[] = {
		{ &eeprom, 0x0a4d0001, 0x0a4d0001 },
		{ &eeprom, 0x0a4e0001, 0x0a4d00fe },
		{ &rom, 0x0a4e0001, 0x0a4e0001 }, /* asks for it directly: proxy ARP is needed */
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_sim_stack s = stack_of(cases[i].style);
		struct br_sim_datagram d;
		uint8_t f[60];

		br_sim_stack_route(&s, cases[i].server);
		br_sim_stack_arp_ask(&s);
		assert_int_equal(br_load_be32(sent + 38), cases[i].hop);
		arp(f, 2, 0x0a4d0063);
		assert_int_equal(br_sim_stack_input(&s, f, sizeof(f), false, &d), BR_SIM_RX_NOTHING);
		arp(f, 2, cases[i].hop);
		assert_int_equal(br_sim_stack_input(&s, f, sizeof(f), false, &d), BR_SIM_RX_HOP);
		br_sim_stack_udp(&s, cases[i].server, 1, 69, "x", 1);
		assert_int_equal(sent[5], 1);
	}
}

static void packets_come_back_as_they_went(void **state)
{
	static const struct br_sim_netstyle *const styles[] = { &rom, &eeprom };

	for (size_t i = 0; i < BR_ARRAY_SIZE(styles); i++) {
		struct br_sim_stack s = stack_of(styles[i]), other;
		struct br_sim_datagram d;

		br_sim_stack_udp(&s, 0x0a4d0001, 49153, 69, "hello", 5);
		assert_int_equal(sent[22], styles[i]->ttl);
		assert_int_equal(br_load_be16(sent + 20), 0); /* no DF */
		assert_int_equal(sent[0], 0xaa);	      /* no ARP yet: blind */
		other = s;
		other.ip = 0x0a4d0001;
		memset(other.mac.b, 0xaa, 6);
		assert_int_equal(br_sim_stack_input(&other, sent, n_sent, false, &d), BR_SIM_RX_DATAGRAM);
		assert_int_equal(d.len, 5);
		assert_memory_equal(d.data, "hello", 5);
		assert_int_equal(d.src_port, 49153);
		sent[44] ^= 1;
		assert_int_equal(br_sim_stack_input(&other, sent, n_sent, false, &d),
			styles[i]->udp_checksum ? BR_SIM_RX_BAD_SUM : BR_SIM_RX_DATAGRAM);
		sent[44] ^= 1;
		sent[22]--;
		assert_int_equal(br_sim_stack_input(&other, sent, n_sent, false, &d), BR_SIM_RX_BAD_SUM);
		for (size_t n = 0; n < 42; n++)
			assert_int_not_equal(br_sim_stack_input(&other, sent, n, false, &d), BR_SIM_RX_DATAGRAM);
	}
}

/* / { a { bcm2711 = "a-pi4"; }; b { }; }: the shape of overlay_map.dtb */
static size_t make_map(uint8_t *out)
{
	struct br_writer w = br_writer_of(out, 200);
	static const char strings[] = "bcm2711";

	br_put_zeros(&w, 40);
	br_put_be32(&w, 1);
	br_put_be32(&w, 0);
	br_put_be32(&w, 1);
	br_put_bytes(&w, "a\0\0", 4);
	br_put_be32(&w, 3);
	br_put_be32(&w, 6);
	br_put_be32(&w, 0);
	br_put_bytes(&w, "a-pi4\0\0", 8);
	br_put_be32(&w, 2);
	br_put_be32(&w, 1);
	br_put_bytes(&w, "b\0\0", 4);
	br_put_be32(&w, 2);
	br_put_be32(&w, 2);
	br_put_be32(&w, 9);
	br_store_be32(out, 0xd00dfeed);
	br_store_be32(out + 8, 40);
	br_store_be32(out + 36, (uint32_t)w.len - 40);
	br_store_be32(out + 12, (uint32_t)w.len);
	br_store_be32(out + 32, sizeof(strings));
	br_put_bytes(&w, strings, sizeof(strings));
	br_store_be32(out + 4, (uint32_t)w.len);
	return w.len;
}

static void device_trees_are_read(void **state)
{
	uint8_t map[200];
	size_t len = make_map(map), n = 0;
	const uint8_t *v;

	assert_true(br_sim_fdt_valid(map, len));
	assert_true(br_sim_fdt_has_node(map, len, "b"));
	assert_false(br_sim_fdt_has_node(map, len, "c"));
	v = br_sim_fdt_prop(map, len, "a", "bcm2711", &n);
	assert_non_null(v);
	assert_string_equal(v, "a-pi4");
	assert_null(br_sim_fdt_prop(map, len, "b", "bcm2711", &n));
	assert_null(br_sim_fdt_prop(map, len, "a", "bcm2712", &n));
	for (size_t i = 0; i < len; i++) { /* cut anywhere: no crash, no property */
		assert_false(br_sim_fdt_valid(map, i));
		assert_null(br_sim_fdt_prop(map, i, "a", "bcm2711", &n));
	}
}

static void nodes_are_removed(void **state)
{
	uint8_t map[200], cut[200];
	size_t len = make_map(map), n;

	for (size_t i = 0; i < len; i++) { /* cut, but with a header that claims it is whole */
		memcpy(cut, map, sizeof(cut));
		br_sim_fdt_remove(cut, i, "a");
		br_store_be32(cut + 36, (uint32_t)(i < 36 ? i : 36));
		br_sim_fdt_remove(cut, len, "b");
	}
	assert_int_equal(br_sim_fdt_remove(map, len, "c"), 0);
	assert_int_equal(br_sim_fdt_remove(map, len, "a"), 1);
	assert_true(br_sim_fdt_valid(map, len));
	assert_false(br_sim_fdt_has_node(map, len, "a"));
	assert_null(br_sim_fdt_prop(map, len, "a", "bcm2711", &n));
	assert_true(br_sim_fdt_has_node(map, len, "b"));
}

static void consoles_are_read(void **state)
{
	static const char noise[] = "\x1b[0;32mone\x1b[0m\r\n\x1b]0;title\x07two login: no\r\n";
	static struct br_sim_console c;
	regex_t re;

	assert_int_equal(regcomp(&re, "login: $", REG_EXTENDED | REG_NOSUB), 0);
	c.until = &re;
	br_sim_console_add(&c, noise, sizeof(noise) - 1);
	assert_false(c.seen);
	assert_string_equal(br_sim_console_line(&c, 0), "one");
	assert_string_equal(br_sim_console_last(&c), "two login: no");
	br_sim_console_add(&c, "cut\x1b[\xe2\x80\xa6 here\n", 14); /* as systemd does */
	assert_string_equal(br_sim_console_last(&c), "cut\xe2\x80\xa6 here");
	br_sim_console_add(&c, "pi log", 6);
	br_sim_console_add(&c, "in: ", 4);
	assert_true(c.seen);
	assert_string_equal(c.match, "pi login: ");
	for (int i = 0; i < 3000; i++)
		br_sim_console_add(&c, i % 700 ? "x" : "\n", 1);
	assert_int_equal(strlen(br_sim_console_line(&c, 4)), BR_SIM_CONSOLE_LINE - 1);
	assert_null(br_sim_console_line(&c, 50));
	regfree(&re);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arp_is_answered_as_each_stage_does),
		cmocka_unit_test(the_next_hop_is_found),
		cmocka_unit_test(packets_come_back_as_they_went),
		cmocka_unit_test(device_trees_are_read),
		cmocka_unit_test(nodes_are_removed),
		cmocka_unit_test(consoles_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "wire/dhcp.h"

static const struct br_dhcp_header request = {
	.op = BR_DHCP_BOOTREQUEST, .xid = 0x26f30339, .chaddr = { { 0xb8, 0x27, 0xeb, 1, 2, 3 } },
};

/* Header and the given option bytes. */
static size_t packet_of(uint8_t *buf, const uint8_t *options, size_t n)
{
	struct br_dhcp_builder b;

	br_dhcp_begin(&b, buf, BR_DHCP_PACKET_MAX, &request);
	br_put_bytes(&b.w, options, n);
	assert_false(b.w.failed);
	return b.w.len;
}

#define BYTES(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

static void options_are_checked(void **state)
{
	static const struct {
		const char *what;
		uint8_t b[24];
		size_t n;
		int r;
	} cases[] = {
		{ "plain", { 53, 1, 1, 255 }, 4, 0 },
		{ "no end mark", { 53, 1, 1 }, 3, 0 },
		{ "bytes behind the end", { 53, 1, 1, 255, 50, 200 }, 6, 0 },
		{ "pads", { 0, 0, 53, 1, 1, 0, 255 }, 7, 0 },
		{ "unknown option", { 53, 1, 1, 224, 0, 255 }, 6, 0 },
		{ "wrong length of a mere hint", { 53, 1, 1, 57, 1, 9, 255 }, 7, 0 },
		{ "nothing at all", { 255 }, 1, -EBADMSG },
		{ "no type", { 12, 1, 'x', 255 }, 4, -EBADMSG },
		{ "type of two bytes", { 53, 2, 1, 1, 255 }, 5, -EBADMSG },
		{ "type twice is joined", { 53, 1, 1, 53, 1, 3, 255 }, 7, -EBADMSG },
		{ "type without value", { 53, 0, 255 }, 3, -EBADMSG },
		{ "code without length", { 53, 1, 1, 12 }, 4, -EBADMSG },
		{ "runs over the end", { 53, 1, 1, 12, 5, 'a', 255 }, 7, -EBADMSG },
		{ "requested address of 3 bytes", { 53, 1, 1, 50, 3, 1, 2, 3, 255 }, 9, -EBADMSG },
		{ "two server identifiers", { 53, 1, 1, 54, 8, 1, 2, 3, 4, 1, 2, 3, 4, 255 }, 14, -EBADMSG },
		{ "overload of nothing", { 53, 1, 1, 52, 1, 0, 255 }, 7, -EBADMSG },
		{ "overload of 4", { 53, 1, 1, 52, 1, 4, 255 }, 7, -EBADMSG },
		{ "overload of two bytes", { 53, 1, 1, 52, 2, 1, 1, 255 }, 8, -EBADMSG },
		{ "overload twice", { 53, 1, 1, 52, 1, 1, 52, 1, 2, 255 }, 10, -EBADMSG },
		{ "overload of empty fields", { 53, 1, 1, 52, 1, 3, 255 }, 7, 0 },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		uint8_t buf[BR_DHCP_PACKET_MAX];
		struct br_dhcp_message m = { .type = 77 };
		size_t n = packet_of(buf, cases[i].b, cases[i].n);
		int r = br_dhcp_decode(buf, n, &m);

		if (r != cases[i].r)
			fail_msg("%s: %d", cases[i].what, r);
		assert_int_equal(m.type, r ? 77 : 1);
	}
}

static void headers_are_checked(void **state)
{
	static const struct {
		size_t at;
		uint8_t v;
	} broken[] = { { 0, 0 }, { 0, 3 }, { 1, 6 }, { 2, 0 }, { 2, 5 }, { 2, 16 }, { 236, 0 }, { 239, 0x62 } };
	uint8_t good[BR_DHCP_PACKET_MAX], bad[BR_DHCP_PACKET_MAX + 1] = { 0 };
	struct br_dhcp_message m;
	size_t n = packet_of(good, BYTES(53, 1, 1, 255));

	assert_int_equal(br_dhcp_decode(good, n, &m), 0);
	assert_int_equal(m.h.xid, 0x26f30339);
	assert_int_equal(m.h.chaddr.b[5], 3);
	for (size_t i = 0; i < BR_ARRAY_SIZE(broken); i++) {
		memcpy(bad, good, n);
		bad[broken[i].at] = broken[i].v;
		assert_int_equal(br_dhcp_decode(bad, n, &m), -EBADMSG);
	}
	for (size_t i = 0; i < n - 1; i++) /* every truncation but that of the end mark */
		assert_int_equal(br_dhcp_decode(good, i, &m), -EBADMSG);
	assert_int_equal(br_dhcp_decode(good, n - 1, &m), 0);
	memcpy(bad, good, n);
	assert_int_equal(br_dhcp_decode(bad, BR_DHCP_PACKET_MAX, &m), 0);
	assert_int_equal(br_dhcp_decode(bad, BR_DHCP_PACKET_MAX + 1, &m), -EBADMSG);
}

static void put(uint8_t *to, const uint8_t *bytes, size_t n)
{
	memcpy(to, bytes, n);
}

static void split_and_overloaded_options_are_joined(void **state)
{
	uint8_t buf[BR_DHCP_PACKET_MAX];
	struct br_dhcp_message m;
	char text[32];
	size_t n = packet_of(buf, BYTES(43, 2, 'a', 'b', 53, 1, 2, 12, 1, 'x', 52, 1, 3, 43, 1, 'c', 255));

	put(buf + 108, BYTES(43, 1, 'd', 66, 3, '1', '.', '2', 255)); /* file */
	put(buf + 44, BYTES(43, 1, 'e', 12, 2, 'y', 'z', 0, 52, 1, 1)); /* sname, with a pad and a 52 without meaning */
	assert_int_equal(br_dhcp_decode(buf, n, &m), 0);
	assert_true(br_dhcp_option_is(&m, 43, "abcde", 5));
	assert_string_equal(br_dhcp_option_text(&m, 12, text, sizeof(text)), "xyz");
	assert_string_equal(br_dhcp_option_text(&m, 66, text, sizeof(text)), "1.2");
	assert_string_equal(m.h.file, "");
	assert_string_equal(m.h.sname, "");
	assert_int_equal(m.n_order, 4);
	assert_memory_equal(m.order, ((uint8_t[]){ 43, 53, 12, 66 }), 4);

	/* an option that runs over the end of sname */
	memset(buf + 44, 0, 64);
	put(buf + 44 + 61, BYTES(12, 2, 'x'));
	assert_int_equal(br_dhcp_decode(buf, n, &m), -EBADMSG);
}

static void getters_are_typed(void **state)
{
	uint8_t buf[BR_DHCP_PACKET_MAX];
	struct br_dhcp_message m;
	char text[5];
	uint16_t u16 = 7;
	uint32_t u32 = 7;
	size_t len, n;

	n = packet_of(buf, BYTES(53, 1, 1, 57, 2, 5, 220, 51, 4, 0, 1, 2, 3, 3, 8, 10, 0, 0, 1, 10, 0, 0, 2, 6, 5, 1, 2, 3, 4,
		5, 12, 4, 'a', 7, 0, 'b', 60, 0, 15, 6, 'l', 'o', 'n', 'g', 'e', 'r', 58, 1, 1, 59, 1, 1, 55, 2, 1, 17));
	assert_int_equal(br_dhcp_decode(buf, n, &m), 0);
	assert_true(br_dhcp_option_u16(&m, 57, &u16));
	assert_int_equal(u16, 1500);
	assert_true(br_dhcp_option_u32(&m, 51, &u32));
	assert_int_equal(u32, 0x10203);
	assert_false(br_dhcp_option_u16(&m, 58, &u16));
	assert_false(br_dhcp_option_u32(&m, 59, &u32));
	assert_false(br_dhcp_option_u32(&m, 99, &u32));
	assert_int_equal(u32, 0x10203);
	assert_int_equal(br_dhcp_option_ip(&m, 3), 0x0a000001);
	assert_int_equal(br_dhcp_option_ip(&m, 6), 0);
	assert_string_equal(br_dhcp_option_text(&m, 12, text, sizeof(text)), "a?");
	assert_string_equal(br_dhcp_option_text(&m, 15, text, sizeof(text)), "long");
	assert_string_equal(br_dhcp_option_text(&m, 99, text, sizeof(text)), "");
	assert_non_null(br_dhcp_option(&m, 60, &len));
	assert_int_equal(len, 0);
	assert_null(br_dhcp_option(&m, 99, &len));
	assert_true(br_dhcp_asks(&m, 17));
	assert_false(br_dhcp_asks(&m, 3));
	assert_string_equal(br_dhcp_type_name(1), "DISCOVER");
	assert_string_equal(br_dhcp_type_name(9), "type?");
}

static void messages_come_back_as_built(void **state)
{
	static const struct br_dhcp_header h = {
		.op = BR_DHCP_BOOTREPLY, .hops = 1, .xid = 0xdeadbeef, .secs = 9, .broadcast = true, .ciaddr = 1, .yiaddr = 2,
		.siaddr = 3, .giaddr = 4, .chaddr = { { 2, 3, 4, 5, 6, 7 } }, .sname = "server", .file = "kernel.img",
	};
	uint8_t buf[BR_DHCP_PACKET_MAX], big[600];
	struct br_dhcp_builder b;
	struct br_dhcp_message m;
	size_t len;
	int n;

	memset(big, 0x5a, sizeof(big));
	br_dhcp_begin(&b, buf, sizeof(buf), &h);
	br_dhcp_add_u8(&b, 53, BR_DHCP_OFFER);
	br_dhcp_add_u16(&b, 57, 1500);
	br_dhcp_add_u32(&b, 54, 0x0a4d0001);
	br_dhcp_add_text(&b, 17, "/a");
	br_dhcp_add(&b, 43, big, sizeof(big));
	n = br_dhcp_end(&b, BR_DHCP_REPLY_MIN);
	assert_int_equal(n, 240 + 3 + 4 + 6 + 4 + 606 + 1);
	assert_int_equal(br_dhcp_decode(buf, (size_t)n, &m), 0);
	assert_memory_equal(&m.h, &h, sizeof(h));
	assert_int_equal(m.type, BR_DHCP_OFFER);
	assert_non_null(br_dhcp_option(&m, 43, &len));
	assert_int_equal(len, 600);
	assert_true(br_dhcp_option_is(&m, 43, big, sizeof(big)));
	assert_memory_equal(m.order, ((uint8_t[]){ 53, 57, 54, 17, 43 }), 5);
}

static void short_replies_are_padded(void **state)
{
	uint8_t buf[BR_DHCP_PACKET_MAX];
	struct br_dhcp_builder b;

	br_dhcp_begin(&b, buf, sizeof(buf), &request);
	br_dhcp_add_u8(&b, 53, 1);
	assert_int_equal(br_dhcp_end(&b, BR_DHCP_REPLY_MIN), 300);
	assert_int_equal(buf[243], 255);
	assert_int_equal(buf[299], 0);
	br_dhcp_begin(&b, buf, sizeof(buf), &request);
	br_dhcp_add_u8(&b, 53, 1);
	assert_int_equal(br_dhcp_end(&b, 0), 244);
}

static void a_full_buffer_is_said(void **state)
{
	uint8_t buf[BR_DHCP_HEADER_LEN + 10];
	struct br_dhcp_builder b;

	br_dhcp_begin(&b, buf, BR_DHCP_HEADER_LEN + 7, &request);
	assert_false(br_dhcp_try_add(&b, 12, "abcde", 5)); /* 7 bytes, but the end mark needs one */
	assert_true(br_dhcp_try_add(&b, 12, "abcd", 4));
	assert_int_equal(br_dhcp_end(&b, BR_DHCP_REPLY_MIN), BR_DHCP_HEADER_LEN + 7);
	br_dhcp_begin(&b, buf, BR_DHCP_HEADER_LEN + 7, &request);
	br_dhcp_add(&b, 12, "abcde", 5);
	assert_int_equal(br_dhcp_end(&b, 0), -ENOBUFS);
	br_dhcp_begin(&b, buf, 100, &request);
	assert_int_equal(br_dhcp_end(&b, 0), -ENOBUFS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_are_checked),
		cmocka_unit_test(headers_are_checked),
		cmocka_unit_test(split_and_overloaded_options_are_joined),
		cmocka_unit_test(getters_are_typed),
		cmocka_unit_test(messages_come_back_as_built),
		cmocka_unit_test(short_replies_are_padded),
		cmocka_unit_test(a_full_buffer_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

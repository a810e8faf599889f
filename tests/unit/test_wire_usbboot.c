/* SPDX-License-Identifier: Apache-2.0 */
/* USB boot messages: bytes to structs and back. */
#include "test.h"

#include "base/bytes.h"
#include "wire/usbboot.h"

static void models(void **state)
{
	size_t n = 0;

	for (const struct br_usbboot_model *m; (m = br_usbboot_model_at(n)); n++)
		assert_ptr_equal(br_usbboot_model(0x0a5c, m->product), m);
	assert_int_equal(n, 4);
	assert_null(br_usbboot_model(0x0a5c, 0x2765));
	assert_null(br_usbboot_model(0x0a5d, 0x2711));
	assert_string_equal(br_usbboot_model(0x0a5c, 0x2711)->first_stage, "bootcode4.bin");
	assert_string_equal(br_usbboot_model(0x0a5c, 0x2764)->dir, "2710");
	for (unsigned i = 0; i < 256; i++)
		assert_int_equal(br_usbboot_is_rom((uint8_t)i), i == 0 || i == 3);
	for (unsigned i = 0; i < 256; i++) {
		struct br_usbboot_ends e = br_usbboot_ends((uint8_t)i);

		assert_true(i == 1 ? e.interface == 0 && e.out == 1 : e.interface == 1 && e.out == 3);
	}
}

static void lengths(void **state)
{
	static const uint32_t all[] = { 0, 1, 0xffff, 0x10000, 0x12345678, UINT32_MAX };

	for (size_t i = 0; i < 6; i++) {
		struct br_usbboot_setup s = br_usbboot_setup(all[i]);

		assert_true(br_usbboot_setup_len(s.value, s.index) == all[i]);
	}
	assert_int_equal(br_usbboot_setup(0x12345678).value, 0x5678);
	assert_int_equal(br_usbboot_setup(0x12345678).index, 0x1234);
}

static void first_stage_message(void **state)
{
	static const uint8_t sig[20] = { 1, 2, 3, [19] = 20 };
	uint8_t raw[24];
	const uint8_t *back;
	uint32_t len;

	br_usbboot_put_first(raw, 0x01020304, sig);
	assert_memory_equal(raw, "\x04\x03\x02\x01\x01\x02\x03", 7);
	assert_int_equal(br_usbboot_decode_first(raw, 24, &len, &back), 0);
	assert_true(len == 0x01020304 && back[19] == 20);
	br_usbboot_put_first(raw, 5, NULL);
	for (unsigned i = 4; i < 24; i++)
		assert_int_equal(raw[i], 0);
	assert_int_equal(br_usbboot_decode_first(raw, 23, &len, &back), -EBADMSG);
	br_usbboot_put_first(raw, 0, NULL);
	assert_int_equal(br_usbboot_decode_first(raw, 24, &len, &back), -EBADMSG);
	br_usbboot_put_first(raw, 0x80000000, NULL);
	assert_int_equal(br_usbboot_decode_first(raw, 24, &len, &back), -EBADMSG);
}

static void requests(void **state)
{
	static const struct {
		uint32_t command;
		const char *name;
		int r;
		enum br_usbboot_command means;
		const char *got, *value;
	} cases[] = {
		{ 0, "config.txt", 0, BR_USBBOOT_GET_SIZE, "config.txt", "" },
		{ 1, "2711/a b~.bin", 0, BR_USBBOOT_READ, "2711/a b~.bin", "" },
		{ 2, "done", 0, BR_USBBOOT_DONE, "done", "" },
		{ 2, "*A*B", 0, BR_USBBOOT_DONE, "*A*B", "" },
		{ 2, "../x", 0, BR_USBBOOT_DONE, "../x", "" },
		{ 0, "", 0, BR_USBBOOT_DONE_ACK, "", "" },
		{ 1, "", 0, BR_USBBOOT_DONE_ACK, "", "" },
		{ 2, "", 0, BR_USBBOOT_DONE_ACK, "", "" },
		{ 0, "*MAC_ADDR*d8:3a", 0, BR_USBBOOT_METADATA, "MAC_ADDR", "d8:3a" },
		{ 1, "*K*", 0, BR_USBBOOT_METADATA, "K", "" },
		{ 0, "*K*a*b/../c", 0, BR_USBBOOT_METADATA, "K", "a*b/../c" },
		{ 0, "**v", 0, BR_USBBOOT_GET_SIZE, "**v", "" },
		{ 0, "*key", 0, BR_USBBOOT_GET_SIZE, "*key", "" },
		{ 0, "a/../b", -EACCES, BR_USBBOOT_GET_SIZE, "a/../b", "" },
		{ 1, "..", -EACCES, BR_USBBOOT_READ, "..", "" },
		{ 1, "a..b", -EACCES, BR_USBBOOT_READ, "a..b", "" },
		{ 1, "/boot/x", -EACCES, BR_USBBOOT_READ, "/boot/x", "" },
		{ 3, "x", -EBADMSG, 0, "", "" },
		{ 0x80000000, "x", -EBADMSG, 0, "", "" },
		{ 0, "a\x7f", -EBADMSG, 0, "", "" },
		{ 0, "a\xc3\xa9", -EBADMSG, 0, "", "" },
		{ 0, "a\n", -EBADMSG, 0, "", "" },
		{ 3, "", -EBADMSG, 0, "", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct br_usbboot_request req = { .command = 99 };
		struct br_error err = BR_ERROR_NULL;
		uint8_t raw[BR_USBBOOT_REQUEST];

		assert_int_equal(br_usbboot_encode_request(raw, cases[i].command, cases[i].name, NULL), 0);
		assert_int_equal(br_usbboot_decode_request(raw, sizeof(raw), &req, &err), cases[i].r);
		assert_int_equal(err.text[0] != 0, cases[i].r < 0);
		if (cases[i].r == -EBADMSG) {
			assert_int_equal(req.command, 99);
			continue;
		}
		assert_int_equal(req.command, cases[i].means);
		assert_string_equal(req.name, cases[i].got);
		assert_string_equal(req.value, cases[i].value);
	}
}

static void requests_of_any_length(void **state)
{
	uint8_t raw[BR_USBBOOT_REQUEST + 10], big[300];
	struct br_usbboot_request req;

	memset(raw, 'a', sizeof(raw));
	br_store_le32(raw, 0);
	for (size_t n = 0; n <= sizeof(raw); n++) { /* never an end */
		uint8_t *exact = malloc(n ? n : 1);

		memcpy(exact, raw, n);
		assert_int_equal(br_usbboot_decode_request(exact, n, &req, NULL), -EBADMSG);
		free(exact);
	}
	raw[BR_USBBOOT_REQUEST - 1] = 0; /* 255 letters */
	assert_int_equal(br_usbboot_decode_request(raw, BR_USBBOOT_REQUEST, &req, NULL), 0);
	assert_int_equal(strlen(req.name), 255);
	raw[7] = 0; /* short, but whole */
	assert_int_equal(br_usbboot_decode_request(raw, 8, &req, NULL), 0);
	assert_string_equal(req.name, "aaa");
	memset(big, 'b', sizeof(big));
	big[256] = 0;
	assert_int_equal(br_usbboot_encode_request(raw, 0, (char *)big, NULL), -EINVAL);
	big[255] = 0;
	assert_int_equal(br_usbboot_encode_request(raw, 0, (char *)big, NULL), 0);
	assert_int_equal(br_usbboot_encode_request(raw, BR_USBBOOT_METADATA, "KEY", "value"), 0);
	assert_string_equal((char *)raw + 4, "*KEY*value");
}

/* Three letters in 16 bits: (a * 40 + b) * 40 + c + 1. */
static unsigned triple(const char *s)
{
	unsigned v = 0;

	for (unsigned i = 0; i < 3; i++)
		v = v * 40 + (unsigned)(s[i] >= 'A' ? s[i] - 'A' + 14 : s[i] - '0' + 4);
	return v + 1;
}

static void factory_uuid(void **state)
{
	char words[64], out[40];

	snprintf(words, sizeof(words), "%04x%04x_%08x", triple("DEF"), triple("ABC"), triple("129"));
	assert_int_equal(br_usbboot_factory_uuid(words, out, sizeof(out)), 0);
	assert_string_equal(out, "ABCDEF129");
	snprintf(words, sizeof(words), "0x%04X%04X", triple("000"), triple("ZZZ"));
	assert_int_equal(br_usbboot_factory_uuid(words, out, sizeof(out)), 0);
	assert_string_equal(out, "ZZZ000");
	assert_int_equal(br_usbboot_factory_uuid(words, out, 6), -ENAMETOOLONG);
	static const char *const bad[] = { "", "_", "1_", "_1", "xyz", "123456789", "12 34", "ffffffff", "0002", "59e4_g" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(br_usbboot_factory_uuid(bad[i], out, sizeof(out)), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(models),
		cmocka_unit_test(lengths),
		cmocka_unit_test(first_stage_message),
		cmocka_unit_test(requests),
		cmocka_unit_test(requests_of_any_length),
		cmocka_unit_test(factory_uuid),
	};

	return cmocka_run_group_tests_name("wire_usbboot", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "wire/tftp.h"

#define BYTES(s) s, sizeof(s) - 1 /* without the last NUL: write what must be there */

static void describe(char *out, size_t size, const struct br_tftp_opts *opts)
{
	size_t n = 0;

	out[0] = 0;
	for (unsigned i = 0; i < opts->n; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%s=%llu", i ? " " : "", opts->v[i].name,
			(unsigned long long)opts->v[i].value);
}

static void requests_decode(void **state)
{
	static const struct {
		const char *data;
		size_t len;
		int r;
		const char *name, *opts;
	} cases[] = {
		/* the four firmware shapes: ROM, bootcode.bin, Pi 4, U-Boot */
		{ BYTES("\0\1bootcode.bin\0octet\0"), 0, "bootcode.bin", "" },
		{ BYTES("\0\1a/start.elf\0octet\0tsize\0000\0"), 0, "a/start.elf", "tsize=0" },
		{ BYTES("\0\1a//config.txt\0octet\0tsize\0000\0blksize\0001468\0"), 0, "a//config.txt",
			"tsize=0 blksize=1468" },
		{ BYTES("\0\1u\0octet\0timeout\0005\0tsize\0000\0blksize\0001468\0windowsize\0008\0"), 0, "u",
			"timeout=5 tsize=0 blksize=1468 windowsize=8" },
		{ BYTES("\0\2x\0OcTeT\0"), 0, "x", "" },
		{ BYTES("\0\1\0octet\0"), 0, "", "" },
		/* spelling and order are the client's */
		{ BYTES("\0\1x\0octet\0BlkSize\00099\0TSIZE\0000\0"), 0, "x", "BlkSize=99 TSIZE=0" },
		/* unknown, doubled, illegal: left out */
		{ BYTES("\0\1x\0octet\0multicast\0\0tsize\0000\0"), 0, "x", "tsize=0" },
		{ BYTES("\0\1x\0octet\0tsize\0001\0tsize\0002\0"), 0, "x", "tsize=1" },
		{ BYTES("\0\1x\0octet\0blksize\0007\0tsize\000-1\0timeout\0000\0windowsize\0000\0"), 0, "x", "" },
		{ BYTES("\0\1x\0octet\0timeout\000256\0windowsize\00065536\0blksize\0004294967296\0"), 0, "x", "" },
		{ BYTES("\0\1x\0octet\0blksize\000 512\0tsize\0000x\0timeout\000+1\0windowsize\0\0"), 0, "x", "" },
		{ BYTES("\0\1x\0octet\0tsize\00099999999999999999999\0blksize\00065465\0"), 0, "x", "blksize=65465" },
		{ BYTES("\0\1x\0octet\0tsize\00018446744073709551615\0"), 0, "x", "tsize=18446744073709551615" },
		{ BYTES("\0\1x\0octet\0blksizeblksizeblksize\0009\0"), 0, "x", "" },
		/* tails that do not end */
		{ BYTES("\0\1x\0octet\0tsize\0000\0blksize\0"), 0, "x", "tsize=0" },
		{ BYTES("\0\1x\0octet\0tsize\0000\0blksize\000512"), 0, "x", "tsize=0" },
		{ BYTES("\0\1x\0octet\0tsize"), 0, "x", "" },
		{ BYTES("\0\1x\0octet"), -EBADMSG, NULL, NULL },
		{ BYTES("\0\1x\0"), -EBADMSG, NULL, NULL },
		{ BYTES("\0\1x"), -EBADMSG, NULL, NULL },
		{ BYTES("\0\1"), -EBADMSG, NULL, NULL },
		{ BYTES("\0\3x\0octet\0"), -EBADMSG, NULL, NULL },
		{ BYTES("\1"), -EBADMSG, NULL, NULL },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_tftp_request req;
		char opts[200];

		assert_int_equal(br_tftp_decode_request(cases[i].data, cases[i].len, &req), cases[i].r);
		if (cases[i].r < 0)
			continue;
		assert_string_equal(req.name, cases[i].name);
		assert_true(req.octet);
		describe(opts, sizeof(opts), &req.opts);
		assert_string_equal(opts, cases[i].opts);
	}
}

static void long_names_are_cut(void **state)
{
	for (size_t n = 510; n <= 513; n++) {
		uint8_t buf[700] = { 0, 1 };
		struct br_tftp_request req;

		memset(buf + 2, 'n', n);
		memcpy(buf + 2 + n, "\0netascii", 10);
		assert_int_equal(br_tftp_decode_request(buf, n + 12, &req), n <= BR_TFTP_NAME_MAX ? 0 : -ENAMETOOLONG);
		assert_int_equal(strlen(req.name), n <= BR_TFTP_NAME_MAX ? n : BR_TFTP_NAME_MAX);
		assert_false(req.octet);
		assert_string_equal(req.mode, "netascii");
	}
}

static void errors_are_escaped(void **state)
{
	uint16_t code;
	char text[40];

	assert_int_equal(br_tftp_decode_error(BYTES("\0\5\0\0Early terminate\0"), &code, text, sizeof(text)), 0);
	assert_int_equal(code, 0);
	assert_string_equal(text, "Early terminate");
	assert_int_equal(br_tftp_decode_error(BYTES("\0\5\1\2\33[2J\n"), &code, text, sizeof(text)), 0);
	assert_int_equal(code, 0x102);
	assert_string_equal(text, "\\x1b[2J\\x0a");
	assert_int_equal(br_tftp_decode_error(BYTES("\0\5\0\1"), &code, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	assert_int_equal(br_tftp_decode_error(BYTES("\0\5\0"), &code, text, sizeof(text)), -EBADMSG);
}

static void what_is_encoded_decodes(void **state)
{
	struct br_tftp_request req = { .opcode = BR_TFTP_RRQ, .name = "a/b", .octet = true }, back;
	struct br_tftp_opts opts;
	uint8_t buf[200];
	char text[200];
	uint16_t block;
	int n;

	br_tftp_add_opt(&req.opts, BR_TFTP_OPT_WINDOWSIZE, 8);
	br_tftp_add_opt(&req.opts, BR_TFTP_OPT_TSIZE, UINT64_MAX);
	n = br_tftp_encode_request(buf, sizeof(buf), &req);
	assert_true(n > 0);
	assert_int_equal(br_tftp_decode_request(buf, (size_t)n, &back), 0);
	assert_string_equal(back.name, "a/b");
	describe(text, sizeof(text), &back.opts);
	assert_string_equal(text, "windowsize=8 tsize=18446744073709551615");
	n = br_tftp_encode_oack(buf, sizeof(buf), &req.opts);
	assert_int_equal(br_tftp_peek(buf, (size_t)n), BR_TFTP_OACK);
	assert_int_equal(br_tftp_decode_oack(buf, (size_t)n, &opts), 0);
	describe(text, sizeof(text), &opts);
	assert_string_equal(text, "windowsize=8 tsize=18446744073709551615");
	assert_int_equal(br_tftp_find_opt(&opts, BR_TFTP_OPT_TSIZE)->value, UINT64_MAX);
	assert_null(br_tftp_find_opt(&opts, BR_TFTP_OPT_TIMEOUT));
	n = br_tftp_encode_ack(buf, sizeof(buf), 65535);
	assert_int_equal(br_tftp_decode_ack(buf, (size_t)n, &block), 0);
	assert_int_equal(block, 65535);
	assert_int_equal(br_tftp_decode_ack(buf, 3, &block), -EBADMSG);
	assert_int_equal(br_tftp_encode_error(buf, 6, 1, "too long"), -EMSGSIZE);
	assert_int_equal(br_tftp_peek(buf, 1), 0);
}

static void data_decodes(void **state)
{
	uint8_t buf[7] = { 0, 0, 0, 0, 'a', 'b', 'c' };
	const uint8_t *data;
	uint16_t block;
	size_t len;

	br_tftp_put_data_head(buf, 0x1234);
	assert_int_equal(br_tftp_decode_data(buf, sizeof(buf), &block, &data, &len), 0);
	assert_int_equal(block, 0x1234);
	assert_int_equal(len, 3);
	assert_ptr_equal(data, buf + 4);
	assert_int_equal(br_tftp_decode_data(buf, 4, &block, &data, &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(br_tftp_decode_data(buf, 3, &block, &data, &len), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_decode),
		cmocka_unit_test(long_names_are_cut),
		cmocka_unit_test(errors_are_escaped),
		cmocka_unit_test(what_is_encoded_decodes),
		cmocka_unit_test(data_decodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

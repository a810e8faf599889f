/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "sim/tftp_client.h"

/* A conversation: "> hex" is expected from the client, "< hex" comes from the server (port 1000). */
static void play(struct br_sim_tftp *t, uint64_t *now, const char *const *lines)
{
	for (; *lines; lines++) {
		uint8_t bytes[2048], out[BR_SIM_TFTP_REQUEST_MAX];
		char hex[2 * BR_SIM_TFTP_REQUEST_MAX + 1];
		size_t n = strlen(*lines + 2) / 2;
		uint16_t port = 0;

		*now += BR_MS;
		if (**lines == '<') {
			assert_int_equal(br_unhex(bytes, n, *lines + 2), 0);
			br_sim_tftp_input(t, *now, 1000, bytes, n);
			continue;
		}
		n = br_sim_tftp_poll(t, *now, out, &port);
		br_hex(hex, out, n);
		assert_string_equal(hex, *lines + 2);
	}
}

#define RRQ_A	   "000161006f6374657400"
#define TSIZE_0	   "7473697a65003000"
#define BLK_1468   "626c6b73697a65003134363800"
#define OACK_3	   "00067473697a65003300"
#define ACK_0	   "00040000"
#define ACK_1	   "00040001"
#define EARLY	   "000500004561726c79207465726d696e61746500"
#define DATA_ABC   "00030001616263"
#define NOT_FOUND  "000500016e6f00"

static void conversations(void **state)
{
	static const struct {
		const char *what;
		const struct br_sim_tftp_style *style;
		bool probe;
		enum br_sim_tftp_state end;
		const char *lines[8];
	} cases[] = {
		{ "the ROM asks for no options", &br_sim_tftp_rom, false, BR_SIM_TFTP_DONE,
			{ "> " RRQ_A, "< " DATA_ABC, "> " ACK_1, "> " } },
		{ "bootcode.bin asks for tsize", &br_sim_tftp_bcm2837, false, BR_SIM_TFTP_DONE,
			{ "> " RRQ_A TSIZE_0, "< " OACK_3, "> " ACK_0, "< " DATA_ABC, "> " ACK_1 } },
		{ "the EEPROM asks for both", &br_sim_tftp_eeprom, false, BR_SIM_TFTP_DONE,
			{ "> " RRQ_A TSIZE_0 BLK_1468, "< " OACK_3, "> " ACK_0, "< " DATA_ABC, "> " ACK_1 } },
		{ "a probe ends with ERROR 0", &br_sim_tftp_eeprom, true, BR_SIM_TFTP_PROBED,
			{ "> " RRQ_A TSIZE_0 BLK_1468, "< " OACK_3, "> " EARLY, "> " } },
		{ "a probe takes DATA too", &br_sim_tftp_eeprom, true, BR_SIM_TFTP_PROBED,
			{ "> " RRQ_A TSIZE_0 BLK_1468, "< " DATA_ABC, "> " EARLY } },
		{ "missing", &br_sim_tftp_eeprom, true, BR_SIM_TFTP_MISSING,
			{ "> " RRQ_A TSIZE_0 BLK_1468, "< " NOT_FOUND, "> " } },
		{ "start.elf wants an OACK", &br_sim_tftp_bcm2837, false, BR_SIM_TFTP_FAILED,
			{ "> " RRQ_A TSIZE_0, "< " DATA_ABC, "> " EARLY } },
		{ "an OACK nobody asked for", &br_sim_tftp_rom, false, BR_SIM_TFTP_FAILED,
			{ "> " RRQ_A, "< " OACK_3, "> " EARLY } },
		{ "windowsize nobody asked for", &br_sim_tftp_eeprom, false, BR_SIM_TFTP_FAILED,
			{ "> " RRQ_A TSIZE_0 BLK_1468, "< 000677696e646f7773697a65003400", "> " EARLY } },
		{ "an option cut short", &br_sim_tftp_eeprom, false, BR_SIM_TFTP_FAILED,
			{ "> " RRQ_A TSIZE_0 BLK_1468, "< 00067473697a650033", "> " EARLY } },
		{ "a blksize larger than asked", &br_sim_tftp_eeprom, false, BR_SIM_TFTP_FAILED,
			{ "> " RRQ_A TSIZE_0 BLK_1468, "< 0006626c6b73697a65003134363900", "> " EARLY } },
		{ "other size than promised", &br_sim_tftp_eeprom, false, BR_SIM_TFTP_FAILED,
			{ "> " RRQ_A TSIZE_0 BLK_1468, "< 00067473697a65003400", "> " ACK_0, "< " DATA_ABC, "> " EARLY } },
		{ "an empty file", &br_sim_tftp_eeprom, false, BR_SIM_TFTP_DONE,
			{ "> " RRQ_A TSIZE_0 BLK_1468, "< 00067473697a65003000", "> " ACK_0, "< 00030001", "> " ACK_1 } },
		{ "a repeated OACK is answered again", &br_sim_tftp_eeprom, false, BR_SIM_TFTP_DONE,
			{ "> " RRQ_A TSIZE_0 BLK_1468, "< " OACK_3, "> " ACK_0, "< " OACK_3, "> " ACK_0, "< " DATA_ABC,
				"> " ACK_1 } },
		{ "a foreign block is ignored", &br_sim_tftp_rom, false, BR_SIM_TFTP_DONE,
			{ "> " RRQ_A, "< 00030007616263", "> ", "< " DATA_ABC, "> " ACK_1 } },
		{ "an error of the server", &br_sim_tftp_rom, false, BR_SIM_TFTP_FAILED,
			{ "> " RRQ_A, "< 0005000261636300", "> " } },
		{ "runts", &br_sim_tftp_rom, false, BR_SIM_TFTP_RUNNING, { "> " RRQ_A, "< 00", "< 0009", "> " } },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_sim_tftp t;
		uint64_t now = 0;

		assert_int_equal(br_sim_tftp_start(&t, cases[i].style, "a", cases[i].probe, true, 40000, now), 0);
		play(&t, &now, cases[i].lines);
		if (t.state != cases[i].end)
			fail_msg("%s: state %d, %s", cases[i].what, t.state, t.why);
		if (t.state == BR_SIM_TFTP_FAILED)
			assert_true(t.why[0] != 0);
		br_sim_tftp_done(&t);
	}
}

static void silence_repeats_and_ends(void **state)
{
	struct br_sim_tftp t;
	uint8_t out[BR_SIM_TFTP_REQUEST_MAX];
	uint64_t now = 0;
	uint16_t port;
	unsigned n = 0;

	br_sim_tftp_start(&t, &br_sim_tftp_eeprom, "a", false, false, 40000, 0);
	while (t.state == BR_SIM_TFTP_RUNNING) {
		if (br_sim_tftp_deadline(&t) > now)
			now = br_sim_tftp_deadline(&t);
		n += br_sim_tftp_poll(&t, now, out, &port) > 0;
	}
	assert_int_equal(t.state, BR_SIM_TFTP_FAILED);
	assert_int_equal(now, 30 * BR_S);
	assert_int_equal(n, 15); /* every two seconds; no ERROR to a server that never spoke */
	br_sim_tftp_done(&t);
}

/* Sends n bytes in blocks of 512 or blksize; returns the final state. */
static enum br_sim_tftp_state transfer(const struct br_sim_tftp_style *style, const char *oack, size_t oack_len,
	unsigned blksize, unsigned n_blocks)
{
	struct br_sim_tftp t;
	uint8_t out[BR_SIM_TFTP_REQUEST_MAX], data[4 + 1468] = { 0, 3 };
	uint16_t port;
	enum br_sim_tftp_state end;

	br_sim_tftp_start(&t, style, "a", false, false, 40000, 0);
	br_sim_tftp_poll(&t, 0, out, &port);
	if (oack_len)
		br_sim_tftp_input(&t, 1, 1000, (const uint8_t *)oack, oack_len);
	for (unsigned i = 1; i <= n_blocks && t.state == BR_SIM_TFTP_RUNNING; i++) {
		br_sim_tftp_poll(&t, i, out, &port);
		br_store_be16(data + 2, (uint16_t)i);
		br_sim_tftp_input(&t, i, 1000, data, 4 + (i == n_blocks ? 0 : blksize));
	}
	end = t.state;
	br_sim_tftp_done(&t);
	return end;
}

static void block_numbers_roll_where_they_do(void **state)
{
	assert_int_equal(transfer(&br_sim_tftp_rom, "", 0, 512, 65535), BR_SIM_TFTP_DONE);
	assert_int_equal(transfer(&br_sim_tftp_rom, "", 0, 512, 65536), BR_SIM_TFTP_FAILED);
	assert_int_equal(transfer(&br_sim_tftp_eeprom, "\0\6blksize\0" "8", 12, 8, 65540), BR_SIM_TFTP_DONE);
}

static void names_are_bounded(void **state)
{
	struct br_sim_tftp t = { 0 };
	char name[300];

	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = 0;
	assert_int_equal(br_sim_tftp_start(&t, &br_sim_tftp_rom, name, false, false, 1, 0), -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conversations),
		cmocka_unit_test(silence_repeats_and_ends),
		cmocka_unit_test(block_numbers_roll_where_they_do),
		cmocka_unit_test(names_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

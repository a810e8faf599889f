/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "pi/identity.h"

static void revision_words_name_models(void **state)
{
	static const struct {
		uint32_t revision;
		const char *id;
		enum br_soc soc;
	} cases[] = {
		{ 0xa020d3, "3B+", BR_SOC_BCM2837 }, { 0xa02082, "3B", BR_SOC_BCM2837 },
		{ 0xa01041, "2B", BR_SOC_BCM2836 }, { 0xa22042, "2B-1.2", BR_SOC_BCM2837 },
		{ 0xd03114, "4B", BR_SOC_BCM2711 }, { 0xa03111, "4B", BR_SOC_BCM2711 },
		{ 0xc03130, "400", BR_SOC_BCM2711 }, { 0xb03141, "CM4", BR_SOC_BCM2711 },
		{ 0xc04170, "5", BR_SOC_BCM2712 }, { 0xd04190, "500", BR_SOC_BCM2712 },
		{ 0xc04180, "CM5", BR_SOC_BCM2712 }, { 0xc041a0, "CM5L", BR_SOC_BCM2712 },
		{ 0x902120, "Zero2W", BR_SOC_BCM2837 }, { 0x2a020d3, "3B+", BR_SOC_BCM2837 },
		{ 0x0002, "B", BR_SOC_BCM2835 }, { 0x1000010, "B+", BR_SOC_BCM2835 },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		const struct br_pi_model *m = br_pi_model_by_revision(cases[i].revision);

		assert_non_null(m);
		assert_string_equal(m->id, cases[i].id);
		assert_int_equal(m->soc, cases[i].soc);
	}
	assert_null(br_pi_model_by_revision(0));
	assert_null(br_pi_model_by_revision(0x16));
	assert_null(br_pi_model_by_revision(0xa03ff0));
	assert_null(br_pi_model_by_revision(UINT32_MAX));
}

static void every_model_is_found_again(void **state)
{
	for (const struct br_pi_model *m = br_pi_models(); m->id; m++) {
		assert_ptr_equal(br_pi_model_by_id(m->id), m);
		assert_ptr_equal(br_pi_model_by_revision(br_pi_model_revision(m)), m);
		assert_null(strchr(m->id, ' '));
		assert_true(br_str_ends(m->dtb, ".dtb"));
		assert_string_not_equal(br_soc_name(m->soc), "unknown");
	}
	assert_string_equal(br_soc_name(99), "unknown");
}

static void ids_are_forgiving(void **state)
{
	static const struct {
		const char *text, *id;
	} cases[] = {
		{ "3b+", "3B+" }, { "3BPlus", "3B+" }, { "3-b-plus", "3B+" }, { "rpi-3-b-plus", "3B+" }, { "4", "4B" },
		{ "Pi 5", "5" }, { "cm4", "CM4" }, { "raspberry pi zero 2 w", "Zero2W" }, { "rpi-400", "400" },
		{ "5b", "5" }, { "", NULL }, { "6", NULL }, { "pi", NULL }, { "3b++", NULL },
		{ "a very long name that no board has, longer than any buffer", NULL },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		const struct br_pi_model *m = br_pi_model_by_id(cases[i].text);

		if (!cases[i].id)
			assert_null(m);
		else
			assert_string_equal(m ? m->id : "(none)", cases[i].id);
	}
}

static void ouis_are_a_hint(void **state)
{
	struct br_mac m;

	assert_int_equal(br_mac_parse("b8:27:eb:07:bc:c6", &m), 0);
	assert_true(br_pi_oui(m));
	assert_int_equal(br_pi_serial_low24_from_mac(m), 0x07bcc6);
	assert_int_equal(br_mac_parse("88:a2:9e:00:00:01", &m), 0);
	assert_true(br_pi_oui(m));
	assert_int_equal(br_pi_serial_low24_from_mac(m), 0);
	assert_int_equal(br_mac_parse("52:54:00:00:00:01", &m), 0);
	assert_false(br_pi_oui(m));
}

static void guids_parse(void **state)
{
	static const struct {
		const char *hex;
		struct br_pi_guid want;
	} cases[] = {
		{ "0044444444444444444444444444444444", { .kind = BR_PI_GUID_ROM_3B } },
		{ "004456efa24456efa24456efa24456efa2", { .kind = BR_PI_GUID_SERIAL, .serial = 0xa2ef5644 } },
		/* the worked example of wire notes 1.3, and the same with the fourcc of older EEPROMs */
		{ "00346950521431d000010902f73df0cd91", { BR_PI_GUID_STRUCTURED, 0x91cdf03d, 0xd03114,
							   { 1, 9, 2, 0xf7 }, 4 } },
		{ "00525069341431d000010902f73df0cd91", { BR_PI_GUID_STRUCTURED, 0x91cdf03d, 0xd03114,
							   { 1, 9, 2, 0xf7 }, 4 } },
		{ "00356950527041c000010902f73df0cd91", { BR_PI_GUID_STRUCTURED, 0x91cdf03d, 0xc04170,
							   { 1, 9, 2, 0xf7 }, 5 } },
		{ "00525069357041c000000000003df0cd91", { BR_PI_GUID_STRUCTURED, 0x91cdf03d, 0xc04170,
							   { 0, 0, 0, 0 }, 5 } },
		/* a fourcc of the owner's choice */
		{ "00deadbeef1431d000010902f73df0cd91", { BR_PI_GUID_STRUCTURED, 0x91cdf03d, 0xd03114,
							   { 1, 9, 2, 0xf7 }, 0 } },
		/* the UEFI of the Pi 4 (D-PIPXE), PCs, and wrong sizes and types */
		{ "001431d00000000000" "0000e45f010902f7", { .kind = BR_PI_GUID_FOREIGN } },
		{ "0000000000000000000000000000000000", { .kind = BR_PI_GUID_FOREIGN } },
		{ "00ffffffffffffffffffffffffffffffff", { .kind = BR_PI_GUID_FOREIGN } },
		{ "004c4c4544004b3510805ac2c04f4e3132", { .kind = BR_PI_GUID_FOREIGN } },
		{ "0144444444444444444444444444444444", { .kind = BR_PI_GUID_FOREIGN } },
		{ "00444444444444444444444444444444", { .kind = BR_PI_GUID_FOREIGN } },
		{ "", { .kind = BR_PI_GUID_FOREIGN } },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		uint8_t b[17];
		size_t n = strlen(cases[i].hex) / 2;
		struct br_pi_guid g;

		assert_int_equal(br_unhex(b, n, cases[i].hex), 0);
		g = br_pi_guid_parse(b, n);
		assert_int_equal(g.kind, cases[i].want.kind);
		assert_int_equal(g.serial, cases[i].want.serial);
		assert_int_equal(g.revision, cases[i].want.revision);
		assert_int_equal(g.generation, cases[i].want.generation);
		assert_memory_equal(g.mac_tail, cases[i].want.mac_tail, 4);
	}
}

static void guids_are_made(void **state)
{
	static const struct {
		struct br_pi_guid guid;
		bool old;
		const char *hex;
	} cases[] = {
		{ { .kind = BR_PI_GUID_ROM_3B }, false, "0044444444444444444444444444444444" },
		{ { .kind = BR_PI_GUID_SERIAL, .serial = 0xa2ef5644 }, false, "004456efa24456efa24456efa24456efa2" },
		{ { BR_PI_GUID_STRUCTURED, 0x91cdf03d, 0xd03114, { 1, 9, 2, 0xf7 }, 4 }, false,
			"00346950521431d000010902f73df0cd91" },
		{ { BR_PI_GUID_STRUCTURED, 0x91cdf03d, 0xd03114, { 1, 9, 2, 0xf7 }, 4 }, true,
			"00525069341431d000010902f73df0cd91" },
		{ { BR_PI_GUID_STRUCTURED, 0x91cdf03d, 0xc04170, { 1, 9, 2, 0xf7 }, 5 }, false,
			"00356950527041c000010902f73df0cd91" },
		{ { .kind = BR_PI_GUID_FOREIGN }, false, "0000000000000000000000000000000000" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		uint8_t b[17];
		char hex[35];

		br_pi_guid_make(&cases[i].guid, cases[i].old, b);
		br_hex(hex, b, 17);
		assert_string_equal(hex, cases[i].hex);
		assert_int_equal(br_pi_guid_parse(b, 17).kind, cases[i].guid.kind);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(revision_words_name_models),
		cmocka_unit_test(every_model_is_found_again),
		cmocka_unit_test(ids_are_forgiving),
		cmocka_unit_test(ouis_are_a_hint),
		cmocka_unit_test(guids_parse),
		cmocka_unit_test(guids_are_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

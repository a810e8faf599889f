/* SPDX-License-Identifier: Apache-2.0 */
/* Updates of boards' EEPROMs: what is refused and why, the files, recovery's options. */
#include "test.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "eepromimage.h"
#include "pi/eepromupdate.h"

struct refusal {
	enum image_form form;
	const char *config;
	uint32_t built, floor;
	enum br_soc board;
	enum br_eeprom_road road;
	const char *current;
	bool fused, countersigned;
	const char *words; /* NULL: not refused */
};

static void countersign(struct br_eeprom *e, const char *name)
{
	size_t len;
	const uint8_t *p = br_eeprom_get(e, name, &len);
	uint8_t *code = calloc(1, len + 532);

	assert_non_null(code);
	memcpy(code, p, len);
	br_store_le32(code + len, (uint32_t)len);
	br_store_le32(code + len + 4, BR_EEPROM_KEYNUM_CUSTOMER);
	assert_int_equal(br_eeprom_replace(e, name, code, len + 532, NULL), 0);
	free(code);
}

static void refused(void **state)
{
	static const char plain[] = "[all]\nBOOT_ORDER=0xf21\n";
	static const struct refusal cases[] = {
		{ IMAGE_2712_AB, plain, IMAGE_BUILD_TIME, BR_EEPROM_FLOOR, BR_SOC_BCM2712, 0, NULL, false, false, NULL },
		{ IMAGE_2711, plain, IMAGE_BUILD_TIME, BR_EEPROM_FLOOR, BR_SOC_UNKNOWN, 0, NULL, false, false, NULL },
		{ IMAGE_2711, plain, 1673395200, BR_EEPROM_FLOOR, BR_SOC_UNKNOWN, 0, NULL, false, false, "built 2023-01-11, before 2025-02-11" },
		{ IMAGE_2711, plain, 1673395200, 0, BR_SOC_UNKNOWN, 0, NULL, false, false, NULL },
		{ IMAGE_2711, plain, BR_EEPROM_FLOOR, BR_EEPROM_FLOOR, BR_SOC_UNKNOWN, 0, NULL, false, false, NULL },
		{ IMAGE_2711, plain, BR_EEPROM_FLOOR - 1, BR_EEPROM_FLOOR, BR_SOC_UNKNOWN, 0, NULL, false, false, "built 2025-02-10" },
		{ IMAGE_2711, plain, IMAGE_BUILD_TIME, 0, BR_SOC_BCM2712, 0, NULL, false, false, "is for BCM2711, the board has a BCM2712" },
		{ IMAGE_2712, plain, IMAGE_BUILD_TIME, 0, BR_SOC_BCM2837, 0, NULL, false, false, "the board has a BCM2837" },
		{ IMAGE_2711, "FREEZE_VERSION=1\n", IMAGE_BUILD_TIME, 0, 0, 0, NULL, false, false, "FREEZE_VERSION=1" },
		{ IMAGE_2711, "FREEZE_VERSION=1\n", IMAGE_BUILD_TIME, 0, 0, BR_EEPROM_RESCUE, NULL, false, false, NULL },
		{ IMAGE_2711, "FREEZE_VERSION=1\n", IMAGE_BUILD_TIME, 0, 0, 0, "FREEZE_VERSION=0\n", false, false, NULL },
		{ IMAGE_2711, plain, IMAGE_BUILD_TIME, 0, 0, 0, "[all]\nENABLE_SELF_UPDATE=0\n", false, false, "the board's configuration has ENABLE_SELF_UPDATE=0" },
		{ IMAGE_2711, "SIGNED_BOOT=1\n", IMAGE_BUILD_TIME, 0, 0, 0, NULL, false, false, "no bootconf.sig" },
		{ IMAGE_2711, "BOOT_ORDER=0xf9\n", IMAGE_BUILD_TIME, 0, 0, 0, NULL, false, false, "digit 9" },
		{ IMAGE_2712_AB, plain, IMAGE_BUILD_TIME, 0, 0, 0, NULL, false, true, "is counter-signed, and the board is not known as fused" },
		{ IMAGE_2712_AB, plain, IMAGE_BUILD_TIME, 0, 0, 0, NULL, true, true, NULL },
		{ IMAGE_2712_AB, plain, IMAGE_BUILD_TIME, 0, 0, 0, NULL, true, false, "is not counter-signed" },
		{ IMAGE_2711, plain, IMAGE_BUILD_TIME, 0, 0, 0, NULL, true, false, NULL },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		const struct refusal *c = &cases[i];
		size_t len;
		uint8_t *data = image_make_at(c->form, c->config, c->built, &len);
		struct br_findings f = { 0 };
		struct br_eeprom e = { 0 };
		struct br_eeprom_update u = { .image = &e, .road = c->road, .board = c->board, .fused = c->fused, .floor = c->floor,
			.current = c->current, .current_len = c->current ? strlen(c->current) : 0, .options = "" };

		assert_int_equal(br_eeprom_open(data, len, &e, NULL), 0);
		if (c->countersigned) {
			countersign(&e, "bootcode");
			countersign(&e, "bootsys");
		}
		br_eeprom_update_check(&u, &f);
		if (!c->words != !f.n || (c->words && !strstr(f.list[0].text, c->words)))
			fail_msg("case %zu: %s", i, f.n ? f.list[0].text : "not refused");
		br_findings_done(&f);
		br_eeprom_done(&e);
		free(data);
	}
}

static void files(void **state)
{
	static const char *const names[][BR_EEPROM_FILES] = {
		{ "pieeprom.upd", "pieeprom.sig" },
		{ "recovery.bin", "pieeprom.bin", "pieeprom.sig" },
		{ "config.txt", "bootcode5.bin", "pieeprom.bin", "pieeprom.sig" },
	};
	size_t len;
	uint8_t *data = image_make(IMAGE_2712, "", &len);
	struct br_eeprom e = { 0 };
	char sig[200], sum[BR_SHA256_HEX];

	assert_int_equal(br_eeprom_open(data, len, &e, NULL), 0);
	br_sha256_hex(data, len, sum);
	snprintf(sig, sizeof(sig), "%s\nts: 1700000000\n", sum);
	for (int road = 0; road < 3; road++) {
		struct br_eeprom_update u = { .image = &e, .road = (enum br_eeprom_road)road, .recovery = road ? "R" : NULL, .recovery_len = road ? 1 : 0,
			.options = "recovery_reboot=1\n" };
		struct br_eeprom_update_file file[BR_EEPROM_FILES];
		int n = br_eeprom_update_files(&u, 1700000000, file, NULL);

		assert_int_equal(n, 2 + road);
		for (int i = 0; i < n; i++)
			assert_string_equal(file[i].name, names[road][i]);
		assert_int_equal(file[n - 1].len, strlen(sig));
		assert_memory_equal(file[n - 1].data, sig, strlen(sig));
		assert_int_equal(file[n - 2].len, len);
		assert_memory_equal(file[n - 2].data, data, len);
		if (road == BR_EEPROM_RPIBOOT)
			assert_non_null(strstr(file[0].data, "\nrecovery_reboot=1\n"));
		br_eeprom_update_files_done(file, n);
	}
	br_eeprom_done(&e);
	free(data);
}

static void recovery_options(void **state)
{
	static const struct {
		enum br_soc soc;
		const char *line, *words;
		int r;
	} cases[] = {
		{ BR_SOC_BCM2711, "recovery_reboot=1", NULL, 0 },
		{ BR_SOC_BCM2711, "eeprom_write_protect=-1", NULL, 0 },
		{ BR_SOC_BCM2712, "set_reboot_order=0x3", NULL, 0 },
		{ BR_SOC_BCM2711, "set_reboot_order=0x3", "BCM2712 only", -EINVAL },
		{ BR_SOC_BCM2711, "recovery_reboot=2", "must be 0 to 1", -EINVAL },
		{ BR_SOC_BCM2711, "recovery_rebot=1", "did you mean recovery_reboot", -EINVAL },
		{ BR_SOC_BCM2711, "recovery_reboot", "no KEY=VALUE", -EINVAL },
		{ BR_SOC_BCM2712, "program_pubkey=1", "burns fuses", -EPERM },
		{ BR_SOC_BCM2711, "program_jtag_lock=1", "burns fuses", -EPERM },
		{ BR_SOC_BCM2711, "program_rpiboot_gpio=8", "burns fuses", -EPERM },
		{ BR_SOC_BCM2711, "revoke_devkey=1", "burns fuses", -EPERM },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_error err = BR_ERROR_NULL;

		assert_int_equal(br_eeprom_recovery_option(cases[i].soc, cases[i].line, &err), cases[i].r);
		assert_true(!cases[i].words || strstr(err.text, cases[i].words));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused),
		cmocka_unit_test(files),
		cmocka_unit_test(recovery_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Updates of boards' EEPROMs: what is refused and why, the files, recovery's options. */
#include "test.h"

#include "base/cleanup.h"
#include "base/hash.h"
#include "base/text.h"
#include "eepromimage.h"
#include "pi/eepromupdate.h"
#include "pi/sigfile.h"

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

static void countersign(struct br_eeprom *e, const char *name, int key)
{
	uint8_t *out = NULL;
	size_t len, n;
	const uint8_t *p = br_eeprom_get(e, name, &len);

	assert_int_equal(br_countersign(p, len, image_key(key), 0, &out, &n, NULL), 0);
	assert_int_equal(br_eeprom_replace(e, name, out, n, NULL), 0);
	free(out);
}

/* bootconf.sig and pubkey.bin. */
static void sign_config(struct br_eeprom *e, int key)
{
	struct br_sigfile sig = { .has_ts = true, .ts = 1700000000 };
	struct br_text text = BR_TEXT_NULL;
	size_t len;
	const uint8_t *config = br_eeprom_get(e, BR_EEPROM_CONFIG, &len);
	struct iovec part = { (void *)(uintptr_t)config, len };

	assert_int_equal(br_rsakey_sign_file(image_key(key), &part, 1, &sig, NULL), 0);
	br_sigfile_write(&sig, &text);
	assert_int_equal(br_eeprom_replace(e, BR_EEPROM_CONFIG_SIG, text.buf, text.len, NULL), 0);
	assert_int_equal(br_eeprom_replace(e, BR_EEPROM_PUBKEY, br_rsakey_public(image_key(key))->bytes, BR_RSAPUB_BYTES, NULL), 0);
	br_text_done(&text);
}

/* The reasons, one a line; free(). */
static char *reasons(const struct br_eeprom_update *u)
{
	struct br_findings f = { 0 };
	struct br_text text = BR_TEXT_NULL;

	br_eeprom_update_check(u, &f);
	br_text_add(&text, "");
	for (size_t i = 0; i < f.n; i++)
		br_text_addf(&text, "%s\n", f.list[i].text);
	br_findings_done(&f);
	return br_text_take(&text);
}

/* Boards with a key in their OTP: 0: it is not signed so; 1, 2: the customers' keys. */
static void fused_boards(void **state)
{
	static const struct {
		enum image_form form;
		int bootcode, bootsys, config, recovery; /* who signed; recovery -1: none, 0: stock, 9: with a flipped bit */
		int hash; /* of whose key is known */
		bool fusing, edited; /* bootconf.txt after it was signed */
		const char *words; /* NULL: accepted */
	} cases[] = {
		{ IMAGE_2712_AB, 1, 1, 1, -1, 0, false, false, NULL },
		{ IMAGE_2712_AB, 1, 1, 1, 1, 1, false, false, NULL },
		{ IMAGE_2712, 1, 0, 1, 1, 1, false, false, NULL },
		{ IMAGE_2712_AB, 1, 1, 1, -1, 0, false, true, "is of another bootconf.txt" },
		{ IMAGE_2712_AB, 1, 1, 0, -1, 0, false, false, "there is no bootconf.sig" },
		{ IMAGE_2712_AB, 1, 2, 1, -1, 0, false, false, "two different keys" },
		{ IMAGE_2712_AB, 2, 2, 1, -1, 0, false, false, "another key than the one in pubkey.bin" },
		{ IMAGE_2712_AB, 1, 1, 1, 2, 0, false, false, "recovery.bin is counter-signed with another key" },
		{ IMAGE_2712_AB, 1, 1, 1, 0, 0, false, false, "recovery.bin is not counter-signed" },
		{ IMAGE_2712_AB, 1, 1, 1, 9, 0, false, false, "recovery.bin is damaged or was changed" },
		{ IMAGE_2712_AB, 2, 2, 2, 2, 1, false, false, "another key than the one in the board's OTP" },
		{ IMAGE_2712_AB, 0, 0, 1, -1, 0, false, false, "the image is not counter-signed" },
		{ IMAGE_2712_AB, 1, 1, 1, 0, 1, true, false, NULL },
		{ IMAGE_2712_AB, 1, 1, 1, 1, 1, true, false, "recovery.bin is counter-signed: a board that is not fused" },
		{ IMAGE_2711, 0, 0, 1, -1, 1, false, false, NULL },
		{ IMAGE_2711, 0, 0, 0, -1, 0, false, false, "there is no bootconf.sig" },
		{ IMAGE_2711, 0, 0, 1, -1, 2, false, false, "another key than the one in the board's OTP" },
		{ IMAGE_2711, 0, 0, 1, -1, 1, false, true, "is of another bootconf.txt" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		size_t len, recovery_len = 20000;
		uint8_t *data = image_make(cases[i].form, "[all]\nBOOT_ORDER=0xf21\n", &len), *recovery = NULL, hash[32];
		struct br_eeprom e = { 0 };
		struct br_eeprom_update u = { .image = &e, .fused = true, .fusing = cases[i].fusing, .options = "" };
		char *text;

		assert_int_equal(br_eeprom_open(data, len, &e, NULL), 0);
		if (cases[i].bootcode)
			countersign(&e, "bootcode", cases[i].bootcode);
		if (cases[i].bootsys)
			countersign(&e, "bootsys", cases[i].bootsys);
		if (cases[i].config)
			sign_config(&e, cases[i].config);
		if (cases[i].edited)
			assert_int_equal(br_eeprom_replace(&e, BR_EEPROM_CONFIG, "BOOT_ORDER=0xf2\n", 16, NULL), 0);
		if (cases[i].recovery >= 0)
			recovery = image_code(cases[i].form, recovery_len, 1);
		if (cases[i].recovery == 1 || cases[i].recovery == 2) {
			uint8_t *out;

			assert_int_equal(br_countersign(recovery, recovery_len, image_key(cases[i].recovery), 0, &out, &recovery_len, NULL), 0);
			free(recovery);
			recovery = out;
		}
		if (cases[i].recovery == 9)
			recovery[500] ^= 1;
		u.road = recovery ? BR_EEPROM_RPIBOOT : BR_EEPROM_SELF_UPDATE;
		u.recovery = recovery;
		u.recovery_len = recovery_len;
		if (cases[i].hash) {
			br_rsapub_hash(br_rsakey_public(image_key(cases[i].hash)), hash);
			u.key_hash = hash;
		}
		text = reasons(&u);
		if (cases[i].words ? !strstr(text, cases[i].words) : text[0] != '\0')
			fail_msg("case %zu: '%s'", i, text);
		free(text);
		free(recovery);
		br_eeprom_done(&e);
		free(data);
	}
}

/* recovery.bin of BCM2711, options that need a second thought, the floor, partition B. */
static void second_thoughts(void **state)
{
	size_t len;
	uint8_t *data = image_make(IMAGE_2711, "", &len), *code = image_code(IMAGE_2711, 3000, 1), *other = image_code(IMAGE_2712, 3000, 1);
	uint8_t *two = image_make(IMAGE_2712_AB, "", &len);
	struct br_eeprom e = { 0 }, ab = { 0 };
	const struct {
		struct br_eeprom_update u;
		const char *words;
	} cases[] = {
		{ { .recovery = code, .recovery_len = 3000, .options = "recovery_reboot=1\nerase_eeprom=0\n" }, NULL },
		{ { .recovery = other, .recovery_len = 3000, .options = "" }, "recovery.bin is for BCM2712" },
		{ { .recovery = code, .recovery_len = 2999, .options = "" }, "it is cut or another chip's" },
		{ { .recovery = "R", .recovery_len = 1, .options = "" }, "it is cut or another chip's" },
		{ { .recovery = code, .recovery_len = 3000, .options = "recovery_reboot=1\nerase_eeprom=1\n" }, "erase_eeprom=1 leaves" },
		{ { .recovery = code, .recovery_len = 3000, .options = "", .floor = 86400, .lowered = BR_EEPROM_FLOOR }, "lowered from 2025-02-11 to 1970-01-02" },
		{ { .image = &ab, .recovery = other, .recovery_len = 3000, .options = "" }, "partition B is used" },
	};

	assert_int_equal(br_eeprom_open(data, BR_EEPROM_SIZE_2711, &e, NULL), 0);
	br_store_be32(two + BR_EEPROM_B, 0x55aaf0ff);
	assert_int_equal(br_eeprom_open(two, len, &ab, NULL), 0);
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_eeprom_update u = cases[i].u;
		char *text;

		u.road = BR_EEPROM_RPIBOOT;
		u.image = u.image ? u.image : &e;
		text = reasons(&u);
		if (cases[i].words ? !strstr(text, cases[i].words) : text[0] != '\0')
			fail_msg("case %zu: '%s'", i, text);
		free(text);
	}
	br_eeprom_done(&e);
	br_eeprom_done(&ab);
	free(data);
	free(code);
	free(other);
	free(two);
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
		{ IMAGE_2711, plain, IMAGE_BUILD_TIME, 0, 0, 0, NULL, true, false, "no bootconf.sig" },
		{ IMAGE_2711, "[pi4]\nFREEZE_VERSION=1\n", IMAGE_BUILD_TIME, 0, 0, 0, NULL, false, false, "FREEZE_VERSION=1" },
		{ IMAGE_2711, "[pi5]\nFREEZE_VERSION=1\n", IMAGE_BUILD_TIME, 0, 0, 0, NULL, false, false, NULL },
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
			countersign(&e, "bootcode", 1);
			countersign(&e, "bootsys", 1);
			sign_config(&e, 1);
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
			.options = "recovery_reboot=1\nset_reboot_order=0x3\n" };
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
			assert_non_null(strstr(file[0].data, "\nset_reboot_order=0x3\nrecovery_reboot=1\n"));
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
		cmocka_unit_test(fused_boards),
		cmocka_unit_test(second_thoughts),
		cmocka_unit_test(files),
		cmocka_unit_test(recovery_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* bootconf.txt: sections and values, edits that keep every other byte, the checks. */
#include "test.h"

#include "base/cleanup.h"
#include "pi/bootconf.h"

static const struct {
	const char *text, *section, *key, *value; /* value NULL: taken out */
	const char *after;
} edits[] = {
	{ "[all]\nA=1\nB=2\n", NULL, "A", "3", "[all]\nA=3\nB=2\n" },
	{ "[all]\nA=1\nB=2\n", NULL, "A", "1", "[all]\nA=1\nB=2\n" },
	{ "[all]\nA=1\nB=2\n", NULL, "A", NULL, "[all]\nB=2\n" },
	{ "[all]\nA=1\nB=2\n", "all", "C", "3", "[all]\nA=1\nB=2\nC=3\n" },
	{ "[all]\nA=1", NULL, "C", "3", "[all]\nA=1\nC=3\n" },
	{ "A=1\r\nB=2\r\n", NULL, "C", "3", "A=1\r\nB=2\r\nC=3\r\n" },
	{ "A=1\r\nB=2\r\n", NULL, "A", "3", "A=3\r\nB=2\r\n" },
	{ "", NULL, "A", "1", "A=1\n" },
	{ "\n\n", NULL, "A", "1", "A=1\n\n\n" },
	{ "# c\n[all]\nA=1 # no comment\n", NULL, "A", "2", "# c\n[all]\nA=2\n" },
	{ "A=1\n# A=2\nA=3\n", NULL, "A", "4", "A=1\n# A=2\nA=4\n" },
	{ "A=1\n# A=2\nA=3\n", NULL, "A", NULL, "# A=2\n" },
	{ "[pi4]\nA=1\n", NULL, "A", "2", "[pi4]\nA=1\n[all]\nA=2\n" },
	{ "[all]\nA=1\n[pi4]\nA=2\n[all]\nB=1\n", NULL, "A", "9", "[all]\nA=9\n[pi4]\nA=2\n[all]\nB=1\n" },
	{ "[all]\nA=1\n[pi4]\nA=2\n[all]\nB=1\n", "PI4", "A", "9", "[all]\nA=1\n[pi4]\nA=9\n[all]\nB=1\n" },
	{ "[all]\nA=1\n[pi4]\nA=2\n[all]\nB=1\n", "pi4", "C", "9", "[all]\nA=1\n[pi4]\nA=2\nC=9\n[all]\nB=1\n" },
	{ "[all]\nA=1\n", "cm5", "C", "9", "[all]\nA=1\n[cm5]\nC=9\n" },
	{ "[all]\nA=1\n\n[config.txt]\n[all]\nA=7\n", NULL, "A", "2", "[all]\nA=2\n\n[config.txt]\n[all]\nA=7\n" },
	{ "[all]\nA=1\n\n[config.txt]\n[all]\nA=7\n", NULL, "B", "2", "[all]\nA=1\nB=2\n\n[config.txt]\n[all]\nA=7\n" },
	{ "[all]\nA=1\n[config.txt]\nx=7\n", "pi5", "B", "2", "[all]\nA=1\n[pi5]\nB=2\n[config.txt]\nx=7\n" },
	{ "[all]\nA=1\n[config.txt]\nx=7\n", "config.txt", "x", "8", "[all]\nA=1\n[config.txt]\nx=8\n" },
	{ "[all]\nA=1\n[config.txt]\nx=7", "config.txt", "dtparam", "i2c=on", "[all]\nA=1\n[config.txt]\nx=7\ndtparam=i2c=on\n" },
	{ "A = 1\n", NULL, "A", "2", "A = 2\n" },
	{ "A=\n", NULL, "A", "2", "A=2\n" },
	{ "A=1\n", NULL, "A", "", "A=\n" },
	{ "A=1\n", NULL, "B", NULL, "A=1\n" },
};

static void edit(void **state)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(edits); i++) {
		br_cleanup(br_freep) char *out = NULL;
		size_t len;

		assert_int_equal(br_bootconf_set(edits[i].text, strlen(edits[i].text), edits[i].section, edits[i].key, edits[i].value, &out,
			&len, NULL), 0);
		assert_string_equal(out, edits[i].after);
		assert_int_equal(len, strlen(out));
	}
}

static void not_to_be_written(void **state)
{
	static const struct {
		const char *section, *key, *value;
	} cases[] = { { NULL, "", "1" }, { NULL, "A B", "1" }, { NULL, "A", "1\nB=2" }, { NULL, "A", " 1" }, { NULL, "A", "1 " },
		{ NULL, "A", "\x1b" }, { "a]b", "A", "1" }, { "a\nb", "A", "1" }, { NULL, "[x]", "1" }, { NULL, "#A", "1" },
		{ NULL, "A=", "1" } };

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_error err = BR_ERROR_NULL;
		char *out = NULL;
		size_t len;

		assert_int_equal(br_bootconf_set("A=1\n", 4, cases[i].section, cases[i].key, cases[i].value, &out, &len, &err), -EINVAL);
		assert_true(err.text[0] != 0);
		assert_null(strchr(err.text, '\x1b'));
	}
}

static void values(void **state)
{
	static const struct {
		const char *key, *value;
		int r;
	} cases[] = {
		{ "BOOT_ORDER", "0xf21", 0 }, { "BOOT_ORDER", "f21", -EINVAL }, { "BOOT_ORDER", "0x", -EINVAL },
		{ "BOOT_ORDER", "0xf81", -EINVAL }, { "BOOT_ORDER", "0xfd", -EINVAL }, { "BOOT_ORDER", "0", -EINVAL },
		{ "BOOT_ORDER", "0xf25641321", -EINVAL }, { "BOOT_ORDER", "0xf2564171", 0 }, { "BOOT_ORDER", "", -EINVAL },
		{ "BOOT_UART", "1", 0 }, { "BOOT_UART", "2", -EINVAL }, { "BOOT_UART", "01", -EINVAL },
		{ "DHCP_TIMEOUT", "5000", 0 }, { "DHCP_TIMEOUT", "4999", -EINVAL }, { "DHCP_REQ_TIMEOUT", "500", 0 },
		{ "DHCP_REQ_TIMEOUT", "499", -EINVAL }, { "TFTP_FILE_TIMEOUT", "4000", -EINVAL }, { "TFTP_FILE_TIMEOUT", "30000", 0 },
		{ "NET_BOOT_MAX_RETRIES", "-1", 0 }, { "NET_BOOT_MAX_RETRIES", "-2", -EINVAL }, { "MAX_RESTARTS", "99999999999999", -EINVAL },
		{ "TFTP_PREFIX", "2", 0 }, { "TFTP_PREFIX", "3", -EINVAL },
		{ "TFTP_PREFIX_STR", "12345678901234567890123456789012", 0 }, { "TFTP_PREFIX_STR", "123456789012345678901234567890123", -EINVAL },
		{ "TFTP_IP", "192.168.1.1", 0 }, { "TFTP_IP", "", 0 }, { "TFTP_IP", "192.168.1", -EINVAL }, { "SUBNET", "255.255.255.0", 0 },
		{ "MAC_ADDRESS", "dc:a6:32:01:02:03", 0 }, { "MAC_ADDRESS", "dca632010203", -EINVAL }, { "MAC_ADDRESS", "dc-a6-32-01-02-03", -EINVAL },
		{ "MAC_ADDRESS", "dd:a6:32:01:02:03", -EINVAL }, { "MAC_ADDRESS", "00:00:00:00:00:00", -EINVAL }, { "MAC_ADDRESS", "dc:a6:32:01:02:0", -EINVAL },
		{ "MAC_ADDRESS_OTP", "0,1", 0 }, { "MAC_ADDRESS_OTP", "0,8", -EINVAL }, { "MAC_ADDRESS_OTP", "0", -EINVAL },
		{ "NETCONSOLE", "6665@10.0.0.1/,6666@10.0.0.2/", 0 }, { "NETCONSOLE", "@/,@/", 0 }, { "NETCONSOLE", "6665@10.0.0.1,6666@10.0.0.2/", -EINVAL },
		{ "NETCONSOLE", "0@/,@/", -EINVAL }, { "NETCONSOLE", "@x/,@/", -EINVAL }, { "NETCONSOLE", "@/,@/zz", -EINVAL },
		{ "NETCONSOLE", "6665@192.168.100.100/eth0,6666@192.168.100.101/", -EINVAL },
		{ "HTTP_HOST", "boot.example", 0 }, { "HTTP_HOST", "http://boot.example", -EINVAL }, { "HTTP_HOST", "boot.example:80", -EINVAL },
		{ "HTTP_HOST", "boot/x", -EINVAL }, { "HTTP_PORT", "0", -EINVAL }, { "HTTP_PORT", "65536", -EINVAL }, { "HTTP_PORT", "8080", 0 },
		{ "HTTP_CACERT_HASH", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", 0 },
		{ "HTTP_CACERT_HASH", "00112233", -EINVAL }, { "USB_MSD_PWR_OFF_TIME", "0", 0 }, { "USB_MSD_PWR_OFF_TIME", "249", -EINVAL },
		{ "USB_MSD_EXCLUDE_VID_PID", "034700a0,a4231234", 0 }, { "USB_MSD_EXCLUDE_VID_PID", "0347", -EINVAL },
		{ "BOOT_ODER", "1", -ENOENT }, { "boot_order", "1", -ENOENT }, { "QQQ", "1", -ENOENT }, { "PCIE_PROBE", "1", 0 },
	};
	struct br_bootconf_board board = { 0 };

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_error err = BR_ERROR_NULL;
		int r = br_bootconf_check_value(cases[i].key, cases[i].value, &board, &err);

		if (r != cases[i].r)
			fail_msg("%s=%s: %d (%s)", cases[i].key, cases[i].value, r, err.text);
		assert_true(!r || err.text[0]);
	}
	board.soc = BR_SOC_BCM2711;
	assert_int_equal(br_bootconf_check_value("PCIE_PROBE", "1", &board, NULL), -ENOENT);
}

static void nearest_name(void **state)
{
	struct br_bootconf_board board = { 0 };
	struct br_error err = BR_ERROR_NULL;

	br_bootconf_check_value("BOOT_ODER", "1", &board, &err);
	assert_non_null(strstr(err.text, "did you mean BOOT_ORDER?"));
	br_bootconf_check_value("tftp_prefix", "1", &board, &err);
	assert_non_null(strstr(err.text, "did you mean TFTP_PREFIX?"));
}

/* Each text gives this many errors and warnings, and these words. */
static const struct {
	const char *text, *words;
	enum br_soc soc;
	uint32_t time;
	size_t errors, warnings;
	bool local;
} checks[] = {
	{ "BOOT_ORDER=0xf21\n", NULL, 0, 0, 0, 0, false },
	{ "BOOT_ORDER=0xf41\n", "has no network (2)", 0, 0, 0, 1, false },
	{ "BOOT_ORDER=0xf41\n", NULL, 0, 0, 0, 0, true },
	{ "", "0xf461 (the default) has no network", BR_SOC_BCM2712, 0, 0, 1, false },
	{ "BOOT_ORDER=0x21\n", "no restart (f)", 0, 0, 0, 1, false },
	{ "BOOT_ORDER=0x321\n", NULL, 0, 0, 0, 0, false },
	{ "BOOT_ORDER=0xf231\n", "network is never tried, for rpiboot", 0, 0, 0, 2, false },
	{ "BOOT_ORDER=0x2f1\n", "network is never tried, for restart", 0, 0, 0, 2, false },
	{ "BOOT_ORDER=0xf21\nBOOT_ORDER=0xf12\n", "set in line 1 already", 0, 0, 0, 1, false },
	{ "BOOT_ORDER=0xf12\nNET_BOOT_MAX_RETRIES=-1\n", "SD behind it", 0, 0, 0, 1, false },
	{ "BOOT_ORDER=0xf21\nNET_BOOT_MAX_RETRIES=-1\n", NULL, 0, 0, 0, 0, false },
	{ "BOOT_ORDER=0xf21\nMAX_RESTARTS=3\n", "gives up", 0, 0, 0, 1, false },
	{ "BOOT_ORDER=0xf21\nCLIENT_IP=10.0.0.2\nSUBNET=255.255.255.0\n", "TFTP_IP, GATEWAY missing", 0, 0, 0, 1, false },
	{ "BOOT_ORDER=0xf21\nCLIENT_IP=10.0.0.2\nSUBNET=255.0.255.0\nTFTP_IP=10.0.0.1\nGATEWAY=10.0.0.1\n", "no network mask", 0, 0, 1, 1, false },
	{ "BOOT_ORDER=0xf21\nCLIENT_IP=10.0.0.2\nSUBNET=255.255.255.0\nTFTP_IP=10.0.1.1\nGATEWAY=10.0.2.1\n", "cannot reach its server", 0, 0, 1, 1, false },
	{ "BOOT_ORDER=0xf21\nTFTP_PREFIX=1\n", "TFTP_PREFIX_STR, which is empty", 0, 0, 0, 1, false },
	{ "BOOT_ORDER=0xf21\nTFTP_PREFIX_STR=a/\n", "with TFTP_PREFIX=1 only", 0, 0, 0, 1, false },
	{ "BOOT_ORDER=0xf21\nTFTP_PREFIX=1\nTFTP_PREFIX_STR=a\n", "'aconfig.txt'", 0, 0, 0, 1, false },
	{ "BOOT_ORDER=0xf7\n", "has no network", 0, 0, 0, 1, false },
	{ "BOOT_ORDER=0xf7\nHTTP_HOST=h\n", "turns HTTPS off", BR_SOC_BCM2711, 0, 0, 1, false },
	{ "BOOT_ORDER=0xf7\nHTTP_HOST=h\n", "names a router", BR_SOC_BCM2712, 0, 0, 2, false },
	{ "BOOT_ORDER=0xf72\nSIGNED_BOOT=1\n", "passed over unless HTTP_HOST", 0, 0, 0, 1, false },
	{ "BOOT_ORDER=0xf2\nUSE_IPV6=1\n", "DHCPv6", 0, 0, 0, 1, false },
	{ "BOOT_ORDER=0xf2\nMAC_ADDRESS=dc:a6:32:01:02:03\n", "same address", 0, 0, 0, 1, false },
	{ "BOOT_ORDER=0xf2\n[0x1234]\nMAC_ADDRESS=dc:a6:32:01:02:03\n", NULL, 0, 0, 0, 0, false },
	{ "BOOT_ORDER=0xf2\nSIGNED_BOOT=1\n", "too old for it", 0, 1600000000, 1, 1, false },
	{ "BOOT_ORDER=0xf2\n", "no file above 67 MB", 0, 1600000000, 0, 0, false },
	{ "BOOT_ORDER=0xf2\n", "no file above 96 MB", 0, 1700000000, 0, 0, false },
	{ "BOOT_ORDER=0xf2\nFREEZE_VERSION=1\n", "takes no further update", 0, 0, 0, 0, false },
	{ "BOOT_ORDER=0xf2\n[cm4]\nBOOT_ORDER=0xf1\n", "on boards of [cm4]: BOOT_ORDER=0xf1 has no network", BR_SOC_BCM2711, 0, 0, 1, false },
	{ "BOOT_ORDER=0xf2\n[cm4]\nBOOT_ORDER=0xf1\n", NULL, BR_SOC_BCM2712, 0, 0, 0, false },
	{ "BOOT_ORDER=0xf2\n[none]\nBOOT_ORDER=0xf1\n", NULL, BR_SOC_BCM2712, 0, 0, 0, false },
	{ "[cm4x]\nA=1\n[all]\nBOOT_ORDER=0xf2\n", "did you mean", 0, 0, 0, 2, false },
	{ "BOOT_ORDER=0xf2\nnonsense\n", "no KEY=VALUE", 0, 0, 0, 1, false },
	{ "BOOT_ORDER = 0xf2\n", "blanks", 0, 0, 0, 1, false },
	{ "BOOT_ORDER=0xf2\n[config.txt]\nnonsense\n[foo]\nfoo=bar\n", NULL, 0, 0, 0, 1, false },
	{ "BOOT_ORDER=0xf2\nDHCP_TIMEOUT=1\n", "must be 5000 to", 0, 0, 1, 0, false },
};

static void check(void **state)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(checks); i++) {
		struct br_bootconf_board board = { .soc = checks[i].soc, .build_time = checks[i].time, .network = !checks[i].local };
		struct br_findings f = { 0 };
		bool found = !checks[i].words;
		size_t len = strlen(checks[i].text);

		br_bootconf_check_lines(checks[i].text, len, &board, &f);
		br_bootconf_check_meaning(checks[i].text, len, &board, &f);
		for (size_t k = 0; k < f.n; k++)
			found |= checks[i].words && strstr(f.list[k].text, checks[i].words);
		if (!found || br_findings_count(&f, BR_FINDING_ERROR) != checks[i].errors ||
			br_findings_count(&f, BR_FINDING_WARNING) != checks[i].warnings) {
			for (size_t k = 0; k < f.n; k++)
				print_error("%s: %s\n", br_severity_name(f.list[k].severity), f.list[k].text);
			fail_msg("%s(%s)", checks[i].text, checks[i].words ? checks[i].words : "");
		}
		br_findings_done(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(edit),
		cmocka_unit_test(not_to_be_written),
		cmocka_unit_test(values),
		cmocka_unit_test(nearest_name),
		cmocka_unit_test(check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

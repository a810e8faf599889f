/* SPDX-License-Identifier: Apache-2.0 */
/* Power URIs, what is secret in them, sections of bramble.conf, answers of plugs. */
#include "tests/unit/test.h"

#include <errno.h>

#include "base/clock.h"
#include "base/cleanup.h"
#include "power/answer.h"
#include "power/conf.h"
#include "power/uri.h"

static void right_ones(void **state)
{
	static const struct {
		const char *text, *host, *outlet, *device, *shown;
		enum br_power_scheme scheme;
		uint16_t port;
	} cases[] = {
		{ "snmp://secret@sw1/7", "sw1", "7", "snmp://sw1", "snmp://***@sw1/7", BR_POWER_SNMP, 0 },
		{ "snmp://sw1:1161/2.7?version=2c", "sw1", "2.7", "snmp://sw1:1161", "snmp://sw1:1161/2.7?version=2c", BR_POWER_SNMP, 1161 },
		{ "snmpv3://rack1/7", "rack1", "7", "snmpv3://rack1", NULL, BR_POWER_SNMPV3, 0 },
		{ "gpio://gpiochip0/17?active-low&pulse=200ms", "gpiochip0", "17", "gpio://gpiochip0", NULL, BR_POWER_GPIO, 0 },
		{ "usbhub:1-1.4:2", "1-1.4", "2", "usbhub:1-1.4", NULL, BR_POWER_USBHUB, 0 },
		{ "usbhub:2-0:1", "2-0", "1", "usbhub:2-0", NULL, BR_POWER_USBHUB, 0 },
		{ "tasmota://a:b%40c@10.0.0.9:81/1", "10.0.0.9", "1", "tasmota://10.0.0.9:81", "tasmota://***@10.0.0.9:81/1", BR_POWER_TASMOTA, 81 },
		{ "tasmota://a:b/c@d@10.0.0.9/1", NULL, NULL, NULL, "tasmota://***@10.0.0.9/1", 0, 0 },
		{ "shelly://[fe80::1]:80/0", "fe80::1", "0", "shelly://fe80::1:80", NULL, BR_POWER_SHELLY, 80 },
		{ "http://u:p@h:8080/x/{action}?a=1", "h", "", "http://h:8080", "http://***@h:8080/x/{action}?a=1", BR_POWER_HTTP, 8080 },
		{ "http:strip/3", "strip", "3", "http:strip", NULL, BR_POWER_HTTP, 0 },
		{ "pdudaemon://localhost:16421/pdu-a/3", "localhost", "3", "pdudaemon://localhost:16421/pdu-a", NULL, BR_POWER_PDUDAEMON, 16421 },
		{ "command:", "", "", "command:", NULL, BR_POWER_COMMAND, 0 },
		{ "command:ctl/bank%201", "ctl", "bank 1", "command:ctl", NULL, BR_POWER_COMMAND, 0 },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		char device[BR_POWER_DEVICE_MAX], shown[1100];
		struct br_error err = BR_ERROR_NULL;
		struct br_power_uri u;
		int r = br_power_uri_parse(cases[i].text, &u, &err);

		assert_string_equal(br_power_uri_public(shown, sizeof(shown), cases[i].text), cases[i].shown ?: cases[i].text);
		if (!cases[i].host) {
			assert_int_equal(r, -EINVAL);
			assert_null(strstr(err.text, "b/c"));
			continue;
		}
		if (r < 0)
			fail_msg("%s: %s", cases[i].text, err.text);
		assert_int_equal(u.scheme, cases[i].scheme);
		assert_string_equal(u.host, cases[i].host);
		assert_string_equal(u.outlet, cases[i].outlet);
		assert_int_equal(u.port, cases[i].port);
		assert_string_equal(br_power_uri_device(device, &u), cases[i].device);
	}
}

static void wrong_ones(void **state)
{
	static const struct {
		const char *text, *words;
	} cases[] = {
		{ "switch7", "no known scheme" }, { "snmp:sw1/7", "no '//'" }, { "snmp://sw1", "no outlet" }, { "snmp://sw1/", "no outlet" },
		{ "snmp://sw1/x", "no right outlet" }, { "snmp://sw1/7?version=3", "another version" }, { "snmp://a:b:c@sw1/7/8", "outlet" },
		{ "snmp://sw1:0/7", "port" }, { "snmp://sw1:70000/7", "port" }, { "gpio://user@chip/1", "user" },
		{ "gpio://../../dev/1", "outlet" }, { "gpio://gpiochip0/17?pulse=2h", "pulse" }, { "usbhub:x:1", "hub" }, { "usbhub:1-1:0", "port" },
		{ "usbhub:1-1:256", "port" }, { "usbhub:1/../1-1:2", "hub" }, { "http://h/on", "{action}" }, { "http:/3", "program" },
		{ "command:/bin/rm/x", "may not name a program" }, { "pdudaemon://h/3", "PDU" }, { "tasmota://h/1?x", "not known" },
		{ "tasmota://h/%31%zz", "outlet" }, { "tasmota://h/%00", "outlet" }, { "shelly://[::1/0", "address" }, { "tasmota://h/ 1", "blanks" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_error err = BR_ERROR_NULL;

		assert_int_equal(br_power_uri_ok(cases[i].text, &err), -EINVAL);
		if (!strstr(err.text, cases[i].words))
			fail_msg("%s: %s", cases[i].text, err.text);
	}
	assert_int_equal(br_power_uri_ok("", NULL), 0);
}

struct line {
	const char *section, *key, *value;
};

static int read_conf(struct br_power_conf *c, const struct line *lines, struct br_error *err)
{
	int r = 0;

	*c = (struct br_power_conf){ 0 };
	for (; !r && lines->section; lines++)
		r = br_power_conf_set(c, lines->section, lines->key, lines->value, err);
	return r ? r : br_power_conf_check(c, err);
}

static void a_rack_is_three_lines(void **state)
{
	static const struct line lines[] = {
		{ "power", "delay", "2s" }, { "switch rack1", "address", "10.0.0.2" }, { "switch rack1", "boards", "pi[01-24]" },
		{ "switch rack2", "address", "10.0.0.3:1161" }, { "switch rack2", "boards", "x[1-2]" }, { "switch rack2", "ports", "5,9" },
		{ "switch rack2", "delay", "0" }, { "power plugs", "uri", "tasmota://10.0.1.{port}/1" }, { "power plugs", "boards", "t[1-3]" },
		{ "power plugs", "ports", "11-13" }, { "power ctl", "command", "/bin/ctl {outlet} {action}" }, { "power ctl", "boards", "c1" },
		{ "power web", "on", "http://h/on?{port}" }, { "power web", "off", "http://h/off?{port}" }, { "power web", "boards", "w1" },
		{ "power web", "ports", "lan3" }, { 0 },
	};
	static const struct {
		const char *board, *uri;
	} cases[] = {
		{ "pi01", "snmp://rack1/1" }, { "pi24", "snmp://rack1/24" }, { "x2", "snmp://rack2/9" }, { "t2", "tasmota://10.0.1.12/1" },
		{ "c1", "command:ctl/1" }, { "w1", "http:web/lan3" },
	};
	struct br_error err = BR_ERROR_NULL;
	struct br_power_conf c;
	char uri[256];

	if (read_conf(&c, lines, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		assert_int_equal(br_power_conf_uri(&c, cases[i].board, uri, sizeof(uri)), 0);
		assert_string_equal(uri, cases[i].uri);
		assert_int_equal(br_power_uri_ok(uri, NULL), 0);
	}
	assert_int_equal(br_power_conf_uri(&c, "pi25", uri, sizeof(uri)), -ENOENT);
	assert_int_equal(br_power_conf_limits(&c, br_power_conf_find(&c, "rack1"), BR_POWER_SNMP).delay_ns, 2 * BR_S);
	assert_true(br_power_conf_limits(&c, br_power_conf_find(&c, "rack2"), BR_POWER_SNMP).delay_ns < BR_MS);
	br_power_conf_done(&c);
}

static void what_is_wrong_in_a_section_is_told(void **state)
{
	static const struct {
		struct line lines[4];
		const char *words;
	} cases[] = {
		{ { { "switch a", "boards", "x" } }, "no 'address'" },
		{ { { "switch a", "address", "h" }, { "switch a", "boards", "x[1-3]" }, { "switch a", "ports", "1,2" } }, "3 boards and 2 ports" },
		{ { { "switch a", "address", "h" }, { "power a", "uri", "x" } }, "another one has this name" },
		{ { { "switch a", "address", "h" }, { "switch a", "user", "u" } }, "auth-password" },
		{ { { "power a", "boards", "x" } }, "must have one of" },
		{ { { "power a", "on", "http://h" } }, "both 'on' and 'off'" },
		{ { { "power a", "on", "ftp://h" } }, "must be a URL" },
		{ { { "power a", "uri", "nonsense" }, { "power a", "boards", "x" } }, "no known scheme" },
		{ { { "power a", "uri", "tasmota://h/{oulet}" }, { "power a", "boards", "x" } }, "another field" },
		{ { { "power a", "command", "ctl" } }, "full path" },
		{ { { "power a", "colour", "red" } }, "not known" },
		{ { { "power", "colour", "red" } }, "not known" },
		{ { { "power", "at-once", "0" } }, "1 to 64" },
		{ { { "power", "idle-off", "1s" } }, "1m or more" },
		{ { { "power", "quarantine-after", "0" } }, "never" },
		{ { { "power a/b", "uri", "x" } }, "its name" },
		{ { { "switch a", "secrets", "x" } }, "absolute" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_error err = BR_ERROR_NULL;
		struct br_power_conf c;

		assert_true(read_conf(&c, cases[i].lines, &err) < 0);
		if (!strstr(err.text, cases[i].words))
			fail_msg("%zu: %s", i, err.text);
		br_power_conf_done(&c);
	}
}

static void what_plugs_say(void **state)
{
	static const struct {
		const char *text;
		int state; /* -1: nothing of use */
	} cases[] = {
		{ "on", 2 }, { "OFF\r\n", 1 }, { " 1 ", 2 }, { "{\"power\":\"on\"}", 2 }, { "{\"state\":false}", 1 }, { "{\"ison\":true}", 2 },
		{ "<html>on</html>", -1 }, { "", -1 }, { "{\"power\":7}", -1 }, { "[1]", -1 }, { "\0on", -1 }, { "onn", -1 },
	};
	enum br_power_state s;
	char detail[80];
	json_t *j;

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		assert_int_equal(br_power_answer_plain(cases[i].text, strlen(cases[i].text), &s), cases[i].state >= 0);
		if (cases[i].state >= 0)
			assert_int_equal(s, cases[i].state);
	}
	j = json_pack("{s:s, s:s}", "POWER1", "ON", "POWER2", "OFF");
	assert_int_equal(br_power_answer_tasmota(j, "2", &s, NULL), 0);
	assert_int_equal(s, BR_POWER_IS_OFF);
	assert_int_equal(br_power_answer_tasmota(j, "3", &s, NULL), -EPROTO);
	json_decref(j);
	j = json_pack("{s:s}", "POWER", "ON");
	assert_int_equal(br_power_answer_tasmota(j, "1", &s, NULL), 0);
	assert_int_equal(br_power_answer_tasmota(j, "2", &s, NULL), -EPROTO);
	json_decref(j);
	j = json_pack("{s:i}", "gen", 3);
	assert_int_equal(br_power_answer_shelly_generation(j, NULL), 3);
	json_decref(j);
	j = json_pack("{s:b, s:f}", "output", true, "apower", 3.14);
	assert_int_equal(br_power_answer_shelly(j, 2, &s, detail, sizeof(detail), NULL), 0);
	assert_string_equal(detail, "3.1 W");
	assert_int_equal(br_power_answer_shelly(j, 1, &s, detail, sizeof(detail), NULL), -EPROTO);
	json_decref(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_ones), cmocka_unit_test(wrong_ones), cmocka_unit_test(a_rack_is_three_lines),
		cmocka_unit_test(what_is_wrong_in_a_section_is_told), cmocka_unit_test(what_plugs_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

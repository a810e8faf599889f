/* SPDX-License-Identifier: Apache-2.0 */
/* bramble check on machines made of files, frames made by hand, and rules as nft tells them. */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "check/check.h"

static void put(const char *path, const char *text)
{
	br_cleanup(br_freep) char *full = br_asprintf("%s%s", test_dir(), path), *dir = strdup(full);

	*strrchr(dir, '/') = 0;
	assert_int_equal(br_mkdir_all(dir, 0755, NULL), 0);
	assert_int_equal(br_file_write(full, text, strlen(text), 0644, NULL), 0);
}

/* The severity of the first finding of a check whose words have 'words'; "" when there is none. */
static const char *severity(const json_t *findings, const char *check, const char *words)
{
	const json_t *f;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)findings, i, f) {
		if (!strcmp(json_string_value(json_object_get(f, "check")), check) && strstr(json_string_value(json_object_get(f, "what")), words))
			return json_string_value(json_object_get(f, "severity"));
	}
	return "";
}

static void a_machine_in_trouble_is_told_of(void **state)
{
	static const char udp[] =
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
		" 1000: 00000000:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 11111 2 0000000000000000 0\n"
		" 1002: 0100000A:0045 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 11112 2 0000000000000000 42\n";
	static const char tcp[] =
		"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
		"   0: 00000000:0801 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 0 1 0000000000000000 100 0 0 10 0\n"
		"   1: 0100007F:1F20 0100007F:0801 01 00000000:00000000 00:00000000 00000000     0        0 5 1 0000000000000000 20 4 30 10 -1\n";
	json_t *status = json_pack("{s:i, s:s, s:i}", "pid", 77, "storage_error", "disk full\x1b[2J", "capture_dropped", 3);
	json_t *boards = json_pack("[{s:s, s:s}, {s:s}]", "name", "pi1", "console", "tty:/dev/ttyUSB0", "name", "pi2");
	struct br_checks c = { .root = test_dir(), .interface = "eth0", .state = test_dir(), .status = status, .boards = boards };

	put("/proc/net/udp", udp);
	put("/proc/net/tcp", tcp);
	put("/proc/fs/nfsd/threads", "8\n");
	put("/proc/sys/net/ipv4/neigh/default/gc_thresh3", "2\n");
	put("/proc/sys/net/ipv4/conf/all/rp_filter", "0\n");
	put("/proc/sys/net/ipv4/conf/eth0/rp_filter", "1\n");
	put("/proc/77/cgroup", "0::/system.slice/bramble.service\n");
	put("/proc/77/limits", "Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024                 4096                 files\n");
	put("/proc/77/attr/current", "bramble (enforce)\n");
	put("/sys/fs/selinux/enforce", "1");
	put("/sys/class/net/eth0/bridge/stp_state", "1\n");
	put("/sys/class/net/eth0/bridge/forward_delay", "1500\n");
	assert_int_equal(br_check_run(&c, NULL), 0);
	assert_int_equal(c.worst, BR_CHECK_ERROR);
	assert_string_equal(severity(c.findings, "daemon", "disk full\\x1b[2J"), "error");
	assert_string_equal(severity(c.findings, "daemon", "3 frames"), "note");
	assert_string_equal(severity(c.findings, "port", "TCP port 2049"), "error");
	assert_string_equal(severity(c.findings, "port", "UDP port 67"), ""); /* the daemon's own */
	assert_string_equal(severity(c.findings, "port", "8480"), "");
	assert_string_equal(severity(c.findings, "drops", "42 packets to UDP port 69"), "warning");
	assert_string_equal(severity(c.findings, "kernel", "8 threads"), "error");
	assert_string_equal(severity(c.findings, "kernel", "SELinux"), "note");
	assert_string_equal(severity(c.findings, "kernel", "AppArmor profile bramble"), "note");
	assert_string_equal(severity(c.findings, "neighbours", "room for 2"), "warning");
	assert_string_equal(severity(c.findings, "rp_filter", "strictly"), "note");
	assert_string_equal(severity(c.findings, "files", "1024 files"), "warning");
	assert_string_equal(severity(c.findings, "spanning tree", "delay of 15 s"), "warning");
	assert_string_equal(severity(c.findings, "devices", "board pi1"), "warning");
	json_decref(c.findings);
	put("/etc/systemd/system/bramble.service.d/devices.conf", "");
	c.status = NULL;
	assert_int_equal(br_check_run(&c, NULL), 0);
	assert_string_equal(severity(c.findings, "port", "UDP port 67"), "error"); /* whose it is now nobody knows */
	assert_string_equal(severity(c.findings, "devices", ""), "");
	assert_string_equal(severity(c.findings, "daemon", "no daemon"), "note");
	json_decref(c.findings);
	json_decref(status);
	json_decref(boards);
}

static void every_finding_says_why(void **state)
{
	struct br_checks c = { .root = test_dir(), .interface = "", .state = "/nowhere" };
	const json_t *f;
	size_t i;

	assert_int_equal(br_check_run(&c, NULL), 0);
	assert_true(json_array_size(c.findings) > 2);
	json_array_foreach(c.findings, i, f) {
		assert_true(json_string_length(json_object_get(f, "what")) > 0 && json_string_length(json_object_get(f, "why")) > 0);
	}
	json_decref(c.findings);
}

static void frames_tell_what_they_are(void **state)
{
	static const uint8_t head[] = { 0x01, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 38, 0x42, 0x42, 0x03, 0, 0, 2, 2 };
	static const uint8_t tail[] = { 0, 0, 20, 0, 2, 0, 15, 0 }; /* age, maximum age, hello, forward delay */
	uint8_t frame[300] = { 0 };
	struct br_bpdu b = { 0 };
	uint32_t ip = 0;

	memcpy(frame, head, sizeof(head));
	memcpy(frame + 44, tail, sizeof(tail));
	assert_true(br_bpdu_parse(frame, 60, &b));
	assert_int_equal(b.version, 2);
	assert_int_equal(b.hello, 2);
	assert_int_equal(b.forward_delay, 15);
	assert_true(br_bpdu_parse(frame, 52, &b));
	assert_false(br_bpdu_parse(frame, 51, &b));
	frame[20] = 0x80; /* a topology change */
	assert_false(br_bpdu_parse(frame, 60, &b));
	memset(frame, 0, sizeof(frame));
	memcpy(frame + 12, (uint8_t[]){ 8, 0, 0x45 }, 3);
	frame[23] = 17;
	memcpy(frame + 26, (uint8_t[]){ 10, 0, 0, 9 }, 4);
	frame[35] = 67;
	frame[42] = 2;
	assert_true(br_check_offer_parse(frame, sizeof(frame), &ip));
	assert_int_equal(ip, 0x0a000009);
	frame[42] = 1; /* a request, relayed */
	assert_false(br_check_offer_parse(frame, sizeof(frame), &ip));
	assert_false(br_check_offer_parse(frame, 42, &ip));
}

#define BASE(policy) "{\"chain\":{\"family\":\"inet\",\"table\":\"f\",\"name\":\"in\",\"type\":\"filter\",\"hook\":\"input\",\"policy\":\"" policy "\"}}"
#define RULE(chain, expr) ",{\"rule\":{\"family\":\"inet\",\"table\":\"f\",\"chain\":\"" chain "\",\"expr\":[" expr "]}}"
#define MATCH(left, op, right) "{\"match\":{\"op\":\"" op "\",\"left\":" left ",\"right\":" right "}}"
#define UDP_DPORT "{\"payload\":{\"protocol\":\"udp\",\"field\":\"dport\"}}"
#define TCP_DPORT "{\"payload\":{\"protocol\":\"tcp\",\"field\":\"dport\"}}"
#define SADDR "{\"payload\":{\"protocol\":\"ip\",\"field\":\"saddr\"}}"
#define META(key) "{\"meta\":{\"key\":\"" key "\"}}"
#define ACCEPT "{\"accept\":null}"
#define DROP "{\"drop\":null}"

static void rules_are_walked_as_the_kernel_does(void **state)
{
	static const struct {
		const char *rules;
		enum br_verdict dhcp, nfs; /* UDP 67, TCP 2049 by eth0 */
	} cases[] = {
		{ BASE("accept"), BR_FIREWALL_OPEN, BR_FIREWALL_OPEN },
		{ BASE("drop"), BR_FIREWALL_CLOSED, BR_FIREWALL_CLOSED },
		{ BASE("drop") RULE("in", MATCH(UDP_DPORT, "==", "67") "," ACCEPT), BR_FIREWALL_OPEN, BR_FIREWALL_CLOSED },
		{ BASE("drop") RULE("in", MATCH(UDP_DPORT, "==", "{\"set\":[53,{\"range\":[60,70]}]}") "," ACCEPT), BR_FIREWALL_OPEN, BR_FIREWALL_CLOSED },
		{ BASE("drop") RULE("in", MATCH(META("iifname"), "==", "\"eth0\"") "," ACCEPT), BR_FIREWALL_OPEN, BR_FIREWALL_OPEN },
		{ BASE("drop") RULE("in", MATCH(META("iifname"), "==", "\"lo\"") "," ACCEPT), BR_FIREWALL_CLOSED, BR_FIREWALL_CLOSED },
		{ BASE("accept") RULE("in", MATCH(META("iifname"), "!=", "\"lo\"") "," DROP), BR_FIREWALL_CLOSED, BR_FIREWALL_CLOSED },
		{ BASE("drop") RULE("in", MATCH("{\"ct\":{\"key\":\"state\"}}", "in", "[\"established\",\"related\"]") "," ACCEPT), BR_FIREWALL_CLOSED,
			BR_FIREWALL_CLOSED },
		{ BASE("drop") RULE("in", MATCH(SADDR, "==", "\"10.0.0.1\"") "," ACCEPT), BR_FIREWALL_MAYBE, BR_FIREWALL_MAYBE },
		{ BASE("accept") RULE("in", MATCH(SADDR, "!=", "\"10.0.0.1\"") "," DROP), BR_FIREWALL_MAYBE, BR_FIREWALL_MAYBE },
		{ BASE("drop") RULE("in", "{\"jump\":{\"target\":\"b\"}}") RULE("b", MATCH(TCP_DPORT, "==", "2049") "," ACCEPT), BR_FIREWALL_CLOSED,
			BR_FIREWALL_OPEN },
		{ BASE("accept") RULE("in", "{\"jump\":{\"target\":\"in\"}}"), BR_FIREWALL_OPEN, BR_FIREWALL_OPEN }, /* the kernel would not take it */
		{ BASE("accept") RULE("in", MATCH(UDP_DPORT, "==", "67") ",{\"return\":null}") RULE("in", "{\"reject\":{}}"), BR_FIREWALL_OPEN,
			BR_FIREWALL_CLOSED },
		{ "7,null,\"x\",{\"chain\":7},{\"rule\":{}}", BR_FIREWALL_OPEN, BR_FIREWALL_OPEN },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_freep) char *text = br_asprintf("{\"nftables\":[%s]}", cases[i].rules);
		json_t *rules = json_loads(text, 0, NULL);
		char chain[100] = "";

		assert_non_null(rules);
		if (br_firewall_judge(rules, false, 67, "eth0", chain, sizeof(chain)) != cases[i].dhcp ||
			br_firewall_judge(rules, true, 2049, "eth0", chain, sizeof(chain)) != cases[i].nfs)
			fail_msg("case %zu: %s", i, cases[i].rules);
		json_decref(rules);
	}
}

static int remove_scratch(void **state)
{
	return br_remove_tree(test_dir(), NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_machine_in_trouble_is_told_of),
		cmocka_unit_test(every_finding_says_why),
		cmocka_unit_test(frames_tell_what_they_are),
		cmocka_unit_test(rules_are_walked_as_the_kernel_does),
	};

	return cmocka_run_group_tests(tests, NULL, remove_scratch);
}

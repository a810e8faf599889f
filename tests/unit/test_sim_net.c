/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual boards on a real wire: a bridge in a network namespace, dnsmasq as DHCP and TFTP server. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "sim/expect.h"
#include "sim/runner.h"
#include "tests/unit/netns.h"

#define WAIT_NS (60 * BR_S)

static bool usable;
static pid_t server = -1;
static char root[300];

static void put(const char *name, size_t size, size_t at, const char *magic, size_t n)
{
	br_cleanup(br_freep) char *path = br_path_join(root, name);
	br_cleanup(br_freep) char *data = calloc(1, size + 1);

	assert_non_null(data);
	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i * 7 + i / 512);
	memcpy(data + at, magic, n);
	assert_int_equal(br_file_write(path, data, size, 0644, NULL), 0);
}

static void put_text(const char *name, const char *text)
{
	br_cleanup(br_freep) char *path = br_path_join(root, name);

	assert_int_equal(br_file_write(path, text, strlen(text), 0644, NULL), 0);
}

static void make_files(void)
{
	static const char *const dtbs[] = { "bcm2710-rpi-3-b-plus.dtb", "bcm2711-rpi-4-b.dtb", "bcm2712-rpi-5-b.dtb" };
	char sub[320];

	snprintf(root, sizeof(root), "%s/tftp", test_dir());
	snprintf(sub, sizeof(sub), "%s/overlays", root);
	assert_int_equal(br_mkdir_all(sub, 0755, NULL), 0);
	chmod(test_dir(), 0755);
	put("bootcode.bin", 52460, 0, "", 0);
	put("start.elf", 100000, 0, "\x7f" "ELF", 4);
	put("start4.elf", 102912, 0, "\x7f" "ELF", 4);
	put("fixup.dat", 512, 0, "", 0); /* a multiple of the block: an empty last one */
	put("fixup4.dat", 1468, 0, "", 0);
	put("kernel8.img", 3000001, 56, "ARMd", 4);
	put("initramfs8", 70000, 0, "070701", 6);
	put("overlays/vc4-kms-v3d.dtbo", 200, 0, "\xd0\x0d\xfe\xed\0\0\0\x28", 8);
	for (size_t i = 0; i < BR_ARRAY_SIZE(dtbs); i++)
		put(dtbs[i], 9000, 0, "\xd0\x0d\xfe\xed\0\0\0\x28", 8);
	put_text("config.txt", "arm_64bit=1\nauto_initramfs=1\ndtoverlay=vc4-kms-v3d\n");
	put_text("cmdline.txt", "console=serial0,115200 root=/dev/nfs\n");
}

static void start_server(void)
{
	char tftp[320], leases[320], pid[320];

	snprintf(tftp, sizeof(tftp), "--tftp-root=%s", root);
	snprintf(leases, sizeof(leases), "--dhcp-leasefile=%s/leases", test_dir());
	snprintf(pid, sizeof(pid), "--pid-file=%s/pid", test_dir());
	server = fork();
	if (!server) {
		int null_fd = open("/dev/null", O_RDWR);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(null_fd, 1);
		dup2(null_fd, 2);
		execlp("dnsmasq", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0",
			"--interface=br0", "--bind-interfaces", "--no-ping", "--enable-tftp", tftp, leases, pid,
			"--dhcp-range=10.77.0.100,10.77.0.199,255.255.255.0,1h",
			"--pxe-service=0,Raspberry Pi Boot   ", (char *)NULL);
		_exit(127);
	}
}

/* It is up when it has bound port 67; /proc is this namespace's. */
static bool server_is_up(void)
{
	for (int i = 0; i < 200; i++) {
		if (!netns_run("grep -q ':0043 ' /proc/self/net/udp"))
			return true;
		usleep(50000);
	}
	return false;
}

static int set_up(void **state)
{
	if (netns_run("command -v dnsmasq >/dev/null")) {
		printf("# virtual boards on a wire: skipped: needs the program dnsmasq\n");
		return 0;
	}
	if (access("/dev/net/tun", R_OK | W_OK) || !netns_enter("virtual boards on a wire")) {
		printf("# virtual boards on a wire: skipped: needs root and /dev/net/tun\n");
		return 0;
	}
	if (netns_run("ip link add br0 type bridge stp_state 0 forward_delay 0 && ip addr add 10.77.0.1/24 dev br0 && "
		      "ip link set br0 up")) {
		printf("# virtual boards on a wire: skipped: cannot make a bridge\n");
		return 0;
	}
	make_files();
	start_server();
	usable = server_is_up();
	return usable ? 0 : -1;
}

static int tear_down(void **state)
{
	if (server > 0) {
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
	}
	return br_remove_tree(test_dir(), NULL);
}

struct wire {
	struct br_sim_link *link;
	struct br_sim_expect *expect;
	struct br_text events;
};

static void on_send(void *ctx, const uint8_t *frame, size_t len)
{
	struct wire *w = ctx;

	br_sim_link_send(w->link, frame, len);
}

static void on_event(void *ctx, const struct br_sim_event *e)
{
	struct wire *w = ctx;

	br_text_addf(&w->events, "%s %s %s\n", e->stage, e->name, e->text);
}

static int on_expected(void *ctx, const char *name, uint64_t *ret_size, uint32_t *ret_crc)
{
	struct wire *w = ctx;

	return br_sim_expect_find(w->expect, name, ret_size, ret_crc);
}

/* n boards of a model at once; every one must get its kernel with every byte right. */
static void run_boards(const char *model, uint32_t n)
{
	struct wire w = { 0 };
	struct br_error err = BR_ERROR_NULL;
	struct br_sim_runner *r;
	uint64_t until = br_now_ns() + WAIT_NS;

	assert_int_equal(br_sim_link_open(NULL, &w.link, &err), 0);
	assert_true(br_sim_link_is_tap(w.link));
	assert_int_equal(br_sim_expect_dir(root, &w.expect, &err), 0);
	r = br_sim_runner_new(w.link);
	for (uint32_t i = 0; i < n; i++) {
		struct br_sim_board_config c = {
			.model = br_sim_model_by_id(model), .serial = 0x5b000000 + i,
			.mac = { { 0xb8, 0x27, 0xeb, 0x5b, 0, (uint8_t)i } }, .keep = true,
			.expected = on_expected, .send = on_send, .event = on_event, .ctx = &w,
		};

		assert_int_equal(br_sim_runner_add(r, &c, &err), 0);
		assert_int_equal(br_sim_runner_add(r, &c, &err), -EEXIST);
	}
	while (br_sim_runner_busy(r) && br_now_ns() < until)
		assert_int_equal(br_sim_runner_turn(r, until, &err), 0);
	for (size_t i = 0; i < n; i++) {
		struct br_sim_board *b = br_sim_runner_board(r, i);

		if (br_sim_board_phase(b) != BR_SIM_READY || br_sim_board_wrong(b))
			fail_msg("board %zu of model %s:\n%s", i, model, w.events.buf);
		assert_int_equal(br_sim_board_handover(b)->kernel.len, 3000001);
	}
	br_sim_runner_free(r);
	br_sim_expect_free(w.expect);
	br_sim_link_close(w.link);
	br_text_done(&w.events);
}

static void every_model_gets_its_kernel(void **state)
{
	static const char *const models[] = { "3b+", "4", "5" };

	if (!usable)
		skip();
	for (size_t i = 0; i < BR_ARRAY_SIZE(models); i++)
		run_boards(models[i], 1);
}

static void many_boards_share_a_wire(void **state)
{
	if (!usable)
		skip();
	run_boards("4", 20);
}

/* The bridge would take the tap's address, and boards lose their server. */
static void the_bridge_keeps_its_address(void **state)
{
	static const char note[] = "ip -br link show br0 | tr -s ' ' | cut -d' ' -f3 >\"$BR_NOTE\"";
	static const char same[] = "test \"$(ip -br link show br0 | tr -s ' ' | cut -d' ' -f3)\" = \"$(cat \"$BR_NOTE\")\"";
	struct br_sim_link *l = NULL;
	char path[320];

	if (!usable)
		skip();
	snprintf(path, sizeof(path), "%s/address", test_dir());
	setenv("BR_NOTE", path, 1);
	assert_int_equal(netns_run(note), 0);
	assert_int_equal(br_sim_link_open("br0", &l, NULL), 0);
	assert_int_equal(netns_run(same), 0);
	br_sim_link_close(l);
	assert_int_equal(netns_run(same), 0);
}

static void bad_interfaces_have_words(void **state)
{
	struct br_sim_link *l = NULL;
	struct br_error err = BR_ERROR_NULL;

	assert_int_equal(br_sim_link_open("no-such-if", &l, &err), -ENODEV);
	assert_non_null(strstr(err.text, "no-such-if"));
	if (!usable)
		skip();
	assert_int_equal(netns_run("ip link add br1 type bridge"), 0);
	assert_int_equal(br_sim_link_open("br1", &l, &err), -ENETDOWN);
	assert_int_equal(netns_run("ip link set br1 up"), 0);
	assert_int_equal(br_sim_link_open(NULL, &l, &err), -ENODEV); /* which of the two? */
	assert_non_null(strstr(err.text, "--interface"));
	assert_int_equal(netns_run("ip link del br1"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_bridge_keeps_its_address),
		cmocka_unit_test(every_model_gets_its_kernel),
		cmocka_unit_test(many_boards_share_a_wire),
		cmocka_unit_test(bad_interfaces_have_words),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

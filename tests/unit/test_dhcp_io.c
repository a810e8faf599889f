/* SPDX-License-Identifier: Apache-2.0 */
/* Frames, sockets, and real clients (udhcpc of Debian and of busybox) on a veth pair. */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/netif.h"
#include "base/portholder.h"
#include "base/text.h"
#include "dhcp/frame.h"
#include "dhcp/io.h"
#include "tests/unit/netns.h"

#define SERVER 0x0a4d0001u
#define CLIENT 0x0a4d0015u

static bool in_netns;

/* Leaves the test: nothing may be owned before it. */
#define NEEDS_NETNS()              \
	do {                       \
		if (!in_netns)     \
			skip();    \
	} while (0)

/* RFC 1071 the other way round: a right packet sums to ones. */
static uint16_t sum_of(const uint8_t *p, size_t n, uint32_t acc)
{
	for (size_t i = 0; i < n; i++)
		acc += (uint32_t)(i % 2 ? p[i] : p[i] << 8);
	while (acc >> 16)
		acc = (acc & 0xffff) + (acc >> 16);
	return (uint16_t)acc;
}

static void frames_are_right(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, 300, 301, 1471, 1472 };
	uint8_t payload[1500], out[BR_DHCP_FRAME_MAX];
	struct br_dhcp_frame f = {
		.src_mac = { { 2, 0, 0, 0, 0, 1 } }, .dst_mac = { { 2, 0, 0, 0, 0, 2 } }, .src_ip = SERVER, .dst_ip = CLIENT,
		.src_port = 67, .dst_port = 68, .ip_id = 0x1234,
	};

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7);
	for (size_t i = 0; i < BR_ARRAY_SIZE(sizes); i++) {
		size_t n = sizes[i], len = br_dhcp_frame_udp(&f, payload, n, out);
		uint32_t pseudo = (SERVER >> 16) + (SERVER & 0xffff) + (CLIENT >> 16) + (CLIENT & 0xffff) + 17 + 8 + (uint32_t)n;

		assert_int_equal(len, n + 42);
		assert_memory_equal(out, "\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0", 14);
		assert_int_equal(br_load_be16(out + 16), n + 28);
		assert_int_equal(br_load_be16(out + 18), 0x1234);
		assert_int_equal(out[20], 0x40); /* DF */
		assert_int_equal(out[22], 64);
		assert_int_equal(sum_of(out + 14, 20, 0), 0xffff);
		assert_int_equal(br_load_be16(out + 38), n + 8);
		assert_int_equal(sum_of(out + 34, n + 8, pseudo), 0xffff);
		assert_int_not_equal(br_load_be16(out + 40), 0);
		assert_memory_equal(out + 42, payload, n);
	}
	assert_int_equal(br_dhcp_frame_udp(&f, payload, 1473, out), 0);
	assert_int_equal(br_dhcp_frame_nudge(f.src_mac, f.dst_mac, out), 14 + 102);
	assert_memory_equal(out, "\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\x42\xff\xff", 16);
}

/* A payload whose sum is zero must not leave as "no checksum". */
static void a_zero_checksum_is_sent_as_ones(void **state)
{
	struct br_dhcp_frame f = { .src_ip = SERVER, .dst_ip = CLIENT, .src_port = 67, .dst_port = 68 };
	uint8_t out[BR_DHCP_FRAME_MAX], payload[2] = { 0, 0 };
	uint16_t check;

	br_dhcp_frame_udp(&f, payload, 2, out);
	check = br_load_be16(out + 40);
	br_store_be16(payload, check);
	br_dhcp_frame_udp(&f, payload, 2, out);
	assert_int_equal(br_load_be16(out + 40), 0xffff);
}

/* One client, one address. */
static struct world {
	unsigned offers, acks, releases, asked, groups;
	enum br_dhcp_client_kind kind;
	bool boot, hold;
} w;

static int fake_address(void *ctx, const struct br_dhcp_client *client, bool offer, struct br_dhcp_grant *ret)
{
	w.kind = client->kind;
	w.asked++;
	if (w.hold)
		return -EINPROGRESS;
	*ret = (struct br_dhcp_grant){ .ip = CLIENT, .lease_s = 600, .host_name = "pi07", .boot = w.boot };
	return 0;
}

static void fake_report(void *ctx, const struct br_dhcp_report *report)
{
	w.offers += report->kind == BR_DHCP_REPORT_OFFER;
	w.acks += report->kind == BR_DHCP_REPORT_ACK;
	w.releases += report->kind == BR_DHCP_REPORT_RELEASE;
}

static void fake_begin(void *ctx)
{
	w.groups++;
}

static const struct br_dhcp_ops ops = { .address = fake_address, .begin = fake_begin, .report = fake_report };

static struct br_dhcp_server *new_server(void)
{
	const struct br_dhcp_options opt = { .server_ip = SERVER, .prefix = 24, .router_ip = { SERVER }, .ops = &ops };
	struct br_dhcp_server *s = NULL;

	memset(&w, 0, sizeof(w));
	assert_int_equal(br_dhcp_server_new(&opt, &s), 0);
	return s;
}

/* brd0 is ours, brd1 the board's, in the same namespace; the client's side never has the address while it asks. */
static int wire_up(void **state)
{
	if (!in_netns)
		return 0;
	return netns_run("ip link add brd0 address 02:00:00:00:00:01 type veth peer name brd1 address b8:27:eb:00:00:02"
			 " && ip link set brd0 up && ip link set brd1 up && ip address add 10.77.0.1/24 dev brd0"
			 /* frames are lost until the kernel has noticed that both ends are up */
			 " && for i in $(seq 200); do [ $(ip -o link show up | grep -c 'brd.*state UP') = 2 ] && exit 0;"
			 " sleep 0.05; done; exit 1");
}

static int wire_down(void **state)
{
	return in_netns ? netns_run("ip link del brd0") : 0;
}

static void every_obstacle_has_words(void **state)
{
	br_cleanup(br_freep) struct br_dhcp_server *s = NULL;
	struct br_dhcp_io *io = NULL, *second = NULL;
	struct br_error err = BR_ERROR_NULL;
	char holder[BR_PORT_HOLDER];

	NEEDS_NETNS();
	s = new_server();
	assert_int_equal(br_dhcp_io_open("nosuch0", s, &io, &err), -ENODEV);
	assert_int_equal(br_dhcp_io_open("lo", s, &io, &err), -EINVAL);
	assert_non_null(strstr(err.text, "Ethernet"));
	assert_int_equal(br_dhcp_io_open("brd1", s, &io, &err), -EADDRNOTAVAIL);
	assert_non_null(strstr(err.text, "no IPv4 address"));
	netns_run("ip address add 192.0.2.1/24 dev brd1");
	assert_int_equal(br_dhcp_io_open("brd1", s, &io, &err), -EADDRNOTAVAIL);
	assert_non_null(strstr(err.text, "192.0.2.1"));
	netns_run("ip link set brd0 down");
	assert_int_equal(br_dhcp_io_open("brd0", s, &io, &err), -ENETDOWN);
	assert_non_null(strstr(err.text, "ip link set brd0 up"));
	netns_run("ip link set brd0 up");
	assert_null(io);
	assert_false(br_udp_port_holder(67, holder));
	assert_int_equal(br_dhcp_io_open("brd0", s, &io, &err), 0);
	assert_true(br_udp_port_holder(67, holder));
	assert_non_null(strstr(holder, "test_dhcp_io (process "));
	assert_int_equal(br_dhcp_io_open("brd0", s, &second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "test_dhcp_io"));
	assert_null(second);
	br_dhcp_io_close(io);
	br_dhcp_io_close(NULL);
}

/* As another user: 0 when it is refused with words that say what is needed. */
static void open_without_rights(struct br_dhcp_server *s)
{
	struct br_dhcp_io *io = NULL;
	struct br_error err = BR_ERROR_NULL;
	int r;

	if (setgid(65534) < 0 || setuid(65534) < 0)
		_exit(2);
	r = br_dhcp_io_open("brd0", s, &io, &err);
	_exit((r == -EACCES || r == -EPERM) && strstr(err.text, "CAP_NET_RAW") && !io ? 0 : 1);
}

static void missing_rights_are_named(void **state)
{
	br_cleanup(br_freep) struct br_dhcp_server *s = NULL;
	int status = 0;
	pid_t pid;

	NEEDS_NETNS();
	s = new_server();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		open_without_rights(s);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Serves until the child ended, or for so long that it never will; its exit status. */
static int serve_until_done(struct br_dhcp_io *io, pid_t child)
{
	int status = 0;

	for (int i = 0; i < 3000; i++) {
		struct pollfd p = { .fd = br_dhcp_io_fd(io), .events = POLLIN };

		(void)poll(&p, 1, 10);
		if (p.revents)
			assert_true(br_dhcp_io_dispatch(io, br_now_ns()) >= 0);
		if (waitpid(child, &status, WNOHANG) == child)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	}
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	return -1;
}

static pid_t start(const char *command)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	return pid;
}

/* A script for udhcpc that writes what it was given. */
static void write_script(char *path, size_t size)
{
	FILE *f;

	snprintf(path, size, "%s/udhcpc.sh", test_dir());
	f = fopen(path, "w");
	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n[ \"$1\" = bound ] && echo \"$ip $subnet $router $serverid $lease $hostname $siaddr\" > %s/bound\nexit 0\n",
		test_dir());
	fclose(f);
	assert_int_equal(chmod(path, 0755), 0);
}

static void a_real_client_is_served(const char *client)
{
	br_cleanup(br_freep) struct br_dhcp_server *s = NULL;
	struct br_dhcp_io *io = NULL;
	struct br_error err = BR_ERROR_NULL;
	char command[1000], script[300], got[200] = "";
	FILE *f;

	NEEDS_NETNS();
	s = new_server();
	snprintf(command, sizeof(command), "command -v %s >/dev/null", client);
	if (netns_run(command)) {
		printf("# skipped: no %s here\n", client);
		skip();
	}
	write_script(script, sizeof(script));
	if (br_dhcp_io_open("brd0", s, &io, &err) < 0)
		fail_msg("%s", err.text);
	/* -q: leave once bound; -R: release then; -n: or give up */
	snprintf(command, sizeof(command), "exec %s -i brd1 -f -q -n -R -t 5 -T 2 -O hostname -s %s >/dev/null 2>&1",
		!strcmp(client, "busybox") ? "busybox udhcpc" : client, script);
	assert_int_equal(serve_until_done(io, start(command)), 0);
	for (int i = 0; i < 50 && !w.releases; i++) { /* the RELEASE may still be in the socket */
		struct pollfd p = { .fd = br_dhcp_io_fd(io), .events = POLLIN };

		if (poll(&p, 1, 10) > 0)
			br_dhcp_io_dispatch(io, br_now_ns());
	}
	assert_int_equal(w.acks, 1);
	assert_true(w.offers >= 1);
	assert_int_equal(br_dhcp_io_stats(io)->bad, 0);
	assert_int_equal(br_dhcp_io_stats(io)->failed, 0);
	assert_int_equal(br_dhcp_io_stats(io)->replies, w.offers + w.acks);
	snprintf(command, sizeof(command), "%s/bound", test_dir());
	f = fopen(command, "r");
	assert_non_null(f);
	assert_non_null(fgets(got, sizeof(got), f));
	fclose(f);
	unlink(command);
	assert_string_equal(got, "10.77.0.21 255.255.255.0 10.77.0.1 10.77.0.1 600 pi07 \n");
	br_dhcp_io_close(io);
}

static void udhcpc_is_served(void **state)
{
	a_real_client_is_served("udhcpc");
}

static void busybox_is_served(void **state)
{
	a_real_client_is_served("busybox");
}

/* What the board's side of the wire sees of us; -1 when nothing comes for so many times 10 ms. */
static ssize_t sniff(int fd, struct br_dhcp_io *io, uint16_t ethertype, uint8_t *buf, size_t size, int patience)
{
	for (int i = 0; i < patience; i++) {
		struct pollfd p[] = { { .fd = fd, .events = POLLIN }, { .fd = br_dhcp_io_fd(io), .events = POLLIN } };
		ssize_t n;

		(void)poll(p, 2, 10);
		if (p[1].revents)
			br_dhcp_io_dispatch(io, br_now_ns());
		while ((n = recv(fd, buf, size, MSG_DONTWAIT)) > 0)
			if (n >= 14 && br_load_be16(buf + 12) == ethertype && buf[6] == 0x02 && buf[11] == 0x01)
				return n;
	}
	return -1;
}

static int open_sniffer(const char *name)
{
	struct br_netif n;
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));

	assert_true(fd >= 0);
	assert_int_equal(br_netif_info(name, &n, NULL), 0);
	ll.sll_ifindex = (int)n.index;
	assert_int_equal(bind(fd, (struct sockaddr *)&ll, sizeof(ll)), 0);
	return fd;
}

/* A DISCOVER as the 3B ROM sends it, put on the wire by hand from the board's side. */
static void send_rom_discover(int fd, bool broadcast)
{
	struct br_mac board = { { 0xb8, 0x27, 0xeb, 0, 0, 2 } };
	struct br_dhcp_header h = { .op = 1, .xid = 0x26f30339, .chaddr = board, .broadcast = broadcast };
	struct br_dhcp_frame f = {
		.src_mac = board, .dst_mac = { { 255, 255, 255, 255, 255, 255 } }, .dst_ip = UINT32_MAX, .src_port = 68, .dst_port = 67,
	};
	uint8_t packet[600], frame[BR_DHCP_FRAME_MAX], guid[17] = { 0 };
	struct br_dhcp_builder b;
	size_t n;

	memset(guid + 1, 0x44, 16);
	br_dhcp_begin(&b, packet, sizeof(packet), &h);
	br_dhcp_add_u8(&b, 53, 1);
	br_dhcp_add(&b, 55, "\x2b\x3c\x43\x80\x81\x82\x83\x84\x85\x86\x87\x42", 12);
	br_dhcp_add(&b, 93, "\0\0", 2);
	br_dhcp_add(&b, 94, "\1\2\1", 3);
	br_dhcp_add(&b, 97, guid, 17);
	br_dhcp_add_text(&b, 60, "PXEClient:Arch:00000:UNDI:002001");
	n = (size_t)br_dhcp_end(&b, 0);
	assert_int_equal(n, 320); /* wire notes 1.2 */
	n = br_dhcp_frame_udp(&f, packet, n, frame);
	assert_int_equal(send(fd, frame, n, 0), n);
}

static void the_rom_is_offered_and_nudged(void **state)
{
	br_cleanup(br_freep) struct br_dhcp_server *s = NULL;
	br_cleanup(br_closep) int fd = -1;
	struct br_dhcp_io *io = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_dhcp_message m;
	uint8_t buf[2048];
	ssize_t n;

	NEEDS_NETNS();
	s = new_server();
	w.boot = true;
	if (br_dhcp_io_open("brd0", s, &io, &err) < 0)
		fail_msg("%s", err.text);
	fd = open_sniffer("brd1");
	send_rom_discover(fd, false);
	n = sniff(fd, io, 0x0800, buf, sizeof(buf), 1000);
	assert_true(n > 42);
	assert_memory_equal(buf, "\xb8\x27\xeb\0\0\x02", 6); /* to its MAC, without ARP */
	assert_int_equal(sum_of(buf + 14, 20, 0), 0xffff);
	assert_int_equal(br_load_be32(buf + 26), SERVER);
	assert_int_equal(br_load_be32(buf + 30), CLIENT);
	assert_int_equal(br_load_be16(buf + 34), 67);
	assert_int_equal(br_load_be16(buf + 36), 68);
	assert_int_equal(br_dhcp_decode(buf + 42, (size_t)n - 42, &m), 0);
	assert_int_equal(m.type, BR_DHCP_OFFER);
	assert_int_equal(w.kind, BR_DHCP_ROM);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(sniff(fd, io, BR_DHCP_NUDGE_ETHERTYPE, buf, sizeof(buf), 1000), 116);
		assert_memory_equal(buf, "\xb8\x27\xeb\0\0\x02", 6);
		assert_int_equal(br_dhcp_io_stats(io)->nudges, i + 1);
	}
	send_rom_discover(fd, true);
	n = sniff(fd, io, 0x0800, buf, sizeof(buf), 1000);
	assert_true(n > 42);
	assert_memory_equal(buf, "\xff\xff\xff\xff\xff\xff", 6);
	assert_int_equal(br_load_be32(buf + 30), UINT32_MAX);
	br_dhcp_io_close(io);
}

/* Rubbish is counted; an interface that goes away and comes back is survived. */
static void bad_packets_are_counted(void **state)
{
	br_cleanup(br_freep) struct br_dhcp_server *s = NULL;
	br_cleanup(br_closep) int fd = -1;
	struct br_dhcp_io *io = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_dhcp_frame f = {
		.src_mac = { { 2, 0, 0, 0, 0, 9 } }, .dst_mac = { { 255, 255, 255, 255, 255, 255 } }, .dst_ip = UINT32_MAX,
		.src_port = 68, .dst_port = 67,
	};
	uint8_t frame[BR_DHCP_FRAME_MAX], rubbish[1472] = { 1, 1, 6 };
	ssize_t got = -1;
	static const size_t sizes[] = { 0, 3, 240, 300, 1472 };

	NEEDS_NETNS();
	s = new_server();
	if (br_dhcp_io_open("brd0", s, &io, &err) < 0)
		fail_msg("%s", err.text);
	fd = open_sniffer("brd1");
	for (int round = 0; round < 20; round++)
		for (size_t i = 0; i < BR_ARRAY_SIZE(sizes); i++) {
			size_t n = br_dhcp_frame_udp(&f, rubbish, sizes[i], frame);

			assert_int_equal(send(fd, frame, n, 0), n);
		}
	for (int i = 0; i < 1000 && br_dhcp_io_stats(io)->received < 100; i++) {
		struct pollfd p = { .fd = br_dhcp_io_fd(io), .events = POLLIN };
		int n;

		(void)poll(&p, 1, 10);
		n = br_dhcp_io_dispatch(io, br_now_ns());
		assert_true(n >= 0 && n <= 128); /* its share, and no more */
	}
	assert_int_equal(br_dhcp_io_dispatch(io, br_now_ns()), 0);
	assert_int_equal(br_dhcp_io_stats(io)->received, 100);
	assert_int_equal(br_dhcp_io_stats(io)->bad, 100);
	assert_int_equal(br_dhcp_io_stats(io)->replies, 0);
	netns_run("ip link set brd0 down && ip link set brd0 up");
	(void)br_dhcp_io_dispatch(io, br_now_ns()); /* may say that it was down */
	for (int i = 0; i < 40 && got <= 0; i++) { /* a link just up loses frames for a while: ask again, as a board would */
		send_rom_discover(fd, false);
		got = sniff(fd, io, 0x0800, rubbish, sizeof(rubbish), 50);
	}
	assert_true(got > 0);
	br_dhcp_io_close(io);
}

/* Names the board so many times. */
static bool next_board(void *ctx, struct br_mac *ret)
{
	unsigned *left = ctx;

	*ret = (struct br_mac){ { 0xb8, 0x27, 0xeb, 0, 0, 2 } };
	return *left && (*left)--;
}

static void hold_one(struct br_dhcp_io *io, int fd)
{
	unsigned before = w.asked;
	uint8_t buf[2048];

	w.hold = true;
	send_rom_discover(fd, false);
	for (int i = 0; i < 40 && w.asked == before; i++)
		assert_int_equal(sniff(fd, io, 0x0800, buf, sizeof(buf), 50), -1);
	assert_int_equal(w.asked, before + 1);
}

/* Who is named is asked for once, also when it is held again; without anybody the database has no work. */
static void held_requests_are_taken_up_once(void **state)
{
	br_cleanup(br_freep) struct br_dhcp_server *s = NULL;
	br_cleanup(br_closep) int fd = -1;
	struct br_dhcp_io *io = NULL;
	struct br_error err = BR_ERROR_NULL;
	unsigned left = 0, groups;

	NEEDS_NETNS();
	s = new_server();
	if (br_dhcp_io_open("brd0", s, &io, &err) < 0)
		fail_msg("%s", err.text);
	fd = open_sniffer("brd1");
	hold_one(io, fd);
	groups = w.groups;
	br_dhcp_io_resume(io, next_board, &left, br_now_ns());
	assert_int_equal(w.groups, groups);
	left = 5;
	br_dhcp_io_resume(io, next_board, &left, br_now_ns());
	assert_int_equal(w.groups, groups + 1);
	assert_int_equal(w.asked, 2);
	assert_int_equal(left, 0);
	hold_one(io, fd);
	w.hold = false;
	left = 2;
	br_dhcp_io_resume(io, next_board, &left, br_now_ns());
	assert_int_equal(w.asked, 4);
	assert_int_equal(w.offers, 1);
	br_dhcp_io_close(io);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, wire_up, wire_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_right),
		cmocka_unit_test(a_zero_checksum_is_sent_as_ones),
		T(every_obstacle_has_words),
		T(missing_rights_are_named),
		T(udhcpc_is_served),
		T(busybox_is_served),
		T(the_rom_is_offered_and_nudged),
		T(bad_packets_are_counted),
		T(held_requests_are_taken_up_once),
	};

	in_netns = netns_enter("dhcp_io");
	return cmocka_run_group_tests(tests, NULL, NULL);
}

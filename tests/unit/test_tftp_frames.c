/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DATA as whole frames, in a private network: the server's namespace with two interfaces, a host on each, and a host
 * behind a router.
 *
 *   server  srv0 10.79.0.1 ---- cli0 10.79.0.2  host  fwd0 10.80.0.1 ---- far0 10.80.0.2 far
 *           srv1 10.81.0.1 ---- cli1 10.81.0.2
 */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/netns.h"
#include "tests/unit/tftp_files.h"
#include "tftp/io.h"
#include "tftp/links.h"
#include "wire/tftp.h"

#define SERVER 0x0a4f0001u  /* 10.79.0.1 */
#define HOST 0x0a4f0002u    /* 10.79.0.2 */
#define SERVER1 0x0a510001u /* 10.81.0.1 */

enum place { AT_SERVER, AT_HOST, AT_FAR, N_PLACES };

static int places[N_PLACES] = { -1, -1, -1 };
static bool permitted;

static const struct br_tftp_ops ops = { .open = test_open, .release = test_release };

static void go(enum place p)
{
	assert_int_equal(setns(places[p], CLONE_NEWNET), 0);
}

static int here(void)
{
	return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

static void sh(const char *command)
{
	if (netns_run(command))
		fail_msg("%s", command);
}

static int build_net(void **state)
{
	char command[200];

	permitted = netns_enter("frames");
	if (!permitted)
		return 0;
	places[AT_SERVER] = here();
	for (int p = AT_HOST; p < N_PLACES; p++) {
		if (unshare(CLONE_NEWNET) < 0)
			return -1;
		places[p] = here();
	}
	go(AT_SERVER);
	snprintf(command, sizeof(command),
		"for i in 0 1; do ip link add srv$i type veth peer name cli$i netns /proc/%d/fd/%d || exit 1; done", getpid(),
		places[AT_HOST]);
	sh(command);
	sh("ip addr add 10.79.0.1/24 dev srv0 && ip link set srv0 up && ip addr add 10.81.0.1/24 dev srv1 && "
	   "ip link set srv1 up");
	go(AT_HOST);
	snprintf(command, sizeof(command), "ip link add fwd0 type veth peer name far0 netns /proc/%d/fd/%d", getpid(),
		places[AT_FAR]);
	sh(command);
	sh("ip addr add 10.79.0.2/24 dev cli0 && ip link set cli0 up && ip addr add 10.81.0.2/24 dev cli1 && "
	   "ip link set cli1 up && ip addr add 10.80.0.1/24 dev fwd0 && ip link set fwd0 up && "
	   "echo 1 >/proc/sys/net/ipv4/ip_forward");
	go(AT_FAR);
	sh("ip addr add 10.80.0.2/24 dev far0 && ip link set far0 up && ip route add default via 10.80.0.1");
	go(AT_SERVER);
	sh("ip route add 10.80.0.0/24 via 10.79.0.2");
	return 0;
}

static struct br_tftp_io *start(uint32_t ip, enum br_tftp_frames frames, unsigned max_blksize)
{
	struct br_tftp_io_options opt = { .ip = ip, .frames = frames, .max_blksize = max_blksize, .ops = &ops };
	struct br_tftp_io *io = NULL;
	struct br_error err = BR_ERROR_NULL;

	go(AT_SERVER);
	if (br_tftp_io_start(&opt, &io, &err) < 0)
		fail_msg("%s", err.text);
	return io;
}

/* A socket at a place, connected to the server. */
static int client(enum place p, uint32_t server, uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(server) };
	const int big = 1 << 20;
	int fd;

	go(p);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof(big));
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	go(AT_SERVER);
	return fd;
}

static ssize_t hear(int fd, uint8_t *buf, size_t size, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0 ? recv(fd, buf, size, 0) : -1;
}

static void ask(int fd, uint64_t size, unsigned blksize, unsigned window)
{
	struct br_tftp_request req = { .opcode = BR_TFTP_RRQ, .octet = true };
	uint8_t buf[200];
	int n;

	snprintf(req.name, sizeof(req.name), "p%llu", (unsigned long long)size);
	br_tftp_add_opt(&req.opts, BR_TFTP_OPT_BLKSIZE, blksize);
	if (window > 1)
		br_tftp_add_opt(&req.opts, BR_TFTP_OPT_WINDOWSIZE, window);
	n = br_tftp_encode_request(buf, sizeof(buf), &req);
	assert_int_equal(send(fd, buf, (size_t)n, 0), n);
}

static void ack(int fd, uint16_t block)
{
	uint8_t buf[4];

	br_tftp_encode_ack(buf, sizeof(buf), block);
	assert_int_equal(send(fd, buf, sizeof(buf), 0), sizeof(buf));
}

/* A whole fetch. Block 'lose' (0: none) is not heard the first time; 'stranger' speaks in the middle. */
static void fetch(int fd, uint64_t size, unsigned blksize, unsigned window, unsigned lose, int stranger)
{
	uint8_t buf[10000];
	uint64_t got = 0;
	ssize_t n;

	ask(fd, size, blksize, window);
	n = hear(fd, buf, sizeof(buf), 5000);
	assert_int_equal(br_tftp_peek(buf, n > 0 ? (size_t)n : 0), BR_TFTP_OACK);
	ack(fd, 0);
	for (uint64_t expect = 1; got < size; expect++) {
		const uint8_t *data;
		size_t n_data;
		uint16_t block;

		if (expect == lose)
			(void)hear(fd, buf, sizeof(buf), 5000);
		do { /* on a busy machine a timer may run out, and a block comes twice */
			n = hear(fd, buf, sizeof(buf), 5000);
			if (n <= 0)
				fail_msg("block %llu does not come", (unsigned long long)expect);
			assert_int_equal(br_tftp_decode_data(buf, (size_t)n, &block, &data, &n_data), 0);
		} while (block == (uint16_t)(expect - 1));
		assert_int_equal(block, (uint16_t)expect);
		assert_true(got + n_data <= size);
		assert_memory_equal(data, test_file_bytes() + got, n_data);
		got += n_data;
		if (stranger >= 0 && expect % 16 == 3)
			ack(stranger, block);
		if (expect % window == 0 || got == size)
			ack(fd, block);
	}
}

/* Framed datagrams of a fetch from a socket of its own. */
static uint64_t framed_of(struct br_tftp_io *io, enum place p, uint32_t server, uint64_t size, unsigned blksize,
	unsigned window)
{
	uint64_t before = br_tftp_io_stats(io).framed;
	int fd = client(p, server, br_tftp_io_port(io));

	fetch(fd, size, blksize, window, 0, -1);
	close(fd);
	/* counted after they are sent: the last ones may be ahead of the counters */
	for (int i = 0; i < 2000 && br_tftp_io_stats(io).running; i++)
		(void)poll(NULL, 0, 1);
	return br_tftp_io_stats(io).framed - before;
}

struct case_of_fetch {
	const char *title, *before, *after; /* commands at the server */
	const char *host_before, *host_after; /* at the host that also routes */
	enum place from;
	uint32_t to, bound;
	uint64_t size;
	unsigned blksize, window;
	enum br_tftp_frames frames;
	bool framed;
};

static const struct case_of_fetch cases[] = {
	{ "plain", .from = AT_HOST, .to = SERVER, .size = 2000000, .blksize = 1468, .framed = true },
	{ "bound to the address", .from = AT_HOST, .to = SERVER, .bound = SERVER, .size = 300000, .blksize = 1468,
		.framed = true },
	{ "the other interface", .from = AT_HOST, .to = SERVER1, .size = 300000, .blksize = 1468, .framed = true },
	{ "our address of the other interface", .from = AT_FAR, .to = SERVER1, .size = 100000, .blksize = 1468,
		.framed = true },
	{ "switched off", .from = AT_HOST, .to = SERVER, .size = 100000, .blksize = 1468,
		.frames = BR_TFTP_FRAMES_OFF },
	{ "block numbers roll over", .from = AT_HOST, .to = SERVER, .size = 70000 * 32, .blksize = 32, .framed = true },
	{ "one block, no more", .from = AT_HOST, .to = SERVER, .size = 10, .blksize = 1468, .framed = true },
	{ "windows take the socket", .from = AT_HOST, .to = SERVER, .size = 300000, .blksize = 1468, .window = 8 },
	{ "behind a router", .from = AT_FAR, .to = SERVER, .size = 300000, .blksize = 1468, .framed = true },
	{ "behind a router with a small MTU", .host_before = "ip link set fwd0 mtu 1000",
		.host_after = "ip link set fwd0 mtu 1500", .from = AT_FAR, .to = SERVER, .size = 300000, .blksize = 1468,
		.framed = true },
	{ "blocks longer than the interface's MTU", "ip link set srv0 mtu 1400", "ip link set srv0 mtu 1500",
		.from = AT_HOST, .to = SERVER, .size = 300000, .blksize = 1468 },
	{ "jumbo frames", "ip link set srv0 mtu 9000", "ip link set srv0 mtu 1500",
		"ip link set cli0 mtu 9000", "ip link set cli0 mtu 1500",
		.from = AT_HOST, .to = SERVER, .size = 1000000, .blksize = 8192, .framed = true },
	{ "on a bridge", "ip link add br0 type bridge stp_state 0 forward_delay 0 && ip addr del 10.79.0.1/24 dev srv0 && "
		"ip link set srv0 master br0 && ip addr add 10.79.0.1/24 dev br0 && ip link set br0 up",
		"ip link del br0 && ip addr add 10.79.0.1/24 dev srv0 && ip route replace 10.80.0.0/24 via 10.79.0.2",
		"ip neigh flush dev cli0", "ip neigh flush dev cli0",
		.from = AT_HOST, .to = SERVER, .size = 300000, .blksize = 1468, .framed = true },
};

static void run_at(enum place p, const char *command)
{
	if (!command)
		return;
	go(p);
	sh(command);
	go(AT_SERVER);
}

static uint64_t run_case(const struct case_of_fetch *c)
{
	struct br_tftp_io *io = start(c->bound, c->frames, 8192);
	uint64_t framed = framed_of(io, c->from, c->to, c->size, c->blksize, c->window ? c->window : 1);

	assert_int_equal(br_tftp_io_stats(io).dropped_out, 0);
	br_tftp_io_stop(io);
	return framed;
}

static void every_way_brings_every_byte(void **state)
{
	if (!permitted)
		skip();
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		const struct case_of_fetch *c = &cases[i];
		uint64_t framed = 0;

		run_at(AT_SERVER, c->before);
		run_at(AT_HOST, c->host_before);
		/* on a busy machine a timer may run out: then the socket is right */
		for (int tries = 0; tries < 5 && (!tries || (c->framed && !framed)); tries++)
			framed = run_case(c);
		/* the short block at the end fits any MTU */
		if (c->framed ? !framed : framed > 1)
			fail_msg("%s: %llu of the datagrams were frames", c->title, (unsigned long long)framed);
		run_at(AT_SERVER, c->after);
		run_at(AT_HOST, c->host_after);
	}
}

/* Without offload on the interface the kernel writes the checksums, and the client's kernel checks them. */
static void checksums_are_right(void **state)
{
	struct ethtool_value off = { .cmd = ETHTOOL_STXCSUM };
	struct ifreq req = { .ifr_name = "srv0", .ifr_data = (void *)&off };
	struct br_tftp_io *io;
	int fd;

	if (!permitted)
		skip();
	go(AT_SERVER);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(ioctl(fd, SIOCETHTOOL, &req), 0);
	io = start(0, BR_TFTP_FRAMES_ON, 0);
	assert_true(framed_of(io, AT_HOST, SERVER, 300001, 1468, 1) > 0);
	assert_true(framed_of(io, AT_HOST, SERVER, 5003, 33, 1) > 0); /* odd lengths */
	br_tftp_io_stop(io);
	off.data = 1;
	assert_int_equal(ioctl(fd, SIOCETHTOOL, &req), 0);
	close(fd);
}

static void after_a_loss_all_goes_by_the_socket(void **state)
{
	struct br_tftp_io *io;
	uint64_t framed;
	int fd;

	if (!permitted)
		skip();
	io = start(0, BR_TFTP_FRAMES_ON, 0);
	fd = client(AT_HOST, SERVER, br_tftp_io_port(io));
	fetch(fd, 200000, 1468, 1, 40, -1);
	close(fd);
	framed = br_tftp_io_stats(io).framed;
	if (framed > 40)
		fail_msg("%llu frames, and the 40th was lost", (unsigned long long)framed);
	/* and does for a while */
	assert_int_equal(framed_of(io, AT_HOST, SERVER, 100000, 1468, 1), 0);
	/* others are not concerned */
	assert_true(framed_of(io, AT_FAR, SERVER, 100000, 1468, 1) > 0);
	br_tftp_io_stop(io);
}

static void strangers_do_not_disturb(void **state)
{
	struct br_tftp_io *io;
	int fd, stranger;

	if (!permitted)
		skip();
	io = start(0, BR_TFTP_FRAMES_ON, 0);
	fd = client(AT_HOST, SERVER, br_tftp_io_port(io));
	stranger = client(AT_FAR, SERVER, br_tftp_io_port(io));
	fetch(fd, 200000, 1468, 1, 0, stranger);
	/* another port of the same host, too */
	close(stranger);
	stranger = client(AT_HOST, SERVER, br_tftp_io_port(io));
	fetch(fd, 200000, 1468, 1, 0, stranger);
	assert_int_equal(hear(stranger, (uint8_t[4]){ 0 }, 4, 0), -1);
	close(stranger);
	close(fd);
	br_tftp_io_stop(io);
}

/* For putting frames on the wire at the host's interface: bound to it, but receives nothing. */
static int injector(const char *interface)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET };
	int fd;

	go(AT_HOST);
	at.sll_ifindex = (int)if_nametoindex(interface);
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	go(AT_SERVER);
	return fd;
}

/* Of one of the server's interfaces. */
static struct br_mac mac_of(const char *interface)
{
	struct ifreq req = { 0 };
	struct br_mac m;
	int fd;

	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", interface);
	assert_int_equal(ioctl(fd, SIOCGIFHWADDR, &req), 0);
	close(fd);
	memcpy(m.b, req.ifr_hwaddr.sa_data, 6);
	return m;
}

struct spoof {
	const char *title;
	unsigned wire;
	size_t at; /* byte changed */
	uint8_t value;
	size_t len; /* 0: all */
	bool learned;
};

static const struct spoof spoofs[] = {
	{ "a request", 0, 0, 0, 0, true },
	{ "by another interface than the kernel had it from", 1, 0, 0, 0, false },
	{ "from a group's MAC", 0, 6, 0x03, 0, false },
	{ "of another type", 0, 12, 0x86, 0, false },
	{ "IP options", 0, 14, 0x46, 0, false },
	{ "a fragment", 0, 20, 0x20, 0, false },
	{ "the tail of a fragment", 0, 21, 0x07, 0, false },
	{ "not UDP", 0, 23, 6, 0, false },
	{ "to another address", 0, 33, 9, 0, false },
	{ "to another port", 0, 37, 70, 0, false },
	{ "an ACK", 0, 43, 4, 0, false },
	{ "cut off", 0, 0, 0, 43, false },
};

static void only_the_request_itself_teaches(void **state)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_tftp_links *links;
	uint8_t frame[64] = { 0 };
	int wires[2];

	if (!permitted)
		skip();
	wires[0] = injector("cli0");
	wires[1] = injector("cli1");
	assert_int_equal(br_tftp_links_open(69, &links, &err), 0);
	for (size_t i = 0; i < BR_ARRAY_SIZE(spoofs); i++) {
		const struct spoof *s = &spoofs[i];
		const struct br_tftp_frame f = { .src_mac = { { 2, 0, 0, 0, 0, 1 } }, .src_ip = HOST, .src_port = 4711,
			.dst_mac = mac_of(s->wire ? "srv1" : "srv0"), .dst_ip = SERVER, .dst_port = 69 };
		size_t len = s->len ? s->len : sizeof(frame);
		uint32_t index = if_nametoindex("srv0");
		struct br_tftp_link link = { 0 };

		br_tftp_frame_head(frame, &f, 0, 22);
		frame[43] = 1;
		if (s->at)
			frame[s->at] = s->value;
		assert_int_equal(send(wires[s->wire], frame, len, 0), len);
		if (br_tftp_links_take(links, HOST, 4711, index, SERVER, 1, &link) != s->learned)
			fail_msg("%s: %s", s->title, s->learned ? "not learned" : "learned");
		if (s->learned) {
			assert_int_equal(link.ifindex, index);
			assert_int_equal(link.our_ip, SERVER);
			assert_true(br_mac_equal(link.peer_mac, f.src_mac) && br_mac_equal(link.our_mac, f.dst_mac));
		}
		/* once only */
		assert_false(br_tftp_links_take(links, HOST, 4711, index, SERVER, 1, &link));
	}
	br_tftp_links_close(links);
	close(wires[0]);
	close(wires[1]);
}

static void a_flood_pushes_out_but_breaks_nothing(void **state)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_tftp_links *links;
	struct br_tftp_link link;
	uint8_t frame[64] = { 0 };
	unsigned known = 0;
	struct br_mac ours;
	int wire;

	if (!permitted)
		skip();
	wire = injector("cli0");
	ours = mac_of("srv0");
	assert_int_equal(br_tftp_links_open(69, &links, &err), 0);
	for (unsigned i = 0; i < 6000; i++) {
		const struct br_tftp_frame f = { .src_mac = { { 2, 0, 0, 0, 0, 1 } }, .src_ip = HOST + i % 3,
			.src_port = (uint16_t)(1000 + i), .dst_mac = ours, .dst_ip = SERVER, .dst_port = 69 };

		br_tftp_frame_head(frame, &f, 0, 22);
		frame[43] = 1;
		assert_int_equal(send(wire, frame, sizeof(frame), 0), sizeof(frame));
		if (i % 500 == 0)
			(void)br_tftp_links_take(links, HOST, 1, 1, SERVER, 1, &link);
	}
	for (unsigned i = 0; i < 6000; i++)
		known += br_tftp_links_take(links, HOST + i % 3, (uint16_t)(1000 + i), if_nametoindex("srv0"), SERVER, 1,
			&link);
	assert_true(known > 1000 && known <= 4096);
	close(wire);
	br_tftp_links_close(links);
}

/* The interface goes away in the middle of everything. */
static void a_lost_interface_is_survived(void **state)
{
	struct br_tftp_io *io;
	uint8_t buf[2000];
	int fd;

	if (!permitted)
		skip();
	io = start(0, BR_TFTP_FRAMES_ON, 0);
	fd = client(AT_HOST, SERVER, br_tftp_io_port(io));
	ask(fd, 200000, 1468, 1);
	assert_true(hear(fd, buf, sizeof(buf), 5000) > 0);
	ack(fd, 0);
	assert_true(hear(fd, buf, sizeof(buf), 5000) > 0);
	run_at(AT_HOST, "ip link set cli0 down");
	run_at(AT_SERVER, "ip link set srv0 down");
	run_at(AT_SERVER, "ip link set srv0 up");
	run_at(AT_HOST, "ip link set cli0 up");
	run_at(AT_SERVER, "ip route replace 10.80.0.0/24 via 10.79.0.2");
	ack(fd, 1);
	assert_true(hear(fd, buf, sizeof(buf), 5000) > 0);
	close(fd);
	assert_true(framed_of(io, AT_HOST, SERVER1, 100000, 1468, 1) > 0);
	br_tftp_io_stop(io);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_way_brings_every_byte),
		cmocka_unit_test(checksums_are_right),
		cmocka_unit_test(after_a_loss_all_goes_by_the_socket),
		cmocka_unit_test(strangers_do_not_disturb),
		cmocka_unit_test(only_the_request_itself_teaches),
		cmocka_unit_test(a_flood_pushes_out_but_breaks_nothing),
		cmocka_unit_test(a_lost_interface_is_survived),
	};

	return cmocka_run_group_tests(tests, build_net, NULL);
}

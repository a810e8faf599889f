/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load for a TFTP server: N clients at once, each a host with an address of its own that fetches a file again and
 * again until its share is done. Lock-step, or windows when asked. Prints one line of JSON.
 *
 *   tftpload --interface IF --mac MAC --server IP --first-ip IP --file NAME [--clients N] [--rounds R] [--blksize B]
 *            [--window W] [--verify PATH]
 *
 * The clients are frames on a packet socket, so that they cost little beside the server: what comes in is read from a
 * ring that the kernel shares with us, answers leave by the batch. Without --verify only the heads of the
 * packets are copied into the ring, and lengths and block numbers are checked; with it, every byte. The
 * client with address FIRST + i has the MAC address 02:b0 and its address; who runs this enters both at the server's
 * side (ip neighbour ... nud permanent): nobody here answers ARP, as the 3B's ROM does not. The interface itself has
 * no address, so that the kernel drops every packet once the ring has it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "tftp/frame.h"
#include "wire/tftp.h"

#define REPEAT_NS (500 * BR_MS)
#define GIVE_UP_NS (20 * BR_S)
#define RING_FRAMES 16384 /* a thousand clients with windows of eight, twice */
#define RING_BLOCK (1u << 20)
#define OUT_BATCH 64
#define FIRST_PORT 10000
#define LAST_PORT 60000

struct client {
	uint32_t ip;
	uint16_t port, server_port; /* the server's: first where it listens, then the transfer's */
	bool running;
	unsigned left; /* fetches to do */
	uint64_t next, got, heard_ns, progress_ns; /* block expected, bytes */
	unsigned blksize, window, in_window;
	uint8_t last[256]; /* what to say again */
	size_t last_len;
};

struct out {
	uint8_t head[BR_TFTP_FRAME_HEAD];
	uint8_t payload[256];
	struct iovec iov[2];
};

static struct {
	uint32_t server_ip, first_ip;
	uint16_t server_port;
	struct br_mac server_mac;
	const char *interface, *file;
	unsigned clients, rounds, blksize, window;
	char *content; /* to compare with; NULL: not compared */
	size_t size;
	struct client *all;
	unsigned running;
	uint64_t bytes, datagrams, repeats, now_ns;

	int fd;
	uint8_t *ring;
	size_t frame_size;
	unsigned at;
	struct mmsghdr msgs[OUT_BATCH];
	struct out out[OUT_BATCH];
	unsigned n_out;
} load;

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *fmt, ...)
{
	va_list ap;

	fputs("tftpload: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(1);
}

static void flush(void)
{
	unsigned done = 0;

	while (done < load.n_out) {
		int n = sendmmsg(load.fd, load.msgs + done, load.n_out - done, 0);

		if (n < 0 && errno != EINTR && errno != ENOBUFS)
			die("send: %s", strerror(errno));
		done += n > 0 ? (unsigned)n : errno == ENOBUFS;
	}
	load.n_out = 0;
}

static struct br_mac mac_of(uint32_t ip)
{
	return (struct br_mac){ { 0x02, 0xb0, (uint8_t)(ip >> 24), (uint8_t)(ip >> 16), (uint8_t)(ip >> 8), (uint8_t)ip } };
}

static void say(struct client *c, const void *data, size_t len)
{
	const struct br_tftp_frame f = {
		.src_mac = mac_of(c->ip), .dst_mac = load.server_mac,
		.src_ip = c->ip, .dst_ip = load.server_ip,
		.src_port = c->port, .dst_port = c->server_port,
	};
	struct out *o = &load.out[load.n_out];

	memmove(c->last, data, len);
	c->last_len = len;
	br_tftp_frame_head(o->head, &f, 0, len);
	memset(o->head + BR_TFTP_FRAME_HEAD - 2, 0, 2); /* no UDP checksum: on a cable the card would make it */
	memcpy(o->payload, data, len);
	o->iov[1].iov_len = len;
	if (++load.n_out == OUT_BATCH)
		flush();
}

static void ack(struct client *c, uint64_t block)
{
	uint8_t buf[4];

	br_tftp_encode_ack(buf, sizeof(buf), (uint16_t)block);
	c->in_window = 0;
	say(c, buf, sizeof(buf));
}

/* A new port for each fetch, as boards do. */
static void ask(struct client *c)
{
	struct br_tftp_request req = { .opcode = BR_TFTP_RRQ, .octet = true };
	uint8_t buf[sizeof(c->last)];
	int n;

	c->port = c->port < FIRST_PORT || c->port == LAST_PORT ? FIRST_PORT : (uint16_t)(c->port + 1);
	c->server_port = load.server_port;
	c->next = 1;
	c->got = 0;
	c->blksize = BR_TFTP_BLKSIZE;
	c->window = 1;
	c->running = true;
	c->heard_ns = c->progress_ns = load.now_ns;
	snprintf(req.name, sizeof(req.name), "%s", load.file);
	br_tftp_add_opt(&req.opts, BR_TFTP_OPT_TSIZE, 0);
	br_tftp_add_opt(&req.opts, BR_TFTP_OPT_BLKSIZE, load.blksize);
	if (load.window > 1)
		br_tftp_add_opt(&req.opts, BR_TFTP_OPT_WINDOWSIZE, load.window);
	n = br_tftp_encode_request(buf, sizeof(buf), &req);
	if (n < 0)
		die("name too long");
	say(c, buf, (size_t)n);
}

static void on_oack(struct client *c, const uint8_t *buf, size_t len)
{
	const struct br_tftp_opt *o;
	struct br_tftp_opts opts;

	if (c->next > 1 || br_tftp_decode_oack(buf, len, &opts) < 0)
		return;
	o = br_tftp_find_opt(&opts, BR_TFTP_OPT_BLKSIZE);
	c->blksize = o ? (unsigned)o->value : BR_TFTP_BLKSIZE;
	if (c->blksize != load.blksize)
		die("the server grants blocks of %u bytes instead of %u: not comparable", c->blksize, load.blksize);
	o = br_tftp_find_opt(&opts, BR_TFTP_OPT_WINDOWSIZE);
	c->window = o ? (unsigned)o->value : 1;
	if (load.window > 1 && c->window != load.window)
		die("the server grants windows of %u instead of %u: not comparable", c->window, load.window);
	o = br_tftp_find_opt(&opts, BR_TFTP_OPT_TSIZE);
	if (o)
		load.size = (size_t)o->value;
	ack(c, 0);
}

static void finished(struct client *c)
{
	if (load.size && c->got != load.size)
		die("%llu bytes instead of %zu", (unsigned long long)c->got, load.size);
	load.bytes += c->got;
	c->running = false;
	if (--c->left)
		ask(c);
	else
		load.running--;
}

/* len: of the datagram; copied: what of it is here. */
static void on_data(struct client *c, const uint8_t *buf, size_t copied, size_t len)
{
	uint16_t block = (uint16_t)(buf[2] << 8 | buf[3]);
	size_t n = len - BR_TFTP_HEAD;

	if (block != (uint16_t)c->next) {
		if (c->window > 1 && c->in_window) /* a gap (RFC 7440 4.) */
			ack(c, c->next - 1);
		return;
	}
	if (load.content && (copied < len || c->got + n > load.size ||
		memcmp(load.content + c->got, buf + BR_TFTP_HEAD, n) != 0))
		die("wrong bytes in block %llu", (unsigned long long)c->next);
	if (n > c->blksize)
		die("block %llu is too long", (unsigned long long)c->next);
	c->got += n;
	c->next++;
	c->heard_ns = c->progress_ns = load.now_ns;
	if (++c->in_window >= c->window || n < c->blksize)
		ack(c, c->next - 1);
	if (n < c->blksize)
		finished(c);
}

/* frame: 'copied' bytes of it are in the ring. */
static void hear(const uint8_t *frame, size_t copied)
{
	const uint8_t *udp = frame + BR_TFTP_FRAME_HEAD - 8, *data = udp + 8;
	struct br_tftp_frame f;
	struct client *c;
	size_t len;

	if (br_tftp_frame_read(frame, copied, &f) < 0 || f.dst_ip - load.first_ip >= load.clients)
		return;
	c = &load.all[f.dst_ip - load.first_ip];
	len = (size_t)(udp[4] << 8 | udp[5]);
	if (!c->running || f.dst_port != c->port || len < 8 + BR_TFTP_HEAD || copied < BR_TFTP_FRAME_HEAD + BR_TFTP_HEAD)
		return;
	len -= 8;
	copied -= BR_TFTP_FRAME_HEAD;
	if (c->server_port == load.server_port)
		c->server_port = f.src_port; /* the transfer's, from its first datagram on */
	load.datagrams++;
	switch (br_tftp_peek(data, copied)) {
	case BR_TFTP_DATA:
		on_data(c, data, copied, len);
		break;
	case BR_TFTP_OACK:
		on_oack(c, data, copied < len ? copied : len);
		break;
	case BR_TFTP_ERROR:
		die("the server says error %u: %.*s", data[3], (int)(copied < len ? copied : len) - 4, (const char *)data + 4);
	default:
		break;
	}
}

static void repeat_lost(void)
{
	for (unsigned i = 0; i < load.clients; i++) {
		struct client *c = &load.all[i];

		if (!c->running || load.now_ns - c->heard_ns < REPEAT_NS)
			continue;
		if (load.now_ns - c->progress_ns > GIVE_UP_NS)
			die("client %u hears nothing for 20 seconds, at block %llu", i, (unsigned long long)c->next);
		load.repeats++;
		c->heard_ns = load.now_ns;
		say(c, c->last, c->last_len);
	}
}

/* All frames that are there; how many. */
static unsigned drain(void)
{
	unsigned n = 0;

	for (;; n++) {
		struct tpacket2_hdr *h = (struct tpacket2_hdr *)(void *)(load.ring + load.at * load.frame_size);

		if (!(__atomic_load_n(&h->tp_status, __ATOMIC_ACQUIRE) & TP_STATUS_USER))
			return n;
		hear((const uint8_t *)h + h->tp_mac, h->tp_snaplen);
		__atomic_store_n(&h->tp_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
		load.at = (load.at + 1) % RING_FRAMES;
	}
}

static void run(void)
{
	struct pollfd p = { .fd = load.fd, .events = POLLIN };
	uint64_t checked_ns = load.now_ns;

	while (load.running) {
		if (!drain())
			(void)poll(&p, 1, 100);
		load.now_ns = br_now_ns();
		if (load.now_ns - checked_ns > 100 * BR_MS) {
			checked_ns = load.now_ns;
			repeat_lost();
		}
		flush();
	}
}

/* UDP over IPv4, and of that as many bytes as are looked at. */
static void set_filter(size_t snap)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 12),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 3),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 23),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 17, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, (uint32_t)snap),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog prog = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	if (setsockopt(load.fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0)
		die("filter: %s", strerror(errno));
}

static void open_ring(void)
{
	const int version = TPACKET_V2, on = 1, bytes = 8 << 20;
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP) };
	struct tpacket_req req = { .tp_frame_nr = RING_FRAMES, .tp_block_size = RING_BLOCK };

	load.frame_size = load.content ? 2048 : 256;
	req.tp_frame_size = (unsigned)load.frame_size;
	req.tp_block_nr = (unsigned)(RING_FRAMES * load.frame_size / RING_BLOCK);
	to.sll_ifindex = (int)if_nametoindex(load.interface);
	if (!to.sll_ifindex)
		die("no interface %s", load.interface);
	load.fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (load.fd < 0)
		die("packet socket: %s", strerror(errno));
	set_filter(load.content ? 1600 : 160);
	if (setsockopt(load.fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
		setsockopt(load.fd, SOL_PACKET, PACKET_RX_RING, &req, sizeof(req)) < 0 ||
		setsockopt(load.fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) < 0 ||
		setsockopt(load.fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		die("packet socket: %s", strerror(errno));
	load.ring = mmap(NULL, RING_FRAMES * load.frame_size, PROT_READ | PROT_WRITE, MAP_SHARED, load.fd, 0);
	if (load.ring == MAP_FAILED)
		die("ring: %s", strerror(errno));
	if (bind(load.fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		die("bind: %s", strerror(errno));
	for (unsigned i = 0; i < OUT_BATCH; i++) {
		struct out *o = &load.out[i];

		o->iov[0] = (struct iovec){ o->head, sizeof(o->head) };
		o->iov[1].iov_base = o->payload;
		load.msgs[i].msg_hdr = (struct msghdr){ .msg_iov = o->iov, .msg_iovlen = 2 };
	}
}

static unsigned number(const char *name, const char *text, unsigned max)
{
	uint64_t v;

	if (br_parse_u64(text, 1, max, &v) < 0)
		die("--%s %s: a number from 1 to %u is wanted", name, text, max);
	return (unsigned)v;
}

static uint32_t address(const char *name, const char *text)
{
	uint32_t ip;

	if (br_ip_parse(text, &ip) < 0)
		die("--%s %s: no address", name, text);
	return ip;
}

static void parse(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "server", 1, NULL, 's' }, { "port", 1, NULL, 'p' }, { "file", 1, NULL, 'f' },
		{ "clients", 1, NULL, 'c' }, { "rounds", 1, NULL, 'r' }, { "blksize", 1, NULL, 'b' },
		{ "window", 1, NULL, 'w' }, { "verify", 1, NULL, 'v' }, { "interface", 1, NULL, 'i' },
		{ "mac", 1, NULL, 'm' }, { "first-ip", 1, NULL, 'a' }, { 0 },
	};
	struct br_error err = BR_ERROR_NULL;
	int o;

	load.clients = load.rounds = load.window = 1;
	load.blksize = 1468;
	load.server_port = 69;
	while ((o = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (o) {
		case 's': load.server_ip = address("server", optarg); break;
		case 'a': load.first_ip = address("first-ip", optarg); break;
		case 'i': load.interface = optarg; break;
		case 'm':
			if (br_mac_parse(optarg, &load.server_mac) < 0)
				die("--mac %s: no MAC address", optarg);
			break;
		case 'p': load.server_port = (uint16_t)number("port", optarg, 65535); break;
		case 'f': load.file = optarg; break;
		case 'c': load.clients = number("clients", optarg, 10000); break;
		case 'r': load.rounds = number("rounds", optarg, 1000000); break;
		case 'b': load.blksize = number("blksize", optarg, 1468); break;
		case 'w': load.window = number("window", optarg, 64); break;
		case 'v':
			if (br_file_read(optarg, 1u << 30, &load.content, &load.size, &err) < 0)
				die("%s", err.text);
			break;
		default: die("see the head of bench/tftpload.c");
		}
	}
	if (!load.file || !load.interface || !load.server_ip || !load.first_ip || br_mac_is_zero(load.server_mac))
		die("--file, --interface, --mac, --server or --first-ip is missing");
}

static double cpu_seconds(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
		1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

int main(int argc, char **argv)
{
	uint64_t started_ns;
	double cpu;

	parse(argc, argv);
	load.all = calloc(load.clients, sizeof(*load.all));
	if (!load.all)
		die("%s", strerror(errno));
	open_ring();
	cpu = cpu_seconds();
	started_ns = load.now_ns = br_now_ns();
	load.running = load.clients;
	for (unsigned i = 0; i < load.clients; i++) {
		load.all[i] = (struct client){ .ip = load.first_ip + i, .left = load.rounds };
		ask(&load.all[i]);
	}
	flush();
	run();
	flush();
	printf("{\"seconds\": %.6f, \"bytes\": %llu, \"datagrams\": %llu, \"repeats\": %llu, \"cpu\": %.3f}\n",
		(double)(br_now_ns() - started_ns) / (double)BR_S, (unsigned long long)load.bytes,
		(unsigned long long)load.datagrams, (unsigned long long)load.repeats, cpu_seconds() - cpu);
	free(load.content);
	free(load.all);
	return 0;
}

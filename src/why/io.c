/* SPDX-License-Identifier: Apache-2.0 */
/* The packet socket behind the watch. */
#include "why/io.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

#define BATCH 256		/* frames per dispatch: the loop has other work */
#define BUFFER_BYTES (2 << 20)	/* the DISCOVERs of a thousand boards and our answers */
#define FRAME_MAX 2048

struct br_watch_io {
	struct br_watch *watch;
	int fd;
	_Atomic uint64_t dropped; /* asked from any thread */
};

/* The filter before the binding: no frame is queued that it would not let through. */
static int attach(int fd, struct br_error *err)
{
	struct sock_filter code[BR_WATCH_FILTER_MAX];
	struct sock_fprog prog = { .filter = code };
	size_t n;

	br_watch_io_filter(code, &n);
	prog.len = (unsigned short)n;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0)
		return br_error_set(err, errno, "watch: the kernel refuses the packet filter: %s", strerror(errno));
	return 0;
}

static int listen_to(int fd, unsigned ifindex)
{
	const struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)ifindex };

	return bind(fd, (const struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

int br_watch_io_follow(struct br_watch_io *io, unsigned ifindex)
{
	return listen_to(io->fd, ifindex);
}

static int open_socket(const char *interface, struct br_error *err)
{
	unsigned ifindex = if_nametoindex(interface);
	br_cleanup(br_closep) int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	const int bytes = BUFFER_BYTES;
	int r;

	if (fd < 0)
		return br_error_set(err, errno,
			"watch: no packet socket (%s): run as root or with CAP_NET_RAW", strerror(errno));
	r = attach(fd, err);
	if (r < 0)
		return r;
	/* beyond the limit of unprivileged sockets where we may, else up to it */
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	if (!ifindex)
		return br_error_set(err, ENODEV, "watch: there is no interface '%s'", interface);
	r = listen_to(fd, ifindex);
	if (r < 0)
		return br_error_set(err, -r, "watch: cannot listen on %s: %s", interface, strerror(-r));
	return br_take_fd(fd);
}

int br_watch_io_open(const char *interface, struct br_watch *watch, struct br_watch_io **ret, struct br_error *err)
{
	struct br_watch_io *io = calloc(1, sizeof(*io));
	int r;

	if (!io)
		return br_error_set(err, ENOMEM, "out of memory");
	r = open_socket(interface, err);
	if (r < 0) {
		free(io);
		return r;
	}
	io->watch = watch;
	io->fd = r;
	*ret = io;
	return 0;
}

void br_watch_io_close(struct br_watch_io *io)
{
	if (!io)
		return;
	close(io->fd);
	free(io);
}

int br_watch_io_fd(const struct br_watch_io *io)
{
	return io->fd;
}

/* One frame: 1, 0 when there is none, or a negative errno. */
static int take_one(struct br_watch_io *io, uint64_t now_ns)
{
	uint8_t frame[FRAME_MAX];
	struct sockaddr_ll from = { 0 };
	socklen_t n_from = sizeof(from);
	ssize_t n = recvfrom(io->fd, frame, sizeof(frame), MSG_TRUNC, (struct sockaddr *)&from, &n_from);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	br_watch_frame(io->watch, frame, (size_t)n < sizeof(frame) ? (size_t)n : sizeof(frame), (size_t)n,
		from.sll_pkttype == PACKET_OUTGOING, now_ns);
	return 1;
}

int br_watch_io_dispatch(struct br_watch_io *io, uint64_t now_ns)
{
	int n = 0, r = 1;

	while (n < BATCH && (r = take_one(io, now_ns)) > 0)
		n++;
	return r < 0 ? r : n;
}

uint64_t br_watch_io_dropped(struct br_watch_io *io)
{
	struct tpacket_stats stats;
	socklen_t n = sizeof(stats);

	/* reading it sets the kernel's count back */
	if (!getsockopt(io->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &n))
		atomic_fetch_add(&io->dropped, stats.tp_drops);
	return atomic_load(&io->dropped);
}

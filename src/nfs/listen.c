/* SPDX-License-Identifier: Apache-2.0 */
#include "nfs/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"

#define BACKLOG 1024

static const struct {
	uint16_t port;
	const char *cure;
} holders[] = {
	{ 2049, "most likely the kernel's NFS server has it; stop that with 'systemctl disable "
		"--now nfs-server', or "
		"stop NFS-Ganesha, or give bramble another address or port" },
	{ 20048, "most likely rpc.mountd has it; stop that with 'systemctl disable --now "
		 "nfs-server nfs-mountd', or give "
		 "bramble another port" },
};

static const char *cure_of(uint16_t port)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(holders); i++)
		if (holders[i].port == port)
			return holders[i].cure;
	return "stop the program that has it ('ss -lpn' shows it), or give another port";
}

static int explain(
	int r, uint32_t ip, uint16_t port, bool udp, const char *what, struct br_error *err)
{
	char text[BR_IP_TEXT];
	const char *proto = udp ? "UDP" : "TCP";

	br_ip_format(text, ip);
	switch (-r) {
	case EADDRINUSE:
		return br_error_set(err, EADDRINUSE, "%s port %u (%s) is in use: %s", proto, port,
			what, cure_of(port));
	case EACCES:
		return br_error_set(err, EACCES,
			"%s port %u (%s): not allowed; start as root or with CAP_NET_BIND_SERVICE",
			proto, port, what);
	case EADDRNOTAVAIL:
		return br_error_set(err, EADDRNOTAVAIL,
			"%s port %u (%s): this machine has no address %s; give one that 'ip "
			"address' shows",
			proto, port, what, text);
	}
	return br_error_set(err, -r, "%s port %u (%s) on %s: %s", proto, port, what, text,
		br_error_text(NULL, r));
}

static int bind_socket(uint32_t ip, uint16_t *port, bool udp, int *ret_fd)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(ip)
	};
	socklen_t len = sizeof(addr);
	br_cleanup(br_closep) int fd =
		socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int yes = 1;

	if (fd < 0)
		return -errno;
	if (udp && setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &yes, sizeof(yes)) < 0)
		return -errno;
	if (!udp && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
		(!udp && listen(fd, BACKLOG) < 0))
		return -errno;
	if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
		return -errno;
	*port = ntohs(addr.sin_port);
	*ret_fd = br_take_fd(fd);
	return 0;
}

int br_nfs_listen(
	uint32_t ip, uint16_t *port, bool udp, const char *what, int *ret_fd, struct br_error *err)
{
	int r = bind_socket(ip, port, udp, ret_fd);

	return r < 0 ? explain(r, ip, *port, udp, what, err) : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The TFTP server's socket, and words for why it cannot be had. */
#include "tftp/socket.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "wire/tftp.h"

#define BUFFER_BYTES (8 << 20) /* room for a burst of some thousand boards while the worker is elsewhere */

static int bind_error(struct br_error *err, int code, uint32_t ip, uint16_t port)
{
	char text[BR_IP_TEXT];

	br_ip_format(text, ip);
	switch (code) {
	case EADDRINUSE:
		return br_error_set(err, code,
			"TFTP: UDP port %u of %s is taken by another program, often dnsmasq, tftpd-hpa or atftpd; "
			"'ss -ulpn sport = :%u' shows which: stop it (systemctl stop NAME), or take the "
			"TFTP service out of its configuration (dnsmasq: enable-tftp)",
			port, ip ? text : "this machine", port);
	case EACCES:
		return br_error_set(err, code,
			"TFTP: may not take UDP port %u; ports below 1024 need root or CAP_NET_BIND_SERVICE", port);
	case EADDRNOTAVAIL:
		return br_error_set(err, code,
			"TFTP: %s is no address of this machine; 'ip -4 address' lists them", text);
	default:
		return br_error_set(err, code, "TFTP: cannot bind UDP port %u of %s: %s", port,
			ip ? text : "this machine", strerror(code));
	}
}

static int bind_device(int fd, const char *interface, struct br_error *err)
{
	int code;

	if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface) + 1) == 0)
		return 0;
	code = errno;
	if (code == ENODEV)
		return br_error_set(err, code, "TFTP: no interface %s here; 'ip link' lists them", interface);
	return br_error_set(err, code, "TFTP: cannot bind to interface %s: %s", interface, strerror(code));
}

/* The kernel gives what it may: past its limit only to root, else up to net.core.*mem_max. */
static void set_buffer(int fd, int forced, int polite)
{
	int bytes = BUFFER_BYTES;

	if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, polite, &bytes, sizeof(bytes));
}

int br_tftp_socket(uint32_t ip, uint16_t port, const char *interface, struct br_error *err)
{
	br_cleanup(br_closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip) };
	int on = 1, r;

	if (fd < 0)
		return br_error_set(err, errno, "TFTP: cannot make a socket: %s", strerror(errno));
	if (interface) {
		r = bind_device(fd, interface, err);
		if (r < 0)
			return r;
	}
	set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF);
	set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF);
	if (setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) < 0)
		return br_error_set(err, errno, "TFTP: cannot set up the socket: %s", strerror(errno));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return bind_error(err, errno, ip, port);
	return br_take_fd(fd);
}

uint64_t br_tftp_socket_dropped(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(info);

	return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) == 0 ? info[SK_MEMINFO_DROPS] : 0;
}

unsigned br_tftp_interface_blksize(int fd, const char *interface)
{
	struct ifreq req = { 0 };

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", interface);
	/* 20 bytes of IPv4, 8 of UDP, 4 of TFTP */
	if (ioctl(fd, SIOCGIFMTU, &req) < 0 || req.ifr_mtu < 32 + BR_TFTP_BLKSIZE_MIN)
		return 0;
	return req.ifr_mtu - 32 < BR_TFTP_BLKSIZE_MAX ? (unsigned)req.ifr_mtu - 32 : BR_TFTP_BLKSIZE_MAX;
}

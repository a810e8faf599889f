/* SPDX-License-Identifier: Apache-2.0 */
/* Port mapper and MOUNT over UDP: a datagram is a call, its answer leaves from the address it came
 * to. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "nfs/tasks.h"

#define PER_TURN 64

union control { /* aligned as cmsghdr wants */
	struct cmsghdr head;
	uint8_t space[CMSG_SPACE(sizeof(struct in_pktinfo))];
};

static uint32_t local_ip(struct msghdr *msg)
{
	struct in_pktinfo info;

	for (struct cmsghdr *cm = CMSG_FIRSTHDR(msg); cm; cm = CMSG_NXTHDR(msg, cm)) {
		if (cm->cmsg_level == IPPROTO_IP && cm->cmsg_type == IP_PKTINFO) {
			memcpy(&info, CMSG_DATA(cm), sizeof(info));
			return ntohl(info.ipi_spec_dst.s_addr);
		}
	}
	return 0;
}

void br_nfs_send_datagram(const struct br_nfs_socket *socket, const struct sockaddr_in *to, uint32_t from_ip,
	const struct br_nfs_reply *reply)
{
	struct in_pktinfo info = { .ipi_spec_dst.s_addr = htonl(from_ip) };
	struct iovec iov = { (void *)(reply->data + BR_RPC_MARK_SIZE),
		reply->len - BR_RPC_MARK_SIZE };
	union control control = { 0 };
	struct msghdr msg = {
		.msg_name = (void *)to,
		.msg_namelen = sizeof(*to),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.space),
	};
	struct cmsghdr *cm = CMSG_FIRSTHDR(&msg);

	cm->cmsg_level = IPPROTO_IP;
	cm->cmsg_type = IP_PKTINFO;
	cm->cmsg_len = CMSG_LEN(sizeof(info));
	memcpy(CMSG_DATA(cm), &info, sizeof(info));
	/* a datagram that cannot be sent is a lost one: the client asks again */
	(void)!sendmsg(socket->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool one(struct br_nfs_worker *w, const struct br_nfs_socket *socket)
{
	struct iovec iov = { w->scratch, sizeof(w->scratch) };
	union control control;
	struct sockaddr_in from = { 0 };
	struct msghdr msg = {
		.msg_name = &from,
		.msg_namelen = sizeof(from),
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.space),
	};
	struct br_nfs_request req;
	struct br_nfs_reply *reply = NULL;
	ssize_t n = recvmsg(socket->fd, &msg, MSG_DONTWAIT);

	if (n < 0)
		return errno == EINTR;
	req = (struct br_nfs_request){
		.ip = ntohl(from.sin_addr.s_addr),
		.port = ntohs(from.sin_port),
		.local_ip = local_ip(&msg),
		.services = socket->services,
		.data = w->scratch,
		.len = (size_t)n,
		.now_ns = w->now_ns,
		.wall_ns = br_wall_ns(),
	};
	if (!req.port) /* cannot be answered */
		return true;
	/* nothing served here is ever held */
	switch (br_nfs_core_call(w->core, &req, &reply)) {
	case BR_NFS_REPLY:
		br_nfs_send_datagram(socket, &from, req.local_ip, reply);
		br_nfs_reply_free(reply);
		break;
	case BR_NFS_LATER:
		br_nfs_tasks_datagram(w, socket, &from, &req);
		break;
	}
	return true;
}

void br_nfs_on_datagrams(struct br_nfs_worker *w, const struct br_nfs_socket *socket)
{
	for (unsigned i = 0; i < PER_TURN && one(w, socket); i++)
		;
}

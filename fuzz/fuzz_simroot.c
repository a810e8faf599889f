/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtual kernel that mounts its root, against a hostile server. Records: a length and that many bytes, the
 * results of the next RPC reply; length 255: a frame as it is instead, of the next byte's length. TCP and the head
 * of replies are made right, so that the bytes get in.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "sim/nfsroot.h"
#include "tests/unit/simframe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SERVER	0x0a4d0001u
#define ADDRESS 0x0a4d0064u

static const uint8_t board_mac[6] = { 0xb8, 0x27, 0xeb, 0, 0, 1 }, server_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const char cmdline[] = "root=/dev/nfs nfsroot=10.77.0.1:/b/1,vers=3,tcp ip=dhcp";

static struct { /* of the connection, as its last packets told */
	uint16_t port, server_port;
	uint32_t next, sent, xid;
	bool syn;
} peer;

static unsigned n_done;

static void on_send(void *ctx, const uint8_t *f, size_t len)
{
	const uint8_t *t = f + 34;
	size_t head, n;

	if (len < 54 || br_load_be16(f + 12) != 0x0800 || f[23] != 6)
		return;
	head = (size_t)(t[12] >> 4) * 4;
	n = br_load_be16(f + 16) - 20 - head;
	peer.port = br_load_be16(t);
	peer.server_port = br_load_be16(t + 2);
	peer.next = br_load_be32(t + 4) + (uint32_t)n + (t[13] & 3 ? 1 : 0);
	peer.syn |= t[13] & 2;
	if (n >= 8)
		peer.xid = br_load_be32(t + head + 4);
}

static void on_done(void *ctx, const struct br_sim_nfsroot_result *r)
{
	if (!r->why || !r->file)
		abort();
	n_done++;
}

static void segment(struct br_sim_nfsroot *n, uint64_t now, uint8_t flags, const uint8_t *p, size_t len)
{
	uint8_t f[54 + 512];

	simframe_ip(f, board_mac, server_mac, SERVER, ADDRESS, 6, 20 + len);
	memset(f + 34, 0, 20);
	br_store_be16(f + 34, peer.server_port);
	br_store_be16(f + 36, peer.port);
	br_store_be32(f + 38, peer.sent);
	br_store_be32(f + 42, peer.next);
	f[46] = 5 << 4;
	f[47] = flags;
	br_store_be16(f + 48, 65535);
	if (len)
		memcpy(f + 54, p, len);
	peer.sent += (uint32_t)len + (flags & 3 ? 1 : 0);
	br_sim_nfsroot_frame(n, now, f, 54 + len, true);
}

static void reply(struct br_sim_nfsroot *n, uint64_t now, const uint8_t *p, size_t len)
{
	uint8_t b[28 + 255] = { 0 };

	if (peer.syn) {
		peer.syn = false;
		segment(n, now, 0x12, NULL, 0);
	}
	br_store_be32(b, 0x80000000u | (uint32_t)(24 + len));
	br_store_be32(b + 4, peer.xid);
	br_store_be32(b + 8, 1);
	memcpy(b + 28, p, len);
	segment(n, now, 0x18, b, 28 + len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct br_sim_netstyle style = { .ttl = 64, .arp_when_busy = true };
	struct br_sim_stack stack = { .style = &style, .ip = ADDRESS, .mask = 0xffffff00u, .send = on_send };
	struct br_reader r = br_reader_of(data, size);
	struct br_sim_nfsroot *n;
	uint64_t now = BR_S;
	uint8_t arp[60];

	memset(&peer, 0, sizeof(peer));
	n_done = 0;
	memcpy(stack.mac.b, board_mac, 6);
	n = br_sim_nfsroot_new(&stack, cmdline, on_done, NULL);
	if (!n)
		return 0;
	br_sim_nfsroot_step(n, now);
	br_sim_nfsroot_frame(n, now, arp, simframe_arp(arp, board_mac, server_mac, SERVER, ADDRESS), true);
	for (int i = 0; i < 200 && br_reader_left(&r); i++) {
		uint8_t len = br_get_u8(&r), raw = len == 255 ? br_get_u8(&r) : 0;
		size_t k = len == 255 ? raw : len;
		const uint8_t *p;

		if (k > br_reader_left(&r))
			k = br_reader_left(&r);
		p = br_reader_take(&r, k);
		if (len == 255 && k)
			br_sim_nfsroot_frame(n, now, p, k, false);
		else if (k)
			reply(n, now, p, k);
		else if (br_sim_nfsroot_deadline(n) != UINT64_MAX && br_sim_nfsroot_deadline(n) > now)
			now = br_sim_nfsroot_deadline(n);
		br_sim_nfsroot_step(n, now);
	}
	if (n_done > 1)
		abort();
	br_sim_nfsroot_free(n);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Boards that were heard, by MAC and by address; their packets in a ring. */
#include "why/watch.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "dhcp/classify.h"
#include "pi/identity.h"
#include "wire/dhcp.h"
#include "wire/tftp.h"

#define RING_FIRST 2048 /* three of the longest packets */

/* In the ring in front of each packet. */
struct record {
	uint64_t t_ns;
	uint16_t len, wire_len;
	uint8_t from_board, pad[3];
};

struct board {
	uint64_t key; /* MAC */
	uint32_t ip;  /* key of the second table, 0: not in it */
	bool served;  /* it was answered, or went beyond asking */
	struct br_why_facts facts;
	size_t head, used, room; /* of the ring: where it begins, how much is in it and may be */
	uint8_t *ring;
	struct board *prev, *next; /* by their last frame, oldest first */
	UT_hash_handle hh, hh_ip;
};

struct br_watch {
	struct br_watch_options opt;
	pthread_mutex_t lock;
	struct board *boards, *by_ip;
	struct board *asking, *served; /* lists */
	size_t rings;			/* bytes of all boards' */
};

int br_watch_new(const struct br_watch_options *opt, struct br_watch **ret)
{
	struct br_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->opt = *opt;
	if (!w->opt.max_boards)
		w->opt.max_boards = BR_WATCH_BOARDS;
	pthread_mutex_init(&w->lock, NULL);
	*ret = w;
	return 0;
}

static struct board **list_of(struct br_watch *w, const struct board *b)
{
	return b->served ? &w->served : &w->asking;
}

static void drop(struct br_watch *w, struct board *b)
{
	struct board **list = list_of(w, b);

	DL_DELETE(*list, b);
	if (b->ip)
		HASH_DELETE(hh_ip, w->by_ip, b);
	assert(w->boards); /* b is one of them */
	HASH_DELETE(hh, w->boards, b);
	w->rings -= b->room;
	free(b->ring);
	free(b);
}

void br_watch_free(struct br_watch *w)
{
	if (!w)
		return;
	while (w->asking)
		drop(w, w->asking);
	while (w->served)
		drop(w, w->served);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

/* ---- who ---------------------------------------------------------------------------------------------------- */

static struct board *find(struct br_watch *w, struct br_mac mac)
{
	uint64_t key = br_mac_u64(mac);
	struct board *b;

	HASH_FIND(hh, w->boards, &key, sizeof(key), b);
	return b;
}

static struct board *find_ip(struct br_watch *w, uint32_t ip)
{
	struct board *b;

	HASH_FIND(hh_ip, w->by_ip, &ip, sizeof(ip), b);
	return b;
}

static struct board *add(struct br_watch *w, struct br_mac mac)
{
	struct board *b;

	if (HASH_COUNT(w->boards) >= w->opt.max_boards)
		drop(w, w->asking ? w->asking : w->served);
	b = calloc(1, sizeof(*b));
	if (!b)
		return NULL; /* not watched until there is memory */
	b->key = br_mac_u64(mac);
	b->facts.mac = mac;
	HASH_ADD(hh, w->boards, key, sizeof(b->key), b);
	DL_APPEND(w->asking, b);
	return b;
}

/* Whether the sender of a frame behaves like a board. */
static bool is_board(const struct br_frame *f)
{
	struct br_dhcp_message m;
	struct br_dhcp_client c;

	if (f->src.b[0] & 1)
		return false;
	if (br_pi_oui(f->src))
		return true;
	if (f->kind != BR_FRAME_UDP)
		return false;
	if (f->dst_port == 69)
		return br_tftp_peek(f->payload, f->len) == BR_TFTP_RRQ;
	if (f->dst_port != BR_DHCP_SERVER_PORT || br_dhcp_decode(f->payload, f->len, &m) < 0 ||
		m.h.op != BR_DHCP_BOOTREQUEST || !br_mac_equal(m.h.chaddr, f->src))
		return false;
	br_dhcp_classify(&m, &c);
	return c.kind != BR_DHCP_OTHER && c.kind != BR_DHCP_OS;
}

/* The client of a DHCP message, by its bytes: broadcast replies, and requests that a relay brings. */
static bool dhcp_client(const struct br_frame *f, struct br_mac *ret)
{
	if (f->kind != BR_FRAME_UDP || (f->dst_port != 67 && f->dst_port != 68) || f->len < BR_DHCP_HEADER_LEN)
		return false;
	memcpy(ret->b, f->payload + 28, sizeof(ret->b));
	return true;
}

/* The board that a frame is from or about, NULL: none. */
static struct board *board_of(struct br_watch *w, const struct br_frame *f, bool out, bool *ret_from)
{
	struct board *b = out ? NULL : find(w, f->src);
	struct br_mac client;

	*ret_from = b != NULL;
	if (b)
		return b;
	b = find(w, f->dst);
	if (!b && dhcp_client(f, &client)) {
		b = find(w, client);
		*ret_from = b && f->payload[0] == BR_DHCP_BOOTREQUEST;
	}
	if (!b && f->kind == BR_FRAME_ARP && f->arp_op == 1)
		b = find_ip(w, f->dst_ip);
	if (!b && !out && is_board(f)) {
		b = add(w, f->src);
		*ret_from = b != NULL;
	}
	return b;
}

/* ---- the ring ----------------------------------------------------------------------------------------------- */

static void ring_copy_in(struct board *b, const void *data, size_t n)
{
	size_t at = (b->head + b->used) % b->room, first = b->room - at;

	first = first < n ? first : n;
	memcpy(b->ring + at, data, first);
	memcpy(b->ring, (const uint8_t *)data + first, n - first);
	b->used += n;
}

static void ring_copy_out(const struct board *b, size_t offset, void *data, size_t n)
{
	size_t at = (b->head + offset) % b->room, first = b->room - at;

	first = first < n ? first : n;
	memcpy(data, b->ring + at, first);
	memcpy((uint8_t *)data + first, b->ring, n - first);
}

/* Twice the room, as long as there is some for all. */
static void grow(struct br_watch *w, struct board *b)
{
	size_t room = b->room ? 2 * b->room : RING_FIRST;
	uint8_t *ring = room <= BR_WATCH_RING && (!b->room || w->rings + b->room <= BR_WATCH_RINGS) ? malloc(room) : NULL;

	if (!ring)
		return;
	if (b->room)
		ring_copy_out(b, 0, ring, b->used);
	w->rings += room - b->room;
	free(b->ring);
	b->ring = ring;
	b->room = room;
	b->head = 0;
}

static void keep(struct br_watch *w, struct board *b, const uint8_t *frame, size_t len, size_t wire_len, bool from_board, uint64_t now)
{
	struct record r = { .t_ns = now, .from_board = from_board }, oldest;

	len = len < BR_WATCH_SNAP ? len : BR_WATCH_SNAP;
	r.len = (uint16_t)len;
	r.wire_len = (uint16_t)(wire_len < UINT16_MAX ? wire_len : UINT16_MAX);
	if (b->room - b->used < sizeof(r) + len)
		grow(w, b);
	if (!b->room)
		return;
	while (b->room - b->used < sizeof(r) + len) {
		ring_copy_out(b, 0, &oldest, sizeof(oldest));
		b->head = (b->head + sizeof(oldest) + oldest.len) % b->room;
		b->used -= sizeof(oldest) + oldest.len;
	}
	ring_copy_in(b, &r, sizeof(r));
	ring_copy_in(b, frame, len);
}

/* ---- frames ------------------------------------------------------------------------------------------------- */

/* A board was heard: it moves to the end of its list, and may have another address or another standing. */
static void touch(struct br_watch *w, struct board *b)
{
	struct board **list = list_of(w, b);
	uint32_t ip = b->facts.ip;
	struct board *old;

	DL_DELETE(*list, b);
	b->served |= b->facts.ip != 0 && br_why_reached(&b->facts) > BR_WHY_ASKED;
	list = list_of(w, b);
	DL_APPEND(*list, b);
	if (ip == b->ip)
		return;
	if (b->ip)
		HASH_DELETE(hh_ip, w->by_ip, b);
	b->ip = ip;
	old = ip ? find_ip(w, ip) : NULL;
	if (old) {
		HASH_DELETE(hh_ip, w->by_ip, old);
		old->ip = 0;
	}
	if (ip)
		HASH_ADD(hh_ip, w->by_ip, ip, sizeof(b->ip), b);
}

/* Somebody else says in ARP that he has a board's address (RFC 5227). */
static void note_rival(struct br_watch *w, const struct br_frame *f, bool out)
{
	struct board *b = f->kind == BR_FRAME_ARP && f->src_ip ? find_ip(w, f->src_ip) : NULL;

	if (b && !out && !br_mac_equal(f->arp_sender, b->facts.mac))
		b->facts.rival = f->arp_sender;
}

void br_watch_frame(struct br_watch *w, const void *frame, size_t len, size_t wire_len, bool out, uint64_t now_ns)
{
	struct br_frame f;
	struct board *b;
	bool bad = br_frame_parse(frame, len, &f) < 0, from = false;

	if (len < 14)
		return;
	if (bad)
		f.kind = BR_FRAME_OTHER;
	pthread_mutex_lock(&w->lock);
	note_rival(w, &f, out);
	b = board_of(w, &f, out, &from);
	if (b) {
		keep(w, b, frame, len, wire_len, from, now_ns);
		br_why_fold(&b->facts, &f, from, w->opt.server_ip, now_ns);
		if (bad && from)
			br_why_count(&b->facts.garbage, now_ns);
		if (from)
			touch(w, b);
	}
	pthread_mutex_unlock(&w->lock);
}

/* ---- questions ---------------------------------------------------------------------------------------------- */

int br_watch_facts(struct br_watch *w, struct br_mac mac, struct br_why_facts *ret)
{
	struct board *b;

	pthread_mutex_lock(&w->lock);
	b = find(w, mac);
	if (b)
		*ret = b->facts;
	pthread_mutex_unlock(&w->lock);
	return b ? 0 : -ENOENT;
}

int br_watch_by_ip(struct br_watch *w, uint32_t ip, struct br_mac *ret)
{
	struct board *b;

	pthread_mutex_lock(&w->lock);
	b = find_ip(w, ip);
	if (b)
		*ret = b->facts.mac;
	pthread_mutex_unlock(&w->lock);
	return b ? 0 : -ENOENT;
}

int br_watch_twin(struct br_watch *w, struct br_mac mac, uint32_t serial, uint64_t since_ns, struct br_mac *ret)
{
	int r = -ENOENT;

	if (!serial)
		return r;
	pthread_mutex_lock(&w->lock);
	for (struct board *b = w->boards; b && r < 0; b = b->hh.next) {
		const struct br_why_facts *f = &b->facts;

		if (f->guid.serial != serial || f->last_ns < since_ns || br_mac_equal(f->mac, mac))
			continue;
		*ret = f->mac;
		r = 0;
	}
	pthread_mutex_unlock(&w->lock);
	return r;
}

int br_watch_by_serial(struct br_watch *w, uint32_t serial, struct br_mac *ret)
{
	return br_watch_twin(w, (struct br_mac){ 0 }, serial, 0, ret);
}

size_t br_watch_booting(struct br_watch *w, uint64_t since_ns)
{
	size_t n = 0;

	pthread_mutex_lock(&w->lock);
	for (struct board *b = w->boards; b; b = b->hh.next) {
		const struct br_why_facts *f = &b->facts;
		bool asked = false;

		for (size_t k = 0; k < BR_DHCP_N_KINDS; k++)
			asked |= br_dhcp_client_is_firmware(k) && f->dhcp[k].discover.n &&
				 f->dhcp[k].discover.last_ns >= since_ns;
		n += asked;
	}
	pthread_mutex_unlock(&w->lock);
	return n;
}

size_t br_watch_count(struct br_watch *w)
{
	size_t n;

	pthread_mutex_lock(&w->lock);
	n = HASH_COUNT(w->boards);
	pthread_mutex_unlock(&w->lock);
	return n;
}

int br_watch_packets(struct br_watch *w, struct br_mac mac,
	int (*fn)(void *ctx, const struct br_watch_packet *packet), void *ctx)
{
	uint8_t data[BR_WATCH_SNAP];
	struct board *b;
	int r = 0;

	pthread_mutex_lock(&w->lock);
	b = find(w, mac);
	for (size_t at = 0; b && !r && at < b->used;) {
		struct br_watch_packet p = { .data = data };
		struct record rec;

		ring_copy_out(b, at, &rec, sizeof(rec));
		ring_copy_out(b, at + sizeof(rec), data, rec.len);
		at += sizeof(rec) + rec.len;
		p.t_ns = rec.t_ns;
		p.len = rec.len;
		p.wire_len = rec.wire_len;
		p.from_board = rec.from_board;
		r = fn(ctx, &p);
	}
	pthread_mutex_unlock(&w->lock);
	return b ? r : -ENOENT;
}

/* ---- pcap --------------------------------------------------------------------------------------------------- */

#define PCAP_HEADER 24
#define PCAP_PACKET 16

struct capture {
	struct br_writer w;
	uint64_t wall_of_0; /* wall clock at monotonic 0 */
};

static int capture_packet(void *ctx, const struct br_watch_packet *p)
{
	struct capture *c = ctx;
	uint64_t us = (c->wall_of_0 + p->t_ns) / 1000;

	br_put_le32(&c->w, (uint32_t)(us / 1000000));
	br_put_le32(&c->w, (uint32_t)(us % 1000000));
	br_put_le32(&c->w, (uint32_t)p->len);
	br_put_le32(&c->w, (uint32_t)p->wire_len);
	br_put_bytes(&c->w, p->data, p->len);
	return c->w.failed ? -ENOBUFS : 0;
}

int br_watch_pcap(struct br_watch *w, struct br_mac mac, uint64_t now_ns, uint64_t wall_ns, uint8_t **ret,
	size_t *ret_len)
{
	/* a packet's head there is no longer than our record's */
	size_t cap = PCAP_HEADER + BR_WATCH_RING;
	br_cleanup(br_freep) uint8_t *buf = malloc(cap);
	struct capture c = { .w = br_writer_of(buf, cap), .wall_of_0 = wall_ns - now_ns };
	int r;

	_Static_assert(PCAP_PACKET <= sizeof(struct record), "the ring would not fit");
	if (!buf)
		return -ENOMEM;
	br_put_le32(&c.w, 0xa1b2c3d4);
	br_put_le32(&c.w, 2 | 4 << 16); /* version 2.4 */
	br_put_zeros(&c.w, 8);		/* UTC, no claim of accuracy */
	br_put_le32(&c.w, BR_WATCH_SNAP);
	br_put_le32(&c.w, 1); /* LINKTYPE_ETHERNET */
	r = br_watch_packets(w, mac, capture_packet, &c);
	if (r < 0)
		return r;
	*ret_len = c.w.len;
	*ret = br_take(buf);
	return 0;
}

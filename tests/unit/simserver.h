/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A DHCP and TFTP server of a few lines for virtual boards in tests: frames in, frames out, no sockets. */
#include <string.h>

#include "base/bytes.h"
#include "base/text.h"
#include "sim/board.h"
#include "tests/unit/simframe.h"

#define SIMSERVER_IP   0x0a4d0001u
#define SIMSERVER_ADDR 0x0a4d0064u

struct simserver_file {
	const char *name;
	const void *data;
	size_t len;
};

struct simserver {
	struct br_sim_board *board;
	const struct simserver_file *files; /* ended by name == NULL */
	bool mute_dhcp, mute_tftp, mute_arp, no_oack, no_server;
	struct br_text asked;  /* names of RRQs, one per line */
	struct br_text events; /* words of events, one per line */
	struct br_text ports;  /* source ports of RRQs */
	unsigned n_requests, n_frames;
	uint8_t first_ttl, last_ttl;
	bool any_udp_sum, any_df;
	/* the answer that is under way: frames are delivered by simserver_run, not from within send() */
	uint8_t out[16][1600];
	size_t out_len[16], n_out;
	const struct simserver_file *sending;
	size_t sending_blksize;
	uint16_t sending_port;
};

static const uint8_t simserver_mac[6] = { 2, 0, 0, 0, 0, 1 };

static inline void simserver_queue(struct simserver *s, const uint8_t *frame, size_t len)
{
	if (s->n_out == 16)
		return;
	memcpy(s->out[s->n_out], frame, len);
	s->out_len[s->n_out++] = len;
}

static inline void simserver_udp(struct simserver *s, const uint8_t *to_mac, uint32_t to_ip, uint16_t from, uint16_t to,
	const void *data, size_t n)
{
	uint8_t f[1600];
	size_t len = simframe_udp(f, to_mac, simserver_mac, SIMSERVER_IP, to_ip, from, to, data, n);

	simserver_queue(s, f, len);
}

static inline void simserver_dhcp(struct simserver *s, const uint8_t *q, const uint8_t *mac)
{
	static const char menu[] = "\x06\x01\x03\x0a\x04\0PXE\x09\x17\0\0\x14Raspberry Pi Boot   \xff";
	uint8_t r[400] = { 0 };
	size_t n = 240;

	if (s->mute_dhcp)
		return;
	memcpy(r, q, 240);
	r[0] = 2;
	br_store_be32(r + 16, SIMSERVER_ADDR);
	memcpy(r + n, "\x35\x01", 2);
	r[n + 2] = q[242] == 3 ? 5 : 2;
	memcpy(r + n + 3, "\x36\x04\x0a\x4d\x00\x01\x01\x04\xff\xff\xff\x00", 12);
	n += 15;
	if (!s->no_server) {
		r[n++] = 43;
		r[n++] = sizeof(menu) - 1;
		memcpy(r + n, menu, sizeof(menu) - 1);
		n += sizeof(menu) - 1;
	}
	r[n] = 255;
	simserver_udp(s, mac, 0xffffffff, 67, 68, r, 320);
}

static inline void simserver_data(struct simserver *s, const uint8_t *mac, uint16_t to, size_t block)
{
	uint8_t d[4 + 1468] = { 0, 3 };
	size_t at = (block - 1) * s->sending_blksize, n = s->sending->len - at;

	if (at > s->sending->len)
		return;
	if (n > s->sending_blksize)
		n = s->sending_blksize;
	br_store_be16(d + 2, (uint16_t)block);
	if (n)
		memcpy(d + 4, (const uint8_t *)s->sending->data + at, n);
	simserver_udp(s, mac, SIMSERVER_ADDR, s->sending_port, to, d, 4 + n);
}

static inline void simserver_rrq(struct simserver *s, const uint8_t *mac, uint16_t from, const char *q, size_t n)
{
	const char *name = q + 2;
	const char *options = name + strlen(name) + 1 + 6, *asked;
	uint8_t r[64] = { 0, 5, 0, 1, 'n', 'o', 0 };
	size_t len = 7;

	br_text_addf(&s->asked, "%s\n", name);
	br_text_addf(&s->ports, "%u\n", from);
	s->n_requests++;
	if (s->mute_tftp)
		return;
	s->sending = NULL;
	s->sending_port = (uint16_t)(2000 + s->n_requests);
	s->sending_blksize = 512;
	for (const struct simserver_file *f = s->files; f->name; f++)
		if (!strcmp(f->name, name))
			s->sending = f;
	if (s->sending && (s->no_oack || options >= q + n)) {
		simserver_data(s, mac, from, 1);
		return;
	}
	if (s->sending) {
		len = (size_t)snprintf((char *)r + 2, sizeof(r) - 2, "tsize%c%zu", 0, s->sending->len) + 3;
		r[1] = 6;
		asked = memmem(options, (size_t)(q + n - options), "blksize", 7);
		if (asked) {
			s->sending_blksize = strtoul(asked + 8, NULL, 10); /* firmware asks for 1468 at most */
			len += (size_t)snprintf((char *)r + len, sizeof(r) - len, "blksize%c%zu", 0, s->sending_blksize) + 1;
		}
	}
	simserver_udp(s, mac, SIMSERVER_ADDR, s->sending_port, from, r, len);
}

static inline void simserver_arp(struct simserver *s, const uint8_t *f)
{
	uint8_t r[60];

	if (s->mute_arp || f[21] != 1 || br_load_be32(f + 38) != SIMSERVER_IP)
		return;
	simserver_queue(s, r, simframe_arp(r, f + 6, simserver_mac, SIMSERVER_IP, br_load_be32(f + 28)));
}

/* The board's send callback; ctx is the server. */
static inline void simserver_send(void *ctx, const uint8_t *f, size_t len)
{
	struct simserver *s = ctx;
	const uint8_t *p = f + 42;
	uint16_t from, to;
	size_t n;

	if (br_load_be16(f + 12) == 0x0806) {
		simserver_arp(s, f);
		return;
	}
	if (!s->n_frames++)
		s->first_ttl = f[22];
	s->last_ttl = f[22];
	s->any_udp_sum |= br_load_be16(f + 40) != 0;
	s->any_df |= (f[20] & 0x40) != 0;
	if (!(f[0] & 1) && memcmp(f, simserver_mac, 6))
		return;
	from = br_load_be16(f + 34);
	to = br_load_be16(f + 36);
	n = (size_t)br_load_be16(f + 38) - 8;
	if (to == 67)
		simserver_dhcp(s, p, f + 6);
	else if (to == 69)
		simserver_rrq(s, f + 6, from, (const char *)p, n);
	else if (s->sending && to == s->sending_port && p[1] == 4)
		simserver_data(s, f + 6, from, br_load_be16(p + 2) + 1u);
}

static inline void simserver_event(void *ctx, const struct br_sim_event *e)
{
	struct simserver *s = ctx;

	br_text_addf(&s->events, "%d %s %s\n", e->what, e->name, e->text);
}

/* Lets board and server talk until the board is done or nothing happens for good. Returns the last time. */
static inline uint64_t simserver_run(struct simserver *s)
{
	uint64_t now = 0;

	for (;;) {
		uint64_t next;

		br_sim_board_step(s->board, now);
		while (s->n_out) {
			uint8_t frame[1600];
			size_t len = s->out_len[0];

			memcpy(frame, s->out[0], len);
			s->n_out--;
			memmove(s->out[0], s->out[1], s->n_out * sizeof(s->out[0]));
			memmove(s->out_len, s->out_len + 1, s->n_out * sizeof(s->out_len[0]));
			now += 1000;
			br_sim_board_frame(s->board, now, frame, len, false);
		}
		next = br_sim_board_deadline(s->board);
		if (next == UINT64_MAX)
			return now;
		if (next > now)
			now = next;
	}
}

static inline void simserver_done(struct simserver *s)
{
	br_sim_board_free(s->board);
	br_text_done(&s->asked);
	br_text_done(&s->events);
	br_text_done(&s->ports);
}

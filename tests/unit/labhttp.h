/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The TCP end of the wire of modellab.h: takes a virtual board's connection to port 80, hands its request to the real HTTP
 * server over loopback, and sends the answer back as segments. In the name of the board: the server sees its address.
 */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/text.h"
#include "daemon/glue.h"
#include "http/server.h"

#define LABHTTP_SEGMENT 1460
#define LABHTTP_FLIGHT	16 /* segments on the way */

enum { LABHTTP_FIN = 1, LABHTTP_SYN = 2, LABHTTP_RST = 4, LABHTTP_ACK = 16 };

struct labhttp {
	struct br_http *http;
	struct br_glue_tftp glue; /* ctx of the glue's operations */
	uint32_t board_ip;
	size_t break_after; /* bytes of an answer, once; 0: never */
	/* of the connection */
	uint16_t port;
	uint32_t expected, first; /* of the board; our sequence number of answer[0] */
	struct br_text request, answer;
	size_t sent, acked;
	bool asked, fin;
};

static int labhttp_open(void *ctx, uint32_t ip, const char *path, struct br_http_file *file)
{
	struct labhttp *h = ctx;

	return br_glue_http_ops.open(&h->glue, h->board_ip, path, file);
}

static void labhttp_release(void *ctx, struct br_http_file *file)
{
	struct labhttp *h = ctx;

	br_glue_http_ops.release(&h->glue, file);
}

static void labhttp_report(void *ctx, const struct br_http_report *rep)
{
	struct labhttp *h = ctx;

	br_glue_http_ops.report(&h->glue, rep);
}

static void labhttp_start(struct labhttp *h, struct br_glue *glue)
{
	static const struct br_http_ops ops = { .open = labhttp_open, .release = labhttp_release, .report = labhttp_report };
	struct br_http_options opt = { .ip = INADDR_LOOPBACK, .ops = &ops, .ctx = h };

	memset(h, 0, sizeof(*h));
	h->glue.glue = glue;
	assert_int_equal(br_http_start(&opt, &h->http, NULL), 0);
}

static void labhttp_stop(struct labhttp *h)
{
	br_http_stop(h->http);
	br_text_done(&h->request);
	br_text_done(&h->answer);
}

/* The whole answer of the real server. */
static void labhttp_ask(struct labhttp *h)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(br_http_port(h->http)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char buf[65536];
	ssize_t n;

	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(send(fd, h->request.buf, h->request.len, 0), (ssize_t)h->request.len);
	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) /* the board asks for 'close' */
		br_text_add_bytes(&h->answer, buf, (size_t)n);
	close(fd);
	if (h->break_after && h->answer.len > h->break_after) {
		h->answer.len = h->break_after;
		h->break_after = 0;
	}
	h->asked = true;
}

/* Of TCP with its pseudo header, over the frame's own fields. */
static uint16_t labhttp_sum(const uint8_t *ip, size_t n)
{
	uint32_t sum = 6 + (uint32_t)n;

	for (size_t i = 12; i < 20 + n; i += 2)
		sum += (uint32_t)ip[i] << 8 | (i + 1 < 20 + n ? ip[i + 1] : 0);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* A frame to the board; its length. 'to' is the frame it answers. */
static size_t labhttp_frame(const struct labhttp *h, const uint8_t *to, uint8_t flags, uint32_t seq, const void *data, size_t n,
	uint8_t *f)
{
	size_t tcp = flags & LABHTTP_SYN ? 24 : 20;
	uint32_t sum = 0;

	memset(f, 0, 60);
	memcpy(f, to + 6, 6);
	memcpy(f + 6, to, 6);
	br_store_be16(f + 12, 0x0800);
	br_store_be16(f + 14, 0x4500);
	br_store_be16(f + 16, (uint16_t)(20 + tcp + n));
	f[22] = 64;
	f[23] = 6;
	memcpy(f + 26, to + 30, 4);
	memcpy(f + 30, to + 26, 4);
	for (int i = 0; i < 20; i += 2)
		sum += br_load_be16(f + 14 + i);
	sum = (sum & 0xffff) + (sum >> 16);
	br_store_be16(f + 24, (uint16_t)~(sum + (sum >> 16)));
	memcpy(f + 34, to + 36, 2);
	memcpy(f + 36, to + 34, 2);
	br_store_be32(f + 38, seq);
	br_store_be32(f + 42, h->expected);
	f[46] = (uint8_t)(tcp / 4 << 4);
	f[47] = flags;
	br_store_be16(f + 48, 65535);
	if (flags & LABHTTP_SYN)
		memcpy(f + 54, "\x02\x04\x05\xb4", 4);
	if (n)
		memcpy(f + 34 + tcp, data, n);
	br_store_be16(f + 50, labhttp_sum(f + 14, tcp + n));
	return 34 + tcp + n < 60 ? 60 : 34 + tcp + n;
}

static void labhttp_begin(struct labhttp *h, uint16_t port, uint32_t seq)
{
	h->port = port;
	h->expected = seq + 1;
	h->first = 0x10000;
	h->request.len = h->answer.len = 0;
	h->sent = h->acked = 0;
	h->asked = h->fin = false;
}

/* A segment of the board; answers go out through put(). log() gets the request's first line. */
static void labhttp_input(struct labhttp *h, const uint8_t *f, void (*put)(void *ctx, const uint8_t *frame, size_t len),
	void (*log)(void *ctx, const char *line, const char *rest), void *ctx)
{
	size_t head = (size_t)(f[46] >> 4) * 4, n = br_load_be16(f + 16) - 20u - head;
	uint8_t flags = f[47], out[1600];
	uint32_t seq = br_load_be32(f + 38), ack = br_load_be32(f + 42);

	if (flags & LABHTTP_SYN) {
		labhttp_begin(h, br_load_be16(f + 34), seq);
		put(ctx, out, labhttp_frame(h, f, LABHTTP_SYN | LABHTTP_ACK, h->first - 1, NULL, 0, out));
		return;
	}
	if (flags & LABHTTP_RST || br_load_be16(f + 34) != h->port)
		return;
	if (seq == h->expected && n) {
		br_text_add_bytes(&h->request, f + 34 + head, n);
		h->expected += (uint32_t)n;
	}
	if (seq + n == h->expected && flags & LABHTTP_FIN)
		h->expected++;
	if (!h->asked && br_str_ends(h->request.buf ? h->request.buf : "", "\r\n\r\n")) {
		size_t line = strcspn(h->request.buf, "\r");

		h->request.buf[line] = 0;
		log(ctx, h->request.buf, h->request.buf + line + 2);
		h->request.buf[line] = '\r';
		labhttp_ask(h);
	}
	if (h->asked && ack - h->first <= h->answer.len)
		h->acked = ack - h->first;
	while (h->asked && h->sent < h->answer.len && h->sent - h->acked < LABHTTP_FLIGHT * LABHTTP_SEGMENT) {
		size_t len = h->answer.len - h->sent < LABHTTP_SEGMENT ? h->answer.len - h->sent : LABHTTP_SEGMENT;

		put(ctx, out, labhttp_frame(h, f, LABHTTP_ACK, h->first + (uint32_t)h->sent, h->answer.buf + h->sent, len, out));
		h->sent += len;
	}
	if (h->asked && h->acked == h->answer.len && !h->fin) {
		h->fin = true;
		put(ctx, out, labhttp_frame(h, f, LABHTTP_ACK | LABHTTP_FIN, h->first + (uint32_t)h->sent, NULL, 0, out));
	} else if (n || flags & LABHTTP_FIN) {
		put(ctx, out, labhttp_frame(h, f, LABHTTP_ACK, h->first + (uint32_t)h->sent + h->fin, NULL, 0, out));
	}
}

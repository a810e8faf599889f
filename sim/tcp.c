/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TCP connection of a virtual board. What arrives out of order is dropped and
 * acknowledged again (uIP does so, and EEPROMs before 2025-05-08: wire facts 3); what
 * stays without acknowledgement is sent again from its beginning.
 */
#include "sim/tcp.h"

#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"

#define HEAD	    20
#define FIRST_RTO   (500 * BR_MS) /* uIP's clock is as coarse; Linux begins with a second */
#define MAX_RTO	    (8 * BR_S)
#define MAX_TRIES   8
#define WINDOW	    65535
#define DEFAULT_MSS 536 /* RFC 9293, 3.7.1 */

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

void br_sim_tcp_connect(struct br_sim_tcp *t, uint16_t port, uint16_t peer_port, uint32_t iss, uint64_t now_ns,
	br_sim_tcp_data_fn *data, void *ctx)
{
	unsigned resent = t->n_resent;

	*t = (struct br_sim_tcp){
		.state = BR_SIM_TCP_CONNECTING,
		.port = port,
		.peer_port = peer_port,
		.first = iss + 1,
		.peer_mss = DEFAULT_MSS,
		.interval_ns = FIRST_RTO,
		.resend_ns = now_ns,
		.n_resent = resent,
		.why = "",
		.data = data,
		.ctx = ctx,
	};
}

int br_sim_tcp_send(struct br_sim_tcp *t, const void *data, size_t n)
{
	if (n > sizeof(t->out) - t->n_out || t->fin)
		return -ENOBUFS;
	memcpy(t->out + t->n_out, data, n);
	t->n_out += n;
	return 0;
}

void br_sim_tcp_close(struct br_sim_tcp *t)
{
	t->fin = true;
}

void br_sim_tcp_abort(struct br_sim_tcp *t)
{
	t->reset = t->state == BR_SIM_TCP_OPEN;
	if (t->state == BR_SIM_TCP_OPEN || t->state == BR_SIM_TCP_CONNECTING)
		t->state = BR_SIM_TCP_ENDED;
}

static void fail(struct br_sim_tcp *t, const char *why)
{
	t->state = BR_SIM_TCP_FAILED;
	t->why = why;
}

/* ---- out ---- */

static size_t build(struct br_sim_tcp *t, uint8_t *out, uint32_t seq, uint8_t flags, const uint8_t *data, size_t n)
{
	struct br_writer w = br_writer_of(out, BR_SIM_TCP_MAX);
	bool syn = flags & SYN;

	br_put_be16(&w, t->port);
	br_put_be16(&w, t->peer_port);
	br_put_be32(&w, seq);
	br_put_be32(&w, flags & ACK ? t->expected : 0);
	br_put_u8(&w, (uint8_t)((syn ? 6 : 5) << 4));
	br_put_u8(&w, flags);
	br_put_be16(&w, WINDOW);
	br_put_be32(&w, 0); /* checksum, urgent pointer */
	if (syn)
		br_put_be32(&w, 2u << 24 | 4u << 16 | BR_SIM_TCP_MSS);
	br_put_bytes(&w, data, n);
	if (flags & ACK)
		t->due = false;
	return w.len;
}

/* Silence has lasted too long: everything that is not acknowledged goes again. */
static void go_back(struct br_sim_tcp *t, uint64_t now_ns)
{
	if (t->tries++ == MAX_TRIES) {
		fail(t, t->state == BR_SIM_TCP_CONNECTING ? "no answer to its SYN" : "the server no longer acknowledges");
		return;
	}
	if (t->tries > 1)
		t->n_resent++;
	t->n_sent = 0;
	t->fin_sent = false;
	t->resend_ns = now_ns + t->interval_ns;
	t->interval_ns = 2 * t->interval_ns < MAX_RTO ? 2 * t->interval_ns : MAX_RTO;
}

static void arm(struct br_sim_tcp *t, uint64_t now_ns)
{
	if (t->resend_ns != UINT64_MAX)
		return;
	t->tries = 1; /* this is the first */
	t->interval_ns = 2 * FIRST_RTO;
	t->resend_ns = now_ns + FIRST_RTO;
}

static size_t poll_open(struct br_sim_tcp *t, uint64_t now_ns, uint8_t *out)
{
	size_t n, mss = t->peer_mss < BR_SIM_TCP_MSS ? t->peer_mss : BR_SIM_TCP_MSS;
	uint32_t seq;

	if (now_ns >= t->resend_ns)
		go_back(t, now_ns);
	if (t->state != BR_SIM_TCP_OPEN)
		return 0;
	n = t->n_out - t->n_sent;
	seq = t->first + (uint32_t)t->n_sent;
	n = n < mss ? n : mss;
	if (n && t->n_sent + n <= t->peer_window) {
		arm(t, now_ns);
		t->n_sent += n;
		return build(t, out, seq, ACK | PSH, t->out + t->n_sent - n, n);
	}
	if (n)
		arm(t, now_ns); /* a closed window is asked again */
	if (t->fin && !t->fin_sent && !n) {
		arm(t, now_ns);
		t->fin_sent = true;
		return build(t, out, seq, ACK | FIN, NULL, 0);
	}
	return t->due ? build(t, out, seq + t->fin_sent, ACK, NULL, 0) : 0;
}

size_t br_sim_tcp_poll(struct br_sim_tcp *t, uint64_t now_ns, uint8_t out[static BR_SIM_TCP_MAX])
{
	if (t->reset) {
		t->reset = false;
		return build(t, out, t->first + (uint32_t)t->n_sent, RST | ACK, NULL, 0);
	}
	if (t->state == BR_SIM_TCP_CONNECTING && now_ns >= t->resend_ns) {
		go_back(t, now_ns);
		return t->state == BR_SIM_TCP_CONNECTING ? build(t, out, t->first - 1, SYN, NULL, 0) : 0;
	}
	if (t->state == BR_SIM_TCP_OPEN)
		return poll_open(t, now_ns, out);
	return t->due && t->state == BR_SIM_TCP_ENDED ? build(t, out, t->first + 1, ACK, NULL, 0) : 0;
}

uint64_t br_sim_tcp_deadline(const struct br_sim_tcp *t)
{
	bool open = t->state == BR_SIM_TCP_OPEN, armed = t->resend_ns != UINT64_MAX;

	if (t->reset || (t->due && (open || t->state == BR_SIM_TCP_ENDED)))
		return 0;
	if (open && !armed && (t->n_out || (t->fin && !t->fin_sent)))
		return 0;
	return open || t->state == BR_SIM_TCP_CONNECTING ? t->resend_ns : UINT64_MAX;
}

/* ---- in ---- */

struct segment {
	uint32_t seq, ack;
	uint8_t flags;
	uint16_t window;
	const uint8_t *data;
	size_t n;
	size_t mss; /* 0: not told */
};

static size_t find_mss(const uint8_t *p, size_t n)
{
	struct br_reader r = br_reader_of(p, n);

	while (br_reader_left(&r)) {
		uint8_t kind = br_get_u8(&r), len;
		const uint8_t *v;

		if (!kind)
			break;
		if (kind == 1)
			continue;
		len = br_get_u8(&r);
		v = len >= 2 ? br_reader_take(&r, len - 2u) : NULL;
		if (!v)
			break;
		if (kind == 2 && len == 4)
			return br_load_be16(v);
	}
	return 0;
}

static bool parse(const struct br_sim_tcp *t, const uint8_t *p, size_t len, struct segment *ret)
{
	size_t head = len >= HEAD ? (size_t)(p[12] >> 4) * 4 : 0;

	if (head < HEAD || head > len || br_load_be16(p) != t->peer_port || br_load_be16(p + 2) != t->port)
		return false;
	*ret = (struct segment){
		.seq = br_load_be32(p + 4),
		.ack = br_load_be32(p + 8),
		.flags = p[13],
		.window = br_load_be16(p + 14),
		.data = p + head,
		.n = len - head,
		.mss = p[13] & SYN ? find_mss(p + HEAD, head - HEAD) : 0,
	};
	return true;
}

static void take_syn(struct br_sim_tcp *t, const struct segment *s)
{
	if (s->flags & ACK && s->ack != t->first)
		return; /* of an older connection */
	if (s->flags & RST) {
		if (s->flags & ACK)
			fail(t, "refused");
		return;
	}
	if ((s->flags & (SYN | ACK)) != (SYN | ACK))
		return;
	t->state = BR_SIM_TCP_OPEN;
	t->expected = s->seq + 1;
	t->peer_window = s->window;
	if (s->mss >= 64)
		t->peer_mss = s->mss;
	t->resend_ns = UINT64_MAX;
	t->tries = 0;
	t->due = true;
}

static void take_ack(struct br_sim_tcp *t, const struct segment *s)
{
	size_t acked = (uint32_t)(s->ack - t->first);
	bool fin;

	t->peer_window = s->window;
	if (!acked || acked > t->n_sent + t->fin_sent)
		return; /* nothing new, or an old one: the timer cares */
	fin = acked > t->n_sent;
	acked -= fin;
	memmove(t->out, t->out + acked, t->n_out - acked);
	t->n_out -= acked;
	t->n_sent -= acked;
	t->first += (uint32_t)acked;
	t->fin_acked |= fin;
	t->resend_ns = UINT64_MAX;
	if (t->n_sent || (t->fin_sent && !t->fin_acked))
		t->resend_ns = 0; /* armed below, by the caller's time */
}

static void take_data(struct br_sim_tcp *t, const struct segment *s)
{
	uint32_t old = t->expected - s->seq; /* bytes of it that are known; huge when it is from the future */
	bool fin = s->flags & FIN;

	if (!s->n && !fin)
		return;
	t->due = true;
	if (old > s->n || t->peer_fin)
		return;
	t->expected += (uint32_t)(s->n - old);
	if (s->n > old)
		t->data(t->ctx, s->data + old, s->n - old);
	if (fin) {
		t->expected++;
		t->peer_fin = true;
	}
}

void br_sim_tcp_input(struct br_sim_tcp *t, uint64_t now_ns, const uint8_t *segment, size_t len)
{
	struct segment s;

	if (!parse(t, segment, len, &s))
		return;
	if (t->state == BR_SIM_TCP_CONNECTING) {
		take_syn(t, &s);
		return;
	}
	if (t->state == BR_SIM_TCP_ENDED && s.flags & FIN)
		t->due = true; /* our last acknowledgement was lost */
	if (t->state != BR_SIM_TCP_OPEN)
		return;
	if (s.flags & RST) {
		/* RFC 5961, 3.2: only an exact one */
		if (s.seq == t->expected)
			fail(t, "the server reset the connection");
		return;
	}
	if (s.flags & SYN) {
		t->due = true; /* our acknowledgement of its SYN was lost */
		return;
	}
	if (s.flags & ACK)
		take_ack(t, &s);
	if (t->resend_ns == 0) {
		t->resend_ns = UINT64_MAX;
		arm(t, now_ns);
	}
	take_data(t, &s);
	if (t->peer_fin && t->fin_acked)
		t->state = BR_SIM_TCP_ENDED;
}

bool br_sim_tcp_peer_done(const struct br_sim_tcp *t)
{
	return t->peer_fin || t->state == BR_SIM_TCP_ENDED || t->state == BR_SIM_TCP_FAILED || t->state == BR_SIM_TCP_CLOSED;
}

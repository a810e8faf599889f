/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "sim/tcp.h"

#define PORT   700
#define SERVER 2049
#define ISS    0xfffffff0u /* numbers wrap within the first bytes */
#define PEER   0xffffff00u
#define BODY   100000

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

/* A server of few lines: takes what is in order, sends BODY bytes when it has the request, all again on a timer. */
struct peer {
	struct br_sim_tcp *tcp;
	uint32_t expected, acked; /* of the client's numbers; of ours */
	char request[64];
	size_t n_request;
	bool fin;
	unsigned chance, loss; /* state; of 100 segments */
	uint64_t resend_ns;
};

struct got {
	size_t n;
	bool wrong;
};

static uint8_t byte_at(size_t i)
{
	return (uint8_t)(i * 7 + i / 251);
}

static void on_data(void *ctx, const uint8_t *p, size_t n)
{
	struct got *g = ctx;

	for (size_t i = 0; i < n; i++)
		g->wrong |= p[i] != byte_at(g->n + i);
	g->n += n;
}

static bool lost(struct peer *p)
{
	p->chance = p->chance * 1103515245u + 12345u;
	return (p->chance >> 16) % 100 < p->loss;
}

static void segment(struct peer *p, uint64_t now, uint32_t seq, uint8_t flags, size_t at, size_t n)
{
	uint8_t b[24 + 1460] = { 0 };
	size_t head = flags & SYN ? 24 : 20;

	br_store_be16(b, SERVER);
	br_store_be16(b + 2, PORT);
	br_store_be32(b + 4, seq);
	br_store_be32(b + 8, p->expected);
	b[12] = (uint8_t)(head << 2);
	b[13] = flags;
	br_store_be16(b + 14, 1000);
	if (flags & SYN)
		memcpy(b + 20, "\2\4\5\xb4", 4);
	for (size_t i = 0; i < n; i++)
		b[head + i] = byte_at(at + i);
	if (!lost(p))
		br_sim_tcp_input(p->tcp, now, b, head + n);
}

/* From the first byte that is not acknowledged, a window's worth; FIN after the last. */
static void send_body(struct peer *p, uint64_t now)
{
	size_t done = p->acked - (PEER + 1);

	p->resend_ns = now + 200 * BR_MS;
	for (size_t at = done; at < BODY && at < done + 14600; at += 1460)
		segment(p, now, PEER + 1 + (uint32_t)at, ACK | PSH, at, BODY - at < 1460 ? BODY - at : 1460);
	if (done + 14600 >= BODY)
		segment(p, now, PEER + 1 + BODY, ACK | FIN, 0, 0);
}

static void peer_input(struct peer *p, uint64_t now, const uint8_t *b, size_t len)
{
	size_t head = (size_t)(b[12] >> 4) * 4, n = len - head;
	uint32_t seq = br_load_be32(b + 4);
	size_t old = p->n_request;

	if (b[13] & SYN) {
		p->expected = seq + 1;
		segment(p, now, PEER, SYN | ACK, 0, 0);
		return;
	}
	assert_true(b[13] & ACK);
	if (br_load_be32(b + 8) - (PEER + 1) > p->acked - (PEER + 1))
		p->acked = br_load_be32(b + 8);
	if (n && seq == p->expected) {
		assert_true(p->n_request + n < sizeof(p->request));
		memcpy(p->request + p->n_request, b + head, n);
		p->n_request += n;
		p->expected += (uint32_t)n;
	}
	if (b[13] & FIN && seq + n == p->expected) {
		p->expected++;
		p->fin = true;
	}
	if (p->n_request && (old != p->n_request || p->acked - (PEER + 1) < BODY))
		send_body(p, now);
	else
		segment(p, now, PEER + 1 + BODY, ACK, 0, 0);
}

static void run(struct peer *p, uint64_t *now)
{
	uint8_t out[BR_SIM_TCP_MAX];

	for (int turn = 0; turn < 20000; turn++) {
		size_t n;
		uint64_t next;

		while ((n = br_sim_tcp_poll(p->tcp, *now, out)))
			if (!lost(p))
				peer_input(p, *now, out, n);
		if (p->tcp->peer_fin)
			br_sim_tcp_close(p->tcp);
		next = br_sim_tcp_deadline(p->tcp);
		if (next == UINT64_MAX && (p->fin || p->tcp->state != BR_SIM_TCP_OPEN))
			return;
		if (p->resend_ns && p->resend_ns < next)
			next = p->resend_ns;
		*now = next > *now ? next : *now;
		if (p->resend_ns && *now >= p->resend_ns) {
			p->resend_ns = 0;
			if (p->acked - (PEER + 1) < BODY + 1)
				send_body(p, *now);
		}
	}
	fail_msg("no end");
}

static void streams_arrive_whole(void **state)
{
	static const unsigned losses[] = { 0, 1, 10, 20 };

	for (size_t i = 0; i < sizeof(losses) / sizeof(losses[0]); i++) {
		struct br_sim_tcp t = { 0 };
		struct peer p = { .tcp = &t, .acked = PEER + 1, .loss = losses[i], .chance = 5 };
		struct got g = { 0 };
		uint64_t now = BR_S;

		br_sim_tcp_connect(&t, PORT, SERVER, ISS, now, on_data, &g);
		assert_int_equal(br_sim_tcp_send(&t, "a request", 10), 0);
		assert_int_equal(br_sim_tcp_send(&t, "of two parts that wraps", 24), 0);
		run(&p, &now);
		if (t.state != BR_SIM_TCP_ENDED && !(losses[i] && t.peer_fin))
			fail_msg("loss %u: state %d, %zu bytes: %s", losses[i], t.state, g.n, t.why);
		assert_int_equal(g.n, BODY);
		assert_false(g.wrong);
		assert_int_equal(p.n_request, 34);
		assert_string_equal(p.request + 10, "of two parts that wraps");
		assert_true(losses[i] || !t.n_resent);
	}
}

static void silence_and_refusal_have_words(void **state)
{
	struct br_sim_tcp t = { 0 };
	struct got g = { 0 };
	uint8_t out[BR_SIM_TCP_MAX], rst[20] = { 0 };
	uint64_t now = 1, n = 0;

	br_sim_tcp_connect(&t, PORT, SERVER, ISS, now, on_data, &g);
	for (; br_sim_tcp_deadline(&t) != UINT64_MAX; now = br_sim_tcp_deadline(&t))
		n += br_sim_tcp_poll(&t, now, out) != 0;
	assert_int_equal(t.state, BR_SIM_TCP_FAILED);
	assert_int_equal(n, 8);
	assert_string_equal(t.why, "no answer to its SYN");

	br_sim_tcp_connect(&t, PORT, SERVER, ISS, now, on_data, &g);
	br_sim_tcp_poll(&t, now, out);
	br_store_be16(rst, SERVER);
	br_store_be16(rst + 2, PORT);
	br_store_be32(rst + 8, ISS); /* an older one's */
	rst[12] = 5 << 4;
	rst[13] = RST | ACK;
	br_sim_tcp_input(&t, now, rst, sizeof(rst));
	assert_int_equal(t.state, BR_SIM_TCP_CONNECTING);
	br_store_be32(rst + 8, ISS + 1);
	for (size_t cut = 0; cut < sizeof(rst); cut++)
		br_sim_tcp_input(&t, now, rst, cut);
	assert_int_equal(t.state, BR_SIM_TCP_CONNECTING);
	br_sim_tcp_input(&t, now, rst, sizeof(rst));
	assert_int_equal(t.state, BR_SIM_TCP_FAILED);
	assert_string_equal(t.why, "refused");
	assert_true(br_sim_tcp_peer_done(&t));
	assert_int_equal(br_sim_tcp_poll(&t, now, out), 0);
}

static void what_does_not_fit_is_refused(void **state)
{
	static const uint8_t much[BR_SIM_TCP_OUT];
	struct br_sim_tcp t = { 0 };
	struct got g = { 0 };

	br_sim_tcp_connect(&t, PORT, SERVER, ISS, 1, on_data, &g);
	assert_int_equal(br_sim_tcp_send(&t, much, sizeof(much)), 0);
	assert_int_equal(br_sim_tcp_send(&t, much, 1), -ENOBUFS);
	br_sim_tcp_abort(&t);
	assert_int_equal(t.state, BR_SIM_TCP_ENDED);
	assert_int_equal(br_sim_tcp_deadline(&t), UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_arrive_whole),
		cmocka_unit_test(silence_and_refusal_have_words),
		cmocka_unit_test(what_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

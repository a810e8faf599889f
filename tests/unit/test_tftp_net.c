/* SPDX-License-Identifier: Apache-2.0 */
/* The engine against reference clients over a simulated network that loses, doubles, delays and reorders. */
#include "tests/unit/test.h"

#include "base/clock.h"
#include "tests/unit/tftp_files.h"
#include "wire/tftp.h"

#define CLIENTS 8
#define IN_FLIGHT 4096

struct weather {
	const char *title;
	unsigned loss, dup; /* per mille, each way */
	uint64_t min_ns, max_ns; /* delay: packets overtake each other when these differ */
	unsigned window;	 /* 0: not asked for */
	unsigned blksize;	 /* 0: not asked for */
	bool eager;		 /* the client repeats its ACK after 200 ms (as the Pi 4 does), not only its request */
};

struct packet {
	bool used, to_client;
	uint64_t at_ns, order;
	unsigned client;
	size_t len;
	uint8_t data[1500];
};

struct client {
	bool asked, done, failed;
	uint64_t next;	/* block expected */
	uint64_t got;	/* bytes */
	uint64_t size, heard_ns;
	unsigned blksize, window, in_window;
	bool gap_told;
	char name[24];
};

struct net {
	const struct weather *w;
	struct br_tftp *tftp;
	uint64_t now_ns, order, rng;
	struct packet *packets;
	struct client clients[CLIENTS];
	uint64_t data_sent, reports_sent, reports_failed;
};

static uint32_t rnd(struct net *n)
{
	n->rng = n->rng * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(n->rng >> 33);
}

static void post(struct net *n, unsigned client, bool to_client, const uint8_t *data, size_t len)
{
	int copies = rnd(n) % 1000 < n->w->loss ? 0 : rnd(n) % 1000 < n->w->dup ? 2 : 1;

	for (size_t i = 0; i < IN_FLIGHT && copies; i++) {
		struct packet *p = &n->packets[i];
		uint64_t spread = n->w->max_ns - n->w->min_ns;

		if (p->used)
			continue;
		*p = (struct packet){ .used = true, .to_client = to_client, .client = client, .len = len,
			.order = n->order++, .at_ns = n->now_ns + n->w->min_ns + (spread ? rnd(n) % spread : 0) };
		memcpy(p->data, data, len);
		copies--;
	}
	assert_int_equal(copies, 0);
}

static void on_send(void *ctx, const struct br_tftp_peer *peer, const void *head, size_t head_len,
	const struct br_span *payload, size_t n_payload)
{
	struct net *n = ctx;
	uint8_t buf[1500];
	size_t len = head_len;

	memcpy(buf, head, head_len);
	for (size_t i = 0; i < n_payload; i++) {
		assert_true(len + payload[i].len <= sizeof(buf));
		memcpy(buf + len, payload[i].data, payload[i].len);
		len += payload[i].len;
	}
	if (br_tftp_peek(buf, len) == BR_TFTP_DATA)
		n->data_sent++;
	post(n, peer->port - 2000u, true, buf, len);
}

static void on_report(void *ctx, const struct br_tftp_report *rep)
{
	struct net *n = ctx;

	if (rep->outcome == BR_TFTP_SENT)
		n->reports_sent++;
	else
		n->reports_failed++;
}

static const struct br_tftp_ops ops = {
	.open = test_open, .release = test_release, .report = on_report, .send = on_send
};

static void ask(struct net *n, unsigned i)
{
	struct client *c = &n->clients[i];
	struct br_tftp_request req = { .opcode = BR_TFTP_RRQ, .octet = true };
	uint8_t buf[300];
	int len;

	snprintf(req.name, sizeof(req.name), "%s", c->name);
	if (n->w->blksize)
		br_tftp_add_opt(&req.opts, BR_TFTP_OPT_BLKSIZE, n->w->blksize);
	if (n->w->window)
		br_tftp_add_opt(&req.opts, BR_TFTP_OPT_WINDOWSIZE, n->w->window);
	len = br_tftp_encode_request(buf, sizeof(buf), &req);
	c->heard_ns = n->now_ns;
	post(n, i, false, buf, (size_t)len);
}

static void ack(struct net *n, unsigned i, uint64_t block)
{
	uint8_t buf[4];

	br_tftp_encode_ack(buf, sizeof(buf), (uint16_t)block);
	n->clients[i].in_window = 0;
	post(n, i, false, buf, sizeof(buf));
}

static void client_data(struct net *n, unsigned i, uint16_t block, const uint8_t *data, size_t len)
{
	struct client *c = &n->clients[i];

	if (block != (uint16_t)c->next) {
		bool ahead = (uint16_t)(block - (uint16_t)c->next) < 0x8000;

		/* of a gap it tells once (RFC 7440 4.); what was acknowledged and comes again is acknowledged again */
		if (ahead && c->window > 1 && !c->gap_told) {
			c->gap_told = true;
			ack(n, i, c->next - 1);
		} else if (!ahead && block == (uint16_t)(c->next - 1) && !c->in_window) {
			ack(n, i, c->next - 1);
		}
		return;
	}
	assert_true(len <= c->blksize && c->got + len <= c->size);
	assert_memory_equal(data, test_file_bytes() + c->got, len);
	c->got += len;
	c->next++;
	c->gap_told = false;
	c->heard_ns = n->now_ns;
	if (len < c->blksize) {
		assert_int_equal(c->got, c->size);
		c->done = true;
	}
	if (++c->in_window >= c->window || c->done)
		ack(n, i, c->next - 1);
}

static void client_input(struct net *n, unsigned i, const struct packet *p)
{
	struct client *c = &n->clients[i];
	struct br_tftp_opts opts;
	const uint8_t *data;
	uint16_t block;
	size_t len;

	if (br_tftp_decode_data(p->data, p->len, &block, &data, &len) == 0) {
		if (c->done) /* dallying: the last ACK was lost */
			ack(n, i, c->next - 1);
		else
			client_data(n, i, block, data, len);
	} else if (br_tftp_decode_oack(p->data, p->len, &opts) == 0) {
		const struct br_tftp_opt *b = br_tftp_find_opt(&opts, BR_TFTP_OPT_BLKSIZE);
		const struct br_tftp_opt *w = br_tftp_find_opt(&opts, BR_TFTP_OPT_WINDOWSIZE);

		if (c->next > 1)
			return; /* an old one */
		c->blksize = b ? (unsigned)b->value : BR_TFTP_BLKSIZE;
		c->window = w ? (unsigned)w->value : 1;
		c->heard_ns = n->now_ns;
		ack(n, i, 0);
	} else {
		c->failed = true;
	}
}

static void client_tick(struct net *n, unsigned i)
{
	struct client *c = &n->clients[i];

	if (c->done || c->failed)
		return;
	if (c->next == 1 && !c->got && n->now_ns - c->heard_ns >= 2 * BR_S)
		ask(n, i); /* as firmware does, every two seconds */
	else if (n->w->eager && c->next > 1 && n->now_ns - c->heard_ns >= 200 * BR_MS) {
		c->heard_ns = n->now_ns;
		ack(n, i, c->next - 1);
	}
}

static struct packet *earliest(struct net *n)
{
	struct packet *best = NULL;

	for (size_t i = 0; i < IN_FLIGHT; i++) {
		struct packet *p = &n->packets[i];

		if (p->used && (!best || p->at_ns < best->at_ns || (p->at_ns == best->at_ns && p->order < best->order)))
			best = p;
	}
	return best;
}

static bool all_done(const struct net *n)
{
	for (unsigned i = 0; i < CLIENTS; i++)
		if (!n->clients[i].done)
			return false;
	return true;
}

static void step(struct net *n)
{
	struct packet *p = earliest(n);
	uint64_t due_ns = br_tftp_tick(n->tftp, n->now_ns), next_ns = n->now_ns + 50 * BR_MS;

	if (p && p->at_ns < next_ns)
		next_ns = p->at_ns;
	if (due_ns < next_ns)
		next_ns = due_ns;
	n->now_ns = next_ns > n->now_ns ? next_ns : n->now_ns;
	if (p && p->at_ns <= n->now_ns) {
		struct br_tftp_peer peer = { .ip = 0x0a000001, .port = (uint16_t)(2000 + p->client) };

		p->used = false;
		if (p->to_client)
			client_input(n, p->client, p);
		else
			br_tftp_input(n->tftp, &peer, p->data, p->len, n->now_ns);
	}
	for (unsigned i = 0; i < CLIENTS; i++)
		client_tick(n, i);
}

static uint64_t blocks(const struct net *n)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < CLIENTS; i++)
		sum += n->clients[i].size / n->clients[i].blksize + 1;
	return sum;
}

static const struct weather weathers[] = {
	{ "fair", 0, 0, BR_MS, BR_MS, 0, 1468, false },
	{ "fair, window", 0, 0, BR_MS, BR_MS, 8, 1468, false },
	{ "lossy", 50, 0, BR_MS, BR_MS, 0, 0, false },
	{ "doubled: every packet twice", 0, 1000, BR_MS, BR_MS, 0, 1024, false },
	{ "reordered", 0, 100, BR_MS, 5 * BR_MS, 0, 1024, true },
	{ "all at once", 50, 50, BR_MS, 9 * BR_MS, 0, 1468, true },
	{ "lossy, window", 30, 0, BR_MS, BR_MS, 8, 1468, true },
	{ "doubled, window", 0, 1000, BR_MS, BR_MS, 8, 1468, true },
	{ "reordered, window", 0, 0, BR_MS, 3 * BR_MS, 4, 1468, true },
	{ "all at once, window", 30, 30, BR_MS, 9 * BR_MS, 16, 512, true },
};

static void run(const struct weather *w, uint64_t seed)
{
	struct net n = { .w = w, .rng = seed, .now_ns = BR_S };
	const struct br_tftp_options opt = { .ops = &ops, .ctx = &n };

	n.packets = calloc(IN_FLIGHT, sizeof(*n.packets));
	assert_non_null(n.packets);
	assert_int_equal(br_tftp_new(&opt, &n.tftp), 0);
	for (unsigned i = 0; i < CLIENTS; i++) {
		struct client *c = &n.clients[i];

		*c = (struct client){ .next = 1, .blksize = BR_TFTP_BLKSIZE, .window = 1, .size = 20000 + 7000u * i };
		snprintf(c->name, sizeof(c->name), "p%u", (unsigned)c->size);
		ask(&n, i);
	}
	for (unsigned long k = 0; !all_done(&n); k++) {
		if (k > 1000000)
			fail_msg("%s: does not end", w->title);
		step(&n);
	}
	/* until the server too knows that all is over */
	while (br_tftp_running(n.tftp))
		step(&n);
	assert_int_equal(n.reports_sent, CLIENTS);
	assert_true(!n.reports_failed || w->loss || w->dup);
	if (!w->loss && !w->dup && w->min_ns == w->max_ns)
		assert_int_equal(n.data_sent, blocks(&n));
	/* doubled packets must not double the blocks: lock-step sends each once, a window seldom more */
	if (w->dup == 1000)
		assert_true(n.data_sent <= blocks(&n) * (w->window ? 2 : 1));
	br_tftp_free(n.tftp);
	free(n.packets);
	assert_int_equal(test_files_open, 0);
}

static void every_weather_brings_every_byte(void **state)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(weathers); i++)
		for (uint64_t seed = 1; seed <= 3; seed++)
			run(&weathers[i], seed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_weather_brings_every_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

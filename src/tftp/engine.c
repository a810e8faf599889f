/* SPDX-License-Identifier: Apache-2.0 */
/* The TFTP server without sockets: requests, acknowledgements, timers, ends. */
#include "tftp/server.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "tftp/table.h"
#include "wire/tftp.h"

/*
 * A peer that never answered may not exist: its address may be forged and somebody else gets what we send.
 * It gets its first packet and these few again; clients repeat a request that goes unanswered.
 */
#define UNPROVEN_RETRANSMITS 3
/* The same request again this soon is the network's doing; later the client has started anew. */
#define RESTART_NS BR_S
/* Silent for so long, a transfer gives its place to a new one when all are taken. */
#define IDLE_NS (2 * BR_S)
/* Nobody is kept waiting for longer, whatever interval the client asked for (at least one retransmission). */
#define PATIENCE_NS (60 * BR_S)
#define PROGRESS_NS (100 * BR_MS)
/*
 * How often a datagram goes by the kernel's own way, so that it keeps the peer's MAC address (see outbox.c): it doubts one
 * that nothing went to for five seconds.
 */
#define PLAIN_NS (500 * BR_MS)
/*
 * In lock-step a lost packet costs one interval: 300 of them at 500 ms are more than the 30 s that firmware has
 * patience for with a file. So the interval follows the round trip as TCP's does (RFC 6298), and grows while
 * nothing comes. Firmware that is busy for a moment gets a block twice: it acknowledges it again, no more.
 */
#define MIN_INTERVAL_NS (20 * BR_MS)
#define MAX_INTERVAL_NS BR_S
#define MAX_DOUBLINGS	6
#define MORE_RETRANSMITS 6 /* so that short intervals add up to the same patience */

/* Requests for what is being made. */
#define HELD_MAX	256
#define HELD_BYTES	512 /* RFC 2347: of a request with its options */
#define HELD_AGAIN_NS	(10 * BR_MS)

struct held {
	struct br_tftp_peer peer;
	uint64_t hash, since_ns;
	size_t len;
	uint8_t data[HELD_BYTES];
};

struct br_tftp {
	struct br_tftp_options opt;
	struct br_tftp_table table;
	struct held *held; /* HELD_MAX, once there is one */
	unsigned n_held;
	uint64_t now_ns; /* of the call that runs */
	struct br_span pieces[BR_TFTP_PIECES_MAX];
};

/* Answers that are no part of a transfer. */
struct refusal {
	uint16_t code;
	enum br_tftp_outcome outcome;
	const char *words;
};

static const struct refusal no_such_file = { BR_TFTP_ERR_NOT_FOUND, BR_TFTP_MISSING, "File not found" };
static const struct refusal no_access = { BR_TFTP_ERR_ACCESS, BR_TFTP_REFUSED, "Access denied" };
static const struct refusal read_only = { BR_TFTP_ERR_ACCESS, BR_TFTP_REFUSED, "This server is read-only" };
static const struct refusal not_octet = { BR_TFTP_ERR_UNDEFINED, BR_TFTP_REFUSED,
	"Only octet (binary) mode is served" };
static const struct refusal busy = { BR_TFTP_ERR_UNDEFINED, BR_TFTP_REFUSED,
	"Server busy: too many transfers at once, try again" };
static const struct refusal server_failed = { BR_TFTP_ERR_UNDEFINED, BR_TFTP_FAILED,
	"The server could not read the file" };

int br_tftp_new(const struct br_tftp_options *opt, struct br_tftp **ret)
{
	struct br_tftp *tftp = calloc(1, sizeof(*tftp));
	int r;

	if (!tftp)
		return -ENOMEM;
	tftp->opt = *opt;
	if (!tftp->opt.max_transfers)
		tftp->opt.max_transfers = 4096;
	if (!tftp->opt.max_blksize)
		tftp->opt.max_blksize = 1468;
	if (tftp->opt.max_blksize > BR_TFTP_BLKSIZE_MAX)
		tftp->opt.max_blksize = BR_TFTP_BLKSIZE_MAX;
	if (tftp->opt.max_blksize < BR_TFTP_BLKSIZE_MIN)
		tftp->opt.max_blksize = BR_TFTP_BLKSIZE_MIN;
	if (!tftp->opt.retransmit_ns)
		tftp->opt.retransmit_ns = 500 * BR_MS;
	if (!tftp->opt.max_retransmits)
		tftp->opt.max_retransmits = 10;
	r = br_tftp_table_init(&tftp->table, tftp->opt.max_transfers);
	if (r < 0) {
		free(tftp);
		return r;
	}
	*ret = tftp;
	return 0;
}

unsigned br_tftp_running(const struct br_tftp *tftp)
{
	return tftp->table.n;
}

static void send_error(struct br_tftp *tftp, const struct br_tftp_peer *peer, uint16_t code, const char *text)
{
	uint8_t buf[BR_TFTP_HEAD_MAX];
	int n = br_tftp_encode_error(buf, sizeof(buf), code, text);

	assert(n > 0);
	tftp->opt.ops->send(tftp->opt.ctx, peer, buf, (size_t)n, NULL, 0);
}

static void report(struct br_tftp *tftp, const struct br_tftp_report *rep)
{
	if (tftp->opt.ops->report)
		tftp->opt.ops->report(tftp->opt.ctx, rep);
}

/* Takes the transfer out, tells its owner, gives the file back. */
static void end(struct br_tftp *tftp, struct br_tftp_transfer *t, enum br_tftp_outcome outcome, const char *reason)
{
	struct br_tftp_report rep = {
		.outcome = outcome,
		.ip = t->peer.ip,
		.file = &t->file,
		.path = t->file.path,
		.bytes = br_tftp_transfer_bytes(t),
		.duration_ns = tftp->now_ns - t->started_ns,
		.retransmits = t->retransmits,
		.reason = reason,
	};

	br_tftp_table_remove(&tftp->table, t);
	report(tftp, &rep);
	tftp->opt.ops->release(tftp->opt.ctx, &t->file);
	free(t);
}

void br_tftp_free(struct br_tftp *tftp)
{
	if (!tftp)
		return;
	while (tftp->table.n) {
		struct br_tftp_transfer *t = tftp->table.heap[tftp->table.n - 1];

		send_error(tftp, &t->peer, BR_TFTP_ERR_UNDEFINED, "The server is stopping");
		end(tftp, t, BR_TFTP_FAILED, "the server was stopped");
	}
	br_tftp_table_done(&tftp->table);
	free(tftp->held);
	free(tftp);
}

static void send_oack(struct br_tftp *tftp, struct br_tftp_transfer *t)
{
	tftp->opt.ops->send(tftp->opt.ctx, &t->peer, t->oack, t->oack_len, NULL, 0);
}

/* Fills the window. Ends the transfer when its bytes cannot be sent; returns the number of datagrams. */
static unsigned send_window(struct br_tftp *tftp, struct br_tftp_transfer *t)
{
	uint8_t head[BR_TFTP_HEAD];
	unsigned sent = 0;
	size_t n;

	t->peer.plain = t->window > 1 || tftp->now_ns - t->plain_ns >= PLAIN_NS;
	if (t->peer.plain)
		t->plain_ns = tftp->now_ns;
	while (br_tftp_transfer_next(t, head, tftp->pieces, BR_TFTP_PIECES_MAX, &n)) {
		if (n > BR_TFTP_PIECES_MAX) {
			send_error(tftp, &t->peer, server_failed.code, server_failed.words);
			end(tftp, t, BR_TFTP_FAILED, "the file lies in too many small pieces to be sent");
			return sent;
		}
		tftp->opt.ops->send(tftp->opt.ctx, &t->peer, head, sizeof(head), tftp->pieces, n);
		sent++;
	}
	return sent;
}

/* What the peer should have now: the OACK, or the window from its first block on. */
static void send_again(struct br_tftp *tftp, struct br_tftp_transfer *t)
{
	t->sent_ns = 0;
	if (t->oacking) {
		t->retransmits++;
		send_oack(tftp, t);
		return;
	}
	/* counted ahead: sending may end it */
	br_tftp_transfer_rewind(t);
	t->retransmits += t->window < t->n_blocks - t->acked ? t->window : (unsigned)(t->n_blocks - t->acked);
	send_window(tftp, t);
}

static const struct refusal *refusal_of(int r)
{
	switch (-r) {
	case ENOENT:
	case ENOTDIR:
	case EISDIR:
	case ENAMETOOLONG:
	case EINVAL:
	case ELOOP:
		return &no_such_file;
	case EACCES:
	case EPERM:
		return &no_access;
	case EBUSY:
	case EAGAIN:
	case EINPROGRESS:
		return &busy;
	default:
		return &server_failed;
	}
}

static void refuse(struct br_tftp *tftp, const struct br_tftp_peer *peer, const struct refusal *why,
	const char *name, const struct br_tftp_file *file, int error)
{
	char path[600], reason[200];
	struct br_tftp_report rep = { .outcome = why->outcome, .ip = peer->ip, .file = file };

	send_error(tftp, peer, why->code, why->words);
	rep.path = file && file->path[0] ? file->path : br_vis(path, sizeof(path), name, strlen(name));
	if (why->outcome == BR_TFTP_FAILED) {
		snprintf(reason, sizeof(reason), "%s: %s", why->words, strerror(error));
		rep.reason = reason;
	} else if (why->outcome == BR_TFTP_REFUSED) {
		rep.reason = why->words;
	}
	report(tftp, &rep);
}

/* FNV-1a: tells a repeated request from another one of the same port; nothing depends on it being hard to forge. */
static uint64_t hash_bytes(const uint8_t *data, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ data[i]) * 0x100000001b3u;
	return h;
}

static bool make_room(struct br_tftp *tftp)
{
	struct br_tftp_transfer *t;

	if (tftp->table.n < tftp->table.max)
		return true;
	t = br_tftp_table_victim(&tftp->table, tftp->now_ns > IDLE_NS ? tftp->now_ns - IDLE_NS : 0);
	if (!t)
		return false;
	end(tftp, t, BR_TFTP_FAILED,
		t->peer.proven ? "silent for two seconds, and its place was needed"
			  : "the client had not answered yet, and its place was needed");
	return true;
}

static void begin(struct br_tftp *tftp, struct br_tftp_transfer *t, const struct br_tftp_peer *peer, const struct br_tftp_request *req,
	uint64_t request_hash)
{
	t->peer = *peer;
	t->peer.proven = t->peer.again = t->peer.plain = false;
	t->request_hash = request_hash;
	t->interval_ns = tftp->opt.retransmit_ns;
	t->started_ns = t->heard_ns = t->progress_ns = t->plain_ns = tftp->now_ns;
	br_tftp_transfer_start(t, &req->opts, tftp->opt.max_blksize);
	t->deadline_ns = tftp->now_ns + t->interval_ns;
	t->sent_ns = tftp->now_ns;
	br_tftp_table_add(&tftp->table, t);
	if (t->oacking)
		send_oack(tftp, t);
	else
		send_window(tftp, t);
}

/* True: it is to be asked again later, nothing was sent. hold: whether it may be. */
static bool start(struct br_tftp *tftp, const struct br_tftp_peer *peer, const struct br_tftp_request *req,
	uint64_t request_hash, bool hold)
{
	const struct br_tftp_ops *ops = tftp->opt.ops;
	struct br_tftp_transfer *t = calloc(1, sizeof(*t));
	const struct refusal *why = NULL;
	int r;

	if (!t) {
		refuse(tftp, peer, &busy, req->name, NULL, ENOMEM);
		return false;
	}
	r = ops->open(tftp->opt.ctx, peer->ip, req->name, &t->file);
	if (r == -EINPROGRESS && hold) {
		free(t);
		return true;
	}
	if (r < 0) {
		refuse(tftp, peer, refusal_of(r), req->name, &t->file, -r);
		free(t);
		return false;
	}
	if (!br_tftp_file_valid(&t->file))
		why = &server_failed;
	else if (!make_room(tftp))
		why = &busy;
	if (why) {
		refuse(tftp, peer, why, req->name, &t->file, EIO);
		ops->release(tftp->opt.ctx, &t->file);
		free(t);
		return false;
	}
	begin(tftp, t, peer, req, request_hash);
	return false;
}

/* ---- requests that wait ---- */

static struct held *held_of(struct br_tftp *tftp, const struct br_tftp_peer *peer)
{
	for (unsigned i = 0; i < tftp->n_held; i++)
		if (tftp->held[i].peer.ip == peer->ip && tftp->held[i].peer.port == peer->port)
			return &tftp->held[i];
	return NULL;
}

static void drop_held(struct br_tftp *tftp, struct held *h)
{
	*h = tftp->held[--tftp->n_held];
}

static void hold(struct br_tftp *tftp, const struct br_tftp_peer *peer, const uint8_t *data, size_t len, uint64_t hash)
{
	struct held *h;

	if (!tftp->held)
		tftp->held = calloc(HELD_MAX, sizeof(*tftp->held));
	if (!tftp->held)
		return; /* it asks again by itself */
	h = &tftp->held[tftp->n_held++];
	h->peer = *peer;
	h->hash = hash;
	h->since_ns = tftp->now_ns;
	h->len = len;
	memcpy(h->data, data, len);
}

static void try_held(struct br_tftp *tftp)
{
	for (unsigned i = tftp->n_held; i-- > 0;) {
		struct held *h = &tftp->held[i];
		struct br_tftp_request req;

		if (br_tftp_decode_request(h->data, h->len, &req) < 0 ||
			!start(tftp, &h->peer, &req, h->hash, tftp->now_ns - h->since_ns < BR_TFTP_HELD_NS))
			drop_held(tftp, h); /* the last takes its place: it was tried before */
	}
}

/* A request from a port that has a transfer. Returns whether it was dealt with; else the old transfer is gone. */
static bool request_again(struct br_tftp *tftp, struct br_tftp_transfer *t, uint64_t request_hash)
{
	if (t->request_hash != request_hash) {
		/*
		 * The 3B ROM takes all its files through one port (facts: 49152). If only the last ACK is
		 * missing the client has the file: nobody asks for the next before.
		 */
		if (t->peer.proven && t->sent == t->n_blocks) {
			t->acked = t->n_blocks;
			end(tftp, t, BR_TFTP_SENT, NULL);
		} else {
			end(tftp, t, BR_TFTP_FAILED, "the client turned to another file on the same port");
		}
		return false;
	}
	if (!t->peer.proven) {
		send_again(tftp, t);
		return true;
	}
	if (tftp->now_ns - t->heard_ns < RESTART_NS)
		return true;
	end(tftp, t, BR_TFTP_FAILED, "the client began the file anew");
	return false;
}

static void on_request(struct br_tftp *tftp, struct br_tftp_transfer *t, const struct br_tftp_peer *peer,
	const uint8_t *data, size_t len)
{
	uint64_t hash = hash_bytes(data, len);
	struct held *held = held_of(tftp, peer);
	struct br_tftp_request req;
	int r = br_tftp_decode_request(data, len, &req);

	if (r == -EBADMSG) {
		send_error(tftp, peer, BR_TFTP_ERR_ILLEGAL, "Malformed request");
		return;
	}
	if (req.opcode == BR_TFTP_WRQ) {
		refuse(tftp, peer, &read_only, req.name, NULL, 0);
		return;
	}
	if (held && held->hash == hash)
		return; /* it asks again for what is being made */
	if (held)
		drop_held(tftp, held);
	if (t && request_again(tftp, t, hash))
		return;
	if (r == -ENAMETOOLONG)
		refuse(tftp, peer, &no_such_file, req.name, NULL, 0);
	else if (!req.octet)
		refuse(tftp, peer, &not_octet, req.name, NULL, 0);
	else if (start(tftp, peer, &req, hash, tftp->n_held < HELD_MAX && len <= HELD_BYTES))
		hold(tftp, peer, data, len, hash);
}

/* RFC 6298, section 2; Karn's rule (section 3) for what went out twice: a longer interval until one is measured. */
static void learn_interval(struct br_tftp *tftp, struct br_tftp_transfer *t)
{
	uint64_t rtt = tftp->now_ns - t->sent_ns, off;

	if (t->told_interval)
		return;
	if (!t->sent_ns) {
		t->interval_ns *= 2;
	} else if (!t->srtt_ns) {
		t->srtt_ns = rtt ? rtt : 1;
		t->rttvar_ns = rtt / 2;
		t->interval_ns = t->srtt_ns + 4 * t->rttvar_ns;
	} else {
		off = rtt > t->srtt_ns ? rtt - t->srtt_ns : t->srtt_ns - rtt;
		t->rttvar_ns = (3 * t->rttvar_ns + off) / 4;
		t->srtt_ns = (7 * t->srtt_ns + rtt) / 8;
		t->interval_ns = t->srtt_ns + 4 * t->rttvar_ns;
	}
	if (t->interval_ns < MIN_INTERVAL_NS)
		t->interval_ns = MIN_INTERVAL_NS;
	if (t->interval_ns > tftp->opt.retransmit_ns)
		t->interval_ns = tftp->opt.retransmit_ns;
}

static void on_ack(struct br_tftp *tftp, struct br_tftp_transfer *t, const struct br_tftp_peer *peer,
	const uint8_t *data, size_t len)
{
	uint16_t block;

	/*
	 * Without a transfer: a repeated last ACK (Pi 4 and 5 send them), or a client that outlived a restart of ours.
	 * ERROR 5 would make firmware count the file as missing and boot something else; silence makes it ask again.
	 */
	if (!t || br_tftp_decode_ack(data, len, &block) < 0)
		return;
	switch (br_tftp_transfer_ack(t, block)) {
	case BR_TFTP_ACK_NOTHING:
		return;
	case BR_TFTP_ACK_REWIND:
		t->heard_ns = tftp->now_ns;
		send_again(tftp, t);
		return;
	case BR_TFTP_ACK_DONE:
		end(tftp, t, BR_TFTP_SENT, NULL);
		return;
	case BR_TFTP_ACK_PROGRESS:
		break;
	}
	t->tries = 0;
	t->heard_ns = tftp->now_ns;
	learn_interval(tftp, t);
	t->sent_ns = tftp->now_ns;
	br_tftp_table_set_proven(&tftp->table, t);
	br_tftp_table_set_deadline(&tftp->table, t, tftp->now_ns + t->interval_ns);
	if (tftp->opt.ops->progress && tftp->now_ns - t->progress_ns >= PROGRESS_NS) {
		t->progress_ns = tftp->now_ns;
		tftp->opt.ops->progress(tftp->opt.ctx, t->peer.ip, &t->file, br_tftp_transfer_bytes(t));
	}
	send_window(tftp, t);
}

static void on_error(struct br_tftp *tftp, struct br_tftp_transfer *t, const struct br_tftp_peer *peer,
	const uint8_t *data, size_t len)
{
	char words[160], reason[240];
	uint16_t code;

	if (!t || br_tftp_decode_error(data, len, &code, words, sizeof(words)) < 0)
		return;
	if (!t->acked && (code == BR_TFTP_ERR_UNDEFINED || code == BR_TFTP_ERR_OPTION)) {
		end(tftp, t, BR_TFTP_PROBED, NULL);
		return;
	}
	snprintf(reason, sizeof(reason), "the client gave up with error %u: %s", code, words);
	end(tftp, t, BR_TFTP_FAILED, reason);
}

/* We send DATA and OACK, we never get them. Of a transfer that runs it is not: RFC 1350 4. */
static void on_unexpected(struct br_tftp *tftp, struct br_tftp_transfer *t, const struct br_tftp_peer *peer,
	const uint8_t *data, size_t len)
{
	if (!t)
		send_error(tftp, peer, BR_TFTP_ERR_UNKNOWN_TID, "No transfer of yours runs here");
}

void br_tftp_input(struct br_tftp *tftp, const struct br_tftp_peer *peer, const uint8_t *data, size_t len,
	uint64_t now_ns)
{
	static void (*const handlers[])(struct br_tftp *, struct br_tftp_transfer *,
		const struct br_tftp_peer *, const uint8_t *, size_t) = {
		[BR_TFTP_RRQ] = on_request,	[BR_TFTP_WRQ] = on_request, [BR_TFTP_DATA] = on_unexpected,
		[BR_TFTP_ACK] = on_ack,		[BR_TFTP_ERROR] = on_error, [BR_TFTP_OACK] = on_unexpected,
	};
	unsigned opcode = br_tftp_peek(data, len);

	tftp->now_ns = now_ns;
	if (!peer->port || len < 2) /* nothing to answer to, nothing to answer */
		return;
	if (opcode >= BR_ARRAY_SIZE(handlers) || !handlers[opcode]) {
		send_error(tftp, peer, BR_TFTP_ERR_ILLEGAL, "Illegal operation");
		return;
	}
	handlers[opcode](tftp, br_tftp_table_find(&tftp->table, peer->ip, peer->port), peer, data, len);
}

/* The interval grows, so that an outage of ten seconds is survived without a stream of repeats. */
static uint64_t interval_after(const struct br_tftp_transfer *t)
{
	uint64_t doubled = t->interval_ns << (t->tries < MAX_DOUBLINGS ? t->tries : MAX_DOUBLINGS);

	if (t->srtt_ns)
		return doubled < MAX_INTERVAL_NS ? doubled : MAX_INTERVAL_NS;
	return t->interval_ns << (t->tries < 4 ? 0 : t->tries < 8 ? 1 : 2);
}

static void on_timeout(struct br_tftp *tftp, struct br_tftp_transfer *t)
{
	unsigned max = t->peer.proven ? tftp->opt.max_retransmits : UNPROVEN_RETRANSMITS;
	char reason[200];

	if (max > tftp->opt.max_retransmits)
		max = tftp->opt.max_retransmits;
	if (t->srtt_ns)
		max += MORE_RETRANSMITS;
	if (t->tries < max && (!t->tries || tftp->now_ns - t->heard_ns < PATIENCE_NS)) {
		t->tries++;
		t->peer.again = true;
		br_tftp_table_set_deadline(&tftp->table, t, tftp->now_ns + interval_after(t));
		send_again(tftp, t);
		return;
	}
	if (!t->peer.proven)
		snprintf(reason, sizeof(reason),
			"the client never answered our first packet; does a firewall or a lower MTU stand between?");
	else if (t->sent == t->n_blocks)
		snprintf(reason, sizeof(reason), "no acknowledgement of the last block (%llu)",
			(unsigned long long)t->n_blocks);
	else
		snprintf(reason, sizeof(reason), "the client fell silent after block %llu of %llu",
			(unsigned long long)t->acked, (unsigned long long)t->n_blocks);
	end(tftp, t, BR_TFTP_FAILED, reason);
}

uint64_t br_tftp_tick(struct br_tftp *tftp, uint64_t now_ns)
{
	struct br_tftp_transfer *t;
	uint64_t next_ns;

	tftp->now_ns = now_ns;
	while ((t = br_tftp_table_due(&tftp->table, now_ns, &next_ns)))
		on_timeout(tftp, t);
	try_held(tftp);
	if (tftp->n_held && now_ns + HELD_AGAIN_NS < next_ns)
		next_ns = now_ns + HELD_AGAIN_NS;
	return next_ns;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input is a conversation: records of one byte (port and how much time passes), one byte length, and a datagram.
 * The engine must keep within its bounds and never send what its own decoders refuse.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tftp/server.h"
#include "wire/tftp.h"

#define MAX_TRANSFERS 5

static uint8_t content[4096];

struct files {
	unsigned open, reports, requests;
};

static void must(bool b)
{
	if (!b)
		abort();
}

/* The first letter chooses the kind of file. */
static int on_open(void *ctx, uint32_t ip, const char *name, struct br_tftp_file *file)
{
	static const struct br_span whole = { content, sizeof(content) };
	static const struct br_span pieces[] = {
		{ content, 100 }, { content + 100, 0 }, { content + 100, 1 }, { content + 101, 1999 }, { content + 2100, 1000 },
	};
	static const uint64_t whole_sizes[] = { 0, 1, 512, 1000, 4096 };
	struct files *f = ctx;

	must(strlen(name) <= BR_TFTP_NAME_MAX);
	switch (name[0]) {
	case 'f':
		file->spans = &whole;
		file->n_spans = 1;
		file->size = whole_sizes[(uint8_t)name[1] % 5];
		break;
	case 'p':
		file->spans = pieces;
		file->n_spans = 5;
		file->size = 3100;
		break;
	case 'l': /* lies */
		file->spans = pieces;
		file->n_spans = 5;
		file->size = 3101;
		break;
	case 's':
		return -EACCES;
	default:
		return -ENOENT;
	}
	f->open++;
	return 0;
}

static void on_release(void *ctx, struct br_tftp_file *file)
{
	struct files *f = ctx;

	must(f->open-- > 0);
}

static void on_report(void *ctx, const struct br_tftp_report *rep)
{
	must(rep->path != NULL);
	for (const char *p = rep->reason ? rep->reason : ""; *p; p++)
		must(*p >= 0x20 && *p < 0x7f);
	if (rep->file)
		must(rep->bytes <= rep->file->size);
}

static void on_send(void *ctx, const struct br_tftp_peer *peer, const void *head, size_t head_len,
	const struct br_span *payload, size_t n)
{
	static volatile uint8_t sink;
	struct br_tftp_opts opts;
	size_t len = 0;
	uint16_t code;
	char text[200];

	must(head_len >= 4 && head_len <= BR_TFTP_HEAD_MAX);
	for (size_t i = 0; i < n; i++) {
		len += payload[i].len;
		sink = payload[i].data[payload[i].len - 1];
	}
	switch (br_tftp_peek(head, head_len)) {
	case BR_TFTP_DATA:
		must(head_len == 4 && len <= 1468);
		break;
	case BR_TFTP_ERROR:
		must(!n && br_tftp_decode_error(head, head_len, &code, text, sizeof(text)) == 0);
		break;
	case BR_TFTP_OACK:
		must(!n && br_tftp_decode_oack(head, head_len, &opts) == 0 && opts.n > 0);
		break;
	default:
		abort();
	}
	(void)sink;
}

/* What decodes must come back the same from its own encoding. */
static void round_trip(const uint8_t *data, size_t len)
{
	static struct br_tftp_request a, b;
	uint8_t buf[1024];
	int n;

	if (br_tftp_decode_request(data, len, &a) < 0)
		return;
	n = br_tftp_encode_request(buf, sizeof(buf), &a);
	must(n > 0 && br_tftp_decode_request(buf, (size_t)n, &b) == 0);
	must(a.opcode == b.opcode && strcmp(a.name, b.name) == 0 && a.octet == b.octet && a.opts.n == b.opts.n);
	for (unsigned i = 0; i < a.opts.n; i++)
		must(a.opts.v[i].id == b.opts.v[i].id && a.opts.v[i].value == b.opts.v[i].value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct br_tftp_ops ops = {
		.open = on_open, .release = on_release, .report = on_report, .send = on_send
	};
	struct files files = { 0 };
	struct br_tftp_options opt = { .max_transfers = MAX_TRANSFERS, .ops = &ops, .ctx = &files };
	uint64_t now_ns = BR_S;
	struct br_tftp *tftp;

	must(br_tftp_new(&opt, &tftp) == 0);
	while (size >= 2) {
		size_t len = data[1] < size - 2 ? data[1] : size - 2;
		struct br_tftp_peer peer = { .ip = 1, .port = 1 + (data[0] & 7) };
		uint8_t *exact = malloc(len ? len : 1); /* so that the sanitizer sees one byte too many */

		must(exact != NULL);
		memcpy(exact, data + 2, len);
		round_trip(exact, len);
		br_tftp_input(tftp, &peer, exact, len, now_ns);
		free(exact);
		must(br_tftp_running(tftp) <= MAX_TRANSFERS && files.open == br_tftp_running(tftp));
		now_ns += (data[0] >> 3) * 100 * BR_MS;
		must(br_tftp_tick(tftp, now_ns) > now_ns);
		data += 2 + len;
		size -= 2 + len;
	}
	br_tftp_free(tftp);
	must(files.open == 0);
	return 0;
}

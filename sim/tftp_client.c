/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firmware's TFTP client: RFC 1350 with the blksize and tsize options (RFC 2347 to
 * 2349), lock step. Strict where a real board would stumble: a DATA block longer than
 * agreed, an option that was not asked for, a size that is not the promised one.
 */
#include "sim/tftp_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"

enum { RRQ = 1, DATA = 3, ACK = 4, ERROR = 5, OACK = 6 };

/* Retry: EE#74's capture shows RRQs two seconds apart; file timeout: TFTP_FILE_TIMEOUT's default. */
const struct br_sim_tftp_style br_sim_tftp_rom_3b = {
	.first_port = 49152, .same_port = true, .retry_ns = 2 * BR_S, .timeout_ns = 30 * BR_S,
};
const struct br_sim_tftp_style br_sim_tftp_rom = {
	.first_port = 49153, .retry_ns = 2 * BR_S, .timeout_ns = 30 * BR_S,
};
const struct br_sim_tftp_style br_sim_tftp_bcm2837 = {
	.asks_tsize = true, .needs_tsize = true, .first_port = 49153, .retry_ns = 2 * BR_S, .timeout_ns = 30 * BR_S,
};
const struct br_sim_tftp_style br_sim_tftp_eeprom = {
	.blksize = 1468, .asks_tsize = true, .rolls = true, .retry_ns = 2 * BR_S, .timeout_ns = 30 * BR_S,
};
/* before 2022-10-03 (blksize) and 2025-09-23 (rolling over) */
const struct br_sim_tftp_style br_sim_tftp_eeprom_1024 = {
	.blksize = 1024, .asks_tsize = true, .retry_ns = 2 * BR_S, .timeout_ns = 30 * BR_S,
};
/* U-Boot, UEFI, iPXE: wire facts 1.8 */
const struct br_sim_tftp_style br_sim_tftp_loader = {
	.blksize = 1468, .asks_tsize = true, .rolls = true, .retry_ns = 5 * BR_S, .timeout_ns = 60 * BR_S,
};

int br_sim_tftp_start(struct br_sim_tftp *t, const struct br_sim_tftp_style *style, const char *name, bool probe,
	bool keep, uint16_t port, uint64_t now_ns)
{
	char copy[BR_SIM_TFTP_NAME_MAX];

	if (br_strcpy(copy, sizeof(copy), name) < 0)
		return -ENAMETOOLONG;
	*t = (struct br_sim_tftp){
		.style = style,
		.probe = probe,
		.keep = keep,
		.port = port,
		.blksize = 512,
		.tsize = UINT64_MAX,
		.due = true,
		.start_ns = now_ns,
		.next_ns = now_ns,
		.end_ns = now_ns + style->timeout_ns,
	};
	memcpy(t->name, copy, sizeof(copy));
	return 0;
}

void br_sim_tftp_done(struct br_sim_tftp *t)
{
	free(t->data);
	*t = (struct br_sim_tftp){ 0 };
}

__attribute__((format(printf, 2, 3))) static void fail(struct br_sim_tftp *t, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->why, sizeof(t->why), fmt, ap);
	va_end(ap);
	t->state = BR_SIM_TFTP_FAILED;
	t->due = t->server_port != 0; /* tell the server, once */
}

static void put_text(struct br_writer *w, const char *s)
{
	br_put_bytes(w, s, strlen(s) + 1);
}

static void put_rrq(struct br_writer *w, const struct br_sim_tftp *t)
{
	char number[8];

	br_put_be16(w, RRQ);
	put_text(w, t->name);
	put_text(w, "octet");
	if (t->style->asks_tsize) {
		put_text(w, "tsize");
		put_text(w, "0");
	}
	if (t->style->blksize) {
		snprintf(number, sizeof(number), "%u", t->style->blksize);
		put_text(w, "blksize");
		put_text(w, number);
	}
}

size_t br_sim_tftp_poll(struct br_sim_tftp *t, uint64_t now_ns, uint8_t out[static BR_SIM_TFTP_REQUEST_MAX],
	uint16_t *ret_port)
{
	struct br_writer w = br_writer_of(out, BR_SIM_TFTP_REQUEST_MAX);

	if (t->state == BR_SIM_TFTP_RUNNING && now_ns >= t->end_ns)
		fail(t, "%s after %u s (%llu bytes had come)", t->server_port ? "timed out" : "no answer",
			(unsigned)(t->style->timeout_ns / BR_S), (unsigned long long)t->size);
	if (t->state == BR_SIM_TFTP_RUNNING && !t->due && now_ns >= t->next_ns) {
		t->due = true;
		t->n_retries++;
	}
	if (!t->due)
		return 0;
	t->due = false;
	t->next_ns = now_ns + t->style->retry_ns;
	*ret_port = t->server_port ? t->server_port : 69;
	if (t->state == BR_SIM_TFTP_PROBED || t->state == BR_SIM_TFTP_FAILED) {
		br_put_be16(&w, ERROR);
		br_put_be16(&w, 0);
		put_text(&w, "Early terminate");
	} else if (!t->server_port) {
		put_rrq(&w, t);
	} else {
		br_put_be16(&w, ACK);
		br_put_be16(&w, t->block);
	}
	return w.len;
}

uint64_t br_sim_tftp_deadline(const struct br_sim_tftp *t)
{
	if (t->due)
		return 0;
	if (t->state != BR_SIM_TFTP_RUNNING)
		return UINT64_MAX;
	return t->next_ns < t->end_ns ? t->next_ns : t->end_ns;
}

/* One option of an OACK. RFC 2347: only what was asked for may come back. */
static void take_option(struct br_sim_tftp *t, const char *name, const char *value)
{
	uint64_t v;

	if (!strcasecmp(name, "tsize") && t->style->asks_tsize) {
		if (br_parse_u64(value, 0, BR_SIM_FILE_MAX, &v) < 0)
			fail(t, "OACK with an impossible tsize");
		else
			t->tsize = v;
	} else if (!strcasecmp(name, "blksize") && t->style->blksize) {
		if (br_parse_u64(value, 8, t->style->blksize, &v) < 0)
			fail(t, "OACK with a blksize that was not offered");
		else
			t->blksize = (uint16_t)v;
	} else {
		char vis[32];

		fail(t, "OACK has an option that was not asked for: %s", br_vis(vis, sizeof(vis), name, strlen(name)));
	}
}

static const char *take_text(struct br_reader *r)
{
	const uint8_t *end = br_reader_left(r) ? memchr(r->p, 0, br_reader_left(r)) : NULL;

	return end ? (const char *)br_reader_take(r, (size_t)(end - r->p) + 1) : NULL;
}

static void take_oack(struct br_sim_tftp *t, struct br_reader *r)
{
	if (!t->style->asks_tsize && !t->style->blksize) {
		fail(t, "OACK to a request without options");
		return;
	}
	if (t->got_oack || t->size || t->block) {
		t->due = t->block == 0; /* a repeated OACK is answered again */
		return;
	}
	while (br_reader_left(r) && t->state == BR_SIM_TFTP_RUNNING) {
		const char *name = take_text(r), *value = name ? take_text(r) : NULL;

		if (!value) {
			fail(t, "OACK with an option cut short");
			return;
		}
		take_option(t, name, value);
	}
	if (t->state != BR_SIM_TFTP_RUNNING)
		return;
	if (t->style->needs_tsize && t->tsize == UINT64_MAX) {
		fail(t, "OACK without tsize: this firmware then counts the file as missing");
		return;
	}
	t->got_oack = true;
	t->due = true;
	if (t->probe)
		t->state = BR_SIM_TFTP_PROBED;
}

static int store(struct br_sim_tftp *t, const uint8_t *p, size_t n)
{
	if (t->size < BR_SIM_HEAD) {
		size_t room = BR_SIM_HEAD - (size_t)t->size;

		memcpy(t->head + t->size, p, n < room ? n : room);
	}
	t->crc = br_crc32c(t->crc, p, n);
	if (t->keep && t->size + n > t->cap) {
		size_t cap = t->tsize != UINT64_MAX && t->tsize >= t->size + n ? (size_t)t->tsize
									      : (t->cap + n) * 2;
		uint8_t *q = realloc(t->data, cap + 1);

		if (!q)
			return -ENOMEM;
		t->data = q;
		t->cap = cap;
	}
	if (t->keep && n)
		memcpy(t->data + t->size, p, n);
	t->size += n;
	return 0;
}

static void take_data(struct br_sim_tftp *t, struct br_reader *r)
{
	uint16_t block = br_get_be16(r);
	size_t n = br_reader_left(r);

	if (r->failed || n > t->blksize) {
		fail(t, "DATA block of %zu bytes, %u were agreed", n, t->blksize);
		return;
	}
	if (block != (uint16_t)(t->block + 1)) {
		/* the last one is acknowledged again, each time: our acknowledgement may be what was lost */
		t->n_duplicates++;
		t->due = block == t->block && t->size;
		return;
	}
	if (t->style->needs_tsize && !t->got_oack) {
		fail(t, "DATA without an OACK: this firmware then counts the file as missing");
		return;
	}
	if (t->probe) {
		t->state = BR_SIM_TFTP_PROBED;
		t->due = true;
		return;
	}
	if (!block && !t->style->rolls) {
		fail(t, "more than 65535 blocks of %u bytes: this firmware cannot count further", t->blksize);
		return;
	}
	t->block = block;
	t->due = true;
	if (t->size + n > BR_SIM_FILE_MAX || store(t, r->p, n) < 0) {
		fail(t, "too large: more than %llu bytes", (unsigned long long)t->size);
		return;
	}
	if (n == t->blksize)
		return;
	if (t->tsize != UINT64_MAX && t->tsize != t->size)
		fail(t, "%llu bytes came, tsize promised %llu", (unsigned long long)t->size,
			(unsigned long long)t->tsize);
	else
		t->state = BR_SIM_TFTP_DONE;
}

static void take_error(struct br_sim_tftp *t, struct br_reader *r)
{
	uint16_t code = br_get_be16(r);
	char vis[80];

	if (code == 1) {
		t->state = BR_SIM_TFTP_MISSING;
		t->due = false;
		return;
	}
	fail(t, "server says ERROR %u: %s", code, br_vis(vis, sizeof(vis), r->p, strnlen((const char *)r->p, br_reader_left(r))));
	t->due = false;
}

void br_sim_tftp_input(struct br_sim_tftp *t, uint64_t now_ns, uint16_t src_port, const uint8_t *data, size_t len)
{
	struct br_reader r = br_reader_of(data, len);
	uint16_t op = br_get_be16(&r);

	if (t->state != BR_SIM_TFTP_RUNNING || r.failed || (t->server_port && t->server_port != src_port))
		return;
	if (op != DATA && op != OACK && op != ERROR)
		return;
	/* the 3B ROM has one port for all its files: a late block of the file before is no answer to this request */
	if (!t->server_port && op == DATA && br_reader_left(&r) >= 2 && br_load_be16(r.p) != 1)
		return;
	t->server_port = src_port;
	if (op == OACK)
		take_oack(t, &r);
	else if (op == DATA)
		take_data(t, &r);
	else
		take_error(t, &r);
}

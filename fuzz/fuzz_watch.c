/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The watch: a stream of frames, each behind three bytes (length big-endian with the top bit for 'we sent it', then
 * seconds that pass), then the question about every MAC in it. Words must be printable and whole.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "fleet/event.h"
#include "why/why.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
	if (!ok)
		abort();
}

/* braces: '{' is a place of a template that nobody filled in, unless the frames brought it */
static void check_text(const char *s, size_t size, bool braces)
{
	check(memchr(s, 0, size) != NULL);
	for (; *s; s++)
		check(*s >= 0x20 && *s < 0x7f && (braces || *s != '{'));
}

static void ask(struct br_watch *w, struct br_mac mac, uint64_t now, bool braces)
{
	static struct br_why_input in;
	static struct br_verdict v;
	uint8_t *pcap = NULL;
	size_t n = 0;

	memset(&in, 0, sizeof(in));
	in.now_ns = in.now_wall_ns = now;
	in.mac = mac;
	in.heard = br_watch_facts(w, mac, &in.facts) >= 0;
	in.image = true;
	in.server_ip = 0x0a4d0001;
	in.dhcp = mac.b[5] & 1;
	in.watch = w;
	check(br_why(&in, &v) == 0);
	check_text(v.text, sizeof(v.text), braces);
	check(v.text[0] != 0 && v.n_evidence <= BR_WHY_EVIDENCE);
	for (unsigned i = 0; i < v.n_evidence; i++)
		check_text(v.evidence[i], sizeof(v.evidence[i]), braces);
	if (in.heard) {
		check(br_watch_pcap(w, mac, now, now, &pcap, &n) == 0 && n >= 24);
		free(pcap);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct br_watch_options opt = { .server_ip = 0x0a4d0001, .max_boards = 4 };
	struct br_reader r = br_reader_of(data, size);
	const bool braces = size && memchr(data, '{', size);
	struct br_watch *w;
	struct br_mac macs[8] = { 0 };
	unsigned n_macs = 0;
	uint64_t now = 1000 * BR_S;

	check(br_watch_new(&opt, &w) == 0);
	for (unsigned i = 0; br_reader_left(&r) > 3 && i < 256; i++) {
		uint16_t head = br_get_be16(&r);
		size_t n = head & 0x7ff;
		const uint8_t *frame;
		char text[200];

		now += br_get_u8(&r) * BR_S / 4 + BR_MS;
		n = n < br_reader_left(&r) ? n : br_reader_left(&r);
		frame = br_reader_take(&r, n);
		br_watch_frame(w, frame, n, n, head >> 15, now);
		check_text(br_frame_text(frame, n, text, sizeof(text)), sizeof(text), true);
		if (n >= 14)
			memcpy(macs[n_macs++ % 8].b, frame + 6, 6);
	}
	check(br_watch_count(w) <= 4);
	for (unsigned i = 0; i < 8; i++)
		ask(w, macs[i], now + 20 * BR_S, braces);
	br_watch_free(w);
	return 0;
}

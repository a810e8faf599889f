/* SPDX-License-Identifier: Apache-2.0 */
/* Syslog as a datagram, and as a stream that comes in pieces: a byte says how large they are. */
#include <stdlib.h>
#include <string.h>

#include "syslog/frames.h"
#include "syslog/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void inside(const char *p, size_t n, const void *data, size_t size, const struct br_syslog_message *m)
{
	const char *start = data;

	if (n && !(p >= start && p + n <= start + size) && !(p >= m->made && p + n <= m->made + sizeof(m->made)))
		abort();
}

static void decode(void *ctx, const char *data, size_t n, bool cut)
{
	struct br_syslog_message m;

	br_syslog_decode(data, n, &m);
	inside(m.tag, m.n_tag, data, n, &m);
	inside(m.text, m.n_text, data, n, &m);
	if (m.severity > 7 || m.facility > 23)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct br_frames f;
	size_t piece;

	if (!n)
		return 0;
	piece = 1 + data[0] % 64;
	memset(&f, 0, sizeof(f));
	f.counted = data[0] & 64;
	data++;
	n--;
	decode(NULL, (const char *)data, n, false);
	for (size_t at = 0; at < n; at += piece)
		br_frames_feed(&f, data + at, n - at < piece ? n - at : piece, decode, NULL);
	br_frames_end(&f, decode, NULL);
	return 0;
}

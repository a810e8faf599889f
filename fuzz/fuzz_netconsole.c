/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams of a sender: each begins with its length and one bit of its port. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "syslog/netconsole.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void line(void *ctx, enum br_logs_source source, unsigned severity, const char *text, size_t n)
{
	if (!n || n > BR_LOGS_TEXT_MAX || severity > BR_LOGS_NO_SEVERITY || memchr(text, '\n', n))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct br_netconsole nc;
	uint64_t now = BR_S;

	memset(&nc, 0, sizeof(nc));
	while (n > 1) {
		size_t len = data[0] & 127;
		uint16_t port = data[0] & 128 ? 6666 : 6665;

		len = len < n - 1 ? len : n - 1;
		br_netconsole_take(&nc, port, data + 1, len, now, line, NULL);
		data += len + 1;
		n -= len + 1;
		now += 100 * BR_MS;
	}
	if (!br_netconsole_tick(&nc, now + 10 * BR_S, line, NULL))
		abort();
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Sources and severities as words. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "logs/logs.h"

static const char *const sources[BR_LOGS_SOURCES] = {
	[BR_LOGS_BRAMBLE] = "bramble",
	[BR_LOGS_SYSLOG] = "syslog",
	[BR_LOGS_KERNEL] = "kernel",
	[BR_LOGS_UBOOT] = "uboot",
	[BR_LOGS_BOOTLOADER] = "bootloader",
	[BR_LOGS_SERIAL] = "serial",
	[BR_LOGS_STREAM] = "stream",
};

static const char *const severities[] = { "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug" };

const char *br_logs_source_word(enum br_logs_source source)
{
	return (unsigned)source < BR_LOGS_SOURCES ? sources[source] : "unknown";
}

int br_logs_source_parse(const char *word, enum br_logs_source *ret)
{
	for (unsigned i = 0; i < BR_LOGS_SOURCES; i++) {
		if (!strcmp(word, sources[i])) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

const char *br_logs_severity_word(unsigned severity)
{
	return severity < BR_ARRAY_SIZE(severities) ? severities[severity] : NULL;
}

bool br_logs_mark_ok(const char *name)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_.";
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return name[0] && n <= BR_LOGS_MARK_MAX && !name[n] && strchr(first, name[0]);
}

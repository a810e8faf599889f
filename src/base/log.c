/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: one call, one whole line, from any thread. */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"

static enum br_log_level max_level = BR_LOG_INFO;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void (*line_sink)(void *ctx, enum br_log_level level, const char *line);
static void *sink_ctx;

void br_log_set_level(enum br_log_level level)
{
	max_level = level;
}

enum br_log_level br_log_get_level(void)
{
	return max_level;
}

void br_log_set_sink(void (*sink)(void *ctx, enum br_log_level level, const char *line), void *ctx)
{
	pthread_mutex_lock(&lock);
	line_sink = sink;
	sink_ctx = ctx;
	pthread_mutex_unlock(&lock);
}

const char *br_log_clock(uint64_t wall_ns, char out[static BR_LOG_CLOCK])
{
	time_t t = (time_t)(wall_ns / BR_S);
	struct tm tm = { 0 };
	char at[BR_LOG_CLOCK];

	localtime_r(&t, &tm);
	if (!strftime(at, sizeof(at), "%H:%M:%S", &tm))
		at[0] = 0;
	snprintf(out, BR_LOG_CLOCK, "%.8s.%03u", at, (unsigned)(wall_ns / BR_MS % 1000));
	return out;
}

static void write_stderr(enum br_log_level level, const char *line)
{
	/* sd-daemon(3): <3> error, <4> warning, <6> info, <7> debug */
	static const int priority[] = { 3, 4, 6, 7 };
	static const char *const word[] = { "error: ", "warning: ", "", "debug: " };

	if (getenv("JOURNAL_STREAM")) {
		fprintf(stderr, "<%d>%s\n", priority[level], line);
	} else {
		char at[BR_LOG_CLOCK];

		fprintf(stderr, "%s %s%s\n", br_log_clock(br_wall_ns(), at), word[level], line);
	}
}

void br_log(enum br_log_level level, const char *fmt, ...)
{
	char line[2048];
	va_list ap;

	if (level > max_level)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&lock);
	if (line_sink)
		line_sink(sink_ctx, level, line);
	else
		write_stderr(level, line);
	pthread_mutex_unlock(&lock);
}

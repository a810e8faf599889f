/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/*
 * The log of the daemon and the CLI. Libraries do not call it: they return errors
 * or hand out events. Lines go to stderr: with a journal priority prefix under
 * systemd, with the time on a terminal. Text from outside is escaped by the caller
 * (base/text.h, br_vis).
 */
enum br_log_level {
	BR_LOG_ERROR,
	BR_LOG_WARNING,
	BR_LOG_INFO,
	BR_LOG_DEBUG,
};

/* The time of day as lines have it, "12:30:05.123", local; returns out. */
#define BR_LOG_CLOCK 16
const char *br_log_clock(uint64_t wall_ns, char out[static BR_LOG_CLOCK]);

void br_log_set_level(enum br_log_level level);
enum br_log_level br_log_get_level(void);
/* Redirects whole lines (the live display takes them); NULL goes back to stderr. */
void br_log_set_sink(void (*sink)(void *ctx, enum br_log_level level, const char *line), void *ctx);

__attribute__((format(printf, 2, 3))) void br_log(enum br_log_level level, const char *fmt, ...);

#define br_log_error(...) br_log(BR_LOG_ERROR, __VA_ARGS__)
#define br_log_warning(...) br_log(BR_LOG_WARNING, __VA_ARGS__)
#define br_log_info(...) br_log(BR_LOG_INFO, __VA_ARGS__)
#define br_log_debug(...) br_log(BR_LOG_DEBUG, __VA_ARGS__)

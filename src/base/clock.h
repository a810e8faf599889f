/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>
#include <time.h>

#define BR_MS 1000000ull    /* in ns */
#define BR_S 1000000000ull  /* in ns */

/* Monotonic, ns. State machines take it as an argument; only glue calls this. */
static inline uint64_t br_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * BR_S + (uint64_t)t.tv_nsec;
}

/* Wall clock, ns since 1970. For records that people read. */
static inline uint64_t br_wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * BR_S + (uint64_t)t.tv_nsec;
}

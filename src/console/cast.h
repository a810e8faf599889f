/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * Recordings of a terminal in asciicast v2 (docs.asciinema.org): a line of JSON as head, then a line per piece of output
 * with its time. Bytes that are no UTF-8 become U+FFFD.
 */
struct br_cast;

/* An existing file is replaced. */
int br_cast_open(const char *path, unsigned width, unsigned height, const char *title, struct br_cast **ret, struct br_error *err);
int br_cast_put(struct br_cast *cast, uint64_t now_ns, const void *data, size_t n);
/* 0, or why the file is not whole. Takes NULL. */
int br_cast_close(struct br_cast *cast, struct br_error *err);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "base/error.h"
#include "store/fat.h"

/*
 * What whoever has the USB boards ('bramble usb', a process of its own with the right to their device nodes) asks of the daemon,
 * who knows boards and has their boot files. Bodies and answers: docs/api.md. Called in the API's threads.
 */
#define BR_API_NO_FILE "there is no such boot file" /* how the words of a 404 end when there is no more to say */

struct br_api_usb_file {
	const struct br_span *spans;
	size_t n_spans;
	uint64_t size;
	void *ref;
	void (*unref)(void *ref);
};

struct br_api_usb_ops {
	/* A board is there: who is it, what is it to get. Its boot begins. */
	int (*begin)(void *ctx, const json_t *body, json_t **ret, struct br_error *err);
	/* A boot file of a board (NULL: of one that nobody knows); unref() lets it go. -ENOENT, -EACCES: with words or without. */
	int (*open)(void *ctx, const char *board, const char *name, struct br_api_usb_file *ret, struct br_error *err);
	/* What happened. */
	int (*report)(void *ctx, const json_t *body, json_t **ret, struct br_error *err);
};

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "store/fat.h"

/*
 * The boards' HTTP server: GET and HEAD of boot files, for the EEPROM of a Raspberry Pi 4 or 5 (wire notes 3), UEFI, iPXE
 * and U-Boot. Always with Content-Length, one Range at a time, few and short header fields, never chunked, no
 * redirects; what is not there is a plain 404 at once.
 *
 * Built on libmicrohttpd with one thread of its own. Bounded: the header of a request in size, a silent client in time,
 * connections in number, of one client and in all. When nearly all are taken, the one that has been idle longest goes.
 */
struct br_http;

/* A file being served: spans of bytes that stay put until release. */
struct br_http_file {
	const struct br_span *spans; /* together at least 'size' bytes */
	size_t n_spans;
	uint64_t size;
	void *ref;	    /* the owner's, for release */
	void (*unref)(void *ref); /* the owner's, too */
	const char *origin; /* the owner's, for reports */
	char reason[200];   /* why it cannot be had: words for the report, or "" */
	char path[512];	    /* cleaned name for reports */
	int64_t board_id;   /* 0: none */
	uint64_t boot;
};

enum br_http_outcome {
	BR_HTTP_SENT,	 /* up to the file's last byte */
	BR_HTTP_PART,	 /* a range that ends before */
	BR_HTTP_LOOKED,	 /* HEAD */
	BR_HTTP_MISSING, /* 404 */
	BR_HTTP_FAILED,	 /* the client went away, or took nothing for too long; or an error of ours (500) */
};

struct br_http_report {
	enum br_http_outcome outcome;
	uint32_t ip;
	const struct br_http_file *file; /* what open() filled in, also when it failed */
	uint64_t first, bytes;		 /* where the range began; sent of it */
	uint64_t duration_ns;
	const char *reason; /* words, or NULL */
};

struct br_http_ops {
	/* path: hostile text, unescaped, without the query. 0 or a negative errno: -ENOENT and -EACCES give 404,
	 * -EINPROGRESS (it is being made) 503 with Retry-After, others 500. file is all zeros before; path, board_id and reason may be filled in either case. */
	int (*open)(void *ctx, uint32_t ip, const char *path, struct br_http_file *file);
	/* Once for each open() that returned 0. */
	void (*release)(void *ctx, struct br_http_file *file);
	/* Once for each open(), before its release(). */
	void (*report)(void *ctx, const struct br_http_report *report);
	/* At most ten times a second per transfer. May be NULL. */
	void (*progress)(void *ctx, const struct br_http_file *file, uint64_t bytes);
};

struct br_http_options {
	uint32_t ip;   /* address to bind, 0: any */
	uint16_t port; /* 0 picks a free one */
	unsigned max_connections; /* 0: 1024 */
	unsigned max_per_client;  /* 0: 16 */
	unsigned timeout_s;	  /* of a silent client; 0: 15 */
	const struct br_http_ops *ops; /* called from the server's thread only */
	void *ctx;
};

/* Binds and starts the thread. -EADDRINUSE, -EACCES with words. */
int br_http_start(const struct br_http_options *opt, struct br_http **ret, struct br_error *err);
/* Ends running transfers (with reports) and joins the thread. */
void br_http_stop(struct br_http *http);
uint16_t br_http_port(const struct br_http *http);

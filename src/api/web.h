/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/*
 * The API and the page by TCP: HTTP/1.1 for browsers, for the command line on other machines, for Prometheus. docs/security.md
 * says who may do what.
 *
 * One thread owns all connections and all followers of the live feed; handlers of routes, which may wait for a disk, run in a few
 * threads beside it, a long answer in one of its own. Bounded: connections in all and of one client, heads and bodies in size and in
 * time, requests that wait, streams.
 */
struct br_web_options {
	const char *where; /* "[ADDR:]PORT", "off"; NULL: port 8480, where it is free */
	const char *cert, *key; /* PEM files; NULL: no TLS */
	const char *names; /* more names of this machine, commas between; NULL: none */
	bool read_by_token; /* without one not even reading */
	uint32_t ip;	   /* the boards' interface: listened on, and its network may read */
	unsigned prefix;
};

#define BR_WEB_PORT 8480
#define BR_WEB_NAMES_MAX 32

/* Sockets and certificates, had while we may open them. */
struct br_web_door;
/* 0 with *ret NULL: off, or (with words in err for a warning) the port is taken and nobody asked for it. */
int br_web_door_open(const struct br_web_options *opt, struct br_web_door **ret, struct br_error *err);
void br_web_door_close(struct br_web_door *door);
uint16_t br_web_door_port(const struct br_web_door *door);
bool br_web_door_tls(const struct br_web_door *door);
/* NULL: right; else words. */
const char *br_web_where_check(const char *where);

struct br_api;
struct br_web;
/* Takes the door. */
int br_web_start(struct br_api *api, struct br_web_door *door, struct br_web **ret, struct br_error *err);
/* Ends requests under way; br_api_ending() is true already. NULL is accepted. */
void br_web_stop(struct br_web *web);

struct br_web_counts {
	unsigned connections, streams, waiting;
	uint64_t accepted, refused_full, refused_guard, refused_scope, timed_out, busy;
	uint64_t requests[6]; /* by hundreds of their status; 0: none was sent */
};
void br_web_counts(struct br_web *web, struct br_web_counts *ret);

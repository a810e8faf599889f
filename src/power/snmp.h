/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * Asking switches by SNMP (net-snmp), from any thread: the library's own state is locked while it works and never while one
 * waits for an answer. No MIB file and no configuration of the library's is read.
 */
struct br_snmp_peer {
	const char *host; /* name or address */
	uint16_t port;	  /* 0: 161 */
	const char *community; /* v2c; NULL: v3 */
	const char *user, *auth_protocol, *auth_password, *priv_protocol, *priv_password; /* NULL: without; protocols as in conf.h */
	uint64_t timeout_ns; /* of each question, its repetitions included */
};

struct br_snmp;

typedef unsigned long br_oid; /* as net-snmp's oid */
#define BR_SNMP_OID_MAX 64

struct br_snmp_value {
	const br_oid *oid;
	size_t n_oid;
	int64_t number;	     /* of integers, counters, ticks */
	const uint8_t *bytes; /* of strings; NULL: it is a number */
	size_t n_bytes;
};

/* -EHOSTUNREACH: no such name; v3 also asks for the engine's id: -ETIMEDOUT. */
int br_snmp_open(const struct br_snmp_peer *peer, struct br_snmp **ret, struct br_error *err);
void br_snmp_close(struct br_snmp *s);
/* -ENOENT: the switch has no such object; -EACCES: not for us; -EPROTO: it is no number. */
int br_snmp_get(struct br_snmp *s, const br_oid *oid, size_t n, int64_t *ret, struct br_error *err);
int br_snmp_set(struct br_snmp *s, const br_oid *oid, size_t n, int64_t value, struct br_error *err);
/* All below an object, in its order, at most 'max' of them; fn returns 0 to go on. An empty table is 0. */
int br_snmp_walk(struct br_snmp *s, const br_oid *root, size_t n, size_t max, int (*fn)(void *ctx, const struct br_snmp_value *v), void *ctx,
	struct br_error *err);

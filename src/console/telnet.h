/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

/*
 * The client's side of Telnet (RFC 854, 855, 856, 858) with the COM-PORT option (RFC 2217), as terminal servers for serial
 * lines speak it. Bytes in, bytes out; no socket, no clock. A server that does not know COM-PORT is used as it is.
 */
struct br_telnet {
	bool comport; /* wanted */
	uint32_t speed;
	/* what was agreed on */
	bool binary_in, binary_out, comport_on;
	bool suspended;	    /* the server asks us to wait (RFC 2217 FLOWCONTROL-SUSPEND) */
	uint32_t real_speed; /* as the server says, 0: it has not */
	/* of the option negotiation: what we said and they said, by the few options we know */
	uint8_t us, them;
	/* of the decoder */
	enum {
		BR_TELNET_DATA,
		BR_TELNET_CR,
		BR_TELNET_IAC,
		BR_TELNET_OPTION,
		BR_TELNET_SUB,
		BR_TELNET_SUB_IAC,
	} state;
	uint8_t verb;
	uint8_t sub[16]; /* its first bytes; longer ones are none that concern us */
	size_t n_sub;
	bool comport_asked; /* their WILL COM-PORT had our DO */
	bool line_set; /* once: a server that changes its mind is not told at length again */
	bool out_cr; /* the last byte we sent was a CR in text mode */
};

/* Room that one call's answers may take beyond the bytes that came: the line's settings, sent once. */
#define BR_TELNET_EXTRA 64

/* comport: with RFC 2217, setting the line to speed, 8N1. What is to be sent first goes to out. */
void br_telnet_start(struct br_telnet *t, bool comport, uint32_t speed, struct br_writer *out);
/* Bytes of the server: the line's go to data (room for n), answers to out (room for n + BR_TELNET_EXTRA). */
void br_telnet_take(struct br_telnet *t, const void *bytes, size_t n, struct br_writer *data, struct br_writer *out);
/* Bytes for the line as they travel; out needs room for 2 n. */
void br_telnet_put(struct br_telnet *t, const void *bytes, size_t n, struct br_writer *out);
/* Begin and end of a BREAK; plain Telnet has only a begin. Up to 7 bytes. */
void br_telnet_break(struct br_telnet *t, bool on, struct br_writer *out);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * One syslog message, RFC 5424 or what RFC 3164 describes and senders make of it: time and host name may be missing, the time may
 * be that of RFC 3339, the tag may have a process number or not. Nothing is refused: what does not fit is text.
 */
struct br_syslog_message {
	unsigned facility, severity; /* RFC 3164 4.3.3: 1 and 5 where none are told */
	const char *tag; /* "sshd[123]", "" for none; in the bytes given, but for a pid of RFC 5424: in 'made' */
	size_t n_tag;
	const char *text;
	size_t n_text;
	bool well_formed; /* it had a priority at least */
	char made[64];	  /* do not copy the struct when 'tag' points here */
};

/* ret points into data. */
void br_syslog_decode(const void *data, size_t n, struct br_syslog_message *ret);

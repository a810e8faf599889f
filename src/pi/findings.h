/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* What a check found: each with what is wrong and why it matters, and the cure. */
enum br_severity {
	BR_FINDING_NOTE, /* good to know */
	BR_FINDING_WARNING,
	BR_FINDING_ERROR,
};

struct br_finding {
	enum br_severity severity;
	unsigned line; /* of the text, from 1; 0: it is about the whole */
	char *key;     /* the property; NULL */
	char *text, *cure; /* cure may be NULL */
};

struct br_findings {
	struct br_finding *list;
	size_t n, cap;
	bool failed; /* memory was out: the list is not whole */
};

void br_findings_done(struct br_findings *f);
/* key and cure may be NULL. Bytes from outside only through br_vis(). */
__attribute__((format(printf, 6, 7))) void br_findings_add(struct br_findings *f, enum br_severity severity, unsigned line,
	const char *key, const char *cure, const char *fmt, ...);
size_t br_findings_count(const struct br_findings *f, enum br_severity severity);
const char *br_severity_name(enum br_severity severity); /* "note", "warning", "error" */

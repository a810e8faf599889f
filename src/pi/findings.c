/* SPDX-License-Identifier: Apache-2.0 */
/* A list of what a check found. */
#include "pi/findings.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/text.h"

const char *br_severity_name(enum br_severity severity)
{
	static const char *const names[] = { "note", "warning", "error" };

	return names[severity];
}

static void free_one(struct br_finding *f)
{
	free(f->key);
	free(f->text);
	free(f->cure);
}

void br_findings_done(struct br_findings *f)
{
	for (size_t i = 0; i < f->n; i++)
		free_one(&f->list[i]);
	free(f->list);
	*f = (struct br_findings){ 0 };
}

void br_findings_add(struct br_findings *f, enum br_severity severity, unsigned line, const char *key, const char *cure,
	const char *fmt, ...)
{
	struct br_finding one = { .severity = severity, .line = line };
	struct br_text words = BR_TEXT_NULL;
	va_list ap;

	va_start(ap, fmt);
	br_text_addv(&words, fmt, ap);
	va_end(ap);
	one.text = br_text_take(&words);
	one.key = key ? strdup(key) : NULL;
	one.cure = cure ? strdup(cure) : NULL;
	if (!one.text || (key && !one.key) || (cure && !one.cure) ||
		br_array_reserve(&f->list, &f->cap, f->n + 1, sizeof(*f->list)) < 0) {
		free_one(&one);
		f->failed = true;
		return;
	}
	f->list[f->n++] = one;
}

size_t br_findings_count(const struct br_findings *f, enum br_severity severity)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++)
		n += f->list[i].severity == severity;
	return n;
}

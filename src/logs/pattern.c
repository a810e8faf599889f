/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions, and the texts that must be in what they match. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "logs/pattern.h"

#include <ctype.h>
#include <errno.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define STEPS_MAX 100000     /* about a millisecond */
#define HEAP_KIB 1024	     /* of the interpreter */
#define STACK_MAX (1u << 20) /* of the compiled form */

struct br_logs_pattern {
	pcre2_code *code;
	char literal[BR_LOGS_PATTERN_MAX + 1];
	size_t n_literal;
	bool ignore_case, is_literal;
};

struct br_logs_matcher {
	const struct br_logs_pattern *pattern;
	pcre2_match_data *data;
	pcre2_match_context *context;
	pcre2_jit_stack *stack;
	uint64_t given_up;
};

/* ---- the literal ---- */

struct run {
	char text[BR_LOGS_PATTERN_MAX];
	size_t n;
};

struct scan {
	const char *p;
	struct run now;
	struct br_logs_pattern *out;
	bool plain; /* nothing but literals so far */
};

static void end_run(struct scan *s)
{
	if (s->now.n > s->out->n_literal) {
		memcpy(s->out->literal, s->now.text, s->now.n);
		s->out->n_literal = s->now.n;
	}
	s->now.n = 0;
}

/* Behind a class "[...]"; NULL: it has no end. */
static const char *skip_class(const char *p)
{
	p++;
	p += *p == '^';
	p += *p == ']';
	while (*p && *p != ']') {
		if (*p == '\\' && p[1])
			p++;
		else if (*p == '[' && strchr(":.=", p[1]) && p[1]) {
			const char end[] = { p[1], ']', 0 };
			const char *close = strstr(p + 2, end);

			p = close ? close + 1 : p;
		}
		p++;
	}
	return *p ? p + 1 : NULL;
}

/* Behind a group "(...)". */
static const char *skip_group(const char *p)
{
	unsigned depth = 0;

	while (*p) {
		if (*p == '\\' && p[1]) {
			p += 2;
		} else if (*p == '[') {
			p = skip_class(p);
			if (!p)
				return NULL;
		} else {
			depth += *p == '(';
			depth -= *p == ')';
			p++;
			if (!depth)
				return p;
		}
	}
	return NULL;
}

/* The atom before may be there not at all. */
static bool is_optional(const char *p)
{
	return *p == '?' || *p == '*' || *p == '{';
}

/* One atom that is no literal; false: we do not understand it. */
static bool skip_other(struct scan *s)
{
	char c = *s->p;

	s->plain = false;
	if (c == '{') { /* a repetition, or a brace: not told apart */
		const char *close = strchr(s->p, '}');

		s->p = close ? close + 1 : s->p + 1;
	} else if (c == '[') {
		s->p = skip_class(s->p);
	} else if (c == '(') {
		s->p = skip_group(s->p);
	} else if (c == '\\') {
		if (!strchr("dDwWsSbBAzZhHvVRnrtfea", s->p[1]) || !s->p[1])
			return false; /* takes arguments, or is a reference */
		s->p += 2;
	} else {
		s->p++; /* . ^ $ and what repeats */
	}
	end_run(s);
	return s->p != NULL;
}

/* Conservative: what is not plainly a text that must be there is none. */
static void find_literal(struct br_logs_pattern *out, const char *re)
{
	struct scan s = { .p = re, .out = out, .plain = true };

	if (strstr(re, "(?") || strstr(re, "(*") || strstr(re, "\\Q") || strstr(re, "\\E"))
		return;
	while (*s.p) {
		bool escaped = s.p[0] == '\\' && s.p[1] && !isalnum((unsigned char)s.p[1]);
		const char *atom = s.p + escaped;
		size_t n = 1;

		if (*s.p == '|') { /* one or the other */
			out->n_literal = 0;
			return;
		}
		if (!escaped && strchr("\\[](){}.^$?*+", *s.p)) {
			if (!skip_other(&s)) {
				out->n_literal = 0;
				return;
			}
			continue;
		}
		s.p = atom + n;
		if (is_optional(s.p)) {
			s.plain = false;
			end_run(&s);
			continue;
		}
		s.now.text[s.now.n++] = out->ignore_case ? (char)tolower((unsigned char)*atom) : *atom;
	}
	end_run(&s);
	out->is_literal = s.plain;
}

/* ---- compiling ---- */

static int compile(struct br_logs_pattern *p, const char *re, size_t n, struct br_error *err)
{
	uint32_t options = PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOTALL |
			   (p->ignore_case ? PCRE2_CASELESS : 0);
	PCRE2_SIZE where = 0;
	int code = 0;

	p->code = pcre2_compile((PCRE2_SPTR)re, n, options, &code, &where, NULL);
	if (!p->code) {
		PCRE2_UCHAR words[200] = "";
		char vis[300];

		pcre2_get_error_message(code, words, sizeof(words));
		return br_error_set(err, EINVAL, "regular expression '%s': %s, at byte %zu", br_vis(vis, sizeof(vis), re, n),
			(const char *)words, (size_t)where);
	}
	/* where the system permits no new code, the interpreter does it */
	(void)pcre2_jit_compile(p->code, PCRE2_JIT_COMPLETE);
	return 0;
}

int br_logs_pattern_new(const char *re, bool ignore_case, struct br_logs_pattern **ret, struct br_error *err)
{
	struct br_logs_pattern *p;
	size_t n = strlen(re);
	int r;

	if (!n || n > BR_LOGS_PATTERN_MAX)
		return br_error_set(err, EINVAL, "a regular expression has 1 to %d bytes", BR_LOGS_PATTERN_MAX);
	p = calloc(1, sizeof(*p));
	if (!p)
		return br_error_set(err, ENOMEM, "out of memory");
	p->ignore_case = ignore_case;
	r = compile(p, re, n, err);
	if (r < 0) {
		br_logs_pattern_free(p);
		return r;
	}
	find_literal(p, re);
	*ret = p;
	return 0;
}

void br_logs_pattern_free(struct br_logs_pattern *p)
{
	if (!p)
		return;
	pcre2_code_free(p->code);
	free(p);
}

const char *br_logs_pattern_literal(const struct br_logs_pattern *p, size_t *ret_n)
{
	*ret_n = p->n_literal;
	return p->literal;
}

bool br_logs_pattern_ignores_case(const struct br_logs_pattern *p)
{
	return p->ignore_case;
}

bool br_logs_pattern_is_literal(const struct br_logs_pattern *p)
{
	return p->is_literal;
}

/* ---- matching ---- */

struct br_logs_matcher *br_logs_matcher_new(const struct br_logs_pattern *p)
{
	struct br_logs_matcher *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->pattern = p;
	m->data = pcre2_match_data_create(1, NULL);
	m->context = pcre2_match_context_create(NULL);
	m->stack = pcre2_jit_stack_create(32 * 1024, STACK_MAX, NULL);
	if (!m->data || !m->context) {
		br_logs_matcher_free(m);
		return NULL;
	}
	pcre2_set_match_limit(m->context, STEPS_MAX);
	pcre2_set_heap_limit(m->context, HEAP_KIB);
	if (m->stack)
		pcre2_jit_stack_assign(m->context, NULL, m->stack);
	return m;
}

void br_logs_matcher_free(struct br_logs_matcher *m)
{
	if (!m)
		return;
	pcre2_match_data_free(m->data);
	pcre2_match_context_free(m->context);
	pcre2_jit_stack_free(m->stack);
	free(m);
}

bool br_logs_matches(struct br_logs_matcher *m, const char *text, size_t n)
{
	int r = pcre2_match(m->pattern->code, (PCRE2_SPTR)text, n, 0, 0, m->data, m->context);

	/* 0: more groups than there is room for; that is a match */
	if (r < 0 && r != PCRE2_ERROR_NOMATCH)
		m->given_up++;
	return r >= 0;
}

uint64_t br_logs_matcher_given_up(const struct br_logs_matcher *m)
{
	return m->given_up;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostlists as pdsh and Slurm write them: names separated by commas, each with any
 * number of [ranges]; a range keeps the width of its first number.
 */
#include "base/hostlist.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"

#define BRACKETS_MAX 8

struct names {
	char **v;
	size_t n, cap;
};

static int add_name(struct names *out, const char *name, struct br_error *err)
{
	if (out->n == BR_HOSTLIST_MAX)
		return br_error_set(err, E2BIG, "host list: more than %d names", BR_HOSTLIST_MAX);
	if (br_array_reserve(&out->v, &out->cap, out->n + 1, sizeof(*out->v)) < 0)
		return br_error_set(err, ENOMEM, "host list: out of memory");
	out->v[out->n] = strdup(name);
	if (!out->v[out->n])
		return br_error_set(err, ENOMEM, "host list: out of memory");
	out->n++;
	return 0;
}

static int expand_one(struct names *out, const char *prefix, const char *rest, struct br_error *err);

/* One item of a bracket: "7" or "01-24". */
static int expand_range(struct names *out, const char *prefix, char *item, const char *rest,
	struct br_error *err)
{
	char *dash = strchr(item, '-');
	uint64_t from, to;
	size_t width = dash ? (size_t)(dash - item) : strlen(item);

	if (dash)
		*dash = 0;
	if (br_parse_u64(item, 0, 999999999, &from) < 0 ||
		br_parse_u64(dash ? dash + 1 : item, 0, 999999999, &to) < 0)
		return br_error_set(err, EINVAL,
			"host list: '%s' is not a number or a range like 01-24", item);
	if (to < from)
		return br_error_set(err, EINVAL, "host list: range %s-%s runs backwards", item, dash + 1);
	for (uint64_t i = from; i <= to; i++) {
		br_cleanup(br_freep) char *p =
			br_asprintf("%s%0*llu", prefix, (int)width, (unsigned long long)i);
		int r = p ? expand_one(out, p, rest, err)
			  : br_error_set(err, ENOMEM, "host list: out of memory");

		if (r < 0)
			return r;
	}
	return 0;
}

/* prefix is final; rest may still have brackets. */
static int expand_one(struct names *out, const char *prefix, const char *rest, struct br_error *err)
{
	const char *open = strchr(rest, '['), *close = open ? strchr(open, ']') : NULL;
	br_cleanup(br_freep) char *head = NULL;
	br_cleanup(br_freep) char *items = NULL;
	char *save = NULL;

	if (!open) {
		br_cleanup(br_freep) char *name = br_asprintf("%s%s", prefix, rest);

		if (strchr(rest, ']'))
			return br_error_set(err, EINVAL, "host list: ']' without '['");
		return name ? add_name(out, name, err) : br_error_set(err, ENOMEM, "host list: out of memory");
	}
	if (!close || close == open + 1)
		return br_error_set(err, EINVAL, "host list: '[' without a range and ']', as in pi[01-24]");
	head = br_asprintf("%s%.*s", prefix, (int)(open - rest), rest);
	items = strndup(open + 1, (size_t)(close - open - 1));
	if (!head || !items)
		return br_error_set(err, ENOMEM, "host list: out of memory");
	if (!items[strspn(items, ",")])
		return br_error_set(err, EINVAL, "host list: empty brackets after '%s'", head);
	for (char *it = strtok_r(items, ",", &save); it; it = strtok_r(NULL, ",", &save)) {
		int r = expand_range(out, head, it, close + 1, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Each is a level of recursion. */
static int brackets_of(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += *s == '[';
	return n;
}

int br_hostlist_expand(const char *text, char ***ret, size_t *ret_n, struct br_error *err)
{
	struct names out = { 0 };
	int depth = 0, r = 0;
	const char *start = text;

	for (const char *s = text;; s++) {
		depth += *s == '[' ? 1 : *s == ']' ? -1 : 0;
		if (*s && (*s != ',' || depth > 0))
			continue;
		if (s == start) {
			r = br_error_set(err, EINVAL, "host list '%s': an empty name", text);
		} else {
			br_cleanup(br_freep) char *one = strndup(start, (size_t)(s - start));

			r = one && brackets_of(one) > BRACKETS_MAX
				? br_error_set(err, E2BIG, "host list: more than %d ranges in one name", BRACKETS_MAX)
				: one ? expand_one(&out, "", one, err)
				: br_error_set(err, ENOMEM, "host list: out of memory");
		}
		if (r < 0 || !*s)
			break;
		start = s + 1;
	}
	if (r < 0) {
		br_hostlist_free(out.v, out.n);
		return r;
	}
	*ret = out.v;
	*ret_n = out.n;
	return 0;
}

void br_hostlist_free(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

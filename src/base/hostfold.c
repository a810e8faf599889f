/* SPDX-License-Identifier: Apache-2.0 */
/* Names to a host list: those that differ only in the number at their end share a pair of brackets. */
#include "base/hostlist.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define DIGITS_MAX 9

/* Where its number begins; its end: it has none. */
static size_t number_at(const char *name)
{
	size_t n = strlen(name), at = n;

	while (at && n - at < DIGITS_MAX && isdigit((unsigned char)name[at - 1]))
		at--;
	return at;
}

/* By what stands before the number, how long it is, and its value. */
static int compare(const void *a, const void *b)
{
	const char *x = *(const char *const *)a, *y = *(const char *const *)b;
	size_t i = number_at(x), j = number_at(y), least = i < j ? i : j;
	int r = memcmp(x, y, least);

	if (r || i != j)
		return r ? r : i < j ? -1 : 1;
	if (strlen(x) != strlen(y))
		return strlen(x) < strlen(y) ? -1 : 1;
	return strcmp(x, y);
}

static bool same_family(const char *x, const char *y)
{
	size_t i = number_at(x);

	return x[i] && i == number_at(y) && strlen(x) == strlen(y) && !memcmp(x, y, i);
}

/* Names v[0] to v[n - 1] are of one family: "01-03,07". */
static void add_numbers(struct br_text *t, const char *const *v, size_t n)
{
	size_t at = number_at(v[0]), first = 0;

	for (size_t i = 1; i <= n; i++) {
		if (i < n && atol(v[i] + at) == atol(v[i - 1] + at) + 1)
			continue;
		br_text_addf(t, "%s%s", first ? "," : "", v[first] + at);
		if (i - first > 1)
			br_text_addf(t, "%s%s", i - first > 2 ? "-" : ",", v[i - 1] + at);
		first = i;
	}
}

static void add_family(struct br_text *t, const char *const *v, size_t n)
{
	br_text_add(t, t->len ? "," : "");
	if (n == 1) {
		br_text_add(t, v[0]);
		return;
	}
	br_text_add_bytes(t, v[0], number_at(v[0]));
	br_text_add(t, "[");
	add_numbers(t, v, n);
	br_text_add(t, "]");
}

char *br_hostlist_fold(const char *const *names, size_t n)
{
	const char **v = calloc(n ? n : 1, sizeof(v[0]));
	struct br_text t = BR_TEXT_NULL;
	size_t kept = 0;

	if (!v)
		return NULL;
	if (n)
		memcpy(v, names, n * sizeof(v[0]));
	qsort(v, n, sizeof(v[0]), compare);
	for (size_t i = 0; i < n; i++) {
		if (!kept || strcmp(v[kept - 1], v[i]) != 0)
			v[kept++] = v[i];
	}
	for (size_t i = 0, k; i < kept; i += k) {
		for (k = 1; i + k < kept && same_family(v[i], v[i + k]); k++)
			;
		add_family(&t, v + i, k);
	}
	free(v);
	return br_text_take(&t);
}

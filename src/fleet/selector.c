/* SPDX-License-Identifier: Apache-2.0 */
/* Selectors: from text to a set of names and conditions, and whether a board is of it. */
#include "fleet/selector.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/hostlist.h"
#include "base/nearest.h"
#include "base/text.h"
#include "store/image.h"

#define SEPARATORS ", \t"
#define VALUES_MAX 16 /* of one condition: a|b|c */

enum key {
	KEY_MODEL,
	KEY_TAG,
	KEY_IMAGE,
	KEY_FREE,
	KEY_MINE,
};

struct condition {
	enum key key;
	bool negated;
	char *text; /* the values, each ended by a NUL */
	size_t n;
};

struct br_selector {
	struct condition conditions[BR_SELECTOR_TERMS_MAX];
	size_t n_conditions;
	char **names, **sorted; /* sorted: the same pointers */
	size_t n_names;
	uint32_t count;
	bool counted;
};

static int invalid(struct br_error *err, const char *what, const char *text, size_t n)
{
	char vis[120];

	return br_error_set(err, EINVAL, "selector: %s '%s'; write names (pi07, pi[01-24]) or model=4B, tag=WORD, image=NAME, free, mine, all, "
					 "separated by commas, and :N at the end for how many", what, br_vis(vis, sizeof(vis), text, n));
}

/* ":3" or ":all" at the end of the last term: cuts it off. */
static int take_count(struct br_selector *sel, char *text, struct br_error *err)
{
	char *colon = strrchr(text, ':'), *last = text + strlen(text);
	uint64_t n;

	if (!colon)
		return 0;
	while (last > text && !strchr(SEPARATORS, last[-1]))
		last--;
	/* an image's own colon */
	if (!strncasecmp(last, "image=", 6) || !strncasecmp(last, "image!=", 7)) {
		if (strchr(last, ':') == colon)
			return 0;
	}
	if (!strcmp(colon + 1, "all")) {
		sel->count = UINT32_MAX;
	} else if (br_parse_u64(colon + 1, 1, BR_SELECTOR_COUNT_MAX, &n) < 0) {
		return invalid(err, "no number of boards:", colon, strlen(colon));
	} else {
		sel->count = (uint32_t)n;
	}
	sel->counted = true;
	*colon = 0;
	return 0;
}

static int add_names(struct br_selector *sel, const char *list, struct br_error *err)
{
	char **v = NULL, **grown;
	size_t n = 0;
	int r = br_hostlist_expand(list, &v, &n, err);

	if (r < 0)
		return r;
	if (sel->n_names + n > BR_HOSTLIST_MAX) {
		br_hostlist_free(v, n);
		return br_error_set(err, E2BIG, "selector: more than %d names", BR_HOSTLIST_MAX);
	}
	grown = realloc(sel->names, (sel->n_names + n) * sizeof(char *));
	if (!grown) {
		br_hostlist_free(v, n);
		return br_error_set(err, ENOMEM, "selector: out of memory");
	}
	sel->names = grown;
	memcpy(sel->names + sel->n_names, v, n * sizeof(char *));
	sel->n_names += n;
	free(v);
	return 0;
}

/* Checks the form of each value and ends it with a NUL. */
static int take_values(struct condition *c, struct br_error *err)
{
	size_t len = strlen(c->text);
	char *save = NULL, canon[BR_IMAGE_NAME_MAX + 1];
	struct br_text all = BR_TEXT_NULL;

	if (!len || c->text[0] == '|' || c->text[len - 1] == '|' || strstr(c->text, "||"))
		return invalid(err, "an empty value in", c->text, len);
	for (char *v = strtok_r(c->text, "|", &save); v; v = strtok_r(NULL, "|", &save)) {
		int r = c->key == KEY_IMAGE ? br_image_name_canon(v, canon, err) : 0;

		if (!r && ++c->n > VALUES_MAX)
			r = br_error_set(err, E2BIG, "selector: more than %d values of one key", VALUES_MAX);
		if (r < 0) {
			br_text_done(&all);
			return r;
		}
		br_text_add(&all, c->key == KEY_IMAGE ? canon : v);
		br_text_add_bytes(&all, "", 1);
	}
	free(c->text);
	c->text = br_text_take(&all);
	return c->text ? 0 : br_error_set(err, ENOMEM, "selector: out of memory");
}

static const struct {
	const char *word;
	enum key key;
	bool valued;
} words[] = {
	{ "model", KEY_MODEL, true },
	{ "tag", KEY_TAG, true },
	{ "image", KEY_IMAGE, true },
	{ "free", KEY_FREE, false },
	{ "mine", KEY_MINE, false },
};

static int unknown_key(struct br_error *err, const char *key, size_t n)
{
	static const char *const keys[] = { "model", "tag", "image", "name" };
	br_cleanup(br_freep) char *typed = strndup(key, n);
	const char *best = typed ? br_nearest(typed, keys, BR_ARRAY_SIZE(keys)) : NULL;
	br_cleanup(br_freep) char *what = best ? br_asprintf("did you mean %s= instead of", best) : NULL;

	return invalid(err, what ? what : "no such key:", key, n);
}

static int add_condition(struct br_selector *sel, enum key key, bool negated, const char *values, struct br_error *err)
{
	struct condition *c = &sel->conditions[sel->n_conditions];

	if (sel->n_conditions == BR_SELECTOR_TERMS_MAX)
		return br_error_set(err, E2BIG, "selector: more than %d conditions", BR_SELECTOR_TERMS_MAX);
	*c = (struct condition){ .key = key, .negated = negated };
	if (values) {
		c->text = strdup(values);
		if (!c->text)
			return br_error_set(err, ENOMEM, "selector: out of memory");
	}
	sel->n_conditions++;
	return values ? take_values(c, err) : 0;
}

static int add_term(struct br_selector *sel, const char *term, struct br_error *err)
{
	bool negated = term[0] == '!';
	const char *word = term + negated, *eq = strchr(word, '=');
	size_t n = eq ? (size_t)(eq - word) : strlen(word);

	if (eq && n && eq[-1] == '!') {
		if (negated)
			return invalid(err, "twice 'not' in", term, strlen(term));
		negated = true;
		n--;
	}
	if (!negated && (!strcasecmp(word, "all") || !strcasecmp(word, "and")))
		return 0;
	for (size_t i = 0; i < BR_ARRAY_SIZE(words); i++) {
		if (n == strlen(words[i].word) && !strncasecmp(word, words[i].word, n) && words[i].valued == (eq != NULL))
			return add_condition(sel, words[i].key, negated, eq ? eq + 1 : NULL, err);
	}
	if (negated)
		return invalid(err, "'not' is for conditions, unlike", term, strlen(term));
	if (eq && (n != 4 || strncasecmp(word, "name", n) != 0))
		return unknown_key(err, word, n);
	return add_names(sel, eq ? eq + 1 : word, err);
}

/* The end of the term that begins here: a separator outside of brackets, or the end. */
static char *term_end(char *s)
{
	int depth = 0;

	for (; *s && (depth > 0 || !strchr(SEPARATORS, *s)); s++)
		depth += *s == '[' ? 1 : *s == ']' ? -1 : 0;
	return s;
}

static int parse(struct br_selector *sel, char *text, struct br_error *err)
{
	int r = take_count(sel, text, err);

	for (char *s = text, *end; !r && *s; s = end) {
		bool last;

		s += strspn(s, SEPARATORS);
		end = term_end(s);
		last = !*end;
		*end = 0;
		if (*s)
			r = add_term(sel, s, err);
		end += !last;
	}
	return r;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int sort_names(struct br_selector *sel, struct br_error *err)
{
	if (!sel->n_names)
		return 0;
	sel->sorted = malloc(sel->n_names * sizeof(char *));
	if (!sel->sorted)
		return br_error_set(err, ENOMEM, "selector: out of memory");
	memcpy(sel->sorted, sel->names, sel->n_names * sizeof(char *));
	qsort(sel->sorted, sel->n_names, sizeof(char *), compare_names);
	return 0;
}

int br_selector_parse(const char *text, struct br_selector **ret, struct br_error *err)
{
	br_cleanup(br_freep) char *copy = NULL;
	struct br_selector *sel;
	size_t n = strnlen(text, BR_SELECTOR_TEXT_MAX + 1);
	int r;

	if (n > BR_SELECTOR_TEXT_MAX)
		return br_error_set(err, E2BIG, "selector: longer than %d bytes", BR_SELECTOR_TEXT_MAX);
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)text[i] < 0x20 || (unsigned char)text[i] >= 0x7f)
			return invalid(err, "a byte that no name has, in", text, n);
	}
	while (n && text[n - 1] == ' ') /* behind the count */
		n--;
	if (strspn(text, SEPARATORS) >= n)
		return invalid(err, "an empty text", "", 0);
	copy = strndup(text, n);
	sel = calloc(1, sizeof(*sel));
	r = copy && sel ? parse(sel, copy, err) : br_error_set(err, ENOMEM, "selector: out of memory");
	if (!r)
		r = sort_names(sel, err);
	if (r < 0) {
		br_selector_free(sel);
		return r;
	}
	if (!sel->counted)
		sel->count = sel->n_names && !sel->n_conditions ? UINT32_MAX : 1;
	*ret = sel;
	return 0;
}

void br_selector_free(struct br_selector *sel)
{
	if (!sel)
		return;
	for (size_t i = 0; i < sel->n_conditions; i++)
		free(sel->conditions[i].text);
	br_hostlist_free(sel->names, sel->n_names);
	free(sel->sorted);
	free(sel);
}

bool br_selector_is(const char *text)
{
	struct br_selector *sel = NULL;
	bool more;

	if (br_selector_parse(text, &sel, NULL) < 0)
		return false;
	more = sel->n_conditions || sel->counted || !sel->n_names;
	br_selector_free(sel);
	return more;
}

uint32_t br_selector_count(const struct br_selector *sel)
{
	return sel->count;
}

bool br_selector_counted(const struct br_selector *sel)
{
	return sel->counted;
}

const char *const *br_selector_names(const struct br_selector *sel, size_t *ret_n)
{
	*ret_n = sel->n_names;
	return (const char *const *)sel->names;
}

static bool value_fits(enum key key, const char *v, const struct br_board *board, const struct br_selector_facts *facts)
{
	switch (key) {
	case KEY_MODEL:
		return !strcasecmp(v, board->model);
	case KEY_TAG:
		return br_board_tagged(board, v);
	case KEY_IMAGE:
		return facts->image && !strcmp(v, facts->image);
	case KEY_FREE:
	case KEY_MINE:
		break;
	}
	return false;
}

static bool holds(const struct condition *c, const struct br_board *board, const struct br_selector_facts *facts)
{
	const char *v = c->text;
	bool yes = false;

	if (c->key == KEY_FREE)
		yes = !facts->reserved;
	else if (c->key == KEY_MINE)
		yes = facts->mine;
	for (size_t i = 0; i < c->n && !yes; i++, v += strlen(v) + 1)
		yes = value_fits(c->key, v, board, facts);
	return yes != c->negated;
}

bool br_selector_matches(const struct br_selector *sel, const struct br_board *board, const struct br_selector_facts *facts)
{
	const char *name = board->name;

	if (sel->n_names && !bsearch(&name, sel->sorted, sel->n_names, sizeof(char *), compare_names))
		return false;
	for (size_t i = 0; i < sel->n_conditions; i++) {
		if (!holds(&sel->conditions[i], board, facts))
			return false;
	}
	return true;
}

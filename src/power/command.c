/* SPDX-License-Identifier: Apache-2.0 */
/* Switching boards by a command of the operator's: a program and its arguments, never a shell. */
#include "power/driver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "power/answer.h"
#include "power/run.h"

#define WORDS_MAX 32

struct words {
	char *v[WORDS_MAX + 1];
	size_t n;
};

static void words_done(struct words *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->v[i]);
}

static const struct br_power_field *field(const struct br_power_field *fields, const char *name, size_t n)
{
	for (; fields->name; fields++)
		if (strlen(fields->name) == n && !memcmp(fields->name, name, n))
			return fields;
	return NULL;
}

/* One word with its fields; NULL: an unknown one. */
static char *expand(const char *s, size_t n, const struct br_power_field *fields)
{
	struct br_text t = BR_TEXT_NULL;

	br_text_add(&t, "");
	for (size_t i = 0; i < n;) {
		const char *close = s[i] == '{' ? memchr(s + i, '}', n - i) : NULL;

		if (close) {
			const struct br_power_field *f = field(fields, s + i + 1, (size_t)(close - s) - i - 1);

			if (!f) {
				br_text_done(&t);
				return NULL;
			}
			br_text_add(&t, f->value);
			i = (size_t)(close - s) + 1;
		} else {
			br_text_add_bytes(&t, s + i++, 1);
		}
	}
	return br_text_take(&t);
}

static const char *split(const char *command, const struct br_power_field *fields, struct words *w)
{
	for (const char *s = command + strspn(command, " \t"); *s; s += strspn(s, " \t")) {
		size_t n = strcspn(s, " \t");

		if (w->n == WORDS_MAX)
			return "must have at most 32 words";
		w->v[w->n] = expand(s, n, fields);
		if (!w->v[w->n])
			return "may use {board}, {mac}, {serial}, {notes}, {outlet} and {action} only";
		w->n++;
		s += n;
	}
	if (!w->n || w->v[0][0] != '/')
		return "must begin with the full path of a program";
	return NULL;
}

const char *br_power_command_check(const char *command)
{
	static const struct br_power_field fields[] = { { "board", "" }, { "mac", "" }, { "serial", "" }, { "notes", "" },
		{ "outlet", "" }, { "port", "" }, { "action", "" }, { 0 } };
	struct words w = { 0 };
	const char *wrong = split(command, fields, &w);

	words_done(&w);
	return wrong;
}

static const char *command_of(const struct br_power_target *t)
{
	return t->section ? t->section->command : t->uri.host[0] ? NULL : t->command;
}

/* said: BR_RUN_SAID bytes for its last words. */
static int run(const struct br_power_target *t, enum br_power_op op, char *said, struct br_error *err)
{
	const char *command = command_of(t), *wrong;
	const struct br_power_field fields[] = { { "board", t->board }, { "mac", t->mac }, { "serial", t->serial }, { "notes", t->notes },
		{ "outlet", t->uri.outlet }, { "port", t->uri.outlet }, { "action", br_power_op_name(op) }, { 0 } };
	char vis[BR_RUN_SAID * 2];
	struct words w = { 0 };
	int status = 0, r;

	said[0] = 0;
	if (!command)
		return t->uri.host[0] ? br_error_set(err, ENOENT, "no section [power %s] of bramble.conf has a 'command'", t->uri.host) :
					br_error_set(err, ENOENT, "no power-command is set: see bramble.conf(5)");
	wrong = split(command, fields, &w);
	r = wrong ? br_error_set(err, EINVAL, "the power command %s", wrong) :
		    br_run((const char *const *)w.v, t->timeout_ns, t->stop, said, &status, err);
	if (r >= 0 && status)
		r = br_error_set(err, EREMOTEIO, "%s failed with status %d%s%s", w.v[0], status, *said ? ": " : "",
			br_vis(vis, sizeof(vis), said, strcspn(said, "\n")));
	words_done(&w);
	return r;
}

static int set(const struct br_power_target *t, enum br_power_op op, struct br_error *err)
{
	char said[BR_RUN_SAID];

	return run(t, op, said, err);
}

/* Prints on or off. A command that does not know "status" fails, and has none. */
static int get(const struct br_power_target *t, struct br_power_reading *ret, struct br_error *err)
{
	char said[BR_RUN_SAID];
	int r = run(t, BR_POWER_OP_GET, said, err);

	if (r == -EREMOTEIO) {
		ret->state = BR_POWER_IS_UNKNOWN;
		return 0;
	}
	if (r >= 0 && !br_power_answer_plain(said, strlen(said), &ret->state))
		ret->state = BR_POWER_IS_UNKNOWN;
	return r;
}

/* The one of [serve] was never told to know "status": it could take it for an order. */
static bool can_status(const struct br_power_target *t)
{
	return t->section != NULL;
}

static bool can_reset(const struct br_power_target *t)
{
	return !t->section;
}

const struct br_power_driver br_power_command = { .can_status = can_status, .can_reset = can_reset, .set = set, .get = get };

/* SPDX-License-Identifier: Apache-2.0 */
/* A plan of 'bramble import' carried out through the daemon: all is checked before the first change. */
#include "cli/importapply.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define OVERRIDE_MAX (1 << 20)

struct look {
	const struct br_apply_options *opt;
	json_t *boards, *images, *shares; /* the daemon's */
	json_t *steps, *problems;
};

static const char *text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

__attribute__((format(printf, 2, 3))) static void problem(struct look *k, const char *fmt, ...)
{
	struct br_text t = BR_TEXT_NULL;
	va_list ap;

	va_start(ap, fmt);
	br_text_addv(&t, fmt, ap);
	va_end(ap);
	json_array_append_new(k->problems, json_string(t.buf ? t.buf : "out of memory"));
	br_text_done(&t);
}

/* ---- boards ---- */

static bool same_serial(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b);

	return la >= 8 && lb >= 8 && !strcasecmp(a + la - 8, b + lb - 8);
}

static const json_t *find_board(const json_t *boards, const char *key, const char *value)
{
	const json_t *b;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)boards, i, b) {
		const char *theirs = text_of(b, key);

		if (value && theirs && (strcmp(key, "serial") ? !strcasecmp(theirs, value) : same_serial(theirs, value)))
			return b;
	}
	return NULL;
}

/* By what cannot change first. */
static const json_t *existing(struct look *k, const json_t *b)
{
	const json_t *by_mac = find_board(k->boards, "mac", text_of(b, "mac")), *by_serial = find_board(k->boards, "serial", text_of(b, "serial"));
	const json_t *by_name;

	if (by_mac && by_serial && by_mac != by_serial)
		problem(k, "board %s: its MAC is %s's here and its serial %s's; 'bramble board rm' one of them", text_of(b, "name"), text_of(by_mac, "name"),
			text_of(by_serial, "name"));
	if (by_mac || by_serial)
		return by_mac ? by_mac : by_serial;
	by_name = find_board(k->boards, "name", text_of(b, "name"));
	if (by_name && ((text_of(b, "mac") && text_of(by_name, "mac")) || (text_of(b, "serial") && text_of(by_name, "serial"))))
		problem(k, "board %s: another board has this name here; rename that one ('bramble board edit %s --name NAME')", text_of(b, "name"),
			text_of(b, "name"));
	return by_name;
}

static bool same_value(const char *key, const char *ours, const char *theirs)
{
	if (!ours || !theirs)
		return false;
	return !strcmp(key, "serial") ? same_serial(ours, theirs) : !strcasecmp(ours, theirs);
}

/* plan's key, the API's */
static const char *const fields[][2] = { { "name", "name" }, { "mac", "mac" }, { "serial", "serial" }, { "address", "fixed_address" },
	{ "model", "model" }, { "image", "image" }, { "tags", "tags" }, { "power", "power" }, { "notes", "notes" } };

static json_t *differences(const json_t *b, const json_t *now)
{
	json_t *out = json_object();

	for (size_t i = 0; i < BR_ARRAY_SIZE(fields); i++) {
		const char *wanted = text_of(b, fields[i][0]);

		if (wanted && !same_value(fields[i][1], wanted, now ? text_of(now, fields[i][1]) : NULL))
			json_object_set_new(out, fields[i][1], json_string(wanted));
	}
	return out;
}

static void check_claims(struct look *k, const json_t *b, const json_t *now)
{
	const json_t *other = find_board(k->boards, "fixed_address", text_of(b, "address"));

	if (other && other != now)
		problem(k, "board %s: %s has the address %s here", text_of(b, "name"), text_of(other, "name"), text_of(b, "address"));
	other = find_board(k->boards, "name", text_of(b, "name"));
	if (now && other && other != now)
		problem(k, "board %s: it is %s here, and another board has that name", text_of(b, "name"), text_of(now, "name"));
}

static void check_image(struct look *k, const json_t *plan, const json_t *b)
{
	const char *name = text_of(b, "image"), *source = NULL;
	const json_t *i;
	size_t n;

	if (!name)
		return;
	json_array_foreach(k->images, n, i) {
		if (!strcmp(text_of(i, "name") ?: "", name))
			return;
	}
	json_array_foreach(json_object_get(plan, "images"), n, i) {
		if (!strcmp(text_of(i, "name") ?: "", name) && !strcmp(text_of(i, "kind") ?: "", "file"))
			source = text_of(i, "source");
	}
	problem(k, "board %s: there is no image '%s' here; 'bramble image add %s --name %s' first", text_of(b, "name"), name, source ? source : "FILE", name);
}

static void look_board(struct look *k, const json_t *plan, const json_t *b)
{
	const json_t *now = existing(k, b);
	json_t *diff = differences(b, now);

	check_claims(k, b, now);
	check_image(k, plan, b);
	json_array_append_new(k->steps, json_pack("{s:s, s:s?, s:s?, s:s, s:o}", "kind", "board", "name", text_of(b, "name"), "was",
						now ? text_of(now, "name") : NULL, "action",
						!now ? "create" : json_object_size(diff) ? "change" : "same", "fields", diff));
}

/* ---- shares and overrides ---- */

static void look_share(struct look *k, const json_t *s)
{
	const char *name = text_of(s, "name"), *action = "create";
	const json_t *x;
	size_t i;

	json_array_foreach(k->shares, i, x) {
		if (strcmp(text_of(x, "name") ?: "", name))
			continue;
		action = "same";
		if (strcmp(text_of(x, "dir") ?: "", text_of(s, "dir")))
			problem(k, "share %s: it is %s here, and would be %s", name, text_of(x, "dir"), text_of(s, "dir"));
	}
	if (!strcmp(action, "create") && access(text_of(s, "dir"), R_OK | X_OK) < 0)
		problem(k, "share %s: directory %s: %s; copy it here first", name, text_of(s, "dir"), strerrordesc_np(errno));
	json_array_append_new(k->steps, json_pack("{s:s, s:s, s:s, s:o}", "kind", "share", "name", name, "action", action, "fields",
						json_pack("{s:s, s:s, s:s}", "name", name, "dir", text_of(s, "dir"), "mode", text_of(s, "mode"))));
}

static char *override_path(const struct br_apply_options *opt, const json_t *o)
{
	return br_asprintf("%s/%s/%s", opt->overrides, text_of(o, "board"), text_of(o, "path"));
}

/* Every word of adds in the line? */
static bool has_words(const char *line, const char *adds)
{
	br_cleanup(br_freep) char *all = br_asprintf(" %s ", line), *copy = strdup(adds);
	char *save = NULL;

	for (char *p = all; p && *p; p++)
		*p = *p == '\n' || *p == '\t' ? ' ' : *p;
	for (char *w = copy ? strtok_r(copy, " ", &save) : NULL; w; w = strtok_r(NULL, " ", &save)) {
		br_cleanup(br_freep) char *word = br_asprintf(" %s ", w);

		if (!all || !word || !strstr(all, word))
			return false;
	}
	return true;
}

/* The closest directory that is there must be ours to write. */
static bool writable(const char *dir)
{
	br_cleanup(br_freep) char *path = strdup(dir);
	char *slash;

	while (path && access(path, F_OK) < 0 && (slash = strrchr(path, '/')) && slash > path)
		*slash = 0;
	return path && !access(path, W_OK);
}

static void look_override(struct look *k, const json_t *o)
{
	br_cleanup(br_freep) char *path = override_path(k->opt, o), *now = NULL;
	const char *text = text_of(o, "text"), *action = "create";
	size_t len;

	if (path && br_file_read(path, OVERRIDE_MAX, &now, &len, NULL) >= 0) {
		bool same = text ? !strcmp(now, text) : has_words(now, text_of(o, "adds"));

		action = same ? "same" : "change";
		if (!same && !k->opt->force)
			problem(k, "override %s: there is one of other content; look at both, then --force replaces it", path);
	} else if (!path || !writable(k->opt->overrides)) {
		problem(k, "override %s: it may not be written; be root, or give --overrides DIR", path ? path : "?");
	}
	json_array_append_new(k->steps, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s?, s:s?}", "kind", "override", "name", path ? path : "", "action", action,
						"board", text_of(o, "board"), "path", text_of(o, "path"), "text", text, "adds", text_of(o, "adds")));
}

int br_apply_look(struct br_client *client, const json_t *plan, const struct br_apply_options *opt, json_t **ret, struct br_error *err)
{
	struct look k = { .opt = opt, .steps = json_array(), .problems = json_array() };
	const json_t *o;
	size_t i;
	int r = br_client_call(client, "GET", "/v1/boards", NULL, &k.boards, err);

	if (r >= 0)
		r = br_client_call(client, "GET", "/v1/images", NULL, &k.images, err);
	if (r >= 0)
		r = br_client_call(client, "GET", "/v1/shares", NULL, &k.shares, err);
	if (r >= 0 && !opt->force && json_array_size(json_object_get(plan, "conflicts")))
		problem(&k, "the files disagree (%zu conflicts, see above): mend them there, or --force takes what was said first",
			json_array_size(json_object_get(plan, "conflicts")));
	json_array_foreach(json_object_get(plan, "boards"), i, o) {
		if (r >= 0)
			look_board(&k, plan, o);
	}
	json_array_foreach(json_object_get(plan, "shares"), i, o) {
		if (r >= 0)
			look_share(&k, o);
	}
	json_array_foreach(json_object_get(plan, "overrides"), i, o) {
		if (r >= 0)
			look_override(&k, o);
	}
	if (r >= 0)
		*ret = json_pack("{s:O, s:O}", "steps", k.steps, "problems", k.problems);
	json_decref(k.boards);
	json_decref(k.images);
	json_decref(k.shares);
	json_decref(k.steps);
	json_decref(k.problems);
	return r < 0 ? r : 0;
}

/* ---- doing it ---- */

static int do_board(struct br_client *client, const json_t *step, struct br_error *err)
{
	bool create = !strcmp(text_of(step, "action"), "create");
	br_cleanup(br_freep) char *path = create ? strdup("/v1/boards") : br_asprintf("/v1/boards/%s", text_of(step, "was"));
	json_t *answer = NULL;
	int r;

	if (!path)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_client_call(client, create ? "POST" : "PATCH", path, json_object_get(step, "fields"), &answer, err);
	json_decref(answer);
	return r < 0 ? r : 0;
}

static int do_share(struct br_client *client, const json_t *step, struct br_error *err)
{
	json_t *answer = NULL;
	int r = br_client_call(client, "POST", "/v1/shares", json_object_get(step, "fields"), &answer, err);

	json_decref(answer);
	return r < 0 ? r : 0;
}

/* A command line of one's own is taken at its word: the board's, as it is without it, and what is to be added. */
static int whole_cmdline(struct br_client *client, const json_t *step, char **ret, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_asprintf("/v1/boards/%s/plan", text_of(step, "board"));
	json_t *plan = NULL;
	const char *line;
	int r = path ? br_client_call(client, "GET", path, NULL, &plan, err) : br_error_set(err, ENOMEM, "out of memory");

	if (r < 0)
		return br_error_prefix(err, "command line of %s", text_of(step, "board"));
	line = text_of(plan, "cmdline");
	if (line)
		*ret = br_asprintf("%.*s %s\n", (int)strcspn(line, "\n"), line, text_of(step, "adds"));
	json_decref(plan);
	return line && *ret ? 0 : br_error_set(err, EIO, "command line of %s: the daemon tells none", text_of(step, "board"));
}

static int do_override(struct br_client *client, const json_t *step, const struct br_apply_options *opt, struct br_error *err)
{
	const char *path = text_of(step, "name");
	br_cleanup(br_freep) char *dir = br_asprintf("%s/%s", opt->overrides, text_of(step, "board")), *made = NULL;
	const char *text = text_of(step, "text");
	int r = dir ? br_mkdir_all(dir, 0755, err) : br_error_set(err, ENOMEM, "out of memory");

	if (r >= 0 && !text) {
		r = whole_cmdline(client, step, &made, err);
		text = made;
	}
	if (r >= 0 && text)
		r = br_file_write(path, text, strlen(text), 0644, err);
	return r;
}

int br_apply_do(struct br_client *client, json_t *look, const struct br_apply_options *opt, void (*said)(const json_t *step),
	struct br_error *err)
{
	json_t *step;
	size_t i;

	json_array_foreach(json_object_get(look, "steps"), i, step) {
		const char *kind = text_of(step, "kind");
		int r;

		if (!strcmp(text_of(step, "action"), "same"))
			continue;
		if (!strcmp(kind, "board"))
			r = do_board(client, step, err);
		else
			r = !strcmp(kind, "share") ? do_share(client, step, err) : do_override(client, step, opt, err);
		if (r < 0)
			return br_error_prefix(err, "%s %s", kind, text_of(step, "name"));
		json_object_set_new(step, "done", json_true());
		if (said)
			said(step);
	}
	return 0;
}

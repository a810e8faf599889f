/* SPDX-License-Identifier: Apache-2.0 */
/* The plan: boards, images, shares, settings, overrides and what was not taken, as JSON. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "import/internal.h"
#include "store/image.h"

static json_t *place_json(const struct br_import *im, struct br_import_place at)
{
	char text[700];

	return json_string(br_import_place_text(im, at, text, sizeof(text)));
}

/* Text from a file: what is no UTF-8 is shown escaped. */
static json_t *text_json(const char *text)
{
	struct br_text vis = BR_TEXT_NULL;
	json_t *s;

	if (!text)
		return json_null();
	s = json_string(text);
	if (s)
		return s;
	br_text_add_vis(&vis, text, strlen(text));
	s = json_string(vis.buf ? vis.buf : "");
	br_text_done(&vis);
	return s;
}

static json_t *boards_json(const struct br_import *im, const struct br_import_board *boards, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		json_t *b = json_object(), *from = json_array();

		for (size_t k = 0; k < BR_IK_N; k++)
			json_object_set_new(b, br_import_keys[k], text_json(boards[i].v[k].text));
		for (size_t k = 0; k < boards[i].n_from; k++)
			json_array_append_new(from, place_json(im, boards[i].from[k]));
		json_object_set_new(b, "from", from);
		json_array_append_new(list, b);
	}
	return list;
}

static json_t *files_json(const struct br_import *im)
{
	json_t *list = json_array();

	for (size_t i = 0; i < im->n_files; i++) {
		json_t *f = json_object();

		json_object_set_new(f, "path", text_json(im->files[i].path));
		json_object_set_new(f, "format", json_string(im->files[i].format));
		json_array_append_new(list, f);
	}
	return list;
}

static json_t *notes_json(const struct br_import *im, enum br_import_level level)
{
	json_t *list = json_array();

	for (size_t i = 0; i < im->n_notes; i++) {
		const struct br_import_note *n = &im->notes[i];
		json_t *o;

		if (n->level != level)
			continue;
		o = json_object();
		json_object_set_new(o, "at", place_json(im, n->at));
		json_object_set_new(o, "what", text_json(n->what));
		json_object_set_new(o, "why", text_json(n->why));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *settings_json(const struct br_import *im)
{
	json_t *list = json_array();

	for (size_t i = 0; i < im->n_settings; i++) {
		json_t *o = json_object();

		json_object_set_new(o, "key", json_string(im->settings[i].key));
		json_object_set_new(o, "value", text_json(im->settings[i].value));
		json_object_set_new(o, "from", place_json(im, im->settings[i].at));
		json_array_append_new(list, o);
	}
	return list;
}

/* ---- images and roots ---- */

/* A name that the store takes; what was made of the text otherwise. */
static void image_name(const char *text, char out[static BR_IMAGE_NAME_MAX + 1])
{
	if (br_image_name_canon(text, out, NULL) >= 0 || br_image_name_from_file(text, out, NULL) >= 0)
		return;
	out[0] = 0;
}

static json_t *find_image(json_t *list, const char *source)
{
	size_t i;
	json_t *o;

	json_array_foreach(list, i, o) {
		if (!strcmp(json_string_value(json_object_get(o, "source")) ?: "", source))
			return o;
	}
	return NULL;
}

static void use_image(json_t *list, const char *source, const char *kind, const char *board)
{
	json_t *o = find_image(list, source);
	char name[BR_IMAGE_NAME_MAX + 1];

	if (!o) {
		image_name(source, name);
		o = json_object();
		json_object_set_new(o, "name", name[0] && strcmp(kind, "root") ? json_string(name) : json_null());
		json_object_set_new(o, "source", text_json(source));
		json_object_set_new(o, "kind", json_string(kind));
		json_object_set_new(o, "boards", json_array());
		json_array_append_new(list, o);
	}
	json_array_append_new(json_object_get(o, "boards"), json_string(board));
}

/* Image files and names of images, and the NFS roots: one board's own each, or of many. A board's 'image' becomes the name. */
static json_t *images_json(const struct br_import_board *boards, size_t n, json_t *boards_list)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++) {
		const char *image = boards[i].v[BR_IK_IMAGE].text, *root = boards[i].v[BR_IK_ROOT].text;
		char name[BR_IMAGE_NAME_MAX + 1];

		if (image) {
			bool file = strchr(image, '/') || br_str_ends(image, ".img") || strstr(image, ".img.") || br_str_ends(image, ".zip");

			use_image(list, image, file ? "file" : "name", boards[i].v[BR_IK_NAME].text);
			image_name(image, name);
			json_object_set_new(json_array_get(boards_list, i), "image", name[0] ? json_string(name) : json_null());
		}
		if (root)
			use_image(list, root, "root", boards[i].v[BR_IK_NAME].text);
	}
	return list;
}

/* Boards' roots are in it: what they boot from now is no share. */
static bool holds_roots(const char *dir, const struct br_import_board *boards, size_t n)
{
	size_t len = strlen(dir);

	for (size_t i = 0; i < n; i++) {
		const char *root = boards[i].v[BR_IK_ROOT].text;

		if (root && !strncmp(root, dir, len) && (!root[len] || root[len] == '/'))
			return true;
	}
	return false;
}

static json_t *shares_json(struct br_import *im, const struct br_import_board *boards, size_t n_boards)
{
	json_t *list = json_array();

	for (size_t i = 0; i < im->n_shares; i++) {
		const struct br_import_share *s = &im->shares[i];
		const char *base = strrchr(s->dir, '/') + 1;
		char name[64];
		size_t n = 0;
		json_t *o;

		if (holds_roots(s->dir, boards, n_boards)) {
			br_import_say(im, BR_IMPORT_NOTE, s->at, s->dir, "boards have their roots in it; bramble serves these itself");
			continue;
		}
		for (; *base && n < sizeof(name) - 1; base++)
			name[n++] = strchr("abcdefghijklmnopqrstuvwxyz0123456789", *base | 0x20) ? (char)(*base | 0x20) : '-';
		name[n] = 0;
		if (!name[0] || name[0] == '-')
			snprintf(name, sizeof(name), "share%zu", i + 1);
		o = json_object();
		json_object_set_new(o, "name", json_string(name));
		json_object_set_new(o, "dir", text_json(s->dir));
		json_object_set_new(o, "mode", json_string(s->rw ? "rw" : "ro"));
		json_object_set_new(o, "from", place_json(im, s->at));
		json_array_append_new(list, o);
	}
	return list;
}

/* ---- overrides ---- */

/* What most boards have is taken for what the image has: what all have needs no override of one. */
static const struct br_import_bootfile *usual(const struct br_import *im, const char *path)
{
	const struct br_import_bootfile *best = NULL;
	size_t most = 0;

	for (size_t i = 0; i < im->n_bootfiles; i++) {
		size_t n = 0;

		if (strcmp(im->bootfiles[i].path, path) != 0)
			continue;
		if (!im->bootfiles[i].id)
			return &im->bootfiles[i]; /* the folder of all */
		for (size_t k = 0; k < im->n_bootfiles; k++)
			n += !strcmp(im->bootfiles[k].path, path) && !strcmp(im->bootfiles[k].text, im->bootfiles[i].text);
		if (n > most) {
			most = n;
			best = &im->bootfiles[i];
		}
	}
	return best;
}

static const char *board_of(const struct br_import_bootfile *f, const struct br_import_board *boards, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *id = boards[i].v[f->key].text;
		size_t len = id ? strlen(id) : 0, want = strlen(f->id);

		if (id && (!strcmp(id, f->id) || (f->key == BR_IK_SERIAL && len >= 8 && want >= 8 && !strcmp(id + len - 8, f->id + want - 8))))
			return boards[i].v[BR_IK_NAME].text;
	}
	return NULL;
}

static bool has_arg(const char *line, const char *arg, size_t n)
{
	while (*line) {
		size_t len = strcspn(line, " ");

		if (len == n && !memcmp(line, arg, n))
			return true;
		line += len + (line[len] == ' ');
	}
	return false;
}

/* Words of a that b lacks. */
static char *missing_args(const char *a, const char *b)
{
	struct br_text t = BR_TEXT_NULL;

	while (*a) {
		size_t n = strcspn(a, " ");

		if (n && !has_arg(b, a, n)) {
			br_text_add(&t, t.len ? " " : "");
			br_text_add_bytes(&t, a, n);
		}
		a += n + (a[n] == ' ');
	}
	return br_text_take(&t);
}

static json_t *override_json(struct br_import *im, const struct br_import_bootfile *f, const struct br_import_bootfile *base, const char *board)
{
	bool cmdline = !strcmp(f->path, "cmdline.txt");
	br_cleanup(br_freep) char *adds = cmdline ? missing_args(f->text, base->text) : NULL;
	br_cleanup(br_freep) char *lacks = cmdline ? missing_args(base->text, f->text) : NULL;
	json_t *o;

	if (lacks && lacks[0])
		br_import_say(im, BR_IMPORT_LEFT, f->at, lacks, "other boards' command lines have this and %s's has not; an override would have to be "
			"written by hand", board);
	if (cmdline && (!adds || !adds[0]))
		return NULL;
	o = json_object();
	json_object_set_new(o, "board", json_string(board));
	json_object_set_new(o, "path", json_string(f->path));
	json_object_set_new(o, cmdline ? "adds" : "text", text_json(cmdline ? adds : f->text));
	json_object_set_new(o, "why", json_string(cmdline ? "its command line has more than the others'"
							     : "it differs from the other boards'; settings that the image's own file has are to be added"));
	json_object_set_new(o, "from", place_json(im, f->at));
	return o;
}

static json_t *overrides_json(struct br_import *im, const struct br_import_board *boards, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < im->n_bootfiles; i++) {
		const struct br_import_bootfile *f = &im->bootfiles[i], *base = usual(im, f->path);
		const char *board = f->id && base != f && base && strcmp(base->text, f->text) ? board_of(f, boards, n) : NULL;
		json_t *o = board ? override_json(im, f, base, board) : NULL;

		if (o)
			json_array_append_new(list, o);
	}
	return list;
}

int br_import_plan(struct br_import *im, json_t **ret, struct br_error *err)
{
	static const char *const levels[BR_IMPORT_LEVELS] = { "conflicts", "left", "notes" };
	struct br_import_board *boards = NULL;
	json_t *plan, *list;
	size_t n = 0;
	int r = br_import_merge(im, &boards, &n);

	if (r < 0)
		return br_error_set(err, -r, "out of memory");
	plan = json_object();
	json_object_set_new(plan, "files", files_json(im));
	list = boards_json(im, boards, n);
	json_object_set_new(plan, "boards", list);
	json_object_set_new(plan, "images", images_json(boards, n, list));
	json_object_set_new(plan, "shares", shares_json(im, boards, n));
	json_object_set_new(plan, "settings", settings_json(im));
	json_object_set_new(plan, "overrides", overrides_json(im, boards, n));
	for (size_t i = 0; i < BR_IMPORT_LEVELS; i++)
		json_object_set_new(plan, levels[i], notes_json(im, i));
	br_import_boards_free(boards, n);
	*ret = plan;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What readers find, kept until it is merged. */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "fleet/fleet.h"
#include "import/internal.h"

#define NOTES_MAX 20000 /* a file full of nonsense fills no memory with words about it */

const char *const br_import_keys[BR_IK_N] = {
	[BR_IK_MAC] = "mac", [BR_IK_SERIAL] = "serial", [BR_IK_NAME] = "name", [BR_IK_ADDRESS] = "address",
	[BR_IK_MODEL] = "model", [BR_IK_IMAGE] = "image", [BR_IK_ROOT] = "root", [BR_IK_POWER] = "power",
	[BR_IK_TAGS] = "tags", [BR_IK_NOTES] = "notes",
};

struct br_import_record *br_import_record(struct br_import *im)
{
	if (im->n_records >= BR_IMPORT_RECORDS_MAX ||
		br_array_reserve(&im->records, &im->cap_records, im->n_records + 1, sizeof(im->records[0])) < 0) {
		im->no_memory = true;
		return NULL;
	}
	im->records[im->n_records] = (struct br_import_record){ 0 };
	return &im->records[im->n_records++];
}

void br_import_put(struct br_import *im, struct br_import_record *rec, enum br_import_key key, const char *text,
	struct br_import_place at)
{
	if (!rec || !text[0])
		return;
	if (rec->v[key].text) {
		if (strcmp(rec->v[key].text, text) != 0)
			br_import_say(im, BR_IMPORT_NOTE, at, text, "only the first %s counts here", br_import_keys[key]);
		return;
	}
	rec->v[key] = (struct br_import_value){ strdup(text), at };
	if (!rec->v[key].text)
		im->no_memory = true;
}

bool br_import_put_mac(struct br_import *im, struct br_import_record *rec, const char *text, struct br_import_place at)
{
	struct br_mac mac;
	char out[BR_MAC_TEXT];

	if (br_mac_parse(text, &mac) < 0 || br_mac_is_zero(mac) || (mac.b[0] & 1))
		return false;
	br_import_put(im, rec, BR_IK_MAC, br_mac_format(out, mac), at);
	return true;
}

bool br_import_is_serial(const char *text)
{
	size_t n = strlen(text);

	return (n == 8 || n == 16) && strspn(text, "0123456789abcdefABCDEF") == n;
}

bool br_import_put_serial(struct br_import *im, struct br_import_record *rec, const char *text, struct br_import_place at)
{
	char out[17];
	size_t n;

	text += br_str_starts(text, "0x") ? 2 : 0;
	if (!br_import_is_serial(text))
		return false;
	n = strlen(text);
	for (size_t i = 0; i <= n; i++)
		out[i] = (char)tolower((unsigned char)text[i]);
	br_import_put(im, rec, BR_IK_SERIAL, n == 16 && br_str_starts(out, "00000000") ? out + 8 : out, at);
	return true;
}

bool br_import_put_address(struct br_import *im, struct br_import_record *rec, const char *text, struct br_import_place at)
{
	char out[BR_IP_TEXT];
	uint32_t ip;

	if (br_ip_parse(text, &ip) < 0 || !ip || ip >> 24 == 127 || ip >= 0xe0000000)
		return false;
	br_import_put(im, rec, BR_IK_ADDRESS, br_ip_format(out, ip), at);
	return true;
}

bool br_import_put_name(struct br_import *im, struct br_import_record *rec, const char *text, struct br_import_place at)
{
	char name[BR_BOARD_NAME_MAX + 1];
	size_t n = 0, len = strcspn(text, ".");
	bool changed = false;

	for (size_t i = 0; i < len && n < BR_BOARD_NAME_MAX; i++) {
		char c = (char)tolower((unsigned char)text[i]);
		bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';

		changed |= c != text[i] || !ok;
		if (n || (ok && c != '-'))
			name[n++] = ok ? c : '-';
		else
			changed = true;
	}
	while (n && name[n - 1] == '-') {
		n--;
		changed = true;
	}
	name[n] = 0;
	if (!n || !br_board_name_ok(name))
		return false;
	if (changed && rec && !rec->v[BR_IK_NAME].text)
		br_import_say(im, BR_IMPORT_NOTE, at, text, "as a board's name it becomes %s", name);
	br_import_put(im, rec, BR_IK_NAME, name, at);
	return true;
}

void br_import_put_tags(struct br_import *im, struct br_import_record *rec, const char *text, struct br_import_place at)
{
	struct br_import_value *v = rec ? &rec->v[BR_IK_TAGS] : NULL;
	br_cleanup(br_freep) char *copy = strdup(text);
	struct br_text out = BR_TEXT_NULL;
	char *save = NULL;

	if (v && v->text)
		br_text_add(&out, v->text);
	for (char *w = copy ? strtok_r(copy, " ,;|", &save) : NULL; w; w = strtok_r(NULL, " ,;|", &save)) {
		br_text_add(&out, out.len ? " " : "");
		for (const char *p = w; *p; p++) {
			char c = (char)tolower((unsigned char)*p);

			br_text_add_bytes(&out, isalnum((unsigned char)c) || strchr("._-", c) ? &c : "-", 1);
		}
	}
	if (v && out.len) {
		free(v->text);
		*v = (struct br_import_value){ br_text_take(&out), v->text ? v->at : at };
		im->no_memory |= !v->text;
	}
	br_text_done(&out);
}

static char *safe(const char *text)
{
	char out[200];

	return strdup(br_vis(out, sizeof(out), text, strlen(text)));
}

void br_import_say(struct br_import *im, enum br_import_level level, struct br_import_place at, const char *what, const char *why, ...)
{
	struct br_text t = BR_TEXT_NULL;
	struct br_import_note *note;
	va_list ap;

	if (im->n_notes >= NOTES_MAX)
		return;
	if (br_array_reserve(&im->notes, &im->cap_notes, im->n_notes + 1, sizeof(im->notes[0])) < 0) {
		im->no_memory = true;
		return;
	}
	va_start(ap, why);
	br_text_addv(&t, why, ap);
	va_end(ap);
	note = &im->notes[im->n_notes++];
	*note = (struct br_import_note){ .level = level, .at = at, .what = safe(what), .why = br_text_take(&t) };
	if (!note->what || !note->why)
		im->no_memory = true;
	if (im->n_notes == NOTES_MAX - 1)
		br_import_say(im, level, at, "...", "there is more; so many lines are not listed");
}

void br_import_set(struct br_import *im, struct br_import_place at, const char *key, const char *value)
{
	char vis[120];

	for (size_t i = 0; i < im->n_settings; i++) {
		if (strcmp(im->settings[i].key, key) != 0)
			continue;
		if (strcmp(im->settings[i].value, value) != 0)
			br_import_say(im, BR_IMPORT_CONFLICT, at, value, "%s is %s by an earlier line, which stays", key,
				br_vis(vis, sizeof(vis), im->settings[i].value, strlen(im->settings[i].value)));
		return;
	}
	if (br_array_reserve(&im->settings, &im->cap_settings, im->n_settings + 1, sizeof(im->settings[0])) < 0) {
		im->no_memory = true;
		return;
	}
	im->settings[im->n_settings] = (struct br_import_setting){ .key = key, .value = strdup(value), .at = at };
	if (!im->settings[im->n_settings].value)
		im->no_memory = true;
	else
		im->n_settings++;
}

void br_import_add_share(struct br_import *im, struct br_import_place at, const char *dir, bool rw)
{
	if (br_array_reserve(&im->shares, &im->cap_shares, im->n_shares + 1, sizeof(im->shares[0])) < 0) {
		im->no_memory = true;
		return;
	}
	im->shares[im->n_shares] = (struct br_import_share){ .dir = strdup(dir), .rw = rw, .at = at };
	if (!im->shares[im->n_shares].dir)
		im->no_memory = true;
	else
		im->n_shares++;
}

void br_import_add_bootfile(struct br_import *im, struct br_import_place at, const char *path, const char *text, enum br_import_key key,
	const char *id)
{
	struct br_import_bootfile b = { .path = strdup(path), .text = strdup(text), .id = id ? strdup(id) : NULL, .key = key,
		.at = at };

	if (!b.path || !b.text || (id && !b.id) || im->n_bootfiles >= BR_IMPORT_RECORDS_MAX ||
		br_array_reserve(&im->bootfiles, &im->cap_bootfiles, im->n_bootfiles + 1, sizeof(im->bootfiles[0])) < 0) {
		free(b.path);
		free(b.text);
		free(b.id);
		im->no_memory = true;
		return;
	}
	im->bootfiles[im->n_bootfiles++] = b;
}

const char *br_import_place_text(const struct br_import *im, struct br_import_place at, char *out, size_t size)
{
	char vis[600];
	const char *path = at.file < im->n_files ? im->files[at.file].path : "?";

	br_vis(vis, sizeof(vis), path, strlen(path));
	if (at.line)
		snprintf(out, size, "%s:%u", vis, at.line);
	else
		snprintf(out, size, "%s", vis);
	return out;
}

void br_import_free(struct br_import *im)
{
	if (!im)
		return;
	for (size_t i = 0; i < im->n_records; i++)
		for (size_t k = 0; k < BR_IK_N; k++)
			free(im->records[i].v[k].text);
	for (size_t i = 0; i < im->n_notes; i++) {
		free(im->notes[i].what);
		free(im->notes[i].why);
	}
	for (size_t i = 0; i < im->n_settings; i++)
		free(im->settings[i].value);
	for (size_t i = 0; i < im->n_shares; i++)
		free(im->shares[i].dir);
	for (size_t i = 0; i < im->n_bootfiles; i++) {
		free(im->bootfiles[i].path);
		free(im->bootfiles[i].text);
		free(im->bootfiles[i].id);
	}
	for (size_t i = 0; i < im->n_files; i++)
		free(im->files[i].path);
	free(im->records);
	free(im->notes);
	free(im->settings);
	free(im->shares);
	free(im->bootfiles);
	free(im->files);
	free(im->root);
	free(im);
}

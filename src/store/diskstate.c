/* SPDX-License-Identifier: Apache-2.0 */
/* disk.json: what a disk is made of. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "store/disk_priv.h"

#define SNAPSHOTS_MAX 1000

void disk_state_done(struct disk_state *s)
{
	free(br_take(s->snapshots));
	s->n_snapshots = 0;
}

static bool snapshot_name_ok(const char *s)
{
	size_t n = strlen(s);

	return n && n <= BR_SNAPSHOT_NAME_MAX && s[0] != '.' && s[0] != '-' && s[0] != '_' &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == n;
}

static int parse_snapshots(const json_t *list, struct disk_state *s)
{
	size_t n = json_array_size(list);

	if (!list)
		return 0;
	if (!json_is_array(list) || n > SNAPSHOTS_MAX)
		return -EUCLEAN;
	s->snapshots = calloc(n + 1, sizeof(*s->snapshots));
	if (!s->snapshots)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct br_disk_snapshot *x = &s->snapshots[i];
		const char *name, *layer;
		json_int_t at;

		if (json_unpack(json_array_get(list, i), "{s:s, s:s, s:I}", "name", &name, "layer", &layer, "taken_at", &at) < 0 ||
			!snapshot_name_ok(name) || (*layer && !br_layer_id_ok(layer)))
			return -EUCLEAN;
		br_strcpy(x->name, sizeof(x->name), name);
		br_strcpy(x->layer, sizeof(x->layer), layer);
		x->taken_at = at;
		s->n_snapshots++;
	}
	return 0;
}

/* Format 1 has neither layers nor snapshots: a disk that never was frozen, as older programs know it. */
static int parse(const json_t *o, struct disk_state *s)
{
	const char *image, *sha256, *hex, *layer = NULL, *parent = NULL;
	json_int_t size = 0;
	int format;

	if (json_unpack((json_t *)(uintptr_t)o, "{s:i, s:s, s:s, s:s, s?s, s?s, s?I}", "format", &format, "image", &image, "sha256",
		    &sha256, "uuid", &hex, "layer", &layer, "parent", &parent, "size", &size) < 0 ||
		size < 0 || br_unhex(s->uuid, 16, hex) < 0)
		return -EUCLEAN;
	if (format != 1 && format != 2)
		return -ENOTSUP;
	br_hex(s->layer, s->uuid, 16);
	if (br_strcpy(s->image, sizeof(s->image), image) < 0 || br_strcpy(s->sha256, sizeof(s->sha256), sha256) < 0)
		return -EUCLEAN;
	if (format == 1)
		return 0;
	if (!layer || !parent || !br_layer_id_ok(layer) || (*parent && !br_layer_id_ok(parent)))
		return -EUCLEAN;
	br_strcpy(s->layer, sizeof(s->layer), layer);
	br_strcpy(s->parent, sizeof(s->parent), parent);
	s->size = (uint64_t)size;
	return parse_snapshots(json_object_get(o, "snapshots"), s);
}

int disk_state_parse(const char *text, size_t len, struct disk_state *ret)
{
	br_cleanup(json_decrefp) json_t *o = json_loadb(text, len, 0, NULL);
	struct disk_state s = { 0 };
	int r = o ? parse(o, &s) : -EUCLEAN;

	if (r < 0)
		disk_state_done(&s);
	else
		*ret = s;
	return r;
}

int disk_state_read(const char *dir, struct disk_state *ret, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_path_join(dir, "disk.json");
	br_cleanup(br_freep) char *text = NULL;
	size_t len;
	int r;

	if (!path)
		return br_error_set(err, ENOMEM, "%s: out of memory", dir);
	r = br_file_read(path, DISK_JSON_MAX, &text, &len, err);
	if (r == -ENOTDIR)
		r = -ENOENT;
	if (r < 0)
		return r;
	r = disk_state_parse(text, len, ret);
	if (r == -ENOTSUP)
		return br_error_set(err, ENOTSUP, "%s: its format is not known to this program", path);
	if (r < 0)
		return br_error_set(err, -r, r == -ENOMEM ? "%s: out of memory" : "%s: damaged; remove the disk to start afresh",
			path);
	return 0;
}

static json_t *snapshots_json(const struct disk_state *s)
{
	json_t *list = json_array();

	for (size_t i = 0; i < s->n_snapshots; i++)
		if (json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "name", s->snapshots[i].name, "layer",
						s->snapshots[i].layer, "taken_at", (json_int_t)s->snapshots[i].taken_at)) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

int disk_state_write(const char *dir, const struct disk_state *s, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_path_join(dir, "disk.json");
	br_cleanup(br_freep) char *text = NULL;
	br_cleanup(json_decrefp) json_t *o = NULL;
	bool plain;
	char hex[33];

	br_hex(hex, s->uuid, 16);
	plain = !strcmp(hex, s->layer) && !s->n_snapshots && !s->parent[0] && !s->size;
	o = json_pack("{s:i, s:s, s:s, s:s}", "format", plain ? 1 : 2, "image", s->image, "sha256", s->sha256, "uuid", hex);
	if (o && !plain) {
		json_t *more = json_pack("{s:s, s:s, s:I, s:o}", "layer", s->layer, "parent", s->parent, "size",
			(json_int_t)s->size, "snapshots", snapshots_json(s));

		if (!more || json_object_update(o, more) < 0)
			json_decref(br_take(o));
		json_decref(more);
	}
	text = o ? json_dumps(o, JSON_INDENT(2)) : NULL;
	if (!path || !text)
		return br_error_set(err, ENOMEM, "%s: out of memory", dir);
	return br_file_write(path, text, strlen(text), 0600, err);
}

/* ---- the directory ---- */

char *disk_layer_dir(const char *dir, const struct disk_state *s)
{
	char hex[33];

	br_hex(hex, s->uuid, 16);
	return strcmp(hex, s->layer) ? br_path_join(dir, s->layer) : strdup(dir);
}

void disk_sweep(const char *dir, const struct disk_state *s)
{
	static const char *const names[] = { "slots", "map", "map.new" };
	char hex[33];
	DIR *d = opendir(dir);
	struct dirent *e;

	br_hex(hex, s->uuid, 16);
	for (size_t i = 0; strcmp(hex, s->layer) && i < BR_ARRAY_SIZE(names); i++) {
		br_cleanup(br_freep) char *path = br_path_join(dir, names[i]);

		if (path)
			(void)unlink(path); /* what stays takes room, no more */
	}
	while (d && (e = readdir(d))) {
		br_cleanup(br_freep) char *path = br_path_join(dir, e->d_name);

		if (path && br_layer_id_ok(e->d_name) && strcmp(e->d_name, s->layer) != 0)
			(void)br_remove_tree(path, NULL);
	}
	if (d)
		closedir(d);
}

int disk_lock(const char *dir, int *ret_fd, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_path_join(dir, "lock");
	br_cleanup(br_closep) int fd = -1;

	if (!path)
		return br_error_set(err, ENOMEM, "%s: out of memory", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return br_error_set(err, errno, "%s: %s", path, strerrordesc_np(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return br_error_set(err, EBUSY,
				"disk %s: in use by another program; ask that one (the daemon?) or stop it", dir);
		return br_error_set(err, errno, "%s: %s", path, strerrordesc_np(errno));
	}
	*ret_fd = br_take_fd(fd);
	return 0;
}

int br_disk_layers(const char *dir, int (*fn)(void *ctx, const char *id), void *ctx, struct br_error *err)
{
	struct disk_state s = { 0 };
	struct br_error why = BR_ERROR_NULL;
	int r = disk_state_read(dir, &s, &why);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return br_error_set(err, -r, "%s", br_error_text(&why, r));
	if (s.parent[0])
		r = fn(ctx, s.parent);
	for (size_t i = 0; !r && i < s.n_snapshots; i++)
		if (s.snapshots[i].layer[0])
			r = fn(ctx, s.snapshots[i].layer);
	disk_state_done(&s);
	return r;
}

size_t br_disk_count_snapshots(const char *dir)
{
	struct disk_state s = { 0 };
	size_t n = disk_state_read(dir, &s, NULL) < 0 ? 0 : s.n_snapshots;

	disk_state_done(&s);
	return n;
}

/* Names of the layer's files; map.new is there only while the log is written anew. */
static void add_file(const char *dir, const char *name, struct br_disk_facts *f)
{
	br_cleanup(br_freep) char *path = br_path_join(dir, name);
	struct stat st;

	if (!path || stat(path, &st) < 0)
		return;
	f->stored_bytes += (uint64_t)st.st_blocks * 512;
	if (st.st_mtim.tv_sec > f->written_at)
		f->written_at = st.st_mtim.tv_sec;
}

int br_disk_facts(const char *dir, struct br_disk_facts *ret, struct br_error *err)
{
	br_cleanup(br_freep) char *layer = NULL;
	struct disk_state s = { 0 };
	int r = disk_state_read(dir, &s, err);

	if (r < 0)
		return r;
	*ret = (struct br_disk_facts){ .n_snapshots = s.n_snapshots };
	br_strcpy(ret->image, sizeof(ret->image), s.image);
	br_strcpy(ret->parent, sizeof(ret->parent), s.parent);
	layer = disk_layer_dir(dir, &s);
	if (layer) {
		add_file(layer, "slots", ret);
		add_file(layer, "map", ret);
	}
	disk_state_done(&s);
	return layer ? 0 : br_error_set(err, ENOMEM, "%s: out of memory", dir);
}

int disk_snapshot_name_check(const char *name, struct br_error *err)
{
	char vis[80];

	if (snapshot_name_ok(name))
		return 0;
	return br_error_set(err, EINVAL,
		"'%s' cannot name a snapshot: use 1 to %d letters, digits and . _ - and begin with a letter or digit",
		br_vis(vis, sizeof(vis), name, strlen(name)), BR_SNAPSHOT_NAME_MAX);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Frozen layers: stored, stacked, named by their content. */
#include "store/layer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/state.h"
#include "base/text.h"
#include "store/cow_priv.h"
#include "store/store.h"

#define JSON_MAX 65536

BR_DEFINE_CLEANUP(struct br_cow *, br_cow_close);

bool br_layer_id_ok(const char *id)
{
	return strlen(id) == BR_LAYER_ID - 1 && strspn(id, "0123456789abcdef") == BR_LAYER_ID - 1;
}

char *br_layer_path(const struct br_store *store, const char *id)
{
	return br_asprintf("%s/layers/%s", store->state_dir, id);
}

/* ---- layer.json ---- */

static int take(const json_t *j, const char *key, bool (*ok)(const char *), bool optional, char *ret, size_t size)
{
	const char *s = json_string_value(json_object_get(j, key));

	if (!s || (optional && !*s))
		return s || optional ? br_strcpy(ret, size, "") : -EUCLEAN;
	return ok(s) ? br_strcpy(ret, size, s) : -EUCLEAN;
}

static bool sha256_ok(const char *s)
{
	return strlen(s) == BR_SHA256_HEX - 1 && strspn(s, "0123456789abcdef") == BR_SHA256_HEX - 1;
}

int br_layer_parse(const char *text, size_t len, struct br_layer *ret)
{
	br_cleanup(json_decrefp) json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	struct br_layer l = { 0 };
	json_int_t size, at, map_bytes = 0;
	int format, r;

	if (json_unpack(j, "{s:i, s:I, s:I, s?I}", "format", &format, "size", &size, "frozen_at", &at, "map_bytes", &map_bytes) < 0 ||
		size <= 0 || map_bytes < 0)
		return -EUCLEAN;
	if (format != 1)
		return -ENOTSUP;
	l.size = (uint64_t)size;
	l.frozen_at = at;
	l.map_bytes = (uint64_t)map_bytes;
	r = take(j, "id", br_layer_id_ok, false, l.id, sizeof(l.id));
	if (!r)
		r = take(j, "parent", br_layer_id_ok, true, l.parent, sizeof(l.parent));
	if (!r)
		r = take(j, "base", sha256_ok, false, l.base, sizeof(l.base));
	if (!r)
		r = take(j, "content", sha256_ok, true, l.content, sizeof(l.content));
	if (!r)
		*ret = l;
	return r;
}

static int write_json(const char *dir, const struct br_layer *l, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_path_join(dir, "layer.json");
	br_cleanup(json_decrefp) json_t *j = json_pack("{s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:s}", "format", 1, "id", l->id,
		"parent", l->parent, "base", l->base, "size", (json_int_t)l->size, "frozen_at", (json_int_t)l->frozen_at,
		"map_bytes", (json_int_t)l->map_bytes, "content", l->content);
	br_cleanup(br_freep) char *text = j ? json_dumps(j, JSON_INDENT(2)) : NULL;

	if (!path || !text)
		return br_error_set(err, ENOMEM, "layer %s: out of memory", l->id);
	return br_file_write(path, text, strlen(text), 0600, err);
}

int br_layer_read(const struct br_store *store, const char *id, struct br_layer *ret, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = br_layer_path(store, id);
	br_cleanup(br_freep) char *path = dir ? br_path_join(dir, "layer.json") : NULL;
	br_cleanup(br_freep) char *text = NULL;
	struct br_layer l;
	size_t len;
	int r;

	if (!br_layer_id_ok(id))
		return br_error_set(err, EUCLEAN, "a frozen layer is named that cannot be; the state directory is damaged");
	if (!path)
		return br_error_set(err, ENOMEM, "layer %s: out of memory", id);
	r = br_file_read(path, JSON_MAX, &text, &len, err);
	if (r == -ENOENT)
		return br_error_set(err, EUCLEAN, "%s: this frozen layer is missing; restore it from a backup of the state directory",
			dir);
	if (r < 0)
		return r;
	r = br_layer_parse(text, len, &l);
	if (r < 0 || strcmp(l.id, id) != 0)
		return br_error_set(err, r == -ENOTSUP ? ENOTSUP : EUCLEAN, "%s: %s", path,
			r == -ENOTSUP ? "its format is not known to this program"
				      : "damaged; restore it from a backup of the state directory");
	*ret = l;
	return 0;
}

/* ---- publishing ---- */

static int link_files(const char *from, const char *to, struct br_error *err)
{
	static const char *const names[] = { "slots", "map" };

	for (size_t i = 0; i < BR_ARRAY_SIZE(names); i++) {
		br_cleanup(br_freep) char *a = br_path_join(from, names[i]);
		br_cleanup(br_freep) char *b = br_path_join(to, names[i]);

		if (!a || !b)
			return br_error_set(err, ENOMEM, "%s: out of memory", from);
		if (link(a, b) < 0)
			return br_error_set(err, errno, "%s: cannot be linked into %s: %m", a, to);
	}
	return 0;
}

/* The hidden directory gets its name. Store locked. */
static int put_in_place(struct br_store *store, const char *fresh, const char *path, const char *layers,
	struct br_error *err)
{
	int r;

	if (!access(path, F_OK)) {
		r = br_store_discard(store, path, err);
		if (r < 0)
			return r;
	}
	if (rename(fresh, path) < 0)
		return br_error_set(err, errno, "%s: cannot rename to %s: %m", fresh, path);
	r = br_sync_dir(layers);
	return r < 0 ? br_error_set(err, -r, "%s: cannot make it stable: %s", layers, strerrordesc_np(-r)) : 0;
}

int br_layer_publish(struct br_store *store, const char *dir, const struct br_layer *layer, struct br_error *err)
{
	br_cleanup(br_freep) char *layers = br_path_join(store->state_dir, "layers");
	br_cleanup(br_freep) char *path = br_layer_path(store, layer->id);
	br_cleanup(br_freep) char *fresh = layers ? br_path_join(layers, ".new-XXXXXX") : NULL;
	bool made;
	int r;

	if (!layers || !path || !fresh)
		return br_error_set(err, ENOMEM, "layer %s: out of memory", layer->id);
	made = access(layers, F_OK) < 0;
	r = br_mkdir_all(layers, 0700, err);
	if (!r && made) {
		r = br_state_own(store->state_dir, layers, err);
		if (!r && br_sync_dir(store->state_dir) < 0)
			r = br_error_set(err, EIO, "%s: cannot make it stable", store->state_dir);
	}
	if (r < 0)
		return r;
	if (!mkdtemp(fresh))
		return br_error_set(err, errno, "%s: cannot make a directory: %m", layers);
	r = link_files(dir, fresh, err);
	if (!r)
		r = write_json(fresh, layer, err);
	if (!r)
		r = put_in_place(store, fresh, path, layers, err);
	if (r < 0)
		(void)br_remove_tree(fresh, NULL); /* else the next one who opens the store does it */
	return r;
}

/* ---- the chain ---- */

static int cut(const char *dir, const struct br_layer *l, uint64_t bytes, struct br_error *err)
{
	return br_error_set(err, EUCLEAN,
		"%s/map: has %" PRIu64 " of %" PRIu64 " bytes: the end is missing; restore it from a backup of the state directory", dir,
		bytes, l->map_bytes);
}

/* A map that ends between two records would look like a whole one. */
static int check_length(const char *dir, const struct br_layer *l, struct br_error *err)
{
	br_cleanup(br_freep) char *map = br_path_join(dir, "map");
	struct stat st;

	if (!map || stat(map, &st) < 0)
		return map && errno == ENOENT ? 0 : br_error_set(err, map ? errno : ENOMEM, "%s/map: %m", dir); /* who opens it says so */
	return (uint64_t)st.st_size < l->map_bytes ? cut(dir, l, (uint64_t)st.st_size, err) : 0;
}

/* Calls fn for each layer from id down to stop. */
static int walk(struct br_store *store, const char *id, const char *stop,
	int (*fn)(void *ctx, const struct br_layer *l, struct br_error *err), void *ctx, struct br_error *err)
{
	char next[BR_LAYER_ID];

	if (br_strcpy(next, sizeof(next), id) < 0)
		return br_error_set(err, EUCLEAN, "a frozen layer is named that cannot be; the state directory is damaged");
	for (unsigned n = 0; strcmp(next, stop) != 0; n++) {
		struct br_layer l;
		int r;

		if (!next[0] || n > BR_BLOCKS_LAYERS_MAX)
			return br_error_set(err, EUCLEAN,
				"layer %s: does not lead to the image it should; the state directory is damaged", id);
		r = br_layer_read(store, next, &l, err);
		if (!r)
			r = fn(ctx, &l, err);
		if (r < 0)
			return r;
		memcpy(next, l.parent, sizeof(next));
	}
	return 0;
}

struct chain {
	struct br_layer l[BR_BLOCKS_LAYERS_MAX + 1];
	unsigned n;
};

static int collect(void *ctx, const struct br_layer *l, struct br_error *err)
{
	struct chain *c = ctx;

	if (c->n == BR_ARRAY_SIZE(c->l))
		return br_error_set(err, EUCLEAN, "layer %s: too many layers below it", c->l[0].id);
	c->l[c->n++] = *l;
	return 0;
}

int br_layer_stack(struct br_store *store, const char *id, const char *stop, struct br_blocks *under,
	struct br_blocks **ret, struct br_error *err)
{
	br_cleanup(br_freep) struct chain *c = calloc(1, sizeof(*c));
	struct br_blocks *b;
	int r = c ? walk(store, id, stop, collect, c, err) : br_error_set(err, ENOMEM, "layer %s: out of memory", id);

	if (r < 0)
		return r;
	b = br_blocks_ref(under);
	while (!r && c->n) {
		const struct br_layer *l = &c->l[--c->n];
		br_cleanup(br_freep) char *dir = br_layer_path(store, l->id);
		struct br_blocks *over;
		uint8_t uuid[16];

		if (!dir || br_unhex(uuid, sizeof(uuid), l->id) < 0)
			r = br_error_set(err, ENOMEM, "layer %s: out of memory", l->id);
		if (!r)
			r = check_length(dir, l, err);
		if (!r)
			r = br_blocks_over(b, dir, uuid, l->size, &over, err);
		if (r < 0)
			break;
		br_blocks_unref(b);
		b = over;
	}
	if (r < 0)
		br_blocks_unref(b);
	else
		*ret = b;
	return r;
}

/* ---- what is in them ---- */

static int open_alone(struct br_store *store, const struct br_layer *l, struct br_cow **ret, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = br_layer_path(store, l->id);
	uint8_t uuid[16];
	int r;

	if (!dir || br_unhex(uuid, sizeof(uuid), l->id) < 0)
		return br_error_set(err, ENOMEM, "layer %s: out of memory", l->id);
	r = check_length(dir, l, err);
	return r < 0 ? r : cow_open_frozen(dir, uuid, l->size, ret, err);
}

static int hash_blocks(struct br_sha256 *h, const struct br_cow *cow)
{
	uint8_t buf[4 + BR_COW_BLOCK];

	for (uint32_t b = 0; b < cow->n_blocks; b++) {
		uint32_t v;
		int r;

		if (!cow->leaves[b / COW_LEAF]) {
			b |= COW_LEAF - 1;
			continue;
		}
		v = cow_get(cow, b);
		if (!v)
			continue;
		br_store_le32(buf, b);
		r = br_pread_all(cow->slots.fd, buf + 4, BR_COW_BLOCK, (uint64_t)(v - 1) * BR_COW_BLOCK);
		if (r < 0)
			return r;
		br_sha256_add(h, buf, sizeof(buf));
	}
	return 0;
}

static int find_content(struct br_store *store, struct br_layer *l, const char *below, struct br_error *err)
{
	static const char magic[] = "bramble layer 1\n";
	br_cleanup(br_freep) char *dir = br_layer_path(store, l->id);
	br_cleanup(br_cow_closep) struct br_cow *cow = NULL;
	struct br_sha256 *h;
	uint8_t digest[32], size[8];
	int r = open_alone(store, l, &cow, err);

	if (r < 0)
		return r;
	h = br_sha256_new();
	if (!h || !dir) {
		br_sha256_free(h);
		return br_error_set(err, ENOMEM, "layer %s: out of memory", l->id);
	}
	br_store_le64(size, l->size);
	br_sha256_add(h, magic, sizeof(magic) - 1);
	br_sha256_add(h, below, BR_SHA256_HEX - 1);
	br_sha256_add(h, size, sizeof(size));
	r = hash_blocks(h, cow);
	br_sha256_end(h, digest);
	if (r < 0)
		return br_error_set(err, -r, "%s/slots: cannot read: %s", dir, strerrordesc_np(-r));
	br_hex(l->content, digest, sizeof(digest));
	return write_json(dir, l, err);
}

int br_layer_content(struct br_store *store, const char *id, char ret[static BR_SHA256_HEX], struct br_error *err)
{
	br_cleanup(br_freep) struct chain *c = calloc(1, sizeof(*c));
	int r = c ? walk(store, id, "", collect, c, err) : br_error_set(err, ENOMEM, "layer %s: out of memory", id);
	const char *below;

	if (r < 0)
		return r;
	if (!c->n)
		return br_error_set(err, EINVAL, "no layer is named");
	below = c->l[c->n - 1].base;
	for (unsigned i = c->n; i-- > 0;) {
		r = c->l[i].content[0] ? 0 : find_content(store, &c->l[i], below, err);
		if (r < 0)
			return r;
		below = c->l[i].content;
	}
	memcpy(ret, below, BR_SHA256_HEX);
	return 0;
}

struct measure {
	struct br_store *store;
	uint64_t bytes;
	unsigned depth;
};

static int add_measure(void *ctx, const struct br_layer *l, struct br_error *err)
{
	struct measure *m = ctx;
	br_cleanup(br_cow_closep) struct br_cow *cow = NULL;
	int r = open_alone(m->store, l, &cow, err);

	if (r < 0)
		return r;
	m->bytes += (uint64_t)cow->n_mapped * BR_COW_BLOCK;
	m->depth++;
	return 0;
}

int br_layer_measure(struct br_store *store, const char *id, const char *stop, uint64_t *ret_bytes, unsigned *ret_depth,
	struct br_error *err)
{
	struct measure m = { .store = store };
	int r = walk(store, id, stop, add_measure, &m, err);

	if (r < 0)
		return r;
	*ret_bytes = m.bytes;
	*ret_depth = m.depth;
	return 0;
}

int br_layer_list(const struct br_store *store, int (*fn)(void *ctx, const char *id), void *ctx, struct br_error *err)
{
	br_cleanup(br_freep) char *layers = br_path_join(store->state_dir, "layers");
	struct dirent *e;
	DIR *d;
	int r = 0;

	if (!layers)
		return br_error_set(err, ENOMEM, "out of memory");
	d = opendir(layers);
	if (!d)
		return errno == ENOENT ? 0 : br_error_set(err, errno, "%s: cannot read: %m", layers);
	while (!r && (e = readdir(d)))
		if (br_layer_id_ok(e->d_name))
			r = fn(ctx, e->d_name);
	closedir(d);
	return r < 0 ? br_error_set(err, -r, "%s: %s", layers, strerrordesc_np(-r)) : r;
}

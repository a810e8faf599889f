/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FAT12/16/32 read from memory, after Microsoft's "FAT: General Overview of On-Disk Format"
 * and what Linux and dosfstools do where the two differ. The table is read in place; a bitmap
 * of the clusters already used ends every loop and bounds the whole work by the size of the
 * partition.
 */
#include "store/fat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/text.h"

#define DIR_BYTES_MAX (65536 * 32) /* the specification's limit */
#define NAME_BYTES_MAX (16 << 20)  /* of all paths together */
#define DAMAGED_TOLD 3
#define LFN_PARTS 20
#define LFN_UNITS 13

enum {
	ATTR_VOLUME = 0x08,
	ATTR_DIR = 0x10,
	ATTR_LFN = 0x0f,
	ATTR_MASK = 0x3f,
	NT_LOWER_BASE = 0x08, /* how Windows NT keeps "config.txt" without a long name */
	NT_LOWER_EXT = 0x10,
};

struct node {
	struct br_fat_entry e;
	uint32_t cluster;
	uint32_t first_child, n_children; /* its children are neighbours in 'nodes' */
	size_t span_at;
	unsigned depth;
};

struct chunk { /* names live in chunks that never move */
	struct chunk *next;
	size_t used, size;
	char bytes[];
};

struct br_fat {
	const uint8_t *data;
	size_t len;
	unsigned bits;
	uint32_t cluster_bytes, n_clusters; /* clusters 2 .. n_clusters + 1 lie wholly in data */
	size_t fat_at, clusters_at;
	size_t root_at, root_bytes; /* FAT12/16: the root is not in clusters */
	uint32_t root_cluster;
	char label[12];

	struct node *nodes; /* [0] is the root; breadth first, each directory sorted */
	size_t n_nodes, nodes_cap;
	struct br_span *spans;
	size_t n_spans, spans_cap;
	const struct br_fat_entry **order; /* all but the root, by path */
	uint32_t *hash;			   /* node number, 0: free */
	size_t hash_mask;
	uint64_t hash_seed; /* an image must not choose its collisions */
	struct chunk *names;
	size_t name_bytes;

	size_t n_damaged;
	struct br_text damaged;
	uint8_t *seen; /* one bit a cluster; only while opening */
};

/* Where a directory's bytes are. */
struct extent {
	const struct br_span *spans;
	size_t n;
};

struct lfn {
	uint16_t units[LFN_PARTS * LFN_UNITS];
	unsigned parts, next; /* next: sequence number that must come, 0 when whole */
	uint8_t checksum;
	bool valid;
};

/* ---- names ---- */

static char *keep_name(struct br_fat *fat, const char *s, size_t n)
{
	struct chunk *c = fat->names;
	char *p;

	if (!c || c->size - c->used < n + 1) {
		size_t size = 16384;

		c = malloc(sizeof(*c) + size);
		if (!c)
			return NULL;
		*c = (struct chunk){ .next = fat->names, .size = size };
		fat->names = c;
	}
	p = c->bytes + c->used;
	memcpy(p, s, n);
	p[n] = 0;
	c->used += n + 1;
	fat->name_bytes += n + 1;
	return p;
}

__attribute__((format(printf, 3, 4))) static void damaged(
	struct br_fat *fat, const char *path, const char *fmt, ...)
{
	va_list ap;

	if (fat->n_damaged++ >= DAMAGED_TOLD)
		return;
	if (fat->damaged.len)
		br_text_add(&fat->damaged, "; ");
	br_text_add_vis(&fat->damaged, path, strlen(path));
	br_text_add(&fat->damaged, ": ");
	va_start(ap, fmt);
	br_text_addv(&fat->damaged, fmt, ap);
	va_end(ap);
}

/* ---- clusters ---- */

static bool valid_cluster(const struct br_fat *fat, uint32_t c)
{
	return c >= 2 && c - 2 < fat->n_clusters;
}

/* c is valid, so its entry lies in the table: geometry() saw to that. */
static uint32_t next_cluster(const struct br_fat *fat, uint32_t c)
{
	const uint8_t *table = fat->data + fat->fat_at;

	if (fat->bits == 32)
		return br_load_le32(table + 4 * (size_t)c) & 0x0fffffff;
	if (fat->bits == 16)
		return br_load_le16(table + 2 * (size_t)c);
	return c & 1 ? br_load_le16(table + c + c / 2) >> 4 : br_load_le16(table + c + c / 2) & 0xfff;
}

static bool is_end(const struct br_fat *fat, uint32_t c)
{
	static const uint32_t end[] = { [12] = 0xff8, [16] = 0xfff8, [32] = 0x0ffffff8 };

	return c >= end[fat->bits];
}

static bool see(struct br_fat *fat, uint32_t c)
{
	uint8_t *p = &fat->seen[(c - 2) / 8], bit = (uint8_t)(1u << ((c - 2) % 8));

	if (*p & bit)
		return false;
	*p |= bit;
	return true;
}

static int add_span(struct br_fat *fat, size_t first, const uint8_t *data, size_t len)
{
	struct br_span *last = fat->n_spans > first ? &fat->spans[fat->n_spans - 1] : NULL;
	int r;

	if (last && last->data + last->len == data) {
		last->len += len;
		return 0;
	}
	r = br_array_reserve(&fat->spans, &fat->spans_cap, fat->n_spans + 1, sizeof(*fat->spans));
	if (r < 0)
		return r;
	fat->spans[fat->n_spans++] = (struct br_span){ .data = data, .len = len };
	return 0;
}

/*
 * Collects the chain at c as spans: up to 'size' bytes, all of which must be there when 'exact'.
 * Positive: the chain is damaged as *ret_why says; what was good of it is there.
 */
static int chain(struct br_fat *fat, uint32_t c, uint64_t size, bool exact, const char **ret_why)
{
	size_t first = fat->n_spans;
	uint64_t left = size;

	while (left && !is_end(fat, c)) {
		size_t n = left < fat->cluster_bytes ? (size_t)left : fat->cluster_bytes;
		int r;

		if (!valid_cluster(fat, c)) {
			*ret_why = "its cluster chain leaves the partition";
			return 1;
		}
		if (!see(fat, c)) {
			*ret_why = "its cluster chain loops or is shared with another file";
			return 1;
		}
		r = add_span(fat, first, fat->data + fat->clusters_at + (uint64_t)(c - 2) * fat->cluster_bytes, n);
		if (r < 0)
			return r;
		left -= n;
		c = next_cluster(fat, c);
	}
	if (left && exact) {
		*ret_why = "its cluster chain is shorter than its size";
		return 1;
	}
	return 0;
}

/* ---- names ---- */

static size_t put_utf8(char *out, uint32_t u)
{
	if (u < 0x80) {
		out[0] = (char)u;
		return 1;
	}
	if (u < 0x800) {
		out[0] = (char)(0xc0 | u >> 6);
		out[1] = (char)(0x80 | (u & 0x3f));
		return 2;
	}
	if (u < 0x10000) {
		out[0] = (char)(0xe0 | u >> 12);
		out[1] = (char)(0x80 | (u >> 6 & 0x3f));
		out[2] = (char)(0x80 | (u & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | u >> 18);
	out[1] = (char)(0x80 | (u >> 12 & 0x3f));
	out[2] = (char)(0x80 | (u >> 6 & 0x3f));
	out[3] = (char)(0x80 | (u & 0x3f));
	return 4;
}

/* out has 3 bytes for each of the 260 units and the NUL. */
static void long_name(const struct lfn *lfn, char *out)
{
	unsigned n = lfn->parts * LFN_UNITS;
	size_t len = 0;

	for (unsigned i = 0; i < n && lfn->units[i]; i++) {
		uint32_t u = lfn->units[i];

		if (u >= 0xd800 && u < 0xdc00 && i + 1 < n && lfn->units[i + 1] >= 0xdc00 &&
			lfn->units[i + 1] < 0xe000) {
			u = 0x10000 + ((u - 0xd800) << 10) + (lfn->units[i + 1] - 0xdc00u);
			i++;
		} else if (u >= 0xd800 && u < 0xe000) {
			u = 0xfffd;
		}
		len += put_utf8(out + len, u);
	}
	out[len] = 0;
}

static size_t short_part(char *out, const uint8_t *p, size_t n, bool lower)
{
	size_t len = 0;

	while (n && p[n - 1] == ' ')
		n--;
	for (size_t i = 0; i < n; i++) {
		uint8_t c = p[i];

		if (lower && c >= 'A' && c <= 'Z')
			c |= 0x20;
		/* the code page is nowhere written down: Latin-1 gives at least valid text */
		len += put_utf8(out + len, c);
	}
	return len;
}

static void short_name(const uint8_t *e, char *out)
{
	uint8_t base[8];
	size_t len, ext;

	memcpy(base, e, 8);
	if (base[0] == 0x05) /* stands for 0xe5, which would mean 'deleted' */
		base[0] = 0xe5;
	len = short_part(out, base, 8, e[12] & NT_LOWER_BASE);
	ext = short_part(out + len + 1, e + 8, 3, e[12] & NT_LOWER_EXT);
	if (ext) {
		out[len] = '.';
		len += 1 + ext;
	}
	out[len] = 0;
}

static uint8_t short_checksum(const uint8_t *e)
{
	uint8_t sum = 0;

	for (int i = 0; i < 11; i++)
		sum = (uint8_t)((sum >> 1 | sum << 7) + e[i]);
	return sum;
}

/* A part of a long name: they come last part first, each with the checksum of the short name. */
static void add_lfn(struct lfn *lfn, const uint8_t *e)
{
	static const uint8_t at[LFN_UNITS] = { 1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30 };
	unsigned seq = e[0] & 0x3f;
	uint16_t *u;

	if (e[0] & 0x40)
		*lfn = (struct lfn){ .parts = seq, .next = seq, .checksum = e[13], .valid = true };
	if (!lfn->valid || !seq || seq > LFN_PARTS || seq != lfn->next || e[13] != lfn->checksum) {
		lfn->valid = false;
		return;
	}
	u = &lfn->units[(seq - 1) * LFN_UNITS];
	for (unsigned i = 0; i < LFN_UNITS; i++)
		u[i] = br_load_le16(e + at[i]);
	lfn->next--;
}

static bool good_name(const char *s)
{
	if (!*s || !strcmp(s, ".") || !strcmp(s, ".."))
		return false;
	for (; *s; s++)
		if ((uint8_t)*s < 0x20 || *s == 0x7f || *s == '/' || *s == '\\')
			return false;
	return true;
}

/* ---- directories ---- */

static int64_t dos_time(uint16_t date, uint16_t time)
{
	int64_t y = 1980 + (date >> 9), m = date >> 5 & 15, d = date & 31;
	int64_t era, doy, days;

	if (m < 1 || m > 12 || d < 1)
		return 0;
	/* days since 1970 by the civil calendar, years counted from March */
	y -= m <= 2;
	era = y / 400;
	doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
	days = era * 146097 + (y % 400) * 365 + (y % 400) / 4 - (y % 400) / 100 + doy - 719468;
	return days * 86400 + (time >> 11) * 3600 + (time >> 5 & 63) * 60 + (time & 31) * 2;
}

static int add_path(struct br_fat *fat, size_t parent, const char *name, struct node *node,
	struct br_error *err)
{
	const char *dir = fat->nodes[parent].e.path;
	char path[BR_FAT_PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s%s%s", dir, *dir ? "/" : "", name);

	if (n >= (int)sizeof(path)) {
		damaged(fat, dir, "a path in it is longer than %d bytes", BR_FAT_PATH_MAX - 1);
		return 1;
	}
	if (fat->n_nodes >= BR_FAT_ENTRIES_MAX || fat->name_bytes + (size_t)n > NAME_BYTES_MAX)
		return br_error_set(err, EFBIG,
			"boot partition: more than %d entries; no board's firmware needs as many: the file system is damaged",
			BR_FAT_ENTRIES_MAX);
	node->e.path = keep_name(fat, path, (size_t)n);
	return node->e.path ? 0 : -ENOMEM;
}

static int add_entry(struct br_fat *fat, size_t parent, const uint8_t *e, const struct lfn *lfn,
	struct br_error *err)
{
	char name[LFN_PARTS * LFN_UNITS * 3 + 1];
	struct node node = {
		.e.is_dir = e[11] & ATTR_DIR,
		.e.mtime = dos_time(br_load_le16(e + 24), br_load_le16(e + 22)),
		.cluster = br_load_le16(e + 26),
		.depth = fat->nodes[parent].depth + 1,
		.span_at = fat->n_spans,
	};
	const char *why = NULL;
	int r;

	if (fat->bits == 32)
		node.cluster |= ((uint32_t)br_load_le16(e + 20) & 0xfff) << 16;
	if (lfn->valid && !lfn->next && lfn->checksum == short_checksum(e))
		long_name(lfn, name);
	else
		short_name(e, name);
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return 0;
	if (!good_name(name)) {
		damaged(fat, name, "not a possible file name");
		return 0;
	}
	r = add_path(fat, parent, name, &node, err);
	if (r)
		return r < 0 ? r : 0;
	if (!node.e.is_dir) {
		node.e.size = br_load_le32(e + 28);
		r = chain(fat, node.cluster, node.e.size, true, &why);
		if (r < 0)
			return r;
		if (r > 0) {
			fat->n_spans = node.span_at;
			damaged(fat, node.e.path, "%s", why);
			return 0;
		}
		node.e.n_spans = fat->n_spans - node.span_at;
	}
	r = br_array_reserve(&fat->nodes, &fat->nodes_cap, fat->n_nodes + 1, sizeof(*fat->nodes));
	if (r < 0)
		return r;
	fat->nodes[fat->n_nodes++] = node;
	return 0;
}

static void take_label(struct br_fat *fat, const uint8_t *p)
{
	size_t n = 11;

	while (n && p[n - 1] == ' ')
		n--;
	for (size_t i = 0; i < n; i++)
		fat->label[i] = p[i] >= 0x20 && p[i] < 0x7f ? (char)p[i] : '?';
	fat->label[n] = 0;
}

/* One 32-byte entry. Positive: the end of the directory. */
static int take_raw(struct br_fat *fat, size_t dir, const uint8_t *e, struct lfn *lfn, struct br_error *err)
{
	int r = 0;

	if (!e[0])
		return 1;
	if (e[0] != 0xe5 && (e[11] & ATTR_MASK) == ATTR_LFN) {
		add_lfn(lfn, e);
		return 0;
	}
	if (e[0] == 0xe5)
		;
	else if (e[11] & ATTR_VOLUME) {
		if (!dir)
			take_label(fat, e);
	} else {
		r = add_entry(fat, dir, e, lfn, err);
	}
	lfn->valid = false;
	return r;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct node *)a)->e.path, ((const struct node *)b)->e.path);
}

static int read_extent(struct br_fat *fat, size_t dir, const struct br_span *spans, size_t n, struct br_error *err)
{
	struct lfn lfn = { .valid = false };

	fat->nodes[dir].first_child = (uint32_t)fat->n_nodes;
	for (size_t i = 0; i < n; i++) {
		for (size_t at = 0; at + 32 <= spans[i].len; at += 32) {
			int r = take_raw(fat, dir, spans[i].data + at, &lfn, err);

			if (r < 0)
				return r;
			if (r > 0)
				return 0;
		}
	}
	return 0;
}

/* Adds the children of a directory behind all nodes. */
static int read_dir(struct br_fat *fat, size_t dir, struct br_error *err)
{
	struct node *node = &fat->nodes[dir];
	size_t first = fat->n_spans, n;
	br_cleanup(br_freep) struct br_span *spans = NULL;
	const char *why = NULL;
	int r = 0;

	if (!dir && fat->bits != 32)
		r = add_span(fat, first, fat->data + fat->root_at, fat->root_bytes);
	else
		r = chain(fat, node->cluster, DIR_BYTES_MAX, false, &why);
	if (r > 0)
		damaged(fat, dir ? node->e.path : "/", "%s", why);
	if (r < 0)
		return r;
	/* the list of spans is only needed now: give its place to the files in it */
	n = fat->n_spans - first;
	fat->n_spans = first;
	if (!n)
		return 0;
	spans = malloc(n * sizeof(*spans));
	if (!spans)
		return -ENOMEM;
	memcpy(spans, fat->spans + first, n * sizeof(*spans));
	r = read_extent(fat, dir, spans, n, err);
	node = &fat->nodes[dir]; /* it may have moved */
	node->n_children = (uint32_t)(fat->n_nodes - node->first_child);
	if (!r && node->n_children)
		qsort(fat->nodes + node->first_child, node->n_children, sizeof(*node), by_path);
	return r;
}

static int read_tree(struct br_fat *fat, struct br_error *err)
{
	int r = br_array_reserve(&fat->nodes, &fat->nodes_cap, 1, sizeof(*fat->nodes));

	if (r < 0)
		return r;
	fat->nodes[0] = (struct node){ .e = { .path = "", .is_dir = true }, .cluster = fat->root_cluster };
	fat->n_nodes = 1;
	for (size_t i = 0; i < fat->n_nodes; i++) {
		if (!fat->nodes[i].e.is_dir)
			continue;
		if (fat->nodes[i].depth >= BR_FAT_DEPTH_MAX) {
			damaged(fat, fat->nodes[i].e.path, "more than %d directories deep", BR_FAT_DEPTH_MAX);
			continue;
		}
		r = read_dir(fat, i, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- index ---- */

static uint8_t lower(char c)
{
	return (uint8_t)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static uint64_t hash_path(const struct br_fat *fat, const char *s)
{
	uint64_t h = fat->hash_seed;

	for (; *s; s++)
		h = (h ^ lower(*s)) * 0x100000001b3;
	return h ^ h >> 32;
}

static bool same_path(const char *a, const char *b)
{
	while (*a && lower(*a) == lower(*b)) {
		a++;
		b++;
	}
	return lower(*a) == lower(*b);
}

/* The slot of this path, or the free one where it belongs. */
static uint32_t *slot_of(const struct br_fat *fat, const char *path)
{
	size_t i = hash_path(fat, path) & fat->hash_mask;

	while (fat->hash[i] && !same_path(fat->nodes[fat->hash[i]].e.path, path))
		i = (i + 1) & fat->hash_mask;
	return &fat->hash[i];
}

static int by_pointed_path(const void *a, const void *b)
{
	return strcmp((*(const struct br_fat_entry *const *)a)->path, (*(const struct br_fat_entry *const *)b)->path);
}

static int make_index(struct br_fat *fat)
{
	size_t size = 16;

	while (size < fat->n_nodes * 2)
		size *= 2;
	fat->hash = calloc(size, sizeof(*fat->hash));
	fat->order = malloc(fat->n_nodes * sizeof(struct br_fat_entry *));
	if (!fat->hash || !fat->order)
		return -ENOMEM;
	fat->hash_mask = size - 1;
	br_random(&fat->hash_seed, sizeof(fat->hash_seed));
	for (uint32_t i = 0; i < fat->n_nodes; i++) {
		struct node *n = &fat->nodes[i];
		uint32_t *slot = i ? slot_of(fat, n->e.path) : NULL;

		n->e.spans = n->e.n_spans ? fat->spans + n->span_at : NULL;
		if (slot && *slot)
			damaged(fat, n->e.path, "its name is there twice; the other one is used");
		else if (slot)
			*slot = i;
		if (i)
			fat->order[i - 1] = &n->e;
	}
	qsort(fat->order, fat->n_nodes - 1, sizeof(struct br_fat_entry *), by_pointed_path);
	return 0;
}

/* ---- the boot sector ---- */

struct geometry {
	uint32_t sector, cluster_sectors, reserved, n_fats, root_entries;
	uint64_t fat_sectors, total_sectors;
};

static int read_bpb(const uint8_t *p, struct geometry *g, struct br_error *err)
{
	g->sector = br_load_le16(p + 11);
	g->cluster_sectors = p[13];
	g->reserved = br_load_le16(p + 14);
	g->n_fats = p[16];
	g->root_entries = br_load_le16(p + 17);
	g->total_sectors = br_load_le16(p + 19) ? br_load_le16(p + 19) : br_load_le32(p + 32);
	g->fat_sectors = br_load_le16(p + 22) ? br_load_le16(p + 22) : br_load_le32(p + 36);
	if (!memcmp(p + 3, "EXFAT   ", 8))
		return br_error_set(err, ENOTSUP,
			"boot partition: it is exFAT, which no Raspberry Pi boots from; format it as FAT32");
	if (g->sector < 512 || g->sector > 4096 || g->sector & (g->sector - 1) || !g->cluster_sectors ||
		g->cluster_sectors & (g->cluster_sectors - 1) || !g->reserved || !g->n_fats || g->n_fats > 4 ||
		!g->fat_sectors || !g->total_sectors || (p[21] != 0xf0 && p[21] < 0xf8))
		return br_error_set(err, EBADMSG,
			"boot partition: no FAT file system (its boot sector makes no sense); the image is damaged or not for a Raspberry Pi");
	return 0;
}

static int fat_bits(const uint8_t *p, uint64_t clusters)
{
	/* as Linux and mtools: dosfstools makes FAT32 with fewer clusters than Microsoft allows */
	if (!br_load_le16(p + 22))
		return 32;
	return clusters < 4085 ? 12 : 16;
}

static int geometry(struct br_fat *fat, struct br_error *err)
{
	const uint8_t *p = fat->data;
	struct geometry g;
	uint64_t fat_bytes, meta, clusters, in_table, there;
	int r;

	if (fat->len < 512)
		return br_error_set(err, EBADMSG, "boot partition: only %zu bytes, too small for a file system", fat->len);
	r = read_bpb(p, &g, err);
	if (r < 0)
		return r;
	fat->cluster_bytes = g.sector * g.cluster_sectors;
	fat_bytes = g.fat_sectors * g.sector;
	fat->fat_at = (size_t)g.reserved * g.sector;
	fat->root_bytes = (size_t)g.root_entries * 32;
	meta = g.reserved + g.n_fats * g.fat_sectors + (fat->root_bytes + g.sector - 1) / g.sector;
	if (meta >= g.total_sectors || meta * g.sector >= fat->len)
		return br_error_set(err, EBADMSG,
			"boot partition: its file tables do not fit into it; the image is damaged or cut off");
	fat->root_at = fat->fat_at + g.n_fats * fat_bytes;
	fat->clusters_at = meta * g.sector;
	clusters = (g.total_sectors - meta) / g.cluster_sectors;
	fat->bits = (unsigned)fat_bits(p, clusters);
	if (fat->bits == 32 && br_load_le16(p + 40) & 0x80 && (br_load_le16(p + 40) & 15u) < g.n_fats)
		fat->fat_at += (br_load_le16(p + 40) & 15u) * fat_bytes; /* mirroring is off: the active one */
	fat->root_cluster = fat->bits == 32 ? br_load_le32(p + 44) & 0x0fffffff : 0;
	in_table = fat->bits == 32 ? fat_bytes / 4 : fat->bits == 16 ? fat_bytes / 2 : fat_bytes * 2 / 3;
	in_table = in_table < 2 ? 0 : in_table - 2;
	there = (fat->len - fat->clusters_at) / fat->cluster_bytes;
	clusters = clusters < in_table ? clusters : in_table;
	clusters = clusters < there ? clusters : there;
	fat->n_clusters = clusters < 0x0ffffff5 ? (uint32_t)clusters : 0x0ffffff5;
	if (!fat->n_clusters)
		return br_error_set(err, EBADMSG, "boot partition: it has no room for a file; the image is damaged or cut off");
	return 0;
}

/* ---- the door ---- */

int br_fat_open(const void *data, size_t len, struct br_fat **ret, struct br_error *err)
{
	struct br_fat *fat = calloc(1, sizeof(*fat));
	int r;

	if (!fat)
		return br_error_set(err, ENOMEM, "boot partition: out of memory");
	fat->data = data;
	fat->len = len;
	r = geometry(fat, err);
	if (!r) {
		const uint8_t *ext = fat->data + (fat->bits == 32 ? 66 : 38);

		if (ext[0] == 0x29 && memcmp(ext + 5, "NO NAME    ", 11) != 0)
			take_label(fat, ext + 5);
		fat->seen = calloc(1, fat->n_clusters / 8 + 1);
		r = fat->seen ? read_tree(fat, err) : -ENOMEM;
	}
	if (!r)
		r = make_index(fat);
	free(fat->seen);
	fat->seen = NULL;
	if (r < 0) {
		br_fat_close(fat);
		if (r == -ENOMEM)
			br_error_set(err, ENOMEM, "boot partition: out of memory");
		return r;
	}
	*ret = fat;
	return 0;
}

void br_fat_close(struct br_fat *fat)
{
	if (!fat)
		return;
	for (struct chunk *c = fat->names, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	free(fat->nodes);
	free(fat->spans);
	free(fat->order);
	free(fat->hash);
	br_text_done(&fat->damaged);
	free(fat);
}

const char *br_fat_label(const struct br_fat *fat)
{
	return fat->label;
}

const uint8_t *br_fat_data(const struct br_fat *fat)
{
	return fat->data;
}

unsigned br_fat_bits(const struct br_fat *fat)
{
	return fat->bits;
}

size_t br_fat_damaged(const struct br_fat *fat, const char **ret_text)
{
	if (ret_text)
		*ret_text = fat->damaged.buf ? fat->damaged.buf : "";
	return fat->n_damaged;
}

static const struct node *lookup(const struct br_fat *fat, const char *path)
{
	uint32_t i;

	if (!*path)
		return &fat->nodes[0];
	i = *slot_of(fat, path);
	return i ? &fat->nodes[i] : NULL;
}

const struct br_fat_entry *br_fat_lookup(const struct br_fat *fat, const char *path)
{
	const struct node *n = lookup(fat, path);

	return n ? &n->e : NULL;
}

const struct br_fat_entry *br_fat_list(const struct br_fat *fat, const char *dir, size_t i)
{
	const struct node *n = lookup(fat, dir);

	return n && i < n->n_children ? &fat->nodes[n->first_child + i].e : NULL;
}

const struct br_fat_entry *br_fat_walk(const struct br_fat *fat, size_t i)
{
	return i + 1 < fat->n_nodes ? fat->order[i] : NULL;
}

size_t br_fat_count(const struct br_fat *fat)
{
	return fat->n_nodes - 1;
}

int br_fat_in_use(const struct br_fat *fat, int (*fn)(void *ctx, uint64_t offset, uint64_t len), void *ctx)
{
	uint64_t from = 0, to = fat->clusters_at; /* the run that grows */

	for (uint32_t c = 2; c - 2 < fat->n_clusters; c++) {
		uint64_t at = fat->clusters_at + (uint64_t)(c - 2) * fat->cluster_bytes;
		int r = 0;

		if (!next_cluster(fat, c))
			continue;
		if (at != to) {
			r = fn(ctx, from, to - from);
			from = at;
		}
		to = at + fat->cluster_bytes;
		if (r)
			return r;
	}
	return fn(ctx, from, to - from);
}

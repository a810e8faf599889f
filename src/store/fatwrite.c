/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FAT12/16/32 written from a list. The clusters are given in order: the directories, then each file's in one
 * piece, so the image is the tables, the directories and the files one after the other.
 */
#include "store/fatwrite.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "store/fatname.h"

#define SECTOR 512u
#define SLOT 32u
#define DIR_SLOTS_MAX 65536u /* the specification's limit */
#define ROOT_SLOTS 256u	     /* of FAT12/16, where it has a place of its own: as rpi-make-boot-image, more only when needed */
#define ROOT_SLOTS_MAX 65520u
#define FAT12_MAX 4084u
#define FAT16_MAX 65524u
#define CLUSTERS_1_MAX (1u << 20) /* with one sector each; beyond, clusters grow */
#define CLUSTER_BYTES_MAX 32768u
#define FAT32_RESERVED 32u
#define LFN_UNITS 13u
/* 2020-01-01 00:00: the same bytes each time, and no firmware cares */
#define DATE ((2020u - 1980u) << 9 | 1u << 5 | 1u)
#define NONE SIZE_MAX

enum { ATTR_VOLUME = 0x08, ATTR_DIR = 0x10, ATTR_ARCHIVE = 0x20, ATTR_LFN = 0x0f };

struct node {
	const char *name; /* into the entry's path */
	size_t len;
	const struct br_fatimage_entry *file; /* NULL: a directory */
	size_t parent, first_child, last_child, next; /* numbers of nodes; NONE */
	uint32_t slots; /* of a directory, with its dots */
	uint32_t cluster, n_clusters;
	uint8_t lfn; /* slots of its long name */
	uint8_t short_name[11];
};

struct layout {
	unsigned bits, cluster_bytes;
	uint32_t n_clusters, reserved, fat_sectors, root_sectors;
	uint64_t sectors;
	uint32_t used; /* clusters */
};

struct br_fatimage {
	uint64_t size;
	unsigned bits;
	uint8_t *meta; /* boot sectors, one table, root and directories */
	struct br_span *spans;
	uint64_t *at; /* offset of each span */
	size_t n_spans;
};

struct maker {
	const struct br_fatimage_options *opt;
	struct br_error *err;
	const struct br_fatimage_entry **sorted;
	size_t n_entries;
	struct node *nodes; /* [0]: root */
	size_t n_nodes, cap;
	uint32_t *taken; /* short names: numbers of nodes, 0: free */
	size_t taken_mask;
	struct layout lay;
	struct br_fatimage *img;
};

BR_DEFINE_CLEANUP(struct br_fatimage *, br_fatimage_free);

static const uint8_t zeros[65536];

static int fail(struct maker *m, int code, const char *path, const char *words)
{
	char vis[200];

	return br_error_set(m->err, code, "boot.img: %s: %s", br_vis(vis, sizeof(vis), path, strlen(path)), words);
}

static int out_of_memory(struct maker *m)
{
	return br_error_set(m->err, ENOMEM, "boot.img: out of memory");
}

/* ---- the tree ---- */

static int fold(char c)
{
	return c == '/' ? 1 : c >= 'A' && c <= 'Z' ? c + 32 : (unsigned char)c;
}

/* By path without case, '/' before every other character: what is in a directory comes together. */
static int by_path(const void *a, const void *b)
{
	const char *x = (*(const struct br_fatimage_entry *const *)a)->path;
	const char *y = (*(const struct br_fatimage_entry *const *)b)->path;

	while (*x && fold(*x) == fold(*y)) {
		x++;
		y++;
	}
	return fold(*x) - fold(*y);
}

static int add_node(struct maker *m, size_t parent, const char *name, size_t len,
	const struct br_fatimage_entry *file, size_t *ret)
{
	struct node *n;

	if (br_array_reserve(&m->nodes, &m->cap, m->n_nodes + 1, sizeof(*m->nodes)) < 0)
		return out_of_memory(m);
	n = &m->nodes[m->n_nodes];
	*n = (struct node){
		.name = name,
		.len = len,
		.file = file,
		.parent = parent,
		.first_child = NONE,
		.last_child = NONE,
		.next = NONE,
		.slots = parent == NONE ? 0 : 2,
	};
	if (parent != NONE) {
		struct node *p = &m->nodes[parent];

		if (p->last_child == NONE)
			p->first_child = m->n_nodes;
		else
			m->nodes[p->last_child].next = m->n_nodes;
		p->last_child = m->n_nodes;
	}
	*ret = m->n_nodes++;
	return 0;
}

static bool same_name(const struct node *n, const char *name, size_t len)
{
	return n->len == len && !strncasecmp(n->name, name, len);
}

/* Entries come sorted: a directory that is there already is its parent's last child. */
static int add_entry(struct maker *m, const struct br_fatimage_entry *e)
{
	const char *s = e->path;
	size_t dir = 0;

	for (;;) {
		size_t len = strcspn(s, "/"), last = m->nodes[dir].last_child;
		bool is_file = !s[len];
		bool there = last != NONE && same_name(&m->nodes[last], s, len);
		int r = 0;

		if (there && (is_file || m->nodes[last].file))
			return is_file && m->nodes[last].file
				       ? fail(m, EEXIST, e->path, "is there twice (letters do not differ by case on FAT)")
				       : fail(m, ENOTDIR, e->path, "the name of a file is also that of a directory");
		if (there)
			dir = last;
		else
			r = add_node(m, dir, s, len, is_file ? e : NULL, &dir);
		if (r < 0 || is_file)
			return r;
		s += len + 1;
	}
}

/* ---- short names ---- */

static bool take_short(struct maker *m, size_t number)
{
	const struct node *n = &m->nodes[number];
	uint64_t h = n->parent * 0x9e3779b97f4a7c15ull;
	size_t i;

	for (i = 0; i < 11; i++)
		h = (h ^ n->short_name[i]) * 0x100000001b3ull;
	for (i = (size_t)(h ^ h >> 32) & m->taken_mask; m->taken[i]; i = (i + 1) & m->taken_mask) {
		const struct node *o = &m->nodes[m->taken[i]];

		if (o->parent == n->parent && !memcmp(o->short_name, n->short_name, 11))
			return false;
	}
	m->taken[i] = (uint32_t)number;
	return true;
}

static int name_node(struct maker *m, size_t number, bool fitting)
{
	struct node *n = &m->nodes[number];
	uint16_t units[BR_FATNAME_UNITS_MAX];
	const char *path = n->file ? n->file->path : n->name;
	int len = br_fatname_units(n->name, n->len, units);
	bool exact;

	if (len < 0)
		return fail(m, -len, path, len == -EILSEQ ? "its name is no UTF-8" : len == -EINVAL ?
			"FAT cannot hold such a name" : "its name is too long");
	if (br_fatname_fits(n->name, n->len, n->short_name, &exact) != fitting)
		return 0;
	n->lfn = exact ? 0 : (uint8_t)(((unsigned)len + LFN_UNITS - 1) / LFN_UNITS);
	for (unsigned i = 0; !fitting || i == 0; i++) {
		if (!fitting)
			br_fatname_alias(n->name, n->len, i, n->short_name);
		if (take_short(m, number))
			break;
		if (fitting || i > 0x10000)
			return fail(m, EEXIST, path, "no short name is left for it");
	}
	m->nodes[n->parent].slots += n->lfn + 1u;
	if (m->nodes[n->parent].slots > DIR_SLOTS_MAX)
		return fail(m, EFBIG, path, "too many files in its directory");
	return 0;
}

static int name_nodes(struct maker *m)
{
	size_t size = 64;
	int r = 0;

	while (size < m->n_nodes * 2)
		size *= 2;
	m->taken = calloc(size, sizeof(*m->taken));
	if (!m->taken)
		return out_of_memory(m);
	m->taken_mask = size - 1;
	/* first the names that can be had as they are, then aliases around them */
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 1; !r && i < m->n_nodes; i++)
			r = name_node(m, i, pass == 0);
	return r;
}

/* ---- layout ---- */

static uint64_t count_clusters(struct maker *m, unsigned bytes, bool with_root)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < m->n_nodes; i++) {
		const struct node *n = &m->nodes[i];
		uint64_t size = n->file ? n->file->size : (uint64_t)n->slots * SLOT;

		if (i || with_root)
			sum += size / bytes + (size % bytes != 0);
	}
	/* an empty directory of FAT32 (the root only) has a cluster, too */
	return sum + (with_root && !m->nodes[0].slots);
}

/* Readers differ by a few clusters on where FAT12 ends and FAT16 begins: stay away from there. */
static uint64_t avoid(uint64_t n, uint64_t border)
{
	return n + 16 > border && n < border + 16 ? border + 16 : n;
}

static int choose(struct maker *m)
{
	struct layout *l = &m->lay;
	uint64_t n, used;

	for (l->cluster_bytes = SECTOR;; l->cluster_bytes *= 2) {
		used = count_clusters(m, l->cluster_bytes, false);
		n = used + (m->opt->spare + l->cluster_bytes - 1) / l->cluster_bytes + 1;
		n = avoid(avoid(n, FAT12_MAX + 1), FAT16_MAX + 1);
		l->bits = m->nodes[0].slots > ROOT_SLOTS_MAX ? 32 : n <= FAT12_MAX ? 12 : n <= FAT16_MAX ? 16 : 32;
		if (l->bits == 32) {
			used = count_clusters(m, l->cluster_bytes, true);
			n += used; /* generous: the root's */
			n -= count_clusters(m, l->cluster_bytes, false);
			if (n <= FAT16_MAX + 16)
				n = FAT16_MAX + 17;
		}
		if (n <= CLUSTERS_1_MAX || l->cluster_bytes == CLUSTER_BYTES_MAX)
			break;
	}
	if (n > 0x0ffffff0)
		return fail(m, EFBIG, "the image", "too large for FAT");
	l->n_clusters = (uint32_t)n;
	l->used = (uint32_t)used;
	l->reserved = l->bits == 32 ? FAT32_RESERVED : 1;
	l->fat_sectors = (uint32_t)((((n + 2) * l->bits + 7) / 8 + SECTOR - 1) / SECTOR);
	if (l->bits != 32) {
		uint32_t slots = m->nodes[0].slots < ROOT_SLOTS ? ROOT_SLOTS : m->nodes[0].slots;

		l->root_sectors = (slots * SLOT + SECTOR - 1) / SECTOR;
	}
	l->sectors = l->reserved + 2ull * l->fat_sectors + l->root_sectors + n * (l->cluster_bytes / SECTOR);
	if (l->sectors > UINT32_MAX)
		return fail(m, EFBIG, "the image", "too large for FAT");
	if (m->opt->max_size && l->sectors * SECTOR > m->opt->max_size) {
		char is[16], may[16];

		return br_error_set(m->err, EFBIG, "boot.img: would be %s, more than the %s a firmware takes",
			br_format_size(is, sizeof(is), l->sectors * SECTOR),
			br_format_size(may, sizeof(may), m->opt->max_size));
	}
	return 0;
}

static void give_clusters(struct maker *m)
{
	uint32_t next = 2;

	for (int files = 0; files < 2; files++)
		for (size_t i = m->lay.bits == 32 ? 0 : 1; i < m->n_nodes; i++) {
			struct node *n = &m->nodes[i];
			uint64_t size = n->file ? n->file->size : (uint64_t)n->slots * SLOT;

			if (!n->file != !files)
				continue;
			n->n_clusters = (uint32_t)((size + m->lay.cluster_bytes - 1) / m->lay.cluster_bytes);
			if (!n->file && !n->n_clusters)
				n->n_clusters = 1;
			n->cluster = n->n_clusters ? next : 0;
			next += n->n_clusters;
		}
}

/* ---- metadata ---- */

static void put_label(const struct maker *m, uint8_t *out)
{
	const char *label = m->opt->label ?: "NO NAME";
	size_t n = strnlen(label, 11);

	memset(out, ' ', 11);
	memcpy(out, label, n);
}

static void put_boot_sector(const struct maker *m, uint8_t *s)
{
	const struct layout *l = &m->lay;
	bool fat32 = l->bits == 32;
	uint8_t *ext = s + (fat32 ? 64 : 36);

	memcpy(s, fat32 ? "\xeb\x58\x90" : "\xeb\x3c\x90", 3);
	memcpy(s + 3, "bramble ", 8);
	br_store_le16(s + 11, SECTOR);
	s[13] = (uint8_t)(l->cluster_bytes / SECTOR);
	br_store_le16(s + 14, (uint16_t)l->reserved);
	s[16] = 2;
	br_store_le16(s + 17, (uint16_t)(l->root_sectors * (SECTOR / SLOT)));
	if (l->sectors < 65536 && !fat32)
		br_store_le16(s + 19, (uint16_t)l->sectors);
	else
		br_store_le32(s + 32, (uint32_t)l->sectors);
	s[21] = 0xf8;
	br_store_le16(s + 22, fat32 ? 0 : (uint16_t)l->fat_sectors);
	br_store_le16(s + 24, 63);
	br_store_le16(s + 26, 255);
	if (fat32) {
		br_store_le32(s + 36, l->fat_sectors);
		br_store_le32(s + 44, m->nodes[0].cluster);
		br_store_le16(s + 48, 1); /* FSInfo */
		br_store_le16(s + 50, 6); /* copy of this sector */
	}
	ext[0] = 0x80;
	ext[2] = 0x29;
	br_store_le32(ext + 3, m->opt->volume_id);
	put_label(m, ext + 7);
	memcpy(ext + 18, l->bits == 12 ? "FAT12   " : l->bits == 16 ? "FAT16   " : "FAT32   ", 8);
	br_store_le16(s + 510, 0xaa55);
}

static void put_fsinfo(const struct maker *m, uint8_t *s)
{
	br_store_le32(s, 0x41615252);
	br_store_le32(s + 484, 0x61417272);
	br_store_le32(s + 488, m->lay.n_clusters - m->lay.used);
	br_store_le32(s + 492, m->lay.used + 2);
	br_store_le32(s + 508, 0xaa550000);
}

static void put_link(const struct maker *m, uint8_t *table, uint32_t c, uint32_t value)
{
	if (m->lay.bits == 32) {
		br_store_le32(table + 4 * (size_t)c, value & 0x0fffffff);
	} else if (m->lay.bits == 16) {
		br_store_le16(table + 2 * (size_t)c, (uint16_t)value);
	} else {
		uint8_t *p = table + c + c / 2;
		uint16_t old = br_load_le16(p);

		br_store_le16(p, c & 1 ? (uint16_t)((old & 0xf) | (value & 0xfff) << 4)
				       : (uint16_t)((old & 0xf000) | (value & 0xfff)));
	}
}

static void put_table(const struct maker *m, uint8_t *table)
{
	put_link(m, table, 0, 0x0ffffff8);
	put_link(m, table, 1, 0x0fffffff);
	for (size_t i = 0; i < m->n_nodes; i++) {
		const struct node *n = &m->nodes[i];

		for (uint32_t k = 0; k < n->n_clusters; k++)
			put_link(m, table, n->cluster + k, k + 1 < n->n_clusters ? n->cluster + k + 1 : 0x0fffffff);
	}
}

static uint8_t *put_slot(uint8_t *s, const uint8_t name[11], uint8_t attr, uint32_t cluster, uint32_t size)
{
	memcpy(s, name, 11);
	s[11] = attr;
	br_store_le16(s + 16, DATE); /* made */
	br_store_le16(s + 18, DATE); /* read */
	br_store_le16(s + 20, (uint16_t)(cluster >> 16));
	br_store_le16(s + 24, DATE); /* written */
	br_store_le16(s + 26, (uint16_t)cluster);
	br_store_le32(s + 28, size);
	return s + SLOT;
}

/* The parts of a long name, the last first. */
static uint8_t *put_long(uint8_t *s, const struct node *n)
{
	static const uint8_t place[LFN_UNITS] = { 1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30 };
	uint16_t units[BR_FATNAME_UNITS_MAX];
	unsigned len = (unsigned)br_fatname_units(n->name, n->len, units);

	for (unsigned part = n->lfn; part; part--, s += SLOT) {
		s[0] = (uint8_t)(part | (part == n->lfn ? 0x40 : 0));
		s[11] = ATTR_LFN;
		s[13] = br_fatname_checksum(n->short_name);
		for (unsigned i = 0; i < LFN_UNITS; i++) {
			unsigned k = (part - 1) * LFN_UNITS + i;

			br_store_le16(s + place[i], k < len ? units[k] : k == len ? 0 : 0xffff);
		}
	}
	return s;
}

static void put_dir(const struct maker *m, size_t number, uint8_t *s)
{
	const struct node *dir = &m->nodes[number];

	if (number) {
		s = put_slot(s, (const uint8_t *)".          ", ATTR_DIR, dir->cluster, 0);
		/* the root is always 0 here, also where it is a cluster */
		s = put_slot(s, (const uint8_t *)"..         ", ATTR_DIR,
			dir->parent ? m->nodes[dir->parent].cluster : 0, 0);
	} else if (m->opt->label) {
		uint8_t label[11];

		put_label(m, label);
		s = put_slot(s, label, ATTR_VOLUME, 0, 0);
	}
	for (size_t i = dir->first_child; i != NONE; i = m->nodes[i].next) {
		const struct node *n = &m->nodes[i];

		s = put_long(s, n);
		s = put_slot(s, n->short_name, n->file ? ATTR_ARCHIVE : ATTR_DIR, n->cluster,
			n->file ? (uint32_t)n->file->size : 0);
	}
}

/* ---- spans ---- */

static void add_span(struct br_fatimage *img, const uint8_t *data, uint64_t len)
{
	if (!len)
		return;
	img->spans[img->n_spans] = (struct br_span){ data, (size_t)len };
	img->at[img->n_spans++] = img->size;
	img->size += len;
}

static void add_zeros(struct br_fatimage *img, uint64_t len)
{
	while (len) {
		uint64_t n = len < sizeof(zeros) ? len : sizeof(zeros);

		add_span(img, zeros, n);
		len -= n;
	}
}

static void add_file(const struct maker *m, const struct node *n)
{
	uint64_t left = n->file->size;

	for (size_t i = 0; left && i < n->file->n_spans; i++) {
		const struct br_span *s = &n->file->spans[i];
		uint64_t len = s->len < left ? s->len : left;

		add_span(m->img, s->data, len);
		left -= len;
	}
	/* an entry that has less than it says would shift all that follows */
	add_zeros(m->img, left + (uint64_t)n->n_clusters * m->lay.cluster_bytes - n->file->size);
}

static size_t count_spans(const struct maker *m, uint64_t tail)
{
	size_t n = 8 + (size_t)(tail / sizeof(zeros)) + 1;

	for (size_t i = 0; i < m->n_nodes; i++)
		if (m->nodes[i].file)
			n += m->nodes[i].file->n_spans + 2;
	return n;
}

static int assemble(struct maker *m)
{
	const struct layout *l = &m->lay;
	struct br_fatimage *img = m->img;
	size_t boot = (size_t)l->reserved * SECTOR, fat = (size_t)l->fat_sectors * SECTOR;
	size_t root = (size_t)l->root_sectors * SECTOR, dirs = 0;
	uint64_t tail = (uint64_t)(l->n_clusters - l->used) * l->cluster_bytes;
	size_t n_spans = count_spans(m, tail);
	uint8_t *clusters;

	for (size_t i = 0; i < m->n_nodes; i++)
		if (!m->nodes[i].file)
			dirs += (size_t)m->nodes[i].n_clusters * l->cluster_bytes;
	img->meta = calloc(1, boot + fat + root + dirs);
	img->spans = calloc(n_spans, sizeof(*img->spans));
	img->at = calloc(n_spans, sizeof(*img->at));
	if (!img->meta || !img->spans || !img->at)
		return out_of_memory(m);
	img->bits = l->bits;
	put_boot_sector(m, img->meta);
	if (l->bits == 32) {
		put_fsinfo(m, img->meta + SECTOR);
		memcpy(img->meta + 6 * SECTOR, img->meta, 2 * SECTOR);
	}
	put_table(m, img->meta + boot);
	clusters = img->meta + boot + fat + root;
	for (size_t i = 0; i < m->n_nodes; i++) {
		const struct node *n = &m->nodes[i];

		if (!n->file)
			put_dir(m, i, n->cluster ? clusters + (size_t)(n->cluster - 2) * l->cluster_bytes
						 : img->meta + boot + fat);
	}
	add_span(img, img->meta, boot + fat);
	add_span(img, img->meta + boot, fat); /* the second table is the first one again */
	add_span(img, img->meta + boot + fat, root + dirs);
	for (size_t i = 0; i < m->n_nodes; i++)
		if (m->nodes[i].file)
			add_file(m, &m->nodes[i]);
	add_zeros(img, tail);
	return 0;
}

static int make(struct maker *m)
{
	size_t root;
	int r = add_node(m, NONE, "", 0, NULL, &root);

	if (r < 0)
		return r;
	if (m->opt->label)
		m->nodes[0].slots = 1;
	for (size_t i = 0; !r && i < m->n_entries; i++)
		r = m->sorted[i]->size > UINT32_MAX ? fail(m, EFBIG, m->sorted[i]->path, "too large for FAT")
						    : add_entry(m, m->sorted[i]);
	if (!r)
		r = name_nodes(m);
	if (!r)
		r = choose(m);
	if (r < 0)
		return r;
	give_clusters(m);
	return assemble(m);
}

int br_fatimage_new(const struct br_fatimage_entry *entries, size_t n, const struct br_fatimage_options *opt,
	struct br_fatimage **ret, struct br_error *err)
{
	br_cleanup(br_fatimage_freep) struct br_fatimage *img = calloc(1, sizeof(*img));
	br_cleanup(br_freep) const struct br_fatimage_entry **sorted = calloc(n + 1, sizeof(void *));
	struct maker m = { .opt = opt, .err = err, .img = img, .sorted = sorted, .n_entries = n };
	int r;

	if (n > BR_FATIMAGE_ENTRIES_MAX)
		return br_error_set(err, EFBIG, "boot.img: more than %d files", BR_FATIMAGE_ENTRIES_MAX);
	if (!img || !sorted)
		return out_of_memory(&m);
	for (size_t i = 0; i < n; i++)
		sorted[i] = &entries[i];
	qsort(sorted, n, sizeof(void *), by_path);
	r = make(&m);
	free(m.nodes);
	free(m.taken);
	if (r < 0)
		return r;
	*ret = br_take(img);
	return 0;
}

void br_fatimage_free(struct br_fatimage *img)
{
	if (!img)
		return;
	free(img->meta);
	free(img->spans);
	free(img->at);
	free(img);
}

uint64_t br_fatimage_size(const struct br_fatimage *img)
{
	return img->size;
}

unsigned br_fatimage_bits(const struct br_fatimage *img)
{
	return img->bits;
}

const struct br_span *br_fatimage_spans(const struct br_fatimage *img, size_t *ret_n)
{
	*ret_n = img->n_spans;
	return img->spans;
}

size_t br_fatimage_read(const struct br_fatimage *img, uint64_t offset, void *buf, size_t len)
{
	size_t lo = 0, hi = img->n_spans, done = 0;

	if (offset >= img->size)
		return 0;
	while (hi - lo > 1) { /* at[lo] <= offset */
		size_t mid = lo + (hi - lo) / 2;

		if (img->at[mid] <= offset)
			lo = mid;
		else
			hi = mid;
	}
	for (offset -= img->at[lo]; done < len && lo < img->n_spans; lo++, offset = 0) {
		size_t n = img->spans[lo].len - (size_t)offset;

		if (n > len - done)
			n = len - done;
		memcpy((uint8_t *)buf + done, img->spans[lo].data + offset, n);
		done += n;
	}
	return done;
}

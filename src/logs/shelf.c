/* SPDX-License-Identifier: Apache-2.0 */
/* Segments on disk: opening, writing, making room. */
#include "logs/shelf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define SEGMENTS_WANTED 16
#define SEGMENT_MIN (256ull << 10)
#define SEGMENT_MAX (64ull << 20)
#define SEARCH_BYTES (256u << 10)

struct br_logs_shelf {
	pthread_mutex_t lock; /* of all below; the files are written by one thread without it */
	char *dir;
	int dir_fd;
	uint64_t max_bytes, segment_bytes, segment_us; /* segment_us 0: no limit */
	struct br_logs_segment **segs; /* oldest first; blocks are added to the last */
	size_t n, cap;
	uint64_t bytes, removed, damaged;
	bool dirty, dir_dirty; /* the last one, the directory: not synced */
};

static void segment_unref(struct br_logs_segment *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
		return;
	if (s->fd >= 0)
		close(s->fd);
	free(s->blocks);
	free(s);
}

/* ---- opening ---- */

static int add_block(struct br_logs_segment *s, const struct br_logs_head *h)
{
	struct br_logs_place *p;

	if (br_array_reserve(&s->blocks, &s->cap, s->n + 1, sizeof(*p)) < 0)
		return -ENOMEM;
	p = &s->blocks[s->n++];
	*p = (struct br_logs_place){ .offset = s->size, .head = *h };
	s->size += br_logs_head_size(h);
	s->n_raw += (uint64_t)h->n_meta + h->n_text;
	s->n_lines += h->n;
	s->first_us = s->n == 1 || h->first_us < s->first_us ? h->first_us : s->first_us;
	s->last_us = h->last_us > s->last_us ? h->last_us : s->last_us;
	return 0;
}

/* A block begins with these bytes and goes not beyond n_left of them. after: its number must be greater. */
static bool is_head(const uint8_t *bytes, uint64_t n_left, uint64_t after, struct br_logs_head *ret)
{
	return n_left >= BR_LOGS_HEADER && br_logs_head_read(bytes, ret) == 0 && ret->first_seq > after &&
	       br_logs_head_size(ret) <= n_left;
}

/* Where the next header is, from 'at' on. -ENOENT: there is none. */
static int find_head(const struct br_logs_segment *s, uint64_t at, uint64_t file_size, uint64_t after, uint64_t *ret)
{
	br_cleanup(br_freep) uint8_t *buf = malloc(SEARCH_BYTES);
	struct br_logs_head h;

	if (!buf)
		return -ENOMEM;
	while (at + BR_LOGS_HEADER <= file_size) {
		size_t n = file_size - at < SEARCH_BYTES ? file_size - at : SEARCH_BYTES;
		int r = br_pread_all(s->fd, buf, n, at);

		if (r < 0)
			return r;
		for (size_t i = 0; i + BR_LOGS_HEADER <= n; i++) {
			if (is_head(buf + i, file_size - at - i, after, &h)) {
				*ret = at + i;
				return 0;
			}
		}
		at += n - BR_LOGS_HEADER + 1;
	}
	return -ENOENT;
}

/* Reads the headers; after: numbers must be greater. Counts the places that are passed over since they have none. */
static int scan(struct br_logs_segment *s, uint64_t file_size, uint64_t after, uint64_t *damaged)
{
	uint8_t bytes[BR_LOGS_HEADER];
	struct br_logs_head h;

	while (s->size + BR_LOGS_HEADER <= file_size) {
		int r = br_pread_all(s->fd, bytes, sizeof(bytes), s->size);
		uint64_t next;

		if (r < 0)
			return r;
		if (is_head(bytes, file_size - s->size, after, &h)) {
			r = add_block(s, &h);
			after = h.first_seq + h.n - 1;
		} else {
			r = find_head(s, s->size, file_size, after, &next);
			if (r == -ENOENT)
				return 0; /* its torn end */
			s->size = r < 0 ? s->size : next;
			*damaged += r == 0;
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* A torn block: its header came to the disk, the rest did not. */
static bool last_is_whole(struct br_logs_segment *s)
{
	struct br_logs_fetch *fetch = br_logs_fetch_new();
	struct br_logs_place place;
	struct br_logs_block *b = NULL;
	int r;

	if (!fetch)
		return true;
	place = s->blocks[s->n - 1];
	place.seg = s;
	r = br_logs_fetch_block(fetch, &place, &b);
	br_logs_block_unref(b);
	br_logs_fetch_free(fetch);
	return r != -EBADMSG;
}

static void drop_last(struct br_logs_segment *s)
{
	const struct br_logs_head *h = &s->blocks[--s->n].head;

	s->size = s->blocks[s->n].offset;
	s->n_raw -= (uint64_t)h->n_meta + h->n_text;
	s->n_lines -= h->n;
}

static uint64_t last_seq(const struct br_logs_shelf *shelf)
{
	for (size_t i = shelf->n; i--;) {
		const struct br_logs_segment *s = shelf->segs[i];

		if (s->n)
			return s->blocks[s->n - 1].head.first_seq + s->blocks[s->n - 1].head.n - 1;
	}
	return 0;
}

static int open_segment(struct br_logs_shelf *shelf, const char *name, bool newest, struct br_error *err)
{
	struct br_logs_segment *s = calloc(1, sizeof(*s));
	struct stat st = { 0 };
	int r = 0;

	if (!s || br_array_reserve(&shelf->segs, &shelf->cap, shelf->n + 1, sizeof(void *)) < 0) {
		free(s);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	atomic_init(&s->refs, 1);
	snprintf(s->name, sizeof(s->name), "%s", name);
	s->fd = openat(shelf->dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (s->fd < 0 || fstat(s->fd, &st) < 0)
		r = -errno;
	if (r == 0)
		r = scan(s, (uint64_t)st.st_size, last_seq(shelf), &shelf->damaged);
	while (r == 0 && newest && s->n && !last_is_whole(s))
		drop_last(s);
	if (r == 0 && s->size < (uint64_t)st.st_size) {
		shelf->damaged += !newest;
		if (newest && ftruncate(s->fd, (off_t)s->size) < 0)
			r = -errno;
	}
	if (r < 0) {
		segment_unref(s);
		return br_error_set(err, -r, "log segment %s/%s: %s", shelf->dir, name, strerrordesc_np(-r));
	}
	shelf->segs[shelf->n++] = s;
	/* of an older one all that lies there counts: it goes with it */
	shelf->bytes += newest ? s->size : (uint64_t)st.st_size;
	if (!newest)
		s->size = (uint64_t)st.st_size;
	return 0;
}

static int is_segment(const struct dirent *e)
{
	return strlen(e->d_name) == 20 && strspn(e->d_name, "0123456789abcdef") == 16 && !strcmp(e->d_name + 16, ".seg");
}

static int open_all(struct br_logs_shelf *shelf, struct br_error *err)
{
	struct dirent **names = NULL;
	int n = scandir(shelf->dir, &names, is_segment, alphasort), r = 0;

	if (n < 0)
		return br_error_set(err, errno, "log directory %s: %s", shelf->dir, strerrordesc_np(errno));
	for (int i = 0; i < n; i++) {
		if (r >= 0)
			r = open_segment(shelf, names[i]->d_name, i == n - 1, err);
		free(names[i]);
	}
	free(names);
	return r;
}

int br_logs_shelf_open(const char *dir, uint64_t max_bytes, uint64_t max_age_us, struct br_logs_shelf **ret, struct br_error *err)
{
	struct br_logs_shelf *shelf = calloc(1, sizeof(*shelf));
	int r;

	if (!shelf)
		return br_error_set(err, ENOMEM, "out of memory");
	pthread_mutex_init(&shelf->lock, NULL);
	shelf->dir_fd = -1;
	shelf->max_bytes = max_bytes;
	shelf->segment_bytes = max_bytes / SEGMENTS_WANTED;
	if (shelf->segment_bytes < SEGMENT_MIN)
		shelf->segment_bytes = SEGMENT_MIN;
	if (shelf->segment_bytes > SEGMENT_MAX)
		shelf->segment_bytes = SEGMENT_MAX;
	shelf->segment_us = max_age_us / SEGMENTS_WANTED;
	shelf->dir = strdup(dir);
	r = shelf->dir ? br_mkdir_all(dir, 0750, err) : br_error_set(err, ENOMEM, "out of memory");
	if (r >= 0)
		shelf->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r >= 0 && shelf->dir_fd < 0)
		r = br_error_set(err, errno, "log directory %s: %s", dir, strerrordesc_np(errno));
	if (r >= 0)
		r = open_all(shelf, err);
	if (r < 0) {
		br_logs_shelf_close(shelf);
		return r;
	}
	*ret = shelf;
	return 0;
}

void br_logs_shelf_close(struct br_logs_shelf *shelf)
{
	if (!shelf)
		return;
	for (size_t i = 0; i < shelf->n; i++)
		segment_unref(shelf->segs[i]);
	if (shelf->dir_fd >= 0)
		close(shelf->dir_fd);
	pthread_mutex_destroy(&shelf->lock);
	free(shelf->segs);
	free(shelf->dir);
	free(shelf);
}

/* ---- making room ---- */

/* With the lock. */
static void remove_segment(struct br_logs_shelf *shelf, size_t i)
{
	struct br_logs_segment *s = shelf->segs[i];

	unlinkat(shelf->dir_fd, s->name, 0); /* what cannot be removed is found again at the next opening */
	shelf->bytes -= s->size;
	shelf->removed += s->n_lines;
	shelf->dir_dirty = true;
	memmove(shelf->segs + i, shelf->segs + i + 1, (--shelf->n - i) * sizeof(void *));
	segment_unref(s);
}

/* With the lock. A new one at the end, for lines from first_seq on; NULL: *ret_r says why. */
static struct br_logs_segment *add_segment(struct br_logs_shelf *shelf, uint64_t first_seq, int *ret_r)
{
	struct br_logs_segment *s = calloc(1, sizeof(*s));

	if (!s || br_array_reserve(&shelf->segs, &shelf->cap, shelf->n + 1, sizeof(void *)) < 0) {
		free(s);
		*ret_r = -ENOMEM;
		return NULL;
	}
	atomic_init(&s->refs, 1);
	snprintf(s->name, sizeof(s->name), "%016" PRIx64 ".seg", first_seq);
	s->fd = openat(shelf->dir_fd, s->name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (s->fd < 0) {
		*ret_r = -errno;
		free(s);
		return NULL;
	}
	shelf->segs[shelf->n++] = s;
	shelf->dir_dirty = true;
	return s;
}

void br_logs_shelf_expire(struct br_logs_shelf *shelf, uint64_t oldest_us)
{
	int r;

	pthread_mutex_lock(&shelf->lock);
	/* all of them: one whose clock was ahead keeps no later one */
	for (size_t i = 0; i < shelf->n;) {
		const struct br_logs_segment *s = shelf->segs[i];
		bool newest = i == shelf->n - 1;

		if (s->last_us >= oldest_us || (newest && !s->n)) {
			i++;
			continue;
		}
		/* an empty one's name holds the number; the next round tries again */
		if (newest && add_segment(shelf, last_seq(shelf) + 1, &r) == NULL)
			break;
		remove_segment(shelf, i);
	}
	pthread_mutex_unlock(&shelf->lock);
}

/* The segment to write to, made where needed; room for n bytes more. NULL: *ret_r says why. */
static struct br_logs_segment *writable(struct br_logs_shelf *shelf, const struct br_logs_block *b, size_t n, int *ret_r)
{
	struct br_logs_segment *s = shelf->n ? shelf->segs[shelf->n - 1] : NULL;

	if (s && s->n && (s->size + n > shelf->segment_bytes ||
			     (shelf->segment_us && b->head.first_us > s->first_us + shelf->segment_us))) {
		if (fdatasync(s->fd) < 0) {
			*ret_r = -errno;
			return NULL;
		}
		s = NULL;
	}
	pthread_mutex_lock(&shelf->lock);
	while (shelf->n > (s ? 1 : 0) && shelf->bytes + n > shelf->max_bytes)
		remove_segment(shelf, 0);
	if (!s)
		s = add_segment(shelf, b->head.first_seq, ret_r);
	pthread_mutex_unlock(&shelf->lock);
	return s;
}

int br_logs_shelf_append(struct br_logs_shelf *shelf, const struct br_logs_block *b, const uint8_t *bytes, size_t n,
	struct br_error *err)
{
	int r = 0;
	struct br_logs_segment *s = writable(shelf, b, n, &r);

	if (s)
		r = br_pwrite_all(s->fd, bytes, n, s->size);
	if (s && r == 0) {
		pthread_mutex_lock(&shelf->lock);
		r = add_block(s, &b->head);
		shelf->bytes += r == 0 ? n : 0;
		pthread_mutex_unlock(&shelf->lock);
	}
	if (r < 0)
		return br_error_set(err, -r, "log directory %s: %s", shelf->dir, strerrordesc_np(-r));
	shelf->dirty = true;
	return 0;
}

int br_logs_shelf_sync(struct br_logs_shelf *shelf, struct br_error *err)
{
	int r = 0;

	if (shelf->dirty && shelf->n && fdatasync(shelf->segs[shelf->n - 1]->fd) < 0)
		r = -errno;
	if (r == 0 && shelf->dir_dirty && fsync(shelf->dir_fd) < 0)
		r = -errno;
	if (r < 0)
		return br_error_set(err, -r, "log directory %s: %s", shelf->dir, strerrordesc_np(-r));
	shelf->dirty = shelf->dir_dirty = false;
	return 0;
}

/* ---- reading ---- */

uint64_t br_logs_shelf_last(struct br_logs_shelf *shelf)
{
	uint64_t seq;

	pthread_mutex_lock(&shelf->lock);
	seq = last_seq(shelf);
	pthread_mutex_unlock(&shelf->lock);
	return seq;
}

uint64_t br_logs_shelf_floor(const struct br_logs_shelf *shelf)
{
	return shelf->n ? strtoull(shelf->segs[shelf->n - 1]->name, NULL, 16) : 0;
}

void br_logs_shelf_damaged(struct br_logs_shelf *shelf)
{
	pthread_mutex_lock(&shelf->lock);
	shelf->damaged++;
	pthread_mutex_unlock(&shelf->lock);
}

void br_logs_shelf_stats(struct br_logs_shelf *shelf, struct br_logs_shelf_stats *ret)
{
	struct br_logs_shelf_stats st = { 0 };

	pthread_mutex_lock(&shelf->lock);
	st.bytes = shelf->bytes;
	st.segments = shelf->n;
	st.removed = shelf->removed;
	st.damaged = shelf->damaged;
	for (size_t i = 0; i < shelf->n; i++) {
		const struct br_logs_segment *s = shelf->segs[i];

		if (s->n && !st.first_seq) {
			st.first_seq = s->blocks[0].head.first_seq;
			st.first_us = s->first_us;
		}
		st.blocks += s->n;
		st.raw_bytes += s->n_raw;
		st.lines += s->n_lines;
	}
	pthread_mutex_unlock(&shelf->lock);
	*ret = st;
}

static bool segment_may_have(const struct br_logs_segment *s, const struct br_logs_filter *f)
{
	return s->n && (!f->since_ns || s->last_us >= f->since_ns / 1000) && (!f->until_ns || s->first_us * 1000 < f->until_ns);
}

int br_logs_shelf_places(struct br_logs_shelf *shelf, const struct br_logs_filter *f, uint64_t before,
	struct br_logs_place **ret, size_t *ret_n)
{
	struct br_logs_place *places = NULL;
	size_t n = 0, cap = 0;
	int r = 0;

	pthread_mutex_lock(&shelf->lock);
	for (size_t i = 0; i < shelf->n && r == 0; i++) {
		struct br_logs_segment *s = shelf->segs[i];

		for (size_t j = 0; segment_may_have(s, f) && j < s->n && r == 0; j++) {
			if (s->blocks[j].head.first_seq >= before || !br_logs_head_may_have(&s->blocks[j].head, f))
				continue;
			r = br_array_reserve(&places, &cap, n + 1, sizeof(*places));
			if (r < 0)
				break;
			places[n] = s->blocks[j];
			places[n++].seg = s;
			atomic_fetch_add(&s->refs, 1);
		}
	}
	pthread_mutex_unlock(&shelf->lock);
	if (r < 0) {
		br_logs_places_free(places, n);
		return r;
	}
	*ret = places;
	*ret_n = n;
	return 0;
}

void br_logs_place_done(struct br_logs_place *place)
{
	segment_unref(place->seg);
	place->seg = NULL;
}

void br_logs_places_free(struct br_logs_place *places, size_t n)
{
	for (size_t i = 0; i < n; i++)
		br_logs_place_done(&places[i]);
	free(places);
}

/* The first of a segment's blocks that has lines from seq on. */
static size_t first_from(const struct br_logs_segment *s, uint64_t seq)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->blocks[mid].head.first_seq + s->blocks[mid].head.n <= seq)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

int br_logs_shelf_place(struct br_logs_shelf *shelf, const struct br_logs_filter *f, uint64_t seq, struct br_logs_place *ret)
{
	int r = -ENOENT;

	pthread_mutex_lock(&shelf->lock);
	for (size_t i = 0; i < shelf->n && r < 0; i++) {
		struct br_logs_segment *s = shelf->segs[i];

		for (size_t j = segment_may_have(s, f) ? first_from(s, seq) : s->n; j < s->n && r < 0; j++) {
			if (!br_logs_head_may_have(&s->blocks[j].head, f))
				continue;
			*ret = s->blocks[j];
			ret->seg = s;
			atomic_fetch_add(&s->refs, 1);
			r = 0;
		}
	}
	pthread_mutex_unlock(&shelf->lock);
	return r;
}

struct br_logs_fetch {
	struct br_logs_packer *packer;
	uint8_t *buf;
	size_t cap;
};

struct br_logs_fetch *br_logs_fetch_new(void)
{
	struct br_logs_fetch *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->packer = br_logs_packer_new();
	if (!f->packer) {
		free(f);
		return NULL;
	}
	return f;
}

void br_logs_fetch_free(struct br_logs_fetch *f)
{
	if (!f)
		return;
	br_logs_packer_free(f->packer);
	free(f->buf);
	free(f);
}

static int fetch(struct br_logs_fetch *f, const struct br_logs_place *p, size_t n)
{
	int r = br_array_reserve(&f->buf, &f->cap, n, 1);

	return r < 0 ? r : br_pread_all(p->seg->fd, f->buf, n, p->offset + BR_LOGS_HEADER);
}

bool br_logs_fetch_may_have(struct br_logs_fetch *f, const struct br_logs_place *p, const char *literal, size_t n)
{
	if (n < BR_LOGS_GRAM || fetch(f, p, br_logs_filter_bytes(p->head.filter_log2)) < 0)
		return true;
	return br_logs_filter_has(f->buf, p->head.filter_log2, literal, n);
}

int br_logs_fetch_block(struct br_logs_fetch *f, const struct br_logs_place *p, struct br_logs_block **ret)
{
	size_t n = br_logs_head_size(&p->head) - BR_LOGS_HEADER;
	int r = fetch(f, p, n);

	return r < 0 ? r : br_logs_unpack(f->packer, &p->head, f->buf, n, ret);
}

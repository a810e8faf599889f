/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map log of a copy-on-write layer. All numbers little-endian.
 *
 *   header, 64 bytes:  "BRMAPLOG" | version 1 u32 | block size u32 | size of the base u64 |
 *                      uuid 16 | zeros | CRC-32C of the 60 bytes before u32
 *   record, 32 bytes:  magic u32 | entries n u32 | sequence u64 | flags u32 | CRC u32 | zeros 8
 *   then n entries:    block u32 | slot + 1 u32 (0: as the base again) | CRC-32C of the block u32
 *
 * Only the last record can be torn: the next one is written after its sync. So what
 * follows the first bad record must not be a good one; if it is, the log was damaged,
 * and going on would silently lose commits.
 */
#include "store/cow_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"

static const char log_magic[8] = "BRMAPLOG";

uint32_t cow_record_crc(uint32_t seed, const uint8_t *record, size_t len)
{
	static const uint8_t zero[4];
	uint32_t crc = br_crc32c(seed, record, 20);

	crc = br_crc32c(crc, zero, 4);
	return br_crc32c(crc, record + 24, len - 24);
}

static void header_make(const struct br_cow *cow, uint8_t h[static COW_HEADER_SIZE])
{
	memset(h, 0, COW_HEADER_SIZE);
	memcpy(h, log_magic, 8);
	br_store_le32(h + 8, 1);
	br_store_le32(h + 12, BR_COW_BLOCK);
	br_store_le64(h + 16, cow->size);
	memcpy(h + 24, cow->uuid, 16);
	br_store_le32(h + 60, br_crc32c(0, h, 60));
}

static int header_check(struct br_cow *cow, const uint8_t *data, size_t len, struct br_error *err)
{
	uint8_t want[COW_HEADER_SIZE];

	if (len < COW_HEADER_SIZE || memcmp(data, log_magic, 8) != 0 ||
		br_load_le32(data + 60) != br_crc32c(0, data, 60))
		return br_error_set(err, EUCLEAN,
			"%s/map: not a map log, or its header is damaged; remove the disk to start afresh",
			cow->dir);
	header_make(cow, want);
	if (memcmp(data + 8, want + 8, 8) != 0)
		return br_error_set(err, ENOTSUP, "%s/map: format version %u is not known to this program",
			cow->dir, br_load_le32(data + 8));
	if (memcmp(data, want, COW_HEADER_SIZE) != 0)
		return br_error_set(err, ESTALE, "%s/map: belongs to another disk or another size of image",
			cow->dir);
	cow->log.seed = br_load_le32(data + 60);
	return 0;
}

#define ROOM_MIN 4096u /* made at once behind a record when there is none */
#define ROOM_MAX 65536u

struct record {
	uint32_t n, flags;
	uint64_t seq;
	const uint8_t *entries;
	size_t len;
};

/* A whole, good record at data? */
static bool record_parse(uint32_t seed, const uint8_t *data, size_t len, struct record *ret)
{
	if (len < COW_RECORD_SIZE || br_load_le32(data) != COW_RECORD_MAGIC)
		return false;
	ret->n = br_load_le32(data + 4);
	ret->seq = br_load_le64(data + 8);
	ret->flags = br_load_le32(data + 16);
	if (ret->n > (len - COW_RECORD_SIZE) / COW_ENTRY_SIZE)
		return false;
	ret->len = COW_RECORD_SIZE + (size_t)ret->n * COW_ENTRY_SIZE;
	ret->entries = data + COW_RECORD_SIZE;
	return cow_record_crc(seed, data, ret->len) == br_load_le32(data + 20);
}

static struct cow_entry entry_at(const struct record *rec, uint32_t i)
{
	const uint8_t *p = rec->entries + (size_t)i * COW_ENTRY_SIZE;

	return (struct cow_entry){ br_load_le32(p), br_load_le32(p + 4), br_load_le32(p + 8) };
}

static int record_apply(struct br_cow *cow, const struct record *rec, struct br_error *err)
{
	for (uint32_t i = 0; i < rec->n; i++) {
		struct cow_entry e = entry_at(rec, i);

		if (e.block >= cow->n_blocks || e.value > COW_SLOTS_MAX)
			return br_error_set(err, EUCLEAN,
				"%s/map: record %" PRIu64 " names block %u of %u; the log is damaged",
				cow->dir, rec->seq, e.block, cow->n_blocks);
		if (cow_set(cow, e.block, e.value) < 0)
			return br_error_set(err, ENOMEM, "%s/map: out of memory", cow->dir);
	}
	cow->log.n_entries += rec->n;
	cow->log.seq = rec->seq;
	return 0;
}

/* Did the blocks of the last record reach the disk? A disk that syncs honestly always says yes. */
static bool record_blocks_good(struct br_cow *cow, const struct record *rec)
{
	uint8_t buf[BR_COW_BLOCK];

	if (rec->flags & COW_RECORD_BASE)
		return true;
	for (uint32_t i = 0; i < rec->n; i++) {
		struct cow_entry e = entry_at(rec, i);

		if (e.value == 0 || e.value > COW_SLOTS_MAX)
			continue;
		if (br_pread_all(cow->slots.fd, buf, sizeof(buf),
			    (uint64_t)(e.value - 1) * BR_COW_BLOCK) < 0 ||
			br_crc32c(0, buf, sizeof(buf)) != e.crc)
			return false;
	}
	return true;
}

/* A good record anywhere behind a bad one means damage in the middle, not a torn end. */
static bool record_follows(struct br_cow *cow, const uint8_t *data, size_t len)
{
	struct record rec;

	for (size_t o = 4; o + COW_RECORD_SIZE <= len; o += 4)
		if (br_load_le32(data + o) == COW_RECORD_MAGIC &&
			record_parse(cow->log.seed, data + o, len - o, &rec) && rec.seq > cow->log.seq)
			return true;
	return false;
}

/* Applies the good records; log.end is where the next one goes. A record is applied when its successor is
 * seen to be good or its blocks are. */
static int replay(struct br_cow *cow, const uint8_t *data, size_t len, struct br_error *err)
{
	struct record rec, last = { 0 };
	size_t at = COW_HEADER_SIZE, last_at = at;
	int r;

	while (record_parse(cow->log.seed, data + at, len - at, &rec) &&
		rec.seq == (last.len ? last.seq : cow->log.seq) + 1) {
		if (last.len) {
			r = record_apply(cow, &last, err);
			if (r < 0)
				return r;
		}
		last = rec;
		last_at = at;
		at += rec.len;
	}
	if (last.len) {
		if (!record_blocks_good(cow, &last)) {
			cow->log.end = last_at;
			return 0;
		}
		r = record_apply(cow, &last, err);
		if (r < 0)
			return r;
	}
	if (record_follows(cow, data + at, len - at))
		return br_error_set(err, EUCLEAN,
			"%s/map: damaged in the middle, at byte %zu of %zu: the host's file system or disk lost data; "
			"restore the file from a backup, or remove the disk to start afresh",
			cow->dir, at, len);
	cow->log.end = at;
	return 0;
}

static int count_slots(struct br_cow *cow, uint64_t slots_size, struct br_error *err)
{
	int r;

	for (uint32_t b = 0; b < cow->n_blocks; b++) {
		uint32_t v;

		if (!cow->leaves[b / COW_LEAF]) {
			b |= COW_LEAF - 1;
			continue;
		}
		v = cow_get(cow, b);
		if (!v)
			continue;
		if ((uint64_t)v * BR_COW_BLOCK > slots_size)
			return br_error_set(err, EUCLEAN,
				"%s/slots: has %" PRIu64 " bytes, but the map names slot %u; the file was cut",
				cow->dir, slots_size, v - 1);
		r = cow_slots_mark(&cow->slots, v - 1);
		if (r == -EEXIST)
			return br_error_set(err, EUCLEAN, "%s/map: slot %u is named twice; the log is damaged",
				cow->dir, v - 1);
		if (r < 0)
			return br_error_set(err, -r, "%s/slots: out of memory", cow->dir);
	}
	r = cow->frozen ? 0 : cow_slots_adopt(&cow->slots);
	return r < 0 ? br_error_set(err, -r, "%s/slots: %s", cow->dir, strerrordesc_np(-r)) : 0;
}

static int log_create(struct br_cow *cow, const char *path, struct br_error *err)
{
	uint8_t h[COW_HEADER_SIZE];

	header_make(cow, h);
	return br_file_write(path, h, sizeof(h), 0600, err);
}

static bool only_zeros(const uint8_t *data, uint64_t from, uint64_t to)
{
	while (from < to && !data[from])
		from++;
	return from >= to;
}

static int log_load(struct br_cow *cow, struct br_error *err)
{
	struct stat st, st_slots;
	uint8_t *data;
	int r;

	if (fstat(cow->log.fd, &st) < 0 || fstat(cow->slots.fd, &st_slots) < 0)
		return br_error_set(err, errno, "%s: %s", cow->dir, strerrordesc_np(errno));
	if (st.st_size < (off_t)COW_HEADER_SIZE)
		return header_check(cow, NULL, 0, err);
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, cow->log.fd, 0);
	if (data == MAP_FAILED)
		return br_error_set(err, errno, "%s/map: %s", cow->dir, strerrordesc_np(errno));
	r = header_check(cow, data, (size_t)st.st_size, err);
	if (r == 0)
		r = replay(cow, data, (size_t)st.st_size, err);
	if (r == 0)
		cow->log.room = only_zeros(data, cow->log.end, (size_t)st.st_size) ? (uint64_t)st.st_size : cow->log.end;
	munmap(data, (size_t)st.st_size);
	if (r < 0)
		return r;
	if (cow->frozen && cow->log.room < (uint64_t)st.st_size)
		return br_error_set(err, EUCLEAN, "%s/map: a frozen layer whose end is damaged, at byte %" PRIu64 " of %lld",
			cow->dir, cow->log.end, (long long)st.st_size);
	/* a torn record must not stay behind the next good one */
	if (cow->log.room < (uint64_t)st.st_size && ftruncate(cow->log.fd, (off_t)cow->log.room) < 0)
		return br_error_set(err, errno, "%s/map: cannot cut a torn record: %s", cow->dir,
			strerrordesc_np(errno));
	return count_slots(cow, (uint64_t)st_slots.st_size, err);
}

int cow_log_open(struct br_cow *cow, struct br_error *err)
{
	br_cleanup(br_freep) char *map = br_path_join(cow->dir, "map");
	br_cleanup(br_freep) char *slots = br_path_join(cow->dir, "slots");
	bool fresh;
	int r, how = cow->frozen ? O_RDONLY | O_NOFOLLOW : O_RDWR;

	if (!map || !slots)
		return br_error_set(err, ENOMEM, "%s: out of memory", cow->dir);
	fresh = !cow->frozen && access(map, F_OK) < 0 && errno == ENOENT;
	cow->slots.fd = open(slots, how | O_CLOEXEC | (fresh ? O_CREAT | O_TRUNC : 0), 0600);
	if (cow->slots.fd < 0)
		return br_error_set(err, errno, "%s: %s", slots, strerrordesc_np(errno));
	if (fresh) {
		r = log_create(cow, map, err);
		if (r < 0)
			return r;
	}
	cow->log.fd = open(map, how | O_CLOEXEC);
	if (cow->log.fd < 0)
		return br_error_set(err, errno, "%s: %s", map, strerrordesc_np(errno));
	return log_load(cow, err);
}

void cow_log_done(struct br_cow *cow)
{
	if (cow->log.fd >= 0)
		close(cow->log.fd);
}

/* A record in fresh memory. */
static uint8_t *record_make(
	const struct br_cow *cow, uint64_t seq, uint32_t flags, const struct cow_entry *entries, uint32_t n)
{
	size_t len = COW_RECORD_SIZE + (size_t)n * COW_ENTRY_SIZE;
	uint8_t *rec = calloc(1, len);

	if (!rec)
		return NULL;
	br_store_le32(rec, COW_RECORD_MAGIC);
	br_store_le32(rec + 4, n);
	br_store_le64(rec + 8, seq);
	br_store_le32(rec + 16, flags);
	for (uint32_t i = 0; i < n; i++) {
		uint8_t *p = rec + COW_RECORD_SIZE + (size_t)i * COW_ENTRY_SIZE;

		br_store_le32(p, entries[i].block);
		br_store_le32(p + 4, entries[i].value);
		br_store_le32(p + 8, entries[i].crc);
	}
	br_store_le32(rec + 20, cow_record_crc(cow->log.seed, rec, len));
	return rec;
}

/*
 * Zeros behind the record, for the next ones: a record that goes where the host's file has blocks already is synced
 * without a commit of the host's journal. The file stays within a small multiple of what is in it. Only saves time.
 */
static void make_room(struct br_cow *cow, uint64_t end)
{
	static const uint8_t zeros[ROOM_MAX];
	uint64_t room = end < ROOM_MIN ? ROOM_MIN : end < ROOM_MAX ? end : ROOM_MAX;

	if (end <= cow->log.room)
		return;
	cow->log.room = end;
	if (cow_pwrite(cow, cow->log.fd, zeros, (size_t)room, end) == 0)
		cow->log.room = end + room;
	else if (ftruncate(cow->log.fd, (off_t)end) < 0) /* what is there of them are zeros, too */
		return;
}

int cow_log_append(struct br_cow *cow, const struct cow_entry *entries, uint32_t n)
{
	size_t len = COW_RECORD_SIZE + (size_t)n * COW_ENTRY_SIZE;
	br_cleanup(br_freep) uint8_t *rec = record_make(cow, cow->log.seq + 1, 0, entries, n);
	ssize_t r;

	if (!rec)
		return -ENOMEM;
	r = cow_pwrite(cow, cow->log.fd, rec, len, cow->log.end);
	if (r < 0) {
		/* half a record would hide the next ones */
		if (ftruncate(cow->log.fd, (off_t)cow->log.end) < 0)
			cow->broken = true;
		cow->log.room = cow->log.end;
		return (int)r;
	}
	make_room(cow, cow->log.end + len);
	/* both ways to the disk at once; a host without this call only takes longer */
	if (!cow->relaxed)
		(void)sync_file_range(cow->log.fd, (off_t)cow->log.end, (off_t)len, SYNC_FILE_RANGE_WRITE);
	r = cow->relaxed ? 0 : br_cow_settle(cow);
	if (r < 0)
		return (int)r;
	cow->log.end += len;
	cow->log.seq++;
	cow->log.n_entries += n;
	return 0;
}

static int compact_write(struct br_cow *cow, int fd, uint64_t *ret_end)
{
	br_cleanup(br_freep) struct cow_entry *entries = malloc(((size_t)cow->n_mapped + cow->n_pend + 1) * sizeof(*entries));
	br_cleanup(br_freep) uint8_t *rec = NULL;
	uint8_t h[COW_HEADER_SIZE];
	uint32_t n = 0;
	int r;

	if (!entries)
		return -ENOMEM;
	for (uint32_t b = 0; b < cow->n_blocks; b++) {
		const struct cow_pending *e;
		uint32_t v;

		if (!cow->leaves[b / COW_LEAF]) {
			b |= COW_LEAF - 1;
			continue;
		}
		e = cow_pend_find(cow, b);
		v = e ? e->committed : cow_get(cow, b);
		if (v)
			entries[n++] = (struct cow_entry){ b, v, 0 };
	}
	rec = record_make(cow, 1, COW_RECORD_BASE, entries, n);
	if (!rec)
		return -ENOMEM;
	header_make(cow, h);
	r = (int)cow_pwrite(cow, fd, h, sizeof(h), 0);
	if (r < 0)
		return r;
	*ret_end = COW_HEADER_SIZE + COW_RECORD_SIZE + (uint64_t)n * COW_ENTRY_SIZE;
	r = (int)cow_pwrite(cow, fd, rec, (size_t)(*ret_end - COW_HEADER_SIZE), COW_HEADER_SIZE);
	if (r < 0)
		return r;
	return cow->io->fdatasync(cow->io->ctx, fd) < 0 ? -errno : 0;
}

/* Writes what is committed: for blocks of the pending group, what they were before. */
int cow_log_compact(struct br_cow *cow, bool force)
{
	br_cleanup(br_freep) char *map = br_path_join(cow->dir, "map");
	br_cleanup(br_freep) char *fresh = br_path_join(cow->dir, "map.new");
	br_cleanup(br_closep) int fd = -1;
	uint64_t end;
	int r;

	if (!map || !fresh)
		return -ENOMEM;
	if (!force && cow->log.n_entries < 4096 + 4ull * cow->n_mapped)
		return 0;
	fd = open(fresh, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = compact_write(cow, fd, &end);
	if (r == 0 && rename(fresh, map) < 0)
		r = -errno;
	if (r < 0) {
		unlink(fresh);
		return r;
	}
	/* The old log says the same, so either may survive a crash until here; what comes next must go to the one
	 * that stays. */
	r = br_sync_dir(cow->dir);
	if (r < 0)
		cow->broken = true;
	close(cow->log.fd);
	cow->log.fd = br_take_fd(fd);
	cow->log.end = cow->log.room = end;
	cow->log.seq = 1;
	cow->log.n_entries = cow->n_mapped;
	return r;
}

int br_cow_fork(struct br_cow *cow, const char *dir, const uint8_t uuid[16], uint64_t size, struct br_error *err)
{
	br_cleanup(br_freep) char *slots = br_path_join(cow->dir, "slots"), *new_slots = br_path_join(dir, "slots");
	br_cleanup(br_freep) char *map = br_path_join(dir, "map");
	br_cleanup(br_closep) int fd = -1;
	struct br_cow as = *cow;
	uint8_t h[COW_HEADER_SIZE];
	uint64_t end;
	int r;

	if (!slots || !new_slots || !map)
		return br_error_set(err, ENOMEM, "%s: out of memory", dir);
	if (link(slots, new_slots) < 0)
		return br_error_set(err, errno, "%s: cannot be linked to %s: %m", slots, new_slots);
	as.size = size;
	memcpy(as.uuid, uuid, sizeof(as.uuid));
	header_make(&as, h);
	as.log.seed = br_load_le32(h + 60);
	fd = open(map, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : compact_write(&as, fd, &end);
	if (!r)
		r = br_sync_dir(dir);
	return r < 0 ? br_error_set(err, -r, "%s: cannot write: %s", map, strerrordesc_np(-r)) : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The map log of a copy-on-write layer. The input is a log; its checksums are made right first, as a fuzzer cannot. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/hash.h"
#include "store/cow_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BASE  (256u * BR_COW_BLOCK)
#define SLOTS 16u

static char dir[64], map[80], slots[80];
static int base_fd = -1;

static void set_up(void)
{
	if (base_fd >= 0)
		return;
	strcpy(dir, "/tmp/bramble-fuzz.XXXXXX");
	base_fd = memfd_create("base", MFD_CLOEXEC);
	if (!mkdtemp(dir) || base_fd < 0 || ftruncate(base_fd, BASE) < 0)
		abort();
	snprintf(map, sizeof(map), "%s/map", dir);
	snprintf(slots, sizeof(slots), "%s/slots", dir);
}

static void put_file(const char *path, const void *data, size_t size, off_t length)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || br_pwrite_all(fd, data, size, 0) < 0 || ftruncate(fd, length) < 0)
		abort();
	close(fd);
}

/* The header gets its checksum; so does what looks like a record, unless its flags say 'leave it bad'. */
static void repair(uint8_t *log, size_t size)
{
	uint32_t seed;
	size_t at = COW_HEADER_SIZE;

	if (size < COW_HEADER_SIZE)
		return;
	br_store_le32(log + 60, br_crc32c(0, log, 60));
	seed = br_load_le32(log + 60);
	while (size - at >= COW_RECORD_SIZE && br_load_le32(log + at) == COW_RECORD_MAGIC) {
		uint32_t n = br_load_le32(log + at + 4);
		size_t len;

		if (n > (size - at - COW_RECORD_SIZE) / COW_ENTRY_SIZE)
			break;
		len = COW_RECORD_SIZE + (size_t)n * COW_ENTRY_SIZE;
		if (!(log[at + 19] & 0x80))
			br_store_le32(log + at + 20, cow_record_crc(seed, log + at, len));
		at += len;
	}
}

static int no_sync(void *ctx, int fd)
{
	return 0;
}

static ssize_t plain_pwrite(void *ctx, int fd, const void *buf, size_t n, off_t offset)
{
	return pwrite(fd, buf, n, offset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct br_cow_io io = { .pwrite = plain_pwrite, .fdatasync = no_sync };
	static const uint8_t uuid[16] = "0123456789abcdef";
	static uint8_t all[BASE];
	uint8_t *log = malloc(size + 1);
	struct br_cow *cow;

	set_up();
	memcpy(log, data, size);
	repair(log, size);
	put_file(map, log, size, (off_t)size);
	put_file(slots, "slot", 4, SLOTS * BR_COW_BLOCK);
	free(log);
	if (br_cow_open(base_fd, 0, BASE, dir, uuid, &io, &cow, NULL) < 0)
		return 0;
	/* a layer that opens must work and open again as it was */
	br_cow_begin(cow);
	if (br_cow_write_data(cow, 4096 * 3, "data", 4) < 0 || br_cow_write_meta(cow, 4096 * 7 + 1, "meta", 4) < 0)
		abort();
	br_cow_end(cow, true);
	if (br_cow_read(cow, 0, all, BASE) < 0 || br_cow_commit(cow) < 0)
		abort();
	if (cow_log_compact(cow, size & 1) < 0)
		abort();
	br_cow_close(cow);
	if (br_cow_open(base_fd, 0, BASE, dir, uuid, &io, &cow, NULL) < 0)
		abort();
	if (br_cow_read(cow, 0, all, BASE) < 0 || memcmp(all + 4096 * 3, "data", 4) != 0 ||
		memcmp(all + 4096 * 7 + 1, "meta", 4) != 0)
		abort();
	br_cow_close(cow);
	return 0;
}

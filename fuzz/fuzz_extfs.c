/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ext4 images. The input is patches over a small image made by mke2fs -d
 * (fuzz/extfs-base/): a byte names the image, then each patch is 3 bytes of offset,
 * 1 byte of length and the bytes. So the fuzzer's inputs stay short. Each is walked,
 * read and written like a board would. A base is stored without its zeros: the number
 * of blocks of 1 KiB u32, then number u32 and content of each block that is not zero.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "store/cow.h"
#include "store/extfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N_IMAGES 5
#define MAX_NODES 300

static struct image {
	char *data;
	size_t len;
} images[N_IMAGES];
static char dir[64];
static int base_fd = -1;

static void unpack(struct image *im, const char *data, size_t len)
{
	im->len = (size_t)br_load_le32(data) * 1024;
	im->data = calloc(1, im->len);
	for (size_t at = 4; at + 1028 <= len; at += 1028)
		memcpy(im->data + (size_t)br_load_le32(data + at) * 1024, data + at + 4, 1024);
}

static void set_up(void)
{
	static const char *const names[N_IMAGES] = { "plain", "csum", "maps", "journal", "inline" };

	if (base_fd >= 0)
		return;
	for (int i = 0; i < N_IMAGES; i++) {
		char path[600], *data;
		size_t len;

		snprintf(path, sizeof(path), "%s/extfs-base/%s.blocks", FUZZ_DIR, names[i]);
		if (br_file_read(path, 4 << 20, &data, &len, NULL) < 0) {
			fprintf(stderr, "%s: cannot read\n", path);
			abort();
		}
		unpack(&images[i], data, len);
		free(data);
	}
	strcpy(dir, "/tmp/bramble-fuzz.XXXXXX");
	base_fd = memfd_create("base", MFD_CLOEXEC);
	if (!mkdtemp(dir) || base_fd < 0)
		abort();
}

static size_t load(const uint8_t *data, size_t size)
{
	const struct image *im = &images[size ? data[0] % N_IMAGES : 0];
	char *copy = malloc(im->len);

	memcpy(copy, im->data, im->len);
	for (size_t at = 1; at + 4 <= size;) {
		size_t offset = ((size_t)data[at] | (size_t)data[at + 1] << 8 | (size_t)data[at + 2] << 16) % im->len;
		size_t n = data[at + 3];

		at += 4;
		if (n > size - at)
			n = size - at;
		if (n > im->len - offset)
			n = im->len - offset;
		memcpy(copy + offset, data + at, n);
		at += n;
	}
	if (ftruncate(base_fd, (off_t)im->len) < 0 || br_pwrite_all(base_fd, copy, im->len, 0) < 0)
		abort();
	free(copy);
	return im->len;
}

struct walk {
	struct br_fs *fs;
	uint64_t inos[MAX_NODES];
	size_t n;
	unsigned entries;
};

static int on_entry(void *ctx, const struct br_fs_dirent *e)
{
	struct walk *w = ctx;

	if (++w->entries > 5000)
		return 1;
	for (size_t i = 0; i < w->n; i++)
		if (w->inos[i] == e->ino)
			return 0;
	if (w->n < MAX_NODES)
		w->inos[w->n++] = e->ino;
	return 0;
}

static void look(struct walk *w, uint64_t ino)
{
	static uint8_t buf[1 << 17];
	char link[4096];
	struct br_fs_attr a;
	uint64_t found;
	size_t got;
	bool eof;

	w->fs->ops->getattr(w->fs, ino, &a);
	w->fs->ops->readdir(w->fs, ino, 0, on_entry, w, &eof);
	w->fs->ops->lookup(w->fs, ino, "file", &found);
	w->fs->ops->lookup(w->fs, ino, "..", &found);
	w->fs->ops->readlink(w->fs, ino, link, sizeof(link));
	w->fs->ops->read(w->fs, ino, 0, buf, sizeof(buf), &got, &eof);
	w->fs->ops->read(w->fs, ino, 3ull << 32, buf, 5000, &got, &eof);
}

static void change(struct br_fs *fs, uint64_t ino, size_t i)
{
	static const uint32_t types[] = { S_IFREG, S_IFDIR, S_IFLNK, S_IFCHR };
	static const uint8_t buf[20000] = { 1 };
	static char target[200];
	struct br_fs_new new = { .mode = types[i % 4] | 0755, .rdev_major = 4, .rdev_minor = 300 };
	struct br_fs_setattr a = { .set = BR_FS_SET_SIZE | BR_FS_SET_UID | BR_FS_SET_MODE, .mode = 0640, .size = i * 700, .uid = 70000 };
	uint64_t made = 0;
	char name[40];

	memset(target, 'l', sizeof(target) - 1);
	if (S_ISLNK(new.mode))
		new.target = target + i % 190;
	snprintf(name, sizeof(name), "new file number %zu", i);
	fs->ops->write(fs, ino, (i % 5) * 30000, buf, 1 + i * 1000 % sizeof(buf));
	fs->ops->setattr(fs, ino, &a);
	if (fs->ops->create(fs, ino, name, &new, &made) == 0) {
		fs->ops->write(fs, made, i * 100, buf, sizeof(buf));
		fs->ops->rename(fs, ino, name, fs->ops->root(fs), "moved");
		fs->ops->link(fs, made, ino, name);
	}
	fs->ops->unlink(fs, ino, "file");
	fs->ops->unlink(fs, ino, "link");
	fs->ops->rmdir(fs, ino, "dir");
	fs->ops->rename(fs, ino, "big", ino, "bigger");
	if (i % 7 == 0)
		fs->ops->commit(fs);
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
	static struct walk w;
	struct br_cow *cow;
	char path[80];
	size_t len;

	set_up();
	len = load(data, size);
	snprintf(path, sizeof(path), "%s/map", dir);
	unlink(path);
	if (br_cow_open(base_fd, 0, len, dir, uuid, &io, &cow, NULL) < 0)
		abort();
	memset(&w, 0, sizeof(w));
	if (br_extfs_open(cow, true, &w.fs, NULL) == 0) {
		w.inos[w.n++] = w.fs->ops->root(w.fs);
		for (size_t i = 0; i < w.n && i < 60; i++)
			look(&w, w.inos[i]);
		for (size_t i = 0; i < w.n && i < 24; i++)
			change(w.fs, w.inos[i], i);
		w.fs->ops->commit(w.fs);
		w.fs->ops->close(w.fs);
	}
	br_cow_close(cow);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Operations on a projected file system, chosen by the bytes: each answers, and what is listed can be looked up. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "store/projfs.h"
#include "tests/unit/memfs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct br_projection entries[] = {
	{ .path = "/etc/fstab", .data = "projected", .len = 9, .mode = 0640 },
	{ .path = "/etc/mtab", .data = "projected mtab", .len = 14, .mode = 0644 },
	{ .path = "/etc/id", .data = "0123456789", .len = 10, .mode = 0444 },
	{ .path = "/etc/zone", .data = "../usr/zone", .len = 11, .symlink = true },
	{ .path = "/etc/ssh/key" },
};

struct check {
	struct br_fs *fs;
	uint64_t dir;
};

static int listed(void *ctx, const struct br_fs_dirent *d)
{
	struct check *c = ctx;
	struct br_fs_attr attr;
	uint64_t ino;

	if (c->fs->ops->lookup(c->fs, c->dir, d->name, &ino) || ino != d->ino || c->fs->ops->getattr(c->fs, ino, &attr) ||
		attr.ino != ino)
		abort();
	return 0;
}

static void step(struct br_fs *fs, const uint8_t *b)
{
	static const char *const names[] = { "fstab", "mtab", "id", "zone", "key", "ssh", "etc", "usr" };
	static const uint32_t types[] = { S_IFREG | 0644, S_IFDIR | 0755, S_IFLNK | 0777, S_IFIFO | 0600 };
	const struct br_fs_new node = { .mode = types[b[3] & 3], .target = "x" };
	const struct br_fs_setattr attr = { .set = b[4] & 63, .mode = b[5], .uid = b[6], .size = b[7] };
	/* inode numbers as a client may make them up */
	uint64_t dir = b[1] & 0x80 ? BR_PROJFS_INO + (b[1] & 7) : b[1] & 15, other = b[2] & 15, ino = other;
	const char *name = names[b[3] >> 2 & 7], *name2 = names[b[3] >> 5 & 7];
	struct check c = { .fs = fs, .dir = dir };
	struct br_fs_attr got;
	char buf[64];
	size_t n;
	bool eof;

	if (b[2] & 0x80)
		ino = BR_PROJFS_INO + (b[2] & 7);
	switch (b[0] % 10) {
	case 0: fs->ops->create(fs, dir, name, &node, &ino); break;
	case 1: fs->ops->unlink(fs, dir, name); break;
	case 2: fs->ops->rmdir(fs, dir, name); break;
	case 3: fs->ops->rename(fs, dir, name, other, name2); break;
	case 4: fs->ops->link(fs, ino, dir, name); break;
	case 5: fs->ops->setattr(fs, ino, &attr); break;
	case 6: fs->ops->write(fs, ino, b[4], "written", b[5] & 7); break;
	case 7: fs->ops->read(fs, ino, b[4], buf, b[5] & 63, &n, &eof); break;
	case 8: fs->ops->readlink(fs, ino, buf, b[5] & 63 ? b[5] & 63 : 1); break;
	case 9: fs->ops->readdir(fs, dir, b[4] & 128 ? BR_PROJFS_COOKIE + b[5] : b[5] & 7, listed, &c, &eof); break;
	}
	if (!fs->ops->getattr(fs, ino, &got) && got.ino != ino)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct br_fs *base = memfs_new(), *below, *fs;

	memfs_put(base, "/etc/fstab", 0644, "the image's");
	memfs_put_link(base, "/etc/mtab", "/proc/mounts");
	memfs_put(base, "/etc/ssh/key", 0600, "secret");
	memfs_put(base, "/usr/zone", 0644, "zone");
	below = memfs_clone(base);
	if (br_projfs_open(below, base, entries, BR_ARRAY_SIZE(entries), &fs, NULL) < 0)
		abort();
	for (size_t at = 0; at + 8 <= size && at < 8 * 500; at += 8)
		step(fs, data + at);
	fs->ops->close(fs);
	below->ops->close(below);
	base->ops->close(base);
	return 0;
}

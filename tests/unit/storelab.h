/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A store with one small image 'card' (MBR, FAT, ext4 with etc/motd), and places for disks on it. */
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "store/disk.h"
#include "store/image.h"
#include "tests/unit/shell.h"

#define TOOLS "sfdisk mkfs.fat mke2fs e2fsck dumpe2fs debugfs"

BR_DEFINE_CLEANUP(struct br_image *, br_image_unref);

static struct br_store *store;
static const char *dir;
static char disk_dir[300], other_dir[300];

static inline void lab_import(const char *name)
{
	struct br_import_options opt = { .quiet = true, .name = name };
	br_cleanup(br_freep) char *path = br_asprintf("%s/%s.img", dir, name);
	struct br_error err = BR_ERROR_NULL;

	if (br_store_import(store, path, &opt, NULL, &err) < 0)
		fail_msg("%s", err.text);
}

static inline int set_up(void **state)
{
	static const char script[] =
		"set -e; cd '%s'; mkdir -p root/etc; echo hello >root/etc/motd\n"
		"truncate -s 24M card.img\n"
		"printf 'label: dos\\nstart=2048,size=8192,type=c\\nstart=16384,size=32768,type=83\\n' | sfdisk -q card.img 2>/dev/null\n"
		"mkfs.fat -F 16 -s 1 --offset 2048 card.img 4096 >/dev/null 2>&1\n"
		"mke2fs -q -F -t ext4 -b 4096 -d root -E offset=8388608 card.img 16M 2>/dev/null\n";
	struct br_error err = BR_ERROR_NULL;
	br_cleanup(br_freep) char *state_dir = NULL;

	dir = test_dir();
	state_dir = br_path_join(dir, "state");
	snprintf(disk_dir, sizeof(disk_dir), "%s/state/disks/1/persistent", dir);
	snprintf(other_dir, sizeof(other_dir), "%s/state/disks/2/persistent", dir);
	if (test_sh(script, dir) != 0)
		return 0; /* without the tools: each test skips */
	if (br_store_open(state_dir, &store, &err) < 0)
		fail_msg("%s", err.text);
	lab_import("card");
	return 0;
}

static inline int tear_down(void **state)
{
	br_store_close(store);
	return br_remove_tree(dir, NULL);
}

static inline struct br_image *image_open(const char *name)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_image *image;

	if (br_image_open(store, name, &image, &err) < 0)
		fail_msg("%s", err.text);
	return image;
}

static inline struct br_disk *disk_open(struct br_image *image, const char *where)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_disk *disk;

	if (br_disk_open(image, where, &disk, &err) < 0)
		fail_msg("%s", err.text);
	return disk;
}

/* In the root directory; made when it is not there. */
static inline void write_file(struct br_fs *fs, const char *name, const char *text)
{
	struct br_fs_new new = { .mode = S_IFREG | 0644 };
	uint64_t ino;

	if (br_fs_walk(fs, name, &ino) < 0)
		assert_int_equal(fs->ops->create(fs, fs->ops->root(fs), name, &new, &ino), 0);
	assert_int_equal(fs->ops->write(fs, ino, 0, text, strlen(text)), 0);
}

/* The first bytes of it, valid until the next call. */
static inline const char *read_file(struct br_fs *fs, const char *path)
{
	static char buf[100];
	uint64_t ino;
	size_t got;
	bool eof;

	if (br_fs_walk(fs, path, &ino) < 0)
		return "(missing)";
	assert_int_equal(fs->ops->read(fs, ino, 0, buf, sizeof(buf) - 1, &got, &eof), 0);
	buf[got] = 0;
	return buf;
}

static inline void assert_clean(struct br_disk *disk)
{
	br_cleanup(br_freep) char *path = br_path_join(dir, "export.img");
	struct br_error err = BR_ERROR_NULL;

	unlink(path);
	if (br_disk_export(disk, path, true, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(test_sh("PATH=$PATH:/usr/sbin:/sbin; e2fsck -fn %s >%s.log 2>&1 || { cat %s.log; exit 1; }", path, path,
				 path), 0);
	unlink(path);
}

static inline void freeze(struct br_disk *disk, char id[33])
{
	struct br_error err = BR_ERROR_NULL;

	if (br_disk_freeze(disk, id, &err) < 0)
		fail_msg("%s", err.text);
}

static inline int count(const char *what)
{
	br_cleanup(br_freep) char *cmd = br_asprintf("ls -d %s/state/%s 2>/dev/null | wc -l", dir, what);
	FILE *f = popen(cmd, "r");
	int n = -1;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &n), 1);
	pclose(f);
	return n;
}

static inline int gc(bool dry)
{
	struct br_error err = BR_ERROR_NULL;
	int r = br_store_gc(store, dry, NULL, NULL, &err);

	if (r < 0)
		fail_msg("%s", err.text);
	return r;
}

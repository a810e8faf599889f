/* SPDX-License-Identifier: Apache-2.0 */
/* Disks of an image in a store: made, locked, closed, opened again, exported; and the image's own file system. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/storelab.h"

static void assert_file(struct br_fs *fs, const char *path, const char *text)
{
	assert_string_equal(read_file(fs, path), text);
}

static void a_disk_keeps_what_was_written(void **state)
{
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	struct br_disk_usage usage;
	struct br_disk *disk;
	struct br_fs *plain;
	uint8_t uuid[16], sector[512];
	uint64_t ino;

	test_needs(TOOLS);
	image = image_open("card");
	disk = disk_open(image, disk_dir);
	assert_ptr_equal(br_disk_image(disk), image);
	memcpy(uuid, br_disk_uuid(disk), 16);
	assert_file(br_disk_fs(disk), "/etc/motd", "hello\n");
	write_file(br_disk_fs(disk), "new", "from a board");
	br_disk_close(disk);

	disk = disk_open(image, disk_dir);
	assert_memory_equal(br_disk_uuid(disk), uuid, 16);
	assert_file(br_disk_fs(disk), "/new", "from a board");
	br_disk_usage(disk, &usage);
	assert_int_equal(usage.base_bytes, 16 << 20);
	assert_true(usage.changed_bytes >= 4096 && usage.changed_bytes < 1 << 20);
	assert_true(usage.stored_bytes >= usage.changed_bytes && usage.stored_bytes < 2 << 20);
	assert_int_equal(br_disk_read(disk, 1024, sector, sizeof(sector)), 0);
	assert_int_equal(sector[56] | sector[57] << 8, 0xef53);

	/* the image is as it was */
	assert_int_equal(br_image_fs(image, &plain, NULL), 0);
	assert_file(plain, "/etc/motd", "hello\n");
	assert_int_equal(br_fs_walk(plain, "/new", &ino), -ENOENT);
	assert_int_equal(plain->ops->unlink(plain, 2, "etc"), -EROFS);
	plain->ops->close(plain);
	br_disk_close(disk);
	br_disk_close(NULL);
	assert_int_equal(br_remove_tree(disk_dir, NULL), 0);
}

static void export_is_clean(void **state)
{
	br_cleanup(br_freep) char *path = NULL;
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_disk *disk;
	struct stat st;

	test_needs(TOOLS);
	image = image_open("card");
	disk = disk_open(image, disk_dir);
	path = br_path_join(dir, "export.img");
	write_file(br_disk_fs(disk), "a", "not yet committed");
	assert_int_equal(br_disk_export(disk, path, true, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 16 << 20);
	assert_true(st.st_blocks * 512 < 4 << 20);
	assert_int_equal(test_sh("PATH=$PATH:/usr/sbin:/sbin; e2fsck -fn %s >/dev/null 2>&1 && "
				 "debugfs -R 'cat a' %s 2>/dev/null | grep -q '^not yet committed$'", path, path), 0);
	assert_int_equal(br_disk_export(disk, path, true, &err), -EEXIST);
	assert_non_null(strstr(err.text, "export.img"));
	assert_int_equal(br_disk_export(disk, "/nonexistent/x", true, &err), -ENOENT);
	br_disk_close(disk);
	assert_int_equal(br_remove_tree(disk_dir, NULL), 0);
}

/* Files that come and go, so that slots are used again. */
static void change(struct br_disk *disk, unsigned from)
{
	struct br_fs *fs = br_disk_fs(disk);
	char name[20], text[40];

	for (unsigned i = from; i < from + 20; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		snprintf(text, sizeof(text), "text %u", i);
		write_file(fs, name, text);
		assert_int_equal(fs->ops->commit(fs), 0);
		assert_int_equal(fs->ops->unlink(fs, fs->ops->root(fs), name), 0);
		assert_int_equal(fs->ops->commit(fs), 0);
	}
}

static void a_view_stays_while_the_disk_changes(void **state)
{
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	br_cleanup(br_freep) char *path = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_disk *disk, *view, *again;
	char layer[33];
	uint64_t ino;

	test_needs(TOOLS);
	image = image_open("card");
	disk = disk_open(image, disk_dir);
	path = br_path_join(dir, "view.img");
	unlink(path);
	for (unsigned i = 0; i < 30; i++) { /* files as blocks that are given up later */
		char name[20];

		snprintf(name, sizeof(name), "old%u", i);
		write_file(br_disk_fs(disk), name, "as it was");
	}
	if (br_disk_view(disk, &lock, &view, &err) < 0)
		fail_msg("%s", err.text);
	for (unsigned i = 0; i < 30; i++) {
		char name[20];

		snprintf(name, sizeof(name), "old%u", i);
		assert_int_equal(br_disk_fs(disk)->ops->unlink(br_disk_fs(disk), 2, name), 0);
	}
	change(disk, 0);
	assert_int_equal(br_disk_view(disk, &lock, &again, NULL), 0);
	assert_int_equal(br_fs_walk(br_disk_fs(again), "/old7", &ino), -ENOENT);
	br_disk_close(again);
	br_disk_close(disk); /* the slots stay also when the disk is opened anew */
	disk = disk_open(image, disk_dir);
	change(disk, 100);
	assert_file(br_disk_fs(view), "/old7", "as it was");
	assert_int_equal(br_disk_freeze(disk, layer, &err), 0);
	change(disk, 200);
	assert_file(br_disk_fs(view), "/old8", "as it was");
	assert_int_equal(br_disk_fs(view)->ops->unlink(br_disk_fs(view), 2, "old8"), -EROFS);
	br_disk_close(disk);
	assert_int_equal(br_remove_tree(disk_dir, NULL), 0);
	assert_int_equal(br_disk_export(view, path, true, &err), 0);
	assert_int_equal(test_sh("PATH=$PATH:/usr/sbin:/sbin; e2fsck -fn %s >/dev/null 2>&1 && "
				 "debugfs -R 'cat old29' %s 2>/dev/null | grep -q '^as it was$'", path, path), 0);
	br_disk_close(view);
}

static void a_relaxed_disk_is_lost_with_the_host_only(void **state)
{
	br_cleanup(br_freep) char *marker = br_path_join(disk_dir, "relaxed");
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_disk_snapshot snapshot;
	struct br_disk *disk;
	int status;
	pid_t child;

	test_needs(TOOLS);
	image = image_open("card");
	for (int way = 0; way < 2; way++) {
		child = fork();
		if (child == 0) { /* dies without a close */
			disk = disk_open(image, disk_dir);
			if (br_disk_relax(disk, &err) < 0)
				_exit(1);
			write_file(br_disk_fs(disk), "before", "x");
			if (way && br_disk_snapshot(disk, "s", &snapshot, &err) < 0)
				_exit(2);
			write_file(br_disk_fs(disk), "acknowledged", "y");
			_exit(br_disk_fs(disk)->ops->commit(br_disk_fs(disk)) ? 3 : 0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
		assert_int_equal(access(marker, F_OK), 0);
		assert_false(br_disk_lost(disk_dir));
		if (!way) {
			disk = disk_open(image, disk_dir);
			assert_int_equal(access(marker, F_OK), -1); /* stable now */
			assert_file(br_disk_fs(disk), "/acknowledged", "y");
			assert_int_equal(br_disk_relax(disk, &err), 0);
			br_disk_close(disk);
			assert_int_equal(access(marker, F_OK), -1);
			assert_int_equal(br_remove_tree(disk_dir, NULL), 0);
		}
	}
	/* as if the host had been started anew */
	assert_int_equal(test_sh("echo another >%s", marker), 0);
	assert_true(br_disk_lost(disk_dir));
	assert_int_equal(br_disk_open(image, disk_dir, &disk, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "disk rollback"));
	assert_int_equal(br_disk_rollback(image, disk_dir, "s", &err), 0);
	disk = disk_open(image, disk_dir);
	assert_file(br_disk_fs(disk), "/before", "x");
	br_disk_close(disk);
	assert_int_equal(br_remove_tree(disk_dir, NULL), 0);
	assert_true(br_store_gc(store, false, NULL, NULL, NULL) >= 1);
}

static void what_does_not_fit_is_refused(void **state)
{
	br_cleanup(br_image_unrefp) struct br_image *card = NULL, *other = NULL;
	br_cleanup(br_freep) char *json = NULL, *map = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_disk *disk, *second;
	pid_t child;
	int status;

	test_needs(TOOLS);
	card = image_open("card");
	assert_int_equal(test_sh("cd '%s'; cp --sparse=always card.img other.img; "
				 "printf x | dd of=other.img bs=1 seek=1000000 conv=notrunc 2>/dev/null", dir), 0);
	lab_import("other");
	other = image_open("other");
	disk = disk_open(card, disk_dir);
	child = fork();
	if (child == 0) /* locks are per open file: another process sees it as this one would */
		_exit(br_disk_open(card, disk_dir, &second, &err) == -EBUSY && strstr(err.text, disk_dir) ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(br_disk_open(card, disk_dir, &second, &err), -EBUSY);
	assert_non_null(strstr(err.text, "in use"));
	br_disk_close(disk);
	assert_int_equal(br_disk_open(other, disk_dir, &second, &err), -ESTALE);
	assert_non_null(strstr(err.text, "another content"));
	json = br_path_join(disk_dir, "disk.json");
	map = br_path_join(disk_dir, "map");
	assert_int_equal(unlink(map), 0);
	assert_int_equal(br_disk_open(card, disk_dir, &second, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "missing"));
	assert_int_equal(br_file_write(json, "{", 1, 0600, NULL), 0);
	assert_int_equal(br_file_write(map, "x", 1, 0600, NULL), 0);
	assert_int_equal(br_disk_open(card, disk_dir, &second, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "disk.json"));
	/* a start that was interrupted before disk.json was there left a map: the disk is made anew */
	assert_int_equal(unlink(json), 0);
	br_disk_close(disk_open(card, disk_dir));
	assert_int_equal(br_remove_tree(disk_dir, NULL), 0);
}

static void disks_are_independent(void **state)
{
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_disk *disks[20];
	char path[400], text[40];

	test_needs(TOOLS);
	image = image_open("card");
	for (int i = 0; i < 20; i++) {
		snprintf(path, sizeof(path), "%s%d", disk_dir, i);
		snprintf(text, sizeof(text), "disk %d", i);
		if (br_disk_open(image, path, &disks[i], &err) < 0)
			fail_msg("%s", err.text);
		write_file(br_disk_fs(disks[i]), "which", text);
	}
	for (int i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "disk %d", i);
		assert_file(br_disk_fs(disks[i]), "/which", text);
		br_disk_close(disks[i]);
		snprintf(path, sizeof(path), "%s%d", disk_dir, i);
		assert_int_equal(br_remove_tree(path, NULL), 0);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_disk_keeps_what_was_written),
		cmocka_unit_test(export_is_clean),
		cmocka_unit_test(a_view_stays_while_the_disk_changes),
		cmocka_unit_test(a_relaxed_disk_is_lost_with_the_host_only),
		cmocka_unit_test(what_does_not_fit_is_refused),
		cmocka_unit_test(disks_are_independent),
	};

	return cmocka_run_group_tests_name("disk", tests, set_up, tear_down);
}

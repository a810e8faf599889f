/* SPDX-License-Identifier: Apache-2.0 */
/* The projection over a real disk: ext4 with its copy-on-write layer, checked by e2fsck afterwards. */
#include "tests/unit/test.h"

#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "store/disk.h"
#include "store/projfs.h"
#include "tests/unit/fsdiff.h"
#include "tests/unit/memfs.h"
#include "tests/unit/shell.h"

#define RUNS 12
#define STEPS 60

static const struct br_projection entries[] = {
	{ .path = "/etc/fstab", .data = "projected fstab\n", .len = 16, .mode = 0640, .uid = 1, .gid = 2 },
	{ .path = "/etc/mtab", .data = "projected mtab", .len = 14, .mode = 0644 },
	{ .path = "/etc/machine-id", .data = "0123456789", .len = 10, .mode = 0444 },
	{ .path = "/etc/zone", .data = "../usr/zone", .len = 11, .symlink = true },
	{ .path = "/etc/ssh/key" },
};

static const char script[] =
	"set -e; cd '%s'; mkdir -p root/etc/ssh root/usr; cd root\n"
	"echo \"the image's fstab\" >etc/fstab; echo localhost >etc/hosts; ln -s /proc/mounts etc/mtab\n"
	"echo secret >etc/ssh/key; printf zone >usr/zone; chmod 644 etc/fstab etc/hosts usr/zone; chmod 755 . etc etc/ssh usr\n"
	"cd ..; truncate -s 16M p.img; printf 'label: dos\\nstart=2048,type=83\\n' | sfdisk -q p.img 2>/dev/null\n"
	"mkfs.ext4 -q -F -E root_owner=0:0,offset=1048576 -d root p.img 15M 2>/dev/null";

/* What the board should see, made plainly. */
static struct br_fs *equivalent(void)
{
	const struct br_fs_setattr owner = { .set = BR_FS_SET_UID | BR_FS_SET_GID, .uid = 1, .gid = 2 };
	struct br_fs *fs = memfs_new();

	fs->ops->setattr(fs, memfs_put(fs, "/etc/fstab", 0640, "projected fstab\n"), &owner);
	memfs_put(fs, "/etc/hosts", 0644, "localhost\n");
	memfs_put(fs, "/etc/mtab", 0644, "projected mtab");
	memfs_mkdir(fs, "/etc/ssh");
	memfs_put(fs, "/usr/zone", 0644, "zone");
	memfs_put(fs, "/etc/machine-id", 0444, "0123456789");
	memfs_put_link(fs, "/etc/zone", "../usr/zone");
	return fs;
}

static void run(struct br_image *image, struct br_fs *base, unsigned seed)
{
	br_cleanup(br_freep) char *dir = br_asprintf("%s/disk%u", test_dir(), seed);
	br_cleanup(br_freep) char *out = br_asprintf("%s/out%u", test_dir(), seed);
	struct br_error err = BR_ERROR_NULL;
	struct br_fs *fs = NULL, *want = equivalent();
	struct br_disk *disk = NULL;

	if (br_disk_open(image, dir, &disk, &err) < 0 ||
		br_projfs_open(br_disk_fs(disk), base, entries, BR_ARRAY_SIZE(entries), &fs, &err) < 0)
		fail_msg("%s", err.text);
	fsdiff_run(fs, want, seed, STEPS);
	assert_int_equal(fs->ops->commit(fs), 0);
	fs->ops->close(fs);
	if (br_disk_export(disk, out, true, &err) < 0)
		fail_msg("%s", err.text);
	br_disk_close(disk);
	want->ops->close(want);
	assert_int_equal(test_sh("e2fsck -fn '%s' >'%s.log' 2>&1 || { cat '%s.log' >&2; false; }", out, out, out), 0);
}

static void a_real_disk_behaves_as_if_the_files_were_there(void **state)
{
	br_cleanup(br_freep) char *path = br_path_join(test_dir(), "p.img");
	struct br_error err = BR_ERROR_NULL;
	struct br_store *store = NULL;
	struct br_image *image = NULL;
	struct br_fs *base = NULL;

	test_needs("sfdisk mkfs.ext4 e2fsck");
	if (geteuid() != 0) {
		print_message("skipped: the files of the image must belong to root\n");
		skip();
	}
	assert_int_equal(test_sh(script, test_dir()), 0);
	if (br_store_open(test_dir(), &store, &err) < 0 ||
		br_store_import(store, path, &(struct br_import_options){ .quiet = true }, NULL, &err) < 0 ||
		br_image_open(store, "p", &image, &err) < 0 || br_image_fs(image, &base, &err) < 0)
		fail_msg("%s", err.text);
	for (unsigned seed = 1; seed <= RUNS; seed++)
		run(image, base, seed);
	base->ops->close(base);
	br_image_unref(image);
	br_store_close(store);
}

static int remove_dir(void **state)
{
	return br_remove_tree(test_dir(), NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(a_real_disk_behaves_as_if_the_files_were_there) };

	return cmocka_run_group_tests(tests, NULL, remove_dir);
}

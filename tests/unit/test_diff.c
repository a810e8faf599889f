/* SPDX-License-Identifier: Apache-2.0 */
/* What 'image diff' says of two images: every kind of change by its own, and nothing else. */
#include "tests/unit/test.h"

#include <unistd.h>

#include "store/diff.h"
#include "tests/unit/storelab.h"

/* One file each that debugfs then changes in one way. */
static const char make_card[] =
	"set -e; cd '%s'; mkdir -p root/d root/etc; cd root\n"
	"for f in same content mode owner xattr acl time type both size; do echo $f >d/$f; done\n"
	"ln -s one d/link; mknod d/node c 1 3 2>/dev/null || true; mkfifo d/fifo; mkdir d/dir d/attrdir; echo x >d/dir/in\n"
	"cd ..; cp card.img before.img; truncate -s 16M fs; mke2fs -q -F -t ext4 -b 4096 -I 256 -d root fs\n"
	"printf 'ea_set d/both user.a one\\nea_set d/same user.same x\\nea_set d/same user.other y\\n' | debugfs -w fs >/dev/null 2>&1\n"
	"mcopy -i before.img@@1048576 root/d/same ::config.txt\n"
	"cp before.img after.img; dd if=fs of=before.img bs=1M seek=8 conv=notrunc 2>/dev/null\n"
	"printf 'cd d\\nsif mode mode 0100600\\nsif owner uid 7\\nea_set xattr user.x 1\\nea_set attrdir user.x 1\\n"
	"sif time mtime @1000\\nrm type\\nmkdir type\\nsif both mode 0100755\\nea_set both user.a two\\nrm content\\nwrite root/d/dontent content\\n"
	"rm link\\nsymlink link two\\nrm node\\nmknod node c 1 5\\nrm dir/in\\nmkdir new\\nrm size\\nwrite root/d/longer size\\n"
	"sif content mtime @2000\\nsif size mtime @2000\\nsif node mtime @2000\\nsif link mtime @2000\\n' >cmds\n"
	"echo dontent >root/d/dontent; echo longer >root/d/longer; debugfs -w -f cmds fs >/dev/null 2>&1\n"
	"dd if=fs of=after.img bs=1M seek=8 conv=notrunc 2>/dev/null\n"
	"echo changed >x; mcopy -o -i after.img@@1048576 x ::config.txt; mcopy -i after.img@@1048576 x ::new.txt\n";

/* what of each path; ADDED, REMOVED */
#define ADDED	(1u << 30)
#define REMOVED (1u << 31)
static struct row {
	const char *path;
	unsigned must, may; /* may: times, which debugfs sets where it makes a file anew */
	bool seen;
} rows[] = {
	{ "/d/content", BR_DIFF_CONTENT, BR_DIFF_TIME | BR_DIFF_MODE, false },
	{ "/d/mode", BR_DIFF_MODE, 0, false },
	{ "/d/owner", BR_DIFF_OWNER, 0, false },
	{ "/d/xattr", BR_DIFF_XATTR, 0, false },
	{ "/d/attrdir", BR_DIFF_XATTR, 0, false },
	{ "/d/time", BR_DIFF_TIME, 0, false },
	{ "/d/type", BR_DIFF_TYPE, BR_DIFF_TIME | BR_DIFF_MODE, false },
	{ "/d/both", BR_DIFF_MODE | BR_DIFF_XATTR, 0, false },
	{ "/d/link", BR_DIFF_TARGET, BR_DIFF_TIME, false },
	{ "/d/node", BR_DIFF_DEVICE, BR_DIFF_TIME | BR_DIFF_MODE, false },
	{ "/d/dir/in", REMOVED, 0, false },
	{ "/d/new", ADDED, 0, false },
	{ "/d/size", BR_DIFF_CONTENT, BR_DIFF_TIME | BR_DIFF_MODE, false },
	{ "/boot/firmware/config.txt", BR_DIFF_CONTENT, BR_DIFF_TIME, false },
	{ "/boot/firmware/new.txt", ADDED, 0, false },
};

static int take(void *ctx, const struct br_diff *d)
{
	unsigned what = d->what | (d->before ? 0 : ADDED) | (d->after ? 0 : REMOVED);

	for (size_t i = 0; i < BR_ARRAY_SIZE(rows); i++) {
		if (strcmp(rows[i].path, d->path) != 0)
			continue;
		assert_false(rows[i].seen);
		rows[i].seen = true;
		if ((what & ~rows[i].may) != rows[i].must)
			fail_msg("%s: %x instead of %x", d->path, what, rows[i].must);
		return 0;
	}
	fail_msg("%s differs (%x)", d->path, what);
	return 0;
}

static int nothing(void *ctx, const struct br_diff *d)
{
	fail_msg("%s differs (%x)", d->path, d->what);
	return 0;
}

static void each_change_is_named_for_what_it_is(void **state)
{
	br_cleanup(br_image_unrefp) struct br_image *before = NULL, *after = NULL;
	struct br_error err = BR_ERROR_NULL;

	test_needs(TOOLS " mcopy");
	if (geteuid() != 0) {
		print_message("skipped: a device node is needed\n");
		skip();
	}
	assert_int_equal(test_sh("mkdir -p '%s/root/boot/firmware'", dir), 0);
	assert_int_equal(test_sh("cd '%s'; printf 'LABEL=x /boot/firmware vfat defaults 0 0\\n' >root/etc/fstab", dir), 0);
	assert_int_equal(test_sh(make_card, dir), 0);
	lab_import("before");
	lab_import("after");
	before = image_open("before");
	after = image_open("after");
	if (br_image_diff(before, after, take, NULL, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 0; i < BR_ARRAY_SIZE(rows); i++)
		if (!rows[i].seen)
			fail_msg("%s is not named", rows[i].path);
	assert_int_equal(br_image_diff(after, after, nothing, NULL, &err), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(each_change_is_named_for_what_it_is) };

	return cmocka_run_group_tests_name("diff", tests, set_up, tear_down);
}

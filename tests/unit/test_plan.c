/* SPDX-License-Identifier: Apache-2.0 */
/* Names, command lines and keys of a plan: the parts that are functions of their arguments. */
#include "tests/unit/test.h"

#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "plan/raminit.h"
#include "plan/bootpath.h"
#include "plan/cmdline.h"
#include "plan/disksweep.h"
#include "plan/sshkey.h"
#include "tests/unit/shell.h"

static void boot_names_are_cleaned(void **state)
{
	static const struct {
		const char *name, *clean; /* clean NULL: refused */
	} cases[] = {
		{ "config.txt", "config.txt" },
		{ "/config.txt", "config.txt" },
		{ "7bf18f79//config.txt", "7bf18f79/config.txt" }, /* a Pi 5 doubles the slash: wire notes 2.1 */
		{ "\\overlays\\vc4.dtbo", "overlays/vc4.dtbo" },
		{ "./a/./b", "a/b" },
		{ "a/..b/c..", "a/..b/c.." },
		{ "..", NULL },
		{ "a/../b", NULL },
		{ "a\\..\\b", NULL },
		{ "a/..", NULL },
		{ "", NULL },
		{ "/", NULL },
		{ ".", NULL },
		{ "a\nb", NULL },
		{ "a\x7f", NULL },
	};
	char out[64];

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		int r = br_boot_path_clean(cases[i].name, out, sizeof(out));

		assert_int_equal(r, cases[i].clean ? 0 : -EACCES);
		if (cases[i].clean)
			assert_string_equal(out, cases[i].clean);
	}
}

static void long_boot_names_are_refused(void **state)
{
	char name[200], out[64];

	for (size_t n = 60; n < 70; n++) {
		memset(name, 'x', n);
		name[n] = 0;
		assert_int_equal(br_boot_path_clean(name, out, sizeof(out)), n < 63 ? 0 : -EACCES);
		assert_true(strlen(out) < sizeof(out));
	}
}

static void command_lines_keep_what_is_not_about_the_root(void **state)
{
	const struct br_plan_server server = { .ip = 0x0a4d0001, .nfs_port = 2049 };
	const struct br_plan_server odd_port = { .ip = 0x0a4d0001, .nfs_port = 12049 };
#define NET "root=/dev/nfs nfsroot=10.77.0.1:/pi,vers=3,tcp,rsize=131072,wsize=131072 ip=dhcp rootwait rw"
	static const struct {
		const char *image, *board;
	} cases[] = {
		/* Raspberry Pi OS trixie */
		{ "console=serial0,115200 console=tty1 root=PARTUUID=8a438930-02 rootfstype=ext4 fsck.repair=yes "
		  "rootwait resize\n",
			"console=serial0,115200 console=tty1 " NET },
		/* bookworm's first boot */
		{ "console=tty1 root=PARTUUID=4e639091-02 rootfstype=ext4 fsck.repair=yes rootwait quiet "
		  "init=/usr/lib/raspberrypi-sys-mods/firstboot",
			"console=tty1 quiet " NET },
		{ "init=/bin/systemd cgroup_enable=memory\r\n", "init=/bin/systemd cgroup_enable=memory " NET },
		{ "ip=10.0.0.1 ro nfsroot=1.2.3.4:/x rw\tisolcpus=3", "isolcpus=3 " NET },
		{ "", NET },
		{ "rootkit=no rooted", "rootkit=no rooted " NET },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_freep) char *c = br_plan_make_cmdline(cases[i].image, &server, "/pi", false);

		assert_string_equal(c, cases[i].board);
	}
	br_cleanup(br_freep) char *c = br_plan_make_cmdline("", &odd_port, "/pi", false);
	assert_non_null(strstr(c, ",port=12049 "));
	br_cleanup(br_freep) char *ram = br_plan_make_cmdline("quiet boot=local rw", &server, "/pi", true);
	assert_string_equal(ram, "quiet root=/dev/nfs nfsroot=10.77.0.1:/pi,vers=3,tcp,rsize=131072,wsize=131072 ip=dhcp rootwait ro "
				 "boot=bramble");
}

/* The kernel looks for the next archive at a multiple of four. */
static void an_archive_goes_behind_the_initramfs(void **state)
{
	const struct br_span span = { (const uint8_t *)"12345", 5 };
	uint64_t size, sum = 0, at = 0;
	struct br_span *v;
	size_t n;

	v = br_ram_init_append(&span, 1, 5, &n, &size);
	assert_non_null(v);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < n; i++) {
		at = i + 1 < n ? at + v[i].len : at;
		sum += v[i].len;
	}
	assert_int_equal(sum, size);
	assert_true(at == 8 && size % 4 == 0);
	assert_memory_equal(v[2].data, "070701", 6);
	assert_non_null(memmem(v[2].data, v[2].len, "scripts/bramble", 16));
	assert_non_null(memmem(v[2].data, v[2].len, "TRAILER!!!", 11));
	assert_non_null(memmem(v[2].data, v[2].len, "mountroot()", 11));
	free(v);
	v = br_ram_init_append(&span, 1, 8, &n, &size);
	assert_int_equal(n, 2);
	free(v);
	assert_true(br_ram_init_fits("initramfs8") && br_ram_init_fits("os/initrd.img-6.1") && !br_ram_init_fits("kernel8.img"));
}

static void host_keys_are_read_by_openssh(void **state)
{
	uint8_t seed[32];
	br_cleanup(br_freep) char *private = NULL;
	br_cleanup(br_freep) char *public = NULL;
	br_cleanup(br_freep) char *path = br_path_join(test_dir(), "key");
	br_cleanup(br_freep) char *command = br_asprintf("ssh-keygen -y -f %s", path);
	char line[256] = "";
	FILE *f;

	if (system("command -v ssh-keygen >/dev/null")) {
		print_message("skipped: no ssh-keygen (package openssh-client)\n");
		skip();
	}
	for (size_t i = 0; i < sizeof(seed); i++)
		seed[i] = (uint8_t)(i * 7);
	assert_int_equal(br_ssh_host_key(seed, "root@pi07", &private, &public), 0);
	assert_int_equal(br_file_write(path, private, strlen(private), 0600, NULL), 0);
	f = popen(command, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	assert_int_equal(pclose(f), 0);
	assert_string_equal(line, public);
	assert_int_equal(br_remove_tree(test_dir(), NULL), 0);
}

static void host_keys_are_the_same_each_time(void **state)
{
	uint8_t seed[32] = { 1 };
	char *a, *b, *pa, *pb;

	assert_int_equal(br_ssh_host_key(seed, "x", &a, &pa), 0);
	assert_int_equal(br_ssh_host_key(seed, "x", &b, &pb), 0);
	assert_string_equal(a, b);
	assert_string_equal(pa, pb);
	free(b);
	free(pb);
	seed[0] = 2;
	assert_int_equal(br_ssh_host_key(seed, "x", &b, &pb), 0);
	assert_string_not_equal(a, b);
	free(a);
	free(b);
	free(pa);
	free(pb);
}

/* A crash during an export leaves a copy of a board's disk. */
static void copies_of_disks_are_swept(void **state)
{
	static const struct {
		const char *path;
		bool stays;
	} files[] = {
		{ "disks/7/copy-Ab12cd/slots", false }, { "disks/7/copy-Ab12cd/sub/map", false }, { "disks/12/copy-000000/map", false },
		{ "disks/7/volatile/map", true }, { "disks/12/persistent/copy-in-here", true }, { "disks/other/copy-x/map", true },
		{ "images/copy-1/disk.img", true },
	};

	br_cleanup(br_freep) char *state_dir = br_path_join(test_dir(), "sweep");

	assert_int_equal(br_disks_sweep(state_dir, NULL), 0); /* nothing is there yet */
	for (size_t i = 0; i < BR_ARRAY_SIZE(files); i++) {
		br_cleanup(br_freep) char *path = br_path_join(state_dir, files[i].path), *dir = strdup(path);

		*strrchr(dir, '/') = 0;
		assert_int_equal(br_mkdir_all(dir, 0700, NULL), 0);
		assert_int_equal(br_file_write(path, "x", 1, 0600, NULL), 0);
	}
	assert_int_equal(br_disks_sweep(state_dir, NULL), 2);
	for (size_t i = 0; i < BR_ARRAY_SIZE(files); i++) {
		br_cleanup(br_freep) char *path = br_path_join(state_dir, files[i].path);
		struct stat st;

		assert_int_equal(stat(path, &st) == 0, files[i].stays);
	}
	assert_int_equal(br_disks_sweep(state_dir, NULL), 0);
	/* a killed shell's directory goes, its image's name with it; not that of one that lives */
	assert_int_equal(test_sh("cd '%s/disks' && sh -c 'mkdir shell-$$ && echo shell-$$-12 >shell-$$/image' && mkdir shell-%d shell-x",
				 state_dir, (int)getpid()), 0);
	assert_int_equal(br_disks_sweep_shells(state_dir, NULL), 1);
	assert_int_equal(br_disks_sweep_shells(state_dir, NULL), 0);
	assert_int_equal(test_sh("cd '%s/disks' && test \"$(echo shell-*)\" = 'shell-%d shell-x'", state_dir, (int)getpid()), 0);
	br_remove_tree(state_dir, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_of_disks_are_swept),
		cmocka_unit_test(boot_names_are_cleaned),
		cmocka_unit_test(long_boot_names_are_refused),
		cmocka_unit_test(command_lines_keep_what_is_not_about_the_root),
		cmocka_unit_test(an_archive_goes_behind_the_initramfs),
		cmocka_unit_test(host_keys_are_read_by_openssh),
		cmocka_unit_test(host_keys_are_the_same_each_time),
	};

	return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}

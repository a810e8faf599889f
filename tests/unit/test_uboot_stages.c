/* SPDX-License-Identifier: Apache-2.0 */
/* The texts of the two stages: what they say in each case, and that U-Boot's shell would take all of them. */
#include "test.h"

#include "base/cleanup.h"
#include "plan/ubootfiles.h"
#include "uboot/hush.h"
#include "uboot/script.h"
#include "uboot/stages.h"

static const struct br_uboot_stage2 net = {
	.board = "pi07",
	.image = "raspios",
	.boot = 7,
	.road = BR_UBOOT_NET,
	.cmdline = "console=serial0,115200 console=tty1 root=/dev/nfs nfsroot=10.77.0.1:/pi07,vers=3 rw",
	.root = "nfsroot=10.77.0.1:/pi07,",
	.arm64 = { "kernel8.img", { "initramfs8", "more" } },
};

static void complain(void *ctx, const struct br_hush_problem *p)
{
	print_error("line %u: %s\n", p->line, p->text);
}

static void takes(const char *text)
{
	unsigned warnings;

	assert_non_null(text);
	if (br_hush_check(text, strlen(text), complain, NULL, &warnings) || warnings)
		fail_msg("%s", text);
}

static void has(const char *text, const char *words)
{
	if (!strstr(text, words))
		fail_msg("'%s' is not in:\n%s", words, text);
}

static void stage1(void **state)
{
	br_cleanup(br_freep) char *plain = br_uboot_stage1(&(struct br_uboot_stage1){ 0 });
	br_cleanup(br_freep) char *told = br_uboot_stage1(&(struct br_uboot_stage1){ .wait_s = 21, .server = "10.0.0.1" });

	takes(plain);
	takes(told);
	has(plain, "for try in 1 2 3 4 5 6;");
	has(plain, "tftpboot ${scriptaddr} bramble/stage2.scr; then source ${scriptaddr}; fi");
	has(plain, "\"bramble.${bramble_model}\"");
	assert_null(strstr(plain, "setenv bramble_server "));
	has(told, "for try in 1 2 3;");
	has(told, "setenv bramble_server 10.0.0.1\n");
	/* the local system comes behind the loop, a new start behind all */
	assert_true(strstr(plain, "for bif in") > strstr(plain, "for try in"));
	assert_true(strstr(plain, "\nreset\n") > strstr(plain, "for bif in"));
}

static void stage2_over_the_network(void **state)
{
	br_cleanup(br_freep) char *t = br_uboot_stage2(&net);

	takes(t);
	has(t, "if tftpboot ${scriptaddr} bramble/flash.scr; then source ${scriptaddr}; fi\n");
	has(t, "tftpboot ${kernel_addr_r} 'kernel8.img'");
	has(t, "tftpboot ${bramble_at} 'initramfs8'");
	has(t, "tftpboot ${bramble_at} 'more'");
	has(t, "booti ${kernel_addr_r} ${bramble_r}:${bramble_rs} ${bramble_fdt}");
	has(t, "setenv bramble_console \"console=${bramble_tty},115200\"");
	has(t, "'console=tty1 root=/dev/nfs nfsroot=10.77.0.1:/pi07,vers=3 rw'");
	has(t, "has no 32-bit kernel");
	assert_null(strstr(t, "serial0,"));
}

static void stage2_of_32_bit_and_without_initramfs(void **state)
{
	struct br_uboot_stage2 in = net;
	br_cleanup(br_freep) char *t = NULL;

	in.arm = in.arm64;
	in.arm.kernel = "kernel7.img";
	in.arm64 = (struct br_uboot_kernel){ .kernel = "vmlinuz" };
	t = br_uboot_stage2(&in);
	takes(t);
	has(t, "booti ${kernel_addr_r} - ${bramble_fdt}");
	has(t, "bootz ${kernel_addr_r} ${bramble_r}:${bramble_rs} ${bramble_fdt}");
	assert_null(strstr(t, "has no"));
}

static void stage2_by_other_roads(void **state)
{
	struct br_uboot_stage2 in = net;

	for (int road = BR_UBOOT_FLASH_ROAD; road <= BR_UBOOT_EFI; road++) {
		br_cleanup(br_freep) char *t = NULL;

		in.road = road;
		in.efi = "efi/boot/bootaa64.efi";
		t = br_uboot_stage2(&in);
		takes(t);
		has(t, road == BR_UBOOT_EFI ? "bootefi ${kernel_addr_r} ${bramble_fdt}" : "for q in ${bramble_parts} last;");
		assert_null(strstr(t, "nfsroot="));
	}
}

/* The disk that was flashed comes first; while its system is awaited no other is started. */
static void stage2_of_a_flashed_board(void **state)
{
	struct br_uboot_stage2 in = { .board = "pi07", .image = "pios", .road = BR_UBOOT_FLASH_ROAD, .target = "usb12" };

	for (int only = 0; only < 2; only++) {
		br_cleanup(br_freep) char *t = NULL;
		const char *mine, *any;

		in.only_target = only;
		t = br_uboot_stage2(&in);
		takes(t);
		mine = strstr(t, "for bif in usb; do");
		any = strstr(t, "for bif in mmc nvme usb virtio scsi; do");
		has(t, "for n in c; do\n  setenv bramble_parts; if part list ${bif} ${n} bramble_parts");
		assert_non_null(mine);
		if (only) {
			assert_null(any);
			has(t, "sleep 10\nreset\n");
		} else {
			assert_true(any > mine);
		}
	}
}

/* Names and arguments come from images and people: they stay one word each, and start nothing. */
static void hostile_words(void **state)
{
	static const char *const words[] = { "a'b", "';reset;'", "${x}", "\\", "\"", "a\nreset\n", "''" };

	for (size_t i = 0; i < BR_ARRAY_SIZE(words); i++) {
		struct br_uboot_stage2 in = net;
		br_cleanup(br_freep) char *t = NULL;
		struct br_text q = BR_TEXT_NULL;

		in.image = in.cmdline = in.arm64.kernel = in.arm64.initramfs[0] = in.efi = words[i];
		for (int road = BR_UBOOT_NET; road <= BR_UBOOT_EFI; road++) {
			free(br_take(t));
			in.road = road;
			t = br_uboot_stage2(&in);
			takes(t);
			for (const char *s = t; (s = strstr(s, "reset")); s++)
				assert_true(s > t && s[-1] != '\n');
		}
		br_uboot_quote(&q, words[i]);
		assert_true(q.buf[0] == '\'' && q.buf[q.len - 1] == '\'' && !strchr(q.buf, '\n'));
		br_text_done(&q);
	}
}

static void a_menu(void **state)
{
	br_cleanup(br_freep) char *t = br_uboot_pxelinux(&net, "ttyS0");

	has(t, "\n  KERNEL /kernel8.img\n  INITRD /initramfs8\n");
	has(t, "\n  APPEND console=ttyS0,115200 console=tty1 root=/dev/nfs nfsroot=10.77.0.1:/pi07,vers=3 rw\n");
}

/* What a board gets that is left to boot by itself. */
static void a_stage2_for_road_local(void **state)
{
	static const struct {
		struct br_plan_flashed flashed;
		const char *first, *never;
	} cases[] = {
		{ {}, "for bif in mmc nvme", "does not start" },
		{ { .target = "usb1" }, "for bif in usb;", "does not start" }, /* then the others */
		{ { .target = "usb1", .awaited = true }, "for bif in usb;", "for bif in mmc nvme" },
	};
	uint8_t *data = NULL;
	size_t size, len;
	const char *text;

	assert_int_equal(br_uboot_local_file("config.txt", "pi1", &cases[0].flashed, &data, &size), -ENOENT);
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_freep) char *copy = NULL;

		assert_int_equal(br_uboot_local_file(i ? "BRAMBLE/STAGE2.SCR" : "boot.scr.uimg", "pi1", &cases[i].flashed, &data, &size), 0);
		assert_int_equal(br_uboot_script_unpack(data, size, &text, &len, NULL), 0);
		copy = calloc(1, len + 1);
		assert_non_null(copy);
		memcpy(copy, text, len); /* no NUL behind it: strict_string_checks forbids strndup() */
		free(data);
		takes(copy);
		has(copy, "bramble/flash.scr");
		has(copy, cases[i].first);
		assert_null(strstr(copy, cases[i].never));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stage1),
		cmocka_unit_test(stage2_over_the_network),
		cmocka_unit_test(stage2_of_32_bit_and_without_initramfs),
		cmocka_unit_test(stage2_by_other_roads),
		cmocka_unit_test(stage2_of_a_flashed_board),
		cmocka_unit_test(hostile_words),
		cmocka_unit_test(a_menu),
		cmocka_unit_test(a_stage2_for_road_local),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

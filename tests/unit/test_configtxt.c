/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "pi/configtxt.h"
#include "sim/firmware.h"

static struct br_pi_config parse_as(const char *model, uint32_t serial, const char *text)
{
	const struct br_sim_model *m = br_sim_model_by_id(model);
	struct br_pi_config_reader who = { .filters = m->filters, .serial = serial, .revision = m->revision, .includes = true };
	struct br_pi_config_file file = { "config.txt", text, strlen(text) };
	struct br_pi_config c;

	br_pi_config_parse(&who, &file, 1, &c);
	return c;
}

static void sections_choose_by_model_and_serial(void **state)
{
	static const struct {
		const char *model, *text, *kernel;
	} cases[] = {
		{ "3b+", "kernel=a\n", "a" },
		{ "3b+", "[pi4]\nkernel=a\n", "" },
		{ "4", "[pi4]\nkernel=a\n", "a" },
		{ "3b+", "[pi3+]\nkernel=a\n[pi3]\nkernel=b", "b" },
		{ "3b", "[pi3]\nkernel=b\n[pi3+]\nkernel=a\n", "b" },
		{ "5", "[pi4]\nkernel=a\n[all]\nkernel=b\n", "b" },
		{ "5", "[PI5]\r\nKERNEL=a\r\n", "a" },
		{ "5", "[none]\nkernel=a\n[pi5]\nkernel=b\n", "" },
		{ "5", "[pi5]\n[0x5b000001]\nkernel=a\n", "a" },
		{ "5", "[pi5]\n[0x5b000002]\nkernel=a\n", "" },
		{ "5", "[0x5b000002]\n[all]\nkernel=a\n", "a" },
		{ "4", "[board-type=0x11]\nkernel=a\n", "a" },
		{ "4", "[board-type=0x13]\nkernel=a\n", "" },
		{ "4", "[tryboot]\nkernel=a\n", "" },
		{ "4", "[HDMI:0]\nkernel=a\n", "a" },
		{ "4", "[cm4]\nkernel=a\n[cm4\nkernel=b", "" },
		{ "4", " kernel = a # comment\n#kernel=b\n", "a" },
		{ "4", "kernel=a\nkernel=b\nkernel\n=c\n", "b" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_pi_config c = parse_as(cases[i].model, 0x5b000001, cases[i].text);

		assert_string_equal(c.kernel, cases[i].kernel);
	}
}

static void names_come_out(void **state)
{
	struct br_pi_config c = parse_as("4", 1,
		"arm_64bit=1\nauto_initramfs=1\ngpu_mem=16\nos_prefix=new/\ncmdline=c.txt\ndevice_tree=\n"
		"dtoverlay=vc4-kms-v3d,cma-512\ndtoverlay=dwc2:dr_mode=host\ndtoverlay=\n"
		"initramfs old followkernel\ninitramfs a,b followkernel\nbootloader_update=0\narmstub=x.bin\n");

	assert_int_equal(c.arm_64bit, 1);
	assert_true(c.auto_initramfs && c.no_bootloader_update && c.has_device_tree);
	assert_int_equal(c.gpu_mem, 16);
	assert_string_equal(c.os_prefix, "new/");
	assert_string_equal(c.overlay_prefix, "overlays/");
	assert_string_equal(c.cmdline, "c.txt");
	assert_string_equal(c.device_tree, "");
	assert_int_equal(c.n_overlays, 2);
	assert_string_equal(c.overlays[0], "vc4-kms-v3d");
	assert_string_equal(c.overlays[1], "dwc2");
	assert_int_equal(c.n_initramfs, 2);
	assert_string_equal(c.initramfs[1], "b");
}

static void long_lines_are_cut(void **state)
{
	char text[200];
	struct br_pi_config c;

	memset(text, 'x', sizeof(text));
	memcpy(text, "kernel=", 7);
	text[sizeof(text) - 1] = 0;
	c = parse_as("4", 1, text);
	assert_int_equal(strlen(c.kernel), BR_PI_CONFIG_LINE - 7);
}

static void includes_are_asked_for_and_read_in_place(void **state)
{
	const struct br_sim_model *m = br_sim_model_by_id("4");
	struct br_pi_config_reader who = { .filters = m->filters, .includes = true };
	const char main_text[] = "include a.txt\nkernel=z\n", a_text[] = "include b.txt\nkernel=a\narmstub=a\ninclude a.txt\n";
	struct br_pi_config_file files[] = {
		{ "config.txt", main_text, sizeof(main_text) - 1 },
		{ "a.txt", a_text, sizeof(a_text) - 1 },
		{ "b.txt", NULL, 0 },
	};
	struct br_pi_config c;

	br_pi_config_parse(&who, files, 1, &c);
	assert_int_equal(c.n_missing, 1);
	assert_string_equal(c.missing[0], "a.txt");
	br_pi_config_parse(&who, files, 2, &c);
	assert_int_equal(c.n_missing, 1);
	assert_string_equal(c.missing[0], "b.txt");
	br_pi_config_parse(&who, files, 3, &c); /* b.txt is missing, a.txt includes itself: it ends */
	assert_int_equal(c.n_missing, 0);
	assert_string_equal(c.kernel, "z");
	assert_string_equal(c.armstub, "a");
	who.includes = false;
	br_pi_config_parse(&who, files, 1, &c);
	assert_int_equal(c.n_missing, 0);
}

static void firmware_names_follow(void **state)
{
	static const struct {
		const char *model, *text, *start, *fixup;
	} cases[] = {
		{ "3b+", "", "start.elf", "fixup.dat" },
		{ "3b+", "gpu_mem=16", "start_cd.elf", "fixup_cd.dat" },
		{ "4", "gpu_mem=16", "start4cd.elf", "fixup4cd.dat" },
		{ "4", "start_x=1", "start4x.elf", "fixup4x.dat" },
		{ "4", "start_debug=1", "start4db.elf", "fixup4db.dat" },
		{ "4", "start_file=s\nfixup_file=f", "s", "f" },
	};
	char name[BR_PI_CONFIG_NAME];

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_pi_config c = parse_as(cases[i].model, 1, cases[i].text);
		const struct br_sim_model *m = br_sim_model_by_id(cases[i].model);

		br_sim_start_name(m, &c, false, name);
		assert_string_equal(name, cases[i].start);
		br_sim_start_name(m, &c, true, name);
		assert_string_equal(name, cases[i].fixup);
	}
	br_pi_initramfs_name("kernel8.img", name);
	assert_string_equal(name, "initramfs8");
	br_pi_initramfs_name("kernel_2712.img", name);
	assert_string_equal(name, "initramfs_2712");
	br_pi_initramfs_name("vmlinuz", name);
	assert_string_equal(name, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections_choose_by_model_and_serial),
		cmocka_unit_test(names_come_out),
		cmocka_unit_test(long_lines_are_cut),
		cmocka_unit_test(includes_are_asked_for_and_read_in_place),
		cmocka_unit_test(firmware_names_follow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

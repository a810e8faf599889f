/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "store/fatwrite.h"
#include "tests/unit/simserver.h"

#define SERIAL 0x5b000001u
#define S      "5b000001/"

static const uint8_t elf[2000] = "\x7f" "ELF";
static uint8_t image64[5000], image32[3000];
static const uint8_t fdt[48] = { 0xd0, 0x0d, 0xfe, 0xed, 0, 0, 0, 48, 0, 0, 0, 40, 0, 0, 0, 40 };
static const char initrd[600] = "070701";
static const char config64[] = "arm_64bit=1\nauto_initramfs=1\ndtoverlay=vc4-kms-v3d\n";
static const char config32[] = "[pi3]\ninclude more.txt\n";
static const char cmdline[] = "console=serial0,115200 ip=dhcp\nsecond line\n";

#define TEXT(name, t)  { name, t, sizeof(t) - 1 }
#define BYTES(name, b) { name, b, sizeof(b) }
/* the same set in the board's directory or in the root */
#define SET64(p)                                                                                                    \
	BYTES(p "start.elf", elf), BYTES(p "fixup.dat", elf), BYTES(p "start4.elf", elf), BYTES(p "fixup4.dat", elf), \
		TEXT(p "config.txt", config64), TEXT(p "cmdline.txt", cmdline), BYTES(p "kernel8.img", image64),     \
		BYTES(p "initramfs8", initrd), BYTES(p "bcm2710-rpi-3-b-plus.dtb", fdt),                              \
		BYTES(p "bcm2711-rpi-4-b.dtb", fdt), BYTES(p "bcm2712-rpi-5-b.dtb", fdt),                             \
		BYTES(p "overlays/overlay_map.dtb", fdt), BYTES(p "overlays/vc4-kms-v3d.dtbo", fdt)

static const struct simserver_file in_directory[] = { BYTES("bootcode.bin", elf), SET64(S), { 0 } };
static const struct simserver_file in_root[] = { BYTES("bootcode.bin", elf), SET64(""), { 0 } };
static const struct simserver_file set32[] = {
	BYTES("bootcode.bin", elf), BYTES("start.elf", elf), BYTES("fixup.dat", elf), TEXT("config.txt", config32),
	TEXT("more.txt", "kernel=kernel7.img\n"), BYTES("kernel7.img", image32), TEXT("cmdline.txt", cmdline),
	BYTES("bcm2710-rpi-3-b-plus.dtb", fdt), { 0 },
};
static const struct simserver_file empty_start4[] = { { S "start4.elf", "", 0 }, TEXT(S "config.txt", config64), { 0 } };
static const struct simserver_file no_kernel[] = { TEXT("config.txt", config64), BYTES("start4.elf", elf), { 0 } };
static const struct simserver_file nothing[] = { { 0 } };

static void power(struct simserver *s, const char *model, const struct simserver_file *files)
{
	struct br_sim_board_config c = {
		.model = br_sim_model_by_id(model), .mac = { { 0xb8, 0x27, 0xeb, 0, 0, 1 } }, .serial = SERIAL, .speed = 1,
		.keep = true, .send = simserver_send, .event = simserver_event, .ctx = s,
	};

	memcpy(image64 + 56, "ARMd", 4);
	memcpy(image32 + 0x24, "\x18\x28\x6f\x01", 4);
	s->files = files;
	s->board = br_sim_board_new(&c);
	assert_non_null(s->board);
}

/* The order of the log D-3BP, wire facts 2.3. */
static const char asked_3bp[] =
	"bootcode.bin\nbootsig.bin\n" S "start.elf\n" S "autoboot.txt\n" S "start.elf\n" S "config.txt\n" S "recovery.elf\n"
	S "start.elf\n" S "fixup.dat\n" S "recovery.elf\n" S "config.txt\n" S "config.txt\n" S "dt-blob.bin\n"
	S "recovery.elf\n" S "config.txt\n" S "config.txt\n" S "bootcfg.txt\n" S "recovery8.img\n" S "kernel8.img\n"
	S "kernel8.img\n" S "initramfs8\n" S "initramfs8\n" S "initramfs8\n" S "initramfs8\n" S "bcm2710-rpi-3-b-plus.dtb\n"
	S "bcm2710-rpi-3-b-plus.dtb\n" S "overlays/overlay_map.dtb\n" S "overlays/overlay_map.dtb\n" S "config.txt\n"
	S "config.txt\n" S "overlays/vc4-kms-v3d.dtbo\n" S "overlays/vc4-kms-v3d.dtbo\n" S "cmdline.txt\n" S "cmdline.txt\n"
	S "armstub8.bin\n" S "kernel8.img\n" S "kernel8.img\n";

static const char asked_4[] =
	S "start4.elf\n" S "config.txt\n" S "pieeprom.sig\n" S "recover4.elf\n" S "recovery.elf\n" S "start4.elf\n"
	S "fixup4.dat\n" S "recovery.elf\n" S "config.txt\n" S "config.txt\n" S "dt-blob.bin\n" S "recovery.elf\n"
	S "config.txt\n" S "config.txt\n" S "bootcfg.txt\n" S "kernel8.img\n" S "initramfs8\n" S "initramfs8\n" S "initramfs8\n"
	S "bcm2711-rpi-4-b.dtb\n" S "bcm2711-rpi-4-b.dtb\n" S "overlays/overlay_map.dtb\n" S "overlays/overlay_map.dtb\n"
	S "config.txt\n" S "config.txt\n" S "overlays/vc4-kms-v3d.dtbo\n" S "overlays/vc4-kms-v3d.dtbo\n" S "cmdline.txt\n"
	S "cmdline.txt\n" S "recovery8.img\n" S "kernel8.img\n" S "armstub8-gic.bin\n" S "kernel8.img\n";

static const char asked_5[] =
	S "config.txt\n" S "pieeprom.sig\n" S "/config.txt\n" S "/config.txt\n" S "kernel_2712.img\n" S "kernel8.img\n"
	S "initramfs8\n" S "initramfs8\n" S "initramfs8\n" S "bcm2712-rpi-5-b.dtb\n" S "bcm2712-rpi-5-b.dtb\n"
	S "overlays/overlay_map.dtb\n" S "overlays/overlay_map.dtb\n" S "overlays/hat_map.dtb\n"
	S "overlays/vc4-kms-v3d.dtbo\n" S "overlays/vc4-kms-v3d.dtbo\n" S "/cmdline.txt\n" S "/cmdline.txt\n"
	S "armstub8-2712.bin\n" S "kernel8.img\n";

/* A server that keeps files under the doubled slash, for the Pi 5. */
static const struct simserver_file in_directory_5[] = {
	SET64(S), TEXT(S "/config.txt", config64), TEXT(S "/cmdline.txt", cmdline), { 0 },
};

static void models_ask_in_their_order(void **state)
{
	static const struct {
		const char *model;
		const struct simserver_file *files;
		const char *asked;
		uint8_t first_ttl;
		bool sums;
	} cases[] = {
		{ "3b+", in_directory, asked_3bp, 128, false },
		{ "4", in_directory, asked_4, 64, true },
		{ "5", in_directory_5, asked_5, 64, true },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct simserver s = { 0 };
		struct br_sim_handover *h;

		power(&s, cases[i].model, cases[i].files);
		simserver_run(&s);
		assert_string_equal(s.asked.buf, cases[i].asked);
		assert_int_equal(br_sim_board_phase(s.board), BR_SIM_READY);
		assert_int_equal(br_sim_board_wrong(s.board), 0);
		assert_int_equal(s.first_ttl, cases[i].first_ttl);
		assert_int_equal(s.last_ttl, cases[i].first_ttl);
		assert_int_equal(s.any_udp_sum, cases[i].sums);
		assert_false(s.any_df);
		h = br_sim_board_handover(s.board);
		assert_int_equal(h->kernel.len, sizeof(image64));
		assert_memory_equal(h->kernel.data, image64, sizeof(image64));
		assert_int_equal(h->initramfs.len, sizeof(initrd));
		assert_int_equal(h->dtb.len, sizeof(fdt));
		assert_non_null(strstr(h->cmdline, "  console=serial0,115200 ip=dhcp"));
		assert_null(strstr(h->cmdline, "second"));
		simserver_done(&s);
	}
}

static void ports_count_up(void **state)
{
	struct simserver s = { 0 };

	power(&s, "3b+", in_directory);
	simserver_run(&s);
	assert_true(br_str_starts(s.ports.buf, "49153\n49154\n49153\n49154\n49155\n"));
	simserver_done(&s);
}

static void without_a_directory_names_are_in_the_root(void **state)
{
	static const struct {
		const char *model, *first;
	} cases[] = {
		{ "3b+", "bootcode.bin\nbootsig.bin\n" S "start.elf\nautoboot.txt\nconfig.txt\nrecovery.elf\nstart.elf\nfixup.dat\n" },
		{ "4", S "start4.elf\n" S "start.elf\nconfig.txt\npieeprom.sig\n" },
		{ "5", S "config.txt\npieeprom.sig\nconfig.txt\n" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct simserver s = { 0 };

		power(&s, cases[i].model, in_root);
		simserver_run(&s);
		assert_true(br_str_starts(s.asked.buf, cases[i].first));
		assert_int_equal(br_sim_board_phase(s.board), BR_SIM_READY);
		simserver_done(&s);
	}
}

static void includes_and_32_bit_kernels(void **state)
{
	struct simserver s = { 0 };

	power(&s, "3b+", set32);
	simserver_run(&s);
	assert_int_equal(br_sim_board_phase(s.board), BR_SIM_READY);
	assert_non_null(strstr(s.asked.buf, "config.txt\nmore.txt\nmore.txt\n"));
	assert_non_null(strstr(s.asked.buf,
		"recovery8.img\nrecovery8-32.img\nrecovery7.img\nrecovery.img\nkernel7.img\nkernel7.img\n"));
	assert_non_null(strstr(s.asked.buf, "armstub8-32.bin\nkernel7.img\nkernel7.img\n"));
	assert_int_equal(br_sim_board_wrong(s.board), 0);
	simserver_done(&s);
}

static void failures_have_words(void **state)
{
	static const struct {
		const char *model;
		const struct simserver_file *files;
		bool mute_dhcp, mute_tftp, mute_arp, no_server, no_oack;
		const char *words;
	} cases[] = {
		{ "3b+", in_root, .mute_dhcp = true, .words = "gave up after 25 s: no DHCP server answered" },
		{ "4", in_root, .mute_dhcp = true, .words = "gave up after 45 s: no DHCP server answered" },
		{ "4", in_root, .no_server = true, .words = "neither option 66 nor option 43" },
		{ "4", in_root, .mute_arp = true, .words = "nobody answers ARP for 10.77.0.1" },
		{ "3b+", in_root, .mute_arp = true, .words = "aa:aa:aa:aa:aa:aa" },
		{ "3b+", nothing, .words = "bootcode.bin: missing" },
		{ "3b+", in_root, .mute_tftp = true, .words = "bootcode.bin: no answer after 30 s" },
		{ "3b+", in_root, .no_oack = true, .words = "DATA without an OACK" },
		{ "4", nothing, .words = "start4.elf: missing" },
		{ "4", empty_start4, .words = "boot locally" },
		{ "4", no_kernel, .words = "no kernel: kernel8.img" },
		{ "5", nothing, .words = "config.txt: missing" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct simserver s = { .mute_dhcp = cases[i].mute_dhcp, .mute_tftp = cases[i].mute_tftp,
			.mute_arp = cases[i].mute_arp, .no_server = cases[i].no_server, .no_oack = cases[i].no_oack };

		power(&s, cases[i].model, cases[i].files);
		simserver_run(&s);
		assert_int_equal(br_sim_board_phase(s.board), BR_SIM_FAILED);
		if (!strstr(s.events.buf, cases[i].words))
			fail_msg("'%s' is not in:\n%s", cases[i].words, s.events.buf);
		simserver_done(&s);
	}
}

static void bad_files_are_noticed(void **state)
{
	static const struct {
		const char *name;
		const void *data;
		size_t len;
		const char *words;
	} cases[] = {
		{ "start4.elf", initrd, sizeof(initrd), "not an ELF file" },
		{ "kernel8.img", elf, sizeof(elf), "not an arm64 kernel" },
		{ "initramfs8", elf, sizeof(elf), "not an initramfs" },
		{ "bcm2711-rpi-4-b.dtb", elf, sizeof(elf), "not a device tree" },
		{ "bcm2711-rpi-4-b.dtb", fdt, 40, "cut short" },
		{ "fixup4.dat", "", 0, "empty" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct simserver_file files[] = { SET64(""), { 0 } };
		struct simserver s = { 0 };

		for (struct simserver_file *f = files; f->name; f++)
			if (!strcmp(f->name, cases[i].name))
				*f = (struct simserver_file){ cases[i].name, cases[i].data, cases[i].len };
		power(&s, "4", files);
		simserver_run(&s);
		assert_true(br_sim_board_wrong(s.board) > 0);
		if (!strstr(s.events.buf, cases[i].words))
			fail_msg("'%s' is not in:\n%s", cases[i].words, s.events.buf);
		simserver_done(&s);
	}
}

/* A server that changes config.txt in the middle of a boot: no plan may do that. */
static void a_file_that_changes_is_noticed(void **state)
{
	struct simserver_file files[] = { SET64(""), { 0 } };
	struct simserver s = { 0 };
	bool changed = false;
	uint64_t now = 0;

	power(&s, "4", files);
	while (br_sim_board_deadline(s.board) != UINT64_MAX) {
		br_sim_board_step(s.board, now);
		while (s.n_out) {
			uint8_t frame[1600];
			size_t len = s.out_len[--s.n_out];

			memcpy(frame, s.out[s.n_out], len);
			br_sim_board_frame(s.board, now, frame, len, false);
			if (changed || s.n_requests < 20)
				continue;
			changed = true;
			for (struct simserver_file *f = files; f->name; f++)
				if (!strcmp(f->name, "config.txt"))
					*f = (struct simserver_file)TEXT("config.txt", "arm_64bit=1\n");
		}
		now += 10 * BR_MS;
	}
	assert_true(changed);
	assert_int_equal(br_sim_board_wrong(s.board), 1);
	assert_non_null(strstr(s.events.buf, "changed during the boot"));
	simserver_done(&s);
}

/* All its files come from there, and nothing goes over the wire. */
static void a_card_in_it_is_what_it_boots_from(void **state)
{
	struct br_fatimage_entry entries[20];
	struct br_span spans[20];
	struct br_fatimage *fat;
	struct simserver s = { 0 };
	struct br_sim_board_config c;
	size_t n = 0;
	uint8_t *bytes;

	for (; in_root[n].name; n++) {
		spans[n] = (struct br_span){ in_root[n].data, in_root[n].len };
		entries[n] = (struct br_fatimage_entry){ in_root[n].name, &spans[n], 1, in_root[n].len };
	}
	assert_int_equal(br_fatimage_new(entries, n, &(struct br_fatimage_options){ .label = "CARD" }, &fat, NULL), 0);
	bytes = malloc(br_fatimage_size(fat));
	assert_non_null(bytes);
	br_fatimage_read(fat, 0, bytes, br_fatimage_size(fat));
	power(&s, "3b+", nothing);
	c = *br_sim_board_config(s.board);
	br_sim_board_free(s.board);
	c.card = (struct br_span){ bytes, br_fatimage_size(fat) };
	s.board = br_sim_board_new(&c);
	simserver_run(&s);
	assert_int_equal(br_sim_board_phase(s.board), BR_SIM_READY);
	assert_null(s.asked.buf);
	assert_int_equal(br_sim_board_handover(s.board)->kernel.len, sizeof(image64));
	simserver_done(&s);

	memset(bytes, 0, 512); /* no boot sector any more */
	s = (struct simserver){ 0 };
	power(&s, "3b+", in_root);
	br_sim_board_free(s.board);
	s.board = br_sim_board_new(&c);
	simserver_run(&s);
	assert_int_equal(br_sim_board_phase(s.board), BR_SIM_FAILED);
	simserver_done(&s);
	free(bytes);
	br_fatimage_free(fat);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(models_ask_in_their_order),
		cmocka_unit_test(ports_count_up),
		cmocka_unit_test(without_a_directory_names_are_in_the_root),
		cmocka_unit_test(includes_and_32_bit_kernels),
		cmocka_unit_test(failures_have_words),
		cmocka_unit_test(bad_files_are_noticed),
		cmocka_unit_test(a_file_that_changes_is_noticed),
		cmocka_unit_test(a_card_in_it_is_what_it_boots_from),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

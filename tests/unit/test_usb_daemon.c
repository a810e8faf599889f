/* SPDX-License-Identifier: Apache-2.0 */
/* Boards on USB and the daemon: policies, a plan as a payload over the control socket, sessions told to record and timeline. */
#include "tests/unit/test.h"

#include "api/socket.h"
#include "base/clock.h"
#include "cli/usbkeep.h"
#include "cli/usbnet.h"
#include "daemon/config.h"
#include "daemon/glue.h"
#include "daemon/glue_usb.h"
#include "daemon/turns.h"
#include "fleet/fact.h"
#include "sim/usbinside.h"
#include "tests/unit/apiserver.h"
#include "usb/payload.h"
#include "usb/policy.h"

BR_DEFINE_CLEANUP(struct br_usb_payload *, br_usb_payload_unref);
BR_DEFINE_CLEANUP(struct br_usb_keeper *, br_usb_keeper_free);

static struct br_glue glue;
static struct br_config config;

static int set_up(void **state)
{
	struct br_error err = BR_ERROR_NULL;

	sv.usb = &br_glue_usb_ops;
	sv.usb_ctx = &glue;
	start(state);
	assert_int_equal(br_config_init(&config, &err), 0);
	glue = (struct br_glue){ .fleet = sv.fleet, .boots = sv.boots, .disks = sv.disks, .adopt = true };
	glue.turns = br_turns_new(&config, "lo");
	assert_non_null(glue.turns);
	if (test_sh("mkdir -p '%s/fw/2711' && echo first >'%s/fw/bootcode4.bin' && echo five >'%s/fw/bootcode5.bin' && "
		    "echo older >'%s/fw/bootcode.bin'", sv.dir, sv.dir, sv.dir, sv.dir))
		return -1;
	return 0;
}

static int tear_down(void **state)
{
	br_turns_free(glue.turns);
	br_config_done(&config);
	return stop(state);
}

/* ---- the policy ---- */

static void set(struct br_usb_policy *p, const char *rule, const char *key, const char *value)
{
	struct br_error err = BR_ERROR_NULL;

	if (br_usb_policy_set(p, rule, key, value, &err) < 0)
		fail_msg("%s", err.text);
}

static void rules_are_chosen_in_order(void **state)
{
	static const struct {
		const char *path, *serial, *chip, *what; /* of the rule; NULL: the rest's */
	} cases[] = {
		{ "1-2.3", "10000000a1b2c3d4", "BCM2711", "/serial" },
		{ "1-2.3", "a1b2c3d4", "BCM2711", "/serial" }, /* the low half */
		{ "1-2.3", "A1B2C3D4", "BCM2711", "/serial" },
		{ "1-2.3", "20000000a1b2c3d4", "BCM2711", "/exact" },
		{ "1-2.3", "", "BCM2712", "/exact" },
		{ "1-2.4", "", "BCM2711", "/pattern" },
		{ "1-2.3.1", "", "BCM2711", "/pattern" },
		{ "1-3", "", "BCM2711", "/chip" },
		{ "1-3", "Broadcom", "BCM2712", "/odd" },
		{ "1-3", "", "BCM2712", NULL },
	};
	br_cleanup(br_usb_policy_done) struct br_usb_policy p = { 0 };

	assert_int_equal(br_usb_policy_choose(&p, "1-1", "", "BCM2711")->boot, BR_USB_BOOT_NET);
	set(&p, "chip bcm2711", "boot", "/chip");
	set(&p, "path 1-2.*", "boot", "/pattern");
	set(&p, "path 1-2.3", "boot", "/exact");
	set(&p, "serial 0x10000000a1b2c3d4", "boot", "/serial");
	set(&p, "serial broadcom", "boot", "/odd");
	set(&p, "", "boot", "ignore");
	set(&p, "", "firmware", "/fw");
	set(&p, "path 1-2.3", "firmware", "/own");
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		const struct br_usb_rule *r = br_usb_policy_choose(&p, cases[i].path, cases[i].serial, cases[i].chip);

		if (cases[i].what ? r->boot != BR_USB_BOOT_PATH || strcmp(r->what, cases[i].what) != 0 : r != &p.rest)
			fail_msg("case %zu: %s", i, r->what ?: "-");
	}
	assert_string_equal(br_usb_policy_firmware(&p, br_usb_policy_choose(&p, "1-2.3", "", "BCM2712")), "/own");
	assert_string_equal(br_usb_policy_firmware(&p, br_usb_policy_choose(&p, "1-2.4", "", "BCM2712")), "/fw");
}

static void wrong_rules_get_words(void **state)
{
	static const struct {
		const char *rule, *key, *value, *words;
	} cases[] = {
		{ "colour red", "boot", "net", "rules are for" },
		{ "path x", "boot", "net", "bus and ports" },
		{ "path ", "boot", "net", "bus and ports" },
		{ "chip RP1", "boot", "net", "BCM2711" },
		{ "serial ", "boot", "net", "a serial is needed" },
		{ "", "boot", "nfs", "'image NAME'" },
		{ "", "boot", "image ", "'image NAME'" },
		{ "", "overlay", "1", "yes or no" },
		{ "", "boots", "net", "there are boot, board" },
		{ "", "board", "", "a board's name" },
	};
	br_cleanup(br_usb_policy_done) struct br_usb_policy p = { 0 };

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_error err = BR_ERROR_NULL;

		if (br_usb_policy_set(&p, cases[i].rule, cases[i].key, cases[i].value, &err) != -EINVAL ||
			!strstr(err.text, cases[i].words))
			fail_msg("case %zu: %s", i, err.text);
		assert_int_equal(br_usb_policy_set(&p, cases[i].rule, cases[i].key, cases[i].value, NULL), -EINVAL);
	}
}

static void the_file_has_rules_too(void **state)
{
	static const char text[] = "[serve]\nimage = one\n[usb]\nboot = ignore\nfirmware = /fw\n"
				   "[usb path 1-2.*]\nboot = image one\n[usb serial 12345678]\nboot = /srv/recovery\noverlay = yes\n";
	br_cleanup(br_freep) char *path = br_path_join(sv.dir, "usb.conf");
	br_cleanup(br_config_done) struct br_config c = { 0 };
	const struct br_usb_rule *r;
	struct br_error err = BR_ERROR_NULL;

	assert_int_equal(br_file_write(path, text, strlen(text), 0644, NULL), 0);
	if (br_config_read(&c, path, true, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(c.usb.rest.boot, BR_USB_BOOT_IGNORE);
	r = br_usb_policy_choose(&c.usb, "1-2.1", "", "BCM2712");
	assert_int_equal(r->boot, BR_USB_BOOT_IMAGE);
	assert_string_equal(r->what, "one");
	r = br_usb_policy_choose(&c.usb, "1-2.1", "12345678", "BCM2712");
	assert_true(r->boot == BR_USB_BOOT_PATH && r->overlay);
	assert_int_equal(br_file_write(path, "[usb path x]\nboot = net\n", 24, 0644, NULL), 0);
	assert_int_equal(br_config_read(&c, path, true, &err), -EINVAL);
	assert_non_null(strstr(err.text, "usb.conf, line 2: "));
}

/* ---- a plan as a payload ---- */

static const struct br_usbboot_model *model_of(uint16_t product)
{
	return br_usbboot_model(BR_USBBOOT_VENDOR, product);
}

static int net_open(const struct br_usb_net_options *opt, struct br_usb_payload **ret, struct br_error *err)
{
	struct br_usb_net *net;
	int r = br_usb_net_new(opt, &net, err);

	if (r < 0)
		return r;
	r = br_usb_net_open(net, ret, err);
	br_usb_net_unref(net);
	return r;
}

static int net_payload(const char *path, const char *serial, const char *board, struct br_usb_payload **ret, struct br_error *err)
{
	br_cleanup(br_freep) char *fw = br_path_join(sv.dir, "fw");
	const struct br_usb_net_options opt = { .state = sv.state, .path = path, .chip = "BCM2711", .serial = serial, .board = board,
		.firmware = fw };

	return net_open(&opt, ret, err);
}

static char *text_of(struct br_usb_payload *p, const struct br_usb_who *who, const char *name)
{
	struct br_usb_payload_file file;
	struct br_error err = BR_ERROR_NULL;
	char *text;

	if (br_usb_payload_lookup(p, who, name, &file, &err) < 0)
		fail_msg("%s: %s", name, err.text);
	text = calloc(1, file.size + 1);
	assert_int_equal(br_usb_payload_read(&file, 0, text, file.size), 0);
	br_usb_payload_close(&file);
	return text;
}

static void a_board_gets_its_plan_over_usb(void **state)
{
	const struct br_usb_who who = { .model = model_of(0x2711), .path = "1-2.3", .serial = "10000000a1b2c3d4" };
	br_cleanup(br_usb_payload_unrefp) struct br_usb_payload *p = NULL;
	struct br_usb_payload_file file;
	struct br_error err = BR_ERROR_NULL;
	struct br_boot_status boot;
	struct br_board board;

	NEED_IMAGE();
	if (net_payload("1-2.3", who.serial, NULL, &p, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(br_board_by_name(sv.fleet, "pi-a1b2c3d4", &board), 0);
	assert_true(board.serial_known && board.serial == 0x10000000a1b2c3d4);
	assert_string_equal(br_usb_payload_text(p), "boot files of pi-a1b2c3d4");
	assert_int_equal(br_boots_status(sv.boots, board.id, &boot), 0);
	assert_int_equal(boot.stage, BR_STAGE_FIRMWARE_DHCP);
	{
		br_cleanup(br_freep) char *cmdline = text_of(p, &who, "cmdline.txt"), *first = text_of(p, &who, "bootcode4.bin");

		assert_non_null(strstr(cmdline, "root=/dev/nfs"));
		assert_non_null(strstr(cmdline, "/pi-a1b2c3d4"));
		assert_string_equal(first, "first\n");
	}
	assert_int_equal(br_boots_status(sv.boots, board.id, &boot), 0);
	assert_int_equal(boot.stage, BR_STAGE_FIRMWARE_FILES);
	err = BR_ERROR_NULL;
	assert_int_equal(br_usb_payload_lookup(p, &who, "nonsense.bin", &file, &err), -ENOENT);
	assert_int_equal(br_usb_payload_lookup(p, &who, "../etc/passwd", &file, &err), -EACCES);

	{ /* why there is none, where there is more to say; and what is asked for its size brings no boot further */
		uint64_t size = 0, was = boot.boot;

		err = BR_ERROR_NULL;
		assert_int_equal(br_usb_payload_lookup(p, &who, "boot.sig", &file, &err), -ENOENT);
		assert_non_null(strstr(err.text, "boot.img is not signed"));
		assert_int_equal(br_usb_payload_size(p, &who, "kernel8.img", &size, &err), 0);
		assert_int_equal(size, 70000);
		assert_false(br_usb_payload_has(p, who.model, "nonsense.bin"));
		assert_int_equal(br_boots_status(sv.boots, board.id, &boot), 0);
		assert_int_equal(boot.boot, was);
		assert_int_equal(boot.stage, BR_STAGE_FIRMWARE_FILES);
	}

	/* it comes again: the same board; it began anew, and so does its boot */
	br_usb_payload_unref(br_take(p));
	assert_int_equal(net_payload("1-4", "a1b2c3d4", NULL, &p, &err), 0);
	assert_string_equal(br_usb_payload_text(p), "boot files of pi-a1b2c3d4");
}

static void boards_that_get_no_plan_get_words(void **state)
{
	struct br_usb_payload *p = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_board board = { .name = "local", .serial = 0x77, .serial_known = true, .road = "local" };

	NEED_IMAGE();
	assert_int_equal(br_board_save(sv.fleet, &board, &err), 0);
	assert_int_equal(net_payload("1-2", "77", NULL, &p, &err), -EPERM);
	assert_non_null(strstr(err.text, "on road 'local'"));
	assert_int_equal(net_payload("1-2", "", "ghost", &p, &err), -ENOENT);
	assert_non_null(strstr(err.text, "no board is named 'ghost'"));
	glue.adopt = false;
	assert_int_equal(net_payload("1-2", "99990001", NULL, &p, &err), -ENOENT);
	assert_non_null(strstr(err.text, "bramble board add NAME --serial 99990001"));
	glue.adopt = true;
	assert_int_equal(net_payload("../x", "99990001", NULL, &p, &err), -EINVAL);
	assert_null(p);
}

/* One that cannot start takes no boot, neither its first nor one that runs, however often it is asked for. */
static void no_boot_without_a_first_stage(void **state)
{
	struct br_usb_net_options opt = { .state = sv.state, .path = "1-8", .chip = "BCM2711", .serial = "0ff00001",
		.need = "bootcode4.bin" };
	struct br_usb_payload *p = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_boot_status first, boot;
	struct br_board board;

	NEED_IMAGE();
	assert_int_equal(net_open(&opt, &p, &err), -ENOENT);
	assert_non_null(strstr(err.text, "bootcode4.bin"));
	assert_non_null(strstr(err.text, "package 'rpiboot'"));
	assert_int_equal(br_board_by_serial(sv.fleet, 0x0ff00001, &board), 0);
	assert_int_equal(br_boots_status(sv.boots, board.id, &boot), -ENOENT);
	assert_int_equal(br_boots_reach(sv.boots, &board, BR_STAGE_KERNEL_SENT, NULL, NULL, &err), 0);
	assert_int_equal(br_boots_status(sv.boots, board.id, &first), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(net_open(&opt, &p, &err), -ENOENT);
	assert_int_equal(br_boots_status(sv.boots, board.id, &boot), 0);
	assert_true(boot.boot == first.boot && boot.stage == first.stage);
	opt.need = "bootcode.bin"; /* the image has that one */
	assert_int_equal(net_open(&opt, &p, &err), 0);
	br_usb_payload_unref(p);
	assert_int_equal(br_boots_status(sv.boots, board.id, &boot), 0);
	assert_int_equal(boot.boot, first.boot + 1);
}

/* A board that may not boot: each of its files ends the session with the words, none is "missing" or another one's. */
static void a_late_serial_that_is_refused(void **state)
{
	struct br_usb_who who = { .model = model_of(0x2764), .path = "1-5", .serial = "" };
	br_cleanup(br_usb_payload_unrefp) struct br_usb_payload *p = NULL;
	struct br_usb_payload_file file;
	struct br_error err = BR_ERROR_NULL;

	NEED_IMAGE();
	assert_int_equal(net_payload("1-5", "", NULL, &p, &err), 0);
	who.serial = "00000000deadfa11";
	glue.adopt = false;
	for (int i = 0; i < 2; i++) {
		err = BR_ERROR_NULL;
		assert_int_equal(br_usb_payload_lookup(p, &who, "config.txt", &file, &err), -ENODATA);
		assert_non_null(strstr(err.text, "bramble board add NAME --serial deadfa11"));
	}
	glue.adopt = true;
}

/* A ROM that tells no serial: the default image's files, until a later stage tells who it is. */
static void a_board_that_tells_its_serial_late(void **state)
{
	struct br_usb_who who = { .model = model_of(0x2764), .path = "1-5", .serial = "" };
	br_cleanup(br_usb_payload_unrefp) struct br_usb_payload *p = NULL;
	br_cleanup(br_freep) char *first = NULL, *anonymous = NULL, *own = NULL;
	struct br_error err = BR_ERROR_NULL;

	NEED_IMAGE();
	if (net_payload("1-5", "", NULL, &p, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(br_usb_payload_text(p), "boot files of a board not known yet");
	first = text_of(p, &who, "bootcode.bin");
	anonymous = text_of(p, &who, "config.txt");
	who.serial = "00000000beefcafe";
	own = text_of(p, &who, "cmdline.txt");
	assert_non_null(strstr(own, "/pi-beefcafe"));
}

/* ---- an image's boot partition ---- */

static void check_image(struct br_usb_payload *p)
{
	const struct br_usb_who who = { .model = model_of(0x2764) }, cm4 = { .model = model_of(0x2711) };
	br_cleanup(br_freep) char *config_txt = text_of(p, &who, "CONFIG.TXT"), *first = text_of(p, &who, "bootcode.bin");
	struct br_usb_payload_file file;
	uint8_t whole[70000], pieces[70000];

	assert_string_equal(config_txt, "config.txt\n"); /* FAT knows no case */
	assert_string_equal(first, "bootcode.bin\n");	 /* the image's own, before the firmware's */
	assert_int_equal(br_usb_payload_lookup(p, &who, "kernel8.img", &file, NULL), 0);
	assert_int_equal(file.size, sizeof(whole));
	assert_string_equal(file.origin, "image");
	assert_int_equal(br_usb_payload_read(&file, 0, whole, sizeof(whole)), 0);
	for (size_t at = 0, n; at < sizeof(pieces); at += n) {
		n = sizeof(pieces) - at < 3001 ? sizeof(pieces) - at : 3001;
		assert_int_equal(br_usb_payload_read(&file, at, pieces + at, n), 0);
	}
	assert_memory_equal(whole, pieces, sizeof(whole));
	br_usb_payload_close(&file);
	assert_int_equal(br_usb_payload_lookup(p, &who, "boot.sig", &file, NULL), -ENOENT);
	free(text_of(p, &cm4, "bootcode4.bin"));
}

/* A BCM2712 takes a ramdisk only: it has the partition's files, but for those of other chips. */
static void check_bootimg(struct br_usb_payload *p)
{
	const struct br_usb_who cm5 = { .model = model_of(0x2712) }, cm4 = { .model = model_of(0x2711) };
	struct br_usb_payload_file file;
	struct br_error err = BR_ERROR_NULL;
	struct br_fat *fat;
	uint8_t *bytes;

	assert_int_equal(br_usb_payload_lookup(p, &cm4, "boot.img", &file, NULL), -ENOENT);
	if (br_usb_payload_lookup(p, &cm5, "boot.img", &file, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(file.origin, "made");
	bytes = malloc(file.size);
	assert_non_null(bytes);
	for (uint64_t at = 0, n; at < file.size; at += n) {
		n = file.size - at < 16384 ? file.size - at : 16384;
		assert_int_equal(br_usb_payload_read(&file, at, bytes + at, n), 0);
	}
	assert_int_equal(br_fat_open(bytes, file.size, &fat, &err), 0);
	assert_non_null(br_fat_lookup(fat, "kernel8.img"));
	assert_non_null(br_fat_lookup(fat, "config.txt"));
	assert_null(br_fat_lookup(fat, "start.elf"));
	br_fat_close(fat);
	free(bytes);
	br_usb_payload_close(&file);
}

static void boot_partitions_of_images(void **state)
{
	br_cleanup(br_freep) char *fw = br_path_join(sv.dir, "fw"), *card = br_path_join(sv.dir, "card.img");
	struct br_error err = BR_ERROR_NULL;
	struct br_usb_payload *p = NULL;
	struct br_image *image;

	NEED_IMAGE();
	assert_int_equal(br_image_open(sv.store, "one", &image, &err), 0);
	assert_int_equal(br_usb_payload_image(image, fw, &p, &err), 0);
	br_image_unref(image);
	assert_string_equal(br_usb_payload_text(p), "image one");
	check_image(p);
	check_bootimg(p);
	br_usb_payload_unref(p);
	if (br_usb_payload_image_file(card, fw, &p, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(br_usb_payload_text(p), "image card.img");
	check_image(p);
	br_usb_payload_unref(br_take(p));
	assert_int_equal(test_sh("cd '%s'; echo no image >not.img; gzip -c card.img >card.img.gz", sv.dir), 0);
	for (int i = 0; i < 2; i++) {
		br_cleanup(br_freep) char *wrong = br_path_join(sv.dir, i ? "card.img.gz" : "not.img");

		assert_int_equal(br_usb_payload_image_file(wrong, fw, &p, &err), -ENOMEDIUM);
		assert_true(br_str_starts(err.text, wrong));
	}
	assert_int_equal(br_usb_payload_image_file(sv.dir, fw, &p, &err), -EINVAL);
	assert_int_equal(br_usb_payload_image_file("/nonexistent.img", fw, &p, &err), -ENOENT);
	assert_null(p);
}

/* ---- what is told ---- */

struct told {
	struct br_text text;
};

static int add_event(void *ctx, const struct br_event *ev)
{
	struct told *t = ctx;
	br_cleanup(br_freep) char *fields = ev->fields ? json_dumps(ev->fields, JSON_COMPACT | JSON_SORT_KEYS) : NULL;

	br_text_addf(&t->text, "%s %s\n", ev->type, fields ? fields : "");
	return 0;
}

static char *events_of(int64_t board)
{
	const struct br_event_filter filter = { .board_id = board };
	struct told t = { 0 };
	struct br_error err = BR_ERROR_NULL;

	assert_int_equal(br_event_query(sv.fleet, &filter, add_event, &t, &err), 0);
	return br_text_take(&t.text);
}

static void metadata_make_the_record(void **state)
{
	static const char body[] =
		"-d '{\"path\":\"1-7\",\"chip\":\"BCM2711\",\"serial\":\"12340001\",\"events\":["
		"{\"kind\":\"found\",\"stage\":\"rom\",\"payload\":\"directory /srv/recovery\"},"
		"{\"kind\":\"metadata\",\"facts\":{\"USER_SERIAL_NUM\":\"1000000012340001\",\"MAC_ADDR\":\"dc:a6:32:00:00:01\","
		"\"USER_BOARDREV\":\"b03141\",\"EEPROM_HASH\":\"abcd\",\"bad name\":\"x\",\"FACTORY_UUID\":\"0A-1B\"}},"
		"{\"kind\":\"file\",\"name\":\"pieeprom.bin\",\"bytes\":524288,\"ms\":900},"
		"{\"kind\":\"file\",\"name\":\"boot.img\",\"bytes\":1,\"ms\":1,\"net\":false},"
		"{\"kind\":\"missing\",\"name\":\"boot.sig\"},"
		"{\"kind\":\"step\",\"step\":\"left\"},"
		"{\"kind\":\"end\",\"verdict\":\"vanished\",\"well\":false,\"reason\":\"it left\",\"files\":1,\"bytes\":524288,\"ms\":1000}]}'";
	static const char *const want[] = {
		"usb.metadata {", "EEPROM_HASH abcd", "file.sent {\"bytes\":524288,\"ms\":900,\"path\":\"pieeprom.bin\",\"usb\":\"1-7\",\"via\":\"usb\"}",
		"file.missing {\"path\":\"boot.sig\"", "usb.step {\"path\":\"1-7\",\"step\":\"left\"}",
		"usb.failed {\"bytes\":524288,\"files\":1,\"ms\":1000,\"path\":\"1-7\",\"reason\":\"it left\",\"verdict\":\"vanished\"}",
	};
	br_cleanup(br_freep) char *answer = NULL, *events = NULL, *shown = NULL;
	struct br_board board;

	test_needs("curl");
	answer = curl(body, "/v1/usb/report");
	assert_non_null(strstr(answer, "{\"board\":\"pi-12340001\"}"));
	assert_int_equal(br_board_by_name(sv.fleet, "pi-12340001", &board), 0);
	assert_int_equal(board.revision, 0xb03141);
	assert_string_equal(board.model, "CM4");
	assert_int_equal(br_boots_status(sv.boots, board.id, &(struct br_boot_status){ 0 }), -ENOENT); /* no boot of ours */
	assert_int_equal(board.mac.b[5], 1);
	events = events_of(board.id);
	for (size_t i = 0; i < BR_ARRAY_SIZE(want); i++)
		if (!strstr(events, want[i]))
			fail_msg("'%s' is not in:\n%s", want[i], events);
	shown = curl("", "/v1/boards/pi-12340001");
	assert_non_null(strstr(shown, "\"EEPROM_HASH\":\"abcd\""));
	assert_non_null(strstr(shown, "\"FACTORY_UUID\":\"0A-1B\""));
	assert_null(strstr(shown, "bad name"));
}

/* A fact of a board, "" when it has none of that name. */
struct wanted {
	const char *name;
	char value[BR_FACT_VALUE_MAX + 1];
};

static int find_fact(void *ctx, const struct br_fact *fact)
{
	struct wanted *w = ctx;

	if (!strcmp(fact->name, w->name))
		strcpy(w->value, fact->value);
	return 0;
}

static const char *fact_of(int64_t board_id, const char *name)
{
	static struct wanted w;

	w = (struct wanted){ .name = name };
	assert_int_equal(br_facts_list(sv.fleet, board_id, find_fact, &w), 0);
	return w.value;
}

#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* What a board says chooses no record: neither another one's is written, nor is it fused by a stranger's words. */
static void metadata_choose_no_record(void **state)
{
	static const struct {
		const char *who, *facts; /* of the report */
		const char *trouble;	 /* that the event says; NULL: none */
		bool hash;		 /* victim gets it */
	} cases[] = {
		{ "\"serial\":\"5eed0002\"", "\"USER_SERIAL_NUM\":\"5eed0001\"", "its metadata has serial 5eed0001", false },
		{ "\"serial\":\"5eed0002\"", "\"MAC_ADDR\":\"dc:a6:32:5e:ed:01\"", "the MAC address of board victim", false },
		{ "\"board\":\"victim\",\"serial\":\"5eed0002\"", "\"a\":\"b\"", "its device descriptor has serial 5eed0002", false },
		{ "\"board\":\"victim\"", "\"USER_SERIAL_NUM\":\"5eed0002\"", "its metadata has serial 5eed0002", false },
		{ "\"board\":\"victim\"", "\"a\":\"b\"", "only the port says", false },
		{ "\"odd\":1", "\"USER_SERIAL_NUM\":\"5eed0001\"", NULL, false },
		{ "\"serial\":\"5eed0001\"", "\"MAC_ADDR\":\"dc:a6:32:5e:ed:09\"", NULL, true },
	};
	struct br_board victim = { .name = "victim", .serial = 0x5eed0001, .serial_known = true,
		.mac = { { 0xdc, 0xa6, 0x32, 0x5e, 0xed, 1 } } }, other = { .name = "liar", .serial = 0x5eed0002, .serial_known = true };
	struct br_error err = BR_ERROR_NULL;

	test_needs("curl");
	assert_int_equal(br_board_save(sv.fleet, &victim, &err), 0);
	assert_int_equal(br_board_save(sv.fleet, &other, &err), 0);
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_freep) char *body = br_asprintf("-d '{\"path\":\"1-%zu\",\"chip\":\"BCM2711\",%s,\"events\":["
			"{\"kind\":\"metadata\",\"facts\":{%s,\"CUSTOMER_KEY_HASH\":\"" HASH "\"}}]}'", 20 + i, cases[i].who, cases[i].facts);
		br_cleanup(br_freep) char *answer = curl(body, "/v1/usb/report"), *events = events_of(0);

		if (!strstr(answer, "\n200") || (cases[i].trouble && !strstr(events, cases[i].trouble)))
			fail_msg("case %zu: %s\n%s", i, answer, events);
		if (!strcmp(fact_of(victim.id, BR_FACT_KEY_HASH), HASH) != cases[i].hash)
			fail_msg("case %zu: %s", i, fact_of(victim.id, BR_FACT_KEY_HASH));
	}
	assert_int_equal(br_board_by_name(sv.fleet, "victim", &victim), 0);
	assert_int_equal(victim.mac.b[5], 1); /* the network knows it by that */
	assert_string_equal(fact_of(other.id, BR_FACT_KEY_HASH), "");
	assert_int_equal(br_board_remove(sv.fleet, victim.id, &err), 0);
	assert_int_equal(br_board_remove(sv.fleet, other.id, &err), 0);
}

static void hashes_that_mean_fused(void **state)
{
	static const struct {
		const char *value;
		bool fused;
	} cases[] = {
		{ HASH, true }, { "A" HASH, false }, { NULL, false }, { "", false }, { "-", false }, { "none", false },
		{ "0x000000000000000000000000000000000000000000000000000000000000001", false },
		{ "0x00000000000000000000000000000000000000000000000000000000000000", false },
		{ "0000000000000000000000000000000000000000000000000000000000000000", false },
		{ "000000000000000000000000000000000000000000000000000000000000000F", true },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++)
		if (br_fact_is_key_hash(cases[i].value) != cases[i].fused)
			fail_msg("case %zu: %s", i, cases[i].value);
}

/* A device that says another serial each time it comes. */
static void adoption_over_usb_has_a_rate(void **state)
{
	br_cleanup(br_freep) char *answer = NULL;
	uint64_t before, after;

	test_needs("curl");
	assert_int_equal(br_board_count(sv.fleet, &before), 0);
	for (unsigned i = 0; i < 70; i++) {
		br_cleanup(br_freep) char *body = br_asprintf("-d '{\"path\":\"7-1.%u\",\"chip\":\"BCM2711\",\"serial\":\"%x\",\"events\":[]}'",
			i % 4, 0x71000000 + i);

		free(curl(body, "/v1/usb/report"));
	}
	assert_int_equal(br_board_count(sv.fleet, &after), 0);
	assert_in_range(after - before, 50, 61);
	answer = curl("-d '{\"path\":\"7-1\",\"chip\":\"BCM2711\",\"serial\":\"7100ffff\"}'", "/v1/usb/begin");
	assert_non_null(strstr(answer, "too many new ones came on this port"));
}

static void reports_that_are_wrong(void **state)
{
	static const struct {
		const char *body, *words;
	} cases[] = {
		{ "{}", "'path'" },
		{ "{\"path\":\"1-2\"}", "'chip'" },
		{ "{\"path\":\"a\",\"chip\":\"B\"}", "'path'" },
		{ "{\"path\":\"1-2\",\"chip\":\"BCM2711\",\"events\":[{}]}", "a kind that is not known" },
		{ "{\"path\":\"1-2\",\"chip\":\"BCM2711\",\"events\":[{\"kind\":\"file\"}]}", "without its name" },
		{ "{\"path\":\"1-2\",\"chip\":\"BCM2711\",\"events\":[7]}", "a kind that is not known" },
	};

	test_needs("curl");
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_freep) char *args = br_asprintf("-d '%s'", cases[i].body), *answer = curl(args, "/v1/usb/report");

		if (!strstr(answer, cases[i].words) || !strstr(answer, "\n400"))
			fail_msg("case %zu: %s", i, answer);
	}
}

static void facts_of_a_board_are_bounded(void **state)
{
	struct br_board board = { .name = "facts", .serial = 0x4711, .serial_known = true };
	struct br_fact facts[BR_FACTS_MAX + 1] = { 0 };
	struct br_error err = BR_ERROR_NULL;

	assert_int_equal(br_board_save(sv.fleet, &board, &err), 0);
	for (size_t i = 0; i < BR_ARRAY_SIZE(facts); i++) {
		snprintf(facts[i].name, sizeof(facts[i].name), "KEY_%zu", i);
		strcpy(facts[i].value, "value");
	}
	assert_int_equal(br_facts_put(sv.fleet, board.id, facts, BR_FACTS_MAX, &err), 0);
	strcpy(facts[0].value, "changed");
	assert_int_equal(br_facts_put(sv.fleet, board.id, facts, BR_FACTS_MAX + 1, &err), -ENOSPC);
	assert_string_equal(fact_of(board.id, "KEY_0"), "changed"); /* only the new one is left out */
	assert_string_equal(fact_of(board.id, facts[BR_FACTS_MAX].name), "");
	strcpy(facts[BR_FACTS_MAX].name, BR_FACT_KEY_HASH);
	assert_int_equal(br_facts_put(sv.fleet, board.id, facts + BR_FACTS_MAX, 1, &err), 0);
	assert_string_equal(fact_of(board.id, BR_FACT_KEY_HASH), "value");
	strcpy(facts[0].value, "another");
	assert_int_equal(br_facts_put(sv.fleet, board.id, facts, 1, &err), 0);
	strcpy(facts[0].value, "a\nline");
	assert_int_equal(br_facts_put(sv.fleet, board.id, facts, 1, &err), -EINVAL);
	assert_false(br_fact_ok("", "x"));
	assert_false(br_fact_ok("a b", "x"));
	assert_int_equal(br_board_remove(sv.fleet, board.id, &err), 0);
}

/* ---- the keeper ---- */

static char noted[1000];

static void take_note(void *ctx, const struct br_usb_device *dev, const char *words)
{
	snprintf(noted, sizeof(noted), "%s: %s", dev->path, words);
}

/* As the manager asks: again while it is being found out. */
static int choose(struct br_usb_keeper *k, const struct br_usb_device *dev, struct br_usb_choice *ret)
{
	int r = -EINPROGRESS;

	for (unsigned i = 0; i < 5000 && r == -EINPROGRESS; i++) {
		r = br_usb_keeper_choose(k, dev, br_usbboot_model(dev->vendor, dev->product), ret);
		if (r == -EINPROGRESS)
			usleep(2000);
	}
	return r;
}

static void the_keeper_opens_what_the_policy_says(void **state)
{
	static const struct {
		const char *path;
		int r;
		const char *text; /* of the payload, or of the note */
	} cases[] = {
		{ "1-1", 0, "" }, /* ignored: no words */
		{ "1-2", 1, "image one" },
		{ "1-3", 1, "/fw" },
		{ "1-4", -EAGAIN, "/nowhere" },
		{ "1-5", -EAGAIN, "no image 'ghost' here" },
		{ "1-6", -EAGAIN, "mass-storage gadget for BCM2711 is not installed" },
		{ "1-7", 1, "boot files of pi-0badf00d" },
		{ "1-8", 1, "caf\\\\xe9" }, /* bytes that are no UTF-8 */
	};
	br_cleanup(br_usb_policy_done) struct br_usb_policy p = { 0 };
	br_cleanup(br_usb_keeper_freep) struct br_usb_keeper *k = NULL;
	br_cleanup(br_freep) char *fw = br_path_join(sv.dir, "fw"), *latin = br_path_join(sv.dir, "caf\xe9");
	struct br_usb_keeper_options opt = { .state = sv.state, .policy = &p, .note = take_note };
	struct br_error err = BR_ERROR_NULL;
	char stage[] = "rom";

	NEED_IMAGE();
	if (!access("/usr/share/rpiboot/mass-storage-gadget64/bootfiles.bin", F_OK)) {
		print_message("skipped: a gadget is installed here\n");
		skip();
	}
	assert_int_equal(test_sh("for f in config.txt start4.elf 2711/start4.elf; do echo x >'%s'/$f; done", fw), 0);
	set(&p, "", "firmware", fw);
	set(&p, "path 1-1", "boot", "ignore");
	assert_int_equal(test_sh("cp -r '%s' '%s'", fw, latin), 0);
	set(&p, "path 1-8", "boot", latin);
	set(&p, "path 1-2", "boot", "image one");
	set(&p, "path 1-3", "boot", fw);
	set(&p, "path 1-4", "boot", "/nowhere");
	set(&p, "path 1-5", "boot", "image ghost");
	set(&p, "path 1-6", "boot", "gadget");
	assert_int_equal(br_usb_keeper_new(&opt, &k, &err), 0);
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_usb_device dev = { .vendor = BR_USBBOOT_VENDOR, .product = 0x2711, .serial_index = 3, .serial = "0badf00d" };
		struct br_usb_session_options so = { 0 };
		struct br_usb_choice choice = { 0 };
		struct br_usb_session *s;
		int r;

		noted[0] = 0;
		strcpy(dev.path, cases[i].path);
		r = choose(k, &dev, &choice);
		if (r != cases[i].r || (r < 0 && !strstr(noted, cases[i].text)))
			fail_msg("%s: %d %s", cases[i].path, r, noted);
		if (r < 0) { /* asked again, nobody is told the same again */
			noted[0] = 0;
			assert_int_equal(choose(k, &dev, &choice), -EAGAIN);
			assert_string_equal(noted, "");
		}
		if (r <= 0)
			continue;
		assert_int_equal(br_usb_session_new(&so, dev.path, &s), 0);
		br_usb_keeper_step(k, s, &(struct br_usb_step){ .kind = BR_USB_STEP_FOUND, .name = stage, .detail = stage + 3 });
		br_usb_session_abort(s, "the test is over", 1);
		br_usb_keeper_ended(k, s);
		br_usb_session_free(s);
	}
	br_usb_keeper_free(br_take(k)); /* what is to be told is told by then */
	{
		br_cleanup(br_freep) char *events = events_of(0);

		for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) { /* what each of them gets is told, in words */
			br_cleanup(br_freep) char *found = br_asprintf("\"path\":\"%s\",\"payload\":\"", cases[i].path);
			const char *at = strstr(events, found);

			if (!!at != (cases[i].r == 1) || (at && !strstr(at, cases[i].text)))
				fail_msg("%s: %s", cases[i].path, events);
		}
		assert_non_null(strstr(events, "\"path\":\"1-2\",\"reason\":\"the test is over\",\"verdict\":\"aborted\""));
		assert_non_null(strstr(events, "\"path\":\"1-7\",\"reason\":\"the test is over\""));
	}
}

/* A daemon that accepts and never answers: nobody waits for it, neither asking nor ending. */
static void a_daemon_that_hangs_holds_up_nobody(void **state)
{
	br_cleanup(br_freep) char *dir = br_path_join(sv.dir, "hangs"), *path = NULL;
	br_cleanup(br_usb_policy_done) struct br_usb_policy p = { 0 };
	struct br_usb_device dev = { .vendor = BR_USBBOOT_VENDOR, .product = 0x2711, .serial_index = 3, .serial = "0badf00d", .path = "1-9" };
	struct br_usb_keeper_options opt = { .state = dir, .policy = &p };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	br_cleanup(br_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct br_usb_choice choice = { 0 };
	struct br_error err = BR_ERROR_NULL;
	struct br_usb_keeper *k;
	uint64_t began;

	assert_int_equal(mkdir(dir, 0700), 0);
	path = br_api_socket_path(dir);
	assert_int_equal(br_strcpy(addr.sun_path, sizeof(addr.sun_path), path), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(br_usb_keeper_new(&opt, &k, &err), 0);
	began = br_now_ns();
	for (int i = 0; i < 50; i++)
		assert_int_equal(br_usb_keeper_choose(k, &dev, model_of(0x2711), &choice), -EINPROGRESS);
	assert_true(br_now_ns() - began < BR_S);
	usleep(50000); /* it is in the middle of asking */
	br_usb_keeper_free(k);
	assert_true(br_now_ns() - began < 4 * BR_S);
}

/* ---- all of it: virtual boards, the manager, the keeper, the daemon ---- */

static int on_choose(void *ctx, const struct br_usb_device *dev, const struct br_usbboot_model *model, struct br_usb_choice *ret)
{
	return br_usb_keeper_choose(ctx, dev, model, ret);
}

static void on_step(void *ctx, struct br_usb_session *s, const struct br_usb_step *step)
{
	br_usb_keeper_step(ctx, s, step);
}

static unsigned n_ended;

static void on_ended(void *ctx, struct br_usb_session *s)
{
	if (br_usb_session_verdict(s) != BR_USB_DONE)
		fail_msg("%s: %s", br_usb_session_path(s), br_usb_session_reason(s));
	n_ended++;
	br_usb_keeper_ended(ctx, s);
}

static void compute_modules_boot_their_plans(void **state)
{
	static const struct br_usb_manager_ops ops = { .choose = on_choose, .step = on_step, .ended = on_ended };
	static const char *const kinds[] = { "cm4", "cm5", "cm3" };
	static const char *const want[] = {
		"usb.found {", "file.sent {\"bytes\":", "\"path\":\"boot.img\"", "usb.done {",
	};
	struct br_sim_usb_inside *inside = br_sim_usb_inside_new();
	struct br_usb_manager_options mo = { .host = br_sim_usb_inside_host(inside), .ops = &ops };
	br_cleanup(br_usb_policy_done) struct br_usb_policy p = { 0 };
	br_cleanup(br_freep) char *fw = br_path_join(sv.dir, "fw");
	struct br_usb_keeper_options ko = { .state = sv.state, .policy = &p };
	struct br_error err = BR_ERROR_NULL;
	struct br_usb_keeper *k;
	struct br_usb_manager *m;
	uint64_t now_ns = 1000 * BR_S, next_ns;

	NEED_IMAGE();
	set(&p, "", "firmware", fw);
	assert_int_equal(br_usb_keeper_new(&ko, &k, &err), 0);
	mo.ctx = k;
	assert_int_equal(br_usb_manager_new(&mo, &m), 0);
	for (size_t i = 0; i < BR_ARRAY_SIZE(kinds); i++) {
		struct br_sim_rom_config rom = { .kind = br_sim_rom_kind_by_id(kinds[i]), .serial = 0x51000000 + (uint32_t)i, .speed = 1 };

		assert_int_equal(br_sim_usb_inside_add(inside, &rom), (int)i);
	}
	n_ended = 0;
	for (unsigned turns = 0; n_ended < BR_ARRAY_SIZE(kinds); turns++) {
		assert_true(turns < 1000000);
		assert_int_equal(br_usb_manager_tick(m, now_ns, &next_ns, &err), 0);
		if (next_ns > now_ns && next_ns - now_ns <= BR_USB_SOON_NS)
			usleep((useconds_t)((next_ns - now_ns) / 1000)); /* the daemon's time is no fake one */
		now_ns = next_ns > now_ns && next_ns != UINT64_MAX ? next_ns : now_ns;
	}
	br_usb_manager_free(m);
	mo.host->ops->free(mo.host);
	br_usb_keeper_free(k);
	for (uint32_t i = 0; i < 2; i++) {
		br_cleanup(br_freep) char *events = NULL;
		struct br_boot_status boot;
		struct br_board board;

		assert_int_equal(br_board_by_serial(sv.fleet, 0x51000000 + i, &board), 0);
		assert_int_equal(br_boots_status(sv.boots, board.id, &boot), 0);
		assert_int_equal(boot.stage, BR_STAGE_KERNEL_SENT);
		events = events_of(board.id);
		for (size_t w = 0; w < BR_ARRAY_SIZE(want); w++)
			if (!strstr(events, want[w]))
				fail_msg("%s: '%s' is not in:\n%s", kinds[i], want[w], events);
	}
}

static void without_a_daemon(void **state)
{
	struct br_usb_net_options opt = { .state = "/nonexistent", .path = "1-2", .chip = "BCM2711", .serial = "" };
	struct br_error err = BR_ERROR_NULL;
	struct br_usb_payload *p = NULL;

	assert_int_equal(net_open(&opt, &p, &err), -ECONNREFUSED);
	assert_non_null(strstr(err.text, "bramble serve"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_are_chosen_in_order),
		cmocka_unit_test(wrong_rules_get_words),
		cmocka_unit_test(the_file_has_rules_too),
		cmocka_unit_test(a_board_gets_its_plan_over_usb),
		cmocka_unit_test(boards_that_get_no_plan_get_words),
		cmocka_unit_test(no_boot_without_a_first_stage),
		cmocka_unit_test(a_late_serial_that_is_refused),
		cmocka_unit_test(a_board_that_tells_its_serial_late),
		cmocka_unit_test(boot_partitions_of_images),
		cmocka_unit_test(metadata_make_the_record),
		cmocka_unit_test(metadata_choose_no_record),
		cmocka_unit_test(hashes_that_mean_fused),
		cmocka_unit_test(reports_that_are_wrong),
		cmocka_unit_test(facts_of_a_board_are_bounded),
		cmocka_unit_test(the_keeper_opens_what_the_policy_says),
		cmocka_unit_test(a_daemon_that_hangs_holds_up_nobody),
		cmocka_unit_test(compute_modules_boot_their_plans),
		cmocka_unit_test(without_a_daemon),
		cmocka_unit_test(adoption_over_usb_has_a_rate), /* last: it makes boards */
	};

	return cmocka_run_group_tests_name("usb and the daemon", tests, set_up, tear_down);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* One board's session over a scripted USB host: the whole way, and every verdict provoked. */
#include "usbscript.h"

#include "usb/sessionjson.h"

static struct script k;

static void from_rom_to_done(void **state)
{
	static const struct {
		uint16_t product;
		uint8_t rom_index, rom_interfaces;
		uint32_t first;
		uint8_t interface;
	} chips[] = {
		{ 0x2763, 0, 1, 50000, 0 }, { 0x2764, 0, 2, 50000, 1 }, { 0x2711, 3, 1, 100000, 0 }, { 0x2712, 3, 1, 16384, 0 },
	};

	for (size_t i = 0; i < sizeof(chips) / sizeof(chips[0]); i++) {
		script_start(&k, NULL);
		script_plug(&k, chips[i].product, chips[i].rom_index, chips[i].rom_interfaces);
		assert_int_equal(k.interface, chips[i].interface);
		assert_int_equal(script_first_stage(&k), chips[i].first);
		script_status(&k, 0);
		script_wait(&k, BR_S);
		script_unplug(&k);
		script_wait(&k, BR_S);
		script_plug(&k, chips[i].product, 1, 1);
		assert_true(k.queue[0]->timeout_ns >= 20 * BR_S);
		assert_int_equal(script_fetch(&k, "config.txt"), 30);
		script_ask(&k, BR_USBBOOT_GET_SIZE, "recovery.elf");
		assert_int_equal(script_length(&k), 0);
		script_wait(&k, 15 * BR_S);
		script_tell(&k, "USER_SERIAL_NUM", "1234abcd");
		assert_int_equal(script_length(&k), 0);
		assert_int_equal(script_fetch(&k, "start4.elf"), 200000);
		assert_string_equal(br_usb_session_serial(k.s), "100000001234abcd");
		script_ask(&k, BR_USBBOOT_DONE, "done");
		assert_int_equal(k.n, 0);
		assert_int_equal(k.steps[BR_USB_STEP_FILE], 2);
		assert_int_equal(k.steps[BR_USB_STEP_MISSING], 1);
		assert_int_equal(k.steps[BR_USB_STEP_TROUBLE], 0);
		script_end(&k, BR_USB_DONE, "done after 2 files, 200 kB");
	}
}

/* Words with bytes in them that are no UTF-8: the row is there, with the bytes beside it. */
static void bytes_as_json(void **state)
{
	const struct br_usb_session_options opt = { 0 };
	struct br_usb_session *s;
	json_t *row, *last;

	assert_int_equal(br_usb_session_new(&opt, "1-2", &s), 0);
	br_usb_session_abort(s, "/srv/caf\xe9: gone", 1);
	row = br_usb_session_json(s);
	assert_non_null(row);
	assert_non_null(strstr(json_string_value(json_object_get(row, "reason")), "/srv/caf\\xe9: gone"));
	assert_string_equal(json_string_value(json_object_get(row, "reason_hex")), "2f7372762f636166e93a20676f6e65");
	last = json_array_get(json_object_get(row, "steps"), json_array_size(json_object_get(row, "steps")) - 1);
	assert_string_equal(json_string_value(json_object_get(last, "detail_hex")), "2f7372762f636166e93a20676f6e65");
	json_decref(row);
	br_usb_session_free(s);
}

/* A payload that has not got a file yet holds up nobody: it is asked again. */
static void files_that_take_their_time(void **state)
{
	const struct br_usb_session_options sign = { .sign = true }, leave = { .leave_ok = true };

	script_start(&k, &sign);
	k.pending = 3;
	script_plug(&k, 0x2764, 0, 1);
	assert_int_equal(k.n, 0); /* nothing is sent yet */
	script_wait(&k, BR_S);
	assert_int_equal(k.finds, 2); /* the signature once, the first stage once */
	assert_int_equal(script_first_stage(&k), 50000);
	br_usb_session_abort(k.s, "enough", k.now_ns);
	script_end(&k, BR_USB_ABORTED, "enough");
	script_start(&k, &leave);
	script_plug(&k, 0x2711, 1, 1);
	k.pending = 100;
	script_ask(&k, BR_USBBOOT_GET_SIZE, "config.txt");
	assert_int_equal(k.n, 0);
	script_wait(&k, BR_S);
	assert_int_equal(script_length(&k), 30);
	k.pending = 0;
	assert_int_equal(script_fetch(&k, "start4.elf"), 200000);
	k.pending = 1000000;
	script_ask(&k, BR_USBBOOT_READ, "config.txt");
	script_unplug(&k); /* that it has not got what it waits for is no good end */
	assert_int_equal(br_usb_session_verdict(k.s), BR_USB_RUNNING);
	script_plug(&k, 0x2711, 1, 1);
	script_ask(&k, BR_USBBOOT_READ, "config.txt");
	script_wait(&k, 31 * BR_S);
	script_end(&k, BR_USB_BAD_PAYLOAD, "config.txt: the payload did not give it in 30");
}

static void a_file_is_opened_once(void **state)
{
	script_start(&k, NULL);
	script_plug(&k, 0x2711, 1, 1);
	for (int i = 0; i < 20; i++) {
		script_ask(&k, BR_USBBOOT_GET_SIZE, "start4.elf");
		assert_int_equal(script_length(&k), 200000);
	}
	assert_int_equal(script_fetch(&k, "start4.elf"), 200000);
	assert_int_equal(k.finds, 1);
	/* asking for others in turn ends, too */
	k.huge = 100 << 20;
	for (int i = 0; i < 3; i++) {
		script_ask(&k, BR_USBBOOT_GET_SIZE, "huge.bin");
		assert_int_equal(script_length(&k), 100 << 20);
		script_ask(&k, BR_USBBOOT_GET_SIZE, "config.txt");
		if (i < 2)
			assert_int_equal(script_length(&k), 30);
	}
	script_end(&k, BR_USB_ENDLESS, "it asked for the sizes of");
}

static void a_second_stage_needs_no_first(void **state)
{
	script_start(&k, NULL);
	script_plug(&k, 0x2711, 1, 1);
	script_fetch(&k, "config.txt");
	script_ask(&k, BR_USBBOOT_GET_SIZE, "");
	assert_int_equal(script_length(&k), 0);
	script_end(&k, BR_USB_DONE, "done after 1 file, 30");
	/* ... and one that does not wait for the answer to its last word */
	script_start(&k, NULL);
	script_plug(&k, 0x2711, 2, 1);
	script_fetch(&k, "empty.bin");
	script_ask(&k, BR_USBBOOT_DONE, "");
	script_unplug(&k);
	script_end(&k, BR_USB_DONE, "done after 1 file");
}

static void metadata_is_kept_and_decoded(void **state)
{
	const struct br_usb_metadata *m;
	size_t n;

	script_start(&k, NULL);
	script_plug(&k, 0x2712, 1, 1);
	script_tell(&k, "MAC_ADDR", "d8:3a:dd:00:00:01");
	script_length(&k);
	script_tell(&k, "BOARD_ATTR", "1");
	script_length(&k);
	script_tell(&k, "BOARD_ATTR", "2");
	script_length(&k);
	script_tell(&k, "FACTORY_UUID", "59e4"); /* test_wire_usbboot.c has what it means */
	script_length(&k);
	m = br_usb_session_metadata(k.s, &n);
	assert_int_equal(n, 3);
	assert_string_equal(m[0].key, "MAC_ADDR");
	assert_string_equal(m[0].value, "d8:3a:dd:00:00:01");
	assert_string_equal(m[1].value, "2");
	assert_string_not_equal(m[2].value, "59e4");
	for (unsigned i = 0; i < 200; i++) {
		char key[16];

		snprintf(key, sizeof(key), "KEY%u", i);
		script_tell(&k, key, "");
		script_length(&k);
	}
	br_usb_session_metadata(k.s, &n);
	assert_int_equal(n, BR_USB_METADATA_MAX);
	script_ask(&k, BR_USBBOOT_DONE, "*KEY*no metadata");
	script_end(&k, BR_USB_DONE, "done");
}

static void signed_boot_sends_the_signature(void **state)
{
	struct br_usb_session_options o = { .sign = true };

	for (int chip = 0; chip < 2; chip++) { /* only the old chips take one */
		script_start(&k, &o);
		script_plug(&k, chip ? 0x2711 : 0x2764, 0, 1);
		script_length(&k);
		script_bulk(&k, 24);
		for (unsigned i = 0; i < 20; i++)
			assert_int_equal(k.got[4 + i], chip ? 0 : script_byte("bootcode.sig", i));
		br_usb_session_abort(k.s, "enough", k.now_ns);
		script_end(&k, BR_USB_ABORTED, "enough");
	}
}

static void the_status_may_be_lost(void **state)
{
	static const uint16_t products[] = { 0x2711, 0x2712, 0x2764 };
	static const enum br_usb_status lost[] = { BR_USB_GONE, BR_USB_IO, BR_USB_STALL, BR_USB_TIMEOUT };

	for (size_t i = 0; i < 12; i++) {
		script_start(&k, NULL);
		script_plug(&k, products[i % 3], 0, 1);
		script_first_stage(&k);
		script_complete(&k, lost[i / 3], 0);
		assert_int_equal(k.steps[BR_USB_STEP_TROUBLE], i % 3 == 2);
		script_unplug(&k);
		script_wait(&k, 2 * BR_S);
		script_plug(&k, products[i % 3], 1, 1);
		script_ask(&k, BR_USBBOOT_DONE, "");
		script_length(&k);
		script_end(&k, BR_USB_DONE, "done after 0 files");
	}
}

static void the_next_stage_ends_it_well(void **state)
{
	script_start(&k, NULL);
	script_to_files(&k, 0x2711);
	script_fetch(&k, "start4.elf");
	script_unplug(&k);
	script_wait(&k, 59 * BR_S);
	script_plug(&k, 0x4e40, 1, 2);
	script_end(&k, BR_USB_NEXT_STAGE, "left after 1 file, and 18d1:4e40 came up on its port");
	/* asks for more on the same path */
	script_start(&k, NULL);
	script_to_files(&k, 0x2711);
	script_fetch(&k, "start4.elf");
	script_unplug(&k);
	script_wait(&k, 5 * BR_S);
	script_plug(&k, 0x2711, 1, 1);
	script_fetch(&k, "config.txt");
	script_ask(&k, BR_USBBOOT_DONE, "done");
	script_end(&k, BR_USB_DONE, "done after 2 files");
	/* where none is expected */
	script_start(&k, &(struct br_usb_session_options){ .leave_ok = true });
	script_to_files(&k, 0x2711);
	script_fetch(&k, "start4.elf");
	script_unplug(&k);
	script_end(&k, BR_USB_DONE, "left after 1 file, the last start4.elf");
}

static void it_vanishes(void **state)
{
	script_start(&k, NULL);
	script_to_files(&k, 0x2711);
	script_fetch(&k, "config.txt");
	script_unplug(&k);
	script_wait(&k, 60 * BR_S);
	script_end(&k, BR_USB_VANISHED, "left after 1 file (the last asked for: config.txt) without being done, and no next stage");
	/* in the middle of a file, where leaving is fine but after a whole one */
	script_start(&k, &(struct br_usb_session_options){ .leave_ok = true });
	script_to_files(&k, 0x2711);
	script_fetch(&k, "config.txt");
	script_ask(&k, BR_USBBOOT_READ, "start4.elf");
	script_length(&k);
	script_bulk(&k, 60000);
	script_unplug(&k);
	script_wait(&k, 60 * BR_S);
	script_end(&k, BR_USB_VANISHED, "left at byte 65536 of the 200000 of start4.elf, after 1 whole file");
	/* before any */
	script_start(&k, NULL);
	script_to_files(&k, 0x2711);
	script_unplug(&k);
	script_wait(&k, 29 * BR_S);
	script_plug(&k, 0x4e40, 1, 1);
	script_wait(&k, 1 * BR_S);
	script_end(&k, BR_USB_VANISHED, "left before it had a file, and did not come back in 30.0 s: cable, power or wrong files; on its port came 18d1:4e40");
	/* in the middle of the first stage */
	script_start(&k, NULL);
	script_plug(&k, 0x2711, 0, 1);
	script_length(&k);
	script_bulk(&k, 24);
	script_length(&k);
	script_bulk(&k, 32768);
	script_unplug(&k);
	script_wait(&k, 30 * BR_S);
	script_end(&k, BR_USB_VANISHED, "left before it had the first stage");
}

/* It hangs within its second file; the session gives the transfer up and asks anew, or sees whether it leaves; then it leaves. */
static void it_hangs_within_a_file_and_leaves(void **state)
{
	static const enum br_usb_status how[] = { BR_USB_TIMEOUT, BR_USB_IO };
	static const uint64_t waits[] = { 1, 10 * BR_S };

	for (size_t i = 0; i < 8; i++) {
		bool other = i & 4;

		script_start(&k, &(struct br_usb_session_options){ .leave_ok = !other });
		script_to_files(&k, 0x2711);
		script_fetch(&k, "config.txt");
		script_ask(&k, BR_USBBOOT_READ, "start4.elf");
		script_length(&k);
		script_bulk(&k, 60000);
		script_complete(&k, how[i & 1], 0);
		script_settle(&k);
		script_wait(&k, waits[i >> 1 & 1]);
		script_unplug(&k);
		script_wait(&k, BR_S);
		assert_int_equal(br_usb_session_verdict(k.s), BR_USB_RUNNING);
		if (other) /* its eMMC's system: none that we sent */
			script_plug(&k, 0x4e40, 1, 2);
		assert_int_equal(k.steps[BR_USB_STEP_NEXT_STAGE], 0);
		script_wait(&k, 60 * BR_S);
		script_end(&k, BR_USB_VANISHED, other ? "or it crashed; on its port came 18d1:4e40" : "or it crashed");
	}
	script_start(&k, &(struct br_usb_session_options){ .leave_ok = true }); /* whole after all */
	script_to_files(&k, 0x2711);
	script_ask(&k, BR_USBBOOT_READ, "config.txt");
	script_length(&k);
	script_complete(&k, BR_USB_TIMEOUT, 0);
	script_wait(&k, BR_S);
	script_fetch(&k, "config.txt");
	script_unplug(&k);
	script_end(&k, BR_USB_DONE, "left after 1 file, the last config.txt");
}

/* What cannot be read is not missing; and what is missing may have words. */
static void files_that_may_not_be_read(void **state)
{
	static const char *const words[2][2] = { { "link.bin", "link.bin: a link that leads out" },
		{ "secret.bin", "secret.bin: cannot open: Permission denied" } };
	const struct br_usb_step *steps;
	size_t n;

	for (size_t i = 0; i < 4; i++) {
		script_start(&k, &(struct br_usb_session_options){ .leave_ok = true });
		script_to_files(&k, 0x2711);
		script_fetch(&k, "config.txt");
		script_ask(&k, i & 1 ? BR_USBBOOT_READ : BR_USBBOOT_GET_SIZE, words[i / 2][0]);
		assert_int_equal(k.steps[BR_USB_STEP_MISSING], 0);
		script_end(&k, BR_USB_BAD_PAYLOAD, words[i / 2][1]);
	}
	script_start(&k, NULL);
	script_to_files(&k, 0x2711);
	script_ask(&k, BR_USBBOOT_GET_SIZE, "boot.img");
	assert_int_equal(script_length(&k), 0);
	steps = br_usb_session_steps(k.s, &n);
	assert_int_equal(steps[n - 1].kind, BR_USB_STEP_MISSING);
	assert_string_equal(steps[n - 1].detail, "boot.img cannot be made");
	script_ask(&k, BR_USBBOOT_DONE, "done");
	script_end(&k, BR_USB_DONE, "done");
}

static void it_never_comes_back(void **state)
{
	script_start(&k, NULL);
	script_plug(&k, 0x2711, 0, 1);
	script_first_stage(&k);
	script_status(&k, 0);
	script_unplug(&k);
	assert_string_equal(br_usb_session_doing(k.s), "waits for the second stage");
	script_wait(&k, 30 * BR_S - 1);
	assert_int_equal(br_usb_session_verdict(k.s), BR_USB_RUNNING);
	script_wait(&k, 1);
	script_end(&k, BR_USB_NEVER_BACK, "the ROM never came back after the first stage (30.0 s): cable or wrong bootcode");
	script_start(&k, NULL);
	script_plug(&k, 0x2711, 0, 1);
	script_first_stage(&k);
	script_status(&k, 0);
	script_wait(&k, 30 * BR_S);
	script_end(&k, BR_USB_NEVER_BACK, "neither left the bus nor came back");
}

static void the_rom_refuses(void **state)
{
	script_start(&k, NULL);
	script_plug(&k, 0x2711, 0, 1);
	script_first_stage(&k);
	script_status(&k, 0x2a);
	script_end(&k, BR_USB_REFUSED, "refused bootcode4.bin with status 0x2a");
}

static void the_rom_takes_nothing(void **state)
{
	static const enum br_usb_status statuses[] = { BR_USB_STALL, BR_USB_TIMEOUT, BR_USB_IO, BR_USB_GONE };

	for (size_t i = 0; i < 4; i++) { /* the message itself */
		script_start(&k, NULL);
		script_plug(&k, 0x2711, 0, 1);
		for (unsigned n = 0; n < 3; n++) {
			assert_int_equal(br_usb_session_verdict(k.s), BR_USB_RUNNING);
			script_complete(&k, statuses[i], 0);
			script_wait(&k, 4 * BR_S);
		}
		script_end(&k, BR_USB_NOT_SENT, br_usb_status_name(statuses[i]));
	}
	script_start(&k, NULL); /* in the middle; then it works */
	script_plug(&k, 0x2711, 0, 1);
	script_length(&k);
	script_bulk(&k, 24);
	script_length(&k);
	script_bulk(&k, 32768);
	assert_int_equal(k.n, 4);
	script_complete(&k, BR_USB_STALL, 512);
	script_settle(&k);
	script_cleared(&k, BR_USB_OK);
	assert_int_equal(k.n, 0);
	script_wait(&k, BR_S);
	assert_int_equal(k.opens, 2);
	script_first_stage(&k);
	script_status(&k, 0);
	br_usb_session_abort(k.s, "enough", k.now_ns);
	script_end(&k, BR_USB_ABORTED, "enough");
}

static void it_cannot_be_opened(void **state)
{
	static const struct {
		int result;
		enum br_usb_verdict verdict;
	} cases[] = { { -EACCES, BR_USB_NO_PERMISSION }, { -EBUSY, BR_USB_NOT_OPENED }, { -ENODEV, BR_USB_NOT_OPENED } };

	for (size_t i = 0; i < 3; i++) {
		script_start(&k, NULL);
		k.open_result = cases[i].result;
		script_plug(&k, 0x2711, 0, 1);
		script_wait(&k, 2900 * BR_MS);
		assert_int_equal(br_usb_session_verdict(k.s), BR_USB_RUNNING);
		script_wait(&k, 200 * BR_MS);
		script_end(&k, cases[i].verdict, "/dev/bus/usb/001/002 will not open");
	}
	script_start(&k, NULL); /* udev is late */
	k.open_result = -EACCES;
	script_plug(&k, 0x2711, 0, 1);
	k.open_result = 0;
	script_wait(&k, 250 * BR_MS);
	script_first_stage(&k);
	br_usb_session_abort(k.s, "enough", k.now_ns);
	script_end(&k, BR_USB_ABORTED, "enough");
}

static void bad_payloads(void **state)
{
	script_start(&k, NULL);
	k.missing = "bootcode5.bin";
	script_plug(&k, 0x2712, 3, 1);
	script_end(&k, BR_USB_BAD_PAYLOAD, "no bootcode5.bin, the first stage of a BCM2712 (nor 2712/bootcode5.bin");
	script_start(&k, NULL);
	k.broken = "bootcode5.bin";
	script_plug(&k, 0x2712, 3, 1);
	script_length(&k);
	script_bulk(&k, 24);
	script_length(&k);
	script_end(&k, BR_USB_BAD_PAYLOAD, "bootcode5.bin: the disk is gone");
	script_start(&k, NULL);
	k.broken = "start4.elf";
	script_to_files(&k, 0x2711);
	script_ask(&k, BR_USBBOOT_GET_SIZE, "start4.elf");
	script_length(&k);
	script_ask(&k, BR_USBBOOT_READ, "start4.elf");
	script_length(&k);
	script_end(&k, BR_USB_BAD_PAYLOAD, "start4.elf: the disk is gone");
	script_start(&k, NULL);
	k.huge = 1ull << 32;
	script_to_files(&k, 0x2711);
	script_ask(&k, BR_USBBOOT_GET_SIZE, "huge.bin");
	script_end(&k, BR_USB_BAD_PAYLOAD, "huge.bin: 4294967296 bytes: the protocol ends at 4294967295");
	script_start(&k, &(struct br_usb_session_options){ .sign = true });
	k.missing = "bootcode.sig";
	script_plug(&k, 0x2763, 0, 1);
	script_end(&k, BR_USB_BAD_PAYLOAD, "no bootcode.sig");
	script_start(&k, &(struct br_usb_session_options){ .sign = true });
	k.broken = "bootcode.sig";
	script_plug(&k, 0x2763, 0, 1);
	script_end(&k, BR_USB_BAD_PAYLOAD, "bootcode.sig: the disk is gone");
}

static void silence(void **state)
{
	script_start(&k, NULL);
	script_to_files(&k, 0x2711);
	script_wait(&k, 20 * BR_S);
	assert_int_equal(k.steps[BR_USB_STEP_TROUBLE], 1); /* it says that it waits still */
	assert_int_equal(k.n, 1);			   /* the same read */
	script_complete(&k, BR_USB_TIMEOUT, 0);
	script_end(&k, BR_USB_SILENT, "asked for nothing at all in 1 m 00 s");
	script_start(&k, &(struct br_usb_session_options){ .read_ns = 20 * BR_S });
	script_to_files(&k, 0x2711);
	script_fetch(&k, "config.txt");
	assert_true(k.queue[0]->timeout_ns == 20 * BR_S);
	script_complete(&k, BR_USB_TIMEOUT, 0);
	script_end(&k, BR_USB_SILENT, "nothing more in 20.0 s, and did not say that it is done; the last was config.txt");
}

static void nonsense(void **state)
{
	static const struct {
		const char *words;
		size_t len;
		uint8_t bytes[12];
	} cases[] = {
		{ "a request of 0 bytes", 0, { 0 } },
		{ "a request of 3 bytes", 3, { 0 } },
		{ "a file name without an end", 6, { 0, 0, 0, 0, 'a', 'b' } },
		{ "command 3, which no file server knows", 8, { 3, 0, 0, 0, 'a' } },
		{ "command 4294967295", 8, { 255, 255, 255, 255, 'a' } },
		{ "a file name that is not text: \"a\\x1b[2J\"", 12, { 0, 0, 0, 0, 'a', 27, '[', '2', 'J' } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		script_start(&k, NULL);
		script_to_files(&k, 0x2711);
		for (unsigned n = 0; n < 3; n++) {
			script_say(&k, cases[i].bytes, cases[i].len);
			script_wait(&k, BR_S);
		}
		script_end(&k, BR_USB_NO_SENSE, cases[i].words);
	}
	script_start(&k, NULL); /* twice is forgiven */
	script_to_files(&k, 0x2711);
	for (unsigned n = 0; n < 10; n++) {
		script_say(&k, "abc", 3);
		script_wait(&k, BR_S);
		script_say(&k, "abc", 3);
		script_wait(&k, BR_S);
		script_fetch(&k, "config.txt");
	}
	script_ask(&k, BR_USBBOOT_DONE, "done");
	script_end(&k, BR_USB_DONE, "done after 10 files");
}

static void names_that_lead_out(void **state)
{
	static const char *const names[] = { "../etc/shadow", "/etc/shadow", "a/../../b", ".." };

	script_start(&k, NULL);
	script_to_files(&k, 0x2711);
	for (size_t i = 0; i < 4; i++) {
		script_ask(&k, BR_USBBOOT_GET_SIZE, names[i]);
		assert_int_equal(script_length(&k), 0);
		script_ask(&k, BR_USBBOOT_READ, names[i]);
		assert_int_equal(script_length(&k), 0);
		assert_int_equal(k.n, 1);
	}
	assert_int_equal(k.steps[BR_USB_STEP_MISSING], 8);
	script_ask(&k, BR_USBBOOT_DONE, "../..");
	script_end(&k, BR_USB_DONE, "done after 0 files");
}

static void requests_out_of_order(void **state)
{
	script_start(&k, NULL);
	script_to_files(&k, 0x2711);
	script_ask(&k, BR_USBBOOT_READ, "config.txt"); /* no size before it */
	assert_int_equal(script_length(&k), 30);
	assert_int_equal(script_bulk(&k, 30), 30);
	script_ask(&k, BR_USBBOOT_GET_SIZE, "start4.elf"); /* the size of one, then another one */
	assert_int_equal(script_length(&k), 200000);
	script_ask(&k, BR_USBBOOT_READ, "config.txt");
	assert_int_equal(script_length(&k), 30);
	assert_int_equal(script_bulk(&k, 30), 30);
	assert_int_equal(k.got[0], script_byte("config.txt", 0));
	script_ask(&k, BR_USBBOOT_DONE, "done");
	script_end(&k, BR_USB_DONE, "done after 2 files");
}

static void transfers_fail_while_it_stays(void **state)
{
	script_start(&k, NULL);
	script_to_files(&k, 0x2711);
	for (unsigned n = 0; n < 3; n++) {
		script_ask(&k, BR_USBBOOT_READ, "start4.elf");
		script_length(&k);
		script_bulk(&k, 32768);
		script_complete(&k, n == 1 ? BR_USB_OK : BR_USB_TIMEOUT, 100); /* OK but short is as bad */
		script_settle(&k);
		script_wait(&k, 4 * BR_S);
	}
	script_end(&k, BR_USB_BROKEN_OFF, "start4.elf: timed out, 3 times in a row");
	script_start(&k, NULL); /* a size in between is no progress */
	script_to_files(&k, 0x2711);
	for (unsigned n = 0; n < 3; n++) {
		script_ask(&k, BR_USBBOOT_GET_SIZE, "start4.elf");
		script_length(&k);
		script_ask(&k, BR_USBBOOT_READ, "start4.elf");
		script_length(&k);
		script_complete(&k, BR_USB_STALL, 100);
		script_settle(&k);
		script_cleared(&k, n == 1 ? BR_USB_IO : BR_USB_OK);
		script_wait(&k, 3 * BR_S);
	}
	script_end(&k, BR_USB_BROKEN_OFF, "start4.elf: stalled by the board, 3 times in a row");
	script_start(&k, NULL); /* reads that are stalled */
	script_to_files(&k, 0x2711);
	script_complete(&k, BR_USB_STALL, 0);
	script_wait(&k, BR_S);
	script_complete(&k, BR_USB_STALL, 0);
	script_wait(&k, BR_S);
	script_fetch(&k, "config.txt");
	script_complete(&k, BR_USB_STALL, 0);
	script_wait(&k, BR_S);
	script_ask(&k, BR_USBBOOT_DONE, "done");
	script_end(&k, BR_USB_DONE, "done");
	script_start(&k, NULL); /* a host that refuses */
	script_to_files(&k, 0x2711);
	k.submit_result = -EIO;
	script_ask(&k, BR_USBBOOT_GET_SIZE, "config.txt");
	script_wait(&k, 20 * BR_S);
	script_end(&k, BR_USB_BROKEN_OFF, "bus error");
	script_start(&k, NULL); /* a host that keeps no time */
	script_to_files(&k, 0x2711);
	script_wait(&k, 79 * BR_S);
	assert_int_equal(br_usb_session_verdict(k.s), BR_USB_RUNNING);
	script_wait(&k, BR_S);
	script_end(&k, BR_USB_BROKEN_OFF, "neither ended nor timed out");
}

/* A stalled endpoint takes nothing before its halt is cleared; what else may happen meanwhile. */
static void a_stall_is_cleared(void **state)
{
	for (int how = 0; how < 6; how++) {
		script_start(&k, &(struct br_usb_session_options){ .leave_ok = true });
		script_to_files(&k, 0x2711);
		script_fetch(&k, "config.txt");
		script_ask(&k, BR_USBBOOT_READ, "start4.elf");
		script_length(&k);
		if (how == 5) /* no thread for it: as if it were cleared */
			k.submit_result = -EAGAIN;
		script_complete(&k, BR_USB_STALL, 0);
		script_settle(&k);
		if (how == 0) { /* it works, and the file is sent */
			script_cleared(&k, BR_USB_OK);
			script_wait(&k, BR_S);
			script_fetch(&k, "start4.elf");
			script_ask(&k, BR_USBBOOT_DONE, "done");
			script_end(&k, BR_USB_DONE, "done after 2 files");
		} else if (how == 1) { /* it leaves */
			script_unplug(&k);
			script_wait(&k, 60 * BR_S);
			script_end(&k, BR_USB_VANISHED, "left at byte 0 of the 200000 of start4.elf");
		} else if (how == 2) { /* it goes: that is seen before it has left */
			script_cleared(&k, BR_USB_GONE);
			script_wait(&k, BR_S);
			script_unplug(&k);
			script_wait(&k, 60 * BR_S);
			script_end(&k, BR_USB_VANISHED, "left at byte 0 of the 200000 of start4.elf");
		} else if (how == 3) { /* somebody ends it all */
			br_usb_session_abort(k.s, "enough", k.now_ns);
			script_end(&k, BR_USB_ABORTED, "enough");
		} else if (how == 4) { /* it is never cleared */
			k.stuck = true;
			script_wait(&k, BR_USB_CLEAR_NS + 20 * BR_S);
			k.stuck = false;
			script_end(&k, BR_USB_BROKEN_OFF, "clears the board's stall: the transfer neither ended nor timed out");
		} else {
			assert_int_equal(k.n, 0);
			k.submit_result = 0;
			script_wait(&k, BR_S);
			script_fetch(&k, "start4.elf");
			script_ask(&k, BR_USBBOOT_DONE, "done");
			script_end(&k, BR_USB_DONE, "done after 2 files");
		}
	}
}

static void a_time_that_jumps_ends_nothing(void **state)
{
	script_start(&k, NULL);
	script_to_files(&k, 0x2711);
	k.now_ns += 3600 * BR_S; /* suspended; what came meanwhile is told after it */
	assert_true(br_usb_session_tick(k.s, k.now_ns) > k.now_ns);
	script_fetch(&k, "config.txt");
	script_ask(&k, BR_USBBOOT_DONE, "done");
	script_end(&k, BR_USB_DONE, "done after 1 file");
}

static void it_begins_anew_for_ever(void **state)
{
	script_start(&k, NULL);
	for (unsigned n = 0; n < 4; n++) {
		assert_int_equal(br_usb_session_verdict(k.s), BR_USB_RUNNING);
		script_to_files(&k, 0x2711);
		script_fetch(&k, "config.txt");
		script_unplug(&k);
		script_wait(&k, BR_S);
	}
	script_plug(&k, 0x2711, 0, 1);
	script_end(&k, BR_USB_RESETS, "began anew 4 times, last after the file config.txt");
	script_start(&k, NULL);
	for (unsigned n = 0; n < 4; n++) {
		script_plug(&k, 0x2711, 0, 1);
		script_first_stage(&k);
		script_status(&k, 0);
		script_unplug(&k);
		script_wait(&k, BR_S);
	}
	script_plug(&k, 0x2711, 0, 1);
	script_end(&k, BR_USB_RESETS, "the ROM took bootcode4.bin and came back as it was, 4 times");
}

static void it_asks_for_ever(void **state)
{
	script_start(&k, NULL);
	script_to_files(&k, 0x2711);
	for (unsigned n = 0; n < 10000; n++) {
		assert_int_equal(br_usb_session_verdict(k.s), BR_USB_RUNNING);
		script_ask(&k, BR_USBBOOT_GET_SIZE, "config.txt");
		script_length(&k);
	}
	script_ask(&k, BR_USBBOOT_GET_SIZE, "config.txt");
	script_end(&k, BR_USB_ENDLESS, "10000 requests without an end, the last for \"config.txt\"");
	script_start(&k, NULL);
	script_to_files(&k, 0x2711);
	for (unsigned n = 0; n < 7200 / 50; n++) {
		script_fetch(&k, "start4.elf"); /* slow, and steps beyond the list's end */
		for (unsigned i = 0; i < 20; i++) {
			script_ask(&k, BR_USBBOOT_GET_SIZE, "nothing");
			script_length(&k);
		}
		script_wait(&k, 50 * BR_S);
	}
	script_end(&k, BR_USB_ENDLESS, "not done after two hours");
}

static void aborted_with_transfers_in_flight(void **state)
{
	script_start(&k, NULL);
	script_to_files(&k, 0x2711);
	script_ask(&k, BR_USBBOOT_READ, "start4.elf");
	script_length(&k);
	assert_int_equal(k.n, 4);
	br_usb_session_abort(k.s, "interrupted", k.now_ns);
	assert_true(br_usb_session_busy(k.s));
	br_usb_session_abort(k.s, "again", k.now_ns);
	script_end(&k, BR_USB_ABORTED, "interrupted");
}

static void progress_is_told(void **state)
{
	uint64_t done, total;
	unsigned files;

	script_start(&k, NULL);
	assert_null(br_usb_session_model(k.s));
	script_to_files(&k, 0x2712);
	assert_string_equal(br_usb_session_model(k.s)->chip, "BCM2712");
	assert_string_equal(br_usb_session_path(k.s), "1-2.3");
	assert_string_equal(br_usb_session_doing(k.s), "waits for the board to ask");
	script_ask(&k, BR_USBBOOT_READ, "start4.elf");
	script_length(&k);
	script_bulk(&k, 16384);
	br_usb_session_progress(k.s, &done, &total);
	assert_true(done == 16384 && total == 200000);
	assert_string_equal(br_usb_session_doing(k.s), "start4.elf");
	script_bulk(&k, 200000);
	br_usb_session_progress(k.s, &done, &total);
	assert_true(!done && !total);
	assert_true(br_usb_session_bytes(k.s, &files) == 200000 && files == 1);
	br_usb_session_abort(k.s, "enough", k.now_ns);
	script_end(&k, BR_USB_ABORTED, "enough");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(from_rom_to_done),
		cmocka_unit_test(files_that_take_their_time),
		cmocka_unit_test(a_file_is_opened_once),
		cmocka_unit_test(a_second_stage_needs_no_first),
		cmocka_unit_test(metadata_is_kept_and_decoded),
		cmocka_unit_test(signed_boot_sends_the_signature),
		cmocka_unit_test(the_status_may_be_lost),
		cmocka_unit_test(the_next_stage_ends_it_well),
		cmocka_unit_test(it_vanishes),
		cmocka_unit_test(it_hangs_within_a_file_and_leaves),
		cmocka_unit_test(files_that_may_not_be_read),
		cmocka_unit_test(it_never_comes_back),
		cmocka_unit_test(the_rom_refuses),
		cmocka_unit_test(the_rom_takes_nothing),
		cmocka_unit_test(it_cannot_be_opened),
		cmocka_unit_test(bad_payloads),
		cmocka_unit_test(silence),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(names_that_lead_out),
		cmocka_unit_test(requests_out_of_order),
		cmocka_unit_test(transfers_fail_while_it_stays),
		cmocka_unit_test(a_stall_is_cleared),
		cmocka_unit_test(a_time_that_jumps_ends_nothing),
		cmocka_unit_test(it_begins_anew_for_ever),
		cmocka_unit_test(it_asks_for_ever),
		cmocka_unit_test(aborted_with_transfers_in_flight),
		cmocka_unit_test(progress_is_told),
		cmocka_unit_test(bytes_as_json),
	};

	return cmocka_run_group_tests_name("usb_session", tests, NULL, NULL);
}

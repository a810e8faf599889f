/* SPDX-License-Identifier: Apache-2.0 */
/* Many ports at once: who is chosen, asked again, held, and what a run over them ends with. */
#include "test.h"

#include <signal.h>

#include "base/clock.h"
#include "cli/usbrun.h"
#include "sim/usbinside.h"
#include "usb/manager.h"

/* --- a host with one port, whose board says at once that it is done --- */

static struct {
	struct br_usb_host host;
	struct br_usb_device dev;
	bool arrive, here, leave, refuse;
	struct br_usb_transfer *waiting;
	unsigned chosen, ended, held;
	int choice;
	uint64_t now_ns;
	struct br_usb_manager *m;
	struct br_usb_files files;
	bool mute, never, closed;    /* mute: it asks for nothing; never: even what is cancelled does not end */
	struct br_usb_device second; /* comes when the first one is closed */
} one;

static int one_open(struct br_usb_host *host, struct br_usb_device *dev, uint8_t interface, struct br_error *err)
{
	return one.refuse ? br_error_set(err, EACCES, "no permission for it") : 0;
}

static void one_close(struct br_usb_host *host, struct br_usb_device *dev)
{
	one.closed = true;
}

static int one_submit(struct br_usb_host *host, struct br_usb_device *dev, struct br_usb_transfer *t)
{
	assert_null(one.waiting);
	one.waiting = t;
	return 0;
}

static void one_cancel(struct br_usb_host *host, struct br_usb_device *dev, struct br_usb_transfer *t)
{
}

static int one_fd(struct br_usb_host *host)
{
	return -1;
}

static uint64_t one_next(struct br_usb_host *host, uint64_t now_ns)
{
	return (one.waiting && !one.mute) || one.arrive || one.leave ? now_ns : UINT64_MAX;
}

static int one_handle(struct br_usb_host *host, uint64_t now_ns, struct br_error *err)
{
	struct br_usb_transfer *t = one.waiting;

	if (t && one.mute && one.closed && !one.never) {
		one.waiting = NULL;
		t->status = BR_USB_CANCELLED;
		host->callbacks.completed(host->callbacks.ctx, &one.dev, t);
	} else if (t && !one.mute) {
		one.waiting = NULL;
		assert_int_equal(t->kind, BR_USB_CONTROL_IN);
		assert_int_equal(br_usbboot_encode_request(t->data, BR_USBBOOT_DONE, "done", NULL), 0);
		t->done = t->len;
		t->status = BR_USB_OK;
		host->callbacks.completed(host->callbacks.ctx, &one.dev, t);
	}
	if (one.leave && one.here)
		host->callbacks.left(host->callbacks.ctx, &one.dev);
	one.here &= !one.leave;
	if (one.arrive && !one.here) {
		one.here = true;
		one.dev = (struct br_usb_device){ .path = "1-1", .port = 1, .vendor = BR_USBBOOT_VENDOR, .product = 0x2711,
			.serial_index = 1, .n_interfaces = 1 };
		host->callbacks.arrived(host->callbacks.ctx, &one.dev);
	}
	one.arrive = one.leave = false;
	if (one.closed && one.second.path[0] && !one.second.user)
		host->callbacks.arrived(host->callbacks.ctx, &one.second);
	return 0;
}

static void one_free(struct br_usb_host *host)
{
}

static int on_choose(void *ctx, const struct br_usb_device *dev, const struct br_usbboot_model *model,
	struct br_usb_choice *ret)
{
	one.chosen++;
	ret->files = &one.files;
	ret->user = &one;
	return one.choice;
}

static void on_ended(void *ctx, struct br_usb_session *s)
{
	assert_ptr_equal(br_usb_manager_user(s, one.m), &one);
	one.ended++;
}

static void on_held(void *ctx, const struct br_usb_device *dev, const char *reason)
{
	assert_non_null(strstr(reason, one.never ? "transfers of its last session do not end" :
			"left alone until its port was empty for 10.0 s"));
	one.held++;
}

static const struct br_usb_host_ops one_ops = {
	one_open, one_close, one_submit, one_cancel, one_fd, one_next, one_handle, one_free
};

static void one_start(void)
{
	static const struct br_usb_manager_ops ops = { on_choose, NULL, on_ended, on_held };
	struct br_usb_manager_options o = { .host = &one.host, .ops = &ops };

	memset(&one, 0, sizeof(one));
	one.host.ops = &one_ops;
	one.choice = 1;
	one.now_ns = 100 * BR_S;
	assert_int_equal(br_usb_manager_new(&o, &one.m), 0);
}

static void wait_for(uint64_t ns)
{
	uint64_t end = one.now_ns + ns, next;

	for (unsigned i = 0;; i++) {
		assert_true(i < 10000);
		assert_int_equal(br_usb_manager_tick(one.m, one.now_ns, &next, NULL), 0);
		if (next > end)
			break;
		one.now_ns = next > one.now_ns ? next : one.now_ns;
	}
	one.now_ns = end;
	assert_int_equal(br_usb_manager_tick(one.m, end, &next, NULL), 0);
}

static void replug(uint64_t empty_ns)
{
	one.leave = true;
	wait_for(empty_ns);
	one.arrive = true;
	wait_for(4 * BR_S); /* as long as a refused open is tried */
}

static void a_board_that_fails_for_ever_is_held(void **state)
{
	one_start();
	one.refuse = true;
	for (unsigned i = 1; i <= 5; i++) {
		replug(BR_S);
		assert_int_equal(one.ended, i);
	}
	replug(BR_S);
	replug(9 * BR_S);
	assert_int_equal(one.held, 1);
	assert_int_equal(one.chosen, 5);
	one.refuse = false;
	replug(10 * BR_S);
	assert_int_equal(one.ended, 6);
	br_usb_manager_free(one.m);
}

static void a_board_whose_jumper_is_set_is_held(void **state)
{
	one_start();
	for (unsigned i = 0; i < 10; i++)
		replug(500 * BR_MS); /* ends well, and is back 4.5 s later */
	assert_int_equal(one.held, 1);
	assert_int_equal(one.ended, 5);
	br_usb_manager_free(one.m);
	one_start(); /* somebody plugs in board after board */
	for (unsigned i = 0; i < 10; i++)
		replug(2 * BR_S);
	assert_int_equal(one.held, 0);
	assert_int_equal(one.ended, 10);
	br_usb_manager_free(one.m);
}

static void who_says_not_now_is_asked_again(void **state)
{
	one_start();
	one.choice = -EAGAIN;
	one.arrive = true;
	wait_for(1);
	assert_int_equal(one.chosen, 1);
	wait_for(11 * BR_S);
	assert_int_equal(one.chosen, 3);
	one.choice = 1;
	wait_for(5 * BR_S);
	assert_int_equal(one.ended, 1);
	one.choice = 0; /* and who says no is not */
	replug(BR_S);
	wait_for(60 * BR_S);
	assert_int_equal(one.chosen, 5);
	one.choice = -EAGAIN; /* nor for a board that has left */
	replug(BR_S);
	one.leave = true;
	wait_for(60 * BR_S);
	assert_int_equal(one.chosen, 6);
	br_usb_manager_free(one.m);
}

/* The host keeps a transfer for ever: its port is blocked, and that is said once. */
static void transfers_that_never_end_are_told(void **state)
{
	one_start();
	one.mute = one.never = one.arrive = true;
	wait_for(80 * BR_S);
	assert_int_equal(one.ended, 1);
	wait_for(10 * BR_S - 1);
	assert_int_equal(one.held, 0);
	wait_for(1);
	assert_int_equal(one.held, 1);
	wait_for(60 * BR_S);
	assert_int_equal(one.held, 1);
	one.never = false;
	wait_for(BR_S);
	br_usb_manager_free(one.m);
}

static void who_waits_behind_another_is_not_asked_before(void **state)
{
	one_start();
	one.choice = -EBUSY;
	one.arrive = true;
	wait_for(60 * BR_S);
	assert_int_equal(one.chosen, 1);
	br_usb_manager_free(one.m); /* nothing else ends here; a run over two boards: below */
}

/* --- runs, over virtual boards --- */

static unsigned told;
static char waited[100]; /* what the run said last while it waited */
static unsigned draws;	 /* until it is interrupted; 0: never */

static int any_file(struct br_usb_files *files, const struct br_usb_device *dev, const struct br_usbboot_model *model,
	const char *name, struct br_usb_file *ret, struct br_error *err)
{
	if (!strcmp(name, "pieeprom.sig")) /* none: a system is booted, no EEPROM written */
		return -ENOENT;
	*ret = (struct br_usb_file){ .size = 20000 };
	return 0;
}

static int read_zeros(struct br_usb_files *files, const struct br_usb_file *file, uint64_t offset, void *buf, size_t n,
	struct br_error *err)
{
	memset(buf, 0, n);
	return 0;
}

static void close_none(struct br_usb_files *files, struct br_usb_file *file)
{
}

static const struct br_usb_files_ops zero_ops = { any_file, read_zeros, close_none };
static struct br_usb_files zeros = { &zero_ops };

static int run_choose(void *ctx, const struct br_usb_device *dev, const struct br_usbboot_model *model,
	struct br_usb_choice *ret)
{
	ret->files = &zeros;
	return ctx ? -ENOENT : 1;
}

static void run_ended(void *ctx, struct br_usb_session *s)
{
	if (!br_usb_verdict_is_well(br_usb_session_verdict(s)))
		print_message("%s: %s\n", br_usb_session_path(s), br_usb_session_reason(s));
	told++;
}

static void run_waiting(void *ctx, uint64_t waited_ns, const char *there)
{
	snprintf(waited, sizeof(waited), "<%s>", there);
}

static void run_draw(void *ctx, const struct br_usb_manager *m, uint64_t now_ns)
{
	if (draws && !--draws)
		raise(SIGINT);
}

static struct br_sim_usb_inside *boards(unsigned n)
{
	struct br_sim_usb_inside *inside = br_sim_usb_inside_new();

	for (unsigned i = 0; i < n; i++) {
		struct br_sim_rom_config c = { .kind = br_sim_rom_kind_at(i % 3), .serial = 0x1000 + i };

		assert_int_equal(br_sim_usb_inside_add(inside, &c), i);
	}
	return inside;
}

static enum br_exit run_with(struct br_usb_run *run, struct br_sim_usb_inside *inside)
{
	static const struct br_usb_voice voice = { .ended = run_ended, .waiting = run_waiting, .draw = run_draw };
	struct br_error err = BR_ERROR_NULL;

	told = 0;
	waited[0] = 0;
	run->host = inside ? br_sim_usb_inside_host(inside) : &one.host;
	run->voice = &voice;
	run->choose = run_choose;
	assert_int_equal(br_usb_run(run, &err), 0);
	run->host->ops->free(run->host);
	return br_usb_run_exit(run);
}

static void runs_end_as_they_went(void **state)
{
	struct br_usb_run all = { .select.port = -1, .timeout_ns = 10 * BR_S };
	struct br_usb_run few = { .select.port = -1, .timeout_ns = 100 * BR_MS, .wait_for = 3 };
	struct br_usb_run none = { .select = { .port = 9 }, .timeout_ns = 100 * BR_MS };
	struct br_usb_run broken = { .select.port = -1, .timeout_ns = 10 * BR_S, .ctx = &told };

	assert_int_equal(run_with(&all, boards(16)), BR_EXIT_OK);
	assert_true(all.came == 16 && all.well == 16 && told == 16);
	assert_int_equal(run_with(&few, boards(2)), BR_EXIT_TIMEOUT);
	assert_true(few.came == 2 && few.well == 2);
	assert_int_equal(run_with(&none, boards(2)), BR_EXIT_TIMEOUT);
	assert_int_equal(none.came, 0);
	assert_int_equal(run_with(&broken, boards(2)), BR_EXIT_BAD_PAYLOAD);
	assert_string_equal(waited, "");
}

/* A board that fails; then a good one. */
static struct br_sim_usb_inside *one_of_each(unsigned n)
{
	static const enum br_sim_rom_quirk quirks[] = { BR_SIM_ROM_BAD_STATUS, BR_SIM_ROM_PLAIN };
	struct br_sim_usb_inside *inside = br_sim_usb_inside_new();

	for (unsigned i = 0; i < n; i++) {
		struct br_sim_rom_config c = { .kind = br_sim_rom_kind_by_id("cm3"), .serial = 0x1000 + i, .quirk = quirks[i],
			.value = 5 };

		assert_int_equal(br_sim_usb_inside_add(inside, &c), i);
	}
	return inside;
}

static void the_second_board_has_its_turn(void **state)
{
	struct br_usb_run first = { .select.port = -1, .timeout_ns = 20 * BR_S, .first_only = true };

	run_with(&first, one_of_each(2));
	assert_true(first.came == 2 && first.failed == 1 && first.well == 1);
}

static void what_is_waited_for(void **state)
{
	struct br_usb_run none = { .select = { .port = 9 }, .timeout_ns = 500 * BR_MS, .still_ns = 50 * BR_MS }, failed = none,
		empty = none, loop = { .select.port = 9, .still_ns = 1, .loop = true };

	assert_int_equal(run_with(&none, boards(2)), BR_EXIT_TIMEOUT);
	assert_string_equal(waited, "<1-1 (not selected), 1-2 (not selected)>");
	assert_int_equal(run_with(&empty, boards(0)), BR_EXIT_TIMEOUT);
	assert_string_equal(waited, "<>");
	failed.select.port = -1;
	failed.wait_for = 2;
	failed.timeout_ns = 3 * BR_S;
	assert_int_equal(run_with(&failed, one_of_each(1)), BR_EXIT_FAILED);
	assert_string_equal(waited, "<1-1 (had its turn; power it off and on to begin anew)>");
	draws = 3; /* a service does not tell its journal that it waits */
	assert_int_equal(run_with(&loop, boards(1)), BR_EXIT_INTERRUPTED);
	assert_string_equal(waited, "");
}

static void one_board_without_permission_is_not_all_of_them(void **state)
{
	struct br_usb_run run = { .well = 7, .failed = 1, .denied = 1, .came = 8 };

	assert_int_equal(br_usb_run_exit(&run), BR_EXIT_FAILED);
	run.well = 0;
	assert_int_equal(br_usb_run_exit(&run), BR_EXIT_NO_PERMISSION);
	run = (struct br_usb_run){ .well = 7, .failed = 1, .bad_payload = 1, .came = 8 };
	assert_int_equal(br_usb_run_exit(&run), BR_EXIT_FAILED);
	run.well = 0;
	assert_int_equal(br_usb_run_exit(&run), BR_EXIT_BAD_PAYLOAD);
}

/* A board that comes while the run takes its transfers back is not begun, only to be aborted. */
static void nobody_is_begun_at_the_end(void **state)
{
	struct br_usb_run run = { .select.port = -1, .timeout_ns = UINT64_MAX };

	memset(&one, 0, sizeof(one));
	one.host.ops = &one_ops;
	one.mute = one.arrive = true;
	one.second = (struct br_usb_device){ .path = "1-2", .port = 2, .vendor = BR_USBBOOT_VENDOR, .product = 0x2711,
		.serial_index = 1, .n_interfaces = 1 };
	draws = 3;
	assert_int_equal(run_with(&run, NULL), BR_EXIT_INTERRUPTED);
	assert_non_null(one.second.user); /* it came */
	assert_true(run.came == 1 && run.failed == 1 && told == 1);
}

static void selection(void **state)
{
	static const struct {
		struct br_usb_select select;
		bool meant;
	} cases[] = {
		{ { NULL, NULL, -1 }, true }, { { "1-2.3", NULL, -1 }, true }, { { "1-2", NULL, -1 }, false },
		{ { NULL, NULL, 3 }, true }, { { NULL, NULL, 2 }, false }, { { NULL, "100000001234ABCD", -1 }, true },
		{ { NULL, "1234abcd", -1 }, true }, { { NULL, "234abcd", -1 }, false }, { { NULL, "x100000001234abcd", -1 }, false },
		{ { "1-2.3", "1234abcd", 3 }, true }, { { "1-2.4", "1234abcd", 3 }, false },
	};
	struct br_usb_device dev = { .path = "1-2.3", .port = 3, .serial = "100000001234abcd" }, silent = { .path = "1-2.3" };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(br_usb_selected(&cases[i].select, &dev), cases[i].meant);
	assert_false(br_usb_selected(&cases[6].select, &silent));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_board_that_fails_for_ever_is_held),
		cmocka_unit_test(a_board_whose_jumper_is_set_is_held),
		cmocka_unit_test(who_says_not_now_is_asked_again),
		cmocka_unit_test(transfers_that_never_end_are_told),
		cmocka_unit_test(who_waits_behind_another_is_not_asked_before),
		cmocka_unit_test(runs_end_as_they_went),
		cmocka_unit_test(the_second_board_has_its_turn),
		cmocka_unit_test(what_is_waited_for),
		cmocka_unit_test(one_board_without_permission_is_not_all_of_them),
		cmocka_unit_test(nobody_is_begun_at_the_end),
		cmocka_unit_test(selection),
	};

	return cmocka_run_group_tests_name("usb_manager", tests, NULL, NULL);
}

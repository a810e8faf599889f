/* SPDX-License-Identifier: Apache-2.0 */
/* Many ports at once: who is chosen, asked again, held, and what a run over them ends with. */
#include "test.h"

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
} one;

static int one_open(struct br_usb_host *host, struct br_usb_device *dev, uint8_t interface, struct br_error *err)
{
	return one.refuse ? br_error_set(err, EACCES, "no permission for it") : 0;
}

static void one_close(struct br_usb_host *host, struct br_usb_device *dev)
{
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
	return one.waiting || one.arrive || one.leave ? now_ns : UINT64_MAX;
}

static int one_handle(struct br_usb_host *host, uint64_t now_ns, struct br_error *err)
{
	struct br_usb_transfer *t = one.waiting;

	if (t) {
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
	assert_non_null(strstr(reason, "left alone until its port was empty for 10.0 s"));
	one.held++;
}

static void one_start(void)
{
	static const struct br_usb_host_ops host_ops = {
		one_open, one_close, one_submit, one_cancel, one_fd, one_next, one_handle, one_free
	};
	static const struct br_usb_manager_ops ops = { on_choose, NULL, on_ended, on_held };
	struct br_usb_manager_options o = { .host = &one.host, .ops = &ops };

	memset(&one, 0, sizeof(one));
	one.host.ops = &host_ops;
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

/* --- runs, over virtual boards --- */

static unsigned told, waited;

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

static void run_waiting(void *ctx, uint64_t waited_ns, unsigned skipped)
{
	waited++;
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
	static const struct br_usb_voice voice = { .ended = run_ended, .waiting = run_waiting };
	struct br_error err = BR_ERROR_NULL;

	told = 0;
	run->host = br_sim_usb_inside_host(inside);
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
	assert_int_equal(waited, 0);
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
		cmocka_unit_test(runs_end_as_they_went),
		cmocka_unit_test(selection),
	};

	return cmocka_run_group_tests_name("usb_manager", tests, NULL, NULL);
}

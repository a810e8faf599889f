/* SPDX-License-Identifier: Apache-2.0 */
/* USB devices out of a made-up sysfs, and the libusb host's news about them. */
#include "test.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "usb/libusb.h"
#include "usb/sysfs.h"

static const uint8_t descriptors[] = { 18, 1, 0, 2, 0, 0, 0, 64, 0x5c, 0x0a, 0x11, 0x27, 0, 0, 1, 2, 3, 1,
	9, 2, 32, 0, 2, 1, 0, 0xc0, 1 };

static void put(const char *device, const char *name, const void *data, size_t len)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", test_dir(), device);
	assert_int_equal(br_mkdir_all(path, 0755, NULL), 0);
	snprintf(path, sizeof(path), "%s/%s/%s", test_dir(), device, name);
	assert_int_equal(br_file_write(path, data, len, 0644, NULL), 0);
}

static void put_device(const char *name, const char *bus, const char *address, const char *serial)
{
	put(name, "descriptors", descriptors, sizeof(descriptors));
	put(name, "busnum", bus, strlen(bus));
	put(name, "devnum", address, strlen(address));
	if (serial)
		put(name, "serial", serial, strlen(serial));
}

static void take_away(const char *name)
{
	char path[600];

	snprintf(path, sizeof(path), "%s/%s", test_dir(), name);
	assert_int_equal(br_remove_tree(path, NULL), 0);
}

static void the_list(void **state)
{
	br_cleanup(br_freep) struct br_usb_listed *list = NULL;
	struct br_error err = BR_ERROR_NULL;
	size_t n;

	put_device("1-10", "1\n", "9\n", NULL);
	put_device("1-2.3", "1\n", "7\n", "1000\x1b[2J\n");
	put_device("usb1", "1\n", "1\n", NULL);
	put_device("1-2.3:1.0", "1\n", "1\n", NULL);
	put_device("1-3", "1\n", "x\n", NULL);
	put("1-4", "descriptors", descriptors, 17);
	put("1-x", "busnum", "1", 1);
	assert_int_equal(br_usb_sysfs_list(test_dir(), &list, &n, &err), 0);
	assert_int_equal(n, 2);
	assert_string_equal(list[0].device.path, "1-2.3");
	assert_string_equal(list[0].device.node, "/dev/bus/usb/001/007");
	assert_string_equal(list[0].device.serial, "1000\\x1b[2J");
	assert_true(list[0].device.vendor == 0x0a5c && list[0].device.product == 0x2711 && list[0].device.port == 3);
	assert_true(list[0].device.serial_index == 3 && list[0].device.n_interfaces == 2 && list[0].address == 7);
	assert_string_equal(list[1].device.path, "1-10");
	assert_int_equal(list[1].device.port, 10);
	free(br_take(list));
	assert_int_equal(br_usb_sysfs_list("/nonexistent", &list, &n, &err), 0);
	assert_int_equal(n, 0);
	assert_int_equal(br_remove_tree(test_dir(), NULL), 0);
}

static void descriptors_of_any_length(void **state)
{
	struct br_usb_device dev = { 0 };

	for (size_t n = 0; n <= sizeof(descriptors); n++) {
		uint8_t *exact = malloc(n ? n : 1);

		memcpy(exact, descriptors, n);
		assert_int_equal(br_usb_decode_descriptors(exact, n, &dev), n < 18 ? -EBADMSG : 0);
		assert_int_equal(dev.n_interfaces, n < 23 ? 0 : 2);
		free(exact);
	}
}

static char news[400];

static void on_arrived(void *ctx, struct br_usb_device *dev)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_usb_host *host = ctx;

	snprintf(news + strlen(news), sizeof(news) - strlen(news), "+%s@%s ", dev->path, dev->node + 17);
	assert_int_equal(host->ops->open(host, dev, 0, &err), -ENODEV); /* a node that is not there */
	assert_non_null(strstr(err.text, "is not there"));
}

static void on_left(void *ctx, struct br_usb_device *dev)
{
	snprintf(news + strlen(news), sizeof(news) - strlen(news), "-%s@%s ", dev->path, dev->node + 17);
}

static void on_completed(void *ctx, struct br_usb_device *dev, struct br_usb_transfer *t)
{
	fail();
}

static void look(struct br_usb_host *host, uint64_t now_ns, const char *expected)
{
	struct br_error err = BR_ERROR_NULL;

	news[0] = 0;
	assert_int_equal(host->ops->handle(host, now_ns, &err), 0);
	assert_string_equal(news, expected);
}

static void coming_and_going(void **state)
{
	struct br_usb_libusb_options o = { .sysfs = test_dir(), .no_uevents = true };
	struct br_error err = BR_ERROR_NULL;
	struct br_usb_host *host;

	assert_int_equal(br_usb_libusb_new(&o, &host, &err), 0);
	host->callbacks = (struct br_usb_callbacks){ on_arrived, on_left, on_completed, host };
	assert_true(host->ops->fd(host) >= 0);
	put_device("9-1", "99", "7", NULL);
	put_device("9-2", "99", "8", NULL);
	look(host, BR_S, "+9-1@007 +9-2@008 ");
	assert_true(host->ops->next_ns(host, BR_S) == BR_S + 250 * BR_MS);
	take_away("9-2");
	look(host, BR_S + 1, ""); /* not yet */
	look(host, 2 * BR_S, "-9-2@008 ");
	take_away("9-1"); /* came back so fast that nobody saw it away */
	put_device("9-1", "99", "9", NULL);
	look(host, 3 * BR_S, "-9-1@007 +9-1@009 ");
	host->ops->free(host);
	assert_int_equal(br_remove_tree(test_dir(), NULL), 0);
}

/* Nothing has left because this process has no descriptors. */
static void a_lack_of_descriptors_is_no_unplug(void **state)
{
	struct br_usb_libusb_options o = { .sysfs = test_dir(), .no_uevents = true };
	br_cleanup(br_freep) struct br_usb_listed *list = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_usb_host *host;
	struct rlimit old, few;
	int first;
	size_t n;

	assert_int_equal(br_usb_libusb_new(&o, &host, &err), 0);
	host->callbacks = (struct br_usb_callbacks){ on_arrived, on_left, on_completed, host };
	put_device("9-1", "99", "7", NULL);
	look(host, BR_S, "+9-1@007 ");
	first = dup(0);
	assert_true(first >= 0);
	close(first);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit){ (rlim_t)first + 1, old.rlim_max }; /* for the folder, not for what is in it */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	assert_int_equal(br_usb_sysfs_list(test_dir(), &list, &n, &err), -EMFILE);
	look(host, 2 * BR_S, "");
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	look(host, 3 * BR_S, "");
	host->ops->free(host);
	assert_int_equal(br_remove_tree(test_dir(), NULL), 0);
}

static void permission(void **state)
{
	struct br_usb_device dev = { .node = "/dev/null" };
	struct br_error err = BR_ERROR_NULL;

	assert_int_equal(br_usb_may_open(&dev, &err), 0);
	assert_int_equal(br_usb_explain_open(&dev, EACCES, &err), -EACCES);
	assert_non_null(strstr(err.text, "no permission for /dev/null (it is of root:root, mode 0"));
	assert_non_null(strstr(err.text, "70-bramble-usb.rules"));
	assert_int_equal(br_usb_explain_open(&dev, EBUSY, &err), -EBUSY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_list),
		cmocka_unit_test(descriptors_of_any_length),
		cmocka_unit_test(coming_and_going),
		cmocka_unit_test(a_lack_of_descriptors_is_no_unplug),
		cmocka_unit_test(permission),
	};

	return cmocka_run_group_tests_name("usb_sysfs", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "base/netif.h"
#include "tests/unit/netns.h"

#define NEEDS_NETNS()                        \
	do {                                 \
		if (!*(const bool *)*state)  \
			skip();              \
	} while (0)

static bool in_netns;

static int set_up(void **state)
{
	*state = &in_netns;
	return 0;
}

static void a_missing_interface_is_named(void **state)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_netif n = { .index = 77 };

	assert_int_equal(br_netif_info("nosuch0", &n, &err), -ENODEV);
	assert_non_null(strstr(err.text, "nosuch0"));
	assert_non_null(strstr(err.text, "lo"));
	assert_int_equal(n.index, 77);
	assert_int_equal(br_netif_info("", &n, &err), -ENODEV);
	assert_int_equal(br_netif_info("a-name-longer-than-any-interface", &n, &err), -ENODEV);
}

static void loopback_is_no_ethernet(void **state)
{
	struct br_netif n;

	NEEDS_NETNS();
	assert_int_equal(br_netif_info("lo", &n, NULL), 0);
	assert_true(n.up);
	assert_false(n.ethernet);
	assert_int_equal(n.ip, 0x7f000001);
	assert_int_equal(n.prefix, 8);
}

static void addresses_are_added_once(void **state)
{
	struct br_netif n;
	struct br_error err = BR_ERROR_NULL;

	NEEDS_NETNS();
	assert_int_equal(netns_run("ip link add brn0 address 02:00:00:00:00:01 type veth peer name brn1"), 0);
	assert_int_equal(br_netif_info("brn0", &n, NULL), 0);
	assert_false(n.up);
	assert_true(n.ethernet);
	assert_int_equal(n.mac.b[5], 1);
	assert_int_equal(n.ip, 0);
	assert_int_equal(br_netif_add_address("brn0", 0x0a4d0001, 24, &err), 1);
	assert_int_equal(br_netif_add_address("brn0", 0x0a4d0001, 24, &err), 0);
	assert_int_equal(br_netif_add_address("brn0", 0x0a4d0001, 16, &err), -EEXIST);
	assert_non_null(strstr(err.text, "10.77.0.1/24"));
	assert_int_equal(br_netif_add_address("brn0", 0, 24, &err), -EINVAL);
	assert_int_equal(br_netif_add_address("brn0", 0xe0000001, 24, &err), -EINVAL);
	assert_int_equal(br_netif_info("brn0", &n, NULL), 0);
	assert_true(n.up);
	assert_int_equal(n.ip, 0x0a4d0001);
	assert_int_equal(n.prefix, 24);
	assert_int_equal(n.mtu, 1500);
	assert_int_equal(netns_run("ip -4 address show brn0 | grep -q 'brd 10.77.0.255'"), 0);
	assert_int_equal(netns_run("ip link set brn1 up"), 0);
	/* the kernel tells of a carrier a while after */
	for (int i = 0; i < 1000 && (br_netif_info("brn0", &n, NULL) < 0 || !n.carrier); i++)
		usleep(10000);
	assert_true(n.carrier);
	assert_int_equal(br_netif_has_address("brn0", 0x0a4d0001), 1);
	assert_int_equal(br_netif_has_address("brn0", 0x0a4d0002), 0);
	assert_int_equal(br_netif_has_address("brn1", 0x0a4d0001), 0);
	assert_int_equal(netns_run("ip address add 10.77.0.2/24 dev brn0 label brn0:x"), 0);
	assert_int_equal(br_netif_has_address("brn0", 0x0a4d0002), 1);
	assert_int_equal(netns_run("ip address del 10.77.0.2/24 dev brn0"), 0);
	assert_int_equal(br_netif_remove_address("brn0", 0x0a4d0001, 24, &err), 0);
	assert_int_equal(br_netif_remove_address("brn0", 0x0a4d0001, 24, &err), 0);
	assert_int_equal(br_netif_info("brn0", &n, NULL), 0);
	assert_int_equal(n.ip, 0);
	assert_int_equal(netns_run("ip link del brn0"), 0);
}

static void link_local_addresses_come_last(void **state)
{
	struct br_netif n;

	NEEDS_NETNS();
	assert_int_equal(netns_run("ip link add brn0 type veth peer name brn1 && ip address add 169.254.7.7/16 dev brn0"
				   " && ip address add 192.0.2.9/28 dev brn0"), 0);
	assert_int_equal(br_netif_info("brn0", &n, NULL), 0);
	assert_int_equal(n.ip, 0xc0000209);
	assert_int_equal(n.prefix, 28);
	assert_int_equal(netns_run("ip link del brn0"), 0);
}

static void the_best_default_route_wins(void **state)
{
	char name[BR_NETIF_NAME] = "untouched";
	struct br_error err = BR_ERROR_NULL;

	NEEDS_NETNS();
	assert_int_equal(br_netif_default(name, &err), -ENOENT);
	assert_string_equal(name, "untouched");
	assert_non_null(strstr(err.text, "--interface"));
	assert_int_equal(netns_run("ip link add brn0 type veth peer name brn1 && ip link set brn0 up && ip link set brn1 up"
				   " && ip address add 192.0.2.9/28 dev brn0 && ip address add 192.0.2.33/28 dev brn1"
				   " && ip route add default via 192.0.2.1 dev brn0 metric 500"
				   " && ip route add default via 192.0.2.34 dev brn1 metric 100"), 0);
	assert_int_equal(br_netif_default(name, &err), 0);
	assert_string_equal(name, "brn1");
	assert_int_equal(netns_run("ip link del brn0"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_missing_interface_is_named, set_up),
		cmocka_unit_test_setup(loopback_is_no_ethernet, set_up),
		cmocka_unit_test_setup(addresses_are_added_once, set_up),
		cmocka_unit_test_setup(link_local_addresses_come_last, set_up),
		cmocka_unit_test_setup(the_best_default_route_wins, set_up),
	};

	in_netns = netns_enter("netif");
	return cmocka_run_group_tests(tests, NULL, NULL);
}

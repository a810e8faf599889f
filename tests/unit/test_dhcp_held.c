/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that wait for their client's turn. */
#include "dhcp/held.h"

#include <string.h>

#include "base/clock.h"
#include "test.h"

static void test_last_request_once(void **state)
{
	struct br_dhcp_held *h = br_dhcp_held_new();
	const struct br_mac a = { { 2, 0, 0, 0, 0, 1 } }, b = { { 2, 0, 0, 0, 0, 2 } };
	uint8_t out[BR_DHCP_HELD_MAX], long_one[BR_DHCP_HELD_MAX + 1] = { 0 };

	assert_non_null(h);
	assert_int_equal(br_dhcp_held_take(h, a, BR_S, out), 0);
	br_dhcp_held_put(h, a, (const uint8_t *)"first", 5, BR_S);
	br_dhcp_held_put(h, a, (const uint8_t *)"second", 6, 2 * BR_S);
	br_dhcp_held_put(h, b, long_one, sizeof(long_one), 2 * BR_S);
	assert_int_equal(br_dhcp_held_take(h, b, 2 * BR_S, out), 0);
	assert_int_equal(br_dhcp_held_take(h, a, 3 * BR_S, out), 6);
	assert_memory_equal(out, "second", 6);
	assert_int_equal(br_dhcp_held_take(h, a, 3 * BR_S, out), 0);
	br_dhcp_held_put(h, a, (const uint8_t *)"third", 5, 4 * BR_S);
	assert_int_equal(br_dhcp_held_take(h, a, 8 * BR_S, out), 0);
	br_dhcp_held_free(h);
}

/* More than fit: the oldest go, nothing is mixed up. */
static void test_many(void **state)
{
	struct br_dhcp_held *h = br_dhcp_held_new();
	uint8_t out[BR_DHCP_HELD_MAX];
	unsigned found = 0;

	for (unsigned i = 0; i < 5000; i++) {
		struct br_mac mac = { { 2, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i } };

		br_dhcp_held_put(h, mac, mac.b, sizeof(mac.b), BR_S + i);
	}
	for (unsigned i = 0; i < 5000; i++) {
		struct br_mac mac = { { 2, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i } };
		size_t n = br_dhcp_held_take(h, mac, 2 * BR_S, out);

		if (!n)
			continue;
		assert_int_equal(n, sizeof(mac.b));
		assert_memory_equal(out, mac.b, n);
		found++;
	}
	assert_in_range(found, 1500, 2048);
	br_dhcp_held_free(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_last_request_once),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Limits, offers and quarantine of the DHCP server's addresses. */
#include "tests/unit/test.h"

#include "base/clock.h"
#include "daemon/pool.h"

#define NOW (1000 * BR_S)
#define IP 0x0a4d0064u

static struct br_mac mac_of(unsigned n)
{
	return (struct br_mac){ { 2, 0, 0, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n } };
}

/* A board's own turn is its own, whatever a thousand strangers a millisecond do. */
static void a_flood_takes_no_boards_turn(void **state)
{
	struct br_pool *pool = br_pool_new();
	unsigned admitted = 0;

	for (unsigned i = 0; i < 1000000; i++)
		admitted += br_pool_admit(pool, 0, mac_of(i), NOW);
	assert_true(admitted < 350000);
	for (unsigned i = 0; i < 20; i++)
		assert_true(br_pool_admit(pool, 7, mac_of(1), NOW));
	assert_false(br_pool_admit(pool, 7, mac_of(1), NOW));
	assert_true(br_pool_admit(pool, 8, mac_of(1), NOW));
	assert_true(br_pool_admit(pool, 7, mac_of(1), NOW + 250 * BR_MS));
	assert_false(br_pool_admit(pool, 7, mac_of(1), NOW + 250 * BR_MS));
	for (unsigned i = 0; i < 20; i++)
		assert_true(br_pool_admit(pool, 7, mac_of(1), NOW + 60 * BR_S));
	br_pool_free(pool);
}

/* A hall of new boards at once; made-up ones for ever do not pass. */
static void adoption_has_its_limit(void **state)
{
	struct br_pool *pool = br_pool_new();
	unsigned n = 0;

	for (unsigned i = 0; i < 100000; i++)
		n += br_pool_may_adopt(pool, NOW);
	assert_int_equal(n, 2048);
	for (unsigned i = 0; i < 1000; i++)
		n += br_pool_may_adopt(pool, NOW + i * 100 * BR_MS);
	assert_in_range(n, 2048 + 98, 2048 + 101);
	n = 0;
	for (unsigned i = 0; i < 10000; i++)
		n += br_pool_may_tell(pool, NOW);
	assert_int_equal(n, 200);
	br_pool_free(pool);
}

static void offers_are_kept_for_a_while(void **state)
{
	struct br_pool *pool = br_pool_new();

	br_pool_offer(pool, mac_of(1), IP, NOW);
	br_pool_offer(pool, mac_of(1), IP + 1, NOW);
	assert_int_equal(br_pool_offered(pool, mac_of(1), NOW), IP + 1);
	assert_int_equal(br_pool_offered(pool, mac_of(2), NOW), 0);
	assert_int_equal(br_pool_n_offers(pool, NOW), 1);
	assert_false(br_pool_is_taken(pool, IP + 1, mac_of(1), NOW));
	assert_true(br_pool_is_taken(pool, IP + 1, mac_of(2), NOW));
	assert_false(br_pool_is_taken(pool, IP, mac_of(2), NOW)); /* the offer before */
	assert_false(br_pool_is_taken(pool, IP + 1, mac_of(2), NOW + 31 * BR_S));
	assert_int_equal(br_pool_offered(pool, mac_of(1), NOW + 31 * BR_S), 0);
	assert_int_equal(br_pool_n_offers(pool, NOW + 31 * BR_S), 0);
	br_pool_offer(pool, mac_of(1), IP, NOW + 40 * BR_S);
	br_pool_forget(pool, mac_of(1));
	assert_int_equal(br_pool_offered(pool, mac_of(1), NOW + 40 * BR_S), 0);
	/* too many: the oldest goes */
	for (unsigned i = 0; i < BR_POOL_OFFERS + 1; i++)
		br_pool_offer(pool, mac_of(100 + i), IP + i, NOW + 50 * BR_S + i);
	assert_int_equal(br_pool_n_offers(pool, NOW + 51 * BR_S), BR_POOL_OFFERS);
	assert_int_equal(br_pool_offered(pool, mac_of(100), NOW + 51 * BR_S), 0);
	assert_int_equal(br_pool_offered(pool, mac_of(101), NOW + 51 * BR_S), IP + 1);
	br_pool_free(pool);
}

static void used_addresses_are_kept_away(void **state)
{
	struct br_pool *pool = br_pool_new();
	unsigned n = 0;

	assert_true(br_pool_quarantine(pool, IP, mac_of(1), NOW));
	assert_false(br_pool_quarantine(pool, IP, mac_of(1), NOW + BR_S)); /* known */
	assert_true(br_pool_quarantined(pool, IP, NOW + 600 * BR_S));
	assert_false(br_pool_quarantined(pool, IP, NOW + 602 * BR_S));
	assert_true(br_pool_is_taken(pool, IP, mac_of(1), NOW));
	assert_false(br_pool_is_taken(pool, IP + 1, mac_of(1), NOW));
	/* a router that answers for everybody */
	for (unsigned i = 1; i < 100; i++)
		n += br_pool_quarantine(pool, IP + i, mac_of(9), NOW);
	assert_int_equal(n, 8);
	/* everybody at once: no more than there is room for */
	for (unsigned i = 1; i < 1000; i++)
		br_pool_quarantine(pool, IP + 1000 + i, mac_of(1000 + i), NOW);
	for (unsigned i = n = 0; i < 2000; i++)
		n += br_pool_is_taken(pool, IP + i, mac_of(1), NOW);
	assert_int_equal(n, BR_POOL_QUARANTINE);
	br_pool_free(pool);
}

static void only_answers_count(void **state)
{
	struct br_pool *pool = br_pool_new();

	assert_false(br_pool_was_asked(pool, IP, NOW));
	br_pool_asked(pool, IP, NOW);
	assert_true(br_pool_was_asked(pool, IP, NOW + BR_S));
	assert_false(br_pool_was_asked(pool, IP, NOW + 3 * BR_S));
	assert_false(br_pool_was_asked(pool, IP + 1, NOW));
	br_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flood_takes_no_boards_turn),
		cmocka_unit_test(adoption_has_its_limit),
		cmocka_unit_test(offers_are_kept_for_a_while),
		cmocka_unit_test(used_addresses_are_kept_away),
		cmocka_unit_test(only_answers_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

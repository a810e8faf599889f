/* SPDX-License-Identifier: Apache-2.0 */
/* Selectors: what they take, what they mean, what they refuse. */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "fleet/selector.h"

static const struct br_board boards[] = {
	{ .id = 1, .name = "pi01", .model = "4B", .tags = "camera lab-a" },
	{ .id = 2, .name = "pi02", .model = "4B", .tags = "lab-a", .image = "debian:12" },
	{ .id = 3, .name = "pi03", .model = "5", .tags = "camera" },
	{ .id = 4, .name = "x", .model = "" },
};

static void boards_are_selected(void **state)
{
	static const struct {
		const char *text, *fits; /* the ids; b: board 2 is reserved by another, m: board 3 by us */
		uint32_t count;
	} cases[] = {
		{ "pi01", "1", UINT32_MAX },
		{ "pi[01-03]", "123", UINT32_MAX },
		{ "pi[01-03]:2", "123", 2 },
		{ "pi[01,03],x", "134", UINT32_MAX },
		{ "name=pi[01,03]", "13", UINT32_MAX },
		{ "model=4B", "12", 1 },
		{ "model=4b:all", "12", UINT32_MAX },
		{ "MODEL=4B", "12", 1 },
		{ "model=4B|5", "123", 1 },
		{ "model!=4B", "34", 1 },
		{ "!model=4B", "34", 1 },
		{ "tag=camera", "13", 1 },
		{ "tag=camera,model=4B:3", "1", 3 },
		{ "tag=camera and model=4B", "1", 1 },
		{ "tag=camera model=5", "3", 1 },
		{ "tag=lab", "", 1 },
		{ "tag!=camera,tag=lab-a", "2", 1 },
		{ "free", "14", 1 },
		{ "mine", "3", 1 },
		{ "!free", "23", 1 },
		{ "all", "1234", 1 },
		{ "all:2", "1234", 2 },
		{ ":2", "1234", 2 },
		{ "image=debian:12", "2", 1 },
		{ "image=debian:12:3", "2", 3 },
		{ "image=raspios", "134", 1 },
		{ "image=raspios:latest", "134", 1 },
		{ "image!=raspios:latest:2", "2", 2 },
		{ "pi[01-03],model=4B", "12", 1 },
		{ "pi[01-03],free", "1", 1 },
		{ "  pi01 , x  ", "14", UINT32_MAX },
		{ "free, :2", "14", 2 },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_error err = BR_ERROR_NULL;
		struct br_selector *sel = NULL;
		char got[8] = "";
		size_t n = 0;

		if (br_selector_parse(cases[i].text, &sel, &err) < 0)
			fail_msg("%s: %s", cases[i].text, err.text);
		for (size_t k = 0; k < BR_ARRAY_SIZE(boards); k++) {
			struct br_selector_facts facts = { .image = boards[k].image[0] ? boards[k].image : "raspios",
				.reserved = k == 1 || k == 2, .mine = k == 2 };

			if (br_selector_matches(sel, &boards[k], &facts))
				got[n++] = (char)('1' + k);
		}
		if (strcmp(got, cases[i].fits) != 0 || br_selector_count(sel) != cases[i].count)
			fail_msg("%s: fits %s, count %u", cases[i].text, got, br_selector_count(sel));
		br_selector_free(sel);
	}
}

static void nonsense_is_refused(void **state)
{
	static const struct {
		const char *text;
		int r;
	} cases[] = {
		{ "", -EINVAL }, { " , ", -EINVAL }, { "pi01:0", -EINVAL }, { "pi01:x", -EINVAL }, { "pi01:", -EINVAL }, { "pi[", -EINVAL },
		{ "pi01:99999999", -EINVAL }, { "modell=4B", -EINVAL }, { "=4B", -EINVAL }, { "model=", -EINVAL }, { "model=|5", -EINVAL },
		{ "model=4B||5", -EINVAL }, { "!pi01", -EINVAL }, { "!all", -EINVAL }, { "!model!=5", -EINVAL }, { "tag=\x01", -EINVAL },
		{ "pi\xff", -EINVAL }, { "image=NO GOOD", -EINVAL }, { "pi[0-99999],x[0-99999]", -E2BIG },
	};
	char *longest = calloc(1, BR_SELECTOR_TEXT_MAX + 2);

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_error err = BR_ERROR_NULL;
		struct br_selector *sel = NULL;
		int r = br_selector_parse(cases[i].text, &sel, &err);

		if (r != cases[i].r || !err.text[0])
			fail_msg("'%s': %d %s", cases[i].text, r, err.text);
	}
	memset(longest, 'a', BR_SELECTOR_TEXT_MAX + 1);
	assert_int_equal(br_selector_parse(longest, NULL, NULL), -E2BIG);
	free(longest);
}

static void a_wrong_key_is_told_the_right_one(void **state)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_selector *sel;

	assert_int_equal(br_selector_parse("modle=4B", &sel, &err), -EINVAL);
	assert_non_null(strstr(err.text, "model="));
}

static void too_many_conditions_are_refused(void **state)
{
	char text[BR_SELECTOR_TEXT_MAX] = "";
	struct br_selector *sel;

	for (int i = 0; i <= BR_SELECTOR_TERMS_MAX; i++)
		strcat(text, "free,");
	assert_int_equal(br_selector_parse(text, &sel, NULL), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(boards_are_selected),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(a_wrong_key_is_told_the_right_one),
		cmocka_unit_test(too_many_conditions_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

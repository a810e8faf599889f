/* SPDX-License-Identifier: Apache-2.0 */
/* .sig files: the exact text, and what is no such text. */
#include "test.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "pi/sigfile.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define RSA16 "000102030405060708090a0b0c0d0e0f"
#define RSA128 RSA16 RSA16 RSA16 RSA16 RSA16 RSA16 RSA16 RSA16
#define RSA RSA128 RSA128

/* Texts that are exactly what we write of what we read. */
static const char *const exact[] = {
	EMPTY "\n",
	EMPTY "\nts: 0\n",
	EMPTY "\nts: 1700000000\n",
	EMPTY "\nts: 1700000000\nrsa2048: " RSA "\n",
	EMPTY "\nts: 1700000000\ntarget-soc: 2712\nrsa2048: " RSA "\n",
	EMPTY "\nts: 1700000000\ntarget-soc: 2711\n",
};

static void writes_what_it_read(void **state)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(exact); i++) {
		struct br_error err = BR_ERROR_NULL;
		struct br_text out = BR_TEXT_NULL;
		struct br_sigfile sig;

		assert_int_equal(br_sigfile_parse(exact[i], strlen(exact[i]), &sig, &err), 0);
		br_sigfile_write(&sig, &out);
		assert_string_equal(out.buf, exact[i]);
		br_text_done(&out);
	}
}

/* Other writers: capitals, DOS lines, another order, lines of tomorrow. */
static const char *const loose[] = {
	"E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855\r\nts: 5\r\nrsa2048: " RSA "\r\n",
	EMPTY "\nrsa2048: " RSA "\nts: 5",
	EMPTY "\nts:5\nrsa4096: 00\n\nrsa2048:   " RSA " \n",
};

static void reads_other_writers(void **state)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(loose); i++) {
		struct br_sigfile sig;

		assert_int_equal(br_sigfile_parse(loose[i], strlen(loose[i]), &sig, NULL), 0);
		assert_int_equal(sig.sha256[0], 0xe3);
		assert_true(sig.has_ts && sig.has_rsa);
		assert_int_equal(sig.ts, 5);
		assert_int_equal(sig.rsa[255], 15);
	}
}

static const struct {
	const char *text, *words;
} bad[] = {
	{ "", "line 1" },
	{ "\n" EMPTY "\n", "line 1" },
	{ EMPTY "0\n", "line 1" },
	{ "g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n", "line 1" },
	{ "ts: 5\n" EMPTY "\n", "line 1" },
	{ EMPTY "\nts: \n", "line 2: 'ts:' wants seconds" },
	{ EMPTY "\nts: -1\n", "line 2" },
	{ EMPTY "\nts: 99999999999999999999\n", "line 2" },
	{ EMPTY "\nts: 5\nts: 6\n", "line 3: a second 'ts:'" },
	{ EMPTY "\nts: 5\ntarget-soc: 2710\n", "line 3: 'target-soc:' wants 2711 or 2712" },
	{ EMPTY "\nts: 5\nrsa2048: 00\n", "line 3: 'rsa2048:' wants 512" },
	{ EMPTY "\nts: 5\nrsa2048: " RSA "00\n", "line 3" },
};

static void refuses(void **state)
{
	static char big[BR_SIGFILE_MAX + 1];
	struct br_sigfile sig = { .ts = 77 };

	for (size_t i = 0; i < BR_ARRAY_SIZE(bad); i++) {
		struct br_error err = BR_ERROR_NULL;

		assert_int_equal(br_sigfile_parse(bad[i].text, strlen(bad[i].text), &sig, &err), -EBADMSG);
		assert_non_null(strstr(err.text, bad[i].words));
		assert_int_equal(sig.ts, 77); /* outputs untouched */
	}
	memset(big, 'a', sizeof(big));
	assert_int_equal(br_sigfile_parse(big, sizeof(big), &sig, NULL), -EBADMSG);
	assert_int_equal(br_sigfile_parse(EMPTY "\nts: 5\0\n", 73, &sig, NULL), -EBADMSG);
}

static void of_a_file(void **state)
{
	struct br_error err = BR_ERROR_NULL;
	br_cleanup(br_freep) char *path = br_path_join(test_dir(), "x.sig");
	struct br_text out = BR_TEXT_NULL;
	struct br_sigfile sig, back;

	assert_int_equal(br_sigfile_read(path, &back, &err), -ENOENT);
	br_sigfile_of("", 0, 1632136573, &sig);
	br_sigfile_write(&sig, &out);
	assert_string_equal(out.buf, EMPTY "\nts: 1632136573\n");
	assert_int_equal(br_file_write(path, out.buf, out.len, 0644, &err), 0);
	assert_int_equal(br_sigfile_read(path, &back, &err), 0);
	assert_memory_equal(&sig, &back, sizeof(sig));
	assert_int_equal(br_file_write(path, "?", 1, 0644, &err), 0);
	assert_int_equal(br_sigfile_read(path, &back, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "x.sig: line 1"));
	br_text_done(&out);
	br_remove_tree(test_dir(), NULL);
}

static void time_of_signatures(void **state)
{
	struct br_error err = BR_ERROR_NULL;
	uint64_t t;

	setenv("SOURCE_DATE_EPOCH", "1632136573", 1);
	assert_int_equal(br_sigfile_time(&t, &err), 0);
	assert_int_equal(t, 1632136573);
	setenv("SOURCE_DATE_EPOCH", "yesterday", 1);
	assert_int_equal(br_sigfile_time(&t, &err), -EINVAL);
	assert_non_null(strstr(err.text, "SOURCE_DATE_EPOCH"));
	unsetenv("SOURCE_DATE_EPOCH");
	assert_int_equal(br_sigfile_time(&t, &err), 0);
	assert_true(t > 1700000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_what_it_read),
		cmocka_unit_test(reads_other_writers),
		cmocka_unit_test(refuses),
		cmocka_unit_test(of_a_file),
		cmocka_unit_test(time_of_signatures),
	};

	return cmocka_run_group_tests_name("sigfile", tests, NULL, NULL);
}

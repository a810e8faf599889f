/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/array.h"
#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/hostlist.h"
#include "base/mapping.h"
#include "base/text.h"
#include "base/thread.h"

static void reader_stops_at_the_end(void **state)
{
	uint8_t b[3] = { 1, 2, 3 };
	struct br_reader r = br_reader_of(b, sizeof(b));

	assert_int_equal(br_get_be16(&r), 0x0102);
	assert_int_equal(br_get_be16(&r), 0);
	assert_true(r.failed);
	assert_int_equal(br_get_u8(&r), 0); /* stays failed, though a byte was left */
}

static void writer_stops_at_the_end(void **state)
{
	uint8_t b[5] = { 0 };
	struct br_writer w = br_writer_of(b, 4);

	br_put_be16(&w, 0xabcd);
	br_put_be32(&w, 1);
	assert_true(w.failed);
	assert_int_equal(w.len, 2);
	assert_int_equal(b[4], 0);
}

static void sizes_parse(void **state)
{
	static const struct {
		const char *s;
		int r;
		uint64_t v;
	} cases[] = {
		{ "0", 0, 0 }, { "512M", 0, 512ull << 20 }, { "4 GiB", 0, 4ull << 30 }, { "1k", 0, 1024 },
		{ "", -EINVAL, 0 }, { "x", -EINVAL, 0 }, { "1X", -EINVAL, 0 }, { "-1", -EINVAL, 0 },
		{ "99999999999999999999", -ERANGE, 0 }, { "18446744073709551615T", -ERANGE, 0 },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		uint64_t v = 0;

		assert_int_equal(br_parse_size(cases[i].s, &v), cases[i].r);
		if (!cases[i].r)
			assert_int_equal(v, cases[i].v);
	}
}

static void durations_parse_and_format(void **state)
{
	char out[24];
	uint64_t v;

	assert_int_equal(br_parse_duration("5m", &v), 0);
	assert_int_equal(v, 300000000000ull);
	assert_int_equal(br_parse_duration("250ms", &v), 0);
	assert_int_equal(v, 250000000ull);
	assert_int_equal(br_parse_duration("5 parsecs", &v), -EINVAL);
	assert_string_equal(br_format_duration(out, sizeof(out), 245000000000ull), "4 m 05 s");
	assert_string_equal(br_format_size(out, sizeof(out), 1400000000), "1.4 GB");
	assert_string_equal(br_format_size(out, sizeof(out), 999), "999 B");
}

static void hostile_text_is_escaped(void **state)
{
	char out[16];

	assert_string_equal(br_vis(out, sizeof(out), "a\x1b[2J", 5), "a\\x1b[2J");
	assert_string_equal(br_vis(out, sizeof(out), "0123456789abcdefgh", 18), "0123456789ab...");
}

static void arrays_grow_and_keep(void **state)
{
	br_cleanup(br_freep) uint16_t *v = NULL;
	size_t cap = 0;

	for (size_t n = 0; n < 1000; n++) {
		assert_int_equal(br_array_reserve(&v, &cap, n + 1, sizeof(*v)), 0);
		assert_true(cap > n);
		v[n] = (uint16_t)n;
	}
	for (size_t n = 0; n < 1000; n++)
		assert_int_equal(v[n], n);
	assert_int_equal(br_array_reserve(&v, &cap, SIZE_MAX, sizeof(*v)), -ENOMEM);
	assert_int_equal(br_array_reserve(&v, &cap, SIZE_MAX / 4, 16), -ENOMEM);
	assert_int_equal(cap, 1024);
	assert_int_equal(v[999], 999);
}

static void hostlists_expand(void **state)
{
	char **v;
	size_t n;

	assert_int_equal(br_hostlist_expand("pi[01-03,7],lab-x[a]", &v, &n, NULL), -EINVAL);
	assert_int_equal(br_hostlist_expand("pi[09-11,7],lab,r[1-2]p[1-2]", &v, &n, NULL), 0);
	assert_int_equal(n, 9);
	assert_string_equal(v[0], "pi09");
	assert_string_equal(v[2], "pi11");
	assert_string_equal(v[3], "pi7");
	assert_string_equal(v[4], "lab");
	assert_string_equal(v[8], "r2p2");
	br_hostlist_free(v, n);
	assert_int_equal(br_hostlist_expand("a,,b", &v, &n, NULL), -EINVAL);
	assert_int_equal(br_hostlist_expand("a[1-99999999]", &v, &n, NULL), -E2BIG);
	assert_int_equal(br_hostlist_expand("a[3-1]", &v, &n, NULL), -EINVAL);
	assert_int_equal(br_hostlist_expand("a[]", &v, &n, NULL), -EINVAL);
	assert_int_equal(br_hostlist_expand("a[1][1][1][1][1][1][1][1][1]", &v, &n, NULL), -E2BIG);
}

static void addresses_parse(void **state)
{
	struct br_mac m;
	uint32_t ip;
	unsigned prefix;
	char t[BR_MAC_TEXT], u[BR_IP_TEXT];

	assert_int_equal(br_mac_parse("B8-27-eb:00:00:01", &m), 0);
	assert_string_equal(br_mac_format(t, m), "b8:27:eb:00:00:01");
	assert_int_equal(br_mac_parse("b8:27:eb:00:00", &m), -EINVAL);
	assert_int_equal(br_ip_parse_prefix("10.77.0.1/24", &ip, &prefix), 0);
	assert_string_equal(br_ip_format(u, ip), "10.77.0.1");
	assert_int_equal(br_ip_mask(prefix), 0xffffff00);
	assert_int_equal(br_ip_parse_prefix("10.77.0.1/33", &ip, &prefix), -EINVAL);
	assert_int_equal(br_ip_mask(0), 0);
}

static void digests_match_published_values(void **state)
{
	char hex[BR_SHA256_HEX];

	br_sha256_hex("abc", 3, hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	/* RFC 3720 B.4: 32 bytes of zeros, and 0..31 */
	uint8_t z[32] = { 0 };
	assert_int_equal(br_crc32c(0, z, 32), 0x8a9136aa);
	for (int i = 0; i < 32; i++)
		z[i] = (uint8_t)i;
	assert_int_equal(br_crc32c(0, z, 32), 0x46dd794e);
}

static uint32_t crc32c_by_bits(const uint8_t *p, size_t n)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < n; i++) {
		crc ^= p[i];
		for (int k = 0; k < 8; k++)
			crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
	}
	return ~crc;
}

/* Whichever way br_crc32c() goes on this machine: any length, any alignment, in pieces. */
static void crc32c_is_the_polynomial(void **state)
{
	uint8_t data[300];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * i * 31 + 7);
	for (size_t at = 0; at < 9; at++)
		for (size_t n = 0; n < 260; n += 1 + n / 20) {
			uint32_t want = crc32c_by_bits(data + at, n);

			assert_int_equal(br_crc32c(0, data + at, n), want);
			assert_int_equal(br_crc32c(br_crc32c(0, data + at, n / 3), data + at + n / 3, n - n / 3), want);
		}
}

static void files_are_replaced_whole(void **state)
{
	br_cleanup(br_freep) char *path = br_path_join(test_dir(), "a/b/file");
	br_cleanup(br_freep) char *dir = br_path_join(test_dir(), "a/b");
	br_cleanup(br_freep) char *back = NULL;
	struct br_error err = BR_ERROR_NULL;
	size_t len;

	assert_int_equal(br_mkdir_all(dir, 0755, &err), 0);
	assert_int_equal(br_file_write(path, "one", 3, 0600, &err), 0);
	assert_int_equal(br_file_write(path, "three", 5, 0600, &err), 0);
	assert_int_equal(br_file_read(path, 4, &back, &len, &err), -EFBIG);
	assert_int_equal(br_file_read(path, 5, &back, &len, &err), 0);
	assert_string_equal(back, "three");
	assert_int_equal(br_remove_tree(test_dir(), &err), 0);
	assert_int_equal(br_remove_tree(test_dir(), &err), 0); /* missing is success */
}

/* A file that is cut under a mapping: zeros, and one is told; in a thread that blocks signals too. */
static void *read_cut(void *arg)
{
	const volatile uint8_t *p = arg;

	return p[5000] == 0 && p[0] == 'x' ? arg : NULL;
}

static void a_mapped_file_is_cut(void **state)
{
	char path[300];
	sigset_t all, old;
	pthread_t thread;
	void *p, *ret;
	int fd, guard;

	snprintf(path, sizeof(path), "%s/mapped", test_dir());
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0 && ftruncate(fd, 8192) == 0 && pwrite(fd, "x", 1, 0) == 1 && pwrite(fd, "y", 1, 5000) == 1);
	p = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	guard = br_mapping_guard(p, 8192);
	assert_true(guard >= 0);
	assert_int_equal(((const volatile uint8_t *)p)[5000], 'y');
	assert_false(br_mapping_cut(guard));
	assert_int_equal(ftruncate(fd, 4096), 0);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	assert_int_equal(br_thread_start(&thread, read_cut, p), 0);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_join(thread, &ret);
	assert_ptr_equal(ret, p);
	assert_true(br_mapping_cut(guard));
	br_mapping_unguard(guard);
	munmap(p, 8192);
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mapped_file_is_cut),
		cmocka_unit_test(reader_stops_at_the_end),
		cmocka_unit_test(writer_stops_at_the_end),
		cmocka_unit_test(sizes_parse),
		cmocka_unit_test(durations_parse_and_format),
		cmocka_unit_test(hostile_text_is_escaped),
		cmocka_unit_test(arrays_grow_and_keep),
		cmocka_unit_test(hostlists_expand),
		cmocka_unit_test(addresses_parse),
		cmocka_unit_test(digests_match_published_values),
		cmocka_unit_test(crc32c_is_the_polynomial),
		cmocka_unit_test(files_are_replaced_whole),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}

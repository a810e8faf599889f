/* SPDX-License-Identifier: Apache-2.0 */
/* Sparse files as streams: round trips in pieces of any size, and what is refused. */
#include "tests/unit/test.h"

#include "api/pieces.h"
#include "base/bytes.h"
#include "base/cleanup.h"

#define SIZE 1000

struct file {
	uint8_t bytes[SIZE];
	unsigned calls;
};

static int put(void *ctx, uint64_t offset, const void *data, size_t n, struct br_error *err)
{
	struct file *f = ctx;

	assert_true(offset <= SIZE && n && n <= SIZE - offset);
	memcpy(f->bytes + offset, data, n);
	f->calls++;
	return f->calls > 900 ? br_error_set(err, ENOSPC, "full") : 0;
}

static size_t add(uint8_t *out, uint64_t offset, uint64_t len, uint8_t with)
{
	br_pieces_piece(out, offset, len);
	memset(out + BR_PIECES_HEAD, with, len);
	return BR_PIECES_HEAD + len;
}

static size_t make(uint8_t *out)
{
	size_t n = BR_PIECES_HEAD;

	br_pieces_head(out, SIZE);
	n += add(out + n, 0, 10, 'a');
	n += add(out + n, 10, 1, 'b');
	n += add(out + n, 500, 300, 'c');
	br_pieces_piece(out + n, SIZE, 0);
	return n + BR_PIECES_HEAD;
}

static void any_chunks_give_the_same_file(void **state)
{
	uint8_t stream[600], want[SIZE] = { 0 };
	size_t len = make(stream);

	memset(want, 'a', 10);
	want[10] = 'b';
	memset(want + 500, 'c', 300);
	for (size_t chunk = 1; chunk <= len; chunk++) {
		struct br_error err = BR_ERROR_NULL;
		struct br_pieces p = { 0 };
		struct file f = { 0 };

		for (size_t at = 0; at < len; at += chunk) {
			assert_int_equal(br_pieces_end(&p, &err), -EPIPE);
			assert_int_equal(br_pieces_take(&p, stream + at, chunk < len - at ? chunk : len - at, put, &f, &err), 0);
		}
		assert_int_equal(br_pieces_end(&p, &err), 0);
		assert_int_equal(p.size, SIZE);
		assert_memory_equal(f.bytes, want, SIZE);
	}
}

static void senseless_streams_are_refused(void **state)
{
	static const struct {
		uint64_t offset, len;
	} pieces[] = { { 0, 0 }, { SIZE - 1, 0 }, { SIZE, 1 }, { SIZE - 1, 2 }, { UINT64_MAX, 2 }, { 1, UINT64_MAX }, { 99, 1 } };
	struct br_error err = BR_ERROR_NULL;
	struct br_pieces p = { 0 };
	struct file f = { 0 };
	uint8_t s[3 * BR_PIECES_HEAD + 100] = "BRPIECEX";

	assert_int_equal(br_pieces_take(&p, s, BR_PIECES_HEAD, put, &f, &err), -EBADMSG);
	br_pieces_head(s, UINT64_MAX);
	p = (struct br_pieces){ 0 };
	assert_int_equal(br_pieces_take(&p, s, BR_PIECES_HEAD, put, &f, &err), -EBADMSG);
	for (size_t i = 0; i < BR_ARRAY_SIZE(pieces); i++) {
		size_t n = BR_PIECES_HEAD;

		p = (struct br_pieces){ 0 };
		br_pieces_head(s, SIZE);
		n += add(s + n, 0, 100, 'x');
		br_pieces_piece(s + n, pieces[i].offset, pieces[i].len);
		assert_int_equal(br_pieces_take(&p, s, n + BR_PIECES_HEAD, put, &f, &err), -EBADMSG);
	}
	/* nothing comes after the end, and what the sink says ends it */
	p = (struct br_pieces){ 0 };
	br_pieces_head(s, 0);
	br_pieces_piece(s + BR_PIECES_HEAD, 0, 0);
	assert_int_equal(br_pieces_take(&p, s, 2 * BR_PIECES_HEAD, put, &f, &err), 0);
	assert_int_equal(br_pieces_end(&p, &err), 0);
	assert_int_equal(br_pieces_take(&p, s, BR_PIECES_HEAD, put, &f, &err), -EBADMSG);
	p = (struct br_pieces){ 0 };
	f.calls = 900;
	br_pieces_head(s, SIZE);
	add(s + BR_PIECES_HEAD, 0, 10, 'x');
	assert_int_equal(br_pieces_take(&p, s, 2 * BR_PIECES_HEAD + 10, put, &f, &err), -ENOSPC);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_chunks_give_the_same_file),
		cmocka_unit_test(senseless_streams_are_refused),
	};

	return cmocka_run_group_tests_name("pieces", tests, NULL, NULL);
}

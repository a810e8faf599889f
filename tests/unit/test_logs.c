/* SPDX-License-Identifier: Apache-2.0 */
/* The log store: what is put is found, over a kill and a torn end, within its bounds; hostile expressions end. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "logs/limit.h"
#include "logs/logs.h"
#include "logs/pattern.h"

struct fixture {
	char dir[64];
	struct br_logs *logs;
};

static void open_with(struct fixture *f, struct br_logs_options opt)
{
	struct br_error err = BR_ERROR_NULL;

	opt.dir = f->dir;
	if (br_logs_open(&opt, &f->logs, &err) < 0)
		fail_msg("%s", err.text);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->dir, "/tmp/br-logs-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	br_logs_close(f->logs);
	assert_int_equal(br_remove_tree(f->dir, NULL), 0);
	free(f);
	return 0;
}

static void put(struct fixture *f, int64_t board, const char *stream, const char *text)
{
	br_logs_put(f->logs, &(struct br_logs_line){
		.board_id = board,
		.source = BR_LOGS_SYSLOG,
		.severity = 6,
		.stream = stream,
		.n_stream = strlen(stream),
		.text = text,
		.n_text = strlen(text),
	});
}

static size_t count(struct fixture *f, const char *re, int64_t board, size_t limit)
{
	struct br_logs_pattern *p = NULL;
	struct br_logs_filter filter = { .boards = &board, .n_boards = board ? 1 : 0, .limit = limit };
	struct br_error err = BR_ERROR_NULL;
	uint64_t *seqs = NULL;
	size_t n = 0;
	bool more;

	if (re)
		assert_int_equal(br_logs_pattern_new(re, false, &p, &err), 0);
	filter.pattern = p;
	if (br_logs_find(f->logs, &filter, 0, &seqs, &n, &more, &err) < 0)
		fail_msg("%s", err.text);
	for (size_t i = 1; i < n; i++)
		assert_true(seqs[i] > seqs[i - 1]);
	free(seqs);
	br_logs_pattern_free(p);
	return n;
}

static void put_many(struct fixture *f, unsigned n)
{
	char text[100];

	for (unsigned i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "request %u took %u ms from 10.0.%u.%u, user %x", i, i % 977, i % 7, i % 251, i * 2654435761u);
		put(f, 1 + i % 5, "httpd[12]", text);
	}
}

static void lines_are_found_in_memory_and_on_disk(void **state)
{
	struct fixture *f = *state;
	struct br_logs_stats st;

	open_with(f, (struct br_logs_options){ .rate = 1000000 });
	put_many(f, 20000);
	put(f, 9, "kernel", "Oops: something rare");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(count(f, NULL, 0, 0), 20001);
		assert_int_equal(count(f, "request 12345 took", 0, 0), 1);
		assert_int_equal(count(f, "request 1234[0-9] took", 0, 0), 10);
		assert_int_equal(count(f, "(rare|nothing)$", 0, 0), 1);
		assert_int_equal(count(f, "no such thing", 0, 0), 0);
		assert_int_equal(count(f, NULL, 3, 0), 4000);
		assert_int_equal(count(f, NULL, 9, 0), 1);
		assert_int_equal(count(f, "took", 2, 17), 17);
		assert_int_equal(br_logs_sync(f->logs, NULL), 0);
	}
	br_logs_stats(f->logs, &st);
	assert_int_equal(st.lines, 20001);
	assert_true(st.segments >= 1 && st.raw_bytes > 3 * st.disk_bytes / 2);
	br_logs_close(f->logs);
	open_with(f, (struct br_logs_options){ 0 });
	assert_int_equal(count(f, NULL, 0, 0), 20001);
	assert_int_equal(count(f, "rare", 0, 0), 1);
}

static void a_literal_goes_over_no_lines_end(void **state)
{
	struct fixture *f = *state;

	open_with(f, (struct br_logs_options){ 0 });
	put(f, 1, "", "first half");
	put(f, 1, "", "way there");
	put(f, 1, "", "halfway there, halfway");
	assert_int_equal(count(f, "halfway", 0, 0), 1);
	assert_int_equal(count(f, "half", 0, 0), 2);
	assert_int_equal(count(f, "way there", 0, 0), 2);
}

static void a_reader_sees_all_in_order(void **state)
{
	struct fixture *f = *state;
	struct br_logs_reader *rd;
	struct br_logs_filter filter = { 0 };
	struct br_logs_line line;
	uint64_t gone, n = 0;
	int r;

	open_with(f, (struct br_logs_options){ .rate = 1000000 });
	put_many(f, 30000);
	assert_int_equal(br_logs_reader_new(f->logs, &rd), 0);
	while ((r = br_logs_reader_next(rd, &filter, &line, &gone)) != 0) {
		assert_true(r == 1 || r == -EAGAIN);
		assert_int_equal(gone, 0);
		if (r == 1)
			assert_int_equal(line.seq, ++n);
	}
	assert_int_equal(n, 30000);
	put(f, 1, "", "one more");
	assert_int_equal(br_logs_wait(f->logs, 30000, 5000), 1);
	do
		r = br_logs_reader_next(rd, &filter, &line, &gone);
	while (r == -EAGAIN);
	assert_int_equal(r, 1);
	assert_memory_equal(line.text, "one more", 8);
	assert_int_equal(br_logs_reader_get(rd, 4711, &line), 0);
	assert_int_equal(line.seq, 4711);
	assert_int_equal(br_logs_reader_get(rd, 40000, &line), -ENOENT);
	br_logs_reader_free(rd);
}

/* A child puts lines, says when they must be there, and is killed. */
static void a_kill_loses_nothing_that_was_flushed(void **state)
{
	struct fixture *f = *state;
	int pipe_fd[2], status;
	char c;
	pid_t pid;

	assert_int_equal(pipe(pipe_fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		open_with(f, (struct br_logs_options){ .rate = 1000000 });
		put_many(f, 5003);
		if (br_logs_sync(f->logs, NULL) < 0 || write(pipe_fd[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			put_many(f, 100);
	}
	assert_int_equal(read(pipe_fd[0], &c, 1), 1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	open_with(f, (struct br_logs_options){ 0 });
	assert_true(count(f, NULL, 0, 0) >= 5003);
	assert_int_equal(count(f, "request 5002 took", 0, 0), 1);
}

static void a_torn_end_is_ignored(void **state)
{
	struct fixture *f = *state;
	static const char junk[] = "BRLBnot a block at all, though it begins as one does ........................................";
	br_cleanup(br_closep) int fd = -1;
	char path[200];
	struct stat st;

	open_with(f, (struct br_logs_options){ .rate = 1000000 });
	put_many(f, 10000);
	br_logs_close(f->logs);
	snprintf(path, sizeof(path), "%s/0000000000000001.seg", f->dir);
	fd = open(path, O_RDWR | O_APPEND);
	assert_true(fd >= 0 && !fstat(fd, &st));
	assert_int_equal(write(fd, junk, sizeof(junk)), sizeof(junk));
	open_with(f, (struct br_logs_options){ .rate = 1000000 });
	assert_int_equal(count(f, NULL, 0, 0), 10000);
	put_many(f, 5000);
	br_logs_close(f->logs);
	/* now the last block is cut in the middle */
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(ftruncate(fd, st.st_size - 100), 0);
	open_with(f, (struct br_logs_options){ 0 });
	assert_in_range(count(f, NULL, 0, 0), 10000, 15000);
	put(f, 1, "", "goes on");
	assert_int_equal(count(f, "goes on", 0, 0), 1);
}

static void the_disk_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct br_logs_stats st;
	char text[600];

	open_with(f, (struct br_logs_options){ .max_bytes = 2 << 20, .rate = 1000000 });
	for (unsigned i = 0; i < 60000; i++) {
		unsigned x = i;

		for (size_t k = 0; k < 80; k++) { /* does not compress well */
			x = x * 1664525u + 1013904223u;
			text[k] = (char)('!' + (x >> 24) % 90);
		}
		text[80] = 0;
		put(f, 1, "noise", text);
		if (i % 5000 == 0)
			assert_int_equal(br_logs_sync(f->logs, NULL), 0);
	}
	assert_int_equal(br_logs_sync(f->logs, NULL), 0);
	br_logs_stats(f->logs, &st);
	assert_true(st.disk_bytes <= 2 << 20);
	assert_true(st.removed > 10000);
	assert_int_equal(st.last_seq, 60000);
	assert_int_equal(st.first_seq, st.removed + 1);
	assert_int_equal(st.lost_disk, 0);
}

static uint64_t lost_n, lost_calls;

static void on_lost(void *ctx, int64_t board_id, uint32_t ip, uint64_t n, const char *reason)
{
	assert_int_equal(board_id, 7);
	lost_n += n;
	lost_calls++;
}

static void a_flood_keeps_the_newest_and_is_counted(void **state)
{
	struct fixture *f = *state;
	struct br_logs_stats st;
	char text[40];

	open_with(f, (struct br_logs_options){ .rate = 10, .burst = 100, .on_lost = on_lost });
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "flood %u.", i);
		put(f, 7, "", text);
	}
	put(f, 8, "", "a quiet one is heard");
	assert_int_equal(br_logs_sync(f->logs, NULL), 0);
	assert_int_equal(count(f, "quiet one", 8, 0), 1);
	br_logs_stats(f->logs, &st);
	assert_in_range(st.lost_rate, 5000 - 100 - BR_LOGS_HELD - 100, 5000 - 100 - BR_LOGS_HELD);
	br_logs_close(f->logs); /* what waits is kept, what was lost is told */
	open_with(f, (struct br_logs_options){ 0 });
	assert_int_equal(count(f, "^flood 4999\\.", 7, 0), 1);
	assert_int_equal(count(f, "^flood 0\\.", 7, 0), 1);
	assert_int_equal(lost_n, st.lost_rate);
	assert_true(lost_calls >= 1);
	assert_true(count(f, "^[0-9]+ lines lost: ", 7, 0) >= 1);
}

static void made_up_addresses_share_a_limit(void **state)
{
	struct br_logs_limits *l = br_logs_limits_new(10, 50);
	unsigned passed = 0;

	assert_non_null(l);
	for (uint32_t i = 0; i < 20000; i++) {
		struct br_logs_line line = { .ip = i + 1, .text = "x", .n_text = 1 };

		passed += br_logs_limits_pass(l, &line, BR_S);
	}
	assert_int_equal(passed, 50);
	br_logs_limits_free(l);
}

static void marks_outlive_a_restart(void **state)
{
	struct fixture *f = *state;
	struct br_logs_mark m, *all = NULL;
	struct br_error err = BR_ERROR_NULL;
	size_t n;

	open_with(f, (struct br_logs_options){ 0 });
	put(f, 1, "", "before");
	assert_int_equal(br_logs_mark_set(f->logs, "begin", &m, &err), 0);
	assert_int_equal(m.seq, 1);
	assert_int_equal(br_logs_mark_set(f->logs, "5m", &m, &err), -EINVAL);
	assert_int_equal(br_logs_mark_set(f->logs, "a b", &m, &err), -EINVAL);
	br_logs_close(f->logs);
	open_with(f, (struct br_logs_options){ 0 });
	assert_int_equal(br_logs_mark_get(f->logs, "begin", &m), 0);
	assert_int_equal(m.seq, 1);
	assert_int_equal(br_logs_marks(f->logs, &all, &n), 0);
	assert_int_equal(n, 1);
	free(all);
	assert_int_equal(br_logs_mark_remove(f->logs, "begin", &err), 0);
	assert_int_equal(br_logs_mark_remove(f->logs, "begin", &err), -ENOENT);
}

/* A follower whose lines nobody says waits all the same. */
static void who_finds_nothing_waits(void **state)
{
	struct fixture *f = *state;
	int64_t nobody = INT64_MAX, two = 2;
	struct br_logs_filter filters[] = {
		{ .boards = &nobody, .n_boards = 1 }, { .boards = &two, .n_boards = 1 }, { .sources = 1u << BR_LOGS_SERIAL }, { .until_ns = 1000 },
	};
	struct br_logs_reader *rd = NULL;
	struct br_logs_line line;
	uint64_t gone;
	int r;

	open_with(f, (struct br_logs_options){ 0 });
	for (int i = 0; i < 3; i++)
		put(f, 1, "", "says this");
	assert_int_equal(br_logs_sync(f->logs, NULL), 0);
	assert_int_equal(br_logs_reader_new(f->logs, &rd), 0);
	for (size_t i = 0; i < BR_ARRAY_SIZE(filters); i++) {
		while ((r = br_logs_reader_next(rd, &filters[i], &line, &gone)) == -EAGAIN)
			;
		assert_int_equal(r, 0);
		assert_int_equal(filters[i].after, 3);
		assert_int_equal(br_logs_wait(f->logs, filters[i].after, 10), 0);
	}
	put(f, 2, "", "two, too");
	assert_int_equal(br_logs_wait(f->logs, 3, 5000), 1);
	while ((r = br_logs_reader_next(rd, &filters[1], &line, &gone)) == -EAGAIN)
		;
	assert_int_equal(r, 1);
	assert_int_equal(line.seq, 4);
	br_logs_reader_free(rd);
}

static bool is_in_a_journal(struct fixture *f, const char *text)
{
	bool found = false;

	for (int i = 0; i < 2; i++) {
		br_cleanup(br_freep) char *data = NULL;
		char path[200];
		size_t n = 0;

		snprintf(path, sizeof(path), "%s/journal.%d", f->dir, i);
		assert_int_equal(br_file_read(path, 1 << 20, &data, &n, NULL), 0);
		found = found || memmem(data, n, text, strlen(text));
	}
	return found;
}

/* What could not be written is written once it can be. */
static void a_full_disk_is_made_good(void **state)
{
	struct fixture *f = *state;
	struct rlimit old, none;

	open_with(f, (struct br_logs_options){ 0 });
	put(f, 1, "", "first of all");
	assert_int_equal(br_logs_sync(f->logs, NULL), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	none = (struct rlimit){ .rlim_cur = 1, .rlim_max = old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	put(f, 1, "", "while it was full");
	put(f, 1, "", "and this");
	assert_int_equal(br_logs_sync(f->logs, NULL), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(br_logs_sync(f->logs, NULL), 0);
	assert_true(is_in_a_journal(f, "first of all"));
	assert_true(is_in_a_journal(f, "while it was full"));
	assert_true(is_in_a_journal(f, "and this"));
}

/* While segments cannot be written the journal has an end; nothing is lost of what memory holds. */
static void a_journal_does_not_grow_for_ever(void **state)
{
	struct fixture *f = *state;
	char *text = calloc(1, 8001), path[200];
	struct br_logs_stats st;

	assert_non_null(text);
	memset(text, 'x', 8000);
	open_with(f, (struct br_logs_options){ .rate = 1000000, .flush_ms = 1 });
	snprintf(path, sizeof(path), "%s/0000000000000001.seg", f->dir);
	assert_int_equal(mkdir(path, 0755), 0);
	for (int i = 0; i < 5000; i++) {
		put(f, 1, "", text);
		if (i % 10 == 0)
			(void)br_logs_sync(f->logs, NULL); /* so that it writes, not so that it can */
	}
	br_logs_stats(f->logs, &st);
	assert_int_not_equal(st.trouble.code, 0);
	assert_in_range(st.disk_bytes, 16 << 20, 34 << 20);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(br_logs_sync(f->logs, NULL), 0);
	put(f, 1, "", "goes on");
	br_logs_close(f->logs);
	open_with(f, (struct br_logs_options){ 0 });
	assert_int_equal(count(f, NULL, 0, 0), 5001);
	free(text);
}

static uint64_t next_number(struct fixture *f)
{
	struct br_logs_stats st;

	put(f, 1, "", "another");
	br_logs_stats(f->logs, &st);
	return st.last_seq;
}

/* Though the lines that had them are gone. */
static void no_number_is_given_twice(void **state)
{
	struct fixture *f = *state;
	struct br_logs_options aged = { .max_age_ns = 60 * BR_S };
	struct br_logs_mark m;
	struct br_logs_stats st;
	char path[200];

	open_with(f, (struct br_logs_options){ 0 });
	for (int i = 0; i < 3; i++)
		br_logs_put(f->logs, &(struct br_logs_line){
			.wall_ns = br_wall_ns() - 3600 * BR_S, .source = BR_LOGS_SERIAL, .stream = "", .text = "old", .n_text = 3 });
	for (int i = 0; i < 3; i++) { /* into the journal, into a segment, away */
		br_logs_close(f->logs);
		open_with(f, aged);
	}
	assert_int_equal(br_logs_sync(f->logs, NULL), 0);
	br_logs_stats(f->logs, &st);
	assert_int_equal(st.blocks, 0);
	br_logs_close(f->logs);
	open_with(f, aged);
	assert_int_equal(next_number(f), 4);
	assert_int_equal(br_logs_mark_set(f->logs, "here", &m, NULL), 0);
	assert_int_equal(m.seq, 4);
	br_logs_close(f->logs);
	for (int i = 0; i < 2; i++) { /* a kill before the line was written */
		snprintf(path, sizeof(path), "%s/journal.%d", f->dir, i);
		assert_int_equal(truncate(path, 0), 0);
	}
	open_with(f, aged);
	assert_int_equal(next_number(f), 5);
}

/* What lies behind is found, in the newest segment, too. */
static void a_damaged_header_is_passed_over(void **state)
{
	struct fixture *f = *state;
	struct br_logs_stats st;
	char path[200];
	size_t n;
	int fd;

	open_with(f, (struct br_logs_options){ .rate = 1000000 });
	put_many(f, 10000);
	for (int i = 0; i < 2; i++) { /* all into segments */
		br_logs_close(f->logs);
		open_with(f, (struct br_logs_options){ 0 });
	}
	br_logs_close(f->logs);
	snprintf(path, sizeof(path), "%s/0000000000000001.seg", f->dir);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, "zap", 3, 20), 3);
	close(fd);
	open_with(f, (struct br_logs_options){ 0 });
	br_logs_stats(f->logs, &st);
	assert_int_equal(st.damaged, 1);
	n = count(f, NULL, 0, 0);
	assert_in_range(n, 3000, 9999);
	assert_int_equal(count(f, "request 9999 took", 0, 0), 1);
	assert_int_equal(next_number(f), 10001);
}

static void literals_are_what_every_match_has(void **state)
{
	static const struct {
		const char *re, *literal;
		bool whole;
	} cases[] = {
		{ "kernel panic", "kernel panic", true },
		{ "a\\.b\\[c", "a.b[c", true },
		{ "error (one|two) in", "error ", false },
		{ "abc|def", "", false },
		{ "abcd?ef", "abc", false },
		{ "abcd*", "abc", false },
		{ "abcd{0,3}efghi", "efghi", false },
		{ "abcd+ef", "abcd", false },
		{ "^usb [0-9-]+: new", ": new", false },
		{ "x[]a]yy", "yy", false },
		{ "x[[:alpha:]]yyy", "yyy", false },
		{ "\\d+ lines lost", " lines lost", false },
		{ "(?i)abc", "", false },
		{ "\\x41bc", "", false },
		{ "\\bfoo\\b", "foo", false },
		{ "(a(b[)]c)d)xyz", "xyz", false },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_logs_pattern *p = NULL;
		struct br_error err = BR_ERROR_NULL;
		size_t n;
		const char *literal;

		if (br_logs_pattern_new(cases[i].re, false, &p, &err) < 0)
			fail_msg("%s", err.text);
		literal = br_logs_pattern_literal(p, &n);
		if (n != strlen(cases[i].literal) || memcmp(literal, cases[i].literal, n) != 0)
			fail_msg("%s: literal '%.*s'", cases[i].re, (int)n, literal);
		assert_int_equal(br_logs_pattern_is_literal(p), cases[i].whole);
		br_logs_pattern_free(p);
	}
}

static void hostile_expressions_end(void **state)
{
	struct br_logs_pattern *p = NULL;
	struct br_logs_matcher *m;
	struct br_error err = BR_ERROR_NULL;
	char text[4000];

	memset(text, 'a', sizeof(text));
	assert_int_equal(br_logs_pattern_new("(", false, &p, &err), -EINVAL);
	assert_int_equal(br_logs_pattern_new("", false, &p, &err), -EINVAL);
	assert_int_equal(br_logs_pattern_new("(a+)+$|(.*)*b\\1", true, &p, &err), 0);
	m = br_logs_matcher_new(p);
	assert_non_null(m);
	text[sizeof(text) - 1] = '!';
	(void)br_logs_matches(m, text, sizeof(text)); /* it comes back */
	assert_true(br_logs_matcher_given_up(m) <= 1);
	br_logs_matcher_free(m);
	br_logs_pattern_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines_are_found_in_memory_and_on_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(a_literal_goes_over_no_lines_end, setup, teardown),
		cmocka_unit_test_setup_teardown(a_reader_sees_all_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(a_kill_loses_nothing_that_was_flushed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_torn_end_is_ignored, setup, teardown),
		cmocka_unit_test_setup_teardown(the_disk_is_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(a_flood_keeps_the_newest_and_is_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(marks_outlive_a_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(who_finds_nothing_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_is_made_good, setup, teardown),
		cmocka_unit_test_setup_teardown(a_journal_does_not_grow_for_ever, setup, teardown),
		cmocka_unit_test_setup_teardown(no_number_is_given_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_header_is_passed_over, setup, teardown),
		cmocka_unit_test(made_up_addresses_share_a_limit),
		cmocka_unit_test(literals_are_what_every_match_has),
		cmocka_unit_test(hostile_expressions_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

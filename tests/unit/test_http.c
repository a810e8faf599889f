/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges, the server without a network beyond loopback, and what a model needs in boot.img. */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "http/range.h"
#include "http/server.h"
#include "plan/bootimg.h"

static void ranges(void **state)
{
	static const struct {
		const char *value;
		uint64_t size;
		int r;
		uint64_t first, len;
	} cases[] = {
		{ NULL, 10, 0, 0, 0 },
		{ "bytes=0-", 10, 1, 0, 10 },
		{ "bytes=0-0", 10, 1, 0, 1 },
		{ "Bytes=2-5", 10, 1, 2, 4 },
		{ "bytes= 2-5 ", 10, 1, 2, 4 },
		{ "bytes=9-", 10, 1, 9, 1 },
		{ "bytes=5-100", 10, 1, 5, 5 },
		{ "bytes=-3", 10, 1, 7, 3 },
		{ "bytes=-30", 10, 1, 0, 10 },
		{ "bytes=0-18446744073709551615", 10, 1, 0, 10 },
		{ "bytes=0-99999999999999999999999999", 10, 1, 0, 10 },
		{ "bytes=10-", 10, -ERANGE, 0, 0 },
		{ "bytes=99999999999999999999999999-", 10, -ERANGE, 0, 0 },
		{ "bytes=-0", 10, -ERANGE, 0, 0 },
		{ "bytes=0-", 0, -ERANGE, 0, 0 },
		{ "bytes=-5", 0, -ERANGE, 0, 0 },
		{ "bytes=5-2", 10, 0, 0, 0 },
		{ "bytes=-", 10, 0, 0, 0 },
		{ "bytes=", 10, 0, 0, 0 },
		{ "bytes=0-1,3-4", 10, 0, 0, 0 },
		{ "bytes=a-b", 10, 0, 0, 0 },
		{ "bytes=+1-2", 10, 0, 0, 0 },
		{ "bytes=1", 10, 0, 0, 0 },
		{ "lines=0-1", 10, 0, 0, 0 },
		{ "", 10, 0, 0, 0 },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		uint64_t first = 0, len = 0;
		int r = br_http_range(cases[i].value, cases[i].size, &first, &len);

		if (r != cases[i].r || first != cases[i].first || len != cases[i].len)
			fail_msg("%s of %d: %d %d %d", cases[i].value, (int)cases[i].size, r, (int)first, (int)len);
	}
}

static void models_need_their_own_files(void **state)
{
	static const char config[] = "[all]\nkernel=vmlinuz\ndevice_tree=bcm2711-rpi-4-b.dtb\ninitramfs initramfs7 followkernel\n";
	static const struct {
		const char *path;
		bool pi3, pi4, pi5, any, named; /* named: Pi 5 with the config above */
	} cases[] = {
		{ "config.txt", true, true, true, true, true },
		{ "bootcode.bin", true, false, false, true, false },
		{ "start.elf", true, false, false, true, false },
		{ "start_x.elf", true, false, false, true, false },
		{ "START4.ELF", false, true, false, true, false },
		{ "fixup4cd.dat", false, true, false, true, false },
		{ "kernel8.img", true, true, true, true, true },
		{ "kernel_2712.img", false, false, true, true, true },
		{ "kernel7l.img", false, true, false, true, false },
		{ "initramfs7", true, false, false, true, true },
		{ "initramfs_2712", false, false, true, true, true },
		{ "bcm2711-rpi-4-b.dtb", false, true, false, true, true },
		{ "bcm2711-rpi-400.dtb", false, true, false, true, false },
		{ "bcm2712d0-rpi-5-b.dtb", false, false, true, true, true },
		{ "overlays/bcm2712d0.dtbo", true, true, true, true, true },
		{ "some/start.elf", true, true, true, true, true },
		{ "boot.img", false, false, false, false, false },
		{ "boot.sig", false, false, false, false, false },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		const char *p = cases[i].path;

		if (br_bootimg_needs(BR_SOC_BCM2837, p, NULL) != cases[i].pi3 ||
			br_bootimg_needs(BR_SOC_BCM2711, p, "") != cases[i].pi4 ||
			br_bootimg_needs(BR_SOC_BCM2712, p, NULL) != cases[i].pi5 ||
			br_bootimg_needs(BR_SOC_UNKNOWN, p, NULL) != cases[i].any ||
			br_bootimg_needs(BR_SOC_BCM2712, p, config) != cases[i].named)
			fail_msg("%s", p);
	}
}

/* ---- the server ---- */

static uint8_t pattern[3 << 20];

static struct board {
	struct br_span spans[3];
	atomic_int opened, released, failed, sent;
} board;

static int open_file(void *ctx, uint32_t ip, const char *path, struct br_http_file *file)
{
	struct board *b = ctx;

	assert_int_equal(ip, INADDR_LOOPBACK);
	snprintf(file->path, sizeof(file->path), "%s", path);
	if (!strcmp(path, "/error"))
		return -EIO;
	if (strcmp(path, "/boot.img") && strcmp(path, "/empty"))
		return -ENOENT;
	b->opened++;
	file->spans = b->spans;
	file->n_spans = 3;
	file->size = strcmp(path, "/empty") ? sizeof(pattern) : 0;
	return 0;
}

static void release(void *ctx, struct br_http_file *file)
{
	((struct board *)ctx)->released++;
}

static void report(void *ctx, const struct br_http_report *rep)
{
	struct board *b = ctx;

	b->sent += rep->outcome == BR_HTTP_SENT;
	b->failed += rep->outcome == BR_HTTP_FAILED;
	assert_int_equal(rep->reason != NULL, rep->outcome == BR_HTTP_FAILED);
}

static const struct br_http_ops ops = { .open = open_file, .release = release, .report = report };

static struct br_http *start(unsigned max_connections)
{
	struct br_http_options opt = {
		.ip = INADDR_LOOPBACK,
		.max_connections = max_connections,
		.max_per_client = 100,
		.ops = &ops,
		.ctx = &board,
	};
	struct br_http *http;

	board = (struct board){ .spans = { { pattern, 100 }, { pattern + 100, 0 }, { pattern + 100, sizeof(pattern) - 100 } } };
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + (i >> 10));
	assert_int_equal(br_http_start(&opt, &http, NULL), 0);
	return http;
}

static int connect_to(const struct br_http *http)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET, .sin_port = htons(br_http_port(http)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
	};
	struct timeval patience = { .tv_sec = 60 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* Sends, and reads to the end. */
static char *talk(const struct br_http *http, const char *request, size_t *ret_len)
{
	br_cleanup(br_closep) int fd = connect_to(http);
	size_t cap = sizeof(pattern) * 2, len = 0;
	char *out = malloc(cap);
	ssize_t n;

	assert_int_equal(write(fd, request, strlen(request)), strlen(request));
	while ((n = read(fd, out + len, cap - 1 - len)) > 0)
		len += (size_t)n;
	assert_int_equal(n, 0);
	out[len] = 0;
	*ret_len = len;
	return out;
}

static void files_are_sent_whole_and_in_parts(void **state)
{
	static const struct {
		const char *request, *status;
		size_t first, len;
	} cases[] = {
		{ "GET /boot.img HTTP/1.0\r\n\r\n", "200", 0, sizeof(pattern) },
		{ "GET /boot.img HTTP/1.1\r\nhost: x\r\nConnection: close\r\n\r\n", "200", 0, sizeof(pattern) },
		{ "GET /boot.img HTTP/1.1\r\nhost: x\r\nrange: bytes=99-\r\nConnection: close\r\n\r\n", "206", 99,
			sizeof(pattern) - 99 },
		{ "GET /boot.img HTTP/1.1\r\nhost: x\r\nRange: bytes=98-101\r\nConnection: close\r\n\r\n", "206", 98, 4 },
		{ "HEAD /boot.img HTTP/1.0\r\n\r\n", "200", 0, 0 },
		{ "GET /empty HTTP/1.0\r\n\r\n", "200", 0, 0 },
	};
	struct br_http *http = start(0);

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		size_t len;
		br_cleanup(br_freep) char *answer = talk(http, cases[i].request, &len);
		char *body = strstr(answer, "\r\n\r\n");

		assert_non_null(body);
		body += 4;
		assert_memory_equal(answer + 9, cases[i].status, 3);
		assert_true(body - answer < 400); /* boards want short ones: wire notes 3 */
		assert_int_equal(answer + len - body, cases[i].len);
		assert_memory_equal(body, pattern + cases[i].first, cases[i].len);
	}
	br_http_stop(http);
	assert_int_equal(board.opened, BR_ARRAY_SIZE(cases));
	assert_int_equal(board.released, board.opened);
	assert_int_equal(board.failed, 0);
}

static void a_connection_is_kept_after_head(void **state)
{
	static const char two[] = "HEAD /boot.img HTTP/1.1\r\nhost: x\r\n\r\n"
				  "GET /boot.img HTTP/1.1\r\nhost: x\r\nRange: bytes=-5\r\nConnection: close\r\n\r\n";
	struct br_http *http = start(0);
	size_t len;
	br_cleanup(br_freep) char *answer = talk(http, two, &len);
	char *second = strstr(answer, "\r\n\r\n");

	br_http_stop(http);
	assert_non_null(second);
	assert_memory_equal(second + 4 + 9, "206", 3);
	assert_memory_equal(answer + len - 5, pattern + sizeof(pattern) - 5, 5);
}

static void errors_are_plain(void **state)
{
	static const struct {
		const char *request, *status;
	} cases[] = {
		{ "GET /nothing HTTP/1.0\r\n\r\n", "404" },
		{ "GET /error HTTP/1.0\r\n\r\n", "500" },
		{ "GET /boot.img HTTP/1.1\r\nhost: x\r\nContent-Length: 5\r\n\r\n", "400" },
		{ "DELETE /boot.img HTTP/1.0\r\n\r\n", "405" },
		{ "GET /boot.img HTTP/1.0\r\nRange: bytes=99999999-\r\n\r\n", "416" },
	};
	struct br_http *http = start(0);

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		size_t len;
		br_cleanup(br_freep) char *answer = talk(http, cases[i].request, &len);

		assert_memory_equal(answer + 9, cases[i].status, 3);
	}
	br_http_stop(http);
	assert_int_equal(board.released, board.opened);
}

static void a_client_that_vanishes_is_reported(void **state)
{
	static const char request[] = "GET /boot.img HTTP/1.0\r\n\r\n";
	struct br_http *http = start(0);
	int fd = connect_to(http);
	char c;

	assert_int_equal(write(fd, request, strlen(request)), strlen(request));
	assert_int_equal(read(fd, &c, 1), 1);
	/* it takes no more: the rest does not fit any buffer */
	br_http_stop(http);
	close(fd);
	assert_int_equal(board.opened, 1);
	assert_int_equal(board.released, 1);
	assert_int_equal(board.failed + board.sent, 1);
}

static void idle_connections_make_room(void **state)
{
	struct br_http *http = start(12);
	int idle[40];
	size_t len;

	for (size_t i = 0; i < BR_ARRAY_SIZE(idle); i++)
		idle[i] = connect_to(http);
	br_cleanup(br_freep) char *answer = talk(http, "GET /boot.img HTTP/1.0\r\n\r\n", &len);
	assert_memory_equal(answer + 9, "200", 3);
	for (size_t i = 0; i < BR_ARRAY_SIZE(idle); i++)
		close(idle[i]);
	br_http_stop(http);
}

static void a_taken_port_has_words(void **state)
{
	struct br_http *http = start(0), *second;
	struct br_http_options opt = { .ip = INADDR_LOOPBACK, .port = br_http_port(http), .ops = &ops };
	struct br_error err = BR_ERROR_NULL;

	assert_int_equal(br_http_start(&opt, &second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "--http-port"));
	br_http_stop(http);
	br_http_stop(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges),
		cmocka_unit_test(models_need_their_own_files),
		cmocka_unit_test(files_are_sent_whole_and_in_parts),
		cmocka_unit_test(a_connection_is_kept_after_head),
		cmocka_unit_test(errors_are_plain),
		cmocka_unit_test(a_client_that_vanishes_is_reported),
		cmocka_unit_test(idle_connections_make_room),
		cmocka_unit_test(a_taken_port_has_words),
	};

	return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The server on a real socket of the loopback: raw datagrams, and the clients people have (curl, BusyBox). */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/file.h"
#include "tests/unit/tftp_files.h"
#include "tftp/io.h"
#include "wire/tftp.h"

#define LOOPBACK 0x7f000001u

extern char **environ;

static struct seen {
	pthread_mutex_t lock;
	unsigned outcomes[8];
} seen = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void on_report(void *ctx, const struct br_tftp_report *rep)
{
	struct seen *s = ctx;

	pthread_mutex_lock(&s->lock);
	s->outcomes[rep->outcome]++;
	pthread_mutex_unlock(&s->lock);
}

static const struct br_tftp_ops ops = { .open = test_open, .release = test_release, .report = on_report };

static struct br_tftp_io *start(uint32_t ip, const char *interface, unsigned max_blksize)
{
	struct br_tftp_io_options opt = {
		.ip = ip, .interface = interface, .max_blksize = max_blksize, .ops = &ops, .ctx = &seen
	};
	struct br_tftp_io *io = NULL;
	struct br_error err = BR_ERROR_NULL;

	memset(seen.outcomes, 0, sizeof(seen.outcomes));
	if (br_tftp_io_start(&opt, &io, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_not_equal(br_tftp_io_port(io), 0);
	return io;
}

static int client(struct br_tftp_io *io, uint32_t ip)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(br_tftp_io_port(io)),
		.sin_addr.s_addr = htonl(ip) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	/* connected: an answer from another address or port would not arrive */
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static ssize_t converse(int fd, const void *say, size_t len, uint8_t *buf, size_t size)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (len)
		assert_int_equal(send(fd, say, len, 0), len);
	return poll(&p, 1, 5000) > 0 ? recv(fd, buf, size, 0) : -1;
}

static void fetch(int fd, const char *request, size_t len, uint64_t size, size_t blksize)
{
	uint8_t buf[70000], ack[4];
	uint64_t got = 0;
	ssize_t n = converse(fd, request, len, buf, sizeof(buf));

	assert_int_equal(br_tftp_peek(buf, (size_t)n), BR_TFTP_OACK);
	br_tftp_encode_ack(ack, sizeof(ack), 0);
	for (uint16_t expect = 1;; expect++) {
		const uint8_t *data;
		size_t n_data;
		uint16_t block;

		n = converse(fd, ack, sizeof(ack), buf, sizeof(buf));
		assert_true(n > 0);
		assert_int_equal(br_tftp_decode_data(buf, (size_t)n, &block, &data, &n_data), 0);
		assert_int_equal(block, expect);
		assert_memory_equal(data, test_file_bytes() + got, n_data);
		got += n_data;
		br_tftp_encode_ack(ack, sizeof(ack), block);
		if (n_data < blksize)
			break;
	}
	assert_int_equal(send(fd, ack, sizeof(ack), 0), sizeof(ack));
	assert_int_equal(got, size);
}

/* Windows of 16 blocks, acknowledged as a whole. */
static void fetch_windows(int fd, const char *request, size_t len, uint64_t size, size_t blksize)
{
	uint8_t buf[2000], ack[4];
	uint64_t got = 0;
	ssize_t n = converse(fd, request, len, buf, sizeof(buf));
	uint16_t expect = 1;

	assert_int_equal(br_tftp_peek(buf, (size_t)n), BR_TFTP_OACK);
	br_tftp_encode_ack(ack, sizeof(ack), 0);
	for (;;) {
		const uint8_t *data;
		size_t n_data;
		uint16_t block;

		n = converse(fd, ack, expect % 16 == 1 ? sizeof(ack) : 0, buf, sizeof(buf));
		assert_true(n > 0);
		assert_int_equal(br_tftp_decode_data(buf, (size_t)n, &block, &data, &n_data), 0);
		assert_int_equal(block, expect++);
		assert_memory_equal(data, test_file_bytes() + got, n_data);
		got += n_data;
		br_tftp_encode_ack(ack, sizeof(ack), block);
		if (n_data < blksize)
			break;
	}
	assert_int_equal(send(fd, ack, sizeof(ack), 0), sizeof(ack));
	assert_int_equal(got, size);
}

static const char windows[] = "\0\1p200000\0octet\0blksize\0001468\0windowsize\00016";

static void windows_arrive(void **state)
{
	for (int i = 0; i < 2; i++) {
		struct br_tftp_io *io = start(i ? LOOPBACK : 0, NULL, 0);
		int fd = client(io, LOOPBACK);

		fetch_windows(fd, windows, sizeof(windows), 200000, 1468);
		close(fd);
		br_tftp_io_stop(io);
		assert_int_equal(seen.outcomes[BR_TFTP_SENT], 1);
	}
}

/* The last test: it leaves the network behind. */
static void windows_arrive_where_they_cannot_be_segmented(void **state)
{
	struct ifreq req = { .ifr_name = "lo", .ifr_mtu = 1000 };
	struct br_tftp_io *io;
	int fd;

	if (unshare(CLONE_NEWNET) < 0) {
		print_message("skipped: a network namespace needs root\n");
		skip();
	}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(ioctl(fd, SIOCSIFMTU, &req), 0);
	req.ifr_flags = IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &req), 0);
	close(fd);
	io = start(0, NULL, 1468); /* more than the MTU: the kernel refuses segments, datagrams go as fragments */
	fd = client(io, LOOPBACK);
	fetch_windows(fd, windows, sizeof(windows), 200000, 1468);
	assert_int_equal(br_tftp_io_stats(io).dropped_out, 0);
	close(fd);
	br_tftp_io_stop(io);
	assert_int_equal(seen.outcomes[BR_TFTP_SENT], 1);
}

static void every_byte_arrives(void **state)
{
	static const char in_pieces[] = "\0\1p200000\0octet\0blksize\0001468";
	struct br_tftp_io *io = start(0, NULL, 0);
	int fd = client(io, LOOPBACK);
	struct br_tftp_io_stats stats;

	fetch(fd, in_pieces, sizeof(in_pieces), 200000, 1468);
	fetch(fd, in_pieces, sizeof(in_pieces), 200000, 1468); /* from the same port, as the 3B ROM */
	stats = br_tftp_io_stats(io);
	assert_true(stats.received > 200000 / 1468 * 2);
	assert_true(stats.sent > 200000 / 1468 * 2);
	close(fd);
	br_tftp_io_stop(io);
	assert_int_equal(seen.outcomes[BR_TFTP_SENT], 2);
	assert_int_equal(test_files_open, 0);
}

static void blocks_in_very_many_pieces_arrive(void **state)
{
	/* 60000-byte blocks of 300-byte pieces; the loopback's MTU is 65536 */
	static const char request[] = "\0\1p200000\0octet\0blksize\00060000";
	struct br_tftp_io *io = start(LOOPBACK, NULL, 65464);
	int fd = client(io, LOOPBACK);

	fetch(fd, request, sizeof(request), 200000, 60000);
	close(fd);
	br_tftp_io_stop(io);
}

static void the_mtu_of_an_interface_limits_blocks(void **state)
{
	static const char request[] = "\0\1p200000\0octet\0blksize\00065464";
	struct br_tftp_io *io;
	int fd;

	if (geteuid() != 0) {
		print_message("skipped: binding to an interface needs root\n");
		skip();
	}
	io = start(0, "lo", 0);
	fd = client(io, LOOPBACK);
	fetch(fd, request, sizeof(request), 200000, 65464);
	close(fd);
	br_tftp_io_stop(io);
}

static void replies_come_from_the_address_asked(void **state)
{
	static const char request[] = "\0\1f3000\0octet\0tsize\0000";
	struct br_tftp_io *io = start(0, NULL, 0);
	int fd = client(io, LOOPBACK + 0x101); /* 127.0.1.2 */

	fetch(fd, request, sizeof(request), 3000, 512);
	close(fd);
	br_tftp_io_stop(io);
}

static void a_lost_block_comes_again(void **state)
{
	static const char request[] = "\0\1f3\0octet";
	struct br_tftp_io *io = start(LOOPBACK, NULL, 0);
	int fd = client(io, LOOPBACK);
	uint8_t buf[600];

	assert_int_equal(converse(fd, request, sizeof(request), buf, sizeof(buf)), 7);
	assert_int_equal(converse(fd, NULL, 0, buf, sizeof(buf)), 7);
	close(fd);
	br_tftp_io_stop(io);
}

static void stopping_tells_the_client(void **state)
{
	static const char request[] = "\0\1f3000\0octet";
	struct br_tftp_io *io = start(0, NULL, 0);
	int fd = client(io, LOOPBACK);
	uint8_t buf[600];
	uint16_t code;
	char text[100];
	ssize_t n;

	assert_int_equal(converse(fd, request, sizeof(request), buf, sizeof(buf)), 516);
	br_tftp_io_stop(io);
	n = converse(fd, NULL, 0, buf, sizeof(buf));
	assert_true(n > 0);
	assert_int_equal(br_tftp_decode_error(buf, (size_t)n, &code, text, sizeof(text)), 0);
	assert_string_equal(text, "The server is stopping");
	close(fd);
	assert_int_equal(test_files_open, 0);
}

static void a_busy_port_is_explained(void **state)
{
	struct br_tftp_io *io = start(LOOPBACK, NULL, 0), *second = NULL;
	struct br_tftp_io_options opt = { .ip = LOOPBACK, .port = br_tftp_io_port(io), .ops = &ops };
	struct br_error err = BR_ERROR_NULL;

	assert_int_equal(br_tftp_io_start(&opt, &second, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "dnsmasq"));
	assert_non_null(strstr(err.text, "ss -ulpn"));
	opt = (struct br_tftp_io_options){ .ip = 0x01020304, .ops = &ops };
	assert_int_equal(br_tftp_io_start(&opt, &second, &err), -EADDRNOTAVAIL);
	assert_non_null(strstr(err.text, "1.2.3.4"));
	opt = (struct br_tftp_io_options){ .interface = "br-none0", .ops = &ops };
	assert_int_equal(br_tftp_io_start(&opt, &second, &err) < 0, 1);
	assert_non_null(strstr(err.text, "br-none0"));
	br_tftp_io_stop(io);
}

/* Runs a program, its output into the scratch directory; returns the exit status, -1 when it is not there. */
static int run(char *const argv[])
{
	posix_spawn_file_actions_t actions;
	int status;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
	if (posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ) != 0)
		return -1;
	posix_spawn_file_actions_destroy(&actions);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void check_file(const char *path, uint64_t size)
{
	struct br_error err = BR_ERROR_NULL;
	char *data;
	size_t len;

	if (br_file_read(path, TEST_FILE_MAX, &data, &len, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(len, size);
	assert_memory_equal(data, test_file_bytes(), len);
	free(data);
	unlink(path);
}

static const uint64_t sizes[] = { 0, 1, 511, 512, 513, 1468, 2936, 1000001, TEST_FILE_MAX - 5 };

static void curl_fetches(void **state)
{
	struct br_tftp_io *io = start(0, NULL, 0);
	char url[100], path[300], blksize[8];
	char *argv[] = { (char *)"curl", (char *)"-sS", (char *)"-m", (char *)"30", (char *)"--tftp-blksize", blksize,
		(char *)"-o", path, url, NULL };

	snprintf(path, sizeof(path), "%s/curl", test_dir());
	/* not the empty one: curl takes "tsize 0" in an OACK for an error */
	for (size_t i = 1; i < BR_ARRAY_SIZE(sizes); i++) {
		for (unsigned b = 0; b < 2; b++) {
			snprintf(blksize, sizeof(blksize), "%u", b ? 1468 : 512);
			snprintf(url, sizeof(url), "tftp://127.0.0.1:%u/%c%llu", br_tftp_io_port(io), b ? 'p' : 'f',
				(unsigned long long)sizes[i]);
			if (run(argv) == 127) {
				print_message("skipped: no curl here\n");
				br_tftp_io_stop(io);
				skip();
			}
			check_file(path, sizes[i]);
		}
	}
	snprintf(url, sizeof(url), "tftp://127.0.0.1:%u/none", br_tftp_io_port(io));
	assert_int_equal(run(argv), 68); /* "file not found on TFTP server" */
	snprintf(url, sizeof(url), "tftp://127.0.0.1:%u/secret", br_tftp_io_port(io));
	assert_int_equal(run(argv), 69); /* "permission problem" */
	br_tftp_io_stop(io);
	assert_int_equal(seen.outcomes[BR_TFTP_SENT], 2 * (BR_ARRAY_SIZE(sizes) - 1));
	assert_int_equal(seen.outcomes[BR_TFTP_MISSING], 1);
	assert_int_equal(seen.outcomes[BR_TFTP_REFUSED], 1);
}

static void busybox_fetches(void **state)
{
	struct br_tftp_io *io = start(0, NULL, 0);
	char name[40], path[300], port[8], blksize[8];
	char *argv[] = { (char *)"busybox", (char *)"tftp", (char *)"-g", (char *)"-b", blksize, (char *)"-r", name,
		(char *)"-l", path, (char *)"127.0.0.1", port, NULL };

	snprintf(path, sizeof(path), "%s/busybox", test_dir());
	snprintf(port, sizeof(port), "%u", br_tftp_io_port(io));
	for (size_t i = 0; i < BR_ARRAY_SIZE(sizes); i++) {
		snprintf(blksize, sizeof(blksize), "%u", i % 2 ? 1468 : 512);
		snprintf(name, sizeof(name), "p%llu", (unsigned long long)sizes[i]);
		if (run(argv) == 127) {
			print_message("skipped: no busybox here\n");
			br_tftp_io_stop(io);
			skip();
		}
		check_file(path, sizes[i]);
	}
	snprintf(name, sizeof(name), "none");
	assert_int_equal(run(argv), 1);
	br_tftp_io_stop(io);
	assert_int_equal(seen.outcomes[BR_TFTP_SENT], BR_ARRAY_SIZE(sizes));
	assert_int_equal(seen.outcomes[BR_TFTP_MISSING], 1);
}

static int sweep(void **state)
{
	return br_remove_tree(test_dir(), NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_arrives),
		cmocka_unit_test(windows_arrive),
		cmocka_unit_test(blocks_in_very_many_pieces_arrive),
		cmocka_unit_test(the_mtu_of_an_interface_limits_blocks),
		cmocka_unit_test(replies_come_from_the_address_asked),
		cmocka_unit_test(a_lost_block_comes_again),
		cmocka_unit_test(stopping_tells_the_client),
		cmocka_unit_test(a_busy_port_is_explained),
		cmocka_unit_test(curl_fetches),
		cmocka_unit_test(busybox_fetches),
		cmocka_unit_test(windows_arrive_where_they_cannot_be_segmented),
	};

	return cmocka_run_group_tests(tests, NULL, sweep);
}

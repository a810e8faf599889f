/* SPDX-License-Identifier: Apache-2.0 */
/* The consoles' manager: lines that come and go, watchers, writers. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "console/console.h"
#include "fleet/event.h"
#include "fleet/fleet.h"

#define PATIENCE_NS (20 * BR_S)

struct fixture {
	char *dir, *path; /* path: of a socket */
	struct br_fleet *fleet;
	struct br_consoles *consoles;
	struct br_board board;
	pthread_mutex_t lock;
	struct br_text lines;
};

static void on_line(void *ctx, int64_t board_id, const char *text, size_t n)
{
	struct fixture *f = ctx;

	pthread_mutex_lock(&f->lock);
	br_text_addf(&f->lines, "%d:", (int)board_id);
	br_text_add_bytes(&f->lines, text, n);
	br_text_add(&f->lines, "|");
	pthread_mutex_unlock(&f->lock);
}

static int setup(void **state)
{
	static int n;
	struct fixture *f = calloc(1, sizeof(*f));
	const struct br_console_options opt = { .line = on_line, .ctx = f };
	struct br_console_options o = opt;
	struct br_error err = BR_ERROR_NULL;

	f->dir = br_asprintf("%s/console%d", test_dir(), n++);
	f->path = br_asprintf("%s/s%d", test_dir(), n);
	pthread_mutex_init(&f->lock, NULL);
	assert_int_equal(br_fleet_open(f->dir, true, &f->fleet, &err), 0);
	o.fleet = f->fleet;
	assert_int_equal(br_consoles_start(&o, &f->consoles, &err), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	br_consoles_stop(f->consoles);
	br_fleet_close(f->fleet);
	br_remove_tree(f->dir, NULL);
	unlink(f->path);
	br_text_done(&f->lines);
	free(f->dir);
	free(f->path);
	free(f);
	return 0;
}

/* Makes the board, or gives it another console, as the API does. */
__attribute__((format(printf, 2, 3))) static void set_console(struct fixture *f, const char *fmt, ...)
{
	va_list ap;
	struct br_error err = BR_ERROR_NULL;

	if (!f->board.id) {
		snprintf(f->board.name, sizeof(f->board.name), "pi1");
		f->board.mac = (struct br_mac){ { 2, 0, 0, 0, 0, 1 } };
	}
	va_start(ap, fmt);
	vsnprintf(f->board.console, sizeof(f->board.console), fmt, ap);
	va_end(ap);
	if (br_board_save(f->fleet, &f->board, &err) < 0)
		fail_msg("%s", err.text);
	br_event_emit(f->fleet, f->board.id, 0, BR_EV_BOARD_EDITED, NULL);
}

static void wait_state(struct fixture *f, enum br_console_state state, struct br_console_status *ret)
{
	uint64_t until = br_now_ns() + PATIENCE_NS;

	do {
		br_console_status(f->consoles, f->board.id, ret);
		if (ret->state == state)
			return;
		poll(NULL, 0, 5);
	} while (br_now_ns() < until);
	fail_msg("the console stays %s (%s)", br_console_state_name(ret->state), ret->reason);
}

static int listen_unix(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	unlink(path);
	assert_return_code(bind(fd, (struct sockaddr *)&a, sizeof(a)), errno);
	assert_return_code(listen(fd, 1), errno);
	return fd;
}

static void read_exactly(int fd, char *out, size_t n)
{
	while (n) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t k;

		assert_int_equal(poll(&p, 1, 20000), 1);
		k = read(fd, out, n);
		assert_true(k > 0);
		out += k;
		n -= (size_t)k;
	}
}

static void expect_bytes(int fd, const char *text)
{
	char buf[256];

	read_exactly(fd, buf, strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

/* What a reader gets, until the text is in it. */
static void expect_read(struct br_console_reader *reader, bool notes, const char *text)
{
	uint64_t until = br_now_ns() + PATIENCE_NS, lost;
	char got[8192] = "";
	size_t n = 0;

	while (!strstr(got, text)) {
		int k = br_console_read(reader, got + n, sizeof(got) - 1 - n, 100, notes, &lost);

		if (k < 0 || br_now_ns() > until)
			fail_msg("'%s' did not come, but '%s'", text, got);
		n += (size_t)k;
		got[n] = 0;
	}
}

/* The line is a pseudo-terminal, which nobody can tell from a serial one. */
static void a_tty_is_read_and_written(void **state)
{
	struct fixture *f = *state;
	struct br_console_reader *reader = NULL;
	struct br_console_status st;
	struct br_error err = BR_ERROR_NULL;
	struct termios t;
	char name[64];
	int master, slave;

	assert_return_code(openpty(&master, &slave, name, NULL, NULL), errno);
	set_console(f, "tty:%s?speed=9600", name);
	wait_state(f, BR_CONSOLE_UP, &st);
	assert_return_code(tcgetattr(slave, &t), errno);
	assert_int_equal(cfgetispeed(&t), B9600);
	assert_int_equal(t.c_lflag & (ECHO | ICANON | ISIG), 0);
	assert_int_equal(br_write_all(master, "U-Boot 2024.01\r\n=> ", 19), 0);
	assert_int_equal(br_console_watch(f->consoles, f->board.id, UINT64_MAX, &reader, &err), 0);
	expect_read(reader, false, "=> ");
	assert_int_equal(br_console_write(f->consoles, f->board.id, 0, "version\n\xff", 9, 1000, &err), 0);
	expect_bytes(master, "version\n\xff");
	assert_int_equal(br_console_break(f->consoles, f->board.id, 0, &err), 0);
	assert_int_equal(br_console_write(f->consoles, f->board.id, 0, "h", 1, 1000, &err), 0);
	expect_bytes(master, "h");
	/* the adapter is pulled */
	close(slave);
	close(master);
	wait_state(f, BR_CONSOLE_AWAY, &st);
	assert_non_null(strstr(st.reason, name));
	assert_int_equal(br_console_write(f->consoles, f->board.id, 0, "x", 1, 1000, &err), -ENOTCONN);
	assert_non_null(strstr(err.text, "board pi1: its console is away: "));
	expect_read(reader, true, "[bramble: /dev/pts/");
	br_console_unwatch(reader);
	pthread_mutex_lock(&f->lock);
	assert_string_equal(f->lines.buf, "1:U-Boot 2024.01|1:=> |");
	pthread_mutex_unlock(&f->lock);
}

static void a_tty_is_had_by_one_program(void **state)
{
	struct fixture *f = *state;
	struct br_console_status st;
	char name[64];
	int master, slave;

	assert_return_code(openpty(&master, &slave, name, NULL, NULL), errno);
	/* as picocom does */
	assert_return_code(flock(slave, LOCK_EX | LOCK_NB), errno);
	set_console(f, "tty:%s", name);
	wait_state(f, BR_CONSOLE_AWAY, &st);
	assert_non_null(strstr(st.reason, "another program has it open"));
	close(slave);
	close(master);
}

/* A virtual board whose socket comes, goes and comes again. */
static void a_socket_is_connected_again(void **state)
{
	struct fixture *f = *state;
	struct br_console_status st;
	struct br_error err = BR_ERROR_NULL;
	struct br_console_reader *reader = NULL;
	int server, fd;

	set_console(f, "unix:%s", f->path);
	wait_state(f, BR_CONSOLE_AWAY, &st);
	assert_non_null(strstr(st.reason, "does the virtual board run?"));
	assert_int_equal(br_console_watch(f->consoles, f->board.id, 0, &reader, &err), 0);
	server = listen_unix(f->path);
	/* it is this process that listens: the daemon must not talk to itself */
	fd = accept(server, NULL, NULL);
	wait_state(f, BR_CONSOLE_AWAY, &st);
	expect_read(reader, true, "is bramble's own socket");
	close(fd);
	close(server);
	/* another console: who watches is told that this one is over */
	set_console(f, "%s", "");
	for (int n = 0; n >= 0;) {
		char buf[512];
		uint64_t lost;

		n = br_console_read(reader, buf, sizeof(buf), 100, true, &lost);
	}
	br_console_unwatch(reader);
	wait_state(f, BR_CONSOLE_NONE, &st);
	assert_int_equal(br_console_watch(f->consoles, f->board.id, 0, &reader, &err), -ENODEV);
	assert_non_null(strstr(err.text, "board pi1 has no console; 'bramble board edit pi1 --console URI' sets one"));
}

static int listen_tcp(uint16_t *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(*ret_port) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_return_code(bind(fd, (struct sockaddr *)&a, n), errno);
	assert_return_code(listen(fd, 128), errno); /* for a test that accepts none */
	assert_return_code(getsockname(fd, (struct sockaddr *)&a, &n), errno);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

/* RFC 2217 from the first offer to a BREAK, and again after the server was restarted. */
static void a_terminal_server_is_set_and_found_again(void **state)
{
	struct fixture *f = *state;
	struct br_error err = BR_ERROR_NULL;
	struct br_console_status st;
	uint16_t port = 0;
	int server = listen_tcp(&port), fd;
	char buf[100];

	set_console(f, "rfc2217://127.0.0.1:%u?speed=9600", port);
	for (int i = 0; i < 2; i++) {
		fd = accept(server, NULL, NULL);
		read_exactly(fd, buf, 15);
		assert_memory_equal(buf + 12, "\xff\xfb\x2c", 3);
		assert_int_equal(br_write_all(fd, "\xff\xfd\x2c\xff\xfd\x00\xff\xfb\x00", 9), 0);
		read_exactly(fd, buf, 38);
		assert_memory_equal(buf, "\xff\xfa\x2c\x01\x00\x00\x25\x80\xff\xf0", 10);
		wait_state(f, BR_CONSOLE_UP, &st);
		assert_int_equal(br_console_write(f->consoles, f->board.id, 0, "a\xff\r", 3, 1000, &err), 0);
		assert_int_equal(br_console_break(f->consoles, f->board.id, 0, &err), 0);
		read_exactly(fd, buf, 4 + 14);
		assert_memory_equal(buf, "a\xff\xff\r\xff\xfa\x2c\x05\x05\xff\xf0\xff\xfa\x2c\x05\x06\xff\xf0", 18);
		close(fd);
	}
	wait_state(f, BR_CONSOLE_AWAY, &st);
	assert_non_null(strstr(st.reason, "closed the connection"));
	close(server);
}

/* One that only asks is not answered without end. */
static void a_server_that_only_negotiates_is_left(void **state)
{
	struct fixture *f = *state;
	struct br_console_status st = { 0 };
	uint64_t until = br_now_ns() + PATIENCE_NS;
	uint16_t port = 0;
	int server = listen_tcp(&port), fd;
	char buf[3000];

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = "\xff\xfd\x18"[i % 3];
	set_console(f, "telnet://127.0.0.1:%u", port);
	fd = accept(server, NULL, NULL);
	while (!strstr(st.reason, "negotiates without end") && br_now_ns() < until) {
		(void)send(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL);
		br_console_status(f->consoles, f->board.id, &st);
	}
	assert_non_null(strstr(st.reason, "negotiates without end"));
	close(fd);
	close(server);
}

static void slow_readers_lose_and_know_it(void **state)
{
	struct fixture *f = *state;
	struct br_console_reader *slow = NULL, *quick = NULL;
	struct br_console_status st;
	struct br_error err = BR_ERROR_NULL;
	uint64_t lost = 0, got = 0, n_lost = 0;
	uint16_t port = 0;
	int server = listen_tcp(&port), fd;
	char *big = malloc(1 << 20);
	const size_t total = 8u << 20;

	set_console(f, "tcp://127.0.0.1:%u", port);
	fd = accept(server, NULL, NULL);
	wait_state(f, BR_CONSOLE_UP, &st);
	assert_int_equal(br_console_watch(f->consoles, f->board.id, 0, &slow, &err), 0);
	assert_int_equal(br_console_watch(f->consoles, f->board.id, 0, &quick, &err), 0);
	memset(big, 'x', 1 << 20);
	for (size_t sent = 0; sent < total; sent += 64 << 10) {
		assert_int_equal(br_write_all(fd, big, 64 << 10), 0);
		/* the quick one keeps up: nothing is lost for it */
		for (size_t have = 0; have < 64 << 10;) {
			int n = br_console_read(quick, big + (512 << 10), 512 << 10, 1000, false, &lost);

			assert_true(n > 0);
			assert_int_equal(lost, 0);
			have += (size_t)n;
		}
	}
	do {
		int n = br_console_read(slow, big, 1 << 20, 0, false, &lost);

		assert_true(n >= 0);
		got += (uint64_t)n;
		n_lost += lost;
	} while (got + n_lost < total);
	assert_int_equal(got, BR_CONSOLE_RING);
	assert_int_equal(n_lost, total - BR_CONSOLE_RING);
	br_console_status(f->consoles, f->board.id, &st);
	assert_int_equal(st.in, total);
	assert_int_equal(st.watchers, 2);
	br_console_unwatch(slow);
	br_console_unwatch(quick);
	close(fd);
	close(server);
	free(big);
}

/* A line that takes nothing: what is written waits up to its limit, then it is said. */
static void a_full_line_is_said(void **state)
{
	struct fixture *f = *state;
	struct br_console_status st;
	struct br_error err = BR_ERROR_NULL;
	uint16_t port = 0;
	int server = listen_tcp(&port), fd, r = 0, n = 0;
	char *big = calloc(1, BR_CONSOLE_WRITE_MAX + 1);

	set_console(f, "tcp://127.0.0.1:%u", port);
	fd = accept(server, NULL, NULL);
	wait_state(f, BR_CONSOLE_UP, &st);
	while (r >= 0 && n++ < 10000)
		r = br_console_write(f->consoles, f->board.id, 0, big, BR_CONSOLE_WRITE_MAX, 200, &err);
	assert_int_equal(r, -ETIMEDOUT);
	assert_non_null(strstr(err.text, "its console does not take what is written"));
	assert_int_equal(br_console_write(f->consoles, f->board.id, 0, big, BR_CONSOLE_WRITE_MAX + 1, 0, &err), -EFBIG);
	close(fd);
	close(server);
	free(big);
}

static void netconsole_is_heard_and_typed_at(void **state)
{
	struct fixture *f = *state;
	struct br_console_reader *reader = NULL;
	struct br_console_status st;
	struct br_error err = BR_ERROR_NULL;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_return_code(bind(fd, (struct sockaddr *)&a, n), errno);
	assert_return_code(getsockname(fd, (struct sockaddr *)&a, &n), errno);
	set_console(f, "netconsole:%u", ntohs(a.sin_port));
	wait_state(f, BR_CONSOLE_AWAY, &st);
	br_console_heard(f->consoles, f->board.id, INADDR_LOOPBACK, "=> ", 3);
	wait_state(f, BR_CONSOLE_UP, &st);
	assert_int_equal(br_console_watch(f->consoles, f->board.id, UINT64_MAX, &reader, &err), 0);
	expect_read(reader, false, "=> ");
	assert_int_equal(br_console_write(f->consoles, f->board.id, 0, "version\n", 8, 1000, &err), 0);
	expect_bytes(fd, "version\n");
	assert_int_equal(br_console_break(f->consoles, f->board.id, 0, &err), -EOPNOTSUPP);
	br_console_unwatch(reader);
	close(fd);
}

static void a_writer_that_ends_frees_the_console(void **state)
{
	struct fixture *f = *state;
	struct br_console_reader *reader = NULL;
	struct br_console_status st;
	struct br_error err = BR_ERROR_NULL;
	uint64_t alice = 0, bob = 0;
	uint16_t port = 0;
	int server = listen_tcp(&port), fd;

	set_console(f, "tcp://127.0.0.1:%u", port);
	fd = accept(server, NULL, NULL);
	wait_state(f, BR_CONSOLE_UP, &st);
	assert_int_equal(br_console_claim(f->consoles, f->board.id, "alice", false, &alice, &err), 0);
	assert_int_equal(br_console_watch(f->consoles, f->board.id, 0, &reader, &err), 0);
	assert_int_equal(br_console_bind(reader, alice, &err), 0);
	assert_int_equal(br_console_claim(f->consoles, f->board.id, "bob", false, &bob, &err), -EBUSY);
	assert_int_equal(br_console_write(f->consoles, f->board.id, 0, "x", 1, 0, &err), -EBUSY);
	assert_int_equal(br_console_write(f->consoles, f->board.id, alice, "y", 1, 1000, &err), 0);
	expect_bytes(fd, "y");
	br_console_status(f->consoles, f->board.id, &st);
	assert_string_equal(st.writer, "alice");
	br_console_unwatch(reader);
	br_console_status(f->consoles, f->board.id, &st);
	assert_string_equal(st.writer, "");
	assert_int_equal(br_console_claim(f->consoles, f->board.id, "bob", false, &bob, &err), 0);
	assert_int_equal(br_console_release(f->consoles, f->board.id, alice), 0);
	assert_int_equal(br_console_release(f->consoles, f->board.id, bob), 1);
	close(fd);
	close(server);
}

/* Somebody who comes, looks, writes and goes, again and again, whatever becomes of the console meanwhile. */
static void *come_and_go(void *arg)
{
	struct fixture *f = arg;
	char buf[4096];

	for (int i = 0; i < 150; i++) {
		struct br_console_reader *reader = NULL;
		struct br_console_status st;
		uint64_t id = 0, lost;

		(void)br_console_claim(f->consoles, f->board.id, "somebody", i % 3 == 0, &id, NULL);
		if (br_console_watch(f->consoles, f->board.id, UINT64_MAX, &reader, NULL) >= 0) {
			(void)br_console_bind(reader, id, NULL);
			(void)br_console_read(reader, buf, sizeof(buf), 1, i % 2, &lost);
			(void)br_console_write(f->consoles, f->board.id, id, buf, sizeof(buf), 1, NULL);
			(void)br_console_break(f->consoles, f->board.id, id, NULL);
			(void)br_console_read(reader, buf, sizeof(buf), 1, true, &lost);
		}
		br_console_unwatch(reader);
		br_console_release(f->consoles, f->board.id, id);
		br_console_status(f->consoles, f->board.id, &st);
	}
	return NULL;
}

static void consoles_change_under_their_watchers(void **state)
{
	struct fixture *f = *state;
	struct br_console_status st;
	struct br_error err = BR_ERROR_NULL;
	uint16_t ports[2] = { 0 };
	int servers[2] = { listen_tcp(&ports[0]), listen_tcp(&ports[1]) };
	pthread_t threads[4];

	set_console(f, "tcp://127.0.0.1:%u", ports[0]);
	for (size_t i = 0; i < BR_ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, f), 0);
	for (unsigned i = 0; i < 40; i++) {
		struct br_board board = f->board; /* the threads read its number */

		snprintf(board.console, sizeof(board.console), "%s127.0.0.1:%u", i % 2 ? "tcp://" : "rfc2217://", ports[i % 2]);
		if (i % 5 == 4)
			board.console[0] = 0;
		assert_int_equal(br_board_save(f->fleet, &board, &err), 0);
		br_event_emit(f->fleet, board.id, 0, BR_EV_BOARD_EDITED, NULL);
		br_console_heard(f->consoles, board.id, 1, "x", 1);
		poll(NULL, 0, 10);
	}
	for (size_t i = 0; i < BR_ARRAY_SIZE(threads); i++)
		pthread_join(threads[i], NULL);
	set_console(f, "tcp://127.0.0.1:%u", ports[1]);
	wait_state(f, BR_CONSOLE_UP, &st);
	assert_string_equal(st.writer, "");
	assert_int_equal(st.watchers, 0);
	close(servers[0]);
	close(servers[1]);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_tty_is_read_and_written),
		TEST(a_tty_is_had_by_one_program),
		TEST(a_socket_is_connected_again),
		TEST(a_terminal_server_is_set_and_found_again),
		TEST(a_server_that_only_negotiates_is_left),
		TEST(slow_readers_lose_and_know_it),
		TEST(a_full_line_is_said),
		TEST(netconsole_is_heard_and_typed_at),
		TEST(a_writer_that_ends_frees_the_console),
		TEST(consoles_change_under_their_watchers),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

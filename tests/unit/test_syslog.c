/* SPDX-License-Identifier: Apache-2.0 */
/* What boards send, decoded: syslog of either kind and its framing, netconsole of kernel, U-Boot and bootloader. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "syslog/frames.h"
#include "syslog/message.h"
#include "syslog/netconsole.h"
#include "syslog/receiver.h"
#include "syslog/senders.h"

/* 10.0.0.1 to 10.0.0.9 are boards. */
static int whose_of_ten(void *ctx, uint32_t ip, int64_t *ret)
{
	unsigned *asked = ctx;

	++*asked;
	if (ip <= 0x0a000000 || ip > 0x0a000009)
		return -ENOENT;
	*ret = ip - 0x0a000000;
	return 0;
}

/* Made-up addresses push each other out only, and a board is looked up anew when its time has come. */
static void boards_outlive_a_flood_of_strangers(void **state)
{
	unsigned asked = 0, before;
	struct br_senders *s = br_senders_new(whose_of_ten, &asked);
	const struct br_sender *from;
	uint64_t now = 1000 * BR_S;

	assert_non_null(s);
	for (uint32_t ip = 0x0a000001; ip <= 0x0a000009; ip++)
		assert_int_equal(br_senders_find(s, ip, now)->board_id, ip - 0x0a000000);
	for (uint32_t i = 0; i < 3 * BR_SENDERS_MAX; i++) {
		from = br_senders_find(s, 0xc0000000 + i, now);
		assert_non_null(from);
		assert_int_equal(from->board_id, 0);
	}
	before = asked;
	assert_in_range(before, 200, 209);
	for (uint32_t ip = 0x0a000001; ip <= 0x0a000009; ip++)
		assert_int_equal(br_senders_find(s, ip, now)->board_id, ip - 0x0a000000);
	assert_int_equal(asked, before);
	for (uint32_t i = 0; i < 300; i++)
		assert_non_null(br_senders_find(s, 0xd0000000 + i, now + 11 * BR_S));
	before = asked;
	assert_int_equal(br_senders_find(s, 0x0a000005, now + 11 * BR_S)->board_id, 5);
	assert_int_equal(asked, before + 1);
	br_senders_free(s);
}

static void messages_are_decoded(void **state)
{
	static const struct {
		const char *bytes;
		unsigned severity;
		const char *tag, *text;
	} cases[] = {
		/* RFC 5424 6.5 */
		{ "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \xef\xbb\xbf'su root' failed for lonvick on /dev/pts/8",
			2, "su", "'su root' failed for lonvick on /dev/pts/8" },
		{ "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.", 5,
			"myproc[8710]", "%% It's time to make the do-nuts." },
		{ "<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [exampleSDID@32473 iut=\"3\" eventID=\"10]1\\\"1\"] An event", 5,
			"evntslog", "[exampleSDID@32473 iut=\"3\" eventID=\"10]1\\\"1\"] An event" },
		{ "<13>1 2026-11-21T22:14:15.003Z pi root - - [timeQuality tzKnown=\"1\" isSynced=\"1\"] hello", 5, "root", "hello" },
		{ "<165>1 2003-10-11T22:14:15.003Z h e - ID47 [a@1 b=\"c\"]", 5, "e", "[a@1 b=\"c\"]" },
		/* RFC 3164 and what people make of it */
		{ "<34>Oct 11 22:14:15 mymachine su: 'su root' failed", 2, "su", "'su root' failed" },
		{ "<30>Nov  1 02:03:04 pi sshd[123]: Accepted key", 6, "sshd[123]", "Accepted key" },
		{ "<30>Nov  1 02:03:04 sshd[123]: no host", 6, "sshd[123]", "no host" },
		{ "<30>2026-11-21T10:00:38.123456+01:00 pi cron[9]: rsyslog's form", 6, "cron[9]", "rsyslog's form" },
		{ "<4>kernel: no time", 4, "kernel", "no time" },
		{ "<14>just words here", 6, "", "just words here" },
		{ "no priority", 5, "", "no priority" },
		{ "<192>too large", 5, "", "<192>too large" },
		{ "<>x", 5, "", "<>x" },
		{ "", 5, "", "" },
		{ "<13>1 ", 5, "", "1 " },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_syslog_message m;

		br_syslog_decode(cases[i].bytes, strlen(cases[i].bytes), &m);
		assert_int_equal(m.severity, cases[i].severity);
		if (m.n_tag != strlen(cases[i].tag) || memcmp(m.tag, cases[i].tag, m.n_tag) != 0 ||
			m.n_text != strlen(cases[i].text) || memcmp(m.text, cases[i].text, m.n_text) != 0)
			fail_msg("'%s': tag '%.*s' text '%.*s'", cases[i].bytes, (int)m.n_tag, m.tag, (int)m.n_text, m.text);
	}
}

static void add_frame(void *ctx, const char *data, size_t n, bool cut)
{
	br_text_add(ctx, cut ? "~" : "|");
	br_text_add_bytes(ctx, data, n);
}

static void frames_come_in_any_pieces(void **state)
{
	static const struct {
		bool counted;
		const char *bytes, *frames;
	} cases[] = {
		{ true, "5 <1>ab6 <1>abc", "|<1>ab|<1>abc" },
		{ true, "<1>ab\n<1>c\n", "|<1>ab|<1>c" },
		{ true, "6 <1>a\nb<2>c\n4 <1>d", "|<1>a\nb|<2>c|<1>d" },
		{ true, "12 monkeys\n1 <", "|12 monkeys|<" },
		{ true, "\n\nunended", "|unended" },
		{ false, "5 <1>ab\nx\n", "|5 <1>ab|x" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		size_t n = strlen(cases[i].bytes);

		for (size_t piece = 1; piece <= n; piece++) {
			struct br_frames *f = calloc(1, sizeof(*f));
			struct br_text t = BR_TEXT_NULL;

			assert_non_null(f);
			f->counted = cases[i].counted;
			for (size_t at = 0; at < n; at += piece)
				br_frames_feed(f, cases[i].bytes + at, n - at < piece ? n - at : piece, add_frame, &t);
			br_frames_end(f, add_frame, &t);
			assert_string_equal(t.buf, cases[i].frames);
			br_text_done(&t);
			free(f);
		}
	}
}

static void a_long_frame_is_cut(void **state)
{
	struct br_frames *f = calloc(1, sizeof(*f));
	struct br_text t = BR_TEXT_NULL;
	char piece[1000];

	assert_non_null(f);
	memset(piece, 'x', sizeof(piece));
	f->counted = true;
	for (int i = 0; i < 20; i++)
		br_frames_feed(f, piece, sizeof(piece), add_frame, &t);
	br_frames_feed(f, "\n30000 <", 8, add_frame, &t);
	for (int i = 0; i < 30; i++)
		br_frames_feed(f, piece, sizeof(piece) - (i == 29), add_frame, &t);
	br_frames_feed(f, "next\n", 5, add_frame, &t);
	assert_int_equal(t.len, 2 * (BR_FRAME_MAX + 1) + 5);
	assert_int_equal(t.buf[0], '~');
	assert_memory_equal(t.buf + t.len - 5, "|next", 5);
	br_text_done(&t);
	free(f);
}

static void add_line(void *ctx, enum br_logs_source source, unsigned severity, const char *text, size_t n)
{
	br_text_addf(ctx, "%s%u:", br_logs_source_word(source), severity);
	br_text_add_bytes(ctx, text, n);
	br_text_add(ctx, "|");
}

static void netconsole_is_told_apart(void **state)
{
	static const struct {
		uint16_t port;
		const char *datagrams[4], *lines;
	} cases[] = {
		{ 6665, { "6,416,1758426,-;usb 1-1: new\n SUBSYSTEM=usb\n" }, "kernel6:usb 1-1: new|" },
		{ 6665, { "6.12.47+rpt,3,7,99,-,caller=T1;bad\n" }, "kernel3:bad|" },
		{ 6665, { "4,9,5,-,ncfrag=0/9;abcd", "4,9,5,-,ncfrag=4/9;efghi" }, "kernel4:abcdefghi|" },
		{ 6665, { "4,9,5,-,ncfrag=0/9;abcd", "6,10,6,-;other\n" }, "kernel4:abcd|kernel6:other|" },
		{ 6665, { "[    1.758426] usb\n[    1.758427] two", " halves\n" }, "kernel8:[    1.758426] usb|kernel8:[    1.758427] two halves|" },
		{ 6666, { "U-Boot 2025.01\nHit any key", ": 3\n=> " }, "uboot8:U-Boot 2025.01|uboot8:Hit any key: 3|uboot8:=> |" },
		{ 6665, { "Boot mode: NETWORK (02) order 1\r\n", "no words known\r\n" }, "bootloader8:Boot mode: NETWORK (02) order 1|bootloader8:no words known|" },
		{ 6665, { "6,1,2,-,ncfrag=5/3;x\n" }, "bootloader8:6,1,2,-,ncfrag=5/3;x|" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_netconsole *nc = calloc(1, sizeof(*nc));
		struct br_text t = BR_TEXT_NULL;

		assert_non_null(nc);
		for (size_t k = 0; k < 4 && cases[i].datagrams[k]; k++)
			br_netconsole_take(nc, cases[i].port, cases[i].datagrams[k], strlen(cases[i].datagrams[k]), BR_S, add_line, &t);
		assert_true(br_netconsole_tick(nc, 3 * BR_S, add_line, &t));
		assert_string_equal(t.buf, cases[i].lines);
		br_text_done(&t);
		free(nc);
	}
}

/* ---- the receiver, on loopback ---- */

struct heard {
	atomic_uint n, n_streams, n_console;
	char last[64];
};

static int whose(void *ctx, uint32_t ip, int64_t *ret)
{
	*ret = 5;
	return 0;
}

static void on_line(void *ctx, const struct br_logs_line *line)
{
	struct heard *h = ctx;

	assert_int_equal(line->board_id, 5);
	if (line->source == BR_LOGS_STREAM)
		assert_int_equal(line->n_stream, 3);
	atomic_fetch_add(&h->n_streams, line->source == BR_LOGS_STREAM);
	atomic_fetch_add(&h->n, 1);
}

static void on_loss(void *ctx, uint64_t n)
{
}

static void on_heard(void *ctx, int64_t board_id, uint32_t ip, const void *data, size_t n)
{
	atomic_fetch_add(&((struct heard *)ctx)->n_console, (unsigned)n);
}

static void send_to(int type, uint16_t port, const char *text)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, type, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	close(fd);
}

static uint16_t free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	close(fd);
	return ntohs(a.sin_port);
}

static void the_receiver_hears_all_roads(void **state)
{
	static const struct br_receiver_ops ops = { .whose = whose, .line = on_line, .lost = on_loss, .heard = on_heard };
	struct heard h = { 0 };
	struct br_receiver_options opt = {
		.ip = INADDR_LOOPBACK,
		.syslog_port = free_port(),
		.netconsole_port = free_port(),
		.stream_port = free_port(),
		.ops = &ops,
		.ctx = &h,
	};
	struct br_receiver *rx = NULL, *second = NULL;
	struct br_error err = BR_ERROR_NULL;
	char *taken = NULL;

	assert_int_equal(br_receiver_open(&opt, &rx, &taken, &err), 0);
	assert_null(taken);
	assert_int_equal(br_receiver_start(rx, &err), 0);
	send_to(SOCK_DGRAM, opt.syslog_port, "<13>x: one");
	send_to(SOCK_STREAM, opt.syslog_port, "9 <13>x: ab<13>x: c\n");
	send_to(SOCK_DGRAM, opt.netconsole_port, "6,1,2,-;kernel\n");
	send_to(SOCK_STREAM, opt.stream_port, "bramble-log 1 exp\nl1\nl2\nl3");
	for (int i = 0; i < 500 && atomic_load(&h.n) < 7; i++)
		poll(NULL, 0, 10);
	assert_int_equal(atomic_load(&h.n), 7);
	assert_int_equal(atomic_load(&h.n_streams), 3);
	assert_int_equal(atomic_load(&h.n_console), 15);
	/* a second one finds the ports taken, and says so */
	assert_int_equal(br_receiver_open(&opt, &second, &taken, &err), 0);
	assert_non_null(taken);
	assert_non_null(strstr(taken, "is taken by another program"));
	free(taken);
	br_receiver_stop(second);
	br_receiver_stop(rx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_decoded),
		cmocka_unit_test(boards_outlive_a_flood_of_strangers),
		cmocka_unit_test(frames_come_in_any_pieces),
		cmocka_unit_test(a_long_frame_is_cut),
		cmocka_unit_test(netconsole_is_told_apart),
		cmocka_unit_test(the_receiver_hears_all_roads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What consoles are made of: URIs, Telnet with RFC 2217, the ring, lines, claims. */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "console/claim.h"
#include "console/console.h"
#include "console/lines.h"
#include "console/ring.h"
#include "console/telnet.h"
#include "console/uri.h"

static void uris_are_read(void **state)
{
	static const struct {
		const char *text;
		enum br_console_kind kind;
		const char *where;
		unsigned port, speed;
	} good[] = {
		{ "tty:/dev/ttyUSB0", BR_CONSOLE_TTY, "/dev/ttyUSB0", 0, 115200 },
		{ "tty:/dev/serial/by-id/usb-FTDI_x-if00?speed=921600", BR_CONSOLE_TTY, "/dev/serial/by-id/usb-FTDI_x-if00", 0, 921600 },
		{ "rfc2217://ts1.lab:4001", BR_CONSOLE_RFC2217, "ts1.lab", 4001, 115200 },
		{ "rfc2217://ts1?speed=9600", BR_CONSOLE_RFC2217, "ts1", 2217, 9600 },
		{ "rfc2217://[fe80::1%eth0]:4001/", BR_CONSOLE_RFC2217, "fe80::1%eth0", 4001, 115200 },
		{ "telnet://10.0.0.9", BR_CONSOLE_TELNET, "10.0.0.9", 23, 115200 },
		{ "tcp://10.0.0.9:4001", BR_CONSOLE_TCP, "10.0.0.9", 4001, 115200 },
		{ "unix:/run/qemu/pi1.sock", BR_CONSOLE_UNIX, "/run/qemu/pi1.sock", 0, 115200 },
		{ "netconsole:", BR_CONSOLE_NETCONSOLE, "", 6666, 115200 },
		{ "netconsole:6665", BR_CONSOLE_NETCONSOLE, "", 6665, 115200 },
	};
	static const char *const bad[] = { "ttyUSB0", "tty:", "tty:/etc/passwd", "tty:/dev/../etc/passwd", "tty:/dev/ttyS0?speed=0",
		"tty:/dev/ttyS0?parity=e", "tcp://host", "tcp://host:0", "tcp://host:65536", "tcp://:1", "tcp://-oX:1", "tcp://a:1?speed=9600",
		"rfc2217://[::1", "rfc2217://a/b", "unix:relative", "netconsole:x", "ftp://a", "",
		"unix:/123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678" };

	for (size_t i = 0; i < BR_ARRAY_SIZE(good); i++) {
		struct br_console_uri u;
		struct br_error err = BR_ERROR_NULL;

		if (br_console_uri_parse(good[i].text, &u, &err) < 0)
			fail_msg("%s: %s", good[i].text, err.text);
		assert_int_equal(u.kind, good[i].kind);
		assert_string_equal(u.path[0] ? u.path : u.host, good[i].where);
		assert_int_equal(u.port, good[i].port);
		assert_int_equal(u.speed, good[i].speed);
	}
	for (size_t i = 0; i < BR_ARRAY_SIZE(bad); i++) {
		struct br_console_uri u;
		struct br_error err = BR_ERROR_NULL;

		if (br_console_uri_parse(bad[i], &u, &err) != -EINVAL)
			fail_msg("%s was taken", bad[i]);
		assert_non_null(strstr(err.text, "console '"));
	}
	assert_false(br_console_uri_ok("tty:/dev/ttyS0?speed=115201", NULL));
	assert_true(br_console_uri_ok("", NULL));
}

/* ---- Telnet ---- */

struct wire {
	struct br_telnet t;
	uint8_t data[4096], out[4096 + BR_TELNET_EXTRA];
	struct br_writer d, o;
};

static void begin(struct wire *w, bool comport)
{
	w->d = br_writer_of(w->data, sizeof(w->data));
	w->o = br_writer_of(w->out, sizeof(w->out));
	br_telnet_start(&w->t, comport, 115200, &w->o);
}

/* One byte at a time: a packet may end anywhere. */
static void take(struct wire *w, const char *bytes, size_t n)
{
	w->d.len = w->o.len = 0;
	for (size_t i = 0; i < n; i++)
		br_telnet_take(&w->t, bytes + i, 1, &w->d, &w->o);
	assert_false(w->d.failed || w->o.failed);
}
#define TAKE(w, text) take(w, text, sizeof(text) - 1)
#define DATA(w, text)                                              \
	assert_int_equal((w)->d.len, sizeof(text) - 1); \
	assert_memory_equal((w)->data, text, sizeof(text) - 1)
#define OUT(w, text)                                               \
	assert_int_equal((w)->o.len, sizeof(text) - 1); \
	assert_memory_equal((w)->out, text, sizeof(text) - 1)

static void telnet_offers_and_sets_the_line(void **state)
{
	struct wire w;

	begin(&w, true);
	OUT(&w, "\xff\xfb\x00\xff\xfd\x00\xff\xfb\x03\xff\xfd\x03\xff\xfb\x2c");
	/* the server agrees: the line is set, once; 115200 is 0x0001c200 */
	TAKE(&w, "\xff\xfd\x2c");
	OUT(&w, "\xff\xfa\x2c\x01\x00\x01\xc2\x00\xff\xf0"
		"\xff\xfa\x2c\x02\x08\xff\xf0"
		"\xff\xfa\x2c\x03\x01\xff\xf0"
		"\xff\xfa\x2c\x04\x01\xff\xf0"
		"\xff\xfa\x2c\x05\x01\xff\xf0");
	assert_true(w.t.comport_on);
	TAKE(&w, "\xff\xfd\x2c");
	OUT(&w, "");
	/* its WILL has one DO */
	TAKE(&w, "\xff\xfb\x2c\xff\xfb\x2c\xff\xfb\x2c");
	OUT(&w, "\xff\xfd\x2c");
	TAKE(&w, "\xff\xfa\x2c\x65\x00\x00\x25\x80\xff\xf0login: ");
	DATA(&w, "login: ");
	assert_int_equal(w.t.real_speed, 9600);
	TAKE(&w, "\xff\xfa\x2c\x6c\xff\xf0");
	assert_true(w.t.suspended);
	TAKE(&w, "\xff\xfa\x2c\x6d\xff\xf0");
	assert_false(w.t.suspended);
	w.o.len = 0;
	br_telnet_break(&w.t, true, &w.o);
	br_telnet_break(&w.t, false, &w.o);
	OUT(&w, "\xff\xfa\x2c\x05\x05\xff\xf0\xff\xfa\x2c\x05\x06\xff\xf0");
}

/* A speed with a byte of 255 in it is doubled (RFC 2217, section 2). */
static void telnet_doubles_its_own_bytes(void **state)
{
	struct wire w;

	begin(&w, true);
	w.t.speed = 0x0000ff00;
	TAKE(&w, "\xff\xfd\x2c");
	assert_memory_equal(w.out, "\xff\xfa\x2c\x01\x00\x00\xff\xff\x00\xff\xf0", 11);
	w.o.len = 0;
	br_telnet_put(&w.t, "a\xff\rb\r\n\r", 7, &w.o);
	OUT(&w, "a\xff\xff\r\x00"
		"b\r\n\r\x00");
	TAKE(&w, "\xff\xfd\x00\xff\xfb\x00"); /* both are binary now */
	OUT(&w, "");
	w.o.len = 0;
	br_telnet_put(&w.t, "a\rb\xff", 4, &w.o);
	OUT(&w, "a\rb\xff\xff");
	TAKE(&w, "x\xff\xffy\r\x00z");
	DATA(&w, "x\xffy\r\x00z");
}

static void telnet_of_other_servers(void **state)
{
	struct wire w;

	/* one that knows no RFC 2217, and asks for what we have not (TERMINAL-TYPE 24, NAWS 31, LINEMODE 34) */
	begin(&w, true);
	TAKE(&w, "\xff\xfe\x2c\xff\xfd\x18\xff\xfd\x1f\xff\xfb\x22\xff\xfb\x01\xff\xfb\x03\xff\xfd\x03hi\r\x00there\r\n");
	DATA(&w, "hi\rthere\r\n");
	OUT(&w, "\xff\xfc\x2c\xff\xfc\x18\xff\xfc\x1f\xff\xfe\x22\xff\xfd\x01");
	assert_false(w.t.comport_on);
	w.o.len = 0;
	br_telnet_break(&w.t, true, &w.o);
	br_telnet_break(&w.t, false, &w.o);
	OUT(&w, "\xff\xf3");
	/* plain Telnet does not let itself be talked into it; our answers are never answered for ever */
	begin(&w, false);
	TAKE(&w, "\xff\xfd\x2c\xff\xfe\x2c\xff\xfd\x2c");
	OUT(&w, "\xff\xfc\x2c\xff\xfc\x2c");
	TAKE(&w, "\xff\xfe\x00\xff\xfe\x00\xff\xfe\x00");
	OUT(&w, "\xff\xfc\x00");
}

static void telnet_of_garbage(void **state)
{
	struct wire w;

	begin(&w, true);
	/* commands of two bytes, a subnegotiation without end, one that is too long, one cut off by an option */
	TAKE(&w, "a\xff\xf1\xff\xf9"
		 "b\xff\xfa\x2c\x65"
		 "0123456789012345678901234567890123456789\xff\xff\xff\xf0"
		 "c\xff\xfa\x2c\xff\xfd\x18"
		 "d\xff\xfa\xff\xf0\xff\xfa\x2c\xff\xf0"
		 "e");
	DATA(&w, "abcde");
	OUT(&w, "\xff\xfc\x18");
	assert_int_equal(w.t.real_speed, 0);
}

/* ---- ring, lines, claims ---- */

static void the_ring_keeps_the_newest(void **state)
{
	struct br_ring ring;
	uint64_t at = 0, lost = 0;
	char buf[64];

	br_ring_init(&ring, 10);
	assert_int_equal(br_ring_get(&ring, &at, buf, sizeof(buf), &lost), 0);
	assert_int_equal(br_ring_put(&ring, "0123456", 7), 0);
	assert_int_equal(br_ring_get(&ring, &at, buf, 3, &lost), 3);
	assert_memory_equal(buf, "012", 3);
	assert_int_equal(br_ring_put(&ring, "789abc", 6), 0);
	assert_int_equal(br_ring_get(&ring, &at, buf, sizeof(buf), &lost), 10);
	assert_memory_equal(buf, "3456789abc", 10);
	assert_int_equal(lost, 0);
	assert_int_equal(br_ring_put(&ring, "ABCDEFGHIJKLMNOPQRSTUVWXYZ", 26), 0);
	assert_int_equal(br_ring_get(&ring, &at, buf, sizeof(buf), &lost), 10);
	assert_memory_equal(buf, "QRSTUVWXYZ", 10);
	assert_int_equal(lost, 16);
	assert_int_equal(at, ring.end);
	br_ring_done(&ring);
}

static void add_line(void *ctx, const char *line, size_t n)
{
	br_text_addf(ctx, "[%.*s]", n > 20 ? 20 : (int)n, line);
}

static void lines_come_whole(void **state)
{
	struct br_text t = BR_TEXT_NULL;
	struct br_lines *lines = calloc(1, sizeof(*lines));
	char *big = malloc(3000);

	br_lines_take(lines, "one\r\ntw", 7, add_line, &t);
	br_lines_take(lines, "o\n\rthree\r\r\n\n10%\r20%\rlogin: ", 28, add_line, &t);
	assert_string_equal(t.buf, "[one][two][three][10%][20%]");
	br_lines_flush(lines, add_line, &t);
	br_lines_flush(lines, add_line, &t);
	assert_string_equal(t.buf, "[one][two][three][10%][20%][login: ]");
	t.len = 0;
	memset(big, 'x', 3000);
	br_lines_take(lines, big, 3000, add_line, &t);
	br_lines_take(lines, "\n", 1, add_line, &t);
	assert_string_equal(t.buf, "[xxxxxxxxxxxxxxxxxxxx][xxxxxxxxxxxxxxxxxxxx][xxxxxxxxxxxxxxxxxxxx]");
	br_text_done(&t);
	free(big);
	free(lines);
}

static void one_writes(void **state)
{
	struct br_claim c = { 0 };
	struct br_error err = BR_ERROR_NULL;
	uint64_t a = 0, b = 0, now = 1000;

	assert_int_equal(br_claim_may_write(&c, 0, now, &err), 0);
	assert_int_equal(br_claim_take(&c, "alice\x1b[2J", false, &a, 11, now, 1, &err), 0);
	assert_int_equal(a, 11);
	assert_int_equal(br_claim_take(&c, "bob", false, &b, 12, now, 1, &err), -EBUSY);
	assert_string_equal(err.text, "alice\\x1b[2J writes on this console; --steal takes it over, --watch only looks on");
	assert_int_equal(br_claim_may_write(&c, 0, now, &err), -EBUSY);
	assert_int_equal(br_claim_may_write(&c, a, now, &err), 0);
	/* it runs out without a sign of life, not while a stream is bound to it */
	assert_int_equal(br_claim_owner(&c, now + BR_CONSOLE_CLAIM_NS), 0);
	assert_int_equal(br_claim_take(&c, "", false, &a, 13, now, 1, &err), -EBUSY);
	a = 0;
	assert_int_equal(br_claim_take(&c, "alice", false, &a, 13, now, 1, &err), 0);
	assert_int_equal(br_claim_bind(&c, 99, now, &err), -EPERM);
	assert_int_equal(br_claim_bind(&c, a, now, &err), 0);
	assert_int_equal(br_claim_owner(&c, now + 100 * BR_CONSOLE_CLAIM_NS), a);
	/* taken over: the old one's end takes nothing from the new one */
	assert_int_equal(br_claim_take(&c, "bob", true, &b, 14, now, 1, &err), 0);
	assert_int_equal(br_claim_may_write(&c, a, now, &err), -EBUSY);
	br_claim_unbind(&c, a);
	assert_false(br_claim_release(&c, a));
	assert_int_equal(br_claim_bind(&c, b, now, &err), 0);
	assert_int_equal(br_claim_bind(&c, b, now, &err), 0);
	br_claim_unbind(&c, b);
	assert_int_equal(br_claim_owner(&c, now), b);
	br_claim_unbind(&c, b);
	assert_int_equal(br_claim_owner(&c, now), 0);
	/* who renews, and then does not, has vanished, whatever its stream looks like */
	a = 0;
	assert_int_equal(br_claim_take(&c, "carol", false, &a, 15, now, 1, &err), 0);
	assert_int_equal(br_claim_bind(&c, a, now, &err), 0);
	assert_int_equal(br_claim_take(&c, "carol", false, &a, 16, now + BR_S, 1, &err), 0);
	assert_int_equal(br_claim_owner(&c, now + BR_CONSOLE_CLAIM_NS), a);
	assert_int_equal(br_claim_owner(&c, now + BR_S + BR_CONSOLE_CLAIM_NS), 0);
	br_claim_unbind(&c, a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(uris_are_read),
		cmocka_unit_test(telnet_offers_and_sets_the_line),
		cmocka_unit_test(telnet_doubles_its_own_bytes),
		cmocka_unit_test(telnet_of_other_servers),
		cmocka_unit_test(telnet_of_garbage),
		cmocka_unit_test(the_ring_keeps_the_newest),
		cmocka_unit_test(lines_come_whole),
		cmocka_unit_test(one_writes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

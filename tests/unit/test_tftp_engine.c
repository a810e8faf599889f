/* SPDX-License-Identifier: Apache-2.0 */
/* The engine on a fake clock and a fake wire: conversations as data. */
#include "tests/unit/test.h"

#include "base/clock.h"
#include "tests/unit/tftp_files.h"
#include "tftp/transfer.h"

struct bench {
	struct br_tftp *tftp;
	uint64_t now_ns;
	struct br_text log; /* what the engine did since the last look, in words */
	uint64_t rolls; /* how often the client saw block numbers begin anew */
	uint32_t blksize;
	uint64_t datagrams;
};

static void note(struct bench *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void note(struct bench *b, const char *fmt, ...)
{
	va_list ap;

	if (b->log.len)
		br_text_add(&b->log, "; ");
	va_start(ap, fmt);
	br_text_addv(&b->log, fmt, ap);
	va_end(ap);
}

static void note_oack(struct bench *b, const uint8_t *data, size_t len)
{
	struct br_tftp_opts opts;
	struct br_text t = BR_TEXT_NULL;

	assert_int_equal(br_tftp_decode_oack(data, len, &opts), 0);
	for (unsigned i = 0; i < opts.n; i++)
		br_text_addf(&t, " %s=%llu", opts.v[i].name, (unsigned long long)opts.v[i].value);
	note(b, "OACK%s", t.buf);
	br_text_done(&t);
}

static void on_send(void *ctx, const struct br_tftp_peer *peer, const void *head, size_t head_len,
	const struct br_span *payload, size_t n)
{
	struct bench *b = ctx;
	uint8_t buf[70000];
	size_t len = head_len;
	const uint8_t *data;
	uint16_t code;
	char text[200];

	assert_true(head_len <= BR_TFTP_HEAD_MAX);
	b->datagrams++;
	memcpy(buf, head, head_len);
	for (size_t i = 0; i < n; i++) {
		assert_true(payload[i].len > 0);
		memcpy(buf + len, payload[i].data, payload[i].len);
		len += payload[i].len;
	}
	switch (br_tftp_peek(buf, len)) {
	case BR_TFTP_DATA:
		assert_int_equal(br_tftp_decode_data(buf, len, &code, &data, &len), 0);
		note(b, "DATA %u %zu", code, len);
		assert_memory_equal(data, test_file_bytes() + (b->rolls * 65536 + code - 1) * b->blksize, len);
		break;
	case BR_TFTP_ERROR:
		assert_int_equal(br_tftp_decode_error(buf, len, &code, text, sizeof(text)), 0);
		note(b, "ERROR %u", code);
		break;
	case BR_TFTP_OACK:
		note_oack(b, buf, len);
		break;
	default:
		fail_msg("sent something strange");
	}
}

static void on_report(void *ctx, const struct br_tftp_report *rep)
{
	static const char *const names[] = {
		[BR_TFTP_SENT] = "sent",	[BR_TFTP_PROBED] = "probed", [BR_TFTP_MISSING] = "missing",
		[BR_TFTP_REFUSED] = "refused", [BR_TFTP_FAILED] = "failed",
	};
	bool gave_up = rep->reason && strstr(rep->reason, "gave up");
	struct bench *b = ctx;

	assert_non_null(rep->path);
	if (rep->outcome == BR_TFTP_MISSING && strcmp(rep->path, "nothing") == 0)
		assert_int_equal(rep->file->board_id, 7); /* a missing file too belongs to its board */
	if (rep->outcome == BR_TFTP_REFUSED || rep->outcome == BR_TFTP_FAILED)
		assert_non_null(rep->reason);
	if (rep->outcome == BR_TFTP_SENT)
		note(b, "[sent %llu]", (unsigned long long)rep->bytes);
	else
		note(b, "[%s%s%s]", names[rep->outcome], gave_up ? ": " : "", gave_up ? rep->reason : "");
}

static const struct br_tftp_ops ops = {
	.open = test_open, .release = test_release, .report = on_report, .send = on_send
};

static void bench_init(struct bench *b, unsigned max_transfers, unsigned max_blksize)
{
	const struct br_tftp_options opt = {
		.max_transfers = max_transfers, .max_blksize = max_blksize, .ops = &ops, .ctx = b
	};

	*b = (struct bench){ .now_ns = 5 * BR_S, .blksize = 512 };
	assert_int_equal(br_tftp_new(&opt, &b->tftp), 0);
}

static void bench_done(struct bench *b)
{
	br_tftp_free(b->tftp);
	br_text_done(&b->log);
	assert_int_equal(test_files_open, 0);
}

static void input(struct bench *b, uint16_t port, const void *data, size_t len)
{
	struct br_tftp_peer peer = { .ip = 0x0a4d0005, .port = port };
	uint8_t *exact = malloc(len ? len : 1); /* so that the sanitizer sees one byte too many */

	assert_non_null(exact);
	memcpy(exact, data, len);
	br_tftp_input(b->tftp, &peer, exact, len, b->now_ns);
	free(exact);
}

static void say_request(struct bench *b, uint16_t port, uint16_t opcode, const char *words)
{
	struct br_text t = BR_TEXT_NULL;
	const char opcode_bytes[2] = { 0, (char)opcode };

	/* "name mode opt=value": blanks and '=' become NUL */
	br_text_add_bytes(&t, opcode_bytes, 2);
	for (const char *p = words; *p; p++)
		br_text_add_bytes(&t, *p == ' ' || *p == '=' ? "" : p, 1);
	if (!strchr(words, ' '))
		br_text_add_bytes(&t, "\0octet", 6);
	br_text_add_bytes(&t, "", 1);
	if (strstr(words, "blksize="))
		b->blksize = (uint32_t)strtoul(strstr(words, "blksize=") + 8, NULL, 10);
	if (b->blksize > 1468)
		b->blksize = 1468;
	input(b, port, t.buf, t.len);
	br_text_done(&t);
}

static void say_block(struct bench *b, uint16_t port, uint16_t opcode, unsigned block, const char *words)
{
	uint8_t buf[100] = { (uint8_t)(opcode >> 8), (uint8_t)opcode, (uint8_t)(block >> 8), (uint8_t)block };
	size_t len = 4;

	if (words) {
		len += strlen(words) + 1;
		memcpy(buf + 4, words, len - 4);
	}
	input(b, port, buf, len);
}

/* "RRQ words", "WRQ words", "ACK n", "ERROR n words", "DATA n", "OACK", "RAW text", "WAIT ms"; a leading '@' is another port. */
static void say(struct bench *b, const char *line)
{
	uint16_t port = 49152;
	char *end;

	if (*line == '@') {
		port = 49153;
		line++;
	}
	if (br_str_starts(line, "RRQ ")) {
		say_request(b, port, 1, line + 4);
	} else if (br_str_starts(line, "WRQ ")) {
		say_request(b, port, 2, line + 4);
	} else if (br_str_starts(line, "ACK ")) {
		say_block(b, port, 4, (unsigned)atoi(line + 4), NULL);
	} else if (br_str_starts(line, "DATA ")) {
		say_block(b, port, 3, (unsigned)atoi(line + 5), NULL);
	} else if (br_str_starts(line, "ERROR ")) {
		unsigned code = (unsigned)strtoul(line + 6, &end, 10);

		say_block(b, port, 5, code, end + 1);
	} else if (br_str_starts(line, "OP ")) {
		say_block(b, port, (uint16_t)atoi(line + 3), 0, NULL);
	} else if (br_str_starts(line, "RAW ")) {
		input(b, port, line + 4, strlen(line + 4));
	} else if (br_str_starts(line, "WAIT ")) {
		uint64_t until_ns = b->now_ns + strtoull(line + 5, NULL, 10) * BR_MS;

		for (;;) {
			uint64_t next_ns = br_tftp_tick(b->tftp, b->now_ns);

			if (next_ns > until_ns)
				break;
			assert_true(next_ns > b->now_ns);
			b->now_ns = next_ns;
		}
		b->now_ns = until_ns;
	} else {
		fail_msg("bad line: %s", line);
	}
}

struct step {
	const char *say, *expect;
};

static const struct conversation {
	const char *title;
	struct step steps[14];
} conversations[] = {
	{ "lock-step without options (3B ROM)",
		{ { "RRQ f1300", "DATA 1 512" }, { "ACK 1", "DATA 2 512" }, { "ACK 2", "DATA 3 276" },
			{ "ACK 3", "[sent 1300]" }, { "ACK 3", "" } } },
	{ "bootcode.bin asks tsize only",
		{ { "RRQ f600 octet tsize=0", "OACK tsize=600" }, { "ACK 0", "DATA 1 512" }, { "ACK 1", "DATA 2 88" },
			{ "ACK 2", "[sent 600]" } } },
	{ "Pi 4: tsize and blksize, in its order",
		{ { "RRQ p3000 octet tsize=0 blksize=1024", "OACK tsize=3000 blksize=1024" }, { "ACK 0", "DATA 1 1024" },
			{ "ACK 1", "DATA 2 1024" }, { "ACK 2", "DATA 3 952" }, { "ACK 3", "[sent 3000]" } } },
	{ "the client's order and spelling",
		{ { "RRQ f9 octet BLKSIZE=8 tsize=0", "OACK BLKSIZE=8 tsize=9" },
			{ "@RRQ f9 octet tsize=5 blksize=8", "OACK tsize=9 blksize=8" } } },
	{ "blksize is clipped to the path, small ones are kept",
		{ { "RRQ f2000 octet blksize=65464", "OACK blksize=1468" }, { "ACK 0", "DATA 1 1468" },
			{ "ACK 1", "DATA 2 532" }, { "ERROR 0 no", "[failed: the client gave up with error 0: no]" } } },
	{ "nothing legal asked, nothing acknowledged",
		{ { "RRQ f3 octet blksize=7 multicast= timeout=0 x=y", "DATA 1 3" }, { "ACK 1", "[sent 3]" } } },
	{ "an empty file is one empty block", { { "RRQ f0", "DATA 1 0" }, { "ACK 1", "[sent 0]" } } },
	{ "an empty file, with its size",
		{ { "RRQ f0 octet tsize=0", "OACK tsize=0" }, { "ACK 0", "DATA 1 0" }, { "ACK 1", "[sent 0]" } } },
	{ "a whole number of blocks ends with an empty one",
		{ { "RRQ p1024", "DATA 1 512" }, { "ACK 1", "DATA 2 512" }, { "ACK 2", "DATA 3 0" },
			{ "ACK 3", "[sent 1024]" } } },
	{ "probe after OACK", { { "RRQ f9 octet tsize=0", "OACK tsize=9" }, { "ERROR 0 Early terminate", "[probed]" } } },
	{ "probe after DATA 1", { { "RRQ f999", "DATA 1 512" }, { "ERROR 0 Early terminate", "[probed]" } } },
	{ "probe after ACK 0 (UEFI)",
		{ { "RRQ f9 octet tsize=0", "OACK tsize=9" }, { "ACK 0", "DATA 1 9" },
			{ "ERROR 8 User aborted the transfer", "[probed]" } } },
	{ "other errors are failures, their words escaped",
		{ { "RRQ f999", "DATA 1 512" },
			{ "ERROR 3 Disk\033full", "[failed: the client gave up with error 3: Disk\\x1bfull]" } } },
	{ "an error in the middle is a failure",
		{ { "RRQ f999", "DATA 1 512" }, { "ACK 1", "DATA 2 487" },
			{ "ERROR 0 bye", "[failed: the client gave up with error 0: bye]" } } },
	{ "missing, forbidden, unreadable",
		{ { "RRQ nothing", "ERROR 1; [missing]" }, { "RRQ secret", "ERROR 2; [refused]" },
			{ "RRQ broken", "ERROR 0; [failed]" }, { "RRQ short", "ERROR 0; [failed]" },
			{ "RRQ dust octet blksize=1400", "OACK blksize=1400" }, { "ACK 0", "ERROR 0; [failed]" } } },
	{ "writes and text modes are refused",
		{ { "WRQ f1", "ERROR 2; [refused]" }, { "RRQ f1 netascii", "ERROR 0; [refused]" },
			{ "RRQ f1 mail", "ERROR 0; [refused]" }, { "RRQ f1 OCTET", "DATA 1 1" } } },
	{ "junk",
		{ { "RAW ", "" }, { "RAW x", "" }, { "OP 9", "ERROR 4" }, { "OP 0", "ERROR 4" }, { "OP 256", "ERROR 4" },
			{ "OP 1", "ERROR 0; [refused]" }, { "RAW \1\1x", "ERROR 4" }, { "DATA 1", "ERROR 5" }, { "ACK 7", "" }, { "ERROR 5 what", "" },
			{ "OP 6", "ERROR 5" } } },
	{ "junk does not disturb a transfer",
		{ { "RRQ f999", "DATA 1 512" }, { "DATA 1", "" }, { "OP 6", "" }, { "OP 77", "ERROR 4" },
			{ "WRQ f9", "ERROR 2; [refused]" }, { "@ACK 1", "" }, { "ACK 1", "DATA 2 487" },
			{ "ACK 2", "[sent 999]" } } },
	{ "duplicate ACKs send nothing (Sorcerer's Apprentice)",
		{ { "RRQ f2000", "DATA 1 512" }, { "ACK 0", "" }, { "ACK 1", "DATA 2 512" }, { "ACK 1", "" },
			{ "ACK 1", "" }, { "ACK 0", "" }, { "ACK 2", "DATA 3 512" }, { "ACK 1", "" }, { "ACK 9", "" },
			{ "ACK 65535", "" }, { "ACK 3", "DATA 4 464" } } },
	{ "OACK waits for ACK 0",
		{ { "RRQ f999 octet tsize=0", "OACK tsize=999" }, { "ACK 1", "" }, { "ACK 65535", "" },
			{ "ACK 0", "DATA 1 512" }, { "ACK 0", "" }, { "ACK 1", "DATA 2 487" } } },
	{ "retransmission after a round trip and more, then slower",
		{ { "RRQ f999", "DATA 1 512" }, { "ACK 1", "DATA 2 487" }, { "WAIT 19", "" }, { "WAIT 1", "DATA 2 487" },
			{ "WAIT 39", "" }, { "WAIT 1", "DATA 2 487" }, { "WAIT 560", "DATA 2 487; DATA 2 487; DATA 2 487" },
			{ "WAIT 640", "DATA 2 487" }, { "WAIT 999", "" }, { "WAIT 1", "DATA 2 487" },
			{ "WAIT 1000", "DATA 2 487" }, { "ACK 2", "[sent 999]" } } },
	{ "the first interval is half a second, the next ones follow the round trip",
		{ { "RRQ f9999", "DATA 1 512" }, { "WAIT 499", "" }, { "WAIT 1", "DATA 1 512" }, { "ACK 1", "DATA 2 512" },
			{ "WAIT 100", "" }, { "ACK 2", "DATA 3 512" }, { "WAIT 299", "" }, { "WAIT 1", "DATA 3 512" } } },
	{ "what went out twice tells no round trip: a longer interval",
		{ { "RRQ f9999", "DATA 1 512" }, { "ACK 1", "DATA 2 512" }, { "WAIT 20", "DATA 2 512" }, { "ACK 2", "DATA 3 512" },
			{ "WAIT 39", "" }, { "WAIT 1", "DATA 3 512" } } },
	{ "progress makes the interval short again",
		{ { "RRQ f9999", "DATA 1 512" }, { "ACK 1", "DATA 2 512" },
			{ "WAIT 3000", "DATA 2 512; DATA 2 512; DATA 2 512; DATA 2 512; DATA 2 512; DATA 2 512; DATA 2 512" },
			{ "ACK 2", "DATA 3 512" }, { "WAIT 40", "DATA 3 512" } } },
	{ "sixteen times, then given up",
		{ { "RRQ f999 octet tsize=0", "OACK tsize=999" }, { "ACK 0", "DATA 1 512" },
			{ "WAIT 12259", "DATA 1 512; DATA 1 512; DATA 1 512; DATA 1 512; DATA 1 512; DATA 1 512; DATA 1 512; "
					"DATA 1 512; DATA 1 512; DATA 1 512; DATA 1 512; DATA 1 512; DATA 1 512; DATA 1 512; "
					"DATA 1 512; DATA 1 512" },
			{ "WAIT 1", "[failed]" }, { "ACK 1", "" } } },
	{ "a peer that never answered gets little",
		{ { "RRQ f9999", "DATA 1 512" }, { "WAIT 60000", "DATA 1 512; DATA 1 512; DATA 1 512; [failed]" } } },
	{ "the client's timeout is honoured",
		{ { "RRQ f999 octet timeout=5", "OACK timeout=5" }, { "ACK 0", "DATA 1 512" }, { "WAIT 4999", "" },
			{ "WAIT 1", "DATA 1 512" }, { "WAIT 5000", "DATA 1 512" } } },
	{ "a very long one is not waited for ten times",
		{ { "RRQ f999 octet timeout=255", "OACK timeout=255" }, { "ACK 0", "DATA 1 512" },
			{ "WAIT 600000", "DATA 1 512; [failed]" } } },
	{ "the same request again: the same answer",
		{ { "RRQ f999 octet tsize=0", "OACK tsize=999" }, { "RRQ f999 octet tsize=0", "OACK tsize=999" },
			{ "ACK 0", "DATA 1 512" }, { "RRQ f999 octet tsize=0", "" }, { "ACK 1", "DATA 2 487" } } },
	{ "the same request again, without options",
		{ { "RRQ f999", "DATA 1 512" }, { "RRQ f999", "DATA 1 512" }, { "ACK 1", "DATA 2 487" } } },
	{ "a board that restarts asks from the same port",
		{ { "RRQ f999", "DATA 1 512" }, { "ACK 1", "DATA 2 487" },
			{ "WAIT 1000", "DATA 2 487; DATA 2 487; DATA 2 487; DATA 2 487; DATA 2 487" },
			{ "RRQ f999", "[failed]; DATA 1 512" }, { "ACK 1", "DATA 2 487" }, { "ACK 2", "[sent 999]" } } },
	{ "another file on the same port (3B ROM)",
		{ { "RRQ f600", "DATA 1 512" }, { "ACK 1", "DATA 2 88" }, { "RRQ f5", "[sent 600]; DATA 1 5" },
			{ "RRQ f6", "[failed]; DATA 1 6" }, { "RRQ none", "[failed]; ERROR 1; [missing]" } } },
	{ "two ports are two transfers",
		{ { "RRQ f999", "DATA 1 512" }, { "@RRQ f600", "DATA 1 512" }, { "ACK 1", "DATA 2 487" },
			{ "@ACK 1", "DATA 2 88" }, { "@ACK 2", "[sent 600]" }, { "ACK 2", "[sent 999]" } } },
	{ "a window goes out at once",
		{ { "RRQ p5000 octet windowsize=4 blksize=1000", "OACK windowsize=4 blksize=1000" },
			{ "ACK 0", "DATA 1 1000; DATA 2 1000; DATA 3 1000; DATA 4 1000" },
			{ "ACK 4", "DATA 5 1000; DATA 6 0" }, { "ACK 6", "[sent 5000]" } } },
	{ "windows are capped",
		{ { "RRQ f10 octet windowsize=65535", "OACK windowsize=64" }, { "ACK 0", "DATA 1 10" },
			{ "ACK 1", "[sent 10]" } } },
	{ "a gap: the window starts after what arrived",
		{ { "RRQ p9000 octet windowsize=3 blksize=1000", "OACK windowsize=3 blksize=1000" },
			{ "ACK 0", "DATA 1 1000; DATA 2 1000; DATA 3 1000" }, { "ACK 1", "DATA 2 1000; DATA 3 1000; DATA 4 1000" },
			{ "ACK 1", "" }, { "ACK 4", "DATA 5 1000; DATA 6 1000; DATA 7 1000" },
			{ "ACK 1", "" }, { "ACK 6", "DATA 7 1000; DATA 8 1000; DATA 9 1000" },
			{ "ACK 9", "DATA 10 0" }, { "ACK 10", "[sent 9000]" } } },
	{ "the first of a window lost: sent again at once, but only once",
		{ { "RRQ p9000 octet windowsize=2 blksize=1000", "OACK windowsize=2 blksize=1000" },
			{ "ACK 0", "DATA 1 1000; DATA 2 1000" }, { "ACK 2", "DATA 3 1000; DATA 4 1000" },
			{ "ACK 2", "DATA 3 1000; DATA 4 1000" }, { "ACK 2", "" }, { "ACK 4", "DATA 5 1000; DATA 6 1000" },
			{ "ACK 4", "" }, { "ACK 6", "DATA 7 1000; DATA 8 1000" },
			{ "ACK 6", "DATA 7 1000; DATA 8 1000" } } },
	{ "a window lost: the timer sends it again",
		{ { "RRQ p9000 octet windowsize=2 blksize=1000", "OACK windowsize=2 blksize=1000" },
			{ "ACK 0", "DATA 1 1000; DATA 2 1000" }, { "WAIT 20", "DATA 1 1000; DATA 2 1000" },
			{ "ACK 2", "DATA 3 1000; DATA 4 1000" } } },
};

static void conversations_go_as_written(void **state)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(conversations); i++) {
		const struct conversation *c = &conversations[i];
		struct bench b;

		bench_init(&b, 0, 0);
		for (size_t k = 0; k < BR_ARRAY_SIZE(c->steps) && c->steps[k].say; k++) {
			const char *got;

			say(&b, c->steps[k].say);
			got = b.log.buf ? b.log.buf : "";
			if (strcmp(got, c->steps[k].expect) != 0)
				fail_msg("%s: after '%s': '%s' instead of '%s'", c->title, c->steps[k].say, got,
					c->steps[k].expect);
			br_text_done(&b.log);
		}
		bench_done(&b);
	}
}

static void names_reach_the_owner_whole(void **state)
{
	char line[600] = "RRQ ";
	struct bench b;

	bench_init(&b, 0, 0);
	memset(line + 4, 'n', BR_TFTP_NAME_MAX);
	say(&b, line);
	assert_string_equal(b.log.buf, "ERROR 1; [missing]");
	br_text_done(&b.log);
	line[4 + BR_TFTP_NAME_MAX] = 'n';
	say(&b, line);
	assert_string_equal(b.log.buf, "ERROR 1; [missing]");
	bench_done(&b);
}

static void ask_from(struct bench *b, uint32_t ip, const char *what, size_t len)
{
	struct br_tftp_peer peer = { .ip = ip, .port = 1000 };

	br_tftp_input(b->tftp, &peer, (const uint8_t *)what, len, b->now_ns);
}

static const char rrq[] = "\0\1f999\0octet\0tsize\0000";
static const char ack0[] = "\0\4\0\0", ack1[] = "\0\4\0\1";

static void a_flood_of_ghosts_does_not_disturb_a_board(void **state)
{
	struct bench b;

	bench_init(&b, 16, 0);
	ask_from(&b, 1, rrq, sizeof(rrq));
	ask_from(&b, 1, ack0, 4);
	for (uint32_t ip = 100; ip < 1100; ip++) {
		ask_from(&b, ip, rrq, sizeof(rrq));
		assert_true(br_tftp_running(b.tftp) <= 16);
	}
	br_text_done(&b.log);
	ask_from(&b, 1, ack1, 4);
	assert_string_equal(b.log.buf, "DATA 2 487");
	bench_done(&b);
}

static void when_all_are_busy_the_next_is_told_so(void **state)
{
	struct bench b;

	bench_init(&b, 16, 0);
	for (uint32_t ip = 1; ip <= 16; ip++) {
		ask_from(&b, ip, rrq, sizeof(rrq));
		ask_from(&b, ip, ack0, 4);
	}
	br_text_done(&b.log);
	ask_from(&b, 99, rrq, sizeof(rrq));
	assert_string_equal(b.log.buf, "ERROR 0; [refused]");
	br_text_done(&b.log);
	/* three seconds later 15 of them are silent: one gives way, not the one that is heard */
	b.now_ns += 3 * BR_S;
	ask_from(&b, 1, ack1, 4);
	ask_from(&b, 99, rrq, sizeof(rrq));
	assert_string_equal(b.log.buf, "DATA 2 487; [failed]; OACK tsize=999");
	assert_int_equal(br_tftp_running(b.tftp), 16);
	bench_done(&b);
}

static void vanished_clients_leave_nothing(void **state)
{
	struct bench b;

	bench_init(&b, 4096, 0);
	for (uint32_t ip = 1; ip <= 4000; ip++) {
		ask_from(&b, ip, rrq, sizeof(rrq));
		if (ip % 2)
			ask_from(&b, ip, ack0, 4);
	}
	assert_int_equal(br_tftp_running(b.tftp), 4000);
	say(&b, "WAIT 30000");
	assert_int_equal(br_tftp_running(b.tftp), 0);
	assert_int_equal(test_files_open, 0);
	/* 4 OACKs to ghosts; OACK and 17 blocks to the rest */
	assert_int_equal(b.datagrams, 2000 * 4 + 2000 * 18);
	assert_true(br_tftp_tick(b.tftp, b.now_ns) == UINT64_MAX);
	bench_done(&b);
}

/* What is being made is waited for: the client that asks again is not answered twice, one that wants another file does. */
static void what_is_being_made_is_answered_when_it_is_there(void **state)
{
	static const struct step steps[] = {
		{ "RRQ made3 octet tsize=0", "" }, { "RRQ made3 octet tsize=0", "" }, { "@RRQ f9", "DATA 1 9" },
		{ "WAIT 5", "" }, { "WAIT 40", "OACK tsize=9" }, { "ACK 0", "DATA 1 9" }, { "@ACK 1", "[sent 9]" }, { "ACK 1", "[sent 9]" },
		{ "RRQ made99999", "" }, { "RRQ f3", "DATA 1 3" }, { "ACK 1", "[sent 3]" }, { "WAIT 70000", "" },
		{ "RRQ made99999", "" }, { "WAIT 59000", "" }, { "WAIT 1100", "ERROR 0; [refused]" }, { "WAIT 5000", "" },
	};
	struct bench b;

	bench_init(&b, 0, 0);
	test_files_calls = 0;
	for (size_t i = 0; i < BR_ARRAY_SIZE(steps); i++) {
		br_text_done(&b.log);
		say(&b, steps[i].say);
		if (strcmp(b.log.buf ?: "", steps[i].expect) != 0)
			fail_msg("%s: %s", steps[i].say, b.log.buf ?: "");
	}
	/* no more of them than there is room for, and none is left behind */
	for (unsigned port = 1; port <= 300; port++)
		input(&b, (uint16_t)port, "\0\1made99999\0octet", 18);
	br_text_done(&b.log);
	assert_int_equal(br_tftp_running(b.tftp), 0);
	bench_done(&b);
}

static void a_transfer_is_small(void **state)
{
	assert_true(sizeof(struct br_tftp_transfer) < 1024);
}

static void stopping_tells_the_clients(void **state)
{
	struct bench b;

	bench_init(&b, 0, 0);
	say(&b, "RRQ f999");
	say(&b, "@RRQ f999");
	br_text_done(&b.log);
	br_tftp_free(b.tftp);
	b.tftp = NULL;
	assert_string_equal(b.log.buf, "ERROR 0; [failed]; ERROR 0; [failed]");
	bench_done(&b);
}

static void blocks_roll_over_to_zero(void **state)
{
	uint64_t size = 8 * 70000 + 3, got = 0;
	char line[64];
	struct bench b;

	bench_init(&b, 0, 0);
	snprintf(line, sizeof(line), "RRQ f%llu octet blksize=8", (unsigned long long)size);
	say(&b, line);
	for (uint64_t block = 0; block <= 70001; block++) {
		char expect[40];

		b.rolls = (block + 1) / 65536; /* of the block that comes next */
		br_text_done(&b.log);
		say_block(&b, 49152, 4, (unsigned)(block & 0xffff), NULL);
		if (block == 70001)
			break;
		got += block < 70000 ? 8 : 3;
		snprintf(expect, sizeof(expect), "DATA %u %u", (unsigned)((block + 1) & 0xffff), block < 70000 ? 8 : 3);
		assert_string_equal(b.log.buf, expect);
	}
	assert_int_equal(got, size);
	snprintf(line, sizeof(line), "[sent %llu]", (unsigned long long)size);
	assert_string_equal(b.log.buf, line);
	bench_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(conversations_go_as_written),
		cmocka_unit_test(names_reach_the_owner_whole),
		cmocka_unit_test(a_flood_of_ghosts_does_not_disturb_a_board),
		cmocka_unit_test(when_all_are_busy_the_next_is_told_so),
		cmocka_unit_test(vanished_clients_leave_nothing),
		cmocka_unit_test(a_transfer_is_small),
		cmocka_unit_test(what_is_being_made_is_answered_when_it_is_there),
		cmocka_unit_test(stopping_tells_the_clients),
		cmocka_unit_test(blocks_roll_over_to_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The watch over the wire: virtual boards that boot get no verdict, its memory is bounded, its filter, its captures. */
#include "tests/unit/test.h"

#include "tests/unit/simserver.h"
#include "tests/unit/whylab.h"
#include "why/io.h"

static const uint8_t elf[2000] = "\x7f" "ELF", fdt[48] = { 0xd0, 0x0d, 0xfe, 0xed, 0, 0, 0, 48, 0, 0, 0, 40, 0, 0, 0, 40 };
static uint8_t kernel[60000];
static const char config[] = "arm_64bit=1\n", cmdline[] = "ip=dhcp\n";

static const struct simserver_file boot_files[] = {
	{ "bootcode.bin", elf, sizeof(elf) }, { "start.elf", elf, sizeof(elf) }, { "fixup.dat", elf, sizeof(elf) },
	{ "start4.elf", elf, sizeof(elf) }, { "fixup4.dat", elf, sizeof(elf) },
	{ "config.txt", config, sizeof(config) - 1 }, { "cmdline.txt", cmdline, sizeof(cmdline) - 1 },
	{ "kernel8.img", kernel, sizeof(kernel) }, { "bcm2710-rpi-3-b.dtb", fdt, sizeof(fdt) },
	{ "bcm2710-rpi-3-b-plus.dtb", fdt, sizeof(fdt) }, { "bcm2711-rpi-4-b.dtb", fdt, sizeof(fdt) },
	{ "bcm2712-rpi-5-b.dtb", fdt, sizeof(fdt) }, { 0 },
};

struct play {
	struct simserver server;
	struct lab lab;
	unsigned n_asked;
};

static void ask_healthy(struct play *p)
{
	if (!br_watch_count(p->lab.watch))
		return; /* it is waiting for its link */
	p->n_asked++;
	ask_why(&p->lab);
	if (p->lab.v.level >= BR_WHY_NOTE)
		fail_msg("%s after %.3f s: row %u (%s): %s", p->lab.model, (double)(p->lab.now - 1000 * BR_S) / 1e9,
			p->lab.v.row, br_why_level_name(p->lab.v.level), p->lab.v.text);
}

static void play_send(void *ctx, const uint8_t *f, size_t n)
{
	struct play *p = ctx;

	br_watch_frame(p->lab.watch, f, n, n, false, p->lab.now);
	simserver_send(&p->server, f, n);
}

/* What the daemon would have said of it. */
static void play_event(void *ctx, const struct br_sim_event *e)
{
	struct play *p = ctx;
	const char *type = e->what == BR_SIM_FILE ? BR_EV_FILE_SENT : e->what == BR_SIM_PROBED ? BR_EV_FILE_PROBED :
		e->what == BR_SIM_MISSING ? BR_EV_FILE_MISSING : NULL;

	if (type && p->lab.n_events < BR_ARRAY_SIZE(p->lab.events))
		event(&p->lab, type, json_pack("{s:s, s:I}", "path", e->name, "bytes", (json_int_t)e->bytes));
}

static void deliver(struct play *p)
{
	struct simserver *s = &p->server;

	while (s->n_out) {
		uint8_t frame[1600];
		size_t n = s->out_len[0];

		memcpy(frame, s->out[0], n);
		s->n_out--;
		memmove(s->out[0], s->out[1], s->n_out * sizeof(s->out[0]));
		memmove(s->out_len, s->out_len + 1, s->n_out * sizeof(s->out_len[0]));
		p->lab.now += 100000;
		br_watch_frame(p->lab.watch, frame, n, n, true, p->lab.now);
		br_sim_board_frame(s->board, p->lab.now, frame, n, false);
		ask_healthy(p);
	}
}

/* Frames of no consequence, as the DHCP server sends them to the ROM of a 3B. */
static void nudge(struct play *p)
{
	uint8_t f[60] = { 0 };

	memcpy(f, p->lab.mac.b, 6);
	memcpy(f + 6, our_mac.b, 6);
	br_store_be16(f + 12, 0x0842);
	br_sim_board_frame(p->server.board, p->lab.now, f, sizeof(f), false);
}

static void virtual_boards_get_no_verdict(void **state)
{
	static const char *const models[] = { "3b", "3b-card", "3b+", "4-2020", "4-2021", "4", "5-2023", "5" };

	memcpy(kernel + 56, "ARMd", 4);
	for (size_t i = 0; i < BR_ARRAY_SIZE(models); i++) {
		struct play p = { .server = { .files = boot_files } };
		struct br_sim_board_config c = {
			.model = br_sim_model_by_id(models[i]), .mac = { { 0xb8, 0x27, 0xeb, 0, 0, 1 } }, .serial = SERIAL, .speed = 1,
			.send = play_send, .event = play_event, .ctx = &p,
		};
		lab_init(&p.lab, models[i]);
		p.lab.mac = c.mac;
		p.server.board = br_sim_board_new(&c);
		assert_non_null(p.server.board);
		while (br_sim_board_phase(p.server.board) < BR_SIM_READY) {
			uint64_t next;

			br_sim_board_step(p.server.board, p.lab.now);
			deliver(&p);
			if (!strcmp(models[i], "3b") && br_sim_board_phase(p.server.board) == BR_SIM_IN_DHCP)
				nudge(&p);
			ask_healthy(&p);
			next = br_sim_board_deadline(p.server.board);
			if (next == UINT64_MAX)
				break;
			if (next > p.lab.now + BR_S / 5)
				next = p.lab.now + BR_S / 5;
			if (next > p.lab.now)
				p.lab.now = next;
		}
		assert_int_equal(br_sim_board_phase(p.server.board), BR_SIM_READY);
		ask_healthy(&p);
		wait_s(&p.lab, 10);
		ask_healthy(&p);
		if (p.n_asked < 50)
			fail_msg("%s: asked %u times only", models[i], p.n_asked);
		lab_done(&p.lab);
		simserver_done(&p.server);
	}
}

/* A ring that went round many times, and the file made of it. */
static void captures_are_pcap(void **state)
{
	struct lab l;
	uint8_t *data = NULL;
	size_t n = 0, at = 24, packets = 0;

	lab_init(&l, "4");
	assert_int_equal(br_watch_pcap(l.watch, l.mac, l.now, WALL + l.now, &data, &n), -ENOENT);
	for (int i = 0; i < 300; i++) {
		discover(&l);
		offer(&l);
	}
	assert_int_equal(br_watch_pcap(l.watch, l.mac, l.now, WALL + l.now, &data, &n), 0);
	assert_true(n > BR_WATCH_RING / 2 && n <= BR_WATCH_RING + 24);
	assert_int_equal(br_load_le32(data), 0xa1b2c3d4);
	assert_int_equal(br_load_le32(data + 20), 1);
	for (uint64_t last = 0; at < n; packets++) {
		uint64_t us = (uint64_t)br_load_le32(data + at) * 1000000 + br_load_le32(data + at + 4);
		size_t len = br_load_le32(data + at + 8);

		assert_true(us >= last && us <= (WALL + l.now) / 1000);
		assert_true(len >= 14 && len <= br_load_le32(data + at + 12));
		assert_true(at + 16 + len <= n);
		last = us;
		at += 16 + len;
	}
	assert_int_equal(at, n);
	assert_true(packets > 20);
	free(data);
	lab_done(&l);
}

/* A flood of made-up boards pushes out itself, not one that was served. */
static void memory_is_bounded(void **state)
{
	struct lab l;
	struct br_mac mac;
	static struct br_why_facts f;

	lab_init(&l, "4");
	until_kernel(&l);
	mac = l.mac;
	for (unsigned i = 0; i < 3 * BR_WATCH_BOARDS; i++) {
		br_store_be32(l.mac.b + 2, 0x01000000 + i);
		discover(&l);
	}
	assert_int_equal(br_watch_count(l.watch), BR_WATCH_BOARDS);
	assert_int_equal(br_watch_facts(l.watch, mac, &f), 0);
	assert_int_equal(br_watch_by_ip(l.watch, BOARD_IP, &l.mac), 0);
	assert_true(br_mac_equal(mac, l.mac));
	br_store_be32(l.mac.b + 2, 0x01000000);
	assert_int_equal(br_watch_facts(l.watch, l.mac, &f), -ENOENT);
	lab_done(&l);
}

/* Names beyond the table's room take the place of the oldest; the life goes on. */
static void many_names_fit(void **state)
{
	struct lab l;
	char name[200];

	lab_init(&l, "4");
	addressed(&l);
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), S "%0150d", i);
		rrq(&l, name);
		tftp_error(&l, false, 1);
	}
	sent_file(&l, S "start4.elf");
	ask_why(&l);
	assert_int_equal(l.v.row, 0);
	lab_done(&l);
}

/* The packet filter as the kernel would run it. */
static bool passes(const uint8_t *p, size_t n)
{
	struct sock_filter code[BR_WATCH_FILTER_MAX];
	size_t n_code;
	uint32_t a = 0, x = 0;

	br_watch_io_filter(code, &n_code);
	for (size_t i = 0; i < n_code; i++) {
		const struct sock_filter *s = &code[i];
		size_t at = s->k + (BPF_MODE(s->code) == BPF_IND ? x : 0);
		size_t size = BPF_SIZE(s->code) == BPF_W ? 4 : BPF_SIZE(s->code) == BPF_H ? 2 : 1;

		switch (BPF_CLASS(s->code)) {
		case BPF_LD:
			if (at + size > n)
				return false;
			a = size == 4 ? br_load_be32(p + at) : size == 2 ? br_load_be16(p + at) : p[at];
			break;
		case BPF_LDX:
			x = (p[s->k] & 15u) * 4;
			break;
		case BPF_ALU:
			a = BPF_OP(s->code) == BPF_AND ? a & s->k : BPF_OP(s->code) == BPF_RSH ? a >> s->k : a + x;
			break;
		case BPF_MISC:
			x = a;
			break;
		case BPF_JMP:
			i += (BPF_OP(s->code) == BPF_JEQ ? a == s->k : (a & s->k) != 0) ? s->jt : s->jf;
			break;
		default:
			return s->k != 0;
		}
	}
	fail_msg("the filter does not end");
	return false;
}

static void the_filter_keeps_bulk_out(void **state)
{
	static const struct {
		uint8_t proto, flags;
		uint16_t sport, dport;
		const char *payload;
		size_t n;
		bool pass;
	} cases[] = {
		{ 17, 0, 68, 67, "x", 1, true }, { 17, 0, 67, 68, "x", 1, true }, { 17, 0, 49152, 69, "\0\1a", 3, true },
		{ 17, 0, 49152, 69, "\0\4\0\1", 4, false }, { 17, 0, 49152, 69, "\0\5\0\0", 4, true },
		{ 17, 0, 30000, 49152, "\0\6tsize", 7, true }, { 17, 0, 30000, 49152, "\0\5\0\1", 4, true },
		{ 17, 0, 30000, 49152, "\0\3\0\1data", 8, true }, { 17, 0, 30000, 49152, "\0\3\0\2data", 8, false },
		{ 17, 0, 49152, 30000, "\0\4\0\1", 4, false }, { 17, 0, 5000, 5001, "video", 5, false },
		{ 17, 0, 6665, 6666, "text", 4, true }, { 17, 0, 900, 111, "call", 4, true }, { 17, 0, 53, 900, "x", 1, true },
		{ 6, 0x02, 900, 2049, "", 0, true }, { 6, 0x10, 900, 2049, "write", 5, false },
		{ 6, 0x10, 2049, 900, "data", 4, false }, { 6, 0x04, 2049, 900, "", 0, true },
		{ 6, 0x10, 900, 20048, "mount", 5, true }, { 6, 0x18, 111, 900, "port", 4, true },
		{ 6, 0x18, 900, 80, "GET /boot.sig", 13, true }, { 6, 0x18, 80, 900, "HTTP/1.1 200", 12, true },
		{ 6, 0x18, 80, 900, "bytes of a file", 15, false }, { 6, 0x11, 80, 900, "end", 3, true },
		{ 6, 0x18, 900, 443, "\x16\3\1", 3, true }, { 6, 0x18, 443, 900, "\x17\3\1", 3, false },
		{ 6, 0x18, 22, 900, "ssh", 3, false }, { 1, 0, 0, 0, "ping", 4, false },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		/* with IP options in every second case: the header's length counts */
		size_t ip = i % 2 ? 24 : 20, l4 = cases[i].proto == 6 ? 24 : 8;
		uint8_t f[128] = { 0 };

		f[12] = 8;
		f[14] = (uint8_t)(0x40 + ip / 4);
		f[23] = cases[i].proto;
		br_store_be16(f + 14 + ip, cases[i].sport);
		br_store_be16(f + 14 + ip + 2, cases[i].dport);
		if (cases[i].proto == 6) {
			f[14 + ip + 12] = 6 << 4;
			f[14 + ip + 13] = cases[i].flags;
		}
		memcpy(f + 14 + ip + l4, cases[i].payload, cases[i].n);
		if (passes(f, 14 + ip + l4 + cases[i].n) != cases[i].pass)
			fail_msg("case %zu: %s", i, cases[i].pass ? "is dropped" : "passes");
		br_store_be16(f + 20, 185); /* a later fragment */
		assert_false(passes(f, 14 + ip + l4 + cases[i].n));
	}
	assert_true(passes((const uint8_t *)"............\x08\x06", 14));
	assert_true(passes((const uint8_t *)"............\x80\x35", 14));
	assert_false(passes((const uint8_t *)"............\x08\x42", 14));
}

/* Each row that is written down is a rule, and each rule is written down. */
static void the_document_has_every_row(void **state)
{
	const char *root = getenv("SOURCE_ROOT");
	br_cleanup(br_freep) char *path = br_asprintf("%s/docs/why.md", root ? root : ".");
	br_cleanup(br_fclosep) FILE *doc = fopen(path, "re");
	struct br_why_rule_info rule;
	bool ruled[100] = { false }, told[100] = { false };
	char text[512];
	unsigned row;

	if (!doc)
		fail_msg("%s: %s", path, strerror(errno));
	for (size_t i = 0; br_why_rule(i, &rule); i++)
		ruled[rule.row] = true;
	while (fgets(text, sizeof(text), doc))
		if (sscanf(text, "| %u |", &row) == 1 && row < 100)
			told[row] = true;
	for (row = 1; row < 100; row++)
		if (ruled[row] != told[row])
			fail_msg("row %u: %s", row, told[row] ? "in docs/why.md, but no rule" : "a rule, but not in docs/why.md");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(virtual_boards_get_no_verdict),
		cmocka_unit_test(captures_are_pcap),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(many_names_fit),
		cmocka_unit_test(the_filter_keeps_bulk_out),
		cmocka_unit_test(the_document_has_every_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* bramble sim: virtual boards on a wire of this machine. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "cli/cli.h"
#include "sim/expect.h"
#include "sim/report.h"
#include "sim/runner.h"

#define DEFAULT_TIMEOUT_NS (600 * BR_S)
#define DEFAULT_SPEED	   100

struct sim;

struct virtual_board { /* the context of a board's callbacks */
	struct sim *sim;
	char name[12]; /* its serial */
};

struct sim {
	const struct br_sim_model *model;
	uint32_t serial;
	bool has_serial, has_mac, json;
	struct br_mac mac;
	const char *interface, *check_dir;
	uint64_t n_boards, speed, timeout_ns;
	struct br_sim_link *link;
	struct br_sim_runner *runner;
	struct br_sim_expect *expect;
	struct virtual_board *boards;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	interrupted = 1;
}

static void on_send(void *ctx, const uint8_t *frame, size_t len)
{
	struct virtual_board *v = ctx;

	/* a full wire loses the frame, as a real one does: the protocols repeat */
	br_sim_link_send(v->sim->link, frame, len);
}

static void on_event(void *ctx, const struct br_sim_event *e)
{
	struct virtual_board *v = ctx;

	br_sim_report(stdout, v->sim->json, v->name, e);
}

static int on_expected(void *ctx, const char *name, uint64_t *ret_size, uint32_t *ret_crc)
{
	struct virtual_board *v = ctx;

	return br_sim_expect_find(v->sim->expect, name, ret_size, ret_crc);
}

/* ---- options ---- */

enum { OPT_SPEED = 256, OPT_CHECK_DIR };

static const struct option options[] = {
	{ "model", required_argument, NULL, 'm' },
	{ "serial", required_argument, NULL, 's' },
	{ "mac", required_argument, NULL, 'a' },
	{ "interface", required_argument, NULL, 'i' },
	{ "boards", required_argument, NULL, 'n' },
	{ "output", required_argument, NULL, 'o' },
	{ "timeout", required_argument, NULL, 't' },
	{ "speed", required_argument, NULL, OPT_SPEED },
	{ "check-dir", required_argument, NULL, OPT_CHECK_DIR },
	{ 0 },
};

static int parse_serial(const char *s, uint32_t *ret)
{
	char *end;
	unsigned long long v = strtoull(s, &end, 16);

	/* a Pi 5 has 64 bits; the network carries the low 32 */
	if (!*s || *end || strlen(s) > 16 || !(uint32_t)v)
		return -EINVAL;
	*ret = (uint32_t)v;
	return 0;
}

static int take_option(struct sim *s, int c, const char *arg)
{
	switch (c) {
	case 'm':
		s->model = br_sim_model_by_id(arg);
		return s->model ? 0 : br_cli_usage("no virtual board of model '%s': 3b, 3b+, 4 or 5", arg);
	case 's':
		s->has_serial = true;
		return parse_serial(arg, &s->serial) < 0
			       ? br_cli_usage("serial '%s': 1 to 16 hexadecimal digits, not zero", arg)
			       : 0;
	case 'a':
		s->has_mac = true;
		return br_mac_parse(arg, &s->mac) < 0 || s->mac.b[0] & 1
			       ? br_cli_usage("'%s' is not a board's MAC address, as b8:27:eb:12:34:56", arg)
			       : 0;
	case 'i':
		s->interface = arg;
		return 0;
	case 'n':
		return br_parse_u64(arg, 1, BR_SIM_BOARDS_MAX, &s->n_boards) < 0
			       ? br_cli_usage("--boards %s: a number from 1 to %d", arg, BR_SIM_BOARDS_MAX)
			       : 0;
	case 'o':
		s->json = !strcmp(arg, "json");
		return s->json || !strcmp(arg, "text") ? 0 : br_cli_usage("--output %s: json or text", arg);
	case 't':
		return br_parse_duration(arg, &s->timeout_ns) < 0
			       ? br_cli_usage("--timeout %s: a time as 90s or 10m", arg)
			       : 0;
	case OPT_SPEED:
		return br_parse_u64(arg, 0, 1000000, &s->speed) < 0
			       ? br_cli_usage("--speed %s: 1 is that of a real board, 100 a hundred times that", arg)
			       : 0;
	case OPT_CHECK_DIR:
		s->check_dir = arg;
		return 0;
	}
	return 0;
}

static int parse_options(struct sim *s, int argc, char **argv)
{
	int c, r;

	while ((c = getopt_long(argc, argv, ":o:", options, NULL)) != -1) {
		if (c == '?' || c == ':')
			return br_cli_bad_option(argc, argv, c);
		r = take_option(s, c, optarg);
		if (r)
			return r;
	}
	if (optind < argc)
		return br_cli_usage("unexpected word '%s'", argv[optind]);
	if (!s->model)
		return br_cli_usage("--model is needed");
	if (!s->has_serial) {
		br_random(&s->serial, sizeof(s->serial));
		s->serial = (s->serial & 0x0fffffff) | 0x10000000;
	}
	return 0;
}

/* ---- the run ---- */

static struct br_mac make_mac(const struct sim *s, uint32_t serial)
{
	struct br_mac m;

	memcpy(m.b, s->model->oui, 3);
	m.b[3] = (uint8_t)(serial >> 16);
	m.b[4] = (uint8_t)(serial >> 8);
	m.b[5] = (uint8_t)serial;
	return m;
}

/* Board i has the serial and MAC address of the first one plus i. */
static int add_board(struct sim *s, uint32_t i, struct br_error *err)
{
	struct virtual_board *v = &s->boards[i];
	struct br_sim_board_config c = {
		.model = s->model,
		.serial = s->serial + i,
		.mac = s->has_mac ? s->mac : make_mac(s, s->serial + i),
		.speed = (unsigned)s->speed,
		.expected = s->expect ? on_expected : NULL,
		.send = on_send,
		.event = on_event,
		.ctx = v,
	};

	if (s->has_mac) {
		uint32_t tail = ((uint32_t)s->mac.b[3] << 16 | (uint32_t)s->mac.b[4] << 8 | s->mac.b[5]) + i;

		c.mac.b[3] = (uint8_t)(tail >> 16);
		c.mac.b[4] = (uint8_t)(tail >> 8);
		c.mac.b[5] = (uint8_t)tail;
	}
	v->sim = s;
	snprintf(v->name, sizeof(v->name), "%08x", c.serial);
	return br_sim_runner_add(s->runner, &c, err);
}

static int set_up(struct sim *s, struct br_error *err)
{
	int r = 0;

	if (s->check_dir)
		r = br_sim_expect_dir(s->check_dir, &s->expect, err);
	if (!r)
		r = br_sim_link_open(s->interface, &s->link, err);
	if (r < 0)
		return r;
	s->runner = br_sim_runner_new(s->link);
	s->boards = calloc(s->n_boards, sizeof(*s->boards));
	if (!s->runner || !s->boards)
		return br_error_set(err, ENOMEM, "out of memory");
	for (uint32_t i = 0; !r && i < s->n_boards; i++)
		r = add_board(s, i, err);
	return r;
}

static void tear_down(struct sim *s)
{
	br_sim_runner_free(s->runner);
	br_sim_link_close(s->link);
	br_sim_expect_free(s->expect);
	free(s->boards);
}

static int run_firmware(struct sim *s, uint64_t until_ns, struct br_error *err)
{
	while (br_sim_runner_busy(s->runner) && !interrupted && br_now_ns() < until_ns) {
		uint64_t soon = br_now_ns() + 200 * BR_MS; /* so that a signal is noticed */
		int r = br_sim_runner_turn(s->runner, soon < until_ns ? soon : until_ns, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int conclude(const struct sim *s)
{
	size_t n = br_sim_runner_count(s->runner), ready = 0, wrong = 0;

	for (size_t i = 0; i < n; i++) {
		const struct br_sim_board *b = br_sim_runner_board(s->runner, i);

		ready += br_sim_board_phase(b) == BR_SIM_READY;
		wrong += br_sim_board_wrong(b) != 0;
	}
	if (interrupted)
		return BR_EXIT_INTERRUPTED;
	if (ready == n && !wrong)
		return BR_EXIT_OK;
	if (br_sim_runner_busy(s->runner))
		return br_cli_fail(BR_EXIT_TIMEOUT, "%zu of %zu virtual boards were still in their firmware when the time was up",
			br_sim_runner_busy(s->runner), n);
	return br_cli_fail(BR_EXIT_FAILED, "%zu of %zu virtual boards have their kernel, %zu saw something wrong", ready, n,
		wrong);
}

static int sim(int argc, char **argv)
{
	struct sim s = { .n_boards = 1, .speed = DEFAULT_SPEED, .timeout_ns = DEFAULT_TIMEOUT_NS };
	struct sigaction stop = { .sa_handler = on_signal };
	struct br_error err = BR_ERROR_NULL;
	int r = parse_options(&s, argc, argv), code;

	if (r)
		return r;
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	r = set_up(&s, &err);
	if (!r)
		r = run_firmware(&s, br_now_ns() + s.timeout_ns, &err);
	code = r < 0 ? br_cli_fail(BR_EXIT_FAILED, "%s", br_error_text(&err, r)) : conclude(&s);
	tear_down(&s);
	return code;
}

static const char details[] =
	"  --model M          3b, 3b+, 4 or 5\n"
	"  --serial S         its serial in hexadecimal (else made up); board i has S + i\n"
	"  --mac M            its MAC address (else made from the serial)\n"
	"  --interface IF     a bridge, or another interface the server listens on (else the one bridge here)\n"
	"  --boards N         N virtual boards at once\n"
	"  -o, --output F     text, or json: one event per line\n"
	"  --timeout T        at most so long, default 10m\n"
	"  --speed N          pauses of a real board are divided by N, default 100; 1 is real, 0 has none\n"
	"  --check-dir DIR    the boot files as they should arrive; cmdline.txt and config.txt are not compared\n";

const struct br_command br_cli_sim[] = {
	{ NULL, "sim", "--model 3b+|4|5 [--interface IF] [--serial S] [--boards N] ...",
		"Plays a board: its firmware asks, fetches and checks", sim, details },
	{ 0 },
};

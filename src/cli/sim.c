/* SPDX-License-Identifier: Apache-2.0 */
/* bramble sim: virtual boards on a wire of this machine. */
#include <errno.h>
#include <getopt.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/simusb.h"
#include "sim/card.h"
#include "sim/expect.h"
#include "sim/machine.h"
#include "sim/powerserver.h"
#include "sim/qemu.h"
#include "sim/report.h"
#include "sim/runner.h"
#include "sim/storm.h"
#include "sim/system.h"

#define DEFAULT_TIMEOUT_NS (600 * BR_S)
#define DEFAULT_SPEED	   100
#define DEFAULT_UNTIL	   "login: $"

struct sim;

#define THEN_MAX 8 /* stages after the firmware */

struct virtual_board { /* the context of a board's callbacks */
	struct sim *sim;
	char name[12];			/* its serial */
	struct br_sim_machine *machine; /* after the firmware, with --boot */
	bool machine_failed;
	struct br_sim_system *system;	/* --power without --boot: what goes on in QEMU's stead */
	bool off;			/* --power: without power now */
	unsigned switched;		/* --power: how often somebody switched it since the last turn; 2: off and on */
};

struct sim {
	const struct br_sim_model *model;
	uint32_t serial;
	bool has_serial, has_mac, json;
	struct br_mac mac;
	struct br_sim_storm_config storm; /* its faults also without --storm */
	bool is_storm, has_models, has_retry, has_timeout;
	const char *interface, *check_dir, *check_image, *console, *until, *append, *card, *power_listen;
	struct br_cli_sim_numbers numbers;
	uint64_t memory;
	bool boot, interactive, has_until;
	struct br_sim_board_http http;
	struct br_rsapub signed_key;
	bool is_signed;
	const struct br_sim_stage *then[THEN_MAX + 1];
	regex_t until_re;
	struct br_sim_terminal terminal;
	struct br_sim_watch *watches;
	struct br_sim_link *link;
	struct br_sim_runner *runner;
	struct br_sim_expect *expect;
	struct br_sim_card *card_boot;
	struct br_sim_power *power;
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

	br_sim_runner_send(v->sim->runner, (size_t)(v - v->sim->boards), frame, len);
}

static void on_event(void *ctx, const struct br_sim_event *e)
{
	struct virtual_board *v = ctx;

	if (e->what == BR_SIM_POWER_ON)
		br_sim_runner_powered(v->sim->runner, (size_t)(v - v->sim->boards));
	br_sim_report(stdout, v->sim->json, v->name, e);
}

static int on_expected(void *ctx, const char *name, uint64_t *ret_size, uint32_t *ret_crc)
{
	struct virtual_board *v = ctx;

	return br_sim_expect_find(v->sim->expect, name, ret_size, ret_crc);
}

/* ---- options ---- */

enum {
	OPT_CHECK_DIR = 256,
	OPT_CHECK_IMAGE,
	OPT_BOOT,
	OPT_CONSOLE,
	OPT_UNTIL,
	OPT_APPEND,
	OPT_CARD,
	OPT_MEMORY,
	OPT_ROAD,
	OPT_HTTP_PATH, OPT_SIGNED,
	OPT_THEN,
	OPT_POWER,
	OPT_STORM,
	OPT_MODELS,
	OPT_RETRY,
	OPT_LOSS, /* faults from here to OPT_SEED: taken by their names */
	OPT_DUP,
	OPT_REORDER,
	OPT_DELAY,
	OPT_LATE_PORT,
	OPT_MTU,
	OPT_RATE,
	OPT_ROGUE,
	OPT_SEED,
};

static const struct option options[] = {
	{ "model", required_argument, NULL, 'm' },
	{ "serial", required_argument, NULL, 's' },
	{ "mac", required_argument, NULL, 'a' },
	{ "interface", required_argument, NULL, 'i' },
	{ "boards", required_argument, NULL, 'n' },
	{ "output", required_argument, NULL, 'o' },
	{ "timeout", required_argument, NULL, 't' },
	{ "speed", required_argument, NULL, 'S' },
	{ "check-dir", required_argument, NULL, OPT_CHECK_DIR },
	{ "check-image", required_argument, NULL, OPT_CHECK_IMAGE },
	{ "boot", no_argument, NULL, OPT_BOOT },
	{ "console", required_argument, NULL, OPT_CONSOLE },
	{ "until", required_argument, NULL, OPT_UNTIL },
	{ "append", required_argument, NULL, OPT_APPEND },
	{ "card", required_argument, NULL, OPT_CARD },
	{ "qemu-memory", required_argument, NULL, OPT_MEMORY },
	{ "road", required_argument, NULL, OPT_ROAD },
	{ "http-path", required_argument, NULL, OPT_HTTP_PATH },
	{ "signed", required_argument, NULL, OPT_SIGNED },
	{ "then", required_argument, NULL, OPT_THEN },
	{ "power", required_argument, NULL, OPT_POWER },
	{ "storm", no_argument, NULL, OPT_STORM },
	{ "models", required_argument, NULL, OPT_MODELS },
	{ "retry", required_argument, NULL, OPT_RETRY },
	{ "loss", required_argument, NULL, OPT_LOSS },
	{ "dup", required_argument, NULL, OPT_DUP },
	{ "reorder", required_argument, NULL, OPT_REORDER },
	{ "delay", required_argument, NULL, OPT_DELAY },
	{ "late-port", required_argument, NULL, OPT_LATE_PORT },
	{ "mtu", required_argument, NULL, OPT_MTU },
	{ "rate", required_argument, NULL, OPT_RATE },
	{ "rogue-dhcp", required_argument, NULL, OPT_ROGUE },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ 0 },
};

int br_cli_sim_take_serial(const char *arg, uint32_t *ret)
{
	char *end;
	unsigned long long v = strtoull(arg, &end, 16);

	/* a Pi 5 has 64 bits; the network carries the low 32 */
	if (!*arg || *end || strlen(arg) > 16 || !(uint32_t)v)
		return br_cli_usage("serial '%s': 1 to 16 hexadecimal digits, not zero", arg);
	*ret = (uint32_t)v;
	return 0;
}

/* Names separated by commas. */
static int take_then(struct sim *s, const char *arg)
{
	size_t n_then = 0;

	while (*arg) {
		size_t n = strcspn(arg, ",");
		char name[32];

		snprintf(name, sizeof(name), "%.*s", (int)n, arg);
		if (n_then == THEN_MAX || !(s->then[n_then++] = br_sim_follower_by_name(name)))
			return br_cli_usage("--then %s: of uboot, uboot-efi, uboot-lwip, ipxe, edk2, edk2-http, kernel, klibc, os, at "
				"most %d", arg, THEN_MAX);
		arg += n + (arg[n] == ',');
	}
	return 0;
}

/* Over what, and what comes after. */
static int take_road(struct sim *s, int c, const char *arg)
{
	if (c == OPT_THEN)
		return take_then(s, arg);
	if (c == OPT_SIGNED) {
		struct br_error err = BR_ERROR_NULL;

		s->is_signed = true;
		return br_rsapub_read(arg, &s->signed_key, &err) < 0 ? br_cli_usage("--signed %s", err.text) : 0;
	}
	if (c == OPT_HTTP_PATH) {
		s->http.path = arg;
		return 0;
	}
	s->http.on = !strcmp(arg, "http");
	return s->http.on || !strcmp(arg, "tftp") ? 0 : br_cli_usage("--road %s: tftp or http", arg);
}

/* Who the board is. */
static int take_identity(struct sim *s, int c, const char *arg)
{
	switch (c) {
	case 'm':
		s->model = br_sim_model_by_id(arg);
		return s->model ? 0 : br_cli_usage("no virtual board of model '%s': %s", arg, br_sim_model_ids());
	case 's':
		s->has_serial = true;
		return br_cli_sim_take_serial(arg, &s->serial);
	case 'a':
		s->has_mac = true;
		return br_mac_parse(arg, &s->mac) < 0 || s->mac.b[0] & 1
			       ? br_cli_usage("'%s' is not a board's MAC address, as b8:27:eb:12:34:56", arg)
			       : 0;
	default:
		s->interface = arg;
		return 0;
	}
}

int br_cli_sim_take_number(int c, const char *arg, uint64_t max_boards, struct br_cli_sim_numbers *n)
{
	switch (c) {
	case 'n':
		return br_parse_u64(arg, 1, max_boards, &n->n_boards) < 0
			       ? br_cli_usage("--boards %s: a number from 1 to %llu", arg, (unsigned long long)max_boards)
			       : 0;
	case 't':
		return br_parse_duration(arg, &n->timeout_ns) < 0
			       ? br_cli_usage("--timeout %s: a time as 90s or 10m", arg)
			       : 0;
	default:
		return br_parse_u64(arg, 0, 1000000, &n->speed) < 0
			       ? br_cli_usage("--speed %s: 1 is that of a real board, 100 a hundred times that", arg)
			       : 0;
	}
}

static int take_memory(struct sim *s, const char *arg)
{
	return br_parse_size(arg, &s->memory) < 0 || s->memory < 256ull << 20 || s->memory > 64ull << 30
		       ? br_cli_usage("--qemu-memory %s: from 256M to 64G", arg)
		       : 0;
}

/* "3b,3b+,4,5" */
static int take_models(struct sim *s, const char *arg)
{
	br_cleanup(br_freep) char *copy = strdup(arg);
	char *rest = copy, *id;

	s->has_models = true;
	s->storm.n_models = 0;
	while (copy && (id = strsep(&rest, ","))) {
		if (s->storm.n_models == BR_SIM_STORM_MODELS)
			return br_cli_usage("--models %s: at most %d of them", arg, BR_SIM_STORM_MODELS);
		s->storm.models[s->storm.n_models] = br_sim_model_by_id(id);
		if (!s->storm.models[s->storm.n_models++])
			return br_cli_usage("--models: no virtual board of model '%s': 3b, 3b+, 4 or 5", id);
	}
	return copy ? 0 : br_cli_fail(BR_EXIT_FAILED, "out of memory");
}

static int take_retry(struct sim *s, const char *arg)
{
	uint64_t n;

	if (br_parse_u64(arg, 0, 1000, &n) < 0)
		return br_cli_usage("--retry %s: a number up to 1000", arg);
	s->storm.retry = (unsigned)n;
	s->has_retry = true;
	return 0;
}

static int take_fault(struct sim *s, int c, const char *arg)
{
	struct br_error err = BR_ERROR_NULL;
	const struct option *o = options;

	while (o->val != c)
		o++;
	return br_sim_fault_option(&s->storm.faults, o->name, arg, &err) < 0 ? br_cli_usage("%s", err.text) : 0;
}

static int take_option(struct sim *s, int c, const char *arg)
{
	if (c >= OPT_LOSS)
		return take_fault(s, c, arg);
	switch (c) {
	case OPT_STORM:
		s->is_storm = true;
		return 0;
	case OPT_MODELS:
		return take_models(s, arg);
	case OPT_RETRY:
		return take_retry(s, arg);
	case 't':
		s->has_timeout = true;
		return br_cli_sim_take_number(c, arg, BR_SIM_BOARDS_MAX, &s->numbers);
	case 'n':
	case 'S':
		return br_cli_sim_take_number(c, arg, BR_SIM_BOARDS_MAX, &s->numbers);
	case OPT_MEMORY:
		return take_memory(s, arg);
	case 'o':
		s->json = !strcmp(arg, "json");
		return s->json || !strcmp(arg, "text") ? 0 : br_cli_usage("--output %s: json or text", arg);
	case OPT_ROAD:
	case OPT_HTTP_PATH:
	case OPT_SIGNED:
	case OPT_THEN:
		return take_road(s, c, arg);
	case OPT_CHECK_DIR:
		s->check_dir = arg;
		return 0;
	case OPT_CHECK_IMAGE:
		s->check_image = arg;
		return 0;
	case OPT_BOOT:
		s->boot = true;
		return 0;
	case OPT_CONSOLE:
		s->console = arg;
		return 0;
	case OPT_UNTIL:
		s->until = arg;
		s->has_until = true;
		return 0;
	case OPT_APPEND:
		s->append = arg;
		return 0;
	case OPT_CARD:
		s->card = arg;
		return 0;
	case OPT_POWER:
		s->power_listen = arg;
		return 0;
	default:
		return take_identity(s, c, arg);
	}
}

/* A storm is for many boards; what looks at one does not go with it. */
static int settle_storm(struct sim *s)
{
	static const char *const all[] = { "3b", "3b+", "4", "5" };

	if (s->boot || s->check_dir || s->check_image || s->has_mac || s->power_listen)
		return br_cli_usage("--storm goes without --boot, --check-dir, --check-image, --mac and --power");
	if (s->model && s->has_models)
		return br_cli_usage("--model and --models: one of them");
	if (s->model)
		s->storm.models[s->storm.n_models++] = s->model;
	for (size_t i = 0; !s->model && !s->has_models && i < BR_ARRAY_SIZE(all); i++)
		s->storm.models[s->storm.n_models++] = br_sim_model_by_id(all[i]);
	return 0;
}

/* What does not go together, and what follows from the rest. */
static int settle(struct sim *s)
{
	char words[120];
	int r = s->is_storm ? settle_storm(s) : 0;

	if (r)
		return r;
	if (!s->is_storm && (s->has_models || s->has_retry))
		return br_cli_usage("--models and --retry need --storm");
	if (!s->is_storm && !s->model)
		return br_cli_usage("--model is needed");
	if (s->http.on && (!s->model || !s->model->stages[0].http_steps))
		return br_cli_usage("--road http: only an EEPROM boots by HTTP, as of --model 4 or 5");
	if (s->is_signed && (!s->model || !s->model->stages[0].http_steps))
		return br_cli_usage("--signed: only an EEPROM checks signatures, as of --model 4 or 5");
	if (s->boot && br_sim_fault_any(&s->storm.faults))
		return br_cli_usage("faults are for the firmware: not with --boot");
	if (!s->boot && (s->console || s->has_until || s->append || s->memory))
		return br_cli_usage("--console, --until, --append and --qemu-memory need --boot");
	if (s->card && (!s->boot || s->numbers.n_boards > 1 || s->http.on || strcmp(br_sim_qemu_machine(s->model), "raspi3b") != 0))
		return br_cli_usage("--card is for one board that QEMU has as it is: --model 3b or 3b+ with --boot");
	if (s->power_listen && !s->has_timeout)
		s->numbers.timeout_ns = UINT64_MAX / 4; /* as a rack, it is there until somebody takes it away */
	if (s->console && s->numbers.n_boards > 1)
		return br_cli_usage("--console shows one board: not with --boards %llu", (unsigned long long)s->numbers.n_boards);
	if (s->check_dir && s->check_image)
		return br_cli_usage("--check-dir and --check-image: one of them");
	r = regcomp(&s->until_re, s->until, REG_EXTENDED | REG_NOSUB);
	if (r) {
		regerror(r, &s->until_re, words, sizeof(words));
		return br_cli_usage("--until '%s': %s", s->until, words);
	}
	/* a person who gives no pattern wants the console */
	s->interactive = s->boot && !s->console && !s->has_until && !s->json && s->numbers.n_boards == 1 &&
			 isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	if (!s->has_serial) {
		br_random(&s->serial, sizeof(s->serial));
		s->serial = (s->serial & 0x0fffffff) | 0x10000000;
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
	return settle(s);
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
		.speed = (unsigned)s->numbers.speed,
		.http = s->http,
		.signed_key = s->is_signed ? &s->signed_key : NULL,
		.then = s->then,
		.keep = s->boot || s->power_listen,
		.restarts = s->power != NULL,
		.card = s->card_boot ? br_sim_card_boot(s->card_boot) : (struct br_span){ 0 },
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

/* ---- --power: the strip that the boards are plugged into ---- */

static const char *name_of(void *ctx, size_t board)
{
	const struct sim *s = ctx;

	return s->boards[board].name;
}

/* Within a turn, and not done there: other watches of the board may come in the same one. */
static void on_switched(void *ctx, size_t board, bool on)
{
	struct sim *s = ctx;

	s->boards[board].switched++;
}

static void power_off(struct sim *s, size_t i)
{
	struct virtual_board *v = &s->boards[i];

	br_sim_runner_divert(s->runner, i, NULL);
	br_sim_machine_free(v->machine);
	v->machine = NULL;
	br_sim_system_free(v->system);
	v->system = NULL;
	v->machine_failed = false;
	v->off = true;
	br_sim_board_power_cycle(br_sim_runner_board(s->runner, i), 0, UINT64_MAX);
	br_sim_runner_wake(s->runner, i);
}

static void power_on(struct sim *s, size_t i)
{
	s->boards[i].off = false;
	br_sim_board_power_cycle(br_sim_runner_board(s->runner, i), br_now_ns(), 0);
	br_sim_runner_wake(s->runner, i);
}

static void obey_switches(struct sim *s)
{
	for (size_t i = 0; s->power && i < s->numbers.n_boards; i++) {
		struct virtual_board *v = &s->boards[i];
		bool on = br_sim_power_is_on(s->power, i);

		if (v->switched > 1 || (v->switched && !on && !v->off))
			power_off(s, i);
		if (v->switched && on && v->off)
			power_on(s, i);
		v->switched = 0;
	}
}

static void on_system(void *ctx, bool up, const char *why)
{
	struct virtual_board *v = ctx;

	br_sim_report(stdout, v->sim->json, v->name, &(struct br_sim_event){ .what = up ? BR_SIM_SEEN : BR_SIM_GAVE_UP, .stage = "system", .name = "",
		.text = up ? "its user space is up" : why });
}

/* What the firmware would start: in small, so that a rack of boards comes up in a second. */
static void start_systems(struct sim *s)
{
	for (size_t i = 0; s->power && !s->boot && i < s->numbers.n_boards; i++) {
		struct virtual_board *v = &s->boards[i];
		struct br_sim_board *b = br_sim_runner_board(s->runner, i);

		if (v->off || v->system || br_sim_board_phase(b) != BR_SIM_READY)
			continue;
		v->system = br_sim_system_new(b, br_now_ns(), on_system, v);
		if (v->system)
			br_sim_runner_divert(s->runner, i, &(struct br_sim_station){ br_sim_system_frame, br_sim_system_step,
				br_sim_system_deadline, v->system });
	}
}

static int open_power(struct sim *s, struct br_error *err)
{
	struct br_sim_power_config c = {
		.listen = s->power_listen,
		.n_boards = s->numbers.n_boards,
		.name = name_of,
		.switched = on_switched,
		.ctx = s,
	};

	return br_sim_power_open(&c, &s->power, err);
}

static int set_up(struct sim *s, struct br_error *err)
{
	const char *console = s->interactive ? "-" : s->console;
	int r = 0;

	if (s->boot)
		r = br_sim_qemu_find(err);
	if (!r && s->check_dir)
		r = br_sim_expect_dir(s->check_dir, &s->expect, err);
	if (!r && s->check_image)
		r = br_sim_expect_image(s->check_image, &s->expect, err);
	if (!r && s->card)
		r = br_sim_card_open(s->card, &s->card_boot, err);
	if (!r)
		r = br_sim_link_open(s->interface, &s->link, err);
	if (!r && s->boot && !br_sim_link_is_tap(s->link))
		r = br_error_set(err, EINVAL, "interface %s is not a bridge: --boot needs one, to put the kernel's own "
			"network card on the wire", s->interface);
	if (!r && console)
		r = br_sim_terminal_open(console, &s->terminal, err);
	if (r < 0)
		return r;
	s->runner = br_sim_runner_new(s->link);
	s->boards = calloc(s->numbers.n_boards, sizeof(*s->boards));
	s->watches = calloc(s->numbers.n_boards * BR_SIM_MACHINE_WATCHES + BR_SIM_POWER_WATCHES, sizeof(*s->watches));
	if (!s->runner || !s->boards || !s->watches)
		return br_error_set(err, ENOMEM, "out of memory");
	if (s->power_listen)
		r = open_power(s, err);
	for (uint32_t i = 0; !r && i < s->numbers.n_boards; i++)
		r = add_board(s, i, err);
	for (uint32_t i = 0; !r && s->power && i < s->numbers.n_boards; i++)
		power_off(s, i);
	if (!r && br_sim_fault_any(&s->storm.faults) && br_sim_runner_set_faults(s->runner, &s->storm.faults) < 0)
		r = br_error_set(err, ENOMEM, "out of memory");
	return r;
}

static void tear_down(struct sim *s)
{
	for (size_t i = 0; s->boards && i < s->numbers.n_boards; i++) {
		br_sim_machine_free(s->boards[i].machine);
		br_sim_system_free(s->boards[i].system);
	}
	br_sim_power_close(s->power);
	br_sim_runner_free(s->runner);
	br_sim_link_close(s->link);
	br_sim_expect_free(s->expect);
	br_sim_card_close(s->card_boot);
	br_sim_terminal_close(&s->terminal);
	regfree(&s->until_re);
	free(s->watches);
	free(s->boards);
}

/* The kernel goes on where the firmware ended. */
static void start_machine(struct sim *s, size_t i)
{
	struct virtual_board *v = &s->boards[i];
	struct br_error err = BR_ERROR_NULL;
	struct br_sim_machine_config c = {
		.board = br_sim_runner_board(s->runner, i),
		.link = s->link,
		.until = &s->until_re,
		.terminal = s->interactive || s->console ? &s->terminal : NULL,
		.append = s->append,
		.card = s->card,
		.memory_mib = (unsigned)(s->memory >> 20),
		.quiet = s->interactive,
	};
	int r = br_sim_machine_start(&c, &v->machine, &err);

	if (r < 0) {
		v->machine_failed = true;
		br_cli_fail(BR_EXIT_FAILED, "board %s: %s", v->name, br_error_text(&err, r));
		return;
	}
	br_sim_runner_divert(s->runner, i, &(struct br_sim_station){ .frame = br_sim_machine_frame, .ctx = v->machine });
}

/* Nothing more will happen to board i that is waited for. */
static bool finished(const struct sim *s, size_t i)
{
	enum br_sim_phase p = br_sim_board_phase(br_sim_runner_board(s->runner, i));
	const struct virtual_board *v = &s->boards[i];

	if (p != BR_SIM_READY)
		return p == BR_SIM_FAILED;
	if (!s->boot || v->machine_failed)
		return true;
	return v->machine && (br_sim_machine_ended(v->machine) || (!s->interactive && br_sim_machine_seen(v->machine)));
}

/* What the running machines want from the next turn. */
static uint64_t prepare_turn(struct sim *s)
{
	uint64_t until = br_now_ns() + 200 * BR_MS; /* so that a signal is noticed */
	size_t n = 0;

	obey_switches(s);
	start_systems(s);
	if (s->power)
		n = br_sim_power_watches(s->power, s->watches);
	for (size_t i = 0; i < s->numbers.n_boards; i++) {
		struct virtual_board *v = &s->boards[i];
		uint64_t t;

		if (s->boot && !v->machine && !v->machine_failed &&
			br_sim_board_phase(br_sim_runner_board(s->runner, i)) == BR_SIM_READY)
			start_machine(s, i);
		if (!v->machine)
			continue;
		br_sim_machine_tick(v->machine, br_now_ns());
		t = br_sim_machine_deadline(v->machine);
		until = t < until ? t : until;
		n += br_sim_machine_watches(v->machine, s->watches + n);
	}
	br_sim_runner_set_watches(s->runner, s->watches, n);
	return until;
}

static bool all_finished(const struct sim *s)
{
	for (size_t i = 0; i < s->numbers.n_boards; i++)
		if (!finished(s, i))
			return false;
	return true;
}

/* Somebody at the console may stay as long as they like, once the system is up. */
static bool time_is_up(const struct sim *s, uint64_t until_ns)
{
	const struct br_sim_machine *m = s->boards[0].machine;

	return br_now_ns() >= until_ns && !(s->interactive && m && br_sim_machine_seen(m));
}

static int run_boards(struct sim *s, struct br_error *err)
{
	uint64_t until_ns = br_now_ns() + s->numbers.timeout_ns;

	while (!interrupted && !s->terminal.leave && !time_is_up(s, until_ns)) {
		uint64_t turn_ns = prepare_turn(s);
		int r;

		if (!s->power && all_finished(s))
			return 0;
		r = br_sim_runner_turn(s->runner, turn_ns, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool succeeded(const struct sim *s, size_t i)
{
	const struct br_sim_board *b = br_sim_runner_board(s->runner, i);
	const struct br_sim_machine *m = s->boards[i].machine;

	return br_sim_board_phase(b) == BR_SIM_READY && !br_sim_board_wrong(b) &&
	       (!s->boot || (m && br_sim_machine_seen(m)));
}

/* The last words of a system that did not come up. */
static void show_tail(const struct sim *s, size_t i)
{
	br_cleanup(br_freep) char *tail = NULL;

	if (!s->boards[i].machine || s->interactive)
		return;
	tail = br_sim_machine_tail(s->boards[i].machine);
	fprintf(stderr, "board %s, the last lines of its console:\n%s", s->boards[i].name,
		tail && *tail ? tail : "  (nothing)\n");
}

static int conclude(const struct sim *s)
{
	size_t n = s->numbers.n_boards, good = 0, busy = 0, wrong = 0;

	if (s->power) /* it had no end to come to */
		return BR_EXIT_OK;
	for (size_t i = 0; i < n; i++) {
		good += succeeded(s, i);
		busy += !finished(s, i);
		wrong += br_sim_board_wrong(br_sim_runner_board(s->runner, i)) != 0;
	}
	if (good == n)
		return BR_EXIT_OK;
	if (interrupted || s->terminal.leave)
		return BR_EXIT_INTERRUPTED;
	for (size_t i = 0; i < n; i++)
		if (!succeeded(s, i))
			show_tail(s, i);
	return br_cli_fail(busy ? BR_EXIT_TIMEOUT : BR_EXIT_FAILED,
		"%zu of %zu virtual boards %s; %zu were not there when the time was up, %zu saw something wrong", good, n,
		s->boot ? "reached the end of their boot" : "got their kernel", busy, wrong);
}

/* Returns an exit code. */
static int run_storm(struct sim *s)
{
	struct br_sim_storm_result result = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int r = br_sim_link_open(s->interface, &s->link, &err);

	s->storm.n_boards = s->numbers.n_boards;
	s->storm.serial = s->serial;
	s->storm.speed = (unsigned)s->numbers.speed;
	s->storm.timeout_ns = s->numbers.timeout_ns;
	s->storm.json = s->json;
	s->storm.progress = true;
	s->storm.out = stdout;
	s->storm.stop = &interrupted;
	if (!r)
		r = br_sim_storm_run(&s->storm, s->link, &result, &err);
	tear_down(s);
	if (r < 0)
		return br_cli_fail(BR_EXIT_FAILED, "%s", br_error_text(&err, r));
	if (result.n_up == result.n_boards)
		return BR_EXIT_OK;
	return br_cli_fail(interrupted				      ? BR_EXIT_INTERRUPTED
			   : result.n_up + result.n_failed < result.n_boards ? BR_EXIT_TIMEOUT
									     : BR_EXIT_FAILED,
		"%zu of %zu virtual boards came up; %zu failed, %zu were not there yet", result.n_up, result.n_boards,
		result.n_failed, result.n_boards - result.n_up - result.n_failed);
}

static int sim(int argc, char **argv)
{
	struct sim s = { .numbers = { 1, DEFAULT_SPEED, DEFAULT_TIMEOUT_NS }, .until = DEFAULT_UNTIL,
		.terminal = BR_SIM_TERMINAL_NULL };
	struct sigaction stop = { .sa_handler = on_signal };
	struct br_error err = BR_ERROR_NULL;
	int r, code;

	if (br_cli_sim_usb_is_meant(argc, argv))
		return br_cli_sim_usb(argc, argv);
	r = parse_options(&s, argc, argv);
	if (r)
		return r;
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGHUP, &stop, NULL);
	if (s.is_storm)
		return run_storm(&s);
	r = set_up(&s, &err);
	if (!r)
		r = run_boards(&s, &err);
	code = r < 0 ? BR_EXIT_FAILED : conclude(&s);
	tear_down(&s); /* before a message: the terminal is as it was */
	if (r < 0)
		br_cli_fail(BR_EXIT_FAILED, "%s", br_error_text(&err, r));
	return code;
}

static const char details[] =
	"  --model M          3b, 3b+, 4, 5 and others (an unknown one lists them)\n"
	"  --serial S         its serial in hexadecimal (else made up); board i has S + i\n"
	"  --mac M            its MAC address (else made from the serial)\n"
	"  --interface IF     a bridge, or another interface the server listens on (else the one bridge here)\n"
	"  --boards N         N virtual boards at once\n"
	"  -o, --output F     text, or json: one event per line\n"
	"  --timeout T        at most so long, default 10m\n"
	"  --speed N          pauses of a real board are divided by N, default 100; 1 is real, 0 has none\n"
	"  --check-dir DIR    the boot files as they should arrive; cmdline.txt and config.txt are not compared\n"
	"  --check-image FILE the same from the boot partition of an image\n"
	"  --road ROAD        tftp, or http: an EEPROM with 7 in BOOT_ORDER fetches boot.sig and boot.img\n"
	"  --http-path PATH   HTTP_PATH of that EEPROM, default net_install\n"
	"  --signed KEY       fused with this public key (PEM or pubkey.bin): it takes boot.img and boot.sig only, and checks them\n"
	"  --then NAMES       what goes on after the firmware and asks for an address again: uboot, ipxe, edk2, kernel, klibc, os ...\n"
	"  --boot             hands the kernel to QEMU on the same wire; ends at the login prompt, or when left (Ctrl-A x)\n"
	"  --console WHERE    of that kernel: a file, or unix:SOCKET (else this terminal, when there is one)\n"
	"  --until REGEX      the console line that means success, default 'login: $'\n"
	"  --append ARGS      more arguments for the kernel\n"
	"  --card FILE        its SD card, an image whose size is a power of two: a 3b or 3b+ boots from it instead\n"
	"  --qemu-memory SIZE of a virtual 4 or 5, default 1G\n"
	"  --power [ADDR:]PORT the boards are off until somebody switches them on, over HTTP: /cm?cmnd=Power1%20On as Tasmota, or\n"
	"                     /board/SERIAL/on, off, cycle, status; ends at a signal, or with --timeout\n"
	"  --storm            a fleet at once: progress, then one summary; with -o json a line per board and one for all\n"
	"  --models M,M,...   of a storm, in turn; default 3b,3b+,4,5\n"
	"  --retry N          in a storm: cycles the power of a board that stays dark, at most N times\n"
	"  --loss PCT, --dup PCT, --reorder PCT   of the frames of each board, each way\n"
	"  --delay MS[:MS]    of every frame, and up to so much more by chance\n"
	"  --late-port S[:PCT] the switch ports of PCT of the boards open S seconds after power-on\n"
	"  --mtu N            larger packets vanish\n"
	"  --rate BITS        of each board's link, as 100M; what would wait over 50 ms is lost\n"
	"  --rogue-dhcp MS    another DHCP server, for these boards only, answers after MS with nothing of use\n"
	"  --seed N           of the faults: the same number gives the same ones\n" BR_CLI_SIM_USB_DETAILS;

const struct br_command br_cli_sim[] = {
	{ NULL, "sim", "--model 3b+|4|5 | --usb cm4,... [--interface IF] [--serial S] [--boards N] [--boot] ...",
		"Plays a board: its firmware fetches and checks, then its kernel boots", sim, details },
	{ 0 },
};

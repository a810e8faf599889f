/* SPDX-License-Identifier: Apache-2.0 */
/* bramble sim --usb: virtual boards in USB boot mode on the ports of a QEMU. */
#include "cli/simusb.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/cli.h"
#include "sim/usbpayload.h"
#include "sim/usbport.h"

#define BOARDS_MAX	   64
#define DEFAULT_TIMEOUT_NS (600 * BR_S)
#define DEFAULT_SPEED	   100
#define DEFAULT_SERIAL	   0x10000001
#define TURN_NS		   (200 * BR_MS) /* so that a signal is noticed */

struct usb_sim;

struct usb_board {
	struct usb_sim *sim;
	struct br_sim_rom_config config;
	struct br_sim_usb_port *port;
	char serial[9];
	bool was_connected;
};

struct usb_sim {
	const char *sockets, *check_dir;
	struct br_sim_usb_payload *payload;
	struct usb_board boards[BOARDS_MAX];
	struct { const struct br_sim_rom_kind *kind; enum br_sim_rom_quirk quirk; uint64_t value; } list[BOARDS_MAX];
	size_t n_list;
	struct br_cli_sim_numbers numbers;
	uint32_t serial;
	bool json;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	interrupted = 1;
}

static void on_event(void *ctx, const struct br_sim_rom_event *e)
{
	struct usb_board *v = ctx;

	br_sim_usb_report(stdout, v->sim->json, v->serial, e);
}

static int on_expected(void *ctx, const char *name, uint64_t *ret_size, uint32_t *ret_crc)
{
	struct usb_board *v = ctx;

	return br_sim_usb_payload_find(v->sim->payload, v->config.kind, name, ret_size, ret_crc);
}

/* ---- options ---- */

enum { OPT_USB = 256, OPT_SOCKETS, OPT_CHECK_DIR };

static const struct option options[] = {
	{ "usb", required_argument, NULL, OPT_USB },
	{ "usb-sockets", required_argument, NULL, OPT_SOCKETS },
	{ "serial", required_argument, NULL, 's' },
	{ "boards", required_argument, NULL, 'n' },
	{ "output", required_argument, NULL, 'o' },
	{ "timeout", required_argument, NULL, 't' },
	{ "speed", required_argument, NULL, 'S' },
	{ "check-dir", required_argument, NULL, OPT_CHECK_DIR },
	{ 0 },
};

bool br_cli_sim_usb_is_meant(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--usb") || br_str_starts(argv[i], "--usb="))
			return true;
	return false;
}

static int list_all(void)
{
	static const char *const values[] = { "", "=N", "=TIME", "=SIZE" };
	const struct br_sim_rom_kind *k;

	printf("Kinds of boards:\n");
	for (size_t i = 0; (k = br_sim_rom_kind_at(i)); i++)
		printf("  %-20s USB %04x:%04x, %s%s\n", k->id, BR_USBBOOT_VENDOR, k->product_id, k->product,
			k->composite ? ", two interfaces" : "");
	printf("What a board may do (KIND:QUIRK):\n");
	for (int q = 0; q < BR_SIM_ROM_QUIRKS; q++) {
		const struct br_sim_rom_quirk_info *info = br_sim_rom_quirk_at((enum br_sim_rom_quirk)q);

		printf("  %s%-*s %s\n", info->name, 20 - (int)strlen(info->name), values[info->takes], info->meaning);
	}
	return BR_EXIT_OK;
}

/* One of "cm4", "cm4:vanish", "cm5:silent=25s". */
static int take_kind(struct usb_sim *s, char *item)
{
	char *quirk = strchr(item, ':');
	struct br_error err = BR_ERROR_NULL;

	if (s->n_list == BOARDS_MAX)
		return br_cli_usage("--usb: at most %d boards", BOARDS_MAX);
	if (quirk)
		*quirk++ = 0;
	s->list[s->n_list].kind = br_sim_rom_kind_by_id(item);
	if (!s->list[s->n_list].kind)
		return br_cli_usage("no virtual board of kind '%s': see '--usb help'", item);
	if (quirk && br_sim_rom_quirk_parse(quirk, &s->list[s->n_list].quirk, &s->list[s->n_list].value, &err) < 0)
		return br_cli_usage("--usb %s: %s", item, err.text);
	s->n_list++;
	return 0;
}

static int take_kinds(struct usb_sim *s, const char *arg)
{
	br_cleanup(br_freep) char *copy = strdup(arg);
	char *rest = copy, *item;
	int r = copy ? 0 : br_cli_fail(BR_EXIT_FAILED, "out of memory");

	while (!r && (item = strsep(&rest, ",")))
		r = take_kind(s, item);
	return r;
}

static int take_option(struct usb_sim *s, int c, const char *arg)
{
	switch (c) {
	case OPT_USB:
		return take_kinds(s, arg);
	case OPT_SOCKETS:
		s->sockets = arg;
		return 0;
	case OPT_CHECK_DIR:
		s->check_dir = arg;
		return 0;
	case 'o':
		s->json = !strcmp(arg, "json");
		return s->json || !strcmp(arg, "text") ? 0 : br_cli_usage("--output %s: json or text", arg);
	case 's':
		return br_cli_sim_take_serial(arg, &s->serial);
	default:
		return br_cli_sim_take_number(c, arg, BOARDS_MAX, &s->numbers);
	}
}

static int parse_options(struct usb_sim *s, int argc, char **argv)
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
	if (!s->n_list)
		return br_cli_usage("--usb '': which boards?");
	if (!s->sockets)
		return br_cli_usage("--usb needs --usb-sockets DIR, for the sockets that QEMU connects to");
	if (!s->numbers.n_boards)
		s->numbers.n_boards = s->n_list;
	return 0;
}

/* ---- the run ---- */

static void show_port(const struct usb_sim *s, const struct usb_board *v, size_t number, const char *path)
{
	const char *quirk = br_sim_rom_quirk_at(v->config.quirk)->name;

	if (s->json)
		printf("{\"board\":\"%s\",\"what\":\"listening\",\"kind\":\"%s\",\"quirk\":\"%s\",\"port\":%zu,\"socket\":\"%s\"}\n",
			v->serial, v->config.kind->id, quirk, number, path);
	else
		printf("%s  %s, %s: -chardev socket,id=port%zu,path=%s -device usb-redir,chardev=port%zu,port=%zu\n", v->serial,
			v->config.kind->id, quirk, number, path, number, number);
}

static int add_board(struct usb_sim *s, size_t i, struct br_error *err)
{
	struct usb_board *v = &s->boards[i];
	br_cleanup(br_freep) char *path = br_asprintf("%s/port%zu.sock", s->sockets, i + 1);
	int r;

	if (!path)
		return br_error_set(err, ENOMEM, "out of memory");
	v->sim = s;
	v->config = (struct br_sim_rom_config){
		.kind = s->list[i % s->n_list].kind,
		.quirk = s->list[i % s->n_list].quirk,
		.value = s->list[i % s->n_list].value,
		.serial = s->serial + (uint32_t)i,
		.speed = (unsigned)s->numbers.speed,
		.expected = s->payload ? on_expected : NULL,
		.event = on_event,
		.ctx = v,
	};
	snprintf(v->serial, sizeof(v->serial), "%08x", v->config.serial);
	r = br_sim_usb_port_open(path, &v->config, &v->port, err);
	if (!r)
		show_port(s, v, i + 1, path);
	return r;
}

/* A turn over all ports: until something happens, or is due. */
static int turn(struct usb_sim *s, struct br_error *err)
{
	struct pollfd fds[BOARDS_MAX];
	uint64_t now_ns = br_now_ns(), until_ns = now_ns + TURN_NS;
	int r = 0;

	for (size_t i = 0; i < s->numbers.n_boards; i++) {
		const struct br_sim_usb_port *p = s->boards[i].port;
		uint64_t t = br_sim_usb_port_deadline(p);

		fds[i] = (struct pollfd){ br_sim_usb_port_fd(p), br_sim_usb_port_events(p), 0 };
		until_ns = t < until_ns ? t : until_ns;
	}
	if (poll(fds, s->numbers.n_boards, until_ns > now_ns ? (int)((until_ns - now_ns + BR_MS - 1) / BR_MS) : 0) < 0)
		return errno == EINTR ? 0 : br_error_set(err, errno, "poll: %m");
	now_ns = br_now_ns();
	for (size_t i = 0; !r && i < s->numbers.n_boards; i++) {
		struct usb_board *v = &s->boards[i];

		if (fds[i].revents || br_sim_usb_port_deadline(v->port) <= now_ns)
			r = br_sim_usb_port_ready(v->port, fds[i].revents, now_ns, err);
		v->was_connected = v->was_connected || br_sim_usb_port_connected(v->port);
	}
	return r;
}

/* QEMU was there and left. */
static bool is_over(const struct usb_sim *s)
{
	for (size_t i = 0; i < s->numbers.n_boards; i++)
		if (!s->boards[i].was_connected || br_sim_usb_port_connected(s->boards[i].port))
			return false;
	return true;
}

static int run(struct usb_sim *s, struct br_error *err)
{
	uint64_t until_ns = br_now_ns() + s->numbers.timeout_ns;
	int r = 0;

	while (!r && !interrupted && !is_over(s) && br_now_ns() < until_ns)
		r = turn(s, err);
	return r;
}

static int conclude(const struct usb_sim *s)
{
	size_t good = 0, wrong = 0;
	bool over = is_over(s);

	for (size_t i = 0; i < s->numbers.n_boards; i++) {
		const struct br_sim_rom *b = br_sim_usb_port_board(s->boards[i].port);

		good += b && br_sim_rom_phase(b) == BR_SIM_ROM_GOOD && !br_sim_rom_wrong(b);
		wrong += b && br_sim_rom_wrong(b);
	}
	if (good == s->numbers.n_boards)
		return BR_EXIT_OK;
	if (interrupted)
		return BR_EXIT_INTERRUPTED;
	return br_cli_fail(over ? BR_EXIT_FAILED : BR_EXIT_TIMEOUT,
		"%zu of %llu virtual boards got all they wanted; %zu saw their host do something wrong%s", good,
		(unsigned long long)s->numbers.n_boards, wrong, over ? "" : "; the time is up and no QEMU has come and gone");
}

static int set_up(struct usb_sim *s, struct br_error *err)
{
	int r = 0;

	assert(s->sockets); /* parse_options() */
	if (s->check_dir)
		r = br_sim_usb_payload_open(s->check_dir, &s->payload, err);
	if (!r && mkdir(s->sockets, 0700) < 0 && errno != EEXIST)
		r = br_error_set(err, errno, "%s: cannot make it: %m", s->sockets);
	for (size_t i = 0; !r && i < s->numbers.n_boards; i++)
		r = add_board(s, i, err);
	fflush(stdout);
	return r;
}

int br_cli_sim_usb(int argc, char **argv)
{
	br_cleanup(br_freep) struct usb_sim *s = calloc(1, sizeof(*s));
	struct sigaction stop = { .sa_handler = on_signal };
	struct br_error err = BR_ERROR_NULL;
	int r, code;

	for (int i = 1; i < argc; i++)
		if ((!strcmp(argv[i], "--usb") && i + 1 < argc && !strcmp(argv[i + 1], "help")) || !strcmp(argv[i], "--usb=help"))
			return list_all();
	if (!s)
		return br_cli_fail(BR_EXIT_FAILED, "out of memory");
	s->numbers.speed = DEFAULT_SPEED;
	s->numbers.timeout_ns = DEFAULT_TIMEOUT_NS;
	s->serial = DEFAULT_SERIAL;
	code = parse_options(s, argc, argv);
	if (code)
		return code;
	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGHUP, &stop, NULL);
	r = set_up(s, &err);
	if (!r)
		r = run(s, &err);
	code = r < 0 ? br_cli_fail(BR_EXIT_FAILED, "%s", br_error_text(&err, r)) : conclude(s);
	for (size_t i = 0; i < s->numbers.n_boards; i++)
		br_sim_usb_port_close(s->boards[i].port);
	br_sim_usb_payload_close(s->payload);
	return code;
}

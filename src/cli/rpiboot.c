/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program as 'rpiboot', or 'bramble rpiboot': the options, the words that scripts look for and the exit codes of the tool of
 * that name. It waits for ever, as that does, but says what it waits for; with -l it serves all boards at once, and waits in silence.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/usbboot.h"
#include "cli/usbrun.h"
#include "cli/usbshow.h"
#include "usb/payload.h"
#include "usb/sessionjson.h"

/* exit(-1) of the tool, and exit(1) */
#define EXIT_WRONG 255
#define EXIT_TROUBLE 1

struct rpiboot {
	const char *dir, *json_dir;
	bool overlay, sign, json;
	unsigned verbose;
	bool waiting_told;
	struct br_usb_run run;
	struct br_usb_voice voice;
	struct br_usb_payload *payload; /* of -d */
	struct br_usb_payload *gadgets[4]; /* by model, without -d */
	int json_trouble;
};

static const char usage_text[] =
	"Usage: rpiboot\n"
	"   or: rpiboot -d [directory]\n"
	"Boots a Raspberry Pi in USB device mode, by default as a mass storage device\n\n"
	"        -d [directory]   Boots a device using files in this directory (bootfiles.bin, or bootcode*.bin and more)\n"
	"        -o               Uses files from an overlay named after the device's USB path, when they exist there\n"
	"        -l               Loops until interrupted, serving all devices at once; without it one, and no other\n"
	"        -m delay         Microseconds between checking for new devices (default 500)\n"
	"        -j [path]        Metadata of the device as JSON, into path/<serial>.json if a path is given\n"
	"        -p PATH          Only the device with this USB path, bus-port.port...\n"
	"        -0 to -98        Only a device on a port of this number\n"
	"        -i SERIAL        Only the device with this serial number\n"
	"        -s               Signed boot: bootsig.bin in the directory, bootcode.sig is sent (BCM2710)\n"
	"        -v, -vv          Verbose\n"
	"        -V               Displays the version and exits\n"
	"        -h               This help\n";

static int usage(bool error)
{
	fputs(usage_text, error ? stderr : stdout);
	return error ? EXIT_WRONG : BR_EXIT_OK;
}

/* --- options --- */

/* "-0" ... "-98": numbers are no letters of getopt(). They are taken out of the arguments. -1: not one of these. */
static int port_of(const char *arg)
{
	uint64_t n;

	if (arg[0] != '-' || br_parse_u64(arg + 1, 0, 98, &n) < 0)
		return -1;
	return (int)n;
}

static int take_ports(int argc, char **argv, struct br_usb_select *select)
{
	static const char with_value[] = "dmpi"; /* a number behind these is their value */
	int n = 1;

	for (int i = 1; i < argc; i++) {
		bool value = i > 1 && argv[i - 1][0] == '-' && argv[i - 1][1] && !argv[i - 1][2] &&
			strchr(with_value, argv[i - 1][1]);
		int port = value ? -1 : port_of(argv[i]);

		if (port < 0)
			argv[n++] = argv[i];
		else
			select->port = port;
	}
	argv[n] = NULL;
	return n;
}

/* -1: go on; else the exit code. */
static int take_option(struct rpiboot *p, int c, int argc, char **argv)
{
	uint64_t delay;

	switch (c) {
	case 'd':
		p->dir = optarg;
		break;
	case 'l':
		p->run.loop = true;
		p->run.first_only = false;
		break;
	case 'o':
		p->overlay = true;
		break;
	case 'm': /* devices are told by the kernel: there is nothing to poll */
		if (br_parse_u64(optarg, 1, 10000000, &delay) < 0)
			return usage(true);
		break;
	case 'v':
		p->verbose++;
		break;
	case 's':
		p->sign = true;
		break;
	case 'p':
		p->run.select.path = optarg;
		break;
	case 'i':
		p->run.select.serial = optarg;
		break;
	case 'j': /* its value is optional, and a word of its own */
		p->json = true;
		if (optind < argc && argv[optind][0] != '-')
			p->json_dir = argv[optind++];
		break;
	case 'V':
		printf("RPIBOOT: bramble " BRAMBLE_VERSION "\n");
		return BR_EXIT_OK;
	case 'h':
		return usage(false);
	default:
		return usage(true);
	}
	return -1;
}

static int take_options(int argc, char **argv, struct rpiboot *p)
{
	int c, code = -1;

	argc = take_ports(argc, argv, &p->run.select);
	while (code < 0 && (c = getopt(argc, argv, "d:lom:vsp:i:jVh")) != -1)
		code = take_option(p, c, argc, argv);
	if (code >= 0)
		return code;
	if (optind < argc || (p->run.select.path && p->run.select.port >= 0))
		return usage(true);
	if (p->overlay && !p->dir) {
		fputs("-o (overlay) needs -d\n", stderr);
		return EXIT_WRONG;
	}
	return -1;
}

/* --- payloads --- */

static int check_signed(const struct rpiboot *p, struct br_error *err)
{
	const struct br_usb_who who = { .model = br_usbboot_model(BR_USBBOOT_VENDOR, 0x2764) };
	struct br_usb_payload_file file = { 0 };
	int r = p->sign ? br_usb_payload_lookup(p->payload, &who, "bootsig.bin", &file, NULL) : 0;

	br_usb_payload_close(&file);
	return r < 0 ? br_error_set(err, ENOENT, "signed boot: bootsig.bin is missing in %s", p->dir) : 0;
}

static int open_directory(struct rpiboot *p)
{
	struct br_usb_directory dir = { .dir = p->dir, .overlay = p->overlay, .links = true };
	struct br_error err = BR_ERROR_NULL;
	int r = br_usb_payload_directory(&dir, &p->payload, &err);

	if (!r)
		r = check_signed(p, &err);
	if (!r)
		return -1;
	fprintf(stderr, "%s\n", br_error_text(&err, r));
	return r == -ENOENT || r == -ENOTDIR ? EXIT_WRONG : EXIT_TROUBLE;
}

static struct br_usb_payload *gadget_of(struct rpiboot *p, const struct br_usbboot_model *model)
{
	struct br_error err = BR_ERROR_NULL;
	size_t i = 0;
	int r;

	while (br_usbboot_model_at(i) != model)
		i++;
	if (p->gadgets[i])
		return p->gadgets[i];
	r = br_usb_payload_gadget(model, &p->gadgets[i], &err);
	if (r < 0) {
		fprintf(stderr, "%s; or give a directory with -d\n", br_error_text(&err, r));
		return NULL;
	}
	printf("Directory not specified - trying default %s\n", br_usb_payload_text(p->gadgets[i]));
	return p->gadgets[i];
}

static int choose(void *ctx, const struct br_usb_device *dev, const struct br_usbboot_model *model,
	struct br_usb_choice *ret)
{
	struct rpiboot *p = ctx;
	struct br_usb_payload *payload = p->dir ? p->payload : gadget_of(p, model);

	if (!payload)
		return -ENOENT;
	/* the tool takes a board that leaves for one that is done */
	*ret = (struct br_usb_choice){ .files = br_usb_payload_files(payload), .sign = p->sign, .leave_ok = true };
	return 1;
}

/* --- words --- */

static void on_step(void *ctx, struct br_usb_session *s, const struct br_usb_step *step)
{
	struct rpiboot *p = ctx;
	const struct br_usbboot_model *model = br_usb_session_model(s);

	switch (step->kind) {
	case BR_USB_STEP_FOUND:
		if (p->verbose)
			printf("Found %s at %s, serial \"%s\"\n", model->chip, br_usb_session_path(s), br_usb_session_serial(s));
		printf("%s\n", strcmp(step->name, "rom") ? "Second stage boot server" : "Sending bootcode.bin");
		break;
	case BR_USB_STEP_STATUS:
		if (step->bytes)
			printf("Failed : 0x%llx\n", (unsigned long long)step->bytes);
		else
			printf("Successful read 4 bytes\n");
		break;
	case BR_USB_STEP_LEFT:
		printf("Waiting for BCM2835/6/7/2711/2712...\n");
		break;
	case BR_USB_STEP_FILE:
		printf("File read: %s\n", step->name);
		break;
	case BR_USB_STEP_MISSING:
		printf("Cannot open file %s\n", step->name);
		break;
	case BR_USB_STEP_METADATA:
		if (p->verbose)
			printf("Metadata: %s = %s\n", step->name, step->detail);
		break;
	case BR_USB_STEP_TROUBLE:
		fprintf(stderr, "%s: %s\n", br_usb_session_path(s), step->detail);
		break;
	default:
		break;
	}
	fflush(stdout);
}

static void tell_metadata(struct rpiboot *p, const struct br_usb_session *s)
{
	struct br_error err = BR_ERROR_NULL;
	br_cleanup(json_decrefp) json_t *json = NULL;
	size_t n;

	br_usb_session_metadata(s, &n);
	if (!p->json || !n)
		return;
	if (p->json_dir && br_usb_write_metadata(s, p->json_dir, &err) < 0) {
		p->json_trouble++;
		fprintf(stderr, "Failed to write metadata: %s\n", err.text);
	}
	if (p->json_dir)
		return;
	json = br_usb_metadata_json(s);
	if (json)
		br_print_json(json, true);
}

static void on_ended(void *ctx, struct br_usb_session *s)
{
	struct rpiboot *p = ctx;

	tell_metadata(p, s);
	if (br_usb_verdict_is_well(br_usb_session_verdict(s)))
		printf("Second stage boot server done\n");
	else
		fprintf(stderr, "%s: %s\n", br_usb_session_path(s), br_usb_session_reason(s));
	fflush(stdout);
}

static void on_waiting(void *ctx, uint64_t waited_ns, const char *there)
{
	fprintf(stderr, "still waiting for a device in boot mode after %u s: %s%s\n", (unsigned)(waited_ns / BR_S),
		there[0] ? "there, and left alone: " : "",
		there[0] ? there : "no 0a5c:2711, 2712, 2763 or 2764 on any port (is nRPIBOOT set? does the cable carry data?)");
}

static void on_held(void *ctx, const struct br_usb_device *dev, const char *reason)
{
	fprintf(stderr, "%s: %s\n", dev->path, reason);
}

static int exit_of(const struct rpiboot *p)
{
	if (p->run.well && !p->json_trouble)
		return BR_EXIT_OK;
	if (p->run.interrupted)
		return BR_EXIT_INTERRUPTED;
	return p->run.denied ? EXIT_WRONG : EXIT_TROUBLE;
}

static int serve(struct rpiboot *p)
{
	struct br_error err = BR_ERROR_NULL;
	int r;

	p->voice = (struct br_usb_voice){ on_step, on_ended, on_waiting, on_held, NULL, p };
	p->run.voice = &p->voice;
	p->run.choose = choose;
	p->run.ctx = p;
	p->run.timeout_ns = UINT64_MAX;
	printf("RPIBOOT: bramble " BRAMBLE_VERSION "\n");
	printf("Waiting for BCM2835/6/7/2711/2712...\n");
	fflush(stdout);
	r = br_usb_run(&p->run, &err);
	if (r < 0)
		fprintf(stderr, "%s\n", br_error_text(&err, r));
	return r < 0 ? EXIT_TROUBLE : exit_of(p);
}

int br_cli_rpiboot(int argc, char **argv)
{
	struct rpiboot p = { .run = { .select.port = -1, .first_only = true } };
	int code = take_options(argc, argv, &p);

	if (code < 0 && p.dir)
		code = open_directory(&p);
	if (code < 0)
		code = serve(&p);
	for (size_t i = 0; i < BR_ARRAY_SIZE(p.gadgets); i++)
		br_usb_payload_unref(p.gadgets[i]);
	br_usb_payload_unref(p.payload);
	return code;
}

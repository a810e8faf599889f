/* SPDX-License-Identifier: Apache-2.0 */
/* bramble usb list, boot: boards in boot mode on this machine's USB ports. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "cli/usbrun.h"
#include "cli/usbshow.h"
#include "usb/payload.h"
#include "usb/sysfs.h"

#define TIMEOUT_NS (120 * BR_S)

/* --- list --- */

static json_t *device_json(const struct br_usb_device *dev, const struct br_usbboot_model *model)
{
	struct br_error err = BR_ERROR_NULL;
	bool may = br_usb_may_open(dev, &err) == 0;
	char id[16];

	snprintf(id, sizeof(id), "%04x:%04x", dev->vendor, dev->product);
	return json_pack("{s:s, s:i, s:i, s:s, s:s, s:s, s:s, s:s, s:b, s:s}", "path", dev->path, "bus", dev->bus, "port",
		dev->port, "node", dev->node, "id", id, "chip", model->chip, "stage",
		br_usbboot_is_rom(dev->serial_index) ? "rom" : "file-server", "serial", dev->serial, "accessible", (int)may,
		"why", may ? "" : err.text);
}

static void cell_path(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "path", out);
}

static void cell_port(const json_t *row, char out[static BR_CELL_MAX])
{
	snprintf(out, BR_CELL_MAX, "%d", (int)json_integer_value(json_object_get(row, "port")));
}

static void cell_chip(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "chip", out);
}

static void cell_stage(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "stage", out);
}

static void cell_serial(const json_t *row, char out[static BR_CELL_MAX])
{
	const char *serial = json_string_value(json_object_get(row, "serial"));

	snprintf(out, BR_CELL_MAX, "%s", serial && serial[0] ? serial : "-");
}

static void cell_access(const json_t *row, char out[static BR_CELL_MAX])
{
	snprintf(out, BR_CELL_MAX, "%s", json_is_true(json_object_get(row, "accessible")) ? "yes" : "no permission");
}

/* What the table has no room for. */
static void explain(const json_t *rows)
{
	size_t i;
	json_t *row;

	json_array_foreach(rows, i, row) {
		if (!json_is_true(json_object_get(row, "accessible")))
			fprintf(stderr, "%s: %s\n", json_string_value(json_object_get(row, "path")),
				json_string_value(json_object_get(row, "why")));
	}
	if (!json_array_size(rows))
		fputs("no board in USB boot mode here\n", stderr);
}

static int run_list(int argc, char **argv)
{
	static const struct option options[] = { BR_COMMON_LONG };
	static const struct br_column columns[] = {
		{ "PATH", cell_path }, { "PORT", cell_port }, { "CHIP", cell_chip }, { "STAGE", cell_stage },
		{ "SERIAL", cell_serial }, { "ACCESS", cell_access }, { 0 },
	};
	br_cleanup(br_freep) struct br_usb_listed *list = NULL;
	br_cleanup(json_decrefp) json_t *rows = json_array();
	struct br_common common = { 0 };
	struct br_error err = BR_ERROR_NULL;
	size_t n;
	int c, r;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1)
		if (br_common_take(&common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	if (argc != optind)
		return br_cli_usage("takes no words");
	r = br_usb_sysfs_list(BR_USB_SYSFS, &list, &n, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	for (size_t i = 0; i < n; i++) {
		const struct br_usbboot_model *model = br_usbboot_model(list[i].device.vendor, list[i].device.product);

		if (model)
			json_array_append_new(rows, device_json(&list[i].device, model));
	}
	br_table_print(rows, columns, "path", &common);
	if (common.form == BR_FORM_TABLE && !common.quiet)
		explain(rows);
	return BR_EXIT_OK;
}

/* --- boot --- */

struct boot {
	struct br_common common;
	const char *dir, *image, *firmware;
	bool overlay, sign, verbose, metadata, leave_ok;
	const char *metadata_dir;
	struct br_usb_run run;
	struct br_usb_payload *payload;
};

static const struct option boot_options[] = {
	{ "directory", required_argument, NULL, 'd' },
	{ "firmware", required_argument, NULL, 'f' },
	{ "overlay", no_argument, NULL, 'O' },
	{ "sign", no_argument, NULL, 'S' },
	{ "path", required_argument, NULL, 'p' },
	{ "port", required_argument, NULL, 'P' },
	{ "serial", required_argument, NULL, 's' },
	{ "loop", no_argument, NULL, 'l' },
	{ "metadata", optional_argument, NULL, 'm' },
	{ "wait-for", required_argument, NULL, 'w' },
	{ "timeout", required_argument, NULL, 't' },
	{ "leave-ok", no_argument, NULL, 'L' },
	{ "verbose", no_argument, NULL, 'v' },
	BR_COMMON_LONG,
};

/* 0, -1 after a message. */
static int take_number(struct boot *b, int c)
{
	uint64_t v;

	if (c == 't') {
		if (br_parse_duration(optarg, &b->run.timeout_ns) < 0)
			return br_cli_usage("--timeout wants a duration: 90s, 5m; 0 for no end"), -1;
		b->run.timeout_ns = b->run.timeout_ns ? b->run.timeout_ns : UINT64_MAX;
		return 0;
	}
	if (br_parse_u64(optarg, 0, c == 'P' ? 255 : 1000, &v) < 0)
		return br_cli_usage(c == 'P' ? "--port wants a number up to 255" : "--wait-for wants a number up to 1000"), -1;
	if (c == 'P')
		b->run.select.port = (int)v;
	else
		b->run.wait_for = (unsigned)v;
	return 0;
}

static void take_flag(struct boot *b, int c)
{
	b->overlay |= c == 'O';
	b->sign |= c == 'S';
	b->run.loop |= c == 'l';
	b->leave_ok |= c == 'L';
	b->verbose |= c == 'v';
	b->metadata |= c == 'm';
	if (c == 'm')
		b->metadata_dir = optarg;
}

/* 0 or an exit code. */
static int take_boot_options(int argc, char **argv, struct boot *b)
{
	int c;

	while ((c = getopt_long(argc, argv, ":d:f:Op:P:s:lw:t:v" BR_COMMON_SHORT, boot_options, NULL)) != -1) {
		if (c == 'd')
			b->dir = optarg;
		else if (c == 'f')
			b->firmware = optarg;
		else if (c == 'p')
			b->run.select.path = optarg;
		else if (c == 's')
			b->run.select.serial = optarg;
		else if (c == 'P' || c == 'w' || c == 't') {
			if (take_number(b, c) < 0)
				return BR_EXIT_USAGE;
		} else if (strchr("OSlLvm", c))
			take_flag(b, c);
		else if (br_common_take(&b->common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	if (argc - optind > 1)
		return br_cli_usage("too many words");
	b->image = argc > optind ? argv[optind] : NULL;
	if (!b->dir == !b->image)
		return br_cli_usage("wants either -d DIR or an IMAGE");
	if (b->image && b->overlay)
		return br_cli_usage("--overlay goes with -d DIR");
	if (b->run.loop && (b->run.wait_for || b->run.timeout_ns != TIMEOUT_NS))
		return br_cli_usage("--loop goes on until it is interrupted: neither --wait-for nor --timeout");
	return BR_EXIT_OK;
}

/* A file, or a name in the store. */
static int open_image(struct boot *b, struct br_error *err)
{
	struct br_store *store = NULL;
	struct br_image *image = NULL;
	struct stat st;
	int r;

	if (strchr(b->image, '/') || !stat(b->image, &st))
		return br_usb_payload_image_file(b->image, b->firmware, &b->payload, err);
	r = br_common_store(&b->common, &store, err);
	if (r < 0)
		return r;
	r = br_image_open(store, b->image, &image, err);
	if (!r)
		r = br_usb_payload_image(image, b->firmware, &b->payload, err);
	br_image_unref(image);
	br_store_close(store);
	return r;
}

static int open_payload(struct boot *b, struct br_error *err)
{
	struct br_usb_directory dir = { .dir = b->dir, .firmware = b->firmware, .overlay = b->overlay };

	return b->dir ? br_usb_payload_directory(&dir, &b->payload, err) : open_image(b, err);
}

static int choose(void *ctx, const struct br_usb_device *dev, const struct br_usbboot_model *model,
	struct br_usb_choice *ret)
{
	struct boot *b = ctx;

	*ret = (struct br_usb_choice){
		.files = br_usb_payload_files(b->payload), .sign = b->sign, .leave_ok = b->leave_ok
	};
	return 1;
}

static int boot_with(struct boot *b)
{
	struct br_usb_show show;
	struct br_error err = BR_ERROR_NULL;
	char time[24];
	enum br_exit code;
	int r;

	br_usb_show_init(&show, &b->common);
	show.verbose = b->verbose;
	show.metadata = b->metadata;
	show.metadata_dir = b->metadata_dir;
	b->run.voice = &show.voice;
	b->run.choose = choose;
	b->run.ctx = b;
	r = br_usb_run(&b->run, &err);
	br_usb_show_done(&show);
	if (r < 0)
		return br_cli_fail(BR_EXIT_FAILED, "%s", br_error_text(&err, r));
	code = br_usb_run_exit(&b->run);
	if (code == BR_EXIT_TIMEOUT)
		br_cli_fail(code, "%u of %u boards came in %s; 'bramble usb list' shows what is there", b->run.came,
			b->run.wait_for ? b->run.wait_for : 1, br_format_duration(time, sizeof(time), b->run.timeout_ns));
	return code == BR_EXIT_OK && show.trouble ? BR_EXIT_FAILED : (int)code;
}

static int run_boot(int argc, char **argv)
{
	struct boot b = { .run = { .select.port = -1, .timeout_ns = TIMEOUT_NS } };
	struct br_error err = BR_ERROR_NULL;
	int code = take_boot_options(argc, argv, &b), r;

	if (code)
		return code;
	r = open_payload(&b, &err);
	if (r < 0)
		return br_cli_fail(BR_EXIT_BAD_PAYLOAD, "%s", br_error_text(&err, r));
	code = boot_with(&b);
	br_usb_payload_unref(b.payload);
	return code;
}

const struct br_command br_cli_usb[] = {
	{ "usb", "list", "[-o table|json|jsonl] [-q]", "Lists boards in USB boot mode", run_list,
		"Nothing is sent to them, and no permission is needed. STAGE is what answers: 'rom', which wants a first stage,\n"
		"or 'file-server', which asks for files.\n" },
	{ "usb", "boot", "-d DIR | IMAGE [-p PATH] [-P PORT] [-s SERIAL] [-w N] [-t DURATION] [-l] [-f DIR] [-O] [--sign] "
		"[--metadata[=DIR]] [-v] [-o table|json|jsonl] [-q]", "Boots Compute Modules and other boards over USB", run_boot,
		"All boards that come are served at once; each ends with a verdict and its reason.\n"
		"  -d, --directory DIR  the files: bootfiles.bin or bootcode*.bin and what they ask for\n"
		"  IMAGE                the boot partition of an image: a file, or a name of the store\n"
		"  -f, --firmware DIR   where the first stage is when the payload lacks it\n"
		"  -O, --overlay        DIR/<usb path>/NAME before DIR/NAME\n"
		"      --sign           send bootcode.sig with the first stage (BCM2710 family)\n"
		"  -p, --path PATH      only the board on this path, as 'usb list' shows it: 1-2.3\n"
		"  -P, --port PORT      only boards on a port of this number, the last of the path\n"
		"  -s, --serial SERIAL  only the board of this serial (or its last 8 digits), where the stage tells it\n"
		"  -w, --wait-for N     end when N boards have ended; else when those that are there have\n"
		"  -t, --timeout DUR    how long boards may take to come (2m; 0: no end)\n"
		"  -l, --loop           go on until interrupted\n"
		"      --leave-ok       a board that leaves after a whole file is done, although it does not say so\n"
		"      --metadata[=DIR] what boards tell of themselves: print it, or write DIR/<serial>.json\n"
		"  -v, --verbose        each step as it happens, and each board's timeline\n"
		"  -o, --output FORM    table, json or jsonl (with timelines)\n"
		"  -q, --quiet          only path and verdict\n"
		"Exit code 0: all boards are well; 1: some are not; 5: too few came in time; 30: no permission for the USB\n"
		"devices; 31: the payload lacks the first stage or cannot be read; 130: interrupted.\n" },
	{ 0 },
};

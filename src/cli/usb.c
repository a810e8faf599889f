/* SPDX-License-Identifier: Apache-2.0 */
/* bramble usb list: boards in boot mode on this machine's USB ports; and the table of the noun. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "cli/usbboot.h"
#include "usb/sysfs.h"
#include "wire/usbboot.h"

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
	snprintf(out, BR_CELL_MAX, "%s", json_is_true(json_object_get(row, "accessible")) ? "yes" : "no");
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

const struct br_command br_cli_usb[] = {
	{ "usb", "list", "[-o table|json|jsonl] [-q]", "Lists boards in USB boot mode", run_list,
		"Nothing is sent to them, and no permission is needed. STAGE is what answers: 'rom', which wants a first stage,\n"
		"or 'file-server', which asks for files.\n" },
	{ "usb", "boot", "[-d DIR | IMAGE | --net | --gadget] [-p PATH] [-P PORT] [-s SERIAL] [-w N] [-t DURATION] [-l] [-f DIR] [-O] [--follow-links] [--sign] "
		"[--metadata[=DIR]] [-v] [-o table|json|jsonl] [-q]", "Boots Compute Modules and other boards over USB", br_cli_usb_boot,
		"All boards that come are served at once; each ends with a verdict and its reason.\n"
		"  -d, --directory DIR  the files: bootfiles.bin or bootcode*.bin and what they ask for\n"
		"  IMAGE                the boot partition of an image: a name of the store, else what is here; a path has a '/'\n"
		"      --net            what the daemon serves the board over the network\n"
		"      --gadget         the mass-storage gadget that is installed here: the board's storage becomes a disk here\n"
		"                       with none of these: the rules [usb] of bramble.conf; else --net where a daemon runs, or --gadget\n"
		"  -f, --firmware DIR   where the first stage is when the payload lacks it\n"
		"  -O, --overlay        DIR/<usb path>/NAME before DIR/NAME\n"
		"      --follow-links   symbolic links of DIR that lead out of it, too\n"
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
		"  -o, --output FORM    table, json or jsonl (with timelines); with --loop not json\n"
		"  -q, --quiet          only path and verdict\n"
		"Exit code 0: all boards are well; 1: some are not; 5: too few came in time; 30: no permission for the USB\n"
		"devices; 31: the payload lacks the first stage or cannot be read; 130: interrupted.\n" },
	{ NULL, "rpiboot", "[-d DIR] [-o] [-l] [-s] [-j [PATH]] [-p PATH | -0..-98] [-i SERIAL] [-m US] [-v] [-V]",
		"Boots a board over USB as the tool rpiboot does", br_cli_rpiboot,
		"The options, words and exit codes of rpiboot, also when this program is called by that name (a link).\n"
		"It waits for a board for ever, but says so every 30 s; with -l it serves all boards at once. 'bramble usb boot' has\n"
		"more to say about each board.\n" },
	{ 0 },
};

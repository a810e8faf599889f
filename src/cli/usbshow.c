/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions for people: progress, timelines, verdicts, metadata. */
#include "cli/usbshow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "usb/sessionjson.h"

#define DRAW_NS (200 * BR_MS)
#define LINE_NS (10 * BR_S)

static void clear(struct br_usb_show *show)
{
	if (show->drawn)
		fprintf(stderr, "\x1b[%zuA\x1b[J", show->drawn);
	show->drawn = 0;
}

/* "98 kB in 0.4 s, 245 kB/s" */
static const char *amount(char out[static 64], uint64_t bytes, uint64_t took_ns)
{
	char size[16], time[24], rate[16];
	double per_s = took_ns ? (double)bytes * 1e9 / (double)took_ns : 0;

	br_format_size(size, sizeof(size), bytes);
	br_format_size(rate, sizeof(rate), (uint64_t)per_s);
	br_format_duration(time, sizeof(time), took_ns);
	if (took_ns >= 100 * BR_MS)
		snprintf(out, 64, "%s in %s, %s/s", size, time, rate);
	else
		snprintf(out, 64, "%s in %s", size, time);
	return out;
}

static const char *words_of(char out[static 700], const struct br_usb_step *step)
{
	char how[64];

	switch (step->kind) {
	case BR_USB_STEP_FOUND:
		snprintf(out, 700, "%s found, %s", step->detail, !strcmp(step->name, "rom") ? "its boot ROM" : "it asks for files");
		break;
	case BR_USB_STEP_SENT:
	case BR_USB_STEP_FILE:
		snprintf(out, 700, "%s sent, %s", step->name, amount(how, step->bytes, step->took_ns));
		break;
	case BR_USB_STEP_STATUS:
		snprintf(out, 700, "the ROM says 0x%llx%s", (unsigned long long)step->bytes, step->bytes ? "" : ", good");
		break;
	case BR_USB_STEP_LEFT:
		snprintf(out, 700, "left the bus");
		break;
	case BR_USB_STEP_MISSING:
		snprintf(out, 700, "%s: not in the payload%s%s", step->name, step->detail[0] ? ": " : "", step->detail);
		break;
	case BR_USB_STEP_METADATA:
		snprintf(out, 700, "%s = %s", step->name, step->detail);
		break;
	case BR_USB_STEP_NEXT_STAGE:
		snprintf(out, 700, "%s came up", step->name);
		break;
	case BR_USB_STEP_DONE:
		snprintf(out, 700, "says that it is done");
		break;
	default:
		snprintf(out, 700, "%s", step->detail);
		break;
	}
	return out;
}

static bool is_detail(enum br_usb_step_kind kind)
{
	return kind == BR_USB_STEP_STATUS || kind == BR_USB_STEP_LEFT || kind == BR_USB_STEP_MISSING ||
		kind == BR_USB_STEP_METADATA || kind == BR_USB_STEP_DONE;
}

static void on_step(void *ctx, struct br_usb_session *s, const struct br_usb_step *step)
{
	struct br_usb_show *show = ctx;
	char words[700];
	bool always = step->kind == BR_USB_STEP_TROUBLE;

	if (show->common.quiet || step->kind == BR_USB_STEP_VERDICT || (!show->verbose && is_detail(step->kind)))
		return;
	if (show->tty && !always && !show->verbose)
		return; /* the board's line has it */
	clear(show);
	fprintf(stderr, "%s: %s\n", br_usb_session_path(s), words_of(words, step));
}

static void draw_board(const struct br_usb_session *s)
{
	const struct br_usbboot_model *model = br_usb_session_model(s);
	uint64_t done, total, bytes = br_usb_session_bytes(s, NULL);
	char size[16], part[16] = "";

	br_usb_session_progress(s, &done, &total);
	br_format_size(size, sizeof(size), bytes + done);
	if (total)
		snprintf(part, sizeof(part), "%3u %%", (unsigned)(done * 100 / total));
	fprintf(stderr, "%-10.20s %-8s %-36.36s %5s  %s in all\n", br_usb_session_path(s), model ? model->chip : "",
		br_usb_session_doing(s), part, size);
}

static void draw(void *ctx, const struct br_usb_manager *m, uint64_t now_ns)
{
	struct br_usb_show *show = ctx;
	struct br_usb_session *s;
	bool due = now_ns - show->drawn_ns >= (show->tty ? DRAW_NS : LINE_NS);

	if (show->common.quiet || !due)
		return;
	show->drawn_ns = now_ns;
	clear(show);
	for (size_t i = 0; (s = br_usb_manager_at(m, i)); i++) {
		uint64_t done, total;

		br_usb_session_progress(s, &done, &total);
		if (show->tty)
			show->drawn++;
		if (show->tty || total)
			draw_board(s);
	}
	fflush(stderr);
}

static void print_timeline(const struct br_usb_session *s)
{
	size_t n;
	const struct br_usb_step *steps = br_usb_session_steps(s, &n);
	char words[700];

	for (size_t i = 0; i < n; i++) {
		uint64_t t = steps[i].at_ns - steps[0].at_ns;

		if (steps[i].kind != BR_USB_STEP_VERDICT)
			printf("  %4llu.%03u s  %-11s  %s\n", (unsigned long long)(t / BR_S), (unsigned)(t % BR_S / BR_MS),
				br_usb_step_name(steps[i].kind), words_of(words, &steps[i]));
	}
}

static const char *metadata_of(const struct br_usb_session *s, const char *key)
{
	size_t n;
	const struct br_usb_metadata *m = br_usb_session_metadata(s, &n);

	for (size_t i = 0; i < n; i++) {
		if (!strcmp(m[i].key, key))
			return m[i].value;
	}
	return NULL;
}

/* Hostile words do not become paths. */
static bool is_file_name(const char *s)
{
	return s && s[0] && strlen(s) <= 64 &&
		!s[strspn(s, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_")];
}

int br_usb_write_metadata(const struct br_usb_session *s, const char *dir, struct br_error *err)
{
	const char *serial = metadata_of(s, "USER_SERIAL_NUM");
	br_cleanup(json_decrefp) json_t *json = br_usb_metadata_json(s);
	br_cleanup(br_freep) char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
	br_cleanup(br_freep) char *line = NULL, *path = NULL;

	if (!is_file_name(serial))
		serial = br_usb_session_serial(s);
	if (!is_file_name(serial))
		serial = br_usb_session_path(s); /* "1-2.3": of the kernel's making */
	path = br_asprintf("%s/%s.json", dir, serial);
	line = text ? br_asprintf("%s\n", text) : NULL;
	if (!path || !line)
		return br_error_set(err, ENOMEM, "out of memory");
	return br_file_write(path, line, strlen(line), 0644, err);
}

static void tell_metadata(struct br_usb_show *show, const struct br_usb_session *s)
{
	struct br_error err = BR_ERROR_NULL;
	size_t n;
	int r;

	br_usb_session_metadata(s, &n);
	if (!show->metadata || !n)
		return;
	if (!show->metadata_dir) {
		br_cleanup(json_decrefp) json_t *json = br_usb_metadata_json(s);

		if (show->common.form == BR_FORM_TABLE && json)
			br_print_json(json, true);
		return;
	}
	r = br_usb_write_metadata(s, show->metadata_dir, &err);
	if (r < 0) {
		show->trouble++;
		br_cli_fail(BR_EXIT_FAILED, "%s: metadata: %s", br_usb_session_path(s), br_error_text(&err, r));
	}
}

static void on_ended(void *ctx, struct br_usb_session *s)
{
	struct br_usb_show *show = ctx;
	const struct br_usbboot_model *model = br_usb_session_model(s);
	const char *serial = br_usb_session_serial(s);
	json_t *row;

	clear(show);
	if (show->common.form != BR_FORM_TABLE) {
		row = br_usb_session_json(s);
		if (!row) {
			show->trouble++;
			br_cli_fail(BR_EXIT_FAILED, "%s: its result cannot be shown: out of memory", br_usb_session_path(s));
		}
		if (row && show->common.form == BR_FORM_JSONL) {
			br_print_json(row, false);
			json_decref(row);
		} else if (row) {
			json_array_append_new(show->rows, row);
		}
	} else if (show->common.quiet) {
		printf("%s %s\n", br_usb_session_path(s), br_usb_verdict_name(br_usb_session_verdict(s)));
	} else {
		printf("%s (%s%s%s): %s: %s\n", br_usb_session_path(s), model ? model->chip : "?", serial[0] ? ", " : "", serial,
			br_usb_verdict_is_well(br_usb_session_verdict(s)) ? "ok" : "failed", br_usb_session_reason(s));
		if (show->verbose)
			print_timeline(s);
	}
	tell_metadata(show, s);
	fflush(stdout);
}

static void on_waiting(void *ctx, uint64_t waited_ns, const char *there)
{
	struct br_usb_show *show = ctx;
	char time[24];

	if (show->common.quiet)
		return;
	clear(show);
	br_format_duration(time, sizeof(time), waited_ns);
	if (there[0])
		fprintf(stderr, "still waiting for a board after %s; there, and left alone: %s\n", time, there);
	else
		fprintf(stderr,
			"still waiting for a board in boot mode after %s: no 0a5c:2711, 2712, 2763 or 2764 on any port "
			"(nRPIBOOT or power button held at power-on? a data cable?)\n", time);
}

static void on_held(void *ctx, const struct br_usb_device *dev, const char *reason)
{
	clear(ctx);
	fprintf(stderr, "%s: %s\n", dev->path, reason);
}

void br_usb_show_init(struct br_usb_show *show, const struct br_common *common)
{
	*show = (struct br_usb_show){
		.voice = { on_step, on_ended, on_waiting, on_held, draw, show },
		.common = *common,
		.tty = isatty(STDERR_FILENO),
		.rows = json_array(),
	};
}

void br_usb_show_done(struct br_usb_show *show)
{
	clear(show);
	if (show->common.form == BR_FORM_JSON && show->rows)
		br_print_json(show->rows, true);
	json_decref(show->rows);
	show->rows = NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet as 'bramble top' knows it. */
#include "cli/topfleet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "cli/table.h"

#define STALLED_S  300 /* a boot that stands still for so long is under way no more */
#define SETTLING_S 60  /* between the mount of its root and its system being up */

const struct br_top_look br_top_looks[BR_TOP_STATES] = {
	[BR_TOP_WRONG] = { "", "needs attention", "\u25b2", '!' },
	[BR_TOP_WAITING] = { "", "waits its turn", "\u2016", 'w' },
	[BR_TOP_FIRMWARE_DHCP] = { "firmware-dhcp", "firmware asks", "\u25cb", '1' },
	[BR_TOP_BOOTCODE_DHCP] = { "bootcode-dhcp", "bootcode asks", "\u25d4", '2' },
	[BR_TOP_FIRMWARE_FILES] = { "firmware-files", "firmware loads", "\u25d1", '3' },
	[BR_TOP_KERNEL_SENT] = { "kernel-sent", "kernel sent", "\u25d5", '4' },
	[BR_TOP_KERNEL_DHCP] = { "kernel-dhcp", "kernel asks", "\u25d5", '5' },
	[BR_TOP_FLASH] = { "", "writes its storage", "\u25a3", 'f' },
	[BR_TOP_MOUNTED] = { "mounted", "root mounted", "\u25cf", 'm' },
	[BR_TOP_UP] = { "up", "up", "\u2713", 'u' },
	[BR_TOP_LOCAL] = { "", "boots by itself", "\u25a1", 'l' },
	[BR_TOP_NONE] = { "none", "no boot yet", "\u00b7", '.' },
};

void br_top_fleet_done(struct br_top_fleet *f)
{
	free(f->boards);
	*f = (struct br_top_fleet){ 0 };
}

/* Where the name is, or would be. */
static size_t place_of(const struct br_top_fleet *f, const char *name, bool *ret_there)
{
	size_t low = 0, high = f->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (strverscmp(f->boards[mid].name, name) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_there = low < f->n && !strcmp(f->boards[low].name, name);
	return low;
}

static struct br_top_board *find(const struct br_top_fleet *f, const char *name)
{
	bool there;
	size_t at = place_of(f, name, &there);

	return there ? &f->boards[at] : NULL;
}

/* A text at a path, safe; "" when there is none. */
static void safe_text(const json_t *row, const char *path, char *out, size_t size)
{
	const char *s = json_string_value(br_json_at(row, path));

	out[0] = 0;
	if (s)
		br_vis(out, size, s, strlen(s));
}

static int64_t time_at(const json_t *row, const char *path)
{
	const char *s = json_string_value(br_json_at(row, path));
	struct tm tm = { 0 };

	return s && strptime(s, "%Y-%m-%dT%H:%M:%S", &tm) ? (int64_t)timegm(&tm) : 0;
}

static enum br_top_state stage_of(const json_t *board)
{
	const char *stage = json_string_value(br_json_at(board, "boot.stage"));
	const char *road = json_string_value(br_json_at(board, "effective.road"));

	for (int i = 0; stage && stage[0] && i < BR_TOP_STATES; i++)
		if (i != BR_TOP_NONE && !strcmp(br_top_looks[i].stage, stage))
			return (enum br_top_state)i;
	return road && !strcmp(road, "local") ? BR_TOP_LOCAL : BR_TOP_NONE;
}

static void settle_state(struct br_top_board *b)
{
	b->state = b->wrong ? BR_TOP_WRONG : b->waiting ? BR_TOP_WAITING : b->flashing ? BR_TOP_FLASH : b->stage;
}

static void take_transfer(struct br_top_board *b, const json_t *transfer)
{
	json_int_t bytes = json_integer_value(json_object_get(transfer, "bytes"));
	json_int_t size = json_integer_value(json_object_get(transfer, "size"));

	safe_text(transfer, "path", b->path, sizeof(b->path));
	b->percent = size > 0 && bytes >= 0 && bytes <= size ? (unsigned)((double)bytes / (double)size * 100) : 0;
}

static int take_board(struct br_top_fleet *f, const json_t *json)
{
	char name[sizeof(f->boards->name)];
	struct br_top_board *b;
	enum br_top_state stage = stage_of(json);
	uint64_t boot = (uint64_t)json_integer_value(br_json_at(json, "boot.number"));
	bool there;
	size_t at;

	safe_text(json, "name", name, sizeof(name));
	if (!name[0])
		return 0; /* no board */
	at = place_of(f, name, &there);
	if (!there) {
		if (br_array_reserve(&f->boards, &f->cap, f->n + 1, sizeof(struct br_top_board)) < 0)
			return -ENOMEM;
		memmove(f->boards + at + 1, f->boards + at, (f->n++ - at) * sizeof(struct br_top_board));
		f->boards[at] = (struct br_top_board){ 0 };
	}
	b = &f->boards[at];
	memcpy(b->name, name, sizeof(name));
	safe_text(json, "model", b->model, sizeof(b->model));
	safe_text(json, "effective.image", b->image, sizeof(b->image));
	safe_text(json, "address", b->address, sizeof(b->address));
	if (b->boot != boot || b->stage != stage)
		b->waiting = b->wrong = false; /* what was wrong may be over; it is asked again */
	b->boot = boot;
	b->stage = stage;
	b->stage_at = time_at(json, "boot.stage_at");
	take_transfer(b, json_object_get(json, "transfer"));
	b->listed = true;
	settle_state(b);
	return 0;
}

static void drop(struct br_top_fleet *f, size_t at)
{
	memmove(f->boards + at, f->boards + at + 1, (--f->n - at) * sizeof(struct br_top_board));
}

static int take_boards(struct br_top_fleet *f, const json_t *boards)
{
	const json_t *b;
	size_t i;

	json_array_foreach(boards, i, b) {
		int r = take_board(f, b);

		if (r < 0)
			return r;
	}
	return 0;
}

int br_top_fleet_load(struct br_top_fleet *f, const json_t *boards)
{
	int r;

	if (!json_is_array(boards))
		return -EINVAL;
	for (size_t i = 0; i < f->n; i++)
		f->boards[i].listed = false;
	r = take_boards(f, boards);
	for (size_t i = f->n; i-- > 0 && r >= 0;)
		if (!f->boards[i].listed)
			drop(f, i);
	return r;
}

static void take_removed(struct br_top_fleet *f, const json_t *names)
{
	const json_t *name;
	size_t i;

	json_array_foreach(names, i, name) {
		const struct br_top_board *b = json_is_string(name) ? find(f, json_string_value(name)) : NULL;

		if (b)
			drop(f, (size_t)(b - f->boards));
	}
}

/* Numbers of JSON may be anything. */
static uint64_t whole_number(const json_t *v, double max)
{
	double x = json_number_value(v);

	return x >= 0 && x <= max ? (uint64_t)x : x > max ? (uint64_t)max : 0;
}

static void take_status(struct br_top_fleet *f, const json_t *status)
{
	const json_t *rate = br_json_at(status, "rate.bytes_per_s"), *left = json_object_get(status, "left_s");

	safe_text(status, "interface", f->interface, sizeof(f->interface));
	safe_text(status, "version", f->version, sizeof(f->version));
	safe_text(status, "dhcp_mode", f->dhcp, sizeof(f->dhcp));
	f->left_s = json_is_number(left) ? (int64_t)whole_number(left, 1e9) : -1;
	if (!json_is_number(rate))
		return;
	if (f->n_rates == BR_TOP_RATES)
		memmove(f->rates, f->rates + 1, (--f->n_rates) * sizeof(f->rates[0]));
	f->rates[f->n_rates++] = whole_number(rate, 1e15);
}

static void take_event(const struct br_top_fleet *f, const json_t *event)
{
	const char *board = json_string_value(json_object_get(event, "board"));
	const char *type = json_string_value(json_object_get(event, "type"));
	struct br_top_board *b = board ? find(f, board) : NULL;

	if (!b || !type)
		return;
	if (!strcmp(type, "boot.waiting") || !strcmp(type, "boot.start"))
		b->waiting = type[5] == 'w';
	else if (br_str_starts(type, "flash."))
		b->flashing = !strcmp(type, "flash.started");
	settle_state(b);
}

int br_top_fleet_message(struct br_top_fleet *f, const char *name, const json_t *data)
{
	if (!strcmp(name, "boards"))
		return take_boards(f, data);
	if (!strcmp(name, "removed"))
		take_removed(f, data);
	else if (!strcmp(name, "status"))
		take_status(f, data);
	else if (!strcmp(name, "event"))
		take_event(f, data);
	return 0;
}

void br_top_fleet_why(struct br_top_fleet *f, const json_t *verdicts)
{
	const json_t *v;
	size_t i;

	for (i = 0; i < f->n; i++)
		f->boards[i].wrong = false;
	f->judged = json_is_array(verdicts);
	json_array_foreach(verdicts, i, v) {
		const char *board = json_string_value(json_object_get(v, "board"));
		const char *level = json_string_value(json_object_get(v, "level"));
		struct br_top_board *b = board ? find(f, board) : NULL;

		if (!b || !level || strcmp(level, "wrong") != 0)
			continue;
		b->wrong = true;
		safe_text(v, "verdict", b->verdict, sizeof(b->verdict));
	}
	for (i = 0; i < f->n; i++)
		settle_state(&f->boards[i]);
}

void br_top_fleet_count(const struct br_top_fleet *f, size_t counts[static BR_TOP_STATES])
{
	memset(counts, 0, BR_TOP_STATES * sizeof(counts[0]));
	for (size_t i = 0; i < f->n; i++)
		counts[f->boards[i].state]++;
}

size_t br_top_fleet_booting(const struct br_top_fleet *f, int64_t now)
{
	size_t n = 0;

	for (size_t i = 0; i < f->n; i++) {
		const struct br_top_board *b = &f->boards[i];
		int64_t age = now - b->stage_at;

		if (b->state == BR_TOP_WAITING || b->state == BR_TOP_FLASH)
			n++;
		else if (b->state >= BR_TOP_FIRMWARE_DHCP && b->state <= BR_TOP_KERNEL_DHCP)
			n += age < STALLED_S;
		else if (b->state == BR_TOP_MOUNTED)
			n += age < SETTLING_S;
	}
	return n;
}

bool br_top_board_fits(const struct br_top_board *b, const char *filter)
{
	const char *const texts[] = { b->name, b->model, b->image, b->address, br_top_looks[b->state].label };

	for (size_t i = 0; i < BR_ARRAY_SIZE(texts); i++)
		if (strcasestr(texts[i], filter))
			return true;
	return false;
}

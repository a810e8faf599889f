/* SPDX-License-Identifier: Apache-2.0 */
/* Events added up. */
#include "api/tally.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/text.h"
#include "fleet/event.h"

#define TYPES_MAX 200 /* there are about 60; made-up ones cannot come from outside */

static const double file_bounds[] = { 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100 };
static const double boot_bounds[] = { 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600 };
static const double flash_bounds[] = { 30, 60, 120, 180, 300, 450, 600, 900, 1800, 3600 };

static const char *const protocols[] = { "tftp", "http", "usb" };
enum { N_PROTOCOLS = BR_ARRAY_SIZE(protocols) };
static const char *const outcomes[] = { BR_EV_FILE_SENT, BR_EV_FILE_MISSING, BR_EV_FILE_REFUSED, BR_EV_FILE_FAILED };
enum { N_OUTCOMES = BR_ARRAY_SIZE(outcomes) };

struct type {
	char name[40];
	uint64_t n;
	UT_hash_handle hh;
};

/* When a board's boot began, until it is up. */
struct booting {
	int64_t board_id;
	uint64_t since_ns;
	UT_hash_handle hh;
};

struct br_tally {
	struct br_fleet *fleet;
	void *listener, *metrics;
	pthread_mutex_t lock;
	struct type *types;
	struct booting *booting;
	uint64_t files[N_PROTOCOLS][N_OUTCOMES], bytes[N_PROTOCOLS], retransmits;
	struct br_histogram file_s[N_PROTOCOLS], boot_s, flash_s;
};

static void count_type(struct br_tally *t, const char *name)
{
	struct type *y;

	HASH_FIND_STR(t->types, name, y);
	if (!y && HASH_COUNT(t->types) < TYPES_MAX) {
		y = calloc(1, sizeof(*y));
		if (!y || br_strcpy(y->name, sizeof(y->name), name) < 0) {
			free(y);
			return;
		}
		HASH_ADD_STR(t->types, name, y);
	}
	if (y)
		y->n++;
}

static uint64_t number(const struct br_event *ev, const char *key)
{
	json_int_t n = json_integer_value(json_object_get(ev->fields, key));

	return n > 0 ? (uint64_t)n : 0;
}

static void count_file(struct br_tally *t, const struct br_event *ev)
{
	const char *via = json_string_value(json_object_get(ev->fields, "via"));
	unsigned p = 0;

	for (unsigned i = 1; i < N_PROTOCOLS && via; i++)
		if (!strcmp(protocols[i], via))
			p = i;
	for (unsigned i = 0; i < N_OUTCOMES; i++)
		t->files[p][i] += !strcmp(outcomes[i], ev->type);
	t->bytes[p] += number(ev, "bytes");
	t->retransmits += number(ev, "retransmits");
	if (!strcmp(ev->type, BR_EV_FILE_SENT))
		br_histogram_add(&t->file_s[p], (double)number(ev, "ms") / 1000);
}

static void boot_begins(struct br_tally *t, int64_t board_id)
{
	struct booting *b;

	HASH_FIND(hh, t->booting, &board_id, sizeof(board_id), b);
	if (!b) {
		b = calloc(1, sizeof(*b));
		if (!b)
			return;
		b->board_id = board_id;
		HASH_ADD(hh, t->booting, board_id, sizeof(b->board_id), b);
	}
	b->since_ns = br_now_ns();
}

static void boot_ends(struct br_tally *t, int64_t board_id, bool up)
{
	struct booting *b;

	HASH_FIND(hh, t->booting, &board_id, sizeof(board_id), b);
	if (!b)
		return;
	if (up)
		br_histogram_add(&t->boot_s, (double)(br_now_ns() - b->since_ns) / (double)BR_S);
	HASH_DEL(t->booting, b);
	free(b);
}

/* In the thread of who emits it: short. */
static void on_event(void *ctx, const struct br_event *ev)
{
	struct br_tally *t = ctx;

	pthread_mutex_lock(&t->lock);
	count_type(t, ev->type);
	if (br_str_starts(ev->type, "file."))
		count_file(t, ev);
	else if (!strcmp(ev->type, BR_EV_BOOT_START))
		boot_begins(t, ev->board_id);
	else if (!strcmp(ev->type, BR_EV_BOARD_UP) || !strcmp(ev->type, BR_EV_BOARD_REMOVED))
		boot_ends(t, ev->board_id, !strcmp(ev->type, BR_EV_BOARD_UP));
	else if (!strcmp(ev->type, BR_EV_FLASH_VERIFIED))
		br_histogram_add(&t->flash_s, (double)number(ev, "ms") / 1000);
	pthread_mutex_unlock(&t->lock);
}

static void write_files(const struct br_tally *t, struct br_metrics *m)
{
	br_metric_family(m, "bramble_files_total", BR_METRIC_COUNTER, "Boot files asked for, by protocol and what came of it.");
	for (unsigned p = 0; p < N_PROTOCOLS; p++)
		for (unsigned i = 0; i < N_OUTCOMES; i++)
			br_metric_value(m, (double)t->files[p][i], "protocol", protocols[p], "outcome", outcomes[i] + strlen("file."), NULL);
	br_metric_family(m, "bramble_file_bytes_total", BR_METRIC_COUNTER, "Bytes of boot files sent, by protocol.");
	for (unsigned p = 0; p < N_PROTOCOLS; p++)
		br_metric_value(m, (double)t->bytes[p], "protocol", protocols[p], NULL);
	br_metric_family(m, "bramble_tftp_retransmits_total", BR_METRIC_COUNTER, "Blocks of boot files that were sent again.");
	br_metric_value(m, (double)t->retransmits, NULL);
	br_metric_family(m, "bramble_file_seconds", BR_METRIC_HISTOGRAM, "How long sending a boot file took.");
	for (unsigned p = 0; p < N_PROTOCOLS; p++)
		br_metric_histogram(m, &t->file_s[p], "protocol", protocols[p]);
}

static void write_all(void *ctx, struct br_metrics *m)
{
	struct br_tally *t = ctx;
	struct type *y, *next;

	pthread_mutex_lock(&t->lock);
	br_metric_family(m, "bramble_events_total", BR_METRIC_COUNTER, "Events, by type.");
	HASH_ITER(hh, t->types, y, next)
		br_metric_value(m, (double)y->n, "type", y->name, NULL);
	write_files(t, m);
	br_metric_family(m, "bramble_boot_seconds", BR_METRIC_HISTOGRAM, "From a boot's first sign to user space.");
	br_metric_histogram(m, &t->boot_s, NULL, NULL);
	br_metric_family(m, "bramble_flash_seconds", BR_METRIC_HISTOGRAM, "How long a board took to write and verify an image.");
	br_metric_histogram(m, &t->flash_s, NULL, NULL);
	pthread_mutex_unlock(&t->lock);
}

struct br_tally *br_tally_new(struct br_fleet *fleet)
{
	struct br_tally *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->fleet = fleet;
	pthread_mutex_init(&t->lock, NULL);
	for (unsigned p = 0; p < N_PROTOCOLS; p++)
		t->file_s[p] = (struct br_histogram){ .bounds = file_bounds, .n_bounds = BR_ARRAY_SIZE(file_bounds) };
	t->boot_s = (struct br_histogram){ .bounds = boot_bounds, .n_bounds = BR_ARRAY_SIZE(boot_bounds) };
	t->flash_s = (struct br_histogram){ .bounds = flash_bounds, .n_bounds = BR_ARRAY_SIZE(flash_bounds) };
	t->listener = br_event_listen(fleet, on_event, t);
	t->metrics = br_metrics_add(write_all, t);
	if (t->listener && t->metrics)
		return t;
	br_tally_free(t);
	return NULL;
}

void br_tally_free(struct br_tally *t)
{
	struct type *y, *next_type;
	struct booting *b, *next;

	if (!t)
		return;
	br_metrics_remove(t->metrics);
	if (t->listener)
		br_event_unlisten(t->fleet, t->listener);
	HASH_ITER(hh, t->types, y, next_type) {
		HASH_DEL(t->types, y);
		free(y);
	}
	HASH_ITER(hh, t->booting, b, next) {
		HASH_DEL(t->booting, b);
		free(b);
	}
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What a storm tells: progress on stderr, the summary or JSON lines on the given stream. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "sim/storm_private.h"

#define PROGRESS_NS (2 * BR_S)
#define REASONS	    24 /* different ones that are counted apart */

struct reason {
	const char *text; /* NULL: all others */
	size_t n;
};

struct totals {
	struct br_sim_counters sum;
	size_t n_waiting, n_firmware, n_root; /* of the busy ones: no address, fetching, mounting */
	size_t n_late;
	uint64_t p50_ns, p95_ns, slowest_ns;
	const struct storm_board *slowest;
	struct reason reasons[REASONS + 1];
	size_t n_reasons;
};

static void add_counters(struct br_sim_counters *sum, const struct br_sim_counters *c)
{
	sum->bytes += c->bytes;
	sum->files += c->files;
	sum->resent += c->resent;
	sum->duplicates += c->duplicates;
	sum->rounds += c->rounds;
	sum->cycles += c->cycles;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The times of those that are up. */
static void add_times(const struct storm *s, struct totals *t)
{
	br_cleanup(br_freep) uint64_t *times = calloc(s->n_up ? s->n_up : 1, sizeof(*times));
	size_t n = 0;

	for (size_t i = 0; times && i < s->config->n_boards; i++) {
		const struct storm_board *b = &s->boards[i];

		if (b->state != STORM_UP)
			continue;
		times[n++] = b->end_ns - s->start_ns;
		if (!t->slowest || b->end_ns > t->slowest->end_ns)
			t->slowest = b;
	}
	if (!n)
		return;
	qsort(times, n, sizeof(*times), compare_u64);
	t->p50_ns = times[(n - 1) / 2];
	t->p95_ns = times[(n - 1) * 95 / 100];
	t->slowest_ns = times[n - 1];
}

static void add_reason(struct totals *t, const char *text)
{
	size_t i = 0;

	while (i < t->n_reasons && t->reasons[i].text && strcmp(t->reasons[i].text, text) != 0)
		i++;
	if (i == t->n_reasons)
		t->reasons[t->n_reasons++].text = i < REASONS ? text : NULL;
	t->reasons[i].n++;
}

static int compare_reasons(const void *a, const void *b)
{
	size_t x = ((const struct reason *)a)->n, y = ((const struct reason *)b)->n;

	return x > y ? -1 : x < y;
}

static struct totals count(const struct storm *s)
{
	const struct br_sim_faults *f = br_sim_runner_faults(s->runner);
	struct totals t = { 0 };

	for (size_t i = 0; i < s->config->n_boards; i++) {
		const struct br_sim_board *board = br_sim_runner_board(s->runner, i);

		add_counters(&t.sum, br_sim_board_counters(board));
		t.sum.bytes += s->boards[i].root_bytes;
		t.sum.resent += s->boards[i].root_resent;
		t.n_late += f && br_sim_faults_is_late(f, i);
		if (s->boards[i].state == STORM_BUSY && s->boards[i].root)
			t.n_root++;
		else if (s->boards[i].state == STORM_BUSY)
			*(br_sim_board_ip(board) ? &t.n_firmware : &t.n_waiting) += 1;
	}
	return t;
}

/* ---- progress ---- */

void storm_show_progress(struct storm *s, uint64_t now_ns)
{
	size_t n = s->config->n_boards, n_failed = n - s->n_up - s->n_busy;
	bool tty = isatty(STDERR_FILENO);
	char rate[24];
	struct totals t;

	if (!s->config->progress || (s->shown_ns && now_ns - s->shown_ns < PROGRESS_NS))
		return;
	if (!s->shown_ns) {
		s->shown_ns = now_ns;
		return;
	}
	t = count(s);
	br_format_size(rate, sizeof(rate),
		(uint64_t)((double)(t.sum.bytes - s->shown_bytes) * 1e9 / (double)(now_ns - s->shown_ns)));
	fprintf(stderr, "%s%4.0f s  %zu of %zu up, %zu without an address, %zu fetching, %zu mounting, %zu failed, %u power cycles, %s/s%s",
		tty ? "\r" : "", (double)(now_ns - s->start_ns) / 1e9, s->n_up, n, t.n_waiting, t.n_firmware, t.n_root, n_failed,
		t.sum.cycles, rate, tty ? "\033[K" : "\n");
	s->shown_ns = now_ns;
	s->shown_bytes = t.sum.bytes;
}

/* ---- JSON ---- */

static json_t *visible(const char *s)
{
	struct br_text t = BR_TEXT_NULL;
	br_cleanup(br_freep) char *vis = NULL;

	br_text_add_vis(&t, s, strlen(s));
	vis = br_text_take(&t);
	return json_string(vis ? vis : "?");
}

static void print_json(FILE *out, json_t *o)
{
	br_cleanup(br_freep) char *line = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15));

	fprintf(out, "%s\n", line ? line : "{}");
	fflush(out);
	json_decref(o);
}

static json_t *milliseconds(uint64_t ns)
{
	return json_real((double)(ns / 1000) / 1000);
}

static void set_counters(json_t *o, const struct br_sim_counters *c)
{
	json_object_set_new(o, "bytes", json_integer((json_int_t)c->bytes));
	json_object_set_new(o, "files", json_integer((json_int_t)c->files));
	json_object_set_new(o, "resent", json_integer((json_int_t)c->resent));
	json_object_set_new(o, "duplicates", json_integer((json_int_t)c->duplicates));
	json_object_set_new(o, "starts_over", json_integer(c->rounds));
	json_object_set_new(o, "power_cycles", json_integer(c->cycles));
}

void storm_report_board(const struct storm_board *b)
{
	static const char *const states[] = {
		[STORM_BUSY] = "not there yet", [STORM_UP] = "up", [STORM_FAILED] = "failed",
	};
	const struct storm *s = b->storm;
	const struct br_sim_faults *f = br_sim_runner_faults(s->runner);
	json_t *o = json_object();

	json_object_set_new(o, "what", json_string("board"));
	json_object_set_new(o, "board", json_string(b->name));
	json_object_set_new(o, "model", json_string(b->model->id));
	json_object_set_new(o, "state", json_string(states[b->state]));
	json_object_set_new(o, "t_ms", milliseconds(b->end_ns - s->start_ns));
	if (b->state != STORM_UP)
		json_object_set_new(o, "reason", visible(b->reason));
	set_counters(o, br_sim_board_counters(br_sim_runner_board(s->runner, b->i)));
	json_object_set_new(o, "late_port", json_boolean(f && br_sim_faults_is_late(f, b->i)));
	print_json(s->config->out, o);
}

static void report_json(const struct storm *s, const struct totals *t)
{
	const struct br_sim_faults *f = br_sim_runner_faults(s->runner);
	json_t *o = json_object(), *reasons = json_object();

	json_object_set_new(o, "what", json_string("summary"));
	json_object_set_new(o, "boards", json_integer((json_int_t)s->config->n_boards));
	json_object_set_new(o, "up", json_integer((json_int_t)s->n_up));
	json_object_set_new(o, "failed", json_integer((json_int_t)(s->config->n_boards - s->n_up - s->n_busy)));
	json_object_set_new(o, "not_there_yet", json_integer((json_int_t)s->n_busy));
	json_object_set_new(o, "took_ms", milliseconds(br_now_ns() - s->start_ns));
	if (t->slowest) {
		json_object_set_new(o, "p50_ms", milliseconds(t->p50_ns));
		json_object_set_new(o, "p95_ms", milliseconds(t->p95_ns));
		json_object_set_new(o, "slowest_ms", milliseconds(t->slowest_ns));
		json_object_set_new(o, "slowest", json_string(t->slowest->name));
	}
	set_counters(o, &t->sum);
	json_object_set_new(o, "late_ports", json_integer((json_int_t)t->n_late));
	json_object_set_new(o, "frames", json_integer(f ? (json_int_t)br_sim_faults_counts(f)->frames : 0));
	json_object_set_new(o, "frames_lost", json_integer(f ? (json_int_t)br_sim_faults_counts(f)->lost : 0));
	for (size_t i = 0; i < t->n_reasons; i++) {
		br_cleanup(br_freep) char *key = NULL;
		struct br_text words = BR_TEXT_NULL;
		const char *text = t->reasons[i].text ? t->reasons[i].text : "other reasons";

		br_text_add_vis(&words, text, strlen(text));
		key = br_text_take(&words);
		json_object_set_new(reasons, key ? key : "?", json_integer((json_int_t)t->reasons[i].n));
	}
	json_object_set_new(o, "reasons", reasons);
	print_json(s->config->out, o);
}

/* ---- words ---- */

static void report_faults(const struct storm *s, const struct totals *t)
{
	const struct br_sim_faults *f = br_sim_runner_faults(s->runner);
	const struct br_sim_fault_counts *c = f ? br_sim_faults_counts(f) : NULL;

	if (!c)
		return;
	fprintf(s->config->out,
		"faults: of %llu frames %llu lost, %llu twice, %llu overtaken, %llu too large, %llu at a full queue, "
		"%llu before %zu late ports opened, %llu answers of another DHCP server\n",
		(unsigned long long)c->frames, (unsigned long long)c->lost, (unsigned long long)c->duplicated,
		(unsigned long long)c->reordered, (unsigned long long)c->too_large, (unsigned long long)c->queue_full,
		(unsigned long long)c->port_closed, t->n_late, (unsigned long long)c->rogue_answers);
}

static void report_text(const struct storm *s, const struct totals *t)
{
	char p50[24], p95[24], slowest[24], all[24], size[24], rate[24];
	uint64_t took = br_now_ns() - s->start_ns;
	FILE *out = s->config->out;

	fprintf(out, "%zu of %zu up, %zu failed, %zu not there yet, after %s\n", s->n_up, s->config->n_boards,
		s->config->n_boards - s->n_up - s->n_busy, s->n_busy, br_format_duration(all, sizeof(all), took));
	if (t->slowest)
		fprintf(out, "half of those up in %s, 95 %% in %s, the slowest, %s (a %s), in %s\n",
			br_format_duration(p50, sizeof(p50), t->p50_ns), br_format_duration(p95, sizeof(p95), t->p95_ns),
			t->slowest->name, t->slowest->model->id, br_format_duration(slowest, sizeof(slowest), t->slowest_ns));
	fprintf(out, "%llu files, %s, %s/s; said again after silence %llu, blocks that came twice %llu, "
		     "started over %u, power cycles %u\n",
		(unsigned long long)t->sum.files, br_format_size(size, sizeof(size), t->sum.bytes),
		br_format_size(rate, sizeof(rate), (uint64_t)((double)t->sum.bytes * 1e9 / (double)(took ? took : 1))),
		(unsigned long long)t->sum.resent, (unsigned long long)t->sum.duplicates, t->sum.rounds, t->sum.cycles);
	report_faults(s, t);
	for (size_t i = 0; i < t->n_reasons; i++) {
		const char *text = t->reasons[i].text ? t->reasons[i].text : "other reasons";
		char vis[512];

		fprintf(out, "%6zu  %s\n", t->reasons[i].n, br_vis(vis, sizeof(vis), text, strlen(text)));
	}
	fflush(out);
}

void storm_report(const struct storm *s)
{
	struct totals t = count(s);

	if (s->config->progress && isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	add_times(s, &t);
	for (size_t i = 0; i < s->config->n_boards; i++)
		if (s->boards[i].state != STORM_UP)
			add_reason(&t, s->boards[i].reason);
	qsort(t.reasons, t.n_reasons, sizeof(t.reasons[0]), compare_reasons);
	if (s->config->json)
		report_json(s, &t);
	else
		report_text(s, &t);
}

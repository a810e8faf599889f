/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fleet that is switched on at once. The boards are those of board.c, the loop that
 * of runner.c; here is what happens to each of them in the large, and the counting.
 */
#include "sim/storm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "sim/runner.h"
#include "sim/storm_private.h"

#define TICK_NS (200 * BR_MS) /* a signal is noticed within */

/* ---- what each file should be: as the first board of its model got it ---- */

static struct storm_file *find_file(struct storm *s, uint32_t key)
{
	for (size_t i = 0; i < STORM_FILES; i++) {
		struct storm_file *f = &s->files[(key + i) % STORM_FILES];

		if (!f->key || f->key == key)
			return f;
	}
	return NULL;
}

/* The server may write these two anew for every board. */
static bool is_projected(const char *name)
{
	return br_str_ends(name, "config.txt") || br_str_ends(name, "cmdline.txt");
}

static const char *without_directory(const struct storm_board *b, const char *name)
{
	size_t n = strlen(b->name);

	if (!strncmp(name, b->name, n) && name[n] == '/')
		for (name += n; *name == '/'; name++)
			;
	return name;
}

static uint32_t file_key(const struct storm_board *b, const char *name)
{
	uint32_t key = br_crc32c((uint32_t)(b->model - br_sim_models) + 1, name, strlen(name));

	return key ? key : 1;
}

/* Did a board of this model get such a file? Firmware asks for many that are nowhere. */
static bool is_there(const struct storm_board *b, const char *name)
{
	const struct storm_file *f = find_file(b->storm, file_key(b, name));

	return f && f->key;
}

static void check_file(struct storm_board *b, const char *name, uint64_t size, uint32_t crc)
{
	uint32_t key = file_key(b, name);
	struct storm_file *f = find_file(b->storm, key);

	if (!f)
		return;
	if (!f->key) {
		*f = (struct storm_file){ .key = key, .crc = crc, .size = size };
	} else if (!is_projected(name) && (f->crc != crc || f->size != size)) {
		b->n_wrong++;
		storm_note(b, "%s is not what the first board of this model got", name);
	}
}

/* ---- the life of a board ---- */

void storm_note(struct storm_board *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(b->reason, sizeof(b->reason), fmt, ap);
	va_end(ap);
}

/* The words of an event, without what differs between boards: equal reasons are counted together. */
static void note_event(struct storm_board *b, const struct br_sim_event *e)
{
	const char *text = without_directory(b, e->text);
	int n = (int)strcspn(text, "(");

	while (n && text[n - 1] == ' ')
		n--;
	if (e->what == BR_SIM_WRONG)
		storm_note(b, "%s: %.*s", without_directory(b, e->name), n, text);
	else
		storm_note(b, "%.*s", n, text);
}

static void finish(struct storm_board *b, enum storm_state state)
{
	b->state = state;
	b->end_ns = br_now_ns();
	b->storm->n_busy--;
	b->storm->n_up += state == STORM_UP;
	if (b->storm->config->json)
		storm_report_board(b);
}

/* It is dark: the operator comes by, as often as --retry says. */
static void dark(struct storm_board *b)
{
	struct storm *s = b->storm;
	struct br_sim_board *board = br_sim_runner_board(s->runner, b->i);

	if (br_sim_board_counters(board)->cycles >= s->config->retry)
		finish(b, STORM_FAILED);
	else
		b->cycle = true; /* not from within the board's own call */
}

static void on_root(void *ctx, const struct br_sim_nfsroot_result *r)
{
	struct storm_board *b = ctx;

	b->root_bytes += r->bytes;
	b->root_resent += r->n_resent;
	if (r->up && *r->file)
		check_file(b, r->file, r->bytes, r->crc);
	if (!r->up)
		storm_note(b, "kernel: no root over NFS: %s", r->why);
	if (r->up && !b->n_wrong)
		finish(b, STORM_UP);
	else
		dark(b);
}

/* The kernel has its address: it mounts its root. */
static void mount_root(struct storm_board *b)
{
	struct br_sim_board *board = br_sim_runner_board(b->storm->runner, b->i);
	const char *cmdline = br_sim_board_handover(board)->cmdline;
	struct br_sim_station station = { br_sim_nfsroot_frame, br_sim_nfsroot_step, br_sim_nfsroot_deadline, NULL };

	if (b->state != STORM_BUSY || b->cycle || !cmdline)
		return;
	b->root = br_sim_nfsroot_new(br_sim_board_stack(board), cmdline, on_root, b);
	if (!b->root) {
		storm_note(b, "out of memory for a virtual kernel");
		finish(b, STORM_FAILED);
		return;
	}
	station.ctx = b->root;
	br_sim_runner_divert(b->storm->runner, b->i, &station);
}

/* Its firmware is done. */
static void start_kernel(struct storm_board *b, const char *cmdline)
{
	if (b->n_wrong)
		dark(b); /* the reason is noted: such a system would not come up */
	else if (!b->storm->has_kernels || !br_sim_nfsroot_wanted(cmdline))
		finish(b, STORM_UP);
}

static void on_event(void *ctx, const struct br_sim_event *e)
{
	struct storm_board *b = ctx;

	switch (e->what) {
	case BR_SIM_POWER_ON:
		b->n_wrong = 0;
		br_sim_runner_powered(b->storm->runner, b->i);
		return;
	case BR_SIM_FILE:
		check_file(b, without_directory(b, e->name), e->bytes, e->crc);
		return;
	case BR_SIM_WRONG:
		if (*e->name && !is_there(b, without_directory(b, e->name)))
			return; /* a question for a file that is nowhere went without an answer */
		b->n_wrong++;
		note_event(b, e);
		return;
	case BR_SIM_AGAIN:
		b->n_wrong = 0;
		note_event(b, e);
		return;
	case BR_SIM_GAVE_UP:
		note_event(b, e);
		dark(b);
		return;
	case BR_SIM_KERNEL:
		start_kernel(b, e->text);
		return;
	case BR_SIM_BOUND:
		if (!strcmp(e->stage, "kernel"))
			mount_root(b);
		return;
	default:
		return;
	}
}

static void on_send(void *ctx, const uint8_t *frame, size_t len)
{
	struct storm_board *b = ctx;

	br_sim_runner_send(b->storm->runner, b->i, frame, len);
}

static int add_board(struct storm *s, size_t i, struct br_error *err)
{
	static const struct br_sim_stage *then[2]; /* the kernel asks for an address, and nothing more */
	struct storm_board *b = &s->boards[i];
	struct br_sim_board_config c = {
		.model = s->config->models[i % s->config->n_models],
		.serial = s->config->serial + (uint32_t)i,
		.speed = s->config->speed,
		.restarts = true,
		.then = s->has_kernels ? then : NULL,
		.send = on_send,
		.event = on_event,
		.ctx = b,
	};

	then[0] = br_sim_follower_by_name("kernel");
	memcpy(c.mac.b, c.model->oui, 3);
	c.mac.b[3] = (uint8_t)(c.serial >> 16);
	c.mac.b[4] = (uint8_t)(c.serial >> 8);
	c.mac.b[5] = (uint8_t)c.serial;
	b->storm = s;
	b->i = i;
	b->model = c.model;
	snprintf(b->name, sizeof(b->name), "%08x", c.serial);
	return br_sim_runner_add(s->runner, &c, err);
}

/* What could not be done within the boards' own calls. */
static void tend(struct storm *s)
{
	for (size_t i = 0; i < s->config->n_boards; i++) {
		struct storm_board *b = &s->boards[i];

		if (!b->cycle)
			continue;
		b->cycle = false;
		br_sim_runner_divert(s->runner, i, NULL);
		br_sim_nfsroot_free(br_take(b->root));
		br_sim_board_power_cycle(br_sim_runner_board(s->runner, i), br_now_ns(), BR_SIM_STORM_RETRY_NS);
		br_sim_runner_wake(s->runner, i);
	}
}

static int run(struct storm *s, struct br_error *err)
{
	uint64_t end_ns = s->start_ns + s->config->timeout_ns, now, next_ns = s->start_ns;
	int r = 0;

	while (!r && s->n_busy && !*s->config->stop && (now = br_now_ns()) < end_ns) {
		if (now >= next_ns) {
			tend(s);
			storm_show_progress(s, now);
			next_ns = now + TICK_NS;
		}
		r = br_sim_runner_turn(s->runner, next_ns < end_ns ? next_ns : end_ns, err);
	}
	return r;
}

/* Boards that are still on their way: where they are is the reason. */
static void note_unfinished(struct storm *s)
{
	static const char *const phases[] = {
		[BR_SIM_OFF] = "off", [BR_SIM_IN_DHCP] = "asking for an address", [BR_SIM_IN_ARP] = "asking for the server by ARP",
		[BR_SIM_THINKING] = "fetching", [BR_SIM_FETCHING] = "fetching", [BR_SIM_READY] = "starting its kernel",
		[BR_SIM_FAILED] = "dark",
	};

	for (size_t i = 0; i < s->config->n_boards; i++) {
		struct storm_board *b = &s->boards[i];
		const struct br_sim_board *board = br_sim_runner_board(s->runner, i);
		char before[sizeof(b->reason)];

		if (b->state != STORM_BUSY)
			continue;
		memcpy(before, b->reason, sizeof(before));
		b->end_ns = br_now_ns();
		storm_note(b, "not there yet: %s %s%s%.180s", br_sim_board_stage(board),
			b->root ? "mounting its root" : phases[br_sim_board_phase(board)], *before ? "; before: " : "", before);
		if (s->config->json)
			storm_report_board(b);
	}
}

int br_sim_storm_run(const struct br_sim_storm_config *c, struct br_sim_link *link, struct br_sim_storm_result *ret,
	struct br_error *err)
{
	br_cleanup(br_freep) struct storm *s = calloc(1, sizeof(*s));
	br_cleanup(br_freep) struct storm_board *boards = calloc(c->n_boards, sizeof(*boards));
	int r = 0;

	if (!s || !boards)
		return br_error_set(err, ENOMEM, "out of memory for %zu virtual boards", c->n_boards);
	s->config = c;
	s->boards = boards;
	s->n_busy = c->n_boards;
	s->has_kernels = br_sim_link_is_tap(link);
	s->runner = br_sim_runner_new(link);
	if (!s->runner)
		return br_error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; !r && i < c->n_boards; i++)
		r = add_board(s, i, err);
	if (!r && br_sim_fault_any(&c->faults) && br_sim_runner_set_faults(s->runner, &c->faults) < 0)
		r = br_error_set(err, ENOMEM, "out of memory");
	s->start_ns = br_now_ns();
	if (!r)
		r = run(s, err);
	if (!r) {
		note_unfinished(s);
		storm_report(s);
		*ret = (struct br_sim_storm_result){ .n_boards = c->n_boards, .n_up = s->n_up,
			.n_failed = c->n_boards - s->n_up - s->n_busy };
	}
	for (size_t i = 0; i < c->n_boards; i++)
		br_sim_nfsroot_free(boards[i].root);
	br_sim_runner_free(s->runner);
	return r;
}

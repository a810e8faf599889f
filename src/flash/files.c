/* SPDX-License-Identifier: Apache-2.0 */
/* Names that boards ask for, and what they say by asking. Runs in the threads of TFTP and HTTP. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "fleet/event.h"
#include "flash/internal.h"
#include "uboot/legacy.h"

#define START "bramble/flash.scr"
#define UP    "bramble/up"
#define UNDER "bramble/flash/"

/* ---- blobs ---- */

const struct br_span *br_flash_blob_span(const struct br_flash_blob *blob)
{
	return &blob->span;
}

void br_flash_blob_unref(void *ref)
{
	struct br_flash_blob *blob = ref;

	if (!blob || --blob->refs)
		return;
	free(blob->data);
	free(blob);
}

int flash_blob_new(uint8_t *data, size_t len, struct br_flash_blob **ret)
{
	struct br_flash_blob *blob = calloc(1, sizeof(*blob));

	if (!blob) {
		free(data);
		return -ENOMEM;
	}
	blob->refs = 1;
	blob->data = data;
	blob->span = (struct br_span){ data, len };
	*ret = blob;
	return 0;
}

static int make_script(struct br_text *t, struct br_flash_blob **ret)
{
	uint8_t *data;
	size_t len;
	int r = t->failed || !t->buf ? -ENOMEM : br_uimage_pack_script("bramble flash", 0, t->buf, t->len, &data, &len);

	br_text_done(t);
	return r < 0 ? r : flash_blob_new(data, len, ret);
}

static int make_answer(const char *text, struct br_flash_blob **ret)
{
	char *copy = strdup(text);

	return copy ? flash_blob_new((uint8_t *)copy, strlen(text), ret) : -ENOMEM;
}

/* ---- one name each. The lock is held ---- */

struct asked {
	struct br_flash *flash;
	struct flash_run *run;
	const char *rest; /* behind the verb and its '/' */
	char *reason;
	size_t size;
	struct br_flash_blob **ret;
};

static int number(const char *s, const char **end, uint64_t max, uint64_t *ret)
{
	char *e;
	unsigned long long v;

	if (!*s || strspn(s, "0123456789abcdefABCDEF") == 0)
		return -ENOENT;
	errno = 0;
	v = strtoull(s, &e, 16);
	if (errno || v > max)
		return -ENOENT;
	*ret = v;
	*end = e;
	return 0;
}

/* The whole rest is a number below limit. */
static int only_number(const char *s, uint64_t limit, uint32_t *ret)
{
	const char *end;
	uint64_t v;

	if (number(s, &end, UINT32_MAX, &v) < 0 || *end || v >= limit)
		return -ENOENT;
	*ret = (uint32_t)v;
	return 0;
}

static int give_start(struct asked *a)
{
	struct flash_run *run = a->run;
	struct br_text t = BR_TEXT_NULL;
	int r = 0;

	run->begun++;
	if (!run->seen) {
		run->seen = true;
		run->started_ns = br_now_ns();
		if (!run->order.started_at)
			run->order.started_at = (int64_t)(br_wall_ns() / BR_S);
		r = flash_store(a->flash, run, BR_FLASH_WRITING, NULL);
	} else {
		run->retries++;
	}
	if (r < 0)
		return r;
	br_flash_script_start(&run->job, &t);
	return make_script(&t, a->ret);
}

struct was_card {
	const struct br_flash_order *order;
	bool card;
};

static int find_place(void *ctx, const struct br_flash_order *o)
{
	struct was_card *w = ctx;

	if (o->board_id != w->order->board_id || strcmp(o->target, w->order->target) != 0 || !o->place[0])
		return 0;
	w->card = br_str_starts(o->place, "card/");
	return 1;
}

/* A recovery card whose mark cannot be read just now must not be taken for an empty disk: what starts the board is on it. */
static int check_whole(struct asked *a, struct br_error *err)
{
	const struct br_flash_order *o = &a->run->order;
	struct was_card w = { o, false };
	int r = br_flash_order_list(a->flash->fleet, 0, find_place, &w);

	if (r < 0)
		return br_error_set(err, -r, "cannot read the flash orders: %s", strerrordesc_np(-r));
	return w.card ? br_error_set(err, EUCLEAN, "%s was a recovery card, whose mark in partition 1 cannot be read now: it is not "
		"overwritten. Make the card anew; if the board has another disk now, remove the board and add it again", o->target) : 0;
}

/* A plan is for one place; a board that now has another card begins anew. */
static int make_plan(struct asked *a, struct br_error *err)
{
	struct flash_run *run = a->run;
	struct br_flash_plan *plan = NULL;
	struct br_flash_place place;
	char text[sizeof(run->order.place)], disk[BR_FLASH_DISK_NAME];
	bool native = *a->rest == 'n';
	int r = (*a->rest == 'n' || *a->rest == 's') && a->rest[1] == '/' ? br_flash_place_parse(a->rest + 2, &place) : -EINVAL;

	if (r < 0)
		return br_error_set(err, EINVAL, "the board's words on its card cannot be understood");
	r = place.card ? 0 : check_whole(a, err);
	if (r < 0)
		return r;
	run->job.native = native;
	br_flash_place_format(&place, text, sizeof(text));
	if (run->plan && !strcmp(run->order.place, text))
		return 0;
	br_flash_linux_disk(run->job.bif, run->job.dev, disk);
	r = br_flash_plan_new(run->map, &place, disk, &plan, err);
	if (r < 0)
		return r;
	br_flash_plan_unref(run->plan);
	run->plan = plan;
	memcpy(run->order.place, text, sizeof(text));
	return flash_store(a->flash, run, run->order.state, err);
}

static int give_plan(struct asked *a)
{
	struct flash_run *run = a->run;
	struct br_error err = BR_ERROR_NULL;
	struct br_text t = BR_TEXT_NULL;
	int r;

	if (run->image == FLASH_UNREAD || run->image == FLASH_READING) {
		br_flash_script_wait(&t);
		return make_script(&t, a->ret);
	}
	r = run->map ? make_plan(a, &err) : -ENOENT;
	if (r < 0) { /* the board says so in turn, and goes on with what it has */
		snprintf(run->order.reason, sizeof(run->order.reason), "%s", br_error_text(&err, r));
		br_flash_script_stop("plan", &t);
		return make_script(&t, a->ret);
	}
	run->done = 0;
	br_flash_script_group(&run->job, run->plan, 0, false, &t);
	return make_script(&t, a->ret);
}

static int group(struct asked *a, bool again)
{
	struct br_text t = BR_TEXT_NULL;
	uint32_t n;

	if (!a->run->plan || only_number(a->rest, br_flash_groups(a->run->plan), &n) < 0)
		return -ENOENT;
	if (!again)
		a->run->done = n * BR_FLASH_GROUP;
	br_flash_script_group(&a->run->job, a->run->plan, n, again, &t);
	return make_script(&t, a->ret);
}

static int give_group(struct asked *a)
{
	return group(a, false);
}

static int give_again(struct asked *a)
{
	a->run->done = a->run->plan ? br_flash_plan_windows(a->run->plan) : 0;
	return group(a, true);
}

static int give_detail(struct asked *a)
{
	struct br_text t = BR_TEXT_NULL;
	uint32_t w;

	if (!a->run->plan || only_number(a->rest, br_flash_plan_windows(a->run->plan), &w) < 0)
		return -ENOENT;
	br_flash_script_detail(&a->run->job, a->run->plan, w, &t);
	return make_script(&t, a->ret);
}

static int chunk(struct asked *a, bool fit)
{
	struct flash_run *run = a->run;
	struct br_error err = BR_ERROR_NULL;
	struct br_flash_mask mask;
	uint64_t w, bytes;
	const char *end;
	int r;

	if (!run->plan || number(a->rest, &end, UINT32_MAX, &w) < 0 || *end != '/' || w >= br_flash_plan_windows(run->plan) ||
		br_flash_mask_parse(end + 1, br_flash_map_leaves(br_flash_plan_map(run->plan), (uint32_t)w), &mask) < 0)
		return -ENOENT;
	r = flash_pack_get(a->flash, run, fit, (uint32_t)w, &mask, a->ret, &bytes, &err);
	if (r == -EINPROGRESS)
		return r;
	if (r < 0) {
		snprintf(a->reason, a->size, "%s", br_error_text(&err, r));
		return r;
	}
	run->fetched += (*a->ret)->span.len;
	if (!strcmp(run->chunk_name, a->rest)) {
		run->retries++;
		return 0;
	}
	snprintf(run->chunk_name, sizeof(run->chunk_name), "%s", a->rest);
	run->done = (uint32_t)w;
	run->written++;
	run->written_bytes += bytes;
	if (!run->job.fine && !strcmp(end + 1, "all")) /* on a card that is new to us the next is likely to differ, too */
		flash_pack_ahead(a->flash, run, fit, (uint32_t)w + 1);
	return 0;
}

static int give_chunk(struct asked *a)
{
	return chunk(a, true);
}

static int give_legacy(struct asked *a)
{
	return chunk(a, false);
}

static int give_probe(struct asked *a)
{
	uint8_t *data;
	size_t len;
	int r = br_flash_probe(&data, &len, NULL);

	return r < 0 ? r : flash_blob_new(data, len, a->ret);
}

static int give_table(struct asked *a)
{
	struct br_error err = BR_ERROR_NULL;
	uint8_t *data;
	size_t len;
	int r;

	if (!a->run->plan || (strcmp(a->rest, "w") != 0 && strcmp(a->rest, "l") != 0))
		return -ENOENT;
	a->run->done = br_flash_plan_windows(a->run->plan);
	r = br_flash_table(&a->run->job, a->run->plan, *a->rest == 'w', &data, &len, &err);
	return r < 0 ? r : flash_blob_new(data, len, a->ret);
}

static int give_done(struct asked *a)
{
	struct flash_run *run = a->run;
	int r = 0;

	if (*a->rest || !run->plan)
		return -ENOENT;
	run->done = br_flash_plan_windows(run->plan);
	if (!run->order.keep)
		r = br_flash_set_road(a->flash->fleet, run->order.board_id);
	if (r < 0)
		return r; /* it would boot over the network, and that would count as the flashed system */
	r = flash_store(a->flash, run, BR_FLASH_VERIFIED, NULL);
	return r < 0 ? r : make_answer("ok\n", a->ret);
}

static const struct {
	const char *word, *text;
} failures[] = {
	{ "device", "U-Boot has no such device: see --target" },
	{ "layout", "the board was started from this card, or its first partition may be that of a recovery card, but cannot be read well "
		    "enough to say so: it is not overwritten. Make the recovery card anew" },
	{ "read", "the card cannot be read, not even its first sector (this U-Boot may not know its kind: virtio disks of large sectors look so)" },
	{ "sectors", "the disk has sectors of 4096 bytes (4Kn): an image of sectors of 512 bytes cannot lie on it. Take another disk, or "
		     "one that can be formatted to 512" },
	{ "small", "the card is smaller than the image, or cannot be read at its end" },
	{ "fetch", "a piece of the image could not be fetched" },
	{ "download", "a piece of the image arrived damaged, three times" },
	{ "script", "a script could not be run" },
	{ "unpack", "a piece of the image could not be unpacked" },
	{ "write", "writing failed" },
	{ "readback", "what was written could not be read back" },
	{ "verify", "what was read back is not what was written" },
	{ "reread", "the last pass over the card found other bytes than were written: the card loses data, or is smaller than it says" },
	{ "table", "the partition table could not be written" },
	{ "plan", "" }, /* the order has the words already */
};

const char *br_flash_fail_word(const char *reason)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(failures); i++)
		if (*failures[i].text && br_str_starts(reason, failures[i].text))
			return failures[i].word;
	return "";
}

static int give_fail(struct asked *a)
{
	struct flash_run *run = a->run;
	size_t n = strcspn(a->rest, "/");
	char reason[sizeof(run->order.reason)], vis[40];
	const char *text = NULL, *where = a->rest[n] ? a->rest + n + 1 : "";
	int r;

	if (!run->plan && run->image != FLASH_UNREADABLE && br_str_starts(a->rest, "fetch/"))
		return -ENOENT; /* we were restarted in the middle: the board begins anew, and finds what is right */
	for (size_t i = 0; i < BR_ARRAY_SIZE(failures); i++)
		if (strlen(failures[i].word) == n && !strncmp(failures[i].word, a->rest, n))
			text = failures[i].text;
	if (text && !*text)
		snprintf(reason, sizeof(reason), "%s", run->order.reason);
	else
		snprintf(reason, sizeof(reason), "%s (%s, piece %s)", text ?: "the board gave up", run->order.target,
			br_vis(vis, sizeof(vis), where, strlen(where)));
	r = flash_fail(a->flash, run, "write", reason, NULL);
	return r < 0 ? r : make_answer("ok\n", a->ret);
}

static const struct {
	const char *verb;
	int (*give)(struct asked *a);
} verbs[] = {
	{ "plan/", give_plan }, { "g/", give_group }, { "v/", give_again }, { "d/", give_detail }, { "w/", give_chunk },
	{ "l/", give_legacy }, { "fit", give_probe }, { "t/", give_table }, { "done", give_done }, { "fail/", give_fail },
};

/* ---- the door ---- */

bool br_flash_is_name(const char *path)
{
	return !strcasecmp(path, START) || !strcasecmp(path, UP) || !strncasecmp(path, UNDER, sizeof(UNDER) - 1);
}

/* The answer to 'done' or 'fail' got lost, and the board asks again: the order has ended, and it may know so. */
static int ask_again(struct asked *a, const struct br_board *board, uint64_t id, const char *verb)
{
	struct br_flash_order order;
	bool done = !strcmp(verb, "done"), fail = br_str_starts(verb, "fail/");

	if ((!done && !fail) || br_flash_order_by_id(a->flash->fleet, (int64_t)id, &order) < 0)
		return -ENOENT;
	if (order.board_id != board->id)
		return -EACCES;
	if (done ? order.verified_at != 0 : order.state == BR_FLASH_FAILED)
		return make_answer("ok\n", a->ret);
	return -ENOENT;
}

static int under(struct asked *a, const struct br_board *board, const char *s)
{
	char *end;
	uint64_t id = strtoull(s, &end, 10);

	if (end == s || *end != '/' || id > INT64_MAX)
		return -ENOENT;
	s = end + 1;
	a->run = flash_run_by_id(a->flash, (int64_t)id);
	if (a->run && a->run->order.board_id != board->id)
		return -EACCES;
	if (!a->run || !br_flash_open_state(a->run->order.state))
		return ask_again(a, board, id, s);
	a->run->asked_ns = br_now_ns();
	for (size_t i = 0; i < BR_ARRAY_SIZE(verbs); i++) {
		if (br_str_starts(s, verbs[i].verb)) {
			a->rest = s + strlen(verbs[i].verb);
			return verbs[i].give(a);
		}
	}
	return -ENOENT;
}

int br_flash_file(struct br_flash *flash, const struct br_board *board, const char *path, struct br_flash_blob **ret,
	char *reason, size_t size)
{
	char none[8];
	struct asked a = { .flash = flash, .ret = ret, .reason = reason ?: none, .size = reason ? size : sizeof(none) };
	int r;

	if (!board)
		return -ENOENT;
	if (!strcasecmp(path, UP)) {
		br_flash_seen(flash, board->id, "url", br_now_ns());
		return make_answer("ok\n", ret);
	}
	pthread_mutex_lock(&flash->lock);
	if (!strcasecmp(path, START)) {
		a.run = flash_run_of_board(flash, board->id);
		r = a.run && br_flash_open_state(a.run->order.state) ? give_start(&a) : -ENOENT;
	} else {
		r = under(&a, board, path + sizeof(UNDER) - 1);
	}
	pthread_mutex_unlock(&flash->lock);
	return r;
}

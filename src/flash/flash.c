/* SPDX-License-Identifier: Apache-2.0 */
/* Orders under way: taken, followed, ended. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "fleet/event.h"
#include "flash/internal.h"

static int64_t now_s(void)
{
	return (int64_t)(br_wall_ns() / BR_S);
}

/* ---- runs ---- */

struct flash_run *flash_run_of_board(struct br_flash *flash, int64_t board_id)
{
	for (struct flash_run *r = flash->runs; r; r = r->next)
		if (r->order.board_id == board_id)
			return r;
	return NULL;
}

struct flash_run *flash_run_by_id(struct br_flash *flash, int64_t id)
{
	for (struct flash_run *r = flash->runs; r; r = r->next)
		if (r->order.id == id)
			return r;
	return NULL;
}

static void run_free(struct flash_run *run)
{
	br_flash_plan_unref(run->plan);
	br_flash_map_unref(run->map);
	free(run);
}

static void run_remove(struct br_flash *flash, struct flash_run *run)
{
	for (struct flash_run **p = &flash->runs; *p; p = &(*p)->next) {
		if (*p == run) {
			*p = run->next;
			run_free(run);
			return;
		}
	}
}

static enum br_flash_verify verify_of(const char *text)
{
	if (!strcmp(text, "full"))
		return BR_FLASH_VERIFY_FULL;
	return strcmp(text, "none") ? BR_FLASH_VERIFY_HASH : BR_FLASH_VERIFY_NONE;
}

/* ---- what became of one ---- */

static void tell(struct br_flash *flash, const struct flash_run *run)
{
	const struct br_flash_order *o = &run->order;
	const char *type = NULL;
	json_t *fields = json_pack("{s:I, s:s, s:s}", "order", (json_int_t)o->id, "image", o->image, "target", o->target);

	if (o->state == BR_FLASH_WAITING) {
		type = BR_EV_FLASH_ORDERED;
	} else if (o->state == BR_FLASH_WRITING) {
		type = BR_EV_FLASH_STARTED;
	} else if (o->state == BR_FLASH_VERIFIED) {
		type = BR_EV_FLASH_VERIFIED;
		json_object_set_new(fields, "windows", json_integer(run->plan ? br_flash_plan_windows(run->plan) : 0));
		json_object_set_new(fields, "written", json_integer(run->written));
		json_object_set_new(fields, "bytes", json_integer((json_int_t)run->fetched));
		json_object_set_new(fields, "ms", json_integer((json_int_t)((br_now_ns() - run->started_ns) / BR_MS)));
	} else if (o->state == BR_FLASH_DONE) {
		type = BR_EV_FLASH_DONE;
		json_object_set_new(fields, "by", json_string(o->what));
	} else {
		type = o->state == BR_FLASH_FAILED ? BR_EV_FLASH_FAILED : BR_EV_FLASH_CANCELLED;
		json_object_set_new(fields, "what", json_string(o->what));
		json_object_set_new(fields, "reason", json_string(o->reason));
	}
	br_event_emit(flash->fleet, o->board_id, 0, type, fields);
}

int flash_store(struct br_flash *flash, struct flash_run *run, enum br_flash_state state, struct br_error *err)
{
	struct br_flash_order before = run->order;
	bool ended = state != BR_FLASH_WAITING && state != BR_FLASH_WRITING && state != BR_FLASH_VERIFIED;
	int r;

	run->order.state = state;
	if (state == BR_FLASH_VERIFIED) {
		run->order.verified_at = now_s();
		run->verified_ns = br_now_ns();
	}
	if (ended)
		run->order.ended_at = now_s();
	r = br_flash_order_save(flash->fleet, &run->order, err);
	if (r < 0) {
		run->order = before;
		return r;
	}
	if (state != before.state)
		tell(flash, run);
	if (ended)
		run_remove(flash, run);
	return 0;
}

int flash_fail(struct br_flash *flash, struct flash_run *run, const char *what, const char *reason, struct br_error *err)
{
	snprintf(run->order.what, sizeof(run->order.what), "%s", what);
	snprintf(run->order.reason, sizeof(run->order.reason), "%s", reason);
	return flash_store(flash, run, *what ? BR_FLASH_FAILED : BR_FLASH_CANCELLED, err);
}

void flash_up(struct br_flash *flash, struct flash_run *run, const char *by)
{
	snprintf(run->order.what, sizeof(run->order.what), "%s", by);
	(void)flash_store(flash, run, BR_FLASH_DONE, NULL); /* tried again with the next sign of life */
}

void br_flash_seen(struct br_flash *flash, int64_t board_id, const char *by, uint64_t now_ns)
{
	unsigned i = 0;

	pthread_mutex_lock(&flash->seen_lock);
	while (i < flash->n_seen && (flash->seen[i].board_id != board_id || strcmp(flash->seen[i].by, by) != 0))
		i++;
	if (i < FLASH_SEEN) { /* a flood of boards: the next sign of life will do */
		flash->seen[i].board_id = board_id;
		br_strcpy(flash->seen[i].by, sizeof(flash->seen[i].by), by);
		flash->seen[i].at_ns = now_ns;
		flash->n_seen += i == flash->n_seen;
	}
	pthread_mutex_unlock(&flash->seen_lock);
}

/* ---- orders ---- */

static void supersede(struct br_flash *flash, struct flash_run *old, int64_t by)
{
	int64_t id = old->order.id;
	char reason[64];

	snprintf(reason, sizeof(reason), "superseded by order %" PRId64, by);
	if (flash_fail(flash, old, "silent", reason, NULL) < 0) /* it is awaited no more all the same */
		run_remove(flash, flash_run_by_id(flash, id));
}

/* fine: most of the card is known to be right already. */
static int run_add(struct br_flash *flash, const struct br_flash_order *order, bool fine)
{
	struct flash_run *run = calloc(1, sizeof(*run)), *old;

	if (!run)
		return -ENOMEM;
	run->order = *order;
	run->job.id = (uint64_t)order->id;
	run->job.verify = verify_of(order->verify);
	run->job.fine = fine;
	run->since_ns = run->verified_ns = br_now_ns();
	br_flash_target_parse(order->target, run->job.bif, &run->job.dev);
	old = flash_run_of_board(flash, order->board_id);
	if (old) /* one whose system was still awaited: a new order ends that */
		supersede(flash, old, order->id);
	run->next = flash->runs;
	flash->runs = run;
	pthread_cond_broadcast(&flash->wake);
	return 0;
}

static bool one_of(const char *s, const char *a, const char *b, const char *c, const char *d)
{
	return !strcmp(s, a) || !strcmp(s, b) || !strcmp(s, c) || (d && !strcmp(s, d));
}

static int check(struct br_flash *flash, struct br_flash_order *o, struct br_error *err)
{
	br_cleanup(br_freep) struct br_image_info *info = calloc(1, sizeof(*info));
	struct br_board board;
	char bif[8], vis[40];
	unsigned dev;
	int r;

	if (!info)
		return br_error_set(err, ENOMEM, "out of memory");
	if (br_flash_target_parse(o->target, bif, &dev) < 0)
		return br_error_set(err, EINVAL, "target '%s': mmc0, usb0, nvme0, scsi0 or virtio0 is needed, by U-Boot's numbers",
			br_vis(vis, sizeof(vis), o->target, strlen(o->target)));
	snprintf(o->target, sizeof(o->target), "%s%u", bif, dev);
	if (!one_of(o->verify, "hash", "full", "none", NULL))
		return br_error_set(err, EINVAL, "verify: 'hash', 'full' or 'none' is needed");
	if (!one_of(o->up, "dhcp", "ssh", "url", "none"))
		return br_error_set(err, EINVAL, "up: 'dhcp', 'ssh', 'url' or 'none' is needed");
	r = br_store_info(flash->store, o->image, info, err);
	if (r < 0)
		return r;
	if (o->keep && (!strcmp(o->up, "dhcp") || !strcmp(o->up, "ssh")) && !br_board_by_id(flash->fleet, o->board_id, &board) &&
		strcmp(board.road, "flash") != 0 && strcmp(board.road, "local") != 0)
		return br_error_set(err, EINVAL, "up '%s' with 'keep': %s would go on to boot over the network, and that system would count "
			"as the flashed one. Give up 'none' or 'url'", o->up, board.name);
	if (!info->boot)
		return br_error_set(err, EINVAL, "image %s has no boot partition: no board could start it", o->image);
	snprintf(o->image, sizeof(o->image), "%s", info->name);
	snprintf(o->sha256, sizeof(o->sha256), "%s", info->sha256);
	return 0;
}

/* Its last flash went well, so most blocks will be right again. */
static bool is_known(struct br_flash *flash, const struct br_flash_order *o)
{
	struct br_flash_order last;

	return !br_flash_order_last(flash->fleet, o->board_id, &last) && last.verified_at && !strcmp(last.target, o->target);
}

int br_flash_order(struct br_flash *flash, struct br_flash_order *o, struct br_error *err)
{
	bool fine;
	int r = check(flash, o, err);

	if (r < 0)
		return r;
	o->state = BR_FLASH_WAITING;
	pthread_mutex_lock(&flash->lock);
	fine = is_known(flash, o);
	r = br_flash_order_add(flash->fleet, o, err);
	if (r >= 0)
		r = run_add(flash, o, fine);
	if (r >= 0)
		tell(flash, flash_run_by_id(flash, o->id));
	pthread_mutex_unlock(&flash->lock);
	return r < 0 && err && !err->code ? br_error_set(err, -r, "%s", strerrordesc_np(-r)) : r;
}

static int withdraw(struct br_flash *flash, int64_t id, const char *what, const char *reason, bool force, struct br_error *err)
{
	struct flash_run *run = flash_run_by_id(flash, id);
	struct br_flash_order order;

	if (!run && br_flash_order_by_id(flash->fleet, id, &order) < 0)
		return br_error_set(err, ENOENT, "flash order %" PRId64 ": there is none of this number", id);
	if (!run || (run->order.state == BR_FLASH_VERIFIED && !*what))
		return br_error_set(err, EBUSY, "flash order %" PRId64 " has ended: there is nothing to withdraw", id);
	if (run->order.state == BR_FLASH_WRITING && !force)
		return br_error_set(err, EBUSY, "flash order %" PRId64 " is being written: without its rest the card holds no system. "
			"Give --force to withdraw it all the same", id);
	return flash_fail(flash, run, what, reason, err);
}

int br_flash_withdraw(struct br_flash *flash, int64_t id, const char *what, const char *reason, bool force, struct br_error *err)
{
	int r;

	pthread_mutex_lock(&flash->lock);
	r = withdraw(flash, id, what, reason, force, err);
	pthread_mutex_unlock(&flash->lock);
	return r;
}

void br_flash_reserved(struct br_flash *flash, int64_t board_id, int64_t number)
{
	struct flash_run *run;
	char reason[120];

	pthread_mutex_lock(&flash->lock);
	run = flash_run_of_board(flash, board_id);
	if (run && run->order.reservation && run->order.reservation != number && br_flash_open_state(run->order.state)) {
		int64_t id = run->order.id;

		snprintf(reason, sizeof(reason), "reservation r%" PRId64 ", which ordered it, has ended%s", run->order.reservation,
			run->order.state == BR_FLASH_WRITING ? "; the card was being written: it holds no system" : "");
		if (flash_fail(flash, run, "", reason, NULL) < 0) /* not stored: it is given to no board all the same, and ends after a restart */
			run_remove(flash, flash_run_by_id(flash, id));
	}
	pthread_mutex_unlock(&flash->lock);
}

void br_flash_check_reserved(struct br_flash *flash, int64_t (*of)(void *ctx, int64_t board_id), void *ctx)
{
	br_cleanup(br_freep) int64_t *boards = NULL;
	size_t n = 0, all = 0;

	pthread_mutex_lock(&flash->lock);
	for (const struct flash_run *run = flash->runs; run; run = run->next)
		all++;
	boards = calloc(all + 1, sizeof(*boards));
	for (const struct flash_run *run = flash->runs; boards && run; run = run->next) {
		if (run->order.reservation)
			boards[n++] = run->order.board_id;
	}
	pthread_mutex_unlock(&flash->lock);
	for (size_t i = 0; i < n; i++) /* without the lock: reservations are asked */
		br_flash_reserved(flash, boards[i], of(ctx, boards[i]));
}

int br_flash_status(struct br_flash *flash, int64_t id, struct br_flash_status *ret)
{
	struct br_flash_status st = { 0 };
	struct br_board board;
	struct flash_run *run;
	int r = 0;

	pthread_mutex_lock(&flash->lock);
	run = flash_run_by_id(flash, id);
	if (run) {
		st.order = run->order;
		st.preparing = run->image == FLASH_UNREAD || run->image == FLASH_READING;
		st.windows = run->plan ? br_flash_plan_windows(run->plan) : 0;
		st.size = run->plan ? br_flash_plan_bytes(run->plan) : 0;
		st.done = run->done < st.windows ? run->done : st.windows;
		st.written = run->written;
		st.written_bytes = run->written_bytes;
		st.fetched = run->fetched;
		st.retries = run->retries;
		st.contact = run->contact_ns || run->seen;
		st.contact_ns = run->contact_ns;
		st.asked_ns = run->asked_ns;
		st.begun = run->begun;
		if (run->plan)
			br_strcpy(st.notes, sizeof(st.notes), br_flash_plan_notes(run->plan));
	} else {
		r = br_flash_order_by_id(flash->fleet, id, &st.order);
	}
	pthread_mutex_unlock(&flash->lock);
	if (r < 0)
		return r;
	if (!br_board_by_id(flash->fleet, st.order.board_id, &board))
		snprintf(st.board, sizeof(st.board), "%s", board.name);
	*ret = st;
	return 0;
}

bool br_flash_pending(struct br_flash *flash, int64_t board_id)
{
	struct flash_run *run;
	bool pending;

	pthread_mutex_lock(&flash->lock);
	run = flash_run_of_board(flash, board_id);
	pending = run && br_flash_open_state(run->order.state);
	pthread_mutex_unlock(&flash->lock);
	return pending;
}

/* ---- the whole ---- */

/* Orders that were open when the daemon ended go on. */
static int take_up(void *ctx, const struct br_flash_order *o)
{
	struct br_flash *flash = ctx;
	struct br_flash_order last;

	if (!br_flash_open_state(o->state) && o->state != BR_FLASH_VERIFIED)
		return 0;
	if (br_flash_order_last(flash->fleet, o->board_id, &last) < 0 || last.id != o->id)
		return 0; /* what shows itself now is a later one's system */
	return run_add(flash, o, o->started_at != 0);
}

int br_flash_new(struct br_fleet *fleet, struct br_store *store, struct br_flash **ret, struct br_error *err)
{
	pthread_condattr_t attr;
	struct br_flash *flash = calloc(1, sizeof(*flash));
	int r;

	if (!flash)
		return br_error_set(err, ENOMEM, "out of memory");
	flash->fleet = fleet;
	flash->store = store;
	pthread_mutex_init(&flash->lock, NULL);
	pthread_mutex_init(&flash->seen_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&flash->wake, &attr);
	pthread_condattr_destroy(&attr);
	r = br_flash_order_list(fleet, 0, take_up, flash);
	if (r < 0)
		br_error_set(err, -r, "cannot read the flash orders: %s", strerrordesc_np(-r));
	else
		r = flash_workers_start(flash, err);
	if (r < 0) {
		br_flash_free(flash);
		return r;
	}
	*ret = flash;
	return 0;
}

void br_flash_free(struct br_flash *flash)
{
	if (!flash)
		return;
	flash_workers_stop(flash);
	while (flash->runs)
		run_remove(flash, flash->runs);
	pthread_cond_destroy(&flash->wake);
	pthread_mutex_destroy(&flash->seen_lock);
	pthread_mutex_destroy(&flash->lock);
	free(flash);
}

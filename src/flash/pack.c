/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks, packed by threads of their own: reading and compressing 16 MiB takes up to a second, in which the thread of TFTP
 * would answer nobody. What boards are likely to ask for next is packed ahead, and what is packed is shared by all boards that
 * get the same bytes in the same way.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/thread.h"
#include "flash/internal.h"

#define PACKED_MAX (192u << 20) /* of all chunks; packing one takes another 48 MiB a thread */
#define PACKS_MAX  512u		/* chunks known of, wanted ones too */
#define AT_ONCE	   (256u << 10) /* so little is packed by who asks */
#define KEEP_NS	   (20 * BR_S)	/* what nobody took yet; U-Boot asks every second */

#define KEY_MAX 288

struct flash_pack {
	struct flash_pack *next;
	char key[KEY_MAX];
	enum { PACK_WANTED, PACK_WORKING, PACK_READY, PACK_FAILED } state;
	bool ahead; /* nobody asked for it yet */
	bool given;
	struct br_flash_job job;
	struct br_flash_plan *plan; /* until it is packed */
	bool fit;
	uint32_t w;
	struct br_flash_mask mask;
	struct br_flash_blob *blob;
	uint64_t bytes; /* unpacked */
	struct br_error err;
	int error;
	uint64_t used_ns; /* packed, or given to somebody */
};

/* All that the bytes of a chunk depend on. The card's number only where a name was changed: else they are the same on every
 * card that is laid out so. */
static void make_key(const struct flash_run *run, bool fit, uint32_t w, const struct br_flash_mask *mask, char ret[static KEY_MAX])
{
	struct br_flash_place place = *br_flash_plan_place(run->plan);
	const struct br_flash_job *job = &run->job;
	char text[64];
	size_t n;

	if (!br_flash_plan_touches(run->plan, w))
		place.disk_id = 0;
	br_flash_place_format(&place, text, sizeof(text));
	n = (size_t)snprintf(ret, KEY_MAX, "%s %s %s%u %d%d%d %x ", run->order.sha256, text, job->bif, job->dev, job->verify, job->native,
		fit, w);
	for (size_t i = 0; i < BR_ARRAY_SIZE(mask->bits) && n < KEY_MAX - 5; i++)
		n += (size_t)snprintf(ret + n, KEY_MAX - n, "%04x", mask->bits[i]);
}

static void pack_free(struct flash_pack *p)
{
	br_flash_plan_unref(p->plan);
	br_flash_blob_unref(p->blob);
	free(p);
}

static void drop(struct br_flash *flash, struct flash_pack *p)
{
	struct flash_pack **at = &flash->packs;

	while (*at && *at != p)
		at = &(*at)->next;
	assert(*at);
	*at = p->next;
	flash->n_packs--;
	pack_free(p);
}

static struct flash_pack *find(const struct br_flash *flash, const char *key)
{
	for (struct flash_pack *p = flash->packs; p; p = p->next)
		if (!strcmp(p->key, key))
			return p;
	return NULL;
}

/* ---- memory ---- */

static uint64_t packed_bytes(const struct br_flash *flash)
{
	uint64_t sum = 0;

	for (const struct flash_pack *p = flash->packs; p; p = p->next)
		sum += p->blob ? p->blob->span.len : p->state == PACK_WORKING ? BR_FLASH_WINDOW : 0;
	return sum;
}

/* Nobody sends it just now, and who wanted it has it, or has had the time to come. */
static bool may_go(const struct flash_pack *p, bool urgent, uint64_t now_ns)
{
	if (p->state == PACK_FAILED)
		return true;
	return p->state == PACK_READY && p->blob->refs == 1 && (p->given || (urgent && p->ahead) || now_ns - p->used_ns > KEEP_NS);
}

/* The one that was used longest ago, of those that may go. */
static struct flash_pack *oldest(const struct br_flash *flash, bool urgent)
{
	uint64_t now_ns = br_now_ns();
	struct flash_pack *found = NULL;

	for (struct flash_pack *p = flash->packs; p; p = p->next)
		if (may_go(p, urgent, now_ns) && (!found || p->used_ns < found->used_ns))
			found = p;
	return found;
}

/* urgent: somebody waits. */
static bool make_room(struct br_flash *flash, bool urgent)
{
	while (packed_bytes(flash) + BR_FLASH_WINDOW > PACKED_MAX) {
		struct flash_pack *p = oldest(flash, urgent);

		if (!p)
			return false;
		drop(flash, p);
	}
	return true;
}

/* ---- wanting ---- */

static struct flash_pack *want(struct br_flash *flash, const struct flash_run *run, bool fit, uint32_t w,
	const struct br_flash_mask *mask, bool ahead)
{
	struct flash_pack *p, *old = flash->n_packs >= PACKS_MAX ? oldest(flash, !ahead) : NULL, **at = &flash->packs;

	if (old)
		drop(flash, old);
	p = flash->n_packs < PACKS_MAX ? calloc(1, sizeof(*p)) : NULL;
	if (!p)
		return NULL;
	make_key(run, fit, w, mask, p->key);
	p->fit = fit;
	p->w = w;
	p->mask = *mask;
	p->ahead = ahead;
	p->job = run->job;
	p->plan = br_flash_plan_ref(run->plan);
	while (*at) /* in the order in which they were asked for */
		at = &(*at)->next;
	*at = p;
	flash->n_packs++;
	pthread_cond_broadcast(&flash->wake);
	return p;
}

static void pack(struct flash_pack *p, const struct br_flash_plan *plan)
{
	uint8_t *data;
	size_t len;

	p->error = br_flash_chunk(&p->job, plan, p->fit, p->w, &p->mask, &data, &len, &p->bytes, &p->err);
	if (!p->error)
		p->error = flash_blob_new(data, len, &p->blob);
}

static void finish(struct flash_pack *p)
{
	p->state = p->error < 0 ? PACK_FAILED : PACK_READY;
	p->used_ns = br_now_ns();
	br_flash_plan_unref(p->plan);
	p->plan = NULL;
}

static uint32_t bytes_of(const struct br_flash_mask *mask)
{
	uint32_t n = 0;

	for (size_t i = 0; i < BR_ARRAY_SIZE(mask->bits); i++)
		n += (uint32_t)__builtin_popcount(mask->bits[i]);
	return n * BR_FLASH_LEAF;
}

static int give(struct br_flash *flash, struct flash_pack *p, struct br_flash_blob **ret, uint64_t *ret_bytes, struct br_error *err)
{
	int r = p->error;

	if (p->state == PACK_FAILED) { /* the next who asks tries again */
		if (err)
			*err = p->err;
		drop(flash, p);
		return r;
	}
	p->given = true;
	p->used_ns = br_now_ns();
	p->blob->refs++;
	*ret = p->blob;
	*ret_bytes = p->bytes;
	return 0;
}

int flash_pack_get(struct br_flash *flash, const struct flash_run *run, bool fit, uint32_t w, const struct br_flash_mask *mask,
	struct br_flash_blob **ret, uint64_t *ret_bytes, struct br_error *err)
{
	struct flash_pack *p;
	char key[KEY_MAX];

	make_key(run, fit, w, mask, key);
	p = find(flash, key);
	if (!p)
		p = want(flash, run, fit, w, mask, false);
	if (!p)
		return -EINPROGRESS; /* too many at once: it asks again */
	p->ahead = false;
	if (p->state == PACK_WANTED) {
		if (bytes_of(mask) <= AT_ONCE) {
			pack(p, run->plan);
			finish(p);
		}
	}
	return p->state == PACK_READY || p->state == PACK_FAILED ? give(flash, p, ret, ret_bytes, err) : -EINPROGRESS;
}

void flash_pack_ahead(struct br_flash *flash, const struct flash_run *run, bool fit, uint32_t w)
{
	struct br_flash_mask mask;
	char key[KEY_MAX];

	if (w >= br_flash_plan_windows(run->plan) ||
		br_flash_mask_parse("all", br_flash_map_leaves(br_flash_plan_map(run->plan), w), &mask) < 0)
		return;
	make_key(run, fit, w, &mask, key);
	if (!find(flash, key))
		(void)want(flash, run, fit, w, &mask, true); /* without it the board waits a moment */
}

/* ---- the threads ---- */

/* What somebody waits for comes before what is only likely to be asked for. */
static struct flash_pack *next_wanted(struct br_flash *flash)
{
	struct flash_pack *found = NULL;

	for (struct flash_pack *p = flash->packs; p; p = p->next)
		if (p->state == PACK_WANTED && (!found || (found->ahead && !p->ahead)))
			found = p;
	return found;
}

static void *packer(void *arg)
{
	struct br_flash *flash = arg;

	pthread_mutex_lock(&flash->lock);
	while (!flash->stopping) {
		struct flash_pack *p = next_wanted(flash);

		if (!p || !make_room(flash, !p->ahead)) {
			flash_wait(flash, p ? 50 * BR_MS : BR_S);
			continue;
		}
		p->state = PACK_WORKING; /* so it stays where it is */
		pthread_mutex_unlock(&flash->lock);
		pack(p, p->plan);
		pthread_mutex_lock(&flash->lock);
		finish(p);
	}
	pthread_mutex_unlock(&flash->lock);
	return NULL;
}

int flash_packers_start(struct br_flash *flash, struct br_error *err)
{
	for (; flash->n_packers < FLASH_PACKERS; flash->n_packers++) {
		int e = br_thread_start(&flash->packers[flash->n_packers], packer, flash);

		if (e)
			return br_error_set(err, e, "cannot start a thread: %s", strerrordesc_np(e));
	}
	return 0;
}

void flash_packers_done(struct br_flash *flash)
{
	while (flash->n_packers)
		pthread_join(flash->packers[--flash->n_packers], NULL);
	while (flash->packs)
		drop(flash, flash->packs);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What takes long, in threads of its own: images are read, and flashed systems looked for. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/thread.h"
#include "flash/internal.h"

#define SSH_PORT 22
#define PROBE_NS (2 * BR_S)
#define PROBE_MS 1000

BR_DEFINE_CLEANUP(struct br_image *, br_image_unref);

/* One of the same content that was read for another board. */
static struct br_flash_map *known_map(struct br_flash *flash, const char *sha256)
{
	for (struct flash_run *r = flash->runs; r; r = r->next)
		if (r->map && !strcmp(r->order.sha256, sha256))
			return br_flash_map_ref(r->map);
	return NULL;
}

static int read_image(struct br_flash *flash, const struct br_flash_order *o, struct br_flash_map **ret, struct br_error *err)
{
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	int r = br_image_open(flash->store, o->image, &image, err);

	if (r < 0)
		return r;
	if (strcmp(br_image_info(image)->sha256, o->sha256) != 0)
		return br_error_set(err, ESTALE, "image %s has another content since it was ordered; order anew", o->image);
	return br_flash_map_new(image, &flash->cancelled, NULL, ret, err);
}

/* Lock held before and after. */
static void prepare(struct br_flash *flash, struct flash_run *run)
{
	struct br_flash_order order = run->order;
	struct br_flash_map *map = known_map(flash, order.sha256);
	struct br_error err = BR_ERROR_NULL;
	int r = 0;

	run->image = FLASH_READING;
	if (!map) {
		pthread_mutex_unlock(&flash->lock);
		r = read_image(flash, &order, &map, &err);
		pthread_mutex_lock(&flash->lock);
	}
	run = flash_run_by_id(flash, order.id);
	if (!run) {
		br_flash_map_unref(map);
		return;
	}
	run->map = map;
	run->image = r < 0 ? FLASH_UNREADABLE : FLASH_READ;
	run->image_err = err;
	if (r < 0 && r != -ECANCELED)
		(void)flash_fail(flash, run, "image", br_error_text(&err, r), NULL);
}

/* Whether something listens there. */
static bool answers(uint32_t ip, uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(ip) };
	br_cleanup(br_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(int);
	int error = 0;

	if (fd < 0)
		return false;
	if (!connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
		return true;
	if (errno != EINPROGRESS || poll(&p, 1, PROBE_MS) != 1)
		return false;
	return !getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) && !error;
}

struct address {
	int64_t board_id;
	uint32_t ip;
};

static int find_address(void *ctx, const struct br_lease *lease)
{
	struct address *a = ctx;

	if (lease->board_id != a->board_id)
		return 0;
	a->ip = lease->ip;
	return 1;
}

/* Lock held before and after. */
static void probe(struct br_flash *flash, struct flash_run *run)
{
	struct address a = { .board_id = run->order.board_id };
	int64_t id = run->order.id;
	bool up;

	run->probe_ns = br_now_ns() + PROBE_NS;
	pthread_mutex_unlock(&flash->lock);
	up = br_lease_list(flash->fleet, find_address, &a) >= 0 && a.ip && answers(a.ip, SSH_PORT);
	pthread_mutex_lock(&flash->lock);
	run = flash_run_by_id(flash, id);
	if (up && run && run->order.state == BR_FLASH_VERIFIED)
		flash_up(flash, run, "ssh");
}

/* True: something was done, the list may have changed. */
static bool look_for_systems(struct br_flash *flash)
{
	for (struct flash_run *run = flash->runs; run; run = run->next) {
		if (run->order.state != BR_FLASH_VERIFIED)
			continue;
		if (!strcmp(run->order.up, "none")) {
			flash_up(flash, run, "none");
			return true;
		}
		if (!strcmp(run->order.up, "ssh") && br_now_ns() >= run->probe_ns) {
			probe(flash, run);
			return true;
		}
	}
	return false;
}

static bool read_images(struct br_flash *flash)
{
	for (struct flash_run *run = flash->runs; run; run = run->next) {
		if (run->image == FLASH_UNREAD && br_flash_open_state(run->order.state)) {
			prepare(flash, run);
			return true;
		}
	}
	return false;
}

static void take_seen(struct br_flash *flash)
{
	struct flash_seen seen[FLASH_SEEN];
	unsigned n;

	pthread_mutex_lock(&flash->seen_lock);
	n = flash->n_seen;
	memcpy(seen, flash->seen, n * sizeof(seen[0]));
	flash->n_seen = 0;
	pthread_mutex_unlock(&flash->seen_lock);
	for (unsigned i = 0; i < n; i++) {
		struct flash_run *run = flash_run_of_board(flash, seen[i].board_id);

		if (!run)
			continue;
		/* a system that renews its lease says nothing of a reset, its firmware does */
		if (!strcmp(seen[i].by, "boot") && seen[i].at_ns > run->since_ns)
			run->contact_ns = seen[i].at_ns;
		/* what was before is the old system's */
		if (run->order.state == BR_FLASH_VERIFIED && !strcmp(run->order.up, seen[i].by) && seen[i].at_ns > run->verified_ns)
			flash_up(flash, run, seen[i].by);
	}
}

void flash_wait(struct br_flash *flash, uint64_t ns)
{
	uint64_t end_ns = br_now_ns() + ns; /* CLOCK_MONOTONIC, as the condition's */
	struct timespec t = { .tv_sec = (time_t)(end_ns / BR_S), .tv_nsec = (long)(end_ns % BR_S) };

	pthread_cond_timedwait(&flash->wake, &flash->lock, &t);
}

static void *watch(void *arg)
{
	struct br_flash *flash = arg;

	pthread_mutex_lock(&flash->lock);
	while (!flash->stopping) {
		take_seen(flash);
		if (!look_for_systems(flash))
			flash_wait(flash, BR_S);
	}
	pthread_mutex_unlock(&flash->lock);
	return NULL;
}

static void *read_them(void *arg)
{
	struct br_flash *flash = arg;

	pthread_mutex_lock(&flash->lock);
	while (!flash->stopping)
		if (!read_images(flash))
			flash_wait(flash, BR_S);
	pthread_mutex_unlock(&flash->lock);
	return NULL;
}

int flash_workers_start(struct br_flash *flash, struct br_error *err)
{
	int e = br_thread_start(&flash->watcher, watch, flash);

	if (!e) {
		flash->n_threads++;
		e = br_thread_start(&flash->reader, read_them, flash);
	}
	if (e)
		return br_error_set(err, e, "cannot start a thread: %s", strerrordesc_np(e));
	flash->n_threads++;
	return flash_packers_start(flash, err);
}

void flash_workers_stop(struct br_flash *flash)
{
	pthread_mutex_lock(&flash->lock);
	flash->stopping = true;
	flash->cancelled = true;
	pthread_cond_broadcast(&flash->wake);
	pthread_mutex_unlock(&flash->lock);
	if (flash->n_threads > 1)
		pthread_join(flash->reader, NULL);
	if (flash->n_threads > 0)
		pthread_join(flash->watcher, NULL);
	flash->n_threads = 0;
	flash_packers_done(flash);
}

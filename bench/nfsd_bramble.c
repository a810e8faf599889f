/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our NFS server as the benchmarks start it: one disk per client address on an image, made when first mounted, as the
 * daemon does for boards, without the rest of the daemon.
 *     nfsd_bramble ADDRESS NFS-PORT MOUNT-PORT STATE-DIR IMAGE-FILE
 * imports the file into a store in STATE-DIR first when it is not there. Prints "ready" and serves until it is told to
 * end (SIGTERM). SIGUSR1: prints what it cost to open disks, then "end".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "nfs/server.h"
#include "store/disk.h"
#include "store/image.h"
#include "store/projfs.h"
#include "store/store.h"

struct board {
	uint32_t ip; /* key */
	bool opening;
	struct br_disk *disk;
	struct br_fs *base_fs, *fs;
	pthread_mutex_t lock;
	uint64_t open_ns;
	UT_hash_handle hh;
};

static struct {
	const char *dir;
	struct br_image *image;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct board *boards;
} world = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

/* What a board's root gets of its own, in the daemon's manner. */
static const struct br_projection projections[] = {
	{ .path = "/etc/hostname", .data = "pi\n", .len = 3, .mode = 0644 },
};

static int open_board(struct board *b, struct br_error *err)
{
	uint64_t start = br_now_ns();
	br_cleanup(br_freep) char *dir = br_asprintf("%s/disks/%08x", world.dir, b->ip);
	int r;

	if (!dir)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_disk_open(world.image, dir, &b->disk, err);
	if (r == 0)
		r = br_image_fs(world.image, &b->base_fs, err);
	if (r == 0)
		r = br_projfs_open(br_disk_fs(b->disk), b->base_fs, projections, BR_ARRAY_SIZE(projections), &b->fs, err);
	pthread_mutex_init(&b->lock, NULL);
	b->open_ns = br_now_ns() - start;
	return r;
}

static struct board *board_of(uint32_t ip, bool may_wait)
{
	struct board *b;

	pthread_mutex_lock(&world.lock);
	HASH_FIND(hh, world.boards, &ip, sizeof(ip), b);
	while (may_wait && b && b->opening) {
		pthread_cond_wait(&world.changed, &world.lock);
		HASH_FIND(hh, world.boards, &ip, sizeof(ip), b);
	}
	if (b && b->opening)
		b = NULL;
	pthread_mutex_unlock(&world.lock);
	return b;
}

static struct board *make_board(uint32_t ip, struct br_error *err)
{
	struct board *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return NULL;
	b->ip = ip;
	b->opening = true;
	pthread_mutex_lock(&world.lock);
	HASH_ADD(hh, world.boards, ip, sizeof(b->ip), b);
	pthread_mutex_unlock(&world.lock);
	r = open_board(b, err);
	if (r < 0) {
		fprintf(stderr, "nfsd_bramble: %s\n", br_error_text(err, r));
		exit(1);
	}
	pthread_mutex_lock(&world.lock);
	b->opening = false;
	pthread_cond_broadcast(&world.changed);
	pthread_mutex_unlock(&world.lock);
	return b;
}

static void fill(struct board *b, struct br_nfs_export *ret)
{
	*ret = (struct br_nfs_export){ .fs = b->fs, .lock = &b->lock, .ref = b };
	memcpy(ret->id, br_disk_uuid(b->disk), sizeof(ret->id));
}

static int mount_board(void *ctx, uint32_t ip, const char *path, struct br_nfs_export *ret, struct br_error *err)
{
	struct board *b = board_of(ip, true);

	if (!b)
		b = make_board(ip, err); /* each board mounts once at a time here */
	if (!b)
		return -ENOMEM;
	fill(b, ret);
	return 0;
}

static int find_board(void *ctx, uint32_t ip, const uint8_t id[static 16], bool may_wait, struct br_nfs_export *ret)
{
	struct board *b = board_of(ip, may_wait);

	if (!b || memcmp(br_disk_uuid(b->disk), id, 16))
		return -ESTALE;
	fill(b, ret);
	return 0;
}

static void release_board(void *ctx, struct br_nfs_export *export)
{
}

static const struct br_nfs_ops ops = { .mount = mount_board, .find = find_board, .release = release_board };

static int open_image(const char *dir, const char *file, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_asprintf("%s/store", dir);
	struct br_image_info info;
	struct br_store *store;
	int r = path ? br_store_open(path, &store, err) : -ENOMEM;

	if (r < 0)
		return r;
	r = br_image_open(store, "bench", &world.image, err);
	if (r < 0) {
		*err = BR_ERROR_NULL;
		r = br_store_import(store, file, &(struct br_import_options){ .name = "bench" }, &info, err);
		if (r >= 0)
			r = br_image_open(store, info.name, &world.image, err);
	}
	br_store_close(store);
	return r;
}

static void close_boards(void)
{
	struct board *b, *tmp;

	HASH_ITER(hh, world.boards, b, tmp)
	{
		HASH_DEL(world.boards, b);
		b->fs->ops->close(b->fs);
		b->base_fs->ops->close(b->base_fs);
		br_disk_close(b->disk);
		free(b);
	}
	br_image_unref(world.image);
}

static void print_costs(void)
{
	uint64_t sum = 0, worst = 0, n = 0;

	pthread_mutex_lock(&world.lock);
	for (struct board *b = world.boards; b; b = b->hh.next) {
		sum += b->open_ns;
		worst = b->open_ns > worst ? b->open_ns : worst;
		n++;
	}
	pthread_mutex_unlock(&world.lock);
	printf("{\"opened\": %" PRIu64 ", \"mean_ms\": %.3f, \"worst_ms\": %.3f}\nend\n", n,
		n ? (double)sum / (double)n / 1e6 : 0, (double)worst / 1e6);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct br_nfs_options opt = { .allow_high_ports = true, .ops = &ops };
	struct br_error err = BR_ERROR_NULL;
	struct br_nfs_server *server;
	struct in_addr ip;
	sigset_t set;
	int sig = 0, r;

	if (argc != 6 || inet_pton(AF_INET, argv[1], &ip) != 1) {
		fprintf(stderr, "usage: nfsd_bramble ADDRESS NFS-PORT MOUNT-PORT STATE-DIR IMAGE-FILE\n");
		return 2;
	}
	opt.ip = ntohl(ip.s_addr);
	opt.nfs_port = (uint16_t)atoi(argv[2]);
	opt.mount_port = (uint16_t)atoi(argv[3]);
	world.dir = argv[4];
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	r = open_image(argv[4], argv[5], &err);
	if (r >= 0)
		r = br_nfs_server_start(&opt, &server, &err);
	if (r < 0) {
		fprintf(stderr, "nfsd_bramble: %s\n", br_error_text(&err, r));
		return 1;
	}
	puts("ready");
	fflush(stdout);
	while (sigwait(&set, &sig) == 0 && sig == SIGUSR1)
		print_costs();
	br_nfs_server_stop(server);
	close_boards();
	return 0;
}

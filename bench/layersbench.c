/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a stack of layers costs a reader: the same changed blocks in one layer and spread over N, read in turn, everything
 * in the page cache. Prints nanoseconds of CPU per read and the ratio. 'layersbench [N]', default 4.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "store/blocks.h"
#include "store/cow.h"

#define SIZE	(256ull << 20)
#define BLOCKS	((uint32_t)(SIZE / BR_COW_BLOCK))
#define RUNS	3000u /* written, of 1 to 16 blocks: what a system that lives on its disk leaves behind */
#define ROUNDS	7
#define N_MAX	64

static char dir[] = "/tmp/bramble-layers.XXXXXX";

static void check(int r, const struct br_error *err)
{
	if (r >= 0)
		return;
	fprintf(stderr, "layersbench: %s\n", br_error_text(err, r));
	br_remove_tree(dir, NULL);
	exit(1);
}

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* 'below' with n layers over it that together hold the runs; the same ones for every n. */
static struct br_blocks *stack(struct br_blocks *below, unsigned n)
{
	static uint8_t buf[16 * BR_COW_BLOCK];
	struct br_error err = BR_ERROR_NULL;

	srand(1);
	br_blocks_ref(below);
	for (unsigned i = 0; i < n; i++) {
		char path[80];
		uint8_t id[16] = { (uint8_t)n, (uint8_t)i };
		struct br_blocks *over;
		struct br_cow *cow;

		snprintf(path, sizeof(path), "%s/%u-%u", dir, n, i);
		check(br_mkdir_all(path, 0700, &err), &err);
		check(br_cow_open_on(below, SIZE, path, id, NULL, &cow, &err), &err);
		for (unsigned k = 0; k < RUNS / n; k++) {
			uint32_t len = 1 + (uint32_t)rand() % 16, at = (uint32_t)rand() % (BLOCKS - 16);

			memset(buf, (int)k, sizeof(buf));
			check(br_cow_write_data(cow, (uint64_t)at * BR_COW_BLOCK, buf, len * BR_COW_BLOCK), NULL);
		}
		check(br_cow_commit(cow), NULL);
		br_cow_close(cow);
		check(br_blocks_over(below, path, id, SIZE, &over, &err), &err);
		br_blocks_unref(below);
		below = over;
	}
	return below;
}

static double random_reads(const struct br_blocks *b)
{
	static uint8_t buf[BR_COW_BLOCK];
	double start = cpu_ns();
	unsigned n = 200000;

	srand(2);
	for (unsigned i = 0; i < n; i++)
		check(br_blocks_read(b, (uint64_t)((uint32_t)rand() % BLOCKS) * BR_COW_BLOCK, buf, sizeof(buf)), NULL);
	return (cpu_ns() - start) / n;
}

static double pieces(const struct br_blocks *b)
{
	static uint8_t buf[128 << 10];
	double start = cpu_ns();
	unsigned n = 0;

	for (uint64_t at = 0; at < SIZE; at += sizeof(buf), n++)
		check(br_blocks_read(b, at, buf, sizeof(buf)), NULL);
	return (cpu_ns() - start) / n;
}

static double lookups(const struct br_blocks *b)
{
	double start = cpu_ns();
	unsigned n = 2000000;

	srand(3);
	for (unsigned i = 0; i < n; i++) {
		uint64_t at;
		int fd;

		br_blocks_locate(b, (uint64_t)((uint32_t)rand() % BLOCKS) * BR_COW_BLOCK, 65536, &fd, &at);
	}
	return (cpu_ns() - start) / n;
}

static void compare(const char *what, double (*measure)(const struct br_blocks *b), struct br_blocks *flat,
	struct br_blocks *deep)
{
	double best[2] = { 1e18, 1e18 };

	for (int i = 0; i < ROUNDS; i++) { /* in turn, and the best of each: what disturbs only ever adds */
		double x = measure(flat), y = measure(deep);

		best[0] = x < best[0] ? x : best[0];
		best[1] = y < best[1] ? y : best[1];
	}
	printf("%-22s one layer %8.0f ns, %u layers %8.0f ns: %.2f\n", what, best[0], br_blocks_depth(deep), best[1],
		best[1] / best[0]);
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 4;
	struct br_error err = BR_ERROR_NULL;
	struct br_blocks *base, *flat, *deep;
	char path[64];
	int fd;

	if (n < 1 || n > N_MAX || !mkdtemp(dir))
		return 1;
	snprintf(path, sizeof(path), "%s/base", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || posix_fallocate(fd, 0, SIZE)) {
		br_remove_tree(dir, NULL);
		return 1;
	}
	check(br_blocks_new(fd, 0, SIZE, &base, &err), &err);
	flat = stack(base, 1);
	deep = stack(base, n);
	compare("4 KiB at random", random_reads, flat, deep);
	compare("128 KiB one by one", pieces, flat, deep);
	compare("lookups alone", lookups, flat, deep);
	br_blocks_unref(flat);
	br_blocks_unref(deep);
	br_blocks_unref(base);
	close(fd);
	br_remove_tree(dir, NULL);
	return 0;
}

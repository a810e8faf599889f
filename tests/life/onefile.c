/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random reads, writes, truncations and mappings of one file, each compared with a copy in memory.
 *
 *   onefile FILE SEED SECONDS
 *
 * The pages that the kernel has of the file are thrown away again and again, so that what is compared comes from where
 * the file is kept. The same seed does the same things. Status 1: the file was not what it must be; 2: a call failed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MOST	((off_t)4 << 20) /* the largest the file becomes */
#define LONGEST ((size_t)192 << 10)

struct run {
	const char *path;
	int fd;
	uint64_t random, step;
	off_t size;	      /* as it must be */
	unsigned char *model; /* MOST bytes; zero from size on */
	unsigned char *buf;   /* LONGEST bytes */
	const char *doing;
};

static void failed(const struct run *x)
{
	fprintf(stderr, "onefile: step %llu, %s: %m\n", (unsigned long long)x->step, x->doing);
	exit(2);
}

/* xorshift64*: the same on every machine. */
static uint64_t draw(struct run *x, uint64_t below)
{
	x->random ^= x->random >> 12;
	x->random ^= x->random << 25;
	x->random ^= x->random >> 27;
	return (x->random * 0x2545f4914f6cdd1du >> 11) % below;
}

static void fill(struct run *x, unsigned char *at, size_t n)
{
	for (size_t i = 0; i < n; i++)
		at[i] = (unsigned char)(draw(x, 256));
}

/* A length: mostly small, sometimes of whole pages. */
static size_t length(struct run *x)
{
	size_t n = 1 + draw(x, draw(x, 4) ? 8192 : LONGEST);

	return draw(x, 4) ? n : (n + 4095) & ~(size_t)4095;
}

static void compare(const struct run *x, const unsigned char *got, off_t at, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (got[i] == x->model[at + (off_t)i])
			continue;
		fprintf(stderr, "onefile: step %llu, %s of %zu bytes at %lld: byte %lld is %02x and should be %02x; the size is %lld\n",
			(unsigned long long)x->step, x->doing, n, (long long)at, (long long)(at + (off_t)i), got[i],
			x->model[at + (off_t)i], (long long)x->size);
		exit(1);
	}
}

static void check_size(const struct run *x)
{
	struct stat st;

	if (fstat(x->fd, &st) < 0)
		failed(x);
	if (st.st_size != x->size) {
		fprintf(stderr, "onefile: step %llu, after %s: the size is %lld and should be %lld\n", (unsigned long long)x->step,
			x->doing, (long long)st.st_size, (long long)x->size);
		exit(1);
	}
}

static void do_read(struct run *x)
{
	size_t n = length(x), want;
	off_t at = (off_t)draw(x, (uint64_t)x->size + 1);
	ssize_t r = pread(x->fd, x->buf, n, at);

	if (r < 0)
		failed(x);
	want = (off_t)n < x->size - at ? n : (size_t)(x->size - at);
	if ((size_t)r != want) {
		fprintf(stderr, "onefile: step %llu: a read of %zu at %lld gave %zd bytes, the size is %lld\n",
			(unsigned long long)x->step, n, (long long)at, r, (long long)x->size);
		exit(1);
	}
	compare(x, x->buf, at, want);
}

static void do_write(struct run *x)
{
	size_t n = length(x);
	off_t at = draw(x, 3) ? (off_t)draw(x, (uint64_t)x->size + 1) : (off_t)draw(x, (uint64_t)MOST - n);

	if (at + (off_t)n > MOST)
		at = MOST - (off_t)n;
	fill(x, x->model + at, n);
	for (size_t done = 0; done < n;) {
		ssize_t r = pwrite(x->fd, x->model + at + done, n - done, at + (off_t)done);

		if (r <= 0)
			failed(x);
		done += (size_t)r;
	}
	if (x->size < at + (off_t)n)
		x->size = at + (off_t)n;
}

static void do_truncate(struct run *x)
{
	off_t size = draw(x, 8) ? (off_t)draw(x, MOST) : 0;

	if (ftruncate(x->fd, size) < 0)
		failed(x);
	if (size < x->size)
		memset(x->model + size, 0, (size_t)(x->size - size));
	x->size = size;
}

static void do_map(struct run *x, bool change)
{
	size_t n = length(x), head;
	off_t at;
	unsigned char *p;

	if (!x->size)
		return;
	at = (off_t)draw(x, (uint64_t)x->size);
	if ((off_t)n > x->size - at)
		n = (size_t)(x->size - at);
	head = (size_t)at & 4095;
	p = mmap(NULL, head + n, change ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, x->fd, at - (off_t)head);
	if (p == MAP_FAILED)
		failed(x);
	compare(x, p + head, at, n);
	if (change) {
		fill(x, x->model + at, n);
		memcpy(p + head, x->model + at, n);
		if (draw(x, 2) && msync(p, head + n, MS_SYNC) < 0)
			failed(x);
	}
	if (munmap(p, head + n) < 0)
		failed(x);
}

static void map_read(struct run *x)
{
	do_map(x, false);
}

static void map_write(struct run *x)
{
	do_map(x, true);
}

/* What is read next comes from the server. */
static void forget(struct run *x)
{
	if (fsync(x->fd) < 0)
		failed(x);
	errno = posix_fadvise(x->fd, 0, 0, POSIX_FADV_DONTNEED);
	if (errno)
		failed(x);
}

static void reopen(struct run *x)
{
	if (close(x->fd) < 0)
		failed(x);
	x->fd = open(x->path, O_RDWR | (draw(x, 8) ? 0 : O_SYNC));
	if (x->fd < 0)
		failed(x);
}

static void read_all(struct run *x)
{
	forget(x);
	for (off_t at = 0; at < x->size;) {
		ssize_t r = pread(x->fd, x->buf, LONGEST, at);

		if (r <= 0)
			failed(x);
		compare(x, x->buf, at, (size_t)r);
		at += r;
	}
}

static const struct {
	const char *name;
	unsigned weight;
	void (*fn)(struct run *x);
} things[] = {
	{ "read", 24, do_read },	 { "write", 24, do_write }, { "truncate", 5, do_truncate }, { "mapped read", 8, map_read },
	{ "mapped write", 8, map_write }, { "forgetting", 8, forget }, { "opening again", 4, reopen }, { "read of all", 1, read_all },
};

static void one(struct run *x)
{
	unsigned total = 0, at = 0, n = sizeof(things) / sizeof(*things), i = 0;

	for (unsigned k = 0; k < n; k++)
		total += things[k].weight;
	at = (unsigned)draw(x, total);
	while (at >= things[i].weight)
		at -= things[i++].weight;
	x->step++;
	x->doing = things[i].name;
	things[i].fn(x);
	check_size(x);
}

int main(int argc, char **argv)
{
	struct run x = { .fd = -1, .doing = "opening", .model = calloc(1, (size_t)MOST), .buf = malloc(LONGEST) };
	time_t end;

	if (argc != 4 || !x.model || !x.buf) {
		fprintf(stderr, "usage: onefile FILE SEED SECONDS\n");
		return 2;
	}
	x.path = argv[1];
	x.random = strtoull(argv[2], NULL, 0) * 2 + 1;
	end = time(NULL) + atoi(argv[3]);
	x.fd = open(x.path, O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (x.fd < 0)
		failed(&x);
	while (time(NULL) < end)
		one(&x);
	x.doing = "the last read";
	read_all(&x);
	printf("onefile: %llu steps, %lld bytes at the end\n", (unsigned long long)x.step, (long long)x.size);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of files: truncation, holes, large offsets, mappings, locks, and much at random. */
#define SUBJECT "data"
#include "posix.h"

#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define KIB 1024L
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* A byte for each place in a file, so that data at a wrong place is seen. */
static unsigned char byte_at(uint64_t at, unsigned salt)
{
	uint64_t x = (at + salt) * 0x9e3779b97f4a7c15u;

	return (unsigned char)(x >> 56);
}

static void fill(unsigned char *buf, uint64_t at, size_t n, unsigned salt)
{
	for (size_t i = 0; i < n; i++)
		buf[i] = byte_at(at + i, salt);
}

/* The next open reads from where the file is kept. */
static void forget_pages(int fd)
{
	ok(fsync(fd));
	eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

CASE(reading_and_writing)
{
	int fd = fd_of("f", O_CREAT | O_RDWR, 0644);
	char text[] = "abcdefgh";
	struct iovec v[] = { { text, 3 }, { text, 0 }, { text + 3, 5 } };
	char buf[32];

	eq(writev(fd, v, 3), 8);
	eq(pwrite(fd, "XY", 2, 3), 2);
	eq(lseek(fd, 0, SEEK_CUR), 8);
	eq(pread(fd, buf, sizeof(buf), 0), 8);
	is(memcmp(buf, "abcXYfgh", 8) == 0);
	eq(pread(fd, buf, sizeof(buf), 8), 0);
	eq(pread(fd, buf, sizeof(buf), 1000), 0);
	eq(lseek(fd, -3, SEEK_END), 5);
	eq(read(fd, buf, sizeof(buf)), 3);
	eq(read(fd, buf, sizeof(buf)), 0);
	err(EINVAL, lseek(fd, -1, SEEK_SET));
	eq(lseek(fd, 0, SEEK_CUR), 8);
	ok(close(fd));
	err(EBADF, write(fd, "x", 1));
	fd = fd_of("f", O_RDONLY, 0);
	err(EBADF, write(fd, "x", 1));
	err2(EBADF, EINVAL, ftruncate(fd, 0));
	ok(close(fd));
	err(EBADF, read(fd_of("f", O_WRONLY, 0), buf, 1));
}

CASE(eight_megabytes_come_back)
{
	unsigned char *buf = malloc(8 * MIB), *back = malloc(8 * MIB);
	int fd = fd_of("f", O_CREAT | O_RDWR, 0644);

	fill(buf, 0, 8 * MIB, 1);
	for (long at = 0, n; at < 8 * MIB; at += n) {
		n = at % 7 ? 123457 : 65536;
		n = n < 8 * MIB - at ? n : 8 * MIB - at;
		eq(write(fd, buf + at, (size_t)n), n);
	}
	forget_pages(fd);
	ok(close(fd));
	eq(stat_of("f").st_size, 8 * MIB);
	fd = fd_of("f", O_RDONLY, 0);
	for (long at = 0, n; at < 8 * MIB; at += n) {
		n = read(fd, back + at, (size_t)(8 * MIB - at));
		ok(n);
		if (!n)
			break;
	}
	is(memcmp(buf, back, 8 * MIB) == 0);
	ok(close(fd));
}

static void zeros(const char *path, off_t from, size_t n)
{
	unsigned char *buf = calloc(1, n + 1);
	int fd = fd_of(path, O_RDONLY, 0);

	eq(pread(fd, buf, n, from), n);
	for (size_t i = 0; i < n; i++)
		if (buf[i]) {
			eq(buf[i], 0);
			break;
		}
	ok(close(fd));
	free(buf);
}

CASE(what_truncate_cut_stays_gone)
{
	static const off_t cuts[] = { 0, 1, 511, 1000, 4095, 4096, 4097, 6000, 8192, 12287 };

	for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++) {
		unsigned char buf[12288];
		int fd = fd_of("f", O_CREAT | O_RDWR | O_TRUNC, 0644);

		memset(buf, 0xaa, sizeof(buf));
		eq(write(fd, buf, sizeof(buf)), sizeof(buf));
		if (i % 2)
			forget_pages(fd);
		ok(ftruncate(fd, cuts[i]));
		eq(stat_of("f").st_size, cuts[i]);
		ok(ftruncate(fd, sizeof(buf)));
		forget_pages(fd);
		ok(close(fd));
		zeros("f", cuts[i], sizeof(buf) - (size_t)cuts[i]);
		fd = fd_of("f", O_RDONLY, 0);
		eq(pread(fd, buf, (size_t)cuts[i], 0), cuts[i]);
		for (off_t k = 0; k < cuts[i]; k++)
			if (buf[k] != 0xaa) {
				eq(k, -1);
				break;
			}
		ok(close(fd));
	}
}

CASE(what_truncate_refuses)
{
	int fds[2];

	touch("f", 0644);
	ok(mkdir("d", 0755));
	err(EINVAL, truncate("f", -1));
	err(EISDIR, truncate("d", 0));
	err(ENOENT, truncate("none", 0));
	err2(EFBIG, EINVAL, truncate("f", INT64_MAX));
	eq(stat_of("f").st_size, 0);
	ok(pipe(fds));
	err(EINVAL, ftruncate(fds[1], 0));
	need_root();
	put("f", "text");
	as(1000, 1000);
	err(EACCES, truncate("f", 1));
	root();
	text_is("f", "text");
}

CASE(holes_cost_nothing)
{
	int fd = fd_of("f", O_CREAT | O_RDWR, 0644);

	ok(ftruncate(fd, 64 * MIB));
	eq(pwrite(fd, "x", 1, 32 * MIB), 1);
	forget_pages(fd);
	eq(stat_of("f").st_size, 64 * MIB);
	is(stat_of("f").st_blocks <= 256);
	is(stat_of("f").st_blocks >= 1);
	zeros("f", 16 * MIB - 100, 200);
	zeros("f", 32 * MIB + 1, 5000);
	zeros("f", 64 * MIB - 5000, 5000);
	ok(ftruncate(fd, 0));
	ok(fsync(fd));
	eq(stat_of("f").st_blocks, 0);
	ok(close(fd));
}

CASE(offsets_beyond_32_bits)
{
	static const off_t at[] = { 2 * GIB - 3, 4 * GIB - 3, 5 * GIB + 1, 1000 * GIB + 123, 15 * 1024 * GIB };
	int fd = fd_of("f", O_CREAT | O_RDWR, 0644);
	unsigned char buf[8], back[8];
	size_t n = 0;

	for (size_t i = 0; i < sizeof(at) / sizeof(*at); i++) {
		if (ftruncate(fd, at[i] + 8) < 0 && errno == EFBIG && i > 2)
			break; /* small blocks, or no extents */
		fill(buf, (uint64_t)at[i], sizeof(buf), 2);
		eq(pwrite(fd, buf, sizeof(buf), at[i]), sizeof(buf));
		eq(stat_of("f").st_size, at[i] + 8);
		n++;
	}
	forget_pages(fd);
	for (size_t i = 0; i < n; i++) {
		fill(buf, (uint64_t)at[i], sizeof(buf), 2);
		eq(pread(fd, back, sizeof(back), at[i]), sizeof(back));
		is(memcmp(buf, back, sizeof(buf)) == 0);
	}
	zeros("f", 3 * GIB, 4096);
	zeros("f", 4 * GIB + 5, 4096);
	is(stat_of("f").st_blocks < 1000);
	ok(ftruncate(fd, 4 * GIB + 1));
	eq(stat_of("f").st_size, 4 * GIB + 1);
	ok(ftruncate(fd, 6 * GIB));
	zeros("f", 5 * GIB - 100, 1000);
	ok(close(fd));
}

CASE(files_end_somewhere)
{
	struct rlimit limit = { 10000, RLIM_INFINITY };
	int fd = fd_of("f", O_CREAT | O_RDWR, 0644);

	err2(EFBIG, EINVAL, pwrite(fd, "x", 1, INT64_MAX - 1));
	ok(setrlimit(RLIMIT_FSIZE, &limit));
	signal(SIGXFSZ, SIG_IGN);
	err(EFBIG, pwrite(fd, "x", 1, 10000));
	err(EFBIG, ftruncate(fd, 10001));
	eq(pwrite(fd, "abcd", 4, 9998), 2);
	eq(stat_of("f").st_size, 10000);
	ok(close(fd));
}

CASE(mappings_and_calls_see_the_same)
{
	int fd = fd_of("f", O_CREAT | O_RDWR, 0644);
	char buf[16], *p, *own;

	ok(ftruncate(fd, 3 * 4096 + 100));
	p = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	is(p != MAP_FAILED && own != MAP_FAILED);
	memcpy(p + 4090, "across a page", 13);
	eq(pread(fd, buf, 13, 4090), 13);
	is(memcmp(buf, "across a page", 13) == 0);
	eq(pwrite(fd, "written", 7, 100), 7);
	is(memcmp(p + 100, "written", 7) == 0);
	memcpy(own, "private", 7);
	eq(pread(fd, buf, 7, 0), 7);
	is(memcmp(buf, "\0\0\0\0\0\0\0", 7) == 0);
	p[3 * 4096 + 200] = 'x'; /* behind the end: not of the file */
	ok(msync(p, 4 * 4096, MS_SYNC));
	ok(munmap(p, 4 * 4096));
	forget_pages(fd);
	ok(close(fd));
	eq(stat_of("f").st_size, 3 * 4096 + 100);
	fd = fd_of("f", O_RDWR, 0);
	eq(pread(fd, buf, 13, 4090), 13);
	is(memcmp(buf, "across a page", 13) == 0);
	ok(ftruncate(fd, 4 * 4096));
	ok(close(fd));
	zeros("f", 3 * 4096 + 100, 4096 - 100);
}

CASE(two_descriptors_one_file)
{
	int a = fd_of("f", O_CREAT | O_RDWR, 0644), b = fd_of("f", O_RDWR, 0), c = dup(a);
	char buf[8];

	eq(write(a, "one", 3), 3);
	eq(read(b, buf, 8), 3);
	eq(write(c, "two", 3), 3);
	eq(read(b, buf, 8), 3);
	is(memcmp(buf, "two", 3) == 0);
	ok(ftruncate(a, 1));
	eq(pread(b, buf, 8, 0), 1);
	ok(close(a));
	ok(close(b));
	ok(close(c));
}

CASE(writing_synchronously)
{
	static const int flags[] = { O_SYNC, O_DSYNC, O_DIRECT };
	char *buf = aligned_alloc(4096, 4096), back[16];

	memset(buf, 's', 4096);
	for (size_t i = 0; i < 3; i++) {
		int fd = open("f", O_CREAT | O_RDWR | flags[i], 0644);

		if (fd < 0 && flags[i] == O_DIRECT && errno == EINVAL)
			return; /* tmpfs */
		ok(fd);
		eq(pwrite(fd, buf, 4096, 4096 * (off_t)i), 4096);
		ok(fdatasync(fd));
		ok(close(fd));
		fd = fd_of("f", O_RDONLY, 0);
		eq(pread(fd, back, 16, 4096 * (off_t)i + 100), 16);
		is(memcmp(back, buf, 16) == 0);
		ok(close(fd));
	}
}

CASE(space_in_advance)
{
	int fd = fd_of("f", O_CREAT | O_RDWR, 0644), r = posix_fallocate(fd, 0, 100000);

	if (r == EOPNOTSUPP)
		posix_skip("posix_fallocate is not there"); /* musl; glibc writes zeros */
	eq(r, 0);
	eq(stat_of("f").st_size, 100000);
	zeros("f", 0, 100000);
	ok(close(fd));
}

/* ---- many at once ---- */

#define PROCESSES 4
#define BLOCK	  3001 /* no page and no block ends where these do */
#define BLOCKS	  100

static void write_share(unsigned who)
{
	unsigned char buf[BLOCK];
	int fd = fd_of("f", O_RDWR, 0);

	for (unsigned i = who; i < BLOCKS; i += PROCESSES) {
		fill(buf, (uint64_t)i * BLOCK, BLOCK, 3);
		eq(pwrite(fd, buf, BLOCK, (off_t)i * BLOCK), BLOCK);
	}
	ok(close(fd));
}

CASE(many_write_into_one_file)
{
	static unsigned char buf[BLOCK * BLOCKS], want[BLOCK * BLOCKS];
	int fd, status;

	touch("f", 0644);
	for (unsigned who = 0; who < PROCESSES; who++)
		if (fork() == 0) {
			write_share(who);
			_exit(0);
		}
	for (unsigned who = 0; who < PROCESSES; who++) {
		ok(wait(&status));
		eq(status, 0);
	}
	fd = fd_of("f", O_RDONLY, 0);
	forget_pages(fd);
	eq(read(fd, buf, sizeof(buf)), sizeof(buf));
	fill(want, 0, sizeof(want), 3);
	is(memcmp(buf, want, sizeof(buf)) == 0);
	ok(close(fd));
}

/* ---- at random, against a copy in memory ---- */

#define RANDOM_MAX (300 * KIB)

struct model {
	int fd;
	unsigned char *copy, *buf;
	off_t size;
	uint64_t seed;
};

static size_t dice(struct model *m, size_t below)
{
	m->seed ^= m->seed << 13;
	m->seed ^= m->seed >> 7;
	m->seed ^= m->seed << 17;
	return (size_t)(m->seed % below);
}

static void grow_to(struct model *m, off_t end)
{
	if (end > m->size)
		m->size = end;
}

static void random_write(struct model *m, bool mapped)
{
	size_t at = dice(m, RANDOM_MAX - 1), n = 1 + dice(m, RANDOM_MAX - at);

	n = n > 40000 ? 40000 : n;
	if (mapped && (off_t)(at + n) > m->size)
		return;
	fill(m->copy + at, at, n, (unsigned)dice(m, 1000));
	if (mapped) {
		unsigned char *p = mmap(NULL, RANDOM_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);

		is(p != MAP_FAILED);
		memcpy(p + at, m->copy + at, n);
		ok(munmap(p, RANDOM_MAX));
	} else {
		eq(pwrite(m->fd, m->copy + at, n, (off_t)at), n);
	}
	grow_to(m, (off_t)(at + n));
}

static void random_truncate(struct model *m)
{
	off_t to = (off_t)dice(m, RANDOM_MAX);

	ok(ftruncate(m->fd, to));
	if (to < m->size)
		memset(m->copy + to, 0, (size_t)(m->size - to));
	m->size = to;
}

static bool random_read(struct model *m)
{
	size_t at = dice(m, RANDOM_MAX), n = 1 + dice(m, 50000), have = (off_t)at < m->size ? (size_t)m->size - at : 0;
	size_t want = n < have ? n : have;
	ssize_t got = pread(m->fd, m->buf, n, (off_t)at);

	eq(got, want);
	if (got == (ssize_t)want && memcmp(m->buf, m->copy + at, want) == 0)
		return true;
	posix_note("%zu bytes at %zu of %lld are wrong", n, at, (long long)m->size);
	is(false);
	return false;
}

static void at_random(uint64_t seed, unsigned steps)
{
	struct model m = { .copy = calloc(1, RANDOM_MAX), .buf = malloc(RANDOM_MAX), .seed = seed };
	bool good = true;

	m.fd = fd_of("f", O_CREAT | O_RDWR | O_TRUNC, 0644);
	for (unsigned i = 0; i < steps && good; i++) {
		switch (dice(&m, 16)) {
		case 0:
			random_truncate(&m);
			break;
		case 1:
			forget_pages(m.fd);
			break;
		case 2:
			ok(close(m.fd));
			m.fd = fd_of("f", O_RDWR, 0);
			break;
		case 3:
		case 4:
			random_write(&m, true);
			break;
		case 5:
		case 6:
		case 7:
		case 8:
			random_write(&m, false);
			break;
		default:
			good = random_read(&m);
		}
		if (good)
			eq(stat_of("f").st_size, m.size);
	}
	ok(close(m.fd));
	free(m.copy);
	free(m.buf);
}

CASE(much_at_random)
{
	at_random(1, 600);
}

SLOW_CASE(very_much_at_random)
{
	for (uint64_t seed = 2; seed < 12; seed++)
		at_random(seed, 3000);
}

/* ---- locks (with 'nolock' the client keeps them itself) ---- */

static int lock(int fd, short type, off_t from, off_t len)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = from, .l_len = len };

	return fcntl(fd, F_SETLK, &l);
}

static void try_locks(void *arg)
{
	int fd = fd_of("f", O_RDWR, 0);
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	err2(EAGAIN, EACCES, lock(fd, F_WRLCK, 5, 1));
	err2(EAGAIN, EACCES, lock(fd, F_RDLCK, 0, 0));
	eq(lock(fd, F_WRLCK, 10, 0), 0);
	eq(lock(fd, F_RDLCK, 100, 5), 0);
	ok(fcntl(fd, F_GETLK, &l));
	eq(l.l_type, F_WRLCK);
	eq(l.l_pid, getppid());
	eq(l.l_len, 10);
}

static void may_lock_all(void *arg)
{
	int fd = fd_of("f", O_RDWR, 0);

	eq(lock(fd, F_WRLCK, 0, 0), 0);
}

CASE(record_locks)
{
	int fd = fd_of("f", O_CREAT | O_RDWR, 0644), other;

	ok(lock(fd, F_WRLCK, 0, 10));
	in_child(try_locks, NULL);
	ok(lock(fd, F_UNLCK, 0, 10));
	in_child(may_lock_all, NULL);
	ok(lock(fd, F_RDLCK, 0, 0));
	other = fd_of("f", O_RDONLY, 0);
	ok(close(other)); /* which gives all of the process's back */
	in_child(may_lock_all, NULL);
	ok(close(fd));
}

static void try_flock(void *arg)
{
	int fd = fd_of("f", O_RDWR, 0);

	err(EWOULDBLOCK, flock(fd, LOCK_EX | LOCK_NB));
	eq(flock(fd, LOCK_SH | LOCK_NB), 0);
}

CASE(whole_file_locks)
{
	int fd = fd_of("f", O_CREAT | O_RDWR, 0644);

	ok(flock(fd, LOCK_SH));
	in_child(try_flock, NULL);
	ok(flock(fd, LOCK_UN));
	in_child(may_lock_all, NULL);
	ok(close(fd));
}

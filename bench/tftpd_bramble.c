/* SPDX-License-Identifier: Apache-2.0 */
/* Our TFTP server over one directory, for the benchmark: tftpd_bramble IP PORT DIR [auto|on|off], until SIGTERM. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "tftp/io.h"

struct mapped {
	struct br_span span;
};

static int on_open(void *ctx, uint32_t ip, const char *name, struct br_tftp_file *file)
{
	br_cleanup(br_closep) int fd = -1;
	struct mapped *m;
	struct stat st;
	void *p;

	if (!name[0] || strchr(name, '/') || name[0] == '.')
		return -EACCES;
	fd = openat(*(const int *)ctx, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	/* an image in the store is mapped once for all; here each transfer maps its file */
	p = st.st_size ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0) : NULL;
	if (p == MAP_FAILED) {
		free(m);
		return -errno;
	}
	m->span = (struct br_span){ p, (size_t)st.st_size };
	file->spans = &m->span;
	file->n_spans = st.st_size ? 1 : 0;
	file->size = (uint64_t)st.st_size;
	file->ref = m;
	br_strcpy(file->path, sizeof(file->path), name);
	return 0;
}

static void on_release(void *ctx, struct br_tftp_file *file)
{
	struct mapped *m = file->ref;

	if (m->span.len)
		munmap((void *)(uintptr_t)m->span.data, m->span.len);
	free(m);
}

int main(int argc, char **argv)
{
	static const struct br_tftp_ops ops = { .open = on_open, .release = on_release };
	struct br_error err = BR_ERROR_NULL;
	struct br_tftp_io_options opt = { .ops = &ops };
	struct br_tftp_io *io;
	struct br_tftp_io_stats stats;
	uint64_t port;
	sigset_t set;
	int dir_fd, sig;

	if (argc == 5) {
		opt.frames = !strcmp(argv[4], "on")    ? BR_TFTP_FRAMES_ON
			     : !strcmp(argv[4], "off") ? BR_TFTP_FRAMES_OFF
						       : BR_TFTP_FRAMES_AUTO;
		argc--;
	}
	if (argc != 4 || br_ip_parse(argv[1], &opt.ip) < 0 || br_parse_u64(argv[2], 0, 65535, &port) < 0) {
		fprintf(stderr, "usage: tftpd_bramble IP PORT DIR [auto|on|off]\n");
		return 2;
	}
	dir_fd = open(argv[3], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0) {
		fprintf(stderr, "%s: %s\n", argv[3], strerror(errno));
		return 1;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	opt.port = (uint16_t)port;
	opt.ctx = &dir_fd;
	if (br_tftp_io_start(&opt, &io, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	sigwait(&set, &sig);
	stats = br_tftp_io_stats(io);
	fprintf(stderr, "received %llu, sent %llu (%llu as frames), dropped in %llu, out %llu\n",
		(unsigned long long)stats.received, (unsigned long long)stats.sent,
		(unsigned long long)stats.framed, (unsigned long long)stats.dropped_in,
		(unsigned long long)stats.dropped_out);
	br_tftp_io_stop(io);
	close(dir_fd);
	return 0;
}

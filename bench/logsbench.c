/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log store under load: 'logsbench flood PORT RATE SECONDS' sends syslog datagrams from 100 addresses of loopback;
 * 'logsbench take PORT SECONDS DIR' receives and stores what comes, and tells what was lost; 'logsbench fill DIR LINES' and
 * 'logsbench find DIR EXPRESSION' put lines and search them. 'logsbench text FILE LINES' writes the same lines as a file, for
 * grep. Called by logs.py.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "logs/logs.h"
#include "logs/pattern.h"
#include "syslog/receiver.h"

#define BOARDS 100
#define BATCH 100

static int die(const char *words)
{
	fprintf(stderr, "logsbench: %s\n", words);
	return 1;
}

static double cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* What boards say: most of it alike, with numbers that are not. */
static int make_text(char *out, size_t size, uint64_t i)
{
	static const char *const forms[] = {
		"Accepted publickey for pi from 10.77.%u.%u port %u ssh2: ED25519 SHA256:%08x",
		"Started session-%u.scope - Session %u of User pi (unit %u, id %08x).",
		"usb 1-1.%u: new high-speed USB device number %u using xhci_hcd port %u handle %08x",
		"GET /api/v1/items/%u?page=%u HTTP/1.1 200 %u bytes, request %08x",
		"temperature %u.%u C, fan %u rpm, reading %08x",
	};
	uint32_t h = (uint32_t)(i * 2654435761u), k = (uint32_t)(i % 5);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	return snprintf(out, size, forms[k], h >> 24, (h >> 12) & 255, (uint32_t)(i % 65536), h);
#pragma GCC diagnostic pop
}

static int flood(uint16_t port, uint64_t rate, uint64_t seconds)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint64_t start = br_now_ns(), total = rate * seconds, sent = 0, failed = 0;
	int fd[BOARDS];

	for (unsigned i = 0; i < BOARDS; i++) {
		struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000100 + 1 + i) };

		fd[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		if (fd[i] < 0 || bind(fd[i], (struct sockaddr *)&from, sizeof(from)) < 0 ||
			connect(fd[i], (struct sockaddr *)&to, sizeof(to)) < 0)
			return die(strerror(errno));
	}
	while (sent < total) {
		uint64_t due = (br_now_ns() - start) * rate / BR_S;
		static char text[BATCH][300];
		static struct iovec piece[BATCH];
		static struct mmsghdr heads[BATCH];
		unsigned n = 0;
		int r;

		due = due < total ? due : total;
		for (; n < BATCH && sent + n < due; n++) {
			int len = snprintf(text[n], 60, "<30>Nov 21 10:00:00 board app[%u]: ", n);

			len += make_text(text[n] + len, 200, sent + n);
			piece[n] = (struct iovec){ text[n], (size_t)len };
			heads[n] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &piece[n], .msg_iovlen = 1 } };
		}
		if (!n) {
			usleep(500);
			continue;
		}
		/* a board says a hundred lines, then the next one does */
		n = n < BATCH - sent % BATCH ? n : (unsigned)(BATCH - sent % BATCH);
		r = sendmmsg(fd[sent / BATCH % BOARDS], heads, n, 0);
		if (r < 0 && errno != ECONNREFUSED && errno != ENOBUFS && errno != EAGAIN)
			return die(strerror(errno));
		failed += r < 0; /* tried again */
		sent += r < 0 ? 0 : (unsigned)r;
	}
	printf("sent %llu refused %llu in %.1f s\n", (unsigned long long)sent, (unsigned long long)failed,
		(double)(br_now_ns() - start) / 1e9);
	return 0;
}

static struct br_logs *store;

static int whose(void *ctx, uint32_t ip, int64_t *ret)
{
	*ret = (int64_t)(ip & 255);
	return 0;
}

static void take_line(void *ctx, const struct br_logs_line *line)
{
	br_logs_put(store, line);
}

static void take_loss(void *ctx, uint64_t n)
{
	br_logs_lost(store, 0, 0, n, "came faster than they could be taken from the socket");
}

static int open_store(const char *dir, uint64_t bytes, uint32_t rate)
{
	struct br_logs_options opt = { .dir = dir, .max_bytes = bytes, .rate = rate };
	struct br_error err = BR_ERROR_NULL;

	return br_logs_open(&opt, &store, &err) < 0 ? die(err.text) : 0;
}

static int take(uint16_t port, uint64_t seconds, const char *dir)
{
	static const struct br_receiver_ops ops = { .whose = whose, .line = take_line, .lost = take_loss };
	struct br_receiver_options opt = { .ip = 0, .syslog_port = port, .netconsole_port = BR_RECEIVER_OFF,
		.stream_port = BR_RECEIVER_OFF, .ops = &ops };
	struct br_receiver *rx;
	struct br_logs_stats st;
	struct br_error err = BR_ERROR_NULL;
	char *taken = NULL;
	int r = open_store(dir, 4ull << 30, 0); /* the limit of a board is the default */

	if (r || br_receiver_open(&opt, &rx, &taken, &err) < 0 || taken || br_receiver_start(rx, &err) < 0)
		return die(taken ? taken : err.text);
	puts("ready");
	fflush(stdout);
	sleep((unsigned)seconds);
	if (br_logs_sync(store, &err) < 0)
		return die(err.text);
	br_logs_stats(store, &st);
	br_receiver_stop(rx);
	printf("lines %llu lost_rate %llu lost_socket %llu lost_disk %llu disk_bytes %llu raw_bytes %llu cpu_s %.2f\n",
		(unsigned long long)st.by_source[BR_LOGS_SYSLOG], (unsigned long long)st.lost_rate, (unsigned long long)st.lost_socket,
		(unsigned long long)st.lost_disk, (unsigned long long)st.disk_bytes, (unsigned long long)st.raw_bytes, cpu_s());
	br_logs_close(store);
	return 0;
}

static int fill(const char *dir, uint64_t lines)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_logs_stats st;
	char text[300];
	int r = open_store(dir, 16ull << 30, 1000000000);

	for (uint64_t i = 0; !r && i < lines; i++) {
		struct br_logs_line line = { .board_id = 1 + (int64_t)(i / BATCH % BOARDS), .source = BR_LOGS_SYSLOG, .severity = 6,
			.stream = "app", .n_stream = 3, .text = text, .wall_ns = 1800000000 * BR_S + i * 10000 };

		line.n_text = (size_t)make_text(text, sizeof(text), i);
		br_logs_put(store, &line);
		if (i % 200000 == 0 && br_logs_sync(store, &err) < 0)
			return die(err.text);
	}
	if (r || br_logs_sync(store, &err) < 0)
		return r ? r : die(err.text);
	br_logs_stats(store, &st);
	printf("lines %llu disk_bytes %llu raw_bytes %llu cpu_s %.2f\n", (unsigned long long)st.lines,
		(unsigned long long)st.disk_bytes, (unsigned long long)st.raw_bytes, cpu_s());
	br_logs_close(store);
	return 0;
}

static int find(const char *dir, const char *re)
{
	struct br_logs_pattern *p;
	struct br_logs_filter f = { .limit = 10000 };
	struct br_error err = BR_ERROR_NULL;
	double cpu;
	uint64_t *seqs = NULL, ns;
	size_t n = 0;
	bool more = false;
	int r = open_store(dir, 16ull << 30, 0);

	if (r || br_logs_pattern_new(re, false, &p, &err) < 0)
		return r ? r : die(err.text);
	f.pattern = p;
	cpu = cpu_s();
	ns = br_now_ns();
	if (br_logs_find(store, &f, 0, &seqs, &n, &more, &err) < 0)
		return die(err.text);
	printf("found %zu%s wall_s %.3f cpu_s %.3f\n", n, more ? "+" : "", (double)(br_now_ns() - ns) / 1e9, cpu_s() - cpu);
	free(seqs);
	br_logs_pattern_free(p);
	br_logs_close(store);
	return 0;
}

static int write_text(const char *file, uint64_t lines)
{
	br_cleanup(br_fclosep) FILE *f = fopen(file, "we");
	char text[300];

	if (!f)
		return die(strerror(errno));
	for (uint64_t i = 0; i < lines; i++) {
		make_text(text, sizeof(text), i);
		if (fprintf(f, "Nov 21 10:00:00 board%llu app: %s\n", (unsigned long long)(1 + i / BATCH % BOARDS), text) < 0)
			return die(strerror(errno));
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (!strcmp(what, "flood") && argc == 5)
		return flood((uint16_t)atoi(argv[2]), strtoull(argv[3], NULL, 10), strtoull(argv[4], NULL, 10));
	if (!strcmp(what, "take") && argc == 5)
		return take((uint16_t)atoi(argv[2]), strtoull(argv[3], NULL, 10), argv[4]);
	if (!strcmp(what, "fill") && argc == 4)
		return fill(argv[2], strtoull(argv[3], NULL, 10));
	if (!strcmp(what, "find") && argc == 4)
		return find(argv[2], argv[3]);
	if (!strcmp(what, "text") && argc == 4)
		return write_text(argv[2], strtoull(argv[3], NULL, 10));
	return die("flood PORT RATE SECONDS | take PORT SECONDS DIR | fill DIR LINES | find DIR EXPRESSION | text FILE LINES");
}

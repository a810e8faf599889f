/* SPDX-License-Identifier: Apache-2.0 */
/* The NFS server on real sockets: libnfs's programs as clients, and connections that misbehave. */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "nfs/server.h"
#include "nfs/worker.h"
#include "tests/unit/nfs_client.h"
#include "tests/unit/shell.h"
#include "wire/mount.h"
#include "wire/portmap.h"

#define LOOPBACK 0x7f000001

struct fixture {
	struct nfs_test_export export;
	struct br_nfs_server *server;
};

static int start(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct br_nfs_options opt = {
		.ip = LOOPBACK, .allow_high_ports = true, .ops = &nfs_test_ops, .ctx = &f->export
	};
	struct br_error err = BR_ERROR_NULL;

	memcpy(opt.handle_key, nfs_test_key, sizeof(opt.handle_key));
	nfs_test_export_init(&f->export, memfs_new());
	memfs_put(f->export.fs, "/etc/hostname", 0644, "pi07\n");
	memfs_put_link(f->export.fs, "/etc/name", "hostname");
	for (unsigned i = 0; i < 500; i++) {
		char path[64];

		snprintf(path, sizeof(path), "/many/file-with-a-longer-name-%03u", i);
		memfs_put(f->export.fs, path, 0644, "x");
	}
	if (br_nfs_server_start(&opt, &f->server, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return -1;
	}
	*state = f;
	return 0;
}

static int stop(void **state)
{
	struct fixture *f = *state;

	br_nfs_server_stop(f->server);
	assert_int_equal(f->export.refs, 0);
	nfs_test_export_done(&f->export);
	free(f);
	return 0;
}

static int client(struct fixture *f, const char *what, const char *path, const char *rest)
{
	return test_sh("%s 'nfs://127.0.0.1%s?nfsport=%u&mountport=%u&version=3' %s", what, path,
		br_nfs_server_port(f->server), br_nfs_server_mount_port(f->server), rest);
}

static void libnfs_lists_and_reads(void **state)
{
	char out[300];

	test_needs("nfs-ls nfs-cat");
	snprintf(out, sizeof(out), "> %s/out", test_dir());
	assert_int_equal(client(*state, "nfs-cat", "/etc/hostname", out), 0);
	assert_int_equal(test_sh("printf 'pi07\\n' | cmp - %s/out", test_dir()), 0);
	assert_int_equal(client(*state, "nfs-ls", "/many", out), 0);
	assert_int_equal(test_sh("test $(wc -l < %s/out) = 500", test_dir()), 0);
}

static void libnfs_writes(void **state)
{
	struct fixture *f = *state;
	char from[300], to[300];
	uint64_t ino;

	test_needs("nfs-cp nfs-cat");
	assert_int_equal(test_sh("head -c 5000000 /dev/urandom > %s/big", test_dir()), 0);
	snprintf(from, sizeof(from), "nfs-cp %s/big", test_dir());
	assert_int_equal(client(f, from, "/etc/copy", ">/dev/null"), 0);
	snprintf(to, sizeof(to), "| cmp - %s/big", test_dir());
	assert_int_equal(client(f, "nfs-cat", "/etc/copy", to), 0);
	pthread_mutex_lock(&f->export.lock);
	assert_int_equal(br_fs_walk(f->export.fs, "/etc/copy", &ino), 0);
	pthread_mutex_unlock(&f->export.lock);
	assert_int_equal(f->export.active_ip, LOOPBACK);
}

/* What takes long is done in other threads and answered later: mounting always, finding an export sometimes. */
static void slow_work_is_answered_later(void **state)
{
	struct fixture *f = *state;
	struct br_fs *fs = f->export.fs;
	uint64_t dir;

	pthread_mutex_lock(&f->export.lock);
	assert_int_equal(br_fs_walk(fs, "/etc", &dir), 0);
	fs->ops->unlink(fs, dir, "copy"); /* of another test */
	pthread_mutex_unlock(&f->export.lock);
	f->export.slow = true;
	libnfs_lists_and_reads(state);
	libnfs_writes(state);
	f->export.slow = false;
}

/* raw connections */

static int connect_to(uint16_t port, int type)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(LOOPBACK)
	};
	struct timeval patience = { .tv_sec = 20 };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static struct br_writer begin(uint8_t *buf, size_t size, uint32_t xid, uint32_t program,
	uint32_t version, uint32_t procedure)
{
	struct br_rpc_call call = { xid, program, version, procedure,
		{ .flavor = BR_RPC_AUTH_SYS } };
	struct br_writer w = br_writer_of(buf, size);

	br_put_be32(&w, 0); /* record mark */
	br_rpc_put_call(&w, &call);
	return w;
}

static void send_all(int fd, const void *data, size_t n)
{
	assert_int_equal(br_write_all(fd, data, n), 0);
}

static void send_call(int fd, struct br_writer *w)
{
	assert_false(w->failed);
	br_rpc_store_mark(w->buf, (uint32_t)(w->len - BR_RPC_MARK_SIZE), true);
	send_all(fd, w->buf, w->len);
}

/* Exactly n bytes; false when the server closed before. */
static bool receive(int fd, void *data, size_t n)
{
	return recv(fd, data, n, MSG_WAITALL) == (ssize_t)n;
}

/* Reads one reply and throws it away; its length, with *ret_xid. 0: closed. */
static size_t receive_reply(int fd, uint32_t *ret_xid)
{
	static uint8_t buf[2 << 20];
	uint32_t n;
	bool last;

	if (!receive(fd, buf, BR_RPC_MARK_SIZE))
		return 0;
	n = br_rpc_load_mark(buf, &last);
	assert_true(last && n >= 24 && n <= sizeof(buf));
	assert_true(receive(fd, buf, n));
	*ret_xid = br_load_be32(buf);
	assert_int_equal(br_load_be32(buf + 20), BR_RPC_SUCCESS);
	return n;
}

/* The handle of a path in the export, as a client gets one. */
static struct nfs_fh handle_of(struct fixture *f, const char *path)
{
	struct br_nfs_handle handle;
	struct br_fs_attr attr;
	struct nfs_fh fh = { .len = BR_NFS_HANDLE_SIZE };
	uint64_t ino;

	pthread_mutex_lock(&f->export.lock);
	assert_int_equal(br_fs_walk(f->export.fs, path, &ino), 0);
	assert_int_equal(f->export.fs->ops->getattr(f->export.fs, ino, &attr), 0);
	pthread_mutex_unlock(&f->export.lock);
	memcpy(handle.export_id, f->export.id, sizeof(handle.export_id));
	handle.ino = ino;
	handle.generation = attr.generation;
	br_nfs_handle_put(nfs_test_key, &handle, fh.b);
	return fh;
}

static void null_works(int fd, uint32_t xid)
{
	uint8_t buf[200];
	struct br_writer w = begin(buf, sizeof(buf), xid, BR_RPC_NFS, 3, 0);
	uint32_t got;

	send_call(fd, &w);
	assert_int_equal(receive_reply(fd, &got), 24);
	assert_int_equal(got, xid);
}

static void fragments_are_put_together(void **state)
{
	struct fixture *f = *state;
	struct nfs_fh root = handle_of(f, "/");
	uint8_t buf[300];
	struct br_writer w = begin(buf, sizeof(buf), 7, BR_RPC_NFS, 3, BR_NFS3_GETATTR);
	int fd = connect_to(br_nfs_server_port(f->server), SOCK_STREAM);
	uint8_t mark[BR_RPC_MARK_SIZE];
	uint32_t xid;

	put_fh(&w, &root);
	for (size_t size = 1; size < w.len; size += 13) {
		for (size_t at = BR_RPC_MARK_SIZE; at < w.len; at += size) {
			size_t n = size < w.len - at ? size : w.len - at;

			br_rpc_store_mark(mark, 0, false); /* an empty one in between */
			send_all(fd, mark, sizeof(mark));
			br_rpc_store_mark(mark, (uint32_t)n, at + n == w.len);
			send_all(fd, mark, sizeof(mark));
			send_all(fd, w.buf + at, n);
		}
		assert_int_equal(receive_reply(fd, &xid), 24 + 4 + 84);
		assert_int_equal(xid, 7);
	}
	close(fd);
}

/* Bytes that end a connection, and only that one. */
static void nonsense_closes_its_connection(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} cases[] = {
		{ "\x7f\xff\xff\xff", 4 },         /* a fragment of 2 GiB */
		{ "\x80\x20\x00\x00", 4 },         /* more than any call has */
		{ "\x80\x00\x00\x04\0\0\0\1", 8 }, /* no call */
		{ "\x80\x00\x00\x00", 4 },         /* an empty record */
		{ "GET / HTTP/1.1\r\n\r\n", 18 },
	};
	struct fixture *f = *state;
	int other = connect_to(br_nfs_server_port(f->server), SOCK_STREAM);
	uint8_t byte;

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		int fd = connect_to(br_nfs_server_port(f->server), SOCK_STREAM);

		send_all(fd, cases[i].bytes, cases[i].n);
		assert_true(recv(fd, &byte, 1, 0) <= 0);
		close(fd);
		null_works(other, 100 + (uint32_t)i);
	}
	close(other);
}

/* A client that asks for far more than it reads is read no further, and others are served
 * meanwhile; when it reads, it gets all of it. */
static void slow_readers_hold_up_nobody(void **state)
{
	enum { CALLS = 2000, SIZE = 256 << 10 };
	struct fixture *f = *state;
	int fd, other;
	struct nfs_fh fh;
	uint64_t total = 0;
	uint32_t xid;
	pid_t writer;
	char *text = malloc(SIZE + 1);

	memset(text, 'r', SIZE);
	text[SIZE] = 0;
	pthread_mutex_lock(&f->export.lock);
	memfs_put(f->export.fs, "/big", 0644, text);
	pthread_mutex_unlock(&f->export.lock);
	free(text);
	fh = handle_of(f, "/big");
	fd = connect_to(br_nfs_server_port(f->server), SOCK_STREAM);
	other = connect_to(br_nfs_server_port(f->server), SOCK_STREAM);
	writer = fork();
	if (!writer) {
		for (uint32_t i = 0; i < CALLS; i++) {
			uint8_t buf[300];
			struct br_writer w =
				begin(buf, sizeof(buf), i, BR_RPC_NFS, 3, BR_NFS3_READ);

			put_fh(&w, &fh);
			br_put_be64(&w, 0);
			br_put_be32(&w, SIZE);
			br_rpc_store_mark(buf, (uint32_t)(w.len - BR_RPC_MARK_SIZE), true);
			if (br_write_all(fd, buf, w.len) < 0)
				_exit(1);
		}
		_exit(0);
	}
	for (uint32_t i = 0; i < 50; i++)
		null_works(other, i);
	for (uint32_t i = 0; i < CALLS; i++) {
		total += receive_reply(fd, &xid);
		assert_int_equal(xid, i);
	}
	assert_true(total > (uint64_t)CALLS * SIZE);
	assert_int_equal(waitpid(writer, NULL, 0), writer);
	close(fd);
	close(other);
}

static void waiting_writes_share_a_commit(void **state)
{
	enum { CALLS = 200 };
	struct fixture *f = *state;
	struct nfs_fh fh = handle_of(f, "/etc/hostname");
	static uint8_t all[CALLS * 300];
	unsigned before, after;
	size_t n = 0;
	uint32_t xid;
	int fd = connect_to(br_nfs_server_port(f->server), SOCK_STREAM);

	for (uint32_t i = 0; i < CALLS; i++) {
		struct br_writer w =
			begin(all + n, sizeof(all) - n, i, BR_RPC_NFS, 3, BR_NFS3_WRITE);

		put_write(&w, &fh, 0, "pi07\n", BR_NFS3_FILE_SYNC);
		br_rpc_store_mark(w.buf, (uint32_t)(w.len - BR_RPC_MARK_SIZE), true);
		n += w.len;
	}
	pthread_mutex_lock(&f->export.lock); /* the server waits until all of it is there */
	before = memfs_commits(f->export.fs);
	send_all(fd, all, n);
	pthread_mutex_unlock(&f->export.lock);
	for (uint32_t i = 0; i < CALLS; i++)
		assert_true(receive_reply(fd, &xid) > 0);
	pthread_mutex_lock(&f->export.lock);
	after = memfs_commits(f->export.fs);
	pthread_mutex_unlock(&f->export.lock);
	assert_in_range(after - before, 1, CALLS / 10);
	close(fd);
}

static void one_client_cannot_take_all_connections(void **state)
{
	enum { MANY = BR_NFS_CONNS_PER_CLIENT + 10 };
	struct fixture *f = *state;
	int fds[MANY];
	unsigned closed = 0;

	for (unsigned i = 0; i < MANY; i++) {
		fds[i] = connect_to(br_nfs_server_port(f->server), SOCK_STREAM);
		null_works(fds[i], i);
	}
	for (unsigned i = 0; i < MANY; i++) {
		uint8_t byte;

		if (recv(fds[i], &byte, 1, MSG_DONTWAIT) == 0) {
			assert_true(i < 20); /* those silent for longest */
			closed++;
		}
		close(fds[i]);
	}
	assert_in_range(closed, 10, 12);
}

static size_t resident_kib(void)
{
	char line[128];
	size_t kib = 0;
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "RssAnon: %zu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

/* A connection of another client: 127.0.1.N. */
static int connect_as(unsigned n, uint16_t port)
{
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000100 + n) };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* A thousand clients that announce the longest of calls and send a little of it: others are served, and what did not
 * come takes no memory. */
static void half_sent_records_cost_nothing(void **state)
{
	enum { MANY = 1000 };
	struct fixture *f = *state;
	struct rlimit files;
	static int fds[MANY];
	uint8_t begun[BR_RPC_MARK_SIZE + 100] = { 0 };
	int other = connect_to(br_nfs_server_port(f->server), SOCK_STREAM);
	size_t before = resident_kib();

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur < 2 * MANY + 100) {
		print_message("skipped: needs %d open files\n", 2 * MANY + 100);
		close(other);
		skip();
	}
	br_rpc_store_mark(begun, BR_NFS_CALL_MAX, true);
	for (unsigned i = 0; i < MANY; i++) {
		fds[i] = connect_as(1 + i % 8, br_nfs_server_port(f->server));
		send_all(fds[i], begun, sizeof(begun));
		if (i % 50 == 0)
			null_works(other, i);
	}
	null_works(other, MANY);
	assert_true(resident_kib() < before + (64u << 10));
	for (unsigned i = 0; i < MANY; i++)
		close(fds[i]);
	null_works(other, MANY + 1);
	close(other);
}

/* A port that is free for TCP and UDP now. */
static uint16_t free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	close(fd);
	return ntohs(a.sin_port);
}

static void datagrams_are_answered(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[512];
	struct br_writer w = begin(buf, sizeof(buf), 5, BR_RPC_MOUNT, 3, BR_MOUNT_MNT);
	int fd = connect_to(br_nfs_server_mount_port(f->server), SOCK_DGRAM);
	ssize_t n;

	br_xdr_put_string(&w, "/etc");
	send_all(fd, "junk", 4);
	assert_int_equal(send(fd, "", 0, 0), 0);
	send_all(fd, buf + BR_RPC_MARK_SIZE, w.len - BR_RPC_MARK_SIZE);
	n = recv(fd, buf, sizeof(buf), 0);
	assert_int_equal(n, 24 + 4 + 4 + BR_NFS_HANDLE_SIZE + 8);
	assert_int_equal(br_load_be32(buf), 5);
	assert_int_equal(br_load_be32(buf + 24), 0);
	close(fd);
}

static void port_mapper_and_busy_ports(void **state)
{
	struct fixture *f = *state;
	struct br_nfs_options opt = {
		.ip = LOOPBACK, .portmap_port = free_port(), .ops = &nfs_test_ops, .ctx = &f->export
	};
	struct br_nfs_server *second = NULL, *third = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_portmap_mapping m = { BR_RPC_NFS, 3, BR_PORTMAP_TCP, 0 };
	uint8_t buf[512];
	struct br_writer w;
	int fd;

	assert_int_equal(br_nfs_server_start(&opt, &second, &err), 0);
	w = begin(buf, sizeof(buf), 6, BR_RPC_PORTMAP, 2, BR_PORTMAP_GETPORT);
	br_portmap_put_mapping(&w, &m);
	fd = connect_to(opt.portmap_port, SOCK_DGRAM);
	send_all(fd, buf + BR_RPC_MARK_SIZE, w.len - BR_RPC_MARK_SIZE);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), 28);
	assert_int_equal(br_load_be32(buf + 24), br_nfs_server_port(second));
	close(fd);
	assert_int_equal(br_nfs_server_start(&opt, &third, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "in use"));
	assert_null(third);
	br_nfs_server_stop(second);
	opt.ip = 0xc0000201; /* not ours */
	assert_int_equal(br_nfs_server_start(&opt, &third, &err), -EADDRNOTAVAIL);
	assert_non_null(strstr(err.text, "192.0.2.1"));
}

static void who_keeps_us_waiting_is_closed(void **state)
{
	static const struct {
		uint64_t record_since_s, out_since_s; /* 0: nothing under way */
		size_t out_bytes;
		uint64_t now_s;
		bool overdue;
	} cases[] = {
		{ 0, 0, 0, 100000, false }, /* silent for long, but nothing is asked of us */
		{ 100, 0, 0, 160, false }, { 100, 0, 0, 161, true },       /* half a record */
		{ 0, 100, 1000, 160, false }, { 0, 100, 1000, 161, true }, /* takes no replies */
		{ 100, 200, 8 << 20, 250,
			false }, /* its record is not read while it does not read */
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_nfs_reply reply = { 0 };
		struct br_nfs_conn c = {
			.record_since_ns = cases[i].record_since_s * BR_S,
			.out_since_ns = cases[i].out_since_s * BR_S,
			.out_bytes = cases[i].out_bytes,
			.out_first = cases[i].out_bytes ? &reply : NULL,
		};

		assert_int_equal(br_nfs_conn_overdue(&c, cases[i].now_s * BR_S), cases[i].overdue);
		assert_int_equal(br_nfs_conn_idle(&c), i == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(libnfs_lists_and_reads),
		cmocka_unit_test(libnfs_writes),
		cmocka_unit_test(slow_work_is_answered_later),
		cmocka_unit_test(fragments_are_put_together),
		cmocka_unit_test(nonsense_closes_its_connection),
		cmocka_unit_test(slow_readers_hold_up_nobody),
		cmocka_unit_test(waiting_writes_share_a_commit),
		cmocka_unit_test(one_client_cannot_take_all_connections),
		cmocka_unit_test(half_sent_records_cost_nothing),
		cmocka_unit_test(datagrams_are_answered),
		cmocka_unit_test(port_mapper_and_busy_ports),
		cmocka_unit_test(who_keeps_us_waiting_is_closed),
	};

	return cmocka_run_group_tests_name("nfs_server", tests, start, stop);
}

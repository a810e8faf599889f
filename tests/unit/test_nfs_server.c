/* SPDX-License-Identifier: Apache-2.0 */
/* The NFS server on real sockets: libnfs's programs as clients, and connections that misbehave. */
#include "tests/unit/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "nfs/server.h"
#include "tests/unit/nfs_export.h"
#include "tests/unit/shell.h"

#define LOOPBACK 0x7f000001

struct fixture {
	struct nfs_test_export export;
	struct br_nfs_server *server;
};

static int start(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct br_nfs_options opt = {
		.ip = LOOPBACK, .allow_high_ports = true, .ops = &nfs_test_ops, .ctx = &f->export };
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(libnfs_lists_and_reads),
		cmocka_unit_test(libnfs_writes),
	};

	return cmocka_run_group_tests_name("nfs_server", tests, start, stop);
}

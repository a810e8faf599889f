/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server to try clients by hand: nfs_testserver [NFS-PORT [MOUNT-PORT [PORTMAP-PORT]]] exports a small file system in
 * memory on all addresses until it is interrupted.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/nfs_export.h"

static uint16_t port_of(int argc, char **argv, int i)
{
	return argc > i ? (uint16_t)strtoul(argv[i], NULL, 10) : 0;
}

int main(int argc, char **argv)
{
	struct nfs_test_export export;
	struct br_nfs_options opt = {
		.nfs_port = port_of(argc, argv, 1),
		.mount_port = port_of(argc, argv, 2),
		.portmap_port = port_of(argc, argv, 3),
		.allow_high_ports = true,
		.ops = &nfs_test_ops,
		.ctx = &export,
	};
	struct br_error err = BR_ERROR_NULL;
	struct br_nfs_server *server;
	sigset_t set;
	int sig;

	memcpy(opt.handle_key, nfs_test_key, sizeof(opt.handle_key));
	nfs_test_export_init(&export, memfs_new());
	memfs_put(export.fs, "/etc/hostname", 0644, "pi07\n");
	memfs_put_link(export.fs, "/sbin", "usr/sbin");
	memfs_mkdir(export.fs, "/usr/sbin");
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (br_nfs_server_start(&opt, &server, &err) < 0) {
		fprintf(stderr, "nfs_testserver: %s\n", err.text);
		return 1;
	}
	printf("NFS %u MOUNT %u\n", br_nfs_server_port(server), br_nfs_server_mount_port(server));
	fflush(stdout);
	sigwait(&set, &sig);
	br_nfs_server_stop(server);
	nfs_test_export_done(&export);
	return 0;
}

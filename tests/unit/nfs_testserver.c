/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server to try clients by hand, on all addresses until it is interrupted:
 *     nfs_testserver NFS-PORT MOUNT-PORT PORTMAP-PORT [STORE FILE DISK]
 * exports a small file system in memory, or the disk in the directory DISK of the image FILE,
 * imported into the store STORE.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/disk.h"
#include "store/image.h"
#include "tests/unit/nfs_export.h"

static uint16_t port_of(int argc, char **argv, int i)
{
	return argc > i ? (uint16_t)strtoul(argv[i], NULL, 10) : 0;
}

static struct br_fs *small_fs(void)
{
	struct br_fs *fs = memfs_new();

	memfs_put(fs, "/etc/hostname", 0644, "pi07\n");
	memfs_put_link(fs, "/sbin", "usr/sbin");
	memfs_mkdir(fs, "/usr/sbin");
	return fs;
}

static int open_disk(char **argv, struct br_disk **ret, struct br_error *err)
{
	struct br_image_info info;
	struct br_store *store;
	struct br_image *image;
	int r = br_store_open(argv[0], &store, err);

	if (r < 0)
		return r;
	r = br_store_import(store, argv[1], &(struct br_import_options){ 0 }, &info, err);
	if (r >= 0)
		r = br_image_open(store, info.name, &image, err);
	if (r >= 0) {
		r = br_disk_open(image, argv[2], ret, err);
		br_image_unref(image);
	}
	br_store_close(store);
	return r;
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
	struct br_disk *disk = NULL;
	sigset_t set;
	int sig;

	memcpy(opt.handle_key, nfs_test_key, sizeof(opt.handle_key));
	if (argc == 7 && open_disk(argv + 4, &disk, &err) < 0) {
		fprintf(stderr, "nfs_testserver: %s\n", err.text);
		return 1;
	}
	nfs_test_export_init(&export, disk ? br_disk_fs(disk) : small_fs());
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
	if (disk)
		br_disk_close(disk);
	else
		nfs_test_export_done(&export);
	return 0;
}

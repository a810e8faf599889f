/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The control API on its real parts and a small real image, in this process; asked by curl(1) and by our own command line
 * (main() must hand '--cli' to br_cli_main()). */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/client.h"
#include "api/server.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/cli.h"
#include "fleet/event.h"
#include "fleet/fleet.h"
#include "plan/boots.h"
#include "plan/disks.h"
#include "plan/persist.h"
#include "plan/shares.h"
#include "store/image.h"
#include "tests/unit/shell.h"

#define TOOLS "sfdisk mkfs.fat mkfs.ext4 mcopy curl e2fsck"

static struct server {
	char *dir, *state, *socket;
	struct br_fleet *fleet;
	struct br_store *store;
	struct br_boots *boots;
	struct br_disks *disks;
	struct br_shares *shares;
	struct br_persist *persist;
	struct br_api *api;
	const struct br_api_usb_ops *usb; /* of the test, before start(); NULL: none */
	void *usb_ctx;
	bool image;
} sv;

/* 16 MiB: FAT16 of 4 MiB at 1 MiB, ext4 of 8 MiB at 8 MiB. */
static const char script[] =
	"set -e; cd '%s'; mkdir -p root/etc root/usr/lib root/usr/bin boot\n"
	"printf 'ID=debian\\nPRETTY_NAME=\"Debian GNU/Linux 12\"\\nVERSION_ID=\"12\"\\n' >root/usr/lib/os-release\n"
	"ln -s ../usr/lib/os-release root/etc/os-release\n"
	"printf 'bad\\377name' >root/etc/$(printf 'bad\\377name')\n"
	"head -c 100000 /dev/urandom >root/usr/lib/random\n"
	"printf '\\177ELF\\002\\001\\001\\0\\0\\0\\0\\0\\0\\0\\0\\0\\002\\0\\267\\0' >root/usr/bin/env\n"
	"for f in bootcode.bin start.elf config.txt bcm2710-rpi-3-b-plus.dtb; do echo $f >boot/$f; done\n"
	"head -c 70000 /dev/urandom >boot/kernel8.img\n"
	"echo 'console=tty1 root=PARTUUID=5452574f-02 rootwait' >boot/cmdline.txt\n"
	"truncate -s 16M card.img\n"
	"printf 'label: dos\\nlabel-id: 0x5452574f\\nstart=2048,size=8192,type=c\\nstart=16384,size=16384,type=83\\n' |\n"
	"sfdisk -q card.img 2>/dev/null\n"
	"mkfs.fat -n bootfs -F 16 -s 1 --offset 2048 card.img 4096 >/dev/null 2>&1\n"
	"MTOOLS_SKIP_CHECK=1 mcopy -s -i card.img@@1M boot/* ::/\n"
	"mkfs.ext4 -q -F -L rootfs -d root -E offset=8388608 card.img 8M 2>/dev/null";

static inline void import(const char *name)
{
	struct br_import_options opt = { .name = name, .quiet = true };
	br_cleanup(br_freep) char *file = br_path_join(sv.dir, "card.img");
	struct br_error err = BR_ERROR_NULL;

	if (br_store_import(sv.store, file, &opt, NULL, &err) < 0)
		fail_msg("%s", err.text);
}

static inline int start(void **state)
{
	struct br_error err = BR_ERROR_NULL;

	sv.dir = strdup(test_dir());
	sv.state = br_path_join(sv.dir, "state");
	sv.socket = br_api_socket_path(sv.state);
	assert_int_equal(br_fleet_open(sv.state, true, &sv.fleet, &err), 0);
	assert_int_equal(br_store_open(sv.state, &sv.store, &err), 0);
	sv.image = !test_sh(script, sv.dir);
	if (sv.image) {
		import("one");
		import("two");
	}
	struct br_boots_options bo = { .fleet = sv.fleet, .store = sv.store, .default_disk = "persistent",
		.default_image = sv.image ? "one" : NULL, .server = { .ip = 0x0a4d0001, .nfs_port = 2049, .mount_port = 2049 } };
	assert_int_equal(br_boots_new(&bo, &sv.boots, &err), 0);
	assert_int_equal(br_disks_new(sv.state, &sv.disks, &err), 0);
	assert_int_equal(br_shares_new(sv.fleet, &sv.shares, &err), 0);
	assert_int_equal(br_persist_new(sv.state, sv.store, &sv.persist, &err), 0);
	struct br_api_options ao = { .fleet = sv.fleet, .boots = sv.boots, .disks = sv.disks, .shares = sv.shares, .persist = sv.persist, .store = sv.store,
		.usb = sv.usb, .usb_ctx = sv.usb_ctx, .socket_path = sv.socket,
		.status = { .interface = "br0", .ip = 0x0a4d0001, .prefix = 24, .dhcp = "full", .first = 0x0a4d000a,
			.last = 0x0a4d00fe } };
	assert_int_equal(br_api_start(&ao, &sv.api, &err), 0);
	return 0;
}

static inline int stop(void **state)
{
	struct stat st;

	br_api_stop(sv.api);
	assert_int_equal(lstat(sv.socket, &st), -1); /* taken away */
	br_shares_free(sv.shares);
	br_persist_free(sv.persist);
	br_disks_free(sv.disks);
	br_boots_free(sv.boots);
	br_store_close(sv.store);
	br_fleet_close(sv.fleet);
	br_remove_tree(sv.dir, NULL);
	free(sv.dir);
	free(sv.state);
	free(sv.socket);
	return 0;
}

#define NEED_IMAGE()                             \
	do {                                     \
		test_needs(TOOLS);               \
		assert_true(sv.image);           \
	} while (0)

/* curl's output (the body, then the status on a line of its own); args as the shell takes them. */
static inline char *curl(const char *args, const char *path)
{
	br_cleanup(br_freep) char *cmd = br_asprintf(
		"curl -s -m 20 -g -w '\\n%%{http_code}' --unix-socket '%s' %s 'http://x%s'", sv.socket, args, path);
	struct br_text out = BR_TEXT_NULL;
	char buf[65536];
	FILE *f = popen(cmd, "r");
	size_t n;

	assert_non_null(f);
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		br_text_add_bytes(&out, buf, n);
	pclose(f);
	return br_text_take(&out);
}

/* Checks the status; returns the JSON. */
static inline json_t *ask(const char *args, const char *path, int status)
{
	br_cleanup(br_freep) char *text = curl(args, path);
	char *nl = text ? strrchr(text, '\n') : NULL;
	json_error_t why;
	json_t *json;

	assert_non_null(nl);
	*nl = 0;
	if (atoi(nl + 1) != status)
		fail_msg("%s %s: status %s: %s", args, path, nl + 1, text);
	json = json_loads(text, 0, &why);
	if (!json)
		fail_msg("%s %s: %s", path, why.text, text);
	return json;
}

static inline const char *str(const json_t *json, const char *key)
{
	const char *s = json_string_value(json_object_get(json, key));

	return s ? s : "(none)";
}

static inline void make_board(const char *name, uint8_t last, struct br_board *ret)
{
	*ret = (struct br_board){ .mac = { { 0xb8, 0x27, 0xeb, 1, 1, last } } };
	strcpy(ret->name, name);
	assert_int_equal(br_board_save(sv.fleet, ret, NULL), 0);
}

static inline void write_file(const struct br_board *b, const char *name, const char *text)
{
	struct br_board_disk *disk;
	struct br_plan *plan;
	struct br_fs_new node = { .mode = S_IFREG | 0644 };
	struct br_error err = BR_ERROR_NULL;
	uint64_t ino;

	assert_int_equal(br_boots_plan(sv.boots, b, &plan, &err), 0);
	if (br_disks_open(sv.disks, plan, &disk, &err) < 0)
		fail_msg("%s", err.text);
	pthread_mutex_lock(&disk->lock);
	assert_int_equal(disk->fs->ops->create(disk->fs, disk->fs->ops->root(disk->fs), name, &node, &ino), 0);
	assert_int_equal(disk->fs->ops->write(disk->fs, ino, 0, text, strlen(text)), 0);
	pthread_mutex_unlock(&disk->lock);
	br_board_disk_unref(sv.disks, disk);
	br_plan_unref(plan);
}

/* Runs the command line in a process of its own: what it wrote, and how it ended. */
__attribute__((format(printf, 3, 4))) static inline int cli(char *out, size_t size, const char *fmt, ...)
{
	br_cleanup(br_freep) char *words = NULL;
	br_cleanup(br_freep) char *cmd = NULL;
	va_list ap;
	size_t n = 0, k;
	FILE *f;
	int status;

	va_start(ap, fmt);
	assert_true(vasprintf(&words, fmt, ap) >= 0);
	va_end(ap);
	cmd = br_asprintf("/proc/%d/exe --cli --state '%s' %s 2>&1", (int)getpid(), sv.state, words);
	f = popen(cmd, "r");
	assert_non_null(f);
	while (n < size - 1 && (k = fread(out + n, 1, size - 1 - n, f)) > 0)
		n += k;
	out[n] = 0;
	status = pclose(f);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}


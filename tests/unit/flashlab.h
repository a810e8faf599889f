/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A fleet, a store with small images, and the flashing of boards without any network: what their U-Boots would ask for. */
#include <poll.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "flash/flash.h"
#include "flash/plan.h"
#include "tests/unit/shell.h"
#include "uboot/script.h"

#define FLASH_TOOLS "sfdisk mkfs.fat mke2fs mcopy"
#define LAB_CARD    "plan/n/card/4000/8000/c0ffee42-01" /* a recovery card as it tells itself */

static struct {
	const char *dir;
	char *state;
	struct br_fleet *fleet;
	struct br_store *store;
	struct br_flash *flash;
	struct br_board board, other;
	char text[1 << 20]; /* the last script */
	size_t len;
} lab;

/*
 * An image of 32 MiB: parts as sfdisk reads them (their header too), FAT at 1 MiB, ext4 at 8 MiB with /etc/fstab of this
 * text; cmdline.txt and config.txt on the FAT.
 */
static inline void lab_image(const char *name, const char *parts, const char *cmdline, const char *fstab)
{
	static const char script[] =
		"set -e; cd '%s'; rm -rf root; mkdir -p root/etc; printf '%s' >root/etc/fstab; head -c 600000 /dev/urandom >root/data\n"
		"truncate -s 32M %s.img\n"
		"printf '%s' | sfdisk -q %s.img 2>/dev/null\n"
		"mkfs.fat -F 16 -s 1 --offset 2048 %s.img 4096 >/dev/null 2>&1\n"
		"printf '%%s\\n' '%s' >cmdline.txt; echo kernel=k.img >config.txt\n"
		"MTOOLS_SKIP_CHECK=1 mcopy -i %s.img@@1M cmdline.txt config.txt ::\n"
		"mke2fs -q -F -t ext4 -b 4096 -d root -E offset=8388608 %s.img 8M 2>/dev/null\n";
	struct br_import_options opt = { .quiet = true, .name = name };
	br_cleanup(br_freep) char *path = br_asprintf("%s/%s.img", lab.dir, name);
	struct br_error err = BR_ERROR_NULL;

	assert_int_equal(test_sh(script, lab.dir, fstab, name, parts, name, name, cmdline, name, name), 0);
	if (br_store_import(lab.store, path, &opt, NULL, &err) < 0)
		fail_msg("%s", err.text);
}

static inline void lab_board(const char *name, uint8_t last, struct br_board *ret)
{
	struct br_error err = BR_ERROR_NULL;

	*ret = (struct br_board){ .serial_known = true, .serial = last };
	snprintf(ret->name, sizeof(ret->name), "%s", name);
	if (br_board_save(lab.fleet, ret, &err) < 0)
		fail_msg("%s", err.text);
}

static inline int lab_start(void **state)
{
	struct br_error err = BR_ERROR_NULL;

	lab.dir = test_dir();
	lab.state = br_path_join(lab.dir, "state");
	assert_int_equal(br_fleet_open(lab.state, true, &lab.fleet, &err), 0);
	assert_int_equal(br_store_open(lab.state, &lab.store, &err), 0);
	assert_int_equal(br_flash_new(lab.fleet, lab.store, &lab.flash, &err), 0);
	lab_board("pi1", 1, &lab.board);
	lab_board("pi2", 2, &lab.other);
	return 0;
}

static inline int lab_stop(void **state)
{
	br_flash_free(lab.flash);
	br_store_close(lab.store);
	br_fleet_close(lab.fleet);
	free(lab.state);
	return br_remove_tree(lab.dir, NULL);
}

static inline int64_t lab_order(const struct br_board *board, const char *image, const char *target, const char *up)
{
	struct br_flash_order o = { .board_id = board->id };
	struct br_error err = BR_ERROR_NULL;

	snprintf(o.image, sizeof(o.image), "%s", image);
	snprintf(o.target, sizeof(o.target), "%s", target);
	snprintf(o.verify, sizeof(o.verify), "hash");
	snprintf(o.up, sizeof(o.up), "%s", up);
	if (br_flash_order(lab.flash, &o, &err) < 0)
		fail_msg("%s", err.text);
	return o.id;
}

/* As the board's U-Boot asks; what is a script becomes lab.text, other bytes as they are. */
static inline int lab_ask(const struct br_board *board, const char *path)
{
	struct br_flash_blob *blob;
	int r = br_flash_file(lab.flash, board, path, &blob, NULL, 0);
	const struct br_span *span;
	const char *text;
	size_t len;

	if (r < 0)
		return r;
	span = br_flash_blob_span(blob);
	if (br_uboot_script_unpack(span->data, span->len, &text, &len, NULL) < 0) {
		text = (const char *)span->data;
		len = span->len;
	}
	lab.len = len < sizeof(lab.text) - 1 ? len : sizeof(lab.text) - 1;
	memcpy(lab.text, text, lab.len);
	lab.text[lab.len] = 0;
	br_flash_blob_unref(blob);
	return 0;
}

/* The same of an order, until it is there: as a board does. */
static inline int lab_get(const struct br_board *board, int64_t order, const char *what)
{
	br_cleanup(br_freep) char *path = br_asprintf("bramble/flash/%lld/%s", (long long)order, what);

	for (unsigned i = 0; i < 3000; i++) {
		int r = lab_ask(board, path);

		if (r != -EINPROGRESS && !(r == 0 && strstr(lab.text, "the server reads the image")))
			return r;
		(void)poll(NULL, 0, 10);
	}
	return -ETIMEDOUT;
}

static inline struct br_flash_status lab_status(int64_t order)
{
	struct br_flash_status st;

	assert_int_equal(br_flash_status(lab.flash, order, &st), 0);
	return st;
}

/* Waits for a state, for at most so many ms. */
static inline bool lab_becomes(int64_t order, enum br_flash_state state, unsigned ms)
{
	for (unsigned i = 0; i < ms / 10; i++) {
		if (lab_status(order).order.state == state)
			return true;
		(void)poll(NULL, 0, 10);
	}
	return lab_status(order).order.state == state;
}

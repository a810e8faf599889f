/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmdline.txt for a network root: wire notes 4.2 to 4.4.
 *
 * The nfsroot options must be understood by the kernel's own parser (boards without an
 * initramfs) and by klibc's nfsmount (boards with one), which answers an unknown option with
 * an endless retry and no packet. Both know: vers=3, tcp, port=, rsize=, wsize=. The kernel
 * takes 4096 for rsize and wsize unless told.
 */
#include "plan/cmdline.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/text.h"

#define NFS_PORT 2049
#define TRANSFER_SIZE 131072 /* a Pi 3's 300 Mbit/s take it in 3 ms; more only delays the first page */

/* Arguments of the image that are about a local root. A '=' at the end: any value. */
static const char *const dropped[] = {
	"root=", "rootfstype=", "rootflags=", "rootdelay=", "nfsroot=", "ip=", "nfsrootdebug",
	"ro", "rw", "rootwait", "resize", "fsck.repair=", "fsck.mode=",
	/* first-boot programs that repartition the card (Raspberry Pi OS to bullseye, and bookworm) */
	"init=/usr/lib/raspi-config/init_resize.sh", "init=/usr/lib/raspberrypi-sys-mods/firstboot",
	/* Raspberry Pi Imager's first start, a script on the boot partition */
	"systemd.run=", "systemd.run_success_action=", "systemd.run_failure_action=", "systemd.unit=kernel-command-line.target",
};

static bool is_dropped(const char *arg)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(dropped); i++) {
		const char *d = dropped[i];

		if (br_str_ends(d, "=") ? br_str_starts(arg, d) : !strcmp(arg, d))
			return true;
	}
	return false;
}

char *br_plan_make_cmdline(const char *image_cmdline, const struct br_plan_server *server,
	const char *root_path, bool ram)
{
	br_cleanup(br_freep) char *copy = strdup(image_cmdline);
	struct br_text t = BR_TEXT_NULL;
	char ip[BR_IP_TEXT];
	char *save = NULL;

	if (!copy)
		return NULL;
	for (char *arg = strtok_r(copy, " \t\r\n", &save); arg; arg = strtok_r(NULL, " \t\r\n", &save))
		if (!is_dropped(arg) && !(ram && (br_str_starts(arg, "boot=") || br_str_starts(arg, "overlayroot="))))
			br_text_addf(&t, "%s ", arg);
	br_text_addf(&t, "root=/dev/nfs nfsroot=%s:%s,vers=3,tcp,rsize=%d,wsize=%d",
		br_ip_format(ip, server->ip), root_path, TRANSFER_SIZE, TRANSFER_SIZE);
	if (server->nfs_port != NFS_PORT)
		br_text_addf(&t, ",port=%u", server->nfs_port);
	/* 'boot' selects the script of plan/raminit.c in the initramfs; the root stays read-only under it */
	br_text_add(&t, ram ? " ip=dhcp rootwait ro boot=bramble" : " ip=dhcp rootwait rw");
	return br_text_take(&t);
}

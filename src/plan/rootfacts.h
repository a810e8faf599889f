/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "base/text.h"
#include "store/fs.h"
#include "store/projfs.h"

/*
 * What an image's root file system is like, as far as a network root is concerned: which of its files and units must be
 * another way there (wire notes 4.4), and where what is made for each board goes (rootfiles.h). Found out once per image.
 * Unknown systems are taken as they are: 'unknown' says what was looked for in vain.
 */
#define BR_ROOT_COMMON_MAX 96

struct br_root_facts {
	char layout[128]; /* "Raspberry Pi OS bookworm", "Ubuntu 24.04 LTS" ... for people; "" : no os-release */
	char *fstab;	  /* without local mounts, NULL: the image has none */
	char *hosts;	  /* without a line for 127.0.1.1, NULL: the image has none */
	char *dhcpcd;	  /* dhcpcd.conf, NULL: no dhcpcd */
	char *passwd, *shadow, *group, *gshadow; /* NULL: not there, or not to be read */
	char boot_dir[32]; /* where the boot partition is mounted on a card: "/boot/firmware", "/boot"; "" : nowhere */
	const char *ssh_unit; /* the unit file, NULL: no sshd */
	bool ssh_dir;	      /* there is /etc/ssh */
	bool ssh_enabled;     /* sshd starts by itself */
	bool ssh_include;     /* sshd_config reads sshd_config.d */
	bool ssh_not_to_be_run; /* Debian's file that keeps it from starting */
	bool network_manager; /* with a conf.d */
	bool networkd, ifupdown, cloud_init;
	bool resolver_link;   /* there is /etc, and resolv.conf may become a link */
	bool wants_dir, sudoers_dir, tmpfiles_dir;
	bool modprobe_dirs; /* modprobe.d and modules-load.d */
	bool rsyslog;	      /* it runs, and has a rsyslog.d */
	bool user_wizard, user_banner; /* Raspberry Pi OS asks for the first user, and says so at ssh logins */
	bool initramfs_tools; /* made its initramfs */
	const char *shell;
	/* the same for every board: units that must not run, what of the image must not be shared */
	struct br_projection common[BR_ROOT_COMMON_MAX];
	size_t n_common;
	struct br_text unknown; /* "; " between, buf NULL: all was as known */
};

/* name: of the image, for words. br_root_facts_done() also after a failure. */
int br_root_facts_read(struct br_fs *fs, const char *name, struct br_root_facts *ret, struct br_error *err);
void br_root_facts_done(struct br_root_facts *facts);

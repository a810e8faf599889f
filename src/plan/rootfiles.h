/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/error.h"
#include "base/text.h"
#include "plan/rootfacts.h"
#include "store/projfs.h"

/*
 * What one board's root file system shows instead of the image's files: identity, what a network root needs, and what
 * people give. Every row says why it is there.
 */
struct br_root_wish {
	const char *name; /* of the board */
	struct br_mac mac; /* zero: not known */
	uint8_t ssh_seed[32], machine_id[16];
	bool ssh; /* sshd is to run ('ssh' on the boot partition) */
	const char *userconf; /* "name:hash", NULL: no user is wished */
	size_t userconf_len;
	const char *fstab; /* a line more of it, NULL: none */
	const char *keys; /* lines of authorized_keys, NULL: none */
	uint32_t log_ip; /* where its kernel and its syslog send to */
	bool log_netconsole, log_syslog;
};

struct br_root_files {
	struct br_projection *v;
	size_t n, cap;
	void **owned; /* texts of it */
	size_t n_owned, cap_owned;
	struct br_text left_out; /* words on what could not be done, "; " between; buf NULL: nothing */
	bool failed;		 /* memory was out: the lot is no good */
};

/* Adds a row; path, data and why must outlive the lot, or be given to it by br_root_files_own(). */
void br_root_files_add(struct br_root_files *files, const struct br_projection *row);
/* Takes over memory (may be NULL: then memory is out), and returns it. */
void *br_root_files_own(struct br_root_files *files, void *p);
__attribute__((format(printf, 2, 3))) void br_root_files_left_out(struct br_root_files *files, const char *fmt, ...);

/*
 * All of it, after what is there already (of two rows for one path the first counts). The facts must outlive the files.
 * br_root_files_done() also after a failure.
 */
int br_root_files_make(const struct br_root_facts *facts, const struct br_root_wish *wish, struct br_root_files *files,
	struct br_error *err);
void br_root_files_done(struct br_root_files *files);

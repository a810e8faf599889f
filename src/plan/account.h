/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/* The user that people want on their boards, as Raspberry Pi OS' userconf.txt says it: "name:hash of crypt(3)". */
struct br_account {
	char name[33];
	char hash[256]; /* "*": no password */
};

/* text: the first line counts. -EINVAL with the rule in words. */
int br_account_parse(const char *text, size_t len, struct br_account *ret, struct br_error *err);

/* Texts of /etc/passwd and so on; NULL: there is none. */
struct br_account_files {
	const char *passwd, *shadow, *group, *gshadow;
	const char *shell; /* of a new user */
};

/*
 * The same files with that user in them: the one of this name gets the password; or the one that the image is made for
 * (uid 1000) gets name and password, when it has no password yet; or there is a new one.
 */
struct br_account_result {
	char *passwd, *shadow, *group, *gshadow; /* free(); NULL where there is none */
	uint32_t uid, gid;
	uint32_t shadow_gid; /* of the group 'shadow' */
	char home[256];
	bool created; /* has no home yet */
};

/* -ENOENT: no passwd or no shadow. -ENOMEM. ret needs br_account_result_done() after 0 only. */
int br_account_make(const struct br_account_files *in, const struct br_account *user, struct br_account_result *ret);
void br_account_result_done(struct br_account_result *res);

/* The name of the user with uid 1000, whose keys an image expects; false: there is none. */
bool br_account_default(const char *passwd, char ret[static 33]);

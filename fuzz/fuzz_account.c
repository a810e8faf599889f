/* SPDX-License-Identifier: Apache-2.0 */
/* A user put into the account files of an image. Input: userconf.txt, passwd, shadow, group, each ended by a 0x00. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "plan/account.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct br_account plain = { .name = "ada", .hash = "*" };
	struct br_error err = BR_ERROR_NULL;
	char *copy = malloc(len + 1), *text[4];
	struct br_account_result res;
	struct br_account user;
	char name[33];
	size_t at = 0;

	if (!copy)
		return 0;
	if (len)
		memcpy(copy, data, len);
	copy[len] = 0;
	for (size_t i = 0; i < 4; i++) {
		text[i] = copy + at;
		at += strlen(text[i]);
		at += at < len;
	}
	if (br_account_parse(text[0], strlen(text[0]), &user, &err) < 0)
		user = plain;
	else if (strpbrk(user.name, ":\n/") || strpbrk(user.hash, ":\n"))
		abort();
	const struct br_account_files in = { text[1], text[2], text[3], text[3], "/bin/sh" };

	(void)br_account_default(text[1], name);
	if (!br_account_make(&in, &user, &res)) {
		if (!strstr(res.passwd, user.name) || !strstr(res.shadow, user.hash) || (res.created && res.uid < 1000))
			abort();
		br_account_result_done(&res);
	}
	free(copy);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How errors travel: errno, HTTP status and the word in "code", which is part of the API. */
struct br_api_code {
	int code;	 /* positive errno */
	unsigned status; /* HTTP */
	const char *word;
};

/* Never NULL: what is not listed is "failed", 500. */
const struct br_api_code *br_api_code_of(int code);
/* By word; EIO's when it is not known or NULL. */
const struct br_api_code *br_api_code_by_word(const char *word);

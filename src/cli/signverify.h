/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "pi/countersign.h"
#include "pi/sigfile.h"

/* What 'bramble sign verify' found, check by check. */
enum br_sign_outcome { BR_SIGN_VALID, BR_SIGN_INVALID, BR_SIGN_NOT_CHECKED };

struct br_sign_findings {
	json_t *rows;
	const char *of; /* put before the names of checks: "bootconf.txt "; NULL: nothing */
	bool invalid, unchecked;
};

__attribute__((format(printf, 4, 5))) void br_sign_find(struct br_sign_findings *f, const char *what, enum br_sign_outcome o,
	const char *fmt, ...);
/* hash and signature of data; pub NULL: no key to check with. */
void br_sign_check_sig(struct br_sign_findings *f, const uint8_t *data, size_t len, const struct br_sigfile *sig,
	const struct br_rsapub *pub);
void br_sign_check_ts(struct br_sign_findings *f, const struct br_sigfile *sig, uint64_t min);
/* The signature blocks of boot code. */
void br_sign_check_blocks(struct br_sign_findings *f, const struct br_signblocks *b, const struct br_rsapub *pub);
/* Whether a key found in a file is the one given (NULL: none was). */
void br_sign_check_key(struct br_sign_findings *f, const struct br_rsapub *found, const struct br_rsapub *given);

/* An EEPROM image: its configuration's signature by the key in it, that key, the boot code's blocks. -EBADMSG with words: it
 * is no such image. */
int br_sign_check_eeprom(struct br_sign_findings *f, const uint8_t *data, size_t len, const struct br_rsapub *pub,
	struct br_error *err);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>

#include "pi/countersign.h"
#include "pi/sigfile.h"

/* What 'bramble sign verify' found, check by check. */
enum br_sign_outcome {
	BR_SIGN_VALID,
	BR_SIGN_INVALID,
	BR_SIGN_NO_KEY,	     /* not checked, for want of a key */
	BR_SIGN_NOT_CHECKED, /* it could not be, and might be wrong */
	BR_SIGN_NONE,	     /* there is nothing to check: it is not signed */
	BR_SIGN_BOARD_ONLY,  /* only a board can, and it makes no difference to who signed */
	BR_SIGN_OUTCOMES,
};

struct br_sign_findings {
	json_t *rows;
	const char *of; /* put before the names of checks: "bootconf.txt "; NULL: nothing */
	unsigned n[BR_SIGN_OUTCOMES]; /* how often */
};

__attribute__((format(printf, 4, 5))) void br_sign_find(struct br_sign_findings *f, const char *what, enum br_sign_outcome o,
	const char *fmt, ...);
/* hash and signature of data; pub NULL: no key to check with. hash_only: a signature is not what this .sig is for. */
void br_sign_check_sig(struct br_sign_findings *f, const uint8_t *data, size_t len, const struct br_sigfile *sig,
	const struct br_rsapub *pub, bool hash_only);
void br_sign_check_ts(struct br_sign_findings *f, const struct br_sigfile *sig, uint64_t min);
/* The signature blocks of boot code. must: a customer's has to be there. */
void br_sign_check_blocks(struct br_sign_findings *f, const struct br_signblocks *b, const struct br_rsapub *pub, bool must);
/* Whether a key found in a file is the one given (NULL: none was). */
void br_sign_check_key(struct br_sign_findings *f, const struct br_rsapub *found, const struct br_rsapub *given);

/* An EEPROM image: its configuration's signature by the key in it, that key, the boot code's blocks. -EBADMSG with words: it
 * is no such image. */
int br_sign_check_eeprom(struct br_sign_findings *f, const uint8_t *data, size_t len, const struct br_rsapub *pub,
	struct br_error *err);

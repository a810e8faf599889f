/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "pi/rsakey.h"

/*
 * Signature blocks of BCM2712's boot code (systems notes d.3): bootcode and bootsys in an EEPROM image, recovery.bin. A block
 * is appended and signs everything before it, its own first 12 bytes too:
 *
 *   u32 length of what is before it   u32 key number   u32 version   256 RSA   264 public key (struct br_rsapub)
 *
 * Numbers are little-endian, the signature is big-endian (measured on stock images). The vendor's block comes first; a
 * customer's, of key number 16, goes behind it and covers it. Once fused, the ROM wants both.
 */
#define BR_SIGNBLOCK_BYTES    532
#define BR_SIGNBLOCK_VENDOR_MAX 4   /* key numbers 0 to 4 are Raspberry Pi's */
#define BR_SIGNBLOCK_CUSTOMER 16
#define BR_SIGNBLOCK_VERSION_MAX 32 /* as many anti-rollback bits there are in OTP */
#define BR_BOOTCODE_MAX (110u << 10) /* what the ROM loads, blocks included */

struct br_signblock {
	uint32_t length, keynum, version;
	uint8_t rsa[BR_RSA_BYTES];
	struct br_rsapub pub;
};

/* The block that ends data, when there is one: its length says exactly what is before it. -ENODATA: there is none;
 * -EBADMSG with words: there is one, and its numbers or key cannot be. Its signature is not looked at. */
int br_signblock_parse(const uint8_t *data, size_t len, struct br_signblock *ret, struct br_error *err);
/* Whether the block that ends data was made by its own key. -EBADMSG: it was not. */
int br_signblock_verify(const uint8_t *data, size_t len, const struct br_signblock *block);

/* Whose the key in the vendor's block is. */
enum br_signblock_by {
	BR_SIGNBLOCK_BY_VENDOR,	 /* Raspberry Pi's key number 0: the one in all stock images, known here by its hash */
	BR_SIGNBLOCK_BY_UNKNOWN, /* key numbers 1 to 4: not seen yet, so there is nothing to compare it with */
	BR_SIGNBLOCK_BY_OTHER,	 /* it says key number 0, and is another key */
};

/* Which blocks end a boot code. */
struct br_signblocks {
	size_t code; /* bytes without any block */
	bool has_vendor, has_customer;
	bool vendor_valid, customer_valid; /* the RSA signatures, each by the key in its block */
	enum br_signblock_by vendor_by;	   /* with has_vendor */
	struct br_signblock vendor, customer;
};
/* -EBADMSG with words: blocks that cannot be (order, numbers, keys). No block at all is no error. */
int br_signblocks_read(const uint8_t *data, size_t len, struct br_signblocks *ret, struct br_error *err);
/* Why the ROM would not run it, as words behind its name ("has no ...", "is damaged ..."); NULL: nothing speaks against it.
 * With BR_SIGNBLOCK_BY_UNKNOWN nobody here can say whether the key is Raspberry Pi's. */
const char *br_signblocks_vendor_fault(const struct br_signblocks *b);

/*
 * data with the customer's block behind it: *ret (free()) has *ret_len bytes. A customer's block that is already there is
 * replaced. -ENODATA: the vendor's block is missing; -EBADMSG: it is damaged or
 * not the vendor's; -EFBIG: above BR_BOOTCODE_MAX; -ERANGE: the version.
 */
int br_countersign(const uint8_t *data, size_t len, struct br_rsakey *key, unsigned version, uint8_t **ret, size_t *ret_len,
	struct br_error *err);

/* SPDX-License-Identifier: Apache-2.0 */
#include "pi/countersign.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"

#define HEAD 12 /* length, key number, version: signed, too */

int br_signblock_parse(const uint8_t *data, size_t len, struct br_signblock *ret, struct br_error *err)
{
	struct br_signblock b;
	struct br_reader r;
	const uint8_t *rsa, *pub;
	int e;

	if (len < BR_SIGNBLOCK_BYTES)
		return -ENODATA;
	r = br_reader_of(data + len - BR_SIGNBLOCK_BYTES, BR_SIGNBLOCK_BYTES);
	b.length = br_get_le32(&r);
	b.keynum = br_get_le32(&r);
	b.version = br_get_le32(&r);
	rsa = br_reader_take(&r, sizeof(b.rsa));
	pub = br_reader_take(&r, sizeof(b.pub.bytes));
	/* what is no block says something else than its own distance from the start */
	if (!rsa || !pub || b.length != len - BR_SIGNBLOCK_BYTES)
		return -ENODATA;
	if (b.keynum > BR_SIGNBLOCK_VENDOR_MAX && b.keynum != BR_SIGNBLOCK_CUSTOMER)
		return br_error_set(err, EBADMSG, "signature block with key number %u: 0 to 4 are Raspberry Pi's, 16 is the customer's",
			b.keynum);
	if (b.version > BR_SIGNBLOCK_VERSION_MAX)
		return br_error_set(err, EBADMSG, "signature block with version %u: 0 to %d are possible", b.version,
			BR_SIGNBLOCK_VERSION_MAX);
	memcpy(b.rsa, rsa, sizeof(b.rsa));
	memcpy(b.pub.bytes, pub, sizeof(b.pub.bytes));
	e = br_rsapub_check(&b.pub, err);
	if (e < 0) {
		br_error_prefix(err, "signature block of key number %u", b.keynum);
		return -EBADMSG;
	}
	*ret = b;
	return 0;
}

int br_signblock_verify(const uint8_t *data, size_t len, const struct br_signblock *block)
{
	uint8_t sha256[32];

	if (len < BR_SIGNBLOCK_BYTES)
		return -EBADMSG;
	br_sha256_once(data, len - BR_SIGNBLOCK_BYTES + HEAD, sha256);
	return br_rsapub_verify(&block->pub, sha256, block->rsa) < 0 ? -EBADMSG : 0;
}

/* SHA-256 of the 264 bytes of Raspberry Pi's key number 0: the same in bootcode and bootsys of all stock images since 2024. */
static const uint8_t vendor_key_0[32] = {
	0xe3, 0x34, 0x54, 0x47, 0x54, 0x9b, 0xda, 0x1f, 0x54, 0x16, 0xa4, 0x79, 0x26, 0x4b, 0xe5, 0x93,
	0xd6, 0x0f, 0x52, 0x7c, 0x70, 0xd6, 0x66, 0xd1, 0x0e, 0xad, 0x90, 0x8f, 0xd0, 0x27, 0xfd, 0x27,
};

static enum br_signblock_by made_by(const struct br_signblock *vendor)
{
	uint8_t hash[32];

	if (vendor->keynum)
		return BR_SIGNBLOCK_BY_UNKNOWN;
	br_rsapub_hash(&vendor->pub, hash);
	return memcmp(hash, vendor_key_0, sizeof(hash)) == 0 ? BR_SIGNBLOCK_BY_VENDOR : BR_SIGNBLOCK_BY_OTHER;
}

const char *br_signblocks_vendor_fault(const struct br_signblocks *b)
{
	if (!b->has_vendor)
		return "has no signature of Raspberry Pi's at its end";
	if (!b->vendor_valid)
		return "is damaged or was changed: Raspberry Pi's signature at its end does not fit";
	return b->vendor_by == BR_SIGNBLOCK_BY_OTHER ? "is signed with another key than Raspberry Pi's" : NULL;
}

int br_signblocks_read(const uint8_t *data, size_t len, struct br_signblocks *ret, struct br_error *err)
{
	struct br_signblocks b = { .code = len };
	struct br_signblock last;
	int r = br_signblock_parse(data, len, &last, err);

	if (!r && last.keynum == BR_SIGNBLOCK_CUSTOMER) {
		b.customer = last;
		b.has_customer = true;
		b.customer_valid = !br_signblock_verify(data, len, &last);
		b.code -= BR_SIGNBLOCK_BYTES;
		r = br_signblock_parse(data, b.code, &last, err);
	}
	if (!r && last.keynum == BR_SIGNBLOCK_CUSTOMER)
		return br_error_set(err, EBADMSG, "two signature blocks of a customer, one behind the other");
	if (!r) {
		b.vendor = last;
		b.has_vendor = true;
		b.vendor_valid = !br_signblock_verify(data, b.code, &last);
		b.vendor_by = made_by(&last);
		b.code -= BR_SIGNBLOCK_BYTES;
	}
	if (r < 0 && r != -ENODATA)
		return r;
	*ret = b;
	return 0;
}

/* How much of data is signed anew: all but an old customer's block. */
static int check(const uint8_t *data, size_t len, unsigned version, size_t *ret, struct br_error *err)
{
	struct br_signblocks b;
	int r = br_signblocks_read(data, len, &b, err);

	if (r < 0)
		return r;
	if (!b.has_vendor)
		return br_error_set(err, ENODATA, "Raspberry Pi's own signature block is missing: the ROM would refuse it. Only boot "
			"code for BCM2712 (bootcode5.bin, recovery.bin, an EEPROM image for Pi 5, CM5) can be counter-signed");
	if (!b.vendor_valid)
		return br_error_set(err, EBADMSG, "Raspberry Pi's own signature is not valid: the file is damaged or was changed");
	if (b.vendor_by == BR_SIGNBLOCK_BY_OTHER)
		return br_error_set(err, EBADMSG, "the signature that should be Raspberry Pi's was made with another key: the ROM would refuse it");
	if (version > BR_SIGNBLOCK_VERSION_MAX)
		return br_error_set(err, ERANGE, "version %u: 0 to %d are possible", version, BR_SIGNBLOCK_VERSION_MAX);
	*ret = b.code + BR_SIGNBLOCK_BYTES;
	if (*ret + BR_SIGNBLOCK_BYTES > BR_BOOTCODE_MAX)
		return br_error_set(err, EFBIG, "%zu bytes with the signature; the ROM loads %u at most", *ret + BR_SIGNBLOCK_BYTES,
			BR_BOOTCODE_MAX);
	return 0;
}

int br_countersign(const uint8_t *data, size_t len, struct br_rsakey *key, unsigned version, uint8_t **ret, size_t *ret_len,
	struct br_error *err)
{
	uint8_t sha256[32], *out, *p;
	struct iovec whole;
	size_t n;
	int r = check(data, len, version, &n, err);

	if (r < 0)
		return r;
	out = malloc(n + BR_SIGNBLOCK_BYTES);
	if (!out)
		return br_error_set(err, ENOMEM, "out of memory");
	memcpy(out, data, n);
	p = out + n;
	br_store_le32(p, (uint32_t)n);
	br_store_le32(p + 4, BR_SIGNBLOCK_CUSTOMER);
	br_store_le32(p + 8, version);
	whole = (struct iovec){ out, n + HEAD };
	r = br_rsakey_sign(key, &whole, 1, sha256, p + HEAD, err);
	if (r < 0) {
		free(out);
		return r;
	}
	memcpy(p + HEAD + BR_RSA_BYTES, br_rsakey_public(key)->bytes, BR_RSAPUB_BYTES);
	*ret = out;
	*ret_len = n + BR_SIGNBLOCK_BYTES;
	return 0;
}

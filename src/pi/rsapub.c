/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys in the form that boards hold. */
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/text.h"
#include "pi/rsakey.h"

int br_rsapub_check(const struct br_rsapub *pub, struct br_error *err)
{
	uint64_t e = br_load_le64(pub->bytes + BR_RSA_BYTES);

	if (!(pub->bytes[BR_RSA_BYTES - 1] & 0x80) || !(pub->bytes[0] & 1))
		return br_error_set(err, EINVAL, "no RSA-2048 key: its modulus is not an odd number of 2048 bits");
	if (e < 3 || !(e & 1))
		return br_error_set(err, EINVAL, "no RSA key: its exponent %llu is not an odd number above 1", (unsigned long long)e);
	return 0;
}

void br_rsapub_hash(const struct br_rsapub *pub, uint8_t out[static 32])
{
	br_sha256_once(pub->bytes, sizeof(pub->bytes), out);
}

int br_rsapub_read(const char *path, struct br_rsapub *ret, struct br_error *err)
{
	const struct br_rsakey_options opt = { .key = path, .ask = true };
	struct br_rsakey *key;
	int r = br_rsakey_open(&opt, &key, err);

	if (r < 0)
		return r;
	*ret = *br_rsakey_public(key);
	br_rsakey_free(key);
	return 0;
}

/* NULL: no key (or no memory). */
static EVP_PKEY *to_pkey(const struct br_rsapub *pub)
{
	BIGNUM *n = BN_lebin2bn(pub->bytes, BR_RSA_BYTES, NULL);
	BIGNUM *e = BN_lebin2bn(pub->bytes + BR_RSA_BYTES, 8, NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM *params = NULL;
	EVP_PKEY *pkey = NULL;

	if (!br_rsapub_check(pub, NULL) && n && e && build && c && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) &&
		OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e))
		params = OSSL_PARAM_BLD_to_param(build);
	if (params && EVP_PKEY_fromdata_init(c) > 0 && EVP_PKEY_fromdata(c, &pkey, EVP_PKEY_PUBLIC_KEY, params) <= 0)
		pkey = NULL;
	OSSL_PARAM_free(params);
	EVP_PKEY_CTX_free(c);
	OSSL_PARAM_BLD_free(build);
	BN_free(n);
	BN_free(e);
	ERR_clear_error();
	return pkey;
}

int br_rsapub_der_hash(const struct br_rsapub *pub, uint8_t out[static 32])
{
	EVP_PKEY *pkey = to_pkey(pub);
	unsigned char *der = NULL;
	int n = pkey ? i2d_PUBKEY(pkey, &der) : 0;

	if (n > 0)
		br_sha256_once(der, (size_t)n, out);
	OPENSSL_free(der);
	EVP_PKEY_free(pkey);
	return n > 0 ? 0 : -EINVAL;
}

char *br_rsapub_pem(const struct br_rsapub *pub)
{
	EVP_PKEY *pkey = to_pkey(pub);
	BIO *bio = BIO_new(BIO_s_mem());
	char *text, *pem = NULL;

	if (pkey && bio && PEM_write_bio_PUBKEY(bio, pkey)) {
		long n = BIO_get_mem_data(bio, &text);

		pem = n > 0 ? br_asprintf("%.*s", (int)n, text) : NULL;
	}
	BIO_free(bio);
	EVP_PKEY_free(pkey);
	return pem;
}

int br_rsapub_verify(const struct br_rsapub *pub, const uint8_t sha256[static 32], const uint8_t sig[static BR_RSA_BYTES])
{
	EVP_PKEY *pkey = to_pkey(pub);
	EVP_PKEY_CTX *c = pkey ? EVP_PKEY_CTX_new(pkey, NULL) : NULL;
	int r = pkey ? -EBADMSG : -EINVAL;

	if (c && EVP_PKEY_verify_init(c) > 0 && EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) > 0 &&
		EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()) > 0 && EVP_PKEY_verify(c, sig, BR_RSA_BYTES, sha256, 32) == 1)
		r = 0;
	EVP_PKEY_CTX_free(c);
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	return r;
}

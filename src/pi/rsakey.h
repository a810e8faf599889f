/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/error.h"
#include "pi/sigfile.h"

/*
 * Customer keys of signed boot. The boot ROMs know RSA-2048 and nothing else, so that is all a key can be here.
 * Facts: systems notes c.10, d.3.
 */

/* The public half as boards hold it: modulus (256 bytes) and exponent (8), both little-endian; pubkey.bin. */
#define BR_RSAPUB_BYTES 264
struct br_rsapub {
	uint8_t bytes[BR_RSAPUB_BYTES];
};

/* Whether the bytes are an RSA-2048 key: a modulus of 2048 bits, odd; an odd exponent above 1. -EINVAL with words. */
int br_rsapub_check(const struct br_rsapub *pub, struct br_error *err);
/* A PEM file (public or private, RSA-2048), or pubkey.bin itself. */
int br_rsapub_read(const char *path, struct br_rsapub *ret, struct br_error *err);
/* What is burnt into OTP: SHA-256 of the 264 bytes. */
void br_rsapub_hash(const struct br_rsapub *pub, uint8_t out[static 32]);
/* SHA-256 of the key's DER form (SubjectPublicKeyInfo), as 'openssl pkey -pubin -outform der' and other tools show it; not
 * what is burnt. -EINVAL: no key. */
int br_rsapub_der_hash(const struct br_rsapub *pub, uint8_t out[static 32]);
/* "-----BEGIN PUBLIC KEY-----...": free(); NULL: no key, no memory. */
char *br_rsapub_pem(const struct br_rsapub *pub);
/* PKCS#1 v1.5 over a SHA-256. -EBADMSG: not signed by this key; -EINVAL: the bytes are no RSA-2048 key. */
int br_rsapub_verify(const struct br_rsapub *pub, const uint8_t sha256[static 32], const uint8_t sig[static BR_RSA_BYTES]);

struct br_rsakey_options {
	/* A PEM file, "pkcs11:..." (the private key in a token, by OpenSSL's pkcs11 provider or engine); with a wrapper: the
	 * file of the public key. */
	const char *key;
	/* A program that signs: called as 'WRAPPER -a rsa2048-sha256 FILE', prints the signature in hexadecimal. NULL: none */
	const char *wrapper;
	const char *passphrase_file; /* its first line opens an encrypted key, or is a token's PIN; NULL: none */
	bool ask;		     /* else it may be asked for on the terminal */
};

/* -EINVAL with words: no key that boards take (EC, 1024 bits ...); -ENOKEY: encrypted, and nothing to open it with;
 * -EACCES: the passphrase is wrong. */
struct br_rsakey;
int br_rsakey_open(const struct br_rsakey_options *opt, struct br_rsakey **ret, struct br_error *err);
void br_rsakey_free(struct br_rsakey *key);
const struct br_rsapub *br_rsakey_public(const struct br_rsakey *key);
/* Whether the private half is there; else br_rsakey_sign() says so in words (-ENOKEY). */
bool br_rsakey_can_sign(const struct br_rsakey *key);

/* Hashes the parts as one file and signs. Every signature is checked with the public key before it is given out: a wrapper
 * or token with another key is -EKEYREJECTED. */
int br_rsakey_sign(struct br_rsakey *key, const struct iovec *parts, size_t n, uint8_t ret_sha256[static 32],
	uint8_t ret_sig[static BR_RSA_BYTES], struct br_error *err);
/* Fills in hash and signature of a .sig file; time and SoC stay the caller's. */
int br_rsakey_sign_file(struct br_rsakey *key, const struct iovec *parts, size_t n, struct br_sigfile *sig, struct br_error *err);

/* Whether a file holds a private key, locked or not, of whatever kind (one of another type than RSA counts in any form): what no output may be written over. */
bool br_rsakey_is_private(const char *path);
/* A new RSA-2048 key as PEM (PKCS#8), mode 0600: whole and on stable storage, or not there. Never writes over a file: -EEXIST. passphrase_file: encrypts it; may be NULL. */
int br_rsakey_new(const char *path, const char *passphrase_file, struct br_error *err);

/*
 * Keys by name: "NAME" is DIR/NAME.pem of the key directory; what has a '/', ends in .pem, .der or .bin or begins with
 * "pkcs11:" is itself. *ret: free().
 */
bool br_rsakey_is_file(const char *name); /* "itself" */
int br_rsakey_resolve(const char *dir, const char *name, char **ret, struct br_error *err);
/* Whether a name may be one in the key directory: letters, digits, '.', '_', '-', 1 to 64, not beginning with '.' or '-'. */
bool br_rsakey_name_ok(const char *name);

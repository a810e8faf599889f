/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenSSH key files ("openssh-key-v1", PROTOCOL.key of OpenSSH; RFC 4253 strings): made here so that
 * a board's host key is a function of its seed and is known before the board ever booted.
 */
#include "plan/sshkey.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/text.h"

#define KEY_TYPE "ssh-ed25519"

static void put_string(struct br_writer *w, const void *data, size_t n)
{
	br_put_be32(w, (uint32_t)n);
	br_put_bytes(w, data, n);
}

static void put_text(struct br_writer *w, const char *s)
{
	put_string(w, s, strlen(s));
}

static char *base64(const uint8_t *data, size_t n)
{
	char *out = malloc((n + 2) / 3 * 4 + 1);

	if (out)
		EVP_EncodeBlock((unsigned char *)out, data, (int)n);
	return out;
}

static int public_from_seed(const uint8_t seed[static 32], uint8_t out[static 32])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	size_t n = 32;
	int ok = key && EVP_PKEY_get_raw_public_key(key, out, &n) == 1 && n == 32;

	EVP_PKEY_free(key);
	return ok ? 0 : -EIO;
}

/* The part that a passphrase would encrypt: two equal check words, the key, padding 1 2 3 ... to 8. */
static void put_private_part(struct br_writer *w, const uint8_t *seed, const uint8_t *pub, const char *comment)
{
	uint8_t check[32], both[64];
	uint8_t pad = 1;

	br_sha256_once(pub, 32, check); /* any number does; this one is the same each time */
	br_put_bytes(w, check, 4);
	br_put_bytes(w, check, 4);
	put_text(w, KEY_TYPE);
	put_string(w, pub, 32);
	memcpy(both, seed, 32);
	memcpy(both + 32, pub, 32);
	put_string(w, both, 64);
	put_text(w, comment);
	while (w->len % 8 && !w->failed)
		br_put_u8(w, pad++);
}

static char *armour(const uint8_t *data, size_t n)
{
	br_cleanup(br_freep) char *b64 = base64(data, n);
	struct br_text t = BR_TEXT_NULL;

	if (!b64)
		return NULL;
	br_text_add(&t, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
	for (size_t i = 0, len = strlen(b64); i < len; i += 70)
		br_text_addf(&t, "%.70s\n", b64 + i);
	br_text_add(&t, "-----END OPENSSH PRIVATE KEY-----\n");
	return br_text_take(&t);
}

int br_ssh_host_key(const uint8_t seed[static 32], const char *comment, char **ret_private, char **ret_public)
{
	uint8_t pub[32], blob[64], inner[512], file[1024];
	struct br_writer b = br_writer_of(blob, sizeof(blob));
	struct br_writer in = br_writer_of(inner, sizeof(inner));
	struct br_writer f = br_writer_of(file, sizeof(file));
	br_cleanup(br_freep) char *b64 = NULL;
	br_cleanup(br_freep) char *private = NULL;
	char *public;
	int r = public_from_seed(seed, pub);

	if (r < 0)
		return r;
	put_text(&b, KEY_TYPE);
	put_string(&b, pub, 32);
	put_private_part(&in, seed, pub, comment);
	br_put_bytes(&f, "openssh-key-v1", 15); /* with its NUL */
	put_text(&f, "none");			/* cipher */
	put_text(&f, "none");			/* kdf */
	put_text(&f, "");			/* kdf options */
	br_put_be32(&f, 1);			/* keys */
	put_string(&f, blob, b.len);
	put_string(&f, inner, in.len);
	if (in.failed || f.failed)
		return -EIO; /* a comment of over 300 bytes */
	b64 = base64(blob, b.len);
	private = armour(file, f.len);
	public = b64 ? br_asprintf(KEY_TYPE " %s %s\n", b64, comment) : NULL;
	if (!private || !public) {
		free(public);
		return -ENOMEM;
	}
	*ret_private = br_take(private);
	*ret_public = public;
	return 0;
}

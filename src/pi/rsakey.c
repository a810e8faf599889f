/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in files, and what is done with them. Tokens: rsakey_token.c, wrappers: rsakey_wrapper.c, public keys: rsapub.c. */
#include "pi/rsakey.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "pi/rsakey_private.h"

#define KEY_MAX 65536 /* bytes of a key file */

struct br_rsakey {
	EVP_PKEY *pkey;
	struct br_rsapub pub;
	bool can_sign;
	char *wrapper; /* NULL: pkey signs */
	struct br_rsakey_token *token;
};

int br_rsakey_first_line(const char *path, char *ret, size_t size, struct br_error *err)
{
	br_cleanup(br_freep) char *text = NULL;
	size_t len;
	int r = br_file_read(path, 4096, &text, &len, err);

	if (r < 0)
		return r;
	text[strcspn(text, "\r\n")] = 0;
	r = text[0] ? br_strcpy(ret, size, text) : -ENODATA;
	OPENSSL_cleanse(text, len);
	return r < 0 ? br_error_set(err, EINVAL, "%s: its first line is no passphrase (empty, or over %zu letters)", path, size - 1)
		     : 0;
}

int br_rsakey_ask(const struct br_rsakey_options *opt, const char *what, char *ret, size_t size, struct br_error *err)
{
	char prompt[300];

	if (opt->passphrase_file)
		return br_rsakey_first_line(opt->passphrase_file, ret, size, err);
	if (!opt->ask || !isatty(STDIN_FILENO))
		return br_error_set(err, ENOKEY, "%s: a passphrase is needed, and there is no terminal to ask on; give "
			"--passphrase-file", opt->key);
	snprintf(prompt, sizeof(prompt), "%s for %.200s: ", what, opt->key);
	if (EVP_read_pw_string(ret, (int)size, prompt, 0))
		return br_error_set(err, ENOKEY, "%s: no passphrase was given", opt->key);
	return 0;
}

struct asking {
	const struct br_rsakey_options *opt;
	struct br_error err;
	int r; /* 0: never asked, 1: asked and got one */
};

static int passphrase(char *buf, size_t size, size_t *ret_len, const OSSL_PARAM params[], void *ctx)
{
	struct asking *a = ctx;
	char word[256];

	if (a->r < 0)
		return 0;
	if (!a->r || !a->opt->passphrase_file) /* OpenSSL may ask once for every form it tries */
		a->r = br_rsakey_ask(a->opt, "Passphrase", word, sizeof(word), &a->err);
	else
		a->r = br_rsakey_first_line(a->opt->passphrase_file, word, sizeof(word), &a->err);
	if (a->r < 0)
		return 0;
	a->r = 1;
	*ret_len = strnlen(word, size < sizeof(word) ? size : sizeof(word));
	memcpy(buf, word, *ret_len);
	OPENSSL_cleanse(word, sizeof(word));
	return 1;
}

int br_rsakey_take_public(EVP_PKEY *pkey, const char *name, struct br_rsapub *ret, struct br_error *err)
{
	BIGNUM *n = NULL, *e = NULL;
	const char *type = EVP_PKEY_get0_type_name(pkey);
	int bits = EVP_PKEY_get_bits(pkey), r;

	if (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_RSA)
		return br_error_set(err, EINVAL, "%s: the key is of type %s; the boot ROMs take RSA-2048 only: make one with "
			"'bramble sign key new'", name, type ?: "unknown");
	if (bits != 2048)
		return br_error_set(err, EINVAL, "%s: an RSA key of %d bits; the boot ROMs take RSA-2048 only: make one with "
			"'bramble sign key new'", name, bits);
	if (!EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) || !EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) ||
		BN_bn2lebinpad(n, ret->bytes, BR_RSA_BYTES) < 0 || BN_bn2lebinpad(e, ret->bytes + BR_RSA_BYTES, 8) < 0)
		r = br_error_set(err, EINVAL, "%s: its exponent does not fit into the 8 bytes that boards have for it", name);
	else
		r = br_rsapub_check(ret, err) < 0 ? br_error_prefix(err, "%s", name) : 0;
	BN_free(n);
	BN_free(e);
	return r;
}

static bool has_private(EVP_PKEY *pkey)
{
	BIGNUM *d = NULL;
	bool has = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_D, &d);

	BN_clear_free(d);
	return has;
}

static bool says(const char *text, size_t len, const char *what)
{
	return memmem(text, len, what, strlen(what));
}

static int not_a_key(const struct br_rsakey_options *opt, const char *text, size_t len, struct br_error *err)
{
	if (says(text, len, "BEGIN CERTIFICATE"))
		return br_error_set(err, EINVAL, "%s: a certificate; its key is needed", opt->key);
	if (says(text, len, "BEGIN OPENSSH PRIVATE KEY"))
		return br_error_set(err, EINVAL, "%s: a key of OpenSSH's form; ssh-keygen -p -m PEM rewrites RSA keys", opt->key);
	if (says(text, len, "BEGIN EC PARAMETERS"))
		return br_error_set(err, EINVAL, "%s: an EC key; the boot ROMs take RSA-2048 only", opt->key);
	return br_error_set(err, EINVAL, "%s: no key is in it; a PEM file with a private or public RSA-2048 key is needed", opt->key);
}

/* Whatever key the text holds; its kind is the caller's to judge. */
static int decode(const struct br_rsakey_options *opt, const char *text, size_t len, EVP_PKEY **ret, struct br_error *err)
{
	struct asking a = { .opt = opt };
	const uint8_t *p = (const uint8_t *)text;
	OSSL_DECODER_CTX *d = OSSL_DECODER_CTX_new_for_pkey(ret, NULL, NULL, NULL, 0, NULL, NULL);
	bool encrypted = says(text, len, "BEGIN ENCRYPTED") || says(text, len, "Proc-Type: 4,ENCRYPTED");
	bool ok;

	ok = d && OSSL_DECODER_CTX_set_passphrase_cb(d, passphrase, &a) && OSSL_DECODER_from_data(d, &p, &len) && *ret;
	OSSL_DECODER_CTX_free(d);
	ERR_clear_error();
	if (ok)
		return 0;
	if (a.r < 0) {
		if (err)
			*err = a.err;
		return a.r;
	}
	if (a.r || encrypted)
		return br_error_set(err, EACCES, "%s: the passphrase does not open it", opt->key);
	return 1;
}

static int load_file(struct br_rsakey *key, const struct br_rsakey_options *opt, struct br_error *err)
{
	br_cleanup(br_freep) char *text = NULL;
	size_t len;
	int r = br_file_read(opt->key, KEY_MAX, &text, &len, err);

	if (r < 0)
		return r;
	if (len == BR_RSAPUB_BYTES && !says(text, len, "BEGIN")) {
		memcpy(key->pub.bytes, text, len);
		r = br_rsapub_check(&key->pub, err);
		return r < 0 ? br_error_prefix(err, "%s", opt->key) : 0;
	}
	r = decode(opt, text, len, &key->pkey, err);
	if (r > 0)
		r = not_a_key(opt, text, len, err);
	OPENSSL_cleanse(text, len);
	if (r < 0)
		return r;
	r = br_rsakey_take_public(key->pkey, opt->key, &key->pub, err);
	key->can_sign = !r && has_private(key->pkey);
	return r;
}

static int load(struct br_rsakey *key, const struct br_rsakey_options *opt, struct br_error *err)
{
	int r;

	if (!br_str_starts(opt->key, "pkcs11:"))
		return load_file(key, opt, err);
	r = br_rsakey_token_open(opt, &key->token, &key->pkey, err);
	if (!r)
		r = br_rsakey_take_public(key->pkey, br_rsakey_token_shown(key->token), &key->pub, err);
	key->can_sign = !r;
	return r;
}

int br_rsakey_open(const struct br_rsakey_options *opt, struct br_rsakey **ret, struct br_error *err)
{
	struct br_rsakey *key = calloc(1, sizeof(*key));
	int r = key ? load(key, opt, err) : br_error_set(err, ENOMEM, "out of memory");

	if (!r && opt->wrapper) {
		key->wrapper = strdup(opt->wrapper);
		key->can_sign = true;
		if (!key->wrapper)
			r = br_error_set(err, ENOMEM, "out of memory");
	}
	if (r < 0)
		br_rsakey_free(key);
	else
		*ret = key;
	return r;
}

void br_rsakey_free(struct br_rsakey *key)
{
	if (!key)
		return;
	EVP_PKEY_free(key->pkey);
	br_rsakey_token_close(key->token);
	free(key->wrapper);
	free(key);
}

const struct br_rsapub *br_rsakey_public(const struct br_rsakey *key)
{
	return &key->pub;
}

bool br_rsakey_can_sign(const struct br_rsakey *key)
{
	return key->can_sign;
}

/* Signs a hash that was taken before: the same PKCS#1 v1.5 signature as over the file. */
static int sign_hash(EVP_PKEY *pkey, const uint8_t sha256[static 32], uint8_t sig[static BR_RSA_BYTES])
{
	EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(pkey, NULL);
	size_t len = BR_RSA_BYTES;
	bool ok = c && EVP_PKEY_sign_init(c) > 0 && EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_PADDING) > 0 &&
		  EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()) > 0 && EVP_PKEY_sign(c, sig, &len, sha256, 32) > 0 &&
		  len == BR_RSA_BYTES;

	EVP_PKEY_CTX_free(c);
	ERR_clear_error();
	return ok ? 0 : -EIO;
}

int br_rsakey_sign(struct br_rsakey *key, const struct iovec *parts, size_t n, uint8_t ret_sha256[static 32],
	uint8_t ret_sig[static BR_RSA_BYTES], struct br_error *err)
{
	struct br_sha256 *h = br_sha256_new();
	uint8_t sha256[32], sig[BR_RSA_BYTES];
	int r;

	if (!h)
		return br_error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++)
		br_sha256_add(h, parts[i].iov_base, parts[i].iov_len);
	br_sha256_end(h, sha256);
	if (!key->can_sign)
		return br_error_set(err, ENOKEY, "only the public key is there; signing needs the private one");
	if (key->token)
		br_rsakey_token_before_signing(key->token);
	r = key->wrapper ? br_rsakey_wrapper_sign(key->wrapper, parts, n, sig, err) : sign_hash(key->pkey, sha256, sig);
	if (r < 0 && key->wrapper)
		return r;
	if (r < 0)
		return key->token ? br_rsakey_token_why(key->token, err) : br_error_set(err, EIO, "signing failed in OpenSSL");
	if (br_rsapub_verify(&key->pub, sha256, sig) < 0)
		return br_error_set(err, EKEYREJECTED, "%s signed with another key than the public one given",
			key->wrapper ?: "the key's owner");
	memcpy(ret_sha256, sha256, sizeof(sha256));
	memcpy(ret_sig, sig, sizeof(sig));
	return 0;
}

int br_rsakey_sign_file(struct br_rsakey *key, const struct iovec *parts, size_t n, struct br_sigfile *sig, struct br_error *err)
{
	int r = br_rsakey_sign(key, parts, n, sig->sha256, sig->rsa, err);

	sig->has_rsa = sig->has_rsa || !r;
	return r;
}

bool br_rsakey_is_private(const char *path)
{
	struct br_rsakey_options opt = { .key = path };
	br_cleanup(br_freep) char *text = NULL;
	EVP_PKEY *pkey = NULL;
	size_t len;
	bool is;
	int r = br_file_read(path, KEY_MAX, &text, &len, NULL);

	if (r < 0)
		return false; /* larger than any key */
	is = says(text, len, "PRIVATE KEY");
	if (!is) {
		r = decode(&opt, text, len, &pkey, NULL); /* DER */
		is = r == -ENOKEY || (!r && (EVP_PKEY_get_base_id(pkey) != EVP_PKEY_RSA || has_private(pkey)));
		EVP_PKEY_free(pkey);
	}
	OPENSSL_cleanse(text, len);
	return is;
}

/* ---- new keys, names ---- */

static EVP_PKEY *generate(void)
{
	return EVP_RSA_gen(2048);
}

/* As PEM into a file that is there. */
static int write_new(int fd, const char *word)
{
	EVP_PKEY *pkey = generate();
	BIO *bio = BIO_new(BIO_s_secmem());
	char *pem = NULL;
	long len = 0;
	int r;

	if (pkey && bio && PEM_write_bio_PKCS8PrivateKey(bio, pkey, word[0] ? EVP_aes_256_cbc() : NULL, word[0] ? word : NULL,
		(int)strlen(word), NULL, NULL) > 0)
		len = BIO_get_mem_data(bio, &pem);
	r = len > 0 ? br_write_all(fd, pem, (size_t)len) : -EKEYREJECTED;
	BIO_free(bio);
	EVP_PKEY_free(pkey);
	return !r && fsync(fd) < 0 ? -errno : r;
}

/* A crash leaves a whole key under its name, or none: a piece of one would be kept for ever. */
static int put_in_place(const char *tmp, const char *path)
{
	const char *slash = strrchr(path, '/');
	br_cleanup(br_freep) char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");

	if (!dir)
		return -ENOMEM;
	/* what is there is never written over; not all file systems know links, or this rename */
	if (renameat2(AT_FDCWD, tmp, AT_FDCWD, path, RENAME_NOREPLACE) < 0 && (errno == EEXIST || link(tmp, path) < 0))
		return -errno;
	return br_sync_dir(dir);
}

int br_rsakey_new(const char *path, const char *passphrase_file, struct br_error *err)
{
	br_cleanup(br_freep) char *tmp = br_asprintf("%s.XXXXXX", path);
	br_cleanup(br_closep) int fd = -1;
	char word[256] = "";
	struct stat st;
	int r;

	if (!tmp)
		return br_error_set(err, ENOMEM, "out of memory");
	if (!lstat(path, &st))
		return br_error_set(err, EEXIST, "%s: exists; a key is never written over", path);
	r = passphrase_file ? br_rsakey_first_line(passphrase_file, word, sizeof(word), err) : 0;
	if (r < 0)
		return r;
	fd = mkostemp(tmp, O_CLOEXEC); /* mode 0600 */
	if (fd < 0) {
		r = br_error_set(err, errno, "%s: %m", path);
		OPENSSL_cleanse(word, sizeof(word));
		return r;
	}
	r = write_new(fd, word);
	OPENSSL_cleanse(word, sizeof(word));
	if (!r)
		r = put_in_place(tmp, path);
	unlink(tmp); /* gone when it was renamed */
	if (r == -EEXIST)
		return br_error_set(err, EEXIST, "%s: exists; a key is never written over", path);
	return r < 0 ? br_error_set(err, -r, "%s: %s", path, r == -EKEYREJECTED ? "OpenSSL could not make a key" : strerror(-r)) : 0;
}

bool br_rsakey_name_ok(const char *name)
{
	size_t n = strlen(name);

	if (!n || n > 64 || name[0] == '.' || name[0] == '-')
		return false;
	for (const char *s = name; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("._-", *s))
			return false;
	return true;
}

bool br_rsakey_is_file(const char *name)
{
	return br_str_starts(name, "pkcs11:") || strchr(name, '/') || br_str_ends(name, ".pem") || br_str_ends(name, ".der") ||
	       br_str_ends(name, ".bin");
}

int br_rsakey_resolve(const char *dir, const char *name, char **ret, struct br_error *err)
{
	bool itself = br_rsakey_is_file(name);
	char vis[100];

	if (!itself && !br_rsakey_name_ok(name))
		return br_error_set(err, EINVAL, "key '%s': neither a file nor a name of letters, digits, '.', '_' and '-'",
			br_vis(vis, sizeof(vis), name, strlen(name)));
	*ret = itself ? strdup(name) : br_asprintf("%s/%s.pem", dir, name);
	return *ret ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Private to src/pi/rsa*.c. */

#include <openssl/types.h>

#include "pi/rsakey.h"

/* The file's first line, without its end. */
int br_rsakey_first_line(const char *path, char *ret, size_t size, struct br_error *err);
/* The passphrase or PIN as the options allow to get it. -ENOKEY: it is not to be had. */
int br_rsakey_ask(const struct br_rsakey_options *opt, const char *what, char *ret, size_t size, struct br_error *err);
/* The public half of an OpenSSL key when boards take it; name for the words of errors. */
int br_rsakey_take_public(EVP_PKEY *pkey, const char *name, struct br_rsapub *ret, struct br_error *err);

/* A key in a token, by provider or engine: the key must be freed before the token is closed. */
struct br_rsakey_token;
int br_rsakey_token_open(const struct br_rsakey_options *opt, struct br_rsakey_token **ret, EVP_PKEY **ret_key,
	struct br_error *err);
void br_rsakey_token_close(struct br_rsakey_token *token);
/* What people may see of its URI: no PIN. */
const char *br_rsakey_token_shown(const struct br_rsakey_token *token);
/* Before each signature: one PIN may be given for it, to keys that want it so. */
void br_rsakey_token_before_signing(struct br_rsakey_token *token);
/* Why a signature failed, in words. */
int br_rsakey_token_why(struct br_rsakey_token *token, struct br_error *err);

/* The parts as one file to the program; what it says on stderr goes to ours. */
int br_rsakey_wrapper_sign(const char *wrapper, const struct iovec *parts, size_t n, uint8_t sig[static BR_RSA_BYTES],
	struct br_error *err);

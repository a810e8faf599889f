/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys in PKCS#11 tokens: through OpenSSL's pkcs11 provider where it is installed, else through the pkcs11 engine, which is
 * what Debian 12 has. Engines are deprecated in OpenSSL 3 and still the only way there.
 */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <errno.h>
#include <openssl/engine.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "pi/rsakey_private.h"

/* How PINs are come by. Lives as long as the token: libp11 keeps the pointer and asks again at each signature with keys that
 * want it so (CKA_ALWAYS_AUTHENTICATE). */
struct pin {
	struct br_rsakey_options opt; /* .key: what people may see of the URI */
	char *shown, *passphrase_file; /* opt's own copies */
	struct br_error err;
	int r; /* 0: not asked since the last thing that went well, 1: given, below: why not */
};

struct br_rsakey_token {
	OSSL_PROVIDER *provider, *standard;
	ENGINE *engine;
	UI_METHOD *ui;
	struct pin pin;
};

static int give_pin(UI *ui, UI_STRING *what)
{
	struct pin *pin = UI_get0_user_data(ui);
	char word[256];
	int type = UI_get_string_type(what);

	if (type != UIT_PROMPT && type != UIT_VERIFY)
		return 1;
	/* a PIN that was refused once must not be tried until the token locks itself */
	if (pin->r)
		return 0;
	pin->r = br_rsakey_ask(&pin->opt, "PIN", word, sizeof(word), &pin->err);
	if (pin->r < 0)
		return 0;
	pin->r = 1;
	UI_set_result(ui, what, word);
	OPENSSL_cleanse(word, sizeof(word));
	return 1;
}

static EVP_PKEY *load_by_store(struct br_rsakey_token *t, const char *uri)
{
	OSSL_STORE_CTX *store;
	EVP_PKEY *pkey = NULL;

	if (!OSSL_PROVIDER_available(NULL, "pkcs11")) {
		t->provider = OSSL_PROVIDER_try_load(NULL, "pkcs11", 1);
		t->standard = t->provider ? OSSL_PROVIDER_load(NULL, "default") : NULL;
	}
	if (!t->provider && !OSSL_PROVIDER_available(NULL, "pkcs11"))
		return NULL;
	store = OSSL_STORE_open(uri, t->ui, &t->pin, NULL, NULL);
	if (!store)
		return NULL;
	OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY);
	while (!pkey && !OSSL_STORE_eof(store)) {
		OSSL_STORE_INFO *info = OSSL_STORE_load(store);

		if (info && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
			pkey = OSSL_STORE_INFO_get1_PKEY(info);
		OSSL_STORE_INFO_free(info);
		if (!info && OSSL_STORE_error(store))
			break;
	}
	OSSL_STORE_close(store);
	return pkey;
}

/* Who is asked at signatures; at loading it is an argument. The engine outlives us in OpenSSL's list. */
static void set_asking(ENGINE *engine, UI_METHOD *ui, struct pin *pin)
{
	ENGINE_ctrl_cmd(engine, "SET_USER_INTERFACE", 0, ui, NULL, 1);
	ENGINE_ctrl_cmd(engine, "SET_CALLBACK_DATA", 0, pin, NULL, 1);
}

static EVP_PKEY *load_by_engine(struct br_rsakey_token *t, const char *uri)
{
	ENGINE_load_builtin_engines();
	t->engine = ENGINE_by_id("pkcs11");
	if (t->engine) /* else it prints URIs that it does not find, PINs in them and all */
		ENGINE_ctrl_cmd_string(t->engine, "QUIET", NULL, 1);
	if (t->engine && !ENGINE_init(t->engine)) {
		ENGINE_free(t->engine);
		t->engine = NULL;
	}
	if (!t->engine)
		return NULL;
	set_asking(t->engine, t->ui, &t->pin);
	return ENGINE_load_private_key(t->engine, uri, t->ui, &t->pin);
}

static int explain(const struct br_rsakey_token *t, struct br_error *err)
{
	const struct pin *pin = &t->pin;
	const char *uri = pin->shown;
	unsigned long e = ERR_peek_last_error();
	const char *why = e ? ERR_reason_error_string(e) : NULL;

	if (pin->r < 0) {
		if (err)
			*err = pin->err;
		return pin->r;
	}
	if (!t->provider && !t->engine)
		return br_error_set(err, ENOPKG, "%s: OpenSSL has neither the pkcs11 provider nor the pkcs11 engine; install "
			"libengine-pkcs11-openssl or pkcs11-provider", uri);
	return br_error_set(err, ENOKEY, "%s: the token gives no such private key%s%s; PKCS11_MODULE_PATH names the token's module",
		uri, why ? ": " : "", why ?: "");
}

/* PKCS#11 URIs may hold the PIN, and any letter of them as %xx (RFC 7512): everything behind the first '?', where only pin-source,
 * pin-value and the module's name can be, is left out, and so is an attribute of that name before it. */
static char *without_pin(const char *uri)
{
	size_t path = strcspn(uri, "?");
	struct br_text out = BR_TEXT_NULL;

	for (size_t at = 0; at < path;) {
		size_t n = strcspn(uri + at, ";?");
		size_t name = strcspn(uri + at, "=;?");
		bool secret = name < n && !strncmp(uri + at, "pin-", 4);

		br_text_add_bytes(&out, uri + at, secret ? name : n);
		br_text_add(&out, secret ? "=..." : "");
		at += n;
		if (at < path)
			br_text_add_bytes(&out, uri + at++, 1);
	}
	br_text_add(&out, uri[path] ? "?..." : "");
	return br_text_take(&out);
}

static struct br_rsakey_token *token_new(const struct br_rsakey_options *opt)
{
	struct br_rsakey_token *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->pin.shown = without_pin(opt->key);
	t->pin.passphrase_file = opt->passphrase_file ? strdup(opt->passphrase_file) : NULL;
	t->pin.opt = (struct br_rsakey_options){ .key = t->pin.shown, .passphrase_file = t->pin.passphrase_file, .ask = opt->ask };
	t->ui = UI_create_method("bramble PIN");
	if (t->pin.shown && (!opt->passphrase_file || t->pin.passphrase_file) && t->ui && !UI_method_set_reader(t->ui, give_pin))
		return t;
	br_rsakey_token_close(t);
	return NULL;
}

int br_rsakey_token_open(const struct br_rsakey_options *opt, struct br_rsakey_token **ret, EVP_PKEY **ret_key,
	struct br_error *err)
{
	struct br_rsakey_token *t = token_new(opt);
	EVP_PKEY *pkey = NULL;
	int r = 0;

	if (!t)
		return br_error_set(err, ENOMEM, "out of memory");
	ERR_clear_error();
	pkey = load_by_store(t, opt->key);
	if (!pkey && !t->provider && t->pin.r >= 0)
		pkey = load_by_engine(t, opt->key);
	if (!pkey)
		r = explain(t, err);
	ERR_clear_error();
	if (r < 0) {
		br_rsakey_token_close(t);
		return r;
	}
	*ret = t;
	*ret_key = pkey;
	return 0;
}

const char *br_rsakey_token_shown(const struct br_rsakey_token *t)
{
	return t->pin.shown;
}

/* The PIN was right: a key that wants one for each signature may have it once more. */
void br_rsakey_token_before_signing(struct br_rsakey_token *t)
{
	if (t->pin.r > 0)
		t->pin.r = 0;
}

int br_rsakey_token_why(struct br_rsakey_token *t, struct br_error *err)
{
	if (t->pin.r > 0) /* as above: not until the token locks itself */
		t->pin.r = br_error_set(&t->pin.err, EACCES, "%s: the token did not sign with the PIN that was given; it is not tried again",
			t->pin.shown);
	if (!t->pin.r)
		return br_error_set(err, EIO, "%s: signing failed in OpenSSL or the token", t->pin.shown);
	if (err)
		*err = t->pin.err;
	return t->pin.r;
}

void br_rsakey_token_close(struct br_rsakey_token *t)
{
	if (!t)
		return;
	if (t->engine) {
		set_asking(t->engine, NULL, NULL);
		ENGINE_finish(t->engine);
		ENGINE_free(t->engine);
	}
	if (t->standard)
		OSSL_PROVIDER_unload(t->standard);
	if (t->provider)
		OSSL_PROVIDER_unload(t->provider);
	UI_destroy_method(t->ui);
	free(t->pin.shown);
	free(t->pin.passphrase_file);
	free(t);
}

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

struct br_rsakey_token {
	OSSL_PROVIDER *provider, *standard;
	ENGINE *engine;
	UI_METHOD *ui;
};

struct pin {
	const struct br_rsakey_options *opt;
	struct br_error err;
	int r;
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
	pin->r = br_rsakey_ask(pin->opt, "PIN", word, sizeof(word), &pin->err);
	if (pin->r < 0)
		return 0;
	pin->r = 1;
	UI_set_result(ui, what, word);
	OPENSSL_cleanse(word, sizeof(word));
	return 1;
}

static EVP_PKEY *load_by_store(struct br_rsakey_token *t, const char *uri, struct pin *pin)
{
	OSSL_STORE_CTX *store;
	EVP_PKEY *pkey = NULL;

	if (!OSSL_PROVIDER_available(NULL, "pkcs11")) {
		t->provider = OSSL_PROVIDER_try_load(NULL, "pkcs11", 1);
		t->standard = t->provider ? OSSL_PROVIDER_load(NULL, "default") : NULL;
	}
	if (!t->provider && !OSSL_PROVIDER_available(NULL, "pkcs11"))
		return NULL;
	store = OSSL_STORE_open(uri, t->ui, pin, NULL, NULL);
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

static EVP_PKEY *load_by_engine(struct br_rsakey_token *t, const char *uri, struct pin *pin)
{
	ENGINE_load_builtin_engines();
	t->engine = ENGINE_by_id("pkcs11");
	if (t->engine && !ENGINE_init(t->engine)) {
		ENGINE_free(t->engine);
		t->engine = NULL;
	}
	return t->engine ? ENGINE_load_private_key(t->engine, uri, t->ui, pin) : NULL;
}

static int explain(const struct br_rsakey_token *t, const char *uri, const struct pin *pin, struct br_error *err)
{
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

/* The PIN does not belong into words for people. */
static char *without_pin(const char *uri)
{
	char *copy = strdup(uri);
	char *pin = copy ? strstr(copy, "pin-value=") : NULL;

	if (pin) {
		size_t n = strcspn(pin, ";&?");

		memmove(pin + 10, pin + n, strlen(pin + n) + 1);
	}
	return copy;
}

int br_rsakey_token_open(const struct br_rsakey_options *opt, struct br_rsakey_token **ret, EVP_PKEY **ret_key,
	struct br_error *err)
{
	br_cleanup(br_freep) char *shown = without_pin(opt->key);
	struct br_rsakey_options asked = *opt;
	struct pin pin = { .opt = &asked };
	struct br_rsakey_token *t = calloc(1, sizeof(*t));
	EVP_PKEY *pkey = NULL;
	int r = 0;

	asked.key = shown;
	if (t)
		t->ui = UI_create_method("bramble PIN");
	if (!t || !shown || !t->ui || UI_method_set_reader(t->ui, give_pin) < 0) {
		br_rsakey_token_close(t);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	ERR_clear_error();
	pkey = load_by_store(t, opt->key, &pin);
	if (!pkey && !t->provider && pin.r >= 0)
		pkey = load_by_engine(t, opt->key, &pin);
	if (!pkey)
		r = explain(t, shown, &pin, err);
	ERR_clear_error();
	if (r < 0) {
		br_rsakey_token_close(t);
		return r;
	}
	*ret = t;
	*ret_key = pkey;
	return 0;
}

void br_rsakey_token_close(struct br_rsakey_token *t)
{
	if (!t)
		return;
	if (t->engine) {
		ENGINE_finish(t->engine);
		ENGINE_free(t->engine);
	}
	if (t->standard)
		OSSL_PROVIDER_unload(t->standard);
	if (t->provider)
		OSSL_PROVIDER_unload(t->provider);
	UI_destroy_method(t->ui);
	free(t);
}

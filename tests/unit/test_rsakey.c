/* SPDX-License-Identifier: Apache-2.0 */
/* Keys that boards take and those they do not, signatures that openssl alone verifies, tokens, wrappers, counter-signatures. */
#include "test.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "pi/countersign.h"
#include "pi/rsakey.h"
#include "shell.h"
#include "testdata.h"

#define PUBLISHED "8251a63a2edee9d8f710d63e9da5d639064929ce15a2238986a189ac6fcd3cee"

/* In the scratch directory; valid until the next but three. */
static const char *at(const char *name)
{
	static char paths[4][512];
	static unsigned i;

	i = (i + 1) % 4;
	snprintf(paths[i], sizeof(paths[i]), "%s/%s", test_dir(), name);
	return paths[i];
}

static struct br_rsakey *open_key(const char *path)
{
	struct br_rsakey_options opt = { .key = path };
	struct br_error err = BR_ERROR_NULL;
	struct br_rsakey *key = NULL;

	assert_int_equal(br_rsakey_open(&opt, &key, &err), 0);
	return key;
}

static int make_keys(void **state)
{
	return test_sh("cd %s && { openssl genrsa -out a.pem 2048 && openssl genrsa -traditional -out trad.pem 2048 &&"
		" openssl rsa -in a.pem -pubout -out a-pub.pem && openssl rsa -in a.pem -RSAPublicKey_out -out a-pkcs1.pem &&"
		" openssl rsa -in a.pem -aes256 -passout pass:secret -out locked.pem && echo secret >word && echo wrong >bad-word &&"
		" openssl rsa -in a.pem -aes256 -traditional -passout pass:secret -out locked-trad.pem &&"
		" openssl rsa -in a.pem -outform der -out a.der && openssl genrsa -out 1024.pem 1024 && openssl genrsa -out 4096.pem 4096 &&"
		" openssl ecparam -name prime256v1 -genkey -out ec.pem && openssl genpkey -algorithm ed25519 -out ed.pem &&"
		" openssl genpkey -algorithm rsa-pss -pkeyopt rsa_keygen_bits:2048 -out pss.pem &&"
		" openssl req -x509 -key a.pem -subj /CN=x -out cert.pem && openssl genrsa -out wide.pem 2047 &&"
		" head -c 300 a.pem >cut.pem && echo nothing >text.pem; } 2>/dev/null", test_dir());
}

/* The value that Raspberry Pi publishes for its example key (systems notes d.3). */
static void published_hash(void **state)
{
	const char *path = test_data("example-public.pem");
	char hex[BR_SHA256_HEX];
	struct br_error err = BR_ERROR_NULL;
	struct br_rsapub pub;
	uint8_t hash[32];

	if (!path)
		skip();
	assert_int_equal(br_rsapub_read(path, &pub, &err), 0);
	br_rsapub_hash(&pub, hash);
	br_hex(hex, hash, sizeof(hash));
	assert_string_equal(hex, PUBLISHED);
}

static void forms(void **state)
{
	static const struct {
		const char *file;
		bool can_sign;
	} good[] = { { "a.pem", true }, { "a-pub.pem", false }, { "a-pkcs1.pem", false }, { "a.der", true } };
	struct br_rsakey *first = open_key(at("a.pem"));

	for (size_t i = 0; i < BR_ARRAY_SIZE(good); i++) {
		struct br_rsakey *key = open_key(at(good[i].file));

		assert_memory_equal(br_rsakey_public(key), br_rsakey_public(first), BR_RSAPUB_BYTES);
		assert_int_equal(br_rsakey_can_sign(key), good[i].can_sign);
		br_rsakey_free(key);
	}
	br_rsakey_free(open_key(at("trad.pem")));
	br_rsakey_free(first);
}

static void refused(void **state)
{
	static const struct {
		const char *file, *word_file;
		int r;
		const char *words;
	} bad[] = {
		{ "1024.pem", NULL, -EINVAL, "1024 bits" },
		{ "4096.pem", NULL, -EINVAL, "4096 bits" },
		{ "wide.pem", NULL, -EINVAL, "2047 bits" },
		{ "ec.pem", NULL, -EINVAL, "type EC" },
		{ "ed.pem", NULL, -EINVAL, "ED25519" },
		{ "pss.pem", NULL, -EINVAL, "RSA-PSS" },
		{ "cert.pem", NULL, -EINVAL, "certificate" },
		{ "cut.pem", NULL, -EINVAL, "no key" },
		{ "text.pem", NULL, -EINVAL, "no key" },
		{ "locked.pem", NULL, -ENOKEY, "--passphrase-file" },
		{ "locked.pem", "bad-word", -EACCES, "does not open" },
		{ "locked-trad.pem", "bad-word", -EACCES, "does not open" },
		{ "locked-trad.pem", NULL, -ENOKEY, "--passphrase-file" },
		{ "absent.pem", NULL, -ENOENT, "absent.pem" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(bad); i++) {
		struct br_rsakey_options opt = { .key = at(bad[i].file), .passphrase_file = bad[i].word_file ? at(bad[i].word_file) : NULL };
		struct br_error err = BR_ERROR_NULL;
		struct br_rsakey *key = NULL;
		int r = br_rsakey_open(&opt, &key, &err);

		if (r != bad[i].r || !strstr(err.text, bad[i].words))
			fail_msg("%s: %d, %s", bad[i].file, r, err.text);
		assert_null(key);
	}
}

static void locked(void **state)
{
	static const char *const files[] = { "locked.pem", "locked-trad.pem" };

	for (size_t i = 0; i < BR_ARRAY_SIZE(files); i++) {
		struct br_rsakey_options opt = { .key = at(files[i]), .passphrase_file = at("word") };
		struct br_error err = BR_ERROR_NULL;
		struct br_rsakey *key;

		if (br_rsakey_open(&opt, &key, &err) < 0)
			fail_msg("%s", err.text);
		assert_true(br_rsakey_can_sign(key));
		br_rsakey_free(key);
	}
}

/* pubkey.bin is the modulus and exponent of 'openssl rsa -text', turned round. */
static void public_half(void **state)
{
	struct br_rsakey *key = open_key(at("a.pem"));
	const struct br_rsapub *pub = br_rsakey_public(key);
	br_cleanup(br_freep) char *pem = br_rsapub_pem(pub);
	struct br_rsapub again, broken = *pub;
	struct br_error err = BR_ERROR_NULL;
	char hex[BR_SHA256_HEX];
	uint8_t hash[32];

	assert_int_equal(br_file_write(at("pub.bin"), pub->bytes, sizeof(pub->bytes), 0644, &err), 0);
	assert_int_equal(test_sh("cd %s && test $(openssl rsa -in a.pem -noout -modulus | cut -d= -f2 | tr A-F a-f) = "
		"$(head -c 256 pub.bin | od -An -v -tx1 -w1 | tac | tr -d ' \\n') && "
		"test $(tail -c 8 pub.bin | od -An -tx1 | tr -d ' ') = 0100010000000000", test_dir()), 0);
	assert_int_equal(br_file_write(at("pub.pem"), pem, strlen(pem), 0644, &err), 0);
	assert_int_equal(test_sh("cd %s && cmp pub.pem a-pub.pem", test_dir()), 0);
	assert_int_equal(br_rsapub_read(at("pub.bin"), &again, &err), 0);
	assert_memory_equal(&again, pub, sizeof(again));
	assert_int_equal(br_rsapub_der_hash(pub, hash), 0);
	br_hex(hex, hash, sizeof(hash));
	assert_int_equal(test_sh("cd %s && test $(openssl pkey -pubin -in a-pub.pem -outform der | sha256sum | cut -c1-64) = %s",
		test_dir(), hex), 0);
	broken.bytes[255] = 0x7f; /* 2047 bits */
	assert_int_equal(br_rsapub_check(&broken, &err), -EINVAL);
	assert_null(br_rsapub_pem(&broken));
	br_rsakey_free(key);
}

static void signs_as_openssl(void **state)
{
	struct br_rsakey *key = open_key(at("a.pem")), *other = open_key(at("trad.pem")), *half = open_key(at("a-pub.pem"));
	struct iovec parts[] = { { (void *)"boot", 4 }, { (void *)".img", 4 } };
	uint8_t sha256[32], sig[BR_RSA_BYTES];
	struct br_error err = BR_ERROR_NULL;

	assert_int_equal(br_rsakey_sign(key, parts, 2, sha256, sig, &err), 0);
	assert_int_equal(br_file_write(at("sig"), sig, sizeof(sig), 0644, &err), 0);
	assert_int_equal(test_sh("cd %s && printf boot.img >f && openssl dgst -sha256 -verify a-pub.pem -signature sig f >/dev/null && "
		"openssl dgst -sha256 -sign a.pem -out sig2 f && cmp sig sig2", test_dir()), 0);
	assert_int_equal(br_rsapub_verify(br_rsakey_public(key), sha256, sig), 0);
	assert_int_equal(br_rsapub_verify(br_rsakey_public(other), sha256, sig), -EBADMSG);
	sig[100] ^= 1;
	assert_int_equal(br_rsapub_verify(br_rsakey_public(key), sha256, sig), -EBADMSG);
	assert_int_equal(br_rsakey_sign(half, parts, 2, sha256, sig, &err), -ENOKEY);
	br_rsakey_free(key);
	br_rsakey_free(other);
	br_rsakey_free(half);
}

static void by_wrapper(void **state)
{
	static const struct {
		const char *script;
		int r;
		const char *words;
	} cases[] = {
		{ "test \"$1 $2\" = '-a rsa2048-sha256' && openssl dgst -sha256 -sign %s/a.pem \"$3\" | od -An -v -tx1", 0, "" },
		{ "openssl dgst -sha256 -sign %s/trad.pem \"$3\" | od -An -v -tx1", -EKEYREJECTED, "another key" },
		{ "echo not hexadecimal # %s", -EBADMSG, "512 hexadecimal" },
		{ "echo 00 # %s", -EBADMSG, "512 hexadecimal" },
		{ "yes 0 | head -c 5000 # %s", -EBADMSG, "512 hexadecimal" },
		{ "yes 0 | head -c 300000 # %s", -EBADMSG, "512 hexadecimal" }, /* more than a pipe holds */
		{ "exit 7 # %s", -EIO, "status 7" },
	};
	struct iovec part = { (void *)"data", 4 };

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_rsakey_options opt = { .key = at("a-pub.pem"), .wrapper = at("wrap") };
		uint8_t sha256[32], sig[BR_RSA_BYTES];
		struct br_error err = BR_ERROR_NULL;
		struct br_text script = BR_TEXT_NULL;
		const char *hole = strstr(cases[i].script, "%s");
		struct br_rsakey *key;
		int r;

		br_text_add(&script, "#!/bin/sh\n");
		br_text_add_bytes(&script, cases[i].script, (size_t)(hole - cases[i].script));
		br_text_addf(&script, "%s%s\n", test_dir(), hole + 2);
		assert_int_equal(br_file_write(at("wrap"), script.buf, script.len, 0755, &err), 0);
		br_text_done(&script);
		assert_int_equal(br_rsakey_open(&opt, &key, &err), 0);
		assert_true(br_rsakey_can_sign(key));
		r = br_rsakey_sign(key, &part, 1, sha256, sig, &err);
		if (r != cases[i].r || !strstr(err.text, cases[i].words))
			fail_msg("%s: %d, %s", cases[i].script, r, err.text);
		br_rsakey_free(key);
	}
}

#define MODULE "/usr/lib/softhsm/libsofthsm2.so"

/* A token with one key (with more of them libp11 loses memory at looking for one). All are made before the engine looks for
 * tokens, which it does once. */
static int token_with_key(const char *label, const char *options)
{
	return test_sh("{ softhsm2-util --init-token --free --label %s --pin 1234 --so-pin 1234 && pkcs11-tool --module %s --token-label %s "
		"--login --pin 1234 --keypairgen --id 01 --label %s %s; } >/dev/null 2>&1", label, MODULE, label, label, options);
}

/* SoftHSM through OpenSSL's engine or provider. */
static void by_token(void **state)
{
	const char *uri = "pkcs11:token=bramble;object=boot;type=private";
	struct br_rsakey_options opt = { .key = uri, .passphrase_file = at("pin") }, blind = { .key = uri };
	struct iovec part = { (void *)"data", 4 };
	uint8_t sha256[32], sig[BR_RSA_BYTES];
	struct br_error err = BR_ERROR_NULL;
	struct br_rsakey *key = NULL, *file = open_key(at("a.pem"));
	int r;

	test_needs("softhsm2-util");
	assert_int_equal(test_sh("cd %s && mkdir -p tokens && echo 'directories.tokendir = %s/tokens' >hsm.conf && echo 1234 >pin && "
		"export SOFTHSM2_CONF=%s/hsm.conf && openssl pkcs8 -topk8 -nocrypt -in a.pem -out a8.pem && "
		"softhsm2-util --init-token --free --label bramble --pin 1234 --so-pin 1234 >/dev/null && "
		"softhsm2-util --import a8.pem --token bramble --label boot --id 01 --pin 1234 >/dev/null", test_dir(), test_dir(),
		test_dir()), 0);
	setenv("SOFTHSM2_CONF", at("hsm.conf"), 1);
	if (!test_sh("command -v pkcs11-tool >/dev/null")) {
		assert_int_equal(token_with_key("always", "--key-type rsa:2048 --always-auth"), 0);
		assert_int_equal(token_with_key("short", "--key-type rsa:1024"), 0);
	}
	if (!access(MODULE, R_OK))
		setenv("PKCS11_MODULE_PATH", MODULE, 1);
	r = br_rsakey_open(&blind, &key, &err);
	if (r == -ENOPKG) {
		print_message("skipped: %s\n", err.text);
		br_rsakey_free(file);
		skip();
	}
	assert_int_equal(r, -ENOKEY);
	assert_non_null(strstr(err.text, "--passphrase-file"));
	r = br_rsakey_open(&opt, &key, &err);
	if (r < 0)
		fail_msg("%s", err.text);
	assert_memory_equal(br_rsakey_public(key), br_rsakey_public(file), BR_RSAPUB_BYTES);
	assert_int_equal(br_rsakey_sign(key, &part, 1, sha256, sig, &err), 0);
	assert_int_equal(br_rsapub_verify(br_rsakey_public(file), sha256, sig), 0);
	br_rsakey_free(key);
	opt.key = "pkcs11:token=bramble;object=absent;type=private";
	assert_int_equal(br_rsakey_open(&opt, &key, &err), -ENOKEY);
	br_rsakey_free(file);
}

static void make_key(struct br_rsakey **ret, const char *uri, const char *pin_file)
{
	br_cleanup(br_freep) char *key = strdup(uri), *word = strdup(pin_file);
	struct br_rsakey_options opt = { .key = key, .passphrase_file = word };
	struct br_error err = BR_ERROR_NULL;

	if (br_rsakey_open(&opt, ret, &err) < 0)
		fail_msg("%s", err.text);
	memset(key, 'x', strlen(key)); /* nobody may look at the caller's any more */
	memset(word, 'x', strlen(word));
}

/* Keys that want the PIN at every signature are asked for it long after br_rsakey_open() returned. */
static void by_token_with_pin_each_time(void **state)
{
	struct iovec part = { (void *)"data", 4 };
	uint8_t sha256[32], sig[BR_RSA_BYTES];
	struct br_error err = BR_ERROR_NULL;
	struct br_rsakey *key = NULL;

	test_needs("softhsm2-util");
	test_needs("pkcs11-tool");
	if (access(at("tokens"), F_OK) < 0 || access(MODULE, R_OK) < 0)
		skip(); /* by_token() said why */
	assert_int_equal(test_sh("cd %s && cp pin pin2", test_dir()), 0);
	make_key(&key, "pkcs11:token=always;object=always;type=private", at("pin2"));
	for (int i = 0; i < 3; i++) {
		if (br_rsakey_sign(key, &part, 1, sha256, sig, &err) < 0)
			fail_msg("signature %d: %s", i, err.text);
		assert_int_equal(br_rsapub_verify(br_rsakey_public(key), sha256, sig), 0);
	}
	assert_int_equal(test_sh("echo 9999 >%s", at("pin2")), 0); /* refused: once, then never tried again */
	assert_int_equal(br_rsakey_sign(key, &part, 1, sha256, sig, &err), -EACCES);
	assert_int_equal(test_sh("echo 1234 >%s", at("pin2")), 0);
	assert_int_equal(br_rsakey_sign(key, &part, 1, sha256, sig, &err), -EACCES);
	br_rsakey_free(key);
}

/* Opens what cannot be opened; 0 when the words have 'wanted' and no PIN in them. */
static int words_without_pin(const char *uri, const char *wanted)
{
	struct br_rsakey_options opt = { .key = uri };
	struct br_error err = BR_ERROR_NULL;
	struct br_rsakey *key = NULL;
	int r = br_rsakey_open(&opt, &key, &err);

	if (r < 0 && !strstr(err.text, "1234") && strstr(err.text, wanted))
		return 0;
	print_error("%s: %d, %s\n", uri, r, err.text);
	return 1;
}

/* URIs with the PIN in them: no message may show it. */
static void pin_is_never_shown(void **state)
{
	static const char *const uris[] = {
		"pkcs11:token=short;object=short;type=private?pin-value=1234",
		"pkcs11:token=short;object=short;type=private?module-name=x&pin-value=1234",
		"pkcs11:token=short;pin-value=1234;object=short;type=private",
		"pkcs11:token=short;object=absent;type=private?%70in-value=1234",
	};

	test_needs("softhsm2-util");
	test_needs("pkcs11-tool");
	if (access(at("tokens"), F_OK) < 0 || access(MODULE, R_OK) < 0)
		skip();
	for (size_t i = 0; i < BR_ARRAY_SIZE(uris); i++) {
		pid_t child = fork(); /* libp11 loses memory at such URIs */
		int status = 0;

		if (!child)
			_exit(words_without_pin(uris[i], i ? "object=" : "1024 bits"));
		assert_true(child > 0 && waitpid(child, &status, 0) == child);
		assert_int_equal(status, 0);
	}
}

/* What an output may be written over. */
static void private_files(void **state)
{
	static const struct {
		const char *file;
		bool is;
	} cases[] = {
		{ "a.pem", true }, { "trad.pem", true }, { "a.der", true }, { "locked.pem", true }, { "locked-trad.pem", true },
		{ "ec.pem", true }, { "cut.pem", true }, { "a-pub.pem", false }, { "cert.pem", false }, { "text.pem", false },
		{ "absent.pem", false },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++)
		if (br_rsakey_is_private(at(cases[i].file)) != cases[i].is)
			fail_msg("%s", cases[i].file);
}

static void new_keys(void **state)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_rsakey_options opt = { .key = at("new.pem") };
	struct br_rsakey *key;
	struct stat st;

	umask(0);
	assert_int_equal(br_rsakey_new(at("new.pem"), NULL, &err), 0);
	assert_int_equal(stat(at("new.pem"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(test_sh("openssl rsa -in %s -check -noout >/dev/null 2>&1", at("new.pem")), 0);
	assert_int_equal(br_rsakey_open(&opt, &key, &err), 0);
	br_rsakey_free(key);
	assert_int_equal(br_rsakey_new(at("new.pem"), NULL, &err), -EEXIST);
	assert_int_equal(symlink("absent", at("link.pem")), 0);
	assert_int_equal(br_rsakey_new(at("link.pem"), NULL, &err), -EEXIST);
	assert_int_equal(br_rsakey_new(at("sealed.pem"), at("word"), &err), 0);
	opt.key = at("sealed.pem");
	assert_int_equal(br_rsakey_open(&opt, &key, &err), -ENOKEY);
	opt.passphrase_file = at("word");
	assert_int_equal(br_rsakey_open(&opt, &key, &err), 0);
	br_rsakey_free(key);
	assert_int_equal(br_rsakey_new(at("no/such/dir.pem"), NULL, &err), -ENOENT);
	assert_int_not_equal(test_sh("ls %s | grep -q 'pem[.]'", test_dir()), 0); /* nothing half done is left */
}

static void names(void **state)
{
	static const char *const cases[][2] = {
		{ "lab", "/k/lab.pem" }, { "lab-2.b", "/k/lab-2.b.pem" }, { "./lab", "./lab" }, { "lab.pem", "lab.pem" },
		{ "pkcs11:object=x", "pkcs11:object=x" }, { "..", NULL }, { "", NULL }, { "a b", NULL }, { "-x", NULL },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_cleanup(br_freep) char *path = NULL;
		int r = br_rsakey_resolve("/k", cases[i][0], &path, NULL);

		assert_int_equal(r, cases[i][1] ? 0 : -EINVAL);
		if (cases[i][1])
			assert_string_equal(path, cases[i][1]);
	}
}

/* ---- counter-signatures ---- */

#define CODE 5000

/* A boot code with a block of the vendor's kind, signed by 'key'. */
static size_t vendor_code(struct br_rsakey *key, uint32_t keynum, uint32_t version, uint8_t *out)
{
	struct iovec whole = { out, CODE + 12 };
	uint8_t sha256[32];

	for (size_t i = 0; i < CODE; i++)
		out[i] = (uint8_t)(i * 7);
	br_store_le32(out + CODE, CODE);
	br_store_le32(out + CODE + 4, keynum);
	br_store_le32(out + CODE + 8, version);
	assert_int_equal(br_rsakey_sign(key, &whole, 1, sha256, out + CODE + 12, NULL), 0);
	memcpy(out + CODE + 12 + BR_RSA_BYTES, br_rsakey_public(key), BR_RSAPUB_BYTES);
	return CODE + BR_SIGNBLOCK_BYTES;
}

static void countersigns(void **state)
{
	struct br_rsakey *vendor = open_key(at("trad.pem")), *customer = open_key(at("a.pem"));
	static uint8_t code[CODE + BR_SIGNBLOCK_BYTES];
	size_t len = vendor_code(vendor, 1, 1, code), n, n2;
	br_cleanup(br_freep) uint8_t *out = NULL, *again = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_signblocks blocks;

	assert_int_equal(br_countersign(code, len, customer, 3, &out, &n, &err), 0);
	assert_int_equal(n, len + BR_SIGNBLOCK_BYTES);
	assert_memory_equal(out, code, len);
	assert_int_equal(br_load_le32(out + len), len);
	assert_int_equal(br_load_le32(out + len + 4), 16);
	assert_int_equal(br_load_le32(out + len + 8), 3);
	/* openssl alone */
	assert_int_equal(br_file_write(at("signed"), out, len + 12, 0644, &err), 0);
	assert_int_equal(br_file_write(at("block.sig"), out + len + 12, 256, 0644, &err), 0);
	assert_int_equal(test_sh("cd %s && openssl dgst -sha256 -verify a-pub.pem -signature block.sig signed >/dev/null", test_dir()), 0);
	assert_int_equal(br_signblocks_read(out, n, &blocks, &err), 0);
	assert_true(blocks.has_vendor && blocks.vendor_valid && blocks.has_customer && blocks.customer_valid);
	assert_true(blocks.vendor_by == BR_SIGNBLOCK_BY_UNKNOWN && !br_signblocks_vendor_fault(&blocks));
	assert_int_equal(blocks.code, CODE);
	/* signed again: the old block is replaced, not signed over */
	assert_int_equal(br_countersign(out, n, customer, 3, &again, &n2, &err), 0);
	assert_int_equal(n2, n);
	assert_memory_equal(again, out, n);
	out[17] ^= 1;
	assert_int_equal(br_signblocks_read(out, n, &blocks, &err), 0);
	assert_false(blocks.vendor_valid || blocks.customer_valid);
	br_rsakey_free(vendor);
	br_rsakey_free(customer);
}

static void countersign_refuses(void **state)
{
	struct br_rsakey *vendor = open_key(at("trad.pem")), *customer = open_key(at("a.pem"));
	static uint8_t code[BR_BOOTCODE_MAX];
	br_cleanup(br_freep) uint8_t *out = NULL;
	struct br_error err = BR_ERROR_NULL;
	size_t len = vendor_code(vendor, 1, 1, code), n;

	assert_int_equal(br_countersign(code, CODE, customer, 0, &out, &n, &err), -ENODATA);
	assert_non_null(strstr(err.text, "missing"));
	assert_int_equal(br_countersign(code, 3, customer, 0, &out, &n, &err), -ENODATA);
	assert_int_equal(br_countersign(code, len, customer, 33, &out, &n, &err), -ERANGE);
	code[5] ^= 1;
	assert_int_equal(br_countersign(code, len, customer, 0, &out, &n, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "damaged"));
	/* whole and valid, under the number of a key of Raspberry Pi's that is known, by somebody else */
	len = vendor_code(vendor, 0, 1, code);
	assert_int_equal(br_countersign(code, len, customer, 0, &out, &n, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "another key"));
	len = vendor_code(vendor, 5, 1, code);
	assert_int_equal(br_countersign(code, len, customer, 0, &out, &n, &err), -EBADMSG);
	len = vendor_code(vendor, 4, 33, code);
	assert_int_equal(br_countersign(code, len, customer, 0, &out, &n, &err), -EBADMSG);
	len = vendor_code(vendor, 16, 1, code);
	assert_int_equal(br_countersign(code, len, customer, 0, &out, &n, &err), -ENODATA);
	assert_null(out);
	br_rsakey_free(vendor);
	br_rsakey_free(customer);
}

static int clean(void **state)
{
	return br_remove_tree(test_dir(), NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_hash), cmocka_unit_test(forms), cmocka_unit_test(refused), cmocka_unit_test(locked),
		cmocka_unit_test(public_half), cmocka_unit_test(signs_as_openssl), cmocka_unit_test(by_wrapper),
		cmocka_unit_test(by_token), cmocka_unit_test(pin_is_never_shown), cmocka_unit_test(by_token_with_pin_each_time),
		cmocka_unit_test(private_files), cmocka_unit_test(new_keys), cmocka_unit_test(names), cmocka_unit_test(countersigns),
		cmocka_unit_test(countersign_refuses),
	};

	return cmocka_run_group_tests_name("rsakey", tests, make_keys, clean);
}

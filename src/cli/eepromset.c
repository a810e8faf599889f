/* SPDX-License-Identifier: Apache-2.0 */
/* bramble eeprom set|edit: members and properties of an EEPROM image changed. */
#include <errno.h>
#include <getopt.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/audit.h"
#include "cli/cli.h"
#include "cli/eepromfile.h"
#include "cli/eepromset.h"
#include "cli/signopts.h"
#include "cli/table.h"
#include "pi/bootconf.h"
#include "pi/eepromcheck.h"
#include "pi/eepromsign.h"
#include "pi/rsakey.h"

#define MEMBER_FILE_MAX (1u << 20)

/* What goes into the image, in this order: files, then properties, then the signature over them. */
struct change {
	struct br_eeprom_target target;
	const char *section, *pubkey, *cacert, *sign, *wrapper, *passphrase_file, *time;
	struct {
		const char *name, *file;
	} *members;
	size_t n_members, cap_members;
	const char **unset;
	size_t n_unset, cap_unset;
	char **words; /* KEY=VALUE */
	int n_words;
	bool force, quiet;
	struct br_text forced; /* what --force passed over, for the log */
};

enum {
	OPT_SECTION = 300,
	OPT_UNSET,
	OPT_CONFIG,
	OPT_PUBKEY,
	OPT_CACERT,
	OPT_SIG,
	OPT_SIGN,
	OPT_WRAPPER,
	OPT_PASSPHRASE,
	OPT_REPLACE,
	OPT_TIME,
	OPT_FORCE,
};

static int out_of_memory(void)
{
	return br_cli_fail(BR_EXIT_FAILED, "out of memory");
}

static int add_member(struct change *q, const char *name, const char *file)
{
	if (br_array_reserve(&q->members, &q->cap_members, q->n_members + 1, sizeof(*q->members)) < 0)
		return out_of_memory();
	q->members[q->n_members].name = name;
	q->members[q->n_members++].file = file;
	return 0;
}

/* NAME=FILE; the '=' becomes the end of the name. */
static int add_replace(struct change *q, char *word)
{
	char *equals = strchr(word, '=');

	if (!equals || equals == word || !equals[1])
		return br_cli_usage("--replace wants NAME=FILE");
	*equals = '\0';
	return add_member(q, word, equals + 1);
}

static int add_unset(struct change *q, const char *key)
{
	if (br_array_reserve(&q->unset, &q->cap_unset, q->n_unset + 1, sizeof(*q->unset)) < 0)
		return out_of_memory();
	q->unset[q->n_unset++] = key;
	return 0;
}

static int take_option(struct change *q, int argc, char **argv, int c)
{
	switch (c) {
	case 'o':
		q->target.out = optarg;
		return 0;
	case 'i':
		q->target.in_place = true;
		return 0;
	case 'q':
		q->quiet = true;
		return 0;
	case OPT_SECTION:
		q->section = optarg;
		return 0;
	case OPT_UNSET:
		return add_unset(q, optarg);
	case OPT_CONFIG:
		return add_member(q, BR_EEPROM_CONFIG, optarg);
	case OPT_SIG:
		return add_member(q, BR_EEPROM_CONFIG_SIG, optarg);
	case OPT_PUBKEY:
		q->pubkey = optarg;
		return 0;
	case OPT_CACERT:
		q->cacert = optarg;
		return 0;
	case OPT_SIGN:
		q->sign = optarg;
		return 0;
	case OPT_WRAPPER:
		q->wrapper = optarg;
		return 0;
	case OPT_PASSPHRASE:
		q->passphrase_file = optarg;
		return 0;
	case OPT_REPLACE:
		return add_replace(q, optarg);
	case OPT_TIME:
		q->time = optarg;
		return 0;
	case OPT_FORCE:
		q->force = true;
		return 0;
	default:
		return br_cli_bad_option(argc, argv, c);
	}
}

static int read_change(int argc, char **argv, struct change *q)
{
	static const struct option options[] = {
		{ "section", required_argument, NULL, OPT_SECTION }, { "unset", required_argument, NULL, OPT_UNSET },
		{ "config", required_argument, NULL, OPT_CONFIG }, { "pubkey", required_argument, NULL, OPT_PUBKEY },
		{ "cacert", required_argument, NULL, OPT_CACERT }, { "sig", required_argument, NULL, OPT_SIG },
		{ "sign", required_argument, NULL, OPT_SIGN }, { "wrapper", required_argument, NULL, OPT_WRAPPER },
		{ "passphrase-file", required_argument, NULL, OPT_PASSPHRASE }, { "replace", required_argument, NULL, OPT_REPLACE },
		{ "time", required_argument, NULL, OPT_TIME }, { "force", no_argument, NULL, OPT_FORCE },
		{ "out", required_argument, NULL, 'o' }, { "in-place", no_argument, NULL, 'i' }, { "quiet", no_argument, NULL, 'q' }, { 0 },
	};
	int c, code;

	while ((c = getopt_long(argc, argv, ":o:iq", options, NULL)) != -1) {
		code = take_option(q, argc, argv, c);
		if (code)
			return code;
	}
	if (argc - optind < 1)
		return br_cli_usage("wants FILE");
	q->target.file = argv[optind];
	q->words = argv + optind + 1;
	q->n_words = argc - optind - 1;
	for (int i = 0; i < q->n_words; i++) {
		char vis[80];

		if (!strchr(q->words[i], '='))
			return br_cli_usage("'%s' is no KEY=VALUE", br_vis(vis, sizeof(vis), q->words[i], strlen(q->words[i])));
	}
	if (!q->n_words && !q->n_unset && !q->n_members && !q->pubkey && !q->cacert && !q->sign && !q->time)
		return br_cli_usage("what should be changed?");
	return br_cli_eeprom_target(&q->target);
}

static int replace(struct br_eeprom *e, const char *file, const char *name, const void *data, size_t len)
{
	struct br_error err = BR_ERROR_NULL;
	int r = br_eeprom_replace(e, name, data, len, &err);

	if (r < 0) {
		br_error_prefix(&err, "%s", file);
		return br_cli_fail(r == -ENOENT ? BR_EXIT_NOT_FOUND : BR_EXIT_FAILED, "%s", br_error_text(&err, r));
	}
	return 0;
}

static int replace_by_file(struct br_eeprom *e, const char *image, const char *name, const char *file)
{
	br_cleanup(br_freep) char *data = NULL;
	struct br_error err = BR_ERROR_NULL;
	size_t len;
	int r = br_file_read(file, MEMBER_FILE_MAX, &data, &len, &err);

	return r < 0 ? br_cli_error(&err, r) : replace(e, image, name, data, len);
}

/* A certificate as PEM becomes DER; anything else must be one DER certificate, whole. */
static int replace_cacert(struct br_eeprom *e, const char *image, const char *file)
{
	br_cleanup(br_freep) char *data = NULL;
	struct br_error err = BR_ERROR_NULL;
	unsigned char *der = NULL;
	const unsigned char *p;
	X509 *cert;
	size_t len;
	int r = br_file_read(file, MEMBER_FILE_MAX, &data, &len, &err), n, code;

	if (r < 0)
		return br_cli_error(&err, r);
	p = (const unsigned char *)data;
	if (memmem(data, len, "-----BEGIN", 10)) {
		BIO *bio = BIO_new_mem_buf(data, (int)len);

		cert = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
		BIO_free(bio);
	} else {
		cert = d2i_X509(NULL, &p, (long)len);
	}
	if (!cert)
		return br_cli_fail(BR_EXIT_FAILED, "%s: is no X.509 certificate, PEM or DER", file);
	n = i2d_X509(cert, &der);
	X509_free(cert);
	if (n <= 0)
		return br_cli_fail(BR_EXIT_FAILED, "%s: the certificate cannot be written as DER", file);
	code = replace(e, image, BR_EEPROM_CACERT, der, (size_t)n);
	OPENSSL_free(der);
	return code;
}

static int replace_pubkey(struct br_eeprom *e, const char *image, const char *file)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_rsapub pub;
	int r = br_rsapub_read(file, &pub, &err);

	return r < 0 ? br_cli_error(&err, r) : replace(e, image, BR_EEPROM_PUBKEY, pub.bytes, sizeof(pub.bytes));
}

/* A section behind [all] in the text may say otherwise. */
static void warn_elsewhere(const struct change *q, const char *text, size_t len, const char *key)
{
	struct br_bootconf_reader reader;
	struct br_bootconf_line line;
	char vis[80];

	br_bootconf_start(&reader, text, len);
	while (!q->quiet && br_bootconf_next(&reader, &line)) {
		if (line.kind != BR_BOOTCONF_PROPERTY || line.tail || br_bootconf_in(&line, q->section) || line.name_len != strlen(key) ||
			memcmp(line.name, key, line.name_len) != 0)
			continue;
		fprintf(stderr, "%s: %s is also set in line %u, for [%s]; --section changes it there\n", q->target.file, key, line.number,
			br_vis(vis, sizeof(vis), line.section, line.section_len));
	}
}

/* One property; value NULL: taken out. */
static int change_property(struct change *q, struct br_eeprom *e, const char *key, const char *value)
{
	struct br_bootconf_board board = { .soc = e->soc };
	struct br_error err = BR_ERROR_NULL;
	br_cleanup(br_freep) char *text = NULL;
	size_t len = 0, n;
	const char *now = (const char *)br_eeprom_get(e, BR_EEPROM_CONFIG, &len);
	int r;

	if (!now)
		return br_cli_fail(BR_EXIT_NOT_FOUND, "%s: has no bootconf.txt", q->target.file);
	if (value && !(q->section && !strcmp(q->section, BR_BOOTCONF_TAIL))) {
		r = br_bootconf_check_value(key, value, &board, &err);
		if (r == -EINVAL && !q->force)
			return br_cli_fail(BR_EXIT_FAILED, "%s (--force writes it nevertheless)", err.text);
		if (r == -EINVAL)
			br_text_addf(&q->forced, "%s; ", err.text);
	}
	r = br_bootconf_set(now, len, q->section, key, value, &text, &n, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	warn_elsewhere(q, text, n, key);
	return replace(e, q->target.file, BR_EEPROM_CONFIG, text, n);
}

static int change_properties(struct change *q, struct br_eeprom *e)
{
	int code = 0;

	for (size_t i = 0; !code && i < q->n_unset; i++)
		code = change_property(q, e, q->unset[i], NULL);
	for (int i = 0; !code && i < q->n_words; i++) {
		char *equals = strchr(q->words[i], '=');

		*equals = '\0';
		code = change_property(q, e, q->words[i], equals + 1);
	}
	return code;
}

/* bootconf.sig and pubkey.bin, by the key of a name among 'bramble sign key list's, or a file. */
static int sign(const struct change *q, struct br_eeprom *e)
{
	struct br_sign_request who = { .key = { .key = q->sign, .wrapper = q->wrapper, .passphrase_file = q->passphrase_file, .ask = true } };
	struct br_error err = BR_ERROR_NULL;
	struct br_rsakey *key = NULL;
	int r = br_sign_open_key(&who, NULL, &key, &err);

	if (!r) {
		r = br_eeprom_sign_config(e, key, &err);
		if (r < 0)
			br_error_prefix(&err, "%s", q->target.file);
	}
	br_rsakey_free(key);
	br_sign_done(&who);
	return r < 0 ? br_cli_error(&err, r) : 0;
}

static int apply(struct change *q, struct br_eeprom *e)
{
	const char *file = q->target.file;
	uint64_t time;
	int code = 0;

	for (size_t i = 0; !code && i < q->n_members; i++)
		code = replace_by_file(e, file, q->members[i].name, q->members[i].file);
	if (!code && q->pubkey)
		code = replace_pubkey(e, file, q->pubkey);
	if (!code && q->cacert)
		code = replace_cacert(e, file, q->cacert);
	if (!code)
		code = change_properties(q, e);
	if (!code && q->sign)
		code = sign(q, e);
	if (!code && q->time) {
		if (br_parse_u64(q->time, 1, UINT32_MAX - 1, &time) < 0)
			return br_cli_usage("--time wants seconds since 1970");
		br_eeprom_set_update_time(e, (uint32_t)time);
	}
	return code;
}

/*
 * What the change made worse is told, what was so before is 'bramble eeprom check's. New errors refuse it; with force they
 * are added to forced. 0 or an exit code.
 */
static int judge(const char *file, const struct br_eeprom *before, const struct br_eeprom *after, bool quiet, bool force, struct br_text *forced)
{
	struct br_findings a = { 0 }, b = { 0 };
	size_t errors;
	bool failed;

	br_eeprom_check(before, true, &a);
	br_eeprom_check(after, true, &b);
	errors = br_cli_eeprom_print_findings(file, &a, &b, quiet);
	for (size_t i = 0; force && errors && i < b.n; i++) {
		if (b.list[i].severity == BR_FINDING_ERROR)
			br_text_addf(forced, "%s; ", b.list[i].text);
	}
	failed = a.failed || b.failed || forced->failed;
	br_findings_done(&a);
	br_findings_done(&b);
	if (failed)
		return out_of_memory();
	if (errors && !force)
		return br_cli_fail(BR_EXIT_FAILED, "%s: not changed, for there %s error%s that %s not there before (--force takes %s nevertheless)", file,
			errors == 1 ? "is an" : "are", errors == 1 ? "" : "s", errors == 1 ? "was" : "were", errors == 1 ? "it" : "them");
	return 0;
}

/* Nothing is forced that is not written down first. */
static int log_force(const char *file, const struct br_text *forced)
{
	br_cleanup(br_freep) char *text = NULL;
	struct br_error err = BR_ERROR_NULL;
	char vis[200];
	int r;

	if (!forced->len)
		return 0;
	text = br_asprintf("%s: %s", br_vis(vis, sizeof(vis), file, strlen(file)), forced->buf);
	r = text ? br_audit(&(struct br_common){ 0 }, "force", NULL, NULL, text, &err) : br_error_set(&err, ENOMEM, "out of memory");
	return r < 0 ? br_cli_error(&err, r) : 0;
}

/* None of what is read may be written over, FILE aside: that is as -i. */
static int may_write(const struct change *q)
{
	const char *const given[] = { q->pubkey, q->cacert, q->sign, q->wrapper, q->passphrase_file };
	int code = br_cli_eeprom_may_write(&q->target, given, BR_ARRAY_SIZE(given));

	for (size_t i = 0; !code && i < q->n_members; i++)
		code = br_cli_eeprom_may_write(&q->target, &q->members[i].file, 1);
	return code;
}

static int run_change(struct change *q)
{
	struct br_eeprom before = { 0 }, e = { 0 };
	int code = may_write(q);
	int r;

	if (!code)
		code = br_cli_eeprom_load(q->target.file, &before);
	if (code)
		return code;
	r = br_eeprom_open(before.data, before.len, &e, NULL);
	if (r < 0)
		code = out_of_memory();
	if (!code)
		code = apply(q, &e);
	if (!code)
		code = judge(q->target.file, &before, &e, q->quiet, q->force, &q->forced);
	if (!code)
		code = log_force(q->target.file, &q->forced);
	if (!code)
		code = br_cli_eeprom_save(&q->target, &e);
	br_eeprom_done(&before);
	br_eeprom_done(&e);
	return code;
}

int br_cli_eeprom_set(int argc, char **argv)
{
	struct change q = { 0 };
	int code = read_change(argc, argv, &q);

	if (!code)
		code = run_change(&q);
	free(q.members);
	free(q.unset);
	br_text_done(&q.forced);
	return code;
}

/* The editor on a file, as git starts it: through the shell, so that EDITOR may have arguments. */
static int run_editor(const char *path)
{
	const char *editor = getenv("VISUAL");
	char command[1100];
	pid_t pid;
	int status;

	if (!editor || !editor[0])
		editor = getenv("EDITOR");
	if (!editor || !editor[0])
		editor = access("/usr/bin/editor", X_OK) == 0 ? "/usr/bin/editor" : "vi";
	if ((size_t)snprintf(command, sizeof(command), "%s \"$@\"", editor) >= sizeof(command))
		return br_cli_fail(BR_EXIT_FAILED, "EDITOR is too long");
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return br_cli_fail(BR_EXIT_FAILED, "fork: %s", strerror(errno));
	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, editor, path, (char *)NULL);
		_exit(127);
	}
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return br_cli_fail(BR_EXIT_FAILED, "waiting for the editor: %s", strerror(errno));
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return br_cli_fail(BR_EXIT_FAILED, "the editor '%s' failed; nothing was changed", editor);
	return 0;
}

/* The edited text into the image, unless it has errors that were not there. */
static int take_edited(const struct br_eeprom_target *t, const struct br_eeprom *before, struct br_eeprom *e, const char *path, bool force)
{
	br_cleanup(br_freep) char *text = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_text forced = BR_TEXT_NULL;
	size_t len, was_len = 0;
	const uint8_t *was = br_eeprom_get(e, BR_EEPROM_CONFIG, &was_len);
	int r = br_file_read(path, MEMBER_FILE_MAX, &text, &len, &err), code;

	if (r < 0)
		return br_cli_error(&err, r);
	if (len == was_len && !memcmp(text, was, len)) {
		fprintf(stderr, "%s: bootconf.txt is as it was\n", t->file);
		return t->in_place ? BR_EXIT_OK : br_cli_eeprom_save(t, e);
	}
	code = replace(e, t->file, BR_EEPROM_CONFIG, text, len);
	if (code)
		return code;
	code = judge(t->file, before, e, false, force, &forced);
	if (!code)
		code = log_force(t->file, &forced);
	br_text_done(&forced);
	return code ? code : br_cli_eeprom_save(t, e);
}

static int edit_image(const struct br_eeprom_target *t, const struct br_eeprom *before, struct br_eeprom *e, bool force)
{
	const char *tmp = getenv("TMPDIR");
	br_cleanup(br_freep) char *dir = br_path_join(tmp && tmp[0] ? tmp : "/tmp", "bramble-eeprom-XXXXXX");
	br_cleanup(br_freep) char *path = NULL;
	struct br_error err = BR_ERROR_NULL;
	size_t len = 0;
	const uint8_t *text = br_eeprom_get(e, BR_EEPROM_CONFIG, &len);
	int code, r;

	if (!text)
		return br_cli_fail(BR_EXIT_NOT_FOUND, "%s: has no bootconf.txt", t->file);
	if (!dir || !mkdtemp(dir))
		return br_cli_fail(BR_EXIT_FAILED, "a temporary directory: %s", strerror(errno));
	path = br_path_join(dir, BR_EEPROM_CONFIG);
	if (!path)
		return out_of_memory();
	r = br_file_write(path, text, len, 0600, &err);
	code = r < 0 ? br_cli_error(&err, r) : run_editor(path);
	if (!code)
		code = take_edited(t, before, e, path, force);
	if (code && access(path, R_OK) == 0) {
		fprintf(stderr, "%s: your text is in %s\n", t->file, path);
		return code;
	}
	r = br_remove_tree(dir, &err);
	return code ? code : r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
}

int br_cli_eeprom_edit(int argc, char **argv)
{
	static const struct option options[] = { { "out", required_argument, NULL, 'o' }, { "in-place", no_argument, NULL, 'i' },
		{ "force", no_argument, NULL, OPT_FORCE }, { 0 } };
	struct br_eeprom_target t = { 0 };
	struct br_eeprom before = { 0 }, e = { 0 };
	bool force = false;
	int c, code;

	while ((c = getopt_long(argc, argv, ":o:i", options, NULL)) != -1) {
		if (c == 'o')
			t.out = optarg;
		else if (c == 'i')
			t.in_place = true;
		else if (c == OPT_FORCE)
			force = true;
		else
			return br_cli_bad_option(argc, argv, c);
	}
	if (argc - optind != 1)
		return br_cli_usage("wants one FILE");
	t.file = argv[optind];
	code = br_cli_eeprom_target(&t);
	if (!code)
		code = br_cli_eeprom_may_write(&t, NULL, 0);
	if (!code)
		code = br_cli_eeprom_load(t.file, &before);
	if (!code && br_eeprom_open(before.data, before.len, &e, NULL) < 0)
		code = out_of_memory();
	if (!code)
		code = edit_image(&t, &before, &e, force);
	br_eeprom_done(&before);
	br_eeprom_done(&e);
	return code;
}

const char br_cli_eeprom_set_help[] =
	"Comments, order and other sections of bootconf.txt stay as they are; the other members keep every byte. The result is\n"
	"made by the published tool's rule as our notes have it. What the change makes worse is told on standard error; a change that\n"
	"brings an error in ('bramble eeprom check'), as a configuration that its signature no longer fits, is refused: then --sign\n"
	"signs it in the same step.\n"
	"  -o, --out OUT      where the changed image goes\n"
	"  -i, --in-place     change FILE itself (all or nothing)\n"
	"      --section S    properties of this section: all (the default), pi4, cm5, 0x1234abcd, config.txt ...\n"
	"      --unset KEY    take a property out of the section; may be given again\n"
	"      --config CONF  a whole new bootconf.txt\n"
	"      --pubkey KEY   pubkey.bin, of an RSA-2048 key as PEM or of 264 bytes\n"
	"      --cacert CERT  cacert.der, of a certificate as PEM or DER\n"
	"      --sig SIG      bootconf.sig, as it is\n"
	"      --sign KEY     make bootconf.sig with this key (a name, PEM file, pkcs11:...), and put its public half in\n"
	"      --wrapper PROG a program that signs, for --sign (then KEY is the public key)\n"
	"      --passphrase-file F  opens an encrypted key\n"
	"      --replace NAME=FILE  any other file of the image; bootcode (BCM2712) and bootsys, too; may be given again\n"
	"      --time SECONDS the time that a self-update compares, seconds since 1970\n"
	"      --force        values out of their range and new errors, too; what was passed over is logged\n"
	"  -q, --quiet        errors only\n";

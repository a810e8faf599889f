/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/signopts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/state.h"
#include "base/text.h"
#include "cli/cli.h"
#include "pi/countersign.h"
#include "pi/sigfile.h"

#define SIGNED_MAX (512u << 20)

/* letter: of 'allowed'; val: what getopt_long() gives back, 'o' and 'q' aside letters of our own above 300 */
enum {
	OPT_WRAPPER = 300, OPT_PASSPHRASE, OPT_NO_KEY, OPT_SOC, OPT_VERSION, OPT_NO_COUNTERSIGN, OPT_SIG, OPT_CONFIG, OPT_MODEL,
	OPT_IMAGE, OPT_MIN_TS, OPT_BURN, OPT_FORCE, OPT_FIRMWARE,
};

static const struct option options[] = {
	{ "key", required_argument, NULL, 'k' }, { "wrapper", required_argument, NULL, OPT_WRAPPER },
	{ "passphrase-file", required_argument, NULL, OPT_PASSPHRASE }, { "no-key", no_argument, NULL, OPT_NO_KEY },
	{ "target-soc", required_argument, NULL, OPT_SOC }, { "fw-version", required_argument, NULL, OPT_VERSION },
	{ "no-countersign", no_argument, NULL, OPT_NO_COUNTERSIGN }, { "sig", required_argument, NULL, OPT_SIG },
	{ "config", required_argument, NULL, OPT_CONFIG }, { "model", required_argument, NULL, OPT_MODEL },
	{ "image", required_argument, NULL, OPT_IMAGE },
	{ "min-ts", required_argument, NULL, OPT_MIN_TS }, { "burn", no_argument, NULL, OPT_BURN },
	{ "force", no_argument, NULL, OPT_FORCE }, { "firmware", required_argument, NULL, OPT_FIRMWARE },
	{ "dir", required_argument, NULL, 'o' }, BR_COMMON_LONG,
};

/* Which letter of 'allowed' an option belongs to. */
static char group(int c)
{
	static const struct {
		int c;
		char letter;
	} groups[] = {
		{ 'k', 'k' }, { OPT_WRAPPER, 'k' }, { OPT_PASSPHRASE, 'k' }, { OPT_NO_KEY, 'n' }, { OPT_SOC, 's' },
		{ OPT_VERSION, 'v' }, { OPT_NO_COUNTERSIGN, 'c' }, { OPT_SIG, 'S' }, { OPT_CONFIG, 'C' }, { OPT_MODEL, 'm' },
		{ OPT_IMAGE, 'i' }, { OPT_MIN_TS, 't' },
		{ OPT_BURN, 'B' }, { OPT_FORCE, 'F' }, { OPT_FIRMWARE, 'w' }, { 'q', 'f' },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(groups); i++)
		if (groups[i].c == c)
			return groups[i].letter;
	return 0;
}

static int take_number(const char *what, uint64_t max, uint64_t *ret)
{
	if (br_parse_u64(optarg, 0, max, ret) < 0)
		return br_cli_usage("%s wants a number up to %llu", what, (unsigned long long)max);
	return 0;
}

static int take_text(struct br_sign_request *q, int c)
{
	switch (c) {
	case 'k': q->key.key = optarg; return 0;
	case OPT_WRAPPER: q->key.wrapper = optarg; return 0;
	case OPT_PASSPHRASE: q->key.passphrase_file = optarg; return 0;
	case OPT_SIG: q->sig = optarg; return 0;
	case OPT_CONFIG: q->config = optarg; return 0;
	case OPT_MODEL: q->model = optarg; return 0;
	case OPT_IMAGE: q->image = optarg; return 0;
	case OPT_FIRMWARE: q->firmware = optarg; return 0;
	default: return 1;
	}
}

static int take(struct br_sign_request *q, int c, const char *allowed, int argc, char **argv)
{
	uint64_t n = 0;
	int code = take_text(q, c);

	if (code <= 0)
		return code;
	switch (c) {
	case OPT_NO_KEY: q->no_key = true; return 0;
	case OPT_NO_COUNTERSIGN: q->no_countersign = true; return 0;
	case OPT_BURN: q->burn = true; return 0;
	case OPT_FORCE: q->force = true; return 0;
	case OPT_MIN_TS: return take_number("--min-ts", INT64_MAX, &q->min_ts);
	case OPT_VERSION:
		code = take_number("--fw-version", BR_SIGNBLOCK_VERSION_MAX, &n);
		q->version = (unsigned)n;
		return code;
	case OPT_SOC:
		if (br_parse_u64(optarg, 2711, 2712, &n) < 0)
			return br_cli_usage("--target-soc is 2711 or 2712");
		q->target_soc = (unsigned)n;
		return 0;
	case 'o':
		if (strchr(allowed, 'o')) {
			q->out = optarg;
			return 0;
		}
		break;
	default: break;
	}
	return br_common_take(&q->common, argc, argv, c) < 0 ? BR_EXIT_USAGE : 0;
}

int br_sign_options(int argc, char **argv, const char *allowed, int min, int max, const char *what, struct br_sign_request *q)
{
	int c, code;

	q->key.ask = true;
	while ((c = getopt_long(argc, argv, ":k:" BR_COMMON_SHORT, options, NULL)) != -1) {
		char letter = group(c);

		if (letter && !strchr(allowed, letter))
			return br_cli_usage("option '%s' is not of this command", argv[optind > 0 ? optind - 1 : 0]);
		code = take(q, c, allowed, argc, argv);
		if (code)
			return code;
	}
	q->first_word = optind;
	if (argc - optind < min)
		return br_cli_usage("%s is needed", what);
	if (argc - optind > max)
		return br_cli_usage("too many words");
	if (q->no_key && q->key.key)
		return br_cli_usage("--key and --no-key exclude each other");
	if (q->key.wrapper && !q->key.key)
		return br_cli_usage("--wrapper needs --key with the public key's file");
	return 0;
}

void br_sign_done(struct br_sign_request *q)
{
	free(q->key_dir);
}

int br_sign_key_dir(struct br_sign_request *q, struct br_error *err)
{
	br_cleanup(br_freep) char *state = NULL;
	int r = q->key_dir ? 0 : br_state_dir(q->common.state, &state, err);

	if (r < 0 || q->key_dir)
		return r;
	q->key_dir = br_path_join(state, "keys");
	return q->key_dir ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

int br_sign_open_key(struct br_sign_request *q, const char *name, struct br_rsakey **ret, struct br_error *err)
{
	struct br_rsakey_options opt = q->key;
	br_cleanup(br_freep) char *path = NULL;
	const char *wanted = name ?: q->key.key;
	int r = br_sign_key_dir(q, err);

	if (!r)
		r = br_rsakey_resolve(q->key_dir, wanted, &path, err);
	if (r < 0)
		return r;
	/* a file here that has no ending which tells it from a name */
	if (access(path, F_OK) < 0 && !strchr(wanted, '/') && !access(wanted, F_OK)) {
		free(path);
		path = strdup(wanted);
	}
	if (!path)
		return br_error_set(err, ENOMEM, "out of memory");
	opt.key = path;
	return br_rsakey_open(&opt, ret, err);
}

int br_sign_read(const char *path, uint8_t **ret, size_t *ret_len, struct br_error *err)
{
	char *data;
	int r = br_file_read(path, SIGNED_MAX, &data, ret_len, err);

	if (!r)
		*ret = (uint8_t *)data;
	return r;
}

int br_sign_may_write_out(const struct br_sign_request *q, const char *path, enum br_sign_kind kind, const char *word,
	struct br_error *err)
{
	const char *const inputs[] = { word, q->key.key, q->key.wrapper, q->key.passphrase_file, q->sig, q->config, q->image, q->firmware };

	return br_sign_may_write(path, kind, inputs, BR_ARRAY_SIZE(inputs), err);
}

int br_sign_sig_text(const void *data, size_t len, struct br_rsakey *key, unsigned target_soc, struct br_text *ret,
	struct br_error *err)
{
	const struct iovec whole = { (void *)(uintptr_t)data, len };
	struct br_text text = BR_TEXT_NULL;
	struct br_sigfile sig;
	uint64_t ts;
	int r = br_sigfile_time(&ts, err);

	if (r < 0)
		return r;
	br_sigfile_of(data, len, ts, &sig);
	sig.target_soc = target_soc;
	if (key)
		r = br_rsakey_sign_file(key, &whole, 1, &sig, err);
	if (r < 0)
		return r;
	br_sigfile_write(&sig, &text);
	if (text.failed) {
		br_text_done(&text);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	*ret = text;
	return 0;
}

char *br_sign_beside(const char *path, const char *suffix)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	const char *dot = strrchr(name, '.');
	int stem = (int)(dot && dot != name ? (size_t)(dot - path) : strlen(path));

	return br_asprintf("%.*s%s", stem, path, suffix);
}

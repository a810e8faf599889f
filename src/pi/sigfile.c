/* SPDX-License-Identifier: Apache-2.0 */
#include "pi/sigfile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"

#define TS_MAX 99999999999ull /* year 5138: more is no time */

/* One line of a text that need not be terminated. */
struct line {
	const char *s;
	size_t len;
};

static bool next_line(const char **p, const char *end, struct line *ret)
{
	const char *nl;

	if (*p == end)
		return false;
	nl = memchr(*p, '\n', (size_t)(end - *p));
	ret->s = *p;
	ret->len = (size_t)((nl ?: end) - *p);
	*p = nl ? nl + 1 : end;
	while (ret->len && (ret->s[ret->len - 1] == '\r' || ret->s[ret->len - 1] == ' '))
		ret->len--;
	return true;
}

/* Exactly n bytes of hexadecimal, the whole line. */
static int take_hex(const char *s, size_t len, void *out, size_t n)
{
	char digits[BR_RSA_BYTES * 2 + 1];

	if (len != n * 2 || memchr(s, 0, len))
		return -EINVAL;
	memcpy(digits, s, len);
	digits[len] = 0;
	return br_unhex(out, n, digits);
}

static int take_number(const char *s, size_t len, uint64_t max, uint64_t *ret)
{
	char digits[24];

	if (!len || len >= sizeof(digits) || memchr(s, 0, len))
		return -EINVAL;
	memcpy(digits, s, len);
	digits[len] = 0;
	return br_parse_u64(digits, 0, max, ret);
}

static int take_ts(struct br_sigfile *sig, const char *s, size_t len)
{
	if (sig->has_ts)
		return -EEXIST;
	sig->has_ts = true;
	return take_number(s, len, TS_MAX, &sig->ts);
}

static int take_soc(struct br_sigfile *sig, const char *s, size_t len)
{
	uint64_t soc = 0;

	if (sig->target_soc)
		return -EEXIST;
	if (take_number(s, len, 9999, &soc) < 0 || (soc != 2711 && soc != 2712))
		return -EINVAL;
	sig->target_soc = (unsigned)soc;
	return 0;
}

static int take_rsa(struct br_sigfile *sig, const char *s, size_t len)
{
	if (sig->has_rsa)
		return -EEXIST;
	sig->has_rsa = true;
	return take_hex(s, len, sig->rsa, sizeof(sig->rsa));
}

static const struct {
	const char *name, *wants;
	int (*take)(struct br_sigfile *sig, const char *s, size_t len);
} fields[] = {
	{ "ts:", "seconds since 1970", take_ts },
	{ "target-soc:", "2711 or 2712", take_soc },
	{ "rsa2048:", "512 hexadecimal digits", take_rsa },
};

static int take_line(struct br_sigfile *sig, const struct line *line, unsigned number, struct br_error *err)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(fields); i++) {
		size_t n = strlen(fields[i].name);
		int r;

		if (line->len < n || memcmp(line->s, fields[i].name, n))
			continue;
		while (n < line->len && line->s[n] == ' ')
			n++;
		r = fields[i].take(sig, line->s + n, line->len - n);
		if (r == -EEXIST)
			return br_error_set(err, EBADMSG, "line %u: a second '%s'", number, fields[i].name);
		if (r < 0)
			return br_error_set(err, EBADMSG, "line %u: '%s' wants %s", number, fields[i].name, fields[i].wants);
		return 0;
	}
	return 0;
}

int br_sigfile_parse(const char *text, size_t len, struct br_sigfile *ret, struct br_error *err)
{
	struct br_sigfile sig = { 0 };
	const char *p = text, *end = len ? text + len : text;
	struct line line;

	if (len > BR_SIGFILE_MAX)
		return br_error_set(err, EBADMSG, "no signature file: %zu bytes, where %d are most", len, BR_SIGFILE_MAX);
	if (!next_line(&p, end, &line) || take_hex(line.s, line.len, sig.sha256, sizeof(sig.sha256)) < 0)
		return br_error_set(err, EBADMSG, "line 1: no SHA-256 of 64 hexadecimal digits");
	for (unsigned number = 2; next_line(&p, end, &line); number++) {
		int r = take_line(&sig, &line, number, err);

		if (r < 0)
			return r;
	}
	*ret = sig;
	return 0;
}

int br_sigfile_read(const char *path, struct br_sigfile *ret, struct br_error *err)
{
	br_cleanup(br_freep) char *text = NULL;
	size_t len;
	int r = br_file_read(path, BR_SIGFILE_MAX, &text, &len, err);

	if (r < 0)
		return r;
	r = br_sigfile_parse(text, len, ret, err);
	if (r < 0)
		br_error_prefix(err, "%s", path);
	return r;
}

void br_sigfile_of(const void *data, size_t len, uint64_t ts, struct br_sigfile *ret)
{
	*ret = (struct br_sigfile){ .has_ts = true, .ts = ts };
	br_sha256_once(data, len, ret->sha256);
}

void br_sigfile_write(const struct br_sigfile *sig, struct br_text *out)
{
	char hex[BR_RSA_BYTES * 2 + 1];

	br_hex(hex, sig->sha256, sizeof(sig->sha256));
	br_text_addf(out, "%s\n", hex);
	if (sig->has_ts)
		br_text_addf(out, "ts: %" PRIu64 "\n", sig->ts);
	if (sig->target_soc)
		br_text_addf(out, "target-soc: %u\n", sig->target_soc);
	if (sig->has_rsa) {
		br_hex(hex, sig->rsa, sizeof(sig->rsa));
		br_text_addf(out, "rsa2048: %s\n", hex);
	}
}

int br_sigfile_time(uint64_t *ret, struct br_error *err)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");

	if (!epoch || !epoch[0]) {
		*ret = br_wall_ns() / BR_S;
		return 0;
	}
	if (br_parse_u64(epoch, 0, TS_MAX, ret) < 0)
		return br_error_set(err, EINVAL, "SOURCE_DATE_EPOCH: seconds since 1970 are needed; unset it, or set a number");
	return 0;
}

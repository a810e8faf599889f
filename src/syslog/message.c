/* SPDX-License-Identifier: Apache-2.0 */
#include "syslog/message.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

#define TAG_MAX 63

struct text {
	const char *p, *end;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t left(const struct text *t)
{
	return (size_t)(t->end - t->p);
}

/* "<13>": RFC 5424 6.2.1, up to 191. */
static bool take_priority(struct text *t, unsigned *ret)
{
	const char *p = t->p + 1;
	unsigned v = 0;

	if (!left(t) || *t->p != '<')
		return false;
	while (p < t->end && p - t->p <= 3 && is_digit(*p))
		v = v * 10 + (unsigned)(*p++ - '0');
	if (p == t->p + 1 || p == t->end || *p != '>' || v > 191)
		return false;
	t->p = p + 1;
	*ret = v;
	return true;
}

/* A word and the blank behind it; false: there is none. */
static bool take_word(struct text *t, struct text *ret)
{
	const char *blank = left(t) ? memchr(t->p, ' ', left(t)) : NULL;

	if (!blank || blank == t->p)
		return false;
	*ret = (struct text){ t->p, blank };
	t->p = blank + 1;
	return true;
}

/* ---- RFC 5424 ---- */

static bool is_nil(const struct text *t)
{
	return left(t) == 1 && *t->p == '-';
}

/* The elements "[id name="value"]..." or "-"; false: they do not end. */
static bool take_structured(struct text *t, struct text *ret)
{
	const char *p = t->p;
	bool quoted = false;

	if (p < t->end && *p == '-') {
		*ret = (struct text){ p, p };
		t->p = p + 1;
		return true;
	}
	while (p < t->end && *p == '[') {
		for (p++; p < t->end && (quoted || *p != ']'); p++) {
			if (quoted && *p == '\\' && p + 1 < t->end)
				p++; /* 6.3.3: '"', '\' and ']' are escaped */
			else if (*p == '"')
				quoted = !quoted;
		}
		if (p == t->end)
			return false;
		p++;
	}
	*ret = (struct text){ t->p, p };
	t->p = p;
	return ret->end > ret->p;
}

/* Names with '@' are somebody's own data; those without are IANA's (timeQuality ...), which nobody greps for. */
static bool worth_keeping(const struct text *sd)
{
	const char *name_end = sd->p;

	while (name_end < sd->end && *name_end != ' ' && *name_end != ']')
		name_end++;
	return left(sd) && memchr(sd->p, '@', (size_t)(name_end - sd->p));
}

static void make_tag(struct br_syslog_message *m, const struct text *app, const struct text *pid)
{
	size_t n = left(app);
	int len;

	m->tag = app->p;
	m->n_tag = is_nil(app) ? 0 : n;
	if (is_nil(app) || is_nil(pid) || n > TAG_MAX || left(pid) > 16)
		return;
	len = snprintf(m->made, sizeof(m->made), "%.*s[%.*s]", (int)n, app->p, (int)left(pid), pid->p);
	if (len > 0 && (size_t)len < sizeof(m->made)) {
		m->tag = m->made;
		m->n_tag = (size_t)len;
	}
}

static bool decode_5424(struct text t, struct br_syslog_message *m)
{
	struct text version, time, host, app, pid, id, sd;

	if (!take_word(&t, &version) || left(&version) != 1 || *version.p != '1' || !take_word(&t, &time) || !take_word(&t, &host) ||
		!take_word(&t, &app) || !take_word(&t, &pid) || !take_word(&t, &id) || !take_structured(&t, &sd))
		return false;
	make_tag(m, &app, &pid);
	if (left(&t) && *t.p == ' ')
		t.p++;
	if (left(&t) >= 3 && !memcmp(t.p, "\xef\xbb\xbf", 3)) /* 6.4: a byte order mark says that it is UTF-8 */
		t.p += 3;
	if (worth_keeping(&sd) || !left(&t))
		t.p = sd.p;
	m->text = t.p;
	m->n_text = left(&t);
	return true;
}

/* ---- RFC 3164 ---- */

/* "Nov 21 10:00:38 ", the day with a blank or a zero before; some put the year behind. */
static bool take_old_time(struct text *t)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	static const char shape[] = "aaa dd dd:dd:dd ";

	if (left(t) < sizeof(shape) - 1)
		return false;
	for (size_t i = 0; shape[i]; i++) {
		char c = t->p[i];

		if (shape[i] == 'd' ? !is_digit(c) && !(i == 4 && c == ' ') : shape[i] != 'a' && c != shape[i])
			return false;
	}
	for (size_t i = 0; months[i]; i += 3) {
		if (!memcmp(t->p, months + i, 3)) {
			t->p += sizeof(shape) - 1;
			return true;
		}
	}
	return false;
}

/* "2026-11-21T10:00:38.123456+01:00 " */
static bool take_new_time(struct text *t)
{
	struct text rest = *t, word;

	if (!take_word(&rest, &word) || left(&word) < 20 || left(&word) > 35 || word.p[4] != '-' || word.p[10] != 'T' ||
		word.p[13] != ':' || !is_digit(word.p[0]))
		return false;
	*t = rest;
	return true;
}

/* "sshd[123]: ", "su: "; the text behind it. */
static bool take_tag(struct text *t, struct br_syslog_message *m)
{
	const char *p = t->p;

	while (p < t->end && p - t->p < TAG_MAX && *p > ' ' && *p != ':' && *p != '[' && *p < 127)
		p++;
	if (p == t->p || p == t->end)
		return false;
	if (*p == '[') {
		const char *close = memchr(p, ']', (size_t)(t->end - p));

		if (!close || close - t->p >= TAG_MAX)
			return false;
		p = close + 1;
	} else if (*p != ':') {
		return false;
	}
	m->tag = t->p;
	m->n_tag = (size_t)(p - t->p);
	p += p < t->end && *p == ':';
	p += p < t->end && *p == ' ';
	t->p = p;
	return true;
}

static void decode_3164(struct text t, struct br_syslog_message *m)
{
	bool time = take_old_time(&t) || take_new_time(&t);

	if (!take_tag(&t, m) && time) {
		struct text rest = t, host;

		/* a host name only where a tag follows: else it is the text's first word */
		if (take_word(&rest, &host) && take_tag(&rest, m))
			t = rest;
	}
	m->text = t.p;
	m->n_text = left(&t);
}

void br_syslog_decode(const void *data, size_t n, struct br_syslog_message *ret)
{
	struct text t = { data, (const char *)data + n };
	unsigned priority = 13;

	ret->tag = "";
	ret->n_tag = 0;
	while (left(&t) && (t.end[-1] == '\n' || t.end[-1] == '\r' || !t.end[-1]))
		t.end--;
	ret->well_formed = take_priority(&t, &priority);
	ret->facility = priority / 8;
	ret->severity = priority % 8;
	if (!ret->well_formed || !decode_5424(t, ret))
		decode_3164(t, ret);
}

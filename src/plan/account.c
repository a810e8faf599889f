/* SPDX-License-Identifier: Apache-2.0 */
/* A user put into passwd(5), shadow(5), group(5) and gshadow(5). Lines that are not understood stay as they are. */
#include "plan/account.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

#define FIRST_UID 1000
#define LAST_UID  59999
#define LAST_CHANGE "19700" /* days since 1970: a date in the past, so that nobody is asked for a new password */

/* Groups of a first user on Raspberry Pi OS, Debian and Ubuntu; those that the image has are taken. */
static const char *const groups[] = {
	"adm", "dialout", "cdrom", "sudo", "audio", "video", "plugdev", "games", "users", "input", "render", "netdev", "gpio",
	"i2c", "spi",
};

/* The n-th field of a line up to a newline; NULL: the line has fewer. */
static const char *field(const char *line, unsigned n, size_t *ret_len)
{
	for (; n; n--) {
		line += strcspn(line, ":\n");
		if (*line != ':')
			return NULL;
		line++;
	}
	*ret_len = strcspn(line, ":\n");
	return line;
}

static bool field_is(const char *line, unsigned n, const char *value)
{
	size_t len = 0;
	const char *f = field(line, n, &len);

	return f && len == strlen(value) && !memcmp(f, value, len);
}

static bool field_number(const char *line, unsigned n, uint32_t *ret)
{
	char text[16];
	size_t len = 0;
	uint64_t v;
	const char *f = field(line, n, &len);

	if (!f || len >= sizeof(text))
		return false;
	memcpy(text, f, len);
	text[len] = 0;
	if (br_parse_u64(text, 0, UINT32_MAX, &v) < 0)
		return false;
	*ret = (uint32_t)v;
	return true;
}

static const char *next_line(const char *line)
{
	line += strcspn(line, "\n");
	return line + (*line == '\n');
}

static const char *find_line(const char *text, const char *name)
{
	for (const char *s = text; s && *s; s = next_line(s))
		if (field_is(s, 0, name))
			return s;
	return NULL;
}

static const char *find_uid(const char *passwd, uint32_t uid)
{
	uint32_t n;

	for (const char *s = passwd; s && *s; s = next_line(s))
		if (field_number(s, 2, &n) && n == uid)
			return s;
	return NULL;
}

static bool id_taken(const char *text, uint32_t id)
{
	return text && find_uid(text, id); /* passwd and group have it in the same field */
}

int br_account_parse(const char *text, size_t len, struct br_account *ret, struct br_error *err)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyz_";
	static const char more[] = "abcdefghijklmnopqrstuvwxyz_0123456789-";
	static const char crypt[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./$,=*!_-";
	struct br_account a = { .hash = "*" };
	char line[sizeof(a.name) + sizeof(a.hash) + 2];
	char *hash;

	for (size_t n = 0; n < len; n++)
		if (text[n] == '\n' || text[n] == '\r')
			len = n;
	if (len >= sizeof(line))
		return br_error_set(err, EINVAL, "a line 'name:password hash' of at most %zu bytes is needed", sizeof(line) - 1);
	memcpy(line, text, len);
	line[len] = 0;
	hash = strchr(line, ':');
	if (hash)
		*hash++ = 0;
	if (strlen(line) != (hash ? (size_t)(hash - line - 1) : len) || !line[0] || !strchr(first, line[0]) ||
		line[strspn(line, more)] || br_strcpy(a.name, sizeof(a.name), line) < 0)
		return br_error_set(err, EINVAL, "the name of a user has 1 to 32 letters a-z, digits, '-' and '_'");
	if (!strcmp(a.name, "root"))
		return br_error_set(err, EINVAL, "'root' is there already, and no user to log in as");
	if (hash && hash[0] && (hash[strspn(hash, crypt)] || br_strcpy(a.hash, sizeof(a.hash), hash) < 0))
		return br_error_set(err, EINVAL, "the password must be a hash of crypt(3), as 'openssl passwd -6' makes it");
	*ret = a;
	return 0;
}

bool br_account_default(const char *passwd, char ret[static 33])
{
	const char *line = find_uid(passwd, FIRST_UID);
	size_t len = 0;
	const char *name = line ? field(line, 0, &len) : NULL;

	if (!name || !len || len > 32)
		return false;
	memcpy(ret, name, len);
	ret[len] = 0;
	return true;
}

/* ---- making ---- */

struct making {
	const struct br_account_files *in;
	const struct br_account *user;
	char old[33]; /* the name it has in the image, "" : a new user */
	struct br_account_result *res;
};

/* Nobody can log in with it: the account waits for its first password. */
static bool without_password(const char *shadow, const char *name)
{
	const char *line = find_line(shadow, name);
	size_t len = 0;
	const char *hash = line ? field(line, 1, &len) : NULL;

	return !hash || (len && (hash[0] == '!' || hash[0] == '*'));
}

static void choose(struct making *m)
{
	const char *passwd = m->in->passwd, *line = find_line(passwd, m->user->name);
	struct br_account_result *res = m->res;
	size_t len = 0;
	const char *home;

	if (line)
		memcpy(m->old, m->user->name, sizeof(m->old));
	else if (br_account_default(passwd, m->old) && without_password(m->in->shadow, m->old))
		line = find_line(passwd, m->old);
	else
		m->old[0] = 0;
	if (line && field_number(line, 2, &res->uid) && field_number(line, 3, &res->gid)) {
		home = field(line, 5, &len);
		snprintf(res->home, sizeof(res->home), "%.*s", (int)len, home ? home : "");
		return;
	}
	m->old[0] = 0;
	for (res->uid = FIRST_UID; res->uid < LAST_UID && (id_taken(passwd, res->uid) || id_taken(m->in->group, res->uid));)
		res->uid++;
	res->gid = res->uid;
	res->created = true;
	snprintf(res->home, sizeof(res->home), "/home/%s", m->user->name);
}

static char *make_passwd(const struct making *m)
{
	const struct br_account_result *res = m->res;
	struct br_text t = BR_TEXT_NULL;

	for (const char *s = m->in->passwd; *s; s = next_line(s)) {
		int len = (int)strcspn(s, "\n");

		if (m->old[0] && field_is(s, 0, m->old))
			br_text_addf(&t, "%s%.*s\n", m->user->name, len - (int)strlen(m->old), s + strlen(m->old));
		else if (!field_is(s, 0, m->user->name)) /* (a line that choose() could not read) */
			br_text_addf(&t, "%.*s\n", len, s);
	}
	if (res->created)
		br_text_addf(&t, "%s:x:%u:%u::%s:%s\n", m->user->name, res->uid, res->gid, res->home, m->in->shell);
	return br_text_take(&t);
}

static char *make_shadow(const struct making *m)
{
	struct br_text t = BR_TEXT_NULL;
	bool done = false;

	for (const char *s = m->in->shadow; *s; s = next_line(s)) {
		bool mine = (m->old[0] && field_is(s, 0, m->old)) || field_is(s, 0, m->user->name);
		size_t len = 0;
		const char *rest = field(s, 3, &len);

		if (!mine)
			br_text_addf(&t, "%.*s\n", (int)strcspn(s, "\n"), s);
		else if (!done)
			br_text_addf(&t, "%s:%s:" LAST_CHANGE ":%.*s\n", m->user->name, m->user->hash,
				rest ? (int)strcspn(rest, "\n") : 9, rest ? rest : "0:99999:7:::");
		done = done || mine;
	}
	if (!done)
		br_text_addf(&t, "%s:%s:" LAST_CHANGE ":0:99999:7:::\n", m->user->name, m->user->hash);
	return br_text_take(&t);
}

/* The members of a group, its last field, with the user among them. */
static void add_members(const struct making *m, struct br_text *t, const char *members, size_t len, bool wanted)
{
	bool first = true;

	for (size_t at = 0; at < len;) {
		size_t n = 0;
		const char *one = members + at;

		while (at + n < len && one[n] != ',')
			n++;
		at += n + 1;
		if (n == strlen(m->user->name) && !memcmp(one, m->user->name, n))
			wanted = true;
		else if (m->old[0] && n == strlen(m->old) && !memcmp(one, m->old, n))
			wanted = true;
		else {
			br_text_addf(t, "%s%.*s", first ? "" : ",", (int)n, one);
			first = false;
		}
	}
	if (wanted)
		br_text_addf(t, "%s%s", first ? "" : ",", m->user->name);
}

/* group and gshadow: name, two fields, members. */
static char *make_group(const struct making *m, const char *text, const char *new_line)
{
	struct br_text t = BR_TEXT_NULL;

	for (const char *s = text; *s; s = next_line(s)) {
		size_t len = 0, name_len = strcspn(s, ":\n");
		const char *members = field(s, 3, &len);
		bool wanted = false;

		if (!members) {
			br_text_addf(&t, "%.*s\n", (int)strcspn(s, "\n"), s);
			continue;
		}
		for (size_t i = 0; i < BR_ARRAY_SIZE(groups); i++)
			wanted = wanted || field_is(s, 0, groups[i]);
		if (m->old[0] && field_is(s, 0, m->old)) /* its own group */
			br_text_addf(&t, "%s%.*s", m->user->name, (int)((size_t)(members - s) - name_len), s + name_len);
		else
			br_text_addf(&t, "%.*s", (int)(members - s), s);
		add_members(m, &t, members, len, wanted);
		br_text_add(&t, "\n");
	}
	if (m->res->created)
		br_text_add(&t, new_line);
	return br_text_take(&t);
}

static uint32_t shadow_gid(const char *group)
{
	const char *line = find_line(group, "shadow");
	uint32_t gid = 42; /* Debian's, everywhere */

	if (line)
		(void)field_number(line, 2, &gid);
	return gid;
}

int br_account_make(const struct br_account_files *in, const struct br_account *user, struct br_account_result *ret)
{
	struct br_account_result res = { 0 };
	struct making m = { .in = in, .user = user, .res = &res };
	char line[80];

	if (!in->passwd || !in->shadow)
		return -ENOENT;
	choose(&m);
	res.shadow_gid = shadow_gid(in->group);
	res.passwd = make_passwd(&m);
	res.shadow = make_shadow(&m);
	snprintf(line, sizeof(line), "%s:x:%u:\n", user->name, res.gid);
	if (in->group)
		res.group = make_group(&m, in->group, line);
	snprintf(line, sizeof(line), "%s:!::\n", user->name);
	if (in->gshadow)
		res.gshadow = make_group(&m, in->gshadow, line);
	if (!res.passwd || !res.shadow || (in->group && !res.group) || (in->gshadow && !res.gshadow)) {
		br_account_result_done(&res);
		return -ENOMEM;
	}
	*ret = res;
	return 0;
}

void br_account_result_done(struct br_account_result *res)
{
	char *const texts[] = { res->passwd, res->shadow, res->group, res->gshadow };

	for (size_t i = 0; i < BR_ARRAY_SIZE(texts); i++) {
		if (texts[i])
			explicit_bzero(texts[i], strlen(texts[i]));
		free(texts[i]);
	}
	*res = (struct br_account_result){ 0 };
}

/* SPDX-License-Identifier: Apache-2.0 */
/* /etc/hosts, /etc/ethers and /etc/exports: short lines of words. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "import/internal.h"

#define BLANKS " \t"

static void cut_comment(char *line)
{
	line[strcspn(line, "#")] = 0;
}

/* ADDRESS NAME [ALIAS...]. Most lines are of no board: who has neither MAC nor serial elsewhere is passed over. */
int br_import_hosts(struct br_import_file *f, void *ctx, struct br_error *err)
{
	char *line;

	while ((line = br_import_line(f))) {
		struct br_import_record *rec;
		char *save = NULL, *address, *name;
		char ip[BR_IP_TEXT];
		uint32_t n;

		cut_comment(line);
		address = strtok_r(line, BLANKS, &save);
		name = address ? strtok_r(NULL, BLANKS, &save) : NULL;
		if (!address)
			continue;
		if (br_ip_parse(address, &n) < 0) {
			if (!strchr(address, ':'))
				br_import_say(f->im, BR_IMPORT_LEFT, br_import_here(f), address, "is no address");
			continue;
		}
		if (!name || n >> 24 == 127 || n >= 0xe0000000 || !n)
			continue;
		rec = br_import_record(f->im);
		if (!rec || !br_import_put_name(f->im, rec, name, br_import_here(f)))
			continue;
		br_import_put_address(f->im, rec, br_ip_format(ip, n), br_import_here(f));
	}
	return 0;
}

/* MAC NAME|ADDRESS */
int br_import_ethers(struct br_import_file *f, void *ctx, struct br_error *err)
{
	char *line;

	while ((line = br_import_line(f))) {
		struct br_import_place at = br_import_here(f);
		struct br_import_record *rec;
		char *save = NULL, *mac, *who;

		cut_comment(line);
		mac = strtok_r(line, BLANKS, &save);
		who = mac ? strtok_r(NULL, BLANKS, &save) : NULL;
		if (!mac)
			continue;
		rec = br_import_record(f->im);
		if (!br_import_put_mac(f->im, rec, mac, at))
			br_import_say(f->im, BR_IMPORT_LEFT, at, mac, "is no MAC");
		else if (!who)
			br_import_say(f->im, BR_IMPORT_NOTE, at, mac, "has neither name nor address here");
		else if (!br_import_put_address(f->im, rec, who, at) && !br_import_put_name(f->im, rec, who, at))
			br_import_say(f->im, BR_IMPORT_LEFT, at, who, "is neither address nor name");
	}
	return 0;
}

/* ---- exports ---- */

/* The first word, its quotes and \ooo resolved in place; *rest is what follows. */
static char *first_word(char *line, char **rest)
{
	char *to, *p = line + strspn(line, BLANKS), *start = p;
	bool quote = *p == '"';

	to = p;
	for (p += quote; *p && (quote ? *p != '"' : !strchr(BLANKS, *p)); p++) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' && p[3] >= '0' && p[3] <= '7') {
			int c = (p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0');

			*to++ = c ? (char)c : '?';
			p += 3;
		} else {
			*to++ = *p;
		}
	}
	*rest = *p ? p + 1 : p;
	*to = 0;
	return start;
}

/* One client of an export: a single machine may be the board whose root this is. */
static bool client(struct br_import_file *f, char *word, const char *dir, bool *rw)
{
	char *options = strchr(word, '(');
	struct br_import_record *rec;
	struct br_import_place at = br_import_here(f);
	uint32_t ip;

	if (options)
		*options++ = 0;
	if (options && (br_str_starts(options, "rw") || strstr(options, ",rw")))
		*rw = true;
	if (!word[0] || strpbrk(word, "*?/@"))
		return false;
	if (strchr(word, ':'))
		return false;
	rec = br_import_record(f->im);
	if (br_ip_parse(word, &ip) == 0)
		br_import_put_address(f->im, rec, word, at);
	else if (!br_import_put_name(f->im, rec, word, at))
		return false;
	br_import_put(f->im, rec, BR_IK_ROOT, dir, at);
	return true;
}

/* Is it, by what is in it, the root of a Linux? */
static bool is_root(struct br_import *im, const char *dir)
{
	br_cleanup(br_freep) char *where = br_import_locate(im, dir);
	br_cleanup(br_freep) char *release = where ? br_path_join(where, "etc/os-release") : NULL;
	br_cleanup(br_freep) char *text = release ? br_import_text(im, release) : NULL;

	return text != NULL;
}

static void export_line(struct br_import_file *f, char *line)
{
	struct br_import_place at = br_import_here(f);
	char *save = NULL, *rest, *dir = first_word(line, &rest);
	unsigned n = 0, single = 0;
	size_t len = strlen(dir);
	bool rw = false;

	while (len > 1 && dir[len - 1] == '/')
		dir[--len] = 0;
	if (dir[0] != '/') {
		br_import_say(f->im, BR_IMPORT_LEFT, at, dir, "is no absolute path");
		return;
	}
	for (char *w = strtok_r(rest, BLANKS, &save); w; w = strtok_r(NULL, BLANKS, &save)) {
		if (w[0] == '-')
			continue; /* options for all that follow */
		n++;
		single += client(f, w, dir, &rw);
	}
	if (single == n && n)
		return; /* of boards, told by the plan */
	if (is_root(f->im, dir))
		br_import_say(f->im, BR_IMPORT_NOTE, at, dir, "the root of a system, for many: what boots from it is told by the boards' command lines");
	else
		br_import_add_share(f->im, at, dir, rw);
}

int br_import_exports(struct br_import_file *f, void *ctx, struct br_error *err)
{
	char *line;

	while ((line = br_import_long_line(f))) {
		line += strspn(line, BLANKS);
		if (line[0] != '"')
			cut_comment(line);
		if (line[0])
			export_line(f, line);
	}
	return 0;
}

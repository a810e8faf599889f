/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders as people make them for network boot: a TFTP root with a folder per board (8 hexadecimal digits of its serial, or its MAC as
 * piserver has it), NFS roots beside it, pxelinux.cfg. What differs between the boards' command lines and config.txt is what a
 * move must not lose.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "import/internal.h"

#define SEARCH_DEPTH 3 /* /srv, /srv/tftp, /srv/tftp/<serial> */
#define BLANKS " \t\r\n"

/* ---- command lines ---- */

/* Arguments that are about where the root is: bramble gives its own. A '=' at the end: any value. */
static const char *const about_root[] = { "root=", "rootfstype=", "rootflags=", "rootdelay=", "nfsroot=", "ip=", "nfsrootdebug", "ro", "rw",
	"rootwait", "resize", "fsck.repair=", "fsck.mode=", "init=/usr/lib/raspi-config/init_resize.sh",
	"init=/usr/lib/raspberrypi-sys-mods/firstboot", "BOOT_IMAGE=", "initrd=", "boot=nfs", "netboot=nfs" };

static bool is_about_root(const char *arg)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(about_root); i++) {
		const char *a = about_root[i];

		if (br_str_ends(a, "=") ? br_str_starts(arg, a) : !strcmp(arg, a))
			return true;
	}
	return false;
}

/* "10.0.0.1:/srv/nfs/pi1,vers=3": the directory. */
static void take_nfsroot(struct br_import *im, struct br_import_record *rec, const char *value, struct br_import_place at)
{
	br_cleanup(br_freep) char *dir = strdup(strchr(value, '/') ? strchr(value, '/') : "");
	size_t n;

	if (!dir)
		return;
	dir[strcspn(dir, ",")] = 0;
	n = strlen(dir);
	while (n > 1 && dir[n - 1] == '/')
		dir[--n] = 0;
	br_import_put(im, rec, BR_IK_ROOT, dir, at);
}

/* "client:server:gateway:mask:hostname:device:auto" */
static void take_ip(struct br_import *im, struct br_import_record *rec, const char *value, struct br_import_place at)
{
	char part[64];
	size_t n = strcspn(value, ":");

	if (!value[n])
		return; /* dhcp, on, an interface */
	for (unsigned i = 0;; i++) {
		snprintf(part, sizeof(part), "%.*s", (int)(n < sizeof(part) - 1 ? n : sizeof(part) - 1), value);
		if (i == 0)
			br_import_put_address(im, rec, part, at);
		else if (i == 4 && part[0])
			br_import_put_name(im, rec, part, at);
		if (!value[n])
			return;
		value += n + 1;
		n = strcspn(value, ":");
	}
}

void br_import_cmdline(struct br_import *im, struct br_import_record *rec, const char *line, struct br_import_place at, char **ret_rest)
{
	br_cleanup(br_freep) char *copy = strdup(line);
	struct br_text rest = BR_TEXT_NULL;
	char *save = NULL;

	for (char *arg = copy ? strtok_r(copy, BLANKS, &save) : NULL; arg; arg = strtok_r(NULL, BLANKS, &save)) {
		if (br_str_starts(arg, "nfsroot="))
			take_nfsroot(im, rec, arg + strlen("nfsroot="), at);
		else if (br_str_starts(arg, "root=") && strstr(arg, ":/"))
			take_nfsroot(im, rec, arg + strlen("root="), at);
		else if (br_str_starts(arg, "ip="))
			take_ip(im, rec, arg + strlen("ip="), at);
		if (!is_about_root(arg))
			br_text_addf(&rest, "%s%s", rest.len ? " " : "", arg);
	}
	*ret_rest = br_text_take(&rest);
	if (!copy || !*ret_rest)
		im->no_memory = true;
}

/* ---- folders ---- */

struct folder {
	char **names;
	size_t n;
};

static bool list(struct br_import *im, const char *dir, struct folder *ret)
{
	ret->names = NULL;
	ret->n = 0;
	return im->io->list(im->io->ctx, dir, &ret->names, &ret->n, NULL) >= 0;
}

static bool has(const struct folder *f, const char *name)
{
	for (size_t i = 0; i < f->n; i++)
		if (!strcmp(f->names[i], name))
			return true;
	return false;
}

static void folder_done(struct folder *f)
{
	br_import_names_free(f->names, f->n);
}

struct taken {
	char *text;
	unsigned file;
};

static int take_text(struct br_import_file *f, void *ctx, struct br_error *err)
{
	struct taken *t = ctx;

	t->file = f->file;
	t->text = strdup(f->text);
	return t->text ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

/* A small file's text, free(), with its place; *ret NULL: it is not there. */
static int read_text(struct br_import *im, const char *dir, const char *name, const char *format, char **ret, struct br_import_place *at,
	struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_path_join(dir, name);
	struct br_error why = BR_ERROR_NULL;
	struct taken t = { 0 };
	int r;

	*ret = NULL;
	if (!path)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_import_include(im, (struct br_import_place){ 0 }, path, format, take_text, &t, true, &why);
	if (r == -ENOENT || r == -ENOTDIR || r == -EISDIR)
		return 0;
	if (r < 0)
		return br_error_set(err, -r, "%s", br_error_text(&why, r));
	*ret = t.text;
	*at = (struct br_import_place){ t.file, 1 };
	return 0;
}

/* A folder's cmdline.txt and config.txt, of the board 'id' or, NULL, of all. */
static int boot_folder(struct br_import *im, struct br_import_record *rec, const char *dir, enum br_import_key key, const char *id,
	struct br_error *err)
{
	br_cleanup(br_freep) char *cmdline = NULL, *config = NULL, *rest = NULL;
	struct br_import_place at;
	int r = read_text(im, dir, "cmdline.txt", "cmdline", &cmdline, &at, err);

	if (r >= 0 && cmdline) {
		br_import_cmdline(im, rec, cmdline, at, &rest);
		if (rest)
			br_import_add_bootfile(im, at, "cmdline.txt", rest, key, id);
	}
	if (r >= 0)
		r = read_text(im, dir, "config.txt", "config", &config, &at, err);
	if (r >= 0 && config)
		br_import_add_bootfile(im, at, "config.txt", config, key, id);
	return r;
}

/* "dc-a6-32-01-02-03", with "01-" before it as pxelinux writes it */
static const char *as_mac(const char *name, struct br_mac *mac)
{
	if (strlen(name) == 20 && br_str_starts(name, "01-"))
		name += 3;
	return strlen(name) >= 12 && br_mac_parse(name, mac) == 0 ? name : NULL;
}

static int board_folder(struct br_import *im, const char *dir, const char *name, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_path_join(dir, name);
	struct br_import_place at = { 0 };
	struct br_import_record *rec;
	struct br_mac mac;
	const char *id = as_mac(name, &mac);
	struct folder inside;
	int r;

	if (!path)
		return br_error_set(err, ENOMEM, "out of memory");
	if (!list(im, path, &inside))
		return 0; /* a file of that name */
	folder_done(&inside);
	r = br_import_add_file(im, path, "folder", &at.file, err);
	if (r < 0)
		return r;
	rec = br_import_record(im);
	if (!rec)
		return br_error_set(err, EFBIG, "%s: there are too many boards", path);
	rec->board = true;
	if (id)
		br_import_put_mac(im, rec, id, at);
	else
		br_import_put_serial(im, rec, name, at);
	return boot_folder(im, rec, path, id ? BR_IK_MAC : BR_IK_SERIAL, rec->v[id ? BR_IK_MAC : BR_IK_SERIAL].text, err);
}

/* pxelinux.cfg/01-MAC: its APPEND line. */
static int pxelinux(struct br_import *im, const char *dir, struct br_error *err)
{
	struct folder f;
	int r = 0;

	if (!list(im, dir, &f))
		return 0;
	for (size_t i = 0; i < f.n && r >= 0; i++) {
		br_cleanup(br_freep) char *text = NULL, *rest = NULL;
		struct br_import_place at;
		struct br_import_record *rec;
		struct br_mac mac;
		const char *id = as_mac(f.names[i], &mac);
		char *append;

		if (!id)
			continue;
		r = read_text(im, dir, f.names[i], "pxelinux", &text, &at, err);
		rec = r >= 0 && text ? br_import_record(im) : NULL;
		if (!rec)
			continue;
		rec->board = true;
		br_import_put_mac(im, rec, id, at);
		append = strcasestr(text, "append ");
		if (append) {
			append[strcspn(append, "\n")] = 0;
			br_import_cmdline(im, rec, append + strlen("append "), at, &rest);
		}
	}
	folder_done(&f);
	return r < 0 ? r : 0;
}

/* An NFS root tells the name of the board it was made for. */
static int nfs_root(struct br_import *im, const char *dir, struct br_error *err)
{
	br_cleanup(br_freep) char *name = NULL, *etc = br_path_join(dir, "etc");
	struct br_import_record *rec;
	struct br_import_place at;
	size_t root = strlen(im->root);
	int r = etc ? read_text(im, etc, "hostname", "root", &name, &at, err) : br_error_set(err, ENOMEM, "out of memory");

	if (r < 0 || !name)
		return r;
	name[strcspn(name, BLANKS)] = 0;
	rec = br_import_record(im);
	if (!rec)
		return br_error_set(err, EFBIG, "%s: there are too many roots", dir);
	br_import_put_name(im, rec, name, at);
	br_import_put(im, rec, BR_IK_ROOT, root && br_str_starts(dir, im->root) ? dir + root : dir, at);
	return 1;
}

/* How much there was in a folder and those below it. */
static int search(struct br_import *im, const char *dir, unsigned depth, struct br_error *err)
{
	int found = 0, r = 0;
	struct folder f;
	bool boot;

	if (!list(im, dir, &f))
		return 0;
	boot = has(&f, "cmdline.txt") || has(&f, "bootcode.bin") || has(&f, "start4.elf");
	if (has(&f, "etc") && has(&f, "usr")) {
		r = nfs_root(im, dir, err);
		folder_done(&f);
		return r;
	}
	for (size_t i = 0; i < f.n && r >= 0; i++) {
		br_cleanup(br_freep) char *path = br_path_join(dir, f.names[i]);
		struct br_mac mac;

		if (!path)
			r = br_error_set(err, ENOMEM, "out of memory");
		else if (br_import_is_serial(f.names[i]) || as_mac(f.names[i], &mac))
			r = board_folder(im, dir, f.names[i], err), found++;
		else if (!strcmp(f.names[i], "pxelinux.cfg"))
			r = pxelinux(im, path, err), found++;
		else if (depth < SEARCH_DEPTH && !boot && f.names[i][0] != '.')
			r = search(im, path, depth + 1, err), found += r > 0;
	}
	if (r >= 0 && boot) {
		struct br_import_record none = { 0 };

		r = boot_folder(im, &none, dir, BR_IK_SERIAL, NULL, err);
		for (size_t k = 0; k < BR_IK_N; k++)
			free(none.v[k].text);
		found++;
	}
	folder_done(&f);
	return r < 0 ? r : found;
}

int br_import_tree(struct br_import *im, const char *dir, struct br_error *err)
{
	int r = search(im, dir, 0, err);

	return r < 0 ? r : r > 0;
}

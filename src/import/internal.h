/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside of src/import: what readers put into, and what they read from. */
#include "base/addr.h"
#include "import/import.h"

/* What is told of a board, each as text in one form (MAC with colons, serial as 8 or 16 digits ...). */
enum br_import_key {
	BR_IK_MAC,
	BR_IK_SERIAL,
	BR_IK_NAME,
	BR_IK_ADDRESS,
	BR_IK_MODEL,
	BR_IK_IMAGE,
	BR_IK_ROOT, /* directory of its root on an NFS server */
	BR_IK_POWER,
	BR_IK_TAGS,
	BR_IK_NOTES,
	BR_IK_N,
};
extern const char *const br_import_keys[BR_IK_N]; /* "mac" ... as in the plan */

struct br_import_place {
	unsigned file, line; /* number of a file; line 0: all of it */
};

struct br_import_value {
	char *text; /* NULL: not told */
	struct br_import_place at;
};

/* One place's words on one board; merged later. */
struct br_import_record {
	struct br_import_value v[BR_IK_N];
	bool board; /* it is one for sure, whatever its MAC */
	bool used;  /* became part of a board */
};

enum br_import_level { BR_IMPORT_CONFLICT, BR_IMPORT_LEFT, BR_IMPORT_NOTE, BR_IMPORT_LEVELS };

struct br_import_note {
	enum br_import_level level;
	struct br_import_place at;
	char *what, *why;
};

struct br_import_setting {
	const char *key;
	char *value;
	struct br_import_place at;
};

struct br_import_share {
	char *dir;
	bool rw;
	struct br_import_place at;
};

/* A boot file that differs between boards (tree.c): of the board with that serial or MAC. */
struct br_import_bootfile {
	char *path;	/* "config.txt", "cmdline.txt" */
	char *text;	/* as it is; of cmdline.txt without what names a root */
	char *id;	/* serial or MAC; NULL: the one for all */
	enum br_import_key key; /* which of them */
	struct br_import_place at;
};

struct br_import_open { /* being read: who includes whom */
	const char *real;
	struct br_import_open *by;
	unsigned depth;
};

struct br_import {
	const struct br_import_io *io;
	char *root;
	bool all;
	struct {
		char *path;
		const char *format;
	} *files;
	size_t n_files, cap_files;
	struct br_import_record *records;
	size_t n_records, cap_records;
	struct br_import_note *notes;
	size_t n_notes, cap_notes;
	struct br_import_setting *settings;
	size_t n_settings, cap_settings;
	struct br_import_share *shares;
	size_t n_shares, cap_shares;
	struct br_import_bootfile *bootfiles;
	size_t n_bootfiles, cap_bootfiles;
	struct br_import_open *open; /* innermost */
	bool no_memory;		     /* tested once, at the end */
};

/* A file being read. */
struct br_import_file {
	struct br_import *im;
	unsigned file;
	const char *path;
	char *text; /* without NUL bytes, ended by one; readers may write in it */
	char *next; /* of br_import_line() */
	unsigned line;
};

/* The next line without its end, NULL behind the last; f->line is its number. */
char *br_import_line(struct br_import_file *f);
/* The same with "\" at a line's end joining it to the next. */
char *br_import_long_line(struct br_import_file *f);
static inline struct br_import_place br_import_here(const struct br_import_file *f)
{
	return (struct br_import_place){ f->file, f->line };
}

/* A new record; NULL: there are too many, or memory is out (told at the end). */
struct br_import_record *br_import_record(struct br_import *im);
void br_import_put(struct br_import *im, struct br_import_record *rec, enum br_import_key key, const char *text,
	struct br_import_place at);
/* As text that br_import_put() takes, checked: false (nothing is put) when it is no MAC, serial ... of any form. */
bool br_import_put_mac(struct br_import *im, struct br_import_record *rec, const char *text, struct br_import_place at);
bool br_import_put_serial(struct br_import *im, struct br_import_record *rec, const char *text, struct br_import_place at);
bool br_import_put_address(struct br_import *im, struct br_import_record *rec, const char *text, struct br_import_place at);
/* Its first label made a board's name; what had to be changed for it is noted. False: nothing is left of it. */
bool br_import_put_name(struct br_import *im, struct br_import_record *rec, const char *text, struct br_import_place at);
/* Words, separated by blanks, commas, ';' or '|', added to those it has. */
void br_import_put_tags(struct br_import *im, struct br_import_record *rec, const char *text, struct br_import_place at);
bool br_import_is_serial(const char *text); /* exactly 8 or 16 hexadecimal digits */

/* what: words of the file, made safe here. */
__attribute__((format(printf, 5, 6))) void br_import_say(struct br_import *im, enum br_import_level level,
	struct br_import_place at, const char *what, const char *why, ...);
/* A line for bramble.conf. The first value wins; another one is a conflict. */
void br_import_set(struct br_import *im, struct br_import_place at, const char *key, const char *value);
void br_import_add_share(struct br_import *im, struct br_import_place at, const char *dir, bool rw);
void br_import_add_bootfile(struct br_import *im, struct br_import_place at, const char *path, const char *text, enum br_import_key key,
	const char *id);

/* Opens a file as part of the one being read: read(f) is called with it. must: a missing one is an error, else noted. */
typedef int (*br_import_reader)(struct br_import_file *f, void *ctx, struct br_error *err);
int br_import_include(struct br_import *im, struct br_import_place at, const char *path, const char *format,
	br_import_reader read, void *ctx, bool must, struct br_error *err);
/* Its number in the list of files, to which it is added once. */
int br_import_add_file(struct br_import *im, const char *path, const char *format, unsigned *ret, struct br_error *err);
/* Where a path named in a file is for us: below the root when it is absolute; free(). */
char *br_import_locate(const struct br_import *im, const char *path);
/* As struct br_import_io. */
char *br_import_text(struct br_import *im, const char *path); /* NULL: not there, no text, or too large */
void br_import_names_free(char **names, size_t n);

/* The readers; ctx is the state of who includes (dhcpd) or NULL. */
int br_import_dnsmasq(struct br_import_file *f, void *ctx, struct br_error *err);
int br_import_dnsmasq_hosts(struct br_import_file *f, void *ctx, struct br_error *err); /* of dhcp-hostsfile */
int br_import_dhcpd(struct br_import_file *f, void *ctx, struct br_error *err);
int br_import_exports(struct br_import_file *f, void *ctx, struct br_error *err);
int br_import_hosts(struct br_import_file *f, void *ctx, struct br_error *err);
int br_import_ethers(struct br_import_file *f, void *ctx, struct br_error *err);
int br_import_csv(struct br_import_file *f, void *ctx, struct br_error *err);
/* Folders of boot files and NFS roots: 1 when there was something, 0 when not. */
int br_import_tree(struct br_import *im, const char *dir, struct br_error *err);
/* Words of a kernel command line: its root on NFS, its address and name, and what is left of it, free(). */
void br_import_cmdline(struct br_import *im, struct br_import_record *rec, const char *line, struct br_import_place at,
	char **ret_rest);

/* A board of the plan: records merged. */
struct br_import_board {
	struct br_import_value v[BR_IK_N];
	bool board;
	struct br_import_place *from;
	size_t n_from, cap_from;
};
int br_import_merge(struct br_import *im, struct br_import_board **ret, size_t *ret_n);
void br_import_boards_free(struct br_import_board *boards, size_t n);
/* "FILE:LINE" for people. */
const char *br_import_place_text(const struct br_import *im, struct br_import_place at, char *out, size_t size);

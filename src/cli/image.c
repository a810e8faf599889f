/* SPDX-License-Identifier: Apache-2.0 */
/* bramble image: adding, listing, showing, removing images and looking into them. Works on the store itself. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/ls.h"
#include "cli/table.h"
#include "store/image.h"
#include "store/view.h"

#define CAT_PIECE (1u << 20)

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);
BR_DEFINE_CLEANUP(struct br_store *, br_store_close);
BR_DEFINE_CLEANUP(struct br_image *, br_image_unref);

static void fs_close(struct br_fs *fs)
{
	fs->ops->close(fs);
}
BR_DEFINE_CLEANUP(struct br_fs *, fs_close);

struct request {
	struct br_common common;
	const char *name; /* --name */
	bool replace;
	char **words;
	int n;
};

static const struct option add_options[] = {
	{ "name", required_argument, NULL, 300 },
	{ "replace", no_argument, NULL, 301 },
	BR_COMMON_LONG,
};
static const struct option common_options[] = { BR_COMMON_LONG };

/* 0, or an exit code. what: of the words that must follow. */
static int read_options(int argc, char **argv, const struct option *options, int n_min, int n_max, const char *what,
	struct request *q)
{
	int c;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (c == 300)
			q->name = optarg;
		else if (c == 301)
			q->replace = true;
		else if (br_common_take(&q->common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	q->words = argv + optind;
	q->n = argc - optind;
	if (q->n < n_min)
		return br_cli_usage("%s needed", what);
	if (q->n > n_max)
		return br_cli_usage("too many words");
	return 0;
}

static void format_time(char out[static 32], int64_t t)
{
	struct tm tm;
	time_t tt = (time_t)t;

	if (t <= 0 || !gmtime_r(&tt, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		strcpy(out, "-");
}

/* ---- add ---- */

static bool interrupted; /* set by the handler only, read between pieces */

static void on_signal(int sig)
{
	__atomic_store_n(&interrupted, true, __ATOMIC_RELAXED);
}

static void print_added(const struct br_image_info *i, bool already)
{
	char size[16], stored[16], models[512] = "";

	if (i->models[0])
		snprintf(models, sizeof(models), ", for %s", i->models);
	printf("%s%s: %s%s%s, %s (%s stored)%s\n", i->name, already ? " is there already" : "",
		i->os_name[0] ? i->os_name : "unknown system", i->arch[0] ? ", " : "", i->arch,
		br_format_size(size, sizeof(size), i->size), br_format_size(stored, sizeof(stored), i->allocated), models);
	if (i->notes[0])
		fprintf(stderr, "bramble: warning: image %s: %s\n", i->name, i->notes);
}

static int image_add(int argc, char **argv)
{
	br_cleanup(br_store_closep) struct br_store *store = NULL;
	br_cleanup(br_freep) struct br_image_info *info = calloc(1, sizeof(*info));
	struct sigaction act = { .sa_handler = on_signal };
	struct br_import_options opt = { .cancelled = &interrupted };
	struct br_error err = BR_ERROR_NULL;
	struct request q = { 0 };
	int r = read_options(argc, argv, add_options, 1, 1, "the file of an image is", &q);

	if (r)
		return r;
	if (q.common.form != BR_FORM_TABLE)
		return br_cli_usage("it has no --output; see 'bramble image show NAME -o json' afterwards");
	opt.name = q.name;
	opt.replace = q.replace;
	opt.quiet = q.common.quiet;
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	r = info ? br_common_store(&q.common, &store, &err) : -ENOMEM;
	if (!r)
		r = br_store_import(store, q.words[0], &opt, info, &err);
	if (r == -ECANCELED) {
		br_cli_error(&err, r);
		return BR_EXIT_INTERRUPTED;
	}
	if (r < 0)
		return br_cli_error(&err, r);
	if (q.common.quiet)
		puts(info->name);
	else
		print_added(info, r > 0);
	return BR_EXIT_OK;
}

/* ---- list, show ---- */

/* The facts as JSON, with times as people write them. */
static json_t *info_json(const struct br_image_info *info)
{
	br_cleanup(br_freep) char *text = br_image_info_json(info);
	json_t *json = text ? json_loads(text, 0, NULL) : NULL;
	char when[32];

	format_time(when, info->imported_at);
	json_object_set_new(json, "imported_at", json_string(when));
	json_object_del(json, "source_mtime_ns");
	return json;
}

struct listing {
	struct br_store *store;
	json_t *rows;
};

static int take_info(void *ctx, const struct br_image_info *info, const char *err_text)
{
	struct br_error err = BR_ERROR_NULL;
	struct listing *l = ctx;
	char vis[300];
	json_t *row;

	if (!err_text && br_store_look(l->store, info, &err) < 0)
		err_text = err.text;
	row = err_text ? json_pack("{s:s, s:s}", "name", info->name, "error", br_vis(vis, sizeof(vis), err_text, strlen(err_text)))
		       : info_json(info);
	return row && !json_array_append_new(l->rows, row) ? 0 : -ENOMEM;
}

static void cell_name(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "name", out);
}

static void cell_os(const json_t *row, char out[static BR_CELL_MAX])
{
	if (json_object_get(row, "error"))
		snprintf(out, BR_CELL_MAX, "(broken: see 'bramble image show')");
	else
		br_cell_text(row, "os_name", out);
}

static void cell_arch(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_text(row, "arch", out);
}

static void bytes_cell(const json_t *row, const char *key, char out[static BR_CELL_MAX])
{
	const json_t *v = json_object_get(row, key);

	if (v)
		br_format_size(out, BR_CELL_MAX, (uint64_t)json_integer_value(v));
	else
		strcpy(out, "-");
}

static void cell_size(const json_t *row, char out[static BR_CELL_MAX])
{
	bytes_cell(row, "size", out);
}

/* What it takes on the host; of one that shares its parent's bytes what it has besides. */
static void cell_stored(const json_t *row, char out[static BR_CELL_MAX])
{
	const char *layer = json_string_value(json_object_get(row, "layer"));
	char size[16];

	if (layer && *layer)
		snprintf(out, BR_CELL_MAX, "+%s", br_format_size(size, sizeof(size),
			(uint64_t)json_integer_value(json_object_get(row, "layer_bytes"))));
	else
		bytes_cell(row, "allocated", out);
}

/* Many are usual; all of them are in 'show'. */
static void cell_models(const json_t *row, char out[static BR_CELL_MAX])
{
	unsigned n = 0;

	br_cell_text(row, "models", out);
	for (char *s = out; *s; s++) {
		if (*s == ' ' && ++n == 6) {
			strcpy(s, " ...");
			return;
		}
	}
}

static void cell_imported(const json_t *row, char out[static BR_CELL_MAX])
{
	br_cell_ago(row, "imported_at", out);
}

static const struct br_column list_columns[] = {
	{ "NAME", cell_name }, { "OS", cell_os }, { "ARCH", cell_arch }, { "SIZE", cell_size },
	{ "STORED", cell_stored }, { "MODELS", cell_models }, { "IMPORTED", cell_imported }, { NULL, NULL },
};

static int image_list(int argc, char **argv)
{
	br_cleanup(br_store_closep) struct br_store *store = NULL;
	br_cleanup(json_decrefp) json_t *rows = json_array();
	struct br_error err = BR_ERROR_NULL;
	struct request q = { 0 };
	int r = read_options(argc, argv, common_options, 0, 0, "", &q);

	if (r)
		return r;
	r = br_common_store(&q.common, &store, &err);
	if (!r)
		r = br_store_list(store, take_info, &(struct listing){ store, rows }, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	br_table_print(rows, list_columns, "name", &q.common);
	return BR_EXIT_OK;
}

static void print_fact(const char *title, const char *value)
{
	char vis[600];

	if (value[0])
		printf("%-12s%s\n", title, br_vis(vis, sizeof(vis), value, strlen(value)));
}

static void print_partition(const struct br_image_info *info, const struct br_partition *p)
{
	char size[16], start[16], label[200];
	const char *role = p->number == info->boot ? "boot" : p->number == info->root ? "root" : "";

	printf("%6u  %-5s %-9s %10s %10s  %-12s %s\n", p->number, role, p->fs[0] ? p->fs : "-",
		br_format_size(start, sizeof(start), p->start), br_format_size(size, sizeof(size), p->size),
		p->label[0] ? br_vis(label, sizeof(label), p->label, strlen(p->label)) : "-", p->partuuid);
}

static void print_info(const struct br_image_info *i)
{
	char size[16], stored[16], when[32], text[300];

	print_fact("name:", i->name);
	print_fact("system:", i->os_name);
	snprintf(text, sizeof(text), "%s%s%s", i->os_id, i->os_version[0] ? " " : "", i->os_version);
	print_fact("release:", text);
	print_fact("arch:", i->arch);
	print_fact("kernels:", i->kernels);
	print_fact("models:", i->models);
	printf("%-12s%s, %s of them hold data\n", "size:", br_format_size(size, sizeof(size), i->size),
		br_format_size(stored, sizeof(stored), i->allocated));
	print_fact("sha256:", i->sha256);
	print_fact("source:", i->source);
	print_fact("parent:", i->parent);
	if (i->layer[0])
		printf("%-12s%u, with %s that the parent has not\n", "layers:", i->depth,
			br_format_size(size, sizeof(size), i->layer_bytes));
	format_time(when, i->imported_at);
	print_fact("imported:", when);
	print_fact("notes:", i->notes);
	printf("%-12s%s\n", "table:", i->table);
	printf("%6s  %-5s %-9s %10s %10s  %-12s %s\n", "NUMBER", "ROLE", "FS", "START", "SIZE", "LABEL", "PARTUUID");
	for (unsigned k = 0; k < i->n_partitions; k++)
		print_partition(i, &i->partitions[k]);
}

static int image_show(int argc, char **argv)
{
	br_cleanup(br_store_closep) struct br_store *store = NULL;
	br_cleanup(br_freep) struct br_image_info *info = calloc(1, sizeof(*info));
	br_cleanup(json_decrefp) json_t *json = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct request q = { 0 };
	int r = read_options(argc, argv, common_options, 1, 1, "the name of an image is", &q);

	if (r)
		return r;
	r = info ? br_common_store(&q.common, &store, &err) : -ENOMEM;
	if (!r)
		r = br_store_info(store, q.words[0], info, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	if (q.common.quiet) {
		puts(info->name);
	} else if (q.common.form != BR_FORM_TABLE) {
		json = info_json(info);
		br_print_json(json, q.common.form == BR_FORM_JSON);
	} else {
		print_info(info);
	}
	if (br_store_look(store, info, &err) < 0)
		fprintf(stderr, "bramble: warning: image %s: %s\n", info->name, err.text);
	return BR_EXIT_OK;
}

/* ---- rm ---- */

/* Through the daemon when there is one, for it knows which boards use the image; else in the store itself. */
static int remove_one(const struct request *q, struct br_client *client, const char *name, struct br_error *err)
{
	br_cleanup(br_store_closep) struct br_store *store = NULL;
	br_cleanup(br_freep) char *escaped = br_client_escape(name);
	br_cleanup(br_freep) char *path = escaped ? br_asprintf("/v1/images/%s", escaped) : NULL;
	int r = path ? br_image_name_check(name, err) : -ENOMEM;

	if (r < 0)
		return r;
	r = br_client_call(client, "DELETE", path, NULL, NULL, err);
	if (r != -ECONNREFUSED)
		return r;
	*err = BR_ERROR_NULL;
	r = br_common_store(&q->common, &store, err);
	return r < 0 ? r : br_store_remove(store, name, err);
}

static int image_rm(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct request q = { 0 };
	int code = BR_EXIT_OK, r = read_options(argc, argv, common_options, 1, 1000, "the name of an image is", &q);

	if (r)
		return r;
	r = br_client_new(q.common.state, &client, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	for (int i = 0; i < q.n; i++) {
		err = BR_ERROR_NULL;
		r = remove_one(&q, client, q.words[i], &err);
		if (r < 0)
			code = br_cli_error(&err, r);
		else if (!q.common.quiet)
			printf("image %s removed\n", q.words[i]);
	}
	return code;
}

/* ---- ls, cat ---- */

static int open_view(const struct request *q, struct br_fs **ret, struct br_error *err)
{
	br_cleanup(br_store_closep) struct br_store *store = NULL;
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	int r = br_common_store(&q->common, &store, err);

	if (!r)
		r = br_image_open(store, q->words[0], &image, err);
	return r < 0 ? r : br_view_open(image, ret, err);
}

static const char *type_name(uint32_t mode)
{
	static const struct {
		uint32_t type;
		const char *name;
	} types[] = { { S_IFREG, "file" }, { S_IFDIR, "directory" }, { S_IFLNK, "link" }, { S_IFCHR, "char" },
		{ S_IFBLK, "block" }, { S_IFIFO, "fifo" }, { S_IFSOCK, "socket" } };

	for (size_t i = 0; i < BR_ARRAY_SIZE(types); i++)
		if ((mode & S_IFMT) == types[i].type)
			return types[i].name;
	return "unknown";
}

/* Names in a file system are any bytes; JSON wants UTF-8: others are shown escaped. */
static json_t *text_json(const char *s)
{
	char vis[1100];

	return json_string(s) ?: json_string(br_vis(vis, sizeof(vis), s, strlen(s)));
}

static int add_row(json_t *rows, struct br_fs *fs, uint64_t ino, const char *name)
{
	struct br_fs_attr a;
	char target[4096], when[32];
	json_t *row;
	int r = fs->ops->getattr(fs, ino, &a);

	if (!r && S_ISLNK(a.mode))
		r = fs->ops->readlink(fs, ino, target, sizeof(target));
	if (r < 0)
		return r;
	format_time(when, a.mtime.tv_sec);
	row = json_pack("{s:o, s:s, s:i, s:I, s:I, s:I, s:s, s:I}", "name", text_json(name), "type", type_name(a.mode), "mode",
		(int)(a.mode & 07777), "uid", (json_int_t)a.uid, "gid", (json_int_t)a.gid, "size", (json_int_t)a.size, "mtime",
		when, "inode", (json_int_t)a.ino);
	if (S_ISLNK(a.mode))
		json_object_set_new(row, "target", text_json(target));
	return json_array_append_new(rows, row) < 0 ? -ENOMEM : 0;
}

struct names {
	char **name;
	size_t n;
	bool failed;
};

static int take_name(void *ctx, const struct br_fs_dirent *d)
{
	struct names *l = ctx;
	char **p;

	if (!strcmp(d->name, ".") || !strcmp(d->name, ".."))
		return 0;
	p = realloc(l->name, (l->n + 1) * sizeof(*p));
	if (p)
		l->name = p;
	if (!p || !(p[l->n] = strdup(d->name))) {
		l->failed = true;
		return 1;
	}
	l->n++;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_dir(struct br_fs *fs, uint64_t dir, json_t *rows)
{
	struct names l = { 0 };
	bool eof;
	int r = fs->ops->readdir(fs, dir, 0, take_name, &l, &eof);

	if (!r && l.failed)
		r = -ENOMEM;
	if (!r && l.n)
		qsort(l.name, l.n, sizeof(*l.name), by_name);
	for (size_t i = 0; i < l.n; i++) {
		uint64_t ino;

		if (!r)
			r = fs->ops->lookup(fs, dir, l.name[i], &ino);
		if (!r)
			r = add_row(rows, fs, ino, l.name[i]);
		free(l.name[i]);
	}
	free(l.name);
	return r;
}

static int path_failed(const struct request *q, const char *path, int r, struct br_error *err)
{
	return br_error_set(err, -r, "image %s: %s: %s", q->words[0], path, strerror(-r));
}

static int image_ls(int argc, char **argv)
{
	br_cleanup(fs_closep) struct br_fs *fs = NULL;
	br_cleanup(json_decrefp) json_t *rows = json_array();
	struct br_error err = BR_ERROR_NULL;
	struct br_fs_attr attr;
	struct request q = { 0 };
	const char *path;
	uint64_t ino;
	int r = read_options(argc, argv, common_options, 1, 2, "the name of an image is", &q);

	if (r)
		return r;
	path = q.n > 1 ? q.words[1] : "/";
	r = open_view(&q, &fs, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	r = br_fs_walk(fs, path, &ino);
	if (!r)
		r = fs->ops->getattr(fs, ino, &attr);
	if (!r)
		r = S_ISDIR(attr.mode) ? list_dir(fs, ino, rows) : add_row(rows, fs, ino, path);
	if (r < 0) {
		path_failed(&q, path, r, &err);
		return br_cli_error(&err, r);
	}
	br_table_print(rows, br_ls_columns, "name", &q.common);
	return BR_EXIT_OK;
}

static int cat_file(struct br_fs *fs, uint64_t ino)
{
	br_cleanup(br_freep) char *buf = malloc(CAT_PIECE);
	struct br_fs_attr attr;
	uint64_t at = 0;
	bool eof = false;
	int r = fs->ops->getattr(fs, ino, &attr);

	if (!buf)
		return -ENOMEM;
	if (!r && S_ISDIR(attr.mode))
		r = -EISDIR;
	while (!r && !eof) {
		size_t n;

		r = fs->ops->read(fs, ino, at, buf, CAT_PIECE, &n, &eof);
		if (!r)
			r = br_write_all(STDOUT_FILENO, buf, n);
		at += n;
	}
	return r;
}

static int image_cat(int argc, char **argv)
{
	br_cleanup(fs_closep) struct br_fs *fs = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct request q = { 0 };
	uint64_t ino;
	int r = read_options(argc, argv, common_options, 2, 2, "the name of an image and a path are", &q);

	if (r)
		return r;
	r = open_view(&q, &fs, &err);
	if (r < 0)
		return br_cli_error(&err, r);
	r = br_fs_walk_follow(fs, q.words[1], &ino);
	if (!r)
		r = cat_file(fs, ino);
	if (r < 0) {
		path_failed(&q, q.words[1], r, &err);
		return br_cli_error(&err, r);
	}
	return BR_EXIT_OK;
}

#define TREE                                                                                            \
	"PATH is one in the booted system: '/' is the root partition, and the boot partition is where\n" \
	"etc/fstab of the image mounts it: /boot/firmware, in older systems /boot. Links are followed\n"  \
	"inside the image.\n"

const struct br_command br_cli_image[] = {
	{ "image", "add", "FILE [--name NAME] [--replace] [-q]", "Takes the image of an SD card into the store", image_add,
		"FILE is .img, plain or packed as .xz, .gz, .zst, .bz2 or .zip.\n"
		"  --name NAME        its name in the store (a-z 0-9 . _ -); else made of the file's name\n"
		"  --replace          take the place of another image of this name\n"
		"  -q, --quiet        no progress; print only the name\n" },
	{ "image", "list", "[-o table|json|jsonl] [-q]", "Lists the images in the store", image_list,
		"  -o, --output FORM  table, json or jsonl\n  -q, --quiet        only the names\n" },
	{ "image", "show", "NAME [-o table|json]", "Shows all that is known about an image", image_show,
		"  -o, --output FORM  table, json or jsonl\n" },
	{ "image", "rm", "NAME...", "Removes images that no board uses", image_rm, "  -q, --quiet        say nothing\n" },
	{ "image", "ls", "NAME [PATH] [-o table|json|jsonl] [-q]", "Lists a directory in an image", image_ls,
		TREE "  -o, --output FORM  table, json or jsonl\n  -q, --quiet        only the names\n" },
	{ "image", "cat", "NAME PATH", "Writes a file of an image to standard output", image_cat, TREE },
	{ 0 },
};

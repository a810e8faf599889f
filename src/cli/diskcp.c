/* SPDX-License-Identifier: Apache-2.0 */
/* bramble disk cp: files and directories between this machine and a board's disk. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/table.h"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

struct copy {
	struct br_common common;
	bool recursive, preserve;
	const char *owner, *mode; /* as given, NULL: what the source has (to a board: root) */
	char uid[16], gid[16];
	struct br_client *client;
	char *board; /* escaped */
	size_t n_files, n_skipped;
	struct br_error *err;
};

/* "BOARD:PATH" to both; false when it is a local path. As scp: a ':' before any '/'. */
static bool split(const char *word, char **ret_board, const char **ret_path)
{
	size_t n = strcspn(word, ":/");

	if (!n || word[n] != ':')
		return false;
	*ret_board = strndup(word, n);
	*ret_path = word + n + 1;
	return true;
}

static int parse_owner(struct copy *c)
{
	uint32_t uid, gid;

	if (br_parse_owner(c->owner, &uid, &gid) < 0)
		return br_cli_usage("--owner: UID:GID is needed, as numbers");
	snprintf(c->uid, sizeof(c->uid), "%u", uid);
	snprintf(c->gid, sizeof(c->gid), "%u", gid);
	return 0;
}

static int local_error(struct copy *c, int code, const char *path)
{
	char vis[300];

	return br_error_set(c->err, code, "%s: %s", br_vis(vis, sizeof(vis), path, strlen(path)), strerrordesc_np(code));
}

static void skip(struct copy *c, const char *path, const char *why)
{
	char vis[300];

	c->n_skipped++;
	fprintf(stderr, "bramble: warning: %s: %s\n", br_vis(vis, sizeof(vis), path, strlen(path)), why);
}

/* The path of a request: /v1/boards/B/disk/WHAT?path=... */
static char *request(const struct copy *c, const char *what, const char *path)
{
	br_cleanup(br_freep) char *escaped = br_client_escape(path);

	return escaped ? br_asprintf("/v1/boards/%s/disk/%s?path=%s", c->board, what, escaped) : NULL;
}

/* ---- to a board ---- */

static void add_attributes(const struct copy *c, const struct stat *st, struct br_text *t)
{
	if (c->mode && S_ISREG(st->st_mode))
		br_text_addf(t, "&mode=%s", c->mode);
	else
		br_text_addf(t, "&mode=%o", st->st_mode & 07777);
	if (c->owner)
		br_text_addf(t, "&uid=%s&gid=%s", c->uid, c->gid);
	else if (c->preserve)
		br_text_addf(t, "&uid=%u&gid=%u", st->st_uid, st->st_gid);
	br_text_addf(t, "&mtime=%lld", (long long)(st->st_mtime > 0 ? st->st_mtime : 0));
}

/* in_dir: the name it gets when 'to' is a directory; NULL: 'to' is its own place. */
static int put_file(struct copy *c, const char *from, const struct stat *st, const char *to, const char *in_dir)
{
	br_cleanup(br_freep) char *path = request(c, "file", to);
	br_cleanup(br_freep) char *name = br_client_escape(in_dir ? in_dir : "");
	br_cleanup(br_closep) int fd = open(from, O_RDONLY | O_CLOEXEC);
	br_cleanup(br_text_done) struct br_text t = BR_TEXT_NULL;

	if (fd < 0)
		return local_error(c, errno, from);
	if (!path || !name)
		return local_error(c, ENOMEM, from);
	br_text_add(&t, path);
	if (in_dir)
		br_text_addf(&t, "&in_dir=%s", name);
	add_attributes(c, st, &t);
	if (t.failed)
		return local_error(c, ENOMEM, from);
	c->n_files++;
	return br_client_upload(c->client, t.buf, fd, NULL, c->err);
}

static int make_dir(struct copy *c, const struct stat *st, const char *to)
{
	br_cleanup(br_freep) char *path = request(c, "mkdir", to);
	br_cleanup(br_text_done) struct br_text t = BR_TEXT_NULL;

	br_text_add(&t, path ? path : "");
	add_attributes(c, st, &t);
	return !path || t.failed ? local_error(c, ENOMEM, to) : br_client_call(c->client, "POST", t.buf, NULL, NULL, c->err);
}

static int make_link(struct copy *c, const char *from, const struct stat *st, const char *to)
{
	br_cleanup(br_freep) char *path = request(c, "symlink", to), *target = NULL;
	br_cleanup(br_text_done) struct br_text t = BR_TEXT_NULL;
	char buf[4096];
	ssize_t n = readlink(from, buf, sizeof(buf) - 1);

	if (n < 0)
		return local_error(c, errno, from);
	buf[n] = 0;
	target = br_client_escape(buf);
	if (path && target)
		br_text_addf(&t, "%s&target=%s", path, target);
	if (c->owner)
		br_text_addf(&t, "&uid=%s&gid=%s", c->uid, c->gid);
	else if (c->preserve)
		br_text_addf(&t, "&uid=%u&gid=%u", st->st_uid, st->st_gid);
	if (!path || !target || t.failed)
		return local_error(c, ENOMEM, from);
	c->n_files++;
	return br_client_call(c->client, "POST", t.buf, NULL, NULL, c->err);
}

static int put_tree(struct copy *c, const char *from, const char *to);

static int put_entries(struct copy *c, const char *from, const char *to)
{
	DIR *d = opendir(from);
	struct dirent *e;
	int r = 0;

	if (!d)
		return local_error(c, errno, from);
	while (!r && (e = readdir(d))) {
		br_cleanup(br_freep) char *a = NULL, *b = NULL;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		a = br_path_join(from, e->d_name);
		b = br_asprintf("%s%s%s", to, br_str_ends(to, "/") ? "" : "/", e->d_name);
		r = a && b ? put_tree(c, a, b) : local_error(c, ENOMEM, from);
	}
	closedir(d);
	return r;
}

static int put_tree(struct copy *c, const char *from, const char *to)
{
	struct stat st;
	int r;

	if (lstat(from, &st) < 0)
		return local_error(c, errno, from);
	switch (st.st_mode & S_IFMT) {
	case S_IFDIR:
		r = make_dir(c, &st, to);
		return r ? r : put_entries(c, from, to);
	case S_IFREG:
		return put_file(c, from, &st, to, NULL);
	case S_IFLNK:
		return make_link(c, from, &st, to);
	default:
		skip(c, from, "neither a file, a directory nor a link: left out");
		return 0;
	}
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int to_board(struct copy *c, const char *from, const char *to)
{
	struct stat st;

	if (stat(from, &st) < 0)
		return local_error(c, errno, from);
	if (!S_ISDIR(st.st_mode))
		return put_file(c, from, &st, to, last_part(from));
	if (!c->recursive)
		return br_error_set(c->err, EISDIR, "%s: is a directory; add -r", from);
	return put_tree(c, from, to);
}

/* ---- from a board ---- */

static int take(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err)
{
	int r = br_write_all(*(int *)ctx, data, n);

	return r < 0 ? br_error_set(err, -r, "cannot write: %s", strerrordesc_np(-r)) : 0;
}

/*
 * Where something goes: a name in a directory that is open. Below the one the user named nothing is reached by a path:
 * a board could have put a link on the way with an earlier copy, and what it sends next would go where that leads.
 */
struct target {
	int dir; /* AT_FDCWD: 'name' is what the user gave */
	const char *name, *shown;
};

static uint32_t number(const json_t *row, const char *key)
{
	return (uint32_t)json_integer_value(json_object_get(row, key));
}

/* "2026-11-21T16:00:00Z" of a listing; false: none. */
static bool row_time(const json_t *row, struct timespec *ret)
{
	const char *text = json_string_value(json_object_get(row, "mtime"));
	struct tm tm = { 0 };

	if (!text || !strptime(text, "%Y-%m-%dT%H:%M:%S", &tm))
		return false;
	*ret = (struct timespec){ .tv_sec = timegm(&tm) };
	return true;
}

/* Owner, mode and time of an open file or directory as the board has them, or as the options say. The owner comes first:
 * to change it takes setuid away. */
static int dress(const struct copy *c, int fd, const json_t *row, bool is_dir)
{
	mode_t mode = c->mode && !is_dir ? (mode_t)strtoul(c->mode, NULL, 8) : number(row, "mode");
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };

	if (c->owner && fchown(fd, (uid_t)strtoul(c->uid, NULL, 10), (gid_t)strtoul(c->gid, NULL, 10)) < 0)
		return -errno;
	if (!c->owner && c->preserve && fchown(fd, number(row, "uid"), number(row, "gid")) < 0)
		return -errno;
	if ((!is_dir || c->preserve) && fchmod(fd, mode & ((c->mode && !is_dir) || c->preserve ? 07777 : 0777)) < 0)
		return -errno;
	return c->preserve && row_time(row, &times[1]) && futimens(fd, times) < 0 ? -errno : 0;
}

/* Through a file beside it, so that a half one is never taken for whole. */
static int get_file(struct copy *c, const char *from, const json_t *row, const struct target *to)
{
	br_cleanup(br_freep) char *path = request(c, "cat", from);
	br_cleanup(br_freep) char *partial = br_asprintf("%s.%d.part", to->name, (int)getpid());
	br_cleanup(br_closep) int fd = -1;
	int r;

	if (!path || !partial)
		return local_error(c, ENOMEM, to->shown);
	fd = openat(to->dir, partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return local_error(c, errno, to->shown);
	r = br_client_stream(c->client, path, take, &fd, c->err);
	if (!r) {
		r = dress(c, fd, row, false);
		if (!r && renameat(to->dir, partial, to->dir, to->name) < 0)
			r = -errno;
		if (r < 0)
			r = local_error(c, -r, to->shown);
	}
	if (r < 0)
		unlinkat(to->dir, partial, 0);
	c->n_files++;
	return r;
}

static int get_dir(struct copy *c, const char *from, const json_t *row, const struct target *to);

/* The exact bytes of a name or target (free()). */
static char *exact(const json_t *row, const char *key, const char *hex_key)
{
	const char *hex = json_string_value(json_object_get(row, hex_key));
	const char *text = json_string_value(json_object_get(row, key));
	char *out;

	if (!hex)
		return strdup(text ? text : "");
	out = calloc(1, strlen(hex) / 2 + 1);
	if (out && br_unhex(out, strlen(hex) / 2, hex) < 0)
		out[0] = 0;
	return out;
}

/* row: what 'ls' says of it. */
static int get_one(struct copy *c, const char *from, const json_t *row, const struct target *to)
{
	const char *type = json_string_value(json_object_get(row, "type"));
	br_cleanup(br_freep) char *target = NULL;

	if (!type)
		return br_error_set(c->err, EIO, "the daemon's answer is not understood; is it another version?");
	if (!strcmp(type, "file"))
		return get_file(c, from, row, to);
	if (!strcmp(type, "directory"))
		return get_dir(c, from, row, to);
	if (strcmp(type, "link") != 0) {
		skip(c, from, "neither a file, a directory nor a link: left out");
		return 0;
	}
	target = exact(row, "target", "target_hex");
	if (!target)
		return local_error(c, ENOMEM, to->shown);
	c->n_files++;
	if (symlinkat(target, to->dir, to->name) < 0 ||
		(c->preserve && fchownat(to->dir, to->name, number(row, "uid"), number(row, "gid"), AT_SYMLINK_NOFOLLOW) < 0))
		return local_error(c, errno, to->shown);
	return 0;
}

static int list(struct copy *c, const char *path, json_t **ret)
{
	br_cleanup(br_freep) char *url = request(c, "ls", path);

	return url ? br_client_call(c->client, "GET", url, NULL, ret, c->err) : local_error(c, ENOMEM, path);
}

/* A board's disk is hostile: a name must stay in the directory it is copied to. */
static bool name_ok(const char *s)
{
	return *s && !strchr(s, '/') && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

/* Makes it, or takes the one there is. A link to a directory is taken only where the user named it. */
static int open_dir(struct copy *c, const struct target *to)
{
	bool named = to->dir == AT_FDCWD;
	int fd;

	if (mkdirat(to->dir, to->name, 0777) < 0 && errno != EEXIST)
		return local_error(c, errno, to->shown);
	fd = openat(to->dir, to->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (named ? 0 : O_NOFOLLOW));
	if (fd < 0 && !named && (errno == ENOTDIR || errno == ELOOP)) {
		char vis[300];

		return br_error_set(c->err, ENOTDIR, "%s: is here already and no directory (a link is not followed); remove it, "
			"or copy to an empty place", br_vis(vis, sizeof(vis), to->shown, strlen(to->shown)));
	}
	return fd < 0 ? local_error(c, errno, to->shown) : fd;
}

/* self: what a listing says of the directory itself; NULL: the one the user named, of which there is none. */
static int get_dir(struct copy *c, const char *from, const json_t *self, const struct target *to)
{
	br_cleanup(json_decrefp) json_t *answer = NULL;
	br_cleanup(br_closep) int dir = -1;
	json_t *rows;
	size_t i;
	json_t *row;
	int r = list(c, from, &answer);

	if (r < 0)
		return r;
	dir = open_dir(c, to);
	if (dir < 0)
		return dir;
	rows = json_object_get(answer, "entries");
	json_array_foreach(rows, i, row)
	{
		br_cleanup(br_freep) char *name = exact(row, "name", "name_hex");
		br_cleanup(br_freep) char *a = br_asprintf("%s%s%s", from, br_str_ends(from, "/") ? "" : "/", name ? name : "");
		br_cleanup(br_freep) char *b = name ? br_path_join(to->shown, name) : NULL;

		if (!a || !b)
			return local_error(c, ENOMEM, to->shown);
		if (!name_ok(name)) {
			skip(c, a, "a name that cannot be here: left out");
			continue;
		}
		r = get_one(c, a, row, &(struct target){ dir, name, b });
		if (r < 0)
			return r;
	}
	r = self ? dress(c, dir, self, true) : 0;
	return r < 0 ? local_error(c, -r, to->shown) : 0;
}

/* One path of the board: what it is says a listing of it, which for a directory is that of its entries. */
static int from_board(struct copy *c, const char *from, const char *to)
{
	br_cleanup(json_decrefp) json_t *answer = NULL;
	br_cleanup(br_freep) char *in = NULL;
	const json_t *rows, *row;
	struct stat st;
	const char *name;
	int r;

	if (c->recursive)
		return get_dir(c, from, NULL, &(struct target){ AT_FDCWD, to, to });
	r = list(c, from, &answer);
	if (r < 0)
		return r;
	rows = json_object_get(answer, "entries");
	row = json_array_get(rows, 0);
	name = json_string_value(json_object_get(row, "name"));
	if (json_array_size(rows) != 1 || !name || strcmp(name, last_part(from)) != 0)
		return br_error_set(c->err, EISDIR, "%s: is a directory; add -r", from);
	if (!stat(to, &st) && S_ISDIR(st.st_mode)) {
		in = br_path_join(to, last_part(from));
		if (!in)
			return local_error(c, ENOMEM, to);
		to = in;
	}
	/* a link that is named is followed, as cp does */
	return get_file(c, from, row, &(struct target){ AT_FDCWD, to, to });
}

/* ---- the command ---- */

static int read_options(int argc, char **argv, struct copy *c)
{
	static const struct option options[] = {
		{ "recursive", no_argument, NULL, 'r' },
		{ "preserve", no_argument, NULL, 'p' },
		{ "owner", required_argument, NULL, 300 },
		{ "mode", required_argument, NULL, 301 },
		BR_COMMON_LONG,
	};
	int k;

	while ((k = getopt_long(argc, argv, ":rp" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (k == 'r')
			c->recursive = true;
		else if (k == 'p')
			c->preserve = true;
		else if (k == 300)
			c->owner = optarg;
		else if (k == 301)
			c->mode = optarg;
		else if (br_common_take(&c->common, argc, argv, k) < 0)
			return BR_EXIT_USAGE;
	}
	if (argc - optind != 2)
		return br_cli_usage(argc - optind < 2 ? "a source and a target are needed" : "too many words");
	if (c->mode && (!c->mode[0] || strspn(c->mode, "01234567") != strlen(c->mode) || strlen(c->mode) > 4))
		return br_cli_usage("--mode: octal digits up to 7777 are needed");
	return c->owner ? parse_owner(c) : 0;
}

static int disk_cp(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(br_freep) char *from_board_name = NULL, *to_board_name = NULL, *escaped = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct copy c = { .err = &err };
	const char *from, *to;
	int r = read_options(argc, argv, &c);

	if (r)
		return r;
	from = argv[optind];
	to = argv[optind + 1];
	if (split(from, &from_board_name, &from) == split(to, &to_board_name, &to))
		return br_cli_usage("one of both must be BOARD:PATH, the other a path here");
	if ((from_board_name ? from : to)[0] != '/')
		return br_cli_usage("the path on the board must begin with '/'");
	escaped = br_client_escape(from_board_name ? from_board_name : to_board_name);
	r = escaped ? br_client_new(c.common.state, &client, &err) : -ENOMEM;
	c.client = client;
	c.board = escaped;
	if (!r)
		r = to_board_name ? to_board(&c, from, to) : from_board(&c, from, to);
	if (r < 0)
		return br_cli_error(&err, r);
	if (!c.common.quiet && c.recursive)
		printf("%zu file%s copied\n", c.n_files, c.n_files == 1 ? "" : "s");
	return c.n_skipped ? BR_EXIT_FAILED : BR_EXIT_OK;
}

const struct br_command br_cli_disk_cp[] = {
	{ "disk", "cp", "[-rp] SOURCE TARGET [--owner UID:GID] [--mode MODE] [-q]",
		"Copies files to and from a board's disk, while it runs", disk_cp,
		"One of both is BOARD:/PATH, the other a path here. A file that is replaced on a board keeps its owner,\n"
		"and the board sees the old or the new one, never half; a link there is replaced, not followed.\n"
		"  -r, --recursive    a directory with all in it; TARGET is what it will be called\n"
		"  -p, --preserve     keep owners, times and all of the modes, numbers as they are\n"
		"  --owner UID:GID    numbers; without it root, or the owner of the file that is replaced\n"
		"  --mode MODE        octal, of files; without it as the source's\n"
		"  -q, --quiet        no closing line\n" },
	{ 0 },
};

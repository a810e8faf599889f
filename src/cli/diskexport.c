/* SPDX-License-Identifier: Apache-2.0 */
/* bramble disk export: the root file system of a board in a file here, sparse or compressed. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/pieces.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/progress.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/table.h"

#define BLOCK 4096 /* runs of zeros are left out in these */

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);

static const struct format {
	const char *name, *ending, *filter; /* filter NULL: plain */
} formats[] = {
	{ "img", "", NULL },
	{ "img.xz", ".xz", "xz" },
	{ "img.zst", ".zst", "zstd" },
};

struct export {
	struct br_common common;
	const struct format *format;
	const char *board, *name;
	int fd;
	struct archive *archive; /* NULL: plain */
	struct br_pieces pieces;
	uint64_t at;   /* written, or left out as zeros, up to here */
	uint64_t data; /* bytes received */
	struct br_sha256 *hash;
	struct br_progress progress;
};

static bool all_zero(const uint8_t *p, size_t n)
{
	return !n || (!p[0] && !memcmp(p, p + 1, n - 1));
}

static int cannot_write(const struct export *x, int code, struct br_error *err)
{
	return br_error_set(err, code, "file %s: %s%s", x->name, strerrordesc_np(code),
		code == ENOSPC ? "; free some space or write elsewhere" : "");
}

/* ---- what is written ---- */

/* Block by block of the file, so that holes lie where a block is zero. */
static int write_plain(struct export *x, uint64_t at, const uint8_t *p, size_t n, struct br_error *err)
{
	while (n) {
		size_t part = BLOCK - at % BLOCK;
		int r = 0;

		part = part < n ? part : n;
		if (!all_zero(p, part))
			r = br_pwrite_all(x->fd, p, part, at);
		if (r < 0)
			return cannot_write(x, -r, err);
		p += part;
		at += part;
		n -= part;
	}
	return 0;
}

static int write_packed(struct export *x, const void *p, size_t n, struct br_error *err)
{
	if (archive_write_data(x->archive, p, n) == (la_ssize_t)n)
		return 0;
	return br_error_set(err, archive_errno(x->archive) > 0 ? archive_errno(x->archive) : EIO, "file %s: %s", x->name,
		archive_error_string(x->archive) ?: "cannot be written");
}

/* A file that is not compressed has a hole there. */
static int write_zeros(struct export *x, uint64_t n, struct br_error *err)
{
	static const uint8_t zeros[64 << 10];

	while (n) {
		size_t k = n < sizeof(zeros) ? (size_t)n : sizeof(zeros);
		int r = x->archive ? write_packed(x, zeros, k, err) : 0;

		if (r < 0)
			return r;
		br_sha256_add(x->hash, zeros, k);
		n -= k;
		x->at += k;
		br_progress_set(&x->progress, x->at);
	}
	return 0;
}

static int take_data(void *ctx, uint64_t offset, const void *data, size_t n, struct br_error *err)
{
	struct export *x = ctx;
	int r = write_zeros(x, offset - x->at, err);

	if (!r)
		r = x->archive ? write_packed(x, data, n, err) : write_plain(x, offset, data, n, err);
	if (r < 0)
		return r;
	br_sha256_add(x->hash, data, n);
	x->at += n;
	x->data += n;
	br_progress_set(&x->progress, x->at);
	return 0;
}

static int take(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err)
{
	struct export *x = ctx;
	bool begun = x->pieces.begun;
	int r;

	/* the head alone first: it says how much there is */
	if (!begun && n + x->pieces.n_head >= BR_PIECES_HEAD) {
		size_t head = BR_PIECES_HEAD - x->pieces.n_head;

		r = br_pieces_take(&x->pieces, data, head, take_data, x, err);
		if (r < 0)
			return r;
		br_progress_start(&x->progress, "export", x->pieces.size, x->common.quiet);
		data = (const uint8_t *)data + head;
		n -= head;
	}
	return br_pieces_take(&x->pieces, data, n, take_data, x, err);
}

/* ---- the file ---- */

static int open_archive(struct export *x, struct br_error *err)
{
	struct archive *a = archive_write_new();
	struct archive_entry *e = archive_entry_new();
	bool ok = a && e && archive_write_add_filter_by_name(a, x->format->filter) == ARCHIVE_OK &&
		  archive_write_set_format_raw(a) == ARCHIVE_OK;

	if (ok) {
		(void)archive_write_set_filter_option(a, NULL, "threads", "0"); /* all cores, where the library can */
		archive_entry_set_filetype(e, AE_IFREG);
		ok = archive_write_open_fd(a, x->fd) == ARCHIVE_OK && archive_write_header(a, e) == ARCHIVE_OK;
	}
	archive_entry_free(e);
	if (!ok) {
		int r = br_error_set(err, ENOTSUP, "file %s: %s", x->name,
			a && archive_error_string(a) ? archive_error_string(a) : "libarchive cannot write this form");

		archive_write_free(a);
		return r;
	}
	x->archive = a;
	return 0;
}

static int close_file(struct export *x, struct br_error *err)
{
	int r = br_pieces_end(&x->pieces, err);

	if (!r)
		r = write_zeros(x, x->pieces.size - x->at, err);
	if (!r && x->archive && archive_write_close(x->archive) != ARCHIVE_OK)
		r = br_error_set(err, EIO, "file %s: %s", x->name, archive_error_string(x->archive) ?: "cannot be written");
	if (!r && !x->archive && ftruncate(x->fd, (off_t)x->pieces.size) < 0)
		r = cannot_write(x, errno, err);
	if (!r && fsync(x->fd) < 0)
		r = cannot_write(x, errno, err);
	return r;
}

/* All of the disk into FILE by way of a file beside it, so that a half one is never taken for whole. */
static int export_to(struct br_client *client, const char *path, struct export *x, const char *partial, struct br_error *err)
{
	int r = 0;

	x->fd = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (x->fd < 0)
		return br_error_set(err, errno, "file %s: %s", partial, strerrordesc_np(errno));
	if (x->format->filter)
		r = open_archive(x, err);
	if (!r)
		r = br_client_stream(client, path, take, x, err);
	if (!r)
		r = close_file(x, err);
	if (!r && rename(partial, x->name) < 0)
		r = cannot_write(x, errno, err);
	archive_write_free(x->archive);
	close(x->fd);
	if (r < 0)
		unlink(partial);
	if (r < 0 && x->pieces.begun)
		br_progress_stop(&x->progress, x->at);
	if (!r)
		br_progress_end(&x->progress, x->at);
	return r;
}

/* ---- the command ---- */

static const struct format *find_format(const char *name)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(formats); i++)
		if (!strcmp(formats[i].name, name))
			return &formats[i];
	return NULL;
}

/* What the file's name says. */
static const struct format *format_of(const char *file)
{
	for (size_t i = 1; i < BR_ARRAY_SIZE(formats); i++)
		if (br_str_ends(file, formats[i].ending))
			return &formats[i];
	return &formats[0];
}

static int read_options(int argc, char **argv, struct export *x)
{
	static const struct option options[] = { { "format", required_argument, NULL, 300 }, BR_COMMON_LONG };
	int c;

	while ((c = getopt_long(argc, argv, ":" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (c == 300 && !(x->format = find_format(optarg)))
			return br_cli_usage("--format: img, img.xz or img.zst is needed");
		if (c != 300 && br_common_take(&x->common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	if (argc - optind != 2)
		return br_cli_usage(argc - optind > 2 ? "too many words" : "a board and a file are needed");
	x->board = argv[optind];
	x->name = argv[optind + 1];
	x->format = x->format ? x->format : format_of(x->name);
	return 0;
}

static void print_result(struct export *x)
{
	char size[16], data[16], hex[BR_SHA256_HEX];
	uint8_t hash[32];

	br_sha256_end(br_take(x->hash), hash);
	br_hex(hex, hash, sizeof(hash));
	if (x->common.form != BR_FORM_TABLE) {
		json_t *row = json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "board", x->board, "file", x->name, "format", x->format->name,
			"size", (json_int_t)x->at, "data_bytes", (json_int_t)x->data, "sha256", hex);

		br_print_json(row, x->common.form == BR_FORM_JSON);
		json_decref(row);
	} else if (!x->common.quiet) {
		printf("%s: %s of board %s's disk, %s of it data\nsha256 %s\n", x->name, br_format_size(size, sizeof(size), x->at),
			x->board, br_format_size(data, sizeof(data), x->data), hex);
	}
}

static int disk_export(int argc, char **argv)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(br_freep) char *board = NULL, *path = NULL, *partial = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct export x = { 0 };
	int r = read_options(argc, argv, &x);

	if (r || !x.format)
		return r;
	board = br_client_escape(x.board);
	path = board ? br_asprintf("/v1/boards/%s/disk/export?form=pieces", board) : NULL;
	partial = br_asprintf("%s.%d.part", x.name, (int)getpid());
	x.hash = br_sha256_new();
	r = path && partial && x.hash ? br_client_new(x.common.state, &client, &err) : br_error_set(&err, ENOMEM, "out of memory");
	if (r >= 0)
		r = export_to(client, path, &x, partial, &err);
	if (r >= 0)
		print_result(&x);
	br_sha256_free(x.hash);
	return r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
}

const struct br_command br_cli_disk_export[] = {
	{ "disk", "export", "BOARD FILE [--format img|img.xz|img.zst] [-o table|json] [-q]",
		"Writes the root file system of a board to a file", disk_export,
		"As it is at that moment; the board goes on. Plain files are sparse: only what holds data is sent and\n"
		"stored. The sha256 is that of the content, however it is packed.\n"
		"  --format FORM      img, img.xz or img.zst (default: by the end of FILE)\n"
		"  -o, --output FORM  table, json or jsonl\n"
		"  -q, --quiet        no progress, no closing line\n" },
	{ 0 },
};

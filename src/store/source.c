/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unpacking streams. xz goes through liblzma itself, whose decoder uses several cores for files made of several
 * blocks; gz through zlib, because libarchive does not verify its CRC; the others through libarchive.
 */
#include "store/source.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "base/text.h"

#define IN_SIZE (256u << 10)
#define XZ_MEMORY_MAX (1ull << 30) /* xz -9 needs 65 MiB a thread; more is an attack or a mistake */
#define ZIP_MEMBERS_MAX 10000

struct packing {
	const char *name;
	const char *magic;
	size_t at, len;
	int (*open)(struct br_source *s, struct br_error *err); /* NULL: not taken */
	int (*read)(struct br_source *s, uint8_t *buf, size_t cap, size_t *ret_len, struct br_error *err);
	const char *cure; /* of what is not taken */
};

struct br_source {
	char *file;
	int fd;
	struct stat st;
	const struct packing *packing;
	const char *note;

	uint8_t *in; /* what was read and not yet unpacked: in[at .. len) */
	size_t in_at, in_len;
	uint64_t taken; /* bytes read from the file */
	bool file_end, stream_end;

	lzma_stream lzma;
	z_stream z;
	bool z_open;
	struct archive *archive;
};

static int damaged(struct br_source *s, const char *why, struct br_error *err)
{
	char at[24], size[24];

	return br_error_set(err, EBADMSG, "%s: %s (at %s of %s); get it again and compare its check sum", s->file, why,
		br_format_size(at, sizeof(at), br_source_done(s)),
		br_format_size(size, sizeof(size), (uint64_t)s->st.st_size));
}

/* Makes sure that in[] has a byte, unless the file is at its end. */
static int fill(struct br_source *s, struct br_error *err)
{
	ssize_t n;

	if (s->in_at < s->in_len || s->file_end)
		return 0;
	do
		n = read(s->fd, s->in, IN_SIZE);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return br_error_set(err, errno, "%s: cannot read: %m", s->file);
	s->file_end = !n;
	s->in_at = 0;
	s->in_len = (size_t)n;
	s->taken += (uint64_t)n;
	return 0;
}

/*
 * Behind a whole stream: another stream with this magic goes on (1), zeros are padding, anything else is told
 * and left alone (0): the stream before was whole and its check sum right.
 */
static int more_streams(struct br_source *s, struct br_error *err)
{
	for (;;) {
		int r = fill(s, err);

		if (r < 0)
			return r;
		if (s->in_at == s->in_len)
			return 0;
		if (s->in[s->in_at])
			break;
		s->in_at++;
	}
	if (s->in[s->in_at] == (uint8_t)s->packing->magic[0])
		return 1;
	s->note = "there are bytes behind its end that do not belong to it; they were ignored";
	return 0;
}

/* ---- plain ---- */

static int plain_read(struct br_source *s, uint8_t *buf, size_t cap, size_t *ret_len, struct br_error *err)
{
	size_t n = s->in_len - s->in_at;
	ssize_t k;

	if (n) { /* the first bytes, read to tell what it is */
		n = n < cap ? n : cap;
		memcpy(buf, s->in + s->in_at, n);
		s->in_at += n;
		*ret_len = n;
		return 0;
	}
	do
		k = read(s->fd, buf, cap);
	while (k < 0 && errno == EINTR);
	if (k < 0)
		return br_error_set(err, errno, "%s: cannot read: %m", s->file);
	s->taken += (uint64_t)k;
	*ret_len = (size_t)k;
	return 0;
}

/* ---- xz ---- */

static int xz_open(struct br_source *s, struct br_error *err)
{
	uint64_t memory = lzma_physmem() / 4;
	lzma_mt mt = {
		.threads = lzma_cputhreads(),
		.memlimit_threading = memory ? memory : XZ_MEMORY_MAX,
		.memlimit_stop = XZ_MEMORY_MAX,
	};

	if (!mt.threads)
		mt.threads = 1;
	if (lzma_stream_decoder_mt(&s->lzma, &mt) != LZMA_OK)
		return br_error_set(err, ENOMEM, "%s: out of memory", s->file);
	return 0;
}

static int xz_failed(struct br_source *s, lzma_ret k, struct br_error *err)
{
	switch (k) {
	case LZMA_MEM_ERROR:
		return br_error_set(err, ENOMEM, "%s: out of memory", s->file);
	case LZMA_MEMLIMIT_ERROR:
		return br_error_set(err, ENOTSUP, "%s: unpacking needs more than 1 GiB of memory; pack it again with 'xz -9'",
			s->file);
	case LZMA_OPTIONS_ERROR:
		return br_error_set(err, ENOTSUP, "%s: it is packed with xz options that liblzma does not know", s->file);
	case LZMA_BUF_ERROR:
		return damaged(s, "cut off, its end is missing", err);
	default:
		return damaged(s, "damaged, its contents do not fit their check sum", err);
	}
}

static int xz_read(struct br_source *s, uint8_t *buf, size_t cap, size_t *ret_len, struct br_error *err)
{
	s->lzma.next_out = buf;
	s->lzma.avail_out = cap;
	while (s->lzma.avail_out == cap) {
		int r = fill(s, err);
		lzma_ret k;

		if (r < 0)
			return r;
		s->lzma.next_in = s->in + s->in_at;
		s->lzma.avail_in = s->in_len - s->in_at;
		k = lzma_code(&s->lzma, s->file_end ? LZMA_FINISH : LZMA_RUN);
		s->in_at = s->in_len - s->lzma.avail_in;
		if (k == LZMA_STREAM_END) {
			r = more_streams(s, err);
			if (r > 0)
				r = xz_open(s, err) ?: 1;
			if (r < 0)
				return r;
			s->stream_end = !r;
			if (!r)
				break;
		} else if (k != LZMA_OK) {
			return xz_failed(s, k, err);
		}
	}
	*ret_len = cap - s->lzma.avail_out;
	return 0;
}

/* ---- gz ---- */

static int gz_open(struct br_source *s, struct br_error *err)
{
	if (inflateInit2(&s->z, 15 + 16) != Z_OK) /* gzip wrapping: header, CRC-32 and length are checked */
		return br_error_set(err, ENOMEM, "%s: out of memory", s->file);
	s->z_open = true;
	return 0;
}

static int gz_read(struct br_source *s, uint8_t *buf, size_t cap, size_t *ret_len, struct br_error *err)
{
	s->z.next_out = buf;
	s->z.avail_out = (uInt)cap;
	while (s->z.avail_out == cap) {
		int r = fill(s, err), k;

		if (r < 0)
			return r;
		if (s->file_end)
			return damaged(s, "cut off, its end is missing", err);
		s->z.next_in = s->in + s->in_at;
		s->z.avail_in = (uInt)(s->in_len - s->in_at);
		k = inflate(&s->z, Z_NO_FLUSH);
		s->in_at = s->in_len - s->z.avail_in;
		if (k == Z_STREAM_END) {
			r = more_streams(s, err);
			if (r > 0 && inflateReset(&s->z) != Z_OK)
				r = -ENOMEM;
			if (r < 0)
				return r;
			s->stream_end = !r;
			if (!r)
				break;
		} else if (k == Z_MEM_ERROR) {
			return br_error_set(err, ENOMEM, "%s: out of memory", s->file);
		} else if (k != Z_OK && k != Z_BUF_ERROR) {
			return damaged(s, s->z.msg ? s->z.msg : "damaged", err);
		}
	}
	*ret_len = cap - s->z.avail_out;
	return 0;
}

/* ---- zst, bz2, zip ---- */

static int archive_failed(struct br_source *s, struct br_error *err)
{
	const char *why = archive_error_string(s->archive);
	br_cleanup(br_freep) char *text = br_asprintf("damaged, cut off or packed in an unknown way: %s", why ? why : "no words");

	if (archive_errno(s->archive) == ENOMEM || !text)
		return br_error_set(err, ENOMEM, "%s: out of memory", s->file);
	return damaged(s, text, err);
}

static int archive_start(struct br_source *s, struct br_error *err)
{
	if (s->archive)
		archive_read_free(s->archive);
	s->archive = archive_read_new();
	if (!s->archive)
		return br_error_set(err, ENOMEM, "%s: out of memory", s->file);
	if (lseek(s->fd, 0, SEEK_SET) < 0)
		return br_error_set(err, errno, "%s: cannot read from its start: %m", s->file);
	s->in_at = s->in_len = 0;
	return 0;
}

static int filter_open(struct br_source *s, int (*support)(struct archive *), struct br_error *err)
{
	struct archive_entry *e;
	int r = archive_start(s, err);

	if (r < 0)
		return r;
	if (support(s->archive) != ARCHIVE_OK || archive_read_support_format_raw(s->archive) != ARCHIVE_OK ||
		archive_read_open_fd(s->archive, s->fd, IN_SIZE) != ARCHIVE_OK ||
		archive_read_next_header(s->archive, &e) != ARCHIVE_OK)
		return archive_failed(s, err);
	return 0;
}

static int zst_open(struct br_source *s, struct br_error *err)
{
	return filter_open(s, archive_read_support_filter_zstd, err);
}

static int bz2_open(struct br_source *s, struct br_error *err)
{
	return filter_open(s, archive_read_support_filter_bzip2, err);
}

static int zip_start(struct br_source *s, struct br_error *err)
{
	int r = archive_start(s, err);

	if (r < 0)
		return r;
	if (archive_read_support_format_zip_seekable(s->archive) != ARCHIVE_OK ||
		archive_read_open_fd(s->archive, s->fd, IN_SIZE) != ARCHIVE_OK)
		return archive_failed(s, err);
	return 0;
}

/* Which member is the image: the only .img, else the only file. Counted as the archive lists them. */
static int zip_choose(struct br_source *s, size_t *ret_i, struct br_error *err)
{
	br_cleanup(br_text_done) struct br_text found = BR_TEXT_NULL;
	size_t i, files = 0, images = 0, image = 0, file = 0;
	struct archive_entry *e;
	int k = ARCHIVE_OK;

	for (i = 0; i < ZIP_MEMBERS_MAX; i++) {
		const char *name;
		size_t n;

		k = archive_read_next_header(s->archive, &e);
		if (k != ARCHIVE_OK && k != ARCHIVE_WARN)
			break;
		if (archive_entry_filetype(e) != AE_IFREG)
			continue;
		name = archive_entry_pathname(e);
		name = name ? name : "";
		n = strlen(name);
		file = i;
		if (++files && n >= 4 && !strcasecmp(name + n - 4, ".img")) {
			image = i;
			images++;
		}
		if (found.len < 200) {
			br_text_add(&found, found.len ? ", " : "");
			br_text_add_vis(&found, name, n);
		}
	}
	if (k == ARCHIVE_FATAL || k == ARCHIVE_FAILED)
		return archive_failed(s, err);
	if (images != 1 && files != 1)
		return br_error_set(err, ENOTSUP, "%s: %s in this zip (%s); unpack it and add the one that you want", s->file,
			images ? "several images" : "no .img", found.buf ? found.buf : "empty");
	*ret_i = images == 1 ? image : file;
	return 0;
}

static int zip_open(struct br_source *s, struct br_error *err)
{
	struct archive_entry *e;
	size_t i = 0;
	int r = zip_start(s, err);

	if (!r)
		r = zip_choose(s, &i, err);
	if (!r)
		r = zip_start(s, err);
	if (r < 0)
		return r;
	for (size_t k = 0; k <= i; k++) {
		int got = archive_read_next_header(s->archive, &e);

		if (got != ARCHIVE_OK && got != ARCHIVE_WARN)
			return archive_failed(s, err);
	}
	return 0;
}

static int archive_read(struct br_source *s, uint8_t *buf, size_t cap, size_t *ret_len, struct br_error *err)
{
	la_ssize_t n;

	do
		n = archive_read_data(s->archive, buf, cap);
	while (n == ARCHIVE_RETRY);
	if (n < 0) /* a warning here is a check sum that does not fit */
		return archive_failed(s, err);
	*ret_len = (size_t)n;
	return 0;
}

/* ---- the door ---- */

static const struct packing packings[] = {
	{ "xz", "\xfd" "7zXZ\0", 0, 6, xz_open, xz_read, NULL },
	{ "gz", "\x1f\x8b", 0, 2, gz_open, gz_read, NULL },
	{ "zst", "\x28\xb5\x2f\xfd", 0, 4, zst_open, archive_read, NULL },
	{ "bz2", "BZh", 0, 3, bz2_open, archive_read, NULL },
	{ "zip", "PK\x03\x04", 0, 4, zip_open, archive_read, NULL },
	{ "an empty zip", "PK\x05\x06", 0, 4, NULL, NULL, "get it again" },
	{ "a 7z archive", "7z\xbc\xaf\x27\x1c", 0, 6, NULL, NULL, "unpack it with '7z x'" },
	{ "a rar archive", "Rar!\x1a\x07", 0, 6, NULL, NULL, "unpack it first" },
	{ "a tar archive", "ustar", 257, 5, NULL, NULL, "unpack it with 'tar xf' and add the .img in it" },
	{ "a qcow2 disk", "QFI\xfb", 0, 4, NULL, NULL, "convert it with 'qemu-img convert -O raw'" },
	{ "a VMware disk", "KDMV", 0, 4, NULL, NULL, "convert it with 'qemu-img convert -O raw'" },
	{ "a Hyper-V disk", "vhdxfile", 0, 8, NULL, NULL, "convert it with 'qemu-img convert -O raw'" },
	{ "an Android sparse image", "\x3a\xff\x26\xed", 0, 4, NULL, NULL, "convert it with 'simg2img'" },
};
static const struct packing plain = { "plain", "", 0, 0, NULL, plain_read, NULL };

static int tell(struct br_source *s, struct br_error *err)
{
	int r = fill(s, err);

	if (r < 0)
		return r;
	s->packing = &plain;
	for (size_t i = 0; i < BR_ARRAY_SIZE(packings); i++) {
		const struct packing *p = &packings[i];

		if (s->in_len >= p->at + p->len && !memcmp(s->in + p->at, p->magic, p->len)) {
			s->packing = p;
			break;
		}
	}
	if (s->packing->cure)
		return br_error_set(err, ENOTSUP,
			"%s: it is %s, not the image of an SD card (.img, .img.xz, .gz, .zst, .bz2 or .zip); %s", s->file,
			s->packing->name, s->packing->cure);
	return s->packing->open ? s->packing->open(s, err) : 0;
}

static int open_file(struct br_source *s, struct br_error *err)
{
	const char *file = s->file;

	/* O_NONBLOCK: opening a FIFO that nobody writes must not hang */
	s->fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (s->fd < 0)
		return br_error_set(err, errno, "%s: cannot open: %m", file);
	if (fstat(s->fd, &s->st) < 0)
		return br_error_set(err, errno, "%s: cannot look at it: %m", file);
	if (S_ISDIR(s->st.st_mode))
		return br_error_set(err, EISDIR, "%s: is a directory; give the image file itself", file);
	if (S_ISBLK(s->st.st_mode))
		return br_error_set(err, ENOTSUP,
			"%s: is a device; copy it first ('dd if=%s of=card.img bs=4M') and add the copy", file, file);
	if (!S_ISREG(s->st.st_mode))
		return br_error_set(err, ENOTSUP, "%s: is not a regular file; save the image to a file first", file);
	if (!s->st.st_size)
		return br_error_set(err, ENODATA, "%s: is empty; get it again", file);
	(void)posix_fadvise(s->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return 0;
}

int br_source_open(const char *file, struct br_source **ret, struct br_error *err)
{
	struct br_source *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return br_error_set(err, ENOMEM, "%s: out of memory", file);
	s->fd = -1;
	s->note = "";
	s->lzma = (lzma_stream)LZMA_STREAM_INIT;
	s->file = strdup(file);
	s->in = malloc(IN_SIZE);
	r = s->file && s->in ? open_file(s, err) : br_error_set(err, ENOMEM, "%s: out of memory", file);
	if (!r)
		r = tell(s, err);
	if (r < 0) {
		br_source_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void br_source_close(struct br_source *s)
{
	if (!s)
		return;
	lzma_end(&s->lzma);
	if (s->z_open)
		inflateEnd(&s->z);
	if (s->archive)
		archive_read_free(s->archive);
	if (s->fd >= 0)
		close(s->fd);
	free(s->in);
	free(s->file);
	free(s);
}

int br_source_read(struct br_source *s, void *buf, size_t cap, size_t *ret_len, struct br_error *err)
{
	if (s->stream_end) {
		*ret_len = 0;
		return 0;
	}
	return s->packing->read(s, buf, cap, ret_len, err);
}

const struct stat *br_source_stat(const struct br_source *s)
{
	return &s->st;
}

uint64_t br_source_done(const struct br_source *s)
{
	uint64_t n;

	if (!s->archive)
		return s->taken - (s->in_len - s->in_at);
	n = (uint64_t)archive_filter_bytes(s->archive, -1);
	/* a zip is read from its directory at the end: never more than there is */
	return n < (uint64_t)s->st.st_size ? n : (uint64_t)s->st.st_size;
}

const char *br_source_note(const struct br_source *s)
{
	return s->note;
}

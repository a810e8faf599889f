/* SPDX-License-Identifier: Apache-2.0 */
#include "console/cast.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/utf8.h"

struct br_cast {
	FILE *file;
	char *path;
	uint64_t start_ns;
	uint8_t held[4]; /* the beginning of a character */
	size_t n_held;
};

static void add_character(struct br_text *t, const uint8_t *p, size_t n, uint32_t c)
{
	if (c < 0x20 || c == 0x7f)
		br_text_addf(t, "\\u%04x", c);
	else if (c == '"' || c == '\\')
		br_text_addf(t, "\\%c", (char)c);
	else
		br_text_add_bytes(t, p, n);
}

/* As the inside of a JSON string; returns how many bytes at the end are the beginning of a character. */
static size_t add_text(struct br_text *t, const uint8_t *p, size_t n)
{
	while (n) {
		uint32_t c = 0;
		size_t k = br_utf8_next(p, n, &c);

		if (k == BR_UTF8_MORE)
			return n;
		if (k == BR_UTF8_WRONG) {
			br_text_add(t, "\xef\xbf\xbd");
			k = 1;
		} else {
			add_character(t, p, k, c);
		}
		p += k;
		n -= k;
	}
	return 0;
}

int br_cast_open(const char *path, unsigned width, unsigned height, const char *title, struct br_cast **ret, struct br_error *err)
{
	struct br_cast *cast = calloc(1, sizeof(*cast));
	struct br_text t = BR_TEXT_NULL;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), r;

	if (fd < 0 || !cast || !(cast->path = strdup(path)) || !(cast->file = fdopen(fd, "w"))) {
		r = br_error_set(err, errno, "%s: cannot be written: %s", path, strerrordesc_np(errno));
		if (fd >= 0)
			close(fd);
		if (cast)
			free(cast->path);
		free(cast);
		return r;
	}
	cast->start_ns = br_now_ns();
	br_text_addf(&t, "{\"version\": 2, \"width\": %u, \"height\": %u, \"timestamp\": %" PRIu64 ", \"title\": \"", width, height,
		(uint64_t)(br_wall_ns() / BR_S));
	(void)add_text(&t, (const uint8_t *)title, strlen(title));
	br_text_add(&t, "\"}\n");
	r = t.failed || fputs(t.buf, cast->file) == EOF || fflush(cast->file) ? -EIO : 0;
	br_text_done(&t);
	if (r < 0) {
		(void)br_cast_close(cast, NULL);
		return br_error_set(err, EIO, "%s: cannot be written", path);
	}
	*ret = cast;
	return 0;
}

int br_cast_put(struct br_cast *cast, uint64_t now_ns, const void *data, size_t n)
{
	uint64_t us = now_ns > cast->start_ns ? (now_ns - cast->start_ns) / 1000 : 0;
	struct br_text raw = BR_TEXT_NULL, line = BR_TEXT_NULL;
	size_t left;
	int r;

	br_text_add_bytes(&raw, cast->held, cast->n_held);
	br_text_add_bytes(&raw, data, n);
	if (raw.failed) {
		br_text_done(&raw);
		return -ENOMEM;
	}
	br_text_addf(&line, "[%" PRIu64 ".%06" PRIu64 ", \"o\", \"", us / 1000000, us % 1000000);
	left = raw.buf ? add_text(&line, (const uint8_t *)raw.buf, raw.len) : 0;
	if (left)
		memcpy(cast->held, raw.buf + raw.len - left, left);
	cast->n_held = left;
	br_text_add(&line, "\"]\n");
	r = line.failed ? -ENOMEM : 0;
	/* each line at once: who is killed keeps what was recorded */
	if (r >= 0 && left < raw.len && (fputs(line.buf, cast->file) == EOF || fflush(cast->file)))
		r = -errno;
	br_text_done(&raw);
	br_text_done(&line);
	return r;
}

int br_cast_close(struct br_cast *cast, struct br_error *err)
{
	bool wrong;

	if (!cast)
		return 0;
	wrong = ferror(cast->file) != 0;
	wrong = fclose(cast->file) != 0 || wrong;
	if (wrong)
		br_error_set(err, EIO, "%s: not all could be written (is the disk full?)", cast->path);
	free(cast->path);
	free(cast);
	return wrong ? -EIO : 0;
}

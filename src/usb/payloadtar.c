/* SPDX-License-Identifier: Apache-2.0 */
/* The index of a bootfiles.bin: POSIX.1-1988 ustar, headers only. */
#include "usb/payloadtar.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define BLOCK 512

/* POSIX.1-2017, pax, "ustar Interchange Format" */
struct header {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], chksum[8], typeflag, linkname[100];
	char magic[6], version[2], uname[32], gname[32], devmajor[8], devminor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is a block");

struct br_usb_tar {
	struct br_usb_tar_member *members;
	size_t n, cap;
};

void br_usb_tar_close(struct br_usb_tar *tar)
{
	if (tar)
		free(tar->members);
	free(tar);
}
BR_DEFINE_CLEANUP(struct br_usb_tar *, br_usb_tar_close);

/* Digits after blanks, before a blank, a NUL or the field's end: -EINVAL for anything else, GNU's base 256 among it. */
static int octal(const char *s, size_t n, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i = 0, digits;

	while (i < n && s[i] == ' ')
		i++;
	for (digits = i; i < n && s[i] >= '0' && s[i] <= '7'; i++)
		v = v << 3 | (uint64_t)(s[i] - '0'); /* at most 12 digits: 36 bits */
	if (i == digits || (i < n && s[i] != ' ' && s[i]))
		return -EINVAL;
	*ret = v;
	return 0;
}

static bool sum_ok(const struct header *h)
{
	const uint8_t *p = (const uint8_t *)h;
	uint64_t want, sum = 0;

	for (size_t i = 0; i < BLOCK; i++) {
		bool in_sum = i >= offsetof(struct header, chksum) && i < offsetof(struct header, typeflag);

		sum += in_sum ? ' ' : p[i];
	}
	return !octal(h->chksum, sizeof(h->chksum), &want) && want == sum;
}

static bool is_zero(const struct header *h)
{
	static const char zeros[BLOCK];

	return !memcmp(h, zeros, BLOCK);
}

/* PREFIX/NAME, without the "./" of 'tar c .' and a directory's last '/'. "" : the top directory itself. */
static int full_name(const struct header *h, char out[static BR_USB_NAME_MAX + 1])
{
	char buf[sizeof(h->prefix) + 1 + sizeof(h->name) + 1];
	size_t n = 0, k = 0;
	const char *s = buf;

	if (!memcmp(h->magic, "ustar\0", 6)) /* GNU's old magic has other things in that place */
		n = strnlen(h->prefix, sizeof(h->prefix));
	memcpy(buf, h->prefix, n);
	if (n)
		buf[n++] = '/';
	k = strnlen(h->name, sizeof(h->name));
	memcpy(buf + n, h->name, k);
	n += k;
	if (n && buf[n - 1] == '/' && h->typeflag == '5')
		n--;
	buf[n] = 0;
	if (h->typeflag == '5' && !strcmp(buf, "."))
		buf[0] = 0;
	if (br_str_starts(s, "./"))
		s += 2;
	return br_strcpy(out, BR_USB_NAME_MAX + 1, s);
}

/* 1: a file, 0: a directory. */
static int kind(const struct header *h, const char *name, struct br_error *err)
{
	static const struct {
		const char *flags, *words;
	} others[] = {
		{ "12", "is a link" },
		{ "346", "is a device or a pipe" },
		{ "xgLKXS", "has an extended header" },
	};

	if (h->typeflag == '0' || !h->typeflag)
		return 1;
	if (h->typeflag == '5')
		return 0;
	for (size_t i = 0; i < BR_ARRAY_SIZE(others); i++)
		if (strchr(others[i].flags, h->typeflag))
			return br_error_set(err, ENOTSUP, "its member '%s' %s, and only plain files are known here; make it "
				"with tar --format=ustar --dereference", name, others[i].words);
	return br_error_set(err, EBADMSG, "its member '%s' is of a kind that tar does not have; it is damaged", name);
}

static int add(struct br_usb_tar *tar, const char *name, uint64_t start, uint64_t size, struct br_error *err)
{
	struct br_usb_tar_member *m;

	for (size_t i = 0; i < tar->n; i++)
		if (!strcasecmp(tar->members[i].name, name))
			return br_error_set(err, EBADMSG, "it has '%s' twice", name);
	if (tar->n == BR_USB_TAR_MEMBERS_MAX)
		return br_error_set(err, EFBIG, "it has more than %d members", BR_USB_TAR_MEMBERS_MAX);
	if (br_array_reserve(&tar->members, &tar->cap, tar->n + 1, sizeof(*m)) < 0)
		return br_error_set(err, ENOMEM, "out of memory");
	m = &tar->members[tar->n++];
	*m = (struct br_usb_tar_member){ .start = start, .size = (uint32_t)size };
	memcpy(m->name, name, strlen(name) + 1);
	return 0;
}

/* One member, whose header is at *at: to the next. */
static int take(struct br_usb_tar *tar, const struct header *h, uint64_t len, uint64_t *at, struct br_error *err)
{
	char name[BR_USB_NAME_MAX + 1], vis[2 * BR_USB_NAME_MAX];
	uint64_t size, start = *at + BLOCK;
	int r;

	if (memcmp(h->magic, "ustar", 5) || !sum_ok(h))
		return br_error_set(err, EBADMSG, "%s", *at ? "a header in it is damaged" : "it is not a tar archive");
	if (full_name(h, name) < 0)
		return br_error_set(err, EBADMSG, "a name in it is longer than %d bytes", BR_USB_NAME_MAX);
	br_vis(vis, sizeof(vis), name, strlen(name));
	r = kind(h, vis, err);
	if (r < 0)
		return r;
	if (octal(h->size, sizeof(h->size), &size) < 0)
		return br_error_set(err, EBADMSG, "the size of its member '%s' is no number", vis);
	if (r == 0) {
		*at = start;
		return size ? br_error_set(err, EBADMSG, "its directory '%s' has bytes", vis) : 0;
	}
	if (size > BR_USB_FILE_MAX)
		return br_error_set(err, EFBIG, "its member '%s' has 4 GiB or more", vis);
	if (start > len || size > len - start)
		return br_error_set(err, EBADMSG, "it ends within its member '%s'; it was cut", vis);
	if (br_usb_name_check(name) < 0)
		return br_error_set(err, EBADMSG, "its member '%s' has a name that no board can ask for", vis);
	*at = start + (size + BLOCK - 1) / BLOCK * BLOCK;
	return add(tar, name, start, size, err);
}

int br_usb_tar_open(int fd, struct br_usb_tar **ret, struct br_error *err)
{
	br_cleanup(br_usb_tar_closep) struct br_usb_tar *tar = calloc(1, sizeof(*tar));
	uint64_t at = 0, headers = 0;
	struct header h;
	struct stat st;
	int r;

	if (!tar)
		return br_error_set(err, ENOMEM, "out of memory");
	if (fstat(fd, &st) < 0)
		return br_error_set(err, errno, "cannot look at it: %m");
	if (!S_ISREG(st.st_mode))
		return br_error_set(err, EINVAL, "it is not a plain file");
	for (;;) {
		uint64_t len = (uint64_t)st.st_size;

		if (at > len || len - at < BLOCK)
			return br_error_set(err, EBADMSG, "%s", len ? "it has no end; it was cut" : "it is empty");
		r = br_pread_all(fd, &h, sizeof(h), at);
		if (r < 0)
			return br_error_set(err, -r, "cannot read it: %s", strerror(-r));
		if (is_zero(&h))
			break;
		if (++headers > 2 * BR_USB_TAR_MEMBERS_MAX)
			return br_error_set(err, EFBIG, "it has more than %d headers", 2 * BR_USB_TAR_MEMBERS_MAX);
		r = take(tar, &h, len, &at, err);
		if (r < 0)
			return r;
	}
	if (!tar->n)
		return br_error_set(err, EBADMSG, "it has no files");
	*ret = br_take(tar);
	return 0;
}

const struct br_usb_tar_member *br_usb_tar_find(const struct br_usb_tar *tar, const char *prefix, const char *name)
{
	size_t n = strlen(prefix);

	for (size_t i = 0; i < tar->n; i++) {
		const struct br_usb_tar_member *m = &tar->members[i];

		if (!strncasecmp(m->name, prefix, n) && m->name[n] == '/' && !strcasecmp(m->name + n + 1, name))
			return m;
	}
	return NULL;
}

const struct br_usb_tar_member *br_usb_tar_member(const struct br_usb_tar *tar, size_t i)
{
	return i < tar->n ? &tar->members[i] : NULL;
}

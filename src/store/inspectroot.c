/* SPDX-License-Identifier: Apache-2.0 */
/* What an import finds out from the root file system. All of it is hostile and optional. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "store/inspect.h"

#define TEXT_MAX 4096

/* The first bytes of a regular file, through links. The count, or a negative errno. */
static int read_start(struct br_fs *fs, const char *path, char *buf, size_t size)
{
	struct br_fs_attr attr;
	uint64_t ino;
	size_t n = 0;
	bool eof;
	int r = br_fs_walk_follow(fs, path, &ino);

	if (!r)
		r = fs->ops->getattr(fs, ino, &attr);
	if (!r && (attr.mode & S_IFMT) != S_IFREG)
		r = -EINVAL;
	if (!r)
		r = fs->ops->read(fs, ino, 0, buf, size - 1, &n, &eof);
	if (r < 0)
		return r;
	buf[n] = 0;
	return (int)n;
}

/* KEY=value or KEY="value" at the start of a line, made safe for a terminal. */
static void take_value(const char *text, const char *key, char *ret, size_t size)
{
	size_t k = strlen(key), n;
	const char *s = text;

	while (s && (strncmp(s, key, k) != 0 || s[k] != '=')) {
		s = strchr(s, '\n');
		s = s ? s + 1 : NULL;
	}
	if (!s)
		return;
	s += k + 1;
	n = strcspn(s, "\n");
	if (n >= 2 && (*s == '"' || *s == '\'') && s[n - 1] == *s) {
		s++;
		n -= 2;
	}
	br_vis(ret, size, s, n);
}

static void read_os(struct br_fs *fs, struct br_image_info *info)
{
	char text[TEXT_MAX] = "";

	if (read_start(fs, "/etc/os-release", text, sizeof(text)) < 0 &&
		read_start(fs, "/usr/lib/os-release", text, sizeof(text)) < 0)
		return;
	take_value(text, "ID", info->os_id, sizeof(info->os_id));
	take_value(text, "PRETTY_NAME", info->os_name, sizeof(info->os_name));
	take_value(text, "VERSION_ID", info->os_version, sizeof(info->os_version));
}

/* ELF: class at 4, data at 5, e_machine at 18. */
static void read_arch(struct br_fs *fs, struct br_image_info *info)
{
	static const char *const programs[] = { "/usr/bin/env", "/bin/sh", "/sbin/init", "/bin/busybox" };
	static const struct {
		uint16_t machine;
		const char *arch;
	} machines[] = { { 183, "arm64" }, { 40, "armhf" }, { 62, "amd64" }, { 3, "i386" }, { 243, "riscv64" } };
	char head[65];

	for (size_t i = 0; i < BR_ARRAY_SIZE(programs); i++) {
		if (read_start(fs, programs[i], head, sizeof(head)) < 20 || memcmp(head, "\x7f" "ELF", 4) != 0 ||
			head[5] != 1)
			continue;
		for (size_t k = 0; k < BR_ARRAY_SIZE(machines); k++)
			if (br_load_le16(head + 18) == machines[k].machine)
				br_strcpy(info->arch, sizeof(info->arch), machines[k].arch);
		return;
	}
}

struct kernels {
	struct br_fs *fs;
	char *out;
	size_t len, size;
};

static int take_kernel(void *ctx, const struct br_fs_dirent *e)
{
	struct kernels *k = ctx;
	struct br_fs_attr attr;
	size_t n = strlen(e->name);

	if (e->name[0] < '0' || e->name[0] > '9' || k->len + n + 2 > k->size ||
		strspn(e->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+~-") != n ||
		k->fs->ops->getattr(k->fs, e->ino, &attr) < 0 || (attr.mode & S_IFMT) != S_IFDIR)
		return 0;
	k->len += (size_t)snprintf(k->out + k->len, k->size - k->len, "%s%s", k->len ? " " : "", e->name);
	return 0;
}

static void read_kernels(struct br_fs *fs, struct br_image_info *info)
{
	struct kernels k = { .fs = fs, .out = info->kernels, .size = sizeof(info->kernels) };
	uint64_t ino;
	bool eof;

	if (br_fs_walk_follow(fs, "/lib/modules", &ino) < 0)
		return;
	(void)fs->ops->readdir(fs, ino, 0, take_kernel, &k, &eof);
}

void br_inspect_root(struct br_fs *fs, struct br_image_info *info)
{
	read_os(fs, info);
	read_arch(fs, info);
	read_kernels(fs, info);
	if (!info->os_name[0])
		br_inspect_note(info, "there is no os-release in its root partition");
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must look different in a root file system that was made for a card and now lives on the
 * network (wire notes 4.4): mounts of local partitions, units that resize or swap on them, and the
 * identity that every board of the image would share.
 */
#include "plan/rootfacts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

#define TEXT_MAX (64 << 10) /* an fstab or hosts file beyond this is not one */

/* The file's text (free()); *ret NULL when there is no such regular file. */
static int read_text(struct br_fs *fs, const char *path, char **ret)
{
	br_cleanup(br_freep) char *buf = NULL;
	struct br_fs_attr attr;
	uint64_t ino;
	size_t n;
	bool eof;
	int r = br_fs_walk(fs, path, &ino);

	*ret = NULL;
	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
		return 0;
	if (r < 0)
		return r;
	r = fs->ops->getattr(fs, ino, &attr);
	if (r < 0)
		return r;
	if ((attr.mode & S_IFMT) != S_IFREG || attr.size > TEXT_MAX)
		return 0;
	buf = calloc(1, TEXT_MAX + 1);
	if (!buf)
		return -ENOMEM;
	r = fs->ops->read(fs, ino, 0, buf, TEXT_MAX, &n, &eof);
	if (r < 0)
		return r;
	*ret = br_take(buf);
	return 0;
}

static int exists(struct br_fs *fs, const char *path)
{
	uint64_t ino;
	int r = br_fs_walk(fs, path, &ino);

	if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
		return 0;
	return r < 0 ? r : 1;
}

/* A mount that makes no sense on a network root: a local device, or a place we serve. */
static bool fstab_line_is_local(const char *line)
{
	static const char *const devices[] = {
		"PARTUUID=", "UUID=", "LABEL=", "PARTLABEL=", "/dev/mmcblk", "/dev/sd", "/dev/nvme",
		"/dev/disk/", "/swapfile", "/var/swap",
	};
	char spec[256] = "", where[256] = "", type[64] = "";

	if (sscanf(line, " %255s %255s %63s", spec, where, type) < 3 || spec[0] == '#')
		return false;
	if (!strcmp(where, "/") || !strcmp(type, "swap"))
		return true;
	for (size_t i = 0; i < BR_ARRAY_SIZE(devices); i++)
		if (br_str_starts(spec, devices[i]))
			return true;
	return false;
}

static bool hosts_line_is_own_name(const char *line)
{
	return br_str_starts(line, "127.0.1.1") && (line[9] == ' ' || line[9] == '\t');
}

/* Copies text line by line; lines that match get 'prefix' before them, or are left out when it is NULL. */
static char *filter_lines(const char *text, bool (*match)(const char *line), const char *prefix)
{
	struct br_text t = BR_TEXT_NULL;

	for (const char *s = text; *s;) {
		size_t n = strcspn(s, "\n");
		br_cleanup(br_freep) char *line = strndup(s, n);

		if (!line) {
			br_text_done(&t);
			return NULL;
		}
		if (!match(line))
			br_text_addf(&t, "%s\n", line);
		else if (prefix)
			br_text_addf(&t, "%s%s\n", prefix, line);
		s += n + (s[n] == '\n');
	}
	return br_text_take(&t);
}

static void add_common(struct br_plan_base *base, const char *path, const char *link_target)
{
	if (base->n_common == BR_PLAN_MAX_PROJECTIONS)
		return; /* the tables below are shorter than that: cannot happen */
	base->common[base->n_common++] = (struct br_projection){
		.path = path,
		.data = link_target,
		.len = link_target ? strlen(link_target) : 0,
		.mode = 0777,
		.symlink = link_target != NULL,
	};
}

/* A unit is masked as 'systemctl mask' does it, when the image has it. */
static int mask_units(struct br_fs *fs, struct br_plan_base *base)
{
	static const struct {
		const char *mask, *unit, *script;
	} units[] = {
#define UNIT(u, script) { "/etc/systemd/system/" u ".service", u ".service", script }
		UNIT("resize2fs_once", "/etc/init.d/resize2fs_once"),
		UNIT("rpi-resize", NULL),
		UNIT("rpi-resize-swap-file", NULL),
		UNIT("dphys-swapfile", "/etc/init.d/dphys-swapfile"),
		/* it deletes the host keys we project */
		UNIT("regenerate_ssh_host_keys", NULL),
		UNIT("sshd-keygen", NULL),
#undef UNIT
	};
	static const char *const places[] = {
		"/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(units); i++) {
		int found = units[i].script ? exists(fs, units[i].script) : 0;

		for (size_t k = 0; !found && k < BR_ARRAY_SIZE(places); k++) {
			br_cleanup(br_freep) char *path = br_asprintf("%s/%s", places[k], units[i].unit);

			if (!path)
				return -ENOMEM;
			found = exists(fs, path);
		}
		if (found < 0)
			return found;
		if (found)
			add_common(base, units[i].mask, "/dev/null");
	}
	return 0;
}

/* Host keys that came with the image are the same on every board: not shown. */
static int hide_host_keys(struct br_fs *fs, struct br_plan_base *base)
{
	static const char *const keys[] = {
		"/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_rsa_key.pub",
		"/etc/ssh/ssh_host_ecdsa_key", "/etc/ssh/ssh_host_ecdsa_key.pub",
		"/etc/ssh/ssh_host_dsa_key", "/etc/ssh/ssh_host_dsa_key.pub",
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(keys); i++) {
		int found = exists(fs, keys[i]);

		if (found < 0)
			return found;
		if (found)
			add_common(base, keys[i], NULL);
	}
	return 0;
}

int br_plan_read_root(struct br_fs *fs, struct br_plan_base *base, struct br_error *err)
{
	br_cleanup(br_freep) char *fstab = NULL;
	br_cleanup(br_freep) char *hosts = NULL;
	int r = read_text(fs, "/etc/fstab", &fstab);

	if (!r)
		r = read_text(fs, "/etc/hosts", &hosts);
	if (!r)
		r = mask_units(fs, base);
	if (!r)
		r = hide_host_keys(fs, base);
	if (!r)
		r = exists(fs, "/etc/ssh");
	base->has_ssh_dir = r > 0;
	if (r < 0)
		return br_error_set(err, -r, "image %s: cannot read its root file system: %s",
			br_image_info(base->image)->name, strerror(-r));
	if (fstab)
		base->fstab = filter_lines(fstab, fstab_line_is_local, "# not on a network root: ");
	if (hosts)
		base->hosts = filter_lines(hosts, hosts_line_is_own_name, NULL);
	if ((fstab && !base->fstab) || (hosts && !base->hosts))
		return br_error_set(err, ENOMEM, "out of memory");
	return 0;
}

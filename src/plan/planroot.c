/* SPDX-License-Identifier: Apache-2.0 */
/* What a board's root shows: people's own files, what the first start expects on a boot partition, and what is made. */
#include "plan/planroot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "plan/base.h"
#include "store/disk.h"

#define KEYS_MAX (256u << 10)
#define SEED_MAX (256u << 10) /* of a text on the boot partition */

/* Right below the directory of people's files, and no path of the root. */
#define KEYS_NAME "authorized_keys"
#define USER_NAME "userconf.txt"

struct making {
	const struct br_plan *plan;
	const struct br_override_set *extra;
	struct br_root_files *files;
	struct br_text keys;
};

/* ---- people's files ---- */

/* Is there a directory for it in the image? */
static bool has_directory(struct br_fs *fs, const char *path)
{
	br_cleanup(br_freep) char *dir = strndup(path, (size_t)(strrchr(path, '/') - path));
	struct br_fs_attr attr = { 0 };
	uint64_t ino;

	return dir && !br_fs_walk_follow(fs, dir, &ino) && !fs->ops->getattr(fs, ino, &attr) && S_ISDIR(attr.mode);
}

static bool has_file(struct br_fs *fs, const char *path)
{
	uint64_t ino;

	return !br_fs_walk(fs, path, &ino);
}

static void add_extra(struct making *m, struct br_fs *fs, const struct br_override *o)
{
	char *path;

	if (!strchr(o->path, '/')) {
		if (strcmp(o->path, KEYS_NAME) != 0 && strcmp(o->path, USER_NAME) != 0)
			br_root_files_left_out(m->files, "%s/%s: files lie in directories, as etc/motd", o->layer, o->path);
		return;
	}
	path = br_root_files_own(m->files, br_asprintf("/%s", o->path));
	if (!path)
		return;
	if (!has_directory(fs, path)) {
		br_root_files_left_out(m->files, "%s%s: its directory is not in the image", o->layer, path);
		return;
	}
	br_root_files_add(m->files, &(struct br_projection){
		.path = path,
		.data = o->span.data,
		.len = o->span.len,
		.mode = o->mode,
		.symlink = o->symlink,
		.why = strcmp(o->layer, "all") != 0 ? "given for this board" : "given for all boards",
	});
}

/* ---- keys ---- */

static void add_keys(struct making *m, const void *data, size_t len)
{
	if (m->keys.len && m->keys.buf[m->keys.len - 1] != '\n')
		br_text_add(&m->keys, "\n");
	if (len && !memchr(data, 0, len))
		br_text_add_bytes(&m->keys, data, len);
}

static void gather_keys(struct making *m)
{
	const char *file = br_plan_input(m->plan)->keys;
	br_cleanup(br_freep) char *text = NULL;
	struct br_error err = BR_ERROR_NULL;
	size_t len = 0;
	int r = file ? br_file_read(file, KEYS_MAX, &text, &len, &err) : 0;

	if (r < 0 && r != -ENOENT)
		br_root_files_left_out(m->files, "%s", err.text);
	if (text)
		add_keys(m, text, len);
}

/* The board's own, or DIR/all's: a set has the strongest only. */
static void gather_extra_keys(struct making *m)
{
	const struct br_override *o = br_override_find(m->extra, KEYS_NAME);

	if (o)
		add_keys(m, o->span.data, o->span.len);
}

/* ---- the boot partition's ---- */

/* A text of the boot partition as the board gets it, in memory of the list; NULL when there is none. */
static const char *boot_text(struct making *m, const char *name, size_t *ret_len)
{
	struct br_bootfile file;
	char clean[BR_BOOT_PATH_MAX];
	uint8_t *copy;
	size_t at = 0;

	if (br_plan_bootfile(m->plan, name, &file, clean) < 0 || file.size > SEED_MAX)
		return NULL;
	copy = br_root_files_own(m->files, calloc(1, file.size + 1));
	if (!copy)
		return NULL;
	for (size_t i = 0; i < file.n_spans && at < file.size; i++) {
		size_t n = file.spans[i].len < file.size - at ? file.spans[i].len : file.size - at;

		memcpy(copy + at, file.spans[i].data, n);
		at += n;
	}
	*ret_len = at;
	return (const char *)copy;
}

/* Where a card would have its boot partition there is an empty directory: texts that a first start looks for appear in it,
 * unless the root has its own. */
static void add_seeds(struct making *m, struct br_fs *fs)
{
	static const char *const names[] = {
		"user-data", "meta-data", "network-config", "vendor-data", "config.txt", "cmdline.txt", "wpa_supplicant.conf",
	};
	const char *dir = br_plan_input(m->plan)->base->root.boot_dir;

	for (size_t i = 0; dir[0] && i < BR_ARRAY_SIZE(names); i++) {
		char *path = br_root_files_own(m->files, br_asprintf("%s/%s", dir, names[i]));
		const char *text;
		size_t len = 0;

		if (!path || has_file(fs, path))
			continue;
		text = boot_text(m, names[i], &len);
		if (text)
			br_root_files_add(m->files, &(struct br_projection){ .path = path, .data = text, .len = len, .mode = 0644,
							    .why = "from the boot partition, which a network root does not mount" });
	}
}

static bool has_boot_file(const struct br_plan *plan, const char *name)
{
	struct br_bootfile file;
	char clean[BR_BOOT_PATH_MAX];

	return !br_plan_bootfile(plan, name, &file, clean);
}

/* The strongest of: people's, the boot partition's. */
static void find_userconf(struct making *m, struct br_root_wish *wish)
{
	static const char *const names[] = { USER_NAME, "userconf" };
	const struct br_override *o = br_override_find(m->extra, USER_NAME);

	if (o) {
		wish->userconf = (const char *)o->span.data;
		wish->userconf_len = o->span.len;
	}
	for (size_t i = 0; !wish->userconf && i < BR_ARRAY_SIZE(names); i++)
		wish->userconf = boot_text(m, names[i], &wish->userconf_len);
}

/*
 * Its area that outlives volatile disks. 'addr' is what mount.nfs(8) would find out: an image without nfs-common has no such
 * program, mount(8) then hands the options to the kernel as they are, which needs it. systemd makes the directory.
 */
static char *persist_line(const struct br_plan_server *server)
{
	char ip[BR_IP_TEXT], port[16] = "";

	br_ip_format(ip, server->ip);
	if (server->nfs_port != 2049)
		snprintf(port, sizeof(port), ",port=%u", server->nfs_port);
	return br_asprintf("%s:/persist /persist nfs vers=3,tcp,nolock,addr=%s%s,_netdev,nofail,x-systemd.mount-timeout=30s 0 0\n", ip,
		ip, port);
}

int br_plan_make_root(const struct br_plan *plan, const struct br_override_set *extra, struct br_root_files *ret,
	struct br_error *err)
{
	const struct br_plan_input *in = br_plan_input(plan);
	struct making m = { .plan = plan, .extra = extra, .files = ret };
	struct br_root_wish wish = { .name = in->board.name, .mac = in->board.mac };
	const struct br_override *o;
	struct br_fs *fs;
	int r = br_image_fs(br_plan_base_image(in->base), &fs, err);

	if (r < 0)
		return r;
	for (size_t i = 0; (o = br_override_at(extra, i)); i++)
		add_extra(&m, fs, o);
	add_seeds(&m, fs);
	fs->ops->close(fs);
	memcpy(wish.ssh_seed, in->ssh_seed, sizeof(wish.ssh_seed));
	memcpy(wish.machine_id, in->machine_id, sizeof(wish.machine_id));
	if (in->persist)
		wish.fstab = br_root_files_own(ret, persist_line(&in->server));
	wish.ssh = has_boot_file(plan, "ssh") || has_boot_file(plan, "ssh.txt");
	wish.log_ip = in->server.ip;
	wish.log_netconsole = in->server.log_netconsole || br_board_tagged(&in->board, "log-netconsole");
	wish.log_syslog = in->server.log_syslog || br_board_tagged(&in->board, "log-syslog");
	gather_keys(&m);
	gather_extra_keys(&m);
	find_userconf(&m, &wish);
	if (m.keys.len) {
		add_keys(&m, "", 0); /* the last line's newline */
		wish.keys = br_root_files_own(ret, br_text_take(&m.keys));
	}
	br_text_done(&m.keys);
	r = br_root_files_make(&in->base->root, &wish, ret, err);
	explicit_bzero(wish.ssh_seed, sizeof(wish.ssh_seed));
	return r;
}

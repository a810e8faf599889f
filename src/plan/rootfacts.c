/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must look different in a root file system that was made for a card and now lives on the
 * network (wire notes 4.4): mounts of local partitions, units that resize or swap on them, network
 * managers that would take the root's interface down, and the identity that every board of the image would share.
 */
#include "plan/rootfacts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

#define TEXT_MAX (256 << 10) /* an fstab, hosts or passwd file beyond this is not one */

static bool missing(int r)
{
	return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
}

/* ---- looking ---- */

/* 'r' stays at the first failure, so that what asks need not check each answer. */
struct looking {
	struct br_fs *fs;
	struct br_root_facts *f;
	int r;
};

/* Type and permissions of what is there; 0: nothing. */
static uint32_t mode_at(struct looking *l, const char *path, bool follow)
{
	struct br_fs_attr attr = { 0 };
	uint64_t ino;
	int r = follow ? br_fs_walk_follow(l->fs, path, &ino) : br_fs_walk(l->fs, path, &ino);

	if (!r)
		r = l->fs->ops->getattr(l->fs, ino, &attr);
	if (r < 0 && !missing(r) && !l->r)
		l->r = r;
	return r < 0 ? 0 : attr.mode;
}

static bool exists(struct looking *l, const char *path)
{
	return mode_at(l, path, false) != 0;
}

static bool is_dir(struct looking *l, const char *path)
{
	return S_ISDIR(mode_at(l, path, true));
}

/* The file's text (free()); NULL when there is no such regular file. */
static char *read_text(struct looking *l, const char *path)
{
	br_cleanup(br_freep) char *buf = NULL;
	struct br_fs_attr attr = { 0 };
	uint64_t ino;
	size_t n = 0;
	bool eof;
	int r = br_fs_walk_follow(l->fs, path, &ino);

	if (!r)
		r = l->fs->ops->getattr(l->fs, ino, &attr);
	if (!r && ((attr.mode & S_IFMT) != S_IFREG || attr.size > TEXT_MAX))
		return NULL;
	if (!r)
		r = (buf = calloc(1, attr.size + 1)) ? l->fs->ops->read(l->fs, ino, 0, buf, attr.size, &n, &eof) : -ENOMEM;
	if (r < 0 || !buf) {
		l->r = l->r || missing(r) ? l->r : r;
		return NULL;
	}
	return memchr(buf, 0, n) ? NULL : br_take(buf); /* text has no NUL */
}

static const char *const unit_dirs[] = { "/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system" };

static bool has_unit(struct looking *l, const char *unit)
{
	char path[128];

	for (size_t i = 0; i < BR_ARRAY_SIZE(unit_dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", unit_dirs[i], unit);
		if (exists(l, path))
			return true;
	}
	return false;
}

static void unknown(struct looking *l, const char *words)
{
	br_text_addf(&l->f->unknown, "%s%s", l->f->unknown.len ? "; " : "", words);
}

/* data NULL: hidden */
static void add(struct looking *l, const char *path, const char *data, bool symlink, const char *why)
{
	if (l->f->n_common == BR_ROOT_COMMON_MAX)
		return; /* the tables below are shorter than that: cannot happen */
	l->f->common[l->f->n_common++] = (struct br_projection){
		.path = path,
		.data = data,
		.len = data ? strlen(data) : 0,
		.mode = 0644,
		.symlink = symlink,
		.why = why,
	};
}

/* ---- units ---- */

#define RESIZE	 "would make partition and file system as large as a card"
#define SWAPFILE "would make a swap file on the network root, which deadlocks when memory is short"
#define HOSTKEYS "would remove the board's host keys and make others"

/* Masked as 'systemctl mask' does it, when the image has the unit or the init script it is made of. */
static const struct masked {
	const char *mask, *unit, *script, *why;
} masked[] = {
#define UNIT(u, script, why) { "/etc/systemd/system/" u, u, script, why }
	/* Raspberry Pi OS: to bookworm; trixie */
	UNIT("resize2fs_once.service", "/etc/init.d/resize2fs_once", RESIZE),
	UNIT("rpi-resize.service", NULL, RESIZE),
	UNIT("systemd-growfs-root.service", NULL, RESIZE),
	UNIT("systemd-repart.service", NULL, RESIZE),
	UNIT("dphys-swapfile.service", "/etc/init.d/dphys-swapfile", SWAPFILE),
	UNIT("rpi-resize-swap-file.service", NULL, SWAPFILE),
	UNIT("regenerate_ssh_host_keys.service", "/etc/init.d/regenerate_ssh_host_keys", HOSTKEYS),
	UNIT("rpi-eeprom-update.service", NULL, "would put an update of the boot EEPROM where no firmware looks"),
	/* Debian's images for the Raspberry Pi */
	UNIT("rpi-resizerootfs.service", NULL, RESIZE),
	UNIT("rpi-generate-ssh-host-keys.service", NULL, HOSTKEYS),
	UNIT("rpi-reconfigure-raspi-firmware.service", NULL, "would look for the partition of the root, and there is none"),
	UNIT("sshd-keygen.service", NULL, HOSTKEYS),
	/* Ubuntu */
	UNIT("swapfile.swap", NULL, SWAPFILE),
	UNIT("mkswap.service", NULL, SWAPFILE),
	UNIT("var-swap.swap", NULL, SWAPFILE),
	/* others */
	UNIT("armbian-resize-filesystem.service", NULL, RESIZE),
	UNIT("dietpi-fs_partition_resize.service", NULL, RESIZE),
#undef UNIT
};

static void mask_units(struct looking *l)
{
	bool systemd = false;

	for (size_t i = 0; i < BR_ARRAY_SIZE(unit_dirs); i++)
		systemd = systemd || is_dir(l, unit_dirs[i]);
	if (!systemd) {
		unknown(l, "no systemd: nothing is kept from resizing, swapping or making host keys");
		return;
	}
	for (size_t i = 0; i < BR_ARRAY_SIZE(masked); i++)
		if ((masked[i].script && exists(l, masked[i].script)) || has_unit(l, masked[i].unit))
			add(l, masked[i].mask, "/dev/null", true, masked[i].why);
	/* systemd-zram-generator makes the swap: the file that trixie puts behind it is left out (swap.conf(5)) */
	if (exists(l, "/usr/lib/systemd/system-generators/rpi-swap-generator") || exists(l, "/etc/rpi/swap.conf"))
		add(l, "/etc/rpi/swap.conf", "# bramble: no swap file on a network root\n[Main]\nMechanism=zram\n", false,
			"swap in compressed memory only: " SWAPFILE);
}

/* ---- what must not be shared ---- */

#define SHARED "the image's, which every board would have alike"

static void hide_identity(struct looking *l)
{
	static const char *const files[] = {
		"/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_rsa_key.pub",
		"/etc/ssh/ssh_host_ecdsa_key", "/etc/ssh/ssh_host_ecdsa_key.pub",
		"/etc/ssh/ssh_host_dsa_key", "/etc/ssh/ssh_host_dsa_key.pub",
		"/var/lib/systemd/random-seed", "/var/lib/systemd/credential.secret",
		"/var/lib/NetworkManager/secret_key",
		"/etc/dhcpcd.duid", "/var/lib/dhcpcd/duid", "/var/lib/dhcpcd5/duid",
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(files); i++)
		if (exists(l, files[i]))
			add(l, files[i], NULL, false, SHARED);
	if (S_ISREG(mode_at(l, "/var/lib/dbus/machine-id", false)))
		add(l, "/var/lib/dbus/machine-id", "/etc/machine-id", true, SHARED);
}

/* ---- the network ---- */

static void find_network(struct looking *l)
{
	static const char wants[] = "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service";
	struct br_root_facts *f = l->f;

	f->network_manager = has_unit(l, "NetworkManager.service") && is_dir(l, "/etc/NetworkManager/conf.d");
	if (has_unit(l, "dhcpcd.service") || exists(l, "/etc/init.d/dhcpcd"))
		f->dhcpcd = read_text(l, "/etc/dhcpcd.conf");
	f->networkd = exists(l, wants) || (is_dir(l, "/etc/netplan") && !f->network_manager);
	f->ifupdown = exists(l, "/etc/network/interfaces") && (has_unit(l, "networking.service") || exists(l, "/etc/init.d/networking"));
	f->resolver_link = is_dir(l, "/etc") && !S_ISDIR(mode_at(l, "/etc/resolv.conf", false));
	if (!f->network_manager && !f->dhcpcd && !f->networkd && !f->ifupdown)
		unknown(l, "no network manager that is known: what there is must leave the root's interface alone");
}

/*
 * cloud-init's modules that would fail on the root, and those that would take away what we give. Files of cloud.cfg.d count
 * in the order of their names, the seed's user-data over all of them.
 */
static const char cloud_cfg[] =
	"# bramble: the root is on the network; name and host keys of each board come from there too\n"
	"growpart: {mode: \"off\"}\n"
	"resize_rootfs: false\n"
	"ssh_deletekeys: false\n"
	"ssh_genkeytypes: [ed25519]\n"
	"preserve_hostname: true\n";

static void find_cloud_init(struct looking *l)
{
	l->f->cloud_init = is_dir(l, "/etc/cloud/cloud.cfg.d");
	if (l->f->cloud_init)
		add(l, "/etc/cloud/cloud.cfg.d/zz-bramble.cfg", cloud_cfg, false, "keeps cloud-init from resizing and from the host keys");
}

/* ---- ssh and accounts ---- */

static bool includes_conf_d(const char *config)
{
	for (const char *s = config; *s; s += strcspn(s, "\n"), s += *s == '\n') {
		s += strspn(s, " \t");
		if (!strncasecmp(s, "Include", 7) && strstr(s, "sshd_config.d/") && strstr(s, "sshd_config.d/") < s + strcspn(s, "\n"))
			return true;
	}
	return false;
}

static void find_ssh(struct looking *l)
{
	static const char *const units[] = { "/usr/lib/systemd/system/ssh.service", "/lib/systemd/system/ssh.service" };
	br_cleanup(br_freep) char *config = read_text(l, "/etc/ssh/sshd_config");
	struct br_root_facts *f = l->f;

	f->initramfs_tools = exists(l, "/usr/share/initramfs-tools/scripts/nfs");
	f->ssh_dir = is_dir(l, "/etc/ssh");
	if (!f->ssh_dir)
		unknown(l, "no /etc/ssh: no host keys are given");
	for (size_t i = 0; i < BR_ARRAY_SIZE(units) && !f->ssh_unit; i++)
		if (exists(l, units[i]))
			f->ssh_unit = units[i];
	f->ssh_enabled = exists(l, "/etc/systemd/system/multi-user.target.wants/ssh.service") ||
			 exists(l, "/etc/systemd/system/sockets.target.wants/ssh.socket");
	f->ssh_include = config && includes_conf_d(config) && is_dir(l, "/etc/ssh/sshd_config.d");
	f->ssh_not_to_be_run = exists(l, "/etc/ssh/sshd_not_to_be_run");
	f->wants_dir = is_dir(l, "/etc/systemd/system/multi-user.target.wants");
}

static void find_accounts(struct looking *l)
{
	struct br_root_facts *f = l->f;

	f->passwd = read_text(l, "/etc/passwd");
	f->shadow = read_text(l, "/etc/shadow");
	f->group = read_text(l, "/etc/group");
	f->gshadow = read_text(l, "/etc/gshadow");
	f->shell = mode_at(l, "/bin/bash", true) ? "/bin/bash" : "/bin/sh";
	f->sudoers_dir = is_dir(l, "/etc/sudoers.d");
	f->tmpfiles_dir = is_dir(l, "/etc/tmpfiles.d");
	f->modprobe_dirs = is_dir(l, "/etc/modprobe.d") && is_dir(l, "/etc/modules-load.d");
	f->rsyslog = has_unit(l, "rsyslog.service") && is_dir(l, "/etc/rsyslog.d");
	f->user_wizard = has_unit(l, "userconfig.service");
	f->user_banner = exists(l, "/etc/ssh/sshd_config.d/rename_user.conf");
}

/* ---- texts ---- */

/* A mount that makes no sense on a network root: a local device, or a place we serve. */
static bool fstab_line_is_local(const char *line)
{
	static const char *const devices[] = {
		"PARTUUID=", "UUID=", "LABEL=", "PARTLABEL=", "/dev/mmcblk", "/dev/sd", "/dev/nvme",
		"/dev/disk/", "/dev/root", "/dev/vd", "/dev/mapper/",
	};
	char spec[256] = "", where[256] = "", type[64] = "";

	if (sscanf(line, " %255s %255s %63s", spec, where, type) < 3 || spec[0] == '#')
		return false;
	if (!strcmp(where, "/"))
		return true;
	if (!strcmp(type, "swap"))
		return !br_str_starts(spec, "/dev/zram");
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

static void read_texts(struct looking *l)
{
	br_cleanup(br_freep) char *fstab = read_text(l, "/etc/fstab");
	br_cleanup(br_freep) char *hosts = read_text(l, "/etc/hosts");

	if (fstab)
		l->f->fstab = filter_lines(fstab, fstab_line_is_local, "# not on a network root: ");
	else
		unknown(l, "no /etc/fstab");
	if (hosts)
		l->f->hosts = filter_lines(hosts, hosts_line_is_own_name, NULL);
	if ((fstab && !l->f->fstab) || (hosts && !l->f->hosts))
		l->r = -ENOMEM;
	for (size_t i = 0; i < 2; i++) {
		static const char *const dirs[] = { "/boot/firmware", "/boot" };

		if (!l->f->boot_dir[0] && is_dir(l, dirs[i]))
			br_strcpy(l->f->boot_dir, sizeof(l->f->boot_dir), dirs[i]);
	}
}

/* A value of os-release(5) without its quotes; "" when it is not there. */
static void os_release(const char *text, const char *key, char *out, size_t size)
{
	size_t n = strlen(key);

	out[0] = 0;
	for (const char *s = text; *s; s += strcspn(s, "\n"), s += *s == '\n') {
		size_t len = strcspn(s, "\n");

		if (strncmp(s, key, n) || s[n] != '=')
			continue;
		s += n + 1;
		len -= n + 1;
		if (len >= 2 && (*s == '"' || *s == '\'')) {
			s++;
			len -= 2;
		}
		br_vis(out, size, s, len);
		return;
	}
}

static void name_layout(struct looking *l)
{
	br_cleanup(br_freep) char *text = read_text(l, "/etc/os-release");
	char name[96];

	if (!text)
		text = read_text(l, "/usr/lib/os-release");
	if (!text) {
		unknown(l, "no os-release: what system this is, is not known");
		return;
	}
	/* Raspberry Pi OS (64 bit) calls itself Debian there */
	if (exists(l, "/etc/rpi-issue")) {
		os_release(text, "VERSION_CODENAME", name, sizeof(name));
		snprintf(l->f->layout, sizeof(l->f->layout), "Raspberry Pi OS %s", name);
		return;
	}
	os_release(text, "PRETTY_NAME", name, sizeof(name));
	br_strcpy(l->f->layout, sizeof(l->f->layout), name);
}

int br_root_facts_read(struct br_fs *fs, const char *name, struct br_root_facts *ret, struct br_error *err)
{
	static void (*const parts[])(struct looking *l) = {
		name_layout, read_texts, mask_units, hide_identity, find_network, find_cloud_init, find_ssh, find_accounts,
	};
	struct looking l = { .fs = fs, .f = ret };

	*ret = (struct br_root_facts){ 0 };
	for (size_t i = 0; i < BR_ARRAY_SIZE(parts) && !l.r; i++)
		parts[i](&l);
	if (ret->unknown.failed)
		l.r = -ENOMEM;
	return l.r < 0 ? br_error_set(err, -l.r, "image %s: cannot read its root file system: %s", name, strerrordesc_np(-l.r)) : 0;
}

void br_root_facts_done(struct br_root_facts *f)
{
	char *const texts[] = { f->fstab, f->hosts, f->dhcpcd, f->passwd, f->shadow, f->group, f->gshadow };

	for (size_t i = 0; i < BR_ARRAY_SIZE(texts); i++)
		free(texts[i]);
	br_text_done(&f->unknown);
	*f = (struct br_root_facts){ 0 };
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a network root shows of the systems that boards run, item by item (wire notes 4.4): each layout is a tree with the
 * files that matter, the facts are read from it, the files are made for a board and laid over the tree.
 */
#include "tests/unit/test.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "plan/account.h"
#include "plan/rootfiles.h"
#include "tests/unit/memfs.h"

struct file {
	const char *path, *text; /* text "->target": a link; NULL: a directory */
};

#define MASKED "->/dev/null"
#define HIDDEN NULL

/* What a board is to find: the text, a part of it ("..." in front), a link, or nothing (HIDDEN). */
struct expected {
	const char *path, *what;
};

#define SYSTEMD(u) { "/usr/lib/systemd/system/" u, "[Unit]\n" }
#define ACCOUNTS(user, hash) \
	{ "/etc/passwd", "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\n" user }, \
	{ "/etc/shadow", "root:*:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n" hash }, \
	{ "/etc/group", "root:x:0:\nsudo:x:27:\nshadow:x:42:\nvideo:x:44:someone\n" }, \
	{ "/etc/gshadow", "root:*::\nsudo:*::\nshadow:*::\nvideo:*::someone\n" }

static const struct file bookworm[] = {
	{ "/etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_CODENAME=bookworm\n" },
	{ "/etc/rpi-issue", "Raspberry Pi reference 2024-11-19\n" },
	{ "/etc/fstab", "proc /proc proc defaults 0 0\nPARTUUID=4e639091-01 /boot/firmware vfat defaults 0 2\n"
			"PARTUUID=4e639091-02 / ext4 defaults,noatime 0 1\n# a swapfile is not a swap partition\n" },
	{ "/etc/hosts", "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost\n127.0.1.1\t\traspberrypi\n" },
	{ "/etc/hostname", "raspberrypi\n" }, { "/etc/machine-id", "" }, { "/boot/firmware", NULL },
	SYSTEMD("NetworkManager.service"), SYSTEMD("ssh.service"), SYSTEMD("regenerate_ssh_host_keys.service"),
	SYSTEMD("rpi-eeprom-update.service"), SYSTEMD("userconfig.service"), SYSTEMD("dphys-swapfile.service"),
	SYSTEMD("sshswitch.service"), SYSTEMD("systemd-networkd.service"),
	{ "/etc/init.d/resize2fs_once", "#!/bin/sh\n" }, { "/etc/NetworkManager/conf.d", NULL }, { "/etc/resolv.conf", "nameserver 8.8.8.8\n" },
	{ "/etc/ssh/sshd_config", "# comment\nInclude /etc/ssh/sshd_config.d/*.conf\n" },
	{ "/etc/ssh/sshd_config.d/rename_user.conf", "Banner /usr/share/userconf-pi/sshd_banner\n" },
	{ "/etc/ssh/ssh_host_rsa_key", "the image's\n" }, { "/var/lib/systemd/random-seed", "seed" },
	{ "/var/lib/NetworkManager/secret_key", "nm" }, { "/etc/systemd/system/multi-user.target.wants", NULL },
	{ "/etc/sudoers.d/010_pi-nopasswd", "pi ALL=(ALL) NOPASSWD: ALL\n" }, { "/etc/tmpfiles.d", NULL }, { "/bin/bash", "x" },
	ACCOUNTS("pi:x:1000:1000:,,,:/home/pi:/bin/bash\n", "pi:!:19000:0:99999:7:::\n"), { "/home/pi/.bashrc", "" },
};
static const struct expected bookworm_gets[] = {
	{ "/etc/fstab", "proc /proc proc defaults 0 0\n# not on a network root: PARTUUID=4e639091-01 /boot/firmware vfat defaults 0 2\n"
			"# not on a network root: PARTUUID=4e639091-02 / ext4 defaults,noatime 0 1\n# a swapfile is not a swap partition\n" },
	{ "/etc/hosts", "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost\n127.0.1.1\tpi07\n" }, { "/etc/hostname", "pi07\n" },
	{ "/etc/machine-id", "6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d6d\n" },
	{ "/etc/systemd/system/resize2fs_once.service", MASKED }, { "/etc/systemd/system/dphys-swapfile.service", MASKED },
	{ "/etc/systemd/system/regenerate_ssh_host_keys.service", MASKED }, { "/etc/systemd/system/rpi-eeprom-update.service", MASKED },
	{ "/etc/systemd/system/rpi-resize.service", HIDDEN }, { "/etc/systemd/system/sshswitch.service", HIDDEN },
	{ "/etc/systemd/system/userconfig.service", MASKED }, { "/etc/ssh/sshd_config.d/rename_user.conf", HIDDEN },
	{ "/etc/ssh/ssh_host_rsa_key", HIDDEN }, { "/etc/ssh/ssh_host_ed25519_key", "...BEGIN OPENSSH PRIVATE KEY" },
	{ "/etc/ssh/ssh_host_ed25519_key.pub", "...root@pi07" }, { "/var/lib/systemd/random-seed", HIDDEN },
	{ "/var/lib/NetworkManager/secret_key", HIDDEN },
	{ "/etc/NetworkManager/conf.d/90-bramble.conf", "...unmanaged-devices=mac:dc:a6:32:00:00:07\n" },
	{ "/etc/resolv.conf", "->/proc/net/pnp" }, { "/etc/systemd/system/multi-user.target.wants/ssh.service", "->/usr/lib/systemd/system/ssh.service" },
	{ "/etc/ssh/sshd_config.d/10-bramble.conf", "...bramble_keys_%u" }, { "/etc/ssh/bramble_keys_root", "ssh-ed25519 AAAA me\n" },
	{ "/etc/ssh/bramble_keys_ada", "ssh-ed25519 AAAA me\n" },
	/* the image's user, who has no password yet, is the one that was wished */
	{ "/etc/passwd", "...\nada:x:1000:1000:,,,:/home/pi:/bin/bash\n" }, { "/etc/shadow", "...\nada:$6$x$y:19700:0:99999:7:::\n" },
	{ "/etc/group", "...sudo:x:27:ada\n" }, { "/etc/gshadow", "...video:*::someone,ada\n" }, { "/etc/sudoers.d/010-bramble", HIDDEN },
	{ "/etc/tmpfiles.d/bramble-home.conf", HIDDEN },
};

static const struct file trixie[] = {
	{ "/usr/lib/os-release", "ID=debian\nVERSION_CODENAME=trixie\n" }, { "/etc/os-release", "->../usr/lib/os-release" },
	{ "/etc/rpi-issue", "Raspberry Pi reference 2025-10-01\n" }, { "/boot/firmware", NULL },
	{ "/etc/fstab", "PARTUUID=8a438930-02 / ext4 defaults,noatime 0 1\n/dev/zram0 none swap defaults 0 0\n/swapfile none swap sw 0 0\n" },
	SYSTEMD("NetworkManager.service"), SYSTEMD("rpi-resize.service"), SYSTEMD("systemd-growfs-root.service"),
	SYSTEMD("rpi-resize-swap-file.service"), SYSTEMD("systemd-repart.service"), SYSTEMD("ssh.service"),
	{ "/etc/systemd/system/multi-user.target.wants/ssh.service", "->/usr/lib/systemd/system/ssh.service" },
	{ "/usr/lib/systemd/system-generators/rpi-swap-generator", "x" }, { "/etc/rpi/swap.conf", "#[Main]\n#Mechanism=auto\n" },
	{ "/etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg", "ssh_genkeytypes: []\n" }, { "/etc/NetworkManager/conf.d", NULL },
	{ "/etc/netplan/00-network-manager-all.yaml", "network: {renderer: NetworkManager}\n" },
	{ "/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\n" }, { "/etc/ssh/sshd_config.d", NULL }, { "/etc/resolv.conf", "" },
};
static const struct expected trixie_gets[] = {
	{ "/etc/fstab", "# not on a network root: PARTUUID=8a438930-02 / ext4 defaults,noatime 0 1\n/dev/zram0 none swap defaults 0 0\n"
			"# not on a network root: /swapfile none swap sw 0 0\n" },
	{ "/etc/systemd/system/rpi-resize.service", MASKED }, { "/etc/systemd/system/systemd-growfs-root.service", MASKED },
	{ "/etc/systemd/system/rpi-resize-swap-file.service", MASKED }, { "/etc/systemd/system/systemd-repart.service", MASKED },
	{ "/etc/rpi/swap.conf", "...Mechanism=zram\n" }, { "/etc/cloud/cloud.cfg.d/zz-bramble.cfg", "...resize_rootfs: false\n" },
	{ "/etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg", "ssh_genkeytypes: []\n" },
	{ "/etc/NetworkManager/conf.d/90-bramble.conf", "...mac:" }, { "/etc/resolv.conf", "->/proc/net/pnp" },
	{ "/etc/systemd/system/dphys-swapfile.service", HIDDEN }, { "/etc/dhcpcd.conf", HIDDEN },
};

static const struct file bullseye[] = {
	{ "/etc/os-release", "PRETTY_NAME=\"Raspbian GNU/Linux 11 (bullseye)\"\nID=raspbian\nVERSION_CODENAME=bullseye\n" },
	{ "/etc/rpi-issue", "Raspberry Pi reference 2022-09-22\n" }, { "/boot", NULL },
	{ "/etc/fstab", "PARTUUID=1-01  /boot  vfat  defaults 0 2\nPARTUUID=1-02  /  ext4  defaults,noatime 0 1\n" },
	{ "/lib/systemd/system/dhcpcd.service", "" }, { "/lib/systemd/system/ssh.service", "" }, { "/etc/dhcpcd.conf", "hostname\nclientid\n" },
	{ "/etc/init.d/resize2fs_once", "" }, { "/etc/init.d/dphys-swapfile", "" }, { "/lib/systemd/system/regenerate_ssh_host_keys.service", "" },
	{ "/etc/ssh/sshd_config", "#Include nothing\nPort 22\n" }, { "/var/lib/dhcpcd/duid", "00:01" }, { "/etc/network/interfaces", "" },
};
static const struct expected bullseye_gets[] = {
	{ "/etc/fstab", "# not on a network root: PARTUUID=1-01  /boot  vfat  defaults 0 2\n# not on a network root: PARTUUID=1-02  /  ext4  defaults,noatime 0 1\n" },
	{ "/etc/dhcpcd.conf", "# bramble: the network root comes over this interface\ndenyinterfaces eth0 end0 enxdca632000007\n\nhostname\nclientid\n" },
	{ "/etc/resolv.conf", "->/proc/net/pnp" }, { "/var/lib/dhcpcd/duid", HIDDEN },
	{ "/etc/systemd/system/resize2fs_once.service", HIDDEN }, /* there is no such directory in this tree */
	{ "/etc/ssh/ssh_host_ed25519_key", "...PRIVATE" }, { "/etc/ssh/bramble_keys_root", HIDDEN },
};

static const struct file debian[] = {
	{ "/etc/os-release", "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n" }, { "/boot/firmware", NULL },
	{ "/etc/fstab", "LABEL=RASPIROOT / ext4 rw 0 1\nLABEL=RASPIFIRM /boot/firmware vfat rw 0 2\nnas:/pool /pool nfs defaults 0 0\n" },
	{ "/etc/network/interfaces", "source /etc/network/interfaces.d/*\n" }, SYSTEMD("networking.service"), SYSTEMD("ssh.service"),
	{ "/etc/systemd/system/rpi-set-sysconf.service", "" }, { "/etc/systemd/system/rpi-generate-ssh-host-keys.service", "" },
	{ "/etc/systemd/system/rpi-reconfigure-raspi-firmware.service", "" }, { "/etc/resolv.conf", "nameserver 1.1.1.1\n" },
	{ "/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\n" }, { "/etc/ssh/sshd_config.d", NULL },
	{ "/var/lib/dbus/machine-id", "the image's\n" }, { "/etc/sudoers.d", NULL }, { "/etc/tmpfiles.d", NULL },
	{ "/etc/systemd/system/multi-user.target.wants", NULL }, ACCOUNTS("", ""),
};
static const struct expected debian_gets[] = {
	{ "/etc/fstab", "# not on a network root: LABEL=RASPIROOT / ext4 rw 0 1\n# not on a network root: LABEL=RASPIFIRM /boot/firmware vfat rw 0 2\n"
			"nas:/pool /pool nfs defaults 0 0\n" },
	{ "/etc/systemd/system/rpi-generate-ssh-host-keys.service", MASKED },
	{ "/etc/systemd/system/rpi-reconfigure-raspi-firmware.service", MASKED }, { "/etc/systemd/system/rpi-set-sysconf.service", "" },
	{ "/etc/resolv.conf", "nameserver 1.1.1.1\n" }, { "/var/lib/dbus/machine-id", "->/etc/machine-id" },
	/* nobody has uid 1000: a new user, whose home is made at the first start */
	{ "/etc/passwd", "...\nada:x:1000:1000::/home/ada:/bin/sh\n" }, { "/etc/group", "...\nada:x:1000:\n" },
	{ "/etc/gshadow", "...\nada:!::\n" }, { "/etc/tmpfiles.d/bramble-home.conf", "...d /home/ada 0750 1000 1000 -\n" },
};

static const struct file ubuntu[] = {
	{ "/etc/os-release", "PRETTY_NAME='Ubuntu 24.04.1 LTS'\nID=ubuntu\n" }, { "/boot/firmware", NULL },
	{ "/etc/fstab", "LABEL=writable\t/\text4\tdefaults\t0\t1\nLABEL=system-boot       /boot/firmware  vfat    defaults        0       1\n" },
	{ "/etc/netplan", NULL }, { "/etc/cloud/cloud.cfg.d/90_dpkg.cfg", "" }, SYSTEMD("snapd.service"), SYSTEMD("ssh.service"),
	{ "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service", "->/usr/lib/systemd/system/systemd-networkd.service" },
	{ "/etc/systemd/system/sockets.target.wants/ssh.socket", "->/usr/lib/systemd/system/ssh.socket" },
	{ "/etc/systemd/system/mkswap.service", "" }, { "/etc/systemd/system/swapfile.swap", "" },
	{ "/etc/resolv.conf", "->../run/systemd/resolve/stub-resolv.conf" }, { "/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\n" },
	{ "/etc/ssh/sshd_config.d", NULL }, { "/etc/sudoers.d", NULL },
	ACCOUNTS("ubuntu:x:1000:1000:Ubuntu:/home/ubuntu:/bin/bash\n", "ubuntu:$6$a$b:19000:0:99999:7:::\n"), { "/etc/tmpfiles.d", NULL },
};
static const struct expected ubuntu_gets[] = {
	{ "/etc/fstab", "# not on a network root: LABEL=writable\t/\text4\tdefaults\t0\t1\n"
			"# not on a network root: LABEL=system-boot       /boot/firmware  vfat    defaults        0       1\n" },
	{ "/etc/cloud/cloud.cfg.d/zz-bramble.cfg", "...ssh_deletekeys: false\n" }, { "/etc/systemd/system/mkswap.service", MASKED },
	{ "/etc/systemd/system/swapfile.swap", MASKED }, { "/etc/systemd/system/snapd.service", HIDDEN },
	/* networkd keeps the root's interface by itself, and tells the name servers */
	{ "/etc/resolv.conf", "->../run/systemd/resolve/stub-resolv.conf" }, { "/etc/NetworkManager/conf.d/90-bramble.conf", HIDDEN },
	/* somebody's account stays his */
	{ "/etc/passwd", "...\nubuntu:x:1000:1000:Ubuntu:/home/ubuntu:/bin/bash\nada:x:1001:1001::/home/ada:/bin/sh\n" },
	{ "/etc/shadow", "...\nubuntu:$6$a$b:19000:0:99999:7:::\nada:$6$x$y:19700:0:99999:7:::\n" },
};

static const struct file strange[] = { { "/etc/hostname", "x\n" }, { "/bin/sh", "x" } };
static const struct expected strange_gets[] = {
	{ "/etc/hostname", "pi07\n" }, { "/etc/hosts", "...127.0.1.1\tpi07\n" }, { "/etc/fstab", HIDDEN }, { "/etc/ssh", HIDDEN },
	{ "/etc/resolv.conf", HIDDEN }, { "/etc/systemd", HIDDEN },
};
static const struct file empty[] = { { "/lost+found", NULL } };
static const struct expected empty_gets[] = { { "/etc/hostname", HIDDEN } };

static const struct layout {
	const char *name, *layout, *boot_dir, *unknown, *left_out; /* parts of the words; NULL: none at all */
	const struct file *files;
	size_t n_files;
	const struct expected *gets;
	size_t n_gets;
} layouts[] = {
#define LAYOUT(l) l, BR_ARRAY_SIZE(l), l##_gets, BR_ARRAY_SIZE(l##_gets)
	{ "bookworm", "Raspberry Pi OS bookworm", "/boot/firmware", NULL, NULL, LAYOUT(bookworm) },
	{ "trixie", "Raspberry Pi OS trixie", "/boot/firmware", NULL, "no /etc/passwd", LAYOUT(trixie) },
	{ "bullseye", "Raspberry Pi OS bullseye", "/boot", NULL, "no /etc/ssh/sshd_config.d", LAYOUT(bullseye) },
	{ "debian", "Debian GNU/Linux 12 (bookworm)", "/boot/firmware", NULL, NULL, LAYOUT(debian) },
	{ "ubuntu", "Ubuntu 24.04.1 LTS", "/boot/firmware", NULL, NULL, LAYOUT(ubuntu) },
	{ "strange", "", "", "no systemd", "has no sshd", LAYOUT(strange) },
	{ "empty", "", "", "no os-release", "has no sshd", LAYOUT(empty) },
};

static const struct br_root_wish wish = {
	.name = "pi07",
	.mac = { { 0xdc, 0xa6, 0x32, 0, 0, 7 } },
	.ssh_seed = "seed",
	.machine_id = "mmmmmmmmmmmmmmmm",
	.ssh = true,
	.userconf = "ada:$6$x$y\n",
	.userconf_len = 11,
	.keys = "ssh-ed25519 AAAA me\n",
};

static struct br_fs *build(const struct file *files, size_t n)
{
	struct br_fs *fs = memfs_new();

	for (size_t i = 0; i < n; i++) {
		if (!files[i].text)
			memfs_mkdir(fs, files[i].path);
		else if (br_str_starts(files[i].text, "->"))
			memfs_put_link(fs, files[i].path, files[i].text + 2);
		else
			memfs_put(fs, files[i].path, 0644, files[i].text);
	}
	return fs;
}

static void check(struct br_fs *fs, const char *layout, const struct expected *e)
{
	char buf[4096] = "";
	struct br_fs_attr attr = { 0 };
	uint64_t ino;
	size_t n = 0;
	bool eof;
	int r = br_fs_walk(fs, e->path, &ino);

	if (r < 0 || !e->what) {
		if ((r == -ENOENT) != !e->what)
			fail_msg("%s: %s: %d", layout, e->path, r);
		return;
	}
	assert_int_equal(fs->ops->getattr(fs, ino, &attr), 0);
	if (S_ISLNK(attr.mode)) {
		strcpy(buf, "->");
		assert_int_equal(fs->ops->readlink(fs, ino, buf + 2, sizeof(buf) - 2), 0);
	} else {
		assert_int_equal(fs->ops->read(fs, ino, 0, buf, sizeof(buf) - 1, &n, &eof), 0);
		buf[n] = 0;
	}
	if (br_str_starts(e->what, "...") ? !strstr(buf, e->what + 3) : strcmp(buf, e->what))
		fail_msg("%s: %s is\n%s\nand not\n%s", layout, e->path, buf, e->what);
}

static void check_words(const char *layout, const char *words, const char *part)
{
	bool right = part ? words && strstr(words, part) : !words;

	if (!right)
		fail_msg("%s: '%s' is not '%s'", layout, words ? words : "", part ? part : "");
}

static void layouts_get_what_they_need(void **state)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(layouts); i++) {
		const struct layout *l = &layouts[i];
		struct br_fs *base = build(l->files, l->n_files), *below = memfs_clone(base), *fs = NULL;
		struct br_error err = BR_ERROR_NULL;
		struct br_root_files files = { 0 };
		struct br_root_facts facts;

		if (br_root_facts_read(base, l->name, &facts, &err) < 0 || br_root_files_make(&facts, &wish, &files, &err) < 0 ||
			br_projfs_open(below, base, files.v, files.n, &fs, &err) < 0)
			fail_msg("%s: %s", l->name, err.text);
		assert_string_equal(facts.layout, l->layout);
		assert_string_equal(facts.boot_dir, l->boot_dir);
		check_words(l->name, facts.unknown.buf, l->unknown);
		check_words(l->name, files.left_out.buf, l->left_out);
		for (size_t k = 0; k < l->n_gets; k++)
			check(fs, l->name, &l->gets[k]);
		for (size_t k = 0; k < files.n; k++)
			if (!files.v[k].why)
				fail_msg("%s: %s has no reason", l->name, files.v[k].path);
		fs->ops->close(fs);
		br_root_files_done(&files);
		br_root_facts_done(&facts);
		below->ops->close(below);
		base->ops->close(base);
	}
}

/* Nothing is wished, the MAC is not known. */
static void a_board_gets_no_more_than_it_needs(void **state)
{
	const struct br_root_wish bare = { .name = "pi08" };
	struct br_fs *base = build(bookworm, BR_ARRAY_SIZE(bookworm));
	struct br_error err = BR_ERROR_NULL;
	struct br_root_files files = { 0 };
	struct br_root_facts facts;
	bool nm = false;

	assert_int_equal(br_root_facts_read(base, "x", &facts, &err), 0);
	assert_int_equal(br_root_files_make(&facts, &bare, &files, &err), 0);
	for (size_t i = 0; i < files.n; i++) {
		assert_null(strstr(files.v[i].path, "passwd"));
		assert_null(strstr(files.v[i].path, "bramble_keys"));
		assert_null(strstr(files.v[i].path, "userconfig"));
		assert_null(strstr(files.v[i].path, "wants"));
		if (strstr(files.v[i].path, "NetworkManager/conf.d"))
			nm = strstr(files.v[i].data, "interface-name:eth0;") != NULL;
	}
	assert_true(nm);
	assert_null(files.left_out.buf);
	br_root_files_done(&files);
	br_root_facts_done(&facts);
	base->ops->close(base);
}

static void users_are_checked(void **state)
{
	static const struct {
		const char *text, *name, *hash; /* name NULL: refused */
	} cases[] = {
		{ "pi:$6$abc$def./", "pi", "$6$abc$def./" },
		{ "pi:$y$j9T$abc$def\r\nmore", "pi", "$y$j9T$abc$def" },
		{ "ada", "ada", "*" },
		{ "ada:", "ada", "*" },
		{ "_x-1:*", "_x-1", "*" },
		{ "", NULL, NULL }, { ":x", NULL, NULL }, { "root:x", NULL, NULL }, { "Ada:x", NULL, NULL }, { "1a:x", NULL, NULL },
		{ "a:b:c", NULL, NULL }, { "a:b c", NULL, NULL }, { "a b:c", NULL, NULL }, { "a/../b:x", NULL, NULL },
		{ "abcdefghijklmnopqrstuvwxyzabcdefg:x", NULL, NULL },
	};
	static const char nul[] = "pi\0:x";
	char longest[600];
	struct br_account a;
	struct br_error err = BR_ERROR_NULL;

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		int r = br_account_parse(cases[i].text, strlen(cases[i].text), &a, &err);

		if (r != (cases[i].name ? 0 : -EINVAL))
			fail_msg("'%s': %d", cases[i].text, r);
		if (!cases[i].name)
			continue;
		assert_string_equal(a.name, cases[i].name);
		assert_string_equal(a.hash, cases[i].hash);
	}
	assert_int_equal(br_account_parse(nul, sizeof(nul) - 1, &a, &err), -EINVAL);
	for (size_t n = 1; n < sizeof(longest); n++) {
		memset(longest, 'x', n);
		longest[n / 2] = ':';
		(void)br_account_parse(longest, n, &a, &err); /* (the sanitizers look) */
	}
}

/* Files of an image are anybody's: whatever is in them, there is an account and nothing is read beyond. */
static void broken_account_files_are_taken(void **state)
{
	static const char *const texts[] = {
		"", "\n", ":", "pi", "pi:x:1000", "pi:x:1000:1000", "a:b:c:d:e:f:g:h:i", "pi:x:99999999999:1:::\n", "ada:x:zz:1::\n",
		"x:x:1000:1000:::\n", "pi:!:1:2:3", "sudo:x:27:a,,b,", "sudo:x:27", "no newline at the end:x:1000:1000::/h:/bin/sh",
	};
	const struct br_account user = { .name = "ada", .hash = "$6$h" };

	for (size_t i = 0; i < BR_ARRAY_SIZE(texts); i++) {
		for (size_t k = 0; k < BR_ARRAY_SIZE(texts); k++) {
			const struct br_account_files in = { texts[i], texts[k], texts[k], texts[i], "/bin/sh" };
			struct br_account_result res;

			assert_int_equal(br_account_make(&in, &user, &res), 0);
			assert_non_null(strstr(res.shadow, "ada:$6$h:"));
			assert_non_null(strstr(res.passwd, "ada:x:"));
			assert_true(res.uid >= 1000);
			br_account_result_done(&res);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(layouts_get_what_they_need),
		cmocka_unit_test(a_board_gets_no_more_than_it_needs),
		cmocka_unit_test(users_are_checked),
		cmocka_unit_test(broken_account_files_are_taken),
	};

	return cmocka_run_group_tests_name("rootfiles", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The files that are made for a board's root. What an image has no place for is left out and said. */
#include "plan/rootfiles.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "plan/account.h"
#include "plan/sshkey.h"

/* ---- the list ---- */

void *br_root_files_own(struct br_root_files *f, void *p)
{
	if (br_array_reserve(&f->owned, &f->cap_owned, f->n_owned + 1, sizeof(*f->owned)) < 0) {
		free(p);
		f->failed = true;
		return NULL;
	}
	if (!p)
		f->failed = true;
	else
		f->owned[f->n_owned++] = p;
	return p;
}

void br_root_files_add(struct br_root_files *f, const struct br_projection *row)
{
	if (br_array_reserve(&f->v, &f->cap, f->n + 1, sizeof(*f->v)) < 0) {
		f->failed = true;
		return;
	}
	f->v[f->n++] = *row;
}

void br_root_files_left_out(struct br_root_files *f, const char *fmt, ...)
{
	va_list ap;

	br_text_add(&f->left_out, f->left_out.len ? "; " : "");
	va_start(ap, fmt);
	br_text_addv(&f->left_out, fmt, ap);
	va_end(ap);
}

void br_root_files_done(struct br_root_files *f)
{
	for (size_t i = 0; i < f->n; i++) /* keys and hashes are among them; what is the facts' or the caller's is not ours to clear */
		f->v[i].data = NULL;
	for (size_t i = 0; i < f->n_owned; i++) {
		explicit_bzero(f->owned[i], strlen(f->owned[i]));
		free(f->owned[i]);
	}
	free(f->owned);
	free(f->v);
	br_text_done(&f->left_out);
	*f = (struct br_root_files){ 0 };
}

/* ---- what is made ---- */

struct making {
	const struct br_root_facts *facts;
	const struct br_root_wish *wish;
	struct br_root_files *files;
	struct br_account user; /* name "" : none */
};

/* text: owned already, or constant; NULL (memory is out): nothing. */
static void add_mode(struct making *m, const char *path, const char *text, uint32_t mode, uint32_t gid, const char *why)
{
	if (path && text)
		br_root_files_add(m->files, &(struct br_projection){
			.path = path, .data = text, .len = strlen(text), .mode = mode, .gid = gid, .why = why });
}

static void add_text(struct making *m, const char *path, const char *text, const char *why)
{
	add_mode(m, path, text, 0644, 0, why);
}

static void add_link(struct making *m, const char *path, const char *target, const char *why)
{
	br_root_files_add(m->files, &(struct br_projection){
		.path = path, .data = target, .len = strlen(target), .mode = 0777, .symlink = true, .why = why });
}

static char *own(struct making *m, char *text)
{
	return br_root_files_own(m->files, text);
}

static int make_host_key(struct making *m)
{
	br_cleanup(br_freep) char *comment = br_asprintf("root@%s", m->wish->name);
	char *private = NULL, *public = NULL;
	int r = comment ? br_ssh_host_key(m->wish->ssh_seed, comment, &private, &public) : -ENOMEM;

	if (r < 0)
		return r;
	add_mode(m, "/etc/ssh/ssh_host_ed25519_key", own(m, private), 0600, 0, "the board's host key, the same at each boot");
	add_text(m, "/etc/ssh/ssh_host_ed25519_key.pub", own(m, public), "the board's host key, the same at each boot");
	return 0;
}

static int make_identity(struct making *m)
{
	const struct br_root_facts *facts = m->facts;
	char id[34];

	add_text(m, "/etc/hostname", own(m, br_asprintf("%s\n", m->wish->name)), "the board's name");
	add_text(m, "/etc/hosts",
		own(m, br_asprintf("%s127.0.1.1\t%s\n",
			       facts->hosts ? facts->hosts : "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
			       m->wish->name)),
		"the board's name for 127.0.1.1");
	br_hex(id, m->wish->machine_id, 16);
	strcat(id, "\n");
	add_mode(m, "/etc/machine-id", own(m, strdup(id)), 0444, 0, "the board's own, the same at each boot");
	if (m->wish->fstab)
		add_text(m, "/etc/fstab", own(m, br_asprintf("%s%s", facts->fstab ? facts->fstab : "", m->wish->fstab)),
			"without what mounts or swaps on local partitions, and with /persist");
	else if (facts->fstab)
		add_text(m, "/etc/fstab", facts->fstab, "without what mounts or swaps on local partitions");
	return facts->ssh_dir ? make_host_key(m) : 0;
}

/*
 * The kernel made the interface's address and never renews it: bramble gives a board the same one for good. A manager
 * that starts afresh on it would take the address away while its own program may have to be read from the root.
 * systemd-networkd keeps what it finds when the root is on the network (KeepConfiguration= in systemd.network(5)), and
 * ifupdown's DHCP client adds to it; the other two are told to let go. Then nobody writes resolv.conf: what the kernel
 * was told by DHCP is a file of that form.
 */
static void make_network(struct making *m)
{
	static const char why[] = "the interface of the network root must not be taken down";
	const struct br_root_facts *facts = m->facts;
	bool has_mac = !br_mac_is_zero(m->wish->mac);
	char mac[BR_MAC_TEXT] = "", enx[20] = "enx*";

	if (has_mac) {
		br_mac_format(mac, m->wish->mac);
		snprintf(enx, sizeof(enx), "enx%02x%02x%02x%02x%02x%02x", m->wish->mac.b[0], m->wish->mac.b[1], m->wish->mac.b[2],
			m->wish->mac.b[3], m->wish->mac.b[4], m->wish->mac.b[5]);
	}
	if (facts->network_manager)
		add_text(m, "/etc/NetworkManager/conf.d/90-bramble.conf",
			own(m, br_asprintf("# bramble: the network root comes over this interface\n[keyfile]\nunmanaged-devices=%s%s\n",
				       has_mac ? "mac:" : "interface-name:eth0;interface-name:end0;interface-name:enx*", mac)),
			why);
	if (facts->dhcpcd)
		add_text(m, "/etc/dhcpcd.conf",
			own(m, br_asprintf("# bramble: the network root comes over this interface\ndenyinterfaces eth0 end0 %s\n\n%s", enx,
				       facts->dhcpcd)),
			why);
	if ((facts->network_manager || facts->dhcpcd) && !facts->networkd && facts->resolver_link)
		add_link(m, "/etc/resolv.conf", "/proc/net/pnp", "name servers as DHCP told them to the kernel");
}

/* ---- who may log in ---- */

static void read_user(struct making *m)
{
	struct br_error err = BR_ERROR_NULL;

	if (m->wish->userconf && br_account_parse(m->wish->userconf, m->wish->userconf_len, &m->user, &err) < 0)
		br_root_files_left_out(m->files, "userconf.txt: %s", err.text);
}

static void make_home(struct making *m, const struct br_account_result *res)
{
	struct br_text t = BR_TEXT_NULL;
	static const char *const skel[] = { ".profile", ".bashrc", ".bash_logout" };

	if (!m->facts->tmpfiles_dir) {
		br_root_files_left_out(m->files, "user %s has no home: there is no /etc/tmpfiles.d to have it made by", m->user.name);
		return;
	}
	br_text_addf(&t, "d %s 0750 %u %u -\n", res->home, res->uid, res->gid);
	for (size_t i = 0; i < BR_ARRAY_SIZE(skel); i++)
		br_text_addf(&t, "C %s/%s 0644 %u %u - /etc/skel/%s\n", res->home, skel[i], res->uid, res->gid, skel[i]);
	add_text(m, "/etc/tmpfiles.d/bramble-home.conf", own(m, br_text_take(&t)), "makes the home of the first user");
}

static int make_user(struct making *m)
{
	static const char why[] = "the first user, from userconf.txt";
	const struct br_root_facts *facts = m->facts;
	const struct br_account_files in = { facts->passwd, facts->shadow, facts->group, facts->gshadow, facts->shell };
	struct br_account_result res;
	int r;

	if (!m->user.name[0])
		return 0;
	r = br_account_make(&in, &m->user, &res);
	if (r == -ENOENT) {
		br_root_files_left_out(m->files, "user %s: the image has no /etc/passwd and /etc/shadow", m->user.name);
		m->user.name[0] = 0;
		return 0;
	}
	if (r < 0)
		return r;
	add_text(m, "/etc/passwd", own(m, br_take(res.passwd)), why);
	add_mode(m, "/etc/shadow", own(m, br_take(res.shadow)), 0640, res.shadow_gid, why);
	if (res.group)
		add_text(m, "/etc/group", own(m, br_take(res.group)), why);
	if (res.gshadow)
		add_mode(m, "/etc/gshadow", own(m, br_take(res.gshadow)), 0640, res.shadow_gid, why);
	if (res.created)
		make_home(m, &res);
	if (!strcmp(m->user.hash, "*") && facts->sudoers_dir)
		add_mode(m, "/etc/sudoers.d/010-bramble", own(m, br_asprintf("%s ALL=(ALL) NOPASSWD: ALL\n", m->user.name)), 0440, 0,
			"the first user has no password to give to sudo");
	if (facts->user_wizard)
		add_link(m, "/etc/systemd/system/userconfig.service", "/dev/null", "would ask for the first user, who is there");
	if (facts->user_banner)
		br_root_files_add(m->files, &(struct br_projection){ .path = "/etc/ssh/sshd_config.d/rename_user.conf",
						    .why = "would say that there is no user yet" });
	br_account_result_done(&res);
	return 0;
}

/*
 * Beside the users' own files, which stay as they are: sshd reads one more, with the user in its name (sshd_config(5):
 * AuthorizedKeysFile; of two such lines the first counts, and the directory is included first).
 */
static void make_keys(struct making *m)
{
	static const char why[] = "authorized_keys, for this user";
	const char *users[2] = { "root" };
	char first[33] = "";

	if (!m->wish->keys || !m->wish->keys[0])
		return;
	if (!m->facts->ssh_include) {
		br_root_files_left_out(m->files, "authorized_keys: this sshd reads no /etc/ssh/sshd_config.d");
		return;
	}
	if (m->user.name[0])
		memcpy(first, m->user.name, sizeof(first));
	else if (m->facts->passwd)
		(void)br_account_default(m->facts->passwd, first);
	users[1] = first[0] ? first : NULL;
	add_text(m, "/etc/ssh/sshd_config.d/10-bramble.conf",
		"AuthorizedKeysFile .ssh/authorized_keys .ssh/authorized_keys2 /etc/ssh/bramble_keys_%u\n",
		"makes sshd read the keys beside the users' own");
	for (size_t i = 0; i < 2 && users[i]; i++)
		add_text(m, own(m, br_asprintf("/etc/ssh/bramble_keys_%s", users[i])), m->wish->keys, why);
}

static void make_ssh_run(struct making *m)
{
	static const char why[] = "sshd is to run";
	const struct br_root_facts *facts = m->facts;

	if (!m->wish->ssh && !(m->wish->keys && m->wish->keys[0]))
		return;
	if (!facts->ssh_unit)
		br_root_files_left_out(m->files, "ssh: the image has no sshd");
	else if (!facts->ssh_enabled && facts->wants_dir)
		add_link(m, "/etc/systemd/system/multi-user.target.wants/ssh.service", facts->ssh_unit, why);
	if (facts->ssh_not_to_be_run)
		br_root_files_add(m->files, &(struct br_projection){ .path = "/etc/ssh/sshd_not_to_be_run", .why = why });
}

/* ---- logs (docs/logs.md) ---- */

static void make_netconsole(struct making *m, const char *ip)
{
	static const char why[] = "board-logs: the kernel's messages go to bramble";

	if (!m->facts->modprobe_dirs) {
		br_root_files_left_out(m->files, "no netconsole: there is no /etc/modprobe.d with /etc/modules-load.d");
		return;
	}
	/* '+': with severities; the port tells us that it is the kernel */
	add_text(m, "/etc/modprobe.d/bramble-netconsole.conf",
		own(m, br_asprintf("options netconsole netconsole=+6664@/eth0,6666@%s/\n", ip)), why);
	add_text(m, "/etc/modules-load.d/bramble-netconsole.conf", "netconsole\n", why);
}

/* An image without a syslog daemon has a journal: what was said before the network was there is in it, too. A connection that is
 * made again begins with what is new. */
static const char journal_unit[] =
	"[Unit]\nDescription=The journal to bramble\nAfter=network.target\n\n[Service]\n"
	"ExecStart=/bin/bash -c 'n=all; [ ! -e /run/bramble-log ] || n=0; exec 3<>/dev/tcp/%s/514 && : >/run/bramble-log && "
	"journalctl -b -f -n $$n -o short-iso-precise | sed -u \"s/^/<13>/\" >&3'\n"
	"Restart=always\nRestartSec=10\n\n[Install]\nWantedBy=multi-user.target\n";

static void make_syslog(struct making *m, const char *ip)
{
	static const char unit[] = "/etc/systemd/system/bramble-log.service", why[] = "board-logs: what it logs goes to bramble";

	if (m->facts->rsyslog) {
		add_text(m, "/etc/rsyslog.d/90-bramble.conf",
			own(m, br_asprintf("*.* action(type=\"omfwd\" target=\"%s\" port=\"514\" protocol=\"tcp\" "
					   "queue.type=\"LinkedList\" action.resumeRetryCount=\"-1\")\n", ip)), why);
	} else if (m->facts->wants_dir && !strcmp(m->facts->shell, "/bin/bash")) {
		add_text(m, unit, own(m, br_asprintf(journal_unit, ip)), why);
		add_link(m, "/etc/systemd/system/multi-user.target.wants/bramble-log.service", unit, why);
	} else {
		br_root_files_left_out(m->files, "no syslog: it has neither rsyslog nor systemd with bash");
	}
}

static void make_logs(struct making *m)
{
	char ip[BR_IP_TEXT];

	br_ip_format(ip, m->wish->log_ip);
	if (m->wish->log_netconsole)
		make_netconsole(m, ip);
	if (m->wish->log_syslog)
		make_syslog(m, ip);
}

int br_root_files_make(const struct br_root_facts *facts, const struct br_root_wish *wish, struct br_root_files *files,
	struct br_error *err)
{
	struct making m = { .facts = facts, .wish = wish, .files = files };
	int r = make_identity(&m);

	make_network(&m);
	read_user(&m);
	if (!r)
		r = make_user(&m);
	make_keys(&m);
	make_ssh_run(&m);
	make_logs(&m);
	for (size_t i = 0; i < facts->n_common; i++)
		br_root_files_add(files, &facts->common[i]);
	explicit_bzero(&m.user, sizeof(m.user));
	if (!r && (files->failed || files->left_out.failed))
		r = -ENOMEM;
	return r < 0 ? br_error_set(err, -r, "cannot make the files of its root: %s", strerrordesc_np(-r)) : 0;
}

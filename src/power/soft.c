/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first rung: the running system is asked to reboot, over ssh. The board's host key is the one we gave it, so nobody else
 * can take its place; our own key must stand in the boards' authorized_keys.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "plan/sshkey.h"
#include "power/manager.h"
#include "power/run.h"

#define SSH "/usr/bin/ssh"

/* STATE/ssh/id_ed25519, or what ssh-key says. Fresh memory, NULL: out of it. */
static char *key_path(const struct br_power *p)
{
	return p->opt.conf->ssh_key ? strdup(p->opt.conf->ssh_key) : br_asprintf("%s/ssh/id_ed25519", p->state);
}

/* Only our own is made; the operator's is there or is missing. */
static int make_key(const struct br_power *p, const char *path, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = br_asprintf("%s/ssh", p->state), *pub = br_asprintf("%s.pub", path);
	br_cleanup(br_freep) char *private = NULL, *public = NULL;
	uint8_t seed[32];
	int r;

	if (p->opt.conf->ssh_key || !access(path, F_OK))
		return 0;
	if (!dir || !pub)
		return br_error_set(err, ENOMEM, "out of memory");
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return br_error_set(err, errno, "%s: cannot be made: %m", dir);
	br_random(seed, sizeof(seed));
	r = br_ssh_host_key(seed, "bramble", &private, &public);
	explicit_bzero(seed, sizeof(seed));
	if (r < 0)
		return br_error_set(err, -r, "cannot make an ssh key: %s", strerrordesc_np(-r));
	r = br_file_write(pub, public, strlen(public), 0644, err);
	return r < 0 ? r : br_file_write(path, private, strlen(private), 0600, err);
}

int br_power_soft_key(const struct br_power *p, char **ret, struct br_error *err)
{
	br_cleanup(br_freep) char *path = key_path(p), *pub = path ? br_asprintf("%s.pub", path) : NULL;
	size_t n;
	int r = pub ? make_key(p, path, err) : br_error_set(err, ENOMEM, "out of memory");

	return r < 0 ? r : br_file_read(pub, 16384, ret, &n, err);
}

struct board_address {
	int64_t board_id, given_at;
	uint32_t ip;
};

static int take_lease(void *ctx, const struct br_lease *lease)
{
	struct board_address *a = ctx;

	if (lease->board_id == a->board_id && lease->given_at >= a->given_at) {
		a->ip = lease->ip;
		a->given_at = lease->given_at;
	}
	return 0;
}

static int address_of(struct br_power *p, const struct br_board *board, char out[static BR_IP_TEXT], struct br_error *err)
{
	struct board_address a = { .board_id = board->id };
	int r = br_lease_list(p->opt.fleet, take_lease, &a);

	if (r < 0)
		return br_error_set(err, -r, "its address is not known: %s", strerrordesc_np(-r));
	a.ip = a.ip ?: board->address;
	if (!a.ip)
		return br_error_set(err, EHOSTUNREACH, "its address is not known: it has no lease of ours");
	br_ip_format(out, a.ip);
	return 0;
}

/* "10.77.0.100 ssh-ed25519 AAAA..." in a file that only this call knows; its path in out. */
static int write_known_host(struct br_power *p, const struct br_board *board, const char *ip, char **ret, struct br_error *err)
{
	br_cleanup(br_freep) char *private = NULL, *public = NULL, *line = NULL;
	char *path = br_asprintf("%s/ssh/known-%llu-XXXXXX", p->state, (unsigned long long)board->id);
	uint8_t seed[32];
	ssize_t n;
	int r = br_board_secret(p->opt.fleet, board->id, "ssh-ed25519-seed", seed, sizeof(seed)), fd;

	if (!r)
		r = br_ssh_host_key(seed, board->name, &private, &public);
	explicit_bzero(seed, sizeof(seed));
	line = r < 0 ? NULL : br_asprintf("%s %s", ip, public);
	fd = line && path ? mkostemp(path, O_CLOEXEC) : -1;
	if (fd < 0) {
		r = br_error_set(err, errno ?: EIO, "its host key cannot be written down: %m");
		free(path);
		return r;
	}
	n = write(fd, line, strlen(line));
	close(fd);
	if (n != (ssize_t)strlen(line)) {
		unlink(path);
		free(path);
		return br_error_set(err, EIO, "its host key cannot be written down");
	}
	*ret = path;
	return 0;
}

int br_power_soft(struct br_power *p, const struct br_board *board, uint64_t timeout_ns, struct br_error *err)
{
	br_cleanup(br_freep) char *key = key_path(p), *known = NULL, *known_option = NULL, *who = NULL;
	char ip[BR_IP_TEXT], said[BR_RUN_SAID], vis[BR_RUN_SAID * 2];
	int status = 0, r = key ? make_key(p, key, err) : br_error_set(err, ENOMEM, "out of memory");

	if (!r)
		r = address_of(p, board, ip, err);
	if (!r)
		r = write_known_host(p, board, ip, &known, err);
	if (r < 0 || !known)
		return r < 0 ? r : -ENOMEM;
	known_option = br_asprintf("UserKnownHostsFile=%s", known);
	who = br_asprintf("%s@%s", p->opt.conf->ssh_user ?: "root", ip);
	if (known_option && who) {
		/* the answer is given before the network goes down */
		const char *const argv[] = { SSH, "-F/dev/null", "-i", key, "-oBatchMode=yes", "-oIdentitiesOnly=yes", "-oStrictHostKeyChecking=yes",
			"-oGlobalKnownHostsFile=/dev/null", "-o", known_option, "-oConnectTimeout=8", "-oLogLevel=ERROR", "-oHostKeyAlgorithms=ssh-ed25519", who,
			"(sleep 1; systemctl reboot || sudo -n reboot || reboot) >/dev/null 2>&1 </dev/null & echo reboots", NULL };

		r = br_run(argv, timeout_ns, &p->stopping, said, &status, err);
	} else {
		r = br_error_set(err, ENOMEM, "out of memory");
	}
	unlink(known);
	if (r < 0)
		return r;
	br_vis(vis, sizeof(vis), said, strcspn(said, "\r\n"));
	if (status)
		return br_error_set(err, EREMOTEIO, "ssh to %s failed%s%s; is the line that 'bramble power key' prints in authorized-keys?", who, *vis ? ": " : "", vis);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan of one boot. Everything is worked out in br_plan_new(); afterwards a plan is only read.
 * Boot files are the image's FAT partition with a few projected files over it; the root file system
 * gets a list of projections that store/projfs.h applies.
 */
#include "plan/plan.h"

#include <ctype.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "plan/base.h"
#include "plan/bootpath.h"
#include "plan/cmdline.h"
#include "plan/sshkey.h"

#define MAX_OVER 4 /* projected boot files */

struct over {
	const char *path;
	struct br_span span;
};

struct br_plan {
	atomic_uint refs;
	struct br_plan_input in;
	char root_path[BR_BOARD_NAME_MAX + 2];
	char serial_dir[9], mac_dir[BR_MAC_TEXT];
	char *cmdline;	    /* with a newline, as the file */
	char *cmdline_bare; /* without */
	char *hostname, *hosts, *ssh_private, *ssh_public;
	char machine_id[34];
	struct over over[MAX_OVER];
	size_t n_over;
	struct br_projection root[BR_PLAN_MAX_PROJECTIONS + 8];
	size_t n_root;
};

BR_DEFINE_CLEANUP(struct br_plan *, br_plan_unref);

static void add_over(struct br_plan *plan, const char *path, const char *text)
{
	plan->over[plan->n_over++] = (struct over){
		.path = path,
		.span = { .data = (const uint8_t *)text, .len = strlen(text) },
	};
}

static void add_root(struct br_plan *plan, const char *path, const char *text, uint32_t mode)
{
	plan->root[plan->n_root++] = (struct br_projection){
		.path = path,
		.data = text,
		.len = strlen(text),
		.mode = mode,
	};
}

/* Files of the root file system that tell one board from another. */
static int make_identity(struct br_plan *plan)
{
	const struct br_plan_base *base = plan->in.base;
	const char *name = plan->in.board.name;
	int r;

	plan->hostname = br_asprintf("%s\n", name);
	plan->hosts = br_asprintf("%s127.0.1.1\t%s\n",
		base->hosts ?: "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n", name);
	if (!plan->hostname || !plan->hosts)
		return -ENOMEM;
	br_hex(plan->machine_id, plan->in.machine_id, 16);
	strcat(plan->machine_id, "\n");
	add_root(plan, "/etc/hostname", plan->hostname, 0644);
	add_root(plan, "/etc/hosts", plan->hosts, 0644);
	add_root(plan, "/etc/machine-id", plan->machine_id, 0444);
	if (base->fstab)
		add_root(plan, "/etc/fstab", base->fstab, 0644);
	if (base->has_ssh_dir) {
		br_cleanup(br_freep) char *comment = br_asprintf("root@%s", name);

		r = comment ? br_ssh_host_key(plan->in.ssh_seed, comment, &plan->ssh_private, &plan->ssh_public)
			    : -ENOMEM;
		if (r < 0)
			return r;
		add_root(plan, "/etc/ssh/ssh_host_ed25519_key", plan->ssh_private, 0600);
		add_root(plan, "/etc/ssh/ssh_host_ed25519_key.pub", plan->ssh_public, 0644);
	}
	for (size_t i = 0; i < base->n_common; i++)
		plan->root[plan->n_root++] = base->common[i];
	return 0;
}

static int make_cmdline(struct br_plan *plan)
{
	plan->cmdline_bare = br_plan_make_cmdline(plan->in.base->cmdline, &plan->in.server, plan->root_path);
	if (!plan->cmdline_bare)
		return -ENOMEM;
	plan->cmdline = br_asprintf("%s\n", plan->cmdline_bare);
	if (!plan->cmdline)
		return -ENOMEM;
	add_over(plan, "cmdline.txt", plan->cmdline);
	return 0;
}

static void make_directories(struct br_plan *plan)
{
	const struct br_board *b = &plan->in.board;

	if (b->serial_known)
		snprintf(plan->serial_dir, sizeof(plan->serial_dir), "%08x", (uint32_t)b->serial);
	if (!br_mac_is_zero(b->mac)) {
		br_mac_format(plan->mac_dir, b->mac);
		for (char *s = plan->mac_dir; *s; s++)
			if (*s == ':')
				*s = '-';
	}
}

int br_plan_new(const struct br_plan_input *in, struct br_plan **ret, struct br_error *err)
{
	br_cleanup(br_plan_unrefp) struct br_plan *plan = calloc(1, sizeof(*plan));
	int r = 0;

	if (!plan)
		return br_error_set(err, ENOMEM, "out of memory");
	plan->refs = 1;
	plan->in = *in;
	br_plan_base_ref(plan->in.base);
	snprintf(plan->root_path, sizeof(plan->root_path), "/%s", in->board.name);
	if (in->board.id) { /* a client that is no board gets the image's files as they are */
		make_directories(plan);
		r = make_cmdline(plan);
		if (!r)
			r = make_identity(plan);
	}
	if (r < 0)
		return br_error_set(err, -r, "board %s: cannot make its plan: %s", in->board.name, strerror(-r));
	if (plan->in.base->config)
		add_over(plan, "config.txt", plan->in.base->config);
	*ret = br_take(plan);
	return 0;
}

struct br_plan *br_plan_ref(struct br_plan *plan)
{
	plan->refs++;
	return plan;
}

void br_plan_unref(struct br_plan *plan)
{
	if (!plan || --plan->refs)
		return;
	br_plan_base_unref(plan->in.base);
	free(plan->cmdline);
	free(plan->cmdline_bare);
	free(plan->hostname);
	free(plan->hosts);
	free(plan->ssh_private);
	free(plan->ssh_public);
	explicit_bzero(&plan->in.ssh_seed, sizeof(plan->in.ssh_seed));
	free(plan);
}

const struct br_plan_input *br_plan_input(const struct br_plan *plan)
{
	return &plan->in;
}

static bool is_serial_dir(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isxdigit((unsigned char)s[i]))
			return false;
	return n == 8;
}

/* Drops a first part that is this board's own directory. -EACCES: another board's. */
static int drop_own_directory(const struct br_plan *plan, const struct br_fat *fat, const char **path)
{
	const char *slash = strchr(*path, '/');
	size_t n = slash ? (size_t)(slash - *path) : 0;
	char first[16];
	struct br_mac mac;

	if (!n)
		return 0;
	if ((strlen(plan->serial_dir) == n && !strncasecmp(*path, plan->serial_dir, n)) ||
		(strlen(plan->mac_dir) == n && !strncasecmp(*path, plan->mac_dir, n)) ||
		/* a 3B ROM tells no serial in DHCP: its bootcode.bin asks for a directory we cannot know */
		(plan->in.board.id && !plan->in.board.serial_known && is_serial_dir(*path, n))) {
		*path = slash + 1;
		return 0;
	}
	if (n == 17) {
		char text[BR_MAC_TEXT];

		memcpy(text, *path, 17);
		text[17] = 0;
		return br_mac_parse(text, &mac) < 0 ? 0 : plan->in.board.id ? -EACCES : -ENOENT;
	}
	if (!is_serial_dir(*path, n))
		return 0;
	memcpy(first, *path, n);
	first[n] = 0;
	if (br_fat_lookup(fat, first)) /* the image itself has such a directory */
		return 0;
	return plan->in.board.id ? -EACCES : -ENOENT;
}

static const struct over *find_over(const struct br_plan *plan, const char *path)
{
	for (size_t i = 0; i < plan->n_over; i++)
		if (!strcasecmp(plan->over[i].path, path))
			return &plan->over[i];
	return NULL;
}

int br_plan_bootfile(const struct br_plan *plan, const char *name, struct br_bootfile *ret, char *ret_path)
{
	const struct br_fat *fat = br_image_boot(br_plan_base_image(plan->in.base));
	const struct br_fat_entry *e;
	const struct over *over;
	const char *path = ret_path;
	int r = br_boot_path_clean(name, ret_path, BR_BOOT_PATH_MAX);

	if (r < 0)
		return r;
	r = drop_own_directory(plan, fat, &path);
	if (r < 0)
		return r;
	memmove(ret_path, path, strlen(path) + 1);
	over = find_over(plan, ret_path);
	if (over) {
		*ret = (struct br_bootfile){ &over->span, 1, over->span.len, true };
		return 0;
	}
	e = br_fat_lookup(fat, ret_path);
	if (!e || e->is_dir)
		return -ENOENT;
	*ret = (struct br_bootfile){ .spans = e->spans, .n_spans = e->n_spans, .size = e->size };
	return 0;
}

int br_plan_bootfiles(const struct br_plan *plan,
	int (*fn)(void *ctx, const char *path, const struct br_bootfile *file), void *ctx)
{
	const struct br_fat *fat = br_image_boot(br_plan_base_image(plan->in.base));
	const struct br_fat_entry *e;
	int r = 0;

	for (size_t i = 0; !r && i < plan->n_over; i++) {
		const struct over *o = &plan->over[i];

		r = fn(ctx, o->path, &(struct br_bootfile){ &o->span, 1, o->span.len, true });
	}
	for (size_t i = 0; !r && (e = br_fat_walk(fat, i)); i++)
		if (!e->is_dir && !find_over(plan, e->path))
			r = fn(ctx, e->path, &(struct br_bootfile){ e->spans, e->n_spans, e->size, false });
	return r;
}

const struct br_projection *br_plan_root(const struct br_plan *plan, size_t *ret_n)
{
	*ret_n = plan->n_root;
	return plan->root;
}

const char *br_plan_root_path(const struct br_plan *plan)
{
	return plan->root_path;
}

const char *br_plan_cmdline(const struct br_plan *plan)
{
	return plan->cmdline_bare ?: plan->in.base->cmdline;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the NFS server asks. A board reaches its own disk only: its address says which board it is, and a
 * file handle must carry the id of that board's present disk. Runs in the server's threads.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/glue.h"
#include "fleet/event.h"

#define GRANTS 8
#define GRANT_NS (10 * BR_S)
#define SHARE_PREFIX "/share/"
#define PERSIST_PATH "/persist"

/* Addresses that mounted: who they are, so that a request costs no look in the database. */
struct client {
	uint32_t ip; /* key */
	int64_t board_id;
	/* shares it may use, looked at again after a while: boards are renamed, shares given to others */
	struct {
		uint8_t id[16];
		uint64_t until_ns;
	} grants[GRANTS];
	unsigned next_grant;
	UT_hash_handle hh;
};

enum { KIND_DISK, KIND_SHARE, KIND_PERSIST }; /* of an export */

struct br_glue_nfs {
	struct br_glue *glue;
	atomic_uint_least64_t refused_ns; /* when a refusal was last recorded */
	pthread_mutex_t lock;
	struct client *clients; /* bounded by the addresses we lease */
};

BR_DEFINE_CLEANUP(struct br_plan *, br_plan_unref);

int br_glue_nfs_new(struct br_glue *glue, struct br_glue_nfs **ret, struct br_error *err)
{
	struct br_glue_nfs *nfs = calloc(1, sizeof(*nfs));

	if (!nfs)
		return br_error_set(err, ENOMEM, "out of memory");
	nfs->glue = glue;
	pthread_mutex_init(&nfs->lock, NULL);
	*ret = nfs;
	return 0;
}

void br_glue_nfs_free(struct br_glue_nfs *nfs)
{
	struct client *c, *tmp;

	if (!nfs)
		return;
	HASH_ITER(hh, nfs->clients, c, tmp)
	{
		HASH_DEL(nfs->clients, c);
		free(c);
	}
	pthread_mutex_destroy(&nfs->lock);
	free(nfs);
}

/* With the lock. NULL without memory: the next request looks in the database again. */
static struct client *client_of(struct br_glue_nfs *nfs, uint32_t ip)
{
	struct client *c;

	HASH_FIND(hh, nfs->clients, &ip, sizeof(ip), c);
	if (!c) {
		c = calloc(1, sizeof(*c));
		if (c) {
			c->ip = ip;
			HASH_ADD(hh, nfs->clients, ip, sizeof(c->ip), c);
		}
	}
	return c;
}

static void remember(struct br_glue_nfs *nfs, uint32_t ip, int64_t board_id)
{
	struct client *c;

	pthread_mutex_lock(&nfs->lock);
	c = client_of(nfs, ip);
	if (c)
		c->board_id = board_id;
	pthread_mutex_unlock(&nfs->lock);
}

static void grant(struct br_glue_nfs *nfs, uint32_t ip, const uint8_t id[static 16])
{
	struct client *c;
	unsigned i = 0;

	pthread_mutex_lock(&nfs->lock);
	c = client_of(nfs, ip);
	while (c && i < GRANTS && memcmp(c->grants[i].id, id, 16) != 0)
		i++;
	if (c) {
		if (i == GRANTS)
			i = c->next_grant++ % GRANTS;
		memcpy(c->grants[i].id, id, 16);
		c->grants[i].until_ns = br_now_ns() + GRANT_NS;
	}
	pthread_mutex_unlock(&nfs->lock);
}

static bool granted(struct br_glue_nfs *nfs, uint32_t ip, const uint8_t id[static 16])
{
	uint64_t now = br_now_ns();
	struct client *c;
	bool yes = false;

	pthread_mutex_lock(&nfs->lock);
	HASH_FIND(hh, nfs->clients, &ip, sizeof(ip), c);
	for (unsigned i = 0; c && i < GRANTS && !yes; i++)
		yes = c->grants[i].until_ns > now && !memcmp(c->grants[i].id, id, 16);
	pthread_mutex_unlock(&nfs->lock);
	return yes;
}

static int64_t recall(struct br_glue_nfs *nfs, uint32_t ip)
{
	struct client *c;
	int64_t id;

	pthread_mutex_lock(&nfs->lock);
	HASH_FIND(hh, nfs->clients, &ip, sizeof(ip), c);
	id = c ? c->board_id : 0;
	pthread_mutex_unlock(&nfs->lock);
	return id;
}

/* Is the board to write to its root, or does it keep its changes in its memory? */
static bool is_ram(const struct br_board_disk *disk)
{
	return !strcmp(br_plan_input(disk->plan)->disk, "ram");
}

static void fill_export(struct br_board_disk *disk, struct br_nfs_export *ret)
{
	*ret = (struct br_nfs_export){ .fs = disk->fs, .lock = &disk->lock, .read_only = is_ram(disk), .ref = disk };
	memcpy(ret->id, disk->id, sizeof(ret->id));
}

/* The part of a mount path below the board's own root ("/", "/<name>", "/<name>/etc"); NULL: not its own. */
static const char *below_root(const char *path, const char *root)
{
	size_t n = strlen(root);

	if (!strcmp(path, "/"))
		return "";
	if (strncmp(path, root, n) || (path[n] && path[n] != '/'))
		return NULL;
	return path + n;
}

/* The board's own root, and directories below it, by the path that its kernel command line names: no other. */
static int mount_own(struct br_glue_nfs *nfs, const struct br_board *board, const char *path,
	struct br_nfs_export *ret, struct br_error *err)
{
	struct br_glue *glue = nfs->glue;
	br_cleanup(br_plan_unrefp) struct br_plan *plan = NULL;
	const struct br_plan_input *in;
	struct br_board_disk *disk;
	const char *dir;
	int r = br_boots_reach(glue->boots, board, BR_STAGE_NONE, &plan, NULL, err);

	if (r < 0)
		return r;
	in = br_plan_input(plan);
	dir = below_root(path, br_plan_root_path(plan));
	if (!dir)
		return br_error_set(err, EACCES, "%s may mount its own root %s only", board->name,
			br_plan_root_path(plan));
	r = br_glue_image_ok(glue, plan, err);
	if (r == 0)
		r = br_disks_open(glue->disks, plan, &disk, err);
	if (r)
		return r;
	r = br_boots_reach(glue->boots, board, BR_STAGE_MOUNTED, NULL, NULL, err);
	if (r < 0) {
		br_board_disk_unref(glue->disks, disk);
		return r;
	}
	fill_export(disk, ret);
	if (dir[0])
		ret->dir = dir;
	if (disk->problem[0])
		br_event_emit(glue->fleet, board->id, in->boot, BR_EV_DISK_SMALL, json_pack("{s:s}", "reason", disk->problem));
	br_event_emit(glue->fleet, board->id, in->boot, BR_EV_MOUNTED,
		json_pack("{s:s, s:s, s:s}", "path", path, "image",
			br_image_info(br_plan_base_image(in->base))->name, "disk", in->disk));
	return 0;
}

static void fill_share(struct br_open_share *share, struct br_nfs_export *ret)
{
	*ret = (struct br_nfs_export){
		.fs = share->fs, .lock = &share->lock, .read_only = share->read_only, .ref = share, .kind = KIND_SHARE,
		.beside = true
	};
	memcpy(ret->id, share->id, sizeof(ret->id));
}

static void fill_persist(struct br_persist_area *area, struct br_nfs_export *ret)
{
	*ret = (struct br_nfs_export){ .fs = area->fs, .lock = &area->lock, .ref = area, .kind = KIND_PERSIST, .beside = true };
	memcpy(ret->id, area->id, sizeof(ret->id));
}

/* 0: it has none in this boot. */
static int persist_size(struct br_glue_nfs *nfs, const struct br_board *board, uint64_t *ret, struct br_error *err)
{
	br_cleanup(br_plan_unrefp) struct br_plan *plan = NULL;
	int r = br_boots_plan(nfs->glue->boots, board, &plan, err);

	if (!r)
		*ret = br_plan_input(plan)->persist;
	return r;
}

static int open_persist(struct br_glue_nfs *nfs, const struct br_board *board, struct br_persist_area **ret, struct br_error *err)
{
	uint64_t size = 0;
	int r = persist_size(nfs, board, &size, err);

	if (r < 0)
		return r;
	if (!size)
		return br_error_set(err, EACCES, "%s has no area /persist in this boot; 'bramble board edit %s --persist on' gives it one "
			"from its next boot", board->name, board->name);
	return br_persist_open(nfs->glue->persist, board->id, size, ret, err);
}

static int mount_persist(struct br_glue_nfs *nfs, const struct br_board *board, const char *path, struct br_nfs_export *ret,
	struct br_error *err)
{
	const char *dir = path + strlen(PERSIST_PATH);
	struct br_persist_area *area = NULL;
	int r = open_persist(nfs, board, &area, err);

	if (r < 0)
		return r;
	fill_persist(area, ret);
	if (dir[strspn(dir, "/")])
		ret->dir = dir;
	if (area->problem[0])
		br_event_emit(nfs->glue->fleet, board->id, 0, BR_EV_DISK_SMALL, json_pack("{s:s}", "reason", area->problem));
	br_event_emit(nfs->glue->fleet, board->id, 0, BR_EV_SHARE_MOUNTED, json_pack("{s:s}", "path", path));
	return 0;
}

/* "/share/NAME" and directories below it. */
static int mount_share(struct br_glue_nfs *nfs, uint32_t ip, const struct br_board *board, const char *path,
	struct br_nfs_export *ret, struct br_error *err)
{
	const char *name = path + strlen(SHARE_PREFIX), *rest = strchrnul(name, '/');
	char text[BR_SHARE_NAME_MAX + 1];
	struct br_open_share *share;
	int r;

	if ((size_t)(rest - name) >= sizeof(text))
		return br_error_set(err, ENOENT, "there is no such share");
	memcpy(text, name, (size_t)(rest - name));
	text[rest - name] = 0;
	r = br_shares_open(nfs->glue->shares, text, board->name, &share, err);
	if (r < 0)
		return r;
	fill_share(share, ret);
	if (rest[strspn(rest, "/")])
		ret->dir = rest;
	grant(nfs, ip, share->id);
	br_event_emit(nfs->glue->fleet, board->id, 0, BR_EV_SHARE_MOUNTED, json_pack("{s:s}", "path", path));
	return 0;
}

static int mount(void *ctx, uint32_t ip, const char *path, struct br_nfs_export *ret, struct br_error *err)
{
	struct br_glue_nfs *nfs = ctx;
	struct br_error own = BR_ERROR_NULL;
	struct br_board board = { 0 };
	char text[BR_IP_TEXT], shown[128];
	int r = br_glue_board_by_ip(nfs->glue, ip, &board);

	if (r < 0)
		r = br_error_set(&own, EACCES, "%s is the address of no board", br_ip_format(text, ip));
	else if (br_str_starts(path, SHARE_PREFIX) && nfs->glue->shares)
		r = mount_share(nfs, ip, &board, path, ret, &own);
	else if (nfs->glue->persist && below_root(path, PERSIST_PATH) && strcmp(path, "/") != 0)
		r = mount_persist(nfs, &board, path, ret, &own);
	else
		r = mount_own(nfs, &board, path, ret, &own);
	if (r < 0) {
		br_event_emit(nfs->glue->fleet, board.id, 0, BR_EV_MOUNT_REFUSED,
			json_pack("{s:s, s:s, s:s}", "ip", br_ip_format(text, ip), "path",
				br_vis(shown, sizeof(shown), path, strlen(path)), "reason", br_error_text(&own, r)));
		return br_error_set(err, -r, "%s", br_error_text(&own, r));
	}
	remember(nfs, ip, board.id);
	return 0;
}

/* After a restart of ours, or when a grant has run out. -ENOENT: it is no share's. */
static int share_again(struct br_glue_nfs *nfs, uint32_t ip, const uint8_t id[static 16], struct br_open_share **ret)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_board board;
	int r;

	if (!nfs->glue->shares || !br_shares_known(nfs->glue->shares, id))
		return -ENOENT;
	r = br_glue_board_by_ip(nfs->glue, ip, &board);
	if (!r)
		r = br_shares_again(nfs->glue->shares, id, board.name, ret, &err);
	if (!r) {
		remember(nfs, ip, board.id);
		grant(nfs, ip, id);
		return 0;
	}
	if (err.code)
		br_log_warning("NFS: %s", err.text);
	/* what may be put right while the board waits: a directory that is not mounted yet, rights */
	return r == -ESTALE || r == -EACCES ? r : -EAGAIN;
}

/* After a restart of ours the board goes on with handles from before: its boot is taken up again. */
static int find_again(struct br_glue_nfs *nfs, uint32_t ip, const uint8_t id[static 16], struct br_board_disk **ret)
{
	br_cleanup(br_plan_unrefp) struct br_plan *plan = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_board_disk *disk;
	struct br_board board;
	int r = br_glue_board_by_ip(nfs->glue, ip, &board);

	if (r == -ENOENT)
		return -EACCES;
	if (r == -EAGAIN)
		return r;
	if (!r)
		r = br_boots_plan(nfs->glue->boots, &board, &plan, &err);
	if (!r)
		r = br_disks_open(nfs->glue->disks, plan, &disk, &err);
	if (r) {
		br_log_warning("NFS: %s", br_error_text(&err, r));
		/* only what cannot get better may end a board's root */
		return r == -ESTALE || r == -ENOENT ? -ESTALE : -EAGAIN;
	}
	if (memcmp(disk->id, id, sizeof(disk->id))) {
		br_board_disk_unref(nfs->glue->disks, disk);
		return -ESTALE;
	}
	remember(nfs, ip, board.id);
	br_boots_reach(nfs->glue->boots, &board, BR_STAGE_MOUNTED, NULL, NULL, NULL);
	*ret = disk;
	return 0;
}

/* The same for its area. -ENOENT: it is not that one's. -EAGAIN: nobody knows, it could not be opened. */
static int persist_again(struct br_glue_nfs *nfs, uint32_t ip, const uint8_t id[static 16], struct br_persist_area **ret)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_persist_area *area = NULL;
	struct br_board board;
	uint64_t size = 0;
	int r = nfs->glue->persist ? br_glue_board_by_ip(nfs->glue, ip, &board) : -ENOENT;

	if (!r)
		r = persist_size(nfs, &board, &size, &err);
	if (r < 0)
		return r == -ENOENT ? r : -EAGAIN;
	if (!size)
		return -ENOENT;
	r = br_persist_open(nfs->glue->persist, board.id, size, &area, &err);
	if (r < 0) {
		br_log_warning("NFS: %s", br_error_text(&err, r));
		return -EAGAIN;
	}
	if (memcmp(area->id, id, sizeof(area->id)) != 0) {
		br_persist_area_unref(nfs->glue->persist, area);
		return -ENOENT;
	}
	remember(nfs, ip, board.id);
	*ret = area;
	return 0;
}

/* Those that are open, by no more than a look. */
static bool find_open(struct br_glue_nfs *nfs, uint32_t ip, const uint8_t id[static 16], struct br_nfs_export *ret)
{
	struct br_glue *glue = nfs->glue;
	int64_t board_id = recall(nfs, ip);
	struct br_board_disk *disk = board_id ? br_disks_by_id(glue->disks, board_id, id) : NULL;
	struct br_persist_area *area = !disk && board_id && glue->persist ? br_persist_by_id(glue->persist, board_id, id) : NULL;
	struct br_open_share *share = !disk && !area && glue->shares && granted(nfs, ip, id) ? br_shares_by_id(glue->shares, id) : NULL;

	if (disk)
		fill_export(disk, ret);
	else if (area)
		fill_persist(area, ret);
	else if (share)
		fill_share(share, ret);
	return disk || area || share;
}

static int find(void *ctx, uint32_t ip, const uint8_t id[static 16], bool may_wait, struct br_nfs_export *ret)
{
	struct br_glue_nfs *nfs = ctx;
	struct br_board_disk *disk;
	struct br_persist_area *area;
	struct br_open_share *share;
	int r, persist;

	if (find_open(nfs, ip, id, ret))
		return 0;
	if (!may_wait)
		return -EINPROGRESS;
	r = share_again(nfs, ip, id, &share);
	if (!r)
		fill_share(share, ret);
	if (r != -ENOENT)
		return r;
	persist = persist_again(nfs, ip, id, &area);
	if (!persist) {
		fill_persist(area, ret);
		return 0;
	}
	r = find_again(nfs, ip, id, &disk);
	if (!r)
		fill_export(disk, ret);
	/* not its root's: then perhaps of the area that could not be opened */
	return r == -ESTALE && persist == -EAGAIN ? persist : r;
}

static void release(void *ctx, struct br_nfs_export *export)
{
	struct br_glue_nfs *nfs = ctx;

	if (export->kind == KIND_SHARE)
		br_open_share_unref(export->ref);
	else if (export->kind == KIND_PERSIST)
		br_persist_area_unref(nfs->glue->persist, export->ref);
	else
		br_board_disk_unref(nfs->glue->disks, export->ref);
}

struct exporting {
	int (*fn)(void *ctx, const char *path);
	void *ctx;
};

static int export_share(void *ctx, const struct br_share *share)
{
	const struct exporting *e = ctx;
	char path[sizeof(SHARE_PREFIX) + BR_SHARE_NAME_MAX];

	snprintf(path, sizeof(path), SHARE_PREFIX "%s", share->name);
	return e->fn(e->ctx, path);
}

/* What is a client's own, and nothing to others. */
static int exports(void *ctx, uint32_t ip, int (*fn)(void *ctx, const char *path), void *fn_ctx)
{
	br_cleanup(br_plan_unrefp) struct br_plan *plan = NULL;
	struct exporting e = { fn, fn_ctx };
	struct br_glue_nfs *nfs = ctx;
	struct br_board board;
	int r = 0;

	if (br_glue_board_by_ip(nfs->glue, ip, &board) < 0)
		return 0;
	if (!br_boots_plan(nfs->glue->boots, &board, &plan, NULL))
		r = fn(fn_ctx, br_plan_root_path(plan));
	if (!r && plan && nfs->glue->persist && br_plan_input(plan)->persist)
		r = fn(fn_ctx, PERSIST_PATH);
	if (!r && nfs->glue->shares)
		r = br_shares_for(nfs->glue->shares, board.name, export_share, &e);
	return r;
}

/* Turned away before any export was asked for. One record a second says it; a flood would only fill the disk. */
static void refused(void *ctx, uint32_t ip, const char *why)
{
	struct br_glue_nfs *nfs = ctx;
	uint64_t now = br_now_ns(), last = atomic_load(&nfs->refused_ns);
	struct br_board board = { 0 };
	char text[BR_IP_TEXT];

	if ((last && now - last < BR_S) || !atomic_compare_exchange_strong(&nfs->refused_ns, &last, now))
		return;
	br_board_by_ip(nfs->glue->fleet, ip, &board);
	br_event_emit(nfs->glue->fleet, board.id, 0, BR_EV_MOUNT_REFUSED,
		json_pack("{s:s, s:s, s:s}", "ip", br_ip_format(text, ip), "path", "", "reason", why));
}

/* Less than this on the host, and it is the host that is full. */
#define HOST_FULL (1u << 20)

/* Writes fail: who of the two has no room? */
static void no_space(struct br_glue *glue, int64_t board_id, uint64_t boot)
{
	uint64_t room = UINT64_MAX;

	(void)br_disks_room(glue->disks, &room); /* not known: then its own */
	br_event_emit(glue->fleet, board_id, boot, BR_EV_DISK_FULL,
		json_pack("{s:s}", "reason", room < HOST_FULL ?
			"the file system of the state directory has no room left" :
			"its own file system has no room left: take files away, or give it more ('bramble board edit --size')"));
}

/* A call failed for good. The words for it. */
static void why_io(struct br_glue *glue, int64_t board_id, char *ret, size_t size)
{
	br_cleanup(br_plan_unrefp) struct br_plan *plan = NULL;
	struct br_error err = BR_ERROR_NULL;
	struct br_board board;

	br_strcpy(ret, size, "reading or writing its disk failed: it is damaged, or the host's disk is");
	if (br_board_by_id(glue->fleet, board_id, &board) == 0 && br_boots_plan(glue->boots, &board, &plan, &err) == 0 &&
		br_glue_image_ok(glue, plan, &err) < 0)
		br_strcpy(ret, size, err.text);
}

/* Of a share or of /persist: what is to be done about it is not what helps a root. */
static void trouble_beside(struct br_glue_nfs *nfs, int64_t board_id, enum br_nfs_trouble what, const struct br_nfs_export *export)
{
	static const struct {
		const char *word, *share, *persist;
	} rows[BR_NFS_N_TROUBLES] = {
		[BR_NFS_TROUBLE_STALE] = { "stale", "uses files that are gone, or of a share that was removed: mount it again",
			"uses files that are gone, or of an area that was dropped: mount it again" },
		[BR_NFS_TROUBLE_READ_ONLY] = { "read-only", "wants to write to what is shared read-only ('bramble share list')",
			"wants to write to a read-only area" },
		[BR_NFS_TROUBLE_NO_SPACE] = { "full", "no room left where the shared directory lies on the server",
			"no room left: take files away, or give it more ('bramble board edit --persist SIZE'); or the state directory's file "
			"system is full" },
		[BR_NFS_TROUBLE_IO] = { "io", "reading or writing it failed on the server: its disk, or what is mounted there, has an error",
			"reading or writing it failed: it is damaged, or the host's disk is" },
	};
	bool share = export->kind == KIND_SHARE;
	char name[BR_SHARE_NAME_MAX + 1] = "?", path[sizeof(SHARE_PREFIX) + sizeof(name)];

	if (!rows[what].word)
		return;
	if (share && nfs->glue->shares)
		br_shares_name(nfs->glue->shares, export->id, name);
	snprintf(path, sizeof(path), SHARE_PREFIX "%s", name);
	br_event_emit(nfs->glue->fleet, board_id, 0, BR_EV_SHARE_TROUBLE,
		json_pack("{s:s, s:s, s:s}", "path", share ? path : PERSIST_PATH, "what", rows[what].word, "reason",
			share ? rows[what].share : rows[what].persist));
}

static void trouble(void *ctx, uint32_t ip, enum br_nfs_trouble what, const struct br_nfs_export *export)
{
	static const struct {
		const char *word, *reason;
	} troubles[BR_NFS_N_TROUBLES] = {
		[BR_NFS_TROUBLE_STALE] = { "stale", "uses files of a disk that is no more" },
		[BR_NFS_TROUBLE_READ_ONLY] = { "read-only", "wants to write to a read-only file system" },
		[BR_NFS_TROUBLE_NO_INIT] = { "no-init", "looks for its init, which is not there" },
		[BR_NFS_TROUBLE_DENIED] = { "denied", "may not read its root file system" },
		[BR_NFS_TROUBLE_SMALL_READS] = { "small-reads", "reads in pieces of 4096 bytes only" },
		[BR_NFS_TROUBLE_IO] = { "io", NULL },
	};
	char words[400];
	struct br_glue_nfs *nfs = ctx;
	int64_t board_id = recall(nfs, ip);
	struct br_boot_status st = { 0 };
	char text[BR_IP_TEXT];

	if (!board_id)
		return; /* it mounted nothing: nobody asks why */
	if (export && export->beside) {
		trouble_beside(nfs, board_id, what, export);
		return;
	}
	br_boots_status(nfs->glue->boots, board_id, &st);
	if (what == BR_NFS_TROUBLE_NO_SPACE) {
		no_space(nfs->glue, board_id, st.boot);
		return;
	}
	br_strcpy(words, sizeof(words), troubles[what].reason ?: "");
	if (what == BR_NFS_TROUBLE_IO)
		why_io(nfs->glue, board_id, words, sizeof(words));
	br_event_emit(nfs->glue->fleet, board_id, st.boot, BR_EV_NFS_TROUBLE,
		json_pack("{s:s, s:s, s:s}", "ip", br_ip_format(text, ip), "what", troubles[what].word, "reason",
			words));
}

const struct br_nfs_ops br_glue_nfs_ops = {
	.mount = mount,
	.find = find,
	.release = release,
	.exports = exports,
	.refused = refused,
	.trouble = trouble,
};

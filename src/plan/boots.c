/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The running boots. One entry per board that was seen since the daemon started; its plan is frozen until
 * a stage comes that only a new boot can show. Plans of one image share what the image says (plan/base.h).
 */
#include "plan/boots.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "fleet/event.h"
#include "fleet/flash.h"
#include "pi/rsakey.h"

#define ANONYMOUS_NS (30 * BR_S)

struct boot {
	int64_t board_id; /* key */
	struct br_plan *plan;
	struct br_boot_status status;
	bool by_files; /* no firmware DHCP was seen: the files began it */
	uint64_t group; /* of changes of the database, its number is in */
	UT_hash_handle hh;
};

struct image_base {
	char name[BR_IMAGE_NAME_MAX + 1]; /* key */
	struct br_plan_base *base;
	UT_hash_handle hh;
};

struct br_boots {
	pthread_mutex_t lock; /* all below */
	struct br_fleet *fleet;
	struct br_store *store;
	struct br_plan_server server;
	struct br_overrides *overrides, *root_files;
	char *keys, *signing_keys;
	char default_image[BR_IMAGE_NAME_MAX + 1];
	char default_disk[16];
	uint64_t default_persist;
	struct boot *boots;
	uint64_t group; /* the present one */
	struct image_base *bases;
	struct br_plan *anonymous; /* made at first use for the default image */
	uint64_t anonymous_ns;	   /* when; made anew after a while, since it has no boots that could begin */
};

BR_DEFINE_CLEANUP(struct br_plan *, br_plan_unref);

const char *br_stage_name(enum br_stage stage)
{
	static const char *const names[] = {
		[BR_STAGE_NONE] = "none",
		[BR_STAGE_FIRMWARE_DHCP] = "firmware-dhcp",
		[BR_STAGE_BOOTCODE_DHCP] = "bootcode-dhcp",
		[BR_STAGE_FIRMWARE_FILES] = "firmware-files",
		[BR_STAGE_KERNEL_SENT] = "kernel-sent",
		[BR_STAGE_KERNEL_DHCP] = "kernel-dhcp",
		[BR_STAGE_MOUNTED] = "mounted",
		[BR_STAGE_UP] = "up",
	};

	return names[stage];
}

int br_boots_new(const struct br_boots_options *opt, struct br_boots **ret, struct br_error *err)
{
	struct br_boots *boots = calloc(1, sizeof(*boots));

	if (!boots)
		return br_error_set(err, ENOMEM, "out of memory");
	if ((opt->overrides && br_overrides_new(opt->overrides, false, &boots->overrides, err) < 0) ||
		(opt->root_files && br_overrides_new(opt->root_files, true, &boots->root_files, err) < 0) ||
		(opt->keys && !(boots->keys = strdup(opt->keys))) ||
		(opt->signing_keys && !(boots->signing_keys = strdup(opt->signing_keys)))) {
		free(boots->keys);
		br_overrides_free(boots->overrides);
		br_overrides_free(boots->root_files);
		free(boots);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	pthread_mutex_init(&boots->lock, NULL);
	boots->fleet = opt->fleet;
	boots->store = opt->store;
	boots->server = opt->server;
	snprintf(boots->default_image, sizeof(boots->default_image), "%s", opt->default_image ?: "");
	snprintf(boots->default_disk, sizeof(boots->default_disk), "%s", opt->default_disk);
	boots->default_persist = opt->default_persist;
	*ret = boots;
	return 0;
}

static void drop_unused_bases(struct br_boots *boots, bool all)
{
	struct image_base *ib, *tmp;

	HASH_ITER(hh, boots->bases, ib, tmp)
	{
		bool used = boots->anonymous &&
			    /* cppcheck-suppress uninitvar ; HASH_ITER sets it */
			    br_plan_input(boots->anonymous)->base == ib->base;

		for (struct boot *b = boots->boots; b && !used; b = b->hh.next)
			used = br_plan_input(b->plan)->base == ib->base;
		if (used && !all)
			continue;
		HASH_DEL(boots->bases, ib);
		br_plan_base_unref(ib->base);
		free(ib);
	}
}

void br_boots_free(struct br_boots *boots)
{
	struct boot *b, *tmp;

	if (!boots)
		return;
	HASH_ITER(hh, boots->boots, b, tmp)
	{
		HASH_DEL(boots->boots, b);
		br_plan_unref(b->plan);
		free(b);
	}
	br_plan_unref(boots->anonymous);
	boots->anonymous = NULL;
	drop_unused_bases(boots, true);
	br_overrides_free(boots->overrides);
	br_overrides_free(boots->root_files);
	free(boots->signing_keys);
	free(boots->keys);
	pthread_mutex_destroy(&boots->lock);
	free(boots);
}

/* Under this name there is another image now: who has a plan goes on with the old one. Locked. */
static void forget_base(struct br_boots *boots, struct image_base *ib)
{
	HASH_DEL(boots->bases, ib);
	br_plan_base_unref(ib->base);
	free(ib);
}

/* The shared part of an image, opening it at first use; not a new reference. Locked. */
static int find_base(struct br_boots *boots, const char *name, struct br_plan_base **ret, struct br_error *err)
{
	struct image_base *ib;
	struct br_image *image;
	int r;

	HASH_FIND_STR(boots->bases, name, ib);
	if (ib && br_image_current(br_plan_base_image(ib->base))) {
		*ret = ib->base;
		return 0;
	}
	if (ib)
		forget_base(boots, ib);
	r = br_image_open(boots->store, name, &image, err);
	if (r < 0)
		return r;
	ib = calloc(1, sizeof(*ib));
	r = ib ? br_plan_base_new(image, &ib->base, err) : br_error_set(err, ENOMEM, "out of memory");
	br_image_unref(image);
	if (r < 0) {
		free(ib);
		return r;
	}
	snprintf(ib->name, sizeof(ib->name), "%s", name);
	HASH_ADD_STR(boots->bases, name, ib);
	*ret = ib->base;
	return 0;
}

int br_boots_set_default_image(struct br_boots *boots, const char *image, struct br_error *err)
{
	struct br_plan_base *base;
	int r;

	pthread_mutex_lock(&boots->lock);
	r = find_base(boots, image, &base, err);
	if (!r) {
		snprintf(boots->default_image, sizeof(boots->default_image), "%s", image);
		br_plan_unref(boots->anonymous);
		boots->anonymous = NULL;
		drop_unused_bases(boots, false);
	}
	pthread_mutex_unlock(&boots->lock);
	return r;
}

void br_boots_default_image(struct br_boots *boots, char ret[static BR_IMAGE_NAME_MAX + 1])
{
	pthread_mutex_lock(&boots->lock);
	memcpy(ret, boots->default_image, BR_IMAGE_NAME_MAX + 1);
	pthread_mutex_unlock(&boots->lock);
}

int br_boots_check_signing(const struct br_boots *boots, const char *name, struct br_error *err)
{
	static const char cure[] = "'bramble sign key list' shows the keys, 'bramble sign key new NAME' makes one";
	br_cleanup(br_freep) char *path = NULL;
	struct br_error why = BR_ERROR_NULL;
	struct br_rsakey *key = NULL;
	bool can_sign;
	int r;

	if (!boots->signing_keys || !br_rsakey_name_ok(name))
		return br_error_set(err, ENOENT, "there is no key of that name; %s", cure);
	path = br_asprintf("%s/%s.pem", boots->signing_keys, name);
	if (!path)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_rsakey_open(&(struct br_rsakey_options){ .key = path }, &key, &why);
	if (r == -ENOENT)
		return br_error_set(err, ENOENT, "there is no key '%s' among the daemon's (%s); %s", name, boots->signing_keys, cure);
	if (r == -ENOKEY)
		return br_error_set(err, EINVAL, "the daemon cannot sign with key '%s': it has a passphrase, and nobody could type it at a boot", name);
	if (r < 0)
		return br_error_set(err, EINVAL, "the daemon cannot sign with key '%s': %s", name, why.text);
	can_sign = br_rsakey_can_sign(key);
	br_rsakey_free(key);
	return can_sign ? 0 : br_error_set(err, EINVAL, "the daemon cannot sign with key '%s': %s has the public half only", name, path);
}

const char *br_boots_default_disk(const struct br_boots *boots)
{
	return boots->default_disk;
}

uint64_t br_boots_default_persist(const struct br_boots *boots)
{
	return boots->default_persist;
}

/* The shared part of the image a board is to boot. Locked. */
static int find_board_base(struct br_boots *boots, const struct br_board *board, const char *image,
	struct br_plan_base **ret, struct br_error *err)
{
	int r;

	if (!image[0])
		return br_error_set(err, ENOENT,
			"board %s: has no image and there is no default one; give it one with 'bramble board edit %s "
			"--image NAME' or start 'bramble serve IMAGE'", board->name, board->name);
	r = find_base(boots, image, ret, err);
	if (r < 0)
		br_error_prefix(err, "board %s", board->name);
	return r;
}

static uint64_t persist_of(const struct br_boots *boots, const struct br_board *board)
{
	uint64_t size = 0;

	if (!board->persist[0])
		return boots->default_persist;
	(void)br_parse_u64(board->persist, 0, UINT64_MAX, &size); /* "off" leaves 0 */
	return size;
}

struct finding_flashed {
	int64_t board_id;
	struct br_plan_flashed *ret;
};

static int find_flashed(void *ctx, const struct br_flash_order *o)
{
	struct finding_flashed *f = ctx;

	if (o->board_id != f->board_id || !o->verified_at)
		return 0;
	br_strcpy(f->ret->target, sizeof(f->ret->target), o->target);
	br_strcpy(f->ret->sha256, sizeof(f->ret->sha256), o->sha256);
	f->ret->awaited = o->state == BR_FLASH_VERIFIED;
	return 1;
}

int br_boots_flashed(struct br_fleet *fleet, const struct br_board *board, struct br_plan_flashed *ret)
{
	struct finding_flashed f = { .board_id = board->id };

	*ret = (struct br_plan_flashed){ 0 };
	f.ret = ret;
	return strcmp(board->road, "flash") ? 0 : br_flash_order_list(fleet, 0, find_flashed, &f);
}

/* Makes the plan of a board for a boot number. Locked. */
static int make_plan(struct br_boots *boots, const struct br_board *board, uint64_t boot, const char *image,
	const char *disk, struct br_plan **ret, struct br_error *err)
{
	struct br_plan_input in = {
		.board = *board,
		.boot = boot,
		.disk = !strcmp(disk, "persistent") ? "persistent" : !strcmp(disk, "ram") ? "ram" : "volatile",
		.persist = persist_of(boots, board),
		.server = boots->server,
		.overrides = boots->overrides,
		.root_overrides = boots->root_files,
		.keys = boots->keys,
	};
	br_cleanup(br_freep) char *signing = NULL;
	int r = find_board_base(boots, board, image, &in.base, err);

	if (r < 0)
		return r;
	if (board->signed_key[0] && boots->signing_keys) {
		in.signing = signing = br_asprintf("%s/%s.pem", boots->signing_keys, board->signed_key);
		if (!signing)
			return br_error_set(err, ENOMEM, "out of memory");
	}
	r = br_boots_flashed(boots->fleet, board, &in.flashed);
	if (r < 0)
		return br_error_set(err, -r, "board %s: cannot read its flash orders: %s", board->name, strerror(-r));
	r = br_board_secret(boots->fleet, board->id, BR_SECRET_SSH, in.ssh_seed, sizeof(in.ssh_seed));
	if (!r)
		r = br_board_secret(boots->fleet, board->id, "machine-id", in.machine_id, sizeof(in.machine_id));
	if (r < 0)
		return br_error_set(err, -r, "board %s: cannot read its secrets from the database: %s", board->name,
			strerror(-r));
	/* machine-id(5): a version 4 UUID without dashes */
	in.machine_id[6] = (in.machine_id[6] & 0x0f) | 0x40;
	in.machine_id[8] = (in.machine_id[8] & 0x3f) | 0x80;
	return br_plan_new(&in, ret, err);
}

/* Puts a plan in force. Takes it. Locked. */
static int put_boot(struct br_boots *boots, int64_t board_id, struct br_plan *plan, struct boot **ret)
{
	const struct br_plan_input *in = br_plan_input(plan);
	struct boot *b;

	HASH_FIND(hh, boots->boots, &board_id, sizeof(board_id), b);
	if (!b) {
		b = calloc(1, sizeof(*b));
		if (!b) {
			br_plan_unref(plan);
			return -ENOMEM;
		}
		b->board_id = board_id;
		HASH_ADD(hh, boots->boots, board_id, sizeof(b->board_id), b);
	}
	br_plan_unref(b->plan);
	b->plan = plan;
	b->by_files = false;
	b->group = boots->group;
	b->status = (struct br_boot_status){
		.boot = in->boot,
		.started_wall_ns = br_wall_ns(),
		.stage_wall_ns = br_wall_ns(),
	};
	snprintf(b->status.image, sizeof(b->status.image), "%s",
		br_image_info(br_plan_base_image(in->base))->name);
	drop_unused_bases(boots, false);
	*ret = b;
	return 0;
}

static int begin_boot(struct br_boots *boots, const struct br_board *board, enum br_stage stage, struct boot **ret,
	struct br_error *err)
{
	const char *image = board->image[0] ? board->image : boots->default_image;
	const char *disk = board->disk[0] ? board->disk : boots->default_disk;
	struct br_plan_base *base = NULL;
	struct br_plan *plan = NULL;
	uint64_t boot;
	int r = find_board_base(boots, board, image, &base, err);

	if (r < 0)
		return r; /* no number is spent on a board without an image */
	r = br_boot_next(boots->fleet, board->id, &boot);
	if (r < 0)
		return br_error_set(err, -r, "board %s: cannot store the number of its boot: %s", board->name,
			strerror(-r));
	r = make_plan(boots, board, boot, image, disk, &plan, err);
	if (r)
		return r;
	br_event_emit(boots->fleet, board->id, boot, BR_EV_BOOT_START,
		json_pack("{s:s, s:s, s:s, s:s}", "image", image, "sha256", br_image_info(br_plan_base_image(base))->sha256,
			"disk", disk, "client", br_stage_name(stage)));
	if (br_plan_problem(plan))
		br_event_emit(boots->fleet, board->id, boot, BR_EV_BOOT_OVERRIDES,
			json_pack("{s:s}", "reason", br_plan_problem(plan)));
	return put_boot(boots, board->id, plan, ret);
}

struct last_boot {
	uint64_t boot;
	char image[BR_IMAGE_NAME_MAX + 1], sha256[BR_SHA256_HEX], disk[16];
};

static int take_last_boot(void *ctx, const struct br_event *ev)
{
	struct last_boot *last = ctx;
	const char *image = json_string_value(json_object_get(ev->fields, "image"));
	const char *sha256 = json_string_value(json_object_get(ev->fields, "sha256"));
	const char *disk = json_string_value(json_object_get(ev->fields, "disk"));

	last->boot = ev->boot;
	snprintf(last->image, sizeof(last->image), "%s", image ?: "");
	snprintf(last->sha256, sizeof(last->sha256), "%s", sha256 ?: ""); /* older programs did not say */
	snprintf(last->disk, sizeof(last->disk), "%s", disk ?: "");
	return 0;
}

static int take_same_content(void *ctx, const struct br_image_info *info, const char *err_text)
{
	struct last_boot *last = ctx;

	if (err_text || strcmp(info->sha256, last->sha256) != 0)
		return 0;
	memcpy(last->image, info->name, sizeof(last->image));
	return 1;
}

/* While we were away the image's name may have been given to another content: the board goes on with its own, by whatever
 * name that has now. Locked. */
static int find_content(struct br_boots *boots, const struct br_board *board, struct last_boot *last, struct br_error *err)
{
	struct br_plan_base *base;
	int r = last->sha256[0] ? find_base(boots, last->image, &base, NULL) : 0;

	if (!last->sha256[0] || (r == 0 && !strcmp(br_image_info(br_plan_base_image(base))->sha256, last->sha256)))
		return 0;
	r = br_store_list(boots->store, take_same_content, last, err);
	if (r)
		return r < 0 ? r : 0;
	return br_error_set(err, ENOENT,
		"board %s: image %s that it runs (sha256 %.12s...) is not in the store any more; restart the board, or add that image "
		"again under any name", board->name, last->image, last->sha256);
}

/* Takes up the boot that was running when the daemon before us stopped, or begins the first one. */
static int resume_boot(struct br_boots *boots, const struct br_board *board, struct boot **ret, struct br_error *err)
{
	struct br_event_filter filter = { .board_id = board->id, .type = BR_EV_BOOT_START, .limit = 1 };
	struct last_boot last = { 0 };
	struct br_plan *plan;
	int r = br_event_query(boots->fleet, &filter, take_last_boot, &last, err);

	if (r < 0)
		return r;
	if (!last.boot)
		return begin_boot(boots, board, BR_STAGE_NONE, ret, err);
	r = find_content(boots, board, &last, err);
	if (r < 0)
		return r;
	r = make_plan(boots, board, last.boot, last.image, last.disk, &plan, err);
	if (r < 0)
		return r;
	return put_boot(boots, board->id, plan, ret);
}

/* Locked. Bases that nobody uses any more stay. */
static void drop_boot(struct br_boots *boots, struct boot *b)
{
	HASH_DEL(boots->boots, b);
	br_plan_unref(b->plan);
	free(b);
}

/*
 * Whether a plan was made for this board. An id is given anew when the change that made its board was undone (a full disk);
 * what it was given to first is not to be served to the next. A board may come to be known better, or get another MAC.
 */
static bool is_of(const struct boot *b, const struct br_board *board)
{
	const struct br_board *was = &br_plan_input(b->plan)->board;

	if (was->serial_known && board->serial_known)
		return (uint32_t)was->serial == (uint32_t)board->serial;
	return br_mac_is_zero(was->mac) || br_mac_is_zero(board->mac) || br_mac_equal(was->mac, board->mac);
}

static bool begins(const struct boot *b, enum br_stage stage)
{
	enum br_stage now = b->status.stage;

	switch (stage) {
	case BR_STAGE_FIRMWARE_DHCP:
		return now > BR_STAGE_FIRMWARE_DHCP;
	case BR_STAGE_BOOTCODE_DHCP:
		return now > BR_STAGE_FIRMWARE_FILES;
	case BR_STAGE_FIRMWARE_FILES:
		return b->by_files && now >= BR_STAGE_KERNEL_DHCP;
	case BR_STAGE_KERNEL_DHCP:
		return now >= BR_STAGE_MOUNTED;
	default:
		return false;
	}
}

/* Locked. */
static int reach(struct br_boots *boots, const struct br_board *board, enum br_stage stage, struct boot **ret,
	bool *ret_new, struct br_error *err)
{
	struct boot *b;
	int r = 0;

	*ret_new = false;
	HASH_FIND(hh, boots->boots, &board->id, sizeof(board->id), b);
	if (b && !is_of(b, board)) {
		drop_boot(boots, b);
		b = NULL;
	}
	if (b ? begins(b, stage) : stage != BR_STAGE_NONE && stage < BR_STAGE_MOUNTED) {
		r = begin_boot(boots, board, stage, &b, err);
		*ret_new = true;
		if (!r)
			b->by_files = stage == BR_STAGE_FIRMWARE_FILES;
	} else if (!b) {
		r = resume_boot(boots, board, &b, err);
	}
	if (r)
		return r;
	if (stage > b->status.stage) {
		b->status.stage = stage;
		b->status.stage_wall_ns = br_wall_ns();
	}
	b->status.used_ns = br_now_ns();
	*ret = b;
	return 0;
}

int br_boots_reach(struct br_boots *boots, const struct br_board *board, enum br_stage stage,
	struct br_plan **ret_plan, bool *ret_new, struct br_error *err)
{
	bool is_new = false;
	struct boot *b;
	int r;

	pthread_mutex_lock(&boots->lock);
	r = reach(boots, board, stage, &b, &is_new, err);
	if (!r && ret_plan)
		*ret_plan = br_plan_ref(b->plan);
	pthread_mutex_unlock(&boots->lock);
	if (!r && ret_new)
		*ret_new = is_new;
	return r;
}

int br_boots_plan(struct br_boots *boots, const struct br_board *board, struct br_plan **ret_plan,
	struct br_error *err)
{
	return br_boots_reach(boots, board, BR_STAGE_NONE, ret_plan, NULL, err);
}

int br_boots_would_have(struct br_boots *boots, const struct br_board *board, const char *name, struct br_error *err)
{
	const char *image = board->image[0] ? board->image : boots->default_image;
	char path[BR_BOOT_PATH_MAX];
	struct br_plan *plan = NULL;
	struct br_bootfile file;
	int r;

	pthread_mutex_lock(&boots->lock);
	r = make_plan(boots, board, 0, image, board->disk, &plan, err);
	pthread_mutex_unlock(&boots->lock);
	if (r < 0)
		return r;
	r = br_plan_bootfile(plan, name, &file, path);
	br_plan_unref(plan);
	return r < 0 ? br_error_set(err, ENOENT, "board %s: its image %s has no %s", board->name, image, name) : 0;
}

/* Locked. */
static int make_anonymous(struct br_boots *boots, struct br_error *err)
{
	struct br_plan_input in = { .disk = "volatile", .server = boots->server, .overrides = boots->overrides };
	struct br_plan *plan;
	int r;

	if (!boots->default_image[0])
		return br_error_set(err, ENOENT, "there is no default image; start 'bramble serve IMAGE'");
	r = find_base(boots, boots->default_image, &in.base, err);
	if (!r)
		r = br_plan_new(&in, &plan, err);
	if (r)
		return r;
	br_plan_unref(boots->anonymous);
	boots->anonymous = plan;
	boots->anonymous_ns = br_now_ns();
	return 0;
}

int br_boots_anonymous(struct br_boots *boots, struct br_plan **ret_plan, struct br_error *err)
{
	int r = 0;

	pthread_mutex_lock(&boots->lock);
	if (!boots->anonymous || (boots->overrides && br_now_ns() - boots->anonymous_ns > ANONYMOUS_NS))
		r = make_anonymous(boots, err);
	if (!r)
		*ret_plan = br_plan_ref(boots->anonymous);
	pthread_mutex_unlock(&boots->lock);
	return r;
}

int br_boots_status(struct br_boots *boots, int64_t board_id, struct br_boot_status *ret)
{
	struct boot *b;

	pthread_mutex_lock(&boots->lock);
	HASH_FIND(hh, boots->boots, &board_id, sizeof(board_id), b);
	if (b)
		*ret = b->status;
	pthread_mutex_unlock(&boots->lock);
	return b ? 0 : -ENOENT;
}

uint64_t br_boots_largest(struct br_boots *boots, const struct br_board *board)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_plan_base *base;
	uint64_t largest = 0;

	pthread_mutex_lock(&boots->lock);
	if (!find_board_base(boots, board, board->image[0] ? board->image : boots->default_image, &base, &err))
		largest = br_plan_base_largest(base);
	pthread_mutex_unlock(&boots->lock);
	return largest;
}

bool br_boots_image_in_use(struct br_boots *boots, const char *image)
{
	bool used;

	pthread_mutex_lock(&boots->lock);
	used = !strcmp(boots->default_image, image);
	for (struct boot *b = boots->boots; b && !used; b = b->hh.next)
		used = !strcmp(b->status.image, image);
	pthread_mutex_unlock(&boots->lock);
	return used;
}

void br_boots_forget(struct br_boots *boots, int64_t board_id)
{
	struct boot *b;

	pthread_mutex_lock(&boots->lock);
	HASH_FIND(hh, boots->boots, &board_id, sizeof(board_id), b);
	if (b) {
		drop_boot(boots, b);
		drop_unused_bases(boots, false);
	}
	pthread_mutex_unlock(&boots->lock);
}

void br_boots_settle(struct br_boots *boots, bool stored)
{
	struct boot *b, *tmp;

	pthread_mutex_lock(&boots->lock);
	HASH_ITER(hh, boots->boots, b, tmp)
	{
		if (stored)
			break;
		/* cppcheck-suppress uninitvar ; HASH_ITER sets it */
		if (b->group == boots->group)
			drop_boot(boots, b);
	}
	if (!stored)
		drop_unused_bases(boots, false);
	boots->group++;
	pthread_mutex_unlock(&boots->lock);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bramble disk shell: a shell in an image, or in a board's disk as it is now. What is there is written to a sparse file, which
 * the kernel mounts; afterwards the blocks that differ make a new image. So owners, modes, links, devices and attributes are
 * what the kernel makes of them, and nothing has to be copied back.
 *
 * Two users are at work: the one the state belongs to makes and reads files, root mounts and changes the root directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "api/pieces.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/state.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/diskinside.h"
#include "cli/table.h"
#include "plan/disksweep.h"
#include "store/disk.h"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);
BR_DEFINE_CLEANUP(struct br_store *, br_store_close);
BR_DEFINE_CLEANUP(struct br_image *, br_image_unref);

struct shell {
	struct br_common common;
	const char *target, *save;
	bool replace;
	char **command; /* NULL: an interactive shell */
	char *state, *dir, *disk, *raw; /* dir: STATE/disks/shell-..., with all that is below it */
	char board_image[64];		      /* made of a board's disk for the time; "" : none */
	char base[64];			      /* image of a board whose disk is only looked at; "": none such */
	bool live;			      /* the board's disk, without making an image of it */
	int status;			      /* of the command */
};

static const struct option options[] = {
	{ "save", required_argument, NULL, 300 },
	{ "replace", no_argument, NULL, 301 },
	BR_COMMON_LONG,
};

static int read_options(int argc, char **argv, struct shell *s)
{
	int c;

	/* '+': what follows the image is the command's */
	while ((c = getopt_long(argc, argv, "+:" BR_COMMON_SHORT, options, NULL)) != -1) {
		if (c == 300)
			s->save = optarg;
		else if (c == 301)
			s->replace = true;
		else if (br_common_take(&s->common, argc, argv, c) < 0)
			return BR_EXIT_USAGE;
	}
	if (optind == argc)
		return br_cli_usage("a board or an image is needed");
	s->target = argv[optind++];
	if (optind < argc && !strcmp(argv[optind], "--"))
		optind++;
	s->command = optind < argc ? argv + optind : NULL;
	return 0;
}

/* ---- whose programs can run here ---- */

static int check_machine(const struct br_image_info *info, struct br_error *err)
{
	static const struct {
		const char *arch, *machines, *binfmt;
	} arches[] = {
		{ "arm64", "aarch64", "qemu-aarch64" },
		{ "armhf", "armv7l armv8l aarch64", "qemu-arm" },
	};
	struct utsname here;

	uname(&here);
	for (size_t i = 0; i < BR_ARRAY_SIZE(arches); i++) {
		char path[64];
		br_cleanup(br_freep) char *text = NULL;

		if (strcmp(info->arch, arches[i].arch) != 0 || strstr(arches[i].machines, here.machine))
			continue;
		snprintf(path, sizeof(path), "/proc/sys/fs/binfmt_misc/%s", arches[i].binfmt);
		if (br_file_read(path, 4096, &text, NULL, NULL) < 0 || !br_str_starts(text, "enabled") || !strstr(text, "flags: ") ||
			!memchr(strstr(text, "flags: "), 'F', strcspn(strstr(text, "flags: "), "\n")))
			return br_error_set(err, ENOEXEC,
				"image %s is for %s and this machine is %s: install qemu-user-static and binfmt-support", info->name,
				info->arch, here.machine);
	}
	return 0;
}

/* ---- around it ---- */

/* The image that keeps a board's disk as it is now, until the end: for what is saved can share its blocks. */
static int freeze_board(struct shell *s, struct br_client *client, const char *name, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_asprintf("/v1/boards/%s/disk/save", name);
	br_cleanup(br_freep) char *note = br_path_join(s->dir, BR_SHELL_IMAGE);
	br_cleanup(json_decrefp) json_t *body = NULL;
	uint32_t number;
	int r;

	if (!path || !note)
		return -ENOMEM;
	br_random(&number, sizeof(number));
	snprintf(s->board_image, sizeof(s->board_image), "shell-%d-%08x", (int)getpid(), number);
	/* whatever becomes of us: br_disks_sweep_shells() removes it */
	r = br_file_write(note, s->board_image, strlen(s->board_image), 0600, err);
	body = json_pack("{s:s}", "image", s->board_image);
	return r < 0 ? r : br_client_call(client, "POST", path, body, NULL, err);
}

/* 0 too when there is no such board: then it is an image. */
static int take_board(struct shell *s, struct br_error *err)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(br_freep) char *name = br_client_escape(s->target);
	br_cleanup(br_freep) char *path = name ? br_asprintf("/v1/boards/%s", name) : NULL;
	br_cleanup(json_decrefp) json_t *board = NULL;
	const char *image;
	int r;

	if (!path)
		return -ENOMEM;
	if (br_client_new(s->common.state, &client, NULL) < 0)
		return 0;
	r = br_client_call(client, "GET", path, NULL, &board, err);
	if (r == -ENOENT || r == -ECONNREFUSED) {
		*err = BR_ERROR_NULL;
		return 0;
	}
	if (r >= 0 && s->save)
		return freeze_board(s, client, name, err);
	if (r < 0)
		return r;
	s->live = true;
	image = json_string_value(br_json_at(board, "boot.image")) ?: json_string_value(br_json_at(board, "effective.image"));
	snprintf(s->base, sizeof(s->base), "%s", image ?: "");
	return 0;
}

static int make_places(struct shell *s, struct br_error *err)
{
	s->dir = br_asprintf("%s/disks/shell-%d", s->state, (int)getpid());
	(void)br_disks_sweep_shells(s->state, NULL); /* those that were killed; if not now, then the next time */
	s->disk = s->dir ? br_path_join(s->dir, "disk") : NULL;
	s->raw = s->dir ? br_path_join(s->dir, "raw") : NULL;
	if (!s->disk || !s->raw)
		return br_error_set(err, ENOMEM, "out of memory");
	return br_mkdir_all(s->disk, 0700, err);
}

static int write_raw(struct shell *s, struct br_image *image, struct br_error *err)
{
	struct br_disk *disk;
	int r = br_disk_open(image, s->disk, &disk, err);

	if (r < 0)
		return r;
	r = br_disk_export(disk, s->raw, s->common.quiet, err);
	br_disk_close(disk);
	return r;
}

struct fetch {
	struct br_pieces pieces;
	int fd;
};

static int put_piece(void *ctx, uint64_t offset, const void *data, size_t n, struct br_error *err)
{
	const struct fetch *f = ctx;
	int r = br_pwrite_all(f->fd, data, n, offset);

	return r < 0 ? br_error_set(err, -r, "the copy of its disk: %s", strerrordesc_np(-r)) : 0;
}

static int take_bytes(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err)
{
	struct fetch *f = ctx;

	(void)total;
	return br_pieces_take(&f->pieces, data, n, put_piece, f, err);
}

/* The disk of a board as it is now; nothing is frozen for it. */
static int fetch_raw(struct shell *s, struct br_error *err)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(br_freep) char *name = br_client_escape(s->target);
	br_cleanup(br_freep) char *path = name ? br_asprintf("/v1/boards/%s/disk/export?form=pieces", name) : NULL;
	br_cleanup(br_closep) int fd = open(s->raw, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	struct fetch f = { .fd = fd };
	int r;

	if (!path || fd < 0)
		return br_error_set(err, path ? errno : ENOMEM, "file %s: %s", s->raw, strerrordesc_np(path ? errno : ENOMEM));
	r = br_client_new(s->common.state, &client, err);
	if (!r)
		r = br_client_stream(client, path, take_bytes, &f, err);
	if (r >= 0)
		r = br_pieces_end(&f.pieces, err);
	if (!r && ftruncate(fd, (off_t)f.pieces.size) < 0)
		r = br_error_set(err, errno, "file %s: %s", s->raw, strerrordesc_np(errno));
	return r;
}

static int run_shell(struct shell *s, struct br_error *err)
{
	/* opened as the owner: root would follow a link that another process of that user made */
	br_cleanup(br_closep) int raw = open(s->raw, O_RDWR | O_CLOEXEC | O_NOFOLLOW), read_fd = -1, write_fd = -1;
	struct sigaction ignore = { .sa_handler = SIG_IGN }, old_int, old_quit;
	int ends[2];
	pid_t pid;
	char done;

	if (raw < 0 || pipe2(ends, O_CLOEXEC) < 0)
		return br_error_set(err, errno, "%s: %s", s->raw, strerrordesc_np(errno));
	read_fd = ends[0];
	write_fd = ends[1];
	fflush(NULL);
	sigaction(SIGINT, &ignore, &old_int); /* the terminal's is for the command */
	sigaction(SIGQUIT, &ignore, &old_quit);
	pid = fork();
	if (!pid) {
		sigaction(SIGINT, &old_int, NULL);
		sigaction(SIGQUIT, &old_quit, NULL);
		br_inside_run(raw, write_fd, s->target, s->command);
	}
	if (pid > 0)
		s->status = br_inside_wait(pid);
	sigaction(SIGINT, &old_int, NULL);
	sigaction(SIGQUIT, &old_quit, NULL);
	if (pid < 0)
		return br_error_set(err, errno, "fork: %s", strerrordesc_np(errno));
	close(br_take_fd(write_fd));
	if (read(read_fd, &done, 1) != 1)
		return br_error_set(err, EIO, "%s; nothing was changed", s->status == BR_INSIDE_FAILED ?
			"it could not be run" : "what mounts the file system was killed");
	return s->status == BR_INSIDE_FAILED ? br_error_set(err, EIO, "it could not be run; nothing was changed") : 0;
}

/* The new image's parent is the one that the board's disk is on, not the one made for the time. */
static struct br_image *parent_of(struct shell *s, struct br_store *store, struct br_image *image)
{
	const struct br_image_info *info = br_image_info(image);
	struct br_image *parent;

	if (!s->board_image[0] || br_image_open(store, info->parent, &parent, NULL) < 0)
		return br_image_ref(image);
	if (!strcmp(br_image_info(parent)->sha256, info->parent_sha256))
		return parent;
	br_image_unref(parent);
	return br_image_ref(image);
}

static int save(struct shell *s, struct br_store *store, struct br_image *image, const char *name, struct br_error *err)
{
	br_cleanup(br_image_unrefp) struct br_image *parent = parent_of(s, store, image);
	br_cleanup(br_closep) int fd = open(s->raw, O_RDONLY | O_CLOEXEC);
	br_cleanup(br_freep) struct br_image_info *info = malloc(sizeof(*info));
	char layer[33], from[160], size[16];
	struct br_disk *disk;
	uint64_t written;
	int r;

	if (fd < 0 || !info)
		return br_error_set(err, fd < 0 ? errno : ENOMEM, "%s: cannot read what was changed", s->raw);
	r = br_disk_import(image, s->disk, fd, s->common.quiet, &written, err);
	if (!r)
		r = br_disk_open(image, s->disk, &disk, err);
	if (r)
		return r;
	r = br_disk_freeze(disk, layer, err);
	br_disk_close(disk);
	snprintf(from, sizeof(from), "disk shell %s", s->target);
	if (!r)
		r = br_store_derive(store, parent, layer, name, from, s->replace, info, err);
	if (r < 0)
		return r;
	if (!s->common.quiet)
		fprintf(stderr, "image %s: %s, with %s of changes\n", info->name, s->target, br_format_size(size, sizeof(size), written));
	return 0;
}

static int work(struct shell *s, struct br_error *err)
{
	br_cleanup(br_store_closep) struct br_store *store = NULL;
	br_cleanup(br_image_unrefp) struct br_image *image = NULL;
	char name[BR_IMAGE_NAME_MAX + 1] = "";
	int r = s->save ? br_image_name_canon(s->save, name, err) : 0;

	if (!r)
		r = br_store_open(s->state, &store, err);
	if (!r)
		r = make_places(s, err);
	if (!r)
		r = take_board(s, err);
	if (r < 0)
		return r;
	r = br_image_open(store, s->live ? s->base : s->board_image[0] ? s->board_image : s->target, &image, err);
	if (r == -ENOENT && !s->live)
		return br_error_set(err, ENOENT, "'%s' is neither a board nor an image", s->target);
	if (r == -ENOENT) { /* it was removed; the disk is there */
		*err = BR_ERROR_NULL;
		r = 0;
	}
	if (!r && image)
		r = check_machine(br_image_info(image), err);
	if (!r)
		r = s->live ? fetch_raw(s, err) : write_raw(s, image, err);
	if (!r && !s->common.quiet && !s->command)
		fprintf(stderr, "This is %s. What you change %s; 'exit' ends it.\n", s->target,
			s->save ? "becomes a new image" : "is dropped (--save IMAGE[:TAG] keeps it)");
	if (!r)
		r = run_shell(s, err);
	if (!r && s->save && !(s->command && s->status))
		r = save(s, store, image, name, err);
	return r;
}

/* The image made of a board's disk goes; the new one needs its layers only. */
static void clean(struct shell *s, struct br_error *err)
{
	br_cleanup(br_store_closep) struct br_store *store = NULL;
	int r = s->board_image[0] ? br_store_open(s->state, &store, NULL) : 0;

	if (!r && store)
		r = br_store_remove(store, s->board_image, NULL);
	if (r < 0 && r != -ENOENT)
		fprintf(stderr, "bramble: image %s, made of the board's disk, stays: it could not be removed\n", s->board_image);
	if (s->dir)
		(void)br_remove_tree(s->dir, NULL);
	free(s->state);
	free(s->dir);
	free(s->disk);
	free(s->raw);
}

/* Files in the state are its owner's, whoever runs this. */
static int become_owner(const struct shell *s, struct br_error *err)
{
	struct stat st;

	if (geteuid())
		return br_error_set(err, EPERM, "only root may mount and change the root directory: use sudo");
	if (stat(s->state, &st) < 0)
		return br_error_set(err, errno, "state directory %s: %s", s->state, strerrordesc_np(errno));
	if (setegid(st.st_gid) < 0 || seteuid(st.st_uid) < 0)
		return br_error_set(err, errno, "cannot act as the owner of %s: %s", s->state, strerrordesc_np(errno));
	return 0;
}

static int disk_shell(int argc, char **argv)
{
	struct shell s = { 0 };
	struct br_error err = BR_ERROR_NULL;
	int r = read_options(argc, argv, &s);

	if (r)
		return r;
	r = br_state_dir(s.common.state, &s.state, &err);
	if (!r)
		r = become_owner(&s, &err);
	if (!r)
		r = work(&s, &err);
	clean(&s, &err);
	/* root again, whom debuggers and sanitizers may look at */
	if (geteuid() && !getuid() && (seteuid(0) < 0 || setegid(0) < 0 || prctl(PR_SET_DUMPABLE, 1) < 0))
		fprintf(stderr, "bramble: cannot be root again: %s\n", strerrordesc_np(errno));
	if (r < 0)
		return br_cli_error(&err, r);
	if (s.command && s.status && s.save)
		fprintf(stderr, "bramble: the command failed: nothing is saved\n");
	return s.command ? s.status : BR_EXIT_OK;
}

const struct br_command br_cli_disk_shell[] = {
	{ "disk", "shell", "BOARD|IMAGE [--save IMAGE[:TAG]] [--replace] [-- COMMAND...]",
		"Runs a shell or a command inside an image, or inside a board's disk as it is now", disk_shell,
		"Options come before the name. Needs root and the kernel's ext4 and loop devices; programs of another architecture\n"
		"run by qemu-user-static. The network is this machine's; there is a small /dev, and no /sys. The board and its\n"
		"disk are not touched. What was in there is not trusted (bramble's docs/disks.md says what keeps it in).\n"
		"  --save IMAGE[:TAG] what is there at the end becomes an image (after a command: when that succeeded);\n"
		"                     without this it is dropped\n"
		"  --replace          take the place of another image of this name\n"
		"  -q, --quiet        no progress\n"
		"The exit status is the command's; 125: it could not be run.\n" },
	{ 0 },
};

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
#include <linux/loop.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/state.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "store/disk.h"

BR_DEFINE_CLEANUP(struct br_client *, br_client_free);
BR_DEFINE_CLEANUP(struct br_store *, br_store_close);
BR_DEFINE_CLEANUP(struct br_image *, br_image_unref);

struct shell {
	struct br_common common;
	const char *target, *save;
	bool replace;
	char **command; /* NULL: an interactive shell */
	char *state, *dir, *disk, *raw, *mnt; /* dir: STATE/disks/shell-..., with all that is below it */
	char board_image[64];		      /* made of a board's disk for the time; "" : none */
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

/* ---- as root, in a process of its own ---- */

static int fail(const char *what)
{
	fprintf(stderr, "bramble: %s: %s\n", what, strerrordesc_np(errno));
	return 125;
}

/* A loop device that goes with its last user. */
static int loop_over(const char *raw, char path[static 32])
{
	br_cleanup(br_closep) int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	br_cleanup(br_closep) int file = open(raw, O_RDWR | O_CLOEXEC);
	struct loop_config config = { .fd = (unsigned)file, .block_size = 512, .info = { .lo_flags = LO_FLAGS_AUTOCLEAR } };

	if (control < 0 || file < 0)
		return -errno;
	for (;;) {
		int n = ioctl(control, LOOP_CTL_GET_FREE), fd;

		if (n < 0)
			return -errno;
		snprintf(path, 32, "/dev/loop%d", n);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		if (!ioctl(fd, LOOP_CONFIGURE, &config))
			return fd; /* open until it is mounted */
		close(fd);
		if (errno != EBUSY) /* somebody else was quicker */
			return -errno;
	}
}

static int bind_into(const char *mnt, const char *what)
{
	char to[4200];

	snprintf(to, sizeof(to), "%s%s", mnt, what);
	return mount(what, to, NULL, MS_BIND | MS_REC, NULL);
}

/* Process 1 of its own: when it ends everything that was started in there does. */
static _Noreturn void run_inside(const struct shell *s)
{
	static char *const shells[][3] = { { (char *)(uintptr_t) "/bin/bash", (char *)(uintptr_t) "-l", NULL },
		{ (char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-l", NULL } };
	char proc[4200];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(proc, sizeof(proc), "%s/proc", s->mnt);
	if (unshare(CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		_exit(fail("a name space of mounts"));
	/* what an image lacks it does without; the network and its resolver are this machine's */
	(void)mount("proc", proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	(void)bind_into(s->mnt, "/sys");
	(void)bind_into(s->mnt, "/dev");
	(void)bind_into(s->mnt, "/etc/resolv.conf");
	if (chroot(s->mnt) < 0 || chdir("/") < 0)
		_exit(fail("chroot"));
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	setenv("bramble_shell", s->target, 1);
	umask(0022);
	if (s->command)
		execvp(s->command[0], s->command);
	for (size_t i = 0; !s->command && i < BR_ARRAY_SIZE(shells); i++)
		execv(shells[i][0], shells[i]);
	_exit(fail(s->command ? s->command[0] : "/bin/sh"));
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 125;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static _Noreturn void run_mounted(const struct shell *s)
{
	char loop[32];
	int fd, status;
	pid_t pid;

	if (seteuid(0) < 0 || setegid(0) < 0 || unshare(CLONE_NEWNS | CLONE_NEWPID) < 0 ||
		mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		_exit(fail("name spaces"));
	fd = loop_over(s->raw, loop);
	if (fd < 0) {
		errno = -fd;
		_exit(fail("a loop device, to mount the file system"));
	}
	if (mount(loop, s->mnt, "ext4", MS_NOATIME, NULL) < 0)
		_exit(fail("mounting its file system"));
	close(fd);
	pid = fork();
	if (pid < 0)
		_exit(fail("fork"));
	if (!pid)
		run_inside(s);
	status = wait_for(pid);
	if (umount(s->mnt) < 0)
		status = fail("unmounting its file system");
	_exit(status);
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

/* A board's disk as it is now becomes an image, until the end. 0 too when there is no such board. */
static int take_board(struct shell *s, struct br_error *err)
{
	br_cleanup(br_client_freep) struct br_client *client = NULL;
	br_cleanup(br_freep) char *name = br_client_escape(s->target);
	br_cleanup(br_freep) char *path = name ? br_asprintf("/v1/boards/%s/disk/save", name) : NULL;
	br_cleanup(json_decrefp) json_t *body = NULL;
	int r;

	if (!path)
		return -ENOMEM;
	r = br_client_new(s->common.state, &client, NULL);
	if (r < 0)
		return 0; /* no daemon: then it is an image */
	snprintf(s->board_image, sizeof(s->board_image), "shell-%d", (int)getpid());
	body = json_pack("{s:s}", "image", s->board_image);
	r = br_client_call(client, "POST", path, body, NULL, err);
	if (r >= 0)
		return 0;
	s->board_image[0] = 0;
	if (r != -ENOENT && r != -ECONNREFUSED)
		return r;
	*err = BR_ERROR_NULL;
	return 0;
}

static int make_places(struct shell *s, struct br_error *err)
{
	int r;

	s->dir = br_asprintf("%s/disks/shell-%d", s->state, (int)getpid());
	s->disk = s->dir ? br_path_join(s->dir, "disk") : NULL;
	s->raw = s->dir ? br_path_join(s->dir, "raw") : NULL;
	s->mnt = s->dir ? br_path_join(s->dir, "root") : NULL;
	if (!s->disk || !s->raw || !s->mnt)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_mkdir_all(s->disk, 0700, err);
	return r < 0 ? r : br_mkdir_all(s->mnt, 0700, err);
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

static int run_shell(struct shell *s, struct br_error *err)
{
	struct sigaction ignore = { .sa_handler = SIG_IGN }, old_int, old_quit;
	pid_t pid;

	fflush(NULL);
	sigaction(SIGINT, &ignore, &old_int); /* the terminal's is for the command */
	sigaction(SIGQUIT, &ignore, &old_quit);
	pid = fork();
	if (!pid) {
		sigaction(SIGINT, &old_int, NULL);
		sigaction(SIGQUIT, &old_quit, NULL);
		run_mounted(s);
	}
	if (pid > 0)
		s->status = wait_for(pid);
	sigaction(SIGINT, &old_int, NULL);
	sigaction(SIGQUIT, &old_quit, NULL);
	if (pid < 0)
		return br_error_set(err, errno, "fork: %s", strerrordesc_np(errno));
	return s->status == 125 ? br_error_set(err, EIO, "it could not be run; nothing was changed") : 0;
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
		r = take_board(s, err);
	if (!r)
		r = br_image_open(store, s->board_image[0] ? s->board_image : s->target, &image, err);
	if (r == -ENOENT)
		return br_error_set(err, ENOENT, "'%s' is neither a board nor an image", s->target);
	if (!r)
		r = check_machine(br_image_info(image), err);
	if (!r)
		r = make_places(s, err);
	if (!r)
		r = write_raw(s, image, err);
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

	if (s->dir)
		(void)br_remove_tree(s->dir, NULL);
	if (s->board_image[0] && (br_store_open(s->state, &store, NULL) < 0 || br_store_remove(store, s->board_image, NULL) < 0))
		fprintf(stderr, "bramble: image %s, made of the board's disk, stays: it could not be removed\n", s->board_image);
	free(s->state);
	free(s->dir);
	free(s->disk);
	free(s->raw);
	free(s->mnt);
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
		"run by qemu-user-static. Network, /dev and /sys are this machine's. The board and its disk are not touched.\n"
		"  --save IMAGE[:TAG] what is there at the end becomes an image (after a command: when that succeeded);\n"
		"                     without this it is dropped\n"
		"  --replace          take the place of another image of this name\n"
		"  -q, --quiet        no progress\n"
		"The exit status is the command's; 125: it could not be run.\n" },
	{ 0 },
};

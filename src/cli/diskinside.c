/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Root of a board may have put anything into its disk, and here that runs as root of the host: so it gets a root directory that
 * leads nowhere else, name spaces, devices and capabilities of which none reaches the host. What stays shared: the network, the
 * terminal (without TIOCSTI), and the kernel, which mounts what the board wrote.
 */
#include "cli/diskinside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/loop.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

/* Where it is mounted, seen by our own mount name space only: a directory that is root's, so nobody can put another one there. */
#define MNT "/tmp"

static int fail(const char *what)
{
	fprintf(stderr, "bramble: %s: %s\n", what, strerrordesc_np(errno));
	return BR_INSIDE_FAILED;
}

/* A loop device that goes with its last user. */
static int loop_over(int raw_fd, char path[static 32])
{
	br_cleanup(br_closep) int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	struct loop_config config = { .fd = (unsigned)raw_fd, .block_size = 512, .info = { .lo_flags = LO_FLAGS_AUTOCLEAR } };

	if (control < 0)
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

/* ---- what it sees ---- */

static int make_devices(void)
{
	static const struct {
		const char *path;
		unsigned major, minor;
	} nodes[] = {
		{ "/dev/null", 1, 3 },
		{ "/dev/zero", 1, 5 },
		{ "/dev/full", 1, 7 },
		{ "/dev/random", 1, 8 },
		{ "/dev/urandom", 1, 9 },
		{ "/dev/tty", 5, 0 },
	};
	static const char *const links[][2] = {
		{ "/proc/self/fd", "/dev/fd" },
		{ "/proc/self/fd/0", "/dev/stdin" },
		{ "/proc/self/fd/1", "/dev/stdout" },
		{ "/proc/self/fd/2", "/dev/stderr" },
		{ "pts/ptmx", "/dev/ptmx" },
	};

	if (mount("dev", "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=1m") < 0)
		return -1;
	for (size_t i = 0; i < BR_ARRAY_SIZE(nodes); i++)
		if (mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)) < 0)
			return -1;
	for (size_t i = 0; i < BR_ARRAY_SIZE(links); i++)
		if (symlink(links[i][0], links[i][1]) < 0)
			return -1;
	if (mkdir("/dev/pts", 0755) < 0 || mkdir("/dev/shm", 0755) < 0)
		return -1;
	(void)mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
	return mount("shm", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777");
}

/* This machine's resolver, where the image has a file for it: a copy, as a file of the host would lead to its file system. */
static void give_resolver(const char *text)
{
	br_cleanup(br_closep) int fd = text ? open("/dev/resolv.conf", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) : -1;

	if (fd < 0)
		return;
	if (!br_write_all(fd, text, strlen(text)))
		(void)mount("/dev/resolv.conf", "/etc/resolv.conf", NULL, MS_BIND, NULL);
	(void)unlink("/dev/resolv.conf");
}

static int change_root(void)
{
	br_cleanup(br_freep) char *resolver = NULL;

	(void)br_file_read("/etc/resolv.conf", 65536, &resolver, NULL, NULL);
	/* the old root ends up on top of the new one, at the same place, and is taken off */
	if (chdir(MNT) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return fail("changing the root directory");
	/* from here on links of the image lead into the image */
	if (make_devices() < 0)
		return fail("its /dev");
	give_resolver(resolver);
	/* the only place where device nodes work; root may make nodes */
	if (mount(NULL, "/dev", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL) < 0)
		return fail("its /dev");
	/* /proc/sys is the host's, and root needs no capability to write there */
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL) < 0)
		return fail("its /proc");
	return 0;
}

/* ---- what it may ---- */

#ifndef TIOCLINUX
#define TIOCLINUX 0x541C
#endif

/* Typing into the terminal: the host's shell would read it afterwards. Numbers of all the machine's ABIs, whichever it is. */
static int forbid_typing(void)
{
	/* x86_64, x32, arm64 and riscv, and i386 and arm; none of them is another call that takes such a second argument */
	static const unsigned calls[] = { SYS_ioctl, 0x40000000 + 514, 54 };
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[0], 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[1], 2, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[2], 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1]) + 4 * (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCSTI, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TIOCLINUX, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog program = { .len = BR_ARRAY_SIZE(code), .filter = code };

	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* What is left for root by the next exec: what installing packages needs. Not DAC_READ_SEARCH, with which handles open anything. */
static int drop_capabilities(void)
{
	static const unsigned keep[] = { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_KILL, CAP_SETGID, CAP_SETUID,
		CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_MKNOD, CAP_AUDIT_WRITE, CAP_SETFCAP };
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	uint64_t kept = 0;

	for (size_t i = 0; i < BR_ARRAY_SIZE(keep); i++)
		kept |= UINT64_C(1) << keep[i];
	/* up to the kernel's last one, which may be newer than our headers */
	for (unsigned cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		if (!(kept >> cap & 1) && prctl(PR_CAPBSET_DROP, cap) < 0)
			return -1;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -1;
	/* inheritable ones come back at the exec, whatever is bounded: none */
	for (unsigned i = 0; i < BR_ARRAY_SIZE(data); i++)
		data[i].effective = data[i].permitted = (uint32_t)(kept >> 32 * i);
	return (int)syscall(SYS_capset, &head, data);
}

/* ---- running ---- */

/* Process 1 of its own: when it ends everything that was started in there does. */
static _Noreturn void run_inside(const char *target, char **command)
{
	static char *const shells[][3] = { { (char *)(uintptr_t) "/bin/bash", (char *)(uintptr_t) "-l", NULL },
		{ (char *)(uintptr_t) "/bin/sh", (char *)(uintptr_t) "-l", NULL } };
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (unshare(CLONE_NEWNS) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		_exit(fail("a name space of mounts"));
	umask(0); /* of the devices */
	r = change_root();
	if (r)
		_exit(r);
	if (forbid_typing() < 0 || drop_capabilities() < 0)
		_exit(fail("giving up rights"));
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);
	setenv("bramble_shell", target, 1);
	umask(0022);
	if (command)
		execvp(command[0], command);
	for (size_t i = 0; !command && i < BR_ARRAY_SIZE(shells); i++)
		execv(shells[i][0], shells[i]);
	_exit(fail(command ? command[0] : "/bin/sh"));
}

int br_inside_wait(int pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return BR_INSIDE_FAILED;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

_Noreturn void br_inside_run(int raw_fd, int done_fd, const char *target, char **command)
{
	const int spaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
	char loop[32];
	int fd, status;
	pid_t pid;

	if (seteuid(0) < 0 || setegid(0) < 0 || unshare(spaces) < 0 || mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		_exit(fail("name spaces"));
	fd = loop_over(raw_fd, loop);
	if (fd < 0) {
		errno = -fd;
		_exit(fail("a loop device, to mount the file system"));
	}
	/* not what its superblock says of errors: it may say panic */
	if (mount(loop, MNT, "ext4", MS_NOATIME | MS_NODEV, "errors=remount-ro") < 0)
		_exit(fail("mounting its file system"));
	close(fd);
	pid = fork();
	if (pid < 0)
		_exit(fail("fork"));
	if (!pid)
		run_inside(target, command);
	status = br_inside_wait(pid);
	if (umount(MNT) < 0)
		status = fail("unmounting its file system");
	else if (write(done_fd, "", 1) != 1)
		status = fail("a pipe");
	_exit(status);
}

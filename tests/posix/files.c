/* SPDX-License-Identifier: Apache-2.0 */
/* open, creat, unlink, and files that are open while their names change. */
#define SUBJECT "files"
#include "posix.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define WRITERS 8

static int make_socket(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
	ok(fd);
	ok(bind(fd, (struct sockaddr *)&name, sizeof(name)));
	return fd;
}

CASE(a_new_file_has_the_mode_less_the_umask)
{
	static const struct {
		mode_t mode, mask, want;
	} rows[] = {
		{ 0755, 0, 0755 }, { 0755, 022, 0755 }, { 0777, 077, 0700 }, { 0666, 027, 0640 }, { 0, 0, 0 },
		{ 0151, 0, 0151 }, { 0345, 0244, 0101 }, { 0644, 0777, 0 }, { 06755, 0, 06755 }, { 01644, 0, 01644 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct stat st;

		umask(rows[i].mask);
		touch("f", rows[i].mode);
		st = stat_of("f");
		eq(st.st_mode, S_IFREG | rows[i].want);
		eq(st.st_size, 0);
		eq(st.st_nlink, 1);
		eq(st.st_uid, geteuid());
		eq(st.st_gid, getegid());
		ok(unlink("f"));
	}
}

CASE(a_new_file_belongs_to_its_maker)
{
	struct stat st;

	need_root();
	ok(chmod(".", 0777));
	as(65530, 65529);
	touch("f", 0644);
	st = stat_of("f");
	eq(st.st_uid, 65530);
	eq(st.st_gid, 65529);
	as(4000000000u, 3000000000u);
	touch("g", 0644);
	st = stat_of("g");
	eq(st.st_uid, 4000000000u);
	eq(st.st_gid, 3000000000u);
}

CASE(a_setgid_directory_gives_its_group)
{
	struct stat st;

	need_root();
	ok(mkdir("d", 0777));
	ok(chown("d", 0, 4711));
	ok(chmod("d", 02777));
	as(1000, 1000);
	touch("d/f", 0644);
	st = stat_of("d/f");
	eq(st.st_gid, 4711);
	eq(st.st_mode & 07777, 0644);
	ok(mkdir("d/sub", 0750));
	st = stat_of("d/sub");
	eq(st.st_gid, 4711);
	eq(st.st_mode & 07777, 02750);
	ok(symlink("x", "d/link"));
	eq(stat_of("d/link").st_gid, 4711);
	ok(mkfifo("d/fifo", 0600));
	eq(stat_of("d/fifo").st_gid, 4711);
	/* a program that is setgid to a group of others cannot be made that way */
	touch("d/sgid", 02755);
	eq(stat_of("d/sgid").st_mode & 07777, 0755);
}

CASE(creating_marks_file_and_directory)
{
	struct stat dir = stat_of("."), st;

	tick();
	touch("f", 0644);
	st = stat_of("f");
	is(later(st.st_atim, dir.st_ctim));
	is(later(st.st_mtim, dir.st_ctim));
	is(later(st.st_ctim, dir.st_ctim));
	eq(moved(&dir, ".") & (M | C), M | C);
}

CASE(opening_changes_no_times)
{
	struct stat dir, st;

	put("f", "text");
	dir = stat_of(".");
	st = stat_of("f");
	tick();
	ok(close(fd_of("f", O_RDWR | O_CREAT, 0600)));
	ok(close(fd_of("f", O_RDONLY, 0)));
	eq(moved(&dir, ".") & (M | C), 0);
	eq(moved(&st, "f") & (M | C), 0);
	eq(stat_of("f").st_mode & 07777, 0644);
	text_is("f", "text");
}

CASE(o_trunc_empties_and_marks)
{
	put("f", "text");
	put("empty", "");
	changes(M | C, "f", close(fd_of("f", O_WRONLY | O_TRUNC, 0)));
	eq(stat_of("f").st_size, 0);
	changes(M | C, "empty", close(fd_of("empty", O_WRONLY | O_TRUNC, 0)));
	changes(M | C, "empty", close(fd_of("empty", O_WRONLY | O_TRUNC | O_CREAT, 0644)));
}

CASE(o_excl_refuses_whatever_is_there)
{
	touch("file", 0644);
	ok(mkdir("dir", 0755));
	ok(mkfifo("fifo", 0644));
	ok(symlink("file", "link"));
	ok(symlink("nowhere", "dangling"));
	err(EEXIST, open("file", O_CREAT | O_EXCL | O_RDWR, 0644));
	err(EEXIST, open("dir", O_CREAT | O_EXCL | O_RDWR, 0644));
	err(EEXIST, open("fifo", O_CREAT | O_EXCL | O_RDWR, 0644));
	err(EEXIST, open("link", O_CREAT | O_EXCL | O_RDWR, 0644));
	err(EEXIST, open("dangling", O_CREAT | O_EXCL | O_RDWR, 0644));
	is(!exists("nowhere"));
	/* without it the file behind the link is made */
	ok(close(fd_of("dangling", O_CREAT | O_WRONLY, 0640)));
	eq(stat_of("nowhere").st_mode, S_IFREG | 0640);
}

CASE(what_open_refuses)
{
	touch("file", 0644);
	ok(mkdir("dir", 0755));
	ok(symlink("file", "link"));
	err(ENOENT, open("none", O_RDONLY));
	err(ENOENT, open("none/file", O_RDONLY));
	err(ENOENT, open("none/file", O_CREAT | O_RDWR, 0644));
	err(ENOENT, open("", O_RDONLY));
	err(ENOTDIR, open("file/x", O_RDONLY));
	err(ENOTDIR, open("file/x", O_CREAT | O_RDWR, 0644));
	err(ENOTDIR, open("file", O_RDONLY | O_DIRECTORY));
	err(EISDIR, open("dir", O_WRONLY));
	err(EISDIR, open("dir", O_RDWR));
	err(EISDIR, open("dir", O_CREAT | O_RDONLY, 0644));
	err(ELOOP, open("link", O_RDONLY | O_NOFOLLOW));
	err(EISDIR, read(fd_of("dir", O_RDONLY, 0), &(char){ 0 }, 1));
}

CASE(fifos_and_sockets_are_not_files)
{
	int fd = make_socket("socket");

	ok(mkfifo("fifo", 0644));
	err(ENXIO, open("fifo", O_WRONLY | O_NONBLOCK));
	err(ENXIO, open("socket", O_RDONLY));
	err(ENXIO, open("socket", O_RDWR));
	eq(stat_of("socket").st_mode & S_IFMT, S_IFSOCK);
	ok(close(fd));
	ok(unlink("socket"));
}

/* Reading and writing by owner, group and others, for each mode. */
CASE(open_asks_the_right_three_bits)
{
	static const struct {
		uid_t uid;
		gid_t gid;
		unsigned shift;
	} who[] = { { 1000, 1000, 6 }, { 1001, 1000, 3 }, { 1001, 1001, 0 } };
	static const int flags[] = { O_RDONLY, O_WRONLY, O_RDWR };
	static const unsigned needs[] = { 4, 2, 6 };

	need_root();
	touch("f", 0);
	ok(chown("f", 1000, 1000));
	for (unsigned mode = 0; mode < 8; mode++)
		for (size_t w = 0; w < 3; w++) {
			/* what the other two have must not count */
			root();
			ok(chmod("f", (07777 & 0666 & ~(7u << who[w].shift)) | mode << who[w].shift));
			as(who[w].uid, who[w].gid);
			for (size_t i = 0; i < 3; i++) {
				int fd = open("f", flags[i]), e = errno;
				bool may = (mode & needs[i]) == needs[i];

				if (may != (fd >= 0) || (fd < 0 && e != EACCES))
					posix_note("mode %o, who %zu, flags %d: %s", mode, w, flags[i], fd < 0 ? strerror(e) : "opened");
				is(may == (fd >= 0));
				if (fd >= 0)
					close(fd);
			}
		}
}

CASE(truncating_by_open_needs_the_right_to_write)
{
	need_root();
	put("f", "text");
	as(1000, 1000);
	err(EACCES, open("f", O_RDONLY | O_TRUNC));
	err(EACCES, open("f", O_WRONLY | O_TRUNC));
	root();
	text_is("f", "text");
}

CASE(creating_needs_the_right_to_write_the_directory)
{
	need_root();
	ok(mkdir("d", 0755));
	touch("d/there", 0666);
	as(1000, 1000);
	err(EACCES, open("d/f", O_CREAT | O_WRONLY, 0644));
	ok(close(fd_of("d/there", O_CREAT | O_WRONLY, 0644)));
	root();
	ok(chmod("d", 0666));
	as(1000, 1000);
	err(EACCES, open("d/f", O_CREAT | O_WRONLY, 0644));
	err(EACCES, open("d/there", O_RDONLY));
	root();
	ok(chmod("d", 0733));
	as(1000, 1000);
	ok(close(fd_of("d/f", O_CREAT | O_EXCL | O_WRONLY, 0444)));
}

/* The mode of a new file counts from the next open on. */
CASE(the_maker_may_write_whatever_the_mode)
{
	static const int flags[] = { O_CREAT | O_RDWR, O_CREAT | O_EXCL | O_RDWR };
	static const mode_t modes[] = { 0, 0444, 0200 };

	need_root();
	ok(chmod(".", 0777));
	for (size_t i = 0; i < 6; i++) {
		char buf[8];
		int fd;

		as(1000, 1000);
		fd = fd_of("f", flags[i / 3], modes[i % 3]);
		eq(write(fd, "hello", 5), 5);
		ok(fsync(fd));
		eq(pread(fd, buf, 5, 0), 5);
		is(memcmp(buf, "hello", 5) == 0);
		ok(close(fd));
		eq(stat_of("f").st_mode & 07777, modes[i % 3]);
		eq(stat_of("f").st_size, 5);
		ok(unlink("f"));
	}
}

CASE(rights_are_those_of_the_open)
{
	int fd;

	need_root();
	touch("f", 0666);
	as(1000, 1000);
	fd = fd_of("f", O_RDWR, 0);
	root();
	ok(chmod("f", 0600));
	as(1000, 1000);
	eq(write(fd, "hello", 5), 5);
	ok(fsync(fd));
}

CASE(o_append_writes_at_the_end)
{
	int a = fd_of("f", O_CREAT | O_WRONLY | O_APPEND, 0644), b = fd_of("f", O_WRONLY | O_APPEND, 0);

	eq(write(a, "one ", 4), 4);
	eq(write(b, "two ", 4), 4);
	ok(lseek(a, 0, SEEK_SET));
	eq(write(a, "three ", 6), 6);
	eq(lseek(a, 0, SEEK_CUR), 14);
	ok(close(a));
	ok(close(b));
	text_is("f", "one two three ");
}

static void append(void *arg)
{
	char line[32];
	int fd = fd_of("f", O_WRONLY | O_APPEND, 0);

	for (int i = 0; i < 50; i++) {
		int n = snprintf(line, sizeof(line), "%03d %03d\n", *(int *)arg, i);

		eq(write(fd, line, (size_t)n), n);
	}
	ok(close(fd));
}

static void start_appending(void)
{
	for (int i = 0; i < WRITERS; i++)
		if (fork() == 0) {
			append(&i);
			_exit(0);
		}
	for (int status, i = 0; i < WRITERS; i++) {
		ok(wait(&status));
		eq(status, 0);
	}
}

CASE(what_many_append_is_all_there)
{
	int last[WRITERS], who, i, n = 0;
	char line[32];
	FILE *f;

	touch("f", 0644);
	start_appending();
	eq(stat_of("f").st_size, WRITERS * 50 * 8);
	memset(last, -1, sizeof(last));
	f = fopen("f", "r");
	while (f && fgets(line, sizeof(line), f) && sscanf(line, "%d %d", &who, &i) == 2 && who >= 0 && who < WRITERS) {
		eq(i, last[who] + 1);
		last[who] = i;
		n++;
	}
	eq(n, WRITERS * 50);
}

static void create_once(void *arg)
{
	int fd = open("f", O_CREAT | O_EXCL | O_WRONLY, 0644);

	if (fd >= 0)
		__atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
	else
		eq(errno, EEXIST);
}

CASE(one_of_many_creates_with_o_excl)
{
	int *winners = posix_shared(sizeof(int));

	for (int round = 0; round < 5; round++) {
		*winners = 0;
		for (int i = 0; i < WRITERS; i++)
			if (fork() == 0) {
				create_once(winners);
				_exit(0);
			}
		while (wait(NULL) > 0)
			;
		eq(*winners, 1);
		ok(unlink("f"));
	}
}

/* ---- unlink ---- */

CASE(unlink_takes_all_but_directories)
{
	touch("file", 0644);
	ok(mkfifo("fifo", 0644));
	ok(close(make_socket("socket")));
	ok(symlink("file", "link"));
	ok(mkdir("dir", 0755));
	changes(M | C, ".", unlink("link"));
	changes(M | C, ".", unlink("fifo"));
	changes(M | C, ".", unlink("socket"));
	is(exists("file"));
	changes(M | C, ".", unlink("file"));
	is(!exists("file") && !exists("fifo") && !exists("socket") && !exists("link"));
	err2(EISDIR, EPERM, unlink("dir"));
	err(ENOENT, unlink("file"));
	err(ENOENT, unlink("none/file"));
	touch("file", 0644);
	err(ENOTDIR, unlink("file/x"));
	eq(unlinkat(AT_FDCWD, "dir", AT_REMOVEDIR), 0);
}

CASE(unlink_of_a_device)
{
	need_root();
	ok(mknod("null", S_IFCHR | 0666, (dev_t)1 << 8 | 3));
	ok(unlink("null"));
	is(!exists("null"));
}

CASE(unlink_of_a_link_marks_the_file)
{
	touch("f", 0644);
	ok(link("f", "g"));
	eq(stat_of("f").st_nlink, 2);
	changes(C, "f", unlink("g"));
	eq(stat_of("f").st_nlink, 1);
}

CASE(unlink_needs_the_right_to_write_the_directory)
{
	struct stat before;

	need_root();
	ok(mkdir("d", 0755));
	touch("d/f", 0666);
	ok(chown("d/f", 1000, 1000));
	before = stat_of("d");
	tick();
	as(1000, 1000);
	err(EACCES, unlink("d/f"));
	root();
	eq(moved(&before, "d") & (M | C), 0);
	ok(chmod("d", 0666));
	as(1000, 1000);
	err(EACCES, unlink("d/f"));
	root();
	ok(chown("d", 1000, 1000));
	ok(chmod("d", 0755));
	touch("d/of_root", 0600);
	as(1000, 1000);
	ok(unlink("d/of_root"));
}

static void use_unlinked(int fd)
{
	char buf[16];

	eq(write(fd, "kept", 4), 4);
	eq(pread(fd, buf, sizeof(buf), 0), 4);
	is(memcmp(buf, "kept", 4) == 0);
	ok(fchmod(fd, 0600));
	ok(ftruncate(fd, 2));
	ok(fsync(fd));
}

CASE(an_unlinked_open_file_lives_on)
{
	struct stat st;
	int fd = fd_of("f", O_CREAT | O_RDWR, 0644), other;

	ok(unlink("f"));
	is(!exists("f"));
	use_unlinked(fd);
	ok(fstat(fd, &st));
	eq(st.st_size, 2);
	eq(st.st_mode, S_IFREG | 0600);
	/* a new file of the same name is another one */
	other = fd_of("f", O_CREAT | O_EXCL | O_RDWR, 0644);
	eq(write(other, "another", 7), 7);
	ok(close(other));
	ok(fstat(fd, &st));
	eq(st.st_size, 2);
	ok(close(fd));
	text_is("f", "another");
	ok(unlink("f"));
}

CASE(unlinked_open_files_have_no_links)
{
	struct stat st;
	int fd = fd_of("f", O_CREAT | O_RDWR, 0644);

	ok(unlink("f"));
	ok(fstat(fd, &st));
	eq(st.st_nlink, 0);
}

CASE(a_directory_of_unlinked_open_files_goes)
{
	int fd;

	ok(mkdir("d", 0755));
	fd = fd_of("d/f", O_CREAT | O_RDWR, 0644);
	ok(unlink("d/f"));
	eq(rmdir("d"), 0);
	ok(close(fd));
}

CASE(a_replaced_open_file_lives_on)
{
	char buf[16];
	int fd;

	put("old", "old");
	put("new", "new");
	fd = fd_of("old", O_RDWR, 0);
	ok(rename("new", "old"));
	text_is("old", "new");
	eq(pread(fd, buf, sizeof(buf), 0), 3);
	is(memcmp(buf, "old", 3) == 0);
	use_unlinked(fd);
	ok(close(fd));
	text_is("old", "new");
}

/* ---- programs ---- */

static void copy_program(const char *to)
{
	int in = fd_of("/proc/self/exe", O_RDONLY, 0), out = fd_of(to, O_CREAT | O_WRONLY, 0755);
	static char buf[1 << 16];
	ssize_t n;

	while ((n = read(in, buf, sizeof(buf))) > 0)
		eq(write(out, buf, (size_t)n), n);
	ok(n);
	ok(fsync(out));
	ok(close(out));
	ok(close(in));
}

/* Waits until it has replaced itself by the program: /proc tells. */
static pid_t run_program(const char *path)
{
	char exe[64], here[512], at[512];
	pid_t pid = fork();

	ok(pid);
	if (!pid) {
		execl(path, path, "--sleep", (char *)NULL);
		_exit(126);
	}
	snprintf(exe, sizeof(exe), "/proc/%d/exe", (int)pid);
	is(getcwd(here, sizeof(here) - 8));
	for (int i = 0; i < 1000; i++) {
		ssize_t n = readlink(exe, at, sizeof(at) - 1);

		at[n < 0 ? 0 : n] = 0;
		if (strncmp(at, here, strlen(here)) == 0 || waitpid(pid, NULL, WNOHANG))
			break;
		tick();
	}
	return pid;
}

CASE(a_running_program_is_busy)
{
	pid_t pid;
	int status = 0;

	copy_program("p");
	pid = run_program("./p");
	err(ETXTBSY, open("p", O_WRONLY));
	err(ETXTBSY, open("p", O_RDWR | O_TRUNC));
	err(ETXTBSY, truncate("p", 1));
	ok(rename("p", "q"));
	ok(unlink("q"));
	eq(kill(pid, SIGKILL), 0);
	ok(waitpid(pid, &status, 0));
	is(WIFSIGNALED(status));
}

static void exec_it(void *arg)
{
	execl(arg, "p", "--leave", (char *)NULL);
	_exit(errno == EACCES ? 13 : 127);
}

CASE(a_program_needs_execution_not_reading)
{
	static const struct {
		mode_t mode;
		uid_t uid;
		int status;
	} rows[] = {
		{ 0711, 1000, 2 }, { 0755, 1000, 2 }, { 0744, 1000, 13 }, { 0700, 1000, 13 }, { 0644, 0, 13 }, { 0100, 0, 2 },
		{ 0001, 0, 2 },
	};

	need_root();
	copy_program("p");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		int status;

		root();
		ok(chmod("p", rows[i].mode));
		as(rows[i].uid, rows[i].uid);
		status = in_child(exec_it, (char[]){ "./p" });
		if (WEXITSTATUS(status) != rows[i].status)
			posix_note("mode %o as %d", (unsigned)rows[i].mode, (int)rows[i].uid);
		eq(WEXITSTATUS(status), rows[i].status);
	}
}

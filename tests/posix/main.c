/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posix_suite [-lt] [-k WORDS] DIRECTORY: tells in TAP whether files below DIRECTORY behave as POSIX says and as Linux's
 * own file systems do. For all cases it wants to be root. -l: the slow ones too; -k: those whose name has WORDS in it;
 * -t: how long each took.
 *
 * What NFSv3 or its Linux client cannot do is in the table below: on NFS such a case may fail, which is reported as
 * TODO with the reason (TAP then counts no failure).
 */
#include "posix.h"

#include <dirent.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>

#define NFS_MAGIC   0x6969
#define CASES_MAX   512
#define SECONDS_MAX 120 /* for one case, 20 times as much for a slow one */
#define SKIPPED     77

static const struct {
	const char *name, *reason;
} deviations[] = {
	{ "unlinked_open_files_have_no_links",
		"the client keeps an unlinked open file as .nfs..., which counts as its link" },
	{ "a_directory_of_unlinked_open_files_goes",
		"the .nfs... file of an unlinked open file is an entry until it is closed" },
	{ "rights_are_those_of_the_open",
		"the server checks every WRITE: NFSv3 knows no open files" },
	{ "reading_marks_atime", "disks are served noatime: a read never becomes a write" },
	{ "times_before_1970", "a time of NFSv3 is an unsigned number of 32 bits" },
	{ "times_after_2106", "a time of NFSv3 is an unsigned number of 32 bits" },
	{ "mtime_alone_is_the_owners", "the call is that of a truncation, which is for all who may write" },
	{ "chown_of_nothing_marks_ctime", "the client sends no call for a chown that changes nothing" },
};

static struct posix_case cases[CASES_MAX];
static size_t n_cases;
static bool timed;
static int report = STDOUT_FILENO; /* where a case says what is wrong */
static int *failed;		   /* of the case, in memory shared with its children */

void posix_add(const struct posix_case *c)
{
	if (n_cases < CASES_MAX)
		cases[n_cases] = *c;
	n_cases++;
}

/* ---- what cases call ---- */

void posix_note(const char *fmt, ...)
{
	char line[1024] = "# ";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + 2, sizeof(line) - 3, fmt, ap);
	va_end(ap);
	strcat(line, "\n");
	if (write(report, line, strlen(line)) < 0)
		_exit(2);
}

void posix_skip(const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (write(report, line, strlen(line)) < 0)
		_exit(2);
	_exit(SKIPPED);
}

static const char *error_name(int e)
{
	const char *name = e ? strerrorname_np(e) : "success";

	return name ? name : "?";
}

long posix_ok(long r, const char *what, int line)
{
	int e = errno;

	if (r == -1) {
		posix_note("line %d: %s: %s", line, what, error_name(e));
		_exit(1);
	}
	return r;
}

void posix_err(long r, int e1, int e2, const char *what, int line)
{
	int e = errno;

	if (r == -1 && (e == e1 || e == e2))
		return;
	*failed = 1;
	posix_note("line %d: %s: %s, not %s%s%s", line, what, r == -1 ? error_name(e) : "success", error_name(e1),
		e1 == e2 ? "" : " or ", e1 == e2 ? "" : error_name(e2));
}

void posix_eq(long long got, long long want, const char *what, int line)
{
	if (got == want)
		return;
	*failed = 1;
	posix_note("line %d: %s: %lld (%#llo), not %lld (%#llo)", line, what, got, (unsigned long long)got, want,
		(unsigned long long)want);
}

void need_root(void)
{
	if (geteuid())
		posix_skip("needs root");
}

void as_groups(uid_t uid, gid_t gid, size_t n, const gid_t *groups)
{
	root();
	ok(setgroups(n, groups));
	ok(setegid(gid));
	ok(seteuid(uid));
}

void as(uid_t uid, gid_t gid)
{
	as_groups(uid, gid, 1, &gid);
}

void root(void)
{
	if (seteuid(0) < 0)
		posix_skip("needs root");
	ok(setegid(0));
	ok(setgroups(0, NULL));
}

int in_child(void (*fn)(void *), void *arg)
{
	pid_t pid = fork();
	int status = 0;

	ok(pid);
	if (!pid) {
		fn(arg);
		_exit(0);
	}
	ok(waitpid(pid, &status, 0));
	return status;
}

void *posix_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		ok(-1);
	return p;
}

struct stat stat_of(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0) {
		posix_note("lstat(%s): %s", path, error_name(errno));
		_exit(1);
	}
	return st;
}

int fd_of(const char *path, int flags, mode_t mode)
{
	int fd = open(path, flags, mode);

	if (fd < 0) {
		posix_note("open(%s, %#x): %s", path, (unsigned)flags, error_name(errno));
		_exit(1);
	}
	return fd;
}

void touch(const char *path, mode_t mode)
{
	ok(close(fd_of(path, O_WRONLY | O_CREAT | O_EXCL, mode)));
}

void put(const char *path, const char *text)
{
	int fd = fd_of(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	eq(write(fd, text, strlen(text)), strlen(text));
	ok(close(fd));
}

void text_is(const char *path, const char *text)
{
	char buf[4096];
	int fd = fd_of(path, O_RDONLY, 0);
	ssize_t n = read(fd, buf, sizeof(buf) - 1);

	ok(n);
	buf[n] = 0;
	ok(close(fd));
	if (strcmp(buf, text) == 0)
		return;
	*failed = 1;
	posix_note("%s has '%.100s', not '%.100s'", path, buf, text);
}

bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

const char *elsewhere(void)
{
	static const char *const dirs[] = { "/tmp", "/dev/shm", "/run", "/var/tmp" };
	static char path[64];
	struct stat here = stat_of("."), there;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		if (stat(dirs[i], &there) < 0 || there.st_dev == here.st_dev || access(dirs[i], W_OK) < 0)
			continue;
		snprintf(path, sizeof(path), "%s/posix-suite-%ld", dirs[i], (long)getpid());
		return path;
	}
	posix_skip("there is no other file system");
}

const char *name_of(size_t n)
{
	static char names[4][PATH_MAX * 2];
	static unsigned next;
	char *name = names[next++ % 4];

	memset(name, 'n', n);
	name[n] = 0;
	return name;
}

void tick(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 12000000 }, NULL);
}

bool later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

bool same(struct timespec a, struct timespec b)
{
	return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

unsigned moved(const struct stat *before, const char *path)
{
	struct stat now = stat_of(path);

	return (same(before->st_atim, now.st_atim) ? 0 : A) | (same(before->st_mtim, now.st_mtim) ? 0 : M) |
	       (same(before->st_ctim, now.st_ctim) ? 0 : C);
}

/* ---- running them ---- */

static void remove_tree(const char *path)
{
	DIR *d;

	if (unlink(path) == 0 || errno == ENOENT)
		return;
	if (chdir(path) < 0)
		return;
	d = opendir(".");
	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			remove_tree(e->d_name);
	if (d)
		closedir(d);
	if (chdir("..") == 0)
		rmdir(path);
}

static const char *deviation(const struct posix_case *c, bool nfs)
{
	for (size_t i = 0; nfs && i < sizeof(deviations) / sizeof(*deviations); i++)
		if (strcmp(deviations[i].name, c->name) == 0)
			return deviations[i].reason;
	return NULL;
}

static pid_t start(const struct posix_case *c, const char *dir, int fd)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	setpgid(0, 0);
	report = fd;
	umask(0);
	alarm(c->slow ? 20 * SECONDS_MAX : SECONDS_MAX);
	if (chdir(dir) < 0) {
		posix_note("%s: %s", dir, error_name(errno));
		_exit(2);
	}
	c->run();
	_exit(*failed);
}

/* What the case said, cut at the end of buf; its end. */
static int wait_for(pid_t pid, int fd, char *buf, size_t size)
{
	size_t len = 0;
	char more[4096];
	int status = 0;
	ssize_t n;

	while ((n = read(fd, more, sizeof(more))) > 0)
		for (ssize_t i = 0; i < n && len + 1 < size; i++)
			buf[len++] = more[i];
	buf[len] = 0;
	waitpid(pid, &status, 0);
	kill(-pid, SIGKILL); /* what it left running */
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static long long ms_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static bool run(size_t number, const struct posix_case *c, bool nfs)
{
	const char *reason = deviation(c, nfs);
	char dir[64], said[8192];
	long long since = ms_now();
	int fds[2], status;
	pid_t pid;

	snprintf(dir, sizeof(dir), "case-%ld-%zu", (long)getpid(), number);
	*failed = 0;
	fflush(stdout);
	if (mkdir(dir, 0755) < 0 || chmod(dir, 0755) < 0 || pipe2(fds, O_CLOEXEC) < 0) {
		printf("not ok %zu - %s: %s\n# %s: %s\n", number, c->subject, c->name, dir, error_name(errno));
		return false;
	}
	pid = start(c, dir, fds[1]);
	close(fds[1]);
	status = wait_for(pid, fds[0], said, sizeof(said));
	close(fds[0]);
	remove_tree(dir);
	if (status == SKIPPED) {
		printf("ok %zu - %s: %s # SKIP %s\n", number, c->subject, c->name, said);
		return true;
	}
	if (timed)
		printf("# %lld ms\n", ms_now() - since);
	printf("%s %zu - %s: %s%s%s\n", status ? "not ok" : "ok", number, c->subject, c->name,
		status && reason ? " # TODO " : "", status && reason ? reason : "");
	if (status && (said[0] || status < 128))
		fputs(said, stdout);
	if (status >= 128)
		printf("# ended by signal %d\n", status - 128);
	return !status || reason;
}

static int usage(void)
{
	fputs("Usage: posix_suite [-lt] [-k WORDS] DIRECTORY\n", stderr);
	return 2;
}

static bool chosen(const struct posix_case *c, bool slow, const char *words)
{
	return (slow || !c->slow) && (!words || strstr(c->name, words) || strstr(c->subject, words));
}

int main(int argc, char **argv)
{
	const char *words = NULL;
	bool slow = false, good = true;
	struct statfs sf;
	size_t n = 0;
	int o;

	if (argc == 2 && strcmp(argv[1], "--sleep") == 0) { /* a program that runs (see files.c) */
		sleep(SECONDS_MAX);
		return 0;
	}
	if (argc == 2 && strcmp(argv[1], "--leave") == 0)
		return 2;
	while ((o = getopt(argc, argv, "ltk:")) != -1) {
		if (o == 'l')
			slow = true;
		else if (o == 't')
			timed = true;
		else if (o == 'k')
			words = optarg;
		else
			return usage();
	}
	if (optind + 1 != argc)
		return usage();
	if (n_cases > CASES_MAX || chdir(argv[optind]) < 0 || statfs(".", &sf) < 0) {
		fprintf(stderr, "posix_suite: %s: %s\n", argv[optind], strerror(errno));
		return 2;
	}
	failed = posix_shared(sizeof(*failed));
	umask(0);
	for (size_t i = 0; i < n_cases; i++)
		n += chosen(&cases[i], slow, words);
	printf("TAP version 13\n1..%zu\n", n);
	n = 0;
	for (size_t i = 0; i < n_cases; i++)
		if (chosen(&cases[i], slow, words))
			good &= run(++n, &cases[i], sf.f_type == NFS_MAGIC);
	return good ? 0 : 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Commands on boards by OpenSSH's ssh: who the board is comes from the daemon, not from what answers. */
#include "cli/ssh.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"

#define LOOK_MS 100
#define WORDS_MAX 65536 /* of what ssh itself says */
#define SSH_FAILED 255 /* ssh(1): its exit code when it did not get to the command's */

static bool user_ok(const char *user)
{
	size_t n = strspn(user, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return n && !user[n] && user[0] != '-' && n < sizeof(((struct br_ssh_host *)0)->user);
}

/* A file of our own: its descriptor, and its path (free()). */
static int temporary(const char *name, char **ret, struct br_error *err)
{
	const char *dir = getenv("TMPDIR");
	char *path = br_asprintf("%s/%s-XXXXXX", dir && dir[0] == '/' ? dir : "/tmp", name);
	int fd = path ? mkostemp(path, O_CLOEXEC) : -1;

	if (fd >= 0) {
		*ret = path;
		return fd;
	}
	fd = path ? br_error_set(err, errno, "%s: %s", path, strerrordesc_np(errno)) : br_error_set(err, ENOMEM, "out of memory");
	free(path);
	return fd;
}

/* A file of one line. It is not in the user's ~/.ssh: what a board is called there may be another machine. */
static int write_known_hosts(struct br_ssh_host *host, const json_t *keys, struct br_error *err)
{
	struct br_text text = BR_TEXT_NULL;
	const json_t *key;
	char *path;
	size_t i;
	int fd = temporary("bramble-known-hosts", &path, err), r = 0;

	if (fd < 0)
		return fd;
	json_array_foreach(keys, i, key)
		br_text_addf(&text, "%s %s\n", host->board, json_string_value(key) ?: "");
	if (text.failed || br_write_all(fd, text.buf ? text.buf : "", text.len) < 0)
		r = br_error_set(err, EIO, "%s: cannot be written", path);
	close(fd);
	br_text_done(&text);
	host->known_hosts = path;
	if (r < 0)
		br_ssh_host_done(host);
	return r;
}

int br_ssh_host(struct br_client *client, const char *board, const char *user, struct br_ssh_host *ret, struct br_error *err)
{
	char *name = br_client_escape(board), *path = name ? br_asprintf("/v1/boards/%s/ssh", name) : NULL;
	struct br_ssh_host host = { .known_hosts = NULL };
	const char *address;
	json_t *json = NULL;
	char vis[80];
	int r = path ? br_client_call(client, "GET", path, NULL, &json, err) : br_error_set(err, ENOMEM, "out of memory");

	free(name);
	free(path);
	if (r < 0)
		return r;
	address = json_string_value(json_object_get(json, "address"));
	if (!user)
		user = getenv("BRAMBLE_SSH_USER");
	if (!user || !user[0])
		user = "root";
	if (!address)
		r = br_error_set(err, EHOSTUNREACH, "board %s: it has no address yet; 'bramble why %s' says how far it is", board, board);
	else if (!user_ok(user))
		r = br_error_set(err, EINVAL, "'%s' is no user's name", br_vis(vis, sizeof(vis), user, strlen(user)));
	else if (br_strcpy(host.board, sizeof(host.board), json_string_value(json_object_get(json, "board")) ?: "") < 0 ||
		br_strcpy(host.address, sizeof(host.address), address) < 0 || br_strcpy(host.user, sizeof(host.user), user) < 0)
		r = br_error_set(err, EIO, "board %s: the daemon's answer is none of this version", board);
	if (r >= 0)
		r = write_known_hosts(&host, json_object_get(json, "host_keys"), err);
	json_decref(json);
	if (r >= 0)
		*ret = host;
	return r;
}

void br_ssh_host_done(struct br_ssh_host *host)
{
	if (host->known_hosts)
		unlink(host->known_hosts);
	free(host->known_hosts);
	host->known_hosts = NULL;
}

/* ---- the command line of ssh, scp and sftp ---- */

void br_ssh_args_done(struct br_ssh_args *args)
{
	for (size_t i = 0; i < args->n; i++)
		free(args->v[i]);
	args->n = 0;
}

void br_ssh_args_add(struct br_ssh_args *args, const char *fmt, ...)
{
	va_list ap;
	struct br_text t = BR_TEXT_NULL;
	char *word;

	va_start(ap, fmt);
	br_text_addv(&t, fmt, ap);
	va_end(ap);
	word = br_text_take(&t);
	if (!word || args->n + 1 >= BR_SSH_ARGS_MAX) {
		args->failed = true;
		free(word);
		return;
	}
	args->v[args->n++] = word;
	args->v[args->n] = NULL;
}

/* Quoted, without expansions: it is in the user's TMPDIR, whose name may have anything. */
static void add_known_hosts(struct br_ssh_args *args, const char *path)
{
	struct br_text t = BR_TEXT_NULL;

	for (const char *p = path; *p; p++)
		br_text_addf(&t, "%s%c", *p == '%' ? "%" : *p == '"' || *p == '\\' ? "\\" : "", *p);
	br_ssh_args_add(args, "-oUserKnownHostsFile=\"%s\"", t.buf ? t.buf : "");
	args->failed = args->failed || t.failed;
	br_text_done(&t);
}

void br_ssh_args_host(struct br_ssh_args *args, const struct br_ssh_host *host, unsigned connect_s)
{
	/* the alias is what the key is looked up by, and what messages name */
	br_ssh_args_add(args, "-oHostKeyAlias=%s", host->board);
	add_known_hosts(args, host->known_hosts);
	br_ssh_args_add(args, "-oGlobalKnownHostsFile=/dev/null");
	br_ssh_args_add(args, "-oStrictHostKeyChecking=yes");
	br_ssh_args_add(args, "-oHostKeyAlgorithms=ssh-ed25519");
	br_ssh_args_add(args, "-oUpdateHostKeys=no");
	br_ssh_args_add(args, "-oCheckHostIP=no");
	br_ssh_args_add(args, "-oVerifyHostKeyDNS=no");
	/* ways of a user's ~/.ssh/config to take another key for the board's, or a connection that was made with one */
	br_ssh_args_add(args, "-oKnownHostsCommand=none");
	br_ssh_args_add(args, "-oNoHostAuthenticationForLocalhost=no");
	br_ssh_args_add(args, "-oControlPath=none");
	br_ssh_args_add(args, "-oHostName=%s", host->address);
	br_ssh_args_add(args, "-oUser=%s", host->user);
	br_ssh_args_add(args, "-oConnectTimeout=%u", connect_s ? connect_s : 10);
	br_ssh_args_add(args, "-oServerAliveInterval=10");
	br_ssh_args_add(args, "-oServerAliveCountMax=3");
}

/* Quoted for the board's shell. */
static void add_quoted(struct br_text *t, const char *word)
{
	br_text_add(t, "'");
	for (; *word; word++) {
		if (*word == '\'')
			br_text_add(t, "'\\''");
		else
			br_text_add_bytes(t, word, 1);
	}
	br_text_add(t, "'");
}

char *br_ssh_command(char *const *argv)
{
	struct br_text t = BR_TEXT_NULL;

	if (!argv[0] || !argv[1])
		return strdup(argv[0] ? argv[0] : "");
	for (size_t i = 0; argv[i]; i++) {
		br_text_add(&t, i ? " " : "");
		add_quoted(&t, argv[i]);
	}
	return br_text_take(&t);
}

/* ---- running it ---- */

struct running {
	const struct br_ssh_run *run;
	pid_t pid;
	int fds[2]; /* its stdout and stderr */
	char *said; /* path of a file: what ssh itself says, apart from the command's stderr; NULL: it says it there */
	struct br_text words; /* then its end */
};

static void give(const struct running *s, int stream, const char *data, size_t n)
{
	if (s->run->output)
		s->run->output(s->run->ctx, stream, data, n);
	else
		(void)br_write_all(stream, data, n); /* who reads no more gets no more */
}

/* False at its end. */
static bool pump(struct running *s, int i)
{
	char buf[16384];
	ssize_t n = read(s->fds[i], buf, sizeof(buf));

	if (n < 0 && errno == EINTR)
		return true;
	if (n <= 0) {
		close(s->fds[i]);
		s->fds[i] = -1;
		return false;
	}
	if (i && !s->said) {
		if (s->words.len + (size_t)n > WORDS_MAX)
			s->words.len = 0;
		br_text_add_bytes(&s->words, buf, (size_t)n);
	} else {
		give(s, i + 1, buf, (size_t)n);
	}
	return true;
}

/* In the child, where only plain system calls may be used. */
static void not_there(const char *said)
{
	static const char words[] = "ssh cannot be started: install openssh-client";
	int fd = said ? open(said, O_WRONLY | O_TRUNC | O_CLOEXEC) : 2;

	if (fd >= 0 && write(fd, words, sizeof(words) - 1) < 0)
		_exit(127);
	_exit(SSH_FAILED);
}

static int start(const struct br_ssh_args *args, struct running *s)
{
	int out[2], err[2], r;

	if (pipe2(out, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(err, O_CLOEXEC) < 0) {
		r = -errno;
		close(out[0]);
		close(out[1]);
		return r;
	}
	s->pid = fork();
	if (!s->pid) {
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
		setpgid(0, 0); /* a ^C is ours to hand on */
		signal(SIGPIPE, SIG_DFL);
		if (null < 0 || dup2(null, 0) < 0 || dup2(out[1], 1) < 0 || dup2(err[1], 2) < 0)
			_exit(127);
		execvp(args->v[0], args->v);
		not_there(s->said);
	}
	r = s->pid < 0 ? -errno : 0;
	close(out[1]);
	close(err[1]);
	s->fds[0] = out[0];
	s->fds[1] = err[0];
	if (r < 0) {
		close(out[0]);
		close(err[0]);
	}
	return r;
}

/* Until it closes both streams, or has to be ended; returns how it had to, BR_SSH_RAN: by itself. */
static enum br_ssh_end follow(struct running *s)
{
	uint64_t until = s->run->timeout_ns ? br_now_ns() + s->run->timeout_ns : UINT64_MAX;

	while (s->fds[0] >= 0 || s->fds[1] >= 0) {
		struct pollfd p[2] = { { .fd = s->fds[0], .events = POLLIN }, { .fd = s->fds[1], .events = POLLIN } };

		if (s->run->cancelled && *s->run->cancelled)
			return BR_SSH_CANCELLED;
		if (br_now_ns() >= until)
			return BR_SSH_TIMEOUT;
		if (poll(p, 2, LOOK_MS) <= 0)
			continue;
		for (int i = 0; i < 2; i++) {
			if (p[i].revents)
				pump(s, i);
		}
	}
	return BR_SSH_RAN;
}

static int reap(struct running *s, bool end)
{
	int status = 0;

	if (end) {
		kill(-s->pid, SIGTERM);
		for (int i = 0; i < 20 && waitpid(s->pid, &status, WNOHANG) == 0; i++)
			poll(NULL, 0, LOOK_MS);
		kill(-s->pid, SIGKILL);
	}
	for (int i = 0; i < 2; i++) {
		if (s->fds[i] >= 0)
			close(s->fds[i]);
	}
	while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* What ssh says of itself, in OpenSSH's words, most telling first. */
static const struct {
	const char *word;
	enum br_ssh_end end;
	const char *means;
} sayings[] = {
	{ "Host key verification failed", BR_SSH_WRONG_KEY, "its host key is not the one that the board was given: another machine answers at "
		"its address, or it runs a system that bramble did not give it (one on a card has keys of its own: use ssh for it)" },
	{ "no matching host key type", BR_SSH_WRONG_KEY, "it has no ssh-ed25519 host key: it runs a system that bramble did not give it" },
	{ "Permission denied (", BR_SSH_DENIED, "no key of yours may log in; put one into authorized-keys of bramble.conf, or choose the user by --user" },
	{ "Connection refused", BR_SSH_UNREACHABLE, "no sshd answers: is it still booting, or is ssh not enabled in its image?" },
	{ "Connection timed out", BR_SSH_UNREACHABLE, "it does not answer; 'bramble why' says how far its boot is" },
	{ "No route to host", BR_SSH_UNREACHABLE, "it does not answer; is it switched on?" },
	{ "Network is unreachable", BR_SSH_UNREACHABLE, "its network cannot be reached from here" },
};

static void explain(const char *text, struct br_ssh_result *ret)
{
	const char *last = text;
	size_t n = strlen(text);

	for (size_t i = 0; i < sizeof(sayings) / sizeof(sayings[0]); i++) {
		if (strstr(text, sayings[i].word)) {
			ret->end = sayings[i].end;
			snprintf(ret->words, sizeof(ret->words), "%s", sayings[i].means);
			return;
		}
	}
	ret->end = BR_SSH_UNREACHABLE;
	while (n && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	for (size_t i = 0; i < n; i++) {
		if (text[i] == '\n')
			last = text + i + 1;
	}
	br_vis(ret->words, sizeof(ret->words), last, (size_t)(text + n - last));
	if (!ret->words[0])
		snprintf(ret->words, sizeof(ret->words), "the connection broke off");
}

/* What scp says of a file: the board was reached. False: nothing. */
static bool said_of_file(const char *text, struct br_ssh_result *ret)
{
	while (*text) {
		size_t n = strcspn(text, "\r\n");

		if (br_str_starts(text, "scp: ") && !br_str_starts(text, "scp: Connection closed")) {
			ret->end = BR_SSH_RAN;
			ret->status = 1;
			br_vis(ret->words, sizeof(ret->words), text, n);
			return true;
		}
		text += n + strspn(text + n, "\r\n");
	}
	return false;
}

static void take_end(const struct running *s, enum br_ssh_end how, int status, struct br_ssh_result *ret)
{
	*ret = (struct br_ssh_result){ .end = how, .status = status };
	if (how == BR_SSH_TIMEOUT) {
		char took[32];

		br_format_duration(took, sizeof(took), s->run->timeout_ns);
		snprintf(ret->words, sizeof(ret->words), "the command did not end within %s", took);
	} else if (how == BR_SSH_CANCELLED) {
		snprintf(ret->words, sizeof(ret->words), "cancelled");
	} else if (!s->said && status) { /* scp: its exit codes do not tell a file that is not there from a board that is not */
		const char *words = s->words.buf ? s->words.buf : "";

		if (!said_of_file(words, ret))
			explain(words, ret);
	} else if (s->said && status == SSH_FAILED) { /* a command may say 255, too; ssh then says nothing */
		char *said = NULL;

		if (br_file_read(s->said, WORDS_MAX, &said, NULL, NULL) >= 0 && said[0])
			explain(said, ret);
		free(said);
	}
}

/* args are taken. */
static int run_program(struct br_ssh_args *args, struct running *s, struct br_ssh_result *ret, struct br_error *err)
{
	int r = args->failed ? -ENOMEM : start(args, s), status;
	enum br_ssh_end how;

	if (r < 0) {
		r = br_error_set(err, -r, "%s cannot be started: %s", args->n ? args->v[0] : "ssh", strerrordesc_np(-r));
	} else {
		how = follow(s);
		status = reap(s, how != BR_SSH_RAN);
		take_end(s, how, status, ret);
	}
	br_ssh_args_done(args);
	br_text_done(&s->words);
	return r;
}

int br_ssh_exec(const struct br_ssh_host *host, const struct br_ssh_run *run, struct br_ssh_result *ret, struct br_error *err)
{
	struct running s = { .run = run, .fds = { -1, -1 } };
	struct br_ssh_args args = { .n = 0 };
	char *command = br_ssh_command(run->argv);
	int r = temporary("bramble-ssh", &s.said, err);

	if (r < 0) {
		free(command);
		return r;
	}
	close(r);
	br_ssh_args_add(&args, "ssh");
	br_ssh_args_host(&args, host, run->connect_s);
	br_ssh_args_add(&args, "-oBatchMode=yes");
	br_ssh_args_add(&args, "-oLogLevel=ERROR");
	br_ssh_args_add(&args, "-E%s", s.said);
	br_ssh_args_add(&args, "-T");
	br_ssh_args_add(&args, "--");
	br_ssh_args_add(&args, "%s", host->board);
	br_ssh_args_add(&args, "%s", command ? command : "");
	args.failed = args.failed || !command;
	free(command);
	r = run_program(&args, &s, ret, err);
	unlink(s.said);
	free(s.said);
	return r;
}

/* scp takes "a:b" for another machine's file. */
static void add_local(struct br_ssh_args *args, const char *path)
{
	size_t colon = strcspn(path, ":");

	br_ssh_args_add(args, "%s%s", path[colon] && !memchr(path, '/', colon) ? "./" : "", path);
}

int br_ssh_copy(const struct br_ssh_host *host, bool upload, char *const *from, size_t n, const char *to, bool recursive,
	const struct br_ssh_run *run, struct br_ssh_result *ret, struct br_error *err)
{
	struct running s = { .run = run, .fds = { -1, -1 } };
	struct br_ssh_args args = { .n = 0 };

	br_ssh_args_add(&args, "scp");
	br_ssh_args_host(&args, host, run->connect_s);
	br_ssh_args_add(&args, "-oBatchMode=yes");
	br_ssh_args_add(&args, "-oLogLevel=ERROR");
	br_ssh_args_add(&args, recursive ? "-pr" : "-p");
	br_ssh_args_add(&args, "--");
	for (size_t i = 0; i < n; i++) {
		if (upload)
			add_local(&args, from[i]);
		else
			br_ssh_args_add(&args, "%s:%s", host->board, from[i]);
	}
	if (upload)
		br_ssh_args_add(&args, "%s:%s", host->board, to);
	else
		add_local(&args, to);
	return run_program(&args, &s, ret, err);
}

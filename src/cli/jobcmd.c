/* SPDX-License-Identifier: Apache-2.0 */
/* A job's command: here, with the boards in its environment, or on the boards by ssh. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/job.h"
#include "cli/ssh.h"

#define GRACE_NS (10 * BR_S) /* between SIGTERM and SIGKILL */
#define TOLD_NS	 (300 * BR_S)

static int fit(struct br_job *job, int code)
{
	if (code < BR_JOB_FIRST || code > BR_JOB_LAST)
		return code;
	br_job_say(job, "the command ended with code %d, which is one of the lab's: %d instead", code, BR_JOB_TAKEN);
	return BR_JOB_TAKEN;
}

/* ---- here ---- */

static void set_list(const struct br_job *job, const char *name, size_t offset)
{
	struct br_text list = BR_TEXT_NULL;

	for (size_t i = 0; i < job->n_boards; i++)
		br_text_addf(&list, "%s%s", i ? "," : "", (const char *)&job->boards[i] + offset);
	setenv(name, list.buf ?: "", 1);
	br_text_done(&list);
}

static void set_environment(const struct br_job *job)
{
	const struct br_job_board *b = &job->boards[0];

	setenv("BRAMBLE_BOARD", b->name, 1);
	setenv("BRAMBLE_ADDRESS", b->address, 1);
	setenv("BRAMBLE_MODEL", b->model, 1);
	setenv("BRAMBLE_SERIAL", b->serial, 1);
	set_list(job, "BRAMBLE_BOARDS", offsetof(struct br_job_board, name));
	set_list(job, "BRAMBLE_ADDRESSES", offsetof(struct br_job_board, address));
	setenv("BRAMBLE_IMAGE", job->opt->image ?: "", 1);
	if (job->opt->artifacts)
		setenv("BRAMBLE_ARTIFACTS", job->opt->artifacts, 1);
	if (job->opt->state)
		setenv("BRAMBLE_STATE", job->opt->state, 1);
}

/* In the child. error_fd tells the parent why there is no command; it is closed by success. */
static _Noreturn void become(const struct br_job *job, int error_fd, bool own_group)
{
	int code;

	if (own_group)
		setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* who kills us for good means it, too */
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	set_environment(job);
	execvp(job->opt->argv[0], job->opt->argv);
	code = errno;
	if (write(error_fd, &code, sizeof(code)) != sizeof(code))
		_exit(126);
	_exit(127);
}

static int spawn(struct br_job *job, pid_t *ret, bool own_group)
{
	int fds[2], code = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return br_job_fail(job, BR_JOB_COMMAND, "no pipe: %s", strerrordesc_np(errno));
	fflush(NULL);
	pid = fork();
	if (!pid) {
		close(fds[0]);
		become(job, fds[1], own_group);
	}
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return br_job_fail(job, BR_JOB_COMMAND, "no process: %s", strerrordesc_np(errno));
	}
	do
		n = read(fds[0], &code, sizeof(code));
	while (n < 0 && errno == EINTR);
	close(fds[0]);
	if (n == (ssize_t)sizeof(code)) {
		waitpid(pid, NULL, 0);
		return br_job_fail(job, BR_JOB_COMMAND, "command '%s': %s", job->opt->argv[0], strerrordesc_np(code));
	}
	*ret = pid;
	return 0;
}

struct watch {
	struct br_job *job;
	pid_t pid, target; /* target: for kill(), a group when negative */
	uint64_t began_ns, term_ns, told_ns; /* term: when it was asked to end, 0: not */
	int code;	   /* why, 0: not */
};

static void ask_to_end(struct watch *w, int sig)
{
	w->term_ns = br_now_ns();
	kill(w->target, sig);
}

/* Once in a while. */
static void look(struct watch *w)
{
	struct br_job *job = w->job;
	uint64_t now = br_now_ns();
	char spent[24];

	if (w->term_ns) {
		if (now - w->term_ns > GRACE_NS)
			kill(w->target, SIGKILL);
		return;
	}
	w->code = br_job_check(job);
	if (!w->code && now - w->began_ns > job->opt->timeout_ns)
		w->code = br_job_fail(job, BR_JOB_TIMEOUT, "the command did not end within %s (--timeout): it is stopped",
			br_format_duration(spent, sizeof(spent), job->opt->timeout_ns));
	if (w->code)
		ask_to_end(w, br_job_signal == SIGINT ? SIGINT : SIGTERM);
	else if (now - w->told_ns > TOLD_NS) {
		br_job_say(job, "the command runs since %s", br_format_duration(spent, sizeof(spent), now - w->began_ns));
		w->told_ns = now;
	}
}

static int run_here(struct br_job *job)
{
	bool own_group = !isatty(STDIN_FILENO); /* from a terminal, ^C reaches it anyway */
	struct watch w = { .job = job };
	int status = 0, code = spawn(job, &w.pid, own_group);
	struct br_job_phase *p = &job->phases[job->n_phases - 1];

	if (code)
		return code;
	w.target = own_group ? -w.pid : w.pid;
	w.began_ns = w.told_ns = br_now_ns();
	for (;;) {
		pid_t got = waitpid(w.pid, &status, WNOHANG);

		if (got == w.pid)
			break;
		if (got < 0 && errno != EINTR) /* it is not known how it ended: never a success */
			return br_job_fail(job, BR_JOB_OTHER, "the command's end cannot be learned: %s", strerrordesc_np(errno));
		look(&w);
		br_job_pause();
	}
	if (w.code) {
		kill(w.target, SIGKILL); /* what it left behind */
		return w.code;
	}
	code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	if (code)
		snprintf(p->words, sizeof(p->words), WIFSIGNALED(status) ? "the command was killed by signal %d" : "the command ended with code %d",
			WIFSIGNALED(status) ? WTERMSIG(status) : code);
	return fit(job, code);
}

int br_job_spawn(const char *const *argv, bool quiet)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		int null_fd = quiet ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;

		dup2(STDERR_FILENO, STDOUT_FILENO);
		if (null_fd >= 0) {
			dup2(null_fd, STDOUT_FILENO);
			dup2(null_fd, STDERR_FILENO);
		}
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	if (pid < 0)
		return -errno;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
		if (br_job_signal)
			kill(pid, SIGTERM);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- on the boards ---- */

struct remote {
	struct br_job *job;
	const struct br_job_board *board;
	pthread_t thread;
	bool started, ended, prefix, cancelled;
	struct br_ssh_result result;
	int r;
	struct br_error err;
	struct br_text line[2];
	pthread_mutex_t *lock; /* of output and 'ended' */
};

static void put_line(const struct remote *m, int stream, const char *data, size_t n)
{
	FILE *f = stream == 1 ? stdout : stderr;

	if (m->prefix)
		fprintf(f, "%s| ", m->board->name);
	(void)fwrite(data, 1, n, f); /* at the end the stream says whether all went out */
	(void)fflush(f);
}

/* Of several boards, whole lines with the board's name. */
static void output(void *ctx, int stream, const void *data, size_t n)
{
	struct remote *m = ctx;
	struct br_text *line = &m->line[stream == 2];
	const char *s = data;

	pthread_mutex_lock(m->lock);
	for (size_t i = 0; m->prefix && i < n; i++) {
		br_text_add_bytes(line, s + i, 1);
		if (s[i] == '\n' && line->buf) {
			put_line(m, stream, line->buf, line->len);
			line->len = 0;
		}
	}
	if (!m->prefix)
		put_line(m, stream, s, n);
	pthread_mutex_unlock(m->lock);
}

static void *run_there(void *ctx)
{
	struct remote *m = ctx;
	struct br_ssh_run run = { .argv = m->job->opt->argv, .timeout_ns = m->job->opt->timeout_ns, .output = output, .ctx = m,
		.cancelled = &m->cancelled };
	struct br_client *client = NULL;
	struct br_ssh_host host = { 0 };

	m->r = br_client_new(m->job->opt->state, &client, &m->err);
	if (m->r >= 0)
		m->r = br_ssh_host(client, m->board->name, m->job->opt->user, &host, &m->err);
	if (m->r >= 0) {
		m->r = br_ssh_exec(&host, &run, &m->result, &m->err);
		br_ssh_host_done(&host);
	}
	br_client_free(client);
	for (int i = 0; i < 2; i++) {
		if (m->line[i].len) {
			br_text_add(&m->line[i], "\n");
			pthread_mutex_lock(m->lock);
			put_line(m, i + 1, m->line[i].buf, m->line[i].len);
			pthread_mutex_unlock(m->lock);
		}
		br_text_done(&m->line[i]);
	}
	pthread_mutex_lock(m->lock);
	m->ended = true;
	pthread_mutex_unlock(m->lock);
	return NULL;
}

static int end_of(struct br_job *job, const struct remote *m)
{
	if (m->r < 0)
		return br_job_fail(job, BR_JOB_COMMAND, "%s: %s", m->board->name, br_error_text(&m->err, m->r));
	if (m->result.end == BR_SSH_TIMEOUT)
		return br_job_fail(job, BR_JOB_TIMEOUT, "%s: %s", m->board->name, m->result.words);
	if (m->result.end != BR_SSH_RAN)
		return br_job_fail(job, BR_JOB_COMMAND, "%s: %s", m->board->name, m->result.words);
	if (m->result.status)
		br_job_fail(job, 0, "%s: the command ended with code %d", m->board->name, m->result.status);
	return fit(job, m->result.status);
}

static bool all_ended(struct remote *v, size_t n, pthread_mutex_t *lock)
{
	bool all = true;

	pthread_mutex_lock(lock);
	for (size_t i = 0; i < n; i++)
		all &= v[i].ended;
	pthread_mutex_unlock(lock);
	return all;
}

static int run_on_boards(struct br_job *job)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct remote *v = calloc(job->n_boards, sizeof(*v));
	int code = v ? 0 : br_job_fail(job, BR_JOB_OTHER, "out of memory"), stop = 0;

	for (size_t i = 0; v && i < job->n_boards; i++) {
		v[i] = (struct remote){ .job = job, .board = &job->boards[i], .prefix = job->n_boards > 1, .lock = &lock };
		v[i].started = !pthread_create(&v[i].thread, NULL, run_there, &v[i]);
		if (!v[i].started) {
			v[i].ended = true;
			v[i].r = br_error_set(&v[i].err, EAGAIN, "no thread");
		}
	}
	while (v && !all_ended(v, job->n_boards, &lock)) {
		stop = stop ? stop : br_job_check(job);
		for (size_t i = 0; stop && i < job->n_boards; i++)
			__atomic_store_n(&v[i].cancelled, true, __ATOMIC_RELAXED);
		br_job_pause();
	}
	for (size_t i = 0; v && i < job->n_boards; i++) {
		int one;

		if (v[i].started)
			pthread_join(v[i].thread, NULL);
		one = stop ? stop : end_of(job, &v[i]);
		code = code ? code : one;
	}
	free(v);
	return code;
}

int br_job_command(struct br_job *job)
{
	br_job_say(job, "runs: %s%s", job->opt->argv[0], job->opt->argv[1] ? " ..." : "");
	return job->opt->on_board ? run_on_boards(job) : run_here(job);
}

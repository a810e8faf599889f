/* SPDX-License-Identifier: Apache-2.0 */
/* One piece of work on many boards. */
#include "cli/sshrun.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/cli.h"

static bool cancelled;

bool *br_ssh_fleet_cancelled(void)
{
	return &cancelled;
}

static void on_signal(int sig)
{
	cancelled = true;
}

static void not_found(struct br_ssh_board *b, const char *name, const struct br_error *err, int r)
{
	(void)br_strcpy(b->host.board, sizeof(b->host.board), name);
	b->result = (struct br_ssh_result){ .end = BR_SSH_UNREACHABLE };
	snprintf(b->result.words, sizeof(b->result.words), "%.299s", br_error_text(err, r));
}

static int take_boards(struct br_ssh_fleet *f, struct br_client *client, const json_t *boards, const char *user, struct br_error *err)
{
	const json_t *board;
	size_t i;

	f->v = calloc(json_array_size(boards) + 1, sizeof(f->v[0]));
	if (!f->v)
		return -ENOMEM;
	json_array_foreach(boards, i, board) {
		const char *name = json_string_value(json_object_get(board, "name")) ?: "";
		struct br_ssh_board *b = &f->v[f->n++];
		struct br_error why = BR_ERROR_NULL;
		int r = br_ssh_host(client, name, user, &b->host, &why);

		b->found = r >= 0;
		if (r == -EHOSTUNREACH)
			not_found(b, name, &why, r);
		else if (r < 0) {
			*err = why;
			return r;
		}
	}
	return f->n ? 0 : br_error_set(err, ENOENT, "no board is meant by that");
}

int br_ssh_fleet_init(struct br_ssh_fleet *f, struct br_client *client, const char *boards, const char *user)
{
	br_cleanup(br_freep) char *names = br_client_escape(boards);
	br_cleanup(br_freep) char *path = names ? br_asprintf("/v1/boards?names=%s", names) : NULL;
	struct br_error err = BR_ERROR_NULL;
	json_t *list = NULL;
	int r = path ? br_client_call(client, "GET", path, NULL, &list, &err) : -ENOMEM;

	pthread_mutex_init(&f->lock, NULL);
	if (!f->fanout)
		f->fanout = BR_FANOUT;
	if (r >= 0)
		r = take_boards(f, client, list, user, &err);
	json_decref(list);
	return r < 0 ? br_cli_error(&err, r) : 0;
}

void br_ssh_fleet_done(struct br_ssh_fleet *f)
{
	for (size_t i = 0; i < f->n; i++) {
		if (f->v[i].found)
			br_ssh_host_done(&f->v[i].host);
		br_text_done(&f->v[i].streams[0]);
		br_text_done(&f->v[i].streams[1]);
	}
	free(f->v);
	pthread_mutex_destroy(&f->lock);
}

static struct br_ssh_board *take_next(struct br_ssh_fleet *f)
{
	struct br_ssh_board *b;

	pthread_mutex_lock(&f->lock);
	b = f->next < f->n ? &f->v[f->next++] : NULL;
	pthread_mutex_unlock(&f->lock);
	return b;
}

static void *work(void *arg)
{
	struct br_ssh_fleet *f = arg;
	struct br_ssh_board *b;

	while ((b = take_next(f))) {
		uint64_t start = br_now_ns();

		if (!b->found)
			continue;
		if (cancelled)
			b->result = (struct br_ssh_result){ .end = BR_SSH_CANCELLED, .words = "cancelled" };
		else
			f->work(f->ctx, b);
		b->took_ns = br_now_ns() - start;
	}
	return NULL;
}

void br_ssh_fleet_run(struct br_ssh_fleet *f)
{
	size_t n = f->n < f->fanout ? f->n : f->fanout, started = 0;
	pthread_t *threads = calloc(n + 1, sizeof(threads[0]));
	const struct sigaction end = { .sa_handler = on_signal };

	sigaction(SIGINT, &end, NULL);
	sigaction(SIGTERM, &end, NULL);
	sigaction(SIGHUP, &end, NULL);
	/* the last one is this thread; where there is no other it does all of it */
	while (threads && started + 1 < n && !pthread_create(&threads[started], NULL, work, f))
		started++;
	work(f);
	while (started--)
		pthread_join(threads[started], NULL);
	free(threads);
}

const char *br_ssh_end_word(enum br_ssh_end end)
{
	static const char *const words[] = { "ran", "unreachable", "wrong-key", "denied", "timeout", "cancelled" };

	return words[end];
}

int br_ssh_exit(const struct br_ssh_result *result)
{
	switch (result->end) {
	case BR_SSH_RAN:
		return result->status;
	case BR_SSH_TIMEOUT:
		return BR_EXIT_RAN_OUT;
	case BR_SSH_CANCELLED:
		return BR_EXIT_INTERRUPTED;
	case BR_SSH_UNREACHABLE:
	case BR_SSH_WRONG_KEY:
	case BR_SSH_DENIED:
		break;
	}
	return BR_EXIT_NOT_REACHED;
}

int br_ssh_fleet_end(struct br_ssh_fleet *f, bool quiet)
{
	int worst = 0;

	for (size_t i = 0; i < f->n; i++) {
		const struct br_ssh_board *b = &f->v[i];
		int code = br_ssh_exit(&b->result);

		worst = code > worst ? code : worst;
		if (b->result.words[0])
			br_cli_fail(0, "board %s: %s", b->host.board, b->result.words);
		else if (code && !quiet && f->n > 1)
			br_cli_fail(0, "board %s: exit code %d", b->host.board, code);
	}
	return worst;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/consoleterm.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

static struct termios before;
static volatile sig_atomic_t is_raw, ended_by;

static void on_end(int sig)
{
	ended_by = sig;
}

/* A fault of our own: the shell gets its terminal back all the same. */
static void on_fault(int sig)
{
	if (is_raw)
		tcsetattr(0, TCSAFLUSH, &before);
	raise(sig); /* as it would have been: the handler is for once */
}

void br_raw_watch_signals(void)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT }, faults[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	struct sigaction end = { .sa_handler = on_end }, fault = { .sa_handler = on_fault, .sa_flags = (int)SA_RESETHAND };

	for (size_t i = 0; i < BR_ARRAY_SIZE(ends); i++)
		sigaction(ends[i], &end, NULL);
	for (size_t i = 0; i < BR_ARRAY_SIZE(faults); i++)
		sigaction(faults[i], &fault, NULL);
}

int br_raw_signal(void)
{
	return ended_by;
}

static int enter(struct br_error *err)
{
	struct termios raw = before;

	cfmakeraw(&raw);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	is_raw = 1;
	if (tcsetattr(0, TCSADRAIN, &raw) == 0)
		return 0;
	is_raw = 0;
	return br_error_set(err, errno, "the terminal cannot be made raw: %s", strerrordesc_np(errno));
}

int br_raw_begin(struct br_error *err)
{
	br_raw_watch_signals();
	if (!isatty(0))
		return 0;
	if (tcgetattr(0, &before) < 0)
		return br_error_set(err, errno, "the terminal cannot be looked at: %s", strerrordesc_np(errno));
	return enter(err);
}

/* What the board's queries made the terminal type is not for the shell: it is flushed with the settings. */
static void leave(const struct br_term_filter *filter)
{
	const char *words = filter && filter->mode != BR_TERM_PLAIN ? br_term_restore(filter) : "";

	if (isatty(1))
		(void)br_write_all(1, words, strlen(words));
	if (is_raw)
		tcsetattr(0, TCSAFLUSH, &before);
	is_raw = 0;
}

void br_raw_end(const struct br_term_filter *filter)
{
	leave(filter);
}

void br_raw_suspend(const struct br_term_filter *filter)
{
	if (!is_raw)
		return;
	leave(filter);
	kill(0, SIGTSTP);
	(void)enter(NULL); /* if it fails, one types as in a shell */
}

void br_raw_size(unsigned *ret_columns, unsigned *ret_rows)
{
	struct winsize w = { 0 };
	bool known = ioctl(1, TIOCGWINSZ, &w) == 0 && w.ws_col && w.ws_row;

	*ret_columns = known ? w.ws_col : 80;
	*ret_rows = known ? w.ws_row : 24;
}

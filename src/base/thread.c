/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

struct start {
	void *(*fn)(void *arg);
	void *arg;
};

/* All of this thread's, the ambient ones with them. capset(2) has no wrapper in the C library, and giving up never fails. */
static void give_up_rights(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capset, &head, none) < 0)
		abort(); /* rather than to go on with them */
}

/* Threads are started with all signals blocked, so that these go to the first one. A fault is this thread's own. */
static void take_faults(void)
{
	sigset_t faults;

	sigemptyset(&faults);
	sigaddset(&faults, SIGBUS); /* base/mapping.c */
	pthread_sigmask(SIG_UNBLOCK, &faults, NULL);
}

static void *begin(void *arg)
{
	struct start s = *(struct start *)arg;

	free(arg);
	take_faults();
	/* root's threads must stay like the first one: the C library changes the user of all of them together */
	if (getuid())
		give_up_rights();
	return s.fn(s.arg);
}

int br_thread_start(pthread_t *ret, void *(*fn)(void *arg), void *arg)
{
	struct start *s = malloc(sizeof(*s));
	int r;

	if (!s)
		return ENOMEM;
	*s = (struct start){ .fn = fn, .arg = arg };
	r = pthread_create(ret, NULL, begin, s);
	if (r)
		free(s);
	return r;
}

struct call {
	void (*fn)(void *arg);
	void *arg;
};

static void *call(void *arg)
{
	struct call *c = arg;

	c->fn(c->arg);
	return NULL;
}

int br_thread_call(void (*fn)(void *arg), void *arg)
{
	struct call c = { .fn = fn, .arg = arg };
	pthread_t thread;
	int r = br_thread_start(&thread, call, &c);

	return r ? r : pthread_join(thread, NULL);
}

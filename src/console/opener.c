/* SPDX-License-Identifier: Apache-2.0 */
#include "console/opener.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/thread.h"
#include "console/link.h"

struct br_opener {
	struct br_console_uri uri;
	atomic_uint refs; /* the caller's and the thread's */
	int done_fd;
	atomic_bool done; /* what follows is the thread's until then */
	int fd;
	struct br_error err;
};

void br_opener_free(struct br_opener *o)
{
	if (!o || atomic_fetch_sub(&o->refs, 1) > 1)
		return;
	if (o->fd >= 0)
		close(o->fd);
	close(o->done_fd);
	free(o);
}

static void *run(void *arg)
{
	struct br_opener *o = arg;

	o->fd = br_link_open(&o->uri, &o->err);
	atomic_store(&o->done, true);
	eventfd_write(o->done_fd, 1);
	br_opener_free(o);
	return NULL;
}

int br_opener_start(const struct br_console_uri *uri, struct br_opener **ret)
{
	struct br_opener *o = calloc(1, sizeof(*o));
	pthread_t thread;
	int r;

	if (!o)
		return -ENOMEM;
	o->uri = *uri;
	o->fd = -1;
	atomic_store(&o->refs, 2);
	o->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (o->done_fd < 0) {
		r = -errno;
		free(o);
		return r;
	}
	r = br_thread_start(&thread, run, o);
	if (r) {
		atomic_store(&o->refs, 1);
		br_opener_free(o);
		return -r;
	}
	pthread_detach(thread);
	*ret = o;
	return 0;
}

int br_opener_fd(const struct br_opener *o)
{
	return o->done_fd;
}

int br_opener_result(struct br_opener *o, struct br_error *err)
{
	int fd;

	if (!atomic_load(&o->done))
		return br_error_set(err, EINPROGRESS, "it is being opened");
	fd = br_take_fd(o->fd);
	if (fd < 0 && err)
		*err = o->err;
	return fd;
}

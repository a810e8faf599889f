/* SPDX-License-Identifier: Apache-2.0 */
/* A connection: bytes arrive in pieces (a byte of length before each piece; 0: the client reads
 * what came back), records and fragments are put together, replies queue up. */
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/nfs_rig.h"
#include "nfs/tasks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void drain(int fd)
{
	uint8_t buf[4096];

	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

/* One turn of the worker, without its loop. */
static void turn(struct br_nfs_worker *w, struct br_nfs_conn *c)
{
	struct br_nfs_conn *resuming = w->resuming;

	br_nfs_conn_on_events(w, c, EPOLLIN);
	if (resuming) {
		w->resuming = NULL;
		resuming->resuming = false;
		br_nfs_conn_resume(w, resuming);
	}
	br_nfs_tasks_commit(w);
	w->flushing = NULL;
	c->flushing = false;
	br_nfs_conn_flush(w, c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct br_nfs_worker w;
	struct br_reader r = br_reader_of(data, size);
	struct fuzz_rig rig;
	int fds[2];

	fuzz_rig_init(&rig);
	if (br_nfs_worker_init(&w, &rig.core, NULL) < 0 ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) < 0 ||
		br_nfs_conn_new(&w, fds[0], 0x0a4d0007, 931, BR_NFS_NFS | BR_NFS_MOUNT) < 0)
		abort();
	w.now_ns = 1;
	while (br_reader_left(&r) && w.oldest) {
		size_t n = br_get_u8(&r), left = br_reader_left(&r);
		struct br_nfs_conn *c = w.oldest;

		if (!n)
			drain(fds[1]);
		n = n < left ? n : left;
		if (n && write(fds[1], br_reader_take(&r, n), n) < 0)
			break;
		turn(&w, c);
	}
	close(fds[1]);
	if (w.oldest)
		turn(&w, w.oldest);
	br_nfs_worker_done(&w);
	if (w.bytes || w.n_conns || w.n_waiting)
		abort();
	fuzz_rig_done(&rig);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A USB host over libusb. Devices come from sysfs and are handed to libusb as open descriptors
 * (libusb_wrap_sys_device()): its own hotplug depends on udevd, which containers and small systems have not, and the
 * kernel's list knows serial numbers without a word to the board. What libusb calls back with is queued and told after it
 * has returned, so that everything else may be called from there.
 */
#include "usb/libusb.h"

#include <errno.h>
#include <fcntl.h>
#include <libusb-1.0/libusb.h>
#include <linux/netlink.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/thread.h"
#include "usb/sysfs.h"
#include "wire/usbboot.h"

#define POLL_BESIDE_NS (2 * BR_S)
#define POLL_ALONE_NS (250 * BR_MS)
#define POLL_CLEARING_NS (100 * BR_MS)
#define UEVENT_GROUP_KERNEL 1

struct entry;
struct usb;

/* A transfer under way; a halt is cleared by a thread, the kernel has no other call for it than one that waits for the board. */
struct flight {
	struct br_usb_transfer *t;
	struct libusb_transfer *usb; /* NULL: clears a halt */
	struct entry *entry;
	atomic_bool completed;
	pthread_t thread;
	int result; /* of the thread, libusb's */
	struct flight *prev, *next;
	uint8_t control[LIBUSB_CONTROL_SETUP_SIZE + BR_USBBOOT_REQUEST];
};

struct entry {
	struct br_usb_device dev; /* first: what others hold */
	struct usb *usb;
	uint8_t address;
	int fd;
	libusb_device_handle *handle;
	bool told, leaving, closing, seen;
	struct flight *flights; /* in the order of submission */
	struct entry *prev, *next;
};

struct usb {
	struct br_usb_host host; /* first */
	char *sysfs;
	libusb_context *ctx;
	int epoll_fd, uevent_fd, done_fd; /* done_fd: a thread has ended */
	uint64_t poll_ns, scan_ns;
	struct entry *entries;
	unsigned n_completed; /* so far */
};

#define EVENT_ROUNDS 64

static struct usb *usb_of(struct br_usb_host *host)
{
	return (struct usb *)(void *)host;
}

static struct entry *entry_of(struct br_usb_device *dev)
{
	return (struct entry *)(void *)dev;
}

/* --- opening and closing --- */

static int negative_errno(int libusb_error)
{
	static const struct {
		int error, r;
	} known[] = {
		{ LIBUSB_ERROR_ACCESS, -EACCES }, { LIBUSB_ERROR_NO_DEVICE, -ENODEV }, { LIBUSB_ERROR_NOT_FOUND, -ENODEV },
		{ LIBUSB_ERROR_BUSY, -EBUSY }, { LIBUSB_ERROR_NO_MEM, -ENOMEM },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(known); i++) {
		if (known[i].error == libusb_error)
			return known[i].r;
	}
	return -EIO;
}

static void really_close(struct entry *e)
{
	if (e->handle)
		libusb_close(e->handle); /* it gives the interface back, and the kernel its driver */
	if (e->fd >= 0)
		close(e->fd);
	e->handle = NULL;
	e->fd = -1;
	e->closing = false;
}

static int claim(struct entry *e, uint8_t interface, struct br_error *err)
{
	int r;

	libusb_set_auto_detach_kernel_driver(e->handle, 1);
	r = libusb_claim_interface(e->handle, interface);
	if (!r)
		return 0;
	if (r == LIBUSB_ERROR_BUSY)
		return br_error_set(err, EBUSY, "%s: another program has interface %u; end it (rpiboot, a virtual machine?)",
			e->dev.node, interface);
	return br_error_set(err, -negative_errno(r), "%s: interface %u cannot be claimed: %s", e->dev.node, interface,
		libusb_strerror(r));
}

static int do_open(struct br_usb_host *host, struct br_usb_device *dev, uint8_t interface, struct br_error *err)
{
	struct entry *e = entry_of(dev);
	int r;

	if (e->leaving)
		return br_error_set(err, ENODEV, "%s: the board has left", dev->node);
	if (e->closing && e->flights)
		return br_error_set(err, EBUSY, "%s: transfers of before have not ended", dev->node);
	really_close(e);
	e->fd = open(dev->node, O_RDWR | O_CLOEXEC);
	if (e->fd < 0)
		return br_usb_explain_open(dev, errno, err);
	r = libusb_wrap_sys_device(usb_of(host)->ctx, e->fd, &e->handle);
	if (r) {
		e->handle = NULL;
		r = br_error_set(err, -negative_errno(r), "%s: %s", dev->node, libusb_strerror(r));
	} else {
		r = claim(e, interface, err);
	}
	if (r)
		really_close(e);
	return r;
}

static void cancel_all(struct entry *e)
{
	struct flight *f;

	DL_FOREACH(e->flights, f) {
		if (f->usb && !f->completed)
			libusb_cancel_transfer(f->usb);
	}
}

static void do_close(struct br_usb_host *host, struct br_usb_device *dev)
{
	struct entry *e = entry_of(dev);

	cancel_all(e);
	e->closing = true;
	if (!e->flights)
		really_close(e);
}

/* --- transfers --- */

static enum br_usb_status status_of(enum libusb_transfer_status status)
{
	switch (status) {
	case LIBUSB_TRANSFER_COMPLETED:
		return BR_USB_OK;
	case LIBUSB_TRANSFER_TIMED_OUT:
		return BR_USB_TIMEOUT;
	case LIBUSB_TRANSFER_CANCELLED:
		return BR_USB_CANCELLED;
	case LIBUSB_TRANSFER_STALL:
		return BR_USB_STALL;
	case LIBUSB_TRANSFER_NO_DEVICE:
		return BR_USB_GONE;
	case LIBUSB_TRANSFER_ERROR:
	case LIBUSB_TRANSFER_OVERFLOW:
		break;
	}
	return BR_USB_IO;
}

static void LIBUSB_CALL completed(struct libusb_transfer *usb)
{
	struct flight *f = usb->user_data;

	f->completed = true; /* told in tell_completions() */
	f->entry->usb->n_completed++;
}

static void fill(struct flight *f)
{
	struct br_usb_transfer *t = f->t;
	unsigned ms = (unsigned)((t->timeout_ns + BR_MS - 1) / BR_MS);
	bool in = t->kind == BR_USB_CONTROL_IN;

	if (t->kind == BR_USB_BULK_OUT) {
		libusb_fill_bulk_transfer(f->usb, f->entry->handle, t->endpoint, t->data, (int)t->len, completed, f, ms);
		return;
	}
	libusb_fill_control_setup(f->control, in ? BR_USBBOOT_IN : BR_USBBOOT_OUT, 0, t->value, t->index,
		in ? (uint16_t)t->len : 0);
	libusb_fill_control_transfer(f->usb, f->entry->handle, f->control, completed, f, ms);
}

static void free_flight(struct flight *f)
{
	DL_DELETE(f->entry->flights, f);
	libusb_free_transfer(f->usb); /* NULL is fine */
	free(f);
}

static void *clear_halt(void *arg)
{
	struct flight *f = arg;
	const uint64_t one = 1;

	f->result = libusb_clear_halt(f->entry->handle, f->t->endpoint);
	f->completed = true;
	while (write(f->entry->usb->done_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
	return NULL;
}

/* Signals are the main thread's. */
static int start_clearing(struct flight *f)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = br_thread_start(&f->thread, clear_halt, f);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return -r;
}

/* How it ended; of a thread, after it has ended. */
static enum br_usb_status result_of(struct flight *f)
{
	if (f->usb)
		return status_of(f->usb->status);
	pthread_join(f->thread, NULL);
	return f->result == 0 ? BR_USB_OK : f->result == LIBUSB_ERROR_NO_DEVICE ? BR_USB_GONE : BR_USB_IO;
}

static int start_transfer(struct flight *f)
{
	int r;

	f->usb = libusb_alloc_transfer(0);
	if (!f->usb)
		return -ENOMEM;
	fill(f);
	r = libusb_submit_transfer(f->usb);
	return r ? negative_errno(r) : 0;
}

static int do_submit(struct br_usb_host *host, struct br_usb_device *dev, struct br_usb_transfer *t)
{
	struct entry *e = entry_of(dev);
	struct flight *f;
	int r;

	if (!e->handle || e->closing || e->leaving)
		return -ENODEV;
	if (t->kind == BR_USB_CONTROL_IN && t->len > BR_USBBOOT_REQUEST)
		return -EINVAL;
	f = calloc(1, sizeof(*f));
	if (!f)
		return -ENOMEM;
	f->t = t;
	f->entry = e;
	DL_APPEND(e->flights, f);
	t->host = f;
	r = t->kind == BR_USB_CLEAR_HALT ? start_clearing(f) : start_transfer(f);
	if (r < 0)
		free_flight(f);
	return r;
}

static void do_cancel(struct br_usb_host *host, struct br_usb_device *dev, struct br_usb_transfer *t)
{
	struct flight *f;

	DL_FOREACH(entry_of(dev)->flights, f) {
		if (f->t == t && f->usb && !f->completed)
			libusb_cancel_transfer(f->usb);
	}
}

/* The oldest first, and none before those that were submitted earlier. True when something was told. */
static bool tell_completions(struct usb *u, struct entry *e)
{
	bool any = false;

	while (e->flights && e->flights->completed) {
		struct flight *f = e->flights;
		struct br_usb_transfer *t = f->t;

		t->status = result_of(f);
		if (e->leaving && t->status == BR_USB_CANCELLED)
			t->status = BR_USB_GONE; /* not its owner took it back */
		t->done = f->usb && f->usb->actual_length > 0 ? (size_t)f->usb->actual_length : 0;
		if (t->kind == BR_USB_CONTROL_IN && t->done)
			memcpy(t->data, f->control + LIBUSB_CONTROL_SETUP_SIZE, t->done < t->len ? t->done : t->len);
		t->host = NULL;
		free_flight(f);
		u->host.callbacks.completed(u->host.callbacks.ctx, &e->dev, t);
		any = true;
	}
	return any;
}

/* --- coming and going --- */

static struct entry *entry_at(struct usb *u, const char *path, const struct entry *but)
{
	struct entry *e;

	DL_FOREACH(u->entries, e) {
		if (e != but && !strcmp(e->dev.path, path))
			return e;
	}
	return NULL;
}

static int add_entry(struct usb *u, const struct br_usb_listed *l)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->dev = l->device;
	e->usb = u;
	e->address = l->address;
	e->fd = -1;
	e->seen = true;
	DL_APPEND(u->entries, e);
	return 0;
}

static int take_listed(struct usb *u, const struct br_usb_listed *l)
{
	struct entry *e;

	DL_FOREACH(u->entries, e) {
		if (!e->leaving && e->address == l->address && !strcmp(e->dev.path, l->device.path)) {
			e->seen = true;
			return 0;
		}
	}
	return add_entry(u, l);
}

static int scan(struct usb *u, struct br_error *err)
{
	br_cleanup(br_freep) struct br_usb_listed *list = NULL;
	struct entry *e;
	size_t n;
	int r = br_usb_sysfs_list(u->sysfs, &list, &n, err);

	if (r < 0)
		return r;
	DL_FOREACH(u->entries, e)
		e->seen = false;
	for (size_t i = 0; i < n; i++) {
		if (take_listed(u, &list[i]) < 0)
			return br_error_set(err, ENOMEM, "out of memory");
	}
	DL_FOREACH(u->entries, e) {
		if (e->seen || e->leaving)
			continue;
		e->leaving = true;
		cancel_all(e);
	}
	return 0;
}

static void remove_entry(struct usb *u, struct entry *e)
{
	struct flight *f;

	DL_FOREACH(e->flights, f) { /* when the host is freed; the kernel ends its call in BR_USB_CLEAR_NS */
		if (!f->usb)
			pthread_join(f->thread, NULL);
	}
	DL_DELETE(u->entries, e);
	really_close(e);
	free(e);
}

/* Tells what is to be told, each thing in its order. */
static void tell(struct usb *u)
{
	struct entry *e, *tmp;

	DL_FOREACH_SAFE(u->entries, e, tmp)
		tell_completions(u, e);
	DL_FOREACH_SAFE(u->entries, e, tmp) {
		if (!e->leaving || e->flights)
			continue;
		if (e->told)
			u->host.callbacks.left(u->host.callbacks.ctx, &e->dev);
		remove_entry(u, e);
	}
	DL_FOREACH_SAFE(u->entries, e, tmp) {
		if (e->closing && !e->flights)
			really_close(e);
		if (e->told || e->leaving || entry_at(u, e->dev.path, e))
			continue;
		e->told = true;
		u->host.callbacks.arrived(u->host.callbacks.ctx, &e->dev);
	}
}

/* The kernel's news; what they say is not read: the list is the truth. True: look at it. */
static bool drain_uevents(struct usb *u)
{
	static const char subsystem[] = "SUBSYSTEM=usb"; /* with its end */
	char buf[4096];
	bool any = false;

	while (u->uevent_fd >= 0) {
		ssize_t n = recv(u->uevent_fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n < 0 && errno != ENOBUFS) /* some were lost, which is news, too */
			break;
		any = any || n < 0 || memmem(buf, (size_t)n, subsystem, sizeof(subsystem));
	}
	return any;
}

/* Which thread it was, its flight says. */
static void drain_done(const struct usb *u)
{
	uint64_t n;

	while (read(u->done_fd, &n, sizeof(n)) < 0 && errno == EINTR)
		continue;
}

/*
 * All that is there: a timeout is one round, the end of the transfer that it cancels another; the kernel may block the first
 * for seconds, and what is seen only then must not look late.
 */
static int handle_events(struct usb *u, struct br_error *err)
{
	unsigned before, quiet = 0;

	for (int i = 0; i < EVENT_ROUNDS && quiet < 2; i++) {
		struct timeval zero = { 0 };
		int r;

		before = u->n_completed;
		r = libusb_handle_events_timeout_completed(u->ctx, &zero, NULL);
		if (r && r != LIBUSB_ERROR_INTERRUPTED)
			return br_error_set(err, EIO, "libusb: %s", libusb_strerror(r));
		quiet = u->n_completed == before ? quiet + 1 : 0;
	}
	return 0;
}

/* The kernel holds a device's lock while it clears a halt, and its attributes wait for that. */
static bool is_clearing(const struct usb *u)
{
	const struct entry *e;
	const struct flight *f;

	DL_FOREACH(u->entries, e) {
		DL_FOREACH(e->flights, f) {
			if (!f->usb && !f->completed)
				return true;
		}
	}
	return false;
}

static int do_handle(struct br_usb_host *host, uint64_t now_ns, struct br_error *err)
{
	struct usb *u = usb_of(host);
	bool due;
	int r;

	drain_done(u);
	due = drain_uevents(u) || now_ns >= u->scan_ns;
	if (due && is_clearing(u)) {
		u->scan_ns = now_ns + POLL_CLEARING_NS;
	} else if (due) {
		r = scan(u, err);
		if (r == -EMFILE || r == -ENFILE || r == -ENOMEM) /* what was there is taken to be there still */
			r = 0;
		if (r < 0)
			return r;
		u->scan_ns = now_ns + u->poll_ns;
	}
	r = handle_events(u, err);
	if (r < 0)
		return r;
	tell(u);
	return 0;
}

static uint64_t do_next_ns(struct br_usb_host *host, uint64_t now_ns)
{
	struct usb *u = usb_of(host);
	uint64_t next = u->scan_ns;
	struct timeval tv;
	struct entry *e;

	DL_FOREACH(u->entries, e) {
		if (!e->told && !e->leaving && !entry_at(u, e->dev.path, e))
			return now_ns;
	}
	if (libusb_pollfds_handle_timeouts(u->ctx) || libusb_get_next_timeout(u->ctx, &tv) != 1)
		return next;
	return BR_S * (uint64_t)tv.tv_sec + 1000 * (uint64_t)tv.tv_usec + now_ns < next
		? BR_S * (uint64_t)tv.tv_sec + 1000 * (uint64_t)tv.tv_usec + now_ns
		: next;
}

static int do_fd(struct br_usb_host *host)
{
	return usb_of(host)->epoll_fd;
}

/* --- making one --- */

static void LIBUSB_CALL fd_added(int fd, short events, void *user)
{
	struct usb *u = user;
	struct epoll_event ev = {
		.events = (events & POLLIN ? EPOLLIN : 0) | (events & POLLOUT ? EPOLLOUT : 0), .data.fd = fd
	};

	if (epoll_ctl(u->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 && errno != EEXIST)
		u->poll_ns = POLL_ALONE_NS / 10; /* then it is looked after by the clock */
}

static void LIBUSB_CALL fd_removed(int fd, void *user)
{
	epoll_ctl(((struct usb *)user)->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static int open_uevents(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = UEVENT_GROUP_KERNEL };
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void do_free(struct br_usb_host *host)
{
	struct usb *u = usb_of(host);
	struct entry *e, *tmp;

	DL_FOREACH_SAFE(u->entries, e, tmp)
		remove_entry(u, e);
	if (u->ctx) {
		libusb_set_pollfd_notifiers(u->ctx, NULL, NULL, NULL);
		libusb_exit(u->ctx);
	}
	if (u->uevent_fd >= 0)
		close(u->uevent_fd);
	if (u->done_fd >= 0)
		close(u->done_fd);
	if (u->epoll_fd >= 0)
		close(u->epoll_fd);
	free(u->sysfs);
	free(u);
}

static int start_libusb(struct usb *u, struct br_error *err)
{
	const struct libusb_pollfd **fds;
	int r;

	/* the devices are ours to find */
	libusb_set_option(NULL, LIBUSB_OPTION_NO_DEVICE_DISCOVERY);
	r = libusb_init(&u->ctx);
	if (r)
		return br_error_set(err, -negative_errno(r), "libusb: %s", libusb_strerror(r));
	libusb_set_pollfd_notifiers(u->ctx, fd_added, fd_removed, u);
	fds = libusb_get_pollfds(u->ctx);
	for (size_t i = 0; fds && fds[i]; i++)
		fd_added(fds[i]->fd, fds[i]->events, u);
	libusb_free_pollfds(fds);
	return 0;
}

int br_usb_libusb_new(const struct br_usb_libusb_options *options, struct br_usb_host **ret, struct br_error *err)
{
	static const struct br_usb_host_ops ops = {
		.open = do_open, .close = do_close, .submit = do_submit, .cancel = do_cancel,
		.fd = do_fd, .next_ns = do_next_ns, .handle = do_handle, .free = do_free,
	};
	struct br_usb_libusb_options o = options ? *options : (struct br_usb_libusb_options){ 0 };
	struct usb *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return br_error_set(err, ENOMEM, "out of memory");
	u->host.ops = &ops;
	u->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	u->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	u->uevent_fd = o.no_uevents ? -1 : open_uevents();
	u->sysfs = strdup(o.sysfs ? o.sysfs : BR_USB_SYSFS);
	u->poll_ns = o.poll_ns ? o.poll_ns : u->uevent_fd >= 0 ? POLL_BESIDE_NS : POLL_ALONE_NS;
	if (u->epoll_fd < 0 || u->done_fd < 0 || !u->sysfs)
		r = br_error_set(err, u->sysfs ? errno : ENOMEM, "USB: no descriptors or memory");
	else
		r = start_libusb(u, err);
	if (!r && u->uevent_fd >= 0)
		fd_added(u->uevent_fd, POLLIN, u);
	if (!r)
		fd_added(u->done_fd, POLLIN, u);
	if (r) {
		do_free(&u->host);
		return r;
	}
	*ret = &u->host;
	return 0;
}

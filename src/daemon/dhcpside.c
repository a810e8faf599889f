/* SPDX-License-Identifier: Apache-2.0 */
/* DHCP in the loop: its socket, the turns of boards that wait, the search for users of addresses, and what is told of it. */
#include "daemon/dhcpside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "daemon/turns.h"
#include "dhcp/io.h"
#include "why/io.h"

struct br_dhcp_side {
	uv_loop_t *loop;
	struct br_network *net;
	struct br_glue *glue;
	struct br_watch_io *watch_io; /* may be NULL */
	struct br_dhcp_server *server;
	struct br_dhcp_io *io;
	uv_poll_t poll;
	uv_timer_t scan, turns;
	int trouble; /* last negative errno of its socket, 0: none */
	int follow_trouble;
	uint64_t dropped, failed, told_ns, followed; /* told of already, when */
};

/* What the sockets lost, at most once in ten seconds. */
static void tell_losses(struct br_dhcp_side *d, uint64_t now_ns)
{
	const struct br_dhcp_io_stats *st = br_dhcp_io_stats(d->io);

	if ((st->dropped == d->dropped && st->failed == d->failed) || now_ns - d->told_ns < 10 * BR_S)
		return;
	if (st->dropped != d->dropped)
		br_log_warning("DHCP: %llu requests came faster than they could be taken, and were lost (%llu in all)",
			(unsigned long long)(st->dropped - d->dropped), (unsigned long long)st->dropped);
	if (st->failed != d->failed)
		br_log_warning("DHCP: %llu packets could not be sent: %s", (unsigned long long)(st->failed - d->failed),
			strerror(st->failed_errno));
	d->dropped = st->dropped;
	d->failed = st->failed;
	d->told_ns = now_ns;
}

/* The interface was deleted and made anew. */
static void tell_follow(struct br_dhcp_side *d)
{
	const struct br_dhcp_io_stats *st = br_dhcp_io_stats(d->io);
	int r = -st->follow_errno;

	if (st->followed != d->followed) {
		d->followed = st->followed;
		r = d->watch_io ? br_watch_io_follow(d->watch_io, br_dhcp_io_ifindex(d->io)) : 0;
		br_log_info("%s is back: serving it again", d->net->netif.name);
	}
	if (r < 0 && r != d->follow_trouble)
		br_log_error("%s was made anew, and cannot be served: %s. Restart bramble", d->net->netif.name, strerror(-r));
	d->follow_trouble = r;
}

#define TURNS_MS 50

/* While boards wait: those whose turn has come are answered though they do not ask again just now. Boards that were
 * powered on together ask together, and the link would be idle in between. */
static void on_turns(uv_timer_t *timer)
{
	struct br_dhcp_side *d = timer->data;

	br_dhcp_io_resume(d->io, br_turns_next, d->glue, br_now_ns());
	if (!br_turns_any_waiting(d->glue->turns))
		uv_timer_stop(timer);
}

static void on_dhcp(uv_poll_t *poll, int status, int events)
{
	struct br_dhcp_side *d = poll->data;
	uint64_t now = br_now_ns();
	int r = br_dhcp_io_dispatch(d->io, now);

	/* an interface that went down says so once and then again only when the reason changes */
	if (r < 0 && r != d->trouble)
		br_log_error("DHCP on %s: %s", d->net->netif.name, strerror(-r));
	d->trouble = r < 0 ? r : 0;
	tell_losses(d, now);
	tell_follow(d);
	if (!uv_is_active((uv_handle_t *)&d->turns) && br_turns_any_waiting(d->glue->turns))
		uv_timer_start(&d->turns, on_turns, TURNS_MS, TURNS_MS);
}

static void on_scan(uv_timer_t *timer)
{
	struct br_dhcp_side *d = timer->data;

	uv_timer_start(timer, on_scan, br_glue_scan(d->glue), 0);
}

/* With 'auto', a server of somebody else's on this very machine is a server that gives the addresses. */
static void tell_taken(const struct br_network *net, struct br_error *err)
{
	char ip[BR_IP_TEXT];

	br_log_warning("%s. Until then DHCP is off: that server must name us as TFTP server (option 66 = %s)", err->text,
		br_ip_format(ip, net->ip));
	*err = BR_ERROR_NULL;
}

/* The server and its sockets. 1: off, as somebody else has the port. */
static int open_io(struct br_dhcp_side *d, struct br_error *err)
{
	struct br_dhcp_options *opt = &d->net->dhcp_options;
	int r;

	opt->ops = &br_glue_dhcp_ops;
	opt->ctx = d->glue;
	r = br_dhcp_server_new(opt, &d->server);
	if (r < 0)
		return br_error_set(err, -r, "DHCP: %s", strerror(-r));
	r = br_dhcp_io_open(d->net->netif.name, d->server, &d->io, err);
	if (r == -EADDRINUSE && opt->automatic) {
		tell_taken(d->net, err);
		d->net->dhcp = false;
		r = 1;
	}
	if (r)
		br_dhcp_server_free(d->server);
	else if (br_dhcp_io_stats(d->io)->pxe_trouble.code)
		br_log_warning("%s; UEFI and iPXE behind another DHCP server may miss it", br_dhcp_io_stats(d->io)->pxe_trouble.text);
	return r;
}

int br_dhcp_side_start(uv_loop_t *loop, struct br_network *net, struct br_glue *glue, struct br_watch_io *watch_io,
	struct br_dhcp_side **ret, struct br_error *err)
{
	struct br_dhcp_side *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return br_error_set(err, ENOMEM, "out of memory");
	*d = (struct br_dhcp_side){ .loop = loop, .net = net, .glue = glue, .watch_io = watch_io };
	r = open_io(d, err);
	if (r) {
		free(d);
		return r < 0 ? r : 0;
	}
	atomic_store(&glue->dhcp_mode, br_dhcp_server_mode(d->server));
	uv_poll_init(loop, &d->poll, br_dhcp_io_fd(d->io));
	uv_timer_init(loop, &d->scan);
	uv_timer_init(loop, &d->turns);
	d->poll.data = d->scan.data = d->turns.data = d;
	glue->dhcp_io = d->io;
	r = br_group_open(glue->fleet, br_glue_stable, glue, err);
	if (r < 0)
		br_dhcp_side_stop(d);
	else
		*ret = d;
	return r;
}

void br_dhcp_side_run(struct br_dhcp_side *d)
{
	if (!d)
		return;
	uv_poll_start(&d->poll, UV_READABLE, on_dhcp);
	uv_timer_start(&d->scan, on_scan, 0, 0);
}

void br_dhcp_side_stop(struct br_dhcp_side *d)
{
	if (!d)
		return;
	br_group_close(d->glue->fleet);
	d->glue->dhcp_io = NULL;
	uv_close((uv_handle_t *)&d->poll, NULL);
	uv_close((uv_handle_t *)&d->scan, NULL);
	uv_close((uv_handle_t *)&d->turns, NULL);
	uv_run(d->loop, UV_RUN_NOWAIT);
	br_dhcp_io_close(d->io);
	br_dhcp_server_free(d->server);
	free(d);
}

const struct br_dhcp_io *br_dhcp_side_io(const struct br_dhcp_side *d)
{
	return d ? d->io : NULL;
}

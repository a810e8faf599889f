/* SPDX-License-Identifier: Apache-2.0 */
/* The thread of the consoles: which there are, their connections, and when a lost one is tried again. */
#include "console/console.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "base/thread.h"
#include "console/link.h"
#include "console/priv.h"
#include "fleet/event.h"

#define FIRST_WAIT_NS BR_S
#define LAST_WAIT_NS (30 * BR_S)
#define TTY_WAIT_NS (2 * BR_S) /* looking for a device costs nothing */
#define STEADY_NS (10 * BR_S)  /* a connection that lasted so long is tried again at once */
#define OPENERS_MAX 16
#define IDLE_MS 1000

const char *br_console_state_name(enum br_console_state state)
{
	static const char *const names[] = { "none", "connecting", "up", "away" };

	return names[state];
}

bool br_console_uri_ok(const char *uri, struct br_error *err)
{
	struct br_console_uri u;

	if (!uri[0])
		return true;
	if (br_console_uri_parse(uri, &u, err) < 0)
		return false;
	if (u.kind == BR_CONSOLE_TTY && !br_link_speed_ok(u.speed)) {
		br_error_set(err, EINVAL, "console '%s': serial lines have no speed of %u; 9600, 115200, 921600, 1500000 and other "
			"usual ones can be had", uri, u.speed);
		return false;
	}
	return true;
}

void br_consoles_wake(struct br_consoles *c)
{
	eventfd_write(c->wake_fd, 1);
}

struct br_console *br_console_find(struct br_consoles *c, int64_t board_id)
{
	struct br_console *con;

	DL_FOREACH(c->list, con) {
		if (con->board_id == board_id)
			return con;
	}
	return NULL;
}

void br_console_unref(struct br_console *con)
{
	if (--con->refs)
		return;
	pthread_cond_destroy(&con->news);
	br_ring_done(&con->ring);
	free(con);
}

void br_console_note(struct br_console *con, const char *text)
{
	struct br_console_note *note = &con->notes[con->n_notes++ % BR_CONSOLE_NOTES];

	note->at = con->ring.end;
	snprintf(note->text, sizeof(note->text), "\r\n[bramble: %s]\r\n", text);
	pthread_cond_broadcast(&con->news);
}

void br_console_state_set(struct br_console *con, enum br_console_state state, const char *reason)
{
	char text[300];

	if (con->state == state && !strcmp(con->reason, reason))
		return;
	con->state = state;
	con->since_wall_ns = br_wall_ns();
	br_vis(con->reason, sizeof(con->reason), reason, strlen(reason));
	if (state == BR_CONSOLE_UP)
		snprintf(text, sizeof(text), "the console of %s is connected", con->name);
	else
		snprintf(text, sizeof(text), "%.250s", con->reason);
	if (state != BR_CONSOLE_CONNECTING)
		br_console_note(con, text);
}

static void set_state(struct br_console *con, enum br_console_state state, const char *reason)
{
	pthread_mutex_lock(&con->all->lock);
	br_console_state_set(con, state, reason);
	if (state != BR_CONSOLE_UP) { /* typed for what was there, not for what comes */
		con->n_queue = 0;
		con->break_wanted = false;
	}
	pthread_cond_broadcast(&con->news);
	pthread_mutex_unlock(&con->all->lock);
}

/* ---- which there are ---- */

static struct br_console *new_console(struct br_consoles *c, const struct br_board *b, const struct br_console_uri *uri)
{
	struct br_console *con = calloc(1, sizeof(*con));
	pthread_condattr_t attr;

	if (!con)
		return NULL;
	con->all = c;
	con->board_id = b->id;
	snprintf(con->name, sizeof(con->name), "%s", b->name);
	snprintf(con->text, sizeof(con->text), "%s", b->console);
	con->uri = *uri;
	con->refs = 1;
	con->fd = -1;
	con->state = con->told = BR_CONSOLE_CONNECTING;
	con->since_wall_ns = br_wall_ns();
	con->wait_ns = FIRST_WAIT_NS;
	br_ring_init(&con->ring, BR_CONSOLE_RING);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&con->news, &attr);
	pthread_condattr_destroy(&attr);
	return con;
}

static void disconnect(struct br_console *con)
{
	br_opener_free(con->opener);
	con->opener = NULL;
	if (con->fd >= 0)
		close(con->fd);
	con->fd = -1;
	con->n_wire = con->wire_sent = 0;
}

static void drop_console(struct br_console *con)
{
	struct br_consoles *c = con->all;

	disconnect(con);
	br_console_wire_idle(con, UINT64_MAX);
	pthread_mutex_lock(&c->lock);
	con->gone = true;
	DL_DELETE(c->list, con);
	pthread_cond_broadcast(&con->news);
	br_console_unref(con);
	pthread_mutex_unlock(&c->lock);
}

struct loading {
	struct br_consoles *c;
	int64_t *seen; /* boards with a console */
	size_t n, cap;
};

/* Where U-Boot of this board listens, as far as it is known before it says something. */
static uint32_t address_of(struct br_consoles *c, const struct br_board *b)
{
	struct br_lease lease;

	if (b->address)
		return b->address;
	return !br_mac_is_zero(b->mac) && !br_lease_by_mac(c->fleet, b->mac, &lease) ? lease.ip : 0;
}

static int load_board(void *ctx, const struct br_board *b)
{
	struct loading *l = ctx;
	struct br_console *con = br_console_find(l->c, b->id);
	struct br_console_uri uri;
	int r;

	if (!b->console[0] || br_console_uri_parse(b->console, &uri, NULL) < 0)
		return 0;
	r = br_array_reserve(&l->seen, &l->cap, l->n + 1, sizeof(l->seen[0]));
	if (r < 0)
		return r;
	l->seen[l->n++] = b->id;
	if (con && !strcmp(con->text, b->console)) {
		pthread_mutex_lock(&l->c->lock);
		snprintf(con->name, sizeof(con->name), "%s", b->name);
		pthread_mutex_unlock(&l->c->lock);
		return 0;
	}
	if (con)
		drop_console(con);
	con = new_console(l->c, b, &uri);
	if (!con)
		return -ENOMEM;
	con->ip = uri.kind == BR_CONSOLE_NETCONSOLE ? address_of(l->c, b) : 0;
	pthread_mutex_lock(&l->c->lock);
	DL_APPEND(l->c->list, con);
	pthread_mutex_unlock(&l->c->lock);
	return 0;
}

static void load_boards(struct br_consoles *c)
{
	struct loading l = { .c = c };
	struct br_console *con, *next;
	int r = br_board_list(c->fleet, load_board, &l);

	if (r < 0) {
		br_log_warning("the boards' consoles cannot be looked up: %s", strerrordesc_np(-r));
		free(l.seen);
		return;
	}
	DL_FOREACH_SAFE(c->list, con, next) {
		size_t i = 0;

		while (i < l.n && l.seen[i] != con->board_id)
			i++;
		if (i == l.n)
			drop_console(con);
	}
	free(l.seen);
}

/* ---- their connections ---- */

static void wait_longer(struct br_console *con, uint64_t now_ns)
{
	/* one that opens, and goes at once, is no device that is only waited for */
	uint64_t last = con->uri.kind == BR_CONSOLE_TTY && !con->up_ns ? TTY_WAIT_NS : LAST_WAIT_NS;

	if (con->up_ns && now_ns - con->up_ns >= STEADY_NS)
		con->wait_ns = FIRST_WAIT_NS;
	con->up_ns = 0;
	con->try_ns = now_ns + con->wait_ns;
	con->wait_ns = con->wait_ns * 2 < last ? con->wait_ns * 2 : last;
}

static void went_away(struct br_console *con, const struct br_error *err, int r, uint64_t now_ns)
{
	disconnect(con);
	br_console_wire_idle(con, UINT64_MAX);
	wait_longer(con, now_ns);
	set_state(con, BR_CONSOLE_AWAY, br_error_text(err, r));
}

static unsigned count_openers(const struct br_consoles *c)
{
	const struct br_console *con;
	unsigned n = 0;

	DL_FOREACH(c->list, con)
		n += con->opener != NULL;
	return n;
}

static void try_open(struct br_console *con, uint64_t now_ns)
{
	struct br_error err = BR_ERROR_NULL;
	int r;

	if (now_ns < con->try_ns || count_openers(con->all) >= OPENERS_MAX)
		return;
	r = br_opener_start(&con->uri, &con->opener);
	if (r < 0)
		went_away(con, &err, r, now_ns);
}

static void is_open(struct br_console *con, uint64_t now_ns)
{
	struct br_error err = BR_ERROR_NULL;
	int fd = br_opener_result(con->opener, &err);

	br_opener_free(con->opener);
	con->opener = NULL;
	if (fd < 0) {
		went_away(con, &err, fd, now_ns);
		return;
	}
	con->fd = fd;
	con->up_ns = now_ns;
	br_console_wire_start(con);
	set_state(con, BR_CONSOLE_UP, "");
}

static void tick_netconsole(struct br_console *con, uint64_t now_ns)
{
	uint32_t ip;

	pthread_mutex_lock(&con->all->lock);
	ip = con->ip;
	pthread_mutex_unlock(&con->all->lock);
	if (!ip) {
		set_state(con, BR_CONSOLE_AWAY, "nothing was heard of its U-Boot yet, and it has no address");
		return;
	}
	set_state(con, BR_CONSOLE_UP, "");
	(void)br_console_wire_send(con, now_ns, NULL);
}

static void tell(struct br_console *con)
{
	char reason[sizeof(con->reason)];
	enum br_console_state state;

	pthread_mutex_lock(&con->all->lock);
	state = con->state;
	memcpy(reason, con->reason, sizeof(reason));
	pthread_mutex_unlock(&con->all->lock);
	if (state == con->told && !strcmp(reason, con->told_reason))
		return;
	con->told = state;
	memcpy(con->told_reason, reason, sizeof(reason));
	if (state == BR_CONSOLE_UP)
		br_event_emit(con->all->fleet, con->board_id, 0, BR_EV_CONSOLE_UP, json_pack("{s:s}", "console", con->text));
	else if (state == BR_CONSOLE_AWAY)
		br_event_emit(con->all->fleet, con->board_id, 0, BR_EV_CONSOLE_AWAY, json_pack("{s:s}", "reason", reason));
}

static void tick(struct br_console *con, short revents, uint64_t now_ns)
{
	struct br_error err = BR_ERROR_NULL;
	int r = 0;

	if (con->uri.kind == BR_CONSOLE_NETCONSOLE) {
		tick_netconsole(con, now_ns);
	} else if (con->opener) {
		if (revents)
			is_open(con, now_ns);
	} else if (con->fd < 0) {
		try_open(con, now_ns);
	} else {
		if (revents & (POLLIN | POLLHUP | POLLERR))
			r = br_console_wire_read(con, now_ns, &err);
		if (r >= 0)
			r = br_console_wire_send(con, now_ns, &err);
		if (r < 0)
			went_away(con, &err, r, now_ns);
		else
			br_console_wire_idle(con, now_ns);
	}
	tell(con);
}

/* ---- the thread ---- */

struct polls {
	struct pollfd *v;
	size_t n, cap;
};

static int add_poll(struct polls *p, int fd, short events)
{
	int r = br_array_reserve(&p->v, &p->cap, p->n + 1, sizeof(p->v[0]));

	if (r < 0)
		return r;
	p->v[p->n++] = (struct pollfd){ .fd = fd, .events = events };
	return 0;
}

static uint64_t soonest(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What it waits for; *until_ns: when it is looked at, at the latest. */
static void add_console(struct polls *p, struct br_console *con, uint64_t *until_ns)
{
	int r = 0;

	con->poll_at = p->n;
	if (con->opener)
		r = add_poll(p, br_opener_fd(con->opener), POLLIN);
	else if (con->fd >= 0)
		r = add_poll(p, con->fd, (short)(POLLIN | (br_console_wire_waits(con) ? POLLOUT : 0)));
	if (r < 0 || con->poll_at == p->n)
		con->poll_at = SIZE_MAX;
	if (!con->opener && con->fd < 0 && con->uri.kind != BR_CONSOLE_NETCONSOLE)
		*until_ns = soonest(*until_ns, con->try_ns);
	if (con->break_until_ns)
		*until_ns = soonest(*until_ns, con->break_until_ns);
	pthread_mutex_lock(&con->all->lock);
	if (con->uri.kind == BR_CONSOLE_NETCONSOLE && con->n_queue)
		*until_ns = soonest(*until_ns, con->pause_ns);
	pthread_mutex_unlock(&con->all->lock);
}

static void wait_for_news(struct br_consoles *c, struct polls *p)
{
	uint64_t now = br_now_ns(), until = now + IDLE_MS * BR_MS;
	struct br_console *con;
	eventfd_t n;

	p->n = 0;
	if (add_poll(p, c->wake_fd, POLLIN) < 0)
		return;
	DL_FOREACH(c->list, con)
		add_console(p, con, &until);
	/* one too many rather than a turn without a wait */
	if (poll(p->v, (nfds_t)p->n, until > now ? (int)((until - now) / BR_MS) + 1 : 0) < 0)
		for (size_t i = 0; i < p->n; i++)
			p->v[i].revents = 0;
	(void)eventfd_read(c->wake_fd, &n);
}

static void *run(void *arg)
{
	struct br_consoles *c = arg;
	struct polls p = { 0 };
	struct br_console *con, *next;

	while (!atomic_load(&c->stop)) {
		uint64_t now;

		if (atomic_exchange(&c->reload, false))
			load_boards(c);
		wait_for_news(c, &p);
		now = br_now_ns();
		DL_FOREACH(c->list, con)
			tick(con, con->poll_at < p.n ? p.v[con->poll_at].revents : 0, now);
	}
	DL_FOREACH_SAFE(c->list, con, next)
		drop_console(con);
	free(p.v);
	return NULL;
}

static void on_event(void *ctx, const struct br_event *ev)
{
	struct br_consoles *c = ctx;

	if (!br_str_starts(ev->type, "board."))
		return;
	atomic_store(&c->reload, true);
	br_consoles_wake(c);
}

void br_console_heard(struct br_consoles *c, int64_t board_id, uint32_t ip, const void *data, size_t n)
{
	struct br_console *con;
	bool wake = false;

	pthread_mutex_lock(&c->lock);
	con = br_console_find(c, board_id);
	if (con && con->uri.kind == BR_CONSOLE_NETCONSOLE) {
		wake = con->ip != ip || con->state != BR_CONSOLE_UP;
		con->ip = ip;
		con->in += n;
		c->in += n;
		(void)br_ring_put(&con->ring, data, n);
		pthread_cond_broadcast(&con->news);
	}
	pthread_mutex_unlock(&c->lock);
	if (wake)
		br_consoles_wake(c);
}

static void count(void *ctx, struct br_metrics *m)
{
	struct br_consoles *c = ctx;
	unsigned states[BR_CONSOLE_AWAY + 1] = { 0 }, watchers;
	const struct br_console *con;
	uint64_t in, out;

	pthread_mutex_lock(&c->lock);
	DL_FOREACH(c->list, con)
		states[con->state]++;
	watchers = c->n_watchers;
	in = c->in;
	out = c->out;
	pthread_mutex_unlock(&c->lock);
	br_metric_family(m, "bramble_consoles", BR_METRIC_GAUGE, "Boards' consoles by how they are connected.");
	for (unsigned i = BR_CONSOLE_CONNECTING; i <= BR_CONSOLE_AWAY; i++)
		br_metric_value(m, states[i], "state", br_console_state_name((enum br_console_state)i), NULL);
	br_metric_family(m, "bramble_console_watchers", BR_METRIC_GAUGE, "Clients that watch a console.");
	br_metric_value(m, watchers, NULL);
	br_metric_family(m, "bramble_console_bytes_total", BR_METRIC_COUNTER, "Bytes from and to boards' consoles.");
	br_metric_value(m, (double)in, "direction", "in", NULL);
	br_metric_value(m, (double)out, "direction", "out", NULL);
}

static void free_consoles(struct br_consoles *c)
{
	br_closep(&c->wake_fd);
	br_closep(&c->udp_fd);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

int br_consoles_start(const struct br_console_options *opt, struct br_consoles **ret, struct br_error *err)
{
	struct br_consoles *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return br_error_set(err, ENOMEM, "out of memory");
	c->fleet = opt->fleet;
	c->line = opt->line;
	c->ctx = opt->ctx;
	pthread_mutex_init(&c->lock, NULL);
	c->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	c->udp_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (c->wake_fd < 0 || c->udp_fd < 0) {
		r = errno;
		free_consoles(c);
		return br_error_set(err, r, "consoles: %s", strerrordesc_np(r));
	}
	atomic_store(&c->reload, true);
	c->listener = br_event_listen(c->fleet, on_event, c);
	r = br_thread_start(&c->thread, run, c);
	if (r) {
		br_event_unlisten(c->fleet, c->listener);
		free_consoles(c);
		return br_error_set(err, r, "consoles: no thread: %s", strerrordesc_np(r));
	}
	c->metrics = br_metrics_add(count, c); /* without memory they are not counted */
	*ret = c;
	return 0;
}

void br_consoles_stop(struct br_consoles *c)
{
	if (!c)
		return;
	br_metrics_remove(c->metrics);
	br_event_unlisten(c->fleet, c->listener);
	atomic_store(&c->stop, true);
	br_consoles_wake(c);
	pthread_join(c->thread, NULL);
	free_consoles(c);
}

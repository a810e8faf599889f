/* SPDX-License-Identifier: Apache-2.0 */
/* Port paths and their sessions. */
#include "usb/manager.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/text.h"

#define QUICK_NS (5 * BR_S)
#define LEFTOVER_NS (10 * BR_S) /* what is cancelled ends long before */
#define FREE_ROUNDS 100
#define FREE_ROUND_NS (10 * BR_MS)

/* A port path that a board in boot mode was on. */
struct place {
	char path[BR_USB_PATH_MAX];
	struct br_usb_device *dev; /* NULL: empty */
	struct br_usb_session *s;
	bool told, leftover_told; /* of its verdict; of transfers that do not end after it */
	uint64_t told_ns;
	struct br_usb_choice choice;
	unsigned failures; /* one after the other */
	bool held;
	uint64_t empty_ns; /* since when */
	uint64_t again_ns; /* choose() is asked again; UINT64_MAX: not */
	bool behind;	   /* ... when another session has ended */
	unsigned quick;	   /* times it came in boot mode right after it had ended well */
	uint64_t well_ns;  /* when it ended well last; 0: not */
};

struct br_usb_manager {
	struct br_usb_manager_options o;
	struct place **places; /* none is ever taken away: there are only so many ports */
	size_t n_places, cap_places;
	uint64_t now_ns;
	bool woken; /* a place that waited behind another may have its turn */
};

static struct place *place_at(const struct br_usb_manager *m, const char *path)
{
	for (size_t k = 0; k < m->n_places; k++) {
		struct place *p = m->places[k];

		if (!strcmp(p->path, path))
			return p;
	}
	return NULL;
}

static struct place *new_place(struct br_usb_manager *m, const char *path)
{
	struct place *p = NULL;

	if (!br_array_reserve(&m->places, &m->cap_places, m->n_places + 1, sizeof(struct place *)))
		p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	snprintf(p->path, sizeof(p->path), "%s", path); /* as long as the device's */
	p->empty_ns = m->now_ns;
	p->again_ns = UINT64_MAX;
	m->places[m->n_places++] = p;
	return p;
}

static struct place *place_of(const struct br_usb_manager *m, const struct br_usb_session *s)
{
	for (size_t k = 0; k < m->n_places; k++) {
		struct place *p = m->places[k];

		if (p->s == s)
			return p;
	}
	return NULL;
}

static void wake(struct br_usb_manager *m)
{
	for (size_t k = 0; k < m->n_places; k++) {
		if (!m->places[k]->behind)
			continue;
		m->places[k]->behind = false;
		m->places[k]->again_ns = m->now_ns;
		m->woken = true;
	}
}

/* Tells a verdict, once, and frees the session as soon as nothing of it is in flight. */
static void reap(struct br_usb_manager *m, struct place *p)
{
	enum br_usb_verdict verdict = p->s ? br_usb_session_verdict(p->s) : BR_USB_RUNNING;

	if (!verdict)
		return;
	if (!p->told) {
		p->told = true;
		p->told_ns = m->now_ns;
		p->well_ns = 0;
		if (br_usb_verdict_is_well(verdict)) {
			p->failures = 0;
			p->well_ns = m->now_ns;
		} else if (verdict != BR_USB_ABORTED) {
			p->failures++;
		}
		m->o.ops->ended(m->o.ctx, p->s);
		wake(m);
	}
	if (br_usb_session_busy(p->s))
		return;
	br_usb_session_free(p->s);
	p->s = NULL;
}

static void step(void *ctx, struct br_usb_session *s, const struct br_usb_step *what)
{
	struct br_usb_manager *m = ctx;

	if (m->o.ops->step)
		m->o.ops->step(m->o.ctx, s, what);
}

static void start(struct br_usb_manager *m, struct place *p, const struct br_usbboot_model *model)
{
	struct br_usb_session_options o = {
		.host = m->o.host,
		.back_ns = m->o.back_ns,
		.next_ns = m->o.next_ns,
		.read_ns = m->o.read_ns,
		.step = step,
		.ctx = m,
	};

	int r;

	p->choice = (struct br_usb_choice){ 0 };
	r = m->o.ops->choose(m->o.ctx, p->dev, model, &p->choice);
	p->again_ns = r == -EINPROGRESS ? m->now_ns + BR_USB_SOON_NS : r == -EAGAIN ? m->now_ns + BR_USB_AGAIN_NS : UINT64_MAX;
	p->behind = r == -EBUSY;
	if (r != 1)
		return;
	o.files = p->choice.files;
	o.sign = p->choice.sign;
	o.leave_ok = p->choice.leave_ok;
	if (br_usb_session_new(&o, p->path, &p->s) < 0)
		return; /* no memory: the board is left alone until it is plugged in again */
	p->told = p->leftover_told = false;
	br_usb_session_arrived(p->s, p->dev, m->now_ns);
}

static void hold(struct br_usb_manager *m, struct place *p, unsigned n, const char *what)
{
	char reason[300], wait[16];

	p->held = true;
	snprintf(reason, sizeof(reason), "%s, %u times: left alone until its port was empty for %s", what, n,
		br_format_duration(wait, sizeof(wait), m->o.hold_ns));
	if (m->o.ops->held)
		m->o.ops->held(m->o.ctx, p->dev, reason);
}

/* A board that begins again and again is left alone until its place was empty for a while. True: it is. */
static bool is_held(struct br_usb_manager *m, struct place *p)
{
	if (m->now_ns - p->empty_ns >= m->o.hold_ns) {
		p->held = false;
		p->failures = p->quick = 0;
	}
	/* nobody plugs another board in as fast */
	p->quick = p->well_ns && m->now_ns - p->well_ns < QUICK_NS ? p->quick + 1 : 0;
	if (p->held)
		return true;
	if (p->failures >= m->o.failures)
		hold(m, p, p->failures, "failed one time after the other");
	else if (p->quick >= m->o.failures)
		hold(m, p, p->quick, "ended well and was back in boot mode at once (is its nRPIBOOT jumper still set?)");
	return p->held;
}

static void arrived(void *ctx, struct br_usb_device *dev)
{
	struct br_usb_manager *m = ctx;
	const struct br_usbboot_model *model = br_usbboot_model(dev->vendor, dev->product);
	struct place *p = place_at(m, dev->path);

	if (!p && model)
		p = new_place(m, dev->path);
	if (!p)
		return;
	p->dev = dev;
	dev->user = p;
	reap(m, p);
	if (p->s)
		br_usb_session_arrived(p->s, dev, m->now_ns);
	else if (model && !is_held(m, p))
		start(m, p, model);
}

static void left(void *ctx, struct br_usb_device *dev)
{
	struct br_usb_manager *m = ctx;
	struct place *p = dev->user;

	if (!p)
		return;
	p->dev = NULL;
	p->empty_ns = m->now_ns;
	p->again_ns = UINT64_MAX;
	p->behind = false;
	if (p->s)
		br_usb_session_left(p->s, dev, m->now_ns);
}

static void completed(void *ctx, struct br_usb_device *dev, struct br_usb_transfer *t)
{
	struct br_usb_manager *m = ctx;

	br_usb_session_completed(t->user, t, m->now_ns);
}

int br_usb_manager_new(const struct br_usb_manager_options *options, struct br_usb_manager **ret)
{
	struct br_usb_manager *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;
	m->o = *options;
	m->o.failures = m->o.failures ? m->o.failures : 5;
	m->o.hold_ns = m->o.hold_ns ? m->o.hold_ns : 10 * BR_S;
	m->o.host->callbacks = (struct br_usb_callbacks){ arrived, left, completed, m };
	*ret = m;
	return 0;
}

/* Transfers of a session that is over do not end, and nothing else can be begun on its port. When to look again. */
static uint64_t see_leftover(struct br_usb_manager *m, struct place *p)
{
	if (!p->s || !p->told || p->leftover_told || !p->dev)
		return UINT64_MAX;
	if (m->now_ns - p->told_ns < LEFTOVER_NS)
		return p->told_ns + LEFTOVER_NS;
	p->leftover_told = true;
	if (m->o.ops->held)
		m->o.ops->held(m->o.ctx, p->dev,
			"transfers of its last session do not end: its port is left alone until they do. That is trouble of this "
			"machine's USB host; unplug the board, or start this program anew");
	return UINT64_MAX;
}

/* When to look again. */
static uint64_t tick_place(struct br_usb_manager *m, struct place *p)
{
	uint64_t t = p->s ? br_usb_session_tick(p->s, m->now_ns) : UINT64_MAX, leftover;

	reap(m, p);
	if (!p->s && p->dev && m->now_ns >= p->again_ns) {
		start(m, p, br_usbboot_model(p->dev->vendor, p->dev->product));
		t = p->s ? br_usb_session_tick(p->s, m->now_ns) : UINT64_MAX;
		reap(m, p);
	}
	leftover = see_leftover(m, p);
	t = p->s ? t : p->again_ns;
	return leftover < t ? leftover : t;
}

int br_usb_manager_tick(struct br_usb_manager *m, uint64_t now_ns, uint64_t *ret_next_ns, struct br_error *err)
{
	uint64_t next = UINT64_MAX, host_next;
	int r;

	m->now_ns = now_ns;
	r = m->o.host->ops->handle(m->o.host, now_ns, err);
	if (r < 0)
		return r;
	m->woken = false;
	for (size_t k = 0; k < m->n_places; k++) {
		uint64_t t = tick_place(m, m->places[k]);

		next = t < next ? t : next;
	}
	if (m->woken) /* its turn may have been before, in this round */
		next = now_ns;
	host_next = m->o.host->ops->next_ns(m->o.host, now_ns); /* with what the sessions have handed in */
	*ret_next_ns = host_next < next ? host_next : next;
	return 0;
}

static bool is_busy(const struct br_usb_manager *m)
{
	for (size_t k = 0; k < m->n_places; k++) {
		struct place *p = m->places[k];

		if (p->s && br_usb_session_busy(p->s))
			return true;
	}
	return false;
}

static void end_all(struct br_usb_manager *m)
{
	for (size_t k = 0; k < m->n_places; k++) {
		struct place *p = m->places[k];

		if (!p->s)
			continue;
		br_usb_session_abort(p->s, "ended by this program", m->now_ns);
		reap(m, p);
	}
}

void br_usb_manager_free(struct br_usb_manager *m)
{
	uint64_t next;

	if (!m)
		return;
	end_all(m);
	for (int i = 0; i < FREE_ROUNDS && is_busy(m); i++) {
		struct pollfd fd = { .fd = br_usb_manager_fd(m), .events = POLLIN };

		poll(&fd, 1, FREE_ROUND_NS / BR_MS);
		if (br_usb_manager_tick(m, m->now_ns + FREE_ROUND_NS, &next, NULL) < 0)
			break;
		end_all(m); /* what came meanwhile */
	}
	for (size_t k = 0; k < m->n_places; k++) {
		struct place *p = m->places[k];

		if (p->s && br_usb_session_busy(p->s))
			continue; /* a transfer that never ends points into it */
		br_usb_session_free(p->s);
		free(p);
	}
	free(m->places);
	free(m);
}

int br_usb_manager_fd(const struct br_usb_manager *m)
{
	return m->o.host->ops->fd(m->o.host);
}

size_t br_usb_manager_running(const struct br_usb_manager *m)
{
	size_t n = 0;

	for (size_t k = 0; k < m->n_places; k++)
		n += m->places[k]->s && !br_usb_session_verdict(m->places[k]->s);
	return n;
}

struct br_usb_session *br_usb_manager_at(const struct br_usb_manager *m, size_t i)
{
	for (size_t k = 0; k < m->n_places; k++) {
		struct place *p = m->places[k];

		if (p->s && !br_usb_session_verdict(p->s) && i-- == 0)
			return p->s;
	}
	return NULL;
}

const struct br_usb_device *br_usb_manager_idle(const struct br_usb_manager *m, size_t i)
{
	for (size_t k = 0; k < m->n_places; k++) {
		const struct place *p = m->places[k];
		bool runs = p->s && !br_usb_session_verdict(p->s);

		if (p->dev && !runs && br_usbboot_model(p->dev->vendor, p->dev->product) && i-- == 0)
			return p->dev;
	}
	return NULL;
}

void *br_usb_manager_user(const struct br_usb_session *s, const struct br_usb_manager *m)
{
	const struct place *p = place_of(m, s);

	return p ? p->choice.user : NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The wire's two primitives: write() is a length by control request and the bytes in pieces, read() a control request. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "usb/session_priv.h"

static bool submit(struct br_usb_session *s, struct br_usb_transfer *t, uint64_t now_ns)
{
	int r;

	t->user = s;
	t->done = 0;
	r = s->o.host->ops->submit(s->o.host, s->dev, t);
	if (!r) {
		s->in_flight++;
		s->deadline_ns = now_ns + t->timeout_ns + BR_USB_STUCK_NS;
		s->stuck = false;
		return true;
	}
	/* as if it had completed so; what is in flight besides is taken back first */
	s->failed = r == -ENODEV ? BR_USB_GONE : BR_USB_IO;
	return false;
}

static void cancel_pieces(struct br_usb_session *s)
{
	for (size_t i = 0; i < BR_USB_DEPTH; i++) {
		if (s->pieces[i].t.user)
			s->o.host->ops->cancel(s->o.host, s->dev, &s->pieces[i].t);
	}
}

/* An endpoint that stalled takes nothing before its halt is cleared. False: it cannot be asked for. */
static bool clear_halt(struct br_usb_session *s, uint64_t now_ns)
{
	enum br_usb_state before = s->state;

	s->control = (struct br_usb_transfer){
		.kind = BR_USB_CLEAR_HALT, .endpoint = s->ends.out, .timeout_ns = BR_USB_CLEAR_NS
	};
	br_usb_enter(s, BR_USB_S_CLEAR, UINT64_MAX);
	if (submit(s, &s->control, now_ns)) {
		s->stalled = before;
		return true;
	}
	s->state = before;
	s->failed = BR_USB_OK;
	return false;
}

/* A write that has failed is over when nothing of it is in flight. */
static void give_up(struct br_usb_session *s, uint64_t now_ns)
{
	enum br_usb_status failed = s->failed;
	bool halted = s->halted;

	if (s->in_flight)
		return;
	s->failed = BR_USB_OK;
	s->halted = false;
	if (!halted || !clear_halt(s, now_ns))
		br_usb_failed(s, failed, now_ns);
}

void br_usb_write_cleared(struct br_usb_session *s, const struct br_usb_transfer *t, uint64_t now_ns)
{
	s->state = s->stalled;
	br_usb_failed(s, t->status == BR_USB_GONE ? BR_USB_GONE : BR_USB_STALL, now_ns);
}

static int load(struct br_usb_session *s, struct br_usb_piece *p, uint64_t now_ns)
{
	struct br_usb_write *w = &s->write;
	struct br_error err = BR_ERROR_NULL;
	int r;

	if (w->memory) {
		memcpy(p->data, w->memory + w->handed, p->t.len);
		return 0;
	}
	r = s->o.files->ops->read(s->o.files, &s->file, w->handed, p->data, p->t.len, &err);
	if (r < 0)
		br_usb_end(s, BR_USB_BAD_PAYLOAD, now_ns, "%s: %s", s->name, br_error_text(&err, r));
	return r;
}

/* Hands in pieces as long as there are some and places for them. */
static void hand_in(struct br_usb_session *s, uint64_t now_ns)
{
	struct br_usb_write *w = &s->write;

	for (size_t i = 0; i < BR_USB_DEPTH && w->handed < w->len && !s->failed; i++) {
		struct br_usb_piece *p = &s->pieces[i];
		uint64_t left = w->len - w->handed;

		if (p->t.user)
			continue;
		p->t = (struct br_usb_transfer){
			.kind = BR_USB_BULK_OUT,
			.endpoint = s->ends.out,
			.data = p->data,
			.len = left < BR_USBBOOT_PIECE ? (size_t)left : BR_USBBOOT_PIECE,
			/* it waits for those before it */
			.timeout_ns = BR_USB_PIECE_NS * (s->in_flight + 1),
		};
		if (load(s, p, now_ns) < 0)
			return;
		if (submit(s, &p->t, now_ns))
			w->handed += p->t.len;
		else
			p->t.user = NULL;
	}
	if (s->failed) {
		cancel_pieces(s);
		give_up(s, now_ns);
	}
}

static void control(struct br_usb_session *s, enum br_usb_kind kind, uint32_t len, uint64_t timeout_ns, uint64_t now_ns)
{
	struct br_usbboot_setup setup = br_usbboot_setup(len);

	s->failed = BR_USB_OK;
	s->halted = false;
	s->control = (struct br_usb_transfer){
		.kind = kind,
		.value = setup.value,
		.index = setup.index,
		.data = s->control_data,
		.len = kind == BR_USB_CONTROL_IN ? len : 0,
		.timeout_ns = timeout_ns,
	};
	if (!submit(s, &s->control, now_ns))
		give_up(s, now_ns);
}

void br_usb_write(struct br_usb_session *s, const uint8_t *memory, uint64_t len, uint64_t now_ns)
{
	/* a length alone is an answer: no bytes come after it */
	bool bytes = s->state != BR_USB_S_ANSWER;

	s->write = (struct br_usb_write){ .memory = memory, .len = bytes ? len : 0 };
	control(s, BR_USB_CONTROL_OUT, (uint32_t)len, BR_USB_CONTROL_NS, now_ns);
}

void br_usb_read(struct br_usb_session *s, uint32_t n, uint64_t timeout_ns, uint64_t now_ns)
{
	memset(s->control_data, 0, sizeof(s->control_data));
	control(s, BR_USB_CONTROL_IN, n, timeout_ns, now_ns);
}

bool br_usb_write_completed(struct br_usb_session *s, struct br_usb_transfer *t, uint64_t now_ns)
{
	struct br_usb_write *w = &s->write;

	if (s->failed) {
		give_up(s, now_ns);
		return false;
	}
	if (t->status == BR_USB_OK && t->kind == BR_USB_BULK_OUT && t->done != t->len)
		t->status = BR_USB_IO; /* what comes after it would be out of step */
	if (t->status != BR_USB_OK) {
		s->failed = t->status;
		s->halted = t->status == BR_USB_STALL && t->kind == BR_USB_BULK_OUT;
		cancel_pieces(s);
		give_up(s, now_ns);
		return false;
	}
	if (t->kind == BR_USB_BULK_OUT)
		w->done += t->done;
	if (w->done == w->len)
		return true;
	hand_in(s, now_ns);
	return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session with a board and a host that do anything: the input is a list of what happens next. It must keep the transport's
 * rules, hold nothing after its verdict, and have a verdict when nothing happens any more.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "usb/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define QUEUE 8

struct rig {
	struct br_usb_host host;
	struct br_usb_files files;
	struct br_usb_session *s;
	struct br_usb_device dev;
	bool plugged, open;
	int open_result, submit_result;
	struct br_usb_transfer *queue[QUEUE];
	size_t n, open_files, verdicts;
	uint64_t now_ns;
	const uint8_t *in;
	size_t left;
};

static struct rig *rig;

static void must(bool b)
{
	if (!b)
		abort();
}

static uint8_t next(void)
{
	if (!rig->left)
		return 0;
	rig->left--;
	return *rig->in++;
}

static int on_open(struct br_usb_host *host, struct br_usb_device *dev, uint8_t interface, struct br_error *err)
{
	must(rig->plugged && !rig->open && interface <= 1);
	rig->open = !rig->open_result;
	return rig->open_result;
}

static void on_close(struct br_usb_host *host, struct br_usb_device *dev)
{
	rig->open = false;
}

static int on_submit(struct br_usb_host *host, struct br_usb_device *dev, struct br_usb_transfer *t)
{
	static volatile uint8_t sink;

	must(rig->open && t->timeout_ns && rig->n < QUEUE);
	if (rig->submit_result)
		return rig->submit_result;
	if (t->kind == BR_USB_BULK_OUT) {
		must(t->len && t->len <= BR_USBBOOT_PIECE && (t->endpoint == 1 || t->endpoint == 3));
		sink = t->data[t->len - 1];
	}
	(void)sink;
	rig->queue[rig->n++] = t;
	return 0;
}

static void on_cancel(struct br_usb_host *host, struct br_usb_device *dev, struct br_usb_transfer *t)
{
}

static int find(struct br_usb_files *files, const struct br_usb_device *dev, const struct br_usbboot_model *model,
	const char *name, struct br_usb_file *ret, struct br_error *err)
{
	static const uint64_t sizes[] = { 0, 1, 20, 16384, 16385, 100000, 1ull << 32 };

	must(model && name[0] && name[0] != '/' && !strstr(name, ".."));
	if (name[0] == 'x')
		return -ENOENT;
	if (name[0] == 'y')
		return br_error_set(err, EIO, "trouble");
	*ret = (struct br_usb_file){ .size = strcmp(name, "bootcode.sig") ? sizes[(uint8_t)name[strlen(name) - 1] % 7] : 20 };
	rig->open_files++;
	return 0;
}

static int read_file(struct br_usb_files *files, const struct br_usb_file *file, uint64_t offset, void *buf, size_t n,
	struct br_error *err)
{
	must(offset <= file->size && n <= file->size - offset);
	memset(buf, (int)offset, n);
	return 0;
}

static void drop(struct br_usb_files *files, struct br_usb_file *file)
{
	must(rig->open_files-- > 0);
}

static void on_step(void *ctx, struct br_usb_session *s, const struct br_usb_step *step)
{
	rig->verdicts += step->kind == BR_USB_STEP_VERDICT;
	for (const char *p = step->name; *p; p++)
		must(*p >= 0x20 && *p < 0x7f);
	for (const char *p = step->detail; *p; p++)
		must(*p >= 0x20 && *p < 0x7f);
}

static void complete(enum br_usb_status status, size_t done)
{
	struct br_usb_transfer *t = rig->queue[0];

	rig->n--;
	for (size_t i = 0; i < rig->n; i++)
		rig->queue[i] = rig->queue[i + 1];
	t->status = status;
	t->done = done < t->len ? done : t->len;
	br_usb_session_completed(rig->s, t, rig->now_ns);
}

static void well(void)
{
	struct br_usb_transfer *t = rig->queue[0];
	size_t n = t->len;

	if (t->kind == BR_USB_CONTROL_IN) {
		n = next() | (size_t)(next() & 1) << 8;
		n = n < t->len ? n : t->len;
		n = n < rig->left ? n : rig->left;
		if (n)
			memcpy(t->data, rig->in, n);
		rig->in += n;
		rig->left -= n;
	}
	complete(BR_USB_OK, n);
}

/* What a board of good will asks. */
static void ask(void)
{
	static const char *const names[] = { "config.txt", "start4.elf", "x", "y", "a/b", "../a", "", "d", "e", "*KEY*value" };
	struct br_usb_transfer *t = rig->queue[0];
	uint8_t b = next();

	if (t->kind != BR_USB_CONTROL_IN || t->len != BR_USBBOOT_REQUEST) {
		well();
		return;
	}
	must(br_usbboot_encode_request(t->data, b & 3, names[(b >> 2) % 10], NULL) == 0);
	complete(BR_USB_OK, t->len);
}

static void plug(uint8_t b)
{
	static const uint16_t products[] = { 0x2711, 0x2712, 0x2763, 0x2764, 0x1234 };

	if (rig->plugged)
		return;
	rig->plugged = true;
	rig->open_result = b >= 250 ? -EACCES : 0;
	rig->dev = (struct br_usb_device){ .path = "1-1", .vendor = BR_USBBOOT_VENDOR, .product = products[b % 5],
		.serial_index = b / 5 % 5, .n_interfaces = b / 25 % 4 };
	br_usb_session_arrived(rig->s, &rig->dev, rig->now_ns);
}

static void unplug(void)
{
	while (rig->n)
		complete(BR_USB_GONE, 0);
	if (!rig->plugged)
		return;
	rig->plugged = false;
	br_usb_session_left(rig->s, &rig->dev, rig->now_ns);
	must(!rig->open);
}

static void act(uint8_t op)
{
	switch (op % 8) {
	case 0:
		plug(next());
		break;
	case 1:
		unplug();
		break;
	case 2:
		if (rig->n)
			complete((enum br_usb_status)(next() % BR_USB_N_STATUSES), next() * 256u);
		break;
	case 3:
		rig->now_ns += next() * 500 * BR_MS;
		break;
	case 4:
		rig->submit_result = op & 0x80 ? -EIO : 0;
		rig->open_result = op & 0x40 ? -EBUSY : 0;
		break;
	case 5:
		if (rig->n)
			ask();
		break;
	default:
		if (rig->n)
			well();
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct br_usb_host_ops ops = {
		.open = on_open, .close = on_close, .submit = on_submit, .cancel = on_cancel
	};
	static const struct br_usb_files_ops file_ops = { find, read_file, drop };
	struct rig now = { .host.ops = &ops, .files.ops = &file_ops, .now_ns = BR_S, .in = data, .left = size };
	struct br_usb_session_options o = { .host = &now.host, .files = &now.files, .step = on_step };

	rig = &now;
	o.sign = next() & 1;
	o.leave_ok = size > 1 && data[1] & 1;
	must(br_usb_session_new(&o, "1-1", &now.s) == 0);
	while (now.left) {
		act(next());
		must(br_usb_session_tick(now.s, now.now_ns) > now.now_ns);
		if (br_usb_session_verdict(now.s))
			must(!now.open && !now.open_files && br_usb_session_reason(now.s)[0]);
	}
	unplug();
	plug(0); /* one that never came has nothing to end */
	unplug();
	for (int i = 0; i < 3 && !br_usb_session_verdict(now.s); i++) {
		now.now_ns += 61 * BR_S;
		br_usb_session_tick(now.s, now.now_ns);
	}
	must(br_usb_session_verdict(now.s) != BR_USB_RUNNING && now.verdicts == 1);
	must(!br_usb_session_busy(now.s) && !now.open && !now.open_files);
	br_usb_session_free(now.s);
	return 0;
}

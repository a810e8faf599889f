/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A USB host that does what the test says: transfers queue up until the test completes them. With a payload of three
 * files, a clock, and the words of the protocol as the board says them.
 */
#include "test.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "usb/session.h"

#define SCRIPT_QUEUE 16

struct script {
	struct br_usb_host host;
	struct br_usb_files files;
	struct br_usb_session *s;
	struct br_usb_device dev;
	bool plugged, open, stuck; /* stuck: nothing completes, not even what is cancelled */
	int open_result;
	unsigned opens, open_files;
	uint8_t interface;
	struct br_usb_transfer *queue[SCRIPT_QUEUE];
	bool cancelled[SCRIPT_QUEUE];
	size_t n;
	int submit_result;
	uint64_t now_ns;
	const char *broken; /* a file that cannot be read */
	const char *missing;
	uint64_t huge; /* size of "huge.bin" */
	unsigned pending, pended; /* how often each file is not there yet; was not */
	unsigned finds;
	unsigned steps[BR_USB_N_STEP_KINDS];
	uint8_t got[300000];
	size_t n_got;
};

static inline struct script *script_of(struct br_usb_host *host)
{
	return (struct script *)(void *)((char *)host - offsetof(struct script, host));
}

static inline int script_open(struct br_usb_host *host, struct br_usb_device *dev, uint8_t interface, struct br_error *err)
{
	struct script *k = script_of(host);

	assert_true(k->plugged && !k->open && dev == &k->dev);
	k->opens++;
	k->interface = interface;
	if (k->open_result)
		return br_error_set(err, -k->open_result, "/dev/bus/usb/001/002 will not open");
	k->open = true;
	return 0;
}

static inline void script_cancel(struct br_usb_host *host, struct br_usb_device *dev, struct br_usb_transfer *t)
{
	struct script *k = script_of(host);

	for (size_t i = 0; i < k->n; i++) {
		if (k->queue[i] == t)
			k->cancelled[i] = true;
	}
}

static inline void script_close(struct br_usb_host *host, struct br_usb_device *dev)
{
	struct script *k = script_of(host);

	k->open = false;
	for (size_t i = 0; i < k->n; i++)
		k->cancelled[i] = true;
}

static inline int script_submit(struct br_usb_host *host, struct br_usb_device *dev, struct br_usb_transfer *t)
{
	struct script *k = script_of(host);

	assert_true(k->open && dev == &k->dev && t->timeout_ns);
	assert_true(t->kind != BR_USB_BULK_OUT || (t->len && t->len <= BR_USBBOOT_PIECE));
	if (k->submit_result)
		return k->submit_result;
	assert_true(k->n < SCRIPT_QUEUE);
	k->cancelled[k->n] = false;
	k->queue[k->n++] = t;
	return 0;
}

/* The content of a file is its size in a pattern. */
static inline uint8_t script_byte(const char *name, uint64_t offset)
{
	return (uint8_t)(offset * 7 + offset / 256 + (uint8_t)name[0]);
}

static inline int script_find(struct br_usb_files *files, const struct br_usb_device *dev,
	const struct br_usbboot_model *model, const char *name, struct br_usb_file *ret, struct br_error *err)
{
	static const struct {
		const char *name;
		uint64_t size;
	} known[] = {
		{ "bootcode.bin", 50000 }, { "bootcode4.bin", 100000 }, { "bootcode5.bin", 16384 }, { "bootcode.sig", 20 },
		{ "config.txt", 30 }, { "start4.elf", 200000 }, { "empty.bin", 0 }, { "huge.bin", 0 },
	};
	struct script *k = (struct script *)(void *)((char *)files - offsetof(struct script, files));

	assert_true(model != NULL && !strstr(name, "..") && name[0] != '/');
	if (k->pended++ < k->pending)
		return -EINPROGRESS;
	k->pended = 0;
	k->finds++;
	if (k->missing && !strcmp(k->missing, name))
		return -ENOENT;
	if (!strcmp(name, "link.bin"))
		return br_error_set(err, ELOOP, "a link that leads out");
	if (!strcmp(name, "secret.bin"))
		return br_error_set(err, EACCES, "cannot open: Permission denied");
	if (!strcmp(name, "boot.img"))
		return br_error_set(err, ENOENT, "boot.img cannot be made");
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(known[i].name, name) != 0)
			continue;
		*ret = (struct br_usb_file){ strcmp(name, "huge.bin") ? known[i].size : k->huge, (void *)(uintptr_t)known[i].name };
		k->open_files++;
		return 0;
	}
	return -ENOENT;
}

static inline int script_read(struct br_usb_files *files, const struct br_usb_file *file, uint64_t offset, void *buf,
	size_t n, struct br_error *err)
{
	struct script *k = (struct script *)(void *)((char *)files - offsetof(struct script, files));
	const char *name = file->handle;

	assert_true(offset + n <= file->size);
	if (k->broken && !strcmp(k->broken, name))
		return br_error_set(err, EIO, "the disk is gone");
	for (size_t i = 0; i < n; i++)
		((uint8_t *)buf)[i] = script_byte(name, offset + i);
	return 0;
}

static inline void script_drop(struct br_usb_files *files, struct br_usb_file *file)
{
	struct script *k = (struct script *)(void *)((char *)files - offsetof(struct script, files));

	k->open_files--;
}

static inline void script_step(void *ctx, struct br_usb_session *s, const struct br_usb_step *step)
{
	struct script *k = ctx;

	k->steps[step->kind]++;
	for (const char *p = step->name; *p; p++)
		assert_true(*p >= 0x20 && *p < 0x7f);
	for (const char *p = step->detail; *p; p++)
		assert_true(*p >= 0x20 && *p < 0x7f);
}

/* options may be NULL; its host, files, step are set here. */
static inline void script_start(struct script *k, const struct br_usb_session_options *options)
{
	static const struct br_usb_host_ops ops = {
		.open = script_open, .close = script_close, .submit = script_submit, .cancel = script_cancel,
	};
	static const struct br_usb_files_ops file_ops = { script_find, script_read, script_drop };
	struct br_usb_session_options o = options ? *options : (struct br_usb_session_options){ 0 };

	memset(k, 0, sizeof(*k));
	k->host.ops = &ops;
	k->files.ops = &file_ops;
	k->now_ns = 1000 * BR_S;
	o.host = &k->host;
	o.files = &k->files;
	o.step = script_step;
	o.ctx = k;
	assert_int_equal(br_usb_session_new(&o, "1-2.3", &k->s), 0);
}

/* Completes the oldest transfer. */
static inline void script_complete(struct script *k, enum br_usb_status status, size_t done)
{
	struct br_usb_transfer *t = k->queue[0];

	assert_true(k->n > 0);
	k->n--;
	for (size_t i = 0; i < k->n; i++) {
		k->queue[i] = k->queue[i + 1];
		k->cancelled[i] = k->cancelled[i + 1];
	}
	t->status = status;
	t->done = done;
	br_usb_session_completed(k->s, t, k->now_ns);
}

/* What was cancelled completes so. */
static inline void script_settle(struct script *k)
{
	while (k->n && k->cancelled[0] && !k->stuck)
		script_complete(k, BR_USB_CANCELLED, 0);
}

/* Time passes; ticks come when they are asked for. */
static inline void script_wait(struct script *k, uint64_t ns)
{
	uint64_t end = k->now_ns + ns, next;

	for (;;) {
		next = br_usb_session_tick(k->s, k->now_ns);
		script_settle(k);
		assert_true(next > k->now_ns);
		if (next > end)
			break;
		k->now_ns = next;
	}
	k->now_ns = end;
	br_usb_session_tick(k->s, k->now_ns);
	script_settle(k);
}

static inline void script_plug(struct script *k, uint16_t product, uint8_t serial_index, uint8_t n_interfaces)
{
	assert_false(k->plugged);
	k->dev = (struct br_usb_device){
		.path = "1-2.3",
		.node = "/dev/bus/usb/001/002",
		.bus = 1,
		.port = 3,
		.vendor = product == 0x4e40 ? 0x18d1 : BR_USBBOOT_VENDOR,
		.product = product,
		.serial_index = serial_index,
		.n_interfaces = n_interfaces,
	};
	if (serial_index)
		strcpy(k->dev.serial, "100000001234abcd");
	k->plugged = true;
	br_usb_session_arrived(k->s, &k->dev, k->now_ns);
	script_settle(k);
}

static inline void script_unplug(struct script *k)
{
	while (k->n)
		script_complete(k, BR_USB_GONE, 0);
	k->plugged = false;
	br_usb_session_left(k->s, &k->dev, k->now_ns);
	assert_false(k->open);
}

/* The board takes a length. */
static inline uint32_t script_length(struct script *k)
{
	struct br_usb_transfer *t = k->queue[0];
	uint32_t len;

	assert_true(k->n == 1 && t->kind == BR_USB_CONTROL_OUT && t->timeout_ns == BR_S);
	len = br_usbboot_setup_len(t->value, t->index);
	script_complete(k, BR_USB_OK, 0);
	return len;
}

/* ... and up to max bytes of bulk data, into got. */
static inline size_t script_bulk(struct script *k, size_t max)
{
	k->n_got = 0;
	while (k->n && k->queue[0]->kind == BR_USB_BULK_OUT && k->n_got < max) {
		struct br_usb_transfer *t = k->queue[0];

		assert_true(k->n_got + t->len <= sizeof(k->got));
		memcpy(k->got + k->n_got, t->data, t->len);
		k->n_got += t->len;
		script_complete(k, BR_USB_OK, t->len);
	}
	return k->n_got;
}

/* The halt of the bulk endpoint is cleared, or not; nothing else is in flight then. */
static inline void script_cleared(struct script *k, enum br_usb_status status)
{
	assert_int_equal(k->n, 1);
	assert_int_equal(k->queue[0]->kind, BR_USB_CLEAR_HALT);
	assert_true(k->queue[0]->timeout_ns == BR_USB_CLEAR_NS);
	assert_int_equal(k->queue[0]->endpoint, br_usbboot_ends(k->dev.n_interfaces).out);
	script_complete(k, status, 0);
}

static inline void script_say(struct script *k, const void *data, size_t n)
{
	struct br_usb_transfer *t = k->queue[0];

	assert_true(k->n == 1 && t->kind == BR_USB_CONTROL_IN && n <= t->len);
	if (n)
		memcpy(t->data, data, n);
	script_complete(k, BR_USB_OK, n);
	script_settle(k);
}

static inline void script_ask(struct script *k, uint32_t command, const char *name)
{
	uint8_t req[BR_USBBOOT_REQUEST];

	assert_int_equal(br_usbboot_encode_request(req, command, name, NULL), 0);
	script_say(k, req, sizeof(req));
}

static inline void script_tell(struct script *k, const char *key, const char *value)
{
	uint8_t req[BR_USBBOOT_REQUEST];

	assert_int_equal(br_usbboot_encode_request(req, BR_USBBOOT_METADATA, key, value), 0);
	script_say(k, req, sizeof(req));
}

/* The whole first stage, up to the status that is due. */
static inline size_t script_first_stage(struct script *k)
{
	uint32_t len;
	const uint8_t *sig;

	assert_int_equal(script_length(k), BR_USBBOOT_FIRST);
	assert_int_equal(script_bulk(k, BR_USBBOOT_FIRST), BR_USBBOOT_FIRST);
	assert_int_equal(br_usbboot_decode_first(k->got, k->n_got, &len, &sig), 0);
	assert_int_equal(script_length(k), len);
	assert_int_equal(script_bulk(k, len), len);
	script_wait(k, BR_S - 1);
	assert_int_equal(k->n, 0);
	script_wait(k, 1);
	assert_int_equal(k->n, 1);
	return len;
}

static inline void script_status(struct script *k, uint32_t status)
{
	uint8_t raw[4];

	br_store_le32(raw, status);
	assert_int_equal(k->queue[0]->len, 4);
	script_say(k, raw, 4);
}

/* To the second stage, which asks for its first file next. */
static inline void script_to_files(struct script *k, uint16_t product)
{
	script_plug(k, product, 0, 1);
	script_first_stage(k);
	script_status(k, 0);
	script_unplug(k);
	script_wait(k, BR_S);
	script_plug(k, product, 1, 1);
}

/* A whole file as boards fetch it: its size, then it. */
static inline size_t script_fetch(struct script *k, const char *name)
{
	uint32_t size;

	script_ask(k, BR_USBBOOT_GET_SIZE, name);
	size = script_length(k);
	script_ask(k, BR_USBBOOT_READ, name);
	assert_int_equal(script_length(k), size);
	assert_int_equal(script_bulk(k, size), size);
	for (size_t i = 0; i < size; i++)
		assert_int_equal(k->got[i], script_byte(name, i));
	return size;
}

/* The verdict and a part of its words; nothing is held any more. */
static inline void script_end(struct script *k, enum br_usb_verdict verdict, const char *words)
{
	size_t n;
	const struct br_usb_step *steps = br_usb_session_steps(k->s, &n);

	if (br_usb_session_verdict(k->s) != verdict || !strstr(br_usb_session_reason(k->s), words))
		fail_msg("verdict %s: %s; expected %s: ...%s...", br_usb_verdict_name(br_usb_session_verdict(k->s)),
			br_usb_session_reason(k->s), br_usb_verdict_name(verdict), words);
	script_settle(k);
	assert_false(br_usb_session_busy(k->s));
	assert_false(k->open);
	assert_int_equal(k->open_files, 0);
	assert_int_equal(k->steps[BR_USB_STEP_VERDICT], 1);
	assert_int_equal(steps[n - 1].kind, BR_USB_STEP_VERDICT);
	assert_string_equal(steps[n - 1].detail, br_usb_session_reason(k->s));
	assert_true(br_usb_session_tick(k->s, k->now_ns + 86400 * BR_S) == UINT64_MAX);
	br_usb_session_free(k->s);
}

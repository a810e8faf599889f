/* SPDX-License-Identifier: Apache-2.0 */
/* A board in USB boot mode; see usbrom.h. All it says and takes is that of systems facts c.1 to c.4. */
#include "sim/usbrom.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "sim/usbrom_private.h"

#define READ_PATIENCE_NS (20 * BR_S) /* a host that gives up reading earlier loses its place (facts c.2) */
#define NEVER		 UINT64_MAX

/* pauses, before the speed divides them */
#define POWER_NS   (200 * BR_MS) /* from power to the bus */
#define LEAVE_NS   (200 * BR_MS) /* from the last word to leaving the bus */
#define RETURN_NS  (1 * BR_S)	 /* away, until the second stage is there */
#define ERASE_NS   (6 * BR_S)	 /* an EEPROM */
#define ODD_NAME   "bramble-no-such-file.elf"

enum place { /* on the bus */
	NOWHERE,
	IN_ROM,
	IN_SECOND,
	IN_GADGET,
};

enum wait { /* for what, within a place */
	WANTS_MESSAGE, /* ROM: the 24 bytes before the first stage */
	WANTS_STAGE,
	HAS_STATUS,
	HAS_REQUEST, /* second stage: until the host asks */
	WANTS_SIZE,
	WANTS_FILE,
	WANTS_ACK, /* a length of 0 */
	IS_OVER,
};

enum due { LEAVE, COME };

struct br_sim_rom {
	struct br_sim_rom_config config;
	const struct br_usbboot_model *model;
	char serial[9];
	struct br_sim_rom_descriptors descriptors;
	enum br_sim_rom_phase phase;
	enum place place, next; /* next: where it is after COME */
	enum wait wait;
	unsigned attachments, wrong;
	bool powered, odd_told, misaligned;
	bool halted; /* the bulk endpoint, until it is cleared (USB 2.0, 5.8.5) */
	unsigned stalls; /* so far, amid data */
	uint64_t power_ns, now_ns;
	uint64_t due_ns; /* NEVER: nothing is planned */
	enum due due;
	uint64_t quiet_ns; /* control transfers wait until then; 0: they do not */
	uint64_t quiet_since_ns;
	uint64_t busy_ns; /* bulk data wait until then */
	/* bulk data that were announced */
	uint64_t want, have;
	uint32_t crc;
	uint8_t head[BR_USBBOOT_FIRST]; /* the first bytes of it */
	/* the first stage */
	uint32_t stage_len, status;
	/* the second stage's way through its files */
	const struct br_sim_rom_step *step;
	unsigned series;      /* of a step with a count */
	unsigned n_files;     /* whole ones so far */
	unsigned odd_step;    /* of quirks that make requests of their own */
	bool sized, is_odd, is_metadata;
	size_t metadata;      /* the next one */
	uint64_t flood;
	char name[BR_USBBOOT_NAME];
	uint64_t size, asked_ns;
};

static uint64_t pause_of(const struct br_sim_rom *b, uint64_t ns)
{
	return b->config.speed ? ns / b->config.speed : 0;
}

static bool is(const struct br_sim_rom *b, enum br_sim_rom_quirk q)
{
	return b->config.quirk == q;
}

/* ---- events ---- */

static void tell(struct br_sim_rom *b, enum br_sim_rom_what what, const char *name, const char *text, uint64_t bytes)
{
	struct br_sim_rom_event e = { .what = what, .t_ns = b->now_ns - b->power_ns, .bytes = bytes,
		.name = name, .text = text };

	if (what == BR_SIM_ROM_FILE)
		e.took_ns = b->now_ns - b->asked_ns;
	if (what == BR_SIM_ROM_ATTACHED)
		e.n = b->attachments;
	if (b->config.event)
		b->config.event(b->config.ctx, &e);
}

__attribute__((format(printf, 3, 4))) static void complain(struct br_sim_rom *b, const char *name, const char *fmt, ...)
{
	char text[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	b->wrong++;
	tell(b, BR_SIM_ROM_WRONG, name, text, 0);
}

/* The quirk shows: once in words. */
static void strike(struct br_sim_rom *b)
{
	if (!b->odd_told)
		tell(b, BR_SIM_ROM_ODD, br_sim_rom_quirk_at(b->config.quirk)->name,
			br_sim_rom_quirk_at(b->config.quirk)->meaning, 0);
	b->odd_told = true;
}

static void give_up(struct br_sim_rom *b, const char *why)
{
	if (b->phase != BR_SIM_ROM_RUNNING)
		return;
	b->phase = BR_SIM_ROM_BAD;
	tell(b, BR_SIM_ROM_GAVE_UP, "", why, 0);
}

/* ---- coming and going ---- */

static const char *place_name(enum place p)
{
	static const char *const names[] = { "nothing", "rom", "second-stage", "gadget" };

	return names[p];
}

static void plan(struct br_sim_rom *b, enum due what, uint64_t in_ns)
{
	b->due = what;
	b->due_ns = b->now_ns + in_ns;
}

static uint64_t reset_ns(const struct br_sim_rom *b)
{
	return b->config.value ? b->config.value : BR_MS;
}

static void leave(struct br_sim_rom *b, const char *why, enum place next, uint64_t away_ns)
{
	enum place was = b->place;

	b->place = NOWHERE;
	b->next = next;
	b->due_ns = NEVER;
	b->quiet_ns = b->busy_ns = 0;
	b->want = b->have = 0;
	tell(b, BR_SIM_ROM_LEFT, place_name(was), why, 0);
	if (next != NOWHERE)
		plan(b, COME, away_ns);
}

static void come(struct br_sim_rom *b)
{
	struct br_sim_rom_descriptors *d = &b->descriptors;

	b->place = b->next;
	b->due_ns = NEVER;
	b->attachments++;
	b->misaligned = b->halted = false;
	if (b->place == IN_GADGET)
		br_sim_rom_describe_gadget(d, b->serial);
	else
		br_sim_rom_describe(d, b->config.kind, b->place == IN_ROM, b->config.quirk, b->serial);
	if ((b->place == IN_ROM && is(b, BR_SIM_ROM_ROM_INDEX)) ||
		(b->place == IN_SECOND && is(b, BR_SIM_ROM_STAGE_INDEX)))
		d->device[16] = (uint8_t)b->config.value;
	b->wait = b->place == IN_ROM ? WANTS_MESSAGE : b->place == IN_SECOND ? HAS_REQUEST : IS_OVER;
	b->step = b->config.kind->steps;
	b->series = b->n_files = b->odd_step = 0;
	b->metadata = 0;
	b->sized = b->is_odd = false;
	b->status = is(b, BR_SIM_ROM_BAD_STATUS) ? (uint32_t)b->config.value : 0;
	tell(b, BR_SIM_ROM_ATTACHED, place_name(b->place), "", 0);
	if (b->place == IN_ROM && is(b, BR_SIM_ROM_NO_ENDPOINT))
		strike(b);
	if (b->place == IN_ROM && is(b, BR_SIM_ROM_RESETS))
		plan(b, LEAVE, reset_ns(b));
}

/* ---- the ROM ---- */

static int take_message(struct br_sim_rom *b)
{
	static const uint8_t none[BR_USBBOOT_SIG];
	const uint8_t *sig;
	uint64_t size = 0;
	uint32_t crc = 0;

	if (br_usbboot_decode_first(b->head, b->have, &b->stage_len, &sig) < 0) {
		complain(b, "", "a boot message without a sensible length");
		return -EPIPE;
	}
	b->wait = WANTS_STAGE;
	if (is(b, BR_SIM_ROM_SIGNED)) {
		if (b->config.expected && b->config.expected(b->config.ctx, "bootcode.sig", &size, &crc) &&
			(size != BR_USBBOOT_SIG || crc != br_crc32c(0, sig, BR_USBBOOT_SIG)))
			b->status = 2;
		if (!memcmp(sig, none, sizeof(none)))
			b->status = 1;
		if (b->status)
			complain(b, "bootcode.sig", "the signature before the first stage is %s",
				b->status == 1 ? "missing" : "another one");
	} else if (memcmp(sig, none, sizeof(none)) != 0) {
		complain(b, "", "a signature for a board that is not signed");
	}
	return 0;
}

/* Compares what came with what should have come. */
static void check(struct br_sim_rom *b, const char *name)
{
	uint64_t size = 0;
	uint32_t crc = 0;

	if (!b->config.expected)
		return;
	if (!b->config.expected(b->config.ctx, name, &size, &crc))
		complain(b, name, "%llu bytes of a file that should not be there", (unsigned long long)b->have);
	else if (size != b->have)
		complain(b, name, "%llu bytes, %llu were expected", (unsigned long long)b->have, (unsigned long long)size);
	else if (crc != b->crc)
		complain(b, name, "other content than expected (CRC-32C %08x, not %08x)", b->crc, crc);
}

static int take_stage(struct br_sim_rom *b)
{
	unsigned wrong = b->wrong;

	check(b, b->model->first_stage);
	if (b->wrong != wrong && !b->status)
		b->status = 3;
	tell(b, BR_SIM_ROM_FIRST_STAGE, b->model->first_stage, "", b->have);
	b->wait = HAS_STATUS;
	if (b->config.kind->leaves_early && !b->status && !is(b, BR_SIM_ROM_SHORT_STATUS))
		plan(b, LEAVE, pause_of(b, LEAVE_NS));
	return 0;
}

static int say_status(struct br_sim_rom *b, uint8_t *data, size_t len)
{
	uint8_t status[BR_USBBOOT_STATUS];
	size_t n = len < sizeof(status) ? len : sizeof(status);

	if (len != sizeof(status))
		complain(b, "", "%zu bytes of status asked for, there are 4", len);
	br_store_le32(status, b->status);
	if (is(b, BR_SIM_ROM_SHORT_STATUS)) {
		strike(b);
		n = n < b->config.value ? n : (size_t)b->config.value;
	}
	memcpy(data, status, n);
	if (b->status) {
		if (is(b, BR_SIM_ROM_BAD_STATUS))
			strike(b);
		b->wait = IS_OVER;
		give_up(b, "the ROM does not start this first stage");
	} else if (b->due_ns == NEVER) {
		plan(b, LEAVE, pause_of(b, LEAVE_NS));
	}
	return (int)n;
}

static void leave_rom(struct br_sim_rom *b)
{
	uint64_t away = pause_of(b, RETURN_NS);

	if (is(b, BR_SIM_ROM_RESETS)) {
		strike(b);
		leave(b, "reset", IN_ROM, reset_ns(b));
	} else if (is(b, BR_SIM_ROM_NO_RETURN)) {
		strike(b);
		leave(b, "starts the first stage", NOWHERE, 0);
		give_up(b, "never comes back");
	} else if (is(b, BR_SIM_ROM_LOOP)) {
		strike(b);
		leave(b, "starts over", IN_ROM, away);
	} else {
		leave(b, "starts the first stage", IN_SECOND, away);
	}
}

/* ---- the second stage's requests ---- */

static void name_step(struct br_sim_rom *b)
{
	const struct br_sim_rom_step *s = b->step;
	const char *mark = s->count ? strstr(s->name, "%02u") : NULL;

	if (mark)
		snprintf(b->name, sizeof(b->name), "%.*s%02u%s", (int)(mark - s->name), s->name, b->series, mark + 4);
	else
		snprintf(b->name, sizeof(b->name), "%s", s->name ? s->name : "");
}

static void put_request(uint8_t out[static BR_USBBOOT_REQUEST], uint32_t command, const char *name)
{
	memset(out, 0, BR_USBBOOT_REQUEST);
	br_store_le32(out, command);
	memcpy(out + 4, name, strnlen(name, BR_USBBOOT_NAME));
}

/* The requests of quirks, the same one until it is answered. True: this is one; the regular ones wait. */
static bool odd_request(struct br_sim_rom *b, uint8_t out[static BR_USBBOOT_REQUEST])
{
	static const char *const names[] = { "../../etc/passwd", "/etc/passwd", NULL, "config\x01\x1b[2J.txt" };
	char text[BR_USBBOOT_NAME + 1];
	bool read = b->odd_step == 1;
	const char *name = "config.txt";
	unsigned steps = 2;

	switch (b->config.quirk) {
	case BR_SIM_ROM_NAME_DOTS:
	case BR_SIM_ROM_NAME_ABSOLUTE:
	case BR_SIM_ROM_NAME_LONG:
	case BR_SIM_ROM_NAME_UNPRINTABLE:
		memset(text, 'a', sizeof(text) - 1);
		text[sizeof(text) - 1] = 0;
		name = names[b->config.quirk - BR_SIM_ROM_NAME_DOTS];
		name = name ? name : text;
		break;
	case BR_SIM_ROM_ORDER: /* in the end it reads another file than it asked the size of */
		steps = 4;
		read = b->odd_step == 0 || b->odd_step == 3;
		name = b->odd_step == 2 ? ODD_NAME : name;
		break;
	case BR_SIM_ROM_FLOOD:
		snprintf(text, sizeof(text), "*FLOOD%llu*1", (unsigned long long)b->flood);
		name = text;
		break;
	case BR_SIM_ROM_MISSING:
		name = ODD_NAME;
		break;
	case BR_SIM_ROM_ENDLESS:
	case BR_SIM_ROM_COMMAND:
		break;
	default:
		return false;
	}
	if (b->odd_step == steps)
		return false;
	put_request(out, is(b, BR_SIM_ROM_COMMAND) ? (uint32_t)b->config.value : read, name);
	b->wait = read ? WANTS_FILE : WANTS_SIZE;
	b->is_odd = true;
	br_strcpy(b->name, sizeof(b->name), strlen(name) < sizeof(b->name) ? name : "aaa...");
	strike(b);
	return true;
}

static const char *metadata_value(const struct br_sim_rom *b)
{
	const char *v = b->config.kind->metadata[b->metadata + 1];

	return *v ? v : b->serial;
}

/* The next request of the second stage; all steps that need no request are behind it then. */
static void make_request(struct br_sim_rom *b, uint8_t out[static BR_USBBOOT_REQUEST])
{
	b->is_odd = b->is_metadata = false;
	if (odd_request(b, out))
		return;
	switch (b->step->action) {
	case BR_SIM_ROM_TELL:
		br_usbboot_encode_request(
			out, BR_USBBOOT_METADATA, b->config.kind->metadata[b->metadata], metadata_value(b));
		b->is_metadata = true;
		b->wait = WANTS_ACK;
		return;
	case BR_SIM_ROM_FETCH:
	case BR_SIM_ROM_PROBE:
		name_step(b);
		put_request(out, b->sized ? BR_USBBOOT_READ : BR_USBBOOT_GET_SIZE, b->name);
		b->wait = b->sized ? WANTS_FILE : WANTS_SIZE;
		if (!b->sized)
			b->asked_ns = b->now_ns;
		return;
	case BR_SIM_ROM_ERASE:
	case BR_SIM_ROM_END:
		break;
	}
	put_request(out, BR_USBBOOT_DONE, "done");
	b->wait = IS_OVER;
	b->phase = b->wrong ? BR_SIM_ROM_BAD : BR_SIM_ROM_GOOD;
	tell(b, BR_SIM_ROM_DONE, "", "", 0);
	plan(b, LEAVE, pause_of(b, LEAVE_NS));
}

static void be_quiet(struct br_sim_rom *b, uint64_t ns)
{
	b->quiet_since_ns = b->now_ns;
	b->quiet_ns = b->now_ns + ns;
}

/* Leaves without a word when the last step is reached, if it is of this kind. */
static void settle_step(struct br_sim_rom *b)
{
	if (b->step->action == BR_SIM_ROM_ERASE) {
		be_quiet(b, pause_of(b, ERASE_NS));
		b->step++;
	}
	if (b->step->action == BR_SIM_ROM_TELL && !b->config.kind->metadata)
		b->step++;
	if (b->step->action == BR_SIM_ROM_END && (is(b, BR_SIM_ROM_NO_DONE) || is(b, BR_SIM_ROM_NO_GADGET))) {
		strike(b);
		b->wait = IS_OVER;
		plan(b, LEAVE, pause_of(b, LEAVE_NS));
	}
}

static void next_step(struct br_sim_rom *b, bool found)
{
	const struct br_sim_rom_step *s = b->step;

	b->wait = HAS_REQUEST;
	b->sized = false;
	if (b->n_files == 3 && is(b, BR_SIM_ROM_SILENT) && !b->odd_told) {
		strike(b);
		be_quiet(b, b->config.value);
	}
	if (!found && s->needed) {
		give_up(b, "cannot go on without this file");
		leave(b, "a file it needs is not there", NOWHERE, 0);
		return;
	}
	if (s->count && b->series + 1 < s->count) {
		b->series++;
		return;
	}
	b->series = 0;
	b->step += 1 + (found ? s->skip_found : s->skip_absent);
	settle_step(b);
}

/* The answer to an odd request, when no bytes follow. */
static void odd_answer(struct br_sim_rom *b, uint64_t len)
{
	b->wait = HAS_REQUEST;
	if (is(b, BR_SIM_ROM_ENDLESS))
		return;
	if (is(b, BR_SIM_ROM_FLOOD)) {
		b->flood++;
		return;
	}
	b->odd_step++;
	if (is(b, BR_SIM_ROM_ORDER))
		return;
	if (len)
		complain(b, b->name, "this was served, with a length of %llu", (unsigned long long)len);
	else
		tell(b, BR_SIM_ROM_REFUSED, b->name, "", 0);
	if (is(b, BR_SIM_ROM_MISSING)) {
		give_up(b, "cannot go on without this file");
		leave(b, "a file it needs is not there", NOWHERE, 0);
	}
}

static int take_size(struct br_sim_rom *b, uint64_t len)
{
	uint64_t size;
	uint32_t crc;

	if (b->is_odd) {
		odd_answer(b, len);
		return 0;
	}
	b->size = len;
	if (b->config.expected) {
		bool there = b->config.expected(b->config.ctx, b->name, &size, &crc);

		if (there && size != len)
			complain(b, b->name, "a size of %llu, %llu was expected", (unsigned long long)len,
				(unsigned long long)size);
		if (!there && len)
			complain(b, b->name, "a size of %llu for a file that should not be there", (unsigned long long)len);
	}
	if (!len)
		tell(b, BR_SIM_ROM_ABSENT, b->name, "", 0);
	else if (b->step->action == BR_SIM_ROM_PROBE)
		tell(b, BR_SIM_ROM_FOUND, b->name, "", len);
	b->wait = HAS_REQUEST;
	b->sized = len && b->step->action == BR_SIM_ROM_FETCH;
	if (!b->sized)
		next_step(b, len != 0);
	return 0;
}

/* An announced length of a file. */
static int take_length(struct br_sim_rom *b, uint64_t len)
{
	if (b->is_odd && !len) {
		odd_answer(b, 0);
		return 0;
	}
	if (b->is_odd && !is(b, BR_SIM_ROM_ORDER))
		complain(b, b->name, "this was served, with a length of %llu", (unsigned long long)len);
	if (!b->is_odd && len != b->size)
		complain(b, b->name, "%llu bytes announced, its size was told as %llu", (unsigned long long)len,
			(unsigned long long)b->size);
	if (!len) {
		tell(b, BR_SIM_ROM_ABSENT, b->name, "", 0);
		next_step(b, false);
		return 0;
	}
	b->want = len;
	b->have = 0;
	return 0;
}

static void take_file(struct br_sim_rom *b)
{
	check(b, b->name);
	b->n_files++;
	tell(b, BR_SIM_ROM_FILE, b->name, "", b->have);
	if (b->is_odd) {
		b->wait = HAS_REQUEST;
		b->odd_step++;
	} else {
		next_step(b, true);
	}
}

static int take_ack(struct br_sim_rom *b, uint64_t len)
{
	if (len)
		complain(b, b->name, "%llu as the acknowledgement, 0 is one", (unsigned long long)len);
	b->wait = HAS_REQUEST;
	if (b->is_metadata) {
		tell(b, BR_SIM_ROM_METADATA, b->config.kind->metadata[b->metadata], metadata_value(b), 0);
		b->metadata += 2;
		if (!b->config.kind->metadata[b->metadata])
			next_step(b, true);
	}
	return 0;
}

static void leave_second(struct br_sim_rom *b)
{
	const char *why = "starts what it got";

	if (is(b, BR_SIM_ROM_NO_DONE) || is(b, BR_SIM_ROM_NO_GADGET)) {
		bool comes = is(b, BR_SIM_ROM_NO_DONE);

		b->phase = b->wrong ? BR_SIM_ROM_BAD : BR_SIM_ROM_GOOD;
		leave(b, why, comes ? IN_GADGET : NOWHERE, b->config.value);
	} else if (is(b, BR_SIM_ROM_GADGET)) {
		leave(b, why, IN_GADGET, b->config.value);
	} else {
		leave(b, why, NOWHERE, 0);
	}
}

/* ---- transfers ---- */

static int control_in(struct br_sim_rom *b, uint64_t said, uint8_t *data, size_t len)
{
	uint8_t request[BR_USBBOOT_REQUEST];
	size_t n = len < sizeof(request) ? len : sizeof(request);

	if (said != len)
		complain(b, "", "wValue and wIndex say %llu bytes, wLength %zu", (unsigned long long)said, len);
	if (b->place == IN_ROM && b->wait == HAS_STATUS)
		return say_status(b, data, len);
	if ((b->is_odd || is(b, BR_SIM_ROM_SHORT_REQUEST)) && (b->wait == WANTS_SIZE || b->wait == WANTS_FILE) &&
		b->have == b->want)
		b->wait = HAS_REQUEST; /* the host need not answer that: it may ask again */
	if (b->place != IN_SECOND || b->wait != HAS_REQUEST) {
		if (b->place != IN_ROM || !is(b, BR_SIM_ROM_ROM_INDEX))
			complain(b, "", "a read of %zu bytes while there is nothing to say", len);
		else
			strike(b);
		return -EPIPE;
	}
	if (is(b, BR_SIM_ROM_STALL_REQUEST)) {
		strike(b);
		return -EPIPE;
	}
	if (len != sizeof(request))
		complain(b, "", "a read of %zu bytes, requests have 260", len);
	make_request(b, request);
	if (is(b, BR_SIM_ROM_SHORT_REQUEST)) {
		strike(b);
		n = n < b->config.value ? n : (size_t)b->config.value;
	}
	memcpy(data, request, n);
	return (int)n;
}

static int control_out(struct br_sim_rom *b, uint64_t len)
{
	if (b->have && b->have < b->want) {
		complain(b, "", "a length of %llu, with %llu of %llu announced bytes still to come", (unsigned long long)len,
			(unsigned long long)(b->want - b->have), (unsigned long long)b->want);
		return -EPIPE;
	}
	b->want = b->have = 0; /* one of which nothing came yet may be announced again */
	switch (b->wait) {
	case WANTS_MESSAGE:
		if (len != BR_USBBOOT_FIRST)
			break;
		b->want = len;
		b->have = 0;
		return 0;
	case WANTS_STAGE:
		if (len != b->stage_len)
			break;
		b->want = len;
		b->have = 0;
		return 0;
	case WANTS_SIZE:
		return take_size(b, len);
	case WANTS_FILE:
		return take_length(b, len);
	case WANTS_ACK:
		return take_ack(b, len);
	case HAS_STATUS:
	case HAS_REQUEST:
	case IS_OVER:
		break;
	}
	if (b->place == IN_SECOND && is(b, BR_SIM_ROM_STAGE_INDEX))
		strike(b);
	else
		complain(b, "", "a length of %llu that nobody asked for", (unsigned long long)len);
	return -EPIPE;
}

int br_sim_rom_control(struct br_sim_rom *b, uint64_t now_ns, uint8_t type, uint8_t request, uint16_t value,
	uint16_t index, uint8_t *data, size_t len)
{
	uint32_t said = br_usbboot_setup_len(value, index);

	br_sim_rom_step(b, now_ns);
	if (b->place == NOWHERE)
		return -ENODEV;
	if ((type != BR_USBBOOT_OUT && type != BR_USBBOOT_IN) || request != 0 || b->place == IN_GADGET)
		return -EPIPE; /* mass storage of a composite, drivers that probe */
	if (b->misaligned)
		return -EPIPE;
	if (b->place == IN_ROM && is(b, BR_SIM_ROM_MUTE)) {
		strike(b);
		return -EAGAIN;
	}
	if (b->quiet_ns > now_ns)
		return -EAGAIN;
	if (b->place == IN_SECOND && b->wait == IS_OVER && (is(b, BR_SIM_ROM_NO_DONE) || is(b, BR_SIM_ROM_NO_GADGET)))
		return -EAGAIN; /* it has gone on already */
	if (type == BR_USBBOOT_IN)
		return control_in(b, said, data, len);
	if (len)
		complain(b, "", "%zu bytes with a request that has none", len);
	return control_out(b, said);
}

void br_sim_rom_cancelled(struct br_sim_rom *b, uint64_t now_ns)
{
	br_sim_rom_step(b, now_ns);
	if (b->place != IN_SECOND || b->quiet_ns <= now_ns)
		return;
	if (now_ns - b->quiet_since_ns < READ_PATIENCE_NS)
		complain(b, "", "gave up reading while the board was silent, after less than 20 s");
	b->misaligned = true;
}

/* One of these quirks strikes in the middle of what is received now; reached: so many bytes of it. */
static bool strikes_amid(struct br_sim_rom *b, uint64_t reached, enum br_sim_rom_quirk in_rom,
	enum br_sim_rom_quirk in_file)
{
	bool here = (b->wait == WANTS_STAGE && is(b, in_rom)) || (b->wait == WANTS_FILE && is(b, in_file) && b->n_files == 1);

	if (!here || reached < b->want / 2)
		return false;
	if (b->config.quirk == BR_SIM_ROM_STALL_ROM || b->config.quirk == BR_SIM_ROM_STALL_FILE) {
		if (b->config.value && b->stalls == b->config.value)
			return false;
		b->stalls++;
	}
	strike(b);
	return true;
}

static int complete(struct br_sim_rom *b)
{
	if (b->wait == WANTS_MESSAGE)
		return take_message(b);
	if (b->wait == WANTS_STAGE)
		return take_stage(b);
	take_file(b);
	return 0;
}

static uint8_t own_endpoint(const struct br_sim_rom *b)
{
	return b->place == IN_ROM && b->config.kind->composite ? 3 : 1;
}

int br_sim_rom_clear_halt(struct br_sim_rom *b, uint64_t now_ns, uint8_t ep)
{
	br_sim_rom_step(b, now_ns);
	if (b->place == NOWHERE)
		return -ENODEV;
	if (ep == own_endpoint(b) && b->place != IN_GADGET)
		b->halted = false;
	return 0;
}

int br_sim_rom_bulk_out(struct br_sim_rom *b, uint64_t now_ns, uint8_t ep, const uint8_t *data, size_t len)
{
	br_sim_rom_step(b, now_ns);
	if (b->place == NOWHERE)
		return -ENODEV;
	if (ep != own_endpoint(b) || b->place == IN_GADGET)
		return -EPIPE;
	if (b->halted)
		return -EPIPE;
	if (b->busy_ns > now_ns)
		return -EAGAIN;
	if (len > b->want - b->have) {
		complain(b, "", "%zu bytes, %llu were announced and to come", len, (unsigned long long)(b->want - b->have));
		return -EPIPE;
	}
	if (len > BR_USBBOOT_PIECE)
		complain(b, "", "%zu bytes at once: some hosts refuse more than 16 KiB", len);
	if (!len)
		return 0;
	if (strikes_amid(b, b->have + len, BR_SIM_ROM_STALL_ROM, BR_SIM_ROM_STALL_FILE)) {
		/* it begins anew with what it was at */
		b->want = b->have = 0;
		b->halted = true;
		b->wait = b->place == IN_ROM ? WANTS_MESSAGE : HAS_REQUEST;
		b->sized = false;
		return -EPIPE;
	}
	if (b->have < sizeof(b->head))
		memcpy(b->head + b->have, data, len < sizeof(b->head) - b->have ? len : sizeof(b->head) - b->have);
	b->crc = br_crc32c(b->have ? b->crc : 0, data, len);
	b->have += len;
	if (is(b, BR_SIM_ROM_SLOW)) {
		strike(b);
		b->busy_ns = now_ns + len * BR_S / b->config.value;
	}
	if (strikes_amid(b, b->have, BR_SIM_ROM_VANISH_ROM, BR_SIM_ROM_VANISH)) {
		leave(b, "vanished", NOWHERE, 0);
		give_up(b, "vanished");
		return -ENODEV;
	}
	return b->have == b->want ? complete(b) : 0;
}

/* ---- time ---- */

static void do_due(struct br_sim_rom *b)
{
	switch (b->due) {
	case COME:
		come(b);
		return;
	case LEAVE:
		if (b->place == IN_ROM)
			leave_rom(b);
		else
			leave_second(b);
		return;
	}
}

void br_sim_rom_step(struct br_sim_rom *b, uint64_t now_ns)
{
	if (!b->powered) {
		b->powered = true;
		b->power_ns = b->now_ns = now_ns;
		b->next = IN_ROM;
		plan(b, COME, pause_of(b, POWER_NS));
	}
	if (now_ns > b->now_ns)
		b->now_ns = now_ns;
	while (b->due_ns <= b->now_ns)
		do_due(b);
}

uint64_t br_sim_rom_deadline(const struct br_sim_rom *b)
{
	uint64_t t = b->powered ? b->due_ns : 0;

	if (b->quiet_ns > b->now_ns && b->quiet_ns < t)
		t = b->quiet_ns;
	if (b->busy_ns > b->now_ns && b->busy_ns < t)
		t = b->busy_ns;
	return t;
}

enum br_sim_rom_phase br_sim_rom_phase(const struct br_sim_rom *b)
{
	return b->phase;
}

unsigned br_sim_rom_wrong(const struct br_sim_rom *b)
{
	return b->wrong;
}

unsigned br_sim_rom_attached(const struct br_sim_rom *b)
{
	return b->place == NOWHERE ? 0 : b->attachments;
}

const uint8_t *br_sim_rom_device(const struct br_sim_rom *b)
{
	return b->descriptors.device;
}

const uint8_t *br_sim_rom_configuration(const struct br_sim_rom *b)
{
	return b->descriptors.config;
}

int br_sim_rom_string(const struct br_sim_rom *b, uint8_t index, uint8_t out[static 255])
{
	static const uint8_t languages[] = { 4, 3, 0x09, 0x04 }; /* English */
	const char *s;
	size_t n;

	if (index == 0) {
		memcpy(out, languages, sizeof(languages));
		return sizeof(languages);
	}
	if (index > BR_ARRAY_SIZE(b->descriptors.strings) || !b->descriptors.strings[index - 1])
		return -EPIPE;
	s = b->descriptors.strings[index - 1];
	n = strnlen(s, 126);
	out[0] = (uint8_t)(2 + 2 * n);
	out[1] = 3;
	for (size_t i = 0; i < n; i++)
		br_store_le16(out + 2 + 2 * i, (uint8_t)s[i]);
	return out[0];
}

struct br_sim_rom *br_sim_rom_new(const struct br_sim_rom_config *config)
{
	struct br_sim_rom *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->config = *config;
	b->model = br_usbboot_model(BR_USBBOOT_VENDOR, config->kind->product_id);
	b->due_ns = NEVER;
	snprintf(b->serial, sizeof(b->serial), "%08x", config->serial);
	return b;
}

void br_sim_rom_free(struct br_sim_rom *b)
{
	free(b);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* One board on one port path: its device comes and goes, time passes, and at the end there is a verdict. */
#include "usb/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "usb/session_priv.h"

int br_usb_session_new(const struct br_usb_session_options *options, const char *path, struct br_usb_session **ret)
{
	struct br_usb_session *s = calloc(1, sizeof(*s));
	int r = s ? br_strcpy(s->path, sizeof(s->path), path) : -ENOMEM;

	if (r < 0) {
		free(s);
		return r;
	}
	s->o = *options;
	s->o.back_ns = s->o.back_ns ? s->o.back_ns : 30 * BR_S;
	s->o.next_ns = s->o.next_ns ? s->o.next_ns : 60 * BR_S;
	s->o.read_ns = s->o.read_ns ? s->o.read_ns : 60 * BR_S;
	s->o.resets = s->o.resets ? s->o.resets : 3;
	s->deadline_ns = s->speak_ns = UINT64_MAX;
	*ret = s;
	return 0;
}

static void close_device(struct br_usb_session *s)
{
	if (s->dev && s->open)
		s->o.host->ops->close(s->o.host, s->dev);
	s->open = false;
}

void br_usb_session_free(struct br_usb_session *s)
{
	if (!s)
		return;
	close_device(s);
	br_usb_drop_file(s);
	br_usb_log_done(s);
	free(s);
}

void br_usb_drop_file(struct br_usb_session *s)
{
	if (s->has_file)
		s->o.files->ops->close(s->o.files, &s->file);
	s->has_file = false;
}

int br_usb_find(struct br_usb_session *s, const char *name, uint64_t max, struct br_error *err)
{
	int r;

	br_usb_drop_file(s);
	if (br_strcpy(s->name, sizeof(s->name), name) < 0)
		return br_error_set(err, ENAMETOOLONG, "a name longer than %d bytes", BR_USBBOOT_NAME - 1);
	r = s->o.files->ops->open(s->o.files, s->dev, s->model, name, &s->file, err);
	if (r < 0)
		return r;
	s->has_file = true;
	s->opened += s->file.size;
	if (s->file.size <= max)
		return 0;
	r = br_error_set(err, EFBIG, "%llu bytes: the protocol ends at %llu", (unsigned long long)s->file.size,
		(unsigned long long)max);
	br_usb_drop_file(s);
	return r;
}

void br_usb_opening(struct br_usb_session *s, void (*again)(struct br_usb_session *s, uint64_t now_ns), uint64_t now_ns)
{
	if (s->state != BR_USB_S_OPENING)
		s->opening_until_ns = now_ns + BR_USB_OPENING_NS;
	s->again = again;
	br_usb_enter(s, BR_USB_S_OPENING, now_ns + BR_USB_OPENING_POLL_NS);
}

void br_usb_enter(struct br_usb_session *s, enum br_usb_state state, uint64_t deadline_ns)
{
	s->state = state;
	s->deadline_ns = deadline_ns;
	s->speak_ns = UINT64_MAX;
}

void br_usb_end(struct br_usb_session *s, enum br_usb_verdict verdict, uint64_t now_ns, const char *fmt, ...)
{
	va_list ap;

	if (s->verdict)
		return;
	va_start(ap, fmt);
	vsnprintf(s->reason, sizeof(s->reason), fmt, ap);
	va_end(ap);
	s->verdict = verdict;
	br_usb_enter(s, BR_USB_S_ENDED, UINT64_MAX);
	close_device(s);
	br_usb_drop_file(s);
	br_usb_log_step(s, BR_USB_STEP_VERDICT, br_usb_verdict_name(verdict), s->reason, s->bytes, now_ns - s->started_ns, now_ns);
}

static bool is_rom_state(enum br_usb_state state)
{
	return state >= BR_USB_S_ROM_HEAD && state <= BR_USB_S_ROM_LEAVE;
}

static void dispatch_failure(struct br_usb_session *s, enum br_usb_status status, uint64_t now_ns)
{
	if (is_rom_state(s->state))
		br_usb_rom_failed(s, status, now_ns);
	else
		br_usb_files_failed(s, status, now_ns);
}

void br_usb_failed(struct br_usb_session *s, enum br_usb_status status, uint64_t now_ns)
{
	/* a device that goes is seen by failing transfers first */
	if ((status == BR_USB_GONE || status == BR_USB_IO) && s->state != BR_USB_S_ROM_STATUS && !s->done_asked) {
		s->was = s->state;
		s->trouble = status;
		br_usb_enter(s, BR_USB_S_GOING, now_ns + BR_USB_GOING_NS);
		return;
	}
	dispatch_failure(s, status, now_ns);
}

static void begin(struct br_usb_session *s, uint64_t now_ns)
{
	if (br_usbboot_is_rom(s->dev->serial_index)) {
		br_usb_rom_begin(s, now_ns);
		return;
	}
	br_usb_files_ask(s, now_ns);
}

static void try_open(struct br_usb_session *s, uint64_t now_ns)
{
	struct br_error err = BR_ERROR_NULL;
	int r = s->o.host->ops->open(s->o.host, s->dev, s->ends.interface, &err);

	if (!r) {
		s->open = true;
		begin(s, now_ns);
	} else if (now_ns < s->open_until_ns) {
		br_usb_enter(s, BR_USB_S_OPEN, now_ns + BR_USB_OPEN_RETRY_NS);
	} else {
		br_usb_end(s, r == -EACCES || r == -EPERM ? BR_USB_NO_PERMISSION : BR_USB_NOT_OPENED, now_ns, "%s",
			br_error_text(&err, r));
	}
}

/* A write was begun and not ended; one that comes after it, an answer too, makes it whole again. */
static bool is_within(const struct br_usb_session *s)
{
	return s->write.done < s->write.len;
}

/* Something else than a board in boot mode is on the path now. */
static void other_arrived(struct br_usb_session *s, const struct br_usb_device *dev, uint64_t now_ns)
{
	snprintf(s->other, sizeof(s->other), "%04x:%04x", dev->vendor, dev->product);
	/* nothing that it was given can have started that; the board may come yet */
	if (!s->files || is_within(s))
		return;
	br_usb_log_step(s, BR_USB_STEP_NEXT_STAGE, s->other, NULL, 0, 0, now_ns);
	br_usb_end(s, BR_USB_NEXT_STAGE, now_ns, "left after %u file%s, and %s came up on its port", s->files,
		s->files == 1 ? "" : "s", s->other);
}

/* True: the session goes on. */
static bool count_round(struct br_usb_session *s, bool rom, uint64_t now_ns)
{
	bool first = !s->rounds && !s->started_ns;

	if (first) {
		s->started_ns = now_ns;
		return true;
	}
	if (!rom && s->sent && !s->speaking)
		return true; /* as it must be */
	if (++s->rounds <= s->o.resets)
		return true;
	if (rom && s->sent_once && !s->speaking)
		br_usb_end(s, BR_USB_RESETS, now_ns,
			"the ROM took %s and came back as it was, %u times: the file is not for a %s, or not signed as the board wants it",
			s->model->first_stage, s->rounds, s->model->chip);
	else
		br_usb_end(s, BR_USB_RESETS, now_ns,
			"the board began anew %u times, last after %s%s: power, cable or wrong files", s->rounds,
			s->files ? "the file " : "no file", s->files ? s->name : "");
	return false;
}

void br_usb_session_arrived(struct br_usb_session *s, struct br_usb_device *dev, uint64_t now_ns)
{
	const struct br_usbboot_model *model = br_usbboot_model(dev->vendor, dev->product);
	bool rom = br_usbboot_is_rom(dev->serial_index);

	if (s->verdict)
		return;
	if (!model) {
		other_arrived(s, dev, now_ns);
		return;
	}
	s->dev = dev;
	s->model = model;
	s->ends = br_usbboot_ends(dev->n_interfaces);
	if (dev->serial[0])
		br_strcpy(s->serial, sizeof(s->serial), dev->serial);
	if (!count_round(s, rom, now_ns))
		return;
	br_usb_log_step(s, BR_USB_STEP_FOUND, rom ? "rom" : "file-server", model->chip, 0, 0, now_ns);
	s->tries = s->rom_tries = s->senseless = 0;
	s->speaking = !rom;
	if (rom) { /* of what it fetched before, nothing is left in it */
		s->files = 0;
		s->bytes = 0;
	}
	s->open_until_ns = now_ns + BR_USB_OPEN_NS;
	try_open(s, now_ns);
}

/* It left while it was a file server. */
static void left_serving(struct br_usb_session *s, uint64_t now_ns)
{
	if (s->done_asked)
		br_usb_files_done(s, now_ns);
	else if (s->files && s->o.leave_ok && !is_within(s) && s->was != BR_USB_S_OPENING)
		br_usb_end(s, BR_USB_DONE, now_ns, "left after %u file%s, the last %s", s->files, s->files == 1 ? "" : "s", s->name);
	else
		br_usb_enter(s, BR_USB_S_AWAY, now_ns + (s->files ? s->o.next_ns : s->o.back_ns));
}

void br_usb_session_left(struct br_usb_session *s, struct br_usb_device *dev, uint64_t now_ns)
{
	if (dev != s->dev)
		return;
	close_device(s);
	s->dev = NULL;
	if (s->verdict)
		return;
	if (s->state != BR_USB_S_GOING)
		s->was = s->state;
	br_usb_log_step(s, BR_USB_STEP_LEFT, NULL, NULL, 0, 0, now_ns);
	br_usb_drop_file(s);
	if (s->was >= BR_USB_S_ASK)
		left_serving(s, now_ns);
	else
		br_usb_enter(s, BR_USB_S_AWAY, now_ns + (s->files ? s->o.next_ns : s->o.back_ns));
}

static void take_completion(struct br_usb_session *s, struct br_usb_transfer *t, uint64_t now_ns)
{
	switch (s->state) {
	case BR_USB_S_ROM_HEAD:
	case BR_USB_S_ROM_STAGE:
		if (br_usb_write_completed(s, t, now_ns))
			br_usb_rom_written(s, now_ns);
		break;
	case BR_USB_S_ROM_STATUS:
		br_usb_rom_status(s, t, now_ns);
		break;
	case BR_USB_S_ASK:
		br_usb_files_request(s, t, now_ns);
		break;
	case BR_USB_S_ANSWER:
	case BR_USB_S_FILE:
		if (br_usb_write_completed(s, t, now_ns))
			br_usb_files_written(s, now_ns);
		break;
	case BR_USB_S_CLEAR:
		br_usb_write_cleared(s, t, now_ns);
		break;
	default: /* of what was given up */
		break;
	}
}

void br_usb_session_completed(struct br_usb_session *s, struct br_usb_transfer *t, uint64_t now_ns)
{
	t->user = NULL;
	s->in_flight--;
	if (!s->verdict)
		take_completion(s, t, now_ns);
}

/* Nothing came back in time. */
static void never_back(struct br_usb_session *s, uint64_t now_ns)
{
	char wait[16];
	const char *other = s->other[0] ? "; on its port came " : "";

	br_format_duration(wait, sizeof(wait), s->files ? s->o.next_ns : s->o.back_ns);
	if (s->files && is_within(s))
		br_usb_end(s, BR_USB_VANISHED, now_ns,
			"left at byte %llu of the %llu of %s, after %u whole file%s, and did not come back in %s: cable, power, or it crashed%s%s",
			(unsigned long long)s->write.done, (unsigned long long)s->write.len, s->name, s->files, s->files == 1 ? "" : "s",
			wait, other, s->other);
	else if (s->files)
		br_usb_end(s, BR_USB_VANISHED, now_ns,
			"left after %u file%s (the last asked for: %s) without being done, and no next stage came on its port in %s",
			s->files, s->files == 1 ? "" : "s", s->name, wait);
	else if (s->sent && !s->speaking)
		br_usb_end(s, BR_USB_NEVER_BACK, now_ns, "the ROM never came back after the first stage (%s): cable or wrong bootcode%s%s",
			wait, other, s->other);
	else if (s->speaking)
		br_usb_end(s, BR_USB_VANISHED, now_ns, "left before it had a file, and did not come back in %s: cable, power or wrong files%s%s",
			wait, other, s->other);
	else
		br_usb_end(s, BR_USB_VANISHED, now_ns, "left before it had the first stage, and did not come back in %s: cable or power%s%s",
			wait, other, s->other);
}

static void open_again(struct br_usb_session *s, uint64_t now_ns)
{
	char wait[16];

	if (now_ns >= s->opening_until_ns)
		br_usb_end(s, BR_USB_BAD_PAYLOAD, now_ns, "%s: the payload did not give it in %s", s->name,
			br_format_duration(wait, sizeof(wait), BR_USB_OPENING_NS));
	else
		s->again(s, now_ns);
}

static void time_is_up(struct br_usb_session *s, uint64_t now_ns)
{
	char wait[16];

	switch (s->state) {
	case BR_USB_S_AWAY:
		never_back(s, now_ns);
		break;
	case BR_USB_S_OPEN:
		try_open(s, now_ns);
		break;
	case BR_USB_S_ROM_PAUSE:
		br_usb_enter(s, BR_USB_S_ROM_STATUS, UINT64_MAX);
		br_usb_read(s, BR_USBBOOT_STATUS, BR_USB_SPEAK_NS, now_ns);
		break;
	case BR_USB_S_ROM_LEAVE:
		br_usb_end(s, BR_USB_NEVER_BACK, now_ns,
			"the ROM has the first stage%s, and in %s neither left the bus nor came back: wrong bootcode; power the board off and on",
			s->no_status ? " (its status could not be read)" : " and said that it is good",
			br_format_duration(wait, sizeof(wait), s->o.back_ns));
		break;
	case BR_USB_S_PAUSE:
		br_usb_files_ask(s, now_ns);
		break;
	case BR_USB_S_OPENING:
		open_again(s, now_ns);
		break;
	case BR_USB_S_GOING: /* it stays */
		s->state = s->was;
		dispatch_failure(s, s->trouble, now_ns);
		break;
	default:
		if (!s->stuck) { /* was this program kept from its work (a busy host's kernel, a suspended machine)? then it comes now */
			s->stuck = true;
			s->deadline_ns = now_ns + BR_USB_STUCK_NS;
			break;
		}
		br_usb_end(s, BR_USB_BROKEN_OFF, now_ns, "%s: the transfer neither ended nor timed out: trouble of this machine's USB host",
			br_usb_session_doing(s));
		break;
	}
}

uint64_t br_usb_session_tick(struct br_usb_session *s, uint64_t now_ns)
{
	uint64_t next;

	if (s->verdict)
		return UINT64_MAX;
	if (s->started_ns && now_ns - s->started_ns >= BR_USB_WHOLE_NS)
		br_usb_end(s, BR_USB_ENDLESS, now_ns, "not done after two hours, %u files; given up", s->files);
	else if (now_ns >= s->deadline_ns)
		time_is_up(s, now_ns);
	if (s->speak_ns <= now_ns) {
		s->speak_ns = UINT64_MAX;
		br_usb_log_trouble(s, now_ns, "still waiting for the board to ask: silent for %d s (it may be writing its EEPROM)",
			(int)(BR_USB_SPEAK_NS / BR_S));
	}
	if (s->verdict)
		return UINT64_MAX;
	next = s->started_ns ? s->started_ns + BR_USB_WHOLE_NS : UINT64_MAX;
	next = s->deadline_ns < next ? s->deadline_ns : next;
	return s->speak_ns < next ? s->speak_ns : next;
}

void br_usb_session_abort(struct br_usb_session *s, const char *reason, uint64_t now_ns)
{
	br_usb_end(s, BR_USB_ABORTED, now_ns, "%s", reason);
}

enum br_usb_verdict br_usb_session_verdict(const struct br_usb_session *s)
{
	return s->verdict;
}

const char *br_usb_session_reason(const struct br_usb_session *s)
{
	return s->reason;
}

bool br_usb_session_busy(const struct br_usb_session *s)
{
	return s->in_flight > 0;
}

const char *br_usb_session_path(const struct br_usb_session *s)
{
	return s->path;
}

const struct br_usbboot_model *br_usb_session_model(const struct br_usb_session *s)
{
	return s->model;
}

const char *br_usb_session_serial(const struct br_usb_session *s)
{
	return s->serial;
}

const char *br_usb_session_doing(const struct br_usb_session *s)
{
	static const char *const words[BR_USB_N_STATES] = {
		[BR_USB_S_AWAY] = "waits for the board to come back",
		[BR_USB_S_OPEN] = "opens the device",
		[BR_USB_S_ROM_HEAD] = "begins the first stage",
		[BR_USB_S_ROM_PAUSE] = "waits for the ROM",
		[BR_USB_S_ROM_STATUS] = "asks the ROM how it was",
		[BR_USB_S_ROM_LEAVE] = "waits for the second stage",
		[BR_USB_S_ASK] = "waits for the board to ask",
		[BR_USB_S_ANSWER] = "answers the board",
		[BR_USB_S_OPENING] = "waits for the file that it is to send",
		[BR_USB_S_PAUSE] = "pauses before it asks again",
		[BR_USB_S_GOING] = "sees whether the board is leaving",
		[BR_USB_S_CLEAR] = "clears the board's stall",
		[BR_USB_S_ENDED] = "has ended",
	};

	if (s->state == BR_USB_S_FILE || s->state == BR_USB_S_ROM_STAGE)
		return s->name;
	if (s->state == BR_USB_S_AWAY && s->sent && !s->speaking)
		return words[BR_USB_S_ROM_LEAVE];
	return words[s->state];
}

void br_usb_session_progress(const struct br_usb_session *s, uint64_t *ret_done, uint64_t *ret_total)
{
	bool sending = s->state == BR_USB_S_FILE || s->state == BR_USB_S_ROM_STAGE;

	*ret_done = sending ? s->write.done : 0;
	*ret_total = sending ? s->write.len : 0;
}

uint64_t br_usb_session_bytes(const struct br_usb_session *s, unsigned *ret_files)
{
	if (ret_files)
		*ret_files = s->files;
	return s->bytes;
}

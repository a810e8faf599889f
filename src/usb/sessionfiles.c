/* SPDX-License-Identifier: Apache-2.0 */
/* The file server: the board asks for sizes and files by name until it is done. */
#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "usb/session_priv.h"

void br_usb_files_ask(struct br_usb_session *s, uint64_t now_ns)
{
	br_usb_enter(s, BR_USB_S_ASK, UINT64_MAX);
	s->speak_ns = now_ns + BR_USB_SPEAK_NS;
	/* one read for as long as the board may be silent: one that is taken back and issued anew gets out of step */
	br_usb_read(s, BR_USBBOOT_REQUEST, s->o.read_ns, now_ns);
}

static void answer(struct br_usb_session *s, uint32_t len, uint64_t now_ns)
{
	br_usb_enter(s, BR_USB_S_ANSWER, UINT64_MAX);
	br_usb_write(s, NULL, len, now_ns);
}

static void do_again(struct br_usb_session *s, uint64_t now_ns);

/* Each is fetched, made or mapped: a board that never takes what it asks for must not wear out disks. */
static bool asks_too_much(struct br_usb_session *s, uint64_t now_ns)
{
	char opened[16], given[16];

	if (s->opened / BR_USB_OPENED_TIMES <= s->given + BR_USB_OPENED_MAX / BR_USB_OPENED_TIMES)
		return false;
	br_usb_end(s, BR_USB_ENDLESS, now_ns, "it asked for the sizes of %s and took %s of it; no board does that",
		br_format_size(opened, sizeof(opened), s->opened), br_format_size(given, sizeof(given), s->given));
	return true;
}

/* Opens what is asked for: 1, 0 when "not there" was answered, negative when the session has ended, or is to do it again. What is open
 * stays as long as the board asks for the same: size and bytes are of one file. */
static int find(struct br_usb_session *s, const char *name, uint64_t now_ns)
{
	struct br_error err = BR_ERROR_NULL;
	int r;

	if (s->has_file && !strcmp(s->name, name))
		return 1;
	if (asks_too_much(s, now_ns))
		return -E2BIG;
	r = br_usb_find(s, name, UINT32_MAX, &err);
	if (!r)
		return 1;
	if (r == -EINPROGRESS) {
		br_usb_opening(s, do_again, now_ns);
		return r;
	}
	if (r != -ENOENT) { /* a file that is there and may not be read is not missing: the board would go on without it */
		br_usb_end(s, BR_USB_BAD_PAYLOAD, now_ns, "%s: %s", name, br_error_text(&err, r));
		return r;
	}
	br_usb_log_step(s, BR_USB_STEP_MISSING, name, err.text, 0, 0, now_ns);
	answer(s, 0, now_ns);
	return 0;
}

static void get_size(struct br_usb_session *s, const struct br_usbboot_request *req, uint64_t now_ns)
{
	if (find(s, req->name, now_ns) == 1)
		answer(s, (uint32_t)s->file.size, now_ns);
}

static void read_file(struct br_usb_session *s, const struct br_usbboot_request *req, uint64_t now_ns)
{
	if (find(s, req->name, now_ns) != 1)
		return;
	s->file_ns = now_ns;
	br_usb_enter(s, BR_USB_S_FILE, UINT64_MAX);
	br_usb_write(s, NULL, s->file.size, now_ns);
}

void br_usb_files_done(struct br_usb_session *s, uint64_t now_ns)
{
	char size[16];

	br_usb_log_step(s, BR_USB_STEP_DONE, NULL, NULL, s->bytes, 0, now_ns);
	br_usb_end(s, BR_USB_DONE, now_ns, "done after %u file%s, %s", s->files, s->files == 1 ? "" : "s",
		br_format_size(size, sizeof(size), s->bytes));
}

/* It waits for a length of 0 before it goes; whether it gets it changes nothing for us. */
static void done_ack(struct br_usb_session *s, uint64_t now_ns)
{
	s->done_asked = true;
	br_usb_drop_file(s);
	answer(s, 0, now_ns);
}

static void metadata(struct br_usb_session *s, const struct br_usbboot_request *req, uint64_t now_ns)
{
	br_usb_log_metadata(s, req->name, req->value, now_ns);
	answer(s, 0, now_ns);
}

static void refuse_name(struct br_usb_session *s, const struct br_usbboot_request *req, const char *why, uint64_t now_ns)
{
	br_usb_log_step(s, BR_USB_STEP_MISSING, req->name, why, 0, 0, now_ns);
	answer(s, 0, now_ns);
}

static void senseless(struct br_usb_session *s, const char *why, uint64_t now_ns)
{
	if (++s->senseless >= BR_USB_TRIES) {
		br_usb_end(s, BR_USB_NO_SENSE, now_ns, "what the board sends is no request of files, %d times: %s",
			BR_USB_TRIES, why);
		return;
	}
	br_usb_log_trouble(s, now_ns, "%s; asked again", why);
	br_usb_enter(s, BR_USB_S_PAUSE, now_ns + BR_USB_PAUSE_NS);
}

static void take(struct br_usb_session *s, const struct br_usbboot_request *req, uint64_t now_ns)
{
	s->senseless = 0;
	s->asked = *req;
	switch (req->command) {
	case BR_USBBOOT_GET_SIZE:
		get_size(s, req, now_ns);
		break;
	case BR_USBBOOT_READ:
		read_file(s, req, now_ns);
		break;
	case BR_USBBOOT_DONE:
		br_usb_files_done(s, now_ns);
		break;
	case BR_USBBOOT_METADATA:
		metadata(s, req, now_ns);
		break;
	case BR_USBBOOT_DONE_ACK:
		done_ack(s, now_ns);
		break;
	}
}

static void do_again(struct br_usb_session *s, uint64_t now_ns)
{
	const struct br_usbboot_request req = s->asked;

	take(s, &req, now_ns);
}

void br_usb_files_request(struct br_usb_session *s, const struct br_usb_transfer *t, uint64_t now_ns)
{
	struct br_usbboot_request req;
	struct br_error err = BR_ERROR_NULL;
	int r;

	if (t->status != BR_USB_OK) {
		br_usb_failed(s, t->status, now_ns);
		return;
	}
	if (++s->requests > BR_USB_REQUESTS_MAX) {
		br_usb_end(s, BR_USB_ENDLESS, now_ns, "%d requests without an end, the last for \"%s\"; no board asks as much",
			BR_USB_REQUESTS_MAX, s->name);
		return;
	}
	r = br_usbboot_decode_request(s->control_data, t->done, &req, &err);
	if (r == -EACCES)
		refuse_name(s, &req, err.text, now_ns);
	else if (r < 0)
		senseless(s, br_error_text(&err, r), now_ns);
	else
		take(s, &req, now_ns);
}

void br_usb_files_written(struct br_usb_session *s, uint64_t now_ns)
{
	if (s->state == BR_USB_S_FILE) {
		s->tries = 0; /* not after an answer: a board that stalls in a file asks for its size again, for ever */
		s->files++;
		s->bytes += s->file.size;
		s->given += s->file.size;
		br_usb_log_step(s, BR_USB_STEP_FILE, s->name, NULL, s->file.size, now_ns - s->file_ns, now_ns);
	} else if (s->done_asked) {
		br_usb_files_done(s, now_ns);
		return;
	}
	br_usb_files_ask(s, now_ns);
}

/* The device is there still, and a transfer of it failed. */
void br_usb_files_failed(struct br_usb_session *s, enum br_usb_status status, uint64_t now_ns)
{
	char wait[16];

	if (s->done_asked) {
		br_usb_files_done(s, now_ns);
		return;
	}
	if (s->state == BR_USB_S_ASK && status == BR_USB_TIMEOUT) {
		br_usb_end(s, BR_USB_SILENT, now_ns, "the board asked for nothing %s in %s, and did not say that it is done%s%s",
			s->files ? "more" : "at all", br_format_duration(wait, sizeof(wait), s->o.read_ns),
			s->files ? "; the last was " : "", s->files ? s->name : ": wrong first stage, or it has crashed");
		return;
	}
	if (++s->tries >= BR_USB_TRIES) {
		br_usb_end(s, BR_USB_BROKEN_OFF, now_ns, "%s: %s, %d times in a row; unplug the board, try another cable or port",
			br_usb_session_doing(s), br_usb_status_name(status), BR_USB_TRIES);
		return;
	}
	br_usb_log_trouble(s, now_ns, "%s: %s; once more", br_usb_session_doing(s), br_usb_status_name(status));
	br_usb_enter(s, BR_USB_S_PAUSE, now_ns + BR_USB_PAUSE_NS);
}

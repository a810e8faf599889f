/* SPDX-License-Identifier: Apache-2.0 */
/* The boot ROM: it takes a message with a length, the first stage, says whether that is good, and leaves the bus. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "usb/session_priv.h"

/* 0, or the session has ended, or is to come again. */
static int load_signature(struct br_usb_session *s, uint64_t now_ns)
{
	struct br_error err = BR_ERROR_NULL;
	int r = br_usb_find(s, "bootcode.sig", UINT32_MAX, &err);

	if (r == -EINPROGRESS) {
		br_usb_opening(s, br_usb_rom_begin, now_ns);
		return r;
	}
	if (r == -ENOENT) {
		br_usb_end(s, BR_USB_BAD_PAYLOAD, now_ns,
			"signed boot: the payload has no bootcode.sig; put the %d bytes of %s's signature there", BR_USBBOOT_SIG,
			s->model->first_stage);
		return r;
	}
	if (!r && s->file.size != BR_USBBOOT_SIG)
		r = br_error_set(&err, EINVAL, "%llu bytes, where a signature has %d", (unsigned long long)s->file.size,
			BR_USBBOOT_SIG);
	if (!r)
		r = s->o.files->ops->read(s->o.files, &s->file, 0, s->sig, BR_USBBOOT_SIG, &err);
	br_usb_drop_file(s);
	if (r < 0)
		br_usb_end(s, BR_USB_BAD_PAYLOAD, now_ns, "signed boot: bootcode.sig: %s", br_error_text(&err, r));
	return r;
}

static bool signs(const struct br_usb_session *s)
{
	return s->o.sign && s->model->takes_signature;
}

static void begin_stage(struct br_usb_session *s, uint64_t now_ns)
{
	const char *name = s->model->first_stage;
	struct br_error err = BR_ERROR_NULL;
	int r = br_usb_find(s, name, BR_USBBOOT_FIRST_MAX, &err);
	if (r == -EINPROGRESS) {
		br_usb_opening(s, begin_stage, now_ns);
		return;
	}
	if (r == -ENOENT) {
		br_usb_end(s, BR_USB_BAD_PAYLOAD, now_ns, "the payload has no %s, the first stage of a %s (nor %s/%s, nor a "
			"bootfiles.bin with it)", name, s->model->chip, s->model->dir, name);
		return;
	}
	if (!r && !s->file.size)
		r = br_error_set(&err, ENODATA, "empty");
	if (r < 0) {
		br_usb_end(s, BR_USB_BAD_PAYLOAD, now_ns, "%s: %s", name, br_error_text(&err, r));
		return;
	}
	br_usbboot_put_first(s->head, (uint32_t)s->file.size, signs(s) ? s->sig : NULL);
	s->file_ns = now_ns;
	br_usb_enter(s, BR_USB_S_ROM_HEAD, UINT64_MAX);
	br_usb_write(s, s->head, sizeof(s->head), now_ns);
}

void br_usb_rom_begin(struct br_usb_session *s, uint64_t now_ns)
{
	s->sent = false;
	if (!signs(s) || load_signature(s, now_ns) == 0)
		begin_stage(s, now_ns);
}

void br_usb_rom_written(struct br_usb_session *s, uint64_t now_ns)
{
	if (s->state == BR_USB_S_ROM_HEAD) {
		br_usb_enter(s, BR_USB_S_ROM_STAGE, UINT64_MAX);
		br_usb_write(s, NULL, s->file.size, now_ns);
		return;
	}
	br_usb_log_step(s, BR_USB_STEP_SENT, s->name, NULL, s->file.size, now_ns - s->file_ns, now_ns);
	br_usb_drop_file(s);
	s->sent = s->sent_once = true;
	s->no_status = false;
	br_usb_enter(s, BR_USB_S_ROM_PAUSE, now_ns + BR_USB_ROM_PAUSE_NS);
}

void br_usb_rom_status(struct br_usb_session *s, const struct br_usb_transfer *t, uint64_t now_ns)
{
	uint32_t status;

	if (t->status != BR_USB_OK || t->done != BR_USBBOOT_STATUS) {
		br_usb_rom_failed(s, t->status != BR_USB_OK ? t->status : BR_USB_IO, now_ns);
		return;
	}
	status = br_load_le32(s->control_data);
	br_usb_log_step(s, BR_USB_STEP_STATUS, NULL, NULL, status, 0, now_ns);
	if (status) {
		br_usb_end(s, BR_USB_REFUSED, now_ns,
			"the ROM refused %s with status 0x%x: it is not for a %s, or the board is fused and wants it signed",
			s->model->first_stage, status, s->model->chip);
		return;
	}
	br_usb_enter(s, BR_USB_S_ROM_LEAVE, now_ns + s->o.back_ns);
}

/* What the ROM thinks cannot be known; whether the second stage comes back tells it. */
static void no_status(struct br_usb_session *s, enum br_usb_status status, uint64_t now_ns)
{
	s->no_status = true;
	if (!s->model->leaves_early)
		br_usb_log_trouble(s, now_ns, "the ROM's status could not be read: %s", br_usb_status_name(status));
	br_usb_enter(s, BR_USB_S_ROM_LEAVE, now_ns + s->o.back_ns);
}

void br_usb_rom_failed(struct br_usb_session *s, enum br_usb_status status, uint64_t now_ns)
{
	if (s->state == BR_USB_S_ROM_STATUS) {
		no_status(s, status, now_ns);
		return;
	}
	if (++s->rom_tries >= BR_USB_TRIES) {
		br_usb_end(s, BR_USB_NOT_SENT, now_ns,
			"the ROM did not take %s: %s at byte %llu of %llu, %d times; unplug the board, try another cable or port",
			s->model->first_stage, br_usb_status_name(status), (unsigned long long)s->write.done,
			(unsigned long long)s->write.len, BR_USB_TRIES);
		return;
	}
	br_usb_log_trouble(s, now_ns, "%s: %s; once more", s->model->first_stage, br_usb_status_name(status));
	br_usb_drop_file(s);
	s->o.host->ops->close(s->o.host, s->dev);
	s->open = false;
	s->open_until_ns = now_ns + BR_USB_PAUSE_NS + BR_USB_OPEN_NS;
	br_usb_enter(s, BR_USB_S_OPEN, now_ns + BR_USB_PAUSE_NS);
}

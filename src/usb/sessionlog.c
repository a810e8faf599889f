/* SPDX-License-Identifier: Apache-2.0 */
/* A session's timeline and what the board told of itself. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "usb/session_priv.h"

const char *br_usb_step_name(enum br_usb_step_kind kind)
{
	static const char *const names[BR_USB_N_STEP_KINDS] = {
		[BR_USB_STEP_FOUND] = "found",
		[BR_USB_STEP_SENT] = "first-stage",
		[BR_USB_STEP_STATUS] = "status",
		[BR_USB_STEP_LEFT] = "left",
		[BR_USB_STEP_FILE] = "file",
		[BR_USB_STEP_MISSING] = "missing",
		[BR_USB_STEP_METADATA] = "metadata",
		[BR_USB_STEP_TROUBLE] = "trouble",
		[BR_USB_STEP_DONE] = "done",
		[BR_USB_STEP_NEXT_STAGE] = "next-stage",
		[BR_USB_STEP_VERDICT] = "verdict",
	};

	return names[kind];
}

const char *br_usb_verdict_name(enum br_usb_verdict verdict)
{
	static const char *const names[BR_USB_N_VERDICTS] = {
		[BR_USB_RUNNING] = "running",
		[BR_USB_DONE] = "done",
		[BR_USB_NEXT_STAGE] = "next-stage",
		[BR_USB_NO_PERMISSION] = "no-permission",
		[BR_USB_NOT_OPENED] = "not-opened",
		[BR_USB_BAD_PAYLOAD] = "bad-payload",
		[BR_USB_NOT_SENT] = "not-sent",
		[BR_USB_REFUSED] = "refused",
		[BR_USB_NEVER_BACK] = "never-back",
		[BR_USB_SILENT] = "silent",
		[BR_USB_NO_SENSE] = "no-sense",
		[BR_USB_BROKEN_OFF] = "broken-off",
		[BR_USB_VANISHED] = "vanished",
		[BR_USB_RESETS] = "resets",
		[BR_USB_ENDLESS] = "endless",
		[BR_USB_ABORTED] = "aborted",
	};

	return names[verdict];
}

void br_usb_log_step(struct br_usb_session *s, enum br_usb_step_kind kind, const char *name, const char *detail,
	uint64_t bytes, uint64_t took_ns, uint64_t now_ns)
{
	struct br_usb_step step = { now_ns, took_ns, kind, bytes, strdup(name ? name : ""), strdup(detail ? detail : "") };
	bool keep = s->n_steps < BR_USB_STEPS_MAX || kind == BR_USB_STEP_VERDICT;

	if (keep && br_array_reserve(&s->steps, &s->cap_steps, s->n_steps + 1, sizeof(step)) < 0)
		keep = false;
	/* without memory the timeline has a hole; the verdict is kept elsewhere, too */
	if (step.name && step.detail && s->o.step)
		s->o.step(s->o.ctx, s, &step);
	if (keep && step.name && step.detail) {
		s->steps[s->n_steps++] = step;
		return;
	}
	free(step.name);
	free(step.detail);
}

void br_usb_log_trouble(struct br_usb_session *s, uint64_t now_ns, const char *fmt, ...)
{
	char words[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	br_usb_log_step(s, BR_USB_STEP_TROUBLE, NULL, words, 0, 0, now_ns);
}

static struct br_usb_metadata *metadata_of(struct br_usb_session *s, const char *key)
{
	for (size_t i = 0; i < s->n_metadata; i++) {
		if (!strcmp(s->metadata[i].key, key))
			return &s->metadata[i];
	}
	return NULL;
}

static void keep_metadata(struct br_usb_session *s, const char *key, const char *value)
{
	struct br_usb_metadata *old = metadata_of(s, key), fresh;

	if (!old && s->n_metadata == BR_USB_METADATA_MAX)
		return;
	if (!s->metadata)
		s->metadata = calloc(BR_USB_METADATA_MAX, sizeof(*s->metadata));
	fresh = (struct br_usb_metadata){ strdup(key), strdup(value) };
	if (!s->metadata || !fresh.key || !fresh.value) {
		free(fresh.key);
		free(fresh.value);
		return;
	}
	if (!old)
		old = &s->metadata[s->n_metadata++];
	free(old->key);
	free(old->value);
	*old = fresh;
}

void br_usb_log_metadata(struct br_usb_session *s, const char *key, const char *value, uint64_t now_ns)
{
	char uuid[200];

	if (!strcmp(key, "FACTORY_UUID") && !br_usbboot_factory_uuid(value, uuid, sizeof(uuid)))
		value = uuid;
	keep_metadata(s, key, value);
	br_usb_log_step(s, BR_USB_STEP_METADATA, key, value, 0, 0, now_ns);
}

void br_usb_log_done(struct br_usb_session *s)
{
	for (size_t i = 0; i < s->n_steps; i++) {
		free(s->steps[i].name);
		free(s->steps[i].detail);
	}
	for (size_t i = 0; i < s->n_metadata; i++) {
		free(s->metadata[i].key);
		free(s->metadata[i].value);
	}
	free(s->steps);
	free(s->metadata);
}

const struct br_usb_step *br_usb_session_steps(const struct br_usb_session *s, size_t *ret_n)
{
	*ret_n = s->n_steps;
	return s->steps;
}

const struct br_usb_metadata *br_usb_session_metadata(const struct br_usb_session *s, size_t *ret_n)
{
	*ret_n = s->n_metadata;
	return s->metadata;
}

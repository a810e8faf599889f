/* SPDX-License-Identifier: Apache-2.0 */
/* Events in words: a table of patterns, each naming the fields it shows. */
#include "daemon/eventtext.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "fleet/event.h"

/* {field} is the field's text, {field:size} and {field:ms} numbers with units; [ ... ] is left out when a field in it
 * is missing. */
static const struct {
	const char *type, *pattern;
} patterns[] = {
	{ BR_EV_DAEMON_START, "bramble {version} on {interface}, {address}, DHCP {dhcp}" },
	{ BR_EV_DAEMON_STOP, "bramble stops" },
	{ BR_EV_IMAGE_ADDED, "image {image} added" },
	{ BR_EV_IMAGE_REMOVED, "image {image} removed" },
	{ BR_EV_BOARD_ADOPTED, "adopted as {name}, {mac}[, serial {serial}][, model {model}]" },
	{ BR_EV_BOARD_EDITED, "edited" },
	{ BR_EV_BOARD_REMOVED, "board {name} removed" },
	{ BR_EV_BOOT_START, "boot begins: image {image}, {disk} disk" },
	{ BR_EV_BOOT_WAITING, "waits its turn to boot: {before} before it" },
	{ BR_EV_DHCP_MODE, "DHCP is {mode} now: {reason}" },
	{ BR_EV_DHCP_FOREIGN, "DHCP server {server} ({server_mac}) said {type}[ of {offered}] to {mac}" },
	{ BR_EV_DHCP_ELSEWHERE, "its {client} took {ip} from DHCP server {server}" },
	{ BR_EV_DHCP_UNSERVED, "{mac} asked through a relay from {network}, which has no range in --subnets" },
	{ BR_EV_DHCP_CONFLICT, "address {ip} is in use by {mac}: not given any more" },
	{ BR_EV_BOOT_OVERRIDES, "boots without some of its overrides: {reason}" },
	{ BR_EV_DHCP_OFFER, "[offered {ip} to its {client}][told its {proxied} where to boot]" },
	{ BR_EV_DHCP_ACK, "gave {ip} to its {client}" },
	{ BR_EV_DHCP_NAK, "refused {ip} to its {client}[: {reason}]" },
	{ BR_EV_DHCP_RELEASE, "gave {ip} back" },
	{ BR_EV_DHCP_DECLINE, "declined {ip}[: {reason}]" },
	{ BR_EV_DHCP_FULL, "no address left for {mac}: {reason}" },
	{ BR_EV_FILE_SENT, "sent {path}, {bytes:size} in {ms:ms}" },
	{ BR_EV_FILE_PROBED, "looked at {path}, {size:size}" },
	{ BR_EV_FILE_MISSING, "asked for {path}, which is not there[: {reason}]" },
	{ BR_EV_FILE_REFUSED, "may not have {path}[: {reason}]" },
	{ BR_EV_FILE_FAILED, "failed to get {path} after {bytes:size}[: {reason}]" },
	{ BR_EV_MOUNTED, "mounted its root: {disk} disk on {image}" },
	{ BR_EV_SHARE_MOUNTED, "mounted {path}" },
	{ BR_EV_SHARE_TROUBLE, "{path}: {reason}" },
	{ BR_EV_SHARE_ADDED, "share {share} added: {dir}, {mode}" },
	{ BR_EV_SHARE_REMOVED, "share {share} removed" },
	{ BR_EV_MOUNT_REFUSED, "mount[ of {path}] by {ip} refused: {reason}" },
	{ BR_EV_NFS_TROUBLE, "{reason}" },
	{ BR_EV_DISK_RESET, "disk reset: it starts from its image again[; {forced}]" },
	{ BR_EV_DISK_SNAPSHOT, "snapshot {name} of its disk" },
	{ BR_EV_DISK_ROLLBACK, "disk rolled back to snapshot {name}[; {forced}]" },
	{ BR_EV_DISK_SAVED, "disk saved as image {image}" },
	{ BR_EV_DISK_SMALL, "its disk is smaller than it should be: {reason}" },
	{ BR_EV_DISK_FULL, "disk full: {reason}" },
	{ BR_EV_IMAGE_CHANGED, "{reason}" },
	{ BR_EV_FLASH_ORDERED, "is to get {image} on its {target}" },
	{ BR_EV_FLASH_STARTED, "writes {image} to its {target}[, {again}]" },
	{ BR_EV_FLASH_VERIFIED, "has {image} on its {target}, verified: {written} of {windows} pieces written, {bytes:size} fetched in {ms:ms}" },
	{ BR_EV_LOG_LOST, "{count} lines of its log[ (of {ip})] lost: they {reason}" },
	{ BR_EV_AUDIT, "{user}: {action}[, serial {serial}]: {text}" },
	{ BR_EV_FLASH_DONE, "the flashed system is up[ (by {by})]" },
	{ BR_EV_FLASH_FAILED, "flash failed: {reason}" },
	{ BR_EV_FLASH_CANCELLED, "flash withdrawn: {reason}" },
	{ BR_EV_USB_FOUND, "on USB {path}: {chip}, {stage}[, gets {payload}]" },
	{ BR_EV_USB_STEP, "USB {path}: {step}[ {name}][, {bytes:size}][: {detail}]" },
	{ BR_EV_USB_METADATA, "said of itself over USB: {told}" },
	{ BR_EV_USB_DONE, "booted over USB {path}: {files} files, {bytes:size} in {ms:ms}" },
	{ BR_EV_USB_FAILED, "did not boot over USB {path}: {reason}" },
	{ BR_EV_EEPROM_UPDATE, "is to get another bootloader ({chip}, {sha256})[; FORCED although {forced}]" },
	{ BR_EV_RESERVATION_QUEUED, "{user} waits for {count} of '{selector}' as {reservation}, {before} before it" },
	{ BR_EV_RESERVATION_HELD, "reserved for {user} as {reservation}" },
	{ BR_EV_RESERVATION_ENDED, "no longer reserved for {user} ({reservation}): {reason}" },
	{ BR_EV_RESERVATION_LEFT, "{user} waits no longer ({reservation}): {reason}" },
	{ BR_EV_CONSOLE_UP, "its console is connected" },
	{ BR_EV_CONSOLE_AWAY, "its console is away: {reason}" },
	{ BR_EV_CONSOLE_WRITER, "{who} writes on its console" },
	{ BR_EV_POWER_ON, "switched on[: {detail}]" },
	{ BR_EV_POWER_OFF, "switched off[: {detail}]" },
	{ BR_EV_POWER_CYCLED, "{action} done[ ({rung})][: {detail}]" },
	{ BR_EV_POWER_FAILED, "power, {action}: {reason}" },
	{ BR_EV_BOARD_QUARANTINED, "set aside: {reason}" },
	{ BR_EV_BOARD_RELEASED, "no longer set aside[ (it was for: {reason})]" },
	{ BR_EV_BOARD_UP, "is up" },
	{ BR_EV_LOST, "{count} events were lost" },
};

/* Shows one field; false when the event has none or an empty one. */
static bool add_field(struct br_text *t, const json_t *fields, const char *spec, size_t n)
{
	char name[32], unit[8] = "", num[32];
	const json_t *v;

	if (n >= sizeof(name))
		return false;
	memcpy(name, spec, n);
	name[n] = 0;
	if (strchr(name, ':')) {
		snprintf(unit, sizeof(unit), "%s", strchr(name, ':') + 1);
		*strchr(name, ':') = 0;
	}
	v = json_object_get(fields, name);
	if (json_is_integer(v)) {
		uint64_t x = (uint64_t)json_integer_value(v);

		if (!strcmp(unit, "size"))
			br_text_add(t, br_format_size(num, sizeof(num), x));
		else if (!strcmp(unit, "ms"))
			br_text_add(t, br_format_duration(num, sizeof(num), x * BR_MS));
		else
			br_text_addf(t, "%llu", (unsigned long long)x);
		return true;
	}
	if (!json_is_string(v) || !json_string_length(v))
		return false;
	br_text_add_vis(t, json_string_value(v), json_string_length(v));
	return true;
}

static void expand(struct br_text *t, const char *pattern, const json_t *fields)
{
	size_t mark = 0;
	bool complete = true;

	for (const char *s = pattern; *s; s++) {
		if (*s == '[') {
			mark = t->len;
			complete = true;
		} else if (*s == ']') {
			if (!complete && !t->failed) {
				t->len = mark;
				t->buf[mark] = 0;
			}
		} else if (*s == '{') {
			size_t n = strcspn(s + 1, "}");

			if (!add_field(t, fields, s + 1, n))
				complete = false;
			s += n + 1;
		} else {
			br_text_add_bytes(t, s, 1);
		}
	}
}

const char *br_event_text(const struct br_event *ev, char *out, size_t size)
{
	const char *pattern = NULL;
	struct br_text t = BR_TEXT_NULL;

	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++)
		if (!strcmp(patterns[i].type, ev->type))
			pattern = patterns[i].pattern;
	if (pattern)
		expand(&t, pattern, ev->fields);
	else
		br_text_add(&t, ev->type);
	snprintf(out, size, "%s", t.buf ? t.buf : ev->type);
	br_text_done(&t);
	return out;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Firmware that may be installed, and what of it a payload lacks. Nothing of it is ours to ship. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "usb/payload_priv.h"

/* Where Raspberry Pi's packages (rpiboot, raspi-firmware) and people put them, ended by NULL. */
static const char *const firmware_dirs[] = {
	"/etc/bramble/usb-firmware",
	"/usr/local/share/rpiboot/firmware",
	"/usr/share/rpiboot/firmware",
	"/usr/share/rpiboot/mass-storage-gadget64",
	"/usr/share/rpiboot/msd",
	"/usr/lib/raspi-firmware", /* Debian's: bootcode.bin of the older chips */
	NULL,
};

static const char *const gadget_dirs[] = {
	"/usr/local/share/rpiboot/mass-storage-gadget64",
	"/usr/share/rpiboot/mass-storage-gadget64",
	NULL,
};

/* For the BCM2835 family, whose gadget is another program. */
static const char *const old_gadget_dirs[] = { "/usr/local/share/rpiboot/msd", "/usr/share/rpiboot/msd", NULL };

#define WHERE_TO_GET \
	"they are Raspberry Pi's and none of bramble: install its package 'rpiboot', or take the folder of that name from " \
	"github.com/raspberrypi/usbboot, and give it with "

bool br_usb_payload_has(struct br_usb_payload *payload, const struct br_usbboot_model *model, const char *name)
{
	const struct br_usb_who who = { .model = model };
	uint64_t size;

	return br_usb_payload_size(payload, &who, name, &size, NULL) >= 0;
}

bool br_usb_firmware_starts(const char *dir, const struct br_usbboot_model *model)
{
	struct br_usb_payload *payload;
	bool ok;

	if (access(dir, F_OK) < 0 || br_usb_payload_firmware(dir, &payload, NULL) < 0)
		return false;
	ok = !model || br_usb_payload_has(payload, model, model->first_stage);
	br_usb_payload_unref(payload);
	return ok;
}

const char *br_usb_firmware_find(const struct br_usbboot_model *model)
{
	for (const char *const *d = firmware_dirs; *d; d++)
		if (br_usb_firmware_starts(*d, model))
			return *d;
	return NULL;
}

void br_usb_firmware_wanted(const char *first_stage, struct br_error *err)
{
	if (!err)
		return;
	if (!err->text[0])
		br_error_set(err, ENOENT, "there is no %s", first_stage);
	br_error_prefix(err, "%s (the first stage, which the ROM takes) and the other firmware files are missing; " WHERE_TO_GET
		"'firmware = DIR' in [usb] of bramble.conf", first_stage);
}

int br_usb_payload_gadget(const struct br_usbboot_model *model, struct br_usb_payload **ret, struct br_error *err)
{
	bool old = !strcmp(model->dir, "2710");
	struct br_usb_directory opt = { .links = true };
	struct br_text looked = BR_TEXT_NULL;
	int r;

	for (const char *const *d = old ? old_gadget_dirs : gadget_dirs; *d; d++) {
		br_text_addf(&looked, "%s%s", looked.len ? ", " : "", *d);
		opt.dir = *d;
		if (br_usb_firmware_starts(*d, model)) {
			br_text_done(&looked);
			return br_usb_payload_directory(&opt, ret, err);
		}
	}
	r = br_error_set(err, ENOENT, "the mass-storage gadget for %s is not installed (looked in %s): it has %s; " WHERE_TO_GET
		"-d DIR", model->chip, looked.buf ? looked.buf : "-",
		old ? "bootcode.bin and start.elf" : "bootfiles.bin, config.txt and boot.img");
	br_text_done(&looked);
	return r;
}

/* Whether config.txt has a line for it, under whatever condition. */
static bool says_ramdisk(char *config)
{
	char *save = NULL;

	for (char *line = strtok_r(config, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save))
		if (br_str_starts(line + strspn(line, " \t"), "boot_ramdisk=1"))
			return true;
	return false;
}

/* Whether the board takes boot.img: it is told to, or it is signed and takes nothing else. */
static bool wants_ramdisk(struct br_usb_payload *payload, const struct br_usbboot_model *model)
{
	const struct br_usb_who who = { .model = model };
	struct br_usb_payload_file file = { .fd = -1 };
	char config[8192] = "";

	if (br_usb_payload_lookup(payload, &who, "config.txt", &file, NULL) >= 0) {
		size_t n = file.size < sizeof(config) ? (size_t)file.size : sizeof(config) - 1;

		if (br_usb_payload_read(&file, 0, config, n) < 0)
			config[0] = 0;
		br_usb_payload_close(&file);
	}
	return says_ramdisk(config) || br_usb_payload_has(payload, model, "boot.sig");
}

/* What a chip cannot do without, and what it is for. */
struct need {
	const char *dir;  /* of the chip */
	const char *name;
	const char *ramdisk; /* does as well, for a board that takes it; NULL: nothing does */
	const char *instead; /* does as well for all; NULL: nothing does */
	const char *what_for;
	bool new_only; /* only where bootmain comes out of bootfiles.bin */
};

static const struct need needs[] = {
	{ "2710", "bootcode.bin", NULL, NULL, "the first stage, which the ROM takes", false },
	{ "2710", "start.elf", "boot.img", NULL, "the firmware, which starts the kernel", false },
	{ "2711", "bootcode4.bin", NULL, NULL, "the first stage, which the ROM takes", false },
	{ "2711", "mcb.bin", NULL, NULL, "settings of the memory controller", true },
	{ "2711", "memsys00.bin", NULL, NULL, "set-up of the memory, one of memsys00 to memsys08 by its kind", true },
	{ "2711", "bootmain", NULL, NULL, "the bootloader itself, which asks for config.txt and the rest", true },
	{ "2711", "start4.elf", "boot.img", NULL, "the firmware, which starts the kernel", false },
	{ "2712", "bootcode5.bin", NULL, NULL, "the first stage, which the ROM takes", false },
	{ "2712", "mcb.bin", NULL, NULL, "settings of the memory controller", true },
	{ "2712", "memsys00.bin", NULL, NULL, "set-up of the memory, one of memsys00 to memsys03 by its kind", true },
	{ "2712", "bootmain", NULL, NULL, "the bootloader itself, which asks for config.txt and the rest", true },
	{ "2712", "boot.img", NULL, "kernel_2712.img", "the kernel and what belongs to it, as a ramdisk", false },
};

size_t br_usb_payload_missing(struct br_usb_payload *payload, const struct br_usbboot_model *model, struct br_text *out)
{
	/* recovery writes an EEPROM image and starts no kernel (c.9); its first stage does all of it */
	bool recovery = br_usb_payload_has(payload, model, "pieeprom.bin") || br_usb_payload_has(payload, model, "pieeprom.upd");
	bool parts = br_usb_payload_has(payload, model, "mcb.bin") || br_usb_payload_has(payload, model, "bootmain");
	size_t n = 0;

	for (size_t i = 0; i < BR_ARRAY_SIZE(needs); i++) {
		const struct need *need = &needs[i];
		bool first = br_usb_is_first_stage(need->name);

		if (strcmp(need->dir, model->dir) != 0 || (need->new_only && !parts) || (recovery && !first))
			continue;
		if (br_usb_payload_has(payload, model, need->name) ||
			(need->instead && br_usb_payload_has(payload, model, need->instead)) ||
			(need->ramdisk && wants_ramdisk(payload, model) && br_usb_payload_has(payload, model, need->ramdisk)))
			continue;
		br_text_addf(out, "%s%s (%s)", n++ ? ", " : "", need->name, need->what_for);
	}
	return n;
}

int br_usb_payload_check(struct br_usb_payload *payload, const struct br_usbboot_model *model, struct br_error *err)
{
	struct br_text missing = BR_TEXT_NULL;
	int r = 0;

	if (br_usb_payload_missing(payload, model, &missing) && missing.buf)
		r = br_error_set(err, ENOENT, "%s lacks, for %s: %s; " WHERE_TO_GET "--firmware DIR, or 'firmware = DIR' in [usb] of "
			"bramble.conf", br_usb_payload_text(payload), model->chip, missing.buf);
	br_text_done(&missing);
	return r;
}

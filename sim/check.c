/* SPDX-License-Identifier: Apache-2.0 */
/* Magic numbers of boot files, by name. */
#include "sim/check.h"

#include <fnmatch.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"

struct magic {
	size_t at, n;
	const char *bytes;
};

static const struct magic elf[] = { { 0, 4, "\x7f" "ELF" }, { 0 } };
static const struct magic fdt[] = { { 0, 4, "\xd0\x0d\xfe\xed" }, { 0 } };
/* arm64 Image (Documentation/arch/arm64/booting), or the same compressed with gzip */
static const struct magic image64[] = { { 56, 4, "ARMd" }, { 0, 2, "\x1f\x8b" }, { 0 } };
static const struct magic image32[] = { { 0x24, 4, "\x18\x28\x6f\x01" }, { 0 } };
static const struct magic initramfs[] = {
	{ 0, 6, "070701" }, { 0, 2, "\x1f\x8b" }, { 0, 4, "\x28\xb5\x2f\xfd" }, { 0, 6, "\xfd" "7zXZ\0" },
	{ 0, 4, "\x02\x21\x4c\x18" }, { 0, 3, "\x5d\0\0" }, { 0, 3, "BZh" }, { 0 },
};
static const struct magic anything[] = { { 0, 0, "" }, { 0 } };

static const struct {
	const char *pattern;
	const struct magic *one_of;
	const char *wrong;
} kinds[] = {
	{ "start*.elf", elf, "not an ELF file" },
	{ "*.dtb", fdt, "not a device tree" },
	{ "*.dtbo", fdt, "not a device tree overlay" },
	{ "kernel8-32*.img", image32, "not an ARM zImage" },
	{ "kernel8*.img", image64, "not an arm64 kernel" },
	{ "kernel_2712*.img", image64, "not an arm64 kernel" },
	{ "kernel7*.img", image32, "not an ARM zImage" },
	{ "initramfs*", initramfs, "not an initramfs of a known compression" },
	{ "initrd*", initramfs, "not an initramfs of a known compression" },
	{ "bootcode.bin", anything, "" },
	{ "fixup*.dat", anything, "" },
};

static bool has_one(const struct magic *m, const uint8_t *head, size_t n)
{
	for (; m->bytes; m++)
		if (m->at + m->n <= n && !memcmp(head + m->at, m->bytes, m->n))
			return true;
	return false;
}

const char *br_sim_check_file(const char *name, const uint8_t *head, size_t n, uint64_t size)
{
	const char *slash = strrchr(name, '/');

	for (size_t i = 0; i < BR_ARRAY_SIZE(kinds); i++) {
		if (fnmatch(kinds[i].pattern, slash ? slash + 1 : name, FNM_CASEFOLD))
			continue;
		if (!size)
			return "empty";
		if (!has_one(kinds[i].one_of, head, n))
			return kinds[i].wrong;
		if (kinds[i].one_of == fdt && (n < 8 || br_load_be32(head + 4) > size))
			return "a device tree that is cut short";
		return NULL;
	}
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firmware's view of config.txt. Sections of one kind replace each other and
 * sections of different kinds must all hold; [all] forgets every one, [none] never
 * holds. A section this code does not know switches nothing, as in old firmware.
 */
#include "pi/configtxt.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

#define INCLUDE_DEPTH 4

struct sections {
	bool none, model, serial, other; /* true: switched off by this kind */
};

struct parser {
	const struct br_pi_config_reader *who;
	const struct br_pi_config_file *files;
	size_t n_files;
	unsigned n_included;
	struct sections off;
	struct br_pi_config *out;
};

enum kind { TEXT, BOOL, NUMBER, TRISTATE, NOT_BOOL };

static const struct setting {
	const char *key;
	enum kind kind;
	size_t offset;
} settings[] = {
#define AT(field) offsetof(struct br_pi_config, field)
	{ "arm_64bit", TRISTATE, AT(arm_64bit) },
	{ "armstub", TEXT, AT(armstub) },
	{ "auto_initramfs", BOOL, AT(auto_initramfs) },
	{ "boot_ramdisk", BOOL, AT(boot_ramdisk) },
	{ "bootloader_update", NOT_BOOL, AT(no_bootloader_update) },
	{ "cmdline", TEXT, AT(cmdline) },
	{ "device_tree", TEXT, AT(device_tree) },
	{ "fixup_file", TEXT, AT(fixup_file) },
	{ "gpu_mem", NUMBER, AT(gpu_mem) },
	{ "kernel", TEXT, AT(kernel) },
	{ "os_prefix", TEXT, AT(os_prefix) },
	{ "overlay_prefix", TEXT, AT(overlay_prefix) },
	{ "start_debug", BOOL, AT(start_debug) },
	{ "start_file", TEXT, AT(start_file) },
	{ "start_x", BOOL, AT(start_x) },
	{ "upstream_kernel", BOOL, AT(upstream_kernel) },
#undef AT
};

static void parse_text(struct parser *p, const char *text, size_t len, unsigned depth);

static void set(struct br_pi_config *out, const struct setting *s, const char *value)
{
	void *at = (char *)out + s->offset;
	long v = strtol(value, NULL, 0);

	switch (s->kind) {
	case TEXT:
		br_strcpy(at, BR_PI_CONFIG_NAME, value); /* a line is never longer */
		return;
	case BOOL:
		*(bool *)at = v != 0;
		return;
	case NOT_BOOL:
		*(bool *)at = v == 0;
		return;
	case NUMBER:
		*(unsigned *)at = v > 0 && v < 65536 ? (unsigned)v : 0;
		return;
	case TRISTATE:
		*(int *)at = v != 0;
		return;
	}
}

static void add(char list[][BR_PI_CONFIG_NAME], size_t *n, size_t max, const char *name, size_t len)
{
	if (*n == max || !len || len >= BR_PI_CONFIG_NAME)
		return;
	memcpy(list[*n], name, len);
	list[(*n)++][len] = 0;
}

/* "initramfs FILE[,FILE...] followkernel": a line without '='. */
static void take_initramfs(struct parser *p, const char *rest)
{
	size_t n = strcspn(rest, " \t");

	p->out->n_initramfs = 0; /* the last line wins */
	for (size_t at = 0; at < n;) {
		size_t len = strcspn(rest + at, ", \t");

		add(p->out->initramfs, &p->out->n_initramfs, BR_PI_CONFIG_LIST, rest + at, len);
		at += len + 1;
	}
}

static void take_include(struct parser *p, const char *name, unsigned depth)
{
	if (!p->who->includes || depth == INCLUDE_DEPTH || p->n_included == BR_PI_CONFIG_INCLUDES)
		return;
	p->n_included++;
	for (size_t i = 1; i < p->n_files; i++) {
		if (strcmp(p->files[i].name, name))
			continue;
		if (p->files[i].text)
			parse_text(p, p->files[i].text, p->files[i].len, depth + 1);
		return;
	}
	for (size_t i = 0; i < p->out->n_missing; i++)
		if (!strcmp(p->out->missing[i], name))
			return;
	add(p->out->missing, &p->out->n_missing, BR_PI_CONFIG_INCLUDES, name, strlen(name));
}

static bool model_holds(const struct br_pi_config_reader *who, const char *name)
{
	for (const char *const *f = who->filters; *f; f++)
		if (!strcasecmp(*f, name))
			return true;
	return false;
}

static bool is_model(const char *name)
{
	return (!strncasecmp(name, "pi", 2) || !strncasecmp(name, "cm", 2)) && isdigit((unsigned char)name[2]);
}

static void take_section(struct parser *p, char *name)
{
	struct sections *off = &p->off;

	if (!strcasecmp(name, "all"))
		*off = (struct sections){ 0 };
	else if (!strcasecmp(name, "none"))
		off->none = true;
	else if (is_model(name))
		off->model = !model_holds(p->who, name);
	else if (!strncasecmp(name, "board-type=", 11))
		off->model = strtoul(name + 11, NULL, 0) != (p->who->revision >> 4 & 0xff);
	else if (!strncasecmp(name, "0x", 2))
		off->serial = strtoul(name, NULL, 16) != p->who->serial;
	else if (!strncasecmp(name, "edid=", 5) || !strncasecmp(name, "gpio", 4) || !strcasecmp(name, "tryboot") ||
		 !strncasecmp(name, "partition=", 10))
		off->other = true; /* no screen, no wires, no tryboot here */
}

static void take_pair(struct parser *p, const char *key, const char *value)
{
	if (!strcasecmp(key, "dtoverlay") || !strcasecmp(key, "device_tree_overlay")) {
		add(p->out->overlays, &p->out->n_overlays, BR_PI_CONFIG_LIST, value, strcspn(value, ",: \t"));
		return;
	}
	for (size_t i = 0; i < BR_ARRAY_SIZE(settings); i++)
		if (!strcasecmp(settings[i].key, key))
			set(p->out, &settings[i], value);
	if (!strcasecmp(key, "device_tree"))
		p->out->has_device_tree = true;
}

static char *trim(char *s)
{
	char *end;

	s += strspn(s, " \t\r");
	end = s + strlen(s);
	while (end > s && strchr(" \t\r", end[-1]))
		*--end = 0;
	return s;
}

static void take_line(struct parser *p, char *line, unsigned depth)
{
	char *s, *eq;

	line[strcspn(line, "#")] = 0;
	s = trim(line);
	if (*s == '[') {
		s[strcspn(s, "]")] = 0;
		take_section(p, trim(s + 1));
		return;
	}
	if (!*s || p->off.none || p->off.model || p->off.serial || p->off.other)
		return;
	eq = strchr(s, '=');
	if (!strncasecmp(s, "initramfs ", 10)) {
		take_initramfs(p, trim(s + 10));
	} else if (!strncasecmp(s, "include ", 8)) {
		take_include(p, trim(s + 8), depth);
	} else if (eq) {
		*eq = 0;
		take_pair(p, trim(s), trim(eq + 1));
	}
}

static void parse_text(struct parser *p, const char *text, size_t len, unsigned depth)
{
	for (size_t at = 0; at < len;) {
		const char *nl = memchr(text + at, '\n', len - at);
		size_t n = nl ? (size_t)(nl - text) - at : len - at;
		char line[BR_PI_CONFIG_LINE + 1];
		size_t k = n < BR_PI_CONFIG_LINE ? n : BR_PI_CONFIG_LINE;

		memcpy(line, text + at, k);
		line[k] = 0;
		take_line(p, line, depth);
		at += n + 1;
	}
}

void br_pi_config_parse(const struct br_pi_config_reader *who, const struct br_pi_config_file *files,
	size_t n_files, struct br_pi_config *ret)
{
	struct parser p = { .who = who, .files = files, .n_files = n_files, .out = ret };

	*ret = (struct br_pi_config){ .arm_64bit = -1 };
	br_strcpy(ret->cmdline, sizeof(ret->cmdline), "cmdline.txt");
	br_strcpy(ret->overlay_prefix, sizeof(ret->overlay_prefix), "overlays/");
	if (n_files && files[0].text)
		parse_text(&p, files[0].text, files[0].len, 0);
}

void br_pi_initramfs_name(const char *kernel, char out[static BR_PI_CONFIG_NAME])
{
	out[0] = 0;
	if (br_str_starts(kernel, "kernel") && br_str_ends(kernel, ".img") && strlen(kernel) < BR_PI_CONFIG_NAME - 3)
		snprintf(out, BR_PI_CONFIG_NAME, "initramfs%.*s", (int)(strlen(kernel) - 6 - 4), kernel + 6);
}

/* By model, the first match; else what all with that processor have. */
static const struct {
	const char *id; /* NULL: any */
	enum br_soc soc;
	const char *filters[2];
} filters[] = {
	{ "Zero", BR_SOC_BCM2835, { "pi0", NULL } },
	{ "ZeroW", BR_SOC_BCM2835, { "pi0", "pi0w" } },
	{ NULL, BR_SOC_BCM2835, { "pi1", NULL } },
	{ NULL, BR_SOC_BCM2836, { "pi2", NULL } },
	{ "2B-1.2", BR_SOC_BCM2837, { "pi2", NULL } },
	{ "3B+", BR_SOC_BCM2837, { "pi3", "pi3+" } },
	{ "3A+", BR_SOC_BCM2837, { "pi3", "pi3+" } },
	{ "CM3+", BR_SOC_BCM2837, { "pi3", "pi3+" } },
	{ "Zero2W", BR_SOC_BCM2837, { "pi0", "pi02" } },
	{ NULL, BR_SOC_BCM2837, { "pi3", NULL } },
	{ "400", BR_SOC_BCM2711, { "pi4", "pi400" } },
	{ "CM4", BR_SOC_BCM2711, { "pi4", "cm4" } },
	{ "CM4S", BR_SOC_BCM2711, { "pi4", "cm4s" } },
	{ NULL, BR_SOC_BCM2711, { "pi4", NULL } },
	{ "500", BR_SOC_BCM2712, { "pi5", "pi500" } },
	{ "CM5", BR_SOC_BCM2712, { "pi5", "cm5" } },
	{ "CM5L", BR_SOC_BCM2712, { "pi5", "cm5" } },
	{ NULL, BR_SOC_BCM2712, { "pi5", NULL } },
};

void br_pi_config_filters(const struct br_pi_model *model, const char *ret[static BR_PI_FILTERS_MAX])
{
	ret[0] = ret[1] = ret[2] = NULL;
	for (size_t i = 0; model && !ret[0] && i < BR_ARRAY_SIZE(filters); i++)
		if (filters[i].soc == model->soc && (!filters[i].id || !strcmp(filters[i].id, model->id)))
			memcpy(ret, filters[i].filters, sizeof(filters[i].filters));
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The firmware's view of config.txt. Sections of one kind replace each other and
 * sections of different kinds must all hold; [all] forgets every one, [none] never
 * holds. A section this code does not know switches nothing, as in old firmware.
 */
#include "sim/configtxt.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

#define INCLUDE_DEPTH 4

struct sections {
	bool none, model, serial, other; /* true: switched off by this kind */
};

struct parser {
	const struct br_sim_config_reader *who;
	const struct br_sim_config_file *files;
	size_t n_files;
	unsigned n_included;
	struct sections off;
	struct br_sim_config *out;
};

enum kind { TEXT, BOOL, NUMBER, TRISTATE, NOT_BOOL };

static const struct setting {
	const char *key;
	enum kind kind;
	size_t offset;
} settings[] = {
#define AT(field) offsetof(struct br_sim_config, field)
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

static void set(struct br_sim_config *out, const struct setting *s, const char *value)
{
	void *at = (char *)out + s->offset;
	long v = strtol(value, NULL, 0);

	switch (s->kind) {
	case TEXT:
		br_strcpy(at, BR_SIM_CONFIG_NAME, value); /* a line is never longer */
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

static void add(char list[][BR_SIM_CONFIG_NAME], size_t *n, size_t max, const char *name, size_t len)
{
	if (*n == max || !len || len >= BR_SIM_CONFIG_NAME)
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

		add(p->out->initramfs, &p->out->n_initramfs, BR_SIM_CONFIG_LIST, rest + at, len);
		at += len + 1;
	}
}

static void take_include(struct parser *p, const char *name, unsigned depth)
{
	if (!p->who->includes || depth == INCLUDE_DEPTH || p->n_included == BR_SIM_CONFIG_INCLUDES)
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
	add(p->out->missing, &p->out->n_missing, BR_SIM_CONFIG_INCLUDES, name, strlen(name));
}

static bool model_holds(const struct br_sim_config_reader *who, const char *name)
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
		add(p->out->overlays, &p->out->n_overlays, BR_SIM_CONFIG_LIST, value, strcspn(value, ",: \t"));
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
		char line[BR_SIM_CONFIG_LINE + 1];
		size_t k = n < BR_SIM_CONFIG_LINE ? n : BR_SIM_CONFIG_LINE;

		memcpy(line, text + at, k);
		line[k] = 0;
		take_line(p, line, depth);
		at += n + 1;
	}
}

void br_sim_config_parse(const struct br_sim_config_reader *who, const struct br_sim_config_file *files,
	size_t n_files, struct br_sim_config *ret)
{
	struct parser p = { .who = who, .files = files, .n_files = n_files, .out = ret };

	*ret = (struct br_sim_config){ .arm_64bit = -1 };
	br_strcpy(ret->cmdline, sizeof(ret->cmdline), "cmdline.txt");
	br_strcpy(ret->overlay_prefix, sizeof(ret->overlay_prefix), "overlays/");
	if (n_files && files[0].text)
		parse_text(&p, files[0].text, files[0].len, 0);
}

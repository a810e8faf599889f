/* SPDX-License-Identifier: Apache-2.0 */
/* What a virtual board in USB boot mode lives through, in words or as JSON. Bytes from the host's side are numbers only. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "sim/usbport.h"

static const char *const names[] = {
	[BR_SIM_ROM_ATTACHED] = "attached", [BR_SIM_ROM_LEFT] = "left", [BR_SIM_ROM_FIRST_STAGE] = "first-stage",
	[BR_SIM_ROM_FILE] = "file", [BR_SIM_ROM_FOUND] = "found", [BR_SIM_ROM_ABSENT] = "absent",
	[BR_SIM_ROM_REFUSED] = "refused", [BR_SIM_ROM_METADATA] = "metadata", [BR_SIM_ROM_ODD] = "odd",
	[BR_SIM_ROM_WRONG] = "wrong", [BR_SIM_ROM_DONE] = "done", [BR_SIM_ROM_GAVE_UP] = "gave-up",
};

static void report_json(FILE *out, const char *who, const struct br_sim_rom_event *e, const char *name)
{
	json_t *o = json_object();
	char *line;

	json_object_set_new(o, "t_ms", json_real((double)(e->t_ns / 1000) / 1000));
	json_object_set_new(o, "board", json_string(who));
	json_object_set_new(o, "what", json_string(names[e->what]));
	if (*name)
		json_object_set_new(o, "name", json_string(name));
	if (*e->text)
		json_object_set_new(o, "text", json_string(e->text));
	if (e->bytes)
		json_object_set_new(o, "bytes", json_integer((json_int_t)e->bytes));
	if (e->took_ns)
		json_object_set_new(o, "took_ms", json_real((double)(e->took_ns / 1000) / 1000));
	if (e->n)
		json_object_set_new(o, "n", json_integer(e->n));
	line = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15));
	fprintf(out, "%s\n", line ? line : "{}");
	free(line);
	json_decref(o);
}

void br_sim_usb_report(FILE *out, bool json, const char *who, const struct br_sim_rom_event *e)
{
	char name[4 * BR_USBBOOT_NAME], size[24];

	br_vis(name, sizeof(name), e->name, strlen(e->name));
	if (json) {
		report_json(out, who, e, name);
	} else {
		fprintf(out, "%9.3f  %s  %-11s  %s%s%s", (double)(e->t_ns / 1000) / 1e6, who, names[e->what], name,
			*name && *e->text ? ": " : "", e->text);
		if (e->bytes)
			fprintf(out, "  %s", br_format_size(size, sizeof(size), e->bytes));
		fprintf(out, "\n");
	}
	fflush(out);
}

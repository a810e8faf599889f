/* SPDX-License-Identifier: Apache-2.0 */
/* What a virtual board lives through, in words. Text from the network is escaped here. */
#include "sim/report.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

static const char *const names[] = {
	[BR_SIM_POWER_ON] = "power-on", [BR_SIM_DISCOVER] = "discover", [BR_SIM_OFFER] = "offer",
	[BR_SIM_REQUESTED] = "request", [BR_SIM_BOUND] = "ack", [BR_SIM_ARP] = "arp", [BR_SIM_PREFIX] = "prefix",
	[BR_SIM_FILE] = "file", [BR_SIM_PROBED] = "probe", [BR_SIM_MISSING] = "missing",
	[BR_SIM_WARNING] = "warning", [BR_SIM_WRONG] = "wrong", [BR_SIM_KERNEL] = "kernel",
	[BR_SIM_GAVE_UP] = "gave-up", [BR_SIM_AGAIN] = "again", [BR_SIM_QEMU] = "machine", [BR_SIM_CONSOLE] = "console",
	[BR_SIM_SEEN] = "seen", [BR_SIM_ENDED] = "ended", [BR_SIM_WAITING] = "waiting",
};

const char *br_sim_what_name(enum br_sim_what what)
{
	return names[what];
}

static void set_text(json_t *o, const char *key, const char *s)
{
	struct br_text t = BR_TEXT_NULL;
	char *vis;

	if (!*s)
		return;
	br_text_add_vis(&t, s, strlen(s));
	vis = br_text_take(&t);
	json_object_set_new(o, key, json_string(vis ? vis : "?"));
	free(vis);
}

static void set_ip(json_t *o, const char *key, uint32_t ip)
{
	char text[BR_IP_TEXT];

	if (ip)
		json_object_set_new(o, key, json_string(br_ip_format(text, ip)));
}

static void report_json(FILE *out, const char *who, const struct br_sim_event *e)
{
	json_t *o = json_object();
	bool file = e->what == BR_SIM_FILE || e->what == BR_SIM_PROBED;
	char *line;

	json_object_set_new(o, "t_ms", json_real((double)(e->t_ns / 1000) / 1000));
	json_object_set_new(o, "board", json_string(who));
	set_text(o, "stage", e->stage);
	json_object_set_new(o, "what", json_string(names[e->what]));
	set_text(o, "name", e->name);
	set_text(o, "text", e->text);
	set_ip(o, "ip", e->ip);
	set_ip(o, "server", e->server);
	if (file) {
		json_object_set_new(o, "bytes", json_integer((json_int_t)e->bytes));
		json_object_set_new(o, "took_ms", json_real((double)(e->took_ns / 1000) / 1000));
		json_object_set_new(o, "blksize", json_integer(e->n));
	}
	if (e->what == BR_SIM_DISCOVER)
		json_object_set_new(o, "n", json_integer(e->n));
	line = json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15));
	fprintf(out, "%s\n", line ? line : "{}");
	free(line);
	json_decref(o);
}

static void add_rate(struct br_text *t, const struct br_sim_event *e)
{
	char size[24], rate[24], took[24];
	uint64_t ns = e->took_ns ? e->took_ns : 1;

	br_text_addf(t, "  %s in %s", br_format_size(size, sizeof(size), e->bytes),
		br_format_duration(took, sizeof(took), e->took_ns));
	if (e->bytes >= 100000)
		br_text_addf(t, ", %s/s", br_format_size(rate, sizeof(rate),
			(uint64_t)((double)e->bytes * 1e9 / (double)ns)));
}

static void add_sentence(struct br_text *t, const struct br_sim_event *e)
{
	char ip[BR_IP_TEXT], server[BR_IP_TEXT], name[256], text[1024];

	br_ip_format(ip, e->ip);
	br_ip_format(server, e->server);
	br_vis(name, sizeof(name), e->name, strlen(e->name));
	br_vis(text, sizeof(text), e->text, strlen(e->text));
	switch (e->what) {
	case BR_SIM_POWER_ON:
		br_text_addf(t, "power on: %s", text);
		return;
	case BR_SIM_DISCOVER:
		br_text_addf(t, "DISCOVER %u", e->n);
		return;
	case BR_SIM_OFFER:
		br_text_addf(t, "OFFER taken: address %s, TFTP server %s", ip, server);
		return;
	case BR_SIM_REQUESTED:
		br_text_addf(t, "REQUEST %s", ip);
		return;
	case BR_SIM_BOUND:
		br_text_addf(t, "ACK: address %s, TFTP server %s", ip, server);
		return;
	case BR_SIM_ARP:
		br_text_addf(t, "ARP: %s answers", server);
		return;
	case BR_SIM_PREFIX:
		br_text_addf(t, "%s%s", *name ? "directory " : "no directory of its own: names from the root", name);
		return;
	case BR_SIM_FILE:
		br_text_addf(t, "%s", name);
		add_rate(t, e);
		return;
	case BR_SIM_PROBED:
		br_text_addf(t, "%s  is there (probe)", name);
		return;
	case BR_SIM_MISSING:
		br_text_addf(t, "%s  not there", name);
		return;
	case BR_SIM_KERNEL:
		br_text_addf(t, "kernel %s starts: %s", name, text);
		return;
	case BR_SIM_GAVE_UP:
		br_text_addf(t, "GAVE UP: %s", text);
		return;
	case BR_SIM_AGAIN:
		br_text_addf(t, "starts over: %s", text);
		return;
	case BR_SIM_WARNING:
	case BR_SIM_WRONG:
		br_text_addf(t, "%s: %s%s%s", e->what == BR_SIM_WRONG ? "WRONG" : "warning", name, *name ? ": " : "", text);
		return;
	case BR_SIM_QEMU:
	case BR_SIM_CONSOLE:
	case BR_SIM_SEEN:
	case BR_SIM_ENDED:
	case BR_SIM_WAITING:
		br_text_addf(t, "%s", text);
		return;
	}
}

void br_sim_report(FILE *out, bool json, const char *who, const struct br_sim_event *e)
{
	struct br_text t = BR_TEXT_NULL;
	char *line;

	if (json) {
		report_json(out, who, e);
	} else {
		add_sentence(&t, e);
		line = br_text_take(&t);
		fprintf(out, "%9.3f  %s  %-8s  %s\n", (double)(e->t_ns / 1000) / 1e6, who, e->stage, line ? line : "");
		free(line);
	}
	fflush(out);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What a verdict rests on, in lines: times since power-on, then what was seen. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "why/rules.h"

#define PACKETS 8
#define TIMES 24

__attribute__((format(printf, 4, 5))) static void line(const struct br_case *c, struct br_verdict *v, uint64_t t,
	const char *fmt, ...)
{
	uint64_t born = c->f->born_ns;
	char *out;
	int n;
	va_list ap;

	if (v->n_evidence == BR_WHY_EVIDENCE)
		return;
	out = v->evidence[v->n_evidence++];
	if (t >= born && born)
		n = snprintf(out, BR_WHY_LINE, "%+9.3f s  ", (double)(t - born) / 1e9);
	else
		n = snprintf(out, BR_WHY_LINE, "%9s    ", "before");
	va_start(ap, fmt);
	vsnprintf(out + n, BR_WHY_LINE - (size_t)n, fmt, ap);
	va_end(ap);
}

static const char *times(char out[static TIMES], unsigned n)
{
	if (n == 1)
		strcpy(out, "once");
	else
		snprintf(out, TIMES, "%u times", n);
	return out;
}

static void show_asking(const struct br_case *c, struct br_verdict *v)
{
	char n[TIMES], ip[BR_IP_TEXT];

	for (enum br_dhcp_client_kind k = 0; k < BR_DHCP_N_KINDS; k++) {
		const char *name = br_dhcp_client_name(k);

		if (c->f->dhcp[k].discover.n)
			line(c, v, c->f->dhcp[k].discover.first_ns, "its %s asked for an address (DISCOVER) %s, last %.1f s ago", name,
				times(n, c->f->dhcp[k].discover.n),
				(double)br_case_age(c, c->f->dhcp[k].discover.last_ns) / 1e9);
		if (c->f->dhcp[k].request.n)
			line(c, v, c->f->dhcp[k].request.first_ns, "its %s wanted what was offered (REQUEST) %s", name,
				times(n, c->f->dhcp[k].request.n));
		if (c->f->dhcp[k].acked.n)
			line(c, v, c->f->dhcp[k].acked.last_ns, "its %s has the address %s", name,
				br_ip_format(ip, c->f->dhcp[k].ip));
	}
}

static void show_dhcp(const struct br_case *c, struct br_verdict *v)
{
	char n[TIMES], ip[BR_IP_TEXT], ip2[BR_IP_TEXT];
	bool any = false;

	show_asking(c, v);
	for (size_t i = 0; i < BR_WHY_SERVERS; i++) {
		const struct br_why_server *s = &c->f->servers[i];

		any |= s->offer.n > 0;
		if (s->offer.n)
			line(c, v, s->offer.first_ns, "%s %s offered %s, %s%s%s%s", br_ip_format(ip, s->ip), s->ours ? "(this server)" : "(not ours)",
				s->yiaddr ? br_ip_format(ip2, s->yiaddr) : "no address", s->tftp_name ? "option 66" : "no option 66",
				s->pi_item ? ", 'Raspberry Pi Boot'" : s->other_item ? ", a menu for others" : ", no Pi item",
				s->relayed ? ", through a relay" : "", s->small ? ", too short" : "");
		if (s->nak.n)
			line(c, v, s->nak.last_ns, "%s refused (NAK) %s", br_ip_format(ip, s->ip), times(n, s->nak.n));
	}
	if (!any && c->at <= BR_AT_DHCP && c->in->heard)
		line(c, v, c->f->last_ns, "no offer was seen");
}

static void show_arp(const struct br_case *c, struct br_verdict *v)
{
	char n[TIMES], ip[BR_IP_TEXT];

	for (size_t i = 0; i < BR_WHY_ARPS; i++) {
		const struct br_why_arp *a = &c->f->arps[i];

		if (a->asked.n)
			line(c, v, a->asked.first_ns, "it asked by ARP for %s %s; %s", br_ip_format(ip, a->ip), times(n, a->asked.n),
				a->answered.n ? "it was answered" : "no answer was seen");
	}
	if (c->f->we_ask.n)
		line(c, v, c->f->we_ask.first_ns, "we asked by ARP for %s %s; it did not answer", br_ip_format(ip, c->f->ip),
			times(n, c->f->we_ask.n));
	if (c->f->nowhere.n)
		line(c, v, c->f->nowhere.first_ns, "frames to an Ethernet address that nobody has, %s", times(n, c->f->nowhere.n));
}

static const char *outcome(const struct br_why_file *f, char out[static 80])
{
	char size[16], took[32];

	if (f->n_sent) {
		snprintf(out, 80, "sent, %s in %s", br_format_size(size, sizeof(size), f->bytes),
			br_format_duration(took, sizeof(took), f->ms * BR_MS));
	} else if (f->n_failed) {
		snprintf(out, 80, "broke off after %s and %s, %llu sent again", br_format_size(size, sizeof(size), f->bytes),
			br_format_duration(took, sizeof(took), f->ms * BR_MS), (unsigned long long)f->retransmits);
	} else if (f->n_missing) {
		strcpy(out, "not there");
	} else if (f->n_errors) {
		strcpy(out, "refused");
	} else if (f->n_stopped || f->n_probed) {
		strcpy(out, "looked at only");
	} else if (f->n_oack + f->n_data) {
		snprintf(out, 80, "answered, in blocks of %u", f->granted ? f->granted : 512);
	} else {
		strcpy(out, "not answered");
	}
	return out;
}

/* What went wrong, and the last few in any case. */
static void show_files(const struct br_case *c, struct br_verdict *v)
{
	char n[TIMES], how[80];
	uint64_t last = c->f->files[c->f->last_file].asked.last_ns;

	for (size_t i = 0; i < BR_WHY_FILES; i++) {
		const struct br_why_file *f = &c->f->files[i];
		bool recent = f->asked.last_ns + BR_S >= last;
		bool plain = f->n_sent || f->n_oack || f->n_data || f->n_probed;

		if (!f->name[0] || (plain && !recent && !f->n_failed) || v->n_evidence >= BR_WHY_EVIDENCE - BR_WHY_EVENTS - PACKETS)
			continue;
		line(c, v, f->asked.last_ns, "asked for %s %s: %s", f->name, times(n, f->asked.n), outcome(f, how));
	}
}

static void show_root(const struct br_case *c, struct br_verdict *v)
{
	char n[TIMES], ip[BR_IP_TEXT];

	for (size_t i = 0; i < BR_WHY_PORTS; i++) {
		const struct br_why_port *p = &c->f->ports[i];

		if (p->syn.n)
			line(c, v, p->syn.first_ns, "tried TCP port %u of %s %s: %s", p->port, br_ip_format(ip, p->ip), times(n, p->syn.n),
				p->open.n ? "open" : p->refused.n ? "refused" : "no answer");
	}
	if (c->f->no_port.n)
		line(c, v, c->f->no_port.first_ns, "asked for the port of program %u version %u: none", c->f->no_port_program,
			c->f->no_port_version);
	if (c->f->mnt.n)
		line(c, v, c->f->mnt.last_ns, "asked to mount %s (MOUNT version %u) %s: %s %u", c->f->mnt_path, c->f->mnt_version,
			times(n, c->f->mnt.n), c->f->mnt_answered ? "status" : "not answered yet,",
			c->f->mnt_answered ? c->f->mnt_status : 0);
	if (c->f->rpc_denied.n)
		line(c, v, c->f->rpc_denied.first_ns, "calls were refused %s", times(n, c->f->rpc_denied.n));
}

static void show_lives(const struct br_case *c, struct br_verdict *v)
{
	static const char *const reached[] = { "was heard", "asked for an address", "fetched boot files", "fetched its kernel",
		"mounted its root" };

	for (unsigned i = c->f->n_lives; i-- > 0;) {
		const struct br_why_life *l = &c->f->lives[i];

		line(c, v, l->start_ns, "powered on %.0f s ago, it %s%s, the last sign after %.0f s", (double)br_case_age(c, l->start_ns) / 1e9,
			reached[l->reached], l->updated ? " and an EEPROM update" : "", (double)(l->end_ns - l->start_ns) / 1e9);
	}
}

static void show_web(const struct br_case *c, struct br_verdict *v)
{
	char n[TIMES];

	for (size_t i = 0; i < BR_WHY_N_HTTP; i++) {
		const struct br_why_web *w = &c->f->web[i];

		if (w->head.n)
			line(c, v, w->head.first_ns, "HTTP HEAD %s %s", w->path, times(n, w->head.n));
		if (w->get.n)
			line(c, v, w->get.first_ns, "HTTP GET %s %s", w->path, times(n, w->get.n));
		if (w->status)
			line(c, v, w->answered_ns, "answered %u", w->status);
	}
}

struct packets {
	const struct br_case *c;
	struct br_verdict *v;
	unsigned skip;
};

static int count_packet(void *ctx, const struct br_watch_packet *p)
{
	((struct packets *)ctx)->skip++;
	return 0;
}

static int show_packet(void *ctx, const struct br_watch_packet *p)
{
	struct packets *s = ctx;
	char text[120];

	if (s->skip) {
		s->skip--;
		return 0;
	}
	line(s->c, s->v, p->t_ns, "%s %s", p->from_board ? "from it:" : "to it:  ", br_frame_text(p->data, p->len, text, sizeof(text)));
	return 0;
}

static void show_packets(const struct br_case *c, struct br_verdict *v)
{
	struct packets s = { .c = c, .v = v };

	if (!c->in->watch || br_watch_packets(c->in->watch, c->in->mac, count_packet, &s) < 0)
		return;
	s.skip = s.skip > PACKETS ? s.skip - PACKETS : 0;
	br_watch_packets(c->in->watch, c->in->mac, show_packet, &s);
}

static void show_flash(const struct br_case *c, struct br_verdict *v)
{
	const struct br_why_flash *f = &c->in->flash;
	char n[TIMES];

	if (f->contact_ns)
		line(c, v, f->contact_ns, "flash order %u, %s: its firmware or U-Boot asked for an address since", f->order, f->target);
	if (f->asked_ns)
		line(c, v, f->asked_ns, "flash order %u: asked for a piece last, began %s", f->order, times(n, f->begun));
	if (f->verified_ns)
		line(c, v, f->verified_ns, "flash order %u: all is verified", f->order);
	if (f->ended_ns)
		line(c, v, f->ended_ns, "flash order %u ended: %s", f->order, f->reason);
	if (!f->contact_ns && !f->asked_ns && !f->ended_ns)
		line(c, v, c->now, "flash order %u, %s: nothing was heard of it", f->order, f->target);
}

static void show_events(const struct br_case *c, struct br_verdict *v)
{
	for (unsigned i = 0; i < c->in->n_events; i++)
		line(c, v, c->in->events[i].t_ns, "event: %s", c->in->events[i].text);
}

void br_why_show(const struct br_case *c, unsigned show, struct br_verdict *v)
{
	static const struct {
		unsigned what;
		void (*fn)(const struct br_case *c, struct br_verdict *v);
	} parts[] = {
		{ BR_SHOW_LIVES, show_lives }, { BR_SHOW_DHCP, show_dhcp }, { BR_SHOW_ARP, show_arp },
		{ BR_SHOW_FILES, show_files }, { BR_SHOW_WEB, show_web }, { BR_SHOW_ROOT, show_root },
		{ BR_SHOW_PACKETS, show_packets }, { BR_SHOW_FLASH, show_flash },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(parts); i++)
		if (show & parts[i].what)
			parts[i].fn(c, v);
	show_events(c, v);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The player of the firmware tables. Two levels: stages and steps walk the table of
 * the model; each step puts one or more requests into a queue when its turn comes
 * (queue.c knows how), and requests are fetched one at a time, as firmware does.
 */
#include "sim/board.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "sim/board_private.h"

#define POWER_MS   5000 /* from power to the first DISCOVER: SD and USB are looked at first (wire facts 1.1) */
#define ARP_TRIES  5	/* an admitted guess: no capture shows more than two */
#define ARP_NS	   BR_S

/* Nothing of a boot is there yet. */
static void begin(struct br_sim_board *b)
{
	const struct br_sim_board_config *c = &b->config;

	b->stack = (struct br_sim_stack){ .mac = c->mac, .send = c->send, .ctx = c->ctx };
	br_pi_config_parse(&(struct br_pi_config_reader){ .filters = c->model->filters }, NULL, 0, &b->settings);
}

struct br_sim_board *br_sim_board_new(const struct br_sim_board_config *config)
{
	struct br_sim_board *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->config = *config;
	begin(b);
	return b;
}

/* Everything is forgotten but who it is, the time and the counts. */
static void forget(struct br_sim_board *b)
{
	struct br_sim_board_config config = b->config;
	struct br_sim_counters counters = b->counters;
	uint64_t now_ns = b->now_ns, power_ns = b->power_ns;

	br_sim_tftp_done(&b->tftp);
	br_sim_board_forget_http(b);
	for (size_t i = 0; i < b->n_texts; i++)
		free(b->texts[i].data);
	free(b->overlay_map.data);
	free(b->hand.kernel.data);
	free(b->hand.initramfs.data);
	free(b->hand.dtb.data);
	free(b->hand.cmdline);
	memset(b, 0, sizeof(*b));
	b->config = config;
	b->counters = counters;
	b->now_ns = now_ns;
	b->power_ns = power_ns;
}

void br_sim_board_free(struct br_sim_board *b)
{
	if (b)
		forget(b);
	free(b);
}

void br_sim_board_power_cycle(struct br_sim_board *b, uint64_t now_ns, uint64_t off_ns)
{
	forget(b);
	begin(b);
	b->counters.cycles++;
	b->wake_ns = now_ns + off_ns;
}

void br_sim_board_event(struct br_sim_board *b, struct br_sim_event e)
{
	e.t_ns = b->now_ns - b->power_ns;
	if (!e.stage)
		e.stage = b->stage ? b->stage->name : "";
	if (!e.name)
		e.name = "";
	if (!e.text)
		e.text = "";
	b->config.event(b->config.ctx, &e);
}

void br_sim_board_leave(struct br_sim_board *b, const char *why)
{
	b->phase = BR_SIM_FAILED;
	br_sim_board_event(b, (struct br_sim_event){ .what = BR_SIM_GAVE_UP, .text = why });
}

/* The same stage from its beginning, after the pause this firmware makes. */
static void start_over(struct br_sim_board *b, const char *why)
{
	unsigned stage = b->n_stage;
	uint16_t port = b->port;

	br_sim_board_event(b, (struct br_sim_event){ .what = BR_SIM_AGAIN, .text = why });
	forget(b);
	begin(b);
	b->counters.rounds++;
	b->powered = true;
	b->n_stage = stage;
	b->port = port;
	b->wake_ns = b->now_ns + b->config.model->stages[stage].pause_s * BR_S;
}

void br_sim_board_give_up(struct br_sim_board *b, const char *fmt, ...)
{
	char why[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (b->config.restarts && b->stage && b->stage->pause_s)
		start_over(b, why);
	else
		br_sim_board_leave(b, why);
}

static uint64_t think(const struct br_sim_board *b, unsigned ms)
{
	return b->config.speed ? (uint64_t)ms * BR_MS / b->config.speed : 0;
}

/* ---- stages and steps ---- */

static void enter_stage(struct br_sim_board *b, const struct br_sim_stage *s)
{
	b->stage = s;
	b->step = (b->config.http.on || b->config.signed_key) && s->http_steps ? s->http_steps : s->steps;
	if (s->net)
		br_sim_stack_reset(&b->stack, s->net);
	/* code that sets the network up anew counts from its own start; EEPROM code starts anywhere */
	if (s->net)
		b->port = s->tftp->first_port;
	if (!b->port) {
		br_random(&b->port, sizeof(b->port));
		b->port = (uint16_t)(32768 + b->port % 16384);
	}
	if (s->dhcp && !b->files) {
		uint8_t guid[17];
		uint32_t xid;

		br_random(&xid, sizeof(xid));
		br_sim_guid(b->config.model, s, b->config.mac, b->config.serial, guid);
		br_sim_dhcp_start(&b->dhcp, s->dhcp, b->config.mac, guid, xid, b->now_ns);
		b->phase = BR_SIM_IN_DHCP;
	} else {
		b->phase = BR_SIM_THINKING;
		b->wake_ns = b->now_ns;
	}
}

/* Takes steps until there is a request, another stage or the end. True when something changed. */
static bool next_step(struct br_sim_board *b)
{
	if (b->step->op != BR_SIM_OP_END) {
		const struct br_sim_step *s = b->step++;

		br_sim_board_expand(b, s);
		if (b->n_queue)
			b->wake_ns = b->now_ns + think(b, s->think_ms);
		return true;
	}
	if (b->n_stage + 1 < BR_SIM_STAGES && b->config.model->stages[b->n_stage + 1].steps) {
		enter_stage(b, &b->config.model->stages[++b->n_stage]);
		return true;
	}
	if (!b->kernel_told)
		br_sim_board_kernel_ready(b);
	b->kernel_told = true;
	b->phase = BR_SIM_READY;
	if (b->config.then && b->config.then[b->n_then])
		enter_stage(b, b->config.then[b->n_then++]);
	return true;
}

/* ---- DHCP and ARP ---- */

static bool step_dhcp(struct br_sim_board *b)
{
	uint8_t buf[BR_SIM_DHCP_MAX];
	size_t n = br_sim_dhcp_poll(&b->dhcp, b->now_ns, buf);

	if (n) {
		bool request = b->dhcp.state == BR_SIM_DHCP_REQUEST;

		b->counters.resent += !request && b->dhcp.n_sent > 1;
		br_sim_stack_udp(&b->stack, BR_SIM_IP_ANY, 68, 67, buf, n);
		br_sim_board_event(b, (struct br_sim_event){ .what = request ? BR_SIM_REQUESTED : BR_SIM_DISCOVER,
						 .n = b->dhcp.n_sent, .ip = request ? b->dhcp.ip : 0 });
		return true;
	}
	if (b->dhcp.state == BR_SIM_DHCP_FAILED) {
		br_sim_board_give_up(b, "the %s gave up after %u s: %s", b->dhcp.style->name,
			(unsigned)(b->dhcp.style->total_ns / BR_S), br_sim_dhcp_why(&b->dhcp));
		return true;
	}
	if (b->dhcp.state != BR_SIM_DHCP_BOUND)
		return false;
	b->stack.ip = b->dhcp.ip;
	b->stack.mask = b->dhcp.mask;
	b->stack.router = b->dhcp.router;
	b->server = b->config.http.on && b->config.http.host ? b->config.http.host : b->dhcp.tftp;
	br_sim_board_event(b, (struct br_sim_event){ .what = b->dhcp.style->requests ? BR_SIM_BOUND : BR_SIM_OFFER,
					 .ip = b->dhcp.ip, .server = b->dhcp.tftp,
					 .name = b->dhcp.file });
	if (b->dhcp.saw & BR_SIM_SAW_SHORT)
		br_sim_board_event(b, (struct br_sim_event){ .what = BR_SIM_WARNING,
			.text = "the reply is shorter than 300 bytes: Linux will drop such" });
	if (b->dhcp.style->server_is_next && b->stage->steps->op == BR_SIM_OP_END) {
		b->phase = BR_SIM_THINKING; /* it wanted an address, no files */
		b->wake_ns = b->now_ns;
		return true;
	}
	br_sim_stack_route(&b->stack, b->server);
	b->phase = BR_SIM_IN_ARP;
	b->n_arp = 0;
	b->wake_ns = b->now_ns;
	return true;
}

static bool step_arp(struct br_sim_board *b)
{
	char ip[BR_IP_TEXT];

	if (b->now_ns < b->wake_ns)
		return false;
	if (b->n_arp++ < ARP_TRIES) {
		br_sim_stack_arp_ask(&b->stack);
		b->wake_ns = b->now_ns + ARP_NS;
		return true;
	}
	br_ip_format(ip, b->stack.hop);
	if (!b->stack.style->blind) {
		br_sim_board_give_up(b, "nobody answers ARP for %s, the way to the TFTP server", ip);
		return true;
	}
	br_sim_board_event(b, (struct br_sim_event){ .what = BR_SIM_WARNING,
		.text = "nobody answers ARP for the TFTP server: sending to aa:aa:aa:aa:aa:aa, as this firmware does" });
	b->phase = BR_SIM_THINKING;
	b->wake_ns = b->now_ns;
	return true;
}

/* ---- fetching ---- */

static void send_tftp(struct br_sim_board *b)
{
	uint8_t buf[BR_SIM_TFTP_REQUEST_MAX];
	uint16_t port = 0;
	size_t n;

	while ((n = br_sim_tftp_poll(&b->tftp, b->now_ns, buf, &port)))
		br_sim_stack_udp(&b->stack, b->server, b->tftp.port, port, buf, n);
}

static void start_request(struct br_sim_board *b)
{
	const struct br_sim_request *q = &b->queue[0];
	char name[2 * BR_SIM_TFTP_NAME_MAX];
	int r;

	if (br_sim_board_by_http(q->role)) {
		br_sim_board_start_http(b);
		return;
	}
	snprintf(name, sizeof(name), "%s%s%s", q->flags & BR_SIM_ROOT ? "" : b->prefix,
		q->flags & BR_SIM_SLASH && *b->prefix ? "/" : "", q->name);
	r = br_sim_tftp_start(&b->tftp, b->stage->tftp, name, q->flags & BR_SIM_PROBE, br_sim_board_keeps(b, q->role),
		b->port, b->now_ns);
	b->port += !b->stage->tftp->same_port;
	if (r < 0) {
		br_sim_board_event(b, (struct br_sim_event){ .what = BR_SIM_WRONG, .name = q->name,
			.text = "the name is too long for a request" });
		b->n_wrong++;
		br_sim_board_drop_request(b);
		return;
	}
	b->stack.busy = true;
	b->phase = BR_SIM_FETCHING;
	if (b->files)
		br_sim_board_fetch_inside(b);
	else
		send_tftp(b);
}

static bool step_fetch(struct br_sim_board *b)
{
	if (!b->files)
		send_tftp(b);
	if (b->tftp.state == BR_SIM_TFTP_RUNNING)
		return false;
	b->stack.busy = false;
	b->phase = BR_SIM_THINKING;
	b->wake_ns = b->now_ns;
	b->counters.bytes += b->tftp.size;
	b->counters.files += b->tftp.state == BR_SIM_TFTP_DONE;
	b->counters.resent += b->tftp.n_retries;
	b->counters.duplicates += b->tftp.n_duplicates;
	br_sim_board_fetched(b);
	br_sim_tftp_done(&b->tftp);
	return true;
}

static bool step_think(struct br_sim_board *b)
{
	if (b->now_ns < b->wake_ns)
		return false;
	if (!b->n_queue)
		return next_step(b);
	start_request(b);
	return true;
}

/* All files come from there, none over the network. */
static bool open_card(struct br_sim_board *b)
{
	struct br_error err = BR_ERROR_NULL;
	int r = br_fat_open(b->config.card.data, b->config.card.len, &b->files, &err);

	if (r < 0)
		br_sim_board_give_up(b, "its card has no FAT file system that can be read: %s", br_error_text(&err, r));
	return r >= 0;
}

static bool power_on(struct br_sim_board *b)
{
	if (b->now_ns < b->wake_ns)
		return false;
	if (!b->powered) {
		b->powered = true;
		b->power_ns = b->now_ns;
		b->wake_ns = b->now_ns + think(b, POWER_MS);
		br_sim_board_event(b, (struct br_sim_event){ .what = BR_SIM_POWER_ON, .text = b->config.model->name });
		return true;
	}
	if (b->config.card.len && !open_card(b))
		return true;
	enter_stage(b, &b->config.model->stages[b->n_stage]);
	return true;
}

static bool step_end(struct br_sim_board *b)
{
	return false;
}

void br_sim_board_step(struct br_sim_board *b, uint64_t now_ns)
{
	static bool (*const by_phase[])(struct br_sim_board *) = {
		[BR_SIM_OFF] = power_on, [BR_SIM_IN_DHCP] = step_dhcp, [BR_SIM_IN_ARP] = step_arp,
		[BR_SIM_THINKING] = step_think, [BR_SIM_FETCHING] = step_fetch,
		[BR_SIM_IN_HTTP] = br_sim_board_step_http, [BR_SIM_READY] = step_end,
		[BR_SIM_FAILED] = step_end,
	};

	b->now_ns = now_ns;
	while (by_phase[b->phase](b))
		;
}

static void input_datagram(struct br_sim_board *b, const struct br_sim_datagram *d)
{
	if (b->phase == BR_SIM_IN_DHCP && d->dst_port == 68 && d->src_port == 67)
		br_sim_dhcp_input(&b->dhcp, b->now_ns, d->data, d->len, d->src_ip);
	else if (b->phase == BR_SIM_FETCHING && d->dst_port == b->tftp.port && d->src_ip == b->server)
		br_sim_tftp_input(&b->tftp, b->now_ns, d->src_port, d->data, d->len);
}

void br_sim_board_frame(struct br_sim_board *b, uint64_t now_ns, const uint8_t *frame, size_t len, bool unsummed)
{
	struct br_sim_datagram d;

	b->now_ns = now_ns;
	if (b->phase == BR_SIM_OFF || b->phase >= BR_SIM_READY)
		return;
	if (b->phase == BR_SIM_IN_DHCP)
		br_sim_dhcp_frame(&b->dhcp, now_ns);
	switch (br_sim_stack_input(&b->stack, frame, len, unsummed, &d)) {
	case BR_SIM_RX_DATAGRAM:
		input_datagram(b, &d);
		break;
	case BR_SIM_RX_HOP:
		if (b->phase != BR_SIM_IN_ARP)
			break;
		br_sim_board_event(b, (struct br_sim_event){ .what = BR_SIM_ARP, .server = b->stack.hop });
		b->phase = BR_SIM_THINKING;
		b->wake_ns = now_ns;
		break;
	case BR_SIM_RX_FRAGMENT:
		br_sim_board_event(b, (struct br_sim_event){ .what = BR_SIM_WARNING,
			.text = "a fragment arrived: firmware drops it; the server's block size is too large for the path" });
		break;
	case BR_SIM_RX_BAD_SUM:
		br_sim_board_event(b, (struct br_sim_event){ .what = BR_SIM_WARNING, .text = "a packet with a wrong checksum" });
		break;
	case BR_SIM_RX_SEGMENT:
		if (b->phase == BR_SIM_IN_HTTP && d.src_ip == b->server)
			br_sim_http_input(&b->http, now_ns, d.data, d.len);
		break;
	case BR_SIM_RX_NOTHING:
		break;
	}
	br_sim_board_step(b, now_ns);
}

uint64_t br_sim_board_deadline(const struct br_sim_board *b)
{
	switch (b->phase) {
	case BR_SIM_OFF:
		return b->wake_ns;
	case BR_SIM_IN_ARP:
	case BR_SIM_THINKING:
		return b->wake_ns;
	case BR_SIM_IN_DHCP:
		return br_sim_dhcp_deadline(&b->dhcp);
	case BR_SIM_FETCHING:
		return br_sim_tftp_deadline(&b->tftp);
	case BR_SIM_IN_HTTP:
		return br_sim_http_deadline(&b->http);
	default:
		return UINT64_MAX;
	}
}

enum br_sim_phase br_sim_board_phase(const struct br_sim_board *b)
{
	return b->phase;
}

const struct br_sim_counters *br_sim_board_counters(const struct br_sim_board *b)
{
	return &b->counters;
}

const char *br_sim_board_stage(const struct br_sim_board *b)
{
	return b->stage ? b->stage->name : "";
}

const struct br_sim_stack *br_sim_board_stack(const struct br_sim_board *b)
{
	return &b->stack;
}

uint32_t br_sim_board_ip(const struct br_sim_board *b)
{
	return b->stack.ip;
}

unsigned br_sim_board_wrong(const struct br_sim_board *b)
{
	return b->n_wrong;
}

const struct br_sim_board_config *br_sim_board_config(const struct br_sim_board *b)
{
	return &b->config;
}

uint64_t br_sim_board_power_ns(const struct br_sim_board *b)
{
	return b->power_ns;
}

struct br_sim_handover *br_sim_board_handover(struct br_sim_board *b)
{
	return &b->hand;
}

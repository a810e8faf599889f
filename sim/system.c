/* SPDX-License-Identifier: Apache-2.0 */
/* A Linux in small. */
#include "sim/system.h"

#include <stdlib.h>
#include <string.h>

#include "sim/dhcp_client.h"
#include "sim/nfsroot.h"

struct br_sim_system {
	struct br_sim_board *board;
	struct br_sim_stack stack; /* of user space's DHCP; the root has its own */
	struct br_sim_nfsroot *root; /* NULL: it has none over the network */
	struct br_sim_dhcp dhcp;
	bool mounted, asking, ended;
	uint64_t now_ns;
	void (*told)(void *ctx, bool up, const char *why);
	void *ctx;
};

static void tell(struct br_sim_system *s, bool up, const char *why)
{
	s->asking = false;
	s->ended = true;
	s->told(s->ctx, up, why);
}

static void on_root(void *ctx, const struct br_sim_nfsroot_result *r)
{
	struct br_sim_system *s = ctx;

	s->mounted = r->up;
	if (!r->up)
		tell(s, false, r->why);
}

static void ask(struct br_sim_system *s)
{
	const struct br_sim_board_config *c = br_sim_board_config(s->board);
	uint8_t guid[17] = { 0 };

	s->asking = true;
	s->stack.ip = 0;
	br_sim_dhcp_start(&s->dhcp, &br_sim_dhcp_os, c->mac, guid, c->serial ^ 0x05000000, s->now_ns);
}

struct br_sim_system *br_sim_system_new(struct br_sim_board *board, uint64_t now_ns, void (*told)(void *ctx, bool up, const char *why), void *ctx)
{
	const char *cmdline = br_sim_board_handover(board)->cmdline;
	struct br_sim_system *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->board = board;
	s->stack = *br_sim_board_stack(board);
	s->now_ns = now_ns;
	s->told = told;
	s->ctx = ctx;
	if (cmdline && br_sim_nfsroot_wanted(cmdline)) {
		s->root = br_sim_nfsroot_new(&s->stack, cmdline, on_root, s);
		if (!s->root) {
			free(s);
			return NULL;
		}
	} else {
		s->mounted = true;
	}
	return s;
}

void br_sim_system_free(struct br_sim_system *s)
{
	if (!s)
		return;
	br_sim_nfsroot_free(s->root);
	free(s);
}

static void step_dhcp(struct br_sim_system *s)
{
	uint8_t buf[BR_SIM_DHCP_MAX];
	size_t n;

	while ((n = br_sim_dhcp_poll(&s->dhcp, s->now_ns, buf)))
		br_sim_stack_udp(&s->stack, BR_SIM_IP_ANY, 68, 67, buf, n);
	if (s->dhcp.state == BR_SIM_DHCP_BOUND)
		tell(s, true, "");
	else if (s->dhcp.state == BR_SIM_DHCP_FAILED)
		tell(s, false, br_sim_dhcp_why(&s->dhcp));
}

void br_sim_system_step(void *ctx, uint64_t now_ns)
{
	struct br_sim_system *s = ctx;

	s->now_ns = now_ns;
	if (s->root)
		br_sim_nfsroot_step(s->root, now_ns);
	if (s->mounted && !s->asking && !s->ended)
		ask(s);
	if (s->asking)
		step_dhcp(s);
}

void br_sim_system_frame(void *ctx, uint64_t now_ns, const uint8_t *frame, size_t len, bool unsummed)
{
	struct br_sim_system *s = ctx;
	struct br_sim_datagram d;

	s->now_ns = now_ns;
	/* only one of the two answers ARP */
	if (s->root)
		br_sim_nfsroot_frame(s->root, now_ns, frame, len, unsummed);
	if ((s->asking || !s->root) && (!s->root || (len > 13 && frame[12] == 8 && frame[13] == 0)) &&
		br_sim_stack_input(&s->stack, frame, len, unsummed, &d) == BR_SIM_RX_DATAGRAM && s->asking && d.dst_port == 68 &&
		d.src_port == 67)
		br_sim_dhcp_input(&s->dhcp, now_ns, d.data, d.len, d.src_ip);
	br_sim_system_step(s, now_ns);
}

uint64_t br_sim_system_deadline(const void *ctx)
{
	const struct br_sim_system *s = ctx;
	uint64_t root = s->root ? br_sim_nfsroot_deadline(s->root) : UINT64_MAX;
	uint64_t dhcp = s->asking ? br_sim_dhcp_deadline(&s->dhcp) : s->mounted && !s->ended ? 0 : UINT64_MAX;

	return root < dhcp ? root : dhcp;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel lets through to the watch, as a classic BPF program: A and X are its registers, the packet begins
 * with the Ethernet header. Written with labels, which become relative jumps when it is loaded.
 */
#include <assert.h>
#include <stdbool.h>

#include "base/cleanup.h"
#include "why/io.h"

enum label {
	NEXT, /* the instruction behind */
	ACCEPT,
	DROP,
	IPV4,
	IPV6,
	UDP,
	UDP_FROM,
	TFTP_ASKS,
	TFTP,
	TFTP_DATA,
	TCP,
	TCP_FROM,
	RPC_FLAGS,
	WEB,
	TLS,
	UDP6,
	ICMP6,
};

struct step {
	enum label here; /* NEXT: has no name */
	uint16_t code;
	enum label yes, no; /* of jumps */
	uint32_t k;
};

#define LOAD(size, at)	      { NEXT, BPF_LD | BPF_ABS | (size), NEXT, NEXT, at }
#define LOAD_X(size, at)      { NEXT, BPF_LD | BPF_IND | (size), NEXT, NEXT, at }
#define IF(value, yes, no)    { NEXT, BPF_JMP | BPF_JEQ | BPF_K, yes, no, value }
#define IF_ANY(bits, yes, no) { NEXT, BPF_JMP | BPF_JSET | BPF_K, yes, no, bits }
#define AT(name, code, k)     { name, code, NEXT, NEXT, k }

#define FLAGS_OF_CONNECTIONS 0x07 /* FIN, SYN, RST */
#define TCP_PAYLOAD_TO_X \
	LOAD_X(BPF_B, 14 + 12),					      /* A: header length in words << 4 */ \
	{ NEXT, BPF_ALU | BPF_AND | BPF_K, NEXT, NEXT, 0xf0 },		       \
	{ NEXT, BPF_ALU | BPF_RSH | BPF_K, NEXT, NEXT, 2 },   /* A: in bytes */ \
	{ NEXT, BPF_ALU | BPF_ADD | BPF_X, NEXT, NEXT, 0 },   /* A: both headers */ \
	{ NEXT, BPF_MISC | BPF_TAX, NEXT, NEXT, 0 }	      /* X: IP and TCP header */

static const struct step program[] = {
	LOAD(BPF_H, 12), /* A: ethertype */
	IF(0x0806, ACCEPT, NEXT),
	IF(0x8035, ACCEPT, NEXT),
	IF(0x0800, IPV4, NEXT),
	IF(0x86dd, IPV6, DROP),

	AT(IPV4, BPF_LD | BPF_ABS | BPF_H, 20), /* A: fragment offset */
	IF_ANY(0x1fff, DROP, NEXT),
	{ NEXT, BPF_LDX | BPF_MSH | BPF_B, NEXT, NEXT, 14 }, /* X: length of the IP header */
	LOAD(BPF_B, 23), /* A: protocol */
	IF(17, UDP, NEXT),
	IF(6, TCP, DROP),

	AT(UDP, BPF_LD | BPF_IND | BPF_H, 14 + 2), /* A: destination port; X: IP header */
	IF(67, ACCEPT, NEXT),
	IF(68, ACCEPT, NEXT),
	IF(69, TFTP_ASKS, NEXT),
	IF(53, ACCEPT, NEXT),
	IF(111, ACCEPT, NEXT),
	IF(6666, ACCEPT, UDP_FROM),
	AT(UDP_FROM, BPF_LD | BPF_IND | BPF_H, 14), /* A: source port */
	IF(53, ACCEPT, NEXT),
	IF(111, ACCEPT, NEXT),
	IF(6665, ACCEPT, TFTP),
	/* our transfers stay on the port that was asked, so acknowledgements come there, too: bulk */
	AT(TFTP_ASKS, BPF_LD | BPF_IND | BPF_H, 14 + 8), /* A: opcode */
	IF(4, DROP, ACCEPT),
	/* the ports of a transfer are any: ERROR, OACK and block 1 of DATA tell themselves; more of it is bulk */
	AT(TFTP, BPF_LD | BPF_IND | BPF_H, 14 + 8), /* A: opcode */
	IF(5, ACCEPT, NEXT),
	IF(6, ACCEPT, NEXT),
	IF(3, TFTP_DATA, DROP),
	AT(TFTP_DATA, BPF_LD | BPF_IND | BPF_H, 14 + 10), /* A: block */
	IF(1, ACCEPT, DROP),

	AT(TCP, BPF_LD | BPF_IND | BPF_H, 14 + 2), /* A: destination port; X: IP header */
	IF(111, ACCEPT, NEXT),
	IF(20048, ACCEPT, NEXT),
	IF(2049, RPC_FLAGS, NEXT),
	IF(80, WEB, NEXT),
	IF(443, TLS, TCP_FROM),
	AT(TCP_FROM, BPF_LD | BPF_IND | BPF_H, 14), /* A: source port */
	IF(111, ACCEPT, NEXT),
	IF(20048, ACCEPT, NEXT),
	IF(2049, RPC_FLAGS, NEXT),
	IF(80, WEB, NEXT),
	IF(443, TLS, DROP),
	AT(RPC_FLAGS, BPF_LD | BPF_IND | BPF_B, 14 + 13), /* A: flags */
	IF_ANY(FLAGS_OF_CONNECTIONS, ACCEPT, DROP),

	AT(WEB, BPF_LD | BPF_IND | BPF_B, 14 + 13), /* A: flags; X: IP header */
	IF_ANY(FLAGS_OF_CONNECTIONS, ACCEPT, NEXT),
	TCP_PAYLOAD_TO_X,
	LOAD_X(BPF_W, 14),	       /* A: first bytes */
	IF(0x48545450, ACCEPT, NEXT), /* "HTTP" */
	IF(0x47455420, ACCEPT, NEXT), /* "GET " */
	IF(0x48454144, ACCEPT, DROP), /* "HEAD" */

	AT(TLS, BPF_LD | BPF_IND | BPF_B, 14 + 13),
	IF_ANY(FLAGS_OF_CONNECTIONS, ACCEPT, NEXT),
	TCP_PAYLOAD_TO_X,
	LOAD_X(BPF_B, 14), /* A: type of the record */
	IF(21, ACCEPT, NEXT),
	IF(22, ACCEPT, DROP),

	AT(IPV6, BPF_LD | BPF_ABS | BPF_B, 20), /* A: next header */
	IF(17, UDP6, NEXT),
	IF(58, ICMP6, DROP),
	AT(UDP6, BPF_LD | BPF_ABS | BPF_H, 56), /* A: destination port */
	IF(547, ACCEPT, DROP),
	AT(ICMP6, BPF_LD | BPF_ABS | BPF_B, 54), /* A: type */
	IF(133, ACCEPT, NEXT),
	IF(135, ACCEPT, DROP),

	AT(ACCEPT, BPF_RET | BPF_K, 0xffff),
	AT(DROP, BPF_RET | BPF_K, 0),
};

static_assert(BR_ARRAY_SIZE(program) <= BR_WATCH_FILTER_MAX, "the filter has grown");

/* How far behind instruction 'from' the label is; BPF only jumps forward. */
static uint8_t distance(size_t from, enum label to)
{
	size_t i = from + 1;

	if (to == NEXT)
		return 0;
	while (i < BR_ARRAY_SIZE(program) && program[i].here != to)
		i++;
	assert(i < BR_ARRAY_SIZE(program) && i - from - 1 <= UINT8_MAX);
	return (uint8_t)(i - from - 1);
}

void br_watch_io_filter(struct sock_filter ret[static BR_WATCH_FILTER_MAX], size_t *ret_n)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(program); i++) {
		const struct step *s = &program[i];
		bool jump = BPF_CLASS(s->code) == BPF_JMP;

		ret[i] = (struct sock_filter){ .code = s->code, .k = s->k };
		if (jump) {
			ret[i].jt = distance(i, s->yes);
			ret[i].jf = distance(i, s->no);
		}
	}
	*ret_n = BR_ARRAY_SIZE(program);
}

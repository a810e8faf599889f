/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/bytes.h"

/*
 * DHCP messages (RFC 2131, 2132, 3396): bytes to a checked message and back. IPv4 addresses are in
 * host order on this side.
 */
#define BR_DHCP_SERVER_PORT 67
#define BR_DHCP_CLIENT_PORT 68
#define BR_DHCP_PXE_PORT 4011 /* PXE 2.1: a boot server's port */
#define BR_DHCP_PACKET_MAX 1472 /* UDP payload in an Ethernet frame */
#define BR_DHCP_HEADER_LEN 240	/* BOOTP header and cookie */
#define BR_DHCP_REPLY_MIN 300	/* BOOTP (RFC 951); the kernel's ip=dhcp drops shorter ones */
#define BR_DHCP_DEFAULT_MAX 548 /* UDP payload every client must take: 576 less IP and UDP headers */

enum br_dhcp_op {
	BR_DHCP_BOOTREQUEST = 1,
	BR_DHCP_BOOTREPLY = 2,
};

enum br_dhcp_type { /* option 53 */
	BR_DHCP_DISCOVER = 1,
	BR_DHCP_OFFER,
	BR_DHCP_REQUEST,
	BR_DHCP_DECLINE,
	BR_DHCP_ACK,
	BR_DHCP_NAK,
	BR_DHCP_RELEASE,
	BR_DHCP_INFORM,
};
const char *br_dhcp_type_name(unsigned type); /* "DISCOVER"; "type?" for others */

enum br_dhcp_option_code {
	BR_DHCP_OPT_PAD = 0,
	BR_DHCP_OPT_MASK = 1,
	BR_DHCP_OPT_ROUTER = 3,
	BR_DHCP_OPT_DNS = 6,
	BR_DHCP_OPT_HOST_NAME = 12,
	BR_DHCP_OPT_DOMAIN = 15,
	BR_DHCP_OPT_ROOT_PATH = 17,
	BR_DHCP_OPT_MTU = 26,
	BR_DHCP_OPT_BROADCAST = 28,
	BR_DHCP_OPT_NIS_DOMAIN = 40,
	BR_DHCP_OPT_NTP = 42,
	BR_DHCP_OPT_VENDOR = 43,
	BR_DHCP_OPT_REQUESTED_IP = 50,
	BR_DHCP_OPT_LEASE = 51,
	BR_DHCP_OPT_OVERLOAD = 52,
	BR_DHCP_OPT_TYPE = 53,
	BR_DHCP_OPT_SERVER_ID = 54,
	BR_DHCP_OPT_PARAMETERS = 55,
	BR_DHCP_OPT_MESSAGE = 56,
	BR_DHCP_OPT_MAX_SIZE = 57,
	BR_DHCP_OPT_T1 = 58,
	BR_DHCP_OPT_T2 = 59,
	BR_DHCP_OPT_CLASS = 60,
	BR_DHCP_OPT_CLIENT_ID = 61,
	BR_DHCP_OPT_TFTP_NAME = 66,
	BR_DHCP_OPT_BOOT_FILE = 67,
	BR_DHCP_OPT_USER_CLASS = 77,
	BR_DHCP_OPT_RELAY = 82,
	BR_DHCP_OPT_ARCH = 93,
	BR_DHCP_OPT_NDI = 94,
	BR_DHCP_OPT_GUID = 97,
	BR_DHCP_OPT_SUBNET = 118, /* RFC 3011 */
	BR_DHCP_OPT_IPXE = 175,
	BR_DHCP_OPT_END = 255,
};

/* The fixed part. */
struct br_dhcp_header {
	uint8_t op;
	uint8_t hops;
	uint32_t xid;
	uint16_t secs;
	bool broadcast; /* flags, bit 15 */
	uint32_t ciaddr, yiaddr, siaddr, giaddr;
	struct br_mac chaddr;
	char sname[65]; /* "" when it carries options (52) */
	char file[129];
};

/* A message that was checked. The parts of an option that was split or spread over sname and file are joined. */
struct br_dhcp_message {
	struct br_dhcp_header h;
	uint8_t type;	     /* option 53 */
	uint8_t order[256];  /* option codes in order of their first appearance */
	unsigned n_order;
	bool present[256];
	uint16_t at[256], len[256]; /* in data */
	uint8_t data[BR_DHCP_PACKET_MAX];
};

/*
 * Refused, -EBADMSG: longer than BR_DHCP_PACKET_MAX; shorter than header and cookie; another cookie; op neither request
 * nor reply; not Ethernet (htype 1, hlen 6); an option that runs over the end of its field; no option 53 (plain
 * BOOTP), or 50, 52, 53, 54 of another length than theirs, or 52 other than 1, 2, 3. Not refused: a missing end mark,
 * bytes behind it, pads, unknown options. Options of a wrong length other than those four count as absent in the typed
 * getters. ret is written only on success.
 */
int br_dhcp_decode(const void *packet, size_t len, struct br_dhcp_message *ret);

/* The joined bytes, NULL when absent (an empty option is not NULL). */
const uint8_t *br_dhcp_option(const struct br_dhcp_message *m, uint8_t code, size_t *ret_len);
bool br_dhcp_has(const struct br_dhcp_message *m, uint8_t code);
/* False when absent or of another length. */
bool br_dhcp_option_u16(const struct br_dhcp_message *m, uint8_t code, uint16_t *ret);
bool br_dhcp_option_u32(const struct br_dhcp_message *m, uint8_t code, uint32_t *ret);
/* First address of one or more; 0 when absent, of an illegal length, or 0. */
uint32_t br_dhcp_option_ip(const struct br_dhcp_message *m, uint8_t code);
/* Text up to its first NUL, bytes other than printable ASCII as '?', cut to size - 1. "" when absent. Returns out. */
const char *br_dhcp_option_text(const struct br_dhcp_message *m, uint8_t code, char *out, size_t size);
/* The option is exactly these bytes. */
bool br_dhcp_option_is(const struct br_dhcp_message *m, uint8_t code, const void *bytes, size_t n);
/* An address in a sub-option of the relay's option (82): 5 link selection (RFC 3527), 11 server id override (RFC 5107).
 * 0 when absent or malformed. */
enum br_dhcp_relay_sub { BR_DHCP_RELAY_LINK = 5, BR_DHCP_RELAY_SERVER_ID = 11 };
uint32_t br_dhcp_relay_ip(const struct br_dhcp_message *m, uint8_t sub);
/* Option 55 names the code. */
bool br_dhcp_asks(const struct br_dhcp_message *m, uint8_t code);

/*
 * Builder: begin, add in the order wanted, end. An option that does not fit whole (room for the end mark kept) is not
 * written and fails the builder, unless it was only tried.
 */
struct br_dhcp_builder {
	struct br_writer w;
};
/* buf of cap bytes, at least BR_DHCP_HEADER_LEN + 1. */
void br_dhcp_begin(struct br_dhcp_builder *b, void *buf, size_t cap, const struct br_dhcp_header *h);
/* More than 255 bytes are split (RFC 3396). */
void br_dhcp_add(struct br_dhcp_builder *b, uint8_t code, const void *data, size_t n);
bool br_dhcp_try_add(struct br_dhcp_builder *b, uint8_t code, const void *data, size_t n);
void br_dhcp_add_u8(struct br_dhcp_builder *b, uint8_t code, uint8_t v);
void br_dhcp_add_u16(struct br_dhcp_builder *b, uint8_t code, uint16_t v);
void br_dhcp_add_u32(struct br_dhcp_builder *b, uint8_t code, uint32_t v); /* addresses too */
void br_dhcp_add_text(struct br_dhcp_builder *b, uint8_t code, const char *s);
/* End mark, then zeros up to min bytes (as far as they fit). Returns the length, -ENOBUFS when something did not fit. */
int br_dhcp_end(struct br_dhcp_builder *b, size_t min);

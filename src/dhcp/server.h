/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "pi/identity.h"
#include "wire/dhcp.h"

/*
 * DHCP server (RFC 2131, 2132, 4578) for one interface: bytes and time in, at most one
 * reply out. No sockets, no clock, no storage: those come in through the operations.
 *
 * classify.c says which client it is, server.c what RFC 2131 wants done, reply.c what
 * each kind of client gets to read.
 */
struct br_dhcp_server;

enum br_dhcp_client_kind { /* told apart by shape, never by MAC: wire notes, table at the top */
	BR_DHCP_OTHER,	      /* any client that is none of these */
	BR_DHCP_ROM,	      /* S0: BCM2837 mask ROM; never sends REQUEST */
	BR_DHCP_BOOTCODE,     /* S1: bootcode.bin, and those 3B+ ROMs that ask like it; never sends REQUEST */
	BR_DHCP_EEPROM,	      /* S1': Pi 4 and 5 bootloader */
	BR_DHCP_UBOOT,	      /* S2' */
	BR_DHCP_IPXE,	      /* S2' */
	BR_DHCP_UEFI,	      /* S2' */
	BR_DHCP_KERNEL,	      /* S3 */
	BR_DHCP_INITRAMFS,    /* S4: klibc ipconfig */
	BR_DHCP_OS,	      /* S5: has options 61 and 57, or dhcpcd's class */
	BR_DHCP_N_KINDS,
};
const char *br_dhcp_client_name(enum br_dhcp_client_kind kind); /* "rom", "bootcode", "eeprom" ... */

struct br_dhcp_client {
	enum br_dhcp_client_kind kind;
	struct br_mac mac;
	struct br_pi_guid guid;
	uint32_t xid;
	uint32_t wanted_ip; /* option 50 or ciaddr, 0: none */
	uint32_t relay_ip;  /* giaddr, 0: none */
	uint32_t link_ip;   /* an address of the network it is on, when that is not ours; 0: ours */
	bool proxy;	    /* another server gives the address: all but that is wanted */
	bool http;	    /* a UEFI that asks for a URL (class HTTPClient) */
	uint16_t arch;	    /* of PXE (option 93, else the class); 0: not told, or a PC's BIOS as all Pi firmware says */
	char host_name[64]; /* option 12, cleaned; "" when absent */
	char vendor_class[64]; /* option 60, cleaned */
	char model[40];	    /* what a U-Boot with a stage 1 says it runs on ("rpi-3-b-plus", "3-b-plus"); "" : none */
};

/* ROM, bootcode.bin or EEPROM: the stages that fetch boot files and begin a boot. */
bool br_dhcp_client_is_firmware(enum br_dhcp_client_kind kind);

/* U-Boot, UEFI or iPXE: what the firmware may start instead of a kernel, and asks again. */
bool br_dhcp_client_is_loader(enum br_dhcp_client_kind kind);

struct br_dhcp_client;
/* A running system's own client: one that is known (BR_DHCP_OS), or none that boots anything: ISC dhclient and udhcpc have no
 * shape that would tell them from a stranger. */
bool br_dhcp_client_may_be_system(const struct br_dhcp_client *c);

/* What the client gets, filled by ops->address. */
struct br_dhcp_grant {
	uint32_t ip;
	uint32_t lease_s; /* 0: one hour */
	char host_name[64]; /* option 12; "" : none */
	char root_path[256]; /* option 17 for kernel and initramfs; "" : none */
	bool boot; /* it is a board of ours: tell firmware where the boot files are */
	bool stored; /* what it says is in the database: see ops->commit */
	char boot_file[192]; /* for loaders: a name for TFTP, or a URL; "" : none */
};

enum br_dhcp_report_kind {
	BR_DHCP_REPORT_OFFER, /* ip 0: as a proxy */
	BR_DHCP_REPORT_ACK,
	BR_DHCP_REPORT_NAK,
	BR_DHCP_REPORT_RELEASE,
	BR_DHCP_REPORT_DECLINE,
	BR_DHCP_REPORT_ELSEWHERE, /* the client takes the address that another server offered */
	BR_DHCP_REPORT_NO_SUBNET, /* ip: the relay's network, for which there is no range; silence */
};
struct br_dhcp_report {
	enum br_dhcp_report_kind kind;
	const struct br_dhcp_client *client;
	uint32_t ip;
	const char *reason; /* NAK, DECLINE: words, safe to print; otherwise NULL */
	uint32_t server_ip; /* ELSEWHERE: whose; otherwise 0 */
};

enum br_dhcp_mode {
	BR_DHCP_FULL,	/* gives addresses */
	BR_DHCP_PROXY,	/* another server does; we tell boards where their boot files are */
	BR_DHCP_SILENT, /* only listens: 'auto' has not decided yet */
};
const char *br_dhcp_mode_name(enum br_dhcp_mode mode); /* "full", "proxy", "listening" */

/* A reply of another DHCP server, as it was seen on the wire. */
struct br_dhcp_foreign {
	uint32_t server_ip;	   /* option 54, else where it came from */
	struct br_mac server_mac;  /* the sender's, of the server or of a relay */
	struct br_mac client_mac;
	uint8_t type;		   /* OFFER, ACK or NAK */
	uint32_t offered;	   /* 0: none (a proxy's offer, an answer to an INFORM, a NAK) */
	unsigned prefix;	   /* of that address, 0: not told */
	bool boots;		   /* names a TFTP server as the firmware reads it: option 66, or its item in 43 */
	bool menu;		   /* has a boot menu (option 43) */
};

struct br_dhcp_ops {
	/* Finds or makes the client's address; stable when it returns 0, or by ops->commit. offer: false for anything but a DISCOVER, in which
	 * case no new address may be made. -ENOENT: not ours, stay silent. -ENOSPC: none left. -EINPROGRESS: its
	 * turn comes later, silence until then. Any other failure: silence. */
	int (*address)(void *ctx, const struct br_dhcp_client *client, bool offer, struct br_dhcp_grant *ret);
	void (*report)(void *ctx, const struct br_dhcp_report *report);
	/*
	 * Group commit; both may be NULL. What address() stores between begin and commit becomes stable together. commit: 1
	 * with a ticket, greater than those before: replies that say 'stored' wait until br_dhcp_io_stable() is told of
	 * it; 0: nothing new was stored; negative: nothing was, and none of them may be sent.
	 */
	void (*begin)(void *ctx);
	void (*pause)(void *ctx); /* begin goes on with what was not committed; may be NULL where these are */
	int (*commit)(void *ctx, uint64_t *ret_ticket);
	/* Another server spoke. fresh: for the first time in ten minutes (bounded in number, too). May be NULL. */
	void (*foreign)(void *ctx, const struct br_dhcp_foreign *f, bool fresh);
	/* Somebody answered an ARP question of ours, in full mode. May be NULL. */
	void (*arp)(void *ctx, uint32_t ip, struct br_mac mac);
	/* 'auto' has decided, or decided anew. because: who gives addresses here; NULL: nobody answered. May be NULL. */
	void (*mode)(void *ctx, enum br_dhcp_mode mode, const struct br_dhcp_foreign *because);
};

#define BR_DHCP_MAX_ADDRESSES 4 /* routers, name servers, time servers each */
#define BR_DHCP_MAX_SUBNETS 16

/* A network behind a relay that has a range of its own. */
struct br_dhcp_subnet {
	uint32_t net;
	unsigned prefix;
	uint32_t first, last; /* addresses to give, inclusive */
	uint32_t router_ip;   /* 0: the relay */
};

struct br_dhcp_options {
	uint32_t server_ip; /* also the TFTP server */
	unsigned prefix;
	/* each ends at the first 0 */
	uint32_t router_ip[BR_DHCP_MAX_ADDRESSES], dns_ip[BR_DHCP_MAX_ADDRESSES], ntp_ip[BR_DHCP_MAX_ADDRESSES];
	char domain[128]; /* "" : none */
	struct br_dhcp_subnet subnets[BR_DHCP_MAX_SUBNETS];
	size_t n_subnets;
	enum br_dhcp_mode mode;
	/* Listens first: the mode is then silent, until it is known whether another server is here; give: when there is
	 * none, give addresses. Otherwise 'mode' stays as it is. */
	bool automatic, give;
	struct br_mac mac;  /* ours: for the probe */
	uint32_t probe_xid; /* random; 0: never probe */
	const struct br_dhcp_ops *ops;
	void *ctx;
};

int br_dhcp_server_new(const struct br_dhcp_options *opt, struct br_dhcp_server **ret);
void br_dhcp_server_free(struct br_dhcp_server *server);
uint32_t br_dhcp_server_ip(const struct br_dhcp_server *server);
enum br_dhcp_mode br_dhcp_server_mode(const struct br_dhcp_server *server);

struct br_dhcp_reply {
	uint8_t packet[BR_DHCP_PACKET_MAX]; /* BOOTP message */
	size_t len;
	uint32_t to_ip;	      /* broadcast (255.255.255.255), yiaddr, ciaddr or the relay */
	uint16_t to_port;     /* 68, or 67 to a relay */
	struct br_mac to_mac; /* for frames sent without ARP; all ff with a broadcast; zero: routed, as any UDP packet */
	/* When to send the client an empty unicast frame (0: not): the 3B ROM looks at our OFFER only when another frame
	 * comes after its one-second timer. */
	uint64_t nudge_ns[2];
	struct br_mac nudge_mac;
	bool stored; /* says what must be stable before it is sent: ops->commit */
	bool held;   /* there is none yet: the request may be handled once more when the client's turn has come */
	struct br_mac client_mac;
};

/* The ethertype of the nudge: Wake-on-LAN's, which nothing acts upon here. */
#define BR_DHCP_NUDGE_ETHERTYPE 0x0842

/* A UDP payload that arrived on port 67. Returns 1 with a reply, 0 when none is due, -EBADMSG for a packet that is
 * no DHCP request (counted by the caller). A relay is served when it sits in our subnet or in one of opt.subnets. */
int br_dhcp_handle(struct br_dhcp_server *server, const uint8_t *packet, size_t len, uint64_t now_ns,
	struct br_dhcp_reply *reply);
/* Around the calls of br_dhcp_handle() whose replies are sent together: ops->begin, ops->commit. */
void br_dhcp_group_begin(struct br_dhcp_server *server);
void br_dhcp_group_pause(struct br_dhcp_server *server);
int br_dhcp_group_end(struct br_dhcp_server *server, uint64_t *ret_ticket);
/* As br_dhcp_handle() for port 4011 (PXE 2.1: a client that knows its address asks the boot server). The reply goes back to where
 * the packet came from, and reply->to_ip is left 0. */
int br_dhcp_handle_pxe(struct br_dhcp_server *server, const uint8_t *packet, size_t len, struct br_dhcp_reply *reply);

/*
 * Time. Returns 1 with a probe of our own to send (a message for port 67, sent from port 68 to everybody), 0 when none
 * is due; again until it returns 0. ret_next: when to call next. Decides for 'auto' when the time is up.
 */
int br_dhcp_tick(struct br_dhcp_server *server, uint64_t now_ns, uint8_t out[static BR_DHCP_PACKET_MAX], size_t *ret_len,
	uint64_t *ret_next);
void br_dhcp_heard_arp(struct br_dhcp_server *server, uint32_t ip, struct br_mac mac);
/* Another server's reply was seen (watch.h). */
void br_dhcp_heard(struct br_dhcp_server *server, const struct br_dhcp_foreign *f, uint64_t now_ns);

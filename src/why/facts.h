/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "dhcp/server.h"
#include "why/frame.h"

/*
 * What the wire told about one board: counters and times, no packets. Every table is bounded; what does not fit
 * takes the place of the oldest. Times are monotonic, ns; 0 is never.
 *
 * They are of one power-on ("life"): the firmware's first DISCOVER after the board was further, or after a
 * silence, begins anew and leaves one line in the history.
 */
#define BR_WHY_SERVERS 4  /* DHCP servers and relays on one segment */
#define BR_WHY_ARPS 4	  /* addresses a board looks for in one boot */
#define BR_WHY_FILES 64	  /* names a stock boot asks for: 30 to 45 (wire notes 2.3) */
#define BR_WHY_NAME 64
#define BR_WHY_PORTS 3
#define BR_WHY_LIVES 8
#define BR_WHY_WORDS 160

/* Something that happened n times. */
struct br_why_span {
	unsigned n;
	uint64_t first_ns, last_ns;
};

struct br_why_server { /* a DHCP server, or a relay */
	uint32_t ip;   /* source of its packets */
	uint32_t id;   /* option 54 */
	uint32_t yiaddr; /* last offered, 0: none (a proxy) */
	bool ours;
	/* of any of its OFFERs in this life */
	bool tftp_name;	 /* option 66 */
	bool pi_item;	 /* option 43 holds "Raspberry Pi Boot" */
	bool padded;	 /* ... followed by three spaces */
	bool other_item; /* option 43 has a menu without it */
	bool relayed;	 /* giaddr */
	bool small;	 /* less than 300 bytes of BOOTP */
	uint64_t fastest_ns; /* from DISCOVER to OFFER */
	struct br_why_span offer, ack, nak;
};

struct br_why_arp {
	uint32_t ip;
	unsigned n_streak; /* questions since the first of a row in quick succession: an answer, which a switch may
			    * keep from us, would have ended it */
	struct br_why_span asked, answered;
};

struct br_why_file { /* a name asked for by TFTP */
	char name[BR_WHY_NAME]; /* as asked, cleaned; "" : free */
	struct br_why_span asked;
	unsigned n_repeats; /* of the same request, same port, within seconds */
	unsigned n_oack, n_data, n_missing, n_errors; /* answers: OACK, DATA 1, ERROR 1, other ERRORs */
	unsigned n_stopped; /* ERROR 0 or 8 by the board: "Early terminate" */
	uint16_t port;	    /* of the last request */
	uint16_t blksize;   /* asked for, 0: not */
	uint16_t granted;   /* in the last OACK, 0: not */
	uint32_t server_ip; /* asked */
	uint64_t answered_ns; /* last */
	uint64_t good_ns, stopped_ns; /* last OACK or DATA 1; last time the board broke off */
	/* from the daemon's events */
	unsigned n_sent, n_probed, n_failed;
	uint64_t bytes, ms, retransmits; /* of the last */
	uint64_t done_ns, failed_ns;	 /* the last of them, the last that failed */
};

struct br_why_port { /* connections to 111, 20048 (mountd), 2049 */
	uint16_t port;
	uint32_t ip;
	struct br_why_span syn, open, refused;
};

enum br_why_http { BR_WHY_HTTP_SIG, BR_WHY_HTTP_IMG, BR_WHY_HTTP_OTHER, BR_WHY_N_HTTP };
struct br_why_web { /* a file asked for by HTTP */
	char path[BR_WHY_NAME];
	struct br_why_span head, get;
	uint16_t status; /* of the last answer, 0: none */
	uint64_t answered_ns;
};

enum br_why_reached { /* what the wire shows of one life */
	BR_WHY_HEARD,
	BR_WHY_ASKED,	/* DHCP */
	BR_WHY_FETCHED, /* boot files */
	BR_WHY_KERNEL,	/* the kernel was fetched, or asked for an address */
	BR_WHY_MOUNTED,
};

struct br_why_life {
	uint64_t start_ns, end_ns;
	enum br_why_reached reached;
	bool updated; /* fetched pieeprom.upd */
};

struct br_why_facts {
	struct br_mac mac;
	struct br_pi_guid guid;
	uint32_t guid_was; /* an earlier serial of this MAC, 0: none */
	uint32_t ip;	   /* last known address */
	struct br_mac rival; /* another MAC that claims it */
	uint64_t born_ns;  /* this life */
	uint64_t last_ns;  /* last frame from the board */
	struct br_why_life lives[BR_WHY_LIVES]; /* earlier ones, newest first */
	unsigned n_lives;

	struct {
		struct br_why_span discover, request, offered, acked;
		uint32_t ip; /* acknowledged, or offered to those that never ask */
	} dhcp[BR_DHCP_N_KINDS];
	enum br_dhcp_client_kind kind; /* who asked last */
	uint32_t xid;
	unsigned n_rounds;   /* pauses of the firmware's asking: the boot order went round */
	uint64_t longest_ns; /* of these pauses */
	struct br_why_server servers[BR_WHY_SERVERS];
	struct br_why_span nak;
	uint32_t nak_by;
	char nak_words[BR_WHY_WORDS];
	struct br_why_span item_to_loader; /* our Pi item, sent to U-Boot, UEFI or iPXE */

	struct br_why_arp arps[BR_WHY_ARPS];
	struct br_why_span nowhere; /* to aa:aa:aa:aa:aa:aa or 00:00:00:00:00:00 */
	struct br_why_span we_ask;  /* our ARP for it, since its last sign of life in ARP */

	struct br_why_file files[BR_WHY_FILES];
	struct br_why_span rrq;
	unsigned last_file;

	struct br_why_port ports[BR_WHY_PORTS];
	struct {
		uint32_t xid, program, procedure;
	} call;
	struct br_why_span no_port; /* GETPORT answered 0 */
	uint32_t no_port_program, no_port_version;
	struct br_why_span mnt, mounted;
	uint32_t mnt_version, mnt_status;
	bool mnt_answered;
	char mnt_path[BR_WHY_WORDS];
	struct br_why_span rpc_denied;
	uint32_t rpc_denied_how; /* 1 PROG_UNAVAIL, 2 PROG_MISMATCH; 16 + auth_stat */

	struct br_why_span rarp, router_ask, dhcp6, for_nobody, garbage;
	struct br_why_span dns, dns_answer;
	struct br_why_span tls, tls_alert;
	struct br_why_span console;
	char console_words[BR_WHY_WORDS]; /* the last line that tells of trouble, else the last */
	bool console_trouble;
	struct br_why_web web[BR_WHY_N_HTTP];
	uint8_t web_last;	   /* enum br_why_http */
	struct br_why_span web_hung_up; /* the server ended a connection that only had a HEAD */
};

/* A frame of this board's. from_board: it sent it; else it is to the board (or about it). us: our address. */
void br_why_fold(struct br_why_facts *f, const struct br_frame *frame, bool from_board, uint32_t us, uint64_t now_ns);

enum br_why_reached br_why_reached(const struct br_why_facts *f);

/* For those that add to the facts: counts once more. */
void br_why_count(struct br_why_span *s, uint64_t now_ns);
/* The entry of a name as the board asked for it; NULL when it is not there. */
struct br_why_file *br_why_file(struct br_why_facts *f, const char *name);
/* Makes it when it is not there, in place of the oldest when all are taken. */
struct br_why_file *br_why_file_make(struct br_why_facts *f, const char *name);
/* "kernel8.img" of "5b000001/kernel8.img" */
const char *br_why_base_name(const char *name);
bool br_why_is_kernel(const char *name);
/* It was sent, or is being sent as far as the wire shows. */
bool br_why_is_fetched(const struct br_why_file *file);

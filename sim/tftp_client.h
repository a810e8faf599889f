/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The TFTP client of firmware (wire facts 2.1). One transfer; the caller owns port and server. */
struct br_sim_tftp_style {
	uint16_t blksize;     /* asked for; 0: never asks, 512 */
	bool asks_tsize;
	bool needs_tsize;     /* counts a file as missing when no OACK with tsize came (FW#1913) */
	bool rolls;	      /* block 65535 is followed by 0; else the transfer stops there */
	uint16_t first_port;  /* 0: random start; +1 for every RRQ either way */
	bool same_port;	      /* 3B ROM: first_port for every RRQ */
	uint64_t retry_ns;    /* silence before the last packet is sent again */
	uint64_t timeout_ns;  /* for the whole file */
};

extern const struct br_sim_tftp_style br_sim_tftp_rom_3b, br_sim_tftp_rom, br_sim_tftp_bcm2837, br_sim_tftp_eeprom,
	br_sim_tftp_eeprom_1024, br_sim_tftp_loader;

enum br_sim_tftp_state {
	BR_SIM_TFTP_RUNNING,
	BR_SIM_TFTP_DONE,
	BR_SIM_TFTP_PROBED,  /* it is there; ended by us with ERROR 0 */
	BR_SIM_TFTP_MISSING, /* the server answered ERROR 1 */
	BR_SIM_TFTP_FAILED,  /* why says how */
};

#define BR_SIM_TFTP_NAME_MAX 200
#define BR_SIM_TFTP_REQUEST_MAX 256  /* longest packet built here */
#define BR_SIM_FILE_MAX (1ull << 30) /* no boot file is larger; a lying server must not fill memory */
#define BR_SIM_HEAD 64		     /* bytes of the beginning always kept, for magic numbers */

struct br_sim_tftp {
	const struct br_sim_tftp_style *style;
	char name[BR_SIM_TFTP_NAME_MAX];
	bool probe, keep;
	enum br_sim_tftp_state state;
	uint16_t port, server_port; /* server_port 0: not known yet */
	uint16_t blksize, block;    /* block: the last one in order */
	uint64_t tsize;		    /* UINT64_MAX: not told */
	uint64_t size;		    /* received in order */
	uint32_t crc;		    /* CRC-32C of that */
	uint8_t head[BR_SIM_HEAD];
	uint8_t *data;		    /* all of it when keep; ours */
	size_t cap;
	bool got_oack, due;	    /* due: poll() has a packet to build */
	unsigned n_retries, n_duplicates;
	uint64_t start_ns, next_ns, end_ns;
	char why[160];
};

/*
 * probe: end with ERROR 0 at the first sign of the file. keep: hold all bytes. t must be zero or done()
 * before. name is cut to its limit by the caller's check: -ENAMETOOLONG otherwise.
 */
int br_sim_tftp_start(struct br_sim_tftp *t, const struct br_sim_tftp_style *style, const char *name, bool probe,
	bool keep, uint16_t port, uint64_t now_ns);
void br_sim_tftp_done(struct br_sim_tftp *t);
/* The packet that is due (0 when none), for port *ret_port of the server; also after the state became final. */
size_t br_sim_tftp_poll(struct br_sim_tftp *t, uint64_t now_ns, uint8_t out[static BR_SIM_TFTP_REQUEST_MAX],
	uint16_t *ret_port);
void br_sim_tftp_input(struct br_sim_tftp *t, uint64_t now_ns, uint16_t src_port, const uint8_t *data, size_t len);
uint64_t br_sim_tftp_deadline(const struct br_sim_tftp *t);

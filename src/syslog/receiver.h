/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "logs/logs.h"

/*
 * What listens to boards, in one thread of its own:
 *
 *   UDP and TCP 514   syslog: RFC 3164 and RFC 5424; on TCP framed by octet counting or newlines (RFC 6587)
 *   UDP 6666          netconsole of the kernel (basic and extended), of U-Boot and of the Pi's EEPROM bootloader; 6665 too
 *   TCP 6666          bramble-log: "bramble-log 1 STREAM\n", then lines
 *
 * A line's board is who has the sender's address. Decoding is in message.h, netconsole.h, stream.h.
 */
struct br_receiver;

#define BR_SYSLOG_PORT 514
#define BR_NETCONSOLE_PORT 6666
#define BR_NETCONSOLE_PORT_OTHER 6665
#define BR_STREAM_PORT 6666

struct br_receiver_ops {
	/* Whose address it is: 0 with the board's id, -ENOENT: a stranger's, -EAGAIN: not known just now. Remembered for a while. */
	int (*whose)(void *ctx, uint32_t ip, int64_t *ret_board_id);
	/* A line is complete. */
	void (*line)(void *ctx, const struct br_logs_line *line);
	/* Datagrams were lost before we could take them. */
	void (*lost)(void *ctx, uint64_t n);
	/* Each datagram of a board on the netconsole ports as it came, before it is lines: for consoles (U-Boot's prompt). May be NULL. */
	void (*heard)(void *ctx, int64_t board_id, uint32_t ip, const void *data, size_t n);
};

struct br_receiver_options {
	uint32_t ip;	      /* address to bind, 0: any; netconsole comes by broadcast, too, and takes any */
	const char *interface; /* that netconsole is heard on; NULL: all */
	uint16_t syslog_port; /* 0: BR_SYSLOG_PORT and the like; BR_RECEIVER_OFF: not at all */
	uint16_t netconsole_port, stream_port;
	unsigned max_connections; /* 0: 1024; of one address at most a sixteenth */
	const struct br_receiver_ops *ops; /* called from the receiver's thread only */
	void *ctx;
};
#define BR_RECEIVER_OFF 65535

/*
 * Binds what can be bound, while still root. A port that somebody has is no failure: *ret_taken gets words on each such (with the
 * cure), "; " between, fresh memory (free()), or NULL.
 */
int br_receiver_open(const struct br_receiver_options *opt, struct br_receiver **ret, char **ret_taken, struct br_error *err);
/* Starts the thread; what came since the opening waits in the sockets. */
int br_receiver_start(struct br_receiver *rx, struct br_error *err);
/* NULL is accepted. */
void br_receiver_stop(struct br_receiver *rx);

/* Ports in use, 0: not open. */
uint16_t br_receiver_syslog_port(const struct br_receiver *rx);
uint16_t br_receiver_netconsole_port(const struct br_receiver *rx);
uint16_t br_receiver_stream_port(const struct br_receiver *rx);
/* From any thread: bytes to a board's U-Boot, from the port it listens for (its netconsole's). 0 or a negative errno. */
int br_receiver_send(struct br_receiver *rx, uint32_t ip, uint16_t port, const void *data, size_t n);

struct br_receiver_stats {
	uint64_t datagrams, bytes, dropped; /* dropped: by the sockets */
	uint64_t malformed;		    /* not as the format says; kept as text all the same */
	uint64_t connections, refused;	    /* open now; too many */
};
void br_receiver_stats(struct br_receiver *rx, struct br_receiver_stats *ret);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/error.h"

/*
 * Where a board's console is (br_board.console):
 *   tty:/dev/serial/by-id/usb-FTDI...[?speed=115200]  a serial line here, 8N1
 *   rfc2217://HOST[:PORT][?speed=115200]	       a terminal server that speaks RFC 2217 (ser2net), port 2217
 *   telnet://HOST[:PORT]			       one that speaks plain Telnet, port 23
 *   tcp://HOST:PORT				       bytes as they are
 *   unix:/path					       a Unix socket, as QEMU's serial lines have
 *   netconsole:[PORT]				       U-Boot's netconsole; PORT is the board's ncinport (6666)
 */
enum br_console_kind {
	BR_CONSOLE_TTY,
	BR_CONSOLE_RFC2217,
	BR_CONSOLE_TELNET,
	BR_CONSOLE_TCP,
	BR_CONSOLE_UNIX,
	BR_CONSOLE_NETCONSOLE,
};

struct br_console_uri {
	enum br_console_kind kind;
	char path[108]; /* of a tty or a Unix socket: "/dev/ttyUSB0" */
	char host[100]; /* a name, an IPv4 address, or an IPv6 address (without its brackets) */
	uint16_t port;
	uint32_t speed; /* bits a second */
};

/* -EINVAL with what would be right. */
int br_console_uri_parse(const char *text, struct br_console_uri *ret, struct br_error *err);

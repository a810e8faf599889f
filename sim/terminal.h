/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

#include "base/error.h"

/*
 * Where a board's serial console goes: this terminal (each key to the board, Ctrl-A x
 * leaves), a file (output only), or whoever connects to a Unix socket.
 */
struct br_sim_terminal {
	int in_fd, out_fd; /* -1: none now */
	int listen_fd;
	bool raw, command; /* the terminal was changed; Ctrl-A was typed */
	bool leave;	   /* Ctrl-A x was typed */
	struct termios saved;
	char *path; /* of the socket, removed by close() */
	char *kept; /* printed, and not taken yet */
	size_t n_kept;
};

#define BR_SIM_TERMINAL_NULL ((struct br_sim_terminal){ .in_fd = -1, .out_fd = -1, .listen_fd = -1 })

/* spec: "-" (the terminal of stdin and stdout), "unix:PATH" or a file's path (appended to). */
int br_sim_terminal_open(const char *spec, struct br_sim_terminal *ret, struct br_error *err);
/* The terminal is as it was before. */
void br_sim_terminal_close(struct br_sim_terminal *t);
/* A client for listen_fd. */
void br_sim_terminal_accept(struct br_sim_terminal *t);
/* Typed bytes that are for the board: how many, 0 when none; at the end of input in_fd becomes -1. */
size_t br_sim_terminal_read(struct br_sim_terminal *t, char *buf, size_t cap);
/* What the board printed. Never waits: who does not read for long loses bytes, as on a serial line. */
void br_sim_terminal_write(struct br_sim_terminal *t, const char *data, size_t n);
/* Is something kept that out_fd did not take? When it does: flush. */
bool br_sim_terminal_waits(const struct br_sim_terminal *t);
void br_sim_terminal_flush(struct br_sim_terminal *t);

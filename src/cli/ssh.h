/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/client.h"
#include "base/error.h"

/*
 * Commands on boards through OpenSSH's ssh, with the host key that the daemon gave the board: nothing is trusted at first
 * sight, another key is an error. Who logs in: --user, else $BRAMBLE_SSH_USER, else "root". With which key: the user's agent
 * and files, as ssh does. It never asks for a password when it runs a command (BatchMode).
 */
struct br_ssh_host {
	char board[64];
	char address[16];	   /* IPv4 */
	char user[33];
	char *known_hosts;	   /* path of a file of its own, removed by br_ssh_host_done() */
};

/* Asks the daemon for address and host key. -ENOENT: no such board; -EHOSTUNREACH: it has no address (yet). user: NULL: as above. */
int br_ssh_host(struct br_client *client, const char *board, const char *user, struct br_ssh_host *ret, struct br_error *err);
void br_ssh_host_done(struct br_ssh_host *host);

enum br_ssh_end {
	BR_SSH_RAN,	    /* the command ended; status is its exit code, 128 + N for a signal */
	BR_SSH_UNREACHABLE, /* no connection, or it broke off */
	BR_SSH_WRONG_KEY,   /* the host key is not the one that the board was given */
	BR_SSH_DENIED,	    /* no key of ours may log in */
	BR_SSH_TIMEOUT,
	BR_SSH_CANCELLED,
};

struct br_ssh_result {
	enum br_ssh_end end;
	int status;
	char words[300]; /* why not, when end is none of BR_SSH_RAN */
};

struct br_ssh_run {
	char *const *argv;  /* ended by NULL; one word is given to the board's shell as it is, several are quoted */
	uint64_t timeout_ns; /* 0: none */
	unsigned connect_s;  /* how long it may take to connect; 0: 10 */
	/* what the command writes (stream 1 or 2), in the thread that called; NULL: to our own stdout and stderr */
	void (*output)(void *ctx, int stream, const void *data, size_t n);
	void *ctx;
	const bool *cancelled; /* may be NULL; looked at every 100 ms */
};

/* Runs a command on a board and waits for its end. Its stdin is empty. 0 with *ret; negative when ssh cannot be started. */
int br_ssh_exec(const struct br_ssh_host *host, const struct br_ssh_run *run, struct br_ssh_result *ret, struct br_error *err);

/*
 * Copies by scp: with upload from[0..n-1] here to the path 'to' on the board, else the board's path from[0] to 'to' here. The argv of
 * run is not used; output gets what scp says besides errors.
 */
int br_ssh_copy(const struct br_ssh_host *host, bool upload, char *const *from, size_t n, const char *to, bool recursive,
	const struct br_ssh_run *run, struct br_ssh_result *ret, struct br_error *err);

/* ---- for those who start ssh, scp and sftp themselves ---- */

#define BR_SSH_ARGS_MAX 64
struct br_ssh_args {
	char *v[BR_SSH_ARGS_MAX + 1]; /* ended by NULL; each of its own */
	size_t n;
	bool failed;
};
__attribute__((format(printf, 2, 3))) void br_ssh_args_add(struct br_ssh_args *args, const char *fmt, ...);
/* The options that say who the board is. */
void br_ssh_args_host(struct br_ssh_args *args, const struct br_ssh_host *host, unsigned connect_s);
void br_ssh_args_done(struct br_ssh_args *args);
/* Words as one command for the board's shell; free(), NULL when memory is out. */
char *br_ssh_command(char *const *argv);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The inside of the consoles: what the thread, the watchers and the writers share. */
#include <pthread.h>
#include <stdatomic.h>

#include "console/claim.h"
#include "console/console.h"
#include "console/lines.h"
#include "console/opener.h"
#include "console/ring.h"
#include "console/telnet.h"
#include "console/uri.h"
#include "fleet/fleet.h"

#define BR_CONSOLE_NOTES 8
#define BR_CONSOLE_WIRE 4096

/* Words about the connection, at their place in the stream. */
struct br_console_note {
	uint64_t at;
	char text[320];
};

struct br_console {
	struct br_console *next, *prev;
	struct br_consoles *all;
	int64_t board_id;
	char name[BR_BOARD_NAME_MAX + 1];
	char text[256]; /* the URI */
	struct br_console_uri uri;

	/* under the lock */
	unsigned refs; /* of the table and the readers */
	bool gone;     /* out of the table: readers end */
	enum br_console_state state;
	char reason[256];
	uint64_t since_wall_ns, in, out;
	struct br_ring ring;
	pthread_cond_t news; /* bytes, room, a note, the end */
	struct br_console_note notes[BR_CONSOLE_NOTES];
	uint64_t n_notes; /* that ever were */
	struct br_claim claim;
	unsigned watchers;
	uint8_t queue[BR_CONSOLE_WRITE_MAX];
	size_t n_queue;
	bool break_wanted;
	uint32_t ip; /* netconsole: where the board was heard; 0: not known */

	/* the thread's own */
	int fd;
	struct br_opener *opener;
	struct br_telnet telnet;
	uint8_t wire[BR_CONSOLE_WIRE];
	size_t n_wire, wire_sent;
	uint64_t try_ns, wait_ns, up_ns, break_until_ns, heard_ns, pause_ns;
	struct br_lines lines;
	enum br_console_state told; /* as an event */
	char told_reason[256];
	size_t poll_at; /* index of its descriptor, SIZE_MAX: none */
};

struct br_consoles {
	struct br_fleet *fleet;
	void (*line)(void *ctx, int64_t board_id, const char *text, size_t n);
	void *ctx;
	void *listener;
	pthread_t thread;
	int wake_fd, udp_fd;
	atomic_bool stop, reload;
	pthread_mutex_t lock;
	struct br_console *list; /* changed by the thread alone, with the lock */
	unsigned n_watchers;
	uint64_t in, out; /* of all, those that are gone too */
	void *metrics;
};

/* With the lock. */
struct br_console *br_console_find(struct br_consoles *c, int64_t board_id);
void br_console_unref(struct br_console *con);
void br_console_note(struct br_console *con, const char *text);
void br_console_state_set(struct br_console *con, enum br_console_state state, const char *reason);
/* From any thread: there is something to do. */
void br_consoles_wake(struct br_consoles *c);

/* wire.c: bytes between a console and its line, in the thread. */
bool br_console_is_telnet(const struct br_console *con);
/* The connection is there: what is said first. */
void br_console_wire_start(struct br_console *con);
/* Takes what came, if anything did: 0, or why the connection is over, with words. */
int br_console_wire_read(struct br_console *con, uint64_t now_ns, struct br_error *err);
/* Sends what waits, as far as the line takes it. */
int br_console_wire_send(struct br_console *con, uint64_t now_ns, struct br_error *err);
/* Whether it waits for the line to take more. */
bool br_console_wire_waits(struct br_console *con);
/* A line that has no end for a while is one all the same. */
void br_console_wire_idle(struct br_console *con, uint64_t now_ns);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * The boards' consoles. One thread keeps a connection per board that has a console URI, opens lost ones again
 * (after 1 s, then ever more slowly up to 30 s, and says why not), keeps the last BR_CONSOLE_RING bytes of each, and gives
 * complete lines to who records them. Many watch, one writes: a claim says who. All calls may come from any thread.
 */
#define BR_CONSOLE_RING (256u << 10)
#define BR_CONSOLE_WRITE_MAX (64u << 10)    /* bytes that may wait for a slow line */
#define BR_CONSOLE_CLAIM_NS 15000000000ull /* a claim nobody renews or watches with ends after so long */

struct br_consoles;
struct br_fleet;

struct br_console_options {
	struct br_fleet *fleet; /* outlives it; boards that are made or edited later are noticed by their events */
	/* Each line of a serial console, without its end, from one thread; may be NULL. */
	void (*line)(void *ctx, int64_t board_id, const char *text, size_t n);
	void *ctx;
};

int br_consoles_start(const struct br_console_options *opt, struct br_consoles **ret, struct br_error *err);
/* Watchers must have ended. Takes NULL. */
void br_consoles_stop(struct br_consoles *c);

/* Whether a text may be a board's console. */
bool br_console_uri_ok(const char *uri, struct br_error *err);

/*
 * What a board said over U-Boot's netconsole (part logs has UDP 6666): kept and shown when the board's console is
 * "netconsole:", else passed over. ip, host order: where to send what is typed. Logs records the lines itself.
 */
void br_console_heard(struct br_consoles *c, int64_t board_id, uint32_t ip, const void *data, size_t n);

enum br_console_state {
	BR_CONSOLE_NONE,       /* the board has no console */
	BR_CONSOLE_CONNECTING, /* being opened */
	BR_CONSOLE_UP,
	BR_CONSOLE_AWAY,       /* it cannot be opened, or went; 'reason' says why, and it is tried again */
};
const char *br_console_state_name(enum br_console_state state); /* "none", "connecting", "up", "away" */

struct br_console_status {
	enum br_console_state state;
	char uri[256];
	char reason[256];	/* "" when it is up */
	uint64_t since_wall_ns; /* of the state */
	uint64_t in, out;	/* bytes since it was set */
	uint64_t position;	/* of the next byte */
	unsigned watchers;
	char writer[64];	/* who holds the claim; "" : nobody */
	uint64_t writer_wall_ns;
};
/* All boards have one; -ENOMEM only. */
int br_console_status(struct br_consoles *c, int64_t board_id, struct br_console_status *ret);

/* ---- watching ---- */

/*
 * A reader has no buffer but the ring: a slow one loses bytes, is told how many, and holds up nobody. tail: so many bytes
 * of the past first, UINT64_MAX: all there are. -ENODEV: the board has no console, with words.
 */
struct br_console_reader;
int br_console_watch(struct br_consoles *c, int64_t board_id, uint64_t tail, struct br_console_reader **ret,
	struct br_error *err);
/* Goes on at a position (of the status), as far as it is still there. */
void br_console_seek(struct br_console_reader *reader, uint64_t position);
void br_console_unwatch(struct br_console_reader *reader);
/*
 * Bytes, waiting up to wait_ms for some: how many, 0 when there were none, -ENODEV when the board or its console is gone.
 * *ret_lost: how many were lost before these. Notes on the connection ("[bramble: ...]" lines) are between the bytes when
 * notes is set.
 */
int br_console_read(struct br_console_reader *reader, void *buf, size_t max, unsigned wait_ms, bool notes,
	uint64_t *ret_lost);

/* ---- writing ---- */

/*
 * The claim: id says whose (0: a new one). Claiming again with one's id renews it. -EBUSY with words who has it, unless
 * steal. who: for others to read, made fit to print.
 */
int br_console_claim(struct br_consoles *c, int64_t board_id, const char *who, bool steal, uint64_t *id,
	struct br_error *err);
/* Nothing happens when it is somebody else's by now: 0; 1 when it was released. */
int br_console_release(struct br_consoles *c, int64_t board_id, uint64_t id);
/* Binds the claim to a reader: while it watches the claim stays, when it ends the claim ends. -EPERM: it is not id's. */
int br_console_bind(struct br_console_reader *reader, uint64_t id, struct br_error *err);

/*
 * Queues bytes for the board, all or none of them, waiting up to wait_ms for room. id: of the claim; 0 for who has none,
 * which is fine while nobody has. -EBUSY: somebody else writes; -ENOTCONN: it is away, with words; -ETIMEDOUT: the line does
 * not take them.
 */
int br_console_write(struct br_consoles *c, int64_t board_id, uint64_t id, const void *data, size_t n, unsigned wait_ms,
	struct br_error *err);
/* A BREAK of about 300 ms (SysRq for kernels). -EOPNOTSUPP where the line has none. As br_console_write() otherwise. */
int br_console_break(struct br_consoles *c, int64_t board_id, uint64_t id, struct br_error *err);

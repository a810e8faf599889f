/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The parts of bramble console. */
#include <pthread.h>
#include <stdatomic.h>

#include "cli/table.h"
#include "console/cast.h"
#include "console/termfilter.h"

/* A step of a script, in the order of the command line. */
struct br_console_step {
	enum { BR_STEP_SEND, BR_STEP_EXPECT, BR_STEP_BREAK } kind;
	const char *text;
};

#define BR_CONSOLE_STEPS 64
struct br_console_session {
	struct br_common common;
	const char *board, *record;
	char *escaped; /* the board's name in paths */
	bool watch, steal, past, status, raw, plain;
	uint64_t tail;
	bool has_tail;
	uint64_t timeout_ns; /* 0: none */
	struct br_console_step steps[BR_CONSOLE_STEPS];
	size_t n_steps;

	struct br_client *reads, *writes; /* a stream holds the first for as long as it lasts */
	atomic_uint_least64_t writer; /* of the claim; 0: none */
	struct br_term_filter filter;
	struct br_cast *cast;
};

/* Claims the console to write: 0; -EBUSY with words: somebody else has it. */
int br_console_session_claim(struct br_console_session *s, bool steal, struct br_error *err);
/* A sign of life for the claim. -EBUSY: it was taken over. */
int br_console_session_renew(struct br_console_session *s, struct br_error *err);
void br_console_session_release(struct br_console_session *s);
int br_console_session_send(struct br_console_session *s, const void *data, size_t n, struct br_error *err);
int br_console_session_break(struct br_console_session *s, struct br_error *err);
/* How many bytes the board said so far, since the daemon watches its console. client: reads or writes, of the thread that asks. */
int br_console_session_position(const struct br_console_session *s, struct br_client *client, uint64_t *ret, struct br_error *err);
/* The path of a stream; free(). from: UINT64_MAX: the session's tail. */
char *br_console_session_path(const struct br_console_session *s, bool follow, bool notes, uint64_t from);

/* consolelive.c: for people. consolescript.c: --send, --expect. Both return an exit code. */
int br_console_live(struct br_console_session *s);
int br_console_script(struct br_console_session *s);

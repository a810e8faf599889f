/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/*
 * What of a board's bytes reaches somebody's terminal. A console is there for colours and full screens, so sequences that
 * draw pass; those that do something to the terminal itself do not: titles, clipboard, key programs (OSC, DCS, APC, PM, SOS
 * strings), window operations (CSI ... t), printing (CSI ... i), key protocols (CSI > ... m, CSI > ... u), other encodings (ESC %, ESC SP),
 * the answerback (ENQ), and the 8-bit forms of them.
 */
enum br_term_mode {
	BR_TERM_RAW,	/* all bytes as they are */
	BR_TERM_SCREEN, /* as above */
	BR_TERM_PLAIN,	/* text only: no sequences at all, no CR and NUL; other odd bytes as \xNN */
};

struct br_term_filter {
	enum br_term_mode mode;
	bool past; /* SCREEN, set by the caller: what a terminal answers to does not pass, either */
	bool alternate; /* SCREEN: the board switched to the alternate screen */
	enum {
		BR_TERM_GROUND,
		BR_TERM_ESC,	/* and its intermediate bytes */
		BR_TERM_CSI,
		BR_TERM_STRING, /* OSC and its like, up to BEL or ST */
		BR_TERM_STRING_ESC,
	} state;
	uint8_t held[64]; /* a sequence or character that is not complete */
	size_t n_held;
	size_t n_string; /* bytes of a string: one without end must not swallow all */
};

#define BR_TERM_STRING_MAX 4096

/* Adds what passes to out. */
void br_term_filter(struct br_term_filter *f, const void *data, size_t n, struct br_text *out);
/* What brings a terminal back to its senses after a board had it, whatever it left there. */
const char *br_term_restore(const struct br_term_filter *f);

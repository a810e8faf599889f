/* SPDX-License-Identifier: Apache-2.0 */
/* A small part of ECMA-48: where sequences begin and end. */
#include "console/termfilter.h"

#include <string.h>

#include "base/utf8.h"

#define ENQ 0x05
#define BEL 0x07
#define CAN 0x18
#define SUB 0x1a
#define ESC 0x1b
#define DEL 0x7f

static void drop(struct br_term_filter *f)
{
	f->state = BR_TERM_GROUND;
	f->n_held = 0;
}

/* The sequence that is held is complete. */
static void pass(struct br_term_filter *f, struct br_text *out)
{
	if (f->mode == BR_TERM_SCREEN)
		br_text_add_bytes(out, f->held, f->n_held);
	drop(f);
}

static bool hold(struct br_term_filter *f, uint8_t byte)
{
	if (f->n_held == sizeof(f->held)) {
		drop(f);
		return false;
	}
	f->held[f->n_held++] = byte;
	return true;
}

static void begin_string(struct br_term_filter *f)
{
	f->n_held = f->n_string = 0;
	f->state = BR_TERM_STRING;
}

/* An ESC in the middle of a sequence begins another one. */
static bool begins_anew(struct br_term_filter *f, uint8_t byte)
{
	if (byte != ESC)
		return false;
	f->state = BR_TERM_ESC;
	f->held[0] = ESC;
	f->n_held = 1;
	return true;
}

static void take_esc(struct br_term_filter *f, uint8_t byte, struct br_text *out)
{
	if (begins_anew(f, byte))
		return;
	if (byte < 0x20 || byte > 0x7e) {
		drop(f); /* cut off: what cuts is none of our business here */
	} else if (!hold(f, byte)) {
		return;
	} else if (byte < 0x30) {
		return; /* intermediate: more comes */
	} else if (f->n_held == 2 && byte == '[') {
		f->state = BR_TERM_CSI;
	} else if (f->n_held == 2 && strchr("]PX^_k", byte)) {
		begin_string(f);
	} else if (f->past && f->n_held == 2 && byte == 'Z') {
		drop(f);
	} else if (f->held[1] == '%' || f->held[1] == ' ') {
		drop(f); /* out of UTF-8, 8-bit controls: what is a letter to us would be a control to the terminal */
	} else {
		pass(f, out);
	}
}

/* "\e[?1049h" and its older forms, alone or among other modes */
static void note_alternate(struct br_term_filter *f)
{
	unsigned mode = 0;

	if (f->held[2] != '?' || f->held[f->n_held - 1] != 'h')
		return;
	for (size_t i = 3; i < f->n_held; i++) {
		if (f->held[i] >= '0' && f->held[i] <= '9') {
			mode = mode < 10000 ? 10 * mode + f->held[i] - '0' : mode;
			continue;
		}
		f->alternate = f->alternate || mode == 1049 || mode == 1047 || mode == 47;
		mode = 0;
	}
}

/* Whether a sequence does something to the terminal: windows, what it prints to, how it encodes keys (private 'm', 'u'). */
static bool is_of_terminal(const struct br_term_filter *f)
{
	uint8_t last = f->held[f->n_held - 1];
	bool private = f->held[2] >= '<' && f->held[2] <= '?';

	return last == 't' || last == 'i' || (private && (last == 'm' || last == 'u'));
}

/* Whether a terminal answers to it: states, kinds, modes, checksums. */
static bool is_query(const struct br_term_filter *f)
{
	uint8_t last = f->held[f->n_held - 1], before = f->held[f->n_held - 2];

	if (before >= 0x20 && before < 0x30)
		return strchr("$&*", before) && strchr("pwuy", last);
	return strchr("ncx", last) || (last == 'q' && f->held[2] == '>');
}

static void take_csi(struct br_term_filter *f, uint8_t byte, struct br_text *out)
{
	if (begins_anew(f, byte))
		return;
	if (byte == CAN || byte == SUB || byte > 0x7e) {
		drop(f);
	} else if (byte < 0x20) {
		return; /* terminals do it at once, in the middle of the sequence; none of it is of use */
	} else if (hold(f, byte) && byte >= 0x40) {
		note_alternate(f);
		if (is_of_terminal(f) || (f->past && is_query(f)))
			drop(f);
		else
			pass(f, out);
	}
}

static void take_string(struct br_term_filter *f, uint8_t byte)
{
	if (f->state == BR_TERM_STRING_ESC && byte == '\\') {
		drop(f);
		return;
	}
	f->state = byte == ESC ? BR_TERM_STRING_ESC : BR_TERM_STRING;
	if (byte == BEL || byte == CAN || byte == SUB || ++f->n_string > BR_TERM_STRING_MAX)
		drop(f);
}

static void take_control(struct br_term_filter *f, uint8_t byte, struct br_text *out)
{
	bool plain = f->mode == BR_TERM_PLAIN;

	if (begins_anew(f, byte))
		return;
	if (byte == '\n' || byte == '\t') {
		br_text_add_bytes(out, &byte, 1);
	} else if (plain && byte && byte != '\r') {
		br_text_addf(out, "\\x%02x", byte);
	} else if (!plain && byte != ENQ) {
		br_text_add_bytes(out, &byte, 1);
	}
}

static void take_wrong(struct br_term_filter *f, uint8_t byte, struct br_text *out)
{
	if (f->mode == BR_TERM_PLAIN)
		br_text_addf(out, "\\x%02x", byte);
	else if (byte >= 0xa0)
		br_text_add_bytes(out, &byte, 1);
}

/* Characters of more than one byte: held until they are whole. */
static void take_character(struct br_term_filter *f, uint8_t byte, struct br_text *out)
{
	uint32_t c = 0;
	size_t n;

	hold(f, byte);
	n = br_utf8_next(f->held, f->n_held, &c);
	if (n == BR_UTF8_MORE)
		return;
	if (n != BR_UTF8_WRONG) {
		if (c >= 0xa0)
			br_text_add_bytes(out, f->held, f->n_held);
		f->n_held = 0;
		return;
	}
	/* the byte that makes it wrong may begin something of its own */
	n = f->n_held > 1 ? f->n_held - 1 : 1;
	for (size_t i = 0; i < n; i++)
		take_wrong(f, f->held[i], out);
	n = f->n_held > 1;
	f->n_held = 0;
	if (n)
		br_term_filter(f, &byte, 1, out);
}

static void take_ground(struct br_term_filter *f, uint8_t byte, struct br_text *out)
{
	if (f->n_held || byte >= 0x80)
		take_character(f, byte, out);
	else if (byte < 0x20 || byte == DEL)
		take_control(f, byte, out);
	else
		br_text_add_bytes(out, &byte, 1);
}

void br_term_filter(struct br_term_filter *f, const void *data, size_t n, struct br_text *out)
{
	const uint8_t *p = data;

	if (f->mode == BR_TERM_RAW) {
		br_text_add_bytes(out, data, n);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		switch (f->state) {
		case BR_TERM_GROUND:
			take_ground(f, p[i], out);
			break;
		case BR_TERM_ESC:
			take_esc(f, p[i], out);
			break;
		case BR_TERM_CSI:
			take_csi(f, p[i], out);
			break;
		case BR_TERM_STRING:
		case BR_TERM_STRING_ESC:
			take_string(f, p[i]);
			break;
		}
	}
}

const char *br_term_restore(const struct br_term_filter *f)
{
	/* soft reset (cursor, margins, modes, colours), main character set, no mouse in any of its forms, no focus reports, no
	 * reverse screen, no bracketed paste */
#define SENSES                                                                                                                 \
	"\x1b[!p\x1b[0m\x1b(B\x0f\x1b[?25h\x1b[?9l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1005l\x1b[?1006l"                   \
	"\x1b[?1015l\x1b[?1016l\x1b[?5l\x1b[?2004l\x1b[?7h"
	return f->alternate ? "\x1b[?1049l" SENSES : SENSES;
}

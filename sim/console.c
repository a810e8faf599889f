/* SPDX-License-Identifier: Apache-2.0 */
/* The reader of a console; see console.h. */
#include "sim/console.h"

#include <string.h>

#include "base/text.h"

enum { PLAIN, ESCAPE, CSI, OSC };

static void end_line(struct br_sim_console *c)
{
	if (c->len) {
		br_strcpy(c->kept[c->n_kept % BR_SIM_CONSOLE_KEEP], BR_SIM_CONSOLE_LINE, c->line);
		c->n_kept++;
	}
	c->len = 0;
	c->line[0] = 0;
}

static void look(struct br_sim_console *c)
{
	if (c->seen || !c->until || !c->len || regexec(c->until, c->line, 0, NULL, 0))
		return;
	c->seen = true;
	br_strcpy(c->match, sizeof(c->match), c->line);
}

/* ECMA-48: ESC [ parameters final; ESC ] text BEL or ESC \; other: one letter. */
static bool in_escape(struct br_sim_console *c, char x)
{
	switch (c->escape) {
	case PLAIN:
		c->escape = x == 27 ? ESCAPE : PLAIN;
		return x == 27;
	case ESCAPE:
		c->escape = x == '[' ? CSI : x == ']' ? OSC : PLAIN;
		return true;
	case CSI: /* a byte that cannot be in one: it was cut (systemd shortens lines in the middle of one) */
		if (x < 0x20 || x > 0x7e) {
			c->escape = PLAIN;
			return in_escape(c, x);
		}
		if (x >= 0x40)
			c->escape = PLAIN;
		return true;
	default:
		if (x == 7)
			c->escape = PLAIN;
		else if (x == 27)
			c->escape = ESCAPE;
		return true;
	}
}

void br_sim_console_add(struct br_sim_console *c, const char *data, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char x = data[i];

		c->any = true;
		if (in_escape(c, x))
			continue;
		if (x == '\n') {
			look(c);
			end_line(c);
		} else if ((unsigned char)x >= 32 && x != 127 && c->len + 1 < sizeof(c->line)) {
			c->line[c->len++] = x;
			c->line[c->len] = 0;
		}
	}
	look(c);
}

const char *br_sim_console_last(const struct br_sim_console *c)
{
	if (c->len)
		return c->line;
	return c->n_kept ? c->kept[(c->n_kept - 1) % BR_SIM_CONSOLE_KEEP] : "";
}

const char *br_sim_console_line(const struct br_sim_console *c, size_t i)
{
	size_t n = c->n_kept < BR_SIM_CONSOLE_KEEP ? c->n_kept : BR_SIM_CONSOLE_KEEP;

	if (i < n)
		return c->kept[(c->n_kept - n + i) % BR_SIM_CONSOLE_KEEP];
	return i == n && c->len ? c->line : NULL;
}

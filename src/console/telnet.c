/* SPDX-License-Identifier: Apache-2.0 */
/* Telnet's state machine. Every answer is to a change of state, so that two of them never answer each other for ever. */
#include "console/telnet.h"

#include "base/cleanup.h"

/* RFC 854 */
#define SE 240
#define BRK 243
#define SB 250
#define WILL 251
#define WONT 252
#define DO 253
#define DONT 254
#define IAC 255
#define CR 13

/* options */
#define BINARY 0   /* RFC 856 */
#define ECHO 1	   /* RFC 857 */
#define GO_AHEAD 3 /* suppress it: RFC 858 */
#define COM_PORT 44 /* RFC 2217 */

/* RFC 2217: client to server; the server's answers are 100 higher */
#define SET_BAUDRATE 1
#define SET_DATASIZE 2
#define SET_PARITY 3
#define SET_STOPSIZE 4
#define SET_CONTROL 5
#define SERVER 100
#define SUSPEND 108
#define RESUME 109
#define PARITY_NONE 1
#define FLOW_NONE 1
#define BREAK_ON 5
#define BREAK_OFF 6

/* The options we know, by their bit in 'us' and 'them', and who may have them on. */
static const struct option {
	uint8_t number;
	bool us, them;
} options[] = {
	{ BINARY, true, true },
	{ GO_AHEAD, true, true },
	{ ECHO, false, true },
	{ COM_PORT, true, false },
};

static const struct option *find_option(uint8_t number, uint8_t *ret_bit)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(options); i++) {
		if (options[i].number == number) {
			*ret_bit = (uint8_t)(1u << i);
			return &options[i];
		}
	}
	return NULL;
}

static void say(struct br_writer *out, uint8_t verb, uint8_t option)
{
	const uint8_t bytes[] = { IAC, verb, option };

	br_put_bytes(out, bytes, sizeof(bytes));
}

/* n: of the value, big-endian. */
static void say_comport(struct br_writer *out, uint8_t command, uint32_t value, unsigned n)
{
	const uint8_t head[] = { IAC, SB, COM_PORT, command }, tail[] = { IAC, SE };

	br_put_bytes(out, head, sizeof(head));
	while (n--) {
		uint8_t byte = (uint8_t)(value >> (8 * n));

		br_put_u8(out, byte);
		if (byte == IAC)
			br_put_u8(out, IAC);
	}
	br_put_bytes(out, tail, sizeof(tail));
}

static void set_line(struct br_telnet *t, struct br_writer *out)
{
	say_comport(out, SET_BAUDRATE, t->speed, 4);
	say_comport(out, SET_DATASIZE, 8, 1);
	say_comport(out, SET_PARITY, PARITY_NONE, 1);
	say_comport(out, SET_STOPSIZE, 1, 1);
	say_comport(out, SET_CONTROL, FLOW_NONE, 1);
}

void br_telnet_start(struct br_telnet *t, bool comport, uint32_t speed, struct br_writer *out)
{
	*t = (struct br_telnet){ .comport = comport, .speed = speed };
	for (size_t i = 0; i < BR_ARRAY_SIZE(options); i++) {
		uint8_t bit = (uint8_t)(1u << i);

		if (options[i].number == COM_PORT && !comport)
			continue;
		if (options[i].us) {
			say(out, WILL, options[i].number);
			t->us |= bit;
		}
		if (options[i].them && options[i].number != ECHO) {
			say(out, DO, options[i].number);
			t->them |= bit;
		}
	}
}

/* DO and DONT: what they want of us. Said bits are offers of ours, whose answer this then is. */
static void take_wish(struct br_telnet *t, uint8_t number, bool on, struct br_writer *out)
{
	uint8_t bit = 0;
	const struct option *o = find_option(number, &bit);

	if (!o || !o->us || (number == COM_PORT && !t->comport)) {
		if (on)
			say(out, WONT, number);
		return;
	}
	if (on != ((t->us & bit) != 0)) {
		say(out, on ? WILL : WONT, number);
		t->us ^= bit;
	}
	if (number == BINARY)
		t->binary_out = on;
	if (number == COM_PORT)
		t->comport_on = on;
	if (t->comport_on && !t->line_set) {
		set_line(t, out);
		t->line_set = true;
	}
}

/* WILL and WONT: what they do. */
static void take_offer(struct br_telnet *t, uint8_t number, bool on, struct br_writer *out)
{
	uint8_t bit = 0;
	const struct option *o = find_option(number, &bit);

	if (!o || !o->them) {
		bool wanted = number == COM_PORT && t->comport;

		/* a server that says WILL COM-PORT has our WILL for its answer: it speaks it. Said once, or two that confirm each other
		 * never end. */
		if (on && !(wanted && t->comport_asked))
			say(out, wanted ? DO : DONT, number);
		t->comport_asked = t->comport_asked || (on && wanted);
		return;
	}
	if (on != ((t->them & bit) != 0)) {
		say(out, on ? DO : DONT, number);
		t->them ^= bit;
	}
	if (number == BINARY)
		t->binary_in = on;
}

static void take_option(struct br_telnet *t, uint8_t number, struct br_writer *out)
{
	if (t->verb == DO || t->verb == DONT)
		take_wish(t, number, t->verb == DO, out);
	else
		take_offer(t, number, t->verb == WILL, out);
}

static void take_sub(struct br_telnet *t)
{
	if (t->n_sub < 2 || t->sub[0] != COM_PORT)
		return;
	if (t->sub[1] == SERVER + SET_BAUDRATE && t->n_sub == 6)
		t->real_speed = br_load_be32(t->sub + 2);
	if (t->sub[1] == SUSPEND || t->sub[1] == RESUME)
		t->suspended = t->sub[1] == SUSPEND;
}

static void add_sub(struct br_telnet *t, uint8_t byte)
{
	if (t->n_sub < sizeof(t->sub))
		t->sub[t->n_sub] = byte;
	if (t->n_sub <= sizeof(t->sub)) /* one more than there is room: too long */
		t->n_sub++;
}

/* Behind an IAC. */
static void take_command(struct br_telnet *t, uint8_t byte, struct br_writer *data)
{
	t->state = BR_TELNET_DATA;
	if (byte == IAC) {
		br_put_u8(data, IAC);
	} else if (byte >= WILL) {
		t->verb = byte;
		t->state = BR_TELNET_OPTION;
	} else if (byte == SB) {
		t->n_sub = 0;
		t->state = BR_TELNET_SUB;
	}
}

static void take_data(struct br_telnet *t, uint8_t byte, struct br_writer *data)
{
	bool after_cr = t->state == BR_TELNET_CR;

	t->state = BR_TELNET_DATA;
	if (byte == IAC) {
		t->state = BR_TELNET_IAC;
		return;
	}
	if (after_cr && !byte)
		return; /* CR NUL is a CR */
	br_put_u8(data, byte);
	if (byte == CR && !t->binary_in)
		t->state = BR_TELNET_CR;
}

void br_telnet_take(struct br_telnet *t, const void *bytes, size_t n, struct br_writer *data, struct br_writer *out)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < n; i++) {
		switch (t->state) {
		case BR_TELNET_DATA:
		case BR_TELNET_CR:
			take_data(t, p[i], data);
			break;
		case BR_TELNET_IAC:
			take_command(t, p[i], data);
			break;
		case BR_TELNET_OPTION:
			t->state = BR_TELNET_DATA;
			take_option(t, p[i], out);
			break;
		case BR_TELNET_SUB:
			if (p[i] == IAC)
				t->state = BR_TELNET_SUB_IAC;
			else
				add_sub(t, p[i]);
			break;
		case BR_TELNET_SUB_IAC:
			t->state = p[i] == IAC ? BR_TELNET_SUB : BR_TELNET_DATA;
			if (p[i] == IAC) {
				add_sub(t, IAC);
			} else {
				if (p[i] == SE)
					take_sub(t);
				else /* it was cut off by another command */
					take_command(t, p[i], data);
			}
			break;
		}
	}
}

void br_telnet_put(struct br_telnet *t, const void *bytes, size_t n, struct br_writer *out)
{
	const uint8_t *p = bytes;

	for (size_t i = 0; i < n; i++) {
		if (t->out_cr && p[i] != '\n')
			br_put_u8(out, 0);
		t->out_cr = false;
		br_put_u8(out, p[i]);
		if (p[i] == IAC)
			br_put_u8(out, IAC);
		t->out_cr = p[i] == CR && !t->binary_out;
	}
	/* what was typed must not wait for the next key */
	if (t->out_cr)
		br_put_u8(out, 0);
	t->out_cr = false;
}

void br_telnet_break(struct br_telnet *t, bool on, struct br_writer *out)
{
	const uint8_t plain[] = { IAC, BRK };

	if (t->comport_on)
		say_comport(out, SET_CONTROL, on ? BREAK_ON : BREAK_OFF, 1);
	else if (on)
		br_put_bytes(out, plain, sizeof(plain));
}

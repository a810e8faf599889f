/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reader of U-Boot's shell language that only looks. U-Boot itself says nothing about a missing 'fi' but "exit", or
 * runs half of a script: who writes one is to hear it here.
 */
#include "uboot/hush.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text.h"

#define DEPTH_MAX 64
#define WORD_MAX  256 /* longer ones are cut: only reserved words matter */

enum part { /* of a compound command, in which we are */
	IF_COND, IF_BODY, ELSE_BODY, WHILE_COND, FOR_NAME, FOR_IN, FOR_WORDS, LOOP_BODY,
};

struct frame {
	enum part part;
	unsigned line;
	bool empty; /* no command in this part yet */
};

struct checker {
	const char *s, *end;
	unsigned line;
	bool command;  /* the next word would be a command */
	bool pending;  /* behind && or ||: a command must come */
	struct frame stack[DEPTH_MAX];
	unsigned depth;
	void (*fn)(void *ctx, const struct br_hush_problem *p);
	void *ctx;
	unsigned errors, warnings;
	bool stop;
};

struct word {
	char text[WORD_MAX];
	size_t len;
	bool quoted;
	unsigned line; /* where it began */
};

__attribute__((format(printf, 4, 5))) static void tell(struct checker *c, unsigned line, bool error, const char *fmt, ...)
{
	struct br_hush_problem p = { .line = line, .error = error };
	char text[sizeof(p.text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (c->stop)
		return;
	br_vis(p.text, sizeof(p.text), text, strlen(text));
	c->errors += error;
	c->warnings += !error;
	if (c->fn)
		c->fn(c->ctx, &p);
	c->stop = c->errors + c->warnings >= BR_HUSH_PROBLEMS_MAX;
}

#define error_at(c, line, ...) tell(c, line, true, __VA_ARGS__)
#define warn_at(c, line, ...)  tell(c, line, false, __VA_ARGS__)

static const char *const part_words[] = {
	[IF_COND] = "if", [IF_BODY] = "then", [ELSE_BODY] = "else", [WHILE_COND] = "while", [FOR_NAME] = "for",
	[FOR_IN] = "for", [FOR_WORDS] = "for", [LOOP_BODY] = "do",
};

static const char *const part_wants[] = {
	[IF_COND] = "then", [IF_BODY] = "fi", [ELSE_BODY] = "fi", [WHILE_COND] = "do", [FOR_NAME] = "a name",
	[FOR_IN] = "in", [FOR_WORDS] = "do", [LOOP_BODY] = "done",
};

static struct frame *top(struct checker *c)
{
	return c->depth ? &c->stack[c->depth - 1] : NULL;
}

static void push(struct checker *c, enum part part, unsigned line)
{
	if (c->depth == DEPTH_MAX) {
		error_at(c, line, "more than %d commands within each other", DEPTH_MAX);
		c->stop = true;
		return;
	}
	c->stack[c->depth++] = (struct frame){ part, line, true };
}

static void next_part(struct checker *c, enum part part)
{
	top(c)->part = part;
	top(c)->empty = true;
}

/* A reserved word that ends the part we are in. allowed: bits of the parts it may end. */
static bool ends_part(struct checker *c, const struct word *w, unsigned allowed)
{
	struct frame *f = top(c);

	if (!f || !(allowed & 1u << f->part)) {
		if (f)
			error_at(c, w->line, "'%s' without its beginning; '%s' of line %u wants '%s' first", w->text,
				part_words[f->part], f->line, part_wants[f->part]);
		else
			error_at(c, w->line, "'%s' without its beginning", w->text);
		return false;
	}
	if (f->empty && f->part != FOR_WORDS)
		error_at(c, w->line, "no command between '%s' (line %u) and '%s'", part_words[f->part], f->line, w->text);
	return true;
}

static void pop(struct checker *c)
{
	c->depth--;
	if (top(c))
		top(c)->empty = false;
	c->command = false; /* ';' or a newline must come */
}

static const struct reserved {
	const char *word;
	unsigned ends;	/* parts that it may end; 0: begins a command */
	enum part part; /* that begins */
	bool closes;
} reserved[] = {
	{ "if", 0, IF_COND, false },
	{ "while", 0, WHILE_COND, false },
	{ "until", 0, WHILE_COND, false },
	{ "for", 0, FOR_NAME, false },
	{ "then", 1u << IF_COND, IF_BODY, false },
	{ "elif", 1u << IF_BODY, IF_COND, false },
	{ "else", 1u << IF_BODY, ELSE_BODY, false },
	{ "fi", 1u << IF_BODY | 1u << ELSE_BODY, 0, true },
	{ "do", 1u << WHILE_COND | 1u << FOR_WORDS, LOOP_BODY, false },
	{ "done", 1u << LOOP_BODY, 0, true },
};

static bool take_reserved(struct checker *c, const struct word *w)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(reserved); i++) {
		const struct reserved *r = &reserved[i];

		if (w->quoted || strcmp(w->text, r->word) != 0)
			continue;
		if (c->pending && r->ends)
			error_at(c, w->line, "'%s' where a command must be", w->text);
		c->pending = false;
		c->command = r->part != FOR_NAME || r->closes;
		if (!r->ends)
			push(c, r->part, w->line);
		else if (ends_part(c, w, r->ends) && r->closes)
			pop(c);
		else if (!r->closes && top(c) && r->ends & 1u << top(c)->part)
			next_part(c, r->part);
		return true;
	}
	return false;
}

/* Words of other shells at the place of a command. */
static const struct {
	const char *word, *instead;
} foreign[] = {
	{ "[", "use 'test'" },
	{ "[[", "use 'test'" },
	{ "!", "put what is to be done behind 'else'" },
	{ "{", "use 'if true; then ... fi'" },
	{ "case", "use 'if' and 'elif'" },
	{ "function", "put it into a variable and use 'run'" },
	{ "break", "use 'exit', or a variable that is tested" },
	{ "continue", "use 'if'" },
	{ "return", "use 'exit'" },
	{ "export", "use 'setenv'" },
	{ "local", "write NAME=VALUE" },
	{ "set", "use 'setenv'" },
	{ "eval", "use 'run'" },
};

static void take_command(struct checker *c, const struct word *w)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(foreign); i++)
		if (!w->quoted && !strcmp(w->text, foreign[i].word))
			warn_at(c, w->line, "U-Boot's shell has no '%s': %s", w->text, foreign[i].instead);
	if (!w->quoted && w->len > 2 && br_str_ends(w->text, "()"))
		warn_at(c, w->line, "U-Boot's shell has no functions: put it into a variable and use 'run'");
}

static void take_word(struct checker *c, const struct word *w)
{
	struct frame *f = top(c);

	if (f && f->part == FOR_NAME) {
		if (w->quoted || !strcmp(w->text, "in"))
			error_at(c, w->line, "'for' wants the name of a variable, not '%s'", w->text);
		f->part = FOR_IN;
		return;
	}
	if (f && f->part == FOR_IN) {
		if (w->quoted || strcmp(w->text, "in") != 0)
			error_at(c, w->line, "'for NAME' wants 'in', not '%s'", w->text);
		f->part = FOR_WORDS;
		c->command = false;
		return;
	}
	if (!c->command)
		return;
	if (take_reserved(c, w))
		return;
	if (f && f->part == FOR_WORDS) {
		error_at(c, w->line, "'for' of line %u wants 'do' here, not '%s'", f->line, w->text);
		f->part = LOOP_BODY;
	}
	take_command(c, w);
	if (f)
		f->empty = false;
	c->command = c->pending = false;
}

static void add(struct word *w, char ch)
{
	if (w->len + 1 < sizeof(w->text))
		w->text[w->len++] = ch;
	w->text[w->len] = 0;
}

/* Behind a '$'. */
static void take_variable(struct checker *c, struct word *w)
{
	unsigned line = c->line;

	add(w, '$');
	if (c->s == c->end)
		return;
	if (*c->s == '(') {
		warn_at(c, line, "U-Boot's shell has no '$(...)': use 'setexpr', or 'env' and 'fdt get value' into a variable");
		return;
	}
	if (*c->s != '{')
		return;
	while (c->s < c->end && *c->s != '}' && *c->s != '\n')
		add(w, *c->s++);
	if (c->s == c->end || *c->s != '}') {
		error_at(c, line, "'${' without '}'");
		return;
	}
	add(w, *c->s++);
}

static void take_escape(struct checker *c, struct word *w)
{
	if (c->s == c->end) {
		error_at(c, c->line, "a '\\' at the very end");
		return;
	}
	if (strchr("abefnrtvx", *c->s))
		warn_at(c, c->line, "'\\%c' is just '%c' to U-Boot's shell", *c->s, *c->s);
	if (*c->s == '\n')
		c->line++;
	else
		add(w, *c->s);
	w->quoted = true;
	c->s++;
}

static void take_single(struct checker *c, struct word *w)
{
	unsigned line = c->line;

	w->quoted = true;
	while (c->s < c->end && *c->s != '\'') {
		c->line += *c->s == '\n';
		add(w, *c->s++);
	}
	if (c->s == c->end) {
		error_at(c, line, "a ' that is not closed");
		return;
	}
	c->s++;
}

static void take_double(struct checker *c, struct word *w)
{
	unsigned line = c->line;

	w->quoted = true;
	while (c->s < c->end && *c->s != '"') {
		char ch = *c->s++;

		if (ch == '\\') {
			take_escape(c, w);
		} else if (ch == '$') {
			take_variable(c, w);
		} else if (ch == '\'') { /* found by running it: QEMU, both versions */
			warn_at(c, c->line, "a ' quotes within \"...\", too, in U-Boot's shell");
			take_single(c, w);
		} else {
			c->line += ch == '\n';
			add(w, ch);
		}
	}
	if (c->s == c->end) {
		error_at(c, line, "a \" that is not closed");
		return;
	}
	c->s++;
}

static bool ends_word(char ch)
{
	return strchr(" \t\r\n;&|", ch) && ch;
}

static void scan_word(struct checker *c)
{
	struct word w = { .line = c->line };

	while (c->s < c->end && !ends_word(*c->s) && !c->stop) {
		char ch = *c->s++;

		if (ch == '\\')
			take_escape(c, &w);
		else if (ch == '\'')
			take_single(c, &w);
		else if (ch == '"')
			take_double(c, &w);
		else if (ch == '$')
			take_variable(c, &w);
		else {
			if (ch == '`')
				warn_at(c, c->line, "U-Boot's shell has no `...`: it is taken as it is");
			add(&w, ch);
		}
	}
	if (w.len || w.quoted)
		take_word(c, &w);
}

/* ';' or the end of a line. */
static void end_command(struct checker *c, bool newline)
{
	struct frame *f = top(c);

	if (c->pending && !newline) {
		error_at(c, c->line, "';' where a command must be");
		c->pending = false;
	}
	if (f && (f->part == FOR_NAME || f->part == FOR_IN))
		error_at(c, c->line, "'for' of line %u wants '%s' on its line", f->line, part_wants[f->part]);
	c->command = true;
}

static void take_operator(struct checker *c)
{
	char ch = *c->s++;
	bool twice = c->s < c->end && *c->s == ch;

	if (ch == ';') {
		if (twice)
			warn_at(c, c->line, "';;' ends nothing in U-Boot's shell");
		end_command(c, false);
		return;
	}
	if (!twice) {
		error_at(c, c->line, "U-Boot's shell has no '%c'", ch);
		c->command = true;
		return;
	}
	c->s++;
	if (c->command)
		error_at(c, c->line, "'%c%c' without a command before it", ch, ch);
	c->command = c->pending = true;
}

static void take_char(struct checker *c)
{
	switch (*c->s) {
	case '\n':
		c->s++;
		end_command(c, true);
		c->line++;
		break;
	case '\r':
		if (c->s + 1 == c->end || c->s[1] != '\n')
			warn_at(c, c->line, "a carriage return within a line");
		c->s++;
		break;
	case ' ':
	case '\t':
		c->s++;
		break;
	case '#':
		while (c->s < c->end && *c->s != '\n')
			c->s++;
		break;
	case ';':
	case '&':
	case '|':
		take_operator(c);
		break;
	default:
		scan_word(c);
	}
}

unsigned br_hush_check(const char *text, size_t len, void (*fn)(void *ctx, const struct br_hush_problem *p), void *ctx,
	unsigned *ret_warnings)
{
	struct checker c = { .s = text, .end = text + len, .line = 1, .command = true, .fn = fn, .ctx = ctx };

	if (!br_hush_is_text(text, len)) {
		error_at(&c, 1, "is no text");
		c.stop = true;
	}
	while (c.s < c.end && !c.stop)
		take_char(&c);
	if (!c.stop && c.pending)
		error_at(&c, c.line, "ends behind '&&' or '||'");
	while (!c.stop && c.depth) {
		struct frame *f = &c.stack[--c.depth];

		error_at(&c, f->line, "'%s' without '%s'", part_words[f->part], part_wants[f->part]);
	}
	if (ret_warnings)
		*ret_warnings = c.warnings;
	return c.errors;
}

bool br_hush_is_text(const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++)
		if ((p[i] < 0x20 && !strchr("\t\n\r\f\v\x1b", p[i])) || !p[i] || p[i] == 0x7f)
			return false;
	return true;
}

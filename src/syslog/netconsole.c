/* SPDX-License-Identifier: Apache-2.0 */
#include "syslog/netconsole.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define PATIENCE_NS BR_S

struct text {
	const char *p, *end;
};

static size_t left(const struct text *t)
{
	return (size_t)(t->end - t->p);
}

/* ---- the extended format: kernel, Documentation/networking/netconsole.rst ---- */

struct extended {
	unsigned severity;
	uint64_t number;
	size_t offset, total; /* total 0: whole */
	struct text body;
};

static bool take_number(struct text *t, uint64_t *ret)
{
	uint64_t v = 0;
	const char *start = t->p;

	while (t->p < t->end && *t->p >= '0' && *t->p <= '9' && t->p - start < 19)
		v = v * 10 + (uint64_t)(*t->p++ - '0');
	*ret = v;
	return t->p > start;
}

static bool take_char(struct text *t, char c)
{
	if (t->p == t->end || *t->p != c)
		return false;
	t->p++;
	return true;
}

/* ",ncfrag=0/1234" among what stands between the flags and ';'. */
static bool find_fragment(const struct text *options, struct extended *x)
{
	static const char key[] = ",ncfrag=";
	const char *at = memmem(options->p, left(options), key, sizeof(key) - 1);
	struct text t = { at ? at + sizeof(key) - 1 : NULL, options->end };
	uint64_t offset, total;

	if (!at)
		return true;
	if (!take_number(&t, &offset) || !take_char(&t, '/') || !take_number(&t, &total) || !total || total > BR_LOGS_TEXT_MAX ||
		offset >= total)
		return false;
	x->offset = offset;
	x->total = total;
	return true;
}

static bool read_extended(const char *data, size_t n, struct extended *x)
{
	struct text t = { data, data + n }, options;
	const char *comma = n ? memchr(data, ',', n) : NULL, *semicolon;
	uint64_t priority, us;

	*x = (struct extended){ 0 };
	/* "6.12.47,": the release, where that is asked for */
	if (comma && memchr(data, '.', (size_t)(comma - data)))
		t.p = comma + 1;
	if (!take_number(&t, &priority) || !take_char(&t, ',') || !take_number(&t, &x->number) || !take_char(&t, ',') ||
		!take_number(&t, &us) || !take_char(&t, ','))
		return false;
	semicolon = left(&t) ? memchr(t.p, ';', left(&t)) : NULL;
	if (!semicolon || semicolon - t.p > 200)
		return false;
	options = (struct text){ t.p, semicolon };
	if (!find_fragment(&options, x))
		return false;
	x->severity = priority % 8;
	x->body = (struct text){ semicolon + 1, t.end };
	return true;
}

/* The text ends at the first newline; its dictionary follows. Bytes that are no text come as \xNN. */
static void give_body(const char *p, size_t n, unsigned severity, br_netconsole_fn fn, void *ctx)
{
	const char *nl = n ? memchr(p, '\n', n) : NULL;

	n = nl ? (size_t)(nl - p) : n;
	if (n)
		fn(ctx, BR_LOGS_KERNEL, severity, p, n);
}

static void end_parts(struct br_netconsole *nc, br_netconsole_fn fn, void *ctx)
{
	if (nc->parts.total)
		give_body(nc->parts.text, nc->parts.n, nc->parts.severity, fn, ctx);
	nc->parts.total = nc->parts.n = 0;
}

/* They come in order; a gap ends what was begun. */
static void take_part(struct br_netconsole *nc, const struct extended *x, uint64_t now_ns, br_netconsole_fn fn, void *ctx)
{
	size_t n = left(&x->body);

	if (nc->parts.total && (nc->parts.number != x->number || nc->parts.n != x->offset || nc->parts.total != x->total))
		end_parts(nc, fn, ctx);
	if (!nc->parts.total) {
		nc->parts.total = x->total;
		nc->parts.number = x->number;
		nc->parts.severity = x->severity;
		nc->begun_ns = now_ns;
	}
	n = n < x->total - nc->parts.n ? n : x->total - nc->parts.n;
	memcpy(nc->parts.text + nc->parts.n, x->body.p, n);
	nc->parts.n += n;
	if (nc->parts.n == nc->parts.total || x->offset + n == x->total)
		end_parts(nc, fn, ctx);
}

/* ---- plain text ---- */

static bool has(const char *text, size_t n, const char *words)
{
	return memmem(text, n, words, strlen(words)) != NULL;
}

/* "[    1.758426] ", with or without a "<6>" before. */
static bool has_kernel_time(const char *p, size_t n)
{
	size_t i = 0, digits = 0;

	if (n > 3 && p[0] == '<' && p[2] == '>')
		i = 3;
	if (i >= n || p[i++] != '[')
		return false;
	while (i < n && p[i] == ' ')
		i++;
	while (i < n && p[i] >= '0' && p[i] <= '9')
		i++, digits++;
	return digits && i + 7 < n && p[i] == '.' && p[i + 7] == ']';
}

static enum br_logs_source guess(const struct br_netconsole *nc, uint16_t port, const char *p, size_t n)
{
	static const char *const bootloader[] = { "BOOTLOADER", "Boot mode:", "RPi: ", "TFTP_GET:", "NET_ON", "MESS:", "DHCP src:" };

	if (port == BR_NETCONSOLE_KERNEL_PORT || has_kernel_time(p, n))
		return BR_LOGS_KERNEL;
	if (port == 6666 || has(p, n, "U-Boot 20") || has(p, n, "U-Boot SPL"))
		return BR_LOGS_UBOOT;
	for (size_t i = 0; i < BR_ARRAY_SIZE(bootloader); i++)
		if (has(p, n, bootloader[i]))
			return BR_LOGS_BOOTLOADER;
	return nc->source == BR_LOGS_BRAMBLE ? BR_LOGS_BOOTLOADER : nc->source;
}

/* "<6>" before a text of the kernel. */
static unsigned take_level(const char **p, size_t *n)
{
	const char *t = *p;

	if (*n <= 3 || t[0] != '<' || t[1] < '0' || t[1] > '7' || t[2] != '>')
		return BR_LOGS_NO_SEVERITY;
	*p += 3;
	*n -= 3;
	return (unsigned)(t[1] - '0');
}

static void end_line(struct br_netconsole *nc, br_netconsole_fn fn, void *ctx)
{
	const char *p = nc->line;
	size_t n = nc->n;
	unsigned severity;

	while (n && (p[n - 1] == '\r' || !p[n - 1]))
		n--;
	severity = nc->source == BR_LOGS_KERNEL ? take_level(&p, &n) : BR_LOGS_NO_SEVERITY;
	if (n)
		fn(ctx, nc->source, severity, p, n);
	nc->n = 0;
}

static void take_text(struct br_netconsole *nc, const char *p, size_t n, uint64_t now_ns, br_netconsole_fn fn, void *ctx)
{
	while (n) {
		const char *nl = memchr(p, '\n', n);
		size_t take = nl ? (size_t)(nl - p) : n, room = sizeof(nc->line) - nc->n;

		if (!nc->n)
			nc->begun_ns = now_ns;
		memcpy(nc->line + nc->n, p, take < room ? take : room);
		nc->n += take < room ? take : room;
		if (nl)
			end_line(nc, fn, ctx);
		p += take + (nl != NULL);
		n -= take + (nl != NULL);
	}
}

void br_netconsole_take(struct br_netconsole *nc, uint16_t port, const void *data, size_t n, uint64_t now_ns, br_netconsole_fn fn,
	void *ctx)
{
	enum br_logs_source source;
	struct extended x;

	if (read_extended(data, n, &x)) {
		if (nc->n)
			end_line(nc, fn, ctx);
		nc->source = BR_LOGS_KERNEL;
		if (x.total) {
			take_part(nc, &x, now_ns, fn, ctx);
		} else {
			end_parts(nc, fn, ctx);
			give_body(x.body.p, left(&x.body), x.severity, fn, ctx);
		}
		return;
	}
	source = guess(nc, port, data, n);
	if (nc->n && source != nc->source)
		end_line(nc, fn, ctx);
	nc->source = source;
	take_text(nc, data, n, now_ns, fn, ctx);
}

bool br_netconsole_tick(struct br_netconsole *nc, uint64_t now_ns, br_netconsole_fn fn, void *ctx)
{
	if ((nc->n || nc->parts.total) && now_ns - nc->begun_ns >= PATIENCE_NS) {
		if (nc->n)
			end_line(nc, fn, ctx);
		end_parts(nc, fn, ctx);
	}
	return !nc->n && !nc->parts.total;
}

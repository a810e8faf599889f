/* SPDX-License-Identifier: Apache-2.0 */
/* DHCP messages: decoder with joined options, typed getters, builder. */
#include "wire/dhcp.h"

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"

#define COOKIE 0x63825363u
#define FLAG_BROADCAST 0x8000u
#define SNAME_AT 44
#define SNAME_LEN 64
#define FILE_AT 108
#define FILE_LEN 128

enum overload { OVERLOAD_FILE = 1, OVERLOAD_SNAME = 2 };

const char *br_dhcp_type_name(unsigned type)
{
	static const char *const names[] = {
		"type?", "DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM",
	};

	return type < BR_ARRAY_SIZE(names) ? names[type] : names[0];
}

/* The next option of a field: 1, 0 at its end, -EBADMSG when it runs over it. */
static int next_option(struct br_reader *r, uint8_t *code, const uint8_t **body, size_t *len)
{
	do {
		if (!br_reader_left(r))
			return 0; /* no end mark: seen from small clients, harmless */
		*code = br_get_u8(r);
	} while (*code == BR_DHCP_OPT_PAD);
	if (*code == BR_DHCP_OPT_END)
		return 0;
	*len = br_get_u8(r);
	*body = br_reader_take(r, *len);
	return *body ? 1 : -EBADMSG;
}

/* The fields that carry options, in the order RFC 3396 (5) joins them: options, file, sname. */
struct fields {
	struct br_reader r[3];
	unsigned n;
};

/* Option 52 counts in the options field only. */
static int find_fields(const uint8_t *p, size_t n, struct fields *ret, unsigned *ret_overload)
{
	struct br_reader r = br_reader_of(p + BR_DHCP_HEADER_LEN, n - BR_DHCP_HEADER_LEN);
	const uint8_t *body;
	unsigned overload = 0;
	uint8_t code;
	size_t len;
	int more;

	ret->n = 0;
	ret->r[ret->n++] = r;
	while ((more = next_option(&r, &code, &body, &len)) > 0) {
		if (code != BR_DHCP_OPT_OVERLOAD)
			continue;
		if (len != 1 || overload || body[0] < 1 || body[0] > 3)
			return -EBADMSG;
		overload = body[0];
	}
	if (more < 0)
		return more;
	if (overload & OVERLOAD_FILE)
		ret->r[ret->n++] = br_reader_of(p + FILE_AT, FILE_LEN);
	if (overload & OVERLOAD_SNAME)
		ret->r[ret->n++] = br_reader_of(p + SNAME_AT, SNAME_LEN);
	*ret_overload = overload;
	return 0;
}

/* First pass: which options there are, and how long once joined. */
static int measure(const struct fields *f, struct br_dhcp_message *m)
{
	size_t at = 0;

	for (unsigned i = 0; i < f->n; i++) {
		struct br_reader r = f->r[i];
		const uint8_t *body;
		uint8_t code;
		size_t len;
		int more;

		while ((more = next_option(&r, &code, &body, &len)) > 0) {
			if (code == BR_DHCP_OPT_OVERLOAD)
				continue; /* said all it has to say */
			if (!m->present[code])
				m->order[m->n_order++] = code;
			m->present[code] = true;
			m->len[code] = (uint16_t)(m->len[code] + len);
		}
		if (more < 0)
			return more;
	}
	for (unsigned i = 0; i < m->n_order; i++) {
		m->at[m->order[i]] = (uint16_t)at;
		at += m->len[m->order[i]];
	}
	return 0;
}

/* Second pass: the bytes, each behind those of its code that came before. Cannot fail after measure(). */
static void join(const struct fields *f, struct br_dhcp_message *m)
{
	uint16_t filled[256] = { 0 };

	for (unsigned i = 0; i < f->n; i++) {
		struct br_reader r = f->r[i];
		const uint8_t *body;
		uint8_t code;
		size_t len;

		while (next_option(&r, &code, &body, &len) > 0) {
			if (code == BR_DHCP_OPT_OVERLOAD)
				continue;
			memcpy(m->data + m->at[code] + filled[code], body, len);
			filled[code] = (uint16_t)(filled[code] + len);
		}
	}
}

static void read_text(const uint8_t *p, size_t n, char *out)
{
	size_t len = strnlen((const char *)p, n);

	memcpy(out, p, len);
	out[len] = 0;
}

static int read_header(struct br_reader *r, struct br_dhcp_header *h)
{
	const uint8_t *chaddr, *sname, *file;
	uint8_t htype, hlen;

	h->op = br_get_u8(r);
	htype = br_get_u8(r);
	hlen = br_get_u8(r);
	h->hops = br_get_u8(r);
	h->xid = br_get_be32(r);
	h->secs = br_get_be16(r);
	h->broadcast = br_get_be16(r) & FLAG_BROADCAST;
	h->ciaddr = br_get_be32(r);
	h->yiaddr = br_get_be32(r);
	h->siaddr = br_get_be32(r);
	h->giaddr = br_get_be32(r);
	chaddr = br_reader_take(r, 16);
	sname = br_reader_take(r, SNAME_LEN);
	file = br_reader_take(r, FILE_LEN);
	if (br_get_be32(r) != COOKIE || r->failed)
		return -EBADMSG;
	if ((h->op != BR_DHCP_BOOTREQUEST && h->op != BR_DHCP_BOOTREPLY) || htype != 1 || hlen != 6)
		return -EBADMSG;
	memcpy(h->chaddr.b, chaddr, 6);
	read_text(sname, SNAME_LEN, h->sname);
	read_text(file, FILE_LEN, h->file);
	return 0;
}

/* The options that decide what a message means must be what they ought to be. */
static bool decisive_options_are_sound(const struct br_dhcp_message *m)
{
	static const struct {
		uint8_t code, len;
	} fixed[] = {
		{ BR_DHCP_OPT_TYPE, 1 },
		{ BR_DHCP_OPT_REQUESTED_IP, 4 },
		{ BR_DHCP_OPT_SERVER_ID, 4 },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(fixed); i++)
		if (m->present[fixed[i].code] && m->len[fixed[i].code] != fixed[i].len)
			return false;
	return m->present[BR_DHCP_OPT_TYPE];
}

int br_dhcp_decode(const void *packet, size_t len, struct br_dhcp_message *ret)
{
	struct br_reader r = br_reader_of(packet, len);
	struct br_dhcp_message m;
	struct fields f;
	unsigned overload = 0;
	int e;

	if (len > BR_DHCP_PACKET_MAX)
		return -EBADMSG;
	memset(&m, 0, sizeof(m));
	e = read_header(&r, &m.h);
	if (e < 0)
		return e;
	e = find_fields(packet, len, &f, &overload);
	if (e < 0)
		return e;
	if (overload & OVERLOAD_FILE)
		memset(m.h.file, 0, sizeof(m.h.file));
	if (overload & OVERLOAD_SNAME)
		memset(m.h.sname, 0, sizeof(m.h.sname));
	e = measure(&f, &m);
	if (e < 0)
		return e;
	join(&f, &m);
	if (!decisive_options_are_sound(&m))
		return -EBADMSG;
	m.type = m.data[m.at[BR_DHCP_OPT_TYPE]];
	*ret = m;
	return 0;
}

bool br_dhcp_has(const struct br_dhcp_message *m, uint8_t code)
{
	return m->present[code];
}

const uint8_t *br_dhcp_option(const struct br_dhcp_message *m, uint8_t code, size_t *ret_len)
{
	if (!m->present[code])
		return NULL;
	*ret_len = m->len[code];
	return m->data + m->at[code];
}

static const uint8_t *option_of(const struct br_dhcp_message *m, uint8_t code, size_t n)
{
	size_t len;
	const uint8_t *p = br_dhcp_option(m, code, &len);

	return p && len == n ? p : NULL;
}

bool br_dhcp_option_u16(const struct br_dhcp_message *m, uint8_t code, uint16_t *ret)
{
	const uint8_t *p = option_of(m, code, 2);

	if (p)
		*ret = br_load_be16(p);
	return p;
}

bool br_dhcp_option_u32(const struct br_dhcp_message *m, uint8_t code, uint32_t *ret)
{
	const uint8_t *p = option_of(m, code, 4);

	if (p)
		*ret = br_load_be32(p);
	return p;
}

uint32_t br_dhcp_option_ip(const struct br_dhcp_message *m, uint8_t code)
{
	size_t len;
	const uint8_t *p = br_dhcp_option(m, code, &len);

	return p && len >= 4 && len % 4 == 0 ? br_load_be32(p) : 0;
}

const char *br_dhcp_option_text(const struct br_dhcp_message *m, uint8_t code, char *out, size_t size)
{
	size_t len = 0, n = 0;
	const uint8_t *p = br_dhcp_option(m, code, &len);

	for (; p && n < len && n + 1 < size && p[n]; n++)
		out[n] = (char)(p[n] >= 0x20 && p[n] < 0x7f ? p[n] : '?');
	out[n] = 0;
	return out;
}

bool br_dhcp_option_is(const struct br_dhcp_message *m, uint8_t code, const void *bytes, size_t n)
{
	const uint8_t *p = option_of(m, code, n);

	return p && !memcmp(p, bytes, n);
}

uint32_t br_dhcp_relay_ip(const struct br_dhcp_message *m, uint8_t sub)
{
	size_t len = 0;
	const uint8_t *p = br_dhcp_option(m, BR_DHCP_OPT_RELAY, &len);

	while (p && len >= 2 && p[1] <= len - 2) {
		if (p[0] == sub)
			return p[1] == 4 ? br_load_be32(p + 2) : 0;
		len -= 2u + p[1];
		p += 2 + p[1];
	}
	return 0;
}

bool br_dhcp_asks(const struct br_dhcp_message *m, uint8_t code)
{
	size_t len;
	const uint8_t *p = br_dhcp_option(m, BR_DHCP_OPT_PARAMETERS, &len);

	return p && memchr(p, code, len);
}

static void put_text(struct br_writer *w, const char *s, size_t n)
{
	size_t len = strnlen(s, n);

	br_put_bytes(w, s, len);
	br_put_zeros(w, n - len);
}

void br_dhcp_begin(struct br_dhcp_builder *b, void *buf, size_t cap, const struct br_dhcp_header *h)
{
	struct br_writer *w = &b->w;

	*w = br_writer_of(buf, cap);
	br_put_u8(w, h->op);
	br_put_u8(w, 1); /* Ethernet */
	br_put_u8(w, 6);
	br_put_u8(w, h->hops);
	br_put_be32(w, h->xid);
	br_put_be16(w, h->secs);
	br_put_be16(w, h->broadcast ? FLAG_BROADCAST : 0);
	br_put_be32(w, h->ciaddr);
	br_put_be32(w, h->yiaddr);
	br_put_be32(w, h->siaddr);
	br_put_be32(w, h->giaddr);
	br_put_bytes(w, h->chaddr.b, 6);
	br_put_zeros(w, 10); /* klibc's ipconfig compares all 16 bytes */
	put_text(w, h->sname, SNAME_LEN);
	put_text(w, h->file, FILE_LEN);
	br_put_be32(w, COOKIE);
}

bool br_dhcp_try_add(struct br_dhcp_builder *b, uint8_t code, const void *data, size_t n)
{
	size_t parts = n ? (n + 254) / 255 : 1, need = n + 2 * parts;
	const uint8_t *p = data;

	if (b->w.failed || need + 1 > b->w.cap - b->w.len)
		return false;
	do {
		size_t part = n < 255 ? n : 255;

		br_put_u8(&b->w, code);
		br_put_u8(&b->w, (uint8_t)part);
		br_put_bytes(&b->w, p, part);
		if (part)
			p += part;
		n -= part;
	} while (n);
	return true;
}

void br_dhcp_add(struct br_dhcp_builder *b, uint8_t code, const void *data, size_t n)
{
	if (!br_dhcp_try_add(b, code, data, n))
		b->w.failed = true;
}

void br_dhcp_add_u8(struct br_dhcp_builder *b, uint8_t code, uint8_t v)
{
	br_dhcp_add(b, code, &v, 1);
}

void br_dhcp_add_u16(struct br_dhcp_builder *b, uint8_t code, uint16_t v)
{
	uint8_t p[2];

	br_store_be16(p, v);
	br_dhcp_add(b, code, p, sizeof(p));
}

void br_dhcp_add_u32(struct br_dhcp_builder *b, uint8_t code, uint32_t v)
{
	uint8_t p[4];

	br_store_be32(p, v);
	br_dhcp_add(b, code, p, sizeof(p));
}

void br_dhcp_add_text(struct br_dhcp_builder *b, uint8_t code, const char *s)
{
	br_dhcp_add(b, code, s, strlen(s));
}

int br_dhcp_end(struct br_dhcp_builder *b, size_t min)
{
	br_put_u8(&b->w, BR_DHCP_OPT_END);
	if (b->w.failed)
		return -ENOBUFS;
	if (min > b->w.cap)
		min = b->w.cap;
	if (b->w.len < min)
		br_put_zeros(&b->w, min - b->w.len);
	return (int)b->w.len;
}

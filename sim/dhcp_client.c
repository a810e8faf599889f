/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firmware's DHCP client (RFC 2131, PXE 2.1 options as firmware means them). It is
 * written apart from the server's decoder on purpose: two readings of the same facts.
 */
#include "sim/dhcp_client.h"

#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"

#define BOOTP_LEN  240 /* header and cookie */
#define COOKIE	   0x63825363u
#define BOOTP_MIN  300 /* RFC 1542, section 2.1 */
#define ROM_TIMER  BR_S /* wire facts 1.5: "a ~1 s timer" */
#define DISCOVER   1
#define OFFER	   2
#define REQUEST	   3
#define ACK	   5
#define NAK	   6

static const char menu_text[] = "Raspberry Pi Boot";

void br_sim_dhcp_start(struct br_sim_dhcp *d, const struct br_sim_dhcp_style *style, struct br_mac mac,
	const uint8_t guid[static 17], uint32_t xid, uint64_t now_ns)
{
	*d = (struct br_sim_dhcp){
		.style = style,
		.mac = mac,
		.xid = style->xid ? style->xid : xid,
		.next_ns = now_ns,
		.end_ns = now_ns + style->total_ns,
		.wait_ns = style->interval_ns,
	};
	memcpy(d->guid, guid, sizeof(d->guid));
}

static void put_option(struct br_writer *w, uint8_t code, const void *data, uint8_t n)
{
	br_put_u8(w, code);
	br_put_u8(w, n);
	br_put_bytes(w, data, n);
}

static void put_text(struct br_writer *w, uint8_t code, const char *text)
{
	put_option(w, code, text, (uint8_t)strlen(text));
}

static void put_u16(struct br_writer *w, uint8_t code, uint16_t v)
{
	uint8_t b[2];

	br_store_be16(b, v);
	put_option(w, code, b, sizeof(b));
}

static void put_ip(struct br_writer *w, uint8_t code, uint32_t v)
{
	uint8_t b[4];

	br_store_be32(b, v);
	put_option(w, code, b, sizeof(b));
}

/* As DHCP clients of user space make it up: a type, then what stays the same on this machine (RFC 4361). */
static void put_client_id(struct br_writer *w, const struct br_sim_dhcp *d)
{
	uint8_t id[15] = { 255, 0, 0, 0, 0, 0, 3, 0, 1 };

	memcpy(id + 1, d->mac.b + 2, 4);
	memcpy(id + 9, d->mac.b, 6);
	put_option(w, 61, id, sizeof(id));
}

static void put_option_by_code(struct br_writer *w, const struct br_sim_dhcp *d, uint8_t code)
{
	const struct br_sim_dhcp_style *style = d->style;
	uint8_t type = d->state == BR_SIM_DHCP_REQUEST ? REQUEST : DISCOVER;

	switch (code) {
	case 12:
		put_text(w, code, style->host_name);
		return;
	case 50:
		put_ip(w, code, d->ip);
		return;
	case 53:
		put_option(w, code, &type, 1);
		return;
	case 54:
		put_ip(w, code, d->server_id);
		return;
	case 55:
		put_option(w, code, style->wanted, style->n_wanted);
		return;
	case 57:
		put_u16(w, code, style->max_size);
		return;
	case 60:
		put_text(w, code, style->vendor_class);
		return;
	case 61:
		put_client_id(w, d);
		return;
	case 77:
		put_text(w, code, style->user_class);
		return;
	case 93:
		put_u16(w, code, style->arch);
		return;
	case 94:
		put_option(w, code, style->ndi, sizeof(style->ndi));
		return;
	case 97:
		put_option(w, code, d->guid, sizeof(d->guid));
		return;
	}
}

static size_t build(const struct br_sim_dhcp *d, uint8_t out[static BR_SIM_DHCP_MAX])
{
	bool request = d->state == BR_SIM_DHCP_REQUEST;
	struct br_writer w = br_writer_of(out, BR_SIM_DHCP_MAX);

	br_put_be32(&w, 0x01010600); /* BOOTREQUEST, Ethernet, 6, no hops */
	br_put_be32(&w, d->xid);
	br_put_be32(&w, d->style->broadcast ? 0x8000 : 0); /* secs and flags */
	br_put_zeros(&w, 8); /* ciaddr, yiaddr */
	br_put_be32(&w, request ? d->siaddr : 0);
	br_put_be32(&w, 0);
	br_put_bytes(&w, d->mac.b, 6);
	br_put_zeros(&w, 10 + 64 + 128);
	br_put_be32(&w, COOKIE);
	for (const uint8_t *o = request ? d->style->request_order : d->style->order; *o; o++)
		put_option_by_code(&w, d, *o);
	br_put_u8(&w, 255);
	if (w.len < d->style->min_len)
		br_put_zeros(&w, d->style->min_len - w.len);
	return w.len;
}

size_t br_sim_dhcp_poll(struct br_sim_dhcp *d, uint64_t now_ns, uint8_t out[static BR_SIM_DHCP_MAX])
{
	if (d->state > BR_SIM_DHCP_REQUEST)
		return 0;
	if (now_ns >= d->end_ns) {
		d->state = BR_SIM_DHCP_FAILED;
		return 0;
	}
	if (now_ns < d->next_ns)
		return 0;
	if (d->style->tries && d->n_sent == d->style->tries) {
		d->next_ns = d->end_ns; /* nothing more to say; an answer may still come */
		return 0;
	}
	if (d->ripe_ns) {
		d->saw |= BR_SIM_SAW_UNHEARD;
		d->ripe_ns = 0;
		d->ip = d->tftp = 0;
	}
	if (d->state == BR_SIM_DHCP_REQUEST && d->n_sent && now_ns >= d->next_ns && d->saw & BR_SIM_SAW_NAK) {
		d->state = BR_SIM_DHCP_DISCOVER;
		d->saw &= ~(unsigned)BR_SIM_SAW_NAK;
	}
	d->n_sent++;
	d->next_ns = now_ns + d->wait_ns;
	if (d->style->backs_off)
		d->wait_ns = 2 * d->wait_ns < d->style->max_interval_ns ? 2 * d->wait_ns : d->style->max_interval_ns;
	return build(d, out);
}

uint64_t br_sim_dhcp_deadline(const struct br_sim_dhcp *d)
{
	if (d->state > BR_SIM_DHCP_REQUEST)
		return UINT64_MAX;
	return d->next_ns < d->end_ns ? d->next_ns : d->end_ns;
}

/* "10.77.0.1", perhaps with a NUL; 0 when it is anything else. */
static uint32_t dotted(const uint8_t *p, size_t n)
{
	char text[BR_IP_TEXT] = { 0 };
	uint32_t ip = 0;

	while (n && !p[n - 1])
		n--;
	if (!n || n >= sizeof(text))
		return 0;
	memcpy(text, p, n);
	return br_ip_parse(text, &ip) < 0 ? 0 : ip;
}

static bool contains(const uint8_t *p, size_t n, const char *text, size_t len)
{
	return memmem(p, n, text, len) != NULL;
}

/* Does option 43 name us, as this stage reads it? Wire facts 1.4. */
static bool menu_matches(const struct br_sim_dhcp_style *style, const uint8_t *p, size_t n)
{
	struct br_reader r = br_reader_of(p, n);

	if (style->three_spaces)
		return contains(p, n, "Raspberry Pi Boot   ", sizeof(menu_text) - 1 + 3);
	if (!style->pxe_menu)
		return contains(p, n, menu_text, sizeof(menu_text) - 1);
	while (br_reader_left(&r)) {
		uint8_t code = br_get_u8(&r), len;
		const uint8_t *v;

		if (code == 255)
			break;
		if (code == 0)
			continue;
		len = br_get_u8(&r);
		v = br_reader_take(&r, len);
		if (v && code == 9 && contains(v, len, menu_text, sizeof(menu_text) - 1))
			return true;
	}
	return false;
}

struct reply {
	uint8_t type;
	char file[BR_SIM_DHCP_FILE];
	uint32_t yiaddr, siaddr, server_id, mask, router, tftp;
	bool relayed;
	unsigned saw;
};

static uint32_t option_ip(const uint8_t *v, uint8_t n)
{
	return n >= 4 ? br_load_be32(v) : 0;
}

static void take_option(const struct br_sim_dhcp *d, struct reply *p, uint8_t code, const uint8_t *v, uint8_t n,
	uint32_t src_ip)
{
	uint32_t ip;

	switch (code) {
	case 1:
		p->mask = option_ip(v, n);
		return;
	case 3:
		p->router = option_ip(v, n);
		return;
	case 43:
		if (!menu_matches(d->style, v, n))
			p->saw |= BR_SIM_SAW_FOREIGN_MENU;
		else if (d->style->last_wins || !p->tftp)
			p->tftp = src_ip;
		return;
	case 53:
		p->type = n ? v[0] : 0;
		return;
	case 54:
		p->server_id = option_ip(v, n);
		return;
	case 67:
		memset(p->file, 0, sizeof(p->file));
		memcpy(p->file, v, n); /* fits: 255 bytes and a NUL */
		return;
	case 66:
		ip = dotted(v, n);
		if (!ip)
			p->saw |= BR_SIM_SAW_BAD_66;
		else
			p->tftp = ip;
		return;
	}
}

static bool parse(const struct br_sim_dhcp *d, const uint8_t *data, size_t len, uint32_t src_ip, struct reply *ret)
{
	struct br_reader r = br_reader_of(data, len);
	uint32_t kind = br_get_be32(&r), xid = br_get_be32(&r);

	*ret = (struct reply){ 0 };
	br_reader_take(&r, 8); /* secs, flags, ciaddr */
	ret->yiaddr = br_get_be32(&r);
	ret->siaddr = br_get_be32(&r);
	ret->relayed = br_get_be32(&r) != 0 || (kind & 255) != 0;
	if (len < BOOTP_LEN || kind >> 8 != 0x020106 || xid != d->xid || memcmp(r.p, d->mac.b, 6))
		return false;
	br_reader_take(&r, 16 + 64);
	memcpy(ret->file, br_reader_take(&r, 128), 127);
	if (br_get_be32(&r) != COOKIE)
		return false;
	while (br_reader_left(&r)) {
		uint8_t code = br_get_u8(&r), n;
		const uint8_t *v;

		if (code == 255)
			break;
		if (code == 0)
			continue;
		n = br_get_u8(&r);
		v = br_reader_take(&r, n);
		if (!v)
			return false; /* a length that runs out of the packet */
		take_option(d, ret, code, v, n, src_ip);
	}
	if (d->style->server_is_next) {
		ret->tftp = ret->siaddr ? ret->siaddr : ret->server_id;
		ret->saw = 0;
	}
	if (len < BOOTP_MIN)
		ret->saw |= BR_SIM_SAW_SHORT;
	return true;
}

static void take_offer(struct br_sim_dhcp *d, const struct reply *p, uint64_t now_ns)
{
	if (p->yiaddr && !d->ip) {
		d->ip = p->yiaddr;
		d->mask = p->mask;
		d->router = p->router;
		d->server_id = p->server_id;
		d->siaddr = p->siaddr;
		d->saw |= BR_SIM_SAW_ADDRESS;
	}
	/* a loader takes all from one OFFER, and none without an address (wire facts 1.8) */
	if (p->tftp && (p->yiaddr || !d->style->server_is_next)) {
		d->tftp = p->tftp;
		memcpy(d->file, p->file, sizeof(d->file));
		d->saw |= BR_SIM_SAW_SERVER;
	}
	if (!d->ip || !d->tftp)
		return;
	if (d->style->needs_nudge) {
		d->ripe_ns = now_ns + ROM_TIMER;
	} else if (d->style->requests) {
		d->state = BR_SIM_DHCP_REQUEST;
		d->next_ns = now_ns;
	} else {
		d->state = BR_SIM_DHCP_BOUND;
	}
}

bool br_sim_dhcp_input(struct br_sim_dhcp *d, uint64_t now_ns, const uint8_t *data, size_t len, uint32_t src_ip)
{
	struct reply p;

	if (d->state > BR_SIM_DHCP_REQUEST || !parse(d, data, len, src_ip, &p))
		return false;
	d->saw |= p.saw | BR_SIM_SAW_REPLY;
	if (p.saw & BR_SIM_SAW_SHORT && d->style->drops_short)
		return true;
	if (p.relayed && d->style->direct_only) {
		d->saw |= BR_SIM_SAW_RELAYED;
		return true;
	}
	if (d->state == BR_SIM_DHCP_DISCOVER && p.type == OFFER && !d->ripe_ns) {
		take_offer(d, &p, now_ns);
	} else if (d->state == BR_SIM_DHCP_REQUEST && p.type == OFFER && p.tftp && !p.yiaddr) {
		d->tftp = p.tftp; /* a proxy's offer may come second */
	} else if (d->state == BR_SIM_DHCP_REQUEST && p.type == ACK && p.yiaddr) {
		d->ip = p.yiaddr;
		d->mask = p.mask ? p.mask : d->mask;
		d->router = p.router ? p.router : d->router;
		d->state = BR_SIM_DHCP_BOUND;
		if (d->style->server_is_next && *p.file)
			memcpy(d->file, p.file, sizeof(d->file));
	} else if (d->state == BR_SIM_DHCP_REQUEST && p.type == NAK) {
		d->saw |= BR_SIM_SAW_NAK;
		d->ip = d->tftp = 0;
	}
	return true;
}

/*
 * The 3B ROM notices a reply only when some frame arrives after its timer ran out (wire
 * facts 1.5); the reply itself came too early.
 */
void br_sim_dhcp_frame(struct br_sim_dhcp *d, uint64_t now_ns)
{
	if (d->state == BR_SIM_DHCP_DISCOVER && d->ripe_ns && now_ns >= d->ripe_ns)
		d->state = BR_SIM_DHCP_BOUND;
}

const char *br_sim_dhcp_why(const struct br_sim_dhcp *d)
{
	static const struct {
		unsigned with, without;
		const char *why;
	} words[] = {
		{ 0, BR_SIM_SAW_REPLY | BR_SIM_SAW_RELAYED,
			"no DHCP server answered: is one listening on this wire, with a free address for this board?" },
		{ BR_SIM_SAW_UNHEARD, 0,
			"an OFFER came, but no frame after the ROM's one-second timer (its receive bug): "
			"the server must nudge the board or delay the OFFER" },
		{ BR_SIM_SAW_RELAYED, BR_SIM_SAW_ADDRESS,
			"the OFFER came through a relay; this ROM drops such: put a server on the board's own wire" },
		{ BR_SIM_SAW_NAK, 0, "the server refused the address it had offered (NAK)" },
		{ BR_SIM_SAW_FOREIGN_MENU, BR_SIM_SAW_SERVER,
			"an OFFER came, but its option 43 has no item 'Raspberry Pi Boot' as this firmware "
			"reads it, and there is no option 66: the board does not know its TFTP server" },
		{ BR_SIM_SAW_BAD_66, BR_SIM_SAW_SERVER,
			"option 66 is not a dotted address (firmware has no DNS), and no option 43 helped" },
		{ BR_SIM_SAW_ADDRESS, BR_SIM_SAW_SERVER,
			"an address was offered, but neither option 66 nor option 43 'Raspberry Pi Boot' "
			"names a TFTP server (siaddr alone is ignored)" },
		{ BR_SIM_SAW_SERVER, BR_SIM_SAW_ADDRESS,
			"a boot server answered (proxy DHCP), but nobody offered an address" },
		{ BR_SIM_SAW_ADDRESS | BR_SIM_SAW_SERVER, 0,
			"the OFFER was fine, but the REQUEST stayed without an ACK" },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if ((d->saw & words[i].with) == words[i].with && !(d->saw & words[i].without))
			return words[i].why;
	return "answers came, but none was usable";
}

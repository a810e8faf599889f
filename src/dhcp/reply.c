/* SPDX-License-Identifier: Apache-2.0 */
/* What each kind of client gets to read, and where the packet goes (RFC 2131 4.1). */
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "dhcp/internal.h"

#define DEFAULT_LEASE_S 3600
#define BROADCAST_IP UINT32_MAX

/*
 * Option 43 of the firmware stages (wire notes 1.4): discovery control "neither broadcast nor multicast", a prompt
 * that does not wait, one menu item. The three blanks behind the name are for the 3B ROM, which miscounts by three.
 */
static const uint8_t pi_boot_43[] = {
	6, 1, 3, /* discovery control */
	10, 4, 0, 'P', 'X', 'E', /* prompt, timeout 0 */
	9, 0x17, 0, 0, 0x14, /* menu: type 0, 20 characters */
	'R', 'a', 's', 'p', 'b', 'e', 'r', 'r', 'y', ' ', 'P', 'i', ' ', 'B', 'o', 'o', 't', ' ', ' ', ' ',
	255,
};

struct making {
	const struct br_dhcp_server *s;
	const struct br_dhcp_grant *grant; /* NULL: address of the client's own */
	uint8_t type;
	struct br_dhcp_builder b;
};

static void put_type(struct making *mk)
{
	br_dhcp_add_u8(&mk->b, BR_DHCP_OPT_TYPE, mk->type);
}

static void put_server_id(struct making *mk)
{
	br_dhcp_add_u32(&mk->b, BR_DHCP_OPT_SERVER_ID, mk->s->id);
}

static uint32_t lease_of(const struct making *mk)
{
	return mk->grant->lease_s ? mk->grant->lease_s : DEFAULT_LEASE_S;
}

/* RFC 2131 4.3.5: an INFORM gets no lease. */
static void put_lease(struct making *mk)
{
	if (mk->grant && mk->s->msg.type != BR_DHCP_INFORM)
		br_dhcp_add_u32(&mk->b, BR_DHCP_OPT_LEASE, lease_of(mk));
}

/* RFC 2131 4.4.5's own values, for clients that would rather be told. */
static void put_t1(struct making *mk)
{
	if (mk->grant && mk->s->msg.type != BR_DHCP_INFORM)
		br_dhcp_add_u32(&mk->b, BR_DHCP_OPT_T1, lease_of(mk) / 2);
}

static void put_t2(struct making *mk)
{
	if (mk->grant && mk->s->msg.type != BR_DHCP_INFORM)
		br_dhcp_add_u32(&mk->b, BR_DHCP_OPT_T2, (uint32_t)((uint64_t)lease_of(mk) * 7 / 8));
}

static unsigned prefix_of(const struct making *mk)
{
	return mk->s->subnet ? mk->s->subnet->prefix : mk->s->opt.prefix;
}

static void put_mask(struct making *mk)
{
	br_dhcp_add_u32(&mk->b, BR_DHCP_OPT_MASK, br_ip_mask(prefix_of(mk)));
}

/* Addresses up to the first 0. */
static void put_addresses(struct making *mk, uint8_t code, const uint32_t *ips)
{
	uint8_t bytes[4 * BR_DHCP_MAX_ADDRESSES];
	size_t n = 0;

	while (n < BR_DHCP_MAX_ADDRESSES && ips[n]) {
		br_store_be32(bytes + 4 * n, ips[n]);
		n++;
	}
	if (n)
		br_dhcp_add(&mk->b, code, bytes, 4 * n);
}

/* Behind a relay our own routers are out of reach: its subnet's, or the relay itself. */
static void put_router(struct making *mk)
{
	const struct br_dhcp_subnet *net = mk->s->subnet;
	uint32_t there[BR_DHCP_MAX_ADDRESSES] = { 0 };

	if (net)
		there[0] = net->router_ip ? net->router_ip : mk->s->msg.h.giaddr;
	else if (!mk->s->opt.router_ip[0] && mk->s->client.kind == BR_DHCP_EEPROM)
		there[0] = mk->s->opt.server_ip; /* a Pi 5 does not boot by HTTP without one (systems notes); only firmware is told */
	put_addresses(mk, BR_DHCP_OPT_ROUTER, there[0] ? there : mk->s->opt.router_ip);
}

static void put_dns(struct making *mk)
{
	put_addresses(mk, BR_DHCP_OPT_DNS, mk->s->opt.dns_ip);
}

static void put_ntp(struct making *mk)
{
	put_addresses(mk, BR_DHCP_OPT_NTP, mk->s->opt.ntp_ip);
}

static void put_domain(struct making *mk)
{
	if (mk->s->opt.domain[0])
		br_dhcp_add_text(&mk->b, BR_DHCP_OPT_DOMAIN, mk->s->opt.domain);
}

static void put_broadcast(struct making *mk)
{
	uint32_t net = mk->s->subnet ? mk->s->subnet->net : mk->s->opt.server_ip;

	if (prefix_of(mk) < 31)
		br_dhcp_add_u32(&mk->b, BR_DHCP_OPT_BROADCAST, net | ~br_ip_mask(prefix_of(mk)));
}

static void put_host_name(struct making *mk)
{
	if (mk->grant && mk->grant->host_name[0])
		br_dhcp_add_text(&mk->b, BR_DHCP_OPT_HOST_NAME, mk->grant->host_name);
}

static void put_root_path(struct making *mk)
{
	if (mk->grant && mk->grant->root_path[0])
		br_dhcp_add_text(&mk->b, BR_DHCP_OPT_ROOT_PATH, mk->grant->root_path);
}

static void put_pxe_class(struct making *mk)
{
	br_dhcp_add_text(&mk->b, BR_DHCP_OPT_CLASS, mk->s->client.http ? "HTTPClient" : "PXEClient");
}

/* UEFI's HTTP boot takes a URL only from an answer that has its class (UEFI 2.10, 24.7.3.1). */
static void put_http_class(struct making *mk)
{
	if (mk->s->client.http)
		put_pxe_class(mk);
}

/* Without a NUL behind it, which EDK2 would take for part of the name. */
static void put_boot_file(struct making *mk)
{
	if (mk->grant && mk->grant->boot_file[0])
		br_dhcp_add_text(&mk->b, BR_DHCP_OPT_BOOT_FILE, mk->grant->boot_file);
}

/* Discovery control, bit 3: take the boot file that is named here, ask nobody else. */
static void put_pxe_control(struct making *mk)
{
	static const uint8_t control[] = { 6, 1, 8, 255 };

	if (!mk->s->client.http)
		br_dhcp_add(&mk->b, BR_DHCP_OPT_VENDOR, control, sizeof(control));
}

/* Settings of iPXE's own: 176, no proxy to wait for, which it else does for three seconds. We are the only ones who
 * answer here. */
static void put_ipxe_settings(struct making *mk)
{
	static const uint8_t settings[] = { 176, 1, 1 };

	if (mk->s->client.kind == BR_DHCP_IPXE)
		br_dhcp_add(&mk->b, BR_DHCP_OPT_IPXE, settings, sizeof(settings));
}

static void put_pi_boot(struct making *mk)
{
	br_dhcp_add(&mk->b, BR_DHCP_OPT_VENDOR, pi_boot_43, sizeof(pi_boot_43));
}

/* As dotted text, because these stages have no resolver. */
static void put_tftp_name(struct making *mk)
{
	char text[BR_IP_TEXT];

	br_dhcp_add_text(&mk->b, BR_DHCP_OPT_TFTP_NAME, br_ip_format(text, mk->s->opt.server_ip));
}

static void put_echo(struct making *mk, uint8_t code)
{
	size_t len;
	const uint8_t *p = br_dhcp_option(&mk->s->msg, code, &len);

	if (p)
		br_dhcp_add(&mk->b, code, p, len);
}

/* RFC 4578 2.1: the GUID comes back as it was sent. */
static void put_guid(struct making *mk)
{
	put_echo(mk, BR_DHCP_OPT_GUID);
}

/* RFC 6842 3: so does the client identifier. */
static void put_client_id(struct making *mk)
{
	put_echo(mk, BR_DHCP_OPT_CLIENT_ID);
}

/* One line of what a kind of client gets, in this order. */
struct item {
	void (*put)(struct making *mk);
	uint8_t when_asked; /* only when option 55 names this code; 0: always */
};

/* Wire notes 1.4: the best single answer for all boards. 66 stands behind 43: the last one wins on BCM2837. */
static const struct item firmware_items[] = {
	{ put_type }, { put_server_id }, { put_lease }, { put_mask }, { put_router }, { put_dns }, { put_pxe_class },
	{ put_guid }, { put_pi_boot }, { put_tftp_name }, { put_client_id }, { 0 },
};

/* Loaders read siaddr and the file; "Raspberry Pi Boot" would disturb them (wire notes 1.8). */
static const struct item loader_items[] = {
	{ put_type }, { put_server_id }, { put_lease }, { put_mask }, { put_router }, { put_dns }, { put_http_class },
	{ put_host_name, BR_DHCP_OPT_HOST_NAME }, { put_domain, BR_DHCP_OPT_DOMAIN },
	{ put_root_path, BR_DHCP_OPT_ROOT_PATH }, { put_boot_file, BR_DHCP_OPT_BOOT_FILE }, { put_ipxe_settings },
	{ put_broadcast, BR_DHCP_OPT_BROADCAST }, { put_ntp, BR_DHCP_OPT_NTP }, { put_t1, BR_DHCP_OPT_T1 },
	{ put_t2, BR_DHCP_OPT_T2 }, { put_guid }, { put_client_id }, { 0 },
};

/* What a proxy says (wire notes 1.7): the boot part, and nothing that belongs to an address. */
static const struct item firmware_proxy_items[] = {
	{ put_type }, { put_server_id }, { put_pxe_class }, { put_guid }, { put_pi_boot }, { put_tftp_name }, { 0 },
};

static const struct item loader_proxy_items[] = {
	{ put_type }, { put_server_id }, { put_pxe_class }, { put_boot_file }, { put_guid }, { put_pxe_control }, { 0 },
};

/* ip=dhcp and klibc's ipconfig: host name always, else the board's address becomes its name. */
static const struct item linux_items[] = {
	{ put_type }, { put_server_id }, { put_lease }, { put_mask }, { put_router }, { put_dns }, { put_broadcast },
	{ put_host_name }, { put_root_path }, { put_domain, BR_DHCP_OPT_DOMAIN }, { put_ntp, BR_DHCP_OPT_NTP },
	{ put_client_id }, { 0 },
};

static const struct item plain_items[] = {
	{ put_type }, { put_server_id }, { put_lease }, { put_mask }, { put_router }, { put_dns },
	{ put_broadcast, BR_DHCP_OPT_BROADCAST }, { put_host_name, BR_DHCP_OPT_HOST_NAME },
	{ put_domain, BR_DHCP_OPT_DOMAIN }, { put_ntp, BR_DHCP_OPT_NTP }, { put_t1, BR_DHCP_OPT_T1 },
	{ put_t2, BR_DHCP_OPT_T2 }, { put_client_id }, { 0 },
};

/* By kind: the options, and whether siaddr names us. Kinds that boot from us, and only when they are ours. */
static const struct policy {
	const struct item *items;
	bool next_server;
} policies[BR_DHCP_N_KINDS] = {
	[BR_DHCP_OTHER] = { plain_items, false },
	[BR_DHCP_ROM] = { firmware_items, true },
	[BR_DHCP_BOOTCODE] = { firmware_items, true },
	[BR_DHCP_EEPROM] = { firmware_items, true },
	[BR_DHCP_UBOOT] = { loader_items, true },
	[BR_DHCP_IPXE] = { loader_items, true },
	[BR_DHCP_UEFI] = { loader_items, true },
	[BR_DHCP_KERNEL] = { linux_items, true },
	[BR_DHCP_INITRAMFS] = { linux_items, true },
	[BR_DHCP_OS] = { plain_items, false },
};

static const struct policy no_boot = { plain_items, false };

static struct br_dhcp_header header_of(const struct br_dhcp_message *m)
{
	return (struct br_dhcp_header){
		.op = BR_DHCP_BOOTREPLY,
		.xid = m->h.xid,
		.broadcast = m->h.broadcast,
		.giaddr = m->h.giaddr,
		.chaddr = m->h.chaddr,
	};
}

/* RFC 2131 2: no larger than the client takes. The kernel and klibc never say so, but read a whole frame; a long
 * root path may need it. */
static size_t capacity_for(const struct br_dhcp_server *s)
{
	uint16_t max = 0;

	if (s->client.kind == BR_DHCP_KERNEL || s->client.kind == BR_DHCP_INITRAMFS)
		return BR_DHCP_PACKET_MAX;
	if (!br_dhcp_option_u16(&s->msg, BR_DHCP_OPT_MAX_SIZE, &max) || max < BR_DHCP_DEFAULT_MAX + 28)
		return BR_DHCP_DEFAULT_MAX;
	return max - 28 < BR_DHCP_PACKET_MAX ? max - 28 : BR_DHCP_PACKET_MAX; /* 28: IP and UDP headers */
}

/* RFC 3046 2.2: the relay's option comes back as it was, last; switches that snoop add it without being a relay. */
static int finish(struct making *mk, struct br_dhcp_reply *reply)
{
	int n;

	put_echo(mk, BR_DHCP_OPT_SUBNET); /* RFC 3011 2.1: shows that it was heeded */
	put_echo(mk, BR_DHCP_OPT_RELAY);
	n = br_dhcp_end(&mk->b, BR_DHCP_REPLY_MIN);
	if (n < 0)
		return 0;
	reply->len = (size_t)n;
	return 1;
}

static void send_broadcast(struct br_dhcp_reply *reply)
{
	reply->to_ip = BROADCAST_IP;
	reply->to_port = BR_DHCP_CLIENT_PORT;
	memset(reply->to_mac.b, 0xff, sizeof(reply->to_mac.b));
}

static void send_to(struct br_dhcp_reply *reply, uint32_t ip, uint16_t port, struct br_mac mac)
{
	reply->to_ip = ip;
	reply->to_port = port;
	reply->to_mac = mac;
}

/* RFC 2131 4.1, in its order. A ciaddr counts only when it was found to be the client's: nobody makes us send
 * elsewhere. */
static void address_grant(const struct br_dhcp_message *m, uint32_t yiaddr, struct br_dhcp_reply *reply)
{
	static const struct br_mac routed;

	if (m->h.giaddr)
		send_to(reply, m->h.giaddr, BR_DHCP_SERVER_PORT, routed);
	else if (m->h.ciaddr && (m->h.ciaddr == yiaddr || m->type == BR_DHCP_INFORM))
		send_to(reply, m->h.ciaddr, BR_DHCP_CLIENT_PORT, routed);
	else if (m->h.broadcast)
		send_broadcast(reply);
	else
		send_to(reply, yiaddr, BR_DHCP_CLIENT_PORT, m->h.chaddr);
}

/* The header's field too: U-Boot asks for no option 67. A name that is too long for it goes into the option only. */
static void name_boot_file(const struct br_dhcp_grant *grant, struct br_dhcp_header *h)
{
	if (grant && strlen(grant->boot_file) < sizeof(h->file))
		strcpy(h->file, grant->boot_file);
}

static void put_items(struct making *mk, const struct item *items)
{
	for (const struct item *i = items; i->put; i++)
		if (!i->when_asked || br_dhcp_asks(&mk->s->msg, i->when_asked))
			i->put(mk);
}

int br_dhcp_reply_grant(const struct br_dhcp_server *s, uint8_t type, const struct br_dhcp_grant *grant,
	struct br_dhcp_reply *reply)
{
	const struct policy *policy = grant && grant->boot ? &policies[s->client.kind] : &no_boot;
	struct making mk = { .s = s, .grant = grant, .type = type };
	struct br_dhcp_header h = header_of(&s->msg);

	h.ciaddr = type == BR_DHCP_ACK ? s->msg.h.ciaddr : 0;
	h.yiaddr = grant && s->msg.type != BR_DHCP_INFORM ? grant->ip : 0;
	h.siaddr = policy->next_server ? s->opt.server_ip : 0;
	if (policy->items == loader_items)
		name_boot_file(grant, &h);
	br_dhcp_begin(&mk.b, reply->packet, capacity_for(s), &h);
	put_items(&mk, policy->items);
	address_grant(&s->msg, h.yiaddr, reply);
	return finish(&mk, reply);
}

/* To everybody, with the bit that says so: the client has no address yet, and from us it gets none. */
int br_dhcp_reply_proxy(const struct br_dhcp_server *s, uint8_t type, const struct br_dhcp_grant *grant,
	struct br_dhcp_reply *reply)
{
	bool firmware = br_dhcp_client_is_firmware(s->client.kind);
	struct making mk = { .s = s, .grant = grant, .type = type };
	struct br_dhcp_header h = header_of(&s->msg);

	h.ciaddr = type == BR_DHCP_ACK ? s->msg.h.ciaddr : 0;
	h.siaddr = s->opt.server_ip;
	if (!firmware)
		name_boot_file(grant, &h);
	if (type == BR_DHCP_OFFER)
		h.broadcast = true;
	br_dhcp_begin(&mk.b, reply->packet, capacity_for(s), &h);
	put_items(&mk, firmware ? firmware_proxy_items : loader_proxy_items);
	if (s->msg.h.giaddr)
		address_grant(&s->msg, 0, reply);
	else
		send_broadcast(reply);
	return finish(&mk, reply);
}

/* RFC 2131 4.3.2: through a relay with the broadcast bit set, since the client has no address to be reached at. */
int br_dhcp_reply_nak(const struct br_dhcp_server *s, const char *reason, struct br_dhcp_reply *reply)
{
	struct making mk = { .s = s, .type = BR_DHCP_NAK };
	struct br_dhcp_header h = header_of(&s->msg);

	if (h.giaddr)
		h.broadcast = true;
	br_dhcp_begin(&mk.b, reply->packet, BR_DHCP_DEFAULT_MAX, &h);
	put_type(&mk);
	put_server_id(&mk);
	br_dhcp_add_text(&mk.b, BR_DHCP_OPT_MESSAGE, reason);
	put_client_id(&mk);
	if (h.giaddr)
		address_grant(&s->msg, 0, reply);
	else
		send_broadcast(reply);
	return finish(&mk, reply);
}

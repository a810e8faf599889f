/* SPDX-License-Identifier: Apache-2.0 */
/* Interface, address and range from the settings. */
#include "daemon/network.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"

/* The first addresses of a network are where people put routers and servers by hand. */
#define RANGE_SKIP 9

static int find_address(const struct br_config *config, struct br_network *net, struct br_error *err)
{
	int r;

	net->ip = net->netif.ip;
	net->prefix = net->netif.prefix;
	if (config->address) {
		br_ip_parse_prefix(config->address, &net->ip, &net->prefix); /* checked when it was set */
		r = br_netif_add_address(net->netif.name, net->ip, net->prefix, err);
		if (r < 0)
			return r;
		net->address_added = r > 0;
		return br_netif_info(net->netif.name, &net->netif, err);
	}
	if (!net->ip)
		return br_error_set(err, EADDRNOTAVAIL,
			"interface %s: has no IPv4 address; give it one, or let us: --address 10.77.0.1/24",
			net->netif.name);
	return 0;
}

/* The addresses of our network but the lowest few, or all when it is small. */
static void default_range(struct br_network *net)
{
	uint32_t mask = br_ip_mask(net->prefix), base = net->ip & mask, top = base | ~mask;

	net->first_ip = top - base > 4 * RANGE_SKIP ? base + RANGE_SKIP + 1 : base + 1;
	net->last_ip = top - 1;
}

static int find_range(const struct br_config *config, struct br_network *net, struct br_error *err)
{
	uint32_t mask = br_ip_mask(net->prefix);
	char text[64], ip[BR_IP_TEXT];
	char *dash;

	if (!config->range) {
		default_range(net);
		return 0;
	}
	snprintf(text, sizeof(text), "%s", config->range);
	dash = strchr(text, '-');
	*dash = 0;
	br_ip_parse(text, &net->first_ip);
	br_ip_parse(dash + 1, &net->last_ip);
	if ((net->first_ip & mask) != (net->ip & mask) || (net->last_ip & mask) != (net->ip & mask))
		return br_error_set(err, EINVAL, "range %s: lies outside the network of our address %s/%u on %s",
			config->range, br_ip_format(ip, net->ip), net->prefix, net->netif.name);
	if (net->first_ip == (net->ip & mask) || net->last_ip == (net->ip | ~mask))
		return br_error_set(err, EINVAL,
			"range %s: the first and the last address of a network belong to no host", config->range);
	return 0;
}

static bool is_private(uint32_t ip)
{
	return ip >> 24 == 10 || ip >> 20 == 0xac1 || ip >> 16 == 0xc0a8; /* RFC 1918 */
}

/* What 'auto' may do where nobody else gives addresses: on a network that is ours alone, and only there, we do. */
static const char *why_not_give(const struct br_config *config, const struct br_network *net)
{
	if (br_netif_has_default_route(net->netif.name))
		return "this machine's default route leaves by it, so it is part of another network";
	if (!config->address && !is_private(net->ip))
		return "its address is a public one";
	return NULL;
}

static void choose_dhcp(const struct br_config *config, struct br_network *net)
{
	struct br_dhcp_options *o = &net->dhcp_options;

	net->dhcp = strcmp(config->dhcp, "off") != 0;
	o->automatic = !strcmp(config->dhcp, "auto");
	o->mode = !strcmp(config->dhcp, "full") ? BR_DHCP_FULL : BR_DHCP_PROXY;
	if (o->automatic)
		net->no_give = why_not_give(config, net);
	o->give = !net->no_give;
	o->server_ip = net->ip;
	o->prefix = net->prefix;
	o->mac = net->netif.mac;
	while (!o->probe_xid)
		br_random(&o->probe_xid, sizeof(o->probe_xid));
	/* all of these were checked when they were set */
	if (config->router)
		br_config_addresses(config->router, o->router_ip, BR_DHCP_MAX_ADDRESSES);
	if (config->dns)
		br_config_addresses(config->dns, o->dns_ip, BR_DHCP_MAX_ADDRESSES);
	if (config->ntp)
		br_config_addresses(config->ntp, o->ntp_ip, BR_DHCP_MAX_ADDRESSES);
	if (config->domain)
		snprintf(o->domain, sizeof(o->domain), "%s", config->domain);
	if (config->subnets)
		o->n_subnets = (size_t)br_config_subnets(config->subnets, o->subnets, BR_DHCP_MAX_SUBNETS);
}

int br_network_open(const struct br_config *config, struct br_network *ret, struct br_error *err)
{
	struct br_network net = { 0 };
	char name[BR_NETIF_NAME];
	uint64_t lease_ns = 0;
	int r;

	if (config->interface) {
		r = br_strcpy(name, sizeof(name), config->interface);
		if (r < 0)
			return br_error_set(err, ENODEV, "interface '%s': there is none of that name",
				config->interface);
	} else {
		r = br_netif_default(name, err);
		if (r < 0)
			return r;
	}
	r = br_netif_info(name, &net.netif, err);
	/* the DHCP server would say so, too, but after the import of an image */
	if (!r && !net.netif.ethernet && strcmp(config->dhcp, "off") != 0)
		r = br_error_set(err, EINVAL, "interface %s: no Ethernet, boards cannot be behind it; name another one "
			"with --interface, or serve without DHCP (--dhcp off)", name);
	if (!r)
		r = find_address(config, &net, err);
	if (r < 0)
		return r;
	r = find_range(config, &net, err);
	if (r < 0) {
		br_network_close(&net);
		return r;
	}
	choose_dhcp(config, &net);
	br_parse_duration(config->lease, &lease_ns);
	net.lease_s = (uint32_t)(lease_ns / BR_S);
	*ret = net;
	return 0;
}

void br_network_close(struct br_network *net)
{
	if (net->address_added)
		br_netif_remove_address(net->netif.name, net->ip, net->prefix, NULL);
	net->address_added = false;
}

/* A board that has no place in the table of neighbours gets no answer but DHCP's. */
void br_network_make_room(const struct br_network *net)
{
	unsigned hosts = net->prefix < 18 ? 16384 : 1u << (32 - net->prefix), was;
	int r;

	if (net->dhcp && net->last_ip - net->first_ip < hosts)
		hosts = net->last_ip - net->first_ip + 1;
	r = br_netif_neighbour_room(hosts, &was);
	if (r > 0)
		br_log_info("the kernel's table of neighbours had room for %u; raised for the %u addresses here", was, hosts);
	if (r < 0)
		br_log_warning("the kernel's table of neighbours has room for %u, and %u addresses are given here: "
			"'sysctl -w net.ipv4.neigh.default.gc_thresh3=%u' (and gc_thresh2=%u), or packets to boards will get lost",
			was, hosts, 4 * hosts, 2 * hosts);
}

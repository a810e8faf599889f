/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet and IPv4 addresses as values and text. */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

bool br_mac_equal(struct br_mac a, struct br_mac b)
{
	return !memcmp(a.b, b.b, 6);
}

bool br_mac_is_zero(struct br_mac m)
{
	return !br_mac_u64(m);
}

uint64_t br_mac_u64(struct br_mac m)
{
	uint64_t v = 0;

	for (int i = 0; i < 6; i++)
		v = v << 8 | m.b[i];
	return v;
}

const char *br_mac_format(char out[static BR_MAC_TEXT], struct br_mac m)
{
	snprintf(out, BR_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", m.b[0], m.b[1], m.b[2], m.b[3],
		m.b[4], m.b[5]);
	return out;
}

int br_mac_parse(const char *s, struct br_mac *ret)
{
	char hex[13];
	size_t n = strlen(s);

	if (n == 12)
		return br_unhex(ret->b, 6, s);
	if (n != 17)
		return -EINVAL;
	for (int i = 0; i < 6; i++) {
		if (i < 5 && s[3 * i + 2] != ':' && s[3 * i + 2] != '-')
			return -EINVAL;
		memcpy(hex + 2 * i, s + 3 * i, 2);
	}
	hex[12] = 0;
	return br_unhex(ret->b, 6, hex);
}

const char *br_ip_format(char out[static BR_IP_TEXT], uint32_t ip)
{
	snprintf(out, BR_IP_TEXT, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
	return out;
}

int br_ip_parse(const char *s, uint32_t *ret)
{
	struct in_addr a;

	if (inet_pton(AF_INET, s, &a) != 1)
		return -EINVAL;
	*ret = ntohl(a.s_addr);
	return 0;
}

int br_ip_parse_prefix(const char *s, uint32_t *ret_ip, unsigned *ret_prefix)
{
	char ip[BR_IP_TEXT];
	const char *slash = strchr(s, '/');
	size_t n = slash ? (size_t)(slash - s) : strlen(s);
	uint64_t prefix = 32;

	if (n >= sizeof(ip))
		return -EINVAL;
	memcpy(ip, s, n);
	ip[n] = 0;
	if (slash && br_parse_u64(slash + 1, 0, 32, &prefix) < 0)
		return -EINVAL;
	if (br_ip_parse(ip, ret_ip) < 0)
		return -EINVAL;
	*ret_prefix = (unsigned)prefix;
	return 0;
}

uint32_t br_ip_mask(unsigned prefix)
{
	return prefix ? UINT32_MAX << (32 - prefix) : 0;
}

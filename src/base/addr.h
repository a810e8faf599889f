/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* IPv4 addresses are uint32_t in host byte order, named 'ip'; 0 is none. */

struct br_mac {
	uint8_t b[6];
};

#define BR_MAC_TEXT 18 /* "b8:27:eb:00:00:01" and NUL */
#define BR_IP_TEXT 16

bool br_mac_equal(struct br_mac a, struct br_mac b);
bool br_mac_is_zero(struct br_mac m);
/* Six bytes as a number, for keys. */
uint64_t br_mac_u64(struct br_mac m);
const char *br_mac_format(char out[static BR_MAC_TEXT], struct br_mac m);
/* Separators ':' or '-', or none; either case. -EINVAL otherwise. */
int br_mac_parse(const char *s, struct br_mac *ret);

const char *br_ip_format(char out[static BR_IP_TEXT], uint32_t ip);
int br_ip_parse(const char *s, uint32_t *ret);
/* "10.77.0.1/24"; a bare address has prefix 32. -EINVAL otherwise. */
int br_ip_parse_prefix(const char *s, uint32_t *ret_ip, unsigned *ret_prefix);
/* prefix 0..32 to a mask. */
uint32_t br_ip_mask(unsigned prefix);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Frames to virtual boards, for tests and fuzz targets: addresses, lengths and checksums right. */
#include <stdint.h>
#include <string.h>

#include "base/bytes.h"

/* Ethernet and IP, for n bytes of this protocol behind them. Returns the length of both, 34. */
static inline size_t simframe_ip(uint8_t *out, const uint8_t *to_mac, const uint8_t *from_mac, uint32_t from_ip,
	uint32_t to_ip, uint8_t protocol, size_t n)
{
	uint32_t sum = 0;

	memset(out, 0, 34);
	memcpy(out, to_mac, 6);
	memcpy(out + 6, from_mac, 6);
	br_store_be16(out + 12, 0x0800);
	br_store_be16(out + 14, 0x4500);
	br_store_be16(out + 16, (uint16_t)(20 + n));
	out[22] = 64;
	out[23] = protocol;
	br_store_be32(out + 26, from_ip);
	br_store_be32(out + 30, to_ip);
	for (int i = 0; i < 20; i += 2)
		sum += br_load_be16(out + 14 + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	br_store_be16(out + 24, (uint16_t)~sum);
	return 34;
}

/* out: 42 + n bytes. The UDP checksum is absent. Returns the length. */
static inline size_t simframe_udp(uint8_t *out, const uint8_t *to_mac, const uint8_t *from_mac, uint32_t from_ip,
	uint32_t to_ip, uint16_t from, uint16_t to, const void *data, size_t n)
{
	simframe_ip(out, to_mac, from_mac, from_ip, to_ip, 17, 8 + n);
	br_store_be16(out + 34, from);
	br_store_be16(out + 36, to);
	br_store_be16(out + 38, (uint16_t)(8 + n));
	br_store_be16(out + 40, 0);
	memcpy(out + 42, data, n);
	return 42 + n;
}

/* The answer "from_ip is at from_mac". out: 60 bytes. */
static inline size_t simframe_arp(uint8_t *out, const uint8_t *to_mac, const uint8_t *from_mac, uint32_t from_ip,
	uint32_t to_ip)
{
	memset(out, 0, 60);
	memcpy(out, to_mac, 6);
	memcpy(out + 6, from_mac, 6);
	br_store_be16(out + 12, 0x0806);
	br_store_be32(out + 14, 0x00010800);
	br_store_be16(out + 18, 0x0604);
	br_store_be16(out + 20, 2);
	memcpy(out + 22, from_mac, 6);
	br_store_be32(out + 28, from_ip);
	memcpy(out + 32, to_mac, 6);
	br_store_be32(out + 38, to_ip);
	return 60;
}

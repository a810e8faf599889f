/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Another DHCP server, as somebody's forgotten router or PC installation server is one: it
 * gives addresses of 198.18.0.0/15 (RFC 2544, routed nowhere), names itself as boot
 * server by siaddr and option 67 and has a menu for PCs in option 43, none of which a
 * Raspberry Pi can use. It hears virtual boards only, and only they hear it.
 */
#define BR_SIM_ROGUE_MAX 400 /* its longest frame */
#define BR_SIM_ROGUE_IP	 0xc6120001u /* 198.18.0.1 */

/* The answer to this frame of board number 'board'; 0 bytes when it is no DISCOVER and no REQUEST to this server. */
size_t br_sim_rogue_answer(const uint8_t *frame, size_t len, size_t board, uint8_t out[static BR_SIM_ROGUE_MAX]);

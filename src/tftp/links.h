/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "tftp/frame.h"

/*
 * How peers are reached on their Ethernet: a packet socket sees the frames of requests (their first 42 bytes,
 * nothing else), and remembers whom each came from. The requests themselves come by the UDP socket, after the
 * kernel's checks and the firewall; a frame counts only for a request that came that way too, on the same
 * interface. Another packet socket sends frames. Bounded memory; what is forgotten or not understood is merely
 * not known, and the kernel's own way is taken. Of one thread.
 */
struct br_tftp_links;

/* For requests to this UDP port on all interfaces. -EPERM with words without CAP_NET_RAW. */
int br_tftp_links_open(uint16_t port, struct br_tftp_links **ret, struct br_error *err);
void br_tftp_links_close(struct br_tftp_links *links);
/* For sending frames, each after a br_tftp_frame_vnet(). */
int br_tftp_links_fd(const struct br_tftp_links *links);
/*
 * The link of a request that has just come in by the UDP socket, on that interface and to that address of ours.
 * Can be asked once for each request. False, ret untouched: not known, no Ethernet, or in doubt.
 */
bool br_tftp_links_take(struct br_tftp_links *links, uint32_t ip, uint16_t port, uint32_t ifindex, uint32_t our_ip,
	uint64_t now_ns, struct br_tftp_link *ret);
/* Frames to this address seem not to arrive: its links are not given out for the next minute. */
void br_tftp_links_doubt(struct br_tftp_links *links, uint32_t ip, uint64_t now_ns);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "why/watch.h"

/*
 * The watch's ear on an interface: a packet socket that sees what arrives there and what we send, without the bulk:
 * the kernel drops TFTP's blocks and acknowledgements and NFS's traffic before they cost us anything. It only
 * listens; nothing waits for it, and what it misses is counted.
 */
struct br_watch_io;

/* While root (CAP_NET_RAW). -EPERM, -ENODEV with words. The watch must outlive it. */
int br_watch_io_open(const char *interface, struct br_watch *watch, struct br_watch_io **ret, struct br_error *err);
/* The interface was made anew: listens to it. */
int br_watch_io_follow(struct br_watch_io *io, unsigned ifindex);
void br_watch_io_close(struct br_watch_io *io);
/* For the caller's loop: readable when br_watch_io_dispatch() has something to do. */
int br_watch_io_fd(const struct br_watch_io *io);
/* Takes what is there, at most some hundred frames. Their number, or a negative errno (the interface went away). */
int br_watch_io_dispatch(struct br_watch_io *io, uint64_t now_ns);
/* Frames that came faster than they were taken. From any thread. */
uint64_t br_watch_io_dropped(struct br_watch_io *io);

/* The filter, for its test: instructions, of which *ret_n are used. */
#define BR_WATCH_FILTER_MAX 96
void br_watch_io_filter(struct sock_filter ret[static BR_WATCH_FILTER_MAX], size_t *ret_n);

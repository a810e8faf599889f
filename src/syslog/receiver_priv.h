/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The inside of the receiver: sockets and connections of one thread. */
#include <pthread.h>
#include <stdatomic.h>

#include "syslog/frames.h"
#include "syslog/receiver.h"
#include "syslog/senders.h"
#include "syslog/sockets.h"

enum br_receiver_kind {
	BR_RX_STOP,
	BR_RX_SYSLOG_UDP,
	BR_RX_NETCONSOLE,
	BR_RX_NETCONSOLE_OTHER,
	BR_RX_SYSLOG_TCP,
	BR_RX_STREAM_TCP,
	BR_RX_LISTENERS, /* how many these are */
	BR_RX_CONN,
};

/* What epoll tells of; first in a connection, too. */
struct br_receiver_source {
	enum br_receiver_kind kind;
	int fd;
	uint32_t dropped; /* as the socket counts */
};

struct br_receiver_conn {
	struct br_receiver_source source;
	struct br_receiver_conn *prev, *next;
	uint32_t ip;
	bool stream;	  /* bramble-log's */
	bool named;	  /* its first line came */
	bool dead;	  /* closed, to be freed after this round */
	char name[BR_LOGS_STREAM_MAX + 1];
	uint64_t used_ns;
	struct br_frames frames;
};

struct br_receiver {
	struct br_receiver_options opt;
	struct br_receiver_source listeners[BR_RX_LISTENERS];
	int epoll_fd;
	pthread_t thread;
	bool running;
	struct br_senders *senders;
	struct br_datagrams *datagrams;
	struct br_receiver_conn *conns; /* a list */
	unsigned n_conns;
	bool partial; /* somebody's netconsole is under way */
	uint64_t now_ns;
	atomic_uint_least64_t n_datagrams, n_bytes, n_dropped, n_malformed, n_open, n_refused;
};

/* A syslog message of that sender. */
void br_receiver_message(struct br_receiver *rx, const struct br_sender *from, uint64_t wall_ns, const char *data, size_t n);

/* Connections (conns.c). */
void br_receiver_accept(struct br_receiver *rx, const struct br_receiver_source *listener);
void br_receiver_read(struct br_receiver *rx, struct br_receiver_conn *c);
void br_receiver_bury(struct br_receiver *rx); /* frees those that are dead */
void br_receiver_close_all(struct br_receiver *rx);

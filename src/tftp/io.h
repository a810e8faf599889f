/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "tftp/server.h"

/* The sockets and the thread of the TFTP server: batches with recvmmsg and sendmmsg. */
struct br_tftp_io;

struct br_tftp_io_options {
	uint32_t ip;	      /* address to bind, 0: any */
	uint16_t port;	      /* 69; 0 picks a free one */
	const char *interface; /* SO_BINDTODEVICE, NULL: none */
	const struct br_tftp_ops *ops; /* 'send' is filled in by io */
	void *ctx;	      /* called from the worker's thread */
};

/* Binds (words for a busy port name who might hold it) and starts the thread. */
int br_tftp_io_start(const struct br_tftp_io_options *opt, struct br_tftp_io **ret, struct br_error *err);
/* Ends running transfers with ERROR 0 and joins the thread. */
void br_tftp_io_stop(struct br_tftp_io *io);
uint16_t br_tftp_io_port(const struct br_tftp_io *io);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * TFTP datagrams to structs and back: RFC 1350, options of RFC 2347, 2348 (blksize),
 * 2349 (timeout, tsize) and 7440 (windowsize). Both sides of a transfer use it.
 */
enum br_tftp_opcode {
	BR_TFTP_RRQ = 1,
	BR_TFTP_WRQ = 2,
	BR_TFTP_DATA = 3,
	BR_TFTP_ACK = 4,
	BR_TFTP_ERROR = 5,
	BR_TFTP_OACK = 6,
};

enum br_tftp_error_code {
	BR_TFTP_ERR_UNDEFINED = 0, /* also the Pi's "Early terminate" */
	BR_TFTP_ERR_NOT_FOUND = 1,
	BR_TFTP_ERR_ACCESS = 2,
	BR_TFTP_ERR_ILLEGAL = 4,
	BR_TFTP_ERR_UNKNOWN_TID = 5,
	BR_TFTP_ERR_OPTION = 8, /* also UEFI's "User aborted the transfer" */
};

#define BR_TFTP_NAME_MAX 511
#define BR_TFTP_HEAD 4	/* opcode and block number before the bytes of DATA */
#define BR_TFTP_BLKSIZE 512 /* when no option says otherwise */
#define BR_TFTP_BLKSIZE_MIN 8
#define BR_TFTP_BLKSIZE_MAX 65464
#define BR_TFTP_OPTION_NAME 10 /* the longest known: "windowsize" */

enum br_tftp_opt_id {
	BR_TFTP_OPT_BLKSIZE,
	BR_TFTP_OPT_TSIZE,
	BR_TFTP_OPT_TIMEOUT, /* s */
	BR_TFTP_OPT_WINDOWSIZE,
	BR_TFTP_N_OPTS,
};

/* Known options with a legal value, each at most once, in the sender's order and spelling. */
struct br_tftp_opts {
	unsigned n;
	struct br_tftp_opt {
		enum br_tftp_opt_id id;
		char name[BR_TFTP_OPTION_NAME + 1];
		uint64_t value;
	} v[BR_TFTP_N_OPTS];
};

struct br_tftp_request {
	enum br_tftp_opcode opcode; /* RRQ or WRQ */
	char name[BR_TFTP_NAME_MAX + 1]; /* hostile text */
	char mode[16];			 /* cut when longer; hostile text */
	bool octet;
	struct br_tftp_opts opts;
};

/* The opcode of a datagram, whatever it is; 0 when it is too short to have one. */
unsigned br_tftp_peek(const void *data, size_t len);

/*
 * RRQ or WRQ. -EBADMSG: name or mode do not end; -ENAMETOOLONG: ret holds the name cut to its maximum.
 * An unknown option, a second one of its kind, one with an illegal value (RFC 2347: "the server ignores")
 * and an unfinished tail are left out.
 */
int br_tftp_decode_request(const void *data, size_t len, struct br_tftp_request *ret);
/* -EBADMSG: too short, or another opcode. */
int br_tftp_decode_ack(const void *data, size_t len, uint16_t *ret_block);
/* ret_data points into data. */
int br_tftp_decode_data(const void *data, size_t len, uint16_t *ret_block, const uint8_t **ret_data,
	size_t *ret_len);
/* Text is what is there up to a NUL, escaped with br_vis(); an unfinished one is accepted. */
int br_tftp_decode_error(const void *data, size_t len, uint16_t *ret_code, char *text, size_t text_size);
int br_tftp_decode_oack(const void *data, size_t len, struct br_tftp_opts *ret);

/* Encoders return the length, or -EMSGSIZE. */
int br_tftp_encode_request(void *buf, size_t cap, const struct br_tftp_request *req);
int br_tftp_encode_ack(void *buf, size_t cap, uint16_t block);
int br_tftp_encode_error(void *buf, size_t cap, uint16_t code, const char *text);
int br_tftp_encode_oack(void *buf, size_t cap, const struct br_tftp_opts *opts);
/* The head only; the payload follows it on the wire. */
void br_tftp_put_data_head(uint8_t head[static BR_TFTP_HEAD], uint16_t block);

/* Adds an option under its usual name; more than one of each kind is the caller's mistake. */
void br_tftp_add_opt(struct br_tftp_opts *opts, enum br_tftp_opt_id id, uint64_t value);
/* NULL when it is not there. */
const struct br_tftp_opt *br_tftp_find_opt(const struct br_tftp_opts *opts, enum br_tftp_opt_id id);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between the files that fold frames; not for others. */
#include "why/facts.h"

/* RPC over UDP, or one record of it over TCP: the port mapper and MOUNT. */
void br_why_fold_rpc(struct br_why_facts *f, const uint8_t *data, size_t len, bool from_board, uint64_t now_ns);
/* Connections to the RPC services, HTTP and TLS. */
void br_why_fold_tcp(struct br_why_facts *f, const struct br_frame *fr, bool from_board, uint64_t now_ns);
/* Text of the bootloader. */
void br_why_fold_console(struct br_why_facts *f, const struct br_frame *fr, uint64_t now_ns);

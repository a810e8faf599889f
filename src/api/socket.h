/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

#include "base/error.h"

/*
 * The Unix socket of the API. Paths longer than sockaddr_un takes (107 bytes) work too, through a
 * descriptor of their directory.
 */

/* Bound, mode 0660, listening, close-on-exec; a stale socket file there is replaced, any other file is not. */
int br_api_socket_listen(const char *path, struct br_error *err);

/* A path to the same socket that fits sockaddr_un, valid while *ret_fd (close() it, may be -1) is open. */
int br_api_socket_short(const char *path, int *ret_fd, char *out, size_t size, struct br_error *err);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/*
 * An ed25519 host key in OpenSSH's formats from its 32-byte seed, the same each time. Both texts
 * are fresh memory (free()). comment: a host name. -ENOMEM, -EIO when the crypto library refuses.
 */
int br_ssh_host_key(const uint8_t seed[static 32], const char *comment, char **ret_private,
	char **ret_public);

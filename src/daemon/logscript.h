/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/* The script 'bramble-log' for boards, with our address and port in it, in fresh memory (free()); NULL when memory is out. */
char *br_log_script(uint32_t ip, uint16_t port);

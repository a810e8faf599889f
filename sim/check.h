/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * Does the beginning of a boot file look like what its name says? head: the first n
 * bytes (up to BR_SIM_HEAD), size: of the whole file. NULL when it is fine or of no kind known here, else
 * what is wrong.
 */
const char *br_sim_check_file(const char *name, const uint8_t *head, size_t n, uint64_t size);

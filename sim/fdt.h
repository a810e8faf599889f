/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reading (and a little editing of) a flattened device tree (Devicetree Specification 0.4, chapter 5). Hostile bytes are fine. */

/* True when header, structure and strings lie within len bytes and the magic is right. */
bool br_sim_fdt_valid(const uint8_t *fdt, size_t len);
/* /NODE exists directly under the root. */
bool br_sim_fdt_has_node(const uint8_t *fdt, size_t len, const char *node);
/* Value of property 'prop' of /NODE, directly under the root ("" is the root itself); NULL when there is none. */
const uint8_t *br_sim_fdt_prop(const uint8_t *fdt, size_t len, const char *node, const char *prop, size_t *ret_n);
/* Takes every node of this name ("bluetooth" also means "bluetooth@0") out, in place. How many there were. */
unsigned br_sim_fdt_remove(uint8_t *fdt, size_t len, const char *node);

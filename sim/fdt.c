/* SPDX-License-Identifier: Apache-2.0 */
/* What a virtual board looks at in a tree (overlay_map.dtb, the root's compatible) and takes out of it. */
#include "sim/fdt.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "wire/fdt.h"

#define NOP 4
#define NODE_MAX 64

bool br_sim_fdt_valid(const uint8_t *fdt, size_t len)
{
	struct br_fdt f;

	return !br_fdt_open(fdt, len, &f, NULL);
}

bool br_sim_fdt_has_node(const uint8_t *fdt, size_t len, const char *node)
{
	struct br_fdt f;
	const char *name;

	if (br_fdt_open(fdt, len, &f, NULL) < 0)
		return false;
	for (size_t i = 0; (name = br_fdt_child(&f, "/", i)); i++)
		if (!strcmp(name, node))
			return true;
	return false;
}

const uint8_t *br_sim_fdt_prop(const uint8_t *fdt, size_t len, const char *node, const char *prop, size_t *ret_n)
{
	char path[NODE_MAX + 2];
	struct br_fdt f;

	if (br_fdt_open(fdt, len, &f, NULL) < 0 || snprintf(path, sizeof(path), "/%s", node) >= (int)sizeof(path))
		return NULL;
	return br_fdt_prop(&f, path, prop, ret_n);
}

static bool node_is(const char *name, const char *want)
{
	size_t n = strlen(want);

	return !strncmp(name, want, n) && (!name[n] || name[n] == '@');
}

unsigned br_sim_fdt_remove(uint8_t *fdt, size_t len, const char *node)
{
	struct br_fdt f;
	struct br_fdt_cursor c = { .fdt = &f };
	struct br_fdt_item item;
	unsigned n = 0, depth = 0; /* of the node that goes; 0: none */
	size_t from = 0, at = 0;

	if (br_fdt_open(fdt, len, &f, NULL) < 0)
		return 0;
	for (; br_fdt_next(&c, &item) > 0; at = c.at) {
		if (item.token == BR_FDT_NODE && !depth && node_is(item.name, node)) {
			from = at;
			depth = item.depth;
		}
		if (item.token != BR_FDT_NODE_END || item.depth != depth)
			continue;
		/* no lengths change: the whole node becomes NOP tokens */
		for (size_t i = from; i < c.at; i += 4)
			br_store_be32(fdt + (f.structure - fdt) + i, NOP);
		depth = 0;
		n++;
	}
	return n;
}

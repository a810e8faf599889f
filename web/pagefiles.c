/* SPDX-License-Identifier: Apache-2.0 */
/* The table of the page's files; its bytes come from web/embed. */
#include "web/pagefiles.h"

#include <string.h>

#include "base/cleanup.h"
#include "pagefiles-bytes.h"

const size_t br_page_n_files = BR_ARRAY_SIZE(br_page_files);

const struct br_page_file *br_page_find(const char *path)
{
	for (size_t i = 0; i < br_page_n_files; i++)
		if (!strcmp(br_page_files[i].path, path))
			return &br_page_files[i];
	return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest of a backup, and paths in one. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <string.h>

#include "backup/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *manifest = NULL;
	char *path = malloc(size + 1);

	if (!path)
		return 0;
	for (size_t i = 0; i < size; i++)
		path[i] = (char)data[i];
	path[size] = 0;
	if (br_backup_path_ok(path) && (path[0] == '/' || strstr(path, "/../") || strstr(path, "//")))
		abort();
	free(path);
	if (br_backup_manifest_parse((const char *)data, size, &manifest, NULL) >= 0 && !json_is_array(json_object_get(manifest, "files")))
		abort();
	json_decref(manifest);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds every file of the given directories to a fuzz target, for the ordinary test run. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_dir(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	if (!d) {
		fprintf(stderr, "%s: cannot open\n", dir);
		return -1;
	}
	for (struct dirent *e = readdir(d); e; e = readdir(d)) {
		br_cleanup(br_freep) char *path = br_path_join(dir, e->d_name);
		br_cleanup(br_freep) char *data = NULL;
		uint8_t *exact;
		size_t len;

		if (e->d_name[0] == '.' || br_file_read(path, 64 << 20, &data, &len, NULL) < 0)
			continue;
		/* a copy of exactly its size, so that the sanitizer sees one byte too many */
		exact = malloc(len ? len : 1);
		if (!exact)
			abort();
		for (size_t i = 0; i < len; i++)
			exact[i] = (uint8_t)data[i];
		LLVMFuzzerTestOneInput(exact, len);
		free(exact);
		n++;
	}
	closedir(d);
	return n;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		int n = replay_dir(argv[i]);

		if (n <= 0) {
			fprintf(stderr, "%s: no inputs to replay\n", argv[i]);
			return 1;
		}
		printf("%s: %d inputs\n", argv[i], n);
	}
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* An image file, packed or not: unpacks at most 64 MiB of it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "store/source.h"

#define OUT_MAX (64u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t buf[1 << 20];
	struct br_error err = BR_ERROR_NULL;
	struct br_source *s;
	char path[64];
	int fd = memfd_create("fuzz", MFD_CLOEXEC), r;

	if (fd < 0 || br_pwrite_all(fd, data, size, 0) < 0)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = br_source_open(path, &s, &err);
	if (!r) {
		size_t n = 1, sum = 0;

		while (!r && n && sum < OUT_MAX) {
			r = br_source_read(s, buf, sizeof(buf), &n, &err);
			if (!r && n > sizeof(buf))
				abort();
			sum += r ? 0 : n;
			if (br_source_done(s) > size)
				abort();
		}
		br_source_close(s);
	}
	if (r < 0 && !err.text[0])
		abort();
	close(fd);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The start of a disk: its partition table and what the partitions hold. */
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "store/partition.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint64_t disk = 64 << 20;
	struct br_partitions *t = malloc(sizeof(*t));
	struct br_error err = BR_ERROR_NULL;
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || !t || ftruncate(fd, (off_t)disk) < 0 || br_pwrite_all(fd, data, size, 0) < 0)
		abort();
	if (br_partitions_read(fd, disk, t, &err) < 0) {
		if (!err.text[0])
			abort();
	} else {
		for (unsigned i = 0; i < t->n; i++)
			if (!t->p[i].number || !t->p[i].size || t->p[i].start + t->p[i].size > disk)
				abort();
	}
	free(t);
	close(fd);
	return 0;
}

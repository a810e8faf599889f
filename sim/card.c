/* SPDX-License-Identifier: Apache-2.0 */
/* A card's first FAT partition for the firmware of a virtual board. */
#include "sim/card.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "store/partition.h"

struct br_sim_card {
	void *map;
	size_t len;
};

int br_sim_card_open(const char *file, struct br_sim_card **ret, struct br_error *err)
{
	br_cleanup(br_closep) int fd = open(file, O_RDONLY | O_CLOEXEC);
	struct br_sim_card *card;
	struct br_partitions parts;
	struct stat st;
	unsigned i = 0;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return br_error_set(err, errno, "%s: cannot open: %m", file);
	r = br_partitions_read(fd, (uint64_t)st.st_size, &parts, err);
	if (r < 0) {
		br_error_prefix(err, "%s (an uncompressed image is wanted)", file);
		return r;
	}
	while (i < parts.n && strcmp(parts.p[i].fs, "vfat") != 0)
		i++;
	if (i == parts.n)
		return br_error_set(err, ENOENT, "%s: no FAT partition, so no boot files", file);
	card = calloc(1, sizeof(*card));
	if (!card)
		return br_error_set(err, ENOMEM, "out of memory");
	card->len = (size_t)parts.p[i].size;
	card->map = mmap(NULL, card->len, PROT_READ, MAP_PRIVATE, fd, (off_t)parts.p[i].start);
	if (card->map == MAP_FAILED) {
		r = br_error_set(err, errno, "%s: cannot map partition %u: %m", file, parts.p[i].number);
		free(card);
		return r;
	}
	*ret = card;
	return 0;
}

void br_sim_card_close(struct br_sim_card *card)
{
	if (!card)
		return;
	munmap(card->map, card->len);
	free(card);
}

struct br_span br_sim_card_boot(const struct br_sim_card *card)
{
	return (struct br_span){ .data = card->map, .len = card->len };
}

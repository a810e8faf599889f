/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * A file mapped for sending from it: shared by all who hold a reference, gone with the last one. The file must not
 * change while it is mapped. Give the bytes to system calls only (send, write): these say EFAULT when the file was cut
 * meanwhile, where reading them would end the program. References may be taken and let go in any thread.
 */
struct br_mapping;

/* size: bytes from the file's start. fd is not kept. NULL: it cannot be mapped, read the file instead. */
struct br_mapping *br_mapping_new(int fd, uint64_t size);
struct br_mapping *br_mapping_ref(struct br_mapping *m);
void br_mapping_unref(struct br_mapping *m); /* NULL is fine */
/* NULL when not all of the range is mapped. */
const uint8_t *br_mapping_at(const struct br_mapping *m, uint64_t offset, size_t len);

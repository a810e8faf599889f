/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A file mapped for sending from it: shared by all who hold a reference, gone with the last one. The file must not
 * change while it is mapped. Give the bytes to system calls only (send, write): these say EFAULT when the file was cut
 * meanwhile, where reading them would end the program. References may be taken and let go in any thread.
 */
struct br_mapping;

/* All of the file as it is now. fd is not kept. A file is mapped once however often this is asked: a thousand disks on
 * one image share its page tables. NULL: it cannot be mapped (or is empty), read it instead. */
struct br_mapping *br_mapping_of(int fd);
struct br_mapping *br_mapping_ref(struct br_mapping *m);
void br_mapping_unref(struct br_mapping *m); /* NULL is fine */

/*
 * For memory of a mapped file that the program itself reads. When the file is cut under it, pages that are gone read as
 * zeros from then on, instead of ending the program (SIGBUS), and br_mapping_cut() says so. Returns a number >= 0, or
 * -ENOSPC (too many) or -EINVAL. Unguard before munmap().
 */
int br_mapping_guard(const void *p, size_t len);
bool br_mapping_cut(int guard);
void br_mapping_unguard(int guard); /* a negative one is fine */

/* NULL when not all of the range is mapped. m may be NULL. */
const uint8_t *br_mapping_at(const struct br_mapping *m, uint64_t offset, size_t len);

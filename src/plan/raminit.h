/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/fat.h"

/*
 * Inside of the plan: what makes an initramfs of initramfs-tools (Debian, Ubuntu, Raspberry Pi OS) put a file system in
 * memory over the network root, for boards whose disk is 'ram'. It is a small archive that is served behind the image's
 * own initramfs: the kernel unpacks one after the other. 'boot=bramble' on the command line selects the script in it.
 */
#define BR_RAM_INIT_FILES 8 /* initramfs files of one image that are served so */

bool br_ram_init_fits(const char *path); /* is a boot file of this name an initramfs? */
/*
 * The spans of a file of this size (and n spans) with the archive behind it: fresh memory (free()), ret_n of them. The archive must begin at
 * a multiple of four. NULL when memory is out.
 */
struct br_span *br_ram_init_append(const struct br_span *spans, size_t n, uint64_t size, size_t *ret_n, uint64_t *ret_size);

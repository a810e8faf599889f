/* SPDX-License-Identifier: Apache-2.0 */
/* A bootfiles.bin from anybody: what the index says lies in the file, can be asked for, is found again. Input: the archive. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "usb/payloadtar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct br_error err = BR_ERROR_NULL;
	const struct br_usb_tar_member *m;
	struct br_usb_tar *tar;
	static int fd = -1;

	if (fd < 0)
		fd = memfd_create("tar", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)len) < 0 || br_pwrite_all(fd, data, len, 0) < 0)
		abort();
	if (br_usb_tar_open(fd, &tar, &err) < 0) {
		if (!err.text[0])
			abort();
		return 0;
	}
	for (size_t i = 0; (m = br_usb_tar_member(tar, i)); i++) {
		char folder[BR_USB_NAME_MAX + 1];
		char *slash;

		if (br_usb_name_check(m->name) < 0 || m->start > len || m->size > len - m->start)
			abort();
		memcpy(folder, m->name, sizeof(folder));
		slash = strchr(folder, '/');
		if (!slash)
			continue;
		*slash = 0;
		if (br_usb_tar_find(tar, folder, slash + 1) != m)
			abort();
	}
	br_usb_tar_close(tar);
	return 0;
}

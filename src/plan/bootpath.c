/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boot-file names from the network. The Pi 5 doubles slashes ("7bf18f79//config.txt"), UEFI sends
 * backslashes and leading slashes: all of these mean the same file.
 */
#include "plan/bootpath.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

static int refuse(const char *name, char *out, size_t size)
{
	br_vis(out, size, name, strlen(name));
	return -EACCES;
}

int br_boot_path_clean(const char *name, char *out, size_t size)
{
	const char *s = name;
	size_t len = 0;

	while (*s) {
		size_t n;

		if (*s == '/' || *s == '\\') {
			s++;
			continue;
		}
		n = strcspn(s, "/\\");
		for (size_t i = 0; i < n; i++)
			if ((unsigned char)s[i] < 0x20 || s[i] == 0x7f)
				return refuse(name, out, size);
		if (n == 2 && !memcmp(s, "..", 2))
			return refuse(name, out, size);
		if (n == 1 && *s == '.') {
			s++;
			continue;
		}
		if (len + n + 2 > size)
			return refuse(name, out, size);
		if (len)
			out[len++] = '/';
		memcpy(out + len, s, n);
		len += n;
		s += n;
	}
	if (!len)
		return refuse(name, out, size);
	out[len] = 0;
	return 0;
}

bool br_boot_path_serial_dir(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!isxdigit((unsigned char)s[i]))
			return false;
	return n == 8;
}

bool br_boot_path_own_dir(const struct br_board *board, const char *s, size_t n)
{
	char text[BR_MAC_TEXT];
	struct br_mac mac;

	if (br_boot_path_serial_dir(s, n)) {
		snprintf(text, sizeof(text), "%08x", (uint32_t)board->serial);
		return !board->serial_known || !strncasecmp(s, text, n);
	}
	if (n != BR_MAC_TEXT - 1 || s[2] != '-' || br_mac_is_zero(board->mac))
		return false;
	memcpy(text, s, n);
	text[n] = 0;
	return !br_mac_parse(text, &mac) && br_mac_equal(mac, board->mac);
}

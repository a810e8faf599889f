/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/raminit.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/text.h"

/*
 * initramfs-tools(7): init reads /scripts/$BOOT and calls mountroot of it. nfs_mount_root is that of its own 'nfs' script, so
 * all that is told there on nfsroot= holds. The image's modprobe and modules serve when the initramfs has no overlay.ko. A
 * board that cannot have its overlay stops here: with a root that nobody can write to it would fail later and obscurely.
 */
static const char script[] =
	"# bramble: the network root stays as it is, what is written goes to memory\n"
	". /scripts/nfs\n"
	"\n"
	"mountroot()\n"
	"{\n"
	"	nfs_mount_root\n"
	"	[ -d \"${rootmnt}/etc\" ] || panic \"bramble: the network root cannot be mounted\"\n"
	"	modprobe -q overlay || chroot \"${rootmnt}\" /sbin/modprobe -q overlay || true\n"
	"	mkdir -p /run/bramble\n"
	"	mount -t tmpfs -o mode=0755 bramble /run/bramble\n"
	"	mkdir /run/bramble/root /run/bramble/changes /run/bramble/work\n"
	"	mount -o move \"${rootmnt}\" /run/bramble/root\n"
	"	mount -t overlay -o lowerdir=/run/bramble/root,upperdir=/run/bramble/changes,workdir=/run/bramble/work \\\n"
	"		bramble-ram \"${rootmnt}\" || panic \"bramble: no overlay: this kernel cannot have its disk in memory\"\n"
	"}\n";

static struct {
	pthread_once_t once;
	struct br_text cpio;
} made = { .once = PTHREAD_ONCE_INIT };

/* An entry of a 'newc' archive (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst). */
static void add_entry(struct br_text *t, unsigned ino, unsigned mode, const char *name, const char *data)
{
	static const char zeros[4];
	size_t len = strlen(data);

	br_text_addf(t, "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x", ino, mode, 0, 0, 1, 0, len, 0, 0, 0, 0,
		strlen(name) + 1, 0);
	br_text_add_bytes(t, name, strlen(name) + 1);
	br_text_add_bytes(t, zeros, -t->len & 3);
	br_text_add_bytes(t, data, len);
	br_text_add_bytes(t, zeros, -t->len & 3);
}

static void make(void)
{
	add_entry(&made.cpio, 1, 040755, "scripts", "");
	add_entry(&made.cpio, 2, 0100644, "scripts/bramble", script);
	add_entry(&made.cpio, 0, 0, "TRAILER!!!", "");
}

bool br_ram_init_fits(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	return !strncasecmp(name, "initramfs", 9) || !strncasecmp(name, "initrd", 6);
}

struct br_span *br_ram_init_append(const struct br_span *spans, size_t n, uint64_t size, size_t *ret_n, uint64_t *ret_size)
{
	static const uint8_t zeros[4];
	struct br_span *v = calloc(n + 2, sizeof(*v));

	pthread_once(&made.once, make);
	if (!v || made.cpio.failed) {
		free(v);
		return NULL;
	}
	memcpy(v, spans, n * sizeof(*v));
	if (size % 4)
		v[n++] = (struct br_span){ zeros, 4 - size % 4 };
	v[n++] = (struct br_span){ (const uint8_t *)made.cpio.buf, made.cpio.len };
	*ret_n = n;
	*ret_size = ((size + 3) & ~3ull) + made.cpio.len;
	return v;
}

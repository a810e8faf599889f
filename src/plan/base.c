/* SPDX-License-Identifier: Apache-2.0 */
/* What an image means for every plan on it: read once per image, shared by all boards. */
#include "plan/base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/text.h"
#include "plan/raminit.h"
#include "store/disk.h"

/* What the firmware uses when there is no cmdline.txt is no use here; this is what images start with. */
#define DEFAULT_CMDLINE "console=serial0,115200 console=tty1"
#define BOOT_TEXT_MAX (64 << 10)

BR_DEFINE_CLEANUP(struct br_plan_base *, br_plan_base_unref);

/* A text file of the boot partition (free()), NULL when missing. */
static int read_boot_text(const struct br_fat *fat, const char *path, char **ret, struct br_error *err)
{
	const struct br_fat_entry *e = br_fat_lookup(fat, path);
	struct br_text t = BR_TEXT_NULL;

	*ret = NULL;
	if (!e || e->is_dir)
		return 0;
	if (e->size > BOOT_TEXT_MAX)
		return br_error_set(err, EFBIG, "boot partition: %s has %u bytes, more than any such text", path,
			e->size);
	for (size_t i = 0; i < e->n_spans; i++)
		br_text_add_bytes(&t, e->spans[i].data, e->spans[i].len);
	*ret = br_text_take(&t);
	return *ret ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

static bool config_names(const char *config, const char *key)
{
	size_t n = strlen(key);

	for (const char *s = config; *s; s += strcspn(s, "\n"), s += *s == '\n') {
		s += strspn(s, " \t\r");
		if (!strncasecmp(s, key, n) && (s[n] == '=' || s[n] == ' ' || s[n] == '\t'))
			return true;
	}
	return false;
}

/*
 * config.txt is served as it is but for one case: an image that has an initramfs and does not say so (it
 * boots from a card without one) would find no network root with a kernel whose NFS is a module.
 */
static int project_config(struct br_plan_base *base, const struct br_fat *fat, struct br_error *err)
{
	br_cleanup(br_freep) char *config = NULL;
	struct br_text t = BR_TEXT_NULL;
	int r = read_boot_text(fat, "config.txt", &config, err);

	if (r < 0)
		return r;
	if (config && (config_names(config, "auto_initramfs") || config_names(config, "initramfs")))
		return 0;
	if (!br_fat_lookup(fat, "initramfs8") && !br_fat_lookup(fat, "initramfs_2712") &&
		!br_fat_lookup(fat, "initramfs7"))
		return 0;
	br_text_addf(&t, "%s\n[all]\n# bramble: the network root needs the image's initramfs\nauto_initramfs=1\n",
		config ?: "");
	base->config = br_text_take(&t);
	return base->config ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

/* Firmware looks for kernels in the root of the file system only. */
static uint64_t largest_file(const struct br_fat *fat)
{
	const struct br_fat_entry *e;
	uint64_t most = 0;

	for (size_t i = 0; (e = br_fat_list(fat, "", i)); i++)
		if (!e->is_dir && e->size > most)
			most = e->size;
	return most;
}

/*
 * cloud-init looks for its seed on a partition by its label. A network root has none: the files are shown in the
 * directory where it would be mounted, and cloud-init is told so. The value must start with "file://" and end with '/'.
 */
static int add_seed(struct br_plan_base *base, const struct br_fat *fat, struct br_error *err)
{
	char *cmdline;

	if (!base->root.cloud_init || !base->root.boot_dir[0] || !br_fat_lookup(fat, "user-data") || strstr(base->cmdline, "ds="))
		return 0;
	cmdline = br_asprintf("%.*s ds=nocloud;s=file://%s/", (int)strcspn(base->cmdline, "\r\n"), base->cmdline,
		base->root.boot_dir);
	if (!cmdline)
		return br_error_set(err, ENOMEM, "out of memory");
	free(base->cmdline);
	base->cmdline = cmdline;
	return 0;
}

static bool has_initramfs(const struct br_fat *fat)
{
	const struct br_fat_entry *e;

	for (size_t i = 0; (e = br_fat_walk(fat, i)); i++)
		if (!e->is_dir && br_ram_init_fits(e->path))
			return true;
	return false;
}

int br_plan_base_new(struct br_image *image, struct br_plan_base **ret, struct br_error *err)
{
	br_cleanup(br_plan_base_unrefp) struct br_plan_base *base = calloc(1, sizeof(*base));
	const struct br_fat *fat = br_image_boot(image);
	struct br_fs *fs;
	int r;

	if (!base)
		return br_error_set(err, ENOMEM, "out of memory");
	base->refs = 1;
	base->image = br_image_ref(image);
	if (!fat)
		return br_error_set(err, ENODEV, "image %s: has no FAT boot partition, so no board can boot it over "
			"the network", br_image_info(image)->name);
	base->largest = largest_file(fat);
	base->initramfs = has_initramfs(fat);
	r = read_boot_text(fat, "cmdline.txt", &base->cmdline, err);
	if (r < 0)
		return br_error_prefix(err, "image %s", br_image_info(image)->name);
	if (!base->cmdline)
		base->cmdline = strdup(DEFAULT_CMDLINE);
	if (!base->cmdline)
		return br_error_set(err, ENOMEM, "out of memory");
	r = project_config(base, fat, err);
	if (r < 0)
		return r;
	r = br_image_fs(image, &fs, err);
	if (r < 0)
		return r;
	r = br_root_facts_read(fs, br_image_info(image)->name, &base->root, err);
	if (!r && br_image_scripts_read(fs, &base->scripts, err) < 0)
		r = br_error_prefix(err, "image %s", br_image_info(image)->name);
	fs->ops->close(fs);
	if (!r)
		r = add_seed(base, fat, err);
	if (r < 0)
		return r;
	*ret = br_take(base);
	return 0;
}

struct br_plan_base *br_plan_base_ref(struct br_plan_base *base)
{
	base->refs++;
	return base;
}

void br_plan_base_unref(struct br_plan_base *base)
{
	if (!base || --base->refs)
		return;
	br_image_unref(base->image);
	free(base->cmdline);
	free(base->config);
	br_root_facts_done(&base->root);
	br_image_scripts_done(&base->scripts);
	free(base);
}

struct br_image *br_plan_base_image(const struct br_plan_base *base)
{
	return base->image;
}

const char *br_plan_base_no_ram(const struct br_plan_base *base)
{
	if (!base->initramfs)
		return "the image has no initramfs, which would put the memory over the root";
	return base->root.initramfs_tools ? NULL : "the image's initramfs is not one of initramfs-tools";
}

uint64_t br_plan_base_largest(const struct br_plan_base *base)
{
	return base->largest;
}

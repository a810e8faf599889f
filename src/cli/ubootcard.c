/* SPDX-License-Identifier: Apache-2.0 */
/* bramble uboot card: the recovery card as an image, or onto a card. No root, no loop devices. */
#include "cli/ubootcard.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "cli/carddevice.h"
#include "cli/cli.h"
#include "cli/table.h"
#include "store/partition.h"
#include "uboot/card.h"
#include "uboot/stages.h"

#define SIZE_DEFAULT (4ull << 30) /* a power of two: QEMU's SD cards are */
#define ALIGN	     (4ull << 20)
#define BEFORE	     (68ull << 20) /* partition 1 and what is before it */

const char br_cli_uboot_card_help[] =
	"  --model MODELS     3b+, 4, 5, several with commas, or all (default): those whose files are found\n"
	"  -o, --output FILE  the image to make; it is sparse. -t and --to are the same\n"
	"  --write DEVICE     write it onto this card instead: shows what is on it, and asks\n"
	"  --size SIZE        of the image (4G); of a device, all of it\n"
	"  --for IMAGE        partitions of the size that this stored image wants\n"
	"  --firmware DIR     where bootcode.bin, start.elf and the like are (/usr/lib/raspi-firmware, /boot/firmware)\n"
	"  --dtb DIR          where the device trees are (the firmware's, else those of Debian's kernel)\n"
	"  --u-boot DIR       where rpi_arm64/u-boot.bin is (/usr/lib/u-boot)\n"
	"  --wait DURATION    how long stage 1 looks for the server (60s)\n"
	"  --server ADDRESS   the server, where DHCP does not tell\n";

struct request {
	struct br_common common;
	struct br_card_options opt;
	struct br_uboot_stage1 stage1;
	const char *to, *device, *image;
};

static const struct option options[] = {
	{ "model", required_argument, NULL, 'm' }, { "to", required_argument, NULL, 't' },
	{ "write", required_argument, NULL, 'W' }, { "size", required_argument, NULL, 's' },
	{ "for", required_argument, NULL, 'f' }, { "firmware", required_argument, NULL, 'F' },
	{ "dtb", required_argument, NULL, 'd' }, { "u-boot", required_argument, NULL, 'u' },
	{ "wait", required_argument, NULL, 'w' }, { "server", required_argument, NULL, 'S' },
	BR_COMMON_LONG,
};

static int take(struct request *q, int argc, char **argv, int c)
{
	uint64_t ns;
	uint32_t ip;

	switch (c) {
	case 'm': q->opt.models = optarg; return 0;
	case 'o': /* a file here: there is no list to print */
	case 't': q->to = optarg; return 0;
	case 'W': q->device = optarg; return 0;
	case 'f': q->image = optarg; return 0;
	case 'F': q->opt.firmware = optarg; return 0;
	case 'd': q->opt.dtb = optarg; return 0;
	case 'u': q->opt.uboot = optarg; return 0;
	case 'S':
		q->stage1.server = optarg;
		return br_ip_parse(optarg, &ip) < 0 ? br_cli_usage("--server wants an IPv4 address") : 0;
	case 's':
		return br_parse_size(optarg, &q->opt.size) < 0 ? br_cli_usage("--size %s: a size is needed, as 4G", optarg) : 0;
	case 'w':
		if (br_parse_duration(optarg, &ns) < 0 || ns < BR_S || ns > 86400 * BR_S)
			return br_cli_usage("--wait wants 1 s to 1 day");
		q->stage1.wait_s = (unsigned)(ns / BR_S);
		return 0;
	default:
		return br_common_take(&q->common, argc, argv, c) < 0 ? BR_EXIT_USAGE : 0;
	}
}

/* Partitions as a flash of this image will make them, so that its sizes are seen beforehand. */
static int size_for(struct request *q, struct br_error *err)
{
	br_cleanup(br_freep) struct br_image_info *info = calloc(1, sizeof(*info));
	struct br_store *store = NULL;
	uint64_t end = BEFORE;
	int r = info ? br_common_store(&q->common, &store, err) : br_error_set(err, ENOMEM, "out of memory");

	if (!r)
		r = br_store_info(store, q->image, info, err);
	br_store_close(store);
	if (r < 0)
		return r;
	for (unsigned i = 0; i < info->n_partitions; i++) {
		if (info->partitions[i].number == info->boot)
			q->opt.boot_size = info->partitions[i].size;
		end += (info->partitions[i].size + ALIGN - 1) & ~(ALIGN - 1);
	}
	if (!q->opt.size)
		q->opt.size = end + (64ull << 20);
	return 0;
}

/* ---- onto a card ---- */

static int check_device(const char *device, int fd, uint64_t *ret_size, struct br_error *err)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0 || !S_ISBLK(st.st_mode))
		return br_error_set(err, ENOTBLK, "%s is no disk; with -o an image file is made", device);
	r = br_card_device_check(device, st.st_rdev, "/sys", "/proc/self/mountinfo", err);
	if (r < 0)
		return r;
	return ioctl(fd, BLKGETSIZE64, ret_size) < 0 ? br_error_set(err, errno, "%s: %m", device) : 0;
}

static bool ask(const char *device, int fd, uint64_t size)
{
	struct br_partitions *t = calloc(1, sizeof(*t));
	char text[24], line[16] = "";

	printf("%s, %s:\n", device, br_format_size(text, sizeof(text), size));
	if (!t || br_partitions_read(fd, size, t, NULL) < 0)
		printf("  no partitions\n");
	for (unsigned i = 0; t && i < t->n; i++) {
		char vis[80];

		printf("  %u  %10s  %s  %s\n", t->p[i].number, br_format_size(text, sizeof(text), t->p[i].size), t->p[i].fs,
			br_vis(vis, sizeof(vis), t->p[i].label, strlen(t->p[i].label)));
	}
	free(t);
	printf("All of it will be lost. Type 'yes' to go on: ");
	fflush(stdout);
	return fgets(line, sizeof(line), stdin) && !strcmp(line, "yes\n");
}

/* ---- */

static int open_target(struct request *q, struct br_error *err)
{
	const char *path = q->device ?: q->to;
	int fd = q->device ? open(path, O_RDWR | O_EXCL | O_CLOEXEC) : open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	int r = fd < 0 ? br_error_set(err, errno, "%s: %m", path) : 0;

	if (!r && q->device)
		r = check_device(path, fd, &q->opt.size, err);
	else if (!r && ftruncate(fd, (off_t)q->opt.size) < 0)
		r = br_error_set(err, errno, "%s: %m", path);
	if (!r && q->device && !ask(path, fd, q->opt.size))
		r = br_error_set(err, ECANCELED, "nothing was written");
	if (r < 0 && fd >= 0)
		close(fd);
	return r < 0 ? r : fd;
}

static int make(struct request *q, struct br_error *err)
{
	br_cleanup(br_freep) char *text = br_uboot_stage1(&q->stage1);
	br_cleanup(br_closep) int fd = -1;
	struct br_card *card = NULL;
	int r = text ? 0 : br_error_set(err, ENOMEM, "out of memory");

	if (!r && q->image)
		r = size_for(q, err);
	if (!r && !q->opt.size)
		q->opt.size = SIZE_DEFAULT;
	q->opt.stage1 = text;
	br_random(&q->opt.disk_id, sizeof(q->opt.disk_id));
	if (!r && q->device) {
		fd = r = open_target(q, err);
		r = r < 0 ? r : 0;
	}
	if (!r)
		r = br_card_new(&q->opt, &card, err);
	if (!r && !q->device) {
		fd = r = open_target(q, err);
		r = r < 0 ? r : 0;
	}
	if (!r)
		r = br_card_write(card, fd, err);
	if (r < 0 && fd >= 0 && !q->device) /* half a card would look like one */
		(void)unlink(q->to);
	if (!r && !q->common.quiet)
		printf("%s: recovery card for\n%s", q->device ?: q->to, br_card_notes(card));
	br_card_free(card);
	return r;
}

int br_cli_uboot_card(int argc, char **argv)
{
	struct request q = { .opt.models = "all" };
	struct br_error err = BR_ERROR_NULL;
	int c, r = 0;

	while (!r && (c = getopt_long(argc, argv, ":t:" BR_COMMON_SHORT, options, NULL)) != -1)
		r = take(&q, argc, argv, c);
	if (r)
		return r;
	if (optind != argc)
		return br_cli_usage("takes no words");
	if (!q.to == !q.device)
		return br_cli_usage("either -o FILE or --write DEVICE is needed");
	r = make(&q, &err);
	return r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
}

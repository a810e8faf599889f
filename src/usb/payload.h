/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "usb/files.h"

/*
 * What a board on USB is served: names to files, out of a directory, an image's boot partition or the boot files that
 * bramble would serve that board over the network. Counted; every thread may ask it. Facts: systems notes c.5.
 */
struct br_usb_payload;

struct br_usb_payload *br_usb_payload_ref(struct br_usb_payload *payload);
void br_usb_payload_unref(struct br_usb_payload *payload); /* NULL is fine */

/* Words on what it is, for people: "directory mass-storage-gadget64". As long as the payload. */
const char *br_usb_payload_text(const struct br_usb_payload *payload);

/* Who asks. */
struct br_usb_who {
	const struct br_usbboot_model *model; /* NULL: not known */
	const char *path;   /* "1-2.3": bus and ports; NULL or "": not known */
	const char *serial; /* as its device descriptor has it, hostile; NULL or "": not known */
};

#define BR_USB_NAME_MAX 255 /* of a name on the wire, without the NUL */
#define BR_USB_FILE_MAX UINT32_MAX /* the wire has 32 bits for a size */

/* A file that was found, open until br_usb_payload_close(). Never whole in memory. */
struct br_usb_payload_file {
	uint64_t size;	    /* at most BR_USB_FILE_MAX */
	const char *origin; /* "directory", "overlay", "bootfiles.bin", "firmware", "image", "projected", "override", "made" */
	char where[512];    /* what it is, for logs: a path, printable, cut where it is too long */
	/* the payload's own: */
	const struct br_usb_payload_file_ops *ops;
	void *ref;
	const void *entry;
	int fd;
	uint64_t start; /* of the file's bytes in fd */
};

/*
 * Finds what a board asked for. name: hostile text, ended with a NUL. Refused at the door with -EACCES: an empty
 * name, an absolute one, an empty, "." or ".." part, ".." anywhere in it, anything but printable ASCII, one that is longer
 * than BR_USB_NAME_MAX. -ENOENT: there is none of that name. Others (-EFBIG: larger than the wire can say; -ELOOP: a link
 * that leads out; -EIO ...) have words in err, which may be NULL.
 */
int br_usb_payload_lookup(struct br_usb_payload *payload, const struct br_usb_who *who, const char *name,
	struct br_usb_payload_file *ret, struct br_error *err);

/* All n bytes from offset on, which must lie in the file: else -EINVAL. -EIO: it became shorter meanwhile. */
int br_usb_payload_read(const struct br_usb_payload_file *file, uint64_t offset, void *buf, size_t n);
/* One that was closed, or is all zeros, is fine. */
void br_usb_payload_close(struct br_usb_payload_file *file);

/* The rule of names by itself: 0 or -EACCES. */
int br_usb_name_check(const char *name);
/* Whether a name is that of any chip's first stage; case counts not. */
bool br_usb_is_first_stage(const char *name);

/*
 * The same as sessions want it; as long as the payload. Files that somebody else has are opened in a thread of their own, so that one
 * board's do not hold up the others: -EINPROGRESS until then. Such a payload is for one session.
 */
struct br_usb_files *br_usb_payload_files(struct br_usb_payload *payload);
/* Nobody waits for it any more: what its threads do ends soon. Before the last br_usb_payload_unref(). */
void br_usb_payload_cancel(struct br_usb_payload *payload);
/* Size only, as br_usb_payload_lookup(), without fetching it. May block. */
int br_usb_payload_size(struct br_usb_payload *payload, const struct br_usb_who *who, const char *name, uint64_t *ret,
	struct br_error *err);

struct br_usb_directory {
	const char *dir;
	const char *firmware; /* a directory as above with what 'dir' lacks, the first stage mostly; NULL: none */
	bool overlay;	      /* DIR/<usb path>/NAME counts before DIR/<chip>/NAME and DIR/NAME */
	bool links;	      /* follow symbolic links that lead out of the directory, too */
};

/*
 * -d DIR. Looked up in this order (c.5): if DIR has a bootfiles.bin: DIR/<chip>/NAME, the member <chip>/NAME of it (case
 * counts not); with overlay: DIR/<usb path>/NAME, but for a first stage; DIR/<chip>/NAME; DIR/NAME; the same in 'firmware',
 * which has no overlay. -ENOENT, with words, when there is neither bootfiles.bin nor any bootcode*.bin in any of them.
 * Symbolic links are followed as long as they stay inside of DIR (bootfiles.bin itself always: it says what it is).
 */
int br_usb_payload_directory(const struct br_usb_directory *opt, struct br_usb_payload **ret, struct br_error *err);

/*
 * The boot partition of an image: the store's (a new reference is taken), or a raw image file. Names compare without case, as
 * FAT does. firmware: as above, and needed by all chips but the BCM2835 family, whose first stage an image has itself. A BCM2712,
 * which takes its kernel as a ramdisk only, gets a boot.img made of the partition's files, where there is none.
 * -ENOENT: it has no boot partition; -ENOMEDIUM: the file is no image, or a packed one.
 */
struct br_image;
int br_usb_payload_image(struct br_image *image, const char *firmware, struct br_usb_payload **ret, struct br_error *err);
int br_usb_payload_image_file(const char *file, const char *firmware, struct br_usb_payload **ret, struct br_error *err);

/*
 * Files that somebody else has. fetch gives the whole of one as a descriptor of an unnamed file, read from its beginning and closed
 * here; -ENOENT and -EACCES as of br_usb_payload_lookup(). Calls may come from several threads.
 */
struct br_usb_fetcher {
	int (*fetch)(void *ctx, const struct br_usb_who *who, const char *name, int *ret_fd, struct br_error *err);
	/* Its size only, and nothing is changed by asking. */
	int (*size)(void *ctx, const struct br_usb_who *who, const char *name, uint64_t *ret, struct br_error *err);
	void (*cancel)(void *ctx); /* from any thread: calls end soon; may be NULL */
	void (*free)(void *ctx); /* with the payload; may be NULL */
	void *ctx;
	const char *origin; /* a constant */
};
/* text is taken, also on failure; the fetcher's ctx only on success. */
int br_usb_payload_fetch(const struct br_usb_fetcher *fetcher, char *text, const char *firmware,
	struct br_usb_payload **ret, struct br_error *err);

/* Firmware that is not ours to ship: installed by Debian's or Raspberry Pi's packages, or put into /etc/bramble/usb-firmware. A
 * directory that starts this chip (NULL: any of them), a constant; NULL: none is installed. */
const char *br_usb_firmware_find(const struct br_usbboot_model *model);
/* Whether a directory of firmware has what starts this chip (NULL: any). */
bool br_usb_firmware_starts(const char *dir, const struct br_usbboot_model *model);
/* Adds to words on why nothing has a first stage where to get it. */
void br_usb_firmware_wanted(const char *first_stage, struct br_error *err);
/* The mass-storage gadget of this chip, where it is installed; -ENOENT says where that was looked for and what it has. */
int br_usb_payload_gadget(const struct br_usbboot_model *model, struct br_usb_payload **ret, struct br_error *err);

/* Whether a board of this chip would get a file of this name. */
bool br_usb_payload_has(struct br_usb_payload *payload, const struct br_usbboot_model *model, const char *name);
struct br_text;
/* Adds the files that a chip cannot do without and the payload does not have, each with what it is for. How many. */
size_t br_usb_payload_missing(struct br_usb_payload *payload, const struct br_usbboot_model *model, struct br_text *out);
/* The same as an error: -ENOENT with words, among them where to get them. */
int br_usb_payload_check(struct br_usb_payload *payload, const struct br_usbboot_model *model, struct br_error *err);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "usb/payload.h"

/* Inside of src/usb/payload*; users include usb/payload.h. */

struct br_usb_payload_file_ops {
	int (*read)(const struct br_usb_payload_file *file, uint64_t offset, void *buf, size_t n);
	void (*close)(struct br_usb_payload_file *file);
};

/* Its bytes are those from 'start' on in 'fd', which is the file's own. */
extern const struct br_usb_payload_file_ops br_usb_fd_ops;

struct br_usb_source_ops {
	/* The name was checked. As br_usb_payload_lookup(). */
	int (*lookup)(struct br_usb_payload *payload, const struct br_usb_who *who, const char *name,
		struct br_usb_payload_file *ret, struct br_error *err);
	/* NULL: it is looked up, and closed. */
	int (*size)(struct br_usb_payload *payload, const struct br_usb_who *who, const char *name, uint64_t *ret,
		struct br_error *err);
	void (*cancel)(struct br_usb_payload *payload); /* NULL: nothing takes long */
	void (*free)(struct br_usb_payload *payload);
};

/* The head of every source. */
struct br_usb_payload {
	struct br_usb_files files;
	unsigned refs; /* atomic */
	const struct br_usb_source_ops *ops;
	char *text;
	struct br_usb_payload *firmware; /* asked for what is missing; NULL: none */
	bool slow; /* files are opened in a thread */
	struct br_usb_opening *opening; /* the one that is, of the session's; NULL: none */
};

/* payloadopen.c: br_usb_payload_lookup() in a thread; -EINPROGRESS: ask again. */
int br_usb_open_beside(struct br_usb_payload *payload, const struct br_usb_who *who, const char *name,
	struct br_usb_payload_file *ret, struct br_error *err);
/* NULL is fine. */
void br_usb_opening_unref(struct br_usb_opening *o);

/* Sets up the head: one reference, the words (taken; NULL: memory was out). -ENOMEM. */
int br_usb_payload_init(struct br_usb_payload *payload, const struct br_usb_source_ops *ops, char *text, struct br_error *err);

/* The folders of a chip, in the order they are looked at, ended by NULL: "2711"; "2710", "2836". */
const char *const *br_usb_folders(const struct br_usbboot_model *model);

/* Names the file, printable. Returns file. */
struct br_usb_payload_file *br_usb_payload_name(struct br_usb_payload_file *file, const char *dir, const char *path);

/* A directory that is asked only for what starts a board: a first stage, DIR/<chip>/NAME, the members of its bootfiles.bin. */
int br_usb_payload_firmware(const char *dir, struct br_usb_payload **ret, struct br_error *err);

/* SPDX-License-Identifier: Apache-2.0 */
/* Files that take their time are opened in a thread, so that the loop of all boards goes on. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/thread.h"
#include "usb/payload_priv.h"

/* Held by its payload, and by its thread while that runs. */
struct br_usb_opening {
	unsigned refs; /* atomic */
	atomic_bool done;
	struct br_usb_payload *payload; /* the thread's reference */
	const struct br_usbboot_model *model;
	char name[BR_USB_NAME_MAX + 1], path[BR_USB_PATH_MAX], serial[BR_USB_SERIAL_MAX];
	struct br_usb_payload_file file;
	int r;
	struct br_error err;
};

void br_usb_opening_unref(struct br_usb_opening *o)
{
	if (!o || __atomic_sub_fetch(&o->refs, 1, __ATOMIC_ACQ_REL))
		return;
	br_usb_payload_close(&o->file); /* nobody took it */
	free(o);
}

static void *open_it(void *arg)
{
	struct br_usb_opening *o = arg;
	const struct br_usb_who who = { .model = o->model, .path = o->path, .serial = o->serial };

	o->r = br_usb_payload_lookup(o->payload, &who, o->name, &o->file, &o->err);
	atomic_store(&o->done, true);
	br_usb_payload_unref(o->payload);
	br_usb_opening_unref(o);
	return NULL;
}

static int start(struct br_usb_payload *payload, const struct br_usb_who *who, const char *name, struct br_error *err)
{
	struct br_usb_opening *o = calloc(1, sizeof(*o));
	pthread_t thread;
	int r;

	if (!o)
		return br_error_set(err, ENOMEM, "out of memory");
	o->refs = 2;
	o->model = who->model;
	o->file.fd = -1;
	if (br_strcpy(o->name, sizeof(o->name), name) < 0 || br_strcpy(o->path, sizeof(o->path), who->path) < 0 ||
		br_strcpy(o->serial, sizeof(o->serial), who->serial) < 0) {
		free(o);
		return br_error_set(err, ENAMETOOLONG, "a name that is too long");
	}
	o->payload = br_usb_payload_ref(payload);
	r = br_thread_start(&thread, open_it, o);
	if (r) {
		br_usb_payload_unref(payload);
		free(o);
		return br_error_set(err, r, "a thread cannot be started: %s", strerror(r));
	}
	pthread_detach(thread);
	payload->opening = o;
	return -EINPROGRESS;
}

int br_usb_open_beside(struct br_usb_payload *payload, const struct br_usb_who *who, const char *name,
	struct br_usb_payload_file *ret, struct br_error *err)
{
	struct br_usb_opening *o = payload->opening;
	bool same;
	int r;

	if (o && !atomic_load(&o->done))
		return -EINPROGRESS; /* also one that the board asked for before it began anew */
	payload->opening = NULL;
	same = o && o->model == who->model && !strcmp(o->name, name) && !strcmp(o->serial, who->serial);
	if (!same) {
		br_usb_opening_unref(o);
		return start(payload, who, name, err);
	}
	r = o->r;
	if (r < 0 && err)
		*err = o->err;
	if (r >= 0) {
		*ret = o->file;
		o->file = (struct br_usb_payload_file){ .fd = -1 };
	}
	br_usb_opening_unref(o);
	return r;
}

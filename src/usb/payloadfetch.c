/* SPDX-License-Identifier: Apache-2.0 */
/* Files that somebody else has: each is fetched as a whole, onto a disk, when a board asks for it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "usb/payload_priv.h"

struct fetching {
	struct br_usb_payload base;
	struct br_usb_fetcher f;
};

static void fetching_free(struct br_usb_payload *payload)
{
	struct fetching *p = br_container_of(payload, struct fetching, base);

	if (p->f.free)
		p->f.free(p->f.ctx);
	free(p);
}

static int fetching_lookup(struct br_usb_payload *payload, const struct br_usb_who *who, const char *name,
	struct br_usb_payload_file *ret, struct br_error *err)
{
	struct fetching *p = br_container_of(payload, struct fetching, base);
	struct stat st;
	int fd = -1, r = p->f.fetch(p->f.ctx, who, name, &fd, err);

	if (r < 0)
		return r;
	if (fstat(fd, &st) < 0) {
		r = br_error_set(err, errno, "%s: cannot look at what was fetched: %m", name);
		br_closep(&fd);
		return r;
	}
	*ret = (struct br_usb_payload_file){
		.size = (uint64_t)st.st_size,
		.origin = p->f.origin,
		.ops = &br_usb_fd_ops,
		.fd = fd,
	};
	br_usb_payload_name(ret, payload->text, name);
	return 0;
}

static int fetching_size(struct br_usb_payload *payload, const struct br_usb_who *who, const char *name, uint64_t *ret,
	struct br_error *err)
{
	struct fetching *p = br_container_of(payload, struct fetching, base);

	return p->f.size(p->f.ctx, who, name, ret, err);
}

static void fetching_cancel(struct br_usb_payload *payload)
{
	struct fetching *p = br_container_of(payload, struct fetching, base);

	if (p->f.cancel)
		p->f.cancel(p->f.ctx);
}

static const struct br_usb_source_ops fetching_ops = {
	.lookup = fetching_lookup,
	.size = fetching_size,
	.cancel = fetching_cancel,
	.free = fetching_free,
};

int br_usb_payload_fetch(const struct br_usb_fetcher *fetcher, char *text, const char *firmware,
	struct br_usb_payload **ret, struct br_error *err)
{
	struct fetching *p = calloc(1, sizeof(*p));
	int r;

	if (!p) {
		free(text);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	r = br_usb_payload_init(&p->base, &fetching_ops, text, err);
	if (!r && firmware)
		r = br_usb_payload_firmware(firmware, &p->base.firmware, err);
	if (r < 0) {
		br_usb_payload_unref(&p->base); /* the fetcher stays the caller's */
		return r;
	}
	p->f = *fetcher;
	p->base.slow = true;
	*ret = &p->base;
	return 0;
}

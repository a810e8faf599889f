/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong with flashing a board's storage: by its last order, as far as that is the last thing that happened. */
#include "why/symptoms.h"

#include <string.h>

#include "base/clock.h"
#include "base/cleanup.h"

#define COME_NS	   (90 * BR_S)	 /* from the firmware's question to U-Boot's for its order */
#define STOPPED_NS (90 * BR_S)	 /* a board at work asks for something each few seconds; verifying 16 MiB of a slow card takes some */
#define SILENT_NS  (180 * BR_S)	 /* a first boot that grows its root takes minutes */
#define OLD_NS	   (86400 * BR_S)
#define OFTEN	   5

static bool is(const char *a, const char *b)
{
	return !strcmp(a, b);
}

/* The last order failed so, and the board has not come up since. */
static bool failed(struct br_case *c, const char *what)
{
	const struct br_why_flash *f = &c->in->flash;

	if (f->state != BR_WHY_FLASH_FAILED || !is(f->what, what) || br_case_age(c, f->ended_ns) > OLD_NS || c->in->up_ns > f->ended_ns)
		return false;
	c->n = f->order;
	c->file = f->target;
	c->words = f->reason;
	return true;
}

static bool failed_by(struct br_case *c, const char *a, const char *b, const char *d)
{
	const char *word = c->in->flash.word;

	return failed(c, "write") && (is(word, a) || is(word, b) || is(word, d));
}

bool br_sees_flash_small(struct br_case *c)
{
	return failed_by(c, "small", "small", "small");
}

bool br_sees_flash_bad_card(struct br_case *c)
{
	return failed_by(c, "verify", "readback", "reread") || failed_by(c, "write", "table", "read");
}

bool br_sees_flash_unfetched(struct br_case *c)
{
	return failed_by(c, "fetch", "download", "unpack");
}

bool br_sees_flash_failed(struct br_case *c)
{
	return failed(c, "write");
}

bool br_sees_flash_no_image(struct br_case *c)
{
	return failed(c, "image");
}

bool br_sees_flash_not_asked(struct br_case *c)
{
	const struct br_why_flash *f = &c->in->flash;

	if (failed(c, "bootloader"))
		return true;
	if (f->state != BR_WHY_FLASH_WAITING || !f->contact_ns || br_case_age(c, f->contact_ns) < COME_NS)
		return false;
	c->n = f->order;
	c->words = f->target;
	return true;
}

bool br_sees_flash_often(struct br_case *c)
{
	const struct br_why_flash *f = &c->in->flash;

	c->n = f->begun;
	c->words = f->target;
	return f->state == BR_WHY_FLASH_WRITING && f->begun >= OFTEN;
}

bool br_sees_flash_stopped(struct br_case *c)
{
	const struct br_why_flash *f = &c->in->flash;

	c->n = f->order;
	c->ns = br_case_age(c, f->asked_ns);
	return f->state == BR_WHY_FLASH_WRITING && f->asked_ns && c->ns > STOPPED_NS;
}

bool br_sees_flash_silent(struct br_case *c)
{
	const struct br_why_flash *f = &c->in->flash;
	bool now = f->state == BR_WHY_FLASH_VERIFIED && br_case_age(c, f->verified_ns) > SILENT_NS;

	if (!now && !failed(c, "silent"))
		return false;
	c->n = f->order;
	c->ns = br_case_age(c, f->verified_ns);
	c->file = f->target;
	c->words = f->up;
	return true;
}

bool br_sees_flash_waits(struct br_case *c)
{
	const struct br_why_flash *f = &c->in->flash;

	c->n = f->order;
	c->words = f->target;
	return f->state == BR_WHY_FLASH_WAITING && !f->contact_ns;
}

bool br_sees_flash_goes_on(struct br_case *c)
{
	const struct br_why_flash *f = &c->in->flash;

	c->n = f->order;
	c->words = f->progress;
	return f->state == BR_WHY_FLASH_WRITING;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line of this host: at a board's RUN pin (low holds the board in reset), or at
 * a relay. The line is set and given back at once: the kernel leaves it as it was set, as the GPIO controllers of Raspberry
 * Pis and gpio-sim do.
 */
#include <errno.h>
#include <gpiod.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/text.h"
#include "power/driver.h"

#define PULSE_NS (500 * BR_MS)

struct line {
	struct gpiod_chip *chip;
	struct gpiod_line *line;
	char shown[160];
};

static int open_line(const struct br_power_target *t, struct line *ret, struct br_error *err)
{
	uint64_t offset = 0;
	int r;

	(void)br_parse_u64(t->uri.outlet, 0, UINT32_MAX, &offset); /* it was checked with the URI */
	snprintf(ret->shown, sizeof(ret->shown), "GPIO chip %.60s, line %u", t->uri.host, (unsigned)offset);
	ret->chip = gpiod_chip_open_lookup(t->uri.host);
	if (!ret->chip) {
		r = errno ?: ENOENT;
		return br_error_set(err, r, "%s: %s%s", ret->shown, strerrordesc_np(r),
			r == EACCES || r == EPERM ? "; let the user of bramble open /dev/gpiochip* (docs/power.md)" :
			r == ENOENT ? "; 'gpiodetect' lists the chips" : "");
	}
	ret->line = gpiod_chip_get_line(ret->chip, (unsigned)offset);
	if (ret->line)
		return 0;
	r = errno ?: EINVAL;
	gpiod_chip_close(ret->chip);
	return br_error_set(err, r, "%s: %s; 'gpioinfo %s' lists the lines", ret->shown, strerrordesc_np(r), t->uri.host);
}

static int request(const struct br_power_target *t, struct line *l, int direction, int value, struct br_error *err)
{
	struct gpiod_line_request_config config = {
		.consumer = "bramble",
		.request_type = direction,
		.flags = t->uri.active_low ? GPIOD_LINE_REQUEST_FLAG_ACTIVE_LOW : 0,
	};
	int r;

	if (gpiod_line_request(l->line, &config, value) >= 0)
		return 0;
	r = errno ?: EIO;
	return br_error_set(err, r, "%s: %s%s", l->shown, strerrordesc_np(r), r == EBUSY ? "; another program holds it" : "");
}

static int drive(struct line *l, int value, struct br_error *err)
{
	int r;

	if (gpiod_line_set_value(l->line, value) >= 0)
		return 0;
	r = errno ?: EIO;
	return br_error_set(err, r, "%s: cannot be set: %s", l->shown, strerrordesc_np(r));
}

static void pause_ns(uint64_t ns)
{
	struct timespec t = { .tv_sec = (time_t)(ns / BR_S), .tv_nsec = (long)(ns % BR_S) };

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

/* Active means that the board runs. A reset takes the line away from that, and gives it back. */
static int set(const struct br_power_target *t, enum br_power_op op, struct br_error *err)
{
	struct line l = { 0 };
	int r = open_line(t, &l, err);

	if (r < 0)
		return r;
	r = request(t, &l, GPIOD_LINE_REQUEST_DIRECTION_OUTPUT, op == BR_POWER_OP_ON, err);
	if (r >= 0 && op == BR_POWER_OP_RESET) {
		pause_ns(t->uri.pulse_ns ?: PULSE_NS);
		r = drive(&l, 1, err);
	}
	if (r >= 0) {
		int value = gpiod_line_get_value(l.line);

		if (value >= 0 && value != (op != BR_POWER_OP_OFF))
			r = br_error_set(err, EREMOTEIO, "%s does not keep its level: something else holds it", l.shown);
		gpiod_line_release(l.line);
	}
	gpiod_chip_close(l.chip);
	return r;
}

/* As it is, whatever its direction: what is asked for as input would stop driving it. */
static int get(const struct br_power_target *t, struct br_power_reading *ret, struct br_error *err)
{
	struct line l = { 0 };
	int r = open_line(t, &l, err), value;

	if (r < 0)
		return r;
	r = request(t, &l, GPIOD_LINE_REQUEST_DIRECTION_AS_IS, 0, err);
	if (r >= 0) {
		value = gpiod_line_get_value(l.line);
		if (value < 0)
			r = br_error_set(err, EREMOTEIO, "%s: cannot be read: %m", l.shown);
		else
			ret->state = value ? BR_POWER_IS_ON : BR_POWER_IS_OFF;
		gpiod_line_release(l.line);
	}
	gpiod_chip_close(l.chip);
	return r;
}

static bool can_reset(const struct br_power_target *t)
{
	return true;
}

const struct br_power_driver br_power_gpio = { .can_reset = can_reset, .set = set, .get = get };

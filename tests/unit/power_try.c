/* SPDX-License-Identifier: Apache-2.0 */
/* power_try URI on|off|reset|status: one thing asked of a driver, to try hardware by hand and in guests. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "power/driver.h"

static int ask(const struct br_power_target *t, const char *word, struct br_error *err)
{
	const struct br_power_driver *d = br_power_driver_of(t->uri.scheme);
	struct br_power_reading reading = { 0 };
	int r;

	if (!strcmp(word, "on"))
		return d->set(t, BR_POWER_OP_ON, err);
	if (!strcmp(word, "off"))
		return d->set(t, BR_POWER_OP_OFF, err);
	if (!strcmp(word, "reset"))
		return d->set(t, BR_POWER_OP_RESET, err);
	r = d->get ? d->get(t, &reading, err) : 0;
	if (r >= 0)
		printf("%s %s\n", br_power_state_name(reading.state), reading.detail);
	return r;
}

int main(int argc, char **argv)
{
	struct br_power_target t = { .board = "board", .mac = "", .serial = "", .notes = "", .timeout_ns = 5 * BR_S };
	struct br_error err = BR_ERROR_NULL;
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: power_try URI on|off|reset|status\n");
		return 2;
	}
	r = br_power_uri_parse(argv[1], &t.uri, &err);
	if (!r)
		r = ask(&t, argv[2], &err);
	if (r < 0)
		fprintf(stderr, "power_try: %s\n", br_error_text(&err, r));
	return r < 0;
}

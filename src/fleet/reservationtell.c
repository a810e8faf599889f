/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of reservations, as events. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "fleet/event.h"
#include "fleet/reservation_priv.h"

static char *label(char *out, size_t size, const struct br_res *e)
{
	snprintf(out, size, "r%" PRId64, e->r.number);
	return out;
}

void br_res_tell_held(struct br_reservations *m, const struct br_res *e)
{
	char name[24];

	label(name, sizeof(name), e);
	for (size_t i = 0; i < e->n_boards; i++)
		br_event_emit(m->fleet, e->boards[i].id, 0, BR_EV_RESERVATION_HELD,
			json_pack("{s:s, s:s, s:s, s:I}", "reservation", name, "user", e->r.user, "selector", e->r.selector, "boards",
				(json_int_t)e->n_boards));
}

void br_res_tell_end(struct br_reservations *m, const struct br_res *e, const char *why, const char *reason, int64_t now)
{
	char name[24];

	label(name, sizeof(name), e);
	for (size_t i = 0; i < e->n_boards; i++)
		br_event_emit(m->fleet, e->boards[i].id, 0, BR_EV_RESERVATION_ENDED,
			json_pack("{s:s, s:s, s:s, s:s, s:I}", "reservation", name, "user", e->r.user, "why", why, "reason", reason, "seconds",
				(json_int_t)(now - e->r.held_at)));
	if (!e->n_boards)
		br_event_emit(m->fleet, 0, 0, BR_EV_RESERVATION_LEFT,
			json_pack("{s:s, s:s, s:s, s:s}", "reservation", name, "user", e->r.user, "why", why, "reason", reason));
}

void br_res_tell_queued(struct br_reservations *m, const struct br_res *e)
{
	char name[24];

	br_event_emit(m->fleet, 0, 0, BR_EV_RESERVATION_QUEUED,
		json_pack("{s:s, s:s, s:s, s:I, s:I}", "reservation", label(name, sizeof(name), e), "user", e->r.user, "selector",
			e->r.selector, "count", (json_int_t)e->r.count, "before", (json_int_t)e->r.before));
}

/* What the settings of a reservation are about. */
struct setting {
	const char *name;
	size_t offset;
};
static const struct setting settings[] = {
	{ "image", offsetof(struct br_board, image) },
	{ "disk", offsetof(struct br_board, disk) },
	{ "road", offsetof(struct br_board, road) },
};

struct br_board *br_res_boards_before(struct br_reservations *m, const struct br_res *e)
{
	struct br_board *v = calloc(e->n_boards + 1, sizeof(*v));

	for (size_t i = 0; v && i < e->n_boards; i++) {
		if (br_board_by_id(m->fleet, e->boards[i].id, &v[i]) < 0)
			v[i].id = 0;
	}
	return v;
}

void br_res_tell_edits(struct br_reservations *m, const struct br_res *e, const struct br_board *before)
{
	char name[24];

	label(name, sizeof(name), e);
	for (size_t i = 0; before && i < e->n_boards; i++) {
		json_t *was = json_object(), *is = json_object();
		struct br_board b;

		if (before[i].id && br_board_by_id(m->fleet, before[i].id, &b) >= 0) {
			for (size_t k = 0; k < BR_ARRAY_SIZE(settings); k++) {
				const char *old = (const char *)&before[i] + settings[k].offset, *new = (const char *)&b + settings[k].offset;

				if (!strcmp(old, new))
					continue;
				json_object_set_new(was, settings[k].name, old[0] ? json_string(old) : json_null());
				json_object_set_new(is, settings[k].name, new[0] ? json_string(new) : json_null());
			}
		}
		if (json_object_size(is))
			br_event_emit(m->fleet, before[i].id, 0, BR_EV_BOARD_EDITED,
				json_pack("{s:O, s:O, s:s}", "before", was, "after", is, "reservation", name));
		json_decref(was);
		json_decref(is);
	}
}

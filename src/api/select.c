/* SPDX-License-Identifier: Apache-2.0 */
/* Boards by a selector. */
#include <errno.h>
#include <string.h>

#include "api/call.h"
#include "base/text.h"
#include "fleet/reservation.h"
#include "fleet/selector.h"
#include "plan/boots.h"

struct selection {
	struct br_call *call;
	const struct br_selector *sel;
	int (*fn)(void *ctx, const struct br_board *board);
	void *ctx;
	uint32_t left; /* how many more */
};

static int add_selected(void *ctx, const struct br_board *b)
{
	struct selection *s = ctx;
	struct br_api *api = s->call->api;
	char image[BR_IMAGE_NAME_MAX + 1];
	struct br_selector_facts facts = { .image = b->image[0] ? b->image : image };

	br_boots_default_image(api->boots, image);
	facts.reserved = api->reservations && br_reservation_of(api->reservations, b->id, NULL, 0) != 0;
	facts.mine = facts.reserved && !br_call_unreserved(s->call, b, NULL);
	if (!s->left || !br_selector_matches(s->sel, b, &facts))
		return 0;
	s->left -= s->left != UINT32_MAX;
	return s->fn(s->ctx, b);
}

/* All names must be boards'. */
static int add_names(struct selection *s, struct br_error *err)
{
	size_t n;
	const char *const *names = br_selector_names(s->sel, &n);
	int r = 0;

	for (size_t i = 0; i < n && r >= 0; i++) {
		struct br_board b;

		r = br_strcpy(s->call->name, sizeof(s->call->name), names[i]);
		if (r < 0)
			r = br_error_set(err, ENOENT, "no board has a name that long");
		if (r >= 0)
			r = br_call_board(s->call, &b, err);
		if (r >= 0)
			r = add_selected(s, &b);
	}
	return r;
}

int br_call_select(struct br_call *call, const char *text, int (*fn)(void *ctx, const struct br_board *board), void *ctx,
	struct br_error *err)
{
	struct br_selector *sel = NULL;
	struct selection s = { .call = call, .fn = fn, .ctx = ctx };
	char vis[200];
	size_t n;
	int r = br_selector_parse(text, &sel, err);

	if (r < 0)
		return r;
	s.sel = sel;
	s.left = br_selector_counted(sel) ? br_selector_count(sel) : UINT32_MAX;
	br_selector_names(sel, &n);
	r = n ? add_names(&s, err) : br_board_list(call->api->fleet, add_selected, &s);
	if (r >= 0 && s.left && s.left != UINT32_MAX)
		r = br_error_set(err, ENOENT, "%u boards more are wanted than match '%s'", s.left, br_vis(vis, sizeof(vis), text, strlen(text)));
	br_selector_free(sel);
	return r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "console/claim.h"

#include <errno.h>
#include <string.h>

#include "base/text.h"
#include "console/console.h"

uint64_t br_claim_owner(struct br_claim *claim, uint64_t now_ns)
{
	if (claim->id && (!claim->bound || claim->renews) && now_ns >= claim->until_ns)
		*claim = (struct br_claim){ 0 };
	return claim->id;
}

static int is_taken(const struct br_claim *claim, struct br_error *err)
{
	return br_error_set(err, EBUSY, "%s writes on this console; --steal takes it over, --watch only looks on", claim->who);
}

static int has_ended(struct br_error *err)
{
	return br_error_set(err, EBUSY, "this claim to write has ended; claim the console again");
}

int br_claim_take(struct br_claim *claim, const char *who, bool steal, uint64_t *id, uint64_t fresh, uint64_t now_ns,
	uint64_t wall_ns, struct br_error *err)
{
	uint64_t owner = br_claim_owner(claim, now_ns);

	if (*id && owner != *id)
		return owner ? is_taken(claim, err) : has_ended(err);
	if (!*id && owner && !steal)
		return is_taken(claim, err);
	if (!*id) {
		*claim = (struct br_claim){ .id = fresh, .since_wall_ns = wall_ns };
		br_vis(claim->who, sizeof(claim->who), who, strlen(who));
		*id = fresh;
	} else {
		claim->renews = true;
	}
	claim->until_ns = now_ns + BR_CONSOLE_CLAIM_NS;
	return 0;
}

bool br_claim_release(struct br_claim *claim, uint64_t id)
{
	if (!id || claim->id != id)
		return false;
	*claim = (struct br_claim){ 0 };
	return true;
}

int br_claim_bind(struct br_claim *claim, uint64_t id, uint64_t now_ns, struct br_error *err)
{
	uint64_t owner = br_claim_owner(claim, now_ns);

	if (!id || owner != id) {
		(void)(owner ? is_taken(claim, err) : has_ended(err));
		return -EPERM;
	}
	claim->bound++;
	return 0;
}

void br_claim_unbind(struct br_claim *claim, uint64_t id)
{
	if (id && claim->id == id && !--claim->bound)
		*claim = (struct br_claim){ 0 };
}

int br_claim_may_write(struct br_claim *claim, uint64_t id, uint64_t now_ns, struct br_error *err)
{
	uint64_t owner = br_claim_owner(claim, now_ns);

	if (owner != id)
		return owner ? is_taken(claim, err) : has_ended(err);
	if (owner)
		claim->until_ns = now_ns + BR_CONSOLE_CLAIM_NS;
	return 0;
}

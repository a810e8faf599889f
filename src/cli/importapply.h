/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "api/client.h"
#include "base/error.h"

/*
 * A plan of import/import.h against what the daemon has: steps, and problems that keep all of them from being taken. Looking changes
 * nothing.
 */
struct br_apply_options {
	bool force;		 /* override files of other content are replaced, conflicts passed over */
	const char *overrides; /* directory */
};

/* ret: { "steps": [ { "kind": board|share|override, "name", "action": create|change|same, "fields", ... } ], "problems": [ words ] } */
int br_apply_look(struct br_client *client, const json_t *plan, const struct br_apply_options *opt, json_t **ret, struct br_error *err);

/* Takes the steps that are not "same", in order; each gets "done": true. Stops at the first that fails: what was done stays, and the
 * same again goes on from there. said is called after each. */
int br_apply_do(struct br_client *client, json_t *look, const struct br_apply_options *opt, void (*said)(const json_t *step),
	struct br_error *err);

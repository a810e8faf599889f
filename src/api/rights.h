/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Who may call what, and the note of who did. */
#include "api/call.h"

/* What a route needs, its default worked out. */
enum br_scope br_rights_scope(const struct br_route *route);
/* -ENOKEY: somebody who has a token may; -EACCES: not with this one. */
int br_rights_check(const struct br_call *call, const struct br_route *route, const char *url, struct br_error *err);
/* For what is no route of the table: who may read. */
int br_api_may_read(const struct br_call *call, struct br_error *err);
/* The audit event of a change that was made. */
void br_rights_note(struct br_call *call, const struct br_route *route, const char *url);

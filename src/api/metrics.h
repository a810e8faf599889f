/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the API itself counts, for br_metrics_add(); ctx: struct br_api. */
#include "base/metrics.h"

struct br_api;

void br_api_metrics(void *ctx, struct br_metrics *m);
/* How many boards have something wrong, by row of docs/why.md; rows from n on count as 0. */
void br_api_why_count(struct br_api *api, unsigned *rows, unsigned n);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The inside of GET /v1/logs: what was asked for, and the stream of its answer. */
#include "api/call.h"
#include "logs/logs.h"
#include "logs/pattern.h"

struct br_log_query {
	struct br_logs_filter filter; /* boards, stream and pattern are owned below */
	int64_t *boards;
	size_t n_boards, cap_boards;
	char *stream;
	struct br_logs_pattern *pattern;
	uint64_t *seqs; /* what was found, to be given first */
	size_t n_seqs;
	bool more;	/* older ones were left out */
	bool follow, events;
	bool some;	/* boards were named, and maybe none of them is one */
	uint64_t limit;
};

/* Streams the answer. Takes the query, also on failure. */
int br_log_stream(struct br_call *call, struct br_log_query *q, struct br_error *err);
void br_log_query_free(struct br_log_query *q);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

#include "base/text.h"

/*
 * What is counted, for GET /metrics (Prometheus text format 0.0.4). A part registers a function that writes its families of
 * samples when somebody asks; it is called from any thread, keeps its locks short and waits for nothing. Names begin with
 * "bramble_"; counters end in "_total", units are seconds and bytes. A family is written by one function only.
 *
 *	br_metric_family(m, "bramble_tftp_files_total", BR_METRIC_COUNTER, "Files sent by TFTP.");
 *	br_metric_value(m, n, "outcome", "sent", NULL);
 */
struct br_metrics {
	struct br_text text;
	const char *family; /* that is being written */
};

enum br_metric_kind {
	BR_METRIC_COUNTER,
	BR_METRIC_GAUGE,
	BR_METRIC_HISTOGRAM, /* br_metric_histogram() writes it */
};

/* A handle for br_metrics_remove(), NULL when memory is out. ctx outlives it. Thread-safe. */
void *br_metrics_add(void (*fn)(void *ctx, struct br_metrics *m), void *ctx);
/* On return fn does not run and will not. NULL is accepted. */
void br_metrics_remove(void *handle);
/* All of them, in fresh memory (free()); NULL when memory is out. */
char *br_metrics_text(void);

void br_metric_family(struct br_metrics *m, const char *name, enum br_metric_kind kind, const char *help);
/* One sample of the family; labels: pairs of name and value, ended by NULL. Values may be any text. */
void br_metric_labelled(struct br_metrics *m, double value, const char *const *labels);
/* The same with the pairs as words: br_metric_value(m, n, "outcome", "sent", NULL). */
#define br_metric_value(m, value, ...) br_metric_labelled((m), (value), (const char *const[]){ __VA_ARGS__ })

/* Counts of durations or sizes. Bounds ascend; all zeros but the bounds is empty. The caller locks. */
#define BR_HISTOGRAM_MAX 16
struct br_histogram {
	const double *bounds;
	unsigned n_bounds; /* at most BR_HISTOGRAM_MAX */
	uint64_t counts[BR_HISTOGRAM_MAX + 1];
	double sum;
};
void br_histogram_add(struct br_histogram *h, double value);
/* label (may be NULL) and value tell apart histograms of one family. */
void br_metric_histogram(struct br_metrics *m, const struct br_histogram *h, const char *label, const char *value);

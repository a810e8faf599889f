/* SPDX-License-Identifier: Apache-2.0 */
/* The registry of what is counted, and the text of it. */
#include "base/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <utlist.h>

struct collector {
	void (*fn)(void *ctx, struct br_metrics *m);
	void *ctx;
	struct collector *prev, *next;
};

/* of the process, as what is counted is: parts that know nothing of each other meet here */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct collector *collectors;

void *br_metrics_add(void (*fn)(void *ctx, struct br_metrics *m), void *ctx)
{
	struct collector *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->fn = fn;
	c->ctx = ctx;
	pthread_mutex_lock(&lock);
	DL_APPEND(collectors, c);
	pthread_mutex_unlock(&lock);
	return c;
}

void br_metrics_remove(void *handle)
{
	struct collector *c = handle;

	if (!c)
		return;
	pthread_mutex_lock(&lock);
	DL_DELETE(collectors, c);
	pthread_mutex_unlock(&lock);
	free(c);
}

char *br_metrics_text(void)
{
	struct br_metrics m = { .text = BR_TEXT_NULL };
	struct collector *c;

	pthread_mutex_lock(&lock);
	DL_FOREACH(collectors, c)
		c->fn(c->ctx, &m);
	pthread_mutex_unlock(&lock);
	return br_text_take(&m.text);
}

void br_metric_family(struct br_metrics *m, const char *name, enum br_metric_kind kind, const char *help)
{
	static const char *const kinds[] = {
		[BR_METRIC_COUNTER] = "counter",
		[BR_METRIC_GAUGE] = "gauge",
		[BR_METRIC_HISTOGRAM] = "histogram",
	};

	m->family = name;
	br_text_addf(&m->text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kinds[kind]);
}

/* Backslash, quote and newline are escaped in a label's value. */
static void add_label(struct br_text *t, const char *label, const char *value)
{
	br_text_addf(t, "%s=\"", label);
	for (const char *s = value; *s; s++) {
		if (*s == '\\' || *s == '"')
			br_text_addf(t, "\\%c", *s);
		else if (*s == '\n')
			br_text_add(t, "\\n");
		else
			br_text_add_bytes(t, s, 1);
	}
	br_text_add(t, "\"");
}

/* Whole numbers exactly, others with what a double has. */
static void add_number(struct br_text *t, double value)
{
	if (isnan(value))
		br_text_add(t, "NaN");
	else if (isinf(value))
		br_text_add(t, value > 0 ? "+Inf" : "-Inf");
	else
		br_text_addf(t, "%.15g", value);
}

void br_metric_labelled(struct br_metrics *m, double value, const char *const *labels)
{
	br_text_add(&m->text, m->family);
	for (size_t i = 0; labels[i]; i += 2) {
		br_text_add(&m->text, i ? "," : "{");
		add_label(&m->text, labels[i], labels[i + 1]);
	}
	br_text_add(&m->text, labels[0] ? "} " : " ");
	add_number(&m->text, value);
	br_text_add(&m->text, "\n");
}

void br_histogram_add(struct br_histogram *h, double value)
{
	unsigned i = 0;

	while (i < h->n_bounds && value > h->bounds[i])
		i++;
	h->counts[i]++;
	h->sum += value;
}

static void histogram_line(struct br_metrics *m, const char *end, const char *label, const char *value, double le, bool bucket,
	double count)
{
	br_text_addf(&m->text, "%s%s", m->family, end);
	if (label || bucket)
		br_text_add(&m->text, "{");
	if (label)
		add_label(&m->text, label, value);
	if (bucket) {
		br_text_add(&m->text, label ? ",le=\"" : "le=\"");
		add_number(&m->text, le);
		br_text_add(&m->text, "\"");
	}
	br_text_add(&m->text, label || bucket ? "} " : " ");
	add_number(&m->text, count);
	br_text_add(&m->text, "\n");
}

void br_metric_histogram(struct br_metrics *m, const struct br_histogram *h, const char *label, const char *value)
{
	uint64_t n = 0;

	for (unsigned i = 0; i <= h->n_bounds; i++) {
		n += h->counts[i];
		histogram_line(m, "_bucket", label, value, i < h->n_bounds ? h->bounds[i] : INFINITY, true, (double)n);
	}
	histogram_line(m, "_sum", label, value, 0, false, h->sum);
	histogram_line(m, "_count", label, value, 0, false, (double)n);
}

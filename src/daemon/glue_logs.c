/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/glue_logs.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "daemon/logscript.h"
#include "fleet/event.h"

struct br_glue_logs {
	struct br_glue *glue;
	const struct br_config *config;
	struct br_logs *store;
	struct br_receiver *receiver;
	pthread_mutex_t heard_lock;
	void (*heard)(void *ctx, int64_t board_id, uint32_t ip, const void *data, size_t n);
	void *heard_ctx;
	void *metrics;
	char *script;
};

/* ---- what the receivers ask and tell; in their thread ---- */

static int whose(void *ctx, uint32_t ip, int64_t *ret_board_id)
{
	struct br_glue_logs *l = ctx;
	struct br_board board;
	int r = br_glue_board_by_ip(l->glue, ip, &board);

	if (r >= 0)
		*ret_board_id = board.id;
	return r < 0 ? r : 0;
}

static void take_line(void *ctx, const struct br_logs_line *line)
{
	struct br_glue_logs *l = ctx;

	br_logs_put(l->store, line);
}

static void take_loss(void *ctx, uint64_t n)
{
	struct br_glue_logs *l = ctx;

	br_logs_lost(l->store, 0, 0, n, "came faster than they could be taken from the socket");
}

static void take_heard(void *ctx, int64_t board_id, uint32_t ip, const void *data, size_t n)
{
	struct br_glue_logs *l = ctx;

	pthread_mutex_lock(&l->heard_lock);
	if (l->heard)
		l->heard(l->heard_ctx, board_id, ip, data, n);
	pthread_mutex_unlock(&l->heard_lock);
}

static const struct br_receiver_ops ops = {
	.whose = whose,
	.line = take_line,
	.lost = take_loss,
	.heard = take_heard,
};

/* In the store's thread. */
static void tell_loss(void *ctx, int64_t board_id, uint32_t ip, uint64_t n, const char *reason)
{
	struct br_glue_logs *l = ctx;
	json_t *fields = json_pack("{s:I, s:s}", "count", (json_int_t)n, "reason", reason);
	char text[BR_IP_TEXT];

	if (fields && ip && !board_id)
		json_object_set_new(fields, "ip", json_string(br_ip_format(text, ip)));
	br_event_emit(l->glue->fleet, board_id, 0, BR_EV_LOG_LOST, fields);
}

/* ---- counts ---- */

static void count_store(struct br_metrics *m, struct br_logs *store)
{
	struct br_logs_stats st;

	br_logs_stats(store, &st);
	br_metric_family(m, "bramble_log_lines_total", BR_METRIC_COUNTER, "Lines of boards' logs that were taken.");
	for (unsigned i = 0; i < BR_LOGS_SOURCES; i++)
		br_metric_value(m, (double)st.by_source[i], "source", br_logs_source_word(i), NULL);
	br_metric_family(m, "bramble_log_bytes_total", BR_METRIC_COUNTER, "Bytes of their texts.");
	br_metric_value(m, (double)st.bytes, NULL);
	br_metric_family(m, "bramble_log_lost_total", BR_METRIC_COUNTER, "Lines that were lost.");
	br_metric_value(m, (double)st.lost_rate, "why", "rate", NULL);
	br_metric_value(m, (double)st.lost_socket, "why", "socket", NULL);
	br_metric_value(m, (double)st.lost_disk, "why", "disk", NULL);
	br_metric_family(m, "bramble_log_disk_bytes", BR_METRIC_GAUGE, "Disk that the logs take.");
	br_metric_value(m, (double)st.disk_bytes, NULL);
	br_metric_family(m, "bramble_log_failing", BR_METRIC_GAUGE, "1 while lines cannot be brought to the disk.");
	br_metric_value(m, st.trouble.code != 0, NULL);
}

static void count_receiver(struct br_metrics *m, struct br_receiver *rx)
{
	struct br_receiver_stats st;

	br_receiver_stats(rx, &st);
	br_metric_family(m, "bramble_log_datagrams_total", BR_METRIC_COUNTER, "Datagrams of syslog and netconsole.");
	br_metric_value(m, (double)st.datagrams, NULL);
	br_metric_family(m, "bramble_log_connections", BR_METRIC_GAUGE, "Open connections of syslog and bramble-log.");
	br_metric_value(m, (double)st.connections, NULL);
}

static void count(void *ctx, struct br_metrics *m)
{
	struct br_glue_logs *l = ctx;

	count_store(m, l->store);
	count_receiver(m, l->receiver);
}

/* ---- start and stop ---- */

int br_glue_logs_open(struct br_glue *glue, const struct br_config *config, struct br_glue_logs **ret, struct br_error *err)
{
	struct br_glue_logs *l;
	br_cleanup(br_freep) char *taken = NULL;
	int r;

	if (!strcmp(config->logs, "off"))
		return 0;
	l = calloc(1, sizeof(*l));
	if (!l)
		return br_error_set(err, ENOMEM, "out of memory");
	pthread_mutex_init(&l->heard_lock, NULL);
	l->glue = glue;
	l->config = config;
	r = br_receiver_open(&(struct br_receiver_options){
		.ip = glue->server_ip,
		.interface = glue->interface,
		.ops = &ops,
		.ctx = l,
	}, &l->receiver, &taken, err);
	if (r < 0) {
		free(l);
		return r;
	}
	if (taken)
		br_log_warning("%s. Until then bramble misses what boards would log there", taken);
	if (br_receiver_stream_port(l->receiver)) {
		l->script = br_log_script(glue->server_ip, br_receiver_stream_port(l->receiver));
		if (l->script)
			glue->log_script = (struct br_span){ (const uint8_t *)l->script, strlen(l->script) };
	}
	*ret = l;
	return 0;
}

static int open_store(struct br_glue_logs *l, const char *state, struct br_error *err)
{
	br_cleanup(br_freep) char *dir = br_path_join(state, "logs");
	struct br_logs_options opt = { .dir = dir, .on_lost = tell_loss, .ctx = l };
	uint64_t rate = 0;

	if (!dir)
		return br_error_set(err, ENOMEM, "out of memory");
	/* checked when they were set; "forever" leaves 0, which is no limit */
	(void)br_parse_size(l->config->logs_size, &opt.max_bytes);
	(void)br_parse_duration(l->config->logs_age, &opt.max_age_ns);
	(void)br_parse_u64(l->config->logs_rate, 1, 1000000, &rate);
	opt.rate = (uint32_t)rate;
	return br_logs_open(&opt, &l->store, err);
}

int br_glue_logs_start(struct br_glue_logs *l, const char *state, struct br_error *err)
{
	struct br_error trouble = BR_ERROR_NULL;
	int r;

	if (!l)
		return 0;
	r = open_store(l, state, &trouble);
	if (r < 0) { /* boards boot without */
		br_log_error("%s; logs of boards are not kept", trouble.text);
		br_receiver_stop(l->receiver);
		l->receiver = NULL;
		return 0;
	}
	l->metrics = br_metrics_add(count, l);
	return br_receiver_start(l->receiver, err);
}

void br_glue_logs_stopping(struct br_glue_logs *l)
{
	if (l && l->store)
		br_logs_stop_waits(l->store);
}

void br_glue_logs_stop(struct br_glue_logs *l)
{
	if (!l)
		return;
	br_metrics_remove(l->metrics);
	br_receiver_stop(l->receiver);
	br_logs_close(l->store);
	l->glue->log_script = (struct br_span){ 0 };
	pthread_mutex_destroy(&l->heard_lock);
	free(l->script);
	free(l);
}

struct br_logs *br_glue_logs_store(struct br_glue_logs *l)
{
	return l ? l->store : NULL;
}

struct br_receiver *br_glue_logs_receiver(struct br_glue_logs *l)
{
	return l ? l->receiver : NULL;
}

void br_glue_logs_heard(struct br_glue_logs *l,
	void (*heard)(void *ctx, int64_t board_id, uint32_t ip, const void *data, size_t n), void *ctx)
{
	if (!l)
		return;
	pthread_mutex_lock(&l->heard_lock);
	l->heard = heard;
	l->heard_ctx = ctx;
	pthread_mutex_unlock(&l->heard_lock);
}

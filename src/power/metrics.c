/* SPDX-License-Identifier: Apache-2.0 */
/* What /metrics says of power. */
#include "base/metrics.h"

#include "fleet/quarantine.h"
#include "power/manager.h"

static void devices(struct br_power *p, struct br_metrics *m, const char *name, enum br_metric_kind kind, const char *help,
	double (*value)(const struct br_power_device *d))
{
	br_metric_family(m, name, kind, help);
	for (size_t i = 0; i < br_power_queue_devices(p->queue); i++) {
		const struct br_power_device *d = br_power_queue_device(p->queue, i);

		br_metric_value(m, value(d), "device", d->name, NULL);
	}
}

static double asked(const struct br_power_device *d)
{
	return (double)d->asked;
}

static double failed(const struct br_power_device *d)
{
	return (double)d->failed;
}

static double waiting(const struct br_power_device *d)
{
	return (double)(d->waiting + d->running);
}

static int count_one(void *ctx, const struct br_quarantine *q)
{
	++*(unsigned *)ctx;
	return 0;
}

void br_power_metrics(void *ctx, struct br_metrics *m)
{
	struct br_power *p = ctx;
	unsigned boards[3] = { 0 }, aside = 0;

	(void)br_quarantine_list(p->opt.fleet, count_one, &aside); /* a database that fails says so elsewhere */
	pthread_mutex_lock(&p->lock);
	br_metric_family(m, "bramble_power_orders_total", BR_METRIC_COUNTER, "Orders about power that ended.");
	for (size_t i = 0; i < BR_POWER_N_ACTIONS; i++) {
		const char *action = br_power_action_name((enum br_power_action)i);

		br_metric_value(m, (double)p->done[i], "action", action, "outcome", "done", NULL);
		br_metric_value(m, (double)p->failed[i], "action", action, "outcome", "failed", NULL);
	}
	devices(p, m, "bramble_power_asked_total", BR_METRIC_COUNTER, "Things asked of a device that switches boards.", asked);
	devices(p, m, "bramble_power_trouble_total", BR_METRIC_COUNTER, "Of these, how many failed.", failed);
	devices(p, m, "bramble_power_waiting", BR_METRIC_GAUGE, "Things that a device is asked or is to be asked.", waiting);
	for (size_t i = 0; i < p->table.n; i++)
		boards[p->table.v[i].state]++;
	br_metric_family(m, "bramble_power_boards", BR_METRIC_GAUGE, "Boards by the state last read.");
	for (unsigned i = 0; i < 3; i++)
		br_metric_value(m, boards[i], "power", br_power_state_name((enum br_power_state)i), NULL);
	pthread_mutex_unlock(&p->lock);
	br_metric_family(m, "bramble_power_quarantined_boards", BR_METRIC_GAUGE, "Boards that were set aside.");
	br_metric_value(m, aside, NULL);
}

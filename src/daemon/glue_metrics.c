/* SPDX-License-Identifier: Apache-2.0 */
/* DHCP's and TFTP's counters. DHCP's are its loop's own: a number that is one too old is no matter here. */
#include "daemon/glue_metrics.h"

#include <stddef.h>

static void write_one(struct br_metrics *m, const char *name, const char *help, uint64_t n)
{
	br_metric_family(m, name, BR_METRIC_COUNTER, help);
	br_metric_value(m, (double)n, NULL);
}

static void write_dhcp(const struct br_dhcp_io_stats *st, struct br_metrics *m)
{
	write_one(m, "bramble_dhcp_requests_total", "Packets on the DHCP port.", st->received);
	write_one(m, "bramble_dhcp_replies_total", "DHCP replies sent.", st->replies);
	write_one(m, "bramble_dhcp_dropped_total", "DHCP requests that came faster than they could be taken.", st->dropped);
	write_one(m, "bramble_dhcp_failed_total", "DHCP replies that could not be sent.", st->failed);
	write_one(m, "bramble_dhcp_foreign_total", "Replies of other DHCP servers that were seen.", st->foreign);
}

static void write_tftp(const struct br_tftp_io_stats *st, struct br_metrics *m)
{
	br_metric_family(m, "bramble_tftp_transfers", BR_METRIC_GAUGE, "TFTP transfers under way.");
	br_metric_value(m, st->running, NULL);
	write_one(m, "bramble_tftp_received_total", "TFTP datagrams received.", st->received);
	write_one(m, "bramble_tftp_sent_total", "TFTP datagrams sent.", st->sent);
	br_metric_family(m, "bramble_tftp_dropped_total", BR_METRIC_COUNTER, "TFTP datagrams lost on this host.");
	br_metric_value(m, (double)st->dropped_in, "way", "in", NULL);
	br_metric_value(m, (double)st->dropped_out, "way", "out", NULL);
}

void br_glue_metrics_write(void *ctx, struct br_metrics *m)
{
	const struct br_glue_metrics *g = ctx;
	struct br_tftp_io_stats tftp;

	if (g->dhcp)
		write_dhcp(br_dhcp_io_stats(g->dhcp), m);
	if (!g->tftp)
		return;
	tftp = br_tftp_io_stats(g->tftp);
	write_tftp(&tftp, m);
}

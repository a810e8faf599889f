/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the protocol servers count, for br_metrics_add(). */
#include "base/metrics.h"
#include "dhcp/io.h"
#include "tftp/io.h"

struct br_glue_metrics {
	const struct br_dhcp_io *dhcp; /* NULL: off */
	const struct br_tftp_io *tftp;
};
void br_glue_metrics_write(void *ctx, struct br_metrics *m); /* ctx: struct br_glue_metrics */

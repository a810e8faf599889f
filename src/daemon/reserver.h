/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "fleet/reservation.h"
#include "plan/boots.h"

/* The daemon's reservations, with a thread that ends what died or expired and serves who waits; and their numbers for /metrics. */
struct br_reserver;
int br_reserver_start(struct br_fleet *fleet, struct br_boots *boots, struct br_reserver **ret, struct br_error *err);
struct br_reservations *br_reserver_reservations(struct br_reserver *reserver);
/* NULL is accepted. */
void br_reserver_stop(struct br_reserver *reserver);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "dhcp/server.h"
#include "wire/dhcp.h"

/* Who sent a message, by its shape (wire notes, table at the top): a pure function, any thread. */
void br_dhcp_classify(const struct br_dhcp_message *m, struct br_dhcp_client *ret);

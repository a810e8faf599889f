/* SPDX-License-Identifier: Apache-2.0 */
#include "usb/transport.h"

const char *br_usb_status_name(enum br_usb_status status)
{
	static const char *const names[BR_USB_N_STATUSES] = {
		[BR_USB_OK] = "ok",
		[BR_USB_STALL] = "stalled by the board",
		[BR_USB_TIMEOUT] = "timed out",
		[BR_USB_GONE] = "the board left the bus",
		[BR_USB_IO] = "bus error",
		[BR_USB_CANCELLED] = "cancelled",
	};

	return names[status];
}

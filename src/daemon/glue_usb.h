/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "api/usb.h"

/* Boards on USB: who they are, their boot files, what they say of themselves. ctx: struct br_glue. */
extern const struct br_api_usb_ops br_glue_usb_ops;

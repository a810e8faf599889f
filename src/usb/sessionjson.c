/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions as JSON. What boards say is printable ASCII: wire/usbboot and usb/sysfs see to that. Words with names of ours in them (a
 * directory, a file of it) are bytes.
 */
#include "usb/sessionjson.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"

json_t *br_usb_metadata_json(const struct br_usb_session *s)
{
	json_t *json = json_object();
	size_t n;
	const struct br_usb_metadata *m = br_usb_session_metadata(s, &n);

	for (size_t i = 0; json && i < n; i++)
		json_object_set_new(json, m[i].key, json_string(m[i].value));
	return json;
}

static double seconds(uint64_t ns)
{
	return (double)(ns / BR_MS) / 1000.0;
}

static json_t *step_json(const struct br_usb_step *step, uint64_t first_ns)
{
	json_t *json = json_pack("{s:f, s:s}", "t", seconds(step->at_ns - first_ns), "step", br_usb_step_name(step->kind));

	if (step->name[0])
		br_json_set_bytes(json, "name", step->name);
	if (step->detail[0])
		br_json_set_bytes(json, "detail", step->detail);
	if (step->bytes || step->kind == BR_USB_STEP_FILE || step->kind == BR_USB_STEP_STATUS)
		json_object_set_new(json, "bytes", json_integer((json_int_t)step->bytes));
	if (step->took_ns)
		json_object_set_new(json, "took", json_real(seconds(step->took_ns)));
	return json;
}

static json_t *steps_json(const struct br_usb_session *s)
{
	json_t *json = json_array();
	size_t n;
	const struct br_usb_step *steps = br_usb_session_steps(s, &n);

	for (size_t i = 0; json && i < n; i++)
		json_array_append_new(json, step_json(&steps[i], steps[0].at_ns));
	return json;
}

/* The last number of "1-2.3". */
static int port_of(const char *path)
{
	const char *p = path + strlen(path);

	while (p > path && p[-1] >= '0' && p[-1] <= '9')
		p--;
	return atoi(p);
}

json_t *br_usb_session_json(const struct br_usb_session *s)
{
	const struct br_usbboot_model *model = br_usb_session_model(s);
	enum br_usb_verdict verdict = br_usb_session_verdict(s);
	unsigned files;
	uint64_t bytes = br_usb_session_bytes(s, &files);

	json_t *json = json_pack("{s:s, s:i, s:s?, s:s, s:s, s:b}", "path", br_usb_session_path(s), "port",
		port_of(br_usb_session_path(s)), "chip", model ? model->chip : NULL, "serial", br_usb_session_serial(s),
		"verdict", br_usb_verdict_name(verdict), "ok", (int)br_usb_verdict_is_well(verdict));

	if (!json)
		return NULL;
	br_json_set_bytes(json, "reason", br_usb_session_reason(s));
	json_object_set_new(json, "files", json_integer(files));
	json_object_set_new(json, "bytes", json_integer((json_int_t)bytes));
	json_object_set_new(json, "metadata", br_usb_metadata_json(s));
	json_object_set_new(json, "steps", steps_json(s));
	return json;
}

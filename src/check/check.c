/* SPDX-License-Identifier: Apache-2.0 */
#include "check/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

const char *const br_severity_names[BR_CHECK_LEVELS] = { "ok", "note", "warning", "error" };

void br_check_add(struct br_checks *c, enum br_severity severity, const char *check, const char *why, const char *cure, const char *what, ...)
{
	struct br_text t = BR_TEXT_NULL, safe = BR_TEXT_NULL;
	va_list ap;

	va_start(ap, what);
	br_text_addv(&t, what, ap);
	va_end(ap);
	br_text_add_vis(&safe, t.buf ? t.buf : "", t.len);
	json_array_append_new(c->findings, json_pack("{s:s, s:s, s:s, s:s, s:s?}", "severity", br_severity_names[severity], "check", check, "what",
						   safe.buf ? safe.buf : "", "why", why, "cure", cure));
	br_text_done(&safe);
	br_text_done(&t);
	if (severity > c->worst)
		c->worst = severity;
}

char *br_check_read(const struct br_checks *c, const char *path)
{
	br_cleanup(br_freep) char *full = br_asprintf("%s%s", c->root, path);
	char *text = NULL;

	if (!full || br_file_read(full, 1 << 20, &text, NULL, NULL) < 0)
		return NULL;
	text[strcspn(text, "\n")] = 0;
	return text;
}

int64_t br_check_number(const struct br_checks *c, const char *path)
{
	br_cleanup(br_freep) char *text = br_check_read(c, path);
	uint64_t n;

	return text && br_parse_u64(text, 0, INT64_MAX, &n) >= 0 ? (int64_t)n : -1;
}

int br_check_run(struct br_checks *c, struct br_error *err)
{
	static void (*const all[])(struct br_checks *c) = { br_check_daemon, br_check_ports, br_check_drops, br_check_interface,
		br_check_firewall, br_check_frames, br_check_neighbours, br_check_reverse_path, br_check_clock, br_check_room, br_check_files,
		br_check_modules, br_check_devices };

	c->findings = json_array();
	c->worst = BR_CHECK_OK;
	if (!c->findings)
		return br_error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < BR_ARRAY_SIZE(all); i++)
		all[i](c);
	return 0;
}

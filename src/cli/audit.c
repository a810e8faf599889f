/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/state.h"
#include "base/text.h"

#define PATIENCE_MS 10000
#define TEXT_MAX 1000 /* as the daemon takes it */

char *br_audit_cut(const char *text, size_t max)
{
	size_t n = strlen(text);

	if (n <= max)
		return strdup(text);
	n = max - 3;
	while (n && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	return br_asprintf("%.*s...", (int)n, text);
}

/* Who sat at the keyboard: sudo keeps the name. */
static void user_name(char *out, size_t size)
{
	const char *sudo = getenv("SUDO_USER");
	const struct passwd *p = getpwuid(getuid());

	if (sudo && sudo[0] && getuid() == 0)
		snprintf(out, size, "%s (sudo)", sudo);
	else if (p)
		snprintf(out, size, "%s", p->pw_name);
	else
		snprintf(out, size, "uid %u", (unsigned)getuid());
}

/* One line, as JSON: it can be read by programs, and nothing in it can begin another line. */
static int append(const char *state, json_t *entry, struct br_error *err)
{
	br_cleanup(br_freep) char *path = br_path_join(state, "audit.log");
	br_cleanup(br_freep) char *line = NULL;
	br_cleanup(br_closep) int fd = -1;
	struct br_text text = BR_TEXT_NULL;
	char when[32];
	time_t now = time(NULL);
	struct tm tm;
	int r = path ? br_mkdir_all(state, 0750, err) : br_error_set(err, ENOMEM, "out of memory");

	if (r < 0)
		return r;
	gmtime_r(&now, &tm);
	if (!strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm))
		when[0] = 0;
	json_object_set_new(entry, "at", json_string(when));
	line = json_dumps(entry, JSON_COMPACT | JSON_SORT_KEYS);
	br_text_addf(&text, "%s\n", line ?: "");
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		r = br_error_set(err, errno, "%s: %m", path);
	else if (!line || text.failed)
		r = br_error_set(err, ENOMEM, "out of memory");
	else
		r = br_write_all(fd, text.buf, text.len);
	if (!r && fsync(fd) < 0)
		r = br_error_set(err, errno, "%s: %m", path);
	br_text_done(&text);
	return r < 0 ? r : br_state_own(state, path, err);
}

int br_audit(const struct br_common *common, const char *action, const char *board, const char *serial, const char *text,
	struct br_error *err)
{
	br_cleanup(br_freep) char *state = NULL, *cut = br_audit_cut(text, TEXT_MAX);
	struct br_client *client = NULL;
	json_t *entry;
	char user[64];
	int r;

	if (!cut)
		return br_error_set(err, ENOMEM, "out of memory");

	user_name(user, sizeof(user));
	entry = json_pack("{s:s, s:s*, s:s*, s:s, s:s}", "action", action, "board", board, "serial", serial, "user", user, "text", cut);
	if (!entry)
		return br_error_set(err, EINVAL, "audit: no valid text");
	r = br_client_new(common->state, &client, err);
	if (!r) {
		br_client_patience(client, PATIENCE_MS);
		r = br_client_call(client, "POST", "/v1/audit", entry, NULL, err);
	}
	br_client_free(client);
	if (r < 0) { /* no daemon, or one that cannot take it just now: it must be written down all the same */
		r = br_state_dir(common->state, &state, err);
		if (!r)
			r = append(state, entry, err);
	}
	json_decref(entry);
	return r;
}

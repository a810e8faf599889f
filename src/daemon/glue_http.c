/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the boards' HTTP server asks. Runs in its thread. Paths:
 *
 *   /NAME                     a boot file of the board that has the client's address
 *   /net_install/NAME         the same: HTTP_PATH as it comes from the factory
 *   /bramble-log              the script of that name (logscript.h), for whoever asks
 *   /boot/BOARD/NAME          the same, when BOARD (its name, serial or MAC) is that board; else 404
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "daemon/glue_file.h"
#include "daemon/turns.h"
#include "fleet/event.h"

#define SAFE_BOOTIMG 96000000 /* what the documentation promises; more may work (systems notes d.5) */

static bool is_board(const struct br_board *board, const char *s, size_t n)
{
	char text[BR_BOARD_NAME_MAX + 1], serial[17];
	struct br_mac mac;

	if (!n || n >= sizeof(text))
		return false;
	memcpy(text, s, n);
	text[n] = 0;
	if (!strcasecmp(text, board->name))
		return true;
	if (board->serial_known) {
		snprintf(serial, sizeof(serial), "%016llx", (unsigned long long)board->serial);
		if (!strcasecmp(text, serial) || !strcasecmp(text, serial + 8))
			return true;
	}
	return !br_mac_is_zero(board->mac) && !br_mac_parse(text, &mac) && br_mac_equal(mac, board->mac);
}

/* Takes "/boot/BOARD/" or "/net_install/" off; NULL: it names somebody else. */
static const char *strip(const char *path, const struct br_board *board)
{
	static const char boot[] = "boot/", net_install[] = "net_install/";
	size_t n;

	path += strspn(path, "/");
	if (!strncmp(path, net_install, sizeof(net_install) - 1))
		return path + sizeof(net_install) - 1;
	if (strncmp(path, boot, sizeof(boot) - 1))
		return path;
	path += sizeof(boot) - 1;
	n = strcspn(path, "/");
	return board && path[n] && is_board(board, path, n) ? path + n + 1 : NULL;
}

static bool is_log_script(const char *path)
{
	return !strcmp(path + strspn(path, "/"), "bramble-log");
}

void br_glue_page(struct br_glue *glue, bool tls, uint16_t port)
{
	char ip[BR_IP_TEXT];
	int n = snprintf(glue->page_text, sizeof(glue->page_text), "Boot files only. The web page is at %s://%s:%u/\n", tls ? "https" : "http",
		br_ip_format(ip, glue->server_ip), port);

	glue->page.data = (const uint8_t *)glue->page_text;
	glue->page.len = n > 0 ? (size_t)n : 0;
}

/* What is ours and no board's. */
static bool open_own(const struct br_span *span, const char *name, int64_t board_id, struct br_http_file *file)
{
	if (!span->len)
		return false;
	file->spans = span;
	file->n_spans = 1;
	file->size = span->len;
	file->origin = "made";
	file->board_id = board_id;
	br_strcpy(file->path, sizeof(file->path), name);
	return true;
}

static int open_file(void *ctx, uint32_t ip, const char *path, struct br_http_file *file)
{
	struct br_glue_tftp *t = ctx;
	struct br_board board;
	bool known = br_glue_board_by_ip(t->glue, ip, &board) >= 0;
	const char *name = strip(path, known ? &board : NULL);
	struct br_glue_file f;
	int r;

	if (is_log_script(path) && open_own(&t->glue->log_script, "bramble-log", known ? board.id : 0, file))
		return 0;
	if (!strcmp(path, "/") && open_own(&t->glue->page, "page.txt", known ? board.id : 0, file))
		return 0;
	if (!name) {
		br_vis(file->path, sizeof(file->path), path, strlen(path));
		file->board_id = known ? board.id : 0;
		snprintf(file->reason, sizeof(file->reason), "is a path of another board, or of none");
		return -EACCES;
	}
	r = br_glue_file_open_for(t->glue, known ? &board : NULL, name, &f);
	*file = (struct br_http_file){
		.spans = f.bf.spans,
		.n_spans = f.bf.n_spans,
		.size = f.bf.size,
		.ref = f.ref,
		.unref = f.unref,
		.origin = f.bf.origin,
		.board_id = f.board_id,
		.boot = f.boot,
	};
	memcpy(file->path, f.path, sizeof(file->path));
	br_strcpy(file->reason, sizeof(file->reason), r == -EINPROGRESS ? "it is being made: ask again" : f.reason);
	if (r >= 0 && f.bf.size > SAFE_BOOTIMG && f.bf.origin && !strcmp(f.bf.origin, "made"))
		br_log_warning("%s: boot.img has %llu MB; not every firmware takes more than 96", known ? board.name : "-",
			(unsigned long long)f.bf.size / 1000000);
	return r;
}

static void release(void *ctx, struct br_http_file *file)
{
	if (file->unref)
		file->unref(file->ref);
	file->ref = NULL;
	file->unref = NULL;
}

static void report(void *ctx, const struct br_http_report *rep)
{
	static const char *const types[] = {
		[BR_HTTP_SENT] = BR_EV_FILE_SENT,
		[BR_HTTP_LOOKED] = BR_EV_FILE_PROBED,
		[BR_HTTP_MISSING] = BR_EV_FILE_MISSING,
		[BR_HTTP_FAILED] = BR_EV_FILE_FAILED,
	};
	struct br_glue_tftp *t = ctx;
	const struct br_http_file *f = rep->file;
	char ip[BR_IP_TEXT];
	json_t *fields;

	if (rep->outcome == BR_HTTP_PART) /* some clients take a file in many pieces: the last one is told */
		return;
	if (rep->outcome == BR_HTTP_SENT || rep->outcome == BR_HTTP_FAILED)
		br_turns_ended(t->glue->turns, f->board_id, rep->bytes, rep->duration_ns, rep->outcome == BR_HTTP_SENT);
	if (rep->outcome == BR_HTTP_SENT)
		br_glue_file_sent(t->glue, f->board_id, f->path);
	fields = json_pack("{s:s, s:s, s:s, s:s*}", "path", f->path, "ip", br_ip_format(ip, rep->ip), "via", "http",
		"reason", rep->reason);
	if (fields && (rep->outcome == BR_HTTP_SENT || rep->outcome == BR_HTTP_FAILED)) {
		json_object_set_new(fields, "bytes", json_integer((json_int_t)rep->bytes));
		json_object_set_new(fields, "ms", json_integer((json_int_t)(rep->duration_ns / BR_MS)));
	}
	if (fields && rep->first)
		json_object_set_new(fields, "first", json_integer((json_int_t)rep->first));
	if (fields && f->origin && rep->outcome == BR_HTTP_SENT)
		json_object_set_new(fields, "origin", json_string(f->origin));
	if (fields && rep->outcome == BR_HTTP_LOOKED)
		json_object_set_new(fields, "size", json_integer((json_int_t)f->size));
	br_event_emit(t->glue->fleet, f->board_id, f->boot, types[rep->outcome], fields);
}

static void progress(void *ctx, const struct br_http_file *file, uint64_t bytes)
{
	struct br_glue_tftp *t = ctx;

	br_turns_progress(t->glue->turns, file->board_id, bytes, file->size);
	if (t->progress)
		t->progress(t->progress_ctx, file->board_id, file->path, bytes, file->size);
}

const struct br_http_ops br_glue_http_ops = {
	.open = open_file,
	.release = release,
	.report = report,
	.progress = progress,
};

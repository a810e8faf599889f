/* SPDX-License-Identifier: Apache-2.0 */
/* What the TFTP server asks. Runs in its worker's thread. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/text.h"
#include "daemon/glue.h"
#include "fleet/event.h"

/* The plan of a client, a new reference; *board zero for one that is no board. */
static int client_plan(struct br_glue *glue, uint32_t ip, struct br_board *board, struct br_plan **ret)
{
	struct br_error err = BR_ERROR_NULL;

	if (br_glue_board_by_ip(glue, ip, board) < 0) {
		*board = (struct br_board){ 0 };
		return br_boots_anonymous(glue->boots, ret, &err) < 0 ? -ENOENT : 0;
	}
	if (!strcmp(board->road, "local"))
		return -ENOENT; /* the board is to boot from what it has */
	return br_boots_reach(glue->boots, board, BR_STAGE_FIRMWARE_FILES, ret, NULL, &err) < 0 ? -ENOENT : 0;
}

static int open_file(void *ctx, uint32_t ip, const char *name, struct br_tftp_file *file)
{
	struct br_glue_tftp *t = ctx;
	struct br_bootfile bf;
	struct br_board board;
	struct br_plan *plan;
	int r = client_plan(t->glue, ip, &board, &plan);

	*file = (struct br_tftp_file){ .board_id = board.id };
	br_vis(file->path, sizeof(file->path), name, strlen(name));
	if (r < 0)
		return r;
	file->boot = board.id ? br_plan_input(plan)->boot : 0;
	r = br_plan_bootfile(plan, name, &bf, file->path);
	if (r < 0) {
		br_plan_unref(plan);
		return r;
	}
	file->spans = bf.spans;
	file->n_spans = bf.n_spans;
	file->size = bf.size;
	file->projected = bf.projected;
	file->ref = plan;
	return 0;
}

static void release(void *ctx, struct br_tftp_file *file)
{
	br_plan_unref(file->ref);
	file->ref = NULL;
}

/* The names that the firmwares look for (wire notes 2.3); an image may choose others, which then count as files. */
static bool is_kernel(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	return (!strncasecmp(name, "kernel", 6) && br_str_ends(name, ".img")) || !strncasecmp(name, "vmlinuz", 7) ||
	       !strcasecmp(name, "Image") || !strcasecmp(name, "boot.img");
}

static void report(void *ctx, const struct br_tftp_report *rep)
{
	static const char *const types[] = {
		[BR_TFTP_SENT] = BR_EV_FILE_SENT,
		[BR_TFTP_PROBED] = BR_EV_FILE_PROBED,
		[BR_TFTP_MISSING] = BR_EV_FILE_MISSING,
		[BR_TFTP_REFUSED] = BR_EV_FILE_REFUSED,
		[BR_TFTP_FAILED] = BR_EV_FILE_FAILED,
	};
	struct br_glue_tftp *t = ctx;
	const struct br_tftp_file *f = rep->file;
	int64_t id = f ? f->board_id : 0;
	char ip[BR_IP_TEXT];
	struct br_board board;
	json_t *fields;

	if (rep->outcome == BR_TFTP_SENT && id && is_kernel(rep->path) && !br_board_by_id(t->glue->fleet, id, &board))
		br_boots_reach(t->glue->boots, &board, BR_STAGE_KERNEL_SENT, NULL, NULL, NULL);
	fields = json_pack("{s:s, s:s}", "path", rep->path, "ip", br_ip_format(ip, rep->ip));
	if (fields && (rep->outcome == BR_TFTP_SENT || rep->outcome == BR_TFTP_FAILED)) {
		json_object_set_new(fields, "bytes", json_integer((json_int_t)rep->bytes));
		json_object_set_new(fields, "ms", json_integer((json_int_t)(rep->duration_ns / BR_MS)));
		json_object_set_new(fields, "retransmits", json_integer(rep->retransmits));
	}
	if (fields && f && rep->outcome == BR_TFTP_SENT)
		json_object_set_new(fields, "origin", json_string(f->projected ? "projected" : "image"));
	if (fields && f && rep->outcome == BR_TFTP_PROBED)
		json_object_set_new(fields, "size", json_integer((json_int_t)f->size));
	if (fields && rep->reason)
		json_object_set_new(fields, "reason", json_string(rep->reason));
	br_event_emit(t->glue->fleet, id, f ? f->boot : 0, types[rep->outcome], fields);
}

static void progress(void *ctx, uint32_t ip, const struct br_tftp_file *file, uint64_t bytes)
{
	struct br_glue_tftp *t = ctx;

	if (t->progress)
		t->progress(t->progress_ctx, file->board_id, file->path, bytes, file->size);
}

const struct br_tftp_ops br_glue_tftp_ops = {
	.open = open_file,
	.release = release,
	.report = report,
	.progress = progress,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* What the TFTP server asks. Runs in its worker's thread. */
#include <string.h>

#include "base/clock.h"
#include "daemon/glue_file.h"
#include "daemon/turns.h"
#include "fleet/event.h"

/* Why the file that this thread looked for last is missing: the server reports that before it looks for another. */
static _Thread_local char missing_why[sizeof(((struct br_glue_file *)NULL)->reason)];

static int open_file(void *ctx, uint32_t ip, const char *name, struct br_tftp_file *file)
{
	struct br_glue_tftp *t = ctx;
	struct br_glue_file f;
	int r = br_glue_file_open(t->glue, ip, name, &f);

	memcpy(missing_why, f.reason, sizeof(missing_why));
	*file = (struct br_tftp_file){
		.spans = f.bf.spans,
		.n_spans = f.bf.n_spans,
		.size = f.bf.size,
		.origin = f.bf.origin,
		.ref = f.ref,
		.unref = f.unref,
		.board_id = f.board_id,
		.boot = f.boot,
	};
	memcpy(file->path, f.path, sizeof(file->path));
	return r;
}

static void release(void *ctx, struct br_tftp_file *file)
{
	if (file->unref)
		file->unref(file->ref);
	file->ref = NULL;
	file->unref = NULL;
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
	json_t *fields;

	if (rep->outcome == BR_TFTP_SENT || rep->outcome == BR_TFTP_FAILED)
		br_turns_ended(t->glue->turns, id, rep->bytes, rep->duration_ns, rep->outcome == BR_TFTP_SENT);
	if (rep->outcome == BR_TFTP_SENT)
		br_glue_file_sent(t->glue, id, rep->path);
	fields = json_pack("{s:s, s:s}", "path", rep->path, "ip", br_ip_format(ip, rep->ip));
	if (fields && (rep->outcome == BR_TFTP_SENT || rep->outcome == BR_TFTP_FAILED)) {
		json_object_set_new(fields, "bytes", json_integer((json_int_t)rep->bytes));
		json_object_set_new(fields, "ms", json_integer((json_int_t)(rep->duration_ns / BR_MS)));
		json_object_set_new(fields, "retransmits", json_integer(rep->retransmits));
	}
	if (fields && f && rep->outcome == BR_TFTP_SENT)
		json_object_set_new(fields, "origin", json_string(f->origin));
	if (fields && f && rep->outcome == BR_TFTP_PROBED)
		json_object_set_new(fields, "size", json_integer((json_int_t)f->size));
	if (fields && rep->reason)
		json_object_set_new(fields, "reason", json_string(rep->reason));
	else if (fields && rep->outcome == BR_TFTP_MISSING && missing_why[0])
		json_object_set_new(fields, "reason", json_string(missing_why));
	br_event_emit(t->glue->fleet, id, f ? f->boot : 0, types[rep->outcome], fields);
}

static void progress(void *ctx, uint32_t ip, const struct br_tftp_file *file, uint64_t bytes)
{
	struct br_glue_tftp *t = ctx;

	br_turns_progress(t->glue->turns, file->board_id, bytes, file->size);
	if (t->progress)
		t->progress(t->progress_ctx, file->board_id, file->path, bytes, file->size);
}

const struct br_tftp_ops br_glue_tftp_ops = {
	.open = open_file,
	.release = release,
	.report = report,
	.progress = progress,
};

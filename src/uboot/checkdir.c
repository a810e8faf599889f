/* SPDX-License-Identifier: Apache-2.0 */
#include "uboot/checkdir.h"

#include <fts.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "uboot/hush.h"
#include "uboot/script.h"

#define SCRIPT_MAX  (1u << 20)
#define FILES_MAX   10000 /* a directory with more is none of ours */
#define PROBLEMS_MAX 10

struct looking {
	struct br_text t;
	const char *path;
	unsigned n;
};

static void tell(void *ctx, const struct br_hush_problem *p)
{
	struct looking *l = ctx;

	if (l->n++ >= PROBLEMS_MAX)
		return;
	if (l->n > 1)
		br_text_add(&l->t, "; ");
	br_text_add_vis(&l->t, l->path, strlen(l->path));
	br_text_addf(&l->t, " line %u: %s%s", p->line, p->error ? "" : "warning: ", p->text);
}

static void look(struct looking *l, const FTSENT *e)
{
	char text_name[PATH_MAX];
	br_cleanup(br_freep) char *data = NULL;
	size_t len;
	bool fit, text = br_str_ends(e->fts_name, ".cmd");

	if (e->fts_info != FTS_F || e->fts_name[0] == '.' || e->fts_statp->st_size > SCRIPT_MAX ||
		(!text && !br_uboot_script_source(e->fts_name, text_name, sizeof(text_name), &fit)) ||
		br_file_read(e->fts_path, SCRIPT_MAX, &data, &len, NULL) < 0)
		return; /* what cannot be read is told of when a board's plan is made */
	if (!text && (br_uboot_script_is_image(data, len) || !br_hush_is_text(data, len)))
		return;
	l->path = e->fts_path;
	br_hush_check(data, len, tell, l, NULL);
}

char *br_uboot_check_dir(const char *dir)
{
	br_cleanup(br_freep) char *path = strdup(dir);
	struct looking l = { 0 };
	FTSENT *e;
	FTS *fts = path ? fts_open((char *[]){ path, NULL }, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL) : NULL;

	for (unsigned n = 0; fts && n < FILES_MAX && (e = fts_read(fts)); n++)
		look(&l, e);
	if (fts)
		fts_close(fts);
	if (l.n > PROBLEMS_MAX)
		br_text_addf(&l.t, "; and %u more", l.n - PROBLEMS_MAX);
	if (l.t.len)
		return br_text_take(&l.t);
	br_text_done(&l.t);
	return NULL;
}

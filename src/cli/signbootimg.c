/* SPDX-License-Identifier: Apache-2.0 */
/* bramble sign bootimg: boot.img of a directory, a stored image or a board, with its boot.sig. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/signopts.h"
#include "plan/bootimg.h"
#include "plan/overrides.h"
#include "plan/plan.h"

const char br_cli_sign_bootimg_help[] =
	"  WHAT               a directory with boot files, a stored image, or a board: then it is what the daemon serves it. Of one name\n"
	"                     the directory counts before the image, and the image before the board\n"
	"  -o, --output FILE  boot.img; with --key its boot.sig is written beside it\n"
	"  --model MODEL      4B, CM4, 5 ...: leaves out what only other models need, and says what is missing; a board has its own\n"
	BR_SIGN_KEY_HELP
	"  --target-soc SOC   put into boot.sig: 2711 or 2712\n"
	"A bare FAT file system named BOOT, one sector per cluster, all times the same: the same files give the same bytes. Over 128 MiB\n"
	"nothing is written, as no firmware takes it; over 96 MiB old firmware does not, over 20 MiB it loads slowly.\n";

struct job {
	struct br_sign_request *q;
	const struct br_pi_model *model; /* NULL: not said */
	const char *what;
	struct br_fatimage *img;
	struct br_override_set *set; /* of a directory: the files' bytes */
	struct br_overrides *dir;
	struct br_plan *plan;	     /* of a stored image */
};

static void job_done(struct job *j)
{
	br_fatimage_free(j->img);
	br_override_set_free(j->set);
	br_overrides_free(j->dir);
	br_plan_unref(j->plan);
}

/* The sentences of br_bootimg_missing(), one a line; they are cut up. */
static void report_missing(const struct job *j, struct br_text *words)
{
	for (char *line = words->buf, *next; line && *line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		br_cli_fail(BR_EXIT_OK, "%s: warning: a %s could not boot from it: %s", j->q->out, j->model->name, line);
	}
}

/* ---- a directory ---- */

static int pack_files(struct job *j, const char *config, struct br_error *err)
{
	struct br_fatimage_entry *entries = NULL;
	struct br_text words = BR_TEXT_NULL;
	const struct br_override *o;
	size_t n = 0, all = 0;
	int r;

	while (br_override_at(j->set, all))
		all++;
	if (!all)
		return br_error_set(err, ENOENT, "%s: there are no files in it", j->what);
	entries = calloc(all, sizeof(*entries));
	if (!entries)
		return br_error_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; (o = br_override_at(j->set, i)); i++)
		if (br_bootimg_needs(j->model ? j->model->soc : BR_SOC_UNKNOWN, o->path, config))
			entries[n++] = (struct br_fatimage_entry){ o->path, &o->span, 1, o->span.len };
	r = br_bootimg_pack(entries, n, &j->img, err);
	if (!r && j->model && br_bootimg_missing(j->model->soc, j->model, entries, n, config, &words))
		report_missing(j, &words);
	br_text_done(&words);
	free(entries);
	return r;
}

static int from_directory(struct job *j, struct br_error *err)
{
	br_cleanup(br_freep) char *path = realpath(j->what, NULL), *config = NULL;
	const struct br_override *c;
	const char *name;
	char *slash;
	int r;

	if (!path)
		return br_error_set(err, errno, "%s: %m", j->what);
	slash = strrchr(path, '/');
	name = slash + 1;
	if (!*name)
		return br_error_set(err, EINVAL, "the root directory is no directory of boot files");
	*slash = 0;
	r = br_overrides_new(*path ? path : "/", false, &j->dir, err);
	if (!r)
		r = br_overrides_read(j->dir, &name, 1, &j->set, err);
	if (r < 0)
		return r;
	if (br_override_set_problem(j->set))
		return br_error_set(err, EINVAL, "%s: %s", j->what, br_override_set_problem(j->set));
	c = br_override_find(j->set, "config.txt");
	config = c ? br_asprintf("%.*s", (int)c->span.len, (const char *)c->span.data) : NULL;
	return pack_files(j, config, err);
}

/* ---- a stored image ---- */

/* *ret_found false: no image has the name. */
static int from_image(struct job *j, struct br_store *store, bool *ret_found, struct br_error *err)
{
	struct br_plan_input in = { .disk = "volatile" };
	struct br_text words = BR_TEXT_NULL;
	struct br_image *image = NULL;
	int r = br_image_open(store, j->what, &image, err);

	*ret_found = r != -ENOENT;
	if (r < 0)
		return *ret_found ? r : 0;
	r = br_plan_base_new(image, &in.base, err);
	br_image_unref(image);
	if (!r && j->model)
		br_strcpy(in.board.model, sizeof(in.board.model), j->model->id);
	if (!r) {
		r = br_plan_new(&in, &j->plan, err);
		br_plan_base_unref(in.base);
	}
	if (!r)
		r = br_bootimg_new(j->plan, &j->img, err);
	if (!r && j->model) {
		r = br_bootimg_plan_missing(j->plan, &words, err);
		report_missing(j, &words);
	}
	br_text_done(&words);
	return r < 0 ? r : 0;
}

/* ---- a board ---- */

struct fetching {
	int fd;
	uint64_t size;
};

static int take_piece(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err)
{
	struct fetching *f = ctx;
	int r;

	f->size += n;
	if (f->size > BR_BOOTIMG_MAX)
		return br_error_set(err, EFBIG, "boot.img: more than 128 MiB, which no firmware takes");
	r = br_write_all(f->fd, data, n);
	return r < 0 ? br_error_set(err, -r, "%s", strerror(-r)) : 0;
}

static int fetch(struct job *j, int fd, struct br_error *err)
{
	br_cleanup(br_freep) char *name = br_client_escape(j->what);
	br_cleanup(br_freep) char *path = name ? br_asprintf("/v1/boards/%s/bootfile?name=boot.img", name) : NULL;
	struct fetching f = { .fd = fd };
	struct br_client *client = NULL;
	int r = path ? br_client_new(j->q->common.state, &client, err) : br_error_set(err, ENOMEM, "out of memory");

	if (!r)
		r = br_client_stream(client, path, take_piece, &f, err);
	br_client_free(client);
	return r;
}

/* ---- out ---- */

static int write_spans(const struct br_fatimage *img, int fd)
{
	size_t n;
	const struct br_span *spans = br_fatimage_spans(img, &n);
	int r = 0;

	for (size_t i = 0; !r && i < n; i++)
		r = br_write_all(fd, spans[i].data, spans[i].len);
	return r;
}

/* The bytes of boot.img, beside their place. */
static int make(struct job *j, struct br_sign_out *pair, struct br_error *err)
{
	br_cleanup(br_closep) int fd = -1;
	int r = br_sign_out_open(pair, j->q->out, &fd, err);

	if (r < 0 || !j->img)
		return r < 0 ? r : fetch(j, fd, err);
	r = write_spans(j->img, fd);
	return r < 0 ? br_error_set(err, -r, "%s: %s", j->q->out, strerror(-r)) : 0;
}

static void warn_of_size(const char *out, size_t len)
{
	char text[16];

	br_format_size(text, sizeof(text), len);
	if (len > BR_BOOTIMG_SAFE)
		br_cli_fail(BR_EXIT_OK, "%s: warning: %s; firmware before March 2022 takes 96 MiB at most, and EEPROMs before September 2025 "
			"cannot fetch so much over TFTP", out, text);
	else if (len > BR_BOOTIMG_LARGE)
		br_cli_fail(BR_EXIT_OK, "%s: note: %s; it loads slowly (--model leaves out what only other models need)", out, text);
}

/* boot.img and its boot.sig: both, or nothing under their names. */
static int write_out(struct job *j, const char *sig, struct br_rsakey *key, struct br_error *err)
{
	br_cleanup(br_freep) uint8_t *data = NULL;
	struct br_sign_out pair = { 0 };
	struct br_text text = BR_TEXT_NULL;
	size_t len = 0;
	int r = make(j, &pair, err);

	if (!r)
		r = br_sign_read(pair.files[0].tmp, &data, &len, err);
	if (!r && key)
		r = br_sign_sig_text(data, len, key, j->q->target_soc, &text, err);
	if (!r && key)
		r = br_sign_out_add(&pair, sig, text.buf, text.len, err);
	if (!r)
		r = br_sign_out_commit(&pair, err);
	if (!r)
		warn_of_size(j->q->out, len);
	if (!r && !key && !access(sig, F_OK))
		br_cli_fail(BR_EXIT_OK, "%s: warning: it is of an earlier boot.img and does not fit this one; --key makes a new one", sig);
	br_sign_out_done(&pair);
	br_text_done(&text);
	return r;
}

static int may_write(const struct br_sign_request *q, const char *sig, struct br_error *err)
{
	int r = 0;

	assert(q->out); /* the options' check */
	if (!strcmp(sig, q->out))
		r = br_error_set(err, EINVAL, "-o %s: boot.img's .sig would be written over it; give a name like boot.img", q->out);
	if (!r)
		r = br_sign_may_write_out(q, q->out, BR_SIGN_ANY, NULL, err);
	return r < 0 || !q->key.key ? r : br_sign_may_write_out(q, sig, BR_SIGN_SIG, NULL, err);
}

/* What the word names: a directory, else a stored image, else a board. */
static int gather(struct job *j, struct br_error *err)
{
	struct br_store *store = NULL;
	struct stat st;
	bool found = false;
	int r = 0;

	if (stat(j->what, &st) == 0 && S_ISDIR(st.st_mode))
		return from_directory(j, err);
	if (strchr(j->what, '/'))
		return br_error_set(err, ENOENT, "%s: no such directory", j->what);
	if (!br_common_store(&j->q->common, &store, NULL)) {
		r = from_image(j, store, &found, err);
		br_store_close(store);
	}
	if (r < 0 || found)
		return r;
	/* the daemon knows the boards: write_out() asks it */
	if (j->model)
		return br_error_set(err, EINVAL, "--model %s: '%s' is no directory and no stored image, and a board's own model counts ('bramble board "
			"edit BOARD --model')", j->q->model, j->what);
	return 0;
}

static int run(struct job *j, struct br_error *err)
{
	br_cleanup(br_freep) char *sig = br_sign_beside(j->q->out, ".sig");
	struct br_rsakey *key = NULL;
	int r;

	if (!sig)
		return br_error_set(err, ENOMEM, "out of memory");
	r = may_write(j->q, sig, err);
	if (!r && j->q->key.key) /* before anything is made: a wrong passphrase must leave the old pair as it is */
		r = br_sign_open_key(j->q, NULL, &key, err);
	if (!r && key && !br_rsakey_can_sign(key))
		r = br_error_set(err, ENOKEY, "%s: only the public key is there; signing needs the private one", j->q->key.key);
	if (!r)
		r = gather(j, err);
	if (!r)
		r = write_out(j, sig, key, err);
	br_rsakey_free(key);
	return r;
}

int br_cli_sign_bootimg(int argc, char **argv)
{
	struct br_sign_request q = { 0 };
	struct job j = { .q = &q };
	struct br_error err = BR_ERROR_NULL;
	int code = br_sign_options(argc, argv, "koms", 1, 1, "a directory, image or board", &q);
	int r;

	if (!code && !q.out)
		code = br_cli_usage("-o FILE is needed");
	if (!code && q.target_soc && !q.key.key)
		code = br_cli_usage("--target-soc goes into boot.sig: --key is needed");
	j.model = !code && q.model ? br_pi_model_by_id(q.model) : NULL;
	if (!code && q.model && !j.model)
		code = br_cli_usage("--model %s: no such model", q.model);
	if (!code) {
		j.what = argv[q.first_word];
		r = run(&j, &err);
		code = r < 0 ? br_cli_error(&err, r) : BR_EXIT_OK;
	}
	job_done(&j);
	br_sign_done(&q);
	return code;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* nfsload: many small files. Each goes through CREATE, WRITE (FILE_SYNC) and REMOVE, 'window' of them at once. */
#include "nfsload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct small {
	const struct nfsload_options *opt;
	struct nfsload_fh dir;
	char *data;
	uint32_t size;
	unsigned count, begun, done;
};

struct file {
	struct nfsload_client *c;
	char name[32];
	struct nfsload_fh fh;
};

static void on_removed(struct rpc_context *rpc, int status, void *data, void *ctx)
{
	struct file *f = ctx;
	struct nfsload_client *c = f->c;
	struct small *s = c->mode;

	nfsload_answered(c, status, data, NFS3_OK, "REMOVE");
	s->done++;
	c->ended = s->done == s->count;
	free(f);
}

static void on_written(struct rpc_context *rpc, int status, void *data, void *ctx)
{
	struct file *f = ctx;
	struct small *s = f->c->mode;
	const WRITE3res *res = data;
	REMOVE3args args = { .object = { nfsload_fh3(&s->dir), f->name } };

	nfsload_answered(f->c, status, data, NFS3_OK, "WRITE");
	if (res->WRITE3res_u.resok.committed == UNSTABLE)
		nfsload_die("%s: WRITE: not durable, as asked", f->c->address);
	nfsload_sent(f->c, rpc_nfs3_remove_async(f->c->rpc, on_removed, &args, f), "REMOVE");
}

static void on_created(struct rpc_context *rpc, int status, void *data, void *ctx)
{
	struct file *f = ctx;
	struct small *s = f->c->mode;
	const CREATE3res *res = data;
	WRITE3args args = { .count = s->size, .stable = FILE_SYNC, .data = { s->size, s->data } };

	nfsload_answered(f->c, status, data, NFS3_OK, "CREATE");
	nfsload_keep_fh(&f->fh, &res->CREATE3res_u.resok.obj.post_op_fh3_u.handle);
	args.file = nfsload_fh3(&f->fh);
	nfsload_sent(f->c, rpc_nfs3_write_async(f->c->rpc, on_written, &args, f), "WRITE");
}

static void small_next(struct nfsload_client *c)
{
	struct small *s = c->mode;

	while (s->begun < s->count && s->begun - s->done < s->opt->window) {
		struct file *f = calloc(1, sizeof(*f));
		CREATE3args args = { .where = { nfsload_fh3(&s->dir), f ? f->name : NULL }, .how = { .mode = GUARDED } };

		if (!f)
			nfsload_die("out of memory");
		f->c = c;
		snprintf(f->name, sizeof(f->name), "small-%u-%u", c->index, s->begun++);
		args.how.createhow3_u.g_obj_attributes.mode.set_it = 1;
		args.how.createhow3_u.g_obj_attributes.mode.set_mode3_u.mode = 0644;
		nfsload_sent(c, rpc_nfs3_create_async(c->rpc, on_created, &args, f), "CREATE");
	}
}

void nfsload_small(const struct nfsload_options *opt, int argc, char **argv)
{
	struct nfsload_client *clients = nfsload_mount(opt);
	struct small *all = calloc(opt->n_clients, sizeof(*all));
	unsigned count = (unsigned)atoi(argv[1]);
	uint32_t size = (uint32_t)atoi(argv[2]);
	char *data = calloc(1, size + 1);
	double seconds;

	if (!all || !data || !count)
		nfsload_die("no memory, or nothing to do");
	memset(data, 'x', size);
	for (unsigned i = 0; i < opt->n_clients; i++) {
		all[i] = (struct small){ .opt = opt, .data = data, .size = size, .count = count };
		if (!nfsload_walk(&clients[i], argv[0], &all[i].dir, NULL))
			nfsload_die("%s: no such directory", argv[0]);
		clients[i].mode = &all[i];
		clients[i].next = small_next;
	}
	seconds = nfsload_run(clients, opt->n_clients);
	printf("{\"seconds\": %.6f, \"files\": %u}\n", seconds, count * opt->n_clients);
	nfsload_close(clients, opt->n_clients);
	free(data);
	free(all);
}

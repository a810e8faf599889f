/* SPDX-License-Identifier: Apache-2.0 */
/* nfsload: large files, read and written in a row. */
#include "nfsload.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* One file in a row, by one client. */
struct row {
	const struct nfsload_options *opt;
	struct nfsload_fh fh;
	uint64_t size, at, n_answers;
	unsigned passes, every;
	const uint8_t *copy;
	bool committing;
	char verifier[NFS3_WRITEVERFSIZE];
};

struct piece { /* a call under way */
	struct nfsload_client *c;
	uint64_t at;
	uint32_t len;
};

static struct piece *piece_new(struct nfsload_client *c, struct row *row)
{
	struct piece *p = malloc(sizeof(*p));

	if (!p)
		nfsload_die("out of memory");
	p->c = c;
	p->at = row->at;
	p->len = row->size - row->at < row->opt->io_size ? (uint32_t)(row->size - row->at) : row->opt->io_size;
	return p;
}

static void on_read(struct rpc_context *rpc, int status, void *data, void *ctx)
{
	struct piece *p = ctx;
	struct row *row = p->c->mode;
	const READ3res *res = data;
	const READ3resok *ok = &res->READ3res_u.resok;

	nfsload_answered(p->c, status, data, NFS3_OK, "READ");
	if (ok->count != p->len || ok->data.data_len != p->len)
		nfsload_die("%s: READ at %llu: %u bytes instead of %u", p->c->address, (unsigned long long)p->at,
			ok->count, p->len);
	if (row->n_answers++ % row->every == 0 && memcmp(ok->data.data_val, row->copy + p->at, p->len))
		nfsload_die("%s: READ at %llu: other bytes than in the file", p->c->address,
			(unsigned long long)p->at);
	free(p);
}

static void read_next(struct nfsload_client *c)
{
	struct row *row = c->mode;

	while (c->n_waiting < row->opt->window && row->passes) {
		struct piece *p = piece_new(c, row);
		READ3args args = { nfsload_fh3(&row->fh), p->at, p->len };

		nfsload_sent(c, rpc_nfs3_read_async(c->rpc, on_read, &args, p), "READ");
		row->at += p->len;
		if (row->at >= row->size) {
			row->at = 0;
			row->passes--;
		}
	}
	c->ended = !row->passes;
}

static const uint8_t *map_copy(const char *path, uint64_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *p;

	if (fd < 0 || fstat(fd, &st) < 0 || (uint64_t)st.st_size != size)
		nfsload_die("%s: not a file of %llu bytes", path, (unsigned long long)size);
	p = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (p == MAP_FAILED)
		nfsload_die("%s: cannot be mapped", path);
	close(fd);
	return p;
}

void nfsload_read(const struct nfsload_options *opt, int argc, char **argv)
{
	struct nfsload_client *clients = nfsload_mount(opt);
	struct row *rows = calloc(opt->n_clients, sizeof(*rows));
	unsigned passes = (unsigned)atoi(argv[2]);
	const uint8_t *copy = NULL;
	double seconds;

	if (!rows || !passes)
		nfsload_die("no memory, or nothing to do");
	for (unsigned i = 0; i < opt->n_clients; i++) {
		rows[i] = (struct row){ .opt = opt, .passes = passes, .every = (unsigned)atoi(argv[3]) };
		if (!nfsload_walk(&clients[i], argv[0], &rows[i].fh, &rows[i].size))
			nfsload_die("%s: no such file", argv[0]);
		if (!copy)
			copy = map_copy(argv[1], rows[i].size);
		rows[i].copy = copy;
		clients[i].mode = &rows[i];
		clients[i].next = read_next;
	}
	seconds = nfsload_run(clients, opt->n_clients);
	printf("{\"seconds\": %.6f, \"bytes\": %" PRIu64 "}\n", seconds, rows[0].size * passes * opt->n_clients);
	nfsload_close(clients, opt->n_clients);
	free(rows);
}

/* ---- writing ---- */

static void on_write(struct rpc_context *rpc, int status, void *data, void *ctx)
{
	struct piece *p = ctx;
	struct row *row = p->c->mode;
	const WRITE3res *res = data;

	nfsload_answered(p->c, status, data, NFS3_OK, "WRITE");
	if (res->WRITE3res_u.resok.count != p->len)
		nfsload_die("%s: WRITE: %u of %u bytes", p->c->address, res->WRITE3res_u.resok.count, p->len);
	memcpy(row->verifier, res->WRITE3res_u.resok.verf, sizeof(row->verifier));
	free(p);
}

static void on_commit(struct rpc_context *rpc, int status, void *data, void *ctx)
{
	struct nfsload_client *c = ctx;
	struct row *row = c->mode;
	const COMMIT3res *res = data;

	nfsload_answered(c, status, data, NFS3_OK, "COMMIT");
	if (memcmp(row->verifier, res->COMMIT3res_u.resok.verf, sizeof(row->verifier)))
		nfsload_die("%s: COMMIT: the write verifier changed: the server lost data", c->address);
	c->ended = true;
}

static void write_next(struct nfsload_client *c)
{
	struct row *row = c->mode;

	while (c->n_waiting < row->opt->window && row->at < row->size) {
		struct piece *p = piece_new(c, row);
		WRITE3args args = { .file = nfsload_fh3(&row->fh),
			.offset = p->at,
			.count = p->len,
			.stable = UNSTABLE,
			.data = { p->len, (char *)(uintptr_t)row->copy + p->at % (64u << 20) } };

		nfsload_sent(c, rpc_nfs3_write_async(c->rpc, on_write, &args, p), "WRITE");
		row->at += p->len;
	}
	if (row->at >= row->size && !c->n_waiting && !row->committing) {
		COMMIT3args args = { .file = nfsload_fh3(&row->fh) };

		row->committing = true;
		nfsload_sent(c, rpc_nfs3_commit_async(c->rpc, on_commit, &args, c), "COMMIT");
	}
}

static void on_created(struct rpc_context *rpc, int status, void *data, void *ctx)
{
	struct nfsload_client *c = ctx;
	struct row *row = c->mode;
	const CREATE3res *res = data;

	nfsload_answered(c, status, data, NFS3_OK, "CREATE");
	if (!res->CREATE3res_u.resok.obj.handle_follows)
		nfsload_die("%s: CREATE without a handle", c->address);
	nfsload_keep_fh(&row->fh, &res->CREATE3res_u.resok.obj.post_op_fh3_u.handle);
}

/* Bytes of no pattern that a file system could shorten. */
static uint8_t *noise(size_t n)
{
	uint64_t x = 88172645463325252u, *p = malloc(n);

	if (!p)
		nfsload_die("out of memory");
	for (size_t i = 0; i < n / 8; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = x;
	}
	return (uint8_t *)p;
}

void nfsload_write(const struct nfsload_options *opt, int argc, char **argv)
{
	struct nfsload_client *clients = nfsload_mount(opt);
	struct row *rows = calloc(opt->n_clients, sizeof(*rows));
	uint8_t *data = noise((64u << 20) + opt->io_size);
	uint64_t size = strtoull(argv[1], NULL, 10);
	double seconds;

	if (!rows || !size)
		nfsload_die("no memory, or nothing to do");
	for (unsigned i = 0; i < opt->n_clients; i++) {
		struct nfsload_client *c = &clients[i];
		char name[256];
		CREATE3args args = { .where = { nfsload_fh3(&c->root), name } };

		snprintf(name, sizeof(name), "%s-%u", argv[0], i);
		args.how.createhow3_u.obj_attributes.mode.set_it = 1;
		args.how.createhow3_u.obj_attributes.mode.set_mode3_u.mode = 0644;
		rows[i] = (struct row){ .opt = opt, .size = size, .copy = data };
		c->mode = &rows[i];
		c->next = write_next;
		nfsload_sent(c, rpc_nfs3_create_async(c->rpc, on_created, &args, c), "CREATE");
		nfsload_wait(c);
	}
	seconds = nfsload_run(clients, opt->n_clients);
	printf("{\"seconds\": %.6f, \"bytes\": %" PRIu64 "}\n", seconds, size * opt->n_clients);
	nfsload_close(clients, opt->n_clients);
	free(data);
	free(rows);
}

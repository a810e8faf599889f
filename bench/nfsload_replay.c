/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nfsload: a board's boot again, from a trace (bench/nfstrace.py says what is in it). Calls go out in the trace's
 * order, as many at once as the kernel had under way. Handles come from the answers; what the kernel knew otherwise is
 * looked up. Blocks of files that were there before say which they are, and are checked.
 */
#include "nfsload.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK    4096u
#define WORDS    8
#define WRITE_MAX (1u << 20)

struct call {
	unsigned others;
	char op;
	int a, b; /* objects */
	char *name, *name2;
	uint64_t offset, number;
	unsigned stable;
};

struct trace {
	struct call *calls;
	unsigned n_calls, n_objects;
	int *parents; /* -1: not told; found in answers only */
	char **names;
	bool *checked;
	int *first, *sibling; /* what is in a directory, as a list; -1: the end */
};

struct state { /* of an object, as a client sees it */
	struct nfsload_fh fh;
	bool known;
	uint64_t cookie;
	char verifier[NFS3_COOKIEVERFSIZE];
};

struct boot {
	const struct trace *trace;
	struct nfsload_client *c;
	struct state *objects;
	unsigned next, n_calls;
	double start, seconds;
};

struct pending {
	struct boot *boot;
	const struct call *call;
	int object; /* to be known by the answer; -1: none */
};

static char zeros[WRITE_MAX];

/* ---- the trace ---- */

static char *unquoted(char *s)
{
	char *to = s, hex[3] = { 0 };

	for (char *p = s; *p; p++) {
		if (*p == '%' && isxdigit((unsigned char)p[1]) && isxdigit((unsigned char)p[2])) {
			hex[0] = p[1];
			hex[1] = p[2];
			*to++ = (char)strtoul(hex, NULL, 16);
			p += 2;
		} else {
			*to++ = *p;
		}
	}
	*to = 0;
	return strdup(s);
}

static void *grown(void *p, size_t size)
{
	p = realloc(p, size);
	if (!p)
		nfsload_die("out of memory");
	return p;
}

static int object_of(struct trace *t, const char *word)
{
	int n = word[0] == '-' ? -1 : atoi(word);

	if (n < -1 || n > 1 << 24)
		nfsload_die("trace: object %s", word);
	if (n >= (int)t->n_objects) {
		unsigned old = t->n_objects, new = (unsigned)n + 1024;

		t->parents = grown(t->parents, new * sizeof(*t->parents));
		t->names = grown(t->names, new * sizeof(*t->names));
		t->checked = grown(t->checked, new * sizeof(*t->checked));
		for (unsigned i = old; i < new; i++) {
			t->parents[i] = -1;
			t->names[i] = NULL;
			t->checked[i] = false;
		}
		t->n_objects = new;
	}
	return n;
}

static void add_object(struct trace *t, char **w)
{
	int n = object_of(t, w[1]);

	if (n < 0)
		nfsload_die("trace: an object without a number");
	t->parents[n] = object_of(t, w[2]);
	t->names[n] = unquoted(w[7]);
	t->checked[n] = atoi(w[6]) > 0;
}

/* w: others, op, and its words. */
static void add_call(struct trace *t, char **w, int n)
{
	struct call *x;

	t->calls = grown(t->calls, (t->n_calls + 1) * sizeof(*t->calls));
	x = &t->calls[t->n_calls++];
	*x = (struct call){ .others = (unsigned)atoi(w[0]), .op = w[1][0], .a = n > 2 ? object_of(t, w[2]) : 0, .b = -1 };
	if (strchr("LCMYN", x->op)) {
		x->name = unquoted(w[3]);
		x->b = object_of(t, w[4]);
		if (x->op != 'L' && x->b >= 0) {
			t->parents[x->b] = x->a;
			t->names[x->b] = x->name;
		}
		if (n > 5 && x->op == 'Y')
			x->name2 = unquoted(w[5]);
		else if (n > 5)
			x->number = strtoull(w[5], NULL, 10);
	} else if (strchr("UX", x->op)) {
		x->name = unquoted(w[3]);
	} else if (strchr("VH", x->op)) {
		bool rename = x->op == 'V';

		x->name = unquoted(w[rename ? 3 : 4]);
		x->b = object_of(t, w[rename ? 4 : 3]);
		x->name2 = rename ? unquoted(w[5]) : NULL;
	} else if (strchr("RW", x->op)) {
		x->offset = strtoull(w[3], NULL, 10);
		x->number = strtoull(w[4], NULL, 10);
		x->stable = n > 5 ? (unsigned)atoi(w[5]) : 0;
	} else if (x->op == 'D') {
		x->stable = !strcmp(w[3], "more");
	} else if (x->op == 'A') {
		x->number = 0x1f;
	} else if (x->op == 'S') {
		x->stable = (w[3][0] != '-') | (unsigned)(w[4][0] != '-') << 1;
		x->number = strtoull(w[3], NULL, 10);
		x->offset = strtoull(w[4], NULL, 10);
	}
	if (x->a < 0 || x->number > WRITE_MAX)
		nfsload_die("trace: call %u cannot be", t->n_calls);
}

static void load(struct trace *t, const char *path)
{
	FILE *f = fopen(path, "r");
	char line[8192];

	if (!f)
		nfsload_die("%s: cannot be opened", path);
	while (fgets(line, sizeof(line), f)) {
		char *w[WORDS + 2], *save = NULL, none[1] = ""; /* a word that is missing is empty */
		int n = 0;

		for (int i = 0; i < WORDS + 2; i++)
			w[i] = none;

		for (char *p = strtok_r(line, " \n", &save); p && n < WORDS + 1; p = strtok_r(NULL, " \n", &save))
			w[n++] = p;
		if (!n || w[0][0] == '#')
			continue;
		if (w[0][0] == 'o' && n >= WORDS)
			add_object(t, w);
		else if (n >= 2 && isdigit((unsigned char)w[0][0]))
			add_call(t, w, n);
		else
			nfsload_die("%s: a line that cannot be read", path);
	}
	fclose(f);
	if (!t->n_objects)
		nfsload_die("%s: no objects", path);
	t->first = malloc(t->n_objects * sizeof(*t->first));
	t->sibling = malloc(t->n_objects * sizeof(*t->sibling));
	if (!t->first || !t->sibling)
		nfsload_die("out of memory");
	for (unsigned i = 0; i < t->n_objects; i++)
		t->first[i] = t->sibling[i] = -1;
	for (unsigned i = 0; i < t->n_objects; i++) {
		if (t->parents[i] < 0 || !t->names[i])
			continue;
		t->sibling[i] = t->first[t->parents[i]];
		t->first[t->parents[i]] = (int)i;
	}
}

/* ---- answers ---- */

static void know(struct boot *b, int object, const nfs_fh3 *fh)
{
	if (object < 0)
		return;
	nfsload_keep_fh(&b->objects[object].fh, fh);
	b->objects[object].known = true;
}

static void check_blocks(struct boot *b, const struct call *x, const char *data, uint32_t n)
{
	if (!b->trace->checked[x->a] || x->offset % BLOCK)
		return;
	for (uint32_t at = 0; at + 16 <= n; at += BLOCK) {
		uint64_t mark[2];

		memcpy(mark, data + at, sizeof(mark));
		if (mark[0] != (uint64_t)x->a || mark[1] != (x->offset + at) / BLOCK)
			nfsload_die("%s: READ of %s: other bytes than in the file", b->c->address,
				b->trace->names[x->a]);
	}
}

static void on_listing(struct boot *b, const struct call *x, const READDIRPLUS3resok *ok)
{
	struct state *dir = &b->objects[x->a];
	const struct trace *t = b->trace;

	memcpy(dir->verifier, ok->cookieverf, sizeof(dir->verifier));
	for (const entryplus3 *e = ok->reply.entries; e; e = e->nextentry) {
		dir->cookie = e->cookie;
		if (!e->name_handle.handle_follows)
			continue;
		for (int i = t->first[x->a]; i >= 0; i = t->sibling[i])
			if (!b->objects[i].known && !strcmp(t->names[i], e->name))
				know(b, i, &e->name_handle.post_op_fh3_u.handle);
	}
}

static void take(struct pending *p, const void *data)
{
	const struct call *x = p->call;
	nfsstat3 status = *(const nfsstat3 *)data;
	bool want_none = x->op == 'L' && p->object < 0;

	if (status != (want_none ? NFS3ERR_NOENT : NFS3_OK))
		nfsload_die("%s: call %u of the trace (%c %d %s): status %d", p->boot->c->address,
			(unsigned)(x - p->boot->trace->calls) + 1, x->op, x->a, x->name ? x->name : "", (int)status);
	if (want_none)
		return;
	switch (x->op) {
	case 'R': {
		const READ3resok *ok = &((const READ3res *)data)->READ3res_u.resok;

		check_blocks(p->boot, x, ok->data.data_val, ok->data.data_len);
		break;
	}
	case 'D':
		on_listing(p->boot, x, &((const READDIRPLUS3res *)data)->READDIRPLUS3res_u.resok);
		break;
	case 'C':
	case 'M':
	case 'Y':
	case 'N': { /* the four have the same results */
		const CREATE3resok *ok = &((const CREATE3res *)data)->CREATE3res_u.resok;

		know(p->boot, p->object, &ok->obj.post_op_fh3_u.handle);
		break;
	}
	}
}

static void on_answer(struct rpc_context *rpc, int status, void *data, void *ctx)
{
	struct pending *p = ctx;

	nfsload_answered(p->boot->c, status, data, -1, "a call of the trace");
	take(p, data);
	free(p);
}

static void on_lookup(struct rpc_context *rpc, int status, void *data, void *ctx)
{
	struct pending *p = ctx;
	const LOOKUP3res *res = data;

	nfsload_answered(p->boot->c, status, data, -1, "LOOKUP");
	if (res->status == NFS3_OK && p->object >= 0)
		know(p->boot, p->object, &res->LOOKUP3res_u.resok.object);
	else if (p->object >= 0 || res->status != NFS3ERR_NOENT)
		nfsload_die("%s: LOOKUP of %s: status %d", p->boot->c->address,
			p->object >= 0 ? p->boot->trace->names[p->object] : p->call->name, (int)res->status);
	free(p);
}

/* ---- calls ---- */

static struct pending *pending_new(struct boot *b, const struct call *x, int object)
{
	struct pending *p = malloc(sizeof(*p));

	if (!p)
		nfsload_die("out of memory");
	*p = (struct pending){ b, x, object };
	b->n_calls++;
	return p;
}

static void look_up(struct boot *b, const struct call *x, int dir, char *name, int object)
{
	LOOKUP3args args = { .what = { nfsload_fh3(&b->objects[dir].fh), name } };

	nfsload_sent(b->c, rpc_nfs3_lookup_async(b->c->rpc, on_lookup, &args, pending_new(b, x, object)), "LOOKUP");
}

/* False: the handle is not there yet; what brings it is under way. */
static bool have(struct boot *b, const struct call *x, int object)
{
	if (object < 0 || b->objects[object].known)
		return true;
	if (b->c->n_waiting) /* an earlier call may bring it */
		return false;
	if (b->trace->parents[object] < 0 || !b->trace->names[object])
		nfsload_die("trace: nothing tells where object %d is", object);
	if (have(b, x, b->trace->parents[object]))
		look_up(b, x, b->trace->parents[object], b->trace->names[object], object);
	return false;
}

static sattr3 mode_attr(uint64_t mode)
{
	sattr3 attr = { 0 };

	attr.mode.set_it = 1;
	attr.mode.set_mode3_u.mode = (mode3)mode;
	return attr;
}

static int send_data(struct boot *b, const struct call *x, struct pending *p)
{
	struct rpc_context *rpc = b->c->rpc;
	nfs_fh3 fh = nfsload_fh3(&b->objects[x->a].fh);

	if (x->op == 'R') {
		READ3args args = { fh, x->offset, (count3)x->number };

		return rpc_nfs3_read_async(rpc, on_answer, &args, p);
	}
	if (x->op == 'W') {
		WRITE3args args = { fh, x->offset, (count3)x->number, (stable_how)x->stable,
			{ (u_int)x->number, zeros } };

		return rpc_nfs3_write_async(rpc, on_answer, &args, p);
	}
	COMMIT3args args = { .file = fh };

	return rpc_nfs3_commit_async(rpc, on_answer, &args, p);
}

static int send_new(struct boot *b, const struct call *x, struct pending *p)
{
	struct rpc_context *rpc = b->c->rpc;
	diropargs3 where = { nfsload_fh3(&b->objects[x->a].fh), x->name };
	sattr3 attr = mode_attr(x->number);

	if (x->op == 'C') {
		CREATE3args args = { .where = where, .how = { .mode = UNCHECKED } };

		args.how.createhow3_u.obj_attributes = attr;
		return rpc_nfs3_create_async(rpc, on_answer, &args, p);
	}
	if (x->op == 'M') {
		MKDIR3args args = { where, attr };

		return rpc_nfs3_mkdir_async(rpc, on_answer, &args, p);
	}
	if (x->op == 'Y') {
		SYMLINK3args args = { where, { attr, x->name2 } };

		args.symlink.symlink_attributes = mode_attr(0777);
		return rpc_nfs3_symlink_async(rpc, on_answer, &args, p);
	}
	MKNOD3args args = { where, { .type = NF3FIFO } };

	args.what.mknoddata3_u.pipe_attributes = attr;
	return rpc_nfs3_mknod_async(rpc, on_answer, &args, p);
}

static int send_names(struct boot *b, const struct call *x, struct pending *p)
{
	struct rpc_context *rpc = b->c->rpc;
	nfs_fh3 fh = nfsload_fh3(&b->objects[x->a].fh), other = { 0 };

	if (x->b >= 0)
		other = nfsload_fh3(&b->objects[x->b].fh);
	if (x->op == 'U') {
		REMOVE3args args = { .object = { fh, x->name } };

		return rpc_nfs3_remove_async(rpc, on_answer, &args, p);
	}
	if (x->op == 'X') {
		RMDIR3args args = { .object = { fh, x->name } };

		return rpc_nfs3_rmdir_async(rpc, on_answer, &args, p);
	}
	if (x->op == 'V') {
		RENAME3args args = { { fh, x->name }, { other, x->name2 } };

		return rpc_nfs3_rename_async(rpc, on_answer, &args, p);
	}
	LINK3args args = { fh, { other, x->name } };

	return rpc_nfs3_link_async(rpc, on_answer, &args, p);
}

static int send_setattr(struct boot *b, const struct call *x, struct pending *p)
{
	SETATTR3args args = { .object = nfsload_fh3(&b->objects[x->a].fh) };

	if (x->stable & 1)
		args.new_attributes = mode_attr(x->number);
	args.new_attributes.size.set_it = x->stable >> 1 & 1;
	args.new_attributes.size.set_size3_u.size = x->offset;
	args.new_attributes.mtime.set_it = SET_TO_SERVER_TIME;
	return rpc_nfs3_setattr_async(b->c->rpc, on_answer, &args, p);
}

static int send_listing(struct boot *b, const struct call *x, struct pending *p)
{
	struct state *dir = &b->objects[x->a];
	READDIRPLUS3args args = { .dir = nfsload_fh3(&dir->fh), .dircount = 8192, .maxcount = 65536 };

	if (x->stable) {
		args.cookie = dir->cookie;
		memcpy(args.cookieverf, dir->verifier, sizeof(args.cookieverf));
	}
	return rpc_nfs3_readdirplus_async(b->c->rpc, on_answer, &args, p);
}

static int send_look(struct boot *b, const struct call *x, struct pending *p)
{
	struct rpc_context *rpc = b->c->rpc;
	nfs_fh3 fh = nfsload_fh3(&b->objects[x->a].fh);
	uint32_t number = (uint32_t)x->number;

	switch (x->op) {
	case 'A':
		return rpc_nfs3_access_async(rpc, on_answer, &(ACCESS3args){ fh, number }, p);
	case 'K':
		return rpc_nfs3_readlink_async(rpc, on_answer, &(READLINK3args){ fh }, p);
	case 'F':
		return rpc_nfs3_fsstat_async(rpc, on_answer, &(FSSTAT3args){ fh }, p);
	case 'I':
		return rpc_nfs3_fsinfo_async(rpc, on_answer, &(FSINFO3args){ fh }, p);
	case 'P':
		return rpc_nfs3_pathconf_async(rpc, on_answer, &(PATHCONF3args){ fh }, p);
	default:
		return rpc_nfs3_getattr_async(rpc, on_answer, &(GETATTR3args){ fh }, p);
	}
}

static const struct {
	const char *ops;
	int (*send)(struct boot *b, const struct call *x, struct pending *p);
} senders[] = {
	{ "GAKFIP", send_look },
	{ "RWO", send_data },
	{ "CMYN", send_new },
	{ "UXVH", send_names },
	{ "S", send_setattr },
	{ "D", send_listing },
};

static void send_call(struct boot *b, const struct call *x)
{
	if (x->op == 'L') {
		look_up(b, x, x->a, x->name, x->b);
		return;
	}
	for (size_t i = 0; i < sizeof(senders) / sizeof(senders[0]); i++) {
		if (!strchr(senders[i].ops, x->op))
			continue;
		nfsload_sent(b->c, senders[i].send(b, x, pending_new(b, x, x->b)), "a call of the trace");
		return;
	}
	nfsload_die("trace: call %c is not known", x->op);
}

static void replay_next(struct nfsload_client *c)
{
	struct boot *b = c->mode;
	const struct trace *t = b->trace;

	while (b->next < t->n_calls) {
		const struct call *x = &t->calls[b->next];
		bool second = strchr("VH", x->op);

		if (c->n_waiting > x->others || !have(b, x, x->a) || (second && !have(b, x, x->b)))
			return;
		b->next++;
		send_call(b, x);
	}
	if (!c->n_waiting) {
		b->seconds = nfsload_seconds() - b->start;
		c->ended = true;
	}
}

void nfsload_replay(const struct nfsload_options *opt, int argc, char **argv)
{
	struct nfsload_client *clients = nfsload_mount(opt);
	struct boot *boots = calloc(opt->n_clients, sizeof(*boots));
	struct trace trace = { 0 };
	double start, seconds, longest = 0;

	load(&trace, argv[0]);
	start = nfsload_seconds();
	for (unsigned i = 0; boots && i < opt->n_clients; i++) {
		boots[i] = (struct boot){ .trace = &trace, .c = &clients[i], .start = start };
		boots[i].objects = calloc(trace.n_objects, sizeof(struct state));
		if (!boots[i].objects)
			nfsload_die("out of memory");
		boots[i].objects[0] = (struct state){ .fh = clients[i].root, .known = true };
		clients[i].mode = &boots[i];
		clients[i].next = replay_next;
	}
	seconds = nfsload_run(clients, opt->n_clients);
	for (unsigned i = 0; boots && i < opt->n_clients; i++)
		longest = boots[i].seconds > longest ? boots[i].seconds : longest;
	printf("{\"seconds\": %.6f, \"boots\": %u, \"longest\": %.6f, \"calls\": %u}\n", seconds, opt->n_clients, longest,
		boots ? boots[0].n_calls : 0);
	nfsload_close(clients, opt->n_clients);
}

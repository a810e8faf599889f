/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load for NFS servers, on libnfs: see usage below. Client k talks to the address behind the first one by k,
 * which is its own address too (all are on the loopback of a network namespace), so that a server that knows
 * clients by address sees as many of them as there are.
 */
#include "nfsload.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
	"usage: nfsload [-a ADDRESS] [-p NFS-PORT] [-m MOUNT-PORT] [-e EXPORT] [-c CLIENTS] [-w WINDOW] [-s IO-SIZE] MODE\n"
	"  read FILE COPY PASSES EVERY  each client reads FILE; every EVERYth answer is compared with the local COPY\n"
	"  small DIR COUNT SIZE         each client makes, fills and removes COUNT files in DIR, each step durable\n"
	"  write FILE BYTES             each client writes a file of its own, unstable, then COMMIT\n"
	"  replay TRACE                 each client mounts and does what the trace says\n";

void nfsload_die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("nfsload: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

double nfsload_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void nfsload_sent(struct nfsload_client *c, int r, const char *what)
{
	if (r)
		nfsload_die("%s: %s cannot be sent: %s", c->address, what, rpc_get_error(c->rpc));
	c->n_waiting++;
}

void nfsload_answered(struct nfsload_client *c, int status, const void *data, int want, const char *what)
{
	if (status != RPC_STATUS_SUCCESS)
		nfsload_die("%s: %s: %s", c->address, what, data ? (const char *)data : rpc_get_error(c->rpc));
	/* every result of NFSv3 begins with its status */
	if (want >= 0 && *(const nfsstat3 *)data != (nfsstat3)want)
		nfsload_die("%s: %s: status %d", c->address, what, (int)*(const nfsstat3 *)data);
	c->n_waiting--;
}

void nfsload_keep_fh(struct nfsload_fh *to, const nfs_fh3 *from)
{
	if (from->data.data_len > sizeof(to->data))
		nfsload_die("a file handle of %u bytes", from->data.data_len);
	to->len = from->data.data_len;
	memcpy(to->data, from->data.data_val, to->len);
}

static void turn(struct nfsload_client *clients, unsigned n)
{
	static struct pollfd fds[1024];

	for (unsigned i = 0; i < n; i++)
		fds[i] = (struct pollfd){ .fd = rpc_get_fd(clients[i].rpc),
			.events = (short)rpc_which_events(clients[i].rpc) };
	if (poll(fds, n, 60000) <= 0)
		nfsload_die("no answer from the server for a minute");
	for (unsigned i = 0; i < n; i++)
		if (fds[i].revents && rpc_service(clients[i].rpc, fds[i].revents) < 0)
			nfsload_die("%s: %s", clients[i].address, rpc_get_error(clients[i].rpc));
}

void nfsload_wait(struct nfsload_client *c)
{
	while (c->n_waiting)
		turn(c, 1);
}

double nfsload_run(struct nfsload_client *clients, unsigned n)
{
	double start = nfsload_seconds();
	bool more = true;

	while (more) {
		more = false;
		for (unsigned i = 0; i < n; i++) {
			if (!clients[i].ended)
				clients[i].next(&clients[i]);
			more |= !clients[i].ended || clients[i].n_waiting;
		}
		if (more)
			turn(clients, n);
	}
	return nfsload_seconds() - start;
}

/* ---- mount ---- */

static void on_connected(struct rpc_context *rpc, int status, void *data, void *ctx)
{
	nfsload_answered(ctx, status, data, -1, "connecting");
}

static void on_mounted(struct rpc_context *rpc, int status, void *data, void *ctx)
{
	struct nfsload_client *c = ctx;
	const mountres3 *res = data;

	nfsload_answered(c, status, data, -1, "MNT");
	if (res->fhs_status != MNT3_OK)
		nfsload_die("%s: MNT %s: status %d", c->address, c->export, (int)res->fhs_status);
	c->root.len = res->mountres3_u.mountinfo.fhandle.fhandle3_len;
	if (c->root.len > sizeof(c->root.data))
		nfsload_die("%s: a root handle of %u bytes", c->address, c->root.len);
	memcpy(c->root.data, res->mountres3_u.mountinfo.fhandle.fhandle3_val, c->root.len);
}

static void connect_to(struct nfsload_client *c, int port, int program)
{
	c->rpc = rpc_init_context();
	if (!c->rpc)
		nfsload_die("out of memory");
	rpc_set_uid(c->rpc, 0);
	rpc_set_gid(c->rpc, 0);
	nfsload_sent(c, rpc_connect_port_async(c->rpc, c->address, port, program, 3, on_connected, c), "connect");
	nfsload_wait(c);
}

void nfsload_connect(struct nfsload_client *c, const struct nfsload_options *opt)
{
	connect_to(c, opt->mount_port, MOUNT_PROGRAM);
	nfsload_sent(c, rpc_mount3_mnt_async(c->rpc, on_mounted, c->export, c), "MNT");
	nfsload_wait(c);
	rpc_destroy_context(c->rpc);
	connect_to(c, opt->nfs_port, NFS_PROGRAM);
}

struct nfsload_client *nfsload_mount(const struct nfsload_options *opt)
{
	struct nfsload_client *clients = calloc(opt->n_clients, sizeof(*clients));
	struct in_addr first;

	if (!clients || inet_pton(AF_INET, opt->address, &first) != 1)
		nfsload_die("address %s: not an IPv4 address", opt->address);
	for (unsigned i = 0; i < opt->n_clients; i++) {
		struct in_addr a = { htonl(ntohl(first.s_addr) + i) };
		struct nfsload_client *c = &clients[i];
		const char *number = strstr(opt->export, "%u");

		c->index = i;
		inet_ntop(AF_INET, &a, c->address, sizeof(c->address));
		if (number)
			snprintf(c->export, sizeof(c->export), "%.*s%u%s", (int)(number - opt->export), opt->export, i,
				number + 2);
		else
			snprintf(c->export, sizeof(c->export), "%s", opt->export);
		nfsload_connect(c, opt);
	}
	return clients;
}

void nfsload_close(struct nfsload_client *clients, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		rpc_destroy_context(clients[i].rpc);
	free(clients);
}

/* ---- lookup ---- */

struct found {
	struct nfsload_client *c;
	bool is;
	struct nfsload_fh *fh;
	uint64_t *size;
};

static void on_found(struct rpc_context *rpc, int status, void *data, void *ctx)
{
	struct found *f = ctx;
	const LOOKUP3res *res = data;

	nfsload_answered(f->c, status, data, -1, "LOOKUP");
	if (res->status != NFS3_OK && res->status != NFS3ERR_NOENT)
		nfsload_die("%s: LOOKUP: status %d", f->c->address, (int)res->status);
	f->is = res->status == NFS3_OK;
	if (!f->is)
		return;
	nfsload_keep_fh(f->fh, &res->LOOKUP3res_u.resok.object);
	if (f->size && res->LOOKUP3res_u.resok.obj_attributes.attributes_follow)
		*f->size = res->LOOKUP3res_u.resok.obj_attributes.post_op_attr_u.attributes.size;
}

bool nfsload_walk(struct nfsload_client *c, const char *path, struct nfsload_fh *ret, uint64_t *ret_size)
{
	struct nfsload_fh dir = c->root;
	char copy[1024], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *name = strtok_r(copy, "/", &save); name; name = strtok_r(NULL, "/", &save)) {
		struct nfsload_fh fh = { 0 };
		struct found found = { .c = c, .fh = &fh, .size = ret_size };
		LOOKUP3args args = { .what = { nfsload_fh3(&dir), name } };

		nfsload_sent(c, rpc_nfs3_lookup_async(c->rpc, on_found, &args, &found), "LOOKUP");
		nfsload_wait(c);
		if (!found.is)
			return false;
		dir = fh;
	}
	*ret = dir;
	return true;
}

static const struct {
	const char *name;
	int n_args;
	void (*run)(const struct nfsload_options *opt, int argc, char **argv);
} modes[] = {
	{ "read", 4, nfsload_read },
	{ "small", 3, nfsload_small },
	{ "write", 2, nfsload_write },
	{ "replay", 1, nfsload_replay },
};

int main(int argc, char **argv)
{
	struct nfsload_options opt = { .address = "127.0.0.1", .nfs_port = 2049, .mount_port = 20048, .export = "/",
		.n_clients = 1, .window = 4, .io_size = 1 << 20 };
	int o;

	/* libnfs takes a new buffer for each answer: without these every one would be fresh pages from the kernel, and
	 * the load would measure itself */
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, 512 << 20);
	while ((o = getopt(argc, argv, "a:p:m:e:c:w:s:h")) >= 0) {
		switch (o) {
		case 'a': opt.address = optarg; break;
		case 'p': opt.nfs_port = atoi(optarg); break;
		case 'm': opt.mount_port = atoi(optarg); break;
		case 'e': opt.export = optarg; break;
		case 'c': opt.n_clients = (unsigned)atoi(optarg); break;
		case 'w': opt.window = (unsigned)atoi(optarg); break;
		case 's': opt.io_size = (uint32_t)atoi(optarg); break;
		default: fputs(usage, stderr); return 2;
		}
	}
	if (opt.n_clients < 1 || opt.n_clients > 1000 || opt.window < 1 || opt.io_size < 1 || opt.io_size > 1 << 20) {
		fputs(usage, stderr);
		return 2;
	}
	for (size_t i = 0; optind < argc && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(modes[i].name, argv[optind]) || argc - optind - 1 != modes[i].n_args)
			continue;
		modes[i].run(&opt, modes[i].n_args, argv + optind + 1);
		return 0;
	}
	fputs(usage, stderr);
	return 2;
}

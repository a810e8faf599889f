/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel's NFS root in small. One call is under way at a time; a table says which one
 * comes after which, and where it goes. Replies are streamed: their beginning is kept,
 * the bytes of files are only counted and summed.
 */
#include "sim/nfsroot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/text.h"
#include "sim/tcp.h"
#include "wire/mount.h"
#include "wire/nfs3.h"
#include "wire/portmap.h"
#include "wire/rpc.h"
#include "wire/xdr.h"

#define ARP_NS	   BR_S /* and after that again, without end: Linux keeps asking */
#define CALL_NS	   (60 * BR_S) /* RFC 5531 leaves it open; Linux waits as long on TCP */
#define PORT_FIRST 665 /* reserved ones, as mountd wants them; Linux's own range */
#define PORT_LAST  1023
#define PMAP_PORT  111
#define HEAD_MAX   1280 /* of a reply: all of it but the bytes of a READ */
#define RECORD_MAX (2u << 20)
#define READ_SIZE  131072u
#define FILE_MAX   (4u << 20)
#define WAY_MAX  1024
#define MAX_LINKS  16

/* Linux tries to mount its root six times, with these pauses between (wire facts 4.2). */
static const uint8_t pauses_s[] = { 5, 10, 20, 30, 30 };

/* The first that is there is read: what a kernel starts, else what every system has. */
static const char *const files[] = { "sbin/init", "etc/os-release", "etc/hostname" };

enum call {
	CALL_MOUNT_PORT,
	CALL_MOUNT_NULL,
	CALL_MNT,
	CALL_NFS_PORT,
	CALL_NFS_NULL,
	CALL_FSINFO,
	CALL_LOOKUP,
	CALL_READLINK,
	CALL_READ,
	CALL_NONE, /* it is up */
};

struct handle {
	uint8_t b[BR_NFS3_FHSIZE];
	uint32_t len;
};

enum phase {
	IN_ARP,
	PAUSE, /* before the next try */
	TALKING,
	UP,
	DEAD,
};

struct br_sim_nfsroot {
	struct br_sim_stack stack;
	struct br_sim_tcp tcp;
	void (*done)(void *ctx, const struct br_sim_nfsroot_result *result);
	void *ctx;
	uint32_t server;
	char export[WAY_MAX];
	uint16_t ports[3]; /* of portmap, MOUNT, NFS; 0: to be asked for */
	uint16_t told_nfs_port; /* by port= */
	enum phase phase;
	enum call call;
	bool called; /* the call is on its way */
	uint64_t wake_ns;
	uint16_t port;
	uint32_t xid;
	unsigned n_tries, n_file, n_links;
	char rest[WAY_MAX]; /* of the way to the file */
	struct handle root, dir, node;
	uint64_t offset;
	uint32_t crc;
	/* the reply under way */
	uint8_t head[HEAD_MAX];
	uint8_t mark[BR_RPC_MARK_SIZE];
	size_t n_mark, len, got;
	bool complete, broken;
	const char *why;
};

static const struct {
	uint8_t to; /* index into ports */
	uint32_t program, version, procedure;
	const char *name;
} calls[] = {
	[CALL_MOUNT_PORT] = { 0, BR_RPC_PORTMAP, 2, BR_PORTMAP_GETPORT, "GETPORT of MOUNT" },
	[CALL_MOUNT_NULL] = { 1, BR_RPC_MOUNT, 3, BR_MOUNT_NULL, "MOUNT's NULL" },
	[CALL_MNT] = { 1, BR_RPC_MOUNT, 3, BR_MOUNT_MNT, "MNT" },
	[CALL_NFS_PORT] = { 0, BR_RPC_PORTMAP, 2, BR_PORTMAP_GETPORT, "GETPORT of NFS" },
	[CALL_NFS_NULL] = { 2, BR_RPC_NFS, 3, BR_NFS3_NULL, "NFS's NULL" },
	[CALL_FSINFO] = { 2, BR_RPC_NFS, 3, BR_NFS3_FSINFO, "FSINFO" },
	[CALL_LOOKUP] = { 2, BR_RPC_NFS, 3, BR_NFS3_LOOKUP, "LOOKUP" },
	[CALL_READLINK] = { 2, BR_RPC_NFS, 3, BR_NFS3_READLINK, "READLINK" },
	[CALL_READ] = { 2, BR_RPC_NFS, 3, BR_NFS3_READ, "READ" },
};

/* ---- the command line ---- */

/* The value of an argument, to the next space; NULL when it is not there. */
static const char *argument(const char *cmdline, const char *name, size_t *ret_len)
{
	size_t n = strlen(name);

	for (const char *p = cmdline; p && *p; p += strcspn(p, " ")) {
		p += strspn(p, " ");
		if (!strncmp(p, name, n)) {
			*ret_len = strcspn(p + n, " ");
			return p + n;
		}
	}
	return NULL;
}

bool br_sim_nfsroot_wanted(const char *cmdline)
{
	size_t n = 0;
	const char *root = argument(cmdline, "root=", &n);

	return root && n == 8 && !strncmp(root, "/dev/nfs", n) && argument(cmdline, "nfsroot=", &n);
}

/* "IP:PATH,port=2049,..." */
static int parse_root(struct br_sim_nfsroot *n, const char *cmdline)
{
	size_t len = 0;
	const char *v = argument(cmdline, "nfsroot=", &len);
	br_cleanup(br_freep) char *copy = v ? strndup(v, len) : NULL;
	char *rest = copy, *ip = rest ? strsep(&rest, ":") : NULL, *path = rest ? strsep(&rest, ",") : NULL, *option;
	uint64_t port;

	if (!path || br_ip_parse(ip, &n->server) < 0 || br_strcpy(n->export, sizeof(n->export), path) < 0)
		return -EINVAL;
	while (rest && (option = strsep(&rest, ",")))
		if (br_str_starts(option, "port=") && br_parse_u64(option + 5, 1, 65535, &port) == 0)
			n->told_nfs_port = (uint16_t)port;
	return 0;
}

struct br_sim_nfsroot *br_sim_nfsroot_new(const struct br_sim_stack *stack, const char *cmdline,
	void (*done)(void *ctx, const struct br_sim_nfsroot_result *result), void *ctx)
{
	struct br_sim_nfsroot *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->stack = *stack;
	n->stack.busy = false;
	n->done = done;
	n->ctx = ctx;
	br_random(&n->xid, sizeof(n->xid));
	br_random(&n->port, sizeof(n->port));
	n->port = (uint16_t)(PORT_FIRST + n->port % (PORT_LAST - PORT_FIRST));
	if (parse_root(n, cmdline) < 0)
		n->why = "nfsroot= is not IP:PATH"; /* told at the first step */
	else
		br_sim_stack_route(&n->stack, n->server);
	return n;
}

void br_sim_nfsroot_free(struct br_sim_nfsroot *n)
{
	free(n);
}

/* ---- success and failure ---- */

static void finish(struct br_sim_nfsroot *n, bool up, const char *why)
{
	struct br_sim_nfsroot_result r = { .up = up, .why = why, .file = n->n_file < BR_ARRAY_SIZE(files) ? files[n->n_file] : "",
		.bytes = n->offset, .crc = n->crc, .n_resent = n->tcp.n_resent, .n_tries = n->n_tries };

	n->phase = up ? UP : DEAD;
	n->call = CALL_NONE;
	n->done(n->ctx, &r);
}

/* The mount failed: Linux starts anew from the port mapper, after a pause, and panics in the end. */
static void fail(struct br_sim_nfsroot *n, uint64_t now_ns, const char *why)
{
	br_sim_tcp_abort(&n->tcp);
	n->why = why;
	if (n->n_tries == BR_ARRAY_SIZE(pauses_s)) {
		finish(n, false, why);
		return;
	}
	n->phase = PAUSE;
	n->wake_ns = now_ns + pauses_s[n->n_tries++] * BR_S;
}

static void begin(struct br_sim_nfsroot *n)
{
	n->phase = TALKING;
	n->call = CALL_MOUNT_PORT;
	n->called = false;
	n->ports[0] = PMAP_PORT;
	n->ports[1] = 0;
	n->ports[2] = n->told_nfs_port;
	n->n_file = 0;
	n->offset = 0;
	n->crc = 0;
}

/* ---- calls ---- */

static void put_handle(struct br_writer *w, const struct handle *h)
{
	br_nfs3_put_fh(w, h->b, h->len);
}

static void put_component(struct br_sim_nfsroot *n, struct br_writer *w)
{
	br_xdr_put_opaque(w, n->rest, strcspn(n->rest, "/"));
}

static void put_arguments(struct br_sim_nfsroot *n, struct br_writer *w)
{
	struct br_portmap_mapping m = { .program = n->call == CALL_NFS_PORT ? BR_RPC_NFS : BR_RPC_MOUNT, .version = 3,
		.protocol = BR_PORTMAP_TCP };

	switch (n->call) {
	case CALL_MOUNT_PORT:
	case CALL_NFS_PORT:
		br_portmap_put_mapping(w, &m);
		return;
	case CALL_MNT:
		br_xdr_put_string(w, n->export);
		return;
	case CALL_FSINFO:
		put_handle(w, &n->root);
		return;
	case CALL_LOOKUP:
		put_handle(w, &n->dir);
		put_component(n, w);
		return;
	case CALL_READLINK:
		put_handle(w, &n->node);
		return;
	case CALL_READ:
		put_handle(w, &n->node);
		br_put_be64(w, n->offset);
		br_put_be32(w, READ_SIZE);
		return;
	default:
		return;
	}
}

static void on_data(void *ctx, const uint8_t *p, size_t len);

static void connect_to(struct br_sim_nfsroot *n, uint64_t now_ns, uint16_t port)
{
	uint32_t iss;

	br_random(&iss, sizeof(iss));
	n->port = n->port == PORT_LAST ? PORT_FIRST : n->port + 1;
	br_sim_tcp_connect(&n->tcp, n->port, port, iss, now_ns, on_data, n);
}

static void send_segments(struct br_sim_nfsroot *n, uint64_t now_ns)
{
	uint8_t buf[BR_SIM_TCP_MAX];
	size_t len;

	while ((len = br_sim_tcp_poll(&n->tcp, now_ns, buf)))
		br_sim_stack_tcp(&n->stack, n->server, buf, len);
}

/* Linux has a connection for each service; here the one before is reset, since its work is done. */
static void start_call(struct br_sim_nfsroot *n, uint64_t now_ns)
{
	struct br_rpc_call call = { ++n->xid, calls[n->call].program, calls[n->call].version, calls[n->call].procedure,
		{ .flavor = BR_RPC_AUTH_SYS } };
	uint16_t port = n->ports[calls[n->call].to];
	uint8_t buf[BR_SIM_TCP_OUT];
	struct br_writer w = br_writer_of(buf, sizeof(buf));

	if (n->tcp.peer_port != port || n->tcp.state != BR_SIM_TCP_OPEN) {
		br_sim_tcp_abort(&n->tcp);
		send_segments(n, now_ns);
		connect_to(n, now_ns, port);
	}
	br_put_zeros(&w, BR_RPC_MARK_SIZE);
	br_rpc_put_call(&w, &call);
	put_arguments(n, &w);
	br_rpc_store_mark(buf, (uint32_t)(w.len - BR_RPC_MARK_SIZE), true);
	n->n_mark = n->got = 0;
	n->complete = n->broken = false;
	n->called = true;
	n->wake_ns = now_ns + CALL_NS;
	if (w.failed || br_sim_tcp_send(&n->tcp, buf, w.len) < 0)
		fail(n, now_ns, "a call did not fit into its buffer");
}

/* ---- replies ---- */

#define DATA_AT	       (BR_RPC_ACCEPTED_SIZE + 4 + 4 + 12) /* in a READ's reply without attributes */
#define STATUS_AT      BR_RPC_ACCEPTED_SIZE
#define ATTRIBUTES_AT  (STATUS_AT + 4)

/* The part of a READ's data within these bytes, which stand at 'at' of the record. */
static void sum_data(struct br_sim_nfsroot *n, size_t at, const uint8_t *p, size_t len)
{
	size_t from, end;

	if (n->call != CALL_READ || at + len <= DATA_AT || br_load_be32(n->head + STATUS_AT))
		return;
	from = DATA_AT + (br_load_be32(n->head + ATTRIBUTES_AT) ? BR_NFS3_FATTR_SIZE : 0);
	if (at + len <= from)
		return;
	end = from + br_load_be32(n->head + from - 4);
	from = from > at ? from : at;
	end = end < at + len ? end : at + len;
	if (from < end)
		n->crc = br_crc32c(n->crc, p + (from - at), end - from);
}

static void on_data(void *ctx, const uint8_t *p, size_t len)
{
	struct br_sim_nfsroot *n = ctx;

	while (len && !n->complete) {
		size_t k;
		bool last;

		if (n->n_mark < sizeof(n->mark)) {
			n->mark[n->n_mark++] = *p++;
			len--;
			n->len = br_rpc_load_mark(n->mark, &last);
			n->broken |= n->n_mark == sizeof(n->mark) && (!last || n->len > RECORD_MAX || n->len < STATUS_AT);
			n->complete |= n->broken;
			continue;
		}
		k = len < n->len - n->got ? len : n->len - n->got;
		if (n->got < HEAD_MAX)
			memcpy(n->head + n->got, p, k < HEAD_MAX - n->got ? k : HEAD_MAX - n->got);
		sum_data(n, n->got, p, k);
		n->got += k;
		p += k;
		len -= k;
		n->complete = n->got == n->len;
	}
}

static int get_handle(struct br_reader *r, struct handle *ret)
{
	struct br_nfs3_fh fh;

	if (br_nfs3_get_fh(r, &fh) < 0 || !fh.len)
		return -EBADMSG;
	memcpy(ret->b, fh.p, fh.len);
	ret->len = fh.len;
	return 0;
}

/* Optional attributes: their type, 0 when they are not there. */
static enum br_nfs3_type get_type(struct br_reader *r)
{
	struct br_nfs3_fattr attr;

	if (!br_get_be32(r) || br_nfs3_get_fattr(r, &attr) < 0)
		return 0;
	return attr.type;
}

static void start_way(struct br_sim_nfsroot *n)
{
	br_strcpy(n->rest, sizeof(n->rest), files[n->n_file]);
	n->dir = n->root;
	n->n_links = 0;
	n->call = CALL_LOOKUP;
}

static const char *take_port(struct br_sim_nfsroot *n, struct br_reader *r)
{
	uint32_t port = br_get_be32(r);

	if (r->failed || !port || port > 65535)
		return "the port mapper does not know the program";
	n->ports[n->call == CALL_MOUNT_PORT ? 1 : 2] = (uint16_t)port;
	n->call++;
	return NULL;
}

static const char *take_null(struct br_sim_nfsroot *n, struct br_reader *r)
{
	n->call++;
	return NULL;
}

static const char *take_mount(struct br_sim_nfsroot *n, struct br_reader *r)
{
	if (br_get_be32(r) != BR_MNT3_OK)
		return "MNT was refused";
	if (get_handle(r, &n->root) < 0)
		return "MNT gave no handle";
	n->call = n->ports[2] ? CALL_NFS_NULL : CALL_NFS_PORT; /* port= spares the question */
	return NULL;
}

static const char *take_fsinfo(struct br_sim_nfsroot *n, struct br_reader *r)
{
	if (br_get_be32(r) != BR_NFS3_OK)
		return "FSINFO failed";
	n->n_file = 0;
	start_way(n);
	return NULL;
}

/* What comes after a component that was found. */
static const char *go_on(struct br_sim_nfsroot *n, enum br_nfs3_type type)
{
	size_t used = strcspn(n->rest, "/");

	used += strspn(n->rest + used, "/");
	memmove(n->rest, n->rest + used, strlen(n->rest + used) + 1);
	if (type == BR_NF3LNK) {
		n->call = CALL_READLINK;
		return n->n_links++ < MAX_LINKS ? NULL : "too many symbolic links";
	}
	n->dir = n->node;
	if (*n->rest)
		return type == BR_NF3DIR ? NULL : "a part of the way is no directory";
	n->call = CALL_READ;
	n->offset = 0;
	n->crc = 0;
	return type == BR_NF3REG ? NULL : "the file to read is none";
}

static const char *take_lookup(struct br_sim_nfsroot *n, struct br_reader *r)
{
	uint32_t status = br_get_be32(r);

	if (status == BR_NFS3ERR_NOENT && n->n_file + 1 < BR_ARRAY_SIZE(files)) {
		n->n_file++;
		start_way(n);
		return NULL;
	}
	if (status != BR_NFS3_OK || get_handle(r, &n->node) < 0)
		return status == BR_NFS3ERR_NOENT ? "the root has neither /sbin/init nor /etc/hostname" : "LOOKUP failed";
	return go_on(n, get_type(r));
}

static const char *take_link(struct br_sim_nfsroot *n, struct br_reader *r)
{
	uint32_t status = br_get_be32(r), len = 0;
	char all[2 * WAY_MAX];
	const uint8_t *p;

	get_type(r);
	p = status == BR_NFS3_OK ? br_xdr_get_opaque(r, WAY_MAX - 1, &len) : NULL;
	if (!p || !len || memchr(p, 0, len))
		return "READLINK failed";
	snprintf(all, sizeof(all), "%.*s%s%s", (int)len, (const char *)p, *n->rest ? "/" : "", n->rest);
	if (*all == '/')
		n->dir = n->root;
	n->call = CALL_LOOKUP;
	return br_strcpy(n->rest, sizeof(n->rest), all + strspn(all, "/")) < 0 || !*n->rest ? "a symbolic link leads nowhere"
											      : NULL;
}

static const char *take_read(struct br_sim_nfsroot *n, struct br_reader *r)
{
	uint32_t status = br_get_be32(r), count;
	bool eof;

	get_type(r);
	count = br_get_be32(r);
	eof = br_get_be32(r);
	if (status != BR_NFS3_OK || r->failed || count > READ_SIZE || br_get_be32(r) != count)
		return "READ failed";
	n->offset += count;
	if (!count && !eof)
		return "READ gave nothing";
	if (eof || n->offset >= FILE_MAX)
		n->call = CALL_NONE;
	return NULL;
}

/* NULL, or why the mount failed. */
static const char *take_reply(struct br_sim_nfsroot *n)
{
	static const char *(*const by_call[])(struct br_sim_nfsroot *, struct br_reader *) = {
		[CALL_MOUNT_PORT] = take_port, [CALL_MOUNT_NULL] = take_null, [CALL_MNT] = take_mount,
		[CALL_NFS_PORT] = take_port, [CALL_NFS_NULL] = take_null, [CALL_FSINFO] = take_fsinfo,
		[CALL_LOOKUP] = take_lookup, [CALL_READLINK] = take_link, [CALL_READ] = take_read,
	};
	struct br_reader r = br_reader_of(n->head, n->len < HEAD_MAX ? n->len : HEAD_MAX);
	uint32_t xid = br_get_be32(&r), type = br_get_be32(&r), stat = br_get_be32(&r);
	uint64_t verifier = br_get_be64(&r);
	uint32_t accept = br_get_be32(&r);

	if (n->broken || r.failed || xid != n->xid || type != 1)
		return "the server's RPC reply is broken";
	if (stat || verifier || accept != BR_RPC_SUCCESS)
		return "the server refused an RPC call";
	n->called = false;
	return by_call[n->call](n, &r);
}

/* ---- the machine ---- */

static void talk(struct br_sim_nfsroot *n, uint64_t now_ns)
{
	const char *why = NULL;

	if (n->called && n->complete)
		why = take_reply(n);
	else if (n->called && (br_sim_tcp_peer_done(&n->tcp) || now_ns >= n->wake_ns))
		why = *n->tcp.why ? n->tcp.why : now_ns >= n->wake_ns ? "no reply within 60 s" : "the server closed the connection";
	if (why)
		fail(n, now_ns, why);
	else if (n->call == CALL_NONE)
		finish(n, true, "");
	else if (!n->called)
		start_call(n, now_ns);
	send_segments(n, now_ns);
}

void br_sim_nfsroot_step(void *ctx, uint64_t now_ns)
{
	struct br_sim_nfsroot *n = ctx;

	switch (n->phase) {
	case IN_ARP:
		if (!n->server)
			finish(n, false, n->why);
		else if (now_ns >= n->wake_ns) {
			br_sim_stack_arp_ask(&n->stack);
			n->wake_ns = now_ns + ARP_NS;
		}
		return;
	case PAUSE:
		if (now_ns < n->wake_ns)
			return;
		begin(n);
		talk(n, now_ns);
		return;
	case TALKING:
		talk(n, now_ns);
		return;
	case UP:
		send_segments(n, now_ns); /* acknowledgements */
		return;
	case DEAD:
		return;
	}
}

void br_sim_nfsroot_frame(void *ctx, uint64_t now_ns, const uint8_t *frame, size_t len, bool unsummed)
{
	struct br_sim_nfsroot *n = ctx;
	struct br_sim_datagram d;

	switch (br_sim_stack_input(&n->stack, frame, len, unsummed, &d)) {
	case BR_SIM_RX_HOP:
		if (n->phase == IN_ARP)
			begin(n);
		break;
	case BR_SIM_RX_SEGMENT:
		if (d.src_ip != n->server)
			return;
		br_sim_tcp_input(&n->tcp, now_ns, d.data, d.len);
		break;
	default:
		return;
	}
	br_sim_nfsroot_step(n, now_ns);
}

uint64_t br_sim_nfsroot_deadline(const void *ctx)
{
	const struct br_sim_nfsroot *n = ctx;
	uint64_t tcp = br_sim_tcp_deadline(&n->tcp);

	switch (n->phase) {
	case IN_ARP:
		return n->server ? n->wake_ns : 0;
	case PAUSE:
		return n->wake_ns;
	case TALKING:
		return !n->called ? 0 : tcp < n->wake_ns ? tcp : n->wake_ns;
	case UP:
		return tcp;
	case DEAD:
		return UINT64_MAX;
	}
	return UINT64_MAX;
}

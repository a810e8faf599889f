/* SPDX-License-Identifier: Apache-2.0 */
/* The later stages: RPC, HTTP, TLS; and the bootloader's own words. Each looks at single segments: the calls that
 * decide over a boot are small, and one that is split is only not seen. */
#include <string.h>

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/text.h"
#include "why/fold.h"
#include "wire/mount.h"
#include "wire/portmap.h"
#include "wire/rpc.h"

static void fold_call(struct br_why_facts *f, struct br_reader *r, uint64_t now)
{
	struct br_rpc_call call;
	struct br_portmap_mapping map;
	char path[BR_MOUNT_PATH_MAX + 1];

	if (br_rpc_get_call(r, &call) != 0)
		return;
	f->call.xid = call.xid;
	f->call.program = call.program;
	f->call.procedure = call.procedure;
	if (call.program == BR_RPC_MOUNT && call.procedure == BR_MOUNT_MNT) {
		br_why_count(&f->mnt, now);
		f->mnt_version = call.version;
		f->mnt_answered = false;
		if (!br_mount_get_path(r, path))
			br_vis(f->mnt_path, sizeof(f->mnt_path), path, strlen(path));
	} else if (call.program == BR_RPC_PORTMAP && call.version == 2 && call.procedure == BR_PORTMAP_GETPORT &&
		   !br_portmap_get_mapping(r, &map)) {
		f->no_port_program = map.program;
		f->no_port_version = map.version;
	}
}

static void fold_result(struct br_why_facts *f, struct br_reader *r, uint64_t now)
{
	uint32_t v = br_get_be32(r);

	if (r->failed)
		return;
	if (f->call.program == BR_RPC_PORTMAP && f->call.procedure == BR_PORTMAP_GETPORT) {
		if (!v)
			br_why_count(&f->no_port, now);
		else
			f->no_port = (struct br_why_span){ 0 };
	} else if (f->call.program == BR_RPC_MOUNT && f->call.procedure == BR_MOUNT_MNT) {
		f->mnt_status = v;
		f->mnt_answered = true;
		if (!v)
			br_why_count(&f->mounted, now);
	}
}

/* RFC 5531, 9: accepted or denied. */
static void fold_answer(struct br_why_facts *f, struct br_reader *r, uint64_t now)
{
	uint32_t stat, how;
	bool denied = br_get_be32(r) == 1;

	if (denied) {
		stat = br_get_be32(r);
		how = br_get_be32(r);
		if (r->failed)
			return;
		f->rpc_denied_how = stat == 1 ? 16 + (how & 15) : BR_RPC_PROG_MISMATCH;
		br_why_count(&f->rpc_denied, now);
		return;
	}
	br_get_be32(r); /* verifier: flavour, body */
	br_reader_take(r, (br_get_be32(r) + 3u) & ~3u);
	stat = br_get_be32(r);
	if (r->failed)
		return;
	if (stat == BR_RPC_SUCCESS) {
		fold_result(f, r, now);
	} else if (f->call.program != BR_RPC_NFSACL) { /* that one is asked for on trial (wire notes 4.2, 6) */
		f->rpc_denied_how = stat;
		br_why_count(&f->rpc_denied, now);
	}
}

void br_why_fold_rpc(struct br_why_facts *f, const uint8_t *data, size_t len, bool from_board, uint64_t now)
{
	struct br_reader r = br_reader_of(data, len);
	uint32_t xid, type;

	if (len < 12)
		return;
	if (from_board) {
		fold_call(f, &r, now);
		return;
	}
	xid = br_get_be32(&r);
	type = br_get_be32(&r);
	if (type == 1 && xid == f->call.xid)
		fold_answer(f, &r, now);
}

static struct br_why_port *port_of(struct br_why_facts *f, uint16_t port)
{
	static const uint16_t known[BR_WHY_PORTS] = { 111, 20048, 2049 };

	for (size_t i = 0; i < BR_WHY_PORTS; i++) {
		if (known[i] != port)
			continue;
		f->ports[i].port = port;
		return &f->ports[i];
	}
	return NULL;
}

static void fold_connection(struct br_why_port *p, const struct br_frame *fr, bool from_board, uint64_t now)
{
	if (from_board && (fr->tcp_flags & (BR_TCP_SYN | BR_TCP_ACK)) == BR_TCP_SYN) {
		p->ip = fr->dst_ip;
		br_why_count(&p->syn, now);
	} else if (!from_board && (fr->tcp_flags & BR_TCP_RST)) {
		br_why_count(&p->refused, now);
	} else if (!from_board && (fr->tcp_flags & BR_TCP_SYN)) {
		br_why_count(&p->open, now);
	}
}

static enum br_why_http http_of(const char *path)
{
	if (br_str_ends(path, "boot.sig"))
		return BR_WHY_HTTP_SIG;
	return br_str_ends(path, "boot.img") ? BR_WHY_HTTP_IMG : BR_WHY_HTTP_OTHER;
}

static void fold_http_request(struct br_why_facts *f, const struct br_frame *fr, uint64_t now)
{
	const char *line = (const char *)fr->payload;
	size_t skip = fr->len > 5 && !memcmp(line, "HEAD ", 5) ? 5 : fr->len > 4 && !memcmp(line, "GET ", 4) ? 4 : 0;
	size_t n = 0;
	char path[256];
	struct br_why_web *w;

	if (!skip)
		return;
	while (skip + n < fr->len && n < sizeof(path) - 1 && line[skip + n] > ' ')
		n++;
	memcpy(path, line + skip, n);
	path[n] = 0;
	f->web_last = (uint8_t)http_of(path);
	w = &f->web[f->web_last];
	br_vis(w->path, sizeof(w->path), path, n);
	br_why_count(skip == 5 ? &w->head : &w->get, now);
	w->status = 0;
}

static void fold_http_answer(struct br_why_facts *f, const struct br_frame *fr, uint64_t now)
{
	struct br_why_web *w = &f->web[f->web_last];
	const uint8_t *p = fr->payload;

	/* "HTTP/1.1 404 " */
	if (fr->len >= 12 && !memcmp(p, "HTTP/1.", 7) && p[9] >= '1' && p[9] <= '5') {
		w->status = (uint16_t)((p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0'));
		w->answered_ns = now;
	}
	if ((fr->tcp_flags & BR_TCP_FIN) && w->head.n && !w->get.n)
		br_why_count(&f->web_hung_up, now);
}

/* RFC 8446, 5.1: the type of a record is its first byte, 22 handshake, 21 alert. */
static void fold_tls(struct br_why_facts *f, const struct br_frame *fr, bool from_board, uint64_t now)
{
	if (!fr->len)
		return;
	if (fr->payload[0] == 22 && from_board)
		br_why_count(&f->tls, now);
	else if (fr->payload[0] == 21)
		br_why_count(&f->tls_alert, now);
}

void br_why_fold_tcp(struct br_why_facts *f, const struct br_frame *fr, bool from_board, uint64_t now)
{
	uint16_t service = from_board ? fr->dst_port : fr->src_port;
	struct br_why_port *p = port_of(f, service);

	if (p) {
		fold_connection(p, fr, from_board, now);
		if (fr->len > BR_RPC_MARK_SIZE && service != 2049)
			br_why_fold_rpc(f, fr->payload + BR_RPC_MARK_SIZE, fr->len - BR_RPC_MARK_SIZE, from_board, now);
		return;
	}
	if (service == 443)
		fold_tls(f, fr, from_board, now);
	else if (service == 80 && from_board)
		fold_http_request(f, fr, now);
	else if (service == 80)
		fold_http_answer(f, fr, now);
}

void br_why_fold_console(struct br_why_facts *f, const struct br_frame *fr, uint64_t now)
{
	/* what the bootloader says when something went wrong (wire notes 7.6) */
	static const char *const trouble[] = { "fail", "rror", "timeout", "not found", "too large", "Duplicate", "RX " };
	char text[BR_WHY_WORDS];
	size_t n = fr->len;
	bool bad = false;

	while (n && (fr->payload[n - 1] == '\n' || fr->payload[n - 1] == '\r' || !fr->payload[n - 1]))
		n--;
	br_vis(text, sizeof(text), fr->payload, n);
	for (size_t i = 0; i < BR_ARRAY_SIZE(trouble); i++)
		bad |= strstr(text, trouble[i]) != NULL;
	br_why_count(&f->console, now);
	if (!text[0] || (f->console_trouble && !bad))
		return;
	memcpy(f->console_words, text, sizeof(text));
	f->console_trouble = bad;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* One frame more: what it changes in what we know of a board. A table of protocols; each takes only what it needs. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "dhcp/classify.h"
#include "why/facts.h"
#include "why/fold.h"
#include "wire/dhcp.h"
#include "wire/tftp.h"

#define ROUND_NS (15 * BR_S)	/* three times what a firmware waits between two DISCOVERs (4 or 5 s) */
#define SILENCE_NS (300 * BR_S) /* longer than any round of a boot order: a new power-on */
#define STREAK_NS (5 * BR_S)	/* who gets no answer in ARP asks again after one or two seconds */
#define REPEAT_NS (6 * BR_S)	/* an RRQ that comes again so soon is the same one (the EEPROM repeats after 2 s) */

void br_why_count(struct br_why_span *s, uint64_t now_ns)
{
	if (!s->n++)
		s->first_ns = now_ns;
	s->last_ns = now_ns;
}

/* ---- lives -------------------------------------------------------------------------------------------------- */

bool br_why_is_fetched(const struct br_why_file *file)
{
	return file->n_sent || (file->good_ns > file->stopped_ns && file->good_ns > file->failed_ns);
}

static bool fetched(const struct br_why_facts *f, bool (*fits)(const char *name))
{
	for (size_t i = 0; i < BR_WHY_FILES; i++) {
		const struct br_why_file *file = &f->files[i];

		if (file->name[0] && br_why_is_fetched(file) && fits(file->name))
			return true;
	}
	return false;
}

static bool is_update(const char *name)
{
	return br_str_ends(name, "pieeprom.upd") || br_str_ends(name, "pieeprom.bin");
}

enum br_why_reached br_why_reached(const struct br_why_facts *f)
{
	if (f->mounted.n)
		return BR_WHY_MOUNTED;
	if (fetched(f, br_why_is_kernel) || f->dhcp[BR_DHCP_KERNEL].discover.n || f->dhcp[BR_DHCP_INITRAMFS].discover.n)
		return BR_WHY_KERNEL;
	if (f->rrq.n || f->web[BR_WHY_HTTP_SIG].get.n || f->web[BR_WHY_HTTP_IMG].get.n)
		return BR_WHY_FETCHED;
	for (size_t i = 0; i < BR_DHCP_N_KINDS; i++)
		if (f->dhcp[i].discover.n || f->dhcp[i].request.n)
			return BR_WHY_ASKED;
	return BR_WHY_HEARD;
}

/* What stays: who it is, and that it lived. */
static void begin_life(struct br_why_facts *f, uint64_t now)
{
	struct br_why_facts next = {
		.mac = f->mac, .guid = f->guid, .guid_was = f->guid_was, .ip = f->ip, .born_ns = now, .last_ns = now,
		.n_lives = f->n_lives,
	};

	memcpy(next.lives, f->lives, sizeof(next.lives));
	if (f->born_ns) {
		memmove(next.lives + 1, next.lives, (BR_WHY_LIVES - 1) * sizeof(next.lives[0]));
		next.lives[0] = (struct br_why_life){
			.start_ns = f->born_ns, .end_ns = f->last_ns, .reached = br_why_reached(f),
			.updated = fetched(f, is_update),
		};
		if (next.n_lives < BR_WHY_LIVES)
			next.n_lives++;
	}
	*f = next;
}

/* bootcode.bin and the ROM of a 3B+ ask in one form: what was fetched tells a second stage from a new power-on. */
static bool only_bootcode(const struct br_why_facts *f)
{
	for (size_t i = 0; i < BR_WHY_FILES; i++) {
		const char *name = f->files[i].name;

		if (name[0] && strcmp(name, "bootcode.bin") && strcmp(name, "bootsig.bin"))
			return false;
	}
	return true;
}

static bool begins_life(const struct br_why_facts *f, enum br_dhcp_client_kind kind, uint64_t now)
{
	enum br_why_reached reached = br_why_reached(f);
	uint64_t silent = now - f->last_ns;

	if (!br_dhcp_client_is_firmware(kind))
		return false;
	if (reached >= BR_WHY_KERNEL || f->dhcp[BR_DHCP_OS].request.n || f->dhcp[BR_DHCP_OS].discover.n)
		return true;
	if (kind == BR_DHCP_ROM) /* it asks five times, 5 s apart, and never again */
		return reached >= BR_WHY_FETCHED || (f->dhcp[kind].discover.n && silent > ROUND_NS);
	if (reached == BR_WHY_FETCHED)
		return kind == BR_DHCP_EEPROM ? silent > SILENCE_NS || fetched(f, is_update) :
			!only_bootcode(f) && f->dhcp[BR_DHCP_BOOTCODE].discover.n;
	return f->dhcp[kind].discover.n && silent > SILENCE_NS;
}

/* ---- DHCP --------------------------------------------------------------------------------------------------- */

static struct br_why_server *server_of(struct br_why_facts *f, uint32_t ip, uint64_t now)
{
	struct br_why_server *oldest = &f->servers[0];

	for (size_t i = 0; i < BR_WHY_SERVERS; i++) {
		struct br_why_server *s = &f->servers[i];

		if (s->ip == ip && (s->offer.n || s->ack.n || s->nak.n))
			return s;
		if (s->offer.last_ns < oldest->offer.last_ns)
			oldest = s;
	}
	*oldest = (struct br_why_server){ .ip = ip };
	return oldest;
}

static void note_guid(struct br_why_facts *f, const struct br_pi_guid *g)
{
	if (g->kind == BR_PI_GUID_FOREIGN)
		return;
	if (g->serial && f->guid.serial && g->serial != f->guid.serial)
		f->guid_was = f->guid.serial;
	if (g->serial || !f->guid.serial)
		f->guid = *g;
}

static void fold_asking(struct br_why_facts *f, const struct br_dhcp_message *m, uint64_t now)
{
	struct br_dhcp_client c;
	struct br_why_span *discover;

	br_dhcp_classify(m, &c);
	if (m->type == BR_DHCP_DISCOVER && (!f->born_ns || begins_life(f, c.kind, now)))
		begin_life(f, now);
	note_guid(f, &c.guid);
	f->kind = c.kind;
	f->xid = m->h.xid;
	discover = &f->dhcp[c.kind].discover;
	if (m->type == BR_DHCP_REQUEST)
		br_why_count(&f->dhcp[c.kind].request, now);
	if (m->type != BR_DHCP_DISCOVER)
		return;
	if (discover->n && now - discover->last_ns > ROUND_NS && br_dhcp_client_is_firmware(c.kind)) {
		f->n_rounds++;
		if (now - discover->last_ns > f->longest_ns)
			f->longest_ns = now - discover->last_ns;
	}
	br_why_count(discover, now);
}

/* What option 43 offers a Raspberry Pi: one item of its menu must hold these words (wire notes 1.4). */
static void note_menu(struct br_why_server *s, const struct br_dhcp_message *m)
{
	static const char words[] = "Raspberry Pi Boot";
	size_t n = 0;
	const uint8_t *menu = br_dhcp_option(m, BR_DHCP_OPT_VENDOR, &n);
	const uint8_t *at = menu ? memmem(menu, n, words, sizeof(words) - 1) : NULL;

	if (!menu)
		return;
	if (!at) {
		for (size_t i = 0; i + 1 < n && menu[i] != 255; i += menu[i + 1] + 2u)
			s->other_item |= menu[i] == 9;
		return;
	}
	at += sizeof(words) - 1;
	s->pi_item = true;
	s->padded |= (size_t)(menu + n - at) >= 3 && !memcmp(at, "   ", 3);
}

static void fold_offer(struct br_why_facts *f, struct br_why_server *s, const struct br_dhcp_message *m, size_t len,
	uint64_t now)
{
	uint64_t took = now - f->dhcp[f->kind].discover.last_ns;

	br_why_count(&s->offer, now);
	br_why_count(&f->dhcp[f->kind].offered, now);
	if (s->offer.n == 1 || took < s->fastest_ns)
		s->fastest_ns = took;
	if (m->h.yiaddr)
		s->yiaddr = m->h.yiaddr;
	s->tftp_name |= br_dhcp_has(m, BR_DHCP_OPT_TFTP_NAME);
	s->relayed |= m->h.giaddr != 0;
	s->small |= len < BR_DHCP_REPLY_MIN;
	note_menu(s, m);
	if (s->pi_item && (f->kind == BR_DHCP_UBOOT || f->kind == BR_DHCP_UEFI || f->kind == BR_DHCP_IPXE))
		br_why_count(&f->item_to_loader, now);
	if (f->kind != BR_DHCP_EEPROM && br_dhcp_client_is_firmware(f->kind) && m->h.yiaddr) {
		f->dhcp[f->kind].ip = m->h.yiaddr; /* taken without a REQUEST */
		f->ip = m->h.yiaddr;
	}
}

static void fold_reply(struct br_why_facts *f, const struct br_frame *fr, const struct br_dhcp_message *m, uint32_t us,
	uint64_t now)
{
	struct br_why_server *s = server_of(f, fr->src_ip, now);

	s->id = br_dhcp_option_ip(m, BR_DHCP_OPT_SERVER_ID);
	s->ours = fr->src_ip == us || s->id == us;
	if (m->type == BR_DHCP_OFFER) {
		fold_offer(f, s, m, fr->len, now);
	} else if (m->type == BR_DHCP_ACK) {
		br_why_count(&s->ack, now);
		br_why_count(&f->dhcp[f->kind].acked, now);
		if (m->h.yiaddr)
			f->dhcp[f->kind].ip = f->ip = m->h.yiaddr;
	} else if (m->type == BR_DHCP_NAK) {
		br_why_count(&s->nak, now);
		br_why_count(&f->nak, now);
		f->nak_by = s->id ? s->id : fr->src_ip;
		br_dhcp_option_text(m, BR_DHCP_OPT_MESSAGE, f->nak_words, sizeof(f->nak_words));
	}
}

static void fold_dhcp(struct br_why_facts *f, const struct br_frame *fr, bool from_board, uint32_t us, uint64_t now)
{
	struct br_dhcp_message m;

	if (br_dhcp_decode(fr->payload, fr->len, &m) < 0) {
		if (from_board)
			br_why_count(&f->garbage, now);
		return;
	}
	if (m.h.op == BR_DHCP_BOOTREQUEST)
		fold_asking(f, &m, now);
	else if (m.h.xid == f->xid)
		fold_reply(f, fr, &m, us, now);
}

/* ---- ARP, and the rest of layer 2 ---------------------------------------------------------------------------- */

static void fold_arp(struct br_why_facts *f, const struct br_frame *fr, bool from_board, uint32_t us, uint64_t now)
{
	struct br_why_arp *a = NULL, *oldest = &f->arps[0];
	bool asks = fr->arp_op == 1;
	uint32_t ip = asks ? fr->dst_ip : fr->src_ip;

	if (from_board) {
		f->we_ask = (struct br_why_span){ 0 };
		if (fr->src_ip)
			f->ip = fr->src_ip;
	} else if (asks) {
		if (fr->src_ip == us && f->ip && fr->dst_ip == f->ip)
			br_why_count(&f->we_ask, now);
		return;
	}
	/* left out: its answers, and announcements of its own address */
	if (from_board != asks || !ip || (asks && fr->dst_ip == fr->src_ip))
		return;
	for (size_t i = 0; i < BR_WHY_ARPS && !a; i++) {
		if (f->arps[i].ip == ip)
			a = &f->arps[i];
		else if (f->arps[i].asked.last_ns < oldest->asked.last_ns)
			oldest = &f->arps[i];
	}
	if (!a && !asks)
		return;
	if (!a) {
		a = oldest;
		*a = (struct br_why_arp){ .ip = ip };
	}
	if (asks)
		a->n_streak = a->asked.n && now - a->asked.last_ns < STREAK_NS ? a->n_streak + 1 : 1;
	else
		a->n_streak = 0;
	br_why_count(asks ? &a->asked : &a->answered, now);
}

static void fold_destination(struct br_why_facts *f, const struct br_frame *fr, uint64_t now)
{
	static const struct br_mac filler = { { 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa } };

	if (br_mac_equal(fr->dst, filler) || br_mac_is_zero(fr->dst))
		br_why_count(&f->nowhere, now);
}

/* ---- TFTP --------------------------------------------------------------------------------------------------- */

const char *br_why_base_name(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}

bool br_why_is_kernel(const char *name)
{
	name = br_why_base_name(name);
	return (!strncasecmp(name, "kernel", 6) && br_str_ends(name, ".img")) || !strncasecmp(name, "vmlinuz", 7) ||
	       !strcasecmp(name, "Image") || !strcasecmp(name, "boot.img");
}

struct br_why_file *br_why_file(struct br_why_facts *f, const char *name)
{
	char cut[BR_WHY_NAME];

	br_vis(cut, sizeof(cut), name, strlen(name));
	for (size_t i = 0; i < BR_WHY_FILES; i++)
		if (f->files[i].name[0] && !strcmp(f->files[i].name, cut))
			return &f->files[i];
	return NULL;
}

struct br_why_file *br_why_file_make(struct br_why_facts *f, const char *name)
{
	struct br_why_file *file = br_why_file(f, name), *oldest = &f->files[0];

	if (file || !name[0])
		return file;
	for (size_t i = 0; i < BR_WHY_FILES; i++) {
		if (!f->files[i].name[0]) {
			oldest = &f->files[i];
			break;
		}
		if (f->files[i].asked.last_ns < oldest->asked.last_ns)
			oldest = &f->files[i];
	}
	*oldest = (struct br_why_file){ 0 };
	br_vis(oldest->name, sizeof(oldest->name), name, strlen(name));
	return oldest;
}

static void fold_request(struct br_why_facts *f, const struct br_frame *fr, uint64_t now)
{
	struct br_tftp_request q;
	const struct br_tftp_opt *blksize;
	struct br_why_file *file;

	if (br_tftp_decode_request(fr->payload, fr->len, &q) < 0 || q.opcode != BR_TFTP_RRQ) {
		br_why_count(&f->garbage, now);
		return;
	}
	file = br_why_file_make(f, q.name);
	if (!file)
		return;
	if (file->asked.n && file->port == fr->src_port && now - file->asked.last_ns < REPEAT_NS &&
		f->last_file == (unsigned)(file - f->files) && file->n_sent + file->n_missing == 0)
		file->n_repeats++;
	br_why_count(&f->rrq, now);
	br_why_count(&file->asked, now);
	blksize = br_tftp_find_opt(&q.opts, BR_TFTP_OPT_BLKSIZE);
	file->port = fr->src_port;
	file->server_ip = fr->dst_ip;
	file->blksize = blksize ? (uint16_t)blksize->value : 0;
	f->last_file = (unsigned)(file - f->files);
	if (!f->ip)
		f->ip = fr->src_ip;
}

/* The file a datagram is about: the board uses one port per transfer. */
static struct br_why_file *file_by_port(struct br_why_facts *f, uint16_t port)
{
	struct br_why_file *newest = NULL;

	for (size_t i = 0; i < BR_WHY_FILES; i++) {
		struct br_why_file *file = &f->files[i];

		if (file->name[0] && file->port == port &&
			(!newest || file->asked.last_ns > newest->asked.last_ns))
			newest = file;
	}
	return newest;
}

static void fold_tftp(struct br_why_facts *f, const struct br_frame *fr, bool from_board, uint64_t now)
{
	struct br_why_file *file = file_by_port(f, from_board ? fr->src_port : fr->dst_port);
	struct br_tftp_opts opts;
	const struct br_tftp_opt *blksize;
	uint16_t code;
	char words[8];
	unsigned op = br_tftp_peek(fr->payload, fr->len);

	if (!file)
		return;
	if (!from_board)
		file->answered_ns = now;
	if (op == BR_TFTP_ERROR && !br_tftp_decode_error(fr->payload, fr->len, &code, words, sizeof(words))) {
		unsigned *n = from_board ? &file->n_stopped :
			code == BR_TFTP_ERR_NOT_FOUND ? &file->n_missing : &file->n_errors;

		(*n)++;
		if (from_board)
			file->stopped_ns = now;
	} else if (op == BR_TFTP_OACK && !from_board && !br_tftp_decode_oack(fr->payload, fr->len, &opts)) {
		blksize = br_tftp_find_opt(&opts, BR_TFTP_OPT_BLKSIZE);
		file->granted = blksize ? (uint16_t)blksize->value : 0;
		file->n_oack++;
		file->good_ns = now;
		file->n_missing = 0; /* it is there by now */
	} else if (op == BR_TFTP_DATA && !from_board && fr->len >= 4 && br_load_be16(fr->payload + 2) == 1) {
		/* the first block after an OACK is the same answer */
		if (!file->n_oack)
			file->n_data++;
		file->good_ns = now;
		file->n_missing = 0;
	}
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

static void fold_udp(struct br_why_facts *f, const struct br_frame *fr, bool from_board, uint32_t us, uint64_t now)
{
	uint16_t to = fr->dst_port, from = fr->src_port;

	if (to == 67 || to == 68)
		fold_dhcp(f, fr, from_board, us, now);
	else if (to == 69 && from_board)
		fold_request(f, fr, now);
	else if (to == 53 || from == 53)
		br_why_count(from_board ? &f->dns : &f->dns_answer, now);
	else if (to == 111 || from == 111)
		br_why_fold_rpc(f, fr->payload, fr->len, from_board, now);
	else if (from_board && (to == 6666 || from == 6665))
		br_why_fold_console(f, fr, now);
	else
		fold_tftp(f, fr, from_board, now);
}

void br_why_fold(struct br_why_facts *f, const struct br_frame *fr, bool from_board, uint32_t us, uint64_t now)
{
	if (!f->born_ns && from_board && !(fr->kind == BR_FRAME_UDP && fr->dst_port == 67))
		f->born_ns = now;
	switch (fr->kind) {
	case BR_FRAME_ARP:
		fold_arp(f, fr, from_board, us, now);
		break;
	case BR_FRAME_RARP:
		if (from_board)
			br_why_count(&f->rarp, now);
		break;
	case BR_FRAME_UDP:
		fold_udp(f, fr, from_board, us, now);
		break;
	case BR_FRAME_TCP:
		br_why_fold_tcp(f, fr, from_board, now);
		break;
	case BR_FRAME_UDP6:
		if (from_board && fr->dst_port == 547)
			br_why_count(&f->dhcp6, now);
		break;
	case BR_FRAME_ICMP6:
		if (from_board && fr->icmp6_type == 133)
			br_why_count(&f->router_ask, now);
		if (from_board && fr->icmp6_for_nobody)
			br_why_count(&f->for_nobody, now);
		break;
	default:
		break;
	}
	if (!from_board)
		return;
	fold_destination(f, fr, now);
	f->last_ns = now;
}

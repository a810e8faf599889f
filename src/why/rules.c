/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of symptoms (wire notes, section 5): predicates over facts, sentences, cures. The first rule that holds
 * wins; what is special stands before what is general. Rows 30, 35, 48 and 72 are normal and have no rule.
 */
#include "why/symptoms.h"

#include <string.h>

#include "base/clock.h"
#include "base/cleanup.h"
#include "base/text.h"

#define FOR_FIRMWARE(k) for (size_t k = 0; k < BR_DHCP_N_KINDS; k++) if (br_dhcp_client_is_firmware(k))

enum br_dhcp_client_kind br_case_firmware(const struct br_case *c)
{
	enum br_dhcp_client_kind kind = BR_DHCP_OTHER;
	uint64_t last = 0;

	FOR_FIRMWARE(k)
	{
		uint64_t t = c->f->dhcp[k].discover.last_ns;

		if (t > last) {
			last = t;
			kind = k;
		}
	}
	return kind;
}

static uint64_t quiet(const struct br_case *c)
{
	return br_case_age(c, c->f->last_ns);
}

bool br_case_transfers(const struct br_case *c)
{
	const struct br_why_file *f = &c->f->files[c->f->last_file];

	return c->f->rrq.n && f->good_ns > f->stopped_ns && f->good_ns >= f->asked.last_ns && f->done_ns < f->asked.last_ns && f->server_ip == c->in->server_ip;
}

/* Between two requests a firmware computes for some seconds at most; a kernel takes its time. */
static bool stuck(const struct br_case *c, uint64_t s)
{
	return quiet(c) > s * BR_S && !br_case_transfers(c);
}

const struct br_why_server *br_case_server(const struct br_case *c,
	bool (*fits)(const struct br_case *c, const struct br_why_server *s))
{
	for (size_t i = 0; i < BR_WHY_SERVERS; i++) {
		const struct br_why_server *s = &c->f->servers[i];

		if (s->offer.n && fits(c, s))
			return s;
	}
	return NULL;
}

static bool offers(const struct br_case *c, const struct br_why_server *s)
{
	return true;
}

/* Names us or anyone as TFTP server in the forms a Pi understands (wire notes 1.4). */
static bool usable(const struct br_case *c, const struct br_why_server *s)
{
	return s->tftp_name || s->pi_item;
}

static bool useless(const struct br_case *c, const struct br_why_server *s)
{
	return !usable(c, s);
}

static bool ours(const struct br_case *c, const struct br_why_server *s)
{
	return s->ours;
}

/* The firmware's DISCOVERs, asked at least n times and for s seconds, with no more than that. */
static bool asks_on(const struct br_case *c, unsigned n, uint64_t s)
{
	enum br_dhcp_client_kind k = br_case_firmware(c);
	const struct br_why_span *d = &c->f->dhcp[k].discover;

	return k != BR_DHCP_OTHER && d->n >= n && (d->last_ns - d->first_ns >= s * BR_S || br_case_age(c, d->last_ns) >= s * BR_S);
}

static bool is_3b_rom(const struct br_case *c)
{
	return br_case_firmware(c) == BR_DHCP_ROM && c->f->guid.kind == BR_PI_GUID_ROM_3B;
}

static const struct br_why_file *named(const struct br_case *c, const char *name,
	bool (*fits)(const struct br_why_file *f))
{
	for (size_t i = 0; i < BR_WHY_FILES; i++) {
		const struct br_why_file *f = &c->f->files[i];

		if (f->name[0] && fits(f) && (!name || !strcmp(br_why_base_name(f->name), name)))
			return f;
	}
	return NULL;
}

static bool was_asked(const struct br_why_file *f)
{
	return true;
}

static bool missing(const struct br_why_file *f)
{
	return f->n_missing && !f->n_sent;
}

static bool served(const struct br_why_file *f)
{
	return br_why_is_fetched(f);
}

static bool sent(const struct br_why_file *f)
{
	return f->n_sent > 0;
}

/* It was there: perhaps only looked at. */
static bool there(const struct br_why_file *f)
{
	return f->n_oack + f->n_data + f->n_sent + f->n_probed > 0;
}

static bool in_directory(const struct br_why_file *f)
{
	return strchr(f->name, '/') && missing(f);
}

static bool ends(const struct br_case *c, const char *end, bool (*fits)(const struct br_why_file *f),
	struct br_case *ret)
{
	for (size_t i = 0; i < BR_WHY_FILES; i++) {
		const struct br_why_file *f = &c->f->files[i];

		if (!f->name[0] || !br_str_ends(f->name, end) || !fits(f))
			continue;
		ret->file = f->name;
		return true;
	}
	return false;
}

/* ---- nothing, or only DHCP ----------------------------------------------------------------------------------- */

static bool no_link(struct br_case *c)
{
	return c->in->link_down;
}

static bool never_heard(struct br_case *c)
{
	return !c->in->heard;
}

static bool only_ipv6(struct br_case *c)
{
	return c->f->router_ask.n + c->f->dhcp6.n >= 2 && !c->f->rrq.n && br_case_age(c, c->f->born_ns) > 5 * BR_S;
}

static bool asks_nobody(struct br_case *c)
{
	c->n = c->f->for_nobody.n;
	return c->n >= 3;
}

static bool static_address(struct br_case *c)
{
	const struct br_why_arp *a = &c->f->arps[0];

	c->ip = c->f->ip;
	c->ip2 = a->ip;
	return a->n_streak >= 3 && !c->f->rrq.n && a->ip != c->in->server_ip;
}

static bool console_says(struct br_case *c)
{
	c->words = c->f->console_words;
	return c->f->console_trouble;
}

static bool console_rx(struct br_case *c)
{
	return console_says(c) && (strstr(c->words, "RX ") || strstr(c->words, "rx err"));
}

static bool twin(struct br_case *c)
{
	c->mac = c->in->twin;
	return !br_mac_is_zero(c->mac);
}

static bool other_serial(struct br_case *c)
{
	c->n = c->f->guid_was;
	return c->n != 0;
}

static bool not_ours(struct br_case *c)
{
	return c->in->dhcp && !c->in->name[0] && asks_on(c, 1, 0);
}

static bool no_image(struct br_case *c)
{
	return !c->in->image && !c->in->local;
}

static bool waits(struct br_case *c)
{
	c->n = c->in->waits_before;
	return c->in->waits;
}

static bool pool_empty(struct br_case *c)
{
	return c->in->dhcp_full_ns && !br_case_server(c, ours);
}

static bool nak(struct br_case *c)
{
	uint64_t acked = 0;

	for (size_t k = 0; k < BR_DHCP_N_KINDS; k++)
		if (c->f->dhcp[k].acked.last_ns > acked)
			acked = c->f->dhcp[k].acked.last_ns;
	c->ip = c->f->nak_by;
	c->words = c->f->nak_words[0] ? c->f->nak_words : "no reason given";
	return c->f->nak.n && acked < c->f->nak.last_ns && br_case_age(c, c->f->nak.first_ns) > 2 * BR_S;
}

static bool no_ack(struct br_case *c)
{
	for (size_t k = 0; k < BR_DHCP_N_KINDS; k++) {
		const struct br_why_span *req = &c->f->dhcp[k].request;

		c->n = req->n;
		if (req->n >= 2 && c->f->dhcp[k].offered.n && c->f->dhcp[k].acked.last_ns < req->first_ns &&
			br_case_age(c, req->first_ns) > 3 * BR_S)
			return true;
	}
	return false;
}

static bool not_relayed(const struct br_case *c, const struct br_why_server *s)
{
	return !s->relayed;
}

static bool relayed_rom(struct br_case *c)
{
	const struct br_why_server *s = br_case_server(c, offers);

	c->ip = s ? s->ip : 0;
	return s && is_3b_rom(c) && asks_on(c, 2, 4) && !br_case_server(c, not_relayed);
}

static bool padded_or_name(const struct br_case *c, const struct br_why_server *s)
{
	return s->padded || s->tftp_name;
}

static bool unpadded_rom(struct br_case *c)
{
	const struct br_why_server *s = br_case_server(c, usable);

	c->ip = s ? s->ip : 0;
	return s && is_3b_rom(c) && asks_on(c, 2, 4) && !br_case_server(c, padded_or_name);
}

static bool x86_item(const struct br_case *c, const struct br_why_server *s)
{
	return s->other_item && !s->pi_item;
}

static bool wrong_menu(struct br_case *c)
{
	const struct br_why_server *s = br_case_server(c, x86_item);

	c->ip = s ? s->ip : 0;
	return s && asks_on(c, 2, 3) && !br_case_server(c, usable);
}

static bool no_tftp_server(struct br_case *c)
{
	const struct br_why_server *s = br_case_server(c, useless);

	c->ip = s ? s->ip : 0;
	return s && asks_on(c, 2, 3) && !br_case_server(c, usable);
}

static bool two_servers(struct br_case *c)
{
	const struct br_why_server *first = NULL;

	for (size_t i = 0; i < BR_WHY_SERVERS; i++) {
		const struct br_why_server *s = &c->f->servers[i];

		if (!s->offer.n || !s->yiaddr)
			continue;
		if (first && first->yiaddr != s->yiaddr) {
			c->ip = first->ip;
			c->ip2 = s->ip;
			return true;
		}
		first = first ? first : s;
	}
	return false;
}

static bool two_servers_stuck(struct br_case *c)
{
	return asks_on(c, 3, 8) && two_servers(c);
}

static bool loader_got_item(struct br_case *c)
{
	enum br_dhcp_client_kind k = c->f->kind;

	return c->f->item_to_loader.n >= 2 && (k == BR_DHCP_UBOOT || k == BR_DHCP_UEFI || k == BR_DHCP_IPXE) &&
	       c->f->dhcp[k].discover.n >= 2;
}

static bool rom_3b_timing(struct br_case *c)
{
	const struct br_why_server *s = br_case_server(c, usable);

	c->n = c->f->dhcp[BR_DHCP_ROM].discover.n;
	c->ns = s ? s->fastest_ns : 0;
	return s && is_3b_rom(c) && asks_on(c, 3, 8) && s->fastest_ns < BR_S / 2;
}

static bool offer_lost(struct br_case *c)
{
	c->n = c->f->dhcp[BR_DHCP_EEPROM].discover.n;
	return br_case_firmware(c) == BR_DHCP_EEPROM && asks_on(c, 3, 8) && br_case_server(c, usable) &&
	       br_case_server(c, ours) && !c->f->dhcp[BR_DHCP_EEPROM].request.n;
}

static bool order_goes_round(struct br_case *c)
{
	c->ns = c->f->longest_ns;
	c->n = c->f->dhcp[BR_DHCP_EEPROM].discover.n;
	return br_case_firmware(c) == BR_DHCP_EEPROM && c->f->n_rounds >= 1 && !br_case_server(c, usable);
}

/* The other server's offers go to the board alone, past us; that it asks on says that they are not what it needs. */
static bool other_server_silent(struct br_case *c)
{
	c->n = c->f->dhcp[br_case_firmware(c)].discover.n;
	return !c->in->dhcp && asks_on(c, 3, 8) && !br_case_server(c, offers);
}

static bool nobody_offers(struct br_case *c)
{
	c->n = c->f->dhcp[br_case_firmware(c)].discover.n;
	return asks_on(c, 3, 8) && !br_case_server(c, offers);
}

static bool rom_alone(struct br_case *c)
{
	enum br_dhcp_client_kind k = br_case_firmware(c);

	c->n = c->f->dhcp[k].discover.n;
	c->ns = c->f->dhcp[k].discover.last_ns - c->f->dhcp[k].discover.first_ns;
	return (k == BR_DHCP_ROM || k == BR_DHCP_BOOTCODE) && quiet(c) > 20 * BR_S;
}

static bool crowd(struct br_case *c)
{
	c->n = (unsigned)c->in->n_booting;
	return c->n >= 20 && rom_alone(c) && br_case_server(c, usable) && (c->n = (unsigned)c->in->n_booting);
}

static bool after_warm_reboot(struct br_case *c)
{
	return c->f->garbage.n >= 2 && c->f->n_lives && c->f->lives[0].reached >= BR_WHY_MOUNTED &&
	       c->f->born_ns - c->f->lives[0].end_ns < 120 * BR_S;
}

static bool gone_silent(struct br_case *c)
{
	c->ns = quiet(c);
	return br_case_firmware(c) != BR_DHCP_OTHER && c->ns > 60 * BR_S;
}

/* ---- DHCP done, files not ------------------------------------------------------------------------------------- */

static bool to_nowhere(struct br_case *c)
{
	c->n = c->f->nowhere.n;
	return c->n >= 2;
}

bool br_sees_nobody_there(struct br_case *c)
{
	for (size_t i = 0; i < BR_WHY_ARPS; i++) {
		const struct br_why_arp *a = &c->f->arps[i];

		c->ip = a->ip;
		c->n = a->n_streak;
		if (a->ip && a->ip != c->in->server_ip && a->n_streak >= 3 && c->f->rrq.last_ns < a->asked.last_ns)
			return true;
	}
	return false;
}

static bool rom_after_arp(struct br_case *c)
{
	for (size_t i = 0; i < BR_WHY_ARPS; i++)
		if (c->f->arps[i].ip == c->in->server_ip && c->f->arps[i].answered.n && !c->f->rrq.n)
			return br_case_firmware(c) == BR_DHCP_ROM && quiet(c) > 10 * BR_S;
	return false;
}

static bool answers_lost(struct br_case *c)
{
	const struct br_why_file *f = &c->f->files[c->f->last_file];

	c->file = f->name;
	c->n = f->n_repeats + 1;
	return f->n_repeats >= 2 && f->answered_ns >= f->asked.first_ns && !f->n_stopped && !f->n_sent;
}

static bool never_answered(struct br_case *c)
{
	const struct br_why_file *f = &c->f->files[c->f->last_file];

	c->file = f->name;
	c->ip = f->server_ip;
	c->n = f->n_repeats + 1;
	return f->n_repeats >= 2 && !f->answered_ns && f->server_ip == c->in->server_ip;
}

static bool no_bootcode(struct br_case *c)
{
	return named(c, "bootcode.bin", missing);
}

static bool bootcode_again(struct br_case *c)
{
	const struct br_why_file *f = named(c, "bootcode.bin", served);

	for (size_t i = 0; f && i < BR_WHY_FILES; i++) {
		const char *name = br_why_base_name(c->f->files[i].name);

		if (name[0] && strcmp(name, "bootcode.bin") && strcmp(name, "bootsig.bin"))
			return false;
	}
	c->n = f ? f->asked.n : 0;
	return f && f->asked.n - f->n_repeats >= 3;
}

static bool bootcode_stops(struct br_case *c)
{
	const struct br_why_file *f = named(c, "bootcode.bin", served);
	const struct br_why_span *d = &c->f->dhcp[BR_DHCP_BOOTCODE].discover;

	c->n = d->n;
	return f && d->last_ns > c->f->rrq.last_ns && d->last_ns > f->asked.last_ns &&
	       br_case_age(c, c->f->rrq.last_ns) > 10 * BR_S;
}

/* start.elf and its variants, what a board before the Pi 5 tests for; for a Pi 5 its config.txt. */
static bool is_start(const char *name)
{
	name = br_why_base_name(name);
	return br_str_starts(name, "start") && br_str_ends(name, ".elf");
}

static bool is_test(const struct br_case *c, const char *name)
{
	bool five = c->f->guid.generation == 5;

	return five ? !strcmp(br_why_base_name(name), "config.txt") : is_start(name);
}

/* Missing in the board's directory and in the root as well; words: the name. */
static bool no_boot_files(struct br_case *c)
{
	const char *gone = NULL;

	for (size_t i = 0; i < BR_WHY_FILES; i++) {
		const struct br_why_file *f = &c->f->files[i];

		if (!f->name[0] || !is_test(c, f->name))
			continue;
		if (there(f))
			return false;
		if (missing(f))
			gone = br_why_base_name(f->name);
	}
	c->words = gone;
	for (size_t i = 0; gone && i < BR_WHY_FILES; i++)
		if (strchr(c->f->files[i].name, '/') && is_test(c, c->f->files[i].name))
			c->file = c->f->files[i].name;
	if (!c->file)
		c->file = gone;
	return gone && br_case_age(c, c->f->rrq.last_ns) > BR_S;
}

static bool root_instead(struct br_case *c)
{
	const struct br_why_file *f = NULL;

	for (size_t i = 0; i < BR_WHY_FILES; i++) {
		if (!is_test(c, c->f->files[i].name) || strchr(c->f->files[i].name, '/'))
			continue;
		if (there(&c->f->files[i]))
			f = &c->f->files[i];
	}
	for (size_t i = 0; f && i < BR_WHY_FILES; i++) {
		if (!is_test(c, c->f->files[i].name) || !in_directory(&c->f->files[i]))
			continue;
		c->file = c->f->files[i].name;
		return stuck(c, 15);
	}
	return false;
}

/* All or nothing: the directory was taken, so nothing comes from the root any more. */
static bool directory_incomplete(struct br_case *c)
{
	bool prefix = false;

	for (size_t i = 0; i < BR_WHY_FILES; i++) {
		const struct br_why_file *f = &c->f->files[i];

		prefix |= strchr(f->name, '/') && is_test(c, f->name) && there(f);
		if (strchr(f->name, '/') && br_why_is_kernel(f->name) && there(f))
			return false;
	}
	if (!prefix || !stuck(c, 10))
		return false;
	for (size_t i = 0; i < BR_WHY_FILES; i++) {
		const struct br_why_file *f = &c->f->files[i];

		if (!strchr(f->name, '/') || !br_why_is_kernel(f->name) || !missing(f))
			continue;
		c->file = f->name;
	}
	return c->file != NULL;
}

static bool start_refused(struct br_case *c)
{
	for (size_t i = 0; i < BR_WHY_FILES; i++) {
		const struct br_why_file *f = &c->f->files[i];

		c->file = f->name;
		c->n = f->n_stopped;
		if (is_start(f->name) && f->n_stopped >= 3 && !br_why_is_fetched(f))
			return true;
	}
	return false;
}

static bool image_stopped(struct br_case *c)
{
	const struct br_why_file *f = named(c, "boot.img", there);

	c->file = f ? f->name : NULL;
	return f && f->n_stopped && !br_why_is_fetched(f) && !named(c, "boot.sig", was_asked) && stuck(c, 5);
}

static bool no_signature(struct br_case *c)
{
	return ends(c, "boot.img", served, c) && ends(c, "boot.sig", missing, c);
}

static bool no_kernel(struct br_case *c)
{
	bool any = false;

	for (size_t i = 0; i < BR_WHY_FILES; i++) {
		const struct br_why_file *f = &c->f->files[i];

		if (!f->name[0] || !br_why_is_kernel(f->name) || br_str_starts(br_why_base_name(f->name), "boot"))
			continue;
		if (there(f))
			return false;
		any = true;
		c->file = f->name;
	}
	if (any)
		return stuck(c, 5);
	c->file = "config.txt";
	return c->f->guid.generation == 5 && named(c, "config.txt", there) && stuck(c, 10);
}

static bool recovery(struct br_case *c)
{
	return (ends(c, "recovery.elf", sent, c) || ends(c, "recover4.elf", sent, c)) && stuck(c, 5);
}

static bool updates_again(struct br_case *c)
{
	c->n = 0;
	for (unsigned i = 0; i < c->f->n_lives; i++)
		c->n += c->f->lives[i].updated;
	return c->n >= 2;
}

static bool updated(struct br_case *c)
{
	return c->f->n_lives && c->f->lives[0].updated && br_case_age(c, c->f->born_ns) < 60 * BR_S;
}

static const struct br_why_file *failed(struct br_case *c)
{
	for (size_t i = 0; i < BR_WHY_FILES; i++) {
		const struct br_why_file *f = &c->f->files[i];

		c->file = f->name;
		c->ns = f->ms * BR_MS;
		c->n = f->granted ? f->granted : 512;
		if (f->name[0] && f->n_failed && !f->n_sent)
			return f;
	}
	return NULL;
}

static bool counter_ends(struct br_case *c)
{
	const struct br_why_file *f = failed(c);

	return f && f->bytes / c->n >= 65534 && f->bytes / c->n <= 65536;
}

static bool too_big_for_path(struct br_case *c)
{
	const struct br_why_file *f = failed(c);

	return f && c->n > 1024 && f->retransmits && f->bytes < 4u * c->n && named(c, NULL, sent);
}

static bool too_slow(struct br_case *c)
{
	const struct br_why_file *f = failed(c);

	return f && f->ms >= 25000;
}

static bool deaf_to_arp(struct br_case *c)
{
	c->n = c->f->we_ask.n;
	return c->n >= 3 && c->f->guid.kind != BR_PI_GUID_STRUCTURED && quiet(c) > 2 * BR_S;
}

static bool old_kernel_name(struct br_case *c)
{
	const struct br_why_file *k = named(c, "kernel.img", was_asked);
	const struct br_why_file *better = named(c, "kernel8.img", there);

	if (!better)
		better = named(c, "kernel7.img", there);
	c->file = better ? better->name : NULL;
	return k && better && better->n_failed && !better->n_sent;
}

static bool small_blocks(struct br_case *c)
{
	unsigned plain = 0;

	for (size_t i = 0; i < BR_WHY_FILES; i++) {
		const struct br_why_file *f = &c->f->files[i];

		if (f->blksize && f->n_data && !f->n_oack)
			plain++;
		else if (f->granted)
			return false;
	}
	c->n = plain;
	return plain >= 3;
}

static bool no_fixup(struct br_case *c)
{
	return (ends(c, "fixup4.dat", missing, c) || ends(c, "fixup.dat", missing, c)) && stuck(c, 5);
}

/* A device tree of the kind that is a model's, not an overlay. */
static bool no_dtb(struct br_case *c)
{
	const char *gone = NULL;

	for (size_t i = 0; i < BR_WHY_FILES; i++) {
		const struct br_why_file *f = &c->f->files[i];

		if (!br_str_starts(br_why_base_name(f->name), "bcm27") || !br_str_ends(f->name, ".dtb"))
			continue;
		if (there(f))
			return false;
		if (missing(f))
			gone = f->name;
	}
	c->file = gone;
	return gone && stuck(c, 15);
}

static bool no_cmdline(struct br_case *c)
{
	return ends(c, "cmdline.txt", missing, c) && stuck(c, 15);
}

static bool no_initramfs(struct br_case *c)
{
	for (size_t i = 0; i < BR_WHY_FILES; i++) {
		c->file = c->f->files[i].name;
		if (br_str_starts(br_why_base_name(c->file), "initramfs") && missing(&c->f->files[i]))
			return stuck(c, 20);
	}
	return false;
}

static bool files_stop(struct br_case *c)
{
	c->file = c->f->files[c->f->last_file].name;
	c->ns = quiet(c);
	return c->f->rrq.n && stuck(c, 30);
}

#define ANY_AT 63u
#define BEFORE_KERNEL (BR_AT_SILENT | BR_AT_DHCP | BR_AT_FILES)
#define EARLY (BR_AT_SILENT | BR_AT_DHCP)

#include "why/table.h"

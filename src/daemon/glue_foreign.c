/* SPDX-License-Identifier: Apache-2.0 */
/* Other DHCP servers on the boards' network: what is remembered, told and warned of. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/glue.h"
#include "fleet/event.h"

#define ADDRESSES 1024 /* a slot each, by the address's low bits: a newer one takes an older one's */
#define TOLD 64
#define TELL_AGAIN_NS (30 * BR_S)

struct br_glue_notes {
	pthread_mutex_t lock; /* of the addresses */
	struct {
		uint32_t ip;
		struct br_mac mac;
	} addresses[ADDRESSES];
	/* the DHCP thread's own */
	struct {
		int64_t board_id;
		uint32_t server_ip;
		uint64_t told_ns;
	} told[TOLD];
	unsigned next_told;
	uint32_t unserved_ip;
	uint64_t unserved_ns;
};

struct br_glue_notes *br_glue_notes_new(void)
{
	struct br_glue_notes *notes = calloc(1, sizeof(*notes));

	if (notes)
		pthread_mutex_init(&notes->lock, NULL);
	return notes;
}

void br_glue_notes_free(struct br_glue_notes *notes)
{
	if (notes)
		pthread_mutex_destroy(&notes->lock);
	free(notes);
}

void br_glue_note_address(struct br_glue *glue, uint32_t ip, struct br_mac mac)
{
	struct br_glue_notes *notes = glue->notes;

	if (!notes || !ip)
		return;
	pthread_mutex_lock(&notes->lock);
	notes->addresses[ip % ADDRESSES].ip = ip;
	notes->addresses[ip % ADDRESSES].mac = mac;
	pthread_mutex_unlock(&notes->lock);
}

bool br_glue_noted_mac(struct br_glue *glue, uint32_t ip, struct br_mac *ret)
{
	struct br_glue_notes *notes = glue->notes;
	bool known;

	if (!notes)
		return false;
	pthread_mutex_lock(&notes->lock);
	known = notes->addresses[ip % ADDRESSES].ip == ip;
	if (known)
		*ret = notes->addresses[ip % ADDRESSES].mac;
	pthread_mutex_unlock(&notes->lock);
	return known;
}

const char *br_glue_dhcp_mode(const struct br_glue *glue)
{
	int mode = atomic_load(&glue->dhcp_mode);

	return mode == BR_GLUE_DHCP_OFF ? "off" : br_dhcp_mode_name((enum br_dhcp_mode)mode);
}

/* A board and a server are told of once in half a minute: a boot asks several times, a storm often. */
static bool told_lately(struct br_glue_notes *notes, int64_t board_id, uint32_t server_ip)
{
	uint64_t now = br_now_ns();

	for (size_t i = 0; i < TOLD; i++)
		if (notes->told[i].board_id == board_id && notes->told[i].server_ip == server_ip &&
			now - notes->told[i].told_ns < TELL_AGAIN_NS)
			return true;
	notes->told[notes->next_told].board_id = board_id;
	notes->told[notes->next_told].server_ip = server_ip;
	notes->told[notes->next_told].told_ns = now;
	notes->next_told = (notes->next_told + 1) % TOLD;
	return false;
}

static void warn(struct br_glue *glue, const struct br_dhcp_foreign *f)
{
	char server[BR_IP_TEXT], mac[BR_MAC_TEXT], ip[BR_IP_TEXT], ours[BR_IP_TEXT];

	br_ip_format(server, f->server_ip);
	br_mac_format(mac, f->server_mac);
	if (atomic_load(&glue->dhcp_mode) == BR_DHCP_FULL)
		br_log_warning("another DHCP server answers on %s: %s (%s). Boards may take its word instead of ours: stop it, "
			       "or let it give the addresses (--dhcp proxy)",
			glue->interface, server, mac);
	else if (f->offered && (f->offered ^ glue->server_ip) & br_ip_mask(glue->prefix))
		br_log_warning("DHCP server %s offers %s, which is not on the network of our address %s/%u: boards that get "
			       "such an address cannot reach us; serve with an address of that network",
			server, br_ip_format(ip, f->offered), br_ip_format(ours, glue->server_ip), glue->prefix);
}

void br_glue_foreign(void *ctx, const struct br_dhcp_foreign *f, bool fresh)
{
	struct br_glue *glue = ctx;
	struct br_board board = { 0 };
	struct br_boot_status st = { 0 };
	char server[BR_IP_TEXT], server_mac[BR_MAC_TEXT], mac[BR_MAC_TEXT], ip[BR_IP_TEXT] = "";

	if (!br_board_by_mac(glue->fleet, f->client_mac, &board))
		br_boots_status(glue->boots, board.id, &st);
	if (f->type == BR_DHCP_ACK && f->offered)
		br_glue_note_address(glue, f->offered, f->client_mac);
	if (fresh)
		warn(glue, f);
	if (!fresh && (!board.id || told_lately(glue->notes, board.id, f->server_ip)))
		return;
	if (f->offered)
		br_ip_format(ip, f->offered);
	br_event_emit(glue->fleet, board.id, st.boot, BR_EV_DHCP_FOREIGN,
		json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", "server", br_ip_format(server, f->server_ip), "server_mac",
			br_mac_format(server_mac, f->server_mac), "offered", ip, "type", br_dhcp_type_name(f->type), "mac",
			br_mac_format(mac, f->client_mac), "boots", f->boots));
}

static void mode_in_words(struct br_glue *glue, enum br_dhcp_mode mode, const struct br_dhcp_foreign *because,
	char *out, size_t size)
{
	char server[BR_IP_TEXT], mac[BR_MAC_TEXT], first[BR_IP_TEXT], last[BR_IP_TEXT];

	if (because)
		snprintf(out, size, "DHCP server %s (%s) gives the addresses on %s",
			br_ip_format(server, because->server_ip), br_mac_format(mac, because->server_mac),
			glue->interface);
	else if (mode == BR_DHCP_FULL)
		snprintf(out, size, "nobody else gives addresses on %s; ours are %s to %s", glue->interface,
			br_ip_format(first, glue->first_ip), br_ip_format(last, glue->last_ip));
	else if (glue->no_give)
		snprintf(out, size, "nobody gives addresses on %s, and we do not: %s; boards need a DHCP server there, or give "
				    "addresses with --dhcp full", glue->interface, glue->no_give);
	else
		snprintf(out, size, "another bramble starts on %s, and goes first", glue->interface);
}

void br_glue_mode(void *ctx, enum br_dhcp_mode mode, const struct br_dhcp_foreign *because)
{
	struct br_glue *glue = ctx;
	char words[256], server[BR_IP_TEXT] = "";

	mode_in_words(glue, mode, because, words, sizeof(words));
	atomic_store(&glue->dhcp_mode, mode);
	if (mode == BR_DHCP_PROXY && !because)
		br_log_warning("%s", words);
	if (because)
		br_ip_format(server, because->server_ip);
	br_event_emit(glue->fleet, 0, 0, BR_EV_DHCP_MODE,
		json_pack("{s:s, s:s, s:s}", "mode", br_dhcp_mode_name(mode), "reason", words, "server", server));
}

void br_glue_unserved(struct br_glue *glue, const struct br_dhcp_report *rep)
{
	struct br_glue_notes *notes = glue->notes;
	uint64_t now = br_now_ns();
	char net[BR_IP_TEXT], mac[BR_MAC_TEXT];

	/* once a minute for one network, once a second for all */
	if (now - notes->unserved_ns < (notes->unserved_ip == rep->ip ? 60 : 1) * BR_S)
		return;
	notes->unserved_ns = now;
	notes->unserved_ip = rep->ip;
	br_event_emit(glue->fleet, 0, 0, BR_EV_DHCP_UNSERVED,
		json_pack("{s:s, s:s, s:s}", "client", br_dhcp_client_name(rep->client->kind), "mac",
			br_mac_format(mac, rep->client->mac), "network", br_ip_format(net, rep->ip)));
}

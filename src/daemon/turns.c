/* SPDX-License-Identifier: Apache-2.0 */
/* Boots in turns. Asked by the DHCP loop, told by the file servers' threads, looked at by the API's. */
#include "daemon/turns.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "dhcp/held.h"
#include "fleet/event.h"

#define SPEED_EVERY_NS (10 * BR_S) /* a link's speed is known only when it is up */

struct br_turns {
	pthread_mutex_t lock; /* adm */
	struct br_admission *adm;
	char interface[BR_NETIF_NAME];
	bool own_rate; /* follows the link */
	uint64_t speed_ns; /* the DHCP loop's */
};

struct br_turns *br_turns_new(const struct br_config *config, const char *interface)
{
	struct br_turns *t = calloc(1, sizeof(*t));
	struct br_admission_options opt = { 0 };

	if (!t)
		return NULL;
	/* checked when they were set */
	(void)br_config_at_once(config->boots_at_once, &opt.at_once);
	(void)br_config_rate(config->boot_rate, &opt.rate);
	opt.fixed_rate = opt.rate != 0;
	t->own_rate = !opt.fixed_rate;
	snprintf(t->interface, sizeof(t->interface), "%s", interface);
	pthread_mutex_init(&t->lock, NULL);
	t->adm = br_admission_new(&opt);
	if (!t->adm) {
		br_turns_free(t);
		return NULL;
	}
	return t;
}

void br_turns_free(struct br_turns *t)
{
	if (!t)
		return;
	br_admission_free(t->adm);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* Not locked: the kernel may let us wait for its lock of all interfaces, and TFTP's thread must not wait for us. */
static void follow_link(struct br_turns *t, uint64_t now_ns)
{
	unsigned mbit;

	if (!t->own_rate || (t->speed_ns && now_ns - t->speed_ns < SPEED_EVERY_NS))
		return;
	t->speed_ns = now_ns;
	mbit = br_netif_speed(t->interface);
	pthread_mutex_lock(&t->lock);
	br_admission_set_rate(t->adm, mbit * 125000ull * 94 / 100); /* Ethernet, IP, UDP and TFTP take the rest */
	pthread_mutex_unlock(&t->lock);
}

bool br_turns_ask(struct br_glue *glue, const struct br_board *board, enum br_dhcp_client_kind kind)
{
	struct br_turns *t = glue->turns;
	struct br_admission_ask ask = {
		.board_id = board->id, .impatient = kind != BR_DHCP_EEPROM, .rom = kind == BR_DHCP_ROM,
	};
	uint64_t now = br_now_ns();
	uint32_t before = 0;
	enum br_turn turn;
	bool known;

	ask.largest = br_boots_largest(glue->boots, board);
	pthread_mutex_lock(&t->lock);
	ask.proven = br_admission_proven(t->adm, board->id);
	known = br_admission_knows(t->adm, board->id);
	pthread_mutex_unlock(&t->lock);
	if (!known)
		ask.proven = br_glue_has_fetched(glue, board->id) > 0;
	follow_link(t, now);
	pthread_mutex_lock(&t->lock);
	turn = br_admission_ask(t->adm, &ask, now, &before);
	pthread_mutex_unlock(&t->lock);
	if (turn == BR_TURN_QUEUED)
		br_event_emit(glue->fleet, board->id, 0, BR_EV_BOOT_WAITING,
			json_pack("{s:I}", "before", (json_int_t)before));
	return turn == BR_TURN_GO;
}

bool br_turns_next(void *ctx, struct br_mac *ret)
{
	struct br_glue *glue = ctx;
	struct br_turns *t = glue->turns;
	struct br_board board;
	int64_t id;

	pthread_mutex_lock(&t->lock);
	id = br_admission_next(t->adm, BR_DHCP_HELD_NS, br_now_ns());
	pthread_mutex_unlock(&t->lock);
	if (!id || br_board_by_id(glue->fleet, id, &board) < 0)
		return false;
	*ret = board.mac;
	return true;
}

bool br_turns_any_waiting(struct br_turns *t)
{
	bool any;

	pthread_mutex_lock(&t->lock);
	any = br_admission_any_waiting(t->adm, BR_DHCP_HELD_NS, br_now_ns());
	pthread_mutex_unlock(&t->lock);
	return any;
}

void br_turns_sign(struct br_turns *t, int64_t board_id)
{
	if (!board_id)
		return;
	pthread_mutex_lock(&t->lock);
	br_admission_sign(t->adm, board_id, br_now_ns());
	pthread_mutex_unlock(&t->lock);
}

void br_turns_progress(struct br_turns *t, int64_t board_id, uint64_t bytes, uint64_t size)
{
	if (!board_id)
		return;
	pthread_mutex_lock(&t->lock);
	br_admission_progress(t->adm, board_id, bytes, size, br_now_ns());
	pthread_mutex_unlock(&t->lock);
}

void br_turns_ended(struct br_turns *t, int64_t board_id, uint64_t bytes, uint64_t duration_ns, bool sent)
{
	if (!board_id)
		return;
	pthread_mutex_lock(&t->lock);
	br_admission_ended(t->adm, board_id, bytes, duration_ns, sent, br_now_ns());
	pthread_mutex_unlock(&t->lock);
}

void br_turns_done(struct br_turns *t, int64_t board_id)
{
	if (!board_id)
		return;
	pthread_mutex_lock(&t->lock);
	br_admission_done(t->adm, board_id, br_now_ns());
	pthread_mutex_unlock(&t->lock);
}

void br_turns_status(struct br_turns *t, struct br_admission_status *ret)
{
	pthread_mutex_lock(&t->lock);
	br_admission_status(t->adm, br_now_ns(), ret);
	pthread_mutex_unlock(&t->lock);
}

bool br_turns_waits(struct br_turns *t, int64_t board_id, uint32_t *ret_before)
{
	bool waits;

	pthread_mutex_lock(&t->lock);
	waits = br_admission_waits(t->adm, board_id, br_now_ns(), ret_before, NULL);
	pthread_mutex_unlock(&t->lock);
	return waits;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases. An address once given belongs to its MAC (wire notes: ROMs never send a DHCPREQUEST, so the offer is the
 * promise). Finding a free one walks an index from where the last one was found, never the whole range twice.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "fleet/db.h"

#define RENEW_SLACK_S 10 /* an expiry is moved only by more than this */

static void row_to_lease(sqlite3_stmt *s, struct br_lease *ret)
{
	uint64_t mac = (uint64_t)sqlite3_column_int64(s, 0);

	memset(ret, 0, sizeof(*ret));
	for (int i = 0; i < 6; i++)
		ret->mac.b[i] = (uint8_t)(mac >> (40 - 8 * i));
	ret->ip = (uint32_t)sqlite3_column_int64(s, 1);
	ret->board_id = sqlite3_column_int64(s, 2);
	ret->given_at = sqlite3_column_int64(s, 3);
	ret->expires_at = sqlite3_column_int64(s, 4);
}

/* By one number, under the lock; -ENOENT when there is none. */
static int find(struct br_fleet *fleet, enum br_stmt which, int64_t key, struct br_lease *ret)
{
	sqlite3_stmt *s = br_db_stmt(fleet, which);
	int code, r;

	sqlite3_bind_int64(s, 1, key);
	code = sqlite3_step(s);
	r = code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? -ENOENT : br_db_errno(fleet->db);
	if (code == SQLITE_ROW)
		row_to_lease(s, ret);
	sqlite3_reset(s);
	return r;
}

static int find_locked(struct br_fleet *fleet, enum br_stmt which, int64_t key, struct br_lease *ret)
{
	int r;

	br_db_lock(fleet);
	r = find(fleet, which, key, ret);
	br_db_unlock(fleet);
	return r;
}

int br_lease_by_mac(struct br_fleet *fleet, struct br_mac mac, struct br_lease *ret)
{
	return find_locked(fleet, ST_LEASE_BY_MAC, (int64_t)br_mac_u64(mac), ret);
}

int br_lease_by_ip(struct br_fleet *fleet, uint32_t ip, struct br_lease *ret)
{
	return find_locked(fleet, ST_LEASE_BY_IP, ip, ret);
}

int br_lease_list(struct br_fleet *fleet, int (*fn)(void *ctx, const struct br_lease *lease), void *ctx)
{
	enum { PAGE = 128 };
	struct br_lease page[PAGE];
	uint32_t after = 0;
	size_t n = PAGE;

	while (n == PAGE) {
		sqlite3_stmt *s;
		int code, r = 0;

		br_db_lock(fleet);
		s = br_db_stmt(fleet, ST_LEASE_PAGE);
		sqlite3_bind_int64(s, 1, after);
		for (n = 0; (code = sqlite3_step(s)) == SQLITE_ROW && n < PAGE; n++)
			row_to_lease(s, &page[n]);
		if (code != SQLITE_DONE && code != SQLITE_ROW)
			r = br_db_errno(fleet->db);
		sqlite3_reset(s);
		br_db_unlock(fleet);
		if (r < 0)
			return r;
		for (size_t i = 0; i < n; i++) {
			r = fn(ctx, &page[i]);
			if (r)
				return r;
		}
		after = n ? page[n - 1].ip : after;
	}
	return 0;
}

static bool usable(const struct br_lease_request *req, uint32_t ip)
{
	if (ip < req->first || ip > req->last)
		return false;
	for (size_t i = 0; i < req->n_taken; i++) {
		if (req->taken[i] == ip)
			return false;
	}
	return !req->is_taken || !req->is_taken(req->taken_ctx, ip);
}

/* A board of somebody's choice is to have it, and it is not this one. */
static bool kept_for_another(struct br_fleet *fleet, const struct br_lease_request *req, uint32_t ip)
{
	sqlite3_stmt *s = br_db_stmt(fleet, ST_BOARD_BY_ADDRESS);
	bool kept;

	sqlite3_bind_int64(s, 1, ip);
	kept = sqlite3_step(s) == SQLITE_ROW && sqlite3_column_int64(s, 0) != req->board_id;
	sqlite3_reset(s);
	return kept;
}

static bool available(struct br_fleet *fleet, const struct br_lease_request *req, uint32_t ip)
{
	return usable(req, ip) && !kept_for_another(fleet, req, ip);
}

/* The first address from *ip on that nobody has; -ENOENT when there is none up to 'last'. */
static int next_gap(struct br_fleet *fleet, uint32_t *ip, uint32_t last)
{
	struct br_lease lease;
	sqlite3_stmt *s;
	int code, r = find(fleet, ST_LEASE_BY_IP, *ip, &lease);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	s = br_db_stmt(fleet, ST_LEASE_GAP);
	sqlite3_bind_int64(s, 1, *ip);
	sqlite3_bind_int64(s, 2, last);
	code = sqlite3_step(s);
	if (code == SQLITE_ROW) {
		uint32_t end = (uint32_t)sqlite3_column_int64(s, 0);

		r = end < last ? 0 : -ENOENT;
		if (!r)
			*ip = end + 1;
	} else {
		r = code == SQLITE_DONE ? -ENOENT : br_db_errno(fleet->db);
	}
	sqlite3_reset(s);
	return r;
}

/* The first from 'ip' to 'last' that nobody has and this client may. */
static int search(struct br_fleet *fleet, const struct br_lease_request *req, uint32_t ip, uint32_t last, uint32_t *ret)
{
	for (; ip >= req->first && ip <= last; ip++) {
		int r = usable(req, ip) ? next_gap(fleet, &ip, last) : 1; /* memory is asked first */

		if (r < 0)
			return r;
		if (!r && available(fleet, req, ip)) {
			*ret = ip;
			return 0;
		}
	}
	return -ENOENT;
}

/* Below the hint all are leased. It moves up only, until an address comes free again (it is then set to 0). */
static int raise_hint(struct br_fleet *fleet, const struct br_lease_request *req)
{
	uint32_t ip;
	int r;

	if (fleet->gap_first != req->first || fleet->gap_last != req->last || !fleet->gap_hint) {
		fleet->gap_first = req->first;
		fleet->gap_last = req->last;
		fleet->gap_hint = req->first;
	}
	ip = fleet->gap_hint;
	r = next_gap(fleet, &ip, req->last);
	if (r >= 0)
		fleet->gap_hint = ip;
	else if (r == -ENOENT)
		fleet->gap_hint = req->last; /* full: one look at the last address next time */
	return r;
}

/* A never used address. */
static int find_free(struct br_fleet *fleet, const struct br_lease_request *req, uint32_t *ret)
{
	int r = raise_hint(fleet, req);
	uint32_t hint = fleet->gap_hint;

	if (r < 0 || req->from <= hint || req->from > req->last)
		return r < 0 ? r : search(fleet, req, hint, req->last, ret);
	r = search(fleet, req, req->from, req->last, ret);
	return r == -ENOENT ? search(fleet, req, hint, req->from - 1, ret) : r;
}

/* The address of the client, no board, that expired first. It loses it. */
static int find_expired(struct br_fleet *fleet, const struct br_lease_request *req, int64_t now, uint32_t *ret)
{
	sqlite3_stmt *s = br_db_stmt(fleet, ST_LEASE_EXPIRED);
	struct br_lease old;
	int code, r = -ENOENT;

	sqlite3_bind_int64(s, 1, now);
	sqlite3_bind_int64(s, 2, req->first);
	sqlite3_bind_int64(s, 3, req->last);
	while ((code = sqlite3_step(s)) == SQLITE_ROW) {
		row_to_lease(s, &old);
		if (available(fleet, req, old.ip)) {
			*ret = old.ip;
			r = 0;
			break;
		}
	}
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		r = br_db_errno(fleet->db);
	sqlite3_reset(s);
	return r;
}

static int put(struct br_fleet *fleet, const struct br_lease *lease)
{
	sqlite3_stmt *s = br_db_stmt(fleet, ST_LEASE_PUT);

	sqlite3_bind_int64(s, 1, (int64_t)br_mac_u64(lease->mac));
	sqlite3_bind_int64(s, 2, lease->ip);
	sqlite3_bind_int64(s, 3, lease->board_id);
	sqlite3_bind_int64(s, 4, lease->given_at);
	sqlite3_bind_int64(s, 5, lease->expires_at);
	return br_db_run(s);
}

/* What the MAC has, or what its board had under another MAC. -ENOENT: nothing that can be used now. */
static int find_own(struct br_fleet *fleet, const struct br_lease_request *req, struct br_lease *ret)
{
	struct br_lease lease = { 0 };
	int r = find(fleet, ST_LEASE_BY_MAC, (int64_t)br_mac_u64(req->mac), &lease);

	if (r == -ENOENT && req->board_id)
		r = find(fleet, ST_LEASE_BY_BOARD, req->board_id, &lease);
	if (r < 0)
		return r;
	if (!available(fleet, req, lease.ip))
		return -ENOENT; /* the range is another one today, or the address somebody else's */
	*ret = lease;
	return 0;
}

static int choose(struct br_fleet *fleet, const struct br_lease_request *req, int64_t now, uint32_t *ret)
{
	struct br_lease other;
	int r;

	if (req->wanted && !req->only_used && available(fleet, req, req->wanted)) {
		r = find(fleet, ST_LEASE_BY_IP, req->wanted, &other);
		if (r == -ENOENT) {
			*ret = req->wanted;
			return 0;
		}
		if (r < 0)
			return r;
	}
	r = req->only_used ? -ENOENT : find_free(fleet, req, ret);
	return r == -ENOENT ? find_expired(fleet, req, now, ret) : r;
}

/* Moves or makes the lease; within the transaction. */
static int take(struct br_fleet *fleet, const struct br_lease_request *req, int64_t now, struct br_lease *ret)
{
	struct br_lease lease = { 0 };
	sqlite3_stmt *s;
	int r = find_own(fleet, req, &lease);

	if (r == -ENOENT)
		r = choose(fleet, req, now, &lease.ip);
	if (r < 0)
		return r;
	if (req->board_id) {
		/* one address per board: a MAC it had before, or an address outside of the range, goes */
		s = br_db_stmt(fleet, ST_LEASE_DELETE_BOARD);
		sqlite3_bind_int64(s, 1, req->board_id);
		sqlite3_bind_int64(s, 2, lease.ip);
		r = br_db_run(s);
		if (r < 0)
			return r;
		if (sqlite3_changes(fleet->db))
			fleet->gap_hint = 0;
	}
	lease.mac = req->mac;
	lease.board_id = req->board_id;
	lease.given_at = now;
	lease.expires_at = now + req->lease_s;
	r = put(fleet, &lease);
	if (r < 0)
		return r;
	*ret = lease;
	return 0;
}

/* Whether the lease stands as it is asked for, so that only its expiry may move. */
static bool stands(const struct br_lease *lease, const struct br_lease_request *req)
{
	return br_mac_equal(lease->mac, req->mac) && lease->board_id == req->board_id;
}

static int full(const struct br_lease_request *req, struct br_error *err)
{
	char a[BR_IP_TEXT], b[BR_IP_TEXT];

	return br_error_set(err, ENOSPC,
		"no address left in %s-%s: each belongs to a board or to a client whose lease runs; give a wider "
		"--range, or remove boards that are gone",
		br_ip_format(a, req->first), br_ip_format(b, req->last));
}

int br_lease_find(struct br_fleet *fleet, const struct br_lease_request *req, uint32_t *ret)
{
	struct br_lease lease = { 0 };
	int r;

	br_db_lock(fleet);
	r = find_own(fleet, req, &lease);
	if (r == -ENOENT)
		r = choose(fleet, req, br_db_now(), &lease.ip);
	br_db_unlock(fleet);
	if (r == -ENOENT)
		return -ENOSPC;
	if (r >= 0)
		*ret = lease.ip;
	return r;
}

int br_lease_strangers(struct br_fleet *fleet, uint64_t *ret)
{
	return br_db_count(fleet, ST_LEASE_STRANGERS, ret);
}

int br_lease_release(struct br_fleet *fleet, struct br_mac mac)
{
	struct br_error err = BR_ERROR_NULL;
	sqlite3_stmt *s;
	int r = br_db_begin(fleet, true, &err, "release a lease");

	if (r < 0)
		return r;
	s = br_db_stmt(fleet, ST_LEASE_RELEASE);
	sqlite3_bind_int64(s, 1, (int64_t)br_mac_u64(mac));
	return br_db_end(fleet, br_db_run(s), &err, "release a lease");
}

int br_lease_take(struct br_fleet *fleet, const struct br_lease_request *req, struct br_lease *ret,
	struct br_error *err)
{
	struct br_lease lease;
	const char *doing = "store a lease";
	int64_t now = br_db_now();
	bool relaxed = false;
	int r;

	if (!req->first || req->first > req->last)
		return br_error_set(err, EINVAL, "the range of addresses is empty");
	br_db_lock(fleet);
	r = find_own(fleet, req, &lease);
	br_db_unlock(fleet);
	if (r >= 0 && stands(&lease, req)) {
		int64_t moved = now + req->lease_s - lease.expires_at;

		if (moved > -RENEW_SLACK_S && moved < RENEW_SLACK_S) {
			*ret = lease;
			return 0;
		}
		relaxed = req->board_id != 0; /* a board's pin does not depend on its expiry */
	}
	if (r < 0 && r != -ENOENT)
		return br_db_error(fleet, err, r, doing);
	r = br_db_begin(fleet, relaxed, err, doing);
	if (r < 0)
		return r;
	r = take(fleet, req, now, &lease);
	if (r == -ENOENT)
		r = full(req, err);
	r = br_db_end(fleet, r, err, doing);
	if (r >= 0)
		*ret = lease;
	return r;
}

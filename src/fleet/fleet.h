/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/error.h"

/*
 * Boards, leases and events on SQLite (WAL) in DIR/bramble.db, schema versioned by
 * migrations. Every call may come from any thread; each is one short transaction,
 * stable on return unless it says otherwise or belongs to a group. A second daemon on the same DIR is
 * refused (br_fleet_open with exclusive).
 */
struct br_fleet;

#define BR_BOARD_NAME_MAX 63 /* a host name label (RFC 1123): [a-z0-9][a-z0-9-]* */

#define BR_BOARD_DISK_SIZE_MAX (16ull << 40)
#define BR_BOARD_PERSIST_MIN (16ull << 20)

struct br_board {
	int64_t id;
	char name[BR_BOARD_NAME_MAX + 1];
	bool serial_known;
	uint64_t serial;   /* the network carries the low 32 bits */
	uint32_t revision; /* 0: not known */
	char model[16];	   /* id of br_pi_model, "" when not known */
	struct br_mac mac; /* of its Ethernet */
	char image[98];	   /* "" : the daemon's default */
	char disk[16];	   /* "volatile", "persistent", "ram", "" : the default */
	uint64_t disk_size; /* bytes its disk is to have at least; 0: the image's */
	char persist[24];  /* its area that outlives volatile disks: "off", bytes as digits, "" : the default */
	char road[16];	   /* "net", "local", "" : the default */
	char notes[256];
	char tags[256];	   /* words of people's for picking it: [a-z0-9._-], a blank between two, each once */
	char power[256];   /* URI of what switches its power, as "tasmota://10.0.0.9/1"; "" : the default command */
	char console[256]; /* URI of its serial line, as "rfc2217://10.0.0.9:4001"; "" : none */
	char signed_key[68]; /* name of the key that its boot.img is signed with; "" : not signed */
	uint32_t address;  /* IPv4 it is to have, nobody else gets it; 0: any */
	int64_t adopted_at, seen_at; /* s since 1970 */
};

#define BR_FLEET_RESTORING ".restoring" /* in DIR: a restore is under way, or was interrupted; DIR is not opened then */
/* The lock of who serves DIR, until ret_fd is closed. -EBUSY with words. */
int br_fleet_lock(const char *dir, int *ret_fd, struct br_error *err);
/* The schema of the database that this program writes. */
int br_fleet_schema(void);

int br_fleet_open(const char *dir, bool exclusive, struct br_fleet **ret, struct br_error *err);
void br_fleet_close(struct br_fleet *fleet);

/*
 * Group commit, for one thread at a time: what it stores between begin and end is one transaction, and is not stable on
 * return of the calls but when on_stable (in a thread of its own) tells so with r 0, for this ticket and all before it; r
 * negative: those not told of before are lost. Others see it at once; whoever stores something meanwhile commits it, too.
 */
int br_group_open(struct br_fleet *fleet, void (*on_stable)(void *ctx, uint64_t ticket, int r), void *ctx,
	struct br_error *err);
void br_group_close(struct br_fleet *fleet);
void br_group_begin(struct br_fleet *fleet);
/* The group stays open, for the next begin to go on with; what this thread stores until then is not of it. */
void br_group_pause(struct br_fleet *fleet);
/* 1 with a ticket to wait for; 0: nothing was stored that must be stable; negative: all of it was undone. */
int br_group_end(struct br_fleet *fleet, uint64_t *ret_ticket, struct br_error *err);

/* Boards. Lookups: -ENOENT when there is none. */
int br_board_by_id(struct br_fleet *fleet, int64_t id, struct br_board *ret);
int br_board_by_name(struct br_fleet *fleet, const char *name, struct br_board *ret);
int br_board_by_mac(struct br_fleet *fleet, struct br_mac mac, struct br_board *ret);
int br_board_by_serial(struct br_fleet *fleet, uint32_t serial_low32, struct br_board *ret);
/* One without a MAC (made by hand, by its serial) whose serial ends so. */
int br_board_by_tail(struct br_fleet *fleet, uint32_t serial_low24, struct br_board *ret);
/* By lease: boards only. */
int br_board_by_ip(struct br_fleet *fleet, uint32_t ip, struct br_board *ret);
/* By name; fn may call us; it returns 0 to go on. */
int br_board_list(struct br_fleet *fleet, int (*fn)(void *ctx, const struct br_board *board), void *ctx);

/* Who a packet says it is; unknown parts zero. */
struct br_sighting {
	struct br_mac mac;
	bool serial_known;
	uint64_t serial;
	uint32_t revision;
	char model[16];
};
/*
 * Finds the board by MAC, then by serial (then it got another MAC: recorded), filling in what was not known.
 * None: makes one named "pi-<serial>" (low 32 bits, 8 hex digits) or "pi-<mac tail>" when adopt is set, else
 * -ENOENT. *ret_new: it was made; the caller emits board.adopted. A name stays when the serial comes to be known later.
 *
 * Returns 1, with words in err, when the serial is disputed: another board has it, and either was seen with
 * another MAC within this minute (so it is not this one with a new MAC), or the MAC is already known as a board of its
 * own. The MAC then decides: *ret is the board of the MAC (adopted, when new), without the serial; both are kept.
 */
int br_board_see(struct br_fleet *fleet, const struct br_sighting *s, bool adopt, struct br_board *ret,
	bool *ret_new, struct br_error *err);
/* Makes a board by hand (id 0) or changes one (id set): name, image, disk, road, notes, address, mac, serial,
 * model.
 * Checks every field: -EINVAL, -EEXIST with words. */
int br_board_save(struct br_fleet *fleet, struct br_board *board, struct br_error *err);
/* Its lease and secrets go, its events stay. */
int br_board_remove(struct br_fleet *fleet, int64_t id, struct br_error *err);
int br_board_count(struct br_fleet *fleet, uint64_t *ret);
/* Whether a name may be a board's: [a-z0-9-], not '-' at the ends, at most BR_BOARD_NAME_MAX. */
bool br_board_name_ok(const char *name);
/* Whether a board has this tag. */
bool br_board_tagged(const struct br_board *board, const char *tag);
/* "volatile", "persistent" or "ram". */
bool br_board_disk_ok(const char *disk);

/* Secrets made once per board and kept: machine-id (32 hex digits), an ed25519 seed (32 bytes) ... Returns the
 * stored value, making n random bytes when there is none. */
#define BR_SECRET_SSH "ssh-ed25519-seed"
int br_board_secret(struct br_fleet *fleet, int64_t board_id, const char *kind, void *ret, size_t n);

/* What was set at run time and outlives the daemon. -ENOENT: never set. */
#define BR_SETTING_IMAGE "default-image"
int br_setting_get(struct br_fleet *fleet, const char *name, char *ret, size_t size);
int br_setting_put(struct br_fleet *fleet, const char *name, const char *value, struct br_error *err);

/* Leases: an address once given belongs to its MAC. */
struct br_lease {
	struct br_mac mac;
	uint32_t ip;
	int64_t board_id; /* 0: a client that is no board */
	int64_t given_at, expires_at; /* s since 1970 */
};
struct br_lease_request {
	struct br_mac mac;
	int64_t board_id;	 /* 0 when no board */
	uint32_t first, last;	 /* range, inclusive */
	uint32_t wanted;	 /* 0: none; honoured when free and in the range */
	uint32_t lease_s;
	const uint32_t *taken;	 /* addresses never to give (server, router) */
	size_t n_taken;
	bool (*is_taken)(const void *ctx, uint32_t ip); /* more of them, may be NULL; runs under a lock, calls nothing of ours */
	const void *taken_ctx;
	uint32_t from; /* look for a free one from here on, then from the first; 0: from the first */
	bool only_used; /* nothing that nobody had before: an expired one or the client's own */
};
/* The MAC's address (or the one its board had under an earlier MAC), pinning a free one when it has none: stable on return. Boards keep theirs for ever; other
 * clients' addresses are reused, oldest first, after they expired. -ENOSPC: the range is full (words in err). */
int br_lease_take(struct br_fleet *fleet, const struct br_lease_request *req, struct br_lease *ret,
	struct br_error *err);
/* The address that br_lease_take() would give now, without giving it. */
int br_lease_find(struct br_fleet *fleet, const struct br_lease_request *req, uint32_t *ret);
/* How many leases clients have that are no boards; takes longer the more they are. */
int br_lease_strangers(struct br_fleet *fleet, uint64_t *ret);
/* The client, if it is no board, gave its address back. */
int br_lease_release(struct br_fleet *fleet, struct br_mac mac);
int br_lease_by_mac(struct br_fleet *fleet, struct br_mac mac, struct br_lease *ret);
int br_lease_by_ip(struct br_fleet *fleet, uint32_t ip, struct br_lease *ret);
int br_lease_list(struct br_fleet *fleet, int (*fn)(void *ctx, const struct br_lease *lease), void *ctx);

/*
 * Events: typed facts, numbered from 1 in the order they happened, without gaps but for those an events.lost
 * counts and old ones that were removed (br_event_retain). The types and their fields are listed in fleet/event.h.
 */
struct br_event {
	uint64_t seq;
	uint64_t wall_ns;
	int64_t board_id; /* 0: the daemon itself */
	uint64_t boot;	  /* number of the board's boot, 0: none */
	const char *type; /* "dhcp.offer" */
	json_t *fields;	  /* object, may be NULL; borrowed */
	char board_name[BR_BOARD_NAME_MAX + 1]; /* "" when there is none (any more) */
};
/* Queues an event: numbered at once, stored with the next group (100 ms or 256 events), listeners called
 * at once in this thread. wall_ns and seq are set here. Never fails: when the queue is full the oldest
 * unstored fact of the same type is dropped and the loss itself becomes an event. */
void br_event_emit(struct br_fleet *fleet, int64_t board_id, uint64_t boot, const char *type,
	json_t *fields /* stolen, may be NULL */);
/* Stores what is queued. */
int br_event_flush(struct br_fleet *fleet);
/* 0, or how storing the last group failed, with words (a full disk). What is queued stays so and is tried again. */
int br_event_health(struct br_fleet *fleet, struct br_error *err);
/* fn is called for each new event, in the emitting thread, under a lock: it must not block or emit. Returns a handle. */
void *br_event_listen(struct br_fleet *fleet, void (*fn)(void *ctx, const struct br_event *ev), void *ctx);
void br_event_unlisten(struct br_fleet *fleet, void *handle);
struct br_event_filter {
	int64_t board_id; /* 0: all */
	uint64_t boot;	  /* 0: all */
	const char *type; /* NULL: all; "dhcp" also matches "dhcp.offer" */
	uint64_t after;	  /* seq: only later ones */
	uint64_t since_wall_ns;
	size_t limit;	  /* 0: all; otherwise the newest so many */
};
/* Whether an event passes a filter (its limit aside): for listeners. */
bool br_event_matches(const struct br_event_filter *filter, const struct br_event *ev);
/* In order of seq, those still queued among them. fn returns 0 to go on; its other answers end it and are returned. */
int br_event_query(struct br_fleet *fleet, const struct br_event_filter *filter,
	int (*fn)(void *ctx, const struct br_event *ev), void *ctx, struct br_error *err);
/* Events older than age_s seconds, and all but the newest n, are removed now and then; 0: no limit. The last boot.start of
 * each board stays. */
void br_event_retain(struct br_fleet *fleet, uint64_t age_s, uint64_t n);
/* Number of the newest event, 0 when there is none. */
uint64_t br_event_last(struct br_fleet *fleet);
/* Next boot number of a board. */
int br_boot_next(struct br_fleet *fleet, int64_t board_id, uint64_t *ret);
/* Last boot number given, 0 when none. */
int br_boot_last(struct br_fleet *fleet, int64_t board_id, uint64_t *ret);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * The control API: HTTP/1.1 and JSON over a Unix socket (mode 0660: who may open the socket may
 * command the daemon). docs/api.md lists the paths. It runs in threads of its own, one per connection
 * (at most 64), so that a slow disk or a follower of events holds up nobody else.
 */
struct br_api;

/* What GET /v1/status says of the network side; the strings are copied. */
struct br_api_status {
	const char *interface; /* "eth0" */
	uint32_t ip;	       /* ours on it */
	unsigned prefix;
	const char *dhcp;      /* the setting: "auto", "full", "proxy" or "off" */
	const char *(*dhcp_mode)(void *ctx); /* what it comes to now: "full", "proxy", "off", "listening"; NULL: as dhcp */
	void *dhcp_mode_ctx;
	/* who boots and who waits for its turn, as JSON (running, waiting, at_once, bytes_per_s); whether a board waits, and
	 * how many are before it. NULL: not known */
	json_t *(*turns)(void *ctx);
	bool (*waits)(void *ctx, int64_t board_id, uint32_t *ret_before);
	void *turns_ctx;
	uint64_t (*capture_dropped)(void *ctx); /* frames that the watch missed; NULL: not known */
	void *capture_ctx;
	uint32_t first, last;  /* range of addresses given out, 0: none */
};

struct br_board;
struct br_event;
struct br_persist;
struct br_power;
struct br_reservations;
struct br_shares;
struct br_consoles;
struct br_flash;
struct br_watch;
struct br_logs;
struct br_receiver;
struct br_api_usb_ops;
struct br_feed;
struct br_web_door;

/* All of these outlive the API and are not closed by it. */
struct br_api_options {
	struct br_fleet *fleet;
	struct br_boots *boots;
	struct br_disks *disks;
	struct br_shares *shares; /* NULL: none can be made */
	struct br_persist *persist;
	struct br_consoles *consoles; /* NULL: none */
	struct br_flash *flash; /* NULL: no flashing */
	struct br_reservations *reservations; /* NULL: none */
	struct br_power *power; /* power/power.h; NULL: no switching */
	const struct br_api_usb_ops *usb; /* api/usb.h; NULL: no boards on USB */
	void *usb_ctx;
	struct br_store *store;
	struct br_watch *watch; /* NULL: no diagnosis */
	struct br_logs *logs;	/* NULL: none are kept */
	struct br_receiver *receiver; /* NULL: none come over the network */
	/* an event in words; returns out */
	const char *(*event_text)(const struct br_event *ev, char *out, size_t size);
	const char *socket_path; /* br_api_socket_path() */
	struct br_feed *feed;	 /* api/live.h; NULL: nobody can follow */
	struct br_web_door *door; /* api/web.h: taken, also after a failure; NULL: no TCP */
	struct br_api_status status;
};

/*
 * Binds the socket, replacing one that a killed daemon left (the caller holds the state's lock, so
 * nobody answers there), and serves. Start it while still root, or after dropping to the user that owns the
 * directory: the socket belongs to who calls this.
 */
int br_api_start(const struct br_api_options *opt, struct br_api **ret, struct br_error *err);
/* Ends the streams, waits for the requests under way, removes the socket. NULL is accepted. */
void br_api_stop(struct br_api *api);

/*
 * Where the socket of a state directory is: STATE/api.sock; for /var/lib/bramble it is
 * /run/bramble/api.sock when that directory exists (the unit's RuntimeDirectory=). Fresh memory (free()), NULL when
 * memory is out.
 */
char *br_api_socket_path(const char *state_dir);

/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The inside of the API: one request, and the table of paths. */
#include <jansson.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdbool.h>

#include "api/server.h"
#include "base/error.h"
#include "fleet/fleet.h"

#define BR_API_BODY_MAX (1 << 20)
#define BR_API_PARAMS_MAX 16

struct br_api {
	struct br_fleet *fleet;
	struct br_boots *boots;
	struct br_disks *disks;
	struct br_shares *shares;
	struct br_persist *persist;
	struct br_consoles *consoles;
	struct br_flash *flash;
	struct br_reservations *reservations; /* NULL: none */
	struct br_power *power;
	const struct br_api_usb_ops *usb;
	void *usb_ctx;
	struct br_store *store;
	struct br_watch *watch;
	struct br_logs *logs; /* NULL: none are kept */
	struct br_receiver *receiver; /* the same */
	const char *(*event_text)(const struct br_event *ev, char *out, size_t size);
	struct br_api_status status; /* strings owned */
	char *socket_path;
	struct MHD_Daemon *daemon;
	struct br_access *access;
	struct br_feed *feed; /* may be NULL, which its functions take */
	struct br_web *web;   /* NULL: not by TCP */
	struct br_tally *tally;
	void *metrics;
	uint64_t why_ns; /* metrics.h: when why_rows were counted; under the lock of the metrics */
	unsigned why_rows[64];
	uint64_t started_ns;

	/* Followers of events wait here. */
	pthread_mutex_t news_lock;
	pthread_cond_t news;
	uint64_t last_seq;
	bool stopping;
	unsigned n_followers;
	void *listener;
};

struct br_route;

/* What a caller may do; each includes those before it. */
enum br_scope {
	BR_SCOPE_DEFAULT, /* of a route: GET reads, all else operates */
	BR_SCOPE_NONE,	  /* of a caller: nothing; of a route: anybody who reaches it */
	BR_SCOPE_READ,
	BR_SCOPE_OPERATE,
	BR_SCOPE_ADMIN,
};

/* Who calls. On the local socket: "local:UID", admin. By TCP: the token's, or "anonymous" with what the network may do. */
struct br_who {
	char name[80]; /* "local:1000", "token:ci", "anonymous:10.77.0.12" */
	enum br_scope scope;
	char boards[256]; /* of a token: a selector of the only boards it may change; "" : all */
};

/* A request being answered. A handler returns 0 with json or response set, or a negative errno with words. */
struct br_call {
	struct br_api *api;
	struct MHD_Connection *connection;
	struct br_who who;
	char name[256]; /* the NAME of the path */
	json_t *body;	/* an object; NULL when the route takes none */
	unsigned status; /* 200 unless the handler says so */
	json_t *json;
	struct MHD_Response *response; /* of bytes that are there; what has to be waited for: br_call_stream() */
	struct br_stream *stream;
	size_t n_response; /* bytes of memory that response has for itself */
	bool pumps; /* the server takes stream itself */
	const struct br_route *route; /* of one that takes bytes */
	json_t *before, *after; /* br_call_change() */
};

/*
 * A body made piece by piece, for what is long or has no end. read() runs in a thread of its own and may wait, but no longer
 * than 10 s at a time: then it gives an empty piece of its format (a newline), by which a client that left is noticed. It
 * ends (MHD_CONTENT_READER_END_OF_STREAM) when br_api_ending() says so. size: MHD_SIZE_UNKNOWN, or of the whole.
 * Takes ctx: done() (may be NULL) is called once, also after a failure. Sets call->stream; type: of the content.
 */
int br_call_stream(struct br_call *call, uint64_t size, const char *type, ssize_t (*read)(void *ctx, uint64_t pos, char *buf, size_t max),
	void (*done)(void *ctx), void *ctx, struct br_error *err);
/* The daemon stops: streams end, waits for something end. */
bool br_api_ending(struct br_api *api);

/* Whether the caller may change this board: a token may be for some boards only. The routes of /v1/boards/NAME are asked
 * for by the table; this is for those that name boards in their body. -EACCES with words. */
int br_call_may_change(const struct br_call *call, const struct br_board *board, struct br_error *err);

/* Whether the caller's scope is operate or more, for routes that give readers a part: -ENOKEY or -EACCES with words. */
int br_call_may_operate(const struct br_call *call, struct br_error *err);

/*
 * Whether the caller may change a board although it is reserved (the header "Bramble-Reservation: ID[,ID]|force" shows what is his own):
 * -ENOLCK with words. The routes below /v1/boards/NAME are asked for by the table; this is for others. Force is noted; err NULL: it is only
 * looked at, and force is 1.
 */
int br_call_unreserved(const struct br_call *call, const struct br_board *board, struct br_error *err);
/* Under which reservation the caller changes a board: br_reservation_acts(). -ENOLCK with words. */
int br_call_reservation(const struct br_call *call, const struct br_board *board, int64_t *ret_number, struct br_error *err);
/* As in GET /v1/reservations. Not from a listener of events. */
json_t *br_api_reservations_json(struct br_api *api);
/* The same for the board in a route's path, when the route changes one. */
int br_call_to_change(const struct br_call *call, const struct br_route *route, struct br_error *err);

/* For the audit event of a route that changes something: what it was and what it is now. Both are stolen, may be NULL. */
void br_call_change(struct br_call *call, json_t *before, json_t *after);

/* Takes a body that is no JSON as it comes. After a failure the rest is read and dropped. */
struct br_sink {
	int (*take)(struct br_sink *sink, const char *data, size_t n, struct br_error *err);
	/* All has come: sets call->json. */
	int (*finish)(struct br_sink *sink, struct br_call *call, struct br_error *err);
	void (*free)(struct br_sink *sink); /* also without finish: what is half done is undone */
};

struct br_route {
	const char *method, *path; /* "/v1/boards/NAME": NAME stands for one part */
	bool body;		   /* needs a JSON object */
	int (*run)(struct br_call *call, struct br_error *err);
	const char *params[BR_API_PARAMS_MAX]; /* of the query that it knows */
	/* Instead of run, for a body of bytes: before the first of them */
	int (*begin)(struct br_call *call, struct br_sink **ret, struct br_error *err);
	/* What it needs. A GET that gives away contents of disks, packets or secrets says BR_SCOPE_OPERATE: boards and
	 * everybody on their network may read. */
	enum br_scope scope;
	bool names_boards;   /* in its body, and asks br_call_may_change() itself: tokens for some boards may call it */
	bool unaudited;	     /* called so often, or so small, that an audit event each time would bury the others */
	/* The parameter whose value makes it wait ("": it waits always): by TCP such run in threads of their own, each caller has a share */
	const char *waits;
	const char *summary; /* for /v1/openapi.json: "Switches the board"; a test wants it */
	const char *takes, *gives; /* schemas of the body and the answer, in docs/schema/api; NULL: an object */
};

/* Tables ended by method == NULL. */
extern const struct br_route
	br_api_audit[],
	br_api_boards[],
	br_api_console[],
	br_api_describe[],
	br_api_disk_files[],
	br_api_disk_list[],
	br_api_disk_stage[],
	br_api_disks[],
	br_api_eeprom[],
	br_api_events[],
	br_api_flash[],
	br_api_health[],
	br_api_images[],
	br_api_layers[],
	br_api_live_socket[],
	br_api_logs[],
	br_api_misc[],
	br_api_power[],
	br_api_reservations[],
	br_api_shares[],
	br_api_ssh[],
	br_api_tokens[],
	br_api_usb[],
	br_api_why[];

/* Finds the route and runs it; always leaves a response in call. text: the body, n bytes. */
void br_api_route(struct br_call *call, const char *method, const char *url, const char *text, size_t n,
	bool too_large);

/* The head of a request came. A route that takes bytes: ret is who takes them, or it is refused (negative); 0 and NULL: an
 * ordinary one, for br_api_route(). */
int br_api_begin(struct br_call *call, const char *method, const char *url, struct br_sink **ret, struct br_error *err);
/* The end of one that took bytes; r: how that went. Leaves a response in call. */
void br_api_finish(struct br_call *call, const char *url, struct br_sink *sink, int r, struct br_error *err);

/* All tables. */
const struct br_route *const *br_api_tables(size_t *ret_n);
/* The API in OpenAPI 3.1. */
json_t *br_api_openapi(void);

/* The head of a request for servers that must not wait: its route, NULL when there is none (br_api_route() has the words). Negative:
 * the caller may not call it; nothing else is looked at. One with begin() takes bytes: br_api_begin() is called elsewhere. */
int br_api_head(struct br_call *call, const char *method, const char *url, const struct br_route **ret, struct br_error *err);
/* Leaves r and its words as the response. */
void br_api_refuse(struct br_call *call, int r, const struct br_error *err);

/* A board as GET /v1/boards has it. */
json_t *br_api_board_json(struct br_api *api, const struct br_board *board);
json_t *br_api_status_json(struct br_api *api);

/* A parameter of the query, NULL when it is not there. */
const char *br_call_param(const struct br_call *call, const char *key);
/* As a number; 0 (ret untouched) when it is not there. */
int br_call_number(const struct br_call *call, const char *key, uint64_t max, uint64_t *ret, struct br_error *err);
/* The board of the path. */
int br_call_board(const struct br_call *call, struct br_board *ret, struct br_error *err);
struct br_board_disk;
/* That board and its open disk, under the plan in force; br_board_disk_unref(). */
int br_call_disk(struct br_call *call, struct br_board *board, struct br_board_disk **ret, struct br_error *err);

/* The boards of a selector (fleet/selector.h), in the order of its names, if it is nothing but names, else in that of the list. fn
 * returns 0 to go on. call->name is used. Words when it is wrong, or names a board that is none. */
int br_call_select(struct br_call *call, const char *text, int (*fn)(void *ctx, const struct br_board *board), void *ctx,
	struct br_error *err);

/* A file on a board's disk between two pieces of a transfer. Nothing is held meanwhile: a slow client must not keep the board
 * from its next boot, and the board may remove the file. */
struct br_disk_file {
	int64_t board_id;
	uint8_t disk_id[16];
	uint64_t ino;
	uint32_t generation;
};

/* With the disk's lock. */
int br_disk_file_keep(struct br_board_disk *disk, uint64_t ino, struct br_disk_file *ret);
/* The disk, locked, for a piece. -ESTALE: it is another one now, or the file is gone. */
int br_disk_file_enter(struct br_api *api, const struct br_disk_file *f, struct br_board_disk **ret);
void br_disk_file_leave(struct br_api *api, struct br_board_disk *disk);
/* "PATH: what r means". r. */
int br_call_path_error(struct br_error *err, int r, const char *path);

/* "2026-11-21T10:00:38.123456Z" */
json_t *br_api_time(uint64_t wall_ns);
